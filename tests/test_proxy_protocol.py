"""Goal: a record carries its client's address also behind load balancers, and nobody else can say
whose it is.

Method: PROXY headers put together by hand, and a real haproxy, against real nodes; then the peer in
the journal's metadata."""

import shutil
import socket
import struct
import subprocess

import pytest

import inlet
from certificates import Authority, SecureWire, client_context
from wire import Wire, post, request, wait_until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TRUSTED = {"proxy_protocol": True, "trusted_proxies": ["127.0.0.0/8"]}
LOCAL, PROXY, INET, INET6 = 0x20, 0x21, 0x11, 0x21


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def addresses(source, target="198.51.100.1"):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    if family == socket.AF_INET6:
        target = "2001:db8::ff"
    return (socket.inet_pton(family, source) + socket.inet_pton(family, target)
            + struct.pack("!HH", 4711, 443))


def part(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def header(source=None, *parts, command=PROXY, family=None):
    if family is None:
        family = 0 if source is None else INET6 if ":" in source else INET
    rest = (addresses(source) if source else b"") + b"".join(parts)
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def with_checksum(source):
    empty = header(source, part(0x03, bytes(4)))
    return empty[:-4] + struct.pack("!I", crc32c(empty))


@pytest.fixture
def node(make_node):
    return make_node({"server": {**TRUSTED, "header_timeout": "1s"}}, command="serve").start()


def peers(node):
    """Of the records that every case stores, in order."""
    return [record["peer"] for record in node.records()]


@pytest.mark.parametrize("before, peer", [
    (header("192.0.2.7"), "192.0.2.7"),
    (header("2001:db8::7"), "2001:db8::7"),
    (header("::ffff:192.0.2.8"), "192.0.2.8"),
    (header(command=LOCAL), "127.0.0.1"),
    (header("192.0.2.7", command=LOCAL), "127.0.0.1"),
    (header(), "127.0.0.1"),
    (header("192.0.2.7", part(0xEA, b"\x01vpce-08d2bf15fac5001c9"), part(0x04, b"")), "192.0.2.7"),
    (with_checksum("192.0.2.9"), "192.0.2.9"),
])
def test_the_header_says_who_the_client_is(node, before, peer):
    with Wire(node.address) as wire:
        wire.send(before)
        for _ in range(2):
            assert wire.post("who", b"x").status == 200
    with Wire(node.address) as wire:  # A byte at a time.
        for at in range(len(before)):
            wire.send(before[at:at + 1])
        assert wire.post("who", b"x").status == 200
    assert peers(node) == [peer] * 3


@pytest.mark.parametrize("before", [
    b"",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
    header("192.0.2.7")[:20],
    header("192.0.2.7").replace(b"\x21\x11", b"\x31\x11"),
    header("192.0.2.7", family=0x51),
    header("192.0.2.7", part(0x03, b"\0\0\0\0")),
    header("192.0.2.7", b"\x04\xff\xff"),
    SIGNATURE + struct.pack("!BBH", PROXY, INET, 0xFFFF) + bytes(5000),
], ids=["none", "version 1", "half", "version 3", "family", "checksum", "parts", "endless"])
def test_without_a_sound_header_nothing_is_stored(node, before):
    with Wire(node.address) as wire:
        try:
            if before == header("192.0.2.7")[:20]:
                wire.send(before)
            else:
                wire.send(before + request("who", b"x"))
            assert wire.read_all() == ([], True)
        except ConnectionResetError:
            pass
    assert node.status()["records_stored"] == 0
    assert node.log("connection refused")[0]["peer"] == "127.0.0.1"


def test_a_version_1_header_is_named_in_the_log(node):
    with Wire(node.address) as wire:
        wire.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n")
        wire.read_all()
    assert "version 1" in node.log("connection refused")[0]["reason"]


def test_who_is_not_trusted_is_closed(make_node):
    node = make_node({"server": {"proxy_protocol": True, "trusted_proxies": ["10.0.0.0/8"]}},
                     command="serve").start()
    with Wire(node.address) as wire:
        try:
            wire.send(header("192.0.2.7") + request("who", b"x"))
            assert wire.read_all() == ([], True)
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert node.status()["records_stored"] == 0
    assert node.log("connection refused")[0]["reason"] == "not a trusted proxy"


def test_the_header_comes_before_tls(make_node, here):
    authority = Authority(here / "ca")
    cert, key = authority.issue("server")
    node = make_node({"server": {**TRUSTED, "tls_cert": str(cert), "tls_key": str(key)}},
                     command="serve").start()
    context = client_context(authority)
    with SecureWire(node.address, context, before=header("192.0.2.7")) as wire:
        assert wire.post("who", b"x").status == 200
    assert peers(node) == ["192.0.2.7"]


@pytest.mark.parametrize("options", ["", "proxy-v2-options crc32c,unique-id"])
def test_behind_haproxy(make_node, here, options):
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    node = make_node({"server": TRUSTED}, command="serve").start()
    front = inlet.free_port()
    config = here / "haproxy.cfg"
    config.write_text(f"""
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend front
  bind 127.0.0.1:{front}
  default_backend nodes
backend nodes
  server node 127.0.0.1:{node.port} source 127.0.0.3 send-proxy-v2 {options}
""")
    proxy = subprocess.Popen([program, "-db", "-f", config], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        def accepts():
            assert proxy.poll() is None, proxy.stdout.read()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", front)) == 0

        wait_until(accepts, "haproxy accepts")
        with Wire(("127.0.0.1", front), source=("127.0.0.2", 0)) as wire:
            assert wire.post("who", b"x").status == 200
    finally:
        proxy.terminate()
        proxy.communicate(timeout=20)
    assert peers(node) == ["127.0.0.2"]


# ---- X-Forwarded-For.

def test_forwarded_addresses_count_from_trusted_proxies_request_by_request(make_node):
    node = make_node({"server": {"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"]}},
                     command="serve").start()
    cases = [("X-Forwarded-For: 203.0.113.5", "203.0.113.5"),
             ("X-Forwarded-For: 198.51.100.9, 203.0.113.6, 10.1.2.3", "203.0.113.6"),
             ("x-forwarded-for: [2001:db8::9]:4711", "2001:db8::9"),
             ("X-Forwarded-For: 203.0.113.7, not an address", "127.0.0.1"),
             ("X-Other: 1", "127.0.0.1")]
    with Wire(node.address) as wire:
        for line, _ in cases:
            assert wire.post("who", b"x", line).status == 200
        # Too large for the read buffer: its metadata is encoded elsewhere.
        assert wire.post("who", b"x" * 200_000, cases[0][0]).status == 200
    assert peers(node) == [peer for _, peer in cases] + ["203.0.113.5"]


def test_without_trusted_proxies_nobody_is_believed(make_node):
    node = make_node(command="serve").start()
    assert post(node.address, "who", b"x", "X-Forwarded-For: 203.0.113.5").status == 200
    assert peers(node) == ["127.0.0.1"]


@pytest.mark.parametrize("settings, said", [
    ({"proxy_protocol": True}, "server.proxy_protocol: needs server.trusted_proxies"),
    ({"trusted_proxies": ["10.0.0.0/8", "10.0.0.1/8"]}, "the network is 10.0.0.0/8"),
    ({"trusted_proxies": ["proxy.example"]}, "is not a network"),
])
def test_mistakes_are_said_at_the_start(make_node, settings, said):
    node = make_node({"server": settings}, command="serve")
    node.spawn()
    assert node.wait() != 0
    assert said in node.errors()
    node.process = None
