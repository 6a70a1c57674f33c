#!/usr/bin/python3
"""The real grapnel-mapd, spoken to by a client written from docs/protocol.md.

Each part starts its own mapd in a temporary directory.  The decoding of slot
differences below shares nothing with the program's.
"""

import atexit
import base64
import faulthandler
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.environ.get("B", os.path.join(ROOT, "build"))
MAPD = os.path.join(ROOT, BUILD, "grapnel-mapd")
NO_ENDPOINT = 65535
KILLS = int(os.environ.get("KILLS", "110"))

passed = failed = 0


def check(ok, what, *details):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print("FAILED:", what, *details, flush=True)
    return ok


def check_equal(got, expected, what):
    return check(got == expected, what, "got", repr(got)[:600], "expected",
                 repr(expected)[:600])


# The client.

class RpcError(Exception):
    pass


class Closed(Exception):
    pass


class Client:
    def __init__(self, address, timeout=20):
        family = (socket.AF_UNIX if isinstance(address, str)
                  else socket.AF_INET)
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        while True:
            try:
                self.sock.connect(address)
                break
            except BlockingIOError:     # More wait than the socket takes.
                time.sleep(0.001)
        self.text = ""
        self.notes = []
        self.next_id = 0

    def close(self):
        self.sock.close()

    def send(self, message):
        self.sock.sendall(json.dumps(message).encode())

    def receive(self):
        while True:
            try:
                message, end = json.JSONDecoder().raw_decode(self.text)
                self.text = self.text[end:].lstrip()
                if message.get("method") == "echo":
                    self.send({"id": message["id"], "error": None,
                               "result": message["params"]})
                    continue
                return message
            except ValueError:
                pass
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionError:
                raise Closed()
            if not data:
                raise Closed()
            self.text += data.decode()

    def start(self, method, *params):
        self.next_id += 1
        self.send({"method": method, "params": list(params),
                   "id": self.next_id})
        return self.next_id

    def finish(self, ident):
        while True:
            message = self.receive()
            if message.get("id") == ident and "method" not in message:
                if message.get("error") is not None:
                    raise RpcError(message["error"])
                return message["result"]
            self.notes.append((message["method"], message["params"]))

    def call(self, method, *params):
        return self.finish(self.start(method, *params))

    def refused(self, what, code, field, method, *params):
        """Calls 'method' and expects an error, which it returns."""
        try:
            result = self.call(method, *params)
        except RpcError as e:
            error = e.args[0]
            check(error["error"] == code and error.get("field") == field
                  and error.get("message"), what, error)
            return error
        check(False, what, "no error but", result)
        return {}

    def ops(self, *ops, **options):
        return self.call("transact", dict(options, ops=list(ops)))

    def note(self):
        if self.notes:
            return self.notes.pop(0)
        message = self.receive()
        return message["method"], message["params"]

    def applied(self, revision):
        self.send({"method": "applied", "params": [{"revision": revision}],
                   "id": None})


