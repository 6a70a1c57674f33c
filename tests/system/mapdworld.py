"""A real grapnel-mapd in a temporary directory, and a client written from
docs/protocol.md.

    from mapdworld import Mapd, check, main

    def test_something(): ...

    main(test_something)

The decoding of slot differences below shares nothing with the program's.  B
names the folder with the programs, if that is not build/."""

import atexit
import base64
import faulthandler
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from harness import SLOW_MACHINE

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.environ.get("B", os.path.join(ROOT, "build"))
MAPD = os.path.join(ROOT, BUILD, "grapnel-mapd")
NO_ENDPOINT = 65535
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
                # A long one is looked at again only if it may have ended.
                if len(self.text) > 1 << 16 and self.text[-1] != "}":
                    raise ValueError
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
    def __init__(self, directory=None, listen=(), limit=None, allow=(),
                 target=None, options=(), env=None):
        self.directory = directory or tempfile.mkdtemp(prefix="test-mapd.")
        self.socket = os.path.join(self.directory, "mapd.sock")
        self.store = os.path.join(self.directory, "store", "grapnel.db")
        self.log = os.path.join(self.directory, "mapd.log")
        self.listen = ["punix:" + self.socket] + list(listen)
        self.limit = limit
        self.allow = list(allow)
        # Elsewhere than in a file: for tests that do not look into it.
        self.target = target or os.environ.get("GRAPNEL_TEST_STORE")
        self.options = list(options)
        self.env = env or {}
        if self.target and not target:
            self.options.append("--etcd-prefix=" + self.directory)
        self.process = None
        atexit.register(self.remove)
        self.start()

    def command(self, *more):
        return ([MAPD, "--store=" + (self.target or "sqlite:" + self.store),
                 "-vconsole:off",
                 "-vsyslog:off", "--log-file=" + self.log,
                 "--unixctl=" + os.path.join(self.directory, "mapd.ctl"),
                 "--pidfile=" + os.path.join(self.directory, "mapd.pid"),
                 "--host-timeout=0"]
                + ["--listen=" + x for x in self.listen] + self.options
                + list(more))

    def prepare(self):
        if self.limit:
            resource.setrlimit(resource.RLIMIT_FSIZE,
                               (self.limit, self.limit))

    def start(self, seconds=20):
        self.process = subprocess.Popen(
            self.command(), preexec_fn=self.prepare,
            env=dict(os.environ, OVS_RUNDIR=self.directory, **self.env))
        for _ in range(int(seconds * 200)):
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
                        and not re.search(SLOW_MACHINE, line)
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
        assert set(snapshot) == {"revision", "hash_key", "hosts", "dead",
                                 "groups", "records"}
        self.revision = snapshot["revision"]
        self.key = snapshot["hash_key"]
        self.hosts = {h["name"]: h for h in snapshot["hosts"]}
        self.dead = set(snapshot["dead"])
        assert self.dead <= set(self.hosts), "dead hosts are known"
        self.groups = {}
        for g in snapshot["groups"]:
            self.put(g)
        self.records = {self.key_of(r): r for r in snapshot["records"]}
        assert len(self.records) == len(snapshot["records"])

    @staticmethod
    def key_of(record):
        """Of a record, or of its key members only."""
        names = {"lease": ("vni", "pool", "address"), "gateway": ("name",)}
        return (record["kind"], *(record[name] for name in names.get(
            record["kind"], ("vni", "name"))))

    def put(self, g):
        assert set(g) == {"record", "id", "epoch", "slots", "previous",
                          "endpoints"}
        record = g["record"]
        slots, *previous = ([NO_ENDPOINT] * record["slots"] for _ in range(3))
        apply_slots(g["slots"], slots)
        for text, layer in zip(g["previous"], previous, strict=True):
            apply_slots(text, layer)
        self.groups[record["vni"], record["name"]] = {
            "record": record, "id": g["id"], "epoch": g["epoch"],
            "slots": slots, "previous": previous,
            "endpoints": g["endpoints"]}

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
                self.dead.discard(value)
            elif kind == "host_alive":
                assert set(value) == {"name", "alive"}
                assert value["alive"] == (value["name"] in self.dead)
                self.dead ^= {value["name"]}
            elif kind == "group":
                self.put(value)
            elif kind == "group_removed":
                del self.groups[value["vni"], value["name"]]
            elif kind == "record":
                self.records[self.key_of(value)] = value
            elif kind == "record_removed":
                assert len(value) == len(self.key_of(value))
                del self.records[self.key_of(value)]
            elif kind == "group_delta":
                g = self.groups[value["vni"], value["name"]]
                assert g["epoch"] == value["from_epoch"], "epoch"
                kept = self.keeps(g)
                self.apply_endpoints(g, value)
                before = list(g["slots"])
                apply_slots(value["slots"], g["slots"])
                if value["previous"]:
                    for text, layer in zip(value["previous"], g["previous"],
                                           strict=True):
                        apply_slots(text, layer)
                else:
                    self.follow(g, before, kept)
                g["epoch"] = value["epoch"]
            else:
                raise AssertionError(kind)
        return kinds

    @staticmethod
    def apply_endpoints(g, delta):
        by_name = {e["record"]["name"]: e for e in g["endpoints"]}
        for name in delta["endpoints_removed"]:
            del by_name[name]
        by_name.update((e["record"]["name"], e) for e in delta["endpoints"])
        g["endpoints"] = [by_name[name] for name in sorted(by_name)]

    @staticmethod
    def keeps(g):
        return {e["index"] for e in g["endpoints"]
                if e["record"]["state"] != "down"}

    def follow(self, g, before, kept):
        """Who owned the slots before, now that they are not as 'before', and
        those that may have flows not 'kept'."""
        keeps = self.keeps(g)
        same = kept <= keeps
        for i, owner in enumerate(g["slots"]):
            if same and owner == before[i]:
                continue
            had = [x for x in dict.fromkeys([before[i], g["previous"][0][i],
                                             g["previous"][1][i]])
                   if x in keeps and x != owner]
            for layer, x in zip(g["previous"], had + [NO_ENDPOINT] * 2):
                layer[i] = x

    def bad_previous(self, key, g):
        keeps = self.keeps(g)
        for owner, first, second in zip(g["slots"], *g["previous"]):
            had = [x for x in (first, second) if x != NO_ENDPOINT]
            if (owner in had or len(set(had)) < len(had)
                    or not set(had) <= keeps
                    or (first == NO_ENDPOINT and had)):
                yield "%s: slot of %s had owners %s" % (key, owner, had)

    def problems(self):
        """What is wrong with the slots, by the protocol's words."""
        ids = set()
        for key, g in self.groups.items():
            if g["id"] in ids:
                yield "%s: id %d twice" % (key, g["id"])
            ids.add(g["id"])
            weights = {}
            for e in g["endpoints"]:
                bound = e["record"]["host"] and e["record"]["mac"]
                if (e["record"]["host"]
                        and e["record"]["host"] not in self.hosts):
                    yield "%s: host %s unknown" % (key, e["record"]["host"])
                if (e["record"]["state"] == "up" and bound
                        and e["record"]["host"] not in self.dead):
                    weights[e["index"]] = e["record"]["weight"]
                elif e["up_ms"]:
                    yield "%s: %s is not up" % (key, e["record"]["name"])
            yield from self.bad_previous(key, g)
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

    def state(self):
        """All but for how long endpoints have been up."""
        groups = {key: dict(g, endpoints=[dict(e, up_ms=None)
                                          for e in g["endpoints"]])
                  for key, g in self.groups.items()}
        return self.revision, self.key, self.hosts, self.dead, groups

    def same(self, other):
        return self.state() == other.state()


def main(*tests, program=MAPD):
    """Runs those of 'tests', of 'program', that the command line names by what
    follows "test_", or all, and exits."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *args: sys.exit(1))
    faulthandler.dump_traceback_later(700, exit=False)
    if not os.access(program, os.X_OK):
        raise SystemExit("%s: not built" % program)
    for test in tests:
        if not sys.argv[1:] or test.__name__[5:] in sys.argv[1:]:
            test()
    print("%.0f s" % (time.monotonic() - started))
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed or not passed else 0)
