#include <config.h>

#include "mapping/ctl/ctl-repeated.h"

#include <stdlib.h>

#include "openvswitch/json.h"
#include "sset.h"
#include "util.h"

/* The end of the string that begins behind the quote before 'p': its closing
 * quote. */
static const char *
end_of_string(const char *p)
{
    while (*p && *p != '"') {
        p += *p == '\\' && p[1] ? 2 : 1;
    }
    return p;
}

char *
ctl_repeated_member(const char *text)
{
    const char *start = text, *end = text;  /* Of the last string. */
    struct sset names = SSET_INITIALIZER(&names);
    char *repeated = NULL;
    int depth = 0;

    for (const char *p = text; *p && !repeated; p++) {
        if (*p == '"') {
            start = p + 1;
            end = p = end_of_string(start);
            if (!*p) {
                break;
            }
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            depth--;
        } else if (*p == ':' && depth == 1) {
            /* One name may be written in several ways. */
            char *name = NULL;

            if (json_string_unescape(start, end - start, &name)
                && !sset_add(&names, name)) {
                repeated = name;
            } else {
                free(name);
            }
        }
    }
    sset_destroy(&names);
    return repeated;
}
