"""Goal: deploy/deploy.py makes the calls that bring an image, a version and an environment about,
in that order, and stops where it should.

Method: the program runs against moto (CloudFormation, ECR, S3), with a server in front of it for
what moto does not know of Elastic Beanstalk. docker and podman are stand-ins; their push puts an
image into moto's registry. What arrived is read back with boto3."""

import base64
import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
import zipfile

import pytest
import yaml

import inlet
import moto_server

DEPLOY = inlet.ROOT / "deploy/deploy.py"
NAME = "inlet-prod"
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
WITH_KEYS = ["--email", "ops@example.com", "--certificate", CERTIFICATE, "--keys"]
FIRST = [*WITH_KEYS[:-1], "--anonymous"]
BUCKET = "elasticbeanstalk-eu-west-1-123456789012"
HASHES = "abcdefghjkmn sha256:" + "00" * 32 + " tenant=acme streams=*\n"
WHOLE = "ik_abcdefghjkmn_abcdefghjkmnpqrstuvwxyz234567abcd\n"

ENGINE = """#!{python}
import os, sys, boto3
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    print(name, *words, file=calls)
if words[0] == os.environ.get("ENGINE_FAILS"):
    sys.exit(3)
if words[0] == "login":
    open(os.environ["CALLS"] + ".password", "w").write(sys.stdin.read())
if words[0] == "push":
    repository, tag = words[1].split("/", 1)[1].rsplit(":", 1)
    boto3.client("ecr").put_image(
        repositoryName=repository, imageTag=tag,
        imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
        imageManifest='{{"schemaVersion": 2, "tag": "%s"}}' % tag)
"""


class Beanstalk(http.server.ThreadingHTTPServer):
    """What moto lacks; the rest is passed on to it."""

    def __init__(self, moto):
        super().__init__(("127.0.0.1", 0), BeanstalkAnswers)
        self.moto = moto
        self.actions = []  # In order, each with its parameters.
        self.statuses = ["PROCESSING", "PROCESSED"]
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def result_of(self, action):
        if action == "CreateStorageLocation":
            return f"<S3Bucket>{BUCKET}</S3Bucket>"
        if action == "DescribeApplicationVersions":
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            return f"<ApplicationVersions><member><Status>{status}</Status></member>" \
                   "</ApplicationVersions>"
        if action == "DescribeEvents":
            return "<Events><member><Message>the bundle has no root</Message></member></Events>"
        if action == "DescribeEnvironments":
            return "<Environments><member><EndpointURL>balancer.example</EndpointURL>" \
                   "<Health>Green</Health></member></Environments>"
        if action == "CreateApplicationVersion":
            return ""
        return None


