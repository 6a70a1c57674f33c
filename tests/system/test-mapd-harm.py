#!/usr/bin/python3
"""The real grapnel-mapd: bad options, bad bytes, bad disks.

    tests/system/test-mapd-harm.py [TEST...]"""

import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import time

from mapdworld import (
    Client, Closed, MAPD, Mapd, RpcError, add, check, check_equal, endpoint,
    group, host, main)

def try_mapd(directory, *options, limit=None):
    """Runs mapd until it gives up, with the levels it has by default."""
    def prepare():
        if limit:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return subprocess.run([MAPD, "-vsyslog:off"] + list(options),
                          stderr=subprocess.PIPE, text=True, timeout=20,
                          preexec_fn=prepare,
                          env=dict(os.environ, OVS_RUNDIR=directory))


def test_harm():
    print("no harm to what is there", flush=True)
    m = Mapd()
    d = m.directory
    text = os.path.join(d, "text")
    with open(text, "w") as f:
        f.write("hello")
    os.symlink(text, os.path.join(d, "link"))
    for what, options, words in (
            ("a file as socket", ["--listen=punix:" + text], "not a socket"),
            ("a link as socket", ["--listen=punix:" + d + "/link"],
             "not a socket"),
            ("the store as socket", ["--listen=punix:" + d + "/2.db"],
             "not a socket"),
            ("a running mapd's socket", ["--listen=punix:" + m.socket],
             "in use by another process"),
            ("a file as control socket", ["--unixctl=" + text],
             "not a socket"),
            ("a running mapd's control socket",
             ["--unixctl=" + d + "/mapd.ctl"], "in use by another process"),
            ("a socket in no directory", ["--listen=punix:" + d + "/x/y/z"],
             "cannot listen"),
            ("a bad port", ["--listen=ptcp:99999"], "ptcp:[PORT][:IP]"),
            ("a foreign address", ["--listen=ptcp:0:192.0.2.77"],
             "192.0.2.77"),
            ("a pidfile below a file", ["--pidfile=" + text + "/a/pid"],
             "cannot be created"),
            ("a log below a file", ["--log-file=" + text + "/a/log"],
             "cannot be created")):
        done = try_mapd(d, "--store=" + d + "/2.db", *options)
        lines = [x for x in done.stderr.splitlines() if "|INFO|" not in x]
        check(done.returncode == 1 and len(lines) == 1 and words in lines[0],
              what + " is refused in one line", done)
    check_equal(open(text).read(), "hello", "the file is as it was")
    check(os.path.getsize(os.path.join(d, "2.db")) > 1000,
          "so is the store")
    c = m.client()
    check_equal(c.call("status")["problems"], [], "the first goes on")
    done = try_mapd(d, "--store=" + d + "/2.db", limit=64)
    check(done.returncode == 1 and "may open 64 files" in done.stderr,
          "too few files are refused", done)

    # Another socket in its place is not ours to remove.
    m.kill()
    left = os.path.join(d, "grapnel-mapd.%d.ctl" % m.process.pid)
    others = [os.path.join(d, x) for x in (
        "grapnel-mapd.%d.ctl" % os.getpid(), "grapnel-mapd.1x.ctl",
        "other.%d.ctl" % m.process.pid)]
    for path in [left] + others:
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.close()
    m.start()
    check_equal([os.path.exists(x) for x in [left] + others],
                [False, True, True, True],
                "only the control sockets of dead mapds go")
    os.unlink(m.socket)
    other = socket.socket(socket.AF_UNIX)
    other.bind(m.socket)
    m.process.terminate()
    check_equal(m.process.wait(10), 0, "it ends")
    check(os.path.exists(m.socket), "another's socket stays")
    os.unlink(m.socket)

    run = os.path.join(d, "new", "run")
    p = subprocess.Popen(
        [MAPD, "-vconsole:off", "-vsyslog:off", "--detach", "--no-chdir",
         "--pidfile", "--log-file=" + d + "/new/log/mapd.log",
         "--store=" + d + "/new/lib/store/g.db"],
        env=dict(os.environ, OVS_RUNDIR=run))
    check_equal(p.wait(20), 0, "it makes its directories")
    Client(run + "/grapnel-mapd.sock").call("status")
    with open(run + "/grapnel-mapd.pid") as f:
        os.kill(int(f.read()), signal.SIGTERM)
    m.remove()


