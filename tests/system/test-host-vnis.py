#!/usr/bin/python3
"""Which VNIs a host sees, by its certificate and the records: a real mapd (and
several, on a real etcd), hosts with certificates, and a switch.

What a host may see is worked out here once more, from a dump."""

import sys
sys.dont_write_bytecode = True

import random
import socket

import harness
from harness import check
from mapdworld import Table

from node import wait_until
from trustworld import PORT, Fleet, Refused, World

tests = harness.Tests()

WITHIN = 30                     # Seconds, on a busy machine.


def op(name, record):
    return {'op': name, 'record': record}


def host(number, **more):
    return {'kind': 'host', 'name': 'h%d' % number,
            'vtep': '192.0.2.%d' % number, **more}


def grant(number, vnis):
    return op('set', {'kind': 'host', 'name': 'h%d' % number, 'vnis': vnis})


def group(vni):
    return {'kind': 'group', 'vni': vni, 'name': 'g',
            'address': '10.1.0.9', 'slots': 256}


def endpoint(vni, number, host_number):
    return {'kind': 'endpoint', 'vni': vni, 'group': 'g',
            'name': 'e%d' % number, 'host': 'h%d' % host_number,
            'mac': '02:00:00:00:01:%02x' % number}


def workload(vni, number, host_number):
    return {'kind': 'workload', 'vni': vni, 'name': 'w%d' % number,
            'host': 'h%d' % host_number,
            'mac': '02:00:00:00:02:%02x' % number,
            'address': '10.1.1.%d' % number}


GATEWAY = {'kind': 'gateway', 'name': 'gw', 'node1': 'h1', 'node2': 'h3'}


def vip(vni):
    return {'kind': 'vip', 'vni': vni, 'name': 'v', 'address': '10.1.2.1',
            'gateway': 'gw'}


def parse(text):
    vnis = set()
    for part in filter(None, text.split(',')):
        first, _, last = part.partition('-')
        vnis.update(range(int(first), int(last or first) + 1))
    return vnis


def allowed(records, name):
    """The VNIs that host 'name' may see."""
    gateways = {r['name']: (r['node1'], r['node2']) for r in records
                if r['kind'] == 'gateway'}
    vnis = set()
    for r in records:
        if r['kind'] == 'host' and r['name'] == name:
            vnis |= parse(r['vnis'])
        elif (r['kind'] in ('endpoint', 'workload') and r['host'] == name
              and not r.get('iface')):
            vnis.add(r['vni'])
        elif r['kind'] == 'vip' and name in gateways[r['gateway']]:
            vnis.add(r['vni'])
    return vnis


class Host:
    """One that subscribes to 'vnis' (None: all), and takes in what comes."""

    def __init__(self, world, number, vnis, register=True, **options):
        self.name, self.wanted, self.refused = 'h%d' % number, vnis, ''
        self.client = world.client('host:' + self.name, **options)
        if register:
            self.client.call('register', host(number))
        self.subscribe(vnis)

    def subscribe(self, vnis):
        self.wanted = vnis
        self.table = Table(self.client.call(
            'subscribe', {} if vnis is None else {'vnis': sorted(vnis)}))
        for note in self.client.notes:
            self.take(note)
        self.client.notes.clear()
        return self

    def take(self, note):
        param, = note['params']
        if note['method'] == 'refused':
            self.refused = param['vnis']
            check(not self.refused or (self.name in param['message']
                                       and self.refused in param['message']
                                       and '--vnis' in param['hint']),
                  'refused so: %s', param)
        elif note['method'] == 'snapshot':
            self.table = Table(param)
        elif param['revision'] > self.table.revision:
            self.table.update(param)

    def follow(self, revision):
        while self.table.revision < revision:
            self.take(self.client.receive())
        return self

    def sees(self):
        """The VNIs of all that it has been told."""
        return ({vni for vni, _ in self.table.groups}
                | {r.get('vni', 0) for r in self.table.records.values()}) - {0}

    def check(self, records, where=''):
        may = allowed(records, self.name)
        there = {r['vni'] for r in records if r.get('vni')}
        wanted = there if self.wanted is None else self.wanted
        check(self.sees() == may & wanted & there, '%s%s sees %s, not %s',
              where, self.name, self.sees(), may & wanted & there)
        refused = set() if self.wanted is None else self.wanted - may
        check(parse(self.refused) == refused, '%s%s is refused %s, not %s',
              where, self.name, self.refused, refused)
        check(not list(self.table.problems()), '%s', self.table.problems())
        for record in self.table.hosts.values():
            check('vnis' not in record, 'others see %s', record)

    def close(self):
        self.client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def clear(world):
    with world.client('admin:alice') as admin:
        for record in admin.call('dump')['records']:
            if record['kind'] in ('workload', 'group', 'vip'):
                admin.call('transact', {'ops': [
                    {**op('remove', record), 'cascade': True}]})
        admin.call('transact', {'ops': [
            {**op('remove', GATEWAY), 'if_exists': True}]})
        admin.ops(*[op('set', {'kind': 'host', 'name': r['name'],
                               'vnis': ''})
                    for r in admin.call('dump')['records']])


