/* What must hold between the members of a record.  Private to record*.c. */

#ifndef MAPPING_RECORD_CHECK_H
#define MAPPING_RECORD_CHECK_H 1

#include "mapping/record.h"

/* Brings what can be said in two ways into one form. */
void record_normalize(struct record *record);

/* Checks members, each of which is valid by itself, against each other.
 * Returns 0; or a positive errno, with '*diag' filled in. */
int record_check(const struct record *record, struct diagnosis *diag);

#endif /* mapping/record-check.h */
