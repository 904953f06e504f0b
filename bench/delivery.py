#!/usr/bin/env python3
"""Measures delivery: how fast the file and kafka sinks empty a backlog, how long
`Inlet-Ack: replicated` takes with three brokers, and what a dead sink does to the door and to the
other sink. `python3 bench/delivery.py` prints the tables that delivery_report.py makes;
measure(part, amounts) is for bench.py.

A figure is the median of the repeats. CPU is that of the process itself, user and system, from
its rusage or /proc/PID/stat. The parts with brokers need the packages of
tests/requirements.txt."""

import argparse
import asyncio
import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests")]
import delivery_report  # noqa: E402
from delivery_node import (HERE, LOOK_SECONDS, Node, Watch, cpu_seconds, delivered,  # noqa: E402
                           latency, memory_mib, started)
from inlet import free_port  # noqa: E402
from servers import BUILD, LOAD_CORE, SERVER_CORE, read_mark  # noqa: E402

SEGMENT_BYTES = 64 << 20  # The default of journal.segment_bytes.
RECORD_BYTES = 1280       # What a record may take in the journal, generously.
COMPRESSIONS = ("zstd", "gzip", "none")
DRAIN_SECONDS_MAX = 600
CATCH_UP_SECONDS_MAX = 600
LAG_SECONDS = 3  # A sink that is not further behind than this has caught up.


@dataclasses.dataclass
class Amounts:
    """How much to measure."""
    repeats: int = 3
    seconds: float = 20
    dead_seconds: float = 60
    file_records: int = 2_000_000
    kafka_records: int = 500_000
    replicated_rate: int = 200
    node_cores: str = SERVER_CORE  # Of the node with a dead sink.

    @staticmethod
    def quick():
        """To test the measuring itself, in about a minute."""
        return Amounts(1, 3, 6, 50_000, 20_000)


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def median_of(samples):
    """Of numbers; of dictionaries and lists that are alike, element by element."""
    first = samples[0]
    if isinstance(first, dict):
        return {key: median_of([sample[key] for sample in samples]) for key in first}
    if isinstance(first, list):
        return [median_of(list(column)) for column in zip(*samples)]
    if isinstance(first, (int, float)):
        return statistics.median(samples)
    return first


# ---- Backlogs.

def forget(node, sink):
    """The sink has delivered nothing, and the journal comes from the disk."""
    for path in (node.journal / "cursors").glob(f"{sink}.*"):
        path.unlink()
    os.sync()
    for path in node.journal.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def drain(node, sink):
    """Seconds, and CPU seconds of the shipper, that it takes to empty the journal."""
    forget(node, sink)
    words = [BUILD / "inlet-ship", sink, "--drain", "--config", node.config, "--data", node.data]
    start = time.monotonic()
    with started(words, SERVER_CORE, node.log) as ship:
        pid = 0
        while pid == 0:
            pid, status, used = os.wait4(ship.pid, os.WNOHANG)
            if pid == 0 and time.monotonic() - start > DRAIN_SECONDS_MAX:
                raise RuntimeError(f"inlet-ship {sink} takes too long; see {HERE / node.log}")
            time.sleep(0.002)
        seconds = time.monotonic() - start
        ship.returncode = os.waitstatus_to_exitcode(status)
    if ship.returncode != 0:
        raise RuntimeError(f"inlet-ship {sink} ended with {ship.returncode}; see "
                           f"{HERE / node.log}")
    end = read_mark(node.journal)["sequence"]
    if delivered(node.journal, sink)["next"] != end:
        raise RuntimeError(f"inlet-ship {sink} left records behind")
    return seconds, used.ru_utime + used.ru_stime


def journal_settings(records):
    return {"server": {"loops": 1, "flush_deadline": f"{DRAIN_SECONDS_MAX}s"},
            "journal": {"max_bytes": records * 2 * RECORD_BYTES + (1 << 30)}}


