/* The linker (--wrap) has the calls of poll-loop.h come here. */

#include <config.h>

#include "mapping/mapd/wait-capture.h"

#include <limits.h>
#include <stddef.h>

#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

/* NULL: the poll loop gets it all. */
static __thread struct wait_capture *current;

void
wait_capture_begin(struct wait_capture *capture)
{
    ovs_assert(!current);
    *capture = (struct wait_capture) { .fd = -1, .when = LLONG_MAX };
    current = capture;
}

void
wait_capture_end(void)
{
    ovs_assert(current);
    current = NULL;
}

void __real_poll_fd_wait_at(int, short int, const char *);
void __wrap_poll_fd_wait_at(int, short int, const char *);

void
__wrap_poll_fd_wait_at(int fd, short int events, const char *where)
{
    if (!current) {
        __real_poll_fd_wait_at(fd, events, where);
        return;
    }
    ovs_assert(current->fd < 0 || current->fd == fd);
    current->fd = fd;
    current->events |= events;
}

void __real_poll_timer_wait_until_at(long long int, const char *);
void __wrap_poll_timer_wait_until_at(long long int, const char *);

void
__wrap_poll_timer_wait_until_at(long long int when, const char *where)
{
    if (!current) {
        __real_poll_timer_wait_until_at(when, where);
        return;
    }
    current->when = MIN(current->when, when);
}

void __real_poll_timer_wait_at(long long int, const char *);
void __wrap_poll_timer_wait_at(long long int, const char *);

void
__wrap_poll_timer_wait_at(long long int ms, const char *where)
{
    if (!current) {
        __real_poll_timer_wait_at(ms, where);
        return;
    }
    current->when = MIN(current->when,
                        ms > 0 ? time_msec() + ms : LLONG_MIN);
}

void __real_poll_immediate_wake_at(const char *);
void __wrap_poll_immediate_wake_at(const char *);

void
__wrap_poll_immediate_wake_at(const char *where)
{
    if (!current) {
        __real_poll_immediate_wake_at(where);
        return;
    }
    current->when = LLONG_MIN;
}
