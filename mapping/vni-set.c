#include <config.h>

#include "mapping/vni-set.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "encap/tunnel.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

enum { DIGITS_MAX = 8 };        /* Of a VNI. */

void
vni_set_destroy(struct vni_set *set)
{
    free(set->ranges);
    *set = (struct vni_set) VNI_SET_EMPTY;
}

void
vni_set_add(struct vni_set *set, uint32_t first, uint32_t last)
{
    if (set->n >= set->allocated) {
        set->ranges = x2nrealloc(set->ranges, &set->allocated,
                                 sizeof *set->ranges);
    }
    set->ranges[set->n++] = (struct vni_range) { first, last };
}

static int
compare_firsts(const void *a_, const void *b_)
{
    const struct vni_range *a = a_, *b = b_;

    return a->first < b->first ? -1 : a->first > b->first;
}

void
vni_set_normalize(struct vni_set *set)
{
    size_t n = 0;

    if (set->n) {
        qsort(set->ranges, set->n, sizeof *set->ranges, compare_firsts);
    }
    for (size_t i = 0; i < set->n; i++) {
        const struct vni_range r = set->ranges[i];

        if (n && r.first <= set->ranges[n - 1].last + 1) {
            set->ranges[n - 1].last = MAX(set->ranges[n - 1].last, r.last);
        } else {
            set->ranges[n++] = r;
        }
    }
    set->n = n;
}

void
vni_set_assign(struct vni_set *set, const struct vni_range *ranges, size_t n)
{
    set->n = 0;
    for (size_t i = 0; i < n; i++) {
        vni_set_add(set, ranges[i].first, ranges[i].last);
    }
    vni_set_normalize(set);
}

void
vni_set_fill(struct vni_set *set)
{
    set->n = 0;
    vni_set_add(set, 1, VNI_MAX);
}

bool
vni_set_is_full(const struct vni_set *set)
{
    return (set->n == 1 && set->ranges[0].first == 1
            && set->ranges[0].last == VNI_MAX);
}

static int
compare_to_range(const void *vni_, const void *range_)
{
    const struct vni_range *range = range_;
    const uint32_t *vni = vni_;

    return *vni < range->first ? -1 : *vni > range->last;
}

bool
vni_set_has(const struct vni_set *set, uint32_t vni)
{
    return set->n && bsearch(&vni, set->ranges, set->n, sizeof *set->ranges,
                             compare_to_range);
}

bool
vni_set_equal(const struct vni_set *a, const struct vni_set *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (a->ranges[i].first != b->ranges[i].first
            || a->ranges[i].last != b->ranges[i].last) {
            return false;
        }
    }
    return true;
}

void
vni_set_intersect(struct vni_set *set, const struct vni_set *a,
                  const struct vni_set *b)
{
    size_t i = 0, j = 0;

    set->n = 0;
    while (i < a->n && j < b->n) {
        const struct vni_range *x = &a->ranges[i], *y = &b->ranges[j];
        uint32_t first = MAX(x->first, y->first);
        uint32_t last = MIN(x->last, y->last);

        if (first <= last) {
            vni_set_add(set, first, last);
        }
        if (x->last < y->last) {
            i++;
        } else {
            j++;
        }
    }
}

void
vni_set_subtract(struct vni_set *set, const struct vni_set *a,
                 const struct vni_set *b)
{
    struct vni_set others = VNI_SET_EMPTY;
    uint32_t next = 1;          /* What lies between those of 'b'. */

    for (size_t j = 0; j < b->n; j++) {
        if (b->ranges[j].first > next) {
            vni_set_add(&others, next, b->ranges[j].first - 1);
        }
        next = b->ranges[j].last + 1;
    }
    if (next <= VNI_MAX) {
        vni_set_add(&others, next, VNI_MAX);
    }
    vni_set_intersect(set, a, &others);
    vni_set_destroy(&others);
}

/* Text. */

char *
vni_set_to_excerpt(const struct vni_set *set, size_t max)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < MIN(set->n, max); i++) {
        const struct vni_range *r = &set->ranges[i];

        ds_put_format(&ds, "%s%"PRIu32, i ? "," : "", r->first);
        if (r->last != r->first) {
            ds_put_format(&ds, "-%"PRIu32, r->last);
        }
    }
    ds_put_cstr(&ds, set->n > max ? ",..." : "");
    return ds_steal_cstr(&ds);
}

char *
vni_set_to_text(const struct vni_set *set)
{
    return vni_set_to_excerpt(set, SIZE_MAX);
}

/* Reads a VNI at '*text' and moves '*text' behind it. */
static bool
scan_vni(const char **text, uint32_t *vni)
{
    const char *p = *text;
    uint32_t value = 0;

    while (*p >= '0' && *p <= '9' && p - *text < DIGITS_MAX) {
        value = value * 10 + *p++ - '0';
    }
    if (p == *text || value < 1 || value > VNI_MAX) {
        return false;
    }
    *vni = value;
    *text = p;
    return true;
}

bool
vni_set_from_text(const char *text, struct vni_set *set)
{
    struct vni_set new = VNI_SET_EMPTY;

    while (*text) {
        uint32_t first, last;
        bool ok = scan_vni(&text, &first);

        last = ok ? first : 0;
        if (ok && *text == '-') {
            text++;
            ok = scan_vni(&text, &last) && last >= first;
        }
        /* A comma has something behind it. */
        if (!ok || (*text && (*text != ',' || !*++text))) {
            vni_set_destroy(&new);
            return false;
        }
        vni_set_add(&new, first, last);
    }
    vni_set_normalize(&new);
    vni_set_destroy(set);
    *set = new;
    return true;
}
