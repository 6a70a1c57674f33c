#include "encap/hint.h"

#include <errno.h>
#include <string.h>

enum {
    TAGGED_LEN = offsetof(struct hint_payload, tag),
};

/* What turns the deployment's hash key into that of hints, so that no tag is
 * ever the value of another function under the same key: "grapnel hint key" in
 * ASCII. */
static const uint64_t hint_domain[2] = {
    UINT64_C(0x677261706e656c20), UINT64_C(0x68696e74206b6579),
};

static uint64_t
rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void
sip_rounds(uint64_t v[4], int n)
{
    for (int i = 0; i < n; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

/* 'n' bytes, up to 8, as a little-endian number. */
static uint64_t
load_little(const uint8_t *p, size_t n)
{
    uint64_t word = 0;

    for (size_t i = 0; i < n; i++) {
        word |= (uint64_t) p[i] << i * 8;
    }
    return word;
}

static void
sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_rounds(v, 2);
    v[0] ^= word;
}

uint64_t
hint_siphash(const uint64_t key[2], const void *data_, size_t size)
{
    const uint8_t *data = data_;
    uint64_t last = (uint64_t) size << 56;
    uint64_t v[4] = {           /* "somepseudorandomlygeneratedbytes" */
        key[0] ^ UINT64_C(0x736f6d6570736575),
        key[1] ^ UINT64_C(0x646f72616e646f6d),
        key[0] ^ UINT64_C(0x6c7967656e657261),
        key[1] ^ UINT64_C(0x7465646279746573),
    };

    for (; size >= 8; data += 8, size -= 8) {
        sip_word(v, load_little(data, 8));
    }
    sip_word(v, last | load_little(data, size));
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t
make_tag(const struct hint_payload *payload, const uint64_t key[2])
{
    const uint64_t derived[2] = {
        key[0] ^ hint_domain[0], key[1] ^ hint_domain[1],
    };

    return hint_siphash(derived, payload, TAGGED_LEN);
}

void
hint_write(uint8_t frame[HINT_FRAME_LEN], const struct hint *hint,
           const struct mac *dst, const struct mac *src,
           const uint64_t key[2])
{
    const struct eth_hdr eth = {
        .dst = *dst, .src = *src, .type = host_to_be16(ETHERTYPE_HINT),
    };
    struct hint_payload payload = {
        .version = HINT_VERSION,
        .endpoint = host_to_be16(hint->endpoint),
        .group = host_to_be32(hint->group),
        .epoch = host_to_be32(hint->epoch),
        .vni = host_to_be32(hint->vni),
        .src_port = host_to_be16(hint->src_port),
        .dst_port = host_to_be16(hint->dst_port),
    };

    inet_addr_to_bytes(hint->src, payload.src);
    uint64_t tag = make_tag(&payload, key);
    for (size_t i = 0; i < sizeof payload.tag; i++) {
        payload.tag[i] = tag >> i * 8;
    }
    memset(frame, 0, HINT_FRAME_LEN);
    memcpy(frame, &eth, sizeof eth);
    memcpy(frame + sizeof eth, &payload, sizeof payload);
}

int
hint_read(const uint8_t *bytes, size_t size, const uint64_t key[2],
          struct hint *hint)
{
    struct hint_payload payload;

    if (!size) {
        return EPROTO;
    }
    if (bytes[0] > HINT_VERSION) {
        return ENOTSUP;
    }
    if (bytes[0] < HINT_VERSION || size < sizeof payload) {
        return EPROTO;
    }
    memcpy(&payload, bytes, sizeof payload);
    if (load_little(payload.tag, 8) ^ make_tag(&payload, key)) {
        return EACCES;
    }
    *hint = (struct hint) {
        .group = be32_to_host(payload.group),
        .epoch = be32_to_host(payload.epoch),
        .vni = be32_to_host(payload.vni),
        .src = inet_addr_from_bytes(payload.src),
        .src_port = be16_to_host(payload.src_port),
        .dst_port = be16_to_host(payload.dst_port),
        .endpoint = be16_to_host(payload.endpoint),
    };
    return 0;
}
