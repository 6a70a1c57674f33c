#!/usr/bin/python3
"""The real grapnel-mapd: what subscribers make of its updates is what it has,
also after kill -9.

    tests/system/test-mapd-changes.py [TEST...]"""

import os
import random
import threading
import time

from etcdworld import Subscriber, until
from mapdworld import (
    Client, Closed, Mapd, RpcError, Table, add, check, check_equal, endpoint,
    group, host, main, op)

KILLS = int(os.environ.get("KILLS", "110"))


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
    m = Mapd()
    # In etcd, the predecessor's lease has to run out each time.
    kills, lease = (KILLS // 10, 2.5) if m.target else (KILLS, 0)
    print("kill -9 under load, %d times" % kills, flush=True)
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
    followers = [Subscriber([m]) for _ in range(3)]
    rng = random.Random(11)
    floor, acknowledged, doubts, landed = 0, 0, 0, 0
    for kill in range(kills):
        start = [w.value for w in writers]
        for w in writers:
            w.idle.clear()
            w.go.set()
        time.sleep(lease + rng.uniform(0.005, 0.15))
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
    check(acknowledged > kills, "there was load", acknowledged)
    fresh = Table(m.client().call("subscribe", {}))
    for f in followers:
        until(lambda: f.table.revision == fresh.revision,
              "who has subscribed all the time has got as far")
        check(f.table.same(fresh), "and has the same table")
        check(f.n_connected > kills / 2 and not f.error,
              "it came back each time", f.n_connected, f.error)
        check(m.target or not f.n_back,
              "what it was told was never taken back", f.n_back)
        f.over = True
    m.stop()
    m.remove()


if __name__ == '__main__':
    main(test_deltas, test_kill)
