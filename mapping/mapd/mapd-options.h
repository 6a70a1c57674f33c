/* The command line of grapnel-mapd. */

#ifndef MAPPING_MAPD_MAPD_OPTIONS_H
#define MAPPING_MAPD_MAPD_OPTIONS_H 1

#include <stdbool.h>

#include "mapping/mapd/store.h"
#include "svec.h"

struct mapd_options {
    struct store_options store;
    const char *copy_from;      /* A store, or NULL. */
    const char *unixctl;        /* NULL: the default. */
    const char *metrics;        /* [IP:]PORT, or NULL. */
    unsigned int host_timeout;  /* ms. */
    struct svec listen;
    char *address;              /* Owned, if not given. */
    char *audit_log;            /* NULL: none. */
    bool any_vni;               /* For hosts that are given none. */
    char *private_key, *certificate, *ca_cert; /* NULL: not given. */
    char *revoked_file;         /* NULL: none. */
};

/* Reads the command line into '*options', whose texts may be those of 'argv',
 * and makes the directories that it names.  Ends the program if something is
 * wrong with it, or --help or --version is all that is asked for. */
void mapd_options_parse(struct mapd_options *options, int argc, char *argv[]);
void mapd_options_destroy(struct mapd_options *);

#endif /* mapping/mapd/mapd-options.h */
