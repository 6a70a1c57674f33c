#!/usr/bin/python3
"""The real grapnel-mapd: its methods, their errors, and what it finds wrong.

    tests/system/test-mapd-methods.py [TEST...]"""

import os
import re
import time

from mapdworld import (
    Client, Closed, Mapd, RpcError, add, check, check_equal, endpoint, group,
    host, main, op)

def test_methods():
    print("methods and their errors", flush=True)
    m = Mapd(allow=["host h1: registered by"])
    c = m.client()

    status = c.call("status")
    check_equal({k: status[k] for k in ("revision", "store", "groups",
                                        "hosts", "endpoints", "connected",
                                        "lagging")},
                {"revision": 0, "store": m.target or "sqlite:" + m.store,
                 "groups": 0,
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
                 "port_last": 0, "algorithm": "weighted", "affinity": "flow",
                 "affinity_timeout": 10800, "ramp": 0, "distance": "labels",
                 "on_host_death": "keep", "when_empty": "drop",
                 "quic_id_offset": 0, "quic_id_length": 0, "slots": 1024,
                 "health_check": "none", "health_interval": 2000,
                 "health_timeout": 1000, "health_rise": 2, "health_fall": 3,
                 "health_port": 0, "health_status": 200, "health_path": "/",
                 "health_source": ""},
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
    refused("a multicast address", "invalid", "address",
            add(dict(group(7), address="ff02::1")))
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


def lose_store(m, c):
    os.rename(m.store, m.store + ".aside")
    error = c.refused("a change to a lost store", "store", "store",
                      "transact", {"ops": [add(host(2))]})
    check("moved away" in error["message"] and "dump" in error["hint"],
          "what happened, and what to do", error)
    check("moved away" in c.call("status")["problems"][0],
          "it is a problem, too")
    os.rename(m.store + ".aside", m.store)


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

    if not m.target:
        lose_store(m, c)
    c.ops(add(host(2)))
    m.stop()
    m.remove()


def problems(client, start):
    return [p for p in client.call("status")["problems"]
            if p.startswith(start)]


def tcp_port(m):
    """Where it listens, besides its Unix socket."""
    for _ in range(400):
        with open(m.log) as f:
            port = re.search(r"ptcp:(\d+):127.0.0.1: listening", f.read())
        if port:
            return int(port.group(1))
        time.sleep(0.005)
    raise SystemExit("grapnel-mapd does not listen: see " + m.log)


def test_registrations():
    print("registrations that are refused, names claimed twice", flush=True)
    m = Mapd(listen=["ptcp:0"], allow=["host h1: registered by"])
    c, local = m.client(), m.client()
    remote = Client(("127.0.0.1", tcp_port(m)))
    c.ops(add(host(1)))
    for vtep in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255",
                 "169.254.7.7", "::", "::1", "ff02::1", "fe80::1"):
        remote.refused("vtep " + vtep, "invalid", "vtep", "register",
                       dict(host(2), vtep=vtep))
    for i in range(3):
        local.refused("h1's vtep", "exists", "vtep", "register",
                      dict(host(3), vtep="192.0.2.1"))
    got = problems(c, "registration ")
    check(len(got) == 2
          and got[0].startswith("registration of h2 from tcp:127.0.0.1 was "
                                "refused, 9 times, the last ")
          and "fe80::1 is a link-local address" in got[0]
          and "h3 from a local socket was refused, 3 times" in got[1],
          "refusals are counted by host", got)

    remote.call("register", host(2))
    got = problems(c, "registration ")
    check(len(got) == 1 and "h3" in got[0], "one that was mended is no more",
          got)
    for i in range(30):
        remote.refused("nonsense", "invalid", "vtep", "register",
                       dict(host(100 + i), vtep="::"))
    got = problems(c, "registration ")
    check(len(got) == 16 and any("h129 " in p for p in got)
          and not any("h3 " in p for p in got), "they are bounded", got)
    remote.refused("no record", "invalid", "params", "register", {}, {}, {})
    local.refused("a hostile name", "invalid", "name", "register",
                  dict(host(1), name="a\x1b[2J"))
    got = problems(c, "registration ")
    check(sum(p.startswith("registration from ") for p in got) == 2
          and not any("\x1b" in p for p in got), "a name that is none", got)

    local.call("register", host(1))
    check_equal(problems(c, "name "), [], "one machine may come again")
    for i in range(2):
        remote.call("register", host(1))
        local = m.client()
        local.call("register", host(1))
        remote = Client(("127.0.0.1", tcp_port(m)))
    got = problems(c, "name ")
    check(len(got) == 1 and got[0].startswith(
        "name h1 is claimed by two switches, at a local socket and at "
        "tcp:127.0.0.1; 4 times, the last "), "two machines, one name", got)
    m.stop()
    m.remove()


def test_families():
    print("VTEPs of both IP versions", flush=True)
    m = Mapd()
    c = m.client()
    c.ops(*[add(host(i)) for i in range(1, 7)])
    check_equal(problems(c, "VTEPs"), [], "all are IPv4")
    c.ops(add(dict(host(7), vtep="2001:db8::7")))
    got = problems(c, "VTEPs")
    check(len(got) == 1 and "IPv4 on 6 (h1, h2, h3, h4, ...), IPv6 on 1 (h7)"
          in got[0], "one is IPv6", got)
    c.ops(*[op("remove", host(i)) for i in range(1, 7)])
    check_equal(problems(c, "VTEPs"), [], "all are IPv6")
    m.stop()
    m.remove()


if __name__ == '__main__':
    main(test_methods, test_problems, test_registrations, test_families)
