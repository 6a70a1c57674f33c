/* Writes a few good inputs for each fuzz target, for it to start from:
 *
 *     seeds DIRECTORY     makes DIRECTORY/fuzz-parse/... */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "encap/hint.h"
#include "tests/unit/frame.h"

static const char *directory;

static void
write_seed(const char *target, int number, const uint8_t *data, size_t size)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", directory, target);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/seed-%d", directory, target, number);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(data, size, 1, file) != 1 || fclose(file)) {
        perror(path);
        exit(1);
    }
}

static void
write_texts(const char *target, const char *const texts[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        write_seed(target, i, (const uint8_t *) texts[i], strlen(texts[i]));
    }
}

static void
seed_parse(void)
{
    static uint8_t quote[FRAME_MAX], quote6[FRAME_MAX], frame[FRAME_MAX];
    const struct frame_spec sent = { .src = 0x0a010064, .dst = 0x0a010002 };
    const struct frame_spec sent6 = {
        .ipv6 = true, .n_exts = 1, .exts = { 60 },
        .src6 = { 0xfd, [15] = 0x64 }, .dst6 = { 0xfd, [15] = 2 },
    };
    const struct frame_spec specs[] = {
        { .payload = 4 },
        { .vlan = true, .ihl = 6, .protocol = 17, .payload = 30 },
        { .protocol = 132, .l4_type = 1 },
        { .protocol = 1, .l4_type = 8 },
        { .protocol = 1, .l4_type = 3, .data = quote + 14,
          .payload = frame_build(&sent, quote) - 14 },
        { .frag = 0x2000, .payload = 4 },
        { .frag = 0x2001, .payload = 4 },
        { .ipv6 = true, .protocol = 17 },
        { .ipv6 = true, .n_exts = 3, .exts = { 0, 43, 60 } },
        { .ipv6 = true, .n_exts = 1, .exts = { 44 }, .frag = 1, .payload = 4 },
        { .ipv6 = true, .n_exts = 1, .exts = { 44 }, .frag = 8, .payload = 4 },
        { .ipv6 = true, .protocol = 58, .l4_type = 128 },
        { .ipv6 = true, .protocol = 58, .l4_type = 2, .data = quote6 + 14,
          .payload = frame_build(&sent6, quote6) - 14 },
    };
    const uint8_t client[16] = { 0xfd, [15] = 2 };
    const uint8_t service[16] = { 0xfd, [15] = 0x64 };
    int n = 0;

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        write_seed("fuzz-parse", n++, frame, frame_build(&specs[i], frame));
    }
    write_seed("fuzz-parse", n++, frame,
               frame_build_arp(frame, false, 1, 0x0a010002, 0x0a010064));
    write_seed("fuzz-parse", n++, frame,
               frame_build_solicit(frame, false, client, service, service,
                                   true));
}

static void
seed_context(void)
{
    const uint8_t options[] = {
        0xff, 0x67, 1, 2, 0x15, 0, 0, 9, 0, 0, 0, 3,
        0xff, 0x67, 2, 2, 0, 1, 0, 2, 0xff, 0xff, 0xff, 0xff,
        1, 2, 3, 1, 4, 5, 6, 7,
    };

    write_seed("fuzz-context", 0, options, sizeof options);
    write_seed("fuzz-context", 1, options, 12);
}

static void
seed_hint(void)
{
    const uint64_t key[2] = { 0x0123456789abcdef, 0xfedcba9876543210 };
    const struct hint hint = { .group = 1, .vni = 7, .endpoint = 3 };
    const struct mac mac = { { 2 } };
    uint8_t frame[HINT_FRAME_LEN];

    hint_write(frame, &hint, &mac, &mac, key);
    write_seed("fuzz-hint", 0, frame + 14, sizeof frame - 14);
}

/* Inputs of fuzz-engine.c: packets one after the other. */

static uint8_t sequence[8192];
static size_t sequence_len;

static void
begin_sequence(uint8_t world)
{
    sequence[0] = world;
    sequence_len = 1;
}

