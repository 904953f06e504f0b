"""Goal: ending, reloading and being process 1 lose no request that was read and block nobody.

Method: real signals to a whole node under load, then the archive and the exit code."""

import json
import os
import pathlib
import signal
import threading
import time

import inlet
from wire import Wire, post, request, try_get, wait_until

DELAY = {"server": {"drain_delay": "1500ms"}}


def archived(node):
    return {event["id"] for event in node.events()}


def test_sigterm_under_load_ends_with_everything_acknowledged_delivered(make_node, here):
    node = make_node(DELAY).start()
    acked = here / "acked"
    load = inlet.load(f"{node.url}/ingest/drain", "--connections", 16, "--size", 2000, "--duration",
                      "6s", "--drain", "1s", "--acked", acked)
    wait_until(lambda: acked.exists() and acked.stat().st_size > 20_000, "the load is under way")
    start = time.monotonic()
    node.stop()
    took = time.monotonic() - start
    print(load.communicate(timeout=30)[0])
    assert 1.5 <= took < 20
    assert "stay behind" not in node.errors()
    code, proof, text = inlet.prove(node.archive, acked)
    assert (code, proof["missing"]) == (0, 0), text
    assert proof["acknowledged"] > 200


def test_requests_whose_body_is_under_way_are_answered_while_draining(make_node):
    node = make_node(DELAY).start()
    wires = [Wire(node.address, 20) for _ in range(50)]
    whole = [request("half", b"body %d " % i + b"x" * 3000) for i in range(len(wires))]
    for wire, raw in zip(wires, whole):
        wire.send(raw[:-1500])
    late = Wire(node.address, 20)  # Says nothing until accepting has stopped.
    late.send(b"POST /ingest/half HT")
    node.signal(signal.SIGTERM)
    wait_until(lambda: try_get(node.address, "/readyz") == 503, "it says that it is draining")
    assert try_get(node.address, "/healthz") == 200
    assert post(node.address, "half", b"newcomer").status == 200  # For drain_delay all goes on.
    time.sleep(2)  # Beyond drain_delay: it has stopped accepting.
    for wire, raw in zip(wires, whole):
        wire.send(raw[-1500:])
    answers = [wire.read_all() for wire in wires]
    assert [[a.status for a in got] for got, _ in answers] == [[200]] * len(wires)
    assert all(closed for _, closed in answers)
    late.send(request("half", b"late")[len("POST /ingest/half HT"):])
    assert late.read().status == 200
    assert node.wait() == 0
    node.process = None
    assert len(node.events("half")) == len(wires) + 2
    for wire in [*wires, late]:
        wire.close()


def test_an_idle_node_ends_at_once(make_node):
    node = make_node().start()
    start = time.monotonic()
    node.stop()
    assert time.monotonic() - start < 5


def test_a_node_with_idle_connections_ends_at_once(make_node):
    node = make_node().start()
    wires = [Wire(node.address) for _ in range(20)]
    for wire in wires:
        assert wire.post("idle", b"x").status == 200
    start = time.monotonic()
    node.stop()
    assert time.monotonic() - start < 5
    assert [wire.read() for wire in wires] == [None] * len(wires)


def test_a_second_sigterm_cuts_the_drain_short(make_node):
    node = make_node({"server": {"drain_delay": "60s"}}).start()
    assert post(node.address, "x", b"1").status == 200
    node.signal(signal.SIGTERM)
    wait_until(lambda: try_get(node.address, "/readyz") == 503, "it drains")
    start = time.monotonic()
    node.signal(signal.SIGTERM)
    assert node.wait(20) == 0
    node.process = None
    assert time.monotonic() - start < 15
    assert not inlet.processes_of(node.directory)


