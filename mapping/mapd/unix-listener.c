#include <config.h>

#include "mapping/mapd/unix-listener.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fatal-signal.h"
#include "openvswitch/list.h"
#include "openvswitch/vlog.h"
#include "ovs-atomic.h"
#include "socket-util.h"
#include "stream-fd.h"
#include "stream.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(unix_listener);

struct unix_listener {
    struct ovs_list node;       /* In 'listeners'. */
    char *path;
    dev_t dev;                  /* What bind() made there. */
    ino_t ino;
};

/* For the hook that runs at exit. */
static struct ovs_list listeners = OVS_LIST_INITIALIZER(&listeners);

/* What is there. */

enum state {
    FREE,                       /* Nothing. */
    DEAD,                       /* A socket that nobody answers on. */
    LIVE,                       /* A socket that somebody answers on. */
    FOREIGN,                    /* No socket. */
    UNKNOWN,                    /* errno says why. */
};

static enum state
probe(const char *path)
{
    struct stat s;
    int fd;

    if (lstat(path, &s)) {
        return errno == ENOENT ? FREE : UNKNOWN;
    } else if (!S_ISSOCK(s.st_mode)) {
        return FOREIGN;
    }

    fd = make_unix_socket(SOCK_STREAM, true, NULL, path);
    if (fd >= 0) {
        close(fd);
        return LIVE;
    }
    errno = -fd;
    switch (errno) {
    case ECONNREFUSED:
        return DEAD;
    case ENOENT:
        return FREE;
    case EPROTO:                /* Its queue is full. */
    case EPROTOTYPE:            /* Of another type, and bound. */
        return LIVE;
    default:
        return UNKNOWN;
    }
}

int
unix_listener_check(const char *path, const char *option,
                    struct diagnosis *diag)
{
    int error;

    switch (probe(path)) {
    case FREE:
    case DEAD:
        return 0;

    case LIVE:
        error = diagnosis_set(diag, DIAG_INVALID, option, path,
                              "%s: in use by another process", path);
        diagnosis_set_hint(diag, "stop that one, or name another socket with "
                           "--%s", option);
        return error;

    case FOREIGN:
        error = diagnosis_set(diag, DIAG_INVALID, option, path,
                              "%s: exists and is not a socket", path);
        diagnosis_set_hint(diag, "name another path with --%s", option);
        return error;

    case UNKNOWN:
    default:
        error = diagnosis_set(diag, DIAG_INVALID, option, path, "%s: %s",
                              path, ovs_strerror(errno));
        diagnosis_set_hint(diag, "name another path with --%s", option);
        return error;
    }
}

/* Listening. */

static void
remove_socket(const struct unix_listener *listener)
{
    struct stat s;

    if (!lstat(listener->path, &s) && s.st_dev == listener->dev
        && s.st_ino == listener->ino) {
        unlink(listener->path);
    }
}

static void
remove_all(void *aux OVS_UNUSED)
{
    const struct unix_listener *listener;

    LIST_FOR_EACH (listener, node, &listeners) {
        remove_socket(listener);
    }
}

/* They are the parent's. */
static void
forget_all(void *aux OVS_UNUSED)
{
    ovs_list_init(&listeners);
}

static void
add_hook(void)
{
    static bool added;

    if (!added) {
        added = true;
        fatal_signal_add_hook(remove_all, forget_all, NULL, true);
    }
}

static int
accept_stream(int fd, const struct sockaddr_storage *ss OVS_UNUSED,
              size_t ss_len OVS_UNUSED, struct stream **streamp)
{
    static atomic_count next = ATOMIC_COUNT_INIT(0);
    struct ucred peer;
    socklen_t length = sizeof peer;
    int error;

    /* Clients have no names: the number tells them apart in the log. */
    error = new_fd_stream(xasprintf("unix#%u", atomic_count_inc(&next)), fd, 0,
                          AF_UNIX, streamp);
    if (!error && !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length)) {
        char *user = xasprintf("uid:%u", (unsigned int) peer.uid);

        stream_set_peer_id(*streamp, user);
        free(user);
    }
    return error;
}

static int
cannot_listen(const char *path, int error, struct diagnosis *diag)
{
    error = diagnosis_set(diag, DIAG_INVALID, "listen", path,
                          "%s: cannot listen (%s)", path,
                          ovs_strerror(error));
    diagnosis_set_hint(diag, "is its directory there and writable?");
    return error;
}

/* The library would log a failure once more. */
static int
check_directory(const char *path)
{
    char *directory = dir_name(path);
    int error = access(directory, W_OK | X_OK) ? errno : 0;

    free(directory);
    return error;
}

int
unix_listener_open(const char *path, struct unix_listener **listenerp,
                   struct pstream **pstreamp, struct diagnosis *diag)
{
    struct unix_listener *listener;
    struct stat s;
    int error = unix_listener_check(path, "listen", diag);
    int fd;

    if (error) {
        return error;
    }
    error = check_directory(path);
    if (error) {
        return cannot_listen(path, error, diag);
    }
    fd = make_unix_socket(SOCK_STREAM, true, path, NULL);
    if (fd < 0) {
        return cannot_listen(path, -fd, diag);
    }
    /* The library would remove whatever is there at exit. */
    fatal_signal_remove_file_to_unlink(path);
    if (listen(fd, SOMAXCONN) || lstat(path, &s)) {
        error = errno;
        close(fd);
        unlink(path);
        return cannot_listen(path, error, diag);
    }

    add_hook();
    listener = xmalloc(sizeof *listener);
    listener->path = xstrdup(path);
    listener->dev = s.st_dev;
    listener->ino = s.st_ino;
    ovs_list_push_back(&listeners, &listener->node);
    new_fd_pstream(xasprintf("punix:%s", path), fd, accept_stream, NULL,
                   pstreamp);
    *listenerp = listener;
    return 0;
}

void
unix_listener_close(struct unix_listener *listener)
{
    if (listener) {
        remove_socket(listener);
        ovs_list_remove(&listener->node);
        free(listener->path);
        free(listener);
    }
}

/* What the dead have left. */

/* Whether 'name' is PROGRAM.PID.ctl of a process that is no more. */
static bool
is_of_dead(const char *name, const char *program)
{
    size_t length = strlen(program);
    char *end;
    long pid;

    if (strncmp(name, program, length) || name[length] != '.'
        || name[length + 1] < '1' || name[length + 1] > '9') {
        return false;
    }
    errno = 0;
    pid = strtol(name + length + 1, &end, 10);
    return (!errno && pid == (pid_t) pid && !strcmp(end, ".ctl")
            && kill(pid, 0) && errno == ESRCH);
}

void
unix_listener_remove_dead(const char *rundir, const char *program)
{
    DIR *stream = opendir(rundir);
    struct dirent *entry;

    while (stream && (entry = readdir(stream))) {
        if (is_of_dead(entry->d_name, program)) {
            char *path = xasprintf("%s/%s", rundir, entry->d_name);

            if (probe(path) == DEAD && !unlink(path)) {
                VLOG_INFO("%s: removed, its process is gone", path);
            }
            free(path);
        }
    }
    if (stream) {
        closedir(stream);
    }
}
