"""Goal: every record reaches Kinesis in the envelope and in order, through restarts, kills, outages
and partial failures; what Kinesis never takes is set aside and stops nobody.

Method: `inlet run` with a sink of type kinesis. moto is the service, boto3 the reader, and what
arrives is compared with the node's own file archive; a fake fails single records and answers
nonsense. INLET_PUT_SEED repeats a run of the fake."""

import collections
import gzip
import json
import os
import random
import signal
import time

import pytest

import inlet
from moto_server import ENVIRONMENT, KEYS, REGION, Moto, unique_name
from put_fake import PutFake
from wire import Wire, get, post, wait_until

SEED = int(os.environ.get("INLET_PUT_SEED", time.time_ns() % 1_000_000))
JSON = "Content-Type: application/json"
NDJSON = "Content-Type: application/x-ndjson"
KILLS = int(os.environ.get("INLET_SINK_KILLS", 5))


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    server = Moto(tmp_path_factory.mktemp("moto")).start()
    yield server
    server.stop()


@pytest.fixture
def own_moto(here):
    """One that a test may stop."""
    server = Moto(here).start()
    yield server
    server.stop()


def sink(url, stream, **more):
    """One request at a time: what is put into a shard at the same time, moto may lose."""
    return {"sinks.out": {"type": "kinesis", "kinesis_stream": stream, "region": REGION,
                          "endpoint": url, "batch_age": "100ms", "timeout": "3s", "in_flight": 1,
                          **more}}


def records(got):
    return [json.loads(one.data) for one in got]


def in_order(events):
    def key(event):
        record, _, index = event["id"].partition(".")
        return record, int(index or 0)
    return sorted(events, key=key)


def check_order(events):
    """First occurrences are in order per stream; returns them by stream."""
    seen, by_stream = set(), collections.defaultdict(list)
    for event in events:
        if event["id"] not in seen:
            seen.add(event["id"])
            by_stream[event["stream"]].append(event)
    for stream, found in by_stream.items():
        assert found == in_order(found), stream
    return by_stream


def send_numbers(node, count, start=0, streams=("a", "b", "c")):
    with Wire(node.address) as wire:
        for i in range(start, start + count):
            body = json.dumps({"n": i}).encode()
            assert wire.post(streams[i % len(streams)], body, JSON).status == 200


def send_mixed(node):
    """Some of everything; returns how many events it makes."""
    with Wire(node.address) as wire:
        for i in range(60):
            assert wire.post("doc", json.dumps({"n": i, "a": [1, "\u00e4"]}).encode(),
                             JSON).status == 200
            lines = b"".join(b'{"i":%d,"l":%d}\n' % (i, k) for k in range(7))
            assert wire.post("lines", gzip.compress(lines), NDJSON,
                             "Content-Encoding: gzip").status == 200
            assert wire.post("doc", b'[{"n":1},\n {"n":2}]', JSON).status == 200
            assert wire.post("text", f"line {i}\nand \u00fc more".encode(),
                             "Content-Type: text/plain").status == 200
            assert wire.post("raw", bytes(range(256)) * (1 + i % 9)).status == 200
            assert wire.post("raw", b"").status == 200
    return 60 * (1 + 7 + 2 + 1 + 1 + 1)


def test_records_of_every_kind_arrive_as_in_the_archive(make_node, moto):
    name = unique_name("mixed")
    moto.create_stream(name, 3)
    node = make_node(sink(moto.url, name)).start(ENVIRONMENT)
    count = send_mixed(node)
    archived = node.wait_events(count)
    got = moto.wait_stream(name, count)
    assert len(got) == count
    assert in_order(records(got)) == in_order(archived)
    shards = collections.defaultdict(set)
    for one, event in zip(got, records(got), strict=True):
        assert one.key == f"{event['tenant']}/{event['stream']}"
        assert not one.data.endswith(b"\n")
        shards[one.key].add(one.shard)
    assert all(len(found) == 1 for found in shards.values())
    check_order(records(got))


