"""Processes whose clock on the wall a test sets, and nobody else's.

    clock = SteppedClock(directory)
    subprocess.Popen(..., env=dict(os.environ, **clock.env))
    clock.set(3600)             an hour fast, from now on
"""

import os
import struct

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
LIBRARY = os.path.join(TOP, 'build', 'tests', 'system', 'stepped-clock.so')


class SteppedClock:
    def __init__(self, directory, name='clock'):
        if not os.path.exists(LIBRARY):
            raise SystemExit('%s: not built: make tests' % LIBRARY)
        path = os.path.join(directory, name)
        self.file = open(path, 'w+b', buffering=0)
        self.set(0)
        self.env = {'LD_PRELOAD': LIBRARY, 'STEPPED_CLOCK': path}

    def set(self, seconds):
        """Sets it to the machine's time and 'seconds' more."""
        self.offset = seconds
        os.pwrite(self.file.fileno(), struct.pack('q', seconds), 0)
