"""What tests on the demo's topology do with tenant red: groups for the time of
a test, servers, captures, and frames made by hand."""

import contextlib
import json
import os

from harness import check

from node import Helper, run
from sandbox import RUN_DIR
from topology import ANYCAST

# mapd may hear of a host's new connection before the end of the old one: when
# the host starts again, or what it subscribes to changes.
REGISTERED_ANEW = r'host h\d: registered by .* closing its older connection'


@contextlib.contextmanager
def group(network, *vms, name='test', address=ANYCAST, port=80, options=(),
          protocol='tcp'):
    """A group of tenant red's with endpoints 'vms', for the time of a test.
    Its key is the value."""
    key = '5001/' + name
    network.ctl('group', 'add', key, '--address', address,
                '--protocol', protocol, '--port', port, *options)
    try:
        for vm in vms:
            network.add_endpoint(name, vm)
        yield key
    finally:
        network.ctl('group', 'remove', key, '--cascade', '--wait')


@contextlib.contextmanager
def captured(network, *expression, port='h4'):
    """A capture of what h4's underlay interface carries meanwhile.  Its path
    is the value."""
    path = os.path.join(RUN_DIR, 'test.pcap')
    daemon = network.capture(network.underlay, port, path, *expression)
    try:
        yield path
    finally:
        network.stop_capture(daemon)


def red(network):
    return network.vms['red-client']


def h4(network):
    return network.hosts['h4']


def all_drops(network):
    """h4's counters of drops."""
    return json.loads(h4(network).ovs.appctl('anycast/drops', '--json'))


def drops(network, reason):
    """h4's counter of drops for 'reason'."""
    return all_drops(network)[reason]


def traced_endpoint(network, source_port):
    """Where h4 would send the client's TCP flow from that port to the anycast
    address: an endpoint's name."""
    trace = json.loads(h4(network).ovs.appctl(
        'anycast/trace', '--json', '5001', 'tcp',
        '%s:%d' % (red(network).address, source_port), ANYCAST + ':80'))
    return trace['endpoint']


def python(vm, program, *args, check=True, stdin=None):
    """Runs a Python program in 'vm'; returns what it printed."""
    return run(vm, ['/usr/bin/python3', '-c', program, *args],
               check=check, stdin=stdin).stdout.strip()


UDP_SERVER = '''
import socket, sys
address, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET,
                  socket.SOCK_DGRAM)
s.bind((address, port))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(b'%s %d' % (name.encode(), len(data)), peer)
'''


@contextlib.contextmanager
def udp_servers(network, *names, address=ANYCAST, port=5353):
    """UDP servers in VMs, each of which answers its VM's name and the length
    of the question."""
    servers = []
    try:
        for name in names:
            servers.append(Helper(network.vms[name], '-c', UDP_SERVER,
                                  address, port, name))
        yield
    finally:
        for server in servers:
            server.kill()


SEND = '''
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for line in sys.stdin:
    s.send(bytes.fromhex(line))
'''


def send_frames(node, frames, interface='eth0'):
    """Sends Ethernet frames (bytes, or scapy's) from an interface of
    'node'."""
    python(node, SEND, interface,
           stdin=''.join(bytes(frame).hex() + '\n' for frame in frames))


SNIFF = '''
import select, socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(('eth0', 0))
s.setsockopt(263, 23, 1)                # PACKET_IGNORE_OUTGOING
print('ready', flush=True)
frames = []
while s in select.select([s, sys.stdin], [], [])[0]:
    frames.append(s.recv(65536).hex())
print(*frames, sep='\\n')
'''


class Sniffer:
    """What VMs receive meanwhile."""

    def __init__(self, *vms):
        self.helpers = {vm.name: Helper(vm, '-c', SNIFF) for vm in vms}

    def frames(self):
        """Ends it; {VM name: [bytes]}."""
        return {name: [bytes.fromhex(line) for line in
                       helper.finish().splitlines()]
                for name, helper in self.helpers.items()}


class Script:
    """A Python program in 'vm' that says "ready", works until standard input
    ends, and then prints a line of JSON."""

    def __init__(self, vm, program, *args):
        self.helper = Helper(vm, '-c', program, *args)

    def finish(self):
        return json.loads(self.helper.finish(60))