def test_a_dead_sink_does_not_hold_up_the_end_and_what_stays_is_said(make_node):
    node = make_node({"server": {"flush_deadline": "2s"}})
    node.data.mkdir()
    node.archive.write_text("a file where the archive should be")
    node.start()
    ids = {post(node.address, "stays", b"%d" % i).json()["id"] for i in range(7)}
    start = time.monotonic()
    node.stop()
    assert time.monotonic() - start < 10
    last = node.errors().splitlines()[-1]
    assert last.startswith("inlet: ") and "7 records stay behind" in last and "archive" in last
    node.archive.unlink()
    node.start()
    assert {e["id"] for e in node.wait_events(7)} == ids


def test_a_dead_sink_does_not_slow_the_door_or_the_start(make_node):
    node = make_node()
    node.data.mkdir()
    node.archive.write_text("a file where the archive should be")
    start = time.monotonic()
    node.start()
    with Wire(node.address) as wire:
        for i in range(200):
            assert wire.post("x", b"%d" % i).status == 200
    assert time.monotonic() - start < 10
    assert try_get(node.address, "/healthz") == 200
    node.archive.unlink()
    assert len(node.wait_events(200, timeout_s=45)) == 200  # It keeps trying, ever less often.


def test_nobody_hangs_at_the_door_of_a_node_that_only_delivers_any_more(make_node):
    node = make_node({"server": {"flush_deadline": "6s"}})
    node.data.mkdir()
    node.archive.write_text("a file where the archive should be")
    node.start()
    assert post(node.address, "x", b"1").status == 200
    node.signal(signal.SIGTERM)
    wait_until(lambda: "serve" not in node.state()["children"], "serve is gone")
    start = time.monotonic()
    assert try_get(node.address, "/healthz", 5) == 0
    assert time.monotonic() - start < 2  # Refused, not left waiting.


# ---- inlet drain.

def drain(node, *more):
    return inlet.run("drain", "--data", node.data, *more, timeout_s=60)


def test_a_drained_node_has_delivered_all_and_waits_to_be_ended(make_node):
    node = make_node({"sinks.archive": {"batch_age": "60s"}}).start()
    ids = {post(node.address, "x", b"%d" % i).json()["id"] for i in range(20)}
    done = drain(node, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "delivered": True, "records_left": 0,
        "sinks": [{"sink": "archive", "records": 0, "bytes": 0, "last_error": ""}]}
    assert archived(node) == ids
    assert try_get(node.address, "/healthz", 5) == 0  # Refused.
    assert node.state()["phase"] == "empty" and node.process.poll() is None
    assert drain(node).returncode == 0  # Asked again it says the same.
    node.stop()


def test_a_drain_that_takes_too_long_says_what_is_left_and_goes_on(make_node):
    node = make_node({"server": {"flush_deadline": "1s"}})
    node.data.mkdir()
    node.archive.write_text("a file where the archive should be")
    node.start()
    ids = {post(node.address, "x", b"%d" % i).json()["id"] for i in range(7)}
    done = drain(node, "--timeout", 3, "--json")
    assert done.returncode == 1
    left = json.loads(done.stdout)
    assert (left["delivered"], left["records_left"]) == (False, 7)
    assert left["sinks"][0]["bytes"] == 7 and "archive" in left["sinks"][0]["last_error"]
    assert "sink archive has not got 7 records" in done.stderr
    assert node.state()["phase"] == "emptying"  # Long after flush_deadline.
    node.archive.unlink()
    assert drain(node).returncode == 0
    assert archived(node) == ids
    node.stop()


def test_a_node_that_is_ended_while_it_empties_has_its_deadline_again(make_node):
    node = make_node({"server": {"flush_deadline": "1s"}})
    node.data.mkdir()
    node.archive.write_text("a file where the archive should be")
    node.start()
    assert post(node.address, "x", b"1").status == 200
    assert drain(node, "--timeout", 1).returncode == 1
    start = time.monotonic()
    node.stop()
    assert time.monotonic() - start < 15
    assert "1 record stays behind" in node.errors()


# ---- SIGHUP.

