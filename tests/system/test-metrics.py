#!/usr/bin/python3
"""Figures of mapd and of a switch, by HTTP: judged by Prometheus's own tool,
compared with what the programs say in other ways, and asked for by clients
that behave badly."""

import sys
sys.dont_write_bytecode = True

import json
import os
import re
import resource
import time

import harness
from harness import TOP, check

from clients import connect
from node import Helper, run, wait_until
from openvswitch import BUILD
from sandbox import RUN_DIR
from tenant import group, h4, red
from topology import Topology

PROMTOOL = os.path.join(TOP, '.deps', 'prometheus', 'usr', 'bin', 'promtool')
PORT = 9464
MAX_ENDPOINTS = 1000            # SWITCH_METRICS_MAX_ENDPOINTS
MAX_CLIENTS = 16                # METRICS_SERVER_MAX_CLIENTS
MAX_SECONDS = 5                 # METRICS_SERVER_MAX_MS
EXCUSED_SECONDS = 1.0           # For one answer, on a busy machine.

tests = harness.Tests()


def curl(node, path, *options, check=True):
    return run(node, ['curl', '-sS', '--max-time', 30, *options,
                      'http://127.0.0.1:%d%s' % (PORT, path)], check=check)


def status(node, path, *options):
    return curl(node, path, '-o', '/dev/null', '-w', '%{http_code}',
                *options).stdout


def scrape(node):
    return curl(node, '/metrics').stdout


def parse(text):
    """{name or name{labels}: value}, read by the words of the format."""
    figures = {}
    for line in text.splitlines():
        if not line.startswith('#'):
            name, value = re.fullmatch(
                r'([a-z_0-9]+(?:\{.*\})?) (\S+)', line).groups()
            check(name not in figures, '%s twice', name)
            figures[name] = float(value)
    return figures


def figures(node):
    return parse(scrape(node))


def judge(node):
    text = scrape(node)
    judged = run(node, [PROMTOOL, 'check', 'metrics'], stdin=text)
    check(not judged.stderr.strip(), '%s', judged.stderr)
    names = re.findall(r'^# TYPE (\S+)', text, re.M)
    check(len(names) > 20 and len(set(names)) == len(names), '%s', names)
    check(all(name.startswith('grapnel_') for name in names), '%s', names)


def moved(before, after):
    return {name: after[name] - before.get(name, 0) for name in after
            if after[name] != before.get(name, 0)}


@tests.add
def they_are_off_unless_asked_for(network):
    done = curl(h4(network), '/metrics', check=False)
    check(done.returncode == 7, 'somebody answers: %s', done.stdout)


def watched(network):
    """h4, which tells its figures from now on."""
    host = h4(network)
    host.ovs.vsctl('set', 'open', '.',
                   'external_ids:grapnel-metrics=%d' % PORT)
    wait_until('an answer', lambda: curl(host, '/healthz',
                                         check=False).stdout == 'ok\n')
    return host


@tests.add
def promtool_finds_no_fault(network):
    watched(network)
    with group(network, 'red-web1', 'red-web2'):
        judge(network.mapd_node)
        judge(h4(network))


@tests.add
def mapd_counts_what_changes_and_what_is_refused(network):
    mapd = network.mapd_node
    before = figures(mapd)
    with group(network, 'red-web1', 'red-web2'):
        for weight in (10, 20, 30):
            network.ctl('endpoint', 'set', '5001/test/web1', '--weight',
                        weight, '--wait')
        for _ in range(2):
            done = network.ctl('endpoint', 'set', '5001/test/none', '--weight',
                               10, check=False)
            check(done.returncode == 1, 'not refused')
        after = figures(mapd)
        told = network.ctl_json('status')['mapd']
    change = moved(before, after)
    # A group, two endpoints, three weights.
    check(change['grapnel_mapd_revision'] == 6
          and change['grapnel_mapd_commit_seconds_count'] == 6
          and change['grapnel_mapd_commit_seconds_bucket{le="+Inf"}'] == 6
          and change['grapnel_mapd_received_messages_total'
                     '{method="transact"}'] == 8
          and change['grapnel_mapd_refused_messages_total'
                     '{method="transact"}'] == 2
          and change['grapnel_mapd_groups'] == 1
          and change['grapnel_mapd_endpoints'] == 2, '%s', change)
    check(0 < change['grapnel_mapd_commit_seconds_sum'] < 60, '%s', change)
    # Each of the four hosts was told of each, and said that it has it.
    check(change['grapnel_mapd_received_messages_total{method="applied"}']
          >= len(network.hosts), '%s', change)
    check(change['grapnel_mapd_sent_messages_total'] >= 6 * 4, '%s', change)
    for figure, member in (('revision', 'revision'), ('hosts', 'hosts'),
                           ('groups', 'groups'), ('endpoints', 'endpoints'),
                           ('connected_hosts', 'connected')):
        check(after['grapnel_mapd_' + figure] == told[member], '%s: %s, %s',
              figure, after, told)
    check(after['grapnel_mapd_subscribers'] == len(network.hosts)
          and after['grapnel_mapd_lagging_hosts'] == 0
          and after['grapnel_mapd_info{version="%s",store="sqlite"}'
                    % told['version']] == 1, '%s', after)
    # Once it has registered, each says which of its endpoints are well.
    check(after['grapnel_mapd_received_messages_total{method="health"}']
          >= len(network.hosts)
          and after['grapnel_mapd_received_messages_total{method="other"}']
          == 0, '%s', after)


