#include <config.h>

#include "vswitchd-ext/table-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mapping/diagnosis.h"
#include "mapping/json-members.h"
#include "openvswitch/json.h"
#include "sha1.h"
#include "timeval.h"
#include "util.h"

enum { MAX_HEAD = 512 };        /* Bytes of the first line. */

static const char signature[] = "\"grapnel\":\"table\"";

/* What the first line says. */
struct head {
    size_t bytes;
    uint64_t revision;
    const char *host, *digest;  /* In 'json'. */
    struct json *json;
};

static void
digest_text(const char *text, size_t n, char hex[SHA1_HEX_DIGEST_LEN + 1])
{
    uint8_t digest[SHA1_DIGEST_SIZE];

    sha1_bytes(text, n, digest);
    sha1_to_hex(digest, hex);
}

/* Writing. */

/* 0 if the file 'path' may be replaced: it is not there, empty, or one of ours
 * of any version, be it whole or not. */
static int
check_replaceable(const char *path)
{
    char head[MAX_HEAD + 1];
    struct stat s;
    int fd, error;
    ssize_t n;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT ? 0 : errno;
    }
    error = fstat(fd, &s) ? errno : S_ISREG(s.st_mode) ? 0 : EINVAL;
    if (!error) {
        n = pread(fd, head, MAX_HEAD, 0);
        error = n < 0 ? errno : 0;
        head[MAX(n, 0)] = '\0';
    }
    close(fd);
    if (error) {
        return error;
    }
    head[strcspn(head, "\n")] = '\0';
    return (!s.st_size || (head[0] == '{' && strstr(head, signature))
            ? 0 : EEXIST);
}

static int
write_all(int fd, const char *data, size_t n)
{
    while (n) {
        ssize_t written = write(fd, data, n);

        if (written < 0 && errno != EINTR) {
            return errno;
        }
        data += MAX(written, 0);
        n -= MAX(written, 0);
    }
    return 0;
}

/* Has the directory of 'path' outlast a loss of power, too. */
static int
sync_directory(const char *path)
{
    char *copy = xstrdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = 0;

    if (fd < 0 || fsync(fd)) {
        error = errno;
    }
    if (fd >= 0) {
        close(fd);
    }
    free(copy);
    return error;
}

static int
write_file(const char *path, const char *head, const char *body, size_t n)
{
    int fd, error;

    unlink(path);               /* Left by a process that was killed. */
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
              0600);
    if (fd < 0) {
        return errno;
    }
    error = write_all(fd, head, strlen(head));
    if (!error) {
        error = write_all(fd, body, n);
    }
    if (!error) {
        error = write_all(fd, "\n", 1);
    }
    if (!error && fsync(fd)) {
        error = errno;
    }
    if (close(fd) && !error) {
        error = errno;
    }
    if (error) {
        unlink(path);
    }
    return error;
}

int
table_file_write(const char *path, const char *host, uint64_t revision,
                 const char *snapshot, size_t n)
{
    char *temporary, *head, hex[SHA1_HEX_DIGEST_LEN + 1];
    int error;

    error = n >= TABLE_FILE_MAX - MAX_HEAD ? EFBIG : check_replaceable(path);
    if (error) {
        return error;
    }
    digest_text(snapshot, n, hex);
    head = xasprintf("{\"bytes\":%"PRIuSIZE",\"digest\":\"%s\",%s,"
                     "\"host\":\"%s\",\"revision\":%"PRIu64","
                     "\"version\":%d}\n", n, hex, signature, host, revision,
                     TABLE_FILE_VERSION);
    temporary = xasprintf("%s.tmp", path);
    error = write_file(temporary, head, snapshot, n);
    if (!error && rename(temporary, path)) {
        error = errno;
        unlink(temporary);
    }
    free(temporary);
    free(head);
    return error ? error : sync_directory(path);
}

int
table_file_confirm(const char *path)
{
    return utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) ? errno : 0;
}

const char *
table_file_error(int error)
{
    return (error == EEXIST ? "it has something else in it, which is left "
                              "alone"
            : error == EINVAL ? "not a regular file"
            : error == EFBIG ? "the mapping is too large"
            : ovs_strerror(error));
}

/* Reading. */

/* The file's bytes, ended by a null, in memory of the caller's; or NULL and
 * '*why'. */
static char *
slurp(int fd, struct stat *s, size_t *size, char **why)
{
    char *text;
    size_t n = 0;

    if (fstat(fd, s)) {
        *why = xstrdup(ovs_strerror(errno));
        return NULL;
    } else if (!S_ISREG(s->st_mode)) {
        *why = xstrdup("not a regular file");
        return NULL;
    } else if (s->st_size > TABLE_FILE_MAX) {
        *why = xasprintf("%lld bytes are too many (at most %d)",
                         (long long int) s->st_size, TABLE_FILE_MAX);
        return NULL;
    }
    text = xmalloc(s->st_size + 1);
    while (n < (size_t) s->st_size) {
        ssize_t got = pread(fd, text + n, s->st_size - n, n);

        if (got < 0 && errno != EINTR) {
            *why = xstrdup(ovs_strerror(errno));
            free(text);
            return NULL;
        } else if (!got) {
            break;
        }
        n += MAX(got, 0);
    }
    text[n] = '\0';
    *size = n;
    return text;
}

