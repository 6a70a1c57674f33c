"""The machines of a site, as Mininet nodes: the underlay between the hosts,
virtualization hosts, and VMs."""

import contextlib
import json
import os

from mininet.node import Host, Switch

from node import Failed, run, wait_until
from openvswitch import OpenVSwitch
from sandbox import RUN_DIR

ANYCAST = '10.1.0.100'
ANYCAST6 = '2001:db8:1::100'
UNDERLAY_MTU = 1600             # Geneve with our option leaves 1538 of it.
MAPD_ADDRESS = '192.0.2.100'
MAPD_REMOTE = 'tcp:%s:6670' % MAPD_ADDRESS


class Underlay(Switch):
    """The network between the hosts, which knows nothing of tenants: a plain
    Linux bridge.  (Mininet's own LinuxBridge needs bridge-utils.)"""

    def start(self, _controllers):
        run(self, ['ip', 'link', 'add', self.name, 'type', 'bridge'])
        for intf in self.intfList():
            run(self, ['ip', 'link', 'set', intf.name, 'mtu', UNDERLAY_MTU,
                       'master', self.name, 'up'])
        run(self, ['ip', 'link', 'set', self.name, 'up'])

    def defaultIntf(self):
        return None


# A question to everybody that nobody answers: bridges learn from it where the
# VM is (the announcement of a VM that has moved, as hypervisors make it).
ANNOUNCE = '''
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
mac = s.getsockname()[4]
s.send(b'\\xff' * 6 + mac + bytes.fromhex('8035' '0001' '0800' '06040003')
       + mac + bytes(4) + mac + bytes(4) + bytes(18))
'''


class Vm(Host):
    """A VM: one interface, 'eth0'."""

    def prepare(self, octet, serves, offload):
        """Gives it its addresses.  'offload' leaves TX checksum offload on:
        what it sends has incomplete checksums then.  'serves': it has the
        anycast addresses, and leaves ARP for them to the switch."""
        self.address = '10.1.0.%d' % octet
        self.address6 = '2001:db8:1::%d' % octet
        commands = ['ip link set lo up',
                    'ip addr add %s/24 dev eth0' % self.address]
        if ipv6_exists():
            commands += ['sysctl -qw net.ipv6.conf.%s' % setting for setting in
                         ('lo.disable_ipv6=0', 'eth0.accept_ra=0',
                          'eth0.accept_dad=0', 'eth0.disable_ipv6=0')]
            commands.append('ip addr add %s/64 dev eth0 nodad' % self.address6)
            if serves:
                commands.append('ip addr add %s/128 dev lo' % ANYCAST6)
        commands.append('ip link set eth0 up')
        if not offload:
            commands.append('ethtool -K eth0 tx off >/dev/null')
        if serves:
            commands += ['sysctl -qw net.ipv4.conf.all.arp_ignore=1',
                         'sysctl -qw net.ipv4.conf.all.arp_announce=2',
                         'ip addr add %s/32 dev lo' % ANYCAST]
        run(self, ['bash', '-ec', '; '.join(commands)])

    def announce(self):
        """Has bridges learn where it is, as when a VM has moved."""
        run(self, ['/usr/bin/python3', '-c', ANNOUNCE])

    @contextlib.contextmanager
    def neighbours_kept(self):
        """Its interface may lose its carrier meanwhile, of which a VM that a
        hypervisor moves sees nothing: its kernel forgets no neighbour."""
        found = [entry for entry in json.loads(
            run(self, ['ip', '-j', 'neigh', 'show', 'dev', 'eth0']).stdout)
                 if 'lladdr' in entry]
        self._set_neighbours(found, 'permanent')
        yield
        self._set_neighbours(found, 'reachable')

    def _set_neighbours(self, entries, state):
        run(self, ['bash', '-ec', ';'.join(
            'ip neigh replace %s lladdr %s dev eth0 nud %s'
            % (entry['dst'], entry['lladdr'], state)
            for entry in entries) or 'true'])

    def tcp_counter(self, name):
        """A counter of /proc/net/snmp, for example "OutRsts"."""
        names, values = [line.split() for line in
                         run(self, ['cat', '/proc/net/snmp'])
                         .stdout.splitlines() if line.startswith('Tcp:')]
        return int(values[names.index(name)])


