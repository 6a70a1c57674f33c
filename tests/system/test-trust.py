#!/usr/bin/python3
"""Who is let in, what they may do there, and what is written about it: mapd,
grapnelctl and the switch with real certificates."""

import sys
sys.dont_write_bytecode = True

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
import warnings

import harness
from harness import check

from node import Daemon, run, wait_until
from openvswitch import BUILD
from switchworld import Here
from trustworld import (PORT, TLS_SECONDS, Client, Refused, World, is_cut_off)

tests = harness.Tests()

HOST = {'kind': 'host', 'name': 'h9', 'vtep': '192.0.2.9'}


def record_host(number):
    return {**HOST, 'name': 'h%d' % number, 'vtep': '192.0.2.%d' % number}


def endpoint(number, **more):
    return {'kind': 'endpoint', 'vni': 1, 'group': 'web',
            'name': 'e%d' % number, 'host': 'h%d' % number,
            'mac': '02:00:00:00:00:%02x' % number, **more}


def op(name, record):
    return {'op': name, 'record': record}


# Rights.


@tests.add
def admins_do_everything_and_readers_look(world):
    with world.client('admin:alice') as admin:
        admin.ops(op('add', HOST))
        with world.client('reader:bob') as reader:
            records = reader.call('dump')['records']
            check(HOST['vtep'] in str(records), '%s', records)
            check(reader.call('list', {'kind': 'host'})['items'], 'no hosts')
            reader.call('status')
            reader.call('watch', {})
            for method, params in (
                    ('transact', {'ops': [op('remove', HOST)]}),
                    ('load', {'records': []}), ('register', HOST),
                    ('subscribe', {})):
                error = reader.denied(method, params)
                check('reader:bob' in error['message'], '%s', error)
            check(reader.call('dump')['records'] == records,
                  'a reader has changed something')
            admin.ops(op('remove', HOST))
            note = reader.receive()
            check(note['method'] == 'change', 'no watching: %s', note)


@tests.add
def a_host_is_itself_and_no_other(world):
    with world.client('host:h1') as host:
        host.call('register', record_host(1))
        snapshot = host.call('subscribe', {'vnis': [1]})
        check(len(snapshot['hash_key']) == 32, '%s', snapshot)
        error = host.denied('register', record_host(2))
        check('host:h1' in error['message'] and 'h2' in error['message'],
              '%s', error)
        with world.client('admin:alice') as admin:
            admin.ops(op('add', endpoint(1)))
        host.ops(op('set', {'kind': 'endpoint', 'vni': 1, 'group': 'web',
                            'name': 'e1', 'state': 'down'}))
        before = [x for x in world.audit() if x['result'] == 'done']
        for bad in (op('set', {'kind': 'endpoint', 'vni': 1, 'group': 'web',
                               'name': 'e2', 'state': 'down'}),
                    op('set', {'kind': 'endpoint', 'vni': 1, 'group': 'web',
                               'name': 'e1', 'weight': 9}),
                    op('remove', endpoint(1)), op('add', record_host(7)),
                    op('set', {'kind': 'host', 'name': 'h2', 'rack': 'x'})):
            host.denied('transact', {'ops': [bad]})
            # Nor together with what it may.
            host.denied('transact', {'ops': [
                op('set', {'kind': 'host', 'name': 'h1', 'rack': 'r1'}), bad]})
        for method in ('dump', 'status', 'watch'):
            host.denied(method)
        host.denied('list', {'kind': 'host'})
        host.denied('load', {'records': []})
        after = [x for x in world.audit() if x['result'] == 'done']
        check(before == after, 'something was changed: %s', after)


