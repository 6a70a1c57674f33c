/* The command line of grapnel-mapd. */

#include <config.h>

#include "mapping/mapd/mapd-options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command-line.h"
#include "daemon.h"
#include "dirs.h"
#include "mapping/mapd/directory.h"
#include "mapping/mapd/server.h"
#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(mapd_options);

OVS_NO_RETURN static void
usage(void)
{
    printf("%s: Grapnel mapping service\n"
           "usage: %s [OPTIONS]\n"
           "\n"
           "Mapping service options:\n"
           "  --store=sqlite:PATH       keep the records in PATH\n"
           "                            (default: sqlite:"
           "/var/lib/grapnel/grapnel.db)\n"
           "  --store=etcd:URL,...      keep them in etcd, with other "
           "grapnel-mapds\n"
           "  --copy-from=STORE         copy all of STORE to the new store "
           "--store, and end\n"
           "  --etcd-prefix=PREFIX      of all keys there (default: "
           STORE_ETCD_PREFIX")\n"
           "  --etcd-user=USER, --etcd-password-file=FILE, --etcd-ca=FILE,\n"
           "  --etcd-cert=FILE, --etcd-key=FILE\n"
           "                            who etcd knows this one as, and whom "
           "it trusts\n"
           "  --advertise=ADDRESS       where other grapnel-mapds of that "
           "etcd reach this\n"
           "                            one, as ssl:IP:PORT, tcp:IP:PORT or "
           "unix:PATH\n"
           "                            (default: the first --listen for TLS, "
           "else\n"
           "                            for TCP, else any)\n"
           "  --name=NAME               what they call it (default: that "
           "address)\n"
           "  --listen=punix:PATH       listen on a Unix socket\n"
           "  --listen=pssl:[PORT][:IP] listen on TLS, port %d unless given,\n"
           "                            for peers with certificates\n"
           "  --listen=ptcp:[PORT][:IP] listen on TCP, the same port of\n"
           "                            127.0.0.1 unless given; who reaches\n"
           "                            it can change everything\n"
           "                            (default: "
           "punix:%s/grapnel-mapd.sock;\n"
           "                            --listen may be repeated)\n"
           "  --private-key=FILE        of mapd's certificate\n"
           "  --certificate=FILE        whose name is mapd:NAME\n"
           "  --ca-cert=FILE            of the CA that vouches for peers\n"
           "  --revoked-file=FILE       names certificates that are good no "
           "more\n"
           "  --host-vnis=granted|any   what hosts with certificates may see "
           "if their\n"
           "                            records give them no VNIs: those of "
           "their\n"
           "                            endpoints and workloads (default), or "
           "all\n"
           "  --audit-log=FILE          append a line of JSON for each "
           "change\n"
           "  --host-timeout=SECONDS    take a host for dead when it has been "
           "gone\n"
           "                            for SECONDS, such as 2.5; 0: never\n"
           "                            (default: %d)\n"
           "  --metrics=[IP:]PORT       tell figures by HTTP, at /metrics and "
           "/healthz,\n"
           "                            on 127.0.0.1 unless IP is given "
           "(default: no)\n",
           program_name, program_name, SERVER_DEFAULT_PORT, ovs_rundir(),
           SERVER_HOST_TIMEOUT_MS / 1000);
    daemon_usage();
    vlog_usage();
    printf("\nOther options:\n"
           "  --unixctl=SOCKET          override default control socket name\n"
           "  -h, --help                display this help message\n"
           "  -V, --version             display version information\n");
    exit(EXIT_SUCCESS);
}

enum {
    OPT_STORE = UCHAR_MAX + 1,
    OPT_COPY_FROM,
    OPT_LISTEN,
    OPT_UNIXCTL,
    OPT_HOST_TIMEOUT,
    OPT_METRICS,
    OPT_ETCD_PREFIX,
    OPT_ETCD_USER,
    OPT_ETCD_PASSWORD_FILE,
    OPT_ETCD_CA,
    OPT_ETCD_CERT,
    OPT_ETCD_KEY,
    OPT_ADVERTISE,
    OPT_NAME,
    OPT_AUDIT_LOG,
    OPT_HOST_VNIS,
    OPT_PRIVATE_KEY,
    OPT_CERTIFICATE,
    OPT_CA_CERT,
    OPT_REVOKED_FILE,
    VLOG_OPTION_ENUMS,
    DAEMON_OPTION_ENUMS,
};

