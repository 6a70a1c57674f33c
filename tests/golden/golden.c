/* A golden case: the engine's answer to the frames of DIR/in.pcap, with the
 * knowledge of DIR/table, must be DIR/out.pcap and DIR/counters.
 *
 *     golden DIR...           compares; exit status 1 if something differs
 *     golden --write DIR...   writes the two files
 *
 * A frame's timestamp is the time at which the engine gets it; frames with
 * equal timestamps form a batch. */

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/engine.h"
#include "tests/golden/pcap.h"
#include "tests/golden/world.h"

enum { N_FLOWS = 64, MAX_PATH = 512 };

/* The two files that a case results in, in memory. */
struct result {
    char *frames, *counters;
    size_t frames_size, counters_size;
    FILE *frames_file, *counters_file;
};

static const char *const verdict_names[] = {
    [ENGINE_UNDERLAY] = "underlay",
    [ENGINE_LOCAL] = "local",
    [ENGINE_REPLY] = "reply",
    [ENGINE_DROP] = "drop",
};

static void
result_open(struct result *result)
{
    result->frames_file = open_memstream(&result->frames,
                                         &result->frames_size);
    result->counters_file = open_memstream(&result->counters,
                                           &result->counters_size);
    if (!result->frames_file || !result->counters_file) {
        err(2, "open_memstream");
    }
    pcap_write_start(result->frames_file);
}

static void
result_close(struct result *result)
{
    fclose(result->frames_file);
    fclose(result->counters_file);
}

static void
result_free(struct result *result)
{
    free(result->frames);
    free(result->counters);
}

static void
note_packet(struct result *result, unsigned int p, uint64_t time_ms,
            const struct engine_packet *packet)
{
    fprintf(result->counters_file, "packet %u %s", p,
            verdict_names[packet->verdict]);
    if (packet->reason != DROP_NONE) {
        fprintf(result->counters_file, " %s",
                drop_reason_name(packet->reason));
    }
    fputc('\n', result->counters_file);
    if (packet->verdict != ENGINE_DROP) {
        pcap_write(result->frames_file, time_ms, packet->data, packet->size);
    }
}

static void
note_counters(struct result *result, const struct engine_thread *thread)
{
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {
        { "underlay", thread->underlay },
        { "local", thread->local },
        { "arp_replies", thread->arp_replies },
        { "icmp_errors", thread->icmp_errors },
        { "new_flows", thread->new_flows },
        { "repicked", thread->repicked },
        { "untracked", thread->untracked },
        { "completed_csums", thread->completed_csums },
    };

    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        if (counters[i].value) {
            fprintf(result->counters_file, "%s %"PRIu64"\n",
                    counters[i].name, counters[i].value);
        }
    }
    for (size_t i = 0; i < N_DROP_REASONS; i++) {
        if (thread->drops[i]) {
            fprintf(result->counters_file, "drops.%s %"PRIu64"\n",
                    drop_reason_name(i), thread->drops[i]);
        }
    }
}

/* Puts a frame at the end of an allocation of its own, so that ASan sees each
 * byte read past it or written before its headroom. */
static uint8_t *
prepare(const struct pcap_frame *frame, const struct world_packet *about,
        struct engine_packet *packet)
{
    size_t size = about->headroom + frame->size;
    uint8_t *buffer = malloc(size ? size : 1);

    if (!buffer) {
        err(2, "malloc");
    }
    memset(buffer, 0xa5, about->headroom);
    memcpy(buffer + about->headroom, frame->data, frame->size);
    *packet = (struct engine_packet) {
        .data = buffer + about->headroom,
        .size = frame->size,
        .headroom = about->headroom,
        .vni = about->vni,
        .from_tunnel = about->from_tunnel,
        .partial_csum = about->partial,
        .tso = about->tso,
    };
    return buffer;
}

