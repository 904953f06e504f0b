"""Goal: a secret goes where it is needed and nowhere else.

Method: canaries, texts that occur nowhere else, are put into every field of good and bad requests,
into configuration and environment, and into what a destination answers; processes are killed, and
every command says what it knows. Then each canary is looked for in every file below the node's
directory (its own configuration file apart), in both outputs, in all answers, metrics and pages,
and in the list of processes. What is stored by contract (body, content type, trace id, request id,
idempotency key) is not a secret, nor is what an access log says when it is asked for (path, user
agent)."""

import base64
import contextlib
import gzip
import os
import pathlib
import signal
import subprocess
import uuid

import pytest

import inlet
from receiver import Receiver, Reply
from wire import Wire, get, post, request, try_get, wait_until

LONG = "x" * 9000
COMMANDS = (("check",), ("check", "--json"), ("journal", "ls"), ("journal", "cat"),
            ("journal", "verify"), ("audit",), ("audit", "--json"), ("dead", "ls"))


class Canaries:
    """Makes them, remembers them in every form they are sent in, and looks for them."""

    def __init__(self):
        self.forms = {}  # What to look for -> what it was.
        self.said = {}  # Where -> bytes.

    def make(self, what):
        text = "canary" + uuid.uuid4().hex
        self.forms[text.encode()] = what
        return text

    def basic(self, what):
        """The value of a field with a user and a password in it."""
        pair = f"{self.make(what + ' user')}:{self.make(what + ' password')}"
        packed = base64.b64encode(pair.encode()).decode()
        self.forms[packed.encode()] = what + " packed"
        return "Basic " + packed

    def hear(self, where, data):
        self.said[where] = self.said.get(where, b"") + (
            data if isinstance(data, bytes) else str(data).encode())

    def hear_answer(self, where, answer):
        if answer is not None:
            self.hear(where, f"{answer.status} {answer.headers} ".encode() + answer.body)

    def hear_node(self, node):
        for path in ("/", "/metrics", "/status.json", "/receipts/none"):
            self.hear_answer(f"admin {path}", get(node.admin, path))
        for pid, words in inlet.processes_of(node.directory).items():
            self.hear(f"command line of {pid}", words)

    def hear_commands(self, node, more_environment=None):
        for words in COMMANDS:
            config = ["--config", node.config] if node.config.exists() else []
            done = inlet.run(*words, *config, "--data", node.data, text=False,
                             environment_more=more_environment)
            self.hear("inlet " + " ".join(words), done.stdout + done.stderr)

    def assert_nowhere(self, node, access_log_has=()):
        """access_log_has: what an access log is there to say."""
        for path in node.directory.rglob("*"):
            if path.is_file() and path != node.config:
                data = path.read_bytes()
                self.hear(str(path.relative_to(node.directory)),
                          gzip.decompress(data) if path.suffix == ".gz" else data)
        found = {(what, where) for where, data in self.said.items()
                 for form, what in self.forms.items() if form in data}
        said = {(what, where) for what, where in found
                if what in access_log_has and pathlib.PurePath(where).name.startswith("access")}
        assert {what for what, _ in said} == set(access_log_has)
        assert sorted(f"{what} in {where}" for what, where in found - said) == []


@pytest.fixture
def canaries():
    return Canaries()


def credentials(canaries):
    """Lines with a secret in them, as clients send them by habit or mistake."""
    return [
        "Authorization: Bearer " + canaries.make("bearer"),
        "Authorization: " + canaries.basic("basic"),
        "Authorization: Digest username=u, response=" + canaries.make("digest"),
        "Authorization: AWS4-HMAC-SHA256 Signature=" + canaries.make("signature"),
        "Authorization: " + canaries.make("bare authorization"),
        "Authorization: Bearer ik_000000000000_" + canaries.make("wrong key"),
        "X-Api-Key: " + canaries.make("api key"),
        "Cookie: session=" + canaries.make("cookie"),
        "Proxy-Authorization: " + canaries.basic("proxy"),
        "X-Amz-Security-Token: " + canaries.make("token"),
        "X-Forwarded-For: " + canaries.make("forwarded"),
        "User-Agent: " + canaries.make("agent"),
        "Referer: https://page/?key=" + canaries.make("referer"),
        "X-Anything: " + canaries.make("other field"),
    ]


