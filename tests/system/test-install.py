#!/usr/bin/python3
"""What `make install` puts where, and that both daemons do their work under
the restrictions of their units.  No systemd runs here: its own tools judge the
units, and confined.py does to the daemons what systemd would."""

import sys
sys.dont_write_bytecode = True

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess

import confined
import harness
from harness import TOP, check

from node import Daemon, Failed, run, wait_until
from openvswitch import OVS, SCHEMA
from sandbox import RUN_DIR

ROOT = os.path.join(RUN_DIR, 'root')
UNITS = ROOT + '/usr/lib/systemd/system'
MAPD_UNIT = UNITS + '/grapnel-mapd.service'
SWITCH_UNIT = UNITS + '/grapnel-vswitchd.service'
USER = '64321'                  # For "grapnel", who need not exist here.
READY_SECONDS = 60
OVS_RUN = '/run/openvswitch'

tests = harness.Tests()


class Machine:
    def __init__(self):
        self.daemons = []
        self.node = self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass                    # The sandbox's end ends everything.

    def __str__(self):
        return 'machine'

    def popen(self, argv, **popen):
        return subprocess.Popen(argv, **{'stdout': subprocess.PIPE,
                                         'stderr': subprocess.PIPE, **popen})

    def start(self):
        run(self, ['make', '-s', '-C', TOP, 'install', 'DESTDIR=' + ROOT,
                   'PREFIX=/usr'], timeout=300)

    def stop(self):
        return []

    def dead(self):
        return []

    def log_complaints(self):
        return []

    def collect_logs(self):
        target = os.path.join(TOP, 'build', 'test-logs', 'install')
        run(self, ['bash', '-c', 'mkdir -p %s; cp %s/*.err %s'
                   % (target, RUN_DIR, target)], check=False)
        return target


@contextlib.contextmanager
def service(machine, name, unit_path, user, writable, extra=()):
    """The daemon of a unit, as the unit starts it.  The value is (Daemon, its
    service manager's socket), when it has said that it is ready."""
    unit = confined.read_unit(unit_path)
    check(unit['Type'] == ['notify'], '%s', unit['Type'])
    command = [word.replace('%%', '%') for word in unit['ExecStart'][0].split()
               if not word.startswith('$')]
    command[0] = ROOT + command[0]
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = os.path.join(RUN_DIR, name + '.notify')
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    manager.bind(path)
    os.chmod(path, 0o777)
    manager.settimeout(READY_SECONDS)
    env = dict(word.split('=', 1) for word in unit.get('Environment', []))
    env['NOTIFY_SOCKET'] = path
    if 'WatchdogSec' in unit:
        env['WATCHDOG_USEC'] = '500000'
    daemon = Daemon(machine, name, [
        os.path.join(TOP, 'tests', 'system', 'confined.py'), unit_path, user,
        ','.join(writable), '--', *command, *extra], RUN_DIR, env)
    try:
        try:
            said = manager.recv(100)
        except TimeoutError:
            with open(daemon.err_path) as err:
                raise Failed('%s is not ready: %s' % (name, err.read()))
        check(said == b'READY=1', '%s', said)
        yield daemon, manager
    finally:
        daemon.kill()
        manager.close()


@contextlib.contextmanager
def mapd(machine, *extra):
    for directory in ('/run/grapnel', '/var/lib/grapnel'):
        os.makedirs(directory, exist_ok=True)
        os.chown(directory, int(USER), int(USER))
    with service(machine, 'grapnel-mapd', MAPD_UNIT, USER,
                 ['/run/grapnel', '/var/lib/grapnel'], extra) as running:
        yield running


def ctl(machine, *args):
    return run(machine, [ROOT + '/usr/bin/grapnelctl', *args]).stdout


