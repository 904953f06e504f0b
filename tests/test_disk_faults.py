"""Goal: whatever the disk does, nothing acknowledged is lost, nobody is kept waiting, and the node
comes back by itself.

Method: a small ext4 of our own that is filled, frozen and broken; writes that fail by strace. After
each fault the journal is compared with what was acknowledged."""

import os
import re
import signal
import subprocess
import threading
import time

import pytest

import inlet
from faults import disk, failing
from wire import get, post, try_get, wait_until

MIB = 1 << 20
QUICK_S = 1.0  # An answer that did not wait for a disk.
RECOVER_S = 15


def store(node, count, prefix, body=b"x" * 2000):
    """Posts records one by one; ids of those acknowledged and the answers of the others."""
    ids, refusals = {}, []
    for i in range(count):
        text = prefix.encode() + b"-%d-" % i + body
        answer = post(node.address, "fault", text)
        if answer.status == 200:
            ids[answer.json()["id"]] = text
        else:
            refusals.append(answer)
    return ids, refusals


def assert_refused(answer):
    assert answer.status == 503, answer
    assert re.fullmatch(r"[1-9]\d*", answer.headers["retry-after"])
    assert answer.json()["status"] == 503


def assert_journal_holds(node, ids):
    records = {r["id"]: r.get("text", "").encode() for r in node.records()}
    for record, text in ids.items():
        assert records.get(record) == text, f"record {record} is lost or altered"
    code, findings, _ = node.verify()
    assert (code, findings) == (0, [])


def deliver(node):
    """Runs the shipper until everything is in the archive."""
    done = subprocess.run([*map(str, node.arguments("ship")), "--drain"], check=False,
                          capture_output=True, text=True, timeout=60, env=inlet.environment())
    assert done.returncode == 0, done.stderr


def recovered(node):
    wait_until(lambda: try_get(node.address, "/healthz") == 200, "the node is well again",
               RECOVER_S)


# ---- Space.

def test_a_full_disk_is_refused_before_it_hurts_and_taken_back_when_delivered(make_node, here):
    with disk(here / "disk", 80) as small:
        node = make_node({"journal": {"max_bytes": "1GiB", "path": str(small.path / "journal")}},
                         command="serve").start()
        ids, refused = {}, []
        while len(refused) < 10:
            more, refused_now = store(node, 1, f"{len(ids)}", b"f" * (MIB - 100))
            ids.update(more)
            refused = refused + refused_now if refused_now else []
            assert len(ids) < 80
            time.sleep(0.02)
        for answer in refused:
            assert_refused(answer)
        assert len(ids) > 40
        assert try_get(node.address, "/healthz") == 503
        assert small.free_bytes() > MIB  # Headroom for cursors.
        assert node.log("a commit failed") == []
        assert "No space left" not in node.errors()

        deliver(node)  # The archive is on another disk.
        recovered(node)
        more, refused = store(node, 20, "again")
        assert refused == []
        deliver(node)
        assert {e["id"] for e in node.events()} == set(ids) | set(more)
        node.stop()


def test_a_disk_filled_by_somebody_else_is_refused_and_taken_back_when_freed(make_node, here):
    with disk(here / "disk", 80) as small:
        node = make_node({"journal": {"max_bytes": "1GiB", "path": str(small.path / "journal")}},
                         command="serve").start()
        ids, refused = store(node, 5, "before")
        assert refused == []
        filler = small.path / "filler"
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, small.free_bytes() - MIB // 4)
        refusals = 0
        for i in range(40):  # The segments made ready before still take some.
            more, refused = store(node, 1, f"tight-{i}", b"f" * (MIB - 100))
            ids.update(more)
            refusals += len(refused)
            if refusals > 5:
                break
        assert refusals > 5
        assert_refused(refused[0])
        filler.unlink()
        recovered(node)
        more, refused = store(node, 10, "after", b"f" * (MIB - 100))
        assert refused == []
        assert_journal_holds(node, {**ids, **more})
        node.stop()


# ---- Errors.

@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EROFS"])
def test_a_write_that_fails_is_refused_and_the_next_that_works_is_not(make_node, error):
    node = make_node(command="serve").start()
    ids, refused = store(node, 20, "before")
    assert refused == []
    with failing(node.process.pid, f"pwritev2:error={error}", f"fdatasync:error={error}"):
        stored, refused = store(node, 10, "during")
        assert stored == {}
        for answer in refused:
            assert_refused(answer)
        assert try_get(node.address, "/healthz") == 503
    recovered(node)
    more, refused = store(node, 20, "after")
    assert refused == []
    assert_journal_holds(node, {**ids, **more})
    assert not any(r.get("text", "").startswith("during") for r in node.records())
    assert node.log("a commit failed")
    node.stop()
    node.start()
    assert_journal_holds(node, {**ids, **more})


