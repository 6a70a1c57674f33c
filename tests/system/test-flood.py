#!/usr/bin/python3
"""More flows than the flow table holds: established ones stay."""

import sys
sys.dont_write_bytecode = True

import os
import re
import time

import harness
from harness import TOP, check

from clients import Holder, connect
from tenant import REGISTERED_ANEW, group, h4, python, red
from topology import ANYCAST, ANYCAST6, Topology

ROUTER = '0a:67:72:00:13:89'    # Of VNI 5001.
SERVERS = ('red-web1', 'red-web2', 'red-web3')
CAPACITY = 20000                # Of h4's flow table.
SYNS = 100000
LIVE = 100                      # Connections, of each IP version.

# Of a switch that ends before mapd has read everything; and of the flood.
CUT_OFF = r'jsonrpc\|WARN\|.* receive error: Connection reset by peer'
FULL = r'the flow table is full: \d+ more flows were not kept .*: raise ' \
       r'external_ids:grapnel-flows, now %d' % CAPACITY

# SYNs from addresses that servers have no route to, so that nobody answers.
FLOOD = r'''
import ipaddress, socket, struct, sys, time
mac, router, address, count = sys.argv[1:5]
unhex = lambda text: bytes.fromhex(text.replace(':', ''))
six = ':' in address
frame = bytearray(unhex(router) + unhex(mac)
                  + (b'\x86\xdd' if six else b'\x08\0'))
tcp = struct.pack('>HHIIBBHHH', 0, 80, 1, 0, 0x50, 2, 1000, 0, 0)
if six:
    frame += struct.pack('>IHBB', 6 << 28, 20, 6, 64) + bytes(16)
    source = len(frame) - 16
else:
    frame += struct.pack('>BBHHHBBHI', 0x45, 0, 40, 0, 0, 64, 6, 0, 0)
    source = len(frame) - 4
frame += ipaddress.ip_address(address).packed + tcp
ports = len(frame) - 20
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
for i in range(int(count)):
    if six:
        frame[source:source + 16] = struct.pack('>QQ', 0x20010db8 << 32 | 9, i)
    else:
        frame[source:source + 4] = struct.pack('>I', 172 << 24 | 16 << 16 | i)
        header = struct.unpack('>10H', frame[14:34])
        total = sum(header) - header[5]
        total = (total & 0xffff) + (total >> 16)
        frame[24:26] = struct.pack(
            '>H', ~((total & 0xffff) + (total >> 16)) & 0xffff)
    frame[ports:ports + 2] = struct.pack('>H', 1024 + i % 60000)
    s.send(frame)
    if i % 64 == 0:
        time.sleep(0.002)               # The switch shares its CPU with us.
'''

tests = harness.Tests()


@tests.add
def a_flood_of_syns_does_not_push_out_established_flows(network):
    for line in (REGISTERED_ANEW, CUT_OFF, FULL):
        network.expect_log(line)
    host = h4(network)
    host.ovs.vsctl('set', 'open_vswitch', '.',
                   'external_ids:grapnel-flows=%d' % CAPACITY)
    host.restart_switch()
    network.wait_for_hosts()
    with group(network, *SERVERS, options=['--algorithm', 'round-robin']), \
            group(network, *SERVERS, address=ANYCAST6, name='six',
                  options=['--algorithm', 'round-robin']):
        held = [Holder(red(network), LIVE, address=address)
                for address in (ANYCAST, ANYCAST6)]
        before = host.show()
        for address in (ANYCAST, ANYCAST6):
            python(red(network), FLOOD, red(network).mac, ROUTER, address,
                   SYNS)
        time.sleep(1)
        shown = host.show()
        check(shown['flow_capacity'] < 2 * CAPACITY, '%s', shown)
        came = shown['endpoints_selected'] - before['endpoints_selected']
        check(came > SYNS, 'only %d SYNs came so far', came)
        check(shown['flows_used'] <= shown['flow_capacity']
              + shown['flow_capacity_ipv6'], '%s', shown)
        check(len(re.findall(FULL, host.ovs.log())) == 1,
              'warned of a full table more often than once, or not at all')
        check(re.search(r'^ready, \d+ % full, \d+ flows not kept for want of '
                        r'room$', shown['flow_table']), '%s', shown)
        for address in (ANYCAST, ANYCAST6):
            connect(red(network), 50, address=address)
        for holder in held:
            report = holder.finish()
            check(not report['broken'], '%d of %d broke: %s',
                  len(report['broken']), LIVE, report['broken'][:3])
        check(host.anycast_fact('endpoints_selected_again')
              == before['endpoints_selected_again'], 'some were picked anew')


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'flood'))))
