"""A part of the bench: what a request costs more for being looked at.

All variants run at once, each with a journal of its own, and are loaded in turns of a second: a
slow moment of the machine hits all of them, and those that wait cost nothing. A figure is the
median of the turns; the ratio is the median of the ratios within a turn."""

import contextlib
import json
import statistics
import subprocess
import threading
import time
import urllib.request

from servers import BUILD, DATA, SERVER_CORE, Server

SIZE, CONNECTIONS = 1024, 64
LOOK_EVERY_S = 1  # Prometheus' default is a minute.

EVERYTHING = {"INLET_HEALTH_HEALTHD_DIR": "{}/healthd", "INLET_CLOUDWATCH_EMF_FILE": "{}/emf",
              "INLET_CLOUDWATCH_PERIOD": "1s", "INLET_CLOUDWATCH_HIGH_RESOLUTION": "true"}
VARIANTS = {
    "nothing": ({}, False),
    "healthd log": ({"INLET_HEALTH_HEALTHD_DIR": "{}/healthd"}, False),
    "healthd log, CloudWatch file, all pages read every second": (EVERYTHING, True),
}


@contextlib.contextmanager
def readers(server):
    """Reads what Prometheus, `inlet top` and the dashboard read."""
    stopping = threading.Event()

    def run():
        while not stopping.wait(LOOK_EVERY_S):
            for path in ("/metrics", "/status.json", "/history.json"):
                url = f"http://127.0.0.1:{server.admin}{path}"
                with urllib.request.urlopen(url, timeout=10) as answer:
                    answer.read()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def start(name, number, stack):
    directory = DATA / f"data/observed-{number}"
    environment = {key: value.format(directory) for key, value in VARIANTS[name][0].items()}
    server = Server("inlet", environment=environment, directory=directory.name)
    stack.callback(server.stop)
    server.wait()
    server.load(size=262144, connections=CONNECTIONS, seconds=1)  # Every segment written once.
    return server


def measure_observed(plan):
    samples = {name: [] for name in VARIANTS}
    with contextlib.ExitStack() as stack:
        servers = {name: start(name, i, stack) for i, name in enumerate(VARIANTS)}
        for turn in range(4 * plan.repeats):
            names = list(VARIANTS)
            for name in names[turn % len(names):] + names[:turn % len(names)]:
                with contextlib.ExitStack() as watched:
                    if VARIANTS[name][1]:
                        watched.enter_context(readers(servers[name]))
                    got = servers[name].load(size=SIZE, connections=CONNECTIONS, seed=turn + 1,
                                             seconds=2 * plan.cell_seconds)
                samples[name].append((got["server_cpu"] * got["seconds"] * 1e6 / max(got["ok"], 1),
                                      got["rate"]))
        print(f"{time.strftime('%H:%M:%S')} observed: {4 * plan.repeats} turns", flush=True)
    alone = samples["nothing"]
    counting = subprocess.run(["taskset", "-c", SERVER_CORE, BUILD / "bench_figures"], check=True,
                              capture_output=True, text=True)
    rows = [{"with": name, "cpu_us": statistics.median(cpu for cpu, _ in values),
             "of_without": statistics.median(cpu / base for (cpu, _), (base, _) in
                                             zip(values, alone)),
             "rate": statistics.median(rate for _, rate in values)}
            for name, values in samples.items()]
    return {"counting_ns": json.loads(counting.stdout)["ns"], "rows": rows}


PARTS = {"observed": measure_observed}


def markdown(results):
    if "observed" not in results:
        return ""
    rows, ns = results["observed"]["rows"], results["observed"]["counting_ns"]
    share = ns / 1000 / rows[0]["cpu_us"]
    lines = ["## Being looked at", "", "1 KiB, 64 connections, closed loop. Target: at most 1.02 × "
             "the CPU. Figures and health are always kept: counting an answer takes "
             f"{ns:.0f} ns, {share:.2%} of it.", "",
             "| with | CPU, µs | of without | requests/s |", "|---|---|---|---|"]
    lines += [f"| {row['with']} | {row['cpu_us']:.2f} | {row['of_without']:.3f} | "
              f"{row['rate']:,.0f} |" for row in rows]
    return "\n".join(lines) + "\n\n"
