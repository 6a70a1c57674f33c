#!/usr/bin/python3
"""Hosts that are connected to different mapds of one etcd: what any of them is
asked is true of all hosts.

    grapnelctl ─► any of these
                   a (leader) ◄─ link ─ b     c ─ link ─► a
                   │                    │     │
                   h1                   h2    h3

    tests/system/test-mapd-fleet.py [TEST...]"""

import sys
sys.dont_write_bytecode = True

import importlib
import json
import re
import signal
import socket
import threading
import time
import urllib.request

from etcdworld import World, until
from mapdworld import (
    RpcError, add, check, check_equal, endpoint, group, host, main, op)

health = importlib.import_module("test-mapd-health")
VNI = health.VNI


class Host(health.Doctor):
    """One that does not say what it applies while it is 'slow'."""

    def __init__(self, m, n, slow=False, **more):
        self.slow, self.n, self.last = slow, n, None
        for _ in range(20):
            try:
                super().__init__(m, n, **more)
                return
            except RpcError as e:   # The leader went away meanwhile.
                print("  h%d: %s" % (n, e.args[0]["message"]))
                time.sleep(0.5)

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "client":
            applied = value.applied
            value.applied = lambda r: (setattr(self, "last", r),
                                       self.slow or applied(r))

    def catch_up(self):
        with self.changed:
            self.slow = False
            self.client.applied(self.table.revision)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Fleet(World):
    """'n' mapds, and a host on each of them: the first one is the leader."""

    def __init__(self, n=3, *options, **more):
        super().__init__(n, options,
                         each=lambda: ["--metrics=%d" % free_port()])
        self.all = [self.leader()] + self.followers()
        self.hosts = [Host(m, i + 1, **more)
                      for i, m in enumerate(self.all)]

    def call(self, method, *params):
        """Of all mapds that live."""
        return [m.client().call(method, *params) for m in self.all
                if m.process.poll() is None]

    def status(self, n):
        return [r["items"][0]["status"] for r in self.call(
            "list", {"kind": "host", "name": "h%d" % n})]

    def until_all(self, condition, what):
        """Of each mapd."""
        for m in self.all:
            if m.process.poll() is None:
                until(lambda: condition(m), "%s (mapd %d)" % (
                    what, self.all.index(m)))

    def lose_leader(self):
        """Kills it.  Its host is gone, too."""
        self.all[0].kill()
        del self.all[0]
        leader = self.leader()
        self.all.sort(key=lambda m: m is not leader)
        return leader


def lagging(m, revision, ms=300):
    """The hosts for which mapd 'm' waits in vain."""
    try:
        m.client().call("wait", {"revision": revision, "timeout_ms": ms})
        return []
    except RpcError as e:
        assert e.args[0]["error"] == "timeout", e
        return e.args[0]["lagging"]


def change(m, n=[0]):
    """Makes a change, for which the new leader may have to be waited."""
    n[0] += 1

    def make():
        try:
            return m.client().ops(add(group(9, "g%d" % n[0], n[0]),
                                      may_exist=True))["revision"]
        except RpcError:
            return None
    return until(make, "a change is made")


