/* Listening, accepting, and the bounds on both. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "dirs.h"
#include "jsonrpc.h"
#include "mapping/mapd/unix-listener.h"
#include "mapping/mapd/wait-capture.h"
#include "mapping/tls.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_listen);

enum {
    ACCEPTS_PER_RUN = 64,       /* Per listener. */
    SPARE_FILES     = 64,       /* For the store, logs and so on. */
    ACCEPT_PAUSE_MS = 100,      /* After a failure. */
};

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

struct listener {
    struct ovs_list node;       /* In server->listeners. */
    struct pstream *pstream;
    struct unix_listener *unix_listener; /* NULL: TCP. */
    bool tls;
};

int
server_listen_find_room(size_t *max_connections, struct diagnosis *diag)
{
    const rlim_t wanted = SERVER_MAX_CONNECTIONS + SPARE_FILES;
    const rlim_t needed = SERVER_MIN_CONNECTIONS + SPARE_FILES;
    struct rlimit limit;
    char text[24];
    int error;

    if (getrlimit(RLIMIT_NOFILE, &limit)) {
        *max_connections = SERVER_MAX_CONNECTIONS;
        return 0;
    }
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = MIN(wanted, limit.rlim_max);
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= needed) {
        *max_connections = MIN(limit.rlim_cur, wanted) - SPARE_FILES;
        return 0;
    }
    snprintf(text, sizeof text, "%"PRIuMAX, (uintmax_t) limit.rlim_cur);
    error = diagnosis_set(diag, DIAG_BUSY, "nofile", text,
                          "this process may open %s files, which is too few",
                          text);
    diagnosis_set_hint(diag, "allow %d or more (ulimit -n, or LimitNOFILE= "
                       "of systemd)", (int) needed);
    return error;
}

/* Opening. */

/* The library logs what it then returns: let it not say things twice. */
void
server_listen_set_quiet(bool quiet)
{
    static const char *const names[] = { "socket_util", "stream", "stream_ssl",
                                         "stream_tcp", "stream_unix" };
    static enum vlog_level levels[ARRAY_SIZE(names)][VLF_N_DESTINATIONS];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct vlog_module *module = vlog_module_from_name(names[i]);

        for (int d = 0; module && d < VLF_N_DESTINATIONS; d++) {
            if (quiet) {
                levels[i][d] = vlog_get_level(module, d);
            }
            vlog_set_levels(module, d, quiet ? VLL_OFF : levels[i][d]);
        }
    }
}

static int
refuse_target(const char *target, const char *cause, const char *hint,
              struct diagnosis *diag)
{
    int error = diagnosis_set(diag, DIAG_INVALID, "listen", target,
                              "listen \"%s\": %s", target, cause);

    diagnosis_set_hint(diag, "%s", hint);
    return error;
}

enum { SCHEME_LEN = 5 };        /* "ptcp:", "pssl:". */

/* Completes "SCHEME:[PORT][:IP]"; the caller owns the result.  NULL if it is
 * malformed. */
static char *
complete_tcp(const char *target, const char *default_ip)
{
    const char *args = target + SCHEME_LEN;
    const char *colon = strchr(args, ':');
    struct sockaddr_storage ss;
    char *full;
    int port_length = colon ? colon - args : (int) strlen(args);

    full = xasprintf("%.*s%.*s%.0d:%s", SCHEME_LEN, target, port_length, args,
                     port_length ? 0 : SERVER_DEFAULT_PORT,
                     colon ? colon + 1 : default_ip);
    if (!inet_parse_passive(full + SCHEME_LEN, SERVER_DEFAULT_PORT, &ss,
                            false, NULL)) {
        free(full);
        return NULL;
    }
    return full;
}

/* 'full' is a complete_tcp(). */
static bool
is_loopback(const char *full)
{
    const char *ip = strchr(full + SCHEME_LEN, ':');

    return !strncmp(ip, ":127.", 5) || !strcmp(ip, ":[::1]");
}

static void
warn_if_plain(struct server *server, const char *full)
{
    if (!strncmp(full, "ptcp:", SCHEME_LEN) && !is_loopback(full)) {
        VLOG_WARN("%s: not authenticated and not encrypted; whoever reaches "
                  "it can change the mappings (pssl: is)", full);
        if (!server->plain_target) {
            server->plain_target = xstrdup(full);
        }
    }
}

static int
open_tcp(struct server *server, const char *target, const char *default_ip,
         struct pstream **pstream, struct diagnosis *diag)
{
    char *full;
    int error;

    server_listen_set_quiet(true);
    full = complete_tcp(target, default_ip);
    error = full ? pstream_open(full, pstream, 0) : EINVAL;
    server_listen_set_quiet(false);
    if (!full) {
        error = refuse_target(target, "must be punix:PATH, pssl:[PORT][:IP] "
                              "or ptcp:[PORT][:IP]", "IP is an address of "
                              "this machine, PORT 1 to 65535", diag);
    } else if (error) {
        error = refuse_target(full, ovs_strerror(error), "is another process "
                              "listening there, or the address not of this "
                              "machine?", diag);
    } else {
        warn_if_plain(server, full);
    }
    free(full);
    return error;
}

static int
open_tls(struct server *server, const char *target, struct pstream **pstream,
         struct diagnosis *diag)
{
    if (!tls_certificate()) {
        return refuse_target(target, "TLS needs a certificate", "give "
                             "--private-key, --certificate and --ca-cert",
                             diag);
    }
    return open_tcp(server, target, "0.0.0.0", pstream, diag);
}

