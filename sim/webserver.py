"""The web server of an endpoint VM: webserver.py NAME PORT...

Listens on all of the VM's addresses, IPv6 included.

    /            the server's name, one line; a connection is kept for further
                 requests if the client wants that (HTTP/1.1)
    /download    DOWNLOAD_BYTES of content(), slowly, until the server is told
                 to finish by SIGUSR1; then the rest as fast as it goes

Each answer has the header X-Endpoint: NAME."""

import http.server
import os
import signal
import socket
import socketserver
import sys
import threading

DOWNLOAD_BYTES = 32 << 20
CHUNK = 32 << 10
PACE_SECONDS = 0.03             # Per chunk: about 1 MB/s.

hurry = threading.Event()


def content(offset, size):
    """'size' bytes of the download from 'offset' on: 16-digit offsets."""
    first = offset // 16
    last = first + size // 16 + 2
    text = b''.join(b'%015d\n' % n for n in range(first, last))
    return text[offset % 16:offset % 16 + size]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = -1               # One segment for headers and body.
    disable_nagle_algorithm = True
    timeout = 300

    def do_GET(self):
        if self.path.startswith('/download'):
            self._download()
        else:
            self._answer((NAME + '\n').encode())

    def do_POST(self):
        """The length of what was sent."""
        size = int(self.headers['Content-Length'])
        left = size
        while left:
            left -= len(self.rfile.read(min(left, 1 << 16)))
        self._answer(b'%s got %d bytes\n' % (NAME.encode(), size))

    def _answer(self, body):
        self.send_response(200)
        self.send_header('X-Endpoint', NAME)
        self.send_header('Content-Type', 'text/plain')
        self.send_header('Content-Length', str(len(body)))
        if self.close_connection:
            self.send_header('Connection', 'close')
        self.end_headers()
        self.wfile.write(body)

    def _download(self):
        self.send_response(200)
        self.send_header('X-Endpoint', NAME)
        self.send_header('Content-Length', str(DOWNLOAD_BYTES))
        self.end_headers()
        for offset in range(0, DOWNLOAD_BYTES, CHUNK):
            self.wfile.write(content(offset, CHUNK))
            self.wfile.flush()
            hurry.wait(PACE_SECONDS)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True
    if os.path.exists('/proc/sys/net/ipv6'):
        address_family = socket.AF_INET6    # And IPv4.

    def server_bind(self):
        """Without asking for this machine's name, as http.server does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = NAME, self.server_address[1]

    def serve(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Clients may go when they like."""


if __name__ == '__main__':
    NAME = sys.argv[1]
    signal.signal(signal.SIGUSR1, lambda *_: hurry.set())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for port in sys.argv[2:]:
        Server(('', int(port)), Handler).serve()
    while True:
        signal.pause()
