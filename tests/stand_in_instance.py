"""An instance of Elastic Beanstalk without AWS: the unpacked bundle under an empty root directory,
stand-ins for the commands that touch the machine or AWS, each of which writes down how it was
called, and a metadata service that knows version 2 of the protocol only."""

import contextlib
import http.server
import os
import shutil
import subprocess
import sys
import threading

import inlet
from wire import wait_until

sys.path.insert(0, str(inlet.ROOT / "deploy"))
import bundle  # noqa: E402

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/inlet@sha256:" + "ab" * 32
ID = "i-0123456789abcdef0"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:alarms"

# Stand-ins: each call becomes a line of $CALLS, then the body runs.
STAND_INS = {
    "mountpoint": "exit ${MOUNTED:-1}",
    "blkid": 'echo "$ON_DISK"; exit ${BLKID:-0}',
    "mkfs.xfs": "", "mount": "", "systemctl": "", "sysctl": "",
    "docker": r"""
case $1 in
  ps) echo "$CONTAINERS" ;;
  exec) until [[ -e $DRAINED ]]; do sleep 0.05; done; cat "$DRAINED" ;;
esac""",
    "aws": r"""
case "$1 $2" in
  "autoscaling describe-auto-scaling-instances") echo awseb-e-abc-stack-group ;;
  "ec2 describe-volumes") echo vol-1 ;;
  "ec2 create-snapshot") echo snap-1 ;;
  "s3api get-object") [[ -n ${S3_KEYS:-} ]] || exit 255; printf '%s\n' "$S3_KEYS" >"${@: -1}" ;;
esac""",
}
GET_CONFIG = r"""
case "$1" in
  environment) case $3 in
      ALARM_TOPIC_ARN) echo "$TOPIC" ;; KEYS_BUCKET) echo operations ;;
      EB_ENVIRONMENT_NAME) echo inlet-prod ;; *) exit 1 ;; esac ;;
  optionsettings) echo "${MAPPINGS-/dev/sdf=:100:true:gp3:3000:250}" ;;
esac"""


class Services(http.server.ThreadingHTTPServer):
    """Instance metadata below /latest."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.state = "InService"
        self.asked = []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(http.server.BaseHTTPRequestHandler):
    TOKEN = "token-of-the-test"

    def answer(self, text, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        wanted = self.path == "/latest/api/token" and \
            self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.answer(self.TOKEN if wanted else "", 200 if wanted else 404)

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.headers.get("X-aws-ec2-metadata-token") != self.TOKEN:
            return self.answer("", 401)
        known = {"instance-id": ID, "placement/region": "eu-west-1",
                 "autoscaling/target-lifecycle-state": self.server.state}
        name = self.path.removeprefix("/latest/meta-data/")
        return self.answer(known.get(name, ""), 200 if name in known else 404)

    def log_message(self, *_):
        pass


class Instance:
    """An unpacked bundle, a root directory, and stand-ins in front of the path."""

    def __init__(self, directory, services):
        self.directory, self.services = directory, services
        self.root = directory / "root"
        self.calls_file = directory / "calls"
        self.calls_file.touch()
        self.app = directory / "app"
        for name in ("etc", "dev", "opt/inlet", "var/lib/inlet", "opt/elasticbeanstalk/bin",
                     "opt/aws/amazon-cloudwatch-agent/bin"):
            (self.root / name).mkdir(parents=True)
        for name, body in STAND_INS.items():
            self.stand_in(directory / "bin" / name, body)
        self.stand_in(self.root / "opt/elasticbeanstalk/bin/get-config", GET_CONFIG)
        self.stand_in(self.root / "opt/aws/amazon-cloudwatch-agent/bin/"
                      "amazon-cloudwatch-agent-ctl", "")

    def stand_in(self, path, body):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/bash\necho "{path.name} $*" >>"$CALLS"\n{body}\n')
        path.chmod(0o755)

    def unpack(self, variant="compose", switches=()):
        shutil.rmtree(self.app, ignore_errors=True)
        for name, data in bundle.make(variant, IMAGE, switches).items():
            path = self.app / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o755 if name.endswith(".sh") else 0o644)
        for name in ("instance.sh", "inlet-drain.sh"):
            shutil.copy(self.app / "host" / name, self.root / "opt/inlet" / name)
        return self

    def environment(self, **more):
        return {"PATH": f"{self.directory}/bin:{os.environ['PATH']}", "CALLS": str(self.calls_file),
                "INLET_ROOT": str(self.root), "INLET_METADATA": self.services.url,
                "INLET_CONTAINER_UID": str(os.getuid()), "INLET_DEVICE_WAIT_S": "1",
                "INLET_POLL_S": "1", "TOPIC": TOPIC, "ON_DISK": "", "CONTAINERS": "container-1",
                "DRAINED": str(self.directory / "drained"), **more}

    def drained(self, text):
        """What `inlet drain` prints when it ends, which it does now."""
        fresh = self.directory / "drained.new"
        fresh.write_text(text)
        fresh.rename(self.directory / "drained")

    def hook(self, name, **more):
        """Runs the hook of that name, in whichever folder it is."""
        found = list((self.app / ".platform/hooks").glob(f"*/{name}"))
        assert len(found) == 1, f"{len(found)} hooks are called {name}"
        return subprocess.run([found[0]], cwd=self.app, env=self.environment(**more), check=False,
                              capture_output=True, text=True, timeout=60)

    def calls(self, beginning=""):
        return [line for line in self.calls_file.read_text().splitlines()
                if line.startswith(beginning)]

    def text(self, name):
        return (self.root / name).read_text()


class Drain:
    """The running script; its heartbeats and polls come every second."""

    def __init__(self, instance, **more):
        self.instance = instance
        self.process = subprocess.Popen(
            [instance.root / "opt/inlet/inlet-drain.sh"], start_new_session=True,
            env=instance.environment(INLET_HEARTBEAT_S="1", **more), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait_for(self, call, timeout_s=20):
        wait_until(lambda: self.instance.calls(call), f"a call {call}", timeout_s)

    def stop(self):
        os.killpg(self.process.pid, 15)
        self.process.communicate(timeout=10)


@contextlib.contextmanager
def metadata():
    running = Services()
    try:
        yield running
    finally:
        running.shutdown()
        running.thread.join()
        running.server_close()
