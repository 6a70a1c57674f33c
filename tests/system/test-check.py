#!/usr/bin/python3
"""grapnelctl check, trace by names and bugreport with the real switches of
the demo's topology (drawn in sim/topology.py): what they say agrees with what
connections meet."""

import sys
sys.dont_write_bytecode = True

import json
import os

import harness
from harness import TOP, check

from clients import connect
from node import run, wait_until
from openvswitch import BUILD
from tenant import group, h4, red
from topology import ANYCAST, Topology

tests = harness.Tests()


def checked(network, *argv):
    """The paths, by the host that they start from, and whether all is
    well."""
    done = network.ctl('--json', 'check', *argv, check=False)
    report = json.loads(done.stdout)
    check('paths' in report, 'check says %s', done.stdout)
    check((done.returncode == 1) == (report['failed'] > 0), 'exit status %d '
          'with %s', done.returncode, done.stdout)
    return ({path['from']: path for path in report['paths']},
            not report['failed'])


@tests.add
def all_paths_of_a_sound_network_pass(network):
    for options in [], ['--algorithm', 'hash'], \
            ['--algorithm', 'least-connections']:
        with group(network, 'red-web1', 'red-web2', 'red-web3',
                   options=options) as key:
            paths, well = checked(network, key)
            check(well and set(paths) == set(network.hosts),
                  '%s: %s', options, paths)
            for start, path in paths.items():
                check((path['verdict'] == 'local') == (path['to'] == start),
                      'path %s', path)
            check('4 of 4 checks passed' in network.ctl('check', key),
                  'no verdict')


@tests.add
def a_host_without_a_way_to_another_is_found(network):
    host = network.vms['red-web1'].host
    route = ['unreachable', host.vtep + '/32']
    network.expect_log('no way to ' + host.vtep)
    with group(network, 'red-web1') as key:
        check(checked(network, key)[1], 'it does not work to begin with')
        check(connect(red(network), 5), 'no connection to begin with')
        run(h4(network), ['ip', 'route', 'add', *route])
        try:
            wait_until('h4 to know that there is no way', lambda:
                       not checked(network, key)[1], 20)
            paths, _ = checked(network, key)
            check([start for start, path in paths.items()
                   if not path['ok']] == ['h4'], 'paths %s', paths)
            check('no_next_hop' in paths['h4']['problem']
                  or 'no_endpoint' in paths['h4']['problem'], '%s',
                  paths['h4'])
        finally:
            run(h4(network), ['ip', 'route', 'del', *route])
        wait_until('h4 to find the way again', lambda:
                   checked(network, key)[1], 20)
        check(connect(red(network), 5), 'no connection at the end')


@tests.add
def a_group_without_an_endpoint_that_is_up_fails(network):
    with group(network, 'red-web2') as key:
        network.ctl('endpoint', 'set', network.endpoint_key('test',
                                                            'red-web2'),
                    '--state', 'down', '--wait')
        paths, well = checked(network, key, '--host', 'h4')
        check(not well and 'no_endpoint' in paths['h4']['problem'],
              'paths %s', paths)


@tests.add
def a_flow_is_traced_by_names(network):
    with group(network, 'red-web1', 'red-web2') as key:
        name = network.endpoint_key('test', 'red-web2').split('/')[-1]
        told = network.ctl_json('trace', '5001', 'tcp', name + ':40000',
                                'test')
        asked = network.ctl_json(
            'trace', '--host', network.vms['red-web2'].host.name, '5001',
            'tcp', ANYCAST + ':40000', ANYCAST + ':80')
        check(told == asked and told['group'] == 'test', '%s, not %s', told,
              asked)
        text = network.ctl('trace', '5001', 'tcp', name + ':40000', 'test')
        check(text.splitlines()[-1].startswith('verdict  '),
              'the last line of %s', text)
        check(key == '5001/' + told['group'], 'group %s', told)


@tests.add
def a_bug_report_has_the_switch_of_this_host(network):
    ovs = h4(network).ovs
    usual = ovs.path('ovs-vswitchd.1.ctl')     # The demo's has another name.
    os.symlink(ovs.path('grapnel-vswitchd.ctl'), usual)
    try:
        done = run(h4(network), [
            'env', 'OVS_RUNDIR=' + ovs.directory,
            os.path.join(BUILD, 'grapnelctl'), '--json', '--mapd',
            'unix:/none', 'bugreport'])
    finally:
        os.unlink(usual)
    report = json.loads(done.stdout)
    switch = [d for d in report['daemons'] if d['daemon'] == 'ovs-vswitchd']
    check(len(switch) == 1, 'daemons: %s', report['daemons'])
    for command in 'anycast/show', 'anycast/drops', 'coverage/show':
        check(isinstance(switch[0]['answers'][command], str)
              and switch[0]['answers'][command], '%s: %s', command,
              switch[0]['answers'][command])


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'check'))))
