/* What connections of hosts have said of the health of endpoints on them, for
 * as long as they last: so that it can be done, or told, again.
 *
 * A host says what it has found of single endpoints, or that all but those are
 * well.  Not thread-safe. */

#ifndef MAPPING_MAPD_VERDICTS_H
#define MAPPING_MAPD_VERDICTS_H 1

#include <stdbool.h>
#include <stdint.h>

#include "mapping/report.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"

struct connection;

struct verdict {
    struct hmap_node node;      /* In verdicts->by_group. */
    struct ovs_list of_host;    /* In struct verdicts_of_host. */
    struct connection *conn;    /* Who has said it. */
    struct report_health said;
};

/* All there are. */
struct verdicts {
    struct hmap by_group;       /* struct verdict. */
};

/* Those of one connection. */
struct verdicts_of_host {
    struct ovs_list list;       /* struct verdict. */
    bool all;                   /* All other endpoints of the host are
                                 * well. */
};

void verdicts_init(struct verdicts *);
void verdicts_destroy(struct verdicts *);

/* 'host' is zeroed memory at first. */
void verdicts_clear(struct verdicts *, struct verdicts_of_host *host);
/* 'conn', whose verdicts are in 'host', says that all is well. */
void verdicts_set_all(struct verdicts *, struct verdicts_of_host *host);
void verdicts_put(struct verdicts *, struct verdicts_of_host *host,
                  struct connection *conn, const struct report_health *said);
void verdicts_remove(struct verdicts *, struct verdict *);
/* Those on endpoints of a group: the first one, and the next, or NULL; which
 * is to be found before one is removed. */
struct verdict *verdicts_first(const struct verdicts *, uint32_t group);
struct verdict *verdicts_next(const struct verdict *);
/* What 'conn' says of the endpoint, or NULL. */
const struct verdict *verdicts_find(const struct verdicts *,
                                    const struct connection *conn,
                                    uint32_t group, uint16_t endpoint);

#endif /* mapping/mapd/verdicts.h */
