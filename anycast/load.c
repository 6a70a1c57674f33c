#include "anycast/load.h"

#include <string.h>

/* How much a sample counts: at least 1/2**SMOOTH_BITS, and more the older what
 * is known is, up to all at FORGET_US. */
enum {
    SMOOTH_BITS = 2,
    HEALTH_BITS = 3,
    MIN_BITS    = 8,            /* The least of about this many samples. */
    FORGET_US   = 2000000,
};

#define store(MEMBER, VALUE) \
    __atomic_store_n(&(MEMBER), VALUE, __ATOMIC_RELAXED)
#define count(MEMBER) __atomic_fetch_add(&(MEMBER), 1, __ATOMIC_RELAXED)
#define discount(MEMBER) __atomic_fetch_sub(&(MEMBER), 1, __ATOMIC_RELAXED)

/* 'old', 'part' / FORGET_US of the way to 'sample', or 1/2**bits if that is
 * more. */
static uint32_t
approach(uint32_t old, uint32_t sample, uint64_t part, int bits)
{
    int64_t distance = (int64_t) sample - old;
    int64_t least = FORGET_US >> bits;
    int64_t weight = part < FORGET_US ? (int64_t) part : FORGET_US;

    if (weight < least) {
        weight = least;
    }
    return old + distance * weight / FORGET_US;
}

void
load_init(struct endpoint_load *load)
{
    memset(load, 0, sizeof *load);
    load->health = LOAD_HEALTHY;
}

void
load_change(struct endpoint_load *load)
{
    store(load->response_us, 0);
    store(load->min_response_us, 0);
    store(load->health, LOAD_HEALTHY);
    store(load->failures, 0);
    store(load->measured_us, 0);
    store(load->selected, 0);
    store(load->answered, 0);
    store(load->unanswered, 0);
    store(load->resets, 0);
}

void
load_opened(struct endpoint_load *load)
{
    count(load->open);
    count(load->selected);
}

void
load_closed(struct endpoint_load *load)
{
    discount(load->open);
}

void
load_began(struct endpoint_load *load)
{
    count(load->pending);
}

void
load_forgot(struct endpoint_load *load)
{
    discount(load->pending);
}

void
load_reset(struct endpoint_load *load)
{
    count(load->resets);
}

static void
note_health(struct endpoint_load *load, uint32_t target)
{
    uint32_t old = load_read(load->health);

    store(load->health, approach(old, target, 0, HEALTH_BITS));
}

static void
note_time(struct endpoint_load *load, uint32_t us, uint64_t age_us)
{
    uint32_t smoothed = load_read(load->response_us);
    uint32_t least = load_read(load->min_response_us);

    store(load->response_us,
          smoothed ? approach(smoothed, us, age_us, SMOOTH_BITS) : us);
    if (least && us > least) {
        us = approach(least, us, age_us, MIN_BITS);
        us += us == least;
    }
    store(load->min_response_us, us);
}

void
load_answered(struct endpoint_load *load, uint64_t us, uint64_t now_us)
{
    uint64_t measured_us = load_read(load->measured_us);

    discount(load->pending);
    count(load->answered);
    store(load->failures, 0);
    if (us) {
        note_health(load, LOAD_HEALTHY);
        note_time(load, us < UINT32_MAX ? us : UINT32_MAX,
                  now_us > measured_us ? now_us - measured_us : 0);
        store(load->measured_us, now_us);
    }
}

static void
note_failure(struct endpoint_load *load, uint64_t now_us)
{
    count(load->failures);
    count(load->unanswered);
    note_health(load, 0);
    store(load->measured_us, now_us);
}

void
load_repeated(struct endpoint_load *load, uint64_t elapsed_us,
              uint64_t now_us)
{
    uint32_t us = elapsed_us < UINT32_MAX ? elapsed_us : UINT32_MAX;

    if (load_read(load->response_us) < us) {
        store(load->response_us, us);
    }
    note_failure(load, now_us);
}

void
load_gave_up(struct endpoint_load *load, uint64_t now_us)
{
    discount(load->pending);
    note_failure(load, now_us);
}

bool
load_is_healthy(const struct endpoint_load *load, uint64_t now_us)
{
    uint64_t failed_us = load_read(load->measured_us);

    return (!load_is_failing(load)
            || (now_us > failed_us && now_us - failed_us >= LOAD_RETRY_US));
}

bool
load_admit(struct endpoint_load *load, uint64_t now_us)
{
    uint64_t failed_us = load_read(load->measured_us);

    if (!load_is_failing(load)) {
        return true;
    }
    return (now_us > failed_us && now_us - failed_us >= LOAD_RETRY_US
            && __atomic_compare_exchange_n(&load->measured_us, &failed_us,
                                           now_us, false, __ATOMIC_RELAXED,
                                           __ATOMIC_RELAXED));
}
