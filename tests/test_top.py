"""Goal: an operator of a fleet sees which node is unwell, in what way and why, within seconds, and
a script can ask the same.

Method: made-up nodes (small HTTP servers whose documents the test writes), one that accepts and
never answers, ports nobody listens on, and real nodes under load, one killed; `inlet top --once`,
`--json`, and the live view on a pseudo-terminal whose screen is read."""

import contextlib
import http.server
import json
import re
import signal
import socket
import ssl
import threading
import time

import pytest

import inlet
from terminal import DOWN, ENTER, ESCAPE, TAB, Terminal
from wire import post, wait_until

SEEN_WITHIN_S = 10  # What is promised to an operator.


def histogram(buckets):
    """As a node writes it; the percentiles beside the buckets are not to be believed."""
    return {"count": sum(buckets.values()), "sum_us": 1000, "p50": 1, "p99": 1,
            "buckets": [[bucket, count] for bucket, count in sorted(buckets.items())]}


def interval(requests=1000, failed=0, latency=None, length_s=10.0):
    return {"length_s": length_s, "requests": requests, "requests_per_s": requests / length_s,
            "2xx": requests - failed, "3xx": 0, "4xx": 0, "5xx": failed,
            "records_per_s": 100.0, "body_bytes_per_s": 102400, "received_bytes_per_s": 204800,
            "commits_per_s": 50.0, "commits_failed": 0, "dead_records": 0,
            "network_in_bytes_per_s": 300000, "network_out_bytes_per_s": 40000,
            "latency_us": histogram(latency or {100: requests}),
            "commit_latency_us": histogram({60: 500})}


def document(name, level="Ok", *causes, sinks=(), minute=None, **more):
    return {"schema": 2, "node": name, "version": "0.1.0", "at": "2026-11-23T10:00:00Z",
            "uptime_s": 3600.5, "health": {"level": level, "causes": [
                {"level": level, "text": text} for text in causes]},
            "admission": "open", "draining": False, "connections": 3, "requests": 5000,
            "records_stored": 4990, "bytes_stored": 5109760, "refused_4xx": 7, "refused_5xx": 3,
            "framing_errors": 1, "memory_bytes": 1048576, "memory_max_bytes": 268435456,
            "last_10s": interval(), "last_minute": minute or interval(6000, length_s=60.0),
            "totals": interval(5000, length_s=3600.5),
            "host": {"cpus": 2, "load": [0.5, 0.4, 0.3],
                     "cpu": {"user": 20, "nice": 0, "system": 10, "idle": 65, "iowait": 5,
                             "steal": 0},
                     "memory_bytes": 8e9, "memory_available_bytes": 6e9,
                     "memory_used_percent": 25, "disk_bytes": 1e11, "disk_free_bytes": 4e10,
                     "disk_used_percent": 60},
            "process": {"cpu_s": 12.5, "resident_bytes": 12e6, "threads": 8, "open_fds": 40,
                        "max_fds": 1024},
            "journal": {"id": "000000000001", "next_sequence": 5000, "undelivered_bytes": 1000000,
                        "capacity_bytes": 96e6, "used_percent": 12.5, "drain_bytes_per_s": 1e6,
                        "fill_bytes_per_s": 1e6, "commits": 4000, "commits_failed": 0,
                        "commit_us_mean": 150, "records_lost": 0, "segments_quarantined": 0,
                        "direct": True, "full_in_s": None},
            "sinks": list(sinks) or [sink("archive")],
            "tenants": [{"name": "default", "records": 4990, "bytes": 5109760, "refused": 7,
                         "undelivered_bytes": 1000000}],
            "keys": None, **more}


def sink(name, lag_s=0.5, error=""):
    return {"name": name, "next_sequence": 4990, "lag_s": lag_s, "lag_records": 10,
            "lag_bytes": 10240, "delivered_records": 4980, "delivered_bytes": 5000000,
            "dead_records": 2, "lost_records": 0, "skipped_records": 0, "retries": 4,
            "last_error": error, "last_error_at": "2026-11-23T09:59:00Z" if error else "",
            "status_age_s": 0.2}


