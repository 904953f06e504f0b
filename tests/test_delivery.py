"""Goal: several sinks go their own ways: each gets its streams, a dead or hostile one costs the
others and the door nothing; what a sink refuses can be looked at and sent again; a range can be
delivered again; `replicated` is only ever said about what the replica has taken.

Method: a whole node with file and http sinks, a scripted receiver behind the latter."""

import json
import os
import signal
import threading
import time

import pytest

import inlet
from receiver import Receiver, Reply
from wire import Wire, get, post, wait_until

JSON = "Content-Type: application/json"


@pytest.fixture
def receiver():
    with Receiver() as made:
        yield made
    assert not made.mistakes


def hook(receiver, **more):
    return {"type": "http", "url": receiver.url(), "batch_age": "50ms", **more}


def send(node, stream, numbers, *headers):
    """Posts one record a number; the answers."""
    with Wire(node.address) as wire:
        return [wire.post(stream, b'{"n":%d}' % n, JSON, *headers) for n in numbers]


def numbers(events):
    return [event["data"]["n"] for event in events]


def wait_received(receiver, count, timeout_s=20):
    def enough():
        found = receiver.events()
        return found if len(found) >= count else None
    return wait_until(enough, f"{count} events are received", timeout_s, 0.05)


def sink(node, name):
    """The figures of one sink in status.json."""
    return next(one for one in node.status()["sinks"] if one["name"] == name)


def metric(node, name, of_sink):
    for line in get(node.admin, "/metrics").body.decode().splitlines():
        if line.startswith(f'{name}{{sink="{of_sink}"}} '):
            return float(line.split()[1])
    raise AssertionError(f"no metric {name} of {of_sink}")


# ---- Which streams go where.

def test_each_sink_gets_the_streams_of_its_patterns(make_node, receiver):
    node = make_node({"sinks.out": hook(receiver, streams=["web.*", "app"])}).start()
    for stream in ("web.a", "web.b", "app", "other", "web"):
        send(node, stream, [1, 2])
    node.wait_events(10)
    found = wait_received(receiver, 6)
    node.stop()
    assert sorted((e["stream"], e["data"]["n"]) for e in found) == \
        sorted((s, n) for s in ("web.a", "web.b", "app") for n in (1, 2))
    assert len(receiver.events()) == 6


# ---- Isolation.

def test_a_dead_sink_holds_up_nobody_and_catches_up(make_node, receiver):
    node = make_node({"sinks.out": hook(receiver)}).start()
    receiver.down()
    send(node, "s", range(300))
    assert numbers(node.wait_events(300)) == list(range(300))
    wait_until(lambda: sink(node, "out")["retries"] > 0, "the dead sink's retries show")
    figures = sink(node, "out")
    assert figures["lag_records"] == 300 and figures["lag_s"] > 0
    assert "127.0.0.1" in figures["last_error"]
    assert metric(node, "inlet_sink_lag_seconds", "out") > 0
    assert metric(node, "inlet_sink_lag_records", "archive") == 0
    receiver.up()
    assert numbers(wait_received(receiver, 300, 60)) == list(range(300))
    wait_until(lambda: sink(node, "out")["lag_records"] == 0, "it has caught up")
    assert sink(node, "out")["lag_s"] == 0


def test_a_sink_that_accepts_and_never_answers_holds_up_nobody(make_node, receiver):
    receiver.rule = lambda request: Reply(delay_s=30, hang_up=True, store=False)
    node = make_node({"sinks.out": hook(receiver, timeout="60s")}).start()
    began = time.monotonic()
    send(node, "s", range(200))
    assert numbers(node.wait_events(200)) == list(range(200))
    assert time.monotonic() - began < 25
    assert sink(node, "out")["lag_records"] == 200
    receiver.rule = None
    receiver.down()  # Ends what hangs, and so the stop below.


def test_a_shipper_that_keeps_crashing_holds_up_nobody(make_node, receiver):
    node = make_node({"sinks.out": hook(receiver)})
    node.deaths_expected = True
    node.start()
    stop = threading.Event()

    def crash():
        while not stop.is_set():
            try:
                os.kill(node.state()["children"]["ship-out"], signal.SIGKILL)
            except (OSError, KeyError, ValueError):
                pass
            time.sleep(0.05)
    thread = threading.Thread(target=crash)
    thread.start()
    try:
        answers = send(node, "s", range(300))
        assert all(answer.status == 200 for answer in answers)
        assert numbers(node.wait_events(300)) == list(range(300))
    finally:
        stop.set()
        thread.join()
    assert sorted(set(numbers(wait_received(receiver, 300, 60)))) == list(range(300))


# ---- Dead letters.

def refuse_odd(request):
    """400 for any request with an odd number in it."""
    odd = any(event["data"]["n"] % 2 for event in request.events())
    return Reply(400, body=b"odd numbers are not for me") if odd else None


def dead(node, *words):
    return inlet.run("dead", *words, "--config", node.config, "--data", node.data)


