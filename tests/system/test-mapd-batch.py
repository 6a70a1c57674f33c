#!/usr/bin/python3
"""The real grapnel-mapd: requests that come together, and many connections.

    tests/system/test-mapd-batch.py [TEST...]"""

import time

from mapdworld import (
    Closed, Mapd, RpcError, Table, add, check, check_equal, endpoint, group,
    host, main, op)

PEERS = 4
REQUESTS = 60                   # Of each of them, all sent before any answer.


def weight(vni, name, value):
    return op("set", {"kind": "endpoint", "vni": vni, "group": "web",
                      "name": name, "weight": value})


def world(m):
    c = m.client()
    c.ops(add(host(1)))
    for vni in range(1, PEERS + 1):
        c.ops(add(group(vni, slots=256)), add(endpoint(vni, "a", "h1", 1)))
    return c


def requests(vni):
    """(ops, options, error, changes) as if each were made alone."""
    before = 100
    for i in range(REQUESTS):
        if i % 20 == 7:
            yield [weight(vni, "a", 7), weight(vni, "x", 7)], {}, \
                "not-found", 0
        elif i % 20 == 13:
            yield [weight(vni, "a", 7)], {"if_revision": 1}, "revision", 0
        elif i % 20 == 14:
            yield [weight(vni, "a", 7)], {"dry_run": True}, None, \
                before != 7
        elif i % 20 == 15:
            yield [weight(vni, "a", before)], {}, None, 0
        else:
            yield [weight(vni, "a", 100 + i), weight(vni, "a", 200 + i)], \
                {}, None, 1
            before = 200 + i


def check_answer(client, ident, error, n_changes, last):
    """Returns the revision, and the change's weights before and after."""
    try:
        result = client.finish(ident)
    except RpcError as e:
        check_equal(e.args[0].get("error"), error, "its own error")
        return last, None
    check_equal(error, None, "a request that is wrong is refused")
    check(result["revision"] >= last, "the revision does not go back")
    check_equal(len(result["changes"]), n_changes, "its own changes")
    if not result["changes"]:
        return result["revision"], None
    change, = result["changes"]
    return result["revision"], (change["before"]["weight"],
                                change["record"]["weight"])


def test_together():
    print("requests that come together", flush=True)
    m = Mapd()
    c = world(m)
    reader = m.client()
    table = Table(reader.call("subscribe", {}))
    first = table.revision
    peers = [m.client() for _ in range(PEERS)]
    expected = [list(requests(vni)) for vni in range(1, PEERS + 1)]
    idents = [[] for _ in peers]
    for i in range(REQUESTS):
        for n, p in enumerate(peers):
            ops, options, _, _ = expected[n][i]
            idents[n].append(p.start("transact", dict(options, ops=ops)))
    last, made = 0, 0
    for n, p in enumerate(peers):
        now, revision = 100, 0
        for i in range(REQUESTS):
            _, options, error, n_changes = expected[n][i]
            revision, weights = check_answer(p, idents[n][i], error,
                                             n_changes, revision)
            if weights and "dry_run" not in options:
                check_equal(weights[0], now, "it follows the one before")
                now, made = weights[1], made + 1
        check_equal(now, 200 + REQUESTS - 1, "the last one counts")
        last = max(last, revision)
    while table.revision < last:
        table.update(reader.note()[1][0])
    print("  %d changes in %d revisions" % (made, last - first), flush=True)
    check(last - first < made, "some of them were one revision")
    check(table.same(Table(c.call("subscribe", {}))),
          "a subscriber knows the same")
    m.stop()
    m.remove()


def test_killed():
    print("kill -9 with requests under way", flush=True)
    m = Mapd()
    c = world(m)
    value, lost = 1, 0
    for _ in range(10):
        p = m.client()
        idents = [p.start("transact", {"ops": [weight(1, "a", value + i)]})
                  for i in range(200)]
        for ident in idents[:50]:
            p.finish(ident)
        m.kill()
        acknowledged = 50
        try:
            for ident in idents[50:]:
                p.finish(ident)
                acknowledged += 1
        except (Closed, OSError):
            pass
        m.start()
        c = m.client()
        table = Table(c.call("subscribe", {}))
        e, = table.groups[1, "web"]["endpoints"]
        done = e["record"]["weight"] - value + 1
        check(acknowledged <= done <= 200, "no acknowledged change is lost",
              acknowledged, done)
        check(not list(table.problems()), "the slots are consistent")
        value = 1 if value > 600 else value + 200
        lost += acknowledged < 200
    check(lost > 0, "some were killed in the middle", lost)
    m.stop()
    m.remove()


def test_connections():
    print("10,000 connections, opened and dropped", flush=True)
    m = Mapd(allow=[r"\|jsonrpc\|WARN\|", r"\|stream\w*\|WARN\|", "closing$"])
    c = world(m)
    crowd, started = [], time.monotonic()
    for i in range(10000):
        x = m.client()
        if i % 3 == 0:
            x.start("subscribe", {})
        elif i % 3 == 1:
            x.sock.sendall(b"{\"method\":")
        crowd.append(x)
        if len(crowd) == 100:
            for x in crowd:
                x.close()
            crowd = []
    check_equal(c.call("status")["hosts"], 1, "mapd goes on")
    print("  %.0f s" % (time.monotonic() - started), flush=True)
    check_equal(c.ops(weight(1, "a", 5))["changes"][0]["record"]["weight"], 5,
                "and makes changes")
    m.stop()
    m.remove()


if __name__ == '__main__':
    main(test_together, test_killed, test_connections)
