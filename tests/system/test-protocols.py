#!/usr/bin/python3
"""What can be sent to an anycast address: every protocol, over IPv4 and IPv6,
in fragments, and errors about it; and which ports a group takes."""

import sys
sys.dont_write_bytecode = True

import os
import time

import harness
from harness import TOP, check

from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (ICMPv6PacketTooBig, IPv6,
                                IPv6ExtHdrFragment, fragment6)
from scapy.layers.l2 import Ether
from scapy.layers.sctp import (SCTP, SCTPChunkData, SCTPChunkInit,
                               SCTPChunkShutdownAck)
from scapy.packet import Raw

from clients import Holder, connect
from node import run, wait_until
from tenant import (Sniffer, drops, group, h4, python, red, send_frames,
                    udp_servers)
from topology import ANYCAST, ANYCAST6, Topology

ROUTER = '0a:67:72:00:13:89'    # Of VNI 5001.
SERVERS = ('red-web1', 'red-web2', 'red-web3')
ADDRESSES = (ANYCAST, ANYCAST6)

tests = harness.Tests()


def ether(network):
    return Ether(src=red(network).mac, dst=ROUTER)


def header(network, address):
    """From the client to 'address'."""
    client = red(network)
    return (IPv6(src=client.address6, dst=address) if ':' in address
            else IP(src=client.address, dst=address))


ASK = '''
import socket, sys
address, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for port in range(port, port + int(sys.argv[4])):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET,
                      socket.SOCK_DGRAM)
    s.bind(('', port))
    s.connect((address, 5353))
    s.settimeout(5)
    answers = []
    for question in range(3):
        s.send(bytes(size))
        answers.append(s.recv(100).decode().replace(' ', ':'))
    print(*answers)
'''


def ask(network, address, port, size, count):
    """Questions of 'size' bytes from 'count' ports of the client's on, three
    from each.  Returns a list of (who answered, the length that it got)."""
    answers = []
    for line in python(red(network), ASK, address, port, size,
                       count).splitlines():
        check(len(set(line.split())) == 1, 'one flow was answered by %s', line)
        name, length = line.split()[0].split(':')
        answers.append((name, int(length)))
    return answers


@tests.add
def udp_sticks(network):
    for address in ADDRESSES:
        with udp_servers(network, *SERVERS, address=address), \
                group(network, *SERVERS, address=address, port=5353,
                      protocol='udp'):
            answers = ask(network, address, 20000, 10, 40)
        check({name for name, _ in answers} == set(SERVERS), '%s', answers)


@tests.add
def tcp_over_ipv6_sticks_through_a_drain(network):
    with group(network, *SERVERS, address=ANYCAST6) as key:
        held = Holder(red(network), 30, address=ANYCAST6)
        network.ctl('endpoint', 'set', key + '/web2', '--state', 'draining',
                    '--wait')
        answers = connect(red(network), 60, address=ANYCAST6)
        report = held.finish()
    check(set(answers) == {'red-web1', 'red-web3'}, '%s', answers)
    check(not report['broken'] and report['endpoints'].get('red-web2'), '%s',
          report)


@tests.add
def datagrams_in_fragments_arrive_whole(network):
    """The client's kernel makes the fragments."""
    before = h4(network).anycast_fact('fragments')
    for address in ADDRESSES:
        with udp_servers(network, *SERVERS, address=address), \
                group(network, *SERVERS, address=address, port=5353,
                      protocol='udp'):
            answers = ask(network, address, 21000, 6000, 20)
        check({name for name, _ in answers} == set(SERVERS), '%s', answers)
        check({length for _, length in answers} == {6000}, '%s', answers)
    check(h4(network).anycast_fact('fragments') >= before + 2 * 20 * 3 * 3,
          'too few fragments counted')


LISTEN = '''
import socket, sys
address, port = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET,
                  socket.SOCK_DGRAM)
s.bind((address, port))
s.settimeout(5)
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(('eth0', 0))
for line in sys.stdin:
    raw.send(bytes.fromhex(line))
print(s.recv(100).decode())
'''


