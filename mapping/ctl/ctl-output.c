#include <config.h>

#include "mapping/ctl/ctl-output.h"

#include <ctype.h>
#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mapping/ctl/ctl-record.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "util.h"

struct ctl_output {
    bool json;
    bool color;
    int error;                  /* First errno of writing, or 0. */
    bool keeps_errors;
    char *verb;                 /* "group add", for hints; or NULL. */
    struct json *kept;          /* The last error, while it keeps them. */
};

/* Names that libsmartcols knows, and the sequences for lines. */
static const struct {
    const char *name;
    const char *sequence;
} colors[] = {
    [CTL_PLAIN] = {NULL, ""},
    [CTL_GOOD]  = {"green", "\033[32m"},
    [CTL_CARE]  = {"yellow", "\033[33m"},
    [CTL_BAD]   = {"red", "\033[31m"},
};

struct ctl_output *
ctl_output_create(bool json)
{
    struct ctl_output *out = xzalloc(sizeof *out);
    const char *no_color = getenv("NO_COLOR");

    out->json = json;
    out->color = isatty(STDOUT_FILENO) && !(no_color && *no_color);
    return out;
}

void
ctl_output_set_verb(struct ctl_output *out, const char *noun,
                    const char *name)
{
    free(out->verb);
    out->verb = xasprintf("%s%s%s", noun ? noun : "", noun ? " " : "", name);
}

static void
note_error(struct ctl_output *out, int error)
{
    if (!out->error) {
        out->error = error;
    }
}

static void
put(struct ctl_output *out, const char *text)
{
    if (fputs(text, stdout) == EOF) {
        note_error(out, errno);
    }
}

static void
flush(struct ctl_output *out)
{
    if (fflush(stdout)) {
        note_error(out, errno);
    }
}

enum ctl_exit
ctl_output_close(struct ctl_output *out, enum ctl_exit status)
{
    int error;

    flush(out);

    /* Network file systems tell only now that the disk is full. */
    if (close(STDOUT_FILENO) && errno != EBADF) {
        note_error(out, errno);
    }
    error = out->error;
    free(out->verb);
    free(out);
    if (!error) {
        return status;
    }
    if (error != EPIPE) {
        fprintf(stderr, "grapnelctl: cannot write to standard output: %s "
                "(make room, or write elsewhere)\n", ovs_strerror(error));
    }
    return status == CTL_OK ? CTL_FAILED : status;
}

bool
ctl_output_flush(struct ctl_output *out)
{
    struct pollfd pfd = {.fd = STDOUT_FILENO};

    flush(out);
    if (poll(&pfd, 1, 0) > 0 && pfd.revents & POLLERR) {
        note_error(out, EPIPE);
    }
    return !out->error;
}

void
ctl_output_wait(const struct ctl_output *out OVS_UNUSED)
{
    poll_fd_wait(STDOUT_FILENO, POLLERR);
}

void
ctl_output_line(struct ctl_output *out, enum ctl_color color,
                const char *format, ...)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    bool colored = out->color && color != CTL_PLAIN;
    va_list args;

    ds_put_cstr(&ds, colored ? colors[color].sequence : "");
    va_start(args, format);
    ds_put_format_valist(&ds, format, args);
    va_end(args);
    ds_put_cstr(&ds, colored ? "\033[0m\n" : "\n");
    put(out, ds_cstr(&ds));
    ds_destroy(&ds);
}

void
ctl_output_text(struct ctl_output *out, const char *text)
{
    put(out, text);
}

void
ctl_output_json(struct ctl_output *out, const struct json *json)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    json_to_ds(json, JSSF_SORT, &ds);
    ds_put_char(&ds, '\n');
    put(out, ds_cstr(&ds));
    ds_destroy(&ds);
}

/* The one line of an error, on standard error.  What is already on standard
 * output comes first, as a reader of both expects. */
static void
put_error_line(struct ctl_output *out, const char *prefix,
               const char *message, const char *hint)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, "grapnelctl: %s%s", prefix, message);
    if (hint && *hint) {
        ds_put_format(&ds, " (%s)", hint);
    }
    for (char *p = ds_cstr(&ds); *p; p++) {
        if (iscntrl((unsigned char) *p)) {
            *p = '?';
        }
    }
    flush(out);
    fprintf(stderr, "%s\n", ds_cstr(&ds));
    ds_destroy(&ds);
}

/* Prints an error object, 'prefix' before its message. */
static void
put_error(struct ctl_output *out, struct json *error, const char *prefix)
{
    if (out->keeps_errors) {
        json_destroy(out->kept);
        out->kept = json_clone(error);
    } else if (out->json) {
        json_object_put_format(error, "message", "%s%s", prefix,
                               ctl_record_text(error, "message"));
        ctl_output_json(out, error);
    } else {
        put_error_line(out, prefix, ctl_record_text(error, "message"),
                       ctl_record_text(error, "hint"));
    }
}

void
ctl_output_keep_errors(struct ctl_output *out)
{
    out->keeps_errors = true;
}

struct json *
ctl_output_take_error(struct ctl_output *out)
{
    struct json *error = out->kept;

    out->keeps_errors = false;
    out->kept = NULL;
    return error;
}

static struct json * OVS_PRINTF_FORMAT(3, 0)
make_error(const char *code, const char *hint, const char *format,
           va_list args)
{
    struct json *error = json_object_create();

    json_object_put_string(error, "error", code);
    json_object_put_string(error, "hint", hint);
    json_object_put(error, "message", json_string_create_nocopy(
                        xvasprintf(format, args)));
    return error;
}

