/* Making directories, with all that lead there. */

#ifndef MAPPING_MAPD_DIRECTORY_H
#define MAPPING_MAPD_DIRECTORY_H 1

#include <sys/types.h>

/* Makes sure that 'path' is a directory; those missing on the way are made
 * with 'mode' and are durable.  Returns 0 or a positive errno; what was made
 * until then stays. */
int directory_make(const char *path, mode_t mode);

/* As directory_make(), for the directory that the file 'path' is in. */
int directory_make_parent(const char *path, mode_t mode);

#endif /* mapping/mapd/directory.h */
