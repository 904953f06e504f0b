"""Goal: an operator makes, lists, replaces and revokes keys without ever storing or losing one.

Method: the real command on a file of its own: what it prints, what it writes, what it refuses, and
many of them at once. A key is looked for in everything that was written or said."""

import hashlib
import json
import os
import re
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

import inlet

FINE, FAULT, MISTAKE = 0, 1, 2
KEY = re.compile(r"ik_([0-9a-hjkmnp-tv-z]{12})_[0-9a-hjkmnp-tv-z]{39}")


class Keys:
    """The command with one file, and everything it ever said."""

    def __init__(self, directory):
        self.directory = directory
        self.data = directory / "data"
        self.file = self.data / "keys"
        self.made = []
        self.said = ""

    def run(self, *words, stdin=None, code=FINE):
        where = [] if "--keys" in words else ["--data", self.data]
        done = subprocess.run([str(inlet.INLET), "key", *map(str, words), *map(str, where)],
                              capture_output=True, text=True, check=False, timeout=60,
                              input=stdin or "", env=inlet.environment())
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        made = [line for line in done.stdout.splitlines() if KEY.fullmatch(line)]
        self.made += made
        self.said += done.stderr
        if not made:
            self.said += done.stdout
        return done

    def new(self, *words):
        done = self.run("new", "--tenant", "acme", *words)
        assert KEY.fullmatch(done.stdout.removesuffix("\n")), "the key stands there alone"
        return done.stdout.strip()

    def ls(self):
        return [json.loads(line) for line in self.run("ls", "--json").stdout.splitlines()]

    def check(self, key, code=FINE):
        return self.run("check", stdin=key + "\n", code=code)

    def lines(self):
        return self.file.read_text().splitlines()


@pytest.fixture
def keys(here):
    made = Keys(here)
    yield made
    # The canary: no key that was ever printed is anywhere else.
    written = "".join(p.read_text() for p in here.rglob("*") if p.is_file())
    for key in made.made:
        secret = key[16:]
        assert secret not in written, "a secret is stored"
        assert secret not in made.said, "a secret was repeated"


def id_of(key):
    return KEY.fullmatch(key)[1]


def sentence(done):
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("inlet: "), done.stderr
    return lines[0].removeprefix("inlet: ")


def at(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def from_now(text):
    return (at(text) - datetime.now(timezone.utc)) / timedelta(days=1)


# ---- Making.

def test_a_new_key_is_printed_once_and_only_its_digest_is_kept(keys):
    key = keys.new("--streams", "web.*,app", "--expires", "90d", "--note", 'Zoë\'s "x"')
    line, = keys.lines()
    assert line.startswith(f"{id_of(key)} sha256:{hashlib.sha256(key.encode()).hexdigest()} ")
    listed, = keys.ls()
    assert listed["id"] == id_of(key)
    assert (listed["tenant"], listed["streams"]) == ("acme", ["web.*", "app"])
    assert listed["note"] == 'Zoë\'s "x"'
    assert not listed["expired"]
    assert abs(from_now(listed["created_at"])) < 0.01
    assert abs(from_now(listed["expires_at"]) - 90) < 0.01


def test_the_file_and_its_directory_are_for_their_owner_only(keys):
    keys.new()
    assert stat.S_IMODE(keys.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.data.stat().st_mode) == 0o700


def test_a_key_made_without_limits_has_none(keys):
    keys.new()
    listed, = keys.ls()
    assert (listed["streams"], listed["expires_at"], listed["note"]) == (["*"], None, "")
    assert "never expires" in keys.run("ls").stdout


def test_keys_never_repeat(keys):
    made = {keys.new() for _ in range(20)}
    assert len(made) == 20 and len({id_of(key) for key in made}) == 20
    assert {listed["id"] for listed in keys.ls()} == {id_of(key) for key in made}


def test_a_date_is_an_expiry_too(keys):
    keys.new("--expires", "2099-12-31")
    keys.new("--expires", "2099-12-31T10:00:00+02:00")
    assert [listed["expires_at"] for listed in keys.ls()] == ["2099-12-31T00:00:00Z",
                                                              "2099-12-31T08:00:00Z"]


def test_the_file_may_be_elsewhere(keys):
    elsewhere = keys.directory / "elsewhere/k.txt"
    keys.run("new", "--tenant", "acme", "--keys", elsewhere)
    assert len(elsewhere.read_text().splitlines()) == 1
    assert not keys.file.exists()


def test_the_configuration_says_where_the_file_is(keys):
    config = keys.directory / "inlet.toml"
    elsewhere = keys.directory / "configured"
    config.write_text(f'[server]\nkeys = "{elsewhere}"\n')
    keys.run("new", "--tenant", "acme", "--config", config)
    assert len(elsewhere.read_text().splitlines()) == 1


@pytest.mark.parametrize("words,said", [
    ([], "key new: --tenant is required"),
    (["--tenant", "Acme"], '--tenant: "Acme" is no name'),
    (["--tenant", ""], '--tenant: "" is no name'),
    (["--tenant", "other"], '--tenant: "other" is reserved'),
    (["--tenant", "a", "--streams", "a,B"], '--streams: "B" is no pattern'),
    (["--tenant", "a", "--streams", "a,,b"], '--streams: "" is no pattern'),
    (["--tenant", "a", "--expires", "soon"], '--expires: "soon" is no duration'),
    (["--tenant", "a", "--expires", "90"], '--expires: "90" is no duration'),
    (["--tenant", "a", "--expires", "2020-01-01"], '--expires: "2020-01-01" is in the past'),
    (["--tenant", "a", "--expires", "9999999d"], '--expires: "9999999d" is no duration'),
    (["--tenant", "a", "--note", "x\ny"], "--note: the note holds a control character"),
    (["--tenant", "a", "--note", "x" * 201], "--note: the note has more than 200 bytes"),
])
def test_what_cannot_be_is_told_and_nothing_is_made(keys, words, said):
    done = keys.run("new", *words, code=MISTAKE)
    assert said in sentence(done)
    assert done.stdout == "" and not keys.file.exists()


def test_a_key_that_cannot_be_printed_is_named_so_that_it_can_be_revoked(keys):
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(inlet.INLET), "key", "new", "--tenant", "acme", "--data",
                               str(keys.data)], stdout=full, stderr=subprocess.PIPE, text=True,
                              check=False, timeout=60, env=inlet.environment())
    assert done.returncode == FAULT
    listed, = keys.ls()
    assert f"revoke {listed['id']}" in sentence(done)