/* How many frames from 'first' on enter the engine together. */
static size_t
batch_size(const struct pcap *in, size_t first, const struct world *world)
{
    size_t n = 1;

    while (n < ENGINE_BATCH && first + n < in->n
           && in->frames[first + n].time_ms == in->frames[first].time_ms
           && !world_changes(world, first + n + 1)) {
        n++;
    }
    return n;
}

static void
run_batch(const struct pcap *in, size_t first, size_t n, struct world *world,
          const struct anycast_table *table, struct flow_table *flows,
          struct engine_thread *thread, struct result *result)
{
    struct engine_packet packets[ENGINE_BATCH];
    uint8_t *buffers[ENGINE_BATCH];
    uint64_t now_ms = in->frames[first].time_ms;

    for (size_t i = 0; i < n; i++) {
        buffers[i] = prepare(&in->frames[first + i],
                             world_packet(world, first + i + 1), &packets[i]);
    }
    engine_process(table, flows, thread, now_ms, packets, n);
    for (size_t i = 0; i < n; i++) {
        note_packet(result, first + i + 1, now_ms, &packets[i]);
        free(buffers[i]);
    }
}

static void
run_case(const char *dir, struct result *result)
{
    struct engine_thread thread = { .underlay = 0 };
    struct flow_table *flows = flow_table_create(N_FLOWS);
    char path[MAX_PATH], table_path[MAX_PATH];
    struct pcap in;

    snprintf(path, sizeof path, "%s/in.pcap", dir);
    snprintf(table_path, sizeof table_path, "%s/table", dir);
    pcap_read(&in, path);
    if (!flows || in.n > WORLD_MAX_PACKETS) {
        errx(2, "%s: too large, or no memory", path);
    }

    struct world *world = world_read(table_path);
    result_open(result);
    for (size_t first = 0; first < in.n; ) {
        const struct anycast_table *table = world_table(world, first + 1);
        size_t n = batch_size(&in, first, world);

        run_batch(&in, first, n, world, table, flows, &thread, result);
        first += n;
    }
    note_counters(result, &thread);
    result_close(result);

    world_destroy(world);
    flow_table_destroy(flows);
    pcap_free(&in);
}

static void
write_file(const char *dir, const char *name, const char *data, size_t size)
{
    char path[MAX_PATH];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file)) {
        err(2, "%s", path);
    }
}

/* Whether the file has the contents 'data'. */
static bool
is_same(const char *dir, const char *name, const char *data, size_t size)
{
    char path[MAX_PATH];
    char *stored = malloc(size + 1);

    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "rb");
    if (!stored || !file) {
        err(2, "%s", path);
    }
    size_t n = fread(stored, 1, size + 1, file);
    fclose(file);

    bool same = n == size && !memcmp(stored, data, size);
    free(stored);
    return same;
}

/* Returns whether the case is as it should be. */
static bool
compare(const char *dir, const struct result *result)
{
    bool same_counters = is_same(dir, "counters", result->counters,
                                 result->counters_size);
    bool same_frames = is_same(dir, "out.pcap", result->frames,
                               result->frames_size);

    if (!same_counters) {
        printf("FAIL %s: counters are now\n%s", dir, result->counters);
    }
    if (!same_frames) {
        printf("FAIL %s: out.pcap differs\n", dir);
    }
    return same_counters && same_frames;
}

int
main(int argc, char *argv[])
{
    bool write = argc > 1 && !strcmp(argv[1], "--write");
    int failed = 0;

    if (argc < 2 + write) {
        errx(2, "usage: golden [--write] DIR...");
    }
    for (int i = 1 + write; i < argc; i++) {
        struct result result;

        run_case(argv[i], &result);
        if (write) {
            write_file(argv[i], "out.pcap", result.frames,
                       result.frames_size);
            write_file(argv[i], "counters", result.counters,
                       result.counters_size);
        } else if (!compare(argv[i], &result)) {
            failed++;
        }
        result_free(&result);
    }
    if (!write) {
        printf("%d golden cases, %d failed\n", argc - 1, failed);
    }
    return failed ? 1 : 0;
}
