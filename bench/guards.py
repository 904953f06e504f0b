"""Parts of the bench: what keys, limits and idempotency cost each request, and what a tenant
notices of another that floods.

The variants take turns within a repeat; a figure is the median of the repeats."""

import contextlib
import shutil
import socket
import statistics
import subprocess
import threading
import time

from servers import BUILD, DATA, PATH, Server

CALM_RATE, FLOOD_LIMIT, FLOOD_RATE = 500, 200, 2000  # Requests a second.
SLOW_BODIES, IDLE = 200, 5000  # Connections.
FULL_BYTES = 768 << 20  # Of the journal that is filled.


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def new_key(tenant):
    done = subprocess.run([BUILD / "inlet", "key", "new", "--tenant", tenant, "--data",
                           DATA / "data/inlet"], check=True, capture_output=True, text=True)
    return ["--header", f"Authorization: Bearer {done.stdout.strip()}"]


def empty_data():
    shutil.rmtree(DATA / "data/inlet", ignore_errors=True)
    (DATA / "data/inlet").mkdir(parents=True)


VARIANTS = {
    "none of them": {},
    "keys": {"INLET_SERVER_AUTH": "keys"},
    "keys, limits": {"INLET_SERVER_AUTH": "keys", "INLET_LIMITS_REQUESTS_PER_S": "10000000",
                     "INLET_LIMITS_BYTES_PER_S": "50GB"},
    "keys, limits, idempotency": {
        "INLET_SERVER_AUTH": "keys", "INLET_LIMITS_REQUESTS_PER_S": "10000000",
        "INLET_LIMITS_BYTES_PER_S": "50GB"},
}


def measure_guards(plan):
    samples = {}
    for repeat in range(plan.repeats):
        for name, environment in VARIANTS.items():
            empty_data()
            headers = new_key("acme") if environment else []
            server = Server("inlet", keep=True, headers=headers, environment=environment)
            try:
                server.wait()
                server.load(size=262144, connections=64, seconds=1)  # Every segment written once.
                if "idempotency" in name:
                    server.headers = [*headers, "--keyed"]
                for size in (1024, 262144):
                    got = server.load(size=size, connections=64, seconds=plan.cell_seconds,
                                      seed=repeat + 1)
                    cpu = got["server_cpu"] * got["seconds"] * 1e6 / max(got["ok"], 1)
                    samples.setdefault((name, size), []).append((cpu, got["rate"]))
            finally:
                server.stop()
        say(f"guards {repeat + 1}/{plan.repeats}")
    return [{"with": name, "size": size,
             "cpu_us": statistics.median(cpu for cpu, _ in values),
             "rate": statistics.median(rate for _, rate in values)}
            for (name, size), values in samples.items()]


@contextlib.contextmanager
def flooding(server, headers, seconds):
    """Another tenant at ten times its limit."""
    answers = {}

    def run():
        answers.update(server.load(headers, size=1024, connections=16, rate=FLOOD_RATE,
                                   seconds=seconds))
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield answers
    finally:
        thread.join()


@contextlib.contextmanager
def connections(server, headers, count, body_bytes):
    """That many of another tenant which send a part of a body, or one request and then nothing."""
    line = headers[1]
    sockets = []
    for _ in range(count):
        each = socket.create_connection(("127.0.0.1", server.port), 10)
        length = body_bytes or 1
        each.sendall(f"POST {PATH} HTTP/1.1\r\nHost: a\r\n{line}\r\n"
                     f"Content-Length: {length}\r\n\r\n".encode() + b"x")
        sockets.append(each)
    try:
        yield
    finally:
        for each in sockets:
            each.close()


def fill(server, headers):
    """Until the flooding tenant is refused for its share of the journal."""
    for _ in range(60):
        if server.load(headers, size=262144, connections=4, rate=400, seconds=1)["refused"] > 0:
            return
    raise RuntimeError("the journal did not fill")


