#!/usr/bin/python3
"""The host of an endpoint dies, and comes back; or all endpoints go."""

import sys
sys.dont_write_bytecode = True

import contextlib
import os
import time

import harness
from harness import TOP, check

from clients import Holder, connect
from node import run, wait_until
from tenant import REGISTERED_ANEW, Script, group, h4, python, red
from topology import ANYCAST, ANYCAST6, Topology

HOST_TIMEOUT = 1                # Of mapd, in seconds; a second more passes ...
DETECTED = HOST_TIMEOUT + 1     # ... if the connection does not end.
SLACK = 1.5                     # For a busy machine.
SERVERS = ('red-web1', 'red-web2', 'red-web3')
EACH = 16                       # Connections that wait, and that send.

# Opens COUNT connections that then wait, and as many that send all the time.
# At the end: [who answered, "waits" or "sends", when it ended (monotonic
# clock) or null, by what] for each.
CLIENT = r'''
import json, select, socket, sys, threading, time
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
found, stop = [], threading.Event()

def ask(s):
    s.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    answer = b''
    while not answer.endswith(b'\n') or b'\r\n\r\n' not in answer:
        data = s.recv(1000)
        if not data:
            raise EOFError
        answer += data
    return answer.decode().rsplit('\n', 2)[-2].strip()

def work(s, sends, row):
    try:
        while not stop.is_set():
            if sends:
                s.settimeout(20)
                ask(s)
                time.sleep(0.1)
            elif select.select([s], [], [], 0.1)[0]:
                s.recv(1)
    except (OSError, EOFError) as error:
        row[2:] = time.monotonic(), type(error).__name__

for i in range(2 * count):
    s = socket.create_connection((address, port), 5)
    row = [ask(s), 'sends' if i < count else 'waits', None, None]
    found.append(row)
    threading.Thread(target=work, args=(s, i < count, row),
                     daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
stop.set()
time.sleep(0.2)
print(json.dumps(found))
'''

tests = harness.Tests()


def expect_death(network, name):
    for pattern in (REGISTERED_ANEW,
                    r'host %s.* (dead|no sign of life)' % name,
                    r'receive error: Connection reset by peer',
                    r'server_liveness\|WARN\|Dropped \d+ log messages'):
        network.expect_log(pattern)


@contextlib.contextmanager
def dead(network, name):
    """Host 'name' is dead meanwhile: its switch, and with it the way to it and
    its VMs.  The value is when it died."""
    expect_death(network, name)
    host = network.hosts[name]
    host.ovs.switch.kill()
    died = time.monotonic()
    wait_until('mapd notices', lambda: name in network.ctl_json('status')
               ['mapd']['dead'], DETECTED + SLACK)
    network.ctl('wait', network.ctl_json('status')['mapd']['revision'])
    try:
        yield died
    finally:
        host.ovs.start_switch()
        host.ovs.wait_for_switch()
        network.wait_for_hosts()


@tests.add
def clients_of_a_dead_host_are_reset_if_the_group_asks_for_it(network):
    """Those that send, and those that only wait."""
    for address in (ANYCAST, ANYCAST6):
        with group(network, *SERVERS, address=address,
                   options=['--on-host-death', 'reset']):
            script = Script(red(network), CLIENT, address, 80, EACH)
            with dead(network, 'h2') as died:
                answers = connect(red(network), 60, address=address)
                check(set(answers) == {'red-web1', 'red-web3'},
                      'new connections went to %s', dict(answers))
                time.sleep(max(0, died + DETECTED + SLACK + 1
                               - time.monotonic()))
                rows = script.finish()
                check(h4(network).anycast_fact('resets'), 'none counted')
            check_reset(rows, died)
            answers = connect(red(network), 60, address=address)
            check('red-web2' in answers, 'after its return it gets nothing')


