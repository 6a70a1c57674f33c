#include "tests/cluster/mapping-model.h"

#include <string.h>

#include "mapping/catalog/slots.h"

void
mapping_model_init(struct mapping_model *model,
                   const enum group_algorithm algorithms[MODEL_GROUPS])
{
    memset(model, 0, sizeof *model);
    for (int g = 0; g < MODEL_GROUPS; g++) {
        struct model_group *group = &model->groups[g];

        group->id = g + 1;
        group->address = 0x0a010064 + g;
        group->protocol = g ? IPPROTO_NR_UDP : IPPROTO_NR_TCP;
        group->port = g ? 53 : 80;
        group->algorithm = algorithms[g];
        memset(group->slots, 0xff, sizeof group->slots);
        memset(group->previous, 0xff, sizeof group->previous);
    }
}

uint16_t
mapping_model_add(struct mapping_model *model, int g, uint32_t host,
                  uint16_t weight, uint32_t now_s)
{
    struct model_group *group = &model->groups[g];

    if (group->n_endpoints >= MODEL_ENDPOINTS) {
        return GROUP_NO_ENDPOINT;
    }
    group->endpoints[group->n_endpoints] = (struct model_endpoint) {
        .state = ENDPOINT_UP, .host = host, .weight = weight,
        .up_at_s = now_s,
    };
    return group->n_endpoints++;
}

void
mapping_model_remove(struct mapping_model *model, int g, uint16_t endpoint)
{
    struct model_group *group = &model->groups[g];

    group->endpoints[endpoint].state = ENDPOINT_ABSENT;
    for (int s = 0; s < MODEL_SLOTS; s++) {
        uint16_t *p = group->previous[s];

        for (int i = 0; i < GROUP_MAX_PREVIOUS; i++) {
            if (p[i] == endpoint) {
                memmove(&p[i], &p[i + 1],
                        (GROUP_MAX_PREVIOUS - 1 - i) * sizeof *p);
                p[GROUP_MAX_PREVIOUS - 1] = GROUP_NO_ENDPOINT;
            }
        }
    }
}

enum endpoint_state
mapping_model_state(const struct mapping_model *model, int g,
                    uint16_t endpoint)
{
    const struct model_endpoint *e = &model->groups[g].endpoints[endpoint];

    return e->state && model->dead[e->host] ? ENDPOINT_LOST : e->state;
}

unsigned int
mapping_model_n_up(const struct mapping_model *model, int g)
{
    unsigned int n = 0;

    for (uint16_t e = 0; e < model->groups[g].n_endpoints; e++) {
        n += mapping_model_state(model, g, e) == ENDPOINT_UP;
    }
    return n;
}

/* The history of a slot that passes from 'from' to 'to'. */
static void
pass_slot(const struct model_group *group, uint16_t p[GROUP_MAX_PREVIOUS],
          uint16_t from, uint16_t to)
{
    uint16_t next[GROUP_MAX_PREVIOUS + 1];
    int n = 0;

    if (from != GROUP_NO_ENDPOINT && group->endpoints[from].state) {
        next[n++] = from;
    }
    for (int i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        if (p[i] != GROUP_NO_ENDPOINT && p[i] != to && p[i] != from) {
            next[n++] = p[i];
        }
    }
    for (int i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        p[i] = i < n ? next[i] : GROUP_NO_ENDPOINT;
    }
}

void
mapping_model_commit(struct mapping_model *model, uint64_t seed)
{
    for (int g = 0; g < MODEL_GROUPS; g++) {
        struct model_group *group = &model->groups[g];
        struct slots_claim claims[MODEL_ENDPOINTS];
        uint16_t before[MODEL_SLOTS];
        size_t n = 0;

        for (uint16_t e = 0; e < group->n_endpoints; e++) {
            if (mapping_model_state(model, g, e) == ENDPOINT_UP) {
                claims[n++] = (struct slots_claim) {
                    e, group->endpoints[e].weight
                };
            }
        }
        memcpy(before, group->slots, sizeof before);
        if (slots_assign(group->slots, MODEL_SLOTS, claims, n, seed + g)) {
            group->epoch++;
        }
        for (int s = 0; s < MODEL_SLOTS; s++) {
            if (group->slots[s] != before[s]) {
                pass_slot(group, group->previous[s], before[s],
                          group->slots[s]);
            }
        }
    }
    model->revision++;
}
