#include <config.h>

#include <string.h>

#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

enum { HELP_WIDTH = 79 };

/* Appends 'word' to the paragraph that begins at 'start' in 'ds', on a new
 * line with 'indent' blanks if there is no room. */
static void
put_word(struct ds *ds, size_t *column, size_t indent, const char *word)
{
    size_t length = strlen(word);

    if (*column + 1 + length > HELP_WIDTH) {
        ds_put_char(ds, '\n');
        ds_put_char_multiple(ds, ' ', indent);
        *column = indent;
    } else if (*column > indent) {
        ds_put_char(ds, ' ');
        ++*column;
    }
    ds_put_cstr(ds, word);
    *column += length;
}

/* "  left        right", the right side wrapped. */
static void
put_entry(struct ds *ds, size_t width, const char *left, const char *right)
{
    size_t column = width;
    char *copy = xstrdup(right), *save = NULL;

    ds_put_format(ds, "  %-*s", (int) width - 2, left);
    if (strlen(left) + 2 >= width) {
        ds_put_char(ds, '\n');
        ds_put_char_multiple(ds, ' ', width);
    }
    for (char *word = strtok_r(copy, " ", &save); word;
         word = strtok_r(NULL, " ", &save)) {
        put_word(ds, &column, width, word);
    }
    ds_put_char(ds, '\n');
    free(copy);
}

/* "--wait[=SECONDS]". */
static char *
option_form(enum ctl_option_id id)
{
    const struct ctl_option *o = &ctl_options[id];

    return (o->value == CTL_FLAG ? xasprintf("--%s", o->name)
            : o->value == CTL_MAYBE_SECONDS
            ? xasprintf("--%s[=%s]", o->name, o->metavar)
            : xasprintf("--%s %s", o->name, o->metavar));
}

static void
put_options(struct ds *ds, ctl_options_set options)
{
    for (size_t id = 0; id < N_CTL_OPTIONS; id++) {
        if (options & CTL_BIT(id)) {
            char *form = option_form(id);

            put_entry(ds, 24, form, ctl_options[id].help);
            free(form);
        }
    }
}

static char *
verb_form(const struct ctl_verb *v)
{
    return xasprintf("%s%s%s%s%s", v->noun ? v->noun : "", v->noun ? " " : "",
                     v->name, *v->operands ? " " : "", v->operands);
}

static void
put_verb_usage(struct ds *ds, const struct ctl_verb *v)
{
    static const char start[] = "usage: grapnelctl";
    size_t column = strlen(start);
    char *form = verb_form(v);

    ds_put_cstr(ds, start);
    put_word(ds, &column, 8, form);
    free(form);
    for (size_t id = 0; id < N_CTL_OPTIONS; id++) {
        bool required = v->required & CTL_BIT(id);

        if (v->options & CTL_BIT(id)) {
            char *option = option_form(id);
            char *word = xasprintf(required ? "%s" : "[%s]", option);

            put_word(ds, &column, 8, word);
            free(word);
            free(option);
        }
    }
    ds_put_char(ds, '\n');
}

static void
put_verb_help(struct ds *ds, const struct ctl_verb *v)
{
    put_verb_usage(ds, v);
    ds_put_format(ds, "\n%c%s.\n", v->help[0] - 'a' + 'A', v->help + 1);
    if (v->options) {
        ds_put_cstr(ds, "\nOptions:\n");
        put_options(ds, v->options);
    }
    ds_put_cstr(ds, "\nOptions of every verb:\n");
    put_options(ds, CTL_GLOBAL_OPTIONS);
}

static void
put_verbs(struct ds *ds, const char *noun)
{
    const char *previous = "";

    for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
        const char *group = v->noun ? v->noun : "";
        char *form;

        if (noun && strcmp(group, noun)) {
            continue;
        }
        if (!noun && strcmp(group, previous)) {
            ds_put_char(ds, '\n');
            previous = group;
        }
        form = verb_form(v);
        put_entry(ds, 34, form, v->help);
        free(form);
    }
}

static void
put_help(struct ds *ds, const char *noun)
{
    ds_put_format(ds, "usage: grapnelctl [OPTION]... %s VERB ...\n"
                  "%s", noun ? noun : "[NOUN]",
                  noun ? "\n" : "\nAdministers Grapnel's mapping service: "
                  "hosts, anycast groups, endpoints,\n"
                  "workloads and gateways.\n");
    put_verbs(ds, noun);
    if (!noun) {
        ds_put_cstr(ds, "\nOptions of every verb:\n");
        put_options(ds, CTL_GLOBAL_OPTIONS);
        ds_put_cstr(ds, "\nExit status: 0 done; 1 refused or failed; "
                    "2 wrong usage; 3 mapd unreachable;\n4 timed out.  Of "
                    "'diff': 0 same; 1 different; 2 trouble.\n");
    }
    ds_put_cstr(ds, "\n'grapnelctl help NOUN VERB' explains a verb and its "
                "options.\n");
}

void
ctl_help_print(struct ctl_output *out, bool json,
               const struct ctl_verb *verb, const char *noun)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (json) {
        struct json *tables = ctl_help_json(verb, noun);

        ctl_output_json(out, tables);
        json_destroy(tables);
        return;
    }
    if (verb) {
        put_verb_help(&ds, verb);
    } else {
        put_help(&ds, noun);
    }
    ctl_output_text(out, ds_cstr(&ds));
    ds_destroy(&ds);
}

enum ctl_exit
ctl_help(struct ctl *ctl)
{
    const char *words[CTL_MAX_ARGS];
    size_t n = ctl->n_operands, n_used = 0;
    const struct ctl_verb *verb;

    memcpy(words, ctl->operands, n * sizeof *words);
    n = ctl_verbs_join(words, n);
    verb = ctl_verbs_find(words, n, &n_used);
    if (n_used < n && !(n == 1 && ctl_verbs_is_noun(words[0]))) {
        return ctl_output_error(ctl->out, CTL_USAGE, "usage",
                                "'grapnelctl help' lists them all",
                                "there is no \"%s%s%s\"", words[0],
                                n > 1 ? " " : "", n > 1 ? words[1] : "");
    }
    ctl_help_print(ctl->out, ctl->json, verb, verb || !n ? NULL : words[0]);
    return CTL_OK;
}
