#!/usr/bin/python3
"""grapnelctl against a real grapnel-mapd: every member of a record can be
given, changed, seen and dumped.

    tests/system/test-grapnelctl-members.py [PART-OF-A-TEST'S-NAME...]"""

import json
import re
import sys

from ctlworld import (
    ENDPOINT_DEFAULTS, GROUP_DEFAULTS, HOST_DEFAULTS, RECORDS, check,
    dump_text, equal, main, records_of, test)

ALGORITHMS = ['weighted', 'hash', 'round-robin', 'least-connections',
              'least-cost', 'nearest', 'lowest-response-time', 'availability']

# Of members that `set` takes: values that are not the default.
HOST_CHANGES = {'vtep': '2001:db8::9', 'encap': 'vxlan', 'region': 'eu',
                'zone': 'eu-1', 'rack': 'r.7', 'vnis': '5-9,77'}
GROUP_CHANGES = {'algorithm': 'nearest', 'affinity': 'source',
                 'affinity_timeout': 60, 'ramp': 30, 'distance': 'measured',
                 'on_host_death': 'reset', 'when_empty': 'reject',
                 'quic_id_offset': 1, 'quic_id_length': 4,
                 'health_check': 'arp', 'health_interval': 60000,
                 'health_timeout': 20, 'health_rise': 7, 'health_fall': 9,
                 'health_port': 8080, 'health_status': 204,
                 'health_path': '/ready?x=1',
                 'health_source': '2001:db8:1::9'}
ENDPOINT_CHANGES = {'host': 'h2', 'mac': '02:00:00:00:09:09', 'weight': 7,
                    'state': 'draining', 'cost': 65535, 'priority': 255,
                    'quic_id': '00c0ffee'}


def options(members):
    return [word for name, value in members.items()
            for word in ('--' + name.replace('_', '-'), str(value))]


def record(w, kind, id_):
    return w.json(kind, 'show', id_)['record']


@test
def every_member_can_be_given_when_a_record_is_made(w):
    w.run('host', 'add', 'h9', *options(HOST_CHANGES))
    equal(record(w, 'host', 'h9'),
          {**HOST_DEFAULTS, 'name': 'h9', **HOST_CHANGES})
    fixed = {'address': '2001:db8:1::100', 'protocol': 'udp', 'slots': 256}
    w.run('group', 'add', '9/q', '--port', '4430-4433', *options(fixed),
          *options(GROUP_CHANGES))
    equal(record(w, 'group', '9/q'),
          {**GROUP_DEFAULTS, 'vni': 9, 'name': 'q', **fixed, 'port': 4430,
           'port_last': 4433, **GROUP_CHANGES})
    w.run('endpoint', 'add', '9/q/e', *options(ENDPOINT_CHANGES))
    equal(record(w, 'endpoint', '9/q/e'),
          {**ENDPOINT_DEFAULTS, 'vni': 9, 'group': 'q', 'name': 'e',
           **ENDPOINT_CHANGES})


@test
def every_member_can_be_changed_alone(w):
    w.run('host', 'add', 'h9', '--vtep', '192.0.2.9')
    w.run('group', 'add', '9/q', '--address', '10.9.9.9', '--protocol', 'udp',
          '--quic-id-length', '4')
    w.run('endpoint', 'add', '9/q/e', '--host', 'h9', '--mac',
          '02:00:00:00:00:09')
    for kind, id_, changes in (('host', 'h9', HOST_CHANGES),
                               ('group', '9/q', GROUP_CHANGES),
                               ('endpoint', '9/q/e', ENDPOINT_CHANGES)):
        for name, value in changes.items():
            before = record(w, kind, id_)
            w.run(kind, 'set', id_, *options({name: value}),
                  *(['--force'] if name == 'affinity' else []))
            equal(record(w, kind, id_), {**before, name: value})


@test
def what_has_no_effect_is_warned_of(w):
    def warnings(*argv):
        result = w.json(*argv, '--if-revision', str(w.revision()))
        return sorted(re.search(r': (\w+) has no effect', text)[1]
                      for text in result.get('warnings', []))

    set_group = ['group', 'set', '5001/web']
    set_endpoint = ['endpoint', 'set', '5001/web/w1']
    equal(warnings('group', 'add', '9/a', '--address', '10.9.0.1',
                   '--affinity-timeout', '5', '--distance', 'measured',
                   '--ramp', '9'), ['affinity_timeout', 'distance'])
    equal(warnings(*set_group, '--affinity-timeout', '10800', '--distance',
                   'labels'), [], 'what is as it always is')
    equal(warnings(*set_endpoint, '--cost', '3', '--priority', '4',
                   '--weight', '5'), ['cost', 'priority'])
    equal(warnings(*set_endpoint, '--weight', '6'), [], 'what is not given')
    for algorithm, idle in (('least-cost', ['priority']),
                            ('availability', ['cost']),
                            ('nearest', ['cost', 'priority'])):
        equal(warnings(*set_group, '--algorithm', algorithm), [])
        equal(warnings(*set_endpoint, '--cost', '7', '--priority', '8'), idle)
    equal(warnings(*set_group, '--distance', 'measured'), [])
    equal(warnings('group', 'set', '5002/web', '--affinity-timeout', '7'), [])
    err = w.run(*set_endpoint, '--cost', '9', note='warning').err
    equal(err, "grapnelctl: warning: 5001/web/w1: cost has no effect without "
          "the group's algorithm least-cost\n")


