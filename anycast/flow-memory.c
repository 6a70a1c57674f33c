/* Where a flow table's memory comes from, how it is laid out, and what is done
 * to a table that another process has left behind.
 *
 *     header, one page | IPv4 buckets | IPv6 buckets | unused
 *
 * The header of a new table is written after the entries have been cleared,
 * and is void before, so that a process that dies while it makes a table
 * leaves none. */

#include "anycast/flow-table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "anycast/flow-hash.h"

enum {
    FORMAT_VERSION = 1,         /* Of header and entries. */
    HEADER_SIZE    = 4096,
    MIN_BUCKETS    = 16,        /* 64 entries. */
    SPARE_BUCKETS  = 8,         /* So that luck matters little in small tables,
                                 * see anycast/flow-room.c. */
    MEND_AHEAD     = 16,        /* Buckets prefetched when adopting. */
};

#define MAGIC UINT64_C(0x6772706e666c6f77)
#define HUGE_PAGE ((size_t) 2 << 20)
/* Of each kind: hashes have 32 bits for them, and some are to be left over so
 * that buckets get about equal numbers of hashes. */
#define MAX_BUCKETS ((size_t) 1 << 28)

struct header {
    uint64_t magic;
    uint64_t version;
    uint64_t n_buckets4, n_buckets6;
    uint64_t size;
    uint64_t stamp;
    uint64_t checksum;          /* Of all the above. */
};
static_assert(sizeof(struct header) <= HEADER_SIZE, "has its page");

/* Sizes. */

/* Even, and at most 7/8 full with 'n_flows'; 0 if there are too many. */
static size_t
count_buckets(size_t n_flows)
{
    size_t n;

    if (n_flows > MAX_BUCKETS * FLOW_WAYS / 8 * 7) {
        return 0;
    }
    n = (n_flows * 8 / 7 + FLOW_WAYS) / FLOW_WAYS + SPARE_BUCKETS;
    n = (n + 1) / 2 * 2;
    return n < MIN_BUCKETS ? MIN_BUCKETS : n;
}

static size_t
area_size(size_t n_buckets, unsigned int words)
{
    return n_buckets * FLOW_WAYS * words * sizeof(uint64_t);
}

size_t
flow_table_memory(const struct flow_table_size *size)
{
    size_t n4 = count_buckets(size->n_flows4);
    size_t n6 = count_buckets(size->n_flows6);

    if (!n4 || !n6) {
        return 0;
    }
    return (HEADER_SIZE + area_size(n4, FLOW_WORDS4)
            + area_size(n6, FLOW_WORDS6) + HUGE_PAGE - 1)
           / HUGE_PAGE * HUGE_PAGE;
}

/* A table without contents, in 'memory' of the size for it. */
static struct flow_table *
create_around(const struct flow_table_size *size, void *memory)
{
    struct flow_table *table = aligned_alloc(64, sizeof *table);

    if (!table) {
        return NULL;
    }
    memset(table, 0, sizeof *table);
    table->memory = memory;
    table->memory_size = flow_table_memory(size);
    table->area4.n_buckets = count_buckets(size->n_flows4);
    table->area6.n_buckets = count_buckets(size->n_flows6);
    table->area4.entries = (uint64_t *) memory
                           + HEADER_SIZE / sizeof(uint64_t);
    table->area6.entries = flow_entry_at(&table->area4, FLOW_WORDS4,
                                         table->area4.n_buckets, 0);
    if (!madvise(memory, table->memory_size, MADV_HUGEPAGE)) {
        table->stats.huge = table->memory_size;
    }
    return table;
}

/* Header. */

static struct header
make_header(const struct flow_table *table, uint64_t stamp)
{
    static const struct hash_key key = { { MAGIC, FORMAT_VERSION } };
    struct header header = {
        .magic = MAGIC,
        .version = FORMAT_VERSION,
        .n_buckets4 = table->area4.n_buckets,
        .n_buckets6 = table->area6.n_buckets,
        .size = table->memory_size,
        .stamp = stamp,
    };

    header.checksum = flow_hash_bytes(&key, &header,
                                      offsetof(struct header, checksum));
    return header;
}

/* Makes the header void, until it is written. */
static void
void_header(struct flow_table *table)
{
    flow_store(&((struct header *) table->memory)->magic, 0);
}

static void
write_header(struct flow_table *table, uint64_t stamp)
{
    struct header header = make_header(table, stamp);
    uint64_t *magic = &((struct header *) table->memory)->magic;

    memcpy(magic + 1, &header.version, sizeof header - sizeof header.magic);
    flow_store(magic, header.magic);
}

static void
start_empty(struct flow_table *table, uint64_t stamp)
{
    void_header(table);
    memset((uint8_t *) table->memory + sizeof(uint64_t), 0,
           table->memory_size - sizeof(uint64_t));
    write_header(table, stamp);
}

void
flow_table_set_stamp(struct flow_table *table, uint64_t stamp)
{
    void_header(table);
    write_header(table, stamp);
}

/* Adoption: nobody else uses the table yet, so no atomics. */

/* What an entry is to be before any other is looked at: free if it was being
 * written or makes no sense. */
