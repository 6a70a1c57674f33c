"""Connections that are held open and used all the time.

    holdclient.py ADDRESS PORT CONNECTIONS

Opens the connections, prints "ready", and exchanges an HTTP request and
response on each of them every PAUSE_SECONDS until standard input ends.  Then
prints one line of JSON:

    connections  how many were opened
    requests     responses that came
    broken       [text] for each connection that did not last
    max_stall_ms the longest that any response took
    endpoints    {NAME: connections that it served}, by the first response

A connection is broken when it ends, when a response does not come within
STALL_SECONDS, or when another endpoint answers on it."""

import asyncio
import collections
import json
import sys
import time

PAUSE_SECONDS = 0.05
STALL_SECONDS = 25          # Longer than TCP's first six repetitions.


class Connection:
    def __init__(self, address, port):
        self.address = address
        self.port = port
        self.endpoint = None
        self.requests = 0
        self.max_stall = 0.0
        self.broken = None

    async def open(self):
        self.reader, self.writer = await asyncio.wait_for(
            asyncio.open_connection(self.address, self.port), STALL_SECONDS)
        await self.exchange()

    async def run(self, stop):
        try:
            while not stop.is_set():
                await self.exchange()
                await asyncio.sleep(PAUSE_SECONDS)
            self.writer.close()
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            self.broken = '%s, from port %d: %r' % (
                self.endpoint, self.writer.get_extra_info('sockname')[1],
                error)

    async def exchange(self):
        start = time.monotonic()
        self.writer.write(b'GET / HTTP/1.1\r\nHost: %s\r\n\r\n'
                          % self.address.encode())
        body = await asyncio.wait_for(self.response(), STALL_SECONDS)
        self.max_stall = max(self.max_stall, time.monotonic() - start)
        self.requests += 1
        if self.endpoint not in (None, body):
            raise ValueError('then answered by ' + body)
        self.endpoint = body

    async def response(self):
        head = await self.reader.readuntil(b'\r\n\r\n')
        if not head.startswith(b'HTTP/1.1 200 '):
            raise ValueError(head.split(b'\r\n')[0].decode())
        length = int(head.lower().split(b'content-length:')[1].split()[0])
        return (await self.reader.readexactly(length)).decode().strip()


async def main(address, port, count):
    connections = [Connection(address, port) for _ in range(count)]
    await asyncio.gather(*(connection.open() for connection in connections))
    print('ready', flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    await asyncio.gather(*(connection.run(stop)
                           for connection in connections))
    print(json.dumps({
        'connections': count,
        'requests': sum(c.requests for c in connections),
        'broken': [c.broken for c in connections if c.broken],
        'max_stall_ms': round(1000 * max(c.max_stall for c in connections)),
        'endpoints': collections.Counter(c.endpoint for c in connections)}))


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
