/* Many connections in one poll loop, of which a few have something to do at a
 * time: only those are run, and only they are asked what they wait for.
 *
 *     waitset_run(&set);
 *     while ((member = waitset_next(&set))) {
 *         ...run what 'member' is embedded in...
 *     }
 *     ...
 *     waitset_wait(&set);
 *     poll_block();
 *
 * A member may also be run when it has nothing to do, and must bear it.  It
 * says by its function 'wait' what it waits for, as it would for the poll
 * loop: one descriptor, a time, or both.  It is asked after it has run, and
 * after waitset_touch(), which is due whenever something else has been done
 * with it that may change the answer.  Not thread-safe. */

#ifndef MAPPING_MAPD_WAITSET_H
#define MAPPING_MAPD_WAITSET_H 1

#include <stdbool.h>
#include <stdint.h>

#include "heap.h"
#include "openvswitch/list.h"

struct waitset_member;

/* Registers with the poll loop; must not change the set. */
typedef void waitset_function(struct waitset_member *);

struct waitset {
    int epoll;
    struct ovs_list due;        /* Members to be run. */
    struct ovs_list touched;    /* Members to be asked. */
    struct heap timers;         /* Members that wait for a time. */
};

/* To be embedded; nothing of it is the user's. */
struct waitset_member {
    waitset_function *wait;
    struct ovs_list node;       /* In 'due' or 'touched', ... */
    bool is_due, is_touched;    /* ... which these say; or in neither. */
    struct heap_node timer;     /* In 'timers', if 'has_timer'. */
    bool has_timer;
    int fd;                     /* In 'epoll'; -1: none. */
    uint32_t events;            /* EPOLL*. */
};

/* 0, or a positive errno. */
int waitset_init(struct waitset *);
/* All members must have been removed. */
void waitset_destroy(struct waitset *);

/* 'member' stays the caller's, and is run next. */
void waitset_add(struct waitset *, struct waitset_member *member,
                 waitset_function *wait);
/* To be called before its descriptor is closed. */
void waitset_remove(struct waitset *, struct waitset_member *);
void waitset_touch(struct waitset *, struct waitset_member *);

/* Finds out which members have something to do: those whose descriptor or time
 * has come.  Does not block. */
void waitset_run(struct waitset *);
/* The next of them, or NULL. */
struct waitset_member *waitset_next(struct waitset *);

/* Asks those that have run or been touched, and has the poll loop wake up when
 * any member has something to do. */
void waitset_wait(struct waitset *);

#endif /* mapping/mapd/waitset.h */