@tests.add
def a_host_claims_ports_for_itself_and_binds_what_an_admin_made(world):
    def claim(name, *here):
        return {'host': name, 'all': False, 'gone': [],
                'here': [[port, '02:00:00:00:07:01', 0] for port in here]}

    found = {'kind': 'endpoint', 'vni': 1, 'group': 'web', 'name': 'found',
             'iface': 'vm-7'}
    own = {'kind': 'host', 'name': 'h1'}
    with world.client('host:h1') as host, world.client('admin:alice') as admin:
        host.call('register', record_host(1))
        admin.ops(op('add', found), op('set', {**own, 'vnis': '1'}))
        n = len(world.audit())
        host.denied('claim', claim('h2', 'vm-7'))
        host.denied('transact', {'ops': [op('set', {**found, 'host': 'h1'})]})
        host.call('claim', claim('h1', 'vm-7', 'vm-8'))
        line = world.audit()[-1]
        check((line['role'], line['method'], line['result'],
               line['n_changes'], line['changes'][0]['record']['host'])
              == ('mapd', 'claim', 'done', 1, 'h1') and 'who' not in line,
              '%s', line)
        check([x['result'] for x in world.audit()[n:]].count('done') == 1,
              '%s', world.audit()[n:])
        with world.client('reader:bob') as reader:
            reader.denied('claim', claim('h1'))
        admin.ops(op('remove', found), op('set', {**own, 'vnis': ''}))


@tests.add
def an_unknown_name_is_told_so_and_logged_once(world):
    before = len(world.audit())
    for _ in range(5):
        with world.client('stranger') as stranger:
            for method in ('echo', 'status', 'register'):
                error = stranger.denied(method, *(
                    [HOST] if method == 'register' else []))
                check('"stranger"' in error['message'], '%s', error)
    stranger = world.client('stranger')
    check(is_cut_off(stranger.socket, TLS_SECONDS + 10),
          'a stranger may stay')
    lines = re.findall(r'.*"stranger".*', world.log())
    check(len(lines) == 1, 'log lines: %s', lines)
    audit = [x for x in world.audit()[before:] if x['who'] == 'stranger']
    check(len(audit) == 1 and audit[0]['result'] == 'denied'
          and audit[0]['role'] == 'none', '%s', audit)


@tests.add
def each_change_is_audited_and_the_file_can_be_moved(world):
    with world.client('admin:alice') as admin:
        revision = admin.ops(op('add', record_host(20)))['revision']
        line = world.audit()[-1]
        check((line['who'], line['role'], line['method'], line['result'],
               line['revision']) == ('admin:alice', 'admin', 'transact',
                                     'done', revision), '%s', line)
        address = 'ssl:%s:%d' % admin.socket.getsockname()
        check(line['from'] == address, '%s is not %s', line, address)
        check(line['n_changes'] == 1
              and line['changes'][0]['op'] == 'add'
              and line['changes'][0]['record']['name'] == 'h20', '%s', line)
        check(re.fullmatch(r'20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z',
                           line['time']), '%s', line)
        n = len(world.audit())
        admin.ops(op('set', record_host(20)))
        admin.call('transact', {'ops': [op('remove', record_host(20))],
                                'dry_run': True})
        check(len(world.audit()) == n, 'what changed nothing is a change')

        old = world.path('audit.old')
        os.rename(world.path('audit.jsonl'), old)
        admin.ops(op('remove', record_host(20)))
        check([x['changes'][0]['op'] for x in world.audit()] == ['remove'],
              'the file was not opened anew')
        check(sum(1 for _ in open(old)) == n, 'the old one was written to')
        check(os.stat(world.path('audit.jsonl')).st_mode & 0o7 == 0,
              'anybody may read the audit log')
    local = json.loads(world.ctl(
        '--json', 'host', 'add', 'h21', '--vtep', '192.0.2.21',
        remote='unix:' + world.path('mapd.sock')).stdout)
    line = world.audit()[-1]
    check((line['who'], line['revision']) == ('uid:0', local['revision']),
          '%s', line)


@tests.add
def the_end_of_a_lease_is_audited(world):
    """Nobody asks for it: mapd does it, after a while."""
    pool = {'kind': 'pool', 'vni': 0, 'name': 'short',
            'first': '203.0.113.1', 'last': '203.0.113.1'}
    with world.client('admin:alice') as admin:
        admin.ops(op('add', pool))
        admin.ops({'op': 'allocate', 'record': {
            'kind': 'lease', 'vni': 0, 'pool': 'short', 'client': 'x',
            'term': 1}})
        wait_until('its end is audited', lambda: world.audit()[-1][
            'changes'][0]['op'] == 'remove', 60)
        line = world.audit()[-1]
        check(line['changes'][0]['record']['kind'] == 'lease'
              and (line['role'], line['method']) == ('mapd', 'lease')
              and 'who' not in line and 'from' not in line, '%s', line)
        admin.ops(op('remove', pool))


