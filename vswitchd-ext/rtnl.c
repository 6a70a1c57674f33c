#include <config.h>

#include "vswitchd-ext/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/address.h"

VLOG_DEFINE_THIS_MODULE(rtnl);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

enum {
    ANSWER_TIMEOUT_MS = 1000,   /* For a whole question. */
    MAX_DATAGRAMS     = 256,    /* Of news at a time. */
    QUESTION_SIZE     = 256,
    MESSAGE_SIZE      = 32768,  /* The most that the kernel puts in one. */
};

struct rtnl {
    struct mnl_socket *query;   /* Questions. */
    struct mnl_socket *events;  /* News. */
    uint32_t query_seq;
};

static int
open_socket(unsigned int groups, int flags, struct mnl_socket **socketp)
{
    struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, flags);

    if (!nl || mnl_socket_bind(nl, groups, MNL_SOCKET_AUTOPID) < 0) {
        int error = errno;

        if (nl) {
            mnl_socket_close(nl);
        }
        return error;
    }
    *socketp = nl;
    return 0;
}

int
rtnl_open(struct rtnl **rtnlp)
{
    struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_MS / 1000 };
    struct rtnl *rtnl = xzalloc(sizeof *rtnl);
    int error;

    error = open_socket(0, SOCK_CLOEXEC, &rtnl->query);
    if (!error) {
        error = open_socket(RTMGRP_NEIGH | RTMGRP_LINK
                            | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_IFADDR
                            | RTMGRP_IPV6_ROUTE | RTMGRP_IPV6_IFADDR,
                            SOCK_CLOEXEC | SOCK_NONBLOCK, &rtnl->events);
    }
    if (!error && setsockopt(mnl_socket_get_fd(rtnl->query), SOL_SOCKET,
                             SO_RCVTIMEO, &timeout, sizeof timeout)) {
        error = errno;
    }
    if (error) {
        rtnl_close(rtnl);
        return error;
    }
    *rtnlp = rtnl;
    return 0;
}

void
rtnl_close(struct rtnl *rtnl)
{
    if (rtnl) {
        if (rtnl->query) {
            mnl_socket_close(rtnl->query);
        }
        if (rtnl->events) {
            mnl_socket_close(rtnl->events);
        }
        free(rtnl);
    }
}

/* Addresses in messages. */

enum { IPV4_PREFIX_LEN = 96 };  /* Of mapped addresses. */

static uint8_t
family_of(struct inet_addr ip)
{
    return inet_addr_is4(ip) ? AF_INET : AF_INET6;
}

static void
put_address(struct nlmsghdr *nlh, uint16_t type, struct inet_addr ip)
{
    struct in6_addr in6 = address_to_in6(ip);

    if (inet_addr_is4(ip)) {
        mnl_attr_put_u32(nlh, type, htonl(inet_addr_to4(ip)));
    } else {
        mnl_attr_put(nlh, type, sizeof in6, &in6);
    }
}

/* Reads an address of 'size' bytes of 'family' at 'data'.  False, with '*ip'
 * untouched, if it is neither IPv4's nor IPv6's. */
static bool
read_address(int family, const void *data, size_t size, struct inet_addr *ip)
{
    struct in6_addr in6;
    ovs_be32 ip4;

    if (family == AF_INET && size == sizeof ip4) {
        memcpy(&ip4, data, sizeof ip4);
        *ip = inet_addr_from4(ntohl(ip4));
    } else if (family == AF_INET6 && size == sizeof in6) {
        memcpy(&in6, data, sizeof in6);
        *ip = address_from_in6(&in6);
    } else {
        return false;
    }
    return true;
}

static bool
get_address(int family, const struct nlattr *attr, struct inet_addr *ip)
{
    return read_address(family, mnl_attr_get_payload(attr),
                        mnl_attr_get_payload_len(attr), ip);
}

/* The prefix that 'family' and 'len' describe: its length, and in '*ip' the
 * address of all its zeros, for messages that leave zeros out.  False if it is
 * neither of IPv4 nor of IPv6. */
static bool
read_prefix(int family, uint8_t len, struct rtnl_event *event)
{
    if (family == AF_INET) {
        event->ip = inet_addr_from4(0);
        event->prefix_len = IPV4_PREFIX_LEN + len;
    } else if (family == AF_INET6) {
        event->ip = ADDRESS_NONE;
        event->prefix_len = len;
    } else {
        return false;
    }
    return true;
}

/* Questions. */

/* Receives the answer to the last question into 'buf'; answers to earlier
 * ones, that came too late, are passed over.  Returns its length or a
 * negative errno. */
