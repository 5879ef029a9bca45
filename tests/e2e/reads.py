#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Large subscriptions, unsubscribes, one-off queries and SQL while others write: every message shows one moment.

    tests/e2e/reads.py [--flavor asan] [--rounds N] [--seed N]

Money only moves between accounts, so whatever a client holds adds up to the same sum after each single message, a
second query's rows are those of the first that match it, and replies come in the order of their requests, with what
commits say in between. Readers connect, ask for everything at once, and leave, some in the middle. The last line says
how many checks passed and failed.
"""

import argparse
import json
import os
import random
import re
import struct
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import ws  # noqa: E402
from host import ROOT, Host  # noqa: E402

ACCOUNTS, EACH = 4000, 1000
TOTAL = ACCOUNTS * EACH
RICH = EACH  # the second query: WHERE balance > RICH
UNSUBSCRIBED = 2


class Reader:
    """Bytes of a message, from the front."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0]

    def blob(self):
        size = self.take("I")
        self.at += size
        return self.data[self.at - size:self.at]

    def rows(self):
        if self.take("B") == 0:
            self.take("H")
        else:
            offsets = self.take("I")
            self.at += 8 * offsets
        return list(struct.iter_unpack("<Iq", self.blob()))

    def tables(self):
        return [row for _ in range(self.take("I")) for row in (self.blob(), self.rows())[1]]

    def update(self):
        """{set: (inserts, deletes)}"""
        sets = {}
        for _ in range(self.take("I")):
            inserts, deletes = sets.setdefault(self.take("I"), ([], []))
            for _ in range(self.take("I")):
                self.blob()
                for _ in range(self.take("I")):
                    if self.take("B") != 0:
                        raise AssertionError("rows of an event table")
                    inserts += self.rows()
                    deletes += self.rows()
        return sets


class Life:
    """One connection and what it holds: {set: {id: balance}}."""

    def __init__(self, port, token):
        self.client = ws.Client(port, "bank", token)
        self.client.receive()
        self.sets, self.asked, self.checks = {}, [], 0

    def send(self, kind, payload):
        self.client._send_frame(2, bytes([kind]) + payload)
        self.asked.append(kind)

    def subscribe(self, number, sql):
        self.send(ws.SUBSCRIBE, struct.pack("<III", number, number, 1) + ws.bsatn_str(sql))

    def unsubscribe(self, number):
        self.send(ws.UNSUBSCRIBE, struct.pack("<IIB", number, number, 1))

    def one_off(self, sql):
        self.send(ws.ONE_OFF, struct.pack("<I", 9) + ws.bsatn_str(sql))

    def transfer(self, source, target, amount):
        args = struct.pack("<IIq", source, target, amount)
        self.send(ws.CALL_REDUCER, struct.pack("<IB", 8, 0) + ws.bsatn_str("transfer") +
                  struct.pack("<I", len(args)) + args)

    def apply(self, sets):
        for number, (inserts, deletes) in sets.items():
            held = self.sets[number]
            for account, balance in deletes:
                assert held.pop(account) == balance, f"set {number}: account {account} did not hold {balance}"
            for account, balance in inserts:
                assert account not in held, f"set {number}: account {account} is there twice"
                held[account] = balance

    def receive(self):
        """One message; what it answers (or None); everything must add up behind it."""
        kind, body = self.client.receive()
        message, answers = Reader(body), None
        if kind == ws.UPDATE:
            self.apply(message.update())
        else:
            answers = self.asked.pop(0)
        if kind == ws.SUBSCRIBED:
            assert answers == ws.SUBSCRIBE, f"applied, but {answers} is the oldest request"
            message.take("I")
            number = message.take("I")
            self.sets[number] = dict(message.tables())
        elif kind == UNSUBSCRIBED:
            assert answers == ws.UNSUBSCRIBE, f"unsubscribed, but {answers} is the oldest request"
            message.take("I")
            number = message.take("I")
            assert message.take("B") == 0, "no rows"
            assert dict(message.tables()) == self.sets.pop(number), "the rows told to go are not those held"
        elif kind == ws.ONE_OFF_RESULT:
            assert answers == ws.ONE_OFF, f"a one-off result, but {answers} is the oldest request"
            message.take("I")
            assert message.take("B") == 0, body[:200]
            rows = dict(message.tables())
            assert sum(rows.values()) == TOTAL, f"a one-off query adds up to {sum(rows.values())}"
            if 1 in self.sets:
                assert rows == self.sets[1], "a one-off query and a subscription differ"
        elif kind == ws.REDUCER_RESULT:
            assert answers == ws.CALL_REDUCER, f"a result, but {answers} is the oldest request"
            message.take("I")
            message.take("q")
            outcome = message.take("B")
            if outcome == ws.OK:
                message.blob()
                self.apply(message.update())
        elif kind != ws.UPDATE:
            raise AssertionError(f"a message of kind {kind}: {body[:200]!r}")
        self.check()
        return answers

    def check(self):
        if 1 in self.sets:
            everything = sum(self.sets[1].values())
            assert everything == TOTAL, f"the accounts add up to {everything}, not {TOTAL}"
        if 1 in self.sets and 2 in self.sets:
            rich = {account: balance for account, balance in self.sets[1].items() if balance > RICH}
            assert rich == self.sets[2], "the second query does not have the rows of the first that match it"
        self.checks += 1


