#!/usr/bin/python3
"""grapnelctl against a real grapnel-mapd: lists, show and status, as text and
as JSON.

    tests/system/test-grapnelctl-list.py [PART-OF-A-TEST'S-NAME...]"""

import contextlib
import json
import re
import sys
import time

from ctlworld import (
    ENDPOINTS, ENDPOINT_DEFAULTS, GROUPS, GROUP_DEFAULTS, HOSTS,
    HOST_DEFAULTS, Failed, Host, World, answer_with, check, equal, id_of, main,
    refused, test)


# Members of a record, and of its status with their types.
NUMBER = (int, float)
SHAPES = {
    'host': ({*HOST_DEFAULTS, 'name', 'vtep'},
             {'connected': bool, 'applied': int}),
    'group': ({*GROUP_DEFAULTS, 'vni', 'name', 'address'},
              {'id': int, 'epoch': int, 'endpoints': int, 'up': int}),
    'endpoint': ({*ENDPOINT_DEFAULTS, 'vni', 'group', 'name', 'host', 'mac'},
                 {'slots': int, 'share': NUMBER, 'weight_share': NUMBER}),
}


def check_item(kind, item):
    members, status = SHAPES[kind]
    equal(set(item['record']), members, 'members of a ' + kind)
    for name, type_ in status.items():
        value = item['status'][name]
        check(isinstance(value, type_), '%s of a %s is %r', name, kind, value)


@test
def lists(w):
    for kind, records in ('host', HOSTS), ('group', GROUPS), \
            ('endpoint', ENDPOINTS):
        items = w.json(kind, 'list')
        equal([item['record'] for item in items], records, kind + ' list')
        for item in items:
            check_item(kind, item)
            check_item(kind, w.json(kind, 'show', id_of(item['record'])))

        lines = w.run(kind, 'list').out.splitlines()
        equal(len(lines), 1 + len(records), 'lines of %s list' % kind)
        check(lines[0].startswith(kind.upper()), 'heading %r', lines[0])
        for line, record in zip(lines[1:], records):
            equal(line.split()[0], id_of(record), 'first column')
            equal(line, line.rstrip(), 'a line')


@test
def columns_are_aligned(w):
    w.run('endpoint', 'add', '5001/web/a-much-longer-name', '--host', 'h1',
          '--mac', '02:00:00:00:00:99', '--state', 'down')
    lines = w.run('endpoint', 'list', '5001/web').out.splitlines()
    state = lines[0].index('STATE')
    for line in lines[1:]:
        check(re.match(r'.{%d}  (up|draining|down) ' % (state - 2), line),
              'not aligned: %r', lines)


@test
def an_endpoint_may_be_found_by_its_port(w):
    out = w.run('endpoint', 'add', '5001/web/found', '--iface', 'vm-1').out
    check(out.startswith('+ endpoint 5001/web/found: iface vm-1, host -, '
                         'mac -, mac_from iface, weight 100'), '%r', out)
    item = w.json('endpoint', 'show', '5001/web/found')
    equal(item['record'], {
        **ENDPOINT_DEFAULTS, 'vni': 5001, 'group': 'web', 'name': 'found',
        'iface': 'vm-1', 'host': '', 'mac': '', 'mac_from': 'iface'})
    equal(item['status']['why'],
          'unbound: no host has a port with its iface-id')
    heading, line, *_ = w.run('endpoint', 'list', '5001/web').out.splitlines()
    equal(line[heading.index('IFACE'):heading.index('MAC')].split('  ')[0],
          'vm-1', 'the column')
    check('  unbound: no such port  ' in line, '%r', line)
    problem, = [p for p in w.json('status')['problems']
                if 'unbound' in p['problem']]
    equal(problem, {
        'problem': 'endpoint 5001/web/found is unbound: no host has a port '
                   'with its iface-id (vm-1)',
        'next': 'grapnelctl endpoint show 5001/web/found'})
    equal(w.run('endpoint', 'add', '5001/web/found', '--iface', 'vm-1',
                '--may-exist').out, 'nothing to change, revision %d\n'
          % w.revision())
    w.run('endpoint', 'set', '5001/web/found', '--host', 'h1', note='host is '
          'where port vm-1 is')
    w.run('endpoint', 'set', '5001/web/found', '--iface', '', status=1)
    w.run('endpoint', 'set', '5001/web/found', '--iface', '', '--mac',
          '02:00:00:00:00:77')
    equal(w.json('endpoint', 'show', '5001/web/found')['record']['host'],
          'h1')
    for options, missing in ((['--host', 'h1'], 'mac'),
                             (['--mac', '02:00:00:00:00:78'], 'host'),
                             (['--iface', ''], 'host'), ([], 'host')):
        error = refused(w, 'endpoint', 'add', '5001/web/other', *options,
                        names=[missing, 'endpoint'])
        check('iface' in error['hint'], 'the hint is %r', error)
    w.run('endpoint', 'add', '5001/web/other', '--iface', 'a b', status=1)