static ssize_t
receive_answer(struct rtnl *rtnl, void *buf, size_t size)
{
    long long int deadline = time_msec() + ANSWER_TIMEOUT_MS;

    do {
        ssize_t n = mnl_socket_recvfrom(rtnl->query, buf, size);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0 && mnl_nlmsg_ok(buf, n)
            && ((struct nlmsghdr *) buf)->nlmsg_seq == rtnl->query_seq) {
            return n;
        }
    } while (time_msec() < deadline);
    return -ETIMEDOUT;
}

/* Sends 'nlh', which calls for one message (an acknowledgement, if it asks
 * for that), and hands that to 'cb' with 'aux'.  A 'cb' that refuses sets
 * errno. */
static int
ask(struct rtnl *rtnl, struct nlmsghdr *nlh, mnl_cb_t cb, void *aux)
{
    char buf[MESSAGE_SIZE];
    ssize_t n;

    nlh->nlmsg_seq = ++rtnl->query_seq;
    if (mnl_socket_sendto(rtnl->query, nlh, nlh->nlmsg_len) < 0) {
        n = -errno;
    } else {
        n = receive_answer(rtnl, buf, sizeof buf);
    }
    if (n < 0) {
        VLOG_WARN_RL(&rl, "cannot ask the kernel over netlink: %s",
                     ovs_strerror(-n));
        return EAGAIN;
    }
    if (mnl_cb_run(buf, n, rtnl->query_seq,
                   mnl_socket_get_portid(rtnl->query), cb, aux) < 0) {
        return errno == ENOMEM || errno == ENOBUFS ? EAGAIN : errno;
    }
    return 0;
}

/* A callback's refusal. */
static int
refuse(int error)
{
    errno = error;
    return MNL_CB_ERROR;
}

static uint16_t
get_mtu(const struct nlattr *attr)
{
    return MIN(mnl_attr_get_u32(attr), UINT16_MAX);
}

/* Reads a gateway of another family than its route. */
static bool
get_via(const struct nlattr *attr, struct inet_addr *ip)
{
    const struct rtvia *via = mnl_attr_get_payload(attr);
    size_t size = mnl_attr_get_payload_len(attr);

    return (size >= sizeof *via
            && read_address(via->rtvia_family, via->rtvia_addr,
                            size - sizeof *via, ip));
}

static void
read_metrics(const struct nlattr *metrics, struct rtnl_route *route)
{
    const struct nlattr *metric;

    mnl_attr_for_each_nested (metric, metrics) {
        if (mnl_attr_get_type(metric) == RTAX_MTU) {
            route->mtu = get_mtu(metric);
        }
    }
}

static int
parse_route(const struct nlmsghdr *nlh, void *route_)
{
    const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *attr;
    struct rtnl_route *route = route_;

    if (nlh->nlmsg_type != RTM_NEWROUTE) {
        return MNL_CB_OK;
    }
    if (rtm->rtm_type != RTN_UNICAST) {
        return refuse(rtm->rtm_type == RTN_LOCAL ? EHOSTUNREACH
                      : ENETUNREACH);
    }
    mnl_attr_for_each (attr, nlh, sizeof *rtm) {
        switch (mnl_attr_get_type(attr)) {
        case RTA_OIF:
            route->ifindex = mnl_attr_get_u32(attr);
            break;
        case RTA_GATEWAY:
            get_address(rtm->rtm_family, attr, &route->next_hop);
            break;
        case RTA_VIA:
            if (!get_via(attr, &route->next_hop)) {
                return refuse(EAFNOSUPPORT);
            }
            break;
        case RTA_METRICS:
            read_metrics(attr, route);
            break;
        default:
            break;
        }
    }
    return MNL_CB_OK;
}

int
rtnl_get_route(struct rtnl *rtnl, struct inet_addr dst, struct inet_addr src,
               struct rtnl_route *routep)
{
    uint8_t all_bits = inet_addr_is4(dst) ? 32 : 128;
    struct rtnl_route route = { .next_hop = dst };
    char buf[QUESTION_SIZE];
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
    struct rtmsg *rtm;
    int error;

    nlh->nlmsg_type = RTM_GETROUTE;
    nlh->nlmsg_flags = NLM_F_REQUEST;
    rtm = mnl_nlmsg_put_extra_header(nlh, sizeof *rtm);
    rtm->rtm_family = family_of(dst);
    rtm->rtm_dst_len = all_bits;
    put_address(nlh, RTA_DST, dst);
    if (address_is_set(src)) {
        rtm->rtm_src_len = all_bits;
        put_address(nlh, RTA_SRC, src);
    }
    error = ask(rtnl, nlh, parse_route, &route);
    if (!error) {
        *routep = route;
    } else if (error != EAGAIN && error != EAFNOSUPPORT
               && error != EHOSTUNREACH) {
        /* The kernel has several words for it, one per type of route. */
        error = ENETUNREACH;
    }
    return error;
}

