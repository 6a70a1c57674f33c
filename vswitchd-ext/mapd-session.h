/* One host's conversation with mapd: subscribes, registers once it can serve,
 * keeps a replica up to date, reports what is applied; and, by way of mapd,
 * hands flows over to other hosts and answers traces.  Reconnects by itself.
 * Not thread-safe.
 *
 *     s = mapd_session_create(remote, &self, &interest);
 *     mapd_session_set_handlers(s, &handlers, aux);
 *     mapd_session_set_serving(s);              as soon as it can
 *     for (;;) {
 *         if (mapd_session_run(s, &replica)) { build and publish a table; }
 *         mapd_session_applied(s, revision);
 *         mapd_session_wait(s);
 *         poll_block();
 *     } */

#ifndef VSWITCHD_EXT_MAPD_SESSION_H
#define VSWITCHD_EXT_MAPD_SESSION_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/record.h"
#include "mapping/relay.h"

struct json;
struct mapd_session;
struct replica;

/* What is done with messages that come from other hosts and from operators.
 * Called from within mapd_session_run(), in the order of arrival among updates
 * of the replica (which may be changed already by what came before); they may
 * call the functions that send.  Each may be NULL: then its messages are
 * ignored.  What the arguments point to is gone when the call returns.  It is
 * well formed, but need not be about anything known here: groups, endpoints
 * and states are for the handler to check. */
struct mapd_handlers {
    /* Host 'want->host' asks for the flows of 'want->source'.  If there are
     * any, answer it with mapd_session_send_flows(); else do nothing. */
    void (*want_flows)(void *aux, const struct relay_want *want);

    /* Flows that this host has asked for.  Several may come, from one host or
     * more. */
    void (*flows)(void *aux, const struct relay_flows *flows);

    /* An operator asks what would happen to a flow: answer, at once or within
     * 5 s, with mapd_session_send_traced(). */
    void (*trace)(void *aux, const struct relay_trace *trace);
};

/* Which tenants a host wants to hear of. */
struct mapd_interest {
    bool all;
    const uint32_t *vnis;       /* If not all. */
    size_t n_vnis;
};

/* Starts to connect to one of 'remotes' (with commas between them) as the host
 * 'self'. */
struct mapd_session *mapd_session_create(const char *remotes,
                                         const struct record_host *self,
                                         const struct mapd_interest *);
void mapd_session_destroy(struct mapd_session *);

/* Tells mapd of what has changed, without reconnecting. */
void mapd_session_set_self(struct mapd_session *, const struct record_host *);
void mapd_session_set_interest(struct mapd_session *,
                               const struct mapd_interest *);

/* Takes in what mapd sent, at time_msec() by the replica's clock.  Returns
 * true if '*replica' has changed.  What cannot be validated leaves it as it
 * was, is logged in one line, and is asked for again. */
bool mapd_session_run(struct mapd_session *, struct replica *replica);
void mapd_session_wait(struct mapd_session *);

/* Tells mapd, if it does not know yet, that the packet path uses 'revision'.
 */
void mapd_session_applied(struct mapd_session *, uint64_t revision);

/* 'handlers' is copied, 'aux' is not looked into. */
void mapd_session_set_handlers(struct mapd_session *,
                               const struct mapd_handlers *handlers,
                               void *aux);

/* Asks the other hosts for the flows of 'source' in 'vni', a VNI that this
 * host is interested in.  mapd passes on 10 questions a second and drops the
 * rest. Returns false if there is no connection: then nobody was asked. */
bool mapd_session_want_flows(struct mapd_session *, uint32_t vni,
                             struct inet_addr source);

/* Answers a question for flows: 'flows->host' is who asked; up to
 * RELAY_MAX_FLOWS in one message, of which mapd passes on 200 a second.  Lost
 * if there is no connection, or the question is older than 5 s. */
void mapd_session_send_flows(struct mapd_session *,
                             const struct relay_flows *flows);

/* Answers the trace with 'id'.  'answer' is an object with "text", what people
 * read (at most RELAY_TEXT_MAX bytes), and any other members; or just with
 * "error", a text that says why not.  Takes it over. */
void mapd_session_send_traced(struct mapd_session *, uint64_t id,
                              struct json *answer);

/* Sends a notification of report.h, 'param', which it takes over.  Lost if
 * there is no connection. */
void mapd_session_report(struct mapd_session *, const char *method,
                         struct json *param);

/* Sends request `claim` with 'param', which it takes over, unless one is under
 * way or there is no connection: then it returns false; and what has become of
 * the last one over this connection. */
enum mapd_claim {
    MAPD_CLAIM_NONE,            /* There was none. */
    MAPD_CLAIM_SENT,            /* It has not been answered. */
    MAPD_CLAIM_DONE,
    MAPD_CLAIM_REFUSED,
};
bool mapd_session_claim(struct mapd_session *, struct json *param);
enum mapd_claim mapd_session_claim_state(const struct mapd_session *);
/* How often mapd has asked for all claims again. */
unsigned int mapd_session_n_claims_wanted(const struct mapd_session *);

/* This host can serve: it registers, now and over each connection to come.
 * Until then it only listens, and is not alive to mapd. */
void mapd_session_set_serving(struct mapd_session *);

/* Whether mapd has registered this host over the present connection; how often
 * it has, over all of them, after each of which it knows no reports; and why
 * it refused to the last time, for people: NULL if it did not.  The text stays
 * until the next mapd_session_run(). */
bool mapd_session_is_registered(const struct mapd_session *);
unsigned int mapd_session_n_registrations(const struct mapd_session *);
const char *mapd_session_refusal(const struct mapd_session *);

/* Which of the tenants that it wants to hear of mapd does not let it see, and
 * what helps, for people: NULL if there are none.  As above. */
const char *mapd_session_unseen(const struct mapd_session *);

/* Whether there is a connection and a snapshot came over it. */
bool mapd_session_is_synced(const struct mapd_session *);

/* Whether mapd cannot be reached: the attempts to connect have failed, or it
 * has not sent a snapshot a second after the session began. */
bool mapd_session_is_away(const struct mapd_session *);

/* Why it is away, as far as the last attempt to connect tells, for people;
 * NULL if it is not, if there is a connection, or without a session. */
const char *mapd_session_trouble(const struct mapd_session *);

/* How many snapshots were taken in: revisions before and after one need not be
 * of the same store. */
unsigned int mapd_session_n_snapshots(const struct mapd_session *);

#endif /* vswitchd-ext/mapd-session.h */