def check_reset(rows, died):
    lost = [row for row in rows if row[0] == 'red-web2']
    check({row[1] for row in lost} == {'waits', 'sends'}, 'too few: %s', lost)
    for _, kind, ended, by in lost:
        check(by == 'ConnectionResetError', 'one that %s: %s', kind, by)
        check(ended - died <= DETECTED + 1 + SLACK, 'one that %s was reset '
              'after %.1f s', kind, ended - died)
    others = [row for row in rows if row[0] != 'red-web2' and row[3]]
    check(not others, 'others ended: %s', others)


@tests.add
def without_being_asked_nobody_is_reset(network):
    """It may be that only the way to mapd is broken: here the host comes back,
    and its connections go on."""
    with group(network, *SERVERS):
        script = Script(red(network), CLIENT, ANYCAST, 80, EACH)
        with dead(network, 'h2'):
            answers = connect(red(network), 60)
            check(set(answers) == {'red-web1', 'red-web3'},
                  'new connections went to %s', dict(answers))
            time.sleep(3)
        time.sleep(2)
        rows = script.finish()
    check('red-web2' in {row[0] for row in rows}, 'nobody was there')
    check(not any(row[3] for row in rows), '%s',
          [row for row in rows if row[3]])


@tests.add
def a_host_that_vanishes_without_a_word_is_noticed(network):
    expect_death(network, 'h3')
    network.expect_log(r'reconnect\S*\|(WARN|ERR)\|'
                       r'.*(no response|timed out|dropped)')
    with group(network, *SERVERS):
        held = Holder(red(network), 30)
        run(network.underlay, ['ip', 'link', 'set', 'h3', 'down'])
        try:
            wait_until('mapd notices', lambda: 'h3' in network.ctl_json(
                'status')['mapd']['dead'], DETECTED + SLACK)
            network.ctl('wait', network.ctl_json('status')['mapd']['revision'])
            answers = connect(red(network), 60)
            check('red-web3' not in answers, 'it still gets some')
        finally:
            run(network.underlay, ['ip', 'link', 'set', 'h3', 'up'])
        wait_until('it is back', lambda: not network.ctl_json('status')[
            'mapd']['dead'], 15)
        network.wait_for_hosts()
        wait_until('it gets new flows', lambda: 'red-web3' in connect(
            red(network), 20))
        report = held.finish()
    check(not report['broken'], '%s', report['broken'])


TRY = '''
import errno, socket, sys, time
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
s.settimeout(5)
start = time.monotonic()
try:
    s.connect((sys.argv[1], 80))
    result = 'connected'
except OSError as error:
    result = errno.errorcode.get(error.errno, str(error))
print(result, time.monotonic() - start)
'''


@tests.add
def a_group_that_runs_empty_rejects_and_goes_on_when_it_fills(network):
    for address in (ANYCAST, ANYCAST6):
        with group(network, *SERVERS, address=address,
                   options=['--when-empty', 'reject']) as key:
            held = Holder(red(network), 10, address=address)
            for state in ('down', 'up'):
                for name in ('web1', 'web2', 'web3'):
                    network.ctl('endpoint', 'set', '%s/%s' % (key, name),
                                '--state', state, '--wait')
                result, seconds = python(red(network), TRY, address).split()
                if state == 'down':
                    held.helper.kill()  # Its connections are over.
                    check(result in ('EHOSTUNREACH', 'ECONNREFUSED'),
                          '%s: %s', address, result)
                    check(float(seconds) < 2.5, 'after %s s', seconds)
                else:
                    check(result == 'connected', '%s: %s', address, result)
            answers = connect(red(network), 60, address=address)
            check(set(answers) == set(SERVERS), '%s', dict(answers))


@tests.add
def a_group_whose_hosts_are_all_dead_is_empty_too(network):
    with group(network, 'red-web2', options=['--when-empty', 'reject']):
        with dead(network, 'h2'):
            result = python(red(network), TRY, ANYCAST).split()[0]
            check(result in ('EHOSTUNREACH', 'ECONNREFUSED'), '%s', result)
        connect(red(network), 20)


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'host-death'),
        mapd_options=['--host-timeout=%d' % HOST_TIMEOUT])))
