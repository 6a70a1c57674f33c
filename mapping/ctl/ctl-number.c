#include <config.h>

#include "mapping/ctl/ctl-number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "util.h"

static const char digits[] = "0123456789";

bool
ctl_number_is_digits(const char *text, char end)
{
    size_t length = strspn(text, digits);

    return length && text[length] == end;
}

/* strtod() also knows "nan", "inf" and hexadecimal numbers, which nobody
 * means. */
static bool
read_fraction(const char *text, double *value)
{
    char *end;

    if (strspn(text, "+-.eE0123456789") != strlen(text)) {
        return false;
    }
    *value = strtod(text, &end);
    return end != text && !*end;
}

static enum ctl_exit
refuse_form(struct ctl_output *out, const char *name, const char *text,
            struct ctl_range range)
{
    char *hint = xasprintf("use a whole number from %lld to %lld",
                           range.min, range.max);
    double fraction;

    ctl_output_error(out, CTL_USAGE, "usage", hint,
                     "%s: \"%s\" is not a %snumber", name, text,
                     read_fraction(text, &fraction) ? "whole " : "");
    free(hint);
    return CTL_USAGE;
}

enum ctl_exit
ctl_number_read(struct ctl_output *out, const char *name, const char *text,
                struct ctl_range range, long long *valuep)
{
    long long value;

    if (!ctl_number_is_digits(text + (*text == '-'), '\0')) {
        return refuse_form(out, name, text, range);
    }
    errno = 0;
    value = strtoll(text, NULL, 10);
    if (errno == ERANGE) {
        return ctl_output_invalid(out, name, text, "choose one in that range",
                                  "%s: %s is out of range %lld..%lld", name,
                                  text, range.min, range.max);
    }
    *valuep = value;
    return CTL_OK;
}

enum ctl_exit
ctl_number_read_ports(struct ctl_output *out, const char *name,
                      const char *text, long long *first, long long *last)
{
    const struct ctl_range range = {0, UINT16_MAX};
    char *copy = xstrdup(text);
    char *dash = strchr(copy + (*copy != '\0'), '-');
    enum ctl_exit status;

    if (dash) {
        *dash = '\0';
    }
    *last = -1;
    status = ctl_number_read(out, name, copy, range, first);
    if (!status && dash) {
        status = ctl_number_read(out, name, dash + 1, range, last);
    }
    free(copy);
    return status;
}

enum ctl_exit
ctl_number_check_seconds(struct ctl_output *out, const char *name,
                         const char *text)
{
    double value;

    if (!read_fraction(text, &value)) {
        return ctl_output_error(out, CTL_USAGE, "usage",
                                "seconds, such as 2 or 0.5",
                                "%s: \"%s\" is not a number of seconds",
                                name, text);
    }
    if (value < 0.001 || value > CTL_SECONDS_MAX) {
        return ctl_output_invalid(out, name, text, "choose one in that range",
                                  "%s: %s is out of range 0.001..%d seconds",
                                  name, text, CTL_SECONDS_MAX);
    }
    return CTL_OK;
}
