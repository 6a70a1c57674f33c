/* The frame ring against a counter of what went in: nothing is lost, nothing
 * comes out twice, each producer's packets come out in order. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dp-packet.h"
#include "ovs-thread.h"
#include "vswitchd-ext/frame-ring.h"

enum {
    RING        = 64,
    PRODUCERS   = 3,
    CONSUMERS   = 2,
    PER_THREAD  = 100000,
};

/* Packets are only handed around, never looked into: numbers serve as well. */
static struct dp_packet *
number_to_packet(uintptr_t number)
{
    return (struct dp_packet *) (number << 4);
}

static uintptr_t
packet_to_number(const struct dp_packet *packet)
{
    return (uintptr_t) packet >> 4;
}

static void
test_first_in_first_out(void **state)
{
    struct frame_ring *ring = frame_ring_create(RING);

    (void) state;
    for (int round = 1; round < 1000; round++) {
        uintptr_t n = 0;

        assert_true(frame_ring_is_empty(ring));
        assert_null(frame_ring_pop(ring));
        while (frame_ring_push(ring, number_to_packet(round + n))) {
            n++;
            assert_false(frame_ring_is_empty(ring));
        }
        assert_int_equal(n, RING);
        for (uintptr_t i = 0; i < n; i++) {
            assert_int_equal(packet_to_number(frame_ring_pop(ring)),
                             round + i);
        }
    }
    frame_ring_destroy(ring);
}

static void
test_destroy_frees_what_is_left(void **state)
{
    struct frame_ring *ring = frame_ring_create(RING);

    (void) state;
    assert_true(frame_ring_push(ring, dp_packet_new(64)));
    frame_ring_destroy(ring);   /* A leak, or a double free, is ASan's. */
    frame_ring_destroy(NULL);
}

static struct frame_ring *shared;
static uint8_t seen[PRODUCERS * PER_THREAD];
static int n_out, n_disorder;

static void *
produce(void *first_)
{
    uintptr_t first = (uintptr_t) first_;

    for (uintptr_t i = 0; i < PER_THREAD; i++) {
        while (!frame_ring_push(shared, number_to_packet(first + i + 1))) {
            sched_yield();
        }
    }
    return NULL;
}

static void *
consume(void *aux)
{
    uintptr_t last[PRODUCERS] = { 0 };

    (void) aux;
    while (__atomic_load_n(&n_out, __ATOMIC_SEQ_CST)
           < PRODUCERS * PER_THREAD) {
        const struct dp_packet *packet = frame_ring_pop(shared);

        if (packet) {
            uintptr_t number = packet_to_number(packet) - 1;
            uintptr_t *before = &last[number / PER_THREAD];

            __atomic_fetch_add(&seen[number], 1, __ATOMIC_SEQ_CST);
            __atomic_fetch_add(&n_out, 1, __ATOMIC_SEQ_CST);
            __atomic_fetch_add(&n_disorder, number + 1 <= *before,
                               __ATOMIC_SEQ_CST);
            *before = number + 1;
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void
test_many_threads(void **state)
{
    pthread_t threads[PRODUCERS + CONSUMERS];

    (void) state;
    shared = frame_ring_create(RING);
    for (uintptr_t i = 0; i < PRODUCERS; i++) {
        threads[i] = ovs_thread_create("produce", produce,
                                       (void *) (i * PER_THREAD));
    }
    for (int i = 0; i < CONSUMERS; i++) {
        threads[PRODUCERS + i] = ovs_thread_create("consume", consume, NULL);
    }
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++) {
        xpthread_join(threads[i], NULL);
    }
    for (int i = 0; i < PRODUCERS * PER_THREAD; i++) {
        assert_int_equal(seen[i], 1);
    }
    assert_int_equal(n_disorder, 0);
    assert_true(frame_ring_is_empty(shared));
    frame_ring_destroy(shared);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_in_first_out),
        cmocka_unit_test(test_destroy_frees_what_is_left),
        cmocka_unit_test(test_many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
