#include <config.h>

#include "mapping/mapd/ifaces.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/shash.h"
#include "sset.h"
#include "svec.h"
#include "util.h"

/* A host that has told, and what it has. */
struct host {
    record_name name;
    bool told_all;
    struct ovs_list claims;     /* struct entry, by 'node'. */
    size_t n;
};

struct entry {
    struct hmap_node by_iface;  /* In ifaces->claims. */
    struct ovs_list node;       /* In host->claims. */
    struct host *host;
    record_iface iface;
    struct mac mac;
    long long int since;
    bool seen;                  /* While a host tells of all it has. */
};

struct ifaces {
    struct hmap claims;
    struct shash hosts;         /* struct host. */
    struct sset pending;
};

struct ifaces *
ifaces_create(void)
{
    struct ifaces *ifaces = xzalloc(sizeof *ifaces);

    hmap_init(&ifaces->claims);
    shash_init(&ifaces->hosts);
    sset_init(&ifaces->pending);
    return ifaces;
}

static void
drop_entry(struct ifaces *ifaces, struct entry *entry)
{
    hmap_remove(&ifaces->claims, &entry->by_iface);
    ovs_list_remove(&entry->node);
    entry->host->n--;
    free(entry);
}

static void
drop_host(struct ifaces *ifaces, struct shash_node *node, bool tell)
{
    struct host *host = node->data;
    struct entry *entry;

    LIST_FOR_EACH_SAFE (entry, node, &host->claims) {
        if (tell) {
            ifaces_push(ifaces, entry->iface);
        }
        drop_entry(ifaces, entry);
    }
    shash_delete(&ifaces->hosts, node);
    free(host);
}

void
ifaces_forget_host(struct ifaces *ifaces, const char *name)
{
    struct shash_node *node = shash_find(&ifaces->hosts, name);

    if (node) {
        drop_host(ifaces, node, true);
    }
}

void
ifaces_forget_all(struct ifaces *ifaces)
{
    struct shash_node *node;

    SHASH_FOR_EACH_SAFE (node, &ifaces->hosts) {
        drop_host(ifaces, node, false);
    }
    sset_clear(&ifaces->pending);
}

void
ifaces_destroy(struct ifaces *ifaces)
{
    if (ifaces) {
        ifaces_forget_all(ifaces);
        hmap_destroy(&ifaces->claims);
        shash_destroy(&ifaces->hosts);
        sset_destroy(&ifaces->pending);
        free(ifaces);
    }
}

/* Claims. */

static struct entry *
find_entry(const struct ifaces *ifaces, const struct host *host,
           const char *iface)
{
    struct entry *entry;

    HMAP_FOR_EACH_WITH_HASH (entry, by_iface, hash_string(iface, 0),
                             &ifaces->claims) {
        if (entry->host == host && !strcmp(entry->iface, iface)) {
            return entry;
        }
    }
    return NULL;
}

static struct host *
get_host(struct ifaces *ifaces, const char *name)
{
    struct host *host = shash_find_data(&ifaces->hosts, name);

    if (!host) {
        host = xzalloc(sizeof *host);
        ovs_strlcpy(host->name, name, sizeof host->name);
        ovs_list_init(&host->claims);
        shash_add(&ifaces->hosts, name, host);
    }
    return host;
}

/* A switch that has just started does not know how old its ports are; one that
 * has told before does. */
static void
put_claim(struct ifaces *ifaces, struct host *host, const struct claim *claim,
          long long int now)
{
    struct entry *entry = find_entry(ifaces, host, claim->iface);
    bool is_new = !entry;

    if (is_new) {
        entry = xzalloc(sizeof *entry);
        entry->host = host;
        ovs_strlcpy(entry->iface, claim->iface, sizeof entry->iface);
        hmap_insert(&ifaces->claims, &entry->by_iface,
                    hash_string(entry->iface, 0));
        ovs_list_push_back(&host->claims, &entry->node);
        host->n++;
    }
    if (claim->age_ms != CLAIMS_LONG_AGO) {
        entry->since = now - claim->age_ms;
    } else if (is_new) {
        entry->since = LLONG_MIN;
    }
    entry->mac = claim->mac;
    entry->seen = true;
    ifaces_push(ifaces, claim->iface);
}

/* Takes away those of 'host' that it has not just told of. */
static void
drop_unseen(struct ifaces *ifaces, struct host *host)
{
    struct entry *entry;

    LIST_FOR_EACH_SAFE (entry, node, &host->claims) {
        if (!entry->seen) {
            ifaces_push(ifaces, entry->iface);
            drop_entry(ifaces, entry);
        }
    }
}

