#!/usr/bin/python3
"""The real grapnel-mapd: each of many connections is served when it has
something to say, and only then, however it says it.

    tests/system/test-mapd-wakeups.py [TEST...]

An answer that comes only after something else has happened is one that was
missed: so nothing else happens."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

from mapdworld import (
    ROOT, Client, Mapd, Table, add, check, check_equal, endpoint, group, host,
    main)

PATIENCE = 8                    # Seconds; less than until mapd probes peers.
# Connections.  Few of those that mapd probes: all is to be over before that,
# on a busy machine, too.
SILENT = {"unix": 200, "tcp": 25, "tls": 15}
FLEET = 300
PIPELINED = 800


class TlsClient(Client):
    """What it sends at a time is a single TLS record, up to 16 KB: mapd's
    OpenSSL has all of it when mapd has read the first bytes."""

    def __init__(self, address, context):
        super().__init__(address, PATIENCE)
        self.sock = context.wrap_socket(self.sock)

    def close(self):
        self.sock = self.sock.unwrap()  # With a word.
        super().close()


class Kinds:
    """A mapd, and how to connect to it."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="test-wakeups.")
        ca = os.path.join(self.directory, "ca")
        subprocess.run([ROOT + "/tests/test-ca", ca, "mapd:m1",
                        "admin:alice"], check=True, timeout=120)
        self.mapd = Mapd(listen=["ptcp:0", "pssl:0:127.0.0.1"], options=[
            "--private-key=%s/mapd:m1-privkey.pem" % ca,
            "--certificate=%s/mapd:m1-cert.pem" % ca,
            "--ca-cert=%s/pki/switchca/cacert.pem" % ca])
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.load_verify_locations(ca + "/pki/controllerca/cacert.pem")
        self.context.load_cert_chain(ca + "/admin:alice-cert.pem",
                                     ca + "/admin:alice-privkey.pem")
        self.makers = {"unix": self.unix, "tcp": self.tcp, "tls": self.tls}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.mapd.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    def port(self, scheme):
        """It may be a while until the log has it."""
        until = time.monotonic() + PATIENCE
        while True:
            with open(self.mapd.log) as f:
                found = re.search(scheme + r":(\d+):127.0.0.1: listening",
                                  f.read())
            if found or time.monotonic() > until:
                return int(found[1])
            time.sleep(0.005)

    def unix(self):
        return Client(self.mapd.socket, PATIENCE)

    def tcp(self):
        return Client(("127.0.0.1", self.port("ptcp")), PATIENCE)

    def tls(self):
        return TlsClient(("127.0.0.1", self.port("pssl")), self.context)

    def patiently(self, kind):
        """Few of an address may be in a handshake at a time."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self.makers[kind]()
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def switches(self):
        """How often mapd has begun to wait for something."""
        with open("/proc/%d/status" % self.mapd.process.pid) as f:
            return int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)",
                                 f.read())[1])


def request(number, method="echo", params=()):
    return json.dumps({"id": number, "method": method,
                       "params": list(params)}).encode()


def test_each_in_turn():
    print("hundreds of silent connections, each of which speaks once",
          flush=True)
    with Kinds() as k:
        peers = [(kind, maker()) for kind, maker in k.makers.items()
                 for _ in range(SILENT[kind])]
        for kind, peer in peers:
            check_equal(peer.call("echo", kind), [kind], kind + ": at first")
        # All of them have sent half of a message when the rest comes.
        for n, (_, peer) in enumerate(peers):
            peer.sock.sendall(request(n, params=["x" * 100])[:70])
        time.sleep(0.3)
        for n, (kind, peer) in enumerate(peers):
            peer.sock.sendall(request(n, params=["x" * 100])[70:])
            check_equal(peer.finish(n), ["x" * 100], kind + ": in two halves")
        # Those who come or go do not take another's place.
        for _, peer in peers[::2]:
            peer.close()
        rest = peers[1::2] + [(kind, maker()) for _ in range(5)
                              for kind, maker in k.makers.items()]
        for kind, peer in rest:
            check_equal(peer.call("echo", kind), [kind],
                        kind + ": after others have gone")
        before = k.switches()
        time.sleep(1)
        check(k.switches() - before < 10, "silent ones do not wake mapd",
              k.switches() - before)
        for _, peer in rest:
            peer.close()
        k.mapd.stop()


def test_a_fleet_at_once():
    print("hundreds that come while mapd is busy", flush=True)
    with Kinds() as k:
        process = k.mapd.process
        for kind, address in (("unix", k.mapd.socket),
                              ("tcp", ("127.0.0.1", k.port("ptcp"))),
                              ("tls", ("127.0.0.1", k.port("pssl")))):
            process.send_signal(signal.SIGSTOP)
            waiting = []
            try:
                for _ in range(FLEET):
                    s = socket.socket(socket.AF_UNIX if kind == "unix"
                                      else socket.AF_INET)
                    # One for whom there is no room is told so, or waits.
                    s.settimeout(0 if kind == "unix" else 0.5)
                    waiting.append(s)
                    s.connect(address)
                check(True, kind + ": all have a place in line")
            except OSError as e:
                check(False, kind + ": all have a place in line",
                      len(waiting), e)
            process.send_signal(signal.SIGCONT)
            for s in waiting:
                s.close()
            peer = k.patiently(kind)
            check_equal(peer.call("echo", 1), [1], kind + ": then it goes on")
            peer.close()
        k.mapd.allow += ["refused", "send error", "stream_ssl", "Dropped"]
        k.mapd.stop()


def test_many_at_once():
    print("many requests in one piece", flush=True)
    with Kinds() as k:
        for kind, maker in k.makers.items():
            peer = maker()
            for n in (17, 150, PIPELINED):
                text = b"".join(request(i) for i in range(n))
                peer.sock.sendall(text)
                for i in range(n):
                    if peer.receive()["id"] != i:
                        check(False, kind + ": answers in order", n, i)
                check(True, kind + ": all are answered")
            # The end of one message, others, and the beginning of another.
            text = b"".join(request(i) for i in range(400))
            peer.sock.sendall(text[:9000])
            time.sleep(0.1)
            peer.sock.sendall(text[9000:])
            for i in range(400):
                peer.receive()
            check_equal(peer.call("echo", 1), [1], kind + ": and one more")
            peer.close()
        k.mapd.stop()


def test_answers_that_wait():
    print("a peer that reads its answers late", flush=True)
    with Kinds() as k:
        admin = k.unix()
        admin.ops(add(host(1)), add(group(7)),
                  *[add(dict(endpoint(7, "e%d" % i, "h1", 0),
                             mac="02:00:00:00:%02x:%02x" % divmod(i, 256)))
                    for i in range(1000)])
        for kind, maker in k.makers.items():
            peer = maker()
            n = 60              # Together more than mapd keeps for a peer.
            peer.sock.sendall(b"".join(request(i, "dump", [{}])
                                       for i in range(n)))
            check_equal(admin.call("echo", kind), [kind], "others are served")
            time.sleep(0.5)
            for i in range(n):
                message = peer.receive()
                if message["id"] != i or len(message["result"]["records"]) \
                        != 1002:
                    check(False, kind + ": answers in order", i, message)
            check(True, kind + ": all answers come when it reads on")
            check_equal(peer.call("echo", 2), [2], kind + ": and it goes on")
            peer.close()
        k.mapd.stop()


def test_updates_that_wait():
    print("a subscriber that reads its updates late", flush=True)
    with Kinds() as k:
        admin = k.unix()
        admin.ops(add(host(1)), *[add(group(7, "g%d" % i, i, slots=16384))
                                  for i in range(1, 9)])
        late = {kind: maker() for kind, maker in k.makers.items()}
        tables = {kind: Table(peer.call("subscribe", {}))
                  for kind, peer in late.items()}
        until = time.monotonic() + PATIENCE
        for i in range(1, 250):
            g = 1 + i % 8
            last = admin.ops(add(endpoint(7, "e%d" % i, "h1", i, "g%d" % g)))
            if i >= 40 and time.monotonic() > until:
                break           # Soon mapd would take them for dead.
        for kind, peer in late.items():
            table = tables[kind]
            while table.revision < last["revision"]:
                method, params = peer.note()
                if method == "update":
                    table.update(params[0])
                else:
                    check_equal(method, "snapshot", "nothing else")
                    table.load(params[0])
            check_equal(list(table.problems()), [], kind + ": its table is right")
            check_equal(peer.call("echo", 3), [3], kind + ": and it goes on")
            peer.close()
        k.mapd.stop()


main(test_each_in_turn, test_a_fleet_at_once, test_many_at_once,
     test_answers_that_wait, test_updates_that_wait)
