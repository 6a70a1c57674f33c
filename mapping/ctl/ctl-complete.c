#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-client.h"
#include "mapping/ctl/ctl-number.h"
#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "mapping/ctl/ctl-trust.h"
#include "openvswitch/json.h"
#include "util.h"

enum { COMPLETE_TIMEOUT_MS = 500 }; /* Nobody waits longer for a Tab. */

/* The shell does nothing but ask back: what can follow is in the tables.
 * COMP_WORDS is cut at each of COMP_WORDBREAKS, so the words are taken from
 * the line; and of the last one bash wants only what follows its cut. */
static const char bash_script[] =
"_grapnelctl()\n"
"{\n"
"    local IFS=$' \\t\\n' line=${COMP_LINE:0:COMP_POINT} words last cut\n"
"    read -ra words <<< \"$line\"\n"
"    [[ $line == *[[:blank:]] ]] && words+=('')\n"
"    last=${words[${#words[@]}-1]}\n"
"    cut=${COMP_WORDBREAKS//[^:=]}\n"
"    [[ $cut ]] && cut=${last%\"${last##*[$cut]}\"}\n"
"    IFS=$'\\n'\n"
"    COMPREPLY=($(\"$1\" __complete \"${words[@]:1}\" 2>/dev/null))\n"
"    if [[ ${COMPREPLY[0]} == :file ]]; then\n"
"        compopt -o filenames 2>/dev/null\n"
"        COMPREPLY=($(compgen -f -- \"$2\"))\n"
"        return\n"
"    fi\n"
"    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]]; then\n"
"        compopt -o nospace 2>/dev/null\n"
"    fi\n"
"    COMPREPLY=(\"${COMPREPLY[@]#\"$cut\"}\")\n"
"}\n"
"complete -F _grapnelctl grapnelctl\n";

enum ctl_exit
ctl_complete_script(struct ctl *ctl)
{
    if (strcmp(ctl->operands[0], "bash")) {
        return ctl_output_error(ctl->out, CTL_USAGE, "usage",
                                "there is one for bash",
                                "completion: \"%s\" is not a shell that has "
                                "one", ctl->operands[0]);
    }
    if (ctl->json) {
        struct json *json = json_object_create();

        json_object_put_string(json, "script", bash_script);
        ctl_output_json(ctl->out, json);
        json_destroy(json);
    } else {
        ctl_output_text(ctl->out, bash_script);
    }
    return CTL_OK;
}

/* What is being completed. */
struct completion {
    struct ctl *ctl;
    const char *prefix;         /* What the candidates must begin with. */
    const char *lead;           /* Printed before each candidate. */
    const char *words[CTL_MAX_ARGS]; /* Noun, verb, operands so far. */
    size_t n_words;
};

/* Prints 'candidate' (and 'tail' after it) if it fits and cannot be
 * anything to the shell but a word. */
static void
offer(const struct completion *c, const char *candidate, const char *tail)
{
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        "abcdefghijklmnopqrstuvwxyz0123456789._/-";
    char *line;

    if (strncmp(candidate, c->prefix, strlen(c->prefix))
        || strspn(candidate, safe) != strlen(candidate)) {
        return;
    }
    line = xasprintf("%s%s%s\n", c->lead, candidate, tail);
    ctl_output_text(c->ctl->out, line);
    free(line);
}

/* What of a list can begin with 'prefix', part of an id: a large mapping must
 * not be asked for whole.  NULL if nothing can. */
static struct json *
live_filter(const char *kind, const char *prefix)
{
    struct json *filter = json_object_create();
    const char *group = strchr(prefix, '/');
    const char *slash = group ? strchr(group + 1, '/') : NULL;
    long long vni;

    json_object_put_string(filter, "kind", kind);
    if (group && strcmp(kind, "host") && strcmp(kind, "gateway")) {
        char *text = xmemdup0(prefix, group - prefix);
        bool ok = (ctl_number_is_digits(text, '\0')
                   && str_to_llong(text, 10, &vni));

        free(text);
        if (!ok) {
            json_destroy(filter);
            return NULL;
        }
        json_object_put(filter, "vni", json_integer_create(vni));
    }
    if (slash && (!strcmp(kind, "endpoint") || !strcmp(kind, "lease"))) {
        json_object_put(filter, *kind == 'e' ? "group" : "pool",
                        json_string_create_nocopy(
                            xmemdup0(group + 1, slash - group - 1)));
    }
    return filter;
}

