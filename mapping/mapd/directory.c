#include <config.h>

#include "mapping/mapd/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "socket-util.h"
#include "util.h"

static int
make_one(const char *path, mode_t mode)
{
    struct stat s;

    if (!mkdir(path, mode)) {
        fsync_parent_dir(path);
        return 0;
    } else if (stat(path, &s)) {
        return errno;
    }
    return S_ISDIR(s.st_mode) ? 0 : ENOTDIR;
}

int
directory_make(const char *path, mode_t mode)
{
    char *prefix = xstrdup(path);
    int error = 0;

    for (char *p = prefix; !error && *p; ) {
        char next;

        p += strspn(p, "/");
        p += strcspn(p, "/");
        next = *p;
        *p = '\0';
        error = make_one(prefix, mode);
        *p = next;
    }
    free(prefix);
    return error;
}

int
directory_make_parent(const char *path, mode_t mode)
{
    char *parent = dir_name(path);
    int error = directory_make(parent, mode);

    free(parent);
    return error;
}
