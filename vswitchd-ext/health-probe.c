/* A check is at most a SYN, its answer, a request, the first bytes of its
 * answer, and a reset: no connection outlives its check.  There is no kernel
 * in the tenant's network, so the frames are made here, come out of the
 * anycast port as the virtual router's, and what endpoints answer to
 * `health_source` is taken off the packet path (health-tap.h). */

#include <config.h>

#include "vswitchd-ext/health-probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "openvswitch/vlog.h"
#include "packets.h"
#include "random.h"
#include "util.h"
#include "vswitchd-ext/address.h"
#include "vswitchd-ext/netdev-anycast.h"

VLOG_DEFINE_THIS_MODULE(health_probe);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(10, 10);

enum {
    FIRST_PORT  = 32768,        /* Checks come from this one and above. */
    N_PORTS     = 28000,
    REQUEST_MAX = 256,          /* Bytes of a request of HTTP. */
};

void
health_probe_init(struct health_probe *p, uint32_t group, uint16_t endpoint,
                  long long int now)
{
    memset(p, 0, sizeof *p);
    p->group = group;
    p->endpoint = endpoint;
    p->healthy = true;
    p->next = now;
}

void
health_probe_configure(struct health_probe *p, const struct record_health *c,
                       long long int now)
{
    if (memcmp(&p->config, c, sizeof p->config)) {
        p->config = *c;
        p->next = now;
        p->waits = p->is_spread = false;
    }
}

/* Verdicts. */

static void
set_healthy(struct health_probe *p, bool healthy, const char *why)
{
    if (p->healthy != healthy) {
        VLOG_INFO_RL(&rl, "endpoint %s of group %"PRIu32" is %s%s%s", p->name,
                     p->group, healthy ? "healthy" : "unhealthy",
                     *why ? ": " : "", why);
    }
    p->healthy = healthy;
    p->decided = true;
    p->is_new = true;
}

/* Endpoints that have come together are not to be checked together for ever:
 * the second check comes after half an interval, or more. */
static void
schedule(struct health_probe *p, long long int now)
{
    p->next += p->config.interval;
    if (!p->is_spread) {
        p->is_spread = true;
        p->next -= random_range(p->config.interval / 2);
    }
    p->next = MAX(p->next, now);
}

/* The check has come to an end.  'why' NULL: all is well. */
static void
conclude(struct health_probe *p, const char *why, long long int now)
{
    p->waits = false;
    schedule(p, now);
    if (!why) {
        p->n_bad = 0;
        p->n_good++;
        if (!p->decided || (!p->healthy && p->n_good >= p->config.rise)) {
            p->why[0] = '\0';
            set_healthy(p, true, "");
        }
    } else {
        p->n_good = 0;
        p->n_bad++;
        ovs_strlcpy(p->why, why, sizeof p->why);
        if (p->n_bad >= p->config.fall && (p->healthy || !p->decided)) {
            set_healthy(p, false, why);
        }
    }
}

/* Sending. */

static void
send_tcp(const struct health_probe *p, uint32_t ack, uint16_t flags,
         const char *data, size_t n)
{
    netdev_anycast_deliver(p->vni, health_frame_tcp(
                               &p->path, &(struct health_tcp) {
        .src_port = p->src_port, .dst_port = p->dst_port,
        .seq = p->seq, .ack = ack, .flags = flags, .data = data, .n = n }));
}

static void
begin(struct health_probe *p, uint16_t *next_port, long long int now)
{
    p->src_port = FIRST_PORT + (*next_port)++ % N_PORTS;
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

long long int
health_probe_run(struct health_probe *p, uint16_t *next_port,
                 long long int now)
{
    if (p->waits && now >= p->next + p->config.timeout) {
        if (p->requested) {
            send_tcp(p, 0, TCP_RST, NULL, 0);
        }
        conclude(p, p->requested ? "no answer to the request" : "no answer",
                 now);
    }
    if (!p->waits && now >= p->next) {
        begin(p, next_port, now);
    }
    return p->waits ? p->next + p->config.timeout : p->next;
}

/* Answers. */

static void
send_request(struct health_probe *p, const struct health_tcp *t)
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
judge_status(struct health_probe *p, const struct health_tcp *t,
             long long int now)
{
    unsigned int minor, status;
    char line[16], why[32];

    snprintf(line, sizeof line, "%.*s", (int) MIN(t->n, sizeof line - 1),
             t->data);
    if (sscanf(line, "HTTP/1.%1u %3u", &minor, &status) != 2) {
        conclude(p, "an answer that is not HTTP/1", now);
    } else if (status != p->config.status) {
        snprintf(why, sizeof why, "status %u", status);
        conclude(p, why, now);
    } else {
        conclude(p, NULL, now);
    }
}

static void
take_tcp(struct health_probe *p, const struct health_tcp *t,
         long long int now)
{
    if (t->flags & TCP_RST) {
        if (t->flags & TCP_ACK && t->ack == p->seq) {
            conclude(p, p->requested ? "connection reset" : "refused", now);
        }
    } else if (!p->requested && (t->flags & (TCP_SYN | TCP_ACK))
                                == (TCP_SYN | TCP_ACK) && t->ack == p->seq) {
        if (p->config.check == HEALTH_HTTP) {
            send_request(p, t);
        } else {
            send_tcp(p, 0, TCP_RST, NULL, 0);
            conclude(p, NULL, now);
        }
    } else if (p->requested && (t->n || t->flags & TCP_FIN)) {
        send_tcp(p, 0, TCP_RST, NULL, 0);
        judge_status(p, t, now);
    }
}

/* Whether 'f', from tenant 'vni', is the answer that 'p' waits for. */
static bool
is_answer(const struct health_probe *p, uint32_t vni,
          const struct health_frame *f)
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

bool
health_probe_take(struct health_probe *p, uint32_t vni,
                  const struct health_frame *f, long long int now)
{
    if (!is_answer(p, vni, f)) {
        return false;
    } else if (f->kind == HEALTH_FRAME_TCP) {
        take_tcp(p, &f->tcp, now);
    } else {
        conclude(p, NULL, now);
    }
    return true;
}

bool
health_probe_is_sender(const struct health_probe *p, uint32_t vni,
                       const struct health_frame *f)
{
    return (p->vni == vni && inet_addr_equal(f->from, p->path.address)
            && inet_addr_equal(f->to, p->path.source)
            && !memcmp(&f->mac, &p->path.endpoint, sizeof f->mac));
}

void
health_probe_reset_late(const struct health_probe *p,
                        const struct health_tcp *t)
{
    if ((t->flags & (TCP_ACK | TCP_RST)) == TCP_ACK) {
        netdev_anycast_deliver(p->vni, health_frame_tcp(
                                   &p->path, &(struct health_tcp) {
            .src_port = t->dst_port, .dst_port = t->src_port,
            .seq = t->ack, .flags = TCP_RST }));
    }
}
