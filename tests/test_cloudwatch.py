"""Goal: with cloudwatch.put, CloudWatch has the figures that /metrics has, of every node and of all
together; what happens to CloudWatch, to its credentials or to the node costs no figure that can be
kept and disturbs nothing else.

Method: `inlet run` reports every second to moto, which is CloudWatch here; boto3 reads the
statistics back. Outages are a proxy's. Nodes end in order, so the last figures are reported too."""

import contextlib
import datetime
import os
import pathlib
import re
import signal

import pytest

import inlet
from aws_fakes import NOTHING
from faulty_proxy import FaultyProxy
from moto_server import ENVIRONMENT, KEYS, REGION, Moto, unique_name
from wire import Wire, get, wait_until

BEGINS = "the node answers: counting"
WITH_KEYS = {**NOTHING, **ENVIRONMENT, "AWS_REGION": REGION}
BUCKET = 1 / 32  # How much wider than its lower bound a bucket of latencies is at most.


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    server = Moto(tmp_path_factory.mktemp("moto")).start()
    yield server
    server.stop()


def cloudwatch(**more):
    return {"cloudwatch": {"put": True, "period": "1s", "namespace": unique_name("Inlet"),
                           "environment": "test", **more}}


def begin(make_node, name, changes, url, environment=None):
    """A node whose figures are counted from now on."""
    changes = {"node": {"name": name}, "server": {"drain_delay": "1s"}, **changes}
    node = make_node(changes, name)
    node.start({**(environment or WITH_KEYS), "AWS_ENDPOINT_URL_CLOUDWATCH": url})
    wait_until(lambda: node.log(BEGINS), "the first look is taken", 20)
    return node


def send(node, bodies, stream="app"):
    with Wire(node.address) as wire:
        return [wire.post(stream, body).status for body in bodies]


def metrics(node):
    """name or name{labels} -> value."""
    found = {}
    for line in get(node.admin, "/metrics").text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


class CloudWatch:
    """What moto was told in one namespace. Unlike CloudWatch it finds metrics that have more
    dimensions than were asked for, too: what is told of all and of each node, ask for by node."""

    def __init__(self, moto, changes):
        self.client = moto.client("cloudwatch")
        self.namespace = changes["cloudwatch"]["namespace"]

    def points(self, metric, node=None):
        """Of a node, or of all together, by the second."""
        dimensions = [{"Name": "Environment", "Value": "test"}]
        if node is not None:
            dimensions.append({"Name": "Node", "Value": node.directory.name})
        now = datetime.datetime.now(datetime.timezone.utc)
        answer = self.client.get_metric_statistics(
            Namespace=self.namespace, MetricName=metric, Dimensions=dimensions, Period=1,
            StartTime=now - datetime.timedelta(hours=1), EndTime=now + datetime.timedelta(hours=1),
            Statistics=["Sum", "SampleCount", "Minimum", "Maximum"])
        return sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])

    def sum(self, metric, node=None, of="Sum"):
        return sum(point[of] for point in self.points(metric, node))

    def scopes(self, metric):
        """The names of dimensions it was reported with."""
        found = self.client.list_metrics(Namespace=self.namespace, MetricName=metric)["Metrics"]
        return {tuple(sorted(d["Name"] for d in one["Dimensions"])) for one in found}


def network_bytes():
    """(received, sent) by all interfaces but the loopback, since boot."""
    received = sent = 0
    for line in pathlib.Path("/proc/net/dev").read_text().splitlines()[2:]:
        name, numbers = line.split(":")
        if name.strip() != "lo":
            received += int(numbers.split()[0])
            sent += int(numbers.split()[8])
    return received, sent


