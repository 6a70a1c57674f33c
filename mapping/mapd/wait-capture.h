/* What code of Open vSwitch waits for, without putting it into the poll loop:
 * its streams hide their descriptors, but not what they wait for.
 *
 *     struct wait_capture capture;
 *
 *     wait_capture_begin(&capture);
 *     jsonrpc_wait(rpc);
 *     jsonrpc_recv_wait(rpc);
 *     wait_capture_end();
 *
 * A program that uses this is linked with $(WAIT_CAPTURE_WRAPS) of the
 * Makefile.  Of the calling thread only. */

#ifndef MAPPING_MAPD_WAIT_CAPTURE_H
#define MAPPING_MAPD_WAIT_CAPTURE_H 1

struct wait_capture {
    int fd;                     /* -1: none. */
    short int events;           /* As for poll(). */
    long long int when;         /* time_msec(); LLONG_MIN: at once, LLONG_MAX:
                                 * when 'fd' has it. */
};

/* From here on, what is waited for goes to '*capture', which starts out empty,
 * until wait_capture_end().  That is one descriptor at most. */
void wait_capture_begin(struct wait_capture *capture);
void wait_capture_end(void);

#endif /* mapping/mapd/wait-capture.h */
