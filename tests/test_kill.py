"""Goal: killing any process of a node at any moment, again and again, loses nothing that was
acknowledged and delivers nothing twice.

Method: one long-lived data directory under a load that keeps a file of what was acknowledged and
sends everything else again. Each cycle kills one process at random with SIGKILL: serve, ship or the
supervisor, which is then started again. At the end the archive is compared with the file.
INLET_KILL_CYCLES says how often (200), INLET_KILL_SEED how."""

import collections
import json
import os
import random
import signal
import time

import inlet
from wire import try_get, wait_until

CYCLES = int(os.environ.get("INLET_KILL_CYCLES", 200))
SEED = int(os.environ.get("INLET_KILL_SEED", time.time_ns() % 1_000_000))
BREATH_S = (0.02, 0.6)  # Between two kills; some fall into a start.
READY_S = 15
SUPERVISOR_SHARE = 0.3  # Its death also ends the waits between restarts.


def kill_one(node, chance):
    """Kills somebody; returns who it was."""
    if chance.random() < SUPERVISOR_SHARE:
        node.kill()
        node.start()
        return "run"
    try:
        children = node.state()["children"]
    except (OSError, json.JSONDecodeError):
        return "nobody"
    if not children:
        return "nobody"
    name = chance.choice(sorted(children))
    try:
        os.kill(children[name], signal.SIGKILL)
    except ProcessLookupError:
        return "nobody"  # Between its end and its restart.
    return name


def test_kills_at_random_lose_nothing_and_repeat_nothing(make_node, here):
    print(f"INLET_KILL_SEED={SEED}")
    chance = random.Random(SEED)
    node = make_node({"sinks.archive": {"batch_age": "50ms", "batch_records": 100},
                      "journal": {"max_bytes": "48MiB"}})
    node.deaths_expected = True
    node.start()
    acked = here / "acked"
    load = inlet.load(f"{node.url}/ingest/kill", "--rate", 300, "--connections", 16, "--size", 700,
                      "--retry", "--timeout", "3s", "--drain", "30s", "--duration", "3600s",
                      "--acked", acked)
    killed = collections.Counter()
    try:
        while killed.total() - killed["nobody"] < CYCLES:
            time.sleep(chance.uniform(*BREATH_S))
            killed[kill_one(node, chance)] += 1
            assert load.poll() is None, load.stdout.read()
            assert killed["nobody"] < 20 * CYCLES
        wait_until(lambda: try_get(node.address, "/healthz") == 200, "it serves at the end",
                   READY_S)
        time.sleep(1)
        load.send_signal(signal.SIGINT)  # No new numbers; the rest is sent until accepted.
        report = load.communicate(timeout=60)[0]
    finally:
        load.kill()
        load.wait()
    print(dict(killed), report)
    node.stop()

    code, proof, text = inlet.prove(node.archive, acked)
    print(text)
    assert proof["acknowledged"] > 20 * CYCLES  # There was a load worth the name.
    assert proof["missing"] == 0
    assert proof["twice"] - proof["twice_after_repeat"] == 0
    assert (proof["damaged"], proof["malformed"], proof["objects_unreadable"]) == (0, 0, 0)
    assert code == 0
    ids = collections.Counter(event["id"] for event in node.events())
    assert [i for i, count in ids.items() if count > 1] == []
    assert node.verify()[:2] == (0, [])
    leftovers = [p for p in node.archive.rglob(".*") if p.is_file()]
    assert len(leftovers) <= 1, leftovers  # Of the last kill at most.
