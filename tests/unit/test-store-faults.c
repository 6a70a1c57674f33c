/* The SQLite store when the system fails it: what is refused stays refused,
 * what was acknowledged stays, and the cause is named.  Needs root, for the
 * full disk, which is a mount in a namespace of this process. */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/unit/opened.h"
#include "util.h"

static const char new_host[] = "{\"kind\":\"host\",\"name\":\"h9\","
                               "\"vtep\":\"192.0.2.9\"}";

/* A disk that fails.  The default VFS of SQLite, but for write-ahead logs,
 * which get methods that fail when they are told to. */

static sqlite3_vfs failing_vfs;
static sqlite3_vfs *real_vfs;
static const sqlite3_io_methods *real_methods;
static sqlite3_io_methods failing_methods;
static int failing_syncs;       /* How many fail from now on. */
static int failing_writes;

static int
failing_sync(sqlite3_file *file, int flags)
{
    if (failing_syncs > 0) {
        failing_syncs--;
        errno = EIO;
        return SQLITE_IOERR_FSYNC;
    }
    return real_methods->xSync(file, flags);
}

static int
failing_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 ofs)
{
    if (failing_writes > 0) {
        failing_writes--;
        errno = EIO;
        return SQLITE_IOERR_WRITE;
    }
    return real_methods->xWrite(file, data, n, ofs);
}

static int
failing_open(sqlite3_vfs *vfs OVS_UNUSED, sqlite3_filename name,
             sqlite3_file *file, int flags, int *out_flags)
{
    int rc = real_vfs->xOpen(real_vfs, name, file, flags, out_flags);

    if (!rc && flags & SQLITE_OPEN_WAL) {
        real_methods = file->pMethods;
        failing_methods = *real_methods;
        failing_methods.xSync = failing_sync;
        failing_methods.xWrite = failing_write;
        file->pMethods = &failing_methods;
    }
    return rc;
}

static int
setup_failing(void **state)
{
    real_vfs = sqlite3_vfs_find(NULL);
    failing_vfs = *real_vfs;
    failing_vfs.zName = "failing";
    failing_vfs.xOpen = failing_open;
    failing_syncs = failing_writes = 0;
    sqlite3_vfs_register(&failing_vfs, 1);
    return opened_setup_filled(state);
}

static int
teardown_failing(void **state OVS_UNUSED)
{
    return sqlite3_vfs_unregister(&failing_vfs);
}

/* Runs 'child' in a process that is then killed, so that nothing is tidied
 * up. */
static void
run_and_kill(int (*child)(void))
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        int error = child();

        if (error) {
            _exit(error);
        }
        raise(SIGKILL);
    }
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(SIGKILL, WTERMSIG(status));
}

/* After a change: the first one also synchronizes the head of the log. */
static int
refuse_one_change(void)
{
    struct diagnosis diag = { .message = "" };
    struct opened o;

    opened_open(&o);
    if (opened_changef(&o, "add",
                       "{'kind':'host','name':'h7','vtep':'192.0.2.7'}")) {
        return 1;
    }
    failing_syncs = 1;
    return (!opened_change(&o, "add", new_host, &diag) ? 2
            : !strstr(diag.message, "cannot be synchronized") ? 3 : 0);
}

/* The log cannot be purged, so the next change has to do it. */
static int
refuse_and_change(void)
{
    struct diagnosis diag;
    struct opened o;

    opened_open(&o);
    if (opened_changef(&o, "set",
                       "{'kind':'host','name':'h7','encap':'vxlan'}")) {
        return 1;
    }
    failing_syncs = 2;
    if (!opened_change(&o, "add", new_host, &diag)) {
        return 2;
    }
    return (failing_syncs ? 3
            : opened_changef(&o, "add", "{'kind':'host','name':'h8',"
                             "'vtep':'192.0.2.8'}") ? 4 : 0);
}

static void
refused_change_does_not_come_back(void **state OVS_UNUSED)
{
    struct opened o;

    run_and_kill(refuse_one_change);
    opened_open(&o);
    assert_non_null(catalog_find_host(o.catalog, "h7"));
    assert_null(catalog_find_host(o.catalog, "h9"));
    opened_close(&o);

    run_and_kill(refuse_and_change);
    opened_open(&o);
    assert_int_equal(TUNNEL_VXLAN, catalog_find_host(o.catalog, "h7")->encap);
    assert_non_null(catalog_find_host(o.catalog, "h8"));
    assert_null(catalog_find_host(o.catalog, "h9"));
    opened_close(&o);
}

