/* Base64, RFC 4648 section 4, strict: padded, no line breaks, and every value
 * has one text only (bits that do not count must be zero). */

#ifndef MAPPING_BASE64_H
#define MAPPING_BASE64_H 1

#include <stddef.h>
#include <stdint.h>

/* The text for the 'size' bytes at 'data'.  The caller owns it. */
char *base64_encode(const void *data, size_t size);

/* Decodes 'text'.  Returns 0, '*data' (owned by the caller; never NULL) and
 * '*size'; or EPROTO with both untouched. */
int base64_decode(const char *text, uint8_t **data, size_t *size);

#endif /* mapping/base64.h */