def requests_with(canaries, line):
    """(name, bytes) of good and bad requests that carry the line."""
    secret = canaries.make("query")
    place = canaries.make("path")
    user = canaries.make("userinfo")
    head = f"Host: test\r\n{line}\r\n"
    return [
        ("good", request("canary", b"x", line)),
        ("good with a query", request(f"canary?key={secret}", b"x", line)),
        ("no such stream", request("No", b"x", line)),
        ("no such path", f"GET /{place}?key={secret} HTTP/1.1\r\n{head}\r\n".encode()),
        ("user in the URL", f"POST http://{user}:{secret}@test/ingest/canary HTTP/1.1\r\n{head}"
                            "Content-Length: 1\r\n\r\nx".encode()),
        ("wrong method", f"DELETE /ingest/canary?key={secret} HTTP/1.1\r\n{head}\r\n".encode()),
        ("no length", f"POST /ingest/canary HTTP/1.1\r\n{head}\r\n".encode()),
        ("too large", f"POST /ingest/canary HTTP/1.1\r\n{head}"
                      "Content-Length: 99999999999\r\n\r\n".encode()),
        ("unknown encoding", request("canary", b"x", line, "Content-Encoding: br")),
        ("unknown expectation", request("canary", b"x", line, "Expect: more")),
        ("no JSON", request("doc", b"{", line)),
        ("a zero behind it", request("canary", b"x", line + "\0")),
        ("a blank in the name", request("canary", b"x", line.replace(":", " :", 1))),
        ("head too large", request("canary", b"x", line, "A: " + LONG, "B: " + LONG)),
        ("cut off", f"POST /ingest/canary HTTP/1.1\r\n{head}".encode()),
        ("body cut off", request("canary", b"x" * 9, line)[:-5]),
        ("expects to be asked", f"POST /ingest/canary HTTP/1.1\r\n{head}Expect: 100-continue\r\n"
                                "Content-Length: 1\r\n\r\n".encode()),
    ]


def send(canaries, address, name, raw):
    with contextlib.suppress(OSError), Wire(address) as wire:
        wire.send(raw)
        if name in ("cut off", "body cut off"):
            wire.end()
        canaries.hear_answer(name, wire.read())


def drive(canaries, node):
    """Everything that can carry a secret, to both ports."""
    for line in credentials(canaries):
        for name, raw in requests_with(canaries, line):
            send(canaries, node.address, name, raw)
        for path in ("/metrics", "/status.json", "/receipts/none", "/none?key="
                     + canaries.make("admin query")):
            send(canaries, node.admin, "admin " + path[:6],
                 f"GET {path} HTTP/1.1\r\nHost: t\r\n{line}\r\n\r\n".encode())


def test_what_clients_send_in_fields_is_nowhere_afterwards(make_node, canaries):
    node = make_node({"log": {"level": "debug"}, "streams.doc": {"format": "json"},
                      "server": {"header_timeout": "1s"}})
    node.deaths_expected = True
    node.start()
    drive(canaries, node)
    assert post(node.address, "canary", b"end").status == 200
    canaries.hear_node(node)
    os.kill(node.child("serve"), signal.SIGKILL)
    wait_until(lambda: try_get(node.address, "/healthz") == 200, "serve is back", 20)
    with Wire(node.address) as open_wire:  # One that never ends its head, cut off by a kill.
        open_wire.send(request("canary", b"x", "Cookie: " + canaries.make("unfinished"))[:-6])
        node.kill()
    canaries.hear_commands(node)
    node.start()
    assert post(node.address, "canary", b"again").status == 200
    canaries.hear_node(node)
    node.stop()
    assert any(b'"status":404' in data for data in canaries.said.values())
    canaries.assert_nowhere(node)


def test_log_files_say_what_an_access_log_says_and_no_more(make_node, canaries, here):
    home = here / "logged"
    node = make_node({"log": {"level": "debug", "access": "all", "max_age": "1s",
                              "directory": str(home / "logs"), "archive": str(home / "archive")},
                      "streams.doc": {"format": "json"}, "server": {"header_timeout": "1s"}},
                     home.name).start()
    drive(canaries, node)
    canaries.hear_node(node)
    node.stop()
    assert list((home / "archive").rglob("access-*.gz"))
    canaries.assert_nowhere(node, access_log_has=("agent", "path"))


