#include <config.h>

#include "vswitchd-ext/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/vswitch-idl.h"
#include "mapping/record.h"
#include "openvswitch/vlog.h"
#include "ovsdb-idl.h"
#include "packets.h"
#include "smap.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(grapnel_config);

enum {
    FLOWS_DEFAULT = 1 << 20,
    FLOWS_MIN     = 1 << 10,
    FLOWS_MAX     = 1 << 27,
};

static struct ovsdb_idl *idl;
static unsigned int idl_seqno;
static struct config *current;
static char *error_text;

static void
config_free(struct config *config)
{
    if (config) {
        free(config->mapd);
        free(config->host);
        free(config->underlay);
        free(config);
    }
}

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
    config_free(current);
    current = NULL;
    free(error_text);
    error_text = NULL;
}

static char *
default_host_name(const struct smap *ids)
{
    const char *system_id = smap_get(ids, "system-id");
    char name[256];

    if (system_id && *system_id) {
        return xstrdup(system_id);
    }
    if (gethostname(name, sizeof name)) {
        return xstrdup("localhost");
    }
    name[sizeof name - 1] = '\0';
    return xstrdup(name);
}

static const char *
read_id(const struct smap *ids, const char *key)
{
    const char *value = smap_get(ids, key);

    return value && *value ? value : NULL;
}

static bool
is_remote(const char *remote)
{
    struct sockaddr_storage ss;

    return (!strncmp(remote, "unix:", 5) && remote[5] == '/')
           || (!strncmp(remote, "tcp:", 4)
               && inet_parse_active(remote + 4, 0, &ss, false, NULL));
}

/* Reads 'ids' into '*config'.  Returns NULL, or why it cannot be used, which
 * the caller frees. */
static char *
config_parse(const struct smap *ids, struct config *config)
{
    const char *mapd = read_id(ids, "grapnel-mapd");
    const char *host = read_id(ids, "grapnel-host");
    const char *vtep = read_id(ids, "grapnel-vtep");
    const char *encap = read_id(ids, "grapnel-encap");
    const char *flows = read_id(ids, "grapnel-flows");
    unsigned int n_flows = FLOWS_DEFAULT;

    config->mapd = nullable_xstrdup(mapd);
    config->host = host ? xstrdup(host) : default_host_name(ids);
    config->underlay = nullable_xstrdup(read_id(ids, "grapnel-underlay"));

    if (mapd && !is_remote(mapd)) {
        return xasprintf("external_ids:grapnel-mapd: \"%s\" is neither "
                         "tcp:IP:PORT nor unix:PATH", mapd);
    }
    if (!record_is_name(config->host)) {
        return xasprintf("host name \"%s\" is not 1-%d letters, digits or "
                         "._-, the first one a letter or digit: set "
                         "external_ids:grapnel-host", config->host,
                         RECORD_NAME_MAX);
    }
    if (vtep) {
        ovs_be32 ip;

        if (!ip_parse(vtep, &ip) || !inet_is_unicast4(ntohl(ip))) {
            return xasprintf("external_ids:grapnel-vtep: \"%s\" is not a "
                             "unicast IPv4 address", vtep);
        }
        config->vtep = ntohl(ip);
    } else if (mapd) {
        return xstrdup("external_ids:grapnel-vtep is missing: set it to this "
                       "host's underlay address");
    }
    if (!encap || !strcmp(encap, "geneve")) {
        config->encap = TUNNEL_GENEVE;
    } else if (!strcmp(encap, "vxlan")) {
        config->encap = TUNNEL_VXLAN;
    } else {
        return xasprintf("external_ids:grapnel-encap: \"%s\" is neither "
                         "geneve nor vxlan", encap);
    }
    if (flows && (!str_to_uint(flows, 10, &n_flows)
                  || n_flows < FLOWS_MIN || n_flows > FLOWS_MAX)) {
        return xasprintf("external_ids:grapnel-flows: \"%s\" is not a number "
                         "in %d..%d", flows, FLOWS_MIN, FLOWS_MAX);
    }
    config->n_flows = n_flows;
    return NULL;
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

        config_free(current);
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
    config = xzalloc(sizeof *config);
    error = config_parse(&cfg->external_ids, config);
    config_set_error(error);
    if (error) {
        config_free(config);
    } else {
        config_free(current);
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
