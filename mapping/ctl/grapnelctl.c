/* grapnelctl: the admin CLI of the mapping service.  See ctl.h. */

#include <config.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dirs.h"
#include "mapping/ctl/ctl-client.h"
#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "util.h"

/* A socket must not become standard output because that was closed.  Opened
 * for reading, so that writing still fails. */
static void
fill_standard_fds(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            ignore(open("/dev/null", O_RDONLY));
        }
    }
}

/* The parser may fail before it gets to --json, and the error should be
 * JSON all the same. */
static bool
wants_json(int argc, char *argv[])
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        if (!strcmp(argv[i], "--json")) {
            return true;
        }
    }
    return false;
}

#define SERVICE_SOCKET CTL_SERVICE_RUNDIR "/grapnel-mapd.sock"

static char *
default_remote(void)
{
    const char *remote = getenv("GRAPNEL_MAPD");
    char *socket;

    if (remote && *remote) {
        return xstrdup(remote);
    }
    socket = xasprintf("unix:%s/grapnel-mapd.sock", ovs_rundir());
    if (access(socket + strlen("unix:"), F_OK)
        && !access(SERVICE_SOCKET, F_OK)) {
        free(socket);
        socket = xstrdup("unix:" SERVICE_SOCKET);
    }
    return socket;
}

static enum ctl_exit
unknown_verb(struct ctl *ctl)
{
    const char *const *words = ctl->args.words;
    bool noun = ctl_verbs_is_noun(words[0]);
    const char *word = words[noun];
    struct ctl_guess guess = {NULL, 0};
    char hint[128];

    for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
        if (noun && v->noun && !strcmp(v->noun, words[0])) {
            ctl_options_guess(&guess, word, v->name);
        } else if (!noun) {
            ctl_options_guess(&guess, word, v->noun ? v->noun : v->name);
        }
    }
    if (!noun && ctl->args.n_words > 1 && ctl_verbs_is_noun(words[1])) {
        snprintf(hint, sizeof hint, "did you mean '%s %s'?", words[1],
                 words[0]);
    } else if (guess.best) {
        snprintf(hint, sizeof hint, "did you mean '%s%s%s'?",
                 noun ? words[0] : "", noun ? " " : "", guess.best);
    } else {
        snprintf(hint, sizeof hint, "see 'grapnelctl help%s%s'",
                 noun ? " " : "", noun ? words[0] : "");
    }
    return (noun
            ? ctl_output_error(ctl->out, CTL_USAGE, "usage", hint,
                               "%s has no verb \"%s\"", words[0], word)
            : ctl_output_error(ctl->out, CTL_USAGE, "usage", hint,
                               "there is no noun or verb \"%s\"", word));
}

/* Members that `set` does not take, but `add` does, never change. */
static enum ctl_exit
refuse_option(struct ctl *ctl, enum ctl_option_id id, const char *name,
              const char *hint)
{
    const char *words[] = {ctl->verb->noun, "add"};
    const char *option = ctl_options[id].name;
    const struct ctl_verb *add;
    size_t n_used;

    if (ctl->verb->noun && !strcmp(ctl->verb->name, "set")
        && CTL_MEMBER_OPTIONS & CTL_BIT(id)) {
        add = ctl_verbs_find(words, ARRAY_SIZE(words), &n_used);
        if (add && add->options & CTL_BIT(id)) {
            return ctl_output_error(ctl->out, CTL_USAGE, "usage",
                                    "remove it and add it again, or add "
                                    "another one", "%s: %s is fixed when the "
                                    "%s is made", name, option,
                                    ctl->verb->noun);
        }
    }
    return ctl_output_error(ctl->out, CTL_USAGE, "usage", hint,
                            "%s has no option --%s", name, option);
}

/* "grapnelctl group add VNI/NAME --address ADDRESS": the least that works, and
 * where to read on. */
static char *
make_hint(const struct ctl_verb *verb, const char *name)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, "grapnelctl %s%s%s", name, *verb->operands ? " " : "",
                  verb->operands);
    for (size_t id = 0; id < N_CTL_OPTIONS; id++) {
        if (verb->required & CTL_BIT(id)) {
            ds_put_format(&ds, " --%s %s", ctl_options[id].name,
                          ctl_options[id].metavar);
        }
    }
    ds_put_format(&ds, "; more with 'grapnelctl help %s'", name);
    return ds_steal_cstr(&ds);
}

static enum ctl_exit
refuse_operand(struct ctl *ctl, const char *name, const char *hint)
{
    const char *operand = ctl->operands[ctl->verb->max_operands];
    char vni[64];

    if (ctl->verb->options & CTL_BIT(CTL_VNI)
        && operand[strspn(operand, "0123456789")] == '\0') {
        snprintf(vni, sizeof vni, "did you mean --vni %.16s?", operand);
        hint = vni;
    }
    return ctl_output_error(ctl->out, CTL_USAGE, "usage", hint,
                            "%s does not know what to do with \"%s\"", name,
                            operand);
}

