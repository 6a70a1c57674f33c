/* A check is at most a SYN, its answer, a request, the first bytes of its
 * answer, and a reset: no connection outlives its check.  There is no kernel
 * in the tenant's network, so the frames are made here, come out of the
 * anycast port as the virtual router's, and what endpoints answer to
 * `health_source` is taken off the packet path (health-tap.h).  For that
 * address we answer ARP and ND as well. */

#include <config.h>

#include "vswitchd-ext/health.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/engine.h"
#include "dp-packet.h"
#include "hash.h"
#include "mapping/replica/replica.h"
#include "mapping/report.h"
#include "openvswitch/hmap.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "random.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/address.h"
#include "vswitchd-ext/health-frame.h"
#include "vswitchd-ext/health-tap.h"
#include "vswitchd-ext/mapd-session.h"
#include "vswitchd-ext/netdev-anycast.h"

VLOG_DEFINE_THIS_MODULE(health);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(10, 10);

enum {
    FIRST_PORT  = 32768,        /* Checks come from this one and above. */
    N_PORTS     = 28000,
    REPORT_MS   = 250,          /* Between two reports. */
    REPEAT_MS   = 5000,         /* What is unwell is told again. */
    REQUEST_MAX = 256,          /* Bytes of a request of HTTP. */
};

struct probe {
    struct hmap_node node;      /* In health->probes, by group and index. */
    uint32_t group, vni;        /* Id of the group. */
    uint16_t endpoint;          /* Index. */
    record_name name;           /* For the log. */
    struct record_health config;
    struct health_path path;
    uint16_t dst_port;
    bool seen;                  /* It is still to be checked. */

    long long int next;         /* When to begin or give up. */
    bool waits;                 /* For an answer, in ... */
    bool requested;             /* ... the second half, of HTTP. */
    uint16_t src_port;          /* Or id of echoes. */
    uint32_t seq;               /* Of the next byte we send; echoes: number. */

    unsigned int n_good, n_bad; /* In a row. */
    bool decided, healthy;
    bool known, told;           /* mapd knows that it is 'told'. */
    char why[REPORT_WHY_MAX + 1];
};

