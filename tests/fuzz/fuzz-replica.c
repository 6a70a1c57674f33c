/* What a switch hears of mapd: lines, each one a snapshot or (with "changes")
 * an update.  Each is refused, and leaves the copy as it was, or makes one
 * that is consistent, and the same when it is told as a snapshot. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/replica/replica-json.h"
#include "mapping/replica/replica.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "tests/unit/replica-model.h"
#include "util.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(X) do { if (!(X)) { __builtin_trap(); } } while (0)

enum { NOW = 1000 };

static void
check_snapshot(const struct replica *replica)
{
    struct json *json = replica_to_json(replica, NOW);
    char *text = model_print(replica, false), *text_again;
    struct replica again;

    replica_init(&again);
    CHECK(!replica_load_snapshot(&again, json, NOW, NULL));
    text_again = model_print(&again, false);
    CHECK(!strcmp(text, text_again));
    replica_destroy(&again);
    json_destroy(json);
    free(text_again);
    free(text);
}

static void
take_line(struct replica *replica, const struct json *json)
{
    bool is_update = (json->type == JSON_OBJECT
                      && shash_find(json_object(json), "changes"));
    char *before = model_print(replica, true);
    struct diagnosis diag = { .code = DIAG_NONE };

    if (is_update ? replica_apply_update(replica, json, NOW, &diag)
        : replica_load_snapshot(replica, json, NOW, &diag)) {
        char *after = model_print(replica, true);

        CHECK(!strcmp(before, after));
        CHECK(diag.code != DIAG_NONE && diag.message[0]);
        free(after);
    } else {
        model_check_consistent(replica);
        check_snapshot(replica);
    }
    free(before);
}

int
LLVMFuzzerInitialize(int *argc OVS_UNUSED, char ***argv OVS_UNUSED)
{
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xmemdup0((const char *) data, size), *save = NULL;
    struct replica replica;

    replica_init(&replica);
    for (char *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        struct json *json = json_from_string(line);

        take_line(&replica, json);
        json_destroy(json);
    }
    replica_destroy(&replica);
    free(text);
    return 0;
}
