"""Goal: the id in an answer finds its record for as long as the node knows of it, what the receipt
says is true whatever happened to the node meanwhile, and a tenant learns nothing of others.

Method: whole nodes, with sinks that take, refuse and are gone; receipts are compared with what the
answers, the archive and the receiver hold. INLET_RECEIPTS_SEED says who is killed when."""

import concurrent.futures
import datetime
import json
import os
import random
import signal
import socket
import time

import pytest

import inlet
from receiver import Receiver, Reply
from wire import PATIENCE_S, Wire, get, try_get, wait_until

SEED = int(os.environ.get("INLET_RECEIPTS_SEED", time.time_ns() % 1_000_000))
KILLS = 8
AT_ONCE = 120  # More than the clerk takes.
JSON = "Content-Type: application/json"

# Segments are small, so they are used again soon.
TURNOVER = {"server": {"max_body": "64KiB"},
            "journal": {"segment_bytes": "1MiB", "max_bytes": "8MiB"},
            "sinks.archive": {"batch_age": "20ms"}}


def closed_sink(**more):
    """Nobody listens there."""
    return {"type": "http", "url": f"http://127.0.0.1:{inlet.free_port()}/", "batch_age": "20ms",
            **more}


def send(node, stream, body, *headers):
    """The id it was stored under."""
    with Wire(node.address) as wire:
        answer = wire.post(stream, body, *headers)
    assert answer.status == 200, answer
    return answer.json()["id"]


def send_many(node, stream, bodies, *headers):
    with Wire(node.address) as wire:
        answers = [wire.post(stream, body, *headers) for body in bodies]
    assert {answer.status for answer in answers} == {200}
    return [answer.json()["id"] for answer in answers]


def ask(node, record, timeout_s=PATIENCE_S):
    """What the operators' port says, once there is a place for the question."""
    def answered():
        answer = get(node.admin, f"/receipts/{record}", timeout_s)
        return answer if answer.status != 503 else None
    return wait_until(answered, "the receipt is answered")


def receipt(node, record):
    answer = ask(node, record)
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()
    assert (found["schema"], found["id"]) == (1, record)
    return found


def sink_of(found, name="archive"):
    return next(sink for sink in found["sinks"] if sink["sink"] == name)


def wait_state(node, record, state, sink="archive", timeout_s=30):
    def is_so():
        found = receipt(node, record)
        return found if sink_of(found, sink)["state"] == state else None
    return wait_until(is_so, f"{record} is {state} at {sink}", timeout_s, 0.05)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def time_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def archived(node):
    return {event["id"] for event in node.events()}


def churn(node, until, *headers):
    """Sends until it is so: segments are used again and again."""
    def go_on():
        send_many(node, "churn", [b"x" * 60_000] * 20, *headers)
        return until()
    return wait_until(go_on, "the journal has been used again", 60)


def is_recycled(node, record):
    return lambda: not receipt(node, record)["stored"]["in_journal"]


# What the closed sink did not get stays behind; nobody waits long for it.
HURRY = {"server": {"flush_deadline": "500ms"}}


# ---- States.

def test_a_delivered_record_is_found_with_place_and_time(node):
    before = now()
    record = send(node, "web.page", b"hello")
    found = wait_state(node, record, "delivered")
    after = now()
    stored, sink = found["stored"], sink_of(found)
    journal, sequence = record.split("-")
    assert (stored["journal"], stored["sequence"]) == (journal, int(sequence, 16))
    assert (stored["tenant"], stored["stream"], stored["bytes"]) == ("default", "web.page", 5)
    assert (stored["in_journal"], stored["segment"]) == (True, 1)
    assert stored["node"] == node.status()["node"]
    assert stored["received_at"] == node.records()[0]["received_at"]
    assert before <= time_of(stored["received_at"]) <= time_of(sink["at"]) <= after
    assert sink["precision"] == "batch"
    assert record in archived(node)


