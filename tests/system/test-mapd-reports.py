#!/usr/bin/python3
"""The real grapnel-mapd, and what hosts report to it of endpoints."""

import sys
sys.dont_write_bytecode = True

import time

from mapdworld import (
    Client, Closed, Mapd, add, check, check_equal, endpoint, group, host,
    main)

VNI = 5001


class Reporter:
    """A host."""

    def __init__(self, mapd, n):
        self.client = Client(mapd.socket)
        self.client.call("register", host(n))

    def report(self, *rows):
        self.tell("report", {"loads": [list(row) for row in rows]})

    def tell(self, method, param):
        self.client.send({"method": method, "params": [param], "id": None})
        self.client.call("echo")    # By now it has been read.


def make(mapd, n_endpoints=2, **more):
    """A group.  Returns its id, and its endpoints' indexes by name."""
    c = mapd.client()
    names = ["e%d" % i for i in range(n_endpoints)]
    c.ops(add(group(VNI, **more)), *[
        add(endpoint(VNI, name, "h%d" % (i % 2 + 1), i))
        for i, name in enumerate(names)])
    groups = c.call("subscribe", {"vnis": [VNI]})["groups"]
    c.close()
    return groups[0]["id"], {e["record"]["name"]: e["index"]
                             for e in groups[0]["endpoints"]}


def statuses(mapd):
    c = mapd.client()
    items = c.call("list", {"kind": "endpoint", "vni": VNI})["items"]
    c.close()
    return {item["record"]["name"]: item["status"] for item in items}


def loads(mapd):
    return {name: (status.get("flows"), status.get("response_us"))
            for name, status in statuses(mapd).items()}


def test_loads_are_added_up_over_hosts():
    mapd = Mapd()
    h1, h2 = Reporter(mapd, 1), Reporter(mapd, 2)
    gid, index = make(mapd)
    check_equal(loads(mapd), {"e0": (None, None), "e1": (None, None)},
                "nothing is known")
    h1.report((gid, index["e0"], 9, 1000), (gid, index["e1"], 4, 0))
    h2.report((gid, index["e0"], 29, 2000))
    # 10 parts of 1000, 30 of 2000.
    check_equal(loads(mapd), {"e0": (38, 1750), "e1": (4, None)}, "sums")
    h1.report((gid, index["e0"], 19, 1000), (gid, index["e1"], 0, 0))
    check_equal(loads(mapd), {"e0": (48, 1600), "e1": (None, None)},
                "what has changed")
    h2.client.close()
    deadline = time.monotonic() + 10
    while loads(mapd)["e0"] != (19, 1000) and time.monotonic() < deadline:
        time.sleep(0.05)
    check_equal(loads(mapd)["e0"], (19, 1000), "h2 has gone")
    mapd.stop()


def test_bad_reports_end_the_connection():
    mapd = Mapd(allow=["bad \"report\""])
    gid, index = 1, 0
    for bad in ({}, {"loads": 1}, {"loads": [[gid, index, 1]]},
                {"loads": [[gid, index, -1, 0]]},
                {"loads": [[gid, 4096, 1, 0]]}, {"loads": [], "x": 1},
                {"loads": [[1, 1, 1, 1]] * 1001}):
        h1 = Reporter(mapd, 1)
        try:
            h1.tell("report", bad)
            check(False, "taken", bad)
        except (Closed, OSError):
            pass
    mapd.stop()


def test_floods_and_strangers_are_not_heard():
    mapd = Mapd()
    h1, h2 = Reporter(mapd, 1), Reporter(mapd, 2)
    gid, index = make(mapd)
    c = mapd.client()
    c.send({"method": "report", "id": None,
            "params": [{"loads": [[gid, index["e0"], 5, 5]]}]})
    c.call("echo")
    check_equal(loads(mapd)["e0"], (None, None), "a stranger's")
    for i in range(200):
        h1.report((gid, index["e0"], i + 1, 0))
    flows = loads(mapd)["e0"][0]
    check(20 <= flows < 100, "a flood is cut", flows)
    # More endpoints than a host may speak of, in fewer messages than it may
    # send at a time.
    rows = [(1 + n // 4096, n % 4096, 1, 0) for n in range(1000)]
    h2.report(*rows)
    check(loads(mapd)["e0"][0] in (flows, flows + 1), "the rest is unharmed")
    mapd.stop()


if __name__ == "__main__":
    main(test_loads_are_added_up_over_hosts,
         test_bad_reports_end_the_connection,
         test_floods_and_strangers_are_not_heard)
