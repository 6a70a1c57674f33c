#include <config.h>
#include "mapping/catalog/catalog-few.h"

#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "util.h"

static int
compare(const struct catalog_few *few, size_t i, uint32_t vni,
        const char *text)
{
    return (few->best[i].vni != vni ? (few->best[i].vni < vni ? -1 : 1)
            : strcmp(few->best[i].text, text));
}

void
catalog_few_add(struct catalog_few *few, uint32_t vni, const char *text)
{
    size_t i = 0;

    while (i < few->n && compare(few, i, vni, text) < 0) {
        i++;
    }
    if (i < few->n && !compare(few, i, vni, text)) {
        return;
    }
    few->more |= few->n == CATALOG_FEW_MAX;
    if (i == CATALOG_FEW_MAX) {
        return;
    }
    few->n = MIN(few->n + 1, CATALOG_FEW_MAX);
    memmove(&few->best[i + 1], &few->best[i],
            (few->n - i - 1) * sizeof few->best[0]);
    few->best[i].vni = vni;
    ovs_strlcpy(few->best[i].text, text, sizeof few->best[i].text);
}

void
catalog_few_hint(const struct catalog_few *few, const char *intro,
                 const char *otherwise, struct diagnosis *diag)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < few->n; i++) {
        ds_put_format(&ds, "%s%s", i ? ", " : "", few->best[i].text);
    }
    if (few->n) {
        diagnosis_set_hint(diag, "%s %s%s", intro, ds_cstr(&ds),
                           few->more ? ", ..." : "");
    } else if (otherwise) {
        diagnosis_set_hint(diag, "%s", otherwise);
    }
    ds_destroy(&ds);
}
