"""Goal: a real Prometheus that scrapes a fleet sees what happened to its requests, and its alerts
fire when a fault is there and clear when it is gone.

Method: three nodes under traffic whose latencies the client makes and writes down: it sends a head,
waits, and sends the body, so a node measures that wait (it counts from the first byte) and the
client's own figure is a little longer: it has the loopback in it. Prometheus's quantiles over the
merged buckets must lie in the very bucket in which the nodes' finer histograms have them, and no
further from the client's than that bucket is wide and the client's figures are loose. Faults are
real ones: kill -9, a shipper that is stopped, a journal that is full, keys that are spoilt. Rules
are those of deploy/, with minutes made seconds."""

import bisect
import contextlib
import math
import os
import random
import signal
import subprocess
import threading
import time

import pytest

import inlet
from conftest import directory, nodes
from prometheus_server import Alertmanager, Prometheus, notifications
from receiver import Receiver
from wire import Wire, get, post, wait_until

SEED = int(os.environ.get("INLET_PROMETHEUS_SEED", time.time_ns() % 1_000_000))
QUANTILES = (0.1, 0.5, 0.75, 0.85, 0.9, 0.95, 0.99, 0.999)
DURATION = "inlet_http_request_duration_seconds"
FIRES_S, CLEARS_S = 60, 90
LATE_S = 0.005  # A node may notice a first byte so late.
BODY = b"x" * 1000


@pytest.fixture(scope="module")
def fleet():
    """Three nodes, Prometheus, Alertmanager, and where it sends to."""
    small = {"segment_bytes": "5MiB", "max_bytes": "20MiB"}
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(directory())
        make = stack.enter_context(nodes(path))
        a = make(None, "node-a").start()
        b = make({"journal": small, "limits": {"journal_percent": 100}}, "node-b").start()
        c = make({"server": {"auth": "keys"}, "health": {"healthd_dir": str(path / "healthd")},
                  "cloudwatch": {"emf_file": str(path / "emf.log")}}, "node-c")
        made = subprocess.run([str(inlet.INLET), "key", "new", "--tenant", "acme",
                               "--data", str(c.data)], capture_output=True, text=True, check=True,
                              env=inlet.environment())
        c.start()
        c.key = made.stdout.strip()
        receiver = stack.enter_context(Receiver())
        alertmanager = Alertmanager(path / "alertmanager").start(receiver)
        stack.callback(alertmanager.stop)
        prometheus = Prometheus(path / "prometheus").start([n.admin for n in (a, b, c)],
                                                           alertmanager)
        stack.callback(prometheus.stop)
        wait_until(lambda: prometheus.value("sum(up)") == 3, "all are scraped", 30)
        yield Fleet([a, b, c], prometheus, receiver)


class Fleet:
    def __init__(self, made, prometheus, receiver):
        self.nodes, self.prometheus, self.receiver = made, prometheus, receiver
        for node in made:
            node.deaths_expected = True  # We kill them.

    def target(self, node):
        return f"127.0.0.1:{node.admin_port}"

    @contextlib.contextmanager
    def fault(self, *alerts):
        """`alerts`: (name, labels). They must fire inside and clear after."""
        for name, labels in alerts:
            assert not self.prometheus.firing(name, **labels), f"{name} fires before the fault"
        yield
        for name, labels in alerts:
            wait_until(lambda n=name, m=labels: not self.prometheus.firing(n, **m),
                       f"{name} has cleared", CLEARS_S, 0.2)

    def wait_firing(self, name, **labels):
        return wait_until(lambda: self.prometheus.firing(name, **labels), f"{name} fires", FIRES_S,
                          0.2)


def headers_of(node):
    return [f"Authorization: Bearer {node.key}"] if hasattr(node, "key") else []


class Client:
    """Requests that take as long as it is told; what they took is in `taken`, as asked for in
    `asked`."""

    def __init__(self, node, waits, connections):
        self.node = node
        self.waits = list(waits)
        self.asked, self.taken, self.statuses = [], [], []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(connections)]
        for thread in self.threads:
            thread.start()

    def run(self):
        head = "\r\n".join(["POST /ingest/app HTTP/1.1", "Host: test",
                            f"Content-Length: {len(BODY)}", *headers_of(self.node)]) + "\r\n\r\n"
        with Wire(self.node.address) as wire:
            while True:
                with self.lock:
                    if not self.waits:
                        return
                    wait = self.waits.pop()
                begun = time.perf_counter()
                wire.send(head.encode())
                time.sleep(wait)
                status = wire.send(BODY).read().status
                took = time.perf_counter() - begun
                with self.lock:
                    self.asked.append(wait)
                    self.taken.append(took)
                    self.statuses.append(status)


