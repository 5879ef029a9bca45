# SPDX-License-Identifier: Apache-2.0
"""Compiles tests/modules/everything/old.c, with a description V9, to build/modules/everything_old.wasm."""

import os
import struct
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STRING, U8, U16, U32, U64, U256 = b"\x04", b"\x07", b"\x09", b"\x0b", b"\x0d", b"\x11"
PLAYER, FOUND, JOURNAL, SECRET, SIZE, COLOR = range(6)
BTREE, HASH, DIRECT = range(3)


def u16(n):
    return struct.pack("<H", n)


def u32(n):
    return struct.pack("<I", n)


def text(s):
    return u32(len(s)) + s.encode()


def array(items):
    return u32(len(items)) + b"".join(items)


def some(value):
    return b"\0" + value


def fields(named):
    return array([some(text(name)) + kind for name, kind in named])


def product(named):
    return b"\2" + fields(named)


def ref(n):
    return b"\0" + u32(n)


IDENTITY = product([("__identity__", U256)])
COLUMNS = {
    PLAYER: [("id", U64), ("name", STRING), ("slot", U16), ("team", U32), ("rank", U8), ("color", ref(COLOR))],
    FOUND: [("position", U32), ("id", U64)],
    JOURNAL: [("id", U64), ("text", STRING)],
    SECRET: [("id", U32), ("who", IDENTITY), ("word", STRING)],
    SIZE: [("team", U32), ("members", U32)],
}
NAMES = ["Player", "Found", "Journal", "Secret", "TeamSize", "Color"]


def index(table, kind, *columns):
    names = [COLUMNS[table][c][0] for c in columns]
    name = f"{NAMES[table].lower()}_{'_'.join(names)}_idx_{('btree', 'hash', 'direct')[kind]}"
    algorithm = bytes([kind]) + (u16(columns[0]) if kind == DIRECT else array([u16(c) for c in columns]))
    return some(text(name)) + b"\1" + algorithm


def table(ref_, indexes, unique=(0,), generated=False, private=False):
    name = NAMES[ref_].lower()
    constraints = [some(text(f"{name}_{COLUMNS[ref_][c][0]}_key")) + b"\0" + array([u16(c)]) for c in unique]
    one = (1).to_bytes(16, "little")
    sequences = [some(text(f"{name}_id_seq")) + u16(0) + b"\1\1\1" + one] if generated else []
    return (text(name) + u32(ref_) + array([u16(0)]) + array(indexes) + array(constraints) + array(sequences) + b"\1" +
            b"\1" + bytes([private]))


def reducer(name, *params):
    return text(name) + fields(params) + b"\1"


def view(name, number, result, anonymous=True):
    return b"\2" + text(name) + u32(number) + b"\1" + bytes([anonymous]) + fields([]) + result


def description():
    types = [product(COLUMNS[t]) for t in (PLAYER, FOUND, JOURNAL, SECRET, SIZE)]
    types.append(b"\1" + fields([(color, b"\2" + u32(0)) for color in ("red", "green", "blue")]))
    tables = [
        table(PLAYER, [index(PLAYER, BTREE, 0), index(PLAYER, BTREE, 1), index(PLAYER, DIRECT, 2),
                       index(PLAYER, BTREE, 3), index(PLAYER, BTREE, 3, 4, 1), index(PLAYER, HASH, 5)],
              (0, 1, 2), generated=True),
        table(FOUND, [index(FOUND, BTREE, 0)]), table(JOURNAL, [index(JOURNAL, BTREE, 0)], generated=True),
        table(SECRET, [index(SECRET, BTREE, 0), index(SECRET, BTREE, 1)], private=True)]
    player = COLUMNS[PLAYER]
    ranks = [("team", U32), ("low", U8), ("high", U8)]
    reducers = [
        reducer("add_player", *player[1:]), reducer("set_player", *player), reducer("drop_player", player[0]),
        reducer("find_name", player[1]), reducer("find_slot", player[2]), reducer("find_team", player[3]),
        reducer("find_color", player[5]), reducer("find_team_ranks", *ranks),
        reducer("find_teams", ("low", U32), ("high", U32)), reducer("find_all"), reducer("drop_team_ranks", *ranks),
        reducer("clear_players"), reducer("count_players"), reducer("keep_secret", ("id", U32), ("word", STRING))]
    many, option = b"\3" + ref(PLAYER), b"\1" + fields([("some", ref(PLAYER)), ("none", b"\2" + u32(0))])
    views = [view("first_slot", 0, option), view("high_ranks", 1, many), view("reds", 2, many),
             view("team_sizes", 3, b"\3" + ref(SIZE)), view("my_secrets", 0, b"\3" + ref(SECRET), anonymous=False)]
    named = [array([]) + text(name) + u32(i) + b"\1" for i, name in enumerate(NAMES)]
    return (b"\1" + array(types) + array(tables) + array(reducers) + array(named) + array(views) + array([]))


def compile_old():
    out = os.path.join(ROOT, "build", "modules", "everything_old.wasm")
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "description.h"), "w") as f:
            f.write("static const u8 description[] = {" + ",".join(map(str, description())) + "};\n")
        subprocess.run(["clang", "--target=wasm32", "-O2", "-nostdlib", "-ffreestanding", "-fno-builtin", "-I", folder,
                        "-Wno-int-to-pointer-cast", "-Wno-pointer-to-int-cast", "-Wl,--no-entry", "-o", out,
                        os.path.join(ROOT, "tests", "modules", "everything", "old.c")], check=True)


if __name__ == "__main__":
    compile_old()
