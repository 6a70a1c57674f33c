/* Which ports are at which hosts, as these say by request `claim`; and whose
 * word counts where several say so.  In memory only.  Not thread-safe.
 *
 *     error = ifaces_take(ifaces, &claims, time_msec(), &diag);
 *     while (ifaces_pop(ifaces, iface)) {
 *         claim = ifaces_find(ifaces, iface, host, &n);
 *         ...
 *     } */

#ifndef MAPPING_MAPD_IFACES_H
#define MAPPING_MAPD_IFACES_H 1

#include <stdbool.h>
#include <stddef.h>

#include "mapping/claims.h"

struct ifaces;

enum {
    IFACES_MAX = 1024 * 1024    /* Claims, of all hosts. */
};

/* A claim that counts. */
struct ifaces_claim {
    const char *host;           /* Valid until the host's claims change. */
    struct mac mac;             /* attached-mac; all zero: none. */
    long long int since;        /* By the clock of ifaces_take(), in ms;
                                 * LLONG_MIN: nobody knows, long ago. */
};

struct ifaces *ifaces_create(void);
void ifaces_destroy(struct ifaces *);

/* Takes in what a host says at 'now' (ms, of a clock that does not go back).
 * Returns 0; or a positive errno with '*diag' filled in and nothing changed.
 * The ports that it is about are pending. */
int ifaces_take(struct ifaces *, const struct claims *, long long int now,
                struct diagnosis *diag);

/* Nothing is known of 'host', or of any host, any more.  The ports that it had
 * are pending; with ifaces_forget_all(), none is. */
void ifaces_forget_host(struct ifaces *, const char *host);
void ifaces_forget_all(struct ifaces *);

/* Whether 'host' has told of all that it has, so that the rest is not
 * there. */
bool ifaces_has_told(const struct ifaces *, const char *host);

/* Finds the claim of 'iface' that counts: the newest; of those that are as
 * old, that of host 'incumbent', else of the host whose name comes first.
 * Returns how many hosts claim it; if none does, '*claim' is untouched. */
size_t ifaces_find(const struct ifaces *, const char *iface,
                   const char *incumbent, struct ifaces_claim *claim);

/* As ifaces_find(), as if hosts of which 'may' says no did not claim it. */
typedef bool ifaces_filter(const char *host, const void *aux);
size_t ifaces_find_where(const struct ifaces *, const char *iface,
                         const char *incumbent, ifaces_filter *may,
                         const void *aux, struct ifaces_claim *claim);

/* The names of the hosts that claim 'iface', sorted, with ", " between them;
 * the caller frees it. */
char *ifaces_names(const struct ifaces *, const char *iface);

/* Ports that are to be looked at: makes 'iface' one of them; takes one out,
 * and returns false if there is none; whether there is any. */
void ifaces_push(struct ifaces *, const char *iface);
bool ifaces_pop(struct ifaces *, record_iface iface);
bool ifaces_is_pending(const struct ifaces *);

#endif /* mapping/mapd/ifaces.h */