@tests.add
def a_host_sees_what_it_is_given_and_what_is_on_it(world):
    clear(world)
    with world.client('admin:alice') as admin, Host(world, 1, None) as h1:
        admin.ops(*[op('add', group(vni)) for vni in (1, 2, 3, 4, 5)])
        admin.ops(op('add', endpoint(2, 1, 1)), op('add', endpoint(3, 2, 2)),
                  op('add', workload(4, 1, 1)), grant(1, '5,77-99'))
        at = admin.call('status')['revision']
        check(h1.follow(at).sees() == {2, 4, 5}, 'it sees %s', h1.sees())
        check(h1.refused == '', 'who asks for all is refused %s', h1.refused)
        h1.subscribe({1, 2, 3})
        check(h1.sees() == {2} and h1.refused == '1,3', 'it sees %s, but not '
              '%s', h1.sees(), h1.refused)
        # An admin's connection sees all.
        snapshot = admin.call('subscribe', {'vnis': [1, 2, 3]})
        check({g['record']['vni'] for g in snapshot['groups']} == {1, 2, 3},
              '%s', snapshot['groups'])


@tests.add
def a_refusal_is_logged_and_counted_once_and_is_a_problem(world):
    clear(world)
    audit = len(world.audit())
    with world.client('admin:alice') as admin:
        admin.ops(op('add', group(6)), op('add', group(7)))
        with Host(world, 2, {6, 7}) as h2:
            for _ in range(3):
                h2.subscribe({6})
            problems = admin.call('status')['problems']
            check([x for x in problems if 'host h2 asks for VNI 6,' in x
                   and '--vnis' in x], '%s', problems)
            show = world.appctl('mapd/show')
            check('may not see VNI 6' in show, '%s', show)
        lines = [x for x in world.log().split('\n')
                 if 'host:h2 may not see VNI' in x]
        check(len(lines) == 1 and '6-7' in lines[0], '%s', lines)
        denied = [x for x in world.audit()[audit:] if x['result'] == 'denied']
        check([(x['who'], x['method']) for x in denied]
              == [('host:h2', 'subscribe')], '%s', denied)
        wait_until('the problem goes with it', lambda: not any(
            'h2 asks' in x for x in admin.call('status')['problems']))


@tests.add
def a_grant_and_its_end_come_to_open_connections(world):
    clear(world)
    with world.client('admin:alice') as admin, Host(world, 1, {8}) as h1:
        admin.ops(op('add', group(8)), op('add', endpoint(8, 1, 2)))
        at = admin.call('status')['revision']
        check(not h1.follow(at).sees() and h1.refused == '8', 'it sees %s',
              h1.sees())
        for give, take in (
                (grant(1, '8'), grant(1, '')),
                (grant(1, '1-16777215'), grant(1, '9')),
                (op('add', endpoint(8, 2, 1)),
                 op('remove', endpoint(8, 2, 1))),
                (op('set', endpoint(8, 1, 1)), op('set', endpoint(8, 1, 2))),
                (op('add', workload(8, 1, 1)), op('set', workload(8, 1, 2)))):
            at = admin.ops(give)['revision']
            check(h1.follow(at).sees() == {8} and not h1.refused,
                  '%s: it sees %s', give, h1.sees())
            at = admin.ops(take)['revision']
            check(not h1.follow(at).sees() and h1.refused == '8',
                  '%s: it sees %s', take, h1.sees())
            h1.check(admin.call('dump')['records'])
        # It hears of changes, but not what they are.
        at = admin.ops(op('set', {**group(8), 'ramp': 9}))['revision']
        h1.follow(at)
        check(not h1.sees(), 'it sees %s', h1.sees())


