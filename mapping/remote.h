/* Where mapd listens, as people write it: "tcp:IP[:PORT]" or "ssl:IP[:PORT]";
 * of several mapds, all, with commas between them. */

#ifndef MAPPING_REMOTE_H
#define MAPPING_REMOTE_H 1

#include <stdbool.h>

enum { REMOTE_DEFAULT_PORT = 6670 };

/* 'remote' with a port, REMOTE_DEFAULT_PORT unless it names one (Open vSwitch
 * would take its database's); owned by the caller.  NULL if it is neither
 * form, or its port is 0.  Names of hosts are not looked up, as that could
 * block. */
char *remote_with_port(const char *remote);

/* Whether 'remote', one, is reached with TLS; whether one of 'remotes' is. */
bool remote_is_tls(const char *remote);
bool remote_any_is_tls(const char *remotes);

#endif /* mapping/remote.h */