class Mapd:
    def __init__(self, directory=None, listen=(), limit=None, allow=()):
        self.directory = directory or tempfile.mkdtemp(prefix="test-mapd.")
        self.socket = os.path.join(self.directory, "mapd.sock")
        self.store = os.path.join(self.directory, "store", "grapnel.db")
        self.log = os.path.join(self.directory, "mapd.log")
        self.listen = ["punix:" + self.socket] + list(listen)
        self.limit = limit
        self.allow = list(allow)
        self.process = None
        atexit.register(self.remove)
        self.start()

    def command(self, *more):
        return ([MAPD, "--store=sqlite:" + self.store, "-vconsole:off",
                 "-vsyslog:off", "--log-file=" + self.log,
                 "--unixctl=" + os.path.join(self.directory, "mapd.ctl"),
                 "--pidfile=" + os.path.join(self.directory, "mapd.pid")]
                + ["--listen=" + x for x in self.listen] + list(more))

    def prepare(self):
        if self.limit:
            resource.setrlimit(resource.RLIMIT_FSIZE,
                               (self.limit, self.limit))

    def start(self):
        self.process = subprocess.Popen(
            self.command(), preexec_fn=self.prepare,
            env=dict(os.environ, OVS_RUNDIR=self.directory))
        for _ in range(4000):
            try:
                Client(self.socket).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.005)
        raise SystemExit("grapnel-mapd does not start: see " + self.log)

    def client(self, timeout=20):
        return Client(self.socket, timeout)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ends it as an operator would, and looks at what it leaves."""
        self.process.terminate()
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            status = "a timeout"
        check_equal(status, 0, "SIGTERM ends mapd with status 0")
        check(not os.path.exists(os.path.join(self.directory, "mapd.pid"))
              and not os.path.exists(self.socket),
              "its pidfile and socket are gone")
        check(not os.path.exists(self.store + "-wal"),
              "the store is closed in order")
        self.check_log()

    def check_log(self):
        with open(self.log) as f:
            for line in f:
                if (re.search(r"\|(WARN|ERR|EMER)\|", line)
                        and not any(re.search(x, line) for x in self.allow)):
                    check(False, "no unexpected warning in the log", line)

    def remove(self):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


# Records.

def host(n, **more):
    return dict({"kind": "host", "name": "h%d" % n,
                 "vtep": "192.0.2.%d" % n}, **more)


def group(vni, name="web", last=100, **more):
    return dict({"kind": "group", "vni": vni, "name": name,
                 "address": "10.1.0.%d" % last}, **more)


def endpoint(vni, name, host_, mac, group_="web", **more):
    return dict({"kind": "endpoint", "vni": vni, "group": group_,
                 "name": name, "host": host_,
                 "mac": "02:00:00:00:00:%02x" % mac}, **more)


def op(op_, record, **more):
    return dict({"op": op_, "record": record}, **more)


def add(record, **more):
    return op("add", record, **more)


# What a host makes of snapshots and updates, done simply.

def apply_slots(text, slots):
    data = base64.b64decode(text, validate=True)
    numbers, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7f) << shift
        shift += 7
        if not byte & 0x80:
            numbers.append(value)
            value = shift = 0
    assert shift == 0 and len(numbers) % 3 == 0, "leftover bytes"
    at = 0
    for skip, length, owner in zip(*[iter(numbers)] * 3):
        at += skip
        assert length >= 1 and at + length <= len(slots), "past the end"
        assert owner == NO_ENDPOINT or owner < 4096
        slots[at:at + length] = [owner] * length
        at += length


class Table:
    def __init__(self, snapshot):
        self.load(snapshot)

    def load(self, snapshot):
        assert set(snapshot) == {"revision", "hash_key", "hosts", "groups"}
        self.revision = snapshot["revision"]
        self.key = snapshot["hash_key"]
        self.hosts = {h["name"]: h for h in snapshot["hosts"]}
        self.groups = {}
        for g in snapshot["groups"]:
            self.put(g)

    def put(self, g):
        assert set(g) == {"record", "id", "epoch", "slots", "endpoints"}
        record = g["record"]
        slots = [NO_ENDPOINT] * record["slots"]
        apply_slots(g["slots"], slots)
        self.groups[record["vni"], record["name"]] = {
            "record": record, "id": g["id"], "epoch": g["epoch"],
            "slots": slots, "endpoints": g["endpoints"]}

    def update(self, update):
        assert set(update) == {"revision", "changes"}
        assert update["revision"] == self.revision + 1, "a gap"
        self.revision = update["revision"]
        kinds = []
        for change in update["changes"]:
            (kind, value), = change.items()
            kinds.append(kind)
            if kind == "host":
                self.hosts[value["name"]] = value
            elif kind == "host_removed":
                del self.hosts[value]
            elif kind == "group":
                self.put(value)
            elif kind == "group_removed":
                del self.groups[value["vni"], value["name"]]
            elif kind == "group_delta":
                g = self.groups[value["vni"], value["name"]]
                assert g["epoch"] == value["from_epoch"], "epoch"
                apply_slots(value["slots"], g["slots"])
                g["epoch"] = value["epoch"]
                g["endpoints"] = value["endpoints"]
            else:
                raise AssertionError(kind)
        return kinds

    def problems(self):
        """What is wrong with the slots, by the protocol's words."""
        ids = set()
        for key, g in self.groups.items():
            if g["id"] in ids:
                yield "%s: id %d twice" % (key, g["id"])
            ids.add(g["id"])
            weights = {}
            for e in g["endpoints"]:
                if e["record"]["host"] not in self.hosts:
                    yield "%s: host %s unknown" % (key, e["record"]["host"])
                if e["record"]["state"] == "up":
                    weights[e["index"]] = e["record"]["weight"]
            if len({e["index"] for e in g["endpoints"]}) \
                    != len(g["endpoints"]):
                yield "%s: an index twice" % (key,)
            counts = {}
            for owner in g["slots"]:
                counts[owner] = counts.get(owner, 0) + 1
            if not weights:
                if set(counts) != {NO_ENDPOINT}:
                    yield "%s: slots without endpoints" % (key,)
                continue
            if set(counts) - set(weights):
                yield "%s: owners %s are not up" % (key,
                                                    set(counts) - set(weights))
            # Highest averages: nobody would have a better claim to the last
            # slot of another who has more than one.
            s = {index: counts.get(index, 0) for index in weights}
            if min(s.values()) < 1:
                yield "%s: one that is up has no slot: %s" % (key, s)
            for i in weights:
                for j in weights:
                    if (s[i] > 1 and weights[j] * s[i]
                            > weights[i] * (s[j] + 1)):
                        yield "%s: %d has %d slots by weight %d, %d %d by %d" \
                            % (key, i, s[i], weights[i], j, s[j], weights[j])

    def same(self, other):
        return (self.revision, self.key, self.hosts, self.groups) == (
            other.revision, other.key, other.hosts, other.groups)


