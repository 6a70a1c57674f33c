#!/usr/bin/python3
"""grapnelctl trace, by a real grapnel-mapd, to hosts that this test plays.

    tests/system/test-grapnelctl-trace.py [PART-OF-A-TEST'S-NAME...]"""

import contextlib
import re
import sys
import time

from ctlworld import HOSTS, Switch, answer_with, check, equal, main, \
    refused, test

FLOW = ['trace', '5001', 'tcp', '10.1.0.5:40000', '10.1.0.100:80']
TEXT = 'group 5001/web\n  slot 7: w1\n'


@contextlib.contextmanager
def oracle(w, n=0, answer=None):
    host = Switch(w, HOSTS[n], lambda question: answer)
    try:
        yield host
    finally:
        host.close()
        wait_until_gone(w, HOSTS[n]['name'])


def wait_until_gone(w, name):
    for _ in range(200):
        if not w.json('host', 'show', name)['status']['connected']:
            return
        time.sleep(0.02)


@test
def the_words_of_the_host_are_printed(w):
    with oracle(w, answer={'text': TEXT, 'slot': 7}) as host:
        equal(w.run(*FLOW, '--host', 'h1').out, TEXT)
        equal(w.json(*FLOW, '--host', 'h1'), {'text': TEXT, 'slot': 7})
        del host.asked[0]['id']
        equal(host.asked[0],
              {'vni': 5001, 'protocol': 'tcp', 'src': '10.1.0.5',
               'src_port': 40000, 'dst': '10.1.0.100', 'dst_port': 80})


@test
def an_unknown_vni_is_called_that(w):
    with oracle(w, answer={'text': TEXT}) as host:
        error = refused(w, 'trace', '77', *FLOW[2:], '--host', 'h1',
                        names=['unknown VNI 77', '5001'])
        equal((error['error'], error['field'], host.asked),
              ('not-found', 'vni', []))


@test
def addresses_stand_with_and_without_ports(w):
    with oracle(w, answer={'text': 'so'}) as host:
        for src, dst, want in (
                ('10.0.0.1', '10.0.0.2:80', ('10.0.0.1', 0, '10.0.0.2', 80)),
                ('[fd00::1]:7', '[fd00::2]:80', ('fd00::1', 7, 'fd00::2',
                                                 80)),
                ('fd00::1', '[fd00::2]', ('fd00::1', 0, 'fd00::2', 0)),
                ('[fd00::1]:65535', 'fd00::2:80', ('fd00::1', 65535,
                                                   'fd00::2:80', 0))):
            equal(w.run('trace', '5001', 'udp', src, dst).out, 'so\n')
            question = host.asked.pop()
            equal(tuple(question[name] for name in
                        ('src', 'src_port', 'dst', 'dst_port')), want)


@test
def what_upsets_a_terminal_does_not_get_there(w):
    with oracle(w, answer={'text': 'a\x1b[2J\n\nb\t\xfc'}):
        equal(w.run(*FLOW).out, 'a?[2J\n\nb?\xfc\n')


@test
def the_only_connected_host_need_not_be_named(w):
    error = refused(w, *FLOW, names=['no host is connected'])
    equal(error['error'], 'not-found')
    with oracle(w, 0, {'text': 'one'}):
        equal(w.run(*FLOW).out, 'one\n')
        with oracle(w, 1, {'text': 'two'}):
            error = refused(w, *FLOW, names=['2 hosts are connected',
                                             '--host', 'h1, h2'])
            equal(error['error'], 'invalid')
            equal(w.run(*FLOW, '--host', 'h2').out, 'two\n')


@test
def hosts_that_cannot_be_asked_are_named(w):
    for host in 'h1', 'h9':
        error = refused(w, *FLOW, '--host', host, names=[host])
        equal(error['error'], 'not-found')
    with oracle(w, answer={'error': 'no group 5001/web here'}):
        refused(w, *FLOW, '--host', 'h1', names=['h1', 'no group'])


@test
def a_host_that_is_silent_is_given_up_on(w):
    with oracle(w):
        start = time.monotonic()
        error = w.json(*FLOW, '--host', 'h1', status=4)
        check(4 < time.monotonic() - start < 6, 'gave up after %.1f s',
              time.monotonic() - start)
        check(error['error'] == 'timeout' and 'h1' in error['message'],
              'the error is %r', error)
        start = time.monotonic()
        w.run(*FLOW, '--host', 'h1', '--timeout', '0.3', status=4)
        check(time.monotonic() - start < 2, '--timeout does not count')


@test
def wrong_flows_are_refused(w):
    with oracle(w, answer={'text': 'so'}) as host:
        for argv, status, says in (
                (['5001', 'tcp', '10.0.0.1'], 2, 'trace needs VNI'),
                (['5001', 'tcp', '10.0.0.1', '10.0.0.2', '7'], 2, '"7"'),
                (['x', 'tcp', '10.0.0.1', '10.0.0.2'], 2, 'vni: "x"'),
                (['5001', 'tcp', '10.0.0', '10.0.0.2'], 2, 'src: "10.0.0"'),
                (['5001', 'tcp', '10.0.0.1', '[10.0.0.2]:1'], 2, 'dst: '),
                (['5001', 'tcp', '10.0.0.1', '[fd00::1'], 2, 'dst: '),
                (['5001', 'tcp', '10.0.0.1', '[fd00::1]x'], 2, 'dst: '),
                (['5001', 'tcp', '10.0.0.1', '10.0.0.2:x'], 2,
                 'dst_port: "x"'),
                (['5001', 'tcp', '10.0.0.1:', '10.0.0.2'], 2,
                 'src_port: ""'),
                (['5001', 'tcp', '10.0.0.1', '10.0.0.2:65536'], 1, '65536'),
                (['0', 'tcp', '10.0.0.1', '10.0.0.2'], 1, 'vni'),
                (['5001', 'gre', '10.0.0.1', '10.0.0.2'], 1, 'protocol'),
                (['5001', 'tcp', '10.0.0.1', 'fd00::2'], 1, 'fd00::2')):
            refused(w, 'trace', *argv, names=[says], status=status)
        equal(host.asked, [])


@test
def nonsense_is_no_answer(w):
    for answer in '{}', '[]', '{"text":1}', '"text"':
        remote = answer_with(w, '{"id":ID,"error":null,"result":%s}' % answer)
        error = w.json(*FLOW, '--host', 'h1', '--mapd', remote, status=1)
        check(re.search('nonsense', error['message']), 'says %r', error)


if __name__ == '__main__':
    sys.exit(main())
