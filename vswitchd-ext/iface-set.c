#include <config.h>

#include "vswitchd-ext/iface-set.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "packets.h"
#include "util.h"

void
iface_set_init(struct iface_set *set)
{
    *set = (struct iface_set) { .n = 0 };
}

void
iface_set_uninit(struct iface_set *set)
{
    free(set->ports);
    iface_set_init(set);
}

void
iface_set_copy(struct iface_set *dst, const struct iface_set *src)
{
    iface_set_uninit(dst);
    if (src->n) {
        dst->ports = xmemdup(src->ports, src->n * sizeof *src->ports);
        dst->n = dst->allocated = src->n;
    }
}

bool
iface_set_add(struct iface_set *set, const char *id, const char *mac)
{
    struct iface_port *port;
    struct eth_addr ea;

    if (!record_is_iface(id)) {
        return false;
    }
    if (set->n >= set->allocated) {
        set->ports = x2nrealloc(set->ports, &set->allocated,
                                sizeof *set->ports);
    }
    port = &set->ports[set->n++];
    memset(port, 0, sizeof *port);
    ovs_strlcpy(port->id, id, sizeof port->id);
    if (mac && eth_addr_from_string(mac, &ea) && !eth_addr_is_zero(ea)
        && !eth_addr_is_multicast(ea)) {
        memcpy(&port->mac, &ea, sizeof port->mac);
    }
    return true;
}

static int
compare_ports(const void *a_, const void *b_)
{
    const struct iface_port *a = a_, *b = b_;

    return strcmp(a->id, b->id);
}

/* By id, and then so that the order in which they were added is no matter. */
static int
compare_fully(const void *a_, const void *b_)
{
    const struct iface_port *a = a_, *b = b_;
    int cmp = compare_ports(a, b);

    return cmp ? cmp : memcmp(&a->mac, &b->mac, sizeof a->mac);
}

static const struct iface_port *
find(const struct iface_set *set, const struct iface_port *port)
{
    return (set->n ? bsearch(port, set->ports, set->n, sizeof *port,
                             compare_ports) : NULL);
}

size_t
iface_set_finish(struct iface_set *set, const struct iface_set *before,
                 long long int now)
{
    size_t n = 0, n_more;

    if (set->n) {
        qsort(set->ports, set->n, sizeof *set->ports, compare_fully);
    }
    for (size_t i = 0; i < set->n; i++) {
        struct iface_port *port = &set->ports[i];
        const struct iface_port *old = before ? find(before, port) : NULL;

        if (!n || strcmp(set->ports[n - 1].id, port->id)) {
            port->since = old ? old->since : before ? now : LLONG_MIN;
            set->ports[n++] = *port;
        }
    }
    set->n = MIN(n, (size_t) CLAIMS_MAX);
    n_more = n - set->n;
    return n_more;
}

static bool
is_same(const struct iface_port *a, const struct iface_port *b)
{
    return (!compare_fully(a, b) && a->since == b->since);
}

bool
iface_set_equal(const struct iface_set *a, const struct iface_set *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (!is_same(&a->ports[i], &b->ports[i])) {
            return false;
        }
    }
    return true;
}

static uint32_t
age_of(const struct iface_port *port, long long int now)
{
    return (port->since == LLONG_MIN ? CLAIMS_LONG_AGO
            : MIN(MAX(now - port->since, 0), CLAIMS_LONG_AGO - 1));
}

void
iface_set_diff(const struct iface_set *from, const struct iface_set *to,
               long long int now, struct claims *claims)
{
    *claims = (struct claims) {
        .all = !from,
        .here = xcalloc(to->n + 1, sizeof *claims->here),
        .gone = xcalloc(from ? from->n + 1 : 1, sizeof *claims->gone),
    };
    for (size_t i = 0; i < to->n; i++) {
        const struct iface_port *port = &to->ports[i];
        const struct iface_port *old = from ? find(from, port) : NULL;

        if (!old || !is_same(old, port)) {
            struct claim *claim = &claims->here[claims->n_here++];

            ovs_strlcpy(claim->iface, port->id, sizeof claim->iface);
            claim->mac = port->mac;
            claim->age_ms = age_of(port, now);
        }
    }
    for (size_t i = 0; from && i < from->n; i++) {
        if (!find(to, &from->ports[i])) {
            ovs_strlcpy(claims->gone[claims->n_gone++], from->ports[i].id,
                        sizeof *claims->gone);
        }
    }
}
