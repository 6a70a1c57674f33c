/* What verbs that change the mapping have in common. */

#ifndef MAPPING_CTL_CTL_CHANGE_H
#define MAPPING_CTL_CTL_CHANGE_H 1

#include "mapping/ctl/ctl.h"

/* Adds --if-revision, if given, to the parameter of a request. */
void ctl_change_put_condition(const struct ctl *, struct json *request);

/* Prints what `transact` or `load` answered, and waits for the hosts if --wait
 * says so.  Takes ownership of 'result'. */
enum ctl_exit ctl_change_finish(struct ctl *, struct json *result);

/* Says which of the "hosts" of 'answer' have applied 'revision'. */
void ctl_change_print_applied(struct ctl_output *, long long revision,
                              const struct json *answer);

#endif /* mapping/ctl/ctl-change.h */
