/* encap_complete_csum(): what a sender with checksum offload left open. */

#include "encap/parse.h"

#include <stdbool.h>
#include <string.h>

#include "encap/crc32c.h"
#include "encap/csum.h"

/* The transport checksum of a packet. */
struct l4_csum {
    uint8_t protocol;           /* As in the IP header. */
    uint16_t len;               /* Bytes that it covers. */
    size_t ofs;                 /* Of the field in the transport header. */
};

/* A field of 0 is taken for one that nobody has filled in. */
static int
complete_sctp(uint8_t *l4, size_t len, bool partial)
{
    uint8_t *field = l4 + offsetof(struct sctp_hdr, csum);
    static const uint8_t zeros[4];
    uint8_t csum[4];

    if (!partial && memcmp(field, zeros, sizeof zeros)) {
        return 0;
    }
    crc32c_of_sctp(l4, len, csum);
    if (!memcmp(field, csum, sizeof csum)) {
        return 0;
    }
    memcpy(field, csum, sizeof csum);
    return 1;
}

/* Which checksum the packet has; false for one with no pseudo header. */
static bool
find_csum(const uint8_t *frame, const struct encap_view *view,
          struct l4_csum *csum)
{
    const uint8_t *l4 = frame + view->l4_ofs;

    csum->len = view->l3_ofs + view->ip_len - view->l4_ofs;
    if (view->kind == ENCAP_ICMP_ERROR || view->kind == ENCAP_ND
        || view->protocol == IPPROTO_NR_ICMP) {
        csum->protocol = IPPROTO_NR_ICMPV6;
        csum->ofs = offsetof(struct icmp_hdr, csum);
        return view->version == 6;
    }

    csum->protocol = view->protocol;
    if (view->protocol == IPPROTO_NR_TCP) {
        csum->ofs = offsetof(struct tcp_hdr, csum);
        return true;
    }
    csum->len = be16_to_host(((const struct udp_hdr *) l4)->len);
    csum->ofs = offsetof(struct udp_hdr, csum);
    return true;
}

static uint32_t
pseudo_sum(const uint8_t *frame, const struct encap_view *view,
           const struct l4_csum *csum)
{
    const uint8_t *ip = frame + view->l3_ofs;

    return (view->version == 4
            ? csum_pseudo4((const struct ipv4_hdr *) ip, csum->len)
            : csum_pseudo6((const struct ipv6_hdr *) ip, csum->protocol,
                           csum->len));
}

int
encap_complete_csum_any(uint8_t *frame, const struct encap_view *view,
                        int partial)
{
    uint8_t *l4 = frame + view->l4_ofs;
    struct l4_csum csum;
    be16 old;

    if (view->first_fragment || view->kind == ENCAP_FRAGMENT
        || view->kind == ENCAP_ARP || view->kind == ENCAP_HINT) {
        return 0;
    }
    if (view->protocol == IPPROTO_NR_SCTP && view->kind == ENCAP_FLOW) {
        return complete_sctp(l4, view->l3_ofs + view->ip_len - view->l4_ofs,
                             partial);
    }
    if (!find_csum(frame, view, &csum)) {
        return 0;
    }

    bool udp = csum.protocol == IPPROTO_NR_UDP;
    memcpy(&old, l4 + csum.ofs, sizeof old);
    if (udp && !old && view->version == 4) {
        return 0;               /* The sender uses none (RFC 768). */
    }
    uint32_t pseudo = pseudo_sum(frame, view, &csum);
    if (!partial && old != csum_fold(pseudo)) {
        return 0;
    }

    /* A finished checksum may have that value too. */
    uint32_t sum = csum_add(pseudo, l4, csum.len);
    if (csum_fold(sum) == UINT16_MAX && (old || !udp)) {
        return 0;
    }

    be16 new = ~csum_fold(sum + (uint16_t) ~old);
    if (udp && !new) {
        new = UINT16_MAX;
    }
    memcpy(l4 + csum.ofs, &new, sizeof new);
    return 1;
}