def test_refused_records_are_listed_printed_and_redriven(make_node, receiver):
    receiver.rule = refuse_odd
    node = make_node({"sinks.out": hook(receiver)}).start()
    send(node, "s", range(20))
    wait_until(lambda: sink(node, "out")["dead_records"] == 10, "half of them are set aside", 20)
    assert sorted(numbers(wait_received(receiver, 10))) == list(range(0, 20, 2))

    listing = dead(node, "ls")
    assert listing.returncode == 0
    assert [line.split()[:2] for line in listing.stdout.splitlines()[1:]
            if line.startswith("out")][0][1] == "10"
    assert "odd numbers are not for me" in listing.stdout
    lines = [json.loads(line) for line in dead(node, "cat", "--sink", "out").stdout.splitlines()]
    assert len(lines) == 10 and {line["sink"] for line in lines} == {"out"}
    bodies = dead(node, "cat", "--sink", "out", "--bodies").stdout
    assert bodies == "".join('{"n":%d}' % n for n in range(1, 20, 2))

    refused = dead(node, "redrive", "--sink", "out")  # Nothing has changed.
    assert refused.returncode == 3, refused.stderr
    assert "0 records delivered to sink out, 10 refused again" in refused.stdout
    receiver.rule = None
    redriven = dead(node, "redrive", "--sink", "out", "--progress")
    assert redriven.returncode == 0, redriven.stderr
    assert "10 records delivered to sink out, 0 refused again" in redriven.stdout
    assert "100 %" in redriven.stderr
    assert sorted(numbers(receiver.events())) == list(range(20))
    ids = [event["id"] for event in receiver.events()]
    assert len(set(ids)) == 20  # Their own ids, each once.
    assert "0" in dead(node, "ls", "--sink", "out").stdout.split("\n")[1]
    assert not list((node.data / "dead" / "out").iterdir())


def test_dead_letters_have_a_bound_at_which_delivery_waits(make_node, receiver):
    receiver.rule = refuse_odd
    node = make_node({"sinks.out": hook(receiver, dead_bytes="1KiB")}).start()
    for number in range(1, 40, 2):
        send(node, "s", [number])
        time.sleep(0.08)
    wait_until(lambda: "dead_bytes" in sink(node, "out")["last_error"], "it says why it waits", 30)
    kept = sum(p.stat().st_size for p in (node.data / "dead" / "out").iterdir())
    assert 1024 <= kept < 20 * 1024
    assert len(node.wait_events(20)) == 20  # The other sink has them all.
    receiver.rule = None
    assert dead(node, "redrive", "--sink", "out").returncode == 0
    # The batch that waited was refused already: it is set aside now that there is room.
    wait_until(lambda: sink(node, "out")["lag_records"] == 0, "delivery goes on", 60)
    assert dead(node, "redrive", "--sink", "out").returncode == 0
    assert sorted(set(numbers(receiver.events()))) == list(range(1, 40, 2))


def test_dead_and_replay_say_what_is_wrong_with_their_words(make_node):
    node = make_node().start()
    common = ["--config", node.config, "--data", node.data]
    for words, sentence in [
            (["dead"], "dead: say ls, cat or redrive"),
            (["dead", "redrive", *common], "--sink is required"),
            (["dead", "ls", "--sink", "archiv", *common],
             "no sink is called archiv; did you mean archive?"),
            (["replay", "--sink", "archive", *common], "--from is required"),
            (["replay", "--sink", "archive", "--from", "yesterday", *common],
             '"yesterday" is neither a time such as'),
            (["replay", "--sink", "archive", "--from", "1h", "--to", "2h", *common],
             "the range ends before it begins")]:
        done = inlet.run(*words)
        assert done.returncode == 2 and sentence in done.stderr, (words, done.stderr)


# ---- Replay.

RETAIN = {"journal": {"retain": "1h", "segment_bytes": "6MiB", "max_bytes": "96MiB"}}


def replay(node, *words):
    return inlet.run("replay", *words, "--config", node.config, "--data", node.data)


def test_replay_to_files_brings_lost_objects_back_and_doubles_nothing(make_node):
    node = make_node({**RETAIN, "sinks.archive": {"batch_age": "50ms", "batch_records": 7}}).start()
    send(node, "s", range(100))
    node.wait_events(100)
    wait_until(lambda: sink(node, "archive")["lag_records"] == 0, "all is delivered")
    whole = {path: path.read_bytes() for path in inlet.objects(node.archive)}
    for path in list(whole)[::3]:
        path.unlink()
    done = replay(node, "--sink", "archive", "--from", "1h")
    assert done.returncode == 0, done.stderr
    assert "100 records delivered again" in done.stdout
    assert {path: path.read_bytes() for path in inlet.objects(node.archive)} == whole


