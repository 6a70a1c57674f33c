/* What the parts of the etcd client share. */

#ifndef MAPPING_ETCD_ETCD_PRIVATE_H
#define MAPPING_ETCD_ETCD_PRIVATE_H 1

#include "mapping/etcd/etcd.h"
#include "mapping/etcd/etcd-failure.h"
#include "mapping/etcd/etcd-http.h"
#include "mapping/etcd/etcd-members.h"
#include "openvswitch/list.h"

struct json;

enum {
    ETCD_LEASE_BEATS = 3,       /* Keepalives in the time of a lease. */
    ETCD_LOGIN_MS    = 2000,    /* A password takes etcd long to check. */
    ETCD_LOGIN_RETRY_MS = 1000, /* After it was refused. */
    ETCD_RETRY_MS    = 50,      /* After all members have failed. */
};

/* A call to a member, from its start until it is done, by which the token may
 * have been found to be invalid, and the member to be away. */
struct etcd_ask {
    struct etcd_http_call *http; /* NULL: there is none. */
    size_t member;
    unsigned int login_serial;  /* Of the token that it has. */
};

struct etcd_login {
    char *token;                /* NULL: to be got, if there is a 'user'. */
    unsigned int serial;        /* Of the token. */
    struct etcd_ask ask;
    long long int retry_ms;     /* Not before. */
    bool unneeded;              /* etcd does without. */
    struct etcd_failure failure; /* Of the last try, until the next. */
};

struct etcd {
    struct etcd_http *http;
    struct etcd_members members;
    char *user, *password;      /* NULL: without authentication. */
    struct etcd_login login;
    struct ovs_list leases;     /* Contains "struct etcd_lease"s. */
    struct ovs_list watches;    /* Contains "struct etcd_watch"s. */
    struct ovs_list partings;   /* "struct etcd_lease"s being revoked. */
};

/* etcd-ask.c: one call, and a request that is made until it is answered. */

/* Starts a call to 'member', whose URL and token are added to 'request'.
 * etcd_login_ready() must hold, unless this is the login. */
void etcd_ask_start(struct etcd *, struct etcd_ask *, size_t member,
                    const struct etcd_http_request *request);
/* If the call is done: true, ends it and judges it, like
 * etcd_failure_judge(); *error is 0 with an '*answer', or not. */
bool etcd_ask_finish(struct etcd *, struct etcd_ask *, struct json **answer,
                     int *error, struct etcd_failure *);
void etcd_ask_cancel(struct etcd_ask *);
/* What etcd_ask_finish() does about a failure: turns to another member, or
 * renews the token. */
void etcd_ask_heed(struct etcd *, const struct etcd_ask *,
                   const struct etcd_failure *);

/* Makes a request, and waits for the answer, until 'deadline_ms'.  Without
 * 'again' it is not made again once a member may have it: if the answer does
 * not come then, that is ETIMEDOUT.  With it, ETIMEDOUT says that nobody
 * answered.  EAGAIN: for sure nothing was done.  Ownership of 'body' is
 * taken.  Returns 0 and '*answer', which the caller owns; or a positive errno
 * with '*diag' filled in.  '*sent_ms' (optional) is when the answered call was
 * made. */
int etcd_ask_until(struct etcd *, const char *path, char *body, bool again,
                   long long int deadline_ms, struct json **answer,
                   long long int *sent_ms, struct diagnosis *diag);

/* etcd-login.c: the authentication token. */
void etcd_login_run(struct etcd *);
void etcd_login_wait(struct etcd *);
/* There is a token, or none is needed. */
bool etcd_login_ready(const struct etcd *);
/* The token was refused. */
void etcd_login_renew(struct etcd *);
void etcd_login_destroy(struct etcd *);

/* etcd-lease.c */
void etcd_lease_run_all(struct etcd *);
void etcd_lease_wait_all(struct etcd *);
/* Gives the revocations under way a moment to be sent, and ends them. */
void etcd_lease_part(struct etcd *);

/* etcd-watch.c */
void etcd_watch_run_all(struct etcd *);
void etcd_watch_wait_all(struct etcd *);

/* etcd.c: everything that goes on by itself, waiting for up to 'timeout_ms'
 * for something to happen. */
void etcd_run_for(struct etcd *, int timeout_ms);

#endif /* mapping/etcd/etcd-private.h */
