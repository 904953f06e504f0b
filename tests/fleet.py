"""A fleet on loopback: nodes at 127.0.1.1, .2, … with one port, as behind one DNS name; that name,
answered by a resolver of ours; and HAProxy with the configuration of deploy/fleet in front.

Plain processes, not network namespaces: the kernel refuses and resets for a dead process as it does
for a dead container, and namespaces need root. What they could add, a machine that falls silent, is
between the balancer and its timeouts. With INLET_FLEET_IMAGE the nodes are containers."""

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading

import inlet
from wire import get, wait_until

sys.path.insert(0, str(inlet.ROOT / "deploy/image"))
import build  # noqa: E402

CONFIGURATION = inlet.ROOT / "deploy/fleet/haproxy.cfg"
NAME = "nodes.fleet.test"
A_RECORD, IN_CLASS, TTL_S = 1, 1, 1
ANSWER_FLAGS = 0x8580  # Response, authoritative, recursion desired and available.
BEFORE = os.environ.get("INLET_FLEET_BEFORE")  # A build to upgrade from; default: the same.
IMAGE = os.environ.get("INLET_FLEET_IMAGE")  # Nodes are containers of it; default: processes.
IMAGE_UID = 10001


class Resolver:
    """Answers A queries for NAME with the addresses it has, over UDP (RFC 1035)."""

    def __init__(self):
        self.addresses = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            if not query:
                return
            self.socket.sendto(self.answer(query), client)

    def answer(self, query):
        end = query.index(b"\0", 12) + 5  # Name, type, class.
        kind = struct.unpack("!H", query[end - 4:end - 2])[0]
        found = list(self.addresses) if kind == A_RECORD else []
        head = query[:2] + struct.pack("!HHHHH", ANSWER_FLAGS, 1, len(found), 0, 0)
        records = b"".join(struct.pack("!HHHIH", 0xC00C, A_RECORD, IN_CLASS, TTL_S, 4) +
                           socket.inet_aton(address) for address in found)
        return head + query[12:end] + records

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(10)
        self.socket.close()


class FleetNode(inlet.Node):
    def __init__(self, directory, host, port, archive, changes, programs):
        super().__init__(directory, changes)
        self.host, self.port, self.archive = host, port, archive
        self.programs = pathlib.Path(programs)

    @property
    def address(self):
        return (self.host, self.port)

    def arguments(self, command):
        return [str(w) for w in (self.programs / "inlet", command, "--config", self.config,
                                 "--data", self.data, "--listen", f"{self.host}:{self.port}",
                                 f"--admin=127.0.0.1:{self.admin_port}")]

    def docker(self):
        """A body of `docker` that has this node as the only container: `docker exec X inlet …`
        and `docker stop`, which returns once the process has ended."""
        return f"""
case $1 in
  ps) echo {self.directory.name} ;;
  exec) shift 3; command=$1; shift 3; {self.programs}/inlet "$command" --data {self.data} "$@" ;;
  stop)
    kill -TERM {self.process.pid}
    while read -r _ _ state _ </proc/{self.process.pid}/stat && [[ $state != Z ]]; do
      sleep 0.1
    done ;;
esac"""


class ContainerNode(FleetNode):
    """The same node from the image, with a read-only root, no capabilities and limits."""

    @property
    def name(self):
        return f"inlet-fleet-{self.port}-{self.host.rpartition('.')[2]}"

    def arguments(self, command):
        self.data.mkdir(exist_ok=True)
        for folder in (self.data, self.archive):
            os.chown(folder, IMAGE_UID, IMAGE_UID)
        return [str(w) for w in (
            *build.engine(), "run", "--rm", "--name", self.name, "--network", "host", "--read-only",
            "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "256m",
            "--cpus", "1", *shlex.split(os.environ.get("INLET_ENGINE_RUN", "")),
            "--volume", f"{self.config}:/etc/inlet/inlet.toml:ro",
            "--volume", f"{self.data}:/var/lib/inlet", "--volume", f"{self.archive}:{self.archive}",
            IMAGE, command, "--listen", f"{self.host}:{self.port}",
            f"--admin=127.0.0.1:{self.admin_port}")]

    def docker(self):
        return f"""
case $1 in
  ps) echo {self.name} ;;
  exec) {shlex.join(build.engine())} "$@" ;;
  stop) {shlex.join(build.engine())} "$@" ;;
esac"""

    def kill(self):
        subprocess.run([*build.engine(), "kill", "--signal", "KILL", self.name], check=True,
                       capture_output=True)
        self.process.wait()
        self.process = None