# The parts.

def test_methods():
    print("methods and their errors", flush=True)
    m = Mapd(allow=["host h1: registered by"])
    c = m.client()

    status = c.call("status")
    check_equal({k: status[k] for k in ("revision", "store", "groups",
                                        "hosts", "endpoints", "connected",
                                        "lagging")},
                {"revision": 0, "store": "sqlite:" + m.store, "groups": 0,
                 "hosts": 0, "endpoints": 0, "connected": 0, "lagging": []},
                "status of an empty mapd")
    check_equal(c.call("echo", 1, "x"), [1, "x"], "echo")

    result = c.ops(add(host(1)), add(host(2, encap="vxlan")),
                   add(group(5001)), add(endpoint(5001, "w1", "h1", 1)))
    check_equal(result["revision"], 1, "a transaction is one revision")
    check_equal([(x["op"], x["record"]["kind"]) for x in result["changes"]],
                [("add", "host"), ("add", "host"), ("add", "group"),
                 ("add", "endpoint")], "its changes are listed by key")
    check_equal(result["changes"][2]["record"],
                {"kind": "group", "vni": 5001, "name": "web",
                 "address": "10.1.0.100", "protocol": "tcp", "port": 0,
                 "algorithm": "weighted", "affinity": "flow", "slots": 1024},
                "a record comes back with its defaults")

    dry = c.ops(op("set", {"kind": "endpoint", "vni": 5001, "group": "web",
                           "name": "w1", "weight": 7}), dry_run=True)
    check_equal((dry["revision"], dry["changes"][0]["before"]["weight"],
                 dry["changes"][0]["record"]["weight"]), (1, 100, 7),
                "a dry run shows the change")
    check_equal(c.call("status")["revision"], 1, "and makes none")
    check_equal(c.ops(add(host(1), may_exist=True)),
                {"revision": 1, "changes": []},
                "may_exist of the same record changes nothing")
    check_equal(c.ops(op("remove", host(9), if_exists=True)),
                {"revision": 1, "changes": []}, "if_exists of nothing")
    check_equal(c.ops(if_revision=1), {"revision": 1, "changes": []},
                "an empty transaction")

    def refused(what, code, field, *ops, **options):
        return c.refused(what, code, field, "transact",
                         dict(options, ops=list(ops)))

    error = refused("a duplicate group", "exists", "name", add(host(3)),
                    add(group(5001, last=101)))
    check_equal(error.get("op"), 1, "the error names the operation")
    refused("a taken vtep", "exists", "vtep",
            add(dict(host(3), vtep="192.0.2.1")))
    refused("a vtep that is no address", "invalid", "vtep",
            add(dict(host(3), vtep="banana")))
    refused("an address of the wrong family", "invalid", "address",
            add(dict(group(7), address="fe80::1")))
    refused("a weight out of range", "invalid", "weight",
            add(endpoint(5001, "w2", "h1", 2, weight=1001)))
    refused("an endpoint on an unknown host", "not-found", "host",
            add(endpoint(5001, "w2", "h77", 2)))
    refused("an endpoint in an unknown VNI", "not-found", "vni",
            add(endpoint(5002, "w2", "h1", 2)))
    refused("an unknown member", "invalid", "colour",
            add(host(3, colour="red")))
    refused("a host in use", "in-use", "name", op("remove", host(1)))
    refused("another revision", "revision", "if_revision", add(host(3)),
            if_revision=0)
    refused("an unknown op", "invalid", "op", op("frobnicate", host(3)))
    refused("an op without a record", "invalid", "record", {"op": "add"})
    refused("cascade on add", "invalid", "cascade",
            add(host(3), cascade=True))
    refused("a dry_run that is no boolean", "invalid", "dry_run",
            dry_run="yes")
    for params in ([], [1], [{}, {}], [{"ops": 3}], [{"ops": [3]}],
                   [{"ops": [{"op": 3, "record": {}}]}],
                   [{"ops": [], "bogus": 1}]):
        try:
            c.call("transact", *params)
            check(False, "refuses", params)
        except RpcError as e:
            check(e.args[0]["error"] == "invalid", "refuses", params, e)
    c.refused("an unknown method", "unsupported", "method", "explode")
    check_equal(c.call("status")["revision"], 1,
                "none of the refused changed anything")

    test_load(c)
    test_list(c)
    test_hosts(m, c)
    test_watch(m, c)
    m.stop()
    m.remove()


