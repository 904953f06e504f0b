"""Goal: every answer of the door is the one that was promised, and no refusal stores anything.

Method: one `inlet serve`, raw requests; after each refusal the journal is listed."""

import gzip
import re
import subprocess
import time
import zlib

import pytest

from wire import Wire, chunked, get, post, request, try_get

KIB, MIB = 1 << 10, 1 << 20


def stored(door, stream):
    return [r for r in door.records() if r["stream"] == stream]


def assert_problem(answer, status):
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"] and problem["type"] and len(problem["detail"]) > 10
    assert len(answer.body) <= KIB


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


# ---- 200.

def test_a_stored_record_is_answered_with_its_id_and_durability(door):
    answer = post(door.address, "plain", b"hello", "Content-Type: text/plain")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["inlet-durability"] == "disk"
    told = answer.json()
    assert set(told) == {"id", "bytes", "durability"}
    assert (told["bytes"], told["durability"]) == (5, "disk")
    (record,) = stored(door, "plain")
    assert record["id"] == told["id"]
    assert (record["text"], record["content_type"]) == ("hello", "text/plain")
    assert (record["tenant"], record["peer"]) == ("default", "127.0.0.1")


def test_an_empty_body_is_a_record(door):
    assert post(door.address, "empty", b"").json()["bytes"] == 0
    assert [r["bytes"] for r in stored(door, "empty")] == [0]


def test_what_came_with_the_record_is_kept(door):
    assert post(door.address, "kept", b"x", "Idempotency-Key: k-1", "Content-Encoding: gzip",
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                ).status == 200
    (record,) = stored(door, "kept")
    assert record["idempotency_key"] == "k-1"
    assert record["content_encoding"] == "gzip"
    assert record["trace_id"].startswith("00-0af76519")


