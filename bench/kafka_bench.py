#!/usr/bin/env python3
"""Measures the `kafka` sink: records a second and CPU a record of one shipper that empties a
journal of 1 KiB records into one broker (tests/kafka_cluster.py).

The shipper is pinned to one core, the broker to the other. A figure is the median of the repeats.
Needs the Python packages of tests/requirements.txt."""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import socket
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests")]
from kafka_cluster import Cluster  # noqa: E402
from servers import (BUILD, DATA, LOAD_CORE, SERVER_CORE, START_SECONDS_MAX,
                     free_port, read_mark)  # noqa: E402

BODY_BYTES = 1024
SINK = "bus"


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def configure(directory, broker, options):
    lines = {"type": '"kafka"', "brokers": f'"{broker}"', "topic": '"bench"',
             "compression": f'"{options.compression}"', "events": f'"{options.events}"',
             "transactional": str(options.transactional).lower()}
    config = directory / "inlet.toml"
    config.write_text(f"[journal]\nmax_bytes = {options.records * 2 * BODY_BYTES + (1 << 30)}\n"
                      f"[sinks.{SINK}]\n" + "".join(f"{k} = {v}\n" for k, v in lines.items()))
    return config


def wait_for(port):
    until = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
        time.sleep(0.05)


def fill(directory, config, records):
    """A journal of that many records at least; returns how many."""
    port = free_port()
    with open(directory / "serve.log", "ab") as log:
        serve = subprocess.Popen(
            [BUILD / "inlet", "serve", "--config", config, "--data", directory / "data",
             "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{free_port()}"],
            stdout=log, stderr=log)
        try:
            wait_for(port)
            held = 0
            while held < records:
                subprocess.run(
                    [BUILD / "bench_lg", "--port", str(port), "--path", "/ingest/bench", "--size",
                     str(BODY_BYTES), "--connections", "64", "--seconds", "1"],
                    check=True, capture_output=True)
                mark = read_mark(directory / "data/journal")
                held = mark["sequence"] - 1 if mark else 0
        finally:
            serve.terminate()
            serve.wait(60)
    return held


def drain(directory, config):
    """Seconds and CPU seconds that the shipper takes to empty the journal."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    with open(directory / "ship.log", "ab") as log:
        done = subprocess.run(
            ["taskset", "-c", SERVER_CORE, BUILD / "inlet-ship", SINK, "--drain", "--config",
             config, "--data", directory / "data"], check=False, stdout=log, stderr=log)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        raise RuntimeError(f"inlet-ship left something behind; see {log.name}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def measure(directory, broker, options):
    shutil.rmtree(directory / "data", ignore_errors=True)
    config = configure(directory, broker, options)
    records = fill(directory, config, options.records)
    seconds, cpu_seconds = drain(directory, config)
    got = {"records": records, "records_per_s": records / seconds,
           "cpu_us_per_record": cpu_seconds * 1e6 / records}
    say(f"{records} records, {got['records_per_s']:.0f}/s, "
        f"{got['cpu_us_per_record']:.2f} us of CPU each")
    return got


def arguments():
    parser = argparse.ArgumentParser(prog="bench/kafka_bench.py", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="of a measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compression", default="none")
    parser.add_argument("--events", default="record")
    parser.add_argument("--transactional", action="store_true")
    return parser.parse_args()


def main():
    options = arguments()
    directory = DATA / "kafka"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    os.sched_setaffinity(0, {int(LOAD_CORE)})  # The broker and the load inherit it.
    with Cluster(directory / "cluster", properties={"num.partitions": 1}) as cluster:
        cluster.start()
        samples = [measure(directory, cluster.addresses, options)
                   for _ in range(options.repeats)]
    result = {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
    print(json.dumps({**vars(options), **result}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
