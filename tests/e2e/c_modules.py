#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Modules in C: docs/c-modules.md step by step, the examples, and what the compiler must say of wrong declarations.

    tests/e2e/c_modules.py [--flavor asan]

In the document, blocks of C make a module.c in their order; blocks of sh are typed into a shell: after `$ COMMAND`
comes what it prints, where a line `…` stands for any number of lines, and one that ends with it for any that begins
so. The last line says how many checks passed and failed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from host import ROOT  # noqa: E402
from suite import Suite, main  # noqa: E402

TABLE = "WL_TABLE(person, PUBLIC,\n\t(u64, id, PRIMARY_KEY),\n\t(str, name))\n"
WRONG = [  # what is declared, and what the compiler says of it
    ("two keys", "WL_TABLE(t, PUBLIC,\n\t(u32, a, PRIMARY_KEY),\n\t(u32, b, PRIMARY_KEY))",
     "table t: one PRIMARY_KEY at most"),
    ("counting text", "WL_TABLE(t, PUBLIC,\n\t(str, a, AUTO_INC))", "AUTO_INC of t.a: only whole numbers count up"),
    ("direct text", "WL_TABLE(t, PUBLIC,\n\t(str, a, INDEX_DIRECT))", "a direct index of t.a: only u8"),
    ("no such attribute", "WL_TABLE(t, PUBLIC,\n\t(u32, a, PRIMARY))", "WL_A_PRIMARY"),
    ("no such access", "WL_TABLE(t, OPEN,\n\t(u32, a))", "WL_ACCESS_OPEN"),
    ("no such type", "WL_TABLE(t, PUBLIC,\n\t(integer, a))", "integer"),
    ("no such column", TABLE + "WL_INDEX(person, by_age, name, age)", "wl_of_person_age"),
    ("not unique", TABLE + "WL_REDUCER(f) { person row; person_find_by_name(WL_STR(\"a\"), &row); return wl_ok(); }",
     "person_find_by_name"),
    ("no range over a hash", "WL_TABLE(t, PUBLIC,\n\t(u32, a, INDEX_HASH))\n"
     "WL_REDUCER(f) { WL_EACH_RANGE(t, a, row, 1, 2) (void)row; return wl_ok(); }", "t_range_a_2"),
    ("a reducer without a result", "WL_REDUCER(f, (u32, a))\n{\n\t(void)a;\n}", "non-void function"),
    ("no time to schedule", TABLE + "WL_REDUCER(f, (person, row)) { (void)row; return wl_ok(); }\n"
     "WL_SCHEDULE(person, name, f)", "person.name must be a schedule_at"),
    ("nothing to schedule", "WL_TABLE(t, PUBLIC,\n\t(u64, id, PRIMARY_KEY),\n\t(schedule_at, at))\n"
     "WL_SCHEDULE(t, at, f)", "wl_function_f"),
    ("a format that lies", "WL_REDUCER(f) { return wl_fail(\"%s\", 5); }", "-Wformat"),
    ("an argument of another type", TABLE + "WL_REDUCER(f) { person_delete_by_id(WL_STR(\"a\")); return wl_ok(); }",
     "incompatible type"),
]
UNSTABLE = "WARNING: This command is UNSTABLE and subject to breaking changes.\n\n"
WAYS = """WL_TABLE(cell, PUBLIC,
\t(u32, id, PRIMARY_KEY, AUTO_INC),
\t(u8, a), (i64, b), (u32, c), (i16, d),
\t(str, name, INDEX))
WL_INDEX(cell, by_all, a, b, c, d)
WL_INDEX(cell, by_three, a, b, c)
WL_INDEX_HASH(cell, by_hash, b, c)
WL_ARRAY(counts, u32)
WL_REDUCER(fill)
{
\tstatic const char *const names[] = { "ab", "b", "" };
\tfor (u32 n = 0; n < 81; n++) {
\t\tconst char *name = names[n % 3];
\t\tcell row = { 0, (u8)(n / 27), n / 9 % 3, n / 3 % 3, (i16)(n % 3), wl_str_of(name, __builtin_strlen(name)) };
\t\tcell_insert(&row);
\t}
\treturn wl_ok();
}
WL_PROCEDURE(counts, count)
{
\tstatic u32 n[11];
\tcounts all = { n, 11 };
\t__builtin_memset(n, 0, sizeof(n));
\tWL_TRANSACTION {
\t\tWL_EACH_BY(cell, by_all, row, 1) n[0] += row.id > 0;
\t\tWL_EACH_BY(cell, by_all, row, 1, 2) n[1] += row.id > 0;
\t\tWL_EACH_BY(cell, by_three, row, 1, 2, 0) n[2] += row.id > 0;
\t\tWL_EACH_BY(cell, by_all, row, 1, 2, 0, 1) n[3] += row.id > 0;
\t\tWL_EACH_FROM(cell, by_three, row, 1) n[4] += row.id > 0;
\t\tWL_EACH_UP_TO(cell, by_all, row, 1, 1) n[5] += row.id > 0;
\t\tWL_EACH_RANGE(cell, by_all, row, 1, 1, 1, 2) n[6] += row.id > 0;
\t\tWL_EACH_FROM(cell, by_all, row, 0, 0, 0, 1) n[7] += row.id > 0;
\t\tWL_EACH_BY(cell, by_hash, row, 1, 2) n[8] += row.id > 0;
\t\tWL_EACH_FROM(cell, name, row, WL_STR("b")) n[9] += row.id > 0;
\t\tWL_EACH_UP_TO(cell, name, row, WL_STR("ab")) n[10] += row.id > 0;
\t}
\treturn all;
}
WL_PROCEDURE(counts, drop)
{
\tstatic u32 n[2];
\tcounts all = { n, 2 };
\tWL_TRANSACTION {
\t\tn[0] = cell_delete_by_by_all(0, 0, 0, 0);
\t\tn[1] = cell_delete_by_by_hash(2, 2);
\t}
\treturn all;
}
"""
CPP = """#include <worldline/module.h>
#include <worldline/http.h>
WL_ENUM(color, red, green)
WL_STRUCT(point, (i32, x), (i32, y))
WL_UNION(shape, (f64, circle), (point, at), (unit, none))
WL_OPTION(maybe, u32)
WL_ARRAY(numbers, u32)
WL_ARRAY(texts, str)
WL_RESULT(outcome, u32, str)
WL_TABLE(thing, PUBLIC,
\t(u64, id, PRIMARY_KEY, AUTO_INC),
\t(str, name, UNIQUE_HASH),
\t(bool, flag, DEFAULT(true)),
\t(color, tint, INDEX_DIRECT),
\t(shape, form), (maybe, some), (numbers, many), (texts, words), (outcome, end), (u256, huge))
WL_INDEX(thing, by_flag_tint, flag, tint)
WL_TABLE(timer, PRIVATE, (u64, id, PRIMARY_KEY, AUTO_INC), (schedule_at, at))
WL_REDUCER(later, (timer, row)) { (void)row; return wl_ok(); }
WL_SCHEDULE(timer, at, later)
WL_REDUCER(add, (str, name), (color, tint))
{
\tthing row = {};
\tu32 list[] = { 1, 2, 3 };
\trow.name = name;
\trow.tint = tint;
\trow.many = numbers{ list, 3 };
\treturn thing_insert(&row) ? wl_ok() : wl_fail("%.*s is taken", WL_FMT(name));
}
WL_VIEW(thing, tinted, (color, tint))
{
\tWL_EACH_BY(thing, tint, row, tint)
\t\tthing_emit(&row);
}
WL_PROCEDURE(u64, count)
{
\tu64 n = 0;
\tWL_TRANSACTION
\t\tWL_EACH_RANGE(thing, by_flag_tint, row, false, color_red, color_green)
\t\t\tn += row.many.count;
\treturn n;
}
WL_HANDLER(hello) { return wl_reply(200, WL_STR("from C++")); }
WL_ROUTE(GET, "/hello", hello)
"""


