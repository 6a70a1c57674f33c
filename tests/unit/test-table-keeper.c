/* When the mapping is written, with a disk that the test stops, and a clock
 * that it sets. */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "mapping/replica/replica.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "util.h"
#include "vswitchd-ext/table-file.h"
#include "vswitchd-ext/table-keeper.h"

enum {
    CONFIRM_MS = 10000,
    RETRY_MS   = 30000,
    STUCK_S    = 20,            /* Then the disk gives in. */
};

static long long int now_ms;
static bool waits_for_time;

long long int __wrap_time_msec(void);
void __wrap_poll_timer_wait_until_at(long long int, const char *);

long long int
__wrap_time_msec(void)
{
    return __atomic_load_n(&now_ms, __ATOMIC_RELAXED);
}

void
__wrap_poll_timer_wait_until_at(long long int when OVS_UNUSED,
                                const char *where OVS_UNUSED)
{
    waits_for_time = true;
}

/* The disk. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool stands_still;
    bool gave_in;               /* Nobody let it go on. */
    const char *bad_path;       /* All fails there, with 'error'. */
    int error;
    unsigned int n_begun, n_writes, n_confirms; /* Begun; done. */
    uint64_t revision;          /* Of the last one done. */
} disk = {
    .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER,
};

static int
work(const char *path, uint64_t revision, unsigned int *n)
{
    struct timespec end;
    int error;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += STUCK_S;
    pthread_mutex_lock(&disk.mutex);
    disk.n_begun++;
    pthread_cond_broadcast(&disk.cond);
    while (disk.stands_still && !disk.gave_in) {
        disk.gave_in = pthread_cond_timedwait(&disk.cond, &disk.mutex, &end);
    }
    ++*n;
    disk.revision = revision;
    error = disk.bad_path && !strcmp(path, disk.bad_path) ? disk.error : 0;
    pthread_mutex_unlock(&disk.mutex);
    return error;
}

int
table_file_write(const char *path, const char *host OVS_UNUSED,
                 uint64_t revision, const char *snapshot OVS_UNUSED,
                 size_t n OVS_UNUSED)
{
    return work(path, revision, &disk.n_writes);
}

int
table_file_confirm(const char *path)
{
    return work(path, 0, &disk.n_confirms);
}

struct json *
table_file_read(const char *path OVS_UNUSED, const char *host OVS_UNUSED,
                long long int *age_ms OVS_UNUSED, char **why)
{
    *why = NULL;
    return NULL;
}

const char *
table_file_error(int error)
{
    return ovs_strerror(error);
}

static void
stop_disk(bool stop)
{
    pthread_mutex_lock(&disk.mutex);
    disk.stands_still = stop;
    pthread_cond_broadcast(&disk.cond);
    pthread_mutex_unlock(&disk.mutex);
}

/* Waits until the disk has begun 'n' jobs. */
static void
wait_begun(unsigned int n)
{
    pthread_mutex_lock(&disk.mutex);
    while (disk.n_begun < n) {
        pthread_cond_wait(&disk.cond, &disk.mutex);
    }
    pthread_mutex_unlock(&disk.mutex);
}

static struct table_keeper *keeper;
static struct replica replica;

/* Whether the keeper waits for a time, not for the disk. */
static bool
is_idle(void)
{
    waits_for_time = false;
    table_keeper_wait(keeper);
    return waits_for_time;
}

/* A turn of the agent's, in which what the disk had to do gets done. */
static void
turn(void)
{
    for (int i = 0; i < STUCK_S * 1000; i++) {
        table_keeper_run(keeper, &replica, true);
        if (is_idle()) {
            return;
        }
        usleep(1000);
    }
    fail_msg("the disk does not come to an end");
}

static void
pass(long long int ms)
{
    __atomic_store_n(&now_ms, now_ms + ms, __ATOMIC_RELAXED);
    turn();
}

static void
change_mapping(void)
{
    replica.generation++;
    replica.revision++;
}

static int
setup(void **state OVS_UNUSED)
{
    disk.stands_still = disk.gave_in = false;
    disk.bad_path = NULL;
    disk.n_begun = disk.n_writes = disk.n_confirms = 0;
    __atomic_store_n(&now_ms, 1000 * 1000, __ATOMIC_RELAXED);
    keeper = table_keeper_create();
    replica_init(&replica);
    change_mapping();
    table_keeper_configure(keeper, "/a", "h1");
    return 0;
}

static int
teardown(void **state OVS_UNUSED)
{
    table_keeper_destroy(keeper, &replica);
    replica_destroy(&replica);
    return 0;
}

static void
what_changes_is_written_and_then_confirmed(void **state OVS_UNUSED)
{
    turn();
    assert_int_equal(disk.n_writes, 1);
    assert_int_equal(disk.revision, 1);
    change_mapping();
    turn();                     /* Not so soon. */
    assert_int_equal(disk.n_writes, 1);
    pass(1000);
    assert_int_equal(disk.n_writes, 2);
    assert_int_equal(disk.revision, 2);
    assert_int_equal(disk.n_confirms, 0);
    pass(CONFIRM_MS);
    assert_int_equal(disk.n_confirms, 1);
    assert_int_equal(disk.n_writes, 2);
}

static void
a_failure_is_told_and_mended(void **state OVS_UNUSED)
{
    disk.bad_path = "/a";
    disk.error = ENOSPC;
    turn();
    assert_int_equal(disk.n_writes, 1);
    assert_non_null(strstr(table_keeper_remark(keeper), "No space"));
    disk.bad_path = NULL;
    pass(RETRY_MS - 1000);
    assert_int_equal(disk.n_writes, 1);
    pass(1000);
    assert_int_equal(disk.n_writes, 2);
    assert_null(table_keeper_remark(keeper));
}

static void
a_file_that_was_deleted_is_written_again(void **state OVS_UNUSED)
{
    turn();
    disk.bad_path = "/a";
    disk.error = ENOENT;
    pass(CONFIRM_MS);
    assert_int_equal(disk.n_confirms, 1);
    disk.bad_path = NULL;
    pass(RETRY_MS);
    assert_int_equal(disk.n_writes, 2);
}

/* Nor does what it does at last count for the new place. */
static void
a_disk_that_stands_still_does_not_keep_the_agent(void **state OVS_UNUSED)
{
    stop_disk(true);
    table_keeper_run(keeper, &replica, true);
    wait_begun(1);
    table_keeper_configure(keeper, "/b", "h1");
    table_keeper_run(keeper, &replica, true);
    assert_false(disk.gave_in);
    assert_int_equal(disk.n_begun, 1);
    disk.bad_path = "/a";
    disk.error = EIO;
    stop_disk(false);
    turn();
    assert_int_equal(disk.n_writes, 2);
    assert_null(table_keeper_remark(keeper));
    assert_int_equal(disk.n_begun, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_changes_is_written_and_then_confirmed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_is_told_and_mended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_file_that_was_deleted_is_written_again, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_disk_that_stands_still_does_not_keep_the_agent, setup,
            teardown),
    };

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
