/* The records that operators write: hosts, groups, endpoints, and what
 * gateways need.  The one door through which they are validated, wherever they
 * come from: command line, store, dump file or network.  Text form:
 * docs/protocol.md. */

#ifndef MAPPING_RECORD_H
#define MAPPING_RECORD_H 1

#include <stdbool.h>
#include <stdint.h>

#include "anycast/group.h"
#include "encap/inet.h"
#include "encap/tunnel.h"
#include "mapping/diagnosis.h"
#include "mapping/record-gateway.h"
#include "mapping/record-iface.h"
#include "mapping/record-name.h"
#include "mapping/record-pool.h"
#include "mapping/record-workload.h"
#include "mapping/vni-set.h"

struct json;

enum record_kind {
    RECORD_HOST,
    RECORD_GROUP,
    RECORD_ENDPOINT,

    /* For gateways: record-workload.h, record-pool.h, record-gateway.h. */
    RECORD_WORKLOAD,
    RECORD_POOL,
    RECORD_LEASE,
    RECORD_GATEWAY,
    RECORD_VIP,
    N_RECORD_KINDS,
    RECORD_FIRST_PLAIN = RECORD_WORKLOAD /* mapd adds nothing to these. */
};

enum {
    RECORD_WEIGHT_MAX = 1000,
    RECORD_AFFINITY_S = 10800,  /* Default timeout of a source. */
    RECORD_RAMP_MAX_S = 3600,
    RECORD_PATH_SIZE  = 64,     /* Of a path, with its null. */
    RECORD_VNIS_MAX   = 32,     /* Ranges, ... */
    RECORD_VNIS_TEXT_MAX = 4096, /* ... written in so many bytes. */
    RECORD_KEY_SIZE   = 160,    /* Room for any record_format_key(). */
    RECORD_ADDRESS_SIZE = 46    /* Room for any record_format_address(). */
};

/* VNIs that a host is given. */
struct record_vnis {
    struct vni_range ranges[RECORD_VNIS_MAX]; /* As in struct vni_set; those
                                               * behind the last, all zero. */
    uint32_t n;
};

struct record_host {
    record_name name;
    struct inet_addr vtep;
    enum tunnel_type encap;
    record_label region, zone, rack; /* Where it stands. */
    struct record_vnis vnis;    /* That it may see besides those of what is
                                 * recorded on it. */
};

enum record_health_type {
    HEALTH_NONE,
    HEALTH_TCP,                 /* A SYN is answered by a SYN-ACK. */
    HEALTH_HTTP,                /* A GET is answered by a status. */
    HEALTH_ICMP,                /* An echo request. */
    HEALTH_ARP,                 /* ARP, or ND. */
};

enum {
    RECORD_HEALTH_MIN_INTERVAL = 100,     /* ms. */
    RECORD_HEALTH_MAX_INTERVAL = 3600000,
    RECORD_HEALTH_MIN_TIMEOUT  = 10,
    RECORD_HEALTH_MAX_TIMEOUT  = 60000,
    RECORD_HEALTH_MAX_CHECKS   = 100,     /* In a row. */
    RECORD_HEALTH_MIN_STATUS   = 100,     /* RFC 9110 section 15. */
    RECORD_HEALTH_MAX_STATUS   = 599,
};

/* How the host of an endpoint finds out whether it is well. */
struct record_health {
    uint8_t check;              /* enum record_health_type. */
    uint32_t interval, timeout; /* ms; 'timeout' is no more. */
    uint8_t rise, fall;         /* Checks in a row that change the verdict. */
    uint16_t port;              /* 0: the group's first. */
    uint16_t status;            /* Of HTTP, that is expected. */
    char path[RECORD_PATH_SIZE]; /* Of HTTP. */
    struct inet_addr source;    /* Where checks come from; all zero: none. */
};

struct record_group {
    uint32_t vni;
    record_name name;
    uint8_t address[16];        /* IPv4 is mapped, as in struct group_key. */
    uint8_t protocol;           /* IP protocol number; ICMP: over IPv6 as
                                 * well. */
    uint16_t port;              /* 0: all. */
    uint16_t port_last;         /* Above 'port': of a range; else 0. */
    enum group_algorithm algorithm;
    enum group_affinity affinity;
    uint16_t affinity_timeout;  /* Seconds, 1...GROUP_MAX_AFFINITY_S. */
    uint16_t ramp;              /* Seconds, 0...RECORD_RAMP_MAX_S. */
    bool measured_distance;     /* What "nearest" goes by: not labels, but
                                 * measured times. */
    bool reset_on_host_death;   /* Reset flows whose endpoint's host died. */
    bool reject_when_empty;     /* Tell senders, if no endpoint takes flows. */
    uint8_t quic_id_offset;     /* Where, in a QUIC connection id, an
                                 * endpoint's id stands, */
    uint8_t quic_id_length;     /* and its bytes; 0: nowhere. */
    uint32_t n_slots;
    struct record_health health;
};