def test_two_nodes_are_told_as_metrics_shows_them(make_node, moto):
    changes = cloudwatch(per_sink=True)
    network_before = network_bytes()
    nodes = [begin(make_node, name, changes, moto.url) for name in ("a", "b")]
    assert send(nodes[0], [b"x" * size for size in range(1, 201)]) == [200] * 200
    assert send(nodes[1], [b"y" * 1000] * 50) == [200] * 50
    assert send(nodes[1], [b"z"] * 7, "NO-NAME") == [404] * 7
    said = [metrics(node) for node in nodes]
    for node in nodes:
        node.stop()
    network = [after - before for before, after in zip(network_before, network_bytes())]

    told = CloudWatch(moto, changes)
    same = {"Responses2xx": 'inlet_http_responses_total{class="2xx"}',
            "Responses4xx": 'inlet_http_responses_total{class="4xx"}',
            "Responses5xx": 'inlet_http_responses_total{class="5xx"}',
            "RecordsStored": "inlet_records_stored_total",
            "BytesStored": "inlet_stored_bytes_total",
            "CommitsFailed": "inlet_commits_failed_total"}
    for metric, name in same.items():
        assert told.sum(metric) == sum(one[name] for one in said), metric
    assert told.sum("CommitLatency", of="SampleCount") == sum(one["inlet_commits_total"]
                                                               for one in said)
    # The node's own questions, once a second, are bytes too.
    assert told.sum("BytesReceived") >= sum(one["inlet_http_received_bytes_total"] for one in said)
    for node, one in zip(nodes, said):
        count = one["inlet_http_request_duration_seconds_count"]
        assert told.sum("Requests", node) == count
        assert told.sum("Latency", node, "SampleCount") == count
        # Each value is the upper bound of its bucket.
        seconds = one["inlet_http_request_duration_seconds_sum"]
        assert seconds <= told.sum("Latency", node) <= seconds * (1 + BUCKET) + count * 1e-6
    for metric, moved in zip(("NetworkIn", "NetworkOut"), network):
        assert all(point["SampleCount"] > 0 for point in told.points(metric))
        assert 0 <= told.sum(metric) <= moved * len(nodes)
    assert told.scopes("Requests") == {("Environment",), ("Environment", "Node")}
    assert told.scopes("Responses2xx") == {("Environment",)}
    assert told.scopes("SinkLag") == {("Environment",), ("Environment", "Sink")}


def test_a_period_counts_for_the_time_it_was_in(make_node, moto):
    changes = cloudwatch()
    node = begin(make_node, "a", changes, moto.url)
    before = datetime.datetime.now(datetime.timezone.utc)
    assert send(node, [b"x"] * 30) == [200] * 30
    after = datetime.datetime.now(datetime.timezone.utc)
    told = CloudWatch(moto, changes)
    wait_until(lambda: told.sum("Responses2xx") == 30, "all are told", 15, 0.2)
    second = datetime.timedelta(seconds=1)
    for point in told.points("Responses2xx"):
        if point["Sum"] > 0:
            assert before - 1.5 * second <= point["Timestamp"] <= after + second


def test_an_outage_leaves_no_hole(make_node, moto):
    changes = cloudwatch()
    with FaultyProxy(moto.port) as proxy:
        node = begin(make_node, "a", changes, f"http://127.0.0.1:{proxy.port}")
        told = CloudWatch(moto, changes)
        send(node, [b"x"] * 10)
        wait_until(lambda: told.sum("Responses2xx") == 10, "what came before is told", 15, 0.2)
        proxy.set("refuse")
        wait_until(lambda: node.log("figures are not taken"), "it is missed", 20)
        away = []
        for _ in range(3):
            send(node, [b"x"] * 10)
            away.append(datetime.datetime.now(datetime.timezone.utc))
            seen = len(node.status()["sinks"])  # Time passes by questions, not by sleep.
            wait_until(lambda: datetime.datetime.now(datetime.timezone.utc)
                       > away[-1] + datetime.timedelta(seconds=1.2), "a period is over")
            assert seen == 1
        assert told.sum("Responses2xx") == 10
        proxy.set("pass")
        wait_until(lambda: told.sum("Responses2xx") == 40, "what came meanwhile is told", 60, 0.5)
        assert node.log("figures are taken again")
        said = {point["Timestamp"] for point in told.points("Responses2xx") if point["Sum"] > 0}
        assert len(said) >= 4, "each period at its own time"
        node.stop()
        assert told.sum("RecordsStored") == 40


def test_what_serve_counts_anew_is_neither_lost_nor_told_twice(make_node, moto):
    changes = cloudwatch()
    node = begin(make_node, "a", changes, moto.url)
    node.deaths_expected = True
    told = CloudWatch(moto, changes)
    send(node, [b"x" * 100] * 40)
    wait_until(lambda: told.sum("RecordsStored") == 40, "the first life is told", 15, 0.2)
    first = node.child("serve")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: node.state()["children"].get("serve", first) != first, "serve is back", 20)
    assert send(node, [b"x" * 100] * 60) == [200] * 60
    node.stop()
    assert told.sum("RecordsStored") == 100
    assert told.sum("BytesStored") == 10_000
    assert told.sum("Latency", node, "SampleCount") == 100


