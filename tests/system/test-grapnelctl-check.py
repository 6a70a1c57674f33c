#!/usr/bin/python3
"""grapnelctl check and the names that trace takes, by a real grapnel-mapd, to
hosts that this test plays and that answer as told.

    tests/system/test-grapnelctl-check.py [PART-OF-A-TEST'S-NAME...]"""

import contextlib
import re
import sys
import threading
import time

from ctlworld import (
    ENDPOINTS, GROUPS, HOSTS, Switch, check, equal, main, test)


@contextlib.contextmanager
def switches(w, *answers):
    """The first hosts, one for each answer."""
    hosts = []
    try:
        for record, answer in zip(HOSTS, answers):
            hosts.append(Switch(w, record, answer))
        yield hosts
    finally:
        for host in hosts:
            host.close()
        deadline = time.monotonic() + 20
        while any(h['status']['connected'] for h in w.json('host', 'list')):
            check(time.monotonic() < deadline, 'hosts stay connected')
            time.sleep(0.02)


def sends_to(w, endpoint, host, verdict, **others):
    """The answer of a switch that is in step."""
    def answer(question):
        if question['vni'] != 5001:
            return {'text': '', 'verdict': 'drop', 'reason': 'no_endpoint',
                    'epoch': 1 << 30}
        epoch = w.json('group', 'show', '5001/web')['status']['epoch']
        return {'text': 'so\n', 'verdict': verdict, 'endpoint': endpoint,
                'host': host, 'epoch': epoch, **others}
    return answer


WEB = ['check', '5001/web']


def problems(w, *argv, status=1):
    got = w.json(*argv, status=status)
    equal(got['ok'] + got['failed'], len(got['paths']), 'the number of paths')
    equal(got['failed'], sum(not p['ok'] for p in got['paths']), 'failed')
    for path in got['paths']:
        equal('problem' in path and 'next' in path, not path['ok'],
              'a problem and its remedy in %r' % path)
    return [path.get('problem') for path in got['paths']]


@test
def a_path_is_followed_to_its_other_end(w):
    with switches(w, sends_to(w, 'w2', 'h2', 'underlay'),
                  sends_to(w, 'w2', 'h2', 'local')) as (h1, h2):
        equal(w.run(*WEB).out,
              'ok    5001/web from h1: w2 on h2, over the underlay\n'
              'ok    5001/web from h2: w2 on h2, the same host\n'
              '2 of 2 checks passed\n')
        equal((len(h1.asked), len(h2.asked)), (1, 2), 'questions')
        question = h1.asked[0]
        equal((question['protocol'], question['dst'], question['dst_port']),
              ('tcp', '10.1.0.100', 80), 'the flow')
        got = w.json(*WEB, '--host', 'h1')
        equal(got, {'ok': 1, 'failed': 0, 'skipped': 0, 'paths': [
            {'vni': 5001, 'group': 'web', 'from': 'h1', 'to': 'h2',
             'endpoint': 'w2', 'verdict': 'underlay', 'ok': True}]})


@test
def an_endpoint_that_is_nowhere_fails(w):
    w.run('endpoint', 'add', '5001/web/lost', '--iface', 'vm-1')
    w.run('endpoint', 'add', '5001/web/off', '--iface', 'vm-2', '--state',
          'down')
    with switches(w, sends_to(w, 'w2', 'h2', 'underlay'),
                  sends_to(w, 'w2', 'h2', 'local')):
        out = w.run(*WEB, status=1).out
        check(out.startswith(
            'FAIL  endpoint 5001/web/lost is unbound: no host has a port with '
            'its iface-id (vm-1)\n      next: on its host: ovs-vsctl '
            '--columns=name,ofport,external_ids find interface '
            'external_ids:iface-id=vm-1\n'), '%r', out)
        check(out.endswith('2 of 3 checks passed\n'), '%r', out)
        path = w.json(*WEB, status=1)['paths'][0]
        equal((path['ok'], path['vni'], path['group'], path['endpoint']),
              (False, 5001, 'web', 'lost'))
        w.run(*WEB, '--host', 'h1')
    error = w.run('trace', '5001', 'tcp', 'web/lost', '10.1.0.100:80',
                  status=1).err
    check('web/lost is unbound' in error, '%r', error)


@test
def every_group_is_checked_unless_one_is_named(w):
    with switches(w, sends_to(w, 'w2', 'h2', 'local'),
                  sends_to(w, 'w2', 'h2', 'local')):
        out = w.run('check', status=1).out
        equal(re.findall(r'^(\S+) +(\S+) from (\w+)', out, re.M),
              [('ok', '5001/web', 'h1'), ('FAIL', '5002/web', 'h1'),
               ('ok', '5001/web', 'h2'), ('FAIL', '5002/web', 'h2')])
        check(out.endswith('2 of 4 checks passed\n'), 'the verdict: %r', out)
        check('no_endpoint' in out and '  next: ' in out, 'it says %r', out)


@test
def what_is_wrong_at_either_end_is_named(w):
    good = sends_to(w, 'w2', 'h2', 'local')

    def one(first, second, *says):
        with switches(w, first, second):
            found = problems(w, *WEB, '--host', 'h1')
            equal(len(found), 1, 'paths')
            for text in says:
                check(text in found[0], '%r does not say %r', found[0], text)

    under = sends_to(w, 'w2', 'h2', 'underlay')
    one(sends_to(w, 'w2', 'h2', 'drop', reason='no_next_hop'), good,
        'drop, no_next_hop')
    one(sends_to(w, 'w2', 'h2', 'underlay', epoch=0), good,
        'h1 goes by an older table')
    one(lambda q: {'text': '', 'verdict': 'drop', 'reason': 'not_anycast'},
        good, 'not_anycast')
    one(lambda q: {'error': 'out of order'}, good, 'h1', 'out of order')
    one(sends_to(w, 'w9', 'h2', 'underlay'), good, 'w9', 'is not known')
    one(sends_to(w, 'w2', 'h1', 'underlay'), good, 'w2 on h1', 'is on h2')
    one(under, sends_to(w, 'w3', 'h2', 'local'), 'would not deliver')
    one(under, sends_to(w, 'w2', 'h2', 'underlay'), 'would not deliver')
    one(under, sends_to(w, 'w2', 'h2', 'local', epoch=0),
        'h2 goes by an older table')
    one(under, lambda q: {'error': 'dazed'}, 'h2', 'dazed')


