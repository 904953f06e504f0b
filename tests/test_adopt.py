"""Goal: what a node that is gone still held is delivered by another, once, under its own ids.

Method: nodes whose sink is dead are killed with records in their journals; `inlet adopt` with the
configuration of another node, then that node's archive and the audit of the adopted journal."""

import json
import signal
import subprocess

import pytest

import inlet
from wire import Wire, wait_until

FINE, FAULT, MISTAKE, LEFT = 0, 1, 2, 3


def dead_sink(node):
    node.data.mkdir(exist_ok=True)
    node.archive.write_text("a file where the archive should be")


def fill(node, count, size=0):
    with Wire(node.address) as wire:
        return [wire.post("x", b"record %d " % i + b"." * size).json()["id"]
                for i in range(count)]


@pytest.fixture
def gone(make_node):
    """A node that was killed with 50 records undelivered."""
    node = make_node({"node": {"name": "gone"}}, "gone")
    node.deaths_expected = True
    dead_sink(node)
    node.start()
    node.ids = fill(node, 50)
    node.kill()
    return node


@pytest.fixture
def heir(make_node):
    return make_node({"node": {"name": "heir"}}, "heir")


def words(gone, heir, *more):
    return ["adopt", gone.data, "--config", heir.config, "--data", heir.data, *more]


def adopt(gone, heir, *more):
    return inlet.run(*words(gone, heir, *more), timeout_s=90)


def audit(gone, heir):
    done = inlet.run("audit", "--config", heir.config, "--data", gone.data, "--sink", "archive",
                     "--archive", heir.archive, "--json")
    assert done.returncode == FINE, done.stdout + done.stderr
    return json.loads(done.stdout)


def delivered(heir):
    return [event["id"] for event in heir.events()]


def test_a_node_beside_delivers_what_a_killed_one_left_exactly_once(gone, heir):
    heir.start()
    own = fill(heir, 3)
    done = adopt(gone, heir, "--progress")
    assert done.returncode == FINE, done.stderr
    assert "is delivered" in done.stdout and "adopt  [" in done.stderr
    heir.wait_events(53)
    assert sorted(delivered(heir)) == sorted(gone.ids + own)
    names = {p.name.split("-")[0] for p in inlet.objects(heir.archive)}
    assert names == {"gone", "heir"}  # Objects are called after who took the records.
    assert audit(gone, heir)["balanced"]
    assert "adopted by heir" in (gone.data / "ADOPTED").read_text()
    again = adopt(gone, heir)
    assert again.returncode == FINE
    assert sorted(delivered(heir)) == sorted(gone.ids + own)


def test_what_only_the_frames_know_of_is_delivered_too(gone, heir):
    (gone.data / "journal/commit").unlink()  # It is never flushed: power loss may take it.
    assert adopt(gone, heir).returncode == FINE
    assert delivered(heir) == gone.ids
    assert audit(gone, heir)["balanced"]


def test_a_sink_that_is_away_can_be_waited_for_later(gone, heir):
    dead_sink(heir)
    done = adopt(gone, heir, "--timeout", 2)
    assert done.returncode == LEFT
    assert "sink archive has not got 50 records" in done.stderr
    assert not (gone.data / "ADOPTED").exists()
    heir.archive.unlink()
    assert adopt(gone, heir).returncode == FINE
    assert delivered(heir) == gone.ids


def test_an_adoption_that_is_killed_goes_on_without_repeating(make_node, heir):
    node = make_node({"node": {"name": "big"}}, "big")
    node.deaths_expected = True
    dead_sink(node)
    node.start()
    ids = fill(node, 400, 20_000)
    node.kill()
    heir.configure({"sinks.archive": {"batch_records": 20}})
    first = subprocess.Popen([str(w) for w in [inlet.INLET, *words(node, heir)]],
                             env=inlet.environment(), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    wait_until(lambda: heir.archive.exists() and inlet.objects(heir.archive), "it delivers")
    first.kill()
    first.wait()
    wait_until(lambda: not inlet.processes_of(node.directory), "its ships go with it")
    done = adopt(node, heir)
    assert done.returncode == FINE, done.stderr
    assert delivered(heir) == ids
    assert audit(node, heir)["balanced"]


def test_it_ends_in_order_when_told_to(gone, heir):
    dead_sink(heir)
    running = subprocess.Popen([str(w) for w in [inlet.INLET, *words(gone, heir)]],
                               env=inlet.environment(), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: (gone.data / "journal/cursors/archive.status").exists()
               and len(inlet.processes_of(gone.directory)) == 2, "its ship runs")
    running.send_signal(signal.SIGTERM)
    said = running.communicate(timeout=30)[1]
    assert running.returncode == LEFT and "call it again to go on" in said
    assert not inlet.processes_of(gone.directory)


# ---- What is refused.

def test_a_node_that_runs_is_not_adopted(make_node, heir):
    node = make_node().start()
    done = adopt(node, heir)
    assert done.returncode == FAULT
    assert f"is in use by process {node.process.pid}" in done.stderr


def test_its_own_directory_or_none_at_all_is_a_mistake(heir, here):
    heir.start()
    fill(heir, 1)
    done = adopt(heir, heir)
    assert done.returncode == MISTAKE and "this node's own" in done.stderr
    (here / "empty").mkdir()
    done = inlet.run("adopt", here / "empty", "--data", heir.data)
    assert done.returncode == MISTAKE and "no journal in it" in done.stderr
    assert list((here / "empty").iterdir()) == []


def test_a_sink_that_nobody_knows_any_more_is_not_forgotten(make_node, heir, here):
    node = make_node({"sinks.bus": {"path": str(here / "bus")}}, "gone")
    node.deaths_expected = True
    (here / "bus").write_text("not a directory")
    node.start()
    ids = fill(node, 5)
    node.wait_events(5)
    wait_until(lambda: (node.data / "journal/cursors/bus.cursor").exists(), "bus has a cursor")
    node.kill()
    done = adopt(node, heir)
    assert done.returncode == MISTAKE
    assert "sink bus has not got 5 records" in done.stderr and "--without bus" in done.stderr
    assert not heir.archive.exists()
    assert adopt(node, heir, "--without", "bus").returncode == FINE
    heir.configure({"sinks.bus": {"path": str(here / "bus2")}})
    assert adopt(node, heir).returncode == FINE
    assert [e["id"] for e in inlet.events(here / "bus2")] == ids


def test_a_sink_that_the_node_did_not_have_gets_everything(gone, heir, here):
    heir.configure({"sinks.second": {"path": str(here / "second")}})
    assert adopt(gone, heir).returncode == FINE
    assert [e["id"] for e in inlet.events(here / "second")] == gone.ids
    assert delivered(heir) == gone.ids


# ---- The other way: a node is started on the directory.

def test_a_node_of_another_name_goes_on_where_the_one_before_stopped(gone):
    gone.archive.unlink()
    gone.configure({"node": {"name": "successor"}})
    gone.start()
    gone.ids += fill(gone, 2)
    gone.wait_events(52)
    assert delivered(gone) == gone.ids
