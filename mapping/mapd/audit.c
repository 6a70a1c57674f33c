#include <config.h>

#include "mapping/mapd/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(audit);

enum { FILE_MODE = 0640 };

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 3);

struct audit {
    char *file;                 /* NULL: the log only. */
    int fd;                     /* -1: not open. */
    int error;                  /* Of the last line; 0: it is there. */
    bool partial;               /* The file ends within a line. */
};

static int
open_file(struct audit *audit)
{
    audit->fd = open(audit->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC
                     | O_NOCTTY | O_NONBLOCK, FILE_MODE);
    return audit->fd < 0 ? errno : 0;
}

int
audit_open(const char *file, struct audit **auditp, struct diagnosis *diag)
{
    struct audit *audit = xzalloc(sizeof *audit);
    int error;

    audit->fd = -1;
    audit->file = nullable_xstrdup(file);
    error = file ? open_file(audit) : 0;
    if (error) {
        audit_close(audit);
        error = diagnosis_set(diag, DIAG_INVALID, "audit-log", file,
                              "audit-log \"%s\": %s", file,
                              ovs_strerror(error));
        diagnosis_set_hint(diag, "is its directory there and writable?");
        return error;
    }
    *auditp = audit;
    return 0;
}

void
audit_close(struct audit *audit)
{
    if (audit) {
        if (audit->fd >= 0) {
            close(audit->fd);
        }
        free(audit->file);
        free(audit);
    }
}

/* Writing. */

/* Whether what is open is what the name stands for. */
static bool
is_current(const struct audit *audit)
{
    struct stat named, opened;

    return (audit->fd >= 0 && !stat(audit->file, &named)
            && !fstat(audit->fd, &opened) && named.st_dev == opened.st_dev
            && named.st_ino == opened.st_ino);
}

/* A line is written whole or, on a full disk, as far as it goes: then the
 * next one begins with a new line. */
static int
append(struct audit *audit, const struct ds *line)
{
    const char *start = ds_cstr_ro(line) + !audit->partial;
    size_t length = line->length - !audit->partial;
    ssize_t n;

    if (!is_current(audit)) {
        if (audit->fd >= 0) {
            close(audit->fd);
        }
        if (open_file(audit)) {
            return errno;
        }
    }
    do {
        n = write(audit->fd, start, length);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno;
    }
    audit->partial = n && (size_t) n < length;
    return (size_t) n == length ? 0 : ENOSPC;
}

static void
put_string(struct json *json, const char *name, const char *text)
{
    if (text) {
        json_object_put_string(json, name, text);
    }
}

static void
put_changes(struct json *json, const struct json *changes)
{
    const struct json_array *all = json_array(changes);
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < MIN(all->n, AUDIT_MAX_CHANGES); i++) {
        json_array_add(array, json_clone(all->elems[i]));
    }
    json_object_put(json, "changes", array);
    json_object_put(json, "n_changes", json_integer_create(all->n));
}

static struct json *
encode(const struct audit_entry *entry)
{
    struct json *json = json_object_create();

    json_object_put(json, "time", json_string_create_nocopy(
                               xastrftime_msec("%Y-%m-%dT%H:%M:%S.###Z",
                                               time_wall_msec(), true)));
    put_string(json, "who", entry->who);
    put_string(json, "role", entry->role);
    put_string(json, "from", entry->from);
    if (entry->whose) {
        json_object_put(json, "for", json_clone(entry->whose));
    }
    put_string(json, "method", entry->method);
    put_string(json, "result", entry->refusal ? "denied" : "done");
    json_object_put(json, "revision", json_integer_create(entry->revision));
    if (entry->refusal) {
        put_string(json, "message", entry->refusal->message);
        json_object_put(json, "times", json_integer_create(entry->n));
    } else if (entry->changes) {
        put_changes(json, entry->changes);
    }
    return json;
}

void
audit_write(struct audit *audit, const struct audit_entry *entry)
{
    struct ds line = DS_EMPTY_INITIALIZER;
    struct json *json;

    if (!audit->file && !VLOG_IS_INFO_ENABLED()) {
        return;
    }
    json = encode(entry);
    ds_put_char(&line, '\n');   /* Ends a part of a line, if there is one. */
    json_to_ds(json, JSSF_SORT, &line);
    json_destroy(json);
    VLOG(audit->file ? VLL_DBG : VLL_INFO, "%s", ds_cstr(&line) + 1);
    if (audit->file) {
        ds_put_char(&line, '\n');
        audit->error = append(audit, &line);
        if (audit->error) {
            VLOG_ERR_RL(&rl, "%s: cannot be written (%s)", audit->file,
                        ovs_strerror(audit->error));
        }
    }
    ds_destroy(&line);
}

char *
audit_problem(const struct audit *audit)
{
    return (audit->error
            ? xasprintf("audit log %s cannot be written (%s)", audit->file,
                        ovs_strerror(audit->error)) : NULL);
}
