"""Runs the functions of a system test, whose names are the sentences that they
establish, and counts.

    tests = harness.Tests()

    @tests.add
    def a_thing_is_so(network): ...

    sys.exit(tests.main(lambda: Topology(...)))

A test fails by raising an exception, if it leaves a line in a daemon's log
that should not be there, and if a daemon has died; then the rest is not
run."""

import argparse
import os
import sys
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'sim'))

import node                     # noqa: E402
import sandbox                  # noqa: E402
from node import Failed, SLOW_MACHINE   # noqa: E402,F401


def check(condition, message, *args):
    """Raises Failed with 'message' % 'args' unless 'condition' holds."""
    if not condition:
        raise Failed(message % args)


def log_directory():
    """Makes the folder for what this script's daemons have logged."""
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    path = os.path.join(TOP, 'build', 'test-logs', name.split('-', 1)[1])
    os.makedirs(path, exist_ok=True)
    return path


class Tests:
    def __init__(self):
        self.functions = []
        self.passed = self.failed = 0
        self.seen = set()       # Complaints reported already.

    def add(self, function):
        self.functions.append(function)
        return function

    def main(self, make_topology):
        """Runs the tests in a sandbox.  Returns the exit status."""
        parser = argparse.ArgumentParser()
        parser.add_argument('--trace', action='store_true',
                            help='print each command as it runs')
        parser.add_argument('only', nargs='*', help='part of a test\'s name')
        options = parser.parse_args()
        node.trace = options.trace
        sandbox.enter()
        with make_topology() as network:
            try:
                self._run('the topology comes up', lambda _: network.start(),
                          network)
                if not self.failed:
                    self._run_all(network, options.only)
                self._run('all daemons stop cleanly', stop, network)
            except sandbox.Interrupted as interrupted:
                return interrupted.status
            if self.failed:
                print('logs: %s' % network.collect_logs())
        print('%d passed, %d failed' % (self.passed, self.failed))
        return 1 if self.failed else 0

    def _run_all(self, network, only):
        for function in self.functions:
            name = function.__name__.replace('_', ' ')
            if not only or any(part in name for part in only):
                self._run(name, function, network)
            if network.dead():
                break

    def _run(self, name, function, network):
        start = time.monotonic()
        failure = None
        try:
            function(network)
        except Exception as exception:
            failure = str(exception) or repr(exception)
            if not isinstance(exception, Failed):
                failure = traceback.format_exc()
        complaints = [line for line in network.log_complaints()
                      if line not in self.seen]
        self.seen.update(complaints)
        problems = ['has died: ' + name for name in network.dead()
                    if function is not stop]
        problems += ['unexpected in a log: ' + line for line in complaints]
        if problems:
            failure = '\n'.join(([failure] if failure else [])
                                + problems[:5])
        if failure:
            self.failed += 1
        else:
            self.passed += 1
        print('%s %s (%.1f s)' % ('not ok' if failure else 'ok    ', name,
                                  time.monotonic() - start), flush=True)
        if failure:
            print('       ' + failure.replace('\n', '\n       '), flush=True)


def stop(network):
    complaints = network.stop()
    check(not complaints, '%s', '; '.join(complaints))
