/* What the verbs that take a dump file have in common. */

#ifndef MAPPING_CTL_CTL_LOADING_H
#define MAPPING_CTL_CTL_LOADING_H 1

#include "mapping/ctl/ctl.h"

struct ctl_dump_file;
struct json;

/* Reads the verb's first operand, a file or "-".  Fills in '*dump', to be
 * freed with ctl_dump_file_destroy(), or returns an exit status, having said
 * what is wrong. */
enum ctl_exit ctl_loading_read(struct ctl *, struct ctl_dump_file *dump);

/* How records are to be loaded: members of the protocol's `load`. */
struct ctl_loading {
    bool prune, force, dry_run;
};

/* The parameter of `load` for 'dump', which stays the caller's. */
struct json *ctl_loading_request(struct ctl_dump_file *dump,
                                 const struct ctl_loading *);

/* Prints mapd's refusal with the line of the record that it is about, and
 * returns the exit status. */
enum ctl_exit ctl_loading_refused(struct ctl *, const struct json *refusal,
                                  const struct ctl_dump_file *);

#endif /* mapping/ctl/ctl-loading.h */
