#include <config.h>
#include "mapping/report.h"

#include <stdlib.h>
#include <string.h>

#include "anycast/group.h"
#include "mapping/json-members.h"
#include "openvswitch/json.h"
#include "util.h"

/* The elements of the rows. */
enum { GROUP, ENDPOINT, FLOWS, RESPONSE, N_LOAD };
enum { HEALTHY = 2, WHY, N_HEALTH };

static int
refuse(struct diagnosis *diag, const char *field, const struct json *json,
       const char *must)
{
    char *text = json_to_string(json, JSSF_SORT);
    int error = diagnosis_set(diag, DIAG_INVALID, field, text,
                              "%s must be %s, not %.64s", field, must, text);

    free(text);
    return error;
}

static int
read_u32(const struct json *json, const char *field, uint32_t min,
         uint32_t max, uint32_t *value, struct diagnosis *diag)
{
    struct json_member m = { .name = field, .type = JSON_INTEGER,
                             .value = json };

    return (json->type != JSON_INTEGER
            ? refuse(diag, field, json, "an integer")
            : json_members_u32(&m, min, max, value, diag));
}

/* Reads which endpoint 'row' is about, an array of 'n' elements. */
static int
read_key(const struct json *row, const char *field, size_t n,
         uint32_t *group, uint16_t *endpoint, struct diagnosis *diag)
{
    uint32_t index = 0;
    int error;

    if (row->type != JSON_ARRAY || json_array(row)->n != n) {
        return refuse(diag, field, row, n == N_LOAD ? "arrays of 4 elements"
                      : "arrays of 4 elements, the last one a string");
    }
    error = read_u32(json_array(row)->elems[GROUP], "group", 1, GROUP_MAX_ID,
                     group, diag);
    if (!error) {
        error = read_u32(json_array(row)->elems[ENDPOINT], "endpoint", 0,
                         GROUP_MAX_ENDPOINTS - 1, &index, diag);
    }
    *endpoint = index;
    return error;
}

static int
check_length(const struct json *rows, const char *field,
             struct diagnosis *diag)
{
    if (json_array(rows)->n > REPORT_MAX) {
        return diagnosis_set(diag, DIAG_INVALID, field, NULL,
                             "%s: %"PRIuSIZE" are more than %d", field,
                             json_array(rows)->n, REPORT_MAX);
    }
    return 0;
}

static int
read_load(const struct json *row, struct report_load *load,
          struct diagnosis *diag)
{
    int error = read_key(row, "loads", N_LOAD, &load->group, &load->endpoint,
                         diag);

    if (!error) {
        error = read_u32(json_array(row)->elems[FLOWS], "flows", 0,
                         UINT32_MAX, &load->flows, diag);
    }
    if (!error) {
        error = read_u32(json_array(row)->elems[RESPONSE], "response_us", 0,
                         UINT32_MAX, &load->response_us, diag);
    }
    return error;
}

int
report_loads_from_json(const struct json *json, struct report_load **loadsp,
                       size_t *np, struct diagnosis *diag)
{
    struct json_member m[] = { { .name = "loads", .type = JSON_ARRAY } };
    struct report_load *loads;
    size_t n;
    int error;

    error = json_members_take(json, "report", m, ARRAY_SIZE(m), diag);
    error = error ? error : check_length(m[0].value, "loads", diag);
    if (error) {
        return error;
    }
    n = json_array(m[0].value)->n;
    loads = xcalloc(MAX(n, 1), sizeof *loads);
    for (size_t i = 0; i < n && !error; i++) {
        error = read_load(json_array(m[0].value)->elems[i], &loads[i], diag);
    }
    if (error) {
        free(loads);
        return error;
    }
    *loadsp = loads;
    *np = n;
    return 0;
}

struct json *
report_loads_to_json(const struct report_load *loads, size_t n)
{
    struct json *json = json_object_create();
    struct json *rows = json_array_create_empty();

    for (size_t i = 0; i < n; i++) {
        struct json **row = xmalloc(N_LOAD * sizeof *row);

        row[GROUP] = json_integer_create(loads[i].group);
        row[ENDPOINT] = json_integer_create(loads[i].endpoint);
        row[FLOWS] = json_integer_create(loads[i].flows);
        row[RESPONSE] = json_integer_create(loads[i].response_us);
        json_array_add(rows, json_array_create(row, N_LOAD));
    }
    json_object_put(json, "loads", rows);
    return json;
}

bool
report_is_reason(const char *text)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            return false;
        }
    }
    return n <= REPORT_WHY_MAX;
}

static int
read_health(const struct json *row, struct report_health *health,
            struct diagnosis *diag)
{
    int error = read_key(row, "endpoints", N_HEALTH, &health->group,
                         &health->endpoint, diag);
    const struct json *healthy, *why;

    if (error) {
        return error;
    }
    healthy = json_array(row)->elems[HEALTHY];
    why = json_array(row)->elems[WHY];
    if (healthy->type != JSON_TRUE && healthy->type != JSON_FALSE) {
        return refuse(diag, "healthy", healthy, "true or false");
    }
    if (why->type != JSON_STRING || !report_is_reason(json_string(why))) {
        return refuse(diag, "why", why, "at most 63 printable characters");
    }
    health->healthy = json_boolean(healthy);
    ovs_strlcpy(health->why, json_string(why), sizeof health->why);
    return 0;
}

int
report_health_from_json(const struct json *json, bool *all,
                        struct report_health **endpointsp, size_t *np,
                        struct diagnosis *diag)
{
    struct json_member m[] = { { .name = "all", .type = JSON_TRUE },
                               { .name = "endpoints", .type = JSON_ARRAY } };
    struct report_health *endpoints;
    size_t n;
    int error;

    if (json->type == JSON_OBJECT) {
        const struct json *member = shash_find_data(json_object(json), "all");

        m[0].type = (member && member->type == JSON_FALSE
                     ? JSON_FALSE : JSON_TRUE);
    }
    error = json_members_take(json, "health", m, ARRAY_SIZE(m), diag);
    error = error ? error : check_length(m[1].value, "endpoints", diag);
    if (error) {
        return error;
    }
    n = json_array(m[1].value)->n;
    endpoints = xcalloc(MAX(n, 1), sizeof *endpoints);
    for (size_t i = 0; i < n && !error; i++) {
        error = read_health(json_array(m[1].value)->elems[i], &endpoints[i],
                            diag);
    }
    if (error) {
        free(endpoints);
        return error;
    }
    *all = json_boolean(m[0].value);
    *endpointsp = endpoints;
    *np = n;
    return 0;
}

struct json *
report_health_to_json(bool all, const struct report_health *endpoints,
                      size_t n)
{
    struct json *json = json_object_create();
    struct json *rows = json_array_create_empty();

    for (size_t i = 0; i < n; i++) {
        struct json **row = xmalloc(N_HEALTH * sizeof *row);

        row[GROUP] = json_integer_create(endpoints[i].group);
        row[ENDPOINT] = json_integer_create(endpoints[i].endpoint);
        row[HEALTHY] = json_boolean_create(endpoints[i].healthy);
        row[WHY] = json_string_create(endpoints[i].why);
        json_array_add(rows, json_array_create(row, N_HEALTH));
    }
    json_object_put(json, "all", json_boolean_create(all));
    json_object_put(json, "endpoints", rows);
    return json;
}
