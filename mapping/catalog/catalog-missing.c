#include <config.h>
#include "mapping/catalog/catalog-missing.h"

#include <inttypes.h>
#include <stdio.h>

#include "mapping/catalog/catalog-few.h"
#include "mapping/catalog/catalog-record-check.h"
#include "util.h"

int
catalog_missing_host(const struct catalog *catalog, const char *field,
                     const char *name, struct diagnosis *diag)
{
    int error = diagnosis_set(diag, DIAG_NOT_FOUND, field, name,
                              "host %s is not known", name);
    const struct catalog_host_node *host;
    struct catalog_few few = { .n = 0 };

    HMAP_FOR_EACH (host, by_name, &catalog->hosts) {
        catalog_few_add(&few, 0, host->record.name);
    }
    catalog_few_hint(&few, "'grapnelctl host add' makes one; known hosts:",
             "no host is known yet; 'grapnelctl host add' makes one", diag);
    return error;
}

int
catalog_missing_vni(const struct catalog *catalog, uint32_t vni,
                    struct diagnosis *diag)
{
    const struct catalog_group_node *node;
    struct catalog_few few = { .n = 0 };
    char text[16];
    int error;

    snprintf(text, sizeof text, "%"PRIu32, vni);
    error = diagnosis_set(diag, DIAG_NOT_FOUND, "vni", text,
                          "unknown VNI %s: no group is defined in it", text);
    HMAP_FOR_EACH (node, by_name, &catalog->groups) {
        snprintf(text, sizeof text, "%"PRIu32, node->group.record.vni);
        catalog_few_add(&few, node->group.record.vni, text);
    }
    catalog_few_hint(&few, "VNIs with groups:",
             "no group is known yet; 'grapnelctl group add' makes one", diag);
    return error;
}

int
catalog_missing_group(const struct catalog *catalog, const char *field,
                      uint32_t vni, const char *name, struct diagnosis *diag)
{
    const struct catalog_group_node *node;
    struct catalog_few few = { .n = 0 };
    char intro[32];
    int error;

    HMAP_FOR_EACH (node, by_name, &catalog->groups) {
        if (node->group.record.vni == vni) {
            catalog_few_add(&few, 0, node->group.record.name);
        }
    }
    if (!few.n) {
        return catalog_missing_vni(catalog, vni, diag);
    }
    error = diagnosis_set(diag, DIAG_NOT_FOUND, field, name,
                          "group %"PRIu32"/%s is not known", vni, name);
    snprintf(intro, sizeof intro, "groups of VNI %"PRIu32":", vni);
    catalog_few_hint(&few, intro, NULL, diag);
    return error;
}

static int
unknown_endpoint(const struct catalog_group *group,
                 const struct record_endpoint *key, struct diagnosis *diag)
{
    int error = diagnosis_set(diag, DIAG_NOT_FOUND, "name", key->name,
                              "endpoint %"PRIu32"/%s/%s is not known",
                              key->vni, key->group, key->name);
    struct catalog_few few = { .n = 0 };

    for (size_t i = 0; i < group->n_endpoints; i++) {
        catalog_few_add(&few, 0, group->endpoints[i]->record.name);
    }
    catalog_few_hint(&few, "its group has:", "its group has no endpoints",
                     diag);
    return error;
}

int
catalog_missing_record(const struct catalog *catalog,
                       const struct record *key, struct diagnosis *diag)
{
    const struct catalog_group_node *node;

    if (key->kind >= RECORD_FIRST_PLAIN) {
        return catalog_record_check_not_found(catalog, key, diag);
    }
    switch (key->kind) {
    case RECORD_HOST:
        return catalog_missing_host(catalog, "name", key->host.name, diag);

    case RECORD_GROUP:
        return catalog_missing_group(catalog, "name", key->group.vni,
                                     key->group.name, diag);

    case RECORD_ENDPOINT:
        node = catalog_index_group(catalog, key->endpoint.vni,
                                   key->endpoint.group);
        return (node ? unknown_endpoint(&node->group, &key->endpoint, diag)
                : catalog_missing_group(catalog, "group", key->endpoint.vni,
                                        key->endpoint.group, diag));

    default:
        break;
    }
    OVS_NOT_REACHED();
}
