/* Lists of records with their status, as mapd gives them. */

#ifndef MAPPING_CTL_CTL_LIST_H
#define MAPPING_CTL_CTL_LIST_H 1

#include "mapping/ctl/ctl.h"

/* Gets the list of 'kind' restricted by 'filter' (owned by the callee).
 * '*result' has an array "items", with shares if they are endpoints. */
enum ctl_exit ctl_list_get(struct ctl *, const char *kind,
                           struct json *filter, struct json **result);

/* Gets the item with this id; it is an error if there is none. */
enum ctl_exit ctl_list_find(struct ctl *, const char *kind, const char *id,
                            struct json **item);

/* Keeps of the items of 'result' those with a record whose member is
 * 'value'. */
void ctl_list_keep(struct json *result, const char *member,
                   const char *value);

#endif /* mapping/ctl/ctl-list.h */
