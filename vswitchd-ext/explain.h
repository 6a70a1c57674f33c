/* Why a flow goes where it goes, for people and programs: what
 * `ovs-appctl anycast/trace` and `grapnelctl trace` print.  Any thread between
 * quiescent states may call these. */

#ifndef VSWITCHD_EXT_EXPLAIN_H
#define VSWITCHD_EXT_EXPLAIN_H 1

#include "anycast/engine.h"

struct ds;
struct json;
struct record_endpoint;

/* Reads VNI, protocol, source and destination as people write them:
 * "5001", "tcp", "10.1.0.5:40000", "[2001:db8::1]:80"; ICMP has no ports (a
 * source's is the echo identifier).  The flow is taken to begin.  Returns
 * NULL, or what is wrong, static; '*flow' is then unspecified. */
const char *explain_parse(const char *vni, const char *protocol,
                          const char *source, const char *destination,
                          struct engine_question_flow *flow);

/* What would become of a packet of 'flow'.  The JSON object is the caller's;
 * its member "text" is what explain_text() writes. */
struct json *explain_json(const struct engine_question_flow *flow);
void explain_text(const struct engine_question_flow *flow, struct ds *);

/* "10.1.0.5" or "2001:db8::1". */
void explain_put_address(struct ds *, struct inet_addr);

/* The name of the host of an endpoint, for people: "no host (unbound)" if no
 * host has its port.  Part of '*endpoint', or static. */
const char *explain_host(const struct record_endpoint *endpoint);

#endif /* vswitchd-ext/explain.h */
