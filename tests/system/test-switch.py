#!/usr/bin/python3
"""One switch with its database, and a mapping service that says what the test
wants: which OpenFlow rules the switch makes of it, and what it reports."""

import sys
sys.dont_write_bytecode = True

import json
import os
import re
import select
import socket
import subprocess
import time

import harness
from fakemapd import Peer
from harness import check
from node import SLOW_MACHINE, Failed, wait_until
from switchworld import SETTLE_SECONDS, Switch, add_bridge, add_port

COOKIE = 0x677261706e656c
RED, BLUE = 5001, 5002
V6 = '2001:db8::a01:64'
GROUPS = [(RED, '10.1.0.100'), (RED, '10.1.0.101'), (BLUE, '10.1.0.100'),
          (RED, V6)]
RED_ADDRESSES = [address for vni, address in GROUPS if vni == RED]
STALL_SECONDS = 0.06            # The main thread forwards packets.
MANY = 20000                    # Groups, two or three rules for each.

EXPECTED_LOG = [
    SLOW_MACHINE,
    r'ovs_rcu.*\|WARN\|blocked \d+ ms waiting',
    r'steering\|WARN\|.* are wanted by any0 and by any1, and go to any0',
    r'steering_set\|WARN\|br-red: table 250: steering rule not added',
]


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
    """The rules that bring packets to 'addresses' to port number 'port'.
    'vni' is for ports that have none."""
    mark = ',pkt_mark=%#x' % vni if vni else ''
    from_vm = ',tun_dst=0.0.0.0,tun_ipv6_dst=::'
    out = set()
    for address in addresses:
        if ':' in address:
            packets = 'ipv6,ipv6_dst=' + address
            questions = 'icmp6,icmp_type=135,nd_target=' + address
        else:
            packets = 'ip,nw_dst=' + address
            questions = 'arp,arp_op=1,arp_tpa=' + address
        wanted = [(questions + from_vm + mark, priority),
                  (packets + (from_vm + mark if vni else ''), priority)]
        if vni:
            wanted.append((packets + ',tun_id=%#x' % vni, priority - 1))
        out |= {rule(table, prio, match, 'output:%d' % port)
                for match, prio in wanted}
    return out


def router(vni):
    return '0a:67:72:' + ':'.join('%02x' % o for o in vni.to_bytes(3, 'big'))


def return_rule(port, vni=0, priority=30001):
    """The rule for what comes out of port number 'port'."""
    if not vni:
        return {rule(0, priority, 'in_port=%d' % port, 'NORMAL')}
    return {rule(0, priority, 'in_port=%d,dl_src=%s' % (port, router(vni)),
                 'load:%#x->NXM_NX_PKT_MARK[],NORMAL' % vni)}


def hints_rule(port, vni=0, priority=30000):
    """The rule for other switches' hints, of all tenants if 'vni' is 0."""
    where = router(vni) + ('' if vni else '/ff:ff:ff:00:00:00')
    return {rule(0, priority, 'dl_type=0x88b5,dl_dst=' + where,
                 'output:%d' % port)}


def red_rules(port, addresses=RED_ADDRESSES):
    """What any0 needs when it has vni=RED."""
    return (address_rules(port, addresses) | return_rule(port)
            | hints_rule(port, RED))


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
                sorted(want - found)[:9], sorted(found - want)[:9]))
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
    switch.renew(GROUPS, 'options:vni=%d' % RED)
    expect_rules(switch, lambda: red_rules(number(switch, 'any0')))
    vtep = number(switch, 'vtep0')
    found = rules(switch, 'br-phy')
    check(found == {rule(0, 30000, 'in_port=%d' % vtep,
                         'load:0xfffe->NXM_OF_IN_PORT[],resubmit(,0)')},
          'br-phy has %s', found)


@tests.add
def rules_follow_a_change_of_the_port_s_number(switch):
    switch.renew(GROUPS, 'options:vni=%d' % RED)
    expect_rules(switch, lambda: red_rules(number(switch, 'any0')))
    switch.ovs.vsctl('set', 'interface', 'any0', 'ofport_request=77')
    wait_until('any0 has number 77', lambda: number(switch, 'any0') == 77)
    expect_rules(switch, red_rules(77))


@tests.add
def rules_follow_a_port_that_is_deleted_and_added_at_once(switch):
    switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.ovs.vsctl('del-port', 'any0', '--',
                     *add_port('any0', 'options:vni=%d' % RED,
                               'ofport_request=6'))
    expect_rules(switch, red_rules(6))