def quantile(values, q):
    """The smallest that a share `q` does not exceed."""
    return sorted(values)[max(1, math.ceil(q * len(values) - 1e-9)) - 1]


def highest_in(bucket):
    """Of a bucket in /status.json, in seconds: base/histogram.h with 32 buckets an octave."""
    if bucket < 64:
        return (bucket + 1) / 1e6
    shift = bucket // 32 - 1
    return ((bucket - shift * 32 + 1) << shift) / 1e6


def merged(fleet_nodes):
    """Upper bound -> count, of all nodes, from their own fine histograms."""
    found = {}
    for node in fleet_nodes:
        for bucket, count in node.status()["totals"]["latency_us"]["buckets"]:
            bound = highest_in(bucket)
            found[bound] = found.get(bound, 0) + count
    return found


def test_quantiles_over_the_fleet_are_those_of_its_requests(fleet):
    chance = random.Random(SEED)
    print(f"INLET_PROMETHEUS_SEED={SEED}")
    waits = [[chance.uniform(0.010, 0.030) for _ in range(600)],
             [chance.uniform(0.050, 0.120) for _ in range(120)],
             [chance.choice([0.25, 0.5]) * chance.uniform(1, 1.6) for _ in range(36)]]
    clients = [Client(node, each, 6) for node, each in zip(fleet.nodes, waits)]
    for client in clients:
        for thread in client.threads:
            thread.join()
        assert set(client.statuses) == {200}
    asked = [wait for client in clients for wait in client.asked]
    taken = [took for client in clients for took in client.taken]
    ask = fleet.prometheus
    wait_until(lambda: ask.value(f"sum({DURATION}_count)") == len(taken), "all is scraped", 30)

    buckets = sorted((float(labels["le"]), int(count))
                     for labels, count in ask.query(f"sum by (le) ({DURATION}_bucket)"))
    bounds = [bound for bound, _ in buckets]
    fine = merged(fleet.nodes)
    for bound, count in buckets:  # Merging lost nothing: bounds are bounds of both.
        assert count == sum(n for upper, n in fine.items() if upper <= bound), bound

    uppers = sorted(bound for bound, n in fine.items() for _ in range(n))
    for q in QUANTILES:
        seen = ask.value(f"histogram_quantile({q}, sum by (le) ({DURATION}_bucket))")
        at = bisect.bisect_left(bounds, seen)
        lower, upper = (bounds[at - 1] if at else 0), bounds[at]
        assert lower < quantile(uppers, q) <= upper, f"p{q * 100}: {seen} is in another bucket"
        raw, least = quantile(taken, q), quantile(asked, q) - LATE_S
        assert lower < raw and least <= upper, f"p{q * 100}: {seen}, of {least} to {raw}"
        assert abs(seen - raw) <= (upper - lower) + (raw - least), f"p{q * 100}"
    # Means of the nodes' percentiles would have been something else.
    p95 = ask.value(f"histogram_quantile(0.95, sum by (le) ({DURATION}_bucket))")
    mean = ask.value(f"avg(histogram_quantile(0.95, {DURATION}_bucket))")
    assert abs(mean - p95) > 0.3 * p95


def test_recorded_figures_are_there_for_the_fleet_and_for_each_node(fleet):
    stop = threading.Event()

    def traffic():
        while not stop.is_set():
            for node in fleet.nodes:
                post(node.address, "app", BODY, *headers_of(node))

    sender = threading.Thread(target=traffic)
    sender.start()
    try:
        ask = fleet.prometheus
        for name, series in ((f"job:{DURATION}:quantile_rate5m > 0", 8),
                             (f"instance:{DURATION}:quantile_rate5m > 0", 24),
                             ("instance:inlet_commit_duration_seconds:quantile_rate5m > 0", 9),
                             ("instance:inlet_http_requests:rate5m > 0", 3),
                             ('job:inlet_http_responses:rate5m{class="2xx"} > 0', 1),
                             ("job:inlet_records_stored:rate5m > 0", 1),
                             ("job:inlet_journal_used:max_ratio", 1),
                             ("job:inlet_journal_full_in_seconds:min", 1),
                             ("sink:inlet_sink_lag_seconds:max", 1),
                             ("sink:inlet_sink_delivered_records:rate5m > 0", 1),
                             ("instance:inlet_host_memory_used:ratio > 0", 3),
                             ("instance:inlet_host_disk_free:ratio > 0", 3),
                             ("instance:inlet_host_cpu_busy:ratio", 3)):
            wait_until(lambda n=name, s=series: len(ask.query(n)) == s,
                       f"{series} of {name}", 30, 0.2)
        assert ask.value("job:inlet_http_responses_5xx:ratio_rate5m") == 0
    finally:
        stop.set()
        sender.join()


