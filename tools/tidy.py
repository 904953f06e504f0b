#!/usr/bin/env python3
"""The house rules that no compiler checks. Reads the architecture from the room() lines of
CMakeLists.txt, so the drawing and the code cannot disagree. Prints every violation as
path:line: sentence, and exits 1 if there is any. An argument names another tree to check."""

import pathlib
import re
import subprocess
import sys

LINE_MAX = 100
FILE_LINES_MAX, TEST_LINES_MAX = 600, 1000
FUNCTION_LINES_MAX = 70
CODE = {".h", ".cc", ".py", ".sh", ".js"}
CODE_DIRECTORIES = {"src", "sim", "fuzz", "bench", "tests", "tools", "deploy"}
NOT_OURS = {"build", "data", ".git", "node_modules", "__pycache__", ".pytest_cache", ".cache"}
NO_ROOMS = {"sim", "bench", "fuzz", "tests"}  # Folders that no program may include from.

# Which rooms may include a library, by how its headers begin. Tests may include any.
VENDORS = {
    "boost/": {"http", "serve", "main"},
    "openssl/": {"http", "serve", "aws"},
    "simdjson": {"codec", "serve", "aws", "sinks", "ship", "load", "top"},
    "zstd": {"codec", "serve", "sinks", "load"},
    "xxh": {"serve"},
    "zlib": {"codec", "serve", "sinks", "load"},
    "toml++/": {"main"},
    "CLI/": {"main"},
    "spdlog/": {"base/log.cc"},
    "curl/": {"fetch"},
    "curses": {"top"},
    "librdkafka/": {"sinks"},
}

# In C++ of any kind: pattern, what to use instead. A letter in brackets keeps a rule from
# finding itself.
BANNED = {
    r"using namespace std\b": "qualified names",
    r"\bstd::shared_ptr\b|\bmake_shared\b": "one owner, and references",
    r"(?<![\w_])assert\(": "CHECK",
    r"\bGTEST_[S]KIP\b|\bDISABLE[D]_[A-Za-z]": "a test that runs",
}
# make_shared is how spdlog takes its sinks.
SHARED_ALLOWED = {"src/base/log.cc"}

# In programs, not in tests: pattern, where it is allowed, what to use instead.
RESTRICTED = [
    (r"(?<![\w>])::(open|openat|creat|pread\w*|pwrite\w*|fsync|fdatasync|rename|unlink|mkdir)\(",
     ("src/base/posix_file.cc", "src/main/", "bench/"), "base/file.h"),
    (r"\bstd::[io]?fstream\b|\bstd::filesystem\b|\bfopen\(",
     ("src/base/posix_file.cc", "src/main/", "bench/"), "base/file.h"),
    (r"\bsleep_(for|until)\b|\b(u|nano)sleep\(", ("src/base/time.h", "bench/"),
     "a Clock passed in"),
]

# In every file of the tree: pattern, what is wrong with it.
WORDS = [
    (r"\bTO[D]O\b|\bFIX[M]E\b|\bX[X]X\b|\bHA[C]K\b", "unfinished work"),
    (r"\bnot (yet )?imple[m]ented\b|\bplace[h]older\b|\bfor no[w],", "unfinished work"),
    (r"pytest\.(mark\.)?[s]kip\w*|unittest\.[s]kip\w*", "a test that does not run"),
    (r"(?<![\w.$}-])/(?:work|root|farm)/(?!\.\.)", "a path of one machine"),
    (r"\b(pypi|pythonhosted|npmjs|crates)\.(org|io)\b|proxy\.gola[n]g", "a package registry"),
    (r"\b[Ii]ssues? #?\d+\b|\b([Tt]his|[Ee]arlier|[Pp]revious) sessi[o]n\b", "how it was made"),
    (r"\b(AI|coding) assist[a]nts?\b|\blanguage mod[e]l\b", "how it was made"),
]
# Documents of others, and lists made by programs.
WORDS_EXEMPT = {"LICENSE"}


class Tree:
    def __init__(self, root):
        self.root = root
        self.violations = []
        text = (root / "CMakeLists.txt").read_text()
        lines = re.findall(r"^room\((\w+)(?:\s+USES\s+([\w ]+?))?(?:\s+LIBS [^)]*)?\s*\)", text,
                           re.M)
        self.rooms = {name: {name, *uses.split()} for name, uses in lines}

    def fail(self, path, line, message):
        self.violations.append(f"{path.relative_to(self.root)}:{line}: {message}")

    def files(self):
        """What is tracked or could be; every file where there is no git."""
        try:
            listed = subprocess.run(
                ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                cwd=self.root, check=True, capture_output=True).stdout.decode().split("\0")
            paths = [self.root / name for name in listed if name]
        except (subprocess.CalledProcessError, FileNotFoundError):
            paths = [p for p in self.root.rglob("*")
                     if not NOT_OURS & set(p.relative_to(self.root).parts)]
        return sorted(p for p in paths if p.is_file() and not p.is_symlink())


def is_test(path):
    return (path.stem.endswith("_test") or path.stem.startswith("test_")
            or path.name == "conftest.py")


def check_words(tree, path, lines):
    for number, line in enumerate(lines, 1):
        for pattern, wrong in WORDS:
            if re.search(pattern, line):
                tree.fail(path, number, f"{wrong}: {re.search(pattern, line)[0].strip()}")


