/* What records are called by.  Part of record.h, which includes it. */

#ifndef MAPPING_RECORD_NAME_H
#define MAPPING_RECORD_NAME_H 1

enum {
    RECORD_NAME_MAX  = 63,
    RECORD_IFACE_MAX = 127,
};

typedef char record_name[RECORD_NAME_MAX + 1];

/* A name, or "" for none. */
typedef record_name record_label;

/* external_ids:iface-id of a port in OVSDB, or "" for none: record-iface.h. */
typedef char record_iface[RECORD_IFACE_MAX + 1];

#endif /* mapping/record-name.h */