@tests.add
def what_hosts_see_of_endpoints_is_not_audited(world):
    """It is a revision, but changes no record."""
    web = {'kind': 'group', 'vni': 1, 'name': 'seen',
           'address': '10.1.0.60', 'health_check': 'arp'}
    with world.client('admin:alice') as admin, \
         world.client('host:h1') as host:
        host.call('register', record_host(1))
        at = admin.ops(op('add', web), *[
            op('add', endpoint(1, group='seen', name=name, mac=mac))
            for name, mac in (('x', '02:00:00:00:01:01'),
                              ('y', '02:00:00:00:01:02'))])['revision']
        seen, = [g for g in host.call('subscribe', {'vnis': [1]})['groups']
                 if g['record']['name'] == 'seen']
        n = len(world.audit())
        host.send(id=None, method='health', params=[{
            'all': False, 'endpoints': [
                [seen['id'], seen['endpoints'][0]['index'], False, 'ill']]}])
        wait_until('the endpoint is unwell', lambda: admin.call(
            'status')['revision'] == at + 1, 10)
        check(len(world.audit()) == n, 'audited: %s', world.audit()[n:])
        admin.call('transact', {'ops': [{**op('remove', web),
                                         'cascade': True}]})
        check(len(world.audit()) == n + 1, 'removal is not audited')


@tests.add
def an_audit_log_that_cannot_be_written_is_a_problem(world):
    audit = world.path('audit.jsonl')
    os.rename(audit, audit + '.kept')
    os.mkdir(audit)
    with world.client('admin:alice') as admin:
        admin.ops(op('add', record_host(22)))
        problems = admin.call('status')['problems']
        check(any('audit log' in x for x in problems), '%s', problems)
        os.rmdir(audit)
        os.rename(audit + '.kept', audit)
        admin.ops(op('remove', record_host(22)))
        problems = admin.call('status')['problems']
        check(not any('audit log' in x for x in problems), '%s', problems)
    check(world.audit()[-1]['changes'][0]['op'] == 'remove', 'not resumed')


# Who is not let in.


def attempt(world, kind, source):
    """Returns whether mapd takes the connection."""
    contexts = {
        'none': lambda: world.good.context(None),
        'expired': lambda: world.good.context('host:late'),
        'other-ca': lambda: other_ca(world),
        'old': lambda: old_tls(world),
        'plain': lambda: None, 'garbage': lambda: None,
    }
    try:
        with Client(contexts[kind](), source=source) as client:
            if kind == 'garbage':
                client.socket.sendall(bytes(range(255, 0, -1)) * 9)
                return not is_cut_off(client.socket, TLS_SECONDS + 5)
            client.call('echo')
            return True
    except (OSError, ssl.SSLError, ValueError):
        return False


def other_ca(world):
    context = world.bad.context('admin:alice')
    context.load_verify_locations(world.good.ca('controller'))
    return context


def old_tls(world):
    context = world.good.context('admin:alice')
    context.set_ciphers('ALL:@SECLEVEL=0')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


@tests.add
def nobody_without_a_good_certificate_gets_in(world):
    with world.client('admin:alice') as bystander:
        kinds = ['none', 'expired', 'other-ca', 'old', 'plain', 'garbage']
        for number, kind in enumerate(kinds, 30):
            source = '127.0.0.%d' % number
            for _ in range(4):
                check(not attempt(world, kind, source), '%s gets in', kind)
            pattern = r'.*ssl:%s:.*: refused.*' % re.escape(source)
            wait_until(kind + ' is logged',
                       lambda p=pattern: re.search(p, world.log()))
            lines = re.findall(pattern, world.log())
            check(len(lines) == 1, '%s: log lines %s', kind, lines)
            check(bystander.call('echo') == [], 'another one suffers')
        # With the reason, as often; and a guess at what the bytes are.
        for words in ('SSL_accept: ', 'received .* on SSL channel'):
            n = len(re.findall(r'\|stream_ssl\|WARN\|.*' + words, world.log()))
            check(n <= len(kinds), '"%s" is logged %d times', words, n)


