"""Goal: over TLS the door keeps every promise it makes without, to real clients; it speaks what is
sound and nothing else; certificates change under it and nobody notices.

Method: Python's ssl, curl, openssl s_client and testssl.sh against real nodes with certificates
made on the spot; certificates changed and processes killed under load."""

import contextlib
import hashlib
import json
import os
import random
import re
import signal
import ssl
import subprocess
import threading
import time

import pytest

import conftest
import inlet
from certificates import Authority, SecureWire, client_context, secure_post
from wire import Wire, chunked, post, request, wait_until

SLOW_HANDSHAKES = 300
CHANGES = 6  # Of the certificate under load.
TESTSSL_S = 400

OLD = {ssl.TLSVersion.TLSv1: "-tls1", ssl.TLSVersion.TLSv1_1: "-tls1_1"}


def tls_settings(authority, more=None, **server):
    cert, key = authority.issue("server")
    return {**(more or {}), "server": {**(more or {}).get("server", {}), "tls_cert": str(cert),
                                       "tls_key": str(key), **server}}


@pytest.fixture(scope="module")
def world():
    """A CA, and `inlet serve` with a certificate of it, for all tests that change nothing."""
    with conftest.directory() as path, conftest.nodes(path) as make:
        authority = Authority(path / "ca")
        node = make(tls_settings(authority, conftest.DOOR, max_body="2MiB"), "secure",
                    command="serve").start()
        yield authority, node


@pytest.fixture
def authority(here):
    return Authority(here / "ca")


def s_client(node, *words, stdin=b"", timeout_s=30):
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"localhost:{node.port}", *map(str, words)],
        input=stdin, capture_output=True, timeout=timeout_s, check=False)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def https(node, path="/ingest/tls"):
    return f"https://localhost:{node.port}{path}"


# ---- What is spoken.

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_python_speaks_both_versions(world, version):
    authority, node = world
    with SecureWire(node.address, client_context(authority, version=version)) as wire:
        assert wire.socket.version() == version.name.replace("_", ".")
        assert wire.socket.cipher()[2] >= 128
        for _ in range(3):
            assert wire.post("tls", b"hello").status == 200


def test_curl_sends_with_the_certificate_verified(world):
    authority, node = world
    body = b"from curl"
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--cacert", authority.certificate, "--data-binary",
         "@-", "--write-out", "\n%{http_code} %{ssl_verify_result} %{http_version}", https(node)],
        input=body, capture_output=True, timeout=30, check=True)
    answer, facts = done.stdout.decode().rsplit("\n", 1)
    assert facts == "200 0 1.1"
    assert json.loads(answer)["bytes"] == len(body)


@pytest.mark.parametrize("flag", OLD.values())
def test_old_versions_are_refused(world, flag):
    _, node = world
    code, said = s_client(node, flag, "-cipher", "ALL:@SECLEVEL=0")
    assert code != 0 and "alert protocol version" in said, said


@pytest.mark.parametrize("cipher", [
    "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256", "AES128-SHA",
    "ECDHE-ECDSA-AES128-CCM8", "NULL", "aNULL", "3DES"])