def test_load(c):
    dump = c.call("dump")
    check_equal([r["kind"] for r in dump["records"]],
                ["host", "host", "group", "endpoint"], "dump in order")
    check_equal(c.call("load", {"records": dump["records"],
                                "prune": True})["changes"], [],
                "loading the dump changes nothing")
    mixed = [endpoint(5002, "a", "h5", 1), group(5002), host(5),
             host(2, encap="geneve")]
    result = c.call("load", {"records": mixed})
    check_equal([(x["op"], x["record"]["kind"]) for x in result["changes"]],
                [("set", "host"), ("add", "host"), ("add", "group"),
                 ("add", "endpoint")], "load orders and merges")
    error = c.refused("a record twice", "exists", "name", "load",
                      {"records": [host(7), host(8), host(7)]})
    check_equal(error.get("op"), 2, "and says which")
    error = c.refused("a bad record", "invalid", "vtep", "load",
                      {"records": [host(7), dict(host(8), vtep="x")]})
    check_equal(error.get("op"), 1, "and says which")
    c.refused("a record that refers to nothing", "not-found", "host", "load",
              {"records": [host(7), endpoint(5002, "b", "h66", 9)]})
    c.refused("a group that would change its slots", "invalid", "slots",
              "load", {"records": [group(5002, slots=256)]})
    c.refused("load at another revision", "revision", "if_revision", "load",
              {"records": [], "if_revision": 999})
    check_equal(len(c.call("dump")["records"]), 7,
                "a refused load loads nothing")
    dry = c.call("load", {"records": dump["records"], "prune": True,
                          "dry_run": True})
    check_equal(sorted(x["op"] for x in dry["changes"]),
                ["remove", "remove", "remove", "set"],
                "a dry run of a load with prune")
    # The new group takes the pruned one's address, the new host its vtep.
    swap = dump["records"] + [group(5002, name="other"),
                              dict(host(6), vtep="192.0.2.5")]
    c.call("load", {"records": swap, "prune": True})
    names = [r["name"] for r in c.call("dump")["records"]]
    check_equal(names, ["h1", "h2", "h6", "web", "other", "w1"],
                "prune frees what is taken over")
    c.call("load", {"records": dump["records"], "prune": True})
    check_equal(c.call("dump")["records"], dump["records"], "and back")


    two = [host(1, vtep="192.0.2.2"), host(2, vtep="192.0.2.1",
                                           encap="vxlan")]
    swapped = c.call("load", {"records": two})
    check_equal([x["record"]["vtep"] for x in swapped["changes"]],
                ["192.0.2.2", "192.0.2.1"], "two hosts swap their vteps")
    c.call("load", {"records": dump["records"], "prune": True})
    error = c.refused("a vtep twice in the end", "exists", "vtep", "load",
                      {"records": [host(7), dict(host(8),
                                                 vtep="192.0.2.7")]})
    check_equal(error.get("op"), 1, "and says which")
    check("h7" in error["message"] and "h8" in error["message"]
          and error.get("hint"), "naming both", error)


