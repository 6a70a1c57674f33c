#include <config.h>

#include "vswitchd-ext/agent-moves.h"

#include <string.h>

#include "anycast/engine.h"
#include "anycast/source-table.h"
#include "mapping/replica/replica.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/handover.h"
#include "vswitchd-ext/mapd-session.h"

VLOG_DEFINE_THIS_MODULE(agent_moves);

enum {
    WANTS_AT_ONCE    = 4,       /* Each a walk through the flow table. */
    PROVOKE_BATCH    = 500,     /* Clients at once, ... */
    PROVOKE_PAUSE_MS = 20,      /* ... and then a pause. */
    PROVOKE_ROUNDS   = 3,
    PROVOKE_ROUND_MS = 1000,
};

void
agent_moves_init(struct agent_moves *moves)
{
    memset(moves, 0, sizeof *moves);
    sset_init(&moves->dead);
}

void
agent_moves_uninit(struct agent_moves *moves)
{
    sset_destroy(&moves->dead);
}

/* Questions and answers. */

void
agent_moves_want(struct agent_moves *moves, const struct relay_want *want)
{
    if (moves->n_wants < AGENT_MAX_WANTS) {
        moves->wants[moves->n_wants++] = *want;
    }
}

void
agent_moves_enter(const struct relay_flows *flows)
{
    struct engine_world world = datapath_world();
    size_t n = handover_enter(&world, flows, time_usec());

    VLOG_DBG("%"PRIuSIZE" of %"PRIuSIZE" flows of a client that has moved "
             "here were entered", n, flows->n);
}

void
agent_moves_forget(struct agent_moves *moves)
{
    moves->n_wants = 0;
}

static void
answer_want(struct mapd_session *session, const struct relay_want *want)
{
    struct engine_world world = datapath_world();
    struct relay_flow *flows = xmalloc(RELAY_MAX_FLOWS * sizeof *flows);
    struct relay_flows answer = {
        .vni = want->vni, .source = want->source, .flows = flows,
    };
    uint64_t cursor = 0;

    if (world.sources) {
        source_table_forget(world.sources, want->vni, want->source);
    }
    ovs_strlcpy(answer.host, want->host, sizeof answer.host);
    do {
        answer.n = handover_collect(&world, want->vni, want->source,
                                    time_usec(), &cursor, flows,
                                    RELAY_MAX_FLOWS);
        if (answer.n) {
            mapd_session_send_flows(session, &answer);
        }
    } while (answer.n == RELAY_MAX_FLOWS);
    free(flows);
}

static void
answer_wants(struct agent_moves *moves, struct mapd_session *session)
{
    size_t n = MIN(moves->n_wants, WANTS_AT_ONCE);

    for (size_t i = 0; i < n; i++) {
        answer_want(session, &moves->wants[i]);
    }
    moves->n_wants -= n;
    memmove(moves->wants, moves->wants + n,
            moves->n_wants * sizeof *moves->wants);
}

/* Asks for flows that packet threads miss. */
static void
ask_for_flows(struct mapd_session *session)
{
    struct engine_question questions[8];
    size_t n;

    while ((n = datapath_take_questions(questions, ARRAY_SIZE(questions)))) {
        for (size_t i = 0; i < n; i++) {
            mapd_session_want_flows(session, questions[i].vni,
                                    questions[i].source);
        }
    }
}

/* Lost hosts. */

/* Clients of flows on lost endpoints are provoked bit by bit, and the whole
 * table is gone through PROVOKE_ROUNDS times: a provocation may get lost. */
static void
provoke_lost(struct agent_moves *moves)
{
    struct engine_world world = datapath_world();
    long long int now = time_msec();

    if (!moves->provoke_rounds || now < moves->provoke_at || !world.table) {
        return;
    }
    if (handover_provoke_lost(&world, time_usec(), &moves->provoke_cursor,
                              PROVOKE_BATCH) == PROVOKE_BATCH) {
        moves->provoke_at = now + PROVOKE_PAUSE_MS;
    } else {
        moves->provoke_cursor = 0;
        moves->provoke_rounds--;
        moves->provoke_at = now + PROVOKE_ROUND_MS;
    }
}

void
agent_moves_note_dead(struct agent_moves *moves, const struct replica *replica)
{
    struct sset dead = SSET_INITIALIZER(&dead);
    const struct replica_host *host;

    HMAP_FOR_EACH (host, node, &replica->hosts) {
        if (!host->alive) {
            sset_add(&dead, host->record.name);
            if (!sset_contains(&moves->dead, host->record.name)) {
                moves->provoke_rounds = PROVOKE_ROUNDS;
                moves->provoke_cursor = 0;
                moves->provoke_at = time_msec();
            }
        }
    }
    sset_swap(&moves->dead, &dead);
    sset_destroy(&dead);
}

void
agent_moves_run(struct agent_moves *moves, struct mapd_session *session)
{
    answer_wants(moves, session);
    ask_for_flows(session);
    provoke_lost(moves);
}

void
agent_moves_wait(const struct agent_moves *moves)
{
    if (moves->n_wants) {
        poll_immediate_wake();
    }
    if (moves->provoke_rounds) {
        poll_timer_wait_until(moves->provoke_at);
    }
}
