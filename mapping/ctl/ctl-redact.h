/* Takes out of what others will read what must stay secret. */

#ifndef MAPPING_CTL_CTL_REDACT_H
#define MAPPING_CTL_CTL_REDACT_H 1

struct json;

/* A copy of 'json', the caller's, in which stand "***" for each member whose
 * name says that it is a password, key, secret or token, and in texts for
 * "USER:PASSWORD" of URLs and for what follows "password=" and the like. */
struct json *ctl_redact(const struct json *json);

#endif /* mapping/ctl/ctl-redact.h */