def test_list(c):
    c.ops(add(endpoint(5001, "w2", "h2", 2, weight=300)),
          add(endpoint(5001, "w3", "h2", 3, state="down")))
    items = c.call("list", {"kind": "endpoint", "vni": 5001,
                            "group": "web"})["items"]
    check_equal([(x["record"]["name"], x["status"]) for x in items],
                [("w1", {"slots": 256, "share": 0.25}),
                 ("w2", {"slots": 768, "share": 0.75}),
                 ("w3", {"slots": 0, "share": 0})], "list of endpoints")
    item, = c.call("list", {"kind": "group", "name": "web"})["items"]
    check_equal((item["status"]["endpoints"], item["status"]["up"]), (3, 2),
                "list of groups")
    check_equal(c.call("list", {"kind": "group", "vni": 9})["items"], [],
                "list of nothing")
    items = c.call("list", {"kind": "host"})["items"]
    check_equal([(x["record"]["name"], x["status"]["connected"])
                 for x in items], [("h1", False), ("h2", False)],
                "list of hosts")
    c.refused("a list without a kind", "invalid", "kind", "list", {})
    c.refused("a list of turnips", "invalid", "kind", "list",
              {"kind": "turnip"})
    c.refused("hosts of a VNI", "invalid", "vni", "list",
              {"kind": "host", "vni": 3})
    c.refused("VNI 0", "invalid", "vni", "list", {"kind": "group", "vni": 0})


def test_hosts(m, c):
    h1 = m.client()
    revision = h1.call("register", host(1), {"version": "1.2"})["revision"]
    snapshot = h1.call("subscribe", {"vnis": [5001]})
    check_equal(snapshot["revision"], revision, "subscribe after register")
    check_equal(c.call("status")["lagging"], ["h1"], "a host lags")
    c.refused("a wait that times out", "timeout", None, "wait",
              {"revision": revision, "timeout_ms": 50})
    try:
        c.call("wait", {"timeout_ms": 0})
    except RpcError as e:
        check_equal((e.args[0]["lagging"], e.args[0]["disconnected"]),
                    (["h1"], ["h2"]), "the timeout names the hosts")
    ident = c.start("wait", {"revision": revision, "timeout_ms": 10000})
    h1.applied(revision)
    result = c.finish(ident)
    check_equal((result["hosts"], result["disconnected"]),
                ([{"name": "h1", "applied": revision}], ["h2"]),
                "wait ends when the host has applied the revision")
    items = c.call("list", {"kind": "host", "name": "h1"})["items"]
    status = items[0]["status"]
    check(status["connected"] and status["applied"] == revision
          and status["version"] == "1.2"
          and 0 <= status["last_seen_ms_ago"] < 5000, "status of a host",
          status)
    c.refused("a wait of a week", "invalid", "timeout_ms", "wait",
              {"timeout_ms": 604800000})
    c.refused("a wait for the future", "timeout", None, "wait",
              {"revision": revision + 1, "timeout_ms": 10})
    error = c.refused("removal of a connected host", "in-use", "name",
                      "transact", {"ops": [
                          add(host(4)),
                          op("remove", endpoint(5001, "w1", "h1", 1)),
                          op("remove", host(1))]})
    check(error.get("op") == 2 and "h1 is connected" in error["message"]
          and error.get("hint"), "it names the host and the op", error)
    keep = [r for r in c.call("dump")["records"]
            if "h1" not in (r["name"], r.get("host"))]
    error = c.refused("pruning of a connected host", "in-use", "name", "load",
                      {"records": keep, "prune": True})
    check("h1" in error.get("message", ""), "it names the host", error)
    check_equal(c.call("status")["revision"], revision, "nothing changed")
    other = m.client()
    other.refused("another host's vtep", "exists", "vtep", "register",
                  dict(host(3), vtep="192.0.2.1"))
    other.refused("a group that registers", "invalid", "kind", "register",
                  group(5001))
    other.refused("register without a record", "invalid", "params",
                  "register")
    new = other.call("register", dict(host(3), encap="vxlan"))["revision"]
    check_equal(new, revision + 1, "an unknown host is added")
    check_equal(h1.note()[0], "update", "and told to the others")
    new = other.call("register", dict(host(3), vtep="192.0.2.33"))["revision"]
    check_equal(new, revision + 2, "a changed vtep is a change")
    check_equal(other.call("register", dict(host(3), vtep="192.0.2.33")),
                {"revision": new}, "the same record is none")
    ident = c.start("wait", {"timeout_ms": 10000})
    h1.applied(new)
    other.close()
    check_equal([x["name"] for x in c.finish(ident)["hosts"]], ["h1"],
                "a host that goes away is not waited for")

    again = m.client()
    again.call("register", host(1))
    try:
        while True:
            h1.receive()
    except Closed:
        check(True, "the older connection of a host is closed")
    check_equal(c.call("status")["connected"], 1, "the newer one stays")
    c.ops(op("remove", host(3)))
    again.close()


