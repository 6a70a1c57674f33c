#include <config.h>

#include "vswitchd-ext/flow-file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "anycast/flow-hash.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(flow_file);

struct flow_file {
    char *path;                 /* Empty: it has been deleted. */
    int fd;                     /* Holds the lock. */
    size_t size;                /* Without the last page. */
    void *memory;
};

/* What the last page begins with. */
static const char signature[] = "grapnel flow table, in a file of its own\n";

/* Whether the file is empty, or ends with a page of ours.  (How it begins says
 * nothing while a table is being made.) */
static bool
is_ours(int fd, off_t size)
{
    char found[sizeof signature];

    return (!size
            || (size >= FLOW_FILE_PAGE
                && pread(fd, found, sizeof found, size - FLOW_FILE_PAGE)
                   == sizeof found
                && !memcmp(found, signature, sizeof found)));
}

/* Whether 'path' still names the file that is open: another process may have
 * deleted it just before it let go of the lock. */
static bool
is_at(const char *path, const struct stat *s)
{
    struct stat now;

    return (!lstat(path, &now) && now.st_dev == s->st_dev
            && now.st_ino == s->st_ino);
}

/* 0 if the open file is one for us alone: regular, this user's, locked by
 * nobody else, and not with something else in it. */
static int
claim(const char *path, int fd)
{
    struct stat s;

    if (fstat(fd, &s)) {
        return errno;
    }
    if (!S_ISREG(s.st_mode) || s.st_uid != geteuid()) {
        return EINVAL;
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        return errno == EWOULDBLOCK ? EAGAIN : errno;
    }
    if (fstat(fd, &s)) {
        return errno;
    }
    return (!is_at(path, &s) ? EAGAIN
            : !is_ours(fd, s.st_size) ? EEXIST
            : 0);
}

/* Gives the file 'size' bytes that are really there, and its last page: a page
 * that could not be had later would be a SIGBUS on the packet path.  At no
 * moment is it neither empty nor marked as ours. */
static int
reserve(int fd, size_t size)
{
    struct stat s;
    int error;

    if (fstat(fd, &s)) {
        return errno;
    }
    if ((size_t) s.st_size != size + FLOW_FILE_PAGE) {
        char page[FLOW_FILE_PAGE] = "";

        memcpy(page, signature, sizeof signature);
        if (ftruncate(fd, 0)) {
            return errno;
        }
        ssize_t n = pwrite(fd, page, sizeof page, size);
        if (n != sizeof page) {
            return n < 0 ? errno : ENOSPC;
        }
    }
    do {
        error = posix_fallocate(fd, 0, size);
    } while (error == EINTR);
    return error;
}

static void
warn_if_on_disk(const char *path, int fd)
{
    struct statfs fs;

    if (!fstatfs(fd, &fs) && fs.f_type != TMPFS_MAGIC
        && fs.f_type != RAMFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC) {
        VLOG_WARN("%s: not on a tmpfs, so the kernel keeps writing it to "
                  "disk; set external_ids:grapnel-flows-file", path);
    }
}

static int
map_memory(struct flow_file *file)
{
    file->memory = mmap(NULL, file->size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_POPULATE, file->fd, 0);
    if (file->memory == MAP_FAILED) {
        file->memory = NULL;
        return errno;
    }
    madvise(file->memory, file->size, MADV_HUGEPAGE);
    return 0;
}

static void
delete(struct flow_file *file)
{
    if (file->path[0]) {
        unlink(file->path);
        file->path[0] = '\0';
    }
}

static void
close_file(struct flow_file *file)
{
    if (file->memory) {
        munmap(file->memory, file->size);
    }
    if (file->fd >= 0) {
        close(file->fd);
    }
    flow_file_forget(file);
}

int
flow_file_map(const char *path, size_t size, struct flow_file **filep)
{
    struct flow_file *file = xzalloc(sizeof *file);
    int error;

    file->path = xstrdup(path);
    file->size = size;
    file->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    error = file->fd < 0 ? errno : claim(path, file->fd);
    if (error) {
        close_file(file);
        return error;
    }
    error = reserve(file->fd, size);
    if (!error) {
        error = map_memory(file);
    }
    if (error) {
        flow_file_discard(file);
        return error;
    }
    warn_if_on_disk(path, file->fd);
    *filep = file;
    return 0;
}

void *
flow_file_memory(const struct flow_file *file)
{
    return file->memory;
}

const char *
flow_file_path(const struct flow_file *file)
{
    return file->path;
}

void
flow_file_discard(struct flow_file *file)
{
    if (file) {
        delete(file);
        close_file(file);
    }
}

void
flow_file_forget(struct flow_file *file)
{
    if (file) {
        free(file->path);
        free(file);
    }
}

int
flow_file_move(struct flow_file *file, const char *path)
{
    int error = 0;

    if (!path || !file->path[0]) {
        delete(file);
        return 0;
    }
    if (renameat2(AT_FDCWD, file->path, AT_FDCWD, path, RENAME_NOREPLACE)) {
        error = errno;
        delete(file);
    } else {
        free(file->path);
        file->path = xstrdup(path);
    }
    return error;
}

uint64_t
flow_file_stamp(const uint64_t key[2])
{
    struct hash_key hash_key = { { key[0] | 1, key[1] | 1 } };
    char boot_id[64] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        ssize_t n = read(fd, boot_id, sizeof boot_id - 1);

        boot_id[MAX(n, 0)] = '\0';
        close(fd);
    }
    return flow_hash_bytes(&hash_key, boot_id, strlen(boot_id));
}
