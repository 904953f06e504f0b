"""Turns the figures of bench.py into docs/PERFORMANCE.md and the chart for the README."""

import pathlib

NOTES = pathlib.Path(__file__).resolve().parent / "notes.md"  # What the figures do not say.
NAMES = {"floor": "bare epoll (the floor)", "inlet": "Inlet", "node": "Node.js"}
FLUENT_BIT_RATE = 28_000  # Requests a second of its http input, which does not flush.
SIZE_NAMES = {256: "256 B", 1024: "1 KiB", 16384: "16 KiB", 262144: "256 KiB"}


class Figures:
    """Finds one figure in the results; None where it was not measured."""

    def __init__(self, results):
        self.results = results

    def _find(self, part, key, **where):
        for row in self.results.get(part) or []:
            if all(row[name] == value for name, value in where.items()):
                return row[key]
        return None

    def cell(self, server, key, size=1024, connections=64):
        return self._find("matrix", key, server=server, size=size, connections=connections)

    def latency(self, server, load, key):
        return self._find("latency", key, server=server, load=load)

    def memory(self, server, key):
        return self._find("memory", key, server=server)

    def disk(self, size, key):
        return self._find("disk", key, bytes=size)

    def file_sink(self, compression, key):
        return self._find("file", key, compression=compression)

    def one(self, part, key):
        return (self.results.get(part) or {}).get(key)


def number(value, digits=1):
    return "–" if value is None else f"{value:,.{digits}f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def verdict(figure, limit, most=True):
    if figure is None or limit is None:
        return "not measured"
    reached = figure <= limit if most else figure >= limit
    return "reached" if reached else "**not reached**"


def times(factor, value):
    return None if value is None else factor * value


def targets(f):
    """Rows of: figure, target, measured, verdict."""
    rows = []

    def row(name, figure, limit, unit, why="", most=True, digits=1):
        sign = "≤" if most else "≥"
        rows.append([name, f"{sign} {number(limit, digits)} {unit} {why}".strip(),
                     f"{number(figure, digits)} {unit}", verdict(figure, limit, most)])

    cpu = f.cell("inlet", "cpu_us")
    rate = f.cell("inlet", "rate")
    row("CPU per durable 1 KiB request, 64 connections", cpu,
        times(1.3, f.cell("floor", "cpu_us")), "µs", "(1.3 × the floor)")
    row("the same", cpu, times(0.4, f.cell("node", "cpu_us")), "µs", "(0.4 × Node.js)")
    row("durable requests per second, 1 KiB, 64 connections", rate,
        times(2.5, f.cell("node", "rate")), "/s", "(2.5 × Node.js)", most=False, digits=0)
    row("the same", rate, 3 * FLUENT_BIT_RATE, "/s",
        "(3 × Fluent Bit, measured apart, without flush)", most=False, digits=0)
    for size in (16384, 262144):
        row(f"CPU per request, {SIZE_NAMES[size]}", f.cell("inlet", "cpu_us", size),
            times(1.3, f.cell("floor", "cpu_us", size)), "µs", "(1.3 × the floor)")
    bulk = max((f.cell("inlet", "rate", 262144, c) or 0 for c in (64, 1000)), default=0)
    disk_gb = times(0.001, f.disk(1 << 20, "mb_per_s"))
    row("bodies of 256 KiB", bulk * 262144 / 1e9 or None, 1.5, "GB/s",
        f"(the disk gives {number(disk_gb)})", most=False)
    row("p99.9 at half of the maximum, open loop",
        times(0.001, f.latency("inlet", "50 %", "p999_us")),
        times(0.005, f.disk(65536, "p999_us")), "ms", "(5 × the disk's for 64 KiB)", digits=2)
    base = f.disk(4096, "p50_us")
    row("median at 1,000 requests/s", times(0.001, f.latency("inlet", "1000/s", "p50_us")),
        None if base is None else base / 1000 + 0.2, "ms", "(the disk's + 0.2)", digits=2)
    row("memory, idle", f.memory("inlet", "idle_mib"), 12, "MiB")
    connections = f.memory("inlet", "connections") or 10_000
    row(f"memory, {connections:,} idle connections", f.memory("inlet", "connected_mib"), 32, "MiB")
    row("memory, 1,000 connections sending 256 KiB", f.memory("inlet", "senders_peak_mib"), 256,
        "MiB")
    row(f"start with a backlog of {number(f.one('startup', 'backlog_gib'))} GiB",
        f.one("startup", "seconds"), 0.5, "s", digits=2)
    row("file sink, journal emptied", f.file_sink("zstd", "mb_per_s"), 400, "MB/s", most=False,
        digits=0)
    return rows


def matrix_rows(f, servers, key, digits):
    for connections in (64, 1000):
        for size, name in SIZE_NAMES.items():
            cells = [number(times(0.001 if key == "rate" else 1,
                                  f.cell(s, key, size, connections)), digits) for s in servers]
            yield [str(connections), name, *cells]


def since(results):
    """Parts that were measured by another run than the rest."""
    runs = {}
    for part, run in (results.get("since") or {}).items():
        runs.setdefault(run, []).append(part)
    return [line for run, parts in runs.items()
            for line in (f"Measured since: {', '.join(parts)} ({run}).", "")]


