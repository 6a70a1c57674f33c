#!/usr/bin/python3
"""What hosts report of endpoints, as operators see it."""

import sys
sys.dont_write_bytecode = True

import os

import harness
from harness import TOP, check

from clients import Holder, connect
from node import wait_until
from tenant import group, red
from topology import Topology

HELD = 20
REPORTED_SECONDS = 40           # Reports are 10 s apart.

tests = harness.Tests()


def statuses(network, key):
    return {item['record']['name']: item['status']
            for item in network.ctl_json('endpoint', 'list', key)}


def flows(network, key):
    return sum(status.get('flows', 0)
               for status in statuses(network, key).values())


def check_times(network, key):
    """Each endpoint's response time is reported, and can be true."""
    def measured():
        found = statuses(network, key)
        return found if all('response_us' in status
                            for status in found.values()) else None

    found = wait_until('all are measured', measured, REPORTED_SECONDS)
    for name, status in found.items():
        check(0 < status['response_us'] < 5000000, '%s: %s', name, status)


@tests.add
def flows_and_response_times_are_reported(network):
    for algorithm in ('weighted', 'hash', 'round-robin'):
        with group(network, 'red-web1', 'red-web2',
                   options=['--algorithm', algorithm]) as key:
            connect(red(network), 5)
            held = Holder(red(network), HELD)
            # Each once, though two switches know it.
            wait_until('%s: all flows are reported' % algorithm,
                       lambda key=key: HELD <= flows(network, key)
                       <= HELD + 5, REPORTED_SECONDS)
            if algorithm != 'hash': # There nobody measures.
                check_times(network, key)
            text = network.ctl('endpoint', 'list', key)
            check('FLOWS' in text, '%s', text)
            text = network.ctl('endpoint', 'show', key + '/web1')
            check('flows' in text, '%s', text)
            held.finish()


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'reports'))))
