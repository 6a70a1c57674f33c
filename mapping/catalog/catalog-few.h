/* Hints name a few of many: the first ones in order.  Found by looking at all
 * of them, as only failures need it.  Private to catalog*.c. */

#ifndef MAPPING_CATALOG_CATALOG_FEW_H
#define MAPPING_CATALOG_CATALOG_FEW_H 1

#include "mapping/record.h"

enum {
    CATALOG_FEW_MAX = 4
};

/* Begins as { .n = 0 }. */
struct catalog_few {
    struct {
        uint32_t vni;           /* Orders first; 0 if there is none. */
        char text[RECORD_KEY_SIZE];
    } best[CATALOG_FEW_MAX];
    size_t n;
    bool more;
};

void catalog_few_add(struct catalog_few *, uint32_t vni, const char *text);

/* Sets the hint "INTRO a, b, c, ..."; or 'otherwise', if that is not NULL,
 * when there is nothing to name. */
void catalog_few_hint(const struct catalog_few *, const char *intro,
                      const char *otherwise, struct diagnosis *diag);

#endif /* mapping/catalog/catalog-few.h */
