#!/usr/bin/python3
"""grapnelctl against a real grapnel-mapd: what changes records, one by one or
from a dump, and what that leaves.

    tests/system/test-grapnelctl-change.py [PART-OF-A-TEST'S-NAME...]"""

import os
import sys

from ctlworld import (
    ENDPOINTS, ENDPOINT_DEFAULTS, GROUPS, GROUP_DEFAULTS, HOSTS,
    HOST_DEFAULTS, RECORDS, check, dump_text, equal, id_of, main, records_of,
    refused, test)


@test
def adding_setting_removing_each_kind(w):
    out = w.run('host', 'add', 'h3', '--vtep', '192.0.2.3').out
    check(out.startswith('+ host h3: vtep 192.0.2.3, encap geneve\nrevision '),
          'host add says %r', out)
    w.run('group', 'add', '7/db', '--address', '10.7.0.1', '--protocol',
          'udp', '--port=53', '--affinity', 'source', '--slots', '512')
    out = w.run('endpoint', 'add', '7/db/d1', '--host', 'h3', '--mac',
                '02:00:00:00:07:01').out
    check('+ endpoint 7/db/d1: host h3, mac 02:00:00:00:07:01, weight 100, '
          'state up\n' in out, 'endpoint add says %r', out)

    out = w.run('endpoint', 'set', '7/db/d1', '--weight', '7', '--state',
                'draining').out
    check(out.startswith('~ endpoint 7/db/d1: weight 100 -> 7, '
                         'state up -> draining\n'), 'set says %r', out)
    w.run('group', 'set', '7/db', '--affinity', 'flow', '--force')
    w.run('host', 'set', 'h3', '--vtep', '192.0.2.33', '--encap', 'vxlan')

    equal(w.json('host', 'show', 'h3')['record'],
          {**HOST_DEFAULTS, 'name': 'h3', 'vtep': '192.0.2.33',
           'encap': 'vxlan'})
    equal(w.json('group', 'show', '7/db')['record'],
          {**GROUP_DEFAULTS, 'vni': 7, 'name': 'db', 'address': '10.7.0.1',
           'protocol': 'udp', 'port': 53, 'slots': 512})
    equal(w.json('endpoint', 'show', '7/db/d1')['record'],
          {**ENDPOINT_DEFAULTS, 'vni': 7, 'group': 'db', 'name': 'd1',
           'host': 'h3', 'mac': '02:00:00:00:07:01', 'weight': 7,
           'state': 'draining'})

    out = w.run('endpoint', 'remove', '7/db/d1').out
    check(out.startswith('- endpoint 7/db/d1\n'), 'remove says %r', out)
    w.run('group', 'remove', '7/db')
    w.run('host', 'remove', 'h3')
    equal(records_of(w.dump()), RECORDS, 'the dump')


@test
def changes_as_json(w):
    before = w.revision()
    got = w.json('endpoint', 'set', '5001/web/w1', '--weight', '5')
    equal(got, {'revision': before + 1,
                'changes': [{'op': 'set', 'before': ENDPOINTS[0],
                             'record': {**ENDPOINTS[0], 'weight': 5}}]})


@test
def scripts_can_be_repeated(w):
    add = ['endpoint', 'add', '5001/web/w1', '--host', 'h1', '--mac',
           '02:00:00:00:00:01', '--weight', '100']
    before = w.dump()
    refused(w, *add)
    equal(w.run(*add, '--may-exist').out,
          'nothing to change, revision %d\n' % w.revision())
    refused(w, *add[:-1], '99', '--may-exist')
    refused(w, 'endpoint', 'remove', '5001/web/w9', names=['w9'])
    w.run('endpoint', 'remove', '5001/web/w9', '--if-exists')
    w.run('host', 'remove', 'h9', '--if-exists')
    w.run('group', 'remove', '9/web', '--if-exists')
    equal(w.dump(), before, 'the dump')


