#!/usr/bin/env python3
"""Puts together every file of the image: the programs, the libraries that they map (as ldd says),
certificates, terminal descriptions, licences, an SBOM, and nothing else. Runs in the Dockerfile's
build stage.

  OUT/root      the image's root file system
  OUT/symbols   /usr/lib/debug/.build-id of the programs

The same programs, packages and epoch give the same tree, to the time of every file."""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess

import sbom

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = ("inlet", "inlet-ship", "inlet-top")
UID = 10001
TERMINALS = re.compile(r"(xterm|screen|tmux)([-.+].*)?|linux|vt100|vt220|dumb|ansi")
TERMINFO = ("/lib/terminfo", "/usr/share/terminfo")
COPIED = ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/openssl.cnf")
OPENSSL_CONFIGURATION = "usr/lib/ssl/openssl.cnf"  # Where OpenSSL looks; a link, as in Debian.
WRITTEN = {
    "etc/passwd": f"root:x:0:0::/:/none\ninlet:x:{UID}:{UID}::/var/lib/inlet:/none\n",
    "etc/group": f"root:x:0:\ninlet:x:{UID}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
# Group 0 may write too: some platforms give every container a user of its own, in group 0.
OWNED = {"var/lib/inlet": 0o770, "var/log/inlet": 0o770}
MOUNTED = ("dev", "proc", "sys")  # By whoever runs it.
LINKS = {"lib": "usr/lib", "lib64": "usr/lib64", "bin": "usr/bin",
         OPENSSL_CONFIGURATION: "/etc/ssl/openssl.cnf"}


def output(*words):
    return subprocess.run([str(w) for w in words], check=True, capture_output=True,
                          text=True, env={**os.environ, "LC_ALL": "C"}).stdout


def libraries(program):
    """Paths of what the loader maps for the program, the loader itself included."""
    found = set()
    for line in output("ldd", program).splitlines():
        name, _, rest = line.strip().partition(" => ")
        path = (rest or name).rpartition(" (0x")[0]
        if path == "not found" or "not found" in line:
            raise FileNotFoundError(f"{program} needs {name}, which is not here")
        if path.startswith("/"):
            found.add(path)
    return found


def inside(path):
    """Where a file of this machine goes in the image: /lib and /lib64 are links into /usr."""
    path = str(path)
    return (f"usr{path}" if re.match(r"/lib(64)?/", path) else path.lstrip("/"))


def copy(source, root, mode=0o644):
    """The file itself under the name it is asked for by. Returns it as its package knows it."""
    target = root / inside(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(os.path.realpath(source), target)
    target.chmod(mode)
    return os.path.realpath(source)


def add_programs(programs, root, symbols):
    for name in PROGRAMS:
        target = root / "usr/local/bin" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(programs / name, target)
        build_id = re.search(r"Build ID: ([0-9a-f]+)", output("readelf", "-n", target))[1]
        kept = symbols / "usr/lib/debug/.build-id" / build_id[:2] / f"{build_id[2:]}.debug"
        kept.parent.mkdir(parents=True, exist_ok=True)
        output("objcopy", "--only-keep-debug", target, kept)
        output("objcopy", "--strip-all", target)
        target.chmod(0o755)


def add_terminals(root):
    found = []
    for tree in map(pathlib.Path, TERMINFO):
        for entry in sorted(tree.glob("?/*")):
            if TERMINALS.fullmatch(entry.name):
                found.append(copy(entry, root))
    return found


def add_licences(packages, root):
    for package in packages:
        source = pathlib.Path("/usr/share/doc", package["name"], "copyright")
        if source.exists():
            copy(source, root)


def settle(tree, epoch):
    """Owners, modes of folders, and times, deepest first."""
    for path in sorted(tree.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    for name, mode in OWNED.items():
        if (tree / name).is_dir():
            os.chown(tree / name, UID, 0)
            (tree / name).chmod(mode)
    if (tree / "tmp").is_dir():
        (tree / "tmp").chmod(0o1777)
    for path in [*sorted(tree.rglob("*"), reverse=True), tree]:
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def assemble(programs, out, epoch):
    root, symbols = out / "root", out / "symbols"
    for tree in (root, symbols):
        tree.mkdir(parents=True)
    for name in ("usr/lib", "usr/lib64", "usr/bin", *MOUNTED, "tmp", *OWNED):
        (root / name).mkdir(parents=True, exist_ok=True)
    add_programs(programs, root, symbols)
    mapped = sorted(set().union(*(libraries(programs / name) for name in PROGRAMS)))
    sources = [copy(path, root, 0o755) for path in mapped]
    sources += [copy(path, root) for path in COPIED] + add_terminals(root)
    for name, text in WRITTEN.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name, target in LINKS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    (root / "etc/inlet").mkdir(parents=True)
    shutil.copyfile(HERE / "inlet.toml", root / "etc/inlet/inlet.toml")
    packages = sbom.packages_of(sources)
    add_licences(packages, root)
    bill = sbom.document(packages, [root / "usr/local/bin" / n for n in PROGRAMS], epoch)
    note = root / "usr/share/doc/inlet"
    note.mkdir(parents=True)
    (note / "sbom.spdx.json").write_text(json.dumps(bill, indent=1) + "\n")
    shutil.copyfile(HERE.parent.parent / "LICENSE", note / "copyright")
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and not os.access(path, os.X_OK):
            path.chmod(0o644)
    for tree in (root, symbols):
        settle(tree, epoch)


def main():
    parser = argparse.ArgumentParser(description="Puts the image's files together.")
    parser.add_argument("--programs", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--epoch", type=int, required=True, help="time of every file")
    given = parser.parse_args()
    assemble(given.programs, given.out, given.epoch)


if __name__ == "__main__":
    main()
