#include <config.h>

#include "vswitchd-ext/steering-set.h"

#include <limits.h>
#include <string.h>

#include "hash.h"
#include "ofproto/ofproto-provider.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/steering-rule.h"

VLOG_DEFINE_THIS_MODULE(steering_set);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 10);

/* What a step may cost: a change takes some 8 us, a verification or to give a
 * rule up 1 us.  In VERIFY_INTERVAL_MS, VERIFIES_PER_STEP rules go over 40,000
 * in a second. */
enum {
    CHANGES_PER_STEP   = 500,
    VERIFIES_PER_STEP  = 2000,
    GIVE_UPS_PER_STEP  = 2000,
    VERIFY_INTERVAL_MS = 50,
    RETRY_INTERVAL_MS  = 1000,
};

enum { NO_RULE = 0 };           /* In place of a port number. */

struct entry {
    struct hmap_node node;      /* In 'entries', by 'match'. */
    struct ovs_list list_node;  /* In 'settled', 'pending' or 'refused'. */
    struct ovs_list round_node; /* If wanted, in one of the lists below. */
    struct steering_match match;
    uint16_t wanted;            /* Output port, or NO_RULE. */
    uint16_t placed;            /* Likewise, in the bridge's table. */
    unsigned int round;         /* When it was last wanted. */
};

/* A bridge that we put rules into. */
struct bridge {
    /* A bridge made anew under its old name has none of our rules.  It may
     * have the old one's place in memory, so its random number counts too. */
    const struct ofproto *ofproto;
    uint64_t random_id;

    /* tables_version, as of our own changes: differs if others made any. */
    uint64_t version;
};

/* Each entry is in one of the lists: in 'settled' if what is wanted is placed,
 * else in 'pending', or in 'refused' until 'retry_at'.  'settled' is turned
 * as rules are verified. */
static struct hmap entries = HMAP_INITIALIZER(&entries);
static struct ovs_list settled = OVS_LIST_INITIALIZER(&settled);
static struct ovs_list pending = OVS_LIST_INITIALIZER(&pending);
static struct ovs_list refused = OVS_LIST_INITIALIZER(&refused);
static long long int retry_at;

/* Each wanted entry is in one of these: the first one if it was wanted in the
 * current round. */
static struct ovs_list wanted_now = OVS_LIST_INITIALIZER(&wanted_now);
static struct ovs_list wanted_before = OVS_LIST_INITIALIZER(&wanted_before);

static size_t n_placed;
static size_t n_to_verify;      /* Of 'settled', from its front. */
static long long int verify_at; /* Not before. */
static unsigned int current_round;

static struct shash bridges = SHASH_INITIALIZER(&bridges); /* By name. */

/* Entries. */

static void
set_placed(struct entry *entry, uint16_t port)
{
    n_placed += (port != NO_RULE) - (entry->placed != NO_RULE);
    entry->placed = port;
}

/* Puts 'entry' into the list that it belongs to, or frees it if it is neither
 * wanted nor placed. */
static void
settle(struct entry *entry)
{
    ovs_list_remove(&entry->list_node);
    if (entry->wanted != entry->placed) {
        ovs_list_push_back(&pending, &entry->list_node);
    } else if (entry->wanted != NO_RULE) {
        ovs_list_push_back(&settled, &entry->list_node);
    } else {
        hmap_remove(&entries, &entry->node);
        free(entry);
    }
}

static struct entry *
find_or_create(const struct steering_match *match)
{
    uint32_t hash = hash_bytes(match, sizeof *match, 0);
    struct entry *entry;

    HMAP_FOR_EACH_WITH_HASH (entry, node, hash, &entries) {
        if (!memcmp(&entry->match, match, sizeof *match)) {
            return entry;
        }
    }
    entry = xzalloc(sizeof *entry);
    entry->match = *match;
    entry->round = current_round - 1;
    ovs_list_init(&entry->round_node);
    ovs_list_push_back(&pending, &entry->list_node);
    hmap_insert(&entries, &entry->node, hash);
    return entry;
}

/* What is wanted. */

void
steering_set_begin(void)
{
    current_round++;
    ovs_list_push_back_all(&wanted_before, &wanted_now);
}

uint16_t
steering_set_want(const struct steering_match *match, uint16_t port)
{
    struct entry *entry = find_or_create(match);

    if (entry->round != current_round) {
        entry->round = current_round;
        ovs_list_remove(&entry->round_node);
        ovs_list_push_back(&wanted_now, &entry->round_node);
        if (entry->wanted != port) {
            entry->wanted = port;
            settle(entry);
        }
    }
    return entry->wanted;
}

bool
steering_set_end(void)
{
    for (int i = 0;
         i < GIVE_UPS_PER_STEP && !ovs_list_is_empty(&wanted_before); i++) {
        struct entry *entry = CONTAINER_OF(ovs_list_pop_front(&wanted_before),
                                           struct entry, round_node);

        ovs_list_init(&entry->round_node);
        entry->wanted = NO_RULE;
        settle(entry);
    }
    return ovs_list_is_empty(&wanted_before);
}

