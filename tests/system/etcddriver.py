"""The etcd client in a process of its own (tests/etcd/etcd-driver.c)."""

import base64
import ctypes
import json
import os
import signal
import subprocess
import threading
import time

from etcdcluster import ROOT

PROGRAM = os.path.join(ROOT, os.environ.get("B", "build"), "tests", "etcd",
                       "etcd-driver")
CREATE, MOD, LEASE = 0, 1, 2    # enum etcd_target
PUT, DELETE, DELETE_PREFIX = 0, 1, 2 # enum etcd_op_type
REPLY_SECONDS = 40
_libc = ctypes.CDLL(None)


def encode(data):
    return base64.b64encode(data.encode() if isinstance(data, str)
                            else data).decode()


def put(key, value, leased=False):
    return [PUT, encode(key), encode(value), leased]


def delete(key, prefix=False):
    return [DELETE_PREFIX if prefix else DELETE, encode(key), "", False]


def values(answer):
    """{key: value} of the reply to a range."""
    return {k: p[0] for k, p in answer["pairs"].items()}


class Driver:
    def __init__(self, urls, **options):
        self.process = subprocess.Popen(
            [PROGRAM, json.dumps(dict(options, urls=urls))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: _libc.prctl(1, signal.SIGKILL))
        self.condition = threading.Condition()
        self.replies = []
        self.events = []        # (revision, [(key, value, deleted)...])
        self.states = []        # (time, state, revision given out)
        self.lost = False
        self.ended = False
        self.log = []
        for target in (self._read, self._read_log):
            threading.Thread(target=target, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _take(self, message):
        if "reply" in message:
            self.replies.append(message)
        elif "state" in message:
            self.states.append((time.monotonic(), message["state"],
                                message["at"]))
        elif "lost" in message:
            self.lost = True
        else:
            self.events.append((message["revision"], [
                (base64.b64decode(e[0]), base64.b64decode(e[1]), e[5])
                for e in message["events"]]))

    def _read(self):
        for line in self.process.stdout:
            with self.condition:
                self._take(json.loads(line))
                self.condition.notify_all()
        with self.condition:
            self.ended = True
            self.condition.notify_all()

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line.rstrip())

    def send(self, *command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def wait(self, condition, what, seconds=REPLY_SECONDS):
        """Waits until condition() holds."""
        with self.condition:
            if not self.condition.wait_for(
                    lambda: condition() or self.ended, seconds):
                raise TimeoutError("%s: not within %d s; %s, %d events, %s"
                                   % (what, seconds, self.states[-5:],
                                      len(self.events), self.log[-5:]))
            if not condition():
                raise RuntimeError("%s: the driver ended: %s"
                                   % (what, self.log[-5:]))

    def reply(self):
        self.wait(lambda: self.replies, "a reply")
        with self.condition:
            return self.replies.pop(0)

    def call(self, *command):
        self.send(*command)
        return self.reply()

    def range(self, prefix="", timeout=20000, revision=0, pairs=True):
        """The reply, with "pairs" as {key: (value, create, mod, lease)}."""
        answer = self.call("range", encode(prefix), timeout, revision, pairs)
        if "pairs" in answer:
            answer["keys"] = [base64.b64decode(p[0])
                              for p in answer["pairs"]]
            answer["pairs"] = {
                base64.b64decode(p[0]): (base64.b64decode(p[1]),) + tuple(
                    p[2:]) for p in answer["pairs"]}
        return answer

    def txn(self, *ops, compare=(), timeout=5000):
        return self.call("txn", timeout,
                         [[encode(c[0]), c[1], c[2]] for c in compare],
                         list(ops))

    def sure_txn(self, *ops):
        """A transaction that may well be done twice, until it is done."""
        while True:
            answer = self.txn(*ops)
            if not answer["error"]:
                return answer
            if answer["error"] not in ("ETIMEDOUT", "EAGAIN"):
                raise RuntimeError(repr(answer))

    def watch(self, prefix="", start=1, slowly=False):
        self.call("watch", encode(prefix), start, slowly)

    def state(self):
        return self.states[-1][1] if self.states else "silent"

    def wait_state(self, state, seconds=REPLY_SECONDS):
        self.wait(lambda: self.state() == state, "watch is " + state, seconds)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        """Ends it; raises if that was no clean end."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        status = self.process.returncode
        if status not in (0, -signal.SIGKILL):
            raise RuntimeError("the driver ended with %d: %s"
                               % (status, self.log[-20:]))
