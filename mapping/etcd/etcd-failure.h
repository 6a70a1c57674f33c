/* What became of a call, and what follows from it. */

#ifndef MAPPING_ETCD_ETCD_FAILURE_H
#define MAPPING_ETCD_ETCD_FAILURE_H 1

#include <stdbool.h>

struct etcd_http_call;
struct json;

/* What to do about it. */
enum etcd_remedy {
    ETCD_REMEDY_NONE,           /* No failure. */
    ETCD_REMEDY_ASK_ANOTHER,    /* The member is away, or cannot now. */
    ETCD_REMEDY_MEND,           /* The member cannot be talked to, as it is or
                                 * as we are: somebody must do something. */
    ETCD_REMEDY_LOG_IN,         /* The authentication token is not valid. */
    ETCD_REMEDY_GIVE_UP,        /* So every member would answer. */
};

struct etcd_failure {
    enum etcd_remedy remedy;
    int error;                  /* Positive errno; 0: no failure. */
    bool harmless;              /* For sure, nothing was done. */
    char text[256];             /* What happened, for people. */
};

/* Judges 'call', which is done.  Returns 0 and the answer in '*answer', which
 * the caller owns; or a positive errno with '*failure' filled in: ETIMEDOUT if
 * it is not known what was done, EFBIG if the answer was too large. */
int etcd_failure_judge(const struct etcd_http_call *call,
                       struct json **answer, struct etcd_failure *failure);

/* Judges 'call', which is done and has no answer (call->code). */
void etcd_failure_from_call(const struct etcd_http_call *call,
                            struct etcd_failure *failure);

/* Judges a refusal: what etcd_answer_refusal() returns. */
void etcd_failure_from_refusal(int code, const char *text,
                               struct etcd_failure *failure);

#endif /* mapping/etcd/etcd-failure.h */