def test_a_sink_that_is_gone_leaves_records_pending_there_alone(make_node):
    node = make_node({**HURRY, "sinks.gone": closed_sink()}).start()
    record = send(node, "a", b"{}", JSON)
    found = wait_state(node, record, "delivered")
    assert sink_of(found, "gone") == {"sink": "gone", "state": "pending"}


def test_a_record_the_sink_refused_is_dead_and_the_reason_is_told(make_node):
    with Receiver() as receiver:
        receiver.rule = lambda request: Reply(422, body=b"no such field") \
            if any(event["data"]["n"] == 7 for event in request.events()) else None
        node = make_node({"sinks.out": closed_sink(url=receiver.url())}).start()
        records = send_many(node, "a", [b'{"n": %d}' % n for n in range(20)], JSON)
        dead = sink_of(wait_state(node, records[7], "dead", "out"), "out")
        assert "422" in dead["reason"] and "no such field" in dead["reason"]
        assert time_of(dead["at"]) <= now()
        for record in records[:7] + records[8:]:
            wait_state(node, record, "delivered", "out")
        assert len(receiver.events()) == 19
        wait_state(node, records[7], "delivered")  # In the archive.
        # Sent again: the books know that it was set aside, and no more.
        receiver.rule = None
        assert inlet.run("dead", "redrive", "--sink", "out", "--config", node.config, "--data",
                         node.data).returncode == 0
        again = sink_of(receipt(node, records[7]), "out")
        assert again["state"] in ("dead", "settled") and "sent again" in again["reason"]


def test_a_record_of_a_stream_the_sink_does_not_take_is_not_for_it(make_node, here):
    node = make_node({"sinks.web": {"type": "file", "path": str(here / "web"),
                                    "streams": ["web.*"], "batch_age": "20ms"}}).start()
    api, web = send(node, "api", b"1"), send(node, "web.a", b"2")
    assert sink_of(receipt(node, api), "web")["state"] == "not_for_this_sink"
    wait_state(node, web, "delivered", "web")
    assert sink_of(receipt(node, api), "web")["state"] == "not_for_this_sink"


def test_a_record_damaged_on_disk_is_lost_and_its_neighbours_are_not(make_node):
    node = make_node(command="serve").start()
    first, second, third = send_many(node, "a", [b"one-0001", b"two-0002", b"three-03"])
    node.stop()
    segment = node.data / "journal" / "segment-000001"
    data = bytearray(segment.read_bytes())
    data[data.index(b"two-0002")] ^= 1
    segment.write_bytes(data)
    node.command = "run"
    node.start()
    wait_state(node, third, "delivered")
    lost = receipt(node, second)
    assert sink_of(lost)["state"] == "lost" and not lost["stored"]["in_journal"]
    assert sink_of(receipt(node, first))["state"] == "delivered"
    assert archived(node) == {first, third}


# ---- Over time.

def test_a_record_whose_segment_was_recycled_is_still_accounted_for(make_node):
    node = make_node(TURNOVER).start()
    record = send(node, "early", b"bird")
    before = sink_of(wait_state(node, record, "delivered"))
    churn(node, is_recycled(node, record))
    found = receipt(node, record)
    assert sink_of(found) == before
    assert not {"segment", "stream", "bytes"} & set(found["stored"])


def test_a_receipt_outlives_restarts(make_node):
    node = make_node({**HURRY, "sinks.gone": closed_sink()}).start()
    record = send(node, "a", b"{}", JSON)
    before = wait_state(node, record, "delivered")
    node.stop()
    node.start()
    assert receipt(node, record) == before


