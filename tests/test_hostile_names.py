"""Goal: no name that a client makes up reaches a path, an object's name, a log line or an answer.

Method: a whole node with a file archive. Names and header values that climb, encode, break lines
or are far too long, each with a mark in it. Every answer is a refusal in plain words, without the
mark; in the end no name below the directory and no byte in it carries the mark, and the records
that were sent properly in between are all that was stored. What an odd but valid field may carry
is looked at apart: it is data, and never a name."""

import os
import re
import urllib.parse

import pytest

import conftest
from wire import Wire, get, post

MARK = "evilmark"
KIB = 1 << 10
NAME = re.compile(rb"[A-Za-z0-9_.=-]+")


def target(path, *lines, method=b"POST", body=b"x"):
    """A request with exactly this target."""
    head = [method + b" " + path + b" HTTP/1.1", b"Host: test",
            b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def stream(name):
    return target(b"/ingest/" + name)


M = MARK.encode()
TARGETS = {
    # Climbing.
    "a parent": stream(b"../" + M),
    "many parents": stream(b"../../../../../../etc/" + M),
    "a parent inside": stream(M + b"/../../other"),
    "a parent at the end": stream(M + b"/.."),
    "this directory": stream(b"./" + M),
    "an absolute path": stream(b"/etc/" + M),
    "a backslash": stream(b"..\\" + M),
    "a hidden name": stream(b"." + M),
    "a home": stream(b"~" + M),
    "a child": stream(M + b"/child"),
    "a slash at the end": stream(M + b"/"),
    # Encoded.
    "an encoded parent": stream(b"%2e%2e/" + M),
    "all of it encoded": stream(b"%2e%2e%2f" + M),
    "in capitals": stream(b"%2E%2E%2F" + M),
    "encoded twice": stream(b"%252e%252e%252f" + M),
    "an overlong dot": stream(b"%c0%ae%c0%ae%c0%af" + M),
    "a wide slash": stream(b"%uff0f" + M),
    "an encoded letter": stream(b"%65vil" + M),
    "an encoded zero": stream(M + b"%00"),
    "an encoded line": stream(M + b"%0d%0aInlet-Evil:%20" + M),
    "a broken encoding": stream(M + b"%"),
    "another broken encoding": stream(M + b"%zz"),
    # Bytes.
    "a zero": stream(M + b"\0"),
    "a newline": stream(M + b"\nInlet-Evil: 1"),
    "a return": stream(M + b"\rInlet-Evil: 1"),
    "a tab": stream(M + b"\t"),
    "an escape": stream(M + b"\x1b[2J"),
    "a delete": stream(M + b"\x7f"),
    "UTF-8": stream("é".encode() + M),
    "a right-to-left mark": stream("\u202e".encode() + M),
    "a fullwidth letter": stream("ｅ".encode() + M),
    "no UTF-8": stream(b"\xff\xfe" + M),
    # Shape.
    "capitals": stream(MARK.upper().encode()),
    "a leading hyphen": stream(b"-" + M),
    "a leading underscore": stream(b"_" + M),
    "an equals sign": stream(b"tenant=" + M),
    "a colon": stream(M + b":1"),
    "an at sign": stream(M + b"@host"),
    "a star": stream(M + b"*"),
    "a brace": stream(b"{tenant}" + M),
    "quotes": stream(b'"' + M + b'"'),
    "markup": stream(b"<script>" + M + b"</script>"),
    "shell words": stream(b"$(touch%20" + M + b")"),
    "65 letters": stream(M + b"a" * (65 - len(M))),
    "1 KB": stream(M * 128),
    "10 KB": stream(M * 1280),
    "7 KB of parents": stream(b"../" * 2300 + M),
    # Other forms of a target.
    "an absolute URL of another host": target(b"http://" + M + b"/ingest/ok"),
    "an absolute URL that climbs": target(b"http://test/ingest/../" + M),
    "another scheme": target(b"file:///etc/" + M),
    "a user in the URL": target(b"http://" + M + b":secret@test/ingest/ok"),
    "an authority": target(M + b":80", method=b"CONNECT"),
    "no slash": target(M),
    "another path": target(b"/" + M),
    "a path beside": target(b"/ingest/../" + M),
    "a prefix": target(b"/ingest" + M),
    "a method": target(b"/ingest/ok", method=M.upper()),
    "a very long method": target(b"/ingest/ok", method=M.upper() * 100),
}

# Fields that we look at, with bytes that no value may have (RFC 9110 section 5.5).
FIELDS = (b"Content-Type", b"Content-Encoding", b"traceparent", b"Idempotency-Key", b"Inlet-Ack",
          b"Authorization", b"X-Api-Key", b"X-Forwarded-For", b"Host")
BYTES = {"zero": b"\0", "return": b"\r", "newline": b"\n", "escape": b"\x1b", "delete": b"\x7f",
         "bell": b"\x07", "a smuggled field": b"\r\n\r\nPOST /ingest/evilmark HTTP/1.1\r\n"}
VALUES = {f"{field.decode()} with {name}": target(b"/ingest/ok", field + b": a" + byte + M)
          for field in FIELDS for name, byte in BYTES.items() if name != "a smuggled field"}
NAMES = {f"a field name with {name}": target(b"/ingest/ok", M + byte + b"X: 1")
         for name, byte in BYTES.items() if name != "a smuggled field"}
LONG = {f"{field.decode()} of 20 KB": target(b"/ingest/ok", field + b": " + M * 2500)
        for field in FIELDS}
REFUSED_VALUES = {
    "an encoding that climbs": target(b"/ingest/ok", b"Content-Encoding: ../" + M),
    "an acknowledgement that climbs": target(b"/ingest/ok", b"Inlet-Ack: ../" + M),
}
CASES = {**TARGETS, **VALUES, **NAMES, **LONG, **REFUSED_VALUES}

# Valid values that would climb if they were names: taken as data, or refused.
ODD = {
    "a type that climbs": b"Content-Type: ../../../" + M,
    "a type with a line in it, encoded": b"Content-Type: text/%0d%0a" + M,
    "a key that climbs": b"Idempotency-Key: ../../" + M,
    "a trace that climbs": b"traceparent: ../../" + M,
    "a Host that climbs": b"X-Forwarded-Host: ../../" + M,
    "a peer that climbs": b"X-Forwarded-For: ../../" + M,
    "UTF-8 in a type": b"Content-Type: text/\xc3\xa9" + M,
}


@pytest.fixture(scope="module")
def node():
    with conftest.directory() as path, conftest.nodes(path) as make:
        yield make(conftest.DOOR, "hostile").start()


def names_below(directory):
    for path, directories, files in os.walk(os.fsencode(directory)):
        for name in directories + files:
            yield path, name


def assert_no_name(node):
    """Every name below the node's directory is ours; nothing appeared beside it."""
    for path, name in names_below(node.directory.parent):
        assert NAME.fullmatch(name) and M not in name.lower(), (path, name)


def assert_no_trace(node):
    for path in node.directory.rglob("*"):
        assert path.is_dir() or M not in path.read_bytes().lower(), path


def assert_refused(answer):
    assert 400 <= answer.status < 500 or answer.status in (501, 505), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.body) <= KIB
    problem = answer.json()
    assert problem["status"] == answer.status and len(problem["detail"]) > 10
    said = answer.body.lower() + repr(answer.headers).lower().encode()
    assert M not in said, "the answer repeats what was sent"
    assert not any(byte < 0x20 for byte in answer.body.rstrip(b"\n"))


