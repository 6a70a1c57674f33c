/* The memory of the flow table, in a file that outlasts the switch: the next
 * process maps it again, and no flow is forgotten, whether the last one ended
 * as asked or was killed.  The file belongs on a tmpfs, where it is memory and
 * no more; a reboot empties it. */

#ifndef VSWITCHD_EXT_FLOW_FILE_H
#define VSWITCHD_EXT_FLOW_FILE_H 1

#include <stddef.h>
#include <stdint.h>

/* Maps 'size' bytes of the file 'path', made if it is not there, with all
 * memory reserved, into '*memory'.  It stays mapped, and locked against other
 * processes, until this one ends.  A file of another size is made anew.
 * Returns 0 or a positive errno, with '*memory' untouched: EAGAIN if another
 * process has it, ENOSPC if there is no room, EINVAL if it is no regular file
 * of this user's, ELOOP if it is a symbolic link, or why it cannot be
 * opened. */
int flow_file_map(const char *path, size_t size, void **memory);

/* A number that tells this boot from others, and so clocks; mixed with
 * 'key'. */
uint64_t flow_file_stamp(const uint64_t key[2]);

#endif /* vswitchd-ext/flow-file.h */
