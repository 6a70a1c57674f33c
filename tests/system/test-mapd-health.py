#!/usr/bin/python3
"""The real grapnel-mapd, and hosts that say which of their endpoints are
well."""

import sys
sys.dont_write_bytecode = True

import importlib

from mapdworld import (
    Closed, Mapd, add, check, check_equal, endpoint, group, host, main, op)

liveness = importlib.import_module("test-liveness")

VNI = 5001
CHECKED = {"health_check": "arp"}


class Doctor(liveness.Host):
    """A host that keeps a table, and reports."""

    def health(self, *rows, all_=False):
        self.send("health", {"all": all_,
                             "endpoints": [list(row) for row in rows]})

    def wait_revision(self, revision):
        check(self.wait(lambda: self.table.revision >= revision, 10)
              is not None, "revision %d comes" % revision, self.error)


def make(mapd, names=("a", "b", "c"), hosts=(1, 1, 2), **more):
    """A group.  Returns its id, its endpoints' indexes, the revision."""
    c = mapd.client()
    result = c.ops(add(group(VNI, **dict(CHECKED, **more))),
                   *[add(endpoint(VNI, name, "h%d" % hosts[i], i))
                     for i, name in enumerate(names)])
    got = c.call("subscribe", {"vnis": [VNI]})["groups"][0]
    c.close()
    return (got["id"], {e["record"]["name"]: e["index"]
                        for e in got["endpoints"]}, result["revision"])


def statuses(mapd):
    c = mapd.client()
    items = c.call("list", {"kind": "endpoint", "vni": VNI})["items"]
    c.close()
    return {item["record"]["name"]: item["status"] for item in items}


def owners(mapd):
    return {name for name, s in statuses(mapd).items() if s["slots"]}


def flagged(mapd):
    """Endpoints that hosts are told to pass over, by a fresh snapshot."""
    c = mapd.client()
    got = c.call("subscribe", {"vnis": [VNI]})["groups"][0]["endpoints"]
    c.close()
    return {e["record"]["name"] for e in got if e.get("healthy") is False}


def revision(mapd):
    c = mapd.client()
    status = c.call("status")
    c.close()
    return status["revision"]


def problems(mapd):
    c = mapd.client()
    status = c.call("status")
    c.close()
    return [p for p in status["problems"] if "healthy" in p]


def start(**more):
    mapd = liveness.LiveMapd(0.9, allow=["receive error"])
    hosts = [Doctor(mapd, n) for n in (1, 2)]
    gid, index, at = make(mapd, **more)
    for h in hosts:
        h.wait_revision(at)
    return mapd, hosts, gid, index


def test_unhealthy_endpoints_own_no_slots_until_they_are_well():
    mapd, (h1, h2), gid, index = start()
    before = revision(mapd)
    h1.health((gid, index["a"], False, "no answer"))
    h2.wait_revision(before + 1)
    check_equal(owners(mapd), {"b", "c"}, "owners")
    check_equal(flagged(mapd), {"a"}, "flagged")
    status = statuses(mapd)["a"]
    check_equal((status["why"], status["unhealthy"]),
                ("unhealthy", "no answer"), "status")
    check_equal(problems(mapd), [
        "group 5001/web: 1 of 3 endpoints that are up is unhealthy "
        "(a: no answer)"], "problems")
    c = mapd.client()
    items = c.call("list", {"kind": "group", "vni": VNI})["items"]
    check_equal((items[0]["status"]["up"], items[0]["status"]["serving"]),
                (3, 2), "group's status")
    check("healthy" not in str(c.call("dump")).replace("health_", ""),
          "health is not in dumps")
    # The same again is no news; nor is a change of the record a cure.
    h1.health((gid, index["a"], False, "refused"))
    c.ops(op("set", endpoint(VNI, "a", "h1", 0, weight=200)))
    check_equal(statuses(mapd)["a"]["unhealthy"], "refused", "the reason")
    h2.wait_revision(before + 2)
    check_equal(revision(mapd), before + 2, "revision")
    check_equal(owners(mapd), {"b", "c"}, "owners after a change")
    h1.health((gid, index["a"], True, ""))
    h2.wait_revision(before + 3)
    check_equal(owners(mapd), {"a", "b", "c"}, "owners, cured")
    check_equal((flagged(mapd), problems(mapd)), (set(), []), "cured")
    check_equal(list(h2.table.problems()), [], "h2's table")
    mapd.stop()


