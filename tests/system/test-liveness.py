#!/usr/bin/python3
"""The real grapnel-mapd and hosts that come, go, hang and vanish; and what
hosts tell each other by way of it.

    tests/system/test-liveness.py [TEST...]"""

import signal
import subprocess
import time

from livemapd import Host, LiveMapd, fill
from mapdworld import (
    MAPD, RpcError, Table, add, check, check_equal, endpoint, group, host,
    main, op)


def owners(table, name):
    """Which slots the endpoints on host 'name' own."""
    g = table.groups[1, "web"]
    there = {e["index"] for e in g["endpoints"]
             if e["record"]["host"] == name}
    return {i for i, owner in enumerate(g["slots"]) if owner in there}


def status_of(c, name):
    item, = c.call("list", {"kind": "host", "name": name})["items"]
    return item["status"]


def check_sound(table, what):
    problems = list(table.problems())
    check(not problems, what, problems[:3])


def test_death():
    m = LiveMapd(1)
    c = fill(m, 3)
    h1, h2, h3 = (Host(m, n) for n in (1, 2, 3))
    before = list(h1.table.groups[1, "web"]["slots"])
    lost = owners(h1.table, "h2")
    revision = h1.table.revision
    check(len(lost) > 300, "a third of the slots", len(lost))

    h2.close()
    check(h1.wait(lambda: h1.table.dead, 0.8) is None,
          "not dead before its time")
    took = h1.wait(lambda: h1.table.dead, 1.2)
    check(took is not None, "dead after its time", h1.table.dead)
    check_equal(h1.table.dead, {"h2"}, "h2 is dead")
    check_equal(h1.table.revision, revision + 1, "in one update")
    g = h1.table.groups[1, "web"]
    moved = {i for i, owner in enumerate(g["slots"]) if owner != before[i]}
    check_equal(moved, lost, "just its slots move")
    check_equal([g["previous"][0][i] for i in lost], [before[i] for i in lost],
                "and it is their previous owner")
    check_sound(h1.table, "the slots are right without it")
    dead = list(g["slots"])
    status = status_of(c, "h2")
    check(not status["alive"] and not status["connected"]
          and status["alive_changed_ms_ago"] < 3000, "list says so", status)
    check(status_of(c, "h1")["alive"], "and that h1 lives")
    items = c.call("list", {"kind": "endpoint", "vni": 1})["items"]
    why = [x["status"] for x in items if x["record"]["host"] == "h2"]
    check_equal(why, 3 * [{"slots": 0, "share": 0, "why": "host dead"}],
                "its endpoints have no share")
    overview = c.call("status")
    check_equal(overview["dead"], ["h2"], "status lists it")
    check(any("h2 is dead" in p for p in overview["problems"]), "as a problem",
          overview["problems"])

    new = Host(m, 4)
    check_equal(new.table.dead, {"h2"}, "a snapshot says so")
    h1.wait(lambda: h1.table.revision >= new.table.revision, 10)
    check(new.table.same(h1.table), "and all else as the updates")
    new.close()

    h2 = Host(m, 2)
    check(h1.wait(lambda: not h1.table.dead, 1) is not None,
          "a host that comes back is alive at once")
    g = h1.table.groups[1, "web"]
    own = owners(h1.table, "h2")
    check(abs(len(own) - len(lost)) < 4, "and gets as many slots", len(own))
    check_equal({i for i, owner in enumerate(g["slots"]) if owner != dead[i]},
                own, "just these move")
    check_sound(h1.table, "the slots are right with it")
    # An update has just what has changed; a snapshot has all.
    late = Host(m, 4)
    g = late.table.groups[1, "web"]
    late.close()
    ups = {e["record"]["name"]: e["up_ms"] for e in g["endpoints"]}
    for e in g["endpoints"]:
        back = e["record"]["host"] == "h2"
        check((e["up_ms"] < 1000) == back, "up_ms counts from its return",
              e, ups)
    check(h1.wait(lambda: len(h1.table.dead) == 1, 3) is not None
          and h1.table.dead == {"h4"}, "a host without endpoints dies, too",
          h1.table.dead)

    h2.close()
    time.sleep(0.4)
    h2 = Host(m, 2)
    revision = h1.table.revision
    check(h1.wait(lambda: h1.table.revision != revision, 1.5) is None,
          "a short absence changes nothing")
    check_equal(c.call("watch", {})["revision"], revision, "nor at mapd")
    m.stop()
    m.remove()


