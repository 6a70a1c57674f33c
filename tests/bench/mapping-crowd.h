/* One of many hosts that are there for mapd to serve: it reads all that it is
 * sent, message by message, and looks for little more than the revision. */

#ifndef TESTS_BENCH_MAPPING_CROWD_H
#define TESTS_BENCH_MAPPING_CROWD_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/dynamic-string.h"

struct jsonrpc_msg;

struct crowd_host {
    int fd;
    struct ds text;             /* Received, from the start of a message. */
    size_t scanned;             /* Bytes of it that were looked at. */
    size_t depth;               /* Of brackets, there. */
    bool in_string, escaped;
    uint64_t bytes;             /* Received. */
};

/* What a message is. */
struct crowd_message {
    bool is_echo;               /* A request, whose answer is to come. */
    bool is_table;              /* A snapshot or an update, ... */
    uint64_t revision;          /* ... and of what revision. */
    bool is_error;              /* mapd refuses something. */
};

/* Takes over 'fd', which is connected and does not block. */
void crowd_open(struct crowd_host *, int fd);
void crowd_close(struct crowd_host *);

/* Sends 'msg', which it takes over.  Returns false if the connection is
 * lost. */
bool crowd_send(struct crowd_host *, struct jsonrpc_msg *msg);
/* Reads on.  Returns true if a message has ended, with '*message' filled in;
 * false if there is no more now, or (with '*lost' set) ever. */
bool crowd_receive(struct crowd_host *, struct crowd_message *message,
                   bool *lost);

#endif /* tests/bench/mapping-crowd.h */
