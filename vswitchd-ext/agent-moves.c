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
    WALK_STEP        = 20000,   /* Flows looked at before other work. */
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
    agent_moves_forget(moves);
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

static void
send_answer(struct agent_walk *walk, size_t i, struct mapd_session *session)
{
    struct relay_flows answer = {
        .vni = walk->wants[i].vni, .source = walk->wants[i].source,
        .flows = walk->flows[i], .n = walk->n_flows[i],
    };

    if (answer.n) {
        struct engine_world world = datapath_world();

        ovs_strlcpy(answer.host, walk->wants[i].host, sizeof answer.host);
        mapd_session_send_flows(session, &answer);
        handover_let_go(&world, &answer, time_usec());
        walk->n_flows[i] = 0;
    }
}

/* handover_collect()'s. */
struct walker {
    struct agent_walk *walk;
    struct mapd_session *session;
};

static void
note_flow(void *walker_, size_t i, const struct relay_flow *flow)
{
    struct walker *walker = walker_;
    struct agent_walk *walk = walker->walk;

    if (!walk->flows[i]) {
        walk->flows[i] = xmalloc(RELAY_MAX_FLOWS * sizeof *flow);
    }
    walk->flows[i][walk->n_flows[i]++] = *flow;
    if (walk->n_flows[i] == RELAY_MAX_FLOWS) {
        send_answer(walk, i, walker->session);
    }
}

static void
end_walk(struct agent_walk *walk)
{
    for (size_t i = 0; i < walk->n; i++) {
        free(walk->flows[i]);
    }
    memset(walk, 0, sizeof *walk);
}

void
agent_moves_forget(struct agent_moves *moves)
{
    moves->n_wants = 0;
    end_walk(&moves->walk);
}

/* For all that have asked so far.  The clients are elsewhere now. */
static void
begin_walk(struct agent_moves *moves)
{
    struct engine_world world = datapath_world();
    struct agent_walk *walk = &moves->walk;

    walk->n = moves->n_wants;
    moves->n_wants = 0;
    memcpy(walk->wants, moves->wants, walk->n * sizeof *walk->wants);
    for (size_t i = 0; i < walk->n && world.sources; i++) {
        source_table_forget(world.sources, walk->wants[i].vni,
                            walk->wants[i].source);
    }
}

/* Takes a step of the walk, or begins one if anybody has asked. */
static void
answer_wants(struct agent_moves *moves, struct mapd_session *session)
{
    struct engine_world world = datapath_world();
    struct agent_walk *walk = &moves->walk;
    struct walker walker = { walk, session };

    if (!walk->n) {
        begin_walk(moves);
    }
    if (walk->n
        && !handover_collect(&world, walk->wants, walk->n, time_usec(),
                             &walk->cursor, WALK_STEP, note_flow, &walker)) {
        for (size_t i = 0; i < walk->n; i++) {
            send_answer(walk, i, session);
        }
        end_walk(walk);
    }
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
    size_t n;

    if (!moves->provoke_rounds || now < moves->provoke_at) {
        return;
    }
    if (!handover_can_provoke(&world)) {
        moves->provoke_rounds = 0;
    } else if (handover_provoke_lost(&world, time_usec(),
                                     &moves->provoke_cursor, WALK_STEP,
                                     PROVOKE_BATCH, &n)) {
        moves->provoke_at = now + (n == PROVOKE_BATCH ? PROVOKE_PAUSE_MS : 0);
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
    if (moves->n_wants || moves->walk.n) {
        poll_immediate_wake();
    }
    if (moves->provoke_rounds) {
        poll_timer_wait_until(moves->provoke_at);
    }
}
