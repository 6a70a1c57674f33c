/* The mapping that a switch keeps on disk, where anything may have become of
 * it.  Inputs that begin with '{' are the file; of others the first line is
 * made to fit, and what follows the first byte is the snapshot in it.  What is
 * read is what was written, or there is a reason. */

#include <config.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mapping/replica/replica.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "sha1.h"
#include "util.h"
#include "vswitchd-ext/table-file.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(X) do { if (!(X)) { __builtin_trap(); } } while (0)

static char directory[] = "/tmp/fuzz-table-file-XXXXXX";
static char path[64];

static void
remove_directory(void)
{
    unlink(path);
    rmdir(directory);
}

static void
write_head(int fd, const uint8_t *body, size_t n)
{
    char hex[SHA1_HEX_DIGEST_LEN + 1];
    uint8_t digest[SHA1_DIGEST_SIZE];

    sha1_bytes(body, n, digest);
    sha1_to_hex(digest, hex);
    CHECK(dprintf(fd, "{\"bytes\":%zu,\"digest\":\"%s\",\"grapnel\":\"table\","
                  "\"host\":\"h1\",\"revision\":7,\"version\":1}\n", n, hex)
          > 0);
}

/* Returns true if it is as the switch writes it. */
static bool
write_file(const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool fits = size && data[0] != '{';

    CHECK(fd >= 0);
    if (fits) {
        data++;
        size--;
        write_head(fd, data, size);
    }
    CHECK(write(fd, data, size) == (ssize_t) size);
    CHECK(!fits || write(fd, "\n", 1) == 1);
    close(fd);
    return fits;
}

/* What was read of it, 'snapshot', is what is in it. */
static void
compare(const struct json *snapshot, const uint8_t *data, size_t size)
{
    char *text = xmemdup0((const char *) data + 1, size - 1);
    struct json *json = json_from_string(text);

    CHECK(!snapshot == (json->type == JSON_STRING));
    CHECK(!snapshot || json_equal(snapshot, json));
    json_destroy(json);
    free(text);
}

int
LLVMFuzzerInitialize(int *argc OVS_UNUSED, char ***argv OVS_UNUSED)
{
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    CHECK(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/table", directory);
    atexit(remove_directory);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool fits = write_file(data, size);
    struct json *snapshot;
    struct replica replica;
    long long int age_ms;
    char *why;

    snapshot = table_file_read(path, "h1", &age_ms, &why);
    CHECK(!snapshot == !!why);
    if (snapshot) {
        struct diagnosis diag = { .message = "" };

        CHECK(age_ms >= 0);
        replica_init(&replica);
        if (replica_load_snapshot(&replica, snapshot, 0, &diag)) {
            CHECK(diag.message[0] && !replica.generation);
        }
        replica_destroy(&replica);
    }
    if (fits) {
        compare(snapshot, data, size);
    }
    json_destroy(snapshot);
    free(why);
    return 0;
}
