/* Sets of VNIs, as ranges.
 *
 *     struct vni_set set = VNI_SET_EMPTY;
 *
 *     vni_set_add(&set, 200, 299);
 *     vni_set_add(&set, 100, 100);
 *     vni_set_normalize(&set);
 *     text = vni_set_to_text(&set);        "100,200-299"
 *
 * All functions but vni_set_add() and vni_set_normalize() want normalized
 * sets, and make such.  Not thread-safe. */

#ifndef MAPPING_VNI_SET_H
#define MAPPING_VNI_SET_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vni_range {
    uint32_t first, last;       /* 1...VNI_MAX, the last one included. */
};

/* Normalized: ascending, with at least one VNI between any two. */
struct vni_set {
    struct vni_range *ranges;
    size_t n, allocated;
};

#define VNI_SET_EMPTY { .ranges = NULL, .n = 0, .allocated = 0 }

void vni_set_destroy(struct vni_set *);
/* Replaces what is in 'set' by the ranges at 'ranges', normalized. */
void vni_set_assign(struct vni_set *set, const struct vni_range *ranges,
                    size_t n);

void vni_set_add(struct vni_set *, uint32_t first, uint32_t last);
void vni_set_normalize(struct vni_set *);

/* All VNIs there are. */
void vni_set_fill(struct vni_set *);
bool vni_set_is_full(const struct vni_set *);

bool vni_set_has(const struct vni_set *, uint32_t vni);
bool vni_set_equal(const struct vni_set *, const struct vni_set *);

/* Replaces what is in 'set', which is neither of the two, by what is in 'a'
 * and (not) in 'b'. */
void vni_set_intersect(struct vni_set *set, const struct vni_set *a,
                       const struct vni_set *b);
void vni_set_subtract(struct vni_set *set, const struct vni_set *a,
                      const struct vni_set *b);

/* "100,200-299"; "" if it is empty.  The caller owns it. */
char *vni_set_to_text(const struct vni_set *);
/* The same with an end of "..." if there are more than 'max' ranges. */
char *vni_set_to_excerpt(const struct vni_set *, size_t max);
/* Reads such a text, in any order, ranges may overlap.  Returns false, and
 * leaves '*set' alone, if it is malformed. */
bool vni_set_from_text(const char *text, struct vni_set *set);

#endif /* mapping/vni-set.h */
