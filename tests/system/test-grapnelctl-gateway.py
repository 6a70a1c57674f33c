#!/usr/bin/python3
"""grapnelctl against a real grapnel-mapd: workloads, and gateways with their
pools, leases and VIPs.

    tests/system/test-grapnelctl-gateway.py [PART-OF-A-TEST'S-NAME...]"""

import json
import signal
import subprocess
import sys
import time

from ctlworld import (
    CTL, Host, Watch, check, dump_text, equal, main, records_of, refused,
    test)

POOL = ('gateway', 'pool', 'add', '0/public', '--first', '203.0.113.8',
        '--last', '203.0.113.11')
PAIR = ('gateway', 'add', 'gw1', '--node1', 'h1', '--node2', 'h2')


def workload(w, name, last, *more):
    w.run('workload', 'add', '5001/' + name, '--host', 'h1', '--mac',
          '02:00:00:00:01:%02x' % last, '--address', '10.1.0.%d' % last,
          *more)


def fill(w):
    """One of each kind."""
    workload(w, 'vm1', 5, '--public-address', '203.0.113.9')
    w.run(*POOL)
    w.run('gateway', 'lease', 'allocate', '0/public', '--client', '5001/vm1')
    w.run(*PAIR)
    w.run('gateway', 'set', 'gw1', '--active', 'h2', '--if-epoch', '0')
    w.run('gateway', 'vip', 'add', '5001/inside', '--address', '10.1.0.1',
          '--gateway', 'gw1')


def item(w, *words):
    return w.json(*words)


def wait_until(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, 'not in time: %s', what)
        time.sleep(0.1)


@test
def every_member_can_be_given_and_changed(w):
    cases = [
        (('workload',), '5001/vm1',
         {'host': 'h1', 'mac': '02:00:00:00:01:05', 'address': '10.1.0.5'},
         {'public_address': ''},
         {'host': 'h2', 'mac': '02:00:00:00:01:06', 'address': '2001:db8::5',
          'public_address': '203.0.113.9'}),
        (('gateway',), 'gw1', {'node1': 'h1', 'node2': 'h2'},
         {'priority1': 0, 'priority2': 0, 'active': '', 'epoch': 0},
         {'priority1': 1, 'priority2': 255}),
        (('gateway', 'pool'), '0/p',
         {'first': '203.0.113.8', 'last': '203.0.113.11'},
         {'prefix_length': 0, 'router': '', 'term': 3600},
         {'first': '203.0.113.7', 'last': '203.0.113.12',
          'prefix_length': 24, 'router': '203.0.113.1', 'term': 60}),
        (('gateway', 'vip'), '5001/v',
         {'address': '10.1.0.1', 'gateway': 'gw1'}, {},
         {'address': '10.1.0.2'}),
    ]
    for noun, id_, needed, defaults, changes in cases:
        words = [word for name, value in needed.items()
                 for word in ('--' + name.replace('_', '-'), str(value))]
        for i in range(0, len(words), 2):
            w.run(*noun, 'add', id_, *words[:i], *words[i + 2:], status=2)
        w.run(*noun, 'add', id_, *words)
        w.run(*noun, 'add', id_, *words, '--may-exist')
        refused(w, *noun, 'add', id_, *words, names=['exists already'])
        record = item(w, *noun, 'show', id_)['record']
        for name, value in {**needed, **defaults}.items():
            equal(record.pop(name), value, name)
        equal(record.pop('kind'), noun[-1])
        check(set(record) <= {'vni', 'name'}, 'more members: %r', record)
        for name, value in changes.items():
            before = item(w, *noun, 'show', id_)['record']
            w.run(*noun, 'set', id_, '--' + name.replace('_', '-'),
                  str(value))
            equal(item(w, *noun, 'show', id_)['record'],
                  {**before, name: value})
    for noun, id_, *_ in reversed(cases):
        w.run(*noun, 'remove', id_)
        refused(w, *noun, 'remove', id_, names=[id_, 'not known'])
        w.run(*noun, 'remove', id_, '--if-exists')


@test
def dump_and_load_are_the_identity(w):
    fill(w)
    dump = w.dump()
    equal([r['kind'] for r in records_of(dump)][-5:],
          ['workload', 'pool', 'lease', 'gateway', 'vip'])
    out = w.run('load', '-', '--prune', stdin=dump).out
    check('nothing to change' in out, 'load of the dump: %s', out)
    w.reset()
    check('vm1' not in w.dump(), 'pruned')
    w.run('load', '-', '--prune', stdin=dump)
    equal(records_of(w.dump()), records_of(dump))


