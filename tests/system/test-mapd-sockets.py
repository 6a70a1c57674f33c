#!/usr/bin/python3
"""The real grapnel-mapd: where it listens, crowds, and readers that do not
read.

    tests/system/test-mapd-sockets.py [TEST...]"""

import json
import os
import re
import resource
import socket
import subprocess
import time

from mapdworld import (
    Client, MAPD, Mapd, Table, add, check, check_equal, endpoint, group, host,
    main, op)

def test_sockets():
    print("sockets, exit, second mapd", flush=True)
    m = Mapd(listen=["ptcp:0", "ptcp:0:0.0.0.0"],
             allow=["not authenticated and not encrypted"])
    log = ""
    for _ in range(400):
        with open(m.log) as f:
            log = f.read()
        if "store sqlite:" in log:      # All that comes before is there.
            break
        time.sleep(0.005)
    check_equal(log.count("not authenticated"), 1, "one warning for 0.0.0.0")
    port = int(re.search(r"ptcp:(\d+):127.0.0.1: listening", log).group(1))
    c = Client(("127.0.0.1", port))
    check_equal(c.call("status")["revision"], 0, "tcp works")
    for what, args in (("a second mapd", []),
                       ("a bad socket", ["--listen=tcp:1.2.3.4"]),
                       ("a bad store", ["--store=etcd:x"]),
                       ("an argument", ["x"])):
        second = Mapd.__new__(Mapd)
        second.__dict__.update(m.__dict__, listen=[])
        command = [MAPD, "--store=sqlite:" + m.store, "-vconsole:emer",
                   "-vsyslog:off", "--unixctl=" + m.directory + "/2.ctl",
                   "--listen=punix:" + m.directory + "/2.sock"] + args
        if "--listen=tcp:1.2.3.4" in args:
            command[1] = "--store=sqlite:" + m.directory + "/2.db"
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True,
                              env=dict(os.environ, OVS_RUNDIR=m.directory),
                              timeout=20)
        lines = done.stderr.strip().splitlines()
        check(done.returncode == 1 and len(lines) == 1,
              what + " is refused in one line", done)
    text = subprocess.run([MAPD, "--version"], stdout=subprocess.PIPE,
                          text=True).stdout
    check(text.startswith("grapnel-mapd 0."), "--version", text)
    text = subprocess.run([MAPD, "--help"], stdout=subprocess.PIPE,
                          text=True).stdout
    check("--store" in text and "--pidfile" in text, "--help")
    ctl = Client(os.path.join(m.directory, "mapd.ctl"))
    check("connections:" in ctl.call("mapd/show"), "unixctl mapd/show")
    ctl.call("exit")
    check_equal(m.process.wait(10), 0, "unixctl exit ends mapd")
    m.check_log()
    m.remove()


