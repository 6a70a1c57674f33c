#!/usr/bin/python3
"""The etcd client against a real cluster, whose members are killed; etcdctl
judges.

    tests/system/test-etcd.py [TEST...]"""

import os
import threading
import time

from etcdcluster import Cluster, run, wait_until
from etcddriver import (
    CREATE, LEASE, MOD, PROGRAM, Driver, delete, put, values)
from mapdworld import check, check_equal, main

N_KEYS = 3200                   # More than three pages.
N_INCREMENTS = 120


def fill(driver, prefix, n, value="v%d"):
    """Writes 'n' keys, 100 at a time.  Returns {key: value}."""
    pairs = {("%s%05d" % (prefix, i)).encode(): (value % i).encode()
             for i in range(n)}
    keys = sorted(pairs)
    for i in range(0, n, 100):
        driver.sure_txn(*[put(k, pairs[k]) for k in keys[i:i + 100]])
    return pairs


def check_ranges(cluster):
    print("ranges", flush=True)
    with Driver(cluster.urls) as d, Driver(cluster.urls) as other:
        check_equal(d.range("r/")["pairs"], {}, "nothing is there yet")
        pairs = fill(d, "r/", N_KEYS)
        # Neighbours of the prefix, and bytes that are no text.
        odd = {b"r": b"", b"r0": b"x", b"r/\xff\xff": b"\0\xff\n",
               b"r/\0": b"zero"}
        before = d.sure_txn(*[put(k, v) for k, v in odd.items()])["revision"]
        pairs.update({k: odd[k] for k in (b"r/\xff\xff", b"r/\0")})
        answer = d.range("r/")
        check(values(answer) == pairs, "all pairs below the prefix")
        check_equal(answer["keys"], sorted(pairs), "sorted by key")
        check(cluster.get("r/") == pairs, "etcdctl reads the same")

        d.sure_txn(delete("r/0", prefix=True))
        d.sure_txn(put("r/00001", "again"))
        check(values(d.range("r/", revision=before)) == pairs,
              "a range as of an earlier revision")
        left = {k: v for k, v in pairs.items() if not k.startswith(b"r/0")}
        left[b"r/00001"] = b"again"
        check_equal(values(d.range("r/")), left, "deletions by prefix")
        check_equal(cluster.get("r/"), left, "etcdctl sees them, too")
        everything = d.range("")
        check(everything["pairs"].keys() >= left.keys() | {b"r", b"r0"},
              "an empty prefix is everything")

        # While the first and the last key change together, no range may see
        # one changed and the other not.
        fill(d, "p/", N_KEYS)
        stop = threading.Event()

        def change():
            i = 0
            while not stop.is_set():
                i += 1
                other.sure_txn(put("p/", str(i)), put("p/~", str(i)))
        thread = threading.Thread(target=change)
        thread.start()
        seen = set()
        try:
            for _ in range(8):
                answer = d.range("p/")
                got = values(answer)
                check_equal((got.get(b"p/"), len(got)),
                            (got.get(b"p/~"), len(answer["keys"])),
                            "pages are of one revision")
                seen.add(got.get(b"p/"))
        finally:
            stop.set()
            thread.join()
        check(len(seen) > 3, "they did change", seen)


def check_transactions(cluster):
    print("transactions", flush=True)
    with Driver(cluster.urls) as d:
        first = d.txn(put("t/a", "1"), compare=[("t/a", MOD, 0)])
        check(first["succeeded"] and not first["error"], "created", first)
        again = d.txn(put("t/a", "2"), compare=[("t/a", CREATE, 0)])
        check(not again["succeeded"] and not again["error"],
              "not created twice", again)
        revision = first["revision"]
        check(d.txn(put("t/a", "3"), delete("t/b"), compare=[
            ("t/a", MOD, revision), ("t/a", CREATE, revision),
            ("t/a", LEASE, 0), ("t/b", MOD, 0)])["succeeded"],
            "all compares hold")
        check(not d.txn(put("t/a", "4"), compare=[
            ("t/a", MOD, revision)])["succeeded"], "it has changed since")
        check_equal(cluster.get("t/"), {b"t/a": b"3"}, "etcdctl agrees")
        check_equal(d.txn(*[put("t/%d" % i, "") for i in range(121)])["error"],
                    "E2BIG", "too many operations")
        big = d.txn(put("t/big", b"\1" * (1 << 20)))
        check_equal(big["error"], "E2BIG", "too many bytes")
        check("bytes" in big["message"], "it says so", big["message"])
        whole = b"\1" * ((1 << 20) - 5)
        check_equal(d.sure_txn(put("t/big", whole))["error"], "",
                    "as many as may be")
        check(cluster.get("t/big")[b"t/big"] == whole, "and they arrive")
        check_equal(d.txn(put("t/x", ""), delete("t/", prefix=True))["error"],
                    os.strerror(22), "a key twice")
        check_equal(cluster.get("t/x"), {}, "is not written at all")


