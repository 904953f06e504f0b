"""What moto cannot be told to do: an S3 that answers as a test says, and the places that give
credentials: instance metadata, the container endpoint, STS."""

import collections
import datetime
import email.utils
import http.server
import json
import threading
import time
import urllib.parse

CANARY = "canary"  # In every secret; no log may have it.

# Everything that may name credentials or endpoints, so that a test has only what it sets.
NOTHING = {name: "" for name in (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
    "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_SERVICE_ENDPOINT")}
NOTHING |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"}

Asked = collections.namedtuple("Asked", "method path headers body")


class Answer:
    def __init__(self, status=200, code=None, headers=(), body=b"", store=False, cut=False):
        self.status, self.headers, self.body = status, dict(headers), body
        self.store = store  # Do what was asked all the same.
        self.cut = cut      # Close the connection instead of answering.
        if code:
            self.body = (f"<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code>"
                         f"<Message>As the test says.</Message></Error>").encode()


class Server:
    """Answers what self.answer(asked) returns, one request at a time, and keeps what was asked."""

    def __init__(self):
        self.lock = threading.RLock()
        self.asked = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def _handler(fake):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, body)
                with fake.lock:
                    fake.asked.append(asked)
                    answer = fake.answer(asked)
                if answer.cut:
                    self.close_connection = True
                    return
                self.send_response_only(answer.status)
                headers = {"Date": email.utils.formatdate(usegmt=True), **answer.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = any
        return Handler


class FakeS3(Server):
    """A bucket for everything under its paths. `judge(asked)` may return an Answer; None: do it."""

    def __init__(self, judge=lambda asked: None):
        super().__init__()
        self.judge = judge
        self.stored = {}  # path -> bytes
        self.puts = collections.Counter()  # path -> how often it was stored.

    def answer(self, asked):
        answer = self.judge(asked)
        if answer is not None and not answer.store:
            return answer
        path = urllib.parse.unquote(asked.path).lstrip("/")
        done = Answer()
        if asked.method == "PUT":
            self.stored[path] = asked.body
            self.puts[path] += 1
        elif asked.method == "DELETE":
            self.stored.pop(path, None)
            done = Answer(204)
        elif path not in self.stored:
            done = Answer(404)
        return answer or done

    def download(self, directory):
        with self.lock:
            stored = dict(self.stored)
        for path, body in stored.items():
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
        return directory


def access_key(asked):
    """Who signed it."""
    return asked.headers["authorization"].split("Credential=")[1].split("/")[0]


def scope(asked):
    """(day, region, service)"""
    return tuple(asked.headers["authorization"].split("Credential=")[1].split("/")[1:4])


class FakeCredentials(Server):
    """Instance metadata, container endpoint and STS. Each time other keys: AKID1, AKID2, …"""

    CONTAINER_TOKEN = f"{CANARY}-container-token"
    IDENTITY_TOKEN = f"{CANARY}.identity.token"

    def __init__(self, lifetime_s=3600):
        super().__init__()
        self.lifetime_s = lifetime_s
        self.given = 0
        self.down = False

    def fresh(self):
        self.given += 1
        expires = datetime.datetime.fromtimestamp(time.time() + self.lifetime_s, datetime.UTC)
        return {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": f"AKID{self.given}",
                "SecretAccessKey": f"{CANARY}-secret-{self.given}",
                "Token": f"{CANARY}-token-{self.given}",
                "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def answer(self, asked):
        if self.down:
            return Answer(503)
        roles = "/latest/meta-data/iam/security-credentials/"
        if (asked.method, asked.path) == ("PUT", "/latest/api/token"):
            assert int(asked.headers["x-aws-ec2-metadata-token-ttl-seconds"]) > 0
            return Answer(body=b"session-of-metadata")
        if asked.path.startswith("/latest/"):
            if asked.headers.get("x-aws-ec2-metadata-token") != "session-of-metadata":
                return Answer(401)
            known = {roles: b"inlet-role",
                     "/latest/meta-data/placement/region": b"ap-southeast-2"}
            if asked.path == roles + "inlet-role":
                return Answer(body=json.dumps(self.fresh()).encode())
            return Answer(body=known[asked.path]) if asked.path in known else Answer(404)
        if asked.path == "/container":
            right = asked.headers.get("authorization") == self.CONTAINER_TOKEN
            return Answer(body=json.dumps(self.fresh()).encode()) if right else Answer(401)
        if asked.method == "POST" and asked.path == "/":
            return self.assume_role(urllib.parse.parse_qs(asked.body.decode()))
        return Answer(404)

    def assume_role(self, form):
        right = (form["Action"] == ["AssumeRoleWithWebIdentity"]
                 and form["WebIdentityToken"] == [self.IDENTITY_TOKEN])
        if not right:
            return Answer(403, "AccessDenied")
        keys = self.fresh()
        inside = "".join(f"<{name}>{keys[key]}</{name}>" for name, key in (
            ("AccessKeyId", "AccessKeyId"), ("SecretAccessKey", "SecretAccessKey"),
            ("SessionToken", "Token"), ("Expiration", "Expiration")))
        return Answer(body=f"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>"
                           f"<Credentials>{inside}</Credentials></AssumeRoleWithWebIdentityResult>"
                           f"</AssumeRoleWithWebIdentityResponse>".encode())
