"""Four virtualization hosts on one machine.

     tenant red (VNI 5001)      and blue (VNI 5002), with the same addresses

    web1      web2  web4     web3       client
  10.1.0.1  10.1.0.2  .4   10.1.0.3   10.1.0.50    anycast 10.1.0.100
      |         |    |         |          |        (on lo of each webN),
      |         |    |         |          |        2001:db8:1:: likewise
   +--+---+  +--+----+--+  +---+--+  +----+---+
   |br-red|  |  br-red  |  |br-red|  | br-red |<-- anycast-red
   |      |  |          |  |      |  |        |    Geneve to each other
   |br-phy|  |  br-phy  |  |br-phy|  | br-phy |<-- vtep0    host, by VNI
   +--+---+  +----+-----+  +---+--+  +----+---+
      h1         h2            h3         h4
  192.0.2.1  192.0.2.2    192.0.2.3  192.0.2.4     on br-phy, MTU 1600
      |          |             |          |
   ===+==========+==underlay===+==========+====+=  a Linux bridge
                                               |
                                    mapd  192.0.2.100

Every box is a Mininet node, that is a network namespace.  A host runs its own
ovsdb-server and grapnel-vswitchd, a VM is a namespace with one interface
'eth0', and the underlay is a bridge in a namespace of its own.

    with Topology() as topology:
        topology.start()
        topology.ctl('group', 'add', '5001/web', '--address', ANYCAST, ...)
        run(topology.vms['red-client'], ['curl', ...])

To be used inside sandbox.enter()."""

import concurrent.futures
import json
import os
import re
import signal
import sys
import time

from mininet.cli import CLI
from mininet.net import Mininet

from machines import (ANYCAST, ANYCAST6, MAPD_ADDRESS, MAPD_REMOTE,
                      UNDERLAY_MTU, Underlay, VirtHost, Vm, ipv6_exists)
from node import SLOW_MACHINE, Daemon, Failed, run, wait_until
from openvswitch import BUILD, TOOL_DIRS
from sandbox import RUN_DIR

__all__ = ['ANYCAST', 'ANYCAST6', 'SIM', 'Topology']

READY_SECONDS = 30
WEB_PORTS = (80, 8080, 8081)

SIM = os.path.dirname(os.path.abspath(__file__))

# Lines in daemons' logs that may be there, and why.
EXPECTED_LOG = [
    # The simulation's underlay is private; TLS is not configured.
    r'WARN\|ptcp:.*: not authenticated and not encrypted',
    # Four switches share this machine with whatever else runs on it.
    SLOW_MACHINE,
    r'ovs_rcu.*\|WARN\|blocked \d+ ms waiting',
    # A switch that ends may not have read all that its database tells it.
    r'(jsonrpc|reconnect)\|WARN\|unix#\d+: .*Connection reset by peer',
    # A switch that starts gets packets before it has its tunnels.
    r'tunnel\(\w+\)\|WARN\|receive tunnel port not found',
]

# Mininet raises a few limits of the machine as a whole when it starts, which
# would outlast us; a topology of this size does not need them.
Mininet.inited = True


class CommandLine(CLI):
    """Mininet's, for nodes with a "-" in their name."""
    identchars = CLI.identchars + '-'


