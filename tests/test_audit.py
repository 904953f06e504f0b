"""Goal: `inlet audit` says that the books balance whenever they do, also while everything runs and
dies, and finds each way in which they do not.

Method: a whole node with two file sinks, one of which takes only web.*, under load, under audits
that are stopped in the middle, and under SIGKILL; then a quiet node's files are changed by hand,
one way at a time. INLET_AUDIT_SEED says when audits are stopped and who is killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

import inlet
from receiver import Receiver, Reply
from wire import Wire, wait_until

SEED = int(os.environ.get("INLET_AUDIT_SEED", time.time_ns() % 1_000_000))
AUDITS = 20
KILLS = 12
JSON = "Content-Type: application/json"

# Segments are small, so they are used again many times a test.
TURNOVER = {"server": {"max_body": "64KiB"},
            "journal": {"segment_bytes": "1MiB", "max_bytes": "8MiB"}}


def two_sinks(here, **more):
    return {"sinks.archive": {"batch_age": "50ms", "path": str(here / "all")},
            "sinks.web": {"type": "file", "path": str(here / "web"), "streams": ["web.*"],
                          "batch_age": "50ms", "compression": "gzip"},
            **more}


def words(node, *more):
    return ["audit", "--config", str(node.config), "--data", str(node.data), *map(str, more)]


def audit(node, *more):
    """(exit code, what it printed as JSON)"""
    done = inlet.run(*words(node, "--json", *more))
    assert done.stdout, f"the audit said nothing and ended with {done.returncode}: {done.stderr}"
    return done.returncode, json.loads(done.stdout)


def findings(report):
    return [f"{sink['sink']}: {finding}" for sink in report["sinks"]
            for finding in sink["findings"]]


def balanced(node, *more):
    code, report = audit(node, *more)
    assert (code, findings(report), report["balanced"]) == (0, [], True), report
    return report


def unbalanced(node, *more):
    """The findings, of which there must be some."""
    code, report = audit(node, *more)
    assert (code, report["balanced"]) == (1, False), report
    return findings(report)


def sink_of(report, name):
    return next(sink for sink in report["sinks"] if sink["sink"] == name)


def wait_delivered(node):
    def done():
        report = audit(node)[1]
        return report if all(sink["pending"] == 0 for sink in report["sinks"]) else None
    return wait_until(done, "nothing is pending", 30, 0.1)


def send(node, stream, count, size=100):
    with Wire(node.address) as wire:
        for number in range(count):
            body = json.dumps({"n": number, "pad": "x" * size}).encode()
            assert wire.post(stream, body, JSON).status == 200


def load_two(node, seconds, rate=400):
    """Two loads, one of streams for both sinks and one of streams for the first only."""
    return [inlet.load(f"{node.url}/ingest/{stream}", "--rate", rate, "--connections", 8, "--size",
                       1500, "--stream-count", 3, "--retry", "--timeout", "3s", "--duration",
                       f"{seconds}s") for stream in ("web.page", "api")]


def end(loads):
    for load in loads:
        load.send_signal(signal.SIGINT)
    return [load.communicate(timeout=60)[0] for load in loads]


@pytest.fixture
def quiet(make_node, here):
    """A node that delivered some records of several streams and is stopped."""
    node = make_node(two_sinks(here), "quiet").start()
    for stream, count in (("web.a", 30), ("web.b", 20), ("api", 25)):
        send(node, stream, count)
    wait_delivered(node)
    node.stop()
    balanced(node, "--sink", "archive", "--archive", here / "all")
    return node


# ---- Balanced.

def test_books_of_several_streams_and_sinks_balance(make_node, here):
    node = make_node(two_sinks(here)).start()
    sent = {"web.a": 30, "web.b": 20, "api": 25}
    for stream, count in sent.items():
        send(node, stream, count)
    report = wait_delivered(node)
    assert report["balanced"] and report["records"] == 75
    everything, web = sink_of(report, "archive"), sink_of(report, "web")
    assert {s["stream"].split("/")[1]: s["delivered"] for s in everything["streams"]} == sent
    assert all(s["stored"] == s["delivered"] for s in everything["streams"])
    assert {s["stream"].split("/")[1] for s in web["streams"]} == {"web.a", "web.b"}
    assert (everything["delivered"], everything["skipped"]) == (75, 0)
    assert (web["delivered"], web["skipped"]) == (50, 25)
    for name, path, count in (("archive", "all", 75), ("web", "web", 50)):
        found = sink_of(balanced(node, "--sink", name, "--archive", here / path), name)["archive"]
        assert (found["looked_for"], found["missing"], found["twice"]) == (count, 0, 0)


def test_the_table_is_for_people(quiet):
    done = inlet.run(*words(quiet))
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, lines[-1]) == (0, "", "the books balance")
    row = next(line.split() for line in lines if "/web.a" in line)
    assert row[1:] == ["30", "30", "0", "0"]
    assert "  lost 0, skipped 25, dead letters there 0; lag 0.0 s, 0 bytes" in lines


def test_what_waits_is_pending_and_no_fault(make_node, here):
    node = make_node(two_sinks(here), command="serve").start()
    send(node, "web.a", 7)
    send(node, "api", 5)
    report = balanced(node)
    assert [sink["pending"] for sink in report["sinks"]] == [12, 7]
    assert all(sink["delivered"] == 0 and sink["lag_seconds"] > 0 and sink["lag_bytes"] > 700
               for sink in report["sinks"])


def test_a_journal_in_which_nothing_was_stored_balances(make_node):
    assert balanced(make_node().start())["records"] == 0


def test_split_and_odd_bodies_stand_once_in_the_archive(make_node, here):
    node = make_node(two_sinks(here, **{"streams.lines": {"format": "ndjson"}})).start()
    with Wire(node.address) as wire:
        for body, stream in ((b'{"a":1}\n{"a":2}\n', "lines"), (b"[1,2,3]", "web.a"),
                             (b"", "web.a"), (b"\xff\x00", "api"), (b"[]", "web.a")):
            assert wire.post(stream, body, JSON).status == 200
    wait_delivered(node)
    found = balanced(node, "--sink", "archive", "--archive", here / "all")["sinks"][0]["archive"]
    assert (found["looked_for"], found["missing"], found["twice"]) == (5, 0, 0)


# ---- Balanced while it moves.

def stopped_audit(node, chance, *more):
    """An audit that is stopped somewhere in the middle while the node goes on."""
    process = subprocess.Popen([str(inlet.INLET), *words(node, "--json", *more)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=inlet.environment())
    time.sleep(chance.uniform(0.001, 0.03))
    process.send_signal(signal.SIGSTOP)
    time.sleep(chance.uniform(0.2, 1.0))
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert out, err
    return process.returncode, json.loads(out)


def test_under_load_there_is_never_a_false_alarm(make_node, here):
    print(f"INLET_AUDIT_SEED={SEED}")
    chance = random.Random(SEED)
    node = make_node(two_sinks(here, **TURNOVER)).start()
    loads = load_two(node, 600)
    try:
        wait_until(lambda: audit(node)[1]["oldest_sequence"] > 1, "segments are used again", 30)
        oldest = set()
        for number in range(AUDITS):
            name = ("archive", "all") if number % 2 else ("web", "web")
            more = ["--sink", name[0], "--archive", here / name[1]] if number % 3 else []
            oldest.add(balanced(node, *more)["oldest_sequence"])
            code, report = stopped_audit(node, chance, *more)
            assert (code, findings(report)) == (0, [])
            assert all(load.poll() is None for load in loads)
        assert len(oldest) > 3  # The journal went on under the audits.
    finally:
        end(loads)
    wait_delivered(node)
    balanced(node, "--sink", "web", "--archive", here / "web")


def test_killing_shippers_and_the_door_leaves_the_books_balanced(make_node, here):
    print(f"INLET_AUDIT_SEED={SEED}")
    chance = random.Random(SEED)
    node = make_node(two_sinks(here, **TURNOVER))
    node.deaths_expected = True
    node.start()
    loads = load_two(node, 600, 200)
    killed = []
    try:
        while len(killed) < KILLS:
            time.sleep(chance.uniform(0.05, 0.8))
            name = chance.choice(["serve", "ship-archive", "ship-web"])
            try:
                os.kill(node.state()["children"][name], signal.SIGKILL)
            except (OSError, ValueError, KeyError):
                continue  # Between its end and its restart.
            killed.append(name)
            if len(killed) % 2:
                balanced(node)
    finally:
        print(killed, end(loads))
    wait_delivered(node)
    node.stop()
    for name, path in (("archive", "all"), ("web", "web")):
        report = balanced(node, "--sink", name, "--archive", here / path)
        assert sink_of(report, name)["archive"]["looked_for"] > 50


def test_dead_letters_are_counted_and_may_be_redriven(make_node, here):
    with Receiver() as receiver:
        receiver.rule = lambda request: Reply(400) if b'"n": 3,' in request.text() else None
        node = make_node({"sinks.out": {"type": "http", "url": receiver.url(),
                                        "batch_age": "50ms"}}).start()
        send(node, "web.a", 10)
        send(node, "api", 2)
        out = sink_of(wait_delivered(node), "out")
        assert (out["delivered"], out["dead"], out["dead_letters"]) == (11, 1, 1)
        assert (out["findings"], out["notes"]) == ([], [])
        letters = list((node.data / "dead/out").glob("*.ndjson"))
        assert len(letters) == 1
        held = letters[0].read_text()
        letters[0].write_text(held + held.replace("-000000000004", "-000000000005"))
        assert any("dead letters of" in finding for finding in unbalanced(node))
        letters[0].write_text(held)
        receiver.rule = None
        done = inlet.run("dead", "redrive", "--sink", "out", *words(node)[1:])
        assert done.returncode == 0, done.stderr
        out = sink_of(balanced(node), "out")
        assert (out["dead"], out["dead_letters"]) == (1, 0)
        assert out["notes"] == ["1 of 1 dead letters are gone: redriven or removed"]


def test_what_is_replayed_takes_its_own_place(make_node, here):
    node = make_node(two_sinks(here)).start()
    send(node, "web.a", 20)
    wait_delivered(node)
    gone = inlet.objects(here / "all")[0]
    gone.unlink()
    unbalanced(node, "--sink", "archive", "--archive", here / "all")
    done = inlet.run("replay", "--sink", "archive", "--from", "1h", *words(node)[1:])
    assert done.returncode == 0, done.stderr
    found = balanced(node, "--sink", "archive", "--archive", here / "all")["sinks"][0]["archive"]
    assert (found["looked_for"], found["missing"], found["twice"]) == (20, 0, 0)


# ---- Unbalanced.

def test_a_deleted_object_is_found(quiet, here):
    gone = inlet.objects(here / "all")[0]
    ids = [json.loads(line)["id"] for line in inlet.unpack([gone]).splitlines()]
    gone.unlink()
    found = unbalanced(quiet, "--sink", "archive", "--archive", here / "all")
    assert len(found) == 1
    assert found[0].startswith(
        f"archive: missing from the archive, {len(ids)} of 75 records: {ids[0]}")
    assert all(i in found[0] for i in ids[:10])


def test_a_line_copied_twice_is_found(quiet, here):
    source = inlet.objects(here / "web")[0]
    line = inlet.unpack([source]).splitlines()[0]
    (source.parent / "copy.ndjson").write_bytes(line + b"\n")
    found = unbalanced(quiet, "--sink", "web", "--archive", here / "web")
    assert found == ["web: more than once in the archive, 1 of 50 records: "
                     + json.loads(line)["id"]]


def test_an_object_that_ends_short_is_found(quiet, here):
    torn = inlet.objects(here / "all")[0]
    torn.write_bytes(torn.read_bytes()[:-5])
    found = unbalanced(quiet, "--sink", "archive", "--archive", here / "all")
    assert any(str(torn) in finding for finding in found)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def edit_ledger(node, sink, change, with_crc=True):
    """Gives each line's words to `change`, until it says that it did."""
    path = node.data / f"journal/cursors/{sink}.ledger"
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines[1:], 1):
        parts = line.split(" ")[:-1]
        if change(parts):
            text = " ".join(parts)
            crc = f"{crc32c(text.encode()):08x}" if with_crc else line.split(" ")[-1]
            lines[number] = f"{text} {crc}"
            path.write_text("\n".join(lines) + "\n")
            return
    raise AssertionError("there was nothing to change")


