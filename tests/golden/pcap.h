/* Classic pcap files (microseconds, little-endian, Ethernet), in memory. */

#ifndef TESTS_GOLDEN_PCAP_H
#define TESTS_GOLDEN_PCAP_H 1

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct pcap_frame {
    uint64_t time_ms;
    uint32_t size;
    const uint8_t *data;        /* In the memory of the file. */
};

struct pcap {
    uint8_t *file;
    size_t n;
    struct pcap_frame *frames;
};

/* Reads the file 'path'; exits with a message if it cannot. */
void pcap_read(struct pcap *, const char *path);
void pcap_free(struct pcap *);

/* Writes a file header, a frame. */
void pcap_write_start(FILE *);
void pcap_write(FILE *, uint64_t time_ms, const uint8_t *data, uint32_t size);

#endif /* tests/golden/pcap.h */