static void
disk_that_goes_on_failing_refuses_all_changes(void **state OVS_UNUSED)
{
    struct diagnosis diag = { .message = "" };
    char *before, *after;
    struct opened o;

    opened_open(&o);
    before = opened_describe(&o);
    failing_syncs = 1000;
    for (int i = 0; i < 3; i++) {
        assert_int_not_equal(0, opened_change(&o, "add", new_host, &diag));
        assert_int_equal(DIAG_STORE, diag.code);
        after = opened_describe(&o);
        assert_string_equal(before, after);
        free(after);
    }
    failing_syncs = 0;
    assert_int_equal(0, opened_change(&o, "add", new_host, &diag));
    free(before);
    before = opened_describe(&o);
    opened_close(&o);
    opened_open(&o);
    after = opened_describe(&o);
    assert_string_equal(before, after);
    opened_close(&o);
    free(before);
    free(after);
}

/* A limit that is there and was not reached is not the cause. */
static void
failed_writes_are_called_that(void **state OVS_UNUSED)
{
    struct rlimit limit = { .rlim_cur = 1 << 30, .rlim_max = RLIM_INFINITY };
    const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
    struct diagnosis diag = { .message = "" };
    struct opened o;

    opened_open(&o);
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &limit));
    failing_writes = 1;
    assert_int_not_equal(0, opened_change(&o, "add", new_host, &diag));
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &none));
    assert_non_null(strstr(diag.message, "cannot be written"));
    assert_non_null(strstr(diag.message, strerror(EIO)));
    assert_non_null(strstr(diag.hint, "disk"));
    assert_int_equal(0, opened_change(&o, "add", new_host, &diag));
    opened_close(&o);
}

/* In a process of its own, as a limit cannot be taken back. */
static void
file_size_limit_is_named(void **state OVS_UNUSED)
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        struct rlimit limit = { .rlim_cur = 8192, .rlim_max = 8192 };
        struct diagnosis diag = { .message = "" };
        struct opened o;

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(!opened_try(opened_path, &o, &diag) ? 1
              : !strstr(diag.message, "limit of its size (8192 bytes)") ? 2
              : !strncmp(diag.message, opened_path, strlen(opened_path))
              && diag.message[strlen(opened_path)] == ':' ? 0 : 3);
    }
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_int_equal(0, status);
}

/* The same for a store that has been in use. */
static void
file_size_limit_refuses_changes(void **state OVS_UNUSED)
{
    const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
    struct rlimit limit = { .rlim_cur = 200000, .rlim_max = RLIM_INFINITY };
    struct diagnosis diag = { .message = "" };
    struct opened o;
    int error = 0;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &limit));
    opened_open(&o);
    for (int i = 0; !error && i < 500; i++) {
        char text[96];

        snprintf(text, sizeof text, "{\"kind\":\"host\",\"name\":\"x%d\","
                 "\"vtep\":\"198.51.%d.%d\"}", i, i / 200, 1 + i % 200);
        error = opened_change(&o, "add", text, &diag);
    }
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &none));
    assert_int_not_equal(0, error);
    assert_non_null(strstr(diag.message, "limit of its size (200000 bytes)"));
    assert_non_null(strstr(diag.hint, "ulimit"));
    assert_int_equal(0, opened_change(&o, "add", new_host, &diag));
    opened_close(&o);
}

static void
full_disk_refuses_changes_and_nothing_else(void **state OVS_UNUSED)
{
    struct diagnosis diag = { .message = "" };
    char *before, *after, filler[80];
    struct opened o;
    int error = 0;
    int fd;

    assert_int_equal(0, mount("none", opened_dir, "tmpfs", 0, "size=512k"));
    opened_open(&o);
    opened_fill(&o);
    snprintf(filler, sizeof filler, "%s/filler", opened_dir);
    fd = open(filler, O_WRONLY | O_CREAT, 0600);
    while (write(fd, filler, sizeof filler) > 0) {
        continue;
    }
    close(fd);

    /* A little room may be left in what the log has already. */
    for (int i = 0; !error && i < 500; i++) {
        char text[96];

        before = opened_describe(&o);
        snprintf(text, sizeof text, "{\"kind\":\"host\",\"name\":\"x%d\","
                 "\"vtep\":\"198.51.%d.%d\"}", i, i / 200, 1 + i % 200);
        error = opened_change(&o, "add", text, &diag);
        if (!error) {
            free(before);
        }
    }
    assert_int_not_equal(0, error);
    assert_int_equal(DIAG_STORE, diag.code);
    assert_non_null(strstr(diag.message, "no room"));
    after = opened_describe(&o);
    assert_string_equal(before, after);
    free(after);

    assert_int_equal(0, unlink(filler));
    assert_int_equal(0, opened_changef(&o, "add",
        "{'kind':'host','name':'h9','vtep':'192.0.2.9'}"));
    free(before);
    before = opened_describe(&o);
    opened_close(&o);
    opened_open(&o);
    after = opened_describe(&o);
    assert_string_equal(before, after);
    opened_close(&o);
    free(before);
    free(after);

    fd = open(filler, O_WRONLY | O_CREAT, 0600);
    while (write(fd, filler, sizeof filler) > 0) {
        continue;
    }
    close(fd);
    assert_int_equal(0, unlink(opened_path));
    fd = open(filler, O_WRONLY | O_APPEND);
    while (write(fd, filler, sizeof filler) > 0) {
        continue;
    }
    close(fd);
    assert_int_not_equal(0, opened_try(opened_path, &o, &diag));
    assert_int_equal(-1, access(opened_path, F_OK));
    assert_int_equal(0, umount(opened_dir));
}

