/* The types that members of records have: reading from JSON, with a message
 * for whatever is wrong, and printing. */

#ifndef MAPPING_RECORD_FIELD_H
#define MAPPING_RECORD_FIELD_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/diagnosis.h"

struct ds;
struct json;

enum {
    RECORD_FIELD_KEY      = 1 << 0, /* Part of the key, hence required. */
    RECORD_FIELD_REQUIRED = 1 << 1,
    RECORD_FIELD_FIXED    = 1 << 2, /* Cannot be changed. */
};

struct record_choice {
    const char *name;           /* NULL ends the list. */
    uint32_t value;
};

struct record_field;

/* 'read' returns 0, or a positive errno with '*diag' filled in and '*member'
 * untouched.  'write' makes JSON, owned by the caller. */
struct record_type {
    int (*read)(const struct record_field *, const struct json *,
                void *member, struct diagnosis *);
    struct json *(*write)(const struct record_field *, const void *member);
    bool is_text;               /* The member ends with a null byte. */
};

extern const struct record_type record_type_name;
extern const struct record_type record_type_label; /* A name, or "". */
extern const struct record_type record_type_number;
extern const struct record_type record_type_power; /* A power of two. */
extern const struct record_type record_type_choice;
extern const struct record_type record_type_address; /* inet_addr. */
extern const struct record_type record_type_maybe_address; /* The same, zeros:
                                                            * none. */
extern const struct record_type record_type_bytes; /* Address, 16 bytes. */
extern const struct record_type record_type_mac;
extern const struct record_type record_type_quic_id;
extern const struct record_type record_type_client; /* record_client. */
extern const struct record_type record_type_vnis; /* struct record_vnis. */

struct record_field {
    const char *name;
    unsigned int flags;         /* RECORD_FIELD_*. */
    const struct record_type *type;
    size_t offset, size;        /* Of the member in struct record. */
    uint32_t min, max;          /* Of a number. */
    const struct record_choice *choices; /* Of a choice. */
    const char *hint;           /* On a bad value (a number: on one below the
                                 * range); or NULL. */
};

/* Appends 'text', cut if it is long and with all but printable ASCII
 * escaped: nothing that could upset a terminal or a parser. */
void record_field_put_excerpt(struct ds *, const char *text);

/* Appends what a message calls the value 'json'. */
void record_field_put_value(struct ds *, const struct json *json,
                            bool quotes);

/* Refuses the value 'json' of the member 'name': "NAME: VALUE PROBLEM".
 * Returns a positive errno. */
int record_field_refuse(const char *name, const struct json *json,
                        struct diagnosis *diag, const char *problem, ...)
    OVS_PRINTF_FORMAT(4, 5);

#endif /* mapping/record-field.h */
