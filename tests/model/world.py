# SPDX-License-Identifier: Apache-2.0
"""A random world: tables, rules, views; random queries on them; random scripts and what they do to the model."""

import struct

from queries import SENDER, Caller, Query, State, types_of
from schema import BOOLEAN, IDENTITY, OPTION, TYPES, U64, Table, View, module

INSERT, DELETE, UPDATE, FAIL, TRAP = range(5)
NAMES = ["ta", "tb", "tc", "td"]
ROWS_MAX, COPIES_MAX = 8, 2000  # of a table; of an answer when the query is made: joins of joins explode
COMPARABLE = ["=", "=", "=", "<>", "!=", "<", "<=", ">", ">="]


class World:
    def __init__(self, pick, identities):
        self.pick = pick
        IDENTITY.known, IDENTITY.domain = list(identities), list(range(len(identities)))
        self.tables = [self.random_table(name) for name in NAMES[:pick.randint(2, 4)]]
        if pick.random() < 0.4:
            self.tables.append(Table("ev", [pick.choice(TYPES) for _ in range(pick.randint(1, 3))], event=True))
        self.serial = Table("serial", [U64], unique=0)
        self.tables.append(self.serial)
        for i, table in enumerate(self.tables):
            self.make_rules(table, i)
        self.views = []
        for name in ("va", "vs"):
            if pick.random() < 0.3:
                self.views.append(self.random_view(name, name == "va"))
        self.sources = [t for t in self.tables if t is not self.serial] + self.views
        self.states = [State({t.name: frozenset() for t in self.tables if not t.event}, {})]

    def module(self):
        views = [v for v in self.views if v.anonymous] + [v for v in self.views if not v.anonymous]
        return module(self.tables, self.views, [v.query.text.replace(":sender", "~") for v in views])

    # ---- schema ----

    def random_table(self, name):
        pick = self.pick
        types = [pick.choice(TYPES) for _ in range(pick.randint(2, 5))]
        unique = 0 if pick.random() < 0.6 else None
        if unique is not None and (types[0] is OPTION or types[0] is BOOLEAN):
            types[0] = pick.choice([t for t in TYPES if t is not OPTION and t is not BOOLEAN])
        indexes = []
        columns = list(range(len(types)))
        for _ in range(pick.randint(0, 2)):
            chosen = pick.sample(columns, pick.randint(1, min(3, len(columns))))
            kind = pick.choice(["btree", "btree", "hash"])
            if (kind, chosen) not in indexes and ("btree", chosen) != ("btree", [unique]):
                indexes.append((kind, chosen))
        return Table(name, types, unique, indexes, public=pick.random() < 0.9)

    def make_rules(self, table, number):
        """Rules look at tables before their own, so that none goes in circles."""
        pick = self.pick
        table.rule_queries = []
        if not table.public or table is self.serial or pick.random() > 0.35:
            return
        others = [t for t in self.tables[:number] if t.public and not t.event] + ([] if table.event else [table])
        for _ in range(pick.randint(1, 2)):
            sources, joins = [table], [None]
            if others and pick.random() < 0.5:
                sources.append(pick.choice(others))
                joins.append(self.random_on(sources, 1))
            where = self.random_condition(sources, 1) if joins[-1] is None or pick.random() < 0.8 else None
            rule = Query(sources, 0, joins, where, rule_of=table, style=pick.randrange(30))
            if rule.text not in table.rules:
                table.rules.append(rule.text)
                table.rule_queries.append(rule)

    def random_view(self, name, anonymous):
        pick = self.pick
        readable = [t for t in self.tables if not t.event and t is not self.serial]
        table = pick.choice(readable)
        sources, joins = [table], [None]
        if pick.random() < 0.4:
            sources.append(pick.choice(readable))
            joins.append(self.random_on(sources, 1))
        where = self.random_condition(sources, 2, sender=not anonymous)
        return View(name, table, Query(sources, 0, joins, where, style=pick.randrange(30)), anonymous)

    # ---- queries ----

    def random_on(self, sources, i):
        """Two columns of one type, or None."""
        pairs = [((j, a), (i, b)) for j in range(i) for a, ta in enumerate(types_of(sources[j]))
                 for b, tb in enumerate(types_of(sources[i])) if ta is tb and ta is not OPTION]
        if not pairs:
            return None
        pair = self.pick.choice(pairs)
        return pair if self.pick.random() < 0.5 else (pair[1], pair[0])

    def random_condition(self, sources, depth, sender=True):
        pick = self.pick
        comparable = [(s, c) for s in range(len(sources)) for c, t in enumerate(types_of(sources[s]))
                      if t is not OPTION]
        if not comparable:
            return None
        if depth > 0 and pick.random() < 0.45:
            kind = pick.choice(["and", "and", "or", "not"])
            left = self.random_condition(sources, depth - 1, sender)
            return (kind, left) if kind == "not" else (kind, left, self.random_condition(sources, depth - 1, sender))
        source, column = pick.choice(comparable)
        types = types_of(sources[source])
        t = types[column]
        if t is BOOLEAN and pick.random() < 0.5:
            return ("truth", source, column)
        op = pick.choice(COMPARABLE if t.ordered else COMPARABLE[:5])
        if pick.random() < 0.2:
            same = [(s, c) for s in range(len(sources)) for c, other in enumerate(types_of(sources[s])) if other is t]
            return ("columns", source, column, op, *pick.choice(same))
        value = SENDER if t is IDENTITY and sender and pick.random() < 0.6 else pick.choice(t.domain)
        return ("compare", source, column, op, value)

    def random_query(self):
        """One whose answer is not too long now, for anybody."""
        for _ in range(10):
            query = self.any_query()
            if sum(query.answer(self.states[-1], Caller(1, False)).values()) <= COPIES_MAX:
                return query
        return Query([self.serial])

    def any_query(self):
        """Event tables stand alone or first, and are what is returned."""
        pick = self.pick
        first = pick.choice(self.sources)
        sources, joins = [first], [None]
        for i in range(1, pick.choice([1, 1, 1, 2, 2, 3])):
            sources.append(pick.choice([s for s in self.sources if not getattr(s, "event", False)]))
            joins.append(self.random_on(sources, i))
        returned = 0 if getattr(first, "event", False) else pick.randrange(len(sources))
        where = self.random_condition(sources, 2) if pick.random() < 0.7 or None in joins[1:] else None
        return Query(sources, returned, joins, where, style=pick.randrange(30))

    def everything(self, caller):
        """What SELECT * FROM * stands for."""
        return [Query([s]) for s in self.sources + [self.serial]
                if not getattr(s, "event", False) and (caller.is_owner or getattr(s, "public", True))]

    def readable(self, query, caller):
        return caller.is_owner or all(getattr(s, "public", True) for s in query.sources)

    # ---- scripts ----

    def random_row(self, table):
        return tuple(self.pick.choice(t.domain) for t in table.types)

    def random_script(self):
        """(bytes, the state that it makes or None if it fails). Every script that works counts `serial` on."""
        pick = self.pick
        last = self.states[-1]
        rows, events, ops, fails = {n: set(r) for n, r in last.rows.items()}, {}, [], False
        changeable = [t for t in self.tables if t is not self.serial]
        for _ in range(pick.choice([1, 1, 2, 3, 6])):
            table = pick.choice(changeable)
            roll = pick.random()
            if table.event:
                row = self.random_row(table)
                ops.append(self.op(INSERT, table, row))
                if row not in events.setdefault(table.name, []):
                    events[table.name].append(row)
                continue
            held = rows[table.name]
            if held and (roll < 0.35 or len(held) > ROWS_MAX):
                row = pick.choice(sorted(held, key=repr))
                ops.append(self.op(DELETE, table, row))
                held.discard(row)
                if pick.random() < 0.2:
                    ops.append(self.op(INSERT, table, row))
                    held.add(row)
            elif roll < 0.55 and held and table.unique is not None:
                old = pick.choice(sorted(held, key=repr))
                row = list(self.random_row(table))
                row[table.unique] = old[table.unique]
                row = tuple(row)
                ops.append(self.op(UPDATE, table, row))
                held.discard(old)
                held.add(row)
            else:
                row = self.random_row(table)
                ops.append(self.op(INSERT, table, row))
                taken = table.unique is not None and any(r[table.unique] == row[table.unique] for r in held)
                fails = fails or (taken and row not in held)
                held.add(row)
            if fails:
                break
        count = max((r[0] for r in rows["serial"]), default=0)
        rows["serial"] = {(count + 1,)}
        if count:
            ops.append(self.op(DELETE, self.serial, (count,)))
        ops.append(self.op(INSERT, self.serial, (count + 1,)))
        if not fails and pick.random() < 0.08:
            ops.append(bytes([pick.choice([FAIL, TRAP])]))
            fails = True
        return b"".join(ops), None if fails else self.state(rows, events)

    @staticmethod
    def state(rows, events):
        return State({n: frozenset(r) for n, r in rows.items()}, events)

    @staticmethod
    def op(kind, table, row):
        data = table.bsatn(row)
        head = bytes([kind, len(table.name)]) + table.name.encode()
        if kind == UPDATE:
            index = table.unique_index().encode()
            head += bytes([len(index)]) + index
        return head + struct.pack("<I", len(data)) + data

    def random_dml(self):
        """(SQL of the owner, the state that it makes): a DELETE or an INSERT; None if there is nothing fitting."""
        pick = self.pick
        tables = [t for t in self.tables if not t.event and t is not self.serial and OPTION not in t.types]
        if not tables:
            return None
        table = pick.choice(tables)
        rows = {n: set(r) for n, r in self.states[-1].rows.items()}
        if pick.random() < 0.5:
            query = Query([table], 0, [None], self.random_condition([table], 1, sender=False), style=2)
            gone = {r for r in rows[table.name] if query.where is None or query.holds(query.where, (r,), None)}
            rows[table.name] -= gone
            where = query.text.split(" WHERE ", 1)
            sql = f"DELETE FROM {table.name}" + (f" WHERE {where[1]}" if len(where) > 1 else "")
        else:
            row = self.random_row(table)
            if table.unique is not None and any(r[table.unique] == row[table.unique] for r in rows[table.name]):
                return None
            rows[table.name].add(row)
            values = ", ".join(t.literal(v) for t, v in zip(table.types, row))
            sql = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({values})"
        return sql, self.state(rows, {})


def arguments(script):
    return struct.pack("<I", len(script)) + script
