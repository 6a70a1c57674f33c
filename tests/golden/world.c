#include "tests/golden/world.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LINES     = 256,
    MAX_LINE      = 200,
    MAX_HOSTS     = 8,
    MAX_GROUPS    = 8,
    MAX_ENDPOINTS = 16,
    MAX_SLOTS     = 1024,
    HEADROOM      = 128,
};

struct line {
    unsigned int number;
    unsigned int packet;        /* Holds from this one on. */
    char text[MAX_LINE];
};

struct world_group {
    struct group_spec spec;     /* Used if 'id' is not 0. */
    uint16_t slots[MAX_SLOTS];
    struct group_endpoint endpoints[MAX_ENDPOINTS];
    struct group *built;
};

struct world {
    const char *path;
    size_t n_lines, n_applied;
    struct line lines[MAX_LINES];

    struct hash_key key;
    bool no_table;
    struct tunnel_spec hosts[MAX_HOSTS];
    struct world_group groups[MAX_GROUPS];
    struct anycast_table *table;
    struct world_packet packets[WORLD_MAX_PACKETS + 1];
};

/* True if 'line' is wholly in the form of sscanf() 'format'. */
#define MATCHES(LINE, FORMAT, ...)                                          \
    (end = -1, sscanf(LINE, FORMAT "%n", __VA_ARGS__, &end), end >= 0       \
     && !LINE[end])

#define MAC_FORMAT "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx"
#define MAC_ARGS(M) &(M).octet[0], &(M).octet[1], &(M).octet[2], \
                    &(M).octet[3], &(M).octet[4], &(M).octet[5]
#define IP_FORMAT "%hhu.%hhu.%hhu.%hhu"
#define IP_ARGS(IP) &(IP)[3], &(IP)[2], &(IP)[1], &(IP)[0]

static uint32_t
ip_value(const uint8_t ip[4])
{
    return (uint32_t) ip[3] << 24 | ip[2] << 16 | ip[1] << 8 | ip[0];
}

static bool
apply_host(struct world *world, const char *line)
{
    struct tunnel_spec spec = { .ttl = 64 };
    uint8_t ours[4], its[4];
    unsigned int host;
    char type[8];
    int end;

    if (MATCHES(line, "host %u none", &host) && host < MAX_HOSTS) {
        world->hosts[host] = (struct tunnel_spec) { .type = TUNNEL_NONE };
        return true;
    }
    if (!MATCHES(line, "host %u %7[a-z] " IP_FORMAT " " MAC_FORMAT " "
                 IP_FORMAT " " MAC_FORMAT " mtu %hu", &host, type,
                 IP_ARGS(ours), MAC_ARGS(spec.src_mac), IP_ARGS(its),
                 MAC_ARGS(spec.dst_mac), &spec.mtu) || host >= MAX_HOSTS) {
        return false;
    }
    spec.type = !strcmp(type, "geneve") ? TUNNEL_GENEVE : TUNNEL_VXLAN;
    spec.src_ip = ip_value(ours);
    spec.dst_ip = ip_value(its);
    world->hosts[host] = spec;
    return true;
}

static bool
apply_group(struct world *world, const char *line)
{
    unsigned int id, vni, slots, port;
    char protocol[4], affinity[8];
    uint8_t ip[4];
    int end;

    if (!MATCHES(line, "group %u vni %u %3[a-z] " IP_FORMAT ":%u slots %u"
                 " affinity %7[a-z]", &id, &vni, protocol, IP_ARGS(ip), &port,
                 &slots, affinity)
        || !id || id >= MAX_GROUPS || slots > MAX_SLOTS) {
        return false;
    }

    struct world_group *group = &world->groups[id];
    group->spec = (struct group_spec) {
        .id = id,
        .affinity = !strcmp(affinity, "source") ? AFFINITY_SOURCE
                                                : AFFINITY_FLOW,
        .slots = group->slots,
        .n_slots = slots,
        .endpoints = group->endpoints,
    };
    group_key_init4(&group->spec.key, vni, ip_value(ip),
                    !strcmp(protocol, "tcp") ? IPPROTO_NR_TCP : IPPROTO_NR_UDP,
                    port);
    for (size_t i = 0; i < MAX_SLOTS; i++) {
        group->slots[i] = GROUP_NO_ENDPOINT;
    }
    return true;
}

static enum endpoint_state
endpoint_state(const char *name)
{
    return !strcmp(name, "up") ? ENDPOINT_UP
           : !strcmp(name, "draining") ? ENDPOINT_DRAINING
           : !strcmp(name, "down") ? ENDPOINT_DOWN : ENDPOINT_ABSENT;
}

static bool
apply_endpoint(struct world *world, const char *line)
{
    struct group_endpoint endpoint = { .host = 0 };
    unsigned int id, index;
    char state[9];
    int end;

    if (MATCHES(line, "endpoint %u/%u local " MAC_FORMAT " %8[a-z]", &id,
                &index, MAC_ARGS(endpoint.mac), state)) {
        endpoint.local = true;
    } else if (!MATCHES(line, "endpoint %u/%u host %u " MAC_FORMAT " %8[a-z]",
                        &id, &index, &endpoint.host, MAC_ARGS(endpoint.mac),
                        state)) {
        return false;
    }
    endpoint.state = endpoint_state(state);
    if (id >= MAX_GROUPS || index >= MAX_ENDPOINTS
        || endpoint.state == ENDPOINT_ABSENT) {
        return false;
    }

    struct world_group *group = &world->groups[id];
    group->endpoints[index] = endpoint;
    if (index >= group->spec.n_endpoints) {
        group->spec.n_endpoints = index + 1;
    }
    return true;
}

