#!/usr/bin/python3
"""Switches that start while the mapping service is away, on the table that
they have kept in a file."""

import sys
sys.dont_write_bytecode = True

import contextlib
import os
import re
import time

import harness
from harness import TOP, check

from clients import Holder, connect
from node import run, wait_until
from sandbox import RUN_DIR
from tenant import REGISTERED_ANEW, group, h4, red
from topology import ANYCAST, Topology

SERVERS = ('red-web1', 'red-web2', 'red-web3')
NOT_KEPT = r'the mapping is not kept for a start without mapd'
REFUSED = r'there is no mapping until mapd can be reached'
CUT_OFF = r'jsonrpc\|WARN\|.* receive error: Connection reset by peer'
# Of a switch, when mapd is killed with something unread.
MAPD_KILLED = (r'(jsonrpc|reconnect)\(agent\d+\)\|WARN\|'
               r'.*Connection reset by peer')

tests = harness.Tests()


def table(host):
    return host.ovs.path('grapnel-table')


def revision(network):
    return network.ctl_json('status')['mapd']['revision']


def kept_revision(host):
    """That in the first line of the file, or None."""
    try:
        with open(table(host), encoding='ascii') as file:
            return int(re.search(r'"revision":(\d+)',
                                 file.readline()).group(1))
    except OSError:
        return None


def wait_kept(network, *hosts):
    now = revision(network)
    wait_until('revision %d is kept' % now, lambda: all(
        kept_revision(host) == now for host in hosts), 20)


@contextlib.contextmanager
def mapd_away(network):
    network.expect_log(MAPD_KILLED)
    network.mapd.kill()
    yield
    network.start_mapd()
    network.wait_for_hosts()


def wait_for_table(host):
    wait_until('%s has a table' % host,
               lambda: host.anycast_fact('revision') > 0, 20)


def start(host):
    host.ovs.start_switch()
    host.ovs.wait_for_switch()


def stop(host):
    complaint = host.ovs.exit(host.ovs.switch)
    check(not complaint, '%s', complaint)


@tests.add
def switches_started_without_mapd_serve_on(network):
    """The client's and an endpoint's, stopped and killed."""
    for pattern in (REGISTERED_ANEW, CUT_OFF):
        network.expect_log(pattern)
    hosts = [h4(network), network.hosts['h1']]
    with group(network, *SERVERS) as key:
        wait_kept(network, *hosts)
        before = revision(network)
        held = Holder(red(network), 20)
        with mapd_away(network):
            for kill in (False, True):
                for host in hosts:
                    host.restart_switch(kill)
                    wait_for_table(host)
                answers = connect(red(network), 60)
                check(set(answers) == set(SERVERS), 'kill %s: answers: %s',
                      kill, dict(answers))
            show = h4(network).show()
            text = h4(network).ovs.appctl('anycast/show')
        report = held.finish()
        check(not report['broken'], '%s', report['broken'])
        check(show['from_file'] and show['mapd'] == 'away'
              and show['revision'] == before
              and table(h4(network)) in show['mapping_from'],
              'anycast/show --json: %s', show)
        check(re.search(r'mapping from +\S+/grapnel-table, revision %d, '
                        r'\d+ s old' % before, text), 'anycast/show: %s',
              text)

        network.ctl('endpoint', 'set', key + '/web2', '--state', 'down',
                    '--wait')
        answers = connect(red(network), 50)
        check('red-web2' not in answers, 'mapd is back: %s', dict(answers))
        show = h4(network).show()
        check(not show['from_file'] and show['mapping_from'] == 'mapd',
              'mapd is back: %s', show)


@tests.add
def the_age_is_that_of_the_last_agreement(network):
    network.expect_log(REGISTERED_ANEW)
    with group(network, 'red-web1'):
        wait_kept(network, h4(network))
        with mapd_away(network):
            stop(h4(network))
            os.utime(table(h4(network)), (time.time() - 10800,) * 2)
            start(h4(network))
            wait_for_table(h4(network))
            show = h4(network).show()
    check(10800000 <= show['age_ms'] < 11400000, 'age: %s', show['age_ms'])
    check(', 3 h old' in show['mapping_from'], '%s', show['mapping_from'])


