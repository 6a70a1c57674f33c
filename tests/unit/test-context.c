/* encap/context.h: our option among others, and options that are broken. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encap/context.h"
#include "tests/unit/frame.h"

/* Group 0xabcdef, epoch 0x01020304, flag CONTEXT_NEW_FLOW. */
static const uint8_t ours[12] = {
    0xff, 0x67, 0x01, 0x02, 0x11, 0xab, 0xcd, 0xef, 1, 2, 3, 4,
};

/* Parses an exactly sized copy; checks that failure leaves the output be. */
static int
parse(const uint8_t *options, size_t size, struct context *context)
{
    uint8_t *base;
    uint8_t *copy = frame_copy_exact(options, size, 3, &base);
    struct context before;

    memset(context, 0x5a, sizeof *context);
    before = *context;
    int error = context_parse(copy, size, context);
    if (error) {
        assert_memory_equal(context, &before, sizeof before);
    }
    free(base);
    return error;
}

static void
check_ours(const struct context *context)
{
    assert_int_equal(context->group, 0xabcdef);
    assert_int_equal(context->epoch, 0x01020304);
    assert_int_equal(context->flags, CONTEXT_NEW_FLOW);
}

static void
our_option_is_read(void **state)
{
    (void) state;
    struct context context;

    assert_int_equal(parse(ours, sizeof ours, &context), 0);
    check_ours(&context);
}

static void
no_option_is_not_an_error_of_form(void **state)
{
    (void) state;
    struct context context;

    assert_int_equal(parse(ours, 0, &context), ENOENT);
}

static void
our_option_is_found_behind_others(void **state)
{
    (void) state;

    for (int i = 0; i < 5000; i++) {
        uint8_t options[256];
        struct context context;
        size_t size = 0;

        for (int n = frame_random() % 4; n > 0; n--) {
            size_t words = frame_random() % 8;

            frame_random_bytes(options + size, 4 + words * 4);
            options[size] &= 0x7f;      /* Never our class. */
            options[size + 3] = (frame_random() & 0xe0) + words;
            size += 4 + words * 4;
        }
        assert_int_equal(parse(options, size, &context), ENOENT);
        memcpy(options + size, ours, sizeof ours);
        assert_int_equal(parse(options, size + sizeof ours, &context), 0);
        check_ours(&context);
    }
}

static void
other_types_of_the_class_are_not_ours(void **state)
{
    (void) state;
    const size_t offsets[] = { 0, 1, 2 };

    for (size_t i = 0; i < 3 * 8; i++) {
        struct context context;
        uint8_t other[24];

        memcpy(other, ours, 12);
        memcpy(other + 12, ours, 12);
        other[offsets[i / 8]] ^= 1 << i % 8;
        other[5] = 0;
        assert_int_equal(parse(other, 12, &context), ENOENT);
        assert_int_equal(parse(other, 24, &context), 0);
        check_ours(&context);
    }
}

static void
an_option_cut_anywhere_is_malformed(void **state)
{
    (void) state;
    uint8_t options[8 + sizeof ours] = { 0x01, 0x02, 0x03, 0x01 };
    struct context context;

    memcpy(options + 8, ours, sizeof ours);
    for (size_t cut = 1; cut < sizeof options; cut++) {
        assert_int_equal(parse(options, cut, &context),
                         cut == 8 ? ENOENT : EPROTO);
    }
}

static void
versions_and_lengths_are_checked(void **state)
{
    (void) state;

    for (unsigned int version = 0; version < 16; version++) {
        for (size_t words = 0; words < 32; words++) {
            uint8_t option[4 + 31 * 4] = { 0 };
            struct context context;
            int error = words == 0 ? EPROTO
                        : version > 1 ? ENOTSUP
                        : version == 1 && words == 2 ? 0 : EPROTO;

            memcpy(option, ours, sizeof ours);
            option[3] = words;
            option[4] = version * 16;
            assert_int_equal(parse(option, 4 + words * 4, &context), error);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_option_is_read),
        cmocka_unit_test(no_option_is_not_an_error_of_form),
        cmocka_unit_test(our_option_is_found_behind_others),
        cmocka_unit_test(other_types_of_the_class_are_not_ours),
        cmocka_unit_test(an_option_cut_anywhere_is_malformed),
        cmocka_unit_test(versions_and_lengths_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
