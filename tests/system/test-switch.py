#!/usr/bin/python3
"""One switch with its database, and a mapping service that says what the test
wants: which OpenFlow rules the switch makes of it, and what it reports."""

import sys
sys.dont_write_bytecode = True

import base64
import json
import os
import re
import select
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import time

import harness
from fakemapd import Peer
from harness import check
from node import Failed, run, wait_until
from openvswitch import OpenVSwitch
from sandbox import RUN_DIR

COOKIE = 0x677261706e656c
RED, BLUE = 5001, 5002
GROUPS = [(RED, '10.1.0.100'), (RED, '10.1.0.101'), (BLUE, '10.1.0.100')]
SETTLE_SECONDS = 5
STALL_SECONDS = 0.1             # The main thread forwards packets.
MANY = 20000                    # Groups, two rules for each.

EXPECTED_LOG = [
    r'timeval\|WARN\|(Unreasonably long|faults|disk|context switches)',
    r'ovs_rcu.*\|WARN\|blocked \d+ ms waiting',
    r'steering\|WARN\|.* are wanted by any0 and by any1, and go to any0',
    r'steering_set\|WARN\|br-red: table 250: steering rule not added',
]


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
    SLOTS = base64.b64encode(leb128(0) + leb128(256) + leb128(3)).decode()

    def __init__(self):
        self.lock = threading.Lock()
        self.revision = 1
        self.ids = {}           # (VNI, address) -> group ID.
        self.groups = []
        self.subscribers = set()
        self.applied = []       # Revisions, as reported.
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
        results = {'register': lambda: {'revision': self.revision},
                   'subscribe': self.snapshot,
                   'echo': lambda: message['params']}
        method = message.get('method')
        if method == 'applied':
            revision = message['params'][0]['revision']
            self.on_applied(revision)
            self.applied.append(revision)
        elif method in results:
            with self.lock:
                peer.send(id=message['id'], result=results[method](),
                          error=None)
                if method == 'subscribe':
                    self.subscribers.add(peer)

    def snapshot(self):
        hosts = [{'kind': 'host', 'name': 'h%d' % i, 'encap': 'geneve',
                  'vtep': '192.0.2.%d' % i} for i in (1, 2)]
        return {'revision': self.revision, 'hash_key': '0123456789abcdef' * 2,
                'hosts': hosts, 'groups': [self._group(g)
                                           for g in self.groups]}

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
            'endpoints': [{'record': {
                'kind': 'endpoint', 'vni': vni, 'group': name, 'name': 'e1',
                'host': 'h2', 'mac': '02:00:00:00:00:01', 'weight': 100,
                'state': 'up'}, 'index': 3}]}

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
    """br-phy with vtep0, br-red with any0 (an anycast port)."""

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

    def renew(self, *options):
        """br-red anew, with any0 that has 'options', and GROUPS."""
        self.ovs.vsctl('--if-exists', 'del-br', 'br-red', '--',
                       *add_bridge('br-red'), '--',
                       *add_port('any0', *options))
        self.mapd.set_groups(GROUPS)

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
                and not any(re.search(e, line) for e in EXPECTED_LOG)]

    def collect_logs(self):
        directory = tempfile.mkdtemp(prefix='grapnel-test-switch-')
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


# Rules: (table, match and priority, actions), as ovs-ofctl writes them.

def rules(switch, bridge='br-red'):
    """The steering rules that the bridge has."""
    found = set()
    for line in switch.ovs.ofctl('--no-names', '--no-stats', 'dump-flows',
                                 bridge, 'cookie=%#x/-1' % COOKIE
                                 ).splitlines():
        match = re.fullmatch(r' cookie=%#x, (?:table=(\d+), )?(\S+)'
                             r' actions=(\S+)' % COOKIE, line)
        if match:
            found.add((int(match[1] or 0),
                       ','.join(sorted(match[2].split(','))), match[3]))
    return found


def count_rules(switch, bridge):
    text = switch.ovs.ofctl('dump-aggregate', bridge, 'cookie=%#x/-1' % COOKIE)
    return int(re.search(r'flow_count=(\d+)', text)[1])


def age(switch, match):
    """How long br-red has had the newest rule that matches 'match'."""
    text = switch.ovs.ofctl('dump-flows', 'br-red', match)
    return min(float(age) for age in re.findall(r'duration=([0-9.]+)s', text))


def number(switch, port):
    return int(switch.ovs.vsctl('get', 'interface', port, 'ofport'))


def rule(table, priority, match, actions):
    fields = match.split(',') + ['priority=%d' % priority]
    return table, ','.join(sorted(fields)), actions


