/* Bodies of requests to etcd's JSON gateway (etcd API reference, "rpc.proto"):
 * keys and values in base64, 64-bit numbers as strings.  Pure; all texts are
 * owned by the caller. */

#ifndef MAPPING_ETCD_ETCD_REQUEST_H
#define MAPPING_ETCD_ETCD_REQUEST_H 1

#include "mapping/etcd/etcd.h"

struct ds;

/* The first key after all that begin with 'prefix', in a new buffer; a single
 * zero byte, which etcd takes for the end of all keys, if there is none. */
struct etcd_bytes etcd_request_end(struct etcd_bytes prefix);

/* Reads up to 'limit' pairs with 'start' <= key < 'end' as of 'revision' (0:
 * the latest). */
char *etcd_request_range(struct etcd_bytes start, struct etcd_bytes end,
                         int limit, int64_t revision);
/* Asks whether there is anything below 'prefix', without reading it. */
char *etcd_request_probe(struct etcd_bytes prefix);
char *etcd_request_txn(const struct etcd_compare *, size_t n_compares,
                       const struct etcd_op *, size_t n_ops);
char *etcd_request_watch(struct etcd_bytes prefix, int64_t from);
char *etcd_request_grant(int ttl_s);
/* Of a lease: to keep it alive, or to revoke it. */
char *etcd_request_lease(int64_t id);
char *etcd_request_authenticate(const char *user, const char *password);

#endif /* mapping/etcd/etcd-request.h */