def is_free(port):
    """A process may be gone from the list while the kernel still closes its sockets."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_killed_processes_make_no_receipt_untrue(make_node):
    print(f"INLET_RECEIPTS_SEED={SEED}")
    chance = random.Random(SEED)
    node = make_node({"sinks.archive": {"batch_age": "20ms"}})
    node.deaths_expected = True
    node.start()
    records = []
    for kill in range(KILLS):
        records += send_many(node, "a", [b"%d" % n for n in range(20)])
        time.sleep(chance.uniform(0, 0.2))
        if kill % 3 == 0:
            node.kill()
            wait_until(lambda: is_free(node.port) and is_free(node.admin_port), "ports are free")
            node.start()
        else:
            os.kill(node.child(chance.choice(["serve", "ship-archive"])), signal.SIGKILL)
        wait_until(lambda: try_get(node.address, "/healthz") == 200, "it is up again", 20)
        for record in chance.sample(records, 10):
            state = sink_of(receipt(node, record))["state"]
            assert state in ("pending", "delivered"), state
            assert state == "pending" or record in archived(node)
    for record in records:
        wait_state(node, record, "delivered")


# ---- Ids that find nothing.

def test_an_id_of_another_node_is_told_from_an_unknown_one(make_node):
    one, other = make_node().start(), make_node().start()
    record = send(one, "a", b"x")
    assert ask(one, record).status == 200
    answer = ask(other, record)
    assert answer.status == 404
    assert "another node or an earlier journal" in answer.json()["detail"]
    assert other.status()["journal"]["id"] in answer.json()["detail"]


def test_an_id_that_was_never_given_out_is_unknown(node):
    journal = send(node, "a", b"x").split("-")[0]
    for sequence in ("000000000000", "000000000002", "ffffffffffff"):
        answer = ask(node, f"{journal}-{sequence}")
        assert answer.status == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_what_is_no_id_is_400(node):
    zeros = "0" * 12
    for text in ("", "x", "0" * 25, f"{zeros}-{zeros[1:]}", "%00", f"{zeros}-{zeros}/",
                 "..%2f..%2fetc%2fpasswd", f"{'g' * 12}-{zeros}", "0" * 5000):
        answer = ask(node, text)
        assert answer.status == 400, text
        assert "hex digits" in answer.json()["detail"]
    assert send(node, "a", b"x")


def test_only_get_and_head_are_answered(node):
    record = send(node, "a", b"x")
    with Wire(node.admin) as wire:
        wire.send(f"HEAD /receipts/{record} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert wire.read(to_head=True).status == 200
        wire.send(f"GET /receipts/{record} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert wire.read().status == 200  # On the same connection.
        wire.send(f"DELETE /receipts/{record} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert wire.read().status == 405


# ---- Many, and the end.

def test_many_at_once_are_answered_or_told_to_wait_and_keep_nobody_from_storing(node):
    records = send_many(node, "a", [b"x" * 20_000] * 100)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        asked = [pool.submit(get, node.admin, f"/receipts/{records[i % 100]}", 60)
                 for i in range(4 * AT_ONCE)]
        stored = send_many(node, "b", [b"y"] * 50)
        answers = [one.result() for one in asked]
    assert {answer.status for answer in answers} <= {200, 503}
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status == 503)
    assert sum(answer.status == 200 for answer in answers) >= 1
    assert len(set(stored)) == 50
    assert ask(node, records[0]).status == 200


def test_a_node_that_stops_answers_what_was_asked(make_node):
    node = make_node().start()
    records = send_many(node, "a", [b"x" * 20_000] * 50)
    with Wire(node.admin) as wire:
        wire.send(b"".join(f"GET /receipts/{record} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
                           for record in records))
        assert wire.read().status == 200
        node.stop()
        answers, closed = wire.read_all()
    assert closed and {answer.status for answer in answers} <= {200, 503}


# ---- Tenants.

@pytest.fixture
def shared(make_node):
    """A node of two tenants, and their keys as header lines."""
    node = make_node({**TURNOVER, "server": {**TURNOVER["server"], "auth": "keys"}})
    keys = {}
    for tenant in ("acme", "rival"):
        done = inlet.run("key", "new", "--tenant", tenant, "--data", node.data)
        assert done.returncode == 0, done.stderr
        keys[tenant] = f"Authorization: Bearer {done.stdout.strip()}"
    return node.start(), keys


def ask_as(node, line, record):
    """What the public port says to that tenant."""
    def answered():
        with Wire(node.address) as wire:
            lines = [f"GET /receipts/{record} HTTP/1.1", "Host: a"] + ([line] if line else [])
            answer = wire.send("\r\n".join([*lines, "", ""]).encode()).read()
        return answer if answer.status not in (429, 503) else None
    return wait_until(answered, "the receipt is answered")


def test_a_tenant_finds_its_own_records_and_no_others(shared):
    node, keys = shared
    records = {tenant: send(node, "web", tenant.encode(), keys[tenant]) for tenant in keys}
    unknown = records["acme"].split("-")[0] + "-00000000ffff"
    nothing = ask_as(node, keys["acme"], unknown)
    assert nothing.status == 404
    for tenant, record in records.items():
        wait_state(node, record, "delivered")
        found = ask_as(node, keys[tenant], record)
        assert found.status == 200
        assert found.json()["stored"]["tenant"] == tenant
        assert "segment" not in found.json()["stored"]
        assert sink_of(found.json())["state"] == "delivered"
        other = "rival" if tenant == "acme" else "acme"
        foreign = ask_as(node, keys[other], record)
        assert (foreign.status, foreign.body) == (404, nothing.body)
    assert ask_as(node, None, records["acme"]).status == 401
    assert ask_as(node, keys["acme"], "nonsense").status == 400


def test_a_tenant_finds_what_was_recycled_by_the_batches_that_name_it(shared):
    node, keys = shared
    mine = send(node, "web", b"mine", keys["acme"])
    wait_state(node, mine, "delivered")  # So that the next one is of another batch.
    foreign = send(node, "web", b"foreign", keys["rival"])
    wait_state(node, foreign, "delivered")
    churn(node, is_recycled(node, mine), keys["rival"])
    churn(node, is_recycled(node, foreign), keys["rival"])
    found = ask_as(node, keys["acme"], mine)
    assert found.status == 200
    assert sink_of(found.json())["state"] == "delivered"
    assert ask_as(node, keys["acme"], foreign).status == 404
    assert ask_as(node, keys["rival"], mine).status == 404
    assert ask_as(node, keys["rival"], foreign).status == 200


def test_a_dead_letter_is_told_to_its_tenant_alone(make_node):
    with Receiver() as receiver:
        receiver.always(422, body=b"no such field")
        node = make_node({"server": {"auth": "keys"},
                          "sinks.out": closed_sink(url=receiver.url())})
        lines = {}
        for tenant in ("acme", "rival"):
            done = inlet.run("key", "new", "--tenant", tenant, "--data", node.data)
            lines[tenant] = f"Authorization: Bearer {done.stdout.strip()}"
        node.start()
        record = send(node, "a", b"{}", JSON, lines["acme"])
        wait_state(node, record, "dead", "out")
        told = sink_of(ask_as(node, lines["acme"], record).json(), "out")
        assert told["state"] == "dead" and "no such field" in told["reason"]
        assert ask_as(node, lines["rival"], record).status == 404


# ---- The command.

def command(node, *words):
    return inlet.run("receipt", *words, "--config", node.config, "--data", node.data)


def test_the_command_says_what_the_port_says_also_of_a_stopped_node(make_node):
    node = make_node().start()
    record = send(node, "a", b"x")
    said = wait_state(node, record, "delivered")
    for running in (True, False):
        if not running:
            node.stop()
        done = command(node, record)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == said
    journal = record.split("-")[0]
    for words, code, sentence in [((f"{journal}-0000000000ff",), 1, "no record with this id"),
                                  (("0" * 12 + "-" + "0" * 12,), 1, "another node"),
                                  (("x",), 2, "hex digits"), ((), 2, "ID")]:
        done = command(node, *words)
        assert (done.returncode, done.stdout) == (code, "")
        assert sentence in done.stderr
