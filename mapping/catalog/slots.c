/* Two passes over the table: one counts who has what, the other takes slots
 * from owners that have too many (a uniform sample of theirs: Knuth, TAOCP 2,
 * algorithm 3.4.2S) and from those that are gone, and deals out in their place
 * a shuffled deck with a card for each slot that someone is short of. */

#include <config.h>
#include "mapping/catalog/slots.h"

#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/slot-dues.h"
#include "util.h"

enum {
    NO_CLAIM = 0xffff,          /* In claim_of[]: not (or no longer) here. */
};

struct assignment {
    const struct slots_claim *claims;
    size_t n;
    uint64_t random;            /* State of the generator. */

    uint16_t claim_of[GROUP_MAX_ENDPOINTS]; /* By endpoint index. */

    /* By claim. */
    uint32_t held[SLOTS_MAX_CLAIMS];
    uint32_t due[SLOTS_MAX_CLAIMS];

    uint16_t *deck;             /* New owners, an endpoint index each. */
    size_t n_deck;
};

/* Uniform in 0...n-1 (but for 2**-47 of bias), n at most 2**17.  The generator
 * is splitmix64: Steele, Lea and Flood, OOPSLA 2014. */
static uint32_t
random_below(struct assignment *a, uint32_t n)
{
    uint64_t z = a->random += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return (unsigned __int128) z * n >> 64;
}

static uint16_t
find_claim(const struct assignment *a, uint16_t owner)
{
    return owner < GROUP_MAX_ENDPOINTS ? a->claim_of[owner] : NO_CLAIM;
}

static void
count_held(struct assignment *a, const uint16_t *slots, size_t n_slots)
{
    memset(a->claim_of, 0xff, sizeof a->claim_of);
    memset(a->held, 0, a->n * sizeof *a->held);
    for (size_t i = 0; i < a->n; i++) {
        ovs_assert(a->claims[i].index < GROUP_MAX_ENDPOINTS);
        ovs_assert(a->claim_of[a->claims[i].index] == NO_CLAIM);
        a->claim_of[a->claims[i].index] = i;
    }
    for (size_t i = 0; i < n_slots; i++) {
        uint16_t claim = find_claim(a, slots[i]);

        if (claim != NO_CLAIM) {
            a->held[claim]++;
        }
    }
}

/* Makes the deck of what the claims are short of. */
static void
stack_deck(struct assignment *a)
{
    size_t n = 0;

    for (size_t i = 0; i < a->n; i++) {
        n += a->due[i] > a->held[i] ? a->due[i] - a->held[i] : 0;
    }
    a->deck = xmalloc(MAX(n, 1) * sizeof *a->deck);
    a->n_deck = 0;
    for (size_t i = 0; i < a->n; i++) {
        for (uint32_t have = a->held[i]; have < a->due[i]; have++) {
            a->deck[a->n_deck++] = a->claims[i].index;
        }
    }
    ovs_assert(a->n_deck == n);
}

/* Takes a random card off the deck. */
static uint16_t
deal(struct assignment *a)
{
    size_t i = random_below(a, a->n_deck);
    uint16_t owner = a->deck[i];

    a->deck[i] = a->deck[--a->n_deck];
    return owner;
}

/* True if the owner of a slot must give it up, which it then has.  Turns
 * held[] and due[] into what the owner has, and keeps, from here on. */
static bool
give_up(struct assignment *a, uint16_t claim)
{
    if (claim == NO_CLAIM) {
        return true;
    }
    if (a->held[claim] <= a->due[claim]) {
        return false;
    }
    if (random_below(a, a->held[claim]--) < a->due[claim]) {
        a->due[claim]--;
        return false;
    }
    return true;
}

static size_t
clear(uint16_t *slots, size_t n_slots)
{
    size_t n_changed = 0;

    for (size_t i = 0; i < n_slots; i++) {
        n_changed += slots[i] != GROUP_NO_ENDPOINT;
        slots[i] = GROUP_NO_ENDPOINT;
    }
    return n_changed;
}

size_t
slots_assign(uint16_t *slots, size_t n_slots,
             const struct slots_claim *claims, size_t n, uint64_t seed)
{
    struct assignment a = { .claims = claims, .n = n, .random = seed };
    size_t n_changed;

    ovs_assert(n <= SLOTS_MAX_CLAIMS && n_slots <= GROUP_MAX_SLOTS);
    if (!n || !n_slots) {
        return clear(slots, n_slots);
    }

    count_held(&a, slots, n_slots);
    slot_dues(claims, a.held, n, n_slots, a.due);
    stack_deck(&a);
    n_changed = a.n_deck;
    for (size_t i = 0; n_changed && i < n_slots; i++) {
        if (give_up(&a, find_claim(&a, slots[i]))) {
            slots[i] = deal(&a);
        }
    }
    ovs_assert(!a.n_deck);
    free(a.deck);
    return n_changed;
}
