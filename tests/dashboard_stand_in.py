"""Nodes as the dashboard sees them, made up: they serve the page's files as the program does, and
status and history documents of which any part can be set, also to what no node would say."""

import contextlib
import http.server
import json
import math
import pathlib
import random
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = ROOT / "src/serve/dashboard"
CHART_JS = pathlib.Path("/usr/share/javascript/chart.js/chart.min.js")
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8"}
# As src/serve/dashboard.cc has it.
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; "
          "connect-src 'self' http: https:; img-src 'self' data:; base-uri 'none'; "
          "form-action 'none'; frame-ancestors 'none'")
PERCENTILES = [10, 50, 75, 85, 90, 95, 99, 99.9]
LEVELS = ["Ok", "Info", "Warning", "Degraded", "Severe"]
KILLED_S = 0.2


# ---- Histograms, as base/histogram.h has them with Histogram<5, 32>.

def bucket_of(value_us):
    below = min(max(int(value_us), 1), 1 << 32) - 1
    shift = max(below.bit_length() - 6, 0)
    return shift * 32 + (below >> shift)


def highest_in(bucket):
    if bucket < 64:
        return bucket + 1
    shift = bucket // 32 - 1
    return (bucket - shift * 32 + 1) << shift


def histogram_of(values_us):
    """What append_json(LatencyHistogram) writes."""
    counts = {}
    for value in values_us:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    made = {"count": len(values_us), "sum_us": int(sum(values_us))}
    for percent in PERCENTILES:
        rank = min(max(math.ceil(percent / 100 * len(values_us) - 1e-9), 1), len(values_us))
        passed, value = 0, 0
        for bucket in sorted(counts):
            passed += counts[bucket]
            if passed >= rank:
                value = highest_in(bucket)
                break
        made[f"p{percent}"] = value
    made["buckets"] = sorted([bucket, count] for bucket, count in counts.items())
    return made


# ---- Documents.

def interval(chance, length_s, per_s, *, body=1100, failing=0.0, median_us=420, spread=0.55):
    requests = int(per_s * length_s)
    failed = int(requests * failing)
    refused = int(requests * 0.011)
    sampled = min(requests, 400)
    stored = (requests - failed - refused) / length_s
    commits = min(stored, 2400)
    return {
        "length_s": length_s, "requests": requests, "requests_per_s": per_s,
        "2xx": requests - failed - refused, "3xx": 0, "4xx": refused, "5xx": failed,
        "records_per_s": stored, "body_bytes_per_s": stored * body,
        "received_bytes_per_s": stored * (body + 320), "commits_per_s": commits,
        "commits_failed": 0, "dead_records": 0,
        "network_in_bytes_per_s": stored * (body + 420),
        "network_out_bytes_per_s": stored * (body * 0.4 + 260),
        "latency_us": histogram_of([chance.lognormvariate(math.log(median_us), spread)
                                    for _ in range(sampled)]),
        "commit_latency_us": histogram_of([chance.lognormvariate(math.log(median_us / 3), spread)
                                           for _ in range(sampled)]),
    }


def sink(name, **changes):
    return {"name": name, "next_sequence": 9_812_300, "lag_s": 0.4, "lag_records": 812,
            "lag_bytes": 1_140_000, "delivered_records": 9_811_488,
            "delivered_bytes": 11_200_000_000, "dead_records": 0, "lost_records": 0,
            "skipped_records": 0, "retries": 3, "last_error": "", "last_error_at": "",
            "status_age_s": 0.7, **changes}


def tenant(name, share=1.0):
    return {"name": name, "records": int(4_000_000 * share), "bytes": int(4_600_000_000 * share),
            "refused": int(1200 * share), "undelivered_bytes": int(900_000 * share)}


def status_document(name, seed=1, per_s=1840.0, level="Ok", causes=(), used=12.5, full_in_s=None,
                    lag_s=0.4):
    chance = random.Random(seed)
    capacity = 64 << 30
    return {
        "schema": 2, "node": name, "version": "0.1.0", "at": stamp(time.time()),
        "uptime_s": 86_400.0 * 3 + 12.3,
        "health": {"level": level, "causes": [dict(level=each, text=text)
                                              for each, text in causes]},
        "admission": "open", "draining": False, "connections": 143, "requests": 9_812_344,
        "records_stored": 9_812_300, "bytes_stored": 11_200_000_000, "refused_4xx": 101_223,
        "refused_5xx": 12, "framing_errors": 4, "memory_bytes": 18_874_368,
        "memory_max_bytes": 268_435_456,
        "last_10s": interval(chance, 10.0, per_s), "last_minute": interval(chance, 60.0, per_s),
        "totals": interval(chance, 259_212.3, per_s / 2),
        "host": {"cpus": 4, "load": [1.42, 1.2, 0.97],
                 "cpu": {"user": 21.4, "nice": 0.0, "system": 12.1, "idle": 63.2, "iowait": 3.1,
                         "steal": 0.2},
                 "memory_bytes": 16_656_000_000, "memory_available_bytes": 11_200_000_000,
                 "memory_used_percent": 32.8, "disk_bytes": 107_000_000_000,
                 "disk_free_bytes": 61_000_000_000, "disk_used_percent": 43.0},
        "process": {"cpu_s": 41_230.4, "resident_bytes": 31_457_280, "threads": 11,
                    "open_fds": 187, "max_fds": 65_536},
        "journal": {"id": f"{chance.getrandbits(48):012x}", "next_sequence": 9_812_301,
                    "undelivered_bytes": int(capacity * used / 100), "capacity_bytes": capacity,
                    "used_percent": used, "drain_bytes_per_s": 2_400_000,
                    "fill_bytes_per_s": 2_450_000, "commits": 4_212_222, "commits_failed": 0,
                    "commit_us_mean": 151, "records_lost": 0, "segments_quarantined": 0,
                    "direct": True, "full_in_s": full_in_s},
        "sinks": [sink("archive", lag_s=lag_s), sink("kafka", lag_s=0.1, retries=0)],
        "tenants": [tenant("acme"), tenant("globex", 0.4), tenant("initech", 0.05)],
        "keys": {"count": 12, "stale": False, "reason": ""},
    }


