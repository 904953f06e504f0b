"""Goal: every line that is logged is kept, whole and in order, from standard error and files to the
archive, through kills, full disks and dead stores; nobody can forge one, and nobody waits for one.

Method: `inlet run` with [log]. Requests are named by X-Request-Id and looked for in the access log;
what the processes said on standard error is looked for in the files. moto is the bucket, a fake
one fails as it is told; disks are filled and frozen."""

import collections
import gzip
import json
import os
import pathlib
import re
import signal
import threading
import time

import pytest

import inlet
from aws_fakes import NOTHING, Answer, FakeS3
from faults import disk
from moto_server import KEYS, REGION
from s3_server import S3Server
from wire import Wire, get, post, wait_until

ROTATED = re.compile(r"([a-z0-9][a-z0-9_.-]*)-(\d{8}T\d{6}\.\d{6}Z)\.log")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ROOT = "1-67891233-abcdef012345678912345678"
FAKE_KEYS = {**NOTHING, "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "hush"}
KIB = 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = S3Server(tmp_path_factory.mktemp("moto")).start()
    yield started
    started.stop()


@pytest.fixture
def fake():
    with FakeS3() as started:
        yield started


def log_settings(here, **more):
    return {"log": {"directory": here / "logs", "max_bytes": "64KiB", **more}}


def archived_to(url, **more):
    return {"archive": "s3://kept/inlet", "archive_endpoint": url, "archive_region": REGION, **more}


# ---- Reading.

def local(directory):
    """name -> bytes of the log files that are there, the oldest of each process first."""
    found = {}
    for path in sorted(pathlib.Path(directory).glob("*.log"),
                       key=lambda p: (ROTATED.fullmatch(p.name) is None, p.name)):
        try:
            found[path.name] = path.read_bytes()
        except FileNotFoundError:  # Just archived, or renamed: it is seen elsewhere.
            continue
    return found


def unpacked(objects):
    """The same of archived objects: path or key -> bytes."""
    return {pathlib.PurePath(key).name.removesuffix(".gz"): gzip.decompress(data)
            for key, data in sorted(objects.items(), key=lambda o: pathlib.PurePath(o[0]).name)}


def kept_in(directory):
    return unpacked({str(p): p.read_bytes() for p in pathlib.Path(directory).rglob("*.log.gz")})


def process_of(name):
    rotated = ROTATED.fullmatch(name)
    return rotated[1] if rotated else name.removesuffix(".log")


def lines(files, process=None):
    """Every line of these files, parsed; each file must be whole lines of JSON objects."""
    found = []
    for name, data in files.items():
        if process in (None, process_of(name)):
            assert data == b"" or data.endswith(b"\n"), f"{name} ends inside a line"
            found += [json.loads(line) for line in data.splitlines()]
    assert all(isinstance(line, dict) for line in found)
    return found


def access(files):
    return lines(files, "access")


def wait_access(directory, count, timeout_s=10):
    def enough():
        found = access(local(directory))
        return found if len(found) >= count else None
    return wait_until(enough, f"{count} lines are in the access log", timeout_s)


def said(node):
    """What its processes logged on standard error, as the lines themselves."""
    return [line for line in node.errors().splitlines() if line.startswith("{")]


def in_no_file(node, files):
    """Lines on standard error that are in none of these files."""
    filed = {line for data in files.values() for line in data.decode().splitlines()}
    return [line for line in said(node) if line not in filed]


# ---- The access log.

def test_a_request_is_known_by_the_same_names_everywhere(here, make_node):
    node = make_node(log_settings(here, access="all")).start()
    answer = post(node.address, "web.page", b'{"n":1}', "X-Request-Id: order-4711",
                  f"traceparent: {PARENT}", f"X-Amzn-Trace-Id: Root={ROOT}",
                  "User-Agent: browser/1 (\"quoted\")", "Content-Type: application/json")
    assert answer.headers["x-request-id"] == "order-4711"
    (line,) = wait_access(here / "logs", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("time"))
    assert 0 < line.pop("took_us") < 20_000_000
    identity = answer.json()["id"]
    assert line == {
        "room": "access", "request_id": "order-4711", "trace_id": PARENT[3:35],
        "amzn_trace_id": ROOT, "client": "127.0.0.1", "method": "POST",
        "path": "/ingest/web.page", "status": 200, "bytes": 7, "tenant": "default",
        "stream": "web.page", "id": identity, "user_agent": 'browser/1 ("quoted")'}
    (record,) = node.records()
    assert (record["id"], record["trace_id"], record["request_id"]) == \
        (identity, PARENT, "order-4711")
    (event,) = node.wait_events(1)
    assert (event["id"], event["trace_id"], event["request_id"]) == (identity, PARENT, "order-4711")


def test_a_request_without_a_name_is_given_one_of_its_own(here, make_node):
    node = make_node(log_settings(here, access="all")).start()
    sent = [[], ["X-Request-Id: with space"], ["X-Request-Id: " + "x" * 129],
            ["X-Request-Id: a", "X-Request-Id: b"], ["X-Request-Id: caf\u00e9"],
            ["X-Request-Id: {\"a\":1}"], ["traceparent: nonsense"]]
    given = [post(node.address, "a", b"x", *headers).headers["x-request-id"] for headers in sent]
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in given)
    assert len(set(given)) == len(given)
    assert [line["request_id"] for line in wait_access(here / "logs", len(given))] == given
    assert not any("request_id" in r or "trace_id" in r for r in node.records())
    assert all("trace_id" not in event for event in node.wait_events(len(given)))


