"""A real grapnel-mapd that watches whether hosts are alive, and hosts."""

import re
import socket
import threading
import time

from mapdworld import (
    Client, Closed, Mapd, Table, add, endpoint, group, host)

QUIET = ["is dead", "no sign of life", "more than half", "registered by",
         "send error: Broken pipe"] # Hosts that go.


class LiveMapd(Mapd):
    def __init__(self, timeout, **more):
        self.timeout = timeout
        super().__init__(allow=QUIET + more.pop("allow", []), **more)

    def command(self, *more):
        return super().command("--host-timeout=%g" % self.timeout, *more)

    def port(self):
        with open(self.log) as f:
            return int(re.findall(r"ptcp:(\d+):", f.read())[-1])


class Host(threading.Thread):
    """A host that keeps a table, and says that it applies it."""

    def __init__(self, mapd, n, vnis=None, address=None, **more):
        super().__init__(daemon=True)
        self.name_ = "h%d" % n
        self.client = Client(address or mapd.socket)
        self.notes, self.error = [], None
        self.changed = threading.Condition()
        self.client.call("register", host(n, **more), {"version": "test"})
        self.table = Table(self.client.call(
            "subscribe", {"vnis": vnis} if vnis else {}))
        self.client.applied(self.table.revision)
        self.start()

    def run(self):
        try:
            while True:
                message = self.client.receive()
                if "method" not in message:
                    continue
                method, (param,) = message["method"], message["params"]
                with self.changed:
                    if method == "update":
                        self.table.update(param)
                        self.client.applied(self.table.revision)
                    elif method == "snapshot":
                        self.table.load(param)
                    else:
                        self.notes.append((method, param))
                    self.changed.notify_all()
        except (Closed, OSError, AssertionError) as e:
            with self.changed:
                self.error = e
                self.changed.notify_all()

    def send(self, method, param):
        self.client.send({"method": method, "params": [param], "id": None})

    def wait(self, condition, seconds):
        """Seconds until 'condition()' holds, or None."""
        start = time.monotonic()
        with self.changed:
            ok = self.changed.wait_for(condition, seconds)
        return time.monotonic() - start if ok else None

    def wait_note(self, method, seconds=2):
        """Takes the first such notification, or returns None."""
        def find():
            return [n for n in self.notes if n[0] == method]
        if self.wait(find, seconds) is None:
            return None
        note = find()[0]
        self.notes.remove(note)
        return note[1]

    def close(self):
        """As the kernel does when the switch ends."""
        self.client.sock.shutdown(socket.SHUT_RDWR)
        self.join(5)
        self.client.close()

    def vanish(self):
        """The connection stays, but nobody answers."""
        self.client.send = lambda message: None


def fill(mapd, n_hosts, **more):
    """Group 1/web with three endpoints on each of h1 to hN."""
    c = mapd.client()
    c.ops(*[add(host(i)) for i in range(1, n_hosts + 1)],
          add(group(1, slots=1024, **more)),
          *[add(endpoint(1, "e%d" % i, "h%d" % (i % n_hosts + 1), i + 1))
            for i in range(3 * n_hosts)])
    return c
