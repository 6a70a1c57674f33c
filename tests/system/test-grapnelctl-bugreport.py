#!/usr/bin/python3
"""grapnelctl bugreport, against a real grapnel-mapd, none, and daemons that
this test plays: everything is in it but secrets.

    tests/system/test-grapnelctl-bugreport.py [PART-OF-A-TEST'S-NAME...]"""

import contextlib
import json
import os
import socket
import sys
import threading
import time

from ctlworld import RECORDS, answer_with, check, equal, main, test

SECRETS = ['hunter2', 'tops3cret', 'pa,ss', 'b64secret==']
LEAKY = ('store etcd:https://admin:hunter2@10.0.0.9:2379,'
         'https://u:tops3cret@[fd00::1]:2379/x\n'
         'etcd-password=pa,ss and private-key: "b64secret== x" host h1\n'
         'addresses 10.1.0.100 and a@b stay, https://10.0.0.9:2379/@ too')


@contextlib.contextmanager
def daemon(path, answer):
    """Something that answers to each command what 'answer' makes of it; None
    hangs up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    asked = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                handle(connection)

    def handle(connection):
        with connection:
            while data := connection.recv(65536):
                request = json.loads(data)
                asked.append(request['method'])
                reply = answer(request['method'])
                if reply is None:
                    return
                connection.sendall(json.dumps(
                    {'id': request['id'], 'error': None,
                     **reply}).encode())
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        os.unlink(path)


def switch_path(w):
    return os.path.join(w.dir, 'ovs-vswitchd.77.ctl')


@test
def all_of_it_is_there(w):
    mapd = os.path.join(w.dir, 'grapnel-mapd.1.ctl')
    os.symlink('mapd.ctl', mapd)
    try:
        with daemon(switch_path(w), lambda method: {
                'result': 'this is %s\n' % method}):
            got = w.json('bugreport')
            text = w.run('bugreport').out
    finally:
        os.unlink(mapd)
    status = w.json('status')['mapd']
    for report in got['status'], status:
        del report['uptime_ms']
    equal(got['status'], status)
    equal(got['dump']['records'], RECORDS, 'the records')
    equal(len(got['hosts']['items']), 2)
    equal([d['daemon'] for d in got['daemons']],
          ['grapnel-mapd', 'ovs-vswitchd'])
    mapd, switch = [d['answers'] for d in got['daemons']]
    check(any(str(status['revision']) in line
              for line in mapd['mapd/show'].splitlines()),
          'mapd/show says %r', mapd['mapd/show'])
    equal(switch['anycast/drops'], 'this is anycast/drops\n')
    for line in '== status', '== dump', '== ovs-vswitchd anycast/drops', \
            'this is anycast/drops', '10.1.0.100', '02:00:00:00:00:04':
        check(line in text, '%r is not in %r', line, text)


@test
def a_report_is_made_when_nothing_answers(w):
    got = w.json('--mapd', 'unix:/none', 'bugreport')
    for section in 'status', 'hosts', 'dump':
        equal(got[section]['error'], 'unreachable', section)
        check('No such file' in got[section]['message'], '%r', got[section])
    equal(got['daemons'], [])
    check('none in ' + w.dir in w.run('bugreport').out, 'no word of daemons')
    with daemon(switch_path(w), lambda method: None):
        got = w.json('bugreport')
    check(all('error' in a for a in got['daemons'][0]['answers'].values()),
          'a daemon that hangs up: %r', got['daemons'])


@test
def what_hangs_does_not_hang_the_report(w):
    def answer(method):
        time.sleep(2 if method == 'anycast/show' else 0)
        return {'result': 'x'}

    with daemon(switch_path(w), answer) as asked:
        start = time.monotonic()
        answers = w.json('--timeout', '0.3',
                         'bugreport')['daemons'][0]['answers']
        check(time.monotonic() - start < 2, 'it waited')
    equal((answers['version'], 'error' in answers['anycast/show']),
          ('x', True))
    equal(asked, ['version', 'anycast/show'], 'what it asked')


@test
def a_mapd_that_hangs_is_waited_for_once(w):
    def answer(method):
        time.sleep(2)
        return {'result': {'revision': 1}}

    path = os.path.join(w.dir, 'fake.sock')
    with daemon(path, answer) as asked:
        start = time.monotonic()
        got = w.json('--mapd', 'unix:' + path, '--timeout', '0.5',
                     'bugreport')
        check(time.monotonic() - start < 2, 'it waited')
    equal([got[section]['error'] for section in ('status', 'groups', 'dump')],
          ['timeout'] * 3)
    equal(asked, ['status'])


@test
def secrets_are_left_out(w):
    result = {'revision': 1, 'store': LEAKY, 'password': 'hunter2',
              'hash_key': 'tops3cret', 'items': [{'api_Token': 'hunter2'}],
              'records': [{'etcd_secret': 'hunter2'}]}
    reply = '{"id":ID,"error":null,"result":%s}' % json.dumps(result)
    with daemon(switch_path(w), lambda method: {'result': LEAKY}):
        for argv in ['bugreport'], ['--json', 'bugreport']:
            remote = answer_with(w, *[reply] * 5)
            out = w.run(*argv, '--mapd', remote).out
            for secret in SECRETS:
                check(secret not in out, '%s is in %r', secret, out)
            for kept in '10.0.0.9:2379', 'fd00::1', 'host h1', \
                    '10.1.0.100 and a@b stay', '9:2379/@ too':
                check(kept in out, '%r is not in %r', kept, out)
            equal(out.count('etcd:https://***@10.0.0.9'),
                  5 + 7, 'mapd\'s texts and the switch\'s')


if __name__ == '__main__':
    sys.exit(main())