static void
add_packet(uint8_t flags, uint8_t choices, const uint8_t *options,
           uint8_t options_len, const uint8_t *frame, size_t size)
{
    uint8_t *p = &sequence[sequence_len];

    p[0] = flags;
    p[1] = choices;
    p[2] = options_len;
    frame_put16(p + 3, size);
    if (options_len) {
        memcpy(p + 5, options, options_len);
    }
    memcpy(p + 5 + options_len, frame, size);
    sequence_len += 5 + options_len + size;
}

/* The packet of 'spec' from port 1024 to 'port' with TCP flags 'tcp', in frame
 * for the endpoint 'endpoint' of 'group'. */
static void
add_spec(uint8_t flags, const struct frame_spec *spec, uint16_t port,
         uint8_t tcp, int group, int endpoint)
{
    const uint8_t mac[] = { 2, 0, 0, group, 0, endpoint };
    const uint8_t options[] = {
        0xff, 0x67, 1, 2, 0x10 | (tcp == 2), 0, 0, 1 + group, 0, 0, 0, 1,
        0xff, 0x67, 2, 2, 0, 1, 0, 2, 0xff, 0xff, 0xff, 0xff,
    };
    static uint8_t frame[FRAME_MAX];
    size_t size = frame_build(spec, frame), l4 = frame_l4(frame);

    memcpy(frame, mac, sizeof mac);
    if (spec->protocol != 1 && spec->protocol != 58) {
        frame_put16(frame + l4, 1024);
        frame_put16(frame + l4 + 2, port);
    }
    if (!spec->protocol) {
        frame[l4 + 13] = tcp;
    }
    add_packet(flags, group == 3, options, flags & 2 ? 12 + 12 * (tcp == 16)
               : 0, frame, size);
}

static void
seed_engine(void)
{
    static const uint8_t long_header[] = {
        0xc0, 0, 0, 0, 1, 4, 0, 3, 1, 2, 0, 0, 0, 0, 0, 0
    };
    static uint8_t quote[FRAME_MAX], frame[FRAME_MAX];
    const struct frame_spec sent = { .src = 0x0a010064, .dst = 0x0a010002 };
    const struct frame_spec specs[] = {
        { .payload = 4 },
        { .protocol = 17, .data = long_header, .payload = 16 },
        { .ipv6 = true },
        { .ipv6 = true, .protocol = 17, .payload = 8 },
        { .protocol = 1, .l4_type = 3, .data = quote + 14,
          .payload = frame_build(&sent, quote) - 14 },
        { .protocol = 17, .frag = 1, .payload = 16 },
        { .protocol = 17, .frag = 0x2000, .payload = 16 },
        { .vlan = true, .ttl = 1 },
    };
    static const uint16_t ports[] = { 80, 443, 8005, 53, 0, 443, 443, 80 };
    static const uint8_t groups[] = { 0, 1, 2, 3, 0, 1, 1, 0 };
    static const uint8_t tcp[] = { 2, 16, 16, 17, 16, 2, 4 };
    const struct hint hint = { .group = 1, .epoch = 1, .vni = 5001,
                               .src = inet_addr_from4(0x0a010002),
                               .src_port = 1024, .dst_port = 80,
                               .endpoint = 1 };
    const uint64_t key[2] = { 0x9e3779b97f4a7c15, 0x2545f4914f6cdd1d };
    const struct mac mac = { { 2 } };
    int n = 0;

    for (int world = 0; world < 8; world++) {
        for (int arrives = 0; arrives < 4; arrives += 3) {
            for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
                begin_sequence(world);
                for (size_t t = 0; t < sizeof tcp; t++) {
                    add_spec(arrives | (t == 3 || t == 5 ? 0x30 : 0),
                             &specs[(i + t / 5) % 8], ports[i], tcp[t],
                             groups[i], t % 2 ? 0 : 5);
                }
                write_seed("fuzz-engine", n++, sequence, sequence_len);
            }
        }
        begin_sequence(world);
        hint_write(frame, &hint, &mac, &mac, key);
        add_packet(1, 0, NULL, 0, frame, HINT_FRAME_LEN);
        add_spec(0x40, &specs[0], 80, 16, 0, 0);
        add_packet(0, 0, NULL, 0, frame,
                   frame_build_arp(frame, false, 1, 0x0a010002, 0x0a010064));
        write_seed("fuzz-engine", n++, sequence, sequence_len);
    }
}

