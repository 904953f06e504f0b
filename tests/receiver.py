"""An HTTP server on loopback that keeps what it has answered with 2xx, and answers by script.

    with Receiver() as receiver:
        receiver.script(Reply(503, {"Retry-After": "1"}), Reply(200, store=False), ...)
        receiver.always(429)              # after the script; always(200) from the start
        receiver.rule = function          # of a Request: a Reply, or None for the script
        receiver.down(); receiver.up()    # on the same port

A repeat of a key (Idempotency-Key) that was kept is answered 200 and not kept again; `repeats`
counts them. The same key with another body is a mistake of the sender: see `mistakes`."""

import collections
import contextlib
import gzip
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time

import inlet
from faulty_proxy import reset


class Reply:
    """`store`: None for "if 2xx"; hang_up: keep it, perhaps, but close instead of answering."""

    def __init__(self, status=200, headers=None, body=b"", store=None, hang_up=False, delay_s=0):
        self.status, self.headers, self.body = status, headers or {}, body
        self.store = status // 100 == 2 if store is None else store
        self.hang_up, self.delay_s = hang_up, delay_s


class Request:
    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.at = time.monotonic()
        self.status = None

    @property
    def key(self):
        return self.headers.get("idempotency-key")

    def text(self):
        """The body without its compression."""
        coding = self.headers.get("content-encoding")
        if coding == "gzip":
            return gzip.decompress(self.body)
        if coding == "zstd":
            return subprocess.run(["zstd", "-dcq"], input=self.body, check=True,
                                  stdout=subprocess.PIPE).stdout
        return self.body

    def events(self):
        """Its lines, or the elements of its array, read as JSON."""
        text = self.text()
        if text.startswith(b"["):
            return json.loads(text)
        return [json.loads(line) for line in text.splitlines()]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        length = int(self.headers.get("Content-Length", -1))
        body = self.rfile.read(max(length, 0))
        if len(body) != length:  # It broke off.
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.owner.react(Request(self.command, self.path, headers, body))
        if reply.hang_up:
            self.close_connection = True
            reset(self.connection)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_PUT = do_POST

    def handle(self):
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self):
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, owner, port, context):
        self.owner = owner
        self.living = set()
        self.context = context
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request_thread(self, request, client_address):
        self.living.add(request)
        try:
            if self.context is not None:
                request.settimeout(10)
                wrapped = self.context.wrap_socket(request, server_side=True)
                self.living.discard(request)
                self.living.add(request := wrapped)
            self.finish_request(request, client_address)
        except OSError:
            pass
        finally:
            self.living.discard(request)
            self.shutdown_request(request)

    def hang_up(self):
        for request in list(self.living):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class Receiver:
    def __init__(self, certificate=None):
        """certificate: the path of a PEM file with certificate and key, for TLS."""
        self.context = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.port = inlet.free_port()
        self.lock = threading.Lock()
        self.replies = collections.deque()
        self.default = Reply()
        self.rule = None
        self.requests = []  # All, in order of arrival.
        self.kept = []      # Those kept.
        self.bodies = {}    # Of those kept, by key.
        self.repeats = 0
        self.mistakes = []
        self.server = None
        self.up()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    def url(self, path="/", scheme=None):
        return f"{scheme or ('https' if self.context else 'http')}://127.0.0.1:{self.port}{path}"

    # ---- What it does.

    def script(self, *replies):
        with self.lock:
            self.replies.extend(replies)

    def always(self, status, headers=None, **more):
        with self.lock:
            self.replies.clear()
            self.default = Reply(status, headers, **more)

    def down(self):
        if self.server is None:
            return
        server, self.server = self.server, None
        server.shutdown()
        server.server_close()
        server.hang_up()
        self.thread.join()

    def up(self):
        assert self.server is None
        self.server = _Server(self, self.port, self.context)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def react(self, request):
        with self.lock:
            self.requests.append(request)
            reply = self.rule(request) if self.rule else None
            if reply is None:
                reply = self.replies.popleft() if self.replies else self.default
            request.status = 0 if reply.hang_up else reply.status
            if reply.store:
                self._keep(request)
        if reply.delay_s:
            time.sleep(reply.delay_s)
        return reply

    def _keep(self, request):
        body = self.bodies.get(request.key)
        if body is None:
            self.kept.append(request)
            if request.key is not None:
                self.bodies[request.key] = request.body
            return
        self.repeats += 1
        if body != request.body:
            self.mistakes.append(f"the key {request.key} came with two bodies")

    # ---- What it has.

    def events(self, path=None):
        """Every event kept, in order of arrival; of one path."""
        with self.lock:
            kept = [r for r in self.kept if path in (None, r.path)]
        return [event for request in kept for event in request.events()]

    def asked(self):
        with self.lock:
            return len(self.requests)
