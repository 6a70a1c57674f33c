/* libmicrohttpd works in its external mode: its epoll descriptor wakes our
 * loop, and MHD_run() does what is ready.  It bounds connections and memory,
 * and it closes idle connections; that one is not served for ever by a byte at
 * a time is for us. */

#include <config.h>

#include "mapping/metrics-server.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mapping/metrics-address.h"
#include "mapping/metrics.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(metrics_server);

enum { BACKLOG = 64 };          /* Of the listening socket. */

struct metrics_server {
    struct MHD_Daemon *daemon;
    struct metrics_source source;
    struct ovs_list clients;    /* Of struct client, the oldest first. */
    int epoll_fd;               /* The daemon's. */
    bool has_room;              /* A client has left: when it was the last that
                                 * there was room for, the daemon listens
                                 * again from the next MHD_run() on. */
};

struct client {
    struct ovs_list node;
    int fd;                     /* The daemon's. */
    long long int deadline;     /* time_msec(). */
};

/* Listening. */

static bool
is_loopback(const struct sockaddr_storage *ss)
{
    const struct sockaddr_in *sin = (const struct sockaddr_in *) ss;
    const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *) ss;

    return (ss->ss_family == AF_INET
            ? (ntohl(sin->sin_addr.s_addr) >> 24) == 127
            : IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr));
}

/* A listening socket, or a negative errno. */
static int
open_socket(const struct sockaddr_storage *ss)
{
    int fd = socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    0);
    int on = 1, error;

    if (fd < 0) {
        return -errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *) ss, ss_length(ss))
        || listen(fd, BACKLOG)) {
        error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* Answers. */

static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned int status,
       const char *type, char *text)
{
    struct MHD_Response *response
        = MHD_create_response_from_buffer(strlen(text), text,
                                          MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result;

    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
answer_plain(struct MHD_Connection *connection, unsigned int status,
             char *text)
{
    return answer(connection, status, "text/plain; charset=utf-8", text);
}

static enum MHD_Result
answer_metrics(struct metrics_server *server,
               struct MHD_Connection *connection)
{
    struct metrics m = METRICS_INITIALIZER;

    server->source.write(&m, server->source.aux);
    return answer(connection, MHD_HTTP_OK,
                  "text/plain; version=0.0.4; charset=utf-8",
                  ds_steal_cstr(&m.text));
}

static enum MHD_Result
answer_health(struct metrics_server *server, struct MHD_Connection *connection)
{
    char *problem = server->source.problem(server->source.aux);
    char *text = xasprintf("%s\n", problem ? problem : "ok");
    unsigned int status = problem ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;

    free(problem);
    return answer_plain(connection, status, text);
}

static enum MHD_Result
handle_request(void *server_, struct MHD_Connection *connection,
               const char *url, const char *method,
               const char *version OVS_UNUSED, const char *data OVS_UNUSED,
               size_t *data_size OVS_UNUSED, void **request OVS_UNUSED)
{
    struct metrics_server *server = server_;

    if (strcmp(method, "GET") && strcmp(method, "HEAD")) {
        return answer_plain(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                            xstrdup("only GET and HEAD\n"));
    } else if (!strcmp(url, "/metrics")) {
        return answer_metrics(server, connection);
    } else if (!strcmp(url, "/healthz")) {
        return answer_health(server, connection);
    }
    return answer_plain(connection, MHD_HTTP_NOT_FOUND,
                        xstrdup("/metrics and /healthz are here\n"));
}

/* Clients. */

static void
note_client(void *server_, struct MHD_Connection *connection, void **client_,
            enum MHD_ConnectionNotificationCode code)
{
    struct metrics_server *server = server_;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info
            = MHD_get_connection_info(connection,
                                      MHD_CONNECTION_INFO_CONNECTION_FD);
        struct client *client = xmalloc(sizeof *client);

        client->fd = info->connect_fd;
        client->deadline = time_msec() + METRICS_SERVER_MAX_MS;
        ovs_list_push_back(&server->clients, &client->node);
        *client_ = client;
    } else {
        struct client *client = *client_;

        ovs_list_remove(&client->node);
        free(client);
        server->has_room = true;
    }
}

/* The daemon then finds the connection broken and closes it. */
static void
cut_off_slow(struct metrics_server *server)
{
    struct client *client;

    LIST_FOR_EACH_SAFE (client, node, &server->clients) {
        if (time_msec() < client->deadline) {
            break;
        }
        shutdown(client->fd, SHUT_RDWR);
        client->deadline = time_msec() + METRICS_SERVER_MAX_MS;
        ovs_list_remove(&client->node);
        ovs_list_push_back(&server->clients, &client->node);
    }
}

/* Life. */

static void OVS_PRINTF_FORMAT(2, 0)
log_message(void *aux OVS_UNUSED, const char *format, va_list args)
{
    char *text = xvasprintf(format, args);

    text[strcspn(text, "\n")] = '\0';
    VLOG_DBG("%s", text);
    free(text);
}

static struct MHD_Daemon *
start_daemon(int fd, struct metrics_server *server)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        handle_request, server,
        MHD_OPTION_EXTERNAL_LOGGER, log_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned int) METRICS_SERVER_MAX_CLIENTS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) METRICS_SERVER_MAX_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned int) (METRICS_SERVER_MAX_MS / 1000),
        MHD_OPTION_NOTIFY_CONNECTION, note_client, server,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_END);
}

