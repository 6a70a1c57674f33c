/* Several threads with an engine each, the workers, that share a world: its
 * flow table, sources and loads.  While they work, tables may be replaced.
 *
 *     crew = crew_create(false, false, 10000);
 *     crew_start(crew, work, threads);
 *     ...
 *     crew_join(crew, threads);
 *     crew_check(crew);
 *     crew_destroy(crew);
 *
 *     crew_begin(worker, &world, &now_us);        in work(), again and again
 *     item = crew_get_item(worker);
 *     crew_make_packet(item, flow, CREW_WHOLE, 0, tcp_flags);
 *     crew_process(worker, &world, now_us, &item, 1);
 *     crew_end(worker);
 */

#ifndef TESTS_UNIT_CREW_H
#define TESTS_UNIT_CREW_H 1

#include <pthread.h>

#include "tests/unit/world.h"

enum {
    CREW_WORKERS  = 3,
    CREW_FLOWS    = 96,         /* Of each worker. */
    CREW_ITEMS    = FRAGMENTS_HELD * 2 + ENGINE_BATCH,
    CREW_TURN     = 128,        /* Batches until it is another one's turn, for
                                 * want of processors. */
    CREW_VNI      = 5001,
    CREW_HERE     = 0,          /* The endpoint on this host, which is to stay
                                 * up. */
    CREW_FRAME    = 256,
    CREW_FRESH_S  = 150,        /* A flow seen less long ago must be known. */
    CREW_SKEW_S   = 40,         /* How far clocks may differ: CREW_FRESH_S and
                                 * this are less than any timeout. */
};

enum crew_kind { CREW_WHOLE, CREW_FIRST, CREW_LATER, CREW_KINDS };

/* A flow of one worker, or of all. */
struct crew_flow {
    int g;                      /* Its group; those of even number are TCP's,
                                 * the others UDP's. */
    bool arrives;               /* Out of a tunnel. */
    struct inet_addr src;
    uint16_t src_port, dst_port;
    struct {
        uint8_t data[CREW_FRAME];
        size_t size;
    } frames[CREW_KINDS];

    /* What its worker expects. */
    int endpoint;               /* -1: nothing. */
    bool is_guess;              /* Its entry is of the kind that says little,
                                 * once it is old. */
    uint32_t seen_s;
};

/* A packet, and where it is. */
struct crew_item {
    struct crew_flow *flow;
    bool out;                   /* With the engine. */
    bool opens;
    uint8_t buffer[WORLD_HEADROOM + CREW_FRAME];
    struct engine_packet packet;
};

struct crew_worker {
    struct crew *crew;
    uint64_t seed;              /* For crew_draw(). */
    struct engine_thread thread;
    struct crew_flow *flows;
    struct crew_item items[CREW_ITEMS];
    uint64_t n_batches;         /* Shared; UINT64_MAX: has ended. */
    uint64_t n_settled;         /* Packets with a verdict, ... */
    uint64_t n_kept;            /* ... of these: had to be sent where they
                                 * were. */
    uint64_t n_hinted, n_held;
    int endpoints[CREW_FLOWS];  /* Where the last packet went, or -1. */
    int error;                  /* Line of the first failed check. */
};

struct crew {
    struct world *world;
    const struct anycast_table *table; /* Shared. */
    uint64_t now_us;            /* Shared. */
    bool stop;                  /* Shared. */
    bool loose;                 /* Flows may get lost: expect nothing. */
    pthread_barrier_t barrier;  /* Of all workers. */
    struct crew_worker *workers;
};

/* For threads, in which cmocka's assertions do not work. */
#define CREW_CHECK(W, X) \
    do { if (!(X) && !(W)->error) { (W)->error = __LINE__; } } while (0)

/* A pseudorandom number below 'n'. */
uint32_t crew_draw(uint64_t *seed, uint32_t n);

/* A world of four groups, with half of the algorithms, or the other half if
 * 'pickers'.  Workers have the same flows if 'same'.  The flow table has room
 * for 'n_entries' of each kind. */
struct crew *crew_create(bool pickers, bool same, size_t n_entries);
void crew_destroy(struct crew *);

/* Has all workers do 'function', with a struct crew_worker; and waits for the
 * end, and checks that none has an error. */
void crew_start(struct crew *, void *(*function)(void *),
                pthread_t threads[CREW_WORKERS]);
void crew_join(const struct crew *, pthread_t threads[CREW_WORKERS]);

/* After the end: all cookies have come back, each verdict is counted once, and
 * what is counted of endpoints is what is in the table.  The workers' engines
 * are gone then. */
void crew_check(struct crew *);

/* For flow_table_sweep(), with the table. */
void crew_note_ended(const struct flow_ended *, void *table);

/* Stores what a batch works with.  It stays valid until crew_end(). */
void crew_begin(const struct crew_worker *, struct engine_world *,
                uint64_t *now_us);
void crew_end(struct crew_worker *);

struct crew_item *crew_get_item(struct crew_worker *);

/* Loads 'frame' into 'item'. */
void crew_load_item(struct crew_item *item, const uint8_t *frame,
                    size_t size);

/* A packet of 'flow', a fragment of datagram 'id', or a whole one with
 * 'tcp_flags'. */
void crew_make_packet(struct crew_item *item, struct crew_flow *flow,
                      enum crew_kind kind, uint16_t id, uint8_t tcp_flags);

/* Says that a packet comes out of host 1's tunnel, with a context of
 * 'group'. */
const struct engine_arrival *crew_arrival(const struct group *group,
                                          bool is_new, uint8_t options[12],
                                          struct engine_arrival *arrival);

/* Processes up to a batch of 'items', of flows that are all different, and
 * compares what became of them with what is expected. */
void crew_process(struct crew_worker *, const struct engine_world *,
                  uint64_t now_us, struct crew_item **items, int n);

/* Takes back what waited for its first fragment. */
void crew_resume(struct crew_worker *, const struct engine_world *,
                 uint64_t now_us);

/* 'item' has a verdict. */
void crew_settle(struct crew_worker *, struct crew_item *item);

#endif /* tests/unit/crew.h */
