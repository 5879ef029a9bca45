#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy: the house rules that a machine can check. `make tidy` fails on any of them.

    tools/tidy.py [PATH ...]     check everything, or only these files and folders
    tools/tidy.py --rooms        the table of rooms and arrows, as Markdown
    tools/tidy.py --long         functions longer than 70 lines (advice, never fails)

Checked: includes between rooms, banned calls, line and file lengths, unfinished-work marks, white space, licence
lines, paths of a particular machine. Rules and exceptions are the tables below; a rule is bent here or not at all.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Who may include whom, beside itself and base. An entry with a slash allows that one header only; *_internal.h never
# leaves its room. `native` is native/native.h and the engine's headers.
ROOMS = {
    "base": [],
    "sats": ["native"],
    "module": ["sats", "native"],
    "store": ["sats"],
    "commitlog": ["native"],
    "snapshot": ["store", "commitlog", "native"],
    "runtime": ["store", "native"],
    "query": ["store", "native"],
    "protocol": ["sats"],
    "subs": ["query", "store", "protocol"],
    "database": ["runtime", "subs", "store", "snapshot", "commitlog", "module", "protocol", "query", "native"],
    "auth": ["native"],
    "net": ["native"],
    "host": ["database", "auth", "commitlog", "module", "runtime", "native"],
    "backup": ["host", "database", "snapshot", "store", "commitlog", "runtime", "native"],
    "api": ["host", "net", "auth", "database", "protocol", "subs/delivery.h", "module", "native"],
    "cli": ["api", "backup", "host", "database", "commitlog", "net", "auth", "module", "sats", "native"],
}
BASE = "base"

# Calls that may appear nowhere, and those that only base may make (tests do as they like with the heap).
BANNED = ["strcpy", "strcat", "sprintf", "vsprintf", "gets", "strtok", "atoi", "atol", "atof", "alloca", "setjmp",
          "longjmp"]
BANNED_HEAP = ["malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup", "asprintf", "vasprintf"]
HEAP_ROOMS = ("src/base/", "native/", "tests/", "bench/heap.c")

LINE_COLUMNS_MAX = 120
TAB_COLUMNS = 4
FILE_LINES_MAX = 1200
FUNCTION_LINES_ADVISED = 70

C_SUFFIXES = {".c", ".h"}
CODE_SUFFIXES = C_SUFFIXES | {".py", ".sh", ".rs", ".ts", ".js", ".mjs", ".mk"}
TEXT_SUFFIXES = CODE_SUFFIXES | {".md", ".toml", ".txt", ".json", ".yml", ".yaml"}
TEXT_NAMES = {"Makefile", ".gitignore"}
# Written by tools, or by the people whose programs are recorded there.
FOREIGN = re.compile(r"(^|/)(node_modules|target|corpus|data|golden)/|(^|/)(Cargo|package-lock)\.(lock|json)$"
                     r"|(^|/)package-lock\.json$|(^|/)LICENSE|_vectors\.h$")
# Spelled in two parts, so that this file passes its own test.
MARKS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
MACHINE_PATH = re.compile(r"(?<![\w.)}\]$-])/(?:wo" + r"rk|ro" + r"ot)/")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^">]+)[">]', re.MULTILINE)
C_NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")[ \t]*\(")
CALL_HEAP = re.compile(r"(?<![\w.>])(" + "|".join(BANNED_HEAP) + r")[ \t]*\(")


