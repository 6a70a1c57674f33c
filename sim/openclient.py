"""New connections at a constant rate, each for one HTTP request.

    openclient.py ADDRESS PORT RATE

Prints "ready", and opens RATE connections a second until standard input ends.
Then prints one line of JSON: for each connection, in the order in which they
began, [when it began (monotonic clock, seconds), who answered (null: nobody),
seconds until the answer]."""

import asyncio
import json
import sys
import time

GIVE_UP_SECONDS = 5


async def request(address, port):
    """The body of the answer."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        answer = await reader.read()
    finally:
        writer.close()
    return answer.decode().rsplit('\r\n\r\n', 1)[1].strip() or None


async def connect(address, port, connections):
    start = time.monotonic()
    connection = [start, None, None]
    connections.append(connection)
    try:
        connection[1] = await asyncio.wait_for(request(address, port),
                                               GIVE_UP_SECONDS)
    except (OSError, EOFError, IndexError, asyncio.TimeoutError):
        pass
    connection[2] = time.monotonic() - start


async def main(address, port, rate):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    connections, tasks = [], set()
    print('ready', flush=True)
    begin = time.monotonic()
    while not stop.is_set():
        # What was missed while others had the CPU is not made up for.
        due = int((time.monotonic() - begin) * rate) + 1 - len(connections)
        begin += max(0, due - 2) / rate
        for _ in range(min(due, 2)):
            task = asyncio.create_task(connect(address, port, connections))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(0)      # It begins.
        await asyncio.sleep(1 / rate)
    await asyncio.gather(*tasks)
    print(json.dumps(connections))


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