@tests.add
def a_host_does_not_say_what_it_may_see(world):
    clear(world)
    with world.client('admin:alice') as admin, \
         world.client('host:h1') as client:
        def vnis():
            item, = admin.call('list', {'kind': 'host', 'name': 'h1'})['items']
            return item['record']['vnis']

        client.call('register', host(1))
        for given in ('', '3-4'):
            admin.ops(grant(1, given))
            for bad in ('3-4', '1-16777215', '7'):
                error = client.denied('register', host(1, vnis=bad))
                check(error['field'] == 'vnis', '%s', error)
            for bad in ('', '3-4', '7'):
                client.denied('transact', {'ops': [grant(1, bad)]})
            client.call('register', host(1, rack='r%d' % len(given)))
            client.call('register', host(1, vnis=''))
            check(vnis() == given, 'it is given %s', vnis())
        with world.client('host:h1') as again:
            again.call('register', host(1))
        check(vnis() == '3-4', 'it is given %s', vnis())
        # Nor who is an admin, when it registers a host.
        with world.client('admin:alice') as another:
            another.call('register', host(3))
            another.denied('register', host(3, vnis='1'))
        dump = admin.call('dump')['records']
        admin.call('load', {'records': dump, 'prune': True})
        check(vnis() == '3-4', 'it is given %s', vnis())


def random_op(rand, records):
    """Most can be done."""
    vni, number = rand.randint(1, 6), rand.randint(1, 9)
    at = rand.choice((1, 1, 2, 3))
    there = [r for r in records if r['kind'] in ('endpoint', 'workload', 'vip',
                                                 'gateway')]
    kind = rand.randint(0, 9)
    if kind < 2:
        return op('add', endpoint(vni, number, at))
    elif kind < 3:
        return op('add', workload(vni, number, at))
    elif kind < 4:
        return grant(at, rand.choice(('', '1', '2-4', '3,5-9',
                                      '1-99')))
    elif kind < 5:
        return op('add', rand.choice((GATEWAY, vip(vni), vip(vni))))
    elif kind < 6:
        return op('set', {**GATEWAY, 'node1': 'h%d' % rand.randint(1, 2)})
    elif kind < 7 and there:
        record = rand.choice(there)
        if record['kind'] in ('endpoint', 'workload'):
            return op('set', {**record, 'host': 'h%d' % at})
    elif there:
        return op('remove', rand.choice(there))
    return op('set', {**group(vni), 'ramp': rand.randint(0, 9)})


def change_at_random(rand, admin):
    """Returns the revision."""
    records = admin.call('dump')['records']
    try:
        return admin.ops(*[random_op(rand, records)
                           for _ in range(rand.choice((1, 1, 2)))])['revision']
    except Refused:
        return admin.call('status')['revision']


def prepare(admin):
    there = [r['name'] for r in admin.call('dump')['records']]
    admin.ops(*[op('add', group(vni)) for vni in range(1, 7)])
    admin.ops(*[op('add', host(n)) for n in (1, 2, 3)
                if 'h%d' % n not in there])


@tests.add
def random_changes_come_to_those_whom_they_are_for(world):
    clear(world)
    rand = random.Random(4)
    with world.client('admin:alice') as admin, \
         Host(world, 1, None) as h1, Host(world, 2, {2, 3, 5}) as h2:
        prepare(admin)
        seen = set()
        for i in range(300):
            at = change_at_random(rand, admin)
            records = admin.call('dump')['records']
            for x in (h1, h2):
                x.follow(at).check(records, 'change %d: ' % i)
                seen.add((x.name, frozenset(x.sees())))
        check(len(seen) > 30, 'only %s', seen)


