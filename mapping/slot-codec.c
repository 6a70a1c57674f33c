#include <config.h>
#include "mapping/slot-codec.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "anycast/group.h"
#include "mapping/base64.h"
#include "util.h"

/* LEB128 numbers: seven bits a byte, the lowest first, the top bit set in all
 * bytes but the last.  The shortest form is the only one. */
enum {
    LEB_MAX_SIZE = 3,           /* Enough for any number of slots. */
    LEB_MORE     = 0x80,
    RUN_MAX_SIZE = 3 * LEB_MAX_SIZE,
};
BUILD_ASSERT_DECL(GROUP_MAX_SLOTS < 1 << (7 * LEB_MAX_SIZE));

/* Slots that get the same owner. */
struct run {
    uint32_t skip;              /* Slots between the previous run and this. */
    uint32_t length;
    uint32_t owner;             /* Endpoint index or GROUP_NO_ENDPOINT. */
};

static uint8_t *
put_leb(uint8_t *p, uint32_t value)
{
    for (; value >= LEB_MORE; value >>= 7) {
        *p++ = value | LEB_MORE;
    }
    *p++ = value;
    return p;
}

/* Reads a number at '*p' and moves '*p' behind it. */
static bool
get_leb(const uint8_t **p, const uint8_t *end, uint32_t *value)
{
    uint32_t v = 0;

    for (int i = 0; i < LEB_MAX_SIZE && *p < end; i++) {
        uint8_t byte = *(*p)++;

        v |= (uint32_t) (byte & ~LEB_MORE) << (7 * i);
        if (!(byte & LEB_MORE)) {
            *value = v;
            return byte || !i;
        }
    }
    return false;
}

/* Finds the first run at or after slot 'start'; false if there is none.  A run
 * goes on over slots that had its owner before, which saves another. */
static bool
find_run(const uint16_t *from, const uint16_t *to, size_t n, size_t start,
         struct run *run)
{
    size_t i = start;
    size_t first;

    while (i < n && to[i] == (from ? from[i] : GROUP_NO_ENDPOINT)) {
        i++;
    }
    first = i;
    while (i < n && to[i] == to[first]) {
        i++;
    }
    if (i == first) {
        return false;
    }
    run->skip = first - start;
    run->length = i - first;
    run->owner = to[first];
    return true;
}

char *
slot_codec_encode(const uint16_t *from, const uint16_t *to, size_t n)
{
    size_t size = 0, n_runs = 0, allocated = 0;
    uint8_t *data = NULL;
    struct run run;
    char *text;

    ovs_assert(n <= GROUP_MAX_SLOTS);
    for (size_t i = 0; find_run(from, to, n, i, &run);
         i += run.skip + run.length) {
        uint8_t *p;

        if (n_runs++ >= allocated) {
            data = x2nrealloc(data, &allocated, RUN_MAX_SIZE);
        }
        p = put_leb(data + size, run.skip);
        p = put_leb(p, run.length);
        p = put_leb(p, run.owner);
        size = p - data;
    }
    text = base64_encode(data, size);
    free(data);
    return text;
}

/* Reads a run, which must lie within the next 'n' slots. */
static bool
get_run(const uint8_t **p, const uint8_t *end, size_t n, struct run *run)
{
    return (get_leb(p, end, &run->skip)
            && get_leb(p, end, &run->length)
            && get_leb(p, end, &run->owner)
            && run->skip <= n
            && run->length > 0 && run->length <= n - run->skip
            && (run->owner < GROUP_MAX_ENDPOINTS
                || run->owner == GROUP_NO_ENDPOINT));
}

static bool
is_valid(const uint8_t *p, const uint8_t *end, size_t n)
{
    struct run run;

    while (p < end) {
        if (!get_run(&p, end, n, &run)) {
            return false;
        }
        n -= run.skip + run.length;
    }
    return true;
}

static void
apply(const uint8_t *p, const uint8_t *end, uint16_t *slots, size_t n)
{
    struct run run;
    size_t i = 0;

    while (p < end && get_run(&p, end, n - i, &run)) {
        i += run.skip;
        for (; run.length > 0; run.length--) {
            slots[i++] = run.owner;
        }
    }
}

int
slot_codec_apply(const char *text, uint16_t *slots, size_t n)
{
    uint8_t *data;
    size_t size;
    int error;

    error = base64_decode(text, &data, &size);
    if (error) {
        return error;
    }
    if (is_valid(data, data + size, n)) {
        apply(data, data + size, slots, n);
    } else {
        error = EPROTO;
    }
    free(data);
    return error;
}
