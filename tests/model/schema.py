# SPDX-License-Identifier: Apache-2.0
"""What the model test's worlds are made of: column types with their values in every notation, tables, and the module
that has them. Values are few, so that rows meet in joins."""

import os
import struct
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GUEST = os.path.join(ROOT, "build", "model", "guest.wasm")
MARK = b"WORLDLINE-MODEL\0"
SUM, PRODUCT, STRING, BOOL = 1, 2, 4, 5
U8_ARRAY = b"\x03\x07"
BYTES_MAX, VIEWS_MAX = 32768, 8


def text(value):
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def listed(items):
    items = list(items)
    return struct.pack("<I", len(items)) + b"".join(items)


class Integer:
    def __init__(self, tag, width, signed):
        self.tag, self.width, self.signed = bytes([tag]), width, signed
        high = 1 << (8 * width - (1 if signed else 0))
        self.domain = [0, 1, 2, 3, high - 1] + ([-1, -high] if signed else [high >> 1])
        self.ordered, self.name = True, f"{'i' if signed else 'u'}{8 * width}"

    def bsatn(self, value):
        return value.to_bytes(self.width, "little", signed=self.signed)

    def literal(self, value):
        return str(value)

    def from_json(self, value):
        return int(value, 0) if isinstance(value, str) else value


class Float:
    tag, domain, ordered, name = b"\x13", [0.0, 1.0, 1.5, -2.25, 1e300], True, "f64"

    def bsatn(self, value):
        return struct.pack("<d", value)

    def literal(self, value):
        return repr(value)

    def from_json(self, value):
        return float(value)


class Text:
    tag, domain, ordered, name = bytes([STRING]), ["", "a", "ab", "it's", "\u00e9"], True, "string"

    def bsatn(self, value):
        return text(value)

    def literal(self, value):
        return "'" + value.replace("'", "''") + "'"

    def from_json(self, value):
        return value


class Bool:
    tag, domain, ordered, name = bytes([BOOL]), [False, True], False, "bool"

    def bsatn(self, value):
        return b"\1" if value else b"\0"

    def literal(self, value):
        return "true" if value else "false"

    def from_json(self, value):
        return value


class Identity:
    """A value is the place of an identity in `known`: those differ from run to run, what a seed makes must not."""
    tag, ordered, name = bytes([PRODUCT]) + listed([b"\0" + text("__identity__") + b"\x11"]), False, "identity"
    known, domain = [], []

    def bsatn(self, value):
        return bytes.fromhex(self.known[value])[::-1]

    def literal(self, value):
        return "0x" + self.known[value]

    def from_json(self, value):
        if isinstance(value, dict):
            value = value["__identity__"]
        if isinstance(value, list):
            value = value[0]
        return self.known.index(f"{int(value, 16):064x}")


class Option:
    """Of u32; nothing compares it."""
    tag = bytes([SUM]) + listed([b"\0" + text("some") + b"\x0b", b"\0" + text("none") + bytes([PRODUCT]) + listed([])])
    domain, ordered, name = [None, 0, 7], False, "option"

    def bsatn(self, value):
        return b"\1" if value is None else b"\0" + struct.pack("<I", value)

    def from_json(self, value):
        if isinstance(value, dict):
            return value.get("some")
        return value if value is None else value[1] if value[0] == 0 else None


IDENTITY, OPTION, U64, BOOLEAN = Identity(), Option(), Integer(13, 8, False), Bool()
TYPES = [BOOLEAN, Integer(7, 1, False), Integer(6, 1, True), Integer(11, 4, False), Integer(12, 8, True), U64,
         Integer(15, 16, False), Integer(16, 32, True), Float(), Text(), IDENTITY, OPTION]