def test_a_key_of_ours_is_stored_as_a_digest_only(make_node, canaries):
    node = make_node({"server": {"auth": "keys"}, "log": {"level": "debug"}})
    made = {}
    for tenant in ("acme", "hooli"):
        done = inlet.run("key", "new", "--tenant", tenant, "--data", node.data)
        assert done.returncode == 0, done.stderr
        made[tenant] = done.stdout.strip()
        canaries.forms[made[tenant].encode()] = f"key of {tenant}"
        canaries.forms[made[tenant].rsplit("_", 1)[1].encode()] = f"secret of {tenant}"
        canaries.hear("inlet key new", done.stderr)
    node.start()
    acme, other = made.values()
    packed = base64.b64encode(f"{acme}:".encode()).decode()
    canaries.forms[packed.encode()] = "key of acme packed"
    for line in ("Authorization: Bearer " + acme, "X-Api-Key: " + acme,
                 "Authorization: Basic " + packed):
        assert post(node.address, "canary", b"x", line).status == 200
        for name, raw in requests_with(canaries, line):
            send(canaries, node.address, name, raw)
    mistyped = acme[:-1] + ("2" if acme[-1] != "2" else "3")
    canaries.forms[mistyped.encode()] = "mistyped key"
    for line in ("Authorization: Bearer " + mistyped, "X-Api-Key: " + acme + "x"):
        assert post(node.address, "canary", b"x", line).status == 401
    assert inlet.run("key", "revoke", other[3:15], "--data", node.data).returncode == 0
    wait_until(lambda: post(node.address, "canary", b"x", "X-Api-Key: " + other).status in
               (401, 429), "it is revoked")
    for words in (("ls",), ("ls", "--json"), ("rotate", acme[3:15])):
        done = inlet.run("key", *words, "--data", node.data)
        assert done.returncode == 0, done.stderr
        canaries.hear("inlet key " + words[0], done.stdout + done.stderr)
    done = subprocess.run([inlet.INLET, "key", "check", "--data", node.data], input=acme,
                          capture_output=True, text=True, check=False, env=inlet.environment())
    assert done.returncode == 0, done.stderr
    canaries.hear("inlet key check", done.stdout + done.stderr)
    canaries.hear_node(node)
    node.kill()
    canaries.hear_commands(node)
    canaries.assert_nowhere(node)


def echo(received):
    """The answer of a destination that repeats what it got."""
    told = "".join(f"{name}: {value}\n" for name, value in received.headers.items())
    return Reply(403, body=f"refused:\n{received.path}\n{told}".encode(), store=False)


def sinks(canaries, receiver):
    """Settings and environment of sinks that never deliver; each has every secret it can have."""
    port, dead = receiver.port, inlet.free_port()
    settings = {
        "log": {"level": "debug"}, "server": {"flush_deadline": "1s"},
        "sinks.web": {"type": "http", "url": f"http://127.0.0.1:{port}/web",
                      "bearer": canaries.make("http bearer"),
                      "headers": ["X-Key: " + canaries.make("http header")]},
        "sinks.basic": {"type": "http", "url": f"http://127.0.0.1:{port}/basic",
                        "user": "me", "password": canaries.make("http password")},
        "sinks.lake": {"type": "s3", "bucket": "lake", "region": "eu-west-1",
                       "endpoint": f"http://127.0.0.1:{port}", "batch_age": "100ms"},
        "sinks.feed": {"type": "kafka", "brokers": f"127.0.0.1:{dead}", "topic": "t",
                       "sasl_mechanism": "PLAIN", "user": "me", "timeout": "2s"},
    }
    environment = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
                   "AWS_SECRET_ACCESS_KEY": canaries.make("AWS secret"),
                   "AWS_SESSION_TOKEN": canaries.make("AWS token"),
                   "INLET_SINKS_FEED_PASSWORD": canaries.make("kafka password")}
    packed = base64.b64encode(f"me:{settings['sinks.basic']['password']}".encode())
    canaries.forms[packed] = "http password packed"
    return settings, environment


