/* A bucket's sequence count is odd while somebody writes the bucket.  A reader
 * takes the count, the words, and the count again, each with acquire.  Had a
 * word been written in between it would see the count change: the writer
 * stores words with release after the count, so that to see a new word is to
 * see the odd count, too.
 *
 * One count for a bucket, and not for an entry, so that a source cannot get
 * two entries from two threads at once. */

#include "anycast/source-table.h"

#include <stdlib.h>
#include <string.h>

enum {
    N_WAYS = 4,
    QUESTION_PERIOD_MS = 1000,  /* Of SOURCE_MAX_QUESTIONS. */
    REFRESH_MS = 1000,          /* How often it is noted when it was seen. */
    FORGET_TRIES = 1000,        /* To get the bucket. */
};

enum source_flags {
    HAS_MAC     = 0x01,
    HAS_ASKED   = 0x02,         /* 'asked_ms' counts. */
};

struct source {
    struct inet_addr address;
    uint32_t vni;               /* 0: free. */
    uint32_t flags;
    uint64_t mac;               /* The first octet in bits 40...47. */
    uint64_t seen_ms;
    uint64_t asked_ms;
};
enum { SOURCE_WORDS = sizeof(struct source) / sizeof(uint64_t) };
static_assert(sizeof(struct source) == 8 * SOURCE_WORDS, "no padding");

struct source_bucket {
    uint64_t sequence;
    uint64_t words[N_WAYS][SOURCE_WORDS]; /* Of a struct source each. */
} __attribute__((aligned(64)));

struct source_table {
    struct hash_key key;
    size_t mask;                /* Number of buckets - 1. */
    struct source_bucket *buckets;

    /* When the last questions were asked, + 1; 0: never.  A place is taken
     * over once QUESTION_PERIOD_MS have passed, so no such period sees more
     * questions than there are places. */
    uint64_t questions[SOURCE_MAX_QUESTIONS] __attribute__((aligned(64)));
};

struct source_table *
source_table_create(size_t n, const struct hash_key *key)
{
    struct source_table *table = aligned_alloc(_Alignof(struct source_table),
                                               sizeof *table);
    size_t n_buckets = 1;

    if (!table) {
        return NULL;
    }
    while (n_buckets < SIZE_MAX / 2 / sizeof *table->buckets
           && n_buckets * N_WAYS < n) {
        n_buckets *= 2;
    }
    *table = (struct source_table) {
        .key = *key,
        .mask = n_buckets - 1,
        .buckets = aligned_alloc(_Alignof(struct source_bucket),
                                 n_buckets * sizeof *table->buckets),
    };
    if (!table->buckets) {
        free(table);
        return NULL;
    }
    memset(table->buckets, 0, n_buckets * sizeof *table->buckets);
    return table;
}

void
source_table_destroy(struct source_table *table)
{
    if (table) {
        free(table->buckets);
        free(table);
    }
}

static struct source_bucket *
bucket_of(const struct source_table *table, uint32_t vni,
          struct inet_addr address)
{
    uint64_t hash = flow_hash6(&table->key, vni, address.hi, address.lo, 0);

    return &table->buckets[hash & table->mask];
}

static void
load(const struct source_bucket *bucket, int way, struct source *source)
{
    uint64_t words[SOURCE_WORDS];

    for (int i = 0; i < SOURCE_WORDS; i++) {
        words[i] = __atomic_load_n(&bucket->words[way][i], __ATOMIC_ACQUIRE);
    }
    memcpy(source, words, sizeof words);
}

static void
store(struct source_bucket *bucket, int way, const struct source *source)
{
    uint64_t words[SOURCE_WORDS];

    memcpy(words, source, sizeof words);
    for (int i = 0; i < SOURCE_WORDS; i++) {
        __atomic_store_n(&bucket->words[way][i], words[i], __ATOMIC_RELEASE);
    }
}

