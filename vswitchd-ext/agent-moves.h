/* The agent's dealings in flows: those that move with their client, asked for
 * and given by way of mapd, and those that have lost their host.  The agent's
 * thread.
 *
 *     agent_moves_init(&moves);
 *     ...agent_moves_want(), agent_moves_enter() as messages come...
 *     for (;;) {
 *         agent_moves_run(&moves, session);
 *         agent_moves_wait(&moves);
 *         poll_block();
 *     } */

#ifndef VSWITCHD_EXT_AGENT_MOVES_H
#define VSWITCHD_EXT_AGENT_MOVES_H 1

#include <stddef.h>
#include <stdint.h>

#include "mapping/relay.h"
#include "sset.h"

struct mapd_session;
struct replica;

enum { AGENT_MAX_WANTS = 64 };

/* A walk through the flow table for all that were waiting when it began. */
struct agent_walk {
    struct relay_want wants[AGENT_MAX_WANTS];
    size_t n;                   /* 0: there is no walk. */
    uint64_t cursor;
    struct relay_flow *flows[AGENT_MAX_WANTS]; /* RELAY_MAX_FLOWS, or NULL. */
    size_t n_flows[AGENT_MAX_WANTS];
};

struct agent_moves {
    struct relay_want wants[AGENT_MAX_WANTS]; /* To be answered. */
    size_t n_wants;
    struct agent_walk walk;

    struct sset dead;           /* Hosts, in the last table. */
    unsigned int provoke_rounds; /* Still to go. */
    uint64_t provoke_cursor;
    long long int provoke_at;
};

void agent_moves_init(struct agent_moves *);
void agent_moves_uninit(struct agent_moves *);

/* Another host's question about flows, to be answered by agent_moves_run(): it
 * may take a while.  More than AGENT_MAX_WANTS are not answered: who asks
 * knows to do without. */
void agent_moves_want(struct agent_moves *, const struct relay_want *);

/* Enters the flows that are another host's answer. */
void agent_moves_enter(const struct relay_flows *);

/* Forgets the questions of a session that has ended. */
void agent_moves_forget(struct agent_moves *);

/* Starts to provoke clients if a host in 'replica' is dead that was not in the
 * table before.  Call it when a table of 'replica' has been published. */
void agent_moves_note_dead(struct agent_moves *, const struct replica *);

/* Takes a step of all that is to be done. */
void agent_moves_run(struct agent_moves *, struct mapd_session *);
void agent_moves_wait(const struct agent_moves *);

#endif /* vswitchd-ext/agent-moves.h */
