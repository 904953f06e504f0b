#!/usr/bin/env python3
"""Runs every fuzz target of build/fuzz for a while, and again everything that ever failed.

fuzz/corpus/TARGET/ holds seeds and old crashes and is kept in the repository; what a run finds goes
to build/fuzz/corpus/TARGET/, an input that fails to build/fuzz/crashes/. Prints one line a target
and the totals; exits 1 if one failed."""

import argparse
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INPUT_BYTES_MAX = 65536
GRACE_S = 120  # For reading the corpus, beyond the time asked for.


def run(target, seconds):
    """Returns (passed, a sentence)."""
    found = ROOT / "build/fuzz/corpus" / target.name
    kept = ROOT / "fuzz/corpus" / target.name
    crashes = ROOT / "build/fuzz/crashes"
    found.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    command = [target, f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}",
               "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
               f"-artifact_prefix={crashes}/{target.name}-", found]
    if kept.is_dir():
        command.append(kept)
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                              timeout=seconds + GRACE_S, check=False)
    except subprocess.TimeoutExpired:
        return False, f"did not end within {seconds + GRACE_S} s"
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    if done.returncode == 0 and runs:
        return True, f"{runs[1]} inputs"
    return False, f"exit {done.returncode}\n" + "\n".join(done.stderr.splitlines()[-60:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=1")
    targets = [t for t in sorted((ROOT / "build/fuzz").glob("fuzz_*")) if os.access(t, os.X_OK)]
    sources = sorted((ROOT / "fuzz").glob("fuzz_*.cc"))
    targets = [t for t in targets if any(s.stem == t.name for s in sources)]
    failed = len(sources) - len(targets)
    if failed:
        print(f"{failed} of the {len(sources)} targets in fuzz/ are not built", flush=True)
    for target in targets:
        passed, sentence = run(target, seconds)
        failed += not passed
        print(f"{'passed' if passed else 'FAILED'} {target.name}: {sentence}", flush=True)
    print(f"{len(sources) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
