"""Goal: with auth = "keys" nobody gets in without a key that is right for the stream, before a byte
of body is read; revoking works while the node runs; a page of a listed origin may send.
Method: keys made by `inlet key`, requests over bare sockets and by curl, files changed under a
running node."""

import base64
import json
import signal
import subprocess
import time

import pytest

import inlet
from wire import Wire, get, post, request, wait_until

REVOKED_S = 5  # What is promised.


def key(node, tenant, *more):
    """A new key of that tenant, and its id."""
    done = inlet.run("key", "new", "--tenant", tenant, "--data", node.data, *more)
    assert done.returncode == 0, done.stderr
    text = done.stdout.strip()
    return text, text.split("_")[1]


@pytest.fixture
def node(make_node):
    return make_node({"server": {"auth": "keys"}})


def bearer(text):
    return f"Authorization: Bearer {text}"


def basic(user, password=""):
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def wait_known(node, text):
    wait_until(lambda: post(node.address, "a", b"x", bearer(text)).status == 200,
               "the key is known", 10, 0.1)


def test_a_key_opens_the_door_wherever_it_stands(node):
    text, _ = key(node, "acme")
    node.start()
    for line in (bearer(text), f"X-Api-Key: {text}", basic(text), basic(text, "ignored"),
                 f"authorization: bearer {text}"):
        answer = post(node.address, "a", b"x", line)
        assert answer.status == 200, (line.split()[0], answer)
    assert {record["tenant"] for record in node.records()} == {"acme"}
    done = subprocess.run(["curl", "-sf", "-u", f"{text}:", "--data-binary", "y",
                           f"{node.url}/ingest/a"], capture_output=True, check=True, timeout=30)
    assert json.loads(done.stdout)["durability"] == "disk"
    paths = [str(path) for path in inlet.objects(node.archive)]
    wait_until(lambda: inlet.objects(node.archive), "something is archived")
    paths = [str(path) for path in inlet.objects(node.archive)]
    assert paths and all("tenant=acme/stream=a/" in path for path in paths)


@pytest.mark.parametrize("lines, said", [
    ([], "this needs an API key"),
    (["Authorization: Bearer nonsense"], "what was sent is not an API key"),
    (["Authorization: Digest a=b"], "what was sent is not an API key"),
    (["Authorization: Basic !!!"], "what was sent is not an API key"),
    (["X-Api-Key: "], "this needs an API key"),
])
def test_without_a_key_the_answer_says_what_is_needed(node, lines, said):
    node.start()
    for path in ("ingest/a", "ingest/NO", "v1/status", "receipts/0"):
        method = "POST" if path.startswith("ingest") else "GET"
        with Wire(node.address) as wire:
            wire.send("\r\n".join([f"{method} /{path} HTTP/1.1", "Host: a", "Content-Length: 0",
                                   *lines, "", ""]).encode())
            answer = wire.read()
        assert answer.status == 401, (path, answer)
        assert said in answer.json()["detail"]
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert node.records() == []
    assert get(node.address, "/healthz").status == 200  # Load balancers have no key.


def test_an_unknown_key_and_a_wrong_secret_are_the_same(node):
    text, name = key(node, "acme")
    node.start()
    other, _ = key(node, "acme")
    inlet.run("key", "revoke", other.split("_")[1], "--data", node.data)
    unknown = post(node.address, "a", b"x", bearer(other))
    mistyped = post(node.address, "a", b"x", bearer(text[:-1] + ("0" if text[-1] != "0" else "1")))
    assert (unknown.status, mistyped.status) == (401, 401)
    assert unknown.json()["detail"] == "the API key is not known"
    assert mistyped.json()["detail"] == "the API key is mistyped"
    assert name not in unknown.text + mistyped.text and text[-12:] not in mistyped.text


def test_a_refused_client_is_told_before_it_sends_its_body(node):
    node.start()
    with Wire(node.address) as wire:
        wire.send(b"POST /ingest/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n"
                  b"Expect: 100-continue\r\n\r\n")
        assert wire.read().status == 401  # And no 100 before it.


