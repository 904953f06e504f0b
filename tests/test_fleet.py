"""Goal: what is planned (upgrade, scaling, a balancer's reload, a termination) costs a fleet's
clients no request; what is not planned costs no record.

Method: three nodes behind HAProxy with the configuration of deploy/fleet, found by DNS, each with a
file sink into one archive. `inlet load` sends all the while and then proves that what was
acknowledged is in the archive. Its connections are opened again when they are refused; any other
failure counts. `./dev fleet` (INLET_FLEET=long) does the same at half of the rate that the fleet
takes; with INLET_FLEET_IMAGE the nodes are containers of that image."""

import contextlib
import os
import re
import shutil
import signal
import subprocess

import compose_pydantic
import pytest
import yaml

import inlet
import stand_in_instance
from editions import NEW, OLD, Programs
from fleet import CONFIGURATION, IMAGE, Fleet, fleet
from wire import wait_until

LONG = os.environ.get("INLET_FLEET") == "long"
RATE_PER_S = 300  # For two busy cores.
MEASURE_S = 10
HERE = inlet.ROOT / "deploy/fleet"


@contextlib.contextmanager
def judged(here, programs=None):
    """A fleet that is up; the lives of its nodes are judged at the end."""
    with fleet(here) as made:
        made.start(programs=programs)
        yield made
        for node in inlet.Node.living:
            if node.is_running() and not IMAGE:  # An engine's client that ends takes no signal.
                node.signal(signal.SIGTERM)  # All at once; the second one cuts the drain short.
        assert [w for node in list(inlet.Node.living) for w in node.conclude()] == []


@pytest.fixture
def three(here):
    with judged(here) as made:
        yield made


@pytest.fixture
def three_of_editions(here):
    """Each node has its own copies of the programs, which can be replaced."""
    def programs(number):
        return Programs(here / f"programs-{number}").install(OLD).directory
    with judged(here, programs) as made:
        yield made


measured = []  # Half of what the first fleet took, in requests a second.


def rate(three):
    if not LONG:
        return RATE_PER_S
    if not measured:
        done = inlet.run("load", f"http://127.0.0.1:{three.balancer.port}/ingest/most",
                         "--duration", f"{MEASURE_S}s", "--size", "512", "--connections", "24")
        most = float(re.search(r"([\d,]+\.\d) a second, ", done.stdout)[1].replace(",", ""))
        print(f"\nthe fleet takes {most:.0f} requests/s; half of that is sent")
        measured.append(round(most / 2))
    return measured[0]


def report(load, what):
    figures = load.figures
    print(f"\n{what}: {figures['sent']} sent, {figures['accepted']} accepted, {figures['refused']} "
          f"connections refused, p99 {figures['latency_us']['p99'] / 1000:.1f} ms, "
          f"max {figures['latency_us']['max'] / 1000:.1f} ms, {load.proof['missing']} missing")


def nobody_noticed(load, what):
    report(load, what)
    assert load.figures["accepted"] > 300
    assert load.failures() == {} and load.figures["accepted"] == load.figures["sent"]
    assert load.proof["missing"] == 0 and load.proof["twice"] == 0
    assert load.proof["found"] == load.figures["accepted"]


def nothing_lost(load, what):
    report(load, what)
    assert load.figures["given_up"] == 0
    assert load.proof["missing"] == 0 and load.proof["damaged"] == 0
    assert load.proof["acknowledged"] > 300


def test_a_rolling_restart_costs_no_request(three):
    load = three.load(rate(three))
    for number, node in three.nodes.items():
        three.wait_traffic(*three.nodes)
        node.stop()
        node.programs = inlet.BUILD
        node.start()
        three.wait_up()
        three.wait_traffic(number)
    nobody_noticed(load.end(), "rolling restart")


def upgrade(three, number, edition):
    """`inlet upgrade` in place, to what stands at the path that the node was started from."""
    node = three.nodes[number]
    before = node.state()
    Programs(node.programs).install(edition)
    done = inlet.run("upgrade", "--data", node.data, timeout_s=90)
    assert done.returncode == 0, done.stderr
    after = node.state()
    assert after["version"].encode() == edition and after["pid"] == before["pid"]
    assert not set(after["children"].values()) & set(before["children"].values())


if not IMAGE:  # An image is replaced as a whole: by the rolling restart above.
    def test_a_rolling_upgrade_in_place_and_back_costs_no_request(three_of_editions):
        three = three_of_editions
        load = three.load(rate(three))
        three.wait_traffic(*three.nodes)
        for edition in (NEW, OLD):
            for number in three.nodes:
                upgrade(three, number, edition)
                three.wait_traffic(number)
        three.wait_up()
        nobody_noticed(load.end(), "rolling upgrade in place of all three, and back")


def test_scaling_out_and_in_costs_no_request(three):
    load = three.load(rate(three))
    three.wait_traffic(1, 2, 3)
    three.add(4)
    three.add(5)
    three.wait_up()
    three.wait_traffic(4, 5)
    for number in (4, 1, 5):
        three.retire(number)
    three.wait_up()
    three.wait_traffic(2, 3)
    nobody_noticed(load.end(), "3 to 5 to 2 nodes")


