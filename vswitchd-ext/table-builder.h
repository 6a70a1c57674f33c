/* Builds packet-path tables from a replica of the mapping and the kernel's
 * next hops.  Groups that did not change are shared between successive tables.
 * Not thread-safe. */

#ifndef VSWITCHD_EXT_TABLE_BUILDER_H
#define VSWITCHD_EXT_TABLE_BUILDER_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

struct anycast_table;
struct group;
struct replica;
struct resolver;
struct table_builder;

struct table_builder *table_builder_create(void);

/* To be called after the last table was unpublished: its groups are destroyed
 * after a grace period. */
void table_builder_destroy(struct table_builder *);

/* Builds a table of all that 'replica' holds.  Endpoints on hosts that the
 * resolver has given up take no new flows, in groups where there are others;
 * they keep those that they have.  'self' is the name of this
 * host: its endpoints are local; 'vtep' the address that encapsulated frames
 * come from; 'ifindex' the device that they leave by, as for
 * resolver_set_origin().  The caller owns the result, must publish it, and
 * then call table_builder_published(). */
struct anycast_table *table_builder_build(struct table_builder *,
                                          const struct replica *replica,
                                          struct resolver *resolver,
                                          const char *self,
                                          struct inet_addr vtep, int ifindex);

/* The last table built is the published one: what only earlier ones used is
 * destroyed after a grace period. */
void table_builder_published(struct table_builder *);

/* How many hosts' next hops were unknown in the last table. */
size_t table_builder_n_unresolved(const struct table_builder *);

/* Calls 'each' with every endpoint in the last table: its group, and its
 * index.  It has a load, which packet threads go on writing. */
void table_builder_each_endpoint(const struct table_builder *,
                                 void (*each)(void *aux, const struct group *,
                                              uint16_t endpoint),
                                 void *aux);

#endif /* vswitchd-ext/table-builder.h */