/* A group of 4 slots, its endpoints "a" and "b", and a previous owner. */
static void
seed_state(void)
{
    static const uint8_t state[] = {
        1, 7, 0, 0, 0, 3, 0, 0, 0, 2, 0, 4, 0, 0, 0,
        1, 0, 0, 0, 0,
        1, 255, 255, 1, 1,
        0,
        2, 0, 0, 0, 1, 'a', 1, 0, 1, 'b',
    };

    write_seed("fuzz-state", 0, state, sizeof state);
}

/* Appends a packed write to the 'n' bytes at 'p'.  Returns how many there are
 * then. */
static size_t
add_write(uint8_t *p, size_t n, const char *key, const void *value,
          size_t size)
{
    size_t length = strlen(key);
    const uint8_t head[] = { 'P', length, length >> 8, 0, 0,
                             size, size >> 8, 0, 0 };

    memcpy(p + n, head, sizeof head);
    memcpy(p + n + sizeof head, key, length);
    memcpy(p + n + sizeof head + length, value, size);
    return n + sizeof head + length + size;
}

/* A host, and a group of 256 slots whose owner is the one endpoint. */
static void
seed_store(void)
{
    static const char host[] = "{\"kind\":\"host\",\"name\":\"h\","
        "\"vtep\":\"192.0.2.1\"}";
    static const char group[] = "{\"kind\":\"group\",\"vni\":1,"
        "\"name\":\"g\",\"address\":\"10.0.0.1\",\"slots\":256}";
    static const char endpoint[] = "{\"kind\":\"endpoint\",\"vni\":1,"
        "\"group\":\"g\",\"name\":\"a\",\"host\":\"h\","
        "\"mac\":\"02:00:00:00:00:01\"}";
    uint8_t state[16 + 256 + 8] = { 1, 7, [5] = 1, [9] = 1, [12] = 1,
                                    [15] = 1, [274] = 1, [278] = 1,
                                    [279] = 'a' };
    uint8_t data[2048];
    size_t n = 0;

    n = add_write(data, n, "record/host/h", host, strlen(host));
    n = add_write(data, n, "record/group/1/g", group, strlen(group));
    n = add_write(data, n, "record/endpoint/1/g/a", endpoint,
                  strlen(endpoint));
    n = add_write(data, n, "state/1/g", state, sizeof state);
    n = add_write(data, n, "dead/h", "1", 1);
    n = add_write(data, n, "health/7/1", "ill", 3);
    write_seed("fuzz-store", 0, data, n);
}

/* Inputs of fuzz-etcd.c. */
static void
seed_etcd(void)
{
#define HEADER "\"header\":{\"cluster_id\":\"9\",\"revision\":\"7\"}"
#define PAIR "{\"key\":\"YQ==\",\"create_revision\":\"3\"," \
             "\"mod_revision\":\"5\",\"value\":\"AP8K\",\"lease\":\"-1\"}"
    static const char *const inputs[] = {
        "00{" HEADER ",\"kvs\":[" PAIR "],\"more\":true,\"count\":\"9\"}",
        "00{" HEADER ",\"succeeded\":true,\"responses\":[]}",
        "00{" HEADER ",\"ID\":\"5\",\"TTL\":\"2\"}",
        "00{\"result\":{" HEADER ",\"ID\":\"7\",\"TTL\":\"3\"}}",
        "00{" HEADER ",\"token\":\"abc.7\"}",
        "00{\"error\":\"e\",\"message\":\"m\",\"code\":14}",
        "11{\"error\":{\"grpc_code\":14,\"message\":\"m\"}}",
        "11{\"result\":{" HEADER ",\"created\":true}}\n"
        "{\"result\":{" HEADER ",\"fragment\":true,\"events\":[{\"kv\":" PAIR
        "}]}}\n{\"result\":{" HEADER ",\"events\":[{\"type\":\"DELETE\","
        "\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"6\"}}]}}\n",
        "11{\"result\":{" HEADER ",\"created\":true}}\n"
        "{\"result\":{" HEADER ",\"canceled\":true,"
        "\"compact_revision\":\"9\",\"cancel_reason\":\"no\"}}\n",
    };

    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        write_seed("fuzz-etcd", i, (const uint8_t *) inputs[i],
                   strlen(inputs[i]));
    }
}