struct health {
    struct hmap probes;
    uint64_t generation;        /* Of the replica, that they are from. */
    uint16_t next_port;
    long long int due;          /* Of the first probe. */
    unsigned int registration;  /* At which all was told; 0: none. */
    long long int report_at, repeat_at;
    bool reports;               /* There is something to tell. */
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
    struct probe *p;

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

static struct probe *
find(const struct health *h, uint32_t group, uint16_t endpoint)
{
    struct probe *p;

    HMAP_FOR_EACH_WITH_HASH (p, node, hash_2words(group, endpoint),
                             &h->probes) {
        if (p->group == group && p->endpoint == endpoint) {
            return p;
        }
    }
    return NULL;
}

static struct probe *
add(struct health *h, uint32_t group, uint16_t endpoint)
{
    struct probe *p = xzalloc(sizeof *p);

    p->group = group;
    p->endpoint = endpoint;
    p->healthy = true;
    p->next = time_msec();
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
configure(struct probe *p, const struct record_group *r,
          const struct record_endpoint *e)
{
    struct mac router = engine_router_mac(r->vni);

    if (memcmp(&p->config, &r->health, sizeof p->config)) {
        p->config = r->health;
        p->next = time_msec();
        p->waits = false;
    }
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
tapped_address(const struct probe *p)
{
    return (p->path.source.hi || p->path.source.lo ? p->path.source
            : inet_addr_from4(0));
}

/* Has answers to all probes taken off the packet path. */
static void
set_tap(const struct health *h)
{
    struct health_tap_source *s
        = xcalloc(hmap_count(&h->probes) + 1, sizeof *s);
    const struct probe *p;
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
    health_tap_set(s, n);
    free(s);
}

static void
follow(struct health *h, const struct replica *replica, const char *self)
{
    const struct replica_group *group;
    struct probe *p;

    HMAP_FOR_EACH (group, node, &replica->groups) {
        for (size_t i = 0; (i < group->n_endpoints
                            && group->record.health.check != HEALTH_NONE);
             i++) {
            const struct replica_endpoint *e = &group->endpoints[i];

            if (e->record.state != ENDPOINT_DOWN
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
    set_tap(h);
    h->due = time_msec();
}

/* Verdicts. */

static void
set_healthy(struct health *h, struct probe *p, bool healthy, const char *why)
{
    if (p->healthy != healthy) {
        VLOG_INFO_RL(&rl, "endpoint %s of group %"PRIu32" is %s%s%s", p->name,
                     p->group, healthy ? "healthy" : "unhealthy",
                     *why ? ": " : "", why);
    }
    p->healthy = healthy;
    p->decided = true;
    h->reports = true;
}

/* The check has come to an end.  'why' NULL: all is well. */
static void
conclude(struct health *h, struct probe *p, const char *why)
{
    p->waits = false;
    p->next += p->config.interval;
    p->next = MAX(p->next, time_msec());
    if (!why) {
        p->n_bad = 0;
        p->n_good++;
        if (!p->decided || (!p->healthy && p->n_good >= p->config.rise)) {
            p->why[0] = '\0';
            set_healthy(h, p, true, "");
        }
    } else {
        p->n_good = 0;
        p->n_bad++;
        ovs_strlcpy(p->why, why, sizeof p->why);
        if (p->n_bad >= p->config.fall && (p->healthy || !p->decided)) {
            set_healthy(h, p, false, why);
        }
    }
}

/* Sending. */

static void
send_tcp(const struct probe *p, uint32_t ack, uint16_t flags,
         const char *data, size_t n)
{
    netdev_anycast_deliver(p->vni, health_frame_tcp(
                               &p->path, &(struct health_tcp) {
        .src_port = p->src_port, .dst_port = p->dst_port,
        .seq = p->seq, .ack = ack, .flags = flags, .data = data, .n = n }));
}

static void
begin(struct health *h, struct probe *p)
{
    long long int now = time_msec();

    p->src_port = FIRST_PORT + h->next_port++ % N_PORTS;
    p->seq = random_uint32();
    p->waits = true;
    p->requested = false;
    p->next = now;
    switch ((enum record_health_type) p->config.check) {
    case HEALTH_TCP:
    case HEALTH_HTTP:
        send_tcp(p, 0, TCP_SYN, NULL, 0);
        p->seq++;
        break;
    case HEALTH_ICMP:
        netdev_anycast_deliver(p->vni, health_frame_echo(
                                   &p->path, p->src_port, p->seq));
        break;
    case HEALTH_ARP:
        netdev_anycast_deliver(p->vni, health_frame_ask(&p->path));
        break;
    case HEALTH_NONE:
        OVS_NOT_REACHED();
    }
}

/* Begins or gives up what is due; returns when the next one is. */
static long long int
run_probe(struct health *h, struct probe *p)
{
    long long int now = time_msec();

    if (p->waits && now >= p->next + p->config.timeout) {
        if (p->requested) {
            send_tcp(p, 0, TCP_RST, NULL, 0);
        }
        conclude(h, p, p->requested ? "no answer to the request"
                 : "no answer");
    }
    if (!p->waits && now >= p->next) {
        begin(h, p);
    }
    return p->waits ? p->next + p->config.timeout : p->next;
}

/* Answers. */

static void
send_request(struct probe *p, const struct health_tcp *t)
{
    char address[INET6_ADDRSTRLEN], request[REQUEST_MAX];
    bool is4 = inet_addr_is4(p->path.address);
    int n;

    n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n"
                 "Host: %s%s%s:%u\r\nUser-Agent: grapnel\r\n"
                 "Connection: close\r\n\r\n", p->config.path, is4 ? "" : "[",
                 address_format(p->path.address, address), is4 ? "" : "]",
                 p->dst_port);
    ovs_assert(n > 0 && n < REQUEST_MAX);
    send_tcp(p, t->seq + 1, TCP_ACK | TCP_PSH, request, n);
    p->seq += n;
    p->requested = true;
}

/* "HTTP/1.1 200 OK". */
static void
judge_status(struct health *h, struct probe *p, const struct health_tcp *t)
{
    unsigned int minor, status;
    char line[16], why[32];

    snprintf(line, sizeof line, "%.*s", (int) MIN(t->n, sizeof line - 1),
             t->data);
    if (sscanf(line, "HTTP/1.%1u %3u", &minor, &status) != 2) {
        conclude(h, p, "an answer that is not HTTP/1");
    } else if (status != p->config.status) {
        snprintf(why, sizeof why, "status %u", status);
        conclude(h, p, why);
    } else {
        conclude(h, p, NULL);
    }
}

static void
take_tcp(struct health *h, struct probe *p, const struct health_tcp *t)
{
    if (t->flags & TCP_RST) {
        if (t->flags & TCP_ACK && t->ack == p->seq) {
            conclude(h, p, p->requested ? "connection reset" : "refused");
        }
    } else if (!p->requested && (t->flags & (TCP_SYN | TCP_ACK))
                                == (TCP_SYN | TCP_ACK) && t->ack == p->seq) {
        if (p->config.check == HEALTH_HTTP) {
            send_request(p, t);
        } else {
            send_tcp(p, 0, TCP_RST, NULL, 0);
            conclude(h, p, NULL);
        }
    } else if (p->requested && (t->n || t->flags & TCP_FIN)) {
        send_tcp(p, 0, TCP_RST, NULL, 0);
        judge_status(h, p, t);
    }
}

/* Whether 'f', from tenant 'vni', is the answer that 'p' waits for. */
static bool
is_answer(const struct probe *p, uint32_t vni, const struct health_frame *f)
{
    if (!p->waits || p->vni != vni
        || !inet_addr_equal(f->from, p->path.address)
        || memcmp(&f->mac, &p->path.endpoint, sizeof f->mac)) {
        return false;
    }
    switch ((enum record_health_type) p->config.check) {
    case HEALTH_TCP:
    case HEALTH_HTTP:
        return (f->kind == HEALTH_FRAME_TCP
                && f->tcp.dst_port == p->src_port
                && f->tcp.src_port == p->dst_port);
    case HEALTH_ICMP:
        return (f->kind == HEALTH_FRAME_ECHO && f->id == p->src_port
                && f->seq == (uint16_t) p->seq);
    case HEALTH_ARP:
        return f->kind == HEALTH_FRAME_NEIGHBOUR;
    case HEALTH_NONE:
        break;
    }
    return false;
}

/* An endpoint that answers after its check was given up must not keep half a
 * connection. */
static void
reset_late(const struct probe *p, const struct health_tcp *t)
{
    if ((t->flags & (TCP_ACK | TCP_RST)) == TCP_ACK) {
        netdev_anycast_deliver(p->vni, health_frame_tcp(
                                   &p->path, &(struct health_tcp) {
            .src_port = t->dst_port, .dst_port = t->src_port,
            .seq = t->ack, .flags = TCP_RST }));
    }
}

static void
take_frame(struct health *h, uint32_t vni, const struct health_frame *f)
{
    const struct probe *sender = NULL;
    struct probe *p;

    HMAP_FOR_EACH (p, node, &h->probes) {
        if (p->vni == vni && inet_addr_equal(f->from, p->path.address)
            && inet_addr_equal(f->to, p->path.source)
            && !memcmp(&f->mac, &p->path.endpoint, sizeof f->mac)) {
            sender = p;
        }
        if (f->kind == HEALTH_FRAME_QUESTION && p->vni == vni
            && inet_addr_equal(f->to, p->path.source)) {
            netdev_anycast_deliver(vni, health_frame_answer(&p->path, f));
            return;
        } else if (is_answer(p, vni, f)) {
            if (f->kind == HEALTH_FRAME_TCP) {
                take_tcp(h, p, &f->tcp);
            } else {
                conclude(h, p, NULL);
            }
            return;
        }
    }
    if (sender && f->kind == HEALTH_FRAME_TCP) {
        reset_late(sender, &f->tcp);
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

/* Reporting. */

static bool
is_all_decided(const struct health *h)
{
    const struct probe *p;

    HMAP_FOR_EACH (p, node, &h->probes) {
        if (!p->decided) {
            return false;
        }
    }
    return true;
}

static bool
is_news(const struct probe *p)
{
    return p->decided && (!p->known || p->healthy != p->told);
}

/* Tells what has changed; or all, of which that is well goes without
 * saying. */
static void
tell(struct health *h, bool all, struct mapd_session *session)
{
    struct report_health *rows = xcalloc(REPORT_MAX, sizeof *rows);
    struct probe *p;
    size_t n = 0;

    h->reports = false;
    HMAP_FOR_EACH (p, node, &h->probes) {
        if (!is_news(p)) {
            continue;
        } else if (n == REPORT_MAX) {
            h->reports = true;
            break;
        }
        rows[n].group = p->group;
        rows[n].endpoint = p->endpoint;
        rows[n].healthy = p->told = p->healthy;
        p->known = true;
        ovs_strlcpy(rows[n++].why, p->healthy ? "" : p->why,
                    sizeof rows->why);
    }
    if (n || all) {
        mapd_session_report(session, "health",
                            report_health_to_json(all, rows, n));
    }
    free(rows);
}

/* mapd takes endpoints for well that are new, moved here, or up again, and
 * several such changes may come to us as none at all. */
static void
repeat(struct health *h)
{
    struct probe *p;

    HMAP_FOR_EACH (p, node, &h->probes) {
        if (p->decided && !p->healthy) {
            p->known = false;
            h->reports = true;
        }
    }
    h->repeat_at = time_msec() + REPEAT_MS;
}

/* mapd keeps what it knows of us until we know better, all of it. */
static void
report(struct health *h, struct mapd_session *session)
{
    unsigned int registration = mapd_session_n_registrations(session);
    long long int now = time_msec();
    bool all = h->registration != registration;

    if (!mapd_session_is_registered(session) || (all && !is_all_decided(h))) {
        h->reports = false;     /* All is to be told, with this. */
        return;
    }
    if (now >= h->repeat_at) {
        repeat(h);
    }
    h->reports |= all;
    if (!h->reports || now < h->report_at) {
        return;
    }
    if (all) {
        struct probe *p;

        HMAP_FOR_EACH (p, node, &h->probes) {
            p->known = p->told = true;
        }
    }
    tell(h, all, session);
    h->registration = registration;
    h->report_at = now + REPORT_MS;
}

void
health_run(struct health *h, const struct replica *replica, const char *self,
           struct mapd_session *session)
{
    struct probe *p;

    if (h->generation != replica->generation) {
        h->generation = replica->generation;
        follow(h, replica, self);
    }
    take_answers(h);
    if (time_msec() >= h->due) {
        h->due = LLONG_MAX;
        HMAP_FOR_EACH (p, node, &h->probes) {
            h->due = MIN(h->due, run_probe(h, p));
        }
    }
    report(h, session);
}

void
health_wait(const struct health *h)
{
    if (!hmap_is_empty(&h->probes)) {
        health_tap_wait();
        poll_timer_wait_until(h->due);
    }
    if (h->reports) {
        poll_timer_wait_until(h->report_at);
    }
}