def address_rules(port, addresses, vni=0, table=0, priority=30000):
    """The rules that bring packets to 'addresses' to port number 'port'."""
    mark = ',pkt_mark=%#x' % vni if vni else ''
    tunnel = ',tun_dst=0.0.0.0,tun_ipv6_dst=::'
    out = set()
    for address in addresses:
        out |= {rule(table, priority, match + address + tunnel + mark,
                     'output:%d' % port)
                for match in ('ip,nw_dst=', 'arp,arp_op=1,arp_tpa=')}
    return out


def return_rule(port, vni=0, priority=30001):
    """The rule for what comes out of port number 'port'."""
    if not vni:
        return {rule(0, priority, 'in_port=%d' % port, 'NORMAL')}
    router = '0a:67:72:' + ':'.join('%02x' % o for o in vni.to_bytes(3, 'big'))
    return {rule(0, priority, 'in_port=%d,dl_src=%s' % (port, router),
                 'load:%#x->NXM_NX_PKT_MARK[],NORMAL' % vni)}


def red_rules(port, addresses=('10.1.0.100', '10.1.0.101')):
    """What any0 needs when it has vni=RED."""
    return address_rules(port, addresses) | return_rule(port)


def expect_rules(switch, expected, seconds=SETTLE_SECONDS):
    """'expected' is a set or a function.  They must come, and stay."""
    deadline = time.monotonic() + seconds
    while True:
        want = expected() if callable(expected) else expected
        found = rules(switch)
        if found == want:
            break
        if time.monotonic() > deadline:
            raise Failed('missing %s; too many %s' % (
                sorted(want - found), sorted(found - want)))
        time.sleep(0.05)
    time.sleep(0.3)             # Longer than from one look to the next.
    found = rules(switch)
    check(found == want, 'rules that were there are not: missing %s, too many '
          '%s', sorted(want - found), sorted(found - want))
    shown = json.loads(switch.ovs.appctl('anycast/show', '--json')
                       )['steering_rules']
    total = len(found) + count_rules(switch, 'br-phy')
    check(shown == total, 'anycast/show counts %d rules, there are %d', shown,
          total)


tests = harness.Tests()


@tests.add
def a_port_with_a_vni_gets_the_rules_of_that_tenant(switch):
    switch.renew('options:vni=%d' % RED)
    expect_rules(switch, lambda: red_rules(number(switch, 'any0')))
    vtep = number(switch, 'vtep0')
    found = rules(switch, 'br-phy')
    check(found == {rule(0, 30000, 'in_port=%d' % vtep,
                         'load:0xfffe->NXM_OF_IN_PORT[],resubmit(,0)')},
          'br-phy has %s', found)


@tests.add
def rules_follow_a_change_of_the_port_s_number(switch):
    switch.renew('options:vni=%d' % RED)
    expect_rules(switch, lambda: red_rules(number(switch, 'any0')))
    switch.ovs.vsctl('set', 'interface', 'any0', 'ofport_request=77')
    wait_until('any0 has number 77', lambda: number(switch, 'any0') == 77)
    expect_rules(switch, red_rules(77))


@tests.add
def rules_follow_a_port_that_is_deleted_and_added_at_once(switch):
    switch.renew('options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.ovs.vsctl('del-port', 'any0', '--',
                     *add_port('any0', 'options:vni=%d' % RED,
                               'ofport_request=6'))
    expect_rules(switch, red_rules(6))


@tests.add
def rules_are_made_again_in_a_bridge_that_is_made_again(switch):
    for _ in range(3):
        switch.renew('options:vni=%d' % RED, 'ofport_request=5')
        expect_rules(switch, red_rules(5))


@tests.add
def a_port_that_is_deleted_takes_its_rules_along(switch):
    switch.renew('options:vni=%d' % RED)
    expect_rules(switch, lambda: red_rules(number(switch, 'any0')))
    switch.ovs.vsctl('del-port', 'any0')
    expect_rules(switch, set())


@tests.add
def of_two_ports_with_one_tenant_the_first_has_the_rules(switch):
    switch.renew('options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.ovs.vsctl(*add_port('any1', 'options:vni=%d' % RED,
                               'ofport_request=6'))
    expect_rules(switch, red_rules(5) | return_rule(6))
    check('wanted by any0 and by any1' in switch.ovs.log(),
          'nothing in the log')
    switch.ovs.vsctl('del-port', 'any1')
    expect_rules(switch, red_rules(5))
    switch.ovs.vsctl(*add_port('any1', 'options:vni=%d' % RED,
                               'ofport_request=6'))
    expect_rules(switch, red_rules(5) | return_rule(6))
    switch.ovs.vsctl('del-port', 'any0')
    expect_rules(switch, red_rules(6))


