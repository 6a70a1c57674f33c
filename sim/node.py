"""Commands and daemons in a Mininet node, and waiting for things."""

import os
import select
import subprocess
import sys
import tempfile
import time

COMMAND_SECONDS = 60            # No command may take longer.
READY_SECONDS = 30              # Nor a helper, to begin or to end.

# A daemon says so in its log when it gets no processor or disk for a second;
# not if it works for that long itself.
SLOW_MACHINE = (r'timeval\S*\|WARN\|(faults|disk|context switches|Unreasonably '
                r'long \d+ms poll interval \(\d{1,3}ms user, '
                r'\d{1,3}ms system\))')

trace = False                   # Print each command as it runs?


class Failed(Exception):
    """What was expected did not come about."""


def run(node, argv, check=True, timeout=COMMAND_SECONDS, stdin=None, **popen):
    """Runs 'argv' in 'node' and returns the subprocess.CompletedProcess, with
    text output.  Raises Failed if it fails (unless 'check' is false) or
    takes longer than 'timeout' seconds."""
    argv = [str(arg) for arg in argv]
    if trace:
        print('%s# %s' % (node, ' '.join(argv)), flush=True)
    process = node.popen(argv, text=True,
                         stdin=subprocess.PIPE if stdin is not None
                         else subprocess.DEVNULL, **popen)
    try:
        out, err = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise Failed('%s: %s: still running after %s s: %s'
                     % (node, ' '.join(argv), timeout, err.strip()))
    if check and process.returncode:
        raise Failed('%s: %s: exit status %d: %s'
                     % (node, ' '.join(argv), process.returncode,
                        (err.strip() or out.strip())))
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def wait_until(what, predicate, seconds=10, every=0.05):
    """Returns the first true value of predicate().  Raises Failed when there
    has been none for 'seconds', naming 'what'."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed('%s: not within %s s' % (what, seconds))
        time.sleep(every)


class Helper:
    """A Python program in a node, which says "ready", works until its standard
    input ends, and then may print a result.  Nobody reads its standard error
    while it works, so that is a file: a pipe that fills would stop it.

    Raises Failed, with what it said, if it does not begin within 'seconds'
    seconds."""

    def __init__(self, node, *argv, seconds=READY_SECONDS):
        self.name = '%s: %s' % (node, os.path.basename(argv[0]))
        self.err = tempfile.TemporaryFile('w+', errors='replace')
        self.process = node.popen(
            ['/usr/bin/python3', *map(str, argv)], text=True,
            stdin=subprocess.PIPE, stderr=self.err)
        if not (self._readable(seconds)
                and self.process.stdout.readline() == 'ready\n'):
            self.kill()
            raise Failed('%s: not ready: %s' % (self.name, self.errors()))

    def _readable(self, seconds):
        return select.select([self.process.stdout], [], [], seconds)[0]

    def errors(self):
        """The end of what it has written to its standard error."""
        self.err.seek(0)
        return self.err.read().strip()[-2000:]

    def tell(self, line):
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()

    def finish(self, seconds=READY_SECONDS):
        """Ends it and returns what it printed.  Raises Failed if it fails, or
        does not end within 'seconds' seconds."""
        try:
            out = self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed('%s: does not end: %s' % (self.name, self.errors()))
        if self.process.returncode:
            raise Failed('%s: exit status %d: %s' % (
                self.name, self.process.returncode, self.errors()))
        return out

    def kill(self):
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


class Daemon:
    """A long-running process in a node, its standard error in a file."""

    def __init__(self, node, name, argv, directory, env=None):
        self.name = name
        self.argv = [str(arg) for arg in argv]
        self.err_path = os.path.join(directory, name + '.err')
        if trace:
            print('%s# %s &' % (node, ' '.join(self.argv)), flush=True)
        with open(self.err_path, 'ab') as err:
            self.process = node.popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                env=dict(os.environ, **(env or {})))

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=5):
        """SIGTERM, then wait()."""
        if self.alive():
            self.process.terminate()
        return self.wait(seconds)

    def wait(self, seconds=5):
        """Waits for the end, and kills what has not ended after 'seconds'.
        Returns the exit status, -N if signal N ended it."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            print('%s: does not stop, killed' % self.name, file=sys.stderr)
            return self.kill()

    def kill(self):
        """SIGKILL."""
        self.process.kill()
        return self.process.wait()
