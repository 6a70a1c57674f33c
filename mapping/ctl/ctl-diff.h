/* Changes as lines for people: "+" added, "-" removed, "~" set, with the
 * members old -> new. */

#ifndef MAPPING_CTL_CTL_DIFF_H
#define MAPPING_CTL_CTL_DIFF_H 1

struct ctl_output;
struct json;

/* One line for each change in the array "changes" of 'result'. */
void ctl_diff_print(struct ctl_output *, const struct json *result);

#endif /* mapping/ctl/ctl-diff.h */