static void
seed_record(void)
{
    static const char *const texts[] = {
        "{\"kind\":\"host\",\"name\":\"h\",\"vtep\":\"192.0.2.1\"}",
        "{\"kind\":\"group\",\"vni\":1,\"name\":\"g\",\"address\":"
        "\"2001:db8::1\",\"protocol\":\"udp\",\"port\":1,\"port_last\":9,"
        "\"slots\":256,\"quic_id_offset\":1,\"quic_id_length\":4}",
        "{\"kind\":\"endpoint\",\"vni\":1,\"group\":\"g\",\"name\":\"e\","
        "\"host\":\"h\",\"mac\":\"02:00:00:00:00:01\",\"state\":\"down\","
        "\"quic_id\":\"00c0ffee\"}",
        "{\"kind\":\"workload\",\"vni\":1,\"name\":\"w\",\"host\":\"h\","
        "\"mac\":\"02:00:00:00:00:01\",\"address\":\"10.0.0.1\","
        "\"public_address\":\"\"}",
        "{\"kind\":\"pool\",\"vni\":0,\"name\":\"p\",\"first\":"
        "\"10.0.0.8\",\"last\":\"10.0.0.9\",\"prefix_length\":24,"
        "\"router\":\"10.0.0.1\",\"term\":60}",
        "{\"kind\":\"lease\",\"vni\":0,\"pool\":\"p\",\"address\":"
        "\"10.0.0.8\",\"client\":\"1/w\",\"term\":1,\"expires\":2}",
        "{\"kind\":\"gateway\",\"name\":\"g\",\"node1\":\"h\",\"node2\":"
        "\"i\",\"priority2\":1,\"active\":\"i\",\"epoch\":3}",
        "{\"kind\":\"vip\",\"vni\":1,\"name\":\"v\",\"address\":\"::2\","
        "\"gateway\":\"g\"}",
    };

    write_texts("fuzz-record", texts, sizeof texts / sizeof *texts);
}

/* Inputs of fuzz-mapd.c: who ('0': an admin, '1': host h1, '4': host new, '5':
 * a reader, '6': another mapd; '8' and '9': the first two, with a store that
 * fails), and messages. */