@tests.add
def all_is_where_it_belongs(machine):
    expected = {
        'usr/sbin/grapnel-mapd': 0o755, 'usr/sbin/grapnel-vswitchd': 0o755,
        'usr/bin/grapnelctl': 0o755,
        'usr/lib/systemd/system/grapnel-mapd.service': 0o644,
        'usr/lib/systemd/system/grapnel-vswitchd.service': 0o644,
        'usr/lib/sysusers.d/grapnel.conf': 0o644,
        'usr/lib/tmpfiles.d/grapnel.conf': 0o644,
        'usr/share/bash-completion/completions/grapnelctl': 0o644,
    }
    manuals = os.path.join(TOP, 'docs', 'man')
    if os.path.isdir(manuals):
        expected.update(('usr/share/man/man8/' + name, 0o644)
                        for name in os.listdir(manuals)
                        if name.endswith('.8'))
    found = {}
    for directory, _, names in os.walk(ROOT):
        for name in names:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, ROOT)] = stat.S_IMODE(
                os.stat(path).st_mode)
    check(found == expected, '%s', sorted(found.items()
                                          ^ expected.items()))
    for path in (MAPD_UNIT, SWITCH_UNIT):
        start = confined.read_unit(path)['ExecStart'][0].split()[0]
        check(os.access(ROOT + start, os.X_OK), '%s: %s', path, start)


@tests.add
def units_are_as_closed_as_they_are_to_be(machine):
    for path, tenths in ((MAPD_UNIT, 20), (SWITCH_UNIT, 30)):
        judged = run(machine, ['systemd-analyze', 'security', '--no-pager',
                               '--offline=true', '--threshold=%d' % tenths,
                               path], check=False)
        check(judged.returncode == 0, '%s', judged.stdout[-200:])
        print('       ' + judged.stdout.strip().splitlines()[-1])


@tests.add
def systemd_finds_no_fault(machine):
    """In units, users and files; but for what is not on this machine."""
    judged = run(machine, ['systemd-analyze', 'verify', '--man=no',
                           '--root=' + ROOT, 'grapnel-mapd.service',
                           'grapnel-vswitchd.service'], check=False)
    elsewhere = re.compile(r'Unit .* not found'
                           '|is not executable: No such file')
    faults = [line for line in judged.stderr.splitlines()
              if not elsewhere.search(line)]
    check(not faults, '%s', faults)
    os.makedirs(ROOT + '/etc', exist_ok=True)
    run(machine, ['systemd-sysusers', '--root=' + ROOT])
    with open(ROOT + '/etc/passwd') as passwd:
        check('grapnel:x:' in passwd.read(), 'no user')


@tests.add
def what_root_made_is_for_mapd(machine):
    """By README.md from its beginning, before there is a service."""
    private = {'/var/lib/grapnel/grapnel.db', '/etc/grapnel/mapd:m1-cert.pem',
               '/etc/grapnel/mapd:m1-privkey.pem', '/etc/grapnel/peers-ca.pem',
               '/etc/grapnel/revoked',
               '/etc/grapnel/host:h1-privkey.pem'}
    for path in private:
        os.makedirs(os.path.dirname(ROOT + path), 0o700, exist_ok=True)
        with open(os.open(ROOT + path, os.O_WRONLY | os.O_CREAT, 0o600), 'w'):
            pass
    run(machine, ['systemd-tmpfiles', '--root=' + ROOT, '--create',
                  'grapnel.conf'])
    with open(ROOT + '/etc/passwd') as passwd:
        grapnel = next(int(line.split(':')[2]) for line in passwd
                       if line.startswith('grapnel:'))
    mapds = {'/var/lib/grapnel': (grapnel, 0o750),
             '/var/lib/grapnel/grapnel.db': (grapnel, 0o600),
             '/etc/grapnel': (0, 0o750),
             '/etc/grapnel/mapd:m1-cert.pem': (0, 0o640),
             '/etc/grapnel/mapd:m1-privkey.pem': (0, 0o640),
             '/etc/grapnel/peers-ca.pem': (0, 0o640),
             '/etc/grapnel/revoked': (0, 0o640)}
    for path, expected in mapds.items():
        got = os.stat(ROOT + path)
        check((got.st_uid, stat.S_IMODE(got.st_mode)) == expected
              and got.st_gid == grapnel, '%s: %s', path, got)
    got = os.stat(ROOT + '/etc/grapnel/host:h1-privkey.pem')
    check((got.st_gid, stat.S_IMODE(got.st_mode)) == (0, 0o600), '%s', got)


@tests.add
def the_switch_takes_the_place_of_debians(machine):
    """Whatever needs ovs-vswitchd.service then needs ours.  As README.md has
    it, after the tour by hand."""
    with open(UNITS + '/ovs-vswitchd.service', 'w') as debians:
        debians.write('[Service]\nExecStart=/bin/false\n')
    run(machine, ['systemctl', '--root=' + ROOT, 'mask', 'ovs-vswitchd'])
    run(machine, ['systemctl', '--root=' + ROOT, 'unmask', 'ovs-vswitchd'])
    run(machine, ['systemctl', '--root=' + ROOT, 'enable',
                  'grapnel-vswitchd'])
    link = os.readlink(ROOT + '/etc/systemd/system/ovs-vswitchd.service')
    check(link.endswith('/grapnel-vswitchd.service'), '%s', link)
    run(machine, ['systemctl', '--root=' + ROOT, 'disable',
                  'grapnel-vswitchd'])
    check(not os.path.lexists(ROOT + '/etc/systemd/system/'
                              'ovs-vswitchd.service'), 'still there')


