#include <config.h>

#include "mapping/ctl/ctl-options.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/group.h"
#include "encap/tunnel.h"
#include "mapping/ctl/ctl-number.h"
#include "mapping/record.h"
#include "openvswitch/json.h"
#include "util.h"

const struct ctl_option ctl_options[N_CTL_OPTIONS] = {
    [CTL_JSON] = {"json", CTL_FLAG, NULL, NULL,
                  "answer in JSON, errors too"},
    [CTL_MAPD] = {"mapd", CTL_TEXT, "REMOTE", NULL,
                  "where grapnel-mapd listens: unix:PATH, ssl:IP[:PORT] "
                  "or tcp:IP[:PORT] (else from GRAPNEL_MAPD)"},
    [CTL_PRIVATE_KEY] = {"private-key", CTL_TEXT, "FILE", NULL,
                         "for ssl: the key of the certificate (else from "
                         "GRAPNEL_PRIVATE_KEY)"},
    [CTL_CERTIFICATE] = {"certificate", CTL_TEXT, "FILE", NULL,
                         "for ssl: who you are (else from "
                         "GRAPNEL_CERTIFICATE)"},
    [CTL_CA_CERT] = {"ca-cert", CTL_TEXT, "FILE", NULL,
                     "for ssl: the CA that vouches for mapd (else from "
                     "GRAPNEL_CA_CERT)"},
    [CTL_TIMEOUT] = {"timeout", CTL_SECONDS, "SECONDS", NULL,
                     "longest wait for a connection or an answer (5); of the "
                     "verb 'wait', for the hosts (10)"},
    [CTL_HELP] = {"help", CTL_FLAG, NULL, NULL, "explain the verb"},
    [CTL_VERSION] = {"version", CTL_FLAG, NULL, NULL, "print the version"},

    [CTL_VTEP] = {"vtep", CTL_TEXT, "ADDRESS", NULL,
                  "the host's address on the underlay (IPv4 or IPv6)"},
    [CTL_ENCAP] = {"encap", CTL_TEXT, "ENCAP", "geneve vxlan",
                   "how others reach the host: geneve (default) or vxlan"},
    [CTL_REGION] = {"region", CTL_TEXT, "NAME", NULL,
                    "where the host stands: its region"},
    [CTL_ZONE] = {"zone", CTL_TEXT, "NAME", NULL, "its zone in the region"},
    [CTL_RACK] = {"rack", CTL_TEXT, "NAME", NULL, "its rack in the zone"},
    [CTL_VNIS] = {"vnis", CTL_TEXT, "VNIS", NULL,
                  "the VNIs that a host with a certificate may see, besides "
                  "those of its endpoints and workloads, as 100,200-299; "
                  "\"\" for no more"},
    [CTL_ADDRESS] = {"address", CTL_TEXT, "ADDRESS", NULL,
                     "the anycast address (IPv4 or IPv6); of a workload, its "
                     "private one; of a VIP, the shared one; the one to "
                     "lease"},
    [CTL_PROTOCOL] = {"protocol", CTL_TEXT, "PROTOCOL", "tcp udp sctp icmp",
                      "tcp (default), udp, sctp or icmp (ping)"},
    [CTL_PORT] = {"port", CTL_PORTS, "PORT[-PORT]", NULL,
                  "1-65535, a range such as 8000-8010, or 0 for all ports "
                  "(default)"},
    [CTL_ALGORITHM] = {"algorithm", CTL_TEXT, "ALGORITHM",
                       "weighted hash round-robin least-connections "
                       "least-cost nearest lowest-response-time availability",
                       "how an endpoint is picked: weighted (default), hash, "
                       "round-robin, least-connections, least-cost, nearest, "
                       "lowest-response-time or availability"},
    [CTL_AFFINITY] = {"affinity", CTL_TEXT, "AFFINITY", "flow source",
                      "what stays together: flow (5-tuple, default) or "
                      "source (all from one address)"},
    [CTL_AFFINITY_TIMEOUT] = {"affinity-timeout", CTL_NUMBER, "SECONDS", NULL,
                              "how long an idle source keeps its endpoint "
                              "with affinity source, 1-14400 (10800)"},
    [CTL_RAMP] = {"ramp", CTL_NUMBER, "SECONDS", NULL,
                  "how long an endpoint that has come up takes to reach its "
                  "full share, 0-3600 (0)"},
    [CTL_DISTANCE] = {"distance", CTL_TEXT, "DISTANCE", "labels measured",
                      "what nearest goes by: labels (region, zone and rack "
                      "of hosts, default) or measured (response times)"},
    [CTL_ON_HOST_DEATH] = {"on-host-death", CTL_TEXT, "ACTION", "keep reset",
                           "what becomes of flows whose endpoint's host dies: "
                           "keep (default) or reset (their clients are told)"},
    [CTL_WHEN_EMPTY] = {"when-empty", CTL_TEXT, "ACTION", "drop reject",
                        "what becomes of packets that no endpoint takes: "
                        "drop (default) or reject (ICMP unreachable)"},
    [CTL_QUIC_ID_OFFSET] = {"quic-id-offset", CTL_NUMBER, "BYTES", NULL,
                            "where the endpoint's id stands in QUIC "
                            "connection ids, 0-19 (0)"},
    [CTL_QUIC_ID_LENGTH] = {"quic-id-length", CTL_NUMBER, "BYTES", NULL,
                            "how long that id is, 1-8, or 0 for none "
                            "(default); udp only"},
    [CTL_SLOTS] = {"slots", CTL_NUMBER, "SLOTS", NULL,
                   "size of the slot table: a power of two, 256-65536 (1024)"},
    [CTL_HEALTH_CHECK] = {"health-check", CTL_TEXT, "CHECK",
                          "none tcp http icmp arp",
                          "how hosts check their endpoints: none (default), "
                          "tcp (connect), http (GET), icmp (echo) or arp "
                          "(or ND)"},
    [CTL_HEALTH_INTERVAL] = {"health-interval", CTL_NUMBER, "MS", NULL,
                             "how often, 100-3600000 ms (2000)"},
    [CTL_HEALTH_TIMEOUT] = {"health-timeout", CTL_NUMBER, "MS", NULL,
                            "how long an answer may take, 10-60000 ms "
                            "(1000)"},
    [CTL_HEALTH_RISE] = {"health-rise", CTL_NUMBER, "CHECKS", NULL,
                         "after how many good checks in a row an endpoint is "
                         "healthy, 1-100 (2)"},
    [CTL_HEALTH_FALL] = {"health-fall", CTL_NUMBER, "CHECKS", NULL,
                         "after how many bad ones it is not, 1-100 (3)"},
    [CTL_HEALTH_PORT] = {"health-port", CTL_NUMBER, "PORT", NULL,
                         "where tcp and http checks go; 0 for the group's "
                         "port (default)"},
    [CTL_HEALTH_STATUS] = {"health-status", CTL_NUMBER, "STATUS", NULL,
                           "the status that http expects, 100-599 (200)"},
    [CTL_HEALTH_PATH] = {"health-path", CTL_TEXT, "PATH", NULL,
                         "what http gets (/)"},
    [CTL_HEALTH_SOURCE] = {"health-source", CTL_TEXT, "ADDRESS", NULL,
                           "where tcp, http and icmp checks come from: an "
                           "unused address of the endpoints' subnet"},
    [CTL_HOST] = {"host", CTL_TEXT, "HOST", "@host",
                  "the host that the endpoint or workload is on; of "
                  "'trace' and 'check', the one to ask"},
    [CTL_MAC] = {"mac", CTL_TEXT, "MAC", NULL,
                 "Ethernet address of the endpoint's or workload's "
                 "interface"},
    [CTL_WEIGHT] = {"weight", CTL_NUMBER, "WEIGHT", NULL,
                    "share of the new flows, 1-1000 (100)"},
    [CTL_STATE] = {"state", CTL_TEXT, "STATE", "up draining down",
                   "up (default), draining (keeps its flows, gets no new "
                   "ones) or down"},
    [CTL_COST] = {"cost", CTL_NUMBER, "COST", NULL,
                  "for least-cost, 0-65535 (0); the lowest is preferred"},
    [CTL_PRIORITY] = {"priority", CTL_NUMBER, "PRIORITY", NULL,
                      "for availability, 0-255 (0); the lowest is preferred"},
    [CTL_QUIC_ID] = {"quic-id", CTL_TEXT, "HEX", NULL,
                     "the endpoint's id in QUIC connection ids; \"\" for "
                     "none"},
    [CTL_IFACE] = {"iface", CTL_TEXT, "ID", NULL,
                   "the endpoint's port, by its external_ids:iface-id in "
                   "OVSDB: host and MAC (attached-mac) are found by it, and "
                   "--host and --mac not needed; \"\" for none"},

    [CTL_PUBLIC_ADDRESS] = {"public-address", CTL_TEXT, "ADDRESS", NULL,
                            "the workload's address outside; \"\" for none"},
    [CTL_FIRST] = {"first", CTL_TEXT, "ADDRESS", NULL,
                   "the lowest address of the pool"},
    [CTL_LAST] = {"last", CTL_TEXT, "ADDRESS", NULL,
                  "the highest address of the pool"},
    [CTL_PREFIX_LENGTH] = {"prefix-length", CTL_NUMBER, "BITS", NULL,
                           "of the pool's subnet, for clients to be told; 0 "
                           "for none (default)"},
    [CTL_ROUTER] = {"router", CTL_TEXT, "ADDRESS", NULL,
                    "the router that clients of the pool are told; \"\" for "
                    "none"},
    [CTL_TERM] = {"term", CTL_NUMBER, "SECONDS", NULL,
                  "how long a lease lasts, or those of a pool (3600); 0 for "
                  "no end"},
    [CTL_CLIENT] = {"client", CTL_TEXT, "CLIENT", "@workload",
                    "who has the lease: a workload's VNI/NAME, or an id such "
                    "as a MAC"},
    [CTL_NODE1] = {"node1", CTL_TEXT, "HOST", "@host",
                   "one of the two hosts of the pair"},
    [CTL_NODE2] = {"node2", CTL_TEXT, "HOST", "@host", "the other one"},
    [CTL_PRIORITY1] = {"priority1", CTL_NUMBER, "PRIORITY", NULL,
                       "of node1, 0-255 (0); the lowest is preferred"},
    [CTL_PRIORITY2] = {"priority2", CTL_NUMBER, "PRIORITY", NULL,
                       "of node2, the same"},
    [CTL_ACTIVE] = {"active", CTL_TEXT, "HOST", "@host",
                    "the node to be active; \"\" for none"},
    [CTL_GATEWAY] = {"gateway", CTL_TEXT, "GATEWAY", "@gateway",
                     "the pair that has the VIP"},

    [CTL_VNI] = {"vni", CTL_NUMBER, "VNI", NULL, "only of this tenant"},
    [CTL_MAY_EXIST] = {"may-exist", CTL_FLAG, NULL, NULL,
                       "no error if exactly this exists already"},
    [CTL_IF_EXISTS] = {"if-exists", CTL_FLAG, NULL, NULL,
                       "no error if it does not exist"},
    [CTL_CASCADE] = {"cascade", CTL_FLAG, NULL, NULL,
                     "remove what belongs to it, too: endpoints of a group, "
                     "leases, VIPs"},
    [CTL_IF_REVISION] = {"if-revision", CTL_NUMBER, "N", NULL,
                         "only if the mapping is still at revision N"},
    [CTL_IF_EPOCH] = {"if-epoch", CTL_NUMBER, "N", NULL,
                      "only if the gateway is still at epoch N; --active "
                      "needs it"},
    [CTL_WAIT] = {"wait", CTL_MAYBE_SECONDS, "SECONDS", NULL,
                  "wait until all connected hosts have applied it (10)"},
    [CTL_DRY_RUN] = {"dry-run", CTL_FLAG, NULL, NULL,
                     "show what would change, and change nothing"},
    [CTL_PRUNE] = {"prune", CTL_FLAG, NULL, NULL,
                   "remove what is not in the file"},
    [CTL_FORCE] = {"force", CTL_FLAG, NULL, NULL,
                   "even if it breaks connections (another affinity)"},
};

