"""Goal: a bug in Inlet is worth little: the programs are built hard, and a running process has no
privilege, no way to another program or host, and no file but its own.

Method: checksec and readelf on the programs; /proc of every process of a node that works; a node
as a random user without capabilities on a read-only root; a system call that strace turns into a
forbidden one."""

import json
import os
import pathlib
import platform
import random
import re
import shlex
import signal
import stat
import subprocess

import pytest

import inlet
from faults import failing
from wire import Wire, post, wait_until

PROGRAMS = [inlet.INLET, inlet.SHIP]
NO_CAPABILITY = "0" * 16

# Answers of checksec. `symbols` is not judged: what is installed is stripped, what is built is not.
GREEN = {"relro": "full", "canary": "yes", "nx": "yes", "pie": "yes", "rpath": "no",
         "runpath": "no", "fortify_source": "yes"}


def output(*words):
    return subprocess.run([str(w) for w in words], check=True, capture_output=True,
                          text=True).stdout


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines())


def deliver_one(node):
    assert post(node.address, "hard", b"hello").status == 200
    assert inlet.body_of(node.wait_events(1)[0]) == b"hello"


# ---- Built.

@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_checksec_is_all_green(program):
    (found,) = json.loads(output("checksec", f"--file={program}", "--format=json")).values()
    assert {key: found[key] for key in GREEN} == GREEN
    assert int(found["fortified"]) > 0


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_everything_is_bound_at_the_start_and_nothing_is_both_written_and_run(program):
    assert re.search(r"FLAGS.*BIND_NOW", output("readelf", "-dW", program))
    segments = output("readelf", "-lW", program)
    assert re.search(r"GNU_STACK.* RW ", segments)
    assert not re.search(r"LOAD.* RWE ", segments)
    if platform.machine() == "x86_64":
        assert "SHSTK" in output("readelf", "-nW", program)
        main = output("objdump", "-d", "--disassemble=main", program)
        assert "endbr64" in main


# ---- Running.

def test_no_process_has_a_privilege_or_may_get_one(node):
    deliver_one(node)
    processes = inlet.processes_of(node.directory)
    assert len(processes) == 3  # run, serve, ship-archive.
    for pid, words in processes.items():
        status = status_of(pid)
        sets = {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        if os.geteuid() != 0:
            del sets["CapBnd"]  # Only who has capabilities can bound them.
        assert set(sets.values()) == {NO_CAPABILITY}, f"{words}: {sets}"
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), words
        assert status["Umask"] == "0077", words
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.M), words


def test_what_is_in_force_is_logged(node):
    deliver_one(node)
    told = {line["process"]: line for line in node.log("in force")}
    assert set(told) == {"run", "serve", "ship"}
    for line in told.values():
        assert (line["system_calls"], line["capabilities"]) == ("filtered", "none")
        assert line["core_dumps"] == 0
    kernel = tuple(map(int, re.match(r"(\d+)\.(\d+)", platform.release()).groups()))
    if kernel >= (5, 19):
        assert told["serve"]["landlock"] >= 2, "this test needs a kernel built with Landlock"


def test_files_and_directories_are_the_owners_alone(node):
    deliver_one(node)
    node.stop()
    paths = [node.data, *node.data.rglob("*")]
    assert len(paths) > 8
    for path in paths:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.lstat().st_mode) == wanted, path


def test_no_other_process_of_the_user_can_read_their_memory(node):
    for pid in inlet.processes_of(node.directory):
        # Who may not dump does not own its files in /proc.
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0
        words = ["setpriv", "--reuid", "54321", "--clear-groups", "--bounding-set=-all", "cat"]
        done = subprocess.run([*words, f"/proc/{pid}/environ"], capture_output=True, check=False)
        assert done.returncode != 0 and not done.stdout


def read_only_root(writable, uid):
    """Words that run what follows as the user, without a capability, where nothing but a directory
    can be written. Mounts of other kinds are shadowed by nothing: they are made read-only too."""
    script = (
        "set -e; mount --make-rprivate /; mount --bind {0} {0}; "
        "findmnt -rno TARGET,FSTYPE | while read -r target kind; do "
        "case $target in {0}|/proc*|/sys*) ;; "
        "*) mount -o remount,bind,ro \"$target\" ;; esac; done; "
        "exec setpriv --reuid {1} --regid {1} --clear-groups --inh-caps=-all "
        "--bounding-set=-all --no-new-privs \"$@\"").format(shlex.quote(str(writable)), uid)
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


