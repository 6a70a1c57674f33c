#include <config.h>
#include "mapping/etcd/etcd-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fatal-signal.h"
#include "openvswitch/list.h"
#include "util.h"

/* Checks that the file 'path' of option 'name', if any, can be read. */
static int
check_file(const char *name, const char *path, struct diagnosis *diag)
{
    if (path && access(path, R_OK)) {
        return diagnosis_set(diag, DIAG_INVALID, name, path,
                             "cannot read %s \"%s\": %s", name, path,
                             ovs_strerror(errno));
    }
    return 0;
}

/* Options that do not go together. */
static int
check_options(const struct etcd_options *o, const struct etcd_members *members,
              struct diagnosis *diag)
{
    if (!o->user != !o->password) {
        return diagnosis_set(diag, DIAG_INVALID,
                             o->user ? "password" : "user", NULL,
                             "user and password go together");
    }
    if (o->user && !o->user[0]) {
        return diagnosis_set(diag, DIAG_INVALID, "user", "",
                             "the user's name is empty");
    }
    if (!o->cert != !o->key) {
        return diagnosis_set(diag, DIAG_INVALID, o->cert ? "key" : "cert",
                             NULL, "a certificate and its private key go "
                             "together");
    }
    if ((o->ca || o->cert) && !etcd_members_use_tls(members)) {
        return diagnosis_set(diag, DIAG_INVALID, o->ca ? "ca" : "cert",
                             o->ca ? o->ca : o->cert, "certificates are of "
                             "no use: no URL begins with https://");
    }
    return 0;
}

static int
check_files(const struct etcd_options *o, struct diagnosis *diag)
{
    int error = check_file("ca", o->ca, diag);

    error = error ? error : check_file("cert", o->cert, diag);
    return error ? error : check_file("key", o->key, diag);
}

int
etcd_create(const struct etcd_options *options, struct etcd **etcdp,
            struct diagnosis *diag)
{
    struct etcd_members members;
    struct etcd *etcd;
    int error = etcd_members_init(&members, options->urls, diag);

    if (error) {
        return error;
    }
    error = check_options(options, &members, diag);
    error = error ? error : check_files(options, diag);
    if (error) {
        etcd_members_uninit(&members);
        return error;
    }
    /* OpenSSL does not keep a closed connection from raising it. */
    fatal_ignore_sigpipe();
    etcd = xzalloc(sizeof *etcd);
    etcd->members = members;
    etcd->http = etcd_http_create(options->ca, options->cert, options->key);
    etcd->user = nullable_xstrdup(options->user);
    etcd->password = nullable_xstrdup(options->password);
    ovs_list_init(&etcd->leases);
    ovs_list_init(&etcd->watches);
    ovs_list_init(&etcd->partings);
    *etcdp = etcd;
    return 0;
}

void
etcd_destroy(struct etcd *etcd)
{
    if (etcd) {
        ovs_assert(ovs_list_is_empty(&etcd->leases));
        ovs_assert(ovs_list_is_empty(&etcd->watches));
        etcd_lease_part(etcd);
        etcd_login_destroy(etcd);
        etcd_http_destroy(etcd->http);
        etcd_members_uninit(&etcd->members);
        free(etcd->user);
        free(etcd->password);
        free(etcd);
    }
}

/* Until when nothing comes from outside, everything has its time. */
void
etcd_run_for(struct etcd *etcd, int timeout_ms)
{
    etcd_http_run(etcd->http, MIN(timeout_ms, ETCD_RETRY_MS));
    etcd_login_run(etcd);
    etcd_lease_run_all(etcd);
    etcd_watch_run_all(etcd);
}

void
etcd_run(struct etcd *etcd)
{
    etcd_run_for(etcd, 0);
}

void
etcd_wait(struct etcd *etcd)
{
    etcd_http_wait(etcd->http);
    etcd_login_wait(etcd);
    etcd_lease_wait_all(etcd);
    etcd_watch_wait_all(etcd);
}
