"""Goal: whatever the destination: every acknowledged record arrives with its id, its content and in
the order of its stream; once where that is promised, else twice only what was under way when
something broke; what can never arrive is in the dead letters; and the books balance.

Method: one world per destination (sink_world.py), real servers or those of others, read back and
compared with what was sent. Records of all kinds first; then a steady load under outages, spoilt
connections, kills of the shipper and a name nobody has. INLET_PROOF_RECORDS (2000; 100000 in full),
INLET_PROOF_DOWN_S (3; 60), INLET_PROOF_KILLS (5; 50) say how much, INLET_PROOF_SEED how,
INLET_PROOF_WORLDS (file,http) which; ./dev proofs runs all of them in full."""

import collections
import gzip
import hashlib
import itertools
import json
import os
import pathlib
import random
import signal
import subprocess
import threading
import time

import pytest

import inlet
from conftest import directory
from sink_world import (BATCH_RECORDS, JSON, NDJSON, SINK, STREAMS, TENANT, WORLDS, Sent,
                        Servers, by_id, make_world)
from wire import Wire, request, wait_until

RECORDS = int(os.environ.get("INLET_PROOF_RECORDS", 2000))
DOWN_S = float(os.environ.get("INLET_PROOF_DOWN_S", 3))
KILLS = int(os.environ.get("INLET_PROOF_KILLS", 5))
SEED = int(os.environ.get("INLET_PROOF_SEED", time.time_ns() % 1_000_000))

SPOIL_S = DOWN_S / 6
NOTICE_S = 60            # Until a fault is noticed.
RATE = 300               # Records a second, under faults.
GROUP = 10
CONNECTIONS, WINDOW = 3, 64
LARGE_BYTES = 10 << 20
NAMES = os.environ.get("INLET_PROOF_WORLDS", "file,http").split(",")
FAULTS = [(name, fault) for name in NAMES for fault in WORLDS[name].faults]

# Nothing is recycled before it is delivered, and nothing has to wait.
ROOMY = {"server": {"max_body": "11MiB"},
         "journal": {"segment_bytes": "32MiB", "max_bytes": "512MiB"}}


@pytest.fixture(scope="module")
def servers():
    with directory() as path, Servers(path) as made:
        yield made


@pytest.fixture
def open_world(here, servers):
    """Opens the world of that name; it ends after the node."""
    opened = []

    def open_it(name):
        opened.append(make_world(name, here, servers).__enter__())
        return opened[-1]
    yield open_it
    for world in opened:
        world.stop()


@pytest.fixture
def chance():
    print(f"INLET_PROOF_SEED={SEED}")
    return random.Random(SEED)


def digest(content):
    return hashlib.blake2b(content, digest_size=16).digest()


# ---- What was sent, and what must have become of it.

class Books:
    """Everything that was acknowledged, as it must arrive: id -> (stream, digest)."""

    def __init__(self, world):
        self.world = world
        self.wanted = {}
        self.records = 0
        self.unanswered = 0
        self.lock = threading.Lock()

    def add(self, sent):
        with self.lock:
            self.records += 1
            for one in self.world.expect(sent):
                self.wanted[one.id] = (one.stream, digest(one.content))

    def check(self, doubles_max):
        """Compares with what is there; returns how many ids are there twice."""
        found, doubled = {}, set()
        for one in self.world.read():
            as_found = (one.stream, digest(one.content))
            assert one.tenant == TENANT
            if one.id in found:
                doubled.add(one.id)
                assert found[one.id] == as_found, f"{one.id} came with two contents"
            found.setdefault(one.id, as_found)
        missing = [name for name in self.wanted if name not in found]
        assert not missing, f"{len(missing)} are missing, first {sorted(missing, key=by_id)[:3]}"
        changed = [name for name, as_sent in self.wanted.items() if found[name] != as_sent]
        assert not changed, f"{len(changed)} are not as they were sent, first {changed[:3]}"
        assert len(found) - len(self.wanted) <= self.unanswered, "some were never sent"
        by_stream = collections.defaultdict(list)
        for name, (stream, _) in found.items():  # In order of first occurrence.
            by_stream[stream].append(by_id(name))
        for stream, names in by_stream.items():
            late = [b for a, b in itertools.pairwise(names) if b < a]
            assert not late, f"{stream}: {len(late)} behind a later one, first {late[:3]}"
        assert len(doubled) <= (0 if self.world.exactly_once else doubles_max), \
            f"{len(doubled)} are there twice, first {sorted(doubled, key=by_id)[:3]}"
        self.world.check()
        return len(doubled)


