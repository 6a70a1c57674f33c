/* grapnelctl, the admin CLI: its verbs, its options and what a verb gets.
 *
 * One table of verbs (ctl-verbs.c) and one of options (ctl-options.c) drive
 * the parser, the help, and the completion.  A verb is a function; it
 * speaks to mapd through ctl-call.h and to people and programs through
 * ctl-output.h, never by itself.
 *
 *     grapnelctl.c     main: parse, run, exit status
 *     ctl-verbs.c      the table of verbs
 *     ctl-options.c    the table of options, the parser, "did you mean"
 *     ctl-number.c     numbers and ports as people type them
 *     ctl-help.c       usage and help, from the tables; ctl-help-json.c the
 *                      tables themselves, from which the man page is made
 *     ctl-change.c ctl-list.c ctl-show.c ctl-status.c ctl-watch.c ctl-wait.c
 *     ctl-dump.c ctl-load.c ctl-compare.c (diff) ctl-trace.c ctl-check.c
 *     ctl-bugreport.c ctl-complete.c                        the verbs
 *     ctl-columns.c    the tables that list prints
 *     ctl-loading.c    dump files as load and diff take them
 *     ctl-dump-file.c  reads dump files; ctl-repeated.c members given twice
 *     ctl-flow.c       the flow that `trace` asks about, by names
 *     ctl-redact.c     hides secrets; ctl-duration.c durations in words
 *     ctl-diff.c       changes as lines of + - ~
 *     ctl-record.c     ids and members of records as JSON
 *     ctl-call.c       requests to mapd, failures as exit statuses
 *     ctl-client.c     the connection; ctl-trust.c its certificate
 *     ctl-output.c     everything that is printed
 *
 * Single-threaded.  Records are checked by mapd; this program only checks
 * that it was called in a way that makes sense. */

#ifndef MAPPING_CTL_CTL_H
#define MAPPING_CTL_CTL_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ctl_client;
struct ctl_output;
struct json;

/* Exit statuses. */
enum ctl_exit {
    CTL_OK          = 0,
    CTL_FAILED      = 1,        /* Refused, or failed. */
    CTL_USAGE       = 2,
    CTL_UNREACHABLE = 3,        /* mapd cannot be reached, or went away. */
    CTL_TIMED_OUT   = 4,

    /* Of `diff`, as of diff(1). */
    CTL_DIFFERENT   = 1,
    CTL_TROUBLE     = 2,
};

enum ctl_option_id {
    /* Understood by every verb. */
    CTL_JSON, CTL_MAPD, CTL_PRIVATE_KEY, CTL_CERTIFICATE, CTL_CA_CERT,
    CTL_TIMEOUT, CTL_HELP, CTL_VERSION,

    /* Members of records. */
    CTL_VTEP, CTL_ENCAP, CTL_REGION, CTL_ZONE, CTL_RACK, CTL_VNIS,
    CTL_ADDRESS, CTL_PROTOCOL, CTL_PORT, CTL_ALGORITHM, CTL_AFFINITY,
    CTL_AFFINITY_TIMEOUT, CTL_RAMP, CTL_DISTANCE, CTL_ON_HOST_DEATH,
    CTL_WHEN_EMPTY, CTL_QUIC_ID_OFFSET, CTL_QUIC_ID_LENGTH, CTL_SLOTS,
    CTL_HEALTH_CHECK, CTL_HEALTH_INTERVAL, CTL_HEALTH_TIMEOUT,
    CTL_HEALTH_RISE, CTL_HEALTH_FALL, CTL_HEALTH_PORT, CTL_HEALTH_STATUS,
    CTL_HEALTH_PATH, CTL_HEALTH_SOURCE,
    CTL_HOST, CTL_MAC, CTL_WEIGHT, CTL_STATE, CTL_COST, CTL_PRIORITY,
    CTL_QUIC_ID, CTL_IFACE,
    CTL_PUBLIC_ADDRESS, CTL_FIRST, CTL_LAST, CTL_PREFIX_LENGTH, CTL_ROUTER,
    CTL_TERM, CTL_CLIENT, CTL_NODE1, CTL_NODE2, CTL_PRIORITY1, CTL_PRIORITY2,
    CTL_ACTIVE, CTL_GATEWAY,

    /* How a verb works. */
    CTL_VNI, CTL_MAY_EXIST, CTL_IF_EXISTS, CTL_CASCADE, CTL_IF_REVISION,
    CTL_IF_EPOCH,
    CTL_WAIT, CTL_DRY_RUN, CTL_PRUNE, CTL_FORCE,
    N_CTL_OPTIONS
};