def test_a_stream_of_its_own_for_every_stream_and_bare_lines(make_node, moto):
    names = [unique_name("own") + f"-default-{stream}" for stream in "ab"]
    prefix = names[0].rsplit("-", 2)[0]
    names = [f"{prefix}-default-{stream}" for stream in "ab"]
    for name in names:
        moto.create_stream(name)
    node = make_node(sink(moto.url, prefix + "-{tenant}-{stream}", envelope=False)).start(
        ENVIRONMENT)
    send_numbers(node, 100, streams=("a", "b"))
    for parity, name in enumerate(names):
        got = moto.wait_stream(name, 50)
        assert [one.data for one in got] == [b'{"n": %d}' % i for i in range(parity, 100, 2)]


def test_keys_by_id_spread_one_stream_over_all_shards(make_node, moto):
    name = unique_name("spread")
    moto.create_stream(name, 4)
    node = make_node(sink(moto.url, name, partition_key="id")).start(ENVIRONMENT)
    send_numbers(node, 300, streams=("a",))
    got = moto.wait_stream(name, 300)
    assert len(got) == 300
    assert {one.key for one in got} == {event["id"] for event in records(got)}
    assert len({one.shard for one in got}) == 4


def test_a_restart_goes_on_where_it_stopped(make_node, moto):
    name = unique_name("restart")
    moto.create_stream(name)
    node = make_node(sink(moto.url, name)).start(ENVIRONMENT)
    send_numbers(node, 200)
    node.stop()
    node.start(ENVIRONMENT)
    send_numbers(node, 200, start=200)
    got = moto.wait_stream(name, 400)
    assert len(got) == 400
    assert {event["data"]["n"] for event in records(got)} == set(range(400))
    check_order(records(got))


def test_kills_of_the_shipper_lose_nothing_and_keep_the_order(make_node, moto):
    print(f"INLET_PUT_SEED={SEED}")
    chance = random.Random(SEED)
    name = unique_name("kill")
    moto.create_stream(name)
    node = make_node(sink(moto.url, name, batch_age="20ms", batch_records=50))
    node.deaths_expected = True
    node.start(ENVIRONMENT)
    sent = 0
    for _ in range(KILLS):
        for _ in range(chance.randrange(1, 6)):
            send_numbers(node, 20, start=sent)
            sent += 20
            time.sleep(chance.uniform(0, 0.15))
        os.kill(node.child("ship-out"), signal.SIGKILL)
    got = moto.wait_stream(name, sent, 60)
    events = records(got)
    assert {event["data"]["n"] for event in events} == set(range(sent))
    check_order(events)
    copies = len(events) - sent
    assert copies <= KILLS * 50, copies  # A batch for each at most.


def test_the_service_may_be_gone_for_a_while_and_its_stream_too(make_node, own_moto):
    own_moto.create_stream("in")
    node = make_node(sink(own_moto.url, "in")).start(ENVIRONMENT)
    send_numbers(node, 100)
    assert len(own_moto.wait_stream("in", 100)) == 100
    wait_until(lambda: len(node.events()) == 100, "the archive has it")
    own_moto.stop()
    send_numbers(node, 100, start=100)
    node.wait_events(200)  # The other sink does not care.
    wait_until(lambda: "out" in json.dumps(node.log("delivery waits")), "it says that it waits")
    errors = node.size_of("stderr")
    own_moto.start()  # Without the stream.
    wait_until(lambda: "ResourceNotFoundException" in node.errors(errors)
               or "not found" in node.errors(errors), "it names what is missing", 40)
    own_moto.create_stream("in")
    got = own_moto.wait_stream("in", 100, 60)
    assert [event["data"]["n"] for event in in_order(records(got))] == list(range(100, 200))
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in node.errors()