@tests.add
def hosts_ask_each_other_within_their_vnis_only(world):
    clear(world)
    with world.client('admin:alice') as admin, Host(world, 1, {21}) as h1, \
         Host(world, 2, {21}) as h2:
        def ask(asker, asked):
            """Whether 'asked' hears of it."""
            asker.client.send(id=None, method='want_flows', params=[
                {'vni': 21, 'source': '10.1.0.5'}])
            asker.client.call('echo')
            asked.client.notes.clear()
            asked.client.call('echo')
            return any(note['method'] == 'want_flows'
                       for note in asked.client.notes)

        admin.ops(op('add', group(21)))
        for one, other, both in (('', '21', False), ('21', '', False),
                                 ('21', '21', True), ('', '', False)):
            admin.ops(grant(1, one), grant(2, other))
            check(ask(h1, h2) == both and ask(h2, h1) == both,
                  'one has "%s", the other "%s"', one, other)


# Endpoints that are found by their port.


def port(vni, number):
    return {'kind': 'endpoint', 'vni': vni, 'group': 'g',
            'name': 'p%d' % number, 'iface': 'vm-%d' % number}


def claim(host_, *numbers, age=0):
    host_.client.call('claim', {
        'host': host_.name, 'all': True, 'gone': [],
        'here': [['vm-%d' % n, '02:00:00:00:03:%02x' % n, age]
                 for n in numbers]})
    for note in host_.client.notes:
        host_.take(note)
    host_.client.notes.clear()


def where(admin):
    return {i['record']['name']: i['record']['host'] for i in
            admin.call('list', {'kind': 'endpoint'})['items']
            if i['record']['iface']}


def bound(admin, what, **expected):
    wait_until('%s: %s' % (what, expected), lambda: where(admin) == expected,
               WITHIN)


def complaint(admin, *words):
    """A problem with all these words."""
    return [p for p in admin.call('status')['problems']
            if all(word in p for word in words)]


@tests.add
def a_host_gives_itself_no_vni_by_claiming_a_port(world):
    clear(world)
    with world.client('admin:alice') as admin, \
         Host(world, 1, None) as h1, Host(world, 2, None) as h2:
        admin.ops(op('add', group(31)), op('add', group(32)))
        admin.ops(op('add', port(31, 1)), op('add', port(32, 2)), grant(2,
                                                                        '31'))
        claim(h2, 1, age=5000)
        claim(h1, 1, 2)
        bound(admin, 'the newest is not heard', p1='h2', p2='')
        for words in (('31/g/p1', 'host h1 claims port vm-1 but may not see '
                       'VNI 31', 'grapnelctl host set h1 --vnis'),
                      ('32/g/p2', 'host h1 claims port vm-2 but may not see '
                       'VNI 32', 'grapnelctl host set h1 --vnis')):
            check(complaint(admin, *words), '%s',
                  admin.call('status')['problems'])
        check(not complaint(admin, 'at hosts h1, h2'), 'no conflict')
        at = admin.call('status')['revision']
        check(not h1.follow(at).sees(), 'h1 sees %s', h1.sees())
        # Whatever lets it see the VNI lets it have the endpoint.
        admin.ops(grant(1, '31'))
        bound(admin, 'a grant', p1='h1', p2='')
        line = world.audit()[-1]
        check((line.get('who'), line.get('from'), line['role'], line['method'],
               [(x['record']['name'], x['record']['host'])
                for x in line['changes']])
              == (None, None, 'mapd', 'claim', [('p1', 'h1')]),
              'audited as %s', line)
        check(not complaint(admin, 'h1 claims port vm-1'), 'it may')
        admin.ops(op('add', workload(32, 1, 1)))
        bound(admin, 'a workload', p1='h1', p2='h1')
        check(not complaint(admin, 'h1 claims'), 'it may')
        # An endpoint that was found there stays, but gives it nothing.
        at = admin.ops(op('remove', workload(32, 1, 1)))['revision']
        check(h1.follow(at).sees() == {31}, 'h1 sees %s', h1.sees())
        wait_until('that is told', lambda: complaint(admin, '32/g/p2',
                                                     'h1 claims'), WITHIN)
        bound(admin, 'without the workload', p1='h1', p2='h1')
        h1.check(admin.call('dump')['records'])
        claim(h2, 1, 2, age=60000)
        admin.ops(grant(2, '31-32'))
        bound(admin, 'until one that may has it', p1='h1', p2='h2')
        admin.ops(grant(1, ''))
        bound(admin, 'at once, if there is one', p1='h2', p2='h2')
        admin.ops(grant(1, '31'))
        bound(admin, 'the newest counts again', p1='h1', p2='h2')
        claim(h1, 2)
        bound(admin, 'it does not come back; its own goes', p1='h2', p2='h2')
        claim(h2, 2)
        bound(admin, 'nobody has it', p1='', p2='h2')
        lines = [x for x in world.audit() if x['method'] == 'claim']
        check(len(lines) >= 4 and not any('who' in x for x in lines),
              'no host binds: %s', lines)


