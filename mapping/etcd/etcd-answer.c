#include <config.h>
#include "mapping/etcd/etcd-answer.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/base64.h"
#include "openvswitch/json.h"
#include "util.h"

enum {
    MAX_TOKEN = 4096,           /* Bytes; a signed one has some hundred. */
};

static int OVS_PRINTF_FORMAT(4, 5)
malformed(struct diagnosis *diag, const char *name, const char *value,
          const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    text = xvasprintf(format, args);
    va_end(args);
    diagnosis_set(diag, DIAG_STORE, name, value,
                  "etcd answered with %s", text);
    free(text);
    return EPROTO;
}

/* Finds member 'name' of 'json' (which may be NULL), of the given type.
 * Returns 0 and '*value', NULL if it is missing or null. */
static int
get(const struct json *json, const char *name, enum json_type type,
    const struct json **value, struct diagnosis *diag)
{
    const struct json *member = (json
                                 ? shash_find_data(json_object(json), name)
                                 : NULL);

    if (member && member->type == JSON_NULL) {
        member = NULL;
    }
    if (member && member->type != type) {
        return malformed(diag, name, json_type_to_string(member->type),
                         "a %s as \"%s\", which should be a %s",
                         json_type_to_string(member->type), name,
                         json_type_to_string(type));
    }
    *value = member;
    return 0;
}

static int
get_string(const struct json *json, const char *name, const char **value,
           struct diagnosis *diag)
{
    const struct json *member;
    int error = get(json, name, JSON_STRING, &member, diag);

    if (!error) {
        *value = member ? json_string(member) : "";
    }
    return error;
}

static int
get_bool(const struct json *json, const char *name, bool *value,
         struct diagnosis *diag)
{
    const struct json *member = shash_find_data(json_object(json), name);

    if (member && member->type != JSON_TRUE && member->type != JSON_FALSE
        && member->type != JSON_NULL) {
        return malformed(diag, name, json_type_to_string(member->type),
                         "a %s as \"%s\", which should be true or false",
                         json_type_to_string(member->type), name);
    }
    *value = member && member->type == JSON_TRUE;
    return 0;
}

/* A decimal number and nothing else, as str_to_llong() would take more. */
static bool
number_from_text(const char *text, int64_t *number)
{
    const char *digits = text + (text[0] == '-');

    return (isdigit((unsigned char) digits[0])
            && strspn(digits, "0123456789") == strlen(digits)
            && str_to_llong(text, 10, (long long *) number));
}

/* A 64-bit number, as a text or (what small ones may be, too) as it is. */
static int
get_number(const struct json *json, const char *name, int64_t min,
           int64_t max, int64_t *value, struct diagnosis *diag)
{
    const struct json *member = (json
                                 ? shash_find_data(json_object(json), name)
                                 : NULL);
    int64_t number = 0;

    if (member && member->type == JSON_INTEGER) {
        number = json_integer(member);
    } else if (member && member->type != JSON_NULL
               && (member->type != JSON_STRING
                   || !number_from_text(json_string(member), &number))) {
        return malformed(diag, name, (member->type == JSON_STRING
                                      ? json_string(member) : ""),
                         "\"%s\" that is no number", name);
    }
    if (number < min || number > max) {
        char text[32];

        snprintf(text, sizeof text, "%"PRId64, number);
        return malformed(diag, name, text, "%s %s, which should be in "
                         "%"PRId64"...%"PRId64, name, text, min, max);
    }
    *value = number;
    return 0;
}

/* Bytes that the caller owns. */
static int
get_bytes(const struct json *json, const char *name, struct etcd_bytes *bytes,
          struct diagnosis *diag)
{
    const char *text;
    uint8_t *data;
    size_t size;
    int error = get_string(json, name, &text, diag);

    if (error) {
        return error;
    }
    if (base64_decode(text, &data, &size)) {
        return malformed(diag, name, text, "\"%s\" that is not base64", name);
    }
    *bytes = (struct etcd_bytes) { data, size };
    return 0;
}

int
etcd_answer_parse(const char *text, size_t size, struct json **jsonp,
                  struct diagnosis *diag)
{
    struct json_parser *parser = json_parser_create(JSPF_TRAILER);
    struct json *json;
    int error = 0;

    json_parser_feed(parser, text, size);
    json = json_parser_finish(parser);
    if (json->type == JSON_OBJECT) {
        *jsonp = json;
        return 0;
    }
    error = malformed(diag, NULL, NULL, "what is no JSON object (%s)",
                      json->type == JSON_STRING ? json_string(json)
                      : json_type_to_string(json->type));
    json_destroy(json);
    return error;
}

static int
get_revision(const struct json *json, int64_t min, int64_t *revision,
             struct diagnosis *diag)
{
    const struct json *header;
    int error = get(json, "header", JSON_OBJECT, &header, diag);

    return (error ? error
            : get_number(header, "revision", min, INT64_MAX, revision, diag));
}

