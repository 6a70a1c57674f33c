"""One host's switch: its own ovsdb-server and grapnel-vswitchd, with Open
vSwitch's own tools to configure them."""

import os

from node import Daemon, run, wait_until

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get('GRAPNEL_BUILD', os.path.join(TOP, 'build'))
OVS = os.path.join(TOP, '.deps', 'openvswitch')
SCHEMA = os.path.join(OVS, 'vswitchd', 'vswitch.ovsschema')
TOOL_DIRS = [BUILD] + [os.path.join(OVS, sub)
                       for sub in ('utilities', 'ovsdb', 'vswitchd')]
VSWITCHD = os.path.join(BUILD, 'grapnel-vswitchd')


class OpenVSwitch:
    """'node' is the host's Mininet node, 'directory' the host's own: all of
    the switch's sockets, files and logs live there."""

    def __init__(self, node, directory):
        self.node = node
        self.directory = directory
        self.env = {'OVS_RUNDIR': directory, 'OVS_LOGDIR': directory,
                    'OVS_DBDIR': directory, 'OVS_SYSCONFDIR': directory}
        self.database = None
        self.switch = None

    def path(self, name):
        return os.path.join(self.directory, name)

    def start_database(self):
        os.makedirs(self.directory)
        run(self.node, [OVS + '/ovsdb/ovsdb-tool', 'create',
                        self.path('conf.db'), SCHEMA])
        self.database = Daemon(
            self.node, 'ovsdb-server',
            [OVS + '/ovsdb/ovsdb-server', self.path('conf.db'),
             '--remote=punix:' + self.path('db.sock'),
             '--unixctl=' + self.path('ovsdb-server.ctl'),
             '-vconsole:off', '-vsyslog:off',
             '--log-file=' + self.path('ovsdb-server.log')],
            self.directory, self.env)
        wait_until('%s: database socket' % self.node,
                   lambda: os.path.exists(self.path('db.sock')))
        self.vsctl('--no-wait', 'init')

    def start_switch(self):
        """Starts the switch, which configures itself from the database."""
        self.switch = Daemon(
            self.node, 'grapnel-vswitchd',
            [VSWITCHD, 'unix:' + self.path('db.sock'),
             '--pidfile=' + self.path('grapnel-vswitchd.pid'),
             '--unixctl=' + self.path('grapnel-vswitchd.ctl'),
             '-vconsole:off', '-vsyslog:off',
             '--log-file=' + self.path('grapnel-vswitchd.log')],
            self.directory, self.env)

    def wait_for_switch(self):
        """Until the switch has configured itself as the database says.  A
        change makes ovs-vsctl wait for that; what it changes is nothing."""
        self.vsctl('set', 'open_vswitch', '.', 'external_ids:waited=yes')
        self.vsctl('remove', 'open_vswitch', '.', 'external_ids', 'waited')

    def log(self):
        """The switch's log so far."""
        with open(self.path('grapnel-vswitchd.log'), errors='replace') as log:
            return log.read()

    def stop(self):
        """Returns a complaint for each daemon that was not running any more or
        did not exit cleanly."""
        return [complaint for complaint in (self.exit(self.switch),
                                            self.exit(self.database))
                if complaint]

    def exit(self, daemon):
        """Asks 'daemon' (or None) to exit.  Returns a complaint or None."""
        if daemon is None:
            return None
        if not daemon.alive():
            return '%s: %s had ended with status %s' % (
                self.node, daemon.name, daemon.wait())
        self._tool('ovs-appctl', '-t', self.path(daemon.name + '.ctl'),
                   'exit', check=False)
        status = daemon.wait()
        return ('%s: %s: exit status %d' % (self.node, daemon.name, status)
                if status else None)

    def vsctl(self, *args):
        """Runs ovs-vsctl, returns its output."""
        return self._tool('ovs-vsctl', '--timeout=30',
                          '--db=unix:' + self.path('db.sock'), *args)

    def ofctl(self, *args):
        """Runs ovs-ofctl, returns its output."""
        return self._tool('ovs-ofctl', '--timeout=30', *args)

    def appctl(self, *args):
        """Runs ovs-appctl against the switch, returns its output."""
        return self._tool('ovs-appctl', '--timeout=30', '-t',
                          self.path('grapnel-vswitchd.ctl'), *args)

    def _tool(self, name, *args, check=True):
        return run(self.node, [os.path.join(OVS, 'utilities', name), *args],
                   check=check, env=dict(os.environ, **self.env)).stdout
