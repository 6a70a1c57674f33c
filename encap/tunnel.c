#include "encap/tunnel.h"

#include <string.h>

#include "encap/csum.h"
#include "encap/geneve.h"
#include "encap/vxlan.h"

/* The two layouts of a finished header. */
struct outer {
    struct eth_hdr eth;
    struct ipv4_hdr ip;
    struct udp_hdr udp;
} INET_PACKED;

struct outer_geneve {
    struct outer outer;
    struct geneve_hdr geneve;
    struct context_opt opt;
} INET_PACKED;
static_assert(sizeof(struct outer_geneve) == 62, "see struct tunnel");
static_assert(sizeof(struct outer_geneve) <= TUNNEL_MAX_OVERHEAD, "fits");

struct outer_vxlan {
    struct outer outer;
    struct vxlan_hdr vxlan;
} INET_PACKED;
static_assert(sizeof(struct outer_vxlan) == 50, "see struct tunnel");
static_assert(sizeof(struct outer_vxlan) <= TUNNEL_MAX_OVERHEAD, "fits");

enum {
    MIN_INNER_MTU = 68,         /* RFC 791: every link carries that much. */
    TOS_ECN_MASK  = 0x3,
    SRC_PORT_BASE = 0xc000,     /* The dynamic ports (RFC 6335) are the ... */
    SRC_PORT_MASK = 0x3fff,     /* ... 2**14 from here on. */
};

static struct outer
make_outer(const struct tunnel_spec *spec, uint16_t udp_port)
{
    return (struct outer) {
        .eth = {
            .dst = spec->dst_mac,
            .src = spec->src_mac,
            .type = host_to_be16(ETHERTYPE_IPV4),
        },
        .ip = {
            .ver_ihl = 0x45,
            /* The identification stays 0: these are atomic datagrams, for
             * which it has no meaning (RFC 6864 section 4.1). */
            .frag = host_to_be16(IPV4_DF),
            .ttl = spec->ttl,
            .protocol = IPPROTO_NR_UDP,
            .src = host_to_be32(spec->src_ip),
            .dst = host_to_be32(spec->dst_ip),
        },
        .udp.dst_port = host_to_be16(udp_port),
    };
}

static void
init_geneve(struct tunnel *tunnel, const struct tunnel_spec *spec)
{
    struct outer_geneve header = {
        .outer = make_outer(spec, GENEVE_UDP_PORT),
        .geneve = {
            .ver_opt_len = sizeof header.opt / 4,
            .protocol = host_to_be16(GENEVE_PROTO_ETHERNET),
        },
        .opt = {
            .opt_class = host_to_be16(CONTEXT_OPT_CLASS),
            .type = CONTEXT_OPT_TYPE,
            .length = (sizeof header.opt - 4) / 4,
        },
    };

    memcpy(tunnel->header, &header, sizeof header);
    tunnel->header_len = sizeof header;
}

static void
init_vxlan(struct tunnel *tunnel, const struct tunnel_spec *spec)
{
    struct outer_vxlan header = {
        .outer = make_outer(spec, VXLAN_UDP_PORT),
        .vxlan.flags = VXLAN_FLAG_VNI,
    };

    memcpy(tunnel->header, &header, sizeof header);
    tunnel->header_len = sizeof header;
}

void
tunnel_init(struct tunnel *tunnel, const struct tunnel_spec *spec)
{
    memset(tunnel, 0, sizeof *tunnel);
    tunnel->type = spec->type;
    switch (spec->type) {
    case TUNNEL_GENEVE:
        init_geneve(tunnel, spec);
        break;
    case TUNNEL_VXLAN:
        init_vxlan(tunnel, spec);
        break;
    case TUNNEL_NONE:
        return;
    }

    /* The outer Ethernet header is not part of the MTU but the inner one is,
     * and both are of the same size. */
    if (spec->mtu < tunnel->header_len + MIN_INNER_MTU) {
        memset(tunnel, 0, sizeof *tunnel);
        return;
    }
    tunnel->inner_mtu = spec->mtu - tunnel->header_len;
    tunnel->csum = csum_add(0, tunnel->header + offsetof(struct outer, ip),
                            sizeof(struct ipv4_hdr));
}

/* Fills in what differs by packet, in front of 'udp_len' bytes, UDP header
 * included. */
static inline void
patch_outer(struct outer *outer, uint32_t csum, size_t udp_len,
            uint32_t entropy, uint8_t inner_tos)
{
    be16 ip_len = host_to_be16(udp_len + sizeof outer->ip);
    uint8_t ecn = inner_tos & TOS_ECN_MASK;

    outer->ip.tos = ecn;
    outer->ip.total_len = ip_len;
    outer->ip.csum = ~csum_fold(csum + ip_len + host_to_be16(ecn));
    outer->udp.src_port = host_to_be16(SRC_PORT_BASE
                                       | (entropy & SRC_PORT_MASK));
    outer->udp.len = host_to_be16(udp_len);
}

static inline uint8_t *
push_geneve(const struct tunnel *tunnel, uint8_t *frame, size_t size,
            uint32_t vni, uint32_t entropy, uint8_t inner_tos,
            const struct context *context)
{
    struct outer_geneve *header
        = (struct outer_geneve *) (frame - sizeof *header);

    memcpy(header, tunnel->header, sizeof *header);
    patch_outer(&header->outer, tunnel->csum,
                size + sizeof *header - offsetof(struct outer, udp),
                entropy, inner_tos);
    header->geneve.vni_rsvd = host_to_be32(vni << 8);
    header->opt.ver_flags_group
        = host_to_be32((uint32_t) CONTEXT_VERSION << 28
                       | (uint32_t) (context->flags & 0xf) << 24
                       | (context->group & CONTEXT_GROUP_MAX));
    header->opt.epoch = host_to_be32(context->epoch);
    return (uint8_t *) header;
}

static inline uint8_t *
push_vxlan(const struct tunnel *tunnel, uint8_t *frame, size_t size,
           uint32_t vni, uint32_t entropy, uint8_t inner_tos)
{
    struct outer_vxlan *header
        = (struct outer_vxlan *) (frame - sizeof *header);

    memcpy(header, tunnel->header, sizeof *header);
    patch_outer(&header->outer, tunnel->csum,
                size + sizeof *header - offsetof(struct outer, udp),
                entropy, inner_tos);
    header->vxlan.vni_rsvd = host_to_be32(vni << 8);
    return (uint8_t *) header;
}

uint8_t *
tunnel_push(const struct tunnel *tunnel, uint8_t *frame, size_t size,
            uint32_t vni, uint32_t entropy, uint8_t inner_tos,
            const struct context *context)
{
    assert(tunnel->type != TUNNEL_NONE);
    return tunnel->type == TUNNEL_GENEVE
           ? push_geneve(tunnel, frame, size, vni, entropy, inner_tos, context)
           : push_vxlan(tunnel, frame, size, vni, entropy, inner_tos);
}
