"""Parts of the bench: what keys, limits and idempotency cost each request, and what a tenant
notices of another that floods.

The variants take turns; a figure is the median of the turns."""

import contextlib
import random
import shutil
import socket
import statistics
import subprocess
import time

from servers import BUILD, DATA, PATH, Server

CALM_RATE, FLOOD_LIMIT, FLOOD_RATE = 500, 200, 2000  # Requests a second.
CONNECTIONS, SLOW_BODIES, IDLE = 16, 200, 5000
GUARDS_SECONDS, LARGE_EVERY = 0.5, 3  # A turn; large bodies are sent in one of so many.
RECOVERY_SECONDS = 1.2  # The other's bucket is full again,
PAUSE_SECONDS_MAX = 2.0  # before turns, at random.
FULL_BYTES = 1536 << 20  # Of the journal that is filled; the calm one has a seventh left.
IDEMPOTENCY_LINE_BYTES = len("Idempotency-Key: ") + 20 + 2  # As bench_lg sends it.


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def new_key(tenant, directory="inlet"):
    done = subprocess.run([BUILD / "inlet", "key", "new", "--tenant", tenant, "--data",
                           DATA / "data" / directory], check=True, capture_output=True, text=True)
    return ["--header", f"Authorization: Bearer {done.stdout.strip()}"]


def empty_data(directory="inlet"):
    shutil.rmtree(DATA / "data" / directory, ignore_errors=True)
    (DATA / "data" / directory).mkdir(parents=True)


VARIANTS = {
    "none of them": {},
    "none, the same bytes": {},
    "keys": {"INLET_SERVER_AUTH": "keys"},
    "keys, limits": {"INLET_SERVER_AUTH": "keys", "INLET_LIMITS_REQUESTS_PER_S": "10000000",
                     "INLET_LIMITS_BYTES_PER_S": "50GB"},
    "keys, limits, idempotency": {
        "INLET_SERVER_AUTH": "keys", "INLET_LIMITS_REQUESTS_PER_S": "10000000",
        "INLET_LIMITS_BYTES_PER_S": "50GB"},
}


BASES = {"of_none": "none of them", "of_bytes": "none, the same bytes"}


def start_guarded(name, environment):
    """A server of that variant, ready, and what its client sends."""
    directory = name.replace(" ", "-").replace(",", "")
    empty_data(directory)
    headers = new_key("acme", directory)
    if not environment:  # As many bytes as a key for this node and one for idempotency.
        padding = "X-Padding: " + "x" * (len(headers[1]) + IDEMPOTENCY_LINE_BYTES - 11)
        headers = ["--header", padding] if "bytes" in name else []
    server = Server("inlet", keep=True, headers=headers, environment=environment,
                    directory=directory)
    try:
        server.wait()
        server.load(size=262144, connections=64, seconds=1)  # Every segment written once.
    except Exception:
        server.stop()
        raise
    if "idempotency" in name:
        server.headers = [*headers, "--keyed"]
    return server


def measure_guards(plan):
    """All variants run at once and are asked in short turns: the machine is not the
    same for long, and who is not asked takes no CPU."""
    samples = {}
    for repeat in range(plan.repeats):
        with contextlib.ExitStack() as stack:
            servers = {}
            for name, environment in VARIANTS.items():
                servers[name] = start_guarded(name, environment)
                stack.callback(servers[name].stop)
            for turn in range(plan.guards_turns):
                for size in (1024, 262144) if turn % LARGE_EVERY == 0 else (1024,):
                    names = list(VARIANTS)
                    first = turn % len(names)  # Each is first as often.
                    for name in names[first:] + names[:first]:
                        got = servers[name].load(size=size, connections=64, seconds=GUARDS_SECONDS,
                                          seed=repeat * 100 + turn)
                        cpu = got["server_cpu"] * got["seconds"] * 1e6 / max(got["ok"], 1)
                        samples.setdefault((name, size), []).append((cpu, got["rate"]))
        say(f"guards {repeat + 1}/{plan.repeats}")
    return [{"with": name, "size": size, "turns": len(values),
             "cpu_us": statistics.median(cpu for cpu, _ in values),
             "rate": statistics.median(rate for _, rate in values),
             **{key: ratio(values, samples[base, size]) for key, base in BASES.items()}}
            for (name, size), values in samples.items()]


