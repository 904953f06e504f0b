#!/usr/bin/env python3
"""Measures Inlet beside the floor (a bare epoll server with the same journal technique) and a
competent Node.js server, in one run, and writes docs/PERFORMANCE.md, docs/performance.svg and
build/bench/results.json.

Server pinned to one core, load to the other. A figure is the median of the repeats; the servers
take turns within a repeat, so that a slow minute of the machine hits all of them."""

import argparse
import json
import os
import pathlib
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench_tls  # noqa: E402
import delivery  # noqa: E402
import delivery_report  # noqa: E402
import guards  # noqa: E402
import observed  # noqa: E402
import report  # noqa: E402
from servers import (BUILD, DATA, FILE_BYTES, LOAD_CORE, ROOT, SERVER_CORE, Server,
                     read_mark)  # noqa: E402

SIZES = (256, 1024, 16384, 262144)
CONNECTIONS = (64, 1000)
IDLE_CONNECTIONS = 10_000
PARTS = ("disk", "matrix", "latency", "memory", "startup", *guards.PARTS,
         *bench_tls.PARTS, *observed.PARTS, *delivery.PARTS)


class Plan:
    """What one run does, from the command line."""

    def __init__(self, options):
        quick = options.quick
        self.repeats = options.repeats or (1 if quick else 5)
        self.cell_seconds = 0.7 if quick else 2.0
        self.latency_seconds = 1.5 if quick else 10.0
        self.guards_turns = 1 if quick else 45
        self.fairness_turns, self.fairness_seconds = (3, 1.0) if quick else (15, 1.5)
        self.disk_seconds = 0.5 if quick else 5.0
        self.backlog_bytes = int((options.backlog_gib or (0.5 if quick else 10)) * (1 << 30))
        self.delivery = delivery.Amounts.quick() if quick else delivery.Amounts(
            repeats=min(self.repeats, 3))
        self.idle_connections = IDLE_CONNECTIONS
        self.parts = options.only.split(",") if options.only else list(PARTS)
        self.servers = options.servers.split(",")


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def median(values):
    return statistics.median(values) if values else None


def merge(samples):
    """The median of each figure over samples of the same cell."""
    return {key: median([sample[key] for sample in samples]) for key in samples[0]}


def cpu_us(sample):
    return sample["server_cpu"] * sample["seconds"] * 1e6 / max(sample["ok"], 1)


def measure_disk(plan):
    samples = []
    for _ in range(plan.repeats):
        done = subprocess.run(
            ["taskset", "-c", SERVER_CORE, BUILD / "bench_disk", DATA / "disk.bin",
             str(plan.disk_seconds)], check=True, capture_output=True, text=True)
        samples.append(json.loads(done.stdout))
    (DATA / "disk.bin").unlink()
    return [merge([sample[i] for sample in samples]) for i in range(len(samples[0]))]


def measure_matrix(plan):
    samples = {}
    for repeat in range(plan.repeats):
        for name in plan.servers:
            server = Server(name)
            try:
                server.wait()
                server.load(size=262144, connections=64, seconds=1)  # Every segment written once.
                for connections in CONNECTIONS:
                    for size in SIZES:
                        got = server.load(size=size, connections=connections,
                                          seconds=plan.cell_seconds, seed=repeat + 1)
                        got["cpu_us"] = cpu_us(got)
                        samples.setdefault((name, connections, size), []).append(got)
            finally:
                server.stop()
            say(f"matrix {repeat + 1}/{plan.repeats} {name}")
    return [{"server": name, "connections": connections, "size": size, **merge(values)}
            for (name, connections, size), values in samples.items()]


def measure_latency(plan):
    """Open loop, 1 KiB, 256 connections: 1,000 a second, and shares of each server's maximum."""
    samples = {}
    for repeat in range(plan.repeats):
        for name in plan.servers:
            server = Server(name)
            try:
                server.wait()
                server.load(size=262144, connections=64, seconds=1)
                top = server.load(size=1024, connections=256, seconds=plan.cell_seconds)["rate"]
                for label, rate in (("1000/s", 1000), ("50 %", top * 0.5), ("80 %", top * 0.8)):
                    got = server.load(size=1024, connections=256, rate=rate, seed=repeat + 1,
                                      seconds=plan.latency_seconds)
                    got["cpu_us"] = cpu_us(got)
                    got["asked"] = rate
                    samples.setdefault((name, label), []).append(got)
            finally:
                server.stop()
            say(f"latency {repeat + 1}/{plan.repeats} {name}")
    return [{"server": name, "load": label, **merge(values)}
            for (name, label), values in samples.items()]