@test
def only_at_that_revision(w):
    now = w.revision()
    got = refused(w, 'endpoint', 'set', '5001/web/w1', '--weight', '1',
                  '--if-revision', str(now - 1), names=[str(now)])
    equal(got['error'], 'revision', 'the code')
    w.run('endpoint', 'set', '5001/web/w1', '--weight', '1',
          '--if-revision', str(now))


@test
def a_group_goes_with_its_endpoints_if_asked(w):
    refused(w, 'group', 'remove', '5001/web')
    refused(w, 'host', 'remove', 'h1', names=['h1'])
    got = w.json('group', 'remove', '5001/web', '--cascade')
    equal(sorted((c['op'], c['record']['kind']) for c in got['changes']),
          [('remove', 'endpoint')] * 4 + [('remove', 'group')])


@test
def dump_and_load_are_the_identity(w):
    before = w.dump()
    equal(records_of(before), RECORDS, 'the dump')
    revision = w.revision()
    equal(w.run('load', '-', stdin=before).out,
          'nothing to change, revision %d\n' % revision)
    equal(w.dump(), before)

    w.run('load', '-', '--prune', stdin=dump_text([]))
    equal(records_of(w.dump()), [])
    w.run('load', w.path('dump', before))
    equal(records_of(w.dump()), RECORDS)

    # In whatever order the lines are.
    w.run('load', '-', '--prune', stdin=dump_text([]))
    w.run('load', '-', stdin=dump_text(RECORDS[::-1]))
    equal(records_of(w.dump()), RECORDS)


@test
def another_affinity_breaks_connections_only_by_force(w):
    """A group that may have connections: what is refused changes nothing."""
    to_source = ['group', 'set', '5001/web', '--affinity', 'source']
    dump = dump_text([{**r, 'affinity': 'source'} if r == GROUPS[0] else r
                      for r in RECORDS])
    for argv, stdin in ((to_source, None), (['load', '-'], dump),
                        (['load', '-', '--dry-run'], dump)):
        error = refused(w, *argv, stdin=stdin,
                        names=['5001/web', 'affinity source', '--force'])
        equal((error['error'], error['field'], error['value']),
              ('in-use', 'affinity', 'source'))
    equal(records_of(w.dump()), RECORDS, 'the dump')
    for more in ['--ramp', '5'], []:
        w.run('group', 'set', '5001/web', '--affinity', 'flow', *more)
    equal(w.json('load', '-', '--force', '--dry-run', stdin=dump)
          ['changes'][0]['record']['affinity'], 'source')
    w.run(*to_source, '--force')
    out = w.run('load', '-', '--force', stdin=dump_text(RECORDS)).out
    check('affinity source -> flow' in out, 'load says %r', out)

    for endpoint in ENDPOINTS:
        w.run('endpoint', 'set', id_of(endpoint), '--state', 'down')
    w.run(*to_source)
    w.run('group', 'set', '5002/web', '--affinity', 'flow')


@test
def load_merges_and_prunes_when_asked(w):
    some = [HOSTS[0], {**HOSTS[1], 'encap': 'geneve'}, GROUPS[0],
            {**ENDPOINTS[0], 'weight': 9}]
    w.run('load', '-', stdin=dump_text(some))
    equal(records_of(w.dump()), some[:2] + GROUPS + some[3:] + ENDPOINTS[1:])
    w.run('load', '-', '--prune', stdin=dump_text(some))
    equal(records_of(w.dump()), some)


@test
def a_dry_run_shows_the_difference_and_does_nothing(w):
    before = w.dump()
    records = [*HOSTS, GROUPS[0],
               {**ENDPOINTS[0], 'weight': 9, 'state': 'down'},
               *ENDPOINTS[1:], {**ENDPOINTS[0], 'name': 'w5',
                                'mac': '02:00:00:00:00:05'}]
    argv = ['load', '-', '--prune', '--dry-run']
    equal(w.run(*argv, stdin=dump_text(records)).out,
          '- group 5002/web\n'
          '~ endpoint 5001/web/w1: weight 100 -> 9, state up -> down\n'
          '+ endpoint 5001/web/w5: host h1, mac 02:00:00:00:00:05, '
          'weight 100, state up\n'
          '3 changes; dry run, nothing was done\n')
    got = w.json(*argv, stdin=dump_text(records))
    equal([c['op'] for c in got['changes']], ['remove', 'set', 'add'])
    equal(got['dry_run'], True)
    equal(w.dump(), before)


