#include <config.h>

#include "vswitchd-ext/health.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/engine.h"
#include "dp-packet.h"
#include "hash.h"
#include "mapping/replica/replica.h"
#include "openvswitch/hmap.h"
#include "openvswitch/poll-loop.h"
#include "ovs-rcu.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/health-frame.h"
#include "vswitchd-ext/health-probe.h"
#include "vswitchd-ext/health-report.h"
#include "vswitchd-ext/health-tap.h"
#include "vswitchd-ext/netdev-anycast.h"

struct health {
    struct hmap probes;         /* struct health_probe, by group and index. */
    uint64_t generation;        /* Of the replica, that they are from. */
    uint16_t next_port;
    long long int due;          /* Of the first probe. */
    struct health_report report;
};

struct health *
health_create(void)
{
    struct health *h = xzalloc(sizeof *h);

    hmap_init(&h->probes);
    h->due = LLONG_MAX;
    return h;
}

void
health_destroy(struct health *h)
{
    struct health_probe *p;

    if (h) {
        HMAP_FOR_EACH_POP (p, node, &h->probes) {
            free(p);
        }
        hmap_destroy(&h->probes);
        health_tap_set(NULL, 0);
        free(h);
    }
}

/* What is to be checked. */

static struct health_probe *
find(const struct health *h, uint32_t group, uint16_t endpoint)
{
    struct health_probe *p;

    HMAP_FOR_EACH_WITH_HASH (p, node, hash_2words(group, endpoint),
                             &h->probes) {
        if (p->group == group && p->endpoint == endpoint) {
            return p;
        }
    }
    return NULL;
}

static struct health_probe *
add(struct health *h, uint32_t group, uint16_t endpoint)
{
    struct health_probe *p = xmalloc(sizeof *p);

    health_probe_init(p, group, endpoint, time_msec());
    hmap_insert(&h->probes, &p->node, hash_2words(group, endpoint));
    return p;
}

/* Where checks come from.  ND needs an address: one of the virtual router's,
 * link-local (RFC 4291 appendix A), if none is configured; ARP can do
 * without. */
static struct inet_addr
find_source(const struct record_group *r, const struct mac *router)
{
    const uint8_t *o = router->octet;
    struct inet_addr source = r->health.source;

    if (!source.hi && !source.lo
        && !inet_addr_is4(inet_addr_from_bytes(r->address))) {
        source.hi = UINT64_C(0xfe80) << 48;
        source.lo = ((uint64_t) (o[0] ^ 2) << 56 | (uint64_t) o[1] << 48
                     | (uint64_t) o[2] << 40 | UINT64_C(0xfffe) << 24
                     | o[3] << 16 | o[4] << 8 | o[5]);
    }
    return source;
}

static void
configure(struct health_probe *p, const struct record_group *r,
          const struct record_endpoint *e)
{
    struct mac router = engine_router_mac(r->vni);

    health_probe_configure(p, &r->health, time_msec());
    p->vni = r->vni;
    ovs_strlcpy(p->name, e->name, sizeof p->name);
    memcpy(&p->path.router, &router, sizeof p->path.router);
    memcpy(&p->path.endpoint, &e->mac, sizeof p->path.endpoint);
    p->path.address = inet_addr_from_bytes(r->address);
    p->path.source = find_source(r, &router);
    p->dst_port = r->health.port ? r->health.port : r->port;
}

/* Of ARP without a source, the answer is for 0.0.0.0. */
static struct inet_addr
tapped_address(const struct health_probe *p)
{
    return (p->path.source.hi || p->path.source.lo ? p->path.source
            : inet_addr_from4(0));
}

/* The addresses that answers to probes go to, in '*sp', which is the caller's.
 * Returns how many there are. */
static size_t
collect_sources(const struct health *h, struct health_tap_source **sp)
{
    struct health_tap_source *s
        = xcalloc(hmap_count(&h->probes) + 1, sizeof *s);
    const struct health_probe *p;
    size_t n = 0;

    HMAP_FOR_EACH (p, node, &h->probes) {
        struct inet_addr address = tapped_address(p);
        size_t i = 0;

        while (i < n && (s[i].vni != p->vni
                         || !inet_addr_equal(s[i].address, address))) {
            i++;
        }
        s[i] = (struct health_tap_source) { p->vni, address };
        n = MAX(n, i + 1);
    }
    *sp = s;
    return n;
}

