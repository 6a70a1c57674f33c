#!/usr/bin/python3
"""Several real grapnel-mapds on a real etcd, and hosts that claim ports of VMs
at any of them.

    tests/system/test-mapd-etcd-iface.py [TEST...]"""

import sys
sys.dont_write_bytecode = True

import threading

from etcdworld import World, until
from mapdworld import (
    Client, Closed, RpcError, add, check, check_equal, group, host, main)

VNI = 5001
MAC = "02:00:00:00:01:%02x"


def port(name, iface):
    return {"kind": "endpoint", "vni": VNI, "group": "web", "name": name,
            "iface": iface}


class Host(threading.Thread):
    """A host that claims what it has, and all of it again when it is asked, or
    was refused; as a switch does."""

    def __init__(self, n, mapd, *rows):
        super().__init__(daemon=True)
        self.host_name, self.rows = "h%d" % n, list(rows)
        self.client = Client(mapd.socket, 3600)
        self.wanted = 0
        until(lambda: self.attempt("register", host(n)), "a host registers")
        until(lambda: self.attempt("claim", self.param()), "and claims")
        self.start()

    def attempt(self, method, param):
        try:
            self.client.call(method, param)
            return True
        except RpcError:
            return False

    def param(self, gone=(), all_=True):
        return {"host": self.host_name, "all": all_, "gone": list(gone),
                "here": [list(row) for row in self.rows]}

    def run(self):
        try:
            while True:
                message = self.client.receive()
                if message.get("method") == "want_claims":
                    self.wanted += 1
                if (message.get("method") == "want_claims"
                        or message.get("error")):
                    self.client.start("claim", self.param())
        except (Closed, OSError):
            pass

    def move(self, *rows):
        """What it has, from now on."""
        gone = [row[0] for row in self.rows]
        self.rows = list(rows)
        self.client.start("claim", self.param(gone, all_=False))


def where(mapd):
    return {item["record"]["name"]: item["record"]["host"] for item in
            mapd.client().call("list", {"kind": "endpoint"})["items"]}


def wait_where(w, what, **expected):
    for m in w.mapds:
        if m.process.poll() is None:
            until(lambda: where(m) == expected, what)
            check_equal(where(m), expected, what)


def test_ports_are_claimed_at_any_mapd():
    print("ports are claimed at any mapd", flush=True)
    with World(3, ["--host-timeout=30"]) as w:
        leader, (one, two) = w.leader(), w.followers()
        leader.client().ops(add(group(VNI)), add(port("w1", "vm-1")),
                            add(port("w2", "vm-2")))
        h1 = Host(1, one, ("vm-1", MAC % 1, 5000))
        h2 = Host(2, two, ("vm-2", MAC % 2, 5000))
        h3 = Host(3, leader)
        wait_where(w, "bound", w1="h1", w2="h2")
        h3.move(("vm-1", MAC % 1, 0))
        wait_where(w, "moved to the leader's host", w1="h3", w2="h2")
        check("port vm-1 is at hosts h1, h3"
              in str(leader.client().call("status")["problems"]),
              "the leader tells of it")
        h3.move()
        wait_where(w, "and back", w1="h1", w2="h2")
        two.client().refused(
            "a claim for another mapd's host", "invalid", "host", "claim",
            {"host": "h1", "all": True, "here": [], "gone": []})

        leader.kill()
        new = w.leader()
        check(new is not leader, "another one leads")
        until(lambda: h1.wanted and h2.wanted, "hosts are asked again")
        new.client().ops(add({**group(VNI), "name": "dns",
                              "address": "10.1.0.101"}),
                         add({**port("d1", "vm-2"), "group": "dns"}))
        wait_where(w, "what the new leader has heard of", w1="h1", w2="h2",
                   d1="h2")
        h1.move(("vm-2", MAC % 2, 0))
        wait_where(w, "moved by way of it", w1="h1", w2="h1", d1="h1")
        h2.move()
        until(lambda: "at hosts" not in str(new.client().call("status")
                                            ["problems"]), "no conflict")


if __name__ == "__main__":
    main(test_ports_are_claimed_at_any_mapd)
