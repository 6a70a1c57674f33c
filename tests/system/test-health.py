#!/usr/bin/python3
"""Hosts check their endpoints: what is unwell gets no new connections until
it is well again."""

import sys
sys.dont_write_bytecode = True

import contextlib
import os
import signal

import harness
from harness import TOP, check

from clients import Holder, connect
from node import run, wait_until
from slowlink import SlowLink
from tenant import REGISTERED_ANEW, group, h4, red
from topology import ANYCAST, ANYCAST6, Topology

SOURCE = {ANYCAST: '10.1.0.254', ANYCAST6: '2001:db8:1::fe'}
FAST = ['--health-interval', '200', '--health-timeout', '150',
        '--health-rise', '2', '--health-fall', '2']

tests = harness.Tests()


@contextlib.contextmanager
def checked(network, how, address=ANYCAST, more=(), port=80):
    source = [] if how == 'arp' else ['--health-source', SOURCE[address]]
    with group(network, 'red-web1', 'red-web2', address=address, port=port,
               options=['--health-check', how, *FAST, *source,
                        *more]) as key:
        yield key


def ills(network, key):
    """Why endpoints are unwell, by name."""
    return {item['record']['name']: item['status']['unhealthy']
            for item in network.ctl_json('endpoint', 'list', key)
            if 'unhealthy' in item['status']}


def slots(network, key):
    return {item['record']['name']
            for item in network.ctl_json('endpoint', 'list', key)
            if item['status']['slots']}


def falls_ill_and_recovers(network, key, reason, harm, heal, address=ANYCAST):
    check(not ills(network, key), 'ill from the start: %s',
          ills(network, key))
    harm()
    wait_until('web1 is ill', lambda: 'web1' in ills(network, key), 20)
    check(reason in ills(network, key)['web1'], '%s, not %s',
          ills(network, key), reason)
    check(slots(network, key) == {'web2'}, 'slots: %s', slots(network, key))
    network.wait_for_hosts()
    answers = connect(red(network), 20, address)
    check(set(answers) == {'red-web2'}, 'answers: %s', dict(answers))
    text = network.ctl('endpoint', 'list', key)
    check('HEALTH' in text and reason in text, '%s', text)
    heal()
    wait_until('web1 is well', lambda: not ills(network, key), 20)
    network.wait_for_hosts()
    answers = connect(red(network), 60, address)
    check(set(answers) == {'red-web1', 'red-web2'}, 'answers: %s',
          dict(answers))


@tests.add
def tcp_checks_find_servers_that_have_gone(network):
    for address in (ANYCAST, ANYCAST6):
        with checked(network, 'tcp', address) as key:
            falls_ill_and_recovers(
                network, key, 'refused', lambda: network.stop_web('red-web1'),
                lambda: network.start_web('red-web1'), address)


@tests.add
def checks_leave_no_connections_behind(network):
    """Not even where the answer comes too late."""
    vm = network.vms['red-web1']
    link = SlowLink(vm)
    with checked(network, 'tcp') as key:
        link.delay(300)
        wait_until('web1 is too slow', lambda: ills(network, key)
                   == {'web1': 'no answer'}, 20)
        before = vm.tcp_counter('InSegs')
        wait_until('many checks', lambda: vm.tcp_counter('InSegs')
                   >= before + 20, 20)
        half = run(vm, ['ss', '-Htn', 'state', 'syn-recv']).stdout
        check(len(half.splitlines()) <= 5, 'half open: %s', half)
        link.delay(0)
        wait_until('web1 is well', lambda: not ills(network, key), 20)
        wait_until('nothing is left of late ones', lambda: not run(
            vm, ['ss', '-Htn', 'state', 'syn-recv']).stdout.strip(), 5)


@tests.add
def http_checks_read_the_status(network):
    with checked(network, 'http') as key:
        falls_ill_and_recovers(
            network, key, 'refused', lambda: network.stop_web('red-web1'),
            lambda: network.start_web('red-web1'))
        network.ctl('group', 'set', key, '--health-status', '204')
        wait_until('all are ill', lambda: len(ills(network, key)) == 2, 20)
        check(set(ills(network, key).values()) == {'status 200'}, '%s',
              ills(network, key))
        check(slots(network, key) == {'web1', 'web2'}, 'slots: %s',
              slots(network, key))
        problems = network.ctl_json('status')['mapd']['problems']
        check('so all are used' in str(problems), '%s', problems)
        network.wait_for_hosts()
        answers = connect(red(network), 60)
        check(set(answers) == {'red-web1', 'red-web2'}, 'answers: %s',
              dict(answers))


