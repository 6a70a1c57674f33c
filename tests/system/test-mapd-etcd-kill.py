#!/usr/bin/python3
"""Several real grapnel-mapds on a real etcd, any of which is killed in the
middle of changes.

    tests/system/test-mapd-etcd-kill.py [TEST...]"""

import os
import random
import signal
import threading
import time

from etcdworld import WITHIN, Subscriber, World, until
from mapdworld import (
    Client, Closed, RpcError, add, check, check_equal, endpoint, group, host,
    main)


class Writer(threading.Thread):
    """Adds endpoints, each once, at random mapds, and remembers what became of
    each: done, not done, or nobody knows."""

    def __init__(self, number, world):
        super().__init__(daemon=True)
        self.number, self.world = number, world
        self.done, self.refused, self.unknown = [], [], []
        self.revisions = []
        self.over = False
        self.random = random.Random(number)
        self.start()

    def one(self, client, name, mac):
        try:
            result = client.ops(add(mac_endpoint(7, name, "h1", mac)))
            self.done.append(name)
            self.revisions.append(result["revision"])
        except RpcError as e:
            error = e.args[0]
            unknown = ("does not say whether" in error["message"]
                       or "went away before" in error["message"])
            (self.unknown if unknown else self.refused).append(name)
            time.sleep(0.05)
        except (OSError, Closed):
            self.unknown.append(name)
            raise

    def run(self):
        client, n = None, 0
        while not self.over and n < 900:
            try:
                client = client or Client(
                    self.random.choice(self.world.mapds).socket, 60)
                mac = self.number << 16 | n
                name, n = "w%d-%d" % (self.number, n), n + 1
                self.one(client, name, mac)
                if not self.random.randrange(20):
                    client.close()
                    client = None
                time.sleep(0.01)
            except (OSError, Closed):
                client = None
                time.sleep(0.05)


def mac_endpoint(vni, name, host_, mac):
    return dict(endpoint(vni, name, host_, 0), mac="02:00:%02x:%02x:%02x:%02x"
                % tuple(mac >> s & 255 for s in (24, 16, 8, 0)))


def goes_on(writers, what):
    n = sum(len(x.done) for x in writers)
    started = time.monotonic()
    until(lambda: sum(len(x.done) for x in writers) > n + 10,
          "changes go on after " + what)
    print("  %s: changes again after %.1f s" % (what,
                                                time.monotonic() - started))


def test_nothing_is_lost_and_nothing_done_twice():
    print("kill -9 in a stream of changes", flush=True)
    with World(3) as w:
        w.leader().client().ops(add(host(1)), add(group(7)))
        tables = [Subscriber([m]) for m in w.mapds]
        writers = [Writer(i, w) for i in range(1, 5)]
        goes_on(writers, "nothing")
        for _ in range(2):
            victim = w.leader()
            victim.kill()
            goes_on(writers, "kill -9 of the mapd that makes changes")
            victim.start(WITHIN)
            # One that stood still does not know yet that it leads no more.
            victim = w.leader()
            victim.process.send_signal(signal.SIGSTOP)
            others = [m for m in w.mapds if m is not victim]
            name = victim.socket[-40:]
            until(lambda: not (others[0].client().call("status")["leader"]
                               or name).endswith(name),
                  "another one makes changes while the first stands still")
            victim.process.send_signal(signal.SIGCONT)
            goes_on(writers, "a standstill of the mapd that makes changes")
            member = w.cluster.followers()[0]
            w.cluster.kill(member)
            goes_on(writers, "kill -9 of an etcd member")
            w.cluster.start()
            member = w.cluster.leader()
            w.cluster.kill(member)
            goes_on(writers, "kill -9 of the etcd leader")
            w.cluster.start()
            victim = w.followers()[0]
            victim.kill()
            goes_on(writers, "kill -9 of another mapd")
            victim.start(WITHIN)
        for x in writers:
            x.over = True
        for x in writers:
            x.join(WITHIN)
        table = w.converge(tables)
        for t in tables:
            check(not t.error, "no update was wrong", t.error)
        names = {e["record"]["name"]
                 for e in table.groups[7, "web"]["endpoints"]}
        done = [n for x in writers for n in x.done]
        unknown = [n for x in writers for n in x.unknown]
        refused = [n for x in writers for n in x.refused]
        print("  %d done, %d unknown, %d refused" % (len(done), len(unknown),
                                                     len(refused)))
        check(set(done) <= names, "no acknowledged change is lost",
              set(done) - names)
        check(not set(refused) & names, "what was refused was not done",
              set(refused) & names)
        check(names <= set(done) | set(unknown), "nothing else was done")
        # Changes that came together share a revision; a writer's do not.
        for x in writers:
            check(all(a < b for a, b in zip(x.revisions, x.revisions[1:])),
                  "a writer's changes have later and later revisions",
                  x.revisions)
        revisions = {r for x in writers for r in x.revisions}
        check(len(revisions) < table.revision <= 1 + len(names),
              "none was done twice",
              (len(revisions), table.revision, len(names)))
        for m in w.mapds:
            m.check_log()