class VirtHost(Host):
    """A virtualization host.  'number' is 1...254; over 'underlay6', the
    others reach it by IPv6."""

    def prepare(self, number, underlay6=False):
        self.number = number
        self.vms = []
        self.address = '192.0.2.%d' % number
        self.vtep = '2001:db8:c0::%d' % number if underlay6 else self.address
        self.ovs = OpenVSwitch(self, os.path.join(RUN_DIR, self.name))

    def configure(self, tenants, peers):
        """The host's database, from which its switch will configure itself:
        the underlay bridge, and an integration bridge for each tenant."""
        self.ovs.start_database()
        self.ovs.vsctl(
            '--no-wait', 'set', 'open_vswitch', '.',
            'external_ids:system-id=' + self.name,
            'external_ids:grapnel-host=' + self.name,
            'external_ids:grapnel-vtep="%s"' % self.vtep,
            'other_config:n-handler-threads=1',
            'other_config:n-revalidator-threads=1', '--',
            'add-br', 'br-phy', '--',
            'set', 'bridge', 'br-phy', 'datapath_type=netdev',
            'other_config:hwaddr=02:00:c0:00:02:%02x' % self.number, '--',
            'set', 'interface', 'br-phy',
            'mtu_request=%d' % UNDERLAY_MTU, '--',
            'add-port', 'br-phy', 'nic0', '--',
            'add-port', 'br-phy', 'vtep0', '--',
            'set', 'interface', 'vtep0', 'type=anycast_underlay')
        for tenant, vni in tenants.items():
            self.ovs.vsctl('--no-wait', *self._tenant_bridge(tenant, vni,
                                                             peers))

    def _tenant_bridge(self, tenant, vni, peers):
        bridge = 'br-' + tenant
        command = ['add-br', bridge, '--',
                   'set', 'bridge', bridge, 'datapath_type=netdev', '--',
                   'add-port', bridge, 'anycast-' + tenant, '--',
                   'set', 'interface', 'anycast-' + tenant, 'type=anycast',
                   'options:vni=%d' % vni]
        for peer in peers:
            if peer is not self:
                command += ['--'] + self.tunnel(tenant, vni, peer, 'geneve')
        for vm in self.vms:
            if vm.bridge == bridge:
                command += ['--'] + self.port(vm)
        return command

    def port(self, vm):
        """What makes ovs-vsctl add 'vm' to its bridge."""
        return ['add-port', vm.bridge, vm.name, '--',
                'set', 'interface', vm.name,
                'external_ids:iface-id=' + vm.name,
                'external_ids:attached-mac=' + vm.mac]

    def tunnel(self, tenant, vni, peer, kind):
        """What makes ovs-vsctl add a tunnel to 'peer' for 'tenant'.

        The tunnels are a full mesh, so what came by one must not leave by
        another: protected ports do not forward to each other."""
        port = '%s-%s-%s' % (tenant, kind[0], peer.name)
        return ['add-port', 'br-' + tenant, port, '--',
                'set', 'port', port, 'protected=true', '--',
                'set', 'interface', port, 'type=' + kind,
                'options:remote_ip="%s"' % peer.vtep, 'options:key=%d' % vni]

    def show(self):
        """`anycast/show`, a dict."""
        return json.loads(self.ovs.appctl('anycast/show', '--json'))

    def anycast_fact(self, name):
        """What `anycast/show` says of 'name'."""
        return self.show()[name]

    def drops(self, reason):
        """The counter of drops for 'reason'."""
        return json.loads(self.ovs.appctl('anycast/drops', '--json'))[reason]

    def write_state(self, path):
        """All that `ovs-appctl anycast/...` tells, into file 'path'."""
        with open(path, 'w') as file:
            for command in (['show'], ['drops'], ['groups'],
                            ['flows', 100000]):
                file.write('anycast/%s\n' % command[0] + self.ovs.appctl(
                    'anycast/' + command[0], *command[1:]) + '\n')

    def start_switch(self):
        """Starts the switch, waits until it has configured itself, puts the
        host's addresses on the underlay bridge, and names mapd."""
        self.ovs.start_switch()
        self.ovs.wait_for_switch()
        run(self, ['ip', 'addr', 'add', self.address + '/24', 'dev',
                   'br-phy'])
        if self.vtep != self.address:
            for setting in ('accept_dad=0', 'accept_ra=0',
                            'disable_ipv6=0'):
                run(self, ['sysctl', '-qw',
                           'net.ipv6.conf.br-phy.' + setting])
            run(self, ['ip', 'addr', 'add', self.vtep + '/64', 'dev',
                       'br-phy', 'nodad'])
        run(self, ['ip', 'link', 'set', 'br-phy', 'up'])
        self.ovs.vsctl('set', 'open_vswitch', '.',
                       'external_ids:grapnel-mapd=' + MAPD_REMOTE)

    def restart_switch(self, kill=False):
        """Stops the switch, or kills it (SIGKILL), and starts it.  Its
        internal ports are persistent, so the host's address stays
        meanwhile."""
        if kill:
            self.ovs.switch.kill()
        else:
            complaint = self.ovs.exit(self.ovs.switch)
            if complaint:
                raise Failed(complaint)
        self.ovs.start_switch()
        self.ovs.wait_for_switch()

    def wait_in_step(self, revision, seconds=10):
        """Until its packet path uses mapping revision 'revision'."""
        wait_until('%s: revision %d in use' % (self, revision),
                   lambda: self.anycast_fact('revision') >= revision, seconds)


def ipv6_exists():
    """Whether this machine's kernel has IPv6."""
    return os.path.exists('/proc/sys/net/ipv6')