@test
def lists_can_be_narrowed(w):
    equal([i['record']['vni'] for i in w.json('group', 'list', '--vni',
                                              '5002')], [5002])
    equal(len(w.json('endpoint', 'list', '5001/web')), 4)
    equal(w.json('endpoint', 'list', '5002/web'), [])
    equal(len(w.json('endpoint', 'list', '--vni', '5001')), 4)
    equal([i['record']['name'] for i in
           w.json('endpoint', 'list', '--host', 'h2')], ['w2', 'w3'])
    w.run('endpoint', 'list', '5001/web', '--vni', '5001', status=2)


@test
def an_empty_list_hides_no_typing_mistake(w):
    for argv, name, field in (
            (['endpoint', 'list', '5001/wbe'], '5001/wbe', 'name'),
            (['endpoint', 'list', '--vni', '77'], '77', 'vni'),
            (['group', 'list', '--vni', '77'], '77', 'vni'),
            (['endpoint', 'list', '--host', 'nope'], 'nope', 'name'),
            (['endpoint', 'list', '5002/web', '--host', 'nope'], 'nope',
             'name')):
        error = refused(w, *argv, names=[name])
        equal((error['error'], error['field']), ('not-found', field))
        check(error['hint'], 'no hint for %r', argv)
    w.run('host', 'add', 'h3', '--vtep', '192.0.2.3')
    for argv in ['5002/web'], ['--vni', '5002'], ['--host', 'h3'], \
            ['5001/web', '--host', 'h3']:
        argv = ['endpoint', 'list'] + argv
        text = w.run(*argv, note='no endpoint to list').out
        check(re.fullmatch('ENDPOINT +STATE .*SHARE\n', text),
              '%r prints %r', argv, text)
        equal(w.json(*argv), [])


@test
def what_is_not_there_is_told_as_mapd_tells_it(w):
    for kind, id_, change in (
            ('host', 'h9', ['--encap', 'vxlan']),
            ('group', '5001/x', ['--affinity', 'flow']),
            ('group', '77/web', ['--affinity', 'flow']),
            ('endpoint', '5001/web/x', ['--weight', '1']),
            ('endpoint', '5001/x/w1', ['--weight', '1'])):
        want = w.json(kind, 'set', id_, *change, status=1)
        del want['op']
        equal(refused(w, kind, 'show', id_), want, '%s show' % kind)


@test
def shares_follow_the_weights(w):
    items = w.json('endpoint', 'list', '5001/web')
    equal([i['status']['weight_share'] for i in items], [.25, .25, .5, 0])
    equal([i['status']['slots'] for i in items], [256, 256, 512, 0])
    text = w.run('endpoint', 'list', '5001/web').out
    equal([' '.join(line.split()[-3:]) for line in text.splitlines()[1:]],
          ['256 25.0 %', '256 25.0 %', '512 50.0 %', '0 0.0 %'])

    # Of one endpoint alone they need the whole group all the same.
    show = w.run('endpoint', 'show', '5001/web/w3').out
    check(re.search(r'^share of weights +50.0 %$', show, re.M)
          and re.search(r'^share of slots +50.0 %$', show, re.M)
          and re.search(r'^weight +200$', show, re.M), 'show says %r', show)


@test
def show_tells_all(w):
    text = w.run('group', 'show', '5001/web').out
    for word in ('5001/web', '10.1.0.100', 'tcp', '80', 'weighted', 'flow',
                 '1024', 'epoch', '5001/web/w4'):
        check(word in text, 'group show lacks %s: %s', word, text)
    equal(len(w.json('group', 'show', '5001/web')['endpoints']), 4)
    text = w.run('host', 'show', 'h2').out
    check('192.0.2.2' in text and 'vxlan' in text and '5001/web/w3' in text
          and '5001/web/w1' not in text, 'host show says %r', text)
    for argv in ('host', 'show', 'h9'), ('group', 'show', '5001/x'), \
            ('endpoint', 'show', '5001/web/x'):
        equal(refused(w, *argv, names=argv[2:])['error'], 'not-found')


