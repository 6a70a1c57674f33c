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

enum { N_FLOWS = 64, N_SOURCES = 64, MAX_PATH = 512 };

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
    [ENGINE_HELD] = "held",
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
    if (packet->verdict < ENGINE_DROP) {
        pcap_write(result->frames_file, time_ms, packet->data, packet->size);
    }
}

/* Frames that answer no packet. */
static void
note_extras(struct result *result, uint64_t time_ms,
            const struct engine_thread *thread)
{
    for (size_t i = 0; i < thread->n_extras; i++) {
        const struct engine_extra *extra = &thread->extras[i];

        fprintf(result->counters_file, "extra\n");
        pcap_write(result->frames_file, time_ms, extra->frame + extra->ofs,
                   extra->size);
    }
    for (size_t i = 0; i < thread->n_questions; i++) {
        fprintf(result->counters_file, "question\n");
    }
}

static void
note_counters(struct result *result, const struct engine_counters *count)
{
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {
        { "underlay", count->underlay },
        { "local", count->local },
        { "arp_replies", count->arp_replies },
        { "nd_replies", count->nd_replies },
        { "icmp_errors", count->icmp_errors },
        { "resets", count->resets },
        { "new_flows", count->new_flows },
        { "repicked", count->repicked },
        { "untracked", count->untracked },
        { "completed_csums", count->completed_csums },
        { "from_tunnel", count->from_tunnel },
        { "forwarded", count->forwarded },
        { "hints_sent", count->hints_sent },
        { "hints_accepted", count->hints_accepted },
        { "hints_limited", count->hints_limited },
        { "icmp_routed", count->icmp_routed },
        { "fragments", count->fragments },
        { "handovers_asked", count->handovers_asked },
    };

    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        if (counters[i].value) {
            fprintf(result->counters_file, "%s %"PRIu64"\n",
                    counters[i].name, counters[i].value);
        }
    }
    for (size_t i = 0; i < N_DROP_REASONS; i++) {
        if (count->drops[i]) {
            fprintf(result->counters_file, "drops.%s %"PRIu64"\n",
                    drop_reason_name(i), count->drops[i]);
        }
    }
}

/* A packet in the engine, its name there. */
struct passenger {
    unsigned int p;
    uint8_t *buffer;            /* To be freed. */
    struct engine_packet packet;
};

/* Puts a frame at the end of an allocation of its own, so that ASan sees each
 * byte read past it or written before its headroom. */
static void
prepare(const struct pcap_frame *frame, const struct world_packet *about,
        struct passenger *passenger)
{
    size_t size = about->headroom + frame->size + about->tailroom;
    uint8_t *buffer = malloc(size ? size : 1);

    if (!buffer) {
        err(2, "malloc");
    }
    memset(buffer, 0xa5, about->headroom);
    memcpy(buffer + about->headroom, frame->data, frame->size);
    passenger->buffer = buffer;
    passenger->packet = (struct engine_packet) {
        .data = buffer + about->headroom,
        .size = frame->size,
        .headroom = about->headroom,
        .tailroom = about->tailroom,
        .vni = about->vni,
        .arrival = about->has_arrival ? &about->arrival : NULL,
        .partial_csum = about->partial,
        .tso = about->tso,
        .cookie = passenger,
    };
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
process(const struct engine_world *engine, struct engine_thread *thread,
        uint64_t now_ms, struct passenger *const passengers[], size_t n,
        struct result *result)
{
    struct engine_packet packets[ENGINE_BATCH];

    for (size_t i = 0; i < n; i++) {
        packets[i] = passengers[i]->packet;
    }
    engine_process(engine, thread, now_ms * 1000, packets, n);
    for (size_t i = 0; i < n; i++) {
        passengers[i]->packet.verdict = packets[i].verdict;
        note_packet(result, passengers[i]->p, now_ms, &packets[i]);
        if (packets[i].verdict != ENGINE_HELD) {
            free(passengers[i]->buffer);
            passengers[i]->buffer = NULL;
        }
    }
    note_extras(result, now_ms, thread);
}

/* Sends on what the engine held and need hold no longer. */
static void
resume(const struct engine_world *engine, struct engine_thread *thread,
       uint64_t now_ms, struct result *result)
{
    struct passenger *held;
    bool expired;

    while ((held = engine_resume(thread, now_ms * 1000, &expired))) {
        if (expired) {
            fprintf(result->counters_file, "packet %u expired\n", held->p);
            free(held->buffer);
            held->buffer = NULL;
        } else {
            process(engine, thread, now_ms, &held, 1, result);
        }
    }
}

static void
release(void *cookie)
{
    struct passenger *passenger = cookie;

    free(passenger->buffer);
}

static void
run_frames(const struct pcap *in, struct world *world,
           struct engine_world *engine, struct engine_thread *thread,
           struct passenger *passengers, struct result *result)
{
    for (size_t first = 0; first < in->n; ) {
        struct passenger *batch[ENGINE_BATCH];
        uint64_t now_ms = in->frames[first].time_ms;

        engine->table = world_table(world, first + 1);
        size_t n = batch_size(in, first, world);
        for (size_t i = 0; i < n; i++) {
            unsigned int p = first + i + 1;

            batch[i] = &passengers[p];
            batch[i]->p = p;
            prepare(&in->frames[p - 1], world_packet(world, p), batch[i]);
        }
        resume(engine, thread, now_ms, result);
        process(engine, thread, now_ms, batch, n, result);
        resume(engine, thread, now_ms, result);
        first += n;
    }
}

static void
run_case(const char *dir, struct result *result)
{
    static struct engine_thread thread;
    static struct passenger passengers[WORLD_MAX_PACKETS + 1];
    const struct flow_table_size size = { N_FLOWS, N_FLOWS };
    struct engine_world engine = { .table = NULL };
    char path[MAX_PATH], table_path[MAX_PATH];
    struct pcap in;

    snprintf(path, sizeof path, "%s/in.pcap", dir);
    snprintf(table_path, sizeof table_path, "%s/table", dir);
    pcap_read(&in, path);

    struct world *world = world_read(table_path);
    engine.flows = flow_table_create(&size);
    engine.sources = source_table_create(N_SOURCES, world_key(world));
    if (!engine.flows || !engine.sources || in.n > WORLD_MAX_PACKETS
        || !engine_thread_init(&thread, 1, world_key(world))) {
        errx(2, "%s: too large, or no memory", path);
    }
    result_open(result);
    run_frames(&in, world, &engine, &thread, passengers, result);
    note_counters(result, &thread.count);
    result_close(result);

    engine_thread_uninit(&thread, release);
    world_destroy(world);
    source_table_destroy(engine.sources);
    flow_table_destroy(engine.flows);
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