@tests.add
def steer_false_removes_the_rules_and_steer_true_brings_them_back(switch):
    switch.renew('options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:steer=false')
    expect_rules(switch, set())
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:steer=true')
    expect_rules(switch, red_rules(5))


@tests.add
def rules_move_with_steer_table_and_steer_priority(switch):
    switch.renew('options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:steer_table=7',
                     'options:steer_priority=123')
    addresses = [address for vni, address in GROUPS if vni == RED]
    expect_rules(switch, address_rules(5, addresses, table=7, priority=123)
                 | return_rule(5, priority=124))


@tests.add
def rules_follow_the_port_s_vni_and_without_one_match_pkt_mark(switch):
    switch.renew('options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:vni=%d' % BLUE)
    expect_rules(switch, red_rules(5, ['10.1.0.100']))
    switch.ovs.vsctl('remove', 'interface', 'any0', 'options', 'vni')
    expect_rules(
        switch, address_rules(5, ['10.1.0.100', '10.1.0.101'], vni=RED)
        | address_rules(5, ['10.1.0.100'], vni=BLUE)
        | return_rule(5, RED) | return_rule(5, BLUE))
    switch.mapd.change_groups(remove=[(BLUE, '10.1.0.100')])
    expect_rules(
        switch, address_rules(5, ['10.1.0.100', '10.1.0.101'], vni=RED)
        | return_rule(5, RED))
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:vni=%d' % RED)
    expect_rules(switch, red_rules(5))


@tests.add
def what_a_port_without_a_vni_hands_back_has_its_tenant_again(switch):
    switch.renew('ofport_request=5')
    switch.mapd.wait_applied(switch.mapd.revision)
    expect_rules(
        switch, address_rules(5, ['10.1.0.100', '10.1.0.101'], vni=RED)
        | address_rules(5, ['10.1.0.100'], vni=BLUE)
        | return_rule(5, RED) | return_rule(5, BLUE))
    arp = ('ffffffffffff' '020000000105' '0806' '0001080006040001'
           '020000000105' '0a010005' '000000000000' '0a010064')

    def returned(vni):
        text = switch.ovs.ofctl('dump-flows', 'br-red',
                                'in_port=5,dl_src=0a:67:72:%s' % ':'.join(
                                    '%02x' % o for o in vni.to_bytes(3, 'big')
                                ))
        return int(re.search(r'n_packets=(\d+)', text)[1])

    switch.ovs.ofctl('packet-out', 'br-red',
                     'in_port=LOCAL packet=%s actions='
                     'load:%d->NXM_NX_PKT_MARK[],resubmit(,0)' % (arp, BLUE))
    wait_until('the answer is handed back', lambda: returned(BLUE) == 1)
    check(returned(RED) == 0, 'to another tenant too')
    trace = switch.ovs.appctl('ofproto/trace', 'br-red',
                              'in_port=5,dl_src=0a:67:72:00:13:8a')
    final = re.search('Final flow: (.*)', trace)[1]
    check('pkt_mark=%#x' % BLUE in final, '%s', final)


@tests.add
def rules_that_an_operator_deletes_or_changes_are_put_back(switch):
    switch.renew('options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    ours = ('priority=30000,ip,tun_dst=0.0.0.0,tun_ipv6_dst=::,'
            'nw_dst=10.1.0.100,')
    for command in (['del-flows', 'br-red', 'ip,nw_dst=10.1.0.100'],
                    ['mod-flows', 'br-red', 'ip,nw_dst=10.1.0.100,'
                     'actions=drop'],
                    ['add-flow', 'br-red', ours + 'actions=drop']):
        switch.ovs.ofctl(*command)
        expect_rules(switch, red_rules(5), seconds=2)
        check(age(switch, 'ip,nw_dst=10.1.0.100')
              < age(switch, 'ip,nw_dst=10.1.0.101') or 'mod-flows' in command,
              '%s did nothing', command)
    switch.ovs.ofctl('del-flows', 'br-red')
    expect_rules(switch, red_rules(5), seconds=2)