def test_a_key_is_good_for_its_streams_alone(node):
    text, _ = key(node, "acme", "--streams", "web.*,app")
    node.start()
    statuses = {stream: post(node.address, stream, b"x", bearer(text)).status
                for stream in ("web.a", "app", "web", "apps", "other")}
    assert statuses == {"web.a": 200, "app": 200, "web": 403, "apps": 403, "other": 403}
    metrics = get(node.admin, "/metrics").text
    assert 'inlet_tenant_refusals_total{tenant="acme",reason="scope"} 3' in metrics


def test_operators_see_when_a_key_was_used(node):
    used, name = key(node, "acme")
    _, unused = key(node, "acme")
    node.start()
    wait_known(node, used)
    post(node.address, "a", b"x", bearer(used))
    keys = {one["id"]: one for one in get(node.admin, "/keys.json").json()["keys"]}
    assert keys[name]["uses"] >= 2 and keys[name]["last_used_at"].startswith("20")
    assert (keys[unused]["uses"], keys[unused]["last_used_at"]) == (0, None)
    assert used not in get(node.admin, "/keys.json").text
    said = node.status()
    assert said["keys"] == {"count": 2, "stale": False, "reason": ""}
    assert {"acme"} <= {tenant["name"] for tenant in said["tenants"]}


def test_keys_come_and_go_while_the_node_runs(node):
    first, name = key(node, "acme")
    node.start()
    wait_known(node, first)
    second, _ = key(node, "acme")
    wait_known(node, second)
    with Wire(node.address) as wire:  # An open connection is no way round it.
        wire.send(request("a", b"x", bearer(first)))
        assert wire.read().status == 200
        done = inlet.run("key", "revoke", name, "--data", node.data)
        assert done.returncode == 0, done.stderr
        revoked = time.monotonic()

        def refused():
            wire.send(request("a", b"x", bearer(first)))
            return wire.read().status == 401
        wait_until(refused, "the key is revoked", 2 * REVOKED_S, 0.05)
        assert time.monotonic() - revoked < REVOKED_S
    assert post(node.address, "a", b"x", bearer(second)).status == 200


def test_sighup_has_the_keys_read_at_once_and_nothing_restarts(node):
    node.start()
    serve = node.child("serve")
    text, _ = key(node, "acme")
    node.signal(signal.SIGHUP)
    wait_known(node, text)
    assert node.child("serve") == serve


def test_a_key_ends_when_it_said_it_would(node):
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
    text, _ = key(node, "acme", "--expires", soon)
    node.start()
    wait_known(node, text)
    wait_until(lambda: post(node.address, "a", b"x", bearer(text)).status == 401,
               "the key has expired", 15, 0.1)
    assert "expired" in post(node.address, "a", b"x", bearer(text)).json()["detail"]


def test_a_file_of_keys_that_is_spoilt_locks_nobody_out(node):
    text, _ = key(node, "acme")
    node.start()
    wait_known(node, text)
    path = node.data / "keys"
    good = path.read_bytes()
    path.write_text("nonsense\n")
    wait_until(lambda: "inlet_keys_stale 1" in get(node.admin, "/metrics").text,
               "the metrics say so", 10, 0.1)
    assert post(node.address, "a", b"x", bearer(text)).status == 200
    path.unlink()
    assert post(node.address, "a", b"x", bearer(text)).status == 200
    path.write_bytes(good)
    wait_until(lambda: "inlet_keys_stale 0" in get(node.admin, "/metrics").text,
               "the metrics say so", 10, 0.1)


def test_who_keeps_failing_is_told_to_wait_and_a_good_key_never_is(node):
    text, _ = key(node, "acme")
    node.start()
    answers = [post(node.address, "a", b"x", bearer("ik_wrong")) for _ in range(60)]
    statuses = [answer.status for answer in answers]
    assert statuses[:20] == [401] * 20 and 429 in statuses[20:]
    assert all(int(answer.headers["retry-after"]) >= 1
               for answer in answers if answer.status == 429)
    assert post(node.address, "a", b"x", bearer(text)).status == 200


