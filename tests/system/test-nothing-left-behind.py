#!/usr/bin/python3
"""However the demo ends, nothing of it is left: no process, namespace,
interface, mount or file.  And two of them run at the same time."""

import sys
sys.dont_write_bytecode = True

import os
import re
import signal
import subprocess
import tempfile
import time

from harness import TOP, check
from node import wait_until
from sandbox import STOP_SECONDS

DEMO = os.path.join(TOP, 'sim', 'demo')
MARK = 'GRAPNEL_TEST=%d' % os.getpid()
PLACES = ('/run', '/var/run', '/tmp', '/var/tmp', '/var/log', '/dev/shm',
          '/run/netns', os.path.join(TOP, 'sim'), tempfile.gettempdir())
GONE_SECONDS = 20


class Demo:
    """A running demo, which saves what it saves in 'directory'."""

    def __init__(self, directory, *options):
        self.out = os.path.join(directory, 'out')
        with open(self.out, 'w') as out:
            self.process = subprocess.Popen(
                [DEMO, '--pcap', os.path.join(directory, 'pcap'),
                 '--logs', os.path.join(directory, 'logs'), *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def text(self):
        with open(self.out) as out:
            return out.read()

    def wait_for(self, text):
        wait_until('the demo says "%s"' % text,
                   lambda: text in self.text()
                   or self.process.poll() is not None, 60)
        check(text in self.text(), 'the demo ended:\n%s', self.text())


class World:
    """What there is outside of the demos."""

    def __init__(self):
        self.interfaces = set(os.listdir('/sys/class/net'))
        self.files = {os.path.join(place, name) for place in PLACES
                      if os.path.isdir(place) for name in os.listdir(place)}
        with open('/proc/self/mounts') as mounts:
            self.mounts = set(mounts)
        self.sysctls = {name: self._read('/proc/sys/' + name) for name in
                        ('fs/file-max', 'kernel/pty/max',
                         'net/core/rmem_max', 'net/ipv4/tcp_rmem')}

    @staticmethod
    def _read(path):
        try:
            with open(path) as file:
                return file.read()
        except OSError:
            return None

    @staticmethod
    def _our_processes():
        """The processes that this test has started, directly or not: known by
        a mark in their environment."""
        found = set()
        for pid in filter(str.isdigit, os.listdir('/proc')):
            if MARK.encode() in World._read_bytes('/proc/%s/environ' % pid):
                found.add(int(pid))
        return found - {os.getpid()}

    @staticmethod
    def _read_bytes(path):
        try:
            with open(path, 'rb') as file:
                return file.read()
        except OSError:
            return b''

    def check_same(self, directory):
        """Raises Failed if there is more now."""
        wait_until('all processes ended',
                   lambda: not self._our_processes(), GONE_SECONDS)
        now = World()
        mine = {path for path in now.files if path.startswith(directory)}
        for what in ('interfaces', 'mounts'):
            more = getattr(now, what) - getattr(self, what)
            check(not more, 'left behind: %s: %s', what, more)
        more = {path for path in now.files - self.files - mine
                if self._is_ours(path)}
        # What others make does not stay for long, either.
        wait_until('left behind: %s' % more,
                   lambda: not any(map(os.path.lexists, more)), GONE_SECONDS)
        check(now.sysctls == self.sysctls, 'sysctls changed: %s, before %s',
              now.sysctls, self.sysctls)

    @staticmethod
    def _is_ours(path):
        """Others work on this machine too; a demo's files would have a name
        like these."""
        return re.search(r'grapnel|mininet|vconn|ovs|openvswitch|wireshark|'
                         r'pycache|netns', path, re.I)


def ends_by_signal(number, moment):
    def test():
        with tempfile.TemporaryDirectory() as directory:
            before = World()
            demo = Demo(directory)
            demo.wait_for(moment)
            demo.process.send_signal(number)
            status = demo.process.wait(2 * STOP_SECONDS)
            expected = (-number if number == signal.SIGKILL
                        else 128 + number)
            check(status == expected, 'exit status %d', status)
            before.check_same(directory)
    test.name = 'a demo that gets %s after "%s" leaves nothing behind' % (
        number.name, moment)
    return test


def two_at_once():
    with tempfile.TemporaryDirectory() as one, \
            tempfile.TemporaryDirectory() as other:
        before = World()
        demos = [Demo(one), Demo(other)]
        for demo in demos:
            status = demo.process.wait(240)
            check(status == 0, 'exit status %d:\n%s', status, demo.text())
            check('All of it held' in demo.text(), '%s', demo.text())
        before.check_same(one)


two_at_once.name = 'two demos run at once and leave nothing behind'

TESTS = [ends_by_signal(signal.SIGINT, 'Four hosts are up'),
         ends_by_signal(signal.SIGINT, 'own tenant'),
         ends_by_signal(signal.SIGTERM, 'Three web servers'),
         ends_by_signal(signal.SIGHUP, 'Four hosts are up'),
         ends_by_signal(signal.SIGKILL, 'own tenant'),
         two_at_once]


def main():
    os.environ.update([MARK.split('=')])
    failed = 0
    for test in TESTS:
        start = time.monotonic()
        failure = None
        try:
            test()
        except Exception as exception:
            failure = str(exception)
            failed += 1
        print('%s %s (%.1f s)' % ('not ok' if failure else 'ok    ',
                                  test.name, time.monotonic() - start),
              flush=True)
        if failure:
            print('       ' + failure.replace('\n', '\n       '), flush=True)
    print('%d passed, %d failed' % (len(TESTS) - failed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
