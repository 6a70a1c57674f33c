#include <config.h>

#include "vswitchd-ext/load-report.h"

#include <limits.h>
#include <stdlib.h>

#include "anycast/group.h"
#include "anycast/load.h"
#include "hash.h"
#include "mapping/report.h"
#include "openvswitch/hmap.h"
#include "openvswitch/poll-loop.h"
#include "ovs-rcu.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/mapd-session.h"
#include "vswitchd-ext/table-builder.h"

/* What mapd knows of an endpoint.  Nobody keeps one that has nothing. */
struct told {
    struct hmap_node node;      /* By group and endpoint. */
    struct report_load load;
    bool seen;                  /* There still is such an endpoint. */
};

enum {
    GONE_ROOM = 100,            /* Of a message, for endpoints that are gone:
                                 * changes leave it free. */
};

struct load_report {
    struct hmap told;
    unsigned int registration;  /* Of the session, to which it was told. */
    long long int due;          /* LLONG_MAX: not registered. */
    size_t first;               /* Endpoint, in their order, to begin with:
                                 * there was no room for it the last time. */

    /* The message being made. */
    struct report_load loads[REPORT_MAX];
    size_t n;
    size_t at;                  /* Endpoint that comes next. */
    size_t from, to;            /* Endpoints that are looked at. */
    bool is_full;               /* There is no room for more changes. */
};

struct load_report *
load_report_create(void)
{
    struct load_report *r = xzalloc(sizeof *r);

    hmap_init(&r->told);
    r->due = LLONG_MAX;
    return r;
}

static void
forget(struct load_report *r)
{
    struct told *told;

    HMAP_FOR_EACH_POP (told, node, &r->told) {
        free(told);
    }
}

void
load_report_destroy(struct load_report *r)
{
    if (r) {
        forget(r);
        hmap_destroy(&r->told);
        free(r);
    }
}

static struct told *
find(const struct load_report *r, uint32_t group, uint16_t endpoint)
{
    struct told *told;

    HMAP_FOR_EACH_WITH_HASH (told, node, hash_2words(group, endpoint),
                             &r->told) {
        if (told->load.group == group && told->load.endpoint == endpoint) {
            return told;
        }
    }
    return NULL;
}

/* Whether mapd should hear of 'now', having heard of 'before'. */
static bool
has_changed(const struct report_load *before, const struct report_load *now)
{
    uint32_t a = before->response_us, b = now->response_us;

    return (before->flows != now->flows || !a != !b
            || (a > b ? a - b : b - a) > a / LOAD_REPORT_TENTH);
}

/* Each flow is to be counted once.  In groups that go by slots, the switch of
 * the endpoint knows all of them, and those of the clients know some. */
static uint32_t
count_flows(const struct group *group, const struct group_endpoint *e)
{
    return group_uses_slots(group) && !e->local ? 0 : load_open(e->load);
}

/* Puts 'load', of the endpoint 'at', into the message, if there is room. */
static void
tell(struct load_report *r, size_t at, struct told *told,
     const struct report_load *load)
{
    if (r->n < REPORT_MAX - GONE_ROOM) {
        told->load = *load;
        r->loads[r->n++] = *load;
    } else if (!r->is_full) {
        r->is_full = true;
        r->first = at;
    }
}

static void
consider(void *r_, const struct group *group, uint16_t endpoint)
{
    const struct group_endpoint *e = &group->endpoints[endpoint];
    struct load_report *r = r_;
    const struct report_load load = {
        .group = group->id, .endpoint = endpoint,
        .flows = count_flows(group, e),
        .response_us = load_read(e->load->response_us),
    };
    struct told *told = find(r, group->id, endpoint);
    size_t at = r->at++;

    if (!told && (load.flows || load.response_us)) {
        told = xzalloc(sizeof *told);
        told->load = (struct report_load) { .group = group->id,
                                            .endpoint = endpoint };
        hmap_insert(&r->told, &told->node, hash_2words(group->id, endpoint));
    }
    if (told) {
        told->seen = true;
        if (at >= r->from && at < r->to && has_changed(&told->load, &load)) {
            tell(r, at, told, &load);
        }
    }
}

/* Collects what has changed of endpoints 'from' to 'to' - 1, of all that
 * 'builder' has. */
static void
collect(struct load_report *r, const struct table_builder *builder,
        size_t from, size_t to)
{
    r->at = 0;
    r->from = from;
    r->to = to;
    table_builder_each_endpoint(builder, consider, r);
}

/* All changes, in turns if they are too many for a message. */
static void
collect_all(struct load_report *r, const struct table_builder *builder)
{
    size_t first = r->first;

    r->n = r->first = 0;
    r->is_full = false;
    collect(r, builder, first, SIZE_MAX);
    if (first) {
        collect(r, builder, 0, first);
    }
}

/* Takes back what was told of endpoints that are gone. */
static void
take_back(struct load_report *r)
{
    struct told *told;

    HMAP_FOR_EACH_SAFE (told, node, &r->told) {
        if (told->seen) {
            told->seen = false;
        } else if (r->n < REPORT_MAX) {
            r->loads[r->n++] = (struct report_load) {
                .group = told->load.group, .endpoint = told->load.endpoint,
            };
            hmap_remove(&r->told, &told->node);
            free(told);
        }
    }
}

void
load_report_run(struct load_report *r, const struct table_builder *builder,
                struct mapd_session *session)
{
    long long int now = time_msec();

    if (!mapd_session_is_registered(session)) {
        r->due = LLONG_MAX;
        return;
    }
    if (r->due == LLONG_MAX
        || r->registration != mapd_session_n_registrations(session)) {
        forget(r);
        r->registration = mapd_session_n_registrations(session);
        r->due = now + LOAD_REPORT_MORE_MS;
    }
    if (now < r->due) {
        return;
    }
    /* Takes long if there are many endpoints, and nobody is to wait for this
     * thread, which alone replaces what 'builder' has. */
    ovsrcu_quiesce_start();
    collect_all(r, builder);
    take_back(r);
    ovsrcu_quiesce_end();
    if (r->n) {
        mapd_session_report(session, "report",
                            report_loads_to_json(r->loads, r->n));
    }
    r->due = now + (r->is_full || r->n == REPORT_MAX ? LOAD_REPORT_MORE_MS
                    : LOAD_REPORT_MS);
}

void
load_report_wait(const struct load_report *r)
{
    if (r->due != LLONG_MAX) {
        poll_timer_wait_until(r->due);
    }
}
