/* Frames of any kind: the parser, and all that acts on what it read.  Each
 * runs on an exactly sized copy, so that ASan sees the first byte too far. */

#include <stdlib.h>
#include <string.h>

#include "encap/parse.h"
#include "encap/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(X) do { if (!(X)) { __builtin_trap(); } } while (0)

static const struct mac router = { { 0x0a, 0x67, 0x72, 0, 0, 1 } };

static uint8_t *
copy_of(const uint8_t *data, size_t size, size_t headroom, uint8_t **base)
{
    *base = malloc(headroom + size ? headroom + size : 1);
    CHECK(*base);
    if (size) {
        memcpy(*base + headroom, data, size);
    }
    return *base + headroom;
}

/* Offsets are within the packet, and the packet within the frame. */
static void
check_view(const struct encap_view *view, size_t size)
{
    CHECK(view->l3_ofs == 14 || view->l3_ofs == 18);
    CHECK(view->l3_ofs <= size);
    if (view->kind == ENCAP_ARP || view->kind == ENCAP_HINT) {
        return;
    }
    CHECK(view->version == 4 || view->version == 6);
    CHECK(view->l3_ofs + view->ip_len <= size);
    CHECK(view->l4_ofs >= view->l3_ofs + (view->version == 4 ? 20 : 40));
    CHECK(view->l4_ofs <= view->l3_ofs + view->ip_len);
    CHECK(view->kind == ENCAP_ND || inet_addr_is_unicast(view->src));
    CHECK(view->kind == ENCAP_FLOW || view->kind == ENCAP_ND
          || view->kind == ENCAP_FRAGMENT || view->kind == ENCAP_ICMP_ERROR);
    CHECK((view->version == 4) == inet_addr_is4(view->dst));
    CHECK(view->protocol != IPPROTO_NR_ICMPV6);
}

/* What was completed once needs it no more. */
static void
complete(const uint8_t *data, size_t size, const struct encap_view *view,
         int partial)
{
    struct encap_view again;
    uint8_t *base;
    uint8_t *frame = copy_of(data, size, 0, &base);

    if (encap_complete_csum(frame, view, partial)) {
        CHECK(!encap_complete_csum(frame, view, partial));
        CHECK(!encap_parse(frame, size, &again)
              || view->kind == ENCAP_ND);
    }
    free(base);
}

/* An answer is itself a frame that a router could take; its own source, our
 * address, may be one that nobody has. */
static void
check_answer(const uint8_t *answer, size_t size)
{
    struct encap_view view;
    enum drop_reason reason = encap_parse(answer, size, &view);

    CHECK(reason != DROP_TRUNCATED && reason != DROP_BAD_IP_CSUM
          && reason != DROP_BAD_L4 && reason != DROP_ETHERTYPE);
}

static void
reply(const uint8_t *data, size_t size, const struct encap_view *view,
      int error)
{
    size_t new_size = size;
    uint8_t *base;
    uint8_t *frame = copy_of(data, size, REPLY_HEADROOM, &base);

    if (view->kind == ENCAP_ARP) {
        reply_target(frame, view);
        reply_arp(frame, view, &router);
    } else if (view->kind == ENCAP_ND) {
        reply_target(frame, view);
        reply_nd(frame, &new_size, size, view, &router);
    } else if (view->kind != ENCAP_FLOW) {
        /* Never answered. */
    } else if (error < 3) {
        check_answer(reply_icmp(frame, &new_size, view, error, 1400, &router),
                     new_size);
    } else if (view->protocol == IPPROTO_NR_TCP && !view->first_fragment) {
        reply_reset(frame, &new_size, view, &router);
        CHECK(new_size <= size);
        check_answer(frame, new_size);
    } else if (view->protocol == IPPROTO_NR_SCTP && !view->first_fragment
               && reply_abort(frame, &new_size, view, &router)) {
        CHECK(new_size <= size);
        check_answer(frame, new_size);
    }
    free(base);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct encap_view view, common;
    uint64_t id;
    uint8_t *base;
    uint8_t *frame = copy_of(data, size, 0, &base);
    enum drop_reason reason = encap_parse(frame, size, &view);

    if (encap_parse_common(frame, size, &common)) {
        CHECK(!reason && view.kind == ENCAP_FLOW && view.version == 4);
    }
    if (!reason) {
        check_view(&view, size);
        encap_quic_id(frame, &view, size % 20, 1 + size % 8, &id);
        complete(data, size, &view, 0);
        complete(data, size, &view, 1);
        for (int error = 0; error < 4; error++) {
            reply(data, size, &view, error);
        }
    }
    free(base);
    return 0;
}
