#!/usr/bin/python3
"""The real grapnel-mapd, and a clock on the wall that is set, by hours, while
it runs: its own only.

    tests/system/test-mapd-clock.py [TEST...]"""

import shutil
import tempfile
import time

from etcdworld import World, until
from livemapd import Host, LiveMapd, fill
from mapdworld import RpcError, add, check, check_equal, host, main, op
from steppedclock import SteppedClock

HOUR = 3600
STEPS = (HOUR, -HOUR, 24 * HOUR, -400 * 24 * HOUR, 0)
TERM = 25                       # Seconds of the lease that ends.
SLACK = 10                      # For a busy machine.


def lease_op(name, client, **more):
    return op(name, dict({"kind": "lease", "vni": 0, "pool": "p",
                          "client": client}, **more))


def pool():
    return {"kind": "pool", "vni": 0, "name": "p", "first": "10.9.0.1",
            "last": "10.9.0.9"}


def leases(client):
    return {i["record"]["client"]: i for i in
            client.call("list", {"kind": "lease"})["items"]}


def time_left(client):
    """Of the lease that ends soon; 0: it has ended."""
    lease = leases(client).get("short")
    return lease["status"]["expires_in_s"] if lease else 0


def seen_by(mapd, clock):
    """Whether mapd's clock is as it was set, by when a lease is to end."""
    expires = mapd.client().ops(lease_op("renew", "probe", term=HOUR)
                                )["leases"][0]["expires"]
    return abs(expires - HOUR - clock.offset - time.time()) < SLACK


def test_hosts_and_leases():
    print("a clock that is set kills no host and ends no lease", flush=True)
    directory = tempfile.mkdtemp(prefix="test-clock.")
    clock = SteppedClock(directory)
    m = LiveMapd(1, env=clock.env, allow=["the clock was set", "timeval"])
    c = fill(m, 3)
    c.ops(add(pool()), lease_op("allocate", "probe", term=HOUR))
    hosts = [Host(m, n) for n in (1, 2, 3)]
    started = time.monotonic()
    c.ops(lease_op("allocate", "short", term=TERM),
          lease_op("allocate", "endless", term=0))
    for step in STEPS:
        clock.set(step)
        until(lambda: seen_by(m, clock), "the clock is set by %d s" % step,
              SLACK)
        until(lambda: abs(time_left(c) - (TERM - time.monotonic() + started))
              < SLACK / 2, "a lease has as long to go as before when it is "
              "set by %d s" % step, SLACK)
        status = c.call("status")
        check_equal((status["dead"], status["disconnected"],
                     status["connected"]), ([], [], 3),
                    "all hosts live when it is set by %d s" % step)
    until(lambda: "short" not in leases(c), "and then it ends",
          TERM + SLACK - (time.monotonic() - started))
    check(time.monotonic() - started >= TERM - 2, "not before its time")
    check_equal(set(leases(c)), {"probe", "endless"}, "others stay")
    check(not any(h.error for h in hosts), "no connection broke",
          [h.error for h in hosts])

    # It still sees who is dead.
    hosts[1].close()
    check(hosts[0].wait(lambda: hosts[0].table.dead == {"h2"}, SLACK)
          is not None, "and who goes is noticed")
    m.stop()
    m.remove()
    shutil.rmtree(directory)


def test_leader():
    print("nor does it cost a mapd on etcd the lead", flush=True)
    directory = tempfile.mkdtemp(prefix="test-clock.")
    clock = SteppedClock(directory)
    with World(2, env=clock.env) as w:
        leader = w.leader()
        c = leader.client()
        c.ops(add(host(1)), add(pool()),
              lease_op("allocate", "probe", term=HOUR))
        for step in STEPS:
            clock.set(step)
            until(lambda: seen_by(leader, clock),
                  "the clock is set by %d s" % step, SLACK)
            # Longer than etcd's lease.
            end = time.monotonic() + 3
            while time.monotonic() < end:
                try:
                    c.ops(op("set", {"kind": "host", "name": "h1",
                                     "rack": "r%d" % (end % 7)}))
                except RpcError as e:
                    check(False, "changes go on", step, e)
                    break
                time.sleep(0.05)
            check(w.leader() is leader, "the leader leads on")
        w.converge()
    shutil.rmtree(directory)


if __name__ == '__main__':
    main(test_hosts_and_leases, test_leader)
