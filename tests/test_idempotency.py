"""Goal: a request sent again under its Idempotency-Key is stored once and answered with the first
answer's id, by whatever connection it comes, through kills, restarts and recycled segments.
Method: keyed requests over bare sockets, many retrying clients while serve is killed at random,
then every key once more; the journal and the archive are counted. INLET_KILL_SEED repeats a run."""

import collections
import os
import random
import signal
import threading
import time

import pytest

import inlet
from test_auth import bearer, key as new_key
from wire import Wire, get, post, request, wait_until

SEED = int(os.environ.get("INLET_KILL_SEED", time.time_ns() % 1_000_000))
KEYS = int(os.environ.get("INLET_KEYS", 10_000))
CLIENTS = 8
BREATH_S = (0.02, 0.12)  # Between two kills.
GIVE_UP_S = 120


def keyed(text):
    return f"Idempotency-Key: {text}"


def is_repeat(answer):
    return answer.headers.get("inlet-duplicate") == "true"


def stored(answer):
    """The id of a record that is new."""
    assert answer.status == 200 and not is_repeat(answer), answer
    return answer.json()["id"]


def repeated(answer, record):
    assert answer.status == 200 and is_repeat(answer), answer
    assert answer.json()["id"] == record
    return True


@pytest.fixture(scope="module")
def serve():
    from conftest import DOOR, directory, nodes
    with directory() as path, nodes(path) as make:
        yield make({**DOOR, "server": {**DOOR["server"], "loops": 2}}, "serve",
                   command="serve").start()


# ---- Answers.

def test_a_repeat_gets_the_first_answer_and_stores_nothing(serve):
    record = stored(post(serve.address, "repeat", b"body", keyed("r-1")))
    for text in ("r-1", '"r-1"', "r-1"):
        answer = post(serve.address, "repeat", b"body", keyed(text))
        assert repeated(answer, record)
        assert answer.json()["bytes"] == 4
        assert answer.headers["inlet-durability"] == "disk"
    with Wire(serve.address) as wire:  # Large enough for memory of its own, and in pieces.
        large = b"x" * 200_000
        record = stored(wire.post("repeat", large, keyed("r-2")))
        assert repeated(wire.post("repeat", large, keyed("r-2")), record)
        assert wire.post("repeat", large[:-1] + b"y", keyed("r-2")).status == 422
    assert [r["stream"] for r in serve.records()].count("repeat") == 2


def test_without_a_key_nothing_is_a_repeat(serve):
    ids = {stored(post(serve.address, "keyless", b"body")) for _ in range(3)}
    assert len(ids) == 3


def test_the_same_key_with_another_body_or_encoding_is_refused(serve):
    record = stored(post(serve.address, "other", b"body", keyed("o-1")))
    for body, *lines in ((b"Body",), (b"",), (b"body ",), (b"body", "Content-Encoding: gzip")):
        answer = post(serve.address, "other", body, keyed("o-1"), *lines)
        assert answer.status == 422, (body, answer)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Idempotency-Key" in answer.json()["detail"]
    assert repeated(post(serve.address, "other", b"body", keyed("o-1")), record)
    assert repeated(post(serve.address, "other", b"body", keyed("o-1"),
                         "Content-Encoding: identity"), record)
    assert [r["stream"] for r in serve.records()].count("other") == 1


def test_a_request_that_was_refused_leaves_its_key_free(serve):
    assert post(serve.address, "doc", b"no json", keyed("f-1")).status == 422
    assert post(serve.address, "small", b"x" * 2000, keyed("f-1")).status == 413
    record = stored(post(serve.address, "doc", b'{"a":1}', keyed("f-1")))
    assert repeated(post(serve.address, "doc", b'{"a":1}', keyed("f-1")), record)
    stored(post(serve.address, "small", b"x", keyed("f-1")))


@pytest.mark.parametrize("text", ["", '""', "a b", '"a b"', "a,b", "a;b", '"a', 'a"', '"a"b',
                                  '"a\\b"', "a\\b", "k" * 256, '"' + "k" * 256 + '"',
                                  "caf\u00e9", '"k"; p=1'])
def test_what_is_no_key_is_refused(serve, text):
    answer = post(serve.address, "syntax", b"x", keyed(text))
    assert answer.status == 400, (text, answer)
    assert "Idempotency-Key" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["k", "8e03978e-40d5-43dd-bc93-6894a57f9324", "aGk+/==",
                                  "a@b:c/d(e)", "k" * 255])
def test_what_is_a_key_is_the_same_bare_and_quoted(serve, text):
    record = stored(post(serve.address, "syntax", b"x", keyed(text)))
    assert repeated(post(serve.address, "syntax", b"x", keyed(f'"{text}"')), record)


def test_two_keys_in_one_request_are_refused(serve):
    assert post(serve.address, "syntax", b"x", keyed("two"), keyed("two")).status == 400


