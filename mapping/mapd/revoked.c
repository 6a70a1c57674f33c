#include <config.h>

#include "mapping/mapd/revoked.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mapping/mapd/roles.h"
#include "mapping/record-field.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "sset.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(revoked);

struct revoked {
    char *file;
    struct stat stat;           /* When it was read, or refused. */
    long long int look_at;      /* time_msec(). */
    unsigned int seqno;
    struct sset keys;           /* Names; and "sha256:", hexadecimal digits. */
    char *problem;              /* NULL: none. */
};

enum { MAX_LINE = 200 };        /* Bytes. */

static const char fingerprint_prefix[] = "sha256:";

static int OVS_PRINTF_FORMAT(3, 4)
refuse(const char *file, struct diagnosis *diag, const char *format, ...)
{
    char cause[160];
    va_list args;
    int error;

    va_start(args, format);
    vsnprintf(cause, sizeof cause, format, args);
    va_end(args);
    error = diagnosis_set(diag, DIAG_INVALID, "revoked-file", file,
                          "revoked-file \"%.80s\": %s", file, cause);
    diagnosis_set_hint(diag, "each line names a certificate, as host:h1 or "
                       "sha256:FINGERPRINT; # begins a comment");
    return error;
}

/* Reading. */

/* Stores in 'key' what 'text', 64 hexadecimal digits with or without colons
 * between pairs of them, is kept as. */
static bool
read_fingerprint(const char *text, struct ds *key)
{
    size_t n = 0;

    ds_put_cstr(key, fingerprint_prefix);
    for (const char *p = text; *p; p++) {
        if (isxdigit((unsigned char) *p)) {
            ds_put_char(key, tolower((unsigned char) *p));
            n++;
        } else if (*p != ':' || n % 2 || p == text || p[-1] == ':' || !p[1]) {
            return false;
        }
    }
    return n == 2 * TLS_FINGERPRINT_SIZE;
}

/* 'line' has neither a comment nor blanks at its ends. */
static bool
read_key(const char *line, struct ds *key)
{
    static const char *const prefixes[] = { fingerprint_prefix,
                                            "sha256 fingerprint=" };

    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        if (!strncasecmp(line, prefixes[i], strlen(prefixes[i]))) {
            return read_fingerprint(line + strlen(prefixes[i]), key);
        }
    }
    ds_put_cstr(key, line);
    return roles_from_common_name(line).kind != ROLE_NONE;
}

/* Takes the comment and blanks off 'line'. */
static char *
trim(char *line)
{
    size_t n;

    line[strcspn(line, "#")] = '\0';
    line += strspn(line, " \t\r\n");
    for (n = strlen(line); n && strchr(" \t\r\n", line[n - 1]); n--) {
        continue;
    }
    line[n] = '\0';
    return line;
}

/* 'line' has 'length' bytes, with its end. */
static int
read_line(const char *file, int number, char *line, size_t length,
          struct sset *keys, struct diagnosis *diag)
{
    struct ds key = DS_EMPTY_INITIALIZER;
    int error = 0;

    if (length > MAX_LINE || strlen(line) != length) {
        error = refuse(file, diag, "line %d is too long, or has a zero byte",
                       number);
    } else if (*(line = trim(line)) && !read_key(line, &key)) {
        struct ds excerpt = DS_EMPTY_INITIALIZER;

        record_field_put_excerpt(&excerpt, line);
        error = refuse(file, diag, "line %d: \"%s\" is neither ROLE:NAME nor "
                       "a SHA-256 fingerprint", number, ds_cstr(&excerpt));
        ds_destroy(&excerpt);
    } else if (*line && sset_count(keys) >= REVOKED_MAX) {
        error = refuse(file, diag, "more than %d certificates", REVOKED_MAX);
    } else if (*line) {
        sset_add(keys, ds_cstr(&key));
    }
    ds_destroy(&key);
    return error;
}