def test_a_group_without_healthy_endpoints_uses_all():
    mapd, (h1, h2), gid, index = start()
    at = revision(mapd)
    h1.health((gid, index["a"], False, "x"), (gid, index["b"], False, "y"))
    h2.wait_revision(at + 1)
    check_equal(owners(mapd), {"c"}, "one is left")
    h2.health((gid, index["c"], False, "z"))
    h1.wait_revision(at + 2)
    check_equal((owners(mapd), flagged(mapd)), ({"a", "b", "c"}, set()),
                "all are used")
    check("3 of 3 endpoints that are up are unhealthy, so all are used"
          in str(problems(mapd)), "problems", problems(mapd))
    c = mapd.client()
    c.ops(op("set", group(VNI, health_check="none")))
    check_equal((problems(mapd), owners(mapd)), ([], {"a", "b", "c"}),
                "not checked any more")
    c.ops(op("set", group(VNI, health_check="arp")))
    check_equal((flagged(mapd), problems(mapd)), (set(), []),
                "what was found before is forgotten")
    h1.health((gid, index["a"], False, "x"), (gid, index["b"], False, "y"))
    h2.wait_revision(at + 5)
    check_equal(owners(mapd), {"c"}, "one is well")
    # Its host dies: then the others are all there is.
    h2.client.close()
    check(h1.wait(lambda: h1.table.revision >= at + 6, 10) is not None,
          "h2 is dead")
    check_equal(owners(mapd), {"a", "b"}, "all that are left")
    mapd.stop()


def test_a_host_speaks_for_its_own_endpoints_and_all_at_once():
    mapd, (h1, h2), gid, index = start()
    at = revision(mapd)
    h1.health((gid, index["c"], False, "not mine"), (gid, 4000, False, ""),
              (77, 1, False, ""), (gid, index["a"], False, ""))
    h2.wait_revision(at + 1)
    check_equal(owners(mapd), {"b", "c"}, "only its own")
    h2.health((gid, index["c"], False, "x"))
    h1.wait_revision(at + 2)
    # All of h1's, as after it has registered.
    h1.health((gid, index["b"], False, "y"), all_=True)
    h2.wait_revision(at + 3)
    check_equal(owners(mapd), {"a"}, "h1 says it all")
    check_equal(statuses(mapd)["a"].get("unhealthy"), None, "a is well")
    mapd.stop()


def test_mapd_restarted_keeps_its_mind_until_it_hears_more():
    mapd, (h1, h2), gid, index = start()
    at = revision(mapd)
    h1.health((gid, index["a"], False, "no answer"))
    h2.wait_revision(at + 1)
    mapd.kill()
    mapd.start()
    c = mapd.client()
    check_equal(c.call("status")["dead"], [], "no host is taken for dead")
    check_equal(owners(mapd), {"b", "c"}, "a has no slots")
    check("mapd last ran" in statuses(mapd)["a"]["unhealthy"], "it says so",
          statuses(mapd))
    h1, h2 = Doctor(mapd, 1), Doctor(mapd, 2)
    h1.health(all_=True)
    h2.wait_revision(at + 2)
    check_equal(owners(mapd), {"a", "b", "c"}, "h1 says that a is well")
    mapd.stop()


def test_an_endpoint_that_is_replaced_is_another():
    mapd, (h1, h2), gid, index = start()
    at = revision(mapd)
    h1.health((gid, index["a"], False, "x"))
    h2.wait_revision(at + 1)
    c = mapd.client()
    c.ops(op("set", endpoint(VNI, "a", "h1", 99)))
    check_equal(owners(mapd), {"a", "b", "c"}, "another MAC")
    # Refused, and so undone.
    h1.health((gid, index["b"], False, "x"))
    h2.wait_revision(at + 3)
    c.refused("a transaction with a fault", "not-found", "name", "transact",
              {"ops": [op("remove", endpoint(VNI, "b", "h1", 1)),
                       op("remove", endpoint(VNI, "nobody", "h1", 2))]})
    check_equal(owners(mapd), {"a", "c"}, "b is as it was")
    mapd.stop()


