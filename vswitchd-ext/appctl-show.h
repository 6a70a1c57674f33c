/* What `ovs-appctl anycast/show` says.  For the main thread. */

#ifndef VSWITCHD_EXT_APPCTL_SHOW_H
#define VSWITCHD_EXT_APPCTL_SHOW_H 1

struct ds;
struct json;

/* The caller owns the result. */
struct json *appctl_show_json(void);

void appctl_show_text(struct ds *);

#endif /* vswitchd-ext/appctl-show.h */
