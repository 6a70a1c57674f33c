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
 * Version is 1.  Of the flags, from the lowest bit up, CONTEXT_NEW_FLOW marks
 * the packet with which the sender made its choice; two bits count how often
 * it was forwarded; CONTEXT_CLAIMED says that the flow is, as far as somebody
 * knows, on the endpoint addressed or, of a packet that was forwarded, on the
 * last one named below.  The epoch is the
 * group's slot epoch at the sender, modulo 2**32.
 *
 * While the slot of a flow has previous owners, and the sender does not know
 * where the flow is, a second option names them, the latest first, by endpoint
 * index; 0xffff is none.  In a packet that was forwarded it names those to
 * whom it is yet to be shown, from its receiver on; the last one takes it:
 *
 * +-------------------------------+---------------+-----+---------+
 * |     option class 0xff67       |   type 0x02   |0 0 0|length 2 |
 * +-------------------------------+---------------+-----+---------+
 * |          endpoint             |           endpoint            |
 * +-------------------------------+-------------------------------+
 * |          endpoint             |           endpoint            |
 * +-------------------------------+-------------------------------+ */

#ifndef ENCAP_CONTEXT_H
#define ENCAP_CONTEXT_H 1

#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

enum {
    CONTEXT_OPT_CLASS = 0xff67,
    CONTEXT_OPT_TYPE  = 0x01,
    CONTEXT_PREVIOUS_TYPE = 0x02,
    CONTEXT_VERSION   = 1,
    CONTEXT_NEW_FLOW  = 0x1,    /* Flags. */
    CONTEXT_CLAIMED   = 0x8,
    CONTEXT_FLAGS     = CONTEXT_NEW_FLOW | CONTEXT_CLAIMED,
    CONTEXT_MAX_HOPS  = 3,
    CONTEXT_MAX_PREVIOUS = 4,
    CONTEXT_NO_ENDPOINT = 0xffff,
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

struct previous_opt {
    be16 opt_class;
    uint8_t type;
    uint8_t length;
    be16 previous[CONTEXT_MAX_PREVIOUS];
} INET_PACKED;
static_assert(sizeof(struct previous_opt) == 12, "wire format");

/* In host byte order. */
struct context {
    uint32_t group;             /* 0...CONTEXT_GROUP_MAX. */
    uint32_t epoch;
    uint8_t flags;              /* CONTEXT_NEW_FLOW... */
    uint8_t hops;               /* 0...CONTEXT_MAX_HOPS. */
    uint8_t n_previous;         /* 0: no second option. */
    uint16_t previous[CONTEXT_MAX_PREVIOUS];
};

/* The data of the first option, as it stands on the wire. */
static inline be64
context_data(const struct context *context)
{
    uint32_t flags = (context->flags & CONTEXT_FLAGS)
                     | (uint32_t) (context->hops & CONTEXT_MAX_HOPS) << 1;
    uint32_t word = (uint32_t) CONTEXT_VERSION << 28 | flags << 24
                    | (context->group & CONTEXT_GROUP_MAX);

    return host_to_be64((uint64_t) word << 32 | context->epoch);
}

/* Finds and reads the context options among the 'size' bytes of Geneve options
 * at 'options' (the first of each type, if there are several).  Previous
 * owners end at the first CONTEXT_NO_ENDPOINT; an index may be out of the
 * group's range.  Returns 0; ENOENT if there is no option of the first type;
 * EPROTO if one of ours, or the list of options, is malformed; ENOTSUP if the
 * version is newer.  '*context' is written only on success. */
int context_parse(const uint8_t *options, size_t size,
                  struct context *context);

#endif /* encap/context.h */