def test_one_failed_write_costs_only_the_records_in_it(make_node):
    node = make_node(command="serve").start()
    ids, refused = store(node, 5, "before")
    with failing(node.process.pid, "pwritev2:error=EIO:when=1"):
        stored, refused = store(node, 1, "during")
        assert stored == {} and len(refused) == 1
        assert_refused(refused[0])
        recovered(node)
        more, refused = store(node, 20, "after")
    assert refused == []
    assert_journal_holds(node, {**ids, **more})


def test_a_file_system_that_turned_read_only_is_refused_and_nothing_is_lost(make_node, here):
    """As ext4 does it on an error of its own. Until it is repaired, starting fails and says so."""
    with disk(here / "disk", 80) as small:
        node = make_node({"journal": {"path": str(small.path / "journal")}},
                         command="serve").start()
        ids, refused = store(node, 20, "before")
        assert refused == []
        name = os.path.basename(small.device)
        with open(f"/sys/fs/ext4/{name}/trigger_fs_error", "w") as trigger:
            trigger.write("1")
        stored, refused = store(node, 5, "during")
        assert stored == {}
        for answer in refused:
            assert_refused(answer)
        assert try_get(node.address, "/healthz") == 503
        node.signal(signal.SIGTERM)
        assert node.wait() == 0
        small.unmount()
        small.repair()
        small.mount()
        node.start()
        more, refused = store(node, 5, "after")
        assert refused == []
        assert_journal_holds(node, {**ids, **more})
        node.stop()


# ---- Waiting.

def test_a_disk_that_stalls_keeps_nobody_waiting_but_those_already_there(make_node, here):
    with disk(here / "disk", 80) as small:
        node = make_node({"journal": {"path": str(small.path / "journal")}},
                         command="serve").start()
        ids, _ = store(node, 5, "before")
        early = []
        threads = [threading.Thread(target=lambda i=i: early.append(
            (i, post(node.address, "fault", b"early-%d" % i, timeout_s=30)))) for i in range(8)]
        with small.frozen():
            for thread in threads:
                thread.start()
            wait_until(lambda: try_get(node.address, "/healthz") == 503, "it notices", 5)
            until = time.monotonic() + 7
            while time.monotonic() < until:
                start = time.monotonic()
                assert_refused(get(node.address, "/healthz"))
                assert_refused(post(node.address, "fault", b"late"))
                assert try_get(node.admin, "/healthz") == 503
                assert time.monotonic() - start < QUICK_S
                time.sleep(0.2)
            assert early == []  # Not answered before it is known.
        for thread in threads:
            thread.join(RECOVER_S)
        assert [a.status for _, a in early] == [200] * len(threads)
        ids.update({a.json()["id"]: b"early-%d" % i for i, a in early})
        recovered(node)
        more, refused = store(node, 5, "after")
        assert refused == []
        assert_journal_holds(node, {**ids, **more})
        assert not any(r.get("text") == "late" for r in node.records())
        node.stop()


def test_a_slow_write_of_a_whole_node_is_answered_when_it_is_done(node):
    serve = node.child("serve")
    with failing(serve, "pwritev2:delay_enter=3000000:when=1"):
        start = time.monotonic()
        answer = post(node.address, "slow", b"patience", timeout_s=20)
        took = time.monotonic() - start
    assert answer.status == 200 and took > 2.5
    recovered(node)
    assert len(node.wait_events(1, "slow")) == 1


# ---- Other file systems.

def test_a_data_directory_in_memory_works(make_node, here):
    """tmpfs took O_DIRECT only lately; where it does not, the log says that it is done without."""
    path = here / "memory"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", path], check=True)
    try:
        node = make_node({"journal": {"path": str(path / "journal"), "max_bytes": "48MiB"}},
                         command="serve").start()
        ids, refused = store(node, 50, "memory")
        assert refused == []
        assert_journal_holds(node, ids)
        plain = node.log("the file system has no O_DIRECT")
        assert bool(plain) != node.status()["journal"]["direct"]
        node.stop()
        node.start()
        assert_journal_holds(node, ids)
        node.stop()
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def test_a_journal_without_direct_writes_keeps_the_promise_too(make_node):
    node = make_node({"journal": {"direct": "never"}})
    node.deaths_expected = True
    node.start()
    ids, refused = store(node, 20, "plain")
    assert refused == []
    assert node.status()["journal"]["direct"] is False
    node.kill()
    node.start()
    assert_journal_holds(node, ids)
    assert {e["id"] for e in node.wait_events(20, "fault")} == set(ids)