def test_weak_suites_are_refused(world, cipher):
    _, node = world
    code, said = s_client(node, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    # Those this client cannot even offer are no proof, but no harm.
    assert code != 0 and ("handshake failure" in said or "no cipher match" in said
                          or "no ciphers available" in said), said


def test_a_node_may_insist_on_the_newest_version(make_node, authority):
    node = make_node(tls_settings(authority, tls_min_version="1.3"), command="serve").start()
    assert secure_post(node.address, client_context(authority), "tls").status == 200
    with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
        SecureWire(node.address, client_context(authority, version=ssl.TLSVersion.TLSv1_2))


def test_the_protocol_inside_is_agreed_on(world):
    authority, node = world
    context = client_context(authority)
    for offered, chosen in ((["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"),
                            ([], None)):
        context.set_alpn_protocols(offered)
        with SecureWire(node.address, context) as wire:
            assert wire.socket.selected_alpn_protocol() == chosen
            assert wire.post("tls", b"x").status == 200
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        SecureWire(node.address, context)


def test_renegotiation_is_refused(world):
    _, node = world
    reading, writing = os.pipe()
    # Standard input stays open: at its end s_client would leave by itself.
    with subprocess.Popen(["openssl", "s_client", "-connect", f"localhost:{node.port}", "-tls1_2"],
                          stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as asked:
        os.write(writing, b"R\n")
        said = asked.communicate(timeout=30)[0].decode("utf-8", "replace")
        os.close(reading)
        os.close(writing)
    assert "RENEGOTIATING" in said and "no renegotiation" in said, said


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_by_its_ticket(world, version):
    authority, node = world
    context = client_context(authority, version=version)
    with SecureWire(node.address, context) as wire:
        assert wire.post("tls", b"first").status == 200  # The ticket came before the answer.
        assert not wire.socket.session_reused
        session = wire.socket.session
    with SecureWire(node.address, context, session=session) as wire:
        assert wire.socket.session_reused
        assert wire.post("tls", b"again").status == 200


def test_who_speaks_without_tls_is_told(world):
    _, node = world
    answer = post(node.address, "tls", b"plain")
    assert answer.status == 400
    assert "https" in answer.json()["detail"]


# ---- Requests inside.

@pytest.mark.parametrize("size", [0, 1, 16 << 10, 256 << 10, 1 << 20])
def test_bodies_are_stored_as_they_were_sent(make_node, authority, size):
    node = make_node(tls_settings(authority)).start()
    body = random.Random(size).randbytes(size)
    context = client_context(authority)
    assert secure_post(node.address, context, "whole", body).status == 200
    with SecureWire(node.address, context) as wire:
        pieces = [body[at:at + 50_000] for at in range(0, size, 50_000)]
        head = b"POST /ingest/whole HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert wire.send(head + chunked(*pieces)).read().status == 200
    found = {hashlib.sha256(inlet.body_of(e)).hexdigest() for e in node.wait_events(2, "whole")}
    assert found == {hashlib.sha256(body).hexdigest()}


def test_pipelined_requests_are_answered_in_order(world):
    authority, node = world
    with SecureWire(node.address, client_context(authority)) as wire:
        wire.send(b"".join(request("pipe", b"x" * i) for i in range(300)))
        assert [wire.read().json()["bytes"] for _ in range(300)] == list(range(300))


def test_a_request_that_is_cut_is_not_stored(world):
    authority, node = world
    before = node.status()["records_stored"]
    context = client_context(authority)
    whole = request("cut", b"y" * 100_000)
    for keep in (20, 300, 50_000, len(whole) - 1):
        with SecureWire(node.address, context) as wire:
            wire.send(whole[:keep])
            wire.cut()
        with SecureWire(node.address, context) as wire:
            wire.send(whole[:keep])
            wire.socket.settimeout(0.2)
            with contextlib.suppress(OSError):
                wire.socket.unwrap()  # Announced; nobody has to answer that.
    wait_until(lambda: node.status()["connections"] <= 1, "the cut connections are gone")
    assert node.status()["records_stored"] == before
    assert secure_post(node.address, context, "cut", b"whole").status == 200
    assert node.status()["records_stored"] == before + 1


def test_the_end_of_a_connection_is_announced(world):
    authority, node = world
    with SecureWire(node.address, client_context(authority)) as wire:
        assert wire.post("end", b"x", "Connection: close").status == 200
        assert wire.read() is None  # Without close_notify this would raise.


# ---- Slow and many.

def client_hello():
    """The first bytes that a client of this Python would send."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        talk.do_handshake()
    return outgoing.read()


def test_a_handshake_that_comes_in_pieces_succeeds(world):
    authority, node = world
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = client_context(authority).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with Wire(node.address) as wire:
        while True:
            try:
                talk.do_handshake()
                break
            except ssl.SSLWantReadError:
                data = outgoing.read()
                for at in range(0, len(data), 50):
                    wire.send(data[at:at + 50])
                incoming.write(wire.socket.recv(1 << 16))
        talk.write(request("pieces", b"slow but whole"))
        data = outgoing.read()
        for at in range(0, len(data), 20):
            wire.send(data[at:at + 20])
        answer = b""
        while not answer.endswith(b"}\n"):
            try:
                answer += talk.read(1 << 16)
            except ssl.SSLWantReadError:
                incoming.write(wire.socket.recv(1 << 16))
        assert answer.startswith(b"HTTP/1.1 200 ")


def test_handshakes_that_stop_half_way_are_ended_and_keep_nobody_out(world):
    authority, node = world
    hello = client_hello()
    context = client_context(authority)
    half_open = [Wire(node.address) for _ in range(SLOW_HANDSHAKES)]
    for number, wire in enumerate(half_open):
        wire.send(hello[:number % len(hello)])
    assert secure_post(node.address, context, "beside", b"x").status == 200
    # header_timeout is 1 s here; the sockets end in order or with an alert.
    for wire in half_open:
        wire.socket.settimeout(10)
        try:
            while wire.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        wire.close()
    assert secure_post(node.address, context, "beside", b"x").status == 200


# ---- Certificates that change.

def load_arguments(node, authority, *words):
    return (https(node, "/ingest/load"), "--ca-file", authority.certificate, *words)


def test_certificates_change_under_load_without_a_failed_request(make_node, authority, here):
    node = make_node(tls_settings(authority), command="serve").start()
    context = client_context(authority)
    stayed = SecureWire(node.address, context)  # From before the first change.
    assert stayed.post("stay", b"x").status == 200
    report = here / "report.json"
    load = inlet.load(*load_arguments(node, authority, "--connections", 16, "--rate", 1000,
                                      "--duration", "3600s", "--json", report))
    failed, opened, stop = [], [], threading.Event()

    def newcomers():
        while not stop.is_set():
            try:
                opened.append(secure_post(node.address, context, "new", b"x").status)
            except OSError as error:
                failed.append(repr(error))

    threads = [threading.Thread(target=newcomers) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for change in range(CHANGES):
            authority.issue("server")
            if change % 2 == 1:
                node.signal(signal.SIGUSR1)  # At once; else it looks each second.

            def serial():
                with SecureWire(node.address, context) as wire:
                    return wire.serial()

            wait_until(lambda: serial() == authority.issued, "the new certificate is shown")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        load.send_signal(signal.SIGINT)
        text = load.communicate(timeout=60)[0]
    assert failed == [] and len(opened) > 20 and set(opened) == {200}
    assert stayed.serial() < authority.issued and stayed.post("stay", b"x").status == 200
    figures = json.loads(report.read_text())
    assert load.returncode == 0, text
    assert figures_are_clean(text), text
    assert figures


def figures_are_clean(text):
    """Whether `inlet load` reports nothing but 2xx."""
    return (re.search(r"4xx +0\n", text) and re.search(r"5xx +0\n", text)
            and re.search(r"timeouts +0\n", text)
            and re.search(r"lost +0 connections refused, 0 broken, 0 malformed", text))


def test_a_bad_pair_keeps_the_old_one_in_use(make_node, authority):
    node = make_node(tls_settings(authority), command="serve").start()
    context = client_context(authority)
    key = authority.directory / "server.key"
    secret_lines = [line for line in key.read_text().splitlines() if "-----" not in line]
    key.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
    wait_until(lambda: node.log("certificate not changed"), "it says that the key is bad")
    line = node.log("certificate not changed")[0]
    assert line["level"] == "error" and str(key) in line["reason"]
    assert secure_post(node.address, context, "old", b"x").status == 200
    authority.issue("server")
    wait_until(lambda: len(node.log("certificate in use")) == 2, "the next pair is taken")
    assert secure_post(node.address, context, "new", b"x").status == 200
    assert len(node.log("certificate not changed")) == 1
    assert not any(secret in node.errors() for secret in [*secret_lines, "nonsense"])


def test_a_session_of_an_earlier_certificate_is_not_resumed(make_node, authority):
    node = make_node(tls_settings(authority), command="serve").start()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = client_context(authority, version=version)
        with SecureWire(node.address, context) as wire:
            assert wire.post("tls", b"x").status == 200
            session = wire.socket.session
        said = len(node.log("certificate in use"))
        authority.issue("server")
        wait_until(lambda: len(node.log("certificate in use")) > said, "the new one is in use")
        with SecureWire(node.address, context, session=session) as wire:
            assert not wire.socket.session_reused
            assert wire.post("tls", b"x").status == 200


# ---- Mutual TLS.

def is_refused(node, context):
    """By the handshake; in TLS 1.3 the client only sees that when it reads."""
    try:
        answer = secure_post(node.address, context, "mutual", b"x")
    except (ssl.SSLError, ConnectionError) as error:
        return str(error).upper().replace(" ", "_")
    assert answer is None or answer.status != 200
    return ""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("demand", ["required", "optional"])
def test_clients_show_who_they_are(make_node, authority, here, demand, version):
    stranger = Authority(here / "stranger", "stranger")
    node = make_node(tls_settings(authority, tls_client_ca=str(authority.certificate),
                                  tls_client_auth=demand), command="serve").start()
    known = client_context(authority, authority.issue("client"), version)
    unknown = client_context(authority, stranger.issue("client"), version)
    nobody = client_context(authority, None, version)
    before = node.status()["records_stored"]
    assert secure_post(node.address, known, "mutual", b"x").status == 200
    assert "UNKNOWN_CA" in is_refused(node, unknown)
    if demand == "required":
        said = is_refused(node, nobody)
        assert "CERTIFICATE_REQUIRED" in said or "HANDSHAKE_FAILURE" in said
    else:
        assert secure_post(node.address, nobody, "mutual", b"x").status == 200
    expected = before + (1 if demand == "required" else 2)
    assert node.status()["records_stored"] == expected


# ---- Kills and the whole way.

def test_kills_under_tls_lose_nothing_and_repeat_nothing(make_node, authority, here):
    node = make_node(tls_settings(authority))
    node.deaths_expected = True
    node.start()
    acked = here / "acked"
    load = inlet.load(*load_arguments(node, authority, "--rate", 300, "--connections", 16,
                                      "--size", 3000, "--retry", "--timeout", "3s", "--drain",
                                      "30s", "--duration", "3600s", "--acked", acked))
    try:
        for kill in range(5):
            wait_until(lambda size=kill * 20_000: acked.exists() and acked.stat().st_size > size,
                       "requests are acknowledged", 30)
            os.kill(node.child("serve"), signal.SIGKILL)
            time.sleep(0.3)
    finally:
        load.send_signal(signal.SIGINT)
        text = load.communicate(timeout=60)[0]
    print(text)
    code, proof, said = inlet.prove(node.archive, acked)
    assert (code, proof["missing"]) == (0, 0), said
    assert proof["acknowledged"] > 500


# ---- Mistakes.

@pytest.mark.parametrize("settings, said", [
    ({"tls_cert": "cert.pem"}, "server.tls_cert: needs server.tls_key"),
    ({"tls_key": "key.pem"}, "server.tls_key: needs server.tls_cert"),
    ({"tls_cert": "/none/cert.pem", "tls_key": "/none/key.pem"}, "/none/cert.pem"),
    ({"tls_client_auth": "required"}, "server.tls_client_auth: needs"),
    ({"tls_client_auth": "yes"}, "is not none, optional or required"),
    ({"tls_min_version": "1.1"}, "is not 1.2 or 1.3"),
])
def test_mistakes_are_said_at_the_start(make_node, settings, said):
    node = make_node({"server": settings}, command="serve")
    node.spawn()
    assert node.wait() != 0
    assert said in node.errors()
    node.process = None


def test_a_pair_that_does_not_fit_is_said_at_the_start(make_node, authority, here):
    other = Authority(here / "other")
    settings = tls_settings(authority)
    settings["server"]["tls_key"] = str(other.issue("server")[1])
    node = make_node(settings, command="serve")
    node.spawn()
    assert node.wait() != 0
    assert "server.key: is not the key of" in node.errors()
    node.process = None


# ---- As others see it.

def test_testssl_finds_nothing_of_medium_severity_or_above(make_node, authority, here):
    node = make_node(tls_settings(authority), command="serve").start()
    found = here / "testssl.json"
    program = "testssl" if os.access("/usr/bin/testssl", os.X_OK) else "testssl.sh"
    done = subprocess.run(
        [program, "--warnings", "off", "--color", "0", "--quiet", "-n", "none", "--ip",
         "127.0.0.1", "--add-ca", authority.certificate, "--severity", "MEDIUM", "-oJ", found,
         "-p", "-s", "-f", "-S", "-P", "-h", "-U", https(node, "/")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TESTSSL_S, check=False,
        env={**os.environ, "HOME": str(here)})
    assert found.exists(), done.stdout + done.stderr
    result = json.loads(found.read_text())["scanResult"][0]
    assert "Heartbleed" in done.stdout and "TLS 1.3" in done.stdout, done.stdout  # It did look.
    # Its own try of a resumption gives up on a busy machine; ours are further up.
    gave_up = ("sessionresumption_ticket", "WARN")
    findings = [entry for section in result.values() if isinstance(section, list)
                for entry in section if (entry["id"], entry["severity"]) != gave_up]
    assert findings == [], json.dumps(findings, indent=1) + done.stdout
