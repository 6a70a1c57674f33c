#!/usr/bin/python3
"""Endpoints are found by the iface-id of their VM's port, and move with it.

VMs' ports have external_ids:iface-id and attached-mac, as libvirt and
OpenStack set them; no test here says where an endpoint is."""

import sys
sys.dont_write_bytecode = True

import contextlib
import os

import harness
from harness import TOP, check

from clients import Holder, connect
from node import wait_until
from tenant import REGISTERED_ANEW, h4, red
from topology import ANYCAST, Topology

HELD = 12                       # Connections of each group.
# Group of each algorithm: its port.
PORTS = {'weighted': 80, 'hash': 8080, 'least-connections': 8081}
SECONDS = 30                    # For what takes one, on a busy machine.
HOSTS_GO = r'host h\d is dead'

tests = harness.Tests()


@contextlib.contextmanager
def found(network, *vms, algorithms=PORTS):
    """A group for each of 'algorithms', with endpoints 'vms', found by their
    ports.  The value is the list of their keys."""
    keys = ['5001/' + algorithm for algorithm in algorithms]
    try:
        for key, algorithm in zip(keys, algorithms):
            network.ctl('group', 'add', key, '--address', ANYCAST, '--port',
                        PORTS[algorithm], '--algorithm', algorithm)
            for vm in vms:
                network.ctl('endpoint', 'add', '%s/%s' % (key, vm), '--iface',
                            vm)
        yield keys
    finally:
        for key in keys:
            network.ctl('group', 'remove', key, '--cascade', '--wait')


def endpoints(network, key):
    return {item['record']['name']: item
            for item in network.ctl_json('endpoint', 'list', key)}


def places(network, key):
    return {name: item['record']['host']
            for name, item in endpoints(network, key).items()}


def wait_places(network, keys, **expected):
    """'expected' is by VM, with _ in place of -."""
    expected = {vm.replace('_', '-'): host for vm, host in expected.items()}
    for key in keys:
        wait_until('%s is %s' % (key, expected), lambda: places(
            network, key) == expected, SECONDS)
    network.wait_for_hosts()


def problems(network):
    """What status says of endpoints."""
    return [line['problem'] for line in network.ctl_json('status')['problems']
            if line['problem'].startswith('endpoint ')]


def unplug(network, vm):
    """The VM's port goes, as when it is stopped, or the last step of a
    migration away."""
    network.vms[vm].host.ovs.vsctl('del-port', network.vms[vm].bridge, vm)


def plug(network, vm):
    host = network.vms[vm].host
    host.ovs.vsctl(*host.port(network.vms[vm]))
    network.vms[vm].announce()


@tests.add
def flows_go_where_the_port_is_and_move_with_it(network):
    with found(network, 'red-web1') as keys:
        wait_places(network, keys, red_web1='h1')
        record = endpoints(network, keys[0])['red-web1']['record']
        check((record['mac'], record['mac_from'])
              == (network.vms['red-web1'].mac, 'iface'), '%s', record)
        holders = []
        for port in PORTS.values():
            answers = connect(red(network), 10, port=port)
            check(set(answers) == {'red-web1'}, '%s', dict(answers))
            holders.append(Holder(red(network), HELD, ANYCAST, port))
        for host in ('h3', 'h4', 'h2'):
            network.move_vm('red-web1', host)
            wait_places(network, keys, red_web1=host)
            for port in PORTS.values():
                answers = connect(red(network), 10, port=port)
                check(set(answers) == {'red-web1'}, '%s: %s', host,
                      dict(answers))
        network.move_vm('red-web1', 'h1')
        wait_places(network, keys, red_web1='h1')
        for port, holder in zip(PORTS.values(), holders):
            report = holder.finish()
            check(not report['broken'], 'port %d: %d of %d broke: %s', port,
                  len(report['broken']), HELD, report['broken'][:3])
        check(not problems(network), '%s', problems(network))


@tests.add
def flows_of_others_stay_when_one_moves(network):
    with found(network, 'red-web1', 'red-web2', 'red-web3') as keys:
        wait_places(network, keys, red_web1='h1', red_web2='h2',
                    red_web3='h3')
        holders = [Holder(red(network), HELD, ANYCAST, port)
                   for port in PORTS.values()]
        network.move_vm('red-web2', 'h1')
        wait_places(network, keys, red_web1='h1', red_web2='h1',
                    red_web3='h3')
        for port in PORTS.values():
            answers = connect(red(network), 60, port=port)
            check(set(answers) == {'red-web1', 'red-web2', 'red-web3'},
                  '%s', dict(answers))
        network.move_vm('red-web2', 'h2')
        wait_places(network, keys, red_web1='h1', red_web2='h2',
                    red_web3='h3')
        for port, holder in zip(PORTS.values(), holders):
            report = holder.finish()
            check(not report['broken'], 'port %d: %d of %d broke: %s', port,
                  len(report['broken']), HELD, report['broken'][:3])


