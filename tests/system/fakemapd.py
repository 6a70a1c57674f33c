"""A mapping service that talks nonsense.

    with FakeMapd(network, 'snapshot') as fake:
        ...                     # the real mapd is stopped meanwhile

To each host, known by its register request, it says one thing that must be
refused:

    snapshot  a snapshot with a slot table that does not decode
    update    a delta from an epoch that the host does not have
    garbage   bytes that are no JSON

and is otherwise sound: it answers subscriptions with the snapshot that the
real mapd gave last."""

import json
import os
import socket
import socketserver
import sys
import threading

ADDRESS = ('192.0.2.100', 6670)
VNIS = [5001, 5002]


class FakeMapd:
    def __init__(self, network, kind):
        self.network = network
        self.kind = kind
        self.lines = []

    def __enter__(self):
        from node import Helper

        self.helper = Helper(self.network.mapd_node, os.path.abspath(__file__),
                             self.kind)
        self.network.mapd.stop()
        self.helper.tell('go')
        threading.Thread(target=lambda: self.lines.extend(
            self.helper.process.stdout), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.helper.kill()
        self.network.start_mapd()
        self.network.wait_for_hosts()

    def hosts(self):
        """How many hosts have been told nonsense."""
        return len(self.lines)


class Peer:
    """JSON-RPC over a socket: messages follow each other undelimited."""

    def __init__(self, sock):
        self.sock = sock
        self.text = ''

    def send(self, **message):
        self.sock.sendall(json.dumps(message).encode())

    def receive(self):
        """The next message, or None at the end."""
        while True:
            try:
                message, end = json.JSONDecoder().raw_decode(self.text)
                self.text = self.text[end:].lstrip()
                return message
            except ValueError:
                data = self.sock.recv(1 << 16)
                if not data:
                    return None
                self.text += data.decode()


def fetch_snapshot():
    with socket.create_connection(ADDRESS, 5) as sock:
        peer = Peer(sock)
        peer.send(id=1, method='subscribe', params=[{'vnis': VNIS}])
        while True:
            message = peer.receive()
            if message.get('id') == 1 and not message.get('method'):
                return message['result']


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.peer = Peer(self.request)
        self.host = None
        while (message := self.peer.receive()) is not None:
            method = message.get('method')
            if method == 'register':
                self.host = message['params'][0]['name']
                self._reply(message, {'revision': SNAPSHOT['revision']})
            elif method == 'subscribe':
                self._subscribe(message)
            elif method == 'echo':
                self._reply(message, message['params'])

    def _reply(self, request, result):
        self.peer.send(id=request['id'], result=result, error=None)

    def _subscribe(self, request):
        first = self.host not in told
        told.add(self.host)
        if first and KIND == 'snapshot':
            group = dict(SNAPSHOT['groups'][0], slots='!!!')
            self._reply(request, dict(SNAPSHOT, groups=[group],
                                      revision=SNAPSHOT['revision'] + 5))
        elif first and KIND == 'garbage':
            self.request.sendall(b'{"id": nonsense}')
        else:
            self._reply(request, SNAPSHOT)
            if first:
                self._bad_update()
        if first:
            print(self.host, flush=True)

    def _bad_update(self):
        group = SNAPSHOT['groups'][0]
        delta = {'vni': group['record']['vni'],
                 'name': group['record']['name'], 'from_epoch': 123456,
                 'epoch': 123457, 'slots': '', 'previous': ['', ''],
                 'endpoints': [], 'endpoints_removed': []}
        self.peer.send(id=None, method='update', params=[
            {'revision': SNAPSHOT['revision'] + 1,
             'changes': [{'group_delta': delta}]}])


if __name__ == '__main__':
    KIND = sys.argv[1]
    told = set()
    SNAPSHOT = fetch_snapshot()
    print('ready', flush=True)
    sys.stdin.readline()
    Server(ADDRESS, Handler).serve_forever()
