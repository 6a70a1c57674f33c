#include <config.h>

#include "mapping/ctl/ctl-duration.h"

#include "openvswitch/dynamic-string.h"

void
ctl_duration_put(struct ds *ds, long long ms)
{
    long long s = ms / 1000;

    if (s >= 86400) {
        ds_put_format(ds, "%lld d %lld h", s / 86400, s / 3600 % 24);
    } else if (s >= 3600) {
        ds_put_format(ds, "%lld h %lld min", s / 3600, s / 60 % 60);
    } else if (s >= 60) {
        ds_put_format(ds, "%lld min %lld s", s / 60, s % 60);
    } else {
        ds_put_format(ds, "%lld s", s);
    }
}
