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

/* Group 0xabcdef, epoch 0x01020304, flag CONTEXT_NEW_FLOW, hops 2. */
static const uint8_t ours[12] = {
    0xff, 0x67, 0x01, 0x02, 0x15, 0xab, 0xcd, 0xef, 1, 2, 3, 4,
};

/* Endpoints 0x0102 and 7. */
static const uint8_t previous[12] = {
    0xff, 0x67, 0x02, 0x02, 1, 2, 0, 7, 0xff, 0xff, 0, 9,
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
    assert_int_equal(context->hops, 2);
}

static void
check_previous(const struct context *context)
{
    check_ours(context);
    assert_int_equal(context->n_previous, 2);
    assert_int_equal(context->previous[0], 0x0102);
    assert_int_equal(context->previous[1], 7);
}

static void
our_option_is_read(void **state)
{
    (void) state;
    struct context context;

    assert_int_equal(parse(ours, sizeof ours, &context), 0);
    check_ours(&context);
    assert_int_equal(context.n_previous, 0);
}

static void
previous_owners_may_stand_before_or_behind(void **state)
{
    (void) state;
    struct context context;
    uint8_t options[36];

    memcpy(options, ours, 12);
    memcpy(options + 12, previous, 12);
    assert_int_equal(parse(options, 24, &context), 0);
    check_previous(&context);

    memcpy(options, previous, 12);
    memcpy(options + 12, ours, 12);
    assert_int_equal(parse(options, 24, &context), 0);
    check_previous(&context);

    assert_int_equal(parse(options, 12, &context), ENOENT);
}

static void
the_first_option_of_each_type_counts(void **state)
{
    (void) state;
    struct context context;
    uint8_t options[48];

    memcpy(options, ours, 12);
    memcpy(options + 12, previous, 12);
    memset(options + 24, 0x1e, 24);
    memcpy(options + 24, ours, 4);
    memcpy(options + 36, previous, 4);
    assert_int_equal(parse(options, 48, &context), 0);
    check_previous(&context);
}

static void
there_may_be_four_previous_owners_or_none(void **state)
{
    (void) state;

    for (unsigned int n = 0; n <= 4; n++) {
        struct context context;
        uint8_t options[24];

        memcpy(options, ours, 12);
        memcpy(options + 12, previous, 4);
        for (unsigned int i = 0; i < 4; i++) {
            frame_put16(options + 16 + i * 2, i < n ? 0xfffe - i : 0xffff);
        }
        assert_int_equal(parse(options, 24, &context), 0);
        assert_int_equal(context.n_previous, n);
        for (unsigned int i = 0; i < n; i++) {
            assert_int_equal(context.previous[i], 0xfffe - i);
        }
    }
}

static void
a_broken_option_for_previous_owners_is_malformed(void **state)
{
    (void) state;

    for (size_t words = 0; words < 32; words++) {
        uint8_t options[12 + 4 + 31 * 4] = { 0 };
        struct context context;

        memcpy(options, ours, 12);
        memcpy(options + 12, previous, 12);
        options[15] = words;
        assert_int_equal(parse(options, 12 + 4 + words * 4, &context),
                         words == 2 ? 0 : EPROTO);
    }
}

static void
a_claim_is_read(void **state)
{
    (void) state;
    struct context context;
    uint8_t option[12];

    memcpy(option, ours, 12);
    option[4] |= 8;
    assert_int_equal(parse(option, 12, &context), 0);
    assert_int_equal(context.flags, CONTEXT_NEW_FLOW | CONTEXT_CLAIMED);
    context.flags = CONTEXT_NEW_FLOW;
    check_ours(&context);
}

static void
what_is_written_is_read_again(void **state)
{
    (void) state;

    for (int i = 0; i < 1000; i++) {
        struct context context, read;
        uint8_t option[12];

        memset(&context, 0, sizeof context);
        context.group = frame_random() % (CONTEXT_GROUP_MAX + 1);
        context.epoch = frame_random();
        context.flags = (frame_random() % 2 ? CONTEXT_NEW_FLOW : 0)
                        | (frame_random() % 2 ? CONTEXT_CLAIMED : 0);
        context.hops = frame_random() % 4;
        be64 data = context_data(&context);
        memcpy(option, ours, 4);
        memcpy(option + 4, &data, 8);
        assert_int_equal(parse(option, 12, &read), 0);
        assert_memory_equal(&read, &context, sizeof read);
    }
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
        cmocka_unit_test(previous_owners_may_stand_before_or_behind),
        cmocka_unit_test(the_first_option_of_each_type_counts),
        cmocka_unit_test(there_may_be_four_previous_owners_or_none),
        cmocka_unit_test(a_broken_option_for_previous_owners_is_malformed),
        cmocka_unit_test(a_claim_is_read),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(no_option_is_not_an_error_of_form),
        cmocka_unit_test(our_option_is_found_behind_others),
        cmocka_unit_test(other_types_of_the_class_are_not_ours),
        cmocka_unit_test(an_option_cut_anywhere_is_malformed),
        cmocka_unit_test(versions_and_lengths_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