def test_replay_sends_a_range_again_with_the_same_ids(make_node, receiver):
    node = make_node({**RETAIN, "sinks.out": hook(receiver)}).start()
    send(node, "s", range(10))
    wait_received(receiver, 10)
    time.sleep(1.1)
    middle = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    send(node, "s", range(10, 20))
    first = wait_received(receiver, 20)
    wait_until(lambda: sink(node, "out")["lag_records"] == 0, "all is delivered")
    done = replay(node, "--sink", "out", "--from", middle)
    assert done.returncode == 0, done.stderr
    again = receiver.events()[20:]
    assert numbers(again) == list(range(10, 20))
    assert [e["id"] for e in again] == [e["id"] for e in first[10:]]


def test_replay_says_how_far_back_the_journal_reaches(make_node):
    node = make_node().start()
    send(node, "s", [1])
    node.wait_events(1)
    done = replay(node, "--sink", "archive", "--from", "2020-01-01")
    assert "the journal reaches back to sequence 1 only" in done.stdout


# ---- Replicated.

def replicated(receiver, timeout="2s", **more):
    return {"server": {"ack_timeout": timeout, "max_body": "1MiB"},
            "sinks.out": hook(receiver, replica=True, batch_age="0s", **more)}


def ask(node, n, stream="s", timeout_s=20):
    return post(node.address, stream, b'{"n":%d}' % n, JSON, "Inlet-Ack: replicated",
                timeout_s=timeout_s)


def test_replicated_is_said_when_the_replica_has_it(make_node, receiver):
    node = make_node(replicated(receiver)).start()
    for n in range(20):
        answer = ask(node, n)
        assert answer.status == 200
        assert answer.headers["inlet-durability"] == "replicated"
        assert answer.json()["durability"] == "replicated"
        assert n in numbers(receiver.events())  # It was there before we were told.
    plain = send(node, "s", [99])[0]
    assert plain.status == 200 and plain.headers["inlet-durability"] == "disk"


def test_202_when_the_replica_does_not_confirm_in_time(make_node, receiver):
    receiver.always(503)
    node = make_node(replicated(receiver, timeout="500ms")).start()
    answer = ask(node, 1)
    assert answer.status == 202
    assert answer.headers["inlet-durability"] == "disk" and answer.json()["durability"] == "disk"
    receiver.always(200)
    assert numbers(wait_received(receiver, 1, 60)) == [1]  # And it is delivered.


def test_a_stream_can_ask_by_its_configuration_and_a_request_otherwise(make_node, receiver):
    node = make_node({**replicated(receiver), "streams.gold": {"ack": "replicated"}}).start()
    assert send(node, "gold", [1])[0].headers["inlet-durability"] == "replicated"
    assert send(node, "gold", [2], "Inlet-Ack: disk")[0].headers["inlet-durability"] == "disk"


def test_replicated_is_refused_where_it_cannot_be(make_node, receiver):
    node = make_node(replicated(receiver, streams=["web.*"])).start()
    assert ask(node, 1, "web.a").status == 200
    refused = ask(node, 1, "other")
    assert refused.status == 400 and "does not" in refused.json()["detail"]
    assert post(node.address, "web.a", b"x", "Inlet-Ack: maybe").status == 400


def test_a_record_set_aside_is_not_called_replicated(make_node, receiver):
    receiver.rule = refuse_odd
    node = make_node(replicated(receiver)).start()
    assert ask(node, 1).status == 202
    assert ask(node, 2).status == 200


def test_no_false_replicated_while_replica_and_shipper_die(make_node, receiver):
    """Every `replicated` is checked against what the receiver has when the answer comes."""
    node = make_node(replicated(receiver, timeout="1s"))
    node.deaths_expected = True
    node.start()
    wrong, counts, stop = [], {200: 0, 202: 0}, threading.Event()

    def ask_on(worker):
        n = worker * 100_000
        while not stop.is_set():
            n += 1
            answer = ask(node, n)
            counts[answer.status] += 1
            if answer.status == 200 and n not in numbers(receiver.events()):
                wrong.append(n)
    threads = [threading.Thread(target=ask_on, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        time.sleep(0.4)
        receiver.down()
        time.sleep(0.3)
        receiver.up()
        time.sleep(0.2)
        try:
            os.kill(node.state()["children"]["ship-out"], signal.SIGKILL)
        except (OSError, KeyError, ValueError):
            pass
    stop.set()
    for thread in threads:
        thread.join()
    print(counts)
    assert not wrong
    assert counts[200] > 10 and counts[202] > 0


def test_a_client_that_leaves_while_it_waits_costs_nothing(make_node, receiver):
    receiver.always(503)
    node = make_node(replicated(receiver, timeout="1s")).start()
    for n in range(50):
        wire = Wire(node.address)
        wire.send(b"POST /ingest/s HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
                  b"Inlet-Ack: replicated\r\nContent-Length: 7\r\n\r\n" + b'{"n":%d}' % (n % 10))
        wire.close()
    wait_until(lambda: node.status()["connections"] <= 1, "all connections are gone", 20)
    receiver.always(200)
    assert len(wait_received(receiver, 50, 60)) == 50
