/* Endpoints that are found by the id of their port.  What runs VMs on a host
 * (libvirt, OpenStack, OVN) writes external_ids:iface-id on the VM's Interface
 * in OVSDB, and mostly external_ids:attached-mac; an endpoint with that id is
 * bound by mapd to the host that has it, and moves with the VM.  Part of
 * record.h, which includes it.
 *
 * Thread-safe. */

#ifndef MAPPING_RECORD_IFACE_H
#define MAPPING_RECORD_IFACE_H 1

#include <stdbool.h>

struct mac;
struct record;
struct record_endpoint;

/* Where an endpoint's MAC comes from. */
enum record_mac_from {
    MAC_GIVEN,                  /* Who made the record. */
    MAC_OF_IFACE,               /* external_ids:attached-mac of the port. */
};

/* Whether 'id' can be the id of a port: 1 to RECORD_IFACE_MAX of A-Z a-z 0-9
 * . _ : / @ -, the first one a letter or digit. */
bool record_is_iface(const char *id);

bool record_mac_is_zero(const struct mac *);

/* Whether it is known where 'endpoint' is: its host, and its MAC. */
bool record_is_bound(const struct record_endpoint *endpoint);

/* If both are endpoints with the same iface, makes '*record', which says what
 * somebody wants, be bound as 'old', which is there, is: that is not for them
 * to say. */
void record_adopt_binding(struct record *record, const struct record *old);

#endif /* mapping/record-iface.h */
