#!/usr/bin/python3
"""The demo's topology with hosts that reach each other by IPv6."""

import sys
sys.dont_write_bytecode = True

import json
import os
import re

import harness
from harness import TOP, check

from capture import CONTEXT_CLASS, anycast_frames
from clients import Holder, by_weight, connect
from node import run
from tenant import REGISTERED_ANEW, captured, drops, group, h4, red
from topology import ANYCAST, ANYCAST6, Topology

WEIGHTS = {'red-web1': 100, 'red-web2': 100, 'red-web3': 200}

tests = harness.Tests()


def weigh(network, key):
    network.ctl('endpoint', 'set', key + '/web3', '--weight', 200, '--wait')


@tests.add
def both_versions_are_balanced_over_ipv6(network):
    by_mac = {vm.mac: vm for vm in network.vms.values()}
    for address in (ANYCAST, ANYCAST6):
        with group(network, *WEIGHTS, address=address) as key:
            weigh(network, key)
            with captured(network) as pcap:
                by_weight(connect(red(network), 600, address=address),
                          WEIGHTS)
        frames = anycast_frames(pcap, address)
        check(len(frames) > 600, 'only %d frames', len(frames))
        for frame in frames:
            check(frame.encap == 'geneve' and frame.vni == 5001
                  and CONTEXT_CLASS in frame.options
                  and frame.source == h4(network).vtep
                  and frame.vtep == by_mac[frame.inner_mac].host.vtep,
                  'frame %d of %s is wrong: %s', frame.number, pcap, frame)


@tests.add
def connections_survive_changes_moves_and_restarts(network):
    network.expect_log(REGISTERED_ANEW)
    with group(network, *WEIGHTS, options=['--algorithm', 'hash']), \
            group(network, *WEIGHTS, address=ANYCAST6, name='six',
                  options=['--algorithm', 'least-connections']):
        held = [Holder(red(network), 20, address=address)
                for address in (ANYCAST, ANYCAST6)]
        weigh(network, '5001/test')
        h4(network).restart_switch(kill=True)
        network.wait_for_hosts()
        network.move_vm('red-client', 'h2')
        connect(red(network), 20)
        network.ctl('endpoint', 'set', '5001/test/web1', '--state',
                    'draining', '--wait')
        connect(red(network), 20, address=ANYCAST6)
        network.move_vm('red-client', 'h4')
        for holder in held:
            report = holder.finish()
            check(not report['broken'], '%s', report['broken'][:3])


@tests.add
def a_packet_that_does_not_fit_is_answered_and_the_sender_adapts(network):
    """Outer headers are 20 bytes longer than over IPv4."""
    client, server = red(network), network.vms['red-web1']
    for vm in (client, server):
        for where, interface in ((vm, 'eth0'), (vm.host, vm.name)):
            run(where, ['ip', 'link', 'set', interface, 'mtu', 4000])
    before = drops(network, 'too_big')
    for address in (ANYCAST, ANYCAST6):
        with group(network, 'red-web1', address=address):
            url = 'http://%s/' % ('[%s]' % address if ':' in address
                                  else address)
            done = run(client, ['curl', '-g', '-s', '-m', 20,
                                '--data-binary', '@-', url],
                       stdin='x' * 500000)
            check(done.stdout == 'red-web1 got 500000 bytes\n', 'the answer '
                  'is %r', done.stdout)
            route = run(client, ['ip', 'route', 'get', address]).stdout
        check(' mtu 1518' in route, 'the client\'s route is: %s', route)
    check(drops(network, 'too_big') > before, 'too_big was not counted')
    for vm in (client, server):
        for where, interface in ((vm, 'eth0'), (vm.host, vm.name)):
            run(where, ['ip', 'link', 'set', interface, 'mtu', 1500])


@tests.add
def traces_and_lists_name_ipv6_addresses(network):
    ovs, client = h4(network).ovs, red(network)
    with group(network, *WEIGHTS, address=ANYCAST6):
        held = Holder(client, 10, address=ANYCAST6)
        flow = ['5001', 'tcp', '[%s]:40000' % client.address6,
                '[%s]:80' % ANYCAST6]
        foretold = json.loads(ovs.appctl('anycast/trace', '--json', *flow))
        vm = network.vms['red-' + foretold['endpoint']]
        for text in (ovs.appctl('anycast/trace', *flow),
                     network.ctl('trace', '--host', 'h4', *flow)):
            check(re.search(r'\b%s\b' % re.escape(vm.host.vtep), text)
                  and foretold['endpoint'] in text, '%s', text)
        told = network.ctl_json('trace', '--host', 'h4', *flow)
        check(told['endpoint'] == foretold['endpoint'], '%s', told)
        flows = [flow for flow in json.loads(ovs.appctl(
            'anycast/flows', '--json', 100000))
                 if flow['source'] == client.address6
                 and flow['state'] == 'established']
        check(len(flows) == 10, '%d flows are listed', len(flows))
        check('[%s]' % client.address6 in ovs.appctl('anycast/flows', 100000),
              'not in the text')
        open_flows = {line['endpoint']: line['open'] for line in json.loads(
            ovs.appctl('anycast/groups', '--json'))}
        report = held.finish()
        check({'red-' + name: count for name, count in open_flows.items()
               if count} == report['endpoints'], 'open: %s, were: %s',
              open_flows, report['endpoints'])
        for command in ('show', 'drops', 'groups', 'flows'):
            json.loads(ovs.appctl('anycast/' + command, '--json'))
            check(command == 'flows' or ovs.appctl('anycast/' + command),
                  'anycast/%s: no text', command)


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'ipv6-underlay'),
        underlay6=True)))
