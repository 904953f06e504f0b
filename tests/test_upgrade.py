"""Goal: a running node becomes another version and back without losing a record or failing a
request, and a version that does not hold changes nothing.

Method: copies of the programs in a directory of their own, one with another version written into
it, or scripts around them that fail in one way; a node started from there under load; what
`inlet upgrade` says, what clients saw, what the archive holds."""

import json
import os
import signal
import struct
import subprocess
import threading
import time

import pytest

import inlet
from editions import NEW, OLD, Programs
from wire import Wire, post, wait_until

FINE, FAULT = 0, 1
SINK = {"sinks.archive": {"batch_age": "50ms"}}


@pytest.fixture
def programs(here, monkeypatch):
    made = Programs(here / "bin").install()
    monkeypatch.setattr(inlet, "INLET", made.inlet)
    monkeypatch.setattr(inlet, "SHIP", made.ship)
    return made


def upgrade(node, *more, timeout_s=90):
    return subprocess.run([inlet.INLET, "upgrade", "--data", str(node.data), *more],
                          capture_output=True, text=True, check=False, timeout=timeout_s,
                          env=inlet.environment())


def old_upgrade(programs, node, **more):
    """By the program that still works, if the one at the path is broken."""
    return subprocess.run([programs.originals[0], "upgrade", "--data", str(node.data)],
                          capture_output=True, text=True, check=False, timeout=90,
                          env=inlet.environment(), **more)


def version_of(node):
    return node.state()["version"].encode()


class Clients:
    """Some that connect anew for each request and some that keep their connection; a request on a
    kept connection that was closed before any byte of an answer is sent once more, as RFC 9110
    section 9.2.2 has clients do, and counted."""

    def __init__(self, node, count=4):
        self.node, self.stop = node, threading.Event()
        self.ids, self.wrong, self.again = [], [], 0
        self.threads = [threading.Thread(target=self.run, args=(i % 2 == 0, i))
                        for i in range(count)]

    def run(self, keeps, number):
        wire, sent = None, 0
        while not self.stop.is_set():
            body = b"client %d record %d" % (number, sent)
            try:
                if wire is None:
                    wire = Wire(self.node.address, 30)
                answer = wire.post("load", body)
            except OSError as error:
                self.wrong.append(error)
                return
            if answer is None and keeps and sent > 0:
                self.again += 1
                wire = None
                continue
            if answer is None or answer.status != 200:
                self.wrong.append(answer)
                return
            self.ids.append(answer.json()["id"])
            sent += 1
            if not keeps or answer.headers.get("connection") == "close":
                wire.close()
                wire = None
            time.sleep(0.001)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: len(self.ids) > 50, "the clients are under way")
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def assert_all_delivered(node, clients):
    node.wait_events(len(set(clients.ids)))
    delivered = [event["id"] for event in node.events("load")]
    assert len(delivered) == len(set(delivered)), "delivered twice"
    assert set(clients.ids) <= set(delivered)


def test_upgrading_and_going_back_under_load_loses_nothing_and_fails_nobody(make_node, programs):
    node = make_node(SINK).start()
    pid = node.state()["pid"]
    with Clients(node) as clients:
        for version in (NEW, OLD, NEW, OLD):
            before = node.state()["children"]
            programs.install(version)
            done = upgrade(node)
            assert done.returncode == FINE, done.stderr
            assert done.stdout.startswith("upgraded from ")
            assert version_of(node) == version
            after = node.state()
            assert after["pid"] == pid
            assert set(after["children"]) == set(before)
            assert not set(after["children"].values()) & set(before.values())
            count = len(clients.ids)
            wait_until(lambda at=count: len(clients.ids) > at + 50, "the clients go on")
    assert clients.wrong == []
    print(f"{len(clients.ids)} records, {clients.again} sent again on a closed connection")
    assert_all_delivered(node, clients)
    assert node.verify()[0] == FINE


def test_the_load_generators_proof_holds_over_an_upgrade(make_node, programs, here):
    node = make_node(SINK).start()
    acked = here / "acked"
    load = inlet.load(f"{node.url}/ingest/up", "--connections", 8, "--size", 1500, "--duration",
                      "8s", "--drain", "1s", "--acked", acked)
    wait_until(lambda: acked.exists() and acked.stat().st_size > 10_000, "the load is under way")
    programs.install(NEW)
    done = upgrade(node)
    assert done.returncode == FINE, done.stderr
    print(load.communicate(timeout=60)[0])
    node.stop()
    code, proof, text = inlet.prove(node.archive, acked)
    assert (code, proof["missing"]) == (0, 0), text
    assert proof["acknowledged"] > 200