def test_vanish():
    m = LiveMapd(3, listen=["ptcp:0"])
    fill(m, 3)
    address = ("127.0.0.1", m.port())
    h1 = Host(m, 1)
    h2, h3 = (Host(m, n, address=address) for n in (2, 3))
    h2.vanish()
    start = time.monotonic()
    took = h1.wait(lambda: h1.table.dead, 6)
    check(took is not None and 1.9 < took < 4.2, "a host that vanished is "
          "noticed within the timeout and a second", took)
    check_equal(h1.table.dead, {"h2"}, "and no other")
    check(h1.wait(lambda: h1.table.dead != {"h2"}, 3) is None,
          "hosts that answer probes live on", h1.table.dead,
          time.monotonic() - start)
    m.stop()
    m.remove()


def test_pause():
    m = LiveMapd(0.6)
    c = fill(m, 3)
    hosts = [Host(m, n) for n in (1, 2, 3)]
    for _ in range(3):
        m.process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        m.process.send_signal(signal.SIGCONT)
        time.sleep(0.3)
    check_equal(c.call("status")["dead"], [], "mapd's own pauses kill nobody")
    check(not any(h.error for h in hosts), "nor their connections")
    m.stop()
    m.remove()


def test_suspicion():
    m = LiveMapd(0.5)
    c = fill(m, 5)
    hosts = [Host(m, n) for n in range(1, 6)]
    for h in hosts[2:]:
        h.close()
    time.sleep(1.2)
    status = c.call("status")
    check_equal(status["dead"], [], "most of the hosts at once do not die")
    check(any("more than half" in p for p in status["problems"]),
          "mapd suspects itself", status["problems"])
    h3 = Host(m, 3)
    took = h3.wait(lambda: h3.table.dead == {"h4", "h5"}, 2)
    check(took is not None, "when enough are back, the others are dead",
          h3.table.dead)
    check(not any("more than half" in p for p in c.call("status")["problems"]),
          "and there is no suspicion")
    check_sound(h3.table, "the slots are right")
    h3.close()
    time.sleep(1.2)
    check_equal(c.call("status")["dead"], ["h4", "h5"],
                "no further one is marked")
    m.stop()
    m.remove()


def test_restart():
    m = LiveMapd(0.3)
    fill(m, 3)
    hosts = [Host(m, n) for n in (1, 2, 3)]
    hosts[1].close()
    check(hosts[0].wait(lambda: hosts[0].table.dead, 2) is not None,
          "h2 is dead")
    was = hosts[0].table
    m.kill()
    m.start()
    c = m.client()
    table = Table(c.call("subscribe", {}))
    check(table.same(was), "after kill -9 all is as it was", table.dead)
    up = {e["up_ms"] for e in table.groups[1, "web"]["endpoints"]
          if e["record"]["host"] != "h2"}
    check_equal(up, {2 ** 31 - 1}, "endpoints have been up for long")

    c.ops(op("set", {"kind": "endpoint", "vni": 1, "group": "web",
                     "name": "e0", "weight": 300}))
    table = Table(c.call("subscribe", {}))
    check_equal(owners(table, "h2"), set(),
                "a change gives nothing to who was dead")
    check_sound(table, "the slots are right")

    time.sleep(1)
    check_equal(c.call("status")["dead"], ["h2"],
                "hosts get ten times the time to come back")
    h1 = Host(m, 1)
    check(h1.wait(lambda: h1.table.dead == {"h2", "h3"}, 4) is not None,
          "but no more", h1.table.dead)
    hosts = [Host(m, n) for n in (2, 3)]
    check(h1.wait(lambda: not h1.table.dead, 1) is not None,
          "whoever comes is alive")
    m.timeout = 0
    hosts[0].close()
    check(h1.wait(lambda: h1.table.dead, 2) is not None, "h2 dies again")
    m.kill()
    m.start()
    c = m.client()
    deadline = time.monotonic() + 2
    while c.call("status")["dead"] and time.monotonic() < deadline:
        time.sleep(0.01)
    check_equal(c.call("status")["dead"], [], "without a timeout none is dead")
    check_sound(Table(c.call("subscribe", {})), "and all have slots")
    h2 = Host(m, 2)
    h2.close()
    time.sleep(1)
    check_equal(c.call("status")["dead"], [], "nor dies")
    m.stop()
    m.remove()


