/* anycast/source-table.h: to one thread, against a twin; to several. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "anycast/source-table.h"

enum {
    MAX_QUESTIONS = 10,         /* In a second, says the header. */
    N_THREADS = 4,
};

static const struct hash_key hash_key = { { 0x1234567, 0x89abcdef } };

static uint32_t
next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *seed >> 33;
}

/* Source number 'i': its tenant and address. */
static uint32_t
make_vni(uint32_t i)
{
    return 1 + i % 2;
}

static struct inet_addr
make_address(uint32_t i)
{
    return (struct inet_addr) {
        i / 2 % 3 * 0x20010db8, UINT64_C(0xffff00000000) + i / 6
    };
}

/* A MAC address that only source 'i' ever has, and which shows if it has been
 * pieced together from two. */
static struct mac
make_mac(uint32_t i, uint8_t version)
{
    return (struct mac) { { version, i >> 8, i, version ^ i, i >> 8, version }
    };
}

static bool
is_mac_of(const struct mac *mac, uint32_t i)
{
    struct mac expected = make_mac(i, mac->octet[0]);

    return !memcmp(mac, &expected, sizeof expected);
}

/* One bucket against four entries and a list of all questions. */

struct twin_entry {
    bool used, has_mac, has_asked;
    uint32_t source;
    struct mac mac;
    uint64_t seen_ms, asked_ms;
};

struct twin {
    struct twin_entry entries[4];
    uint64_t questions[1 << 18];
    size_t n_questions;
};

static struct twin_entry *
twin_find(struct twin *t, uint32_t source)
{
    for (int i = 0; i < 4; i++) {
        if (t->entries[i].used && t->entries[i].source == source) {
            return &t->entries[i];
        }
    }
    return NULL;
}

/* The entry of 'source', which may be a new one. */
static struct twin_entry *
twin_get(struct twin *t, uint32_t source)
{
    struct twin_entry *e = twin_find(t, source);

    if (!e) {
        e = &t->entries[0];
        for (int i = 1; i < 4; i++) {
            struct twin_entry *other = &t->entries[i];

            if (e->used && (!other->used || other->seen_ms < e->seen_ms)) {
                e = other;
            }
        }
        *e = (struct twin_entry) { .used = true, .source = source };
    }
    return e;
}

static void
twin_learn(struct twin *t, uint32_t source, const struct mac *mac,
           uint64_t now_ms)
{
    struct twin_entry *e = twin_get(t, source);

    /* It is noted once a second that a source was seen, or when its address
     * changes. */
    if (!e->has_mac || memcmp(&e->mac, mac, sizeof *mac)
        || now_ms - e->seen_ms >= 1000) {
        e->has_mac = true;
        e->mac = *mac;
        e->seen_ms = now_ms;
    }
}

static enum source_handover
twin_ask(struct twin *t, uint32_t source, uint64_t now_ms)
{
    struct twin_entry *e = twin_find(t, source);
    size_t recent = 0;

    if (e && e->has_asked && now_ms - e->asked_ms < SOURCE_QUIET_MS) {
        return (now_ms - e->asked_ms < SOURCE_WAIT_MS ? SOURCE_WAITING
                : SOURCE_SETTLED);
    }
    while (recent < t->n_questions
           && now_ms - t->questions[t->n_questions - 1 - recent] < 1000) {
        recent++;
    }
    if (recent >= MAX_QUESTIONS) {
        return SOURCE_SETTLED;
    }
    t->questions[t->n_questions++] = now_ms;
    e = twin_get(t, source);
    e->has_asked = true;
    e->asked_ms = e->seen_ms = now_ms;
    return SOURCE_ASKED;
}

static void
twin_forget(struct twin *t, uint32_t source)
{
    struct twin_entry *e = twin_find(t, source);

    if (e) {
        e->has_asked = false;
    }
}

static void
compare_find(struct source_table *table, struct twin *t, uint32_t source)
{
    struct twin_entry *e = twin_find(t, source);
    struct mac mac;
    bool found = source_table_find(table, make_vni(source),
                                   make_address(source), &mac);

    assert_int_equal(found, e && e->has_mac);
    if (found) {
        assert_memory_equal(&mac, &e->mac, sizeof mac);
    }
}

/* 'n_sources' take turns, up to 'step_ms' apart; how often each answer was
 * given is added to 'answers'. */
static void
compare(uint32_t n_sources, uint32_t step_ms, uint64_t *answers)
{
    struct source_table *table = source_table_create(4, &hash_key);
    static struct twin t;
    uint64_t seed = n_sources, now_ms = 0;

    memset(&t, 0, sizeof t);
    for (int i = 0; i < 200000; i++) {
        uint32_t source = next_random(&seed) % n_sources;
        struct mac mac = make_mac(source, next_random(&seed) % 3 / 2);
        uint32_t vni = make_vni(source);
        enum source_handover answer, would;

        now_ms += next_random(&seed) % (step_ms + 1);
        switch (next_random(&seed) % 4) {
        case 0:
            source_table_learn(table, vni, make_address(source), &mac, now_ms);
            twin_learn(&t, source, &mac, now_ms);
            break;
        case 1:
        case 2:
            would = source_table_would_ask(table, vni, make_address(source),
                                           now_ms);
            answer = source_table_ask(table, vni, make_address(source),
                                      now_ms);
            assert_int_equal(would, answer);
            assert_int_equal(answer, twin_ask(&t, source, now_ms));
            answers[answer]++;
            break;
        default:
            if (next_random(&seed) % 4 == 0) {
                source_table_forget(table, vni, make_address(source));
                twin_forget(&t, source);
            }
        }
        compare_find(table, &t, next_random(&seed) % n_sources);
    }
    source_table_destroy(table);
}