# ---- Checking.

def test_check_says_whose_a_key_is(keys):
    key = keys.new("--streams", "web.*")
    done = keys.check(key)
    assert done.stdout == (f"{id_of(key)} is valid: tenant acme, streams web.*, never expires\n")
    assert keys.check(f"  {key}\t").stdout == done.stdout


def test_check_tells_mistyped_unknown_and_other_texts_apart(keys):
    key = keys.new()
    other = keys.run("new", "--tenant", "b", "--keys", keys.directory / "other").stdout.strip()
    wrong = key[:20] + ("a" if key[20] != "a" else "b") + key[21:]
    assert "mistyped" in sentence(keys.check(wrong, code=FAULT))
    said = sentence(keys.check(other, code=FAULT))
    assert said.startswith(f"no key with the id {id_of(other)} is in ")
    for text in ("", "password", "ik_", "x" * 10_000):
        assert sentence(keys.check(text, code=FAULT)).startswith("this is not a key")


def test_check_knows_a_key_whose_id_has_another_secret_now(keys):
    key = keys.new()
    keys.file.write_text(re.sub("sha256:.{8}", "sha256:00000000", keys.file.read_text()))
    assert "its secret is another" in sentence(keys.check(key, code=FAULT))


def test_a_key_as_an_argument_is_refused_and_not_repeated(keys):
    key = keys.new()
    for words in (["check", key], ["revoke", key], ["rotate", key], ["ls", key],
                  ["new", "--tenant", key], ["check", "--keys=" + key]):
        done = keys.run(*words, code=MISTAKE)
        assert "secret" in sentence(done) and key[16:] not in done.stdout + done.stderr
    assert len(keys.lines()) == 1


# ---- Revoking and replacing.

def test_a_revoked_key_is_gone_and_the_rest_of_the_file_stays(keys):
    first, second = keys.new(), keys.new()
    text = keys.file.read_text()
    keys.file.write_text("# by hand\n\n" + text + "# end")
    keys.run("revoke", id_of(first))
    assert keys.file.read_text() == "# by hand\n\n" + text.splitlines()[1] + "\n# end"
    keys.check(first, code=FAULT)
    keys.check(second)


def test_an_id_may_carry_its_prefix(keys):
    key = keys.new()
    keys.run("revoke", f"ik_{id_of(key)}")
    assert keys.ls() == []


def test_a_key_is_revoked_once(keys):
    key = keys.new()
    keys.run("revoke", id_of(key))
    for command in ("revoke", "rotate"):
        done = keys.run(command, id_of(key), code=MISTAKE)
        assert sentence(done) == f"no key in {keys.file} has the id {id_of(key)}"


def test_what_is_no_id_is_not_repeated(keys):
    secret = keys.new()[16:]
    done = keys.run("revoke", secret, code=MISTAKE)
    assert "an id is the 12 characters" in sentence(done)
    assert secret not in done.stderr


