# SPDX-License-Identifier: Apache-2.0
"""For everything.py: BSATN values, a live client with a cache of rows, and a module's schema as lines of text."""

import os
import struct
import sys
import time
from collections import Counter

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [TESTS, os.path.join(TESTS, "model")]
import ws  # noqa: E402
from client import Reader  # noqa: E402
from ws import bsatn_str as text  # noqa: E402

PROCEDURE, PROCEDURE_RESULT, SUBSCRIPTION_ERROR = 4, 7, 3
OUTCOMES = {ws.OK: "ok", ws.OK_EMPTY: "ok", ws.ERR: "error", ws.INTERNAL: "fatal"}


# ---- BSATN ----

def pack(form, *values):
    return struct.pack("<" + form, *values)


def number(value, size, signed=False):
    return value.to_bytes(size, "little", signed=signed)


def array(items):
    return pack("I", len(items)) + b"".join(items)


def variant(tag, value=b""):
    return bytes([tag]) + value


RED, GREEN, BLUE = variant(0), variant(1), variant(2)


def all_types(key, edge):
    """A row of all_types: what is small, or (`edge`) what lies at the ends of the types."""
    out = pack("I", key) + pack("?", edge)
    for size in (1, 2, 4, 8, 16, 32):
        out += number((1 << 8 * size) - 1 if edge else size, size)
    for size in (1, 2, 4, 8, 16, 32):
        out += number(-(1 << (8 * size - 1)) if edge else -size, size, True)
    out += pack("fd", float("-inf") if edge else 1.5, 5e-324 if edge else -2.25)
    out += text("\0ÿ€𝄞" * 3000 if edge else "") + array([bytes([i]) for i in range(256 if edge else 0)])
    out += bytes(range(32)) + bytes(range(16)) + pack("qq", -(1 << 63) if edge else 1, (1 << 63) - 1 if edge else -1)
    out += variant(0, pack("q", 1000)) if edge else variant(1, pack("q", -5))
    out += bytes(range(16, 32)) + (BLUE if edge else RED)
    out += variant(3, pack("ii", -1, 1)) if edge else variant(2, text("label"))
    out += pack("ii", 3, -4) + array([pack("i", i) for i in range(1000 if edge else 0)])
    out += array([text("a"), text("")]) + array([pack("ii", i, i) for i in range(3)])
    out += variant(0, text("some")) if edge else variant(1)
    return out + (variant(0, pack("I", 7)) if edge else variant(1, text("not so")))


def player(key, name, slot, team, rank, color):
    return pack("Q", key) + text(name) + pack("HIB", slot, team, rank) + color


# ---- a client ----

class Refused(Exception):
    pass


class Live:
    """Calls, and a bag of (table, row bytes) of everything it is subscribed to. `events` are those of event tables."""

    def __init__(self, host, database, token, seconds=30):
        self.seconds = seconds
        self.socket = ws.Client(host.port, database, token, timeout=seconds)
        self.rows, self.events, self.results = Counter(), [], []
        self.identity = self.connection = None
        self.until(lambda: self.identity is not None)

    def close(self):
        self.socket.close()

    def pump(self):
        kind, body = self.socket.receive()
        message = Reader(body)
        if kind == ws.INITIAL:
            self.identity, self.connection = body[:32], body[32:48]
        elif kind == ws.UPDATE:
            self.apply(message)
        elif kind == ws.REDUCER_RESULT:
            message.skip(12)
            outcome, said = message.take("B"), b""
            if outcome == ws.OK:
                message.blob()
                self.apply(message)
            elif outcome != ws.OK_EMPTY:
                said = message.blob()
            if outcome == ws.ERR:
                said = said[4:]
            self.results.append((OUTCOMES[outcome], said.decode()))
        elif kind == PROCEDURE_RESULT:
            ok = message.take("B") == 0
            said = message.blob()
            self.results.append(("ok", said) if ok else ("fatal", said.decode()))
        elif kind == ws.SUBSCRIBED:
            message.skip(8)
            for table, rows in message.many(lambda: (message.text(), message.rows())):
                self.rows.update((table, row) for row in rows)
            self.results.append(("ok", b""))
        elif kind == SUBSCRIPTION_ERROR:
            message.skip(9 if message.take("B") == 0 else 5)
            self.results.append(("refused", body[-200:]))

    def apply(self, message):
        for _ in range(message.take("I")):
            message.skip(4)
            for _ in range(message.take("I")):
                table = message.text()
                for _ in range(message.take("I")):
                    if message.take("B") == 1:
                        self.events += [(table, row) for row in message.rows()]
                        continue
                    self.rows.update((table, row) for row in message.rows())
                    self.rows.subtract((table, row) for row in message.rows())
        self.rows = +self.rows

    def until(self, condition, seconds=None):
        """Takes messages until the condition holds; whether it did."""
        end = time.time() + (seconds or self.seconds)
        while not condition():
            left = end - time.time()
            if left <= 0:
                return False
            self.socket.socket.settimeout(left)
            try:
                self.pump()
            except TimeoutError:
                return condition()
        return True

    def answer(self):
        if not self.until(lambda: self.results):
            raise TimeoutError("no answer")
        return self.results.pop(0)

    def call(self, reducer, *args):
        """("ok" | "error" | "fatal", text)"""
        self.socket.call(reducer, b"".join(args))
        return self.answer()

    def procedure(self, name, *args):
        """("ok", bytes) or ("fatal", text)"""
        args = b"".join(args)
        self.socket.send(pack("BIB", PROCEDURE, 1, 0) + text(name) + pack("I", len(args)) + args)
        return self.answer()

    def subscribe(self, number_of_set, *queries):
        self.socket.send(pack("BII", ws.SUBSCRIBE, 1, number_of_set) + array([text(query) for query in queries]))
        status, said = self.answer()
        if status != "ok":
            raise Refused(said)

    def of(self, table):
        """Its rows, sorted; each as often as it is there."""
        return sorted(row for (name, row), count in self.rows.items() if name == table for _ in range(count))


