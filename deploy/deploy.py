#!/usr/bin/env python3
"""From a clone to a running environment of Elastic Beanstalk. --dry-run only shows the calls.

  up --name inlet-prod --email ops@example.com --certificate ARN --keys FILE   the first time
  up --name inlet-prod                     the same environment, a new version
  up --name inlet-prod --version LABEL     an older version again
  keys --name inlet-prod FILE              other API keys (the file of `inlet key`, hashes only)

`up` makes the stack for what an image needs (once), builds and pushes the image, bundles it by its
digest, registers the version and lets the stack move the environment to it. Credentials and region
are those of the AWS command line."""

import argparse
import base64
import datetime
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import bundle

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "deploy/image"))
import build  # noqa: E402

TEMPLATE = bundle.HERE / "stack.yml"
POLL_S = float(os.environ.get("INLET_DEPLOY_POLL_S", "10"))
STACK_LIMIT_S, VERSION_LIMIT_S = 5400, 300
EVENTS_MAX = 10
BEYOND_REPAIR = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
KEYS_BYTES_MAX = 4 << 20
PLATFORM = re.compile(r"64bit Amazon Linux 2023 v(\d+)\.(\d+)\.(\d+) running Docker")
WHOLE_KEY = re.compile(r"\bik_[a-z0-9]+_[a-z0-9]+")
# Flags that are parameters of the stack; those not given keep their value from the last time.
PARAMETERS = {"email": "AlarmEmail", "certificate": "CertificateArn", "vpc": "VpcId",
              "subnets": "SubnetIds", "instance_types": "InstanceTypes", "min": "MinSize",
              "max": "MaxSize", "journal_gib": "JournalGiB", "variant": "Variant"}

# What a dry run answers itself: an account in which nothing exists yet.
ACCOUNT, REGION = "111122223333", "eu-central-1"
DIGEST = "sha256:" + "0" * 64


class Failure(Exception):
    """The message is for the person at the keyboard."""


def say(text):
    print(f"deploy: {text}", file=sys.stderr, flush=True)


def show(words):
    print(words, flush=True)


class Aws:
    """Calls by name, each shown before it is made."""

    def __init__(self, dry_run, region):
        self.dry_run = dry_run
        self.clients = {}
        if dry_run:
            self.region = region or os.environ.get("AWS_REGION", REGION)
            return
        try:
            import boto3  # A dry run needs none.
        except ImportError:
            raise Failure("Python's boto3 is missing: apt-get install python3-boto3") from None
        self.session = boto3.session.Session(region_name=region)
        self.region = self.session.region_name
        if not self.region:
            raise Failure("which region? --region or AWS_REGION")

    def __call__(self, service, operation, assumed=None, **parameters):
        """assumed: the answer of a dry run; an exception in it is raised."""
        shown = {k: f"<{len(v)} bytes>" if isinstance(v, bytes) else v
                 for k, v in parameters.items()}
        if "TemplateBody" in shown:
            shown["TemplateBody"] = f"<{TEMPLATE.name}>"
        show(f"aws {service} {operation.replace('_', '-')} {json.dumps(shown)}")
        if self.dry_run:
            return assumed or {}
        import botocore.exceptions
        try:
            if service not in self.clients:
                self.clients[service] = self.session.client(service)
            return getattr(self.clients[service], operation)(**parameters)
        except botocore.exceptions.ClientError as error:
            raise Refused(error.response["Error"]["Code"], str(error)) from None
        except botocore.exceptions.BotoCoreError as error:
            raise Failure(str(error)) from None