@tests.add
def the_switch_counts_what_traffic_does(network):
    host = watched(network)
    with group(network, 'red-web1', 'red-web2', port=8080):
        before = figures(host)
        connect(red(network), 12, port=8080)
        wait_until('the packets', lambda: figures(host)[
            'grapnel_switch_selected_endpoints_total']
            >= before['grapnel_switch_selected_endpoints_total'] + 12)
        change = moved(before, figures(host))
        selected = {re.search('endpoint="(.*?)"', name).group(1): value
                    for name, value in change.items()
                    if 'endpoint_selected_flows' in name}
        told = {line['endpoint']: line['selected'] for line in json.loads(
            host.ovs.appctl('anycast/groups', '--json'))
            if line['group'] == 'test'}
        check(selected == {name: n for name, n in told.items() if n}
              and sum(selected.values()) == 12, '%s, %s', selected, told)
        check(change['grapnel_switch_inserted_flows_total'] == 12
              and change['grapnel_switch_flows'] == 12
              and change['grapnel_switch_underlay_packets_total'] >= 12 * 3,
              '%s', change)


@tests.add
def the_switch_says_what_appctl_says(network):
    host = watched(network)
    run(red(network), ['ping', '-q', '-c', 2, '-i', 0.2, '-W', 1,
                       '10.1.0.100'], check=False)

    def differences():
        now = figures(host)
        show = json.loads(host.ovs.appctl('anycast/show', '--json'))
        drops = json.loads(host.ovs.appctl('anycast/drops', '--json'))
        pairs = [(now['grapnel_switch_dropped_packets_total{reason="%s"}'
                      % reason], n) for reason, n in drops.items()]
        pairs += [(now['grapnel_switch_' + figure], show[member])
                  for figure, member in (
                      ('revision', 'revision'), ('groups', 'groups'),
                      ('hosts', 'hosts'),
                      ('hosts_without_next_hop', 'hosts_without_next_hop'),
                      ('steering_rules', 'steering_rules'),
                      ('flow_table_bytes', 'flow_memory_bytes'),
                      ('flows', 'flows_used'),
                      ('inserted_flows_total', 'flows_inserted'),
                      ('expired_flows_total', 'flows_expired'),
                      ('evicted_flows_total', 'flows_evicted'),
                      ('refused_flows_total', 'flows_refused'),
                      ('underlay_packets_total', 'packets_to_underlay'),
                      ('sent_hints_total', 'hints_sent'),
                      ('asked_handovers_total', 'handovers_asked'),
                      ('sent_arp_replies_total', 'arp_replies'),
                      ('dropped_health_answers_total',
                       'health_answers_dropped'))]
        capacity = sum(value for name, value in now.items()
                       if 'flow_table_capacity' in name)
        pairs.append((capacity, show['flow_capacity']))
        pairs.append((now['grapnel_switch_mapd_connected'], 1))
        return [pair for pair in pairs if pair[0] != pair[1]]

    # Packets of all kinds come between the two questions.
    wait_until('the same figures', lambda: not differences())


