"""The commands of README.md, and what they need to be run in the sandbox."""

import os
import re

import harness                  # noqa: F401 (finds the modules of sim/)
from harness import TOP

from openvswitch import BUILD, TOOL_DIRS
from sandbox import RUN_DIR

RUNDIR = '/run/openvswitch'     # As Debian's, which README.md counts on.
BIN = RUN_DIR + '/bin'          # For commands that are not as on a machine.
ENV = dict(os.environ, OVS_RUNDIR=RUNDIR, OVS_LOGDIR=RUNDIR, OVS_DBDIR=RUNDIR,
           PATH=':'.join([BIN, BUILD, *TOOL_DIRS, os.environ['PATH']]))

# mapd's records are kept in /var/lib/grapnel, certificates in /etc/grapnel.
FRESH_DIRECTORIES = '''
    mount -t tmpfs tmpfs /var/lib
    mount -t tmpfs tmpfs /var/log
    mkdir etc etc.work
    mount -t overlay overlay -o lowerdir=/etc,upperdir=etc,workdir=etc.work \
        /etc
    mkdir -p /etc/grapnel
    mount -t tmpfs tmpfs /etc/grapnel'''


def text(section):
    with open(os.path.join(TOP, 'README.md')) as readme:
        rest = readme.read().split('\n## %s\n' % section)[1]
    return rest.split('\n## ')[0]


def blocks(section):
    """The code blocks of the section, each a list of commands."""
    found = re.findall(r'^```\n(.*?)^```$', text(section), re.S | re.M)
    return [block.replace('\\\n', ' ').strip().splitlines()
            for block in found]


def ended(pid):
    """The sandbox's first process, which we are, buries it."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not os.path.exists('/proc/%d' % pid)
