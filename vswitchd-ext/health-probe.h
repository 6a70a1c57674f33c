/* The checks of one endpoint, one after the other: what they send, what they
 * take for an answer, and the verdict.
 *
 *     health_probe_init(&probe, group, endpoint, now);
 *     ...set whom to check, and how...
 *     for (;;) {
 *         next = health_probe_run(&probe, &next_port, now);
 *         health_probe_take(&probe, vni, &frame, now);     as frames come
 *         if (probe.is_new) { probe.is_new = false; ... }
 *     }
 *
 * 'now' is time_msec().  Frames leave by netdev_anycast_deliver().  For one
 * thread. */

#ifndef VSWITCHD_EXT_HEALTH_PROBE_H
#define VSWITCHD_EXT_HEALTH_PROBE_H 1

#include <stdbool.h>
#include <stdint.h>

#include "mapping/record.h"
#include "mapping/report.h"
#include "openvswitch/hmap.h"
#include "vswitchd-ext/health-frame.h"

struct health_probe {
    struct hmap_node node;      /* The owner's, as are these up to 'path'. */
    bool seen;

    /* Whom to check, and how. */
    uint32_t group, vni;        /* Id of the group. */
    uint16_t endpoint;          /* Index. */
    record_name name;           /* For the log. */
    struct record_health config; /* To be set by health_probe_configure(). */
    uint16_t dst_port;
    struct health_path path;

    /* The verdict: read-only but for 'is_new'. */
    bool decided, healthy;
    bool is_new;                /* It was reached since it was last looked at,
                                 * for the owner to take back. */
    char why[REPORT_WHY_MAX + 1]; /* Why the last check failed, or "". */

    /* health-report.c's. */
    bool known, told;           /* mapd knows that it is 'told'. */

    /* Private. */
    long long int next;         /* When to begin or give up. */
    bool is_spread;             /* Its time differs from others' by chance. */
    bool waits;                 /* For an answer, in ... */
    bool requested;             /* ... the second half, of HTTP. */
    uint16_t src_port;          /* Or id of echoes. */
    uint32_t seq;               /* Of the next byte we send; echoes: number. */
    unsigned int n_good, n_bad; /* In a row. */
};

/* Its first check is due at once. */
void health_probe_init(struct health_probe *, uint32_t group,
                       uint16_t endpoint, long long int now);

/* Another way to check begins at once, with another check. */
void health_probe_configure(struct health_probe *,
                            const struct record_health *, long long int now);

/* Begins or gives up what is due; a check takes a number of '*next_port' on.
 * Returns when the next thing is due. */
long long int health_probe_run(struct health_probe *, uint16_t *next_port,
                               long long int now);

/* Takes in 'frame' of tenant 'vni' if it is the answer that the probe waits
 * for, and returns whether it is. */
bool health_probe_take(struct health_probe *, uint32_t vni,
                       const struct health_frame *frame, long long int now);

/* Whether the probe's endpoint sent 'frame' to where checks come from. */
bool health_probe_is_sender(const struct health_probe *, uint32_t vni,
                            const struct health_frame *frame);

/* Answers 't' of that endpoint, which comes after its check was given up: it
 * must not keep half a connection. */
void health_probe_reset_late(const struct health_probe *,
                             const struct health_tcp *t);

#endif /* vswitchd-ext/health-probe.h */
