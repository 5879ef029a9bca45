# SPDX-License-Identifier: Apache-2.0
"""What clients of all protocols have in common: requests that wait for their answers, a cache, and the check behind
every message that the cache is what the model says it must be at one commit.

Nobody tells a client which commit a message is of. So it keeps all the numbers that fit what it has seen (`nows`): a
commit that changes nothing for it may have happened or not. A message that fits none of them is wrong."""

import itertools
import os
import struct
import sys
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import ws  # noqa: E402
from queries import Query  # noqa: E402

EVENT_REFUSALS = ("Event tables cannot be used as the lookup table", "Subscribing to event tables requires")


class Mismatch(Exception):
    pass


class Reader:
    """Bytes of a message, from the front."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def more(self):
        return self.at < len(self.data)

    def take(self, form):
        value, = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def skip(self, count):
        self.at += count

    def blob(self):
        size = self.take("I")
        self.at += size
        if self.at > len(self.data):
            raise Mismatch("a message ends too early")
        return self.data[self.at - size:self.at]

    def text(self):
        return self.blob().decode()

    def many(self, one):
        return [one() for _ in range(self.take("I"))]

    def rows(self):
        """BsatnRowList: the bytes of each row."""
        if self.take("B") == 0:
            size = self.take("H")
            data = self.blob()
            if size == 0 or len(data) % size:
                raise Mismatch(f"{len(data)} bytes of rows of {size}")
            return [data[i:i + size] for i in range(0, len(data), size)]
        offsets = self.many(lambda: self.take("Q"))
        data = self.blob()
        return [data[a:b] for a, b in zip(offsets, offsets[1:] + [len(data)])]


def table_of(source):
    return source.table if hasattr(source, "query") else source


def bag_of(query, answer):
    """{(name, row bytes): copies}"""
    return Counter({(query.table.name, table_of(query.table).bsatn(row)): n for row, n in answer.items()})


class Held:
    """Queries that are held together: each text once."""

    def __init__(self, queries):
        self.queries = list({q.text: q for q in queries}.values())

    def rows(self, state, caller):
        return sum((bag_of(q, q.answer(state, caller)) for q in self.queries), Counter())

    def events(self, state, caller):
        return sum((bag_of(q, q.answer(state, caller, True)) for q in self.queries
                    if getattr(q.table, "event", False)), Counter())


class Client:
    def __init__(self, world, host, database, caller, token, protocol, pick):
        self.world, self.caller, self.protocol, self.pick = world, caller, protocol, pick
        self.asked, self.next_id, self.messages = [], 1, 0
        self.sets, self.cache, self.serial_set = {}, {}, None
        self.nows = [len(world.states) - 1]
        self.history = [f"commit {self.nows[0]}: connects as person {caller.identity}"]
        self.connection = ws.Client(host.port, database, token, confirmed=pick.random() < 0.5, protocol=protocol,
                                    light=pick.random() < 0.3)

    def log(self, line):
        self.history.append(f"commits {self.nows}: {line}")

    def fail(self, why):
        raise Mismatch(f"{self.protocol}, at commit {self.nows} of {len(self.world.states) - 1}: {why}")

    def fresh(self):
        self.next_id += 1
        return self.next_id

    def ask(self, kind, data, checked_by):
        self.asked.append((kind, checked_by))
        self.send(data)

    def answered(self, *kinds):
        if not self.asked or self.asked[0][0] not in kinds:
            self.fail(f"an answer to {kinds}, but {self.asked[0][0] if self.asked else 'nothing'} is awaited")
        return self.asked.pop(0)[1]

    # ---- where it may stand ----

    def concerns(self, number):
        """Does this commit change what the client has?"""
        states = self.world.states
        return self.expected(states[number]) != self.expected(states[number - 1]) or \
            any(self.expected_events(states[number]).values())

    def reachable(self):
        """All commits that the client may stand at without another message."""
        found = set()
        for number in self.nows:
            found.add(number)
            while number + 1 < len(self.world.states) and not self.concerns(number + 1):
                number += 1
                found.add(number)
        return sorted(found)

    def stand(self, fits, what, wanted):
        """Keeps the commits that fit; `wanted` explains a misfit at the first of them."""
        before = self.reachable()
        self.nows = [n for n in before if fits(self.world.states[n])]
        if not self.nows:
            self.nows = before
            self.fail(f"{what}: {wanted(self.world.states[before[0]])}")

    def updated(self, cache, events, what, number=None):
        """An update has made `cache` of the cache; `number`: of this commit."""
        after = [n + 1 for n in self.reachable() if n + 1 < len(self.world.states)]
        if number is not None:
            after = [n for n in after if n == number]
        states = self.world.states
        fitting = [n for n in after if self.expected(states[n]) == cache and self.expected_events(states[n]) == events]
        if not fitting:
            n = after[0] if after else len(states) - 1
            self.fail(f"{what} fits no commit of {after}; of {n}: {difference(self.expected(states[n]), cache)}; "
                      f"events {difference(self.expected_events(states[n]), events)}")
        self.nows, self.cache = fitting, cache

    def settle(self):
        """Everything that was asked for is answered, and nothing is missing afterwards."""
        self.one_off(None)
        self.flush()
        while self.asked:
            self.receive()
        last = len(self.world.states) - 1
        if last not in self.reachable():
            n = self.reachable()[-1] + 1
            self.fail(f"commit {n} never came: {difference(self.expected(self.world.states[n]), self.cache)}; events "
                      f"{self.expected_events(self.world.states[n])}")
        self.nows = [last]

    # ---- checks that all protocols share ----

    def may_read(self, queries):
        return all(self.world.readable(q, self.caller) for q in queries)

    def refused(self, queries, why):
        if self.may_read(queries) and not any(text in why for text in EVENT_REFUSALS):
            self.fail(f"refused: {why}")

    def check_one_off(self, query, rows):
        if not self.may_read([query] if query else []):
            self.fail(f"{query.text} reads a private table and was answered")
        if query is None:
            def wanted(state):
                return [Counter({("serial", self.world.serial.bsatn(r)): 1 for r in state.rows["serial"]})]
        else:
            # A one-off query makes no views: one that nobody holds any more, or not yet, may be empty.
            held = {v.name for held in self.sets.values() for q in held.queries for v in q.views()}
            loose = [v for v in query.views() if v.name not in held]
            choices = [c for n in range(len(loose) + 1) for c in itertools.combinations(loose, n)]

            def wanted(state):
                return [bag_of(query, query.answer(state, self.caller, empty=c)) for c in choices]
        self.stand(lambda state: rows in wanted(state), f"one-off {query.text if query else 'serial'}",
                   lambda state: difference({"": wanted(state)[0]}, {"": rows}))
        if query is None:  # nothing is sent behind it
            last = len(self.world.states) - 1
            self.nows = [n for n in self.nows if n == last] or self.nows

    def watch(self):
        """Subscribes to `serial`, which every commit changes: from then on it is known which commit a message is of."""
        self.serial_set = self.next_id + 1
        self.subscribe([Query([self.world.serial])])

    def random_action(self):
        pick = self.pick
        roll = pick.random()
        if roll < 0.45:
            self.subscribe()
        elif roll < 0.65:
            self.unsubscribe()
        else:
            query = self.world.random_query()
            self.log(f"one-off {query.text}")
            self.one_off(query)


def difference(wanted, got):
    lines = []
    for key in sorted(set(wanted) | set(got), key=str):
        w, g = wanted.get(key, Counter()), got.get(key, Counter())
        if w != g:
            lines.append(f"set {key}: missing {dict(w - g)}, too many {dict(g - w)}")
    return "; ".join(lines) or "nothing differs"


def texts_bsatn(texts):
    return struct.pack("<I", len(texts)) + b"".join(ws.bsatn_str(t) for t in texts)


def blob(data):
    return struct.pack("<I", len(data)) + data
