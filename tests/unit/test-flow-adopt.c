/* flow_table_create_at(): tables that outlive their process, also one that was
 * killed, and memory full of anything. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "anycast/flow-table.h"
#include "tests/unit/flow-keys.h"

enum { STAMP = 4711, HEADER_MEMBERS = 56, HEADER_PAGE = 4096 };

static uint64_t random_seed = 1;

static uint32_t
get_random(void)
{
    return flow_keys_random(&random_seed);
}

/* The memory of a table, in a file. */
struct file {
    struct flow_table_size size;
    size_t n_bytes;
    int fd;
};

static struct file
file_create(size_t n_flows4, size_t n_flows6)
{
    struct file file = { .size = { n_flows4, n_flows6 } };

    file.n_bytes = flow_table_memory(&file.size);
    file.fd = memfd_create("flows", 0);
    assert_true(file.fd >= 0);
    assert_int_equal(ftruncate(file.fd, file.n_bytes), 0);
    return file;
}

static void *
file_map(const struct file *file)
{
    void *memory = mmap(NULL, file->n_bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED, file->fd, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static struct flow_table *
adopt(const struct flow_table_size *size, void *memory, size_t *adopted)
{
    struct flow_table *table = flow_table_create_at(size, memory, STAMP,
                                                    adopted);

    assert_non_null(table);
    return table;
}

static struct flow_table_stats
get_stats(const struct flow_table *table)
{
    struct flow_table_stats stats;

    flow_table_get_stats(table, &stats);
    return stats;
}

static bool
insert(struct flow_table *table, bool is6, uint32_t i, uint16_t endpoint,
       uint32_t now, enum flow_state state)
{
    struct flow_key key = flow_keys_make(i, is6);
    struct flow_ended ended;

    return flow_table_insert(table, flow_keys_hash(i, 0), &key, endpoint, now,
                             state, &ended);
}

static bool
lookup(const struct flow_table *table, bool is6, uint32_t i, uint32_t now,
       struct flow_ref *ref)
{
    struct flow_key key = flow_keys_make(i, is6);

    return flow_table_lookup(table, flow_keys_hash(i, 0), &key, now, ref);
}

static void
count(const struct flow_ended *ended, void *n)
{
    assert_true(ended->group);
    ++*(size_t *) n;
}

/* Consistency, by brute force over the words of the entries. */

static void
check_entry(const struct flow_area *area, unsigned int words, uint64_t i,
            size_t *n)
{
    uint64_t *entry = flow_entry_at(area, words, 0, i);
    uint64_t info = entry[words - 1];
    struct flow_words key = { { 0 } };
    uint64_t b = i / FLOW_WAYS, other;

    if (!flow_info_is_live(info)) {
        assert_int_equal(info & ~(uint64_t) FLOW_GENERATION_MASK, 0);
        return;
    }
    ++*n;
    assert_false(info & FLOW_INFO_MOVING);
    assert_true(flow_info_group(info));
    memcpy(key.w, entry, (words - 1) * sizeof *entry);
    if (words == FLOW_WORDS6) {
        assert_int_equal((uint32_t) key.w[2], 0);
        assert_false(key.w[0] == 0 && key.w[1] >> 32 == 0xffff);
    }
    other = flow_other_bucket(area, words, b, &key);
    assert_true(other < area->n_buckets && other != b);
    assert_int_equal(flow_other_bucket(area, words, other, &key), b);
    for (uint64_t k = 0; k < area->n_buckets * FLOW_WAYS; k++) {
        uint64_t *twin = flow_entry_at(area, words, 0, k);

        assert_true(k == i || (k / FLOW_WAYS != b && k / FLOW_WAYS != other)
                    || memcmp(twin, entry, (words - 1) * sizeof *entry)
                    || flow_info_group(twin[words - 1])
                       != flow_info_group(info)
                    || !flow_info_is_live(twin[words - 1]));
    }
}

static void
check_consistent(const struct flow_table *table)
{
    size_t n = 0;

    for (uint64_t i = 0; i < table->area4.n_buckets * FLOW_WAYS; i++) {
        check_entry(&table->area4, FLOW_WORDS4, i, &n);
    }
    for (uint64_t i = 0; i < table->area6.n_buckets * FLOW_WAYS; i++) {
        check_entry(&table->area6, FLOW_WORDS6, i, &n);
    }
    assert_int_equal(get_stats(table).used, n);
}

/* Uses the table for a while and checks that its counts stay right. */
static void
check_usable(struct flow_table *table)
{
    size_t n_ended = 0, n_listed = 0, adopted = get_stats(table).used;
    int64_t n_new = 0;
    struct flow_key key;
    struct flow_ref ref;
    uint64_t cursor = 0;

    for (uint32_t i = 0; i < 300; i++) {
        struct flow_ended ended;

        key = flow_keys_make(i, i % 2);
        n_new += flow_table_insert(table, flow_keys_hash(i, 0), &key, 1, 30000,
                                   FLOW_NEW + i % 6, &ended);
        n_new -= ended.renewed;
        n_ended += ended.group != 0;
    }
    flow_table_sweep(table, 30100, flow_table_n_buckets(table), count,
                     &n_ended);
    while (flow_table_next(table, &cursor, 30100, &key, &ref)) {
        n_listed++;
    }
    assert_int_equal(n_listed, adopted + n_new - n_ended);
    assert_int_equal(n_listed, get_stats(table).used);
}

static void
test_flows_stay_where_they_are(void **state)
{
    enum { N = 3000 };
    struct file file = file_create(N, N);
    struct flow_ref before, after;
    void *memory[2];
    size_t adopted = 1;

    (void) state;
    memory[0] = file_map(&file);
    struct flow_table *table = adopt(&file.size, memory[0], &adopted);
    assert_int_equal(adopted, 0);
    for (uint32_t i = 0; i < 2 * N; i++) {
        assert_true(insert(table, i % 2, i, i % 4096, i / 100,
                           FLOW_ESTABLISHED + i % 3));
    }
    /* Into another process, so to speak. */
    memory[1] = file_map(&file);
    struct flow_table *heir = adopt(&file.size, memory[1], &adopted);
    assert_int_equal(adopted, 2 * N);
    assert_int_equal(get_stats(heir).used, 2 * N);
    assert_int_equal(get_stats(heir).memory, file.n_bytes);
    for (uint32_t i = 0; i < 2 * N; i++) {
        assert_true(lookup(table, i % 2, i, 65, &before));
        assert_true(lookup(heir, i % 2, i, 65, &after));
        assert_int_equal(before.entry - (uintptr_t) memory[0],
                         after.entry - (uintptr_t) memory[1]);
        assert_int_equal(after.word, before.word);
        assert_int_equal(after.idle, before.idle);
        assert_int_equal(after.endpoint, i % 4096);
    }
    flow_table_destroy(table);
    munmap(memory[0], file.n_bytes);
    assert_true(lookup(heir, 1, 1, 65, &after));
    flow_table_destroy(heir);
    munmap(memory[1], file.n_bytes);
    close(file.fd);
}

/* Fills a new table in 'memory' with some flows. */
static void
make_table(const struct flow_table_size *size, void *memory)
{
    size_t adopted;

    memset(memory, 0, HEADER_PAGE);
    struct flow_table *table = adopt(size, memory, &adopted);
    assert_int_equal(adopted, 0);
    for (uint32_t i = 0; i < 100; i++) {
        insert(table, i % 2, i, i, 29900, FLOW_NEW + i % 6);
    }
    flow_table_destroy(table);
}

static void
check_starts_empty(const struct flow_table_size *size, void *memory,
                   uint64_t stamp)
{
    size_t adopted = 1;
    struct flow_table *table = flow_table_create_at(size, memory, stamp,
                                                    &adopted);

    assert_non_null(table);
    assert_int_equal(adopted, 0);
    check_consistent(table);
    assert_int_equal(get_stats(table).used, 0);
    flow_table_destroy(table);
}

static void
test_a_table_belongs_to_its_last_stamp(void **state)
{
    enum { N = 300 };
    struct file file = file_create(N, N);
    void *memory = file_map(&file);
    size_t adopted;

    (void) state;
    struct flow_table *table = flow_table_create_at(&file.size, memory,
                                                    STAMP + 1, &adopted);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(insert(table, i % 2, i, 7, 1, FLOW_ESTABLISHED));
    }
    flow_table_set_stamp(table, STAMP);
    flow_table_destroy(table);
    table = adopt(&file.size, memory, &adopted);
    assert_int_equal(adopted, N);
    check_consistent(table);
    flow_table_destroy(table);

    table = flow_table_create_at(&file.size, memory, STAMP + 1, &adopted);
    assert_int_equal(adopted, 0);
    flow_table_destroy(table);
    munmap(memory, file.n_bytes);
    close(file.fd);
}

static void
test_what_is_no_such_table_is_not_adopted(void **state)
{
    struct flow_table_size size = { 56, 56 }, other = { 560, 56 };
    struct flow_table_size other6 = { 56, 560 }, huge = { SIZE_MAX, 1 };
    struct file file = file_create(56, 56);
    uint8_t *memory = file_map(&file);
    size_t adopted = 77;

    (void) state;
    for (int i = 0; i < HEADER_MEMBERS; i++) {
        make_table(&size, memory);
        memory[i] ^= 1 << i % 8;
        check_starts_empty(&size, memory, STAMP);
    }
    make_table(&size, memory);
    check_starts_empty(&size, memory, STAMP + 1);
    make_table(&size, memory);
    check_starts_empty(&other, memory, STAMP);
    make_table(&size, memory);
    check_starts_empty(&other6, memory, STAMP);
    memset(memory, 0xff, file.n_bytes);
    check_starts_empty(&size, memory, STAMP);

    assert_null(flow_table_create_at(&size, memory + 64, STAMP, &adopted));
    assert_null(flow_table_create_at(&huge, memory, STAMP, &adopted));
    assert_int_equal(adopted, 77);
    munmap(memory, file.n_bytes);
    close(file.fd);
}

/* Writes random things over the entries of a table. */
static void
scribble(struct flow_table *table, int how)
{
    uint64_t *words = table->area4.entries;
    size_t n4 = table->area4.n_buckets * FLOW_WAYS;
    size_t n6 = table->area6.n_buckets * FLOW_WAYS;
    size_t n_words = n4 * FLOW_WORDS4 + n6 * FLOW_WORDS6;

    for (int i = 0; i < 100; i++) {
        struct flow_area *area = i % 2 ? &table->area4 : &table->area6;
        unsigned int size = i % 2 ? FLOW_WORDS4 : FLOW_WORDS6;
        uint64_t *to = flow_entry_at(area, size, 0,
                                     get_random() % (i % 2 ? n4 : n6));
        uint64_t b = get_random() % area->n_buckets, target;
        uint64_t *from = flow_entry_at(area, size, b, get_random() % 4);
        struct flow_words key = { { 0 } };

        switch (how) {
        case 0:                 /* Any word. */
            words[get_random() % n_words] = (uint64_t) get_random() << 33
                                            ^ get_random();
            break;
        case 1:                 /* State and flags. */
            to[size - 1] ^= (get_random() & 0x1f) << 11;
            break;
        case 2:                 /* A copy anywhere. */
            memcpy(to, from, size * sizeof *to);
            break;
        case 3:                 /* A copy where it belongs, as by a move. */
            memcpy(key.w, from, (size - 1) * sizeof *from);
            target = (get_random() % 2 ? b
                      : flow_other_bucket(area, size, b, &key));
            to = flow_entry_at(area, size, target, get_random() % 4);
            memmove(to, from, size * sizeof *to);
            to[size - 1] ^= (get_random() & 0x11) << 11;
            break;
        }
    }
}

static void
test_garbage_becomes_a_consistent_table(void **state)
{
    struct file file = file_create(56, 56);
    void *memory = file_map(&file);
    size_t adopted;

    (void) state;
    for (int round = 0; round < 1000; round++) {
        make_table(&file.size, memory);
        struct flow_table *table = adopt(&file.size, memory, &adopted);
        check_consistent(table);
        scribble(table, round % 5 == 4 ? round / 5 % 4 : round % 5);
        flow_table_destroy(table);

        table = adopt(&file.size, memory, &adopted);
        assert_int_equal(adopted, get_stats(table).used);
        check_consistent(table);
        check_usable(table);
        flow_table_destroy(table);

        /* What has been mended needs no mending. */
        table = adopt(&file.size, memory, &adopted);
        check_consistent(table);
        flow_table_destroy(table);
    }
    munmap(memory, file.n_bytes);
    close(file.fd);
}

/* A process died while it moved flow 1: before and after it took it out of its
 * old place, with the old place given to another flow, or with the copy not
 * complete. */
static void
test_a_move_that_was_cut_short_is_mended(void **state)
{
    struct file file = file_create(56, 56);
    void *memory = file_map(&file);
    size_t adopted;

    (void) state;
    for (int is6 = 0; is6 < 2; is6++) {
        unsigned int words = is6 ? FLOW_WORDS6 : FLOW_WORDS4;

        for (int when = 0; when < 3; when++) {
            memset(memory, 0, HEADER_PAGE);
            struct flow_table *table = adopt(&file.size, memory, &adopted);
            struct flow_area *area = is6 ? &table->area6 : &table->area4;
            struct flow_words key = { { 0 } };
            struct flow_ref ref;

            assert_true(insert(table, is6, 1, 7, 100, FLOW_ESTABLISHED));
            assert_true(lookup(table, is6, 1, 100, &ref));
            uint64_t *from = (uint64_t *) (uintptr_t) ref.entry - (words - 1);
            uint64_t b = (from - area->entries) / words / FLOW_WAYS;
            memcpy(key.w, from, (words - 1) * sizeof *from);
            uint64_t *to = flow_entry_at(
                area, words, flow_other_bucket(area, words, b, &key), 2);
            memcpy(to, from, words * sizeof *from);
            to[words - 1] |= FLOW_INFO_MOVING | FLOW_INFO_SECOND;
            if (when == 0) {
                flow_table_touch(table, &ref, 105, FLOW_CLOSING);
            } else if (when == 1) {
                from[words - 1] &= FLOW_GENERATION_MASK;
            } else {
                to[words - 1] = flow_info_set(0, FLOW_CLAIMED, 0);
            }
            flow_table_destroy(table);

            table = adopt(&file.size, memory, &adopted);
            assert_int_equal(adopted, 1);
            check_consistent(table);
            assert_true(lookup(table, is6, 1, 110, &ref));
            assert_int_equal(ref.endpoint, 7);
            assert_int_equal(ref.state, when ? FLOW_ESTABLISHED
                                             : FLOW_CLOSING);
            assert_int_equal(ref.idle, when ? 10 : 5);
            flow_table_destroy(table);
        }
    }
    munmap(memory, file.n_bytes);
    close(file.fd);
}

/* A process that is killed in a storm.  Of the table's flows, 60 % are
 * settled; 30 % are strong ones that come and go; and a flood of weak ones
 * takes the rest and gives way to them, so that all the time flows move. */

enum {
    N_ASKED   = 2000,           /* Of each kind. */
    N_SETTLED = N_ASKED / 10 * 6,
    N_STRONG  = N_ASKED / 10 * 3,
    N_KILLED  = 60,
    STORM_S   = 90,             /* On the table's clock. */
};

struct storm {
    struct flow_table *table;
    uint32_t round;
    uint64_t seed;
};

static uint32_t
storm_start(uint32_t round)
{
    return 1000 + round * STORM_S;
}

static void *
storm(void *storm_)
{
    struct storm *s = storm_;

    for (uint32_t n = 0; ; n++) {
        uint32_t elapsed = n / 500 < STORM_S ? n / 500 : STORM_S;
        uint32_t now = storm_start(s->round) + elapsed;
        uint32_t dice = flow_keys_random(&s->seed);
        bool is6 = dice % 2;
        uint32_t i = flow_keys_random(&s->seed);

        if (dice / 2 % 4 == 0) {
            insert(s->table, is6, N_SETTLED + i % N_STRONG, i % 4096, now,
                   FLOW_DATAGRAM);
        } else if (dice / 2 % 4 == 1) {
            struct flow_ref ref;

            if (lookup(s->table, is6, i % N_SETTLED, now, &ref)) {
                flow_table_touch(s->table, &ref, now, FLOW_ESTABLISHED);
            }
        } else {
            insert(s->table, is6, N_ASKED + i % 100000, 0, now, FLOW_NEW);
        }
        if (n % 16 == 0) {
            size_t n_ended = 0;

            flow_table_sweep(s->table, now, 8, count, &n_ended);
        }
    }
    return NULL;
}

/* Another process: adopts the table, says so, and storms until it is
 * killed. */
static void
storm_in_child(const struct file *file, int ready, uint32_t round)
{
    size_t adopted;
    struct storm s = {
        .table = adopt(&file->size, file_map(file), &adopted),
        .round = round,
        .seed = round,
    };

    for (uint32_t i = 0; !adopted && i < N_SETTLED; i++) {
        insert(s.table, false, i, i % 4096, 1000, FLOW_ESTABLISHED);
        insert(s.table, true, i, i % 4096, 1000, FLOW_ESTABLISHED);
    }
    if (write(ready, "", 1) == 1) {
        storm(&s);
    }
    _exit(1);
}

static void
kill_a_storm(const struct file *file, uint32_t round)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        storm_in_child(file, ready[1], round);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    usleep(1000 + get_random() % 8000);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ready[0]);
    close(ready[1]);
}