def test_crowd():
    print("100 subscribers that do not read", flush=True)
    m = Mapd(listen=["ptcp:0"], allow=["reads its snapshot too slowly",
                                       "Dropped .* log messages",
                                       "send error"])
    c = m.client(60)
    c.ops(add(host(1)))
    for vni in range(1, 21):
        c.ops(*([add(group(vni))] + [
            add(dict(endpoint(vni, "e%d" % i, "h1", 0),
                     mac="02:00:00:00:%02x:%02x" % divmod(i, 256)))
            for i in range(1000)]))
    size = len(json.dumps(c.call("subscribe", {})))
    crowd = [m.client() for _ in range(100)]
    for x in crowd:
        x.start("subscribe", {})
    slowest, peak, started = 0, 0, time.monotonic()
    for i in range(20):
        before = time.monotonic()
        c.call("echo")
        slowest = max(slowest, time.monotonic() - before)
        peak = max(peak, int(re.search(
            r"VmHWM:\s+(\d+)",
            open("/proc/%d/status" % m.process.pid).read())[1]))
        time.sleep(0.1)
    print("  snapshot %.1f MB, peak %d MB, slowest echo %.0f ms"
          % (size / 1e6, peak // 1024, slowest * 1000), flush=True)
    check(peak < 250 * 1024, "memory is bounded", peak)
    check(slowest < 1, "others are served", slowest)
    good = m.client(60)
    snapshot = good.call("subscribe", {})
    check_equal(len(snapshot["groups"]), 20, "a reader has its turn")
    print("  it waited %.0f s" % (time.monotonic() - started), flush=True)
    for x in crowd + [good, c]:
        x.close()
    m.stop()
    m.remove()


def test_limits():
    print("no files, no places, too much unfinished", flush=True)

    class Small(Mapd):
        def prepare(self):
            resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    m = Small(listen=["ptcp:0"], allow=["the rest is for Unix", "refused, th",
                                        "accept failed", "send error",
                                        "largest of the unfinished"])
    for _ in range(400):
        with open(m.log) as f:
            port = re.search(r"ptcp:(\d+):127.0.0.1: listening", f.read())
        if port:
            break
        time.sleep(0.005)
    c = m.client()
    crowd = [Client(("127.0.0.1", int(port.group(1)))) for _ in range(100)]
    time.sleep(0.2)
    check_equal(m.client().call("echo", 1), [1],
                "a local client gets in when the network's places are taken")
    with open(m.log) as f:
        check("the rest is for Unix sockets" in f.read(), "the log says why")
    for x in crowd:
        x.close()

    idle = []
    for _ in range(100):
        idle.append(m.client())
    time.sleep(0.2)
    stat = "/proc/%d/stat" % m.process.pid
    ticks = [sum(map(int, open(stat).read().split()[13:15])), 0]
    time.sleep(1)
    ticks[1] = sum(map(int, open(stat).read().split()[13:15]))
    check(ticks[1] - ticks[0] < 20, "idle clients cost nothing", ticks)
    for x in idle:
        x.close()
    check_equal(c.call("echo", 2), [2], "and it goes on")

    greedy = [m.client() for _ in range(3)]
    for i, x in enumerate(greedy):
        try:
            x.sock.sendall(b"{\"method\":\"" + b"x" * ((50 - i) << 20))
        except OSError:
            pass
    time.sleep(0.5)
    alive = 0
    for x in greedy:
        x.sock.settimeout(0.5)
        try:
            alive += bool(x.sock.recv(1))
        except socket.timeout:
            alive += 1
        except ConnectionError:
            pass
    check_equal(alive, 2, "the largest unfinished message is dropped")
    check_equal(c.call("echo", 3), [3], "the others go on")
    m.process.terminate()
    m.process.wait(10)
    m.check_log()
    m.remove()


def test_silent_reader():
    print("a subscriber that does not read", flush=True)
    m = Mapd()
    c = m.client()
    n = 40
    c.ops(*([add(host(1)), add(group(1, slots=65536))]
            + [add(endpoint(1, "e%d" % i, "h1", i)) for i in range(n)]))
    lazy = m.client()
    lazy.start("subscribe", {})
    reader = m.client()
    reader.call("subscribe", {})
    for i in range(700):
        c.ops(*[op("set", {"kind": "endpoint", "vni": 1, "group": "web",
                           "name": "e%d" % ((i + 5 * k) % n),
                           "weight": 50 + (i * (k + 1)) % 900})
                for k in range(8)])
        reader.note()
    ctl = Client(os.path.join(m.directory, "mapd.ctl"))
    unsent = [int(x) for x in re.findall(r"unsent (\d+)",
                                         ctl.call("mapd/show"))]
    check(1 << 20 < max(unsent) < 6 << 20, "its backlog is bounded", unsent)
    table, snapshots, updates = Table(lazy.receive()["result"]), 0, 0
    last = c.call("status")["revision"]
    while table.revision < last:
        method, (note,) = lazy.note()
        if method == "snapshot":
            snapshots += 1
            table.load(note)
        else:
            updates += 1
            table.update(note)
    check(snapshots == 1 and 10 < updates < 700,
          "it gets a snapshot when it reads again", snapshots, updates)
    check(table.same(Table(c.call("subscribe", {}))),
          "and then knows what the others know")
    c.ops(add(host(2)))
    method, (note,) = lazy.note()
    check_equal((method, table.update(note)), ("update", ["host"]),
                "updates go on from there")
    m.stop()
    m.remove()


if __name__ == '__main__':
    main(test_sockets, test_crowd, test_limits, test_silent_reader)
