"""Goal: what a node says of itself is true: counts match the load exactly, wherever they are read
(/metrics, /status.json, /history.json, the healthd log, CloudWatch's lines), and the status names
what is wrong.
Method: known requests against a real node; its figures and files read back by readers written from
the published formats; the metrics page against what a node really exposes."""

import json
import pathlib
import re
import time

import jsonschema
import pytest

from wire import Wire, get, post, wait_until

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture
def figures(make_node, tmp_path):
    """A node that writes all there is to be written."""
    return make_node({"health": {"healthd_dir": str(tmp_path / "healthd")},
                 "log": {"directory": str(tmp_path / "logs"), "access": "all"},
                 "cloudwatch": {"emf_file": str(tmp_path / "emf" / "metrics.emf"),
                                "period": "1s"}}).start()


def admin(node, path, *headers):
    with Wire(node.admin) as wire:
        lines = [f"GET {path} HTTP/1.1", "Host: test", *headers, "", ""]
        return wire.send("\r\n".join(lines).encode()).read()


def metrics(node):
    """Every sample by its name and labels."""
    lines = get(node.admin, "/metrics").text.splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def mixed_requests(node):
    """7 records stored, 3 requests refused with 404, 2 whose framing is broken."""
    for i in range(7):
        assert post(node.address, "web", b"x" * (100 * i)).status == 200
    for _ in range(3):
        assert get(node.address, "/no/such?thing=1").status == 404
    for _ in range(2):
        with Wire(node.address) as wire:
            wire.send(b"POST /ingest/web HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n")
            assert wire.read().status == 400
    return {"2xx": 7, "3xx": 0, "4xx": 5, "5xx": 0}


def test_counts_are_those_of_the_load_wherever_they_are_read(figures, tmp_path):
    counts = mixed_requests(figures)
    seen = metrics(figures)
    for answers, count in counts.items():
        assert seen[f'inlet_http_responses_total{{class="{answers}"}}'] == str(count)
    assert seen["inlet_http_request_duration_seconds_count"] == "12"
    assert seen["inlet_records_stored_total"] == "7"
    assert seen["inlet_commit_duration_seconds_count"] == seen["inlet_commits_total"]
    status = figures.status()
    totals = status["totals"]
    assert {name: totals[name] for name in counts} == counts
    assert totals["latency_us"]["count"] == sum(n for _, n in totals["latency_us"]["buckets"]) == 12
    wait_until(lambda: figures.status()["last_minute"]["requests"] == 12, "so")
    wait_until(lambda: sum(point["interval"]["requests"] for point in
                           get(figures.admin, "/history.json").json()["seconds"]) == 12, "history")
    wait_until(lambda: len(healthd_lines(tmp_path / "healthd")) == 12, "so")
    wait_until(lambda: emf_sum(tmp_path / "emf" / "metrics.emf", "Requests") == 12, "so")
    assert emf_sum(tmp_path / "emf" / "metrics.emf", "Responses4xx") == 5


def healthd_lines(directory, ahead_s=0):
    """As the format is documented: seconds, path, status, twice the time, client; by quotes."""
    out = []
    for path in sorted(directory.glob("application.log.????-??-??-??")):
        for line in path.read_text(encoding="ascii").splitlines():
            at, target, status, took, upstream, client = line.split('"')
            assert re.fullmatch(r"\d+\.\d{3}", at) and abs(float(at) - ahead_s - time.time()) < 600
            assert time.strftime("%Y-%m-%d-%H", time.gmtime(float(at))) == path.name[-13:]
            assert re.fullmatch(r"\d+\.\d{3}", took) and took == upstream
            out.append((target, int(status), client))
    return out


def emf_sum(path, name):
    if not path.exists():
        return 0
    total = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        assert document["_aws"]["CloudWatchMetrics"]
        total += document.get(name, 0)
    return total


def test_the_healthd_log_says_path_status_and_client_of_each_request(figures, tmp_path):
    mixed_requests(figures)
    wait_until(lambda: len(healthd_lines(tmp_path / "healthd")) == 12, "so")
    lines = healthd_lines(tmp_path / "healthd")
    assert sorted(lines) == sorted(
        [("/ingest/web", 200, "127.0.0.1")] * 7 + [("/no/such", 404, "127.0.0.1")] * 3 +
        [(path, 400, "127.0.0.1") for path, status, _ in lines if status == 400])
    for path in (tmp_path / "healthd").glob("application.log.*-*"):
        assert path.stat().st_mode & 0o777 == 0o644  # The agent is another user.
    emf = tmp_path / "emf" / "metrics.emf"
    wait_until(emf.exists, "CloudWatch's lines")
    assert emf.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("target", [
    b'/a"500"9.9"9.9"6.6.6.6', b"/%22500%22", b"/" + b"q" * 3000, b"/a%0a1.1%22/b%22500",
    "/h\u00e9".encode("latin-1"), b"/a\\", b"/?\"\"\"\""],
    ids=["quotes", "encoded", "long", "lines", "latin", "backslash", "query"])
