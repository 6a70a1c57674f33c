#!/usr/bin/python3
"""Hosts that cannot reach mapd any more, nor mapd them, while all hosts reach
each other; and switches whose clock on the wall is set."""

import sys
sys.dont_write_bytecode = True

import contextlib
import json
import os
import time

import harness
from harness import TOP, check

from clients import Holder, connect
from node import run, wait_until
from sandbox import RUN_DIR
from steppedclock import SteppedClock
from tenant import REGISTERED_ANEW, group, h4, red
from topology import Topology

HOST_TIMEOUT = 1                # Of mapd, in seconds.
NOTICED = 30                    # Within; a switch asks every 5 seconds, twice.
BACK = 30
CONVERGED = 30                  # Tables are written a second apart.
PARTITION = 60                  # Seconds: of a host that clients are on.
HOUR = 3600

tests = harness.Tests()


def mapd_status(network):
    return network.ctl_json('status')['mapd']


def expect_partition(network):
    for pattern in (REGISTERED_ANEW,
                    r'host h\d.* (dead|no sign of life)', r'no sign of life',
                    r'reconnect\S*\|(WARN|ERR)\|.*'
                    r'(no response|timed out|dropped|unreachable|attempt)',
                    r'server_liveness\|WARN\|Dropped \d+ log messages'):
        network.expect_log(pattern)


@contextlib.contextmanager
def partition(network, *names):
    """Hosts 'names' and mapd do not reach each other meanwhile, by the ports
    of the underlay's bridge; until both sides have noticed."""
    expect_partition(network)

    def isolate(on):
        for port in ('mapd',) + names:
            run(network.underlay, ['bridge', 'link', 'set', 'dev', port,
                                   'isolated', on])

    isolate('on')
    try:
        wait_until('mapd notices', lambda: set(mapd_status(network)['dead'])
                   == set(names), NOTICED)
        wait_until('the hosts notice', lambda: all(
            network.hosts[name].anycast_fact('mapd') == 'away'
            for name in names), NOTICED)
        yield
    finally:
        isolate('off')
        wait_until('they are back', lambda: not mapd_status(network)['dead'],
                   BACK)
        network.wait_for_hosts()


def kept(host):
    """The mapping that the host's switch has, by the file that it keeps it in:
    records, ids, epochs and slots.  Not for how long endpoints have been
    up."""
    try:
        with open(host.ovs.path('grapnel-table')) as file:
            table = json.loads(file.readlines()[1])
    except (OSError, IndexError):
        return None
    for g in table['groups']:
        for endpoint in g['endpoints']:
            endpoint.pop('up_ms')
    for name in ('hosts', 'groups', 'records'):
        table[name].sort(key=json.dumps)
    return table


def same_tables(network):
    """Whether all hosts have the latest, and the same."""
    tables = [kept(host) for host in network.hosts.values()]
    return (tables[0] and tables[0]['revision']
            == mapd_status(network)['revision']
            and all(table == tables[0] for table in tables))


@tests.add
def a_clients_host_without_mapd_serves_on_and_then_catches_up(network):
    with group(network, 'red-web1', 'red-web2', 'red-web3') as key:
        held = Holder(red(network), 30)
        start = time.monotonic()
        with partition(network, 'h4'):
            # All but h4 hear of this.
            network.ctl('endpoint', 'set', key + '/web2', '--state',
                        'draining')
            network.ctl('endpoint', 'set', key + '/web1', '--weight', '300')
            revision = mapd_status(network)['revision']
            for name in ('h1', 'h2', 'h3'):
                network.hosts[name].wait_in_step(revision)
            wait_until('h1 has kept it', lambda: kept(network.hosts['h1'])
                       ['revision'] == revision, CONVERGED)
            check(kept(h4(network))['revision'] < revision,
                  'h4 cannot know, and does')
            answers = connect(red(network), 100)
            while time.monotonic() < start + PARTITION:
                answers += connect(red(network), 20)
                time.sleep(1)
            check(set(answers) <= {'red-web1', 'red-web2', 'red-web3'}
                  and len(answers) > 1, 'meanwhile: %s', dict(answers))
        wait_until('all hosts have the same', lambda: same_tables(network),
                   CONVERGED)
        answers = connect(red(network), 100)
        check(set(answers) == {'red-web1', 'red-web3'}, 'then: %s',
              dict(answers))
        report = held.finish()
    check(not report['broken'], '%s', report['broken'])


@tests.add
def an_endpoints_host_without_mapd_keeps_its_connections(network):
    with group(network, 'red-web1', 'red-web2', 'red-web3'):
        held = Holder(red(network), 30)
        with partition(network, 'h3'):
            network.ctl('wait', mapd_status(network)['revision'])
            answers = connect(red(network), 60)
            check(set(answers) == {'red-web1', 'red-web2'},
                  'new connections went to %s', dict(answers))
        wait_until('it gets new ones', lambda: 'red-web3' in connect(
            red(network), 20))
        wait_until('all hosts have the same', lambda: same_tables(network),
                   CONVERGED)
        report = held.finish()
    check(not report['broken'], '%s', report['broken'])


@tests.add
def a_switchs_clock_is_set_and_nothing_happens(network):
    """Of the client's host, and of an endpoint's."""
    network.expect_log(REGISTERED_ANEW)
    network.expect_log(r'receive error: Connection reset by peer')
    clocks = []
    for name in ('h1', 'h4'):
        host = network.hosts[name]
        clocks.append(SteppedClock(RUN_DIR, 'clock-' + name))
        host.ovs.env.update(clocks[-1].env)
        host.restart_switch()
    network.wait_for_hosts()
    with group(network, 'red-web1', 'red-web2'):
        held = Holder(red(network), 30)
        for step in (HOUR, -HOUR, 400 * 24 * HOUR, -400 * 24 * HOUR, 0):
            for clock in clocks:
                clock.set(step)
            end = time.monotonic() + 2 * HOST_TIMEOUT + 1
            while time.monotonic() < end:
                connect(red(network), 20)
                status = mapd_status(network)
                check(not status['dead'] and status['connected'] == 4,
                      'by %d s: %s', step, status)
            for command in ('add-port', 'br-phy', 'p1', '--', 'set',
                            'interface', 'p1', 'type=internal'), (
                                'del-port', 'br-phy', 'p1'):
                h4(network).ovs.vsctl(*command)
            date = time.strftime('%Y-%m-%dT', time.gmtime(time.time() + step))
            wait_until('the log has the new time', lambda: date in
                       h4(network).ovs.log()[-1000:])
        report = held.finish()
    check(not report['broken'], '%s', report['broken'])


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'partition'),
        mapd_options=['--host-timeout=%d' % HOST_TIMEOUT])))
