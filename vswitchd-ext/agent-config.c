#include <config.h>

#include "vswitchd-ext/agent-config.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "vswitchd-ext/agent.h"

void
agent_config_copy(struct agent_config *dst, const struct agent_config *src)
{
    *dst = *src;
    dst->mapd = nullable_xstrdup(src->mapd);
    dst->host = nullable_xstrdup(src->host);
    dst->region = nullable_xstrdup(src->region);
    dst->zone = nullable_xstrdup(src->zone);
    dst->rack = nullable_xstrdup(src->rack);
    dst->flows_file = nullable_xstrdup(src->flows_file);
    dst->table_file = nullable_xstrdup(src->table_file);
    dst->vnis = src->n_vnis
                ? xmemdup(src->vnis, src->n_vnis * sizeof *src->vnis) : NULL;
}

void
agent_config_uninit(struct agent_config *c)
{
    free(CONST_CAST(char *, c->mapd));
    free(CONST_CAST(char *, c->host));
    free(CONST_CAST(char *, c->region));
    free(CONST_CAST(char *, c->zone));
    free(CONST_CAST(char *, c->rack));
    free(CONST_CAST(char *, c->flows_file));
    free(CONST_CAST(char *, c->table_file));
    free(CONST_CAST(uint32_t *, c->vnis));
    memset(c, 0, sizeof *c);
}

bool
agent_config_equal(const struct agent_config *a, const struct agent_config *b)
{
    return nullable_string_is_equal(a->mapd, b->mapd)
           && nullable_string_is_equal(a->host, b->host)
           && nullable_string_is_equal(a->region, b->region)
           && nullable_string_is_equal(a->zone, b->zone)
           && nullable_string_is_equal(a->rack, b->rack)
           && nullable_string_is_equal(a->flows_file, b->flows_file)
           && nullable_string_is_equal(a->table_file, b->table_file)
           && inet_addr_equal(a->vtep, b->vtep) && a->encap == b->encap
           && a->n_flows == b->n_flows && a->n_flows6 == b->n_flows6
           && a->all_vnis == b->all_vnis && a->n_vnis == b->n_vnis
           && (!a->n_vnis
               || !memcmp(a->vnis, b->vnis, a->n_vnis * sizeof *a->vnis))
           && a->underlay_ifindex == b->underlay_ifindex;
}
