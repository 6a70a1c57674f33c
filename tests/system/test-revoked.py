#!/usr/bin/python3
"""Certificates that are good no more: revoked by name and by fingerprint, and
expired while a connection is open.  A real mapd, hosts, a switch."""

import sys
sys.dont_write_bytecode = True

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request

import harness
from harness import check

from node import wait_until
from openvswitch import BUILD
from trustworld import PORT, Client, Fleet, Refused, World, is_cut_off

tests = harness.Tests()

WITHIN = 30                     # Seconds, on a busy machine.
METRICS = 9470


def host(number):
    return {'kind': 'host', 'name': 'h%d' % number,
            'vtep': '192.0.2.%d' % number}


class Revoking(World):
    def start_mapd(self, **more):
        if not os.path.exists(self.path('revoked')):
            self.revoke()
        super().start_mapd(options=[
            '--revoked-file=' + self.path('revoked'),
            '--metrics=%d' % METRICS], **more)

    def revoke(self, *lines):
        """These and no others."""
        with open(self.path('revoked.new'), 'w') as file:
            file.writelines(line + '\n' for line in ('# Test', '', *lines))
        os.rename(self.path('revoked.new'), self.path('revoked'))

    def fingerprint(self, certificate):
        """As OpenSSL prints it."""
        return subprocess.run(
            ['openssl', 'x509', '-noout', '-fingerprint', '-sha256', '-in',
             certificate], check=True, stdout=subprocess.PIPE,
            text=True).stdout.strip()


def gets_in(context):
    try:
        with Client(context) as client:
            return client.call('echo') == []
    except (OSError, Refused):
        return False


def figure(name):
    with urllib.request.urlopen('http://127.0.0.1:%d/metrics' % METRICS,
                                timeout=10) as page:
        text = page.read().decode()
    return float(re.search(r'^%s (\S+)$' % name, text, re.M).group(1))


def problems(world):
    with world.client('admin:alice') as admin:
        return admin.call('status')['problems']


@tests.add
def a_name_is_revoked_and_admitted_again(world):
    with world.client('host:h1') as h1, world.client('reader:bob') as bob, \
         world.client('host:h2') as h2:
        for client in (h1, h2):
            client.call('echo')
        n = figure('grapnel_mapd_revoked_connections_total')
        audit = len(world.audit())
        started = time.monotonic()
        world.revoke('host:h1   # sold', 'reader:nobody')
        check(is_cut_off(h1.socket, WITHIN), 'an open connection stays')
        print('       closed after %.1f s' % (time.monotonic() - started))
        check(bob.call('echo') == h2.call('echo') == [], 'others suffer')
    for _ in range(3):
        with world.client('host:h1') as h1:
            for method, params in (('register', [host(1)]), ('echo', []),
                                   ('subscribe', [{}])):
                error = h1.denied(method, *params)
                check(error['message'] == 'the certificate of host:h1 is '
                      'revoked', '%s', error)
    h1 = world.client('host:h1')
    check(is_cut_off(h1.socket, WITHIN), 'it may stay')
    check(figure('grapnel_mapd_revoked_connections_total') == n + 5,
          'counted wrong')
    lines = re.findall(r'.*host:h1 is revoked.*', world.log())
    check(len(lines) == 2 and 'closing' in lines[0], '%s', lines)
    denied = [x for x in world.audit()[audit:] if x['result'] == 'denied']
    check([x['who'] for x in denied] == ['host:h1'], '%s', denied)
    done = world.ctl(*world.good.options('host:h1'), 'status', check=False)
    check(done.returncode == 1 and 'is revoked' in done.stderr, '%s', done)
    world.revoke()
    wait_until('it is admitted again', lambda: gets_in(
        world.good.context('host:h1')), WITHIN)


@tests.add
def a_certificate_is_revoked_and_its_owner_gets_another(world):
    good = world.good
    stolen = good.context('admin:alice')
    old = world.path('stolen.pem')
    shutil.copy(good.certificate('admin:alice'), old)
    with Client(stolen) as thief, world.client('host:h2') as other:
        good.sign('admin:alice', 'switch')
        fresh = good.context('admin:alice')
        world.revoke(world.fingerprint(old))
        check(is_cut_off(thief.socket, WITHIN), 'an open connection stays')
        check(other.call('echo') == [], 'another suffers')
    check(gets_in(fresh) and not gets_in(stolen), 'fresh %s, stolen %s',
          gets_in(fresh), gets_in(stolen))
    # In the other form; the mapd that starts has it from the first.
    digits = world.fingerprint(old).partition('=')[2].replace(':', '')
    world.revoke('sha256:' + digits.lower())
    check(world.mapd.stop() == 0, 'mapd does not end well')
    world.start_mapd()
    check(gets_in(fresh) and not gets_in(stolen), 'fresh %s, stolen %s',
          gets_in(fresh), gets_in(stolen))
    world.revoke()


@tests.add
def no_session_is_resumed(world):
    """As nobody would look at the certificate again."""
    context = world.good.context('reader:bob')
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.maximum_version = version
        with Client(context) as bob:
            bob.call('echo')    # A ticket would have come by now.
            session = bob.socket.session
        plain = socket.create_connection(('127.0.0.1', PORT), 10)
        try:
            with context.wrap_socket(plain, session=session) as again:
                check(not again.session_reused, 'it is')
        except ssl.SSLError:
            pass