def check_races(cluster):
    """Two clients increment one counter.  The twin is the list of numbers that
    each wrote down: every number once."""
    print("races", flush=True)
    with Driver(cluster.urls) as a, Driver(cluster.urls) as b:
        a.sure_txn(put("counter", "0 -"), delete("log/", prefix=True))
        a.send("increments", "a", N_INCREMENTS)
        b.send("increments", "b", N_INCREMENTS)
        replies = a.reply(), b.reply()
        check_counter(cluster, 2 * N_INCREMENTS)
        check(sum(r["conflicts"] for r in replies) > 0, "they did clash",
              replies)


def check_counter(cluster, n):
    counted = int(cluster.get("counter")[b"counter"].split()[0])
    written = sorted(int(v.split()[0]) for v in cluster.get("log/").values())
    check_equal(counted, n, "the counter")
    check(written == list(range(1, n + 1)), "no increment lost, none twice",
          written)


def lease_seconds(cluster, lease):
    """etcd's own idea of how long a lease lasts, in whole seconds, or -1."""
    text = cluster.etcdctl("lease", "timetolive", lease).decode()
    return -1 if "expired" in text else int(
        text.split("remaining(")[1].split("s")[0])


def check_leases(cluster):
    print("leases", flush=True)
    with Driver(cluster.urls) as d, Driver(cluster.urls) as dies:
        lease = d.call("lease", 2, 5000)["id"]
        doomed = dies.call("lease", 2, 5000)
        d.sure_txn(put("l/kept", "", True))
        dies.sure_txn(put("l/lost", "", True))
        check_equal(set(cluster.get("l/")), {b"l/kept", b"l/lost"},
                    "keys with leases")
        killed = time.monotonic()
        dies.kill()
        for _ in range(3):
            ours = d.call("remaining")["remaining"]
            theirs = lease_seconds(cluster, lease)
            check(0 < ours <= (theirs + 1) * 1000, "what remains is honest",
                  ours, theirs)
        wait_until(lambda: b"l/lost" not in cluster.get("l/"),
                   "the lease of a dead process runs out", 20)
        check(time.monotonic() - killed > doomed["remaining"] / 1000 - 1,
              "not at once")
        check_equal(set(cluster.get("l/")), {b"l/kept"},
                    "that of a living one does not")
        # A process that does nothing for so long finds no lease left.
        d.send("block", 3500)
        d.send("remaining")
        d.reply()
        check_equal(d.reply()["remaining"], 0, "it is over")
        d.wait(lambda: d.lost, "etcd says that the lease is lost")
        check_equal(cluster.get("l/"), {}, "its key is gone")
        check_equal(d.txn(put("l/x", "", True))["error"], "ENOENT",
                    "a lost lease cannot be used")
        lease = d.call("lease", 60, 5000)["id"]
        d.sure_txn(put("l/y", "", True))
        check(lease_seconds(cluster, lease) > 50, "a long lease")
        d.call("unlease", True)
        wait_until(lambda: cluster.get("l/") == {}, "it is revoked", 20)
        check_equal(lease_seconds(cluster, lease), -1, "for good")
        lease = d.call("lease", 60, 5000)["id"]
    check_equal(lease_seconds(cluster, lease), -1,
                "revoked also right before the end")


def check_watch(cluster):
    """A watch, and clients that write, while each member in turn is killed, the
    leader among them."""
    print("watch, with members dying", flush=True)
    with Driver(cluster.urls) as w, Driver(cluster.urls) as a, \
            Driver(cluster.urls) as b:
        start = a.sure_txn(put("counter", "0 -"),
                           delete("log/", prefix=True))["revision"] + 1
        w.watch("log/", start)
        w.wait_state("ok")
        counts = []
        for member in cluster.members:
            what = "leader" if member is cluster.leader() else "follower"
            for d in (a, b):
                d.send("increments", "%s%d" % ("ab"[d is b], member.index),
                       N_INCREMENTS)
            w.wait(lambda: len(w.events) > len(counts) * 2 * N_INCREMENTS
                   + 20, "some increments")
            cluster.kill(member)
            killed = time.monotonic()
            replies = a.reply(), b.reply()
            counts.append(member)
            print("  a %s killed: slowest increments %d, %d ms; "
                  "unknown outcomes %d, %d" % (
                      what, replies[0]["slowest"], replies[1]["slowest"],
                      replies[0]["unknown"], replies[1]["unknown"]),
                  flush=True)
            check(max(r["slowest"] for r in replies) < 12000,
                  "failover is bounded", replies)
            cluster.start()
        total = 2 * N_INCREMENTS * len(cluster.members)
        w.wait(lambda: len(w.events) >= total, "all events")
        check_counter(cluster, total)
        revisions = [revision for revision, _ in w.events]
        check(revisions == sorted(set(revisions)), "in order, each once")
        check_equal({events[0][0]: events[0][1] for _, events in w.events},
                    cluster.get("log/"), "without gaps")
        w.wait_state("ok")