@tests.add
def restrictions_restrict(machine):
    """confined.py itself: else the tests below would show nothing."""
    def confine(*command):
        return run(machine, [
            os.path.join(TOP, 'tests', 'system', 'confined.py'), MAPD_UNIT,
            USER, RUN_DIR, '--', *command], check=False)

    shell = confine('/bin/sh', '-c', 'id -u; grep Cap /proc/self/status; '
                    'touch /tmp/x || echo refused')
    check(USER in shell.stdout and 'refused' in shell.stdout
          and set(re.findall(r'Cap\w+:\s+(\w+)', shell.stdout))
          == {'0' * 16}, '%s', shell)
    for attempt in ('import os; os.chroot("/")',
                    'import socket; socket.socket(socket.AF_NETLINK)'):
        done = confine('/usr/bin/python3', '-c', attempt)
        check(done.returncode == -signal.SIGSYS, '%s: %s', attempt, done)


@tests.add
def mapd_works_under_its_restrictions(machine):
    run(machine, ['mount', '-t', 'tmpfs', 'tmpfs', '/var/lib'])
    with mapd(machine, '--metrics=9464') as (daemon, manager):
        with open('/proc/%d/status' % daemon.pid) as status:
            text = status.read()
        check(re.search(r'^Uid:\s+%s\s+%s' % (USER, USER), text, re.M)
              and re.search(r'^CapEff:\s+0+$', text, re.M)
              and re.search(r'^Seccomp:\s+2$', text, re.M), '%s', text)
        # Without a word on where mapd is.
        ctl(machine, 'host', 'add', 'h1', '--vtep', '192.0.2.1')
        ctl(machine, 'group', 'add', '5001/web', '--address', '10.1.0.100')
        ctl(machine, 'endpoint', 'add', '5001/web/w1', '--host', 'h1', '--mac',
            '02:00:00:00:01:01')
        run(machine, [OVS + '/utilities/ovs-appctl', '-t',
                      '/run/grapnel/grapnel-mapd.ctl', 'mapd/backup',
                      '/var/lib/grapnel/copy.db'])
        told = json.loads(ctl(machine, '--json', 'bugreport'))['daemons']
        check([d['daemon'] for d in told] == ['grapnel-mapd']
              and 'mapd/show' in told[0]['answers'], '%s', told)
        check('grapnel_mapd_endpoints 1\n' in run(machine, [
            'curl', '-sS', 'http://127.0.0.1:9464/metrics']).stdout,
            'figures')
        daemon.signal(signal.SIGHUP) # ExecReload=
        for _ in range(4):      # It is watched over, and goes on.
            check(manager.recv(100) == b'WATCHDOG=1', 'no sign of life')
        check('w1' in ctl(machine, 'endpoint', 'list', '5001/web'), 'lost')
        daemon.signal(signal.SIGTERM)
        while (said := manager.recv(100)) == b'WATCHDOG=1':
            pass
        check(said == b'STOPPING=1', '%s', said)
        check(daemon.wait(READY_SECONDS) == 0, 'not in order')
    with mapd(machine):         # What was stored is there.
        check('w1' in ctl(machine, 'endpoint', 'list', '5001/web'), 'lost')


@tests.add
def a_program_that_does_not_start_is_not_said_to_be_ready(machine):
    os.chown('/var/lib/grapnel', 0, 0)
    os.chmod('/var/lib/grapnel', 0o700)
    unit = confined.read_unit(MAPD_UNIT)
    path = os.path.join(RUN_DIR, 'refused.notify')
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    os.chmod(path, 0o777)
    done = run(machine, [
        os.path.join(TOP, 'tests', 'system', 'confined.py'), MAPD_UNIT, USER,
        '/run/grapnel,/var/lib/grapnel', '--',
        ROOT + unit['ExecStart'][0].split()[0], '--listen=ptcp:6670'],
        check=False, env=dict(os.environ, NOTIFY_SOCKET=path,
                              OVS_RUNDIR='/run/grapnel'))
    check(done.returncode == 1 and 'Permission denied' in done.stderr, '%s',
          done)
    manager.setblocking(False)
    try:
        check(False, 'said %s', manager.recv(100))
    except BlockingIOError:
        pass


