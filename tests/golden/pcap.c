#include "tests/golden/pcap.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>

enum {
    PCAP_MAGIC    = 0xa1b2c3d4, /* Little-endian, microseconds. */
    PCAP_ETHERNET = 1,
    PCAP_SNAPLEN  = 65535,
};

struct pcap_file_hdr {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t zone, sigfigs, snaplen, network;
};

struct pcap_record_hdr {
    uint32_t seconds, micros;
    uint32_t stored, original;
};

static uint8_t *
read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        err(2, "%s", path);
    }
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    uint8_t *data = malloc(*size + 1);
    if (!data || fread(data, 1, *size, file) != *size) {
        err(2, "%s", path);
    }
    fclose(file);
    return data;
}

void
pcap_read(struct pcap *pcap, const char *path)
{
    struct pcap_file_hdr hdr;
    size_t size, ofs = sizeof hdr;

    pcap->n = 0;
    pcap->frames = NULL;
    pcap->file = read_file(path, &size);
    if (size < sizeof hdr) {
        errx(2, "%s: too short", path);
    }
    memcpy(&hdr, pcap->file, sizeof hdr);
    if (hdr.magic != PCAP_MAGIC || hdr.network != PCAP_ETHERNET) {
        errx(2, "%s: not a little-endian Ethernet pcap", path);
    }

    while (ofs < size) {
        struct pcap_record_hdr record;

        if (size - ofs < sizeof record) {
            errx(2, "%s: cut in a record header", path);
        }
        memcpy(&record, pcap->file + ofs, sizeof record);
        ofs += sizeof record;
        if (record.stored > size - ofs) {
            errx(2, "%s: cut in a record", path);
        }
        pcap->frames = reallocarray(pcap->frames, pcap->n + 1,
                                    sizeof *pcap->frames);
        if (!pcap->frames) {
            err(2, "%s", path);
        }
        pcap->frames[pcap->n++] = (struct pcap_frame) {
            .time_ms = record.seconds * UINT64_C(1000) + record.micros / 1000,
            .size = record.stored,
            .data = pcap->file + ofs,
        };
        ofs += record.stored;
    }
}

void
pcap_free(struct pcap *pcap)
{
    free(pcap->frames);
    free(pcap->file);
}

void
pcap_write_start(FILE *file)
{
    const struct pcap_file_hdr hdr = {
        .magic = PCAP_MAGIC,
        .major = 2,
        .minor = 4,
        .snaplen = PCAP_SNAPLEN,
        .network = PCAP_ETHERNET,
    };

    fwrite(&hdr, sizeof hdr, 1, file);
}

void
pcap_write(FILE *file, uint64_t time_ms, const uint8_t *data, uint32_t size)
{
    const struct pcap_record_hdr record = {
        .seconds = time_ms / 1000,
        .micros = time_ms % 1000 * 1000,
        .stored = size,
        .original = size,
    };

    fwrite(&record, sizeof record, 1, file);
    fwrite(data, size, 1, file);
}
