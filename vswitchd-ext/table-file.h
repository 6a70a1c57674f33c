/* The mapping on disk, for a switch that starts while mapd cannot be reached:
 * one line of JSON that says what follows, then a snapshot as mapd sends it
 * (docs/protocol.md, SNAPSHOT):
 *
 *     {"bytes":N,"digest":HEX,"grapnel":"table","host":NAME,"revision":R,
 *      "version":1}
 *     {"dead":...}
 *
 * 'bytes' counts the second line without its end, 'digest' is its SHA-1:
 * against accidents, not against intent.  The file's modification time is when
 * mapd last agreed with it.  Thread-safe, but for one writer of a path at a
 * time. */

#ifndef VSWITCHD_EXT_TABLE_FILE_H
#define VSWITCHD_EXT_TABLE_FILE_H 1

#include <stddef.h>
#include <stdint.h>

struct json;

enum {
    TABLE_FILE_VERSION = 1,
    TABLE_FILE_MAX     = 1 << 30, /* Bytes: a larger one is not read. */
};

/* Puts the 'n' bytes of 'snapshot', of 'revision' and as seen by 'host', in
 * the place of 'path', all or nothing: written to PATH.tmp and synchronised
 * first.  Returns 0; or why not, with 'path' as it was: EEXIST if there is
 * something in it that is not such a file, which is left alone, EINVAL if it
 * is no regular file, EFBIG, or why it cannot be written.  May take seconds.
 */
int table_file_write(const char *path, const char *host, uint64_t revision,
                     const char *snapshot, size_t n);

/* Notes that mapd still agrees.  Returns 0, or a positive errno. */
int table_file_confirm(const char *path);

/* Reads the snapshot that 'host' wrote to 'path'.  Returns it, owned by the
 * caller, with '*age_ms' for how long ago mapd agreed, by the clock on the
 * wall (0 if that was set back); or NULL and '*why', for people and owned by
 * the caller, or NULL if there is no such file.  It is whole and says what was
 * written, but for its contents replica_load_snapshot() has to speak.  The
 * file stays as it is in any case. */
struct json *table_file_read(const char *path, const char *host,
                             long long int *age_ms, char **why);

/* The errors of table_file_write(), for people. */
const char *table_file_error(int error);

#endif /* vswitchd-ext/table-file.h */
