/* The mapping on disk: what is written comes back the same, and what is
 * damaged, foreign or of another version is refused and left as it is. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "mapping/replica/replica-json.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "tests/unit/replica-model.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/table-file.h"

#define SMALL "{\"revision\":7,\"text\":\"abcdefghij\"}"

struct place {
    char directory[64];
    char path[80], temporary[96];
};

static int
setup(void **state)
{
    struct place *p = xzalloc(sizeof *p);

    strcpy(p->directory, "/tmp/test-table-file.XXXXXX");
    assert_non_null(mkdtemp(p->directory));
    snprintf(p->path, sizeof p->path, "%s/table", p->directory);
    snprintf(p->temporary, sizeof p->temporary, "%s.tmp", p->path);
    *state = p;
    return 0;
}

static int
teardown(void **state)
{
    struct place *p = *state;

    unlink(p->path);
    unlink(p->temporary);
    assert_int_equal(rmdir(p->directory), 0); /* Nothing else was left. */
    free(p);
    return 0;
}

static void
write_text(const struct place *p, const char *text)
{
    assert_int_equal(table_file_write(p->path, "h1", 7, text, strlen(text)),
                     0);
}

static char *
slurp(const char *path, size_t *n)
{
    char *text = xmalloc(1 << 20);
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    *n = read(fd, text, 1 << 20);
    close(fd);
    return text;
}

static void
spill(const char *path, const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
}

/* Checks that 'path' is refused for a reason that has 'part' in it. */
static void
check_refused(const struct place *p, const char *part)
{
    long long int age_ms = -1;
    char *why;

    assert_null(table_file_read(p->path, "h1", &age_ms, &why));
    assert_non_null(why);
    if (!strstr(why, part)) {
        fail_msg("\"%s\" does not have \"%s\"", why, part);
    }
    assert_int_equal(age_ms, -1);
    free(why);
}

/* As text, or NULL if it is refused for damage. */
static char *
read_text(const struct place *p)
{
    long long int age_ms;
    struct json *json;
    char *why, *text = NULL;

    json = table_file_read(p->path, "h1", &age_ms, &why);
    assert_true(!json == !!why);
    if (json) {
        text = json_to_string(json, JSSF_SORT);
        json_destroy(json);
    }
    free(why);
    return text;
}

static void
test_what_is_written_comes_back(void **state)
{
    const struct place *p = *state;
    long long int age_ms = -1;
    struct stat s;
    char *why, *text;

    assert_null(table_file_read(p->path, "h1", &age_ms, &why));
    assert_null(why);           /* There is none. */
    write_text(p, SMALL);
    text = read_text(p);
    assert_string_equal(text, SMALL);
    free(text);
    assert_int_equal(stat(p->path, &s), 0);
    assert_int_equal(s.st_mode & 07777, 0600);
    assert_int_not_equal(access(p->temporary, F_OK), 0);
}

static void
test_any_replica_comes_back(void **state)
{
    const struct place *p = *state;

    for (int round = 0; round < 200; round++) {
        struct replica before, after;
        struct diagnosis diag;
        long long int age_ms;
        struct model model;
        struct json *json;
        char *text, *a, *b, *why;

        model_seed(round);
        model_init(&model);
        for (int i = 0; i < 20; i++) {
            model_change(&model);
        }
        json = model_snapshot(&model);
        replica_init(&before);
        assert_int_equal(replica_load_snapshot(&before, json, 50, &diag), 0);
        json_destroy(json);

        json = replica_to_json(&before, 1050);
        text = json_to_string(json, 0);
        json_destroy(json);
        write_text(p, text);
        free(text);
        json = table_file_read(p->path, "h1", &age_ms, &why);
        assert_non_null(json);
        replica_init(&after);
        assert_int_equal(replica_load_snapshot(&after, json, 1050, &diag), 0);
        json_destroy(json);

        model_check(&model, &after);
        a = model_print(&before, false);
        b = model_print(&after, false);
        assert_string_equal(a, b);
        free(a);
        free(b);
        replica_destroy(&before);
        replica_destroy(&after);
    }
}

static void
test_age_is_that_of_the_last_agreement(void **state)
{
    const struct place *p = *state;
    const struct timespec then[2] = {
        { .tv_sec = time_wall_msec() / 1000 - 7200 },
        { .tv_sec = time_wall_msec() / 1000 - 7200 },
    }, later[2] = {
        { .tv_sec = time_wall_msec() / 1000 + 7200 },
        { .tv_sec = time_wall_msec() / 1000 + 7200 },
    };
    long long int age_ms;
    char *why;

    write_text(p, SMALL);
    assert_int_equal(utimensat(AT_FDCWD, p->path, then, 0), 0);
    json_destroy(table_file_read(p->path, "h1", &age_ms, &why));
    assert_in_range(age_ms, 7200000, 7300000);

    assert_int_equal(table_file_confirm(p->path), 0);
    json_destroy(table_file_read(p->path, "h1", &age_ms, &why));
    assert_in_range(age_ms, 0, 100000);

    /* The clock was set back. */
    assert_int_equal(utimensat(AT_FDCWD, p->path, later, 0), 0);
    json_destroy(table_file_read(p->path, "h1", &age_ms, &why));
    assert_int_equal(age_ms, 0);
    assert_int_equal(table_file_confirm(p->temporary), ENOENT);
}

