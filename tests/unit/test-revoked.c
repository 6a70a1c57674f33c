/* Files of revoked certificates: what their lines may be, and what becomes of
 * files that are damaged, replaced or gone. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "mapping/mapd/revoked.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

static char path[] = "/tmp/test-revoked-XXXXXX";

static void
write_bytes(const char *text, size_t n)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static void
write_text(const char *text)
{
    write_bytes(text, strlen(text));
}

/* All bytes of the fingerprint are 'byte'. */
static bool
has(const struct revoked *r, const char *name, uint8_t byte)
{
    uint8_t fingerprint[TLS_FINGERPRINT_SIZE];

    memset(fingerprint, byte, sizeof fingerprint);
    return revoked_has(r, name, fingerprint);
}

#define X4(S) S S S S
#define X32(S) X4(S) X4(S) X4(S) X4(S) X4(S) X4(S) X4(S) X4(S)
#define X31(S) X4(S) X4(S) X4(S) X4(S) X4(S) X4(S) X4(S) S S S

static void
a_line_is_a_name_or_a_fingerprint(void **state OVS_UNUSED)
{
    struct diagnosis diag;
    struct revoked *r;

    write_text("# Whose laptop was stolen:\n"
               "\n"
               "  admin:alice \t\r\n"
               "host:h1.rack-7_b# sold\n"
               "sha256:" X32("aB") "\n"
               "sha256 Fingerprint=" X31("C0:") "C0  # as openssl says it\n"
               "SHA256:" X32("07"));
    assert_int_equal(revoked_open(path, &r, &diag), 0);
    assert_int_equal(revoked_count(r), 5);
    assert_null(revoked_problem(r));
    assert_true(has(r, "admin:alice", 0));
    assert_true(has(r, "host:h1.rack-7_b", 0));
    assert_true(has(r, "admin:bob", 0xab));
    assert_true(has(r, NULL, 0xc0));
    assert_true(has(r, "", 0x07));
    assert_true(revoked_has(r, "admin:alice", NULL));
    assert_false(has(r, "admin:bob", 0));
    assert_false(has(r, "admin:alic", 0));
    assert_false(has(r, "host:h1", 0xac));
    assert_false(has(r, "", 0));
    assert_false(revoked_has(r, NULL, NULL));
    revoked_close(r);
}

static void
a_file_with_another_line_is_refused(void **state OVS_UNUSED)
{
    static const char *const lines[] = {
        "alice", "admin", "admin:", ":alice", "admins:alice", "admin:a b",
        "host:h1 host:h2", "host:h1,host:h2", "none:x", "sha256:",
        "sha256:" X31("ab"), "sha256:" X32("ab") "c", "sha256:" X32("xy"),
        "sha256:" X31("ab") "a:b", "sha256::" X32("ab"),
        "sha256:" X32("ab") ":", "sha256:" X31("ab") "::ab",
        "sha1:" X32("ab"), "\"host:h1\"", "host:h1;", "\x7f" "ELF",
        X32("long ") X32("long ") X32("long "),
    };
    struct diagnosis diag;
    struct revoked *r;

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        char *text = xasprintf("host:h1\n%s\nhost:h2\n", lines[i]);

        write_text(text);
        if (!revoked_open(path, &r, &diag)) {
            fail_msg("\"%s\"", lines[i]);
        }
        assert_string_equal(diag.field, "revoked-file");
        assert_non_null(strstr(diag.message, "line 2"));
        assert_non_null(strstr(diag.message, path));
        assert_true(diag.hint[0]);
        free(text);
    }
    /* As a crash may leave it. */
    write_bytes("host:h1\n\0\0\0\0\0\0\0\0", 16);
    assert_int_not_equal(revoked_open(path, &r, &diag), 0);
    assert_non_null(strstr(diag.message, "line 2"));
    unlink(path);
    assert_int_not_equal(revoked_open(path, &r, &diag), 0);
    assert_non_null(strstr(diag.message, "No such file"));
}

static void
wait_a_look(struct revoked *r)
{
    unsigned int seqno = revoked_seqno(r);
    bool was_well = !revoked_problem(r);

    for (int i = 0; i < 50; i++) {
        revoked_run(r);
        if (revoked_seqno(r) != seqno || !revoked_problem(r) != was_well) {
            return;
        }
        usleep(100 * 1000);
    }
    fail_msg("the change is not noticed");
}

static void
changes_are_noticed_and_damage_changes_nothing(void **state OVS_UNUSED)
{
    struct diagnosis diag;
    struct revoked *r;
    unsigned int seqno;

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    write_text("host:h1\n");
    assert_int_equal(revoked_open(path, &r, &diag), 0);
    write_text("host:h2\n");
    wait_a_look(r);
    assert_true(has(r, "host:h2", 0) && !has(r, "host:h1", 0));

    write_text("host:h1\nh3\n");
    wait_a_look(r);
    assert_non_null(strstr(revoked_problem(r), "\"h3\""));
    assert_true(has(r, "host:h2", 0) && !has(r, "host:h1", 0));

    unlink(path);
    seqno = revoked_seqno(r);
    assert_int_not_equal(revoked_reload(r, &diag), 0);
    assert_non_null(strstr(revoked_problem(r), "No such file"));
    assert_int_equal(revoked_seqno(r), seqno);
    assert_true(has(r, "host:h2", 0));

    write_text("");
    assert_int_equal(revoked_reload(r, &diag), 0);
    assert_null(revoked_problem(r));
    assert_int_equal(revoked_count(r), 0);
    assert_false(has(r, "host:h2", 0));
    revoked_close(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_a_name_or_a_fingerprint),
        cmocka_unit_test(a_file_with_another_line_is_refused),
        cmocka_unit_test(changes_are_noticed_and_damage_changes_nothing),
    };
    int fd = mkstemp(path);
    int failed;

    if (fd < 0) {
        return 1;
    }
    close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
