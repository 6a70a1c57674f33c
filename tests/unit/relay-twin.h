/* Which messages between hosts are right, by a table and by regular
 * expressions. */

#ifndef TESTS_UNIT_RELAY_TWIN_H
#define TESTS_UNIT_RELAY_TWIN_H 1

#include <stdbool.h>

struct json;

/* What a member must be. */
enum relay_type {
    RELAY_VNI, RELAY_ADDRESS, RELAY_NAME, RELAY_FLOWS, RELAY_ID,
    RELAY_PROTOCOL, RELAY_PORT
};

struct relay_member {
    const char *name;
    enum relay_type type;
};

/* Whether the object has just these 'members' (up to one without a name), and
 * they are right.  Addresses in 'json' are written anew, as they are to be
 * sent. */
bool relay_twin_reads(const struct relay_member *members, struct json *);

#endif /* tests/unit/relay-twin.h */
