"""Goal: every house rule of tools/tidy.py finds what it forbids, and nothing in a clean tree.

Method: a small clean tree in a temporary directory; each case adds one file that breaks one rule
and expects exactly that complaint at that line."""

import pathlib
import subprocess
import sys

import pytest

TIDY = pathlib.Path(__file__).resolve().parent.parent / "tools/tidy.py"

CLEAN = {
    "CMakeLists.txt": "room(base LIBS fmt::fmt)\nroom(journal USES base)\nroom(http USES base)\n",
    "src/base/a.h": "// a: something to include.\n\n#pragma once\n",
    "src/journal/b.h": '// b: uses what it may.\n\n#pragma once\n\n#include "base/a.h"\n',
    "src/journal/b.cc": '#include "journal/b.h"\n\nint answer() {\n  return 42;\n}\n',
    "src/journal/b_test.cc": "// Goal: b answers.\n// Method: asks it.\n",
    "tests/test_x.py": '"""Goal: x.\n\nMethod: y."""\n',
}

H = "// c: it.\n#pragma once\n"
LONG_FUNCTION = "void f() {\n" + "  g();\n" * 69 + "}\n"

# Name of the added file, its text, the line and a part of the complaint.
BROKEN = [
    ("src/journal/c.h", H + '#include "http/d.h"\n', 3, "journal may not use http"),
    ("src/base/c.h", H + '#include "journal/b.h"\n', 3, "base may not use journal"),
    ("src/http/c.h", H + '#include "main/m.h"\n', 3, "http may not use main"),
    ("src/http/c.h", H + '#include "sim/s.h"\n', 3, "a program may not use sim/"),
    ("src/journal/c.h", H + "#include <boost/asio.hpp>\n", 3, "only in http, main, serve"),
    ("src/base/c.h", H + "#include <spdlog/spdlog.h>\n", 3, "only in base/log.cc"),
    ("src/base/a.cc", '#include <vector>\n#include "base/a.h"\n', 1, 'first include is "base/a.h"'),
    ("src/base/c.h", "// d: it.\n#pragma once\n", 1, "a header begins '// c: "),
    ("src/base/c.h", "// c: it.\n", 1, "#pragma once"),
    ("src/base/c_test.cc", "// Method: asks.\n", 1, "a test begins '// Goal: "),
    ("src/base/c_test.cc", "// Goal: asks.\n", 1, "a test says 'Method: "),
    ("tests/test_y.py", "import os\n", 1, "a test begins"),
    ("src/base/c.cc", "// " + "x" * 98 + "\n", 1, "101 columns"),
    ("src/base/c.cc", "\n" * 601, 601, "601 lines"),
    ("src/base/c.cc", "\n" + LONG_FUNCTION, 2, "71 lines"),
    ("src/base/c.cc", "using " "namespace std;\n", 1, "banned"),
    ("src/base/c.cc", "std::" "shared_ptr<int> p;\n", 1, "banned"),
    ("src/base/c.cc", "  assert" "(true);\n", 1, "banned"),
    ("src/base/c_test.cc", "// Goal: a.\n// Method: b.\nGTEST_" "SKIP();\n", 3, "banned"),
    ("src/base/c.cc", "::fsy" "nc(3);\n", 1, "use base/file.h"),
    ("src/base/c.cc", "std::ifs" "tream in;\n", 1, "use base/file.h"),
    ("src/base/c.cc", "std::this_thread::sleep" "_for(x);\n", 1, "use a Clock"),
    ("docs/c.md", "later: TO" "DO\n", 1, "unfinished work"),
    ("docs/c.md", "it is not " "implemented\n", 1, "unfinished work"),
    ("docs/c.md", "see /wo" "rk/x\n", 1, "a path of one machine"),
    ("docs/c.md", "fixes issue " "#12\n", 1, "how it was made"),
    ("tests/test_y.py", '"""Goal: a.\n\nMethod: b."""\n@pytest.mark.sk' 'ip\n', 4, "does not run"),
]


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def tidy(root):
    done = subprocess.run([sys.executable, str(TIDY), str(root)], capture_output=True, text=True,
                          check=False)
    return done.returncode, done.stdout.splitlines()


def test_a_clean_tree_is_tidy(tmp_path):
    write(tmp_path, CLEAN)
    assert tidy(tmp_path) == (0, ["tidy"])


@pytest.mark.parametrize("name,text,line,complaint", BROKEN)
def test_a_broken_rule_is_found_where_it_is_broken(tmp_path, name, text, line, complaint):
    write(tmp_path, {**CLEAN, name: text})
    code, lines = tidy(tmp_path)
    assert code == 1
    assert len(lines) == 2, lines
    assert lines[0].startswith(f"{name}:{line}: ")
    assert complaint in lines[0]


def test_words_in_strings_and_comments_are_not_code(tmp_path):
    harmless = '// assert' '(x) is banned.\nauto t = "std::' 'shared_ptr";\nstatic_assert(true);\n'
    write(tmp_path, {**CLEAN, "src/base/c.cc": harmless})
    assert tidy(tmp_path) == (0, ["tidy"])


def test_a_test_may_include_any_library(tmp_path):
    test = "// Goal: a.\n// Method: b.\n#include <zstd.h>\n"
    write(tmp_path, {**CLEAN, "src/base/c_test.cc": test})
    assert tidy(tmp_path) == (0, ["tidy"])


def test_a_tree_without_rooms_is_refused(tmp_path):
    write(tmp_path, {"CMakeLists.txt": "project(x)\n"})
    assert tidy(tmp_path)[0] == 2
