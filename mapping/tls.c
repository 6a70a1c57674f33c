#include <config.h>

#include "mapping/tls.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "stream-ssl.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(tls);

enum {
    N_FILES      = 3,
    TLS_NAME_MAX = 64,          /* RFC 5280, appendix A.1: ub-common-name. */
    REFRESH_MS   = 1000,
};

struct ovs_mutex tls_mutex = OVS_MUTEX_INITIALIZER;

/* What a file was when it was looked at; all zero: not there. */
struct stamp {
    struct timespec mtime, ctime;
    dev_t dev;
    ino_t ino;
};

static struct {
    char *names[N_FILES];       /* As in struct tls_files; NULL: not in use. */
    struct stamp stamps[N_FILES];
    long long int refresh_at;   /* time_msec(). */
    char *trouble;              /* Why what they have become is not used, or
                                 * NULL. */
} used;

/* Checking. */

/* Of the library's errors, the reason of the last. */
static const char *
why(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return reason ? reason : "unknown error";
}

static int
refuse(const char *field, const char *file, const char *cause,
       const char *hint, struct diagnosis *diag)
{
    int error = diagnosis_set(diag, DIAG_INVALID, field, file,
                              "%s \"%s\": %s", field, file, cause);

    diagnosis_set_hint(diag, "%s", hint);
    return error;
}

static int
check_readable(const char *field, const char *file, struct diagnosis *diag)
{
    /* The library takes "none" for trust in everybody. */
    if (!file || !*file || !strcmp(file, "none")) {
        int error = diagnosis_set(diag, DIAG_INVALID, field, file,
                                  "TLS needs %s, a file", field);

        diagnosis_set_hint(diag, "give private-key, certificate and ca-cert");
        return error;
    } else if (access(file, R_OK)) {
        return refuse(field, file, ovs_strerror(errno),
                      "name a PEM file that may be read", diag);
    }
    return 0;
}

/* Nobody is there to be asked for a pass phrase. */
static int
no_pass_phrase(char *buf OVS_UNUSED, int size OVS_UNUSED,
               int rwflag OVS_UNUSED, void *aux OVS_UNUSED)
{
    return -1;
}

static int
check_contents(SSL_CTX *ctx, const struct tls_files *f,
               struct diagnosis *diag)
{
    SSL_CTX_set_default_passwd_cb(ctx, no_pass_phrase);
    if (SSL_CTX_use_certificate_file(ctx, f->certificate,
                                     SSL_FILETYPE_PEM) != 1) {
        return refuse("certificate", f->certificate, why(),
                      "it must be a certificate in PEM", diag);
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, f->private_key,
                                    SSL_FILETYPE_PEM) != 1
        || SSL_CTX_check_private_key(ctx) != 1) {
        return refuse("private-key", f->private_key, why(),
                      "it must be the key of the certificate, in PEM, without "
                      "a pass phrase", diag);
    }
    if (SSL_CTX_load_verify_locations(ctx, f->ca_cert, NULL) != 1) {
        return refuse("ca-cert", f->ca_cert, why(),
                      "it must be the certificate of the CA, in PEM", diag);
    }
    return 0;
}

int
tls_check(const struct tls_files *f, struct diagnosis *diag)
{
    int error = check_readable("private-key", f->private_key, diag);
    SSL_CTX *ctx;

    if (!error) {
        error = check_readable("certificate", f->certificate, diag);
    }
    if (!error) {
        error = check_readable("ca-cert", f->ca_cert, diag);
    }
    if (!error) {
        ctx = SSL_CTX_new(TLS_method());
        if (!ctx) {
            return refuse("certificate", f->certificate, why(),
                          "is OpenSSL installed in order?", diag);
        }
        error = check_contents(ctx, f, diag);
        SSL_CTX_free(ctx);
    }
    ERR_clear_error();
    return error;
}

/* 'cert' may be NULL. */
static int
seconds_left(const X509 *cert)
{
    int days, seconds;

    if (!cert || !ASN1_TIME_diff(&days, &seconds, NULL,
                                 X509_get0_notAfter(cert))
        || days >= INT_MAX / 86400) {
        return INT_MAX;
    }
    return MAX(days, 1 - INT_MAX / 86400) * 86400 + seconds;
}

/* The certificate in 'file', to be freed; NULL if there is none. */
static X509 *
read_certificate(const char *file)
{
    FILE *stream = fopen(file, "r");
    X509 *cert;

    if (!stream) {
        return NULL;
    }
    cert = PEM_read_X509(stream, NULL, NULL, NULL);
    fclose(stream);
    ERR_clear_error();
    return cert;
}

char *
tls_common_name(const char *file)
{
    X509 *cert = read_certificate(file);
    char name[TLS_NAME_MAX + 1];
    int n = cert ? X509_NAME_get_text_by_NID(X509_get_subject_name(cert),
                                             NID_commonName, name,
                                             sizeof name) : 0;

    X509_free(cert);
    return xstrdup(n > 0 ? name : "");
}

int
tls_seconds_left(const char *file)
{
    X509 *cert = read_certificate(file);
    int left = seconds_left(cert);

    X509_free(cert);
    return left;
}

/* Peers. */

static __thread struct ssl_st *newest;