# ---- schemas ----

SPECIAL = {"__identity__": "Identity", "__connection_id__": "ConnectionId", "__uuid__": "Uuid",
           "__timestamp_micros_since_unix_epoch__": "Timestamp", "__time_duration_micros__": "TimeDuration"}


class Schema:
    """Lines of text that say what a schema document (version 9) says, without what may differ between languages: order,
    and names of indexes and constraints."""

    def __init__(self, document):
        self.types = document["typespace"]["types"]
        self.names = {named["ty"]: named["name"]["name"] for named in document["types"]}
        self.defaults = {}
        for export in document["misc_exports"]:
            if "ColumnDefaultValue" in export:
                found = export["ColumnDefaultValue"]
                self.defaults[found["table"], found["col_id"]] = found["value"]
        rows = {table["product_type_ref"] for table in document["tables"]}
        self.lines = sorted([f"type {name} = {self.shown(self.types[ref])}" for ref, name in self.names.items()
                             if ref not in rows] +
                            [self.table(table) for table in document["tables"]] +
                            [self.reducer(reducer) for reducer in document["reducers"]] +
                            [f"rule {rule['sql']}" for rule in document["row_level_security"]] +
                            [self.export(export) for export in document["misc_exports"]
                             if "ColumnDefaultValue" not in export])

    def shown(self, kind):
        (name, of), = kind.items()
        if name == "Ref":
            return self.names.get(of) or self.shown(self.types[of])
        if name == "Array":
            return f"[{self.shown(of)}]"
        if name == "Product":
            names = [element["name"].get("some") for element in of["elements"]]
            if len(names) == 1 and names[0] in SPECIAL:
                return SPECIAL[names[0]]
            return "{" + self.elements(of) + "}"
        if name == "Sum":
            parts = {v["name"].get("some"): self.shown(v["algebraic_type"]) for v in of["variants"]}
            if list(parts) == ["some", "none"]:
                return f"option {parts['some']}"
            if list(parts) == ["Interval", "Time"]:
                return "ScheduleAt"
            return " | ".join(part if kind == "{}" else f"{part}({kind})" for part, kind in parts.items())
        return name.lower()

    def elements(self, product):
        return ", ".join(f"{e['name'].get('some')}: {self.shown(e['algebraic_type'])}" for e in product["elements"])

    def table(self, table):
        name = table["name"]
        elements = self.types[table["product_type_ref"]]["Product"]["elements"]
        columns = [element["name"]["some"] for element in elements]
        marks = {i: [] for i in range(len(columns))}
        for sequence in table["sequences"]:
            marks[sequence["column"]].append("auto-inc")
        for i in range(len(columns)):
            if (name, i) in self.defaults:
                marks[i].append(f"default {self.defaults[name, i]}")
        shown = [" ".join([f"{columns[i]}: {self.shown(elements[i]['algebraic_type'])}", *marks[i]])
                 for i in range(len(columns))]
        extra = []
        for index in table["indexes"]:
            (kind, of), = index["algorithm"].items()
            extra.append(f"{kind.lower()}({', '.join(columns[i] for i in (of if isinstance(of, list) else [of]))})")
        for constraint in table["constraints"]:
            extra.append(f"unique({', '.join(columns[i] for i in constraint['data']['Unique']['columns'])})")
        extra += [f"key({columns[i]})" for i in table["primary_key"]]
        if "some" in table["schedule"]:
            extra.append(f"schedules({table['schedule']['some']['reducer_name']})")
        access = next(iter(table["table_access"])).lower()
        return f"table {name} {access} {{{', '.join(shown)}}} {' '.join(sorted(extra))}".rstrip()

    def reducer(self, reducer):
        lifecycle = reducer["lifecycle"].get("some")
        when = f" {next(iter(lifecycle))}" if lifecycle else ""
        return f"reducer {reducer['name']}({self.elements(reducer['params'])}){when}"

    def export(self, export):
        (kind, of), = export.items()
        result = self.shown(of["return_type"])
        if kind == "Procedure":
            return f"procedure {of['name']}({self.elements(of['params'])}) -> {result}"
        who = "everybody" if of["is_anonymous"] else "each sender"
        return f"view {of['name']}({self.elements(of['params'])}) for {who} -> {result}"
