#!/usr/bin/python3
"""grapnelctl against a real grapnel-mapd, against none and against one that
lies: bad input, after which nothing may have changed, and every exit status.

    tests/system/test-grapnelctl-refuse.py [PART-OF-A-TEST'S-NAME...]"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

from ctlworld import CTL, answer_with, check, equal, main, refused, test


@test
def the_ranges_that_are_said_are_those_of_mapd(w):
    def complaint(*argv):
        return subprocess.run([CTL, *argv], env=w.env, text=True,
                              stderr=subprocess.PIPE, timeout=30).stderr

    told = 0
    for argv in (['group', 'add', '5001/new', '--address', '10.0.0.1'],
                 ['endpoint', 'add', '5001/web/new', '--mac',
                  '02:00:00:00:00:77', '--host', 'h1'],
                 ['workload', 'add', '5001/new', '--mac',
                  '02:00:00:00:00:77', '--host', 'h1', '--address',
                  '10.1.0.7'],
                 ['gateway', 'add', 'g9', '--node1', 'h1', '--node2', 'h2'],
                 ['gateway pool', 'add', '0/new', '--first', '203.0.113.1',
                  '--last', '203.0.113.9']):
        noun, argv = argv[0], argv[0].split() + argv[1:]
        verb, = [v for v in w.json('help')['verbs']
                 if (v.get('noun'), v['verb']) == (noun, 'add')]
        for option in verb['options']:
            name = '--' + option['name']
            if name in argv or 'value' not in option:
                continue
            said = re.search(
                r'a whole number from (\d+) to (\d+)',
                complaint(*argv, name, 'abc', '--mapd=unix:/none'))
            if not said or name == '--if-revision':
                continue
            least, most = map(int, said.groups())
            err = complaint(*argv, name, str(most + 1))
            check('out of range %d..%d' % (least, most) in err,
                  '%s: %s, but %s', name, said[0], err)
            told += 1
    check(told > 15, '%d options have a range', told)


@test
def bad_input_is_refused_with_field_and_value(w):
    group = ['group', 'add', '5001/new', '--address']
    endpoint = ['endpoint', 'add', '5001/web/new', '--mac',
                '02:00:00:00:00:77']
    for argv, field, value in (
            (['group', 'add', '5001/web', '--address', '10.9.9.9'],
             None, '5001/web'),
            (group + ['10.1.0.100', '--port', '80'], None, '10.1.0.100'),
            (endpoint[:2] + ['4999/web/new'] + endpoint[3:]
             + ['--host', 'h1'], None, '4999'),
            (['group', 'add', '16777216/x', '--address', '10.0.0.1'],
             'vni', '16777216'),
            (group + ['::1'], 'address', '::1'),
            (group + ['::ffff:10.0.0.1'], 'address', '::ffff:10.0.0.1'),
            (group + ['224.0.0.1'], 'address', '224.0.0.1'),
            (group + ['10.0.0.1', '--port', '65536'], 'port', '65536'),
            (group + ['10.0.0.1', '--slots', '1000'], 'slots', '1000'),
            (group + ['10.0.0.1', '--affinity', 'moon'], 'affinity', 'moon'),
            (endpoint + ['--host', 'h1', '--weight', '0'], 'weight', '0'),
            (endpoint + ['--host', 'h1', '--weight', '1001'],
             'weight', '1001'),
            (endpoint + ['--host', 'h1', '--weight', '-3'], 'weight', '-3'),
            (endpoint + ['--host', 'h9'], 'host', 'h9'),
            (endpoint + ['--host', 'h1', '--state', 'off'], 'state', 'off'),
            (['host', 'add', 'h9', '--vtep', 'ff02::1'], 'vtep', 'ff02::1'),
            (['host', 'set', 'h1', '--zone', 'a b'], 'zone', 'a b'),
            (group + ['10.0.0.1', '--port', '80-79'], 'port_last', '79'),
            (group + ['10.0.0.1', '--port', '0-79'], 'port_last', '79'),
            (group + ['10.0.0.1', '--port', '80-65536'], 'port_last',
             '65536'),
            (group + ['10.0.0.1', '--port', '80', '--protocol', 'icmp'],
             'port', '80'),
            (group + ['10.0.0.1', '--quic-id-length', '4'],
             'quic_id_length', '4'),
            (['group', 'set', '5001/web', '--algorithm', 'best'],
             'algorithm', 'best'),
            (['group', 'set', '5001/web', '--affinity-timeout', '14401'],
             'affinity_timeout', '14401'),
            (['group', 'set', '5001/web', '--ramp', '3601'], 'ramp', '3601'),
            (['group', 'set', '5001/web', '--distance', 'far'],
             'distance', 'far'),
            (['group', 'set', '5001/web', '--on-host-death', 'cry'],
             'on_host_death', 'cry'),
            (['group', 'set', '5001/web', '--when-empty', 'eat'],
             'when_empty', 'eat'),
            (['endpoint', 'set', '5001/web/w1', '--cost', '65536'],
             'cost', '65536'),
            (['endpoint', 'set', '5001/web/w1', '--priority', '256'],
             'priority', '256'),
            (['endpoint', 'set', '5001/web/w1', '--quic-id', '123'],
             'quic_id', '123'),
            (['host', 'add', 'h9', '--vtep', 'nowhere'], 'vtep', 'nowhere'),
            (['host', 'add', 'h9', '--vtep', '192.0.2.1'],
             'vtep', '192.0.2.1'),
            (['host', 'add', 'h/9', '--vtep', '192.0.2.9'], None, 'h/9'),
            (['host', 'add', '-h9', '--vtep', '192.0.2.9'], None, '-h9'),
            (['host', 'add', 'x' * 64, '--vtep', '192.0.2.9'],
             'name', 'x' * 30),
            (group + ['10.0.0.1', '--port', '9' * 23], 'port', '9' * 23),
            (endpoint + ['--host', 'h1', '--weight', '-' + '9' * 23],
             'weight', '-' + '9' * 23),
            (['group', 'list', '--vni', '9' * 23], 'vni', '9' * 23),
            (['group', 'list', '--vni', '16777216'], 'vni', '16777216'),
            (['group', 'show', '9' * 23 + '/x'], 'vni', '9' * 23),
            (['group', 'show', '16777216/x'], 'vni', '16777216'),
            (['endpoint', 'set', '9' * 23 + '/x/y', '--weight', '1'],
             'vni', '9' * 23),
            (['wait', '9' * 23], 'revision', '9' * 23),
            (['host', 'list', '--timeout', '3601'], 'timeout', '3601'),
            (['host', 'list', '--timeout', '0'], 'timeout', '0'),
            (['host', 'list', '--timeout', '-1'], 'timeout', '-1'),
            (['host', 'set', 'h1', '--encap', 'vxlan', '--if-revision',
              '9' * 23], 'if-revision', '9' * 23)):
        error = refused(w, *argv, names=[value] + ([field] if field else []),
                        status=2 if value in ('h/9', '-h9') else 1)
        if field:
            equal((error['field'], error['value'][:30]), (field, value),
                  'field and value of ' + ' '.join(argv))
        if len(value) == 23:
            check(re.search(r'out of range \d+\.\.\d+', error['message']),
                  'no range: %r', error)


@test
def hints_work_as_they_stand(w):
    for argv, hint in (
            (['group', 'list', '5001'], 'did you mean --vni 5001?'),
            (['group', 'add', '9/x'], 'group add VNI/NAME --address ADDRESS'),
            (['workload', 'add', '9/x', '--host', 'h1'],
             'workload add VNI/NAME --address ADDRESS --host HOST --mac MAC'),
            (['group', 'set', '5001/web'], "'grapnelctl help group set'")):
        error = refused(w, *argv, status=2)
        check(hint in error['hint'], 'the hint is %r', error)
    for verb, argv in (('endpoint set', ['5001/web/w1', '--state', 'off']),
                       ('gateway pool add', ['0/p', '--first', 'x', '--last',
                                             '203.0.113.1'])):
        error = refused(w, *verb.split(), *argv)
        check("'grapnelctl help %s'" % verb in error['hint'],
              'the hint is %r', error)


@test
def weight_zero_says_what_to_do_instead(w):
    error = refused(w, 'endpoint', 'set', '5001/web/w1', '--weight', '0')
    check('1' in error['message'] and '1000' in error['message']
          and 'drain' in error.get('hint', ''), 'the error is %r', error)


@test
def wrong_usage_exits_2(w):
    for argv, says in (
            ([], 'help'), (['frob'], 'frob'), (['host'], 'verb'),
            (['endpont', 'list'], "did you mean 'endpoint'"),
            (['endpoint', 'lst'], "did you mean 'endpoint list'"),
            (['endpoint', 'delete'], 'has no verb "delete"'),
            (['add', 'group'], "did you mean 'group add'"),
            (['host', 'list', '--jason'], 'did you mean --json'),
            (['endpoint', 'set', '1/a/b', '--wieght', '1'],
             'did you mean --weight'),
            (['host', 'list', '--weight', '1'], 'no option --weight'),
            (['host', 'add'], 'NAME'),
            (['host', 'add', 'h3'], '--vtep'),
            (['host', 'list', 'h3'], 'h3'),
            (['host', 'list', '-x'], '-x'),
            (['host', 'list', '--json=yes'], 'no value'),
            (['host', 'add', 'h3', '--vtep'], 'needs a value'),
            (['endpoint', 'set', '1/a/b'], 'nothing to set'),
            (['endpoint', 'set', '1/a/b', '--weight', 'x'], '"x"'),
            (['endpoint', 'set', '1/a/b', '--weight', '1.5'],
             'weight: "1.5" is not a whole number'),
            (['endpoint', 'set', '1/a/b', '--weight', ''], 'not a number'),
            (['endpoint', 'set', '1/a/b', '--weight', ' 1'],
             'not a number'),
            (['wait', '1e3'], 'revision: "1e3" is not a whole number'),
            (['endpoint', 'show', '1/a'], 'does not name an endpoint'),
            (['group', 'set', '1/a', '--address', '10.1.1.1'],
             'address is fixed when the group is made'),
            (['group', 'set', '1/a', '--slots', '512'], 'slots is fixed'),
            (['group', 'set', '1/a', '--port', '1-2'], 'port is fixed'),
            (['group', 'add', '1/a', '--address', '::2', '--port', '80-'],
             'port: "" is not a number'),
            (['group', 'add', '1/a', '--address', '::2', '--port', '8-x'],
             'port: "x" is not a number'),
            (['endpoint', 'set', '1/a/b', '--weight', '1', '--weight', '2'],
             'twice'),
            (['endpoint', 'set', '1/a', '--weight', '1'], 'VNI/GROUP/NAME'),
            (['endpoint', 'set', '1//b', '--weight', '1'], 'VNI/GROUP/NAME'),
            (['endpoint', 'set', '1/a/b/c', '--weight', '1'],
             'VNI/GROUP/NAME'),
            (['group', 'show', 'x/a'], 'the VNI is a number'),
            (['wait', 'soon'], 'soon'), (['wait'], 'REVISION'),
            (['wait', '1', '--timeout', 'x'], 'seconds'),
            (['wait', '1', '--timeout', 'nan'], 'seconds'),
            (['load'], 'FILE'), (['completion', 'csh'], 'csh'),
            (['help', 'nothing'], 'nothing'),
            (['--mapd', 'ssl:1.2.3.4', 'status'], 'private-key'),
            (['--mapd', 'ssl:no.such.host', 'status'], 'unix:PATH'),
            (['--mapd', 'tcp:no.such.host', 'status'], 'unix:PATH'),
            (['a'] * 9, 'too many')):
        check(says in w.run(*argv, status=2).err if argv else True,
              '%r: the error lacks %r: %r', argv, says,
              w.run(*argv, status=2).err)
        error = w.json(*argv, status=2)
        equal(error['error'], 'usage', 'code for %r' % argv)


@test
def mapd_that_cannot_be_reached_exits_3(w):
    for remote, why in (('unix:%s/none' % w.dir, 'No such file'),
                        ('tcp:127.0.0.1:1', 'Connection refused')):
        for verb in ['status'], ['dump'], ['watch'], ['host', 'list'], \
                ['host', 'remove', 'h1'], ['wait', '1']:
            err = w.run('--mapd', remote, *verb, status=3).err
            check(remote in err and why in err and 'grapnel-mapd' in err
                  and '--mapd' in err, 'it says %r', err)
        error = w.json('--mapd=' + remote, 'status', status=3)
        equal(error['error'], 'unreachable')
    w.run('status', status=3, env={'GRAPNEL_MAPD': 'unix:/none'})
    w.run('status', env={'GRAPNEL_MAPD': 'unix:' + w.socket,
                         'OVS_RUNDIR': '/none'})


@test
def a_socket_that_may_not_be_used_or_is_busy(w):
    os.chmod(w.socket, 0)
    try:
        process = subprocess.run(
            ['setpriv', '--bounding-set=-dac_override', CTL, 'status'],
            env=w.env, stderr=subprocess.PIPE, text=True, timeout=10)
    finally:
        os.chmod(w.socket, 0o700)
    equal(process.returncode, 3, 'the exit status')
    check('Permission denied (run it as root' in process.stderr,
          'it says %r', process.stderr)

    path = os.path.join(w.dir, 'busy.sock')
    with contextlib.ExitStack() as stack:
        listener, first = [stack.enter_context(socket.socket(socket.AF_UNIX))
                           for _ in range(2)]
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        err = w.run('--mapd', 'unix:' + path, 'status', status=3).err
        check('try again' in err and 'Protocol' not in err, 'it says %r', err)


@test
def nonsense_from_mapd_does_no_harm(w):
    answer = '{"id":ID,"error":null,"result":%s}'
    for text in (
            '}', '{"id":ID}', '[' * 3000, answer % '[]', answer % 'null',
            '{"id":ID,"error":"no","result":null}',
            '{"id":ID,"error":{"error":"x\\n\\u001b"},"result":null}',
            '{"id":ID,"error":{"message":"x\\n\\u001b"},"result":null}'):
        for verb in ['host', 'list'], ['dump']:
            w.run('--mapd', answer_with(w, text), *verb, status=1)
    items = '{"revision":1,"items":%s}'
    host = '[{"record":{"kind":"host","name":"%s"}}]'
    for result, verb in (
            ('{}', ['host', 'list']), (items % 3, ['host', 'list']),
            (items % '[3]', ['host', 'list']),
            (items % '[{}]', ['host', 'list']),
            (items % '[{"record":[]}]', ['host', 'list']),
            (items % host % '', ['host', 'list']),
            (items % host % 'h1', ['group', 'list']),
            ('{"items":[]}', ['host', 'list']),
            ('{"revision":1,"records":3}', ['dump']),
            ('{"revision":1,"records":[3]}', ['dump']),
            ('{"revision":1}', ['host', 'remove', 'h1']),
            ('{"revision":"1","changes":[]}', ['host', 'remove', 'h1']),
            ('{"revision":1,"hosts":{}}', ['wait', '1']),
            ('{}', ['status']), ('{}', ['watch'])):
        error = w.json('--mapd', answer_with(w, answer % result), *verb,
                       status=1)
        equal(error['error'], 'protocol', '%s for %r' % (result, verb))
    out = w.run('--mapd', answer_with(
        w, answer % items % host % '\\u001b[31m\\n'), 'host', 'list').out
    check('[31m' in out and '\033' not in out,
          'an escape sequence comes through: %r', out)

    # Hung up after the request: the change may have been made.
    err = w.run('--mapd', answer_with(w), 'host', 'remove', 'h1',
                status=3).err
    check('may have been made' in err, 'it says %r', err)


@test
def a_mapd_that_hangs_is_given_up_on(w):
    w.mapd.send_signal(signal.SIGSTOP)
    try:
        err = w.run('host', 'remove', 'h9', '--timeout', '0.3', status=4).err
        check('may have been made' in err, 'it says %r', err)
        error = w.json('status', '--timeout=0.3', status=4)
        equal(error['error'], 'timeout')
        start = time.monotonic()
        err = w.run('wait', '1', '--timeout', '1', status=4).err
        check(' within 1 s ' in err, 'it says %r', err)
        check(1 <= time.monotonic() - start < 1.9, 'it took %g s',
              time.monotonic() - start)
    finally:
        w.mapd.send_signal(signal.SIGCONT)


if __name__ == '__main__':
    sys.exit(main())
