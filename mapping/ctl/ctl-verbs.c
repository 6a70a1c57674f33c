#include <config.h>

#include "mapping/ctl/ctl.h"

#include <string.h>

#define B(ID) CTL_BIT(CTL_##ID)

#define CHANGE      (B(IF_REVISION) | B(WAIT))
#define HOST        (B(VTEP) | B(ENCAP) | B(REGION) | B(ZONE) | B(RACK) \
                     | B(VNIS))
#define GROUP_FIXED (B(ADDRESS) | B(PROTOCOL) | B(PORT) | B(SLOTS))
#define GROUP_SET   (B(ALGORITHM) | B(AFFINITY) | B(AFFINITY_TIMEOUT) \
                     | B(RAMP) | B(DISTANCE) | B(ON_HOST_DEATH) \
                     | B(WHEN_EMPTY) | B(QUIC_ID_OFFSET) \
                     | B(QUIC_ID_LENGTH) | HEALTH)
#define HEALTH      (B(HEALTH_CHECK) | B(HEALTH_INTERVAL) \
                     | B(HEALTH_TIMEOUT) | B(HEALTH_RISE) | B(HEALTH_FALL) \
                     | B(HEALTH_PORT) | B(HEALTH_STATUS) | B(HEALTH_PATH) \
                     | B(HEALTH_SOURCE))
#define ENDPOINT    (B(HOST) | B(MAC) | B(WEIGHT) | B(STATE) | B(COST) \
                     | B(PRIORITY) | B(QUIC_ID) | B(IFACE))
#define WORKLOAD    (B(HOST) | B(MAC) | B(ADDRESS) | B(PUBLIC_ADDRESS))
#define POOL        (B(FIRST) | B(LAST) | B(PREFIX_LENGTH) | B(ROUTER) \
                     | B(TERM))
#define NODES       (B(NODE1) | B(NODE2))
#define GATEWAY     (NODES | B(PRIORITY1) | B(PRIORITY2))
#define VIP         (B(ADDRESS) | B(GATEWAY))