def test_register():
    m = LiveMapd(30)
    c = m.client()
    c.ops(add(host(1, region="eu", rack="r1")))
    h1 = Host(m, 1, region="", zone="z9")
    item, = c.call("list", {"kind": "host"})["items"]
    check_equal([item["record"][x] for x in ("region", "zone", "rack")],
                ["eu", "z9", "r1"], "labels that are not given stay")
    h1.client.start("register", host(1), {"version": "2"})
    time.sleep(0.3)
    item, = c.call("list", {"kind": "host"})["items"]
    check_equal(item["status"]["version"], "2", "a new version is noted")

    # One that has just come is not behind yet; one that stays behind is.
    c.ops(add(group(1)), add(endpoint(1, "e", "h1", 1)))
    time.sleep(1.2)
    h1.close()
    lazy = m.client()
    lazy.call("register", host(1))
    check_equal(c.call("status")["problems"], [], "a new host does not lag")
    time.sleep(1.3)
    check(any("h1 uses revision 0" in p
              for p in c.call("status")["problems"]), "a lazy one does",
          c.call("status")["problems"])
    m.stop()
    m.remove()


def flow(n, **more):
    return [7, 1000 + n, 80, n % 4096, "established", n % 100]


def test_handover():
    m = LiveMapd(0)
    c = fill(m, 4)
    h1, h2, h3 = Host(m, 1), Host(m, 2, vnis=[1]), Host(m, 3, vnis=[2])
    stranger = m.client()
    stranger.call("subscribe", {})

    h1.send("want_flows", {"vni": 1, "source": "2001:db8:0::5"})
    check_equal(h2.wait_note("want_flows"),
                {"vni": 1, "source": "2001:db8::5", "host": "h1"},
                "a question reaches who follows the VNI")
    check(h3.wait_note("want_flows", 0.3) is None, "not who does not")
    check(h1.wait_note("want_flows", 0) is None, "nor who asks")

    answer = {"host": "h1", "vni": 1, "source": "2001:db8::5",
              "flows": [flow(n) for n in range(1000)]}
    h3.send("flows", answer)
    h2.send("flows", dict(answer, source="2001:db8::6"))
    h2.send("flows", dict(answer, vni=2))
    h2.send("flows", dict(answer, host="h9"))
    h2.send("flows", answer)
    check_equal(h1.wait_note("flows"), answer, "and so does the answer")
    check(h1.wait_note("flows", 0.3) is None, "and nothing that was not asked")

    stranger.send({"method": "want_flows", "id": None,
                   "params": [{"vni": 1, "source": "10.0.0.1"}]})
    check(h2.wait_note("want_flows", 0.3) is None, "strangers are not heard")

    for n in range(40):
        h1.send("want_flows", {"vni": 1, "source": "10.0.0.%d" % n})
    h2.wait(lambda: len(h2.notes) > 20, 0.8)
    check(8 <= len(h2.notes) <= 20, "ten questions a second", len(h2.notes))

    for what, method, param in [
            ("no source", "want_flows", {"vni": 1}),
            ("a bad source", "want_flows", {"vni": 1, "source": "10.0.0"}),
            ("a host", "want_flows", {"vni": 1, "source": "10.0.0.1",
                                      "host": "h1"}),
            ("1001 flows", "flows", dict(answer, flows=[flow(1)] * 1001)),
            ("five members", "flows", dict(answer, flows=[flow(1)[:5]])),
            ("an endpoint", "flows", dict(answer, flows=[
                [7, 1, 2, 4096, "new", 0]])),
            ("a state", "flows", dict(answer, flows=[[7, 1, 2, 3, "N", 0]])),
            ("no id", "traced", {"text": "x"}),
            ("no text", "traced", {"id": 1}),
            ("a long text", "traced", {"id": 1, "text": "x" * 70000})]:
        h4 = Host(m, 4)
        h4.send(method, param)
        check(h4.wait(lambda: h4.error, 2) is not None,
              "ends a connection: " + what)
        h4.client.close()
    m.allow.append('bad "(want_flows|flows|traced)"')
    m.stop()
    m.remove()