static void
test_one_bucket_agrees_with_a_twin(void **state)
{
    uint64_t answers[3] = { 0 };

    (void) state;
    compare(3, 10, answers);
    compare(3, 1000, answers);
    compare(4, 5000, answers);
    compare(6, 100, answers);
    compare(12, 20, answers);
    compare(12, 400, answers);
    for (int i = 0; i < 3; i++) {
        assert_true(answers[i] > 10000);
    }
}

static void
test_a_question_is_asked_once_a_minute(void **state)
{
    struct source_table *table = source_table_create(100, &hash_key);
    struct inet_addr a = make_address(0), b = make_address(2);

    (void) state;
    assert_int_equal(source_table_ask(table, 1, a, 5), SOURCE_ASKED);
    assert_int_equal(source_table_ask(table, 1, a, 5), SOURCE_WAITING);
    assert_int_equal(source_table_ask(table, 1, b, 6), SOURCE_ASKED);
    assert_int_equal(source_table_ask(table, 1, a, 1004), SOURCE_WAITING);
    assert_int_equal(source_table_ask(table, 1, a, 1005), SOURCE_SETTLED);
    assert_int_equal(source_table_ask(table, 1, a, 60004), SOURCE_SETTLED);
    assert_int_equal(source_table_ask(table, 1, a, 60005), SOURCE_ASKED);
    assert_int_equal(source_table_ask(table, 2, a, 60005), SOURCE_ASKED);

    /* To ask about a source is not to know its address. */
    struct mac mac;
    assert_false(source_table_find(table, 1, a, &mac));
    assert_int_equal(source_table_ask(table, 3, a, 60006), SOURCE_ASKED);
    source_table_destroy(table);
    source_table_destroy(NULL);
}

static void
test_a_source_that_went_and_comes_back_is_asked_about_again(void **state)
{
    struct source_table *table = source_table_create(100, &hash_key);
    struct inet_addr a = make_address(0), b = make_address(2);
    struct mac mac = { { 2, 0, 0, 0, 0, 1 } }, found;

    (void) state;
    source_table_learn(table, 1, a, &mac, 1);
    assert_int_equal(source_table_ask(table, 1, a, 5), SOURCE_ASKED);
    assert_int_equal(source_table_ask(table, 1, b, 5), SOURCE_ASKED);
    assert_int_equal(source_table_ask(table, 1, a, 2000), SOURCE_SETTLED);
    source_table_forget(table, 1, a);
    source_table_forget(table, 3, a);
    assert_int_equal(source_table_ask(table, 1, a, 2001), SOURCE_ASKED);
    assert_int_equal(source_table_ask(table, 1, b, 2001), SOURCE_SETTLED);

    /* Also while the answer is still awaited; its address stays known. */
    source_table_forget(table, 1, a);
    assert_int_equal(source_table_ask(table, 1, a, 2002), SOURCE_ASKED);
    assert_true(source_table_find(table, 1, a, &found));
    assert_memory_equal(&found, &mac, sizeof mac);
    source_table_destroy(table);
}

/* As many sources as were asked for find room, but for those whose bucket
 * chance has filled (with 2 of 4 ways used on average: about 5 %). */
static void
test_a_half_full_table_has_nearly_all(void **state)
{
    enum { N = 32768 };
    struct source_table *table = source_table_create(2 * N, &hash_key);
    uint32_t found = 0;

    (void) state;
    for (uint32_t i = 0; i < N; i++) {
        struct mac mac = make_mac(i, 1);

        source_table_learn(table, make_vni(i), make_address(i), &mac, i);
    }
    for (uint32_t i = 0; i < N; i++) {
        struct mac mac;

        if (source_table_find(table, make_vni(i), make_address(i), &mac)) {
            assert_true(is_mac_of(&mac, i));
            found++;
        }
        assert_false(source_table_find(table, 3, make_address(i), &mac));
    }
    assert_true(found > N * 9 / 10);
    source_table_destroy(table);
}

/* Threads. */

enum {
    N_CROWD = 16,               /* Sources that share one bucket. */
#ifdef __SANITIZE_THREAD__
    N_HAMMERS = 100000,
    N_ROUNDS = 600,
#else
    N_HAMMERS = 1500000,
    N_ROUNDS = 10000,
#endif
    N_ASKED = 2 * MAX_QUESTIONS, /* Sources that want to be asked about. */
};