@pytest.mark.parametrize("size", [1, 2000, 4000, 4096, 16 * KIB, 20 * KIB, 70_000, 256 * KIB])
def test_a_body_of_any_size_is_stored_verbatim(door, size):
    body = bytes(i * 31 % 251 for i in range(size))
    stream = f"size-{size}"
    assert post(door.address, stream, body).json()["bytes"] == size
    with Wire(door.address) as wire:
        wire.send(b"POST /ingest/%s HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                  % stream.encode() + chunked(*(body[i:i + 7001] for i in range(0, size, 7001))))
        assert wire.read().json()["bytes"] == size
    done = door.journal("cat", "--bodies", "--stream", stream, text=False)
    assert done.stdout == body + body


# ---- Refusals that need only a head. Name, request, status.

LONG = "x" * 9000
REFUSALS = [
    ("no host", b"POST /ingest/no HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 400),
    ("a replica that is not there", request("no", b"x", "Inlet-Ack: replicated"), 400),
    ("an unknown acknowledgement", request("no", b"x", "Inlet-Ack: maybe"), 400),
    ("another path", b"POST /other HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx", 404),
    ("no stream", request("", b"x"), 404),
    ("a stream in capitals", request("No", b"x"), 404),
    ("a stream that starts with a dot", request(".no", b"x"), 404),
    ("a stream that climbs", request("../no", b"x"), 404),
    ("a stream with a slash", request("no/no", b"x"), 404),
    ("a stream that is encoded", request("no%2e", b"x"), 404),
    ("a stream that is too long", request("a" * 65, b"x"), 404),
    ("GET of a stream", b"GET /ingest/no HTTP/1.1\r\nHost: t\r\n\r\n", 405),
    ("PUT to a stream", request("no", b"x", method="PUT"), 405),
    ("DELETE of a stream", request("no", b"x", method="DELETE"), 405),
    ("no length", b"POST /ingest/no HTTP/1.1\r\nHost: t\r\n\r\n", 411),
    ("a body beyond the node's bound",
     b"POST /ingest/no HTTP/1.1\r\nHost: t\r\nContent-Length: 262145\r\n\r\n", 413),
    ("a body beyond the stream's bound", request("small", b"x" * 1025), 413),
    ("a chunked body beyond the bound",
     b"POST /ingest/small HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
     + chunked(b"x" * 600, b"x" * 600), 413),
    ("a target too long", request(LONG, b"x"), 414),
    ("an unknown encoding", request("no", b"x", "Content-Encoding: br"), 415),
    ("two encodings", request("no", b"x", "Content-Encoding: gzip, zstd"), 415),
    ("an unknown expectation", request("no", b"x", "Expect: miracles"), 417),
    ("a field too long", request("no", b"x", "Long: " + LONG + LONG), 431),
    ("fields too many", request("no", b"x", *(f"F{i}: {i}" for i in range(101))), 431),
    ("no JSON", request("doc", b"{", "Content-Type: application/json"), 422),
    ("two documents", request("doc", b"{} {}"), 422),
    ("nothing", request("doc", b""), 422),
    ("a text that is no UTF-8", request("doc", b'"\xff"'), 422),
    ("a line that is no JSON", request("lines", b'{"a":1}\nno\n{"b":2}\n'), 422),
    ("gzip that is none", request("doc", b"{}", "Content-Encoding: gzip"), 422),
    ("gzip cut short", request("doc", gzip.compress(b'{"a":[1,2,3]}')[:-5],
                               "Content-Encoding: gzip"), 422),
    ("a gzip bomb", request("doc", gzip.compress(b"[" + b" " * (64 * MIB) + b"]"),
                            "Content-Encoding: gzip"), 413),
    ("a deflate bomb", request("doc", zlib.compress(b" " * (64 * MIB)),
                               "Content-Encoding: deflate"), 413),
    ("a zstd bomb", request("lines", zstd(b"1\n" * (32 * MIB)), "Content-Encoding: zstd"), 413),
]


@pytest.mark.parametrize("raw,status", [c[1:] for c in REFUSALS], ids=[c[0] for c in REFUSALS])
def test_a_refusal_says_why_and_stores_nothing(door, raw, status):
    before = len(door.records())
    with Wire(door.address) as wire:
        assert_problem(wire.send(raw).read(), status)
    assert len(door.records()) == before


def test_a_refused_method_says_what_is_allowed(door):
    with Wire(door.address) as wire:
        wire.send(b"PATCH /ingest/no HTTP/1.1\r\nHost: t\r\n\r\n")
        assert wire.read().headers["allow"] == "POST"
        wire.send(b"DELETE /healthz HTTP/1.1\r\nHost: t\r\n\r\n")
        assert wire.read().headers["allow"] == "GET, HEAD"


def test_a_refused_encoding_says_what_is_taken(door):
    answer = post(door.address, "no", b"x", "Content-Encoding: br")
    assert answer.headers["accept-encoding"] == "gzip, zstd, deflate"


def test_a_bomb_is_refused_quickly(door):
    bomb = gzip.compress(b" " * (200 * MIB))
    start = time.monotonic()
    assert post(door.address, "doc", bomb, "Content-Encoding: gzip").status == 413
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("raw", [
    b"POST /ingest/no HTTP/1.1\r\nHost: t\r\nContent-",
    b"POST /ingest/no HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nfive5",
    b"POST /ingest/no HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfi",
], ids=["head", "body", "chunk"])
def test_a_request_that_does_not_come_to_its_end_is_answered_408_and_not_stored(door, raw):
    before = len(door.records())
    with Wire(door.address) as wire:
        answers, closed = wire.send(raw).read_all()
    assert closed and len(answers) == 1
    assert_problem(answers[0], 408)
    assert len(door.records()) == before


# ---- Formats.

@pytest.mark.parametrize("encoding,pack", [
    ("identity", bytes), ("gzip", gzip.compress), ("zstd", zstd), ("deflate", zlib.compress)])
def test_valid_json_is_stored_as_it_came_in_every_encoding(door, encoding, pack):
    body = pack(b'{"a":[1,2.50,"\\u00e9"],"b":null}')
    answer = post(door.address, "doc", body, f"Content-Encoding: {encoding}")
    assert answer.status == 200 and answer.json()["bytes"] == len(body)


def test_valid_ndjson_may_have_blank_lines_and_no_last_line_end(door):
    assert post(door.address, "lines", b'{"a":1}\n\n\r\n [2] \n"three"').status == 200


# ---- Connections.

def test_a_connection_serves_many_requests(door):
    with Wire(door.address) as wire:
        ids = [wire.post("many", b"x").json()["id"] for _ in range(50)]
    assert ids == sorted(set(ids))


def test_pipelined_requests_are_answered_in_order(door):
    bodies = [b"y" * (i + 1) for i in range(40)]
    with Wire(door.address) as wire:
        wire.send(b"".join(request("pipe", body) for body in bodies))
        assert [wire.read().json()["bytes"] for _ in bodies] == list(map(len, bodies))


def test_a_refusal_in_a_pipeline_does_not_disturb_its_neighbours(door):
    with Wire(door.address) as wire:
        wire.send(request("pipe", b"a") + request("No", b"bb") + request("pipe", b"ccc"))
        answers = [wire.read() for _ in range(3)]
    assert [a.status for a in answers] == [200, 404, 200]
    assert answers[2].json()["bytes"] == 3


def test_connection_close_is_honoured(door):
    with Wire(door.address) as wire:
        answers, closed = wire.send(request("x", b"a", "Connection: close")).read_all()
    assert closed and [a.status for a in answers] == [200]
    assert answers[0].headers["connection"] == "close"


def test_a_request_may_come_byte_by_byte(door):
    with Wire(door.address) as wire:
        for byte in request("slow", b"abc"):
            wire.send(bytes([byte]))
        assert wire.read().json()["bytes"] == 3


def test_http_1_0_is_answered_and_closed(door):
    with Wire(door.address) as wire:
        answers, closed = wire.send(
            b"POST /ingest/old HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi").read_all()
    assert closed and [a.status for a in answers] == [200]


def test_continue_is_sent_when_the_body_is_wanted(door):
    with Wire(door.address) as wire:
        wire.send(b"POST /ingest/go HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n"
                  b"Expect: 100-continue\r\n\r\n")
        assert wire.read().status == 100
        assert wire.send(b"body").read().status == 200


@pytest.mark.parametrize("target,length,status", [
    ("/ingest/No", 4, 404), ("/ingest/go", 262145, 413), ("/ingest/small", 5000, 413)])
def test_a_body_that_is_not_wanted_is_refused_before_it_is_sent(door, target, length, status):
    with Wire(door.address) as wire:
        wire.send(f"POST {target} HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n"
                  "Expect: 100-continue\r\n\r\n".encode())
        assert_problem(wire.read(), status)  # And no 100 before it.


def test_a_large_refused_body_is_not_swallowed(door):
    """The answer comes though the client goes on sending, and the connection ends."""
    with Wire(door.address) as wire:
        wire.send(b"POST /ingest/no HTTP/1.1\r\nHost: t\r\nContent-Length: 900000000\r\n\r\n"
                  + b"x" * 100_000)
        answers, closed = wire.read_all()
    assert closed and len(answers) == 1
    assert_problem(answers[0], 413)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_answered_to_get_and_head(door, path):
    assert get(door.address, path).json() == {"status": "ok"}
    with Wire(door.address) as wire:
        wire.send(f"HEAD {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        answer = wire.read(to_head=True)
        assert answer.status == 200 and int(answer.headers["content-length"]) > 0
        wire.send(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        assert wire.read().status == 200


def test_an_acknowledgement_from_disk_can_be_asked_for(door):
    assert post(door.address, "ack", b"x", "Inlet-Ack: disk").json()["durability"] == "disk"


# ---- 503.

FULL = {"journal": {"max_bytes": "24MiB"}}  # Four segments, of which each holds five of 1 MiB.


def test_a_full_journal_is_refused_with_a_time_to_come_back(make_node):
    node = make_node(FULL, command="serve").start()
    accepted, refusals = 0, 0
    while refusals < 10:
        answer = post(node.address, "fill", b"z" * MIB)
        if answer.status == 200:
            accepted, refusals = accepted + 1, 0
        else:
            refusals += 1
        assert accepted < 24
        time.sleep(0.05)  # Fullness is measured ten times a second.
    assert_problem(answer, 503)
    assert re.fullmatch(r"[1-9]\d*", answer.headers["retry-after"])
    assert len(node.records()) == accepted
    for path in ("/healthz", "/readyz"):
        assert_problem(get(node.address, path), 503)
        assert try_get(node.admin, path) == 503
    with Wire(node.address) as wire:  # Refused before the body.
        wire.send(b"POST /ingest/fill HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n"
                  b"Expect: 100-continue\r\n\r\n")
        assert_problem(wire.read(), 503)


def test_a_journal_is_not_called_full_while_a_segment_is_free(make_node):
    node = make_node(FULL, command="serve").start()
    with Wire(node.address) as wire:
        for i in range(18):  # 75 % of what it holds; the fourth segment has just begun.
            answer = wire.post("fill", b"z" * MIB)
            assert answer.status == 200, f"record {i + 1}: {answer}"
            time.sleep(0.05)
