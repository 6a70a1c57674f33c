#!/usr/bin/python3
"""The tour "On a real host" of README.md, command for command, on a machine of
its own: that is, in the sandbox's namespaces."""

import sys
sys.dont_write_bytecode = True

import os
import shlex
import signal
import subprocess

import harness
from harness import TOP, check
from readme import BIN, ENV, FRESH_DIRECTORIES, RUNDIR, blocks, ended

from node import Failed, run, wait_until
from openvswitch import SCHEMA
from sandbox import RUN_DIR

SECTION = 'On a real host'
FLEET = 'On more than one machine'
SERVICES = 'As services'
# What units say in their own way.
DAEMON_OPTIONS = ('--listen=punix:', '--pidfile', '--detach', '--log-file')
FOREVER = ('grapnelctl watch',)  # Commands that end when they are told to.


class Machine:
    """With Open vSwitch's database and its tools, and systemctl."""

    def __init__(self):
        self.outputs = {}       # Of each command.

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass                    # The sandbox's end ends everything.

    def __str__(self):
        return 'machine'

    def popen(self, argv, **popen):
        return subprocess.Popen(argv, cwd=RUN_DIR, env=ENV, **{
            'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **popen})

    def shell(self, command, seconds=30):
        """Its standard output; raises Failed."""
        if command.split('#')[0].strip() in FOREVER:
            command = 'timeout 1 %s\n[ $? = 124 ]' % command
            return run(self, ['bash', '-c', command]).stdout
        if command.startswith('grapnelctl check '):
            command = command.split('#')[0] + '|| [ $? = 1 ]'   # No h2 here.
        # Daemons that detach keep no pipe open.
        return run(self, ['bash', '-ec', command], timeout=seconds).stdout

    def start(self):
        os.makedirs(RUNDIR)
        os.makedirs(BIN)
        systemctl = BIN + '/systemctl'
        with open(systemctl, 'w') as script:
            script.write('#!/bin/sh\nexit 0\n')
        os.chmod(systemctl, 0o755)
        self.shell(FRESH_DIRECTORIES + '''
            ovsdb-tool create conf.db %s
            ovsdb-server conf.db --remote=punix:%s/db.sock --pidfile --detach \
                --log-file -vconsole:off -vsyslog:off
            ovs-vsctl --no-wait init
            ip link add nic0 type veth peer fabric
            ip link set nic0 mtu 1600 up
            ip link set fabric mtu 1600 up
            ip addr add 192.0.2.100/32 dev lo''' % (SCHEMA, RUNDIR))

    def prepare_bridges(self):
        """What the reader has."""
        self.shell('''
            ovs-vsctl add-br br-phy -- set bridge br-phy datapath_type=netdev \
                -- set interface br-phy mtu_request=1600 \
                -- add-port br-phy nic0 \
                -- add-br br-int -- set bridge br-int datapath_type=netdev
            ip addr add 192.0.2.1/24 dev br-phy
            ip link set br-phy up''')

    def prepare_other_host(self):
        """h2, which is elsewhere."""
        self.shell('grapnelctl host add h2 --vtep 192.0.2.2')

    def end(self, name):
        """Returns a complaint if it has not been running, or None."""
        path = '%s/%s.pid' % (RUNDIR, name)
        if not os.path.exists(path):
            return name + ' does not run'
        with open(path) as pidfile:
            pid = int(pidfile.read())
        os.kill(pid, signal.SIGTERM)
        wait_until('the end of ' + name, lambda: ended(pid))
        return None

    def stop(self):
        complaints = [self.end(name) for name in (
            'ovs-vswitchd', 'grapnel-mapd', 'ovsdb-server')]
        return [x for x in complaints if x]

    def dead(self):
        return []

    def log_complaints(self):
        return []

    def collect_logs(self):
        target = os.path.join(TOP, 'build', 'test-logs', 'readme')
        self.shell('mkdir -p %s; cp %s/*.log %s || true'
                   % (target, RUNDIR, target))
        return target


tests = harness.Tests()


@tests.add
def every_command_of_the_tour_works(machine):
    commands = blocks(SECTION)
    check(sum(map(len, commands)) > 15, 'README.md has no tour: %s', commands)
    for block in commands:
        for command in block:
            if command.startswith('ovs-vsctl set open . external_ids:'
                                  'grapnel-host'):
                machine.prepare_bridges()
            elif command.startswith('grapnelctl host list'):
                wait_until('h1 is registered', lambda: '"h1"' in machine.shell(
                    'grapnelctl --json host list'))
                machine.prepare_other_host()
            try:
                machine.outputs[command] = machine.shell(command)
            except Failed as failure:
                raise Failed('README.md: %s\n%s' % (command, failure))


@tests.add
def it_has_the_effect_that_it_tells_of(machine):
    found = {command.split('  ')[0]: text
             for command, text in machine.outputs.items()}
    check('h1' in found['grapnelctl host list'], '%s', found)
    shares = found['grapnelctl endpoint list 5001/web']
    check('w1' in shares and 'w2' in shares, '%s', shares)
    trace = machine.shell('ovs-appctl anycast/trace 5001 tcp '
                          '10.1.0.5:40000 10.1.0.100:80')
    # w1 drains.
    check('w2 (up) on h2' in trace, '%s', trace)
    remote = [text for command, text in machine.outputs.items()
              if command.startswith('grapnelctl --mapd ssl:')]
    check(len(remote) == 1 and 'hosts' in remote[0], '%s', remote)
    check('admin:alice' not in machine.shell('ovs-appctl -t grapnel-mapd '
                                             'mapd/show'), 'alice is there')
    check('host:h1' in machine.shell('ovs-appctl -t grapnel-mapd mapd/show'),
          'h1 has shown no certificate')
    audit = machine.shell('cat /var/lib/grapnel/audit.jsonl')
    check('"who":"host:h1"' in audit and '"who":"uid:0"' in audit, '%s',
          audit)
    check('eu' in machine.shell('grapnelctl --json host show h1'),
          'h1 has no labels')
    check(not machine.shell('ovs-vsctl --columns=error find interface '
                            'error!=[]').strip(), 'an interface has an error')


def mapd_options(words):
    """Those of 'words', each as --NAME=VALUE, that are no unit's own."""
    options = []
    for word in words:
        if word.startswith('--'):
            options.append(word)
        elif options:
            options[-1] += '=' + word
    return {x for x in options if not x.startswith(DAEMON_OPTIONS)}


def mapd_command(section):
    command, = [c for block in blocks(section) for c in block
                if c.startswith('grapnel-mapd ')]
    return mapd_options(shlex.split(command))


@tests.add
def mapd_as_a_service_has_the_same_options(machine):
    defaults, = ['\n'.join(block) for block in blocks(SERVICES)
                 if 'GRAPNEL_MAPD_OPTIONS' in block[1]]
    machine.shell(defaults)
    words = machine.shell('. /etc/default/grapnel-mapd\n'
                          'printf "%s\\n" $GRAPNEL_MAPD_OPTIONS').split()
    told = mapd_command(SECTION)
    check(len(told) > 5, '%s', told)
    for section, options in ((SERVICES, mapd_options(words)),
                             (FLEET, mapd_command(FLEET))):
        check(told <= options, '"%s" lacks %s', section, told - options)
    check(not machine.end('grapnel-mapd'), 'mapd does not run')
    machine.shell('grapnel-mapd --listen=punix:%s/grapnel-mapd.sock '
                  '--pidfile --detach --log-file %s'
                  % (RUNDIR, shlex.join(words)))
    wait_until('h1 has come', lambda: '"connected":true' in machine.shell(
        'grapnelctl --json host list'))
    # Who is revoked above stays so, and others can be.
    machine.shell('echo admin:alice >> /etc/grapnel/revoked\n'
                  'ovs-appctl -t grapnel-mapd mapd/reload-revoked')
    status, = [c for block in blocks(SECTION) for c in block
               if c.startswith('grapnelctl --mapd ssl:')]
    refused = machine.shell(status + ' 2>&1 && exit 1; true')
    check('revoked' in refused, '%s', refused)


if __name__ == '__main__':
    sys.exit(tests.main(Machine))
