/* Hints from anybody: none is believed; what a hint says comes through. */

#include <stdlib.h>
#include <string.h>

#include "encap/hint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(X) do { if (!(X)) { __builtin_trap(); } } while (0)

static const uint64_t key[2] = { 0x0123456789abcdef, 0xfedcba9876543210 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mac mac = { { 2 } };
    uint8_t frame[HINT_FRAME_LEN];
    struct hint hint, again;

    /* A seed may be authentic.  Then the same words make the same payload. */
    if (!hint_read(data, size, key, &hint)) {
        hint_write(frame, &hint, &mac, &mac, key);
        CHECK(data[1] || !memcmp(frame + 14, data,
                                 sizeof(struct hint_payload)));
    }

    if (size >= sizeof hint) {
        memcpy(&hint, data, sizeof hint);
        hint_write(frame, &hint, &mac, &mac, key);
        CHECK(!hint_read(frame + 14, sizeof frame - 14, key, &again));
        CHECK(again.group == hint.group && again.epoch == hint.epoch
              && again.vni == hint.vni && again.endpoint == hint.endpoint
              && again.src_port == hint.src_port
              && again.dst_port == hint.dst_port
              && inet_addr_equal(again.src, hint.src));

        size_t bit = 8 + data[0] % (sizeof(struct hint_payload) * 8 - 8);
        frame[14 + bit / 8] ^= 1 << bit % 8;
        CHECK(hint_read(frame + 14, sizeof frame - 14, key, &again));
    }
    return 0;
}