static void
set_probes(struct health *h, const struct replica *replica, const char *self)
{
    const struct replica_group *group;
    struct health_probe *p;

    HMAP_FOR_EACH (group, node, &replica->groups) {
        for (size_t i = 0; (i < group->n_endpoints
                            && group->record.health.check != HEALTH_NONE);
             i++) {
            const struct replica_endpoint *e = &group->endpoints[i];

            if (e->record.state != ENDPOINT_DOWN
                && record_is_bound(&e->record)
                && !strcmp(e->record.host, self)) {
                p = find(h, group->id, e->index);
                p = p ? p : add(h, group->id, e->index);
                configure(p, &group->record, &e->record);
                p->seen = true;
            }
        }
    }
    HMAP_FOR_EACH_SAFE (p, node, &h->probes) {
        if (!p->seen) {
            hmap_remove(&h->probes, &p->node);
            free(p);
        } else {
            p->seen = false;
        }
    }
}

/* Takes long if there are many groups: so nobody is to wait for this thread,
 * until it sets the tap, which frees by RCU. */
static void
follow(struct health *h, const struct replica *replica, const char *self)
{
    struct health_tap_source *sources;
    size_t n;

    ovsrcu_quiesce_start();
    set_probes(h, replica, self);
    n = collect_sources(h, &sources);
    ovsrcu_quiesce_end();
    health_tap_set(sources, n);
    free(sources);
    h->due = time_msec();
}

/* Checking. */

static void
note_verdict(struct health *h, struct health_probe *p)
{
    h->report.is_due |= p->is_new;
    p->is_new = false;
}

/* For the address that checks come from we answer ARP and ND as well. */
static void
take_frame(struct health *h, uint32_t vni, const struct health_frame *f)
{
    const struct health_probe *sender = NULL;
    struct health_probe *p;

    HMAP_FOR_EACH (p, node, &h->probes) {
        if (health_probe_is_sender(p, vni, f)) {
            sender = p;
        }
        if (f->kind == HEALTH_FRAME_QUESTION && p->vni == vni
            && inet_addr_equal(f->to, p->path.source)) {
            netdev_anycast_deliver(vni, health_frame_answer(&p->path, f));
            return;
        } else if (health_probe_take(p, vni, f, time_msec())) {
            note_verdict(h, p);
            return;
        }
    }
    if (sender && f->kind == HEALTH_FRAME_TCP) {
        health_probe_reset_late(sender, &f->tcp);
    }
}

static void
take_answers(struct health *h)
{
    struct dp_packet *packet;
    struct health_frame f;
    uint32_t vni;

    for (int i = 0; (i < HEALTH_TAP_MAX
                     && (packet = health_tap_take(&vni))); i++) {
        health_frame_parse(packet, &f);
        take_frame(h, vni, &f);
        dp_packet_delete(packet);
        h->due = time_msec();
    }
}

static void
run_probes(struct health *h)
{
    struct health_probe *p;

    h->due = LLONG_MAX;
    HMAP_FOR_EACH (p, node, &h->probes) {
        h->due = MIN(h->due, health_probe_run(p, &h->next_port, time_msec()));
        note_verdict(h, p);
    }
}

void
health_run(struct health *h, const struct replica *replica, const char *self,
           struct mapd_session *session)
{
    if (h->generation != replica->generation) {
        h->generation = replica->generation;
        follow(h, replica, self);
    }
    take_answers(h);
    if (time_msec() >= h->due) {
        run_probes(h);
    }
    health_report_run(&h->report, &h->probes, session, time_msec());
}

void
health_wait(const struct health *h)
{
    if (!hmap_is_empty(&h->probes)) {
        health_tap_wait();
        poll_timer_wait_until(h->due);
    }
    health_report_wait(&h->report);
}
