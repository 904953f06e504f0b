"""Goal: bytes that two readers could understand differently are refused by the first of them.

Method: each case is one request on a connection of its own, followed by a second request that an
attacker wants to see executed. A bad case is answered exactly once, with the status expected, and
closed; the second request never happens. Good cases beside them show that the door is not simply
shut. Written from RFC 9112; limits are those of src/base/limits.h."""

import pytest

from wire import Wire, chunked

CLOSE_S = 4
HOST = b"Host: t\r\n"
SMUGGLED = b"POST /ingest/%s HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nS"


def post(*lines, body=b"", host=HOST):
    head = b"POST /ingest/case HTTP/1.1\r\n" + host + b"".join(line + b"\r\n" for line in lines)
    return head + b"\r\n" + body


def line(text):
    """A request line alone, with a Host."""
    return text + b"\r\n" + HOST + b"Content-Length: 0\r\n\r\n"


def coded(raw, *lines):
    return post(b"Transfer-Encoding: chunked", *lines, body=raw)


BAD = {
    # Two framings, or one that is not clear.
    "length and chunked": (post(b"Content-Length: 5", b"Transfer-Encoding: chunked",
                                body=b"0\r\n\r\n"), 400),
    "chunked and length": (post(b"Transfer-Encoding: chunked", b"Content-Length: 5",
                                body=b"0\r\n\r\n"), 400),
    "two lengths that differ": (post(b"Content-Length: 1", b"Content-Length: 2", body=b"x"), 400),
    "two lengths that agree": (post(b"Content-Length: 1", b"Content-Length: 1", body=b"x"), 400),
    "a list of lengths": (post(b"Content-Length: 1, 1", body=b"x"), 400),
    "a signed length": (post(b"Content-Length: +1", body=b"x"), 400),
    "a negative length": (post(b"Content-Length: -1", body=b"x"), 400),
    "a length in hexadecimal": (post(b"Content-Length: 0x1", body=b"x"), 400),
    "a length with a blank inside": (post(b"Content-Length: 1 1", body=b"x"), 400),
    "an empty length": (post(b"Content-Length:", body=b"x"), 400),
    "a length beyond 64 bits": (post(b"Content-Length: 18446744073709551617", body=b"x"), 400),
    "a length with a unit": (post(b"Content-Length: 1b", body=b"x"), 400),
    "another coding": (post(b"Transfer-Encoding: gzip", body=b"x"), 501),
    "another coding before chunked": (post(b"Transfer-Encoding: gzip, chunked",
                                           body=chunked(b"x")), 501),
    "chunked before another coding": (post(b"Transfer-Encoding: chunked, gzip",
                                           body=chunked(b"x")), 400),
    "chunked twice": (post(b"Transfer-Encoding: chunked, chunked", body=chunked(b"x")), 400),
    "chunked in two fields": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked",
                                   body=chunked(b"x")), 400),
    "chunked misspelt": (post(b"Transfer-Encoding: xchunked", body=chunked(b"x")), 400),
    "chunked in quotes": (post(b'Transfer-Encoding: "chunked"', body=chunked(b"x")), 400),
    "chunked with a parameter": (post(b"Transfer-Encoding: chunked;a=b", body=chunked(b"x")), 400),
    "chunked after a vertical tab": (post(b"Transfer-Encoding: \x0bchunked",
                                          body=chunked(b"x")), 400),
    "an empty coding": (post(b"Transfer-Encoding:", body=chunked(b"x")), 400),
    "identity": (post(b"Transfer-Encoding: identity", b"Content-Length: 1", body=b"x"), 400),
    "chunked in HTTP/1.0": (b"POST /ingest/case HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
                            + chunked(b"x"), 400),
    # Fields.
    "a blank before the colon": (post(b"Content-Length : 1", body=b"x"), 400),
    "a tab before the colon": (post(b"Transfer-Encoding\t: chunked", body=chunked(b"x")), 400),
    "a blank before the name": (post(b" Content-Length: 1", body=b"x"), 400),
    "a folded field": (post(b"A: b", b" c", b"Content-Length: 1", body=b"x"), 400),
    "a folded coding": (post(b"Transfer-Encoding:", b" chunked", body=chunked(b"x")), 400),
    "a field without a colon": (post(b"Content-Length 1", body=b"x"), 400),
    "a field without a name": (post(b": 1", b"Content-Length: 1", body=b"x"), 400),
    "a name with a bracket": (post(b"A[b]: c", b"Content-Length: 1", body=b"x"), 400),
    "a name with a zero byte": (post(b"A\0b: c", b"Content-Length: 1", body=b"x"), 400),
    "a value with a zero byte": (post(b"A: b\0c", b"Content-Length: 1", body=b"x"), 400),
    "a value with a bare CR": (post(b"A: b\rC: d", b"Content-Length: 1", body=b"x"), 400),
    "a field ended by LF": (b"POST /ingest/case HTTP/1.1\r\nHost: t\nContent-Length: 1\r\n\r\nx",
                            400),
    "a head ended by LF": (b"POST /ingest/case HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\nx",
                           400),
    "a request line ended by LF": (b"POST /ingest/case HTTP/1.1\nHost: t\r\n"
                                   b"Content-Length: 1\r\n\r\nx", 400),
    # Host.
    "no Host": (post(b"Content-Length: 1", body=b"x", host=b""), 400),
    "two Hosts": (post(b"Host: u", b"Content-Length: 1", body=b"x"), 400),
    "a Host with a user": (post(b"Content-Length: 1", body=b"x", host=b"Host: a@b\r\n"), 400),
    "a Host with a path": (post(b"Content-Length: 1", body=b"x", host=b"Host: a/b\r\n"), 400),
    "a Host unlike the target": (b"POST http://u/ingest/case HTTP/1.1\r\nHost: t\r\n"
                                 b"Content-Length: 1\r\n\r\nx", 400),
    # The request line.
    "HTTP/2.0": (line(b"POST /ingest/case HTTP/2.0"), 505),
    "HTTP/1.2": (line(b"POST /ingest/case HTTP/1.2"), 505),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 400),
    "HTTP/01.1": (line(b"POST /ingest/case HTTP/01.1"), 400),
    "http/1.1": (line(b"POST /ingest/case http/1.1"), 400),
    "two blanks": (line(b"POST  /ingest/case HTTP/1.1"), 400),
    "a tab for a blank": (line(b"POST\t/ingest/case HTTP/1.1"), 400),
    "a blank in the target": (line(b"POST /ingest/case x HTTP/1.1"), 400),
    "a blank behind the version": (line(b"POST /ingest/case HTTP/1.1 "), 400),
    "no leading slash": (line(b"POST ingest/case HTTP/1.1"), 400),
    "a target with a byte above 127": (line(b"POST /ingest/c\xc3\xa4 HTTP/1.1"), 400),
    "a method that is no word": (line(b"PO(ST /ingest/case HTTP/1.1"), 400),
    "a method too long": (line(b"P" * 40 + b" /ingest/case HTTP/1.1"), 501),
    "a TLS greeting": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32, 400),
    # Limits.
    "a target too long": (line(b"POST /ingest/" + b"c" * 9000 + b" HTTP/1.1"), 414),
    "a head too large": (post(*(b"F%d: " % i + b"x" * 1000 for i in range(20))), 431),
    "fields too many": (post(*(b"F%d: x" % i for i in range(120))), 431),
    "a line without end": (b"POST /ingest/case HTTP/1.1\r\nA: " + b"x" * 40_000, 431),
    # Chunks.
    "a chunk size with a sign": (coded(b"+1\r\nx\r\n0\r\n\r\n"), 400),
    "a chunk size with 0x": (coded(b"0x1\r\nx\r\n0\r\n\r\n"), 400),
    "a chunk size that is empty": (coded(b"\r\nx\r\n0\r\n\r\n"), 400),
    "a chunk size that is no number": (coded(b"g\r\nx\r\n0\r\n\r\n"), 400),
    "a chunk size beyond 64 bits": (coded(b"10000000000000001\r\nx\r\n0\r\n\r\n"), 400),
    "a chunk size before a blank": (coded(b" 1\r\nx\r\n0\r\n\r\n"), 400),
    "a chunk size ended by LF": (coded(b"1\nx\r\n0\r\n\r\n"), 400),
    "a chunk longer than its size": (coded(b"1\r\nxy\r\n0\r\n\r\n"), 400),
    "a chunk ended by LF": (coded(b"1\r\nx\n0\r\n\r\n"), 400),
    "a chunk without its end": (coded(b"1\r\nx0\r\n\r\n"), 400),
    "an extension with a bare LF": (coded(b"1;a\nb\r\nx\r\n0\r\n\r\n"), 400),
    "an extension with a bare CR": (coded(b"1;a\rb\r\nx\r\n0\r\n\r\n"), 400),
    "an extension too long": (coded(b"1;" + b"a" * 500 + b"\r\nx\r\n0\r\n\r\n"), 400),
    "a trailer that is no field": (coded(b"0\r\nno colon\r\n\r\n"), 400),
    "a trailer that is folded": (coded(b"0\r\nA: b\r\n c\r\n\r\n"), 400),
    "trailers too large": (coded(b"0\r\n" + b"A: %s\r\n" % (b"x" * 200) * 40 + b"\r\n"), 400),
}

