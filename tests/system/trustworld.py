"""A mapd that listens on TLS, a switch, and certificates made for the test, in
the sandbox.

    with World() as world:
        world.start()
        admin = world.client('admin:alice')

The clients here are Python's, so that what mapd takes and sends is judged by
another program."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import time

from etcdcluster import Cluster
import harness
from node import Daemon, Failed, run, wait_until
from openvswitch import BUILD, TOP, OpenVSwitch
from sandbox import RUN_DIR
from switchworld import Here

PORT = 6670
FLEET_SECONDS = 30              # To begin, on a busy machine.
TLS_SECONDS = 5                 # For a handshake, as docs/protocol.md says.


class Refused(Exception):
    """mapd's error object."""


class Client:
    """'context' None: plain TCP.  'source': the address to come from."""

    def __init__(self, context, port=PORT, source='127.0.0.1', seconds=10):
        plain = socket.create_connection(('127.0.0.1', port), seconds,
                                         (source, 0))
        self.socket = context.wrap_socket(plain) if context else plain
        self.text = ''
        self.notes = []

    def send(self, **message):
        self.socket.sendall(json.dumps(message).encode())

    def receive(self):
        """The next message; None at the end."""
        while True:
            try:
                message, end = json.JSONDecoder().raw_decode(self.text)
            except ValueError:
                data = self.socket.recv(65536)
                if not data:
                    return None
                self.text += data.decode()
                continue
            self.text = self.text[end:].lstrip()
            if message.get('method') != 'echo':
                return message
            self.send(id=message['id'], error=None, result=message['params'])

    def call(self, method, *params):
        self.send(id=7, method=method, params=list(params))
        while True:
            message = self.receive()
            if message is None:
                raise ConnectionError('the connection has ended')
            if message.get('id') == 7:
                if message['error'] is not None:
                    raise Refused(message['error'])
                return message['result']
            self.notes.append(message)

    def ops(self, *ops):
        return self.call('transact', {'ops': list(ops)})

    def denied(self, method, *params):
        """Returns the error."""
        try:
            result = self.call(method, *params)
        except Refused as refused:
            error = refused.args[0]
            if error['error'] != 'denied' or not error.get('hint'):
                raise Failed('%s is refused otherwise: %s' % (method, error))
            return error
        raise Failed('%s is not refused: %s' % (method, result))

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Certificates:
    """In 'directory', by tests/test-ca."""

    def __init__(self, directory, *names):
        self.directory = directory
        subprocess.run([TOP + '/tests/test-ca', directory, *names],
                       check=True, timeout=120)

    def path(self, name):
        return os.path.join(self.directory, name)

    def key(self, name):
        return self.path(name + '-privkey.pem')

    def certificate(self, name):
        return self.path(name + '-cert.pem')

    def ca(self, kind):
        """'switch': of mapd's peers; 'controller': of mapd."""
        return self.path('pki/%sca/cacert.pem' % kind)

    def files(self, name, kind='controller'):
        return [self.key(name), self.certificate(name), self.ca(kind)]

    def options(self, name, kind='controller'):
        return ['--%s=%s' % pair for pair in zip(
            ('private-key', 'certificate', 'ca-cert'), self.files(name, kind))]

    def sign(self, name, kind, *options, out=None):
        """Signs the request of 'name' again."""
        out = out or self.certificate(name)
        subprocess.run(
            ['openssl', 'ca', '-config', 'ca.cnf', '-extensions', 'usr_cert',
             '-batch', '-notext', '-in', self.path(name + '-req.pem'), '-out',
             out + '.new', *options], check=True, timeout=60,
            cwd=self.path('pki/%sca' % kind), stderr=subprocess.DEVNULL)
        os.rename(out + '.new', out)

    def expire(self, name):
        self.sign(name, 'switch', '-startdate', '20200101000000Z',
                  '-enddate', '20200102000000Z')

    def context(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.ca('controller'))
        if name:
            context.load_cert_chain(self.certificate(name), self.key(name))
        return context


NAMES = ['mapd:m1', 'admin:alice', 'reader:bob', 'host:h1', 'host:h2',
         'stranger', 'host:late']


