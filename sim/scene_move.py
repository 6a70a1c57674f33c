"""The demo's scene in which a client VM moves to another host."""

import json
import time

from clients import Holder, connect
from node import Failed

HELD = {'web': 40, 'turns': 40}         # Connections, by group.
TARGET = 'h3'


def moves_break_nothing(story, network, addresses):
    """(h)  'addresses' are the (address, port) of the groups."""
    client = network.vms['red-client']
    old, new = client.host, network.hosts[TARGET]
    held = [Holder(client, count, *addresses[group])
            for group, count in HELD.items()]
    weight = 100 if weight_of(network, 'web3') > 100 else 300
    network.ctl('endpoint', 'set', '5001/web/web3', '--weight', weight,
                '--wait')
    before = new.show()
    start = time.monotonic()
    network.move_vm('red-client', TARGET)
    seconds = time.monotonic() - start
    time.sleep(2)
    handed_over = len(flows_of(new, client, 'turns'))
    connect(client, 50)
    reports = [holder.finish() for holder in held]
    after = new.show()

    broken = [text for report in reports for text in report['broken']]
    total = sum(HELD.values())
    if broken:
        raise Failed('%d of %d connections broke: %s' % (
            len(broken), total, '; '.join(broken[:3])))
    if handed_over != HELD['turns']:
        raise Failed('%s has %d flows of "turns"' % (new, handed_over))
    asked, hints = (after[name] - before[name]
                    for name in ('handovers_asked', 'hints_accepted'))
    story.holds('(h)', '''The client VM moved from %s to %s (its port was away
                for %.1f s) with %d open connections, %d of them in a group of
                algorithm round-robin, and after the weights of the other had
                changed: none broke, %d requests answered, the longest stall
                was %d ms.''' % (
                    old, new, seconds, total, HELD['turns'],
                    sum(report['requests'] for report in reports),
                    max(report['max_stall_ms'] for report in reports)))
    story.holds('   ', '''%s asked once%s, and %s handed over %d flows; %d were
                set right by hints from the endpoints' switches.''' % (
                    new, '' if asked == 1 else ' (%d times)' % asked, old,
                    handed_over, hints))


def weight_of(network, endpoint):
    return next(item['record']['weight'] for item in network.ctl_json(
        'endpoint', 'list', '5001/web') if item['record']['name'] == endpoint)


def flows_of(host, vm, group):
    """What 'host' knows of the live flows of 'vm' in group 'group' of its
    tenant."""
    return [flow for flow in json.loads(host.ovs.appctl(
                'anycast/flows', '--json', 100000))
            if flow.get('group') == group and flow['vni'] == vm.vni
            and flow['state'] != 'closing'
            and flow['source'] in (vm.address, vm.address6)]