int
metrics_server_create(const char *address, const char *option,
                      const struct metrics_source *source,
                      struct metrics_server **serverp, struct diagnosis *diag)
{
    struct metrics_server *server;
    struct sockaddr_storage ss;
    int error = metrics_address_parse(address, option, &ss, diag);
    int fd = error ? -1 : open_socket(&ss);

    if (error) {
        return error;
    } else if (fd < 0) {
        error = diagnosis_set(diag, DIAG_INVALID, option, address,
                              "%s \"%s\": %s", option, address,
                              ovs_strerror(-fd));
        diagnosis_set_hint(diag, "is another process listening there, or the "
                           "address not of this machine?");
        return error;
    }
    server = xmalloc(sizeof *server);
    server->source = *source;
    server->has_room = false;
    ovs_list_init(&server->clients);
    server->daemon = start_daemon(fd, server);
    if (!server->daemon) {      /* That has closed 'fd'. */
        free(server);
        return diagnosis_set(diag, DIAG_BUSY, option, address,
                             "%s \"%s\": the HTTP server does not start",
                             option, address);
    }
    server->epoll_fd = MHD_get_daemon_info(server->daemon,
                                           MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    if (!is_loopback(&ss)) {
        VLOG_INFO("%s: figures are told to whoever reaches this address",
                  address);
    }
    *serverp = server;
    return 0;
}

void
metrics_server_destroy(struct metrics_server *server)
{
    if (server) {
        MHD_stop_daemon(server->daemon);
        free(server);
    }
}

void
metrics_server_run(struct metrics_server *server)
{
    if (server) {
        cut_off_slow(server);
        server->has_room = false;
        MHD_run(server->daemon);
    }
}

void
metrics_server_wait(const struct metrics_server *server)
{
    MHD_UNSIGNED_LONG_LONG ms;

    if (!server) {
        return;
    }
    poll_fd_wait(server->epoll_fd, POLLIN);
    if (server->has_room) {
        poll_immediate_wake();
    }
    if (MHD_get_timeout(server->daemon, &ms) == MHD_YES) {
        poll_timer_wait(MIN(ms, METRICS_SERVER_MAX_MS));
    }
    if (!ovs_list_is_empty(&server->clients)) {
        struct client *first = CONTAINER_OF(ovs_list_front(&server->clients),
                                            struct client, node);

        poll_timer_wait_until(first->deadline);
    }
}
