/* Certificates that are not good any more, though the CA vouches for them: a
 * file of lines, each with what a certificate is known by,
 *
 *     host:h1                     the name of its owner
 *     sha256:B2:7A:...            its SHA-256 fingerprint, as `openssl x509
 *                                 -noout -fingerprint -sha256` prints it, too
 *
 * and of empty lines and comments, from # to the end of the line.
 *
 * A file that is malformed, or cannot be read, is refused as a whole, and what
 * was read before stays in force.  Not thread-safe. */

#ifndef MAPPING_MAPD_REVOKED_H
#define MAPPING_MAPD_REVOKED_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/diagnosis.h"
#include "mapping/tls.h"

struct revoked;

enum {
    REVOKED_MAX      = 100000,  /* Lines. */
    REVOKED_LOOK_MS  = 1000,    /* Between looks whether it has changed. */
};

/* Reads 'file'.  Returns 0 and '*revoked', owned by the caller, or a positive
 * errno with '*diag' filled in. */
int revoked_open(const char *file, struct revoked **revoked,
                 struct diagnosis *diag);
void revoked_close(struct revoked *);

/* Reads the file again.  Returns 0 or a positive errno with '*diag' filled
 * in. */
int revoked_reload(struct revoked *, struct diagnosis *diag);

/* Does so if it has changed, at most every REVOKED_LOOK_MS; logs either. */
void revoked_run(struct revoked *);
void revoked_wait(const struct revoked *);

/* Counts the times that the file was read. */
unsigned int revoked_seqno(const struct revoked *);

/* How many certificates there are. */
size_t revoked_count(const struct revoked *);

/* Whether the certificate of 'name' (NULL: of nobody) with 'fingerprint' (NULL
 * if that is not known) is among them. */
bool revoked_has(const struct revoked *, const char *name,
                 const uint8_t fingerprint[TLS_FINGERPRINT_SIZE]);

/* Why the file was refused the last time, for people; NULL if it was not. */
const char *revoked_problem(const struct revoked *);

#endif /* mapping/mapd/revoked.h */
