#!/usr/bin/python3
"""grapnelctl against a real grapnel-mapd: waiting for hosts, and watching.

    tests/system/test-grapnelctl-wait.py [PART-OF-A-TEST'S-NAME...]"""

import json
import re
import sys
import time

from ctlworld import HOSTS, Host, Watch, check, equal, main, test


@test
def wait_is_bounded_and_names_those_that_lag(w):
    h1, h2 = Host(w, HOSTS[0]), Host(w, HOSTS[1])
    try:
        now = w.revision()
        h1.apply(now)
        text = w.run('wait', str(now), '--timeout', '0.3', status=4).err
        check('h2' in text and 'h1' not in text, 'wait says %r', text)
        error = w.json('wait', str(now), '--timeout', '0.3', status=4)
        equal((error['error'], error['lagging']), ('timeout', ['h2']))
        h2.apply(now)
        equal(w.run('wait', str(now)).out,
              'revision %d is in use on h1, h2\n' % now)
        equal([h['name'] for h in w.json('wait', str(now))['hosts']],
              ['h1', 'h2'])
        w.run('wait', str(now + 1), '--timeout', '0.2', status=4)
    finally:
        h1.close()
        h2.close()


@test
def a_change_waits_if_asked_but_not_for_ever(w):
    h1, h2 = Host(w, HOSTS[0]), Host(w, HOSTS[1])
    change = ['endpoint', 'set', '5001/web/w1', '--wait=0.3', '--weight']
    try:
        start = time.monotonic()
        err = w.run(*change, '7', status=4)
        check(time.monotonic() - start < 3, 'that took long')
        check('weight 100 -> 7' in err.out and 'h1, h2' in err.err,
              'it says %r and %r', err.out, err.err)
        now = w.revision()
        h1.apply(now)
        equal(w.json(*change, '7', status=4)['lagging'], ['h2'])
        h2.apply(now)
        got = w.json(*change, '7')
        equal(([h['name'] for h in got['hosts']], got['changes']),
              (['h1', 'h2'], []))
        w.run('load', '-', '--wait', stdin=w.dump())
    finally:
        h1.close()
        h2.close()
    out = w.run(*change, '8', note='warning: no host is connected').out
    check('is in use on no host; not connected: h1, h2' in out,
          'it says %r', out)
    equal(w.json(*change, '9')['hosts'], [])
    w.run('wait', '1', note='warning: no host is connected')


@test
def a_list_tells_for_how_long_a_host_has_its_revision(w):
    def row():
        out = w.run('host', 'list').out.splitlines()
        return dict(zip(out[0].split(), out[1].split()))

    def age():
        return w.json('host', 'show', 'h1')['status'].get('applied_ms_ago')

    host = Host(w, HOSTS[0])
    try:
        equal((row()['AGE'], age()), ('-', None), 'before it has any')
        host.apply(w.revision())
        w.run('wait', str(w.revision()))
        first = age()
        check(0 <= first < 5000, 'it is %d ms old', first)
        time.sleep(1.1)
        check(first + 1000 < age() < first + 20000, '%d ms, then %d', first,
              age())
        check(re.search(r' +[1-9]\d* s +0\n', w.run('host', 'list').out),
              'no age in %r', w.run('host', 'list').out)
        host.apply(w.revision())
        check(age() < first + 1000, 'another report does not count')
    finally:
        host.close()


@test
def set_wait_returns_as_soon_as_the_host_has_it(w):
    host = Host(w, HOSTS[0])
    host.follow(0.3)
    try:
        start = time.monotonic()
        out = w.run('endpoint', 'set', '5001/web/w1', '--weight', '3',
                    '--wait').out
        check(0.3 <= time.monotonic() - start < 3, 'it took %g s',
              time.monotonic() - start)
        check('in use on h1; not connected: h2\n' in out, 'it says %r', out)
    finally:
        host.close()


@test
def watch_prints_changes_as_they_happen(w):
    text, lines = Watch(w), Watch(w, '--json')
    try:
        now = w.revision()
        check(text.line().startswith('revision %d' % now), 'no start')
        equal(json.loads(lines.line()), {'revision': now, 'changes': []})
        w.run('endpoint', 'set', '5001/web/w1', '--weight', '77')
        equal([text.line(), text.line()],
              ['revision %d' % (now + 1),
               '~ endpoint 5001/web/w1: weight 100 -> 77'])
        got = json.loads(lines.line())
        equal((got['revision'], got['changes'][0]['record']['weight']),
              (now + 1, 77))
    finally:
        text.end()
        lines.end()


@test
def watch_ends_when_mapd_goes_away(w):
    watch = Watch(w)
    watch.line()
    w.stop()
    status = watch.process.wait(5)
    w.start()
    equal(status, 3, 'exit status of watch')
    _, err = watch.end()
    check(re.fullmatch('grapnelctl: .*closed.*\n', err), 'it says %r', err)


@test
def watch_ends_when_nobody_reads(w):
    watch = Watch(w)
    watch.line()
    equal(watch.end(), (1, ''), 'the end of watch')


if __name__ == '__main__':
    sys.exit(main())
