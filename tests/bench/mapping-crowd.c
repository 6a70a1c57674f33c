/* Reading JSON into a tree would take most of the time of a thousand hosts. So
 * a message is found by its brackets, and what it is by a few words in it. */

#include <config.h>
#include "tests/bench/mapping-crowd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "util.h"

enum { PIECE = 64 * 1024 };     /* Bytes read at a time. */

void
crowd_open(struct crowd_host *host, int fd)
{
    *host = (struct crowd_host) { .fd = fd };
    ds_init(&host->text);
}

void
crowd_close(struct crowd_host *host)
{
    close(host->fd);
    ds_destroy(&host->text);
}

bool
crowd_send(struct crowd_host *host, struct jsonrpc_msg *msg)
{
    struct json *json = jsonrpc_msg_to_json(msg);
    char *text = json_to_string(json, 0);
    size_t left = strlen(text);
    const char *p = text;
    ssize_t n = 0;

    while (left && n >= 0) {
        struct pollfd pollfd = { .fd = host->fd, .events = POLLOUT };

        n = send(host->fd, p, left, MSG_NOSIGNAL);
        if (n > 0) {
            p += n;
            left -= n;
        } else if (n < 0 && errno == EAGAIN) {
            n = poll(&pollfd, 1, -1);
        }
    }
    json_destroy(json);
    free(text);
    return !left;
}

/* Looks at what has been received since the last time.  Returns the length of
 * the message, if it ends there; else 0. */
static size_t
scan(struct crowd_host *host)
{
    const char *data = host->text.string;
    size_t n = host->text.length, depth = host->depth;
    bool in_string = host->in_string, escaped = host->escaped;

    for (size_t i = host->scanned; i < n; i++) {
        char c = data[i];

        if (escaped) {
            escaped = false;
        } else if (in_string) {
            escaped = c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && !--depth) {
            host->scanned = host->depth = 0;
            host->in_string = host->escaped = false;
            return i + 1;
        }
    }
    host->scanned = n;
    host->depth = depth;
    host->in_string = in_string;
    host->escaped = escaped;
    return 0;
}

struct piece {
    const char *data;
    size_t n;
};

static const char *
find(struct piece text, const char *word)
{
    return memmem(text.data, text.n, word, strlen(word));
}

static void
classify(struct piece text, struct crowd_message *message)
{
    const char *revision = find(text, "\"revision\":");
    bool is_request = find(text, "\"method\":\"");

    *message = (struct crowd_message) {
        .is_echo = find(text, "\"method\":\"echo\""),
        .is_table = find(text, "\"method\":\"update\"")
                    || find(text, "\"groups\":"),
        .is_error = !is_request && !find(text, "\"error\":null"),
        .revision = revision ? strtoull(revision + 11, NULL, 10) : 0,
    };
}

/* It is short. */
static bool
answer_echo(struct crowd_host *host, struct piece text)
{
    char *copy = xmemdup0(text.data, text.n);
    struct jsonrpc_msg *msg;
    char *error = jsonrpc_msg_from_json(json_from_string(copy), &msg);
    bool sent;

    ovs_assert(!error);
    sent = crowd_send(host, jsonrpc_create_reply(json_clone(msg->params),
                                                 msg->id));
    jsonrpc_msg_destroy(msg);
    free(copy);
    return sent;
}

bool
crowd_receive(struct crowd_host *host, struct crowd_message *message,
              bool *lost)
{
    static char data[PIECE];
    struct piece text;

    *lost = false;
    while (!(text.n = scan(host))) {
        ssize_t n = recv(host->fd, data, sizeof data, 0);

        if (n <= 0) {
            *lost = !n || errno != EAGAIN;
            return false;
        }
        ds_put_buffer(&host->text, data, n);
        host->bytes += n;
    }
    text.data = host->text.string;
    classify(text, message);
    *lost = message->is_echo && !answer_echo(host, text);

    host->text.length -= text.n;
    memmove(host->text.string, host->text.string + text.n, host->text.length);
    if (text.n > PIECE && !host->text.length) {
        ds_destroy(&host->text);
        ds_init(&host->text);
    }
    return true;
}