/* As of docs/protocol.md. */
static const struct ctl_range ranges[N_CTL_OPTIONS] = {
    [CTL_PORT] = {0, UINT16_MAX},
    [CTL_AFFINITY_TIMEOUT] = {1, GROUP_MAX_AFFINITY_S},
    [CTL_RAMP] = {0, RECORD_RAMP_MAX_S},
    [CTL_QUIC_ID_OFFSET] = {0, GROUP_MAX_QUIC_OFFSET},
    [CTL_QUIC_ID_LENGTH] = {0, GROUP_MAX_QUIC_ID},
    [CTL_SLOTS] = {GROUP_MIN_SLOTS, GROUP_MAX_SLOTS},
    [CTL_HEALTH_INTERVAL] = {RECORD_HEALTH_MIN_INTERVAL,
                             RECORD_HEALTH_MAX_INTERVAL},
    [CTL_HEALTH_TIMEOUT] = {RECORD_HEALTH_MIN_TIMEOUT,
                            RECORD_HEALTH_MAX_TIMEOUT},
    [CTL_HEALTH_RISE] = {1, RECORD_HEALTH_MAX_CHECKS},
    [CTL_HEALTH_FALL] = {1, RECORD_HEALTH_MAX_CHECKS},
    [CTL_HEALTH_PORT] = {0, UINT16_MAX},
    [CTL_HEALTH_STATUS] = {RECORD_HEALTH_MIN_STATUS,
                           RECORD_HEALTH_MAX_STATUS},
    [CTL_WEIGHT] = {1, RECORD_WEIGHT_MAX},
    [CTL_COST] = {0, UINT16_MAX},
    [CTL_PRIORITY] = {0, UINT8_MAX},
    [CTL_PREFIX_LENGTH] = {0, 128},
    [CTL_TERM] = {0, RECORD_TERM_MAX},
    [CTL_PRIORITY1] = {0, UINT8_MAX},
    [CTL_PRIORITY2] = {0, UINT8_MAX},
    [CTL_IF_EPOCH] = {0, UINT32_MAX},
    [CTL_VNI] = {0, VNI_MAX},
    [CTL_IF_REVISION] = {0, LLONG_MAX},
};