def check_whole_revisions(cluster):
    """One transaction is one revision, however much has to be caught up with,
    and however slowly it is read."""
    print("catching up", flush=True)
    with Driver(cluster.urls) as d, Driver(cluster.urls) as w:
        start = d.sure_txn(put("w/", ""))["revision"] + 1
        # 19 MB: etcd divides its messages, and the client has to hold it up.
        revisions = [d.sure_txn(*[put("w/%d/%d" % (i, j), bytes([j]) * 16000)
                                  for j in range(60)])["revision"]
                     for i in range(20)]
        last = d.sure_txn(delete("w/1/", prefix=True))["revision"]
        w.watch("w/", start, slowly=True)
        w.wait(lambda: w.events and w.events[-1][0] == last, "the last one")
        check_equal([r for r, _ in w.events if r in revisions],
                    sorted(set(revisions)), "all revisions")
        check(all(len(e) == 60 for _, e in w.events), "all of each",
              [len(e) for _, e in w.events])
        check(all(e[0].startswith(b"w/1/") and e[1] == b"" and e[2]
                  for e in w.events[-1][1]), "deletions", w.events[-1])
        check(all(e[1] == bytes([int(e[0].split(b"/")[2])]) * 16000
                  for _, es in w.events[:-1] for e in es), "with values")


def check_unknown(cluster):
    """A transaction that nobody can finish, and somebody finishes later."""
    print("unknown outcomes", flush=True)
    leader = cluster.leader()
    with Driver(leader.url) as d:
        d.range("u/")
        for follower in cluster.followers(leader):
            cluster.freeze(follower)
        answer = d.txn(put("u/late", "1"), timeout=5000)
        check_equal(answer["error"], "ETIMEDOUT", "nobody knows")
        check(answer["ms"] < 2000, "said soon", answer)
        for follower in cluster.followers(leader):
            cluster.thaw(follower)
        wait_until(lambda: d.range("u/")["pairs"], "it is done after all")
        check_equal(cluster.get("u/"), {b"u/late": b"1"}, "etcdctl sees it")


def check_quorum(cluster):
    print("no majority", flush=True)
    with Driver(cluster.urls) as d, Driver(cluster.urls) as w:
        start = d.sure_txn(put("q/", "0"))["revision"] + 1
        w.watch("q/", start)
        w.wait_state("ok")
        time.sleep(0.1)
        for member in cluster.members[1:]:
            cluster.kill(member)
        killed = time.monotonic()
        w.wait_state("silent", 20)
        noticed = time.monotonic() - killed
        print("  noticed after %.1f s" % noticed, flush=True)
        check(noticed < 10, "the watch says so", noticed)
        answer = d.range("q/", timeout=700)
        check_equal(answer["error"], "ETIMEDOUT", "nobody answers reads")
        check(600 < answer["ms"] < 5000, "in the time given", answer)
        answer = d.txn(put("q/x", "1"), timeout=700)
        check(answer["error"] in ("ETIMEDOUT", "EAGAIN"), "nor writes",
              answer)
        check(answer["ms"] < 5000, "in the time given", answer)
        cluster.start()
        w.wait_state("ok")
        d.sure_txn(put("q/y", "2"))
        w.wait(lambda: any(e[0] == b"q/y" for _, es in w.events for e in es),
               "and the watch goes on")


def check_frozen(cluster):
    """The member that the watch is at neither works nor closes."""
    print("a member that hangs", flush=True)
    member = cluster.followers()[0]
    urls = ",".join([member.url] + [m.url for m in cluster.members
                                    if m is not member])
    with Driver(urls) as w, Driver(cluster.leader().url) as d:
        start = d.sure_txn(put("f/", "0"))["revision"] + 1
        w.watch("f/", start)
        w.wait_state("ok")
        cluster.freeze(member)
        try:
            d.sure_txn(put("f/1", "1"))
            w.wait(lambda: w.events, "the watch goes elsewhere", 30)
            w.wait_state("ok", 30)
            answer = w.range("f/")
            check_equal((answer["error"], len(answer["pairs"])), ("", 2),
                        "so do requests")
        finally:
            cluster.thaw(member)


def check_compaction(cluster):
    print("compaction", flush=True)
    with Driver(cluster.urls) as d, Driver(cluster.urls) as w:
        first = d.sure_txn(put("c/", "0"))["revision"]
        d.sure_txn(put("c/", "1"))
        d.sure_txn(put("c/", "2"))
        cluster.compact()
        check_equal(d.range("c/", revision=first)["error"], "ENODATA",
                    "a revision that was compacted")
        check_equal(values(d.range("c/")), {b"c/": b"2"}, "the latest is not")
        w.watch("c/", first)
        w.wait_state("compacted")
        check_equal(w.events, [], "and brings nothing")


def test_cluster():
    with Cluster() as cluster:
        run(cluster, check_ranges, check_transactions, check_races,
            check_leases, check_watch, check_whole_revisions, check_unknown,
            check_frozen, check_quorum, check_compaction)


main(test_cluster, program=PROGRAM)
