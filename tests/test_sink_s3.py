"""Goal: every record is in the bucket exactly once, as the file archive would hold it, through
kills, outages, refusals and answers that got lost; and what the operator must know is said.

Method: `inlet run` with a sink of type s3. moto is the bucket, with signatures and permissions
verified, boto3 the reader; a fake fails as it is told. Objects are downloaded as a directory tree
and compared with the node's own file archive, or proved against the file of acknowledgements.
INLET_S3_SEED repeats a run of the fake and of the kills."""

import os
import random
import re
import signal
import time

import pytest

import inlet
from aws_fakes import CANARY, NOTHING, Answer, FakeS3, access_key
from moto_server import REGION
from s3_server import S3Server
from wire import Wire, post, wait_until

SEED = int(os.environ.get("INLET_S3_SEED", time.time_ns() % 1_000_000))
KILLS = int(os.environ.get("INLET_SINK_KILLS", 5))
KEYS = {**NOTHING, "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": f"{CANARY}-key"}
NAME = re.compile(r"tenant=\w+/stream=[a-z]+/date=\d{4}-\d\d-\d\d/hour=\d\d/"
                  r"[a-z0-9.-]+-[0-9a-f]{12}-[0-9a-f]{12}-[0-9a-f]{12}\.ndjson(\.zst|\.gz)?")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = S3Server(tmp_path_factory.mktemp("moto")).start()
    yield started
    started.stop()


@pytest.fixture
def own_server(here):
    """One whose users and life are the test's."""
    started = S3Server(here).start()
    yield started
    started.stop()


@pytest.fixture
def bucket(server):
    name = f"bucket-{time.time_ns():x}"
    server.create_bucket(name)
    return name


def sink(url, bucket, **more):
    return {"sinks.out": {"type": "s3", "bucket": bucket, "endpoint": url, "region": REGION,
                          "batch_age": "100ms", "timeout": "3s", **more}}


def send(node, count, stream="a", size=100, start=0):
    with Wire(node.address) as wire:
        for number in range(start, start + count):
            body = f'{{"number":{number},"text":"{"x" * size}"}}'.encode()
            answer = wire.post(stream, body, "Content-Type: application/json")
            assert answer.status == 200, answer


def numbers(events):
    return sorted(event["data"]["number"] for event in events)


def wait_numbers(read, expected, timeout_s=30):
    """Waits until exactly these have arrived, each once."""
    def arrived():
        found = numbers(read())
        return found if len(found) >= len(expected) else None
    assert wait_until(arrived, f"{len(expected)} events arrive", timeout_s, 0.2) == list(expected)


def why_waiting(node, text, timeout_s=20):
    """Waits until the shipper says it waits, for a reason with `text` in it."""
    def said():
        return [line for line in node.log("delivery waits") if text in line["why"]]
    return wait_until(said, f"it waits for: {text}", timeout_s)[0]


def no_secrets(node):
    for path in [node.directory / "stderr", node.directory / "stdout",
                 *(node.data / "journal/cursors").iterdir()]:
        assert CANARY.encode() not in path.read_bytes(), path


def test_the_bucket_holds_what_the_file_archive_holds(server, bucket, make_node, here):
    node = make_node(sink(server.url, bucket, prefix="/raw/eu/", storage_class="STANDARD_IA",
                          sse="AES256")).start(KEYS)
    for stream in ("a", "b"):
        send(node, 50, stream)
    post(node.address, "lines", b'{"number":1}\n{"number":2}\n',
         "Content-Type: application/x-ndjson")
    post(node.address, "other", b"\x00\xff plain")
    expected = sorted(node.wait_events(103), key=lambda event: event["id"])

    def tree():
        return inlet.events(server.download(bucket, here / "tree"))
    wait_until(lambda: len(tree()) >= 103, "everything is in the bucket", 20, 0.2)
    assert sorted(tree(), key=lambda event: event["id"]) == expected
    for key in server.objects(bucket):
        assert key.startswith("raw/eu/") and NAME.fullmatch(key.removeprefix("raw/eu/")), key
        said = server.client("s3").head_object(Bucket=bucket, Key=key)
        assert said["StorageClass"] == "STANDARD_IA"
        assert said["ServerSideEncryption"] == "AES256"
        assert said["ContentType"] == "application/x-ndjson"
        assert "ContentEncoding" not in said
    no_secrets(node)