/* What tells an endpoint in QUIC connection ids. */
struct record_quic_id {
    uint64_t value;             /* As a big-endian number. */
    uint64_t length;            /* Bytes, 0 (none)...GROUP_MAX_QUIC_ID. */
};

struct record_endpoint {
    uint32_t vni;
    record_name group;
    record_name name;
    record_iface iface;         /* The port by which it is found, or "". */
    record_label host;          /* Without 'iface' there is one; with it, ""
                                 * while it is unbound. */
    struct mac mac;             /* Likewise; all zero: none. */
    uint8_t mac_from;           /* enum record_mac_from. */
    uint16_t weight;            /* 1...RECORD_WEIGHT_MAX. */
    enum endpoint_state state;  /* UP, DRAINING or DOWN. */
    uint16_t cost;              /* Lower is preferred, by "least-cost". */
    uint8_t priority;           /* The same, by "availability". */
    struct record_quic_id quic_id;
};

struct record {
    enum record_kind kind;
    union {
        struct record_host host;
        struct record_group group;
        struct record_endpoint endpoint;
        struct record_workload workload;
        struct record_pool pool;
        struct record_lease lease;
        struct record_gateway gateway;
        struct record_vip vip;
    };
};

/* A struct record is always valid: it comes from one of these functions.
 * Thread-safe. */

/* Reads a whole record, with defaults for members that may be left out.
 * Returns 0, or a positive errno with '*diag' filled in; '*record' is then
 * untouched.  Unknown members are refused. */
int record_from_json(const struct json *json, struct record *record,
                     struct diagnosis *diag);

/* As record_from_json(), but nothing except 'kind' is required, and members
 * are not checked against each other: what is read is no record yet. */
int record_part_from_json(const struct json *json, struct record *part,
                          struct diagnosis *diag);

/* As record_from_json(), but only 'kind' and the key members are needed and
 * nothing else is looked at. */
int record_key_from_json(const struct json *json, struct record *record,
                         struct diagnosis *diag);

/* Changes in '*record' the members that 'json' gives.  Its key members must be
 * equal to the record's; members fixed at creation (group: address, protocol,
 * port, port_last, slots) are refused if they differ, naming the way out.
 * Returns 0, or a positive errno with '*diag' filled in and '*record'
 * untouched. */
int record_update_from_json(const struct json *json, struct record *record,
                            struct diagnosis *diag);

/* The record as JSON, all members, in the order of docs/protocol.md where the
 * printer keeps order.  The caller owns the result. */
struct json *record_to_json(const struct record *record);

/* The same with the kind and the key members only: what
 * record_key_from_json() reads. */
struct json *record_key_to_json(const struct record *record);

/* "h1", "5001/web", "5001/web/w1", "0/public/203.0.113.7"... */
void record_format_key(const struct record *record, char key[RECORD_KEY_SIZE]);

/* "10.1.0.100" or "2001:db8::1" (RFC 5952). */
void record_format_address(struct inet_addr address,
                           char text[RECORD_ADDRESS_SIZE]);

/* Orders by kind, then by key (VNIs as numbers). */
int record_compare_keys(const struct record *a, const struct record *b);
bool record_equal(const struct record *a, const struct record *b);
/* True if the members that are fixed when a group is made are equal. */
bool record_equal_fixed(const struct record_group *a,
                        const struct record_group *b);

/* The VNI that 'record' is in; 0: none. */
uint32_t record_vni(const struct record *record);

/* Whether 'name' can name a host, group or endpoint. */
bool record_is_name(const char *name);

/* "host", "group", "endpoint"...; the reverse returns false for another
 * name. */
const char *record_kind_name(enum record_kind);
bool record_kind_from_name(const char *name, enum record_kind *);
/* All of them: "host, group, endpoint...". */
const char *record_kind_names(void);
const char *record_state_name(enum endpoint_state);
/* "tcp", "weighted"; NULL for what no group has. */
const char *record_protocol_name(uint8_t protocol);
const char *record_algorithm_name(enum group_algorithm);

#endif /* mapping/record.h */
