/* What is accepted, and has no effect.  Members are not refused for that: an
 * operator may prepare what a later change of the group turns on. */

#include <config.h>

#include "mapping/mapd/server-change.h"

#include <inttypes.h>

#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "util.h"

struct idle_member {
    const char *name;
    const char *remedy;         /* What would make it count. */
    bool idle;                  /* It is not at rest, and does not count. */
};

static void
warn(const struct idle_member members[], size_t n, const char *key,
     const struct json *given, struct json *warnings)
{
    for (size_t i = 0; i < n; i++) {
        const struct idle_member *m = &members[i];

        if (m->idle && shash_find(json_object(given), m->name)) {
            json_array_add(warnings, json_string_create_nocopy(
                               xasprintf("%s: %s has no effect without %s",
                                         key, m->name, m->remedy)));
        }
    }
}

static void
warn_group(const struct record_group *g, const char *key,
           const struct json *given, struct json *warnings)
{
    const struct idle_member members[] = {
        { "affinity_timeout", "affinity source",
          g->affinity != AFFINITY_SOURCE
          && g->affinity_timeout != RECORD_AFFINITY_S },
        { "distance", "algorithm nearest",
          g->algorithm != ALGORITHM_NEAREST && g->measured_distance },
        { "quic_id_offset", "quic_id_length",
          !g->quic_id_length && g->quic_id_offset },
    };

    warn(members, ARRAY_SIZE(members), key, given, warnings);
}

static void
warn_endpoint(const struct record_group *g, const struct record_endpoint *e,
              const char *key, const struct json *given,
              struct json *warnings)
{
    const struct idle_member members[] = {
        { "cost", "the group's algorithm least-cost",
          g->algorithm != ALGORITHM_LEAST_COST && e->cost },
        { "priority", "the group's algorithm availability",
          g->algorithm != ALGORITHM_AVAILABILITY && e->priority },
    };

    const struct json *host = shash_find_data(json_object(given), "host");

    warn(members, ARRAY_SIZE(members), key, given, warnings);
    if (e->iface[0] && host && host->type == JSON_STRING
        && *json_string(host)) {
        json_array_add(warnings, json_string_create_nocopy(
                           xasprintf("%s: host is where port %s is, whatever "
                                     "is given", key, e->iface)));
    }
}

void
server_change_warn(const struct catalog *catalog, const struct json *given,
                   struct json *warnings)
{
    char key[RECORD_KEY_SIZE];
    struct record record;

    if (record_key_from_json(given, &record, NULL)
        || !catalog_find_record(catalog, &record, &record)) {
        return;
    }
    record_format_key(&record, key);
    if (record.kind == RECORD_GROUP) {
        warn_group(&record.group, key, given, warnings);
    } else if (record.kind == RECORD_ENDPOINT) {
        const struct catalog_group *group
            = catalog_find_group(catalog, record.endpoint.vni,
                                 record.endpoint.group);

        warn_endpoint(&group->record, &record.endpoint, key, given, warnings);
    }
}