static const struct option long_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {"store", required_argument, NULL, OPT_STORE},
    {"copy-from", required_argument, NULL, OPT_COPY_FROM},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"unixctl", required_argument, NULL, OPT_UNIXCTL},
    {"host-timeout", required_argument, NULL, OPT_HOST_TIMEOUT},
    {"metrics", required_argument, NULL, OPT_METRICS},
    {"etcd-prefix", required_argument, NULL, OPT_ETCD_PREFIX},
    {"etcd-user", required_argument, NULL, OPT_ETCD_USER},
    {"etcd-password-file", required_argument, NULL, OPT_ETCD_PASSWORD_FILE},
    {"etcd-ca", required_argument, NULL, OPT_ETCD_CA},
    {"etcd-cert", required_argument, NULL, OPT_ETCD_CERT},
    {"etcd-key", required_argument, NULL, OPT_ETCD_KEY},
    {"advertise", required_argument, NULL, OPT_ADVERTISE},
    {"name", required_argument, NULL, OPT_NAME},
    {"host-vnis", required_argument, NULL, OPT_HOST_VNIS},
    {"audit-log", required_argument, NULL, OPT_AUDIT_LOG},
    {"private-key", required_argument, NULL, OPT_PRIVATE_KEY},
    {"certificate", required_argument, NULL, OPT_CERTIFICATE},
    {"ca-cert", required_argument, NULL, OPT_CA_CERT},
    {"revoked-file", required_argument, NULL, OPT_REVOKED_FILE},
    DAEMON_LONG_OPTIONS,
    VLOG_LONG_OPTIONS,
    {NULL, 0, NULL, 0},
};

/* Makes the directory of 'path'; takes 'path' over. */
static void
make_parent(char *path)
{
    int error = directory_make_parent(path, 0755);

    if (error) {
        VLOG_FATAL("%s: its directory cannot be created (%s)", path,
                   ovs_strerror(error));
    }
    free(path);
}

/* Makes the directories that the options name: even the parsing of some opens
 * files in them. */
static void
make_directories(int argc, char *argv[])
{
    char *short_options = ovs_cmdl_long_options_to_short_options(long_options);
    bool makes_any = true;
    char *log_file = NULL, *pidfile = NULL;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, short_options, long_options, NULL))
           != -1) {
        if (c == 'h' || c == 'V') {
            makes_any = false;
        } else if (c == OPT_LOG_FILE) {
            free(log_file);
            log_file = (optarg ? abs_file_name(NULL, optarg)
                        : xasprintf("%s/x", ovs_logdir()));
        } else if (c == OPT_PIDFILE && optarg) {
            free(pidfile);
            pidfile = abs_file_name(ovs_rundir(), optarg);
        }
    }
    opterr = 1;
    optind = 0;                 /* Begin anew. */
    free(short_options);

    if (makes_any) {
        make_parent(xasprintf("%s/x", ovs_rundir()));
        if (log_file) {
            make_parent(xstrdup(log_file));
        }
        if (pidfile) {
            make_parent(xstrdup(pidfile));
        }
    }
    free(log_file);
    free(pidfile);
}

/* 'text' in seconds; the result in ms, of which there is at least one unless
 * it is 0. */
static unsigned int
parse_timeout(const char *text)
{
    const double max = SERVER_HOST_TIMEOUT_MAX_MS / 1000;
    char *end;
    double seconds;

    errno = 0;
    seconds = strtod(text, &end);
    if (errno || end == text || *end || !(seconds >= 0 && seconds <= max)) {
        ovs_fatal(0, "--host-timeout: \"%s\" is not a number of seconds from "
                  "0 to %g", text, max);
    }
    return seconds > 0 && seconds < 0.001 ? 1 : seconds * 1000 + 0.5;
}

static bool
parse_host_vnis(const char *text)
{
    if (strcmp(text, "granted") && strcmp(text, "any")) {
        ovs_fatal(0, "--host-vnis: \"%s\" is neither granted nor any", text);
    }
    return !strcmp(text, "any");
}