@tests.add
def the_switch_works_under_its_restrictions(machine):
    os.makedirs(OVS_RUN)
    os.makedirs('/var/log/openvswitch', exist_ok=True)
    run(machine, ['mount', '-t', 'tmpfs', 'tmpfs', '/var/log/openvswitch'])
    tool = OVS + '/ovsdb/'
    env = dict(os.environ, OVS_RUNDIR=OVS_RUN)
    run(machine, [tool + 'ovsdb-tool', 'create', RUN_DIR + '/conf.db', SCHEMA])
    database = Daemon(machine, 'ovsdb-server', [
        tool + 'ovsdb-server', RUN_DIR + '/conf.db', '-vsyslog:off',
        '--remote=punix:%s/db.sock' % OVS_RUN], RUN_DIR, env)
    wait_until('the database', lambda: os.path.exists(OVS_RUN + '/db.sock'))

    def vsctl(*args):
        return run(machine, [OVS + '/utilities/ovs-vsctl', '--timeout=30',
                             *args], env=env).stdout

    def appctl(*args):
        return run(machine, [OVS + '/utilities/ovs-appctl', *args],
                   env=env).stdout

    vsctl('--no-wait', 'init')
    run(machine, ['ip', 'link', 'add', 'nic0', 'type', 'veth', 'peer', 'vm0'])
    run(machine, ['ip', 'link', 'set', 'nic0', 'up'])
    run(machine, ['ip', 'link', 'set', 'vm0', 'up'])
    with service(machine, 'grapnel-vswitchd', SWITCH_UNIT, 'root',
                 [OVS_RUN, '/var/log/openvswitch']) as (daemon, manager):
        # A tap device, packet sockets, tunnels, and ports of ours.
        vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0',
              'datapath_type=netdev', '--', 'add-port', 'br0', 'nic0',
              '--', 'add-port', 'br0', 'tun0', '--', 'set', 'interface',
              'tun0', 'type=geneve', 'options:remote_ip=192.0.2.2',
              '--', 'add-port', 'br0', 'any0', '--', 'set', 'interface',
              'any0', 'type=anycast', 'options:vni=5001',
              '--', 'add-port', 'br0', 'vtep0', '--', 'set', 'interface',
              'vtep0', 'type=anycast_underlay')
        errors = vsctl('--columns=error', '-f', 'csv', '--no-heading', 'list',
                       'interface').split()
        check(len(errors) == 5 and set(errors) == {'[]'}, '%s', errors)
        run(machine, ['ip', 'addr', 'add', '192.0.2.1/24', 'dev', 'br0'])
        run(machine, ['ip', 'link', 'set', 'br0', 'up'])
        vsctl('set', 'open', '.', 'external_ids:grapnel-host=h1',
              'external_ids:grapnel-vtep=192.0.2.1',
              'external_ids:grapnel-mapd=unix:/run/none',
              'external_ids:grapnel-metrics=9464')
        wait_until('its figures', lambda: 'grapnel_switch_info' in run(
            machine, ['curl', '-sS', 'http://127.0.0.1:9464/metrics'],
            check=False).stdout)
        # Packets come in by a packet socket, and leave by the tap device.
        run(machine, ['python3', '-c', '''
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('vm0', 0))
for _ in range(10):
    s.send(b'\\xff' * 6 + b'\\2\\0\\0\\0\\0\\1' + b'\\x08\\x06' + bytes(46))
'''])
        wait_until('packets', lambda: int(vsctl(
            'get', 'interface', 'nic0', 'statistics:rx_packets')) >= 10, 20)
        with open('/proc/%d/status' % daemon.pid) as status:
            check(re.search(r'^Seccomp:\s+2$', status.read(), re.M),
                  'not confined')
        appctl('vlog/reopen')   # ExecReload=
        appctl('anycast/show')
        appctl('exit')          # ExecStop=
        check(manager.recv(100) == b'STOPPING=1', 'not said')
        check(daemon.wait(READY_SECONDS) == 0, 'not in order')
    database.stop()


if __name__ == '__main__':
    sys.exit(tests.main(Machine))
