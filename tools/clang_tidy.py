#!/usr/bin/env python3
"""Runs clang-tidy with .clang-tidy over our own sources that build/release compiles; or over those
given, by any part of their path. Prints what it finds, and exits 1 if it finds anything."""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
ROOMS = ("src", "sim", "bench")
FILE_SECONDS_MAX = 600


def sources(wanted):
    names = {entry["file"] for entry in json.loads((BUILD / "compile_commands.json").read_text())}
    for name in sorted(names):
        path = pathlib.Path(name)
        if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in ROOMS:
            continue
        relative = str(path.relative_to(ROOT))
        if not wanted or any(word in relative for word in wanted):
            yield relative


def check(path):
    """Returns what clang-tidy found in one file: "" if nothing."""
    done = subprocess.run(
        ["clang-tidy-19", "-quiet", "-p", str(BUILD),
         "--extra-arg=-Wno-unknown-warning-option",  # The command line is that of g++,
         "--extra-arg=-Wno-sign-conversion",  # whose -Wconversion means less, and libstdc++
         "--extra-arg=-Wno-deprecated-declarations", path],  # uses what it deprecates.
        cwd=ROOT, capture_output=True, text=True, timeout=FILE_SECONDS_MAX, check=False)
    if done.returncode == 0:
        return ""
    noise = re.compile(r"^(\d+ warnings? .*generated|\d+ errors? generated|Suppressed|Use -header)")
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not noise.match(line)]
    return "\n".join(lines).replace(f"{ROOT}/", "")


def main():
    paths = list(sources(sys.argv[1:]))
    found = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for text in pool.map(check, paths):
            if text:
                found += 1
                print(text, flush=True)
    print(f"clang-tidy: {found} of {len(paths)} files have findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