@tests.add
def endpoints_beyond_the_limit_are_left_out(network):
    """The latest ones, and their number is told."""
    host = watched(network)
    with group(network, 'red-web1', name='early'):
        with group(network, name='many', port=81):
            records = [{'kind': 'endpoint', 'vni': 5001, 'group': 'many',
                        'name': 'e%d' % i, 'host': 'h2',
                        'mac': '02:00:00:01:%02x:%02x' % divmod(i, 256)}
                       for i in range(MAX_ENDPOINTS + 99)]
            lines = [{'grapnel': 'dump', 'version': 1, 'revision': 1},
                     *records, {'end': True, 'records': len(records)}]
            network.ctl('load', '--wait', '-', stdin=''.join(
                json.dumps(line) + '\n' for line in lines))
            start = time.monotonic()
            now = figures(host)
            took = time.monotonic() - start
            judge(host)
            named = [name for name in now if 'endpoint_flows{' in name]
            check(len(named) == MAX_ENDPOINTS and any(
                'group="early"' in name for name in named)
                and now['grapnel_switch_omitted_endpoints'] == 100,
                '%d, %s omitted', len(named),
                now['grapnel_switch_omitted_endpoints'])
            check(took < EXCUSED_SECONDS, 'took %.3f s', took)


@tests.add
def while_mapd_is_away_the_age_grows(network):
    host = watched(network)
    network.expect_log(r'agent\d+\)\|WARN')
    network.expect_log(r'host h\d: registered by .* closing its older')
    network.mapd.kill()
    wait_until('the switch notices', lambda: figures(host)[
        'grapnel_switch_mapd_connected'] == 0, 30)
    wait_until('the age grows', lambda: figures(host)[
        'grapnel_switch_mapping_age_seconds'] > 0.5)
    check(status(host, '/healthz') == '200', 'traffic goes on, after all')
    network.start_mapd()
    network.wait_for_hosts()
    check(figures(host)['grapnel_switch_mapping_age_seconds'] == 0, 'age')


@tests.add
def health_tells_what_is_wrong(network):
    host = watched(network)
    network.expect_log(r'external_ids:grapnel-encap: "gre" is neither')
    host.ovs.vsctl('set', 'open', '.', 'external_ids:grapnel-encap=gre')
    wait_until('503', lambda: status(host, '/healthz') == '503')
    check('grapnel-encap: "gre"' in curl(host, '/healthz').stdout, 'unnamed')
    host.ovs.vsctl('set', 'open', '.', 'external_ids:grapnel-encap=geneve')
    wait_until('200', lambda: status(host, '/healthz') == '200')

    mapd = network.mapd_node
    check(curl(mapd, '/healthz').stdout == 'ok\n', 'mapd')
    store = os.path.join(RUN_DIR, 'mapd', 'mapd.db')
    os.rename(store, store + '.away')
    try:
        wait_until('503', lambda: status(mapd, '/healthz') == '503')
        check('mapd.db' in curl(mapd, '/healthz').stdout, 'unnamed')
    finally:
        os.rename(store + '.away', store)
    wait_until('200', lambda: status(mapd, '/healthz') == '200')


@tests.add
def what_is_no_question_is_refused(network):
    for node in (network.mapd_node, watched(network)):
        check(status(node, '/') == '404', 'root')
        check(status(node, '/metrics/../x') == '404', 'path')
        check(status(node, '/metrics?a=b') == '200', 'query')
        check(status(node, '/metrics', '-I') == '200', 'HEAD')
        check(status(node, '/metrics', '-d', 'x') == '405', 'POST')
        check(status(node, '/metrics', '-X', 'DELETE') == '405', 'DELETE')
        for option in (['-H', 'X: ' + 'x' * 60000],
                       ['-H', 'Content-Length: -1', '-X', 'POST']):
            done = curl(node, '/metrics', '-o', '/dev/null', '-w',
                        '%{http_code}', *option, check=False)
            check(done.returncode or done.stdout.startswith('4'), '%s: %s',
                  option[1][:20], done.stdout)
        check(status(node, '/metrics') == '200', 'after that')


CROWD = '''
import os, resource, select, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
port, n, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
opened = []
for i in range(n):
    s = socket.socket()
    s.setblocking(False)
    try:
        s.connect(('127.0.0.1', port))
    except BlockingIOError:
        pass
    opened.append(s)
print('ready', flush=True)
request = b'GET /metrics HTTP/1.1\\r\\nX: ' + b'x' * 10000
sent = 0
while not select.select([sys.stdin], [], [], 0.2)[0]:
    for s in opened:
        try:
            if kind == 'garbage':
                s.send(os.urandom(1000))
            elif kind == 'slow':
                s.send(request[sent:sent + 1])
            elif kind == 'flood':
                s.send(b'GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
        except OSError:
            pass
    sent += 1
'''


def descriptors(daemon):
    return len(os.listdir('/proc/%d/fd' % daemon.pid))