@tests.add
def a_damaged_file_changes_nothing_and_is_a_problem(world):
    world.revoke('reader:bob')
    check('1 certificates' in world.appctl('mapd/reload-revoked'), 'not read')
    bob = world.good.context('reader:bob')
    for damage in (lambda: world.revoke('reader:bob', 'bob'),
                   lambda: os.unlink(world.path('revoked'))):
        damage()
        wait_until('it is a problem', lambda: any(
            'revoked' in x and 'stays in force' in x
            for x in problems(world)), WITHIN)
        check(not gets_in(bob), 'reader:bob gets in')
        status = world.ctl(*world.good.options('admin:alice'), 'status').stdout
        check('revoked' in status, '%s', status)
        try:
            world.appctl('mapd/reload-revoked')
            check(False, 'it was read')
        except Exception as failed:
            check('ROLE:NAME' in str(failed) or 'No such file' in str(failed),
                  '%s', failed)
    world.revoke()
    wait_until('the problem goes', lambda: not any(
        'revoked' in x for x in problems(world)), WITHIN)
    check(gets_in(bob), 'reader:bob does not get in')


@tests.add
def mapd_does_not_start_with_a_damaged_file(world):
    check(world.mapd.stop() == 0, 'mapd does not end well')
    world.revoke('host:h1', 'h2')
    done = subprocess.run(
        [BUILD + '/grapnel-mapd', '--store=sqlite:' + world.path('no.db'),
         '--listen=punix:' + world.path('no.sock'), '--unixctl=none',
         '--revoked-file=' + world.path('revoked'), '-vsyslog:off'],
        stderr=subprocess.PIPE, text=True, timeout=WITHIN)
    check(done.returncode and 'line 4' in done.stderr and '"h2"' in
          done.stderr, '%s', done)
    world.revoke()
    world.start_mapd()


@tests.add
def a_switch_that_is_revoked_says_so(world):
    world.ovs.vsctl(
        'set-ssl', *world.good.files('host:h1'), '--', 'set', 'open_vswitch',
        '.', 'external_ids:grapnel-host=h1',
        'external_ids:grapnel-vtep=192.0.2.1',
        'external_ids:grapnel-mapd=ssl:127.0.0.1:%d' % PORT)

    def shows(words):
        return words in world.ovs.appctl('anycast/show')

    wait_until('it registers', lambda: shows('registration                 '
                                             'registered'), WITHIN)
    world.revoke('host:h1')
    wait_until('it says so', lambda: shows(
        'refused: the certificate of host:h1 is revoked'), WITHIN)
    world.revoke()
    wait_until('it registers again', lambda: shows(
        'registration                 registered'), WITHIN)
    world.ovs.vsctl('remove', 'open_vswitch', '.', 'external_ids',
                    'grapnel-mapd')


@tests.add
def a_mapd_does_not_send_changes_to_one_that_is_revoked(world):
    world.revoke()
    with Fleet(world, ['--revoked-file=' + world.path('revoked')]) as fleet, \
         world.client('admin:alice', port=fleet.follower) as other:
        other.ops({'op': 'add', 'record': host(1)})
        world.revoke('mapd:m1')
        log = world.path('fleet%d.log' % (fleet.follower - PORT))

        def is_noticed():
            with open(log) as lines:
                return 'mapd:m1 is revoked' in lines.read()

        wait_until('it is noticed', is_noticed, WITHIN)
        try:
            other.ops({'op': 'set', 'record': {**host(1), 'rack': 'x'}})
            check(False, 'the change is made')
        except Refused as refused:
            check(refused.args[0]['error'] == 'not-leader', '%s', refused)
        record, = other.call('dump')['records']
        check(not record['rack'], 'it is made: %s', record)
    world.revoke()


# Time.


def sign_for(world, name, seconds, kind='switch'):
    """A certificate that is good for so long yet."""
    end = time.strftime('%Y%m%d%H%M%SZ', time.gmtime(time.time() + seconds))
    world.good.sign(name, kind, '-startdate', '20200101000000Z', '-enddate',
                    end)


@tests.add
def a_certificate_expires_while_its_connection_is_open(world):
    """That goes on, and is told of; others do not begin."""
    sign_for(world, 'host:h2', 6)
    expires = time.time() + 6
    context = world.good.context('host:h2')
    with Client(context, seconds=WITHIN) as h2, world.client('host:h1') as h1:
        h1.call('register', host(1))
        h2.call('register', host(2))
        told = [x for x in problems(world) if 'certificate of host' in x]
        check(len(told) == 1 and 'host h2 expires in 0 hours' in told[0],
              '%s', told)
        time.sleep(max(expires + 1.5 - time.time(), 0))
        check(h2.call('echo') == [], 'the open one is closed')
        told = [x for x in problems(world) if 'certificate of host' in x]
        check(len(told) == 1 and 'host h2 has expired' in told[0], '%s', told)
        check(not gets_in(context), 'a new one begins')
        check(h2.call('echo') == [], 'the open one is closed')
    world.good.sign('host:h2', 'switch')


@tests.add
def mapds_own_certificate_is_warned_of(world):
    left = figure('grapnel_mapd_certificate_expiry_seconds')
    check(left > 14 * 86400, '%s seconds left', left)
    check(not any('mapd:m1' in x for x in problems(world)), 'warned of')
    sign_for(world, 'mapd:m1', 13 * 86400, 'controller')
    wait_until('status warns', lambda: any(
        'mapd:m1' in x and 'expires in 31' in x for x in problems(world)),
        WITHIN)
    left = figure('grapnel_mapd_certificate_expiry_seconds')
    check(13 * 86400 - 60 < left <= 13 * 86400, '%s seconds left', left)
    world.good.sign('mapd:m1', 'controller')
    wait_until('it is renewed', lambda: not any(
        'mapd:m1' in x for x in problems(world)), WITHIN)


if __name__ == '__main__':
    sys.exit(tests.main(Revoking))
