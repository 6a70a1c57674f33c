/* Reads the parameter object of a request, member by member.
 *
 *     params_open(&p, array, &diag);
 *     dry_run = params_bool(&p, "dry_run", false);
 *     ops = params_array(&p, "ops");
 *     error = params_close(&p);
 *
 * The first error sticks, and the getters then return their defaults; a member
 * that nobody asked for is an error too. */

#ifndef MAPPING_MAPD_PARAMS_H
#define MAPPING_MAPD_PARAMS_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/diagnosis.h"

struct json;
struct shash;

enum { PARAMS_MAX_MEMBERS = 8 };

struct params {
    const struct shash *members; /* NULL: there are none. */
    const char *asked[PARAMS_MAX_MEMBERS];
    size_t n_asked;
    struct diagnosis *diag;
    int error;
};

/* 'array' is what a request's "params" hold: at most one object.  It and
 * 'diag' must outlive '*params'. */
void params_open(struct params *params, const struct json *array,
                 struct diagnosis *diag);

/* Each returns its last argument, or NULL, if there is no such member. */
bool params_bool(struct params *, const char *name, bool default_);
uint64_t params_uint(struct params *, const char *name, uint64_t min,
                     uint64_t max, uint64_t default_);
const char *params_string(struct params *, const char *name,
                          const char *default_);
const struct json *params_array(struct params *, const char *name);
const struct json *params_object(struct params *, const char *name);

/* Makes it an error that 'name', just asked for, is missing. */
void params_require(struct params *, const char *name);

/* 0, or a positive errno with the diagnosis filled in. */
int params_close(struct params *);

#endif /* mapping/mapd/params.h */