def audit(node, *more):
    done = inlet.run("audit", "--json", "--sink", SINK, "--config", node.config, "--data",
                     node.data, *more)
    assert done.stdout, f"the audit said nothing and ended with {done.returncode}: {done.stderr}"
    return done.returncode, json.loads(done.stdout)


def wait_delivered(node, timeout_s=180):
    def nothing_pending():
        sink, = audit(node)[1]["sinks"]
        return sink["pending"] == 0
    wait_until(nothing_pending, f"nothing is pending, the shipper says {status(node)}", timeout_s,
               0.3)


def balanced(node, world, records):
    """The audit of all that was stored."""
    more = ["--archive", world.archive()] if world.archive else []
    code, report = audit(node, *more)
    sink, = report["sinks"]
    assert (code, sink["findings"], report["balanced"]) == (0, [], True), report
    assert sink["delivered"] + sink["dead"] >= records
    return sink


def status(node):
    try:
        return json.loads((node.data / f"journal/cursors/{SINK}.status").read_text())
    except (OSError, ValueError):
        return {}


def dead_letters(node):
    return [json.loads(line) for path in sorted((node.data / "dead" / SINK).glob("*.ndjson"))
            for line in path.read_text().splitlines()]


def post_all(node, stream_and_records, books):
    """Sends (stream, type, encoding, plain, body) over one connection, many at once."""
    under_way = collections.deque()
    with Wire(node.address, 60) as wire:
        def read_one():
            stream, kind, _, plain, body = under_way.popleft()
            answer = wire.read()
            assert answer.status == 200, answer
            books.add(Sent(answer.json()["id"], stream, kind, plain, body))
        for record in stream_and_records:
            stream, kind, encoding, _, body = record
            headers = [f"Content-Type: {kind}"] if kind else []
            headers += [f"Content-Encoding: {encoding}"] if encoding else []
            wire.send(request(stream, body, *headers))
            under_way.append(record)
            if len(under_way) >= WINDOW:
                read_one()
        while under_way:
            read_one()


# ---- Records of all kinds.

def zstd(plain):
    return subprocess.run(["zstd", "-cq"], input=plain, check=True,
                          stdout=subprocess.PIPE).stdout


def log_lines():
    """Real ones; where no package was ever installed, those of our own documents."""
    path = pathlib.Path("/var/log/dpkg.log")
    if not path.exists():
        path = inlet.ROOT / "docs/JOURNAL.md"
    return [line for line in path.read_bytes().splitlines() if line]