@tests.add
def icmp_checks_ping(network):
    vm = network.vms['red-web1']
    for address, setting in ((ANYCAST, 'net.ipv4.icmp_echo_ignore_all'),
                             (ANYCAST6, 'net.ipv6.icmp.echo_ignore_all')):
        with checked(network, 'icmp', address,
                     ['--algorithm', 'round-robin']) as key:
            falls_ill_and_recovers(
                network, key, 'no answer',
                lambda setting=setting: run(vm, ['sysctl', '-qw',
                                                 setting + '=1']),
                lambda setting=setting: run(vm, ['sysctl', '-qw',
                                                 setting + '=0']), address)


@tests.add
def arp_checks_ask_for_the_address(network):
    """VMs must answer for it: these do not as a rule, over IPv4."""
    vms = [network.vms[name] for name in ('red-web1', 'red-web2')]

    def set_arp(vm, ignore):
        run(vm, ['sysctl', '-qw', 'net.ipv4.conf.all.arp_ignore=%d' % ignore])

    for vm in vms:
        set_arp(vm, 0)
    try:
        with checked(network, 'arp') as key:
            falls_ill_and_recovers(network, key, 'no answer',
                                   lambda: set_arp(vms[0], 1),
                                   lambda: set_arp(vms[0], 0))
    finally:
        for vm in vms:
            set_arp(vm, 1)


@tests.add
def connections_of_an_endpoint_that_falls_ill_go_on(network):
    vm = network.vms['red-web1']
    with checked(network, 'icmp') as key:
        held = Holder(red(network), 20)
        run(vm, ['sysctl', '-qw', 'net.ipv4.icmp_echo_ignore_all=1'])
        wait_until('web1 is ill', lambda: 'web1' in ills(network, key), 20)
        network.wait_for_hosts()
        connect(red(network), 20)
        run(vm, ['sysctl', '-qw', 'net.ipv4.icmp_echo_ignore_all=0'])
        wait_until('web1 is well', lambda: not ills(network, key), 20)
        report = held.finish()
    check(not report['broken'], '%s', report['broken'])


@contextlib.contextmanager
def standing_still(host):
    """What its switch is told meanwhile, it takes in at once."""
    host.ovs.switch.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        host.ovs.switch.signal(signal.SIGCONT)


@tests.add
def what_is_repaired_while_it_is_not_checked_is_well_again(network):
    """Down, or in a group without a check; and what is not repaired is found
    once more, even if the changes come to the switch as none."""
    def is_ill():
        wait_until('web1 is ill', lambda: slots(network, key) == {'web2'}, 30)

    def is_well():
        wait_until('web1 is well', lambda: not ills(network, key)
                   and slots(network, key) == {'web1', 'web2'}, 20)

    with checked(network, 'tcp') as key:
        for what, away, back in (
                (['endpoint', 'set', key + '/web1'],
                 ['--state', 'down'], ['--state', 'up']),
                (['group', 'set', key],
                 ['--health-check', 'none'], ['--health-check', 'tcp'])):
            network.stop_web('red-web1')
            is_ill()
            network.ctl(*what, *away)
            network.wait_for_hosts()
            network.start_web('red-web1')
            network.ctl(*what, *back)
            is_well()
            network.stop_web('red-web1')
            is_ill()
            with standing_still(network.hosts['h1']):
                network.ctl(*what, *away)
                network.ctl(*what, *back)
                check(slots(network, key) == {'web1', 'web2'}, 'mapd forgets')
            is_ill()
            network.start_web('red-web1')
            is_well()


@tests.add
def restarts_find_the_same(network):
    """Of mapd, which asks again, and of the endpoint's switch."""
    network.expect_log(REGISTERED_ANEW)
    with checked(network, 'tcp') as key:
        network.stop_web('red-web1')
        wait_until('web1 is ill', lambda: 'web1' in ills(network, key), 20)
        network.restart_mapd()
        check(slots(network, key) == {'web2'}, 'slots: %s',
              slots(network, key))
        wait_until('its host says why again', lambda: ills(network, key)
                   == {'web1': 'refused'}, 20)
        network.hosts['h1'].restart_switch()
        network.wait_for_hosts()
        check(slots(network, key) == {'web2'}, 'slots: %s',
              slots(network, key))
        network.start_web('red-web1')
        wait_until('web1 is well', lambda: not ills(network, key), 20)
    check(h4(network).anycast_fact('mapd') == 'connected', 'h4')


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'health'))))