def point(chance, at, length_s, per_s, level=0, **gauges):
    slow = 3.0 if level >= 2 else 1.0
    return {"at": at, "interval": interval(chance, length_s, per_s, median_us=420 * slow,
                                           failing=0.03 if level >= 3 else 0.0004),
            "gauges": {"cpu_percent": 25 + per_s / 150, "load1": 0.4 + per_s / 2000,
                       "memory_percent": 32.8, "disk_percent": 43.0, "journal_percent": 12.5,
                       "sink_lag_s": 0.4, "level": level, **gauges}}


def history_document(name, seed=1, per_s=1840.0, minutes=60, trouble=()):
    """`trouble` maps minutes ago to levels."""
    chance = random.Random(seed)
    now = int(time.time())
    made = {"schema": 1, "node": name, "at": stamp(now), "minutes": [], "seconds": []}
    for ago in range(minutes - 1, -1, -1):
        level = dict(trouble).get(ago, 0)
        wave = 1 + 0.25 * math.sin(ago / 9 + seed) + chance.uniform(-0.06, 0.06)
        made["minutes"].append(point(
            chance, now // 60 * 60 - ago * 60, 60.0, per_s * wave, level,
            journal_percent=12.5 + 3 * level + ago * -0.05, sink_lag_s=0.4 + 60 * level))
    for ago in range(59, -1, -1):
        made["seconds"].append(point(chance, now - ago, 1.0,
                                     per_s * chance.uniform(0.8, 1.2)))
    return made


def stamp(unix_s):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))


# ---- The server.

class StandIn:
    """One node. `status` and `history` are what it says; change them while it runs."""

    def __init__(self, name="node-a", seed=1, allowed=(), port=0, history=None, **more):
        self.status = status_document(name, seed, **more)
        self.history = history or history_document(name, seed)
        self.allowed = set(allowed)  # Origins, as server.admin_origins.
        self.asked = []              # Paths with their Host.
        self.hangs = threading.Event()
        self.over = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        """As if it had been killed: the address refuses."""
        if self.over.is_set():
            return
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path):
        """(status, type, body)"""
        if path == "/status.json":
            return 200, "application/json", json.dumps(self.status).encode()
        if path == "/history.json":
            return 200, "application/json", json.dumps(self.history_now()).encode()
        if path == "/healthz":
            return 200, "application/json", b"{}"
        if path == "/chart.js":
            return 200, TYPES[".js"], CHART_JS.read_bytes()
        name = "index.html" if path == "/" else path[1:]
        if "/" not in name and (FILES / name).suffix in TYPES and (FILES / name).exists():
            return 200, TYPES[(FILES / name).suffix], (FILES / name).read_bytes()
        return 404, "text/plain", b"no such page\n"

    def history_now(self):
        """The history as if its last point had just ended."""
        if self.history.get("schema") != 1:
            return self.history
        def moved(points, step_s):
            end = int(time.time()) // step_s * step_s
            late = end - points[-1]["at"] if points else 0
            return [{**each, "at": each["at"] + late} for each in points]
        return {**self.history, "minutes": moved(self.history["minutes"], 60),
                "seconds": moved(self.history["seconds"], 1)}

    def _handler(self):
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.split("?")[0]
                node.asked.append((self.headers.get("Host"), path))
                while node.hangs.is_set() and not node.over.is_set():
                    node.over.wait(KILLED_S)
                if node.over.is_set():
                    self.close_connection = True
                    return
                status, kind, body = node.answer(path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-cache")
                self.send_header("X-Content-Type-Options", "nosniff")
                self.send_header("Content-Security-Policy", POLICY)
                if self.headers.get("Origin") in node.allowed:
                    self.send_header("Access-Control-Allow-Origin", self.headers["Origin"])
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler


def main():
    """Three nodes to look at by hand."""
    first = StandIn("node-a", history=history_document("node-a", 1, trouble={
        **{ago: 2 for ago in range(18, 23)}, 23: 3}))
    second = StandIn("node-b", 2, [first.url], level="Warning", used=73.0, full_in_s=420, lag_s=340,
                     causes=[("Warning", "sink archive is 340 s behind")])
    third = StandIn("node-c", 3, [first.url])
    print(f"{first.url}/?nodes={second.url},{third.url}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