/* Reads what IPv6 says of a link, among what each family says of it. */
static void
read_mtu6(const struct nlattr *families, struct rtnl_link *link)
{
    const struct nlattr *family, *attr;

    mnl_attr_for_each_nested (family, families) {
        if (mnl_attr_get_type(family) != AF_INET6) {
            continue;
        }
        mnl_attr_for_each_nested (attr, family) {
            const uint32_t *conf = mnl_attr_get_payload(attr);
            size_t n = mnl_attr_get_payload_len(attr) / sizeof *conf;

            if (mnl_attr_get_type(attr) == IFLA_INET6_CONF
                && n > DEVCONF_MTU6) {
                link->mtu6 = MIN(conf[DEVCONF_MTU6], UINT16_MAX);
            }
        }
    }
}

static int
parse_link(const struct nlmsghdr *nlh, void *link_)
{
    struct rtnl_link *link = link_;
    const struct nlattr *attr;

    if (nlh->nlmsg_type != RTM_NEWLINK) {
        return MNL_CB_OK;
    }
    mnl_attr_for_each (attr, nlh, sizeof(struct ifinfomsg)) {
        if (mnl_attr_get_type(attr) == IFLA_ADDRESS
            && mnl_attr_get_payload_len(attr) == sizeof link->mac) {
            memcpy(&link->mac, mnl_attr_get_payload(attr), sizeof link->mac);
        } else if (mnl_attr_get_type(attr) == IFLA_MTU) {
            link->mtu = get_mtu(attr);
        } else if (mnl_attr_get_type(attr) == IFLA_AF_SPEC) {
            read_mtu6(attr, link);
        }
    }
    return MNL_CB_OK;
}

/* Whether frames can be sent to 'mac'. */
static bool
is_unicast(const struct mac *mac)
{
    static const struct mac zero;

    return !inet_is_multicast_mac(mac) && memcmp(mac, &zero, sizeof zero);
}

int
rtnl_get_link(struct rtnl *rtnl, int ifindex, struct rtnl_link *linkp)
{
    struct rtnl_link link = { .mtu = 0 };
    char buf[QUESTION_SIZE];
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
    struct ifinfomsg *ifi;
    int error;

    nlh->nlmsg_type = RTM_GETLINK;
    nlh->nlmsg_flags = NLM_F_REQUEST;
    ifi = mnl_nlmsg_put_extra_header(nlh, sizeof *ifi);
    ifi->ifi_index = ifindex;
    error = ask(rtnl, nlh, parse_link, &link);
    if (error) {
        return error;
    }
    if (!is_unicast(&link.mac)) {
        return EAFNOSUPPORT;
    }
    *linkp = link;
    return 0;
}

/* Reads a neighbour that can be sent to; false for another one. */
static bool
read_neighbour(const struct nlmsghdr *nlh, struct rtnl_event *neighbour)
{
    const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *attr;
    bool has_ip = false;

    if (nlh->nlmsg_type != RTM_NEWNEIGH
        || ndm->ndm_state & (NUD_FAILED | NUD_INCOMPLETE)) {
        return false;
    }
    *neighbour = (struct rtnl_event) { .kind = RTNL_NEIGHBOUR,
                                       .ifindex = ndm->ndm_ifindex };
    mnl_attr_for_each (attr, nlh, sizeof *ndm) {
        if (mnl_attr_get_type(attr) == NDA_DST) {
            has_ip = get_address(ndm->ndm_family, attr, &neighbour->ip);
        } else if (mnl_attr_get_type(attr) == NDA_LLADDR
                   && mnl_attr_get_payload_len(attr)
                      == sizeof neighbour->mac) {
            memcpy(&neighbour->mac, mnl_attr_get_payload(attr),
                   sizeof neighbour->mac);
        }
    }
    return has_ip && is_unicast(&neighbour->mac);
}

static int
parse_neighbour(const struct nlmsghdr *nlh, void *mac_)
{
    struct rtnl_event neighbour;

    if (!read_neighbour(nlh, &neighbour)) {
        return refuse(EHOSTUNREACH);
    }
    *(struct mac *) mac_ = neighbour.mac;
    return MNL_CB_OK;
}

static struct nlmsghdr *
put_neighbour(char *buf, uint16_t type, uint16_t flags, uint8_t ndm_flags,
              int ifindex, struct inet_addr ip)
{
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
    struct ndmsg *ndm;

    nlh->nlmsg_type = type;
    nlh->nlmsg_flags = NLM_F_REQUEST | flags;
    ndm = mnl_nlmsg_put_extra_header(nlh, sizeof *ndm);
    ndm->ndm_family = family_of(ip);
    ndm->ndm_ifindex = ifindex;
    ndm->ndm_flags = ndm_flags;
    put_address(nlh, NDA_DST, ip);
    return nlh;
}