ATTACKS = [
    b"\"}\n{\"time\":\"2026-01-01T00:00:00Z\",\"forged\":true}",
    b"a\r\nX-Forged: 1",
    b"a\nforged",
    b"a\rforged",
    b"\\\",\\u000a\"forged\":\"",
    b"\x00forged",
    b"\x1b[2Jforged",
    b"\x7f\x08\x0b",
    b"\xff\xfe\xc0\xaf\xed\xa0\x80",
    b"\xe2\x80\xa8\xe2\x80\xa9\xc2\x85",
    b"%0a%00\"forged\"",
    b"\t\ttabs\t",
    b"x" * 5000,
]


def test_no_line_can_be_forged_by_what_is_sent(here, make_node):
    node = make_node(log_settings(here, access="all")).start()
    sent = 0
    for attack in ATTACKS:
        for head in (b"POST /ingest/" + attack + b" HTTP/1.1\r\nHost: t\r\n",
                     b"POST /" + attack + b"?" + attack + b" HTTP/1.1\r\nHost: t\r\n",
                     attack + b" /ingest/a HTTP/1.1\r\nHost: t\r\n",
                     b"POST /ingest/a HTTP/1.1\r\nHost: t\r\nUser-Agent: " + attack + b"\r\n",
                     b"POST /ingest/a HTTP/1.1\r\nHost: t\r\nX-Request-Id: " + attack + b"\r\n",
                     b"POST /ingest/a HTTP/1.1\r\nHost: t\r\ntraceparent: " + attack + b"\r\n",
                     b"POST /ingest/a HTTP/1.1\r\nHost: t\r\nX-Amzn-Trace-Id: " + attack + b"\r\n",
                     b"POST /ingest/a HTTP/1.1\r\nHost: " + attack + b"\r\n",
                     b"POST /ingest/a HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: " + attack + b"\r\n"):
            with Wire(node.address) as wire:
                wire.send(head + b"Content-Length: 1\r\nConnection: close\r\n\r\nx")
                answers, closed = wire.read_all()
                assert closed and len(answers) == 1, (head, answers)
                assert "x-forged" not in answers[0].headers
                sent += 1
    wait_access(here / "logs", sent)
    node.stop()
    found = access(local(here / "logs"))
    assert len(found) == sent
    names = {"time", "room", "request_id", "trace_id", "amzn_trace_id", "client", "method", "path",
             "status", "took_us", "bytes", "tenant", "stream", "id", "user_agent", "cut"}
    for line in found:
        assert set(line) <= names, line
        assert line["client"] == "127.0.0.1" and "?" not in line.get("path", "")
    for name, data in local(here / "logs").items():
        assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", data), name
        data.decode()
    for line in said(node):
        json.loads(line)


def test_refusals_are_logged_whoever_made_them_and_queries_never(here, make_node):
    node = make_node(log_settings(here, access="errors")).start()
    assert post(node.address, "fine").status == 200
    with Wire(node.address) as wire:
        wire.send(b"GET /nowhere?token=hush-hush HTTP/1.1\r\nHost: t\r\n\r\n")
        assert wire.read().status == 404
        wire.send(b"POST /ingest/no%20name HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n"
                  b"User-Agent: u\r\n\r\nbody")
        assert wire.read().status == 404
        wire.send(b"POST /ingest/a?hush-hush HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
                  b"\r\nnonsense\r\n")
        assert wire.read().status == 400
    with Wire(node.address) as wire:
        wire.send(b"not HTTP at all hush-hush\r\n\r\n")
        assert wire.read().status == 400
    found = wait_access(here / "logs", 4)
    assert [(line["status"], line.get("path"), line.get("method")) for line in found] == [
        (404, "/nowhere", "GET"), (404, "/ingest/no%20name", "POST"), (400, "/ingest/a", None),
        (400, None, None)]
    assert found[1]["user_agent"] == "u"
    assert b"hush-hush" not in b"".join(local(here / "logs").values())


