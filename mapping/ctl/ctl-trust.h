/* The certificate with which grapnelctl speaks to mapd. */

#ifndef MAPPING_CTL_CTL_TRUST_H
#define MAPPING_CTL_CTL_TRUST_H 1

#include "mapping/ctl/ctl.h"
#include "mapping/diagnosis.h"

/* If 'ctl->remote' has an "ssl:...", uses the files that options name, else
 * the environment (GRAPNEL_PRIVATE_KEY, GRAPNEL_CERTIFICATE, GRAPNEL_CA_CERT).
 * Returns 0, or a positive errno with '*diag' filled in. */
int ctl_trust_use(const struct ctl *ctl, struct diagnosis *diag);

#endif /* mapping/ctl/ctl-trust.h */
