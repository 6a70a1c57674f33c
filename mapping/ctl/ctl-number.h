/* Numbers as people type them.
 *
 * One rule for all: what is no number, or no whole one where a whole one is
 * needed, is wrong usage; a number out of its range is refused, and the
 * range is said. */

#ifndef MAPPING_CTL_CTL_NUMBER_H
#define MAPPING_CTL_CTL_NUMBER_H 1

#include <stdbool.h>

#include "mapping/ctl/ctl.h"

/* Both limits included. */
struct ctl_range {
    long long min, max;
};

/* Reads 'text' (decimal digits, perhaps after a minus sign) into '*value'.
 * Returns CTL_OK; or CTL_USAGE or CTL_FAILED, having said what is wrong with
 * 'name' and that 'range' is its range.  Mapd knows the ranges best: what
 * fits 64 bits is left to its judgement. */
enum ctl_exit ctl_number_read(struct ctl_output *, const char *name,
                              const char *text, struct ctl_range range,
                              long long *value);

/* Reads a port, or a range of them such as "8000-8010", into '*first' and
 * '*last' (-1 for a port by itself).  Returns as above; 'out' may be NULL for
 * a text that passed before. */
enum ctl_exit ctl_number_read_ports(struct ctl_output *, const char *name,
                                    const char *text, long long *first,
                                    long long *last);

/* Checks a decimal fraction of seconds, CTL_SECONDS_MAX at most and at least
 * a millisecond.  Returns as above. */
enum ctl_exit ctl_number_check_seconds(struct ctl_output *, const char *name,
                                       const char *text);

/* True if 'text' begins with digits up to 'end', and nothing else. */
bool ctl_number_is_digits(const char *text, char end);

#endif /* mapping/ctl/ctl-number.h */