static int
read_stream(const char *file, FILE *stream, struct sset *keys,
            struct diagnosis *diag)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    int error = 0;

    for (int number = 1;
         !error && (length = getline(&line, &size, stream)) >= 0; number++) {
        error = read_line(file, number, line, length, keys, diag);
    }
    free(line);
    return (!error && ferror(stream)
            ? refuse(file, diag, "%s", ovs_strerror(errno)) : error);
}

static int
read_file(struct revoked *r, struct diagnosis *diag)
{
    struct sset keys = SSET_INITIALIZER(&keys);
    FILE *stream;
    int error;

    /* Before it is read: nothing is missed. */
    if (stat(r->file, &r->stat)) {
        memset(&r->stat, 0, sizeof r->stat);
    }
    stream = fopen(r->file, "r");
    if (!stream) {
        return refuse(r->file, diag, "%s", ovs_strerror(errno));
    }
    error = read_stream(r->file, stream, &keys, diag);
    fclose(stream);
    if (!error) {
        sset_swap(&r->keys, &keys);
        r->seqno++;
    }
    sset_destroy(&keys);
    return error;
}

int
revoked_reload(struct revoked *r, struct diagnosis *diag)
{
    int error = read_file(r, diag);

    free(r->problem);
    r->problem = error ? xstrdup(diag->message) : NULL;
    return error;
}

int
revoked_open(const char *file, struct revoked **revokedp,
             struct diagnosis *diag)
{
    struct revoked *r = xzalloc(sizeof *r);
    int error;

    r->file = xstrdup(file);
    sset_init(&r->keys);
    error = revoked_reload(r, diag);
    if (error) {
        revoked_close(r);
        return error;
    }
    r->look_at = time_msec() + REVOKED_LOOK_MS;
    *revokedp = r;
    return 0;
}

void
revoked_close(struct revoked *r)
{
    if (r) {
        sset_destroy(&r->keys);
        free(r->problem);
        free(r->file);
        free(r);
    }
}

/* Whether the file is not the one that was read. */
static bool
has_changed(const struct revoked *r)
{
    struct stat now;

    if (stat(r->file, &now)) {
        memset(&now, 0, sizeof now);
    }
    return (now.st_ino != r->stat.st_ino || now.st_dev != r->stat.st_dev
            || now.st_size != r->stat.st_size
            || memcmp(&now.st_mtim, &r->stat.st_mtim, sizeof now.st_mtim)
            || memcmp(&now.st_ctim, &r->stat.st_ctim, sizeof now.st_ctim));
}

void
revoked_run(struct revoked *r)
{
    struct diagnosis diag;

    if (time_msec() < r->look_at) {
        return;
    }
    r->look_at = time_msec() + REVOKED_LOOK_MS;
    if (!has_changed(r)) {
        return;
    }
    if (revoked_reload(r, &diag)) {
        VLOG_WARN("%s; what was read before stays in force", diag.message);
    } else {
        VLOG_INFO("%s: read again, %"PRIuSIZE" certificates are revoked",
                  r->file, sset_count(&r->keys));
    }
}

void
revoked_wait(const struct revoked *r)
{
    poll_timer_wait_until(r->look_at);
}

/* Looking up. */

unsigned int
revoked_seqno(const struct revoked *r)
{
    return r->seqno;
}

size_t
revoked_count(const struct revoked *r)
{
    return sset_count(&r->keys);
}

bool
revoked_has(const struct revoked *r, const char *name,
            const uint8_t fingerprint[TLS_FINGERPRINT_SIZE])
{
    char key[sizeof fingerprint_prefix + 2 * TLS_FINGERPRINT_SIZE];
    char *p = key + sizeof fingerprint_prefix - 1;

    if (name && sset_contains(&r->keys, name)) {
        return true;
    } else if (!fingerprint) {
        return false;
    }
    memcpy(key, fingerprint_prefix, sizeof fingerprint_prefix);
    for (size_t i = 0; i < TLS_FINGERPRINT_SIZE; i++, p += 2) {
        snprintf(p, 3, "%02x", fingerprint[i]);
    }
    return sset_contains(&r->keys, key);
}

const char *
revoked_problem(const struct revoked *r)
{
    return r->problem;
}
