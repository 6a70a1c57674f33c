/* Slot differences: texts worked out by hand, round trips of random tables,
 * and everything that can be wrong with a text. */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/evp.h>

#include "anycast/group.h"
#include "mapping/base64.h"
#include "mapping/slot-codec.h"

enum { NONE = GROUP_NO_ENDPOINT, UNTOUCHED = 0x123 };

static uint64_t random_state;

static uint32_t
rnd(uint32_t n)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;
    return (random_state >> 33) % n;
}

/* OpenSSL's base64 as the twin of ours. */
static char *
to_base64(const void *data, size_t size)
{
    char *text = malloc(size * 4 / 3 + 8);

    EVP_EncodeBlock((unsigned char *) text, data, size);
    return text;
}

static void
test_base64_agrees_with_openssl(void **state)
{
    uint8_t data[80];

    (void) state;
    random_state = 1;
    for (size_t size = 0; size < sizeof data; size++) {
        for (int round = 0; round < 50; round++) {
            char *ours, *theirs;
            uint8_t *decoded;
            size_t n;

            for (size_t i = 0; i < size; i++) {
                data[i] = rnd(256);
            }
            ours = base64_encode(data, size);
            theirs = to_base64(data, size);
            assert_string_equal(ours, theirs);
            assert_int_equal(base64_decode(ours, &decoded, &n), 0);
            assert_int_equal(n, size);
            assert_memory_equal(decoded, data, size);
            free(decoded);
            free(ours);
            free(theirs);
        }
    }
}

static void
test_malformed_base64_is_refused(void **state)
{
    static const char *const texts[] = {
        "A", "AA", "AAA", "AAAAA", "====", "A===", "AA=A", "=AAA", "AA==AAAA",
        "AAA=AAAA", "AAA==", "AAAA=", "AAAA====", "AA A", "AAA\n", "AAA\n\n\n",
        " AAAA", "AAA-", "AAA_", "AAA\x80", "AAB=", "AB==", "A/==", "AA/=",
    };

    (void) state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        uint8_t *data = (uint8_t *) texts;
        size_t size = 77;

        assert_int_equal(base64_decode(texts[i], &data, &size), EPROTO);
        assert_ptr_equal(data, texts);
        assert_int_equal(size, 77);
    }
}

/* The bytes of these are written out by hand from docs/protocol.md. */
static void
test_known_differences(void **state)
{
    static const uint16_t empty[8] = { NONE, NONE, NONE, NONE,
                                       NONE, NONE, NONE, NONE };
    static const uint16_t a[8] = { 1, 1, 2, 2, 2, NONE, NONE, 300 };
    static const uint16_t b[8] = { 1, 1, 2, 7, 2, NONE, NONE, NONE };
    static const uint8_t empty_to_a[] = { 0, 2, 1, 0, 3, 2, 2, 1, 0xac, 2 };
    static const uint8_t a_to_b[] = { 3, 1, 7, 3, 1, 0xff, 0xff, 3 };
    char *text, *expected;

    (void) state;
    text = slot_codec_encode(NULL, a, 8);
    expected = to_base64(empty_to_a, sizeof empty_to_a);
    assert_string_equal(text, expected);
    free(text);
    free(expected);

    text = slot_codec_encode(a, b, 8);
    expected = to_base64(a_to_b, sizeof a_to_b);
    assert_string_equal(text, expected);
    free(text);
    free(expected);

    text = slot_codec_encode(NULL, empty, 8);
    assert_string_equal(text, "");
    free(text);
    text = slot_codec_encode(a, a, 8);
    assert_string_equal(text, "");
    free(text);
}

static void
fill_random(uint16_t *slots, size_t n)
{
    uint32_t n_owners = 1 + rnd(GROUP_MAX_ENDPOINTS);
    uint32_t run = 1 + rnd(300);

    for (size_t i = 0; i < n; ) {
        uint16_t owner = rnd(5) ? rnd(n_owners) : NONE;

        for (uint32_t j = rnd(run) + 1; j > 0 && i < n; j--) {
            slots[i++] = owner;
        }
    }
}

static void
test_random_tables_go_round(void **state)
{
    static uint16_t from[GROUP_MAX_SLOTS], to[GROUP_MAX_SLOTS];

    (void) state;
    random_state = 2;
    for (int round = 0; round < 500; round++) {
        size_t n = rnd(100) ? 1 + rnd(1024) : GROUP_MAX_SLOTS;
        bool is_whole = rnd(3) == 0;
        char *text;

        memset(from, 0xff, sizeof from);
        if (!is_whole) {
            fill_random(from, n);
        }
        if (rnd(2)) {
            fill_random(to, n);
        } else {
            memcpy(to, from, sizeof to);
            for (int i = rnd(20); i > 0; i--) {
                to[rnd(n)] = rnd(GROUP_MAX_ENDPOINTS);
            }
        }
        text = slot_codec_encode(is_whole ? NULL : from, to, n);
        assert_int_equal(slot_codec_apply(text, from, n), 0);
        assert_memory_equal(from, to, n * sizeof *from);
        free(text);
    }
}

static void
check_bytes(const uint8_t *data, size_t size, size_t n, int error)
{
    char *text = to_base64(data, size);
    uint16_t *slots = malloc(n * sizeof *slots);
    uint16_t *before = malloc(n * sizeof *before);

    for (size_t i = 0; i < n; i++) {
        slots[i] = before[i] = UNTOUCHED;
    }
    assert_int_equal(slot_codec_apply(text, slots, n), error);
    if (error) {
        assert_memory_equal(slots, before, n * sizeof *slots);
    }
    free(before);
    free(slots);
    free(text);
}
#define CHECK_BYTES(N, ERROR, ...)                                  \
    check_bytes((const uint8_t[]) { __VA_ARGS__ },                  \
                sizeof((const uint8_t[]) { __VA_ARGS__ }), N, ERROR)