def test_health_is_forgotten_with_what_it_was_of():
    """Hosts do not check what is down, elsewhere, or in groups without a
    check; and what begins anew is well until a host says otherwise."""
    mapd, (h1, h2), gid, index = start()
    c = mapd.client()

    def make_ill():
        at = revision(mapd)
        h1.health((gid, index["a"], False, "x"))
        h2.wait_revision(at + 1)
        check_equal(owners(mapd), {"b", "c"}, "a is unwell")

    def is_well(what):
        check_equal((owners(mapd), flagged(mapd), problems(mapd)),
                    ({"a", "b", "c"}, set(), []), what)

    def put(**more):
        return op("set", endpoint(VNI, "a", more.pop("on", "h1"), 0, **more))

    for away, back, what in (
            (put(state="down"), put(state="up"), "down, and up again"),
            (put(on="h2"), put(), "elsewhere, and back"),
            (op("set", group(VNI, health_check="none")),
             op("set", group(VNI, health_check="arp")),
             "not checked, and checked again")):
        make_ill()
        # Neither what is not done nor other changes count.
        c.call("transact", {"ops": [away], "dry_run": True})
        c.refused("a transaction with a fault", "not-found", "name",
                  "transact", {"ops": [away, op("remove", endpoint(
                      VNI, "nobody", "h1", 2))]})
        c.ops(put(weight=50), op("set", group(VNI, health_rise=5)))
        check_equal((owners(mapd), flagged(mapd)), ({"b", "c"}, {"a"}),
                    "still unwell")
        c.ops(away)
        c.ops(back)
        is_well(what)
        c.ops(put(weight=100), op("set", group(VNI, health_rise=2)))
    make_ill()
    c.ops(put(state="draining"))
    check_equal(statuses(mapd)["a"]["unhealthy"], "x", "it is checked on")
    h2.wait_revision(revision(mapd))
    check_equal(list(h2.table.problems()), [], "h2's table")
    mapd.stop()


def test_what_is_not_checked_is_not_listened_to():
    mapd, (h1, h2), gid, index = start()
    c = mapd.client()
    c.ops(add(group(VNI, "checked", 101, **CHECKED)),
          *[add(endpoint(VNI, name, "h1", i, "checked"))
            for i, name in enumerate(("x", "y"))],
          op("set", group(VNI, health_check="none")))
    c.ops(op("set", endpoint(VNI, "y", "h1", 1, "checked", state="down")))
    got, = [g for g in c.call("subscribe", {"vnis": [VNI]})["groups"]
            if g["record"]["name"] == "checked"]
    x, y = [e["index"] for e in got["endpoints"]]
    at = revision(mapd)
    for healthy in (False, True, False):
        h1.health((gid, index["a"], healthy, ""), (got["id"], y, healthy, ""))
    h1.health((got["id"], x, False, ""))
    h2.wait_revision(at + 1)
    check_equal((revision(mapd), flagged(mapd)), (at + 1, set()),
                "the last is a revision, which all use that is up")
    c.ops(op("set", group(VNI, health_check="arp")),
          op("set", endpoint(VNI, "y", "h1", 1, "checked", state="up")))
    check_equal((owners(mapd), flagged(mapd)),
                ({"a", "b", "c", "y"}, {"x"}), "nor is it kept")
    mapd.stop()


def test_nonsense_and_floods_end_the_connection():
    mapd = liveness.LiveMapd(0.9, allow=['bad "health"', "receive error"])
    gid, index, _ = (Doctor(mapd, 1), Doctor(mapd, 2), make(mapd))[2]
    for bad in ({}, {"all": 1, "endpoints": []},
                {"all": True, "endpoints": [[gid, index["a"], 0, ""]]},
                {"all": True, "endpoints": [[gid, index["a"], False]]},
                {"all": True, "endpoints": [[1, 1, True, ""]] * 1001}):
        h = Doctor(mapd, 1)
        h.send("health", bad)
        check(h.wait(lambda h=h: h.error, 5) is not None, "closed", bad)
    h = Doctor(mapd, 1)
    try:
        for i in range(1000):
            h.health((gid, index["a"], bool(i % 2), ""))
    except (OSError, Closed):
        pass
    check(h.wait(lambda: h.error, 10) is not None, "a flood is closed")
    c = mapd.client()
    c.call("status")
    mapd.stop()


if __name__ == "__main__":
    main(test_unhealthy_endpoints_own_no_slots_until_they_are_well,
         test_a_group_without_healthy_endpoints_uses_all,
         test_a_host_speaks_for_its_own_endpoints_and_all_at_once,
         test_mapd_restarted_keeps_its_mind_until_it_hears_more,
         test_an_endpoint_that_is_replaced_is_another,
         test_health_is_forgotten_with_what_it_was_of,
         test_what_is_not_checked_is_not_listened_to,
         test_nonsense_and_floods_end_the_connection)