def mixed(count, first, chance):
    """(type, encoding, plain, body) without end to speak of; what is costly is made once."""
    lines = [b"".join(b'{"line":%d,"of":%d,"text":"\xc3\xa4"}\n' % (k, i) for k in range(5))
             for i in range(16)]
    zipped = [(NDJSON, "gzip", plain, gzip.compress(plain)) for plain in lines]
    packed = [("text/plain", "zstd", plain, zstd(plain)) for plain in lines]
    packed += [(JSON, "zstd", b'{"n":%d}' % i, zstd(b'{"n":%d}' % i)) for i in range(16)]
    noise = [chance.randbytes(200) for _ in range(64)]
    real = log_lines()
    for number in range(first, first + count):
        kind = number % 8
        if kind == 0:
            body = b'{"number":%d,"nested":{"a":[1,null,"\xc3\xa4\\n"]}}' % number
            yield JSON, None, body, body
        elif kind == 1:
            body = b'[{"number":%d},\n {"of":2}, "three"]' % number
            yield JSON, None, body, body
        elif kind == 2:
            yield zipped[number // 8 % len(zipped)]
        elif kind == 3:
            yield packed[number // 8 % len(packed)]
        elif kind == 4:
            body = b"\xff" + noise[number // 8 % len(noise)] + b"%d" % number
            yield None, None, body, body
        elif kind == 5:
            yield None, None, b"", b""
        else:
            body = real[number % len(real)]
            yield "text/plain", None, body, body


def share(part, chance):
    """What one connection sends: its part of all, and the first one the large body."""
    count = RECORDS // CONNECTIONS
    large = chance.randbytes(LARGE_BYTES)
    records = mixed(count, part * count, chance)
    for number, record in enumerate(records):
        if number == count // 2 and part == 0:
            yield STREAMS[0], None, None, large, large
        yield (STREAMS[number // 8 % len(STREAMS)], *record)


def send_mixed(node, books):
    errors = []

    def send(part):
        try:
            post_all(node, share(part, random.Random(f"{SEED}-{part}")), books)
        except Exception as error:  # For the test's own thread.
            errors.append(error)
    threads = [threading.Thread(target=send, args=(part,)) for part in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


@pytest.mark.parametrize("name", NAMES)
def test_records_of_all_kinds_come_back_equal(open_world, make_node, chance, name):
    world = open_world(name)
    node = make_node({**world.settings_for_large(), **ROOMY}).start(world.environment)
    books = Books(world)
    began = time.monotonic()
    send_mixed(node, books)
    sent_s = time.monotonic() - began
    wait_delivered(node, 600)
    print(f"{books.records} records sent in {sent_s:.1f} s, delivered after "
          f"{time.monotonic() - began:.1f} s")
    letters = dead_letters(node)
    if world.takes_large:
        assert not letters
    else:
        letter, = letters
        assert letter["reason"] and letter["stream"] == STREAMS[0]
        _, content = books.wanted.pop(letter["id"])  # Of all ids only the large one's will do:
        large = random.Random(f"{SEED}-0").randbytes(LARGE_BYTES)
        assert content == digest(b"body " + large)
    assert books.check(0) == 0
    assert balanced(node, world, books.records)["dead"] == len(letters)


# ---- Faults.

class Load(threading.Thread):
    """A steady load on one connection; what was not answered is sent again as a new record."""

    def __init__(self, node, books):
        super().__init__(daemon=True)
        self.node, self.books = node, books
        self.stopping = threading.Event()
        self.numbers = itertools.count()
        self.error = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        self.join(60)
        assert kind or self.error is None, self.error

    def run(self):
        try:
            due = time.monotonic()
            wire = None
            while not self.stopping.is_set():
                wire = wire or Wire(self.node.address, 20)
                try:
                    self.send_group(wire)
                except OSError:
                    wire.close()
                    wire = None
                due += GROUP / RATE
                self.stopping.wait(max(0, due - time.monotonic()))
            if wire is not None:
                wire.close()
        except Exception as error:  # For the test's own thread.
            self.error = error

    def send_group(self, wire):
        records = []
        for number in itertools.islice(self.numbers, GROUP):
            kind = JSON if number % 3 else "application/octet-stream"
            body = b'{"number":%d,"pad":"%s"}' % (number, b"x" * (number % 200))
            body = body if kind == JSON else b"\xfe" + body
            records.append((STREAMS[number % 7 % len(STREAMS)], kind, body))
        self.books.unanswered += len(records)
        wire.send(b"".join(request(stream, body, f"Content-Type: {kind}")
                           for stream, kind, body in records))
        for stream, kind, body in records:
            answer = wire.read()
            if answer is None:
                raise ConnectionError("closed instead of an answer")
            assert answer.status == 200, answer
            self.books.unanswered -= 1
            self.books.add(Sent(answer.json()["id"], stream, kind, body, body))

    def wait_more(self, count):
        """Until so many more are acknowledged."""
        target = self.books.records + count
        wait_until(lambda: self.error or self.books.records >= target,
                   f"{count} more records are acknowledged", 30)
        assert self.error is None, self.error


def conclude(node, world, books, doubles_max):
    wait_delivered(node)
    doubled = books.check(doubles_max)
    balanced(node, world, books.records)
    assert not dead_letters(node)
    print(f"{books.records} records, {doubled} of at most {doubles_max} doubled, "
          f"{status(node).get('retries')} retries")


def wait_delivering(node, load):
    before = status(node).get("delivered_records", 0)
    wait_until(lambda: load.error or status(node).get("delivered_records", 0) > before,
               "records are delivered", NOTICE_S, 0.1)
    assert load.error is None, load.error


def wait_noticed(node, world, fault, seconds):
    """Until the shipper has met the fault, and for so long at least."""
    began = time.monotonic()
    retries = status(node).get("retries", 0)

    def met():
        if fault != "down" and not world.spoilt():
            return False
        silent = fault == "slow" or not world.tells_retries
        return silent or status(node).get("retries", 0) > retries
    wait_until(lambda: time.monotonic() - began >= seconds and met(), f"{fault} is noticed",
               seconds + NOTICE_S, 0.05)


@pytest.mark.parametrize("name, fault", FAULTS)
def test_faults_under_load_lose_nothing(open_world, make_node, chance, name, fault):
    world = open_world(name)
    node = make_node({**world.settings(), **ROOMY})
    # librdkafka 2.0 may crash when a broker dies in a transaction; what counts is what comes of it.
    node.deaths_expected = name == "kafka-transactional"
    node.start(world.environment)
    books = Books(world)
    with Load(node, books) as load:
        wait_delivering(node, load)
        if fault == "down":
            world.down()
            wait_noticed(node, world, fault, DOWN_S)
            world.up()
        else:
            for _ in range(2):
                world.spoil(fault, chance)
                wait_noticed(node, world, fault, SPOIL_S)
                world.heal()
                load.wait_more(GROUP)
        wait_delivering(node, load)
    conclude(node, world, books, world.interruptions * BATCH_RECORDS)


class Shipper:
    """`inlet-ship out` beside a node that only serves: nobody waits before starting it again."""

    def __init__(self, node, world):
        self.node = node
        with open(node.directory / "ship", "ab") as log:
            self.process = subprocess.Popen(
                [str(inlet.SHIP), SINK, "--config", str(node.config), "--data", str(node.data)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=inlet.environment(**world.environment))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.node.text("ship")[-2000:]


@pytest.mark.parametrize("name", NAMES)
def test_kills_of_the_shipper_lose_nothing(open_world, make_node, chance, name):
    world = open_world(name)
    world.make_long()
    node = make_node({**world.settings(), **ROOMY}, command="serve").start()
    books = Books(world)
    with Load(node, books) as load:
        for _ in range(KILLS):
            load.wait_more(GROUP)
            shipper = Shipper(node, world)
            try:
                # Often while it starts, oftener while it delivers.
                time.sleep(chance.uniform(0.02, 1.2))
                assert shipper.process.poll() is None, node.text("ship")[-2000:]
            finally:
                shipper.kill()
    shipper = Shipper(node, world)
    try:
        conclude(node, world, books, KILLS * BATCH_RECORDS)
        shipper.stop()
    finally:
        shipper.kill()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_nobody_has_is_waited_for_and_corrected(open_world, make_node, name):
    world = open_world(name)
    node = make_node({**world.misplaced(), **ROOMY}).start(world.environment)
    books = Books(world)
    with Load(node, books) as load:
        wait_until(lambda: status(node).get("retries", 0) > 0, "the shipper has tried", NOTICE_S)
        load.wait_more(GROUP)
        sink, = audit(node)[1]["sinks"]
        assert (sink["delivered"], sink["dead"]) == (0, 0)
        node.configure({**world.settings(), **ROOMY})
        node.signal(signal.SIGHUP)
        wait_delivering(node, load)
    conclude(node, world, books, 0)
