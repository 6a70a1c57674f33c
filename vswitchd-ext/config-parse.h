/* Reads the keys `grapnel-*` of external_ids, as docs/architecture.md lists
 * them. */

#ifndef VSWITCHD_EXT_CONFIG_PARSE_H
#define VSWITCHD_EXT_CONFIG_PARSE_H 1

#include <stddef.h>

#include "encap/inet.h"
#include "encap/tunnel.h"

struct smap;

struct config {
    char *mapd;                 /* Remote, with its port, or NULL: not
                                 * configured. */
    /* PEM files for ssl:, absolute; NULL, all of them: Open vSwitch's own. */
    char *private_key, *certificate, *ca_cert;
    char *host;                 /* This host's name. */
    struct inet_addr vtep;      /* {0, 0}: not configured, nor is mapd. */
    enum tunnel_type encap;
    char *underlay;             /* Port or device, or NULL: find the port. */

    /* The flow table: capacities, and where it outlasts this process. */
    size_t n_flows;             /* IPv4. */
    size_t n_flows6;            /* IPv6. */
    char *flows_file;           /* Absolute, or NULL: nowhere. */

    char *table_file;           /* Keeps the mapping for a start without mapd:
                                 * absolute, or NULL: nowhere. */

    /* Where this host is, for the mapping service: names, or NULL for what it
     * says itself. */
    char *region, *zone, *rack;

    char *metrics;              /* [IP:]PORT, or NULL: tell nobody. */
};

/* Reads 'ids'.  Returns NULL and '*config', which the caller frees with
 * config_parse_free(); or why they cannot be used, for people, which the
 * caller frees, and NULL in '*config'. */
char *config_parse(const struct smap *ids, struct config **config);

void config_parse_free(struct config *);

#endif /* vswitchd-ext/config-parse.h */
