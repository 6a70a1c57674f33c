/* Grapnel inside the switch: what main() adds to Open vSwitch's own loop.
 *
 * Call in the order below; all from the main thread. */

#ifndef VSWITCHD_EXT_GRAPNEL_H
#define VSWITCHD_EXT_GRAPNEL_H 1

/* Before bridge_init(): registers port types and commands, starts the agent.
 * 'ovsdb_remote' is the database that the bridge reads too. */
void grapnel_init(const char *ovsdb_remote);

/* After bridge_run() and bridge_wait(). */
void grapnel_run(void);
void grapnel_wait(void);

/* Before bridge_exit(). */
void grapnel_exit(void);

#endif /* vswitchd-ext/grapnel.h */
