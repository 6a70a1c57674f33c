/* Who makes changes: whoever has put the leader key, which hangs on its
 * lease. */

#include <config.h>

#include "mapping/mapd/store-etcd-private.h"

#include <errno.h>

#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(store_etcd_leader);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(2, 5);

static const char away_hint[] = "see 'grapnelctl status'; reads and traffic "
                                "go on, repeat the change when etcd answers";

/* Whether the watch says that the leader is this mapd, by its present
 * lease. */
static bool
is_ours(const struct store_etcd *store)
{
    return (store->lease && store->leader_term
            && store->leader_lease == etcd_lease_id(store->lease));
}

bool
store_etcd_has_namesake(const struct store_etcd *store)
{
    return (store->leader_name && !is_ours(store)
            && !strcmp(store->leader_name, store->self));
}

static int
refuse_leaderless(const struct store_etcd *store, struct diagnosis *diag)
{
    int error;

    if (store_etcd_has_namesake(store)) {
        error = diagnosis_set(diag, DIAG_NOT_LEADER, "mapd", NULL,
                              "the grapnel-mapd that makes changes calls "
                              "itself %s, as this one does", store->self);
        diagnosis_set_hint(diag, "was this one just restarted? Then try again "
                           "in a few seconds; else give each one an "
                           "--advertise of its own");
    } else if (store->leader_address && !is_ours(store)) {
        error = diagnosis_set(diag, DIAG_NOT_LEADER, "mapd",
                              store->leader_address, "grapnel-mapd %s does "
                              "not make changes, %s does", store->self,
                              store->leader_name);
        diagnosis_set_hint(diag, "use --mapd=%s", store->leader_address);
    } else {
        error = diagnosis_set(diag, DIAG_NOT_LEADER, "mapd", NULL,
                              "no grapnel-mapd makes changes at the moment");
        diagnosis_set_hint(diag, "try again in a few seconds");
    }
    return error;
}

int
store_etcd_check_leader(const struct store *store_, struct diagnosis *diag)
{
    const struct store_etcd *store = store_etcd_cast(store_);
    int error;

    if (store->damage.code != DIAG_NONE) {
        *diag = store->damage;
        return EIO;
    }
    if (!store->watched) {
        return refuse_leaderless(store, diag);
    }
    if (etcd_watch_state(store->watch) != ETCD_WATCH_OK
        || (is_ours(store) && (etcd_lease_remaining(store->lease)
                               < STORE_ETCD_MARGIN_MS))) {
        error = diagnosis_set(diag, DIAG_STORE, NULL, NULL, "%s: etcd does "
                              "not answer, or has no quorum: no change can "
                              "be made", store->name);
        diagnosis_set_hint(diag, "%s", away_hint);
        return error;
    }
    /* It leads when it has taken over what its predecessor left undone. */
    return (is_ours(store) && store->leads ? 0
            : refuse_leaderless(store, diag));
}

static char *
member(const struct json *json, const char *name)
{
    const struct json *value = (json->type == JSON_OBJECT
                                ? shash_find_data(json_object(json), name)
                                : NULL);

    return xstrdup(value && value->type == JSON_STRING ? json_string(value)
                   : "");
}

void
store_etcd_leader_told(struct store_etcd *store, const struct etcd_kv *kv)
{
    bool had_one = store->leader_term != 0;

    free(store->leader_name);
    free(store->leader_address);
    store->leader_name = store->leader_address = NULL;
    store->leader_term = store->leader_lease = 0;
    if (kv) {
        char *text = xmemdup0(kv->value.data, kv->value.size);
        struct json *json = json_from_string(text);

        store->leader_name = member(json, "name");
        store->leader_address = member(json, "address");
        store->leader_term = kv->create_revision;
        store->leader_lease = kv->lease;
        json_destroy(json);
        free(text);
        VLOG_INFO("leader: %s (%s)%s", store->leader_name,
                  store->leader_address, is_ours(store) ? ", this one" : "");
    } else {
        if (had_one) {
            VLOG_INFO("there is no leader any more");
        }
        store->campaign_at = 0;
    }
}

