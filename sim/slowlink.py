"""A wire between a VM and its switch that can be made slow.

    link = SlowLink(vm)         # the VM's port is replaced meanwhile
    link.delay(200)             # what the VM sends is late by 200 ms
    link.delay(0)

    VM eth0 ---- NAME-r [forwarder] NAME-q ---- NAME, the switch's port

For machines whose kernel has no queueing discipline that delays."""

import collections
import os
import select
import socket
import sys
import time

_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_ETH_P_ALL = 3


class SlowLink:
    def __init__(self, vm):
        from node import Helper, run

        host, name = vm.host, vm.name
        self.vm_side, self.switch_side = name + '-r', name + '-q'
        host.ovs.vsctl('del-port', vm.bridge, name)
        run(host, ['bash', '-ec', '''
            ip link set {0} down
            ip link set {0} name {1}
            ip link add {0} type veth peer name {2}
            ip link set {0} up
            ip link set {1} up
            ip link set {2} up'''.format(name, self.vm_side,
                                         self.switch_side)])
        host.ovs.vsctl(*host.port(vm))
        self.forwarder = Helper(host, os.path.abspath(__file__), self.vm_side,
                                self.switch_side)
        vm.announce()

    def delay(self, milliseconds):
        self.forwarder.tell('%d' % milliseconds)


def open_interface(name):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                         socket.htons(_ETH_P_ALL))
    sock.bind((name, 0))
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    return sock


def main(vm_side, switch_side):
    """The forwarder: until standard input ends."""
    vm, switch = open_interface(vm_side), open_interface(switch_side)
    late = collections.deque()  # (When it is due, frame), from the VM.
    delay = due = 0
    print('ready', flush=True)
    while True:
        now = time.monotonic()
        while late and late[0][0] <= now:
            switch.send(late.popleft()[1])
        ready = select.select([vm, switch, sys.stdin], [], [],
                              late[0][0] - now if late else None)[0]
        if vm in ready:
            due = max(due, time.monotonic() + delay)
            late.append((due, vm.recv(65536)))
        if switch in ready:
            vm.send(switch.recv(65536))
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                break
            delay = int(line) / 1000


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2])
