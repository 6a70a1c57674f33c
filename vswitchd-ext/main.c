/* grapnel-vswitchd: Open vSwitch's switch with Grapnel's port types, in place
 * of ovs-vswitchd. */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "bridge.h"
#include "command-line.h"
#include "daemon.h"
#include "dirs.h"
#include "dns-resolve.h"
#include "dpif.h"
#include "dummy.h"
#include "fatal-signal.h"
#include "mapping/service-notify.h"
#include "memory.h"
#include "mapping/tls.h"
#include "netdev.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vconn.h"
#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "ovs-router.h"
#include "ovs-thread.h"
#include "simap.h"
#include "stream-ssl.h"
#include "stream.h"
#include "unixctl.h"
#include "util.h"
#include "vswitchd-ext/grapnel.h"

VLOG_DEFINE_THIS_MODULE(vswitchd);

/* Under this name tools look for the switch's pidfile and control socket
 * (`ovs-appctl`, `ovs-ctl`, OVN), and two switches notice each other. */
#define DROP_IN_NAME "ovs-vswitchd"

struct options {
    char *ovsdb_remote;
    char *unixctl_path;
    bool mlockall;
};

struct exit_request {
    bool wanted;
    bool cleanup;
};

static void
usage(void)
{
    printf("grapnel-vswitchd: Open vSwitch with anycast ports\n"
           "usage: grapnel-vswitchd [OPTIONS] [DATABASE]\n"
           "where DATABASE is a socket on which ovsdb-server is listening\n"
           "      (default: \"unix:%s/db.sock\").\n", ovs_rundir());
    stream_usage("DATABASE", true, false, true);
    daemon_usage();
    vlog_usage();
    printf("\nOther options:\n"
           "  --unixctl=SOCKET   override default control socket name\n"
           "  --mlockall         lock all memory into RAM\n"
           "  --disable-system   never use the kernel's datapath\n"
           "  -h, --help         display this help message\n"
           "  -V, --version      display version information\n");
    exit(EXIT_SUCCESS);
}

static void
parse_options(int argc, char *argv[], struct options *options)
{
    enum {
        OPT_PEER_CA_CERT = UCHAR_MAX + 1,
        OPT_BOOTSTRAP_CA_CERT,
        OPT_MLOCKALL,
        OPT_UNIXCTL,
        OPT_ENABLE_DUMMY,
        OPT_DISABLE_SYSTEM,
        OPT_DISABLE_SYSTEM_ROUTE,
        OPT_DUMMY_NUMA,
        VLOG_OPTION_ENUMS,
        DAEMON_OPTION_ENUMS,
        SSL_OPTION_ENUMS,
    };
    static const struct option long_options[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { "mlockall", no_argument, NULL, OPT_MLOCKALL },
        { "unixctl", required_argument, NULL, OPT_UNIXCTL },
        { "peer-ca-cert", required_argument, NULL, OPT_PEER_CA_CERT },
        { "bootstrap-ca-cert", required_argument, NULL,
          OPT_BOOTSTRAP_CA_CERT },
        { "enable-dummy", optional_argument, NULL, OPT_ENABLE_DUMMY },
        { "disable-system", no_argument, NULL, OPT_DISABLE_SYSTEM },
        { "disable-system-route", no_argument, NULL,
          OPT_DISABLE_SYSTEM_ROUTE },
        { "dummy-numa", required_argument, NULL, OPT_DUMMY_NUMA },
        DAEMON_LONG_OPTIONS,
        VLOG_LONG_OPTIONS,
        STREAM_SSL_LONG_OPTIONS,
        { NULL, 0, NULL, 0 },
    };
    char *short_options = ovs_cmdl_long_options_to_short_options(long_options);
    int c;

    while ((c = getopt_long(argc, argv, short_options, long_options, NULL))
           != -1) {
        switch (c) {
        case 'h':
            usage();
            break;
        case 'V':
            printf("grapnel-vswitchd %s\n", GRAPNEL_VERSION);
            ovs_print_version(0, 0);
            exit(EXIT_SUCCESS);
        case OPT_MLOCKALL:
            options->mlockall = true;
            break;
        case OPT_UNIXCTL:
            options->unixctl_path = optarg;
            break;
        case OPT_PEER_CA_CERT:
            stream_ssl_set_peer_ca_cert_file(optarg);
            break;
        case OPT_BOOTSTRAP_CA_CERT:
            stream_ssl_set_ca_cert_file(optarg, true);
            break;
        case OPT_ENABLE_DUMMY:
            dummy_enable(optarg);
            break;
        case OPT_DISABLE_SYSTEM:
            dp_disallow_provider("system");
            break;
        case OPT_DISABLE_SYSTEM_ROUTE:
            ovs_router_disable_system_routing_table();
            break;
        case OPT_DUMMY_NUMA:
            ovs_numa_set_dummy(optarg);
            break;
        VLOG_OPTION_HANDLERS
        DAEMON_OPTION_HANDLERS
        STREAM_SSL_OPTION_HANDLERS
        case '?':
            exit(EXIT_FAILURE);
        default:
            abort();
        }
    }
    free(short_options);

    if (argc - optind > 1) {
        VLOG_FATAL("at most one non-option argument accepted; use --help for "
                   "usage");
    }
    options->ovsdb_remote = (optind < argc ? xstrdup(argv[optind])
                             : xasprintf("unix:%s/db.sock", ovs_rundir()));
}