/* Whether there is room for what 'claims' has: 0, or a positive errno. */
static int
check_room(const struct ifaces *ifaces, const struct claims *claims,
           struct diagnosis *diag)
{
    const struct host *host = shash_find_data(&ifaces->hosts, claims->host);
    size_t had = host ? host->n : 0;
    size_t n = (claims->all ? 0 : had) + claims->n_here;
    size_t total = hmap_count(&ifaces->claims) - had + n;

    /* Those that it has, and tells of anew, were counted twice. */
    for (size_t i = 0; host && !claims->all && i < claims->n_here; i++) {
        bool again = find_entry(ifaces, host, claims->here[i].iface) != NULL;

        n -= again;
        total -= again;
    }
    if (n > CLAIMS_MAX) {
        return diagnosis_set(diag, DIAG_BUSY, "here", NULL, "host %s has "
                             "more than %d ports", claims->host, CLAIMS_MAX);
    }
    if (total > IFACES_MAX) {
        return diagnosis_set(diag, DIAG_BUSY, "here", NULL, "all hosts "
                             "together have more than %d ports", IFACES_MAX);
    }
    return 0;
}

int
ifaces_take(struct ifaces *ifaces, const struct claims *claims,
            long long int now, struct diagnosis *diag)
{
    struct entry *entry;
    struct host *host;
    int error = check_room(ifaces, claims, diag);

    if (error) {
        return error;
    }
    host = get_host(ifaces, claims->host);
    for (size_t i = 0; i < claims->n_gone; i++) {
        entry = find_entry(ifaces, host, claims->gone[i]);
        if (entry) {
            drop_entry(ifaces, entry);
        }
        ifaces_push(ifaces, claims->gone[i]);
    }
    LIST_FOR_EACH (entry, node, &host->claims) {
        entry->seen = false;
    }
    for (size_t i = 0; i < claims->n_here; i++) {
        put_claim(ifaces, host, &claims->here[i], now);
    }
    if (claims->all) {
        drop_unseen(ifaces, host);
        host->told_all = true;
    }
    return 0;
}

bool
ifaces_has_told(const struct ifaces *ifaces, const char *name)
{
    const struct host *host = shash_find_data(&ifaces->hosts, name);

    return host && host->told_all;
}

/* Whose word counts. */

static bool
is_better(const struct entry *a, const struct entry *b, const char *incumbent)
{
    bool a_is_there = !strcmp(a->host->name, incumbent);
    bool b_is_there = !strcmp(b->host->name, incumbent);

    return (a->since != b->since ? a->since > b->since
            : a_is_there != b_is_there ? a_is_there
            : strcmp(a->host->name, b->host->name) < 0);
}

static bool
may_any(const char *host OVS_UNUSED, const void *aux OVS_UNUSED)
{
    return true;
}

size_t
ifaces_find(const struct ifaces *ifaces, const char *iface,
            const char *incumbent, struct ifaces_claim *claim)
{
    return ifaces_find_where(ifaces, iface, incumbent, may_any, NULL, claim);
}

size_t
ifaces_find_where(const struct ifaces *ifaces, const char *iface,
                  const char *incumbent, ifaces_filter *may, const void *aux,
                  struct ifaces_claim *claim)
{
    const struct entry *entry, *best = NULL;
    size_t n = 0;

    HMAP_FOR_EACH_WITH_HASH (entry, by_iface, hash_string(iface, 0),
                             &ifaces->claims) {
        if (!strcmp(entry->iface, iface) && may(entry->host->name, aux)) {
            best = !best || is_better(entry, best, incumbent) ? entry : best;
            n++;
        }
    }
    if (best) {
        *claim = (struct ifaces_claim) {
            .host = best->host->name, .mac = best->mac, .since = best->since,
        };
    }
    return n;
}

char *
ifaces_names(const struct ifaces *ifaces, const char *iface)
{
    struct svec names = SVEC_EMPTY_INITIALIZER;
    const struct entry *entry;
    char *text;

    HMAP_FOR_EACH_WITH_HASH (entry, by_iface, hash_string(iface, 0),
                             &ifaces->claims) {
        if (!strcmp(entry->iface, iface)) {
            svec_add(&names, entry->host->name);
        }
    }
    svec_sort(&names);
    text = svec_join(&names, ", ", "");
    svec_destroy(&names);
    return text;
}

/* What is pending. */

void
ifaces_push(struct ifaces *ifaces, const char *iface)
{
    sset_add(&ifaces->pending, iface);
}

bool
ifaces_pop(struct ifaces *ifaces, record_iface iface)
{
    const char *first = SSET_FIRST(&ifaces->pending);

    if (!first) {
        return false;
    }
    ovs_strlcpy(iface, first, sizeof(record_iface));
    sset_find_and_delete(&ifaces->pending, iface);
    return true;
}

bool
ifaces_is_pending(const struct ifaces *ifaces)
{
    return !sset_is_empty(&ifaces->pending);
}