def test_after_an_upgrade_everything_still_works_as_before(make_node, programs):
    node = make_node(SINK).start()
    programs.install(NEW)
    assert upgrade(node, "--progress").returncode == FINE
    os.kill(node.child("serve"), signal.SIGKILL)  # It is the new supervisor's child.
    node.deaths_expected = True
    wait_until(lambda: node.state()["restarts"]["serve"] == 2, "it was started again")
    wait_until(lambda: post(node.address, "x", b"1").status == 200, "it answers")
    node.configure({"streams.strict": {"format": "json"}, **SINK})
    node.signal(signal.SIGHUP)
    wait_until(lambda: post(node.address, "strict", b"no").status == 422, "new rules hold")
    taken = inlet.run("run", "--data", node.data, "--listen", "127.0.0.1:0", "--admin=")
    assert taken.returncode == FAULT and "is in use by process" in taken.stderr
    node.stop()


def test_a_path_that_is_a_link_is_followed_anew(make_node, programs, here, monkeypatch):
    links = here / "current"
    links.symlink_to(programs.directory)
    monkeypatch.setattr(inlet, "INLET", links / "inlet")
    node = make_node().start()
    other = Programs(here / "other")
    other.originals = programs.originals
    other.install(NEW)
    links.unlink()
    links.symlink_to(other.directory)
    done = upgrade(node)
    assert done.returncode == FINE, done.stderr
    assert version_of(node) == NEW
    ship = os.readlink(f"/proc/{node.child('ship-archive')}/exe")
    assert ship == str(other.ship)


# ---- Versions that do not hold.

def broken(programs, how):
    if how == "missing":
        programs.inlet.unlink()
    elif how == "not a program":
        programs.put(programs.inlet, b"hello")
    elif how == "does not start":
        programs.wrap("inlet", NEW, "*) exit 3 ;;")
    elif how == "another ship":
        programs.install(NEW, ["inlet"])
    elif how == "without a ship":
        programs.install(NEW)
        programs.ship.unlink()
    elif how == "refuses the configuration":
        programs.wrap("inlet", NEW, "*--rehearse*) echo 'inlet: no such key' >&2; exit 2 ;;")
    elif how == "too old":
        programs.wrap("inlet", NEW, "*--rehearse*) echo 'inlet: run does not take --rehearse' >&2; "
                      "exit 2 ;;")


@pytest.mark.parametrize("how, said", [
    ("missing", "No such file"), ("not a program", "Exec format"),
    ("does not start", "exit code 3"), ("another ship", "has version 0.1.9"),
    ("without a ship", "No such file"), ("refuses the configuration", "no such key"),
    ("too old", "does not take --rehearse"),
])
def test_a_version_that_fails_its_test_changes_nothing(make_node, programs, how, said):
    node = make_node().start()
    before = node.state()
    broken(programs, how)
    done = old_upgrade(programs, node)
    assert done.returncode == FAULT
    assert "refused, nothing was changed" in done.stderr and said in done.stderr
    assert node.state() == before
    assert post(node.address, "x", b"1").status == 200
    node.wait_events(1)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def test_a_version_that_cannot_read_the_journal_is_refused(make_node, programs):
    node = make_node().start()
    assert post(node.address, "x", b"1").status == 200
    segment = next(p for p in sorted((node.data / "journal").glob("segment-*"))
                   if p.read_bytes()[:8] == b"INLETSEG")
    header = bytearray(segment.read_bytes()[:4096])
    struct.pack_into("<I", header, 8, 77)  # Of a format that this version does not know.
    struct.pack_into("<I", header, 12, crc32c(bytes(header[0:12]) + bytes(header[16:64])))
    stranger = node.data / "journal/segment-000999"
    stranger.write_bytes(header)
    programs.install(NEW)
    done = upgrade(node)
    stranger.unlink()
    assert done.returncode == FAULT
    assert "nothing was changed" in done.stderr and "format version 77" in done.stderr
    assert version_of(node) == OLD and post(node.address, "x", b"1").status == 200


@pytest.mark.parametrize("program, cases, why", [
    ("inlet", '"serve "*) exit 5 ;;', "serve of version 0.1.9 ended with exit code 5"),
    ("inlet", '"serve "*) exec sleep 600 ;;', "serve of version 0.1.9 was not ready"),
    ("ship", '*--version*) ;; *) exit 4 ;;',
     "ship-archive of version 0.1.9 ended with exit code 4"),
])
def test_a_version_that_does_not_hold_is_taken_back(make_node, programs, program, cases, why):
    node = make_node(SINK).start()
    wait_until(lambda: time.sleep(1.1) is None, "the children have settled")
    programs.wrap(program, NEW, cases)
    with Clients(node, 2) as clients:
        done = old_upgrade(programs, node)
        assert done.returncode == FAULT
        assert "went back to version 0.1.0" in done.stderr and why in done.stderr
        assert version_of(node) == OLD
        count = len(clients.ids)
        wait_until(lambda: len(clients.ids) > count + 20, "the clients go on", 20)
    assert clients.wrong == []
    assert_all_delivered(node, clients)
    programs.install(NEW)  # And the next one is taken.
    assert upgrade(node).returncode == FINE
    node.deaths_expected = True  # A serve that hangs is killed.


