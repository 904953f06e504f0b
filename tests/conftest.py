"""Fixtures of the black-box tests: directories, nodes, and what must be true when a test ends."""

import contextlib
import os
import pathlib
import shutil
import tempfile

import pytest

import inlet

SHOWN_CHARS = 6000  # Of a node's standard error, after a failure.

# For the tests of answers: strict streams, and clients that are slow are told soon.
DOOR = {
    "server": {"max_body": "256KiB", "header_timeout": "1s", "body_timeout": "2s",
               "idle_timeout": "20s"},
    "streams.doc": {"format": "json"},
    "streams.lines": {"format": "ndjson"},
    "streams.small": {"max_body": "1KiB"},
}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for node in inlet.Node.living:
        if node.size_of("stderr"):
            report.sections.append((f"standard error of {node.directory.name}",
                                    node.errors()[-SHOWN_CHARS:]))


@contextlib.contextmanager
def directory():
    missing = [str(p) for p in (inlet.INLET, inlet.SHIP) if not os.access(p, os.X_OK)]
    assert not missing, f"there is no {missing[0]}: build first; INLET_BUILD says where it is"
    path = pathlib.Path(tempfile.mkdtemp(prefix="inlet-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def nodes(path):
    """Makes nodes; each is stopped in order at the end, and its life is judged."""
    made = []

    def make(changes=None, name=None, **more):
        made.append(inlet.Node(path / (name or f"node-{len(made)}"), changes, **more))
        return made[-1]

    try:
        yield make
    finally:
        wrong = [sentence for node in made for sentence in node.conclude()]
        if wrong:
            said = "".join(f"\n---- standard error of {node.directory.name}\n"
                           f"{node.errors()[-SHOWN_CHARS:]}"
                           for node in made if node.size_of("stderr"))
            pytest.fail("\n".join(wrong) + said, pytrace=False)


@pytest.fixture
def here():
    """An empty directory, gone after the test."""
    with directory() as path:
        yield path


@pytest.fixture
def make_node(here):
    with nodes(here) as make:
        yield make


@pytest.fixture
def node(make_node):
    """A whole node, running."""
    return make_node().start()


@pytest.fixture(scope="module")
def door():
    """`inlet serve` alone, for all tests of a file; nothing takes records out of its journal."""
    with directory() as path, nodes(path) as make:
        yield make(DOOR, "door", command="serve").start()
