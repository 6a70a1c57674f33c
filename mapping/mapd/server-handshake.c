/* TLS connections that have yet to show who they are.
 *
 * They cost strangers nothing, and so they are bounded: in number, per
 * address, and in time; and in the work that is done for them before others
 * get their turn.  One that fails is told of once per address and minute. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/tls.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_handshake);

enum { WORK_MS = 10 };          /* At a time. */

struct handshake {
    struct ovs_list node;       /* In server->handshakes. */
    struct waitset_member member; /* Of server->handshaking. */
    struct server *server;
    struct stream *stream;
    struct ssl_st *session;     /* Of 'stream'. */
    size_t address_length;      /* Of its name, without the port. */
    long long int deadline;     /* time_msec(). */
};

static bool
is_same_address(const struct handshake *a, const struct handshake *b)
{
    return (a->address_length == b->address_length
            && !memcmp(stream_get_name(a->stream), stream_get_name(b->stream),
                       a->address_length));
}

/* What its address is called among the refusals. */
static void
get_key(const struct handshake *h, char key[REFUSALS_KEY_SIZE])
{
    snprintf(key, REFUSALS_KEY_SIZE, "%.*s", (int) h->address_length,
             stream_get_name(h->stream));
}

static void
handshake_destroy(struct server *server, struct handshake *h)
{
    ovs_list_remove(&h->node);
    server->n_handshakes--;
    waitset_remove(&server->handshaking, &h->member);
    free(h);
}

static void
close_handshake(struct server *server, struct handshake *h)
{
    struct stream *stream = h->stream;

    handshake_destroy(server, h); /* While its descriptor is its own. */
    stream_close(stream);
}

/* Ends 'h', which failed. */
static void
refuse(struct server *server, struct handshake *h, const char *why)
{
    char key[REFUSALS_KEY_SIZE];
    unsigned int n;

    get_key(h, key);
    n = refusals_note(&server->refusals, key, time_msec());
    if (n == 1) {
        VLOG_WARN("%s: refused: %s", stream_get_name(h->stream), why);
    } else if (n) {
        VLOG_WARN("%s: refused, as %u others from there since it was last "
                  "told: %s", stream_get_name(h->stream), n - 1, why);
    }
    close_handshake(server, h);
}

/* What a certificate says may be any bytes. */
static char *
printable(const char *text)
{
    char *copy = nullable_xstrdup(text);

    for (char *p = copy; p && *p; p++) {
        if ((unsigned char) *p < ' ' || (unsigned char) *p >= 0x7f) {
            *p = '?';
        }
    }
    return copy;
}

static void
finish(struct server *server, struct handshake *h)
{
    struct stream *stream = h->stream;
    const char *name = stream_get_peer_id(stream);
    struct role role = roles_from_common_name(name);
    char *who = printable(name);
    struct tls_peer peer;
    struct connection *conn;

    tls_get_peer(h->session, &peer);
    handshake_destroy(server, h);
    conn = server_add_connection(server, stream, false, &role, who);
    conn->peer = peer;
    server_trust_check(conn);
    free(who);
}

/* Calls 'step' for 'h'.  The library says why a handshake fails only if that
 * has not been told of this address lately. */
static int
quietly(struct server *server, struct handshake *h,
        int (*step)(struct stream *))
{
    char key[REFUSALS_KEY_SIZE];
    bool quiet;
    int error;

    get_key(h, key);
    quiet = !refusals_is_due(&server->refusals, key, time_msec());
    if (quiet) {
        server_listen_set_quiet(true);
    }
    error = step(h->stream);
    if (quiet) {
        server_listen_set_quiet(false);
    }
    return error;
}

static int
wait_for(struct stream *stream)
{
    stream_connect_wait(stream);
    return 0;
}

/* This goes on with the handshake, too. */
static void
handshake_wait(struct waitset_member *member)
{
    struct handshake *h = CONTAINER_OF(member, struct handshake, member);

    quietly(h->server, h, wait_for);
    poll_timer_wait_until(h->deadline);
}

void
server_handshake_start(struct server *server, struct stream *stream)
{
    struct handshake *h = xmalloc(sizeof *h), *other;
    const char *name = stream_get_name(stream);
    size_t n_same = 0;

    h->server = server;
    h->stream = stream;
    h->session = tls_newest_session();
    h->address_length = strrchr(name, ':') - name;
    h->deadline = time_msec() + SERVER_HANDSHAKE_MS;
    LIST_FOR_EACH (other, node, &server->handshakes) {
        n_same += is_same_address(h, other);
    }
    ovs_list_push_back(&server->handshakes, &h->node);
    server->n_handshakes++;
    waitset_add(&server->handshaking, &h->member, handshake_wait);
    if (n_same >= SERVER_HANDSHAKES_EACH) {
        refuse(server, h, "too many from there have yet to show a "
               "certificate");
    }
}

static void
handshake_run(struct server *server, struct handshake *h)
{
    int error = quietly(server, h, stream_connect);

    if (!error) {
        finish(server, h);
    } else if (error != EAGAIN) {
        refuse(server, h, "the TLS handshake failed; it needs a certificate "
               "that --ca-cert vouches for, at this time");
    } else if (time_msec() >= h->deadline) {
        refuse(server, h, "the TLS handshake takes too long");
    }
}

void
server_handshake_run(struct server *server)
{
    long long int until = time_msec() + WORK_MS;
    struct waitset_member *member;

    waitset_run(&server->handshaking);
    while ((member = waitset_next(&server->handshaking))) {
        handshake_run(server, CONTAINER_OF(member, struct handshake, member));
        if (time_msec() >= until) {
            break;              /* Others go on, after other work. */
        }
    }
}

void
server_handshake_wait(struct server *server)
{
    waitset_wait(&server->handshaking);
}

void
server_handshake_close(struct server *server)
{
    struct handshake *h;

    LIST_FOR_EACH_SAFE (h, node, &server->handshakes) {
        close_handshake(server, h);
    }
}
