#!/usr/bin/python3
"""Several real grapnel-mapds on a real etcd whose space is used up, by
somebody else; and that gets room again.

    tests/system/test-mapd-etcd-full.py [TEST...]"""

import importlib
import time

from etcdworld import Subscriber, World, until
from mapdworld import (
    RpcError, add, check, check_equal, endpoint, group, host, main, op)

large = importlib.import_module("test-mapd-etcd-kill")

QUOTA = 6 << 20
LEFT = [n << 19 for n in range(2, 7)] # Bytes, for a large load.
JUNK = b"x" * 400000
LONGER_THAN_A_LEASE = 4         # Seconds.


def rack(n):
    return op("set", {"kind": "host", "name": "h1", "rack": "r%d" % n})


def fill(cluster):
    """Until etcd says that it is full."""
    for i in range(200):
        try:
            cluster.etcdctl("put", "/other/%d" % i, input=JUNK)
        except RuntimeError as e:
            check("database space exceeded" in str(e), "etcd is full", e)
            break
    check("NOSPACE" in cluster.etcdctl("alarm", "list").decode(),
          "etcd raises the alarm")


def is_quiet(cluster):
    """Without an alarm, and without a new one by what was under way."""
    cluster.etcdctl("alarm", "disarm")
    time.sleep(0.5)
    return not cluster.etcdctl("alarm", "list").strip()


def make_room(cluster):
    """As etcd's manual says."""
    cluster.etcdctl("del", "--prefix", "/other/")
    cluster.etcdctl("compaction", "--physical", str(cluster.revision()))
    cluster.etcdctl("defrag")
    until(lambda: is_quiet(cluster), "etcd takes its alarm back")


def size(cluster):
    """Of etcd's database, in bytes."""
    return max(int(cluster.status(m)["dbSize"]) for m in cluster.members)


def leave(cluster, left):
    """Leaves about so many bytes of a database of three times QUOTA."""
    try:
        for i in range(200):
            if size(cluster) + left > 3 * QUOTA:
                break
            cluster.etcdctl("put", "/other/%d" % i, input=JUNK)
    except RuntimeError:        # Less, then.
        until(lambda: is_quiet(cluster), "etcd takes its alarm back")


def check_refused(client, what):
    error = client.refused(what, "store", "etcd", "transact",
                           {"ops": [rack(0)]})
    check("space" in error.get("message", "")
          and "etcdctl alarm disarm" in error.get("hint", ""),
          what + ": it says why, and what to do", error)


def makes(client, op_):
    try:
        return client.ops(op_)
    except RpcError:
        return None


def test_full():
    print("an etcd without space", flush=True)
    with World(2, quota=QUOTA) as w:
        leader, (follower,) = w.leader(), w.followers()
        a, b = leader.client(), follower.client()
        a.ops(add(host(1)), add(group(7)), add(endpoint(7, "w", "h1", 1)))
        a.call("register", host(1), {"version": "x"})
        w.converge()
        tables = [Subscriber([m]) for m in w.mapds]
        before = a.call("dump")
        fill(w.cluster)

        end = time.monotonic() + LONGER_THAN_A_LEASE
        while time.monotonic() < end:
            for client, what in (a, "at the leader"), (b, "at a follower"):
                check_refused(client, "a change " + what)
                check_equal(client.call("dump"), before, "reads go on")
                check_equal(client.call("status")["dead"], [],
                            "nobody is taken for dead")
            fresh = Subscriber([follower])
            check_equal(fresh.table.revision, before["revision"],
                        "who subscribes is served")
            fresh.over = True
            time.sleep(0.2)
        check(w.leader() is leader, "the lead stays where it was")

        make_room(w.cluster)
        until(lambda: makes(a, rack(1)), "changes are made again")
        b.ops(rack(2))
        check_equal(b.call("dump")["revision"], before["revision"] + 2,
                    "what was refused was not made")
        w.converge(tables)


def test_nobody_leads():
    print("a leader that dies meanwhile", flush=True)
    with World(2, quota=QUOTA) as w:
        leader, (follower,) = w.leader(), w.followers()
        c = follower.client()
        c.ops(add(host(1)))
        fill(w.cluster)
        leader.kill()
        until(lambda: not c.call("status")["leader"], "nobody leads")
        time.sleep(LONGER_THAN_A_LEASE)
        check(not makes(c, rack(1)), "no change is made")
        check_equal(len(c.call("dump")["records"]), 1, "reads go on")
        make_room(w.cluster)
        until(lambda: makes(c, rack(2)), "another one leads, with room")
        leader.start()
        w.converge()


def test_large():
    """It may end before it counts, or only before all is at its place."""
    print("a large load for which there is no room", flush=True)
    records = large.large_records(400)
    with World(2, quota=3 * QUOTA) as w:
        n_refused = 0
        for left in LEFT:
            c = w.leader().client(60)
            c.call("load", {"records": records[:1], "prune": True})
            make_room(w.cluster)
            leave(w.cluster, left)
            refused = None
            try:
                c.call("load", {"records": records, "prune": True})
            except RpcError as e:
                refused = e.args[0]
                check_equal(refused["error"], "store", "it is refused")
            n = len(c.call("dump")["records"])
            full = refused and "space" in refused["message"]
            check(n in (1, len(records)), "all or nothing", n)
            check(n == len(records) if not refused else n == 1 or not full,
                  "as it was said", n, refused)
            n_refused += bool(full)
            make_room(w.cluster)
            until(lambda: makes(w.leader().client(60), rack(left)),
                  "changes are made again")
            until(lambda: not large.below(w.cluster, "stage/")
                  and not large.below(w.cluster, "pending"),
                  "nothing is left over")
            check_equal(len(c.call("dump")["records"]), n,
                        "what there was is there")
            print("  %d bytes left: %s" % (left, "refused" if refused
                                           else "made"), flush=True)
            w.agree()
        check(n_refused, "some are refused")


if __name__ == '__main__':
    main(test_full, test_nobody_leads, test_large)