def test_a_sample_says_what_it_stands_for(here, make_node):
    node = make_node(log_settings(here, access="all", access_sample=0.25)).start()
    with Wire(node.address) as wire:
        for _ in range(400):
            assert wire.post("a", b"x").status == 200
    node.stop()
    found = access(local(here / "logs"))
    assert 40 < len(found) < 170, "a quarter, give or take six deviations"
    assert all(line["sample"] == 0.25 for line in found)


def test_without_files_the_access_log_is_on_standard_error(make_node):
    node = make_node({"log": {"access": "all"}}).start()
    post(node.address, "a", b"x", "X-Request-Id: there")
    wait_until(lambda: [s for s in said(node) if '"there"' in s], "the line is there")
    assert all(json.loads(line) for line in said(node))


# ---- Files.

def send_named(node, prefix, count, names, threads=4):
    """Requests named prefix-thread-number; `names` gets those that were answered."""
    def send(thread):
        with Wire(node.address) as wire:
            for number in range(count):
                name = f"{prefix}-{thread}-{number}"
                try:
                    answer = wire.post("load", b"x" * 50, f"X-Request-Id: {name}",
                                       "User-Agent: " + "u" * 100)
                except OSError:
                    return
                if answer is None:
                    return
                assert answer.headers["x-request-id"] == name
                names.append(name)
    running = [threading.Thread(target=send, args=(t,)) for t in range(threads)]
    for thread in running:
        thread.start()
    return running


def test_rotation_under_load_loses_and_doubles_no_line(here, make_node):
    node = make_node(log_settings(here, access="all", max_age="1s", archive=here / "kept")).start()
    names = []
    for thread in send_named(node, "load", 1500, names):
        thread.join()
    assert len(names) == 6000
    node.stop()
    files = {**kept_in(here / "kept"), **local(here / "logs")}
    logged = collections.Counter(line["request_id"] for line in access(files))
    assert logged == collections.Counter(names)
    assert len([n for n in files if process_of(n) == "access"]) > 20
    assert max(len(data) for data in files.values()) <= 64 * KIB
    assert in_no_file(node, files) == []


def test_files_are_for_owner_and_group_and_hold_no_key(here, make_node):
    node = make_node(log_settings(here, access="all")).start()
    secret = "ik_live_" + "s3cr3t" * 6
    post(node.address, "a", b"x", f"Authorization: Bearer {secret}", f"X-Api-Key: {secret}")
    wait_access(here / "logs", 1)
    for path in (here / "logs").glob("*.log"):
        assert path.stat().st_mode & 0o777 == 0o640, path
        assert secret.encode() not in path.read_bytes()


def test_killing_every_process_loses_no_line_that_was_written(here, make_node):
    node = make_node(log_settings(here, access="all", archive=here / "kept")).start()
    node.deaths_expected = True
    written = set()
    for life in range(3):
        names = []
        running = send_named(node, f"life{life}", 100_000, names)
        wait_until(lambda: len(access(local(here / "logs"))) > 100, "lines are written")
        files = {**local(here / "logs"), **kept_in(here / "kept")}
        written |= {line["request_id"] for line in access(files)}
        serve = node.child("serve")
        for victim in ("serve", "ship-archive", "logs"):
            os.kill(node.child(victim), signal.SIGKILL)
        for thread in running:
            thread.join()
        wait_until(lambda: node.state()["children"].get("serve") not in (None, serve),
                   "serve is back")
        wait_until(lambda: post_or_none(node), "serve answers", 20)
    node.stop()
    files = {**kept_in(here / "kept"), **local(here / "logs")}
    found = collections.Counter(line.get("request_id") for line in access_after_kills(files))
    assert written <= set(found)
    assert max(found.values()) == 1


def post_or_none(node):
    try:
        return post(node.address, "probe", b"x")
    except OSError:
        return None


def access_after_kills(files):
    """A kill may cut the last line of a file; no other is cut."""
    whole = {name: data[:data.rfind(b"\n") + 1] for name, data in files.items()}
    return access(whole)