static void
seed_mapd(void)
{
#define ASK(METHOD, PARAMS) \
    "{\"id\":1,\"method\":\"" METHOD "\",\"params\":[" PARAMS "]}"
#define TELL(METHOD, PARAMS) \
    "{\"id\":null,\"method\":\"" METHOD "\",\"params\":[" PARAMS "]}"
#define H1 "{\"kind\":\"host\",\"name\":\"h1\",\"vtep\":\"192.0.2.1\"}"
#define NEW "{\"kind\":\"host\",\"name\":\"new\",\"vtep\":\"192.0.2.7\"}"
#define P "\"kind\":\"lease\",\"vni\":1,\"pool\":\"p\","
#define A "{\"kind\":\"endpoint\",\"vni\":1,\"group\":\"g\",\"name\":\"a\""
    static const char *const texts[] = {
        "1" ASK("register", H1 ",{\"version\":\"1\"}")
        ASK("subscribe", "{\"vnis\":[1,2]}")
        TELL("applied", "{\"revision\":1}")
        TELL("health", "{\"all\":true,\"endpoints\":[[1,0,false,\"off\"]]}")
        TELL("health", "{\"all\":false,\"endpoints\":[[1,0,true,\"\"],"
             "[1,1,false,\"x\"]]}")
        TELL("report", "{\"loads\":[[1,0,5,300],[1,1,0,0],[1,0,0,0]]}"),
        "1" ASK("register", H1) ASK("subscribe", "{}")
        TELL("want_flows", "{\"vni\":1,\"source\":\"10.0.0.9\"}")
        TELL("flows", "{\"host\":\"h2\",\"vni\":1,\"source\":\"10.0.0.9\","
             "\"flows\":[[1,1024,80,0,\"open\",3]]}")
        TELL("traced", "{\"id\":1,\"text\":\"t\"}")
        "{\"id\":\"synced\",\"result\":[],\"error\":null}",
        "1" ASK("transact", "{\"ops\":[{\"op\":\"set\",\"record\":" A
                ",\"state\":\"down\"}}]}")
        ASK("transact", "{\"ops\":[{\"op\":\"set\",\"record\":{\"kind\":"
            "\"host\",\"name\":\"h1\",\"rack\":\"r\"}}]}")
        ASK("transact", "{\"ops\":[{\"op\":\"set\",\"record\":{\"kind\":"
            "\"endpoint\",\"vni\":1,\"group\":\"g\",\"name\":\"b\","
            "\"weight\":5}}]}"),
        "4" ASK("register", NEW)
        TELL("health", "{\"all\":true,\"endpoints\":[]}"),
        "0" ASK("transact", "{\"ops\":[{\"op\":\"add\",\"record\":" A
                "2\",\"host\":\"h2\",\"mac\":\"02:00:00:00:00:09\"}}],"
                "\"if_revision\":1,\"dry_run\":false}")
        ASK("transact", "{\"ops\":[{\"op\":\"remove\",\"record\":{\"kind\":"
            "\"group\",\"vni\":1,\"name\":\"g\"},\"cascade\":true}]}"),
        "0" ASK("transact", "{\"ops\":[{\"op\":\"allocate\",\"record\":{" P
                "\"client\":\"c\"}},{\"op\":\"reassign\",\"record\":{" P
                "\"address\":\"10.0.0.8\",\"client\":\"1/w\"}}]}")
        ASK("transact", "{\"ops\":[{\"op\":\"renew\",\"record\":{" P
            "\"client\":\"1/w\",\"term\":5}},{\"op\":\"return\",\"record\":{" P
            "\"address\":\"10.0.0.8\"},\"if_exists\":true}]}"),
        "0" ASK("transact", "{\"ops\":[{\"op\":\"set\",\"record\":{\"kind\":"
                "\"gateway\",\"name\":\"gw\",\"active\":\"h2\"},"
                "\"if_epoch\":0}]}")
        ASK("load", "{\"records\":[" H1 "," NEW "],\"prune\":true,"
            "\"force\":true}"),
        "0" ASK("watch", "{}") ASK("wait", "{\"revision\":1,"
                                   "\"timeout_ms\":1}")
        ASK("trace", "{\"host\":\"h1\",\"vni\":1,\"src\":\"10.0.0.9\","
            "\"dst\":\"10.0.0.1\",\"dst_port\":80}"),
        "5" ASK("list", "{\"kind\":\"endpoint\",\"vni\":1,\"group\":\"g\"}")
        ASK("list", "{\"kind\":\"lease\",\"pool\":\"p\"}")
        ASK("list", "{\"kind\":\"host\"}") ASK("dump", "") ASK("status", "")
        ASK("subscribe", "{}"),
        "6" ASK("forwarded", "\"register\",[" H1 "],{\"who\":\"h\",\"role\":"
                "\"host:h1\",\"from\":\"x\"}"),
        "8" ASK("register", NEW) ASK("load", "{\"records\":[" NEW "]}"),
        "9" ASK("register", H1) "{\"id\":\"echo\",\"result\":[],"
        "\"error\":null}" ASK("echo", "7"),
    };

    write_texts("fuzz-mapd", texts, sizeof texts / sizeof *texts);
}

/* Inputs of fuzz-replica.c, and what fuzz-table-file.c makes files of. */

#define HOST(N) "{\"kind\":\"host\",\"name\":\"h" N "\",\"vtep\":" \
    "\"192.0.2." N "\"}"
