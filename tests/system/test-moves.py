#!/usr/bin/python3
"""A client VM moves from host to host, with its connections."""

import sys
sys.dont_write_bytecode = True

import contextlib
import os

import harness
from harness import TOP, check

from clients import Holder, connect
from node import wait_until
from tenant import REGISTERED_ANEW, group, h4, red
from topology import ANYCAST, ANYCAST6, Topology

SERVERS = ('red-web1', 'red-web2', 'red-web3')
HELD = 8                        # Connections of each group and address.
# Group of each algorithm: its port.
PORTS = {'hash': 80, 'weighted': 8080, 'least-connections': 8081}

tests = harness.Tests()


@contextlib.contextmanager
def groups(network, algorithms=PORTS, addresses=(ANYCAST, ANYCAST6)):
    """One for each of 'algorithms' and 'addresses'.  The value is a list of
    their (key, address, port)."""
    with contextlib.ExitStack() as stack:
        yield [(stack.enter_context(group(
            network, *SERVERS, name='%s-%d' % (algorithm, ':' in address),
            address=address, port=PORTS[algorithm],
            options=['--algorithm', algorithm])), address, PORTS[algorithm])
               for algorithm in algorithms for address in addresses]


def hold(network, made):
    return [Holder(red(network), HELD, address, port)
            for _, address, port in made]


def check_unbroken(made, holders):
    for (key, address, _), holder in zip(made, holders):
        report = holder.finish()
        check(not report['broken'], '%s, %s: %d of %d broke: %s', key, address,
              len(report['broken']), HELD, report['broken'][:3])


@tests.add
def connections_move_along_and_back(network):
    """To a host with an endpoint of theirs, to another one, and back, while
    endpoints change; connections begin on each of the hosts."""
    with groups(network) as made:
        holders = hold(network, made)
        opened = list(made)
        for host, weight in (('h1', 300), ('h2', 50), ('h1', 100),
                             ('h4', 400)):
            for key, _, _ in made:
                network.ctl('endpoint', 'set', key + '/web3', '--weight',
                            weight)
            network.wait_for_hosts()
            network.move_vm('red-client', host)
            for _, address, port in made:
                connect(red(network), 10, address=address, port=port)
            holders += hold(network, made)
            opened += made
        check_unbroken(opened, holders)


@tests.add
def a_question_about_flows_is_asked_once(network):
    h1 = network.hosts['h1']
    with groups(network, ['least-connections'], [ANYCAST]) as made:
        holders = hold(network, made)
        before = h1.anycast_fact('handovers_asked')
        network.move_vm('red-client', 'h1')
        wait_until('the flows are there', lambda: h1.anycast_fact(
            'handovers_asked') > before)
        check_unbroken(made, holders)
        asked = h1.anycast_fact('handovers_asked') - before
        check(asked == 1, 'asked %d times', asked)
        network.move_vm('red-client', 'h4')


@tests.add
def without_mapd_slots_still_find_the_flows_and_others_are_picked_anew(
        network):
    network.expect_log(REGISTERED_ANEW)
    network.expect_log(r'agent\d+\)\|WARN')
    h2 = network.hosts['h2']
    with groups(network, addresses=[ANYCAST]) as made:
        holders = hold(network, made)
        network.mapd.kill()
        wait_until('all notice', lambda: all(
            host.anycast_fact('mapd') == 'away'
            for host in network.hosts.values()))
        network.move_vm('red-client', 'h2')
        connect(red(network), 20, port=PORTS['least-connections'])
        wait_until('they are picked anew', lambda: h2.anycast_fact(
            'endpoints_selected') >= 20 + HELD, 5)
        check(h2.drops('awaiting_handover'), 'nobody waited')
        for (_, _, port), holder in zip(made, holders):
            report = holder.finish()
            check(not report['broken'] or port == PORTS['least-connections'],
                  'port %d: %s', port, report['broken'][:3])
        network.start_mapd()
        network.wait_for_hosts()
        network.move_vm('red-client', 'h4')
        check(h4(network).anycast_fact('mapd') == 'connected', 'not back')


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'moves'))))
