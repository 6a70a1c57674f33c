"""One switch with its database, and a mapping service that says what the test
wants.

    with Switch() as switch:
        switch.start()
        switch.mapd.set_groups([(VNI, address), ...])

The switch has br-phy, with vtep0 (an underlay port), and its VTEP there."""

import base64
import os
import re
import shutil
import socketserver
import subprocess
import threading

import harness
from fakemapd import Peer
from node import run, wait_until
from openvswitch import OpenVSwitch
from sandbox import RUN_DIR

SETTLE_SECONDS = 5

class Here:
    """A node for run() and Daemon: no other than where the test runs."""

    def __str__(self):
        return 'switch'

    def popen(self, argv, **popen):
        return subprocess.Popen(argv, **{'stdout': subprocess.PIPE,
                                         'stderr': subprocess.PIPE, **popen})


def leb128(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


class Mapd:
    """The mapping service, for one host.  Groups are (VNI, address)."""

    PATH = os.path.join(RUN_DIR, 'mapd.sock')
    OUR_ECHO = 'from mapd'      # The switch asks, too, by its own id.
    SLOTS = base64.b64encode(leb128(0) + leb128(256) + leb128(3)).decode()

    def __init__(self):
        self.lock = threading.Lock()
        self.echoed = threading.Event()
        self.revision = 1
        self.ids = {}           # (VNI, address) -> group ID.
        self.groups = []
        self.subscribers = set()
        self.applied = []       # Revisions, as reported.
        self.registered = []    # Host records, as they came.
        self.refuse = None      # Text, or None: registers hosts.
        self.on_applied = lambda revision: None
        mapd = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                mapd.serve(Peer(self.request))

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        server = Server(self.PATH, Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def serve(self, peer):
        try:
            while (message := peer.receive()) is not None:
                self._answer(peer, message)
        except OSError:
            pass
        self.subscribers.discard(peer)

    def _answer(self, peer, message):
        results = {'register': lambda: self._register(message),
                   'subscribe': self.snapshot,
                   'echo': lambda: message['params']}
        method = message.get('method')
        if message.get('id') == self.OUR_ECHO:
            self.echoed.set()
        elif method == 'applied':
            revision = message['params'][0]['revision']
            self.on_applied(revision)
            self.applied.append(revision)
        elif method in results:
            with self.lock:
                result, error = results[method](), None
                if method == 'register' and self.refuse:
                    result, error = None, {'error': 'invalid',
                                           'message': self.refuse}
                peer.send(id=message['id'], result=result, error=error)
                if method == 'subscribe':
                    self.subscribers.add(peer)

    def _register(self, message):
        self.registered.append(message['params'][0])
        return {'revision': self.revision}

    def echo(self, seconds=5):
        """Whether all that are connected answer within 'seconds'."""
        peers = list(self.subscribers)
        self.echoed.clear()
        for peer in peers:
            peer.send(id=self.OUR_ECHO, method='echo', params=[])
        return bool(peers) and self.echoed.wait(seconds)

    def snapshot(self):
        hosts = [{'kind': 'host', 'name': 'h%d' % i, 'encap': 'geneve',
                  'vtep': '192.0.2.%d' % i} for i in (1, 2)]
        return {'revision': self.revision, 'hash_key': '0123456789abcdef' * 2,
                'hosts': hosts, 'dead': [],
                'groups': [self._group(g) for g in self.groups]}

    def _group(self, group):
        vni, address = group
        number = self.ids.setdefault(group, len(self.ids) + 1)
        name = 'g%d' % number
        return {
            'record': {'kind': 'group', 'vni': vni, 'name': name,
                       'address': address, 'protocol': 'tcp', 'port': 80,
                       'algorithm': 'weighted', 'affinity': 'flow',
                       'slots': 256},
            'id': number, 'epoch': 1, 'slots': self.SLOTS,
            'previous': ['', ''],
            'endpoints': [{'record': {
                'kind': 'endpoint', 'vni': vni, 'group': name, 'name': 'e1',
                'host': 'h2', 'mac': '02:00:00:00:00:01', 'weight': 100,
                'state': 'up'}, 'index': 3, 'up_ms': 60000}]}

    def _tell(self, method, content):
        for peer in list(self.subscribers):
            try:
                peer.send(id=None, method=method, params=[content()])
            except OSError:     # It subscribes again, and gets a snapshot.
                self.subscribers.discard(peer)

    def set_groups(self, groups):
        """Returns the revision."""
        with self.lock:
            self.revision += 1
            self.groups = list(groups)
            self._tell('snapshot', self.snapshot)
            return self.revision

    def change_groups(self, add=(), remove=()):
        """Likewise, by an update."""
        with self.lock:
            self.revision += 1
            self.groups = [g for g in self.groups if g not in remove]
            self.groups += add
            changes = [{'group_removed': {'vni': g[0],
                                          'name': 'g%d' % self.ids[g]}}
                       for g in remove]
            changes += [{'group': self._group(g)} for g in add]
            self._tell('update', lambda: {'revision': self.revision,
                                          'changes': changes})
            return self.revision

    def wait_applied(self, revision, seconds=SETTLE_SECONDS):
        wait_until('revision %d is applied' % revision,
                   lambda: revision in self.applied, seconds, every=0.01)


class Switch:
    def __init__(self, expected_log=()):
        self.expected_log = expected_log # Regular expressions.

    def __enter__(self):
        self.ovs = OpenVSwitch(Here(), os.path.join(RUN_DIR, 'ovs'))
        return self

    def __exit__(self, *_):
        pass                    # The sandbox's end ends everything.

    def start(self):
        self.mapd = Mapd()
        self.ovs.start_database()
        self.ovs.vsctl('--no-wait', 'set', 'open_vswitch', '.',
                       'external_ids:grapnel-host=h1',
                       'external_ids:grapnel-vtep=192.0.2.1',
                       'other_config:n-handler-threads=1',
                       'other_config:n-revalidator-threads=1', '--',
                       *add_bridge('br-phy'), '--',
                       'add-port', 'br-phy', 'vtep0', '--',
                       'set', 'interface', 'vtep0', 'type=anycast_underlay')
        self.ovs.start_switch()
        self.ovs.wait_for_switch()
        for command in ('addr add 192.0.2.1/24 dev br-phy',
                        'link set br-phy up', 'neigh replace 192.0.2.2 '
                        'lladdr 02:00:00:00:02:02 dev br-phy'):
            run(self.ovs.node, ['ip', *command.split()])
        self.ovs.vsctl('set', 'open_vswitch', '.',
                       'external_ids:grapnel-mapd=unix:' + Mapd.PATH)
        wait_until('the switch subscribes', lambda: self.mapd.subscribers)

    def renew(self, groups, *options):
        """br-red anew, with any0 that has 'options', and 'groups'."""
        self.ovs.vsctl('--if-exists', 'del-br', 'br-red', '--',
                       *add_bridge('br-red'), '--',
                       *add_port('any0', *options))
        self.mapd.set_groups(groups)

    def stop(self):
        return self.ovs.stop()

    def dead(self):
        return [daemon.name for daemon in (self.ovs.switch, self.ovs.database)
                if daemon and not daemon.alive()]

    def log_complaints(self):
        if not os.path.exists(self.ovs.path('grapnel-vswitchd.log')):
            return []
        return [line for line in self.ovs.log().splitlines()
                if re.search(r'\|(WARN|ERR|EMER)\|', line)
                and not any(re.search(e, line) for e in self.expected_log)]

    def collect_logs(self):
        directory = harness.log_directory()
        shutil.copytree(self.ovs.directory, directory, dirs_exist_ok=True,
                        ignore=lambda where, names: [
                            n for n in names if not n.endswith('.log')])
        return directory


def add_bridge(name):
    return ['add-br', name, '--', 'set', 'bridge', name,
            'datapath_type=netdev']


def add_port(name, *options):
    return ['add-port', 'br-red', name, '--', 'set', 'interface', name,
            'type=anycast', *options]