class World:
    def __init__(self, expected_log=()):
        self.expected_log = list(expected_log)
        self.directory = os.path.join(RUN_DIR, 'trust')
        self.mapd = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass                    # The sandbox's end ends everything.

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self):
        os.makedirs(self.directory)
        self.good = Certificates(self.path('ca'), *NAMES)
        self.bad = Certificates(self.path('other-ca'), 'admin:alice')
        self.good.expire('host:late')
        self.start_mapd()
        for command in ('host add h2 --vtep 192.0.2.2',
                        'group add 1/web --address 10.1.0.100',
                        'endpoint add 1/web/e2 --host h2 '
                        '--mac 02:00:00:00:00:02'):
            self.ctl(*command.split(),
                     remote='unix:' + self.path('mapd.sock'))
        self.ovs = OpenVSwitch(Here(), os.path.join(RUN_DIR, 'ovs'))
        self.ovs.start_database()
        self.ovs.start_switch()
        self.ovs.wait_for_switch()

    def start_mapd(self, who='mapd:m1', kind='switch', options=()):
        self.mapd = Daemon(
            Here(), 'grapnel-mapd',
            [BUILD + '/grapnel-mapd',
             '--store=sqlite:' + self.path('grapnel.db'), '--host-timeout=0',
             '--listen=punix:' + self.path('mapd.sock'),
             '--listen=pssl:%d' % PORT, *self.good.options(who, kind),
             '--audit-log=' + self.path('audit.jsonl'), *options,
             '--unixctl=' + self.path('mapd.ctl'), '-vconsole:off',
             '-vsyslog:off', '--log-file=' + self.path('mapd.log')],
            self.directory, {'OVS_RUNDIR': self.directory})
        wait_until('mapd listens', self.listens)

    def listens(self):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.path('mapd.sock')) == 0

    def client(self, name, **options):
        return Client(self.good.context(name), **options)

    def ctl(self, *argv, remote='ssl:127.0.0.1:%d' % PORT, check=True,
            env=None):
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith('GRAPNEL_')}
        environment['OVS_RUNDIR'] = self.directory
        return run(Here(), [BUILD + '/grapnelctl', '--mapd', remote, *argv],
                   check=check, env={**environment, **(env or {})})

    def appctl(self, *argv):
        path = '%s:%s/.deps/openvswitch/utilities' % (os.environ['PATH'], TOP)
        return run(Here(), ['ovs-appctl', '-t', self.path('mapd.ctl'), *argv],
                   env={**os.environ, 'PATH': path}).stdout

    def log(self):
        with open(self.path('mapd.log')) as log:
            return log.read()

    def audit(self):
        with open(self.path('audit.jsonl')) as lines:
            return [json.loads(line) for line in lines]

    def stop(self):
        status = self.mapd.stop()
        return self.ovs.stop() + (['mapd ends with status %s' % status]
                                  if status else [])

    def dead(self):
        return [daemon.name for daemon in (self.mapd, self.ovs.switch)
                if daemon and not daemon.alive()]

    def log_complaints(self):
        return []

    def collect_logs(self):
        directory = harness.log_directory()
        for path in (self.path('mapd.log'), self.path('audit.jsonl'),
                     self.ovs.path('grapnel-vswitchd.log')):
            if os.path.exists(path):
                shutil.copy(path, directory)
        return directory


class Fleet:
    """Two mapds on an etcd, at the next ports: 'leader' and 'follower'."""

    def __init__(self, world, options=()):
        self.world = world
        self.cluster = Cluster()
        self.cluster.start()
        both = world.path('both-cas.pem')
        with open(both, 'w') as file:
            for kind in ('switch', 'controller'):
                file.write(open(world.good.ca(kind)).read())
        key, certificate, _ = world.good.files('mapd:m1')
        self.daemons = [Daemon(
            Here(), 'fleet-%d' % n,
            [BUILD + '/grapnel-mapd', '--store=etcd:' + self.cluster.urls,
             '--listen=pssl:%d:127.0.0.1' % port, '--private-key=' + key,
             '--certificate=' + certificate, '--ca-cert=' + both, *options,
             '--unixctl=' + world.path('fleet%d.ctl' % n), '-vconsole:off',
             '-vsyslog:off', '--log-file=' + world.path('fleet%d.log' % n)],
            world.directory, {'OVS_RUNDIR': world.directory})
            for n, port in enumerate((PORT + 1, PORT + 2), 1)]
        for port in (PORT + 1, PORT + 2):
            wait_until('it listens', lambda port=port: not socket.socket().
                       connect_ex(('127.0.0.1', port)), FLEET_SECONDS)
        self.leader, self.follower = wait_until(
            'one of them leads', self.find, FLEET_SECONDS)

    def find(self):
        with self.world.client('admin:alice', port=PORT + 1) as admin:
            status = admin.call('status')
        return (None if not status['leader'] else (PORT + 1, PORT + 2)
                if status['leader'] == status['mapd']
                else (PORT + 2, PORT + 1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for daemon in self.daemons:
            daemon.stop()
        self.cluster.stop()
        self.cluster.__exit__()


def is_cut_off(peer, seconds):
    """Whether the other side closes within 'seconds'."""
    deadline = time.monotonic() + seconds
    try:
        while True:
            peer.settimeout(max(deadline - time.monotonic(), 0.01))
            if not peer.recv(65536):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
