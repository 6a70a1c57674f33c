"""The demo's scene with a server that becomes slow."""

import time

from clients import Opener
from node import Failed
from slowlink import SlowLink
from topology import ANYCAST

RATE = 100                      # New connections a second.
USUAL_MS = 20                   # All servers are alike, as if in other racks.
DELAY_MS = 200
WARM_SECONDS = 1                # Connections before anything is counted, ...
EVEN_SECONDS = 1.5              # ... before the server becomes slow, ...
SLOW_SECONDS = 2.5              # ... while it is, ...
BACK_SECONDS = 4                # ... and afterwards.
EVEN = 0.12                     # Its share at first is higher than that, ...
LEFT = 0.10                     # ... then lower than that, ...
BACK = 0.20                     # ... and then higher again.
WINDOW = 0.5                    # Seconds over which a share is taken, ...
STEP = 0.1                      # ... and those over which it is shown: so ...
SHOWN_BEFORE = 3                # ... many before the change, ...
SHOWN_AFTER = 8                 # ... and after it.


def slow_servers_are_left(story, network):
    """(i)"""
    client, slow = network.vms['blue-client'], 'blue-web3'
    names = ['blue-web%d' % number for number in (1, 2, 3)]
    network.ctl('group', 'add', '5002/swift', '--address', ANYCAST,
                '--protocol', 'tcp', '--port', 8081,
                '--algorithm', 'lowest-response-time')
    for name in names:
        network.add_endpoint('swift', name)
    links = {name: SlowLink(network.vms[name]) for name in names}
    for link in links.values():
        link.delay(USUAL_MS)
    opener = Opener(client, RATE, ANYCAST, 8081)
    time.sleep(WARM_SECONDS + EVEN_SECONDS)
    slowed = time.monotonic()
    links[slow].delay(DELAY_MS)
    time.sleep(SLOW_SECONDS)
    mended = time.monotonic()
    links[slow].delay(USUAL_MS)
    time.sleep(BACK_SECONDS)
    shares = Shares(opener.finish(), names)
    judge(story, shares, slow, slowed, mended)
    story.say('''Shares of new connections, in percent, in each tenth of a
              second; at 0.0 %s became slow:''' % slow)
    story.table(['second'] + ['%.1f' % (STEP * i) for i in
                              range(-SHOWN_BEFORE, SHOWN_AFTER)],
                shares.rows(slowed - SHOWN_BEFORE * STEP,
                            SHOWN_BEFORE + SHOWN_AFTER))


class Shares:
    """Who answered the connections that began when."""

    def __init__(self, connections, names):
        unanswered = [c for c in connections if c[1] not in names]
        if unanswered:
            raise Failed('%d of %d connections were not answered by %s: %s'
                         % (len(unanswered), len(connections),
                            ', '.join(names), unanswered[:3]))
        self.connections = connections
        self.names = names
        self.end = connections[-1][0]

    def share(self, name, start, end):
        """The part of 'name' in those that began in 'start'...'end', 0 to 1;
        0 if there are none."""
        names = [c[1] for c in self.connections if start <= c[0] < end]
        return names.count(name) / max(1, len(names))

    def first(self, name, start, end, holds):
        """After how many seconds from 'start' a span of WINDOW seconds begins
        in which holds(share of 'name'); None if none does before 'end'."""
        steps = int((end - WINDOW - start) / STEP) + 1
        for at in (start + i * STEP for i in range(steps)):
            if holds(self.share(name, at, at + WINDOW)):
                return at - start
        return None

    def rows(self, start, count):
        """For story.table(): a row for each name, of 'count' steps."""
        return [[name] + [round(100 * self.share(
            name, start + i * STEP, start + (i + 1) * STEP))
                          for i in range(count)] for name in self.names]


def judge(story, shares, slow, slowed, mended):
    before = shares.share(slow, slowed - EVEN_SECONDS, slowed)
    left = shares.first(slow, slowed, mended, lambda share: share < LEFT)
    meanwhile = shares.share(slow, slowed + 1, mended)
    back = shares.first(slow, mended, shares.end, lambda share: share > BACK)
    if (before < EVEN or left is None or left > 1 or meanwhile > LEFT
            or back is None):
        raise Failed('share of %s: %.2f before; left after %s s; %.3f '
                     'meanwhile; back after %s s' % (
                         slow, before, left, meanwhile, back))
    story.holds('(i)', '''Of %d new connections, %d a second, to a group of
                algorithm lowest-response-time, whose servers answer after %d
                ms, %s had %.0f %%, until it took %d ms.  %.1f s later its
                share of a half second's was under %.0f %%, from 1 s on %.1f
                %%; when it took %d ms again, it was over %.0f %% after %.1f
                s.''' % (
                    len(shares.connections), RATE, USUAL_MS, slow,
                    100 * before, DELAY_MS, left, 100 * LEFT, 100 * meanwhile,
                    USUAL_MS, 100 * BACK, back))
