"""The demo's scene with IPv6."""

import os

import sandbox
from capture import CONTEXT_CLASS, anycast_frames
from clients import by_weight, connect
from node import Failed, run
from topology import ANYCAST6

CONNECTIONS = 600
HOSTS = {'red-web1': 100, 'red-web2': 100, 'red-web3': 200}


def ipv6_is_balanced(story, network):
    """(f)"""
    client = network.vms['red-client']
    network.ctl('group', 'add', '5001/web6', '--address', ANYCAST6,
                '--protocol', 'tcp', '--port', 80)
    for name, weight in HOSTS.items():
        network.add_endpoint('web6', name, '--weight', weight)
    pcap = os.path.join(sandbox.RUN_DIR, 'ipv6.pcap')
    capture = network.capture(network.underlay, 'h4', pcap)
    answers = connect(client, CONNECTIONS, address=ANYCAST6)
    run(client, ['ping', '-6', '-qc', 3, '-i', 0.1, '-W', 5, ANYCAST6])
    network.stop_capture(capture)

    x, p = by_weight(answers, HOSTS)
    frames = anycast_frames(pcap, ANYCAST6)
    if not frames or not all(CONTEXT_CLASS in frame.options
                             for frame in frames):
        raise Failed('%s: frames without our option' % pcap)
    story.holds('(f)', '''%d new connections to %s, over IPv6, were answered by
                the weights 1:1:2 (%s); chi-square %.2f, p = %.3f; the address
                answers ping.  tshark decodes %d frames, with good
                checksums.''' % (
                    CONNECTIONS, ANYCAST6,
                    ', '.join('%s %d' % (name[4:], answers[name])
                              for name in HOSTS), x, p, len(frames)))