@pytest.mark.parametrize("compression,suffix", [("none", ".ndjson"), ("gzip", ".gz"),
                                                ("zstd", ".zst")])
def test_every_compression(server, bucket, make_node, here, compression, suffix):
    node = make_node(sink(server.url, bucket, compression=compression)).start(KEYS)
    send(node, 30)
    wait_numbers(lambda: inlet.events(server.download(bucket, here / "tree")), range(30))
    assert all(key.endswith(suffix) for key in server.objects(bucket))


def test_the_bucket_may_stand_in_the_hosts_name(make_node, here):
    with FakeS3() as fake:
        url = f"http://localhost:{fake.port}"
        node = make_node(sink(url, "logs", path_style=False)).start(KEYS)
        send(node, 3)
        wait_numbers(lambda: inlet.events(fake.download(here / "tree")), range(3))
        assert {asked.headers["host"] for asked in fake.asked} == {f"logs.localhost:{fake.port}"}
        assert all(path.startswith("tenant=") for path in fake.stored)


def test_a_bucket_that_is_missing_is_waited_for(server, make_node, here):
    name = f"late-{time.time_ns():x}"
    node = make_node(sink(server.url, name)).start(KEYS)
    send(node, 5)
    assert name in why_waiting(node, "NoSuchBucket")["why"]
    server.create_bucket(name)
    wait_numbers(lambda: inlet.events(server.download(name, here / "tree")), range(5))


def test_signatures_and_permissions_are_what_aws_wants(own_server, make_node, here):
    own_server.create_bucket("logs")
    reader = own_server.create_user("reader", "s3:*", "iam:*")
    writer = own_server.create_user("writer")
    own_server.require_signatures(reader)
    wrong = {**writer, "AWS_SECRET_ACCESS_KEY": f"{CANARY}-wrong"}
    node = make_node(sink(own_server.url, "logs", prefix="a b+c=d/ü"))
    node.start({**NOTHING, **wrong})
    send(node, 5)
    why_waiting(node, "SignatureDoesNotMatch")
    no_secrets(node)
    node.kill()

    node.start({**NOTHING, **writer})
    why_waiting(node, "AccessDenied")
    own_server.allow("writer", "s3:PutObject")  # And nothing more.
    wait_numbers(lambda: inlet.events(own_server.download("logs", here / "tree")), range(5))
    assert all(key.startswith("a b+c=d/ü/tenant=") for key in own_server.objects("logs"))


def test_kills_at_random_lose_nothing_and_repeat_nothing(server, bucket, make_node, here):
    print(f"INLET_S3_SEED={SEED}")
    chance = random.Random(SEED)
    node = make_node(sink(server.url, bucket, batch_age="50ms", batch_records=40))
    node.deaths_expected = True
    node.start(KEYS)
    acked = here / "acked"
    load = inlet.load(f"{node.url}/ingest/kill", "--rate", 200, "--connections", 8, "--size", 500,
                      "--retry", "--timeout", "3s", "--drain", "30s", "--duration", "3600s",
                      "--acked", acked)
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.1, 0.8))
            os.kill(node.child("ship-out"), signal.SIGKILL)
            assert load.poll() is None, load.stdout.read()
        load.send_signal(signal.SIGINT)
        report = load.communicate(timeout=60)[0]
    finally:
        load.kill()
        load.wait()
    print(report)
    node.stop()
    code, proof, text = inlet.prove(server.download(bucket, here / "tree"), acked)
    print(text)
    assert proof["acknowledged"] > 20 * KILLS
    assert proof["missing"] == 0
    assert proof["twice"] - proof["twice_after_repeat"] == 0
    assert (proof["damaged"], proof["malformed"], proof["objects_unreadable"]) == (0, 0, 0)
    assert code == 0


def test_a_destination_that_is_silent_costs_nothing_but_time(own_server, make_node, here):
    own_server.create_bucket("logs")
    node = make_node(sink(own_server.url, "logs", timeout="1s")).start(KEYS)
    send(node, 20)
    own_server.pause()
    send(node, 20, start=20)  # The door stays open.
    why_waiting(node, "bucket logs: ")
    own_server.resume()
    wait_numbers(lambda: inlet.events(own_server.download("logs", here / "tree")), range(40))


