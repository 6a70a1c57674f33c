#include <config.h>

#include "vswitchd-ext/config.h"

#include <string.h>

#include "lib/vswitch-idl.h"
#include "openvswitch/vlog.h"
#include "ovsdb-idl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(grapnel_config);

static struct ovsdb_idl *idl;
static unsigned int idl_seqno;
static struct config *current;
static char *error_text;

void
config_init(const char *ovsdb_remote)
{
    idl = ovsdb_idl_create(ovsdb_remote, &ovsrec_idl_class, false, true);

    /* As Open vSwitch's own lock: of two switches on one database, only one
     * may register this host. */
    ovsdb_idl_set_lock(idl, "grapnel_vswitchd");
    ovsdb_idl_add_column(idl, &ovsrec_open_vswitch_col_external_ids);
    ovsdb_idl_add_column(idl, &ovsrec_open_vswitch_col_bridges);
    ovsdb_idl_add_table(idl, &ovsrec_table_bridge);
    ovsdb_idl_add_column(idl, &ovsrec_bridge_col_name);
    ovsdb_idl_add_column(idl, &ovsrec_bridge_col_ports);
    ovsdb_idl_add_table(idl, &ovsrec_table_port);
    ovsdb_idl_add_column(idl, &ovsrec_port_col_interfaces);
    ovsdb_idl_add_table(idl, &ovsrec_table_interface);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_name);
}

void
config_exit(void)
{
    ovsdb_idl_destroy(idl);
    config_parse_free(current);
    current = NULL;
    free(error_text);
    error_text = NULL;
}

static void
config_set_error(char *error)
{
    if (error && !nullable_string_is_equal(error, error_text)) {
        VLOG_WARN("%s; the configuration before stays in force", error);
    }
    free(error_text);
    error_text = error;
}

bool
config_run(void)
{
    const struct ovsrec_open_vswitch *cfg;
    struct config *config;
    char *error;

    ovsdb_idl_run(idl);
    if (!ovsdb_idl_has_lock(idl)) {
        bool had_config = current != NULL;

        config_parse_free(current);
        current = NULL;
        idl_seqno = 0;
        return had_config;
    }
    if (ovsdb_idl_get_seqno(idl) == idl_seqno) {
        return false;
    }
    idl_seqno = ovsdb_idl_get_seqno(idl);

    cfg = ovsrec_open_vswitch_first(idl);
    if (!cfg) {
        return false;
    }
    error = config_parse(&cfg->external_ids, &config);
    config_set_error(error);
    if (config) {
        config_parse_free(current);
        current = config;
    }
    return true;
}

void
config_wait(void)
{
    ovsdb_idl_wait(idl);
}

const struct config *
config_get(void)
{
    return current;
}

const char *
config_error(void)
{
    return error_text;
}

static bool
bridge_has_interface(const struct ovsrec_bridge *bridge, const char *name)
{
    for (size_t i = 0; i < bridge->n_ports; i++) {
        const struct ovsrec_port *port = bridge->ports[i];

        for (size_t j = 0; j < port->n_interfaces; j++) {
            if (!strcmp(port->interfaces[j]->name, name)) {
                return true;
            }
        }
    }
    return false;
}

const char *
config_bridge_of(const char *name)
{
    const struct ovsrec_bridge *bridge;

    OVSREC_BRIDGE_FOR_EACH (bridge, idl) {
        if (bridge_has_interface(bridge, name)) {
            return bridge->name;
        }
    }
    return NULL;
}
