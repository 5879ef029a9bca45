# SPDX-License-Identifier: Apache-2.0
"""Queries as trees: their text, and what they mean, by loops over all rows. Nothing here knows how the host does it."""

import operator
from collections import Counter

OPS = {"=": operator.eq, "<>": operator.ne, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
       ">=": operator.ge}
SENDER = object()


class State:
    """The database after one commit: {table: rows}, and {event table: rows} of that commit alone."""

    def __init__(self, rows, events):
        self.rows, self.events, self.memo = rows, events, {}


class Caller:
    def __init__(self, identity, is_owner):
        self.identity, self.is_owner = identity, is_owner


class Query:
    """SELECT the rows of sources[returned] FROM sources, the i-th joined ON joins[i] = ((source, column), (source,
    column)), or None for a CROSS JOIN. `where` is a condition (below) or None. `rule_of`: the table that it guards."""

    def __init__(self, sources, returned=0, joins=None, where=None, rule_of=None, style=0):
        self.sources, self.returned, self.joins, self.where = sources, returned, joins or [None] * len(sources), where
        self.rule_of, self.style = rule_of, style
        self.aliases = [f"x{i}" for i in range(len(sources))] if len(sources) > 1 or style % 2 else [sources[0].name]
        self.text = self.to_text()

    @property
    def table(self):
        """The table or view whose rows are returned."""
        return self.sources[self.returned]

    # ---- text ----

    def column(self, source, column):
        name = columns_of(self.sources[source])[column]
        if len(self.sources) == 1 and self.style % 3 == 0:
            return name
        quote = '"' if self.style % 5 == 0 else ""
        return f"{quote}{self.aliases[source]}{quote}.{quote}{name}{quote}"

    def condition(self, c):
        kind = c[0]
        if kind in ("and", "or"):
            return f"({self.condition(c[1])} {kind.upper()} {self.condition(c[2])})"
        if kind == "not":
            return f"NOT ({self.condition(c[1])})"
        if kind == "truth":
            return self.column(c[1], c[2])
        if kind == "columns":
            return f"{self.column(c[1], c[2])} {c[3]} {self.column(c[4], c[5])}"
        literal = ":sender" if c[4] is SENDER else types_of(self.sources[c[1]])[c[2]].literal(c[4])
        return f"{self.column(c[1], c[2])} {c[3]} {literal}"

    def to_text(self):
        what = "*" if len(self.sources) == 1 else self.aliases[self.returned] + ".*"
        parts = []
        for i, source in enumerate(self.sources):
            named = source.name if self.aliases[i] == source.name else f"{source.name} {self.aliases[i]}"
            if i == 0:
                parts.append(named)
            elif self.joins[i] is None:
                parts.append("CROSS JOIN " + named)
            else:
                left, right = self.joins[i]
                parts.append(f"JOIN {named} ON {self.column(*left)} = {self.column(*right)}")
        where = f" WHERE {self.condition(self.where)}" if self.where else ""
        return f"SELECT {what} FROM {' '.join(parts)}{where}"

    # ---- meaning ----

    def holds(self, c, rows, caller):
        kind = c[0]
        if kind == "and":
            return self.holds(c[1], rows, caller) and self.holds(c[2], rows, caller)
        if kind == "or":
            return self.holds(c[1], rows, caller) or self.holds(c[2], rows, caller)
        if kind == "not":
            return not self.holds(c[1], rows, caller)
        if kind == "truth":
            return rows[c[1]][c[2]]
        if kind == "columns":
            return OPS[c[3]](rows[c[1]][c[2]], rows[c[4]][c[5]])
        return OPS[c[3]](rows[c[1]][c[2]], caller.identity if c[4] is SENDER else c[4])

    def evaluate(self, state, caller, events=False, empty=()):
        """How often each row is in the result: {row: copies}. `events`: event tables have the commit's rows. `empty`:
        views that are not made."""
        bags = [raw(s, state, events) if s is self.rule_of else
                Counter() if s in empty else visible(s, state, caller, events) for s in self.sources]
        tuples = [((), 1)]
        for i, bag in enumerate(bags):
            on = self.joins[i]
            tuples = [(rows + (row,), copies * n) for rows, copies in tuples for row, n in bag.items()
                      if on is None or self.joined(on, rows + (row,))]
        result = Counter()
        for rows, copies in tuples:
            if self.where is None or self.holds(self.where, rows, caller):
                result[rows[self.returned]] += copies
        return result

    @staticmethod
    def joined(on, rows):
        (left, left_column), (right, right_column) = on
        return rows[left][left_column] == rows[right][right_column]

    def answer(self, state, caller, events=False, empty=()):
        """The same, of this text and caller, remembered with the state."""
        key = (self.text, self.rule_of, caller.identity, caller.is_owner, events, tuple(v.name for v in empty))
        if key not in state.memo:
            state.memo[key] = self.evaluate(state, caller, events, empty)
        return state.memo[key]

    def views(self):
        return list({s.name: s for s in self.sources if hasattr(s, "query")}.values())


def types_of(source):
    return source.table.types if hasattr(source, "query") else source.types


def columns_of(source):
    return source.table.columns if hasattr(source, "query") else source.columns


def raw(table, state, events):
    if table.event:
        return Counter(state.events.get(table.name, ()) if events else ())
    return Counter(state.rows[table.name])


def visible(source, state, caller, events):
    """A view's rows are what its query says with the owner's rights, each once; a guarded table's, all that its rules
    say together."""
    if hasattr(source, "query"):
        everything = Caller(caller.identity, True)
        return Counter(set(source.query.answer(state, everything)))
    if caller.is_owner or not source.rules:
        return raw(source, state, events)
    total = Counter()
    for rule in source.rule_queries:
        total.update(rule.answer(state, caller, events))
    return total


def sources_below(query):
    """The tables that a query reads, those of views and rules among them."""
    found, todo = [], list(query.sources)
    while todo:
        source = todo.pop()
        if source in found:
            continue
        found.append(source)
        if hasattr(source, "query"):
            todo += source.query.sources
        else:
            todo += [s for rule in getattr(source, "rule_queries", ()) for s in rule.sources]
    return found