def test_trace():
    m = LiveMapd(0)
    c = fill(m, 3)
    h1, h2 = Host(m, 1), Host(m, 2)
    question = {"host": "h1", "vni": 1, "protocol": "udp",
                "src": "10.1.0.7", "src_port": 5, "dst": "10.1.0.100",
                "dst_port": 53}
    first = c.start("trace", question)
    asked = h1.wait_note("trace")
    check_equal({x: asked[x] for x in asked if x != "id"},
                {x: question[x] for x in question if x != "host"},
                "a host is asked")
    h2.send("traced", {"id": asked["id"], "text": "from another"})
    h1.send("traced", {"id": asked["id"] + 1, "text": "to another"})
    h1.send("traced", {"id": asked["id"], "text": "t", "verdict": "v",
                       "slot": 3})
    check_equal(c.finish(first), {"text": "t", "verdict": "v", "slot": 3},
                "and its answer comes back")

    second = c.start("trace", question)
    h1.send("traced", {"id": h1.wait_note("trace")["id"],
                       "error": "no such group"})
    try:
        c.finish(second)
        check(False, "an error comes back")
    except RpcError as e:
        check("no such group" in e.args[0]["message"], "an error comes back",
              e.args)

    c.refused("an unknown host", "not-found", "host", "trace",
              dict(question, host="h9"))
    c.refused("an absent host", "not-found", "host", "trace",
              dict(question, host="h3"))
    c.refused("no host", "invalid", "host", "trace", {"vni": 1})
    c.refused("a bad address", "invalid", "dst", "trace",
              dict(question, dst="x"))
    c.refused("two families", "invalid", "dst", "trace",
              dict(question, dst="::5"))
    c.refused("a bad protocol", "invalid", "protocol", "trace",
              dict(question, protocol="gre"))
    start = time.monotonic()
    c.refused("no answer", "timeout", "host", "trace", question)
    took = time.monotonic() - start
    check(4.9 < took < 6.5, "after five seconds", took)
    check(h1.wait_note("trace"), "though it was asked")

    many = [c.start("trace", question) for _ in range(64)]
    other = m.client()
    check(h1.wait(lambda: len(h1.notes) == 64, 2) is not None, "64 at once")
    other.refused("too many", "busy", None, "trace", question)
    h1.close()
    for ident in many:
        try:
            c.finish(ident)
            check(False, "a host that goes away ends its traces")
        except RpcError as e:
            check(e.args[0]["error"] == "not-found", "went away", e.args)
    first = other.start("trace", dict(question, host="h2"))
    other.close()
    time.sleep(0.2)
    h2.send("traced", {"id": h2.wait_note("trace")["id"], "text": "late"})
    check(c.call("status")["revision"], "an asker that went away is no harm")
    m.stop()
    m.remove()


def test_option():
    for text, cause in [("x", "x"), ("-1", "-1"), ("3600.1", "3600"),
                        ("1s", "1s"), ("nan", "nan"), ("", "")]:
        result = subprocess.run(
            [MAPD, "--host-timeout=" + text, "--unixctl=none"],
            capture_output=True, text=True, timeout=10)
        check(result.returncode != 0 and "--host-timeout" in result.stderr
              and cause in result.stderr, "refused: " + repr(text), result)


if __name__ == '__main__':
    main(test_death, test_vanish, test_pause, test_suspicion, test_restart,
         test_register, test_handover, test_trace, test_option)
