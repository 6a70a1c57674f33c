#include <config.h>

#include "mapping/ctl/ctl.h"

#include <string.h>

#define B(ID) CTL_BIT(CTL_##ID)

#define CHANGE      (B(IF_REVISION) | B(WAIT))
#define HOST        (B(VTEP) | B(ENCAP) | B(REGION) | B(ZONE) | B(RACK))
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
                     | B(PRIORITY) | B(QUIC_ID))

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
     ENDPOINT | CHANGE | B(MAY_EXIST), B(HOST) | B(MAC),
     "add an endpoint to a group", ctl_change_add},
    {"endpoint", "set", "VNI/GROUP/NAME", 1, 1, ENDPOINT | CHANGE, 0,
     "change an endpoint: weight, state, cost, host", ctl_change_set},
    {"endpoint", "remove", "VNI/GROUP/NAME", 1, 1, CHANGE | B(IF_EXISTS), 0,
     "remove an endpoint", ctl_change_remove},
    {"endpoint", "list", "[VNI/GROUP]", 0, 1, B(VNI) | B(HOST), 0,
     "list endpoints and their share of the flows", ctl_list},
    {"endpoint", "show", "VNI/GROUP/NAME", 1, 1, 0, 0,
     "all about one endpoint", ctl_show},

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
    {NULL, "trace", "VNI PROTOCOL SRC[:PORT] DST[:PORT]", 4, 4, B(HOST), 0,
     "where a packet would go from a host, and why", ctl_trace},
    {NULL, "completion", "bash", 1, 1, 0, 0,
     "print a completion script: source <(grapnelctl completion bash)",
     ctl_complete_script},
    {NULL, "help", "[NOUN [VERB]]", 0, 2, 0, 0,
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