/* A whole fleet may come at once.  The library's sockets let 64 wait, and hide
 * their descriptors, but not what they wait for. */
static void
let_many_wait(struct pstream *pstream)
{
    struct wait_capture capture;

    wait_capture_begin(&capture);
    pstream_wait(pstream);
    wait_capture_end();
    if (listen(capture.fd, SOMAXCONN)) {
        VLOG_WARN("%s: listen: %s", pstream_get_name(pstream),
                  ovs_strerror(errno));
    }
}

int
server_listen(struct server *server, const char *target,
              struct diagnosis *diag)
{
    bool tls = !strncmp(target, "pssl:", SCHEME_LEN);
    struct unix_listener *unix_listener = NULL;
    struct listener *listener;
    struct pstream *pstream;
    int error;

    if (!strncmp(target, "punix:", 6) && target[6]) {
        char *path = abs_file_name(ovs_rundir(), target + 6);

        error = unix_listener_open(path, &unix_listener, &pstream, diag);
        free(path);
    } else if (tls) {
        error = open_tls(server, target, &pstream, diag);
    } else if (!strncmp(target, "ptcp:", SCHEME_LEN)) {
        error = open_tcp(server, target, "127.0.0.1", &pstream, diag);
    } else {
        error = refuse_target(target, "must be punix:PATH, pssl:[PORT][:IP] "
                              "or ptcp:[PORT][:IP]", "as in punix:/run/x.sock "
                              "or pssl:6670:192.0.2.100", diag);
    }
    if (error) {
        return error;
    }
    let_many_wait(pstream);
    VLOG_INFO("%s: listening", pstream_get_name(pstream));

    listener = xmalloc(sizeof *listener);
    listener->pstream = pstream;
    listener->unix_listener = unix_listener;
    listener->tls = tls;
    ovs_list_push_back(&server->listeners, &listener->node);
    return 0;
}

void
server_listen_close(struct server *server)
{
    struct listener *listener;

    LIST_FOR_EACH_POP (listener, node, &server->listeners) {
        pstream_close(listener->pstream);
        unix_listener_close(listener->unix_listener);
        free(listener);
    }
}

/* Accepting. */

/* The last places are for Unix sockets, so that an operator on this machine
 * can get in and look, whatever the network does. */
static bool
has_room(const struct server *server, bool is_local)
{
    size_t reserved = is_local ? 0 : SERVER_RESERVED;

    return (server->n_connections + server->n_handshakes + reserved
            < server->max_connections);
}

/* Returns true if there is room for it; else it has been closed. */
static bool
check_room(const struct server *server, struct stream *stream, bool is_local)
{
    if (has_room(server, is_local)) {
        return true;
    }
    VLOG_WARN_RL(&rl, "%s: refused, there are %"PRIuSIZE" connections of "
                 "%"PRIuSIZE"%s", stream_get_name(stream),
                 server->n_connections + server->n_handshakes,
                 server->max_connections,
                 is_local ? "" : ", and the rest is for Unix sockets");
    stream_close(stream);
    return false;
}

struct connection *
server_add_connection(struct server *server, struct stream *stream,
                      bool is_local, const struct role *role, const char *who)
{
    struct connection *conn = xzalloc(sizeof *conn);

    conn->server = server;
    conn->role = *role;
    conn->who = nullable_xstrdup(who);
    conn->stranger_until = time_msec() + SERVER_HANDSHAKE_MS;
    conn->rpc = jsonrpc_open(stream);
    conn->probes = !is_local;
    conn->active = time_msec();
    ovs_list_push_back(&server->connections, &conn->node);
    server->n_connections++;
    server_watch_connection(conn);
    return conn;
}

static void
take_stream(struct server *server, struct stream *stream,
            const struct listener *listener)
{
    bool is_local = listener->unix_listener != NULL;

    if (!check_room(server, stream, is_local)) {
        return;
    } else if (listener->tls) {
        server_handshake_start(server, stream);
    } else {
        const struct role role = { .kind = ROLE_ADMIN };

        server_add_connection(server, stream, is_local, &role,
                              stream_get_peer_id(stream));
    }
}

/* Others wait in the kernel until handshakes have ended. */
static bool
may_accept(const struct server *server, const struct listener *listener)
{
    return !listener->tls || server->n_handshakes < SERVER_MAX_HANDSHAKES;
}

static void
accept_connections(struct server *server, const struct listener *listener)
{
    for (int i = 0; i < ACCEPTS_PER_RUN && may_accept(server, listener); i++) {
        struct stream *stream;
        int error = pstream_accept(listener->pstream, &stream);

        if (error == EAGAIN) {
            break;
        } else if (error) {
            /* Those who wait would wake us up again at once. */
            server->accept_after = time_msec() + ACCEPT_PAUSE_MS;
            VLOG_WARN_RL(&rl, "%s: accept failed: %s",
                         pstream_get_name(listener->pstream),
                         ovs_strerror(error));
            break;
        }
        take_stream(server, stream, listener);
    }
}

void
server_listen_run(struct server *server)
{
    const struct listener *listener;

    tls_refresh();
    if (time_msec() >= server->accept_after) {
        LIST_FOR_EACH (listener, node, &server->listeners) {
            accept_connections(server, listener);
        }
    }
}

void
server_listen_wait(const struct server *server)
{
    const struct listener *listener;

    if (time_msec() < server->accept_after) {
        poll_timer_wait_until(server->accept_after);
        return;
    }
    LIST_FOR_EACH (listener, node, &server->listeners) {
        if (may_accept(server, listener)) {
            pstream_wait(listener->pstream);
        }
    }
}