int
etcd_answer_revision(const struct json *json, int64_t *revision,
                     struct diagnosis *diag)
{
    return get_revision(json, 1, revision, diag);
}

void
etcd_answer_kv_uninit(struct etcd_kv *kv)
{
    free(CONST_CAST(void *, kv->key.data));
    free(CONST_CAST(void *, kv->value.data));
}

static int
get_kv(const struct json *json, struct etcd_kv *kvp, struct diagnosis *diag)
{
    struct etcd_kv kv = { .lease = 0 };
    int error;

    if (json->type != JSON_OBJECT) {
        return malformed(diag, "kvs", json_type_to_string(json->type),
                         "a pair that is no object");
    }
    error = get_number(json, "create_revision", 0, INT64_MAX,
                       &kv.create_revision, diag);
    error = error ? error : get_number(json, "mod_revision", 1, INT64_MAX,
                                       &kv.mod_revision, diag);
    error = error ? error : get_number(json, "lease", INT64_MIN, INT64_MAX,
                                       &kv.lease, diag);
    error = error ? error : get_bytes(json, "key", &kv.key, diag);
    error = error ? error : get_bytes(json, "value", &kv.value, diag);
    if (!error && !kv.key.size) {
        error = malformed(diag, "key", NULL, "a pair without a key");
    }
    if (error) {
        etcd_answer_kv_uninit(&kv);
        return error;
    }
    *kvp = kv;
    return 0;
}

static void
free_kvs(struct etcd_kv *kvs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        etcd_answer_kv_uninit(&kvs[i]);
    }
    free(kvs);
}

static int
get_kvs(const struct json *json, struct etcd_kv **kvsp, size_t *np,
        struct diagnosis *diag)
{
    const struct json *array;
    struct etcd_kv *kvs;
    int error = get(json, "kvs", JSON_ARRAY, &array, diag);
    size_t n = !error && array ? json_array(array)->n : 0;

    kvs = n ? xmalloc(n * sizeof *kvs) : NULL;
    for (size_t i = 0; !error && i < n; i++) {
        error = get_kv(json_array(array)->elems[i], &kvs[i], diag);
        if (error) {
            free_kvs(kvs, i);
        }
    }
    if (!error) {
        *kvsp = kvs;
        *np = n;
    }
    return error;
}

static void
append_kvs(struct etcd_kvs *kvs, struct etcd_kv *more, size_t n)
{
    if (!kvs->n) {
        free(kvs->kvs);
        kvs->kvs = more;
    } else if (n) {
        kvs->kvs = xrealloc(kvs->kvs, (kvs->n + n) * sizeof *kvs->kvs);
        memcpy(kvs->kvs + kvs->n, more, n * sizeof *more);
        free(more);
    }
    kvs->n += n;
}

int
etcd_answer_range(const struct json *json, struct etcd_kvs *kvs, bool *more,
                  int64_t *revision, struct diagnosis *diag)
{
    struct etcd_kv *page;
    int64_t revision_;
    bool more_;
    size_t n;
    int error = etcd_answer_revision(json, &revision_, diag);

    error = error ? error : get_bool(json, "more", &more_, diag);
    error = error ? error : get_kvs(json, &page, &n, diag);
    if (error) {
        return error;
    }
    if (more_ && !n) {
        return malformed(diag, "more", "true", "an empty page with \"more\"");
    }
    append_kvs(kvs, page, n);
    *more = more_;
    *revision = revision_;
    return 0;
}

int
etcd_answer_txn(const struct json *json, bool *succeeded, int64_t *revision,
                struct diagnosis *diag)
{
    int64_t revision_;
    int error = etcd_answer_revision(json, &revision_, diag);

    error = error ? error : get_bool(json, "succeeded", succeeded, diag);
    if (!error) {
        *revision = revision_;
    }
    return error;
}

int
etcd_answer_grant(const struct json *json, int64_t *id, int *ttl_s,
                  struct diagnosis *diag)
{
    int64_t id_, ttl;
    int error = get_number(json, "ID", INT64_MIN, INT64_MAX, &id_, diag);

    error = error ? error : get_number(json, "TTL", 1, INT_MAX / 1000, &ttl,
                                       diag);
    if (!error && !id_) {
        error = malformed(diag, "ID", "0", "a lease without a number");
    }
    if (!error) {
        *id = id_;
        *ttl_s = ttl;
    }
    return error;
}

int
etcd_answer_keepalive(const struct json *json, int *ttl_s,
                      struct diagnosis *diag)
{
    const struct json *result;
    int64_t ttl;
    int error = get(json, "result", JSON_OBJECT, &result, diag);

    if (!error && !result) {
        error = malformed(diag, "result", NULL, "no \"result\"");
    }
    error = error ? error : get_number(result, "TTL", 0, INT_MAX / 1000, &ttl,
                                       diag);
    if (!error) {
        *ttl_s = ttl;
    }
    return error;
}