const struct ctl_verb ctl_verbs[] = {
    {"host", "add", "NAME", 1, 1, HOST | CHANGE | B(MAY_EXIST), B(VTEP),
     "add a virtualization host (hosts also add themselves)", ctl_change_add},
    {"host", "set", "NAME", 1, 1, HOST | CHANGE, 0,
     "change a host", ctl_change_set},
    {"host", "remove", "NAME", 1, 1, CHANGE | B(IF_EXISTS), 0,
     "remove a host that has no endpoints", ctl_change_remove},
    {"host", "list", "", 0, 0, 0, 0,
     "list the hosts and how far they are", ctl_list},
    {"host", "show", "NAME", 1, 1, 0, 0,
     "all about one host, its endpoints included", ctl_show},

    {"group", "add", "VNI/NAME", 1, 1,
     GROUP_FIXED | GROUP_SET | CHANGE | B(MAY_EXIST),
     B(ADDRESS), "publish an anycast address", ctl_change_add},
    {"group", "set", "VNI/NAME", 1, 1, GROUP_SET | CHANGE | B(FORCE), 0,
     "change a group: algorithm, affinity, ramp and more", ctl_change_set},
    {"group", "remove", "VNI/NAME", 1, 1,
     CHANGE | B(IF_EXISTS) | B(CASCADE), 0,
     "remove a group", ctl_change_remove},
    {"group", "list", "", 0, 0, B(VNI), 0,
     "list the groups", ctl_list},
    {"group", "show", "VNI/NAME", 1, 1, 0, 0,
     "all about one group, its endpoints included", ctl_show},

    {"endpoint", "add", "VNI/GROUP/NAME", 1, 1,
     ENDPOINT | CHANGE | B(MAY_EXIST), 0,
     "add an endpoint to a group: by --host and --mac, or by --iface",
     ctl_change_add},
    {"endpoint", "set", "VNI/GROUP/NAME", 1, 1, ENDPOINT | CHANGE, 0,
     "change an endpoint: weight, state, cost, host, iface", ctl_change_set},
    {"endpoint", "remove", "VNI/GROUP/NAME", 1, 1, CHANGE | B(IF_EXISTS), 0,
     "remove an endpoint", ctl_change_remove},
    {"endpoint", "list", "[VNI/GROUP]", 0, 1, B(VNI) | B(HOST), 0,
     "list endpoints and their share of the flows", ctl_list},
    {"endpoint", "show", "VNI/GROUP/NAME", 1, 1, 0, 0,
     "all about one endpoint", ctl_show},

    {"workload", "add", "VNI/NAME", 1, 1, WORKLOAD | CHANGE | B(MAY_EXIST),
     B(HOST) | B(MAC) | B(ADDRESS),
     "add a machine that a gateway serves", ctl_change_add},
    {"workload", "set", "VNI/NAME", 1, 1, WORKLOAD | CHANGE, 0,
     "change a workload: host, addresses", ctl_change_set},
    {"workload", "remove", "VNI/NAME", 1, 1,
     CHANGE | B(IF_EXISTS) | B(CASCADE), 0,
     "remove a workload that has no lease", ctl_change_remove},
    {"workload", "list", "", 0, 0, B(VNI) | B(HOST), 0,
     "list workloads and their addresses", ctl_list},
    {"workload", "show", "VNI/NAME", 1, 1, 0, 0,
     "all about one workload", ctl_show},

    {"gateway", "add", "NAME", 1, 1, GATEWAY | CHANGE | B(MAY_EXIST), NODES,
     "make two hosts a pair of gateways", ctl_change_add},
    {"gateway", "set", "NAME", 1, 1,
     GATEWAY | B(ACTIVE) | B(IF_EPOCH) | CHANGE, 0,
     "change a pair; or, with --active and --if-epoch, who is active",
     ctl_change_set},
    {"gateway", "remove", "NAME", 1, 1,
     CHANGE | B(IF_EXISTS) | B(CASCADE), 0,
     "remove a pair that has no VIP", ctl_change_remove},
    {"gateway", "list", "", 0, 0, 0, 0,
     "list the pairs, who is active, and the epochs", ctl_list},
    {"gateway", "show", "NAME", 1, 1, 0, 0,
     "all about one pair", ctl_show},

    {"gateway pool", "add", "VNI/NAME", 1, 1, POOL | CHANGE | B(MAY_EXIST),
     B(FIRST) | B(LAST),
     "add a range of addresses to lease; of VNI 0: public ones",
     ctl_change_add},
    {"gateway pool", "set", "VNI/NAME", 1, 1, POOL | CHANGE, 0,
     "change a pool", ctl_change_set},
    {"gateway pool", "remove", "VNI/NAME", 1, 1,
     CHANGE | B(IF_EXISTS) | B(CASCADE), 0,
     "remove a pool that has no leases", ctl_change_remove},
    {"gateway pool", "list", "", 0, 0, B(VNI), 0,
     "list the pools and how full they are", ctl_list},
    {"gateway pool", "show", "VNI/NAME", 1, 1, 0, 0,
     "all about one pool", ctl_show},

    {"gateway lease", "allocate", "VNI/POOL", 1, 1,
     B(CLIENT) | B(ADDRESS) | B(TERM) | CHANGE | B(MAY_EXIST), B(CLIENT),
     "give a client an address: the lowest one, or --address",
     ctl_change_lease},
    {"gateway lease", "renew", "VNI/POOL/ADDRESS", 1, 1,
     B(CLIENT) | B(TERM) | CHANGE, 0,
     "let a lease begin anew", ctl_change_lease},
    {"gateway lease", "return", "VNI/POOL/ADDRESS", 1, 1,
     B(CLIENT) | CHANGE | B(IF_EXISTS), 0,
     "end a lease", ctl_change_lease},
    {"gateway lease", "reassign", "VNI/POOL/ADDRESS", 1, 1,
     B(CLIENT) | B(TERM) | CHANGE, B(CLIENT),
     "give a leased address to another client", ctl_change_lease},
    {"gateway lease", "list", "[VNI/POOL]", 0, 1, B(VNI) | B(CLIENT), 0,
     "list leases and when they end", ctl_list},
    {"gateway lease", "show", "VNI/POOL/ADDRESS", 1, 1, 0, 0,
     "all about one lease", ctl_show},

    {"gateway vip", "add", "VNI/NAME", 1, 1, VIP | CHANGE | B(MAY_EXIST),
     VIP, "add an address that a pair shares; of VNI 0: a public one",
     ctl_change_add},
    {"gateway vip", "set", "VNI/NAME", 1, 1, VIP | CHANGE, 0,
     "change a VIP", ctl_change_set},
    {"gateway vip", "remove", "VNI/NAME", 1, 1, CHANGE | B(IF_EXISTS), 0,
     "remove a VIP", ctl_change_remove},
    {"gateway vip", "list", "", 0, 0, B(VNI), 0, "list the VIPs", ctl_list},
    {"gateway vip", "show", "VNI/NAME", 1, 1, 0, 0,
     "all about one VIP", ctl_show},

    {NULL, "status", "", 0, 0, 0, 0,
     "how the mapping service and its hosts are, and what to do", ctl_status},
    {NULL, "watch", "", 0, 0, 0, 0,
     "print changes as they happen", ctl_watch},
    {NULL, "wait", "REVISION", 1, 1, 0, 0,
     "wait until all connected hosts have applied a revision", ctl_wait},
    {NULL, "dump", "", 0, 0, 0, 0,
     "write all records to standard output", ctl_dump},
    {NULL, "load", "FILE|-", 1, 1,
     CHANGE | B(DRY_RUN) | B(PRUNE) | B(FORCE), 0,
     "merge the records of a dump, all or nothing", ctl_load},
    {NULL, "diff", "FILE|-", 1, 1, 0, 0,
     "what distinguishes a dump from the mapping", ctl_compare},
    {NULL, "trace", "VNI PROTOCOL SRC[:PORT] DST[:PORT]", 4, 4, B(HOST), 0,
     "where a packet would go from a host, and why", ctl_trace},
    {NULL, "check", "[VNI/GROUP]", 0, 1, B(HOST), 0,
     "follow a flow from each host to each group, end to end", ctl_check},
    {NULL, "bugreport", "", 0, 0, 0, 0,
     "print all that a developer needs to see, without secrets",
     ctl_bugreport},
    {NULL, "completion", "bash", 1, 1, 0, 0,
     "print a completion script: source <(grapnelctl completion bash)",
     ctl_complete_script},
    {NULL, "help", "[NOUN [VERB]]", 0, 3, 0, 0,
     "explain a verb", ctl_help},
    {.name = NULL},
};