def measure_fairness(plan):
    """p99 of a calm tenant, alone and beside one that does its worst."""
    samples = {}
    seconds = plan.latency_seconds
    environment = {"INLET_SERVER_AUTH": "keys", "INLET_SERVER_BODY_TIMEOUT": "300s",
                   "INLET_SERVER_MIN_BODY_RATE": "0B", "INLET_LIMITS_JOURNAL_PERCENT": "50"}
    flood_limit = {"INLET_TENANTS_FLOOD_REQUESTS_PER_S": str(FLOOD_LIMIT)}
    for repeat in range(plan.repeats):
        for kind in ("alone", "flood", "flood and slow bodies", "flood and idle connections",
                     "flood and full journal"):
            empty_data()
            calm, flood = new_key("calm"), new_key("flood")
            full = kind.endswith("journal")
            server = Server("inlet", keep=True, headers=calm, shipped=not full,
                            journal_bytes=FULL_BYTES if full else 1 << 30,
                            environment={**environment, **({} if full else flood_limit)})
            try:
                server.wait()
                with contextlib.ExitStack() as stack:
                    if full:
                        fill(server, flood)
                    if kind.endswith("bodies"):
                        stack.enter_context(connections(server, flood, SLOW_BODIES, 200_000))
                    if kind.endswith("connections"):
                        stack.enter_context(connections(server, flood, IDLE, 0))
                    answers = {}
                    if kind != "alone":
                        answers = stack.enter_context(flooding(server, flood, seconds))
                    got = server.load(size=1024, connections=16, rate=CALM_RATE, seconds=seconds,
                                      seed=repeat + 1)
                samples.setdefault(kind, []).append(
                    (got["p50_us"], got["p99_us"], got["refused"], answers.get("ok", 0),
                     answers.get("refused", 0)))
            finally:
                server.stop()
        say(f"fairness {repeat + 1}/{plan.repeats}")
    return [{"beside": kind, **{key: statistics.median(value[i] for value in values)
                                for i, key in enumerate(("p50_us", "p99_us", "refused",
                                                         "flood_ok", "flood_refused"))}}
            for kind, values in samples.items()]


PARTS = {"guards": measure_guards, "fairness": measure_fairness}


def markdown(results):
    lines = []
    rows = results.get("guards") or []
    if rows:
        base = {row["size"]: row["cpu_us"] for row in rows if row["with"] == "none of them"}
        lines += ["## Keys, limits, idempotency", "", "64 connections, closed loop; target: at "
                  "most 1.15 × the CPU without.", "",
                  "| with | body | CPU, µs | of without | requests/s |", "|---|---|---|---|---|"]
        lines += [f"| {row['with']} | {row['size'] // 1024} KiB | {row['cpu_us']:.1f} | "
                  f"{row['cpu_us'] / base[row['size']]:.2f} | {row['rate']:,.0f} |"
                  for row in rows]
        lines.append("")
    rows = results.get("fairness") or []
    if rows:
        alone = next(row["p99_us"] for row in rows if row["beside"] == "alone")
        lines += ["## A tenant beside one that floods", "",
                  f"The calm tenant sends {CALM_RATE} requests/s, the other {FLOOD_RATE:,} against "
                  f"a limit of {FLOOD_LIMIT} (with the full journal: against its share); "
                  f"{SLOW_BODIES} slow bodies, {IDLE:,} idle connections. Target: 1.2 × its p99 "
                  "alone.", "",
                  "| beside | p50, ms | p99, ms | of alone | refused | flood: stored | refused |",
                  "|---|---|---|---|---|---|---|"]
        lines += [f"| {row['beside']} | {row['p50_us'] / 1000:.2f} | {row['p99_us'] / 1000:.2f} | "
                  f"{row['p99_us'] / alone:.2f} | {row['refused']:.0f} | {row['flood_ok']:.0f} | "
                  f"{row['flood_refused']:.0f} |" for row in rows]
        lines.append("")
    return "\n".join(lines) + ("\n" if lines else "")