class BeanstalkAnswers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = dict(urllib.parse.parse_qsl(body.decode()))
        action = asked["Action"]
        self.server.actions.append((action, asked))
        result = self.server.result_of(action)
        if result is None:
            passed = urllib.request.Request(self.server.moto.url, body, dict(self.headers))
            answer = urllib.request.urlopen(passed, timeout=20).read()
        else:
            answer = (f"<{action}Response><{action}Result>{result}</{action}Result>"
                      f"</{action}Response>").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Account:
    """An AWS account, the stand-ins, and the program."""

    def __init__(self, directory, moto):
        self.directory, self.moto = directory, moto
        self.calls_file = directory / "calls"
        self.calls_file.touch()
        for name in ("docker", "podman"):
            path = directory / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(ENGINE.format(python=sys.executable))
            path.chmod(0o755)
        urllib.request.urlopen(f"{moto.url}/moto-api/reset", b"", timeout=20).close()
        self.beanstalk = Beanstalk(self.moto)
        self.moto.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={
            "LocationConstraint": moto_server.REGION})

    def close(self):
        self.beanstalk.shutdown()
        self.beanstalk.thread.join()
        self.beanstalk.server_close()

    def run(self, *words, **more):
        environment = {
            "PATH": f"{self.directory}/bin:{os.environ['PATH']}", "CALLS": str(self.calls_file),
            **moto_server.ENVIRONMENT, "AWS_DEFAULT_REGION": moto_server.REGION,
            "AWS_ENDPOINT_URL": self.moto.url, "HOME": str(self.directory),
            "AWS_ENDPOINT_URL_ELASTIC_BEANSTALK": self.beanstalk.url,
            "INLET_DEPLOY_POLL_S": "0.05",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*", **more}
        return subprocess.run([sys.executable, DEPLOY, *map(str, words)], env=environment,
                              check=False, capture_output=True, text=True, timeout=120)

    def up(self, *words, **more):
        done = self.run("up", "--name", NAME, *words, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def calls(self):
        return self.calls_file.read_text().splitlines()

    def stack(self):
        return self.moto.client("cloudformation").describe_stacks(StackName=NAME)["Stacks"][0]

    def parameter(self, name):
        return {p["ParameterKey"]: p["ParameterValue"] for p in self.stack()["Parameters"]}[name]

    def output(self, name):
        return {o["OutputKey"]: o["OutputValue"] for o in self.stack()["Outputs"]}[name]

    def versions(self):
        return [a for name, a in self.beanstalk.actions if name == "CreateApplicationVersion"]

    def bundle(self, version):
        body = self.moto.client("s3").get_object(
            Bucket=version["SourceBundle.S3Bucket"], Key=version["SourceBundle.S3Key"])["Body"]
        return zipfile.ZipFile(io.BytesIO(body.read()))


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    running = moto_server.Moto(tmp_path_factory.mktemp("moto")).start()
    yield running
    running.stop()


@pytest.fixture
def account(tmp_path, moto):
    made = Account(tmp_path, moto)
    yield made
    made.close()


def shown(done, beginning):
    return [line for line in done.stdout.splitlines() if line.startswith(beginning)]


def order(done, *beginnings):
    """That the lines beginning so were shown in this order."""
    lines = done.stdout.splitlines()
    at = -1
    for beginning in beginnings:
        later = [i for i in range(at + 1, len(lines)) if lines[i].startswith(beginning)]
        assert later, f"{beginning} is missing or too early in\n{done.stdout}"
        at = later[0]


EVERYTHING = [
    "aws cloudformation describe-stacks", "aws elasticbeanstalk list-available-solution-stacks",
    "aws cloudformation create-stack", "aws cloudformation describe-stacks",
    "aws ecr get-authorization-token", "docker login", "docker build", "docker push",
    "aws ecr describe-images", "aws elasticbeanstalk create-storage-location",
    "aws s3 put-object", "aws elasticbeanstalk create-application-version",
    "aws elasticbeanstalk describe-application-versions", "aws cloudformation update-stack",
    "aws cloudformation describe-stacks", "aws elasticbeanstalk describe-environments"]


# ---- Without an account.

def dry(*words, **more):
    """A dry run in an environment in which no call could be made: no credentials, no docker."""
    return subprocess.run([sys.executable, "-S", DEPLOY, *map(str, words), "--dry-run"],
                          env={"PATH": "/nowhere:/usr/bin:/bin", **more}, check=False,
                          capture_output=True, text=True, timeout=60)


def test_a_dry_run_shows_every_call_and_needs_nothing():
    done = dry("up", "--name", NAME, *FIRST)
    assert done.returncode == 0, done.stderr
    order(done, *EVERYTHING)
    assert len(done.stdout.splitlines()) == len(EVERYTHING)
    assert shown(done, "aws cloudformation update-stack")[0].count("VersionLabel") == 1


def test_a_dry_run_shows_what_the_flags_change():
    done = dry("up", "--name", NAME, *FIRST, "--engine", "podman", "--variant", "single",
               "--journal-gib", "250", "--vpc", "vpc-1", "--subnets", "subnet-1,subnet-2")
    assert done.returncode == 0, done.stderr
    assert shown(done, "podman push") and not shown(done, "docker")
    created = json.loads(shown(done, "aws cloudformation create-stack")[0].split(" ", 3)[3])
    given = {p["ParameterKey"]: p["ParameterValue"] for p in created["Parameters"]}
    assert given.items() >= {"Variant": "single", "JournalGiB": "250", "VpcId": "vpc-1",
                             "SubnetIds": "subnet-1,subnet-2", "VersionLabel": ""}.items()


@pytest.mark.parametrize("words, says", [
    (["--email", "a@b.c", "--certificate", CERTIFICATE], "--anonymous"),
    (["--anonymous", "--certificate", CERTIFICATE], "--email"),
    (["--anonymous", "--email", "a@b.c"], "--certificate"),
    (FIRST + ["--http-only"], "either"),
    (WITH_KEYS + ["/nowhere/keys"], "/nowhere/keys"),
    (FIRST + ["--keys", "/nowhere/keys"], "either --anonymous or --keys"),
])
def test_what_must_be_said_is_asked_for(words, says):
    done = dry("up", "--name", NAME, *words)
    assert done.returncode == 1 and says in done.stderr
    assert "create-stack" not in done.stdout


def test_every_parameter_that_is_sent_is_one_of_the_stack():
    template = (inlet.ROOT / "deploy/elastic-beanstalk/stack.yml").read_text()
    known = set(yaml.safe_load(template.split("\nConditions:")[0])["Parameters"])
    done = dry("up", "--name", NAME, *FIRST, "--vpc", "v", "--subnets", "s", "--min", "2",
               "--max", "4", "--instance-types", "t", "--journal-gib", "50", "--variant", "compose")
    sent = set(re.findall(r'"ParameterKey": "(\w+)"', done.stdout))
    assert sent == known


# ---- With an account.

def test_the_first_time_everything_is_made_in_order(account):
    done = account.up(*FIRST)
    order(done, *EVERYTHING)
    assert "behind balancer.example, health Green" in done.stderr

    assert account.stack()["StackStatus"] == "UPDATE_COMPLETE"
    assert account.parameter("AlarmEmail") == "ops@example.com"
    assert account.parameter("CertificateArn") == CERTIFICATE
    assert account.parameter("SolutionStack").endswith(" running Docker")
    topics = account.moto.client("sns").list_subscriptions()["Subscriptions"]
    assert [t["Endpoint"] for t in topics] == ["ops@example.com"]

    repository = account.output("ImageRepository")
    label = account.parameter("VersionLabel")
    login, build, push = account.calls()
    assert login == f"docker login --username AWS --password-stdin {repository.split('/')[0]}"
    said = re.fullmatch(f"docker build --platform linux/amd64 --tag {re.escape(repository)}:{label}"
                        r"((?: --build-arg \w+=\S+)+) \.", build)
    made_of = dict(re.findall(r"--build-arg (\w+)=(\S+)", said[1]))
    dockerfile = (inlet.ROOT / "Dockerfile").read_text()
    assert set(made_of) == {"SOURCE_DATE_EPOCH", "VERSION", "REVISION", "CREATED"}
    assert set(made_of) <= set(re.findall(r"^ARG (\w+)=", dockerfile, re.M))
    assert made_of["VERSION"] == inlet.run("--version").stdout.split()[1]
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", made_of["REVISION"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made_of["CREATED"])
    assert push == f"docker push {repository}:{label}"

    digest = account.moto.client("ecr").describe_images(repositoryName=NAME)["imageDetails"][0][
        "imageDigest"]
    version, = account.versions()
    assert version["VersionLabel"] == label and version["ApplicationName"] == NAME
    assert version["Process"] == "true"
    content = account.bundle(version)
    assert f'image: "{repository}@{digest}"' in content.read("docker-compose.yml").decode()
    assert re.fullmatch(r"\d{8}-\d{6}(-[0-9a-f]{12}(-changed)?)?", label)


def test_the_next_time_only_the_version_changes(account):
    account.up(*FIRST, "--journal-gib", "250")
    done = account.up("--anonymous", "--max", "12")
    assert not shown(done, "aws cloudformation create-stack")
    assert not shown(done, "aws elasticbeanstalk list-available")
    first, second = account.versions()
    assert account.parameter("VersionLabel") == second["VersionLabel"]
    assert account.parameter("JournalGiB") == "250" and account.parameter("MaxSize") == "12"
    assert account.parameter("AlarmEmail") == "ops@example.com"
    pinned = {account.bundle(v).read("docker-compose.yml") for v in (first, second)}
    assert len(pinned) == 2


def test_an_older_version_comes_back_without_a_build(account):
    account.up(*FIRST)
    account.calls_file.write_text("")
    done = account.up("--anonymous", "--version", "older")
    assert account.parameter("VersionLabel") == "older"
    assert account.calls() == [] and len(account.versions()) == 1
    assert not shown(done, "aws s3") and not shown(done, "aws ecr")


def test_the_variant_is_remembered(account):
    account.up(*FIRST, "--variant", "single")
    account.up("--anonymous")
    for version in account.versions():
        names = account.bundle(version).namelist()
        assert "Dockerrun.aws.json" in names and "docker-compose.yml" not in names


def test_the_registry_password_is_seen_by_the_engine_alone(account):
    done = account.up(*FIRST)
    password = (account.directory / "calls.password").read_text()
    token = account.moto.client("ecr").get_authorization_token()["authorizationData"][0]
    assert password == base64.b64decode(token["authorizationToken"]).decode().split(":")[1]
    for text in (done.stdout, done.stderr, "\n".join(account.calls())):
        assert password not in text and token["authorizationToken"] not in text
        assert moto_server.KEYS["AWS_SECRET_ACCESS_KEY"] not in text


@pytest.mark.parametrize("step", ["login", "build", "push"])
def test_when_the_engine_fails_nothing_is_deployed(account, step):
    done = account.run("up", "--name", NAME, *FIRST, ENGINE_FAILS=step)
    assert done.returncode == 1 and f"docker {step} ended with 3" in done.stderr
    assert account.versions() == [] and account.parameter("VersionLabel") == ""


def test_a_bundle_that_is_not_taken_is_not_deployed(account):
    account.beanstalk.statuses = ["PROCESSING", "FAILED"]
    done = account.run("up", "--name", NAME, *FIRST)
    assert done.returncode == 1 and "does not take the bundle" in done.stderr
    assert "the bundle has no root" in done.stderr
    assert account.parameter("VersionLabel") == ""


def test_keys_are_there_before_the_first_node_looks_for_them(account):
    path = account.directory / "keys"
    path.write_text(HASHES)
    done = account.up(*WITH_KEYS, path)
    order(done, "aws cloudformation create-stack", "aws s3 put-object",
          "aws cloudformation update-stack")
    stored = account.moto.client("s3").get_object(Bucket=account.output("OperationsBucket"),
                                                  Key="keys")
    assert stored["Body"].read().decode() == HASHES


def test_an_environment_without_keys_is_not_closed_by_an_update(account):
    account.up(*FIRST)
    done = account.run("up", "--name", NAME)
    assert done.returncode == 1 and "has no keys yet" in done.stderr
    assert len(account.versions()) == 1
    path = account.directory / "keys"
    path.write_text(HASHES)
    account.up("--keys", path)
    account.up()
    assert len(account.versions()) == 3


def test_other_keys_are_handed_out_without_a_deployment(account):
    account.up(*FIRST)
    account.calls_file.write_text("")
    path = account.directory / "keys"
    path.write_text(HASHES)
    done = account.run("keys", "--name", NAME, path)
    assert done.returncode == 0, done.stderr
    bucket = account.output("OperationsBucket")
    stored = account.moto.client("s3").get_object(Bucket=bucket, Key="keys")
    assert stored["Body"].read().decode() == HASHES
    assert account.calls() == [] and len(account.versions()) == 1


def test_a_key_itself_is_never_sent(account):
    path = account.directory / "keys"
    path.write_text(HASHES + WHOLE)
    for words in (["keys", "--name", NAME, path], ["up", "--name", NAME, *WITH_KEYS, path]):
        done = account.run(*words)
        assert done.returncode == 1 and "not sent anywhere" in done.stderr
        assert WHOLE.strip() not in done.stdout + done.stderr
    assert account.moto.client("cloudformation").describe_stacks()["Stacks"] == []


def test_keys_for_an_environment_that_is_not_there_are_refused(account):
    path = account.directory / "keys"
    path.write_text(HASHES)
    done = account.run("keys", "--name", "elsewhere", path)
    assert done.returncode == 1 and "there is no stack elsewhere" in done.stderr


def test_what_aws_refuses_is_said_and_ends_it(account):
    done = account.run("up", "--name", "NOT_A_NAME!", *FIRST)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("deploy: ") and account.calls() == []


def test_an_unreachable_aws_is_said_in_one_line(account):
    done = account.run("up", "--name", NAME, *FIRST, AWS_ENDPOINT_URL="http://127.0.0.1:9",
                       AWS_MAX_ATTEMPTS="1")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
