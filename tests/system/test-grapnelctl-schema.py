#!/usr/bin/python3
"""Runs every verb of grapnelctl against a real grapnel-mapd, so that it
succeeds and so that it fails, and holds what it prints with --json against
the schemas of docs/schema.  A verb that is not in the lists here, or a noun
without a schema, fails.

    tests/system/test-grapnelctl-schema.py [PART-OF-A-TEST'S-NAME...]"""

import copy
import json
import subprocess
import sys

import jsonschema

from ctlworld import (
    CTL, HOSTS, RECORDS, Switch, Watch, check, dump_text, equal, main, test)

# Of each verb, in an order in which they succeed: what succeeds, and what
# fails with which status.  DUMP and OTHER are files that the test makes.
EXERCISES = {
    'host add': (['h9', '--vtep', '192.0.2.9'], ['h1', '--vtep', 'x'], 1),
    'host set': (['h9', '--zone', 'z'], ['h9', '--zone', ' '], 1),
    'host list': ([], ['too', 'much'], 2),
    'host show': (['h1'], ['none'], 1),
    'host remove': (['h9', '--wait'], ['h1'], 1),
    'group add': (['9/new', '--address', '2001:db8::9'],
                  ['9/new', '--address', '0.0.0.0'], 1),
    'group set': (['9/new', '--algorithm', 'nearest', '--wait=3'],
                  ['9/none', '--ramp', '3'], 1),
    'group list': ([], ['--vni', '77'], 1),
    'group show': (['5001/web'], ['5001/none'], 1),
    'group remove': (['9/new'], ['9/none'], 1),
    'endpoint add': (['5001/web/w9', '--host', 'h1', '--mac',
                      '02:00:00:00:00:09', '--cost', '3'],
                     ['5001/web/w8'], 1),
    'endpoint set': (['5001/web/w9', '--weight', '7', '--if-revision=R'],
                     ['5001/web/w9', '--weight', '7', '--if-revision', '1'],
                     1),
    'endpoint list': ([], ['5001/none'], 1),
    'endpoint show': (['5001/web/w1'], ['5001/web/none'], 1),
    'endpoint remove': (['5001/web/w9'], ['5001/web/w9'], 1),
    'workload add': (['5001/vm1', '--host', 'h1', '--mac',
                      '02:00:00:00:01:01', '--address', '10.1.0.5'],
                     ['5001/vm2', '--host', 'h9', '--mac',
                      '02:00:00:00:01:02', '--address', '10.1.0.6'], 1),
    'workload set': (['5001/vm1', '--public-address', '203.0.113.5'],
                     ['5001/none', '--host', 'h1'], 1),
    'workload list': ([], ['x'], 2),
    'workload show': (['5001/vm1'], ['5001/none'], 1),
    'gateway add': (['gw1', '--node1', 'h1', '--node2', 'h2'],
                    ['gw2', '--node1', 'h1', '--node2', 'h1'], 1),
    'gateway set': (['gw1', '--active', 'h1', '--if-epoch', '0'],
                    ['gw1', '--active', 'h2', '--if-epoch', '0'], 1),
    'gateway list': ([], ['x'], 2),
    'gateway show': (['gw1'], ['none'], 1),
    'gateway pool add': (['0/public', '--first', '203.0.113.8', '--last',
                          '203.0.113.15'],
                         ['0/bad', '--first', '203.0.113.8', '--last',
                          '203.0.113.1'], 1),
    'gateway pool set': (['0/public', '--term', '60'],
                         ['0/none', '--term', '60'], 1),
    'gateway pool list': ([], ['x'], 2),
    'gateway pool show': (['0/public'], ['0/none'], 1),
    'gateway lease allocate': (['0/public', '--client', 'a1'],
                               ['0/none', '--client', 'a1'], 1),
    'gateway lease renew': (['0/public/203.0.113.8'],
                            ['0/public/203.0.113.9'], 1),
    'gateway lease reassign': (['0/public/203.0.113.8', '--client', 'b1'],
                               ['0/public/203.0.113.9', '--client', 'b1'],
                               1),
    'gateway lease list': ([], ['0/none'], 1),
    'gateway lease show': (['0/public/203.0.113.8'],
                           ['0/public/203.0.113.9'], 1),
    'gateway lease return': (['0/public/203.0.113.8'],
                             ['0/public/203.0.113.8'], 1),
    'gateway vip add': (['0/front', '--address', '198.51.100.9', '--gateway',
                         'gw1'],
                        ['0/back', '--address', '198.51.100.8', '--gateway',
                         'none'], 1),
    'gateway vip set': (['0/front', '--address', '198.51.100.10'],
                        ['0/none', '--address', '198.51.100.10'], 1),
    'gateway vip list': ([], ['x'], 2),
    'gateway vip show': (['0/front'], ['0/none'], 1),
    'gateway vip remove': (['0/front'], ['0/front'], 1),
    'gateway pool remove': (['0/public'], ['0/public'], 1),
    'gateway remove': (['gw1'], ['gw1'], 1),
    'workload remove': (['5001/vm1'], ['5001/vm1'], 1),
    'status': ([], ['--mapd', 'unix:/none'], 3),
    'watch': (None, ['--mapd', 'tcp:x'], 2),
    'wait': (['1'], ['999999', '--timeout', '0.1'], 4),
    'dump': ([], ['--mapd', 'unix:/none'], 3),
    'load': (['OTHER', '--prune', '--dry-run'], ['/none'], 1),
    'diff': (['DUMP'], ['/none'], 2),
    'trace': (['5001', 'tcp', '10.0.0.1:1', 'web'],
              ['5001', 'tcp', '10.0.0.1', 'none'], 1),
    'check': (['5001/web', '--host', 'h1'], ['5001/none'], 1),
    'bugreport': ([], ['x'], 2),
    'completion': (['bash'], ['fish'], 2),
    'help': (['host', 'add'], ['none'], 2),
}