def test_wait_is_about_the_hosts_of_all_mapds():
    print("wait, and what hosts use", flush=True)
    with Fleet() as w:
        w.until_all(lambda m: lagging(m, 1) == [], "all are there")
        for i, h in enumerate(w.hosts):
            name = "h%d" % (i + 1)
            h.slow = True
            r = change(w.all[0])
            for m in w.all:
                check_equal(lagging(m, r, 3000), [name],
                            "only that host is waited for")
                check_equal(m.client().call("status")["lagging"], [name],
                            "status says so")
            late = [m.client() for m in w.all]
            waits = [c.start("wait", {"revision": r, "timeout_ms": 60000})
                     for c in late]
            h.catch_up()
            for c, ident in zip(late, waits):
                done = c.finish(ident)
                check_equal(([x["name"] for x in done["hosts"]],
                             min(x["applied"] for x in done["hosts"]),
                             done["disconnected"]),
                            (["h1", "h2", "h3"], r, []), "then all have it")
        for n in (1, 2, 3):
            for status in w.status(n):
                check(status["applied"] == r and status["connected"]
                      and status["applied_ms_ago"] < 60000
                      and status["version"] == "test", "its status", status)

        print("  a host goes elsewhere", flush=True)
        w.hosts[2].close()
        h3 = Host(w.all[1], 3, slow=True)
        for m in w.all:
            until(lambda m=m: lagging(m, r) == ["h3"],
                  "what it said to another mapd does not count")
        h3.catch_up()
        w.until_all(lambda m: lagging(m, r) == [], "what it says now does")

        print("  the leader goes", flush=True)
        h2 = w.hosts[1]
        h3.slow = True
        w.lose_leader()
        r = change(w.all[1])
        for m in w.all:
            until(lambda m=m: lagging(m, r) == ["h3"], "the same again")
        h1 = Host(w.all[1], 1, slow=True)
        for m in w.all:
            until(lambda m=m: lagging(m, r) == ["h1", "h3"],
                  "with a host that returns")
        for h in (h1, h3):
            h.catch_up()
        w.until_all(lambda m: lagging(m, r) == [], "all have it")
        check_equal([h.error for h in (h1, h2, h3)], [None] * 3, "no errors")


def loads(m):
    return {name: (s.get("flows"), s.get("response_us"))
            for name, s in health.statuses(m).items()}


