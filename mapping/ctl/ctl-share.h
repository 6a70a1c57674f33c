/* What share of its group's new flows an endpoint gets, by slots, beside what
 * its weight asks for. */

#ifndef MAPPING_CTL_CTL_SHARE_H
#define MAPPING_CTL_CTL_SHARE_H 1

struct json;

/* Adds to the "status" of each endpoint in 'items' (an array as mapd lists
 * them, with all endpoints of each group that occurs) "weight_share": its
 * part, 0...1, of the weights of the group's endpoints that are up. */
void ctl_share_add(struct json *items);

/* In percent: the part of the group's slots that mapd gave the endpoint, and
 * of the weights. */
double ctl_share_slots(const struct json *item);
double ctl_share_weight(const struct json *item);

#endif /* mapping/ctl/ctl-share.h */