class Refused(Failure):
    """AWS said no."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def command(dry_run, *words, secret=None):
    """Runs one, with the secret as its standard input. Shows the words alone."""
    show(" ".join(words))
    if dry_run:
        return
    try:
        done = subprocess.run(words, cwd=ROOT, check=False,
                              input=None if secret is None else secret.encode())
    except OSError as error:
        raise Failure(f"{words[0]}: {error.strerror}") from None
    if done.returncode != 0:
        raise Failure(f"{words[0]} {words[1]} ended with {done.returncode}")


def wait_until(look, what, limit_s):
    """look() until it returns something."""
    deadline = time.monotonic() + limit_s
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not yet after {limit_s} s; it may still come")
        time.sleep(POLL_S)
    return found


# ---- The stack.

def stack_named(aws, name, assumed=None):
    try:
        return aws("cloudformation", "describe_stacks", assumed, StackName=name)["Stacks"][0]
    except (Refused, KeyError) as error:
        if isinstance(error, Refused) and "does not exist" not in str(error):
            raise
        return None


def outputs(stack):
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def assumed_stack(aws, given):
    values = {"ImageRepository": f"{ACCOUNT}.dkr.ecr.{aws.region}.amazonaws.com/{given.name}",
              "LakeBucket": f"{given.name}-lake", "OperationsBucket": f"{given.name}-operations"}
    return {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Outputs": [
        {"OutputKey": key, "OutputValue": value} for key, value in values.items()]}]}


def kept_parameters(stack):
    return {p["ParameterKey"]: p["ParameterValue"] for p in (stack or {}).get("Parameters", [])}


def parameters(given, stack, **decided):
    """Of the stack: what was decided or given, else as it is, else left to its default."""
    values = kept_parameters(stack) | {"EnvironmentName": given.name, **decided}
    for flag, name in PARAMETERS.items():
        if getattr(given, flag) is not None:
            values[name] = str(getattr(given, flag))
    return [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()]


def wait_stack(aws, given):
    def finished():
        stack = stack_named(aws, given.name, assumed_stack(aws, given))
        if stack is None or stack["StackStatus"].endswith("_IN_PROGRESS"):
            return None
        return stack
    stack = wait_until(finished, f"stack {given.name}", STACK_LIMIT_S)
    if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        tell_events(aws, given)
        raise Failure(f"stack {given.name} is {stack['StackStatus']}")
    return stack


def tell_events(aws, given):
    """What went wrong, as the stack and the environment tell it."""
    events = aws("cloudformation", "describe_stack_events", StackName=given.name)
    failed = [e for e in events.get("StackEvents", []) if "FAILED" in e.get("ResourceStatus", "")]
    for event in failed[:EVENTS_MAX]:
        say(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}")
    events = aws("elasticbeanstalk", "describe_events", EnvironmentName=given.name,
                 Severity="WARN", MaxRecords=EVENTS_MAX)
    for event in events.get("Events", []):
        say(event["Message"])


def create_stack(aws, given):
    if not given.email:
        raise Failure("a new environment needs --email: alarms must reach somebody")
    if not given.certificate and not given.http_only:
        raise Failure("a new environment needs --certificate ARN of an ACM certificate; "
                      "--http-only takes data unencrypted, for tries")
    if not given.keys and not given.anonymous:
        raise Failure("a new environment needs --keys FILE, see `inlet key new --help`, or "
                      "--anonymous to take data from anyone")
    aws("cloudformation", "create_stack", StackName=given.name,
        TemplateBody=TEMPLATE.read_text(), Capabilities=["CAPABILITY_IAM"],
        Parameters=parameters(given, None, VersionLabel="", SolutionStack=platform(aws)))
    return wait_stack(aws, given)


def update_stack(aws, given, stack, label):
    try:
        aws("cloudformation", "update_stack", StackName=given.name,
            TemplateBody=TEMPLATE.read_text(), Capabilities=["CAPABILITY_IAM"],
            Parameters=parameters(given, stack, VersionLabel=label))
    except Refused as error:
        if "No updates are to be performed" not in str(error):
            raise
        say("nothing has changed")
    return wait_stack(aws, given)


def platform(aws):
    """The newest Docker platform on Amazon Linux 2023."""
    answer = aws("elasticbeanstalk", "list_available_solution_stacks",
                 {"SolutionStacks": ["64bit Amazon Linux 2023 v4.13.8 running Docker"]})
    found = [m for name in answer["SolutionStacks"] if (m := PLATFORM.fullmatch(name))]
    if not found:
        raise Failure(f"{aws.region} offers no Docker platform on Amazon Linux 2023")
    return max(found, key=lambda m: tuple(map(int, m.groups())))[0]


# ---- Image, bundle, version.

def new_label():
    """When, and of which commit; also the image's tag, which can be given once only."""
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d-%H%M%S")

    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True,
                              text=True).stdout.strip()
    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return f"{when}-{commit}{'-changed' if git('status', '--porcelain') else ''}"
    except (OSError, subprocess.CalledProcessError):
        return when