struct worker {
    struct source_table *table;
    uint32_t number;
    uint64_t n_found, n_wrong;
    uint32_t *arrived;          /* Shared: at the end, or at the beginnings of
                                 * all rounds. */
    uint8_t (*asked)[N_ASKED];  /* Shared: questions by round and source. */
};

static void
run(void *(*function)(void *), struct worker *workers,
    const struct worker *model)
{
    pthread_t threads[N_THREADS];

    for (int i = 0; i < N_THREADS; i++) {
        workers[i] = *model;
        workers[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, function,
                                        &workers[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void
look(struct worker *w, uint32_t source)
{
    struct mac mac;

    if (source_table_find(w->table, make_vni(source), make_address(source),
                          &mac)) {
        w->n_found++;
        w->n_wrong += !is_mac_of(&mac, source);
    }
}

static void
change(struct worker *w, uint64_t *seed, uint64_t now_ms)
{
    uint32_t source = next_random(seed) % N_CROWD;
    uint32_t vni = make_vni(source), dice = next_random(seed) % 8;
    struct inet_addr address = make_address(source);

    if (dice < 6) {
        struct mac mac = make_mac(source, next_random(seed));

        source_table_learn(w->table, vni, address, &mac, now_ms);
    } else if (dice == 6) {
        source_table_ask(w->table, vni, address, now_ms);
    } else {
        source_table_forget(w->table, vni, address);
    }
}

/* Odd threads look for as long as the others change things. */
static void *
hammer(void *worker_)
{
    struct worker *w = worker_;
    uint64_t seed = w->number;

    if (w->number % 2) {
        while (__atomic_load_n(w->arrived, __ATOMIC_ACQUIRE) < N_THREADS / 2) {
            look(w, next_random(&seed) % N_CROWD);
        }
    } else {
        for (int i = 0; i < N_HAMMERS; i++) {
            change(w, &seed, i);
        }
        __atomic_fetch_add(w->arrived, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void
test_no_thread_finds_a_wrong_mac(void **state)
{
    struct source_table *table = source_table_create(4, &hash_key);
    uint32_t arrived = 0;
    struct worker workers[N_THREADS], model = {
        .table = table, .arrived = &arrived
    };

    (void) state;
    run(hammer, workers, &model);
    for (int i = 1; i < N_THREADS; i += 2) {
        assert_true(workers[i].n_found > 100);
        assert_int_equal(workers[i].n_wrong, 0);
    }

    /* The bucket is not left claimed. */
    for (uint32_t i = 0; i < N_CROWD; i++) {
        struct mac mac = make_mac(i, 0), found;

        source_table_learn(table, make_vni(i), make_address(i), &mac,
                           2 * N_HAMMERS);
        assert_true(source_table_find(table, make_vni(i), make_address(i),
                                      &found));
        assert_memory_equal(&mac, &found, sizeof mac);
    }
    source_table_destroy(table);
}

/* All threads begin a round together, as nearly as can be. */
static void
await_round(struct worker *w, uint32_t round)
{
    uint32_t all = (round + 1) * N_THREADS;

    __atomic_fetch_add(w->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(w->arrived, __ATOMIC_ACQUIRE) < all) {
        sched_yield();
    }
}

/* In each round all want to ask about the same sources, in the same order or
 * not. */
static void *
ask(void *worker_)
{
    struct worker *w = worker_;

    for (uint32_t round = 0; round < N_ROUNDS; round++) {
        uint32_t begin = round % 2 * w->number * N_ASKED / N_THREADS;

        await_round(w, round);
        for (uint32_t i = 0; i < N_ASKED; i++) {
            uint32_t source = (begin + i) % N_ASKED;

            if (source_table_ask(w->table, make_vni(source),
                                 make_address(source),
                                 round * UINT64_C(100000)) == SOURCE_ASKED) {
                __atomic_fetch_add(&w->asked[round][source], 1,
                                   __ATOMIC_RELAXED);
            }
        }
    }
    return NULL;
}

static void
test_threads_share_the_questions(void **state)
{
    static uint8_t asked[N_ROUNDS][N_ASKED];
    uint32_t arrived = 0;
    struct worker workers[N_THREADS], model = {
        .table = source_table_create(1000, &hash_key),
        .arrived = &arrived,
        .asked = asked,
    };

    (void) state;
    run(ask, workers, &model);
    for (int round = 0; round < N_ROUNDS; round++) {
        uint32_t sum = 0;

        for (int i = 0; i < N_ASKED; i++) {
            assert_in_range(asked[round][i], 0, 1);
            sum += asked[round][i];
        }
        assert_int_equal(sum, MAX_QUESTIONS);
    }
    source_table_destroy(model.table);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_bucket_agrees_with_a_twin),
        cmocka_unit_test(test_a_question_is_asked_once_a_minute),
        cmocka_unit_test(
            test_a_source_that_went_and_comes_back_is_asked_about_again),
        cmocka_unit_test(test_a_half_full_table_has_nearly_all),
        cmocka_unit_test(test_no_thread_finds_a_wrong_mac),
        cmocka_unit_test(test_threads_share_the_questions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