static void
get_lease(struct store_etcd *store)
{
    struct diagnosis diag;

    if (store->lease && etcd_lease_is_lost(store->lease)) {
        VLOG_WARN_RL(&rl, "%s: the lease was lost", store->name);
        etcd_lease_destroy(store->lease, false);
        store->lease = NULL;
    }
    if (store->lease || time_msec() < store->lease_at
        || etcd_watch_state(store->watch) != ETCD_WATCH_OK) {
        return;
    }
    if (etcd_lease_create(store->etcd, STORE_ETCD_LEASE_S, ETCD_ATTEMPT_MS,
                          &store->lease, &diag)) {
        VLOG_WARN_RL(&rl, "%s: no lease: %s", store->name, diag.message);
        store->lease = NULL;
        store->lease_at = time_msec() + STORE_ETCD_RETRY_MS;
        return;
    }
    store_etcd_seen_all(store);
}

/* Puts the leader key if there is none.  The watch tells whether that has
 * succeeded. */
static void
campaign(struct store_etcd *store)
{
    struct json *json = json_object_create();
    char *key = store_etcd_key(store, "leader");
    const struct etcd_compare compare = {
        .key = store_etcd_bytes(key), .target = ETCD_CREATE_REVISION,
    };
    struct etcd_op op = { .type = ETCD_PUT, .key = store_etcd_bytes(key),
                          .lease = etcd_lease_id(store->lease) };
    struct diagnosis diag;
    char *value;

    json_object_put_string(json, "name", store->self);
    json_object_put_string(json, "address", store->address);
    value = json_to_string(json, JSSF_SORT);
    json_destroy(json);
    op.value = store_etcd_bytes(value);
    if (etcd_txn(store->etcd, &compare, 1, &op, 1, ETCD_ATTEMPT_MS, NULL,
                 NULL, &diag)) {
        VLOG_WARN_RL(&rl, "%s: asking for leadership: %s", store->name,
                     diag.message);
    }
    store->campaign_at = time_msec() + STORE_ETCD_RETRY_MS;
    free(value);
    free(key);
}

void
store_etcd_leader_run(struct store_etcd *store)
{
    bool leads;

    store->watched |= etcd_watch_state(store->watch) == ETCD_WATCH_OK;
    get_lease(store);
    if (store->lease && !store->leader_term
        && store->damage.code == DIAG_NONE && !store->relist
        && etcd_watch_state(store->watch) == ETCD_WATCH_OK
        && time_msec() >= store->campaign_at) {
        campaign(store);
    }
    leads = is_ours(store);
    if (leads && !store->leads) {
        VLOG_INFO("this grapnel-mapd makes changes now, term %"PRId64,
                  store->leader_term);
        store_etcd_take_over(store); /* Before it makes any. */
    } else if (!leads && store->leads) {
        VLOG_WARN("this grapnel-mapd makes no changes any more");
        store_etcd_writes_uninit(&store->roll);
        free(store->roll_nonce);
        store->roll_nonce = NULL;
        store->littered = false;
    }
    store->leads = leads;
}

void
store_etcd_leader_wait(const struct store_etcd *store)
{
    if (is_ours(store) != store->leads) {
        poll_immediate_wake();
    } else if (!store->lease) {
        poll_timer_wait_until(MAX(store->lease_at, time_msec() + 10));
    } else if (etcd_lease_is_lost(store->lease)) {
        poll_immediate_wake();
    } else if (!store->leader_term) {
        poll_timer_wait_until(MAX(store->campaign_at, time_msec() + 10));
    }
}

void
store_etcd_step_down(struct store_etcd *store)
{
    VLOG_WARN("%s: giving up leadership", store->name);
    etcd_lease_destroy(store->lease, true);
    store->lease = NULL;
    store->lease_at = time_msec() + STORE_ETCD_RETRY_MS;
}
