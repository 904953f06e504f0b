#!/usr/bin/env python3
"""Everything ./dev test runs, after the release build. The last line counts all tests of all parts.

  tidy      the house rules
  unit      unit and simulation tests of build/release
  blackbox  tests/ against the real programs
  asan      the unit tests again under the address and undefined behaviour sanitizers
  tsan      the unit tests of rooms that have threads under the thread sanitizer
  fuzz      every fuzz target for a few seconds
"""

import os
import pathlib
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUZZ_SECONDS = 5
SIM_SEEDS_SANITIZED = "40"  # Sanitizers are slow; the release build runs the full number.
PART_SECONDS_MAX = 3600


class Counts:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        text = f"{self.passed} passed, {self.failed} failed"
        return f"{text}, {self.skipped} skipped" if self.skipped else text


def run(command, **more):
    return subprocess.run([str(word) for word in command], cwd=ROOT, check=False,
                          timeout=PART_SECONDS_MAX, **more).returncode


def count_junit(path):
    """Counts test cases of a JUnit file, as CTest, GoogleTest and pytest write it."""
    counts = Counts()
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            counts.failed += 1
        elif (case.find("skipped") is not None or case.get("result") == "skipped"
              or case.get("status") in ("notrun", "disabled")):
            counts.skipped += 1
        else:
            counts.passed += 1
    return counts


def same_addresses():
    """Sanitizers of g++ 12 cannot live with the address randomisation of some kernels."""
    command = ["setarch", "-R"]
    try:
        works = subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        works = False
    return command if works else []


def ctest(preset):
    """Runs a build's tests. A GoogleTest program counts by its cases; one that died without
    reporting them, and every other program, counts as one test."""
    build = ROOT / "build" / preset
    reports = build / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    env = dict(os.environ, GTEST_OUTPUT=f"xml:{reports}/", BUILD_DIR=str(build),
               UBSAN_OPTIONS="print_stacktrace=1", TSAN_OPTIONS="halt_on_error=1")
    wrap = same_addresses() if preset in ("asan", "tsan") else []
    fewer = []
    if preset == "asan":
        env["INLET_SIM_SEEDS"] = SIM_SEEDS_SANITIZED
    if preset == "tsan":
        fewer = ["--label-regex", "threads"]
    run([*wrap, "ctest", "--test-dir", build, "-j", os.cpu_count(), "--output-on-failure",
         "--no-tests=error", "--output-junit", build / "ctest.xml", *fewer], env=env)
    counts = Counts()
    for case in xml.etree.ElementTree.parse(build / "ctest.xml").getroot().iter("testcase"):
        report = reports / f"{case.get('name')}.xml"
        cases = count_junit(report) if report.exists() else Counts()
        died = case.get("status") != "run" and cases.failed == 0
        if died:
            cases.failed += 1
        elif not report.exists():
            cases.passed += 1
        counts.add(cases)
    return counts


def tidy():
    failed = run([sys.executable, "tools/tidy.py"]) != 0
    return Counts(passed=int(not failed), failed=int(failed))


def unit():
    return ctest("release")


def build_ahead():
    """The other builds, at the lowest priority: the black-box tests mostly wait."""
    script = ("./dev build asan unit_tests; ./dev build tsan threaded_tests; "
              "./dev build fuzz fuzz_targets")
    with open(ROOT / "build/ahead.log", "wb") as log:
        return subprocess.Popen(["nice", "-n", "19", "bash", "-c", script], cwd=ROOT, stdout=log,
                                stderr=log, stdin=subprocess.DEVNULL)


def is_of_servers(path):
    """Whether the tests of a file mostly wait for other people's servers."""
    return path.stem.startswith(("test_sink", "test_prometheus", "test_monitoring", "test_cloud",
                                 "test_dashboard", "test_deploy", "test_aws"))


def blackbox():
    """Two at a time: tests that wait for other people's servers, and all the others."""
    files = sorted((ROOT / "tests").glob("**/test_*.py"))
    env = dict(os.environ, BUILD_DIR=str(ROOT / "build/release"), INLET_ALL_KILL_POINTS="1")
    running = []
    for of_servers in (True, False):
        chosen = [path for path in files if is_of_servers(path) == of_servers]
        if not chosen:
            continue
        report = ROOT / f"build/pytest-{'servers' if of_servers else 'others'}.xml"
        report.unlink(missing_ok=True)
        log = open(report.with_suffix(".log"), "w+b")  # Of the first; the last is watched.
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider",
             f"--junitxml={report}", *map(str, chosen)], cwd=ROOT, env=env,
            stdout=log if of_servers else None, stderr=subprocess.STDOUT)
        running.append((process, report, log))
    counts = Counts()
    for process, report, log in reversed(running):
        try:
            process.wait(PART_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
        log.seek(0)
        sys.stdout.write(log.read().decode(errors="replace"))
        log.close()
        counts.add(count_junit(report) if report.exists() else Counts(failed=1))
    return counts


def sanitized(preset, target):
    if run(["./dev", "build", preset, target]) != 0:
        return Counts(failed=1)
    return ctest(preset)


def fuzz():
    if not list((ROOT / "fuzz").glob("fuzz_*.cc")):
        return Counts()
    if run(["./dev", "build", "fuzz", "fuzz_targets"]) != 0:
        return Counts(failed=1)
    done = subprocess.run([sys.executable, "tools/fuzz.py", "--seconds", str(FUZZ_SECONDS)],
                          cwd=ROOT, check=False, capture_output=True, text=True)
    print(done.stdout + done.stderr, flush=True)
    words = done.stdout.split()[-4:]
    if len(words) == 4 and words[1] == "passed," and words[3] == "failed":
        return Counts(passed=int(words[0]), failed=int(words[2]))
    return Counts(failed=1)


PARTS = {
    "tidy": tidy,
    "unit": unit,
    "blackbox": blackbox,
    "asan": lambda: sanitized("asan", "unit_tests"),
    "tsan": lambda: sanitized("tsan", "threaded_tests"),
    "fuzz": fuzz,
}


def main():
    wanted = sys.argv[1:] or list(PARTS)
    for name in wanted:
        if name not in PARTS:
            print(f"test: there is no part {name}; there are {', '.join(PARTS)}", file=sys.stderr)
            return 2
    total, lines = Counts(), []
    ahead = None
    for name in wanted:
        if name == "blackbox" and {"asan", "tsan", "fuzz"} <= set(wanted):
            ahead = build_ahead()
        elif name in ("asan", "tsan", "fuzz") and ahead is not None:
            ahead.wait()
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        try:
            counts = PARTS[name]()
        except Exception as error:  # One part's mishap must not hide the others' results.
            print(f"{name}: {error}", flush=True)
            counts = Counts(failed=1)
        total.add(counts)
        lines.append(f"{name:9} {counts} in {time.monotonic() - start:.0f} s")
    print("\n" + "\n".join(lines))
    print(total)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
