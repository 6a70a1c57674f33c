/* Plain records in a catalog: those to which mapd adds nothing, from
 * RECORD_FIRST_PLAIN on.  Kept by kind and key, with what must be unique and
 * what refers to what.  Private to catalog*.c; no checks here. */

#ifndef MAPPING_CATALOG_CATALOG_RECORD_H
#define MAPPING_CATALOG_CATALOG_RECORD_H 1

#include "mapping/record.h"
#include "openvswitch/hmap.h"

struct catalog;

enum {
    CATALOG_RECORD_KINDS    = N_RECORD_KINDS - RECORD_FIRST_PLAIN,
    CATALOG_RECORD_MAX_REFS = 2, /* Of one record. */
    CATALOG_RECORD_CLAIMS   = 2, /* The same. */
};

struct catalog_records {
    struct hmap by_key[CATALOG_RECORD_KINDS]; /* struct catalog_record. */
    struct hmap claims;         /* struct catalog_claim, by VNI, address. */
    struct hmap macs;           /* Workloads, by VNI and MAC. */
    struct hmap clients;        /* Leases, by pool and client. */
    struct hmap uses;           /* What is referred to, and how often. */
};

/* That a record has an address to itself; or, a lease and the workload that
 * has it, to the two of them. */
struct catalog_claim {
    struct hmap_node node;
    uint32_t vni;               /* 0: outside. */
    struct inet_addr address;
    struct catalog_record *record;
};

struct catalog_record {
    struct hmap_node by_key;
    struct hmap_node by_other;  /* In 'macs' or 'clients'. */
    struct catalog_claim claims[CATALOG_RECORD_CLAIMS];
    size_t n_claims;
    struct record record;
};

void catalog_record_init(struct catalog_records *);
void catalog_record_destroy(struct catalog_records *);

/* Adds a record whose key is not there yet. */
void catalog_record_insert(struct catalog_records *, const struct record *);
/* Removes and frees. */
void catalog_record_delete(struct catalog_records *, struct catalog_record *);

/* NULL if there is none. */
struct catalog_record *
catalog_record_find(const struct catalog_records *, const struct record *key);
/* Copies it to '*record', if there is one. */
bool catalog_record_get(const struct catalog *, const struct record *key,
                        struct record *record);
size_t catalog_record_count(const struct catalog_records *, enum record_kind);

/* Stores in 'keys' what 'record' refers to, and in 'fields' the members that
 * do.  Returns how many there are. */
size_t catalog_record_refs(const struct record *record,
                           struct record keys[CATALOG_RECORD_MAX_REFS],
                           const char *fields[CATALOG_RECORD_MAX_REFS]);
/* How many plain records refer to 'key', of any kind. */
size_t catalog_record_uses(const struct catalog_records *,
                           const struct record *key);

/* The hash under which an address is claimed. */
uint32_t catalog_record_hash_claim(uint32_t vni, struct inet_addr address);

/* Whether the two, one of which claims an address that the other claims, too,
 * are the lease of a workload and that workload. */
bool catalog_record_share(const struct record *a, const struct record *b);

/* The workload that has the MAC of the workload 'record', or the lease that
 * the client of the lease 'record' has in the same pool; not that record, nor
 * one with its key.  NULL if there is none. */
const struct catalog_record *
catalog_record_same(const struct catalog_records *,
                    const struct record *record);

#define CATALOG_RECORD_FOR_EACH(NODE, KIND, RECORDS)                    \
    HMAP_FOR_EACH (NODE, by_key,                                        \
                   &(RECORDS)->by_key[(KIND) - RECORD_FIRST_PLAIN])

#endif /* mapping/catalog/catalog-record.h */
