"""Goal: whoever calls a command wrongly is told in one sentence what is wrong and what to do.

Method: the real program with mistakes in flags, environment and configuration; exit codes as
src/main/cli.h lists them: 0 done, 1 a fault of the world, 2 a mistake, 3 records stay behind."""

import json
import re
import signal
import socket
import subprocess

import pytest

import inlet
from wire import post, try_get

COMMANDS = ["run", "serve", "ship", "check", "journal", "dead", "replay", "audit", "receipt", "key",
            "upgrade", "drain", "adopt", "load", "top", "health"]
FINE, FAULT, MISTAKE = 0, 1, 2


def sentence(done, code):
    """The one line it said, without "inlet: "."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("inlet: ") and len(lines[0]) > 15
    assert "terminate" not in lines[0] and "what()" not in lines[0]
    return lines[0].removeprefix("inlet: ")


def mistakes_of(here, text, *words, **environment):
    """What `inlet check` finds in a configuration of that text."""
    path = here / "inlet.toml"
    path.write_text(text)
    done = inlet.run("check", "--config", path, *words, environment_more=environment)
    assert done.returncode == (MISTAKE if done.stderr else FINE)
    return done.stderr.replace(f"{here}/", "").splitlines()


# ---- The command line.

def test_inlet_alone_lists_the_commands():
    done = inlet.run()
    assert done.returncode == MISTAKE
    for command in COMMANDS:
        assert re.search(rf"^  {command}\s+\S", done.stdout, re.M), command
    assert "curl" in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_is_the_list_of_commands(words):
    done = inlet.run(*words)
    assert (done.returncode, done.stderr) == (FINE, "")
    assert "usage: inlet COMMAND" in done.stdout


@pytest.mark.parametrize("command", [[c] for c in COMMANDS]
                         + [["journal", c] for c in ("ls", "cat", "verify")]
                         + [["dead", c] for c in ("ls", "cat", "redrive")]
                         + [["key", c] for c in ("new", "ls", "revoke", "rotate", "check")])
def test_every_command_explains_itself(command):
    done = inlet.run(*command, "--help")
    assert (done.returncode, done.stderr) == (FINE, "")
    assert "--help" in done.stdout and len(done.stdout.splitlines()[0]) > 10


@pytest.mark.parametrize("words", [["--version"], ["run", "--version"]])
def test_the_version_is_one_line(words):
    done = inlet.run(*words)
    assert done.returncode == FINE
    assert re.fullmatch(r"inlet \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("words,said", [
    (["rum"], "rum is not a command; did you mean run?"),
    (["xyzzy"], "xyzzy is not a command"),
    (["run", "--lisen", "127.0.0.1:0"], "run does not take --lisen; did you mean --listen?"),
    (["run", "--lisen=127.0.0.1:0"], "run does not take --lisen=127.0.0.1:0; did you mean"),
    (["check", "surplus"], "check does not take surplus"),
    (["journal", "cta"], "cta; did you mean cat?"),
    (["journal"], "journal:"),
    (["run", "--listen"], "run: --listen"),
    (["--data", "x"], "--data comes after the command"),
    (["load"], "load needs a URL"),
    (["load", "ftp://127.0.0.1/"], "ftp://127.0.0.1/"),
    (["ship", "archive", "--nope"], "--nope"),
    (["ship", "archivee", "--data", "unused"],
     "no sink is called archivee; did you mean archive?"),
    (["serve", "--listen", "here"], "--listen"),
    (["run", "--log-level", "loud"], "loud"),
    (["run", "--config", "missing.toml"], "missing.toml"),
])
def test_a_mistake_in_the_command_line_is_one_sentence_and_exit_code_2(here, words, said):
    assert said in sentence(inlet.run(*words, cwd=here), MISTAKE)
    assert list(here.iterdir()) == []  # Nothing was started.


@pytest.mark.parametrize("command", ["ls", "cat", "verify"])
def test_a_journal_that_is_not_there_is_a_fault(here, command):
    said = sentence(inlet.run("journal", command, "--data", here / "missing"), FAULT)
    assert "missing/journal" in said


def test_a_load_without_a_server_is_a_fault():
    url = f"http://127.0.0.1:{inlet.free_port()}/ingest/x"
    said = sentence(inlet.run("load", url, "--duration", "1"), FAULT)
    assert "Connection refused" in said


# ---- The world.

def test_a_port_in_use_is_a_fault_that_names_the_address(make_node):
    node = make_node()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", node.port))
        taken.listen()
        for command in ("run", "serve"):
            words = [str(w) for w in node.arguments(command)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False,
                                  env=inlet.environment())
            assert done.returncode == FAULT
            last = done.stderr.splitlines()[-1]
            assert last == f"inlet: cannot listen on 127.0.0.1:{node.port}: Address already in use"


def test_the_data_directory_of_a_running_node_is_refused_and_the_node_unharmed(node):
    done = inlet.run("run", "--data", node.data, "--listen", "127.0.0.1:0", "--admin",
                     "127.0.0.1:0")
    said = sentence(done, FAULT)
    assert str(node.data) in said and str(node.process.pid) in said
    assert post(node.address, "still", b"here").status == 200


def test_the_journal_of_a_running_serve_is_refused_to_another(make_node):
    node = make_node(command="serve").start()
    done = inlet.run("serve", "--data", node.data, "--listen", "127.0.0.1:0", "--admin",
                     "127.0.0.1:0")
    assert done.returncode == FAULT
    assert "held by another process" in done.stderr.splitlines()[-1]
    assert post(node.address, "still", b"here").status == 200


def test_a_data_directory_that_is_a_file_is_a_fault(here):
    (here / "data").write_text("mine")
    said = sentence(inlet.run("run", "--data", here / "data", "--listen", "127.0.0.1:0",
                              "--admin", "127.0.0.1:0"), FAULT)
    assert str(here / "data") in said
    assert (here / "data").read_text() == "mine"


# ---- The configuration.

@pytest.mark.parametrize("text,said", [
    ("[server]\nlisten = \"127.0.0.1:1\"\nlissten = \"x\"\n",
     ["inlet.toml:3:1: server.lissten is not a key of [server]; did you mean listen?"]),
    ("[serverr]\n", ["inlet.toml:1:2: [serverr] is not a section; did you mean server?"]),
    ("[journal]\n  segment_byte = 1\n",
     ["inlet.toml:2:3: journal.segment_byte is not a key of [journal]; "
      "did you mean segment_bytes?"]),
    ("[log]\nlevel = \"loud\"\n", ["inlet.toml:2:9: log.level: \"loud\" is not"]),
    ("[server]\nmax_body = \"16 apples\"\n", ["inlet.toml:2:12: server.max_body: \"16 apples\""]),
    ("[server]\nloops = \"two\"\n", ["inlet.toml:2:9: server.loops"]),
    ("[server]\nidle_timeout = 75\n", ["inlet.toml:2:16: server.idle_timeout takes a duration"]),
    ("[server]\nlisten = \"example.org:80\"\n", ["inlet.toml:2:10: server.listen"]),
    ("[streams.Web]\n", ["inlet.toml:1:10: \"Web\" is not a name"]),
    ("[sinks.x]\ntype = \"tape\"\n", ["inlet.toml:2:8: sinks.x.type: \"tape\""]),
    ("[server]\nlissten = 1\n[journal]\ndirect = \"perhaps\"\n",
     ["inlet.toml:2:1: server.lissten", "inlet.toml:4:10: journal.direct"]),
])
def test_a_mistake_in_the_configuration_has_file_line_and_column(here, text, said):
    found = mistakes_of(here, text)
    assert len(found) == len(said), found
    for line, expected in zip(found, said):
        assert line.startswith(expected), line


@pytest.mark.parametrize("text,line", [("[server\n", 1), ("[log]\nlevel = \n", 2),
                                       ("[log]\nlevel = \"a\"\nlevel = \"b\"\n", 3),
                                       ("\x00\x01", 1)])
def test_a_configuration_that_is_no_toml_has_its_place(here, text, line):
    (found,) = mistakes_of(here, text)
    assert re.match(rf"inlet\.toml:{line}:\d+: \w", found), found


def test_run_starts_nothing_with_a_mistake_in_the_configuration(here):
    (here / "inlet.toml").write_text("[server]\nlissten = 1\n")
    said = sentence(inlet.run("run", "--config", "inlet.toml", "--data", "data", cwd=here), MISTAKE)
    assert said.startswith("inlet.toml:2:1: server.lissten")
    assert not (here / "data").exists()


@pytest.mark.parametrize("name,value,said", [
    ("INLET_SERVER_MAX_BODY", "lots", "environment INLET_SERVER_MAX_BODY: server.max_body: "),
    ("INLET_SERVER_LISSTEN", "x", "environment INLET_SERVER_LISSTEN: stands for no key; did you "
                                  "mean INLET_SERVER_LISTEN?"),
    ("INLET_CONFIG", "missing.toml", "environment INLET_CONFIG: "),
])
def test_a_mistake_in_the_environment_names_the_variable(here, name, value, said):
    done = inlet.run("check", cwd=here, environment_more={name: value})
    assert done.returncode == MISTAKE
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"])
def test_an_address_that_others_reach_needs_auth_to_be_written_down(here, address):
    (found,) = mistakes_of(here, "", "--listen", address)
    assert 'write auth = "none"' in found
    assert mistakes_of(here, '[server]\nauth = "none"\n', "--listen", address) == []
    done = inlet.run("run", "--listen", address, "--data", here / "data")
    assert 'auth = "none"' in sentence(done, MISTAKE)
    assert not (here / "data").exists()


def test_check_prints_every_value_and_where_it_came_from(here):
    (here / "inlet.toml").write_text('[server]\nmax_body = "8MiB"\n\n[journal]\n'
                                     'max_bytes = "5GiB"\n')
    done = inlet.run("check", "--config", "inlet.toml", "--listen", "127.0.0.1:7", cwd=here,
                     environment_more={"INLET_JOURNAL_MAX_BYTES": "6GiB",
                                       "INLET_SINKS_ARCHIVE_PATH": "elsewhere"})
    assert (done.returncode, done.stderr) == (FINE, "")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    for key, value, origin in [("server.max_body", "8MiB", "inlet.toml:2:12"),
                               ("journal.max_bytes", "6GiB", "environment INLET_JOURNAL_MAX_BYTES"),
                               ("sinks.archive.path", "elsewhere",
                                "environment INLET_SINKS_ARCHIVE_PATH"),
                               ("server.listen", "127.0.0.1:7", "--listen"),
                               ("data", "./data", "default"),
                               ("journal.path", "./data/journal", "default"),
                               ("log.level", "info", "default")]:
        assert re.fullmatch(rf'{re.escape(key)} +"{re.escape(value)}" +{re.escape(origin)}',
                            rows[key]), rows[key]
    told = json.loads(inlet.run("check", "--json", cwd=here).stdout)
    assert told["mistakes"] == []
    assert {s["key"] for s in told["settings"]} >= {"server.listen", "journal.path"}


def test_the_environment_configures_a_node(make_node):
    node = make_node(plain=True)
    node.start({"INLET_STREAMS_STRICT_FORMAT": "json", "INLET_SERVER_DRAIN_DELAY": "0s"})
    assert post(node.address, "strict", b"no").status == 422
    assert post(node.address, "other", b"no").status == 200


def test_no_admin_listener_is_opened_when_none_is_wanted(make_node):
    node = make_node(admin="").start()
    assert post(node.address, "x", b"1").status == 200
    assert try_get(node.admin, "/healthz") == 0
    assert "dashboard" not in node.text("stdout")


def test_an_interrupt_from_the_terminal_ends_a_node_in_order(node):
    assert post(node.address, "x", b"1").status == 200
    node.process.send_signal(signal.SIGINT)
    assert node.wait() == FINE
    assert len(node.events()) == 1
