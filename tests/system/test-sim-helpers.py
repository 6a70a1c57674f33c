#!/usr/bin/python3
"""The programs that the simulation's clients are made of: what they do when
much goes wrong.

    tests/system/test-sim-helpers.py"""

import sys
sys.dont_write_bytecode = True

import socket
import subprocess
import threading
import time
import traceback

import harness  # noqa: F401: finds sim/
from harness import check

from clients import Holder
from node import Failed, Helper

BOUND = 20                      # Seconds; a helper that hangs takes for ever.
CONNECTIONS = 200

# Much more than a pipe takes.
COMPLAIN = "print('complaint ' * 100000, file=sys.stderr)"


class Here:
    """A node: no other than where the test runs."""

    def __str__(self):
        return 'here'

    def popen(self, argv, **popen):
        return subprocess.Popen(argv, **{'stdout': subprocess.PIPE,
                                         'stderr': subprocess.PIPE, **popen})


def failure(function):
    try:
        function()
    except Failed as error:
        return str(error)
    raise Failed('nothing failed')


def one_that_complains_at_length_and_dies_is_reported():
    text = failure(lambda: Helper(
        Here(), '-c', 'import sys; %s; sys.exit(1)' % COMPLAIN))
    check('complaint complaint' in text and len(text) < 3000,
          'said %d bytes: %s', len(text), text[:200])


def one_that_complains_at_length_and_works_ends():
    helper = Helper(Here(), '-c', "import sys; print('ready', flush=True); "
                    "%s; sys.stdin.read(); print(42)" % COMPLAIN)
    check(helper.finish() == '42\n', 'another result')


def one_that_never_begins_is_given_up():
    text = failure(lambda: Helper(
        Here(), '-c', 'import time; time.sleep(600)', seconds=0.5))
    check('not ready' in text, '%s', text)


def one_that_never_ends_is_given_up():
    helper = Helper(Here(), '-c', "import time; print('ready', flush=True); "
                    "time.sleep(600)")
    text = failure(lambda: helper.finish(0.5))
    check('does not end' in text, '%s', text)


def serve_badly(listener):
    """Answers each connection with nonsense."""
    while True:
        try:
            connection = listener.accept()[0]
        except OSError:
            return
        connection.sendall(b'nonsense\r\n\r\n')
        connection.close()


def held_connections_that_all_fail_are_reported():
    with socket.create_server(('127.0.0.1', 0), backlog=1024) as listener:
        threading.Thread(target=serve_badly, args=(listener,),
                         daemon=True).start()
        text = failure(lambda: Holder(
            Here(), CONNECTIONS, '127.0.0.1', listener.getsockname()[1]))
        listener.shutdown(socket.SHUT_RDWR)
    check('holdclient.py: not ready' in text, '%s', text)


def main():
    passed = failed = 0
    for test in (one_that_complains_at_length_and_dies_is_reported,
                 one_that_complains_at_length_and_works_ends,
                 one_that_never_begins_is_given_up,
                 one_that_never_ends_is_given_up,
                 held_connections_that_all_fail_are_reported):
        name = test.__name__.replace('_', ' ')
        start = time.monotonic()
        try:
            test()
            check(time.monotonic() - start < BOUND, 'took too long')
            print('ok      %s' % name, flush=True)
            passed += 1
        except Exception:
            traceback.print_exc()
            print('FAILED  %s' % name, flush=True)
            failed += 1
    print('%d passed, %d failed' % (passed, failed))
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
