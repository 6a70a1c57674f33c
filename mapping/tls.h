/* This process's TLS certificate, and whom it trusts.
 *
 *     error = tls_use(&files, &diag);      at the start
 *     tls_refresh();                       before connections begin
 *
 * Puts in front of the library's stream-ssl, which has one context for the
 * whole process: only files that fit together reach it, so that a key and a
 * certificate may be replaced one after the other.  Connections that are open
 * stay as they are.
 *
 * Not thread-safe; a process that uses TLS in several threads holds tls_mutex
 * where the context may be changed, or read (that is, where a connection is
 * begun or its handshake goes on). */

#ifndef MAPPING_TLS_H
#define MAPPING_TLS_H 1

#include <stdbool.h>
#include <stdint.h>

#include "mapping/diagnosis.h"
#include "openvswitch/compiler.h"
#include "openvswitch/thread.h"

/* PEM files; all are needed. */
struct tls_files {
    const char *private_key;
    const char *certificate;
    const char *ca_cert;        /* Of those who vouch for peers. */
};

/* What the common name of mapd's certificate begins with. */
#define TLS_MAPD_PREFIX "mapd:"

/* Whether the files are there, readable and fit together.  Returns 0, or a
 * positive errno with '*diag' filled in. */
int tls_check(const struct tls_files *, struct diagnosis *diag);

/* tls_check(), and from now on uses the files, which it copies the names of.
 * On failure what was in use stays so. */
int tls_use(const struct tls_files *, struct diagnosis *diag);

/* Looks, once a second at most, whether the files have changed, and uses what
 * they have become, if that fits together; logs either. */
void tls_refresh(void);

/* For how long the certificate in 'file' is valid yet, in seconds; negative if
 * it is not valid any more.  INT_MAX if that cannot be told, or is longer. */
int tls_seconds_left(const char *file);

/* The common name in the certificate in 'file', "" if there is none; owned by
 * the caller. */
char *tls_common_name(const char *file);

/* What the library does not tell of peers.  A stream does not say which of
 * OpenSSL's sessions is its own, but it makes one when it is made: the newest
 * of this thread is that of the stream that pstream_accept() has just
 * returned, and lives as long as it.  NULL before tls_use(). */
struct ssl_st;
struct ssl_st *tls_newest_session(void);

enum { TLS_FINGERPRINT_SIZE = 32 }; /* SHA-256. */

struct tls_peer {
    uint8_t fingerprint[TLS_FINGERPRINT_SIZE]; /* Of its certificate. */
    long long int expires;      /* When that does, time_wall(); LLONG_MAX: it
                                 * does not, or who knows. */
};

/* After the handshake of 'session'.  Returns false if there is no certificate;
 * '*peer' is then all zero. */
bool tls_get_peer(const struct ssl_st *session, struct tls_peer *peer);

/* The certificate in use, or NULL. */
const char *tls_certificate(void);

/* Why tls_refresh() goes on with what the files were before, for people, until
 * they fit together again; NULL: it does not. */
const char *tls_trouble(void);

/* Whether a peer whose certificate has this common name (or NULL) is mapd. */
bool tls_is_mapd(const char *common_name);

extern struct ovs_mutex tls_mutex;

#endif /* mapping/tls.h */
