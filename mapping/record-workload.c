#include <config.h>
#include "mapping/record-workload.h"

#include "encap/tunnel.h"
#include "mapping/record-kind.h"
#include "util.h"

const struct record_field record_workload_fields[] = {
    FIELD("vni", number, workload.vni, KEY, .min = 1, .max = VNI_MAX),
    FIELD("name", name, workload.name, KEY, .hint = NAME_HINT),
    FIELD("host", name, workload.host, REQUIRED, .hint = NAME_HINT),
    FIELD("mac", mac, workload.mac, REQUIRED, .hint = MAC_HINT),
    FIELD("address", address, workload.address, REQUIRED, .hint = NULL),
    FIELD("public_address", maybe_address, workload.public_address, OPTIONAL,
          .hint = "an empty one stands for none"),
    { .name = NULL },
};

int
record_workload_check(const struct record_workload *w, struct diagnosis *diag)
{
    if (inet_addr_equal(w->public_address, w->address)) {
        return record_kind_refuse_address(
            diag, "public_address", w->public_address,
            "leave it out, or give the address that it has outside",
            "is its private address, too");
    }
    return 0;
}
