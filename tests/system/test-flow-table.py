#!/usr/bin/python3
"""How one switch comes by its flow table, or does not, and what it says of
that, of its registration and of its VTEP."""

import sys
sys.dont_write_bytecode = True

import contextlib
import fcntl
import json
import os
import time

import harness
from harness import check
from node import SLOW_MACHINE, run, wait_until
from switchworld import Switch

GROUPS = [(5001, '10.1.0.100')]
EXIT_SECONDS = 2                # One, and what a loaded machine needs.
LIMIT_BYTES = 64 << 20          # More than the switch has.
MIB = 1 << 20

EXPECTED_LOG = [
    SLOW_MACHINE,
    r'ovs_rcu.*\|WARN\|blocked \d+ ms waiting',
    r'flow_maker\(.*\)\|(WARN|ERR)\|',
    r'mapd_session.*\|WARN\|.*refused to register this host: h1 is taken',
    r'agent_report.*\|WARN\|.*is not an address of this machine',
    r'resolver.*\|WARN\|no way to ',
    r'jsonrpc\|WARN\|.*receive error',
]

tests = harness.Tests()


def show(switch):
    return json.loads(switch.ovs.appctl('anycast/show', '--json'))


def says(switch, fact, text, seconds=10):
    """Waits until anycast/show says 'text' of 'fact', in JSON and in text."""
    wait_until('%s says "%s"' % (fact, text),
               lambda: text in show(switch).get(fact, ''), seconds)
    check(text in switch.ovs.appctl('anycast/show'), 'not in the text')


def configure(switch, **keys):
    """Sets external_ids:grapnel-KEY, "_" for "-"; deletes it if None."""
    wait = [] if switch.ovs.switch.alive() else ['--no-wait']
    for key, value in keys.items():
        key = 'grapnel-' + key.replace('_', '-')
        if value is None:
            change = ['remove', 'open_vswitch', '.', 'external_ids', key]
        else:
            change = ['set', 'open_vswitch', '.',
                      'external_ids:%s=%s' % (key, value)]
        switch.ovs.vsctl(*wait, *change)


def stop(switch):
    start = time.monotonic()
    complaint = switch.ovs.exit(switch.ovs.switch)
    check(not complaint, '%s', complaint)
    return time.monotonic() - start


def start(switch):
    switch.mapd.registered.clear()
    switch.ovs.start_switch()
    switch.ovs.wait_for_switch()


def is_ready(switch):
    switch.mapd.wait_applied(switch.mapd.set_groups(GROUPS), 20)
    check(switch.mapd.registered, 'not registered')
    says(switch, 'registration', 'registered')
    says(switch, 'flow_table', 'ready, 0 % full')


@contextlib.contextmanager
def locked(path):
    """As another process has it."""
    with open(path, 'r+b') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@tests.add
def the_host_answers_and_ends_while_it_waits_for_its_flow_table(switch):
    is_ready(switch)
    stop(switch)
    path = switch.ovs.path('grapnel-flows')
    with locked(path):
        start(switch)
        says(switch, 'flow_table', 'making the flow table')
        says(switch, 'registration', 'waits for the flow table')
        begin = time.monotonic()
        while (time.monotonic() - begin < 1.5
               and 'making' in show(switch)['flow_table']):
            check(switch.mapd.echo(1), 'no echo')
        check(not switch.mapd.registered, 'registered without a table')
        took = stop(switch)
        check(took < EXIT_SECONDS, 'took %.1f s to exit', took)

        # Others do not wait for ever.
        start(switch)
        says(switch, 'flow_table', 'another process uses it', 20)
        is_ready(switch)
        stop(switch)
    start(switch)
    is_ready(switch)
    check('in memory only' not in show(switch)['flow_table'], 'not the file')


@tests.add
def a_large_table_is_made_while_mapd_hears_of_the_host(switch):
    """As large as the machine's memory lets it be without harm."""
    stop(switch)
    configure(switch, flows=1 << 24, flows6=64)
    start(switch)
    waits, deadline = [0], time.monotonic() + 60
    while not switch.mapd.registered:
        begin = time.monotonic()
        if switch.mapd.echo(10):
            waits.append(time.monotonic() - begin)
        check(begin < deadline, 'it never registers')
        time.sleep(0.01)
    check(max(waits) < 1, 'no echo for %s', max(waits))
    is_ready(switch)
    stop(switch)
    configure(switch, flows=None, flows6=None)
    start(switch)
    is_ready(switch)