const struct ctl_verb *
ctl_verbs_find(const char *const words[], size_t n, size_t *n_used)
{
    for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
        size_t used = v->noun ? 2 : 1;

        if (n >= used
            && (!v->noun || !strcmp(words[0], v->noun))
            && !strcmp(words[used - 1], v->name)) {
            *n_used = used;
            return v;
        }
    }
    return NULL;
}

size_t
ctl_verbs_join(const char *words[], size_t n)
{
    for (const struct ctl_verb *v = ctl_verbs; v->name && n >= 2; v++) {
        const char *space = v->noun ? strchr(v->noun, ' ') : NULL;
        size_t length = space ? space - v->noun : 0;

        if (space && strlen(words[0]) == length
            && !strncmp(words[0], v->noun, length)
            && !strcmp(words[1], space + 1)) {
            words[0] = v->noun;
            memmove(&words[1], &words[2], (n - 2) * sizeof *words);
            return n - 1;
        }
    }
    return n;
}

const char *
ctl_verbs_kind(const struct ctl_verb *verb)
{
    const char *space = strchr(verb->noun, ' ');

    return space ? space + 1 : verb->noun;
}

bool
ctl_verbs_is_noun(const char *word)
{
    for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
        if (v->noun && !strcmp(word, v->noun)) {
            return true;
        }
    }
    return false;
}
