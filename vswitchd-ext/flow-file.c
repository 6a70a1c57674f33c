#include <config.h>

#include "vswitchd-ext/flow-file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
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

/* Opens 'path' as ours alone: not through a link, not another user's, and not
 * while another process has it. */
static int
open_file(const char *path, int *fdp)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat s;

    if (fd < 0) {
        return errno;
    }
    int error = fstat(fd, &s) ? errno
                : !S_ISREG(s.st_mode) || s.st_uid != geteuid() ? EINVAL
                : flock(fd, LOCK_EX | LOCK_NB) ? errno
                : 0;
    if (error) {
        close(fd);
        return error;
    }
    *fdp = fd;
    return 0;
}

/* Gives the file 'size' bytes that are really there: a page that could not be
 * had later would be a SIGBUS on the packet path. */
static int
reserve(int fd, size_t size)
{
    struct stat s;

    if (fstat(fd, &s)) {
        return errno;
    }
    if ((size_t) s.st_size != size
        && (ftruncate(fd, 0) || ftruncate(fd, size))) {
        return errno;
    }
    return posix_fallocate(fd, 0, size);
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

int
flow_file_map(const char *path, size_t size, void **memoryp)
{
    void *memory;
    int error;
    int fd = -1;

    error = open_file(path, &fd);
    if (error) {
        return error == EWOULDBLOCK ? EAGAIN : error;
    }
    error = reserve(fd, size);
    if (error) {
        close(fd);
        return error;
    }
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED) {
        error = errno;
        close(fd);
        return error;
    }
    warn_if_on_disk(path, fd);
    madvise(memory, size, MADV_HUGEPAGE);

    /* 'fd' stays open: it holds the lock. */
    *memoryp = memory;
    return 0;
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