/* Option 'c' names a file.  A daemon changes its directory. */
static void
set_file(int c, const char *name, struct mapd_options *options)
{
    char **file = (c == OPT_AUDIT_LOG ? &options->audit_log
                   : c == OPT_PRIVATE_KEY ? &options->private_key
                   : c == OPT_CERTIFICATE ? &options->certificate
                   : c == OPT_CA_CERT ? &options->ca_cert
                   : &options->revoked_file);

    free(*file);
    *file = abs_file_name(NULL, name);
}

static void
parse_store_option(int c, const char *value, struct store_options *options)
{
    const char **const members[] = {
        [OPT_ETCD_PREFIX - OPT_ETCD_PREFIX] = &options->etcd_prefix,
        [OPT_ETCD_USER - OPT_ETCD_PREFIX] = &options->etcd_user,
        [OPT_ETCD_PASSWORD_FILE - OPT_ETCD_PREFIX]
            = &options->etcd_password_file,
        [OPT_ETCD_CA - OPT_ETCD_PREFIX] = &options->etcd_ca,
        [OPT_ETCD_CERT - OPT_ETCD_PREFIX] = &options->etcd_cert,
        [OPT_ETCD_KEY - OPT_ETCD_PREFIX] = &options->etcd_key,
        [OPT_ADVERTISE - OPT_ETCD_PREFIX] = &options->address,
        [OPT_NAME - OPT_ETCD_PREFIX] = &options->name,
    };

    *members[c - OPT_ETCD_PREFIX] = value;
}

/* The address at which others reach what listens on 'target'; the caller owns
 * it. */
static char *
default_address(const char *target)
{
    if (!strncmp(target, "ptcp:", 5) || !strncmp(target, "pssl:", 5)) {
        const char *colon = strchr(target + 5, ':');
        int n = colon ? colon - target - 5 : (int) strlen(target + 5);

        return xasprintf("%.4s%s:%.*s%.0d", target + 1,
                         colon ? colon + 1
                         : target[1] == 's' ? "0.0.0.0" : "127.0.0.1",
                         n, target + 5, n ? 0 : SERVER_DEFAULT_PORT);
    } else if (!strncmp(target, "punix:", 6)) {
        char *path = abs_file_name(ovs_rundir(), target + 6);
        char *address = xasprintf("unix:%s", path);

        free(path);
        return address;
    }
    return xstrdup("");
}

/* Where to listen for other machines: on TLS, else on TCP, if any. */
static const char *
farthest_reaching(const struct svec *targets)
{
    static const char *const kinds[] = { "pssl:", "ptcp:" };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        for (size_t j = 0; j < targets->n; j++) {
            if (!strncmp(targets->names[j], kinds[i], strlen(kinds[i]))) {
                return targets->names[j];
            }
        }
    }
    return targets->names[0];
}

/* Whether other mapds can reach one at 'address'. */
static bool
is_address(const char *address)
{
    struct sockaddr_storage ss;

    if (!strncmp(address, "unix:", 5)) {
        return address[5] != '\0';
    }
    return ((!strncmp(address, "tcp:", 4) || !strncmp(address, "ssl:", 4))
            && inet_parse_active(address + 4, 0, &ss, false, NULL));
}

/* Who gives an option that is for etcd alone has forgotten --store, or
 * mistyped it, and would serve hosts from an empty file. */
static void
check_goes_with_store(const struct mapd_options *given)
{
    const struct store_options *store = &given->store;
    const struct {
        const char *name, *value;
    } options[] = {
        { "etcd-prefix", store->etcd_prefix },
        { "etcd-user", store->etcd_user },
        { "etcd-password-file", store->etcd_password_file },
        { "etcd-ca", store->etcd_ca },
        { "etcd-cert", store->etcd_cert },
        { "etcd-key", store->etcd_key },
        { "advertise", store->address },
        { "name", store->name },
    };

    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (options[i].value && strncmp(store->target, "etcd:", 5)
            && !(given->copy_from && !strncmp(given->copy_from, "etcd:", 5))) {
            ovs_fatal(0, "--%s goes with --store=etcd:URL,..., and the store "
                      "is %s", options[i].name, store->target);
        }
    }
}

