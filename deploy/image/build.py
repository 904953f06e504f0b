#!/usr/bin/env python3
"""Builds the image from the Dockerfile as it is and prints its digest and size. What ./dev image
begins with.

  --tag NAME    default inlet:latest
  --twice       builds it again without any cache and compares

INLET_ENGINE is the engine's command line, default docker or podman, as there is; INLET_ENGINE_BUILD
more flags of its `build`, as a closed machine needs them (proxies, package sources)."""

import argparse
import datetime
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COMPRESSED_BYTES_MAX = 60 << 20
GZIP_WINDOW = 16 + zlib.MAX_WBITS


def engine():
    given = shlex.split(os.environ.get("INLET_ENGINE", ""))
    found = given or [name for name in ("docker", "podman") if shutil.which(name)][:1]
    if not found:
        sys.exit("image: there is neither docker nor podman; INLET_ENGINE names another")
    return found


def is_podman():
    return "podman" in pathlib.Path(engine()[0]).name


def git(*words, otherwise):
    done = subprocess.run(["git", *words], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else otherwise


def commit_epoch():
    return int(git("log", "-1", "--format=%ct", otherwise="0"))


def build_arguments():
    """What the Dockerfile's ARGs want: the image says what it was made of."""
    epoch = commit_epoch()
    created = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    version = re.search(r"project\(\w+ VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
    values = {"SOURCE_DATE_EPOCH": epoch, "VERSION": version,
              "REVISION": git("rev-parse", "HEAD", otherwise="unknown"),
              "CREATED": created.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return [word for name, value in values.items() for word in ("--build-arg", f"{name}={value}")]


def build(tag, *more):
    epoch = commit_epoch()
    words = [*engine(), "build", "--tag", tag, *build_arguments()]
    if is_podman():
        # HEALTHCHECK is Docker's; and without --timestamp a layer holds when it was made.
        words += ["--format", "docker", "--timestamp", str(epoch)]
    words += [*more, *shlex.split(os.environ.get("INLET_ENGINE_BUILD", "")), "."]
    done = subprocess.run(words, cwd=ROOT, check=False, stdin=subprocess.DEVNULL,
                          env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)})
    if done.returncode != 0:
        sys.exit(f"image: {shlex.join(words[:3])} ended with {done.returncode}")
    return inspect(tag, "{{.Id}}").removeprefix("sha256:")


def inspect(tag, form):
    return subprocess.run([*engine(), "image", "inspect", "--format", form, tag], check=True,
                          capture_output=True, text=True).stdout.strip()


def contents(tag):
    """Layers by digest, and all that the image says of itself. In Docker's format podman adds names
    of the containers it built in, so its digests differ even where nothing else does."""
    config = json.loads(inspect(tag, "{{json .Config}}"))
    config.pop("Hostname", None)
    return json.loads(inspect(tag, "{{json .RootFS.Layers}}")), config


def compressed_bytes(tag):
    """Of all layers, as a registry would hold them."""
    saving = subprocess.Popen([*engine(), "save", tag], stdout=subprocess.PIPE)
    packer, total = zlib.compressobj(6, zlib.DEFLATED, GZIP_WINDOW), 0
    while piece := saving.stdout.read(1 << 20):
        total += len(packer.compress(piece))
    total += len(packer.flush())
    if saving.wait() != 0:
        sys.exit("image: it could not be saved")
    return total


def main():
    parser = argparse.ArgumentParser(prog="image", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", default="inlet:latest")
    parser.add_argument("--twice", action="store_true")
    given = parser.parse_args()
    start = time.monotonic()
    digest = build(given.tag)
    print(f"image: {given.tag} is {digest}, built in {time.monotonic() - start:.0f} s")
    size = compressed_bytes(given.tag)
    print(f"image: {size / 1e6:.1f} MB compressed, at most {COMPRESSED_BYTES_MAX / 1e6:.0f}")
    if size > COMPRESSED_BYTES_MAX:
        sys.exit("image: it is too large")
    if given.twice:
        again = build(f"{given.tag}-again", "--no-cache")
        if contents(f"{given.tag}-again") != contents(given.tag):
            sys.exit(f"image: built again it is {again}, with other contents")
        layers = ", ".join(contents(given.tag)[0])
        print(f"image: built again without a cache it has the same layers and settings: {layers}")
        if not is_podman() and again != digest:
            sys.exit(f"image: but its digest is {again}")


if __name__ == "__main__":
    main()
