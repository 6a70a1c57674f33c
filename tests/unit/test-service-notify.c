/* What a service manager's socket receives, and when. */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "mapping/service-notify.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

enum { WATCHDOG_MS = 400 };

/* A socket with 'name', where '@' is the null byte of an abstract one. */
static int
listen_at(const char *name)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    ovs_strzcpy(sun.sun_path, name, sizeof sun.sun_path);
    if (name[0] == '@') {
        sun.sun_path[0] = '\0';
    }
    assert_false(bind(fd, (struct sockaddr *) &sun,
                      length + (name[0] != '@')));
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static void
expect(int fd, const char *text)
{
    char buffer[64] = "";
    ssize_t n = recv(fd, buffer, sizeof buffer - 1, 0);

    if (!text) {
        assert_int_equal(n, -1);
        assert_int_equal(errno, EAGAIN);
    } else {
        assert_string_equal(buffer, text);
    }
}

static void
test_socket(const char *name)
{
    int fd = listen_at(name);

    service_notify_ready();
    expect(fd, "READY=1");
    service_notify_run();
    service_notify_stopping();
    expect(fd, "STOPPING=1");   /* And no sign of life, unless asked for. */
    expect(fd, NULL);
    close(fd);
}

static void
test_sockets(void **state OVS_UNUSED)
{
    char directory[] = "/tmp/test-notify.XXXXXX";
    char *path, *abstract;

    assert_non_null(mkdtemp(directory));
    path = xasprintf("%s/socket", directory);
    abstract = xasprintf("@test-notify-%ld", (long int) getpid());
    test_socket(path);
    test_socket(abstract);
    unlink(path);
    rmdir(directory);
    free(path);
    free(abstract);
}

/* Nobody listens, or there is nothing to make sense of: that is no harm. */
static void
test_nobody(void **state OVS_UNUSED)
{
    char *longest = xmalloc(201);

    memset(longest, '/', 200);
    longest[200] = '\0';
    unsetenv("NOTIFY_SOCKET");
    service_notify_ready();
    for (const char *const *name = (const char *const[]) {
             "", "/", "@", "relative", "/nonexistent/socket", longest, NULL };
         *name; name++) {
        setenv("NOTIFY_SOCKET", *name, 1);
        service_notify_ready();
        service_notify_stopping();
    }
    free(longest);
}

/* For as long as a loop goes round, and it goes round without anything else to
 * do, it is never silent for the whole time. */
static void
test_watchdog(void **state OVS_UNUSED)
{
    char *name = xasprintf("@test-notify-%ld", (long int) getpid());
    char *usec = xasprintf("%d", WATCHDOG_MS * 1000);
    char *pid = xasprintf("%ld", (long int) getpid());
    int fd = listen_at(name);

    setenv("WATCHDOG_USEC", usec, 1);
    setenv("WATCHDOG_PID", "1", 1); /* Not for us. */
    service_notify_ready();
    service_notify_run();
    expect(fd, "READY=1");
    expect(fd, NULL);

    setenv("WATCHDOG_PID", pid, 1);
    service_notify_ready();
    expect(fd, "READY=1");
    for (int i = 0; i < 3; i++) {
        long long int started = time_msec();

        service_notify_run();
        expect(fd, "WATCHDOG=1");
        service_notify_run();
        expect(fd, NULL);
        service_notify_wait();
        poll_block();
        /* Woken in time, and not all the time. */
        assert_in_range(time_msec() - started, WATCHDOG_MS / 4, 10000);
    }
    close(fd);
    free(name);
    free(usec);
    free(pid);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_watchdog),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
