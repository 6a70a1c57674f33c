"""Runs tests of grapnelctl against a real grapnel-mapd.

    from ctlworld import main, test

    @test
    def a_thing_is_so(w): ...

    sys.exit(main())

GRAPNEL_BUILD names the folder with the programs, if that is not build/."""

import contextlib
import json
import os
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

import ctlschema
from harness import SLOW_MACHINE

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get('GRAPNEL_BUILD',
                                       os.path.join(TOP, 'build')))
CTL = os.path.join(BUILD, 'grapnelctl')
MAPD = os.path.join(BUILD, 'grapnel-mapd')

# What members are that are not given.
HOST_DEFAULTS = {'kind': 'host', 'encap': 'geneve', 'region': '', 'zone': '',
                 'rack': '', 'vnis': ''}
GROUP_DEFAULTS = {
    'kind': 'group', 'protocol': 'tcp', 'port': 0, 'port_last': 0,
    'algorithm': 'weighted', 'affinity': 'flow', 'affinity_timeout': 10800,
    'ramp': 0, 'distance': 'labels', 'on_host_death': 'keep',
    'when_empty': 'drop', 'quic_id_offset': 0, 'quic_id_length': 0,
    'slots': 1024, 'health_check': 'none', 'health_interval': 2000,
    'health_timeout': 1000, 'health_rise': 2, 'health_fall': 3,
    'health_port': 0, 'health_status': 200, 'health_path': '/',
    'health_source': ''}
ENDPOINT_DEFAULTS = {'kind': 'endpoint', 'weight': 100, 'state': 'up',
                     'cost': 0, 'priority': 0, 'quic_id': '', 'iface': '',
                     'mac_from': 'given'}

# What each test finds.
HOSTS = [
    {**HOST_DEFAULTS, 'name': 'h1', 'vtep': '192.0.2.1'},
    {**HOST_DEFAULTS, 'name': 'h2', 'vtep': '192.0.2.2', 'encap': 'vxlan'},
]
GROUPS = [
    {**GROUP_DEFAULTS, 'vni': 5001, 'name': 'web', 'address': '10.1.0.100',
     'port': 80},
    {**GROUP_DEFAULTS, 'vni': 5002, 'name': 'web', 'address': '10.1.0.100',
     'protocol': 'udp', 'affinity': 'source', 'slots': 256},
]
ENDPOINTS = [
    {**ENDPOINT_DEFAULTS, 'vni': 5001, 'group': 'web', 'name': 'w%d' % i,
     'host': host, 'mac': '02:00:00:00:00:0%d' % i, 'weight': weight,
     'state': state}
    for i, host, weight, state in [(1, 'h1', 100, 'up'), (2, 'h2', 100, 'up'),
                                   (3, 'h2', 200, 'up'),
                                   (4, 'h1', 50, 'draining')]
]
RECORDS = HOSTS + GROUPS + ENDPOINTS

# What is said of changes that are of no use; a test of its own counts them.
NO_EFFECT = re.compile('grapnelctl: warning: .* has no effect without .*\n')


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
    """A mapd in a folder of its own, which takes no host for dead unless told
    to."""

    def __init__(self, host_timeout=0):
        self.host_timeout = host_timeout
        self.dir = tempfile.mkdtemp(prefix='test-ctl.')
        self.socket = os.path.join(self.dir, 'grapnel-mapd.sock')
        self.log = os.path.join(self.dir, 'mapd.log')
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ('NO_COLOR', 'GRAPNEL_MAPD')}
        self.env.update(OVS_RUNDIR=self.dir, TERM='xterm', LC_ALL='C')
        self.mapd = None
        self.schemas = ctlschema.Schemas(json.loads(subprocess.check_output(
            [CTL, '--json', 'help'], env=self.env)))

    def start(self):
        with open(self.log, 'a') as log:
            self.mapd = subprocess.Popen(
                [MAPD, '--store=sqlite:%s/store.db' % self.dir,
                 '--host-timeout=%g' % self.host_timeout,
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
        error if all goes well.  Errors say in parentheses what to do.  What is
        printed with --json fits its schema."""
        process = subprocess.run(
            [CTL, *argv], env={**self.env, **(env or {})}, text=True,
            input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=30, **options)
        result = Result(argv, process.returncode, process.stdout,
                        process.stderr)
        # What an impostor of mapd says need not fit, but an error must.
        if ('--json' in argv and process.stdout
                and (process.returncode or 'fake.sock' not in str(argv))):
            self.schemas.check(argv, process.returncode, process.stdout)
        check(result.status == status,
              '%s: exit status %d instead of %d; it says %r and %r',
              ' '.join(argv), result.status, status, result.out, result.err)
        if status == 0:
            if '--json' in argv or not note:
                equal(NO_EFFECT.sub('', result.err), '',
                      'standard error of ' + ' '.join(argv))
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
        self.run('load', '-', '--prune', '--force', stdin=dump_text(RECORDS))

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


class Switch(Host):
    """A host that has applied all there is, and answers each trace with what
    'answer' makes of it, or not at all if that is None."""

    def __init__(self, world, record, answer):
        super().__init__(world, record)
        self.asked = []         # What it was asked.
        self.answer = answer
        self.apply(world.revision())
        self.follower = threading.Thread(target=self.serve)
        self.follower.start()

    def serve(self):
        while message := self.receive():
            if message['method'] == 'update':
                self.apply(message['params'][0]['revision'])
            elif message['method'] == 'trace':
                question = message['params'][0]
                self.asked.append(question)
                answer = self.answer(question)
                if answer is not None:
                    self.send(id=None, method='traced',
                              params=[{'id': question['id'], **answer}])


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


def records_of(dump):
    return [json.loads(line) for line in dump.splitlines()[1:-1]]


def id_of(record):
    return '/'.join(str(record[name]) for name in ('vni', 'group', 'name')
                    if name in record)


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


def logged_trouble(log):
    """Lines of mapd's log that should not be there.  That a client gives up
    and goes while mapd hangs is as it should be."""
    return [line for line in open(log)
            if re.search(r'\|(WARN|ERR|EMER)\|', line)
            and 'send error: Broken pipe' not in line
            and not re.search(SLOW_MACHINE, line)]


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