BUILD_ASSERT_DECL(N_CTL_OPTIONS <= 128); /* CTL_BIT(). */

static const char see_help[] = "see 'grapnelctl help'";

enum ctl_option_id
ctl_options_find(const char *name, size_t length)
{
    enum ctl_option_id id;

    for (id = 0; id < N_CTL_OPTIONS; id++) {
        if (strlen(ctl_options[id].name) == length
            && !memcmp(ctl_options[id].name, name, length)) {
            break;
        }
    }
    return id;
}

bool
ctl_options_takes_word(enum ctl_option_id id)
{
    return (ctl_options[id].value != CTL_FLAG
            && ctl_options[id].value != CTL_MAYBE_SECONDS);
}

/* Number of single-character edits, neighbours swapped included, that turn
 * 'a' into 'b' (Damerau-Levenshtein, optimal string alignment), for short
 * words. */
static size_t
edit_distance(const char *a, const char *b)
{
    enum { MAX = 32 };
    size_t d[MAX + 1][MAX + 1];
    size_t n = strnlen(a, MAX), m = strnlen(b, MAX);

    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (!i || !j) {
                d[i][j] = i + j;
                continue;
            }

            size_t same = a[i - 1] == b[j - 1];
            size_t best = d[i - 1][j - 1] + !same;
            best = MIN(best, d[i - 1][j] + 1);
            best = MIN(best, d[i][j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2]
                && a[i - 2] == b[j - 1]) {
                best = MIN(best, d[i - 2][j - 2] + 1);
            }
            d[i][j] = best;
        }
    }
    return d[n][m];
}

