/* Slot tables and their differences as text: docs/protocol.md, "Slot
 * differences".  Thread-safe. */

#ifndef MAPPING_SLOT_CODEC_H
#define MAPPING_SLOT_CODEC_H 1

#include <stddef.h>
#include <stdint.h>

/* The difference that turns 'from' into 'to', both of 'n' slots, up to
 * GROUP_MAX_SLOTS; 'from' NULL stands for an empty table.  Tables that are
 * equal have the difference "".  The caller owns the string. */
char *slot_codec_encode(const uint16_t *from, const uint16_t *to, size_t n);

/* Applies the difference 'text' to the 'n' slots at 'slots'.  Returns 0, or
 * EPROTO with 'slots' untouched if 'text' is malformed, reaches past
 * 'n', or names an index that is neither below GROUP_MAX_ENDPOINTS nor
 * GROUP_NO_ENDPOINT. */
int slot_codec_apply(const char *text, uint16_t *slots, size_t n);

#endif /* mapping/slot-codec.h */
