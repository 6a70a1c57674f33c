#include "encap/tunnel.h"

#include <string.h>

#include "encap/vxlan.h"

enum {
    MIN_INNER_MTU = 68,         /* RFC 791: every link carries that much. */
    FLOW_LABEL_MASK = 0xfffff,
};

static_assert(sizeof(struct tunnel_outer6) + sizeof(struct tunnel_geneve)
              + sizeof(struct previous_opt) <= TUNNEL_MAX_OVERHEAD, "fits");
static_assert(sizeof(struct previous_opt) == TUNNEL_PREVIOUS_LEN, "is it");
static_assert(sizeof(struct tunnel_outer4) + sizeof(struct vxlan_hdr) == 50,
              "see struct tunnel");

static struct eth_hdr
make_eth(const struct tunnel_spec *spec, uint16_t type)
{
    return (struct eth_hdr) {
        .dst = spec->dst_mac,
        .src = spec->src_mac,
        .type = host_to_be16(type),
    };
}

static void
init_outer4(struct tunnel *tunnel, const struct tunnel_spec *spec)
{
    struct tunnel_outer4 outer = {
        .eth = make_eth(spec, ETHERTYPE_IPV4),
        .ip = {
            .ver_ihl = 0x45,
            /* The identification stays 0: these are atomic datagrams, for
             * which it has no meaning (RFC 6864 section 4.1). */
            .frag = host_to_be16(IPV4_DF),
            .ttl = spec->ttl,
            .protocol = IPPROTO_NR_UDP,
            .src = host_to_be32(inet_addr_to4(spec->src_ip)),
            .dst = host_to_be32(inet_addr_to4(spec->dst_ip)),
        },
    };

    memcpy(tunnel->header, &outer, sizeof outer);
    tunnel->version = 4;
    tunnel->header_len = sizeof outer;
    tunnel->csum = csum_fold(csum_add(0, &outer.ip, sizeof outer.ip));
}

static void
init_outer6(struct tunnel *tunnel, const struct tunnel_spec *spec)
{
    struct tunnel_outer6 outer = {
        .eth = make_eth(spec, ETHERTYPE_IPV6),
        .ip = {
            .next = IPPROTO_NR_UDP,
            .hop_limit = spec->ttl,
        },
    };

    inet_addr_to_bytes(spec->src_ip, outer.ip.src);
    inet_addr_to_bytes(spec->dst_ip, outer.ip.dst);
    memcpy(tunnel->header, &outer, sizeof outer);
    tunnel->version = 6;
    tunnel->header_len = sizeof outer;
}

void
tunnel_init(struct tunnel *tunnel, const struct tunnel_spec *spec)
{
    bool geneve = spec->type == TUNNEL_GENEVE;
    bool is4 = inet_addr_is4(spec->src_ip);

    memset(tunnel, 0, sizeof *tunnel);
    if (spec->type == TUNNEL_NONE || is4 != inet_addr_is4(spec->dst_ip)) {
        return;
    }
    (is4 ? init_outer4 : init_outer6)(tunnel, spec);
    tunnel->type = spec->type;
    tunnel->is_geneve4 = geneve && is4;
    tunnel->header_len += geneve ? sizeof(struct tunnel_geneve)
                                 : sizeof(struct vxlan_hdr);

    /* The outer Ethernet header is not part of the MTU but the inner one is,
     * and both are of the same size. */
    if (spec->mtu < tunnel->header_len + MIN_INNER_MTU) {
        memset(tunnel, 0, sizeof *tunnel);
        return;
    }
    tunnel->inner_mtu = spec->mtu - tunnel->header_len;
}

static void
patch_ipv6(struct ipv6_hdr *ip, size_t udp_len, uint32_t entropy,
           uint8_t inner_tos)
{
    uint32_t ecn = inner_tos & TUNNEL_ECN_MASK;

    ip->ver_tc_flow = host_to_be32(UINT32_C(6) << 28 | ecn << 20
                                   | (entropy & FLOW_LABEL_MASK));
    ip->payload_len = host_to_be16(udp_len);
}

static void
write_previous(struct previous_opt *opt, const struct context *context)
{
    *opt = (struct previous_opt) {
        .opt_class = host_to_be16(CONTEXT_OPT_CLASS),
        .type = CONTEXT_PREVIOUS_TYPE,
        .length = sizeof opt->previous / 4,
    };
    for (size_t i = 0; i < CONTEXT_MAX_PREVIOUS; i++) {
        opt->previous[i] = host_to_be16(i < context->n_previous
                                        ? context->previous[i]
                                        : CONTEXT_NO_ENDPOINT);
    }
}

/* Writes what stands behind the UDP header. */
static void
write_inner(uint8_t *start, uint8_t type, uint32_t vni,
            const struct context *context)
{
    if (type == TUNNEL_VXLAN) {
        struct vxlan_hdr header = {
            .flags = VXLAN_FLAG_VNI,
            .vni_rsvd = host_to_be32(vni << 8),
        };

        memcpy(start, &header, sizeof header);
        return;
    }

    struct tunnel_geneve *header = (struct tunnel_geneve *) start;
    size_t opt_len = sizeof header->opt;
    if (context->n_previous) {
        opt_len += sizeof(struct previous_opt);
        write_previous((struct previous_opt *) (header + 1), context);
    }
    tunnel_write_geneve(header, vni, opt_len, context);
}

uint8_t *
tunnel_push_any(const struct tunnel *tunnel, uint8_t *frame, size_t size,
                uint32_t vni, uint32_t entropy, uint8_t inner_tos,
                const struct context *context)
{
    bool is4 = tunnel->version == 4;
    size_t outer_len = is4 ? sizeof(struct tunnel_outer4)
                           : sizeof(struct tunnel_outer6);
    size_t header_len = tunnel->header_len;

    assert(tunnel->type != TUNNEL_NONE);
    if (tunnel->type == TUNNEL_GENEVE && context->n_previous) {
        header_len += TUNNEL_PREVIOUS_LEN;
    }

    uint8_t *start = frame - header_len;
    uint8_t *ip = start + sizeof(struct eth_hdr);
    struct udp_hdr *udp = (struct udp_hdr *) (start + outer_len) - 1;
    size_t udp_len = sizeof *udp + header_len - outer_len + size;

    memcpy(start, tunnel->header, outer_len);
    if (is4) {
        tunnel_patch_ipv4((struct ipv4_hdr *) ip, tunnel->csum, udp_len,
                          inner_tos);
    } else {
        patch_ipv6((struct ipv6_hdr *) ip, udp_len, entropy, inner_tos);
    }
    tunnel_write_udp(udp, entropy, tunnel->type == TUNNEL_GENEVE
                                   ? GENEVE_UDP_PORT : VXLAN_UDP_PORT,
                     udp_len);
    write_inner(start + outer_len, tunnel->type, vni, context);
    return start;
}