def memory(daemon):
    with open('/proc/%d/statm' % daemon.pid) as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def under_attack(network, node, daemon, probe, what):
    """Runs 'probe' while each kind of bad client is at it; then 'node' answers
    again, and holds nothing of theirs."""
    before = descriptors(daemon)
    used = memory(daemon)
    for kind, n in (('silent', 1000), ('slow', 40), ('garbage', 100),
                    ('flood', 100)):
        crowd = Helper(node, '-c', CROWD, PORT, n, kind)
        try:
            worst, most = 0, 0
            end = time.monotonic() + MAX_SECONDS + 1
            while time.monotonic() < end:
                start = time.monotonic()
                probe()
                worst = max(worst, time.monotonic() - start)
                most = max(most, descriptors(daemon) - before)
            check(worst < EXCUSED_SECONDS, '%s, %s clients: stalled for %.3f '
                  's', what, kind, worst)
            check(most <= MAX_CLIENTS + 8, '%s, %s clients: %d descriptors',
                  what, kind, most)
        finally:
            crowd.kill()
        wait_until('an answer after %s clients' % kind, lambda: curl(
            node, '/healthz', check=False).stdout == 'ok\n', 60)
        wait_until('no descriptor left', lambda: descriptors(daemon)
                   <= before + 2, 30)
    check(memory(daemon) - used < 32 << 20, '%s: %d bytes more', what,
          memory(daemon) - used)


@tests.add
def bad_clients_do_not_stall_mapd(network):
    def probe():
        network.ctl('status')

    under_attack(network, network.mapd_node, network.mapd, probe, 'mapd')
    change = figures(network.mapd_node)
    check(change['grapnel_mapd_dead_hosts'] == 0, 'a host died of it')


@tests.add
def bad_clients_do_not_stall_the_switch(network):
    host = watched(network)

    def probe():
        host.ovs.appctl('version')

    under_attack(network, host, host.ovs.switch, probe, 'switch')


@tests.add
def an_honest_client_is_answered_while_slow_ones_hold_on(network):
    """All places are taken; but each for so long only."""
    node = network.mapd_node
    crowd = Helper(node, '-c', CROWD, PORT, MAX_CLIENTS, 'slow')
    try:
        start = time.monotonic()
        check('grapnel_mapd_revision' in scrape(node), 'no answer')
        waited = time.monotonic() - start
        check(waited < MAX_SECONDS + 10, 'waited for %.1f s', waited)
    finally:
        crowd.kill()


@tests.add
def mapd_does_not_start_with_an_address_that_it_cannot_have(network):
    """And names the option, the value and the cause."""
    for address, cause in (('0', 'must be'), ('65536', 'must be'),
                           ('h1:9464', 'must be'), (':9464', 'must be'),
                           ('2001:db8::1:9464', 'must be'),
                           ('203.0.113.9:9464', 'Cannot assign'),
                           (str(PORT), 'Address already in use')):
        done = run(network.mapd_node, [
            os.path.join(BUILD, 'grapnel-mapd'), '--metrics=' + address,
            '--store=sqlite:' + os.path.join(RUN_DIR, 'refused.db'),
            '--listen=punix:' + os.path.join(RUN_DIR, 'refused.sock'),
            '--unixctl=none'], check=False)
        check(done.returncode == 1 and 'metrics "%s"' % address in done.stderr
              and cause in done.stderr, '%s: %s', address, done)


@tests.add
def the_address_can_be_changed_and_taken_away(network):
    host = watched(network)
    network.expect_log(r'grapnel-metrics.*Address already in use')

    def answers(port):
        return run(host, ['curl', '-sS', '--max-time', 10,
                          'http://127.0.0.1:%d/healthz' % port],
                   check=False).stdout == 'ok\n'

    taken = Helper(host, '-c', '''
import socket, sys
s = socket.socket()
s.bind(('127.0.0.1', %d))
s.listen()
print('ready', flush=True)
sys.stdin.read()''' % (PORT + 1))
    host.ovs.vsctl('set', 'open', '.',
                   'external_ids:grapnel-metrics=127.0.0.1:%d' % (PORT + 1))
    wait_until('the old one ends', lambda: not answers(PORT))
    taken.finish()              # It is tried again.
    wait_until('the new one answers', lambda: answers(PORT + 1), 30)
    host.ovs.vsctl('remove', 'open', '.', 'external_ids', 'grapnel-metrics')
    wait_until('nobody answers', lambda: not answers(PORT + 1))


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'metrics'),
        mapd_options=['--metrics=%d' % PORT])))