@test
def a_dump_does_not_turn_an_epoch_back(w):
    fill(w)
    dump = w.dump()
    w.run('gateway', 'set', 'gw1', '--active', 'h1', '--if-epoch', '1')
    error = refused(w, 'load', '-', stdin=dump, names=['gw1', 'epoch 1'])
    equal(error['error'], 'epoch')
    w.run('workload', 'set', '5001/vm1', '--host', 'h2')
    w.run('load', '-', '--force', stdin=dump)
    gateway = item(w, 'gateway', 'show', 'gw1')['record']
    equal((gateway['active'], gateway['epoch']), ('h1', 2))
    equal(item(w, 'workload', 'show', '5001/vm1')['record']['host'], 'h1')


@test
def one_of_many_makes_its_node_active(w):
    """All have seen the same epoch; the others are told the new one."""
    w.run(*PAIR)
    for epoch in range(3):
        runs = [subprocess.Popen(
            [CTL, '--json', 'gateway', 'set', 'gw1', '--active', node,
             '--if-epoch', str(epoch)], env=w.env, text=True,
            stdout=subprocess.PIPE) for node in ('h1', 'h2') * 5]
        won = []
        for node, run in zip(('h1', 'h2') * 5, runs):
            out = json.loads(run.communicate(timeout=30)[0])
            if run.returncode == 0:
                won.append(node)
            else:
                equal(out['error'], 'epoch')
                check('its epoch is %d' % (epoch + 1) in out['message'],
                      'not the present epoch: %s', out['message'])
        equal(len(won), 1, 'number of winners')
        gateway = item(w, 'gateway', 'show', 'gw1')['record']
        equal((gateway['active'], gateway['epoch']), (won[0], epoch + 1))
    loser = 'h2' if won == ['h1'] else 'h1'
    refused(w, 'gateway', 'set', 'gw1', '--active', loser, names=['if_epoch'])
    refused(w, 'gateway', 'set', 'gw1', '--active', 'h3', '--if-epoch', '3',
            names=['h3', 'node1'])


@test
def what_is_in_use_stays(w):
    fill(w)
    for words, name in ((('gateway', 'pool', 'remove', '0/public'),
                         'lease 0/public/203.0.113.9'),
                        (('workload', 'remove', '5001/vm1'),
                         'lease 0/public/203.0.113.9'),
                        (('gateway', 'remove', 'gw1'), 'vip 5001/inside')):
        equal(refused(w, *words, names=[name])['error'], 'in-use')
    for record in records_of(w.dump()):
        if record['kind'] == 'endpoint':
            w.run('endpoint', 'remove', '5001/web/' + record['name'])
    equal(refused(w, 'host', 'remove', 'h2', names=['gateway gw1'])['error'],
          'in-use')
    w.run('gateway', 'remove', 'gw1', '--cascade')
    w.run('gateway', 'pool', 'remove', '0/public', '--cascade')
    w.run('host', 'remove', 'h2')
    equal(w.json('gateway', 'vip', 'list'), [])


@test
def leases_are_given_and_taken(w):
    w.run(*POOL)
    workload(w, 'vm1', 5)

    def allocate(client, *more):
        return w.json('gateway', 'lease', 'allocate', '0/public', '--client',
                      client, *more)['leases'][0]

    equal([allocate('c%d' % i)['address'][-2:] for i in range(3)],
          ['.8', '.9', '10'])
    equal(allocate('5001/vm1')['address'], '203.0.113.11')
    equal(refused(w, 'gateway', 'lease', 'allocate', '0/public', '--client',
                  'x', names=['all of its 4 addresses'])['error'], 'busy')
    w.run('gateway', 'lease', 'return', '0/public/203.0.113.9')
    equal(allocate('x')['address'], '203.0.113.9')
    equal(allocate('x', '--may-exist')['address'], '203.0.113.9')
    refused(w, 'gateway', 'lease', 'return', '0/public/203.0.113.9',
            '--client', 'c1', names=['not of client c1 but of x'])
    w.run('gateway', 'lease', 'reassign', '0/public/203.0.113.9', '--client',
          'y', '--term', '0')
    equal([i['record']['client']
           for i in w.json('gateway', 'lease', 'list', '0/public')],
          ['c0', 'y', 'c2', '5001/vm1'])
    equal(len(w.json('gateway', 'lease', 'list', '--client', 'y')), 1)
    shown = item(w, 'gateway', 'lease', 'show', '0/public/203.0.113.9')
    equal((shown['record']['expires'], shown['status']), (0, {}))
    lease = item(w, 'gateway', 'lease', 'show', '0/public/203.0.113.8')
    check(3500 < lease['status']['expires_in_s'] <= 3600, '%r', lease)
    check(abs(lease['record']['expires'] - time.time() - 3600) < 120,
          'not in seconds since 1970: %r', lease)
    equal(item(w, 'gateway', 'pool', 'show', '0/public')['status'],
          {'addresses': 4, 'leased': 4})
    check('4 of 4' in w.run('gateway', 'pool', 'list').out, 'pool list')