def test_keys_are_apart_by_stream(serve):
    one = stored(post(serve.address, "apart-1", b"x", keyed("a-1")))
    two = stored(post(serve.address, "apart-2", b"y", keyed("a-1")))
    assert repeated(post(serve.address, "apart-1", b"x", keyed("a-1")), one)
    assert repeated(post(serve.address, "apart-2", b"y", keyed("a-1")), two)


def test_keys_are_apart_by_tenant(make_node):
    node = make_node({"server": {"auth": "keys"}}, command="serve")
    acme, other = bearer(new_key(node, "acme")[0]), bearer(new_key(node, "hooli")[0])
    second = bearer(new_key(node, "acme")[0])
    node.start()
    one = stored(post(node.address, "a", b"x", keyed("t-1"), acme))
    two = stored(post(node.address, "a", b"y", keyed("t-1"), other))
    assert repeated(post(node.address, "a", b"x", keyed("t-1"), second), one)
    assert repeated(post(node.address, "a", b"y", keyed("t-1"), other), two)


# ---- At once.

def test_equal_requests_at_once_on_many_connections_are_one_record(serve):
    wires = [Wire(serve.address) for _ in range(6)]
    try:
        for number in range(300):
            sent = request("at-once", b"x" * 100, keyed(f"c-{number}"))
            for wire in wires:
                wire.send(sent)
            answers = [wire.read() for wire in wires]
            assert {answer.status for answer in answers} == {200}
            assert len({answer.json()["id"] for answer in answers}) == 1
            assert sum(not is_repeat(answer) for answer in answers) == 1
    finally:
        for wire in wires:
            wire.close()
    assert [r["stream"] for r in serve.records()].count("at-once") == 300


def test_different_requests_at_once_under_one_key_store_one(serve):
    wires = [Wire(serve.address) for _ in range(2)]
    try:
        for number in range(200):
            for body, wire in enumerate(wires):
                wire.send(request("differ", b"%d" % body, keyed(f"d-{number}")))
            statuses = sorted(wire.read().status for wire in wires)
            assert statuses == [200, 422]
    finally:
        for wire in wires:
            wire.close()


def test_a_client_that_went_away_finds_its_record(serve):
    with Wire(serve.address) as wire:
        wire.send(request("gone", b"x", keyed("g-1")))
    wait_until(lambda: "gone" in [r["stream"] for r in serve.records()], "it is stored")
    [record] = [r for r in serve.records() if r["stream"] == "gone"]
    assert repeated(post(serve.address, "gone", b"x", keyed("g-1")), record["id"])


# ---- The window.

def test_a_key_is_new_again_after_the_window_also_with_another_body(make_node):
    node = make_node({"idempotency": {"window": "1s"}}, command="serve").start()
    first = stored(post(node.address, "w", b"x", keyed("w-1")))

    def again():
        answer = post(node.address, "w", b"x", keyed("w-1"))
        return not is_repeat(answer) and answer.json()["id"]

    assert wait_until(again, "the key is new again") != first
    wait_until(lambda: post(node.address, "w", b"y", keyed("w-1")).status == 200,
               "the key is free for another body")


def test_when_there_are_too_many_keys_the_oldest_are_forgotten(make_node):
    node = make_node({"idempotency": {"max_keys": 1000}}, command="serve").start()
    with Wire(node.address) as wire:
        first = stored(wire.post("m", b"x", keyed("m-first")))
        ids = [stored(wire.post("m", b"x", keyed(f"m-{n}"))) for n in range(1200)]
        assert stored(wire.post("m", b"x", keyed("m-first"))) != first
        for n in range(500, 1200):
            assert repeated(wire.post("m", b"x", keyed(f"m-{n}")), ids[n])
    figures = get(node.admin, "/metrics").text
    assert "\ninlet_idempotency_keys 1000\n" in figures
    node.kill()
    node.start()
    assert repeated(post(node.address, "m", b"x", keyed("m-1199")), ids[1199])


# ---- Ends and beginnings.

@pytest.mark.parametrize("how", ["stop", "kill"])
def test_keys_survive_an_end(make_node, how):
    node = make_node(command="serve").start()
    ids = {}
    for life in range(4):
        with Wire(node.address) as wire:
            for number, record in ids.items():
                assert repeated(wire.post("s", b"%d" % number, keyed(f"s-{number}")), record)
                assert wire.post("s", b"other", keyed(f"s-{number}")).status == 422
            for number in range(100 * life, 100 * life + 100):
                ids[number] = stored(wire.post("s", b"%d" % number, keyed(f"s-{number}")))
        getattr(node, how)()
        node.start()
    assert len(node.records()) == len(ids)


