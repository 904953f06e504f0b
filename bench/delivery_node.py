"""What delivery.py measures with: a node on its cores, the load on it, and what its cursors and
its processes say. All processes end with the with-statement that started them."""

import bisect
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]
from inlet import environment, free_port, processes_of, toml  # noqa: E402
from servers import (BUILD, DATA, LOAD_CORE, SERVER_CORE, START_SECONDS_MAX,  # noqa: E402
                     crc32c, read_mark)

HERE = DATA / "delivery"
BODY_BYTES = 1024
CURSOR_SLOT, CURSOR_USED = 4096, 192  # Drawn in src/journal/cursor.h.
STOP_SECONDS_MAX = 20
LOOK_SECONDS = 0.2


@contextlib.contextmanager
def started(words, cores, log):
    """A process pinned to cores; killed at the end."""
    with open(HERE / log, "ab") as out:
        process = subprocess.Popen(["taskset", "-c", cores, *map(str, words)], stdout=out,
                                   stderr=out, stdin=subprocess.DEVNULL, env=environment())
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Node:
    """`inlet serve` or `inlet run` on its cores, with its data in a directory of its own. What it
    had started is gone when the with-statement ends."""

    def __init__(self, name, settings, command="run", cores=SERVER_CORE):
        self.directory = HERE / name
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        self.data, self.config = self.directory / "data", self.directory / "inlet.toml"
        self.journal = self.data / "journal"
        self.command, self.log, self.port = command, f"{name}.log", free_port()
        self.cores = cores
        self.configure(settings)

    def configure(self, settings):
        self.config.write_text(toml({"server": {"loops": 1}, **settings}))

    @contextlib.contextmanager
    def running(self):
        words = [BUILD / "inlet", self.command, "--config", self.config, "--data", self.data,
                 "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{free_port()}"]
        try:
            with started(words, self.cores, self.log) as process:
                self.wait(process)
                yield self
        finally:
            self.clear()

    def wait(self, process):
        """Until it can be connected to and answers a POST with 2xx."""
        until = time.monotonic() + START_SECONDS_MAX
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                if self.load(0.1, connections=1)["accepted"]:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"inlet {self.command} did not start; see {HERE / self.log}")

    def clear(self):
        """Its children die with it; waits for that, and ends any that did not."""
        until = time.monotonic() + STOP_SECONDS_MAX
        while left := processes_of(self.directory):
            if time.monotonic() > until:
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def load(self, seconds, **options):
        with self.loading(seconds, **options) as load:
            return load.figures()

    @contextlib.contextmanager
    def loading(self, seconds, rate=0, connections=64, warmup=0.0, header=None, seed=0,
                core=LOAD_CORE):
        words = ["taskset", "-c", core, BUILD / "inlet", "load",
                 f"http://127.0.0.1:{self.port}/ingest/bench", "--size", BODY_BYTES, "--rate",
                 rate, "-c", connections, "--duration", f"{(seconds + warmup) * 1000:.0f}ms",
                 "--warmup", f"{warmup * 1000:.0f}ms", "--seed", seed,
                 "--json", "-"]
        words += ["-H", header] if header else []
        load = Load(list(map(str, words)))
        try:
            yield load
        finally:
            load.process.kill()
            load.process.wait()

    def fill(self, records):
        """Loads until the journal holds so many; returns how many it holds."""
        with self.running():
            while True:
                self.load(1)
                mark = read_mark(self.journal)
                if mark and mark["sequence"] > records:
                    break
        mark = read_mark(self.journal)
        return mark["sequence"] - 1

    def pids(self):
        """Name -> pid of what `inlet run` has started."""
        return json.loads((self.data / "run.json").read_text())["children"]


class Load:
    """One `inlet load` under way."""

    def __init__(self, words):
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=environment())

    def finish(self):
        """Ends it early; its figures stand."""
        self.process.send_signal(signal.SIGINT)
        return self.figures()

    def figures(self):
        out, errors = self.process.communicate()
        if not out.strip():
            raise RuntimeError(f"inlet load: {errors.strip()[-500:]}")
        return json.loads(out)


def latency(figures):
    """Of one load, in ms, and how it was answered."""
    times = figures["latency_us"]
    row = {key: times.get(name, 0) / 1000 for key, name in
           (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9"), ("max_ms", "max"))}
    row["late_ms"] = figures["lateness_us"].get("p99", 0) / 1000  # The load itself.
    statuses = figures["by_status"]
    return {"rate": figures["rate"], **row, "answered_200": statuses.get("200", 0),
            "answered_202": statuses.get("202", 0),
            "failed": figures["sent"] - statuses.get("200", 0) - statuses.get("202", 0)}


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


# ---- Cursors.

def delivered(journal, sink):
    """What the sink's cursor says; zeros before there is one."""
    best = (0, 0, 0, 0)
    with contextlib.suppress(OSError):
        slots = (journal / "cursors" / f"{sink}.cursor").read_bytes()
        for at in (0, CURSOR_SLOT):
            slot = slots[at:at + CURSOR_USED]
            if len(slot) == CURSOR_USED and slot[:8] == b"INLETCUR" and \
                    crc32c(slot[:12] + slot[16:]) == struct.unpack_from("<I", slot, 12)[0]:
                best = max(best, (*struct.unpack_from("<Q", slot, 16),
                                  *struct.unpack_from("<Q", slot, 48),
                                  *struct.unpack_from("<QQ", slot, 64)))
    return dict(zip(("next", "records", "bytes"), best[1:]))


class Watch:
    """Looks at the cursors all the time, because a cursor moves once a batch."""

    def __init__(self, journal, *sinks):
        self.journal, self.moves = journal, {sink: [] for sink in sinks}  # (at, records)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def look(self):
        while not self.stopping.wait(LOOK_SECONDS):
            for sink, moves in self.moves.items():
                records = delivered(self.journal, sink)["records"]
                if not moves or moves[-1][1] != records:
                    moves.append((time.monotonic(), records))

    def rate(self, sink, start, end):
        """Records a second from the first to the last move between those times."""
        moves = self.moves[sink]
        times = [at for at, _ in moves]
        begin = bisect.bisect_left(times, start)
        found = moves[begin:bisect.bisect_right(times, end)]
        if len(found) == 1 and begin > 0:  # From the start on, then: less than the truth.
            found.insert(0, (start, moves[begin - 1][1]))
        if len(found) < 2:
            return 0.0
        return (found[-1][1] - found[0][1]) / (found[-1][0] - found[0][0])

    def first_move(self, sink, start):
        return next((at for at, _ in self.moves[sink] if at > start), None)
