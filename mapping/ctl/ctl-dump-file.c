#include <config.h>

#include "mapping/ctl/ctl-dump-file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-record.h"
#include "mapping/ctl/ctl-repeated.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

enum { DUMP_VERSION = 1 };

struct reader {
    FILE *file;
    size_t line;                /* Number of the line last read. */
    struct ds text;             /* Its text. */
    bool unfinished;            /* The file ended before its newline. */
    bool header_seen, trailer_seen;
    size_t allocated;           /* Of dump->lines. */
};

/* Reads a line into r->text.  Returns NULL, or an error message; '*end' tells
 * whether there was none left. */
static char *
read_line(struct reader *r, bool *end)
{
    int c;

    ds_clear(&r->text);
    r->line++;
    while ((c = getc(r->file)) != EOF && c != '\n') {
        if (!c) {
            return xasprintf("line %zu has a null byte: this is no dump",
                             r->line);
        }
        if (r->text.length == CTL_DUMP_FILE_MAX_LINE) {
            return xasprintf("line %zu is longer than %d bytes: "
                             "this is no dump", r->line,
                             CTL_DUMP_FILE_MAX_LINE);
        }
        ds_put_char(&r->text, c);
    }
    if (c == EOF && ferror(r->file)) {
        return xstrdup(ovs_strerror(errno));
    }
    r->unfinished = c == EOF;
    *end = r->unfinished && !r->text.length;
    return NULL;
}

static bool
is_blank(const char *s)
{
    return !s[strspn(s, " \t\r")];
}

/* Refuses a member of a line of our own that is not in 'known'. */
static char *
check_members(const struct reader *r, const struct json *json,
              const char *const known[])
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, json_object(json)) {
        size_t i = 0;

        while (known[i] && strcmp(known[i], node->name)) {
            i++;
        }
        if (!known[i]) {
            return xasprintf("line %"PRIuSIZE": \"%s\" is unknown there",
                             r->line, node->name);
        }
    }
    return NULL;
}

/* Says that the member 'name' is not what it should be. */
static char *
refuse_member(const struct reader *r, const struct json *json,
              const char *name, const char *expected, long long number)
{
    const struct json *value = ctl_record_get(json, name);
    char *shown = value ? json_to_string(value, JSSF_SORT) : NULL;
    char *error;

    error = (shown
             ? xasprintf("line %"PRIuSIZE": %s: %s is not %s", r->line, name,
                         shown, expected)
             : xasprintf("line %"PRIuSIZE": %s is missing", r->line, name));
    if (shown && number >= 0) {
        char *longer = xasprintf("%s, %lld", error, number);

        free(error);
        error = longer;
    }
    free(shown);
    return error;
}

static char *
take_header(struct reader *r, const struct json *json)
{
    static const char *const known[] = {"grapnel", "version", "revision",
                                        NULL};

    if (strcmp(ctl_record_text(json, "grapnel"), "dump")) {
        return xasprintf("line %"PRIuSIZE" is not the first line of a dump: "
                         "{\"grapnel\":\"dump\",\"version\":%d,...}",
                         r->line, DUMP_VERSION);
    }
    if (ctl_record_number(json, "version", -1) != DUMP_VERSION) {
        return refuse_member(r, json, "version", "the one that this "
                             "grapnelctl reads", DUMP_VERSION);
    }
    if (ctl_record_get(json, "revision")
        && ctl_record_number(json, "revision", -1) < 0) {
        return refuse_member(r, json, "revision", "a revision", -1);
    }
    r->header_seen = true;
    return check_members(r, json, known);
}

static char *
take_trailer(struct reader *r, const struct json *json, size_t n_records)
{
    static const char *const known[] = {"end", "records", NULL};

    if (!ctl_record_is_true(json, "end")) {
        return refuse_member(r, json, "end", "true", -1);
    }
    if (ctl_record_number(json, "records", -1) != (long long) n_records) {
        return refuse_member(r, json, "records",
                             "the number of records in the file", n_records);
    }
    r->trailer_seen = true;
    return check_members(r, json, known);
}

static void
take_record(struct reader *r, struct json *json, struct ctl_dump_file *dump)
{
    if (dump->n_records == r->allocated) {
        dump->lines = x2nrealloc(dump->lines, &r->allocated,
                                 sizeof *dump->lines);
    }
    dump->lines[dump->n_records++] = r->line;
    json_array_add(dump->records, json_clone(json));
}

/* For bad JSON the parser returns a complaint, after a position in the text,
 * which is just this one line, and a colon. */
static char *
complain(const struct reader *r, const struct json *json)
{
    const char *why = json->type == JSON_STRING ? json_string(json) : "";
    const char *colon = strstr(why, ": ");

    why = colon ? colon + 2 : why;
    return xasprintf("line %zu is not a JSON object%s%s", r->line,
                     *why ? ": " : "", why);
}

/* Deals with the line in r->text. */
static char *
take_line(struct reader *r, struct ctl_dump_file *dump)
{
    struct json *json = json_from_string(ds_cstr(&r->text));
    char *repeated = (json->type == JSON_OBJECT
                      ? ctl_repeated_member(ds_cstr(&r->text)) : NULL);
    char *error = NULL;

    if (json->type != JSON_OBJECT && r->unfinished) {
        error = xasprintf("the file is cut off in the middle of line %zu",
                          r->line);
    } else if (json->type != JSON_OBJECT) {
        error = complain(r, json);
    } else if (repeated) {
        error = xasprintf("line %"PRIuSIZE" has the member \"%s\" twice",
                          r->line, repeated);
    } else if (!r->header_seen) {
        error = take_header(r, json);
    } else if (r->trailer_seen) {
        error = xasprintf("line %zu comes after the last line of the dump",
                          r->line);
    } else if (ctl_record_get(json, "end") && !ctl_record_get(json, "kind")) {
        error = take_trailer(r, json, dump->n_records);
    } else {
        take_record(r, json, dump);
    }
    json_destroy(json);
    free(repeated);
    return error;
}

static char *
read_all(struct reader *r, struct ctl_dump_file *dump)
{
    for (;;) {
        bool end = false;
        char *error = read_line(r, &end);

        if (!error && end) {
            break;
        }
        if (!error && !is_blank(ds_cstr(&r->text))) {
            error = take_line(r, dump);
        }
        if (error) {
            return error;
        }
    }
    if (!r->header_seen) {
        return xstrdup("the file is empty");
    }
    if (!r->trailer_seen) {
        return xasprintf("the file is cut off: after line %zu (%zu records) "
                         "the last line, {\"end\":true,...}, is missing",
                         r->line - 1, dump->n_records);
    }
    return NULL;
}

char *
ctl_dump_file_read(FILE *file, struct ctl_dump_file *dumpp)
{
    struct ctl_dump_file dump = {.records = json_array_create_empty()};
    struct reader r = {.file = file, .text = DS_EMPTY_INITIALIZER};
    char *error = read_all(&r, &dump);

    ds_destroy(&r.text);
    if (error) {
        ctl_dump_file_destroy(&dump);
    } else {
        *dumpp = dump;
    }
    return error;
}

void
ctl_dump_file_destroy(struct ctl_dump_file *dump)
{
    json_destroy(dump->records);
    free(dump->lines);
}
