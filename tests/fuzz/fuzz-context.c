/* Geneve options from anybody, and our own as tunnel_push() writes them. */

#include <stdlib.h>
#include <string.h>

#include "encap/context.h"
#include "encap/tunnel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(X) do { if (!(X)) { __builtin_trap(); } } while (0)

enum { GENEVE_OPTIONS_OFS4 = 14 + 20 + 8 + 8, GENEVE_OPTIONS_OFS6 = 70 };

static void
check_context(const struct context *context)
{
    CHECK(context->group <= CONTEXT_GROUP_MAX);
    CHECK(context->hops <= CONTEXT_MAX_HOPS);
    CHECK(!(context->flags & ~CONTEXT_FLAGS));
    CHECK(context->n_previous <= CONTEXT_MAX_PREVIOUS);
    for (int i = 0; i < context->n_previous; i++) {
        CHECK(context->previous[i] != CONTEXT_NO_ENDPOINT);
    }
}

/* What was understood is understood alike after another trip. */
static void
round_trip(const struct context *context, bool v6)
{
    struct inet_addr address = { v6, 1 };
    struct tunnel_spec spec = {
        .type = TUNNEL_GENEVE, .ttl = 64, .mtu = 1500,
        .src_ip = v6 ? address : inet_addr_from4(1),
        .dst_ip = v6 ? address : inet_addr_from4(2),
    };
    uint8_t buffer[TUNNEL_MAX_OVERHEAD + 60];
    uint8_t *frame = buffer + TUNNEL_MAX_OVERHEAD;
    struct tunnel tunnel;
    struct context again;

    tunnel_init(&tunnel, &spec);
    uint8_t *outer = tunnel_push(&tunnel, frame, 60, 1, 2, 3, context);
    uint8_t *options = outer + (v6 ? GENEVE_OPTIONS_OFS6
                                   : GENEVE_OPTIONS_OFS4);
    CHECK(outer >= buffer);
    CHECK(outer[v6 ? 62 : 42] * 4 == frame - options);
    CHECK(!context_parse(options, frame - options, &again));
    CHECK(again.group == context->group && again.epoch == context->epoch
          && again.flags == context->flags && again.hops == context->hops
          && again.n_previous == context->n_previous
          && !memcmp(again.previous, context->previous,
                     again.n_previous * sizeof again.previous[0]));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct context context;

    if (!context_parse(data, size, &context)) {
        check_context(&context);
        round_trip(&context, false);
        round_trip(&context, true);
    }
    return 0;
}