def ratio(values, bases):
    """The median over turns, each with the one of its own seconds."""
    return statistics.median(cpu / base for (cpu, _), (base, _) in zip(values, bases))


@contextlib.contextmanager
def idle_connections(server, headers, count):
    """That many of another tenant, each after one request."""
    sockets = []
    for _ in range(count):
        each = socket.create_connection(("127.0.0.1", server.port), 10)
        each.sendall(f"POST {PATH} HTTP/1.1\r\nHost: a\r\n{headers[1]}\r\n"
                     "Content-Length: 1\r\n\r\nx".encode())
        sockets.append(each)
    try:
        yield
    finally:
        for each in sockets:
            each.close()


def fill(server, headers):
    """Until the other tenant is refused for its share of the journal, whatever the size."""
    for size in (262144, 1024):
        for _ in range(60):
            got = server.load(headers, size=size, connections=4, rate=400, seconds=1)
            if got["refused"] > 0 and (size > 1024 or got["ok"] == 0):
                break
        else:
            raise RuntimeError("the journal did not fill")


KINDS = {  # What the other tenant does, and how often it asks.
    "one at its limit": FLOOD_LIMIT,
    "a flood": FLOOD_RATE,
    "a flood, slow bodies": FLOOD_RATE,
    "a flood, idle connections": FLOOD_RATE,
    "a flood, full journal": FLOOD_RATE,
}


def start_server(kind, calm, flood):
    full = kind.endswith("journal")
    environment = {"INLET_SERVER_AUTH": "keys", "INLET_SERVER_BODY_TIMEOUT": "300s",
                   "INLET_SERVER_MIN_BODY_RATE": "0B", "INLET_LIMITS_JOURNAL_PERCENT": "50"}
    if not full:
        environment["INLET_TENANTS_FLOOD_REQUESTS_PER_S"] = str(FLOOD_LIMIT)
    server = Server("inlet", keep=True, headers=calm, shipped=not full,
                    journal_bytes=FULL_BYTES if full else 1 << 30, environment=environment)
    try:
        server.wait()
        if full:
            fill(server, flood)
        else:
            server.load(size=262144, connections=64, seconds=1)  # Every segment written once.
            time.sleep(0.3)
            server.shipped.stop()  # It shares the load's core, and there is room enough from here.
            server.shipped = None
    except Exception:
        server.stop()
        raise
    return server


def take_turn(server, kind, flood, **options):
    """The calm tenant, beside the other if `flood` is given. One process sends for both: two that
    shared a core would wait for each other's time slices, which are longer than an answer takes."""
    options |= {"calm": 1, "size": 1024, "connections": CONNECTIONS, "rate": CALM_RATE}
    if not flood:
        return server.load(**options)
    with contextlib.ExitStack() as stack:
        if kind.endswith("connections"):
            stack.enter_context(idle_connections(server, flood, IDLE))
            time.sleep(RECOVERY_SECONDS)  # They were requests, too.
        return server.load(**options, **{
            "beside-rate": KINDS[kind], "beside-header": flood[1],
            "beside-connections": CONNECTIONS,
            "trickle": SLOW_BODIES if kind.endswith("bodies") else 0})


def let_through(kind, other):
    """How many were stored, and how many had to be: the bucket is full at the first request (a turn
    alone is longer than it takes), and empty from soon after until the last."""
    if kind.endswith("journal"):
        return other["stored"], 0
    if KINDS[kind] <= FLOOD_LIMIT:
        return other["stored"], other["stored"]
    return other["stored"], FLOOD_LIMIT * (1 + other["last_s"] - other["first_s"])


def measure_kind(plan, kind, repeat):
    """Turns alone and beside the other within one life of a server, because fsync and neighbours
    of the machine are not the same for long."""
    empty_data()
    calm, flood = new_key("calm"), new_key("flood")
    server = start_server(kind, calm, flood)
    pauses = random.Random(repeat)
    turns = []
    try:
        for turn in range(plan.fairness_turns):
            options = {"seconds": plan.fairness_seconds, "seed": repeat * 100 + turn}
            pair = {}
            for who in (None, flood):
                # What the system does every few seconds is met by both alike.
                time.sleep(pauses.uniform(0, PAUSE_SECONDS_MAX))
                pair[who is not None] = take_turn(server, kind, who, **options)
            turns.append((pair[False], pair[True]))
    finally:
        server.stop()
    return turns