static void
request_exit(struct unixctl_conn *conn, int argc, const char *argv[],
             void *request_)
{
    struct exit_request *request = request_;

    request->wanted = true;
    request->cleanup = argc == 2 && !strcmp(argv[1], "--cleanup");
    unixctl_command_reply(conn, NULL);
}

static void
lock_memory(void)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE)) {
        VLOG_ERR("mlockall failed: %s", ovs_strerror(errno));
    } else {
        set_memory_locked();
    }
}

static void
report_memory(void)
{
    memory_run();
    if (memory_should_report()) {
        struct simap usage = SIMAP_INITIALIZER(&usage);

        bridge_get_memory_usage(&usage);
        memory_report(&usage);
        simap_destroy(&usage);
    }
}

static void
main_loop(struct unixctl_server *unixctl, const struct exit_request *request)
{
    while (!request->wanted) {
        report_memory();

        /* It reads certificates, which the agent's thread uses. */
        ovs_mutex_lock(&tls_mutex);
        bridge_run();
        ovs_mutex_unlock(&tls_mutex);
        grapnel_run();
        unixctl_server_run(unixctl);
        netdev_run();

        memory_wait();
        bridge_wait();
        grapnel_wait();
        unixctl_server_wait(unixctl);
        netdev_wait();
        if (request->wanted) {
            poll_immediate_wake();
        }
        poll_block();
    }
}

/* Open vSwitch says so when its first configuration is in place; the linker
 * (--wrap) has it say so here. */
void __real_daemonize_complete(void);
void __wrap_daemonize_complete(void);

void
__wrap_daemonize_complete(void)
{
    __real_daemonize_complete();
    service_notify_ready();
}

int
main(int argc, char *argv[])
{
    struct exit_request request = { .wanted = false };
    struct options options = { .unixctl_path = NULL };
    struct unixctl_server *unixctl;

    ovs_cmdl_proctitle_init(argc, argv);
    set_program_name(DROP_IN_NAME);
    ovsthread_id_init();
    dns_resolve_init(true);
    parse_options(argc, argv, &options);
    fatal_ignore_sigpipe();
    daemonize_start(true);
    if (options.mlockall) {
        lock_memory();
    }
    if (unixctl_server_create(options.unixctl_path, &unixctl)) {
        exit(EXIT_FAILURE);
    }
    unixctl_command_register("exit", "[--cleanup]", 0, 1, request_exit,
                             &request);
    grapnel_init(options.ovsdb_remote);
    bridge_init(options.ovsdb_remote);

    main_loop(unixctl, &request);

    service_notify_stopping();
    grapnel_exit();
    bridge_exit(request.cleanup);
    unixctl_server_destroy(unixctl);
    vlog_disable_async();
    ovsrcu_exit();
    dns_resolve_destroy();
    free(options.ovsdb_remote);
    return 0;
}
