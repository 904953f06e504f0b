"""Goal: each tenant gets what its limits say and not more, refusals say exactly when to come back,
and a tenant that floods takes nothing from another.
Method: real nodes with keys; requests counted against the arithmetic of the bucket; a flooding
tenant beside one that keeps its pace."""

import threading
import time

import pytest

from test_auth import bearer, key
from wire import Wire, get, post, request, wait_until


def send_for(node, text, seconds, stream="a", body=b"x" * 100):
    """As many as it can over one connection; the answers."""
    answers = []
    with Wire(node.address) as wire:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            wire.send(request(stream, body, bearer(text)))
            answers.append(wire.read())
    return answers


def test_a_tenant_gets_its_rate_and_its_burst(make_node):
    node = make_node({"server": {"auth": "keys"},
                      "tenants.acme": {"requests_per_s": 50, "requests_burst": 20}})
    text, _ = key(node, "acme")
    free, _ = key(node, "free")
    node.start()
    began = time.monotonic()
    answers = send_for(node, text, 2)
    took = time.monotonic() - began
    stored = sum(answer.status == 200 for answer in answers)
    assert {answer.status for answer in answers} == {200, 429}
    assert 20 + 50 * took * 0.8 <= stored <= 20 + 50 * took + 1
    for answer in answers:
        assert answer.headers["ratelimit-limit"] == "20"
        if answer.status == 429:
            assert int(answer.headers["retry-after"]) == 1
            assert answer.headers["ratelimit-remaining"] == "0"
    assert {answer.status for answer in send_for(node, free, 0.5)} == {200}
    assert "ratelimit-limit" not in post(node.address, "a", b"x", bearer(free)).headers
    figures = get(node.admin, "/metrics").text
    refused = sum(answer.status == 429 for answer in answers)
    assert f'inlet_tenant_refusals_total{{tenant="acme",reason="requests"}} {refused}' in figures
    assert len([r for r in node.records() if r["tenant"] == "acme"]) == stored


def test_who_waits_as_long_as_told_gets_in(make_node):
    node = make_node({"server": {"auth": "keys"},
                      "tenants.acme": {"bytes_per_s": "10kB", "bytes_burst": "20kB"}})
    text, _ = key(node, "acme")
    node.start()
    body = b"x" * 20_000
    assert post(node.address, "a", body, bearer(text)).status == 200
    refused = post(node.address, "a", body, bearer(text))
    assert refused.status == 429
    wait_s = int(refused.headers["retry-after"])
    assert wait_s == 2  # 20 kB at 10 kB/s.
    assert post(node.address, "a", body, bearer(text)).status == 429
    time.sleep(wait_s)
    assert post(node.address, "a", body, bearer(text)).status == 200


def test_a_body_of_unknown_length_is_charged_when_it_is_there(make_node):
    node = make_node({"server": {"auth": "keys"},
                      "tenants.acme": {"bytes_per_s": "1kB", "bytes_burst": "10kB"}})
    text, _ = key(node, "acme")
    node.start()
    with Wire(node.address) as wire:
        head = f"POST /ingest/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{bearer(text)}"
        wire.send(head.encode() + b"\r\n\r\n" + b"4e20\r\n" + b"x" * 20_000 + b"\r\n0\r\n\r\n")
        assert wire.read().status == 200
    refused = post(node.address, "a", b"x", bearer(text))
    assert refused.status == 429  # It left a debt of 10 kB.
    assert 8 <= int(refused.headers["retry-after"]) <= 11


def test_a_tenant_may_have_smaller_bodies_than_the_node(make_node):
    node = make_node({"server": {"auth": "keys"}, "tenants.acme": {"max_body": "1KiB"}})
    text, _ = key(node, "acme")
    node.start()
    assert post(node.address, "a", b"x" * 1024, bearer(text)).status == 200
    assert post(node.address, "a", b"x" * 1025, bearer(text)).status == 413
    with Wire(node.address) as wire:
        head = f"POST /ingest/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{bearer(text)}"
        wire.send(head.encode() + b"\r\n\r\n" + b"401\r\n" + b"x" * 1025 + b"\r\n0\r\n\r\n")
        assert wire.read().status == 413


def test_limits_hold_without_keys_too(make_node):
    node = make_node({"limits": {"requests_per_s": 5}}).start()
    statuses = [post(node.address, "a", b"x").status for _ in range(20)]
    assert 5 <= statuses.count(200) <= 8 and statuses.count(429) >= 12


def test_when_the_journal_is_nearly_full_who_holds_most_of_it_is_refused_first(make_node):
    node = make_node({"server": {"auth": "keys", "flush_deadline": "0s"},
                      "limits": {"journal_percent": 50},
                      "sinks.archive": {"type": "http", "url": "http://127.0.0.1:9/"}})
    flood, _ = key(node, "flood")
    small, _ = key(node, "small")
    node.start()
    body = b"x" * 500_000
    with Wire(node.address) as wire:
        def refused():
            wire.send(request("a", body, bearer(flood)))
            answer = wire.read()
            assert answer.status in (200, 429), answer
            return answer if answer.status == 429 else None
        answer = wait_until(refused, "the flooder is refused", 60, 0.02)
    assert int(answer.headers["retry-after"]) >= 1
    assert "share" in answer.json()["detail"]
    for _ in range(20):  # And from now on always: nothing is delivered.
        assert post(node.address, "a", body, bearer(flood)).status == 429
    for _ in range(10):
        assert post(node.address, "a", b"x", bearer(small)).status == 200
    assert get(node.address, "/healthz").status == 200
    figures = get(node.admin, "/metrics").text
    assert 'inlet_tenant_refusals_total{tenant="flood",reason="journal_share"} 21\n' in figures
    # After a restart it is still known whose the backlog is.
    node.stop()
    node.start()
    wait_until(lambda: post(node.address, "a", body, bearer(flood)).status == 429,
               "the backlog has been counted", 20, 0.2)
    assert post(node.address, "a", b"x", bearer(small)).status == 200


