/* The options of grapnelctl: the table and the parser. */

#ifndef MAPPING_CTL_CTL_OPTIONS_H
#define MAPPING_CTL_CTL_OPTIONS_H 1

#include "mapping/ctl/ctl.h"

enum ctl_value {
    CTL_FLAG,                   /* Takes no value. */
    CTL_TEXT,
    CTL_NUMBER,                 /* A whole number. */
    CTL_PORTS,                  /* One port, or FIRST-LAST. */
    CTL_SECONDS,                /* Decimal fraction, to CTL_SECONDS_MAX. */
    CTL_MAYBE_SECONDS,          /* The same, or nothing; only as --x=N. */
};

enum { CTL_SECONDS_MAX = 3600 };

struct ctl_option {
    const char *name;           /* Without dashes.  For a member of a record,
                                 * the member's name, with - for _. */
    enum ctl_value value;
    const char *metavar;        /* NULL for CTL_FLAG. */
    const char *choices;        /* For completion, separated by blanks, or
                                 * "@host" for the names of hosts; or NULL. */
    const char *help;
};

extern const struct ctl_option ctl_options[N_CTL_OPTIONS];

/* Why the parser refused. */
struct ctl_options_error {
    char message[256];
    char hint[192];
};

/* Picks 'argv' apart into '*args'.  Options may stand anywhere; "--" ends
 * them.  Returns false with '*error' filled in if an option is unknown, lacks
 * its value or is given twice, or if there are too many words. */
bool ctl_options_parse(int argc, char *argv[], struct ctl_args *args,
                       struct ctl_options_error *error);

/* Checks the values of the options that are numbers.  Returns CTL_OK, or an
 * exit status, having said what is wrong; the functions below are for values
 * that passed. */
enum ctl_exit ctl_options_check(struct ctl_output *, const struct ctl_args *);

/* Finds an option by name, without dashes; N_CTL_OPTIONS if there is none. */
enum ctl_option_id ctl_options_find(const char *name, size_t length);

/* Whether a value follows the option as the next word. */
bool ctl_options_takes_word(enum ctl_option_id);

/* Milliseconds of the CTL_SECONDS or CTL_MAYBE_SECONDS option 'id', or
 * 'otherwise' if it was not given or has no value. */
long long ctl_options_ms(const struct ctl_args *, enum ctl_option_id id,
                         long long otherwise);

/* The value of the CTL_NUMBER option 'id', which was given. */
long long ctl_options_number(const struct ctl_args *, enum ctl_option_id id);

/* Adds to 'record' the members that were given as options. */
void ctl_options_put_members(const struct ctl_args *, struct json *record);

/* Keeps in '*best' the one of the candidates tried so far that is most like
 * 'word', if it is like it at all.  Start with a NULL best and distance 0. */
struct ctl_guess {
    const char *best;
    size_t distance;
};
void ctl_options_guess(struct ctl_guess *, const char *word,
                       const char *candidate);

#endif /* mapping/ctl/ctl-options.h */
