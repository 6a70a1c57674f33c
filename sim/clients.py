"""What clients in VMs do, with real clients: new connections, a download, and
connections that are held open."""

import collections
import hashlib
import json
import math
import os
import threading
import time

import webserver
from node import Failed, Helper, run
from topology import ANYCAST, SIM

PARALLEL = 16                   # Of new connections at a time.
P_VALUE = 0.001                 # Of a spread that is still taken for chance.


def url(address, port=80, path='/'):
    host = '[%s]' % address if ':' in address else address
    return 'http://%s:%d%s' % (host, port, path)


def connect(vm, count, address=ANYCAST, port=80, source=None, max_time=15):
    """Opens 'count' new connections from 'vm', each for one HTTP request by
    curl; from address 'source' if that is given.  Returns a Counter of the
    names that answered.  Raises Failed if they did not all succeed within
    'max_time' seconds."""
    done = run(vm, ['curl', '--silent', '--show-error', '--no-progress-meter',
                    '--parallel', '--parallel-max', PARALLEL,
                    '--max-time', max_time, '--header', 'Connection: close',
                    *(['--interface', source] if source else []),
                    '--write-out', '+%{num_connects}\\n',
                    url(address, port).replace('[', '\\[')
                    .replace(']', '\\]') + '?[1-%d]' % count],
               check=False)
    answers = collections.Counter()
    opened = 0
    for line in done.stdout.split():
        if line.startswith('+'):
            opened += int(line[1:])
        else:
            answers[line] += 1
    if done.returncode or sum(answers.values()) != count or opened != count:
        raise Failed('%s: %d of %d requests answered, over %d connections: %s'
                     % (vm, sum(answers.values()), count, opened,
                        done.stderr.strip().splitlines()[:1]))
    return answers


def chi_square(observed, expected):
    """Of counts against expected counts, which sum up alike: the statistic
    and its p-value.  For an even number of degrees of freedom only,
    where the distribution has a closed form."""
    degrees = len(expected) - 1
    assert degrees % 2 == 0
    x = sum((observed[name] - mean) ** 2 / mean
            for name, mean in expected.items())
    p = math.exp(-x / 2) * sum((x / 2) ** k / math.factorial(k)
                               for k in range(degrees // 2))
    return x, p


def by_weight(answers, weights):
    """chi_square() of 'answers' by those who should have answered, {name:
    weight}.  Raises Failed if others did, or if p is below P_VALUE."""
    strange = set(answers) - set(weights)
    if strange:
        raise Failed('answers came from %s' % ', '.join(strange))
    count, total = sum(answers.values()), sum(weights.values())
    x, p = chi_square(answers, {name: count * weight / total
                                for name, weight in weights.items()})
    if p < P_VALUE:
        raise Failed('%s by weights %s: chi-square %.2f, p = %.5f'
                     % (dict(answers), weights, x, p))
    return x, p


class Holder:
    """holdclient.py in 'vm'."""

    def __init__(self, vm, count, address=ANYCAST, port=80):
        self.vm = vm
        self.helper = Helper(vm, os.path.join(SIM, 'holdclient.py'), address,
                             port, count)

    def finish(self):
        """Ends it and returns its report, a dict."""
        return json.loads(self.helper.finish())


class Opener:
    """openclient.py in 'vm': new connections all the time, 'rate' a second."""

    def __init__(self, vm, rate, address=ANYCAST, port=80):
        self.vm = vm
        self.helper = Helper(vm, os.path.join(SIM, 'openclient.py'), address,
                             port, rate)

    def finish(self):
        """Ends it and returns its connections: [when each began (by
        time.monotonic()), who answered (or None), how long it took]."""
        return json.loads(self.helper.finish())


class Download:
    """A long download by curl, checked byte for byte as it comes."""

    def __init__(self, vm, path='/download', address=ANYCAST):
        self.headers = ''
        self.bytes = 0
        self.max_stall = 0.0    # Seconds.
        self.digest = hashlib.sha256()
        self.started = threading.Event()
        self.process = vm.popen(
            ['curl', '--silent', '--show-error', '--include', '--no-buffer',
             'http://%s%s' % (address, path)])
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        if not self.started.wait(10):
            raise Failed('%s: the download does not start' % vm)

    @property
    def endpoint(self):
        return self.headers.split('X-Endpoint: ')[1].split()[0]

    def running(self):
        return self.thread.is_alive()

    def _read(self):
        pipe = self.process.stdout
        head = b''
        while not head.endswith(b'\r\n\r\n'):
            byte = pipe.read(1)
            if not byte:
                break
            head += byte
        self.headers = head.decode()
        self.started.set()
        last = time.monotonic()
        while True:
            data = pipe.read1(1 << 16)
            now = time.monotonic()
            self.max_stall = max(self.max_stall, now - last)
            last = now
            if not data:
                break
            self.digest.update(data)
            self.bytes += len(data)

    def finish(self, seconds=30):
        """Waits for the end.  Raises Failed unless every byte came."""
        self.thread.join(seconds)
        if self.running():
            raise Failed('the download is at %d bytes, not finished after '
                         '%d s' % (self.bytes, seconds))
        err = self.process.stderr.read().decode().strip()
        if self.process.wait() or self.digest.digest() != expected_digest():
            raise Failed('the download broke after %d bytes: %s'
                         % (self.bytes, err))


def expected_digest():
    digest = hashlib.sha256()
    for offset in range(0, webserver.DOWNLOAD_BYTES, webserver.CHUNK):
        digest.update(webserver.content(offset, webserver.CHUNK))
    return digest.digest()
