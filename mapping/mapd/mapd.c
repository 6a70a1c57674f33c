/* grapnel-mapd: the mapping service. */

#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command-line.h"
#include "daemon.h"
#include "dirs.h"
#include "fatal-signal.h"
#include "latch.h"
#include "mapping/catalog/catalog.h"
#include "mapping/mapd/audit.h"
#include "mapping/mapd/mapd-options.h"
#include "mapping/mapd/revoked.h"
#include "mapping/mapd/server.h"
#include "mapping/mapd/store-copy.h"
#include "mapping/mapd/store.h"
#include "mapping/mapd/unix-listener.h"
#include "mapping/metrics-server.h"
#include "mapping/service-notify.h"
#include "mapping/tls.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "svec.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(mapd);

/* Set by a signal or `exit`: the main loop is to end. */
static struct latch quit;

/* Set by SIGHUP: the log file may be another by now. */
static struct latch reopen;

static void
handle_signal(int signal)
{
    latch_set(signal == SIGHUP ? &reopen : &quit);
}

/* From here on SIGTERM ends the main loop, so that all is closed in order. */
static void
catch_signals(void)
{
    latch_init(&quit);
    latch_init(&reopen);
    fatal_signal_init();
    signal(SIGTERM, handle_signal);
    signal(SIGINT, handle_signal);
    signal(SIGHUP, handle_signal);
}

static void
unixctl_exit(struct unixctl_conn *conn, int argc OVS_UNUSED,
             const char *argv[] OVS_UNUSED, void *aux OVS_UNUSED)
{
    latch_set(&quit);
    unixctl_command_reply(conn, NULL);
}

static void
unixctl_show(struct unixctl_conn *conn, int argc OVS_UNUSED,
             const char *argv[] OVS_UNUSED, void *server)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    server_show(server, &ds);
    unixctl_command_reply(conn, ds_cstr(&ds));
    ds_destroy(&ds);
}

/* "mapd/backup FILE" */
static void
unixctl_backup(struct unixctl_conn *conn, int argc OVS_UNUSED,
               const char *argv[], void *store)
{
    struct diagnosis diag;

    if (store_backup(store, argv[1], &diag)) {
        char *text = xasprintf("%s; %s", diag.message, diag.hint);

        unixctl_command_reply_error(conn, text);
        free(text);
    } else {
        unixctl_command_reply(conn, NULL);
    }
}

/* "mapd/reload-revoked": at once, and says what is wrong. */
static void
unixctl_reload_revoked(struct unixctl_conn *conn, int argc OVS_UNUSED,
                       const char *argv[] OVS_UNUSED, void *revoked)
{
    struct diagnosis diag;

    if (revoked_reload(revoked, &diag)) {
        char *text = xasprintf("%s; %s", diag.message, diag.hint);

        unixctl_command_reply_error(conn, text);
        free(text);
    } else {
        char *text = xasprintf("%"PRIuSIZE" certificates are revoked",
                               revoked_count(revoked));

        unixctl_command_reply(conn, text);
        free(text);
    }
}

OVS_NO_RETURN static void
die(const struct diagnosis *diag)
{
    if (diag->hint[0]) {
        VLOG_FATAL("%s; %s", diag->message, diag->hint);
    }
    VLOG_FATAL("%s", diag->message);
}

/* The library would take over any file by that name. */
static void
check_unixctl(const char *name)
{
    struct diagnosis diag;

    unix_listener_remove_dead(ovs_rundir(), program_name);
    if (name && strcmp(name, "none")) {
        char *path = abs_file_name(ovs_rundir(), name);

        if (unix_listener_check(path, "unixctl", &diag)) {
            die(&diag);
        }
        free(path);
    }
}

static void
use_tls(const struct mapd_options *options)
{
    const struct tls_files files = {
        .private_key = options->private_key,
        .certificate = options->certificate,
        .ca_cert = options->ca_cert,
    };
    struct diagnosis diag;
    char *name;

    if (!files.private_key && !files.certificate && !files.ca_cert) {
        return;
    }
    if (tls_use(&files, &diag)) {
        die(&diag);
    }
    name = tls_common_name(files.certificate);
    if (!tls_is_mapd(name)) {
        VLOG_WARN("certificate %s is for \"%s\", not for "TLS_MAPD_PREFIX
                  "NAME: hosts and grapnelctl will not talk to this one",
                  files.certificate, name);
    }
    free(name);
}

/* NULL if 'file' is. */
static struct revoked *
open_revoked(const char *file, struct server *server)
{
    struct revoked *revoked = NULL;
    struct diagnosis diag;

    if (file) {
        if (revoked_open(file, &revoked, &diag)) {
            die(&diag);
        }
        VLOG_INFO("%s: %"PRIuSIZE" certificates are revoked", file,
                  revoked_count(revoked));
        server_set_revoked(server, revoked);
        unixctl_command_register("mapd/reload-revoked", "", 0, 0,
                                 unixctl_reload_revoked, revoked);
    }
    return revoked;
}

