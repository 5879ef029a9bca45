# SPDX-License-Identifier: Apache-2.0
"""Attacks of hostile.py by modules: functions that lie (tests/modules/liar), and definitions that make no sense."""

import os
import subprocess
import tempfile
import time

from wire import (STRING, U8, U32, U64, Client, Module, array, describe, product, reducer, subscribe, table, text, u8,
                  u16, u32)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROWS, MODE, PLAYER = product([("id", U64)]), product([("id", U8), ("value", U8)]), product([("id", U64), ("n", U32)])


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def sequence(column, increment=1):
    """Of a table: no name, no start, no bounds."""
    return b"\1" + u16(column) + b"\1\1\1" + increment.to_bytes(16, "little", signed=True)


def procedure(name, params, result):
    return text(name) + product(params) + result + u8(1)


def view(name, index, result, params=(), anonymous=True):
    return text(name) + u32(index) + b"\1" + u8(anonymous) + product(params) + result


def compile_liar():
    def named(name):
        return reducer(name)
    raw = describe(
        [ROWS, MODE], [table("rows", 0, key=0, sequences=[sequence(0)]), table("mode", 1, key=0)],
        [reducer("insert_and_return", [("code", U32)]), reducer("keep_handles", [("one", U8)]), named("use_handles"),
         named("iterators"), named("sinks"), named("contexts"), named("describe_again"),
         reducer("mode_is", [("value", U8)]), named("timers"), named("recursion")],
        procedures=[procedure("lie", [("kind", U8)], U64)],
        more=[b"\5" + array([view("shifty", 0, b"\3\0" + u32(0))]), b"\x0b" + array([text("lies")]),
              b"\x0c" + array([text("lies") + b"\0" + text("/lies")])])
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "description.h"), "w") as f:
            f.write("static const u8 description[] = {" + ",".join(map(str, raw)) + "};\n")
        out = os.path.join(folder, "liar.wasm")
        subprocess.run(["clang", "--target=wasm32", "-O1", "-nostdlib", "-ffreestanding", "-fno-builtin", "-I", folder,
                        "-fno-optimize-sibling-calls", "-Wno-int-to-pointer-cast", "-Wno-pointer-to-int-cast",
                        "-Wl,--no-entry", "-o", out, os.path.join(ROOT, "tests", "modules", "liar", "liar.c")],
                       check=True)
        with open(out, "rb") as f:
            return f.read()


def liars(host):
    """Every lie is an errno, an error or a failed call, leaves no rows, and the module goes on."""
    host.publish("liar", compile_liar())

    def told(name, *args):
        status, body = host.call("liar", name, *args)
        return status, body.decode(errors="replace")

    def rows():
        return host.count("liar", "rows")
    for code in (0, 1, 2, 3, 0x7fffffff, 0xffffffff):
        before = rows()
        status, body = told("insert_and_return", code)
        expect((status == 200) == (code == 0), f"code {code}: {status} {body}")
        expect(rows() == before + (code == 0), f"code {code}: {rows()} rows")
    before = rows()
    expect(told("keep_handles", 1) == (200, ""), "keeping handles")
    expect(told("use_handles") == (530, "8 8 -1 6 6"), told("use_handles"))
    expect(told("contexts") == (530, "17 18 18"), told("contexts"))
    for name in ("iterators", "sinks", "timers", "describe_again", "recursion"):
        begin = time.time()
        status, body = told(name)
        expect(status == 530 and time.time() - begin < 15, f"{name}: {status} {body[:200]}")
        expect(rows() == before, f"{name} left rows")
    expect(host.memory() < 3000 << 20, f"{host.memory() >> 20} MiB")
    answers = {3: "17", 7: "1818", 8: "0", 10: "2"}  # what follows a value is ignored
    for kind in (0, 1, 2, 3, 4, 6, 7, 8, 10):
        begin = time.time()
        status, body = told("lie", kind)
        expect((status, body) == (200, answers[kind]) if kind in answers else status >= 500,
               f"procedure, kind {kind}: {status} {body[:200]}")
        expect(time.time() - begin < 15, f"procedure, kind {kind}, took {time.time() - begin:.0f} s")
        expect(rows() == before, f"procedure, kind {kind}, left rows")
    expect(told("lie", 5) == (200, "0") and rows() == before + 1, "a procedure that does not lie")
    views(host, told, rows)
    for kind in "0123456":
        before = rows()
        begin = time.time()
        status, body = host.request("POST", "/v1/database/liar/route/lies", kind.encode())
        expect(status == (200 if kind == "4" else 500), f"handler, kind {kind}: {status} {body[:200]}")
        expect(rows() == before and time.time() - begin < 15, f"handler, kind {kind}: rows, or time")
    expect(told("insert_and_return", 0) == (200, ""), "in the end")