void
ctl_options_guess(struct ctl_guess *guess, const char *word,
                  const char *candidate)
{
    size_t distance = edit_distance(word, candidate);
    size_t prefix = strlen(word);

    /* A beginning is what people type who expect abbreviations. */
    if (prefix >= 2 && !strncmp(word, candidate, prefix)) {
        distance = 1;
    }
    if (distance <= 1 + strlen(candidate) / 4
        && distance < strlen(candidate)
        && (!guess->best || distance < guess->distance)) {
        guess->best = candidate;
        guess->distance = distance;
    }
}

static bool OVS_PRINTF_FORMAT(3, 4)
refuse(struct ctl_options_error *error, const char *hint,
       const char *format, ...)
{
    va_list args;

    ovs_strlcpy(error->hint, hint, sizeof error->hint);
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return false;
}

static bool
refuse_unknown(struct ctl_options_error *error, const char *name, int length)
{
    struct ctl_guess guess = {NULL, 0};
    char *word = xmemdup0(name, length);
    char hint[64];

    for (size_t i = 0; i < N_CTL_OPTIONS; i++) {
        ctl_options_guess(&guess, word, ctl_options[i].name);
    }
    snprintf(hint, sizeof hint, "did you mean --%s?",
             guess.best ? guess.best : "");
    refuse(error, guess.best ? hint : see_help, "there is no option --%s",
           word);
    free(word);
    return false;
}

static bool
set_value(struct ctl_args *args, enum ctl_option_id id, const char *value,
          struct ctl_options_error *error)
{
    const struct ctl_option *o = &ctl_options[id];

    if (args->values[id] && o->value != CTL_FLAG) {
        return refuse(error, "give it once", "--%s is given twice", o->name);
    }
    args->values[id] = value;
    return true;
}

/* Takes the option 'arg' ("--name" or "--name=value").  'next' is the word
 * after it, or NULL; '*took_next' tells whether it was the value. */
