/* vswitchd-ext/flow-file.h, on a small tmpfs in a mount namespace of the
 * test's own, so as root.  A mapping lasts as long as its process, so each is
 * made in a process of its own. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "vswitchd-ext/flow-file.h"

enum {
    ROOM = 8 << 20,             /* On the tmpfs. */
    SIZE = 2 << 20,
    FULL = SIZE + FLOW_FILE_PAGE, /* Of the file. */
    BAD  = 255,                 /* No errno. */
};

static char folder[] = "/tmp/test-flow-file.XXXXXX";
static const char path[] = "flows"; /* In 'folder'. */

/* What a child does with its mapping: checks that all bytes are 'expect', and
 * makes them 'fill'. */
struct use {
    int expect, fill;
};

static int
map_and_use(const char *file, size_t size, struct use use)
{
    struct flow_file *mapped = NULL;
    int error = flow_file_map(file, size, &mapped);

    if (error) {
        return mapped ? BAD : error;
    }

    uint8_t *bytes = flow_file_memory(mapped);
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != use.expect) {
            return BAD;
        }
    }
    memset(bytes, use.fill, size);
    return 0;
}

/* Maps and uses the file in another process, which then ends.  Returns 0, an
 * errno, or BAD. */
static int
map(const char *file, size_t size, struct use use)
{
    int status = 0;
    pid_t pid = fork();

    if (!pid) {
        _exit(map_and_use(file, size, use));
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The same, but the process stays, until end(). */
static pid_t
map_and_stay(const char *file, size_t size, struct use use)
{
    int ends[2];
    uint8_t error = BAD;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        error = map_and_use(file, size, use);
        if (write(ends[1], &error, 1) == 1) {
            pause();
        }
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(read(ends[0], &error, 1), 1);
    assert_int_equal(error, 0);
    close(ends[0]);
    close(ends[1]);
    return pid;
}

static void
end(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static struct stat
stat_of(const char *file)
{
    struct stat s;

    assert_int_equal(lstat(file, &s), 0);
    return s;
}

static int
set_up(void **state)
{
    (void) state;
    return mount("tmpfs", folder, "tmpfs", 0, "size=8m") || chdir(folder);
}

static int
tear_down(void **state)
{
    (void) state;
    return chdir("/") || umount2(folder, MNT_DETACH);
}

static void
contents_outlive_a_process_that_is_killed(void **state)
{
    (void) state;
    end(map_and_stay(path, SIZE, (struct use) { 0, 7 }));
    assert_int_equal(map(path, SIZE, (struct use) { 7, 9 }), 0);
    assert_int_equal(map(path, SIZE, (struct use) { 9, 9 }), 0);
}

static void
a_file_is_ours_alone_and_all_there(void **state)
{
    (void) state;
    assert_int_equal(map(path, SIZE, (struct use) { 0, 0 }), 0);
    assert_int_equal(stat_of(path).st_mode & 07777, 0600);
    assert_int_equal(stat_of(path).st_size, FULL);
    assert_int_equal(stat_of(path).st_blocks * 512, FULL);
}

static void
holes_are_filled(void **state)
{
    int fd;

    (void) state;
    assert_int_equal(map(path, SIZE, (struct use) { 0, 0 }), 0);
    fd = open(path, O_RDWR);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               SIZE / 2, SIZE / 4), 0);
    close(fd);
    assert_true(stat_of(path).st_blocks * 512 < SIZE);
    end(map_and_stay(path, SIZE, (struct use) { 0, 0 }));
    assert_int_equal(stat_of(path).st_blocks * 512, FULL);
}

static void
of_another_size_it_is_made_anew(void **state)
{
    (void) state;
    assert_int_equal(map(path, SIZE, (struct use) { 0, 7 }), 0);
    assert_int_equal(map(path, 2 * SIZE, (struct use) { 0, 8 }), 0);
    assert_int_equal(stat_of(path).st_size, FULL + SIZE);
    assert_int_equal(map(path, SIZE, (struct use) { 0, 7 }), 0);
    assert_int_equal(stat_of(path).st_size, FULL);
}

static void
what_another_process_has_is_left_alone(void **state)
{
    pid_t pid = map_and_stay(path, SIZE, (struct use) { 0, 7 });

    (void) state;
    assert_int_equal(map(path, SIZE, (struct use) { 7, 8 }), EAGAIN);
    assert_int_equal(map(path, 2 * SIZE, (struct use) { 0, 8 }), EAGAIN);
    assert_int_equal(stat_of(path).st_size, FULL);
    end(pid);
    assert_int_equal(map(path, SIZE, (struct use) { 7, 8 }), 0);
}

static void
a_link_is_not_followed(void **state)
{
    (void) state;
    assert_int_equal(map("other", SIZE, (struct use) { 0, 7 }), 0);
    assert_int_equal(symlink("other", path), 0);
    assert_int_equal(map(path, SIZE, (struct use) { 7, 8 }), ELOOP);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    assert_int_equal(map("dangling", SIZE, (struct use) { 0, 8 }), ELOOP);
    assert_int_equal(access("nowhere", F_OK), -1);
    assert_int_equal(map("other", SIZE, (struct use) { 7, 7 }), 0);
}

static void
what_is_no_file_is_refused(void **state)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "socket" };
    int sock = socket(AF_UNIX, SOCK_STREAM, 0);

    (void) state;
    assert_int_equal(bind(sock, (struct sockaddr *) &sun, sizeof sun), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(map("fifo", SIZE, (struct use) { 0, 0 }), EINVAL);
    assert_int_equal(map("/dev/zero", SIZE, (struct use) { 0, 0 }), EINVAL);
    assert_int_equal(map("folder", SIZE, (struct use) { 0, 0 }), EISDIR);
    assert_int_equal(map("socket", SIZE, (struct use) { 0, 0 }), ENXIO);
    assert_int_equal(map("no/file", SIZE, (struct use) { 0, 0 }), ENOENT);
    close(sock);
}