/* OpenSSL calls this when it has made a session. */
static void
note_session(void *session, void *ptr OVS_UNUSED,
             CRYPTO_EX_DATA *data OVS_UNUSED, int idx OVS_UNUSED,
             long argl OVS_UNUSED, void *argp OVS_UNUSED)
{
    newest = session;
}

static void
watch_sessions(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;

    if (ovsthread_once_start(&once)) {
        SSL_get_ex_new_index(0, NULL, note_session, NULL, NULL);
        ovsthread_once_done(&once);
    }
}

struct ssl_st *
tls_newest_session(void)
{
    return newest;
}

bool
tls_get_peer(const struct ssl_st *session, struct tls_peer *peer)
{
    X509 *cert = session ? SSL_get1_peer_certificate(session) : NULL;
    bool ok;

    memset(peer, 0, sizeof *peer);
    ok = cert && X509_digest(cert, EVP_sha256(), peer->fingerprint, NULL);
    if (ok) {
        int left = seconds_left(cert);

        peer->expires = left == INT_MAX ? LLONG_MAX : time_wall() + left;
    }
    X509_free(cert);
    ERR_clear_error();
    return ok;
}

/* Using. */

static void
look(const char *const names[], struct stamp stamps[])
{
    memset(stamps, 0, N_FILES * sizeof *stamps);
    for (size_t i = 0; i < N_FILES; i++) {
        struct stat s;

        if (names[i] && !stat(names[i], &s)) {
            stamps[i].mtime = s.st_mtim;
            stamps[i].ctime = s.st_ctim;
            stamps[i].dev = s.st_dev;
            stamps[i].ino = s.st_ino;
        }
    }
}

/* The same file by another name.  The library reads a file again if its name
 * or its time of modification is another one; the latter is not enough, as
 * files may be moved into place with any. */
static char *
respell(const char *file, bool again)
{
    return (file[0] == '/' ? xasprintf("%s%s", again ? "//" : "/", file)
            : xasprintf("%s%s", again ? "././" : "./", file));
}

/* The key goes after its certificate, which drops a key that does not fit.
 * The names are never those that others, who read the SSL table of a switch's
 * database, give to the library, nor the last ones. */
static void
hand_over(const struct tls_files *f)
{
    static bool again;
    char *certificate = respell(f->certificate, again);
    char *private_key = respell(f->private_key, again);
    char *ca_cert = respell(f->ca_cert, again);

    stream_ssl_set_certificate_file(certificate);
    stream_ssl_set_private_key_file(private_key);
    stream_ssl_set_ca_cert_file(ca_cert, false);
    again = !again;
    free(certificate);
    free(private_key);
    free(ca_cert);
}

static void
warn_of_expiry(const char *file)
{
    if (tls_seconds_left(file) < 0) {
        VLOG_WARN("certificate %s has expired: peers will refuse it", file);
    }
}

/* Whether they were looked at when they were the same. */
static bool
is_in_use(const char *const names[], const struct stamp stamps[])
{
    for (size_t i = 0; i < N_FILES; i++) {
        if (!nullable_string_is_equal(names[i], used.names[i])) {
            return false;
        }
    }
    return used.names[0] && !memcmp(stamps, used.stamps, sizeof used.stamps);
}

int
tls_use(const struct tls_files *f, struct diagnosis *diag)
{
    const char *names[N_FILES] = { f->private_key, f->certificate,
                                   f->ca_cert };
    struct stamp stamps[N_FILES];
    int error;

    look(names, stamps);        /* Before they are read: nothing is missed. */
    if (is_in_use(names, stamps)) {
        return 0;
    }
    error = tls_check(f, diag);
    if (error) {
        return error;
    }
    watch_sessions();
    hand_over(f);
    warn_of_expiry(f->certificate);
    for (size_t i = 0; i < N_FILES; i++) {
        char *name = xstrdup(names[i]);

        free(used.names[i]);
        used.names[i] = name;
    }
    memcpy(used.stamps, stamps, sizeof used.stamps);
    free(used.trouble);
    used.trouble = NULL;
    return 0;
}

void
tls_refresh(void)
{
    const struct tls_files files = { used.names[0], used.names[1],
                                     used.names[2] };
    const char *const names[N_FILES] = { used.names[0], used.names[1],
                                         used.names[2] };
    struct stamp stamps[N_FILES];
    struct diagnosis diag;

    if (!used.names[0] || time_msec() < used.refresh_at) {
        return;
    }
    used.refresh_at = time_msec() + REFRESH_MS;
    look(names, stamps);
    if (is_in_use(names, stamps)) {
        return;
    }
    if (tls_use(&files, &diag)) {
        VLOG_WARN("%s; what was read before stays in use", diag.message);
        memcpy(used.stamps, stamps, sizeof stamps);
        free(used.trouble);
        used.trouble = xstrdup(diag.message);
    } else {
        VLOG_INFO("%s, its key and %s: read again", used.names[1],
                  used.names[2]);
    }
}

const char *
tls_certificate(void)
{
    return used.names[1];
}

const char *
tls_trouble(void)
{
    return used.trouble;
}

bool
tls_is_mapd(const char *common_name)
{
    const size_t length = strlen(TLS_MAPD_PREFIX);

    return (common_name && !strncmp(common_name, TLS_MAPD_PREFIX, length)
            && common_name[length]);
}