#define GROUP_RECORD "{\"kind\":\"group\",\"vni\":1,\"name\":\"g\"," \
    "\"address\":\"10.0.0.1\",\"slots\":256}"
#define ENDPOINT(N) "{\"record\":{\"kind\":\"endpoint\",\"vni\":1," \
    "\"group\":\"g\",\"name\":\"e" N "\",\"host\":\"h" N "\"," \
    "\"mac\":\"02:00:00:00:00:0" N "\"},\"index\":" N ",\"up_ms\":5}"
/* The slots: 256 of endpoint 1; and 16 of them had endpoint 2 before. */
#define GROUP "{\"record\":" GROUP_RECORD ",\"id\":1,\"epoch\":1," \
    "\"slots\":\"AIACAQ==\",\"previous\":[\"ABAC\",\"\"],\"endpoints\":[" \
    ENDPOINT("1") "," ENDPOINT("2") "]}"
#define WORKLOAD "{\"kind\":\"workload\",\"vni\":1,\"name\":\"w\"," \
    "\"host\":\"h1\",\"mac\":\"02:00:00:00:00:09\",\"address\":\"10.0.0.9\"}"
#define SNAPSHOT "{\"revision\":1,\"hash_key\":" \
    "\"0123456789abcdef0123456789abcdef\",\"hosts\":[" HOST("1") "," \
    HOST("2") "],\"dead\":[\"h2\"],\"groups\":[" GROUP "]," \
    "\"records\":[" WORKLOAD "]}"
#define UPDATE(REVISION, CHANGES) \
    "\n{\"revision\":" REVISION ",\"changes\":[" CHANGES "]}"

static void
seed_replica(void)
{
    static const char *const texts[] = {
        SNAPSHOT,
        SNAPSHOT UPDATE("2", "{\"host\":" HOST("3") "},{\"host_alive\":"
                        "{\"name\":\"h2\",\"alive\":true}}")
        UPDATE("3", "{\"host_removed\":\"h3\"},{\"record_removed\":{\"kind\":"
               "\"workload\",\"vni\":1,\"name\":\"w\"}}"),
        SNAPSHOT UPDATE("2", "{\"group_delta\":{\"vni\":1,\"name\":\"g\","
                        "\"from_epoch\":1,\"epoch\":2,\"slots\":\"EBAC\","
                        "\"previous\":[],\"endpoints\":[],"
                        "\"endpoints_removed\":[]}}")
        UPDATE("3", "{\"group_removed\":{\"vni\":1,\"name\":\"g\"}},"
               "{\"record\":" WORKLOAD "}"),
        SNAPSHOT UPDATE("2", "{\"group_delta\":{\"vni\":1,\"name\":\"g\","
                        "\"from_epoch\":1,\"epoch\":2,\"slots\":\"\","
                        "\"previous\":[\"ABD//wM=\",\"\"],\"endpoints\":[],"
                        "\"endpoints_removed\":[\"e2\"]}}") "\n" SNAPSHOT,
    };

    write_texts("fuzz-replica", texts, sizeof texts / sizeof *texts);
}

static void
seed_table_file(void)
{
    static const char *const texts[] = {
        "s" SNAPSHOT, "s{}", "s",
        "{\"bytes\":2,\"digest\":\"bf21a9e8fbc5a3846fb05b4fa0859e0917b2202f\","
        "\"grapnel\":\"table\",\"host\":\"h1\",\"revision\":1,\"version\":1}"
        "\n{}\n",
    };

    write_texts("fuzz-table-file", texts, sizeof texts / sizeof *texts);
}

int
main(int argc, char *argv[])
{
    if (argc != 2) {
        fprintf(stderr, "usage: seeds DIRECTORY\n");
        return 2;
    }
    directory = argv[1];
    mkdir(directory, 0777);
    seed_parse();
    seed_context();
    seed_hint();
    seed_engine();
    seed_state();
    seed_store();
    seed_etcd();
    seed_record();
    seed_mapd();
    seed_replica();
    seed_table_file();
    return 0;
}
