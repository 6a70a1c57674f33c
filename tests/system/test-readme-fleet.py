#!/usr/bin/python3
"""README.md, "On more than one machine", word for word: etcd, two mapds
and two hosts at the addresses that it names.

    192.0.2.11  .12  .13         etcd
         '-------+----'
    m1 192.0.2.100  m2 192.0.2.101      grapnel-mapd, one of which is killed
         '-------+-------'
         h1      |      h2              grapnel-vswitchd
             grapnelctl

Each machine has files of its own, and each host a network of its own, which is
linked to the sandbox's, where all others are."""

import sys
sys.dont_write_bytecode = True

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import harness
from etcdcluster import Cluster
from harness import TOP, check
from readme import ENV, FRESH_DIRECTORIES, RUNDIR, blocks, ended, text

from node import run, wait_until
from openvswitch import SCHEMA
from sandbox import RUN_DIR

SECTION = 'On more than one machine'
ETCD_IPS = ['192.0.2.11', '192.0.2.12', '192.0.2.13']
MAPD_IPS = {'m1': '192.0.2.100', 'm2': '192.0.2.101'}
HOST_IPS = {'h1': '192.0.2.1', 'h2': '192.0.2.2'}
PKI = '/var/lib/openvswitch/pki'
KILLS = 3                       # One of which must be as fast as README says:
SLOW_SECONDS = 30               # who else uses this machine slows them.