@tests.add
def rules_are_made_again_in_a_bridge_that_is_made_again(switch):
    for _ in range(3):
        switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
        expect_rules(switch, red_rules(5))


@tests.add
def a_port_that_is_deleted_takes_its_rules_along(switch):
    switch.renew(GROUPS, 'options:vni=%d' % RED)
    expect_rules(switch, lambda: red_rules(number(switch, 'any0')))
    switch.ovs.vsctl('del-port', 'any0')
    expect_rules(switch, set())


@tests.add
def of_two_ports_with_one_tenant_the_first_has_the_rules(switch):
    switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
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
    switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:steer=false')
    expect_rules(switch, set())
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:steer=true')
    expect_rules(switch, red_rules(5))


@tests.add
def rules_move_with_steer_table_and_steer_priority(switch):
    switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:steer_table=7',
                     'options:steer_priority=123')
    expect_rules(switch, address_rules(5, RED_ADDRESSES, table=7,
                                       priority=123)
                 | return_rule(5, priority=124)
                 | hints_rule(5, RED, priority=123))


@tests.add
def rules_follow_the_port_s_vni_and_without_one_match_pkt_mark(switch):
    switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:vni=%d' % BLUE)
    expect_rules(switch, address_rules(5, ['10.1.0.100']) | return_rule(5)
                 | hints_rule(5, BLUE))
    switch.ovs.vsctl('remove', 'interface', 'any0', 'options', 'vni')
    both = (address_rules(5, RED_ADDRESSES, vni=RED) | return_rule(5, RED)
            | hints_rule(5))
    expect_rules(switch, both | address_rules(5, ['10.1.0.100'], vni=BLUE)
                 | return_rule(5, BLUE))
    switch.mapd.change_groups(remove=[(BLUE, '10.1.0.100')])
    expect_rules(switch, both)
    switch.ovs.vsctl('set', 'interface', 'any0', 'options:vni=%d' % RED)
    expect_rules(switch, red_rules(5))


@tests.add
def what_a_port_without_a_vni_hands_back_has_its_tenant_again(switch):
    switch.renew(GROUPS, 'ofport_request=5')
    switch.mapd.wait_applied(switch.mapd.revision)
    expect_rules(
        switch, address_rules(5, RED_ADDRESSES, vni=RED)
        | address_rules(5, ['10.1.0.100'], vni=BLUE)
        | return_rule(5, RED) | return_rule(5, BLUE) | hints_rule(5))
    arp = ('ffffffffffff' '020000000105' '0806' '0001080006040001'
           '020000000105' '0a010005' '000000000000' '0a010064')

    def returned(vni):
        text = switch.ovs.ofctl('dump-flows', 'br-red',
                                'in_port=5,dl_src=' + router(vni))
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
    switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    ours = 'priority=30000,ip,nw_dst=10.1.0.100,'
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
    switch.renew(GROUPS, 'options:vni=%d' % RED, 'options:steer=false')
    switch.mapd.wait_applied(switch.mapd.revision)
    theirs = 'priority=30000,ip,nw_dst='
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
    switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    switch.mapd.change_groups(add=[(RED, '10.1.0.7')],
                              remove=[(RED, '10.1.0.100')])
    expect_rules(switch, red_rules(5, ['10.1.0.7', '10.1.0.101', V6]))
    switch.mapd.set_groups([])
    expect_rules(switch, red_rules(5, []))


@tests.add
def a_rule_that_is_refused_keeps_a_revision_from_being_applied(switch):
    switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
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
        5, ['10.1.0.7', *RED_ADDRESSES], table=250)
        | return_rule(5) | hints_rule(5, RED))


class Probe:
    """Asks the switch's main thread something small again and again, from a
    process that does nothing else; 'worst' is the longest, in seconds, that an
    answer took, without the time in which either side waited for a CPU, and
    no longer than the switch worked meanwhile."""

    def __init__(self, switch):
        self.path = switch.ovs.path('grapnel-vswitchd.ctl')
        self.pid = switch.ovs.switch.pid
        self.worst = None

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), '--probe', self.path,
             str(self.pid)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        check(self.process.stdout.readline() == 'ready\n', 'no probe')
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.worst is None:
            self.worst = float(self.process.communicate()[0])


