#include <config.h>

#include "mapping/service-notify.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(service_notify);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);

/* time_msec() of the next sign of life; LLONG_MAX: nobody wants any. */
static long long int alive_at = LLONG_MAX;

/* The socket's address and its length; 0 if there is none.  "@" stands for the
 * null byte of a name that is not in the file system. */
static socklen_t
get_address(struct sockaddr_un *sun)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path ? strlen(path) : 0;

    if (length < 2 || length >= sizeof sun->sun_path
        || (path[0] != '/' && path[0] != '@')) {
        return 0;
    }
    memset(sun, 0, sizeof *sun);
    sun->sun_family = AF_UNIX;
    memcpy(sun->sun_path, path, length);
    if (path[0] == '@') {
        sun->sun_path[0] = '\0';
    }
    return offsetof(struct sockaddr_un, sun_path) + length
           + (path[0] != '@');
}

static void
notify(const char *state)
{
    struct sockaddr_un sun;
    socklen_t length = get_address(&sun);
    int fd;

    if (!length) {
        return;
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL,
                         (struct sockaddr *) &sun, length) < 0) {
        VLOG_WARN_RL(&rl, "the service manager is not told %s: %s", state,
                     ovs_strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* How often signs of life are due, in ms; 0: never.  $WATCHDOG_PID, if it is
 * set, names the process that is meant. */
static long long int
get_interval(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    const char *usec = getenv("WATCHDOG_USEC");
    long long int n;

    if (!usec || !str_to_llong(usec, 10, &n) || n <= 0
        || (pid && strtoll(pid, NULL, 10) != getpid())) {
        return 0;
    }
    return MAX(n / 1000 / 2, 1);
}

void
service_notify_ready(void)
{
    notify("READY=1");
    if (get_interval()) {
        alive_at = time_msec();
    }
}

void
service_notify_stopping(void)
{
    notify("STOPPING=1");
}

void
service_notify_run(void)
{
    if (time_msec() >= alive_at) {
        alive_at = time_msec() + get_interval();
        notify("WATCHDOG=1");
    }
}

void
service_notify_wait(void)
{
    if (alive_at != LLONG_MAX) {
        poll_timer_wait_until(alive_at);
    }
}