# A switch.


def use_switch(world, *ports):
    world.ovs.vsctl(
        'set-ssl', *world.good.files('host:h1'), '--', 'set', 'open_vswitch',
        '.', 'external_ids:grapnel-host=h1',
        'external_ids:grapnel-vtep=192.0.2.1',
        'external_ids:grapnel-mapd=ssl:127.0.0.1:%d' % PORT)
    world.ovs.vsctl('--may-exist', 'add-br', 'br-int', '--', 'set', 'bridge',
                    'br-int', 'datapath_type=netdev')
    for vni in ports:
        world.ovs.vsctl('--may-exist', 'add-port', 'br-int', 'any%d' % vni,
                        '--', 'set', 'interface', 'any%d' % vni,
                        'type=anycast', 'options:vni=%d' % vni)


@tests.add
def a_switch_says_what_it_does_not_see_and_is_served_when_it_may(world):
    clear(world)
    with world.client('admin:alice') as admin:
        admin.ops(op('add', group(11)), op('add', group(12)))
        admin.ops(op('add', endpoint(11, 1, 2)),
                  op('add', endpoint(12, 1, 2)), grant(1, '11'))
        use_switch(world, 11, 12)

        def shows(n_groups, *words):
            show = world.ovs.appctl('anycast/show')
            return (['groups', str(n_groups)]
                    in [line.split() for line in show.split('\n')]
                    and all(word in show for word in words))

        wait_until('it sees one and says so', lambda: shows(
            1, 'refused vnis', 'host:h1 may not see VNI 12',
            'grapnelctl host set h1 --vnis'), WITHIN)
        admin.ops(grant(1, '11-12'))
        wait_until('it sees both', lambda: shows(2), WITHIN)
        show = world.ovs.appctl('anycast/show')
        check('refused vnis' not in show, '%s', show)
        admin.ops(grant(1, ''))
        wait_until('it sees none', lambda: shows(
            0, 'host:h1 may not see VNI 11-12'), WITHIN)
        check('registered' in world.ovs.appctl('anycast/show'), 'gone')
        # One that goes away for a while finds the same.
        world.ovs.vsctl('del-port', 'any12')
        wait_until('it asks for less', lambda: 'VNI 11;' in
                   world.ovs.appctl('anycast/show'), WITHIN)
        admin.ops(op('add', endpoint(11, 9, 1)))
        wait_until('an endpoint will do', lambda: shows(1), WITHIN)
    world.ovs.vsctl('remove', 'open_vswitch', '.', 'external_ids',
                    'grapnel-mapd')


# Other ways to run mapd.


