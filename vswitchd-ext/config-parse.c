#include <config.h>

#include "vswitchd-ext/config-parse.h"

#include <string.h>
#include <unistd.h>

#include "dirs.h"
#include "mapping/metrics-address.h"
#include "mapping/record.h"
#include "mapping/remote.h"
#include "smap.h"
#include "util.h"
#include "vswitchd-ext/address.h"

enum {
    FLOWS_DEFAULT = 1 << 20,
    FLOWS_MIN     = 1 << 10,
    FLOWS_MAX     = 1 << 27,
    FLOWS6_PART   = 4,          /* Of the IPv4 flows, by default. */
    FLOWS6_MIN    = 64,         /* The least table that there is. */
};

void
config_parse_free(struct config *config)
{
    if (config) {
        free(config->mapd);
        free(config->private_key);
        free(config->certificate);
        free(config->ca_cert);
        free(config->host);
        free(config->underlay);
        free(config->flows_file);
        free(config->table_file);
        free(config->region);
        free(config->zone);
        free(config->rack);
        free(config->metrics);
        free(config);
    }
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

/* One remote, or several with commas between them, each with its port; or
 * NULL.  The caller owns the result. */
static char *
read_remotes(const char *remotes)
{
    char *copy = xstrdup(remotes), *rest = copy, *remote;
    struct ds ds = DS_EMPTY_INITIALIZER;
    bool ok = true;

    while (ok && (remote = strsep(&rest, ",")) != NULL) {
        char *whole = (!strncmp(remote, "unix:/", 6) ? xstrdup(remote)
                       : remote_with_port(remote));

        ok = whole != NULL;
        if (ok) {
            ds_put_format(&ds, "%s%s", ds.length ? "," : "", whole);
        }
        free(whole);
    }
    free(copy);
    if (!ok) {
        ds_destroy(&ds);
        return NULL;
    }
    return ds_steal_cstr(&ds);
}

/* Each of these reads some keys of 'ids' into '*config'.  Returns NULL, or why
 * they cannot be used, which the caller frees. */

static char *
read_mapd(const struct smap *ids, struct config *config)
{
    const char *mapd = read_id(ids, "grapnel-mapd");

    if (!mapd) {
        return NULL;
    }
    config->mapd = read_remotes(mapd);
    return (config->mapd ? NULL
            : xasprintf("external_ids:grapnel-mapd: \"%s\" is neither "
                        "tcp:IP[:PORT], ssl:IP[:PORT] nor unix:PATH (of an "
                        "absolute path)", mapd));
}

/* Reads the name of a file into '*file', NULL if there is none. */
static char *
read_file(const struct smap *ids, const char *key, char **file)
{
    const char *text = read_id(ids, key);

    if (text && text[0] != '/') {
        return xasprintf("external_ids:%s: \"%s\" is not an absolute path",
                         key, text);
    }
    *file = nullable_xstrdup(text);
    return NULL;
}

static char *
read_tls(const struct smap *ids, struct config *config)
{
    char *error = read_file(ids, "grapnel-private-key", &config->private_key);

    if (!error) {
        error = read_file(ids, "grapnel-certificate", &config->certificate);
    }
    if (!error) {
        error = read_file(ids, "grapnel-ca-cert", &config->ca_cert);
    }
    if (!error && (!config->private_key != !config->certificate
                   || !config->private_key != !config->ca_cert)) {
        error = xasprintf("external_ids:grapnel-%s is missing: set "
                          "grapnel-private-key, grapnel-certificate and "
                          "grapnel-ca-cert, or none of them",
                          !config->private_key ? "private-key"
                          : !config->certificate ? "certificate" : "ca-cert");
    }
    return error;
}

static char *
read_host(const struct smap *ids, struct config *config)
{
    const char *host = read_id(ids, "grapnel-host");

    config->host = host ? xstrdup(host) : default_host_name(ids);
    if (!record_is_name(config->host)) {
        return xasprintf("host name \"%s\" is not 1-%d letters, digits or "
                         "._-, the first one a letter or digit: set "
                         "external_ids:grapnel-host", config->host,
                         RECORD_NAME_MAX);
    }
    return NULL;
}

static char *
read_vtep(const struct smap *ids, struct config *config)
{
    const char *text = read_id(ids, "grapnel-vtep");
    struct inet_addr vtep;

    if (!text) {
        return config->mapd ? xstrdup("external_ids:grapnel-vtep is missing: "
                                      "set it to this host's underlay address")
               : NULL;
    }
    if (!address_parse(text, &vtep) || !inet_addr_is_unicast(vtep)) {
        return xasprintf("external_ids:grapnel-vtep: \"%s\" is not a unicast "
                         "IPv4 or IPv6 address", text);
    }
    if (address_is_link_local(vtep)) {
        return xasprintf("external_ids:grapnel-vtep: \"%s\" is a link-local "
                         "address, which hosts on other links cannot reach",
                         text);
    }
    config->vtep = vtep;
    return NULL;
}

static char *
read_encap(const struct smap *ids, struct config *config)
{
    const char *encap = read_id(ids, "grapnel-encap");

    if (!encap || !strcmp(encap, "geneve")) {
        config->encap = TUNNEL_GENEVE;
    } else if (!strcmp(encap, "vxlan")) {
        config->encap = TUNNEL_VXLAN;
    } else {
        return xasprintf("external_ids:grapnel-encap: \"%s\" is neither "
                         "geneve nor vxlan", encap);
    }
    return NULL;
}

/* Reads the number of flows in 'key', 'def' if it is not there. */
static char *
read_n_flows(const struct smap *ids, const char *key, unsigned int min,
             unsigned int def, size_t *n_flows)
{
    const char *text = read_id(ids, key);
    unsigned int n = def;

    if (text && (!str_to_uint(text, 10, &n) || n < min || n > FLOWS_MAX)) {
        return xasprintf("external_ids:%s: \"%s\" is not a number in %u..%d",
                         key, text, min, FLOWS_MAX);
    }
    *n_flows = n;
    return NULL;
}

static char *
read_flows(const struct smap *ids, struct config *config)
{
    char *error = read_n_flows(ids, "grapnel-flows", FLOWS_MIN, FLOWS_DEFAULT,
                               &config->n_flows);

    return error ? error
           : read_n_flows(ids, "grapnel-flows6", FLOWS6_MIN,
                          config->n_flows / FLOWS6_PART, &config->n_flows6);
}

static char *
read_flows_file(const struct smap *ids, struct config *config)
{
    const char *file = read_id(ids, "grapnel-flows-file");

    if (!file) {
        config->flows_file = xasprintf("%s/grapnel-flows", ovs_rundir());
    } else if (file[0] == '/') {
        config->flows_file = xstrdup(file);
    } else if (strcmp(file, "none")) {
        return xasprintf("external_ids:grapnel-flows-file: \"%s\" is neither "
                         "an absolute path nor none", file);
    }
    return NULL;
}

static char *
read_table_file(const struct smap *ids, struct config *config)
{
    const char *file = read_id(ids, "grapnel-table-file");

    if (!file) {
        config->table_file = xasprintf("%s/grapnel-table", ovs_dbdir());
    } else if (file[0] == '/') {
        config->table_file = xstrdup(file);
    } else if (strcmp(file, "none")) {
        return xasprintf("external_ids:grapnel-table-file: \"%s\" is neither "
                         "an absolute path nor none", file);
    }
    return NULL;
}

static char *
read_label(const struct smap *ids, const char *key, char **label)
{
    const char *text = read_id(ids, key);

    if (text && !record_is_name(text)) {
        return xasprintf("external_ids:%s: \"%s\" is not 1-%d letters, digits "
                         "or ._-, the first one a letter or digit", key, text,
                         RECORD_NAME_MAX);
    }
    *label = nullable_xstrdup(text);
    return NULL;
}

static char *
read_labels(const struct smap *ids, struct config *config)
{
    char *error = read_label(ids, "grapnel-region", &config->region);

    if (!error) {
        error = read_label(ids, "grapnel-zone", &config->zone);
    }
    return error ? error : read_label(ids, "grapnel-rack", &config->rack);
}

static char *
read_metrics(const struct smap *ids, struct config *config)
{
    const char *text = read_id(ids, "grapnel-metrics");
    struct sockaddr_storage ss;

    if (text && metrics_address_parse(text, "grapnel-metrics", &ss, NULL)) {
        return xasprintf("external_ids:grapnel-metrics: \"%s\" is not "
                         "[IP:]PORT, as in 9464 or [2001:db8::1]:9464", text);
    }
    config->metrics = nullable_xstrdup(text);
    return NULL;
}

char *
config_parse(const struct smap *ids, struct config **configp)
{
    /* In order: whether a VTEP is needed depends on mapd. */
    static char *(*const readers[])(const struct smap *, struct config *) = {
        read_mapd, read_tls, read_host, read_vtep, read_encap, read_flows,
        read_flows_file, read_table_file, read_labels, read_metrics,
    };
    struct config *config = xzalloc(sizeof *config);
    char *error = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(readers) && !error; i++) {
        error = readers[i](ids, config);
    }
    if (error) {
        config_parse_free(config);
        config = NULL;
    } else {
        config->underlay = nullable_xstrdup(read_id(ids, "grapnel-underlay"));
    }
    *configp = config;
    return error;
}
