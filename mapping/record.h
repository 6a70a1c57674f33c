/* The records that operators write: hosts, groups, endpoints.  The one door
 * through which they are validated, wherever they come from: command line,
 * store, dump file or network.  Text form: docs/protocol.md. */

#ifndef MAPPING_RECORD_H
#define MAPPING_RECORD_H 1

#include <stdbool.h>
#include <stdint.h>

#include "anycast/group.h"
#include "encap/inet.h"
#include "encap/tunnel.h"
#include "mapping/diagnosis.h"

struct json;

enum record_kind {
    RECORD_HOST,
    RECORD_GROUP,
    RECORD_ENDPOINT,
    N_RECORD_KINDS
};

enum {
    RECORD_NAME_MAX   = 63,
    RECORD_WEIGHT_MAX = 1000,
    RECORD_KEY_SIZE   = 160     /* Room for any record_format_key(). */
};

typedef char record_name[RECORD_NAME_MAX + 1];

struct record_host {
    record_name name;
    uint32_t vtep;              /* IPv4, host byte order. */
    enum tunnel_type encap;
};

struct record_group {
    uint32_t vni;
    record_name name;
    uint8_t address[16];        /* IPv4 is mapped, as in struct group_key. */
    uint8_t protocol;           /* IP protocol number. */
    uint16_t port;              /* 0: all. */
    enum group_affinity affinity;
    uint32_t n_slots;
};

struct record_endpoint {
    uint32_t vni;
    record_name group;
    record_name name;
    record_name host;
    struct mac mac;
    uint16_t weight;            /* 1...RECORD_WEIGHT_MAX. */
    enum endpoint_state state;  /* Never ENDPOINT_ABSENT. */
};

struct record {
    enum record_kind kind;
    union {
        struct record_host host;
        struct record_group group;
        struct record_endpoint endpoint;
    };
};

/* A struct record is always valid: it comes from one of these functions.
 * Thread-safe. */

/* Reads a whole record, with defaults for members that may be left out.
 * Returns 0, or a positive errno with '*diag' filled in; '*record' is then
 * untouched.  Unknown members are refused. */
int record_from_json(const struct json *json, struct record *record,
                     struct diagnosis *diag);

/* As record_from_json(), but only 'kind' and the key members are needed and
 * nothing else is looked at. */
int record_key_from_json(const struct json *json, struct record *record,
                         struct diagnosis *diag);

/* Changes in '*record' the members that 'json' gives.  Its key members must be
 * equal to the record's; members fixed at creation (group: address,
 * protocol, port, slots) are refused if they differ, naming the way out.
 * Returns 0, or a positive errno with '*diag' filled in and '*record'
 * untouched. */
int record_update_from_json(const struct json *json, struct record *record,
                            struct diagnosis *diag);

/* The record as JSON, all members, in the order of docs/protocol.md where the
 * printer keeps order.  The caller owns the result. */
struct json *record_to_json(const struct record *record);

/* "h1", "5001/web" or "5001/web/w1". */
void record_format_key(const struct record *record, char key[RECORD_KEY_SIZE]);

/* Orders by kind, then by key (VNIs as numbers). */
int record_compare_keys(const struct record *a, const struct record *b);
bool record_equal(const struct record *a, const struct record *b);
/* True if the members that are fixed when a group is made are equal. */
bool record_equal_fixed(const struct record_group *a,
                        const struct record_group *b);

/* Whether 'name' can name a host, group or endpoint. */
bool record_is_name(const char *name);

/* "host", "group", "endpoint"; the reverse returns false for another name. */
const char *record_kind_name(enum record_kind);
bool record_kind_from_name(const char *name, enum record_kind *);
const char *record_state_name(enum endpoint_state);

#endif /* mapping/record.h */
