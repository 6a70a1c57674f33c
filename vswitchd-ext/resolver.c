#include <config.h>

#include "vswitchd-ext/resolver.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/hmap.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/address.h"
#include "vswitchd-ext/rtnl.h"

VLOG_DEFINE_THIS_MODULE(resolver);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

enum {
    /* How often a way that is known is looked at again: some changes come
     * without news (policy rules), and the kernel must hear that a neighbour
     * is in use well before it forgets it (gc_stale_time, 60 s). */
    CHECK_INTERVAL_MS = 10000,
    RETRY_INTERVAL_MS = 1000,   /* And one that is not. */
    NEWS_INTERVAL_MS  = 100,    /* News is acted upon this often at most. */
};

/* The way to one VTEP. */
struct target {
    struct hmap_node node;      /* In resolver->targets, by 'vtep'. */
    struct inet_addr vtep;
    bool used;                  /* Looked up since the last forgetting. */
    bool stale;                 /* The kernel may say something else now. */
    long long int check_at;     /* When to ask in any case. */

    /* The newest route; 'ifindex' is 0 if there is none to use. */
    int ifindex;
    struct inet_addr next_hop;

    /* The last way that was known from end to end. */
    bool known;                 /* There is one. */
    bool current;               /* It is that of the newest route. */
    struct resolver_hop hop;

    int trouble;                /* Last errno reported, 0: none. */

    int error;                  /* The newest answer: an errno, 0: known. */
    long long int missing_since; /* While not 'known'. */
    bool gave_up;               /* Nor has it been for long. */
};

struct resolver {
    struct rtnl *rtnl;
    struct hmap targets;
    uint64_t seqno;             /* Of the results. */
    bool any_stale;
    long long int news_at;      /* When to act upon news again. */

    /* Where frames start. */
    struct inet_addr src_ip;    /* ADDRESS_NONE: any. */
    int ifindex;
    bool src_checked;           /* 'src_is_local' is known. */
    bool src_is_local;
};

int
resolver_create(struct resolver **resolverp)
{
    struct resolver *r = xzalloc(sizeof *r);
    int error = rtnl_open(&r->rtnl);

    if (error) {
        free(r);
        return error;
    }
    hmap_init(&r->targets);
    *resolverp = r;
    return 0;
}

void
resolver_destroy(struct resolver *r)
{
    struct target *target;

    if (r) {
        HMAP_FOR_EACH_POP (target, node, &r->targets) {
            free(target);
        }
        hmap_destroy(&r->targets);
        rtnl_close(r->rtnl);
        free(r);
    }
}

static void
mark_stale(struct resolver *r, struct target *target)
{
    target->stale = true;
    r->any_stale = true;
}

static void
mark_all_stale(struct resolver *r)
{
    struct target *target;

    r->src_checked = false;
    HMAP_FOR_EACH (target, node, &r->targets) {
        mark_stale(r, target);
    }
}

/* Asking the kernel. */

/* The source address to ask with: the kernel refuses one that it does not
 * have. */
static struct inet_addr
get_source(struct resolver *r)
{
    struct rtnl_route route;

    if (!r->src_checked) {
        /* A route to oneself is how the kernel says that one is local. */
        int error = (address_is_set(r->src_ip)
                     ? rtnl_get_route(r->rtnl, r->src_ip, ADDRESS_NONE, &route)
                     : 0);

        r->src_is_local = error == EHOSTUNREACH;
        r->src_checked = error != EAGAIN;
    }
    return r->src_is_local ? r->src_ip : ADDRESS_NONE;
}

/* Whether a frame from here to 'vtep' can have addresses of one family. */
static bool
can_address(const struct resolver *r, struct inet_addr vtep)
{
    return (!address_is_set(r->src_ip)
            || inet_addr_is4(r->src_ip) == inet_addr_is4(vtep));
}

/* Finds 'target''s route.  As rtnl_get_route(), and EXDEV if it leads out of
 * another device than frames do, EPROTOTYPE if it is of another family. */
static int
find_route(struct resolver *r, struct target *target, uint16_t *mtu)
{
    struct rtnl_route route;
    int error;

    error = (can_address(r, target->vtep)
             ? rtnl_get_route(r->rtnl, target->vtep, get_source(r), &route)
             : EPROTOTYPE);
    if (error == EAGAIN) {
        return error;
    }
    target->ifindex = error ? 0 : route.ifindex;
    target->next_hop = error ? ADDRESS_NONE : route.next_hop;
    if (!error) {
        *mtu = route.mtu;
        if (r->ifindex && route.ifindex != r->ifindex) {
            error = EXDEV;
        }
    }
    return error;
}

/* The largest IP packet that fits through 'link' and the route to 'vtep',
 * whose own MTU is 'route_mtu' if it has any. */
static uint16_t
path_mtu(struct inet_addr vtep, uint16_t route_mtu,
         const struct rtnl_link *link)
{
    if (route_mtu) {
        return route_mtu;
    }
    return (!inet_addr_is4(vtep) && link->mtu6
            ? MIN(link->mtu, link->mtu6) : link->mtu);
}