def blank_noise(text):
    """The text without comments, strings and characters; same lines."""
    return C_NOISE.sub(lambda m: "\n" * m.group(0).count("\n") or " ", text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def columns(line):
    return len(line.expandtabs(TAB_COLUMNS))


def check_includes(path, text):
    parts = path.split("/")
    if parts[0] != "src" or len(parts) < 3:
        return
    room = parts[1]
    if room not in ROOMS:
        yield 1, f"room {room} is not in the table of rooms"
        return
    for match in INCLUDE.finditer(text):
        target, line = match.group(1), line_of(text, match.start())
        other = target.split("/")[0] if "/" in target else ("native" if target == "native.h" else None)
        if target.startswith("wasmtime"):
            other = "native"
        if other is None or other == room or (other not in ROOMS and other != "native"):
            continue
        if target.endswith("_internal.h"):
            yield line, f"{target} is the business of {other} alone"
        elif other != BASE and other not in ROOMS[room] and target not in ROOMS[room]:
            yield line, f"{room} may not include {target}: no arrow {room} -> {other}"


def check_calls(path, text):
    code = blank_noise(text)
    for match in CALL.finditer(code):
        yield line_of(code, match.start()), f"{match.group(1)} is banned"
    if path.startswith(HEAP_ROOMS):
        return
    for match in CALL_HEAP.finditer(code):
        yield line_of(code, match.start()), f"{match.group(1)} is banned outside base: base/mem.h"


def check_lines(path, text, suffix):
    lines = text.split("\n")
    if suffix in CODE_SUFFIXES and len(lines) > FILE_LINES_MAX:
        yield len(lines), f"longer than {FILE_LINES_MAX} lines: split by concept"
    for number, line in enumerate(lines, 1):
        if suffix in CODE_SUFFIXES and columns(line) > LINE_COLUMNS_MAX:
            yield number, f"{columns(line)} columns, {LINE_COLUMNS_MAX} are allowed"
        if line.endswith((" ", "\t", "\r")) and suffix != ".md":
            yield number, "white space at the end"
        if MACHINE_PATH.search(line):
            yield number, "path of a particular machine"
        mark = MARKS.search(line)
        if mark and suffix in CODE_SUFFIXES:
            yield number, f"unfinished-work mark {mark.group(0)}"


def check_ends(text, suffix):
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"
    if text.endswith("\n\n"):
        yield text.count("\n"), "empty lines at the end"
    if suffix in CODE_SUFFIXES and "SPDX-License-Identifier:" not in "\n".join(text.split("\n")[:5]):
        yield 1, "no SPDX licence line"


def check_file(path):
    suffix = ".mk" if os.path.basename(path) == "Makefile" else os.path.splitext(path)[1]
    try:
        text = (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        yield 1, "not UTF-8"
        return
    yield from check_lines(path, text, suffix)
    yield from check_ends(text, suffix)
    if suffix in C_SUFFIXES:
        yield from check_includes(path, text)
        yield from check_calls(path, text)


def all_files():
    """Every file of the tree that git knows or would add; without git, every file but what is built."""
    try:
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
        names = [name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")
                 if p.is_file() and p.relative_to(ROOT).parts[0] not in (".git", "build")]
    for name in sorted(names):
        base = os.path.basename(name)
        wanted = os.path.splitext(base)[1] in TEXT_SUFFIXES or base in TEXT_NAMES
        if wanted and not FOREIGN.search(name) and (ROOT / name).is_file():
            yield name


def selected(paths):
    wanted = [os.path.relpath(Path(p).resolve(), ROOT) for p in paths]
    for name in all_files():
        if not wanted or any(w == "." or name == w or name.startswith(w + "/") for w in wanted):
            yield name


def print_rooms():
    print("| room | may include, beside `base` |\n|---|---|")
    for room in reversed(list(ROOMS)):
        print(f"| `{room}/` | {', '.join(ROOMS[room]) or '–'} |")


def print_long(paths):
    """Functions: from a line that is only `{` to the next that is only `}`."""
    for name in selected(paths):
        if not name.endswith(".c"):
            continue
        lines, start = (ROOT / name).read_text(encoding="utf-8").split("\n"), None
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                if number - start > FUNCTION_LINES_ADVISED:
                    print(f"{name}:{start}: {number - start} lines")
                start = None


def main(arguments):
    if "--rooms" in arguments:
        print_rooms()
        return 0
    paths = [a for a in arguments if not a.startswith("--")]
    if "--long" in arguments:
        print_long(paths)
        return 0
    faults = files = 0
    for name in selected(paths):
        files += 1
        for line, text in check_file(name):
            faults += 1
            print(f"{name}:{line}: {text}")
    print(f"tidy: {files} files, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
