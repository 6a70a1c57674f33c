#include "anycast/handshake.h"

/* The low bits: the topmost ones are the same for all flows of a slot.  A hash
 * of 0 would look like a free slot. */
static struct handshake *
find_slot(struct handshake_table *table, uint64_t *hash)
{
    *hash += !*hash;
    return &table->slots[*hash % HANDSHAKE_SLOTS];
}

bool
handshake_syn(struct handshake_table *table, uint64_t hash, uint32_t group,
              uint16_t endpoint, uint64_t now_us, uint64_t *elapsed_us,
              struct handshake *displaced)
{
    struct handshake *slot = find_slot(table, &hash);

    if (slot->hash == hash && slot->group == group
        && slot->endpoint == endpoint) {
        slot->repeats += slot->repeats < UINT16_MAX;
        *elapsed_us = now_us > slot->began_us ? now_us - slot->began_us : 0;
        displaced->hash = 0;
        return true;
    }
    *displaced = *slot;
    *slot = (struct handshake) {
        .hash = hash, .began_us = now_us,
        .group = group, .endpoint = endpoint,
    };
    return false;
}

bool
handshake_ack(struct handshake_table *table, uint64_t hash,
              struct handshake *done)
{
    struct handshake *slot = find_slot(table, &hash);

    if (slot->hash != hash) {
        return false;
    }
    *done = *slot;
    slot->hash = 0;
    return true;
}

bool
handshake_expire(struct handshake_table *table, size_t n, uint64_t now_us,
                 struct handshake *given_up)
{
    while (n--) {
        struct handshake *slot
            = &table->slots[table->expire_next++ % HANDSHAKE_SLOTS];

        if (slot->hash && now_us > slot->began_us
            && now_us - slot->began_us > HANDSHAKE_GIVE_UP_US) {
            *given_up = *slot;
            slot->hash = 0;
            return true;
        }
    }
    return false;
}
