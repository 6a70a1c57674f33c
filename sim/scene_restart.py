"""The demo's scene in which a switch is restarted under its connections."""

import re
import time

from clients import Holder
from node import Failed, wait_until

HELD = {'web': 140, 'web6': 30, 'turns': 40}   # Connections, by group.


def restarts_break_nothing(story, network, addresses):
    """(g)  'addresses' are the (address, port) of the groups."""
    client = network.vms['red-client']
    host = client.host
    network.ctl('endpoint', 'remove', '5001/web/web4', '--wait')
    held = [Holder(client, count, *addresses[group])
            for group, count in HELD.items()]
    network.add_endpoint('web', 'red-web4', '--weight', 300)
    share = next(item['status']['share'] for item in network.ctl_json(
        'endpoint', 'list', '5001/web') if item['record']['name'] == 'web4')

    took = []
    for kill in (False, True):
        start = time.monotonic()
        host.restart_switch(kill)
        # mapd may take it for the one before for a while; its log is sure.
        kept = wait_until('%s goes on with its flows' % host,
                          lambda: flows_kept(host, len(took) + 1), 30)
        network.wait_for_hosts()
        took.append(time.monotonic() - start)
        time.sleep(1)           # They go on.
        again = host.anycast_fact('endpoints_selected')
        if again:
            raise Failed('after the restart %d flows were picked anew' % again)
    reports = [holder.finish() for holder in held]

    broken = [text for report in reports for text in report['broken']]
    total = sum(HELD.values())
    if broken:
        raise Failed('%d of %d connections broke: %s' % (
            len(broken), total, '; '.join(broken[:3])))
    if min(map(int, kept)) < total:
        raise Failed('flows that went on: %s' % kept)
    story.holds('(g)', '''%d open connections (%d of them over IPv6, %d in a
                group of algorithm round-robin) went on unbroken while %s's
                switch was stopped and started (%.1f s until it was in step
                again), and then killed with SIGKILL and started (%.1f s): %d
                requests answered, the longest stall was %d ms.''' % (
                    total, HELD['web6'], HELD['turns'], host, took[0],
                    took[1], sum(report['requests'] for report in reports),
                    max(report['max_stall_ms'] for report in reports)))
    story.holds('   ', '''"%s flows go on where they were", says its log, then
                %s; none was picked anew, though web4, added just before, had
                taken over %d %% of the slots.'''
                % (kept[0], kept[1], 100 * share))


def flows_kept(host, restarts):
    """How many flows the switch went on with, as its log says, when it has
    been restarted that many times; nothing before."""
    log = host.ovs.log()
    if log.count('no flows to go on with') > 1:     # Once at its first start.
        raise Failed('%s forgot its flows; its log:\n%s' % (host, log[-4000:]))
    kept = re.findall(r'(\d+) flows go on where they were', log)
    return kept if len(kept) == restarts else None
