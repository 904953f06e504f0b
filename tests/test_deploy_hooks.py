"""Goal: the scripts of the Elastic Beanstalk bundle do on an instance what they should, and refuse
what would lose data.

Method: the unpacked bundle is run under an empty root directory. Commands that touch the machine or
AWS are stand-ins that write down how they were called; the metadata service is a real HTTP server
that knows version 2 of the protocol only. `inlet drain` in the container is a stand-in that takes
until the test says what it is to print."""

import glob
import json
import os
import pathlib
import subprocess

import pytest

import stand_in_instance
from stand_in_instance import ID, TOPIC, Drain, Instance, bundle
from wire import post, wait_until

KEYS = "abcdefghjkmn sha256:00 tenant=acme streams=*\n"


@pytest.fixture
def services():
    with stand_in_instance.metadata() as running:
        yield running


@pytest.fixture
def instance(tmp_path, services):
    return Instance(tmp_path, services).unpack()


def device(instance):
    (instance.root / "dev/sdf").touch()


# ---- The data volume.

def test_an_empty_volume_is_formatted_and_mounted_before_docker(instance):
    device(instance)
    done = instance.hook("10-volume.sh", BLKID="2")
    assert done.returncode == 0, done.stderr
    assert len(instance.calls("mkfs.xfs")) == 1 and instance.calls("mount ")
    line = instance.text("etc/fstab")
    assert line.startswith("LABEL=inlet /var/lib/inlet xfs ")
    assert "x-systemd.required-by=docker.service" in line


def test_a_volume_with_a_journal_is_mounted_and_never_formatted(instance):
    device(instance)
    for _ in range(2):
        assert instance.hook("10-volume.sh", ON_DISK="xfs").returncode == 0
    assert not instance.calls("mkfs.xfs")
    assert len(instance.text("etc/fstab").splitlines()) == 1


@pytest.mark.parametrize("what", [{"ON_DISK": "ext4"}, {"BLKID": "8"}, {"BLKID": "4"}])
def test_a_volume_that_holds_something_else_is_left_alone(instance, what):
    device(instance)
    done = instance.hook("10-volume.sh", **what)
    assert done.returncode == 1 and "left alone" in done.stderr
    assert not instance.calls("mkfs.xfs") and not instance.calls("mount ")


def test_a_mapped_volume_that_is_missing_fails_the_deployment(instance):
    done = instance.hook("10-volume.sh")
    assert done.returncode == 1 and "did not appear" in done.stderr


def test_without_a_mapped_volume_the_journal_is_on_the_root_volume(instance):
    done = instance.hook("10-volume.sh", MAPPINGS="")
    assert done.returncode == 0 and "root volume" in done.stdout
    assert not instance.calls("mount ")


def test_a_mounted_volume_is_left_as_it_is(instance):
    device(instance)
    assert instance.hook("10-volume.sh", MOUNTED="0").returncode == 0
    assert not instance.calls("blkid") and not instance.calls("mount ")


# ---- Directories and settings of the host.

def test_the_directories_are_private_and_the_node_has_the_instances_name(instance):
    done = instance.hook("20-directories.sh")
    assert done.returncode == 0, done.stderr
    assert (instance.root / "var/lib/inlet").stat().st_mode & 0o777 == 0o700
    assert f'name = "{ID}"' in instance.text("etc/inlet/inlet.toml")
    assert "@" not in instance.text("etc/inlet/inlet.toml")


def test_without_metadata_the_deployment_fails(instance):
    done = instance.hook("20-directories.sh", INLET_METADATA="http://127.0.0.1:9")
    assert done.returncode == 1 and "who this instance is" in done.stderr
    assert not (instance.root / "etc/inlet/inlet.toml").exists()


def test_port_80_needs_no_capability(instance):
    assert instance.hook("25-port.sh").returncode == 0
    assert "ip_unprivileged_port_start = 80" in instance.text("etc/sysctl.d/60-inlet.conf")
    assert instance.calls("sysctl -q -p")


def test_the_single_container_gets_one_metadata_hop_more(instance):
    done = instance.unpack("single").hook("25-metadata-hops.sh")
    assert done.returncode == 0, done.stderr
    assert instance.calls() == [
        f"aws ec2 modify-instance-metadata-options --region eu-west-1 --instance-id {ID} "
        "--http-tokens required --http-put-response-hop-limit 2"]


# ---- What can be switched on.

