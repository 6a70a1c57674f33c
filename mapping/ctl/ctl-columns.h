/* Which columns the tables of `list` have, and what stands in them. */

#ifndef MAPPING_CTL_CTL_COLUMNS_H
#define MAPPING_CTL_CTL_COLUMNS_H 1

#include "mapping/ctl/ctl-output.h"

/* Prints the items of 'result', the answer to a `list` of 'kind', as a table.
 * Columns about what no item has are left out. */
void ctl_columns_print(struct ctl_output *, const char *kind,
                       const struct json *result);

/* The colour of an endpoint's state. */
enum ctl_color ctl_columns_state_color(const char *state);

#endif /* mapping/ctl/ctl-columns.h */
