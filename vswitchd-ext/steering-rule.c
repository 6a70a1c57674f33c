#include <config.h>

#include "vswitchd-ext/steering-rule.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <string.h>

#include "anycast/engine.h"
#include "classifier.h"
#include "encap/hint.h"
#include "ofproto/ofproto-provider.h"
#include "openvswitch/match.h"
#include "openvswitch/meta-flow.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofpbuf.h"
#include "packets.h"
#include "util.h"
#include "vswitchd-ext/address.h"

BUILD_ASSERT_DECL(sizeof(struct steering_match) == 96);

/* Marks our rules in `ovs-ofctl dump-flows` ("grapnel"). */
#define STEERING_COOKIE UINT64_C(0x00677261706e656c)

/* Asked for a cookie of which all bits count, Open vSwitch goes through all
 * rules that have it, ours being tens of thousands; else it looks up the
 * match.  So the first octet does not count. */
#define STEERING_COOKIE_MASK (UINT64_MAX >> 8)

static struct eth_addr
router_address(uint32_t vni)
{
    struct mac router = engine_router_mac(vni);
    struct eth_addr ea;

    BUILD_ASSERT(sizeof ea == sizeof router);
    memcpy(&ea, &router, sizeof ea);
    return ea;
}

/* What the port hands back bears the virtual router's address, whose last
 * octets are the tenant: of a port that serves several, the only thing that
 * tells. */
static void
make_return_match(const struct steering_match *m, struct match *match)
{
    match_set_in_port(match, u16_to_ofp(m->in_port));
    if (m->vni) {
        match_set_dl_src(match, router_address(m->vni));
        match_set_default_packet_type(match);
    }
}

/* A hint is for the virtual router.  Without a tenant: for any tenant's, which
 * is told by the octets before the last three. */
static void
make_hints_match(const struct steering_match *m, struct match *match)
{
    static const struct eth_addr prefix = ETH_ADDR_C(ff,ff,ff,00,00,00);

    match_set_dl_dst_masked(match, router_address(m->vni),
                            m->vni ? eth_addr_exact : prefix);
    match_set_dl_type(match, htons(ETHERTYPE_HINT));
    match_set_default_packet_type(match);
}

static void
match_not_from_tunnel(struct match *match)
{
    /* Of a packet out of a tunnel, one of both is set. */
    match_set_tun_dst(match, 0);
    match_set_tun_ipv6_dst(match, &in6addr_any);
}

static void
match_destination(struct inet_addr address, struct match *match)
{
    struct in6_addr in6 = address_to_in6(address);

    if (inet_addr_is4(address)) {
        match_set_dl_type(match, htons(ETH_TYPE_IP));
        match_set_nw_dst(match, htonl(inet_addr_to4(address)));
    } else {
        match_set_dl_type(match, htons(ETH_TYPE_IPV6));
        match_set_ipv6_dst(match, &in6);
    }
    match_set_default_packet_type(match);
}

/* Of a port without tenants of its own, packets have theirs in pkt_mark, and
 * those out of a tunnel, which are no VM's, in its key: see STEERING_ARRIVALS.
 * Else both kinds go to the port, and one rule is enough for them. */
static void
make_packets_match(const struct steering_match *m, struct match *match)
{
    if (m->vni) {
        match_not_from_tunnel(match);
        match_set_pkt_mark(match, m->vni);
    }
    match_destination(m->address, match);
}

static void
make_arrivals_match(const struct steering_match *m, struct match *match)
{
    match_set_tun_id(match, htonll(m->vni));
    match_destination(m->address, match);
}

/* Who asks about an address on the other side of a tunnel has a switch of his
 * own to answer. */
static void
make_questions_match(const struct steering_match *m, struct match *match)
{
    struct in6_addr in6 = address_to_in6(m->address);

    match_not_from_tunnel(match);
    if (m->vni) {
        match_set_pkt_mark(match, m->vni);
    }
    if (inet_addr_is4(m->address)) {
        match_set_dl_type(match, htons(ETH_TYPE_ARP));
        match_set_nw_proto(match, ARP_OP_REQUEST);
        match_set_nw_dst(match, htonl(inet_addr_to4(m->address)));
    } else {
        match_set_dl_type(match, htons(ETH_TYPE_IPV6));
        match_set_nw_proto(match, IPPROTO_ICMPV6);
        match_set_icmp_type(match, ND_NEIGHBOR_SOLICIT);
        match_set_nd_target(match, &in6);
    }
    match_set_default_packet_type(match);
}

/* Matches on packet headers are on Ethernet packets, as OpenFlow has it for
 * the operator's: else the same match would not be the same rule. */
static void
make_match(const struct steering_match *m, struct match *match)
{
    match_init_catchall(match);
    switch ((enum steering_kind) m->kind) {
    case STEERING_PACKETS:
        make_packets_match(m, match);
        break;
    case STEERING_ARRIVALS:
        make_arrivals_match(m, match);
        break;
    case STEERING_QUESTIONS:
        make_questions_match(m, match);
        break;
    case STEERING_HINTS:
        make_hints_match(m, match);
        break;
    case STEERING_RETURN:
        make_return_match(m, match);
        break;
    case STEERING_UNDERLAY:
        match_set_in_port(match, u16_to_ofp(m->in_port));
        break;
    }
}

