#include <config.h>
#include "mapping/record-check.h"

#include <stdarg.h>
#include <stdio.h>

#include "mapping/record-kind.h"
#include "mapping/record-health.h"
#include "util.h"

enum {
    QUIC_MAX_CONNECTION_ID = 20 /* Bytes; RFC 9000 section 17.2. */
};

/* Refuses the number 'value' of the member 'name': "NAME: VALUE PROBLEM". */
static int OVS_PRINTF_FORMAT(5, 6)
refuse(struct diagnosis *diag, const char *name, unsigned int value,
       const char *hint, const char *problem, ...)
{
    char number[16];
    char text[160];
    va_list args;

    snprintf(number, sizeof number, "%u", value);
    va_start(args, problem);
    vsnprintf(text, sizeof text, problem, args);
    va_end(args);
    return record_kind_refuse(diag, name, number, hint, "%s", text);
}

static int
check_ports(const struct record_group *g, struct diagnosis *diag)
{
    if (g->protocol == IPPROTO_NR_ICMP && (g->port || g->port_last)) {
        return refuse(diag, g->port ? "port" : "port_last",
                      g->port ? g->port : g->port_last,
                      "leave it out",
                      "does not go with protocol icmp, which has no ports");
    }
    if (!g->port && g->port_last) {
        return refuse(diag, "port_last", g->port_last,
                      "give a port of at least 1, or leave port_last out for "
                      "all ports", "ends a range that port does not begin");
    }
    if (g->port_last && g->port_last < g->port) {
        return refuse(diag, "port_last", g->port_last,
                      "port is the first of the range, port_last the last",
                      "is less than port, %u", g->port);
    }
    return 0;
}

static int
check_quic(const struct record_group *g, struct diagnosis *diag)
{
    if (g->quic_id_length && g->protocol != IPPROTO_NR_UDP) {
        return refuse(diag, "quic_id_length", g->quic_id_length,
                      "leave it out, or make a group of protocol udp",
                      "does not go with protocol %s; QUIC goes over udp",
                      record_protocol_name(g->protocol));
    }
    if (g->quic_id_offset + g->quic_id_length > QUIC_MAX_CONNECTION_ID) {
        return refuse(diag, "quic_id_offset", g->quic_id_offset,
                      "make one of the two smaller", "and a quic_id_length of "
                      "%u reach beyond the %d bytes of a connection id",
                      g->quic_id_length, QUIC_MAX_CONNECTION_ID);
    }
    return 0;
}

/* An id of zeros stands for none on the packet path. */
static int
check_quic_id(const struct record_endpoint *e, struct diagnosis *diag)
{
    if (e->quic_id.length && !e->quic_id.value) {
        return refuse(diag, "quic_id", 0, "give it at least one other digit",
                      "in all digits is no id");
    }
    return 0;
}

/* IPv4: 169.254/16 (RFC 3927); IPv6: fe80::/10 (RFC 4291 section 2.5.6). */
static bool
is_link_local(struct inet_addr a)
{
    return (inet_addr_is4(a) ? inet_addr_to4(a) >> 16 == 0xa9fe
            : a.hi >> 54 == 0xfe80 >> 6);
}

static int
check_vtep(const struct record_host *h, struct diagnosis *diag)
{
    char text[RECORD_ADDRESS_SIZE];
    int error;

    if (!is_link_local(h->vtep)) {
        return 0;
    }
    record_format_address(h->vtep, text);
    error = diagnosis_set(diag, DIAG_INVALID, "vtep", text,
                          "vtep: %s is a link-local address, which hosts on "
                          "other links cannot reach", text);
    diagnosis_set_hint(diag, "give the host's address on the underlay");
    return error;
}

void
record_normalize(struct record *record)
{
    /* A range of one port is that port. */
    if (record->kind == RECORD_GROUP
        && record->group.port_last == record->group.port) {
        record->group.port_last = 0;
    } else if (record->kind == RECORD_ENDPOINT) {
        record_iface_normalize(&record->endpoint);
    }
}

static int
check_endpoint(const struct record_endpoint *e, struct diagnosis *diag)
{
    int error = record_iface_check(e, diag);

    return error ? error : check_quic_id(e, diag);
}

static int
check_group(const struct record_group *g, struct diagnosis *diag)
{
    int error = check_ports(g, diag);

    if (!error) {
        error = check_quic(g, diag);
    }
    return error ? error : record_health_check(g, diag);
}

int
record_check(const struct record *record, struct diagnosis *diag)
{
    switch (record->kind) {
    case RECORD_HOST:
        return check_vtep(&record->host, diag);
    case RECORD_GROUP:
        return check_group(&record->group, diag);
    case RECORD_ENDPOINT:
        return check_endpoint(&record->endpoint, diag);
    case RECORD_WORKLOAD:
        return record_workload_check(&record->workload, diag);
    case RECORD_POOL:
        return record_pool_check(&record->pool, diag);
    case RECORD_LEASE:
        return record_lease_check(&record->lease, diag);
    case RECORD_GATEWAY:
        return record_gateway_check(&record->gateway, diag);
    case RECORD_VIP:
        return 0;
    case N_RECORD_KINDS:
        break;
    }
    OVS_NOT_REACHED();
}