@test
def leases_end_and_are_told(w):
    w.run(*POOL)
    w.run('gateway', 'lease', 'allocate', '0/public', '--client', 'long')
    watch = Watch(w)
    watch.line()
    begin = time.monotonic()
    w.run('gateway', 'lease', 'allocate', '0/public', '--client', 'short',
          '--term', '2')
    wait_until('the lease ends', lambda: not any(
        i['record']['client'] == 'short'
        for i in w.json('gateway', 'lease', 'list')))
    check(time.monotonic() - begin > 1, 'it ended early')
    equal(len(w.json('gateway', 'lease', 'list')), 1)
    lines = [watch.line() for _ in range(4)]
    check(lines[1].startswith('+ lease 0/public/203.0.113.9: client short'),
          '%r', lines)
    equal(lines[3], '- lease 0/public/203.0.113.9')
    watch.process.send_signal(signal.SIGINT)
    watch.end()


@test
def leases_outlive_mapd(w):
    """Who could not renew while mapd was away can do so when it is back."""
    w.run(*POOL)
    w.run('gateway', 'lease', 'allocate', '0/public', '--client', 'a',
          '--term', '1')
    w.run('gateway', 'lease', 'allocate', '0/public', '--client', 'b',
          '--term', '1')
    before = w.json('gateway', 'lease', 'list')
    w.mapd.kill()
    w.mapd.wait()
    if len(before) == 2:        # This machine is not that slow.
        time.sleep(2.5)
        w.start()
        equal([i['record'] for i in w.json('gateway', 'lease', 'list')],
              [i['record'] for i in before])
        w.run('gateway', 'lease', 'renew', '0/public/203.0.113.8', '--term',
              '0')
        wait_until('the other one ends', lambda: len(
            w.json('gateway', 'lease', 'list')) == 1)
        equal(w.json('gateway', 'lease', 'list')[0]['record']['client'], 'a')
    else:
        w.start()


@test
def a_pause_of_mapd_ends_no_lease(w):
    w.run(*POOL)
    w.run('gateway', 'lease', 'allocate', '0/public', '--client', 'a',
          '--term', '30')
    id_ = '0/public/203.0.113.8'
    expires = item(w, 'gateway', 'lease', 'show', id_)['record']['expires']
    w.mapd.send_signal(signal.SIGSTOP)
    time.sleep(8)
    w.mapd.send_signal(signal.SIGCONT)

    def put_off():
        lease = item(w, 'gateway', 'lease', 'show', id_)
        return lease['record']['expires'] - expires
    wait_until('its end is put off', put_off, 20)
    check(4 <= put_off() <= 60, 'put off by %d s', put_off())
    check('is put off by' in open(w.log).read(), 'mapd says nothing')
    open(w.log, 'w').close()


@test
def hosts_are_told_of_what_is_in_their_vnis(w):
    host = Host(w, {'kind': 'host', 'name': 'h7', 'vtep': '192.0.2.7'})
    host.send(id=3, method='subscribe', params=[{'vnis': [5002]}])
    equal(host.receive_answer(3)['records'], [])
    fill(w)
    kinds = []
    while 'vip' not in kinds and len(kinds) < 100:
        message = host.receive()
        for change in (message['params'][0]['changes']
                       if message['method'] == 'update' else []):
            kinds += [r['kind'] for r in change.values()]
        if message['method'] == 'update':
            host.apply(message['params'][0]['revision'])
            if message['params'][0]['revision'] == w.revision():
                break
    equal(sorted(set(kinds)), ['gateway', 'lease', 'pool'])
    host.send(id=4, method='subscribe', params=[{'vnis': [5001]}])
    equal([r['kind'] for r in host.receive_answer(4)['records']],
          ['workload', 'pool', 'lease', 'gateway', 'vip'])
    host.close()