/* Bridges. */

static bool
bridge_is(const struct bridge *bridge, const struct ofproto *ofproto)
{
    return (ofproto && ofproto == bridge->ofproto
            && ofproto->fallback_dpid == bridge->random_id);
}

/* Notes that we made one change to the bridge called 'name'.  Others may have
 * made one meanwhile, so its version is counted rather than read. */
static void
note_own_change(const char *name)
{
    const struct ofproto *ofproto = ofproto_lookup(name);
    struct bridge *bridge = shash_find_data(&bridges, name);

    if (bridge) {
        bridge->version++;
    } else if (ofproto) {
        bridge = xmalloc(sizeof *bridge);
        bridge->ofproto = ofproto;
        bridge->random_id = ofproto->fallback_dpid;
        bridge->version = ofproto->tables_version;
        shash_add(&bridges, name, bridge);
    }
}

/* The bridge called 'name' has gone, and with it all of its rules. */
static void
lose_rules(const char *name)
{
    struct entry *entry;

    HMAP_FOR_EACH_SAFE (entry, node, &entries) {
        if (!strcmp(entry->match.bridge, name)) {
            set_placed(entry, NO_RULE);
            settle(entry);
        }
    }
}

static void
follow_bridges(void)
{
    struct shash_node *node;

    SHASH_FOR_EACH_SAFE (node, &bridges) {
        const struct ofproto *ofproto = ofproto_lookup(node->name);
        struct bridge *bridge = node->data;

        if (!bridge_is(bridge, ofproto)) {
            lose_rules(node->name);
            free(shash_steal(&bridges, node));
        } else if (bridge->version != ofproto->tables_version) {
            bridge->version = ofproto->tables_version;
            n_to_verify = hmap_count(&entries);
        }
    }
}

/* Steps. */

static void
verify(void)
{
    long long int now = time_msec();

    if (!n_to_verify || now < verify_at) {
        return;
    }
    verify_at = now + VERIFY_INTERVAL_MS;
    for (int i = 0; i < VERIFIES_PER_STEP && n_to_verify; i++) {
        struct entry *entry;

        if (ovs_list_is_empty(&settled)) {
            n_to_verify = 0;
            return;
        }
        entry = CONTAINER_OF(ovs_list_front(&settled), struct entry,
                             list_node);
        if (!steering_rule_is_in_place(&entry->match, entry->placed)) {
            set_placed(entry, NO_RULE);
        }
        settle(entry);
        n_to_verify--;
    }
}

static void
retry_refused(void)
{
    if (time_msec() >= retry_at) {
        ovs_list_push_back_all(&pending, &refused);
    }
}

static void
refuse(struct entry *entry, int error)
{
    VLOG_WARN_RL(&rl, "%s: table %d: steering rule not %s: %s (tried again "
                 "every %d ms)", entry->match.bridge, entry->match.table,
                 entry->wanted != NO_RULE ? "added" : "deleted",
                 ofperr_to_string(error), RETRY_INTERVAL_MS);
    if (ovs_list_is_empty(&refused)) {
        retry_at = time_msec() + RETRY_INTERVAL_MS;
    }
    ovs_list_remove(&entry->list_node);
    ovs_list_push_back(&refused, &entry->list_node);
}

static void
change(struct entry *entry)
{
    int error = (entry->wanted == NO_RULE
                 ? steering_rule_delete(&entry->match)
                 : steering_rule_add(&entry->match, entry->wanted));

    if (error) {
        refuse(entry, error);
    } else {
        note_own_change(entry->match.bridge);
        set_placed(entry, entry->wanted);
        settle(entry);
    }
}

bool
steering_set_run(void)
{
    follow_bridges();
    verify();
    retry_refused();
    for (int i = 0; i < CHANGES_PER_STEP && !ovs_list_is_empty(&pending);
         i++) {
        change(CONTAINER_OF(ovs_list_front(&pending), struct entry,
                            list_node));
    }
    return ovs_list_is_empty(&pending) && ovs_list_is_empty(&refused);
}

long long int
steering_set_due(void)
{
    long long int due = LLONG_MAX;

    if (!ovs_list_is_empty(&pending)) {
        return 0;
    }
    if (!ovs_list_is_empty(&refused)) {
        due = retry_at;
    }
    return n_to_verify ? MIN(due, verify_at) : due;
}

size_t
steering_set_n_placed(void)
{
    return n_placed;
}

void
steering_set_destroy(void)
{
    struct entry *entry;

    HMAP_FOR_EACH_POP (entry, node, &entries) {
        free(entry);
    }
    hmap_destroy(&entries);
    ovs_list_init(&settled);
    ovs_list_init(&pending);
    ovs_list_init(&refused);
    ovs_list_init(&wanted_now);
    ovs_list_init(&wanted_before);
    n_placed = n_to_verify = 0;
    shash_destroy_free_data(&bridges);
}
