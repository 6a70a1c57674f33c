/* Where figures are told: [IP:]PORT, as in "9464", "192.0.2.1:9464" or
 * "[2001:db8::1]:9464". */

#ifndef MAPPING_METRICS_ADDRESS_H
#define MAPPING_METRICS_ADDRESS_H 1

#include <sys/socket.h>

#include "mapping/diagnosis.h"

/* Reads 'address', with 127.0.0.1 if it names no IP and PORT from 1 to 65535,
 * into '*ss'.  0, or a positive errno with '*diag' (which may be NULL) filled
 * in, where 'option' is what the address was given by. */
int metrics_address_parse(const char *address, const char *option,
                          struct sockaddr_storage *ss, struct diagnosis *diag);

#endif /* mapping/metrics-address.h */
