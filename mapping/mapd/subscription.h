/* What subscribers are sent: snapshots, and the updates that follow from a
 * transaction, encoded as text once for all who see the same.  Hosts go out
 * without their 'vnis', which is nobody else's affair.
 *
 * A view is what subscribers with the same filter of VNIs share.  It lives as
 * long as somebody holds a reference.  Not thread-safe. */

#ifndef MAPPING_MAPD_SUBSCRIPTION_H
#define MAPPING_MAPD_SUBSCRIPTION_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/flow-hash.h"
#include "mapping/catalog/catalog.h"
#include "openvswitch/hmap.h"

struct json;
struct subscription_view;
struct vni_set;

/* The view in 'views' (which holds nothing else) of the VNIs in 'vnis'.  Takes
 * a reference for the caller. */
struct subscription_view *
subscription_view_get(struct hmap *views, const struct vni_set *vnis);
void subscription_view_put(struct hmap *views, struct subscription_view *);

/* The snapshot of 'catalog' (with no transaction open) that 'view' sees at
 * 'now', by the clock of catalog_set_time(); the caller owns a reference. */
struct json *subscription_snapshot(struct subscription_view *view,
                                   const struct catalog *catalog,
                                   const struct hash_key *key,
                                   long long int now);

/* Whether 'view' sees what is in 'vni'. */
bool subscription_view_sees(const struct subscription_view *view,
                            uint32_t vni);

/* Frees the texts that the views other than 'keep' hold, if they and that of
 * 'keep' are more than 'max_bytes' in all. */
void subscription_forget_others(const struct hmap *views,
                                const struct subscription_view *keep,
                                size_t max_bytes);

/* What a prepared transaction on 'catalog' changes, encoded.  Refers to
 * nothing of 'txn' once created. */
struct subscription_update *
subscription_update_create(const struct catalog *catalog,
                           const struct catalog_txn *txn, long long int now);
void subscription_update_destroy(struct subscription_update *);

/* The parameter of the `update` notification for 'view'; the caller owns a
 * reference. */
struct json *subscription_update_encode(const struct subscription_update *,
                                        struct subscription_view *view);

#endif /* mapping/mapd/subscription.h */