class Shell:
    """The operator's place, and the CAs'."""

    name = 'operator'

    def __str__(self):
        return self.name

    def popen(self, argv, **popen):
        return subprocess.Popen(argv, cwd=RUN_DIR, env=ENV, **{
            'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **popen})

    def shell(self, command, check=True):
        """Its standard output; raises Failed."""
        return run(self, ['bash', '-ec', command], check).stdout


class Machine(Shell):
    """With its own /run/openvswitch, /etc/grapnel and /var/lib/grapnel; and
    network, if it has an 'ip'."""

    def __init__(self, name, ip=None):
        self.name = name
        self.spaces = ['--mount', '--net'] if ip else ['--mount']
        self.keeper = Shell.popen(self, [
            'unshare', *self.spaces, 'sh', '-ec', '''
            for d in %s /etc/grapnel /var/lib/grapnel; do
                mkdir -p $d
                mount -t tmpfs tmpfs $d
            done
            echo ready
            exec sleep infinity''' % RUNDIR])
        check(self.keeper.stdout.readline() == b'ready\n', 'no %s', name)
        if ip:
            self.link(ip)

    def link(self, ip):
        run(Shell(), ['bash', '-ec', '''
            ip link add to-%s type veth peer name eth0 netns %d
            ip link set to-%s up
            ip route add %s dev to-%s'''
            % (self, self.keeper.pid, self, ip, self)])
        self.shell('''
            ip addr add %s dev eth0
            ip link set eth0 up
            ip route add 192.0.2.0/24 dev eth0''' % ip)

    def popen(self, argv, **popen):
        return super().popen(['nsenter', *self.spaces, '--wd=' + RUN_DIR,
                              '--target', str(self.keeper.pid), *argv],
                             **popen)

    def pid(self, daemon):
        """0 if it does not run."""
        pid = int(self.shell('cat %s/%s.pid' % (RUNDIR, daemon)))
        return 0 if ended(pid) else pid

    def end(self, daemon, number=signal.SIGTERM):
        """Returns a complaint if it has not been running, or None."""
        pid = self.pid(daemon)
        if not pid:
            return '%s: %s does not run' % (self, daemon)
        os.kill(pid, number)
        wait_until('the end of ' + daemon, lambda: ended(pid))
        return None

    def install(self, who, kind):
        """The certificate of 'who', and that of CA 'kind'."""
        self.shell('''
            install -d -m 700 /etc/grapnel
            cp %s-privkey.pem %s-cert.pem /etc/grapnel/
            cp %s/%sca/cacert.pem /etc/grapnel/mapd-ca.pem'''
                   % (who, who, PKI, kind))


class Fleet:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass                    # The sandbox's end ends everything.

    def start(self):
        self.operator = Shell()
        self.operator.shell(FRESH_DIRECTORIES)
        for ip in [*ETCD_IPS, *MAPD_IPS.values()]:
            self.operator.shell('ip addr add %s/32 dev lo' % ip)
        self.etcd = Cluster(ips=ETCD_IPS, parent=RUN_DIR)
        self.etcd.start()
        self.make_certificates()
        self.mapds = {name: Machine(name) for name in MAPD_IPS}
        self.hosts = {name: Machine(name, ip) for name, ip in HOST_IPS.items()}
        for name, mapd in self.mapds.items():
            mapd.install('mapd:' + name, 'switch')
        for host in self.hosts.values():
            self.start_host(host)

    def make_certificates(self):
        told = re.findall(r'`(ovs-pki .*?)`', text(SECTION), re.S)
        check(len(told) == 1 and 'mapd:m2' in told[0], '%s', told)
        self.operator.shell('ovs-pki init\n' + told[0] + '''
            ovs-pki -u req+sign mapd:m1 controller
            for who in host:h1 host:h2 admin:alice; do
                ovs-pki -u req+sign $who switch
            done
            cp %s/controllerca/cacert.pem /etc/grapnel/mapd-ca.pem''' % PKI)

    def start_host(self, host):
        """As "On a real host" has it, but for the mapds."""
        who = 'host:' + host.name
        host.install(who, 'controller')
        host.shell('''
            ovsdb-tool create %s/conf.db %s
            ovsdb-server %s/conf.db --remote=punix:%s/db.sock --pidfile \
                --detach --log-file -vconsole:off -vsyslog:off
            ovs-vsctl --no-wait init
            grapnel-vswitchd --pidfile --detach --log-file -vconsole:off \
                -vsyslog:off
            ovs-vsctl set-ssl /etc/grapnel/%s-privkey.pem \
                /etc/grapnel/%s-cert.pem /etc/grapnel/mapd-ca.pem
            ovs-vsctl set open . external_ids:grapnel-host=%s \
                external_ids:grapnel-vtep=%s
            ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev
            ovs-vsctl add-port br-int anycast0 -- \
                set interface anycast0 type=anycast options:vni=5001'''
                   % (RUNDIR, SCHEMA, RUNDIR, RUNDIR, who, who, host,
                      HOST_IPS[host.name]))

    def start_mapd(self, name, advertise=6670):
        """By the commands for m1.  'advertise': that port."""
        for command in blocks(SECTION)[0]:
            self.mapds[name].shell(
                command.replace('mapd:m1', 'mapd:' + name)
                .replace(MAPD_IPS['m1'], MAPD_IPS[name])
                .replace('--advertise ssl:%s:6670' % MAPD_IPS[name],
                         '--advertise ssl:%s:%d' % (MAPD_IPS[name],
                                                    advertise)))

    def ctl(self, *argv, ips=tuple(MAPD_IPS.values()), check=True):
        return run(self.operator, [
            'grapnelctl', '--mapd', ','.join('ssl:%s:6670' % x for x in ips),
            '--private-key=admin:alice-privkey.pem',
            '--certificate=admin:alice-cert.pem',
            '--ca-cert=/etc/grapnel/mapd-ca.pem', *argv], check).stdout

    def change(self, *argv):
        """On a slow machine it may not be clear whether it was made."""
        wait_until(' '.join(argv), lambda: 'revision' in self.ctl(
            '--json', *argv, '--may-exist', check=False), SLOW_SECONDS)

    def status(self, name):
        told = self.ctl('status', '--json', ips=[MAPD_IPS[name]])
        return json.loads(told)['mapd']

    def leader(self):
        """Its name; all mapds must run."""
        def find():
            leaders = {self.status(name)['leader'] for name in MAPD_IPS}
            told = leaders.pop()
            return not leaders and [name for name, ip in MAPD_IPS.items()
                                    if told == 'ssl:%s:6670' % ip]
        return wait_until('all name one leader', find, SLOW_SECONDS)[0]

    def all_hosts_are_connected(self):
        items = json.loads(self.ctl('--json', 'host', 'list'))
        return (len(items) == len(self.hosts)
                and all(x['status']['connected'] for x in items))

    def wait_for_hosts(self, port, endpoint):
        """Until each one would send there what comes to 'port'."""
        for host in self.hosts.values():
            wait_until('%s has %s' % (host, endpoint), lambda host=host:
                       endpoint + ' (up)' in host.shell(
                           'ovs-appctl anycast/trace 5001 tcp 10.1.0.5:40000 '
                           '10.1.0.100:%d || true' % port), SLOW_SECONDS)

    def stop(self):
        complaints = [m.end('grapnel-mapd') for m in self.mapds.values()]
        for host in self.hosts.values():
            complaints += [host.end('ovs-vswitchd'), host.end('ovsdb-server')]
        self.etcd.stop()
        return [x for x in complaints if x]

    def dead(self):
        return []

    def log_complaints(self):
        return []

    def collect_logs(self):
        target = os.path.join(TOP, 'build', 'test-logs', 'readme-fleet')
        for machine in [*self.mapds.values(), *self.hosts.values()]:
            machine.shell('mkdir -p %s/%s; cp %s/*.log %s/%s || true'
                          % (target, machine, RUNDIR, target, machine))
        return target


tests = harness.Tests()


@tests.add
def every_command_works_and_hosts_come(fleet):
    (mapd, everybody) = blocks(SECTION)
    check(len(mapd) == 3 and len(everybody) == 2, '%s, %s', mapd, everybody)
    for name in MAPD_IPS:
        fleet.start_mapd(name)
    for host in fleet.hosts.values():
        host.shell(everybody[0])
    wait_until('all hosts are connected', fleet.all_hosts_are_connected,
               SLOW_SECONDS)
    listed = fleet.operator.shell(everybody[1])
    check('h1' in listed and 'h2' in listed, '%s', listed)


@tests.add
def one_makes_changes_and_the_others_send_them_on(fleet):
    leader = fleet.leader()
    follower = next(name for name in MAPD_IPS if name != leader)
    fleet.ctl('group', 'add', '5001/sent-on', '--address', '10.1.0.100',
              '--protocol', 'tcp', '--port', '80', '--timeout', SLOW_SECONDS,
              ips=[MAPD_IPS[follower]])
    fleet.ctl('endpoint', 'add', '5001/sent-on/w1', '--host', 'h1', '--mac',
              '02:00:00:00:01:01', '--timeout', SLOW_SECONDS,
              ips=[MAPD_IPS[follower]])
    # h2 has clients only.
    fleet.ctl('host', 'set', 'h2', '--vnis', '5001', '--timeout',
              SLOW_SECONDS, ips=[MAPD_IPS[follower]])
    fleet.wait_for_hosts(80, 'w1')
    audit = [json.loads(line) for line in fleet.mapds[leader].shell(
        'cat /var/lib/grapnel/audit.jsonl').splitlines()]
    lines = [x for x in audit if 'sent-on' in str(x.get('changes'))]
    check(len(lines) == 2, '%s', audit)
    for line in lines:
        asked = line['for']
        check(line['who'] == 'mapd:' + follower
              and asked['who'] == 'admin:alice' and asked['role'] == 'admin'
              and re.fullmatch(r'ssl:192\.0\.2\.\d+:\d+', asked['from']),
              '%s', line)


def kill_the_leader(fleet, number):
    """Returns how long it takes until another one has made a change, in
    seconds."""
    leader = fleet.leader()
    endpoint = '5001/kill%d/e%d' % (number, number)
    fleet.change('group', 'add', '5001/kill%d' % number, '--address',
                 '10.1.0.100', '--protocol', 'tcp', '--port',
                 str(100 + number))
    started = time.monotonic()
    fleet.mapds[leader].end('grapnel-mapd', signal.SIGKILL)
    fleet.change('endpoint', 'add', endpoint, '--host', 'h1', '--mac',
                 '02:00:00:00:02:%02x' % number)
    seconds = time.monotonic() - started
    print('       %.1f s after the end of %s' % (seconds, leader), flush=True)
    fleet.wait_for_hosts(100 + number, endpoint.split('/')[-1])
    fleet.start_mapd(leader)
    wait_until('all hosts are connected', fleet.all_hosts_are_connected,
               SLOW_SECONDS)
    return seconds


@tests.add
def another_one_takes_the_place_of_one_that_is_killed(fleet):
    told = int(re.search(r'takes its place\s+within (\d+) seconds or so',
                         text(SECTION)).group(1))
    times = []
    while len(times) < KILLS and (len(times) < 2 or min(times) > told):
        times.append(kill_the_leader(fleet, len(times) + 1))
    check(min(times) <= told, 'README.md says %d s, not %s', told, times)
    records = fleet.ctl('dump')
    for number in range(1, len(times) + 1):
        check('"e%d"' % number in records, 'e%d is lost: %s', number, records)


class Impostor:
    """A TLS server with the certificate of 'who', that remembers what it is
    sent."""

    def __init__(self, who, place):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*['%s/%s-%s.pem' % (RUN_DIR, who, part)
                                  for part in ('cert', 'privkey')])
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(PKI + '/controllerca/cacert.pem')
        self.listener = context.wrap_socket(socket.create_server(place),
                                            server_side=True)
        self.heard = b''
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                peer = self.listener.accept()[0]
                self.heard += peer.recv(65536)
                peer.close()
            except OSError:
                pass


@tests.add
def a_host_does_not_pass_for_the_one_that_makes_changes(fleet):
    for mapd in fleet.mapds.values():
        mapd.end('grapnel-mapd')
    fleet.start_mapd('m1', advertise=6671)
    leader = 'ssl:%s:6671' % MAPD_IPS['m1']
    wait_until('m1 makes changes', lambda: fleet.status('m1')['leader']
               == leader, SLOW_SECONDS)
    impostor = Impostor('host:h1', (MAPD_IPS['m1'], 6671))
    fleet.start_mapd('m2')
    wait_until('m2 follows', lambda: fleet.status('m2')['leader'] == leader,
               SLOW_SECONDS)
    fleet.ctl('host', 'add', 'secret', '--vtep', '192.0.2.9',
              ips=[MAPD_IPS['m2']], check=False)
    wait_until('m2 says so', lambda: 'not for mapd:' in fleet.mapds['m2'].
               shell('cat %s/grapnel-mapd.log' % RUNDIR), SLOW_SECONDS)
    check(not impostor.heard, 'it was told %s', impostor.heard)


if __name__ == '__main__':
    sys.exit(tests.main(Fleet))