def measure_file(amounts):
    """One backlog, emptied by three file sinks in turns."""
    settings = journal_settings(amounts.file_records)
    for name in COMPRESSIONS:
        settings[f"sinks.{name}"] = {"type": "file", "path": str(HERE / "file" / name),
                                     "compression": name, "level": 1}
    settings["sinks.none"].pop("level")
    node = Node("file", settings, "serve")
    records = node.fill(amounts.file_records)
    mark = read_mark(node.journal)
    megabytes = ((mark["segment"] - 1) * SEGMENT_BYTES + mark["offset"]) / 1e6
    samples = []
    for _ in range(amounts.repeats):
        rows = []
        for name in COMPRESSIONS:
            seconds, cpu = drain(node, name)
            rows.append({"compression": name, "mb_per_s": megabytes / seconds,
                         "records_per_s": records / seconds, "cpu_us": cpu * 1e6 / records,
                         "busy": cpu / seconds})
            shutil.rmtree(HERE / "file" / name)
            say(f"file, {name}: {rows[-1]['mb_per_s']:.0f} MB/s")
        samples.append(rows)
    return median_of(samples)


def cluster_class():
    try:
        from kafka_cluster import Cluster
    except ImportError as error:
        raise RuntimeError(f"needs the packages of tests/requirements.txt: {error}") from None
    return Cluster


@contextlib.contextmanager
def brokers(count, **properties):
    """A Kafka cluster on the load's core."""
    ours = os.sched_getaffinity(0)
    with cluster_class()(HERE / "cluster", count, properties) as cluster:
        os.sched_setaffinity(0, {int(LOAD_CORE)})  # The brokers inherit it.
        try:
            cluster.start()
        finally:
            os.sched_setaffinity(0, ours)
        yield cluster


def kafka_settings(cluster, **more):
    return {"type": "kafka", "brokers": cluster.addresses, "topic": "bench", **more}


KAFKA_MODES = {"idempotent": {},
               'idempotent, linger = "50ms"': {"linger": "50ms"},
               "transactional": {"transactional": True}}


def drain_kafka(node, cluster, records, mode, turn):
    """One row of the table. A cursor topic holds how far a node got, so each turn has its own."""
    more = dict(KAFKA_MODES[mode])
    if "transactional" in more:
        more["cursor_topic"] = f"cursors-{turn}"
    node.configure({**journal_settings(records), "sinks.bus": kafka_settings(cluster, **more)})
    broker = cluster.brokers[0].process.pid
    before = cpu_seconds(broker)
    seconds, cpu = drain(node, "bus")
    return {"mode": mode,
            "records_per_s": records / seconds, "cpu_us": cpu * 1e6 / records,
            "busy": cpu / seconds, "broker_busy": (cpu_seconds(broker) - before) / seconds}


def measure_kafka(amounts):
    """One backlog, sent to one broker again and again. The first turn of each kind warms the
    broker up and does not count."""
    cluster_class()  # Before the long part.
    node = Node("kafka", journal_settings(amounts.kafka_records), "serve")
    records = node.fill(amounts.kafka_records)
    samples = []
    with brokers(1, **{"num.partitions": 1}) as cluster:
        for turn in range(amounts.repeats + 1):
            rows = [drain_kafka(node, cluster, records, mode, turn) for mode in KAFKA_MODES]
            samples += [rows] if turn else []
            for row in rows:
                say(f"kafka, {row['mode']}: {row['records_per_s']:.0f} records/s"
                    f"{'' if turn else ' (does not count)'}")
    return median_of(samples)


# ---- Replicated.

def measure_replicated(amounts):
    """Two open loops at once to the same node: one waits for the brokers, one for the disk."""
    kinds = {"disk": None, "replicated": "Inlet-Ack: replicated"}
    samples = []
    with brokers(3) as cluster:
        node = Node("replicated", {"sinks.bus": kafka_settings(cluster, replica=True)})
        with node.running():
            node.load(3, rate=amounts.replicated_rate, header=kinds["replicated"])  # Topic, JIT.
            for turn in range(amounts.repeats):
                with contextlib.ExitStack() as stack:
                    loads = [stack.enter_context(node.loading(
                        amounts.seconds, rate=amounts.replicated_rate, warmup=0.5, header=header,
                        core=SERVER_CORE, seed=2 * turn + seed))
                        for seed, header in enumerate(kinds.values())]
                    rows = [{"ack": kind, **latency(load.figures())}
                            for kind, load in zip(kinds, loads)]
                samples.append(rows)
                say(f"replicated: p50 {rows[1]['p50_ms']:.1f} ms, disk {rows[0]['p50_ms']:.1f} ms")
    return {"asked_rate": amounts.replicated_rate, "seconds": amounts.seconds,
            "rows": median_of(samples)}


