#!/usr/bin/python3
"""grapnelctl diff against a real grapnel-mapd: exit status as of diff(1), and
what it says is what loading would do.

    tests/system/test-grapnelctl-diff.py [PART-OF-A-TEST'S-NAME...]"""

import json
import subprocess
import sys

from ctlworld import (
    CTL, ENDPOINTS, GROUPS, HOSTS, RECORDS, Host, check, dump_text, equal,
    id_of, main, test)


def diff(w, records, status, *argv):
    """That there are differences is no failure: nothing is on standard
    error.  Nothing changes either."""
    before = w.dump()
    path = w.path('file.dump', dump_text(records))
    process = subprocess.run([CTL, *argv, 'diff', path], env=w.env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=30)
    equal((process.returncode, process.stderr), (status, ''),
          'exit status and standard error of diff')
    equal(w.dump(), before, 'the dump after a diff')
    return process.stdout


def changes(result):
    return sorted((c['op'], c['record']['kind'], id_of(c['record']))
                  for c in json.loads(result)['changes'])


@test
def the_same_is_0_and_silent(w):
    equal(diff(w, RECORDS, 0), '')
    equal(changes(diff(w, RECORDS, 0, '--json')), [])
    plain = [{k: v for k, v in r.items() if k != 'affinity_timeout'}
             for r in RECORDS]
    equal(diff(w, plain, 0), '', 'without members at their default')


@test
def different_is_1_with_every_difference(w):
    other = [*HOSTS, *GROUPS[:1], dict(ENDPOINTS[0], weight=7),
             *ENDPOINTS[2:], dict(ENDPOINTS[1], name='w9',
                                  mac='02:00:00:00:00:99')]
    result = diff(w, other, 1)
    equal(sorted(result.splitlines()),
          ['+ endpoint 5001/web/w9: host h2, mac 02:00:00:00:00:99, '
           'weight 100, state up', '- endpoint 5001/web/w2',
           '- group 5002/web',
           '~ endpoint 5001/web/w1: weight 100 -> 7'])
    said = changes(diff(w, other, 1, '--json'))
    done = w.json('load', '-', '--prune', stdin=dump_text(other))
    equal(sorted((c['op'], c['record']['kind'], id_of(c['record']))
                 for c in done['changes']), said, 'what loading it does')


@test
def a_connected_host_that_is_not_in_the_file_is_a_difference(w):
    host = Host(w, HOSTS[0])
    try:
        rest = [HOSTS[1], *GROUPS,
                *(e for e in ENDPOINTS if e['host'] != 'h1'),
                dict(ENDPOINTS[0], name='w7', host='h2',
                     mac='02:00:00:00:00:07')]
        equal(changes(diff(w, rest, 1, '--json')),
              [('add', 'endpoint', '5001/web/w7'),
               ('remove', 'endpoint', '5001/web/w1'),
               ('remove', 'endpoint', '5001/web/w4'),
               ('remove', 'host', 'h1')])
        err = w.run('load', '-', '--prune', status=1,
                    stdin=dump_text(rest)).err
        check('h1 is connected' in err, 'load says %r', err)
    finally:
        host.close()


@test
def another_affinity_is_a_difference_and_not_a_refusal(w):
    other = [dict(r, affinity='source') if r is GROUPS[0] else r
             for r in RECORDS]
    equal(diff(w, other, 1),
          '~ group 5001/web: affinity flow -> source\n')


@test
def all_trouble_is_2(w):
    for text in ('', 'nonsense\n', dump_text(RECORDS)[:-2],
                 dump_text([*RECORDS, dict(ENDPOINTS[0], name='x',
                                           host='h9')])):
        w.run('diff', '-', status=2, stdin=text)
        error = w.json('diff', '-', status=2, stdin=text)
        check(error['error'] in ('file', 'not-found'), 'it says %r', error)
    w.run('diff', '/none', status=2)
    w.run('diff', status=2)
    good = w.path('good.dump', dump_text(RECORDS))
    equal(w.json('--mapd', 'unix:/none', 'diff', good, status=2)['error'],
          'unreachable')


if __name__ == '__main__':
    sys.exit(main())
