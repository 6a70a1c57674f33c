#include <config.h>
#include "mapping/record-kind.h"

#include <stdarg.h>
#include <stdio.h>

#include "util.h"

int
record_kind_refuse(struct diagnosis *diag, const char *name,
                   const char *value, const char *hint,
                   const char *problem, ...)
{
    char text[160];
    va_list args;
    int error;

    va_start(args, problem);
    vsnprintf(text, sizeof text, problem, args);
    va_end(args);
    error = diagnosis_set(diag, DIAG_INVALID, name, value, "%s: %s %s", name,
                          value, text);
    diagnosis_set_hint(diag, "%s", hint);
    return error;
}

int
record_kind_refuse_address(struct diagnosis *diag, const char *name,
                           struct inet_addr address, const char *hint,
                           const char *problem)
{
    char text[RECORD_ADDRESS_SIZE];

    record_format_address(address, text);
    return record_kind_refuse(diag, name, text, hint, "%s", problem);
}