/* Offers the ids of what mapd has of 'kind'. */
static void
offer_live(const struct completion *c, const char *kind, const char *tail)
{
    struct json *filter = live_filter(kind, c->prefix);
    struct ctl *ctl = c->ctl;
    struct json *result, *error;
    struct json *const *items;
    size_t n;

    if (!filter) {
        return;
    }
    if (!ctl_client_is_remote(ctl->remote)
        || (!ctl->client
            && (ctl_trust_use(ctl, NULL)
                || ctl_client_open(ctl->remote, COMPLETE_TIMEOUT_MS,
                                   &ctl->client)))) {
        json_destroy(filter);
        return;
    }
    if (ctl_client_call(ctl->client, "list", json_array_create_1(filter),
                        COMPLETE_TIMEOUT_MS, &result, &error)) {
        return;
    }
    items = ctl_record_array(result, "items", &n);
    for (size_t i = 0; i < n; i++) {
        char *id = ctl_record_id(ctl_record_get(items[i], "record"));

        offer(c, id, tail);
        free(id);
    }
    json_destroy(result);
    json_destroy(error);
}

/* The group comes first, as a folder does before its files. */
static void
offer_endpoints(const struct completion *c)
{
    const char *slash = strchr(c->prefix, '/');

    if (slash && strchr(slash + 1, '/')) {
        offer_live(c, "endpoint", "");
    } else {
        offer_live(c, "group", "/");
    }
}

static void
offer_values(const struct completion *c, enum ctl_option_id id)
{
    const char *choices = ctl_options[id].choices;
    char *copy, *save = NULL;

    if (!choices) {
        return;
    }
    if (choices[0] == '@') {
        offer_live(c, choices + 1, "");
        return;
    }
    copy = xstrdup(choices);
    for (char *word = strtok_r(copy, " ", &save); word;
         word = strtok_r(NULL, " ", &save)) {
        offer(c, word, "");
    }
    free(copy);
}

static void
offer_options(const struct completion *c)
{
    size_t n_used;
    const struct ctl_verb *verb = ctl_verbs_find(c->words, c->n_words,
                                                 &n_used);
    ctl_options_set options = CTL_GLOBAL_OPTIONS | (verb ? verb->options : 0);

    for (size_t id = 0; id < N_CTL_OPTIONS; id++) {
        if (options & CTL_BIT(id)) {
            char *name = xasprintf("--%s", ctl_options[id].name);

            offer(c, name, "");
            free(name);
        }
    }
}

/* The verb 'v' if it is one of 'noun'; or the second word of its noun, unless
 * that is '*previous'. */
static void
offer_of_noun(const struct completion *c, const struct ctl_verb *v,
              const char *noun, const char **previous)
{
    size_t length = strlen(noun);

    if (v->noun && !strcmp(v->noun, noun)) {
        offer(c, v->name, "");
    } else if (v->noun && !strncmp(v->noun, noun, length)
               && v->noun[length] == ' ' && strcmp(v->noun, *previous)) {
        offer(c, v->noun + length + 1, "");
        *previous = v->noun;
    }
}

/* Nouns and verbs without one; or the verbs of 'noun'. */
static void
offer_verbs(const struct completion *c, const char *noun)
{
    const char *previous = "";

    for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
        if (noun) {
            offer_of_noun(c, v, noun, &previous);
        } else if (!v->noun) {
            offer(c, v->name, "");
        } else if (strcmp(v->noun, previous)) {
            offer(c, v->noun, "");
            previous = v->noun;
        }
    }
}