static bool
parse_option(struct ctl_args *args, const char *arg, const char *next,
             bool *took_next, struct ctl_options_error *error)
{
    const char *name = arg + 2;
    size_t length = strcspn(name, "=");
    const char *value = name[length] ? &name[length + 1] : NULL;
    enum ctl_option_id id = ctl_options_find(name, length);

    *took_next = false;
    if (id == N_CTL_OPTIONS) {
        return refuse_unknown(error, name, length);
    }
    if (ctl_options[id].value == CTL_FLAG) {
        if (value) {
            return refuse(error, "leave out what begins with =",
                          "--%s takes no value", ctl_options[id].name);
        }
    } else if (!value && ctl_options_takes_word(id)) {
        if (!next) {
            return refuse(error, see_help, "--%s needs a value: --%s %s",
                          ctl_options[id].name, ctl_options[id].name,
                          ctl_options[id].metavar);
        }
        value = next;
        *took_next = true;
    }
    return set_value(args, id, value ? value : "", error);
}

bool
ctl_options_parse(int argc, char *argv[], struct ctl_args *args,
                  struct ctl_options_error *error)
{
    bool options = true;

    memset(args, 0, sizeof *args);
    memset(error, 0, sizeof *error);
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        bool took_next = false;

        if (options && !strcmp(arg, "--")) {
            options = false;
        } else if (options && !strcmp(arg, "-h")) {
            args->values[CTL_HELP] = "";
        } else if (options && !strcmp(arg, "-V")) {
            args->values[CTL_VERSION] = "";
        } else if (options && arg[0] == '-' && arg[1] == '-') {
            if (!parse_option(args, arg, argv[i + 1], &took_next, error)) {
                return false;
            }
            i += took_next;
        } else if (options && arg[0] == '-' && arg[1]) {
            return refuse(error, see_help, "there is no option %s", arg);
        } else if (args->n_words == CTL_MAX_ARGS) {
            return refuse(error, see_help, "too many words, from \"%s\" on",
                          arg);
        } else {
            args->words[args->n_words++] = arg;
        }
    }
    return true;
}

enum ctl_exit
ctl_options_check(struct ctl_output *out, const struct ctl_args *args)
{
    enum ctl_exit status = CTL_OK;
    long long number, last;

    for (size_t id = 0; id < N_CTL_OPTIONS && !status; id++) {
        const struct ctl_option *o = &ctl_options[id];
        const char *value = args->values[id];

        if (!value) {
            continue;
        } else if (o->value == CTL_NUMBER) {
            status = ctl_number_read(out, o->name, value, ranges[id],
                                     &number);
        } else if (o->value == CTL_PORTS) {
            status = ctl_number_read_ports(out, o->name, value, &number,
                                           &last);
        } else if (o->value == CTL_SECONDS
                   || (o->value == CTL_MAYBE_SECONDS && *value)) {
            status = ctl_number_check_seconds(out, o->name, value);
        }
    }
    return status;
}

long long
ctl_options_ms(const struct ctl_args *args, enum ctl_option_id id,
               long long otherwise)
{
    const char *value = args->values[id];

    return value && *value ? llrint(strtod(value, NULL) * 1000) : otherwise;
}

long long
ctl_options_number(const struct ctl_args *args, enum ctl_option_id id)
{
    long long number = 0;

    str_to_llong(args->values[id], 10, &number);
    return number;
}

/* The member that option 'o' sets; the caller owns the string. */
static char *
member_name(const struct ctl_option *o)
{
    char *name = xstrdup(o->name);

    for (char *p = name; *p; p++) {
        *p = *p == '-' ? '_' : *p;
    }
    return name;
}

static void
put_ports(const struct ctl_args *args, enum ctl_option_id id,
          struct json *record)
{
    long long first, last;

    if (!ctl_number_read_ports(NULL, NULL, args->values[id], &first, &last)) {
        json_object_put(record, "port", json_integer_create(first));
        if (last >= 0) {
            json_object_put(record, "port_last", json_integer_create(last));
        }
    }
}

void
ctl_options_put_members(const struct ctl_args *args, struct json *record)
{
    for (enum ctl_option_id id = CTL_VTEP; id < CTL_VNI; id++) {
        const struct ctl_option *o = &ctl_options[id];
        char *member = member_name(o);

        if (!args->values[id]) {
            /* Not given. */
        } else if (o->value == CTL_PORTS) {
            put_ports(args, id, record);
        } else if (o->value == CTL_NUMBER) {
            json_object_put(record, member, json_integer_create(
                                ctl_options_number(args, id)));
        } else {
            json_object_put_string(record, member, args->values[id]);
        }
        free(member);
    }
}