def limit(switch, size):
    run(switch.ovs.node, ['prlimit', '--pid', str(switch.ovs.switch.pid),
                          '--as=%s' % size])


def memory_size(switch):
    with open('/proc/%d/statm' % switch.ovs.switch.pid) as file:
        return int(file.read().split()[0]) * os.sysconf('SC_PAGE_SIZE')


@tests.add
def without_memory_the_reason_is_shown_and_it_is_tried_again(switch):
    path = switch.ovs.path('grapnel-flows')
    mapd = json.loads(switch.ovs.vsctl('get', 'open_vswitch', '.',
                                       'external_ids:grapnel-mapd'))
    stop(switch)
    configure(switch, mapd=None, flows=1 << 24, flows6=64)
    start(switch)
    limit(switch, '%d:' % (memory_size(switch) + LIMIT_BYTES))
    configure(switch, mapd=mapd)
    says(switch, 'flow_table', 'no memory for a flow table of ')
    says(switch, 'flow_table', 'lower external_ids:grapnel-flows, now '
         '16777216')
    says(switch, 'registration', 'waits for the flow table')
    check(not os.path.exists(path), 'the file is still there')
    check(switch.mapd.echo(), 'no echo')
    check(not switch.mapd.registered, 'registered without a table')

    # Another configuration is tried at once.
    configure(switch, flows=20000)
    is_ready(switch)
    check(os.path.exists(path), 'no file')
    stop(switch)
    configure(switch, flows=None, flows6=None)
    start(switch)
    is_ready(switch)


@tests.add
def a_file_of_somebody_elses_is_left_alone(switch):
    stop(switch)
    path = switch.ovs.path('precious')
    with open(path, 'w') as file:
        file.write('precious\n' * 1000)
    configure(switch, flows_file=path)
    start(switch)
    says(switch, 'flow_table', 'it has something else in it')
    is_ready(switch)
    with open(path) as file:
        check(file.read() == 'precious\n' * 1000, 'it was changed')
    stop(switch)
    configure(switch, flows_file=None)
    start(switch)
    is_ready(switch)


@tests.add
def the_file_moves_when_its_name_changes(switch):
    old, new = (switch.ovs.path(name) for name in ('grapnel-flows', 'moved'))
    inode = os.stat(old).st_ino
    configure(switch, flows_file=new)
    wait_until('it has moved', lambda: os.path.exists(new))
    check(os.stat(new).st_ino == inode and not os.path.exists(old),
          'the old one is still there')
    stop(switch)
    start(switch)
    is_ready(switch)
    check(os.stat(new).st_ino == inode, 'not the same file')
    configure(switch, flows_file='none')
    wait_until('it is gone', lambda: not os.path.exists(new))
    configure(switch, flows_file=None)
    stop(switch)
    start(switch)
    is_ready(switch)
    check(os.path.exists(old), 'no file')


@tests.add
def a_refused_registration_is_shown(switch):
    stop(switch)
    switch.mapd.refuse = 'h1 is taken by another host'
    start(switch)
    says(switch, 'registration', 'refused: h1 is taken by another host')
    switch.mapd.refuse = None
    says(switch, 'registration', 'registered', 20)


@tests.add
def a_vtep_that_is_not_of_this_machine_is_reported(switch):
    text = 'grapnel-vtep: 192.0.2.77 is not an address of this machine'
    check('vtep_error' not in show(switch), '%s', show(switch))
    configure(switch, vtep='192.0.2.77')
    says(switch, 'vtep_error', text)
    wait_until('it is in the log', lambda: text in switch.ovs.log(), 20)
    run(switch.ovs.node, 'ip addr add 192.0.2.77/24 dev br-phy'.split())
    wait_until('it is mended', lambda: 'vtep_error' not in show(switch))
    configure(switch, vtep='192.0.2.1')


@tests.add
def a_host_without_a_next_hop_is_listed_with_the_reason(switch):
    configure(switch, vtep='2001:db8::1')
    wait_until('h2 is listed', lambda: [
        host for host in show(switch)['no_next_hop']
        if host['host'] == 'h2' and host['vtep'] == '192.0.2.2'
        and 'IPv6 address' in host['reason'] and host['passed_over']])
    check('h2 (192.0.2.2): ' in switch.ovs.appctl('anycast/show'),
          'not in the text')
    configure(switch, vtep='192.0.2.1')
    wait_until('h2 is found', lambda: not show(switch)['no_next_hop'])


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Switch(EXPECTED_LOG)))