static void
another_users_file_is_refused_and_left_alone(void **state)
{
    (void) state;
    assert_int_equal(map(path, SIZE, (struct use) { 0, 7 }), 0);
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_int_equal(map(path, 2 * SIZE, (struct use) { 0, 0 }), EINVAL);
    assert_int_equal(chown(path, 0, 0), 0);
    assert_int_equal(map(path, SIZE, (struct use) { 7, 7 }), 0);
}

/* Whatever root may write is not all ours. */
static void
a_file_with_something_else_in_it_is_left_alone(void **state)
{
    static const size_t sizes[] = {
        1, 100, FLOW_FILE_PAGE, SIZE, FULL, FULL + 1
    };

    (void) state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char first = 0;
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

        assert_int_equal(ftruncate(fd, sizes[i]), 0);
        assert_int_equal(pwrite(fd, "x", 1, 0), 1);
        assert_int_equal(map(path, SIZE, (struct use) { 0, 7 }), EEXIST);
        assert_int_equal(stat_of(path).st_size, sizes[i]);
        assert_int_equal(pread(fd, &first, 1, 0), 1);
        assert_int_equal(first, 'x');
        close(fd);
    }
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(map(path, SIZE, (struct use) { 0, 7 }), 0);
}

static void
its_memory_is_refused_and_the_file_goes(void **state)
{
    pid_t pid = fork();
    int status;

    (void) state;
    if (!pid) {
        const struct rlimit limit = { 1 << 20, 1 << 20 };

        /* Room for the file, but not to map it. */
        setrlimit(RLIMIT_AS, &limit);
        _exit(map_and_use(path, SIZE, (struct use) { 0, 7 }));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), ENOMEM);
    assert_int_equal(access(path, F_OK), -1);
}

/* In a process of its own: flow_file_move(), then another process looks. */
static int
map_and_move(const char *from, const char *to)
{
    struct flow_file *file;
    int error = flow_file_map(from, SIZE, &file);

    if (!error) {
        memset(flow_file_memory(file), 7, SIZE);
        error = flow_file_move(file, to);
    }
    _exit(error);
}

