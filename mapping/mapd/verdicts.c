#include <config.h>

#include "mapping/mapd/verdicts.h"

#include <stdlib.h>

#include "hash.h"
#include "util.h"

void
verdicts_init(struct verdicts *verdicts)
{
    hmap_init(&verdicts->by_group);
}

void
verdicts_destroy(struct verdicts *verdicts)
{
    struct verdict *v;

    HMAP_FOR_EACH_SAFE (v, node, &verdicts->by_group) {
        verdicts_remove(verdicts, v);
    }
    hmap_destroy(&verdicts->by_group);
}

void
verdicts_remove(struct verdicts *verdicts, struct verdict *v)
{
    hmap_remove(&verdicts->by_group, &v->node);
    ovs_list_remove(&v->of_host);
    free(v);
}

void
verdicts_clear(struct verdicts *verdicts, struct verdicts_of_host *host)
{
    struct verdict *v;

    if (host->list.next) {
        LIST_FOR_EACH_SAFE (v, of_host, &host->list) {
            verdicts_remove(verdicts, v);
        }
    }
    ovs_list_init(&host->list);
    host->all = false;
}

void
verdicts_set_all(struct verdicts *verdicts, struct verdicts_of_host *host)
{
    verdicts_clear(verdicts, host);
    host->all = true;
}

struct verdict *
verdicts_first(const struct verdicts *verdicts, uint32_t group)
{
    struct hmap_node *node = hmap_first_with_hash(&verdicts->by_group,
                                                  hash_int(group, 0));

    return node ? CONTAINER_OF(node, struct verdict, node) : NULL;
}

struct verdict *
verdicts_next(const struct verdict *v)
{
    struct hmap_node *node = hmap_next_with_hash(&v->node);

    return node ? CONTAINER_OF(node, struct verdict, node) : NULL;
}

static struct verdict *
find(const struct verdicts *verdicts, const struct connection *conn,
     uint32_t group, uint16_t endpoint)
{
    struct verdict *v;

    HMAP_FOR_EACH_WITH_HASH (v, node, hash_int(group, 0),
                             &verdicts->by_group) {
        if (v->conn == conn && v->said.group == group
            && v->said.endpoint == endpoint) {
            return v;
        }
    }
    return NULL;
}

const struct verdict *
verdicts_find(const struct verdicts *verdicts, const struct connection *conn,
              uint32_t group, uint16_t endpoint)
{
    return find(verdicts, conn, group, endpoint);
}

void
verdicts_put(struct verdicts *verdicts, struct verdicts_of_host *host,
             struct connection *conn, const struct report_health *said)
{
    struct verdict *v = find(verdicts, conn, said->group, said->endpoint);

    if (!host->list.next) {
        ovs_list_init(&host->list);
    }
    if (v && said->healthy && host->all) {
        verdicts_remove(verdicts, v); /* It goes without saying. */
    } else if (v) {
        v->said = *said;
    } else if (!said->healthy || !host->all) {
        v = xmalloc(sizeof *v);
        v->conn = conn;
        v->said = *said;
        hmap_insert(&verdicts->by_group, &v->node,
                    hash_int(said->group, 0));
        ovs_list_push_back(&host->list, &v->of_host);
    }
}
