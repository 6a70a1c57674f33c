/* A connection to mapd: requests with a deadline, and notifications.  Blocks;
 * answers mapd's echo requests meanwhile. */

#ifndef MAPPING_CTL_CTL_CLIENT_H
#define MAPPING_CTL_CTL_CLIENT_H 1

#include <stdbool.h>

struct ctl_client;
struct json;

/* What ctl_client_open() says of TLS, besides what it says of others. */
#define CTL_CLIENT_REFUSED EKEYREJECTED /* One does not trust the other. */
#define CTL_CLIENT_NOT_MAPD EKEYREVOKED /* It is trusted, but not mapd. */

/* True if 'remotes' is "unix:PATH", "tcp:IP[:PORT]" or "ssl:IP[:PORT]", or
 * several of these with commas between them. */
bool ctl_client_is_remote(const char *remotes);

/* Connects to the first of 'remotes' that can be reached, within 'timeout_ms',
 * for "ssl:" after tls_use().  Returns 0, or a positive errno: EAGAIN if too
 * many others wait to be let in. */
int ctl_client_open(const char *remotes, long long timeout_ms,
                    struct ctl_client **);
void ctl_client_close(struct ctl_client *);

/* The remote that it is connected to; part of the client. */
const char *ctl_client_remote(const struct ctl_client *);

/* Sends a request; takes ownership of 'params'.  Returns 0 with one of
 * '*result' and '*error' set, which the caller then owns; or a positive
 * errno or EOF: ETIMEDOUT when 'timeout_ms' have passed, EPROTO for an
 * answer that is no JSON-RPC. */
int ctl_client_call(struct ctl_client *, const char *method,
                    struct json *params, long long timeout_ms,
                    struct json **result, struct json **error);

/* The next notification 'method' that has arrived: sets '*param' to its
 * only parameter, which the caller owns.  EAGAIN if there is none yet; else
 * as above. */
int ctl_client_notification(struct ctl_client *, const char *method,
                            struct json **param);
/* Has the next poll_block() wake up when there may be one. */
void ctl_client_wait(struct ctl_client *);

#endif /* mapping/ctl/ctl-client.h */
