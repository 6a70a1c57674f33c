#include <config.h>

#include "mapping/remote.h"

#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "socket-util.h"

enum { SCHEME_LEN = 4 };        /* "tcp:", "ssl:". */

char *
remote_with_port(const char *remote)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct sockaddr_storage ss;

    if ((strncmp(remote, "tcp:", SCHEME_LEN)
         && !remote_is_tls(remote))
        || !inet_parse_active(remote + SCHEME_LEN, REMOTE_DEFAULT_PORT, &ss,
                              false, NULL)
        || !ss_get_port(&ss)) {
        return NULL;
    }
    ds_put_format(&ds, "%.*s", SCHEME_LEN, remote);
    ss_format_address(&ss, &ds);
    ds_put_format(&ds, ":%d", ss_get_port(&ss));
    return ds_steal_cstr(&ds);
}

bool
remote_is_tls(const char *remote)
{
    return !strncmp(remote, "ssl:", SCHEME_LEN);
}

bool
remote_any_is_tls(const char *remotes)
{
    const char *comma = strchr(remotes, ',');

    return (remote_is_tls(remotes)
            || (comma && remote_any_is_tls(comma + 1)));
}
