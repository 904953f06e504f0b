#!/usr/bin/env python3
"""Loads a whole node for a long time while killing its processes, then proves that nothing
acknowledged is missing.

Rounds of a minute: `inlet load` writes and notes every acknowledged number; meanwhile one thing
after the other goes wrong (kill -9 of serve, of a shipper, of everything; a stopped shipper; a
reload). At the end of a round every acknowledged number must be in the archive, and memory and
descriptors of the processes must be inside their bounds. Prints its seed; --seed repeats it."""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", ROOT / "build/release"))
PLACE = ROOT / "build/soak"
ROUND_SECONDS = 60
RATE, CONNECTIONS, BODY_BYTES = 1000, 32, 1024
MEMORY_MIB_MAX = 320  # The default ceiling of client memory, 256 MiB, and the program itself.
DESCRIPTORS_MAX = CONNECTIONS + 200
START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 120


class Failure(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """One `inlet run`, started again on the same data when it is killed."""

    def __init__(self):
        self.data, self.port, self.admin = PLACE / "data", free_port(), free_port()
        self.log = open(PLACE / "node.log", "ab")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [BUILD / "inlet", "run", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
             "--admin", f"127.0.0.1:{self.admin}"], stdout=self.log, stderr=self.log)
        give_up = time.monotonic() + START_SECONDS_MAX
        while not self.children().get("serve") and time.monotonic() < give_up:
            time.sleep(0.05)
        if self.process.poll() is not None:
            raise Failure(f"inlet run ended with {self.process.returncode}; see {self.log.name}")

    def children(self):
        """Name to process id, of what runs now."""
        try:
            state = json.loads((self.data / "run.json").read_text())
        except (OSError, ValueError):
            return {}
        if state.get("pid") != self.process.pid:
            return {}
        return {name: pid for name, pid in state["children"].items()
                if pid and pathlib.Path(f"/proc/{pid}").exists()}

    def shipper(self):
        return next((pid for name, pid in self.children().items() if name != "serve"), None)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS_MAX)
        if code != 0:
            raise Failure(f"inlet run ended with {code} on SIGTERM; see {self.log.name}")


def send(pid, what):
    """Signals a process that may have ended by itself a moment ago."""
    if pid:
        try:
            os.kill(pid, what)
        except ProcessLookupError:
            pass


def kill_serve(node, _):
    send(node.children().get("serve"), signal.SIGKILL)


def kill_shipper(node, _):
    send(node.shipper(), signal.SIGKILL)


def kill_everything(node, _):
    node.process.kill()
    node.process.wait()
    node.start()


def pause_shipper(node, chance):
    pid = node.shipper()
    send(pid, signal.SIGSTOP)
    time.sleep(chance.uniform(1, 5))
    send(pid, signal.SIGCONT)


def reload(node, _):
    send(node.process.pid, signal.SIGHUP)


TROUBLE = [kill_serve, kill_shipper, kill_everything, pause_shipper, reload]


def check_bounds(node, worst):
    """Notes the worst memory and descriptor counts; stops the soak where one is out of bounds."""
    for name, pid in node.children().items():
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            continue
        resident = [line for line in status.splitlines() if line.startswith("VmRSS")]
        memory_mib = int(resident[0].split()[1]) // 1024 if resident else 0
        worst[name] = [max(worst.get(name, [0, 0])[0], memory_mib),
                       max(worst.get(name, [0, 0])[1], descriptors)]
        if memory_mib > MEMORY_MIB_MAX or descriptors > DESCRIPTORS_MAX:
            raise Failure(f"{name} uses {memory_mib} MiB and {descriptors} descriptors; "
                          f"{MEMORY_MIB_MAX} and {DESCRIPTORS_MAX} are allowed")


def load(node, number, seconds):
    acked = PLACE / f"acked-{number}"
    return acked, subprocess.Popen(
        [BUILD / "inlet", "load", f"http://127.0.0.1:{node.port}/ingest/soak",
         "--rate", str(RATE), "--connections", str(CONNECTIONS), "--size", str(BODY_BYTES),
         "--duration", str(seconds), "--retry", "--acked", acked],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def verify(node, acked):
    done = subprocess.run(
        [BUILD / "inlet", "load", "--verify-only", node.data / "archive", "--acked", acked],
        capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"the proof failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def forget_archive(node):
    """Removes objects that were verified, so that a soak of days fits the disk."""
    for path in (node.data / "archive").rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            path.unlink()


def play_round(node, number, seconds, chance, worst):
    acked, loader = load(node, number, seconds)
    trouble = 0
    output = []
    reader = threading.Thread(target=lambda: output.append(loader.communicate()[0]))
    reader.start()
    next_trouble = time.monotonic() + chance.uniform(1, 8)
    while reader.is_alive():
        if time.monotonic() >= next_trouble:
            what = chance.choice(TROUBLE)
            what(node, chance)
            trouble += 1
            next_trouble = time.monotonic() + chance.uniform(1, 8)
        check_bounds(node, worst)
        time.sleep(0.25)
    reader.join()
    if loader.returncode != 0:
        raise Failure(f"inlet load ended with {loader.returncode}:\n{output[0]}")
    proof = verify(node, acked).splitlines()
    print(f"round {number}: {trouble} troubles; {'; '.join(proof)}", flush=True)
    forget_archive(node)
    acked.unlink()


def main():
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"soak: {options.minutes} minutes, seed {options.seed}", flush=True)
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    chance, worst, node = random.Random(options.seed), {}, Node()
    end, number = time.monotonic() + options.minutes * 60, 0
    try:
        while time.monotonic() < end:
            number += 1
            seconds = int(max(5, min(ROUND_SECONDS, end - time.monotonic())))
            play_round(node, number, seconds, chance, worst)
        node.stop()
    except Failure as failure:
        print(f"soak: {failure}\nseed {options.seed}; the data is in {PLACE.relative_to(ROOT)}")
        return 1
    finally:
        if node.process.poll() is None:
            node.process.kill()
    for name, (memory_mib, descriptors) in sorted(worst.items()):
        print(f"{name}: at most {memory_mib} MiB and {descriptors} descriptors")
    print(f"{number} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
