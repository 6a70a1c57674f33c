#include <config.h>

#include "mapping/ctl/ctl-trust.h"

#include <stdlib.h>

#include "mapping/remote.h"
#include "mapping/tls.h"

static const char *
get_file(const struct ctl *ctl, enum ctl_option_id id, const char *variable)
{
    const char *file = ctl->args.values[id];

    return file ? file : getenv(variable);
}

int
ctl_trust_use(const struct ctl *ctl, struct diagnosis *diag)
{
    const struct tls_files files = {
        .private_key = get_file(ctl, CTL_PRIVATE_KEY, "GRAPNEL_PRIVATE_KEY"),
        .certificate = get_file(ctl, CTL_CERTIFICATE, "GRAPNEL_CERTIFICATE"),
        .ca_cert = get_file(ctl, CTL_CA_CERT, "GRAPNEL_CA_CERT"),
    };
    int error;

    if (!remote_any_is_tls(ctl->remote)) {
        return 0;
    }
    error = tls_use(&files, diag);
    if (!error && tls_seconds_left(files.certificate) < 0) {
        error = diagnosis_set(diag, DIAG_INVALID, "certificate",
                              files.certificate, "certificate \"%s\" has "
                              "expired", files.certificate);
        diagnosis_set_hint(diag, "have the CA sign a new one");
    }
    return error;
}