def test_keys_are_fetched_at_once_and_every_minute(instance):
    done = instance.unpack(switches=["keys"]).hook("30-keys.sh", S3_KEYS=KEYS.strip())
    assert done.returncode == 0, done.stderr
    assert instance.text("var/lib/inlet/keys") == KEYS
    assert (instance.root / "var/lib/inlet/keys").stat().st_mode & 0o777 == 0o600
    assert "OnUnitActiveSec=60\n" in instance.text("etc/systemd/system/inlet-keys.timer")
    assert instance.calls("systemctl enable inlet-keys.timer")


def test_the_last_good_keys_stay_while_s3_is_away(instance):
    instance.unpack(switches=["keys"])
    assert instance.hook("30-keys.sh", S3_KEYS=KEYS.strip()).returncode == 0
    assert instance.hook("30-keys.sh").returncode == 0
    assert instance.text("var/lib/inlet/keys") == KEYS
    assert [p.name for p in (instance.root / "var/lib/inlet").iterdir()] == ["keys"]


def test_a_node_that_never_got_keys_fails_its_deployment(instance):
    done = instance.unpack(switches=["keys"]).hook("30-keys.sh")
    assert done.returncode == 1 and "there are no API keys" in done.stderr
    assert list((instance.root / "var/lib/inlet").iterdir()) == []


def test_unchanged_keys_are_not_written_again(instance):
    instance.unpack(switches=["keys"])
    for _ in range(2):
        assert instance.hook("30-keys.sh", S3_KEYS=KEYS.strip()).returncode == 0
        written = (instance.root / "var/lib/inlet/keys").stat()
    assert instance.hook("30-keys.sh", S3_KEYS=KEYS.strip()).returncode == 0
    assert (instance.root / "var/lib/inlet/keys").stat().st_ino == written.st_ino