GOOD = {
    "plain": post(b"Content-Length: 4", body=b"good"),
    "names in any case": post(b"cOnTeNt-LeNgTh: 4", body=b"good"),
    "blanks around values": post(b"Content-Length: \t 4 \t", body=b"good"),
    "no blank before the value": post(b"Content-Length:4", body=b"good"),
    "leading zeros": post(b"Content-Length: 0004", body=b"good"),
    "one empty line before": b"\r\n" + post(b"Content-Length: 4", body=b"good"),
    "absolute form": b"POST http://t/ingest/case HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\n"
                     b"good",
    "a query": b"POST /ingest/case?a=b HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\ngood",
    "an IPv6 Host": post(b"Content-Length: 4", body=b"good", host=b"Host: [::1]:8080\r\n"),
    "a value with bytes above 127": post(b"A: \xc3\xa4", b"Content-Length: 4", body=b"good"),
    "an empty value": post(b"A:", b"Content-Length: 4", body=b"good"),
    "chunked in any case": post(b"Transfer-Encoding: ChUnKeD", body=chunked(b"go", b"od")),
    "chunk sizes in any case": coded(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
    "chunk sizes with zeros": coded(b"0004\r\ngood\r\n000\r\n\r\n"),
    "extensions": coded(b'4;a;b=c;d="e;\\"f"\r\ngood\r\n0;last\r\n\r\n'),
    "trailers": coded(b"4\r\ngood\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\n"),
    "a line of 8000 bytes": b"POST /ingest/case?" + b"q" * 7970 + b" HTTP/1.1\r\nHost: t\r\n"
                            b"Content-Length: 4\r\n\r\ngood",
    "a hundred fields": post(*(b"F%d: x" % i for i in range(98)), b"Content-Length: 4",
                             body=b"good"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_answered_once_and_nothing_after_it_happens(door, name):
    raw, status = BAD[name]
    stored = len(door.records())
    with Wire(door.address, CLOSE_S) as wire:
        answers, closed = wire.send(raw + SMUGGLED % b"smuggled").read_all()
    assert [a.status for a in answers] == [status], answers
    assert closed
    assert answers[0].headers["connection"] == "close"
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert len(door.records()) == stored


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_alike_when_it_comes_in_two_pieces(door, name):
    raw, status = BAD[name]
    cut = raw.index(b"\r\n") + 2 if b"\r\n" in raw else 5
    with Wire(door.address, CLOSE_S) as wire:
        wire.send(raw[:cut])
        try:
            wire.send(raw[cut:])
        except (BrokenPipeError, ConnectionResetError):
            pass  # The first piece decided.
        answers, closed = wire.read_all()
    assert [a.status for a in answers] == [status], answers
    assert closed


@pytest.mark.parametrize("name", GOOD)
def test_a_good_request_is_stored_and_so_is_the_one_behind_it(door, name):
    with Wire(door.address) as wire:
        wire.send(GOOD[name] + SMUGGLED % b"next")
        assert [wire.read().status, wire.read().status] == [200, 200]


def test_the_door_still_stands_after_all_of_them(door):
    with Wire(door.address) as wire:
        assert wire.post("case", b"x").status == 200