@tests.add
def fragments_may_come_in_any_order(network):
    client = red(network)
    for address, own in ((ANYCAST, client.address),
                         (ANYCAST6, client.address6)):
        with udp_servers(network, *SERVERS, address=address), \
                group(network, *SERVERS, address=address, port=5353,
                      protocol='udp'):
            for number in range(12):
                port = 22000 + number
                frames = fragments(network, address, port, 4000, number)
                for _ in range(number % 4):
                    frames = frames[1:] + frames[:1]
                if number % 2:
                    frames.reverse()
                answer = python(client, LISTEN, own, port, stdin=''.join(
                    bytes(frame).hex() + '\n' for frame in frames))
                check(answer.split()[1:] == ['4000'], '%s, order %d: %r',
                      address, number, answer)


def fragments(network, address, port, size, number):
    """Frames of a UDP datagram of 'size' bytes in fragments, in order."""
    whole = header(network, address)
    if ':' in address:
        # scapy has an opinion of where the fragment header goes.
        packets = fragment6(whole / IPv6ExtHdrFragment(id=7000 + number)
                            / UDP(sport=port, dport=5353)
                            / Raw(bytes(size)), 1400)
    else:
        whole.id = 7000 + number
        packets = fragment(whole / UDP(sport=port, dport=5353)
                           / Raw(bytes(size)), 1400)
    return [ether(network) / packet for packet in packets]


@tests.add
def a_fragment_whose_first_one_never_comes_is_dropped_in_time(network):
    with group(network, 'red-web1', port=5353, protocol='udp'):
        before = drops(network, 'fragment')
        send_frames(red(network), fragments(network, ANYCAST, 23000, 4000,
                                            99)[1:])
        deadline = time.monotonic() + 9
        while drops(network, 'fragment') < before + 2:
            check(time.monotonic() < deadline, 'they are still there')
            time.sleep(0.5)
            # Held fragments are looked at when other packets come.
            send_frames(red(network), fragments(network, ANYCAST, 23001, 10,
                                                100))


@tests.add
def the_address_answers_ping(network):
    """Of a group of any protocol, or of the one of protocol icmp."""
    client = red(network)
    for address in ADDRESSES:
        ping = ['ping', '-qc', 3, '-i', 0.1, '-W', 5, address]
        with group(network, 'red-web1', address=address):
            run(client, ping)
            sniffer = Sniffer(*(network.vms[name] for name in SERVERS))
            with group(network, 'red-web3', address=address, name='echo',
                       protocol='icmp', port=0):
                run(client, ping)
            got = {name for name, frames in sniffer.frames().items()
                   if any(is_echo(frame) for frame in frames)}
        check(got == {'red-web3'}, '%s: pings reached %s', address, got)


def is_echo(frame):
    packet = Ether(frame)
    if IP in packet:
        return packet[IP].dst == ANYCAST and packet[IP].proto == 1
    return IPv6 in packet and packet[IPv6].dst == ANYCAST6 \
        and packet[IPv6].nh == 58


@tests.add
def sctp_sticks(network):
    """INIT, then DATA after endpoints have been added: made by hand, since
    this machine's kernel may have no SCTP."""
    for address in ADDRESSES:
        with group(network, 'red-web1', 'red-web2', address=address,
                   port=9899, protocol='sctp'):
            first = sctp(network, address,
                         SCTPChunkInit(init_tag=1, a_rwnd=1 << 16,
                                       n_out_streams=1, n_in_streams=1,
                                       init_tsn=1), 0)
            network.add_endpoint('test', 'red-web3', '--weight', 1000)
            then = sctp(network, address, SCTPChunkData(data=b'more'), 7)
            sctp(network, address, SCTPChunkShutdownAck(), 7)
        check(first == then and set(first.values()) ==
              {'red-web1', 'red-web2'}, '%s: INIT reached %s, DATA %s',
              address, first, then)


