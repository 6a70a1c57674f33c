/* The outer headers' layouts, and tunnel_push() for Geneve over IPv4 without
 * previous owners, which is nearly all that a busy switch sends.  Included by
 * encap/tunnel.h.
 *
 * Only what differs by tunnel is copied from the template, up to the end of
 * the IP header, so that one cache line of it is enough; what is the same for
 * all tunnels is written as constants.  Nothing that was just written is read
 * again. */

#ifndef ENCAP_TUNNEL_PUSH_H
#define ENCAP_TUNNEL_PUSH_H 1

#ifndef ENCAP_TUNNEL_H
#error "include encap/tunnel.h"
#endif

#include "encap/csum.h"
#include "encap/geneve.h"

struct tunnel_outer4 {
    struct eth_hdr eth;
    struct ipv4_hdr ip;
    struct udp_hdr udp;
} INET_PACKED;

struct tunnel_outer6 {
    struct eth_hdr eth;
    struct ipv6_hdr ip;
    struct udp_hdr udp;
} INET_PACKED;

struct tunnel_geneve {
    struct geneve_hdr geneve;
    struct context_opt opt;
} INET_PACKED;

struct tunnel_geneve4 {
    struct tunnel_outer4 outer;
    struct tunnel_geneve inner;
} INET_PACKED;
static_assert(sizeof(struct tunnel_geneve4) == 62, "see struct tunnel");
static_assert(offsetof(struct tunnel, header)
              + offsetof(struct tunnel_geneve4, outer.udp) <= 64,
              "see struct tunnel");

enum {
    TUNNEL_ECN_MASK  = 0x3,
    TUNNEL_PORT_BASE = 0xc000,  /* The dynamic ports (RFC 6335) are the ... */
    TUNNEL_PORT_MASK = 0x3fff,  /* ... 2**14 from here on. */
};

/* Fills in what differs by packet, in front of 'udp_len' bytes, UDP header
 * included. */
static inline void
tunnel_patch_ipv4(struct ipv4_hdr *ip, uint32_t csum, size_t udp_len,
                  uint8_t inner_tos)
{
    be16 ip_len = host_to_be16(udp_len + sizeof *ip);
    uint8_t ecn = inner_tos & TUNNEL_ECN_MASK;

    ip->tos = ecn;
    ip->total_len = ip_len;
    ip->csum = ~csum_fold(csum + ip_len + host_to_be16(ecn));
}

/* Geneve's header with options of 'opt_len' bytes, of which the first is made
 * here, from 'context'.  Each row of the drawings in geneve.h and context.h is
 * half of a word, or one of its own. */
static inline void
tunnel_write_geneve(struct tunnel_geneve *header, uint32_t vni,
                    size_t opt_len, const struct context *context)
{
    be64 geneve = host_to_be64((uint64_t) (opt_len / 4) << 56
                               | (uint64_t) GENEVE_PROTO_ETHERNET << 32
                               | vni << 8);
    be64 data = context_data(context);
    be32 opt = host_to_be32((uint32_t) CONTEXT_OPT_CLASS << 16
                            | CONTEXT_OPT_TYPE << 8 | sizeof data / 4);

    __builtin_memcpy(&header->geneve, &geneve, sizeof geneve);
    __builtin_memcpy(&header->opt, &opt, sizeof opt);
    __builtin_memcpy(&header->opt.ver_flags_group, &data, sizeof data);
}

/* The UDP header, its checksum 0. */
static inline void
tunnel_write_udp(struct udp_hdr *udp, uint32_t entropy, uint16_t dst_port,
                 size_t udp_len)
{
    uint64_t src_port = TUNNEL_PORT_BASE | (entropy & TUNNEL_PORT_MASK);
    be64 header = host_to_be64(src_port << 48 | (uint64_t) dst_port << 32
                               | (uint64_t) udp_len << 16);

    __builtin_memcpy(udp, &header, sizeof header);
}

/* Any tunnel and context.  (tunnel.c) */
uint8_t *tunnel_push_any(const struct tunnel *tunnel, uint8_t *frame,
                         size_t size, uint32_t vni, uint32_t entropy,
                         uint8_t inner_tos, const struct context *context);

/* Writes the headers of a Geneve packet over IPv4 but for the innermost, in
 * front of the 'size' bytes of 'frame'. */
static inline struct tunnel_geneve4 *
tunnel_push_outer4(const struct tunnel *tunnel, uint8_t *frame, size_t size,
                   uint32_t entropy, uint8_t inner_tos)
{
    struct tunnel_geneve4 *header
        = (struct tunnel_geneve4 *) (frame - sizeof *header);
    size_t udp_len = size + sizeof *header
                     - offsetof(struct tunnel_geneve4, outer.udp);

    __builtin_memcpy(header, tunnel->header,
                     offsetof(struct tunnel_geneve4, outer.udp));
    tunnel_patch_ipv4(&header->outer.ip, tunnel->csum, udp_len, inner_tos);
    tunnel_write_udp(&header->outer.udp, entropy, GENEVE_UDP_PORT, udp_len);
    return header;
}

/* tunnel_push() by a tunnel that 'is_geneve4', with a Geneve header that was
 * made before, by tunnel_write_geneve(). */
static inline uint8_t *
tunnel_push_made(const struct tunnel *tunnel, uint8_t *frame, size_t size,
                 uint32_t entropy, uint8_t inner_tos,
                 const struct tunnel_geneve *geneve)
{
    struct tunnel_geneve4 *header
        = tunnel_push_outer4(tunnel, frame, size, entropy, inner_tos);

    __builtin_memcpy(&header->inner, geneve, sizeof header->inner);
    return (uint8_t *) header;
}

static inline uint8_t *
tunnel_push(const struct tunnel *tunnel, uint8_t *frame, size_t size,
            uint32_t vni, uint32_t entropy, uint8_t inner_tos,
            const struct context *context)
{
    if (__builtin_expect(!tunnel->is_geneve4 || context->n_previous, 0)) {
        return tunnel_push_any(tunnel, frame, size, vni, entropy, inner_tos,
                               context);
    }

    struct tunnel_geneve4 *header
        = tunnel_push_outer4(tunnel, frame, size, entropy, inner_tos);
    tunnel_write_geneve(&header->inner, vni, sizeof header->inner.opt,
                        context);
    return (uint8_t *) header;
}

#endif /* encap/tunnel-push.h */