/* Set of options. */
typedef unsigned __int128 ctl_options_set; /* Of options. */
#define CTL_BIT(ID) ((ctl_options_set) 1 << (ID))
#define CTL_GLOBAL_OPTIONS (CTL_BIT(CTL_VTEP) - 1)
#define CTL_MEMBER_OPTIONS (CTL_BIT(CTL_VNI) - CTL_BIT(CTL_VTEP))

enum {
    CTL_MAX_ARGS = 5,           /* Noun, verb and what follows. */
    CTL_DEFAULT_TIMEOUT_MS = 5000,
    CTL_DEFAULT_WAIT_MS = 10000,
};

/* The directory of sockets of a mapd that systemd starts, as a user of its
 * own. */
#define CTL_SERVICE_RUNDIR "/run/grapnel"

/* What the user typed, picked apart.  Strings belong to the caller of
 * ctl_options_parse(). */
struct ctl_args {
    const char *words[CTL_MAX_ARGS]; /* Noun, verb, arguments. */
    size_t n_words;
    const char *values[N_CTL_OPTIONS]; /* NULL: not given; "" if bare. */
};

struct ctl_verb;

/* What a verb works with. */
struct ctl {
    const struct ctl_verb *verb;
    struct ctl_args args;
    const char *const *operands; /* The words after noun and verb. */
    size_t n_operands;
    const char *remote;         /* Where mapd listens. */
    bool json;
    struct ctl_output *out;
    struct ctl_client *client;  /* NULL until the first request. */
};

struct ctl_verb {
    const char *noun;           /* NULL for a verb without one.  May be of
                                 * two words. */
    const char *name;
    const char *operands;       /* For people: "VNI/NAME"; "" for none. */
    size_t min_operands, max_operands;
    ctl_options_set options;    /* Besides the global ones. */
    ctl_options_set required;   /* Of these. */
    const char *help;           /* One line. */
    enum ctl_exit (*run)(struct ctl *);
};

/* The table, in the order of the help.  Ends with a verb without a name. */
extern const struct ctl_verb ctl_verbs[];

/* The verb that 'words' begin with, or NULL.  Sets '*n_used' to how many of
 * the words name it. */
const struct ctl_verb *ctl_verbs_find(const char *const words[], size_t n,
                                      size_t *n_used);
bool ctl_verbs_is_noun(const char *word);

/* Makes one of the first two of the 'n' words if they are a noun of two words.
 * Returns how many words there are then. */
size_t ctl_verbs_join(const char *words[], size_t n);

/* The kind of record that 'verb', which has a noun, is about. */
const char *ctl_verbs_kind(const struct ctl_verb *verb);

/* The verbs themselves. */
enum ctl_exit ctl_change_add(struct ctl *);
enum ctl_exit ctl_change_set(struct ctl *);
enum ctl_exit ctl_change_remove(struct ctl *);
enum ctl_exit ctl_change_lease(struct ctl *);
enum ctl_exit ctl_list(struct ctl *);
enum ctl_exit ctl_show(struct ctl *);
enum ctl_exit ctl_status(struct ctl *);
enum ctl_exit ctl_watch(struct ctl *);
enum ctl_exit ctl_wait(struct ctl *);
enum ctl_exit ctl_dump(struct ctl *);
enum ctl_exit ctl_load(struct ctl *);
enum ctl_exit ctl_compare(struct ctl *);
enum ctl_exit ctl_trace(struct ctl *);
enum ctl_exit ctl_check(struct ctl *);
enum ctl_exit ctl_bugreport(struct ctl *);
enum ctl_exit ctl_complete_script(struct ctl *);
enum ctl_exit ctl_help(struct ctl *);

/* Prints the candidates for the last of the 'n' words, one per line, names
 * from mapd included if it answers soon.  Never fails. */
void ctl_complete_words(struct ctl *, const char *const words[], size_t n);

/* Prints the help for 'verb', or for the verbs of 'noun', or (both NULL) for
 * all. */
void ctl_help_print(struct ctl_output *, bool json,
                    const struct ctl_verb *verb, const char *noun);
/* What it prints with --json; the caller owns it. */
struct json *ctl_help_json(const struct ctl_verb *verb, const char *noun);

#endif /* mapping/ctl/ctl.h */
