#!/usr/bin/env python3
"""Proves that the tests can fail: builds each deliberate fault and requires that a test finds it.

A fault is a place in the sources under `#if INLET_MUTANT_<name>`. It is built alone, into
build/mutant-<name>, and the commands of its row below are run one after the other until one fails:
then the fault is found. A fault that no command finds, one without a row, and a row without a
fault are all failures. Arguments name the faults to try; without, all."""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMAND_SECONDS_MAX = 900

# Name of the fault: commands of which at least one must fail. A word like journal_writer_test is a
# test program; anything else is passed to pytest, which finds the programs by BUILD_DIR.
MUTANTS = {
    "answer_before_flush": ["sim_journal_model_test"],
    "skip_tenth_flush": ["sim_journal_model_test"],
    "ignore_short_write": ["sim_journal_model_test"],
    "no_checksum_on_read": ["sim_journal_damage_test"],
    "recycle_before_durable": ["sim_delivery_model_test"],
    "retry_failed_flush": ["sim_journal_model_test"],
    "no_directory_flush": ["sim_journal_model_test"],
    "plan_not_saved": ["sim_delivery_window_model_test"],
    "recovery_off_by_one": ["sim_journal_model_test", "journal_journal_test"],
}


def faults_in_sources():
    names = set()
    for room in ("src", "sim"):
        for path in (ROOT / room).rglob("*.[hc]*"):
            names |= set(re.findall(r"\bINLET_MUTANT_(\w+)", path.read_text()))
    return names


def run(command, log, **more):
    """Exit code; a command that does not end counts as failed, which for a test is a finding."""
    try:
        return subprocess.run([str(word) for word in command], cwd=ROOT, stdout=log, stderr=log,
                              timeout=COMMAND_SECONDS_MAX, check=False, **more).returncode
    except subprocess.TimeoutExpired:
        return -1


def build(name, targets, log):
    directory = ROOT / f"build/mutant-{name}"
    cache = [] if not compiler_cache() else ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"]
    os.environ["CCACHE_NOHASHDIR"] = "1"  # Objects of other build directories serve as well.
    configured = run(["cmake", "--preset", "release", "-B", directory, f"-DINLET_MUTANT={name}",
                      *cache], log) == 0
    return configured and run(["ninja", "-C", directory, *targets], log) == 0


def compiler_cache():
    return any((pathlib.Path(place) / "ccache").exists()
               for place in os.environ.get("PATH", "").split(":"))


def attempt(name, commands):
    """Returns (found, a sentence)."""
    directory = ROOT / f"build/mutant-{name}"
    programs = [command for command in commands if re.fullmatch(r"\w+", command.split()[0])]
    targets = [command.split()[0] for command in programs]
    if len(programs) < len(commands):
        targets += ["inlet", "inlet-ship", "inlet-top"]
    (ROOT / "build").mkdir(exist_ok=True)
    with open(ROOT / f"build/mutant-{name}.log", "w", encoding="utf-8") as log:
        if not build(name, targets, log):
            return False, f"does not build; see {log.name}"
        for command in commands:
            words = command.split()
            if command in programs:
                words[0] = directory / words[0]
            else:
                words = [sys.executable, "-m", "pytest", "-q", "-x", *words]
            if run(words, log, env=dict(os.environ, BUILD_DIR=str(directory))) != 0:
                return True, f"found by {command}"
    return False, "no test noticed it"


def main():
    known = faults_in_sources()
    wanted = sys.argv[1:] or sorted(known | set(MUTANTS))
    failed = 0
    for name in wanted:
        if name not in MUTANTS:
            found, sentence = False, "has no row in tools/mutants.py"
        elif name not in known:
            found, sentence = False, "is in tools/mutants.py but not in the sources"
        else:
            found, sentence = attempt(name, MUTANTS[name])
        failed += not found
        print(f"{'found ' if found else 'MISSED'} {name}: {sentence}", flush=True)
    print(f"{len(wanted) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
