#include <config.h>
#include "mapping/record-gateway.h"

#include <string.h>

#include "encap/tunnel.h"
#include "mapping/record-kind.h"
#include "util.h"

#define PRIORITY_HINT "the lowest is preferred"

const struct record_field record_gateway_fields[] = {
    FIELD("name", name, gateway.name, KEY, .hint = NAME_HINT),
    FIELD("node1", name, gateway.node1, REQUIRED, .hint = NAME_HINT),
    FIELD("node2", name, gateway.node2, REQUIRED, .hint = NAME_HINT),
    FIELD("priority1", number, gateway.priority1, OPTIONAL, .min = 0,
          .max = 255, .hint = PRIORITY_HINT),
    FIELD("priority2", number, gateway.priority2, OPTIONAL, .min = 0,
          .max = 255, .hint = PRIORITY_HINT),
    FIELD("active", label, gateway.active, OPTIONAL, .hint = LABEL_HINT),
    FIELD("epoch", number, gateway.epoch, OPTIONAL, .min = 0,
          .max = UINT32_MAX, .hint = NULL),
    { .name = NULL },
};

const struct record_field record_vip_fields[] = {
    FIELD("vni", number, vip.vni, KEY, .min = 0, .max = VNI_MAX,
          .hint = OUTSIDE_HINT),
    FIELD("name", name, vip.name, KEY, .hint = NAME_HINT),
    FIELD("address", address, vip.address, REQUIRED, .hint = NULL),
    FIELD("gateway", name, vip.gateway, REQUIRED, .hint = NAME_HINT),
    { .name = NULL },
};

int
record_gateway_check(const struct record_gateway *g, struct diagnosis *diag)
{
    if (!strcmp(g->node1, g->node2)) {
        return record_kind_refuse(diag, "node2", g->node2,
                                  "give two different hosts",
                                  "is node1, too; a pair has two nodes");
    }
    if (*g->active && strcmp(g->active, g->node1)
        && strcmp(g->active, g->node2)) {
        return record_kind_refuse(diag, "active", g->active,
                                  "make another node active first, or in the "
                                  "same change", "is neither node1, %s, nor "
                                  "node2, %s", g->node1, g->node2);
    }
    return 0;
}