def test_the_oldest_files_go_when_there_are_too_many(here, make_node):
    node = make_node(log_settings(here, access="all", max_total_bytes="1MiB")).start()
    for thread in send_named(node, "many", 2000, []):
        thread.join()
    node.stop()
    sizes = [len(data) for data in local(here / "logs").values()]
    assert sum(sizes) <= (1024 + 4 * 64) * KIB
    assert sum(sizes) >= 900 * KIB
    assert node.log("the oldest rotated logs were removed")
    numbers = [int(line["request_id"].rsplit("-", 1)[1]) for line in access(local(here / "logs"))
               if line["request_id"].startswith("many-0-")]
    assert numbers == list(range(numbers[0], 2000)), "what is left is the newest, without a gap"


def test_a_configuration_that_would_lose_logs_is_a_mistake(here):
    def mistakes(**log):
        (here / "inlet.toml").write_text(inlet.toml({"log": log}))
        done = inlet.run("check", "--config", here / "inlet.toml", "--data", here / "data")
        return done.returncode, done.stderr
    for wrong, word in (({"archive": "s3://kept"}, "log.directory"),
                        ({"stderr": False}, "log.directory"),
                        ({"directory": "l", "archive": "l/kept"}, "inside"),
                        ({"directory": "l", "archive": "ftp://x"}, "neither"),
                        ({"directory": "l", "archive": "s3://K/x"}, "neither"),
                        ({"directory": "l", "max_bytes": "64MiB", "max_total_bytes": "1MiB"},
                         "less than one file"),
                        ({"directory": "l", "access_sample": 1.5}, "from 0 to 1"),
                        ({"directory": "l", "access_sample": "often"}, "from 0 to 1"),
                        ({"directory": "l", "access_sample": True}, "a number such as 0.01"),
                        ({"access": "al"}, "did you mean all?")):
        code, text = mistakes(**wrong)
        assert code == 2 and word in text, (wrong, text)
    assert mistakes(directory="l", archive="file:///kept", access="errors",
                    access_sample=0.01)[0] == 0


# ---- Disks.

def figure(node, name):
    """Of /metrics."""
    (value,) = re.findall(rf"^{name} (\d+)$", get(node.admin, "/metrics").body.decode(), re.M)
    return int(value)


def test_a_full_disk_costs_lines_and_nothing_else(here, make_node):
    with disk(here / "small", 8) as small:
        node = make_node({"log": {"directory": small.path / "logs", "access": "all",
                                  "max_bytes": "256KiB", "max_total_bytes": "100MiB"}}).start()
        assert post(node.address, "a", b"x", "X-Request-Id: before").status == 200
        wait_access(small.path / "logs", 1)
        filler = small.path / "filler"
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(b"x" * 4096)
                    file.flush()
            except OSError:
                pass
        names = []
        for thread in send_named(node, "full", 1500, names):
            thread.join()
        assert len(names) == 6000, "every request was answered"
        assert [a for a in node.log("lines do not get into their file") if "No space" in a["why"]]
        filler.unlink()
        wait_until(lambda: node.log("lines get into their file again"), "it goes on", 20)
        assert post(node.address, "a", b"x", "X-Request-Id: after").status == 200
        wait_until(lambda: [a for a in access(local(small.path / "logs"))
                            if a["request_id"] == "after"], "lines are written again")
        written, dropped = (figure(node, f"inlet_access_log_{name}_total")
                            for name in ("lines", "dropped_lines"))
        node.stop()
        found = collections.Counter(a["request_id"] for a in access(local(small.path / "logs")))
        assert found["before"] == found["after"] == 1 == max(found.values())
        assert written == found.total() and dropped == len(names) + 2 - found.total() > 0


def test_a_disk_that_does_not_answer_holds_up_nobody(here, make_node):
    with disk(here / "small", 8) as small:
        node = make_node({"log": {"directory": small.path / "logs", "access": "all"}}).start()
        assert post(node.address, "a", b"x").status == 200
        with small.frozen():
            time.sleep(0.5)  # The writer is stuck by now, or will be.
            slowest = 0
            for _ in range(300):
                start = time.monotonic()
                assert post(node.address, "a", b"x").status == 200
                slowest = max(slowest, time.monotonic() - start)
            assert slowest < 5
        node.stop()


# ---- The archive.