def add(index, count):
    def change(parts):
        if len(parts) <= max(index, 5) or int(parts[index]) + count < 0:
            return False
        parts[index] = str(int(parts[index]) + count)
        return True
    return change


def rename(parts):
    """Counts a stream's records for another one; all sums stay as they are."""
    for index, part in enumerate(parts):
        if part.endswith("/web.a"):
            parts[index] = part[:-1] + "c"
            return True
    return False


# FIRST END TIME LOST SKIPPED STREAM DELIVERED BYTES DEAD
@pytest.mark.parametrize("change, with_crc, told", [
    (add(6, 1), False, "the ledger says nothing of records"),
    (add(0, 1), True, "the ledger says nothing of records"),
    (add(1, 1), True, "ledger"),
    (add(3, 1), True, "the ledger's line of"),
    (add(6, -1), True, "the ledger's line of"),
    (add(7, 1), True, "bytes delivered, the cursor"),
    (add(8, 1), True, "the ledger's line of"),
    (rename, True, "the journal holds"),
], ids=["crc", "first", "end", "lost", "delivered", "bytes", "dead", "stream"])
def test_an_edited_ledger_is_found(quiet, change, with_crc, told):
    edit_ledger(quiet, "archive", change, with_crc)
    found = unbalanced(quiet)
    assert any(told in finding for finding in found), found
    assert all(finding.startswith("archive: ") for finding in found)