def test_a_reporter_that_dies_is_started_again_and_nobody_else_notices(make_node, moto):
    changes = cloudwatch()
    node = begin(make_node, "a", changes, moto.url)
    node.deaths_expected = True
    serve, reporter = node.child("serve"), node.child("cloudwatch")
    os.kill(reporter, signal.SIGKILL)
    wait_until(lambda: node.state()["children"].get("cloudwatch", reporter) != reporter,
               "it is started again", 20)
    wait_until(lambda: len(node.log(BEGINS)) == 2, "it counts again", 20)
    assert send(node, [b"x"] * 5) == [200] * 5
    assert node.child("serve") == serve
    told = CloudWatch(moto, changes)
    wait_until(lambda: told.sum("Responses2xx") == 5, "what came since is told", 15, 0.2)


def test_without_credentials_the_node_serves_and_leaves_as_ever(make_node, moto):
    changes = cloudwatch()
    node = begin(make_node, "a", changes, moto.url, NOTHING | {"AWS_REGION": REGION})
    wait_until(lambda: node.log("figures are not taken"), "it is said once", 20)
    assert send(node, [b"x"] * 20) == [200] * 20
    node.stop()
    assert len(node.log("figures are not taken")) == 1
    assert CloudWatch(moto, changes).points("Requests") == []
    assert len(node.events()) == 20


def test_a_service_that_never_answers_does_not_keep_a_node_from_leaving(make_node, moto):
    changes = cloudwatch()
    with FaultyProxy(moto.port) as proxy:
        proxy.set("blackhole")
        node = begin(make_node, "a", changes, f"http://127.0.0.1:{proxy.port}")
        wait_until(lambda: proxy.connections > 0, "it is asked", 20)
        node.stop()
        ended, = node.log("ended", 0)[-1:]
        assert ended["room"] == "cloudwatch" and ended["left"] > 0


def test_no_secret_is_in_logs_or_requests(make_node, moto):
    changes = cloudwatch()
    node = begin(make_node, "a", changes, moto.url)
    told = CloudWatch(moto, changes)
    wait_until(lambda: told.points("Requests"), "something is told", 15, 0.2)
    node.stop()
    secret = KEYS["AWS_SECRET_ACCESS_KEY"]
    assert secret not in node.errors()
    assert secret not in (moto.directory / "moto.log").read_text()
    for path in node.data.rglob("*"):
        with contextlib.suppress(IsADirectoryError):
            assert secret.encode() not in path.read_bytes(), path


def test_reports_begin_and_end_with_the_configuration(make_node, moto):
    changes = cloudwatch()
    plain = {"node": {"name": "a"}}
    node = make_node(plain, "a")
    node.start({**WITH_KEYS, "AWS_ENDPOINT_URL_CLOUDWATCH": moto.url})
    assert "cloudwatch" not in node.state()["children"]
    node.configure({**plain, **changes})
    node.signal(signal.SIGHUP)
    wait_until(lambda: node.log(BEGINS), "reports begin", 20)
    assert send(node, [b"x"] * 9) == [200] * 9
    told = CloudWatch(moto, changes)
    wait_until(lambda: told.sum("Responses2xx") == 9, "what was sent is told", 15, 0.2)
    node.configure(plain)
    node.signal(signal.SIGHUP)
    wait_until(lambda: "cloudwatch" not in node.state()["children"], "reports end", 20)
    assert told.sum("Responses2xx") == 9


@pytest.mark.parametrize("settings, what", [
    ({"put": True, "namespace": "AWS/EC2"}, "AWS/"),
    ({"put": True, "period": "100ms"}, "period"),
    ({"put": True, "perod": "1s"}, "period"),
])
def test_mistakes_are_told_before_anything_starts(here, settings, what):
    config = here / "inlet.toml"
    config.write_text(inlet.toml({"cloudwatch": settings}))
    done = inlet.run("check", "--config", config)
    assert done.returncode == 2
    assert re.search(what, done.stderr + done.stdout)


@pytest.mark.parametrize("admin", ["", "127.0.0.1:0"])
def test_figures_need_an_admin_listener_that_can_be_found(here, admin):
    config = here / "inlet.toml"
    config.write_text(inlet.toml({"cloudwatch": {"put": True}, "server": {"admin": admin}}))
    done = inlet.run("check", "--config", config)
    assert done.returncode == 2
    assert "cloudwatch.put" in done.stderr + done.stdout