enum ctl_exit
ctl_output_error(struct ctl_output *out, enum ctl_exit status,
                 const char *code, const char *hint, const char *format, ...)
{
    struct json *error;
    va_list args;

    va_start(args, format);
    error = make_error(code, hint, format, args);
    va_end(args);
    put_error(out, error, "");
    json_destroy(error);
    return status;
}

enum ctl_exit
ctl_output_invalid(struct ctl_output *out, const char *field,
                   const char *value, const char *hint,
                   const char *format, ...)
{
    struct json *error;
    va_list args;

    va_start(args, format);
    error = make_error("invalid", hint, format, args);
    va_end(args);
    json_object_put_string(error, "field", field);
    json_object_put_string(error, "value", value);
    put_error(out, error, "");
    json_destroy(error);
    return CTL_FAILED;
}

/* What to do when mapd does not say. */
static const char *
hint_for(const char *code)
{
    static const struct {
        const char *code, *hint;
    } hints[] = {
        {"exists", "'set' changes what exists"},
        {"not-found", "'grapnelctl dump' shows what there is"},
        {"in-use", "remove first what uses it"},
        {"revision", "look at what has changed, then repeat"},
        {"store", "see grapnel-mapd's log"},
        {"timeout", "see 'grapnelctl status'"},
        {"unsupported", "is that a grapnel-mapd of this version?"},
        {"busy", "try again"},
        {"not-leader", "try again in a few seconds"},
        {"denied", "use a certificate for admin:NAME"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(hints); i++) {
        if (!strcmp(hints[i].code, code)) {
            return hints[i].hint;
        }
    }
    return "see grapnel-mapd's log";
}

enum ctl_exit
ctl_output_refusal(struct ctl_output *out, const struct json *refusal,
                   const char *prefix, const char *suffix)
{
    const char *code = ctl_record_text(refusal, "error");
    const char *hint = ctl_record_text(refusal, "hint");
    struct json *error = (*code ? json_deep_clone(refusal)
                          : json_object_create());

    json_object_put_string(error, "error", *code ? code : "protocol");
    if (!*ctl_record_text(error, "message")) {
        struct ds text = DS_EMPTY_INITIALIZER;

        ds_put_cstr(&text, "mapd refused: ");
        ctl_record_put_value(&text, refusal);
        json_object_put_string(error, "message", ds_cstr(&text));
        ds_destroy(&text);
    }
    if (!*hint && !strcmp(code, "invalid") && out->verb) {
        json_object_put_format(error, "hint", "'grapnelctl help %s' tells "
                               "what it takes%s", out->verb, suffix);
    } else {
        json_object_put_format(error, "hint", "%s%s",
                               *hint ? hint : hint_for(code), suffix);
    }
    put_error(out, error, prefix);
    json_destroy(error);
    return !strcmp(code, "timeout") ? CTL_TIMED_OUT : CTL_FAILED;
}

void
ctl_output_note(struct ctl_output *out, const char *format, ...)
{
    va_list args;
    char *text;

    if (!out->json) {
        va_start(args, format);
        text = xvasprintf(format, args);
        va_end(args);
        put_error_line(out, "", text, NULL);
        free(text);
    }
}

/* Tables. */

struct ctl_table {
    struct ctl_output *out;
    struct libscols_table *scols;
    struct libscols_line *row;
    size_t column;              /* Of the next cell of 'row'. */
};

/* libsmartcols fails only for want of memory. */
static void *
check_memory(void *p)
{
    if (!p) {
        out_of_memory();
    }
    return p;
}

struct ctl_table *
ctl_output_table(struct ctl_output *out, bool heading)
{
    struct ctl_table *table = xzalloc(sizeof *table);

    table->out = out;
    table->scols = check_memory(scols_new_table());
    scols_table_enable_noheadings(table->scols, !heading);
    scols_table_enable_colors(table->scols, out->color);
    scols_table_set_column_separator(table->scols, "  ");
    scols_table_set_stream(table->scols, stdout);

    /* Ids are for copying: long lines wrap, columns are never hidden. */
    scols_table_set_termforce(table->scols, SCOLS_TERMFORCE_NEVER);
    return table;
}

void
ctl_output_column(struct ctl_table *table, const char *name, bool right)
{
    check_memory(scols_table_new_column(table->scols, name, 0,
                                        right ? SCOLS_FL_RIGHT : 0));
}

void
ctl_output_row(struct ctl_table *table)
{
    table->row = check_memory(scols_table_new_line(table->scols, NULL));
    table->column = 0;
}

void
ctl_output_cell(struct ctl_table *table, enum ctl_color color,
                const char *format, ...)
{
    struct libscols_cell *cell
        = check_memory(scols_line_get_cell(table->row, table->column++));
    va_list args;
    char *text;

    va_start(args, format);
    text = xvasprintf(format, args);
    va_end(args);
    if (scols_cell_refer_data(cell, text)
        || (color != CTL_PLAIN
            && scols_cell_set_color(cell, colors[color].name))) {
        out_of_memory();
    }
}

/* Prints 'text' without the blanks that fill up the last column, nor the row
 * that only carries a heading. */
static void
put_trimmed(struct ctl_output *out, char *text)
{
    char *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        size_t length = strlen(line);

        while (length && line[length - 1] == ' ') {
            line[--length] = '\0';
        }
        if (length) {
            put(out, line);
            put(out, "\n");
        }
    }
}

void
ctl_output_table_end(struct ctl_table *table)
{
    char *text = NULL;

    /* Without any row libsmartcols does not print the heading either. */
    if (!scols_table_get_nlines(table->scols)) {
        ctl_output_row(table);
    }
    if (scols_print_table_to_string(table->scols, &text)) {
        out_of_memory();
    }
    put_trimmed(table->out, text);
    free(text);
    scols_unref_table(table->scols);
    free(table);
}