def test_the_health_agent_is_pointed_at_our_log_once(instance):
    instance.unpack(switches=["healthd"])
    config = instance.root / "etc/healthd/config.yaml"
    config.parent.mkdir()
    config.write_text("group_id: abc\nappstat_log_path: /elsewhere\n")
    hooks = [p for p in (instance.app / ".platform/hooks").rglob("30-healthd.sh")]
    for _ in range(2):
        for path in sorted(hooks, reverse=True):  # prebuild, postdeploy
            done = subprocess.run([path], cwd=instance.app, env=instance.environment(), check=False,
                                  capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    assert config.read_text() == (
        "group_id: abc\nappstat_log_path: /var/log/nginx/healthd/application.log\n"
        "log_to_file: true\nappstat_unit: sec\nappstat_timestamp_on: completion\n")
    assert instance.calls("systemctl") == ["systemctl restart healthd.service"]
    assert (instance.root / "var/log/nginx/healthd").is_dir()


def test_the_cloudwatch_agent_is_given_inlets_figures(instance):
    done = instance.unpack(switches=["emf"]).hook("40-metrics.sh")
    assert done.returncode == 0, done.stderr
    config = json.loads(instance.text("opt/inlet/cloudwatch-agent.json"))
    collected = config["logs"]["logs_collected"]["files"]["collect_list"][0]
    assert collected["log_group_name"] == "/aws/elasticbeanstalk/inlet-prod/inlet/metrics"
    assert collected["file_path"] == \
        bundle.settings()["switches"]["emf"]["environment"]["INLET_CLOUDWATCH_EMF_FILE"]
    assert instance.calls("amazon-cloudwatch-agent-ctl -a append-config -m ec2 -s -c file:")


def log_patterns(instance, task):
    done = instance.unpack(switches=["log_file"]).hook("30-logs.sh")
    assert done.returncode == 0, done.stderr
    return instance.text(f"opt/elasticbeanstalk/tasks/{task}.d/inlet.conf").splitlines()


def test_rotated_logs_are_archived_and_the_present_ones_are_not(instance):
    place = bundle.settings()["switches"]["log_file"]["environment"]["INLET_LOG_DIRECTORY"]
    present, rotated = f"{place}/*[a-z0-9].log", f"{place}/*Z.log"
    assert log_patterns(instance, "taillogs") == [present]
    assert log_patterns(instance, "publishlogs") == [rotated]
    assert log_patterns(instance, "bundlelogs") == [present, rotated]


def test_the_names_given_to_the_platform_are_those_of_inlets_logs(instance, make_node):
    logs = instance.root / "var/log/inlet"
    node = make_node({"log": {"directory": logs, "access": "all"}})
    node.start()
    assert post(node.address, "web", b"x").status == 200
    node.stop()
    node.start()  # What the first life has left is rotated by the second.
    assert post(node.address, "web", b"x").status == 200
    wait_until((logs / "access.log").exists, "the access log is there")
    made = {str(path) for path in logs.glob("*.log")}

    def matched(task):
        return {path for pattern in log_patterns(instance, task)
                for path in glob.glob(f"{instance.root}{pattern}")}
    present, rotated = matched("taillogs"), matched("publishlogs")
    assert {pathlib.Path(path).name for path in present} == \
        {"run.log", "serve.log", "access.log", "ship-archive.log"}
    assert len(rotated) >= 4 and rotated == made - present
    assert matched("bundlelogs") == made


# ---- The end of an instance.

@pytest.fixture
def drain(instance):
    started = []

    def start(**more):
        started.append(Drain(instance, **more))
        return started[-1]
    yield start
    for one in started:
        one.stop()


COMPLETE = "aws autoscaling complete-lifecycle-action"


def test_termination_goes_on_once_the_journal_is_empty(instance, services, drain):
    running = drain()
    wait_until(lambda: running.process.poll() is None, "it runs")
    services.state = "Terminated"
    running.wait_for("aws autoscaling record-lifecycle-action-heartbeat")
    running.wait_for("docker exec container-1 inlet drain --data /var/lib/inlet --timeout 3600")
    assert not instance.calls("docker stop") and not instance.calls(COMPLETE)
    instance.drained('{"delivered":true,"records_left":0,"sinks":[]}\n')
    running.wait_for(COMPLETE)
    calls = instance.calls()
    stop = calls.index("docker stop --time 90 container-1")
    assert stop < calls.index(instance.calls(COMPLETE)[0])
    assert instance.calls(COMPLETE) == [
        f"{COMPLETE} --lifecycle-hook-name inlet-drain --auto-scaling-group-name "
        f"awseb-e-abc-stack-group --instance-id {ID} --lifecycle-action-result CONTINUE"]
    assert not instance.calls("aws ec2") and not instance.calls("aws sns")


def test_while_the_instance_is_in_service_nothing_is_touched(instance, services, drain):
    drain()
    wait_until(lambda: len(services.asked) >= 3, "it looks three times")
    assert set(services.asked) == {"/latest/meta-data/autoscaling/target-lifecycle-state"}
    assert instance.calls() == []


@pytest.mark.parametrize("printed, said", [
    ('{"delivered":false,"records_left":7,"sinks":[]}\n', "7"), ("", "unknown")])
def test_what_no_sink_took_is_kept_and_told(instance, services, drain, printed, said):
    services.state = "Terminated"
    instance.drained(printed)
    drain(INLET_EMPTY_LIMIT_S="2").wait_for(COMPLETE)
    snapshot = instance.calls("aws ec2 create-snapshot --volume-id vol-1")
    assert len(snapshot) == 1 and f"Key=inlet:undelivered,Value={ID}" in snapshot[0]
    told = instance.calls(f"aws sns publish --topic-arn {TOPIC}")
    assert len(told) == 1 and f"{said} records" in told[0] and "snap-1" in told[0]
    calls = instance.calls()
    order = [next(i for i, c in enumerate(calls) if c.startswith(b)) for b in
             ("docker stop", "aws ec2 create-snapshot", COMPLETE)]
    assert order == sorted(order)


def test_without_a_container_the_volume_is_kept_too(instance, services, drain):
    services.state = "Terminated"
    (instance.directory / "bin/docker").write_text("#!/bin/bash\n")
    drain().wait_for(COMPLETE)
    assert instance.calls("aws ec2 create-snapshot")


def test_a_drain_that_has_begun_is_not_started_over_by_a_deployment(instance, services):
    for state, call in (("InService", "restart"), ("Terminated", "start")):
        services.state = state
        instance.calls_file.write_text("")
        done = instance.hook("50-drain.sh")
        assert done.returncode == 0, done.stderr
        assert instance.calls()[-1] == f"systemctl {call} inlet-drain.service"
    unit = instance.text("etc/systemd/system/inlet-drain.service")
    program = unit.split("ExecStart=")[1].splitlines()[0]
    assert os.access(instance.root / program.lstrip("/"), os.X_OK)
