/* Why a packet was not sent on: one list for parser, engine and ports.
 *
 * DROP(NAME, LABEL, TEXT): NAME is the enumerator; LABEL, the same in lower
 * case, the counter's name wherever counters are shown; TEXT what an operator
 * should understand from it. */

#ifndef ENCAP_DROP_H
#define ENCAP_DROP_H 1

#define DROP_REASONS                                                        \
    DROP(NONE, none, "not dropped")                                         \
    DROP(TRUNCATED, truncated,                                              \
         "frame ends inside a header, or is shorter than its IP length")    \
    DROP(ETHERTYPE, ethertype, "neither IP nor ARP")                      \
    DROP(BROADCAST, broadcast,                                              \
         "IP packet in an Ethernet broadcast or multicast")               \
    DROP(BAD_IP, bad_ip,                                                    \
         "IP version, header or length makes no sense")                     \
    DROP(BAD_IP_CSUM, bad_ip_csum, "IPv4 header checksum is wrong")         \
    DROP(EXTENSION, extension,                                              \
         "more IPv6 extension headers than we follow, or one unknown")      \
    DROP(FRAGMENT, fragment,                                                \
         "IP fragment whose first fragment did not come in time")           \
    DROP(FRAGMENT_FULL, fragment_full,                                      \
         "IP fragment: too many wait for their first fragment")             \
    DROP(PROTOCOL, protocol,                                                \
         "IP protocol other than TCP, UDP, SCTP and ICMP echo or errors")   \
    DROP(BAD_L4, bad_l4, "transport header makes no sense")                 \
    DROP(BAD_QUOTE, bad_quote,                                              \
         "ICMP error that quotes no packet of the address it is sent to")   \
    DROP(BAD_SOURCE, bad_source,                                            \
         "source address is not one that can be answered")                  \
    DROP(TTL, ttl, "TTL expired; ICMP time exceeded sent")                  \
    DROP(TOO_BIG, too_big,                                                  \
         "does not fit the tunnel; ICMP fragmentation needed sent")         \
    DROP(TSO, tso,                                                          \
         "TCP segmentation offload: switch it off on the VM's interface")   \
    DROP(NO_VNI, no_vni, "no tenant: neither options:vni nor pkt_mark")     \
    DROP(NOT_ANYCAST, not_anycast,                                          \
         "no anycast address of this tenant (the bridge floods to us too)") \
    DROP(NO_GROUP, no_group,                                                \
         "an anycast address, but no group has this protocol and port")     \
    DROP(NO_ENDPOINT, no_endpoint, "the group has no endpoint that is up")  \
    DROP(UNKNOWN_FLOW, unknown_flow,                                        \
         "ICMP error about a flow that is not known here")                  \
    DROP(HOST_DEAD, host_dead,                                              \
         "the flow's endpoint is on a dead host; the client was reset")     \
    DROP(AWAITING_HANDOVER, awaiting_handover,                              \
         "flow of a VM that has moved here; asking its old host")           \
    DROP(MISDELIVERED, misdelivered,                                        \
         "came for an endpoint that is not on this host")                   \
    DROP(HINT, hint, "was a hint from another switch (not a loss)")         \
    DROP(HINT_FORGED, hint_forged, "hint malformed or not authentic")       \
    DROP(HINT_STALE, hint_stale, "hint about a state that has passed")      \
    DROP(NO_NEXT_HOP, no_next_hop,                                          \
         "the endpoint's host has no next hop yet")                         \
    DROP(NO_HEADROOM, no_headroom,                                          \
         "no room in the buffer for the outer headers")                     \
    DROP(ARP_IGNORED, arp_ignored, "ARP that needs no answer from us")      \
    DROP(ND_IGNORED, nd_ignored,                                            \
         "neighbour discovery that needs no answer from us")                \
    DROP(ICMP_LIMITED, icmp_limited, "ICMP error suppressed by rate limit") \
    DROP(PORT_DOWN, port_down, "the port is administratively down")         \
    DROP(NO_TABLE, no_table, "no mapping received yet")                     \
    DROP(NO_UNDERLAY, no_underlay, "no underlay port or device")            \
    DROP(UNDERLAY_FULL, underlay_full, "the underlay port's queue is full") \
    DROP(REPLY_FULL, reply_full, "the anycast port's return queue is full")

enum drop_reason {
#define DROP(NAME, LABEL, TEXT) DROP_##NAME,
    DROP_REASONS
#undef DROP
    N_DROP_REASONS
};

/* The label and the one-line description of 'reason' ("unknown" for a value
 * out of range).  Static strings. */
const char *drop_reason_name(enum drop_reason reason);
const char *drop_reason_text(enum drop_reason reason);

#endif /* encap/drop.h */