class Balancer:
    """HAProxy. reload() is what `systemctl reload haproxy` does: a successor takes the sockets
    over."""

    def __init__(self, directory, resolver, node_port):
        self.directory = directory
        self.port, self.stats_port = inlet.free_port(), inlet.free_port()
        self.socket = directory / "haproxy.sock"
        self.state = directory / "haproxy.state"
        self.environment = {**os.environ, "FLEET_BIND": f"127.0.0.1:{self.port}",
                            "FLEET_PORT": str(node_port), "FLEET_NODES": NAME,
                            "FLEET_DNS": f"127.0.0.1:{resolver.port}",
                            "FLEET_STATS": f"127.0.0.1:{self.stats_port}",
                            "FLEET_SOCKET": str(self.socket), "FLEET_STATE": str(self.state)}
        self.process = None

    def start(self, *flags):
        with open(self.directory / "haproxy.log", "ab") as log:
            self.process = subprocess.Popen(
                ["haproxy", "-db", "-f", str(CONFIGURATION), *map(str, flags)],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def say(self, command):
        with socket.socket(socket.AF_UNIX) as wire:
            wire.connect(str(self.socket))
            wire.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: wire.recv(1 << 16), b"")).decode()

    def up(self):
        """Addresses of the nodes that it sends requests to."""
        assert self.process.poll() is None, (self.directory / "haproxy.log").read_text()
        if not self.socket.exists():
            return set()
        try:
            rows = self.say("show stat").splitlines()
        except OSError:
            return set()
        names = rows[0].removeprefix("# ").split(",")
        servers = [dict(zip(names, row.split(","))) for row in rows[1:]]
        return {s["addr"].rpartition(":")[0] for s in servers
                if s.get("pxname") == "nodes" and s["svname"] != "BACKEND" and s["status"] == "UP"
                and s["addr"]}

    def reload(self):
        self.state.write_text(self.say("show servers state"))
        before = self.process
        self.start("-x", self.socket, "-sf", before.pid)
        return before

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


class Load:
    """`inlet load` on the balancer until it is told to end; then its figures and the proof."""

    # Not "unsent": what was due when the load was told to end.
    FAILURES = ("answered_3xx", "answered_4xx", "answered_5xx", "timeouts", "broken", "malformed",
                "given_up")

    def __init__(self, fleet, rate, *flags):
        self.report = fleet.directory / "load.json"
        self.report.unlink(missing_ok=True)
        self.process = inlet.load(
            f"http://127.0.0.1:{fleet.balancer.port}/ingest/fleet", "--rate", rate, "--size", "512",
            "--connections", "24", "--duration", "10m", "--timeout", "10s", "--json", self.report,
            "--verify", fleet.archive, "--verify-timeout", "30s", *flags)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=120)
        assert self.report.exists(), said
        self.figures = json.loads(self.report.read_text())
        self.proof = self.figures["proof"]
        return self

    def failures(self):
        return {name: self.figures[name] for name in self.FAILURES if self.figures[name]}

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Fleet:
    SETTINGS = {
        "server": {"auth": "none", "drain_delay": "2s", "flush_deadline": "20s"},
        "journal": {"segment_bytes": "6MiB", "max_bytes": "240MiB"},
    }

    def __init__(self, directory):
        self.directory = directory
        self.archive = directory / "archive"
        self.archive.mkdir()
        self.port = self.free_port()
        self.resolver = Resolver()
        self.nodes = {}
        self.balancer = Balancer(directory, self.resolver, self.port)
        self.loads = []

    @staticmethod
    def free_port():
        """Of every address of the nodes."""
        while True:
            port = inlet.free_port()
            try:
                for i in range(1, 6):
                    with socket.socket() as probe:
                        probe.bind((f"127.0.1.{i}", port))
            except OSError:
                continue
            return port

    def add(self, number, programs=None, batch_age="100ms"):
        """A node more, known to the resolver once it is ready."""
        host = f"127.0.1.{number}"
        changes = {**self.SETTINGS, "node": {"name": f"ingest-{number}"},
                   "sinks.archive": {"path": str(self.archive), "batch_age": batch_age}}
        kind = ContainerNode if IMAGE else FleetNode
        node = kind(self.directory / f"node-{number}", host, self.port, self.archive, changes,
                    programs or inlet.BUILD)
        self.nodes[number] = node
        node.start()
        self.resolver.addresses.append(host)
        return node

    def hosts(self):
        return {node.host for node in self.nodes.values()}

    def wait_up(self, hosts=None):
        hosts = self.hosts() if hosts is None else hosts
        wait_until(lambda: self.balancer.up() == hosts, f"the balancer knows {sorted(hosts)}", 30)

    def start(self, count=3, programs=None):
        """programs: a directory of them for the node of each number."""
        for number in range(1, count + 1):
            self.add(number, programs(number) if programs else BEFORE)
        self.balancer.start()
        self.wait_up()
        return self

    def load(self, rate, *flags):
        made = Load(self, rate, *flags)
        self.loads.append(made)
        return made

    def stored(self, number):
        node = self.nodes[number]
        return get(("127.0.0.1", node.admin_port), "/status.json").json()["records_stored"]

    def wait_traffic(self, *numbers, records=50):
        """Each of them takes its part of the load."""
        start = {n: self.stored(n) for n in numbers}
        for number in numbers:
            wait_until(lambda n=number: self.stored(n) >= start[n] + records,
                       f"node {number} takes requests", 30)

    def leave(self, number):
        """The balancer learns that a node is no longer to be used; the node goes on."""
        node = self.nodes.pop(number)
        self.resolver.addresses.remove(node.host)
        self.wait_up()
        return node

    def retire(self, number):
        """As a scale-in does: in order, and the disk is gone."""
        node = self.nodes.pop(number)
        node.stop()
        self.resolver.addresses.remove(node.host)
        shutil.rmtree(node.data)
        return node

    def close(self):
        for load in self.loads:
            load.close()
        self.balancer.stop()
        self.resolver.close()


@contextlib.contextmanager
def fleet(directory):
    made = Fleet(directory)
    try:
        yield made
    finally:
        made.close()
