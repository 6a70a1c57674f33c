#include <config.h>
#include "mapping/catalog/catalog-state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "mapping/catalog/catalog.h"
#include "openvswitch/ofpbuf.h"
#include "unaligned.h"
#include "util.h"

enum { STATE_VERSION = 1, NARROW_NONE = 255 };

/* Encoding. */

static void
put_le(struct ofpbuf *b, uint32_t value, size_t n)
{
    uint8_t *p = ofpbuf_put_uninit(b, n);

    for (size_t i = 0; i < n; i++) {
        p[i] = value >> 8 * i;
    }
}

/* Of the narrowest entries that do; NULL is a table without any owner. */
static uint8_t
table_width(const uint16_t *table, size_t n)
{
    uint8_t width = 0;

    for (size_t i = 0; table && i < n; i++) {
        if (table[i] != GROUP_NO_ENDPOINT) {
            width = MAX(width, table[i] < NARROW_NONE ? 1 : 2);
        }
    }
    return width;
}

static void
put_table(struct ofpbuf *b, const uint16_t *table, size_t n)
{
    uint8_t width = table_width(table, n);
    uint8_t *p;

    put_le(b, width, 1);
    p = ofpbuf_put_uninit(b, n * width);
    for (size_t i = 0; width && i < n; i++) {
        *p++ = table[i];        /* GROUP_NO_ENDPOINT: NARROW_NONE. */
        if (width == 2) {
            *p++ = table[i] >> 8;
        }
    }
}

void
catalog_state_encode(const struct catalog_group *group, struct ofpbuf *b)
{
    BUILD_ASSERT((uint8_t) GROUP_NO_ENDPOINT == NARROW_NONE);
    put_le(b, STATE_VERSION, 1);
    put_le(b, group->id, 4);
    put_le(b, group->epoch, 4);
    put_le(b, group->next_index, 2);
    put_le(b, group->record.n_slots, 4);
    put_table(b, group->slots, group->record.n_slots);
    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        put_table(b, group->previous[i], group->record.n_slots);
    }
    put_le(b, group->n_endpoints, 2);
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct catalog_endpoint *e = group->endpoints[i];
        size_t length = strlen(e->record.name);

        put_le(b, e->index, 2);
        put_le(b, length, 1);
        ofpbuf_put(b, e->record.name, length);
    }
}

/* Decoding. */

struct reader {
    const uint8_t *p;
    size_t left;
    bool failed;
};

static const uint8_t *
get_bytes(struct reader *r, size_t n)
{
    const uint8_t *p = r->p;

    if (r->failed || n > r->left) {
        r->failed = true;
        return NULL;
    }
    r->p += n;
    r->left -= n;
    return p;
}

/* 0 if there is no more, or the number is over 'max'. */
static uint32_t
get_le(struct reader *r, size_t n, uint32_t max)
{
    const uint8_t *p = get_bytes(r, n);
    uint32_t value = 0;

    for (size_t i = 0; p && i < n; i++) {
        value |= (uint32_t) p[i] << 8 * i;
    }
    r->failed |= value > max;
    return r->failed ? 0 : value;
}

/* NULL for an empty table, which 'r->failed' tells from one that is none. */
static uint16_t *
get_table(struct reader *r, size_t n)
{
    uint8_t width = get_le(r, 1, 2);
    const uint8_t *p = get_bytes(r, n * width);
    uint16_t *table;

    if (!width || !p) {
        return NULL;
    }
    table = xmalloc(n * sizeof *table);
    for (size_t i = 0; i < n; i++) {
        uint16_t owner = *p++;

        if (width == 2) {
            owner |= *p++ << 8;
        } else if (owner == NARROW_NONE) {
            owner = GROUP_NO_ENDPOINT;
        }
        r->failed |= owner >= GROUP_MAX_ENDPOINTS
                     && owner != GROUP_NO_ENDPOINT;
        table[i] = owner;
    }
    r->failed |= table_width(table, n) != width;
    return table;
}

static void
get_endpoint(struct reader *r, struct catalog_state_endpoint *endpoint)
{
    const uint8_t *name;
    size_t length;

    endpoint->index = get_le(r, 2, GROUP_MAX_ENDPOINTS - 1);
    length = get_le(r, 1, RECORD_NAME_MAX);
    name = get_bytes(r, length);
    if (name) {
        memcpy(endpoint->name, name, length);
        r->failed |= strlen(endpoint->name) != length
                     || !record_is_name(endpoint->name);
    }
}

static void
get_endpoints(struct reader *r, struct catalog_state *state)
{
    size_t n = get_le(r, 2, GROUP_MAX_ENDPOINTS);
    unsigned long *used = bitmap_allocate(GROUP_MAX_ENDPOINTS);

    state->endpoints = xcalloc(MAX(n, 1), sizeof *state->endpoints);
    for (size_t i = 0; !r->failed && i < n; i++) {
        struct catalog_state_endpoint *e = &state->endpoints[i];

        get_endpoint(r, e);
        r->failed |= bitmap_is_set(used, e->index)
                     || (i && strcmp(e[-1].name, e->name) >= 0);
        bitmap_set1(used, e->index);
    }
    state->n_endpoints = n;
    bitmap_free(used);
}

static uint16_t *
empty_table(size_t n)
{
    uint16_t *table = xmalloc(n * sizeof *table);

    memset(table, 0xff, n * sizeof *table); /* GROUP_NO_ENDPOINT. */
    return table;
}

int
catalog_state_decode(const void *data, size_t size,
                     struct catalog_state **statep)
{
    struct reader r = { .p = data, .left = size };
    struct catalog_state *state = xzalloc(sizeof *state);

    r.failed |= get_le(&r, 1, UINT8_MAX) != STATE_VERSION;
    state->id = get_le(&r, 4, GROUP_MAX_ID);
    state->epoch = get_le(&r, 4, UINT32_MAX);
    state->next_index = get_le(&r, 2, GROUP_MAX_ENDPOINTS - 1);
    state->n_slots = get_le(&r, 4, GROUP_MAX_SLOTS);
    r.failed |= !state->id || !state->n_slots;
    state->slots = get_table(&r, state->n_slots);
    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        state->previous[i] = get_table(&r, state->n_slots);
    }
    get_endpoints(&r, state);
    if (r.failed || r.left) {
        catalog_state_destroy(state);
        return EPROTO;
    }
    if (!state->slots) {
        state->slots = empty_table(state->n_slots);
    }
    *statep = state;
    return 0;
}

void
catalog_state_destroy(struct catalog_state *state)
{
    if (state) {
        free(state->slots);
        for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
            free(state->previous[i]);
        }
        free(state->endpoints);
        free(state);
    }
}