class Table:
    """`unique`: the column that is the primary key, or None; `indexes`: [(kind, columns)] besides."""

    def __init__(self, name, types, unique=None, indexes=(), public=True, event=False):
        self.name, self.types, self.unique, self.indexes = name, types, unique, list(indexes)
        self.public, self.event, self.rules = public, event, []
        self.columns = [chr(ord("a") + i) for i in range(len(types))]

    def bsatn(self, row):
        return b"".join(t.bsatn(value) for t, value in zip(self.types, row))

    def from_json(self, row):
        values = [row[c] for c in self.columns] if isinstance(row, dict) else row
        return tuple(t.from_json(value) for t, value in zip(self.types, values))

    def product(self):
        return listed(b"\0" + text(c) + t.tag for c, t in zip(self.columns, self.types))

    def unique_index(self):
        return f"{self.name}_{self.columns[self.unique]}_idx_btree"

    def definition(self, ref):
        indexes, constraints = [], []
        keys = ([("btree", [self.unique])] if self.unique is not None else []) + self.indexes
        for kind, columns in keys:
            names = "_".join(self.columns[c] for c in columns)
            algorithm = {"btree": b"\0", "hash": b"\1"}[kind] + listed(struct.pack("<H", c) for c in columns)
            indexes.append(b"\0" + text(f"{self.name}_{names}_idx_{kind}") + b"\0" + text(names) + algorithm)
        if self.unique is not None:
            constraints.append(b"\1\0" + listed([struct.pack("<H", self.unique)]))
        primary = [] if self.unique is None else [struct.pack("<H", self.unique)]
        return (text(self.name) + struct.pack("<I", ref) + listed(primary) + listed(indexes) + listed(constraints) +
                listed([]) + b"\1" + (b"\0" if self.public else b"\1") + listed([]) + (b"\1" if self.event else b"\0"))


class View:
    """Returns rows of `table` by the query `text`; for a sender if it is not anonymous."""

    def __init__(self, name, table, query, anonymous):
        self.name, self.table, self.query, self.anonymous = name, table, query, anonymous


def describe(tables, views):
    """RawModuleDef V10; each table's type is the one of its number."""
    nothing = bytes([PRODUCT]) + listed([])
    order = [v for v in views if v.anonymous] + [v for v in views if not v.anonymous]
    counts = {True: 0, False: 0}
    entries = []
    for view in order:
        returned = bytes([PRODUCT]) + listed([b"\0" + text("__query__") + b"\0" +
                                              struct.pack("<I", tables.index(view.table))])
        entries.append(text(view.name) + struct.pack("<I", counts[view.anonymous]) + b"\1" +
                       (b"\1" if view.anonymous else b"\0") + listed([]) + returned)
        counts[view.anonymous] += 1
    sections = [
        b"\0" + listed(bytes([PRODUCT]) + t.product() for t in tables),
        b"\1" + listed(listed([]) + text(t.name.capitalize()) + struct.pack("<I", i) + b"\1"
                       for i, t in enumerate(tables)),
        b"\2" + listed(t.definition(i) for i, t in enumerate(tables)),
        b"\3" + listed([text("run") + listed([b"\0" + text("script") + U8_ARRAY]) + b"\1" + nothing +
                        bytes([STRING])]),
        b"\5" + listed(entries),
        b"\x08" + listed(text(rule) for t in tables for rule in t.rules),
    ]
    return b"\2" + listed(sections)


def build_guest():
    """Compiles guest.c if it is newer than what is there."""
    source = os.path.join(HERE, "guest.c")
    abi = os.path.join(ROOT, "tests", "unit", "data", "runtime", "abi.h")
    if os.path.exists(GUEST) and os.path.getmtime(GUEST) > max(os.path.getmtime(source), os.path.getmtime(abi)):
        return
    os.makedirs(os.path.dirname(GUEST), exist_ok=True)
    flags = ["--target=wasm32", "-O2", "-nostdlib", "-ffreestanding", "-Wno-int-to-pointer-cast",
             "-Wno-pointer-to-int-cast", "-Wno-unused-function", "-Wl,--no-entry", "-Wl,-z,stack-size=65536",
             "-Wl,--stack-first", "-Wl,--strip-all"]
    subprocess.run(["clang", *flags, "-o", GUEST + ".new", source], check=True)
    os.replace(GUEST + ".new", GUEST)


def module(tables, views, view_texts):
    """The guest with these tables and views written in; `view_texts` in the order of describe."""
    with open(GUEST, "rb") as f:
        code = bytearray(f.read())
    description = describe(tables, views)
    texts = [t.encode() for t in view_texts]
    lens = [len(t) for t in texts] + [0] * (VIEWS_MAX - len(texts))
    body = struct.pack("<II8I", len(description), sum(v.anonymous for v in views), *lens)
    body += description + b"".join(texts)
    assert len(body) <= BYTES_MAX
    at = code.index(MARK) + len(MARK)
    code[at:at + len(body)] = body
    return bytes(code)
