"""Goal: no client can use up what others need: connections, memory, descriptors.

Method: thousands of slow connections, a mix of attacks inside a control group of 128 MiB, and a
process robbed of its descriptors; each time normal requests go on beside it or right after."""

import contextlib
import os
import pathlib
import resource
import selectors
import socket
import subprocess
import threading
import time

import pytest

from wire import PATIENCE_S, Wire, chunked, get, post, request, try_get, wait_until

MIB = 1 << 20
SLOW_CONNECTIONS = 5000
SENDERS, SENDER_BYTES = 1000, 256 << 10
GROUP_BYTES = 128 * MIB


@pytest.fixture(autouse=True)
def many_descriptors():
    """As many for this process as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= SLOW_CONNECTIONS + 1000, f"this test needs more descriptors than {hard}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


# ---- Slow connections.

def dribble(sockets, rests, stop):
    """Sends each connection its next byte, in turn, until told to stop."""
    place = 0
    while not stop.is_set():
        for sock, rest in zip(sockets, rests):
            with contextlib.suppress(OSError):
                sock.send(rest[place % len(rest):place % len(rest) + 1])
        place += 1
        stop.wait(0.5)


def test_thousands_of_slow_connections_do_not_slow_the_others(make_node):
    node = make_node({"server": {"header_timeout": "60s", "body_timeout": "60s",
                                 "min_body_rate": "0B"}}, command="serve").start()
    before = resident_bytes(node.process.pid)
    head = b"POST /ingest/slow HTTP/1.1\r\nHost: t\r\nX-Slow: "
    body = b"POST /ingest/slow HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n" + b"b" * 500
    sockets = []
    for i in range(SLOW_CONNECTIONS):
        sockets.append(socket.create_connection(node.address, PATIENCE_S,
                                                source_address=(f"127.0.0.{2 + i % 5}", 0)))
        sockets[-1].sendall(body if i % 2 else head)
    stop = threading.Event()
    slow = threading.Thread(target=dribble, args=(sockets, [b"x"] * len(sockets), stop))
    slow.start()
    try:
        wait_until(lambda: node.status()["connections"] > SLOW_CONNECTIONS, "all are connected")
        slowest = 0.0
        with Wire(node.address) as kept:
            for i in range(200):
                start = time.monotonic()
                assert kept.post("fast", b"kept %d" % i).status == 200
                assert post(node.address, "fast", b"new %d" % i).status == 200
                slowest = max(slowest, time.monotonic() - start)
        assert slowest < 2, f"the slowest pair took {slowest:.2f} s"
        assert node.status()["connections"] > SLOW_CONNECTIONS  # They were there all the time.
        used = resident_bytes(node.process.pid) - before
        assert used < SLOW_CONNECTIONS * 16_384, f"{used} bytes for them"
    finally:
        stop.set()
        slow.join()
        for sock in sockets:
            sock.close()
    wait_until(lambda: node.status()["connections"] < 10, "all are gone")
    assert {r["stream"] for r in node.records()} == {"fast"}


def test_slow_connections_are_ended_when_their_time_is_over(make_node):
    node = make_node({"server": {"header_timeout": "1s", "body_timeout": "1s"}},
                     command="serve").start()
    wires = [Wire(node.address) for _ in range(300)]
    for i, wire in enumerate(wires):
        wire.send(b"POST /ingest/s HTTP/1.1\r\nHost: t\r\n" + (b"Content-Length: 9\r\n\r\nx"
                                                              if i % 2 else b""))
    assert [[a.status for a in wire.read_all()[0]] for wire in wires] == [[408]] * len(wires)
    assert post(node.address, "s", b"x").status == 200


# ---- Memory.

class Group:
    """A control group with a bound on memory, of version 1 or 2, whichever counts memory here."""

    def __init__(self, name, limit_bytes):
        root = pathlib.Path("/sys/fs/cgroup")
        self.is_v1 = (root / "memory/memory.limit_in_bytes").exists()
        self.path = (root / "memory" if self.is_v1 else root) / name
        try:
            self.path.mkdir()
            limit = "memory.limit_in_bytes" if self.is_v1 else "memory.max"
            (self.path / limit).write_text(str(limit_bytes))
        except OSError as error:
            pytest.fail(f"this test needs to make a control group for memory: {error}")

    def enter(self):
        return ["sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh"]

    def kills(self):
        text = (self.path / ("memory.oom_control" if self.is_v1 else "memory.events")).read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    def peak_bytes(self):
        name = "memory.max_usage_in_bytes" if self.is_v1 else "memory.peak"
        return int((self.path / name).read_text())


@pytest.fixture
def group():
    made = Group(f"inlet-test-{os.getpid()}", GROUP_BYTES)
    yield made
    for pid in (made.path / "cgroup.procs").read_text().split():
        os.kill(int(pid), 9)
    wait_until(lambda: not (made.path / "cgroup.procs").read_text().strip(), "the group is empty")
    made.path.rmdir()


def send_all(address, raws, seconds):
    """All of them at once, each on a connection of its own; the start of each answer."""
    selector = selectors.DefaultSelector()
    answers = {}
    for i, raw in enumerate(raws):
        sock = socket.create_connection(address, PATIENCE_S,
                                        source_address=(f"127.0.0.{2 + i % 9}", 0))
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, [i, memoryview(raw)])
    until = time.monotonic() + seconds
    while selector.get_map() and time.monotonic() < until:
        for key, events in selector.select(0.5):
            i, rest = key.data
            try:
                if events & selectors.EVENT_READ:
                    answers[i] = key.fileobj.recv(4096)
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                elif rest:
                    key.data[1] = rest[key.fileobj.send(rest[:1 << 16]):]
                    if not key.data[1]:
                        selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
            except OSError:
                answers[i] = b""
                selector.unregister(key.fileobj)
                key.fileobj.close()
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    return answers


def test_an_attack_on_memory_stays_inside_the_ceiling(group, make_node):
    node = make_node({"server": {"body_timeout": "10s", "memory_wait": "1s", "loops": 2},
                      "journal": {"max_bytes": "600MiB"}}, command="serve", wrap=group.enter())
    node.start()
    serve = node.main_pid()
    slow_bodies = [Wire(node.address) for _ in range(300)]
    for wire in slow_bodies:  # All but the last byte, or as much as anybody takes.
        wire.socket.setblocking(False)
        with contextlib.suppress(OSError):
            wire.send(request("a", b"s" * MIB)[:-1])
    large_heads = [Wire(node.address) for _ in range(300)]
    for wire in large_heads:
        wire.send(b"POST /ingest/a HTTP/1.1\r\nHost: t\r\n" + b"X: %s\r\n" % (b"h" * 7000) * 2)
    flood = chunked(*[b"c"] * 20_000)
    floods = [b"POST /ingest/a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + flood
              for _ in range(50)]
    senders = [request("a", bytes([65 + i % 26]) * SENDER_BYTES) for i in range(SENDERS)]
    answers = send_all(node.address, senders + floods, 60)

    stored = [a for a in answers.values() if a.startswith(b"HTTP/1.1 200")]
    refused = [a for a in answers.values() if a.startswith((b"HTTP/1.1 503", b"HTTP/1.1 408"))]
    print(f"{len(stored)} stored, {len(refused)} refused, peak {group.peak_bytes() >> 20} MiB")
    assert group.peak_bytes() > 32 * MIB  # It was an attack.
    assert group.kills() == 0
    assert node.main_pid() == serve
    assert len(stored) + len(refused) > 0.95 * len(senders)
    assert all(b"Retry-After: " in a for a in refused if b" 503 " in a[:13])
    for wire in slow_bodies + large_heads:
        wire.close()
    for i in range(50):
        assert post(node.address, "after", b"%d" % i).status == 200
    assert resident_bytes(serve) < GROUP_BYTES * 0.9


def test_a_few_clients_that_claim_much_do_not_shut_the_door_to_the_rest(make_node):
    """Each has sent 8 KB of the 1 MiB it announced; together they announce more than there is."""
    node = make_node({"server": {"memory": "64MiB"}}, command="serve").start()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            claim = stack.enter_context(Wire(node.address))
            claim.send(b"POST /ingest/claim HTTP/1.1\r\nHost: t\r\nContent-Length: 1048576\r\n\r\n"
                       + b"c" * 8000)
        time.sleep(0.5)
        statuses = {size: [post(node.address, "rest", b"r" * size).status for _ in range(10)]
                    for size in (100, 3000, 20_000)}
    assert statuses == {size: [200] * 10 for size in statuses}


# ---- Descriptors.

def test_without_descriptors_it_waits_and_goes_on_when_there_are_some(make_node):
    node = make_node(command="serve").start()
    assert post(node.address, "fd", b"before").status == 200
    pid = node.process.pid
    used = len(os.listdir(f"/proc/{pid}/fd"))
    subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={used + 20}:20000"], check=True)
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(Wire(node.address)) for _ in range(60)]
        assert kept[0].post("fd", b"one of the first").status == 200
        waiting = kept[-1]
        waiting.send(request("fd", b"waits in the backlog"))
        assert waiting.is_silent(1)
        for wire in kept[:50]:  # Some leave: the others get their turn.
            wire.close()
        assert waiting.read().status == 200
    subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={used + 5}:20000"], check=True)
    full = [Wire(node.address) for _ in range(40)]
    subprocess.run(["prlimit", "--pid", str(pid), "--nofile=20000:20000"], check=True)
    for wire in full:
        assert wire.post("fd", b"later").status == 200
        wire.close()
    wait_until(lambda: try_get(node.address, "/healthz") == 200, "all is well")
    assert get(node.admin, "/status.json").json()["admission"] == "open"


def test_beyond_max_connections_the_rest_waits_its_turn(make_node):
    node = make_node({"server": {"max_connections": 10}}, command="serve").start()
    wires = [Wire(node.address) for _ in range(10)]
    for wire in wires:
        assert wire.post("most", b"x").status == 200
    late = Wire(node.address).send(request("most", b"late"))
    assert late.is_silent(0.5)
    wires[0].close()
    assert late.read().status == 200
    for wire in [*wires, late]:
        wire.close()
