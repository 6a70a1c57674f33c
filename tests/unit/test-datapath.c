/* Threads that come and go, and what they leave to each other. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ovs-thread.h"
#include "tests/unit/world.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/datapath.h"

enum { SYN = 0x02, N_TICKS = 8, GIVE_UP_MS = 11000 };

/* What a thread does. */
struct task {
    struct world *world;
    uint32_t flow;              /* To begin; 0: none. */
    struct ovs_barrier *barrier; /* NULL, or where to meet before the end. */

    struct engine_thread *engine; /* What it had. */
    uint64_t n_packets;         /* Counted in there at its end. */
};

static void *
task_main(void *task_)
{
    struct task *task = task_;

    task->engine = datapath_thread();
    assert_ptr_equal(datapath_thread(), task->engine);
    if (task->flow) {
        struct world_packet p = world_packet(task->flow, SYN);

        world_build(&p);
        engine_process(&task->world->engine, task->engine,
                       task->world->now_ms * 1000, &p.packet, 1);
    }
    if (task->barrier) {
        ovs_barrier_block(task->barrier);
    }
    task->n_packets = task->engine->count.new_flows;
    return NULL;
}

static void
run(struct task *task)
{
    xpthread_join(ovs_thread_create("task", task_main, task), NULL);
}

static uint64_t
count_new_flows(void)
{
    struct engine_counters total;

    datapath_get_counters(&total);
    return total.new_flows;
}

/* Whoever comes next goes on with it, counters included. */
static void
a_thread_takes_over_what_an_ended_one_has_left(void **state)
{
    struct task first = { .world = *state, .flow = 1 };
    struct task second = { .world = *state, .flow = 2 };
    uint64_t before = count_new_flows();

    run(&first);
    run(&second);
    assert_ptr_equal(first.engine, second.engine);
    assert_int_equal(second.n_packets, first.n_packets + 1);
    assert_int_equal(count_new_flows(), before + 2);
}

static void
threads_at_the_same_time_share_nothing(void **state)
{
    struct ovs_barrier barrier;
    struct task tasks[3];
    pthread_t threads[3];

    ovs_barrier_init(&barrier, 3);
    for (int i = 0; i < 3; i++) {
        tasks[i] = (struct task) { .world = *state, .barrier = &barrier };
        threads[i] = ovs_thread_create("task", task_main, &tasks[i]);
    }
    for (int i = 0; i < 3; i++) {
        xpthread_join(threads[i], NULL);
    }
    ovs_barrier_destroy(&barrier);
    assert_ptr_not_equal(tasks[0].engine, tasks[1].engine);
    assert_ptr_not_equal(tasks[0].engine, tasks[2].engine);
    assert_ptr_not_equal(tasks[1].engine, tasks[2].engine);
}

/* Though no thread comes to see to them. */
static void
handshakes_of_an_ended_thread_end(void **state)
{
    struct world *w = *state;
    struct task task = { .world = w, .flow = 9 };

    run(&task);
    assert_true(world_census(w, 0).pending > 0);
    w->now_ms += GIVE_UP_MS;
    for (int i = 0; i < N_TICKS; i++) {
        datapath_tick_idle(w->now_ms * 1000);
    }
    assert_int_equal(world_census(w, 0).pending, 0);
}

/* A thread at work sees to its own. */
static void
those_of_a_thread_at_work_are_left_to_it(void **state)
{
    struct world *w = *state;
    struct world_packet p = world_packet(10, SYN);

    world_build(&p);
    engine_process(&w->engine, datapath_thread(), w->now_ms * 1000, &p.packet,
                   1);
    w->now_ms += GIVE_UP_MS;
    for (int i = 0; i < N_TICKS; i++) {
        datapath_tick_idle(w->now_ms * 1000);
    }
    assert_int_equal(world_census(w, 0).pending, 1);
}

static int
set_up(void **state)
{
    struct world *w = world_create();

    datapath_init();
    w->groups[0].algorithm = ALGORITHM_LEAST_CONNECTIONS;
    world_publish(w);
    datapath_publish(w->table);
    *state = w;
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_takes_over_what_an_ended_one_has_left),
        cmocka_unit_test(threads_at_the_same_time_share_nothing),
        cmocka_unit_test(handshakes_of_an_ended_thread_end),
        cmocka_unit_test(those_of_a_thread_at_work_are_left_to_it),
    };

    return cmocka_run_group_tests_name("datapath", tests, set_up, NULL);
}
