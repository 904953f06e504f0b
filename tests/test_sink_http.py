"""Goal: the http sink brings every acknowledged record to an endpoint that is down, slow, wrong or
lying, in order, once per key; it rejects only what is refused, and shows no secret.

Method: a whole node, a receiver that is scripted, and a proxy that spoils connections between."""

import contextlib
import json
import os
import signal
import subprocess
import time

import pytest

import inlet
from faulty_proxy import FaultyProxy
from receiver import Receiver, Reply
from wire import Wire, wait_until

SECRET = "s3cret-t0ken-of-this-test"


@pytest.fixture
def receiver():
    with Receiver() as made:
        yield made
    assert not made.mistakes


def settings(url, **more):
    return {"sinks.out": {"type": "http", "url": url, "batch_age": "50ms", "timeout": "5s", **more}}


def send(node, stream, bodies):
    """Posts all; they are acknowledged."""
    with Wire(node.address) as wire:
        for body in bodies:
            assert wire.post(stream, body, "Content-Type: application/json").status == 200


def numbers(first, end):
    return [b'{"n": %d}' % i for i in range(first, end)]


def data(events):
    return [event["data"]["n"] for event in events]


def wait_for(receiver, count, timeout_s=30):
    """At least so many events; then all of them."""
    def enough():
        found = receiver.events()
        return found if len(found) >= count else None
    return wait_until(enough, f"{count} events were received", timeout_s, 0.05)


def status_of(node):
    path = node.data / "journal" / "cursors" / "out.status"
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text())
    return {}


def dead_letters(node):
    return [json.loads(line) for path in sorted((node.data / "dead" / "out").glob("*.ndjson"))
            for line in path.read_text().splitlines()]


def test_everything_arrives_in_the_order_of_its_stream(make_node, receiver):
    node = make_node(settings(receiver.url("/in/{tenant}/{stream}"), request_bytes="1KiB",
                              bearer=SECRET, headers=["X-Extra: yes, and no"])).start()
    send(node, "one", numbers(0, 100))
    send(node, "two", numbers(100, 200))
    events = wait_for(receiver, 200)
    paths = {request.path for request in receiver.requests}
    assert len(paths) == 2
    for path in paths:
        found = data(receiver.events(path))
        assert found in (list(range(0, 100)), list(range(100, 200)))
    assert {event["stream"] for event in events} == {"one", "two"}
    assert len({event["id"] for event in events}) == 200
    for request in receiver.requests:
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert request.headers["x-extra"] == "yes, and no"
        assert request.headers["content-type"] == "application/x-ndjson"
        assert request.key and request.headers["x-inlet-batch"]
        assert len(request.body) <= 1024


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("body", ["ndjson", "json"])
def test_bodies_in_every_form_can_be_read(make_node, receiver, body, compression):
    node = make_node(settings(receiver.url(), body=body, compression=compression,
                              method="PUT")).start()
    send(node, "form", numbers(0, 50))
    assert data(wait_for(receiver, 50)) == list(range(50))
    request = receiver.requests[0]
    assert request.method == "PUT"
    assert request.headers.get("content-encoding", "none") == compression
    assert request.text().startswith(b"[" if body == "json" else b"{")


def test_a_receiver_that_is_down_keeps_nobody_from_sending(make_node, receiver):
    receiver.down()
    node = make_node(settings(receiver.url())).start()
    send(node, "down", numbers(0, 50))
    wait_until(lambda: status_of(node).get("last_error"), "the status tells what is wrong")
    assert f"127.0.0.1:{receiver.port}" in status_of(node)["last_error"]
    assert len(node.wait_events(50)) == 50  # The other sink is not touched.
    receiver.up()
    assert data(wait_for(receiver, 50)) == list(range(50))


def test_a_receiver_that_is_down_is_what_the_node_says_is_wrong(make_node, receiver):
    node = make_node(settings(receiver.url())).start()

    def cause():
        return [c["text"] for c in node.status()["health"]["causes"] if c["level"] == "Warning" and
                "has taken nothing" in c["text"]]
    send(node, "web", numbers(0, 1))
    wait_for(receiver, 1)
    assert cause() == []
    receiver.down()
    down = time.monotonic()
    send(node, "web", numbers(1, 2))
    (text,) = wait_until(cause, "the cause is told", 30)
    print(f"told after {time.monotonic() - down:.1f} s: {text}")
    assert f"127.0.0.1:{receiver.port}" in text
    receiver.up()
    wait_for(receiver, 2)
    wait_until(lambda: cause() == [], "it is over")


def test_a_way_that_is_closed_and_opened_again(make_node, receiver):
    with FaultyProxy(receiver.port) as proxy:
        node = make_node(settings(f"http://127.0.0.1:{proxy.port}/")).start()
        for i in range(3):
            proxy.set("refuse")
            asked = receiver.asked()
            send(node, "way", numbers(i * 10, i * 10 + 10))
            wait_until(lambda: status_of(node).get("retries", 0) > i, "it was tried")
            assert receiver.asked() == asked
            proxy.set("pass")
            assert data(wait_for(receiver, i * 10 + 10)) == list(range(i * 10 + 10))


