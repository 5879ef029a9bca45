# SPDX-License-Identifier: Apache-2.0
"""Clients of v2 and v3: a bag of rows for each query set."""

import struct
from collections import Counter

import ws
from client import Client, Held, Reader, blob, difference, texts_bsatn

SUBSCRIBE, UNSUBSCRIBE, ONE_OFF, CALL = range(4)
INITIAL, APPLIED, UNSUBSCRIBED, ERROR, UPDATE, ONE_OFF_RESULT, RESULT = range(7)


class Version2(Client):
    def __init__(self, *args):
        super().__init__(*args)
        self.out = []
        self.receive()

    def expected(self, state):
        return {number: held.rows(state, self.caller) for number, held in self.sets.items()}

    def expected_events(self, state):
        return {number: held.events(state, self.caller) for number, held in self.sets.items()}

    # ---- requests; v3 may put many into one frame ----

    def send(self, data):
        self.out.append(data)
        if self.protocol[:2] == "v2" or self.pick.random() < 0.6:
            self.flush()

    def flush(self):
        if self.out:
            self.connection.send(b"".join(self.out))
        self.out = []

    def subscribe(self, queries=None, texts=None):
        number = self.fresh()
        if queries is None and self.pick.random() < 0.1:
            queries, texts = self.world.everything(self.caller), ["SELECT * FROM *"]
        if queries is None:
            queries = [self.world.random_query() for _ in range(self.pick.choice([1, 1, 2, 3]))]
            if self.pick.random() < 0.2 and self.sets:
                queries += self.pick.choice(list(self.sets.values())).queries
        texts = texts or [q.text for q in queries]
        self.log(f"subscribe {number}: {texts}")
        self.ask("subscribe", struct.pack("<BII", SUBSCRIBE, number, number) + texts_bsatn(texts), (number, queries))

    def unsubscribe(self):
        leaving = [checked[0] for kind, checked in self.asked if kind == "unsubscribe"]
        known = [n for n in self.sets if n not in leaving and n != self.serial_set]
        if not known:
            return
        number, drop = self.pick.choice(known), self.pick.random() < 0.6
        self.log(f"unsubscribe {number}, {'with' if drop else 'without'} rows")
        self.ask("unsubscribe", struct.pack("<BIIB", UNSUBSCRIBE, self.fresh(), number, drop), (number, drop))

    def one_off(self, query):
        sql = query.text if query else "SELECT * FROM serial"
        self.ask("one-off", struct.pack("<BI", ONE_OFF, self.fresh()) + ws.bsatn_str(sql), query)

    def call(self, arguments, number):
        self.log(f"call, {f'commit {number}' if number else 'which fails'}")
        self.ask("call", struct.pack("<BIB", CALL, self.fresh(), 0) + ws.bsatn_str("run") + blob(arguments), number)

    # ---- messages ----

    def receive(self):
        message = Reader(self.connection.payload())
        if message.take("B") != 0:
            self.fail("compressed, which nobody asked for")
        count = 0
        while message.more():
            self.take_message(message.take("B"), message)
            count += 1
        self.messages += count
        if count != 1 and self.protocol[:2] == "v2":
            self.fail(f"{count} messages in one frame")

    def take_message(self, kind, message):
        if kind == INITIAL:
            message.skip(48)
            message.text()
        elif kind == UPDATE:
            if message.data[message.at:message.at + 4] == b"\0\0\0\0":
                self.fail("an empty update")
            self.updated(*self.apply(message), "an update")
        elif kind == APPLIED:
            self.take_applied(message)
        elif kind == UNSUBSCRIBED:
            self.take_unsubscribed(message)
        elif kind == ERROR:
            of_request = message.take("B") == 0
            message.skip(8 if of_request else 4)
            if not of_request:
                self.fail(f"a subscription is dropped: {message.text()}")
            number, queries = self.answered("subscribe")
            self.refused(queries, message.text())
        elif kind == ONE_OFF_RESULT:
            query = self.answered("one-off")
            message.skip(4)
            if message.take("B") == 1:
                self.refused([query], message.text())
            else:
                self.check_one_off(query, self.query_rows(message))
        elif kind == RESULT:
            self.take_result(message)
        else:
            self.fail(f"a message of kind {kind}")

    @staticmethod
    def query_rows(message):
        bag = Counter()
        for table, rows in message.many(lambda: (message.text(), message.rows())):
            bag.update((table, row) for row in rows)
        return bag

    def take_applied(self, message):
        number, queries = self.answered("subscribe")
        message.skip(8)
        rows = self.query_rows(message)
        if not self.may_read(queries):
            self.fail(f"set {number} reads private tables and was accepted")
        held = Held(queries)
        self.stand(lambda state: held.rows(state, self.caller) == rows, f"subscribed {number}",
                   lambda state: difference({number: held.rows(state, self.caller)}, {number: rows}))
        self.sets[number], self.cache[number] = held, rows

    def take_unsubscribed(self, message):
        number, drop = self.answered("unsubscribe")
        message.skip(8)
        if (message.take("B") == 0) != drop:
            self.fail("an unsubscribe has rows that nobody asked for, or lacks them")
        if drop:
            rows = self.query_rows(message)
            if rows != self.cache[number]:
                self.fail(f"unsubscribed: {difference({number: self.cache[number]}, {number: rows})}")
        del self.sets[number], self.cache[number]

    def apply(self, message):
        """({set: rows} with the update, {set: events})"""
        cache = {n: Counter(bag) for n, bag in self.cache.items()}
        events = {n: Counter() for n in self.sets}
        for _ in range(message.take("I")):
            number = message.take("I")
            if number not in cache:
                self.fail(f"an update of set {number}, which is not held")
            for _ in range(message.take("I")):
                table = message.text()
                for _ in range(message.take("I")):
                    if message.take("B") == 1:
                        events[number].update((table, row) for row in message.rows())
                        continue
                    cache[number].update((table, row) for row in message.rows())
                    cache[number].subtract((table, row) for row in message.rows())
            if any(copies < 0 for copies in cache[number].values()):
                self.fail(f"set {number}: rows go that are not there: {dict(-cache[number])}")
            cache[number] = +cache[number]
        return cache, events

    def take_result(self, message):
        number = self.answered("call")
        message.skip(12)
        outcome = message.take("B")
        if outcome >= 2:
            why = message.blob()
            if number is not None:
                self.fail(f"a call that works fails: {why!r}")
            return
        if number is None:
            self.fail("a call that fails works")
        message.blob()
        self.updated(*self.apply(message), "a result", number)
