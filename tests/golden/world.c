#include "tests/golden/world.h"

#include <arpa/inet.h>
#include <err.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/load.h"
#include "anycast/pick.h"

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
    uint16_t previous[MAX_SLOTS][GROUP_MAX_PREVIOUS];
    struct group_endpoint endpoints[MAX_ENDPOINTS];
    struct endpoint_load loads[MAX_ENDPOINTS];
    struct group_load load;
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

/* An address of either IP version. */
static bool
parse_address(const char *text, struct inet_addr *address)
{
    uint8_t bytes[16];
    uint32_t word;

    if (inet_pton(AF_INET, text, &word) == 1) {
        *address = inet_addr_from4(be32_to_host(word));
        return true;
    }
    if (inet_pton(AF_INET6, text, bytes) == 1) {
        *address = inet_addr_from_bytes(bytes);
        return true;
    }
    return false;
}

static bool
apply_host(struct world *world, const char *line)
{
    struct tunnel_spec spec = { .ttl = 64 };
    char type[8], ours[48], its[48];
    unsigned int host;
    int end;

    if (MATCHES(line, "host %u none", &host) && host < MAX_HOSTS) {
        world->hosts[host] = (struct tunnel_spec) { .type = TUNNEL_NONE };
        return true;
    }
    if (!MATCHES(line, "host %u %7[a-z] %47s " MAC_FORMAT " %47s " MAC_FORMAT
                 " mtu %hu", &host, type, ours, MAC_ARGS(spec.src_mac), its,
                 MAC_ARGS(spec.dst_mac), &spec.mtu) || host >= MAX_HOSTS
        || !parse_address(ours, &spec.src_ip)
        || !parse_address(its, &spec.dst_ip)) {
        return false;
    }
    spec.type = !strcmp(type, "geneve") ? TUNNEL_GENEVE : TUNNEL_VXLAN;
    world->hosts[host] = spec;
    return true;
}

/* 0 for another name. */
static uint8_t
protocol_number(const char *name)
{
    return !strcmp(name, "tcp") ? IPPROTO_NR_TCP
           : !strcmp(name, "udp") ? IPPROTO_NR_UDP
           : !strcmp(name, "sctp") ? IPPROTO_NR_SCTP
           : !strcmp(name, "icmp") ? IPPROTO_NR_ICMP : 0;
}

static bool
apply_group(struct world *world, const char *line)
{
    unsigned int id, vni, slots, port;
    char protocol[5], address[48], affinity[8];
    struct inet_addr ip;
    int end;

    if (!MATCHES(line, "group %u vni %u %4[a-z] %47s %u slots %u"
                 " affinity %7[a-z]", &id, &vni, protocol, address, &port,
                 &slots, affinity)
        || !id || id >= MAX_GROUPS || slots > MAX_SLOTS
        || !protocol_number(protocol) || !parse_address(address, &ip)) {
        return false;
    }

    struct world_group *group = &world->groups[id];
    group->spec = (struct group_spec) {
        .id = id,
        .affinity = !strcmp(affinity, "source") ? AFFINITY_SOURCE
                                                : AFFINITY_FLOW,
        .affinity_timeout = 10800,
        .slots = group->slots,
        .previous = group->previous[0],
        .n_slots = slots,
        .endpoints = group->endpoints,
        .load = &group->load,
    };
    group_key_init(&group->spec.key, vni, ip, protocol_number(protocol), port,
                   0);
    memset(group->slots, 0xff, sizeof group->slots);
    memset(group->previous, 0xff, sizeof group->previous);
    return true;
}

static bool
set_flag(struct group_spec *spec, enum group_flags flag, bool on)
{
    spec->flags = on ? spec->flags | flag : spec->flags & ~flag;
    return true;
}

/* Properties of a group that have a name. */
static bool
apply_property(struct world *world, const char *line)
{
    char what[16], name[32];
    unsigned int id;
    int end;

    if (!MATCHES(line, "%15[a-z-] %u %31s", what, &id, name)
        || id >= MAX_GROUPS) {
        return false;
    }

    struct group_spec *spec = &world->groups[id].spec;
    if (!strcmp(what, "when-empty")) {
        return set_flag(spec, GROUP_REJECT, !strcmp(name, "reject"));
    } else if (!strcmp(what, "on-host-death")) {
        return set_flag(spec, GROUP_RESET_LOST, !strcmp(name, "reset"));
    } else if (strcmp(what, "algorithm")) {
        return false;
    }
    for (int a = 0; a < N_ALGORITHMS; a++) {
        if (!strcmp(name, pick_algorithm_name(a))) {
            spec->algorithm = a;
            return true;
        }
    }
    return false;
}

static enum endpoint_state
endpoint_state(const char *name)
{
    return !strcmp(name, "up") ? ENDPOINT_UP
           : !strcmp(name, "draining") ? ENDPOINT_DRAINING
           : !strcmp(name, "down") ? ENDPOINT_DOWN
           : !strcmp(name, "lost") ? ENDPOINT_LOST : ENDPOINT_ABSENT;
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
    endpoint.weight = 100;
    endpoint.load = &group->loads[index];
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
apply_previous(struct world *world, const char *line)
{
    unsigned int id, first, last;
    uint16_t a, b;
    int end;

    if (!MATCHES(line, "previous %u %u-%u %hu %hu", &id, &first, &last, &a, &b)
        || id >= MAX_GROUPS || last >= world->groups[id].spec.n_slots) {
        return false;
    }
    for (unsigned int i = first; i <= last; i++) {
        world->groups[id].previous[i][0] = a;
        world->groups[id].previous[i][1] = b;
    }
    return true;
}

/* How a packet came out of a tunnel. */
static bool
apply_arrival(struct world *world, const char *line)
{
    char from[48], hex[2 * WORLD_MAX_OPTIONS + 1] = "";
    unsigned int p;
    int end;

    if ((!MATCHES(line, "packet %u from %47s %64[0-9a-f]", &p, from, hex)
         && !MATCHES(line, "packet %u from %47s", &p, from))
        || p > WORLD_MAX_PACKETS) {
        return false;
    }

    struct world_packet *packet = &world->packets[p];
    packet->has_arrival = true;
    packet->arrival.options_len = strlen(hex) / 2;
    packet->arrival.options = hex[0] ? packet->options : NULL;
    for (size_t i = 0; i < strlen(hex) / 2; i++) {
        sscanf(hex + 2 * i, "%2hhx", &packet->options[i]);
    }
    return parse_address(from, &packet->arrival.peer);
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
    } else if (has_value && !strcmp(what, "tailroom")) {
        packet->tailroom = value;
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
           || apply_previous(world, line) || apply_arrival(world, line)
           || apply_packet(world, line) || apply_vni(world, line)
           || apply_property(world, line);
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
    struct world *world = aligned_alloc(alignof(struct world), sizeof *world);
    FILE *file = fopen(path, "r");

    if (!world || !file) {
        err(2, "%s", path);
    }
    memset(world, 0, sizeof *world);
    for (int g = 0; g < MAX_GROUPS; g++) {
        for (int e = 0; e < MAX_ENDPOINTS; e++) {
            load_init(&world->groups[g].loads[e]);
        }
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

        if (world->hosts[i].type != TUNNEL_NONE) {
            tunnel_init(&tunnel, &world->hosts[i]);
            anycast_table_set_tunnel(world->table, i, &tunnel);
            anycast_table_set_vtep(world->table, i, world->hosts[i].dst_ip);
        }
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

const struct hash_key *
world_key(const struct world *world)
{
    return &world->key;
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
