/* Records as JSON from anybody: the one door through which they come, from
 * the network, the store and files. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/record.h"
#include "openvswitch/json.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(X) do { if (!(X)) { __builtin_trap(); } } while (0)

/* What was understood is understood alike after another trip. */
static void
round_trip(const struct record *record)
{
    struct json *json = record_to_json(record);
    struct json *key_json = record_key_to_json(record);
    char key[RECORD_KEY_SIZE], key_again[RECORD_KEY_SIZE];
    struct record again, part;

    CHECK(!record_from_json(json, &again, NULL));
    CHECK(record_equal(record, &again));
    CHECK(!record_update_from_json(json, &again, NULL));
    CHECK(record_equal(record, &again));
    CHECK(!record_part_from_json(json, &part, NULL));
    CHECK(!record_key_from_json(key_json, &again, NULL));
    CHECK(!record_compare_keys(record, &again));
    record_format_key(record, key);
    record_format_key(&again, key_again);
    CHECK(!strcmp(key, key_again));
    CHECK(record_vni(record) == record_vni(&again));
    json_destroy(key_json);
    json_destroy(json);
}

static void
check_refusal(const struct diagnosis *diag)
{
    struct json *json = diagnosis_to_json(diag);

    CHECK(diag->code != DIAG_NONE && *diag->message);
    json_destroy(json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xmemdup0((const char *) data, size);
    struct json *json = json_from_string(text);
    struct diagnosis diag = { .code = DIAG_NONE };
    struct record record;

    if (!record_from_json(json, &record, &diag)) {
        round_trip(&record);
    } else {
        check_refusal(&diag);
    }
    if (!record_part_from_json(json, &record, &diag)) {
        CHECK(record.kind < N_RECORD_KINDS);
    }
    json_destroy(json);
    free(text);
    return 0;
}
