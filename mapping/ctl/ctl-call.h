/* Requests to mapd as verbs make them: failures are printed here and come back
 * as exit statuses. */

#ifndef MAPPING_CTL_CTL_CALL_H
#define MAPPING_CTL_CTL_CALL_H 1

#include "mapping/ctl/ctl.h"

/* Calls 'method' with the single parameter 'param' (owned by the callee;
 * NULL for none), connecting first if need be.  Returns CTL_OK and '*result',
 * owned by the caller: an object with a "revision" (of `trace`, a "text") and
 * the arrays of objects that go with 'method'.  Else an exit status, the
 * failure having been printed. */
enum ctl_exit ctl_call(struct ctl *, const char *method, struct json *param,
                       struct json **result);

/* The same, but a refusal is not printed: the caller gets it in '*refusal'
 * with CTL_FAILED.  'limit_ms' is how long mapd may take by its own account,
 * and shall be waited for a little longer; 0 if --timeout counts. */
enum ctl_exit ctl_call_refusable(struct ctl *, const char *method,
                                 struct json *param, long long limit_ms,
                                 struct json **result, struct json **refusal);

/* Makes '*key', owned by the caller, the record with the key members of 'id',
 * for a request.  Returns an exit status, having said why, if 'id' has not the
 * form of an id of 'kind'. */
enum ctl_exit ctl_call_key(struct ctl *, const char *kind, const char *id,
                           struct json **key);

/* Has mapd say in its own words if it does not know the record with the
 * members of 'key' (owned by the callee); with 'field', only if it is that
 * member which it does not know.  CTL_OK if it does. */
enum ctl_exit ctl_call_check_known(struct ctl *, struct json *key,
                                   const char *field);

/* `list` of 'kind', restricted by the members of 'filter' (owned by the
 * callee; NULL: all).  '*result' has an array "items". */
enum ctl_exit ctl_call_list(struct ctl *, const char *kind,
                            struct json *filter, struct json **result);

/* Waits until all connected hosts have applied 'revision', up to 'wait_ms'.
 * '*result' as of the method `wait`. */
enum ctl_exit ctl_call_wait(struct ctl *, long long revision,
                            long long wait_ms, struct json **result);

/* Asks a host what would become of a flow: `trace`, as of
 * ctl_call_refusable(), a host having the time that mapd gives it. */
enum ctl_exit ctl_call_trace(struct ctl *, struct json *request,
                             struct json **result, struct json **refusal);

/* Says that what mapd answered to 'method' makes no sense. */
enum ctl_exit ctl_call_nonsense(struct ctl *, const char *method);

/* Says that mapd went away: 'error' is a positive errno or EOF. */
enum ctl_exit ctl_call_lost(struct ctl *, int error);

#endif /* mapping/ctl/ctl-call.h */
