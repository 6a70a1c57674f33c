#include "encap/context.h"

#include <errno.h>
#include <string.h>

enum {
    OPT_HEADER_LEN  = 4,        /* Class, type, length. */
    OPT_LENGTH_MASK = 0x1f,     /* In units of 4 bytes. */
    OPT_DATA_LEN    = sizeof(struct context_opt) - OPT_HEADER_LEN,
};

/* Reads our option, which has 'length' bytes of data after its header.  A
 * newer version may be longer, so the version comes first. */
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
    context->flags = word >> 24 & 0xf;
    context->epoch = be32_to_host(opt.epoch);
    return 0;
}

int
context_parse(const uint8_t *options, size_t size, struct context *context)
{
    while (size) {
        if (size < OPT_HEADER_LEN) {
            return EPROTO;
        }

        uint16_t opt_class = options[0] << 8 | options[1];
        size_t length = (options[3] & OPT_LENGTH_MASK) * 4;
        if (length > size - OPT_HEADER_LEN) {
            return EPROTO;
        }
        if (opt_class == CONTEXT_OPT_CLASS && options[2] == CONTEXT_OPT_TYPE) {
            return read_option(options, length, context);
        }
        options += OPT_HEADER_LEN + length;
        size -= OPT_HEADER_LEN + length;
    }
    return ENOENT;
}
