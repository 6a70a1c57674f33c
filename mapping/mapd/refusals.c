#include <config.h>

#include "mapping/mapd/refusals.h"

#include <string.h>

#include "util.h"

static struct refusal *
find(const struct refusals *refusals, const char *key)
{
    for (size_t i = 0; i < REFUSALS_MAX; i++) {
        const struct refusal *x = &refusals->all[i];

        if (x->key[0] && !strncmp(x->key, key, sizeof x->key - 1)) {
            return CONST_CAST(struct refusal *, x);
        }
    }
    return NULL;
}

static bool
is_silenced(const struct refusal *x, long long int now)
{
    return x && now - x->told < REFUSALS_MS;
}

bool
refusals_is_due(const struct refusals *refusals, const char *key,
                long long int now)
{
    return !is_silenced(find(refusals, key), now);
}

/* The place of the one that was told longest ago. */
static struct refusal *
oldest(struct refusals *refusals)
{
    struct refusal *place = &refusals->all[0];

    for (size_t i = 0; i < REFUSALS_MAX; i++) {
        struct refusal *x = &refusals->all[i];

        if (place->key[0] && (!x->key[0] || x->told < place->told)) {
            place = x;
        }
    }
    return place;
}

unsigned int
refusals_note(struct refusals *refusals, const char *key, long long int now)
{
    struct refusal *x = find(refusals, key);
    unsigned int n;

    if (is_silenced(x, now)) {
        x->n_untold++;
        return 0;
    }
    n = x ? x->n_untold + 1 : 1;
    if (!x) {
        x = oldest(refusals);
        ovs_strlcpy(x->key, key, sizeof x->key);
    }
    x->told = now;
    x->n_untold = 0;
    return n;
}
