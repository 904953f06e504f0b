"""Goal: the image that the Dockerfile makes does the main job with as few rights as can be given to
it.

Method: INLET_IMAGE, built by deploy/image/build.py, is run by the container engine (INLET_ENGINE,
more flags of `run` in INLET_ENGINE_RUN), on the host's network, each time with a read-only root,
without capabilities, with a user that the image does not know, and 128 MiB. Run by ./dev image, not
by ./dev test: building takes minutes."""

import contextlib
import json
import os
import pathlib
import random
import shlex
import subprocess
import sys
import time

import pytest

import inlet
from wire import Wire, post, try_get, wait_until

sys.path.insert(0, str(inlet.ROOT / "deploy/image"))
import build  # noqa: E402

IMAGE = os.environ.get("INLET_IMAGE", "inlet:latest")
MEMORY_BYTES = 128 << 20
COLD_START_S_MAX = 0.3
# Long enough for a container to be made; the start itself is measured from where the engine says it
# began.
START_S = 30
HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--memory", str(MEMORY_BYTES)]


def engine(*words, **more):
    return subprocess.run([*build.engine(), *map(str, words)], check=False, capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=120, **more)


class Container:
    def __init__(self, name, port, admin):
        self.name, self.port, self.admin = name, port, admin
        self.address = ("127.0.0.1", port)

    def inside(self, *words):
        return engine("exec", self.name, *words)

    def inspect(self, form):
        return engine("inspect", "--format", form, self.name).stdout.strip()

    def logs(self):
        done = engine("logs", self.name)
        return done.stdout + done.stderr

    def wait_up(self):
        def up_or_dead():
            return try_get(self.address, "/healthz") == 200 or \
                self.inspect("{{.State.Running}}") == "false"
        wait_until(up_or_dead, "the container is up", START_S)
        assert self.inspect("{{.State.Running}}") == "true", self.logs()


@contextlib.contextmanager
def container(*flags, user=None, **environment):
    name = f"inlet-test-{os.getpid()}-{random.randrange(1 << 32):08x}"
    made = Container(name, inlet.free_port(), inlet.free_port())
    given = {"INLET_SERVER_LISTEN": f"127.0.0.1:{made.port}",
             "INLET_SERVER_ADMIN": f"127.0.0.1:{made.admin}", **environment}
    words = ["run", "--detach", "--name", name, "--network", "host", *HARDENED, *flags,
             *shlex.split(os.environ.get("INLET_ENGINE_RUN", ""))]
    for key, value in given.items():
        words += ["--env", f"{key}={value}"]
    if user is not None:
        words += ["--user", user]
    try:
        done = engine(*words, IMAGE)
        assert done.returncode == 0, done.stderr
        yield made
    finally:
        engine("rm", "--force", "--volumes", name)


def stranger():
    """A user that no image knows, in group 0, as platforms give one to every container."""
    return f"{random.randrange(20000, 60000)}:0"


def status_of(made):
    """/proc/PID/status of the container's first process, as a dict."""
    pid = made.inspect("{{.State.Pid}}")
    lines = pathlib.Path("/proc", pid, "status").read_text().splitlines()
    return {line.split(":")[0]: line.split(":", 1)[1].strip() for line in lines}


def test_the_main_job_with_hardly_any_rights():
    user = stranger()
    with container(user=user, INLET_SERVER_AUTH="none") as made:
        made.wait_up()
        for i in range(200):
            assert post(made.address, "first", b"record %d" % i).status == 200
        with Wire(made.address, 30) as wire:
            assert wire.post("large", b"x" * (8 << 20)).status == 200

        def delivered():
            done = made.inside("inlet", "audit", "--json")
            assert done.returncode == 0, done.stderr
            return sum(row["delivered"] for row in json.loads(done.stdout)["sinks"]) >= 201
        wait_until(delivered, "all of it is in the archive", 30)
        status = status_of(made)
        assert status["Uid"].split() == [user.split(":")[0]] * 4
        assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_nobody_gets_in_without_a_key_and_a_key_is_one_command():
    with container() as made:
        made.wait_up()
        assert post(made.address, "first", b"x").status == 401
        done = made.inside("inlet", "key", "new", "--tenant", "acme")
        assert done.returncode == 0, done.stderr
        bearer = f"Authorization: Bearer {done.stdout.strip()}"
        wait_until(lambda: post(made.address, "first", b"x", bearer).status == 200, "it works")
        assert done.stdout.strip() not in made.logs()


def test_the_health_check_works_without_a_shell():
    with container(INLET_SERVER_AUTH="none") as made:
        made.wait_up()
        assert made.inside("inlet", "health").returncode == 0
        assert "inlet health" in build.inspect(IMAGE, "{{json .Config.Healthcheck}}").replace(
            '","', " ")
        for shell in ("sh", "/bin/sh", "bash", "/bin/busybox"):
            assert made.inside(shell, "-c", "true").returncode != 0


def test_it_ends_in_order_and_goes_on_where_it_stopped(here):
    data = here / "data"
    data.mkdir()
    os.chown(data, 10001, 10001)
    volume = ("--volume", f"{data}:/var/lib/inlet")
    more = {"INLET_SERVER_AUTH": "none", "INLET_SERVER_DRAIN_DELAY": "0s"}
    with container(*volume, **more) as made:
        made.wait_up()
        assert post(made.address, "kept", b"one").status == 200
        assert engine("stop", "--time", "30", made.name).returncode == 0
        assert made.inspect("{{.State.ExitCode}}") == "0", made.logs()
    with container(*volume, **more) as made:
        made.wait_up()
        assert post(made.address, "kept", b"two").status == 200
        wait_until(lambda: len(inlet.events(data / "archive", "kept")) == 2, "both are there")


def test_a_cold_start_is_quick():
    took_s = []
    for _ in range(3):
        with container(INLET_SERVER_AUTH="none") as made:
            start = time.time()
            wait_until(lambda: try_get(made.address, "/healthz", 1) == 200, "it is up", START_S,
                       0.002)
            # The engine returns when the process runs; before that it is the engine's own time.
            took_s.append(time.time() - start)
            assert post(made.address, "first", b"x").status == 200
    print(f"\ncold start to the first answer, after the engine has started the process: "
          f"{sorted(took_s)[1] * 1000:.0f} ms (median of {len(took_s)})")


def test_it_says_what_it_is():
    labels = json.loads(build.inspect(IMAGE, "{{json .Config.Labels}}"))
    for name in ("title", "description", "version", "revision", "created", "licenses"):
        assert labels[f"org.opencontainers.image.{name}"]
    assert build.inspect(IMAGE, "{{.Config.User}}") == "10001:10001"


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["check"]])
def test_every_command_can_be_run(words):
    done = engine("run", "--rm", "--network", "host",
                  *shlex.split(os.environ.get("INLET_ENGINE_RUN", "")), IMAGE, *words)
    assert done.returncode == 0 and done.stdout
