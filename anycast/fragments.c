/* A hash table of datagrams, each on one of two lists, in the order of its
 * time:
 *
 *   waiting   has packets and no verdict: at most FRAGMENTS_HELD datagrams, as
 *             each has a packet at least;
 *   known     has a verdict and no packets.
 *
 * A datagram's time starts when the first of its fragments is seen, as a
 * reassembly timer does (RFC 791 section 3.2, RFC 8200 section 4.5), and again
 * with its first fragment, which may begin another datagram under the same
 * identification.  So the head of each list times out first, and is who gives
 * way.  A flood of later fragments only pushes out waiting ones, one of first
 * fragments only known ones.
 *
 * Packets that are on their way out, ready or expired, have places of their
 * own, so that a packet that gives way to another does not take its place as
 * well. */

#include "anycast/fragments.h"

#include <assert.h>
#include <stdlib.h>

enum {
    N_CHAINS = 2 * FRAGMENT_DATAGRAMS, /* A power of two. */
    N_PACKETS = 2 * FRAGMENTS_HELD,
    NONE = 0xffff,              /* No datagram, no packet. */
};
static_assert((int) FRAGMENT_DATAGRAMS > (int) FRAGMENTS_HELD,
              "a full table has known datagrams");
static_assert((int) FRAGMENT_DATAGRAMS < (int) NONE, "numbers fit");

struct packet {
    void *cookie;
    uint16_t next;              /* Of its queue, or of the free ones. */
};

/* Packets, first in, first out. */
struct queue {
    uint16_t head, tail;        /* NONE: empty; 'tail' then means nothing. */
    uint16_t n;
};

struct datagram {
    struct fragment_key key;
    struct fragment_verdict verdict; /* If 'known'. */
    uint64_t since_ms;
    struct queue held;
    uint16_t chained;           /* Next of its chain, or of the free ones. */
    uint16_t prev, next;        /* On its list. */
    bool known;
};

/* Datagrams, those whose time started first at the head. */
struct list {
    uint16_t head, tail;
};

struct fragments {
    struct hash_key key;
    uint16_t chains[N_CHAINS];
    struct list waiting, known;
    uint16_t free_datagram;
    uint16_t free_packet;
    uint16_t n_held;            /* Packets of all waiting datagrams. */
    struct queue ready, expired;
    struct datagram datagrams[FRAGMENT_DATAGRAMS];
    struct packet packets[N_PACKETS];
};

static const struct queue empty_queue = { NONE, NONE, 0 };

struct fragments *
fragments_create(const struct hash_key *key)
{
    struct fragments *f = malloc(sizeof *f);

    if (!f) {
        return NULL;
    }
    f->key = *key;
    f->waiting = f->known = (struct list) { NONE, NONE };
    f->ready = f->expired = empty_queue;
    f->n_held = 0;
    for (int i = 0; i < N_CHAINS; i++) {
        f->chains[i] = NONE;
    }
    f->free_datagram = f->free_packet = NONE;
    for (int i = 0; i < FRAGMENT_DATAGRAMS; i++) {
        f->datagrams[i].chained = f->free_datagram;
        f->free_datagram = i;
    }
    for (int i = 0; i < N_PACKETS; i++) {
        f->packets[i].next = f->free_packet;
        f->free_packet = i;
    }
    return f;
}

void
fragments_destroy(struct fragments *f)
{
    if (f) {
        assert(!fragments_pending(f));
        free(f);
    }
}

/* Queues of packets. */

static void
queue_push(struct fragments *f, struct queue *q, uint16_t packet)
{
    f->packets[packet].next = NONE;
    if (q->n++) {
        f->packets[q->tail].next = packet;
    } else {
        q->head = packet;
    }
    q->tail = packet;
}

/* Appends all of 'src' to 'dst'. */
static void
queue_move(struct fragments *f, struct queue *dst, struct queue *src)
{
    if (!src->n) {
        return;
    }
    if (dst->n) {
        f->packets[dst->tail].next = src->head;
    } else {
        dst->head = src->head;
    }
    dst->tail = src->tail;
    dst->n += src->n;
    *src = empty_queue;
}

/* Takes the first packet off 'q' and frees its place; NULL if 'q' is empty. */
static void *
queue_pop(struct fragments *f, struct queue *q)
{
    if (!q->n) {
        return NULL;
    }

    uint16_t i = q->head;
    struct packet *packet = &f->packets[i];
    q->head = packet->next;
    q->n--;
    packet->next = f->free_packet;
    f->free_packet = i;
    return packet->cookie;
}

/* Lists of datagrams. */

static struct list *
list_of(struct fragments *f, const struct datagram *d)
{
    return d->known ? &f->known : &f->waiting;
}

static void
list_append(struct fragments *f, uint16_t i)
{
    struct datagram *d = &f->datagrams[i];
    struct list *list = list_of(f, d);

    d->prev = list->tail;
    d->next = NONE;
    if (list->tail != NONE) {
        f->datagrams[list->tail].next = i;
    } else {
        list->head = i;
    }
    list->tail = i;
}