static int
find_hop(struct resolver *r, struct target *target, struct resolver_hop *hop)
{
    struct rtnl_link link;
    uint16_t mtu = 0;
    int error;

    error = find_route(r, target, &mtu);
    if (!error) {
        error = rtnl_get_link(r->rtnl, target->ifindex, &link);
    }
    if (error) {
        return error;
    }

    error = rtnl_get_neighbour(r->rtnl, target->ifindex, target->next_hop,
                               &hop->dst_mac);
    hop->src_mac = link.mac;
    hop->mtu = path_mtu(target->vtep, mtu, &link);
    return error == EHOSTUNREACH ? EINPROGRESS : error;
}

static const char *
device_name(int ifindex, char name[IF_NAMESIZE])
{
    if (!if_indextoname(ifindex, name)) {
        snprintf(name, IF_NAMESIZE, "#%d", ifindex);
    }
    return name;
}

/* Says in 'why' what 'error' means for the way to 'target'. */
static void
explain_error(const struct resolver *r, const struct target *target,
              int error, char *why, size_t size)
{
    char wrong[IF_NAMESIZE], right[IF_NAMESIZE];
    char next_hop[INET6_ADDRSTRLEN];

    if (error == EXDEV) {
        snprintf(why, size, "its route leads to %s, but frames go to %s",
                 device_name(target->ifindex, wrong),
                 device_name(r->ifindex, right));
    } else if (error == EPROTOTYPE) {
        snprintf(why, size, "this host's own VTEP is an IPv%d address",
                 inet_addr_is4(r->src_ip) ? 4 : 6);
    } else if (error == EINPROGRESS) {
        snprintf(why, size, "its next hop %s has not answered %s yet",
                 address_format(target->next_hop, next_hop),
                 inet_addr_is4(target->next_hop) ? "ARP" : "ND");
    } else {
        snprintf(why, size, "%s", ovs_strerror(error));
    }
}

/* Says why there is no way to 'target', if that is news. */
static void
complain(const struct resolver *r, struct target *target, int error)
{
    char vtep[INET6_ADDRSTRLEN], why[RESOLVER_WHY_LEN];

    if (error == target->trouble) {
        return;
    }
    target->trouble = error;
    if (error) {
        explain_error(r, target, error, why, sizeof why);
        VLOG_WARN_RL(&rl, "no way to %s: %s",
                     address_format(target->vtep, vtep), why);
    }
}

/* Has the kernel resolve the next hop of 'target', or confirm it. */
static void
use_neighbour(struct resolver *r, const struct target *target)
{
    int error = rtnl_use_neighbour(r->rtnl, target->ifindex,
                                   target->next_hop);

    if (error) {
        char next_hop[INET6_ADDRSTRLEN];

        VLOG_WARN_RL(&rl, "cannot have %s resolved: %s",
                     address_format(target->next_hop, next_hop),
                     ovs_strerror(error));
    }
}

static void
set_hop(struct resolver *r, struct target *target,
        const struct resolver_hop *hop)
{
    if (!target->known || memcmp(&target->hop, hop, sizeof *hop)) {
        target->hop = *hop;
        target->known = true;
        target->gave_up = false;
        r->seqno++;
    }
}

static void
set_unknown(struct target *target)
{
    if (target->known) {
        target->known = false;
        target->missing_since = time_msec();
    }
}

/* Finds out the way to 'target' anew. */
static void
refresh(struct resolver *r, struct target *target)
{
    struct resolver_hop hop;
    int error;

    memset(&hop, 0, sizeof hop);
    error = find_hop(r, target, &hop);
    target->stale = false;
    target->current = !error;
    if (error != EAGAIN) {
        target->error = error;
    }
    target->check_at = time_msec() + (error ? RETRY_INTERVAL_MS
                                      : CHECK_INTERVAL_MS);
    switch (error) {
    case 0:
        set_hop(r, target, &hop);
        use_neighbour(r, target);
        complain(r, target, 0);
        break;
    case EINPROGRESS:
        /* Until the next hop is resolved, the one before has to do. */
        use_neighbour(r, target);
        complain(r, target, 0);
        break;
    case EAGAIN:
        break;
    default:
        r->seqno += target->known;
        set_unknown(target);
        complain(r, target, error);
        break;
    }
}

void
resolver_set_origin(struct resolver *r, struct inet_addr vtep, int ifindex)
{
    uint64_t seqno = r->seqno;
    struct target *target;

    if (inet_addr_equal(r->src_ip, vtep) && r->ifindex == ifindex) {
        return;
    }
    HMAP_FOR_EACH (target, node, &r->targets) {
        /* What is known leads out of another device. */
        if (ifindex && r->ifindex != ifindex) {
            set_unknown(target);
        }
    }
    r->src_ip = vtep;
    r->ifindex = ifindex;
    r->src_checked = false;
    HMAP_FOR_EACH (target, node, &r->targets) {
        refresh(r, target);
    }
    r->seqno = seqno;           /* The caller is about to look. */
}

static uint32_t
hash_vtep(struct inet_addr vtep)
{
    return hash_uint64_basis(vtep.hi, hash_uint64(vtep.lo));
}

