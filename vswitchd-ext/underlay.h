/* Chooses where encapsulated frames go, from `external_ids:grapnel-underlay`
 * and the ports and devices that exist.  For the main thread. */

#ifndef VSWITCHD_EXT_UNDERLAY_H
#define VSWITCHD_EXT_UNDERLAY_H 1

/* Looks again, and tells the packet path if the choice has changed.  'name' is
 * a port of type anycast_underlay, another network device that frames can be
 * sent out of, or NULL for the only port of that type that is up.  Cheap if
 * nothing has changed. */
void underlay_run(const char *name);

/* The name of the anycast_underlay port in use, or NULL. */
const char *underlay_port_name(void);

/* The kernel's index of the device that routes must lead to for frames to get
 * anywhere: the local port of the bridge that the port or device in use is in,
 * or else the device itself.  0 if there is none, or it is none of the
 * kernel's. */
int underlay_get_ifindex(void);

/* Where frames go, for people; "none: REASON" if nowhere. */
const char *underlay_description(void);

void underlay_exit(void);

#endif /* vswitchd-ext/underlay.h */