/* Gives the frame its tenant back before it goes on.
 *
 * NORMAL brings it to a VM of this host: an endpoint that lives here, or the
 * sender who gets an answer.  No other host should see it, and the mark does
 * no harm on the way: where NORMAL floods it into one of Open vSwitch's own
 * tunnels, which look their route up by pkt_mark, that copy alone finds none
 * and ends there. */
static void
put_return_actions(const struct steering_match *m, struct ofpbuf *ofpacts)
{
    if (m->vni) {
        ovs_be32 mark = htonl(m->vni);

        ofpact_put_reg_load(ofpacts, mf_from_id(MFF_PKT_MARK), &mark, NULL);
    }
    ofpact_put_OUTPUT(ofpacts)->port = OFPP_NORMAL;
}

/* Has the frame go through the bridge's tables as if the host itself had sent
 * it, which is what Open vSwitch does with its own tunnels' packets.  It bears
 * the host's address: learned on our port, it would draw the host's traffic
 * there. */
static void
put_enter_as_local(struct ofpbuf *ofpacts)
{
    ovs_be16 local = htons(ofp_to_u16(OFPP_LOCAL));
    struct ofpact_resubmit *resubmit;

    ofpact_put_reg_load(ofpacts, mf_from_id(MFF_IN_PORT), &local, NULL);
    resubmit = ofpact_put_RESUBMIT(ofpacts);
    resubmit->in_port = OFPP_IN_PORT;
    resubmit->table_id = 0;
}

static void
put_actions(const struct steering_match *m, uint16_t port,
            struct ofpbuf *ofpacts)
{
    switch ((enum steering_kind) m->kind) {
    case STEERING_PACKETS:
    case STEERING_ARRIVALS:
    case STEERING_QUESTIONS:
    case STEERING_HINTS:
        ofpact_put_OUTPUT(ofpacts)->port = u16_to_ofp(port);
        break;
    case STEERING_RETURN:
        put_return_actions(m, ofpacts);
        break;
    case STEERING_UNDERLAY:
        put_enter_as_local(ofpacts);
        break;
    }
}

/* Applies 'fm', completed with what 'm' matches, to the bridge. */
static int
apply(const struct steering_match *m, struct ofputil_flow_mod *fm)
{
    struct ofproto *ofproto = ofproto_lookup(m->bridge);
    struct match match;
    enum ofperr error;

    if (!ofproto) {
        return ENODEV;
    }
    fm->priority = m->priority;
    fm->table_id = m->table;
    fm->buffer_id = UINT32_MAX;
    fm->out_port = OFPP_ANY;
    fm->out_group = OFPG_ANY;
    make_match(m, &match);
    minimatch_init(&fm->match, &match);
    error = ofproto_flow_mod(ofproto, fm);
    minimatch_destroy(&fm->match);
    return error;
}

int
steering_rule_add(const struct steering_match *m, uint16_t port)
{
    uint64_t stub[128 / 8];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    struct ofputil_flow_mod fm = {
        .command = OFPFC_ADD,
        .new_cookie = htonll(STEERING_COOKIE),
    };
    int error;

    put_actions(m, port, &ofpacts);
    fm.ofpacts = ofpacts.data;
    fm.ofpacts_len = ofpacts.size;
    error = apply(m, &fm);
    ofpbuf_uninit(&ofpacts);
    return error;
}

int
steering_rule_delete(const struct steering_match *m)
{
    struct ofputil_flow_mod fm = {
        .command = OFPFC_DELETE_STRICT,
        .cookie = htonll(STEERING_COOKIE),
        .cookie_mask = htonll(STEERING_COOKIE_MASK),
        .new_cookie = OVS_BE64_MAX,
    };
    int error = apply(m, &fm);

    return error == ENODEV ? 0 : error;
}

bool
steering_rule_is_in_place(const struct steering_match *m, uint16_t port)
{
    struct ofproto *ofproto = ofproto_lookup(m->bridge);
    uint64_t stub[128 / 8];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    const struct cls_rule *cls_rule;
    struct match match;
    bool same = false;

    if (!ofproto || m->table >= ofproto->n_tables) {
        return false;
    }
    make_match(m, &match);
    cls_rule = classifier_find_match_exactly(&ofproto->tables[m->table].cls,
                                             &match, m->priority,
                                             OVS_VERSION_MAX);
    if (cls_rule) {
        const struct rule *rule = CONTAINER_OF(cls_rule, struct rule, cr);
        const struct rule_actions *actions = rule_get_actions(rule);

        put_actions(m, port, &ofpacts);
        same = ofpacts_equal(actions->ofpacts, actions->ofpacts_len,
                             ofpacts.data, ofpacts.size);
        ofpbuf_uninit(&ofpacts);
    }
    return same;
}
