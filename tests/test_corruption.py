"""Goal: whatever bit of what is on disk turns over, no altered record is ever handed on, no more is
lost than the record it lies in, the node starts, and `inlet journal verify` finds it.

Method: a journal of two segments, partly delivered, is prepared once. 1,000 random single bits
(INLET_FLIP_SEED, printed) are flipped, a few at a time in frames apart from each other, and the
tools read the journal; for a sample of others, also in commit mark and cursor, a whole node starts
on a copy and delivers it. Which record a bit belongs to is worked out here from the format's
description, not by the program."""

import collections
import os
import random
import shutil
import struct
import subprocess
import time

import pytest

import inlet
from wire import Wire, post

FLIPS, FLIPS_AT_ONCE, MARK_FLIPS, STARTS = 1000, 8, 40, 30
FRAMES_APART = 3  # Two flips nearer than that may be one finding.
SEED = int(os.environ.get("INLET_FLIP_SEED", time.time_ns() % 1_000_000))
BLOCK, FRAME_HEADER = 4096, 64
CHANGES = {"server": {"max_body": "512KiB"},
           "journal": {"segment_bytes": "5MiB", "max_bytes": "40MiB"},
           "sinks.archive": {"batch_records": 20, "batch_age": "0s"}}

Frame = collections.namedtuple("Frame", "offset end sequence is_record")


