"""The servers that the bench compares, started, watched and stopped.

Each runs pinned to core 0, the load to core 1. Inlet is `inlet serve` alone: a shipper would share
the cores with what is measured. In its place Shipped moves the sink's cursor to the end of the
journal ten times a second, so that segments are recycled as they are in a running system."""

import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", ROOT / "build/release"))
DATA = ROOT / "build/bench"
SERVER_CORE, LOAD_CORE = "0", "1"
FILE_BYTES = 1 << 30  # What every server's journal goes round in.
START_SECONDS_MAX = 30
PATH = "/ingest/bench"
SINK = "archive"


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def read_mark(journal):
    """The commit mark (drawn in src/journal/format.h), or None."""
    try:
        mark = (journal / "commit").read_bytes()
    except OSError:
        return None
    if len(mark) < 64 or crc32c(mark[:12] + mark[16:64]) != struct.unpack_from("<I", mark, 12)[0]:
        return None
    names = ("salt", "segment", "offset", "sequence", "journal_id")
    return dict(zip(names, struct.unpack_from("<QQQQQ", mark, 16)))


class Shipped:
    """Stands in for a shipper that is always done: moves the cursor to the commit mark."""

    def __init__(self, journal):
        self.journal, self.generation = journal, 1
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self):
        while not self.stopping.wait(0.1):
            self.move()

    def move(self):
        mark = read_mark(self.journal)
        path = self.journal / "cursors" / f"{SINK}.cursor"
        if not mark:
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        slots = b""
        # Both slots, because serve recycles by the older of the two; even generations stand first.
        for _ in range(2):
            self.generation += 1
            body = struct.pack("<QQQQQ", self.generation, mark["journal_id"], mark["segment"],
                               mark["offset"], mark["sequence"]).ljust(176, b"\0")
            head = b"INLETCUR" + struct.pack("<I", 1)
            slot = head + struct.pack("<I", crc32c(head + body)) + body
            slots += slot.ljust(4096, b"\0")
        with open(path, "r+b" if path.exists() else "w+b") as file:
            file.write(slots)

    def stop(self):
        self.stopping.set()
        self.thread.join()


class Server:
    """One running server. data is its directory, emptied at the start unless keep is set; called
    as the server unless `directory` says otherwise."""

    def __init__(self, name, keep=False, shipped=True, journal_bytes=FILE_BYTES, headers=(),
                 environment=None, directory=None):
        self.name, self.port, self.headers = name, free_port(), headers
        self.admin = free_port()
        self.data = DATA / "data" / (directory or name)
        if not keep:
            shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(parents=True, exist_ok=True)
        self.journal = self.data / "journal"
        self.log = open(DATA / f"{name}.log", "ab")
        env = dict(os.environ, INLET_JOURNAL_MAX_BYTES=str(journal_bytes), INLET_SERVER_LOOPS="1",
                   **(environment or {}))
        self.started_ns = time.monotonic_ns()
        self.process = subprocess.Popen(["taskset", "-c", SERVER_CORE, *self.command()],
                                        stdout=self.log, stderr=self.log, env=env)
        self.shipped = Shipped(self.journal) if name == "inlet" and shipped else None

    def command(self):
        port, file = str(self.port), str(self.data / "journal.bin")
        if self.name == "floor":
            return [BUILD / "bench_floor", port, file, str(FILE_BYTES)]
        if self.name == "node":
            return ["node", ROOT / "bench/node_server.js", port, file, str(FILE_BYTES)]
        return [BUILD / "inlet", "serve", "--data", self.data, "--listen", f"127.0.0.1:{port}",
                "--admin", f"127.0.0.1:{self.admin}"]

    def wait(self):
        """Until it answers 2xx; returns the seconds since it was started."""
        seconds = 0
        while self.process.poll() is None and seconds < START_SECONDS_MAX:
            got = load_json(["--port", self.port, "--path", PATH, "--wait-first", "--seconds", 1,
                             *self.headers])
            seconds = (got["at_ns"] - self.started_ns) / 1e9
            if got["accepted"]:
                return seconds
        raise RuntimeError(f"{self.name} did not start; see {self.log.name}")

    def load(self, headers=None, **options):
        words = ["--port", self.port, "--path", PATH, "--watch", self.process.pid,
                 *(self.headers if headers is None else headers)]
        for key, value in options.items():
            words += [f"--{key}", value]
        return load_json(words)

    def memory_mib(self, field="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024

    def idle_connections(self, count):
        """Opens connections that each do one POST and stay; returns the sockets."""
        head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 256\r\n\r\n"
        request = head.encode() + b"x" * 256
        sockets = []
        for start in range(0, count, 100):
            batch = [socket.create_connection(("127.0.0.1", self.port), 10)
                     for _ in range(min(100, count - start))]
            for each in batch:
                each.sendall(request)
            for each in batch:
                answer = each.recv(4096)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(f"{self.name} answered {answer[:60]!r}")
            sockets += batch
        return sockets

    def stop(self, how=signal.SIGKILL):
        if self.shipped:
            self.shipped.stop()
        self.process.send_signal(how)
        self.process.wait(60)
        self.log.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def load_json(words):
    done = subprocess.run(["taskset", "-c", LOAD_CORE, str(BUILD / "bench_lg"), *map(str, words)],
                          check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)