static bool
apply_slots(struct world *world, const char *line)
{
    unsigned int id, first, last, index;
    int end;

    if (!MATCHES(line, "slots %u %u-%u %u", &id, &first, &last, &index)
        || id >= MAX_GROUPS || last >= world->groups[id].spec.n_slots) {
        return false;
    }
    for (unsigned int i = first; i <= last; i++) {
        world->groups[id].slots[i] = index;
    }
    return true;
}

static bool
apply_packet(struct world *world, const char *line)
{
    unsigned int p, value;
    char what[16];
    int end;

    bool has_value = MATCHES(line, "packet %u %15[a-z-] %u", &p, what, &value);
    if ((!has_value && !MATCHES(line, "packet %u %15[a-z-]", &p, what))
        || p > WORLD_MAX_PACKETS) {
        return false;
    }

    struct world_packet *packet = &world->packets[p];
    if (has_value && !strcmp(what, "vni")) {
        packet->vni = value;
    } else if (has_value && !strcmp(what, "headroom")) {
        packet->headroom = value;
    } else if (!has_value && !strcmp(what, "from-tunnel")) {
        packet->from_tunnel = true;
    } else if (!has_value && !strcmp(what, "partial")) {
        packet->partial = true;
    } else if (!has_value && !strcmp(what, "tso")) {
        packet->tso = true;
    } else {
        return false;
    }
    return true;
}

static bool
apply_vni(struct world *world, const char *line)
{
    unsigned int vni;
    int end;

    if (!MATCHES(line, "vni %u", &vni)) {
        return false;
    }
    for (size_t i = 0; i <= WORLD_MAX_PACKETS; i++) {
        world->packets[i].vni = vni;
    }
    return true;
}

static bool
apply(struct world *world, const char *line)
{
    unsigned long long key0, key1;
    unsigned int id, epoch;
    int end;

    if (MATCHES(line, "key %16llx%16llx", &key0, &key1)) {
        world->key = (struct hash_key) { { key0, key1 } };
        return true;
    }
    if (MATCHES(line, "epoch %u %u", &id, &epoch) && id < MAX_GROUPS) {
        world->groups[id].spec.epoch = epoch;
        return true;
    }
    if (!strcmp(line, "no-table")) {
        world->no_table = true;
        return true;
    }
    return apply_host(world, line) || apply_group(world, line)
           || apply_endpoint(world, line) || apply_slots(world, line)
           || apply_packet(world, line) || apply_vni(world, line);
}

/* Cuts the comment and the blanks at the end off. */
static void
strip(char *text)
{
    text[strcspn(text, "#\n")] = '\0';
    for (size_t n = strlen(text); n && text[n - 1] == ' '; n--) {
        text[n - 1] = '\0';
    }
}

static void
read_lines(struct world *world, FILE *file)
{
    unsigned int packet = 0, number = 0;
    char text[MAX_LINE];
    int end;

    while (fgets(text, sizeof text, file)) {
        number++;
        strip(text);
        if (!text[0] || MATCHES(text, "before %u", &packet)) {
            continue;
        }
        if (world->n_lines >= MAX_LINES) {
            errx(2, "%s: more than %d lines", world->path, MAX_LINES);
        }
        struct line *line = &world->lines[world->n_lines++];
        line->number = number;
        line->packet = packet;
        memcpy(line->text, text, sizeof text);
    }
}

struct world *
world_read(const char *path)
{
    struct world *world = calloc(1, sizeof *world);
    FILE *file = fopen(path, "r");

    if (!world || !file) {
        err(2, "%s", path);
    }
    world->path = path;
    for (size_t i = 0; i <= WORLD_MAX_PACKETS; i++) {
        world->packets[i].headroom = HEADROOM;
    }
    read_lines(world, file);
    fclose(file);
    return world;
}

static void
drop_table(struct world *world)
{
    anycast_table_destroy(world->table);
    world->table = NULL;
    for (size_t i = 0; i < MAX_GROUPS; i++) {
        group_destroy(world->groups[i].built);
        world->groups[i].built = NULL;
    }
}

static void
build_table(struct world *world)
{
    drop_table(world);
    world->table = anycast_table_create(&world->key, 1, MAX_GROUPS, MAX_HOSTS);
    for (size_t i = 0; i < MAX_HOSTS; i++) {
        struct tunnel tunnel;

        tunnel_init(&tunnel, &world->hosts[i]);
        anycast_table_set_tunnel(world->table, i, &tunnel);
    }
    for (size_t i = 0; i < MAX_GROUPS; i++) {
        struct world_group *group = &world->groups[i];

        if (!group->spec.id) {
            continue;
        }
        group->built = group_create(&group->spec, &world->key);
        if (!group->built || !anycast_table_add(world->table, group->built)) {
            errx(2, "%s: group %zu is refused", world->path, i);
        }
    }
}

bool
world_changes(const struct world *world, unsigned int p)
{
    return world->n_applied < world->n_lines
           && world->lines[world->n_applied].packet <= p;
}

const struct anycast_table *
world_table(struct world *world, unsigned int p)
{
    if (world_changes(world, p)) {
        do {
            const struct line *line = &world->lines[world->n_applied++];

            if (!apply(world, line->text)) {
                errx(2, "%s:%u: not understood: %s", world->path,
                     line->number, line->text);
            }
        } while (world_changes(world, p));
        build_table(world);
    }
    return world->no_table ? NULL : world->table;
}

const struct world_packet *
world_packet(const struct world *world, unsigned int p)
{
    return &world->packets[p];
}

void
world_destroy(struct world *world)
{
    drop_table(world);
    free(world);
}