@test
def a_machine_in_two_places_is_a_problem(w):
    w.run('workload', 'add', '5001/vm1', '--host', 'h2', '--mac',
          '02:00:00:00:00:01', '--address', '10.1.0.5')
    problems = '\n'.join(str(p) for p in w.json('status')['mapd']['problems'])
    check('endpoint 5001/web/w1 and workload 5001/vm1' in problems,
          'no problem: %s', problems)
    w.run('workload', 'set', '5001/vm1', '--host', 'h1')
    check('vm1' not in str(w.json('status')['mapd']['problems']), 'still')


@test
def what_has_a_groups_address_is_a_problem(w):
    """In another VNI it may have it."""
    fill(w)
    web = w.json('group', 'show', '5001/web')['record']['address']
    for noun, name, change, back in (
            ('workload', '5001/vm1', ('--address', web),
             ('--address', '10.1.0.5')),
            ('gateway vip', '5001/inside', ('--address', web),
             ('--address', '10.1.0.1'))):
        equal(clashes(w), [])
        w.run(*noun.split(), 'set', name, *change)
        problem, = clashes(w)
        check(problem['problem'].startswith('%s %s has the address of group '
                                            '5001/web' % (noun, name)),
              '%s', problem)
        equal(problem['next'], 'grapnelctl %s show %s' % (noun, name))
        w.run(*problem['next'].split()[1:])
        w.run(*noun.split(), 'set', name, *back)
    w.run('workload', 'add', '7777/other', '--host', 'h1', '--mac',
          '02:00:00:00:01:06', '--address', web)
    equal(clashes(w), [])
    w.run('workload', 'remove', '7777/other')


def clashes(w):
    return [p for p in w.json('status')['problems']
            if 'has the address of' in p['problem']]


@test
def mistakes_are_told_in_words(w):
    fill(w)
    for words, names in [
            (('workload', 'add', '5001/vm2', '--host', 'h9', '--mac',
              '02:00:00:00:01:06', '--address', '10.1.0.6'),
             ['host h9', 'h1, h2']),
            (('workload', 'add', '5001/vm2', '--host', 'h1', '--mac',
              '02:00:00:00:01:05', '--address', '10.1.0.6'),
             ['mac 02:00:00:00:01:05', 'workload 5001/vm1']),
            (('workload', 'add', '5001/vm2', '--host', 'h1', '--mac',
              '02:00:00:00:01:06', '--address', '10.1.0.1'),
             ['10.1.0.1', 'vip 5001/inside']),
            (('gateway', 'add', 'gw2', '--node1', 'h1', '--node2', 'h1'),
             ['node2', 'h1']),
            (('gateway', 'pool', 'add', '0/more', '--first', '203.0.113.11',
              '--last', '203.0.113.20'), ['pool 0/public']),
            (('gateway', 'pool', 'set', '0/public', '--first',
              '203.0.113.10'), ['203.0.113.9 is leased']),
            (('gateway', 'pool', 'set', '0/public', '--term', '99999999'),
             ['term']),
            (('gateway', 'vip', 'add', '0/v', '--address', '203.0.113.9',
              '--gateway', 'gw1'), ['is taken by']),
            (('gateway', 'lease', 'allocate', '0/public', '--client',
              '5001/vm7'), ['workload 5001/vm7', '5001/vm1']),
            (('gateway', 'lease', 'show', '0/public/203.0.113.8'),
             ['lease 0/public/203.0.113.8'])]:
        refused(w, *words, names=names)
    for words in (('gateway', 'lease', 'show', '0/public'),
                  ('gateway', 'pool'), ('gateway', 'pool', 'frobnicate'),
                  ('workload', 'show', 'vm1'),
                  ('gateway', 'lease', 'allocate', '0/public')):
        refused(w, *words, status=2)


@test
def completion_knows_them(w):
    fill(w)

    def complete(*words):
        return w.run('__complete', *words).out.split()
    equal(complete('gateway', ''), ['add', 'set', 'remove', 'list', 'show',
                                    'pool', 'lease', 'vip'])
    equal(complete('gateway', 'lease', 're'), ['renew', 'return', 'reassign'])
    equal(complete('gateway', 'show', ''), ['gw1'])
    equal(complete('gateway', 'vip', 'show', '50'), ['5001/inside'])
    equal(complete('gateway', 'lease', 'allocate', ''), ['0/public'])
    equal(complete('gateway', 'lease', 'show', '0/public/'),
          ['0/public/203.0.113.9'])
    equal(complete('gateway', 'lease', 'allocate', '0/public', '--client',
                   ''), ['5001/vm1'])
    equal(complete('workload', 'remove', '5001/'), ['5001/vm1'])
    check('--if-epoch' in complete('gateway', 'set', 'gw1', '--if'), 'option')


if __name__ == '__main__':
    sys.exit(main())