def blocks(path):
    """(line, kind, text) of each block with a kind."""
    found, kind = [], None
    with open(path) as f:
        for number, line in enumerate(f, 1):
            if line.startswith("```"):
                kind = line[3:].strip() if kind is None else None
                if kind:
                    found.append((number, kind, ""))
            elif kind:
                found[-1] = (*found[-1][:2], found[-1][2] + line)
    return found


def matches(wanted, got):
    """Lines against lines; `…` at the end of one takes the rest of it, alone any number of them."""
    if not wanted:
        return not got
    if wanted[0] == "…":
        return any(matches(wanted[1:], got[i:]) for i in range(len(got) + 1))
    if not got:
        return False
    same = got[0].startswith(wanted[0][:-1]) if wanted[0].endswith("…") else got[0].rstrip() == wanted[0].rstrip()
    return same and matches(wanted[1:], got[1:])


class Modules(Suite):
    def __init__(self, flavor):
        super().__init__(flavor)
        self.folder = tempfile.mkdtemp(prefix="worldline-c-")
        bin_dir = os.path.join(self.folder, "bin")
        os.mkdir(bin_dir)
        os.symlink(self.host.binary, os.path.join(bin_dir, "worldline"))
        self.env = dict(os.environ, HOME=self.folder, XDG_CONFIG_HOME=os.path.join(self.folder, "config"),
                        PATH=bin_dir + os.pathsep + os.environ["PATH"])

    def shell(self, command):
        done = subprocess.run(["sh", "-c", command], cwd=self.folder, env=self.env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.replace(UNSTABLE, "")

    def says(self, command, wanted):
        output = self.shell(command)[1]
        self.check(command, matches(wanted, output.splitlines()), output)

    def document(self):
        path, source = os.path.join(ROOT, "docs", "c-modules.md"), ""
        for number, kind, text in blocks(path):
            if kind == "c":
                source += text + "\n"
                with open(os.path.join(self.folder, "guild", "module.c"), "w") as f:
                    f.write(source)
                code, output = self.shell("worldline build guild")
                self.check(f"c-modules.md:{number} compiles", code == 0 and "warning" not in output, output)
                continue
            for command in re.split(r"^\$ ", text, flags=re.M)[1:]:
                first, *wanted = command.rstrip("\n").split("\n")
                if command.endswith("\n\n"):
                    wanted.append("")
                code, output = self.shell(first)
                got = output.splitlines()
                while wanted and wanted[-1] == "":
                    wanted.pop()
                while got and got[-1] == "":
                    got.pop()
                self.check(f"c-modules.md:{number}: {first}", matches(wanted, got), output)

    def small(self):
        """A module with one table is small."""
        self.shell("worldline init small && worldline build small")
        size = os.path.getsize(os.path.join(self.folder, "small", "build", "module.wasm"))
        self.check("8 KiB", size <= 8192, f"{size} bytes")

    def wrong(self):
        os.makedirs(os.path.join(self.folder, "wrong"))
        for what, source, text in WRONG:
            with open(os.path.join(self.folder, "wrong", "module.c"), "w") as f:
                f.write("#include <worldline/module.h>\n" + source + "\n")
            code, output = self.shell("worldline build wrong")
            self.check(f"wrong: {what}", text in output and code == 1, output)
        code, output = self.shell("worldline init Bad-Name")
        self.check("a name", code == 1 and "no name of a module" in output, output)
        code, output = self.shell("CLANG=no-such-clang worldline build wrong")
        self.check("no compiler", code == 1 and "there is no no-such-clang here" in output, output)
        os.makedirs(os.path.join(self.folder, "empty"))
        code, output = self.shell("worldline build empty")
        self.check("no sources", code == 1 and "no sources" in output, output)

    def cpp(self):
        os.makedirs(os.path.join(self.folder, "cpp", "src"))
        with open(os.path.join(self.folder, "cpp", "src", "module.cpp"), "w") as f:
            f.write(CPP)
        code, output = self.shell("worldline build cpp")
        self.check("C++", code == 0 and "warning" not in output, output)
        self.shell("worldline publish cpp --module-path cpp --yes")
        self.says("worldline call cpp add Ada '{\"green\": []}'", [])
        self.says("worldline call cpp add Bob '{\"red\": []}'", [])
        self.says("worldline call cpp count", ["6"])
        rows = self.shell("worldline sql cpp 'SELECT name, many FROM thing WHERE id = 1'")[1]
        self.check("C++ arrays", "[1, 2, 3]" in rows, rows)
        status, body = self.host.request("GET", "/v1/database/cpp/route/hello")[:2]
        self.check("C++ handler", (status, body) == (200, b"from C++"), (status, body))

    def several_sources(self):
        """What a header declares in two of them is one thing."""
        sources = {
            "common.h": "#pragma once\n#include <worldline/module.h>\nWL_STRUCT(place, (i32, x), (i32, y))\n"
                        "WL_TABLE(spot, PUBLIC,\n\t(u32, id, PRIMARY_KEY),\n\t(place, at),\n\t(str, name, INDEX))\n"
                        "WL_INDEX(spot, by_name_id, name, id)\nvoid spot_move(spot *row);\n",
            "module.c": "#include \"common.h\"\nWL_REDUCER(mark, (u32, id), (str, name))\n{\n"
                        "\tspot row = { id, { 1, 2 }, name };\n\tspot_move(&row);\n"
                        "\treturn spot_insert(&row) ? wl_ok() : wl_fail(\"taken\");\n}\n"
                        "WL_REDUCER(fill, (u32, from), (u32, n), (str, name))\n{\n"
                        "\tfor (u32 id = from; id < from + n; id++) {\n"
                        "\t\tspot row = { id, { 0, 0 }, name };\n\t\tspot_insert(&row);\n\t}\n"
                        "\treturn wl_ok();\n}\n"
                        "WL_PROCEDURE(u64, bytes_of_all)\n{\n\tu64 sum = 0;\n\tWL_TRANSACTION\n"
                        "\t\tWL_EACH(spot, row)\n\t\t\tsum += row.name.len;\n\treturn sum;\n}\n",
            "other.c": "#include \"common.h\"\nvoid spot_move(spot *row)\n{\n\trow->at.x += (i32)spot_count();\n}\n"
                       "WL_VIEW(spot, named, (str, name))\n{\n\tWL_EACH_BY(spot, by_name_id, row, name)\n"
                       "\t\tspot_emit(&row);\n}\nWL_PROCEDURE(place, far)\n{\n\tplace at = { 9, 9 };\n"
                       "\treturn at;\n}\n",
        }
        os.makedirs(os.path.join(self.folder, "several"))
        for name, source in sources.items():
            with open(os.path.join(self.folder, "several", name), "w") as f:
                f.write(source)
        code, output = self.shell("worldline publish several --module-path several --yes")
        self.check("several sources", code == 0 and "warning" not in output, output)
        self.says("worldline call several mark 1 home", [])
        self.says("worldline call several mark 2 away", [])
        self.check("a type of both", "9" in self.shell("worldline call several far")[1])
        rows = self.shell("worldline sql several \"SELECT * FROM named('away')\"")[1]
        self.check("their rows", "x = 2" in rows and "home" not in rows, rows)
        # More than a loop's buffer holds, and a row that is larger than it.
        self.says(f"worldline call several fill 100 2000 {'n' * 100}", [])
        self.says(f"worldline call several fill 5000 2 {'l' * 40000}", [])
        self.says("worldline call several bytes_of_all", [str(8 + 2000 * 100 + 2 * 40000)])

    def examples(self):
        for name in "chat", "game":
            shutil.copytree(os.path.join(ROOT, "examples", name), os.path.join(self.folder, name),
                            ignore=shutil.ignore_patterns("build", ".worldline"))
            code, output = self.shell(f"worldline publish {name} --module-path {name} --yes")
            self.check(f"{name} is published", code == 0 and "warning" not in output, output)
        for command in ("worldline call chat set_name Ada", "worldline call chat join hall",
                        "worldline call chat say hall 'Hello!'"):
            self.says(command, [])
        self.says("worldline call chat say attic 'Anybody?'", ["Error: …", "…"])
        self.check("what is said", "Hello!" in self.shell("worldline sql chat 'SELECT * FROM message'")[1])
        self.says("worldline call game launch Ada", [])
        self.says("worldline call game launch Ada", ["Error: …", "…"])
        self.says("worldline call game steer 30 -- -10", [])
        where = "for i in 1 2 3 4 5 6 7 8 9 10; do worldline sql game 'SELECT at FROM ship'; sleep 0.1; done"
        self.check("it flies", len(set(re.findall(r"x = -?\d+", self.shell(where)[1]))) > 2, self.shell(where)[1])
        self.says("worldline call game steer 0 0", [])
        sectors = [self.shell(f"worldline sql game 'SELECT * FROM sector({n})'")[1] for n in range(4)]
        self.check("it is in one sector", sum("Ada" in sector for sector in sectors) == 1, sectors)

    def put(self, name, **sources):
        """A module's folder, of sources by their names."""
        os.makedirs(os.path.join(self.folder, name))
        for source, text in sources.items():
            with open(os.path.join(self.folder, name, source + ".c"), "w") as f:
                f.write("#include <worldline/module.h>\n" + text)

    def indexes(self):
        """Every way into an index, against the rows that it must find."""
        self.put("ways", module=WAYS)
        code, output = self.shell("worldline publish ways --module-path ways --yes")
        self.check("ways", code == 0 and "warning" not in output, output)
        self.says("worldline call ways fill", [])
        rows = [(a, b, c, d) for a in range(3) for b in range(3) for c in range(3) for d in range(3)]
        name = {0: "ab", 1: "b", 2: ""}
        wanted = [
            sum(r[0] == 1 for r in rows), sum(r[:2] == (1, 2) for r in rows), sum(r[:3] == (1, 2, 0) for r in rows), 1,
            sum(r[0] >= 1 for r in rows), sum(r[0] == 1 and r[1] <= 1 for r in rows),
            sum(r[:2] == (1, 1) and 1 <= r[2] <= 2 for r in rows), sum(r[:3] == (0, 0, 0) and r[3] >= 1 for r in rows),
            sum(r[1:3] == (1, 2) for r in rows),
            sum(name[r[3]] >= "b" for r in rows), sum(name[r[3]] <= "ab" for r in rows),
        ]
        self.says("worldline call ways count", [json.dumps(wanted, separators=(",", ":"))])
        self.says("worldline call ways drop", ["[1,9]"])
        self.check("dropped", "71" in self.shell("worldline sql ways 'SELECT COUNT(*) AS n FROM cell'")[1])

    def twice(self):
        """What two sources declare differently under one name is refused, not merged."""
        one = "WL_STRUCT(place, (i32, x))\nWL_PROCEDURE(place, here) { place p = { 1 }; return p; }\n"
        for what, first, second, text in (
                ("type", one, one.replace("i32, x", "i64, x").replace("here", "there"), "`place` is used for multiple"),
                ("reducer", "WL_REDUCER(f) { return wl_ok(); }\n", "WL_REDUCER(f) { return wl_fail(\"no\"); }\n",
                 "Name f is used for multiple"),
                ("table", "WL_TABLE(t, PUBLIC, (i32, x))\n", "WL_TABLE(t, PUBLIC, (i32, x, INDEX))\n", "`t` is used"),
                ("index", "WL_TABLE(t, PUBLIC, (i32, x), (i32, y))\nWL_INDEX(t, by, x, y)\n",
                 "WL_TABLE(t, PUBLIC, (i32, x), (i32, y))\nWL_INDEX(t, by, y, x)\n", "`t_by_idx_btree` is used")):
            self.put("twice-" + what, module=first, other=second)
            code, output = self.shell(f"worldline publish twice-{what} --module-path twice-{what} --yes")
            self.check("two of a " + what, code == 1 and text in output, output)

    def memory(self):
        """Too much of it is said in the log, and costs that call alone."""
        self.put("greedy", module="WL_REDUCER(eat) { for (;;) ((volatile char *)wl_alloc(1 << 24))[0] = 1; }\n"
                 "WL_REDUCER(fast) { return wl_ok(); }\n")
        self.shell("worldline publish greedy --module-path greedy --yes")
        self.says("worldline call greedy eat", ["Error: …", "…"])
        self.check("out of memory", "out of memory" in self.shell("worldline logs greedy")[1])
        self.says("worldline call greedy fast", [])

    def run(self):
        try:
            with self.host:
                self.shell(f"worldline server add --url {self.host.url} test --default --no-fingerprint")
                self.document()
                self.small()
                self.wrong()
                self.cpp()
                self.several_sources()
                self.indexes()
                self.twice()
                self.memory()
                self.examples()
                self.check("the host ends well", self.host.stop(seconds=120) == 0)
        finally:
            shutil.rmtree(self.folder)


if __name__ == "__main__":
    sys.exit(main(Modules, __doc__))
