"""Goal: there is no system call before which a process may not be killed.

Method: strace runs the real program once to count the calls that change files (or their names) per
thread, then once for each chosen call with SIGKILL injected in its place. After each death the
program is started again, and everything acknowledged must be there, once, in a journal in which
`inlet journal verify` finds nothing. About 60 points each for serve and ship, spread over all of
them from a random start (INLET_KILL_SEED); INLET_ALL_KILL_POINTS=1 takes every one."""

import collections
import os
import re
import shutil
import signal
import subprocess
import time

import inlet
from wire import Wire, post, request, wait_until

POINTS = 60
SEED = int(os.environ.get("INLET_KILL_SEED", time.time_ns() % 1_000_000))
CALLS = ("write", "pwrite64", "pwritev", "pwritev2", "fdatasync", "fsync", "openat", "rename",
         "unlink", "mkdir", "ftruncate", "fallocate")
CHANGES = {"sinks.archive": {"batch_records": 5, "batch_age": "0s"},
           "server": {"max_body": "512KiB", "loops": 1},
           "journal": {"segment_bytes": "5MiB", "max_bytes": "20MiB"}}
# Small ones, large ones, and enough to go on to a second segment.
BODIES = [b"%03d." % i + b"k" * (500_000 if i % 3 == 2 else 40 * i) for i in range(36)]
RUN_S = 30


def strace(*words):
    return ["strace", "-f", "-qq", *words]


def points_of(log, directory):
    """(call, how often the thread has made it) for each call about a file of the directory."""
    counts = collections.Counter()
    points = []
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(\d+) +(\w+)\((.*)", line)
        if not match or match[2] not in CALLS:
            continue
        thread, call, rest = match.groups()
        counts[thread, call] += 1
        if str(directory) in rest and (call, counts[thread, call]) not in points:
            points.append((call, counts[thread, call]))
    return points


def chosen(points):
    if os.environ.get("INLET_ALL_KILL_POINTS"):
        return points
    count = min(POINTS, len(points))
    print(f"INLET_KILL_SEED={SEED}: {count} of {len(points)} points")
    start = SEED % -(-len(points) // count)
    return [points[(start + i * len(points) // count) % len(points)] for i in range(count)]


def injection(point):
    call, number = point
    return strace("-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}",
                  "-o", "/dev/null")


def start_traced(node):
    """Whether it came as far as being asked."""
    node.spawn()
    wait_until(lambda: node.is_ready() or node.process.poll() is not None, "it starts or dies",
               RUN_S, 0.005)
    return node.process.poll() is None


def feed(node):
    """Posts all bodies; returns number -> id of those acknowledged before it died."""
    acked = {}
    try:
        with Wire(node.address, RUN_S) as wire:
            for number, body in enumerate(BODIES):
                answer = wire.send(request("points", body)).read()
                if answer is None:
                    break
                assert answer.status == 200, answer
                acked[number] = answer.json()["id"]
    except OSError:
        pass  # It died.
    return acked


def finish(node):
    """In order, if it lives; whether it had been killed. The tracer ends as what it traces."""
    node.signal(signal.SIGTERM)
    code = node.wait(RUN_S)
    node.process = None
    return code == -signal.SIGKILL


def drain(node):
    """Delivers all that is committed and ends; the exit code."""
    return subprocess.run([*map(str, node.arguments("ship")), "--drain"], check=False,
                          capture_output=True, timeout=RUN_S, env=inlet.environment()).returncode


def assert_all_there(node, acked, where):
    """The archive holds every acknowledged body as it was sent, and none twice."""
    found = node.events("points")
    ids = [event["id"] for event in found]
    assert len(set(ids)) == len(ids), f"{where}: delivered twice"
    bodies = {event["id"]: inlet.body_of(event) for event in found}
    for number, record in acked.items():
        assert bodies.get(record) == BODIES[number], f"{where}: record {record} is lost or altered"
    assert set(bodies.values()) <= set(BODIES), f"{where}: bytes that nobody sent"


def check_serve(make_node, point, name):
    node = make_node(CHANGES, name, command="serve", wrap=injection(point))
    acked = feed(node) if start_traced(node) else {}
    killed = finish(node)
    node.wrap = []
    node.start()
    assert post(node.address, "after", b"x").status == 200, f"after {point}"
    node.stop()
    code, findings, _ = node.verify()
    assert (code, findings) == (0, []), f"after {point}: {findings}"
    assert drain(node) == 0
    assert_all_there(node, acked, f"after {point}")
    shutil.rmtree(node.data)
    return killed


def test_serve_killed_at_any_call_loses_nothing_it_acknowledged(make_node, here):
    log = here / "calls"
    node = make_node(CHANGES, "reference", command="serve",
                     wrap=strace("-y", "-e", "trace=" + ",".join(f"?{c}" for c in CALLS),
                                 "-o", str(log)))
    assert start_traced(node)
    assert len(feed(node)) == len(BODIES)
    finish(node)
    points = points_of(log, node.data)
    assert len(points) > 60, points
    assert {"pwritev2", "openat"} <= {call for call, _ in points}
    taken = chosen(points)
    kills = sum(check_serve(make_node, point, f"serve-{i}") for i, point in enumerate(taken))
    assert kills >= len(taken) * 0.8  # Threads do not always make the same calls.


def test_ship_killed_at_any_call_delivers_everything_exactly_once(make_node, here):
    source = make_node(CHANGES, "source", command="serve").start()
    acked = feed(source)
    assert len(acked) == len(BODIES)
    source.stop()

    def copy(name, wrap):
        node = make_node(CHANGES, name, command="ship", wrap=wrap)
        shutil.copytree(source.data, node.data)
        return node

    log = here / "calls"
    node = copy("reference", strace("-y", "-e", "trace=" + ",".join(f"?{c}" for c in CALLS),
                                    "-o", str(log)))
    assert drain(node) == 0
    assert_all_there(node, acked, "without a kill")
    points = points_of(log, node.data)
    assert len(points) > 60, points
    assert {"rename", "fsync", "openat", "pwritev2"} <= {call for call, _ in points}
    taken, kills = chosen(points), 0
    for i, point in enumerate(taken):
        node = copy(f"ship-{i}", injection(point))
        kills += drain(node) == -signal.SIGKILL
        node.wrap = []
        assert drain(node) == 0, f"after {point}"
        assert_all_there(node, acked, f"after {point}")
        assert len(node.events()) == len(BODIES)
        shutil.rmtree(node.data)
    assert kills >= len(taken) * 0.8
