/* Reads a dump file (docs/protocol.md) and makes sure that it is whole. */

#ifndef MAPPING_CTL_CTL_DUMP_FILE_H
#define MAPPING_CTL_CTL_DUMP_FILE_H 1

#include <stddef.h>
#include <stdio.h>

struct json;

enum { CTL_DUMP_FILE_MAX_LINE = 65536 }; /* Bytes; no record is near it. */

struct ctl_dump_file {
    struct json *records;       /* Array; owned. */
    size_t *lines;              /* Line number of each record. */
    size_t n_records;
};

/* Reads 'file' up to its end.  Returns NULL and fills in '*dump', to be
 * freed with ctl_dump_file_destroy(); or an error message, owned by the
 * caller, that names the line at fault.  The records themselves are only
 * checked to be JSON objects. */
char *ctl_dump_file_read(FILE *file, struct ctl_dump_file *dump);
void ctl_dump_file_destroy(struct ctl_dump_file *);

#endif /* mapping/ctl/ctl-dump-file.h */