class Test:
    def __init__(self, host, token, seed, rounds):
        self.host, self.token, self.seed, self.rounds = host, token, seed, rounds
        self.stop = threading.Event()
        self.passed, self.failures = 0, []

    def writer(self, number):
        pick = random.Random(self.seed * 100 + number)
        life = Life(self.host.port, self.token)
        while not self.stop.is_set():
            for _ in range(8):
                source, target = pick.sample(range(ACCOUNTS), 2)
                life.transfer(source, target, pick.randrange(50))
            while life.asked:
                life.receive()

    def reader(self, number):
        pick = random.Random(self.seed * 100 + 50 + number)
        for _ in range(self.rounds):
            life = Life(self.host.port, self.token)
            life.subscribe(1, "SELECT * FROM accounts")
            life.transfer(*pick.sample(range(ACCOUNTS), 2), 1)
            life.one_off("SELECT * FROM accounts")
            life.subscribe(2, f"SELECT * FROM accounts WHERE balance > {RICH}")
            life.transfer(*pick.sample(range(ACCOUNTS), 2), 1)
            life.one_off("SELECT * FROM accounts WHERE balance >= 0")
            life.unsubscribe(2)
            patience = pick.randrange(60) if pick.randrange(3) == 0 else 1 << 30
            while life.asked and patience > 0:
                life.receive()
                patience -= 1
            for _ in range(20 if patience > 0 else 0):
                life.receive()
            if patience > 0:
                life.unsubscribe(1)
                while life.asked:
                    life.receive()
            life.client.close()
            self.passed += life.checks

    def asker(self):
        while not self.stop.is_set():
            status, answer = self.host.request("POST", "/v1/database/bank/sql", b"SELECT * FROM accounts", self.token)
            assert status == 200, answer[:300]
            total = sum(row[1] for row in json.loads(answer)[0]["rows"])
            assert total == TOTAL, f"SQL adds up to {total}"
            self.passed += 1

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as error:  # whatever it is, it is the test's result
            if not self.stop.is_set() or work == self.reader:
                self.failures.append(f"{work.__name__}{arguments}: {type(error).__name__}: {error}")

    def run(self):
        beside = [threading.Thread(target=self.guarded, args=(self.writer, i)) for i in range(2)]
        beside.append(threading.Thread(target=self.guarded, args=(self.asker,)))
        readers = [threading.Thread(target=self.guarded, args=(self.reader, i)) for i in range(4)]
        for thread in beside + readers:
            thread.start()
        for thread in readers:
            thread.join()
        self.stop.set()
        for thread in beside:
            thread.join()

    def waits(self):
        """The host's histogram of waits: cumulative, in order, and as many as it says."""
        text = self.host.request("GET", "/v1/metrics")[1].decode()
        name = "worldline_executor_wait_seconds"
        found = re.findall(rf'^{name}_bucket{{db="[0-9a-f]{{64}}",le="(.+)"}} (\d+)$', text, re.M)
        limits, counts = [float(limit) for limit, _ in found], [int(count) for _, count in found]
        total = re.search(rf'^{name}_count{{db="[0-9a-f]{{64}}"}} (\d+)$', text, re.M)
        if limits != sorted(set(limits)) or counts != sorted(counts) or limits[-1:] != [float("inf")]:
            self.failures.append(f"waits are no histogram: {found}")
        elif total is None or int(total.group(1)) != counts[-1] or counts[-1] == 0:
            self.failures.append(f"{counts[-1]} waits, {total and total.group(1)} in all")
        else:
            self.passed += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flavor", default="asan")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with Host(options.flavor, start_seconds=120) as host:
        with open(os.path.join(ROOT, "build", "modules", "transfer.wasm"), "rb") as f:
            program = f.read()
        token = json.loads(host.request("POST", "/v1/identity")[1])["token"]
        status, answer = host.request("PUT", "/v1/database/bank", program, token, "application/wasm")
        assert status == 200, answer
        seed = json.dumps([ACCOUNTS, EACH]).encode()
        status, answer = host.request("POST", "/v1/database/bank/call/seed", seed, token, "application/json")
        assert status == 200, answer
        test = Test(host, token, options.seed, options.rounds)
        test.run()
        test.waits()
        ended = host.stop(seconds=120) if host.alive() else f"{host.process.returncode}, before its time"
        if ended != 0 or "ERROR: " in host.log() or "WARNING: ThreadSanitizer" in host.log():
            test.failures.append(f"the host ended with {ended}\n{host.log()[-8000:]}")
    for failure in test.failures:
        print(f"  FAIL {failure}")
    print(f"{test.passed} passed, {len(test.failures)} failed")
    return 1 if test.failures else 0


if __name__ == "__main__":
    sys.exit(main())