# ---- What a tenant sees of itself.

def ask(node, path, *lines):
    with Wire(node.address) as wire:
        wire.send("\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *lines, "", ""]).encode())
        return wire.read()


def test_a_tenant_sees_its_own_figures_and_nobody_elses(make_node):
    node = make_node({"server": {"auth": "keys"}, "limits": {"requests_per_s": 1000},
                      "tenants.acme": {"bytes_per_s": "1MiB"},
                      "sinks.archive": {"type": "http", "url": "http://127.0.0.1:9/"}})
    acme, _ = key(node, "acme")
    other, _ = key(node, "other-one")
    node.start()
    for _ in range(3):
        assert post(node.address, "a", b"12345", bearer(acme)).status == 200
    assert post(node.address, "NO", b"", bearer(acme)).status == 404
    said = ask(node, "/v1/status", bearer(acme)).json()
    assert said["tenant"] == "acme"
    assert (said["today"]["records"], said["today"]["bytes"]) == (3, 15)
    assert said["today"]["refused_by_reason"]["4xx"] == 1
    assert said["limits"]["requests_per_s"] == 1000
    assert said["limits"]["bytes_per_s"] == 1 << 20
    assert said["last_stored_at"].startswith("20")

    def undelivered():
        found = ask(node, "/v1/status", bearer(acme)).json()["undelivered"]
        return found if found["oldest_s_at_most"] else None
    assert wait_until(undelivered, "the oldest has an age", 15, 0.1)["journal_bytes"] > 15
    nothing = ask(node, "/v1/status", bearer(other)).json()
    assert nothing["tenant"] == "other-one"
    assert nothing["today"]["records"] == 0 and nothing["last_stored_at"] is None
    assert nothing["undelivered"] == {"journal_bytes": 0, "oldest_s_at_most": None}


# ---- Pages.

PAGE = "https://app.example.com"


@pytest.fixture
def page_node(make_node):
    node = make_node({"server": {"auth": "keys"}, "streams.web": {"cors_origins": [PAGE]},
                      "streams.open": {"cors_origins": ["*"]}})
    return node


def preflight(node, stream, origin):
    with Wire(node.address) as wire:
        wire.send("\r\n".join([f"OPTIONS /ingest/{stream} HTTP/1.1", "Host: a",
                               f"Origin: {origin}", "Access-Control-Request-Method: POST",
                               "Access-Control-Request-Headers: authorization,content-type",
                               "", ""]).encode())
        return wire.read()


def test_pages_of_listed_origins_may_ask_and_send(page_node):
    text, _ = key(page_node, "acme")
    page_node.start()
    asked = preflight(page_node, "web", PAGE)
    assert asked.status == 204 and asked.body == b""
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    assert asked.headers["vary"] == "Origin"
    sent = post(page_node.address, "web", b"x", bearer(text), f"Origin: {PAGE}")
    assert sent.status == 200
    assert sent.headers["access-control-allow-origin"] == PAGE
    refused = post(page_node.address, "web", b"x", f"Origin: {PAGE}")
    assert refused.status == 401  # And the page can read why.
    assert refused.headers["access-control-allow-origin"] == PAGE
    anyone = preflight(page_node, "open", "https://elsewhere.example")
    assert (anyone.status, anyone.headers["access-control-allow-origin"]) == (204, "*")


@pytest.mark.parametrize("stream, origin", [
    ("web", "https://evil.example"), ("web", "null"), ("web", "https://app.example.com.evil"),
    ("web", "http://app.example.com"), ("other", PAGE),
])
def test_other_pages_are_not_told_that_they_may(page_node, stream, origin):
    page_node.start()
    asked = preflight(page_node, stream, origin)
    assert asked.status == 403
    assert "access-control-allow-origin" not in asked.headers
    sent = post(page_node.address, stream, b"x", f"Origin: {origin}")
    assert "access-control-allow-origin" not in sent.headers
