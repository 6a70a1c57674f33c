#include <config.h>

#include "vswitchd-ext/config.h"

#include <limits.h>
#include <string.h>

#include "lib/vswitch-idl.h"
#include "mapping/remote.h"
#include "mapping/tls.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb-idl.h"
#include "smap.h"
#include "stream-ssl.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/iface-set.h"

VLOG_DEFINE_THIS_MODULE(grapnel_config);

static struct ovsdb_idl *idl;
static unsigned int idl_seqno;
static struct config *current;
static char *error_text;
static long long int retry_at = LLONG_MAX; /* time_msec(): look again whether
                                            * the certificate is there. */

enum { RETRY_MS = 1000 };

void
config_init(const char *ovsdb_remote)
{
    idl = ovsdb_idl_create(ovsdb_remote, &ovsrec_idl_class, false, true);

    /* As Open vSwitch's own lock: of two switches on one database, only one
     * may register this host. */
    ovsdb_idl_set_lock(idl, "grapnel_vswitchd");
    ovsdb_idl_add_column(idl, &ovsrec_open_vswitch_col_external_ids);
    ovsdb_idl_add_column(idl, &ovsrec_open_vswitch_col_bridges);
    ovsdb_idl_add_column(idl, &ovsrec_open_vswitch_col_ssl);
    ovsdb_idl_add_table(idl, &ovsrec_table_ssl);
    ovsdb_idl_add_column(idl, &ovsrec_ssl_col_private_key);
    ovsdb_idl_add_column(idl, &ovsrec_ssl_col_certificate);
    ovsdb_idl_add_column(idl, &ovsrec_ssl_col_ca_cert);
    ovsdb_idl_add_table(idl, &ovsrec_table_bridge);
    ovsdb_idl_add_column(idl, &ovsrec_bridge_col_name);
    ovsdb_idl_add_column(idl, &ovsrec_bridge_col_ports);
    ovsdb_idl_add_table(idl, &ovsrec_table_port);
    ovsdb_idl_add_column(idl, &ovsrec_port_col_interfaces);
    ovsdb_idl_add_table(idl, &ovsrec_table_interface);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_name);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_external_ids);
    ovsdb_idl_add_column(idl, &ovsrec_interface_col_ofport);
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

/* The certificate of this process, for all that it does with TLS, is that of
 * Open vSwitch's SSL table, or ours.  The table's files come to the library by
 * way of tls.c, too, which reads them again when just one of them changes.
 * Returns NULL, or why there is none, which the caller frees. */
static char *
use_tls(const struct ovsrec_ssl *ssl, const struct config *config)
{
    static bool trusts_anybody; /* The library does, from then on. */
    const struct tls_files ours = {
        config->private_key, config->certificate, config->ca_cert
    };
    const struct tls_files theirs = {
        ssl ? ssl->private_key : NULL, ssl ? ssl->certificate : NULL,
        ssl ? ssl->ca_cert : NULL
    };
    struct diagnosis diag;
    int error;

    trusts_anybody |= ssl && !strcmp(ssl->ca_cert, "none");
    if (!config->mapd || !remote_any_is_tls(config->mapd)) {
        return NULL;
    } else if (trusts_anybody) {
        return xstrdup("the SSL table has, or had, no CA, so that anybody may "
                       "pass for mapd: name one (ovs-vsctl set-ssl), and "
                       "restart the switch");
    } else if (ssl && ours.certificate) {
        return xstrdup("the SSL table and external_ids:grapnel-certificate "
                       "both name a certificate: remove one of them "
                       "(ovs-vsctl del-ssl)");
    } else if (!ssl && !ours.certificate) {
        return (stream_ssl_is_configured() ? NULL
                : xstrdup("external_ids:grapnel-mapd is ssl:, which needs a "
                          "certificate: ovs-vsctl set-ssl, or set "
                          "external_ids:grapnel-private-key, "
                          "grapnel-certificate and grapnel-ca-cert"));
    }
    ovs_mutex_lock(&tls_mutex);
    error = tls_use(ssl ? &theirs : &ours, &diag);
    ovs_mutex_unlock(&tls_mutex);
    return error ? xstrdup(diag.message) : NULL;
}

static void
refresh_tls(void)
{
    ovs_mutex_lock(&tls_mutex);
    tls_refresh();
    ovs_mutex_unlock(&tls_mutex);
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
    refresh_tls();
    if (ovsdb_idl_get_seqno(idl) == idl_seqno && time_msec() < retry_at) {
        return false;
    }
    idl_seqno = ovsdb_idl_get_seqno(idl);

    cfg = ovsrec_open_vswitch_first(idl);
    if (!cfg) {
        return false;
    }
    error = config_parse(&cfg->external_ids, &config);
    retry_at = LLONG_MAX;
    if (config) {
        error = use_tls(cfg->ssl, config);
        if (error) {
            config_parse_free(config);
            config = NULL;
            retry_at = time_msec() + RETRY_MS;
        }
    }
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
    if (retry_at != LLONG_MAX) {
        poll_timer_wait_until(retry_at);
    }
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

/* A port whose device is not there has an ofport of -1: after a crash, the
 * database may still have the ports of VMs that are gone. */
static void
add_iface(const struct ovsrec_interface *interface, struct iface_set *set)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
    const char *id = smap_get(&interface->external_ids, "iface-id");

    if (id && *id && interface->n_ofport && interface->ofport[0] > 0
        && !iface_set_add(set, id, smap_get(&interface->external_ids,
                                            "attached-mac"))) {
        VLOG_WARN_RL(&rl, "interface %s: external_ids:iface-id \"%.40s\" is "
                     "ignored: ids are 1 to %d of A-Z a-z 0-9 . _ : / @ -, "
                     "the first one a letter or digit", interface->name, id,
                     RECORD_IFACE_MAX);
    }
}

void
config_list_ifaces(struct iface_set *set)
{
    const struct ovsrec_bridge *bridge;

    OVSREC_BRIDGE_FOR_EACH (bridge, idl) {
        for (size_t i = 0; i < bridge->n_ports; i++) {
            const struct ovsrec_port *port = bridge->ports[i];

            for (size_t j = 0; j < port->n_interfaces; j++) {
                add_iface(port->interfaces[j], set);
            }
        }
    }
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