def delayed(pids):
    """For how many seconds they have waited for a CPU."""
    total = 0
    for pid in pids:
        with open('/proc/%d/task/%d/schedstat' % (pid, pid)) as schedstat:
            total += int(schedstat.read().split()[1])
    return total / 1e9


def worked(pid):
    """For how many seconds all of its threads have used a CPU."""
    with open('/proc/%d/stat' % pid) as stat:
        fields = stat.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def probe(path, pid):
    """The probe's process: until the end of standard input."""
    worst, both = 0, (os.getpid(), pid)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        peer = Peer(sock)
        print('ready', flush=True)
        while not select.select([sys.stdin], [], [], 0.002)[0]:
            start = time.monotonic() - delayed(both)
            before = worked(pid)
            peer.send(id=0, method='version', params=[])
            peer.receive()
            worst = max(worst, min(time.monotonic() - delayed(both) - start,
                                   worked(pid) - before))
    print(worst)


def many_groups():
    """Every other address is IPv6."""
    return [(RED, ('2001:db8:2::%x:%x' if i % 2 else '10.2.%d.%d') % (
        i // 250 + 1, i % 250 + 1)) for i in range(MANY)]


def check_stalls_not(switch, work, prepare=lambda: None):
    """Does 'work' up to four times: what others do on this machine can hold
    the main thread up as well, but not each time."""
    worst = []
    while not worst or (worst[-1] >= STALL_SECONDS and len(worst) < 4):
        prepare()
        with Probe(switch) as prober:
            work(prober)
        worst.append(prober.worst)
    check(worst[-1] < STALL_SECONDS, 'the main thread was away for %s s',
          worst)


@tests.add
def many_groups_do_not_stall_the_switch_and_are_applied_when_in_place(switch):
    switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    groups = many_groups()

    def prepare():
        switch.mapd.set_groups([])
        expect_rules(switch, red_rules(5, []))

    def work(prober):
        count = {}

        def count_when_applied(revision):
            prober.stop()       # Counting takes the main thread a while too.
            count[revision] = count_rules(switch, 'br-red')

        switch.mapd.on_applied = count_when_applied
        revision = switch.mapd.set_groups(groups)
        switch.mapd.wait_applied(revision, 20)
        switch.mapd.on_applied = lambda _: None
        check(count[revision] == 2 * MANY + 2, 'applied with %d rules',
              count[revision])

    check_stalls_not(switch, work, prepare)
    check(rules(switch) == red_rules(5, [address for _, address in groups]),
          'not the right rules')


@tests.add
def many_rules_are_verified_without_a_stall(switch):
    def work(_):
        switch.ovs.ofctl('del-flows', 'br-red', 'ip,nw_dst=10.2.7.0/24')
        wait_until('all rules are back', lambda: count_rules(
            switch, 'br-red') == 2 * MANY + 2, 10)
        time.sleep(1)           # For what is left of the verification.

    check_stalls_not(switch, work)
    check(age(switch, 'ip,nw_dst=10.2.7.0/24')
          < age(switch, 'ip,nw_dst=10.2.8.0/24'), 'nothing was deleted')


@tests.add
def many_groups_are_taken_from_one_port_to_another_without_a_stall(switch):
    groups = many_groups()

    def takes(count, *command):
        switch.ovs.vsctl(*command)
        wait_until('%d rules' % count,
                   lambda: count_rules(switch, 'br-red') == count, 20)

    def prepare():
        takes(2 * MANY + 2, 'set', 'interface', 'any0', 'options:vni=%d' % RED)

    def work(_):
        takes(3 * MANY + 2, 'remove', 'interface', 'any0', 'options', 'vni')

    switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
    switch.mapd.wait_applied(switch.mapd.set_groups(groups), 20)
    check_stalls_not(switch, work, prepare)
    addresses = [address for _, address in groups]
    check(rules(switch) == address_rules(5, addresses, vni=RED)
          | return_rule(5, RED) | hints_rule(5), 'not the right rules')
    switch.mapd.set_groups([])
    expect_rules(switch, hints_rule(5), seconds=20)


@tests.add
def ports_come_and_go_without_a_stall_while_a_large_mapping_is_read(switch):
    groups = many_groups()
    switch.renew([], 'options:steer=false')

    def work(_):
        revision = switch.mapd.set_groups(groups)
        deadline = time.monotonic() + 30
        while (revision not in switch.mapd.applied
               and time.monotonic() < deadline):
            switch.ovs.vsctl('add-port', 'br-red', 'p1', '--', 'set',
                             'interface', 'p1', 'type=internal')
            switch.ovs.vsctl('del-port', 'br-red', 'p1')
        switch.mapd.wait_applied(revision)

    check_stalls_not(switch, work)
    switch.mapd.set_groups([])


def goes_to(switch, flow):
    """Whether br-red's rules output the packet to port 5."""
    trace = switch.ovs.appctl('ofproto/trace', 'br-red', flow)
    return 'output:5' in trace[:trace.index('Final flow')]


OVER_V4 = ',tun_src=192.0.2.2,tun_dst=192.0.2.1,tun_id='
OVER_V6 = ',tun_ipv6_src=2001:db8::2,tun_ipv6_dst=2001:db8::1,tun_id='
ARP = 'in_port=LOCAL,arp,arp_op=1,arp_tpa='
ND = 'in_port=LOCAL,icmp6,icmpv6_type=135,ipv6_dst=ff02::1:ff01:64,nd_target='


@tests.add
def packets_of_vms_and_out_of_tunnels_reach_a_port_with_a_vni(switch):
    switch.renew(GROUPS, 'options:vni=%d' % RED, 'ofport_request=5')
    expect_rules(switch, red_rules(5))
    to_v4, to_v6 = ('in_port=LOCAL,tcp,nw_dst=10.1.0.100',
                    'in_port=LOCAL,tcp6,ipv6_dst=' + V6)
    hint = 'in_port=LOCAL,dl_type=0x88b5,dl_dst=' + router(RED)
    tunnel4, tunnel6 = OVER_V4 + str(RED), OVER_V6 + str(RED)
    yes = [packet + tunnel for packet in (to_v4, to_v6, hint)
           for tunnel in ('', tunnel4, tunnel6)]
    yes += [ARP + '10.1.0.100', ND + V6]
    no = [question + tunnel for question in (ARP + '10.1.0.100', ND + V6)
          for tunnel in (tunnel4, tunnel6)]
    no += ['in_port=LOCAL,tcp,nw_dst=10.1.0.99',
           'in_port=LOCAL,tcp6,ipv6_dst=2001:db8::1', ND + '2001:db8::1',
           ARP + '10.1.0.99', to_v4.replace('LOCAL', '5'),
           to_v6.replace('LOCAL', '5'), hint.replace('0a:67', '0a:68'),
           'in_port=LOCAL,arp,arp_op=2,arp_tpa=10.1.0.100',
           'in_port=LOCAL,icmp6,icmpv6_type=136,nd_target=' + V6]
    for flow in yes:
        check(goes_to(switch, flow), '%s: is not steered', flow)
    for flow in no:
        check(not goes_to(switch, flow), '%s: is steered', flow)


@tests.add
def a_port_without_a_vni_gets_what_bears_a_tenant_that_it_serves(switch):
    switch.renew(GROUPS, 'ofport_request=5')
    switch.mapd.wait_applied(switch.mapd.revision)
    mark, only_red = ',pkt_mark=%d', '10.1.0.101'
    to, hint = 'in_port=LOCAL,tcp,nw_dst=', 'in_port=LOCAL,dl_type=0x88b5,'
    yes = [to + only_red + mark % RED, to + only_red + OVER_V4 + str(RED),
           to + only_red + OVER_V6 + str(RED),
           to + '10.1.0.100' + OVER_V4 + str(BLUE),
           hint + 'dl_dst=' + router(RED) + OVER_V4 + str(RED),
           hint + 'dl_dst=' + router(BLUE) + OVER_V6 + str(BLUE)]
    no = [to + only_red, to + only_red + mark % BLUE,
          to + only_red + OVER_V4 + str(BLUE),
          to + only_red + OVER_V4 + '0' + mark % RED,
          to + only_red + OVER_V6 + '0' + mark % RED,
          ARP + only_red + OVER_V4 + str(RED) + mark % RED]
    for flow in yes:
        check(goes_to(switch, flow), '%s: is not steered', flow)
    for flow in no:
        check(not goes_to(switch, flow), '%s: is steered', flow)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--probe']:
        sys.exit(probe(sys.argv[2], int(sys.argv[3])))
    sys.exit(tests.main(lambda: Switch(EXPECTED_LOG)))