@tests.add
def a_rule_that_an_operator_put_in_the_place_of_ours_is_not_deleted(switch):
    switch.renew('options:vni=%d' % RED, 'options:steer=false')
    switch.mapd.wait_applied(switch.mapd.revision)
    theirs = 'priority=30000,ip,tun_dst=0.0.0.0,tun_ipv6_dst=::,nw_dst='
    switch.ovs.ofctl('add-flow', 'br-red', theirs + '10.1.0.101,actions=drop')
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:steer=true')
    expect_rules(switch, lambda: red_rules(number(switch, 'any0')))
    # The same as ours, so it stays where it is.
    switch.ovs.ofctl('add-flow', 'br-red', 'cookie=0x1,%s10.1.0.100,'
                     'actions=output:%d' % (theirs, number(switch, 'any0')))
    time.sleep(0.5)
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:steer=false')
    expect_rules(switch, set())
    left = switch.ovs.ofctl('dump-flows', 'br-red', 'ip')
    check('10.1.0.100' in left, 'it has gone: %s', left)
    check('10.1.0.101' not in left, 'what ours replaced is back: %s', left)


@tests.add
def rules_come_and_go_with_their_groups(switch):
    switch.renew('options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.mapd.change_groups(add=[(RED, '10.1.0.7')],
                              remove=[(RED, '10.1.0.100')])
    expect_rules(switch, red_rules(5, ['10.1.0.7', '10.1.0.101']))
    switch.mapd.set_groups([])
    expect_rules(switch, return_rule(5))


@tests.add
def a_rule_that_is_refused_keeps_a_revision_from_being_applied(switch):
    switch.renew('options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.ovs.vsctl('--', '--id=@t', 'create', 'flow_table',
                     'flow_limit=1', 'overflow_policy=refuse', '--', 'set',
                     'bridge', 'br-red', 'flow_tables:250=@t')
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:steer_table=250')
    time.sleep(0.5)
    revision = switch.mapd.change_groups(add=[(RED, '10.1.0.7')])
    time.sleep(1.5)
    check(revision not in switch.mapd.applied, 'it is reported as applied')
    switch.ovs.vsctl('clear', 'bridge', 'br-red', 'flow_tables')
    switch.mapd.wait_applied(revision)
    expect_rules(switch, address_rules(
        5, ['10.1.0.7', '10.1.0.100', '10.1.0.101'], table=250)
        | return_rule(5))


class Probe:
    """Asks the switch's main thread something small again and again, from a
    process that does nothing else; 'worst' is the longest, in seconds, that an
    answer took."""

    def __init__(self, switch):
        self.path = switch.ovs.path('grapnel-vswitchd.ctl')
        self.worst = None

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), '--probe', self.path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        check(self.process.stdout.readline() == 'ready\n', 'no probe')
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.worst is None:
            self.worst = float(self.process.communicate()[0])


def probe(path):
    """The probe's process: until the end of standard input."""
    worst = 0
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        peer = Peer(sock)
        print('ready', flush=True)
        while not select.select([sys.stdin], [], [], 0.002)[0]:
            start = time.monotonic()
            peer.send(id=0, method='version', params=[])
            peer.receive()
            worst = max(worst, time.monotonic() - start)
    print(worst)


@tests.add
def many_groups_do_not_stall_the_switch_and_are_applied_when_in_place(switch):
    switch.renew('options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    groups = [(RED, '10.2.%d.%d' % (i // 250, i % 250 + 1))
              for i in range(MANY)]
    count = {}

    def count_when_applied(revision):
        prober.stop()            # Counting takes the main thread a while too.
        count[revision] = count_rules(switch, 'br-red')

    with Probe(switch) as prober:
        switch.mapd.on_applied = count_when_applied
        revision = switch.mapd.set_groups(groups)
        switch.mapd.wait_applied(revision, 20)
    switch.mapd.on_applied = lambda _: None
    check(count[revision] == 2 * MANY + 1, 'applied with %d rules in place',
          count[revision])
    check(prober.worst < STALL_SECONDS, 'the main thread was away for %d ms',
          1000 * prober.worst)
    check(rules(switch) == red_rules(5, [address for _, address in groups]),
          'not the right rules')


@tests.add
def many_rules_are_verified_without_a_stall(switch):
    with Probe(switch) as prober:
        switch.ovs.ofctl('del-flows', 'br-red', 'ip,nw_dst=10.2.7.0/24')
        wait_until('all rules are back', lambda: count_rules(
            switch, 'br-red') == 2 * MANY + 1, 3)
        time.sleep(1)           # For what is left of the verification.
    check(age(switch, 'ip,nw_dst=10.2.7.0/24')
          < age(switch, 'ip,nw_dst=10.2.8.0/24'), 'nothing was deleted')
    check(prober.worst < STALL_SECONDS, 'the main thread was away for %d ms',
          1000 * prober.worst)
    switch.mapd.set_groups([])
    expect_rules(switch, return_rule(5))


if __name__ == '__main__':
    if sys.argv[1:2] == ['--probe']:
        sys.exit(probe(sys.argv[2]))
    sys.exit(tests.main(Switch))