def test_what_nodes_show_is_clean(fleet):
    for node in fleet.nodes:
        text = get(node.admin, "/metrics").text
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                              text=True, check=False, timeout=60)
        assert done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr
    # The one that has everything.
    assert "inlet_healthd_lines_total" in text and "inlet_keys_stale 0" in text


def test_a_check_of_metrics_would_find_something():
    done = subprocess.run(["promtool", "check", "metrics"], input="inlet_records 1\n# EOF\n",
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0


def test_a_fleet_that_is_well_raises_no_alarm(fleet):
    assert fleet.prometheus.value("sum(up)") == 3
    wait_until(lambda: not fleet.prometheus.all_firing() - {"InletNodeUnwell", "InletDiskLow",
                                                           "InletDiskNearlyFull"},
               "nothing fires but what is wrong with this machine", CLEARS_S, 0.5)


def test_a_node_that_is_killed_is_missed_and_its_return_is_seen(fleet):
    node = fleet.nodes[0]
    down = ("InletNodeDown", {"instance": fleet.target(node)})

    def told(status):
        return [one for one in notifications(fleet.receiver, "/pager")
                if one[:2] == (down[0], status) and one[2]["instance"] == fleet.target(node)]

    with fleet.fault(down):
        node.kill()
        alert = fleet.wait_firing(down[0], **down[1])
        assert alert["annotations"]["summary"] == f"Node {fleet.target(node)} does not answer"
        assert not fleet.prometheus.firing("InletAbsent")
        wait_until(lambda: told("firing"), "somebody is woken", 30, 0.2)
        node.start()
    wait_until(lambda: told("resolved"), "and told that it is over", 60, 0.2)


def test_a_shipper_that_hangs_is_missed(fleet):
    node = fleet.nodes[0]
    labels = {"instance": fleet.target(node), "sink": "archive"}
    with fleet.fault(("InletSinkSilent", labels), ("InletSinkLags", labels)):
        ship = node.child("ship-archive")
        os.kill(ship, signal.SIGSTOP)
        try:
            assert post(node.address, "app", b"waits").status == 200
            fleet.wait_firing("InletSinkLags", **labels)
            fleet.wait_firing("InletSinkSilent", **labels)
        finally:
            os.kill(ship, signal.SIGCONT)


def test_a_journal_that_fills_up_is_told_before_and_when_it_is_full(fleet):
    node = fleet.nodes[1]
    labels = {"instance": fleet.target(node)}
    names = ("InletJournalFilling", "InletJournalNearlyFull", "InletNotAccepting",
             "InletNodeErrors")
    stop = threading.Event()
    statuses = []

    def traffic():
        body = b"x" * 200_000
        while not stop.is_set():
            with contextlib.suppress(OSError):
                statuses.append(post(node.address, "app", body).status)
                stop.wait(0.02)

    sender = threading.Thread(target=traffic)
    with fleet.fault(*((name, labels) for name in names)):
        ship = node.child("ship-archive")
        os.kill(ship, signal.SIGSTOP)
        sender.start()
        try:
            for name in names:
                fleet.wait_firing(name, **labels)
            assert 503 in statuses
        finally:
            os.kill(ship, signal.SIGCONT)
            wait_until(lambda: statuses and statuses[-1] == 200, "it takes records again", 60)
            stop.set()
            sender.join()
        # Requests that are answered well end the share of those that were not.
        wait_until(lambda: post(node.address, "app", BODY).status == 200
                   and not fleet.prometheus.firing("InletNodeErrors", **labels),
                   "the errors are over", CLEARS_S, 0.05)


def test_keys_that_cannot_be_read_are_told(fleet):
    node = fleet.nodes[2]
    labels = {"instance": fleet.target(node)}
    keys = node.data / "keys"
    whole = keys.read_bytes()
    with fleet.fault(("InletKeysStale", labels)):
        keys.write_bytes(b"no keys\n")
        fleet.wait_firing("InletKeysStale", **labels)
        assert post(node.address, "app", BODY, *headers_of(node)).status == 200
        keys.write_bytes(whole)


def test_a_process_that_dies_again_and_again_is_told(fleet):
    node = fleet.nodes[0]
    labels = {"instance": fleet.target(node)}

    def began():
        return fleet.prometheus.value(
            f'process_start_time_seconds{{job="inlet", instance="{labels["instance"]}"}}')

    with fleet.fault(("InletNodeRestarts", labels)):
        for _ in range(4):
            before = began()
            os.kill(node.child("serve"), signal.SIGKILL)
            wait_until(lambda b=before: began() not in (b, None), "its new life is scraped", 30,
                       0.1)
        fleet.wait_firing("InletNodeRestarts", **labels)