def test_a_service_that_hangs_is_asked_again(make_node, own_moto):
    own_moto.create_stream("in")
    node = make_node(sink(own_moto.url, "in", timeout="500ms")).start(ENVIRONMENT)
    send_numbers(node, 30)
    own_moto.wait_stream("in", 30)
    own_moto.pause()
    send_numbers(node, 30, start=30)
    wait_until(lambda: node.log("delivery waits"), "the request timed out")
    own_moto.resume()
    events = records(own_moto.wait_stream("in", 60, 60))
    assert {event["data"]["n"] for event in events} == set(range(60))
    check_order(events)


def dead_letters(node):
    return [json.loads(line) for path in sorted((node.data / "dead/out").glob("*.ndjson"))
            for line in path.read_text().splitlines()]


@pytest.mark.parametrize("record_bytes", ["1MiB", "3MiB"])
def test_what_is_too_large_is_set_aside_and_stops_nobody(make_node, moto, record_bytes):
    """With 3MiB it is the service that refuses it, in a request with others."""
    name = unique_name("large")
    moto.create_stream(name)
    changes = sink(moto.url, name, record_bytes=record_bytes)
    changes["server"] = {"max_body": "2MiB"}
    node = make_node(changes).start(ENVIRONMENT)
    send_numbers(node, 20, streams=("a",))
    moto.wait_stream(name, 20)
    large = json.dumps("x" * (3 << 19)).encode()
    with Wire(node.address) as wire:
        for i in range(20, 60):
            assert wire.post("a", b'{"n":%d}' % i, JSON).status == 200
            if i == 40:
                refused = wire.post("a", large, JSON).json()["id"]
    got = moto.wait_stream(name, 60)
    assert [event["data"]["n"] for event in records(got)] == list(range(60))
    (letter,) = wait_until(lambda: dead_letters(node), "the dead letter is written")
    assert letter["id"] == refused and letter["reason"], letter


@pytest.mark.parametrize("trouble", [0.15, 0.5])
def test_whatever_fails_everything_arrives_and_nothing_confirmed_is_sent_again(
        make_node, trouble):
    print(f"INLET_PUT_SEED={SEED}")
    with PutFake(SEED, trouble) as fake:
        node = make_node(sink(fake.url, "in", batch_age="50ms", timeout="2s",
                              in_flight=4)).start(ENVIRONMENT)
        count = send_mixed(node)
        archived = node.wait_events(count)
        wait_until(lambda: fake.troubles >= 2, "there was trouble", 60)
        fake.trouble = trouble / 5
        wait_until(lambda: len(set(fake.data())) >= count, "everything arrived", 120)
        fake.trouble = 0
        node.stop()
        events = {event["id"]: event for event in map(json.loads, fake.data())}
        assert in_order(events.values()) == in_order(archived)
        assert fake.sent_again == []


def test_requests_are_signed_for_kinesis(make_node):
    with PutFake(0) as fake:
        node = make_node(sink(fake.url, "in")).start(ENVIRONMENT)
        send_numbers(node, 1)
        wait_until(fake.data, "it arrived")
        target, headers = fake.requests[0]
        assert target == "Kinesis_20131202.PutRecords"
        assert headers["Content-Type"] == "application/x-amz-json-1.1"
        assert headers["Authorization"].startswith(
            f"AWS4-HMAC-SHA256 Credential={KEYS['AWS_ACCESS_KEY_ID']}/")
        assert f"/{REGION}/kinesis/aws4_request" in headers["Authorization"]
        assert get(node.admin, "/metrics").status == 200
        assert post(node.address, "a", b"1", JSON).status == 200


def test_without_credentials_the_node_serves_and_says_what_is_missing(make_node):
    nobody = {key: "" for key in KEYS} | {"AWS_EC2_METADATA_DISABLED": "true",
                                          "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
                                          "AWS_CONFIG_FILE": "/nonexistent"}
    with PutFake(0) as fake:
        node = make_node(sink(fake.url, "in")).start(nobody)
        send_numbers(node, 10)
        node.wait_events(10)
        said = wait_until(lambda: node.log("delivery waits"), "it says that it waits")
        assert "credentials" in said[0]["why"], said
        assert fake.requests == []