ANSWER = {'text': 'so', 'verdict': 'local', 'endpoint': 'w1', 'host': 'h1',
          'epoch': 1 << 30, 'hash': '0123456789abcdef', 'slot': 3}


def name_of(verb):
    return ' '.join([*verb.get('noun', '').split(), verb['verb']])


def arguments(w, words):
    files = {'DUMP': dump_text(RECORDS),
             'OTHER': dump_text(RECORDS[:-1])}
    return [w.path(word, files[word]) if word in files
            else word.replace('=R', '=%d' % w.revision()) for word in words]


@test
def every_schema_is_one_and_every_noun_has_one(w):
    for name, schema in w.schemas.files.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        equal(schema['$schema'],
              'https://json-schema.org/draft/2020-12/schema', name)
    kinds = [next(iter(alternative.values()))
             for alternative in w.schemas.files['record.json']['oneOf']]
    for verb in w.schemas.verbs:
        if 'noun' in verb:
            file = verb['noun'].split()[-1] + '.json'
            check(file in w.schemas.files, 'no docs/schema/%s', file)
            check(file in kinds, '%s is not in record.json', file)


@test
def every_verb_is_exercised(w):
    equal(sorted(EXERCISES), sorted(map(name_of, w.schemas.verbs)),
          'the verbs in this test')


@test
def every_verb_prints_what_its_schema_says(w):
    host = Switch(w, HOSTS[0], lambda question: ANSWER)
    try:
        for verb, (good, bad, status) in EXERCISES.items():
            words = verb.split()
            if good is not None:
                out = w.run('--json', *words, *arguments(w, good)).out
                check(out, '%s prints nothing', verb)
            out = w.run('--json', *words, *arguments(w, bad),
                        status=status).out
            equal(w.schemas.errors('error.json', json.loads(out)), [],
                  'error of ' + verb)
    finally:
        host.close()