def test_watch(m, c):
    w = m.client()
    revision = w.call("watch", {})["revision"]
    c.ops(op("set", {"kind": "endpoint", "vni": 5001, "group": "web",
                     "name": "w1", "weight": 5}))
    method, (note,) = w.note()
    change, = note["changes"]
    check_equal((method, note["revision"], change["op"],
                 change["before"]["weight"], change["record"]["weight"]),
                ("change", revision + 1, "set", 100, 5),
                "a watcher sees the change")
    w.close()


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


def test_problems():
    print("problems, a lost store", flush=True)
    m = Mapd(allow=["a change is refused"])
    c = m.client()
    c.ops(*([add(host(1)), add(group(1, slots=256)), add(group(2))]
            + [add(dict(endpoint(1, "e%d" % i, "h1", 0),
                        mac="02:00:00:00:%02x:%02x" % divmod(i, 256)))
               for i in range(300)]))
    problems = c.call("status")["problems"]
    check(len(problems) == 3
          and "1/web: 44 of 300 endpoints" in problems[0]
          and "2/web has no endpoint that is up" in problems[1]
          and "h1 is disconnected and has 300" in problems[2],
          "status tells the problems", problems)
    h1 = m.client()
    h1.call("register", host(1))
    check_equal(len(c.call("status")["problems"]), 2, "a new host may lag")
    time.sleep(1.1)
    check("h1 uses revision 0, not 1" in c.call("status")["problems"][2],
          "but not for long")
    h1.applied(1)
    h1.call("echo")
    check_equal(len(c.call("status")["problems"]), 2, "then it is up to date")

    os.rename(m.store, m.store + ".aside")
    error = c.refused("a change to a lost store", "store", "store",
                      "transact", {"ops": [add(host(2))]})
    check("moved away" in error["message"] and "dump" in error["hint"],
          "what happened, and what to do", error)
    check("moved away" in c.call("status")["problems"][0],
          "it is a problem, too")
    os.rename(m.store + ".aside", m.store)
    c.ops(add(host(2)))
    m.stop()
    m.remove()