static void
offer_operands(const struct completion *c, const struct ctl_verb *verb,
               size_t n_operands)
{
    if (!strcmp(verb->name, "help")) {
        offer_verbs(c, n_operands ? c->words[1] : NULL);
    } else if (n_operands >= verb->max_operands) {
        return;
    } else if (!strcmp(verb->name, "load") || !strcmp(verb->name, "diff")) {
        ctl_output_text(c->ctl->out, ":file\n");
    } else if (!strcmp(verb->name, "completion")) {
        offer(c, "bash", "");
    } else if (!strcmp(verb->name, "trace")) {
        if (n_operands == 1) {
            offer_values(c, CTL_PROTOCOL);
        }
    } else if (!strcmp(verb->name, "check")) {
        offer_live(c, "group", "");
    } else if (verb->noun && !strcmp(verb->name, "list")) {
        offer_live(c, strcmp(ctl_verbs_kind(verb), "lease") ? "group" : "pool",
                   "");
    } else if (!strcmp(verb->name, "allocate")) {
        offer_live(c, "pool", "");
    } else if (verb->noun && !strcmp(verb->noun, "endpoint")
               && strcmp(verb->name, "add")) {
        offer_endpoints(c);
    } else if (verb->noun && strcmp(verb->name, "add")) {
        offer_live(c, ctl_verbs_kind(verb), "");
    } else if (verb->noun && !strcmp(verb->noun, "endpoint")) {
        offer_live(c, "group", "/");
    }
}

/* Takes in a word before the one to complete.  Returns the option whose
 * value comes next, or N_CTL_OPTIONS. */
static enum ctl_option_id
take_word(struct completion *c, const char *word, enum ctl_option_id pending)
{
    enum ctl_option_id id;

    if (pending != N_CTL_OPTIONS) {
        if (pending == CTL_MAPD) {
            c->ctl->remote = word;
        }
        return N_CTL_OPTIONS;
    }
    if (word[0] != '-' || word[1] != '-') {
        if (c->n_words < CTL_MAX_ARGS) {
            c->words[c->n_words++] = word;
        }
        return N_CTL_OPTIONS;
    }

    id = ctl_options_find(word + 2, strcspn(word + 2, "="));
    if (strchr(word, '=')) {
        if (id == CTL_MAPD) {
            c->ctl->remote = strchr(word, '=') + 1;
        }
        return N_CTL_OPTIONS;
    }
    return (id != N_CTL_OPTIONS && ctl_options_takes_word(id)
            ? id : N_CTL_OPTIONS);
}

/* Completes "--option=value" in one word. */
static void
complete_assignment(struct completion *c, const char *word)
{
    size_t length = strcspn(word + 2, "=");
    enum ctl_option_id id = ctl_options_find(word + 2, length);
    char *lead;

    if (id == N_CTL_OPTIONS) {
        return;
    }
    lead = xmemdup0(word, 2 + length + 1);
    c->lead = lead;
    c->prefix = word + 2 + length + 1;
    offer_values(c, id);
    free(lead);
}

void
ctl_complete_words(struct ctl *ctl, const char *const words[], size_t n)
{
    const char *word = n ? words[n - 1] : "";
    struct completion c = {.ctl = ctl, .lead = "", .prefix = word};
    enum ctl_option_id pending = N_CTL_OPTIONS;
    const struct ctl_verb *verb;
    size_t n_used;

    for (size_t i = 0; i + 1 < n; i++) {
        pending = take_word(&c, words[i], pending);
    }
    c.n_words = ctl_verbs_join(c.words, c.n_words);
    if (pending != N_CTL_OPTIONS) {
        offer_values(&c, pending);
    } else if (word[0] == '-' && strchr(word, '=')) {
        complete_assignment(&c, word);
    } else if (word[0] == '-') {
        offer_options(&c);
    } else if ((verb = ctl_verbs_find(c.words, c.n_words, &n_used))) {
        offer_operands(&c, verb, c.n_words - n_used);
    } else if (!c.n_words) {
        offer_verbs(&c, NULL);
    } else if (c.n_words == 1) {
        offer_verbs(&c, c.words[0]);
    }
}