def test_it_runs_as_any_user_without_capabilities_on_a_read_only_root(make_node, here):
    uid = random.randrange(10_000, 60_000)
    print(f"uid {uid}")
    node = make_node()
    node.data.mkdir(mode=0o700)
    os.chown(node.data, uid, uid)
    here.chmod(0o755)
    node.wrap = read_only_root(node.data, uid)
    node.start()
    deliver_one(node)
    program = str(inlet.BUILD)
    processes = [pid for pid in inlet.processes_of(node.directory)
                 if status_of(pid)["Uid"].split()[0] == str(uid)]
    assert len(processes) == 3, f"as uid {uid} from {program}"
    for pid in processes:
        status = status_of(pid)
        assert {status[n] for n in ("CapPrm", "CapEff", "CapBnd")} == {NO_CAPABILITY}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    root = pathlib.Path(f"/proc/{processes[0]}/mounts").read_text()
    assert re.search(r"^\S+ / \S+ ro[, ]", root, re.M)
    node.stop()
    assert all(path.stat().st_uid == uid for path in node.data.rglob("*"))


def test_the_filter_and_the_guard_against_cores_can_be_left_out(make_node):
    node = make_node().start({"INLET_SECCOMP": "off", "INLET_CORE_DUMPS": "1"})
    deliver_one(node)
    for pid in inlet.processes_of(node.directory):
        status = status_of(pid)
        assert (status["NoNewPrivs"], status["Seccomp"], status["CapEff"]) == \
            ("1", "0", NO_CAPABILITY)
        assert os.stat(f"/proc/{pid}/environ").st_uid == os.geteuid()
    assert {line["system_calls"] for line in node.log("in force")} == {"unfiltered"}


def test_logging_what_would_be_forbidden_forbids_nothing(make_node):
    node = make_node().start({"INLET_SECCOMP": "log"})
    deliver_one(node)
    with failing(node.child("serve"), "accept4:error=EINTR:syscall=getppid:when=1"):
        assert post(node.address, "hard", b"again").status == 200
    assert {line["system_calls"] for line in node.log("in force")} == {"logged"}


def test_keys_and_their_changes_are_read_where_they_are(make_node, here):
    """Beyond the data directory, which is all that serve may use otherwise."""
    keys = here / "secrets" / "keys"
    keys.parent.mkdir(mode=0o700)

    def new_key():
        done = inlet.run("key", "new", "--tenant", "acme", "--keys", keys)
        assert done.returncode == 0, done.stderr
        return "X-Api-Key: " + done.stdout.strip()

    first = new_key()
    node = make_node({"server": {"auth": "keys", "keys": str(keys)}}).start()
    assert post(node.address, "hard", b"1", first).status == 200
    second = new_key()  # The file is replaced.
    wait_until(lambda: post(node.address, "hard", b"2", second).status == 200, "it is read again")


def test_a_forbidden_system_call_ends_serve_loudly_and_it_comes_back(make_node):
    node = make_node()
    node.deaths_expected = True
    node.start()
    ids = [post(node.address, "hard", b"before").json()["id"]]
    serve = node.child("serve")
    # getppid stands for any call that is not on the list.
    with failing(serve, "accept4:error=EINTR:syscall=getppid"), Wire(node.address):
        wait_until(lambda: node.log("process ended, starting it again"), "serve has died")
    assert re.search(r"^inlet: serve made the forbidden system call \d+ \(getppid\) and is ended$",
                     node.errors(), re.M)
    (ended,) = node.log("process ended, starting it again")
    assert ended["process"] == "serve"
    assert ended["how"] == (f"signal {signal.SIGSYS.value} (Bad system call): "
                            "it made a system call that it may not make")
    wait_until(lambda: node.state()["children"].get("serve") not in (None, serve), "serve is back")
    ids.append(post(node.address, "hard", b"after").json()["id"])
    assert [event["id"] for event in node.wait_events(2)] == ids

