"""A place of its own for a simulation, of which nothing can be left behind.

    sandbox.enter()         # first statement of a script's main()

runs the script again inside its own network, process and mount namespaces and
returns only there, where the script is process 1 and has a fresh tmpfs on
/run.  When the script ends, however it ends, the kernel ends every process in
there, and with them go the namespaces, interfaces and files.  So two
simulations can run at once, and a tool that kills by name finds only its own
processes.

Outside stays a supervisor that hands on signals and the exit status; if it is
killed itself, the inside is killed with it."""

import contextlib
import ctypes
import os
import random
import signal
import subprocess
import sys

RUN_DIR = '/run/grapnel-sim'
STOP_SECONDS = 30               # For a clean stop after a signal.
_MARK = 'GRAPNEL_SANDBOX'
_PR_SET_PDEATHSIG = 1


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived.  Not an Exception, so that what
    handles failures does not swallow it."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def enter():
    """Returns inside the sandbox.  Outside, never returns."""
    if os.environ.get(_MARK) == '1' and os.getpid() == 1:
        _prepare()
        return
    if os.geteuid() != 0:
        sys.exit('%s: must be run as root (it makes network namespaces)'
                 % os.path.basename(sys.argv[0]))
    sys.exit(_supervise())


def _prepare():
    def stop(number, _frame):
        # Once is enough: what follows is the clean-up.
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', '/run'], check=True)
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    os.mkdir(RUN_DIR)
    # Programs name temporary files by their process: as in no other sandbox.
    with contextlib.suppress(OSError), \
            open('/proc/sys/kernel/ns_last_pid', 'w') as last:
        last.write(str(random.randrange(300, 30000)))


def _supervise():
    libc = ctypes.CDLL(None)
    inside = subprocess.Popen(
        ['unshare', '--net', '--pid', '--fork', '--mount', '--mount-proc',
         '--kill-child', '--', sys.executable] + sys.argv,
        env=dict(os.environ, **{_MARK: '1'}),
        preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))

    def hand_on(number, _frame):
        # unshare(1) blocks these; its child, process 1 inside, handles them.
        for pid in _children(inside.pid):
            os.kill(pid, number)
        signal.alarm(STOP_SECONDS)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, hand_on)
    signal.signal(signal.SIGALRM, lambda *_: inside.kill())
    status = inside.wait()
    return status if status >= 0 else 128 - status


def _children(pid):
    try:
        with open('/proc/%d/task/%d/children' % (pid, pid)) as children:
            return [int(child) for child in children.read().split()]
    except FileNotFoundError:
        return []