# ---- Isolation.

class Taker(asyncio.Protocol):
    """Takes every request and keeps nothing."""

    def connection_made(self, transport):
        self.transport, self.head, self.left = transport, b"", 0

    def data_received(self, data):
        while data:
            if self.left == 0:
                self.head += data
                head, end, data = self.head.partition(b"\r\n\r\n")
                if not end:
                    return
                self.head = b""
                self.left = int(re.search(rb"(?i)\ncontent-length: *(\d+)", head)[1])
            taken = min(self.left, len(data))
            self.left -= taken
            data = data[taken:]
            if self.left == 0:
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


class Silent(asyncio.Protocol):
    """Accepts, reads nothing, says nothing."""

    def connection_made(self, transport):
        transport.pause_reading()


async def receive(port, protocol):
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    await server.serve_forever()


def receiver(port, kind):
    return started([sys.executable, __file__, "--receiver", kind, "--port", port], LOAD_CORE,
                   "receiver.log")


def isolation_settings(port):
    return {"journal": {"max_bytes": shutil.disk_usage(HERE).free // 2},
            "sinks.archive": {"type": "file", "path": str(HERE / "isolation/archive")},
            "sinks.hook": {"type": "http", "url": f"http://127.0.0.1:{port}/in",
                           "timeout": "5s"}}


def top_rate(amounts):
    """What the node takes in a closed loop, with both sinks at work."""
    port = free_port()
    node = Node("isolation", isolation_settings(port), cores=amounts.node_cores)
    with receiver(port, "taker"), node.running():
        return node.load(min(amounts.seconds, 5), warmup=1)["rate"]


def affordable(rate, amounts):
    """Half of the maximum, or what the disk has room for while the sink is dead."""
    room = shutil.disk_usage(HERE).free // 2 / RECORD_BYTES
    limit = room / (1.5 * (amounts.seconds + amounts.dead_seconds))
    if rate / 2 > limit:
        say(f"isolation: {limit:.0f}/s instead of {rate / 2:.0f}/s, the disk holds no more")
    return min(rate / 2, limit)


def phase(name, node, watch, seconds, rate):
    start = time.monotonic()
    figures = node.load(seconds, rate=rate)
    return {"phase": name, **latency(figures),
            "file_per_s": watch.rate("archive", start, time.monotonic())}


def is_level(node, rate):
    mark = read_mark(node.journal)
    behind = mark["sequence"] - delivered(node.journal, "hook")["next"] if mark else 0
    return behind <= rate * LAG_SECONDS


def revived(node, watch, seconds, rate):
    """The phase in which the dead sink comes back; ends once it is level, not before `seconds`."""
    start = time.monotonic()
    level = None
    with node.loading(CATCH_UP_SECONDS_MAX, rate=rate) as load:
        while level is None or time.monotonic() < start + seconds:
            if load.process.poll() is not None:
                raise RuntimeError("the dead sink did not catch up in "
                                   f"{CATCH_UP_SECONDS_MAX} s")
            if level is None and watch.first_move("hook", start) and is_level(node, rate):
                level = time.monotonic()
            time.sleep(LOOK_SECONDS)
        end = time.monotonic()
        figures = load.finish()
    first = watch.first_move("hook", start)
    row = {"phase": "C, revived", **latency(figures),
           "file_per_s": watch.rate("archive", start, end)}
    catch_up = {"idle_seconds": first - start, "level_seconds": level - start,
                "records_per_s": watch.rate("hook", start, level + LOOK_SECONDS)}
    return row, {**catch_up, "times_ingest": catch_up["records_per_s"] / row["rate"]}


def isolate(amounts, rate):
    """All phases once."""
    port = free_port()
    node = Node("isolation", isolation_settings(port), cores=amounts.node_cores)
    half = amounts.dead_seconds / 2
    with node.running(), Watch(node.journal, "archive", "hook") as watch:
        with receiver(port, "taker"):
            node.load(min(amounts.seconds, 5), rate=rate)  # Segments, connections.
            phases = [phase("A, both alive", node, watch, amounts.seconds, rate)]
        before = {name: memory_mib(pid) for name, pid in node.pids().items()}
        phases.append(phase("B, refused", node, watch, half, rate))
        with receiver(port, "silent"):
            phases.append(phase("B, blackholed", node, watch, half, rate))
        memory = [{"process": name, "start_mib": before.get(name, 0), "end_mib": memory_mib(pid)}
                  for name, pid in node.pids().items()]
        with receiver(port, "taker"):
            last, catch_up = revived(node, watch, amounts.seconds, rate)
    for row in [*phases, last]:
        say(f"isolation, {row['phase']}: p99 {row['p99_ms']:.2f} ms, file {row['file_per_s']:.0f}"
            f" records/s, {row['failed']} failed")
    return {"phases": [*phases, last], "memory": memory, "catch_up": catch_up}


def measure_isolation(amounts):
    top = top_rate(amounts)
    rate = affordable(top, amounts)
    say(f"isolation: {top:.0f}/s at most, {rate:.0f}/s from here on")
    samples = [isolate(amounts, rate) for _ in range(amounts.repeats)]
    return {"top_rate": top, "asked_rate": rate, "dead_seconds": amounts.dead_seconds,
            "node_cores": amounts.node_cores, **median_of(samples)}


# ---- All of it.

PARTS = {"file": measure_file, "kafka": measure_kafka, "replicated": measure_replicated,
         "isolation": measure_isolation}


def measure(part, amounts):
    """The figures of one part, as delivery_report.py wants them."""
    HERE.mkdir(parents=True, exist_ok=True)
    clear()
    try:
        return PARTS[part](amounts)
    except AssertionError as error:  # Of what the tests lend us.
        raise RuntimeError(str(error)) from error
    finally:
        clear()


def clear():
    """Removes what a part has made; the logs stay."""
    for path in HERE.iterdir():
        if path.is_dir():
            shutil.rmtree(path)


def arguments():
    parser = argparse.ArgumentParser(prog="bench/delivery.py", description=__doc__)
    parser.add_argument("--only", help=f"parts, by commas: {','.join(PARTS)}")
    parser.add_argument("--repeats", type=int, default=Amounts.repeats)
    parser.add_argument("--seconds", type=float, default=Amounts.seconds,
                        help="of a load (%(default)s)")
    parser.add_argument("--dead-seconds", type=float, default=Amounts.dead_seconds,
                        help="without the http sink (%(default)s; 600 for the full proof)")
    parser.add_argument("--node-cores", default=Amounts.node_cores,
                        help="of the node with a dead sink (%(default)s; 0,1 for both)")
    parser.add_argument("--records", type=int, help="of a backlog "
                        f"({Amounts.file_records} file, {Amounts.kafka_records} kafka)")
    parser.add_argument("--receiver", choices=("taker", "silent"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set((options.only or "file").split(",")) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return options


def main():
    options = arguments()
    if options.receiver:
        asyncio.run(receive(options.port, {"taker": Taker, "silent": Silent}[options.receiver]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Ends what was started.
    amounts = Amounts(options.repeats, options.seconds, options.dead_seconds,
                      options.records or Amounts.file_records,
                      options.records or Amounts.kafka_records,
                      node_cores=options.node_cores)
    results, failures = {}, 0
    for part in options.only.split(",") if options.only else PARTS:
        try:
            results[part] = measure(part, amounts)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            failures += 1
            say(f"{part}: {error}")
    print(delivery_report.markdown(results))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
