"""A TCP proxy on loopback that spoils connections as it is told, for tests of whoever connects.

    with FaultyProxy(target_port) as proxy:
        proxy.set("reset", after=100)     # see MODES
        ...                               # use proxy.port
        proxy.set("pass")

A change of mode ends the connections there are, so that all of the next bytes meet the new mode;
keep=True lets them end in the mode they began in. times=N spoils the next N connections, those
after pass. What happened is in `log`, one entry per connection. One thread per connection."""

import contextlib
import select
import socket
import struct
import threading
import time

import inlet

MODES = {
    "pass": "as it comes",
    "refuse": "nobody listens",
    "blackhole": "accepts, reads nothing, says nothing",
    "reset": "RST after `after` bytes of the request have passed",
    "cut": "RST after `after` bytes of the answer have passed: the request went through",
    "delay": "every piece is held back for `seconds`",
    "throttle": "`rate` bytes a second, each way",
    "garbage": "instead of the target's answer, `data`, then the end",
}
PIECE_BYTES = 1 << 16
LOOK_S = 0.05  # How often a connection looks whether it is to end.
PATIENCE_S = 10


class Entry:
    """What one connection did."""

    def __init__(self, mode):
        self.mode, self.sent, self.answered, self.over = mode, 0, 0, False

    def __repr__(self):
        return f"<{self.mode} sent={self.sent} answered={self.answered} over={self.over}>"


def reset(sock):
    """Ends it with RST."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class FaultyProxy:
    def __init__(self, target_port, port=None):
        self.target = ("127.0.0.1", target_port)
        self.port = port or inlet.free_port()
        self.lock = threading.Lock()
        self.log = []
        self.threads = []
        self.listener = None
        self.ending = False
        self.era = 0  # Connections of an earlier one end.
        self.mode, self.options, self.times = "pass", {}, None
        self._listen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def connections(self):
        with self.lock:
            return len(self.log)

    def set(self, mode, *, times=None, keep=False, **options):
        assert mode in MODES, mode
        with self.lock:
            self.mode, self.options, self.times = mode, options, times
            if not keep:
                self.era += 1
        if mode == "refuse":
            self._stop_listening()
            self._join()
        elif self.listener is None:
            self._listen()

    def close(self):
        with self.lock:
            self.ending = True
            self.era += 1
        self._stop_listening()
        self._join()

    # ---- Listening.

    def _listen(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        listener.settimeout(LOOK_S)
        self.listener = listener
        self.acceptor = threading.Thread(target=self._accept_all, args=(listener,), daemon=True)
        self.acceptor.start()

    def _stop_listening(self):
        if self.listener is None:
            return
        listener, self.listener = self.listener, None
        self.acceptor.join()
        listener.close()

    def _accept_all(self, listener):
        while self.listener is listener:
            try:
                client, _ = listener.accept()
            except OSError:
                continue
            with self.lock:
                mode, options = self._mode_of_next()
                entry = Entry(mode)
                self.log.append(entry)
                arguments = (client, mode, options, entry, self.era)
                thread = threading.Thread(target=self._serve, args=arguments, daemon=True)
                self.threads = [t for t in self.threads if t.is_alive()] + [thread]
                thread.start()

    def _mode_of_next(self):
        if self.times is None:
            return self.mode, self.options
        if self.times == 0:
            return "pass", {}
        self.times -= 1
        return self.mode, self.options

    def _join(self):
        with self.lock:
            threads = list(self.threads)
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a connection of the proxy does not end"

    # ---- One connection.

    def _is_over(self, era):
        return self.ending or self.era != era

    def _serve(self, client, mode, options, entry, era):
        upstream = None
        try:
            client.settimeout(PATIENCE_S)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if mode == "refuse":
                pass  # Taken between the change of mode and the end of listening.
            elif mode == "blackhole":
                while not self._is_over(era):
                    time.sleep(LOOK_S)
            elif mode == "garbage":
                self._answer_garbage(client, entry, era, **options)
                return
            else:
                upstream = socket.create_connection(self.target, PATIENCE_S)
                upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._relay(client, upstream, mode, options, entry, era)
                return
            reset(client)
        except OSError:
            reset(client)
        finally:
            client.close()
            if upstream is not None:
                upstream.close()
            entry.over = True

    def _answer_garbage(self, client, entry, era, data=b"\x00\xff garbage\r\n\r\n", forever=False):
        while not self._readable(client):
            if self._is_over(era):
                return
        entry.sent += len(client.recv(PIECE_BYTES))
        client.sendall(data)
        while forever and not self._is_over(era):
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        while not self._is_over(era):
            if self._readable(client) and not client.recv(PIECE_BYTES):
                return

    @staticmethod
    def _readable(*sockets):
        return select.select(sockets, [], [], LOOK_S)[0]

    def _relay(self, client, upstream, mode, options, entry, era):
        open_ends = {client: upstream, upstream: client}
        while open_ends:
            if self._is_over(era):
                reset(client)
                return
            for end in self._readable(*open_ends):
                data = end.recv(PIECE_BYTES)
                if not data:
                    with contextlib.suppress(OSError):
                        open_ends[end].shutdown(socket.SHUT_WR)
                    del open_ends[end]
                elif not self._pass_on(data, end is client, open_ends[end], mode, options,
                                       entry, era):
                    reset(client)
                    return

    def _pass_on(self, data, is_request, to, mode, options, entry, era):
        """False: the connection is to be reset."""
        passed = entry.sent if is_request else entry.answered
        spoilt = mode == ("reset" if is_request else "cut")
        room = options["after"] - passed if spoilt else len(data)
        if mode == "delay":
            self._wait(options["seconds"], era)
        for piece in self._pieces(data[:room], mode, options, era):
            to.sendall(piece)
            if is_request:
                entry.sent += len(piece)
            else:
                entry.answered += len(piece)
        return room > len(data) or not spoilt

    def _pieces(self, data, mode, options, era):
        if mode != "throttle":
            yield data
            return
        step = max(1, int(options["rate"] * LOOK_S))
        for start in range(0, len(data), step):
            if self._is_over(era):
                return
            yield data[start:start + step]
            self._wait(LOOK_S, era)

    def _wait(self, seconds, era):
        until = time.monotonic() + seconds
        while not self._is_over(era) and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_S))
