"""Goal: docs/ELASTIC-BEANSTALK.md can be followed as it is written.

Method: every command of its steps, taken out of the page in order, is run as it stands there but
for what the reader has to fill in: `./dev deploy` and the AWS command line against moto, `inlet`
and curl for real, curl against a node on this machine that has the keys of the page. What no step
runs would fail the test, too."""

import os
import re
import shlex
import subprocess

import pytest

import inlet
import moto_server
from test_deploy_script import CERTIFICATE, Account
from wire import wait_until

PAGE = (inlet.ROOT / "docs/ELASTIC-BEANSTALK.md").read_text(encoding="utf-8")
PROGRAMS = ("aws", "./dev", "inlet", "curl")


def section(beginning, end):
    return PAGE[PAGE.index(beginning):PAGE.index(end)]


def commands(text):
    """In the order of the page: what stands in backticks or in a block, and is a command."""
    found = []
    for block, inline in re.findall(r"```\n(.*?)```|`([^`]+)`", text, flags=re.S):
        lines = block.replace("\\\n", " ").splitlines() or [inline]
        found += [line.split(" #")[0].strip() for line in lines]
    return [line for line in found if line.split(" ")[0] in PROGRAMS and " " in line]


STEPS = commands(section("## Step by step", "\nLater:\n"))
LATER = commands(section("\nLater:\n", "## Why people choose"))


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    running = moto_server.Moto(tmp_path_factory.mktemp("moto")).start()
    yield running
    running.stop()


class Reader:
    """Somebody who follows the page."""

    def __init__(self, account, make_node, directory):
        self.account, self.make_node, self.directory = account, make_node, directory
        self.filled = {"ARN": CERTIFICATE, "ops@example.com": "ops@example.com"}
        self.node = None

    def run(self, words, **more):
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120,
                              cwd=self.directory, **more)
        assert done.returncode == 0, f"{words} {done.stdout} {done.stderr}"
        return done.stdout

    def aws(self, words):
        env = {**os.environ, **moto_server.ENVIRONMENT, "HOME": str(self.directory),
               "AWS_DEFAULT_REGION": moto_server.REGION, "AWS_PAGER": ""}
        url = self.account.beanstalk.url if words[1] == "elasticbeanstalk" else \
            self.account.moto.url
        return self.run([words[0], "--endpoint-url", url, *words[1:]], env=env)

    def deploy(self, words):
        keys = {"./keys": str(self.directory / "keys")}
        done = self.account.run(*[keys.get(word, word) for word in words[2:]])
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def curl(self, words):
        """To a node with the keys of the page that delivers to the bucket of the stack."""
        if not self.node:
            self.node = self.make_node({
                "server": {"auth": "keys", "keys": str(self.directory / "keys")},
                "sinks.lake": {"type": "s3", "prefix": "inlet", "batch_age": "100ms",
                               "bucket": self.filled["LAKE"], "region": moto_server.REGION,
                               "endpoint": self.account.moto.url}}).start(moto_server.KEYS)
        here = f"http://{self.node.address[0]}:{self.node.address[1]}"
        return self.run([word.replace("https://in.example.com", here) for word in words])

    def follow(self, line):
        words = [self.filled.get(word, word) for word in shlex.split(line)]
        words = [re.sub("KEY$|LAKE", lambda m: self.filled[m[0]], word) for word in words]
        if words[0] == "inlet":
            return self.run([inlet.BUILD / "inlet", *words[1:]])
        return {"aws": self.aws, "./dev": self.deploy, "curl": self.curl}[words[0]](words)


@pytest.fixture
def reader(tmp_path, moto, make_node):
    account = Account(tmp_path, moto)
    yield Reader(account, make_node, tmp_path)
    account.close()


def test_the_page_has_the_commands_that_are_followed_here():
    assert len(STEPS) >= 9 and len(LATER) >= 6
    for program in PROGRAMS:
        assert any(line.startswith(program + " ") for line in STEPS), program
    assert [line for line in STEPS + LATER if line.endswith("…")] == []


def test_every_step_can_be_followed(reader):
    for line in STEPS:
        if line.startswith("./dev deploy") and "LakeBucket" not in reader.filled:
            said = reader.follow(line)
            assert "create-stack" in said or "CreateStack" in said, said
            done = reader.deploy(shlex.split(line.replace(" --dry-run", "").replace(
                "ARN", CERTIFICATE)))  # "The same without --dry-run".
            assert reader.account.output("LakeBucket") in done
            reader.filled["LAKE"] = reader.account.output("LakeBucket")
            reader.account.moto.client("cloudwatch").put_metric_alarm(
                AlarmName="awseb-e-try", MetricName="m", Namespace="n", Period=60, Threshold=1,
                EvaluationPeriods=1, Statistic="Sum", ComparisonOperator="GreaterThanThreshold")
            continue
        if line.startswith("aws s3 ls"):
            s3 = reader.account.moto.client("s3")
            wait_until(lambda: s3.list_objects_v2(Bucket=reader.filled["LAKE"])["KeyCount"],
                       "it is in the bucket")
        said = reader.follow(line)
        if line.startswith("aws s3 ls"):
            assert "inlet/" in said
        if line.startswith("inlet key new"):
            reader.filled["KEY"] = said.strip()
            assert (reader.directory / "keys").exists()
        if line.startswith("curl"):
            assert '"id"' in said, said
        if "describe-alarms" in line:
            reader.filled["NAME"] = re.search('"AlarmName": "(awseb-e-[^"]*)"', said)[1]
    alarm = reader.account.moto.client("cloudwatch").describe_alarms()["MetricAlarms"][0]
    assert alarm["StateValue"] == "ALARM"


def test_what_comes_later_can_be_followed_too(reader):
    for line in STEPS:
        if line.startswith("inlet key"):
            reader.follow(line)
    reader.deploy(["./dev", "deploy", "up", "--name", "inlet-prod", "--email", "ops@example.com",
                   "--certificate", CERTIFICATE, "--keys", "./keys"])
    for line in LATER:
        if "--version LABEL" in line:
            version = reader.account.versions()[-1]["VersionLabel"]
            line = line.replace("LABEL", version)
        if "delete-stack" in line:
            try:
                reader.follow(line)
            except AssertionError as error:
                # moto deletes in the order of the template, AWS by need; it knows no EmptyOnDelete.
                assert "calling the DeleteStack operation: The " in str(error)
        else:
            reader.follow(line)