def test_a_ledger_that_is_gone_is_found(quiet):
    (quiet.data / "journal/cursors/web.ledger").unlink()
    assert unbalanced(quiet) == ["web: there is no ledger"]


def test_a_cursor_copied_from_another_sink_is_found(quiet):
    cursors = quiet.data / "journal/cursors"
    shutil.copy(cursors / "web.cursor", cursors / "archive.cursor")
    assert any(finding.startswith("archive: the ledger counts 75 records delivered, the cursor 50")
               for finding in unbalanced(quiet))


def test_a_cursor_copied_from_another_node_is_found(quiet, make_node, here):
    other = make_node({"sinks.archive": {"path": str(here / "elsewhere")}}, "other").start()
    send(other, "web.a", 75)
    wait_delivered(other)
    other.stop()
    shutil.copy(other.data / "journal/cursors/archive.cursor",
                quiet.data / "journal/cursors/archive.cursor")
    found = unbalanced(quiet)
    assert len(found) == 1 and found[0].startswith("archive: the cursor is of journal ")


def damage(node, stream):
    """Spoils the body of one record of that stream."""
    for path in sorted((node.data / "journal").glob("segment-*")):
        data = bytearray(path.read_bytes())
        at = data.find(stream.encode())
        at = data.find(b"xxxxxxxx", at) if at >= 0 else at
        if at >= 0:
            data[at] ^= 1
            path.write_bytes(data)
            return
    raise AssertionError(f"no record of {stream} is in the journal")