def test_rotation_leaves_both_keys_valid_for_the_overlap(keys):
    old = keys.new("--streams", "web.*", "--note", "shop")
    new = keys.run("rotate", id_of(old)).stdout.strip()
    assert KEY.fullmatch(new) and new != old
    before, after = keys.ls()
    assert (before["id"], after["id"]) == (id_of(old), id_of(new))
    for field in ("tenant", "streams", "note"):
        assert before[field] == after[field]
    assert abs(from_now(before["expires_at"]) - 7) < 0.01
    assert after["expires_at"] is None
    keys.check(old)
    keys.check(new)


def test_rotation_without_overlap_ends_the_old_key_at_once(keys):
    old = keys.new()
    new = keys.run("rotate", id_of(old), "--overlap", "0s").stdout.strip()
    assert "not valid any more" in keys.check(old, code=FAULT).stdout
    keys.check(new)
    assert [listed["expired"] for listed in keys.ls()] == [True, False]


def test_rotation_keeps_the_lifetime_and_never_lengthens_the_old_one(keys):
    old = keys.new("--expires", "3d")
    keys.run("rotate", id_of(old))
    before, after = keys.ls()
    assert abs(from_now(before["expires_at"]) - 3) < 0.01
    assert abs(from_now(after["expires_at"]) - 3) < 0.01
    keys.run("rotate", after["id"], "--expires", "30d", "--overlap", "1h")
    _, middle, last = keys.ls()
    assert abs(from_now(middle["expires_at"]) - 1 / 24) < 0.01
    assert abs(from_now(last["expires_at"]) - 30) < 0.01


def test_a_wrong_overlap_changes_nothing(keys):
    key = keys.new()
    before = keys.file.read_text()
    assert "--overlap" in sentence(keys.run("rotate", id_of(key), "--overlap", "x", code=MISTAKE))
    assert keys.file.read_text() == before


# ---- The file.

def test_a_wrong_line_is_told_with_its_place_and_the_file_is_left_alone(keys):
    key = keys.new()
    keys.file.write_text(keys.file.read_text() + "000000000001 sha256:00 tenant=a\n")
    before = keys.file.read_text()
    place = f"{keys.file}:2: after the id comes sha256: and 64 hexadecimal digits"
    assert sentence(keys.run("new", "--tenant", "a", code=MISTAKE)).startswith(place)
    assert sentence(keys.run("revoke", id_of(key), code=MISTAKE)).startswith(place)
    done = keys.run("ls", code=MISTAKE)
    assert sentence(done) == place and id_of(key) in done.stdout
    assert keys.file.read_text() == before


def test_a_key_pasted_into_the_file_is_not_repeated(keys):
    key = keys.run("new", "--tenant", "a", "--keys", keys.directory / "other").stdout.strip()
    keys.data.mkdir()
    for line in (key, f"000000000001 {key}", f"000000000001 sha256:{'0' * 64} tenant={key}"):
        keys.file.write_text(line + "\n")
        done = keys.run("ls", code=MISTAKE)
        assert key[16:29] not in done.stdout + done.stderr
    keys.file.unlink()


def test_a_file_that_is_not_there_has_no_keys(keys):
    assert keys.ls() == []
    done = keys.run("revoke", "000000000000", code=MISTAKE)
    assert "has the id 000000000000" in sentence(done)
    assert not keys.file.exists()


def test_a_directory_that_cannot_be_written_is_a_fault(keys):
    keys.directory.joinpath("data").write_text("a file, no directory")
    done = keys.run("new", "--tenant", "a", code=FAULT)
    assert str(keys.data) in sentence(done)
    assert done.stdout == ""


def test_commands_at_once_lose_nothing(keys):
    keys.new()
    keys.file.write_text("# kept\n" + keys.file.read_text())
    first = keys.ls()[0]["id"]
    stop = threading.Event()
    torn = []

    def read():
        while not stop.is_set():
            lines = keys.lines()
            if lines[0] != "# kept" or not all(" tenant=acme " in line for line in lines[1:]):
                torn.append(lines)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: keys.new(), range(20)))
            assert len({id_of(key) for key in made}) == 20
            list(pool.map(lambda key: keys.run("revoke", id_of(key)), made[:10]))
    finally:
        stop.set()
        reader.join()
    assert not torn
    assert {listed["id"] for listed in keys.ls()} == {first, *map(id_of, made[10:])}


def test_a_writer_that_was_killed_holds_nobody_up(keys):
    keys.new()
    for _ in range(10):
        process = subprocess.Popen([str(inlet.INLET), "key", "new", "--tenant", "acme", "--data",
                                    str(keys.data)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env=inlet.environment())
        process.kill()
        process.wait()
    keys.file.with_name("keys.new").write_text("left over")
    keys.new()
    assert len(keys.ls()) == len(keys.lines()) >= 2
    assert sorted(os.listdir(keys.data)) == ["keys", "keys.lock"]