@test
def answers_that_exit_1_have_schemas_too(w):
    for argv in (['diff', w.path('d', dump_text(RECORDS[:2]))],
                 ['check', '5001/web']):
        process = subprocess.run([CTL, '--json', *argv], env=w.env, text=True,
                                 stdout=subprocess.PIPE, timeout=30)
        equal(process.returncode, 1, 'exit status of %r' % argv)
        name = w.schemas.name(argv, 1)
        equal(w.schemas.errors(name, json.loads(process.stdout)), [], name)


@test
def each_line_of_watch_fits(w):
    watch = Watch(w, '--json')
    try:
        lines = [watch.line()]
        w.run('endpoint', 'remove', '5001/web/w1')
        lines.append(watch.line())
        w.run('load', '-', stdin=dump_text(RECORDS))
        lines.append(watch.line())
    finally:
        watch.end()
    for line in lines:
        equal(w.schemas.errors('watch.json', json.loads(line)), [], line)
    equal([len(json.loads(line)['changes']) for line in lines], [0, 1, 1])


@test
def help_and_version_fit(w):
    for argv in ['help'], ['help', 'host'], ['--help'], ['host', '--help'], \
            ['host', 'add', '--help'], ['--version'], ['-V'], ['-h']:
        w.run('--json', *argv)
    equal(w.json('help', 'host', 'add')['verbs'][0]['verb'], 'add')


def broken(document):
    """Copies of 'document', each with one thing wrong: a member less, one of
    another type, and one that is unknown, at every depth."""
    def places(value, path):
        yield path
        children = (value.items() if isinstance(value, dict)
                    else list(enumerate(value))[:2]
                    if isinstance(value, list) else ())
        for key, child in children:
            yield from places(child, (*path, key))

    for path in places(document, ()):
        if not path:
            continue
        for change in 'drop', 'type':
            copied = copy.deepcopy(document)
            parent = copied
            for key in path[:-1]:
                parent = parent[key]
            if change == 'type':
                parent[path[-1]] = [[None]]
            elif isinstance(parent, dict):
                del parent[path[-1]]
            else:
                continue
            yield change, path, copied


# Members that need not be there.
OPTIONAL = {'applied_ms_ago', 'alive_changed_ms_ago', 'last_seen_ms_ago',
            'version', 'why', 'warnings', 'dry_run', 'field', 'value', 'op'}


@test
def schemas_refuse_what_is_wrong(w):
    for argv, status in ((['host', 'list'], 0), (['host', 'show', 'h1'], 0),
                         (['group', 'list'], 0),
                         (['endpoint', 'show', '5001/web/w1'], 0),
                         (['endpoint', 'set', '5001/web/w1', '--weight',
                           '9'], 0),
                         (['wait', '0'], 0), (['status'], 0),
                         (['group', 'show', '1/none'], 1)):
        document = w.json(*argv, status=status)
        name = w.schemas.name(argv, status)
        equal(w.schemas.errors(name, document), [], name)
        for change, path, wrong in broken(document):
            check(w.schemas.errors(name, wrong)
                  or (change == 'drop' and path[-1] in OPTIONAL),
                  '%s takes %s of %r: %s', name, change, path,
                  json.dumps(wrong)[:500])
    record = w.json('endpoint', 'show', '5001/web/w1')['record']
    for member, value in (('weight', 0), ('weight', '1'), ('state', 'UP'),
                          ('state', 1), ('vni', 0), ('mac', '01:0:0:0:0:0'),
                          ('name', '-x'), ('kind', 'group'), ('more', 1)):
        check(w.schemas.errors('endpoint.json', {**record, member: value}),
              'endpoint.json takes %s %r', member, value)


@test
def no_schema_is_left_over(w):
    """Of those that verbs have; the others are what these refer to."""
    for verb in w.schemas.verbs:
        w.schemas.validator(w.schemas.name(name_of(verb).split(), 0))
    w.schemas.validator('error.json')
    w.schemas.validator('version.json')
    equal(set(w.schemas.files) - w.schemas.used,
          {'common.json', 'record.json'}, 'schemas of no verb')


if __name__ == '__main__':
    sys.exit(main())