@pytest.mark.parametrize("raw", CASES.values(), ids=CASES.keys())
def test_a_hostile_name_is_refused_in_plain_words(node, raw):
    with Wire(node.address) as wire:
        try:
            wire.send(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It was refused before its end.
        assert_refused(wire.read())


@pytest.mark.parametrize("raw", TARGETS.values(), ids=TARGETS.keys())
def test_the_admin_port_refuses_it_too(node, raw):
    raw = raw.replace(b"POST /ingest/", b"GET /").replace(b"Content-Length: 1\r\n", b"")[:-1]
    with Wire(node.admin) as wire:
        wire.send(raw)
        assert_refused(wire.read())


def test_nothing_of_them_is_stored_logged_or_made_a_name(node):
    """Runs behind the others of this file, and sends each of theirs again to stand alone."""
    good = [post(node.address, "good", b"%d" % i).json()["id"] for i in range(3)]
    for raw in CASES.values():
        with Wire(node.address) as wire:
            try:
                wire.send(raw)
                wire.read()
            except (BrokenPipeError, ConnectionResetError):
                pass
    good.append(post(node.address, "good", b"last").json()["id"])
    found = node.wait_events(len(good))
    assert [event["id"] for event in found] == good
    assert {record["stream"] for record in node.records()} == {"good"}
    metrics, status = (get(node.admin, path).body for path in ("/metrics", "/status.json"))
    assert M not in metrics + status
    assert_no_name(node)
    assert_no_trace(node)


def test_what_stands_behind_the_path_is_no_part_of_anything(make_node):
    node = make_node().start()
    for rest in ("?name=../" + MARK, "?" + urllib.parse.quote("../\0\n" + MARK),
                 "?" + MARK * 100, "#" + MARK, "?a#../" + MARK):
        with Wire(node.address) as wire:
            answer = wire.send(target(b"/ingest/query" + rest.encode())).read()
        if answer.status != 200:
            assert_refused(answer)
    assert post(node.address, "query", b"end").status == 200
    node.wait_events(1)
    assert_no_name(node)
    assert_no_trace(node)


@pytest.mark.parametrize("line", ODD.values(), ids=ODD.keys())
def test_an_odd_value_is_data_and_never_a_name(make_node, line):
    node = make_node().start()
    with Wire(node.address) as wire:
        answer = wire.send(target(b"/ingest/odd", line)).read()
    if answer.status != 200:
        assert_refused(answer)
    assert post(node.address, "odd", b"end").status == 200
    node.wait_events(1 + (answer.status == 200))
    assert_no_name(node)
    assert MARK not in node.errors()
