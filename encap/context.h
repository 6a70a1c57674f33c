/* The context option: what a sending switch tells the receiving one about an
 * anycast packet.  It rides on every Geneve packet (RFC 8926 section 3.5).
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-------------------------------+---------------+-----+---------+
 * |     option class 0xff67       |   type 0x01   |0 0 0|length 2 |
 * +-------+-------+---------------+---------------+-----+---------+
 * |version| flags |                   group id                    |
 * +-------+-------+-----------------------------------------------+
 * |                             epoch                             |
 * +---------------------------------------------------------------+
 *
 * The class is from the experimental range.  The type has its critical bit
 * clear: a receiver that does not know the option delivers the packet.
 * Version is 1.  The flag CONTEXT_NEW_FLOW marks the packet with which the
 * sender made its choice.  The epoch is the group's slot epoch at the sender,
 * modulo 2**32. */

#ifndef ENCAP_CONTEXT_H
#define ENCAP_CONTEXT_H 1

#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

enum {
    CONTEXT_OPT_CLASS = 0xff67,
    CONTEXT_OPT_TYPE  = 0x01,
    CONTEXT_VERSION   = 1,
    CONTEXT_NEW_FLOW  = 0x1,    /* Flag. */
    CONTEXT_GROUP_MAX = 0xffffff,
};

/* On the wire: Geneve's option header and our data. */
struct context_opt {
    be16 opt_class;
    uint8_t type;
    uint8_t length;             /* Of the data, in units of 4 bytes: 2. */
    be32 ver_flags_group;
    be32 epoch;
} INET_PACKED;
static_assert(sizeof(struct context_opt) == 12, "wire format");

/* In host byte order. */
struct context {
    uint32_t group;             /* 0...CONTEXT_GROUP_MAX. */
    uint32_t epoch;
    uint8_t flags;              /* CONTEXT_*, 4 bits. */
};

/* Finds and reads the context option among the 'size' bytes of Geneve options
 * at 'options' (the first, if there are several; what follows it is not looked
 * at).  Returns 0; ENOENT if there is none; EPROTO if it, or an option before
 * it, is malformed; ENOTSUP if its version is newer.  '*context' is written
 * only on success. */
int context_parse(const uint8_t *options, size_t size,
                  struct context *context);

#endif /* encap/context.h */
