/* Packets out of Geneve tunnels whose options Open vSwitch cannot use: they
 * do not fit their length, or are critical and unknown (RFC 8926, section 3.5:
 * such a packet must be dropped).
 *
 * Open vSwitch drops them before it has looked at anything but the tunnel, so
 * that the datapath flow that it makes of it drops whatever comes out of the
 * tunnel after that, of the same tenant and peer, for as long as there is
 * some: one damaged packet, and all traffic of a host is lost.  Here such a
 * flow comes to match the options as well, all of them.
 *
 * These functions stand between two of Open vSwitch's (the linker's --wrap),
 * in any thread. */

#include <config.h>

#include <string.h>

#include "flow.h"
#include "ofproto/ofproto-dpif-xlate.h"
#include "ofproto/tunnel.h"
#include "tun-metadata.h"
#include "util.h"

/* What the thread translates now, until its options have been read; NULL: it
 * does nothing of the kind.  (One translation may be part of another, which
 * has read its own by then.) */
static __thread const struct flow *flow;
static __thread struct flow_wildcards *wildcards;

enum xlate_error __real_xlate_actions(struct xlate_in *, struct xlate_out *);
enum xlate_error __wrap_xlate_actions(struct xlate_in *, struct xlate_out *);
enum ofperr __real_xlate_resume(struct ofproto_dpif *,
                                const struct ofputil_packet_in_private *,
                                struct ofpbuf *, enum slow_path_reason *,
                                struct flow *, struct xlate_cache *);
enum ofperr __wrap_xlate_resume(struct ofproto_dpif *,
                                const struct ofputil_packet_in_private *,
                                struct ofpbuf *, enum slow_path_reason *,
                                struct flow *, struct xlate_cache *);
void __real_tnl_wc_init(struct flow *, struct flow_wildcards *);
void __wrap_tnl_wc_init(struct flow *, struct flow_wildcards *);
int __real_tun_metadata_from_geneve_udpif(const struct tun_table *,
                                          const struct flow_tnl *,
                                          const struct flow_tnl *,
                                          struct flow_tnl *);
int __wrap_tun_metadata_from_geneve_udpif(const struct tun_table *,
                                          const struct flow_tnl *,
                                          const struct flow_tnl *,
                                          struct flow_tnl *);

/* A translation: what it is of need not be there when it is done. */
enum xlate_error
__wrap_xlate_actions(struct xlate_in *xin, struct xlate_out *xout)
{
    enum xlate_error error = __real_xlate_actions(xin, xout);

    flow = NULL;
    return error;
}

/* Translates without a call of the above that the linker could see: both are
 * of one file. */
enum ofperr
__wrap_xlate_resume(struct ofproto_dpif *ofproto,
                    const struct ofputil_packet_in_private *pin,
                    struct ofpbuf *odp_actions,
                    enum slow_path_reason *slow, struct flow *resumed,
                    struct xlate_cache *xcache)
{
    enum ofperr error = __real_xlate_resume(ofproto, pin, odp_actions, slow,
                                            resumed, xcache);

    flow = NULL;
    return error;
}

/* The first thing that a translation does. */
void
__wrap_tnl_wc_init(struct flow *flow_, struct flow_wildcards *wc)
{
    flow = flow_;
    wildcards = wc;
    __real_tnl_wc_init(flow_, wc);
}

/* Reads the options of 'packet', as they came, for the translation of the flow
 * that 'dst' belongs to. */
int
__wrap_tun_metadata_from_geneve_udpif(const struct tun_table *table,
                                      const struct flow_tnl *packet,
                                      const struct flow_tnl *src,
                                      struct flow_tnl *dst)
{
    size_t n = MIN(packet->metadata.present.len, TLV_TOT_OPT_SIZE);
    int error = __real_tun_metadata_from_geneve_udpif(table, packet, src, dst);

    if (error && flow && dst == &flow->tunnel) {
        struct tun_metadata *mask = &wildcards->masks.tunnel.metadata;

        mask->present.len = UINT8_MAX;
        memset(mask->opts.gnv, UINT8_MAX, n);
    }
    flow = NULL;
    return error;
}