SPOILED = {
    "reset at once": ("reset", {"after": 0}),
    "reset in the head": ("reset", {"after": 60}),
    "reset in the body": ("reset", {"after": 700}),
    "answer lost": ("cut", {"after": 0}),
    "answer cut": ("cut", {"after": 20}),
    "garbage": ("garbage", {}),
    "another protocol": ("garbage", {"data": b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n"}),
    "endless interim answers": ("garbage", {"data": b"HTTP/1.1 100 Continue\r\n\r\n" * 500,
                                            "forever": True}),
    "endless headers": ("garbage", {"data": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 5000,
                                    "forever": True}),
    "silence": ("blackhole", {}),
}


@pytest.mark.parametrize("how", SPOILED)
def test_spoiled_connections_lose_nothing_and_double_nothing(make_node, receiver, how):
    mode, options = SPOILED[how]
    with FaultyProxy(receiver.port) as proxy:
        node = make_node(settings(f"http://127.0.0.1:{proxy.port}/", timeout="500ms",
                                  request_bytes="1KiB")).start()
        send(node, "spoiled", numbers(0, 20))
        wait_for(receiver, 20)
        proxy.set(mode, times=3, **options)
        send(node, "spoiled", numbers(20, 60))
        wait_for(receiver, 60)
        assert data(receiver.events()) == list(range(60))
        spoiled = [entry for entry in proxy.log if entry.mode == mode]
        assert len(spoiled) == 3
        if mode == "cut":
            assert receiver.repeats >= 1  # It was received, and came again with its key.
        assert not dead_letters(node)


def test_a_slow_way_is_only_slow(make_node, receiver):
    with FaultyProxy(receiver.port) as proxy:
        proxy.set("delay", seconds=0.1)
        node = make_node(settings(f"http://127.0.0.1:{proxy.port}/")).start()
        send(node, "slow", numbers(0, 20))
        wait_for(receiver, 20)
        proxy.set("throttle", keep=True, rate=20_000)
        send(node, "slow", numbers(20, 60))
        assert data(wait_for(receiver, 60)) == list(range(60))


def test_retry_after_is_obeyed(make_node, receiver):
    receiver.script(Reply(429, {"Retry-After": "2"}), Reply(503, {"Retry-After": "1"}))
    send(make_node(settings(receiver.url())).start(), "busy", numbers(0, 1))
    wait_for(receiver, 1)
    first, second, third = (request.at for request in receiver.requests)
    assert second - first >= 1.9
    assert third - second >= 0.9


def test_a_poison_record_becomes_a_dead_letter_and_the_others_pass(make_node, receiver):
    def refuse(request):
        bad = [event for event in request.events() if event["data"]["n"] in (7, 30)]
        return Reply(422, body=b"not these: %d" % bad[0]["data"]["n"]) if bad else None
    receiver.rule = refuse
    node = make_node(settings(receiver.url())).start()
    send(node, "mixed", numbers(0, 40))
    wait_for(receiver, 38)
    assert data(receiver.events()) == [n for n in range(40) if n not in (7, 30)]
    letters = wait_until(lambda: len(dead_letters(node)) == 2 and dead_letters(node),
                         "both are set aside")
    assert all("422" in letter["reason"] and "not these" in letter["reason"] for letter in letters)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 500])
def test_what_is_wrong_with_the_receiver_rejects_no_record(make_node, receiver, status):
    with Receiver() as elsewhere:
        receiver.always(status, {"Location": elsewhere.url()},
                        body=f"the token {SECRET} is bad".encode())
        node = make_node(settings(receiver.url(), bearer=SECRET)).start()
        send(node, "kept", numbers(0, 10))
        wait_until(lambda: receiver.asked() >= 3, "it was tried again")
        wait_until(lambda: str(status) in status_of(node).get("last_error", ""), "it says so")
        receiver.always(200)
        assert data(wait_for(receiver, 10)) == list(range(10))
        assert not dead_letters(node)
        assert elsewhere.asked() == 0
    told = node.errors() + json.dumps(status_of(node)) + node.text("stdout")
    told += inlet.run("check", "--config", node.config, "--data", node.data).stdout
    assert "answered" in told
    assert SECRET not in told


def test_a_killed_shipper_repeats_with_the_same_keys(make_node, receiver):
    node = make_node(settings(receiver.url("/{stream}"), request_bytes="1KiB")).start()
    node.deaths_expected = True
    receiver.always(200, delay_s=0.01)
    for i in range(8):
        send(node, "a", numbers(i * 50, i * 50 + 50))
        send(node, "b", numbers(i * 50, i * 50 + 50))
        os.kill(node.child("ship-out"), signal.SIGKILL)
    wait_for(receiver, 800, 60)
    for path in ("/a", "/b"):
        assert data(receiver.events(path)) == list(range(400))


def certificate(here):
    path = here / "pair.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=receiver", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", path, "-out", here / "ca.pem"], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (here / "ca.pem").read_bytes())
    return path


def test_tls_is_spoken_only_with_whom_it_trusts(make_node, here):
    with Receiver(certificate(here)) as receiver:
        soon = {"server": {"flush_deadline": "500ms"}}
        node = make_node({**settings(receiver.url()), **soon}).start()
        send(node, "safe", numbers(0, 10))
        wait_until(lambda: status_of(node).get("last_error"), "the certificate is not trusted")
        assert receiver.asked() == 0
        node.stop()
        node.configure(settings(receiver.url(), ca_file=here / "ca.pem"))
        node.start()
        assert data(wait_for(receiver, 10)) == list(range(10))