def summary(kind, turns):
    def of(which, key):
        return statistics.median(pair[which][key] for pair in turns)
    others = [beside["beside"] for _, beside in turns]
    through = [let_through(kind, other) for other in others]
    return {"beside": kind, "turns": len(turns), "seconds": turns[0][0]["seconds"],
            **{f"{key}_{when}": of(which, key) for key in ("p50_us", "p99_us", "late_p99_us")
               for which, when in enumerate(("alone", "beside"))},
            "refused": sum(each["refused"] + each["broken"] for pair in turns for each in pair),
            "stored": sum(stored for stored, _ in through),
            "expected": sum(expected for _, expected in through),
            "off_worst": max((stored - expected for stored, expected in through), key=abs),
            "limited": sum(other["limited"] for other in others),
            "wrong": sum(other["other"] for other in others)}


def measure_fairness(plan):
    turns = {kind: [] for kind in KINDS}
    for repeat in range(plan.repeats):
        for kind, found in turns.items():
            found += measure_kind(plan, kind, repeat + 1)
            say(f"fairness {repeat + 1}/{plan.repeats} {kind}")
    return [summary(kind, found) for kind, found in turns.items()]


PARTS = {"guards": measure_guards, "fairness": measure_fairness}


def markdown(results):
    lines = []
    rows = results.get("guards") or []
    if rows:
        lines += ["## Keys, limits, idempotency", "", "64 connections, closed loop. Target: at "
                  "most 1.15 × the CPU without. The second row sends as many bytes as the last, "
                  "in a field that says nothing. All run at once and are asked in turns of "
                  f"{GUARDS_SECONDS:g} s; medians of {rows[0]['turns']} turns (256 KiB: fewer) "
                  "and of their ratios.", "",
                  "| with | body | CPU, µs | of none | of the same bytes | requests/s |",
                  "|---|---|---|---|---|---|"]
        lines += [f"| {row['with']} | {row['size'] // 1024} KiB | {row['cpu_us']:.1f} | "
                  f"{row['of_none']:.2f} | {row['of_bytes']:.2f} | {row['rate']:,.0f} |"
                  for row in rows]
        lines.append("")
    rows = results.get("fairness") or []
    if rows:
        lines += ["## A tenant beside one that floods", "",
                  f"The calm tenant sends {CALM_RATE} requests/s of 1 KiB in an open loop, the "
                  f"other {FLOOD_RATE:,}/s against a limit of {FLOOD_LIMIT:,}/s (with the full "
                  f"journal: against its share of it); {SLOW_BODIES} slow bodies, {IDLE:,} idle "
                  f"connections. {rows[0]['turns']} turns of {rows[0]['seconds']:g} s alone and as "
                  "many beside the other, in alternation after random pauses, one life of "
                  "the node for each row; "
                  "medians of the turns; what the load itself sent late is left out (the column "
                  "late). Target: p99 at most 1.2 × that alone. Too many: what the limit let "
                  "through beyond burst + rate × time, of the worst turn. 429: with Retry-After; "
                  "any other answer is under wrong.", "",
                  "| beside | p50, ms: alone | beside | p99, ms: alone | beside | ratio | "
                  "late, ms | refused | the other's stored | too many | 429 | wrong |",
                  "|" + "---|" * 12]
        lines += [f"| {row['beside']} | {row['p50_us_alone'] / 1000:.2f} | "
                  f"{row['p50_us_beside'] / 1000:.2f} | {row['p99_us_alone'] / 1000:.2f} | "
                  f"{row['p99_us_beside'] / 1000:.2f} | "
                  f"{row['p99_us_beside'] / row['p99_us_alone']:.2f} | "
                  f"{row['late_p99_us_beside'] / 1000:.2f} | {row['refused']} | "
                  f"{row['stored']:,} | {row['off_worst']:+.1f} | {row['limited']:,} | "
                  f"{row['wrong']} |" for row in rows]
        lines.append("")
    return "\n".join(lines) + ("\n" if lines else "")
