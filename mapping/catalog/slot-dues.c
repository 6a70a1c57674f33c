/* Highest averages gives out slots one by one, each to the claim with the
 * highest weight / (due + 1).  All slots that everyone gets before the average
 * falls below d are max(1, floor(weight / d)), so we start at a d that is a
 * little too high, and give out the rest (fewer than there are claims) from a
 * heap. */

#include <config.h>
#include "mapping/catalog/slot-dues.h"

#include <stdbool.h>
#include <stdlib.h>

#include "util.h"

struct dues {
    const struct slots_claim *claims;
    const uint32_t *held;
    uint32_t *due;
    size_t n;
    uint16_t heap[SLOTS_MAX_CLAIMS]; /* Next to get a slot first. */
    uint64_t order[SLOTS_MAX_CLAIMS]; /* See sort(). */
};

/* True if claim 'a' gets a slot before claim 'b'. */
static bool
is_before(const struct dues *dues, uint16_t a, uint16_t b)
{
    const struct slots_claim *claims = dues->claims;
    uint64_t average_a = (uint64_t) claims[a].weight * (dues->due[b] + 1);
    uint64_t average_b = (uint64_t) claims[b].weight * (dues->due[a] + 1);
    bool has_a = dues->held[a] > dues->due[a];
    bool has_b = dues->held[b] > dues->due[b];

    return (average_a != average_b ? average_a > average_b
            : has_a != has_b ? has_a
            : claims[a].index < claims[b].index);
}

static void
sift_down(struct dues *dues, size_t i)
{
    uint16_t moving = dues->heap[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= dues->n) {
            break;
        }
        if (child + 1 < dues->n
            && is_before(dues, dues->heap[child + 1], dues->heap[child])) {
            child++;
        }
        if (!is_before(dues, dues->heap[child], moving)) {
            break;
        }
        dues->heap[i] = dues->heap[child];
        i = child;
    }
    dues->heap[i] = moving;
}

/* Gives out 'n_slots' one by one. */
static void
give_out(struct dues *dues, size_t n_slots)
{
    for (size_t i = 0; i < dues->n; i++) {
        dues->heap[i] = i;
    }
    for (size_t i = dues->n / 2; i-- > 0; ) {
        sift_down(dues, i);
    }
    while (n_slots--) {
        dues->due[dues->heap[0]]++;
        sift_down(dues, 0);
    }
}

static int
compare_u64(const void *a_, const void *b_)
{
    uint64_t a = *(const uint64_t *) a_;
    uint64_t b = *(const uint64_t *) b_;

    return a < b ? -1 : a > b;
}

/* Lists in 'order' the claims from the lightest to the heaviest, as sort keys
 * whose low 16 bits are the claim's number.  Of equal ones, those that own
 * slots and have low indexes come last. */
static void
sort(struct dues *dues)
{
    for (size_t i = 0; i < dues->n; i++) {
        const struct slots_claim *claim = &dues->claims[i];

        ovs_assert(claim->weight);
        dues->order[i] = ((uint64_t) claim->weight << 33
                          | (uint64_t) (dues->held[i] > 0) << 32
                          | (uint32_t) (UINT16_MAX - claim->index) << 16
                          | i);
    }
    qsort(dues->order, dues->n, sizeof *dues->order, compare_u64);
}

/* Sets every due to max(1, floor(weight / d)) and returns the number of slots
 * left.  d is the average weight per slot of those that are not too light for
 * a slot by that average; the others have one all the same.  They are taken
 * out lightest first, which only raises d, so that none of them comes back. */
static size_t
give_floors(struct dues *dues, size_t n_slots)
{
    uint64_t weight = 0;
    size_t left, i;

    for (i = 0; i < dues->n; i++) {
        weight += dues->claims[i].weight;
    }
    for (i = 0; i < dues->n; i++) {
        uint16_t claim = dues->order[i];

        if ((uint64_t) dues->claims[claim].weight * n_slots >= weight) {
            break;
        }
        dues->due[claim] = 1;
        weight -= dues->claims[claim].weight;
        n_slots--;
    }
    left = n_slots;
    for (; i < dues->n; i++) {
        uint16_t claim = dues->order[i];

        dues->due[claim] = dues->claims[claim].weight * n_slots / weight;
        left -= dues->due[claim];
    }
    return left;
}

void
slot_dues(const struct slots_claim *claims, const uint32_t *held,
          size_t n, size_t n_slots, uint32_t *due)
{
    struct dues dues = {
        .claims = claims, .held = held, .due = due, .n = n,
    };

    ovs_assert(n > 0 && n <= SLOTS_MAX_CLAIMS);
    ovs_assert(n_slots > 0 && n_slots <= GROUP_MAX_SLOTS);

    sort(&dues);
    if (n > n_slots) {
        for (size_t i = 0; i < n; i++) {
            due[(uint16_t) dues.order[i]] = i >= n - n_slots;
        }
    } else {
        give_out(&dues, give_floors(&dues, n_slots));
    }
}