static const struct json *
find_member(const struct json *object, const char *name, enum json_type type)
{
    const struct json *json = (object->type == JSON_OBJECT
                               ? shash_find_data(json_object(object), name)
                               : NULL);

    return json && json->type == type ? json : NULL;
}

/* Returns why it cannot be used, owned by the caller, or NULL. */
static char *
check_version(const struct json *json)
{
    const struct json *grapnel = find_member(json, "grapnel", JSON_STRING);
    const struct json *version = find_member(json, "version", JSON_INTEGER);

    if (!grapnel || strcmp(json_string(grapnel), "table") || !version) {
        return xstrdup("not a mapping table of grapnel-vswitchd's");
    } else if (json_integer(version) != TABLE_FILE_VERSION) {
        return xasprintf("of version %"PRId64", and this grapnel-vswitchd "
                         "reads version %d", json_integer(version),
                         TABLE_FILE_VERSION);
    }
    return NULL;
}

/* Reads the first line, 'text'.  As check_version(); without an error the
 * caller destroys head->json. */
static char *
read_head(const char *text, struct head *head)
{
    struct json_member m[] = {
        { .name = "bytes", .type = JSON_INTEGER },
        { .name = "digest", .type = JSON_STRING },
        { .name = "grapnel", .type = JSON_STRING },
        { .name = "host", .type = JSON_STRING },
        { .name = "revision", .type = JSON_INTEGER },
        { .name = "version", .type = JSON_INTEGER },
    };
    struct diagnosis diag;
    uint64_t bytes = 0;
    char *why;
    int error;

    head->json = json_from_string(text);
    why = check_version(head->json);
    if (!why) {
        error = json_members_take(head->json, "first line", m, ARRAY_SIZE(m),
                                  &diag);
        if (!error) {
            error = json_members_u64(&m[0], 0, TABLE_FILE_MAX, &bytes, &diag);
        }
        if (!error) {
            error = json_members_u64(&m[4], 0, INT64_MAX, &head->revision,
                                     &diag);
        }
        why = error ? xasprintf("damaged: %s", diag.message) : NULL;
    }
    if (why) {
        json_destroy(head->json);
        return why;
    }
    head->bytes = bytes;
    head->digest = json_string(m[1].value);
    head->host = json_string(m[3].value);
    return NULL;
}

/* 'body' is what follows the first line, 'n' bytes.  As check_version(). */
static char *
check_body(const struct head *head, const char *host, const char *body,
           size_t n)
{
    char hex[SHA1_HEX_DIGEST_LEN + 1];

    if (strcmp(head->host, host)) {
        return xasprintf("of host %s, and this is %s", head->host, host);
    } else if (n != head->bytes + 1 || body[head->bytes] != '\n') {
        return xasprintf("damaged: %"PRIuSIZE" bytes follow the first line, "
                         "not %"PRIuSIZE, n, head->bytes + 1);
    }
    digest_text(body, head->bytes, hex);
    return strcmp(hex, head->digest) ? xstrdup("damaged: the digest is wrong")
           : NULL;
}

/* As table_file_read(), of 'text', 'size' bytes, which it changes. */
static struct json *
parse(char *text, size_t size, const char *host, char **why)
{
    char *end = memchr(text, '\n', MIN(size, (size_t) MAX_HEAD));
    struct json *snapshot = NULL;
    struct head head;
    char *body;

    if (!end) {
        *why = xstrdup("not a mapping table of grapnel-vswitchd's");
        return NULL;
    }
    *end = '\0';
    body = end + 1;
    size -= body - text;
    *why = read_head(text, &head);
    if (*why) {
        return NULL;
    }
    *why = check_body(&head, host, body, size);
    if (!*why) {
        body[head.bytes] = '\0';
        snapshot = json_from_string(body);
        if (snapshot->type == JSON_STRING) {
            *why = xasprintf("damaged: %s", json_string(snapshot));
            json_destroy(snapshot);
            snapshot = NULL;
        }
    }
    json_destroy(head.json);
    return snapshot;
}

struct json *
table_file_read(const char *path, const char *host, long long int *age_ms,
                char **why)
{
    struct json *snapshot = NULL;
    struct stat s;
    size_t size;
    char *text;
    int fd;

    *why = NULL;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        if (errno != ENOENT) {
            *why = xstrdup(ovs_strerror(errno));
        }
        return NULL;
    }
    text = slurp(fd, &s, &size, why);
    close(fd);
    if (text) {
        snapshot = parse(text, size, host, why);
        free(text);
    }
    if (snapshot) {
        long long int then = timespec_to_msec(&s.st_mtim);

        *age_ms = MAX(time_wall_msec() - then, 0);
    }
    return snapshot;
}