def push_image(aws, given, repository, label):
    """Builds and pushes; returns the image by its digest."""
    registry, name = repository.split("/", 1)
    assumed = {"authorizationData": [{"authorizationToken": base64.b64encode(b"AWS:-").decode()}]}
    answer = aws("ecr", "get_authorization_token", assumed)
    token = answer["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().split(":", 1)[1]
    command(given.dry_run, given.engine, "login", "--username", "AWS", "--password-stdin",
            registry, secret=password)
    image = f"{repository}:{label}"
    command(given.dry_run, given.engine, "build", "--platform", "linux/amd64", "--tag", image,
            *build.build_arguments(), ".")
    command(given.dry_run, given.engine, "push", image)
    found = aws("ecr", "describe_images", {"imageDetails": [{"imageDigest": DIGEST}]},
                repositoryName=name, imageIds=[{"imageTag": label}])
    return f"{repository}@{found['imageDetails'][0]['imageDigest']}"


def parts(given, variant):
    """The switched parts of the bundle."""
    return bundle.switches_on(variant) - ({"keys"} if given.anonymous else set())


def need_keys(aws, stack):
    found = aws("s3", "list_objects_v2", {"KeyCount": 1}, Prefix="keys",
                Bucket=outputs(stack)["OperationsBucket"])
    if found["KeyCount"] == 0:
        raise Failure("this environment has no keys yet, so nobody could send data: --keys FILE, "
                      "or --anonymous to take it from anyone")


def register(aws, given, image, variant, label):
    """Uploads the bundle and makes it a version of the application."""
    data = io.BytesIO()
    bundle.write(bundle.make(variant, image, parts(given, variant)), data)
    bucket = aws("elasticbeanstalk", "create_storage_location",
                 {"S3Bucket": f"elasticbeanstalk-{aws.region}-{ACCOUNT}"})["S3Bucket"]
    key = f"{given.name}/{label}.zip"
    aws("s3", "put_object", Bucket=bucket, Key=key, Body=data.getvalue())
    aws("elasticbeanstalk", "create_application_version", ApplicationName=given.name,
        VersionLabel=label, Description=image[-200:], Process=True,
        SourceBundle={"S3Bucket": bucket, "S3Key": key})

    def processed():
        answer = aws("elasticbeanstalk", "describe_application_versions",
                     {"ApplicationVersions": [{"Status": "PROCESSED"}]},
                     ApplicationName=given.name, VersionLabels=[label])
        status = answer["ApplicationVersions"][0]["Status"]
        if status == "FAILED":
            tell_events(aws, given)
            raise Failure(f"Elastic Beanstalk does not take the bundle {label}")
        return status if status in ("PROCESSED", "UNPROCESSED") else None
    wait_until(processed, f"version {label}", VERSION_LIMIT_S)


def variant_of(given, stack):
    return given.variant or kept_parameters(stack).get("Variant", "compose")


def tell_environment(aws, given, label):
    assumed = {"Environments": [{"EndpointURL": f"{given.name}.{aws.region}.elb.amazonaws.com",
                                 "Health": "Green"}]}
    answer = aws("elasticbeanstalk", "describe_environments", assumed,
                 EnvironmentNames=[given.name], IncludeDeleted=False)
    for one in answer["Environments"]:
        say(f"{given.name} runs {label} behind {one['EndpointURL']}, health {one['Health']}")


# ---- Verbs.

def up(given):
    if given.anonymous and given.keys:
        raise Failure("either --anonymous or --keys")
    if given.certificate and given.http_only:
        raise Failure("either --certificate or --http-only")
    if given.keys:
        keys_in(given.keys)  # Before anything is made.
    if given.http_only:
        given.certificate = ""
    aws = Aws(given.dry_run, given.region)
    if given.dry_run:
        say("dry run: nothing is called; the answers are those of an account without this stack")
    stack = stack_named(aws, given.name)
    if stack is None:
        stack = create_stack(aws, given)
    elif stack["StackStatus"] in BEYOND_REPAIR:
        raise Failure(f"stack {given.name} is {stack['StackStatus']}: delete it first, "
                      f"aws cloudformation delete-stack --stack-name {given.name}")
    if given.keys:
        send_keys(aws, stack, given.keys)
    elif not given.anonymous and not given.version:
        need_keys(aws, stack)
    label = given.version
    if not label:
        label = new_label()
        image = push_image(aws, given, outputs(stack)["ImageRepository"], label)
        register(aws, given, image, variant_of(given, stack), label)
    stack = update_stack(aws, given, stack, label)
    tell_environment(aws, given, label)
    say(f"data in s3://{outputs(stack)['LakeBucket']}/inlet/")


def keys_in(path):
    data = path.read_bytes()
    if len(data) > KEYS_BYTES_MAX:
        raise Failure(f"{path} is larger than {KEYS_BYTES_MAX} bytes")
    if WHOLE_KEY.search(data.decode("utf-8", "replace")):
        raise Failure(f"{path} holds a key itself, not only hashes: it is not sent anywhere")
    return data


def send_keys(aws, stack, path):
    aws("s3", "put_object", Bucket=outputs(stack)["OperationsBucket"], Key="keys",
        Body=keys_in(path))


def keys(given):
    aws = Aws(given.dry_run, given.region)
    keys_in(given.file)
    stack = stack_named(aws, given.name, assumed_stack(aws, given))
    if stack is None:
        raise Failure(f"there is no stack {given.name} in {aws.region}")
    send_keys(aws, stack, given.file)
    say("every node has them within a minute")


def arguments():
    parser = argparse.ArgumentParser(prog="deploy", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("--name", required=True, help="of the environment and its stack")
    every.add_argument("--region", help="default: that of the AWS command line")
    every.add_argument("--dry-run", action="store_true", help="shows every call, makes none")

    verb = verbs.add_parser("up", parents=[every], help="creates or updates the environment")
    verb.set_defaults(run=up)
    verb.add_argument("--email", help="gets the alarms")
    verb.add_argument("--certificate", metavar="ARN", help="ACM certificate of the listener")
    verb.add_argument("--keys", type=pathlib.Path, metavar="FILE", help="of `inlet key`")
    verb.add_argument("--http-only", action="store_true", help="no TLS, for tries")
    verb.add_argument("--anonymous", action="store_true", help="takes data from anyone")
    verb.add_argument("--version", metavar="LABEL", help="an existing version; builds nothing")
    verb.add_argument("--variant", choices=bundle.VARIANTS, help="default compose")
    verb.add_argument("--engine", choices=("docker", "podman"),
                      default=os.environ.get("INLET_ENGINE", "docker"))
    verb.add_argument("--vpc", metavar="ID", help="default: a network of its own")
    verb.add_argument("--subnets", metavar="ID,ID", help="public, in two zones at least")
    verb.add_argument("--instance-types", metavar="TYPE,TYPE", help="default m7i.large,m6i.large")
    verb.add_argument("--min", type=int, help="nodes, at least 2 (default)")
    verb.add_argument("--max", type=int, help="nodes, default 8")
    verb.add_argument("--journal-gib", type=int, help="data volume of each node, default 100")

    verb = verbs.add_parser("keys", parents=[every], help="hands API keys to the nodes")
    verb.set_defaults(run=keys)
    verb.add_argument("file", type=pathlib.Path, metavar="FILE")
    return parser.parse_args()


def main():
    given = arguments()
    try:
        given.run(given)
    except (Failure, OSError, ValueError) as error:
        sys.exit(f"deploy: {error}")


if __name__ == "__main__":
    main()