@tests.add
def one_whose_port_goes_gets_nothing_and_that_is_said(network):
    with found(network, 'red-web1', 'red-web2',
               algorithms=['weighted']) as keys:
        key, = keys
        wait_places(network, keys, red_web1='h1', red_web2='h2')
        unplug(network, 'red-web1')
        wait_places(network, keys, red_web1='', red_web2='h2')
        answers = connect(red(network), 20)
        check(set(answers) == {'red-web2'}, '%s', dict(answers))
        item = endpoints(network, key)['red-web1']
        check(item['status']['why'].startswith('unbound: no host')
              and not item['status']['slots'], '%s', item)
        check(problems(network) == [
            'endpoint %s/red-web1 is unbound: no host has a port with its '
            'iface-id (red-web1)' % key], '%s', problems(network))
        check('unbound: no such port' in network.ctl('endpoint', 'list', key),
              'not in the list')
        groups = h4(network).ovs.appctl('anycast/groups')
        check('no host (unbound)' in groups, '%s', groups)
        done = network.ctl('check', check=False)
        check(done.returncode and 'FAIL  endpoint %s/red-web1 is unbound'
              % key in done.stdout, '%s', done.stdout)
        plug(network, 'red-web1')
        wait_places(network, keys, red_web1='h1', red_web2='h2')
        check(not problems(network), '%s', problems(network))
        network.ctl('check')


@tests.add
def a_port_at_two_hosts_is_where_it_came_last(network):
    """As during a live migration: the port is made at the new host while the
    VM runs at the old one."""
    vm, h3 = network.vms['red-web1'], network.hosts['h3']
    with found(network, 'red-web1', algorithms=['weighted']) as keys:
        wait_places(network, keys, red_web1='h1')
        h3.ovs.vsctl('add-port', vm.bridge, 'prepared', '--', 'set',
                     'interface', 'prepared', 'type=internal',
                     'external_ids:iface-id=red-web1',
                     'external_ids:attached-mac=' + vm.mac)
        wait_places(network, keys, red_web1='h3')
        check(any('port red-web1 is at hosts h1, h3; h3, where it came last'
                  in line for line in problems(network)), '%s',
              problems(network))
        h3.ovs.vsctl('del-port', 'prepared')
        wait_places(network, keys, red_web1='h1')
        check(not problems(network), '%s', problems(network))


@tests.add
def a_port_without_a_device_is_not_there(network):
    """What a database has left of a VM, after a crash of its host."""
    h3 = network.hosts['h3']
    network.expect_log(r'could not open network device gone')
    # ovs-vsctl that does not wait has gone when the database answers it.
    network.expect_log(r'unix#\d+: .*Broken pipe')
    with found(network, 'red-web1', algorithms=['weighted']) as keys:
        wait_places(network, keys, red_web1='h1')
        h3.ovs.vsctl('--no-wait', 'add-port', 'br-red', 'gone', '--', 'set',
                     'interface', 'gone', 'external_ids:iface-id=red-web1')
        wait_until('the switch has tried', lambda: h3.ovs.vsctl(
            'get', 'interface', 'gone', 'ofport').strip() == '-1', SECONDS)
        network.wait_for_hosts()
        check(places(network, keys[0]) == {'red-web1': 'h1'}, '%s',
              places(network, keys[0]))
        h3.ovs.vsctl('del-port', 'gone')


@tests.add
def nothing_moves_when_mapd_or_a_switch_starts_anew(network):
    network.expect_log(REGISTERED_ANEW)
    network.expect_log(r'agent\d+\)\|WARN')
    with found(network, 'red-web1', 'red-web2',
               algorithms=['weighted']) as keys:
        wait_places(network, keys, red_web1='h1', red_web2='h2')
        revision = network.ctl_json('status')['mapd']['revision']
        network.restart_mapd()
        check(places(network, keys[0]) == {'red-web1': 'h1',
                                           'red-web2': 'h2'}, 'moved')
        check(network.ctl_json('status')['mapd']['revision'] == revision,
              'something has changed')
        network.move_vm('red-web2', 'h3')
        wait_places(network, keys, red_web1='h1', red_web2='h3')
        network.expect_log(HOSTS_GO)
        network.hosts['h3'].restart_switch()
        wait_until('it serves', lambda: endpoints(
            network, keys[0])['red-web2']['status']['slots'], SECONDS)
        wait_places(network, keys, red_web1='h1', red_web2='h3')
        network.move_vm('red-web2', 'h2')
        wait_places(network, keys, red_web1='h1', red_web2='h2')


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'iface-id'))))
