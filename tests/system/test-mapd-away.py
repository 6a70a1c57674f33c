#!/usr/bin/python3
"""Hosts without a mapping service, and with one that talks nonsense."""

import sys
sys.dont_write_bytecode = True

import collections
import os
import re

import harness
from harness import TOP, check

from clients import Holder, connect
from fakemapd import FakeMapd
from node import run, wait_until
from tenant import REGISTERED_ANEW, drops, group, h4, red, traced_endpoint
from topology import ANYCAST, Topology

tests = harness.Tests()


@tests.add
def hosts_serve_while_mapd_is_dead(network):
    with group(network, 'red-web1', 'red-web2') as key:
        held = Holder(red(network), 20)
        network.mapd.kill()
        wait_until('h4 notices', lambda: h4(network).anycast_fact('mapd')
                   == 'away')
        connect(red(network), 100)
        network.start_mapd()
        network.wait_for_hosts()
        network.ctl('endpoint', 'set', key + '/web2', '--state', 'draining',
                    '--wait')
        answers = connect(red(network), 50)
        report = held.finish()
    check(set(answers) == {'red-web1'}, 'after mapd returned: %s',
          dict(answers))
    check(not report['broken'], '%s', report['broken'])


@tests.add
def nonsense_from_mapd_changes_nothing_and_is_logged_once(network):
    network.expect_log(r'(snapshot|update) refused, the table stays')
    with group(network, 'red-web1', 'red-web2'):
        for nonsense in ('snapshot', 'update'):
            before = refusals(network)
            with FakeMapd(network, nonsense) as fake:
                wait_until('nonsense told to all hosts',
                           lambda fake=fake: fake.hosts() == 4, 20)
                wait_until('refused by all hosts', lambda before=before: all(
                    count > before[name]
                    for name, count in refusals(network).items()))
                answers = connect(red(network), 50)
            check(set(answers) == {'red-web1', 'red-web2'},
                  'the table was not kept: %s', dict(answers))
            after = refusals(network)
            check(all(after[name] == before[name] + 1 for name in after),
                  '%s: log lines: %s, then %s', nonsense, before, after)


def refusals(network):
    """Of each host, how often its log says that something was refused."""
    return {name: len(re.findall('refused, the table stays', host.ovs.log()))
            for name, host in network.hosts.items()}


@tests.add
def garbage_from_mapd_ends_the_connection_and_no_more(network):
    network.expect_log(r'(jsonrpc|reconnect)\(agent\d+\)\|WARN')
    with group(network, 'red-web1', 'red-web2'):
        with FakeMapd(network, 'garbage') as fake:
            wait_until('garbage told to all hosts',
                       lambda: fake.hosts() == 4, 20)
            answers = connect(red(network), 50)
    check(set(answers) == {'red-web1', 'red-web2'},
          'the table was not kept: %s', dict(answers))


@tests.add
def an_endpoint_on_a_host_that_is_not_there_harms_only_its_own_flows(network):
    network.ctl('host', 'add', 'h9', '--vtep', '192.0.2.9')
    with group(network, 'red-web1') as key:
        before = drops(network, 'no_next_hop')
        network.ctl('endpoint', 'add', key + '/lost', '--host', 'h9',
                    '--mac', '02:00:00:00:00:09', '--wait')
        answers = collections.defaultdict(set)
        for port in range(21000, 21040):
            foretold = traced_endpoint(network, port)
            if foretold == 'lost' and answers['lost']:
                continue        # One is enough, it takes seconds.
            answers[foretold].add(run(
                red(network), ['curl', '-s', '-m', 5, '--local-port', port,
                               'http://' + ANYCAST],
                check=False).stdout.strip())
        # A flow that gets no answer there may be tried elsewhere.
        check(answers['web1'] == {'red-web1'}
              and answers['lost'] <= {'', 'red-web1'}, 'answers by the '
              'endpoint that the trace foretold: %s', dict(answers))
        check(drops(network, 'no_next_hop') > before,
              'no_next_hop was not counted')
    network.ctl('host', 'remove', 'h9')


@tests.add
def a_restarted_switch_serves_again(network):
    network.expect_log(REGISTERED_ANEW)
    with group(network, 'red-web1', 'red-web2'):
        h4(network).restart_switch()
        network.wait_for_hosts()
        connect(red(network), 100)


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'mapd-away'))))
