"""Goal: every record goes through Firehose as a line of NDJSON, through restarts, outages and
partial failures; what Firehose never takes is set aside and stops nobody.

Method: `inlet run` with a sink of type firehose. moto is the service and writes to its own S3, from
which boto3 reads; what arrives is compared with the node's own file archive. A fake fails single
records and answers nonsense. INLET_PUT_SEED repeats a run of the fake."""

import json
import os
import signal
import time

import pytest

from moto_server import ENVIRONMENT, KEYS, REGION, Moto, unique_name
from put_fake import PutFake
from test_sink_kinesis import (JSON, check_order, dead_letters, in_order, send_mixed, send_numbers)
from wire import Wire, wait_until

SEED = int(os.environ.get("INLET_PUT_SEED", time.time_ns() % 1_000_000))


@pytest.fixture
def moto(here):
    server = Moto(here).start()
    yield server
    server.stop()


def sink(url, stream, **more):
    return {"sinks.out": {"type": "firehose", "delivery_stream": stream, "region": REGION,
                          "endpoint": url, "batch_age": "100ms", "timeout": "3s", **more}}


def test_records_of_every_kind_become_lines_as_in_the_archive(make_node, moto):
    name = unique_name("mixed")
    moto.create_delivery(name)
    node = make_node(sink(moto.url, name)).start(ENVIRONMENT)
    count = send_mixed(node)
    archived = node.wait_events(count)
    lines = moto.wait_delivery(name, count)
    assert len(lines) == count
    assert in_order(map(json.loads, lines)) == in_order(archived)


def test_a_delivery_stream_of_its_own_for_every_stream(make_node, moto):
    for stream in "ab":
        moto.create_delivery(f"to-{stream}")
    node = make_node(sink(moto.url, "to-{stream}")).start(ENVIRONMENT)
    send_numbers(node, 60, streams=("a", "b"))
    for parity, stream in enumerate("ab"):
        events = map(json.loads, moto.wait_delivery(f"to-{stream}", 30))
        assert [e["data"]["n"] for e in in_order(events)] == list(range(parity, 60, 2))


def test_restarts_and_kills_lose_nothing(make_node, moto):
    name = unique_name("restart")
    moto.create_delivery(name)
    node = make_node(sink(moto.url, name))
    node.deaths_expected = True
    node.start(ENVIRONMENT)
    for start in range(0, 400, 100):
        send_numbers(node, 100, start=start)
        os.kill(node.child("ship-out"), signal.SIGKILL)
    node.stop()
    node.start(ENVIRONMENT)
    send_numbers(node, 100, start=400)
    lines = moto.wait_delivery(name, 500, 60)
    assert {json.loads(line)["data"]["n"] for line in lines} == set(range(500))


def test_the_service_may_be_gone_for_a_while(make_node, moto):
    moto.create_delivery("out")
    node = make_node(sink(moto.url, "out")).start(ENVIRONMENT)
    send_numbers(node, 50)
    assert len(moto.wait_delivery("out", 50)) == 50
    wait_until(lambda: len(node.events()) == 50, "the archive has it")
    moto.stop()
    send_numbers(node, 50, start=50)
    node.wait_events(100)
    wait_until(lambda: node.log("delivery waits"), "it says that it waits")
    moto.start()
    moto.create_delivery("out")
    lines = moto.wait_delivery("out", 50, 60)
    assert {json.loads(line)["data"]["n"] for line in lines} == set(range(50, 100))
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in node.errors()


def test_what_is_too_large_is_set_aside_and_stops_nobody(make_node, moto):
    moto.create_delivery("out")
    node = make_node(sink(moto.url, "out")).start(ENVIRONMENT)
    with Wire(node.address) as wire:
        assert wire.post("a", b'{"n":1}', JSON).status == 200
        refused = wire.post("a", json.dumps("x" * 1_023_900).encode(), JSON).json()["id"]
        assert wire.post("a", b'{"n":2}', JSON).status == 200
    events = [json.loads(line) for line in moto.wait_delivery("out", 2)]
    assert [event["data"]["n"] for event in in_order(events)] == [1, 2]
    (letter,) = wait_until(lambda: dead_letters(node), "the dead letter is written")
    assert letter["id"] == refused
    assert "firehose takes" in letter["reason"]


@pytest.mark.parametrize("trouble", [0.15, 0.5])
def test_whatever_fails_everything_arrives_and_nothing_confirmed_is_sent_again(
        make_node, trouble):
    print(f"INLET_PUT_SEED={SEED}")
    with PutFake(SEED, trouble) as fake:
        node = make_node(sink(fake.url, "out", batch_age="50ms", timeout="2s")).start(ENVIRONMENT)
        count = send_mixed(node)
        archived = node.wait_events(count)
        wait_until(lambda: fake.troubles >= 2, "there was trouble", 60)
        fake.trouble = trouble / 5
        wait_until(lambda: len(set(fake.data())) >= count, "everything arrived", 120)
        fake.trouble = 0
        node.stop()
        assert all(data.endswith(b"\n") for data in fake.data())
        events = {event["id"]: event for event in map(json.loads, fake.data())}
        assert in_order(events.values()) == in_order(archived)
        assert fake.sent_again == []


def test_in_a_calm_service_order_is_kept(make_node):
    with PutFake(0) as fake:
        node = make_node(sink(fake.url, "out")).start(ENVIRONMENT)
        send_numbers(node, 300)
        wait_until(lambda: len(fake.data()) >= 300, "everything arrived")
        assert len(check_order(map(json.loads, fake.data()))) == 3
        assert {target for target, _ in fake.requests} == {"Firehose_20150804.PutRecordBatch"}
        assert "/firehose/aws4_request" in fake.requests[0][1]["Authorization"]
