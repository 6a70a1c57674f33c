/* `ovs-appctl anycast/...`: show, flows, trace, drops.  Each answers in JSON
 * when given --json. */

#ifndef VSWITCHD_EXT_APPCTL_H
#define VSWITCHD_EXT_APPCTL_H 1

void appctl_init(void);

#endif /* vswitchd-ext/appctl.h */