@test
def load_is_all_or_nothing(w):
    bad = [{**HOSTS[0], 'name': 'h8', 'vtep': '192.0.2.8'},
           {**ENDPOINTS[0], 'name': 'w8', 'mac': '02:00:00:00:00:08',
            'weight': 0}]
    error = refused(w, 'load', '-', stdin=dump_text(bad),
                    names=['standard input: line 3: ', 'weight', '0',
                           '; nothing was loaded)'])
    equal(error['field'], 'weight')
    bad[1].update(weight=1, host='h7')
    refused(w, 'load', '-', stdin=dump_text(bad), names=['line 3', 'h7'])
    refused(w, 'load', '-', stdin=dump_text([{'kind': 'moon'}]),
            names=['line 2', 'moon'])
    refused(w, 'load', '-', '--if-revision', '0', stdin=dump_text(RECORDS),
            names=['standard input: ', '; nothing was loaded)'])
    path = w.path('bad', dump_text([{**HOSTS[0], 'end': True}]))
    error = refused(w, 'load', path, names=[path + ': line 2: ',
                                            '; nothing was loaded)'])
    equal((error['error'], error['field']), ('invalid', 'end'))


@test
def a_dump_that_is_not_whole_is_refused(w):
    text = dump_text(RECORDS + [{**HOSTS[0], 'name': 'h8',
                                 'vtep': '192.0.2.8'}])
    lines = text.splitlines(keepends=True)
    for what, says in (
            (text[:len(text) // 2], 'cut off'),
            (''.join(lines[:len(lines) // 2]), 'cut off'),
            (''.join(lines[:-1]), 'cut off'),
            (text[:-5], 'cut off'), ('', 'empty'),
            (''.join(lines[1:]), 'line 1'),
            (''.join(lines[:3] + lines[4:]), 'records: 9'),
            (text + lines[1], 'line 12'),
            (text + text, 'line 12'),
            (''.join(lines[:4] + ['{"kind":\n'] + lines[4:]), 'line 5'),
            (''.join(lines[:4] + ['[]\n'] + lines[4:]), 'line 5'),
            (text.replace('"version": 1', '"version": 2'), 'version: 2'),
            (text.replace('"version": 1', '"version": "1"'),
             'line 1: version: "1" is not'),
            (text.replace('"version": 1, ', ''), 'version is missing'),
            (text.replace('"revision": 1', '"revision": "1"'),
             'line 1: revision: "1" is not'),
            (text.replace('"revision": 1', '"revsion": 1'),
             'line 1: "revsion" is unknown'),
            (text.replace('"records": 9', '"records": "9"'),
             'records: "9" is not'),
            (text.replace('"end": true', '"end": false'), 'end: false'),
            (text.replace('"end": true', '"end": true, "x": 1'),
             '"x" is unknown'),
            (text.replace('"weight": 50', '"weight": 50, "weight": 5'),
             'line 9 has the member "weight" twice'),
            (text.replace('"weight": 50', '"weight": 50, "w\\u0065ight": 5'),
             'line 9 has the member "weight" twice'),
            ('x' * 100000, 'line 1'), ('\0' * 100000, 'line 1'),
            ('{"a":' * 20000, 'line 1')):
        refused(w, 'load', '-', '--prune', stdin=what, names=[says])
    refused(w, 'load', os.path.join(w.dir, 'no'), names=['No such file'])
    refused(w, 'load', w.dir, names=['Is a directory'])

    # The last newline is not what makes it whole; nor do blank lines matter.
    w.run('load', '-', stdin='\n' + text.rstrip('\n'))


if __name__ == '__main__':
    sys.exit(main())