def sctp(network, address, chunk, tag):
    """Sends 'chunk' from 16 ports.  Returns {port: who got it}."""
    frames = [ether(network) / header(network, address)
              / SCTP(sport=port, dport=9899, tag=tag) / chunk
              for port in range(30000, 30016)]
    sniffer = Sniffer(*(network.vms[name] for name in SERVERS))
    send_frames(red(network), frames)
    time.sleep(0.3)
    return {packet[SCTP].sport: name
            for name, got in sniffer.frames().items()
            for packet in map(Ether, got) if SCTP in packet}


@tests.add
def an_icmp_error_reaches_the_server_of_its_flow(network):
    """Where it lowers the path MTU; and nowhere else."""
    client = red(network)
    for address, own, port in ((ANYCAST, client.address, 24000),
                               (ANYCAST6, client.address6, 24000)):
        routed = h4(network).anycast_fact('icmp_errors_to_their_flow')
        with udp_servers(network, *SERVERS, address=address), \
                group(network, *SERVERS, address=address, port=5353,
                      protocol='udp'):
            (name, _), = ask(network, address, port, 10, 1)
            send_frames(client, [too_big(network, address, own, port)])
            wait_until('%s has the path MTU' % name, lambda: 'mtu 1300'
                       in route(network, name, own), 3)
            for other in set(SERVERS) - {name}:
                check('mtu 1300' not in route(network, other, own),
                      '%s was told, too', other)
            check(h4(network).anycast_fact('icmp_errors_to_their_flow')
                  == routed + 1, 'not counted')
            run(network.vms[name], ['ip', '-6' if ':' in own else '-4',
                                    'route', 'flush', 'cache'])


def too_big(network, address, own, port):
    """What a router on the way would say to the server of a flow."""
    udp = UDP(sport=5353, dport=port) / Raw(bytes(1400))
    if ':' in address:
        return (ether(network) / header(network, address)
                / ICMPv6PacketTooBig(mtu=1300)
                / IPv6(src=address, dst=own) / udp)
    return (ether(network) / header(network, address)
            / ICMP(type=3, code=4, nexthopmtu=1300)
            / Raw(bytes(IP(src=address, dst=own, flags='DF') / udp)[:28]))


def route(network, name, address):
    return run(network.vms[name], ['ip', 'route', 'get', address]).stdout


@tests.add
def an_icmp_error_about_nothing_known_goes_nowhere(network):
    """In a group whose flows cannot be told from their addresses."""
    with group(network, *SERVERS, port=5353, protocol='udp',
               options=['--algorithm', 'round-robin']):
        before = drops(network, 'unknown_flow')
        send_frames(red(network), [too_big(network, ANYCAST,
                                           red(network).address, 25000)])
        wait_until('it is counted', lambda: drops(network, 'unknown_flow')
                   == before + 1, 3)


@tests.add
def an_exact_port_wins_over_a_range_and_that_over_all_ports(network):
    for address in ADDRESSES:
        with group(network, 'red-web3', address=address, port=0), \
                group(network, 'red-web1', address=address, name='range',
                      port='8080-8081'), \
                group(network, 'red-web2', address=address, name='exact',
                      port=8081):
            answers = {port: set(connect(red(network), 20, address=address,
                                         port=port))
                       for port in (80, 8080, 8081)}
        check(answers == {80: {'red-web3'}, 8080: {'red-web1'},
                          8081: {'red-web2'}}, '%s', answers)


@tests.add
def a_port_that_no_group_takes_is_counted(network):
    with group(network, 'red-web1', port='8080-8081'):
        before = drops(network, 'no_group')
        send_frames(red(network), [ether(network) / header(network, ANYCAST)
                                   / TCP(dport=8082, flags='S')])
        wait_until('it is counted', lambda: drops(network, 'no_group')
                   == before + 1, 3)


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'protocols'))))