def views(host, told, rows):
    """A view that lies while it is refreshed fails the transaction that refreshes it."""
    with Client(host.port, "liar", token=host.token) as client:
        client.recv()
        client.send(subscribe(["SELECT * FROM shifty"]))
        client.recv()
        for mode in (1, 2, 3, 4, 8, 9, 10):
            begin = time.time()
            status, body = told("mode_is", mode)
            expect(status == 530 and time.time() - begin < 15, f"mode {mode}: {status} {body[:200]}")
            expect(host.count("liar", "mode") == 0, f"mode {mode} stays")
        status, body = told("lie", 9)
        expect(status >= 500 and host.count("liar", "mode") == 0, f"in a procedure's commit: {status} {body[:200]}")
        # Rows may be none, or followed by anything; what a view writes is part of the transaction; it runs once.
        for mode in (7, 11, 5, 6, 12, 0):
            begin = time.time()
            status, body = told("mode_is", mode)
            expect(status in (200, 530) and time.time() - begin < 15, f"mode {mode}: {status} {body[:200]}")
        status, body = told("lie", 11)
        expect((status, body) == (200, "0"), f"a view that meddles with a procedure's commit: {status} {body[:200]}")
        expect(told("mode_is", 0)[0] == 200, "an honest view")


LONG = "n" * 1_000_000