def test_credentials_of_sinks_are_nowhere_but_on_their_way(make_node, canaries):
    with Receiver() as receiver:
        receiver.rule = echo
        settings, environment = sinks(canaries, receiver)
        node = make_node(settings)
        node.deaths_expected = True
        node.start(environment)
        for i in range(5):
            assert post(node.address, "canary", b"%d" % i).status == 200
        wait_until(lambda: {r.path[1:4] for r in receiver.requests} >= {"web", "bas", "lak"},
                   "every destination was asked", 20)
        sent = "".join(str(r.headers) for r in receiver.requests)
        assert settings["sinks.web"]["bearer"] in sent
        wait_until(lambda: all(node.status()["sinks"][i].get("last_error") for i in range(4)
                               if node.status()["sinks"][i]["name"] != "archive"),
                   "every sink has an error to show", 30)
        canaries.hear_node(node)
        os.kill(node.child("ship-web"), signal.SIGKILL)
        wait_until(lambda: node.log("process ended"), "a shipper died")
        node.kill()
        canaries.hear_commands(node, environment)
        node.start(environment)
        canaries.hear_node(node)
        node.stop()
    canaries.assert_nowhere(node)


MISTAKES = {
    "a bearer that is no text": 'type = "http"\nurl = "http://h/"\nbearer = {}\n',
    "a bearer without its end": 'type = "http"\nurl = "http://h/"\nbearer = "{}\n',
    "a password in a list": 'type = "http"\nurl = "http://h/"\nuser = "u"\npassword = ["{}"]\n',
    "a header without a colon": 'type = "http"\nurl = "http://h/"\nheaders = ["{}"]\n',
    "a header with a line in it": 'type = "http"\nurl = "http://h/"\nheaders = ["A: {}\\nB: c"]\n',
    "a user in the URL": 'type = "http"\nurl = "http://u:{}@h/"\n',
    "a user in a URL of another kind": 'type = "http"\nurl = "ftp://u:{}@h/"\n',
    "a user in an endpoint": 'type = "s3"\nbucket = "b"\nendpoint = "http://u:{}@h"\n',
    "a property that is none": 'type = "kafka"\nbrokers = "h:1"\ntopic = "t"\n'
                               'properties = ["{}"]\n',
    "a bearer and a user": 'type = "http"\nurl = "http://h/"\nuser = "u"\npassword = "p"\n'
                           'bearer = "{}"\n',
    "a password without a mechanism": 'type = "kafka"\nbrokers = "h:1"\ntopic = "t"\nuser = "u"\n'
                                      'password = "{}"\n',
    "a property with a password": 'type = "kafka"\nbrokers = "h:1"\ntopic = "t"\n'
                                  'properties = ["ssl.key.password={}"]\n',
}


@pytest.mark.parametrize("text", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_without_the_secret(here, canaries, text):
    path = here / "inlet.toml"
    path.write_text("[sinks.out]\n" + text.format(canaries.make("secret")))
    for words in (("check",), ("check", "--json"), ("run", "--listen", "127.0.0.1:0")):
        config = ["--config", path, "--data", here / "data"]
        if words[0] == "run" and inlet.run("check", *config).returncode == 0:
            continue  # It would start.
        done = inlet.run(*words, *config)
        canaries.hear(" ".join(words), done.stdout + done.stderr)
        if words == ("check", "--json"):
            assert done.stdout.startswith("{")
    found = [f"{what} said by {where}: {data.decode()}" for where, data in canaries.said.items()
             for form, what in canaries.forms.items() if form in data]
    assert found == []


def test_a_secret_in_the_environment_that_is_wrong_is_not_repeated(here, canaries):
    done = inlet.run("check", "--data", here / "data", environment_more={
        "INLET_SINKS_OUT_TYPE": "http", "INLET_SINKS_OUT_URL": "http://h/",
        "INLET_SINKS_OUT_HEADERS": canaries.make("header"),
        "INLET_SINKS_OUT_BEARER": canaries.make("bearer")})
    assert done.returncode == 2
    for form in canaries.forms:
        assert form.decode() not in done.stdout + done.stderr