def test_a_path_cannot_forge_a_healthd_line(figures, tmp_path, target):
    with Wire(figures.address) as wire:
        wire.send(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        status = wire.read().status
    wait_until(lambda: healthd_lines(tmp_path / "healthd"), "so")
    (line,) = healthd_lines(tmp_path / "healthd")
    assert line[1:] == (status, "127.0.0.1")


def test_an_hour_that_ends_under_load_splits_the_healthd_log_and_loses_no_line(make_node, tmp_path):
    """The clock of the node stands a few seconds before a full hour."""
    hour_s, early_s = 3600, 5
    library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    directory = tmp_path / "healthd"
    node = make_node({"health": {"healthd_dir": str(directory)}}, command="serve")
    ahead_s = hour_s - int(time.time()) % hour_s - early_s
    node.start({"LD_PRELOAD": str(library), "FAKETIME": f"+{ahead_s}s",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    sent = 0

    def hours():
        return {path.name for path in directory.glob("application.log.????-??-??-??")
                if path.stat().st_size > 0}
    while len(hours()) < 2:
        assert sent < 20_000, hours()
        assert post(node.address, f"web-{sent % 7}", b"x").status == 200
        sent += 1
        time.sleep(0.01)
    for _ in range(20):
        assert post(node.address, "web-0", b"x").status == 200
    sent += 20
    wait_until(lambda: len(healthd_lines(directory, ahead_s)) >= sent, "every line is there")
    assert len(healthd_lines(directory, ahead_s)) == sent and len(hours()) == 2


# The rules of the CloudWatch User Guide, "Specification: Embedded metric format".
NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
UNITS = ["Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes",
         "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count",
         "Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second",
         "Terabytes/Second", "Bits/Second", "Kilobits/Second", "Megabits/Second", "Gigabits/Second",
         "Terabits/Second", "Count/Second", "None"]
METRIC = {"type": "object", "required": ["Name"], "additionalProperties": False,
          "properties": {"Name": NAME, "Unit": {"enum": UNITS},
                         "StorageResolution": {"enum": [1, 60]}}}
DIRECTIVE = {"type": "object", "required": ["Namespace", "Dimensions", "Metrics"],
             "properties": {"Namespace": {**NAME, "pattern": "^[^:].*$"},
                            "Dimensions": {"type": "array", "minItems": 1, "items": {
                                "type": "array", "maxItems": 30, "items": NAME}},
                            "Metrics": {"type": "array", "minItems": 1, "maxItems": 100,
                                        "items": METRIC}}}
LINE = {"type": "object", "required": ["_aws"], "properties": {"_aws": {
    "type": "object", "required": ["Timestamp", "CloudWatchMetrics"],
    "properties": {"Timestamp": {"type": "integer", "minimum": 0},
                   "CloudWatchMetrics": {"type": "array", "minItems": 1, "items": DIRECTIVE}}}}}


def target_mistakes(document):
    """What a schema cannot say: that which is named stands in the same object."""
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for name in {name for names in directive["Dimensions"] for name in names}:
            value = document.get(name)
            if not isinstance(value, str) or not 1 <= len(value) <= 1024:
                yield f"dimension {name} is {value!r}"
        for metric in directive["Metrics"]:
            value = document.get(metric["Name"])
            if isinstance(value, dict):  # As the agent takes histograms.
                values = value["Values"]
                good = len(values) == len(value["Counts"]) <= 100 and value["Min"] <= value["Max"]
            else:
                good = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not good:
                yield f"metric {metric['Name']} is {value!r}"


@pytest.mark.parametrize("more", [{}, {"high_resolution": True, "per_sink": True,
                                       "environment": "live"}], ids=["plain", "all"])
def test_every_line_for_cloudwatch_is_of_the_published_form(make_node, tmp_path, more):
    path = tmp_path / "metrics.emf"
    node = make_node({"cloudwatch": {"emf_file": str(path), "period": "1s", **more}}).start()
    mixed_requests(node)
    wait_until(lambda: emf_sum(path, "Requests") == 12, "so")
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert len(line.encode()) <= 1_000_000
        document = json.loads(line)
        jsonschema.validate(document, LINE)
        assert list(target_mistakes(document)) == []
        resolutions = {metric.get("StorageResolution", 60)
                       for directive in document["_aws"]["CloudWatchMetrics"]
                       for metric in directive["Metrics"]}
        assert resolutions == {1 if more else 60}
    broken = json.loads(lines[0])
    broken["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Unit"] = "Furlongs"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, LINE)


def test_every_metric_is_in_the_page_and_every_row_of_the_page_can_be_seen(figures):
    mixed_requests(figures)
    page = (ROOT / "docs" / "METRICS.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))
    # Shares of CPU need two looks.
    wait_until(lambda: "inlet_host_cpu_percent" in get(figures.admin, "/metrics").text, "CPU")
    text = get(figures.admin, "/metrics").text
    seen = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    assert seen <= rows
    # These need TLS, keys, or a control group with limits.
    assert {name for name in rows - seen if "certificate" not in name and "keys" not in name
            and "cgroup" not in name} == set()


def test_openmetrics_is_given_to_who_asks_for_it(figures):
    answer = admin(figures, "/metrics", "Accept: application/openmetrics-text;version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert admin(figures, "/metrics").headers["content-type"].startswith("text/plain")


def test_the_status_names_what_is_wrong(figures):
    def causes():
        """But for the machine's: other tests may keep it busy."""
        return [c for c in figures.status()["health"]["causes"] if "CPU" not in c["text"]]
    assert causes() == []
    for _ in range(30):
        get(figures.address, "/no/such")
    (cause,) = wait_until(causes, "a cause")
    assert "4xx" in cause["text"]
    assert cause["level"] == "Info"  # A client's mistakes are no fault of the node.


def test_pages_of_other_nodes_may_read_the_status_if_they_are_listed(make_node):
    here = make_node({"server": {"admin_origins": ["http://10.0.0.7:8081"]}}).start()

    def allowed(path, origin):
        return admin(here, path, f"Origin: {origin}").headers.get("access-control-allow-origin")
    for path in ("/status.json", "/history.json"):
        assert allowed(path, "http://10.0.0.7:8081") == "http://10.0.0.7:8081"
        assert allowed(path, "http://10.0.0.8:8081") is None
    assert allowed("/keys.json", "http://10.0.0.7:8081") is None
