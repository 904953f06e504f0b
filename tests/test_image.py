"""Goal: the image holds everything that its programs need, and nothing that could run anything
else.

Method: deploy/image/assemble.py, which the Dockerfile runs in its build stage, puts the same tree
together from the programs under test; it is looked through, and run as a root file system by a user
that it does not know. The whole image, built by the Dockerfile as written, is what ./dev image is
for (tests/image_container.py)."""

import contextlib
import gzip
import hashlib
import io
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tarfile

import pytest
from spdx_tools.spdx.model import RelationshipType
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

import inlet
from wire import post, try_get, wait_until

sys.path.insert(0, str(inlet.ROOT / "deploy/image"))
import assemble  # noqa: E402
import sbom  # noqa: E402

EPOCH = 1_700_000_000
COMPRESSED_BYTES_MAX = 60 << 20  # DESIGN: the image, compressed.
STRANGER = 54321
DOCKERFILE = (inlet.ROOT / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    out = tmp_path_factory.mktemp("image")
    assemble.assemble(inlet.BUILD, out, EPOCH)
    return out


@pytest.fixture(scope="module")
def root(tree):
    return tree / "root"


def packed(root):
    """As an archive: names, modes, owners, times and bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path in sorted(root.rglob("*")):
            archive.add(path, str(path.relative_to(root)), recursive=False)
    return out.getvalue()


def test_it_is_small(root):
    compressed_bytes = len(gzip.compress(packed(root), 6, mtime=0))
    print(f"\nthe image's files: {compressed_bytes / 1e6:.1f} MB compressed")
    assert compressed_bytes <= COMPRESSED_BYTES_MAX


def test_the_same_programs_give_the_same_files(tree, tmp_path):
    assemble.assemble(inlet.BUILD, tmp_path, EPOCH)
    for name in ("root", "symbols"):
        one, other = packed(tree / name), packed(tmp_path / name)
        assert hashlib.sha256(one).hexdigest() == hashlib.sha256(other).hexdigest()
    (tmp_path / "root/etc/passwd").chmod(0o600)
    assert packed(tree / "root") != packed(tmp_path / "root")


def test_nothing_can_be_run_but_our_programs_and_the_loader(root):
    files = [p for p in root.rglob("*") if p.is_file() and not p.is_symlink()]
    programs = {str(p.relative_to(root)) for p in files
                if os.access(p, os.X_OK) and ".so" not in p.name}
    assert programs == {f"usr/local/bin/{name}" for name in assemble.PROGRAMS}
    assert not [p for p in files if p.stat().st_mode & 0o6000], "no set-user-id files"
    assert not [p for p in files if p.name in ("sh", "bash", "dash", "busybox", "apt", "dpkg")]


def test_every_library_is_there_and_none_too_many(root):
    needed = set()
    for name in assemble.PROGRAMS:
        done = subprocess.run(["chroot", root, loader(root), "--list", f"/usr/local/bin/{name}"],
                              check=False, capture_output=True, text=True)
        assert done.returncode == 0 and "not found" not in done.stdout, done.stdout + done.stderr
        needed |= set(re.findall(r"(/\S+\.so\S*)", done.stdout))
    there = {p.name for p in (root / "usr").rglob("*.so*")}
    assert there == {path.rpartition("/")[2] for path in needed}


def loader(root):
    (found,) = [p for p in (root / "usr").rglob("ld-linux-*.so.*")]
    return f"/{found.relative_to(root)}"


def test_a_library_that_is_missing_is_found_out(root, tmp_path):
    with pytest.raises(FileNotFoundError):
        fake = tmp_path / "ldd"
        fake.write_text("#!/bin/sh\necho '\tlibgone.so.1 => not found'\n")
        fake.chmod(0o755)
        with path_before(tmp_path):
            assemble.libraries(root / "usr/local/bin/inlet")


@contextlib.contextmanager
def path_before(folder):
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def test_the_programs_are_stripped_and_their_symbols_kept(tree):
    for name in assemble.PROGRAMS:
        program = tree / "root/usr/local/bin" / name
        said = assemble.output("readelf", "-SnW", program)
        assert ".symtab" not in said and ".debug_" not in said
        build_id = re.search(r"Build ID: ([0-9a-f]+)", said)[1]
        kept = tree / f"symbols/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
        assert ".symtab" in assemble.output("readelf", "-SW", kept)


def test_only_the_data_belong_to_the_user_of_the_image(root):
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        status = path.lstat()
        assert status.st_mtime == EPOCH, name
        if name in assemble.OWNED:
            assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (10001, 0, 0o770)
        elif not path.is_symlink():
            assert (status.st_uid, status.st_gid) == (0, 0), name
            assert name == "tmp" or not status.st_mode & 0o022, name


# ---- The bill of materials.

def bill(root):
    return parse_file(str(root / "usr/share/doc/inlet/sbom.spdx.json"))


def test_the_bill_of_materials_is_valid_spdx(root):
    document = bill(root)
    assert validate_full_spdx_document(document) == []
    document.creation_info.document_namespace = "no URI"
    assert validate_full_spdx_document(document) != []


def test_the_bill_names_the_package_of_every_library(root):
    document = bill(root)
    listed = {p.name: p for p in document.packages}
    paths = [os.path.realpath(path) for name in assemble.PROGRAMS
             for path in assemble.libraries(inlet.BUILD / name)]
    assert sbom.owners(paths) | {"ca-certificates", "ncurses-base", "openssl"} <= set(listed)
    for name, version in (("libssl3", "3."), ("librdkafka1", "2.")):
        assert listed[name].version.startswith(version)
        assert listed[name].external_references[0].locator.startswith(f"pkg:deb/debian/{name}@")
        assert (root / f"usr/share/doc/{name}/copyright").exists()
    static = {r.related_spdx_element_id for r in document.relationships
              if r.relationship_type == RelationshipType.STATIC_LINK}
    assert {"SPDXRef-Package-libspdlog-dev", "SPDXRef-Package-libcli11-dev"} <= static


def test_a_file_of_no_package_is_not_passed_over():
    with pytest.raises(LookupError):
        sbom.owners([str(inlet.INLET)])


# ---- It runs.

@contextlib.contextmanager
def running(root, here, *words, **environment):
    """`inlet run` in the tree alone, on a read-only mount of it, by a user that passwd does not
    know."""
    data = here / "data"
    data.mkdir()
    os.chown(data, STRANGER, 0)
    script = (f"mount --bind {root} {root}; mount -o remount,bind,ro {root}; "
              f"mount -t proc proc {root}/proc; mount --rbind /dev {root}/dev; "
              f"mount --bind {data} {root}/var/lib/inlet; "
              f"exec chroot --userspec={STRANGER}:0 --groups=0 {root} /usr/local/bin/inlet run "
              + shlex.join(words))
    with open(here / "stderr", "wb") as errors:
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={"PATH": os.environ["PATH"], "INLET_CONFIG": "/etc/inlet/inlet.toml",
                 "INLET_DATA": "/var/lib/inlet", **environment})
    try:
        yield process
        for _ in range(2):  # The second one cuts the drain short.
            signal_first(process, signal.SIGTERM)
        assert process.wait(30) == 0, (here / "stderr").read_text()
    finally:
        signal_first(process, signal.SIGKILL)
        process.wait()


def signal_first(process, number):
    """To process 1 of its namespace, with which the others go."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    with contextlib.suppress(OSError):
        for pid in children.read_text().split():
            os.kill(int(pid), number)


def inside(root, *words, data, **environment):
    return subprocess.run(
        ["unshare", "--mount", "sh", "-ec",
         f"mount --bind {data} {root}/var/lib/inlet; "
         f"exec chroot --userspec={STRANGER}:0 --groups=0 {root} /usr/local/bin/inlet "
         + shlex.join(map(str, words))],
        check=False, capture_output=True, text=True, timeout=30,
        env={"PATH": os.environ["PATH"], "INLET_CONFIG": "/etc/inlet/inlet.toml",
             "INLET_DATA": "/var/lib/inlet", **environment})


def test_its_files_are_all_that_the_main_job_needs(root, here):
    """Only who has a key gets in; a key is one command; `inlet health` says how it is."""
    port, admin = inlet.free_port(), inlet.free_port()
    flags = ("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}")
    address = ("127.0.0.1", port)
    with running(root, here, *flags) as process:
        wait_until(lambda: try_get(address, "/healthz") == 200 or process.poll() is not None,
                   "it is up", 20)
        assert process.poll() is None, (here / "stderr").read_text()
        assert post(address, "first", b"x").status == 401
        made = inside(root, "key", "new", "--tenant", "acme", data=here / "data")
        assert made.returncode == 0, made.stderr
        bearer = f"Authorization: Bearer {made.stdout.strip()}"
        wait_until(lambda: post(address, "first", b"hello", bearer).status == 200, "the key works")
        assert inside(root, "health", *flags, data=here / "data").returncode == 0
        wait_until(lambda: inlet.events(here / "data/archive", "first"), "it is in the archive")
    gone = inside(root, "health", *flags, data=here / "data")
    assert gone.returncode == 1 and gone.stderr.startswith("inlet: health: connect to 127.0.0.1:")


def test_anonymous_data_are_taken_if_that_is_written_down(root, here):
    port = inlet.free_port()
    with running(root, here, "--listen", f"127.0.0.1:{port}", "--admin=",
                 INLET_SERVER_AUTH="none"):
        wait_until(lambda: try_get(("127.0.0.1", port), "/healthz") == 200, "it is up", 20)
        assert post(("127.0.0.1", port), "first", b"x").status == 200


# ---- The Dockerfile.

def words_of(pattern, text):
    return set(re.search(pattern, text, re.S)[1].replace("\\", " ").split())


def test_the_dockerfile_installs_what_a_build_needs():
    script = (inlet.ROOT / "dev").read_text()
    needed = words_of(r"build_packages=\((.*?)\)", script)
    installed = words_of(r"--no-install-recommends \\\n(.*?)&&", DOCKERFILE)
    missing = [n for n in needed if not set(n.strip("'").split("|")) & installed]
    assert missing == []


def test_the_dockerfile_builds_every_program_that_there_is():
    built = words_of(r"--target (.*?)\n", DOCKERFILE)
    rules = (inlet.ROOT / "cmake/program.cmake").read_text()
    assert built == set(re.findall(r"add_executable\((\S+)", rules)) == set(assemble.PROGRAMS)


def test_the_image_is_closed_by_default():
    final = DOCKERFILE.rpartition("FROM scratch")[2]
    assert re.search(r"^USER 10001:10001$", final, re.M) and "\nRUN " not in final
    assert re.search(r'^HEALTHCHECK .* CMD \["inlet", "health"\]$', final, re.M)
    for label in ("title", "version", "revision", "created", "licenses"):
        assert f"org.opencontainers.image.{label}=" in final
    done = inlet.run("check", "--config", inlet.ROOT / "deploy/image/inlet.toml")
    assert done.returncode == 0 and re.search(r'server\.auth +"keys"', done.stdout)
