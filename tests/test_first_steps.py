"""Goal: what the README promises to whoever tries Inlet for the first time is so.

Method: `inlet run` with no configuration at all, the requests of the README, and a real log file
sent in three ways; the archive is read with zstd and compared byte for byte."""

import json
import pathlib
import re
import subprocess

import inlet
from wire import Wire, get, post, wait_until

REAL_LOG = pathlib.Path("/var/log/dpkg.log")
LOG_BYTES_MIN, LOG_BYTES_MAX = 200_000, 1_000_000
BATCH_LINES = 50


def real_lines():
    """Lines of a real log; made up where the machine has none worth the name."""
    if REAL_LOG.exists() and REAL_LOG.stat().st_size > LOG_BYTES_MIN:
        text = REAL_LOG.read_bytes()[:LOG_BYTES_MAX]
        if text.isascii():
            return text[:text.rindex(b"\n") + 1].splitlines(keepends=True)
    lines = []
    while sum(map(len, lines)) < LOG_BYTES_MIN:
        i = len(lines)
        lines.append(b"2026-11-23 10:%02d:%02d status installed package-%d:amd64 1.%d-2\n"
                     % (i // 60 % 60, i % 60, i * 7919 % 10007, i))
    return lines


def in_order(events):
    """By id: JOURNAL-SEQUENCE, or JOURNAL-SEQUENCE.INDEX where a body was split."""
    def key(event):
        record, _, index = event["id"].partition(".")
        return record, int(index or 0)
    return sorted(events, key=key)


def test_the_first_record_is_acknowledged_and_archived_within_seconds(make_node):
    node = make_node(plain=True).start()
    answer = post(node.address, "demo", b'{"hello":"world"}', "Content-Type: application/json")
    assert answer.status == 200
    assert answer.headers["inlet-durability"] == "disk"
    told = answer.json()
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]{12}", told["id"])
    assert (told["bytes"], told["durability"]) == (17, "disk")

    demo = node.archive / "tenant=default/stream=demo"
    path = wait_until(lambda: inlet.objects(demo), "the archive has an object", 5)[0]
    where = path.relative_to(demo).as_posix()
    assert re.fullmatch(r"date=\d{4}-\d\d-\d\d/hour=\d\d/[^/]+\.ndjson\.zst", where), where
    shown = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    event = json.loads(shown)
    assert event["data"] == {"hello": "world"}
    assert (event["id"], event["tenant"], event["stream"]) == (told["id"], "default", "demo")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", event["received_at"])


def test_the_curl_line_that_run_prints_works(make_node):
    node = make_node().start()
    line = wait_until(lambda: re.search(r"try: (curl .*)", node.text("stdout")), "the curl line")
    words = line[1].split()
    done = subprocess.run([*words, "-sS"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["durability"] == "disk"
    node.wait_events(1, "first")


def test_the_dashboard_address_that_run_prints_answers(node):
    line = re.search(r"dashboard on http://127\.0\.0\.1:(\d+)/", node.text("stdout"))
    assert int(line[1]) == node.admin_port
    page = get(node.admin, "/")
    assert page.status == 200 and page.headers["content-type"].startswith("text/html")
    assert get(node.admin, "/metrics").status == 200
    assert get(node.admin, "/status.json").json()["admission"] == "open"


def test_a_real_log_sent_in_batches_of_lines_comes_back_byte_for_byte(node):
    lines = real_lines()
    with Wire(node.address) as wire:
        sent = 0
        for i in range(0, len(lines), BATCH_LINES):
            body = b"".join(lines[i:i + BATCH_LINES])
            assert wire.post("text", body, "Content-Type: text/plain").status == 200
            sent += 1
    got = in_order(node.wait_events(sent, "text"))
    assert len(got) == sent
    assert b"".join(map(inlet.body_of, got)) == b"".join(lines)
    assert {event["content_type"] for event in got} == {"text/plain"}


def test_a_real_log_sent_as_ndjson_comes_back_line_by_line(node):
    lines = real_lines()
    with Wire(node.address) as wire:
        for i in range(0, len(lines), BATCH_LINES):
            body = b"".join(json.dumps({"line": line.decode()}).encode() + b"\n"
                            for line in lines[i:i + BATCH_LINES])
            assert wire.post("json", body, "Content-Type: application/x-ndjson").status == 200
    got = in_order(node.wait_events(len(lines), "json"))
    assert [event["data"]["line"].encode() for event in got] == lines


def test_a_real_log_sent_as_one_body_comes_back_byte_for_byte(node):
    text = b"".join(real_lines())
    assert post(node.address, "whole", text).status == 200
    (event,) = node.wait_events(1, "whole")
    assert inlet.body_of(event) == text


def test_bytes_that_are_no_text_come_back_byte_for_byte(node):
    body = bytes(range(256)) * 40
    assert post(node.address, "raw", body).status == 200
    (event,) = node.wait_events(1, "raw")
    assert inlet.body_of(event) == body