@tests.add
def a_table_that_cannot_be_used_is_refused_and_left_alone(network):
    for pattern in (REFUSED, NOT_KEPT, REGISTERED_ANEW, MAPD_KILLED):
        network.expect_log(pattern)
    host = h4(network)
    with group(network, 'red-web1'):
        wait_kept(network, host)
        with open(table(host), 'rb') as file:
            good = file.read()
        cases = {
            'not a mapping table': b'\0garbage\n' * 100,
            'damaged: ': good[:-40],
            'digest is wrong': good[:-40] + b'?' + good[-39:],
            'of version 2': good.replace(b'"version":1', b'"version":2', 1),
            'of host h2, and': good.replace(b'"host":"h4"', b'"host":"h2"', 1),
        }
        for reason, content in cases.items():
            with mapd_away(network):
                stop(host)
                with open(table(host), 'wb') as file:
                    file.write(content)
                start(host)
                wait_until(reason, lambda reason=reason: reason
                           in host.show().get('mapping_file', ''))
                check(host.anycast_fact('revision') == 0, '%s: revision %d',
                      reason, host.anycast_fact('revision'))
                with open(table(host), 'rb') as file:
                    check(file.read() == content, '%s: not left alone',
                          reason)
            connect(red(network), 20)
            if reason == 'not a mapping table':
                wait_until('it says that it does not write there', lambda:
                           'something else' in host.anycast_fact(
                               'mapping_file'))
                with open(table(host), 'rb') as file:
                    check(file.read() == content, 'overwritten')
                stop(host)
                os.unlink(table(host))
                start(host)
            wait_kept(network, host)
            check('mapping_file' not in host.show(), '%s', host.show())


@tests.add
def kills_amid_a_stream_of_changes_leave_a_table_to_start_from(network):
    for pattern in (REGISTERED_ANEW, CUT_OFF):
        network.expect_log(pattern)
    host = h4(network)
    with group(network, 'red-web1', 'red-web2') as key:
        wait_kept(network, host)
        for weight in range(1, 6):
            for step in range(8):
                network.ctl('endpoint', 'set', key + '/web2', '--weight',
                            100 + 10 * weight + step)
            host.ovs.switch.kill()
            with mapd_away(network):
                start(host)
                wait_for_table(host)
                connect(red(network), 20)


@tests.add
def a_full_disk_is_said_and_harms_nothing_else(network):
    network.expect_log(NOT_KEPT)
    network.expect_log(REGISTERED_ANEW)
    host = h4(network)
    small = os.path.join(RUN_DIR, 'small')

    def files():                # Nodes have mounts of their own.
        return sorted(run(host, ['ls', small]).stdout.split())

    os.makedirs(small)
    run(host, ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'small', small])
    try:
        with group(network, 'red-web1', 'red-web2') as key:
            host.ovs.vsctl('set', 'open_vswitch', '.', 'external_ids:'
                           'grapnel-table-file=%s/table' % small)
            wait_until('it is kept there', lambda: files() == ['table'], 20)
            old = revision(network)
            run(host, ['dd', 'if=/dev/zero', 'bs=4096', 'of=' + small
                       + '/fill'], check=False)
            network.ctl('endpoint', 'set', key + '/web2', '--weight', 200,
                        '--wait')
            wait_until('it is said', lambda: 'No space left'
                       in host.show().get('mapping_file', ''), 20)
            connect(red(network), 20)
            check(files() == ['fill', 'table'], '%s', files())
            with mapd_away(network):
                host.restart_switch(kill=True)
                wait_for_table(host)
                check(host.anycast_fact('revision') == old, 'revision %d',
                      host.anycast_fact('revision'))
                connect(red(network), 20)
    finally:
        host.ovs.vsctl('remove', 'open_vswitch', '.', 'external_ids',
                       'grapnel-table-file')
        run(host, ['umount', '-l', small])


@tests.add
def none_keeps_nothing(network):
    network.expect_log(REGISTERED_ANEW)
    host = h4(network)
    host.ovs.vsctl('set', 'open_vswitch', '.',
                   'external_ids:grapnel-table-file=none')
    try:
        with group(network, 'red-web1'):
            stop(host)
            os.unlink(table(host))
            with mapd_away(network):
                start(host)
                time.sleep(2)
                check(host.anycast_fact('revision') == 0, 'it has a table')
            connect(red(network), 20)
            check(not os.path.exists(table(host)), 'it was written')
    finally:
        host.ovs.vsctl('remove', 'open_vswitch', '.', 'external_ids',
                       'grapnel-table-file')
    wait_until('it is kept again', lambda: os.path.exists(table(host)), 20)


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'table-file'))))
