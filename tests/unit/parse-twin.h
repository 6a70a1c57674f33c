/* A parser that is slow and simple: encap_parse()'s twin, from the same RFCs.
 * It reads byte by byte, and shares with encap/ only names of reasons and the
 * struct that it fills. */

#ifndef TESTS_UNIT_PARSE_TWIN_H
#define TESTS_UNIT_PARSE_TWIN_H 1

#include "encap/parse.h"

/* As encap_parse(). */
enum drop_reason parse_twin(const uint8_t *frame, size_t size,
                            struct encap_view *view);

#endif /* tests/unit/parse-twin.h */