static void
a_file_moves_with_its_contents_or_goes(void **state)
{
    static const struct {
        const char *to;
        int error;
    } cases[] = {
        { "moved", 0 }, { NULL, 0 }, { "taken", EEXIST },
        { "no/folder", ENOENT },
    };

    (void) state;
    assert_int_equal(map("taken", SIZE, (struct use) { 0, 5 }), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pid_t pid = fork();
        int status;

        if (!pid) {
            map_and_move(path, cases[i].to);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), cases[i].error);
        assert_int_equal(access(path, F_OK), -1);
    }
    assert_int_equal(map("moved", SIZE, (struct use) { 7, 7 }), 0);
    assert_int_equal(unlink("moved"), 0);
    assert_int_equal(map("taken", SIZE, (struct use) { 5, 5 }), 0);
}

/* Rather than by a signal on the packet path. */
static void
too_little_room_shows_at_once(void **state)
{
    (void) state;
    assert_int_equal(map(path, 2 * ROOM, (struct use) { 0, 7 }), ENOSPC);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(map("other", ROOM - 2 * SIZE, (struct use) { 0, 7 }), 0);
    assert_int_equal(map(path, SIZE, (struct use) { 0, 7 }), 0);
    assert_int_equal(map(path, 2 * SIZE, (struct use) { 0, 7 }), ENOSPC);

    /* Nobody holds what could not be had, nor what is there in its stead. */
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(map(path, SIZE, (struct use) { 0, 7 }), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink("other"), 0);
    assert_int_equal(map(path, 2 * SIZE, (struct use) { 0, 7 }), 0);
}

static void
a_stamp_is_the_same_until_key_or_boot_is_another(void **state)
{
    static const char boot_id[] = "/proc/sys/kernel/random/boot_id";
    const uint64_t key[2] = { 0x1111, 0x3333 };
    const uint64_t first[2] = { 0x1113, 0x3333 };
    const uint64_t second[2] = { 0x1111, 0x3331 };
    const uint64_t swapped[2] = { 0x3333, 0x1111 };
    uint64_t stamp = flow_file_stamp(key);
    FILE *file = fopen("boot_id", "w");

    (void) state;
    assert_true(flow_file_stamp(key) == stamp);
    assert_true(flow_file_stamp(first) != stamp);
    assert_true(flow_file_stamp(second) != stamp);
    assert_true(flow_file_stamp(swapped) != stamp);

    fputs("01234567-89ab-cdef-0123-456789abcdef\n", file);
    fclose(file);
    assert_int_equal(mount("boot_id", boot_id, NULL, MS_BIND, NULL), 0);
    assert_true(flow_file_stamp(key) != stamp);
    assert_int_equal(umount(boot_id), 0);
    assert_true(flow_file_stamp(key) == stamp);
}

static int
make_folder(void **state)
{
    (void) state;
    return (!mkdtemp(folder) || unshare(CLONE_NEWNS)
            || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static int
remove_folder(void **state)
{
    (void) state;
    return rmdir(folder);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(contents_outlive_a_process_that_is_killed),
        TEST(a_file_is_ours_alone_and_all_there),
        TEST(holes_are_filled),
        TEST(of_another_size_it_is_made_anew),
        TEST(what_another_process_has_is_left_alone),
        TEST(a_link_is_not_followed),
        TEST(what_is_no_file_is_refused),
        TEST(another_users_file_is_refused_and_left_alone),
        TEST(a_file_with_something_else_in_it_is_left_alone),
        TEST(its_memory_is_refused_and_the_file_goes),
        TEST(a_file_moves_with_its_contents_or_goes),
        TEST(too_little_room_shows_at_once),
        TEST(a_stamp_is_the_same_until_key_or_boot_is_another),
    };

    if (geteuid()) {
        puts("skipped: only root can make a mount namespace");
        return 0;
    }
    return cmocka_run_group_tests_name("flow-file", tests, make_folder,
                                       remove_folder);
}
