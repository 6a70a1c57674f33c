/* A library to be preloaded: the process's clock on the wall is the machine's
 * and as many seconds more as the file $STEPPED_CLOCK says, an int64_t that
 * may change at any time.  The monotonic clocks are the machine's.
 *
 * It must work from the first instruction of the process on, so it calls
 * nothing that allocates or asks for the time. */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t *offset;   /* NULL before the library is initialized. */

static void __attribute__((constructor))
stepped_clock_init(void)
{
    const char *path = getenv("STEPPED_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *p = fd < 0 ? MAP_FAILED
              : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED) {
        abort();
    }
    close(fd);
    __atomic_store_n(&offset, p, __ATOMIC_RELEASE);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
    const int64_t *step = __atomic_load_n(&offset, __ATOMIC_ACQUIRE);
    int error = syscall(SYS_clock_gettime, id, ts);

    if (!error && step
        && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        ts->tv_sec += __atomic_load_n(step, __ATOMIC_RELAXED);
    }
    return error;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    struct timespec ts;

    (void) tz;
    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t
time(time_t *t)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (t) {
        *t = ts.tv_sec;
    }
    return ts.tv_sec;
}