def test_sighup_applies_a_good_configuration_without_refusing_anybody(make_node):
    node = make_node().start()
    assert post(node.address, "strict", b"no json").status == 200
    before = node.child("serve")
    wrong, stop = [], threading.Event()

    def knock():
        while not stop.is_set():
            try:
                answer = post(node.address, "knock", b"x")
                if answer is None or answer.status != 200:
                    wrong.append(answer)
            except OSError as error:
                wrong.append(error)

    knocker = threading.Thread(target=knock)
    knocker.start()
    node.configure({"streams.strict": {"format": "json"}})
    node.signal(signal.SIGHUP)
    wait_until(lambda: node.log("configuration applied"), "it says so")
    wait_until(lambda: node.state()["children"].get("serve") not in (None, before),
               "a new serve runs")
    wait_until(lambda: post(node.address, "strict", b"no json").status == 422,
               "the new rules hold")
    stop.set()
    knocker.join()
    assert wrong == []
    assert node.process.poll() is None


def test_sighup_with_a_bad_configuration_changes_nothing_and_says_why(make_node):
    node = make_node().start()
    children = node.state()["children"]
    node.config.write_text("[server]\nlissten = 1\n")
    node.signal(signal.SIGHUP)
    wait_until(lambda: node.log("the configuration has mistakes"), "it complains")
    (line,) = [entry["message"] for entry in node.log("") if "lissten" in entry["message"]]
    assert line.endswith("inlet.toml:2:1: server.lissten is not a key of [server]; "
                         "did you mean listen?")
    assert post(node.address, "x", b"1").status == 200
    assert node.state()["children"] == children


def test_sighup_can_add_and_take_away_a_sink(make_node, here):
    node = make_node().start()
    node.configure({"sinks.second": {"path": str(here / "second"), "batch_age": "50ms"}})
    node.signal(signal.SIGHUP)
    node.child("ship-second")
    record = post(node.address, "x", b"1").json()["id"]
    wait_until(lambda: record in {e["id"] for e in inlet.events(here / "second")},
               "the new sink delivers")
    node.configure(None)
    node.signal(signal.SIGHUP)
    wait_until(lambda: "ship-second" not in node.state()["children"], "the sink is gone")
    assert post(node.address, "x", b"2").status == 200
    node.wait_events(2)


# ---- Being process 1.

def test_as_process_1_it_drains_and_buries_orphans(make_node):
    orphan = ["sh", "-c", '(sh -c "sleep 0.3" &) ; exec "$@"', "sh"]
    node = make_node(wrap=["unshare", "--pid", "--fork", "--mount-proc", *orphan]).start()
    record = post(node.address, "one", b"1").json()["id"]
    init = node.main_pid()
    status = pathlib.Path("/proc", str(init), "status").read_text()
    assert "\nNSpid:\t%d\t1\n" % init in status
    time.sleep(0.6)
    zombies = [pid for pid in os.listdir("/proc") if pid.isdigit() and is_zombie_of(pid, init)]
    assert zombies == []
    node.stop()
    assert record in archived(node)


def is_zombie_of(pid, parent):
    try:
        words = pathlib.Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return words[0] == "Z" and int(words[1]) == parent


def test_as_process_1_killed_by_the_kernel_its_children_go_with_it(make_node):
    node = make_node(wrap=["unshare", "--pid", "--fork", "--mount-proc"]).start()
    node.deaths_expected = True
    assert post(node.address, "x", b"1").status == 200
    node.signal(signal.SIGKILL)
    node.wait()
    node.process = None
    wait_until(lambda: not inlet.processes_of(node.directory), "all of them are gone")
    node.wrap = []
    node.start()
    assert len(node.wait_events(1)) == 1


def test_every_child_dies_with_its_supervisor(make_node):
    node = make_node().start()
    node.deaths_expected = True
    assert set(node.state()["children"]) == {"serve", "ship-archive"}
    node.process.kill()
    node.process.wait()
    node.process = None
    wait_until(lambda: not inlet.processes_of(node.directory), "nothing is left over", 5)
