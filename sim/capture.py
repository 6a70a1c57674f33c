"""What tshark, an independent decoder, sees in a capture of the underlay."""

import collections
import subprocess

from node import Failed
from topology import ANYCAST

CONTEXT_CLASS = 0xff67

# Linux writes a checksum of 0 as 0xffff, in TCP too, which is as good to any
# receiver (RFC 1624) but not to tshark.
MANGLED_ZERO = 'tcp.checksum == 0xffff && tcp.checksum_calculated == 0'
BAD_CHECKSUM = ('ip.checksum.status == 0 || udp.checksum.status == 0'
                ' || (tcp.checksum.status == 0 && !(%s))' % MANGLED_ZERO)

FIELDS = ('frame.number', 'ip.src', 'ip.dst', 'ipv6.src', 'ipv6.dst',
          'eth.src', 'eth.dst', 'geneve.vni', 'vxlan.vni',
          'geneve.option.class')

Frame = collections.namedtuple(
    'Frame', 'number, source, vtep, inner_source, inner_source_mac, '
    'inner_mac, encap, vni, options')


def tshark(path, display_filter, fields):
    """The 'fields' of each frame, each a list of its occurrences from
    the outside in."""
    command = ['tshark', '-n', '-r', path, '-Y', display_filter,
               '-o', 'ip.check_checksum:TRUE', '-o', 'tcp.check_checksum:TRUE',
               '-o', 'udp.check_checksum:TRUE',
               '-T', 'fields', '-E', 'occurrence=a', '-E', 'separator=/t']
    for field in fields:
        command += ['-e', field]
    done = subprocess.run(command, capture_output=True, text=True,
                          timeout=60)
    if done.returncode:
        raise Failed('tshark: ' + done.stderr.strip())
    return [[value.split(',') if value else []
             for value in line.split('\t')]
            for line in done.stdout.splitlines()]


def anycast_frames(path, address=ANYCAST):
    """The frames to anycast address 'address' that 'path' shows encapsulated.
    Raises Failed if one has a wrong checksum, inside or outside."""
    to_anycast = '(geneve || vxlan) && %s.dst == %s' % (
        'ipv6' if ':' in address else 'ip', address)
    bad = tshark(path, '%s && (%s)' % (to_anycast, BAD_CHECKSUM),
                 ['frame.number'])
    if bad:
        raise Failed('%s: %d frames with a wrong checksum, the first of them '
                     'frame %s' % (path, len(bad), bad[0][0][0]))
    frames = []
    for (number, src, dst, src6, dst6, source_mac, mac, geneve, vxlan,
         options) in tshark(path, to_anycast, FIELDS):
        if ':' in address:
            src, dst, src6, dst6 = src6, dst6, src, dst
        # Those of the inner packet's IP version now come first.
        frames.append(Frame(
            int(number[0]), (src[:-1] or src6)[0], (dst[:-1] or dst6)[0],
            src[-1], source_mac[1], mac[1],
            'geneve' if geneve else 'vxlan', int((geneve or vxlan)[0], 0),
            [int(option, 0) for option in options]))
    return frames
