/* A group's state from a store that anybody may have written to: what is
 * decoded is within all bounds, and is encoded as it was. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog-state.h"
#include "mapping/catalog/catalog.h"
#include "openvswitch/ofpbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(X) do { if (!(X)) { __builtin_trap(); } } while (0)

/* The group whose state 'state' is. */
static void
encode(const struct catalog_state *state, struct ofpbuf *b)
{
    struct catalog_group group = { .id = state->id, .epoch = state->epoch,
                                   .next_index = state->next_index,
                                   .slots = state->slots,
                                   .n_endpoints = state->n_endpoints };
    struct catalog_endpoint *endpoints
        = calloc(state->n_endpoints + 1, sizeof *endpoints);
    struct catalog_endpoint *pointers[GROUP_MAX_ENDPOINTS];

    group.record.n_slots = state->n_slots;
    memcpy(group.previous, state->previous, sizeof group.previous);
    group.endpoints = pointers;
    for (size_t i = 0; i < state->n_endpoints; i++) {
        CHECK(state->endpoints[i].index < GROUP_MAX_ENDPOINTS);
        endpoints[i].index = state->endpoints[i].index;
        memcpy(endpoints[i].record.name, state->endpoints[i].name,
               sizeof endpoints[i].record.name);
        pointers[i] = &endpoints[i];
    }
    catalog_state_encode(&group, b);
    free(endpoints);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct catalog_state *state;
    struct ofpbuf b;

    if (catalog_state_decode(data, size, &state)) {
        return 0;
    }
    for (size_t i = 0; i < state->n_slots; i++) {
        CHECK(state->slots[i] < GROUP_MAX_ENDPOINTS
              || state->slots[i] == GROUP_NO_ENDPOINT);
    }
    ofpbuf_init(&b, 0);
    encode(state, &b);
    CHECK(b.size == size && !memcmp(b.data, data, size));
    ofpbuf_uninit(&b);
    catalog_state_destroy(state);
    return 0;
}