int
etcd_answer_token(const struct json *json, char **token,
                  struct diagnosis *diag)
{
    const char *text;
    int error = get_string(json, "token", &text, diag);

    if (error) {
        return error;
    }
    if (!text[0] || strlen(text) > MAX_TOKEN) {
        return malformed(diag, "token", NULL, "no usable token");
    }
    for (const char *p = text; *p; p++) {
        if (!isgraph((unsigned char) *p)) {
            return malformed(diag, "token", NULL,
                             "a token of other than printable characters");
        }
    }
    *token = xstrdup(text);
    return 0;
}

static int
get_event(const struct json *json, struct etcd_event *event,
          struct diagnosis *diag)
{
    const struct json *kv;
    const char *type;
    int error;

    if (json->type != JSON_OBJECT) {
        return malformed(diag, "events", json_type_to_string(json->type),
                         "an event that is no object");
    }
    error = get_string(json, "type", &type, diag);
    error = error ? error : get(json, "kv", JSON_OBJECT, &kv, diag);
    if (error) {
        return error;
    }
    if (type[0] && strcmp(type, "PUT") && strcmp(type, "DELETE")) {
        return malformed(diag, "type", type, "an event of type \"%s\"", type);
    }
    if (!kv) {
        return malformed(diag, "kv", NULL, "an event without \"kv\"");
    }
    event->deleted = type[0] == 'D';
    return get_kv(kv, &event->kv, diag);
}

/* Fills in the events of 'w', as far as they are right. */
static int
get_events(const struct json *array, struct etcd_answer_watch *w,
           struct diagnosis *diag)
{
    size_t n = json_array(array)->n;

    w->events = xmalloc(n * sizeof *w->events);
    for (size_t i = 0; i < n; i++) {
        struct etcd_event *event = &w->events[i];
        int error = get_event(json_array(array)->elems[i], event, diag);

        if (error) {
            return error;
        }
        w->n_events++;
        if (i && event->kv.mod_revision < event[-1].kv.mod_revision) {
            return malformed(diag, "mod_revision", NULL,
                             "events that are not sorted by revision");
        }
    }
    return 0;
}

static int
get_watch(const struct json *result, struct etcd_answer_watch *w,
          struct diagnosis *diag)
{
    const struct json *events;
    const char *reason;
    int error = get_revision(result, 0, &w->revision, diag);

    error = error ? error : get_bool(result, "created", &w->created, diag);
    error = error ? error : get_bool(result, "canceled", &w->canceled, diag);
    error = error ? error : get_bool(result, "fragment", &w->fragment, diag);
    error = error ? error : get_number(result, "compact_revision", 0,
                                       INT64_MAX, &w->compact_revision, diag);
    error = error ? error : get_string(result, "cancel_reason", &reason,
                                       diag);
    error = error ? error : get(result, "events", JSON_ARRAY, &events, diag);
    if (!error) {
        ovs_strlcpy(w->reason, reason, sizeof w->reason);
    }
    return error || !events ? error : get_events(events, w, diag);
}

int
etcd_answer_watch(const struct json *json, struct etcd_answer_watch *watch,
                  struct diagnosis *diag)
{
    struct etcd_answer_watch w = { .n_events = 0 };
    const struct json *result;
    int error = get(json, "result", JSON_OBJECT, &result, diag);

    if (!error && !result) {
        error = malformed(diag, "result", NULL, "no \"result\"");
    }
    error = error ? error : get_watch(result, &w, diag);
    if (error) {
        etcd_answer_watch_uninit(&w);
    } else {
        *watch = w;
    }
    return error;
}

void
etcd_answer_watch_uninit(struct etcd_answer_watch *w)
{
    for (size_t i = 0; i < w->n_events; i++) {
        etcd_answer_kv_uninit(&w->events[i].kv);
    }
    free(w->events);
    w->events = NULL;
    w->n_events = 0;
}

/* The first of 'names' that 'json' has as an integer, or 0. */
static int
find_code(const struct json *json)
{
    static const char *const names[] = { "code", "grpc_code" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const struct json *code = shash_find_data(json_object(json),
                                                  names[i]);

        if (code && code->type == JSON_INTEGER
            && code->integer > 0 && code->integer <= INT_MAX) {
            return code->integer;
        }
    }
    return 0;
}

bool
etcd_answer_refusal(const struct json *json, int *code, char *text,
                    size_t size)
{
    const struct json *error = shash_find_data(json_object(json), "error");
    const struct json *body = (error && error->type == JSON_OBJECT ? error
                               : json);
    const struct json *message = shash_find_data(json_object(body),
                                                 "message");

    if (!error && !find_code(json)) {
        return false;
    }
    if (!message || message->type != JSON_STRING) {
        message = error;
    }
    *code = find_code(body);
    ovs_strlcpy(text, (message && message->type == JSON_STRING
                       ? json_string(message) : "an unknown error"), size);
    return true;
}
