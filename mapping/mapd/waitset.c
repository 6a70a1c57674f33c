/* One epoll instance holds the descriptors, level-triggered, so that it means
 * what poll() would say of each; a heap holds the times. */

#include <config.h>

#include "mapping/mapd/waitset.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "mapping/mapd/wait-capture.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(waitset);

enum {
    WAITSET_EVENTS   = 64,      /* At a time, so that what is decided then is
                                 * soon; the kernel gives each its turn. */
    WAITSET_RETRY_MS = 100,     /* Without the kernel's help. */
};

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

BUILD_ASSERT_DECL(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT);

int
waitset_init(struct waitset *set)
{
    set->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (set->epoll < 0) {
        return errno;
    }
    ovs_list_init(&set->due);
    ovs_list_init(&set->touched);
    heap_init(&set->timers);
    return 0;
}

void
waitset_destroy(struct waitset *set)
{
    ovs_assert(ovs_list_is_empty(&set->due)
               && ovs_list_is_empty(&set->touched)
               && heap_is_empty(&set->timers));
    heap_destroy(&set->timers);
    close(set->epoll);
}

/* Lists. */

static void
unlist(struct waitset_member *member)
{
    if (member->is_due || member->is_touched) {
        ovs_list_remove(&member->node);
        member->is_due = member->is_touched = false;
    }
}

static void
make_due(struct waitset *set, struct waitset_member *member)
{
    if (!member->is_due) {
        unlist(member);
        ovs_list_push_back(&set->due, &member->node);
        member->is_due = true;
    }
}

/* One that is due is asked after it has run. */
void
waitset_touch(struct waitset *set, struct waitset_member *member)
{
    if (!member->is_due && !member->is_touched) {
        ovs_list_push_back(&set->touched, &member->node);
        member->is_touched = true;
    }
}

/* Times. */

/* The heap has the largest first. */
static uint64_t
priority(long long int when)
{
    return UINT64_MAX - MAX(when, 0);
}

static long long int
first_time(const struct waitset *set)
{
    return UINT64_MAX - heap_max(&set->timers)->priority;
}

static void
clear_timer(struct waitset *set, struct waitset_member *member)
{
    if (member->has_timer) {
        heap_remove(&set->timers, &member->timer);
        member->has_timer = false;
    }
}

/* Has 'member' be due at 'when', or before it: most times are put off again
 * and again, and one that comes too early for it is asked anew. */
static void
set_timer(struct waitset *set, struct waitset_member *member,
          long long int when)
{
    if (when == LLONG_MAX) {
        return;
    } else if (!member->has_timer) {
        heap_insert(&set->timers, &member->timer, priority(when));
        member->has_timer = true;
    } else if (member->timer.priority < priority(when)) {
        heap_change(&set->timers, &member->timer, priority(when));
    }
}

/* Descriptors. */

static void
clear_fd(struct waitset *set, struct waitset_member *member)
{
    if (member->fd >= 0) {
        epoll_ctl(set->epoll, EPOLL_CTL_DEL, member->fd, NULL);
        member->fd = -1;
    }
}

/* Returns false if the kernel does not do it. */
static bool
set_fd(struct waitset *set, struct waitset_member *member, int fd,
       uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = member };

    if (member->fd == fd && (fd < 0 || member->events == events)) {
        return true;
    } else if (member->fd != fd) {
        clear_fd(set, member);
    }
    if (fd >= 0 && epoll_ctl(set->epoll, member->fd == fd ? EPOLL_CTL_MOD
                             : EPOLL_CTL_ADD, fd, &event)) {
        VLOG_WARN_RL(&rl, "epoll_ctl: %s", ovs_strerror(errno));
        clear_fd(set, member);
        return false;
    }
    member->fd = fd;
    member->events = events;
    return true;
}

/* Members. */

void
waitset_add(struct waitset *set, struct waitset_member *member,
            waitset_function *wait)
{
    *member = (struct waitset_member) { .wait = wait, .fd = -1 };
    make_due(set, member);
}

void
waitset_remove(struct waitset *set, struct waitset_member *member)
{
    unlist(member);
    clear_timer(set, member);
    clear_fd(set, member);
}

void
waitset_run(struct waitset *set)
{
    struct epoll_event events[WAITSET_EVENTS];
    int n = epoll_wait(set->epoll, events, WAITSET_EVENTS, 0);

    for (int i = 0; i < n; i++) {
        make_due(set, events[i].data.ptr);
    }
    while (!heap_is_empty(&set->timers) && first_time(set) <= time_msec()) {
        struct waitset_member *member
            = CONTAINER_OF(heap_max(&set->timers), struct waitset_member,
                           timer);

        clear_timer(set, member);
        make_due(set, member);
    }
}

struct waitset_member *
waitset_next(struct waitset *set)
{
    struct waitset_member *member;

    if (ovs_list_is_empty(&set->due)) {
        return NULL;
    }
    INIT_CONTAINER(member, ovs_list_front(&set->due), node);
    unlist(member);
    waitset_touch(set, member);
    return member;
}

static void
ask(struct waitset *set, struct waitset_member *member)
{
    struct wait_capture capture;

    wait_capture_begin(&capture);
    member->wait(member);
    wait_capture_end();

    /* It waits for something: or is the program linked without the wraps? */
    ovs_assert(capture.fd >= 0 || capture.when != LLONG_MAX);

    if (capture.when == LLONG_MIN) {
        make_due(set, member);
        return;
    }
    if (!set_fd(set, member, capture.fd, capture.events)) {
        capture.when = MIN(capture.when, time_msec() + WAITSET_RETRY_MS);
    }
    set_timer(set, member, capture.when);
}

void
waitset_wait(struct waitset *set)
{
    struct waitset_member *member;

    LIST_FOR_EACH_POP (member, node, &set->touched) {
        member->is_touched = false;
        ask(set, member);
    }
    poll_fd_wait(set->epoll, POLLIN);
    if (!ovs_list_is_empty(&set->due)) {
        poll_immediate_wake();
    } else if (!heap_is_empty(&set->timers)) {
        poll_timer_wait_until(first_time(set));
    }
}
