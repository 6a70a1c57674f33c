#!/usr/bin/python3
"""grapnelctl against a real grapnel-mapd: every verb as text and as JSON, every
exit status, and bad input, after which nothing may have changed.

    tests/system/test-grapnelctl.py [PART-OF-A-TEST'S-NAME...]

GRAPNEL_BUILD names the folder with the programs, if that is not build/."""

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get('GRAPNEL_BUILD',
                                       os.path.join(TOP, 'build')))
CTL = os.path.join(BUILD, 'grapnelctl')
MAPD = os.path.join(BUILD, 'grapnel-mapd')

# What each test finds.
HOSTS = [
    {'kind': 'host', 'name': 'h1', 'vtep': '192.0.2.1', 'encap': 'geneve'},
    {'kind': 'host', 'name': 'h2', 'vtep': '192.0.2.2', 'encap': 'vxlan'},
]
GROUPS = [
    {'kind': 'group', 'vni': 5001, 'name': 'web', 'address': '10.1.0.100',
     'protocol': 'tcp', 'port': 80, 'algorithm': 'weighted',
     'affinity': 'flow', 'slots': 1024},
    {'kind': 'group', 'vni': 5002, 'name': 'web', 'address': '10.1.0.100',
     'protocol': 'udp', 'port': 0, 'algorithm': 'weighted',
     'affinity': 'source', 'slots': 256},
]
ENDPOINTS = [
    {'kind': 'endpoint', 'vni': 5001, 'group': 'web', 'name': 'w%d' % i,
     'host': host, 'mac': '02:00:00:00:00:0%d' % i, 'weight': weight,
     'state': state}
    for i, host, weight, state in [(1, 'h1', 100, 'up'), (2, 'h2', 100, 'up'),
                                   (3, 'h2', 200, 'up'),
                                   (4, 'h1', 50, 'draining')]
]
RECORDS = HOSTS + GROUPS + ENDPOINTS


class Failed(Exception):
    pass


def check(condition, message, *args):
    if not condition:
        raise Failed(message % args)


def equal(got, expected, what='value'):
    check(got == expected, '%s is %r instead of %r', what, got, expected)


def dump_text(records, revision=1):
    lines = [{'grapnel': 'dump', 'version': 1, 'revision': revision},
             *records, {'end': True, 'records': len(records)}]
    return ''.join(json.dumps(line) + '\n' for line in lines)


class Result:
    def __init__(self, argv, status, out, err):
        self.argv, self.status, self.out, self.err = argv, status, out, err

    def json(self):
        return json.loads(self.out)


