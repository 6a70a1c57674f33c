/* The memory of the flow table, in a file that outlasts the switch: the next
 * process maps it again, and no flow is forgotten, whether the last one ended
 * as asked or was killed.  The file belongs on a tmpfs, where it is memory and
 * no more; a reboot empties it.  Not thread-safe. */

#ifndef VSWITCHD_EXT_FLOW_FILE_H
#define VSWITCHD_EXT_FLOW_FILE_H 1

#include <stddef.h>
#include <stdint.h>

enum { FLOW_FILE_PAGE = 4096 };

struct flow_file;

/* Maps 'size' bytes (a multiple of FLOW_FILE_PAGE) of the file 'path', made if
 * it is not there, with all memory reserved.  One page more, behind them, says
 * that the file is ours: no other is written to unless it is empty.  The file
 * stays mapped, and locked against other processes, until this one ends or
 * discards it.  One of ours of another size is made anew.
 *
 * Returns 0 and '*file', or a positive errno: EAGAIN if another process has
 * it, ENOSPC or ENOMEM if there is no room, EEXIST if there is something else
 * in it, EINVAL if it is no regular file of this user's, ELOOP if it is a
 * symbolic link, or why it cannot be opened.  After ENOSPC and ENOMEM it is
 * gone, and takes no memory any more.  May take seconds. */
int flow_file_map(const char *path, size_t size, struct flow_file **file);

/* The mapped bytes. */
void *flow_file_memory(const struct flow_file *);

/* The path that the file has now. */
const char *flow_file_path(const struct flow_file *);

/* Unmaps and deletes the file.  NULL is fine. */
void flow_file_discard(struct flow_file *);

/* Frees '*file' alone.  What it describes stays, mapped and locked, to the end
 * of the process: other threads may still use that memory.  NULL is fine. */
void flow_file_forget(struct flow_file *);

/* Has the next process look for it at 'path' (NULL: nowhere): moves it there
 * if that is on the same file system and free, else deletes it.  It stays
 * mapped in any case.  Returns 0, or why it could not be moved and was
 * deleted. */
int flow_file_move(struct flow_file *, const char *path);

/* A number that tells this boot from others, and so clocks; mixed with
 * 'key'. */
uint64_t flow_file_stamp(const uint64_t key[2]);

#endif /* vswitchd-ext/flow-file.h */
