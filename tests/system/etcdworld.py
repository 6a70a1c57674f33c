"""Several real grapnel-mapds on a real etcd of three members.

    with World(2) as w:
        w.leader().client().ops(...)
        w.converge()                that all of them tell the same
"""

import threading
import time

from etcdcluster import Cluster
from mapdworld import Client, Closed, Mapd, Table, check, check_equal

WITHIN = 60                     # Seconds, on a busy machine.
NOISE = ["lease", "leader", "makes no changes", "etcd", "closing", "dead",
         "no answer", "refused", "registered by", "is not at its place",
         "timeval", "Broken pipe", "Connection reset"]


def until(condition, what, seconds=WITHIN):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            check(value, what)
            return value
        time.sleep(0.02)


class World:
    """An etcd, and 'n' mapds on it, with 'options', and those that 'each'
    makes for one of them.  'quota': as of Cluster."""

    def __init__(self, n=2, options=(), env=None, quota=None, each=list):
        self.cluster = Cluster(quota=quota)
        self.cluster.start()
        self.mapds = [Mapd(target="etcd:" + self.cluster.urls, allow=NOISE,
                           options=list(options) + each(), env=env)
                      for _ in range(n)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for m in self.mapds:
            m.remove()
        self.cluster.stop()
        self.cluster.__exit__()

    def leader(self):
        """The mapd that makes changes, by the word of one that lives."""
        def find():
            for m in self.mapds:
                if m.process.poll() is None:
                    name = m.client().call("status")["leader"]
                    for other in self.mapds:
                        if (name and other.process.poll() is None
                                and name.endswith(other.socket[-40:])):
                            return other
            return None
        return until(find, "somebody makes changes")

    def followers(self):
        leader = self.leader()
        return [m for m in self.mapds if m is not leader]

    def converge(self, tables=()):
        """All mapds, and what subscribers made of their updates, are the
        same."""
        def dumps():
            return [m.client().call("dump") for m in self.mapds]
        until(lambda: all(d == dumps()[0] for d in dumps()),
              "all mapds have the same records")
        fresh = [Table(m.client().call("subscribe", {})) for m in self.mapds]
        for table in fresh:
            check(table.same(fresh[0]), "all tell the same slots and numbers")
            check_equal(list(table.problems()), [], "which are right")
        for subscriber in tables:
            until(lambda: subscriber.table.revision >= fresh[0].revision,
                  "a subscriber has got as far")
            check(subscriber.table.same(fresh[0]),
                  "and has the same table by its updates")
        return fresh[0]


    def agree(self):
        """As converge(), without a look into the tables, for large ones."""
        def told(m):
            snapshot = m.client(300).call("subscribe", {})
            for g in snapshot["groups"]:
                for e in g["endpoints"]:
                    del e["up_ms"]
            return snapshot
        until(lambda: len({m.client(300).call("status")["revision"]
                           for m in self.mapds}) == 1, "all get as far")
        first = told(self.mapds[0])
        check(all(told(m) == first for m in self.mapds[1:]),
              "all tell the same")


class Subscriber(threading.Thread):
    """Takes in snapshots and updates of any of 'mapds', and goes to the next
    one when that dies."""

    def __init__(self, mapds):
        super().__init__(daemon=True)
        self.mapds, self.table, self.error = mapds, None, None
        self.over = False
        self.n_connected = 0
        self.n_back = 0         # How often it was told less than before.
        self.start()
        until(lambda: self.table, "a subscriber has a table")

    def run(self):
        n = 0
        while not self.over:
            try:
                client = Client(self.mapds[n % len(self.mapds)].socket, 3600)
                table = Table(client.call("subscribe", {}))
                self.n_connected += 1
                self.n_back += (self.table is not None and not (
                    table.revision > self.table.revision
                    or table.same(self.table)))
                self.table = table
                while not self.over:
                    method, params = client.note()
                    if method == "update":
                        self.table.update(params[0])
                    elif method == "snapshot":
                        self.table.load(params[0])
            except (OSError, Closed):
                n += 1
                time.sleep(0.05)
            except AssertionError as e:
                if str(e) != "a gap":
                    self.error = repr(e)
                    raise