static struct target *
find_target(const struct resolver *r, struct inet_addr vtep)
{
    struct target *target;

    HMAP_FOR_EACH_WITH_HASH (target, node, hash_vtep(vtep), &r->targets) {
        if (inet_addr_equal(target->vtep, vtep)) {
            return target;
        }
    }
    return NULL;
}

bool
resolver_lookup(struct resolver *r, struct inet_addr vtep,
                struct resolver_hop *hop)
{
    struct target *target = find_target(r, vtep);

    if (!target) {
        uint64_t seqno = r->seqno;

        target = xzalloc(sizeof *target);
        target->vtep = vtep;
        target->error = EINPROGRESS;
        target->missing_since = time_msec();
        hmap_insert(&r->targets, &target->node, hash_vtep(vtep));
        refresh(r, target);
        r->seqno = seqno;       /* The caller is told at once. */
    }
    target->used = true;
    if (target->known) {
        *hop = target->hop;
    }
    return target->known;
}

bool
resolver_gave_up(const struct resolver *r, struct inet_addr vtep)
{
    const struct target *target = find_target(r, vtep);

    return target && target->gave_up;
}

void
resolver_explain(const struct resolver *r, struct inet_addr vtep, char *why,
                 size_t size)
{
    const struct target *target = find_target(r, vtep);

    if (!target || target->known) {
        ovs_strlcpy(why, "", size);
    } else {
        explain_error(r, target, target->error, why, size);
    }
}

bool
resolver_origin_is_local(struct resolver *r)
{
    return !address_is_set(r->src_ip) || address_is_set(get_source(r));
}

void
resolver_forget_unused(struct resolver *r)
{
    struct target *target;

    HMAP_FOR_EACH_SAFE (target, node, &r->targets) {
        if (!target->used) {
            hmap_remove(&r->targets, &target->node);
            free(target);
        } else {
            target->used = false;
        }
    }
}

/* The kernel's news: most of it is about something else. */

/* The upper 'n' of 64 bits. */
static uint64_t
upper_bits(int n)
{
    return n <= 0 ? 0 : n >= 64 ? UINT64_MAX : UINT64_MAX << (64 - n);
}

static bool
covers(const struct rtnl_event *event, struct inet_addr ip)
{
    int len = event->prefix_len;

    /* An IPv6 default route is none for addresses that are only mapped. */
    return (inet_addr_is4(event->ip) == inet_addr_is4(ip)
            && !((event->ip.hi ^ ip.hi) & upper_bits(len))
            && !((event->ip.lo ^ ip.lo) & upper_bits(len - 64)));
}

/* Whether 'event' may change the way to 'target'. */
static bool
concerns(const struct rtnl_event *event, const struct target *target)
{
    switch (event->kind) {
    case RTNL_LOST:
        return true;
    case RTNL_ROUTE:
        return covers(event, target->vtep);
    case RTNL_ADDRESS:
        /* With an address, the kernel silently removes routes that use it. */
        return (covers(event, target->vtep)
                || target->ifindex == event->ifindex);
    case RTNL_LINK:
        return target->ifindex == event->ifindex;
    case RTNL_NEIGHBOUR:
        /* Neighbours change state all the time; only addresses are news. */
        return (target->ifindex == event->ifindex
                && inet_addr_equal(target->next_hop, event->ip)
                && (!target->current
                    || memcmp(&target->hop.dst_mac, &event->mac,
                              sizeof event->mac)));
    default:
        OVS_NOT_REACHED();
    }
}

static void
note_event(const struct rtnl_event *event, void *r_)
{
    struct resolver *r = r_;
    struct target *target;

    if (event->kind == RTNL_LOST
        || (event->kind == RTNL_ADDRESS
            && inet_addr_equal(event->ip, r->src_ip))) {
        mark_all_stale(r);
        return;
    }
    HMAP_FOR_EACH (target, node, &r->targets) {
        if (!target->stale && concerns(event, target)) {
            mark_stale(r, target);
        }
    }
}

static void
lose_patience(struct resolver *r, struct target *target, long long int now)
{
    if (!target->known && !target->gave_up
        && now - target->missing_since >= RESOLVER_PATIENCE_MS) {
        target->gave_up = true;
        r->seqno++;
    }
}

uint64_t
resolver_run(struct resolver *r)
{
    long long int now = time_msec();
    bool act_on_news;
    struct target *target;

    rtnl_receive(r->rtnl, note_event, r);
    act_on_news = r->any_stale && now >= r->news_at;
    HMAP_FOR_EACH (target, node, &r->targets) {
        if (now >= target->check_at || (act_on_news && target->stale)) {
            refresh(r, target);
        }
        lose_patience(r, target, now);
    }
    if (act_on_news) {
        r->any_stale = false;
        r->news_at = time_msec() + NEWS_INTERVAL_MS;
    }
    return r->seqno;
}

void
resolver_wait(struct resolver *r)
{
    struct target *target;

    rtnl_wait(r->rtnl);
    if (r->any_stale) {
        poll_timer_wait_until(r->news_at);
    }
    HMAP_FOR_EACH (target, node, &r->targets) {
        poll_timer_wait_until(target->check_at);
    }
}