def test_a_node_terminated_with_its_hook_leaves_nothing_behind(here, three):
    """The balancer lets go of it, then inlet-drain.sh ends it; its disk goes with it."""
    load = three.load(rate(three))
    three.wait_traffic(1, 2, 3)
    (here / "instance").mkdir()
    with stand_in_instance.metadata() as services:
        instance = stand_in_instance.Instance(here / "instance", services).unpack()
        instance.stand_in(instance.directory / "bin/docker", three.nodes[2].docker())
        drain = stand_in_instance.Drain(instance)
        try:
            node = three.leave(2)
            services.state = "Terminated"
            drain.wait_for("aws autoscaling complete-lifecycle-action", 60)
        finally:
            drain.stop()
    assert instance.calls("docker exec") and not instance.calls("aws ec2 create-snapshot")
    assert node.wait(5) == 0
    node.process = None
    shutil.rmtree(node.data)
    three.wait_traffic(1, 3)
    nobody_noticed(load.end(), "termination with its hook")


def test_a_reload_of_the_balancer_costs_no_request(three):
    load = three.load(rate(three))
    three.wait_traffic(1, 2, 3)
    for _ in range(3):
        before = three.balancer.reload()
        three.wait_traffic(1, 2, 3)
        assert before.wait(70) == 0
    nobody_noticed(load.end(), "three reloads of the balancer")


def test_a_killed_balancer_costs_no_record(three):
    load = three.load(rate(three), "--retry")
    three.wait_traffic(1, 2, 3)
    three.balancer.kill()
    three.balancer.start()
    three.wait_up()
    three.wait_traffic(1, 2, 3)
    nothing_lost(load.end(), "killed balancer")


def test_a_killed_node_costs_no_record(three):
    load = three.load(rate(three), "--retry")
    three.wait_traffic(1, 2, 3)
    node = three.nodes[3]
    node.deaths_expected = True
    node.kill()
    three.wait_up(three.hosts() - {node.host})
    three.wait_traffic(1, 2)
    node.start()  # Its disk comes back with it: what it had acknowledged is delivered now.
    three.wait_up()
    three.wait_traffic(3)
    nothing_lost(load.end(), "killed node")


def test_a_killed_node_whose_disk_another_adopts_costs_no_record(three):
    three.add(4, batch_age="1m")  # It holds all it takes.
    three.wait_up()
    load = three.load(rate(three), "--retry")
    three.wait_traffic(1, 2, 3, 4, records=200)
    node = three.nodes[4]
    node.deaths_expected = True
    node.kill()
    three.leave(4)
    held = len(node.records())
    heir = three.nodes[1]
    done = inlet.run("adopt", node.data, "--config", heir.config, "--data", heir.data,
                     timeout_s=90)
    assert done.returncode == 0, done.stderr
    assert held >= 200 and (node.data / "ADOPTED").exists()
    shutil.rmtree(node.data)
    three.wait_traffic(1, 2, 3)
    nothing_lost(load.end(), f"killed node of which another adopted {held} records")


def test_a_failure_would_be_seen(three):
    """The measure itself: nodes that stop without a drain cost requests, and the load says so."""
    for node in three.nodes.values():
        node.deaths_expected = True
    load = three.load(rate(three))
    three.wait_traffic(1, 2, 3)
    for node in three.nodes.values():
        node.kill()
    wait_until(lambda: three.balancer.up() == set(), "the balancer has nobody left", 30)
    for node in three.nodes.values():
        node.start()
    three.wait_up()
    three.wait_traffic(1)
    load.end()
    assert load.failures() != {} and load.proof["missing"] == 0


# ---- The files.

def compose():
    """Without x-…: pieces for use inside the file, which the model of the specification does not
    know."""
    content = yaml.safe_load((HERE / "compose.yaml").read_text())
    return {key: value for key, value in content.items() if not key.startswith("x-")}


def test_the_compose_file_is_valid():
    compose_pydantic.ComposeSpecification.model_validate(compose())
    services = compose()["services"]
    assert {"balancer", "inlet", "lake", "bus", "prometheus", "grafana"} <= set(services)
    assert services["inlet"]["deploy"]["replicas"] == 3
    for name in ("balancer", "inlet", "prometheus", "grafana"):
        assert services[name]["read_only"] is True and services[name]["cap_drop"] == ["ALL"]
    for service in services.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_every_file_that_the_fleet_mounts_is_there():
    for service in compose()["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (HERE / source).exists(), source


def test_inlet_takes_the_fleets_environment(here):
    environment = compose()["services"]["inlet"]["environment"]
    done = inlet.run("check", "--config", inlet.ROOT / "deploy/image/inlet.toml", "--data",
                     here / "data", environment_more=environment)
    assert done.returncode == 0, done.stderr


def test_the_fleet_is_given_time_to_drain():
    service = compose()["services"]["inlet"]
    done = inlet.run("check")
    drain_s = sum(int(re.search(rf'server\.{key} +"(\d+)s"', done.stdout)[1])
                  for key in ("drain_delay", "flush_deadline"))
    assert int(service["stop_grace_period"].rstrip("s")) >= drain_s + 15


def test_haproxy_takes_the_configuration(here):
    """With exactly the variables that the Compose file gives it."""
    given = compose()["services"]["balancer"]["environment"]
    asked = set(re.findall(r"\$\{(\w+)\}", CONFIGURATION.read_text()))
    assert asked == set(given)
    ours = {**given, "FLEET_BIND": "127.0.0.1:8080", "FLEET_STATS": "127.0.0.1:8404",
            "FLEET_SOCKET": str(here / "socket"), "FLEET_STATE": str(here / "state")}
    done = subprocess.run(["haproxy", "-c", "-f", str(CONFIGURATION)], check=False, text=True,
                          capture_output=True, env={**os.environ, **ours})
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_drain_lasts_longer_than_the_balancer_needs_to_see_it():
    inter_s = int(re.search(r"default-server inter (\d+)s", CONFIGURATION.read_text())[1])
    assert 2 * inter_s <= int(Fleet.SETTINGS["server"]["drain_delay"].rstrip("s"))
