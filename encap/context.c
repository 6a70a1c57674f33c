#include "encap/context.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum {
    OPT_HEADER_LEN  = 4,        /* Class, type, length. */
    OPT_LENGTH_MASK = 0x1f,     /* In units of 4 bytes. */
    OPT_DATA_LEN    = sizeof(struct context_opt) - OPT_HEADER_LEN,
    PREVIOUS_DATA_LEN = sizeof(struct previous_opt) - OPT_HEADER_LEN,
};

/* Reads our first option, which has 'length' bytes of data after its header.
 * A newer version may be longer, so the version comes first. */
static int
read_option(const uint8_t *option, size_t length, struct context *context)
{
    struct context_opt opt;
    uint32_t word;

    if (length < sizeof opt.ver_flags_group) {
        return EPROTO;
    }
    unsigned int version = option[OPT_HEADER_LEN] >> 4;
    if (version > CONTEXT_VERSION) {
        return ENOTSUP;
    }
    if (version < CONTEXT_VERSION || length != OPT_DATA_LEN) {
        return EPROTO;
    }

    memcpy(&opt, option, sizeof opt);
    word = be32_to_host(opt.ver_flags_group);
    context->group = word & CONTEXT_GROUP_MAX;
    context->flags = word >> 24 & CONTEXT_FLAGS;
    context->hops = word >> 25 & CONTEXT_MAX_HOPS;
    context->epoch = be32_to_host(opt.epoch);
    return 0;
}

static int
read_previous(const uint8_t *option, size_t length, struct context *context)
{
    struct previous_opt opt;

    if (length != PREVIOUS_DATA_LEN) {
        return EPROTO;
    }
    memcpy(&opt, option, sizeof opt);
    for (size_t i = 0; i < CONTEXT_MAX_PREVIOUS; i++) {
        uint16_t endpoint = be16_to_host(opt.previous[i]);

        if (endpoint == CONTEXT_NO_ENDPOINT) {
            break;
        }
        context->previous[context->n_previous++] = endpoint;
    }
    return 0;
}

int
context_parse(const uint8_t *options, size_t size, struct context *context)
{
    struct context found = { 0 };
    bool has_context = false, has_previous = false;

    while (size) {
        if (size < OPT_HEADER_LEN) {
            return EPROTO;
        }

        uint16_t opt_class = options[0] << 8 | options[1];
        size_t length = (options[3] & OPT_LENGTH_MASK) * 4;
        int error = 0;
        if (length > size - OPT_HEADER_LEN) {
            return EPROTO;
        }
        if (opt_class != CONTEXT_OPT_CLASS) {
            /* Somebody else's. */
        } else if (options[2] == CONTEXT_OPT_TYPE && !has_context) {
            error = read_option(options, length, &found);
            has_context = true;
        } else if (options[2] == CONTEXT_PREVIOUS_TYPE && !has_previous) {
            error = read_previous(options, length, &found);
            has_previous = true;
        }
        if (error) {
            return error;
        }
        options += OPT_HEADER_LEN + length;
        size -= OPT_HEADER_LEN + length;
    }
    if (!has_context) {
        return ENOENT;
    }
    *context = found;
    return 0;
}
