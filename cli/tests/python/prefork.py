# Forks two workers that answer on one socket, as many servers do, and waits for them. Each request
# leaves 16 KiB behind in the worker that answers it. Says at the start what it was told by name.
import http.server
import os
import socket
import sys

told = sorted(name for name in os.environ if name.startswith(('EBBTIDE_', 'GODEBUG', 'NODE_OPT')))
print('told:', *told, flush=True)
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])), backlog=128)
kept = []


class Keeping(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers.get('Content-Length', 0)))
        kept.append(bytearray(b'x') * 16384)
        body = b'kept\n'
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


for _ in range(2):
    if os.fork() == 0:
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Keeping, False)
        server.socket = listener
        server.serve_forever()
os.wait()
