/* The members of each kind of record.  Private to record*.c. */

#ifndef MAPPING_RECORD_KIND_H
#define MAPPING_RECORD_KIND_H 1

#include <stddef.h>

#include "mapping/record-field.h"
#include "mapping/record.h"

/* Short names for the tables of members. */
enum {
    KEY      = RECORD_FIELD_KEY,
    REQUIRED = RECORD_FIELD_REQUIRED,
    FIXED    = RECORD_FIELD_FIXED,
    OPTIONAL = 0,
};

#define FIELD(NAME, TYPE, MEMBER, FLAGS, ...)                           \
    { .name = NAME, .type = &record_type_##TYPE, .flags = FLAGS,        \
      .offset = offsetof(struct record, MEMBER),                        \
      .size = sizeof(((struct record *) NULL)->MEMBER), __VA_ARGS__ }

#define NAME_HINT "names are 1 to 63 of A-Z a-z 0-9 . _ -, "            \
                  "the first one a letter or digit"
#define LABEL_HINT NAME_HINT "; an empty one stands for none"
#define MAC_HINT "write it like 02:00:00:00:00:01"
#define IFACE_HINT "ids are 1 to 127 of A-Z a-z 0-9 . _ : / @ -, "       \
                   "the first one a letter or digit"
#define OUTSIDE_HINT "0 stands for what is outside all VNIs"

/* Tables of members, which end with one without a name. */
extern const struct record_field record_workload_fields[];
extern const struct record_field record_pool_fields[];
extern const struct record_field record_lease_fields[];
extern const struct record_field record_gateway_fields[];
extern const struct record_field record_vip_fields[];

/* Checks of members against each other.  0, or a positive errno with '*diag'
 * filled in. */
int record_workload_check(const struct record_workload *, struct diagnosis *);
int record_pool_check(const struct record_pool *, struct diagnosis *);
int record_lease_check(const struct record_lease *, struct diagnosis *);
int record_gateway_check(const struct record_gateway *, struct diagnosis *);
int record_iface_check(const struct record_endpoint *, struct diagnosis *);

/* What is in force where members were left out; and that a MAC which 'json'
 * gives without saying where it is from was given. */
void record_iface_normalize(struct record_endpoint *);
void record_iface_note_given(struct record *, const struct json *json);

extern const struct record_type record_type_iface; /* record_iface. */
extern const struct record_type record_type_maybe_mac; /* Zeros: none. */
extern const struct record_choice record_mac_froms[];

/* Refuses the text 'value' of the member 'name': "NAME: VALUE PROBLEM".
 * Returns a positive errno. */
int record_kind_refuse(struct diagnosis *diag, const char *name,
                       const char *value, const char *hint,
                       const char *problem, ...) OVS_PRINTF_FORMAT(5, 6);

/* The same for an address. */
int record_kind_refuse_address(struct diagnosis *diag, const char *name,
                               struct inet_addr address, const char *hint,
                               const char *problem);

#endif /* mapping/record-kind.h */