static void
listen_all(struct server *server, const struct svec *targets)
{
    struct diagnosis diag;

    for (size_t i = 0; i < targets->n; i++) {
        if (server_listen(server, targets->names[i], &diag)) {
            die(&diag);
        }
    }
}

static void
write_metrics(struct metrics *metrics, void *server)
{
    server_write_metrics(server, metrics);
}

static char *
find_problem(void *server)
{
    return server_health_problem(server);
}

/* NULL if 'address' is. */
static struct metrics_server *
open_metrics(const char *address, struct server *server)
{
    const struct metrics_source source = {
        .write = write_metrics, .problem = find_problem, .aux = server,
    };
    struct metrics_server *metrics = NULL;
    struct diagnosis diag;

    if (address && metrics_server_create(address, "metrics", &source,
                                         &metrics, &diag)) {
        die(&diag);
    }
    return metrics;
}

static void
run(struct server *server, struct unixctl_server *unixctl,
    struct metrics_server *metrics)
{
    while (!latch_is_set(&quit)) {
        server_run(server);
        unixctl_server_run(unixctl);
        metrics_server_run(metrics);
        service_notify_run();
        if (latch_poll(&reopen)) {
            vlog_reopen_log_file();
        }

        server_wait(server);
        unixctl_server_wait(unixctl);
        metrics_server_wait(metrics);
        service_notify_wait();
        latch_wait(&quit);
        latch_wait(&reopen);
        poll_block();
    }
}

/* Ends the program. */
OVS_NO_RETURN static void
copy_store(const struct mapd_options *options)
{
    struct store_options from = options->store;
    struct store_copied copied;
    struct diagnosis diag;

    from.target = options->copy_from;
    if (store_copy(&from, &options->store, &copied, &diag)) {
        ovs_fatal(0, "nothing was copied: %s%s%s", diag.message,
                  diag.hint[0] ? "; " : "", diag.hint);
    }
    printf("%s: revision %"PRIu64" copied: %"PRIuSIZE" hosts, %"PRIuSIZE
           " groups, %"PRIuSIZE" endpoints, %"PRIuSIZE" other records\n",
           options->store.target, copied.revision, copied.n_hosts,
           copied.n_groups, copied.n_endpoints, copied.n_others);
    exit(EXIT_SUCCESS);
}

int
main(int argc, char *argv[])
{
    struct mapd_options options;
    struct unixctl_server *unixctl;
    struct metrics_server *metrics;
    struct catalog *catalog;
    struct diagnosis diag;
    struct server *server;
    struct revoked *revoked;
    struct audit *audit;
    struct hash_key key;
    struct store *store;

    ovs_cmdl_proctitle_init(argc, argv);
    ovs_set_program_name(argv[0], GRAPNEL_VERSION);
    service_start(&argc, &argv);
    mapd_options_parse(&options, argc, argv);
    fatal_ignore_sigpipe();
    signal(SIGXFSZ, SIG_IGN);   /* A file size limit is an error, not death. */
    if (options.copy_from) {
        copy_store(&options);
    }
    daemonize_start(false);
    catch_signals();
    check_unixctl(options.unixctl);
    if (unixctl_server_create(options.unixctl, &unixctl)) {
        exit(EXIT_FAILURE);
    }

    catalog = catalog_create();
    if (store_open(&options.store, catalog, &key, &store, &diag)) {
        die(&diag);
    }
    if (!store_is_shared(store)) {
        catalog_restore_liveness(catalog);
    }
    if (server_create(catalog, store, &key, options.host_timeout, &server,
                      &diag)) {
        die(&diag);
    }
    if (audit_open(options.audit_log, &audit, &diag)) {
        die(&diag);
    }
    server_set_audit(server, audit);
    server_set_any_vni(server, options.any_vni);
    use_tls(&options);
    revoked = open_revoked(options.revoked_file, server);
    listen_all(server, &options.listen);
    metrics = open_metrics(options.metrics, server);
    unixctl_command_register("exit", "", 0, 0, unixctl_exit, NULL);
    unixctl_command_register("mapd/backup", "FILE", 1, 1, unixctl_backup,
                             store);
    unixctl_command_register("mapd/show", "", 0, 0, unixctl_show, server);
    daemonize_complete();
    vlog_enable_async();
    VLOG_INFO("grapnel-mapd %s: store %s, revision %"PRIu64, GRAPNEL_VERSION,
              store_name(store), catalog_revision(catalog));
    service_notify_ready();

    run(server, unixctl, metrics);

    VLOG_INFO("exiting");
    service_notify_stopping();
    metrics_server_destroy(metrics);
    server_destroy(server);
    revoked_close(revoked);
    audit_close(audit);
    store_close(store);
    catalog_destroy(catalog);
    unixctl_server_destroy(unixctl);
    mapd_options_destroy(&options);
    service_stop();
    vlog_disable_async();
    latch_destroy(&quit);
    latch_destroy(&reopen);
    return 0;
}
