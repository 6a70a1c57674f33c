#include "tests/bench/switch/engine-clock.h"

#include <time.h>

#include "anycast/engine.h"

/* To look at the clock costs as much as a packet, so it is not done for each
 * batch.  In a batch that took longer than a packet ever does, the thread was
 * interrupted: it does not count. */
enum { SAMPLE = 8, INTERRUPTED_NS = 50000 };

static uint64_t total_packets, total_ns; /* Atomic. */

void __real_engine_process(const struct engine_world *, struct engine_thread *,
                           uint64_t now_us, struct engine_packet *, size_t n);
void __wrap_engine_process(const struct engine_world *, struct engine_thread *,
                           uint64_t now_us, struct engine_packet *, size_t n);

static uint64_t
read_clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

void
__wrap_engine_process(const struct engine_world *world,
                      struct engine_thread *thread, uint64_t now_us,
                      struct engine_packet *packets, size_t n)
{
    static __thread unsigned int batches;
    uint64_t start, ns;

    if (batches++ % SAMPLE) {
        __real_engine_process(world, thread, now_us, packets, n);
        return;
    }
    start = read_clock_ns();
    __real_engine_process(world, thread, now_us, packets, n);
    ns = read_clock_ns() - start;
    if (ns < INTERRUPTED_NS) {
        __atomic_fetch_add(&total_packets, n, __ATOMIC_RELAXED);
        __atomic_fetch_add(&total_ns, ns, __ATOMIC_RELAXED);
    }
}

void
engine_clock_read(uint64_t *packets, uint64_t *ns)
{
    *packets = __atomic_load_n(&total_packets, __ATOMIC_RELAXED);
    *ns = __atomic_load_n(&total_ns, __ATOMIC_RELAXED);
}