class World:
    """A mapd in a folder of its own."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='grapnelctl.')
        self.socket = os.path.join(self.dir, 'grapnel-mapd.sock')
        self.log = os.path.join(self.dir, 'mapd.log')
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ('NO_COLOR', 'GRAPNEL_MAPD')}
        self.env.update(OVS_RUNDIR=self.dir, TERM='xterm', LC_ALL='C')
        self.mapd = None

    def start(self):
        with open(self.log, 'a') as log:
            self.mapd = subprocess.Popen(
                [MAPD, '--store=sqlite:%s/store.db' % self.dir,
                 '--listen=punix:%s' % self.socket,
                 '--unixctl=%s/mapd.ctl' % self.dir,
                 '-vconsole:info', '-vsyslog:off'],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)
        deadline = time.monotonic() + 10
        while not self.answers():
            check(self.mapd.poll() is None, 'mapd did not start: %s',
                  open(self.log).read())
            check(time.monotonic() < deadline, 'mapd does not listen')
            time.sleep(0.02)

    def answers(self):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
            return s.connect_ex(self.socket) == 0

    def stop(self):
        if self.mapd:
            self.mapd.send_signal(signal.SIGCONT)
            self.mapd.terminate()
            status = self.mapd.wait(10)
            self.mapd = None
            return status

    def close(self):
        self.stop()
        shutil.rmtree(self.dir)

    def path(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, 'w') as file:
            file.write(text)
        return path

    def run(self, *argv, status=0, stdin=None, env=None, note='', **options):
        """Runs grapnelctl and expects that exit status, and 'note' on standard
        error if all goes well.  Errors say in parentheses what to do."""
        process = subprocess.run(
            [CTL, *argv], env={**self.env, **(env or {})}, text=True,
            input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=30, **options)
        result = Result(argv, process.returncode, process.stdout,
                        process.stderr)
        check(result.status == status,
              '%s: exit status %d instead of %d; it says %r and %r',
              ' '.join(argv), result.status, status, result.out, result.err)
        if status == 0:
            if '--json' in argv or not note:
                equal(result.err, '', 'standard error of ' + ' '.join(argv))
            check(note in result.err, '%s: no note %r in %r', ' '.join(argv),
                  note, result.err)
        elif '--json' not in argv:
            check(re.fullmatch(r'grapnelctl: [^\n\033]+ \([^\n\033]+\)\n',
                               result.err),
                  '%s: not one line with a remedy on standard error: %r',
                  ' '.join(argv), result.err)
        return result

    def json(self, *argv, **options):
        return self.run('--json', *argv, **options).json()

    def reset(self):
        self.run('load', '-', '--prune', stdin=dump_text(RECORDS))

    def dump(self):
        return self.run('dump').out

    def revision(self):
        return self.json('status')['mapd']['revision']


class Host:
    """A host as mapd sees it, which applies what it is told to, not more."""

    def __init__(self, world, record):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(world.socket)
        self.buffer = ''
        self.follower = None
        self.send(id=1, method='register', params=[record])
        self.receive_answer(1)
        self.send(id=2, method='subscribe', params=[{}])
        self.receive_answer(2)

    def send(self, **message):
        self.socket.sendall(json.dumps(message).encode())

    def receive(self):
        """The next message, or None at the end of the connection."""
        while True:
            try:
                message, end = json.JSONDecoder().raw_decode(self.buffer)
            except ValueError:
                data = self.socket.recv(65536).decode()
                if not data:
                    return None
                self.buffer += data
                continue
            self.buffer = self.buffer[end:].lstrip()
            return message

    def receive_answer(self, id_):
        while True:
            message = self.receive()
            check(message, 'mapd closed the connection of a host')
            if message.get('id') == id_ and 'method' not in message:
                check(message['error'] is None, 'refused: %r', message)
                return message['result']

    def apply(self, revision):
        self.send(id=None, method='applied', params=[{'revision': revision}])

    def follow(self, delay):
        """From now on applies each update 'delay' seconds after it came."""
        def run():
            while True:
                message = self.receive()
                if not message:
                    return
                if message['method'] == 'update':
                    time.sleep(delay)
                    self.apply(message['params'][0]['revision'])
        self.follower = threading.Thread(target=run)
        self.follower.start()

    def close(self):
        """Reads what is left first, or mapd would see a reset."""
        self.socket.shutdown(socket.SHUT_WR)
        if self.follower:
            self.follower.join()
        else:
            while self.receive():
                pass
        self.socket.close()


class Watch:
    """grapnelctl watch, line by line."""

    def __init__(self, world, *argv):
        self.process = subprocess.Popen(
            [CTL, 'watch', *argv], env=world.env, bufsize=0,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def line(self):
        line = b''
        while not line.endswith(b'\n'):
            ready, _, _ = select.select([self.process.stdout], [], [], 5)
            check(ready, 'watch prints nothing')
            data = self.process.stdout.read(1)
            check(data, 'watch has ended')
            line += data
        return line.decode().rstrip('\n')

    def end(self):
        """Returns the exit status and what is on standard error."""
        self.process.stdout.close()
        status = self.process.wait(5)
        err = self.process.stderr.read().decode()
        self.process.stderr.close()
        return status, err


TESTS = []


def test(function):
    TESTS.append(function)
    return function


# Objects.

@test
def adding_setting_removing_each_kind(w):
    out = w.run('host', 'add', 'h3', '--vtep', '192.0.2.3').out
    check(out.startswith('+ host h3: vtep 192.0.2.3, encap geneve\nrevision '),
          'host add says %r', out)
    w.run('group', 'add', '7/db', '--address', '10.7.0.1', '--protocol',
          'udp', '--port=53', '--affinity', 'source', '--slots', '512')
    out = w.run('endpoint', 'add', '7/db/d1', '--host', 'h3', '--mac',
                '02:00:00:00:07:01').out
    check('+ endpoint 7/db/d1: host h3, mac 02:00:00:00:07:01, weight 100, '
          'state up\n' in out, 'endpoint add says %r', out)

    out = w.run('endpoint', 'set', '7/db/d1', '--weight', '7', '--state',
                'draining').out
    check(out.startswith('~ endpoint 7/db/d1: weight 100 -> 7, '
                         'state up -> draining\n'), 'set says %r', out)
    w.run('group', 'set', '7/db', '--affinity', 'flow')
    w.run('host', 'set', 'h3', '--vtep', '192.0.2.33', '--encap', 'vxlan')

    equal(w.json('host', 'show', 'h3')['record'],
          {'kind': 'host', 'name': 'h3', 'vtep': '192.0.2.33',
           'encap': 'vxlan'})
    equal(w.json('group', 'show', '7/db')['record'],
          {'kind': 'group', 'vni': 7, 'name': 'db', 'address': '10.7.0.1',
           'protocol': 'udp', 'port': 53, 'algorithm': 'weighted',
           'affinity': 'flow', 'slots': 512})
    equal(w.json('endpoint', 'show', '7/db/d1')['record'],
          {'kind': 'endpoint', 'vni': 7, 'group': 'db', 'name': 'd1',
           'host': 'h3', 'mac': '02:00:00:00:07:01', 'weight': 7,
           'state': 'draining'})

    out = w.run('endpoint', 'remove', '7/db/d1').out
    check(out.startswith('- endpoint 7/db/d1\n'), 'remove says %r', out)
    w.run('group', 'remove', '7/db')
    w.run('host', 'remove', 'h3')
    equal(records_of(w.dump()), RECORDS, 'the dump')


def records_of(dump):
    return [json.loads(line) for line in dump.splitlines()[1:-1]]


@test
def changes_as_json(w):
    before = w.revision()
    got = w.json('endpoint', 'set', '5001/web/w1', '--weight', '5')
    equal(got, {'revision': before + 1,
                'changes': [{'op': 'set', 'before': ENDPOINTS[0],
                             'record': {**ENDPOINTS[0], 'weight': 5}}]})


@test
def scripts_can_be_repeated(w):
    add = ['endpoint', 'add', '5001/web/w1', '--host', 'h1', '--mac',
           '02:00:00:00:00:01', '--weight', '100']
    before = w.dump()
    refused(w, *add)
    equal(w.run(*add, '--may-exist').out,
          'nothing to change, revision %d\n' % w.revision())
    refused(w, *add[:-1], '99', '--may-exist')
    refused(w, 'endpoint', 'remove', '5001/web/w9', names=['w9'])
    w.run('endpoint', 'remove', '5001/web/w9', '--if-exists')
    w.run('host', 'remove', 'h9', '--if-exists')
    w.run('group', 'remove', '9/web', '--if-exists')
    equal(w.dump(), before, 'the dump')


@test
def only_at_that_revision(w):
    now = w.revision()
    got = refused(w, 'endpoint', 'set', '5001/web/w1', '--weight', '1',
                  '--if-revision', str(now - 1), names=[str(now)])
    equal(got['error'], 'revision', 'the code')
    w.run('endpoint', 'set', '5001/web/w1', '--weight', '1',
          '--if-revision', str(now))


@test
def a_group_goes_with_its_endpoints_if_asked(w):
    refused(w, 'group', 'remove', '5001/web')
    refused(w, 'host', 'remove', 'h1', names=['h1'])
    got = w.json('group', 'remove', '5001/web', '--cascade')
    equal(sorted((c['op'], c['record']['kind']) for c in got['changes']),
          [('remove', 'endpoint')] * 4 + [('remove', 'group')])


NUMBER = (int, float)
SHAPES = {
    'host': ({'kind': str, 'name': str, 'vtep': str, 'encap': str},
             {'connected': bool, 'applied': int}),
    'group': ({'kind': str, 'vni': int, 'name': str, 'address': str,
               'protocol': str, 'port': int, 'algorithm': str,
               'affinity': str, 'slots': int},
              {'id': int, 'epoch': int, 'endpoints': int, 'up': int}),
    'endpoint': ({'kind': str, 'vni': int, 'group': str, 'name': str,
                  'host': str, 'mac': str, 'weight': int, 'state': str},
                 {'slots': int, 'share': NUMBER, 'weight_share': NUMBER}),
}


def check_item(kind, item):
    record, status = SHAPES[kind]
    equal(set(item['record']), set(record), 'members of a ' + kind)
    for shape, value in (record, item['record']), (status, item['status']):
        for name, type_ in shape.items():
            check(isinstance(value[name], type_), '%s of a %s is %r', name,
                  kind, value[name])


@test
def lists(w):
    for kind, records in ('host', HOSTS), ('group', GROUPS), \
            ('endpoint', ENDPOINTS):
        items = w.json(kind, 'list')
        equal([item['record'] for item in items], records, kind + ' list')
        for item in items:
            check_item(kind, item)
            check_item(kind, w.json(kind, 'show', id_of(item['record'])))

        lines = w.run(kind, 'list').out.splitlines()
        equal(len(lines), 1 + len(records), 'lines of %s list' % kind)
        check(lines[0].startswith(kind.upper()), 'heading %r', lines[0])
        for line, record in zip(lines[1:], records):
            equal(line.split()[0], id_of(record), 'first column')
            equal(line, line.rstrip(), 'a line')


def id_of(record):
    return '/'.join(str(record[name]) for name in ('vni', 'group', 'name')
                    if name in record)


@test
def columns_are_aligned(w):
    w.run('endpoint', 'add', '5001/web/a-much-longer-name', '--host', 'h1',
          '--mac', '02:00:00:00:00:99', '--state', 'down')
    lines = w.run('endpoint', 'list', '5001/web').out.splitlines()
    state = lines[0].index('STATE')
    for line in lines[1:]:
        check(re.match(r'.{%d}  (up|draining|down) ' % (state - 2), line),
              'not aligned: %r', lines)


@test
def lists_can_be_narrowed(w):
    equal([i['record']['vni'] for i in w.json('group', 'list', '--vni',
                                              '5002')], [5002])
    equal(len(w.json('endpoint', 'list', '5001/web')), 4)
    equal(w.json('endpoint', 'list', '5002/web'), [])
    equal(len(w.json('endpoint', 'list', '--vni', '5001')), 4)
    equal([i['record']['name'] for i in
           w.json('endpoint', 'list', '--host', 'h2')], ['w2', 'w3'])
    w.run('endpoint', 'list', '5001/web', '--vni', '5001', status=2)


@test
def an_empty_list_hides_no_typing_mistake(w):
    for argv, name, field in (
            (['endpoint', 'list', '5001/wbe'], '5001/wbe', 'name'),
            (['endpoint', 'list', '--vni', '77'], '77', 'vni'),
            (['group', 'list', '--vni', '77'], '77', 'vni'),
            (['endpoint', 'list', '--host', 'nope'], 'nope', 'name'),
            (['endpoint', 'list', '5002/web', '--host', 'nope'], 'nope',
             'name')):
        error = refused(w, *argv, names=[name])
        equal((error['error'], error['field']), ('not-found', field))
        check(error['hint'], 'no hint for %r', argv)
    w.run('host', 'add', 'h3', '--vtep', '192.0.2.3')
    for argv in ['5002/web'], ['--vni', '5002'], ['--host', 'h3'], \
            ['5001/web', '--host', 'h3']:
        argv = ['endpoint', 'list'] + argv
        text = w.run(*argv, note='no endpoint to list').out
        check(re.fullmatch('ENDPOINT +STATE .*SHARE\n', text),
              '%r prints %r', argv, text)
        equal(w.json(*argv), [])


@test
def what_is_not_there_is_told_as_mapd_tells_it(w):
    for kind, id_, change in (
            ('host', 'h9', ['--encap', 'vxlan']),
            ('group', '5001/x', ['--affinity', 'flow']),
            ('group', '77/web', ['--affinity', 'flow']),
            ('endpoint', '5001/web/x', ['--weight', '1']),
            ('endpoint', '5001/x/w1', ['--weight', '1'])):
        want = w.json(kind, 'set', id_, *change, status=1)
        del want['op']
        equal(refused(w, kind, 'show', id_), want, '%s show' % kind)


@test
def shares_follow_the_weights(w):
    items = w.json('endpoint', 'list', '5001/web')
    equal([i['status']['weight_share'] for i in items], [.25, .25, .5, 0])
    equal([i['status']['slots'] for i in items], [256, 256, 512, 0])
    text = w.run('endpoint', 'list', '5001/web').out
    equal([' '.join(line.split()[-3:]) for line in text.splitlines()[1:]],
          ['256 25.0 %', '256 25.0 %', '512 50.0 %', '0 0.0 %'])

    # Of one endpoint alone they need the whole group all the same.
    show = w.run('endpoint', 'show', '5001/web/w3').out
    check(re.search(r'^share of weights +50.0 %$', show, re.M)
          and re.search(r'^share of slots +50.0 %$', show, re.M)
          and re.search(r'^weight +200$', show, re.M), 'show says %r', show)


@test
def show_tells_all(w):
    text = w.run('group', 'show', '5001/web').out
    for word in ('5001/web', '10.1.0.100', 'tcp', '80', 'weighted', 'flow',
                 '1024', 'epoch', '5001/web/w4'):
        check(word in text, 'group show lacks %s: %s', word, text)
    equal(len(w.json('group', 'show', '5001/web')['endpoints']), 4)
    text = w.run('host', 'show', 'h2').out
    check('192.0.2.2' in text and 'vxlan' in text and '5001/web/w3' in text
          and '5001/web/w1' not in text, 'host show says %r', text)
    for argv in ('host', 'show', 'h9'), ('group', 'show', '5001/x'), \
            ('endpoint', 'show', '5001/web/x'):
        equal(refused(w, *argv, names=argv[2:])['error'], 'not-found')


# Refusals.

def refused(w, *argv, names=(), status=1, **options):
    """Expects a refusal as text and as JSON that says all of 'names', and that
    changes nothing.  Returns the JSON."""
    before = w.dump()
    text = w.run(*argv, status=status, **options)
    equal(text.out, '', 'standard output of ' + ' '.join(argv))
    error = w.run('--json', *argv, status=status, **options)
    equal(error.err, '', 'standard error with --json')
    error = error.json()
    check(error['message'] in text.err, 'text and JSON differ: %r %r',
          text.err, error)
    for name in names:
        check(name in text.err, '%s: %r does not name %s', ' '.join(argv),
              text.err, name)
    equal(w.dump(), before, 'the dump after a refusal')
    return error


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
            (group + ['fd00::1'], 'address', 'fd00::1'),
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
            (['host', 'add', 'h9', '--vtep', 'fe80::1'], 'vtep', 'fe80::1'),
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
            (['--mapd', 'ssl:1.2.3.4', 'status'], 'unix:PATH'),
            (['--mapd', 'tcp:no.such.host', 'status'], 'unix:PATH'),
            (['a'] * 9, 'too many')):
        check(says in w.run(*argv, status=2).err if argv else True,
              '%r: the error lacks %r: %r', argv, says,
              w.run(*argv, status=2).err)
        error = w.json(*argv, status=2)
        equal(error['error'], 'usage', 'code for %r' % argv)


# Dumps.

@test
def dump_and_load_are_the_identity(w):
    before = w.dump()
    equal(records_of(before), RECORDS, 'the dump')
    revision = w.revision()
    equal(w.run('load', '-', stdin=before).out,
          'nothing to change, revision %d\n' % revision)
    equal(w.dump(), before)

    w.run('load', '-', '--prune', stdin=dump_text([]))
    equal(records_of(w.dump()), [])
    w.run('load', w.path('dump', before))
    equal(records_of(w.dump()), RECORDS)

    # In whatever order the lines are.
    w.run('load', '-', '--prune', stdin=dump_text([]))
    w.run('load', '-', stdin=dump_text(RECORDS[::-1]))
    equal(records_of(w.dump()), RECORDS)


@test
def load_merges_and_prunes_when_asked(w):
    some = [HOSTS[0], {**HOSTS[1], 'encap': 'geneve'}, GROUPS[0],
            {**ENDPOINTS[0], 'weight': 9}]
    w.run('load', '-', stdin=dump_text(some))
    equal(records_of(w.dump()), some[:2] + GROUPS + some[3:] + ENDPOINTS[1:])
    w.run('load', '-', '--prune', stdin=dump_text(some))
    equal(records_of(w.dump()), some)


@test
def a_dry_run_shows_the_difference_and_does_nothing(w):
    before = w.dump()
    records = [*HOSTS, GROUPS[0],
               {**ENDPOINTS[0], 'weight': 9, 'state': 'down'},
               *ENDPOINTS[1:], {**ENDPOINTS[0], 'name': 'w5',
                                'mac': '02:00:00:00:00:05'}]
    argv = ['load', '-', '--prune', '--dry-run']
    equal(w.run(*argv, stdin=dump_text(records)).out,
          '- group 5002/web\n'
          '~ endpoint 5001/web/w1: weight 100 -> 9, state up -> down\n'
          '+ endpoint 5001/web/w5: host h1, mac 02:00:00:00:00:05, '
          'weight 100, state up\n'
          '3 changes; dry run, nothing was done\n')
    got = w.json(*argv, stdin=dump_text(records))
    equal([c['op'] for c in got['changes']], ['remove', 'set', 'add'])
    equal(got['dry_run'], True)
    equal(w.dump(), before)


@test
def load_is_all_or_nothing(w):
    bad = [{**HOSTS[0], 'name': 'h8', 'vtep': '192.0.2.8'},
           {**ENDPOINTS[0], 'name': 'w8', 'mac': '02:00:00:00:00:08',
            'weight': 0}]
    error = refused(w, 'load', '-', stdin=dump_text(bad),
                    names=['standard input: line 3: ', 'weight', '0',
                           '; nothing was loaded)'])
    equal(error['field'], 'weight')
    bad[1].update(weight=1, host='h7')
    refused(w, 'load', '-', stdin=dump_text(bad), names=['line 3', 'h7'])
    refused(w, 'load', '-', stdin=dump_text([{'kind': 'moon'}]),
            names=['line 2', 'moon'])
    refused(w, 'load', '-', '--if-revision', '0', stdin=dump_text(RECORDS),
            names=['standard input: ', '; nothing was loaded)'])
    path = w.path('bad', dump_text([{**HOSTS[0], 'end': True}]))
    error = refused(w, 'load', path, names=[path + ': line 2: ',
                                            '; nothing was loaded)'])
    equal((error['error'], error['field']), ('invalid', 'end'))


@test
def a_dump_that_is_not_whole_is_refused(w):
    text = dump_text(RECORDS + [{**HOSTS[0], 'name': 'h8',
                                 'vtep': '192.0.2.8'}])
    lines = text.splitlines(keepends=True)
    for what, says in (
            (text[:len(text) // 2], 'cut off'),
            (''.join(lines[:len(lines) // 2]), 'cut off'),
            (''.join(lines[:-1]), 'cut off'),
            (text[:-5], 'cut off'), ('', 'empty'),
            (''.join(lines[1:]), 'line 1'),
            (''.join(lines[:3] + lines[4:]), 'records: 9'),
            (text + lines[1], 'line 12'),
            (text + text, 'line 12'),
            (''.join(lines[:4] + ['{"kind":\n'] + lines[4:]), 'line 5'),
            (''.join(lines[:4] + ['[]\n'] + lines[4:]), 'line 5'),
            (text.replace('"version": 1', '"version": 2'), 'version: 2'),
            (text.replace('"version": 1', '"version": "1"'),
             'line 1: version: "1" is not'),
            (text.replace('"version": 1, ', ''), 'version is missing'),
            (text.replace('"revision": 1', '"revision": "1"'),
             'line 1: revision: "1" is not'),
            (text.replace('"revision": 1', '"revsion": 1'),
             'line 1: "revsion" is unknown'),
            (text.replace('"records": 9', '"records": "9"'),
             'records: "9" is not'),
            (text.replace('"end": true', '"end": false'), 'end: false'),
            (text.replace('"end": true', '"end": true, "x": 1'),
             '"x" is unknown'),
            (text.replace('"weight": 50', '"weight": 50, "weight": 5'),
             'line 9 has the member "weight" twice'),
            (text.replace('"weight": 50', '"weight": 50, "w\\u0065ight": 5'),
             'line 9 has the member "weight" twice'),
            ('x' * 100000, 'line 1'), ('\0' * 100000, 'line 1'),
            ('{"a":' * 20000, 'line 1')):
        refused(w, 'load', '-', '--prune', stdin=what, names=[says])
    refused(w, 'load', os.path.join(w.dir, 'no'), names=['No such file'])
    refused(w, 'load', w.dir, names=['Is a directory'])

    # The last newline is not what makes it whole; nor do blank lines matter.
    w.run('load', '-', stdin='\n' + text.rstrip('\n'))


# Waiting and watching.

@test
def wait_is_bounded_and_names_those_that_lag(w):
    h1, h2 = Host(w, HOSTS[0]), Host(w, HOSTS[1])
    try:
        now = w.revision()
        h1.apply(now)
        text = w.run('wait', str(now), '--timeout', '0.3', status=4).err
        check('h2' in text and 'h1' not in text, 'wait says %r', text)
        error = w.json('wait', str(now), '--timeout', '0.3', status=4)
        equal((error['error'], error['lagging']), ('timeout', ['h2']))
        h2.apply(now)
        equal(w.run('wait', str(now)).out,
              'revision %d is in use on h1, h2\n' % now)
        equal([h['name'] for h in w.json('wait', str(now))['hosts']],
              ['h1', 'h2'])
        w.run('wait', str(now + 1), '--timeout', '0.2', status=4)
    finally:
        h1.close()
        h2.close()


@test
def a_change_waits_if_asked_but_not_for_ever(w):
    h1, h2 = Host(w, HOSTS[0]), Host(w, HOSTS[1])
    change = ['endpoint', 'set', '5001/web/w1', '--wait=0.3', '--weight']
    try:
        start = time.monotonic()
        err = w.run(*change, '7', status=4)
        check(time.monotonic() - start < 3, 'that took long')
        check('weight 100 -> 7' in err.out and 'h1, h2' in err.err,
              'it says %r and %r', err.out, err.err)
        now = w.revision()
        h1.apply(now)
        equal(w.json(*change, '7', status=4)['lagging'], ['h2'])
        h2.apply(now)
        got = w.json(*change, '7')
        equal(([h['name'] for h in got['hosts']], got['changes']),
              (['h1', 'h2'], []))
        w.run('load', '-', '--wait', stdin=w.dump())
    finally:
        h1.close()
        h2.close()
    out = w.run(*change, '8', note='warning: no host is connected').out
    check('is in use on no host; not connected: h1, h2' in out,
          'it says %r', out)
    equal(w.json(*change, '9')['hosts'], [])
    w.run('wait', '1', note='warning: no host is connected')


@test
def set_wait_returns_as_soon_as_the_host_has_it(w):
    host = Host(w, HOSTS[0])
    host.follow(0.3)
    try:
        start = time.monotonic()
        out = w.run('endpoint', 'set', '5001/web/w1', '--weight', '3',
                    '--wait').out
        check(0.3 <= time.monotonic() - start < 3, 'it took %g s',
              time.monotonic() - start)
        check('in use on h1; not connected: h2\n' in out, 'it says %r', out)
    finally:
        host.close()


@test
def watch_prints_changes_as_they_happen(w):
    text, lines = Watch(w), Watch(w, '--json')
    try:
        now = w.revision()
        check(text.line().startswith('revision %d' % now), 'no start')
        equal(json.loads(lines.line()), {'revision': now, 'changes': []})
        w.run('endpoint', 'set', '5001/web/w1', '--weight', '77')
        equal([text.line(), text.line()],
              ['revision %d' % (now + 1),
               '~ endpoint 5001/web/w1: weight 100 -> 77'])
        got = json.loads(lines.line())
        equal((got['revision'], got['changes'][0]['record']['weight']),
              (now + 1, 77))
    finally:
        text.end()
        lines.end()


@test
def watch_ends_when_mapd_goes_away(w):
    watch = Watch(w)
    watch.line()
    w.stop()
    status = watch.process.wait(5)
    w.start()
    equal(status, 3, 'exit status of watch')
    _, err = watch.end()
    check(re.fullmatch('grapnelctl: .*closed.*\n', err), 'it says %r', err)


@test
def watch_ends_when_nobody_reads(w):
    watch = Watch(w)
    watch.line()
    equal(watch.end(), (1, ''), 'the end of watch')


# Status.

@test
def status_names_the_trouble_and_the_next_command(w):
    got = w.json('status')
    equal([i['record'] for i in got['hosts']], HOSTS)
    equal({k: got['mapd'][k] for k in ('groups', 'endpoints', 'hosts')},
          {'groups': 2, 'endpoints': 4, 'hosts': 2})
    problems = ' '.join(p['problem'] for p in got['problems'])
    check('h1' in problems and 'h2' in problems and '5002/web' in problems
          and '5001/web' not in problems, 'problems are %r', problems)
    check(all(p['next'] for p in got['problems']), 'no next command')
    text = w.run('status').out
    for pattern in (r'^revision +%d$' % got['mapd']['revision'], '^store +',
                    r'^uptime +\d+ s$', '^hosts +2, 0 connected$',
                    '^HOST +VTEP', '^h1 +192.0.2.1 +geneve +no',
                    '^! group 5002/web has no endpoints',
                    '^  next: grapnelctl endpoint add 5002/web/'):
        check(re.search(pattern, text, re.M), 'no %r in %s', pattern, text)

    w.run('group', 'remove', '5002/web')
    h1, h2 = Host(w, HOSTS[0]), Host(w, HOSTS[1])
    try:
        now = w.revision()
        h1.apply(now)
        text = w.run('status').out
        check('! host h2 lags' in text and 'grapnelctl wait %d' % now in text
              and '! host h1' not in text, 'status says %s', text)
        h2.apply(now)
        w.run('wait', str(now))
        got = w.json('status')
        equal((got['problems'], got['mapd']['connected']), ([], 2))
        check('All hosts' in w.run('status').out, 'it does not say so')
    finally:
        h1.close()
        h2.close()


# mapd and the terminal.

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
def status_passes_on_what_mapd_finds(w):
    answer = '{"id":ID,"error":null,"result":{"revision":1,%s}}'
    problems = ['group 5/a has no endpoint that is up',
                'group 5/b: 2 of 258 endpoints that are up own no slots',
                'the disk is full', 'and 3 more']
    group = {'kind': 'group', 'vni': 5, 'name': 'a'}
    answers = [answer % ('"problems":' + json.dumps(problems)),
               answer % '"items":[]', answer % ('"items":' + json.dumps(
                   [{'record': group, 'status': {'endpoints': 1, 'up': 0}}]))]
    got = w.json('--mapd', answer_with(w, *answers), 'status')['problems']
    equal([p['next'] for p in got[-3:]],
          ['grapnelctl group show 5/b', "see grapnel-mapd's log",
           'grapnelctl status, with those solved'])
    equal([p['problem'] for p in got[-3:]], problems[1:])
    equal(sum('5/a' in p['problem'] for p in got), 1, 'what is told of 5/a')


@test
def mapd_on_tcp(w):
    listener = socket.socket()
    listener.bind(('127.0.0.1', 0))
    listener.listen()
    remote = 'tcp:127.0.0.1:%d' % listener.getsockname()[1]

    # Accepts nothing: the kernel connects, and nobody answers.
    start = time.monotonic()
    err = w.run('--mapd', remote, '--timeout', '0.3', 'status', status=4).err
    check(remote in err and '0.3 s' in err, 'it says %r', err)
    check(time.monotonic() - start < 3, 'that took long')
    listener.close()


def answer_with(world, *answers, requests=None):
    """A mapd on a socket of its own that answers each request with the next of
    'answers' (text in which ID stands for the request's id) and then hangs up.
    Appends what it was asked to 'requests'.  Returns where it listens."""
    path = os.path.join(world.dir, 'fake.sock')
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve():
        connection, _ = listener.accept()
        for answer in answers:
            request = json.loads(connection.recv(65536))
            if requests is not None:
                requests.append(request)
            connection.sendall(answer.replace('ID', str(request['id']))
                               .encode())
        if not answers:
            connection.recv(65536)
        connection.close()
        listener.close()
    threading.Thread(target=serve, daemon=True).start()
    return 'unix:' + path


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


def run_on_terminal(w, *argv, **env):
    master, slave = pty.openpty()
    process = subprocess.Popen([CTL, *argv], env={**w.env, **env},
                               stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    data = b''
    with contextlib.suppress(OSError):      # EIO when the other end closes.
        while True:
            data += os.read(master, 65536)
    os.close(master)
    process.stderr.close()
    equal(process.wait(5), 0, 'exit status')
    return data.decode().replace('\r\n', '\n')


@test
def colour_only_on_a_terminal(w):
    for argv in ['endpoint', 'list'], ['status'], \
            ['endpoint', 'show', '5001/web/w1']:
        plain = w.run(*argv).out
        colored = run_on_terminal(w, *argv)
        check('\033[' not in plain, 'colour in a pipe')
        check('\033[' in colored, 'no colour on a terminal: %r', colored)
        quiet = run_on_terminal(w, *argv, NO_COLOR='1')
        check('\033[' not in quiet, 'colour in spite of NO_COLOR')
        if argv[0] == 'endpoint':
            equal(re.sub(r'\033\[[0-9;]*m', '', colored), plain)
            equal(quiet, plain)
    check('\033[' not in run_on_terminal(w, '--json', 'endpoint', 'list'),
          'colour in JSON')


@test
def output_that_cannot_be_written_exits_1(w):
    for argv in ['dump'], ['host', 'list'], ['help'], ['--version'], \
            ['--json', 'status'], ['watch']:
        with open('/dev/full', 'w') as full:
            process = subprocess.run([CTL, *argv], env=w.env, stdout=full,
                                     stderr=subprocess.PIPE, text=True,
                                     timeout=10)
        equal(process.returncode, 1, '%r to a full disk' % argv)
        check('No space left' in process.stderr, 'it says %r',
              process.stderr)

        process = subprocess.run(['sh', '-c', 'exec "$@" >&-', 'sh', CTL,
                                  *argv], env=w.env, stderr=subprocess.PIPE,
                                 text=True, timeout=10)
        equal(process.returncode, 1, '%r with stdout closed' % argv)
        check('standard output' in process.stderr, 'it says %r',
              process.stderr)

        reader, writer = os.pipe()
        os.close(reader)
        process = subprocess.run([CTL, *argv], env=w.env, stdout=writer,
                                 stderr=subprocess.PIPE, text=True,
                                     timeout=10)
        os.close(writer)
        equal((process.returncode, process.stderr), (1, ''),
              '%r with no reader' % argv)


# Help and completion.

@test
def help_covers_every_verb(w):
    text = w.run('help').out
    equal(w.run('--help').out, text, '--help')
    verbs = re.findall(r'^  ((?:host|group|endpoint) )?([a-z]+)(?: |$)',
                       text, re.M)
    equal(len(verbs), 15 + 7, 'number of verbs')
    for noun, verb in verbs:
        words = [*noun.split(), verb]
        one = w.run('help', *words).out
        check(one.startswith('usage: grapnelctl %s' % ' '.join(words)),
              'help %r says %r', words, one)
        equal(w.run(*words, '--help').out, one, '--help of %r' % words)
    for noun in 'host', 'group', 'endpoint':
        equal(w.run('help', noun).out, w.run(noun, '--help').out)
    check(all(len(line) < 80 for line in text.splitlines()), 'too wide')
    check(re.fullmatch(r'grapnelctl \d+\.\d+\.\d+\n',
                       w.run('--version').out), 'the version')


def complete(w, line):
    """What bash would make of the last word of 'line': it has the function
    complete only what follows the last of COMP_WORDBREAKS."""
    script = '''
        source <("$1" completion bash) || exit
        complete -p grapnelctl > /dev/null || exit
        COMP_LINE=$2 COMP_POINT=${#2}
        _grapnelctl "$1" "$3" || true
        printf '%s\\n' "${COMPREPLY[@]}"'''
    last = re.split('[ :=]', line)[-1]
    process = subprocess.run(['bash', '-c', script, 'bash', CTL, line, last],
                             env=w.env, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, cwd=w.dir)
    equal((process.returncode, process.stderr), (0, ''), 'completion')
    return sorted(process.stdout.split())


@test
def completion_knows_the_tables_and_the_names(w):
    for line, offers in (
            ('grapnelctl e', ['endpoint']),
            ('grapnelctl wa', ['wait', 'watch']),
            ('grapnelctl group ', ['add', 'list', 'remove', 'set', 'show']),
            ('grapnelctl --json group sh', ['show']),
            ('grapnelctl endpoint set --st', ['--state']),
            ('grapnelctl endpoint remove --st', []),
            ('grapnelctl endpoint set x --state d', ['down', 'draining']),
            ('grapnelctl endpoint set x --state=d', ['down', 'draining']),
            ('grapnelctl endpoint set x --state=',
             ['down', 'draining', 'up']),
            ('grapnelctl endpoint set --weight 3 5001/web/w',
             ['5001/web/w%d' % i for i in (1, 2, 3, 4)]),
            ('grapnelctl endpoint show ', ['5001/web/', '5002/web/']),
            ('grapnelctl endpoint show 5001/', ['5001/web/']),
            ('grapnelctl endpoint show 5001/w', ['5001/web/']),
            ('grapnelctl endpoint show x/w', []),
            ('grapnelctl group show 5001/', ['5001/web']),
            ('grapnelctl group set 5001/web --a', ['--affinity',
                                                   '--algorithm']),
            ('grapnelctl --mapd unix:%s host show h' % w.socket,
             ['h1', 'h2']),
            ('grapnelctl --mapd=unix:%s host show h' % w.socket,
             ['h1', 'h2']),
            ('grapnelctl endpoint set x --mac 02:00:00:00:00:01 --sta',
             ['--state']),
            ('grapnelctl endpoint add x --host ', ['h1', 'h2']),
            ('grapnelctl endpoint add 5001', ['5001/web/']),
            ('grapnelctl endpoint list ', ['5001/web', '5002/web']),
            ('grapnelctl group show 5002', ['5002/web']),
            ('grapnelctl host remove ', ['h1', 'h2']),
            ('grapnelctl host remove h1 ', []),
            ('grapnelctl host add ', []),
            ('grapnelctl completion ', ['bash']),
            ('grapnelctl help endp', ['endpoint']),
            ('grapnelctl help host sh', ['show']),
            ('grapnelctl --mapd unix:/none host show ', [])):
        equal(complete(w, line), sorted(offers), 'offers for %r' % line)
    w.path('a.dump', '')
    equal(complete(w, 'grapnelctl load a.d'), ['a.dump'])


@test
def completion_asks_for_no_more_than_it_needs(w):
    answer = '{"id":ID,"error":null,"result":{"revision":1,"items":[]}}'
    for words, want in (
            ('endpoint show 5/', {'kind': 'group', 'vni': 5}),
            ('endpoint show 5/web/w', {'kind': 'endpoint', 'vni': 5,
                                       'group': 'web'}),
            ('endpoint list 5/w', {'kind': 'group', 'vni': 5}),
            ('group set 5/', {'kind': 'group', 'vni': 5}),
            ('host show h', {'kind': 'host'})):
        asked = []
        remote = answer_with(w, answer, requests=asked)
        w.run('__complete', '--mapd', remote, *words.split())
        equal([(a['method'], a['params']) for a in asked],
              [('list', [want])], 'what is asked for %r' % words)


def logged_trouble(log):
    """Lines of mapd's log that should not be there.  That a client gives up
    and goes while mapd hangs is as it should be."""
    return [line for line in open(log)
            if re.search(r'\|(WARN|ERR|EMER)\|', line)
            and 'send error: Broken pipe' not in line]


def main():
    world = World()
    passed = failed = 0
    try:
        world.start()
        for function in TESTS:
            name = function.__name__
            if sys.argv[1:] and not any(p in name for p in sys.argv[1:]):
                continue
            try:
                world.reset()
                function(world)
                trouble = logged_trouble(world.log)
                open(world.log, 'w').close()
                check(not trouble, 'mapd logged: %s', ''.join(trouble))
                passed += 1
                print('ok    ' + name.replace('_', ' '))
            except Exception as e:
                failed += 1
                print('FAIL  %s: %s' % (name.replace('_', ' '),
                                        str(e) if isinstance(e, Failed)
                                        else repr(e)))
            sys.stdout.flush()
            if world.mapd.poll() is not None:
                break
        status = world.stop()
        if status:
            failed += 1
            print('FAIL  mapd ends with status %s' % status)
    finally:
        world.close()
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