def frames(data):
    """The frames of a sound segment, as src/journal/format.h draws them."""
    salt, number = struct.unpack_from("<QQ", data, 16)
    found, offset = [], BLOCK
    while offset + FRAME_HEADER <= len(data):
        _, kind, _, _, frame_salt, segment, at, sequence, _, payload = struct.unpack_from(
            "<IBBHQQQQQI", data, offset)
        if (frame_salt, segment, at) != (salt, number, offset):
            break
        end = offset + -(-(FRAME_HEADER + payload) // 64) * 64
        found.append(Frame(offset, end, sequence, kind == 1))
        offset = end
    return found


class Prepared:
    """A stopped node's data, and what is in it."""

    def __init__(self, node):
        self.node, self.journal = node, node.data / "journal"
        lines = node.journal("cat").stdout.splitlines()
        self.sequence_of = {line: i + 1 for i, line in enumerate(lines)}
        self.bodies = {r["id"]: r["text"].encode() for r in node.records()}
        self.frames = {}
        for path in sorted(self.journal.glob("segment-*")):
            found = frames(path.read_bytes())
            if found:
                self.frames[path] = found

    def index_at(self, path, byte):
        """Of the frame the byte lies in; -FRAMES_APART in the segment's header."""
        for index, frame in enumerate(self.frames[path]):
            if frame.offset <= byte < frame.end:
                return index
        return -FRAMES_APART

    def lost_at_most(self, path, byte):
        """Sequences that a flip there may cost."""
        index = self.index_at(path, byte) if path in self.frames else -1
        frame = self.frames[path][index] if index >= 0 else None
        return {frame.sequence} if frame and frame.is_record else set()

    def random_flip(self, chance):
        """Anywhere in what is committed, in what frames say of themselves, or in the header."""
        path = chance.choice(list(self.frames))
        kind = chance.random()
        if kind < 0.4:
            byte = chance.randrange(self.frames[path][-1].end)
        elif kind < 0.9:
            byte = chance.choice(self.frames[path]).offset + chance.randrange(FRAME_HEADER)
        else:
            byte = chance.randrange(BLOCK)
        return path, byte, chance.randrange(8)

    def flips_apart(self, chance, count):
        found = []
        while len(found) < count:
            one = self.random_flip(chance)
            index = self.index_at(*one[:2])
            if all(path != one[0] or abs(self.index_at(path, byte) - index) >= FRAMES_APART
                   for path, byte, _ in found):
                found.append(one)
        return found


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("corruption")
    node = inlet.Node(path / "prepared", CHANGES, command="serve").start()
    chance = random.Random(SEED)

    def feed(sizes):
        with Wire(node.address) as wire:
            for i, size in enumerate(sizes):
                body = b"%d:" % i + bytes(chance.choices(b"abcdefghij", k=100)) * (size // 100)
                assert wire.post("flip", body).status == 200

    feed([10, 300, 3000, 60_000, 250_000] * 12)
    drained = subprocess.run([*map(str, node.arguments("ship")), "--drain"], check=False,
                                   env=inlet.environment(), capture_output=True)
    assert drained.returncode == 0
    feed([500_000] * 3 + [10, 300, 3000, 20_000] * 15)  # Goes on to the next segment.
    node.stop()
    made = Prepared(node)
    assert len(made.bodies) == 123 and len(made.frames) == 2
    assert all(len(found) > 40 for found in made.frames.values())
    assert node.verify()[:2] == (0, [])
    yield made
    inlet.Node.living.remove(node)
    shutil.rmtree(path)


def flip(path, byte, bit):
    with open(path, "r+b") as file:
        file.seek(byte)
        old = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([old ^ 1 << bit]))


def spell(flips):
    return ", ".join(f"{path.name} byte {byte} bit {bit}" for path, byte, bit in flips)


def look(prepared, flips):
    """What is wrong with what the tools say of the journal with these bits flipped."""
    for one in flips:
        flip(*one)
    shown, verified = prepared.node.journal("cat"), prepared.node.journal("verify")
    for one in flips:
        flip(*one)
    if min(shown.returncode, verified.returncode) < 0:
        return f"a tool died: {shown.stderr} {verified.stderr}"
    if verified.returncode != 1 or len(verified.stdout.splitlines()) - 1 < len(flips):
        return f"verify did not find it: {verified.stdout}"
    got = shown.stdout.splitlines()
    altered = [line[:120] for line in got if line not in prepared.sequence_of]
    if altered:
        return f"altered: {altered}"
    lost = set(prepared.sequence_of.values()) - {prepared.sequence_of[line] for line in got}
    may = set().union(*(prepared.lost_at_most(path, byte) for path, byte, _ in flips))
    return None if lost <= may else f"lost {sorted(lost - may)}"


def test_no_flipped_bit_alters_a_record_or_costs_more_than_one(prepared):
    print(f"INLET_FLIP_SEED={SEED}")
    chance = random.Random(SEED + 1)
    wrong = []
    for _ in range(FLIPS // FLIPS_AT_ONCE):
        flips = prepared.flips_apart(chance, FLIPS_AT_ONCE)
        if look(prepared, flips):
            alone = [f"{spell([one])}: {why}" for one in flips if (why := look(prepared, [one]))]
            wrong += alone or [f"{spell(flips)}: {look(prepared, flips)}"]
    assert not wrong, f"{len(wrong)} of {FLIPS}:\n" + "\n".join(wrong[:20])


def test_a_flipped_bit_in_the_commit_mark_is_found(prepared):
    print(f"INLET_FLIP_SEED={SEED}")
    chance = random.Random(SEED + 2)
    for _ in range(MARK_FLIPS):
        one = (prepared.journal / "commit", chance.randrange(64), chance.randrange(8))
        flip(*one)
        code, findings, _ = prepared.node.verify()
        flip(*one)
        assert code == 1 and "commit mark" in findings[0], spell([one])


def test_a_node_starts_on_any_flipped_bit_and_delivers_the_rest_as_it_was(prepared, make_node):
    print(f"INLET_FLIP_SEED={SEED}")
    chance = random.Random(SEED + 3)
    order = sorted(prepared.bodies)
    others = [(prepared.journal / "commit", 64),
              (prepared.journal / "cursors/archive.cursor", 2 * BLOCK)]
    for i in range(STARTS):
        path, byte, bit = prepared.random_flip(chance)
        if i % 3:
            path, size = others[i % 3 - 1]
            byte = chance.randrange(min(size, 128) if chance.random() < 0.7 else size)
        where = spell([(path, byte, bit)])
        node = make_node(CHANGES, f"flipped-{i}")
        shutil.copytree(prepared.node.data, node.data)
        flip(node.data / path.relative_to(prepared.node.data), byte, bit)
        node.start()
        answer = post(node.address, "flip", b"one more")
        assert answer.status == 200, where
        node.stop()
        got = {event["id"]: inlet.body_of(event) for event in node.events("flip")}
        assert got.pop(answer.json()["id"]) == b"one more", where
        for record, body in got.items():
            assert prepared.bodies.get(record) == body, f"{where}: {record} is altered"
        lost = {order.index(record) + 1 for record in set(prepared.bodies) - set(got)}
        assert lost <= prepared.lost_at_most(path, byte), f"{where}: lost {lost}"
        shutil.rmtree(node.data)
