#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random SELECTs of POST /sql against SQLite on the same rows: expressions, joins, groups, order, DISTINCT, LIMIT.

    tests/model/sqlite.py [--count N] [--first SEED] [--flavor dev]

Statements are made so that both languages mean the same by them: no division by zero, no number that overflows, LIKE
with the case it has, NULLS FIRST or LAST said. The last line says how many statements passed and failed.
"""

import argparse
import json
import math
import os
import random
import sqlite3
import sys
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
from host import Host  # noqa: E402
from schema import BOOLEAN, OPTION, TYPES, U64, Float, Table, Text, build_guest, module  # noqa: E402
from world import INSERT, World  # noqa: E402

I64 = next(t for t in TYPES if t.name == "i64")
FLOAT, TEXT = (next(t for t in TYPES if isinstance(t, kind)) for kind in (Float, Text))
COLUMNS = {"id": U64, "a": I64, "b": I64, "s": TEXT, "f": FLOAT, "flag": BOOLEAN, "maybe": OPTION}
INDEXES = [[("btree", [1])], [("btree", [2, 1]), ("hash", [3])], [("btree", [3]), ("btree", [5, 2])]]
WORDS, PATTERNS = ["", "a", "ab", "abc", "b", "B", "a%b"], ["a%", "%b", "_", "%", "ab", "a!%b", "%B%"]


def tables():
    made = []
    for number, indexes in enumerate(INDEXES):
        table = Table(f"t{'abc'[number]}", list(COLUMNS.values()), 0, indexes)
        table.columns = list(COLUMNS)
        made.append(table)
    return made


def random_row(pick, number):
    return (number, pick.randint(-4, 4), pick.randint(-2, 6), pick.choice(WORDS), pick.choice([0.5, 1.5, -2.0, 0.0]),
            pick.random() < 0.5, pick.choice([None, 0, 1, 2, 5]))


class Statement:
    """A random SELECT: its text, and whether its rows come in an order."""

    def __init__(self, pick):
        self.pick = pick
        self.names = [f"x{i}" for i in range(pick.choice([1, 1, 2, 2, 3]))]
        self.text = self.make()

    # ---- expressions, by type ----

    def column(self, name):
        return f"{self.pick.choice(self.names)}.{name}"

    def integer(self, depth):
        pick = self.pick
        if depth == 0 or pick.random() < 0.4:
            return self.column(pick.choice(["a", "b"]))
        kind = pick.randrange(5)
        if kind == 0:
            return f"-{self.integer(0)}"
        if kind == 1:
            return f"({self.integer(depth - 1)} {pick.choice('/%')} {pick.choice([2, 3, -2])})"
        other = self.integer(depth - 1) if pick.random() < 0.6 else str(pick.randint(-3, 9))
        return f"({self.integer(depth - 1)} {pick.choice('+-*')} {other})"

    def option(self):
        return self.pick.choice([self.column("maybe"), f"({self.column('maybe')} + {self.pick.randint(0, 3)})",
                                 f"({self.column('maybe')} * 2)"])

    def real(self):
        return self.pick.choice([self.column("f"), f"({self.column('f')} * 2.5)", f"-{self.column('f')}",
                                 f"({self.column('f')} + {self.column('f')})"])

    def condition(self, depth):
        pick = self.pick
        if depth > 0 and pick.random() < 0.5:
            kind = pick.choice(["AND", "AND", "OR", "NOT"])
            left = self.condition(depth - 1)
            return f"NOT ({left})" if kind == "NOT" else f"({left} {kind} {self.condition(depth - 1)})"
        no = pick.choice(["", "", "NOT "])
        op = pick.choice(["=", "=", "<>", "<", "<=", ">", ">="])
        return pick.choice([
            lambda: f"{self.column('b')} {op} {pick.randint(-2, 6)}",
            lambda: f"{self.integer(1)} {op} {self.integer(1)}",
            lambda: f"{self.column('id')} {pick.choice(['=', '<', '>='])} {pick.randint(0, 12)}",
            lambda: f"{self.column('s')} {op} {pick.choice([self.column('s'), repr(pick.choice(WORDS))])}",
            lambda: f"{self.column('s')} {no}LIKE '{pick.choice(PATTERNS)}' ESCAPE '!'",
            lambda: f"{self.integer(1)} {no}IN ({pick.randint(-3, 3)}, {pick.randint(-3, 8)}, {self.integer(0)})",
            lambda: f"{self.column('b')} {no}IN ({pick.randint(-2, 6)}, {pick.randint(-2, 6)})",
            lambda: f"{self.option()} {no}IN ({pick.randint(0, 3)}, {pick.randint(0, 7)})",
            lambda: f"{self.option()} {no}BETWEEN {pick.randint(0, 2)} AND {pick.randint(1, 6)}",
            lambda: f"{self.integer(1)} {no}BETWEEN {self.integer(0)} AND {pick.randint(0, 5)}",
            lambda: f"{pick.choice([self.column('maybe'), self.column('s'), self.option()])} IS {no}NULL",
            lambda: f"{self.real()} {op} {pick.choice([0.5, -1.0, 1.5])}",
            lambda: self.column("flag"),
            lambda: f"{self.column('flag')} = {pick.choice(['true', 'false'])}",
        ])()

    def value(self):
        return self.pick.choice([
            lambda: self.integer(2), lambda: self.integer(2), lambda: self.column("s"), self.option, self.real,
            lambda: self.column("id"), lambda: self.column("flag"), lambda: self.condition(1)])()

    def aggregate(self):
        pick = self.pick
        return pick.choice([
            lambda: "COUNT(*)", lambda: f"COUNT({self.option()})", lambda: f"COUNT(DISTINCT {self.value()})",
            lambda: f"SUM({self.integer(1)})", lambda: f"SUM({self.option()})", lambda: f"AVG({self.integer(1)})",
            lambda: f"AVG({self.option()})", lambda: f"{pick.choice(['MIN', 'MAX'])}({self.column('s')})",
            lambda: f"{pick.choice(['MIN', 'MAX'])}({self.integer(1)})", lambda: f"MAX({self.option()})",
            lambda: f"SUM({self.column('f')})"])()

    # ---- clauses ----

    def source(self):
        pick, parts, names = self.pick, [], self.names
        for i, name in enumerate(names):
            table = f"t{pick.choice('abc')} {name}"
            kind = pick.choice(["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "CROSS JOIN"])
            if i == 0:
                parts.append(table)
            elif kind == "CROSS JOIN":
                parts.append(f"CROSS JOIN {table}")
            else:
                self.names = names[:i + 1]
                column = pick.choice(["a", "b", "s"])
                on = f"{pick.choice(names[:i])}.{column} = {name}.{column}"
                if pick.random() < 0.4:
                    on = self.condition(1) if pick.random() < 0.5 else f"{on} AND {self.condition(1)}"
                parts.append(f"{kind} {table} ON {on}")
        self.names = names
        return " ".join(parts)

    def make(self):
        pick = self.pick
        source = self.source()
        where = f" WHERE {self.condition(2)}" if pick.random() < 0.6 else ""
        grouped, groups, distinct = pick.random() < 0.4, [], ""
        if grouped:
            groups = [pick.choice([self.integer(1), self.column("s"), self.column("maybe"), self.column("flag")])
                      for _ in range(pick.choice([0, 1, 1, 2]))]
            items = groups + [self.aggregate() for _ in range(pick.randint(1, 3))]
            if pick.random() < 0.3 and groups and groups[0].endswith((".a", ".b")):
                items.append(f"({groups[0]} * 2 + 1)")
        else:
            items = [self.value() for _ in range(pick.randint(1, 4))]
            distinct = pick.choice(["", "", "DISTINCT "])
        columns = ", ".join(f"{item} AS c{'abcdefg'[i]}" for i, item in enumerate(items))
        tail = f" GROUP BY {', '.join(groups)}" if groups else ""
        if grouped and pick.random() < 0.3:
            tail += f" HAVING {pick.choice(['COUNT(*) > 1', f'SUM({self.column(chr(97))}) < 4', 'NOT COUNT(*) = 2'])}"
        self.is_ordered = pick.random() < 0.5
        if self.is_ordered:
            order = list(range(1, len(items) + 1))
            pick.shuffle(order)
            tail += " ORDER BY " + ", ".join(
                f"{n}{pick.choice(['', ' DESC'])} NULLS {pick.choice(['FIRST', 'LAST'])}" for n in order)
            if pick.random() < 0.5:
                tail += f" LIMIT {pick.randint(0, 6)}"
                tail += f" OFFSET {pick.randint(0, 4)}" if pick.random() < 0.5 else ""
        return f"SELECT {distinct}{columns} FROM {source}{where}{tail}"


# ---- answers ----


def plain(value, kind):
    """A value as SQLite has it."""
    if "Sum" in kind:
        some = kind["Sum"]["variants"][0]["algebraic_type"]
        return plain(value[1], some) if value[0] == 0 else None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and not kind.keys() & {"String"}:
        return int(value, 0)
    return value


def rounded(value):
    return float(f"{value:.9g}") + 0.0 if isinstance(value, float) and math.isfinite(value) else value


def ours(answer):
    result = json.loads(answer)[0]
    kinds = [e["algebraic_type"] for e in result["schema"]["elements"]]
    return [tuple(rounded(plain(v, k)) for v, k in zip(row, kinds)) for row in result["rows"]]


class Both:
    """The same tables in the host and in SQLite."""

    def __init__(self, host):
        self.host, self.tables = host, tables()
        self.token = json.loads(host.request("POST", "/v1/identity")[1])["token"]
        status, answer = host.request("PUT", "/v1/database/sqlite", module(self.tables, [], []), self.token,
                                      "application/wasm")
        assert status == 200, answer
        self.lite = sqlite3.connect(":memory:")
        self.lite.execute("PRAGMA case_sensitive_like = ON")
        for table in self.tables:
            self.lite.execute(f"CREATE TABLE {table.name} ({', '.join(table.columns)})")

    def fill(self, pick):
        for table in self.tables:
            rows = [random_row(pick, n) for n in range(pick.choice([0, 3, 8, 12]))]
            self.lite.execute(f"DELETE FROM {table.name}")
            self.lite.executemany(f"INSERT INTO {table.name} VALUES ({','.join('?' * len(COLUMNS))})", rows)
            status, answer = self.ask(f"DELETE FROM {table.name}")
            assert status == 200, answer
            script = b"".join(World.op(INSERT, table, row) for row in rows)
            status, answer = self.host.request("POST", "/v1/database/sqlite/call/run",
                                               json.dumps([script.hex()]).encode(), self.token, "application/json")
            assert status == 200, answer

    def ask(self, sql):
        status, answer = self.host.request("POST", "/v1/database/sqlite/sql", sql.encode(), self.token)
        return status, answer.decode()

    def differ(self, statement):
        """None, or how."""
        wanted = [tuple(rounded(v) for v in row) for row in self.lite.execute(statement.text)]
        status, answer = self.ask(statement.text)
        if status != 200:
            return f"refused: {answer}"
        got = ours(answer)
        if got == wanted or (not statement.is_ordered and Counter(got) == Counter(wanted)):
            return None
        return f"gives {got[:20]}, SQLite {wanted[:20]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=4000, help="how many statements")
    parser.add_argument("--first", type=int, default=1, help="the first one's seed")
    parser.add_argument("--flavor", default="dev")
    options = parser.parse_args()
    build_guest()
    passed = failed = 0
    with Host(options.flavor, start_seconds=120) as host:
        both = Both(host)
        for seed in range(options.first, options.first + options.count):
            if seed == options.first or seed % 20 == 0:
                both.fill(random.Random(seed // 20))
            statement = Statement(random.Random(seed))
            wrong = both.differ(statement)
            passed, failed = passed + (wrong is None), failed + (wrong is not None)
            if wrong is not None:
                print(f"FAIL seed {seed}: {statement.text}\n  {wrong}", flush=True)
                if failed >= 20:
                    break
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