def test_nasty():
    print("garbage, half messages, many connections", flush=True)
    m = Mapd(allow=[r"\|jsonrpc\|WARN\|", r"\|stream\w*\|WARN\|",
                    "closing$"])
    c = m.client()
    c.ops(add(host(1)), add(group(1)))

    def closed(data, what):
        bad = m.client(5)
        try:
            bad.sock.sendall(data)
            while bad.sock.recv(65536):
                pass
            check(True, what)
        except ConnectionError:
            check(True, what)
        except socket.timeout:
            check(False, what, "the connection is still open")
        bad.close()

    rng = random.Random(5)
    for i in range(50):
        closed(b"\xff" + rng.randbytes(rng.randrange(1, 3000)) + b"}]\x00{",
               "random bytes end their connection")
    for text in ("[]", "{}", "{\"x\":1}", "GET / HTTP/1.1\r\n\r\n",
                 "{\"method\":\"status\",\"params\":7,\"id\":1}",
                 "{\"method\":7,\"params\":[],\"id\":1}",
                 "{\"result\":7,\"error\":null,\"id\":1}",
                 "{\"method\":\"applied\",\"params\":[7],\"id\":null}",
                 "{\"method\":\"applied\",\"params\":[{\"revision\":99}],"
                 "\"id\":null}",
                 "[" * 5000):
        closed(text.encode(), "malformed message: " + text[:60])

    halves = []
    message = json.dumps({"method": "transact", "id": 1, "params": [
        {"ops": [add(host(9))]}]}).encode()
    for i in range(len(message)):
        half = m.client()
        half.sock.sendall(message[:i])
        halves.append(half)
    for half in halves:
        half.close()
    check_equal(c.call("status")["hosts"], 1, "half messages do nothing")
    slow = m.client()
    for i in range(len(message)):
        slow.sock.sendall(message[i:i + 1])
    check_equal(slow.receive()["result"]["revision"], 2,
                "a message in single bytes is a message")

    many = []
    for i in range(1000):
        many.append(m.client())
        if i % 3 == 0:
            many[-1].start("subscribe", {})
    for x in many:
        x.close()
    check_equal(c.call("status")["hosts"], 2, "works after 1000 connections")
    huge = m.client()
    try:
        huge.sock.sendall(b"{\"method\":\"" + b"x" * (66 << 20))
        huge.receive()
    except (Closed, ConnectionError, socket.timeout):
        pass
    huge.close()
    # The log is written by a thread of its own.
    deadline = time.monotonic() + 5
    while ("more than 67108864 bytes" not in open(m.log).read()
           and time.monotonic() < deadline):
        time.sleep(0.05)
    check("more than 67108864 bytes" in open(m.log).read(),
          "an endless message is cut off")
    check_equal(c.call("status")["hosts"], 2, "and mapd goes on")
    rss = int(re.search(r"VmRSS:\s+(\d+)",
                        open("/proc/%d/status" % m.process.pid).read())[1])
    print("  resident after that: %d MB" % (rss // 1024), flush=True)
    m.stop()
    m.remove()


def test_full_disk():
    print("a store that cannot grow", flush=True)
    m = Mapd(limit=400 * 1024, allow=["a change is refused"])
    c = m.client()
    c.ops(add(host(1)))
    error, n = None, 0
    while not error and n < 2000:
        before = c.call("dump")
        try:
            c.ops(add(group(n + 1, slots=4096)),
                  add(endpoint(n + 1, "a", "h1", 1)))
            n += 1
        except RpcError as e:
            error = e.args[0]
    check(error and error["error"] == "store" and error.get("hint"),
          "a change that does not fit is refused", n, error)
    check_equal(c.call("dump"), before, "and changes nothing")
    m.stop()
    m.limit = None
    m.start()
    c = m.client()
    check_equal(c.call("dump"), before, "nor after a restart")
    c.ops(add(host(2)))
    m.stop()
    m.remove()


if __name__ == '__main__':
    main(test_harm, test_nasty, test_full_disk)
