"""A client that sends exactly the bytes it is told to, and reads answers one by one."""

import json
import select
import socket
import time

PATIENCE_S = 10


class Answer:
    """One answer as it came: status, fields by lower-case name, body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode()

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r}>"


class Wire:
    """One connection. read() returns None once the peer has closed in order between answers."""

    def __init__(self, address, timeout_s=PATIENCE_S, source=None):
        self.socket = socket.create_connection(address, timeout_s, source_address=source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout_s = timeout_s
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def end(self):
        """Says that nothing more comes; answers can still be read."""
        self.socket.shutdown(socket.SHUT_WR)

    def _more(self):
        piece = self.socket.recv(1 << 16)
        self.unread += piece
        return bool(piece)

    def read(self, to_head=False):
        """The next answer; interim ones too. to_head: it answers HEAD, so it has no body."""
        self.socket.settimeout(self.timeout_s)
        while b"\r\n\r\n" not in self.unread:
            if not self._more():
                if self.unread:
                    raise ConnectionError(f"closed inside an answer: {self.unread[:200]!r}")
                return None
        head, self.unread = self.unread.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ")[:2]
        if version != "HTTP/1.1":
            raise ConnectionError(f"not an answer: {lines[0]!r}")
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        length = 0
        if int(status) >= 200 and int(status) != 204 and not to_head:
            length = int(headers["content-length"])
        while len(self.unread) < length:
            if not self._more():
                raise ConnectionError(f"closed inside a body of {length} bytes")
        body, self.unread = self.unread[:length], self.unread[length:]
        return Answer(int(status), headers, body)

    def read_all(self):
        """Every answer until the peer closes, and whether it closed (in time)."""
        answers = []
        try:
            while (answer := self.read()) is not None:
                answers.append(answer)
        except TimeoutError:
            return answers, False
        except ConnectionResetError:
            pass  # It closed while bytes of ours were unread: closed all the same.
        return answers, True

    def is_silent(self, seconds):
        """Whether nothing arrives for so long."""
        return not self.unread and not select.select([self.socket], [], [], seconds)[0]

    def post(self, stream, body=b"", *headers):
        """Sends it; one that is refused before its end is answered all the same."""
        try:
            self.send(request(stream, body, *headers))
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self.read()


def request(stream, body=b"", *headers, method="POST"):
    """A whole request; `headers` are lines without their ends."""
    lines = [f"{method} /ingest/{stream} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}",
             *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*pieces):
    """A chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def post(address, stream, body=b"", *headers, timeout_s=PATIENCE_S):
    with Wire(address, timeout_s) as wire:
        return wire.post(stream, body, *headers)


def get(address, path, timeout_s=PATIENCE_S):
    with Wire(address, timeout_s) as wire:
        return wire.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()).read()


def try_get(address, path, timeout_s=PATIENCE_S):
    """The status, or 0 if there was no answer."""
    try:
        answer = get(address, path, timeout_s)
    except OSError:
        return 0
    return answer.status if answer else 0


def wait_until(done, what, timeout_s=PATIENCE_S, every_s=0.02):
    """Returns the first true result of done()."""
    until = time.monotonic() + timeout_s
    while True:
        result = done()
        if result:
            return result
        if time.monotonic() > until:
            raise AssertionError(f"after {timeout_s} s still not so: {what}")
        time.sleep(every_s)