@tests.add
def the_silent_are_dropped_and_few(world):
    crowd = [socket.create_connection(('127.0.0.1', PORT), 10,
                                      ('127.0.0.40', 0)) for _ in range(50)]
    started = time.monotonic()
    wait_until('most are refused', lambda: sum(
        is_cut_off(x, 0) for x in crowd) >= 50 - 32)
    check(time.monotonic() - started < TLS_SECONDS / 2, 'it took too long')
    left = [x for x in crowd if not is_cut_off(x, 0)]
    with world.client('admin:alice') as other:
        check(other.call('echo') == [], 'another address suffers')
    check(all(is_cut_off(x, TLS_SECONDS + 10) for x in left),
          'some stay for ever')
    show = world.appctl('mapd/show')
    check('TLS handshakes under way: 0' in show, '%s', show)


@tests.add
def openssl_agrees(world):
    files = world.good.files('reader:bob')
    for version, good in (('-tls1_1', False), ('-tls1_2', True),
                          ('-tls1_3', True)):
        done = subprocess.run(
            ['openssl', 's_client', '-connect', '127.0.0.1:%d' % PORT, version,
             '-key', files[0], '-cert', files[1], '-CAfile', files[2],
             '-verify_return_error', '-quiet', '-no_ign_eof'],
            input=b'{"id":1,"method":"echo","params":[]}', timeout=20,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        check((done.returncode == 0) == good, '%s: %s', version, done.stdout)


@tests.add
def nothing_is_in_clear(world):
    """The same over TCP is, which shows that this would be seen."""
    plain = start_plain_mapd(world)
    capture = world.path('lo.pcap')
    tcpdump = Daemon(Here(), 'tcpdump',
                     ['tcpdump', '-i', 'lo', '-U', '-w', capture, '-s', '0',
                      'tcp'], world.directory)
    wait_until('tcpdump captures', lambda: os.path.exists(capture)
               and os.path.getsize(capture))
    for remote, name in (('ssl:127.0.0.1:%d' % PORT, 'secret-name'),
                         ('tcp:127.0.0.1:%d' % plain, 'plain-name')):
        world.ctl(*world.good.options('admin:alice'), 'host', 'add', name,
                  '--vtep', '192.0.2.70', remote=remote)
        world.ctl(*world.good.options('admin:alice'), 'host', 'remove', name,
                  remote=remote)
    wait_until('all is captured',
               lambda: open(capture, 'rb').read().count(b'plain-name') >= 2)
    tcpdump.signal(signal.SIGINT)
    tcpdump.wait()
    data = open(capture, 'rb').read()
    check(b'secret-name' not in data, 'a name is in clear')
    versions = subprocess.run(
        ['tshark', '-r', capture, '-d', 'tcp.port==%d,tls' % PORT, '-Y',
         'tls.handshake.type == 2 && tcp.port == %d' % PORT, '-T', 'fields',
         '-e', 'tls.handshake.extensions.supported_version',
         '-e', 'tls.handshake.version'], check=True, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True).stdout.split('\n')
    versions = [int(line.split('\t')[0] or line.split('\t')[1], 16)
                for line in versions if line.strip()]
    check(len(versions) >= 2 and all(v >= 0x0303 for v in versions),
          'versions are %s', versions)


def start_plain_mapd(world):
    daemon = Daemon(
        Here(), 'plain-mapd',
        [BUILD + '/grapnel-mapd', '--store=sqlite:' + world.path('plain.db'),
         '--listen=ptcp:6671:0.0.0.0', '--unixctl=' + world.path('plain.ctl'),
         '-vconsole:off', '-vsyslog:off',
         '--log-file=' + world.path('plain.log')], world.directory,
        {'OVS_RUNDIR': world.directory})
    world.plain = daemon
    wait_until('it listens', lambda: not socket.socket().connect_ex(
        ('127.0.0.1', 6671)))
    return 6671


@tests.add
def plain_tcp_is_warned_of(world):
    with open(world.path('plain.log')) as log:
        lines = re.findall(r'.*WARN.*ptcp:6671:0.0.0.0.*', log.read())
    check(len(lines) == 1, '%s', lines)
    status = world.ctl('status', remote='tcp:127.0.0.1:6671').stdout
    check('ptcp:6671:0.0.0.0 is open' in status, '%s', status)
    check(world.plain.stop() == 0, 'it does not end well')
    check('ptcp' not in world.ctl(*world.good.options('admin:alice'),
                                  'status').stdout, 'pssl is warned of')


# grapnelctl.


@tests.add
def grapnelctl_takes_options_or_the_environment(world):
    world.ctl(*world.good.options('reader:bob'), 'host', 'list')
    key, certificate, ca = world.good.files('admin:alice')
    world.ctl('host', 'list', env={'GRAPNEL_PRIVATE_KEY': key,
                                   'GRAPNEL_CERTIFICATE': certificate,
                                   'GRAPNEL_CA_CERT': ca})
    done = world.ctl(*world.good.options('reader:bob'), 'host', 'add', 'h50',
                     '--vtep', '192.0.2.50', check=False)
    check(done.returncode == 1 and 'reader:bob may not' in done.stderr,
          '%s', done)


@tests.add
def grapnelctl_finds_the_tls_mapd_among_others(world):
    done = world.ctl(*world.good.options('reader:bob'), 'host', 'list',
                     remote='unix:/nowhere,tcp:127.0.0.1:1,'
                     'ssl:127.0.0.1:%d' % PORT)
    check('h2' in done.stdout, '%s', done)


@tests.add
def grapnelctl_says_what_is_wrong_with_a_certificate(world):
    good, bad = world.good, world.bad
    key, certificate, ca = good.files('admin:alice')
    for options, status, words in (
            ([], 2, 'private-key'),
            (['--private-key', key, '--certificate', certificate], 2,
             'ca-cert'),
            (['--private-key', key, '--certificate', '/nowhere',
              '--ca-cert', ca], 1, '/nowhere'),
            (['--private-key', good.key('host:h1'), '--certificate',
              certificate, '--ca-cert', ca], 1, 'key values mismatch'),
            (['--private-key', key, '--certificate', certificate,
              '--ca-cert', 'none'], 1, 'needs ca-cert'),
            (good.options('host:late'), 1, 'has expired'),
            (bad.options('admin:alice'), 3, 'TLS fails'),
            (bad.options('admin:alice')[:2] + good.options('x')[2:], 3,
             'TLS fails')):
        done = world.ctl(*options, 'host', 'list', check=False)
        check(done.returncode == status and words in done.stderr
              and done.stderr.count('\n') == 1, '%s: %s', options, done)
    done = world.ctl('host', 'list', remote='tcp:127.0.0.1:%d' % PORT,
                     check=False)
    check(done.returncode == 3 and 'want ssl:' in done.stderr, '%s', done)


@tests.add
def hosts_do_not_pass_for_mapd(world):
    check(world.mapd.stop() == 0, 'mapd does not end well')
    # Signed by the CA that vouches for mapd, as with a CA for all.
    stolen = world.path('ca/impostor')
    for suffix in ('-privkey.pem', '-req.pem'):
        os.link(world.good.path('host:h2' + suffix), stolen + suffix)
    world.good.sign('impostor', 'controller')
    world.start_mapd('impostor')
    check('is for "host:h2", not for mapd:NAME' in world.log(), 'no warning')
    problems = world.ctl('status', remote='unix:' + world.path('mapd.sock'))
    check('is for "host:h2", not for' in problems.stdout, '%s', problems)
    done = world.ctl(*world.good.options('admin:alice'), 'host', 'list',
                     check=False)
    check(done.returncode == 3 and 'not one of mapd' in done.stderr,
          '%s', done)
    use_ssl_table(world, 'host:h1')
    wait_until('the switch notices', lambda: 'not for mapd:' in world.ovs.
               appctl('anycast/show'))
    with world.client('admin:alice') as admin:
        hosts = admin.call('list', {'kind': 'host'})['items']
        check(not any(h['status']['connected'] for h in hosts), '%s', hosts)
    check(world.mapd.stop() == 0, 'it does not end well')
    world.start_mapd()
    wait_connected(world, 'h1')


# The switch.


TLS_REMOTE = 'ssl:127.0.0.1:%d' % PORT


def follow(world, remotes):
    world.ovs.vsctl('set', 'open_vswitch', '.',
                    'external_ids:grapnel-mapd="%s"' % remotes)


def use_ssl_table(world, name, remotes=TLS_REMOTE):
    """And nothing else."""
    for key in ('private-key', 'certificate', 'ca-cert'):
        world.ovs.vsctl('remove', 'open_vswitch', '.', 'external_ids',
                        'grapnel-' + key)
    number = {'host:h1': 1, 'host:h2': 2, 'host:late': 3}[name]
    world.ovs.vsctl(
        'set-ssl', *world.good.files(name), '--', 'set', 'open_vswitch', '.',
        'external_ids:grapnel-host=' + name.split(':')[1],
        'external_ids:grapnel-vtep=192.0.2.%d' % number,
        'external_ids:grapnel-mapd="%s"' % remotes)


def is_connected(world, name):
    with world.client('admin:alice') as admin:
        items = admin.call('list', {'kind': 'host', 'name': name})['items']
    return items and items[0]['status']['connected']


def wait_connected(world, name):
    wait_until(name + ' is connected', lambda: is_connected(world, name), 20)


@tests.add
def a_switch_with_another_name_than_its_certificate_is_refused(world):
    use_ssl_table(world, 'host:h1')
    world.ovs.vsctl('set', 'open_vswitch', '.',
                    'external_ids:grapnel-host=h2')
    wait_until('the switch says so', lambda: 'host:h1 may not register' in
               world.ovs.appctl('anycast/show'), 20)
    with world.client('admin:alice') as admin:
        problems = admin.call('status')['problems']
    check(any('h2' in x and 'refused' in x for x in problems), '%s', problems)
    world.ovs.vsctl('set', 'open_vswitch', '.',
                    'external_ids:grapnel-host=h1')
    wait_connected(world, 'h1')


@tests.add
def a_switch_says_why_mapd_is_away(world):
    """Expired is the certificate of host:late."""
    use_ssl_table(world, 'host:h1')
    wait_connected(world, 'h1')
    key, certificate, ca = world.good.files('host:h1')
    mapd = 'external_ids:grapnel-mapd=ssl:127.0.0.1:'
    for what, change, undo, text in (
            ('nobody there', ['set', 'open_vswitch', '.', mapd + '1'],
             ['set', 'open_vswitch', '.', mapd + str(PORT)],
             'Connection refused'),
            ('another CA than that of mapd',
             ['set-ssl', key, certificate, world.bad.ca('controller')],
             ['set-ssl', key, certificate, ca], 'TLS fails'),
            ('a certificate that mapd refuses',
             ['set-ssl', *world.good.files('host:late')],
             ['set-ssl', key, certificate, ca], 'does it trust')):
        world.ovs.vsctl(*change)
        if change[0] == 'set-ssl':  # It is for connections to come.
            world.ovs.vsctl('set', 'open_vswitch', '.', mapd + '1')
            world.ovs.vsctl('set', 'open_vswitch', '.', mapd + str(PORT))
        wait_until(what + ' is said', lambda text=text: re.search(
            'mapd error .*' + re.escape(text),
            world.ovs.appctl('anycast/show')), 20)
        world.ovs.vsctl(*undo)
        wait_connected(world, 'h1')
        wait_until('nothing is said', lambda: 'mapd error' not in
                   world.ovs.appctl('anycast/show'), 20)


@tests.add
def a_switch_takes_its_certificate_from_external_ids(world):
    use_ssl_table(world, 'host:h1')
    wait_connected(world, 'h1')
    files = dict(zip(('private-key', 'certificate', 'ca-cert'),
                     world.good.files('host:h2')))
    settings = ['external_ids:grapnel-%s="%s"' % item
                for item in files.items()]
    world.ovs.vsctl('set', 'open_vswitch', '.', *settings)
    wait_until('both are refused', lambda: 'SSL table' in
               world.ovs.appctl('anycast/show'))
    world.ovs.vsctl('del-ssl', '--', 'set', 'open_vswitch', '.',
                    'external_ids:grapnel-host=h2',
                    'external_ids:grapnel-vtep=192.0.2.2')
    wait_connected(world, 'h2')
    check(not is_connected(world, 'h1'), 'h1 is still there')


@tests.add
def a_switch_takes_mapds_with_tls_among_others(world):
    use_ssl_table(world, 'host:h2')
    wait_connected(world, 'h2')
    use_ssl_table(world, 'host:h1', 'unix:/nowhere,' + TLS_REMOTE)
    wait_connected(world, 'h1')
    follow(world, 'unix:/nowhere')
    wait_until('h1 has gone', lambda: not is_connected(world, 'h1'), 20)
    follow(world, 'ssl:127.0.0.1:1,unix:' + world.path('mapd.sock'))
    wait_connected(world, 'h1')
    follow(world, TLS_REMOTE)


# Replacing certificates.


def serial(context):
    with Client(context) as client:
        return ssl.DER_cert_to_PEM_cert(
            client.socket.getpeercert(binary_form=True))


@tests.add
def mapds_certificate_is_replaced_without_a_restart(world):
    good = world.good
    context = good.context('admin:alice')
    old = serial(context)
    with world.client('admin:alice') as before:
        # The same key.
        good.sign('mapd:m1', 'controller')
        wait_until('a new certificate', lambda: serial(context) != old)
        old = serial(context)
        # Another key, and its certificate some time later.
        subprocess.run(['openssl', 'genrsa', '-out', good.key('mapd:m1'),
                        '2048'], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(['openssl', 'req', '-new', '-key', good.key('mapd:m1'),
                        '-subj', '/C=US/ST=CA/O=Open vSwitch/CN=mapd:m1',
                        '-out', good.path('mapd:m1-req.pem')], check=True,
                       stderr=subprocess.DEVNULL)
        wait_until('that is noticed', lambda: (
            serial(context) == old and 'stays in use' in world.log()))
        problems = before.call('status')['problems']
        check(any('is in use until mapd is restarted' in x for x in problems),
              '%s', problems)
        good.sign('mapd:m1', 'controller')
        wait_until('a new key', lambda: serial(context) != old)
        problems = before.call('status')['problems']
        check(not any('is in use until' in x for x in problems), '%s',
              problems)
        check(before.call('echo') == [], 'older connections suffer')


@tests.add
def a_switchs_certificate_is_replaced_without_a_restart(world):
    good = world.good
    # One that has expired, in Open vSwitch's own table.
    use_ssl_table(world, 'host:late')
    wait_until('it is seen', lambda: 'has expired' in world.ovs.log(), 20)
    wait_until('it is refused', lambda: 'certificate expired' in
               world.ovs.log(), 20)
    check(not is_connected(world, 'late'), 'an expired certificate is good')
    good.sign('host:late', 'switch')
    wait_connected(world, 'late')


@tests.add
def another_ca_is_taken_up_without_a_restart(world):
    """Both CAs first, then the new one alone."""
    ca, new = world.good.ca('switch'), world.bad.ca('switch')
    context = world.bad.context('admin:alice')
    context.load_verify_locations(world.good.ca('controller'))
    old_text, new_text = open(ca).read(), open(new).read()
    for text, expected in ((old_text + new_text, (True, True)),
                           (new_text, (False, True)),
                           (old_text, (True, False))):
        with open(ca + '.new', 'w') as file:
            file.write(text)
        os.rename(ca + '.new', ca)
        wait_until('%s get in' % (expected,), lambda expected=expected: (
            gets_in(world.good.context('admin:alice')),
            gets_in(context)) == expected)


def gets_in(context):
    try:
        with Client(context) as client:
            return client.call('echo') == []
    except (OSError, Refused):
        return False


if __name__ == '__main__':
    sys.exit(tests.main(World))