/* The way of 'bucket' with the source, which becomes '*source', or -1. */
static int
find(const struct source_bucket *bucket, uint32_t vni,
     struct inet_addr address, struct source *source)
{
    for (int way = 0; way < N_WAYS; way++) {
        load(bucket, way, source);
        if (source->vni == vni && inet_addr_equal(source->address, address)) {
            return way;
        }
    }
    return -1;
}

/* What a reader sees. */
enum view {
    VIEW_ABSENT,
    VIEW_PRESENT,               /* '*source'. */
    VIEW_BUSY,                  /* Somebody was writing. */
};

static enum view
view(const struct source_bucket *bucket, uint32_t vni,
     struct inet_addr address, struct source *source)
{
    uint64_t sequence = __atomic_load_n(&bucket->sequence, __ATOMIC_ACQUIRE);

    if (sequence & 1) {
        return VIEW_BUSY;
    }

    int way = find(bucket, vni, address, source);
    if (__atomic_load_n(&bucket->sequence, __ATOMIC_ACQUIRE) != sequence) {
        return VIEW_BUSY;
    }
    return way >= 0 ? VIEW_PRESENT : VIEW_ABSENT;
}

/* Makes the calling thread the bucket's only writer, until release(); or
 * false, if there is one. */
static bool
claim(struct source_bucket *bucket)
{
    uint64_t sequence = __atomic_load_n(&bucket->sequence, __ATOMIC_RELAXED);

    return (!(sequence & 1)
            && __atomic_compare_exchange_n(&bucket->sequence, &sequence,
                                           sequence + 1, false,
                                           __ATOMIC_ACQUIRE,
                                           __ATOMIC_RELAXED));
}

static void
release(struct source_bucket *bucket)
{
    __atomic_fetch_add(&bucket->sequence, 1, __ATOMIC_RELEASE);
}

/* In a bucket that is claimed: the source's way, and '*source'; a new one, in
 * the place of the one unseen for longest, if it has none. */
static int
find_or_replace(const struct source_bucket *bucket, uint32_t vni,
                struct inet_addr address, struct source *source)
{
    int way = find(bucket, vni, address, source);
    uint64_t longest_ms = UINT64_MAX;

    if (way >= 0) {
        return way;
    }
    for (int i = 0; i < N_WAYS; i++) {
        load(bucket, i, source);
        if (!source->vni) {
            way = i;
            break;
        }
        if (source->seen_ms < longest_ms) {
            longest_ms = source->seen_ms;
            way = i;
        }
    }
    *source = (struct source) { .address = address, .vni = vni };
    return way;
}

static uint64_t
elapsed(uint64_t since_ms, uint64_t now_ms)
{
    return now_ms > since_ms ? now_ms - since_ms : 0;
}

static uint64_t
mac_to_number(const struct mac *mac)
{
    uint64_t number = 0;

    for (int i = 0; i < 6; i++) {
        number = number << 8 | mac->octet[i];
    }
    return number;
}

void
source_table_learn(struct source_table *table, uint32_t vni,
                   struct inet_addr address, const struct mac *mac,
                   uint64_t now_ms)
{
    struct source_bucket *bucket = bucket_of(table, vni, address);
    uint64_t number = mac_to_number(mac);
    struct source source;

    if (view(bucket, vni, address, &source) == VIEW_PRESENT
        && source.flags & HAS_MAC && source.mac == number
        && elapsed(source.seen_ms, now_ms) < REFRESH_MS) {
        return;
    }
    if (claim(bucket)) {
        int way = find_or_replace(bucket, vni, address, &source);

        source.flags |= HAS_MAC;
        source.mac = number;
        source.seen_ms = now_ms;
        store(bucket, way, &source);
        release(bucket);
    }
}

bool
source_table_find(const struct source_table *table, uint32_t vni,
                  struct inet_addr address, struct mac *mac)
{
    struct source source;

    if (view(bucket_of(table, vni, address), vni, address, &source)
        != VIEW_PRESENT || !(source.flags & HAS_MAC)) {
        return false;
    }
    for (int i = 0; i < 6; i++) {
        mac->octet[i] = source.mac >> (40 - 8 * i);
    }
    return true;
}

