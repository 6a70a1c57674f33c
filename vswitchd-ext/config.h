/* What the operator wrote in OVSDB about this host: `external_ids:grapnel-*`
 * of the Open_vSwitch table (docs/architecture.md lists them), and which
 * bridge each of our ports is in.  For the main thread only. */

#ifndef VSWITCHD_EXT_CONFIG_H
#define VSWITCHD_EXT_CONFIG_H 1

#include <stdbool.h>

#include "vswitchd-ext/config-parse.h"

struct iface_set;

void config_init(const char *ovsdb_remote);
void config_exit(void);

/* True if the configuration or the bridges may have changed. */
bool config_run(void);
void config_wait(void);

/* The last valid configuration; NULL before the first one, and while another
 * process serves this database. */
const struct config *config_get(void);

/* Why the newest configuration is not in force, or NULL. */
const char *config_error(void);

/* The bridge that has an interface called 'name', or NULL. */
const char *config_bridge_of(const char *name);

/* Adds the ports of VMs: the interfaces of bridges that have an iface-id in
 * external_ids, and whose device is there. */
void config_list_ifaces(struct iface_set *);

#endif /* vswitchd-ext/config.h */
