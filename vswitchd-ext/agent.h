/* The host's agent: a thread that follows the mapping service and the
 * kernel's next hops, and publishes the packet path's table.  While mapd is
 * away it goes on with what it has.
 *
 *     agent_start();
 *     agent_configure(&config);              whenever it may have changed
 *     agent_steered(serial, revision);       when steering rules are in place
 *     agent_stop();
 *
 * All functions are for the main thread, and none of them but those that
 * answer questions of an operator ever waits for the agent's. */

#ifndef VSWITCHD_EXT_AGENT_H
#define VSWITCHD_EXT_AGENT_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/tunnel.h"
#include "mapping/record.h"
#include "vswitchd-ext/flow-maker.h"
#include "vswitchd-ext/resolver.h"

/* What the agent works with.  Nothing is kept of the pointers. */
struct agent_config {
    const char *mapd;           /* Remote, or NULL: serve nothing. */
    const char *host;           /* This host's name; NULL only without mapd. */
    struct inet_addr vtep;
    enum tunnel_type encap;
    const char *region, *zone, *rack; /* Labels, or NULL. */
    size_t n_flows, n_flows6;   /* Capacity, for the first table. */
    const char *flows_file;     /* Where flows outlast the switch, or NULL. */
    const char *table_file;     /* Where the mapping is kept for a start
                                 * without mapd, or NULL. */
    bool all_vnis;              /* Else: just these, ascending. */
    const uint32_t *vnis;
    size_t n_vnis;
    int underlay_ifindex;       /* Routes must lead there; 0: unknown. */
};

enum {
    AGENT_TEXT_LEN      = 320,
    AGENT_MAX_UNREACHED = 16,   /* As many are listed. */
};

/* A host without a next hop. */
struct agent_unreached {
    record_name host;
    struct inet_addr vtep;
    char why[RESOLVER_WHY_LEN];
    bool passed_over;           /* It gets no new flows for now. */
};

/* Texts are for people, "" if there is nothing to say. */
struct agent_status {
    bool configured;
    char trouble[AGENT_TEXT_LEN]; /* What keeps the agent from its work. */
    bool registered;            /* As a host that serves. */
    char mapd_trouble[AGENT_TEXT_LEN]; /* Why it cannot be reached. */
    char refusal[AGENT_TEXT_LEN]; /* Why mapd did not register it. */
    char unseen[AGENT_TEXT_LEN]; /* What mapd does not let it see. */
    char vtep_trouble[AGENT_TEXT_LEN];
    enum flow_maker_state flow_table;
    char flow_remark[AGENT_TEXT_LEN];
    size_t n_unreached;
    struct agent_unreached unreached[AGENT_MAX_UNREACHED];
    bool connected;             /* To mapd, and in step with it. */
    uint64_t revision;          /* Published; 0: none yet. */
    long long int age_ms;       /* Since mapd was last known to agree; by the
                                 * clock on the wall if 'from_file'. */
    bool from_file;             /* The table: mapd has not been heard yet. */
    char table_file[AGENT_TEXT_LEN]; /* Where it is kept. */
    char table_remark[AGENT_TEXT_LEN]; /* What is wrong with that file. */
    size_t n_groups, n_hosts;
    size_t n_unresolved;        /* Hosts without a next hop. */
};

void agent_start(void);
void agent_stop(void);

/* Cheap if nothing has changed. */
void agent_configure(const struct agent_config *);

/* The steering rules for the table with this serial number and revision are in
 * place: only then is the revision reported to mapd as applied. */
void agent_steered(uint64_t serial, uint64_t revision);

/* Wakes the poll loop when a table is published. */
void agent_wait(void);

void agent_get_status(struct agent_status *);

/* The records behind the group with 'id' and its endpoint 'index'; false if
 * there is none any more.  Either output may be NULL. */
bool agent_describe(uint32_t id, uint16_t index, struct record_group *,
                    struct record_endpoint *);

#endif /* vswitchd-ext/agent.h */
