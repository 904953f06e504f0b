"""The programs under test from outside: starting and ending them, and reading what they wrote.

Every node gets a directory of its own; all of its processes carry that directory in their command
line, which is how those that were left over are found."""

import base64
import contextlib
import gzip
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time

from wire import wait_until

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("INLET_BUILD", ROOT / "build/release")).resolve()
INLET = BUILD / "inlet"
SHIP = BUILD / "inlet-ship"

START_S, STOP_S = 20, 45

# Small and fast; tests override what they are about.
SETTINGS = {
    "server": {"loops": 1, "max_body": "1MiB", "drain_delay": "0s", "flush_deadline": "15s"},
    "journal": {"segment_bytes": "6MiB", "max_bytes": "96MiB"},
    "sinks.archive": {"batch_age": "100ms"},
}


def environment(**more):
    """Ours without INLET_*, which would be configuration."""
    kept = {k: v for k, v in os.environ.items()
            if not k.startswith("INLET_") or k == "INLET_SECCOMP"}
    return {**kept, **more}


def toml(settings):
    def value(v):
        return json.dumps(v) if isinstance(v, (bool, int, list)) else f'"{v}"'
    return "\n".join(f"[{section}]\n" + "".join(f"{k} = {value(v)}\n" for k, v in keys.items())
                     for section, keys in settings.items())


def settings(changes=None):
    merged = {section: dict(keys) for section, keys in SETTINGS.items()}
    for section, keys in (changes or {}).items():
        merged.setdefault(section, {}).update(keys)
    return merged


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port():
    """Below the range that outgoing connections take theirs from, so it stays free."""
    while True:
        port = random.randrange(15000, 32000)
        if is_free(port):
            return port


def run(*words, timeout_s=60, environment_more=None, text=True, **more):
    """Runs `inlet WORDS`; never fails by itself."""
    return subprocess.run([str(INLET), *map(str, words)], capture_output=True, text=text,
                          check=False, timeout=timeout_s, stdin=subprocess.DEVNULL,
                          env=environment(**(environment_more or {})), **more)