def test_every_line_is_in_the_bucket_or_left_here_when_all_has_ended(here, make_node, server):
    bucket = f"kept-{time.time_ns():x}"
    server.create_bucket(bucket)
    node = make_node(log_settings(here, access="all", archive=f"s3://{bucket}/in let",
                                  archive_endpoint=server.url, archive_region=REGION))
    node.start(KEYS)
    names = []
    for thread in send_named(node, "s3", 500, names):
        thread.join()
    node.stop()
    stored = {key: server.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
              for key in server.objects(bucket)}
    host = re.escape(next(iter(stored)).split("/")[1])
    name = rf"in let/{host}/([a-z-]+)/\d{{4}}/\d\d/\d\d/\1-[0-9T.]+Z\.log\.gz"
    assert all(re.fullmatch(name, key) for key in stored)
    left = local(here / "logs")
    assert set(map(process_of, left)) <= {"run", "logs"}, "only who must end last"
    archived = unpacked(stored)
    assert not set(archived) & set(left)
    logged = collections.Counter(line["request_id"] for line in access({**archived, **left}))
    assert logged == collections.Counter(names)
    assert in_no_file(node, {**archived, **left}) == []


def test_logs_go_oldest_first_wait_while_the_store_is_down_and_come_with_the_next_start(
        here, make_node, fake):
    down = threading.Event()
    down.set()
    order = []

    def judge(asked):
        if down.is_set():
            return Answer(503)
        order.append(asked.path.rsplit("/", 1)[1])
        return None
    fake.judge = judge
    node = make_node({**log_settings(here, access="all", **archived_to(fake.url)),
                      "server": {"flush_deadline": "1s"}}).start(FAKE_KEYS)
    names = []
    for thread in send_named(node, "one", 500, names):
        thread.join()
    node.stop()
    assert node.log("logs are not archived")
    assert "wait in" in node.errors() and not fake.stored
    waiting = len([n for n in local(here / "logs") if ROTATED.fullmatch(n)])
    assert waiting > 5

    node.start(FAKE_KEYS)
    down.clear()
    wait_until(lambda: len(fake.stored) > waiting, "all of it is stored", 60)
    wait_until(lambda: not [n for n in local(here / "logs") if ROTATED.fullmatch(n)],
               "nothing is left here", 20)
    stamps = [ROTATED.fullmatch(name.removesuffix(".gz"))[2] for name in order[:waiting]]
    assert stamps == sorted(stamps)
    node.stop()
    files = {**unpacked(fake.stored), **local(here / "logs")}
    assert collections.Counter(line["request_id"] for line in access(files)) == \
        collections.Counter(names)
    assert in_no_file(node, files) == []


def test_a_store_that_forgets_to_answer_gets_the_same_again(here, make_node, fake):
    node = make_node(log_settings(here, access="all", max_age="1s", **archived_to(fake.url)))
    node.deaths_expected = True
    kills = []
    stored_twice = []

    def judge(asked):
        path = asked.path.lstrip("/")
        if path in fake.stored:
            stored_twice.append((fake.stored[path], asked.body))
        elif len(kills) < 3:  # It is stored, but who sent it does not live to hear of it.
            kills.append(path)
            os.kill(node.child("logs"), signal.SIGKILL)
            return Answer(200, store=True)
        return None
    fake.judge = judge
    node.start(FAKE_KEYS)
    names = []
    for thread in send_named(node, "again", 300, names):
        thread.join()
    wait_until(lambda: len(kills) == 3 and len(stored_twice) >= 3, "it was killed thrice", 60)
    node.stop()
    assert all(before == after for before, after in stored_twice)
    files = {**unpacked(fake.stored), **local(here / "logs")}
    assert collections.Counter(line["request_id"] for line in access(files)) == \
        collections.Counter(names)


def test_a_reload_starts_and_stops_the_archive_and_restarts_nobody_else(here, make_node):
    changes = log_settings(here, access="all")
    node = make_node(changes).start()
    before = {name: node.child(name) for name in ("serve", "ship-archive")}
    changes["log"]["archive"] = here / "kept"
    node.configure(changes)
    node.signal(signal.SIGHUP)
    node.child("logs")
    wait_until((here / "logs/logs.log").exists, "it has begun")
    del changes["log"]["archive"]
    node.configure(changes)
    node.signal(signal.SIGHUP)
    wait_until(lambda: "logs" not in node.state()["children"], "the archive ends")
    assert {name: node.child(name) for name in before} == before
    changes["log"]["directory"] = here / "elsewhere"
    node.configure(changes)
    node.signal(signal.SIGHUP)
    wait_until(lambda: node.log("log.directory cannot change"), "it is refused")
    assert get(node.address, "/healthz").status == 200
