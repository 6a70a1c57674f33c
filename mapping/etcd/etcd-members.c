#include <config.h>
#include "mapping/etcd/etcd-members.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(etcd_members);

#define DEFAULT_PORT "2379"

static int
refuse(struct diagnosis *diag, const char *url, const char *why)
{
    int error = diagnosis_set(diag, DIAG_INVALID, "urls", url,
                              "\"%s\" is no URL of an etcd member: %s", url,
                              why);

    diagnosis_set_hint(diag, "give URLs like http://10.0.0.1:2379, separated "
                       "by commas");
    return error;
}

/* Whether the URL has 'part', other than 'usual' (may be NULL). */
static bool
has_part(CURLU *url, CURLUPart part, const char *usual)
{
    char *text;
    bool has;

    if (curl_url_get(url, part, &text, 0)) {
        return false;
    }
    has = !usual || strcmp(text, usual);
    curl_free(text);
    return has;
}

/* NULL, or what is wrong with 'url'. */
static const char *
check_url(CURLU *url)
{
    if (has_part(url, CURLUPART_SCHEME, "http")
        && has_part(url, CURLUPART_SCHEME, "https")) {
        return "it must begin with http:// or https://";
    }
    if (has_part(url, CURLUPART_USER, NULL)
        || has_part(url, CURLUPART_PASSWORD, NULL)) {
        return "user and password are options of their own";
    }
    if (has_part(url, CURLUPART_PATH, "/")
        || has_part(url, CURLUPART_QUERY, NULL)
        || has_part(url, CURLUPART_FRAGMENT, NULL)) {
        return "nothing may follow host and port";
    }
    return NULL;
}

/* Makes "SCHEME://HOST:PORT" of 'text'. */
static int
normalize(const char *text, char **urlp, struct diagnosis *diag)
{
    CURLU *url = curl_url();
    CURLUcode code = curl_url_set(url, CURLUPART_URL, text, 0);
    const char *wrong = code ? curl_url_strerror(code) : check_url(url);
    char *whole;
    int error = 0;

    if (!wrong) {
        if (!has_part(url, CURLUPART_PORT, NULL)) {
            curl_url_set(url, CURLUPART_PORT, DEFAULT_PORT, 0);
        }
        curl_url_get(url, CURLUPART_URL, &whole, 0);
        *urlp = xstrdup(whole);
        (*urlp)[strcspn(*urlp, "/") + 2 + strcspn(strchr(*urlp, '/') + 2,
                                                  "/")] = '\0';
        curl_free(whole);
    } else {
        error = refuse(diag, text, wrong);
    }
    curl_url_cleanup(url);
    return error;
}

int
etcd_members_init(struct etcd_members *members, const char *urls,
                  struct diagnosis *diag)
{
    struct etcd_members new = { .n = 0 };
    char *text = xstrdup(urls);
    char *next = text;
    char *token;
    int error = 0;

    while (!error && (token = strsep(&next, ","))) {
        if (new.n == ETCD_MAX_MEMBERS) {
            error = diagnosis_set(diag, DIAG_INVALID, "urls", token,
                                  "there are more than %d URLs of etcd "
                                  "members", ETCD_MAX_MEMBERS);
        } else {
            error = normalize(token, &new.urls[new.n], diag);
            new.n += !error;
        }
    }
    free(text);
    if (error) {
        etcd_members_uninit(&new);
    } else {
        *members = new;
    }
    return error;
}

void
etcd_members_uninit(struct etcd_members *members)
{
    for (size_t i = 0; i < members->n; i++) {
        free(members->urls[i]);
    }
    members->n = 0;
}

bool
etcd_members_use_tls(const struct etcd_members *members)
{
    for (size_t i = 0; i < members->n; i++) {
        if (!strncmp(members->urls[i], "https:", 6)) {
            return true;
        }
    }
    return false;
}

void
etcd_members_failed(struct etcd_members *members, size_t member,
                    const char *why)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(6, 6);

    if (member == members->current) {
        members->current = (member + 1) % members->n;
        VLOG_INFO_RL(&rl, "%s: %s%s%s", members->urls[member], why,
                     members->n > 1 ? "; asking " : "",
                     members->n > 1 ? members->urls[members->current] : "");
    }
}

void
etcd_members_answered(struct etcd_members *members, size_t member)
{
    members->current = member;
}
