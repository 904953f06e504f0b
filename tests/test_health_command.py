"""Goal: `inlet health` tells a health check that has neither shell nor curl how a node is.

Method: nodes that are well, draining, full, gone, silent or no node at all, asked by the real
program; what counts is the exit code, and one sentence for whoever looks."""

import contextlib
import signal
import socket
import threading
import time

import pytest

import inlet
from certificates import Authority
from wire import try_get, wait_until


def asked(node, *words):
    return inlet.run("health", "--listen", f"127.0.0.1:{node.port}", "--admin",
                     f"127.0.0.1:{node.admin_port}", *words)


def sentence(done, code):
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    (line,) = done.stderr.splitlines()
    return line.removeprefix("inlet: health: ")


def test_a_node_that_is_well_is_well(node):
    assert asked(node).returncode == 0
    assert asked(node, "--ready").returncode == 0
    assert inlet.run("health", f"{node.url}/readyz").returncode == 0
    done = inlet.run("health", "--listen", f"127.0.0.1:{node.port}", "--admin=")
    assert done.returncode == 0, "without an admin listener the public one is asked"


def test_a_draining_node_is_well_but_not_ready(make_node):
    node = make_node({"server": {"drain_delay": "60s"}}).start()
    node.signal(signal.SIGTERM)
    wait_until(lambda: try_get(node.address, "/readyz") == 503, "it drains")
    assert asked(node).returncode == 0
    assert sentence(asked(node, "--ready"), 1).endswith("answers 503: this node is draining")
    node.signal(signal.SIGTERM)


def test_a_node_that_is_gone_is_not_well(node):
    node.stop()
    assert "connect to" in sentence(asked(node), 1)


@contextlib.contextmanager
def server(behave):
    """Hands its first connection to behave()."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            with contextlib.suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    behave(peer)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/healthz"
        finally:
            thread.join(30)


def drip(peer):
    """A byte now and then, for ever."""
    with contextlib.suppress(OSError):
        while True:
            peer.sendall(b"H")
            time.sleep(0.05)


@pytest.mark.parametrize("behave", [lambda peer: peer.recv(1 << 16) and peer.recv(1), drip])
def test_who_does_not_answer_in_time_is_not_well(behave):
    with server(behave) as url:
        done = inlet.run("health", "--timeout", "300ms", url, timeout_s=20)
        assert "no answer in time" in sentence(done, 1)


@pytest.mark.parametrize("answer", [b"", b"HTTP", b"SSH-2.0-x\r\n", b"HTTP/1.1 503 \x1b[2J\r\n\r\n",
                                    b"x" * 100_000])
def test_only_200_is_well(answer):
    def say(peer):
        peer.recv(1 << 16)
        with contextlib.suppress(OSError):
            peer.sendall(answer)
    with server(say) as url:
        said = sentence(inlet.run("health", url), 1)
        assert said.isprintable()


def test_what_cannot_be_asked_is_a_mistake(here):
    certificate, key = Authority(here).issue("node")
    tls = {"INLET_SERVER_TLS_CERT": str(certificate), "INLET_SERVER_TLS_KEY": str(key)}
    done = inlet.run("health", "--admin=", environment_more=tls)
    assert sentence(done, 2) == "there is no admin listener, and the public one speaks TLS; " \
        "give a URL"
    assert "http://" in sentence(inlet.run("health", "https://127.0.0.1/"), 2)
    assert "--timeout" in sentence(inlet.run("health", "--timeout", "0s"), 2)
    assert "exclude" in sentence(inlet.run("health", "--ready", "http://127.0.0.1/"), 2)