class Flood(threading.Thread):
    """A tenant far above its limit, over several connections, until told to stop."""

    def __init__(self, node, text):
        super().__init__(daemon=True)
        self.node, self.text = node, text
        self.stopping = threading.Event()
        self.statuses = []

    def run(self):
        with Wire(self.node.address, 30) as wire:
            while not self.stopping.is_set():
                batch = b"".join(request("a", b"x" * 100, bearer(self.text)) for _ in range(20))
                wire.send(batch)
                self.statuses += [wire.read().status for _ in range(20)]


@pytest.mark.parametrize("slow", [0, 200], ids=["requests", "requests and slow bodies"])
def test_a_flooding_tenant_takes_nothing_from_another(make_node, slow):
    node = make_node({"server": {"auth": "keys", "body_timeout": "60s"},
                      "tenants.flood": {"requests_per_s": 100}})
    flood, _ = key(node, "flood")
    calm, _ = key(node, "calm")
    node.start()
    floods = [Flood(node, flood) for _ in range(3)]
    slow_ones = [Wire(node.address, 30) for _ in range(slow)]
    for wire in slow_ones:
        wire.send(f"POST /ingest/a HTTP/1.1\r\nHost: a\r\n{bearer(flood)}\r\n"
                  "Content-Length: 500000\r\n\r\n".encode() + b"x" * 100)
    for thread in floods:
        thread.start()
    answers = send_for(node, calm, 3)
    for thread in floods:
        thread.stopping.set()
    for thread in floods:
        thread.join(30)
    for wire in slow_ones:
        wire.close()
    assert {answer.status for answer in answers} == {200}  # Every single one.
    statuses = [status for thread in floods for status in thread.statuses]
    assert statuses.count(429) > statuses.count(200) and set(statuses) == {200, 429}


class Account:
    """Requests of one tenant, one after the other, against the arithmetic of its bucket. The node
    judged each at some moment between its sending and its answer."""

    RATE, BURST = 50, 200

    def __init__(self, node, text):
        self.node, self.text = node, text
        self.taken = self.refused = 0
        self.first = None  # When the first request was sent, and answered.

    def ask(self, wire):
        sent = time.monotonic()
        wire.send(request("a", b"x" * 100, bearer(self.text)))
        answer = wire.read()
        now = time.monotonic()
        self.first = self.first or (sent, now)
        if answer.status == 200:
            self.taken += 1
            return
        assert answer.status == 429 and answer.headers["retry-after"] == "1", answer
        self.refused += 1
        # Empty at this moment: all there ever was has been taken.
        most = self.BURST + self.RATE * (now - self.first[0])
        least = self.BURST + self.RATE * (sent - self.first[1]) - 1
        assert least <= self.taken <= most


def test_a_flood_gets_exactly_what_its_limit_says(make_node):
    check_flood(make_node, lambda account: [])


def test_a_flood_with_slow_bodies_gets_exactly_what_its_limit_says(make_node):
    def begin(account):
        wires = [Wire(account.node.address, 30) for _ in range(100)]
        for wire in wires:
            sent = time.monotonic()
            wire.send(f"POST /ingest/a HTTP/1.1\r\nHost: a\r\n{bearer(account.text)}\r\n"
                      "Expect: 100-continue\r\nContent-Length: 500000\r\n\r\n".encode())
            assert wire.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            account.first = account.first or (sent, time.monotonic())
            account.taken += 1
            wire.send(b"x" * 100)
        return wires
    check_flood(make_node, begin)


def test_a_flood_with_idle_connections_gets_exactly_what_its_limit_says(make_node):
    def begin(account):
        wires = [Wire(account.node.address, 30) for _ in range(500)]
        for wire in wires:
            account.ask(wire)
        return wires
    check_flood(make_node, begin)


def check_flood(make_node, begin):
    node = make_node({"server": {"auth": "keys", "body_timeout": "300s", "min_body_rate": "0B"},
                      "tenants.flood": {"requests_per_s": Account.RATE,
                                        "requests_burst": Account.BURST}})
    flood, _ = key(node, "flood")
    calm, _ = key(node, "calm")
    node.start()
    account = Account(node, flood)
    kept = begin(account)
    with Wire(node.address, 30) as wire, Wire(node.address, 30) as other:
        until = time.monotonic() + 3
        while time.monotonic() < until or account.refused < 100:
            account.ask(wire)
            if account.refused % 10 == 0:
                other.send(request("a", b"x", bearer(calm)))
                assert other.read().status == 200
    for each in kept:
        each.close()
    reason = 'inlet_tenant_refusals_total{tenant="flood",reason="requests"}'
    assert f"{reason} {account.refused}\n" in get(node.admin, "/metrics").text