static void
list_remove(struct fragments *f, uint16_t i)
{
    struct datagram *d = &f->datagrams[i];
    struct list *list = list_of(f, d);

    if (d->prev != NONE) {
        f->datagrams[d->prev].next = d->next;
    } else {
        list->head = d->next;
    }
    if (d->next != NONE) {
        f->datagrams[d->next].prev = d->prev;
    } else {
        list->tail = d->prev;
    }
}

/* The hash table. */

static uint16_t *
chain_of(struct fragments *f, const struct fragment_key *key)
{
    uint64_t seed = (uint64_t) key->vni << 32 | key->id;
    uint64_t src = flow_hash6(&f->key, seed, key->src.hi, key->src.lo,
                              key->protocol);

    return &f->chains[flow_hash6(&f->key, src, key->dst.hi, key->dst.lo, 0)
                      % N_CHAINS];
}

static bool
key_equal(const struct fragment_key *a, const struct fragment_key *b)
{
    return (a->id == b->id && a->vni == b->vni && a->protocol == b->protocol
            && inet_addr_equal(a->src, b->src)
            && inet_addr_equal(a->dst, b->dst));
}

/* Forgets datagram 'i'; packets that it still has are expired. */
static void
discard(struct fragments *f, uint16_t i)
{
    struct datagram *d = &f->datagrams[i];
    uint16_t *link = chain_of(f, &d->key);

    while (*link != i) {
        link = &f->datagrams[*link].chained;
    }
    *link = d->chained;
    list_remove(f, i);
    f->n_held -= d->held.n;
    queue_move(f, &f->expired, &d->held);
    d->chained = f->free_datagram;
    f->free_datagram = i;
}

static bool
has_timed_out(const struct datagram *d, uint64_t now_ms)
{
    return (now_ms > d->since_ms
            && now_ms - d->since_ms >= FRAGMENT_TIMEOUT_MS);
}

/* The number of the datagram with 'key', or NONE. */
static uint16_t
find(struct fragments *f, const struct fragment_key *key, uint64_t now_ms)
{
    uint16_t i = *chain_of(f, key);

    while (i != NONE && !key_equal(&f->datagrams[i].key, key)) {
        i = f->datagrams[i].chained;
    }
    if (i != NONE && has_timed_out(&f->datagrams[i], now_ms)) {
        discard(f, i);
        i = NONE;
    }
    return i;
}

/* A new datagram, on no list, for which another may have to give way. */
static uint16_t
add(struct fragments *f, const struct fragment_key *key)
{
    if (f->free_datagram == NONE) {
        discard(f, f->known.head);
    }

    uint16_t i = f->free_datagram;
    uint16_t *chain = chain_of(f, key);
    struct datagram *d = &f->datagrams[i];
    f->free_datagram = d->chained;
    *d = (struct datagram) {
        .key = *key,
        .held = empty_queue,
        .chained = *chain,
    };
    *chain = i;
    return i;
}

void
fragments_first(struct fragments *f, const struct fragment_key *key,
                const struct fragment_verdict *verdict, uint64_t now_ms)
{
    uint16_t i = find(f, key, now_ms);

    if (i != NONE) {
        list_remove(f, i);
    } else {
        i = add(f, key);
    }

    struct datagram *d = &f->datagrams[i];
    f->n_held -= d->held.n;
    queue_move(f, &f->ready, &d->held);
    d->known = true;
    d->verdict = *verdict;
    d->since_ms = now_ms;
    list_append(f, i);
}

/* Keeps 'cookie' with datagram 'i', or with a new one if that is NONE. */
static enum fragment_result
hold(struct fragments *f, uint16_t i, const struct fragment_key *key,
     void *cookie, uint64_t now_ms)
{
    if (f->free_packet == NONE
        || (i != NONE && f->datagrams[i].held.n >= FRAGMENTS_HELD_EACH)) {
        return FRAGMENT_REFUSED;
    }
    if (f->n_held >= FRAGMENTS_HELD) {
        uint16_t oldest = f->waiting.head;

        discard(f, oldest);
        i = i == oldest ? NONE : i;
    }
    if (i == NONE) {
        i = add(f, key);
        f->datagrams[i].since_ms = now_ms;
        list_append(f, i);
    }

    uint16_t packet = f->free_packet;
    f->free_packet = f->packets[packet].next;
    f->packets[packet].cookie = cookie;
    queue_push(f, &f->datagrams[i].held, packet);
    f->n_held++;
    return FRAGMENT_HELD;
}

enum fragment_result
fragments_later(struct fragments *f, const struct fragment_key *key,
                void *cookie, uint64_t now_ms,
                struct fragment_verdict *verdict)
{
    uint16_t i = find(f, key, now_ms);

    if (i != NONE && f->datagrams[i].known) {
        *verdict = f->datagrams[i].verdict;
        return FRAGMENT_KNOWN;
    }
    return hold(f, i, key, cookie, now_ms);
}

void *
fragments_next_ready(struct fragments *f)
{
    return queue_pop(f, &f->ready);
}

void *
fragments_next_expired(struct fragments *f, uint64_t now_ms)
{
    uint16_t oldest = f->waiting.head;

    if (!f->expired.n && oldest != NONE
        && has_timed_out(&f->datagrams[oldest], now_ms)) {
        discard(f, oldest);
    }
    return queue_pop(f, &f->expired);
}

bool
fragments_pending(const struct fragments *f)
{
    return f->n_held || f->ready.n || f->expired.n;
}