def test_a_record_damaged_before_its_delivery_is_lost_and_the_books_balance(make_node, here):
    node = make_node(two_sinks(here), command="serve").start()
    send(node, "web.a", 10)
    node.stop()
    damage(node, "web.a")
    report = balanced(node)
    assert all(sink["notes"] == ["pending and not to be read: 1 of segment 1"]
               for sink in report["sinks"])
    node.command = "run"
    node.start()
    report = wait_delivered(node)
    assert report["balanced"], report
    assert [(sink["delivered"], sink["lost"]) for sink in report["sinks"]] == [(9, 1)] * 2


def test_a_record_damaged_after_its_delivery_is_found(quiet):
    damage(quiet, "web.a")
    found = unbalanced(quiet)
    assert len(found) == 2
    assert all("1 cannot be read in the journal, the ledger counts 0 lost" in f for f in found)


# ---- Mistakes.

@pytest.mark.parametrize("flags, told", [
    (["--sink", "archiv"], "no sink is called archiv; did you mean archive?"),
    (["--archive", "."], "--archive needs --sink"),
    (["--sink", "web", "--archive", "nowhere"], "nowhere"),
    (["--sink", "bare", "--archive", "."], "without envelope"),
    (["--verbose"], "--verbose"),
])
def test_mistakes_are_told(make_node, here, flags, told):
    bare = {"sinks.bare": {"type": "file", "path": str(here / "bare"), "envelope": False}}
    node = make_node(two_sinks(here, **bare))
    done = inlet.run(*words(node, *flags))
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_a_journal_that_is_not_there_is_a_fault(make_node):
    done = inlet.run(*words(make_node()))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("inlet: ")
