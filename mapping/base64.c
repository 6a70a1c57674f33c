#include <config.h>
#include "mapping/base64.h"

#include <errno.h>
#include <string.h>

#include "util.h"

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";

char *
base64_encode(const void *data_, size_t size)
{
    const uint8_t *data = data_;
    char *text = xmalloc((size + 2) / 3 * 4 + 1);
    char *p = text;

    for (size_t i = 0; i < size; i += 3) {
        size_t n = MIN(size - i, 3);
        uint32_t word = (data[i] << 16 | (n > 1 ? data[i + 1] : 0) << 8
                         | (n > 2 ? data[i + 2] : 0));

        *p++ = alphabet[word >> 18];
        *p++ = alphabet[word >> 12 & 63];
        *p++ = n > 1 ? alphabet[word >> 6 & 63] : '=';
        *p++ = n > 2 ? alphabet[word & 63] : '=';
    }
    *p = '\0';
    return text;
}

/* The value of a digit, or -1. */
static int
digit(char c)
{
    return (c >= 'A' && c <= 'Z' ? c - 'A'
            : c >= 'a' && c <= 'z' ? c - 'a' + 26
            : c >= '0' && c <= '9' ? c - '0' + 52
            : c == '+' ? 62
            : c == '/' ? 63
            : -1);
}

/* Decodes a block of four digits, the last 'n_pad' of which are padding, to
 * 3 - 'n_pad' bytes.  Returns false if it is malformed. */
static bool
decode_block(const char text[4], int n_pad, uint8_t *data)
{
    uint32_t word = 0;

    for (int i = 0; i < 4; i++) {
        int value = i < 4 - n_pad ? digit(text[i]) : 0;

        if (value < 0) {
            return false;
        }
        word = word << 6 | value;
    }
    for (int i = 0; i < 3 - n_pad; i++) {
        data[i] = word >> (16 - 8 * i);
    }
    return !(word & ((1u << (8 * n_pad)) - 1));
}

int
base64_decode(const char *text, uint8_t **datap, size_t *sizep)
{
    size_t n = strlen(text);
    int n_pad = n < 4 || text[n - 1] != '=' ? 0 : text[n - 2] != '=' ? 1 : 2;
    uint8_t *data;

    if (n % 4) {
        return EPROTO;
    }
    data = xmalloc(n / 4 * 3 + 1);
    for (size_t i = 0; i < n; i += 4) {
        if (!decode_block(text + i, i + 4 < n ? 0 : n_pad, data + i / 4 * 3)) {
            free(data);
            return EPROTO;
        }
    }
    *datap = data;
    *sizep = n / 4 * 3 - n_pad;
    return 0;
}