def check_size(tree, path, lines):
    top = path.relative_to(tree.root).parts[0]
    limit = TEST_LINES_MAX if is_test(path) or top == "tests" else FILE_LINES_MAX
    if len(lines) > limit:
        tree.fail(path, len(lines), f"the file has {len(lines)} lines, {limit} are allowed")
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_MAX and "://" not in line:
            tree.fail(path, number, f"the line has {len(line)} columns, {LINE_MAX} are allowed")


def check_opening(tree, path, lines):
    head = "\n".join(lines[:25])
    if path.suffix == ".h":
        if not lines or not lines[0].startswith(f"// {path.stem}: "):
            tree.fail(path, 1, f"a header begins '// {path.stem}: what it is for'")
        if "#pragma once" not in lines:
            tree.fail(path, 1, "a header has #pragma once")
    if path.name == "conftest.py" or not is_test(path):
        return
    begins = "// Goal: " if path.suffix == ".cc" else '"""Goal: '
    if path.suffix in (".cc", ".py") and begins not in "\n".join(lines[:3]):
        tree.fail(path, 1, f"a test begins '{begins}what it proves'")
    elif path.suffix in (".cc", ".py") and not re.search(r"^(// )?Method: ", head, re.M):
        tree.fail(path, 1, "a test says 'Method: how it proves it' after its goal")


def check_includes(tree, path, lines):
    """In src/ only: what a room may see, and its own header first."""
    relative = path.relative_to(tree.root / "src")
    room = relative.parts[0]
    allowed = tree.rooms.get(room)  # main is no room: it may see all.
    first = None
    for number, line in enumerate(lines, 1):
        include = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if not include:
            continue
        name = include[2]
        first = first or name
        target = name.split("/")[0]
        ours = include[1] == '"'
        if ours and allowed and target in tree.rooms and target not in allowed:
            tree.fail(path, number, f"{room} may not use {target}")
        if ours and target == "main" and room != "main":
            tree.fail(path, number, f"{room} may not use main")
        if is_test(path):
            continue
        if ours and target in NO_ROOMS:
            tree.fail(path, number, f"a program may not use {target}/")
        for prefix, places in VENDORS.items():
            if name.startswith(prefix) and not {room, str(relative)} & places:
                where = ", ".join(sorted(places))
                tree.fail(path, number, f"{name} may be included only in {where}")
    own = path.with_suffix(".h")
    if path.suffix == ".cc" and own.exists() and first != str(own.relative_to(tree.root / "src")):
        tree.fail(path, 1, f"the first include is \"{own.relative_to(tree.root / 'src')}\"")


def check_constructs(tree, path, lines):
    relative = str(path.relative_to(tree.root))
    for number, line in enumerate(lines, 1):
        code = re.sub(r'"(\\.|[^"\\])*"', '""', line).split("//")[0]
        for pattern, instead in BANNED.items():
            if re.search(pattern, code) and relative not in SHARED_ALLOWED:
                tree.fail(path, number, f"{re.search(pattern, code)[0]} is banned: use {instead}")
        if is_test(path) or relative.startswith(("tests/", "sim/", "fuzz/")):
            continue
        for pattern, places, instead in RESTRICTED:
            if re.search(pattern, code) and not relative.startswith(places):
                tree.fail(path, number, f"{re.search(pattern, code)[0]} belongs elsewhere: "
                                        f"use {instead}")


def check_functions(tree, path, lines):
    """Counts from a line that opens a body, at most one level deep, to the brace that ends it.
    clang-tidy counts exactly; this needs no compiler."""
    opens = re.compile(r"^( {0,2})(?!\s|namespace|class|struct|enum|union|extern|if|for|while"
                       r"|switch|do\b|else|return|#|//|}).*\)[^;]*\{$")
    start = indent = None
    for number, line in enumerate(lines, 1):
        opening = opens.match(line)
        if opening and start is None:
            start, indent = number, opening[1]
        elif start is not None and line.startswith(indent + "}"):
            if number - start + 1 > FUNCTION_LINES_MAX:
                tree.fail(path, start, f"the function has {number - start + 1} lines, "
                                       f"{FUNCTION_LINES_MAX} are allowed")
            start = None


def check(tree, path):
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        return
    top = path.relative_to(tree.root).parts[0]
    if path.name not in WORDS_EXEMPT:
        check_words(tree, path, lines)
    if top not in CODE_DIRECTORIES and path.name not in ("dev", "run"):
        return
    if path.suffix in CODE or path.name in ("dev", "run"):
        check_size(tree, path, lines)
        check_opening(tree, path, lines)
    if path.suffix in (".h", ".cc"):
        check_constructs(tree, path, lines)
        check_functions(tree, path, lines)
        if top == "src":
            check_includes(tree, path, lines)


def main():
    here = pathlib.Path(__file__).resolve().parent.parent
    tree = Tree(pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else here)
    if not tree.rooms:
        print("tidy: CMakeLists.txt has no room() lines", file=sys.stderr)
        return 2
    for path in tree.files():
        check(tree, path)
    for violation in tree.violations:
        print(violation)
    print(f"tidy: {len(tree.violations)} violations" if tree.violations else "tidy")
    return 1 if tree.violations else 0


if __name__ == "__main__":
    sys.exit(main())