static void
mend_entry(uint64_t *entry, unsigned int words)
{
    uint64_t *info = flow_entry_info(entry, words);
    struct inet_addr src = { entry[0], entry[1] };

    if (!flow_info_is_live(*info) || !flow_info_group(*info)
        || (words == FLOW_WORDS6
            && ((uint32_t) entry[2] || inet_addr_is4(src)))) {
        *info &= FLOW_GENERATION_MASK;
    }
}

/* Of two entries of one flow: the copy that a move had not finished goes;
 * else the one that readers do not find. */
static void
free_duplicate(uint64_t *info, uint64_t *other)
{
    bool other_goes = !(*info & FLOW_INFO_MOVING)
                      && (*other & (FLOW_INFO_MOVING | FLOW_INFO_SECOND)
                          || !(*info & FLOW_INFO_SECOND));
    uint64_t *loser = other_goes ? other : info;

    *loser &= FLOW_GENERATION_MASK;
}

FLOW_INLINE struct flow_words
get_words(const uint64_t *entry, unsigned int words)
{
    struct flow_words key = { { 0 } };

    memcpy(key.w, entry, (words - 1) * sizeof *entry);
    return key;
}

/* Frees duplicates of the entry at 'way' of bucket 'b' further on in the table
 * or in its bucket.  (Those before it have seen to theirs.) */
FLOW_INLINE void
mend_duplicates(const struct flow_area *area, unsigned int words, uint64_t b,
                unsigned int way)
{
    uint64_t *entry = flow_entry_at(area, words, b, way);
    uint64_t *info = flow_entry_info(entry, words);
    struct flow_words key = get_words(entry, words);
    uint64_t other = flow_other_bucket(area, words, b, &key);

    for (unsigned int i = way + 1; i < FLOW_WAYS * 2; i++) {
        uint64_t *twin = flow_entry_at(area, words, i < FLOW_WAYS ? b : other,
                                       i % FLOW_WAYS);
        uint64_t found;

        if (i >= FLOW_WAYS && other < b) {
            return;
        }
        if (flow_info_is_live(*info)
            && flow_entry_read(twin, words, &key, flow_info_group(*info),
                               &found)) {
            free_duplicate(info, flow_entry_info(twin, words));
        }
    }
}

FLOW_INLINE void
prefetch_others(const struct flow_area *area, unsigned int words, uint64_t b)
{
    for (unsigned int way = 0; way < FLOW_WAYS; way++) {
        struct flow_words key
            = get_words(flow_entry_at(area, words, b, way), words);

        __builtin_prefetch(
            flow_entry_at(area, words,
                          flow_other_bucket(area, words, b, &key), 0));
    }
}

/* Makes an area consistent and returns the number of its flows. */
FLOW_INLINE size_t
mend_area(const struct flow_area *area, unsigned int words)
{
    size_t n_entries = area->n_buckets * FLOW_WAYS, n = 0;

    for (size_t i = 0; i < n_entries; i++) {
        mend_entry(flow_entry_at(area, words, 0, i), words);
    }
    for (uint64_t b = 0; b < area->n_buckets; b++) {
        if (b + MEND_AHEAD < area->n_buckets) {
            prefetch_others(area, words, b + MEND_AHEAD);
        }
        for (unsigned int way = 0; way < FLOW_WAYS; way++) {
            mend_duplicates(area, words, b, way);
        }
    }
    for (size_t i = 0; i < n_entries; i++) {
        uint64_t *info = flow_entry_info(flow_entry_at(area, words, 0, i),
                                         words);

        *info &= ~(uint64_t) FLOW_INFO_MOVING;
        n += flow_info_is_live(*info);
    }
    return n;
}

/* Creation. */

/* Memory of whole huge pages, if there are any.  NULL if there is none. */
static void *
map_memory(size_t size)
{
    uint8_t *map = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return NULL;
    }

    /* Keep the part that starts on a huge page. */
    size_t before = -(uintptr_t) map % HUGE_PAGE;
    if (before) {
        munmap(map, before);
    }
    munmap(map + before + size, HUGE_PAGE - before);
    return map + before;
}

struct flow_table *
flow_table_create(const struct flow_table_size *size)
{
    size_t n_bytes = flow_table_memory(size);
    void *memory = n_bytes ? map_memory(n_bytes) : NULL;
    struct flow_table *table = memory ? create_around(size, memory) : NULL;

    if (!table) {
        if (memory) {
            munmap(memory, n_bytes);
        }
        return NULL;
    }
    table->own_memory = true;
    start_empty(table, 0);
    return table;
}

struct flow_table *
flow_table_create_at(const struct flow_table_size *size, void *memory,
                     uint64_t stamp, size_t *adopted)
{
    if (!flow_table_memory(size) || (uintptr_t) memory % HEADER_SIZE) {
        return NULL;
    }

    struct flow_table *table = create_around(size, memory);
    if (!table) {
        return NULL;
    }

    struct header header = make_header(table, stamp);
    if (memcmp(memory, &header, sizeof header)) {
        start_empty(table, stamp);
    } else {
        table->stats.used = mend_area(&table->area4, FLOW_WORDS4)
                            + mend_area(&table->area6, FLOW_WORDS6);
    }
    *adopted = table->stats.used;
    return table;
}

void
flow_table_destroy(struct flow_table *table)
{
    if (table) {
        if (table->own_memory) {
            munmap(table->memory, table->memory_size);
        }
        free(table);
    }
}
