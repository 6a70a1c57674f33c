#include <config.h>

#include "mapping/metrics-address.h"

#include <stdlib.h>
#include <string.h>

#include "socket-util.h"
#include "util.h"

int
metrics_address_parse(const char *address, const char *option,
                      struct sockaddr_storage *ss, struct diagnosis *diag)
{
    const char *colon = strchr(address, ':');
    char *full = xasprintf("%s%s", colon ? "" : "127.0.0.1:", address);
    const char *port = strrchr(full, ':') + 1;
    int number, error = 0;

    if ((address[0] != '[' && colon && strchr(colon + 1, ':'))
        || !str_to_int(port, 10, &number) || number < 1 || number > 65535
        || !inet_parse_active(full, 0, ss, false, NULL)) {
        error = diagnosis_set(diag, DIAG_INVALID, option, address,
                              "%s \"%s\": must be [IP:]PORT", option, address);
        diagnosis_set_hint(diag, "as in 9464 or [2001:db8::1]:9464");
    }
    free(full);
    return error;
}
