/* One steering rule: what it matches, and how it is put into a bridge's
 * OpenFlow tables, taken out of them, and recognized there.  Nothing is
 * remembered here.  For the main thread. */

#ifndef VSWITCHD_EXT_STEERING_RULE_H
#define VSWITCHD_EXT_STEERING_RULE_H 1

#include <stdbool.h>
#include <stdint.h>

#include "encap/inet.h"

enum steering_kind {
    STEERING_PACKETS,           /* Packets to an anycast address, ... */
    STEERING_ARRIVALS,          /* ... if their tenant is in tun_id. */
    STEERING_QUESTIONS,         /* ARP's, or ND's, about it. */
    STEERING_HINTS,             /* Other switches' hints (encap/hint.h). */
    STEERING_RETURN,            /* What an anycast port hands back. */
    STEERING_UNDERLAY,          /* Frames that enter the underlay bridge. */
};

/* What tells one rule of a bridge from another: all that its OpenFlow match,
 * table and priority are made from, and nothing else.  All bytes count
 * (padding is zero), so that it can be hashed and compared as memory. */
struct steering_match {
    char bridge[64];
    struct inet_addr address;   /* PACKETS, ARRIVALS, QUESTIONS. */
    uint32_t vni;               /* PACKETS, QUESTIONS: of pkt_mark (0: all,
                                 * and PACKETS also out of tunnels); ARRIVALS:
                                 * of tun_id; HINTS, RETURN: of the virtual
                                 * router's MAC (0: all). */
    uint16_t in_port;           /* RETURN, UNDERLAY: OpenFlow port number. */
    uint16_t priority;
    uint8_t table;
    uint8_t kind;               /* enum steering_kind. */
    uint8_t pad[6];
};

/* Adds the rule for 'match'; RETURN and UNDERLAY rules ignore 'port', the
 * OpenFlow port that the others output to.  A rule with the same match and
 * priority is replaced, without a moment in which there is neither.  Returns
 * 0, or a positive error for ofperr_to_string(): ENODEV if there is no such
 * bridge.  An addition that succeeds raises the bridge's tables_version by
 * one. */
int steering_rule_add(const struct steering_match *match, uint16_t port);

/* Deletes the rule for 'match' if steering_rule_add() made it; one that
 * somebody else put in its place stays.  Errors as above; a rule or bridge
 * that is not there is none.  Raises tables_version likewise. */
int steering_rule_delete(const struct steering_match *match);

/* Whether the bridge has just what steering_rule_add() would add. */
bool steering_rule_is_in_place(const struct steering_match *match,
                               uint16_t port);

#endif /* vswitchd-ext/steering-rule.h */