@pytest.mark.parametrize("harm", ["gone", "empty", "cut", "zeros", "garbage"])
def test_a_damaged_log_never_keeps_the_node_from_starting(make_node, harm):
    node = make_node(command="serve").start()
    record = stored(post(node.address, "h", b"x", keyed("h-1")))
    node.stop()
    log = node.data / "journal" / "idempotency"
    bytes_before = log.read_bytes()
    assert bytes_before
    harmed = {"gone": None, "empty": b"", "cut": bytes_before[:-100],
              "zeros": bytes(len(bytes_before)),
              "garbage": random.Random(1).randbytes(len(bytes_before))}[harm]
    if harmed is None:
        log.unlink()
    else:
        log.write_bytes(harmed)
    node.start()
    answer = post(node.address, "h", b"x", keyed("h-1"))
    if harm == "cut":  # What the last block said is read from the journal.
        assert repeated(answer, record)
    record = answer.json()["id"]
    assert repeated(post(node.address, "h", b"x", keyed("h-1")), record)
    node.kill()
    node.start()
    assert repeated(post(node.address, "h", b"x", keyed("h-1")), record)


def test_keys_outlive_their_segments(make_node):
    """Delivered segments are used again while their keys are remembered, through a kill."""
    node = make_node({"server": {"max_body": "64KiB"},
                      "journal": {"segment_bytes": "1MiB", "max_bytes": "8MiB"},
                      "sinks.archive": {"batch_age": "50ms"}}).start()
    node.deaths_expected = True
    ids = {}

    def send(number):
        body = b"%d," % number * 3000
        return post(node.address, "o", body, keyed(f"o-{number}"))

    def accepted(number):
        answer = send(number)
        return answer if answer.status == 200 else None  # 503 while the journal is full.

    for number in range(1500):
        answer = wait_until(lambda n=number: accepted(n), "it is accepted", 30)
        ids[number] = answer.json()["id"]
    assert len(set(ids.values())) == len(ids)
    pid = node.child("serve")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: node.child("serve") != pid, "serve is started again", 30)
    for number, record in ids.items():
        answer = wait_until(lambda n=number: accepted(n), "it is answered", 30)
        assert repeated(answer, record), number
    node.stop()
    kept = [int(r["id"].split("-")[1], 16) for r in node.records()]
    assert min(kept, default=len(ids)) > 1  # Segments were used again.
    assert collections.Counter(event["id"] for event in node.events()).most_common(1)[0][1] == 1
    assert len(node.events()) == len(ids)


class Client(threading.Thread):
    """Sends its keys in order, each until it is answered, some of them again at once."""

    def __init__(self, node, number, chance):
        super().__init__(daemon=True)
        self.node, self.number, self.chance = node, number, chance
        self.ids, self.wrong, self.again = {}, [], 0
        self.wire = None

    def run(self):
        for key in range(self.number, KEYS, CLIENTS):
            if self.wrong:
                return
            self.ids[key] = self.deliver(key)
            if self.chance.random() < 0.1:
                earlier = self.chance.choice(list(self.ids))
                if self.deliver(earlier) != self.ids[earlier]:
                    self.wrong.append(f"key {earlier} was answered with another id")

    def deliver(self, key):
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            try:
                if self.wire is None:
                    self.wire = Wire(self.node.address)
                answer = self.wire.post("all", b"record %d" % key, keyed(f"all-{key}"))
            except OSError:
                answer = None
            if answer is None:
                self.wire = None
                self.again += 1
                time.sleep(0.01)
            elif answer.status == 200:
                if key in self.ids and not is_repeat(answer):
                    self.wrong.append(f"key {key} was stored again")
                return answer.json()["id"]
            elif answer.status == 503:
                self.again += 1
                time.sleep(0.05)
            else:
                break
        self.wrong.append(f"key {key} was not stored: {answer}")
        return None


def test_ten_thousand_keys_through_kills_are_stored_once_each(make_node):
    print(f"INLET_KILL_SEED={SEED}")
    chance = random.Random(SEED)
    node = make_node({"server": {"loops": 2}}, command="serve").start()
    clients = [Client(node, number, random.Random(SEED + number)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    kills = 0
    while any(client.is_alive() for client in clients):
        time.sleep(chance.uniform(*BREATH_S))
        node.kill()
        node.start()
        kills += 1
    for client in clients:
        client.join()
    assert [sentence for client in clients for sentence in client.wrong] == []
    print(f"{kills} kills, {sum(client.again for client in clients)} requests sent again")
    assert kills >= 5 and sum(client.again for client in clients) > 0

    ids = {key: record for client in clients for key, record in client.ids.items()}
    assert len(ids) == KEYS and len(set(ids.values())) == KEYS
    with Wire(node.address) as wire:
        for key, record in ids.items():
            assert repeated(wire.post("all", b"record %d" % key, keyed(f"all-{key}")), record)
    in_journal = {r["idempotency_key"]: r["id"] for r in node.records()}
    assert len(node.records()) == KEYS
    assert in_journal == {f"all-{key}": record for key, record in ids.items()}
    assert node.verify()[:2] == (0, [])
    node.stop()
    assert inlet.processes_of(node.directory) == {}
