#include "tests/unit/parse-twin.h"

#include <string.h>

#include "tests/unit/frame.h"

/* An IP packet, cut to its own length, and where we are in it. */
struct packet {
    const uint8_t *ip;
    size_t len;
    size_t ofs;
    int protocol;               /* Of what is at 'ofs'. */
    bool first, later;          /* Fragments. */
    size_t fragment_ofs;
    uint32_t id;
};

static struct inet_addr
address4(const uint8_t *p)
{
    return (struct inet_addr) { 0, 0xffff00000000 + frame_get32(p) };
}

static struct inet_addr
address6(const uint8_t *p)
{
    return (struct inet_addr) {
        frame_get32(p) * 0x100000000u + frame_get32(p + 4),
        frame_get32(p + 8) * 0x100000000u + frame_get32(p + 12),
    };
}

static bool
is_mapped(const uint8_t *p)
{
    return !memcmp(p, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
}

static bool
is_zero(const uint8_t *p)
{
    return !memcmp(p, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

static bool
can_be_a_host4(const uint8_t *p)
{
    return p[0] != 0 && p[0] != 127 && p[0] < 224;
}

static bool
can_be_a_host6(const uint8_t *p)
{
    return p[0] != 255 && !is_zero(p) && !is_mapped(p)
           && memcmp(p, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
}

/* Goes to the transport header of an IPv6 packet. */
static enum drop_reason
skip_extensions(struct packet *p)
{
    p->protocol = p->ip[6];
    p->ofs = 40;
    for (int n = 1;; n++) {
        const uint8_t *ext = p->ip + p->ofs;
        int type = p->protocol;

        if (!strchr("\x2b\x2c\x33\x3c\x87\x8b\x8c", type)) {
            return DROP_NONE;   /* And 0 is found at the string's end. */
        }
        if (n > 8 || p->first || p->later) {
            return DROP_EXTENSION;
        }
        if (p->ofs + 8 > p->len) {
            return DROP_BAD_IP;
        }
        if (type == 51 || type >= 135 || (type == 0 && n > 1)) {
            return DROP_EXTENSION;
        }
        size_t len = type == 44 ? 8 : 8 + 8 * ext[1];
        if (p->ofs + len > p->len) {
            return DROP_BAD_IP;
        }
        if (type == 43 && ext[3]) {
            return DROP_EXTENSION;
        }
        if (type == 44) {
            p->fragment_ofs = frame_get16(ext + 2) / 8 * 8;
            p->later = p->fragment_ofs > 0;
            p->first = !p->later && ext[3] % 2;
            p->id = frame_get32(ext + 4);
            if (p->later || p->first) {
                size_t data = p->len - p->ofs - 8;

                if ((ext[3] % 2 && data % 8)
                    || p->fragment_ofs + data > 65535) {
                    p->fragment_ofs = 99999;
                }
            }
        }
        p->protocol = ext[0];
        p->ofs += len;
    }
}

static uint8_t
life_of_tcp(uint8_t flags)
{
    bool fin = flags % 2, syn = flags / 2 % 2, rst = flags / 4 % 2;
    bool ack = flags / 16 % 2;

    return (syn && !ack) * ENCAP_OPENS + fin * ENCAP_CLOSES
           + rst * ENCAP_ABORTS + ack * ENCAP_ACKS;
}

static uint8_t
life_of_sctp(uint8_t chunk)
{
    return chunk == 1 ? ENCAP_OPENS
           : chunk == 2 ? 0
           : chunk == 6 ? ENCAP_ABORTS
           : chunk == 7 || chunk == 8 || chunk == 14
           ? ENCAP_CLOSES + ENCAP_ACKS : ENCAP_ACKS;
}

static enum drop_reason
twin_ports(const struct packet *p, struct encap_view *view)
{
    const uint8_t *l4 = p->ip + p->ofs;
    size_t len = p->len - p->ofs;
    size_t own;

    switch (p->protocol) {
    case 6:
        if (len < 20 || l4[12] / 16 < 5 || l4[12] / 16 * 4u > len) {
            return DROP_BAD_L4;
        }
        view->life = life_of_tcp(l4[13]);
        break;
    case 17:
        own = len < 8 ? 0 : frame_get16(l4 + 4);
        if (own < 8 || (own > len && !p->first)) {
            return DROP_BAD_L4;
        }
        break;
    default:
        own = len < 16 ? 0 : frame_get16(l4 + 14);
        if (own < 4 || (own > len - 12 && !p->first)) {
            return DROP_BAD_L4;
        }
        view->life = life_of_sctp(l4[12]);
    }
    view->protocol = p->protocol;
    view->src_port = frame_get16(l4);
    view->dst_port = frame_get16(l4 + 2);
    return DROP_NONE;
}

/* The packet quoted in an ICMP error, of which 'len' bytes are there. */
static enum drop_reason
twin_quote(const uint8_t *quote, size_t len, bool v6, const uint8_t *sent_to,
           struct encap_view *view)
{
    struct packet q = { .ip = quote, .len = len };

    if (len < (v6 ? 40 : 20) || quote[0] / 16 != (v6 ? 6 : 4)
        || memcmp(quote + (v6 ? 8 : 12), sent_to, v6 ? 16 : 4)
        || !(v6 ? can_be_a_host6(quote + 24) : can_be_a_host4(quote + 16))) {
        return DROP_BAD_QUOTE;
    }
    if (v6) {
        if (skip_extensions(&q) || q.later) {
            return DROP_BAD_QUOTE;
        }
    } else {
        q.protocol = quote[9];
        q.ofs = quote[0] % 16 * 4;
        if (q.ofs < 20 || frame_get16(quote + 6) % 0x2000) {
            return DROP_BAD_QUOTE;
        }
    }
    if (q.ofs + 8 > len) {
        return DROP_BAD_QUOTE;
    }

    const uint8_t *l4 = quote + q.ofs;
    view->kind = ENCAP_ICMP_ERROR;
    view->src = v6 ? address6(quote + 24) : address4(quote + 16);
    if (q.protocol == 6 || q.protocol == 17 || q.protocol == 132) {
        view->protocol = q.protocol;
        view->src_port = frame_get16(l4 + 2);
        view->dst_port = frame_get16(l4);
        return DROP_NONE;
    }
    if (q.protocol != (v6 ? 58 : 1) || l4[0] != (v6 ? 129 : 0)) {
        return DROP_BAD_QUOTE;
    }
    view->protocol = 1;
    view->src_port = frame_get16(l4 + 4);
    return DROP_NONE;
}

/* RFC 4861 section 7.1.1, line by line. */
static enum drop_reason
twin_solicitation(const struct packet *p, struct encap_view *view)
{
    const uint8_t *ip = p->ip, *nd = ip + p->ofs;
    size_t len = p->len - p->ofs;
    uint8_t all[40 + FRAME_MAX] = { 0 };
    bool unspecified = is_zero(ip + 8);

    if (nd[0] != 135 || ip[7] != 255 || nd[1] || len < 24 || nd[8] == 0xff
        || is_mapped(nd + 8) || p->ofs != 40) {
        return DROP_ND_IGNORED;
    }
    memcpy(all, ip + 8, 32);
    frame_put32(all + 32, len);
    all[39] = 58;
    memcpy(all + 40, nd, len);
    if (frame_sum(all, 40 + len) != 0xffff) {
        return DROP_ND_IGNORED;
    }
    for (size_t ofs = 24; ofs < len; ofs += nd[ofs + 1] * 8) {
        if (len - ofs < 8 || !nd[ofs + 1] || ofs + nd[ofs + 1] * 8 > len
            || (unspecified && nd[ofs] == 1)) {
            return DROP_ND_IGNORED;
        }
    }
    if (unspecified
        && memcmp(ip + 24, "\xff\2\0\0\0\0\0\0\0\0\0\1\xff", 13)) {
        return DROP_ND_IGNORED;
    }
    view->kind = ENCAP_ND;
    view->protocol = 1;
    return DROP_NONE;
}

static enum drop_reason
twin_icmp(const struct packet *p, bool v6, struct encap_view *view)
{
    const uint8_t *icmp = p->ip + p->ofs;
    size_t len = p->len - p->ofs;

    if (len < 8) {
        return DROP_BAD_L4;
    }
    if (icmp[0] == (v6 ? 128 : 8)) {
        view->protocol = 1;
        view->src_port = frame_get16(icmp + 4);
        return DROP_NONE;
    }
    if (v6 ? icmp[0] >= 1 && icmp[0] <= 4
           : icmp[0] == 3 || icmp[0] == 11 || icmp[0] == 12) {
        return (p->first ? DROP_BAD_L4
                : twin_quote(icmp + 8, len - 8, v6, p->ip + (v6 ? 24 : 16),
                             view));
    }
    return (v6 && icmp[0] >= 133 && icmp[0] <= 137
            ? twin_solicitation(p, view) : DROP_PROTOCOL);
}

static enum drop_reason
twin_l4(const struct packet *p, bool v6, struct encap_view *view)
{
    bool known = p->protocol == 6 || p->protocol == 17 || p->protocol == 132
                 || p->protocol == (v6 ? 58 : 1);

    if (p->fragment_ofs == 99999) {
        return DROP_BAD_IP;
    }
    if (!known) {
        return DROP_PROTOCOL;
    }
    view->l4_ofs = view->l3_ofs + p->ofs;
    view->first_fragment = p->first;
    if (p->first || p->later) {
        view->fragment_id = p->id;
    }
    if (p->later) {
        view->kind = ENCAP_FRAGMENT;
        view->protocol = p->protocol == 58 ? 1 : p->protocol;
        return DROP_NONE;
    }
    view->kind = ENCAP_FLOW;
    return (p->protocol == 1 || p->protocol == 58
            ? twin_icmp(p, v6, view) : twin_ports(p, view));
}

static enum drop_reason
twin_ipv4(const uint8_t *ip, size_t left, struct encap_view *view)
{
    struct packet p = { .ip = ip };

    if (left < 20) {
        return DROP_TRUNCATED;
    }
    p.ofs = ip[0] % 16 * 4;
    p.len = frame_get16(ip + 2);
    if (ip[0] / 16 != 4 || p.ofs < 20 || p.len < p.ofs) {
        return DROP_BAD_IP;
    }
    if (left < p.len) {
        return DROP_TRUNCATED;
    }
    if (frame_sum(ip, p.ofs) != 0xffff) {
        return DROP_BAD_IP_CSUM;
    }

    bool more = ip[6] / 32 % 2;
    p.fragment_ofs = frame_get16(ip + 6) % 0x2000 * 8;
    p.later = p.fragment_ofs > 0;
    p.first = more && !p.later;
    p.id = frame_get16(ip + 4);
    if ((more && (p.len - p.ofs) % 8)
        || (p.later && p.fragment_ofs + p.len - p.ofs > 65535)) {
        p.fragment_ofs = 99999;
    }
    p.protocol = ip[9];
    view->ip_len = p.len;
    view->tos = ip[1];
    view->ttl = ip[8];
    view->src = address4(ip + 12);
    view->dst = address4(ip + 16);

    enum drop_reason reason = twin_l4(&p, false, view);
    return reason ? reason
           : can_be_a_host4(ip + 12) ? DROP_NONE : DROP_BAD_SOURCE;
}

static enum drop_reason
twin_ipv6(const uint8_t *ip, size_t left, struct encap_view *view)
{
    struct packet p = { .ip = ip };

    if (left < 40) {
        return DROP_TRUNCATED;
    }
    p.len = 40 + frame_get16(ip + 4);
    if (ip[0] / 16 != 6 || p.len > 65535) {
        return DROP_BAD_IP;
    }
    if (left < p.len) {
        return DROP_TRUNCATED;
    }
    view->ip_len = p.len;
    view->tos = ip[0] % 16 * 16 + ip[1] / 16;
    view->ttl = ip[7];
    view->src = address6(ip + 8);
    view->dst = address6(ip + 24);

    enum drop_reason reason = skip_extensions(&p);
    if (!reason) {
        reason = twin_l4(&p, true, view);
    }
    return reason ? reason
           : is_mapped(ip + 24) ? DROP_BAD_IP
           : can_be_a_host6(ip + 8)
             || (view->kind == ENCAP_ND && is_zero(ip + 8))
           ? DROP_NONE : DROP_BAD_SOURCE;
}

static enum drop_reason
twin_ip(const uint8_t *frame, size_t size, struct encap_view *view)
{
    const uint8_t *ip = frame + view->l3_ofs;
    size_t left = size - view->l3_ofs;
    bool v6 = frame_get16(ip - 2) == 0x86dd;

    view->version = v6 ? 6 : 4;
    if (frame[0] % 2 && (!v6 || frame[6] % 2)) {
        return DROP_BROADCAST;
    }
    if (frame[6] % 2) {
        return DROP_BAD_SOURCE;
    }
    enum drop_reason reason = v6 ? twin_ipv6(ip, left, view)
                                 : twin_ipv4(ip, left, view);
    bool nd = reason == DROP_ND_IGNORED || (!reason && view->kind == ENCAP_ND);
    return frame[0] % 2 && !nd ? DROP_BROADCAST : reason;
}

enum drop_reason
parse_twin(const uint8_t *frame, size_t size, struct encap_view *view)
{
    memset(view, 0, sizeof *view);
    if (size < 14) {
        return DROP_TRUNCATED;
    }
    view->l3_ofs = frame_l3(frame);
    if (size < view->l3_ofs) {
        return DROP_TRUNCATED;
    }

    const uint8_t *l3 = frame + view->l3_ofs;
    switch (frame_get16(l3 - 2)) {
    case 0x0800:
    case 0x86dd:
        return twin_ip(frame, size, view);
    case 0x0806:
        view->kind = ENCAP_ARP;
        return size - view->l3_ofs < 28 ? DROP_TRUNCATED
               : memcmp(l3, "\0\1\10\0\6\4", 6) ? DROP_ARP_IGNORED
               : DROP_NONE;
    case 0x88b5:
        view->kind = ENCAP_HINT;
        return DROP_NONE;
    default:
        return DROP_ETHERTYPE;
    }
}