@tests.add
def any_vni_is_for_hosts_that_are_given_none(world):
    clear(world)
    check(world.mapd.stop() == 0, 'mapd does not end well')
    world.start_mapd(options=['--host-vnis=any'])
    with world.client('admin:alice') as admin, \
         Host(world, 1, None) as h1, Host(world, 2, {13}) as h2:
        admin.ops(op('add', group(13)), op('add', group(14)))
        at = admin.ops(grant(1, '14'), op('set', host(2)))['revision']
        check(h1.follow(at).sees() == {14}, 'h1 sees %s', h1.sees())
        check(h2.follow(at).sees() == {13} and not h2.refused, 'h2 sees %s',
              h2.sees())
        at = admin.ops(grant(1, ''), grant(2, '14'))['revision']
        check(h1.follow(at).sees() == {13, 14}, 'h1 sees %s', h1.sees())
        check(not h2.follow(at).sees() and h2.refused == '13', 'h2 sees %s',
              h2.sees())
    check(world.mapd.stop() == 0, 'mapd does not end well')
    world.start_mapd()


@tests.add
def a_restart_changes_nothing(world):
    with world.client('admin:alice') as admin:
        prepare_again = [op('add', group(15)), op('add', group(16))]
        admin.ops(*prepare_again)
        admin.ops(grant(1, '15'), op('add', workload(16, 7, 1)))
        before = admin.call('dump')
    check(world.mapd.stop() == 0, 'mapd does not end well')
    world.start_mapd()
    with world.client('admin:alice') as admin, \
         Host(world, 1, None, register=False) as h1:
        check(admin.call('dump') == before, 'other records')
        check(h1.sees() == {15, 16}, 'it sees %s', h1.sees())


@tests.add
def plain_connections_see_all(world):
    """As whoever comes by them is an admin."""
    clear(world)
    world.ctl('group', 'add', '17/g', '--address', '10.1.0.9',
              remote='unix:' + world.path('mapd.sock'))
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(world.path('mapd.sock'))
        s.sendall(b'{"id":1,"method":"subscribe","params":[{"vnis":[17]}]}')
        text = b''
        while b'"result"' not in text:
            text += s.recv(65536)
    check(b'"vni":17' in text and b'refused' not in text, '%s', text)


@tests.add
def a_mapd_that_follows_does_the_same(world):
    rand = random.Random(5)
    with Fleet(world) as fleet, \
         world.client('admin:alice', port=fleet.leader) as admin, \
         world.client('admin:alice', port=fleet.follower) as other:
        prepare(admin)
        with Host(world, 1, None, port=fleet.follower) as h1, \
             Host(world, 2, {2, 3, 5}, port=fleet.follower) as h2:
            for i in range(40):
                at = change_at_random(rand, rand.choice((admin, other)))
                records = admin.call('dump')['records']
                for x in (h1, h2):
                    x.follow(at).check(records, 'change %d: ' % i)
            other.ops(grant(1, '5'))
            error = h1.client.denied('register', host(1, vnis='6'))
            check(error['field'] == 'vnis', '%s', error)
            h1.client.denied('transact', {'ops': [grant(1, '6')]})
            h1.client.call('register', host(1, rack='x'))
            item, = admin.call('list', {'kind': 'host',
                                        'name': 'h1'})['items']
            check((item['record']['vnis'], item['record']['rack'])
                  == ('5', 'x'), '%s', item)
            admin.ops(op('add', group(33)))
            admin.ops(op('add', port(33, 3)))
            claim(h1, 3)
            wait_until('the leader tells of it', lambda: complaint(
                admin, 'h1 claims port vm-3', 'VNI 33', 'h1 --vnis'), WITHIN)
            bound(admin, 'not granted', p3='')
            other.ops(grant(1, '5,33'))
            bound(other, 'granted', p3='h1')
            other.ops(grant(1, '5'))
            wait_until('the same dump', lambda: admin.call('dump')
                       == other.call('dump'), WITHIN)
            before = admin.call('dump')
        fleet.stop()
        fleet.start()
        with world.client('admin:alice', port=fleet.follower) as again, \
             Host(world, 1, None, False, port=fleet.follower) as h1:
            check(again.call('dump') == before, 'other records')
            h1.check(before['records'])
            check(5 in h1.sees(), 'it sees %s', h1.sees())


if __name__ == '__main__':
    sys.exit(tests.main(World))