@test
def a_receiver_of_a_group_without_slots_may_pick_another(w):
    w.run('group', 'set', '5001/web', '--algorithm', 'round-robin')
    with switches(w, sends_to(w, 'w2', 'h2', 'underlay'),
                  sends_to(w, 'w3', 'h2', 'local')):
        equal(problems(w, *WEB, '--host', 'h1', status=0), [None])


@test
def a_change_that_is_on_its_way_is_no_failure(w):
    applied = threading.Event()

    def answer(question):
        return sends_to(w, 'w2', 'h2', 'local', **(
            {} if applied.is_set() else {'epoch': 0}))(question)

    with switches(w, answer, answer) as hosts:
        for host in hosts:
            def late(revision, apply=host.apply):
                applied.set()
                apply(revision)
            host.apply = lambda revision, late=late: threading.Timer(
                0.4, late, [revision]).start()
        w.run('endpoint', 'set', '5001/web/w1', '--weight', '7')
        equal(problems(w, *WEB, '--host', 'h2', status=0), [None])


@test
def hosts_that_are_away_are_failures(w):
    found = problems(w, *WEB)
    equal(len(found), 2)
    check(all('not connected' in p for p in found), 'it says %r', found)
    with switches(w, sends_to(w, 'w2', 'h2', 'underlay')):
        found = problems(w, *WEB, '--host', 'h1')
        check('w2 is on host h2, which is not connected' in found[0],
              'it says %r', found)


@test
def a_host_that_hangs_is_waited_for_once(w):
    with switches(w, lambda question: None,
                  sends_to(w, 'w2', 'h2', 'local')) as (h1, _):
        found = problems(w, 'check')
        equal(len(h1.asked), 1, 'questions')
        equal(len(found), 4, 'paths')
        check(all(p.startswith('h1: ') for p in found[:2]), '%r', found)
        equal(found[2], None)


@test
def what_is_not_known_is_refused(w):
    for argv in ['check', '5001/none'], ['check', '9/web'], \
            ['check', '--host', 'h9']:
        equal(w.json(*argv, status=1)['error'], 'not-found', '%r' % argv)
    w.run('check', 'web', status=2)
    for e in ENDPOINTS:
        w.run('endpoint', 'remove', '5001/web/' + e['name'])
    for g in GROUPS:
        w.run('group', 'remove', '%d/%s' % (g['vni'], g['name']))
    for h in HOSTS:
        w.run('host', 'remove', h['name'])
    check('nothing to check' in w.run('check').out, 'it does not say so')
    equal(w.json('check'), {'paths': [], 'ok': 0, 'failed': 0, 'skipped': 0})


@test
def a_flow_can_be_given_by_names(w):
    answer = sends_to(w, 'w1', 'h1', 'local')
    with switches(w, answer, answer) as (h1, h2):
        for src, dst, asked, want in (
                ('w2:40000', 'web', h2, ('10.1.0.100', 40000,
                                         '10.1.0.100', 80)),
                ('web/w1', 'web:81', h1, ('10.1.0.100', 0, '10.1.0.100',
                                          81)),
                ('w3', '10.1.0.9:7', h2, ('10.1.0.100', 0, '10.1.0.9', 7))):
            equal(w.run('trace', '5001', 'tcp', src, dst,
                        note='is on host ' + ('h1' if asked is h1
                                              else 'h2')).out, 'so\n')
            got = asked.asked.pop()
            equal(tuple(got[n] for n in ('src', 'src_port', 'dst',
                                         'dst_port')), want)
            check(not h1.asked and not h2.asked, 'another host was asked')
        w.run('trace', '5001', 'tcp', '10.1.0.5:4', 'web', '--host', 'h2')
        equal((h2.asked[0]['src'], h2.asked[0]['dst_port']), ('10.1.0.5', 80))
        w.json('trace', '5001', 'tcp', 'w1', 'web', '--host', 'h2')
        equal(len(h2.asked), 2, '--host counts')


@test
def names_that_nobody_has_are_refused(w):
    w.run('group', 'add', '5001/dns', '--address', '10.1.0.53')
    w.run('endpoint', 'add', '5001/dns/w1', '--host', 'h2', '--mac',
          '02:00:00:00:00:99')
    for src, dst, code, says in (
            ('w9', 'web', 'not-found', 'src: no workload or endpoint'),
            ('web/w9', 'web', 'not-found', '"web/w9"'),
            ('none/w1', 'web', 'not-found', '"none/w1"'),
            ('10.0.0.1', 'none', 'not-found', 'dst: no group'),
            ('w1', 'web', 'invalid', 'several VMs are called "w1"')):
        error = w.json('trace', '5001', 'tcp', src, dst, status=1)
        equal(error['error'], code, 'error of %s %s' % (src, dst))
        check(says in error['message'], '%r does not say %r', error, says)
    for src in '10.0.0', '-w1', 'w1:x', 'a b', '[w1]:80':
        w.run('trace', '5001', 'tcp', '--', src, 'web', status=2)


if __name__ == '__main__':
    sys.exit(main())