def nonsense():
    """(what, description) of definitions that are refused."""
    ref = b"\0" + u32(0)
    one = [PLAYER]

    def tables(*some, types=one, **more):
        return describe(types, list(some), **more)

    def index(*columns, kind=0):
        return b"\0" + array([u16(c) for c in columns]) if kind == 0 else bytes([kind]) + u16(columns[0])

    def functions(*names):
        return describe(one, [], [reducer(name) for name in names])
    yield "a table twice", tables(table("t", 0), table("t", 0))
    yield "a table and a view", tables(table("t", 0), more=[b"\5" + array([view("t", 0, b"\3" + ref)])])
    yield "a reducer twice", functions("r", "r")
    yield "a reducer and a procedure", describe(one, [], [reducer("r")], procedures=[procedure("r", [], U32)])
    yield "a view twice", describe(one, more=[b"\5" + array([view("v", i, b"\3" + ref) for i in range(2)])])
    yield "an index twice", tables(table("t", 0, indexes=[("i", index(0)), ("i", index(1))]))
    yield "an index of no column that is there", tables(table("t", 0, indexes=[("i", index(9))]))
    yield "an index with a column twice", tables(table("t", 0, indexes=[("i", index(1, 1))]))
    yield "an unknown algorithm", tables(table("t", 0, indexes=[("i", b"\7" + u16(0))]))
    yield "a direct index of strings", describe([product([("s", STRING)])],
                                                [table("t", 0, indexes=[("i", index(0, kind=2))])])
    yield "a key that is not unique", tables(table("t", 0, key=0, constraints=[]))
    yield "a key without a column", tables(table("t", 0, key=9))
    yield "a unique column without an index", tables(table("t", 0, key=0, indexes=[]))
    yield "a sequence of strings", describe([product([("s", STRING)])], [table("t", 0, sequences=[sequence(0)])])
    yield "a sequence of no column", tables(table("t", 0, sequences=[sequence(7)]))
    yield "two sequences", tables(table("t", 0, sequences=[sequence(0), sequence(0)]))
    yield "a type that is not there", tables(table("t", 5))
    yield "a row that is no product", describe([(b"\7",)], [table("t", 0)])
    yield "a column of a type that is not there", describe([product([("a", b"\0" + u32(77))])], [table("t", 0)])
    yield "types in a circle", describe([(b"\0" + u32(1),), (b"\0" + u32(0),)], [table("t", 0)])
    yield "a type that is itself", describe([(b"\0" + u32(0),)], [table("t", 0)])
    yield "a row that holds itself", describe([product([("a", ref)])], [table("t", 0)])
    yield "a view of no rows", describe(one, more=[b"\5" + array([view("v", 0, U32)])])
    yield "a lifecycle without its reducer", describe(one, [], [], [(0, "gone")])
    yield "two reducers of one lifecycle", describe(one, [], [reducer("a"), reducer("b")], [(0, "a"), (0, "b")])
    yield "an unknown lifecycle", describe(one, [], [reducer("a")], [(9, "a")])
    yield "a schedule without a table", describe(one, [], [reducer("a")],
                                                 more=[b"\6" + array([b"\1" + text("t") + u16(1) + text("a")])])
    yield "a row-level rule that is no SQL", tables(table("t", 0), more=[b"\x08" + array([text("DROP TABLE t")])])
    yield "a route without its handler", describe(one, more=[b"\x0c" + array([text("h") + b"\0" + text("/a")])])
    yield "a route twice", describe(one, more=[
        b"\x0b" + array([text("h")]), b"\x0c" + array([text("h") + b"\0" + text("/a")] * 2)])
    for name in ("", "a b", "a\0b", "1a", "a-b", "a.b", "ünicode\u202e", "st_table", "'; DROP TABLE t; --"):
        yield f"a table named {name!r}", tables(table(name, 0))
    for name in ("", "a b", "a\0b", "1a"):
        yield f"a reducer named {name!r}", functions(name)
    yield "an unknown section", b"\2" + array([b"\x7f\0\0\0\0"])
    yield "more sections than bytes", b"\2" + u32(1 << 31)
    yield "bytes behind a count", describe([product([("a", b"\3" * 200000 + U8)])], [table("t", 0)])


def definitions(host):
    """Definitions that make no sense are refused with a text, soon; enormous ones are, or work."""
    wrong = []
    for i, (what, raw) in enumerate(nonsense()):
        begin = time.time()
        status, body = host.publish(f"nonsense-{i}", Module(raw).encode(), None)
        if status not in (400, 500) or len(body) < 5 or time.time() - begin > 10:
            wrong.append(f"{what}: {status} {body[:200]}, {time.time() - begin:.1f} s")
        elif host.request("GET", f"/v1/database/nonsense-{i}", token=host.token)[0] != 404:
            wrong.append(f"{what} stays")
    expect(not wrong, "\n".join(wrong))
    large = [("a column twice", describe([product([("a", U8), ("a", U8)])], [table("t", 0)])),
             ("names of a megabyte", describe([product([(LONG, U8)])], [table(LONG, 0)], [reducer(LONG)])),
             ("2,000 tables", describe([PLAYER], [table(f"t{i}", 0, key=0) for i in range(2000)])),
             ("20,000 reducers", describe([], [], [reducer(f"r{i}") for i in range(20000)])),
             ("30,000 columns", describe([product([(f"c{i}", U8) for i in range(30000)])], [table("t", 0)])),
             ("70,000 columns", describe([product([(f"c{i}", U8) for i in range(70000)])], [table("t", 0)]))]
    for i, (what, raw) in enumerate(large):
        begin = time.time()
        status, body = host.publish(f"large-{i}", Module(raw).encode(), None)
        expect(status in (200, 400, 500), f"{what}: {status} {body[:200]}")
        expect(time.time() - begin < 60, f"{what} took {time.time() - begin:.0f} s")
        host.request("DELETE", f"/v1/database/large-{i}", token=host.token)
