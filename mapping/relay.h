/* What hosts tell each other, and operators ask of hosts, by way of mapd: the
 * messages of docs/protocol.md, "Between hosts".  Strict readers and writers,
 * for mapd and for hosts.
 *
 * The readers return 0, or a positive errno with '*diag' filled in and the
 * output untouched.  The writers' results are the caller's.  Thread-safe. */

#ifndef MAPPING_RELAY_H
#define MAPPING_RELAY_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"
#include "mapping/diagnosis.h"
#include "mapping/record.h"

struct json;

enum {
    RELAY_MAX_FLOWS = 1000,     /* In one message. */
    RELAY_STATE_MAX = 15,       /* Characters of a flow state's name. */
    RELAY_TEXT_MAX  = 64 * 1024, /* Of an answer to a trace. */
};

/* `want_flows`: who has flows of this source? */
struct relay_want {
    uint32_t vni;
    struct inet_addr source;
    record_name host;           /* Who asks; "" on the way to mapd, which
                                 * knows. */
};

/* One flow of a source. */
struct relay_flow {
    uint32_t group;             /* Id: 1...GROUP_MAX_ID. */
    uint16_t src_port, dst_port; /* Host byte order. */
    uint16_t endpoint;          /* Index: below GROUP_MAX_ENDPOINTS. */
    uint16_t idle_s;            /* Seconds since it was last seen. */
    char state[RELAY_STATE_MAX + 1]; /* Of a..z and -; not empty. */
};

/* `flows`: flows of a source, for a host that asked. */
struct relay_flows {
    record_name host;           /* Who asked. */
    uint32_t vni;
    struct inet_addr source;
    struct relay_flow *flows;
    size_t n;                   /* Up to RELAY_MAX_FLOWS. */
};

/* `trace`: what would happen to this flow? */
struct relay_trace {
    uint64_t id;                /* Of the question, for the answer. */
    uint32_t vni;
    uint8_t protocol;           /* As in struct record_group. */
    struct inet_addr src, dst;
    uint16_t src_port, dst_port; /* Host byte order. */
};

/* 'with_host': as sent by mapd. */
int relay_want_from_json(const struct json *, bool with_host,
                         struct relay_want *, struct diagnosis *diag);
struct json *relay_want_to_json(const struct relay_want *);

/* The caller frees 'flows->flows'. */
int relay_flows_from_json(const struct json *, struct relay_flows *flows,
                          struct diagnosis *diag);
struct json *relay_flows_to_json(const struct relay_flows *);

int relay_trace_from_json(const struct json *, struct relay_trace *,
                          struct diagnosis *diag);
struct json *relay_trace_to_json(const struct relay_trace *);

/* Reads an IPv4 or IPv6 address, as the value of 'field'. */
int relay_address_from_text(const char *text, const char *field,
                            struct inet_addr *, struct diagnosis *diag);
/* Reads the name of a protocol that groups can have. */
int relay_protocol_from_text(const char *text, uint8_t *protocol,
                             struct diagnosis *diag);

#endif /* mapping/relay.h */