@test
def status_names_the_trouble_and_the_next_command(w):
    got = w.json('status')
    equal([i['record'] for i in got['hosts']], HOSTS)
    equal({k: got['mapd'][k] for k in ('groups', 'endpoints', 'hosts')},
          {'groups': 2, 'endpoints': 4, 'hosts': 2})
    problems = ' '.join(p['problem'] for p in got['problems'])
    check('h1' in problems and 'h2' in problems and '5002/web' in problems
          and '5001/web' not in problems, 'problems are %r', problems)
    check(all(p['next'] for p in got['problems']), 'no next command')
    text = w.run('status').out
    for pattern in (r'^revision +%d$' % got['mapd']['revision'], '^store +',
                    r'^uptime +\d+ s$', '^hosts +2, 0 connected$',
                    '^HOST +VTEP', '^h1 +192.0.2.1 +geneve +no',
                    '^! group 5002/web has no endpoints',
                    '^  next: grapnelctl endpoint add 5002/web/'):
        check(re.search(pattern, text, re.M), 'no %r in %s', pattern, text)

    w.run('group', 'remove', '5002/web')
    h1, h2 = Host(w, HOSTS[0]), Host(w, HOSTS[1])
    try:
        now = w.revision()
        h1.apply(now)
        text = w.run('status').out
        check('! host h2 lags' in text and 'grapnelctl wait %d' % now in text
              and '! host h1' not in text, 'status says %s', text)
        h2.apply(now)
        w.run('wait', str(now))
        got = w.json('status')
        equal((got['problems'], got['mapd']['connected']), ([], 2))
        check('All hosts' in w.run('status').out, 'it does not say so')
    finally:
        h1.close()
        h2.close()


@test
def status_shows_refused_registrations_and_mixed_vteps(w):
    problem = 'registration of h9 from a local socket was refused, '
    try:
        Host(w, {**HOSTS[0], 'name': 'h9'}).close()
    except Failed:
        pass
    w.run('host', 'add', 'h8', '--vtep', '2001:db8::8')
    got = {p['problem']: p['next'] for p in w.json('status')['problems']}
    refusal = [p for p in got if p.startswith(problem)]
    check(len(refusal) == 1 and '192.0.2.1' in refusal[0]
          and 'external_ids' in got[refusal[0]], 'problems are %r', got)
    mixed = [p for p in got if p.startswith('VTEPs are of both IP versions')]
    check(len(mixed) == 1 and 'grapnel-vtep' in got[mixed[0]],
          'problems are %r', got)
    text = w.run('status').out
    check('! ' + problem in text and '! ' + mixed[0] in text,
          'status says %s', text)


# mapd and the terminal.


@test
def status_passes_on_what_mapd_finds(w):
    answer = '{"id":ID,"error":null,"result":{"revision":1,%s}}'
    problems = ['group 5/a has no endpoint that is up',
                'group 5/b: 2 of 258 endpoints that are up own no slots',
                'the disk is full', 'and 3 more']
    group = {'kind': 'group', 'vni': 5, 'name': 'a'}
    answers = [answer % ('"problems":' + json.dumps(problems)),
               answer % '"items":[]', answer % ('"items":' + json.dumps(
                   [{'record': group, 'status': {'endpoints': 1, 'up': 0}}]))]
    got = w.json('--mapd', answer_with(w, *answers), 'status')['problems']
    equal([p['next'] for p in got[-3:]],
          ['grapnelctl group show 5/b', "see grapnel-mapd's log",
           'grapnelctl status, with those solved'])
    equal([p['problem'] for p in got[-3:]], problems[1:])
    equal(sum('5/a' in p['problem'] for p in got), 1, 'what is told of 5/a')


@test
def a_dead_host_is_called_that(_):
    with contextlib.closing(World(host_timeout=0.2)) as w:
        w.start()
        w.reset()
        host = Host(w, HOSTS[0])
        equal(w.run('host', 'list').out.splitlines()[1].split()[3], 'yes')
        host.close()
        for _ in range(100):
            text = w.run('status').out
            if 'seems dead' in text:
                break
            time.sleep(0.05)
        check('! host h1 seems dead: its endpoints get no new flows\n  next: '
              in text, 'status says %r', text)
        check(re.search(r'^h1 .* no, dead ', w.run('host', 'list').out, re.M),
              'the list says %r', w.run('host', 'list').out)


@test
def rejected_packets_are_not_called_dropped(w):
    w.run('group', 'set', '5002/web', '--when-empty', 'reject')
    check('group 5002/web has no endpoints: its packets are rejected'
          in w.run('status').out, 'status says %r', w.run('status').out)


if __name__ == '__main__':
    sys.exit(main())