def test_crowd():
    print("100 subscribers that do not read", flush=True)
    m = Mapd(listen=["ptcp:0"], allow=["reads its snapshot too slowly",
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
        c.ops(op("set", {"kind": "endpoint", "vni": 1, "group": "web",
                         "name": "e%d" % (i % n), "weight": 50 + i % 900}))
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


def random_ops(rng):
    vni = rng.randrange(1, 5)
    name = rng.choice(["web", "dns"])
    e = rng.randrange(12)
    key = {"kind": "endpoint", "vni": vni, "group": name, "name": "e%d" % e}
    new = endpoint(vni, "e%d" % e, "h%d" % rng.randrange(1, 5), e, name,
                   weight=rng.randrange(1, 1000),
                   state=rng.choice(["up", "up", "up", "draining", "down"]))
    kind = rng.randrange(12)
    if kind < 4:
        return [add(new)]
    if kind < 6:
        return [op("set", dict(key, weight=rng.randrange(1, 1000)))]
    if kind < 8:
        return [op("set", dict(key, state=rng.choice(["up", "draining",
                                                      "down"])))]
    if kind == 8:
        return [op("remove", key)]
    if kind == 9:
        return [op("set", {"kind": "group", "vni": vni, "name": name,
                           "affinity": rng.choice(["flow", "source"])})]
    g = group(vni, name, 100 if name == "web" else 101,
              slots=rng.choice([256, 1024, 4096]))
    if kind == 10:
        n = rng.randrange(1, 7)
        return rng.choice([[add(host(n))], [op("remove", host(n))],
                           [op("set", {"kind": "host", "name": "h%d" % n,
                                       "encap": rng.choice(["geneve",
                                                            "vxlan"])})]])
    if rng.randrange(4):
        return [add(g)]
    return rng.choice([[op("remove", g, cascade=True)],
                       [op("remove", g, cascade=True), add(g)]])


def test_deltas():
    print("deltas against snapshots", flush=True)
    m = Mapd(allow=["send error: Broken pipe"])  # Subscribers that leave.
    c = m.client()
    c.ops(*[add(host(n)) for n in range(1, 5)])
    c.ops(*[add(group(vni, name, last)) for vni in range(1, 5)
            for name, last in (("web", 100), ("dns", 101))])
    every, some = m.client(), m.client()
    table = Table(every.call("subscribe", {}))
    part = Table(some.call("subscribe", {"vnis": [3, 1, 3]}))
    rng = random.Random(7)
    kinds = {}
    revision, moved = table.revision, 0
    for round_ in range(2500):
        ops = [o for _ in range(rng.choice([1, 1, 1, 3]))
               for o in random_ops(rng)]
        try:
            result = c.ops(*ops)
        except RpcError:
            continue
        if not result["changes"]:
            assert result["revision"] == revision
            continue
        moved += 1
        revision += 1
        assert result["revision"] == revision
        for client, t in ((every, table), (some, part)):
            method, (note,) = client.note()
            assert method == "update"
            for kind in t.update(note):
                kinds[kind] = kinds.get(kind, 0) + 1
        if moved % 25 == 0:
            snapshot = c.call("subscribe", {})
            c.notes.clear()
            if not check(table.same(Table(snapshot)),
                         "the table made of deltas equals a snapshot",
                         "round", round_, ops):
                break
            problems = list(table.problems())
            check(not problems, "the slots are consistent", problems[:3])
            fresh = m.client()
            check(part.same(Table(fresh.call("subscribe",
                                             {"vnis": [1, 3]}))),
                  "so does one of two VNIs")
            fresh.close()
    check(moved > 500 and len(kinds) == 5
          and not any(vni in (2, 4) for vni, _ in part.groups),
          "enough happened", moved, kinds)
    print("  %d revisions: %s" % (moved, kinds), flush=True)

    before = c.call("dump")
    old = Table(c.call("subscribe", {}))
    m.stop()
    m.start()
    c = m.client()
    check_equal(c.call("dump"), before, "a restart changes no record")
    check(old.same(Table(c.call("subscribe", {}))), "and no slot")
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


class Writer(threading.Thread):
    """Sets two weights of one group to 1, 2, 3, ... in one change each."""

    def __init__(self, n):
        super().__init__(daemon=True)
        self.n = n
        self.mapd = None
        self.value = 1          # Acknowledged last.
        self.revision = 0
        self.doubt = False      # The next one was sent, and not answered.
        self.go = threading.Event()
        self.idle = threading.Event()
        self.done = False
        self.error = None

    def change(self, client, value):
        ops = [op("set", {"kind": "endpoint", "vni": self.n, "group": "web",
                          "name": name, "weight": value % 1000 + 1})
               for name in ("a", "b")]
        if value % 3 == 0:
            ops.append(add(endpoint(self.n, "c", "h1", 3)))
        elif value % 3 == 1:
            ops.append(op("remove", {"kind": "endpoint", "vni": self.n,
                                     "group": "web", "name": "c"},
                          if_exists=True))
        self.doubt = True
        result = client.ops(*ops)
        if result["revision"] <= self.revision:
            self.error = "revision %d after %d" % (result["revision"],
                                                   self.revision)
        self.revision = result["revision"]
        self.value, self.doubt = value, False

    def run(self):
        while True:
            self.go.wait()
            self.go.clear()
            if self.done:
                return
            try:
                client = Client(self.mapd.socket)
                while not self.error:
                    self.change(client, self.value + 1)
            except (Closed, OSError):
                pass
            except RpcError as e:
                self.error = repr(e)
            self.idle.set()


def expected(writer, table):
    """Which value of 'writer' the table shows whole, or None."""
    g = table.groups[writer.n, "web"]
    by_name = {e["record"]["name"]: e["record"] for e in g["endpoints"]}
    for value in [writer.value, writer.value + 1][:1 + writer.doubt]:
        if (by_name["a"]["weight"] == by_name["b"]["weight"]
                == value % 1000 + 1
                and ("c" in by_name) == (value % 3 == 0)):
            return value
    return None


def test_kill():
    print("kill -9 under load, %d times" % KILLS, flush=True)
    m = Mapd()
    writers = [Writer(n) for n in range(1, 5)]
    c = m.client()
    c.ops(add(host(1)))
    for w in writers:
        c.ops(add(group(w.n, slots=256 << w.n)),
              add(endpoint(w.n, "a", "h1", 1, weight=2)),
              add(endpoint(w.n, "b", "h1", 2, weight=2)))
        w.mapd = m
        w.start()
    c.close()
    rng = random.Random(11)
    floor, acknowledged, doubts, landed = 0, 0, 0, 0
    for kill in range(KILLS):
        start = [w.value for w in writers]
        for w in writers:
            w.idle.clear()
            w.go.set()
        time.sleep(rng.uniform(0.005, 0.15))
        m.kill()
        for w in writers:
            w.idle.wait(20)
        acknowledged += sum(w.value - v for w, v in zip(writers, start))
        floor = max([floor] + [w.revision for w in writers])
        m.start()
        c = m.client()
        table = Table(c.call("subscribe", {}))
        c.close()
        check(table.revision >= floor, "the revision goes on", table.revision,
              floor)
        problems = list(table.problems())
        check(not problems, "the slots are consistent after kill -9",
              problems[:3])
        for w in writers:
            value = expected(w, table)
            if not check(value is not None and not w.error,
                         "acknowledged changes are there, and whole",
                         "writer", w.n, "value", w.value, w.doubt, w.error,
                         table.groups[w.n, "web"]["endpoints"]):
                value = w.value
            doubts += w.doubt
            landed += value != w.value
            w.value, w.doubt = value, False
        floor = table.revision
        if kill % 20 == 19:
            print("  %d kills, %d changes acknowledged, %d of %d unanswered "
                  "ones landed" % (kill + 1, acknowledged, landed, doubts),
                  flush=True)
    for w in writers:
        w.done = True
        w.go.set()
        w.join(10)
    check(acknowledged > KILLS, "there was load", acknowledged)
    m.stop()
    m.remove()


def main():
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *args: sys.exit(1))
    faulthandler.dump_traceback_later(300, exit=False)
    tests = [test_methods, test_sockets, test_harm, test_problems,
             test_crowd, test_limits, test_nasty, test_silent_reader,
             test_deltas, test_full_disk, test_kill]
    chosen = [t for t in tests if not sys.argv[1:]
              or t.__name__[5:] in sys.argv[1:]]
    if not os.access(MAPD, os.X_OK):
        raise SystemExit("%s: not built" % MAPD)
    for test in chosen:
        test()
    print("test-mapd: %.0f s" % (time.monotonic() - started))
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
