/* The members of a group that say how its endpoints are checked.  Private to
 * record*.c, but for the struct, which record.h has. */

#ifndef MAPPING_RECORD_HEALTH_H
#define MAPPING_RECORD_HEALTH_H 1

#include "mapping/record-field.h"
#include "mapping/record.h"

extern const struct record_type record_type_path; /* Of HTTP: char[]. */
extern const struct record_choice record_health_checks[];

/* Checks the members against each other, and against the group's.  Returns 0;
 * or a positive errno, with '*diag' filled in. */
int record_health_check(const struct record_group *, struct diagnosis *diag);

#endif /* mapping/record-health.h */