@test
def every_algorithm_and_protocol_is_known(w):
    for algorithm in ALGORITHMS:
        w.run('group', 'set', '5001/web', '--algorithm', algorithm)
        equal(record(w, 'group', '5001/web')['algorithm'], algorithm)
    for i, protocol in enumerate(('tcp', 'udp', 'sctp', 'icmp')):
        w.run('group', 'add', '9/g%d' % i, '--address', '10.9.9.9',
              '--protocol', protocol)
    text = w.run('group', 'list', '--vni', '9').out
    equal([line.split()[2:4] for line in text.splitlines()[1:]],
          [['tcp', 'all'], ['udp', 'all'], ['sctp', 'all'], ['icmp', '-']])


@test
def labels_and_ids_can_be_taken_back(w):
    w.run('host', 'set', 'h1', '--zone', 'z')
    equal(w.run('host', 'set', 'h1', '--zone', '').out.splitlines()[0],
          '~ host h1: zone z -> -')
    equal(record(w, 'host', 'h1')['zone'], '')
    check(re.search(r'^zone +-$', w.run('host', 'show', 'h1').out, re.M),
          'show has no "-"')


@test
def an_addition_tells_what_is_not_usual(w):
    out = w.run('group', 'add', '9/q', '--address', 'fd00::9', '--port',
                '80-90', '--ramp', '5').out
    equal(out.splitlines()[0],
          '+ group 9/q: address fd00::9, protocol tcp, port 80, port_last 90, '
          'algorithm weighted, affinity flow, ramp 5, slots 1024')
    out = w.run('host', 'add', 'h9', '--vtep', 'fd00::9', '--rack', 'r').out
    equal(out.splitlines()[0],
          '+ host h9: vtep fd00::9, encap geneve, rack r')


@test
def lists_have_columns_for_what_is_used(w):
    def heading(kind):
        return w.run(kind, 'list').out.splitlines()[0].split()

    equal(heading('host'), ['HOST', 'VTEP', 'ENCAP', 'CONNECTED', 'APPLIED',
                            'AGE', 'LAG'])
    w.run('host', 'set', 'h2', '--zone', 'b')
    equal(heading('host'), ['HOST', 'VTEP', 'ENCAP', 'ZONE', 'CONNECTED',
                            'APPLIED', 'AGE', 'LAG'])
    equal([line.split()[3] for line in
           w.run('host', 'list').out.splitlines()[1:]], ['-', 'b'])
    equal(heading('endpoint'), ['ENDPOINT', 'STATE', 'WEIGHT', 'HOST', 'MAC',
                                'SLOTS', 'SHARE'])
    w.run('endpoint', 'set', '5001/web/w2', '--cost', '3', '--priority', '1')
    equal(heading('endpoint'), ['ENDPOINT', 'STATE', 'WEIGHT', 'COST',
                                'PRIORITY', 'HOST', 'MAC', 'SLOTS', 'SHARE'])
    w.run('group', 'add', '9/q', '--address', 'fd00::9', '--port', '80-90',
          '--algorithm', 'lowest-response-time')
    lines = w.run('group', 'list').out.splitlines()
    equal(lines[0].split(), ['GROUP', 'ADDRESS', 'PROTOCOL', 'PORT',
                             'ALGORITHM', 'AFFINITY', 'SLOTS', 'ENDPOINTS',
                             'UP'])
    equal(lines[1].split()[:6], ['9/q', 'fd00::9', 'tcp', '80-90',
                                 'lowest-response-time', 'flow'])


@test
def a_dump_without_the_newer_members_can_be_loaded(w):
    old = [
        {'kind': 'host', 'name': 'h7', 'vtep': '192.0.2.7',
         'encap': 'geneve'},
        {'kind': 'group', 'vni': 7, 'name': 'g', 'address': '10.7.0.1',
         'protocol': 'tcp', 'port': 80, 'algorithm': 'weighted',
         'affinity': 'flow', 'slots': 1024},
        {'kind': 'endpoint', 'vni': 7, 'group': 'g', 'name': 'e',
         'host': 'h7', 'mac': '02:00:00:00:07:01', 'weight': 100,
         'state': 'up'}]
    w.run('load', '--prune', '-', stdin=dump_text(old))
    equal(records_of(w.dump()),
          [{**HOST_DEFAULTS, **old[0]}, {**GROUP_DEFAULTS, **old[1]},
           {**ENDPOINT_DEFAULTS, **old[2]}])


@test
def a_dump_has_all_members(w):
    w.run('host', 'set', 'h1', *options(HOST_CHANGES))
    w.run('endpoint', 'set', '5001/web/w1', '--cost', '9')
    before = w.dump()
    equal([set(json.loads(line)) for line in before.splitlines()[1:-1]],
          [set(r) for r in RECORDS], 'members in the dump')
    w.reset()
    w.run('load', '-', stdin=before)
    equal(records_of(w.dump()), records_of(before), 'the dump')


if __name__ == '__main__':
    sys.exit(main())
