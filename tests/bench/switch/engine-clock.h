/* How long the engine takes for a packet where it is: inside the switch, with
 * the caches as the rest of the switch leaves them.
 *
 * The linker is told (--wrap=engine_process) to have our port call a function
 * of ours in place of engine_process(). */

#ifndef TESTS_BENCH_SWITCH_ENGINE_CLOCK_H
#define TESTS_BENCH_SWITCH_ENGINE_CLOCK_H 1

#include <stdint.h>

/* Packets that the engine has been watched with so far, and the nanoseconds
 * that it took for them.  Any thread. */
void engine_clock_read(uint64_t *packets, uint64_t *ns);

#endif /* tests/bench/switch/engine-clock.h */