class StandIn:
    """A node that says what the test tells it to: a document, bytes, or a number for a status."""

    def __init__(self, says, tls=None, path="/status.json"):
        self.says, self.asked, self.path = says, 0, path
        stand_in = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                stand_in.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.alive = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def answer(self, request):
        self.asked += 1
        if not self.alive:  # The connection kept from before.
            request.close_connection = True
            return
        status, body = 200, self.says
        if request.path != self.path:
            status, body = 404, b"no"
        elif isinstance(self.says, int):
            status, body = self.says, b"no"
        elif isinstance(self.says, dict):
            body = json.dumps(self.says).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        with contextlib.suppress(OSError):
            request.wfile.write(body)

    def kill(self):
        self.alive = False
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def stand_in():
    made = []

    def make(says, **more):
        made.append(StandIn(says, **more))
        return made[-1]

    yield make
    for node in made:
        if node.alive:
            node.kill()


@pytest.fixture
def mute():
    """The address of one that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def refused():
    return f"127.0.0.1:{inlet.free_port()}"


def once(*words, **more):
    return inlet.run("top", "--once", *words, **more)


def rows(text):
    """Title -> cell of each line of a whole table. Words are left-aligned, figures right."""
    lines = text.splitlines()
    titles = [(m[0].rstrip(" ^v"), m.start(), m.end())
              for m in re.finditer(r"(full in|\S+)( [v^](?= ))?", lines[0])]
    found = []
    for line in lines[1:]:
        # Nothing in a made-up table has a space but durations and byte counts: cut at columns.
        cells, last = {}, 0
        for title, start, end in titles:
            if title in ("node", "status", "cause"):
                after = [s for _, s, _ in titles if s > start]
                stop = start + 9 if title == "status" else (min(after) if after else None)
                cells[title] = line[start:stop].strip()
                last = stop or len(line)
                continue
            cells[title] = line[last:end].strip()
            last = end
        found.append(cells)
    return found


# ---- For scripts.

def test_once_prints_the_fleet_first_and_then_a_line_for_each_node(stand_in):
    a = stand_in(document("node-a"))
    b = stand_in(document("node-b", "Warning", "sink archive is 340 s behind",
                          sinks=[sink("archive", 340), sink("bus", 2)]))
    done = once(a.address, b.address)
    assert (done.returncode, done.stderr) == (0, "")
    fleet, first, second = rows(done.stdout)
    assert (fleet["node"], fleet["status"]) == ("2 nodes", "Warning")
    assert fleet["cause"] == "node-b: sink archive is 340 s behind"
    assert (first["node"], first["status"]) == ("node-b", "Warning")  # The worst first.
    assert (first["lag"], first["cause"]) == ("340 s", "sink archive is 340 s behind")
    assert (second["node"], second["status"], second["cause"]) == ("node-a", "Ok", "")
    assert second["req/s"] == "100" and fleet["req/s"] == "200"
    assert (second["2xx%"], second["5xx%"]) == ("100", "0")
    assert (second["user"], second["idle"], second["iowait"]) == ("20", "65", "5")
    assert (second["mem%"], second["disk%"], second["jrnl%"]) == ("25", "60", "12.5")
    assert (second["in/s"], second["full in"]) == ("300 kB", "-")
    assert "\x1b" not in done.stdout


def test_percentiles_of_the_fleet_are_those_of_all_requests_together(stand_in):
    """990 fast and 10 slow ones on two nodes: no mean of percentiles gives what is right."""
    fast = stand_in(document("fast", last_10s=interval(900, latency={20: 900})))
    slow = stand_in(document("slow", last_10s=interval(100, latency={20: 90, 400: 10})))
    fleet, *nodes = rows(once("--sort", "node", fast.address, slow.address).stdout)
    p99 = {node["node"]: node["p99"] for node in nodes}
    assert p99["fast"] == "21us" and p99["slow"] != "21us"
    assert fleet["p99"] == "21us"  # Exactly 990 of 1000.
    assert fleet["p99.9"] == p99["slow"]
    told = json.loads(inlet.run("top", "--json", fast.address, slow.address).stdout)
    merged = told["fleet"]["interval"]["latency_us"]
    assert merged["buckets"] == [[20, 990], [400, 10]] and merged["count"] == 1000


def test_nodes_without_an_answer_are_named_with_the_reason_and_hold_nothing_up(stand_in, mute):
    well = stand_in(document("node-a"))
    gone = refused()
    wrong = stand_in({"schema": 2, "node": "x"})
    started = time.monotonic()
    done = once(well.address, gone, mute, wrong.address)
    assert done.returncode == 1
    assert time.monotonic() - started < 2 * SEEN_WITHIN_S
    fleet, *nodes = rows(done.stdout)
    by_name = {node["node"]: node for node in nodes}
    assert fleet["status"] == "Severe"
    assert by_name["node-a"]["status"] == "Ok" and by_name["node-a"]["req/s"] == "100"
    assert by_name[gone]["status"] == "No answer"
    assert by_name[gone]["cause"].startswith("no answer: cannot connect")
    assert by_name[mute]["cause"] == "no answer: connected, but nothing came within 2 s"
    assert by_name[wrong.address]["cause"].startswith("no answer: not a status: health is missing")
    assert by_name[mute]["req/s"] == "-"
    for name in (gone, mute, wrong.address):
        assert name in fleet["cause"]


@pytest.mark.parametrize("says, why", [
    (503, "answered 503, not a status"),
    (b"<html>", "not a status: it is not JSON"),
    (b"[]", "not a status: it is not a JSON object"),
    (b"{}", "it has no schema: this is no status of Inlet"),
    (b'{"schema":1,"node":"old"}', "its schema is 1, ours is 2: another version of Inlet"),
    (b"[" * 100000, "not a status: it is not JSON"),
    (b'{"schema":2,' + b" " * (5 << 20) + b"}", "what came is no answer of a node"),
    (document("x", "Fine"), "health.level is not a level"),
    (document("x", connections="3"), "connections is not a number"),
    (document("x", tenants=[3]), "tenants holds no objects"),
    (document("x", last_10s=interval(latency={896: 1})), "buckets is no histogram of ours"),
    (document("x", last_10s=interval(latency={1: 2 ** 63})), "buckets is no histogram of ours"),
], ids=range(12))
def test_a_document_that_is_none_is_refused_with_the_reason(stand_in, says, why):
    done = once(stand_in(says).address)
    assert done.returncode == 1
    assert why in rows(done.stdout)[1]["cause"], done.stdout


def test_what_a_node_says_cannot_move_the_cursor(stand_in):
    evil = "\x1b[2J\x07a\u202e\x9b31m\nb"
    node = stand_in(document(evil, "Severe", evil, sinks=[sink(evil, error=evil)]))
    done = once(node.address)
    assert done.returncode == 1
    assert not re.search(r"[^\x20-\x7e\n]", done.stdout)
    assert len(done.stdout.splitlines()) == 3
    with Terminal("top", node.address, rows=60, columns=120) as terminal:
        terminal.wait_text("?[2J?a?")
        terminal.press(ENTER)
        terminal.wait_text("Tenants")
        assert "1 node" not in terminal.text  # Nothing left of the table, nothing cleared.


def test_json_is_one_document_with_everything_the_nodes_said(stand_in):
    a = stand_in(document("node-a", keys={"count": 2, "stale": False, "reason": ""}))
    gone = refused()
    done = inlet.run("top", "--json", a.address, gone)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["schema"] == 1 and told["window"] == "10s"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["at"])
    fleet = told["fleet"]
    assert (fleet["nodes"], fleet["answering"], fleet["silent"]) == (2, 1, 1)
    assert fleet["level"] == "Severe" and fleet["levels"]["Ok"] == 1
    assert fleet["interval"]["requests_per_s"] == 100 and fleet["gauges"]["disk_percent"] == 60
    answering, silent = told["nodes"]
    assert answering["status"] == a.says and answering["state"] == "answering"
    assert (silent["node"], silent["status"], silent["state"]) == (None, None, "silent")
    assert silent["why"] == "cannot connect" and silent["url"] == f"http://{gone}/status.json"
    minute = json.loads(inlet.run("top", "--json", "--window", "1m", a.address).stdout)
    assert minute["fleet"]["interval"]["requests"] == 6000


def test_exit_codes_tell_well_from_unwell(stand_in):
    well = stand_in(document("a", "Degraded", "journal full in 9 min"))
    severe = stand_in(document("b", "Severe", "the journal is full: records are refused"))
    assert once(well.address).returncode == 0
    assert once(well.address, severe.address).returncode == 1
    assert once(refused()).returncode == 1


@pytest.mark.parametrize("words, sentence", [
    ([], "TARGET is required"),
    (["ftp://a"], "a node's URL begins http:// or https://"),
    (["a:0"], "a:0 has no port from 1 to 65535"),
    (["::1:8081"], "::1:8081 is not an address; IPv6 is written [::1]:8081"),
    (["http://user:secret@a"], "takes no user or password"),
    (["--sort", "lagg", "a"], "--sort lagg is not a column; did you mean lag?"),
    (["--interval", "0", "a"], "--interval"),
    (["--window", "1h", "a"], "--window"),
    (["--ca-file", "/nowhere.pem", "a"], "/nowhere.pem"),
    (["--onse", "a"], "did you mean --once?"),
    (["127.0.0.1:9"], "this is no terminal: say --once or --json"),
])
def test_a_mistake_in_the_command_is_one_sentence(words, sentence):
    done = inlet.run("top", *words)
    assert done.returncode == 2
    assert sentence in done.stderr and done.stderr.startswith("inlet: ")
    assert done.stderr.count("\n") == 1 and "secret" not in done.stderr


def test_a_name_stands_for_its_nodes_and_one_that_is_unknown_is_shown(stand_in):
    node = stand_in(document("node-a"))
    done = once(f"dns:localhost:{node.port}")
    named = {row["node"]: row for row in rows(done.stdout)}
    assert named["node-a"]["status"] == "Ok"
    done = once("dns:no-such-node.invalid", node.address)
    assert done.returncode == 1
    named = {row["node"]: row for row in rows(done.stdout)}
    assert named["node-a"]["status"] == "Ok"
    assert named["dns:no-such-node.invalid"]["cause"].startswith("no answer: the name")


def test_the_same_node_given_twice_is_one_node(stand_in):
    node = stand_in(document("node-a"))
    done = once(node.address, f"http://{node.address}/", f"http://{node.address}/status.json")
    assert [row["node"] for row in rows(done.stdout)] == ["1 node", "node-a"]


def test_nodes_of_the_same_name_are_told_apart_by_their_addresses(stand_in):
    a, b = stand_in(document("node")), stand_in(document("node"))
    names = [row["node"] for row in rows(once(a.address, b.address).stdout)[1:]]
    assert sorted(names) == sorted([f"node@{a.address}", f"node@{b.address}"])


def test_a_url_with_a_path_goes_through_a_proxy_in_front(stand_in):
    node = stand_in(document("behind"), path="/fleet/a/status.json")
    done = once(f"http://{node.address}/fleet/a/")
    assert done.returncode == 0 and "behind" in done.stdout


def test_https_trusts_whom_it_is_told_to_trust(stand_in, here):
    from certificates import Authority
    authority = Authority(here)
    node = stand_in(document("sealed"), tls=authority.issue("node"))
    url = f"https://localhost:{node.port}"
    assert "TLS failed" in once(url).stdout
    done = once("--ca-file", authority.certificate, url)
    assert done.returncode == 0 and "sealed" in done.stdout


def test_proxies_of_the_environment_are_not_asked(stand_in):
    node = stand_in(document("near"))
    away = {"http_proxy": f"http://{refused()}"}
    assert once(node.address, environment_more=away).returncode == 0


# ---- Live.

def watching(*words, **more):
    return Terminal("top", *words, **more)


def test_the_live_table_shows_changes_and_q_leaves_the_terminal_as_it_was(stand_in):
    node = stand_in(document("node-a"))
    with watching(node.address) as terminal:
        terminal.wait(lambda: terminal.line_of("node-a") and "Ok" in terminal.line_of("node-a"),
                      "the node is Ok")
        assert terminal.line_of("1 node")
        assert terminal.looks_of("node-a", "Ok").fg == "green"
        node.says = document("node-a", "Severe", "the journal is full: records are refused")
        terminal.wait_text("the journal is full", SEEN_WITHIN_S)
        assert "Severe" in terminal.line_of("node-a")
        assert terminal.looks_of("node-a", "Severe").fg == "red"
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.screen.cursor.hidden is False


def test_a_node_that_dies_while_watched_is_shown_with_the_reason_within_seconds(stand_in, mute):
    """And comes back; one that never answers delays nothing."""
    a, b = stand_in(document("node-a")), stand_in(document("node-b"))
    with watching(a.address, b.address, mute, rows=24, columns=100) as terminal:
        terminal.wait(lambda: terminal.line_of("node-b"), "both nodes are shown")
        b.kill()
        terminal.wait(lambda: "No answer" in (terminal.line_of("node-b") or ""),
                      "the dead node is shown as such", SEEN_WITHIN_S)
        terminal.wait(lambda: "no answer: cannot c" in terminal.line_of("node-b"), "why")
        look = terminal.looks_of("node-b", "No answer")
        assert look.fg == "red" and (look.reverse or look.bold)
        assert "Ok" in terminal.line_of("node-a")
        asked = a.asked  # The living one is still asked each second.
        terminal.wait(lambda: a.asked >= asked + 3, "the living node is asked", 5)
        terminal.wait(lambda: re.search(r"cannot connect, for \d+ s", terminal.text), "how long")
        assert "No answer" in terminal.line_of("3 nodes") or "Severe" in terminal.line_of("3 nodes")
        terminal.press("q")
        assert terminal.end() == 0


def order(terminal, *names):
    lines = {name: i for i, line in enumerate(terminal.lines) for name in names
             if line.startswith(name)}
    return [name for name, _ in sorted(lines.items(), key=lambda item: item[1])]


def test_keys_sort_by_another_column_and_turn_the_order_round(stand_in):
    nodes = [stand_in(document(name, level, last_10s=interval(requests)))
             for name, level, requests in (("node-a", "Ok", 100), ("node-b", "Warning", 200),
                                           ("node-c", "Info", 300))]
    names = ["node-a", "node-b", "node-c"]
    with watching(*[node.address for node in nodes]) as terminal:
        def shows(*expected):
            terminal.wait(lambda: order(terminal, *names) == list(expected), f"order {expected}")
        shows("node-b", "node-c", "node-a")  # The worst first.
        terminal.press("s")  # To requests a second, the most first.
        shows("node-c", "node-b", "node-a")
        terminal.wait_text("req/sv")
        terminal.press("r")
        shows("node-a", "node-b", "node-c")
        terminal.press("SS")  # Back over the status to the name.
        shows("node-a", "node-b", "node-c")
        terminal.wait_text("node ^")
        terminal.press("r")
        shows("node-c", "node-b", "node-a")
    started_so = watching("--sort", "requests", "--reverse", *[node.address for node in nodes])
    with started_so as terminal:
        terminal.wait(lambda: order(terminal, *names) == names, "sorted from the start")


def test_enter_shows_all_of_one_node_and_escape_goes_back(stand_in):
    error = "connect to bus.example:9092: connection refused"
    a = stand_in(document("node-a"))
    b = stand_in(document("node-b", "Degraded", "sink bus is 31 min behind",
                          "disk 91 % full", sinks=[sink("archive"), sink("bus", 1860, error)]))
    with watching("--sort", "node", a.address, b.address, rows=50, columns=100) as terminal:
        terminal.wait(lambda: terminal.line_of("node-b"), "the nodes are shown")
        terminal.press(DOWN + ENTER)
        terminal.wait_text("Tenants")
        for part in ("node-b  Degraded", f"http://{b.address}/status.json", "disk 91 % full",
                     "sink bus is 31 min behind", "last minute", "31 min", error, "default",
                     "not filling up", "load 0.5 0.4 0.3", "version 0.1.0"):
            assert part in terminal.text, part
        assert "node-a" not in terminal.text
        b.says = document("node-b", "Degraded", "the tide turned")
        terminal.wait_text("the tide turned")
        terminal.press(ESCAPE)
        terminal.wait(lambda: terminal.line_of("2 nodes") and terminal.line_of("node-a"), "all")


def test_a_long_detail_page_scrolls_to_its_end(stand_in):
    tenants = [{"name": f"tenant-{i:02}", "records": i, "bytes": i, "refused": 0,
                "undelivered_bytes": 0} for i in range(40)]
    node = stand_in(document("node-a", tenants=tenants))
    with watching(node.address) as terminal:
        terminal.wait(lambda: terminal.line_of("node-a"), "the node is shown")
        terminal.press(ENTER)
        terminal.wait_text("Esc back")
        terminal.press("G")
        terminal.wait_text("files 40 of 1,024")
        terminal.press("k")
        terminal.wait_gone("files 40 of 1,024")


def test_the_table_follows_the_size_of_the_terminal(stand_in):
    nodes = [stand_in(document(f"node-{i}", "Warning", "sink archive is 340 s behind"))
             for i in range(12)]
    with watching(*[node.address for node in nodes], rows=24, columns=80) as terminal:
        terminal.wait(lambda: terminal.line_of("node-11"), "all nodes are shown")
        assert "sink archive" in terminal.line_of("node-11") and "p99" in terminal.text
        assert "iowait" not in terminal.text
        terminal.resize(24, 260)
        terminal.wait_text("iowait")
        assert all(title in terminal.text for title in ("p99.9", "load1", "full in", "commit"))
        terminal.resize(10, 40)
        terminal.wait_gone("node-9 ")  # No room for all.
        terminal.wait(lambda: terminal.line_of("node-0 ") and "Warning" in
                      terminal.line_of("node-0 "), "names and statuses stay")
        assert "p99" not in terminal.text
        terminal.press("G")  # The last row comes into view.
        terminal.wait(lambda: terminal.line_of("node-9"), "the last node is shown")
        for rows_, columns in ((1, 1), (2, 10), (3, 200), (50, 3), (24, 80)):
            terminal.resize(rows_, columns)
            asked = nodes[0].asked
            terminal.wait(lambda before=asked: nodes[0].asked > before, "it goes on")
        terminal.wait(lambda: terminal.line_of("node-11"), "all nodes are shown again")
        terminal.press("q")
        assert terminal.end() == 0


def test_tab_brings_the_columns_of_one_matter_to_the_front(stand_in):
    node = stand_in(document("node-a"))
    with watching(node.address, columns=100) as terminal:
        terminal.wait(lambda: terminal.line_of("node-a"), "the node is shown")
        assert "3xx%" not in terminal.text
        terminal.press(TAB)
        terminal.wait_text("3xx%")
        terminal.press(TAB)
        terminal.wait_text("p10")
        terminal.press(TAB)
        terminal.wait_text("iowait")
        terminal.press(TAB)
        terminal.wait_text("commit")


def test_p_holds_the_picture_and_w_takes_the_other_window(stand_in):
    node = stand_in(document("node-a", minute=interval(60, length_s=60.0)))
    with watching(node.address) as terminal:
        terminal.wait(lambda: " 100 " in (terminal.line_of("node-a") or ""), "100 a second")
        terminal.press("w")
        terminal.wait(lambda: " 1 " in terminal.line_of("node-a"), "1 a second in the minute")
        terminal.press("p")
        terminal.wait_text("PAUSED")
        node.says = document("node-a", "Warning", "something new")
        asked = node.asked
        terminal.wait(lambda: node.asked > asked + 2, "it is still asked")
        assert "something new" not in terminal.text
        terminal.press("p")
        terminal.wait_text("something new")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order(stand_in, number):
    node = stand_in(document("node-a"))
    with watching(node.address) as terminal:
        terminal.wait(lambda: terminal.line_of("node-a"), "the node is shown")
        terminal.process.send_signal(number)
        assert terminal.end() == 0
        assert terminal.screen.cursor.hidden is False


def test_an_unknown_terminal_is_a_sentence_and_no_color_is_obeyed(stand_in):
    node = stand_in(document("node-a", "Severe", "the disk refused 3 writes"))
    with watching(node.address, environment={"TERM": "no-such-terminal"}) as terminal:
        assert terminal.end() == 2
        assert "say --once or --json" in terminal.text
    with watching(node.address, environment={"NO_COLOR": "1"}) as terminal:
        terminal.wait(lambda: "Severe" in (terminal.line_of("node-a") or ""), "the status")
        assert terminal.looks_of("node-a", "Severe").fg == "default"
    with watching("--once", node.address) as terminal:
        assert terminal.end() == 1
        assert terminal.looks_of("node-a", "Severe").fg == "red"


def test_forty_nodes_half_of_them_mute_are_all_asked_every_second(stand_in, mute):
    """The mute ones are one listener at forty paths."""
    nodes = [stand_in(document(f"node-{i:02}")) for i in range(20)]
    mutes = [f"http://{mute}/{i}" for i in range(20)]
    with watching(*[node.address for node in nodes], *mutes, rows=60, columns=100) as terminal:
        terminal.wait_text("20 Ok")
        before = [node.asked for node in nodes]
        started = time.monotonic()
        wait_until(lambda: terminal.pump(0.1) and all(
            node.asked >= asked + 5 for node, asked in zip(nodes, before)), "5 looks", 15)
        assert time.monotonic() - started < 10
        terminal.wait_text("20 No answer")


# ---- Real nodes.

NAMES = ("node-a", "node-b", "node-c")


@pytest.fixture
def fleet(make_node):
    """Three nodes under load. The sink of the second is dead; that of the third too, and its
    journal is small."""
    dead = {"type": "http", "url": f"http://{refused()}/"}
    soon = {"flush_deadline": "1s"}
    changes = [{}, {"sinks.out": dead, "server": soon, "journal": {"max_bytes": "512MiB"}},
               {"sinks.out": dead, "server": soon, "journal": {"max_bytes": "48MiB"}}]
    nodes = {name: make_node({**change, "node": {"name": name}}, name=name).start()
             for name, change in zip(NAMES, changes)}
    loads = [inlet.load(f"{node.url}/ingest/s", "--rate", 40, "--size", "32KiB", "--connections", 4,
                        "--duration", "300s") for node in nodes.values()]
    yield nodes
    for load in loads:
        load.kill()
        load.wait()


def test_of_three_real_nodes_one_is_killed_one_fills_up_one_has_a_dead_sink(fleet):
    addresses = [f"127.0.0.1:{node.admin_port}" for node in fleet.values()]
    with watching(*addresses, rows=60, columns=160) as terminal:
        terminal.wait(lambda: all(terminal.line_of(name) for name in NAMES), "all are shown", 20)
        terminal.wait(lambda: re.search(r"node-a .* [1-9]\d* ", terminal.text), "the load is seen")
        assert "No answer" not in terminal.text

        # The disk that fills, before it is full: which node, what, and when.
        terminal.wait(lambda: re.search(r"node-c: .*journal (full in|\d+ % full)", terminal.text),
                      "the journal that fills up is announced", 60)
        terminal.wait(lambda: "Severe" in terminal.line_of("node-c")
                      and "the journal is full: records are refused" in terminal.text,
                      "the full journal is Severe", 90)
        terminal.wait(lambda: "failed with 5xx" in terminal.text, "what clients see", SEEN_WITHIN_S)

        # The dead sink: how far behind, and why.
        terminal.wait(lambda: order_of_lag(terminal) > 0, "the lag is shown", 20)
        terminal.press("Sg")  # By name.
        terminal.wait_text("node ^")
        terminal.press(DOWN + ENTER)
        terminal.wait(lambda: re.search(r"^  out +\d+ ", terminal.text, re.M)
                      and re.search(r"^    2\S+Z .*onnect", terminal.text, re.M),
                      "the dead sink, how far behind it is, and why", SEEN_WITHIN_S)
        assert terminal.line_of("node-b  ")
        terminal.press(ESCAPE)
        terminal.wait_text("3 nodes")

        # The node that is killed.
        killed = time.monotonic()
        fleet["node-a"].kill()
        terminal.wait(lambda: "No answer" in (terminal.line_of("node-a") or ""),
                      "the killed node is shown", SEEN_WITHIN_S)
        terminal.wait_text("cannot connect", SEEN_WITHIN_S)
        assert time.monotonic() - killed < SEEN_WITHIN_S
        assert "Severe" in terminal.line_of("node-c")
        terminal.press("q")
        assert terminal.end() == 0
    done = inlet.run("top", "--json", *addresses)
    assert done.returncode == 1
    states = [node["state"] for node in json.loads(done.stdout)["nodes"]]
    assert states == ["silent", "answering", "answering"]


def order_of_lag(terminal):
    """Of node-b, in seconds."""
    found = re.search(r" (\d+) s ", terminal.line_of("node-b") or "")
    return int(found[1]) if found else 0


def test_the_figures_of_a_real_node_are_those_it_was_sent(make_node):
    node = make_node({"node": {"name": "only"}}).start()
    for i in range(40):
        assert post(node.address, "s", b"%d" % i).status == 200
    wait_until(lambda: node.status()["last_minute"]["requests"] >= 40, "they are counted")
    done = inlet.run("top", "--json", "--window", "1m", f"127.0.0.1:{node.admin_port}")
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout)
    assert told["nodes"][0]["node"] == "only" and told["fleet"]["level"] != "Severe"
    assert told["fleet"]["interval"]["2xx"] == 40
    assert told["fleet"]["interval"]["latency_us"]["count"] == 40
    own = told["nodes"][0]["status"]["last_minute"]["latency_us"]
    assert told["fleet"]["interval"]["latency_us"] == own
    for key in ("disk_percent", "memory_percent", "load1", "journal_percent", "sink_lag_s"):
        assert told["fleet"]["gauges"][key] is not None, key