def test_loads_are_added_up_over_all_mapds():
    print("loads", flush=True)
    with Fleet() as w:
        gid, index, _ = health.make(w.all[0], hosts=(1, 2, 3))
        a, b = index["a"], index["b"]
        for i, h in enumerate(w.hosts):
            h.send("report", {"loads": [[gid, a, 10 ** i, 0],
                                        [gid, b, 9, 1000 * (i + 1)]]})
        w.until_all(lambda m: loads(m) == {
            "a": (111, None), "b": (27, 2000), "c": (None, None)}, "the sum")
        w.hosts[1].send("report", {"loads": [[gid, a, 0, 0],
                                             [gid, b, 29, 5000]]})
        w.until_all(lambda m: loads(m) == {
            "a": (101, None),   # Means weigh a flow more for each host.
            "b": (47, (10 * 1000 + 30 * 5000 + 10 * 3000) // 50),
            "c": (None, None)}, "what changes")
        w.hosts[2].close()
        w.until_all(lambda m: loads(m)["a"] == (1, None), "who has gone")
        w.hosts[2] = Host(w.all[2], 3)
        w.hosts[2].send("report", {"loads": [[gid, a, 700, 0]]})
        w.until_all(lambda m: loads(m)["a"] == (701, None), "and come back")
        time.sleep(2)           # Longer than the time between messages.
        check_equal([loads(m)["a"] for m in w.all], [(701, None)] * 3,
                    "nothing is counted twice")
        sent = [messages(m, "link_loads") for m in w.all]
        time.sleep(3)
        check_equal([messages(m, "link_loads") for m in w.all], sent,
                    "what does not change is not told")
        w.lose_leader()
        w.until_all(lambda m: loads(m) == {
            "a": (700, None), "b": (29, 5000), "c": (None, None)},
            "without the leader and its host")


def messages(m, method):
    """So many that came, by its metrics."""
    port = m.options[-1].split("=")[1]
    with urllib.request.urlopen("http://127.0.0.1:%s/metrics" % port,
                                timeout=20) as f:
        return int(re.search(r'received_messages_total{method="%s"} (\d+)'
                             % method, f.read().decode()).group(1))


def test_hosts_hand_flows_over_between_mapds():
    print("flows", flush=True)
    with Fleet() as w:
        h1, h2, h3 = w.hosts
        other = Host(w.all[1], 4, vnis=[VNI + 1])
        w.until_all(lambda m: lagging(m, 1) == [], "all are there")
        source = "10.1.0.7"
        for asker in w.hosts:
            name = asker.name_
            asker.send("want_flows", {"vni": VNI, "source": source})
            for h in w.hosts:
                if h is not asker:
                    check_equal(h.wait_note("want_flows", 20),
                                {"vni": VNI, "source": source, "host": name},
                                "%s hears the question of %s" % (
                                    h.name_, name))
                    h.send("flows", {
                        "host": name, "vni": VNI, "source": source,
                        "flows": [[1, 1000 + h.n, 80, 3, "open", 2]]})
            ports = {asker.wait_note("flows", 20)["flows"][0][1]
                     for _ in range(2)}
            check_equal(ports, {1000 + h.n for h in w.hosts
                                if h is not asker}, "both answers come")
        for h in (h1, h3):
            h.send("flows", {"host": "h2", "vni": VNI, "source": "10.1.0.8",
                             "flows": []})
        for h in (h1, h3, other):   # What comes after all that.
            h.send("want_flows", {"vni": VNI + 1, "source": source})
        got = {other.wait_note("want_flows", 20)["host"] for _ in range(2)}
        check_equal(got, {"h1", "h3"}, "who subscribes to another VNI")
        for h in w.hosts + [other]:
            check([n for n in h.notes if n[1]["vni"] == VNI] == [],
                  "%s hears nothing else" % h.name_, h.notes)
        w.lose_leader()
        h1 = Host(w.all[1], 1)
        w.until_all(lambda m: lagging(m, 1) == [], "h1 comes elsewhere")
        while h2.notes:
            h2.notes.pop()
        h1.send("want_flows", {"vni": VNI, "source": "10.1.0.9"})
        check_equal(h2.wait_note("want_flows", 20),
                    {"vni": VNI, "source": "10.1.0.9", "host": "h1"},
                    "by way of another leader")


def traced(m, n, **more):
    """Calls `trace` of host 'n' at mapd 'm', from a thread, whose 'answer' is
    the result, or the error."""
    def run():
        try:
            thread.answer = m.client(60).call("trace", dict({
                "host": "h%d" % n, "vni": VNI, "src": "10.1.0.7",
                "dst": "10.1.0.100"}, **more))
        except RpcError as e:
            thread.answer = e.args[0]
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_any_mapd_asks_any_host():
    print("trace", flush=True)
    with Fleet() as w:
        health.make(w.all[0], hosts=(1, 2, 3))
        w.until_all(lambda m: lagging(m, 1) == [], "all are there")
        for m in w.all:
            for h in w.hosts:
                thread = traced(m, h.n, src_port=5)
                note = h.wait_note("trace", 20)
                check(note and set(note) == {
                    "id", "vni", "protocol", "src", "src_port", "dst",
                    "dst_port"} and note["src_port"] == 5,
                    "the question comes", note)
                h.send("traced", {"id": note["id"], "text": "x%d" % h.n,
                                  "more": [1]})
                thread.join(30)
                check_equal(thread.answer, {"text": "x%d" % h.n,
                                            "more": [1]}, "and its answer")
        # Many at once, in any order.
        threads = [traced(m, 3, src_port=i) for i, m in enumerate(w.all * 4)]
        notes = [w.hosts[2].wait_note("trace", 20) for _ in threads]
        for note in reversed(notes):
            w.hosts[2].send("traced", {"id": note["id"],
                                       "text": str(note["src_port"])})
        for i, thread in enumerate(threads):
            thread.join(30)
            check_equal(thread.answer, {"text": str(i)}, "each has its own")
        # What goes wrong.
        thread = traced(w.all[1], 3)
        note = w.hosts[2].wait_note("trace", 20)
        w.hosts[2].send("traced", {"id": note["id"], "error": "no port"})
        thread.join(30)
        check_equal((thread.answer["error"], thread.answer["message"]),
                    ("not-found", "host h3: no port"), "a host's refusal")
        thread = traced(w.all[1], 3)
        started = time.monotonic()
        thread.join(30)
        check_equal((thread.answer["error"], thread.answer["field"]),
                    ("timeout", "host"), "a host that does not answer")
        check(4 < time.monotonic() - started < 20, "in time")
        w.hosts[2].wait_note("trace", 20)
        thread = traced(w.all[1], 3)
        w.hosts[2].wait_note("trace", 20)
        w.hosts[2].close()
        thread.join(30)
        check_equal(thread.answer["error"], "not-found", "one that goes away")
        w.until_all(lambda m: not m.client().call(
            "list", {"kind": "host", "name": "h3"})["items"][0]["status"]
            ["connected"], "and has gone")
        thread = traced(w.all[1], 3)
        thread.join(30)
        check_equal((thread.answer["error"], thread.answer["message"]),
                    ("not-found", "host h3 is not connected"), "is told so")


def keys(w, below):
    """In etcd."""
    return sorted(k.decode()[len("/grapnel/"):] for k in
                  w.cluster.get("/grapnel/" + below))


def test_health_counts_for_the_hosts_of_all_mapds():
    print("health", flush=True)
    with Fleet() as w:
        h1, h2, h3 = w.hosts
        gid, index, _ = health.make(w.all[0], names="abcd",
                                    hosts=(1, 2, 3, 3))

        def until_sick(names, what, flags=None):
            w.until_all(lambda m: health.owners(m) == set("abcd") - names
                        and health.flagged(m) == names, what)
            until(lambda: len(keys(w, "health/")) == len(names),
                  "etcd has " + what)

        for h in w.hosts:
            h.health(all_=True)
        h1.health((gid, index["a"], False, "x"))
        h3.health((gid, index["c"], False, "y"), (gid, index["a"], True, ""))
        until_sick({"a", "c"}, "what hosts of any mapd say")
        check_equal([health.statuses(m)["c"].get("unhealthy")
                     for m in w.all], ["y"] * 3, "with its reason")
        for h in w.hosts:
            until(lambda h=h: {
                e["record"]["name"] for g in h.table.groups.values()
                for e in g["endpoints"] if e.get("healthy") is False}
                == {"a", "c"}, "hosts of any mapd know")
        h3.health((gid, index["c"], True, ""))
        until_sick({"a"}, "and when it is well")
        h3.health((gid, index["d"], False, "z"))
        until_sick({"a", "d"}, "another")

        print("  the leader goes", flush=True)
        before = health.revision(w.all[1])
        w.all[0].kill()
        h3.health((gid, index["d"], True, ""), (gid, index["c"], False, "y"))
        h2.health((gid, index["b"], False, "w"))
        del w.all[0]
        leader = w.leader()
        w.all.sort(key=lambda m: m is not leader)
        until_sick({"a", "b", "c"}, "what was said when nobody led, and "
                   "what was before")
        check(health.revision(leader) <= before + 3, "a revision for all",
              before, health.revision(leader))
        h1 = Host(w.all[1], 1)
        h1.health(all_=True)
        until_sick({"b", "c"}, "a host that comes elsewhere")

        print("  all mapds go", flush=True)
        for h in (h1, h2, h3):
            h.close()
        for m in w.mapds:
            m.kill()
        for m in w.mapds:
            m.start(60)
        w.all = list(w.mapds)
        until_sick({"b", "c"}, "what is stored")
        check_equal(health.statuses(w.all[0])["c"]["unhealthy"], "y",
                    "with its reason")
        c = w.leader().client()
        c.ops(op("remove", endpoint(VNI, "c", "h3", 2)))
        until(lambda: keys(w, "health/") == ["health/%d/%d" % (
            gid, index["b"])], "it does not outlive the endpoint")
        c.ops(op("remove", group(VNI), cascade=True))
        until(lambda: keys(w, "health/") == [], "nor the group")
        w.converge()


def peer(name):
    return {"role": "host", "who": "host:" + name, "from": "ssl:192.0.2.7:9"}


def test_the_leader_checks_rights_itself():
    print("rights of who asks by another mapd", flush=True)
    with Fleet(2) as w:
        gid, index, at = health.make(w.all[0], hosts=(1, 1, 2))
        c = w.all[0].client()

        def forwarded(method, params, peer_):
            return ("forwarded", method, [params], peer_)

        def drain(name, host_):
            return {"ops": [op("set", {"kind": "endpoint", "vni": VNI,
                                       "group": "web", "name": name,
                                       "state": "draining"})]}, peer(host_)

        for what, field, method, params, peer_ in (
                ("another host's endpoint", "op", "transact",
                 *drain("a", "h2")),
                ("another host", "name", "register", host(1), peer("h2")),
                ("all", "method", "load", {"records": []}, peer("h1")),
                ("a reader", "method", "register", host(1),
                 {"role": "reader", "who": "reader:h1"}),
                ("nobody", "certificate", "register", host(1),
                 {"role": "none", "who": "h1"})):
            c.refused(what, "denied", field,
                      *forwarded(method, params, peer_))
        for bad in ({}, {"role": "host"}, {"role": "boss"},
                    {"role": "host", "who": "admin:h1"},
                    {"role": "host", "who": "host:"}):
            c.refused("a PEER that says nothing: %s" % bad, "invalid",
                      "params", *forwarded("transact", drain("a", "h1")[0],
                                           bad))
        check_equal(health.revision(w.all[0]), at, "nothing has changed")
        with open(w.all[0].log) as f:
            denied = [line for line in f if '"result":"denied"' in line]
        check(any('"for":{"from":"ssl:192.0.2.7:9","role":"host",'
                  '"who":"host:h2"}' in line for line in denied),
              "the audit log says who has asked", denied)
        params, peer_ = drain("a", "h1")
        check_equal(c.call(*forwarded("transact", params, peer_))
                    ["revision"], at + 1, "its own it may drain")
        check_equal(c.call(*forwarded("register", host(1), peer("h1"))),
                    {"revision": at + 1}, "and register")
        check_equal(c.call(*forwarded("transact", {"ops": [add(host(9))]},
                                      {"role": "admin", "who": "uid:0"}))
                    ["revision"], at + 2, "an admin may do anything")


def test_refused_registrations_are_told_of():
    print("registrations that are refused", flush=True)
    with Fleet(2) as w:
        def problems(m):
            return [p for p in m.client().call("status")["problems"]
                    if "registration of h5" in p]
        c = w.all[1].client()
        c.refused("a VTEP that another host has", "exists", "vtep",
                  "register", host(5, vtep="192.0.2.1"))
        w.until_all(lambda m: len(problems(m)) == 1, "status tells why")
        c.call("register", host(5))
        w.until_all(lambda m: problems(m) == [], "until it is there")


def test_large_requests_on_their_way_are_bounded():
    print("large requests to a follower", flush=True)
    with Fleet(2) as w:
        clients = [w.all[1].client(60) for _ in range(4)]
        text = json.dumps({"method": "load", "id": 1, "params": [
            {"records": ["x" * 25 * 1000 * 1000]}]}).encode()
        for c in clients:       # All but the last byte, which is read soon.
            c.sock.sendall(text[:-1])
        w.all[0].process.send_signal(signal.SIGSTOP)
        for c in clients:
            c.sock.sendall(text[-1:])
        errors = []
        for c in clients:
            try:
                c.finish(1)
            except RpcError as e:
                errors.append(e.args[0]["error"])
        w.all[0].process.send_signal(signal.SIGCONT)
        check_equal(sorted(errors), ["busy", "busy", "store", "store"],
                    "so many are refused, and so many lost with the leader")


if __name__ == "__main__":
    main(test_wait_is_about_the_hosts_of_all_mapds,
         test_loads_are_added_up_over_all_mapds,
         test_hosts_hand_flows_over_between_mapds,
         test_any_mapd_asks_any_host,
         test_health_counts_for_the_hosts_of_all_mapds,
         test_the_leader_checks_rights_itself,
         test_refused_registrations_are_told_of,
         test_large_requests_on_their_way_are_bounded)
