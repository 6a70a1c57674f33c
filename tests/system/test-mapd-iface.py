#!/usr/bin/python3
"""The real grapnel-mapd, and hosts that say which ports of VMs they have:
endpoints are found by them."""

import sys
sys.dont_write_bytecode = True

import importlib
import time

from mapdworld import (
    Mapd, RpcError, Table, add, check, check_equal, endpoint, group,
    host, main, op)

liveness = importlib.import_module("test-liveness")

VNI = 5001
LONG_AGO = 2147483647
MAC = "02:00:00:00:01:%02x"


class Host:
    """'claims' are (id, MAC, age in ms)."""

    def __init__(self, mapd, n):
        self.name = "h%d" % n
        self.client = mapd.client()
        self.client.call("register", host(n))

    def claim(self, *here, gone=(), all_=False, name=None):
        return self.client.call("claim", self.param(*here, gone=gone,
                                                    all_=all_, name=name))

    def param(self, *here, gone=(), all_=False, name=None):
        return {"host": name or self.name, "all": all_,
                "here": [list(row) for row in here], "gone": list(gone)}


def until(condition, seconds=20):
    """Whether 'condition()' comes to hold."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def port(name, iface, group_="web", **more):
    return dict({"kind": "endpoint", "vni": VNI, "group": group_,
                 "name": name, "iface": iface}, **more)


QUIET = ["registered by", "send error: Broken pipe", "receive error"]


def make(mapd, *ops):
    mapd.client().ops(add(group(VNI)), *ops)


def records(mapd):
    items = mapd.client().call("list", {"kind": "endpoint",
                                        "vni": VNI})["items"]
    return {item["record"]["name"]: item for item in items}


def where(mapd):
    return {name: item["record"]["host"]
            for name, item in records(mapd).items()}


def problems(mapd):
    return [p for p in mapd.client().call("status")["problems"]
            if "endpoint" in p and "host h" not in p[:6]]


def revision(mapd):
    return mapd.client().call("status")["revision"]


def test_an_endpoint_is_where_its_port_is():
    mapd = Mapd(allow=QUIET)
    h1, h2 = Host(mapd, 1), Host(mapd, 2)
    make(mapd, add(port("w1", "vm-1")), add(port("w2", "vm-2")),
         add(endpoint(VNI, "w3", "h1", 3)))
    item = records(mapd)["w1"]
    check_equal((item["record"]["host"], item["record"]["mac"],
                 item["record"]["mac_from"], item["status"]["slots"]),
                ("", "", "iface", 0), "unbound")
    check_equal(item["status"]["why"],
                "unbound: no host has a port with its iface-id", "why")
    check_equal(problems(mapd), [
        "endpoint 5001/web/w1 is unbound: no host has a port with its "
        "iface-id (vm-1)", "endpoint 5001/web/w2 is unbound: no host has a "
        "port with its iface-id (vm-2)"], "problems")
    table = Table(mapd.client().call("subscribe", {}))
    check_equal(sorted(e["record"]["host"] for e in
                       table.groups[VNI, "web"]["endpoints"]),
                ["", "", "h1"], "hosts are told")

    before = revision(mapd)
    check_equal(h1.claim(("vm-1", MAC % 1, 10), ("vm-2", MAC % 2, 10),
                         ("other", "", 0), all_=True), {}, "the answer")
    check_equal(revision(mapd), before + 1, "one revision")
    item = records(mapd)["w1"]
    check_equal((item["record"]["host"], item["record"]["mac"],
                 item["record"]["mac_from"]), ("h1", MAC % 1, "iface"),
                "bound")
    check(item["status"]["slots"] > 0 and "why" not in item["status"],
          "and owns slots", item)
    check_equal(problems(mapd), [], "no problems")
    index = {e["record"]["name"]: e["index"] for e in
             mapd.client().call("subscribe", {})["groups"][0]["endpoints"]}

    h1.claim(gone=["vm-1"])
    check_equal(where(mapd), {"w1": "", "w2": "h1", "w3": "h1"}, "it goes")
    check_equal(records(mapd)["w1"]["record"]["mac"], MAC % 1,
                "its MAC is remembered")
    h2.claim(("vm-1", MAC % 1, 0))
    check_equal(where(mapd), {"w1": "h2", "w2": "h1", "w3": "h1"},
                "it comes elsewhere")
    now = mapd.client().call("subscribe", {})["groups"][0]["endpoints"]
    check_equal({e["record"]["name"]: e["index"] for e in now}, index,
                "and is the same one")
    table = Table(mapd.client().call("subscribe", {}))
    check_equal(list(table.problems()), [], "the slots are right")
    # What changes nothing is no revision.
    before = revision(mapd)
    h2.claim(("vm-1", MAC % 1, 60))
    h1.claim(("vm-2", MAC % 2, 80), ("other", "", 0), all_=True)
    check_equal(revision(mapd), before, "no news")
    # One that comes later finds its port at once.
    c = mapd.client()
    c.ops(add(port("w4", "other", mac=MAC % 9)))
    item = records(mapd)["w4"]["record"]
    check_equal((item["host"], item["mac"], item["mac_from"]),
                ("h1", MAC % 9, "given"), "with the MAC that was given")
    h1.claim(("other", MAC % 7, 5))
    check_equal(records(mapd)["w4"]["record"]["mac"], MAC % 9, "which counts")
    c.ops(op("set", port("w4", "other", mac="")))
    check_equal(records(mapd)["w4"]["record"]["mac"], MAC % 7,
                "until it is not given any more")
    mapd.stop()


def test_the_newest_claim_counts_and_a_conflict_is_told():
    mapd = Mapd(allow=QUIET)
    h1, h2 = Host(mapd, 1), Host(mapd, 2)
    make(mapd, add(port("w1", "vm-1")))
    h1.claim(("vm-1", MAC % 1, 60000), all_=True)
    h2.claim(("vm-1", MAC % 1, 0), all_=True)
    check_equal(where(mapd), {"w1": "h2"}, "the newest")
    check_equal(problems(mapd), [
        "endpoint 5001/web/w1: port vm-1 is at hosts h1, h2; h2, where it "
        "came last, gets the flows"], "the conflict")
    # After a restart of mapd, whoever comes first.
    mapd.kill()
    mapd.start()
    check_equal(where(mapd), {"w1": "h2"}, "it is remembered")
    h1 = Host(mapd, 1)
    h1.claim(("vm-1", MAC % 1, 61000), all_=True)
    h2 = Host(mapd, 2)
    h2.claim(("vm-1", MAC % 1, 1000), all_=True)
    check_equal(where(mapd), {"w1": "h2"}, "the newest again")
    h2.claim(gone=["vm-1"])
    check_equal((where(mapd), problems(mapd)), ({"w1": "h1"}, []), "solved")
    mapd.kill()
    mapd.start()
    # Of two that are as old, the one where it is.
    h2 = Host(mapd, 2)
    h2.claim(("vm-1", MAC % 1, LONG_AGO), all_=True)
    h1 = Host(mapd, 1)
    h1.claim(("vm-1", MAC % 1, LONG_AGO), all_=True)
    h2.claim(("vm-1", MAC % 1, LONG_AGO))
    check(where(mapd)["w1"] in ("h1", "h2"), "at one of them")
    before = revision(mapd)
    h2.claim(("vm-1", MAC % 1, LONG_AGO), all_=True)
    h1.claim(("vm-1", MAC % 1, LONG_AGO), all_=True)
    check_equal(revision(mapd), before, "and it does not go to and fro")
    mapd.stop()


def test_nobody_is_unbound_for_what_has_not_been_told():
    mapd = Mapd(allow=QUIET)
    h1 = Host(mapd, 1)
    make(mapd, add(port("w1", "vm-1")), add(port("w2", "vm-2")))
    h1.claim(("vm-1", MAC % 1, 0), ("vm-2", MAC % 2, 0), all_=True)
    mapd.kill()
    mapd.start()
    check_equal(where(mapd), {"w1": "h1", "w2": "h1"}, "without the host")
    h1 = Host(mapd, 1)
    h1.claim(("vm-1", MAC % 1, 0))
    check_equal(where(mapd), {"w1": "h1", "w2": "h1"}, "part of the truth")
    h1.claim(("vm-1", MAC % 1, 0), all_=True)
    check_equal(where(mapd), {"w1": "h1", "w2": ""}, "all of it")
    mapd.stop()


def test_a_port_that_moves_takes_its_slots_along():
    mapd = liveness.LiveMapd(20, allow=QUIET)
    h1, h2 = Host(mapd, 1), Host(mapd, 2)
    make(mapd, add(port("w1", "vm-1")), add(port("w2", "vm-2")),
         add(endpoint(VNI, "w3", "h1", 3)))
    h1.claim(("vm-1", MAC % 1, 0), ("vm-2", MAC % 2, 0), all_=True)
    h2.claim(all_=True)
    table = Table(mapd.client().call("subscribe", {}))
    slots = table.groups[VNI, "web"]["slots"]
    before = revision(mapd)
    h1.claim(gone=["vm-1", "vm-2"])
    check_equal(where(mapd), {"w1": "h1", "w2": "h1", "w3": "h1"},
                "it may come elsewhere")
    h2.claim(("vm-1", MAC % 1, 0))
    check_equal(where(mapd), {"w1": "h2", "w2": "h1", "w3": "h1"},
                "and has")
    h1.claim(("vm-2", MAC % 2, 0))
    table = Table(mapd.client().call("subscribe", {}))
    check_equal((table.groups[VNI, "web"]["slots"], table.revision),
                (slots, before + 1), "with the same slots")
    mapd.stop()
    mapd = liveness.LiveMapd(0.9, allow=QUIET)
    h1 = liveness.Host(mapd, 1)
    make(mapd, add(port("w1", "vm-1")))
    for here, gone in ([["vm-1", MAC % 1, 5]], []), ([], ["vm-1"]):
        h1.client.send({"method": "claim", "id": "claim", "params": [
            {"host": "h1", "all": True, "here": here, "gone": gone}]})
        check(until(lambda: where(mapd) == {"w1": "h1" if here else ""}),
              "after that time it is nowhere", where(mapd))
    mapd.stop()


def test_a_dead_host_keeps_what_it_had_until_it_is_elsewhere():
    mapd = liveness.LiveMapd(0.9, allow=QUIET)
    hosts = [liveness.Host(mapd, n) for n in (1, 2)]
    make(mapd, add(port("w1", "vm-1")), add(port("w2", "vm-2")))
    for h, rows in zip(hosts, ([["vm-1", MAC % 1, 5], ["vm-2", MAC % 2, 5]],
                               [])):
        h.client.send({"method": "claim", "id": "claim", "params": [
            {"host": h.name_, "all": True, "here": rows, "gone": []}]})
    check(until(lambda: where(mapd) == {"w1": "h1", "w2": "h1"}),
          "bound")
    hosts[0].client.close()
    check(until(lambda: records(mapd)["w1"]["status"].get("why")
                        == "host dead"), "dead", records(mapd)["w1"])
    check_equal((where(mapd), records(mapd)["w1"]["status"]["slots"]),
                ({"w1": "h1", "w2": "h1"}, 0), "listed, not selected")
    hosts[1].client.send({"method": "claim", "id": "claim", "params": [
        {"host": "h2", "all": False, "here": [["vm-2", MAC % 2, 0]],
         "gone": []}]})
    check(until(lambda: where(mapd) == {"w1": "h1", "w2": "h2"}),
          "started elsewhere")
    check(not [p for p in problems(mapd) if "at hosts" in p],
          "no conflict with the dead", problems(mapd))
    h1 = liveness.Host(mapd, 1)
    check(until(lambda: records(mapd)["w1"]["status"]["slots"]),
          "it is back")
    h1.client.send({"method": "claim", "id": "claim", "params": [
        {"host": "h1", "all": True, "here": [], "gone": []}]})
    check(until(lambda: where(mapd) == {"w1": "", "w2": "h2"}),
          "and has nothing")
    mapd.stop()


def test_what_cannot_be_bound_is_told_and_tried_again():
    mapd = Mapd(allow=["cannot be bound", *QUIET])
    h1 = Host(mapd, 1)
    make(mapd, add(endpoint(VNI, "w0", "h1", 1)), add(port("w1", "vm-1")),
         add(port("w2", "vm-2")))
    h1.claim(("vm-1", "02:00:00:00:00:01", 0), ("vm-2", MAC % 2, 0),
             all_=True)
    check_equal(where(mapd), {"w0": "h1", "w1": "", "w2": "h1"},
                "the others are bound")
    check_equal(problems(mapd), [
        "endpoint 5001/web/w1 cannot be bound to port vm-1: endpoint "
        "5001/web/w1: mac 02:00:00:00:00:01 is taken by endpoint "
        "5001/web/w0"], "problems")
    mapd.client().ops(op("remove", endpoint(VNI, "w0", "h1", 1)))
    check(until(lambda: where(mapd) == {"w1": "h1", "w2": "h1"}),
          "nothing in the way", where(mapd))
    check_equal(problems(mapd), [], "no problems")
    h1.claim(("vm-3", "", 0))
    mapd.client().ops(add(port("w3", "vm-3")))
    item = records(mapd)["w3"]
    check_equal((item["record"]["host"], item["status"]["slots"],
                 item["status"]["why"]),
                ("h1", 0, "unbound: its port has no attached-mac"), "no MAC")
    mapd.stop()


def test_what_operators_load_does_not_say_where_it_is():
    mapd = Mapd(allow=QUIET)
    h1 = Host(mapd, 1)
    make(mapd, add(port("w1", "vm-1")), add(port("w2", "vm-2")))
    h1.claim(("vm-1", MAC % 1, 0), ("vm-2", MAC % 2, 0), all_=True)
    c = mapd.client()
    dump = c.call("dump")
    check_equal(c.call("load", {"records": dump["records"], "prune": True})
                ["changes"], [], "a dump is what is there")
    wished = [r for r in dump["records"] if r["kind"] != "endpoint"] + [
        port("w1", "vm-1"), port("w2", "vm-2", weight=7)]
    check_equal([x["record"]["name"] for x in c.call(
        "load", {"records": wished, "prune": True})["changes"]], ["w2"],
        "a wish for what is there changes nothing")
    check_equal(c.ops(add(port("w1", "vm-1"), may_exist=True))["changes"], [],
                "may_exist")
    check_equal(where(mapd), {"w1": "h1", "w2": "h1"}, "still bound")
    result = c.ops(op("set", port("w1", "vm-1", host="h1")))
    check_equal(result.get("warnings"), [
        "5001/web/w1: host is where port vm-1 is, whatever is given"],
        "a warning")
    # Into an empty store, all is where it was.
    other = Mapd()
    other.client().call("load", {"records": dump["records"]})
    check_equal(other.client().call("dump")["records"], dump["records"],
                "the same")
    other.stop()
    # An old dump does not move what has moved.
    h2 = Host(mapd, 2)
    h1.claim(gone=["vm-1"])
    h2.claim(("vm-1", MAC % 1, 0), all_=True)
    c.call("load", {"records": dump["records"]})
    check_equal(where(mapd)["w1"], "h2", "not moved")
    # Without an iface, it stays where it is.
    c.ops(op("set", port("w1", "")))
    h2.claim(gone=["vm-1"])
    check_equal(where(mapd)["w1"], "h2", "stays")
    mapd.stop()


def test_bad_claims_are_refused():
    mapd = Mapd(allow=QUIET)
    h1, h2 = Host(mapd, 1), Host(mapd, 2)
    make(mapd, add(port("w1", "vm-1")))
    c = h1.client
    row = ("vm-1", MAC % 1, 0)
    c.refused("for another", "invalid", "host", "claim",
              h1.param(row, name="h2"))
    mapd.client().refused("without a host", "invalid", "host", "claim",
                          h1.param(row))
    c.refused("no params", "invalid", "params", "claim")
    c.refused("not an object", "invalid", "claim", "claim", [])
    c.refused("a bad id", "invalid", "here", "claim",
              h1.param(("a b", "", 0)))
    c.refused("a bad MAC", "invalid", "mac", "claim",
              h1.param(("a", "01:00:00:00:00:00", 0)))
    c.refused("too many", "invalid", "here", "claim",
              h1.param(*[("p%d" % i, "", 0) for i in range(4097)]))
    check_equal(where(mapd), {"w1": ""}, "nothing was done")
    h1.claim(*[("p%d" % i, "", 0) for i in range(4096)], all_=True)
    c.refused("one more", "busy", "here", "claim", h1.param(row))
    h2.claim(row)
    check_equal(where(mapd), {"w1": "h2"}, "another host is as before")
    # Nobody can keep mapd busy with it.
    idents = [h2.client.start("claim", h2.param(row)) for _ in range(300)]
    errors = []
    for ident in idents:
        try:
            h2.client.finish(ident)
        except RpcError as e:
            errors.append(e.args[0]["error"])
    check(len(errors) > 100 and set(errors) == {"busy"}, "too many",
          len(errors), set(errors))
    mapd.stop()


def test_many_endpoints_are_bound_together():
    mapd = Mapd(allow=QUIET)
    h1, h2 = Host(mapd, 1), Host(mapd, 2)
    n = 600
    make(mapd, *[add(port("w%d" % i, "vm-%d" % i)) for i in range(n)])
    before = revision(mapd)
    rows = [("vm-%d" % i, "02:00:00:00:%02x:%02x" % divmod(i, 256), 0)
            for i in range(n)]
    h1.claim(*rows, all_=True)
    check(until(lambda: set(where(mapd).values()) == {"h1"}),
          "all are bound")
    check(revision(mapd) - before <= 4, "in a few revisions",
          revision(mapd) - before)
    h2.claim(*rows, all_=True)
    check(until(lambda: set(where(mapd).values()) == {"h2"}),
          "all have moved")
    table = Table(mapd.client().call("subscribe", {}))
    check_equal(list(table.problems()), [], "the slots are right")
    mapd.stop()


if __name__ == "__main__":
    main(test_an_endpoint_is_where_its_port_is,
         test_the_newest_claim_counts_and_a_conflict_is_told,
         test_nobody_is_unbound_for_what_has_not_been_told,
         test_a_port_that_moves_takes_its_slots_along,
         test_a_dead_host_keeps_what_it_had_until_it_is_elsewhere,
         test_what_cannot_be_bound_is_told_and_tried_again,
         test_what_operators_load_does_not_say_where_it_is,
         test_bad_claims_are_refused,
         test_many_endpoints_are_bound_together)