static void
test_nonsense_is_refused(void **state)
{
    (void) state;

    /* Fits, just. */
    CHECK_BYTES(8, 0, 0, 8, 0);
    CHECK_BYTES(8, 0, 7, 1, 0);
    CHECK_BYTES(8, 0, 0, 4, 0, 0, 4, 0xff, 0x1f);
    CHECK_BYTES(8, 0, 0, 4, 0, 0, 4, 0xff, 0xff, 3);
    CHECK_BYTES(65536, 0, 0, 0x80, 0x80, 4, 0);

    /* Past the end. */
    CHECK_BYTES(8, EPROTO, 0, 9, 0);
    CHECK_BYTES(8, EPROTO, 8, 1, 0);
    CHECK_BYTES(8, EPROTO, 9, 1, 0);
    CHECK_BYTES(8, EPROTO, 7, 2, 0);
    CHECK_BYTES(8, EPROTO, 0, 4, 0, 0, 5, 0);
    CHECK_BYTES(8, EPROTO, 0, 8, 0, 0, 1, 0);
    CHECK_BYTES(8, EPROTO, 4, 4, 0, 0, 1, 0);
    CHECK_BYTES(8, EPROTO, 4, 2, 0, 2, 1, 0);
    CHECK_BYTES(8, EPROTO, 1, 0xff, 0xff, 0x7f, 0);

    /* Empty runs. */
    CHECK_BYTES(8, EPROTO, 0, 0, 0);
    CHECK_BYTES(8, EPROTO, 0, 4, 0, 8, 0, 0);

    /* Owners that cannot be. */
    CHECK_BYTES(8, EPROTO, 0, 1, 0x80, 0x20);
    CHECK_BYTES(8, EPROTO, 0, 1, 0xfe, 0xff, 3);
    CHECK_BYTES(8, EPROTO, 0, 1, 0x80, 0x80, 4);

    /* Leftover bytes. */
    CHECK_BYTES(8, EPROTO, 0);
    CHECK_BYTES(8, EPROTO, 0, 1);
    CHECK_BYTES(8, EPROTO, 0, 1, 0x80);
    CHECK_BYTES(8, EPROTO, 0, 1, 0, 0);
    CHECK_BYTES(8, EPROTO, 0, 1, 0, 0, 1);

    /* Numbers that are longer than they need to be, or than they may be. */
    CHECK_BYTES(8, EPROTO, 0x80, 0, 1, 0);
    CHECK_BYTES(8, EPROTO, 0, 0x81, 0, 0);
    CHECK_BYTES(8, EPROTO, 0, 1, 0x81, 0x80, 0);
    CHECK_BYTES(8, EPROTO, 0, 1, 0x81, 0x80, 0x80, 0);
    CHECK_BYTES(8, EPROTO, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 0);
    CHECK_BYTES(8, EPROTO, 0xff, 0xff, 0xff, 0xff, 0x0f, 2, 0);
}

/* 'text' may be anything: it is refused and nothing is written, or the table
 * is valid. */
static void
check_any(const char *text, const uint16_t *before, size_t n)
{
    /* Its own block of memory, for the sanitizer to see a write beyond. */
    uint16_t *slots = malloc(n * sizeof *slots);
    int error;

    memcpy(slots, before, n * sizeof *slots);
    error = slot_codec_apply(text, slots, n);
    if (error) {
        assert_int_equal(error, EPROTO);
        assert_memory_equal(slots, before, n * sizeof *slots);
    } else {
        for (size_t i = 0; i < n; i++) {
            assert_true(slots[i] < GROUP_MAX_ENDPOINTS || slots[i] == NONE);
        }
    }
    free(slots);
}

static void
test_damaged_texts_are_refused_or_harmless(void **state)
{
    uint16_t from[256], to[256];
    size_t n_cut = 0, n_refused = 0;

    (void) state;
    random_state = 3;
    for (int round = 0; round < 20; round++) {
        uint16_t slots[256];
        char *text, *copy;
        size_t length;

        fill_random(from, 256);
        fill_random(to, 256);
        text = slot_codec_encode(from, to, 256);
        length = strlen(text);
        copy = malloc(length + 1);
        for (size_t cut = 0; cut < length; cut++) {
            memcpy(copy, text, length + 1);
            copy[cut] = '\0';
            check_any(copy, from, 256);
            memcpy(slots, from, sizeof slots);
            n_refused += slot_codec_apply(copy, slots, 256) != 0;
            n_cut++;
        }
        for (size_t i = 0; i < length; i++) {
            for (int byte = 0; byte < 256; byte++) {
                memcpy(copy, text, length + 1);
                copy[i] = byte;
                check_any(copy, from, 256);
            }
        }
        free(copy);
        free(text);
    }
    /* Most cuts are noticed: those that leave no whole base64 block, and those
     * within a run. */
    assert_true(n_refused > n_cut * 3 / 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64_agrees_with_openssl),
        cmocka_unit_test(test_malformed_base64_is_refused),
        cmocka_unit_test(test_known_differences),
        cmocka_unit_test(test_random_tables_go_round),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_damaged_texts_are_refused_or_harmless),
    };

    return cmocka_run_group_tests_name("slot-codec", tests, NULL, NULL);
}