int
rtnl_get_neighbour(struct rtnl *rtnl, int ifindex, struct inet_addr ip,
                   struct mac *mac)
{
    char buf[QUESTION_SIZE];
    int error = ask(rtnl, put_neighbour(buf, RTM_GETNEIGH, 0, 0, ifindex, ip),
                    parse_neighbour, mac);

    return error && error != EAGAIN ? EHOSTUNREACH : error;
}

static int
parse_neighbour_state(const struct nlmsghdr *nlh, void *state_)
{
    const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
    uint16_t *state = state_;

    if (nlh->nlmsg_type == RTM_NEWNEIGH) {
        *state = ndm->ndm_state;
    }
    return MNL_CB_OK;
}

int
rtnl_use_neighbour(struct rtnl *rtnl, int ifindex, struct inet_addr ip)
{
    char buf[QUESTION_SIZE];
    uint16_t state = 0;

    /* What an operator has entered for good is not to be resolved; newer
     * kernels would forget it. */
    if (!ask(rtnl, put_neighbour(buf, RTM_GETNEIGH, 0, 0, ifindex, ip),
             parse_neighbour_state, &state)
        && state & (NUD_PERMANENT | NUD_NOARP)) {
        return 0;
    }
    return ask(rtnl, put_neighbour(buf, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK,
                                   NTF_USE, ifindex, ip), NULL, NULL);
}

/* News. */

static bool
read_route(const struct nlmsghdr *nlh, struct rtnl_event *event)
{
    const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *attr;

    event->kind = RTNL_ROUTE;
    if (!read_prefix(rtm->rtm_family, rtm->rtm_dst_len, event)) {
        return false;
    }
    mnl_attr_for_each (attr, nlh, sizeof *rtm) {
        if (mnl_attr_get_type(attr) == RTA_DST) {
            get_address(rtm->rtm_family, attr, &event->ip);
        }
    }
    return true;
}

static bool
read_interface_address(const struct nlmsghdr *nlh, struct rtnl_event *event)
{
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *attr;
    bool is_local = false;

    event->kind = RTNL_ADDRESS;
    event->ifindex = ifa->ifa_index;
    if (!read_prefix(ifa->ifa_family, ifa->ifa_prefixlen, event)) {
        return false;
    }
    mnl_attr_for_each (attr, nlh, sizeof *ifa) {
        int type = mnl_attr_get_type(attr);

        /* If it has both, IFA_ADDRESS is the peer's. */
        if (type == IFA_LOCAL || (type == IFA_ADDRESS && !is_local)) {
            get_address(ifa->ifa_family, attr, &event->ip);
            is_local |= type == IFA_LOCAL;
        }
    }
    return true;
}

/* False: nothing of interest. */
static bool
read_event(const struct nlmsghdr *nlh, struct rtnl_event *event)
{
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

    memset(event, 0, sizeof *event);
    switch (nlh->nlmsg_type) {
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return read_route(nlh, event);
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return read_interface_address(nlh, event);
    case RTM_NEWLINK:
    case RTM_DELLINK:
        event->kind = RTNL_LINK;
        event->ifindex = ifi->ifi_index;
        /* A bridge says more about its ports, in a family of its own. */
        return ifi->ifi_family == AF_UNSPEC;
    default:
        return read_neighbour(nlh, event);
    }
}

struct listener {
    rtnl_event_cb *cb;
    void *aux;
};

static int
hand_over(const struct nlmsghdr *nlh, void *listener_)
{
    const struct listener *listener = listener_;
    struct rtnl_event event;

    if (read_event(nlh, &event)) {
        listener->cb(&event, listener->aux);
    }
    return MNL_CB_OK;
}

static void
report_lost(const struct listener *listener, int error)
{
    static const struct rtnl_event lost = { .kind = RTNL_LOST };

    VLOG_INFO_RL(&rl, "news from the kernel was lost (%s): asking for all "
                 "anew", ovs_strerror(error));
    listener->cb(&lost, listener->aux);
}

void
rtnl_receive(struct rtnl *rtnl, rtnl_event_cb *cb, void *aux)
{
    struct listener listener = { .cb = cb, .aux = aux };
    char buf[MESSAGE_SIZE];

    for (int i = 0; i < MAX_DATAGRAMS; i++) {
        ssize_t n = mnl_socket_recvfrom(rtnl->events, buf, sizeof buf);

        if (n < 0) {
            if (errno == EAGAIN) {
                return;
            }
            /* ENOBUFS: overrun.  ENOSPC: larger than the buffer. */
            if (errno != EINTR) {
                report_lost(&listener, errno);
            }
        } else if (mnl_cb_run(buf, n, 0, 0, hand_over, &listener) < 0) {
            report_lost(&listener, errno);
        }
    }
}

void
rtnl_wait(struct rtnl *rtnl)
{
    poll_fd_wait(mnl_socket_get_fd(rtnl->events), POLLIN);
}