class Topology:
    """See above."""

    TENANTS = {'red': 5001, 'blue': 5002}
    HOSTS = ('h1', 'h2', 'h3', 'h4')
    # Name -> (host, last octet of the address).
    VMS = {'red-web1': ('h1', 1), 'red-web2': ('h2', 2), 'red-web3': ('h3', 3),
           'red-web4': ('h2', 4), 'red-client': ('h4', 50),
           'blue-web1': ('h1', 1), 'blue-web2': ('h2', 2),
           'blue-web3': ('h3', 3), 'blue-client': ('h4', 50)}
    # Of these, VMs with the TX checksum offload that virtual machines have.
    OFFLOAD = ('blue-client',)

    def __init__(self, log_dir, underlay6=False, mapd_options=()):
        """'log_dir' gets the logs by collect_logs().  With 'underlay6' the
        hosts' tunnels are over IPv6."""
        self.log_dir = log_dir
        self.underlay6 = underlay6
        self.mapd_options = list(mapd_options)
        self.net = Mininet(controller=None, build=False)
        self.underlay = None
        self.hosts = {}
        self.vms = {}
        self.mapd_node = None
        self.mapd = None
        self.web = {}           # VM name -> Daemon.
        self.captures = []
        self.expected_log = list(EXPECTED_LOG)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.net.stop()

    # Construction.

    def start(self):
        """Everything but groups and endpoints.  Returns when every host can be
        used: configured, and connected to mapd."""
        self._make_nodes()
        self.net.start()
        self.start_mapd()
        hosts = list(self.hosts.values())
        with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
            list(pool.map(lambda host: host.configure(self.TENANTS, hosts),
                          hosts))
            list(pool.map(lambda host: host.start_switch(), hosts))
        for name in self.vms:
            if 'web' in name:
                self.start_web(name)
        self.wait_for_hosts()
        for tenant in self.TENANTS:
            self._try_east_west(tenant)

    def _try_east_west(self, tenant):
        """The tenant's client reaches each of the tenant's other VMs."""
        client = self.vms[tenant + '-client']
        for vm in self.vms.values():
            if vm.vni == client.vni and vm is not client:
                run(client, ['ping', '-q', '-c', 1, '-W', READY_SECONDS,
                             vm.address])

    def _make_nodes(self):
        self.underlay = self.net.addSwitch('underlay', cls=Underlay,
                                           dpid='1', inNamespace=True)
        self._quiet(self.underlay)
        self.mapd_node = self.net.addHost('mapd', ip=None)
        self.net.addLink(self.mapd_node, self.underlay, intfName1='eth0',
                         intfName2='mapd')
        self._quiet(self.mapd_node)
        run(self.mapd_node, ['bash', '-ec', '''
            ip link set lo up
            ip addr add %s/24 dev eth0
            ip link set eth0 up
            ethtool -K eth0 tx off >/dev/null''' % MAPD_ADDRESS])
        self._export(self.mapd_node, {'GRAPNEL_MAPD': MAPD_REMOTE})
        for number, name in enumerate(self.HOSTS, 1):
            self._make_host(name, number)
        for name, (host, octet) in self.VMS.items():
            self.add_vm(name, host, octet)

    def _make_host(self, name, number):
        host = self.net.addHost(name, cls=VirtHost, ip=None)
        host.prepare(number, self.underlay6)
        self._quiet(host)
        self.net.addLink(host, self.underlay, intfName1='nic0',
                         intfName2=name)
        # The kernel sees what nic0 receives as well as the switch does, and
        # must not answer ARP there for br-phy's address.
        run(host, ['bash', '-ec', '''
            sysctl -qw net.ipv4.conf.all.arp_ignore=1
            ip link set lo up
            ip link set nic0 mtu %d up''' % UNDERLAY_MTU])
        self._export(host, dict(
            host.ovs.env, CTL=host.ovs.path('grapnel-vswitchd.ctl')))
        self.hosts[name] = host

    def add_vm(self, name, host, octet, bridge=None, tenant=None):
        """Adds a VM to 'host', with addresses 10.1.0.'octet' and
        2001:db8:1::'octet'.  'tenant' and 'bridge' follow from its name,
        TENANT-ROLE, unless they are given."""
        tenant = tenant or name.split('-')[0]
        host = self.hosts[host]
        vm = self.net.addHost(name, cls=Vm, ip=None)
        vm.host = host
        vm.vni = self.TENANTS[tenant]
        vm.mac = '02:00:%02x:%02x:%02x:%02x' % (vm.vni >> 8, vm.vni & 0xff,
                                               host.number, octet)
        self._quiet(vm)
        self.net.addLink(vm, host, intfName1='eth0', intfName2=name,
                         addr1=vm.mac)
        run(host, ['ip', 'link', 'set', name, 'up'])
        vm.prepare(octet, 'web' in name, name in self.OFFLOAD)
        vm.bridge = bridge or 'br-' + tenant
        self.vms[name] = vm
        host.vms.append(vm)
        if host.ovs.switch:
            host.ovs.vsctl(*host.port(vm))
        return vm

    def move_vm(self, name, host):
        """Moves VM 'name' to 'host', with its addresses and all that goes on
        in it, and has the bridges learn where it is."""
        vm, old, new = self.vms[name], self.vms[name].host, self.hosts[host]
        old.ovs.vsctl('del-port', vm.bridge, name)
        with vm.neighbours_kept():
            run(old, ['ip', 'link', 'set', name, 'netns', new.pid])
            run(new, ['ip', 'link', 'set', name, 'up'])
            old.vms.remove(vm)
            new.vms.append(vm)
            vm.host = new
            new.ovs.vsctl(*new.port(vm))
            vm.announce()

    @staticmethod
    def _export(node, variables):
        """For those who type commands, see explore()."""
        node.cmd('export PATH=%s:$PATH' % ':'.join(TOOL_DIRS))
        for variable, value in variables.items():
            node.cmd('export %s=%s' % (variable, value))

    @staticmethod
    def _quiet(node):
        """No IPv6, hence no neighbour discovery, but where it is asked
        for."""
        if ipv6_exists():
            run(node, ['sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1',
                       'net.ipv6.conf.default.disable_ipv6=1'])

    # The mapping service.

    def start_mapd(self):
        directory = os.path.join(RUN_DIR, 'mapd')
        os.makedirs(directory, exist_ok=True)
        self.mapd = Daemon(
            self.mapd_node, 'grapnel-mapd',
            [os.path.join(BUILD, 'grapnel-mapd'),
             '--store=sqlite:' + os.path.join(directory, 'mapd.db'),
             '--listen=ptcp:6670:' + MAPD_ADDRESS,
             '--unixctl=' + os.path.join(directory, 'mapd.ctl'),
             *self.mapd_options, '-vconsole:off', '-vsyslog:off',
             '--log-file=' + os.path.join(directory, 'grapnel-mapd.log')],
            directory, {'OVS_RUNDIR': directory})

    def restart_mapd(self):
        """On the same store.  Waits until all hosts have returned."""
        self.mapd.stop()
        self.start_mapd()
        self.wait_for_hosts()

    def ctl(self, *args, check=True, stdin=None):
        """Runs grapnelctl; returns its output, or with check=False the
        subprocess.CompletedProcess."""
        done = run(self.mapd_node, [os.path.join(BUILD, 'grapnelctl'),
                                    '--mapd', MAPD_REMOTE, *args],
                   check=check, stdin=stdin)
        return done.stdout if check else done

    def ctl_json(self, *args):
        return json.loads(self.ctl('--json', *args))

    def wait_for_hosts(self):
        """Until all hosts are connected to mapd and have what it has."""
        wait_until('all hosts connected to mapd', self._all_connected,
                   READY_SECONDS)
        self.ctl('wait', self.ctl_json('status')['mapd']['revision'])

    def _all_connected(self):
        done = self.ctl('--json', 'status', check=False)
        if done.returncode:
            return False
        return json.loads(done.stdout)['mapd']['connected'] == len(self.hosts)

    def add_endpoint(self, group, vm, *args):
        """Makes VM 'vm' an endpoint of 'group' ("web"), and waits until all
        hosts know."""
        tenant_vm = self.vms[vm]
        self.ctl('endpoint', 'add', self.endpoint_key(group, vm),
                 '--host', tenant_vm.host.name, '--mac', tenant_vm.mac, *args,
                 '--wait')

    def endpoint_key(self, group, vm):
        return '%d/%s/%s' % (self.vms[vm].vni, group, vm.split('-')[1])

    # What runs in VMs.

    def start_web(self, name):
        """A web server in VM 'name', on WEB_PORTS, whose page says 'name'."""
        self.web[name] = Daemon(
            self.vms[name], 'web-' + name,
            ['/usr/bin/python3', os.path.join(SIM, 'webserver.py'), name,
             *WEB_PORTS], RUN_DIR)
        wait_until('web server in ' + name, lambda: ':%d ' % WEB_PORTS[-1]
                   in run(self.vms[name], ['ss', '-Hltn']).stdout)

    def stop_web(self, name):
        self.web.pop(name).stop()

    def capture(self, node, interface, path, *expression):
        """Starts to capture 'interface' of 'node' into 'path'.  Returns what
        stop_capture() takes."""
        daemon = Daemon(node, 'tcpdump-%s' % os.path.basename(path),
                        ['tcpdump', '-Z', 'root', '-n', '--immediate-mode',
                         '-U', '-B', 16384, '-i', interface, '-w', path,
                         *expression], RUN_DIR)
        wait_until('tcpdump on ' + interface,
                   lambda: 'listening on' in _read(daemon.err_path))
        daemon.pcap = path
        return daemon

    @staticmethod
    def stop_capture(daemon):
        """First lets tcpdump catch up: told to stop, it does not read what is
        left, and counts it as dropped."""
        sizes = []
        while len(sizes) < 30 and len(set(sizes[-3:])) != 1 or len(sizes) < 3:
            time.sleep(0.1)
            sizes.append(os.path.getsize(daemon.pcap))
        daemon.stop()
        if not re.search(r'^0 packets dropped by kernel',
                         _read(daemon.err_path), re.M):
            raise Failed('the capture is incomplete: '
                         + _read(daemon.err_path))

    def explore(self):
        """Mininet's command line, or if standard input is no terminal a wait
        for a signal."""
        if sys.stdin.isatty():
            CommandLine(self.net)
        else:
            signal.pause()

    # Logs.

    def expect_log(self, pattern):
        """From now on lines of daemons' logs may match 'pattern'."""
        self.expected_log.append(pattern)

    def log_complaints(self):
        """The lines of the daemons' logs that should not be there: warnings
        and worse, and anything on standard error."""
        expected = re.compile('|'.join(self.expected_log) or r'(?!)')
        complaints = []
        for name, path in self._logs():
            for line in _read(path).splitlines():
                bad = (re.search(r'\|(WARN|ERR|EMER)\|', line)
                       or path.endswith('.err'))
                if bad and not expected.search(line):
                    complaints.append('%s: %s' % (name, line))
        return complaints

    def collect_logs(self):
        """Copies logs to 'log_dir', and what the switches say of themselves.
        Returns it."""
        for host in self.hosts.values():
            if host.ovs.switch and host.ovs.switch.alive():
                host.write_state(host.ovs.path('anycast.log'))
        for name, path in self._logs():
            target = os.path.join(self.log_dir, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, 'w', errors='replace') as copy:
                copy.write(_read(path))
        return self.log_dir

    @staticmethod
    def _logs():
        """(name, path) of each log of a daemon."""
        for directory, _, names in os.walk(RUN_DIR):
            for name in names:
                path = os.path.join(directory, name)
                if name.endswith(('.log', '.err')) and 'tcpdump' not in name:
                    yield os.path.relpath(path, RUN_DIR), path

    def dead(self):
        """The names of the hosts' daemons, and mapd, that have ended."""
        daemons = [(host, daemon) for host in self.hosts.values()
                   for daemon in (host.ovs.database, host.ovs.switch)]
        daemons.append((self.mapd_node, self.mapd))
        return ['%s: %s' % (node, daemon.name) for node, daemon in daemons
                if daemon and not daemon.alive()]

    def stop(self):
        """Stops the daemons in good order.  Returns complaints about those
        that did not end well."""
        complaints = []
        for daemon in list(self.web.values()):
            daemon.stop()
        for host in self.hosts.values():
            complaints += host.ovs.stop()
        if self.mapd and self.mapd.stop() != 0:
            complaints.append('mapd: did not end cleanly')
        return complaints


def _read(path):
    with open(path, errors='replace') as file:
        return file.read()