static void
test_settled_flows_survive_a_killed_process(void **state)
{
    struct file file = file_create(N_ASKED, N_ASKED);
    void *memory = file_map(&file);

    (void) state;
    for (int round = 0; round < N_KILLED; round++) {
        uint32_t now = storm_start(round + 1);
        struct flow_ref ref;
        size_t adopted;

        kill_a_storm(&file, round);
        struct flow_table *table = adopt(&file.size, memory, &adopted);
        assert_true(adopted >= 2 * N_SETTLED);
        if (round % 10 == 0) {
            check_consistent(table);
        }
        for (uint32_t i = 0; i < N_SETTLED; i++) {
            for (int is6 = 0; is6 < 2; is6++) {
                assert_true(lookup(table, is6, i, now, &ref));
                assert_int_equal(ref.endpoint, i % 4096);
                assert_int_equal(ref.state, FLOW_ESTABLISHED);
            }
        }
        flow_table_destroy(table);
    }
    munmap(memory, file.n_bytes);
    close(file.fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flows_stay_where_they_are),
        cmocka_unit_test(test_a_table_belongs_to_its_last_stamp),
        cmocka_unit_test(test_what_is_no_such_table_is_not_adopted),
        cmocka_unit_test(test_garbage_becomes_a_consistent_table),
        cmocka_unit_test(test_a_move_that_was_cut_short_is_mended),
        cmocka_unit_test(test_settled_flows_survive_a_killed_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
