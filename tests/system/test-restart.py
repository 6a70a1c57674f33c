#!/usr/bin/python3
"""Switches are stopped, killed and started under their connections."""

import sys
sys.dont_write_bytecode = True

import contextlib
import os
import re

import harness
from harness import TOP, check

from clients import Holder, connect
from node import wait_until
from sandbox import RUN_DIR
from tenant import REGISTERED_ANEW, group, h4, red
from topology import ANYCAST, ANYCAST6, Topology

SERVERS = ('red-web1', 'red-web2', 'red-web3')
ALGORITHMS = {'weighted': (ANYCAST, 80), 'hash': (ANYCAST6, 80),
              'round-robin': (ANYCAST, 8080),
              'lowest-response-time': (ANYCAST6, 8080),
              'least-connections': (ANYCAST, 8081)}
HELD = 20                       # Connections of each.

# What mapd says of a switch that ended before it had read everything.
CUT_OFF = r'jsonrpc\|WARN\|.* receive error: Connection reset by peer'

tests = harness.Tests()


@contextlib.contextmanager
def groups(network):
    """One for each of ALGORITHMS.  The value is a list of their keys."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(group(
            network, *SERVERS, name=algorithm, address=address, port=port,
            options=['--algorithm', algorithm]))
               for algorithm, (address, port) in ALGORITHMS.items()]


def restarts(network, host, change):
    """Restarts 'host's switch, once as asked and once by SIGKILL, each after
    'change', and checks that no connection of the client's breaks."""
    network.expect_log(REGISTERED_ANEW)
    network.expect_log(CUT_OFF)
    holders = {algorithm: Holder(red(network), HELD, *where)
               for algorithm, where in ALGORITHMS.items()}
    for kill in (False, True):
        change(kill)
        host.restart_switch(kill)
        network.wait_for_hosts()
        for where in ALGORITHMS.values():
            connect(red(network), 10, *where)
    for algorithm, holder in holders.items():
        report = holder.finish()
        check(not report['broken'], '%s: %d of %d broke: %s', algorithm,
              len(report['broken']), HELD, report['broken'][:3])


def weigh_anew(network, keys):
    def change(kill):
        for key in keys:
            network.ctl('endpoint', 'set', key + '/web3', '--weight',
                        30 if kill else 500)
        network.wait_for_hosts()
    return change


@tests.add
def the_clients_switch_is_restarted(network):
    with groups(network) as keys:
        restarts(network, h4(network), weigh_anew(network, keys))
    kept = re.findall(r'(\d+) flows go on where they were',
                      h4(network).ovs.log())
    check(len(kept) == 2 and min(map(int, kept)) >= 4 * HELD, 'kept: %s',
          kept)


@tests.add
def an_endpoints_switch_is_restarted(network):
    with groups(network) as keys:
        restarts(network, network.hosts['h3'], weigh_anew(network, keys))


@tests.add
def a_switch_that_has_lost_its_flows_finds_those_of_slots_again(network):
    """The file is deleted, as by a reboot."""
    network.expect_log(REGISTERED_ANEW)
    host = h4(network)
    with contextlib.ExitStack() as stack:
        keys = [stack.enter_context(group(
            network, *SERVERS, name=algorithm, port=port,
            options=['--algorithm', algorithm]))
                for algorithm, port in (('weighted', 80), ('hash', 8080))]
        holders = [Holder(red(network), 40, port=port)
                   for port in (80, 8080)]
        change = weigh_anew(network, keys)
        for kill in (False, True):
            change(kill)
            complaint = host.ovs.exit(host.ovs.switch)
            check(not complaint, '%s', complaint)
            os.unlink(host.ovs.path('grapnel-flows'))
            host.ovs.start_switch()
            host.ovs.wait_for_switch()
            network.wait_for_hosts()
            connect(red(network), 20)
        for holder in holders:
            report = holder.finish()
            check(not report['broken'], '%d broke: %s',
                  len(report['broken']), report['broken'][:3])
        check(host.anycast_fact('hints_accepted'), 'nobody set h4 right')


@tests.add
def a_flow_file_that_cannot_be_used_costs_the_flows_and_no_more(network):
    """One with nonsense in it, of another size, or none at all."""
    network.expect_log(REGISTERED_ANEW)
    network.expect_log(r'flows are kept in memory only, and forgotten')
    host = h4(network)
    path = host.ovs.path('grapnel-flows')
    with group(network, *SERVERS):
        for spoil in (lambda: spoil_file(path, os.path.getsize(path)),
                      lambda: spoil_file(path, 12345),
                      lambda: (os.unlink(path), os.mkdir(path)),
                      lambda: os.rmdir(path)):
            complaint = host.ovs.exit(host.ovs.switch)
            check(not complaint, '%s', complaint)
            spoil()
            host.ovs.start_switch()
            host.ovs.wait_for_switch()
            network.wait_for_hosts()
            connect(red(network), 20)
    wait_until('the file is back', lambda: os.path.isfile(path))


def spoil_file(path, size):
    with open(path, 'r+b') as file:
        file.truncate(0)
        file.write(os.urandom(4096) * (size // 4096 + 1))
        file.truncate(size)


@tests.add
def connections_survive_the_restart_of_all_switches_at_once(network):
    network.expect_log(REGISTERED_ANEW)
    with groups(network):
        def all_but_h4(_):
            for name in ('h1', 'h2', 'h3'):
                network.hosts[name].restart_switch()
        restarts(network, h4(network), all_but_h4)


@tests.add
def flows_placed_by_the_key_of_a_new_store_outlast_the_switch(network):
    """As when mapd's records have moved to another store: the switch was
    running meanwhile, with flows of the key before."""
    for pattern in (REGISTERED_ANEW, CUT_OFF, 'the hash key has changed'):
        network.expect_log(pattern)
    network.mapd.stop()
    directory = os.path.join(RUN_DIR, 'mapd')
    for name in os.listdir(directory):
        if name.startswith('mapd.db'):
            os.unlink(os.path.join(directory, name))
    network.start_mapd()
    network.wait_for_hosts()
    host = h4(network)
    with group(network, *SERVERS, options=['--algorithm',
                                           'least-connections']):
        holder = Holder(red(network), HELD)
        host.restart_switch(True)
        network.wait_for_hosts()
        connect(red(network), 10)
        report = holder.finish()
    check(not report['broken'], '%d of %d broke', len(report['broken']), HELD)
    kept = int(re.findall(r'(\d+) flows go on where they were',
                          host.ovs.log())[-1])
    check(kept >= HELD, 'kept: %d', kept)


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'restart'))))