def processes_of(directory):
    """pid -> command line of living processes that carry the directory in it."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            words = pathlib.Path("/proc", entry, "cmdline").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in words:  # Empty for a zombie.
            found[int(entry)] = words.replace(b"\0", b" ").decode().strip()
    return found


class Node:
    """`inlet run`, or `inlet serve` and `inlet-ship` alone, with its data in DIRECTORY/data."""

    living = []  # Of the test under way; a failure shows what they said.

    def __init__(self, directory, changes=None, *, command="run", flags=(), wrap=(),
                 plain=False, admin=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.data = self.directory / "data"
        self.archive = self.data / "archive"
        self.command, self.flags, self.wrap = command, list(flags), list(wrap)
        self.config = self.directory / "inlet.toml"
        if not plain:  # Plain: no configuration at all, any ports.
            self.configure(changes)
        self.port, self.admin_port = (0, 0) if plain else (free_port(), free_port())
        self.admin_flag = admin  # Instead of an address.
        self.process = None
        self.deaths_expected = False  # A child of the supervisor may die.
        Node.living.append(self)

    def configure(self, changes):
        self.config.write_text(toml(settings(changes)))

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def admin(self):
        return ("127.0.0.1", self.admin_port)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    # ---- Life.

    def arguments(self, command):
        words = [SHIP, "archive"] if command == "ship" else [INLET, command]
        if self.config.exists():
            words += ["--config", self.config]
        words += ["--data", self.data]
        if command != "ship":
            admin = self.admin_flag
            words += ["--listen", f"127.0.0.1:{self.port}",
                      f"--admin={f'127.0.0.1:{self.admin_port}' if admin is None else admin}"]
        return [*self.wrap, *map(str, words), *self.flags]

    def spawn(self, more_environment=None):
        """Starts it and does not wait."""
        self.stdout_from = self.size_of("stdout")
        self.stderr_from = self.size_of("stderr")
        with open(self.directory / "stdout", "ab") as out, \
                open(self.directory / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                self.arguments(self.command), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env=environment(**(more_environment or {})))
        return self

    def start(self, more_environment=None):
        self.spawn(more_environment)
        self.wait_ready()
        return self

    def is_ready(self):
        if self.command == "ship":
            return True
        if self.command == "serve":  # The address accepts; answers follow.
            return '"message":"listening"' in self.text("stderr", self.stderr_from)
        return "inlet: ready" in self.text("stdout", self.stdout_from)

    def wait_ready(self):
        def ready_or_dead():
            return self.is_ready() or self.process.poll() is not None
        wait_until(ready_or_dead, f"{self.command} is ready", START_S)
        assert self.process.poll() is None, \
            f"{self.command} ended with {self.process.returncode}: {self.errors()[-2000:]}"
        if self.port == 0:
            said = self.text("stdout", self.stdout_from)
            self.port = int(re.search(r"ready on http://127\.0\.0\.1:(\d+)", said)[1])
            self.admin_port = int(re.search(r"dashboard on http://127\.0\.0\.1:(\d+)", said)[1])

    def wait(self, timeout_s=STOP_S):
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} still runs after {timeout_s} s") from None

    def main_pid(self):
        """Of the program itself, also when something is wrapped around it; None if it is gone."""
        if not self.wrap:
            return self.process.pid
        program = str(SHIP if self.command == "ship" else INLET)
        for pid, words in processes_of(self.directory).items():
            if words.startswith(program):
                return pid
        return None

    def signal(self, number):
        pid = self.main_pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, expected=0):
        """Ends it in order and checks how it ended."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        self.process = None
        assert code == expected, f"{self.command} ended with {code}: {self.errors()[-2000:]}"

    def kill(self):
        """SIGKILL to the process we started, and to what it would leave behind."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None
        wait_until(lambda: not processes_of(self.directory),
                   "the children of a killed process are gone", 10)
        ports = [port for port in (self.port, self.admin_port) if port]
        wait_until(lambda: all(is_free(port) for port in ports), "its ports are free", 10)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    # ---- Looking.

    def size_of(self, name):
        path = self.directory / name
        return path.stat().st_size if path.exists() else 0

    def text(self, name, start=0):
        with open(self.directory / name, "rb") as file:
            file.seek(start)
            return file.read().decode("utf-8", "replace")

    def errors(self, start=0):
        return self.text("stderr", start)

    def log(self, message, start=0):
        """The log lines with that message."""
        found = []
        for line in self.errors(start).splitlines():
            if f'"message":"{message}' in line:
                found.append(json.loads(line))
        return found

    def state(self):
        """run.json: who is who."""
        return json.loads((self.data / "run.json").read_text())

    def child(self, name):
        """The pid of serve or ship-archive, once there is one."""
        return wait_until(lambda: self.state()["children"].get(name), f"{name} runs")

    def events(self, stream=None):
        return events(self.archive, stream)

    def wait_events(self, count, stream=None, timeout_s=20):
        """Waits for at least so many events in the archive; returns all of them."""
        def enough():
            found = self.events(stream)
            return found if len(found) >= count else None
        return wait_until(enough, f"{count} events are in {self.archive}", timeout_s, 0.1)

    def journal(self, *words, **more):
        """`inlet journal WORDS` about this node's journal."""
        config = ["--config", self.config] if self.config.exists() else []
        return run("journal", *words, *config, "--data", self.data, **more)

    def records(self):
        """The metadata of every record in the journal."""
        done = self.journal("cat")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def verify(self):
        """(exit code, findings, the last line) of `inlet journal verify`."""
        done = self.journal("verify")
        lines = done.stdout.splitlines()
        assert lines, f"verify said nothing and ended with {done.returncode}: {done.stderr}"
        return done.returncode, lines[:-1], lines[-1]

    def status(self):
        from wire import get
        return get(self.admin, "/status.json").json()

    # ---- The end of a test.

    def conclude(self):
        """Stops it; returns what went wrong in its life, as sentences."""
        wrong = []
        Node.living.remove(self)
        try:
            if self.is_running():
                self.stop()
            elif self.process is not None and self.process.returncode < 0:
                wrong.append(f"{self.command} died by signal {-self.process.returncode}")
        except AssertionError as error:
            wrong.append(str(error))
            if self.is_running():
                self.process.kill()
                self.process.wait()
        left = processes_of(self.directory)
        if left:
            time.sleep(0.5)  # A killed one may take a moment.
            left = processes_of(self.directory)
        for pid, words in left.items():
            wrong.append(f"process {pid} was left over: {words}")
            os.kill(pid, signal.SIGKILL)
        if not self.deaths_expected and self.size_of("stderr"):
            for line in re.findall(r'.*"how":"signal .*', self.errors()):
                wrong.append(f"a process died: {line}")
        return [f"{self.directory.name}: {sentence}" for sentence in wrong]


# ---- The archive.

def objects(archive):
    return sorted(p for p in pathlib.Path(archive).rglob("*")
                  if p.is_file() and not p.name.startswith("."))


def unpack(paths):
    """The contents of all, one after the other."""
    packed = [str(p) for p in paths if p.suffix == ".zst"]
    out = b""
    for i in range(0, len(packed), 500):
        out += subprocess.run(["zstd", "-dcq", "--", *packed[i:i + 500]], check=True,
                              stdout=subprocess.PIPE).stdout
    for path in paths:
        if path.suffix == ".gz":
            out += gzip.decompress(path.read_bytes())
        elif path.suffix == ".ndjson":
            out += path.read_bytes()
    return out


def events(archive, stream=None):
    """Every event, in the order of names (per stream that is the order of acceptance)."""
    found = objects(archive)
    if stream is not None:
        found = [p for p in found if f"stream={stream}" in p.parts]
    return [json.loads(line) for line in unpack(found).splitlines()]


def body_of(event):
    """The bytes that were sent, of an event that is text or base64."""
    if "text" in event:
        return event["text"].encode()
    return base64.b64decode(event["base64"])


# ---- The load generator.

def load(*words, **more):
    """Starts `inlet load WORDS`; its report is in standard output."""
    return subprocess.Popen([str(INLET), "load", *map(str, words)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env=environment(), **more)


def prove(archive, *acked, timeout_s=60):
    """What `inlet load --verify-only` says: (exit code, the proof's figures, its text)."""
    words = ["load", "--verify-only", archive, "--no-duplicates", "--verify-timeout", "15s",
             "--json", "-"]
    for path in acked:
        words += ["--acked", path]
    done = run(*words, timeout_s=timeout_s)
    assert done.stdout, f"no proof: {done.stderr}"
    return done.returncode, json.loads(done.stdout)["proof"], done.stderr
