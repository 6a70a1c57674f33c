#include "encap/drop.h"

static const struct {
    const char *label;
    const char *text;
} reasons[N_DROP_REASONS] = {
#define DROP(NAME, LABEL, TEXT) [DROP_##NAME] = { #LABEL, TEXT },
    DROP_REASONS
#undef DROP
};

const char *
drop_reason_name(enum drop_reason reason)
{
    return (unsigned int) reason < N_DROP_REASONS
           ? reasons[reason].label : "unknown";
}

const char *
drop_reason_text(enum drop_reason reason)
{
    return (unsigned int) reason < N_DROP_REASONS
           ? reasons[reason].text : "unknown";
}
