#include <config.h>

#include <string.h>

#include "mapping/ctl/ctl-options.h"
#include "openvswitch/json.h"
#include "util.h"

static struct json *
option_to_json(enum ctl_option_id id, const struct ctl_verb *verb)
{
    const struct ctl_option *o = &ctl_options[id];
    struct json *json = json_object_create();

    json_object_put_string(json, "name", o->name);
    if (o->metavar) {
        json_object_put_string(json, "value", o->metavar);
        json_object_put(json, "value_optional", json_boolean_create(
                            o->value == CTL_MAYBE_SECONDS));
    }
    if (verb) {
        json_object_put(json, "required", json_boolean_create(
                            verb->required & CTL_BIT(id)));
    }
    json_object_put_string(json, "help", o->help);
    return json;
}

static struct json *
options_to_json(ctl_options_set options, const struct ctl_verb *verb)
{
    struct json *array = json_array_create_empty();

    for (size_t id = 0; id < N_CTL_OPTIONS; id++) {
        if (options & CTL_BIT(id)) {
            json_array_add(array, option_to_json(id, verb));
        }
    }
    return array;
}

static struct json *
verb_to_json(const struct ctl_verb *v)
{
    struct json *json = json_object_create();

    if (v->noun) {
        json_object_put_string(json, "noun", v->noun);
    }
    json_object_put_string(json, "verb", v->name);
    json_object_put_string(json, "operands", v->operands);
    json_object_put(json, "options", options_to_json(v->options, v));
    json_object_put_string(json, "help", v->help);
    return json;
}

struct json *
ctl_help_json(const struct ctl_verb *verb, const char *noun)
{
    struct json *json = json_object_create();
    struct json *verbs = json_array_create_empty();

    for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
        if (verb ? v == verb
            : !noun || (v->noun && !strcmp(v->noun, noun))) {
            json_array_add(verbs, verb_to_json(v));
        }
    }
    json_object_put(json, "verbs", verbs);
    json_object_put(json, "options", options_to_json(CTL_GLOBAL_OPTIONS,
                                                     NULL));
    return json;
}
