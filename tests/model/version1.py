# SPDX-License-Identifier: Apache-2.0
"""Clients of v1, as JSON and as BSATN: one bag of rows; a legacy set, and sets by id that share their queries."""

import json
import struct
from collections import Counter

import ws
from client import Client, Held, Reader, blob, difference, table_of, texts_bsatn

CALL, SUBSCRIBE, ONE_OFF, SINGLE, MULTI, UNSUBSCRIBE, UNSUBSCRIBE_MULTI = range(7)
NAMES = ["InitialSubscription", "TransactionUpdate", "TransactionUpdateLight", "IdentityToken", "OneOffQueryResponse",
         "SubscribeApplied", "UnsubscribeApplied", "SubscriptionError", "SubscribeMultiApplied",
         "UnsubscribeMultiApplied"]
NO_SUCCESS_NOTIFY = 1


class Version1(Client):
    """Messages are turned into dictionaries of the JSON form first, rows into their BSATN."""

    def __init__(self, *args):
        super().__init__(*args)
        self.json = "json" in self.protocol
        self.legacy, self.singles = Held([]), set()
        self.cache = {"": Counter()}
        self.by_name = {s.name: s for s in self.world.sources + [self.world.serial]}
        self.receive()

    def shared(self, without=None):
        return Held([q for n, held in self.sets.items() if n != without for q in held.queries])

    def expected(self, state):
        return {"": self.legacy.rows(state, self.caller) + self.shared().rows(state, self.caller)}

    def expected_events(self, state):
        return {}

    # ---- requests ----

    def send(self, message):
        tag, fields = message
        if not self.json:
            self.connection.send(bytes([tag]) + b"".join(fields.values()))
            return
        names = ["CallReducer", "Subscribe", "OneOffQuery", "SubscribeSingle", "SubscribeMulti", "Unsubscribe",
                 "UnsubscribeMulti"]
        self.connection.send(json.dumps({names[tag]: fields}).encode(), text=True)

    def flush(self):
        pass

    def number(self, value):
        return value if self.json else struct.pack("<I", value)

    def query_id(self, value):
        return {"id": value} if self.json else struct.pack("<I", value)

    def string(self, value):
        return value if self.json else ws.bsatn_str(value)

    def strings(self, values):
        return values if self.json else texts_bsatn(values)

    def held_or_asked(self):
        texts = {q.text for q in self.shared().queries}
        for kind, checked in self.asked:
            if kind == "subscribe":
                texts |= {q.text for q in checked[2]}
        return texts

    def subscribe(self, queries=None, texts=None):
        pick, number = self.pick, self.fresh()
        kind = pick.choice([SUBSCRIBE, SINGLE, MULTI, MULTI]) if queries is None else MULTI
        if queries is None:
            queries = [self.world.random_query() for _ in range(1 if kind == SINGLE else pick.choice([1, 2, 3]))]
            if kind == MULTI and self.sets and pick.random() < 0.4:
                queries += pick.choice(list(self.sets.values())).queries
        if kind == SUBSCRIBE and pick.random() < 0.3:
            queries, texts = self.world.everything(self.caller), ["SELECT * FROM *"]
        if kind == SINGLE and queries[0].text in self.held_or_asked():
            return
        if kind == SUBSCRIBE and any(s.event for q in queries for s in q.sources if hasattr(s, "event")):
            return  # the reference lets them in without saying what for
        if kind == SUBSCRIBE:  # which sends the rows of a text as often as it is there
            queries = Held(queries).queries
        texts = texts or [q.text for q in queries]
        self.log(f"subscribe, kind {kind}, {number}: {texts}")
        fields = {"query": self.string(texts[0])} if kind == SINGLE else {"query_strings": self.strings(texts)}
        fields["request_id"] = self.number(number)
        if kind != SUBSCRIBE:
            fields["query_id"] = self.query_id(number)
        self.ask("subscribe", (kind, fields), (kind, number, queries))

    def unsubscribe(self):
        leaving = [checked for kind, checked in self.asked if kind == "unsubscribe"]
        known = [n for n in self.sets if n not in leaving and n != self.serial_set]
        if not known:
            return
        number = self.pick.choice(known)
        single = number in self.singles
        if single:
            text = self.sets[number].queries[0].text
            asked = [q.text for kind, checked in self.asked if kind == "subscribe" for q in checked[2]]
            if text in asked or text in [q.text for q in self.shared(number).queries]:
                return  # the reference answers with an internal error
        self.log(f"unsubscribe {number}")
        fields = {"request_id": self.number(self.fresh()), "query_id": self.query_id(number)}
        self.ask("unsubscribe", (UNSUBSCRIBE if single else UNSUBSCRIBE_MULTI, fields), number)

    def one_off(self, query):
        sql = query.text if query else "SELECT * FROM serial"
        message_id = self.fresh().to_bytes(4, "little")
        fields = {"message_id": message_id.hex() if self.json else blob(message_id), "query_string": self.string(sql)}
        self.ask("one-off", (ONE_OFF, fields), query)

    def call(self, arguments, number):
        """With NoSuccessNotify nothing answers; the commit comes like anybody's."""
        quiet = self.pick.random() < 0.2
        self.log(f"call, {f'commit {number}' if number else 'which fails'}{', without notice' if quiet else ''}")
        script = arguments[4:]
        fields = {"reducer": self.string("run"),
                  "args": json.dumps([script.hex()]) if self.json else blob(arguments),
                  "request_id": self.number(self.fresh()),
                  "flags": (NO_SUCCESS_NOTIFY if quiet else 0) if self.json else bytes([quiet])}
        if quiet:
            self.send((CALL, fields))
        else:
            self.ask("call", (CALL, fields), number)

    # ---- messages ----

    def receive(self):
        payload = self.connection.payload()
        self.messages += 1
        if self.json:
            (name, body), = json.loads(payload).items()
        else:
            message = Reader(payload)
            if message.take("B") != 0:
                self.fail("compressed, which nobody asked for")
            name = NAMES[message.take("B")]
            body = getattr(self, "read_" + name)(message)
            if message.more():
                self.fail(f"{name} has {len(message.data) - message.at} bytes too many")
        getattr(self, "take_" + name)(body)

    # From bytes, as far as anybody looks at it.

    @staticmethod
    def read_update(message):
        def table():
            message.skip(4)
            name, _ = message.text(), message.take("Q")
            updates = []
            for _ in range(message.take("I")):
                if message.take("B") != 0:
                    raise ValueError("a compressed query update")
                updates.append({"deletes": message.rows(), "inserts": message.rows()})
            return {"table_name": name, "updates": updates}
        return {"tables": message.many(table)}

    def read_InitialSubscription(self, message):
        update = self.read_update(message)
        message.skip(12)
        return {"database_update": update}

    def read_TransactionUpdate(self, message):
        status = message.take("B")
        body = {"status": {"Committed": self.read_update(message)} if status == 0 else {"Failed": message.text()}}
        message.skip(8 + 32 + 16)
        message.text()
        message.skip(4)
        message.blob()
        message.skip(4 + 16 + 8)
        return body

    def read_TransactionUpdateLight(self, message):
        message.skip(4)
        return {"update": self.read_update(message)}

    @staticmethod
    def read_IdentityToken(message):
        message.skip(32)
        message.text()
        message.skip(16)

    @staticmethod
    def read_OneOffQueryResponse(message):
        message.blob()
        body = {"error": {"some": message.text()} if message.take("B") == 0 else {"none": []}}
        body["tables"] = message.many(lambda: {"table_name": message.text(), "rows": message.rows()})
        message.skip(8)
        return body

    @staticmethod
    def read_single(message):
        message.skip(4 + 8 + 4)
        message.skip(4)
        message.text()
        message.skip(4)
        name, _ = message.text(), message.take("Q")
        updates = []
        for _ in range(message.take("I")):
            message.skip(1)
            updates.append({"deletes": message.rows(), "inserts": message.rows()})
        return {"rows": {"table_rows": {"table_name": name, "updates": updates}}}

    read_SubscribeApplied = read_UnsubscribeApplied = read_single

    @staticmethod
    def read_SubscriptionError(message):
        message.skip(8)
        for _ in range(3):
            if message.take("B") == 0:
                message.skip(4)
        return {"error": message.text()}

    def read_SubscribeMultiApplied(self, message):
        message.skip(4 + 8 + 4)
        return {"update": self.read_update(message)}

    read_UnsubscribeMultiApplied = read_SubscribeMultiApplied

    # What it means.

    def row_bytes(self, name, row):
        if not self.json:
            return row
        table = table_of(self.by_name[name])
        return table.bsatn(table.from_json(json.loads(row)))

    def changes(self, update):
        inserts, deletes = Counter(), Counter()
        for table in update["tables"]:
            name = table["table_name"]
            for part in table["updates"]:
                inserts.update((name, self.row_bytes(name, row)) for row in part["inserts"])
                deletes.update((name, self.row_bytes(name, row)) for row in part["deletes"])
        return inserts, deletes

    def applied(self, update):
        inserts, deletes = self.changes(update)
        bag = Counter(self.cache[""])
        bag.update(inserts)
        bag.subtract(deletes)
        if any(copies < 0 for copies in bag.values()):
            self.fail(f"rows go that are not there: {dict(-bag)}")
        return {"": +bag}

    def take_IdentityToken(self, body):
        pass

    def take_InitialSubscription(self, body):
        kind, number, queries = self.answered("subscribe")
        inserts, deletes = self.changes(body["database_update"])
        held = Held(queries)
        if deletes or kind != SUBSCRIBE or not self.may_read(queries):
            self.fail("an InitialSubscription that should not be")
        self.stand(lambda state: held.rows(state, self.caller) == inserts, "initial rows",
                   lambda state: difference({"": held.rows(state, self.caller)}, {"": inserts}))
        self.legacy = held
        self.cache = self.expected(self.world.states[self.nows[0]])

    def take_added(self, update):
        kind, number, queries = self.answered("subscribe")
        inserts, deletes = self.changes(update)
        if deletes or kind == SUBSCRIBE or not self.may_read(queries):
            self.fail(f"set {number}, kind {kind}, should not be accepted like this")
        known = {q.text for q in self.shared().queries}
        added = Held([q for q in queries if q.text not in known])
        self.stand(lambda state: added.rows(state, self.caller) == inserts, f"subscribed {number}",
                   lambda state: difference({"": added.rows(state, self.caller)}, {"": inserts}))
        self.sets[number] = Held(queries)
        if kind == SINGLE:
            self.singles.add(number)
        self.cache = {"": self.cache[""] + inserts}

    def take_SubscribeMultiApplied(self, body):
        self.take_added(body["update"])

    def take_SubscribeApplied(self, body):
        self.take_added({"tables": [body["rows"]["table_rows"]]})

    def take_removed(self, update):
        number = self.answered("unsubscribe")
        inserts, deletes = self.changes(update)
        kept = {q.text for q in self.shared(number).queries}
        gone = Held([q for q in self.sets[number].queries if q.text not in kept])
        if inserts:
            self.fail(f"unsubscribed {number}: {dict(inserts)} comes")
        self.stand(lambda state: gone.rows(state, self.caller) == deletes, f"unsubscribed {number}",
                   lambda state: difference({"": gone.rows(state, self.caller)}, {"": deletes}))
        del self.sets[number]
        self.cache = {"": self.cache[""] - deletes}

    def take_UnsubscribeMultiApplied(self, body):
        self.take_removed(body["update"])

    def take_UnsubscribeApplied(self, body):
        self.take_removed({"tables": [body["rows"]["table_rows"]]})

    def take_SubscriptionError(self, body):
        if not self.asked or self.asked[0][0] != "subscribe":
            self.fail(f"subscriptions are dropped: {body['error']}")
        kind, number, queries = self.answered("subscribe")
        self.refused(queries, body["error"])

    def take_OneOffQueryResponse(self, body):
        query = self.answered("one-off")
        if "some" in body["error"]:
            self.refused([query], body["error"]["some"])
            return
        rows = Counter()
        for table in body["tables"]:
            rows.update((table["table_name"], self.row_bytes(table["table_name"], row)) for row in table["rows"])
        self.check_one_off(query, rows)

    def take_TransactionUpdate(self, body):
        number = self.answered("call")
        status = body["status"]
        if ("Committed" in status) != (number is not None):
            self.fail(f"a call that {'works' if number else 'fails'}: {status}")
        if number is not None:
            self.updated(self.applied(status["Committed"]), {}, "a result", number)

    def take_TransactionUpdateLight(self, body):
        if not body["update"]["tables"]:
            self.fail("an empty update")
        self.updated(self.applied(body["update"]), {}, "an update")