/* Checks that the verb takes what was given and was given what it needs. */
static enum ctl_exit
check_form(struct ctl *ctl, const char *name, const char *hint)
{
    const struct ctl_verb *verb = ctl->verb;

    if (ctl->n_operands < verb->min_operands) {
        return ctl_output_error(ctl->out, CTL_USAGE, "usage", hint,
                                "%s needs %s", name, verb->operands);
    }
    if (ctl->n_operands > verb->max_operands) {
        return refuse_operand(ctl, name, hint);
    }
    for (size_t id = 0; id < N_CTL_OPTIONS; id++) {
        bool given = ctl->args.values[id];

        if (given && !((verb->options | CTL_GLOBAL_OPTIONS) & CTL_BIT(id))) {
            return refuse_option(ctl, id, name, hint);
        }
        if (!given && verb->required & CTL_BIT(id)) {
            return ctl_output_error(ctl->out, CTL_USAGE, "usage", hint,
                                    "%s needs --%s %s", name,
                                    ctl_options[id].name,
                                    ctl_options[id].metavar);
        }
    }
    return CTL_OK;
}

static enum ctl_exit
check_usage(struct ctl *ctl)
{
    const struct ctl_verb *verb = ctl->verb;
    enum ctl_exit status;
    char name[64], *hint;

    snprintf(name, sizeof name, "%s%s%s", verb->noun ? verb->noun : "",
             verb->noun ? " " : "", verb->name);
    hint = make_hint(verb, name);
    status = check_form(ctl, name, hint);
    free(hint);
    if (status) {
        return status;
    }
    if (!ctl_client_is_remote(ctl->remote)) {
        return ctl_output_error(ctl->out, CTL_USAGE, "usage",
                                "say with --mapd or GRAPNEL_MAPD where it "
                                "listens", "mapd: \"%s\" is neither "
                                "unix:PATH, ssl:IP[:PORT] nor tcp:IP[:PORT]",
                                ctl->remote);
    }
    return ctl_options_check(ctl->out, &ctl->args);
}

static void
print_version(struct ctl *ctl)
{
    if (ctl->json) {
        struct json *json = json_object_create();

        json_object_put_string(json, "version", GRAPNEL_VERSION);
        ctl_output_json(ctl->out, json);
        json_destroy(json);
    } else {
        ctl_output_line(ctl->out, CTL_PLAIN, "grapnelctl %s",
                        GRAPNEL_VERSION);
    }
}

/* Does what the parsed arguments say. */
static enum ctl_exit
run(struct ctl *ctl)
{
    const struct ctl_args *args = &ctl->args;
    enum ctl_exit status;
    size_t n_used = 0;

    if (args->values[CTL_VERSION]) {
        print_version(ctl);
        return CTL_OK;
    }

    ctl->args.n_words = ctl_verbs_join(ctl->args.words, ctl->args.n_words);
    ctl->verb = ctl_verbs_find(args->words, args->n_words, &n_used);
    if (ctl->verb && args->values[CTL_HELP]) {
        ctl_help_print(ctl->out, ctl->json, ctl->verb, NULL);
        return CTL_OK;
    }
    if (!ctl->verb && args->n_words == ctl_verbs_is_noun(args->words[0]
                                                         ? args->words[0]
                                                         : "")) {
        if (args->values[CTL_HELP]) {
            ctl_help_print(ctl->out, ctl->json, NULL, args->words[0]);
            return CTL_OK;
        }
        return ctl_output_error(ctl->out, CTL_USAGE, "usage",
                                "see 'grapnelctl help'", "%s%sa verb is "
                                "needed", args->n_words ? args->words[0] : "",
                                args->n_words ? ": " : "");
    }
    if (!ctl->verb) {
        return unknown_verb(ctl);
    }

    ctl->operands = &args->words[n_used];
    ctl->n_operands = args->n_words - n_used;
    status = check_usage(ctl);
    if (!status) {
        ctl_output_set_verb(ctl->out, ctl->verb->noun, ctl->verb->name);
        status = ctl->verb->run(ctl);
    }
    return status;
}

static enum ctl_exit
parse_and_run(struct ctl *ctl, int argc, char *argv[])
{
    struct ctl_options_error error;

    if (!ctl_options_parse(argc, argv, &ctl->args, &error)) {
        return ctl_output_error(ctl->out, CTL_USAGE, "usage", error.hint,
                                "%s", error.message);
    }
    if (ctl->args.values[CTL_MAPD]) {
        ctl->remote = ctl->args.values[CTL_MAPD];
    }
    return run(ctl);
}

int
main(int argc, char *argv[])
{
    struct ctl ctl = {.json = wants_json(argc, argv)};
    enum ctl_exit status = CTL_OK;
    char *remote;

    fill_standard_fds();
    signal(SIGPIPE, SIG_IGN);
    set_program_name("grapnelctl");

    /* Failures are told once, in our words. */
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);

    remote = default_remote();
    ctl.remote = remote;
    ctl.out = ctl_output_create(ctl.json);
    if (argc > 1 && !strcmp(argv[1], "__complete")) {
        ctl_complete_words(&ctl, (const char *const *) argv + 2, argc - 2);
    } else {
        status = parse_and_run(&ctl, argc, argv);
    }
    ctl_client_close(ctl.client);
    status = ctl_output_close(ctl.out, status);
    free(remote);
    return status;
}
