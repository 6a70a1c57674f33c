/* The ports of VMs that are at this host, and what distinguishes two such
 * sets.  No I/O.  Not thread-safe.
 *
 *     struct iface_set now;
 *     iface_set_init(&now);
 *     iface_set_add(&now, id, attached_mac);
 *     ...
 *     iface_set_finish(&now, &before, time_msec());
 *     iface_set_diff(&told, &now, time_msec(), &claims); */

#ifndef VSWITCHD_EXT_IFACE_SET_H
#define VSWITCHD_EXT_IFACE_SET_H 1

#include <stdbool.h>
#include <stddef.h>

#include "mapping/claims.h"

struct iface_port {
    record_iface id;            /* external_ids:iface-id. */
    struct mac mac;             /* external_ids:attached-mac; zeros: none. */
    long long int since;        /* ms; LLONG_MIN: nobody knows, long ago. */
};

struct iface_set {
    struct iface_port *ports;   /* Sorted by id, each once, when finished. */
    size_t n, allocated;
};

void iface_set_init(struct iface_set *);
void iface_set_uninit(struct iface_set *);
/* Makes '*dst', which is initialized, a copy. */
void iface_set_copy(struct iface_set *dst, const struct iface_set *src);

/* Adds a port, unless 'id' is not one that mapd takes; false then.  A 'mac'
 * (or NULL) that is no station's address is none. */
bool iface_set_add(struct iface_set *, const char *id, const char *mac);

/* All are added.  Those that 'before' has, which is finished, are as old as
 * there; others have come at 'now', or, if 'before' is NULL, long ago.
 * Returns how many are left out, being more than CLAIMS_MAX. */
size_t iface_set_finish(struct iface_set *, const struct iface_set *before,
                        long long int now);

bool iface_set_equal(const struct iface_set *, const struct iface_set *);

/* Stores in '*claims', but for the host, what makes 'to' of 'from'; or, if
 * that is NULL, all of 'to'.  The caller ends it by claims_uninit(). */
void iface_set_diff(const struct iface_set *from, const struct iface_set *to,
                    long long int now, struct claims *claims);

#endif /* vswitchd-ext/iface-set.h */