def hanging(programs):
    programs.wrap("inlet", NEW, '"serve "*) exec sleep 600 ;;')


def begun(programs, node):
    """`inlet upgrade` to a serve that hangs, at the moment it hangs."""
    hanging(programs)
    old = node.child("serve")
    asked = subprocess.Popen([programs.originals[0], "upgrade", "--data", str(node.data)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=inlet.environment())
    return asked, wait_until(lambda: node.state()["children"].get("serve") not in (None, old)
                             and node.state()["children"]["serve"], "the new serve was started")


def test_a_candidate_that_is_killed_is_taken_back(make_node, programs):
    node = make_node().start()
    node.deaths_expected = True
    asked, serve = begun(programs, node)
    os.kill(serve, signal.SIGKILL)
    said = asked.communicate(timeout=60)[1]
    assert asked.returncode == FAULT and "signal 9" in said and "went back" in said
    assert post(node.address, "x", b"1", timeout_s=20).status == 200


def test_a_node_that_is_told_to_end_meanwhile_ends(make_node, programs):
    node = make_node().start()
    node.deaths_expected = True
    record = post(node.address, "x", b"1").json()["id"]
    asked, serve = begun(programs, node)
    node.signal(signal.SIGTERM)
    os.kill(serve, signal.SIGTERM)
    assert node.wait() == FINE
    node.process = None
    assert asked.communicate(timeout=60)[1].startswith("inlet: ") and asked.returncode == FAULT
    assert [event["id"] for event in node.events()] == [record]


def test_a_supervisor_that_is_killed_meanwhile_leaves_a_journal_that_goes_on(make_node, programs):
    node = make_node().start()
    node.deaths_expected = True
    record = post(node.address, "x", b"1").json()["id"]
    asked, _ = begun(programs, node)
    node.kill()
    assert asked.communicate(timeout=60)[1].startswith("inlet: ") and asked.returncode == FAULT
    programs.install(OLD)
    node.start()
    assert [event["id"] for event in node.wait_events(1)] == [record]


def test_the_command_that_asked_may_be_killed(make_node, programs):
    node = make_node().start()
    programs.install(NEW)
    asked = subprocess.Popen([inlet.INLET, "upgrade", "--data", str(node.data)],
                             env=inlet.environment(), stdout=subprocess.DEVNULL)
    wait_until(lambda: node.log("upgrade: testing"), "it has begun")
    asked.kill()
    asked.wait()
    wait_until(lambda: version_of(node) == NEW, "the upgrade goes on", 30)
    assert post(node.address, "x", b"1").status == 200


def test_a_signal_alone_upgrades_and_a_reload_meanwhile_comes_after(make_node, programs):
    node = make_node().start()
    programs.install(NEW)
    node.signal(signal.SIGUSR2)
    node.configure({"streams.strict": {"format": "json"}})
    wait_until(lambda: node.log("upgrade: testing"), "it has begun")
    node.signal(signal.SIGHUP)
    wait_until(lambda: version_of(node) == NEW, "it is upgraded", 30)
    wait_until(lambda: post(node.address, "strict", b"no").status == 422, "then it has reloaded")


# ---- Without a node.

@pytest.mark.parametrize("command", ["upgrade", "drain"])
def test_without_a_node_it_says_so(here, command):
    (here / "data").mkdir()
    for data in (here / "data", here / "missing"):
        done = inlet.run(command, "--data", data)
        assert (done.returncode, done.stderr) == (FAULT, f"inlet: no node runs in {data}\n")


def test_a_supervisor_of_a_version_before_this_is_not_signalled(here):
    data = here / "data"
    data.mkdir()
    with open(data / "run.lock", "wb") as lock:
        subprocess.run(["flock", "-x", str(lock.fileno())], pass_fds=[lock.fileno()], check=True)
        (data / "run.json").write_text(json.dumps({"pid": os.getpid()}))
        lock.write(b"%d" % os.getpid())
        lock.flush()
        done = inlet.run("upgrade", "--data", data)
    assert done.returncode == FAULT and "says nothing about itself" in done.stderr
