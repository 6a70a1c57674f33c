/* The flow that an operator asks about: VNI, protocol and two ends, each of
 * which is an address or a name that mapd knows. */

#ifndef MAPPING_CTL_CTL_FLOW_H
#define MAPPING_CTL_CTL_FLOW_H 1

#include "mapping/ctl/ctl.h"

struct json;

/* Fills in 'request', an object, as the protocol's `trace` wants it, out of
 * the verb's operands VNI, PROTOCOL, SRC[:PORT] and DST[:PORT].
 *
 * SRC may be the name of a workload of the VNI, or that of an endpoint, as
 * NAME or GROUP/NAME: then the flow starts at that VM, "host" is the host that
 * it is on, and "src" its address; of an endpoint, the address that it
 * publishes, for its record has no other.  DST may
 * be the name of a group: its address and, unless one is given, its port.
 *
 * Returns an exit status, having said what is wrong; nothing is asked of mapd
 * before all that was typed makes sense. */
enum ctl_exit ctl_flow_put(struct ctl *, struct json *request);

#endif /* mapping/ctl/ctl-flow.h */