def markdown(results):
    f, m = Figures(results), results["machine"]
    servers = [s for s in NAMES if any(r["server"] == s for r in results.get("matrix") or [])]
    heads = [NAMES[s] for s in servers]
    lines = ["# Performance", "",
             f"Measured {m['date']} by `{m['command']}` (median of {m['repeats']}) on {m['cores']} "
             f"cores of {m['cpu']}, {m['memory_gib']} GiB, Linux {m['kernel']}, g++ {m['gcc']}, "
             f"Node.js {m['node']}. Servers are pinned to one core, the load to the other.", "",
             *since(results),
             "All three acknowledge after the flush. CPU is the server's own, all threads, from "
             "its process clock; for Inlet it is that of `inlet serve`, without the shippers. "
             "In the kernel's accounting it includes the client's share of loopback networking.",
             "", "![CPU per durable request and requests per second](performance.svg)", "",
             "## Against the targets", ""]
    lines += table(["figure", "target", "measured", ""], targets(f))
    lines += [NOTES.read_text(encoding="utf-8")]
    if results.get("matrix"):
        lines += ["## CPU per durable request, µs", ""]
        lines += table(["connections", "body", *heads], matrix_rows(f, servers, "cpu_us", 1))
        lines += ["## Durable requests per second, thousands", ""]
        lines += table(["connections", "body", *heads], matrix_rows(f, servers, "rate", 1))
    if results.get("latency"):
        lines += ["## Latency, ms", "",
                  "1 KiB bodies, 256 connections, Poisson arrivals, counted from when the request "
                  "was due. 50 % and 80 % are of each server's own maximum.", ""]
        lines += table(["server", "load", "requests/s", "p50", "p90", "p99", "p99.9", "max"], [
            [NAMES[r["server"]], r["load"], number(r["rate"], 0),
             *(number(r[k] / 1000, 2) for k in ("p50_us", "p90_us", "p99_us", "p999_us", "max_us"))]
            for r in results["latency"]])
    if results.get("disk"):
        lines += ["## The disk alone", "", "One direct, synchronous write after the other into a "
                  "zero-filled file: what no durable server can beat.", ""]
        lines += table(["write", "p50 ms", "p99 ms", "p99.9 ms", "MB/s"], [
            [f"{r['bytes'] // 1024} KiB", *(number(r[k] / 1000, 2) for k in
                                            ("p50_us", "p99_us", "p999_us")),
             number(r["mb_per_s"], 0)] for r in results["disk"]])
    if results.get("memory"):
        lines += ["## Memory, MiB", ""]
        lines += table(["server", "idle", "idle connections, each did one POST",
                        "peak, 1,000 connections sending 256 KiB"], [
            [NAMES[r["server"]], number(r["idle_mib"]),
             f"{number(r['connected_mib'])} ({r['connections']:,.0f})",
             number(r["senders_peak_mib"])] for r in results["memory"]])
    if results.get("startup"):
        s = results["startup"]
        lines += [f"Start to first accepted request with {number(s['backlog_gib'])} GiB waiting: "
                  f"{number(s['seconds'], 2)} s (worst {number(s['worst_seconds'], 2)} s).", ""]
    return "\n".join(lines)


STYLE = """<style>
text { font: 14px system-ui, sans-serif; fill: #1f2328 } .quiet { fill: #59636e; font-size: 12px }
.title { font-weight: 600 } .inlet { fill: #0a7ea4 } .floor, .node { fill: #a8b3bd }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .quiet { fill: #9198a1 }
.inlet { fill: #3fb6dd } .floor, .node { fill: #57606a } }
</style>"""
PANEL_WIDTH, BAR_WIDTH_MAX, BAR_HEIGHT, ROW_HEIGHT, TOP = 420, 200, 22, 34, 44


def panel(left, title, note, bars):
    """Horizontal bars: (server, value, label)."""
    parts = [f'<text class="title" x="{left}" y="18">{title}</text>',
             f'<text class="quiet" x="{left}" y="35">{note}</text>']
    top = max(value for _, value, _ in bars)
    for row, (server, value, label) in enumerate(bars):
        y = TOP + row * ROW_HEIGHT
        width = max(BAR_WIDTH_MAX * value / top, 2)
        name = "bare epoll" if server == "floor" else NAMES[server]
        parts += [f'<text x="{left}" y="{y + 16}">{name}</text>',
                  f'<rect class="{server}" x="{left + 90}" y="{y}" width="{width:.1f}" '
                  f'height="{BAR_HEIGHT}" rx="3"/>',
                  f'<text x="{left + 98 + width:.1f}" y="{y + 16}">{label}</text>']
    return parts


def chart(results):
    f = Figures(results)
    servers = [s for s in ("inlet", "floor", "node") if f.cell(s, "rate")]
    height = TOP + ROW_HEIGHT * len(servers) + 6
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * PANEL_WIDTH} {height}" '
             f'role="img" aria-label="CPU per durable request and durable requests per second">',
             STYLE]
    cpu = [(s, f.cell(s, "cpu_us"), f"{f.cell(s, 'cpu_us'):.1f} µs") for s in servers]
    rate = [(s, f.cell(s, "rate"), f"{f.cell(s, 'rate') / 1000:.0f} thousand") for s in servers]
    lines += panel(0, "CPU per durable request", "less is better; 1 KiB, 64 connections", cpu)
    lines += panel(PANEL_WIDTH, "Durable requests per second", "more is better; one core", rate)
    return "\n".join(lines + ["</svg>", ""])