/* What creators leave behind. */

/* Names in the directory, "grapnel.db" and its logs left out; owned by the
 * caller. */
static char *
strange_files(void)
{
    char *names = xstrdup("");
    DIR *dir = opendir(opened_dir);
    struct dirent *entry;

    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "grapnel.db")
            && strcmp(entry->d_name, "grapnel.db-wal")
            && strcmp(entry->d_name, "grapnel.db-shm")) {
            char *more = xasprintf("%s %s", names, entry->d_name);

            free(names);
            names = more;
        }
    }
    closedir(dir);
    return names;
}

static void
killed_creators_leave_nothing_for_long(void **state OVS_UNUSED)
{
    int unborn = 0;

    for (int i = 0; i < 60; i++) {
        struct opened o;
        char *names;
        int status;
        pid_t pid;

        assert_int_equal(0, opened_setup(NULL));
        pid = fork();
        if (!pid) {
            opened_open(&o);
            pause();
        }
        usleep(i * 100);
        kill(pid, SIGKILL);
        assert_int_equal(pid, waitpid(pid, &status, 0));
        unborn += access(opened_path, F_OK) != 0;

        opened_open(&o);
        names = strange_files();
        assert_string_equal("", names);
        free(names);
        opened_close(&o);
    }
    print_message("%d of 60 were killed before the store was there\n",
                  unborn);
}

/* In each state that a creator can be killed in. */
static void
leftovers_are_taken_over(void **state OVS_UNUSED)
{
    char name[96], copy[96];
    struct opened o;
    char *names;

    snprintf(name, sizeof name, "%s.grapnel-new", opened_path);
    snprintf(copy, sizeof copy, "%s.backup", opened_path);
    opened_write(name, "half", 4);
    opened_open(&o);
    opened_close(&o);
    assert_int_equal(-1, access(name, F_OK));

    /* Linked, and not yet unlinked. */
    assert_int_equal(0, link(opened_path, name));
    opened_open(&o);
    opened_close(&o);
    assert_int_equal(-1, access(name, F_OK));

    /* What is not ours stays. */
    opened_write(copy, "mine", 4);
    opened_open(&o);
    opened_close(&o);
    names = strange_files();
    assert_string_equal(" grapnel.db.backup", names);
    free(names);
}

static void
creator_at_work_is_left_alone(void **state OVS_UNUSED)
{
    struct diagnosis diag = { .message = "" };
    char name[96];
    struct opened o;
    int fd;

    snprintf(name, sizeof name, "%s.grapnel-new", opened_path);
    opened_write(name, "half", 4);
    fd = open(name, O_RDWR);
    assert_int_equal(0, flock(fd, LOCK_EX));
    assert_int_not_equal(0, opened_try(opened_path, &o, &diag));
    assert_non_null(strstr(diag.message, "another process is creating it"));
    assert_int_equal(0, access(name, F_OK));
    assert_int_equal(-1, access(opened_path, F_OK));
    close(fd);
    opened_open(&o);
    opened_close(&o);
    assert_int_equal(-1, access(name, F_OK));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define FAILING(TEST) \
        cmocka_unit_test_setup_teardown(TEST, setup_failing, teardown_failing)
#define EMPTY(TEST) cmocka_unit_test_setup(TEST, opened_setup)
        FAILING(refused_change_does_not_come_back),
        FAILING(disk_that_goes_on_failing_refuses_all_changes),
        FAILING(failed_writes_are_called_that),
        EMPTY(file_size_limit_is_named),
        EMPTY(file_size_limit_refuses_changes),
        EMPTY(full_disk_refuses_changes_and_nothing_else),
        EMPTY(killed_creators_leave_nothing_for_long),
        EMPTY(leftovers_are_taken_over),
        EMPTY(creator_at_work_is_left_alone),
    };
    int failed;

    if (!opened_prepare()) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    return opened_clean_up() ? 1 : failed;
}
