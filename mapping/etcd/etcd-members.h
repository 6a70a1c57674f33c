/* The members of the cluster: their URLs, and whom to ask. */

#ifndef MAPPING_ETCD_ETCD_MEMBERS_H
#define MAPPING_ETCD_ETCD_MEMBERS_H 1

#include <stdbool.h>
#include <stddef.h>

#include "mapping/etcd/etcd.h"

struct etcd_members {
    char *urls[ETCD_MAX_MEMBERS]; /* "https://10.0.0.1:2379" */
    size_t n;
    size_t current;             /* The one to ask. */
};

/* Reads 'urls', separated by commas: http or https, a host and perhaps a port
 * (2379), nothing else.  Returns 0; or EINVAL with '*diag' filled in and
 * '*members' untouched. */
int etcd_members_init(struct etcd_members *members, const char *urls,
                      struct diagnosis *diag);
void etcd_members_uninit(struct etcd_members *);

/* Whether any of them is asked over https. */
bool etcd_members_use_tls(const struct etcd_members *);

/* 'member' did not answer, for the reason 'why': another one is asked next,
 * if it was still the one to ask. */
void etcd_members_failed(struct etcd_members *, size_t member,
                         const char *why);
/* 'member' answered: it is the one to ask. */
void etcd_members_answered(struct etcd_members *, size_t member);

#endif /* mapping/etcd/etcd-members.h */