def large_records(n):
    records = [host(i) for i in range(1, 101)]
    for g in range(n):
        vni = g // 50 + 1
        name = "g%d" % g
        records.append(dict(group(vni, name), slots=256,
                            address="10.%d.%d.1" % (g >> 8 & 255, g & 255)))
        for e in range(10):
            records.append(endpoint(vni, "e%d" % e, "h%d" % ((g + e) % 100 + 1),
                                    e, name))
    return records


def below(cluster, prefix):
    """Whether etcd has keys below 'prefix'."""
    return cluster.etcdctl("get", "--prefix", "--keys-only", "--limit=1",
                           "/grapnel/" + prefix)


class Load(threading.Thread):
    """A load that is not waited for."""

    def __init__(self, m, records):
        super().__init__(daemon=True)
        self.m, self.records, self.refused = m, records, False
        self.start()

    def run(self):
        try:
            self.m.client(300).call("load", {"records": self.records,
                                             "prune": True})
        except RpcError:
            self.refused = True
        except (OSError, Closed):
            pass


def kill_in_a_load(w, records, when, what):
    """Kills the leader in the middle of loading 'records', once there is a key
    'when' in etcd.  Returns how many records another one has then."""
    for _ in range(10):
        leader = w.leader()
        load_ = Load(leader, records)
        until(lambda: load_.refused or below(w.cluster, when), what,
              2 * WITHIN)
        if not load_.refused:
            break               # Else the machine was too busy for the lead.
    other = next(m for m in w.mapds if m is not leader)
    leader.kill()
    until(lambda: w.leader() is other, "another one makes changes")
    n = len(other.client(300).call("dump")["records"])
    leader.start(2 * WITHIN)
    until(lambda: not below(w.cluster, "stage/")
          and not below(w.cluster, "pending"), "nothing is left over",
          2 * WITHIN)
    w.agree()
    return n


def load(client, records):
    """Until it is acknowledged: on a busy machine, a leader may lose the lead
    in a large change."""
    for _ in range(10):
        try:
            return client.call("load", {"records": records, "prune": True})
        except RpcError as e:
            print("  repeated after:", e.args[0]["message"], flush=True)
            time.sleep(1)
    return check(False, "a load is made")


def test_a_large_load_is_all_or_nothing():
    n = int(os.environ.get("GROUPS", "10000"))
    print("a load of %d groups, and kill -9 in its middle" % n, flush=True)
    records = large_records(n)
    with World(2) as w:
        check_equal(kill_in_a_load(w, records, "stage/",
                                   "part of it is staged"), 0,
                    "nothing, if it was not whole yet")
        check_equal(kill_in_a_load(w, records, "pending",
                                   "it is made, and not at its place"),
                    len(records), "all, if it was")
        client = w.followers()[0].client(300)
        load(client, records[:100])
        started = time.monotonic()
        load(client, records)
        print("  a load at a follower took %.1f s"
              % (time.monotonic() - started))
        w.agree()
        check_equal(len(w.leader().client(300).call("dump")["records"]),
                    len(records), "all is there in the end")


def test_a_change_that_waits_for_the_next_leader():
    print("a change in line when a leader dies in a large one", flush=True)
    records = large_records(1000)
    with World(2) as w:
        leader, other = w.leader(), w.followers()[0]
        load(leader.client(300), records)
        leader.kill()
        check(below(w.cluster, "pending"), "it is made, and not at its place")
        change = add(endpoint(1, "next", "h1", 99, "g0"))
        for _ in range(20):
            try:
                other.client(60).ops(change)
                break
            except RpcError as e:
                print("  repeated after:", e.args[0]["message"], flush=True)
        # What is in etcd is what the one who made the change believes.
        told = other.client(300).call("dump")["records"]
        check_equal(len(told), len(records) + 1, "both are made")
        other.kill()
        other.start(2 * WITHIN)
        leader.start(2 * WITHIN)
        for m in w.mapds:
            check_equal(m.client(300).call("dump")["records"], told,
                        "and kept")
        w.agree()


if __name__ == "__main__":
    main(test_nothing_is_lost_and_nothing_done_twice,
         test_a_large_load_is_all_or_nothing,
         test_a_change_that_waits_for_the_next_leader)