def measure_memory(plan):
    rows = []
    for name in plan.servers:
        server = Server(name)
        try:
            server.wait()
            idle_mib = server.memory_mib()
            sockets = server.idle_connections(plan.idle_connections)
            time.sleep(1)
            connected_mib = server.memory_mib()
            for each in sockets:
                each.close()
        finally:
            server.stop()
        server = Server(name)
        try:
            server.wait()
            got = server.load(size=262144, connections=1000, seconds=max(plan.cell_seconds, 2))
            peak_mib = server.memory_mib("VmHWM")
        finally:
            server.stop()
        rows.append({"server": name, "idle_mib": idle_mib, "connected_mib": connected_mib,
                     "connections": plan.idle_connections, "senders_peak_mib": peak_mib,
                     "senders_ok": got["ok"], "senders_refused": got["refused"]})
        say(f"memory {name}")
    return rows


def fill(server, size, bytes_wanted):
    """Loads until the journal holds that many bytes; returns the mark."""
    while True:
        server.load(size=size, connections=64, seconds=1, warmup=0)
        mark = read_mark(server.journal)
        if mark and mark["sequence"] * size >= bytes_wanted:
            return mark


def measure_startup(plan):
    """The time from exec to the first 200, with a backlog that no sink has taken."""
    server = Server("inlet", shipped=False, journal_bytes=plan.backlog_bytes * 5 // 4 + FILE_BYTES)
    try:
        server.wait()
        fill(server, 262144, plan.backlog_bytes)
    finally:
        server.stop()
    seconds = []
    for _ in range(max(plan.repeats, 3)):
        subprocess.run(["sync"], check=True)
        server = Server("inlet", keep=True, shipped=False,
                        journal_bytes=plan.backlog_bytes * 5 // 4 + FILE_BYTES)
        try:
            seconds.append(server.wait())
        finally:
            server.stop()
    shutil.rmtree(server.data)
    return {"backlog_gib": plan.backlog_bytes / (1 << 30), "seconds": median(seconds),
            "worst_seconds": max(seconds)}


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="ascii")
                if line.startswith("model name")), "unknown CPU")
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    node = subprocess.run(["node", "--version"], check=False, capture_output=True, text=True).stdout
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gib": round(memory_gib),
            "kernel": os.uname().release, "node": node.strip(),
            "gcc": subprocess.run(["g++", "-dumpfullversion"], check=True, capture_output=True,
                                  text=True).stdout.strip(),
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--quick", action="store_true",
                        help="every piece once and briefly (< 3 min), to test the bench itself; "
                             "writes build/bench/ only")
    parser.add_argument("--repeats", type=int, help="of each measurement (5)")
    parser.add_argument("--only", help=f"parts, by commas: {','.join(PARTS)}")
    parser.add_argument("--servers", default="floor,inlet,node", help="by commas")
    parser.add_argument("--backlog-gib", type=float, help="of the start-up measurement (10)")
    return parser.parse_args()


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that everything is cleaned up.
    plan = Plan(options)
    if (os.cpu_count() or 1) < 2:
        print("bench: two cores are needed, one for the server and one for the load")
        return 2
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    plan.idle_connections = min(plan.idle_connections, hard - 500)
    DATA.mkdir(parents=True, exist_ok=True)
    measures = {"disk": measure_disk, "matrix": measure_matrix, "latency": measure_latency,
                "memory": measure_memory, "startup": measure_startup}
    measures |= guards.PARTS | bench_tls.PARTS | observed.PARTS
    measures |= {part: lambda plan, part=part: delivery.measure(part, plan.delivery)
                 for part in delivery.PARTS}
    stored = DATA / ("quick.json" if options.quick else "results.json")
    results = json.loads(stored.read_text()) if stored.exists() and options.only else {}
    run = dict(machine(), command=" ".join(["./dev bench", *sys.argv[1:]]), repeats=plan.repeats)
    if results.get("machine"):  # The other parts are of an earlier run.
        results.setdefault("since", {}).update(
            {part: f"{run['date']}, `{run['command']}`" for part in plan.parts})
    else:
        results["machine"] = run
    failures = 0
    for part in plan.parts:
        if part == "startup" and "inlet" not in plan.servers:
            continue
        say(part)
        try:
            results[part] = measures[part](plan)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            failures += 1
            say(f"{part}: {error}")
        stored.write_text(json.dumps(results, indent=1))
    shutil.rmtree(DATA / "data", ignore_errors=True)
    out = DATA if options.quick else ROOT / "docs"
    (out / "PERFORMANCE.md").write_text(
        report.markdown(results) + "\n" + guards.markdown(results) +
        (bench_tls.markdown(results["tls"]) + "\n" if "tls" in results else "") +
        observed.markdown(results) + delivery_report.markdown(results))
    if "matrix" in results:
        (out / "performance.svg").write_text(report.chart(results))
    say(f"written {out.relative_to(ROOT)}/PERFORMANCE.md, {stored.relative_to(ROOT)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
