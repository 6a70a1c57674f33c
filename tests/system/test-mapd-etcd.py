#!/usr/bin/python3
"""Several real grapnel-mapds on a real etcd: what one of them changes, all of
them tell; and which hosts are alive.

    tests/system/test-mapd-etcd.py [TEST...]"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from etcdcluster import Cluster, free_ports
from etcdworld import NOISE, WITHIN, Subscriber, World, until
from mapdworld import (
    BUILD, Client, Closed, MAPD, Mapd, ROOT, RpcError, add, check, check_equal,
    endpoint, group, host, main, op)


def test_one_changes_and_all_tell():
    print("a change by any mapd is told by all", flush=True)
    with World(3) as w:
        followers = w.followers()
        a, b, c = [m.client() for m in [w.leader()] + followers]
        tables = [Subscriber([m]) for m in w.mapds]
        check_equal(a.ops(add(host(1)), add(group(7)),
                          add(endpoint(7, "w1", "h1", 1)))["revision"], 1,
                    "a change at the leader")
        check_equal(b.ops(add(endpoint(7, "w2", "h1", 2)))["revision"], 2,
                    "a change at a follower")
        check_equal(len(b.call("list", {"kind": "endpoint"})["items"]), 2,
                    "is there at once for who has made it")
        c.refused("a bad change at a follower", "exists", "name", "transact",
                  {"ops": [add(host(1, vtep="192.0.2.9"))]})
        c.refused("a change for another revision", "revision", "if_revision",
                  "transact", {"ops": [add(host(2))], "if_revision": 1})
        dump = c.call("dump")["records"]
        check_equal(c.call("load", {"records": dump[:-1],
                                    "prune": True})["revision"], 3,
                    "a load at a follower")
        check_equal(a.call("load", {"records": dump})["revision"], 4, "back")
        check_equal(c.call("register", host(5), {"version": "x"}),
                    {"revision": 5}, "a host registers with a follower")
        until(lambda: a.call("list", {"kind": "host", "name": "h5"})["items"]
              [0]["status"].get("mapd", "").endswith(
                  followers[1].socket[-40:]),
              "the leader knows to whom it is connected")
        a.refused("its record cannot go while it is connected", "in-use",
                  "name", "transact", {"ops": [op("remove", host(5))]})
        c.close()
        until(lambda: not a.call("list", {"kind": "host", "name": "h5"})
              ["items"][0]["status"]["connected"], "and when it has gone")
        check_equal(a.ops(op("remove", host(5)))["revision"], 6,
                    "then its record can go")
        hash_keys = {t.table.key for t in tables}
        check_equal(len(hash_keys), 1, "one hash key for all")
        w.converge(tables)
        early = followers[0].client()
        b.ops(add(host(6)))
        revision = b.call("status")["revision"]
        request = early.start("register", host(6))
        early.applied(revision)
        early.finish(request)
        until(lambda: b.call("list", {"kind": "host", "name": "h6"})["items"]
              [0]["status"]["applied"] == revision,
              "what a host says while it is being registered")
        early.close()
        # All of them begin anew.
        before = w.mapds[0].client().call("dump")
        table = w.converge(tables)
        for m in w.mapds:
            m.stop()
        for m in w.mapds:
            m.start()
        w.leader()
        check_equal(w.mapds[0].client().call("dump"), before,
                    "all is there after a new start")
        check(w.converge().same(table), "with the same numbers and slots")


def alive(client, n):
    return client.call("list", {"kind": "host", "name": "h%d" % n})[
        "items"][0]["status"]["alive"]


def alive_and_connected(client, n):
    status = client.call("list", {"kind": "host", "name": "h%d" % n})[
        "items"][0]["status"]
    return status["alive"] and status["connected"]


class Host:
    """A host that gives signs of life, from a thread."""

    def __init__(self, n, m):
        self.client, self.record = Client(m.socket, 3600), host(n)
        until(self.register, "a host registers")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def register(self):
        """Again if the leader goes away meanwhile, as a switch does."""
        try:
            return self.client.call("register", self.record)
        except RpcError as e:
            check_equal(e.args[0]["error"], "store", "the leader went away")
            return None

    def run(self):
        try:
            while True:
                self.client.receive()
        except (OSError, Closed):
            pass

    def close(self):
        self.client.sock.shutdown(2)


def test_changes_that_come_together():
    print("changes of as many groups are a transaction each", flush=True)
    n = 64
    with World(1) as w:
        c = w.leader().client(60)
        c.ops(add(host(1)), *[add(group(i)) for i in range(1, n + 1)])
        until(lambda: not w.cluster.etcdctl("get", "/grapnel/pending"),
              "the groups are at their places")
        made, transactions = c.call("status")["revision"], w.cluster.revision()
        c.sock.sendall(b"".join(json.dumps({
            "id": 1000 + i, "method": "transact",
            "params": [{"ops": [add(endpoint(i, "e1", "h1", i))]}],
        }).encode() for i in range(1, n + 1)))
        for i in range(1, n + 1):
            last = c.finish(1000 + i)["revision"]
        check(last - made < n, "they are made together", last - made)
        check_equal(w.cluster.revision() - transactions, last - made,
                    "with a transaction of etcd for each revision")


def test_the_largest_message_is_sent_on():
    print("a load of 64 MiB at a follower", flush=True)
    with World(2) as w:
        c = w.followers()[0].client(120)
        request = {"id": 1, "method": "load", "params": [
            {"records": [dict(host(1), name="")]}]}
        room = (64 << 20) - len(json.dumps(request))
        request["params"][0]["records"][0]["name"] = "x" * room
        c.send(request)
        try:
            c.finish(1)
            check(False, "a name of 64 MiB is refused")
        except RpcError as e:
            check_equal((e.args[0]["error"], e.args[0].get("field")),
                        ("invalid", "name"), "by the leader, for its length")
        c.send(dict(request, method="load" + "x" * 8192))
        try:
            c.finish(1)
            check(False, "no answer")
        except (Closed, OSError):
            check(True, "one that is larger ends its connection")


def test_hosts_die_and_return():
    print("hosts of several mapds, and an etcd that is away", flush=True)
    with World(2, ["--host-timeout=2"]) as w:
        a, b = w.leader(), w.followers()[0]
        ca, cb = a.client(), b.client()
        hosts = {n: Host(n, a if n < 3 else b) for n in range(1, 6)}
        ca.ops(add(group(7)), *[add(endpoint(7, "w%d" % n, "h%d" % n, n))
                                for n in hosts])
        time.sleep(5)           # Longer than the timeout.
        check(all(alive(c, n) for c in (ca, cb) for n in hosts),
              "hosts that are connected to any mapd are alive")
        for c in (ca, cb):
            status = c.call("status")
            check_equal((status["connected"], status["disconnected"]),
                        (5, []), "and count as connected")
        started = time.monotonic()
        hosts[5].close()
        for c in (ca, cb):
            until(lambda: not alive(c, 5), "a host that has gone is dead")
        print("  dead after %.1f s" % (time.monotonic() - started))
        check(time.monotonic() - started > 1.5, "but not at once")
        w.converge()
        hosts[5] = Host(5, b)
        for c in (ca, cb):
            until(lambda: alive_and_connected(c, 5),
                  "it returns to a mapd that only follows")
        hosts[5] = Host(5, a)
        for c in (ca, cb):
            until(lambda: alive(c, 5), "and goes elsewhere")

        print("  etcd goes", flush=True)
        w.cluster.stop()
        until(lambda: any("etcd" in p for p in ca.call("status")["problems"]),
              "status says that etcd is away")
        for c in (ca, cb):
            try:
                c.ops(add(host(9)))
                check(False, "a change without etcd is refused")
            except RpcError as e:
                check_equal(e.args[0]["error"], "store", "and says so")
            check_equal(len(c.call("dump")["records"]), 11, "reads go on")
        hosts[4].close()
        time.sleep(5)
        check(all(alive(c, n) for c in (ca, cb) for n in hosts),
              "nobody is held for dead meanwhile")
        w.cluster.start()

        def changed():
            try:
                return cb.ops(add(host(9), may_exist=True))
            except RpcError:
                return False
        until(changed, "changes are made again when etcd is back")
        for c in (ca, cb):
            until(lambda: not alive(c, 4), "who went is dead now")
        check(all(alive(c, n) for c in (ca, cb) for n in (1, 2, 3, 5)),
              "and nobody else")

        print("  a mapd dies", flush=True)
        a.kill()
        for n in (1, 2, 5):
            hosts[n] = Host(n, b)
        until(changed, "the other one makes changes")
        time.sleep(5)
        check(all(alive(cb, n) for n in (1, 2, 3, 5)),
              "hosts that go to another mapd stay alive")
        a.start(WITHIN)
        w.converge()


def test_a_mapd_that_stood_still():
    print("the hosts of a mapd that stood still", flush=True)
    with World(2, ["--host-timeout=2"]) as w:
        a, b = w.leader(), w.followers()[0]
        ca, cb = a.client(), b.client()
        hosts = {n: Host(n, b if n == 5 else a) for n in (1, 2, 3, 5)}
        ca.ops(add(group(7)), *[add(endpoint(7, "w%d" % n, "h%d" % n, n))
                                for n in hosts])
        until(lambda: alive_and_connected(ca, 5), "all are there")
        b.process.send_signal(signal.SIGSTOP)
        until(lambda: not alive(ca, 5), "its host is held for dead")
        b.process.send_signal(signal.SIGCONT)
        for c in (ca, cb):
            until(lambda: alive_and_connected(c, 5), "and lives again")
        w.converge()
        b.process.send_signal(signal.SIGSTOP)
        until(lambda: not alive(ca, 5), "its host is held for dead again")
        ca.ops(op("remove", endpoint(7, "w5", "h5", 5)),
               op("remove", host(5)))
        b.process.send_signal(signal.SIGCONT)
        until(lambda: not hosts[5].thread.is_alive(),
              "a host without a record has to come anew")
        w.converge()
        hosts[5] = Host(5, b)
        for c in (ca, cb):
            until(lambda: alive_and_connected(c, 5), "and may")


def registers_in_vain(a, b, n, pause):
    """Host 'n' comes to 'b', and is removed before 'b' hears of what leader
    'a' has done.  Returns its client, or None if 'b' was too slow."""
    client = b.client(WITHIN)
    a.process.send_signal(signal.SIGSTOP)
    client.start("register", host(n))
    time.sleep(pause)
    b.process.send_signal(signal.SIGSTOP)
    a.process.send_signal(signal.SIGCONT)
    end = time.monotonic() + 10 * pause
    removed = None
    while not removed and time.monotonic() < end:
        removed = made(a, op("remove", host(n)))
    b.process.send_signal(signal.SIGCONT)
    return client if removed else None


def test_a_host_is_removed_as_it_registers():
    print("a host that is removed while it registers", flush=True)
    with World(2) as w:
        a, b = w.leader(), w.followers()[0]
        check(made(b, add(host(1))), "a follower knows its leader")
        for n, pause in ((2, 0.1), (3, 0.3), (4, 1)):
            client = registers_in_vain(a, b, n, pause)
            if client:
                break
        check(client, "it is removed")
        try:
            while True:
                client.receive()
        except Closed:
            check(True, "its connection is closed")
        except OSError:
            check(False, "its connection is closed")
        w.converge()


def lease_op(name, client, **more):
    return op(name, dict({"kind": "lease", "vni": 0, "pool": "p",
                          "client": client}, **more))


def test_leases_outlast_a_leader():
    print("leases that end while nobody makes changes", flush=True)
    with World(2) as w:
        a, b = w.leader(), w.followers()[0]
        cb = b.client()
        until(lambda: cb.call("status")["uptime_ms"] > 11000,
              "a follower that was started long ago")
        cb.ops(add({"kind": "pool", "vni": 0, "name": "p",
                    "first": "203.0.113.8", "last": "203.0.113.15"}))
        leases = cb.ops(lease_op("allocate", "c1", term=2),
                        lease_op("allocate", "c2", term=2))["leases"]
        a.kill()
        until(lambda: made(b, add(host(1), may_exist=True)),
              "makes changes now")
        time.sleep(max(0, leases[0]["expires"] + 2 - time.time()))
        check(made(b, lease_op("renew", "c1", term=3600)),
              "who could not renew a lease meanwhile still can")
        until(lambda: [i["record"]["client"] for i in
                       cb.call("list", {"kind": "lease"})["items"]] == ["c1"],
              "who does not loses it")


def test_what_was_missed_is_read_again():
    print("a mapd that stood still while etcd forgot", flush=True)
    with World(2) as w:
        a, b = w.leader(), w.followers()[0]
        ca = a.client()
        ca.ops(add(host(1)), add(host(2)), add(group(7)), add(group(8)),
               *[add(endpoint(7, "w%d" % n, "h1", n)) for n in range(1, 9)])
        tables = [Subscriber([a]), Subscriber([b])]
        goes = Host(5, a)
        until(lambda: alive_and_connected(b.client(), 5),
              "a host is connected to the other one")
        w.converge(tables)
        b.process.send_signal(signal.SIGSTOP)
        w.cluster.stop()        # Which ends the connections of both.
        w.cluster.start()
        until(lambda: made(a, add(host(4), may_exist=True)),
              "the other one makes changes again")
        goes.close()
        until(lambda: "seen/h5" not in str(w.cluster.get("/grapnel/seen/")),
              "that host goes")
        for n in range(1, 40):
            ca.ops(op("set", {"kind": "endpoint", "vni": 7, "group": "web",
                              "name": "w%d" % (n % 8 + 1), "weight": n}))
        ca.ops(op("remove", endpoint(7, "w3", "h1", 3)))
        ca.ops(add(endpoint(7, "w3", "h1", 3)))
        ca.ops(op("remove", group(8)), op("remove", host(2)))
        ca.ops(add(group(8)), add(endpoint(8, "w1", "h1", 1)))
        w.cluster.compact()
        b.process.send_signal(signal.SIGCONT)
        w.converge(tables)
        with open(b.log) as f:
            check("read all again" in f.read(), "it has read all again")
        until(lambda: not b.client().call("list", {"kind": "host",
                                                   "name": "h5"})
              ["items"][0]["status"]["connected"], "it knows who has gone")
        until(lambda: made(b, add(host(3), may_exist=True)), "and goes on")
        w.converge(tables)


def made(m, *ops):
    try:
        return m.client().ops(*ops)
    except RpcError:
        return None


def refuses_to_start(cluster, what, *options):
    directory = tempfile.mkdtemp()
    done = subprocess.run(
        [MAPD, "--store=etcd:" + cluster.urls, "--unixctl=none",
         "--listen=punix:%s/mapd.sock" % directory] + list(options),
        env=dict(os.environ, OVS_RUNDIR=directory), timeout=WITHIN,
        stderr=subprocess.PIPE, text=True)
    shutil.rmtree(directory)
    check(done.returncode and done.stderr.count("\n") <= 5, what,
          done.stderr)
    return done.stderr


def test_certificates_and_passwords():
    print("an etcd that asks for a certificate, or a password", flush=True)
    with Cluster(n=1, tls=True) as cluster:
        cluster.start()
        options = ["--etcd-ca=" + cluster.ca, "--etcd-cert=" + cluster.cert,
                   "--etcd-key=" + cluster.key]
        m = Mapd(target="etcd:" + cluster.urls, allow=NOISE, options=options)
        check_equal(m.client().ops(add(host(1)))["revision"], 1,
                    "a change with a certificate")
        m.stop()
        m.remove()
        refuses_to_start(cluster, "none without one", options[0])
    with Cluster(n=1) as cluster:
        cluster.start()
        cluster.enable_auth("mapd", "secret", "/grapnel/")
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("secret\n")
            f.flush()
            options = ["--etcd-user=mapd", "--etcd-password-file=" + f.name]
            m = Mapd(target="etcd:" + cluster.urls, allow=NOISE,
                     options=options)
            check_equal(m.client().ops(add(host(1)))["revision"], 1,
                        "a change with a password")
            refuses_to_start(cluster, "not below another prefix",
                             "--etcd-prefix=/other/", *options)
            m.stop()
            m.remove()
        error = refuses_to_start(cluster, "none without one")
        check("secret" not in error, "which is not shown")


def leads(port):
    with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port) as page:
        return int(re.search(rb"^grapnel_mapd_leads (\d)$", page.read(),
                             re.M).group(1))


def test_each_has_a_name_of_its_own():
    print("what mapds are called, and where they are", flush=True)
    with Cluster(n=1) as cluster:
        cluster.start()
        port, *figures = free_ports(3)
        target = "etcd:" + cluster.urls
        # Its first --listen is a Unix socket.
        m = Mapd(target=target, allow=NOISE, listen=["ptcp:%d" % port],
                 options=["--metrics=%d" % figures[0]])
        place = "tcp:127.0.0.1:%d" % port
        until(lambda: m.client().call("status")["leader"] == place,
              "the one that other machines can reach")
        other = Mapd(target=target, allow=NOISE,
                     options=["--advertise=" + place,
                              "--metrics=%d" % figures[1]])
        check_equal([leads(figure) for figure in figures], [1, 0],
                    "the figures tell who makes changes")
        try:
            other.client().ops(add(host(1)))
            check(False, "another one of that name makes no changes")
        except RpcError as error:
            check("calls itself " + place in error.args[0]["message"]
                  and "--advertise" in error.args[0]["hint"],
                  "one that has the leader's name says so", error)
        check(any("calls itself" in line for line
                  in other.client().call("status")["problems"]),
              "it is a problem")
        check(not any("calls itself" in line for line
                      in m.client().call("status")["problems"]),
              "but not of the leader")
        error = refuses_to_start(cluster, "a file with --advertise",
                                 "--store=sqlite:/dev/null",
                                 "--advertise=" + place)
        check("--advertise goes with --store=etcd:" in error,
              "it says why", error)
        error = refuses_to_start(cluster, "no address to be reached at",
                                 "--listen=ptcp:%d:0.0.0.0" % free_ports(1)[0])
        check("--advertise=" in error, "it says what to give", error)
        for each in other, m:
            each.stop()
            each.remove()


def test_a_leader_that_is_not_reached():
    print("a leader that other mapds cannot reach", flush=True)
    with Cluster(n=1) as cluster:
        cluster.start()
        target = "etcd:" + cluster.urls
        place = "tcp:127.0.0.1:%d" % free_ports(1)[0]
        leader = Mapd(target=target, allow=NOISE,
                      options=["--advertise=" + place])
        until(lambda: leader.client().call("status")["leader"] == place,
              "there is one")
        other = Mapd(target=target, allow=NOISE)

        def problems():
            return [line for line in other.client().call("status")["problems"]
                    if place in line]
        check_equal(problems(), [], "nobody needs it yet")
        error = other.client().refused(
            "a change", "not-leader", "mapd", "transact",
            {"ops": [add(host(1))]})
        check("cannot be reached" in error.get("message", "")
              and place in error["hint"], "the error says where it is", error)
        check(any("cannot be reached" in line for line in problems()),
              "it is a problem")
        # Now somebody is there.
        leader.kill()
        leader.listen.append("ptcp:" + place.rpartition(":")[2])
        leader.start()
        until(lambda: leader.client().call("status")["leader"] == place,
              "it is the leader again")
        check_equal(other.client().ops(add(host(1)))["revision"], 1,
                    "it is reached")
        check_equal(problems(), [], "no problem any more")
        for each in other, leader:
            each.stop()
            each.remove()


def test_methods_are_the_same():
    print("the tests of mapd's methods and changes, on etcd", flush=True)
    with Cluster() as cluster:
        cluster.start()
        for script in ("test-mapd-methods.py", "test-mapd-changes.py"):
            done = subprocess.run(
                [sys.executable, os.path.join(ROOT, "tests", "system",
                                              script)],
                env=dict(os.environ, B=BUILD,
                         GRAPNEL_TEST_STORE="etcd:" + cluster.urls),
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            check_equal(done.returncode, 0, script + "\n" + done.stdout)


if __name__ == "__main__":
    main(test_one_changes_and_all_tell, test_changes_that_come_together,
         test_the_largest_message_is_sent_on, test_hosts_die_and_return,
         test_a_mapd_that_stood_still, test_leases_outlast_a_leader,
         test_a_host_is_removed_as_it_registers,
         test_what_was_missed_is_read_again,
         test_certificates_and_passwords, test_each_has_a_name_of_its_own,
         test_a_leader_that_is_not_reached, test_methods_are_the_same)
