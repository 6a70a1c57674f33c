#!/usr/bin/python3
"""From one machine's file to a real etcd and back: hosts see no difference.

    tests/system/test-store-copy.py [TEST...]"""

import os
import subprocess
import tempfile

from etcdcluster import Cluster
from etcdworld import NOISE, until
from mapdworld import (
    MAPD, Mapd, Table, add, check, check_equal, endpoint, group, host, main,
    op)

GROUPS = 150                    # Too much for one transaction of etcd.
ILL = 8000                      # A VNI.
PREFIX = "--etcd-prefix=/moved/"


def copy(to, source, *options):
    """Returns the status, standard output and the errors."""
    done = subprocess.run(
        [MAPD, "--store=" + to, "--copy-from=" + source, "-vconsole:off",
         "-vsyslog:off", *options], capture_output=True, text=True,
        timeout=60)
    return done.returncode, done.stdout, done.stderr


def copied(what, to, source, text, *options):
    status, output, errors = copy(to, source, *options)
    check_equal((status, errors), (0, ""), what)
    check(text in output, "it says what", output)


def refused(what, to, source, text, *options):
    status, output, errors = copy(to, source, *options)
    check(status == 1 and text in errors and not output, what, errors)


def fill(mapd):
    """Records of all sorts, with a past: slots have had other owners."""
    client = mapd.client()
    client.ops(*[add(host(n)) for n in range(1, 5)])
    client.ops(*[add(group(n, slots=4096)) for n in range(1, GROUPS + 1)])
    client.ops(*[add(endpoint(n, "w%d" % i, "h%d" % i, i))
                 for n in range(1, GROUPS + 1) for i in range(1, 4)])
    client.ops(*[op("remove", group(n), cascade=True) for n in (2, 3)])
    client.ops(add(endpoint(1, "w4", "h4", 4)))
    client.ops(op("set", {"kind": "endpoint", "vni": 1, "group": "web",
                          "name": "w1", "state": "draining"}))
    client.ops(op("remove", endpoint(4, "w2", "h2", 2)))
    client.ops(add({"kind": "pool", "vni": 0, "name": "public",
                    "first": "198.51.100.1", "last": "198.51.100.15"}),
               add({"kind": "workload", "vni": 7, "name": "vm",
                    "mac": "02:00:00:00:07:01", "address": "10.7.0.1",
                    "host": "h1"}))


def says(client, group_, *rows):
    """Host h1, on the health of its endpoints: of all, but for 'rows'."""
    client.send({"method": "health", "id": None, "params": [
        {"all": True, "endpoints": [[group_["id"], *row] for row in rows]}]})


def why(mapd):
    item, = mapd.client().call("list", {
        "kind": "endpoint", "vni": ILL, "name": "w1"})["items"]
    return item["status"].get("why")


def make_ill(mapd):
    """One endpoint is unwell, when there is no mapd any more to say so to."""
    client = mapd.client()
    client.ops(add(group(ILL, health_check="icmp",
                         health_source="10.1.0.254")),
               *[add(endpoint(ILL, "w%d" % i, "h%d" % i, i))
                 for i in (1, 2)])
    group_, = client.call("subscribe", {"vnis": [ILL]})["groups"]
    host1 = mapd.client()
    host1.call("register", host(1))
    says(host1, group_, (0, False, "no answer"))
    until(lambda: why(mapd) == "unhealthy", "an endpoint is unwell")
    return group_


def told(mapd):
    client = mapd.client()
    return (client.call("dump"), Table(client.call("subscribe", {})))


def check_same(mapd, before, what):
    dump, table = told(mapd)
    check_equal(dump, before[0], what + ": the same records and revision")
    check_equal(table.key, before[1].key, what + ": the same hash key")
    check(table.same(before[1]), what + ": the same numbers and slots")


def test_there_and_back():
    print("a store moves to etcd and back", flush=True)
    with Cluster() as cluster, tempfile.TemporaryDirectory() as directory:
        cluster.start()
        etcd = "etcd:" + cluster.urls
        first = Mapd(allow=NOISE)
        fill(first)
        group_ = make_ill(first)
        before = told(first)
        first.stop()
        copied("from a file to etcd", etcd, "sqlite:" + first.store,
               "4 hosts, %d groups, %d endpoints, 2 other records"
               % (GROUPS - 1, 3 * (GROUPS - 2) + 2), PREFIX)
        second = Mapd(target=etcd, allow=NOISE, options=[PREFIX])
        until(lambda: second.client().call("status")["leader"],
              "mapd leads there")
        check_same(second, before, "in etcd")
        first.start()
        check_same(first, before, "and still in the file")
        for mapd in first, second:
            mapd.client().ops(add(group(9000)),
                              add(endpoint(9000, "w1", "h1", 1)))
        check(told(second)[1].same(told(first)[1]),
              "the next change has the same effect in both")
        check_equal(why(second), "unhealthy", "what was unwell is")
        host1 = second.client()
        host1.call("register", host(1))
        says(host1, group_)
        until(lambda: why(second) is None, "until its host says more")
        before = told(second)
        second.stop()
        first.stop()
        back = os.path.join(directory, "new", "grapnel.db")
        until(lambda: not copy("sqlite:" + back, etcd, PREFIX)[0],
              "from etcd to a new file, once its lead has ended")
        third = Mapd(target="sqlite:" + back)
        check_same(third, before, "in the new file")
        third.stop()


def test_refusals():
    print("what is in use, or not there, is left alone", flush=True)
    with Cluster(1) as cluster, tempfile.TemporaryDirectory() as directory:
        cluster.start()
        etcd = "etcd:" + cluster.urls
        source = Mapd()
        fill(source)
        target = "sqlite:" + source.store
        refused("a file that a mapd uses", etcd, target,
                "in use by another process")
        check_equal(cluster.get(), {}, "then etcd is left alone")
        missing = os.path.join(directory, "none.db")
        refused("a file that is not there", etcd, "sqlite:" + missing,
                "No such file")
        check(not os.path.exists(missing), "is not made")
        refused("no store in etcd", "sqlite:" + missing, etcd,
                "no store below /grapnel/")
        check(not os.path.exists(missing) and not cluster.get(),
              "is not made either")
        source.stop()
        refused("a store of another sort", "mysql:x", target, "sqlite or etcd")
        user = Mapd(target=etcd, allow=NOISE)
        until(lambda: user.client().call("status")["leader"], "another mapd")
        refused("an etcd that a mapd uses", etcd, target, "uses it")
        user.client().ops(add(host(9)))
        before = user.client().call("dump")
        user.stop()
        until(lambda: "already in use" in copy(etcd, target)[2],
              "an etcd that was used")
        check_equal(cluster.get("/grapnel/record/").keys(),
                    {b"/grapnel/record/host/h9"}, "keeps what it had")
        copied("elsewhere there is room", etcd, target, "4 hosts",
               "--etcd-prefix=/other/")
        user.start()
        check_equal(user.client().call("dump"), before, "it can go on")
        user.stop()


if __name__ == "__main__":
    main(test_there_and_back, test_refusals)