/* What other mapds call this one, and where they reach it. */
static void
complete_store_options(struct mapd_options *options)
{
    struct store_options *store = &options->store;

    check_goes_with_store(options);
    if (!store->address) {
        options->address = default_address(
            farthest_reaching(&options->listen));
        store->address = options->address;
        if (!strncmp(store->target, "etcd:", 5)
            && (strstr(store->address, ":0.0.0.0:")
                || strstr(store->address, ":[::]:"))) {
            ovs_fatal(0, "--advertise: other grapnel-mapds need an address of "
                      "this one, as in --advertise=ssl:IP:PORT");
        }
    } else if (!is_address(store->address)) {
        ovs_fatal(0, "--advertise: \"%s\" is neither ssl:IP:PORT, "
                  "tcp:IP:PORT nor unix:PATH", store->address);
    }
    if (!store->name) {
        size_t n = strlen(store->address);

        store->name = store->address + n - MIN(n, RECORD_NAME_MAX);
    }
    if (!*store->name || strlen(store->name) > RECORD_NAME_MAX) {
        ovs_fatal(0, "--name: \"%s\" is not 1 to %d characters long",
                  store->name, RECORD_NAME_MAX);
    }
}

static void
parse(int argc, char *argv[], struct mapd_options *options)
{
    char *short_options = ovs_cmdl_long_options_to_short_options(long_options);
    int c;

    while ((c = getopt_long(argc, argv, short_options, long_options, NULL))
           != -1) {
        switch (c) {
        case 'h':
            usage();

        case 'V':
            printf("grapnel-mapd %s (Open vSwitch library %s)\n",
                   GRAPNEL_VERSION, VERSION);
            exit(EXIT_SUCCESS);

        case OPT_STORE:
            options->store.target = optarg;
            break;

        case OPT_COPY_FROM:
            options->copy_from = optarg;
            break;

        case OPT_LISTEN:
            svec_add(&options->listen, optarg);
            break;

        case OPT_UNIXCTL:
            options->unixctl = optarg;
            break;

        case OPT_HOST_TIMEOUT:
            options->host_timeout = parse_timeout(optarg);
            break;

        case OPT_METRICS:
            options->metrics = optarg;
            break;

        case OPT_ETCD_PREFIX:
        case OPT_ETCD_USER:
        case OPT_ETCD_PASSWORD_FILE:
        case OPT_ETCD_CA:
        case OPT_ETCD_CERT:
        case OPT_ETCD_KEY:
        case OPT_ADVERTISE:
        case OPT_NAME:
            parse_store_option(c, optarg, &options->store);
            break;

        case OPT_HOST_VNIS:
            options->any_vni = parse_host_vnis(optarg);
            break;

        case OPT_AUDIT_LOG:
        case OPT_PRIVATE_KEY:
        case OPT_CERTIFICATE:
        case OPT_CA_CERT:
        case OPT_REVOKED_FILE:
            set_file(c, optarg, options);
            break;

        VLOG_OPTION_HANDLERS
        DAEMON_OPTION_HANDLERS

        default:
            exit(EXIT_FAILURE);
        }
    }
    free(short_options);

    if (optind < argc) {
        ovs_fatal(0, "unexpected argument \"%s\"; use --help for usage",
                  argv[optind]);
    }
    if (!options->listen.n) {
        svec_add_nocopy(&options->listen,
                        xasprintf("punix:%s/grapnel-mapd.sock",
                                  ovs_rundir()));
    }
    complete_store_options(options);
}

void
mapd_options_parse(struct mapd_options *options, int argc, char *argv[])
{
    *options = (struct mapd_options) {
        .store.target = "sqlite:/var/lib/grapnel/grapnel.db",
        .listen = SVEC_EMPTY_INITIALIZER,
        .host_timeout = SERVER_HOST_TIMEOUT_MS,
    };
    make_directories(argc, argv);
    parse(argc, argv, options);
}

void
mapd_options_destroy(struct mapd_options *options)
{
    svec_destroy(&options->listen);
    free(options->address);
    free(options->audit_log);
    free(options->private_key);
    free(options->certificate);
    free(options->ca_cert);
    free(options->revoked_file);
}
