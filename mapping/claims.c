#include <config.h>
#include "mapping/claims.h"

#include <stdlib.h>
#include <string.h>

#include "mapping/json-members.h"
#include "openvswitch/json.h"
#include "packets.h"
#include "util.h"

/* The elements of a row of "here". */
enum { IFACE, MAC, AGE, N_CLAIM };

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
read_iface(const struct json *json, const char *field, record_iface iface,
           struct diagnosis *diag)
{
    if (json->type != JSON_STRING || !record_is_iface(json_string(json))) {
        return refuse(diag, field, json, "ids of ports");
    }
    ovs_strlcpy(iface, json_string(json), sizeof(record_iface));
    return 0;
}

static int
read_mac(const struct json *json, struct mac *mac, struct diagnosis *diag)
{
    const char *text = json->type == JSON_STRING ? json_string(json) : "?";
    struct eth_addr ea = eth_addr_zero;

    if (*text && (!eth_addr_from_string(text, &ea) || eth_addr_is_zero(ea)
                  || eth_addr_is_multicast(ea))) {
        return refuse(diag, "mac", json, "a unicast Ethernet address or \"\"");
    }
    memcpy(mac, &ea, sizeof *mac);
    return 0;
}

static int
read_claim(const struct json *row, struct claim *claim,
           struct diagnosis *diag)
{
    struct json_member age = { .name = "age_ms", .type = JSON_INTEGER };
    int error;

    if (row->type != JSON_ARRAY || json_array(row)->n != N_CLAIM
        || json_array(row)->elems[AGE]->type != JSON_INTEGER) {
        return refuse(diag, "here", row, "arrays of 3 elements, the last one "
                      "an integer");
    }
    error = read_iface(json_array(row)->elems[IFACE], "here", claim->iface,
                       diag);
    if (!error) {
        error = read_mac(json_array(row)->elems[MAC], &claim->mac, diag);
    }
    age.value = json_array(row)->elems[AGE];
    return error ? error : json_members_u32(&age, 0, CLAIMS_LONG_AGO,
                                            &claim->age_ms, diag);
}

static int
check_length(const struct json *rows, const char *field,
             struct diagnosis *diag)
{
    if (json_array(rows)->n > CLAIMS_MAX) {
        return diagnosis_set(diag, DIAG_INVALID, field, NULL,
                             "%s: %"PRIuSIZE" are more than %d", field,
                             json_array(rows)->n, CLAIMS_MAX);
    }
    return 0;
}

static int
read_here(const struct json *rows, struct claims *claims,
          struct diagnosis *diag)
{
    int error = check_length(rows, "here", diag);

    claims->n_here = error ? 0 : json_array(rows)->n;
    claims->here = xcalloc(claims->n_here + 1, sizeof *claims->here);
    for (size_t i = 0; i < claims->n_here && !error; i++) {
        error = read_claim(json_array(rows)->elems[i], &claims->here[i],
                           diag);
    }
    return error;
}

static int
read_gone(const struct json *rows, struct claims *claims,
          struct diagnosis *diag)
{
    int error = check_length(rows, "gone", diag);

    claims->n_gone = error ? 0 : json_array(rows)->n;
    claims->gone = xcalloc(claims->n_gone + 1, sizeof *claims->gone);
    for (size_t i = 0; i < claims->n_gone && !error; i++) {
        error = read_iface(json_array(rows)->elems[i], "gone",
                           claims->gone[i], diag);
    }
    return error;
}

static int
read_host(const struct json *json, struct claims *claims,
          struct diagnosis *diag)
{
    if (!record_is_name(json_string(json))) {
        return refuse(diag, "host", json, "a name");
    }
    ovs_strlcpy(claims->host, json_string(json), sizeof claims->host);
    return 0;
}

int
claims_from_json(const struct json *json, struct claims *claims,
                 struct diagnosis *diag)
{
    struct json_member m[] = { { .name = "host", .type = JSON_STRING },
                               { .name = "all", .type = JSON_TRUE },
                               { .name = "here", .type = JSON_ARRAY },
                               { .name = "gone", .type = JSON_ARRAY } };
    struct claims new = { .all = false };
    int error;

    if (json->type == JSON_OBJECT) {
        const struct json *all = shash_find_data(json_object(json), "all");

        m[1].type = all && all->type == JSON_FALSE ? JSON_FALSE : JSON_TRUE;
    }
    error = json_members_take(json, "claim", m, ARRAY_SIZE(m), diag);
    if (!error) {
        new.all = json_boolean(m[1].value);
        error = read_host(m[0].value, &new, diag);
    }
    if (!error) {
        error = read_here(m[2].value, &new, diag);
    }
    if (!error) {
        error = read_gone(m[3].value, &new, diag);
    }
    if (error) {
        claims_uninit(&new);
        return error;
    }
    *claims = new;
    return 0;
}

void
claims_uninit(struct claims *claims)
{
    free(claims->here);
    free(claims->gone);
    memset(claims, 0, sizeof *claims);
}

static struct json *
mac_to_json(const struct mac *mac)
{
    struct eth_addr ea;

    memcpy(&ea, mac, sizeof ea);
    return (eth_addr_is_zero(ea) ? json_string_create("")
            : json_string_create_nocopy(xasprintf(ETH_ADDR_FMT,
                                                  ETH_ADDR_ARGS(ea))));
}

struct json *
claims_to_json(const struct claims *claims)
{
    struct json *json = json_object_create();
    struct json *here = json_array_create_empty();
    struct json *gone = json_array_create_empty();

    ovs_assert(claims->n_here <= CLAIMS_MAX && claims->n_gone <= CLAIMS_MAX);
    for (size_t i = 0; i < claims->n_here; i++) {
        const struct claim *claim = &claims->here[i];

        json_array_add(here, json_array_create_3(
                           json_string_create(claim->iface),
                           mac_to_json(&claim->mac),
                           json_integer_create(claim->age_ms)));
    }
    for (size_t i = 0; i < claims->n_gone; i++) {
        json_array_add(gone, json_string_create(claims->gone[i]));
    }
    json_object_put_string(json, "host", claims->host);
    json_object_put(json, "all", json_boolean_create(claims->all));
    json_object_put(json, "here", here);
    json_object_put(json, "gone", gone);
    return json;
}
