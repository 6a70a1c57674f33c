/* What was refused lately, so that what happens again and again is told once
 * a minute, with how often it happened.
 *
 * A fixed number of them; the oldest make room.  Not thread-safe. */

#ifndef MAPPING_MAPD_REFUSALS_H
#define MAPPING_MAPD_REFUSALS_H 1

#include <stdbool.h>

enum {
    REFUSALS_MAX      = 64,
    REFUSALS_MS       = 60 * 1000,
    REFUSALS_KEY_SIZE = 128,    /* With its null; the rest is ignored. */
};

struct refusals {
    struct refusal {
        char key[REFUSALS_KEY_SIZE]; /* "": none. */
        long long int told;     /* ms, when it was told last, ... */
        unsigned int n_untold;  /* ... and how often it happened since. */
    } all[REFUSALS_MAX];
};

/* Whether what 'key' (not "") says is to be told, if it happens at 'now'
 * (ms). */
bool refusals_is_due(const struct refusals *refusals, const char *key,
                     long long int now);

/* It happens.  Returns 0 if it is not to be told; else how often it has
 * happened since it was told last, this time included. */
unsigned int refusals_note(struct refusals *refusals, const char *key,
                           long long int now);

#endif /* mapping/mapd/refusals.h */