/* Whether 'source' may be the subject of a new question; if not, '*answer'. */
static bool
may_ask(const struct source *source, uint64_t now_ms,
        enum source_handover *answer)
{
    uint64_t ms = elapsed(source->asked_ms, now_ms);

    if (!(source->flags & HAS_ASKED) || ms >= SOURCE_QUIET_MS) {
        return true;
    }
    *answer = ms < SOURCE_WAIT_MS ? SOURCE_WAITING : SOURCE_SETTLED;
    return false;
}

/* Whether the question asked at 'last' - 1 (0: none) was in another period. */
static bool
is_free(uint64_t last, uint64_t now_ms)
{
    return !last || elapsed(last - 1, now_ms) >= QUESTION_PERIOD_MS;
}

/* Takes one of the questions of this period; false if they are used up. */
static bool
take_question(struct source_table *table, uint64_t now_ms)
{
    for (int i = 0; i < SOURCE_MAX_QUESTIONS; i++) {
        uint64_t *place = &table->questions[i];
        uint64_t last = __atomic_load_n(place, __ATOMIC_RELAXED);

        if (is_free(last, now_ms)
            && __atomic_compare_exchange_n(place, &last, now_ms + 1, false,
                                           __ATOMIC_RELAXED,
                                           __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

/* source_table_ask() with the bucket claimed. */
static enum source_handover
ask_claimed(struct source_table *table, struct source_bucket *bucket,
            uint32_t vni, struct inet_addr address, uint64_t now_ms)
{
    enum source_handover answer = SOURCE_SETTLED;
    struct source source;
    int way = find_or_replace(bucket, vni, address, &source);

    if (may_ask(&source, now_ms, &answer) && take_question(table, now_ms)) {
        source.flags |= HAS_ASKED;
        source.asked_ms = source.seen_ms = now_ms;
        store(bucket, way, &source);
        answer = SOURCE_ASKED;
    }
    return answer;
}

enum source_handover
source_table_ask(struct source_table *table, uint32_t vni,
                 struct inet_addr address, uint64_t now_ms)
{
    struct source_bucket *bucket = bucket_of(table, vni, address);
    enum source_handover answer;
    struct source source;

    if (view(bucket, vni, address, &source) == VIEW_PRESENT
        && !may_ask(&source, now_ms, &answer)) {
        return answer;
    }
    if (!claim(bucket)) {
        /* It may be this source that is being asked about, and TCP sends a
         * lost packet again, but a flow picked anew is broken. */
        return SOURCE_WAITING;
    }
    answer = ask_claimed(table, bucket, vni, address, now_ms);
    release(bucket);
    return answer;
}

enum source_handover
source_table_would_ask(const struct source_table *table, uint32_t vni,
                       struct inet_addr address, uint64_t now_ms)
{
    enum source_handover answer;
    struct source source;

    if (view(bucket_of(table, vni, address), vni, address, &source)
        == VIEW_PRESENT && !may_ask(&source, now_ms, &answer)) {
        return answer;
    }
    for (int i = 0; i < SOURCE_MAX_QUESTIONS; i++) {
        uint64_t last = __atomic_load_n(&table->questions[i],
                                        __ATOMIC_RELAXED);

        if (is_free(last, now_ms)) {
            return SOURCE_ASKED;
        }
    }
    return SOURCE_SETTLED;
}

void
source_table_forget(struct source_table *table, uint32_t vni,
                    struct inet_addr address)
{
    struct source_bucket *bucket = bucket_of(table, vni, address);
    struct source source;
    int way;

    for (int i = 0; !claim(bucket); i++) {
        if (i >= FORGET_TRIES) {
            return;
        }
    }
    way = find(bucket, vni, address, &source);
    if (way >= 0) {
        source.flags &= ~HAS_ASKED;
        store(bucket, way, &source);
    }
    release(bucket);
}