def test_a_closed_port_is_waited_for(make_node, here):
    with FakeS3() as fake:
        url = fake.url
    node = make_node(sink(url, "logs")).start(KEYS)
    send(node, 5)
    assert "127.0.0.1" in why_waiting(node, "bucket logs: ")["why"]
    node.kill()
    with FakeS3() as fake:
        node.configure(sink(fake.url, "logs"))
        node.start(KEYS)
        wait_numbers(lambda: inlet.events(fake.download(here / "tree")), range(5))
        node.stop()


def test_slow_down_is_obeyed(make_node, here):
    asked_at = []

    def judge(_):
        asked_at.append(time.monotonic())
        slow = Answer(503, "SlowDown", {"Retry-After": "2"})
        return slow if len(asked_at) == 1 else None
    with FakeS3(judge) as fake:
        node = make_node(sink(fake.url, "logs")).start(KEYS)
        send(node, 1)
        wait_numbers(lambda: inlet.events(fake.download(here / "tree")), range(1))
        assert asked_at[1] - asked_at[0] >= 2
        why_waiting(node, "SlowDown")
        node.stop()


def test_faults_at_random_lose_nothing_and_repeat_nothing(make_node, here):
    """Every third request fails: refused, stored and not said, cut, or with nonsense."""
    print(f"INLET_S3_SEED={SEED}")
    chance = random.Random(SEED)

    def judge(_):
        if chance.random() > 0.33:
            return None
        return chance.choice([
            Answer(500, "InternalError"), Answer(503, "SlowDown"), Answer(400, "RequestTimeout"),
            Answer(500, "InternalError", store=True), Answer(cut=True),
            Answer(cut=True, store=True), Answer(502, body=b"<html>"),
            Answer(400, body=b"\0" * 1000), Answer(403, body=b"{"),
            Answer(307, headers={"Location": "http://169.254.169.254/"})])
    with FakeS3(judge) as fake:
        node = make_node(sink(fake.url, "logs", batch_records=10)).start(KEYS)
        for stream in ("a", "b", "c"):
            send(node, 200, stream)
        node.wait_events(600)
        wait_until(lambda: len(inlet.events(fake.download(here / "tree"))) >= 600,
                   "everything is in the bucket", 60, 0.2)
        fake.judge = lambda _: None
        node.stop()
        events = inlet.events(fake.download(here / "tree"))
        assert len({event["id"] for event in events}) == len(events) == 600
        for stream in ("a", "b", "c"):
            assert numbers(e for e in events if e["stream"] == stream) == list(range(200))
        no_secrets(node)


def test_another_compression_after_a_restart_leaves_one_object_not_two(make_node, here):
    with FakeS3(lambda asked: Answer(500, "InternalError", store=True)) as fake:
        node = make_node(sink(fake.url, "logs", compression="zstd")).start(KEYS)
        send(node, 20)
        wait_until(lambda: fake.stored, "something is stored")
        node.kill()
        fake.judge = lambda asked: None
        node.configure(sink(fake.url, "logs", compression="gzip"))
        node.start(KEYS)
        node.stop()
        assert any(asked.method == "DELETE" for asked in fake.asked)
        assert all(path.endswith(".gz") for path in fake.stored), fake.stored
        wait_numbers(lambda: inlet.events(fake.download(here / "tree")), range(20))


def test_what_has_arrived_is_not_uploaded_again(make_node, here):
    broken = {"stream=b"}

    def judge(asked):
        wrong = any(name in asked.path.replace("%3D", "=") for name in broken)
        return Answer(500, "InternalError") if wrong else None
    with FakeS3(judge) as fake:
        node = make_node(sink(fake.url, "logs", batch_age="1s")).start(KEYS)
        for stream in ("a", "b", "c"):
            send(node, 5, stream)
        why_waiting(node, "InternalError")
        wait_until(lambda: len(node.log("delivery waits")) > 2, "it was tried again")
        broken.clear()
        wait_until(lambda: len(inlet.events(fake.download(here / "tree"))) == 15,
                   "everything is in the bucket", 30)
        node.stop()
        assert set(fake.puts.values()) == {1}, fake.puts
        assert {access_key(asked) for asked in fake.asked} == {"AKIDTEST"}