/* Every byte, and every length. */
static void
test_no_damage_goes_unnoticed(void **state)
{
    const struct place *p = *state;
    char *good, *copy;
    size_t n;

    write_text(p, SMALL);
    good = slurp(p->path, &n);
    copy = xmemdup(good, n);
    for (size_t i = 0; i < n; i++) {
        char *text;

        copy[i] ^= 1 << (i % 7);
        spill(p->path, copy, n);
        text = read_text(p);
        /* A revision in the first line is for people. */
        assert_true(!text || !strcmp(text, SMALL));
        assert_true(!text || memchr("0123456789", copy[i], 10));
        free(text);
        copy[i] = good[i];

        spill(p->path, good, i);
        assert_null(read_text(p));
    }
    spill(p->path, good, n);
    free(read_text(p));
    memcpy(copy, good, n);
    copy = xrealloc(copy, n + 1);
    copy[n] = '\n';
    spill(p->path, copy, n + 1);
    check_refused(p, "damaged");
    free(copy);
    free(good);
}

static void
test_refusals_say_why(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        { "", "not a mapping table" },
        { "garbage", "not a mapping table" },
        { "garbage\nand more\n", "not a mapping table" },
        { "{\"grapnel\":\"dump\",\"version\":1,\"revision\":3}\n{}\n",
          "not a mapping table" },
        { "{\"grapnel\":\"table\",\"version\":2,\"new\":true}\n{}\n",
          "of version 2, and this grapnel-vswitchd reads version 1" },
        { "{\"grapnel\":\"table\",\"version\":1}\n{}\n", "damaged: " },
        { "{\"bytes\":2,\"digest\":\"00\",\"grapnel\":\"table\",\"host\":"
          "\"h2\",\"revision\":1,\"version\":1}\n{}\n",
          "of host h2, and this is h1" },
        { "{\"bytes\":2,\"digest\":\"00\",\"grapnel\":\"table\",\"host\":"
          "\"h1\",\"revision\":1,\"version\":1}\n{}\n", "digest" },
        { "{\"bytes\":-2,\"digest\":\"00\",\"grapnel\":\"table\",\"host\":"
          "\"h1\",\"revision\":1,\"version\":1}\n{}\n", "bytes" },
    };
    const struct place *p = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t n;
        char *text;

        spill(p->path, cases[i].text, strlen(cases[i].text));
        check_refused(p, cases[i].part);
        text = slurp(p->path, &n);
        assert_int_equal(n, strlen(cases[i].text));
        assert_memory_equal(text, cases[i].text, n);
        free(text);
    }
}

static void
test_what_is_not_ours_is_left_alone(void **state)
{
    const struct place *p = *state;
    char *text;
    size_t n;

    spill(p->path, "my diary\n", 9);
    assert_int_equal(table_file_write(p->path, "h1", 7, SMALL, strlen(SMALL)),
                     EEXIST);
    text = slurp(p->path, &n);
    assert_int_equal(n, 9);
    assert_memory_equal(text, "my diary\n", n);
    free(text);
    unlink(p->path);

    assert_int_equal(symlink("/etc/hostname", p->path), 0);
    assert_int_equal(table_file_write(p->path, "h1", 7, SMALL, strlen(SMALL)),
                     ELOOP);
    check_refused(p, "symbolic links");
    unlink(p->path);

    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_int_equal(table_file_write(p->path, "h1", 7, SMALL, strlen(SMALL)),
                     EINVAL);
    check_refused(p, "not a regular file");
    unlink(p->path);

    /* But these: empty, of another version, or damaged behind the first
     * line. */
    spill(p->path, "", 0);
    write_text(p, SMALL);
    spill(p->path, "{\"grapnel\":\"table\",\"version\":2}\n", 32);
    write_text(p, SMALL);
    assert_int_equal(truncate(p->path, 150), 0);
    write_text(p, SMALL);
    free(read_text(p));
}

/* As on a disk that is full: the old one stays. */
static void
test_a_failed_write_leaves_the_old_table(void **state)
{
    const struct place *p = *state;
    struct rlimit limit = { 4096, RLIM_INFINITY };
    char *large = xmalloc(100000), *text;

    write_text(p, SMALL);
    memset(large, ' ', 100000);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(table_file_write(p->path, "h1", 8, large, 100000),
                     EFBIG);
    limit.rlim_cur = RLIM_INFINITY;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_not_equal(access(p->temporary, F_OK), 0);
    text = read_text(p);
    assert_string_equal(text, SMALL);
    free(text);
    free(large);
    assert_int_equal(table_file_write("/nowhere/at/all", "h1", 1, SMALL, 3),
                     ENOENT);
}

/* {"fill":"xxx...","revision":N}, of about 64 KiB. */
static char *
make_text(int revision)
{
    char *fill = xmalloc(65536), *text;

    memset(fill, 'a' + revision % 26, 65535);
    fill[65535] = '\0';
    text = xasprintf("{\"fill\":\"%s\",\"revision\":%d}", fill, revision);
    free(fill);
    return text;
}

static void
write_for_ever(const struct place *p)
{
    for (int revision = 0; ; revision++) {
        char *text = make_text(revision);

        table_file_write(p->path, "h1", revision, text, strlen(text));
        free(text);
    }
}

/* At any moment: what is there is whole. */
static void
test_a_killed_writer_leaves_a_whole_table(void **state)
{
    const struct place *p = *state;

    write_text(p, SMALL);
    model_seed(1);
    for (int round = 0; round < 60; round++) {
        pid_t pid = fork();
        char *text;

        if (!pid) {
            write_for_ever(p);
        }
        usleep(1000 + model_random(8000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        text = read_text(p);
        assert_non_null(text);
        free(text);
    }
    write_text(p, SMALL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
        T(test_what_is_written_comes_back),
        T(test_any_replica_comes_back),
        T(test_age_is_that_of_the_last_agreement),
        T(test_no_damage_goes_unnoticed),
        T(test_refusals_say_why),
        T(test_what_is_not_ours_is_left_alone),
        T(test_a_failed_write_leaves_the_old_table),
        T(test_a_killed_writer_leaves_a_whole_table),
#undef T
    };

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
