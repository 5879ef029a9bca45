#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a database does beside answering: procedures, schedules, lifecycle, energy, the module's log, with a real host.

    tests/e2e/work.py [--flavor dev]       last line: N passed, N failed

What is late is late: nothing here fails because the machine is busy, but for waits of many seconds.
"""

import argparse
import json
import os
import signal
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from host import ROOT, Host  # noqa: E402
from ws import CALL_PROCEDURE, INTERNAL, OK, PROCEDURE_RESULT, Client, bsatn_str  # noqa: E402

WAIT = 60  # seconds, for what must happen


def module(name):
    with open(os.path.join(ROOT, "build", "modules", f"{name}.wasm"), "rb") as f:
        return f.read()


class Test:
    def __init__(self, flavor, config="", name="work"):
        self.host = Host(flavor, start_seconds=120)
        with open(os.path.join(self.host.data_dir, "config.toml"), "w") as f:
            f.write("[network]\nloops = 3\n" + config)  # a small machine has one, and one races with nobody
        self.name, self.passed, self.failures = name, 0, []

    def __enter__(self):
        self.host.start()
        self.owner, self.token = self.person()
        status, answer = self.publish(self.name)
        assert status == 200, answer
        self.identity = json.loads(answer)["Success"]["database_identity"]
        return self

    def __exit__(self, *exc):
        ended = self.host.stop(seconds=120) if self.host.alive() else "before its time"
        log = self.host.log()
        reports = [text for text in ("ERROR: ", "runtime error", "WARNING: ThreadSanitizer") if text in log]
        self.check("the host's end", ended == 0 and not reports, f"{ended}\n{log[-4000:]}")
        self.host.__exit__(*exc)

    def check(self, what, ok, got=""):
        self.passed += bool(ok)
        if not ok:
            self.failures.append(f"{what}: {str(got)[:1500]}")

    def equal(self, what, got, wanted):
        self.check(what, got == wanted, f"{got!r}, not {wanted!r}")

    # ---- the host ----

    def person(self):
        answer = json.loads(self.host.request("POST", "/v1/identity")[1])
        return answer["identity"], answer["token"]

    def publish(self, name, code=None):
        return self.host.request("PUT", f"/v1/database/{self.name}", code or module(name), self.token,
                                 "application/wasm")

    def call(self, function, *args, token=None):
        status, answer = self.host.request("POST", f"/v1/database/{self.name}/call/{function}",
                                           json.dumps(args).encode(), token or self.token, "application/json")
        return status, answer.decode()

    def must(self, function, *args):
        status, answer = self.call(function, *args)
        assert status == 200, (function, args, status, answer)
        return json.loads(answer) if answer else None

    def sql(self, text):
        status, answer = self.host.request("POST", f"/v1/database/{self.name}/sql", text.encode(), self.token)
        assert status == 200, answer
        return json.loads(answer)[0]["rows"]

    def client(self, **options):
        client = Client(self.host.port, self.name, self.token, timeout=WAIT, **options)
        client.receive()
        return client

    def counter(self, number):
        rows = self.sql(f"SELECT * FROM counter WHERE id = {number}")
        return rows[0][1] if rows else 0

    def notes(self, start):
        """(what, micros, sender, connected) of those that begin so, in order."""
        rows = [row for row in self.sql("SELECT * FROM note") if row[1].startswith(start)]
        return [(what, micros, sender[0].removeprefix("0x"), connected)
                for _, what, micros, sender, connected in sorted(rows)]

    def until(self, what, condition):
        """Waits for it; whether it came is a check."""
        deadline = time.time() + WAIT
        while not (found := condition()) and time.time() < deadline:
            time.sleep(0.05)
        self.check(what, found, condition())
        return found

    def balance(self, identity):
        return int(json.loads(self.host.request("GET", f"/v1/energy/{identity}")[1])["balance"])

    def log(self):
        status, answer = self.host.request("GET", f"/v1/database/{self.name}/logs?num_lines=10000", token=self.token)
        assert status == 200, answer
        return [json.loads(line) for line in answer.decode().splitlines()]


def ask(client, procedure, request, args):
    client.send(struct.pack("<BIB", CALL_PROCEDURE, request, 0) + bsatn_str(procedure) +
                struct.pack("<I", len(args)) + args)


# ---- procedures ----

def procedures(test):
    test.equal("an instance serves the next call as well", [test.must("remembers") for _ in range(3)], [0, 1, 2])
    test.equal("every other transaction is given up", test.must("commits", 0, 10), 5)
    test.equal("a view is made again in a procedure's transaction", test.sql("SELECT * FROM totals"), [[0, 5]])
    test.must("commits", 0, 10)
    test.equal("… each time", test.sql("SELECT * FROM totals"), [[0, 10]])
    sleepers, caller, count = test.client(), test.client(), 200
    for request in range(count):
        ask(sleepers, "nap", request, struct.pack("<Q", 3000))
    slowest, calls, begun = 0, 0, time.time()
    while time.time() - begun < 2:
        before = time.time()
        caller.call("bump", struct.pack("<I", 1))
        test.equal("a reducer beside those that sleep", caller.result()[1], OK) if calls == 0 else caller.result()
        slowest, calls = max(slowest, time.time() - before), calls + 1
    test.check("reducers while 200 procedures sleep", slowest < 2 and calls > 10, (slowest, calls))
    results = [sleepers.receive() for _ in range(count)]
    test.check("200 procedures return", all(tag == PROCEDURE_RESULT and body[0] == 0 for tag, body in results),
               [body[:100] for tag, body in results if tag != PROCEDURE_RESULT or body[0] != 0][:3])
    for client in (sleepers, caller):
        client.close()


# ---- schedules ----

def one_shots(test):
    for name, kind in (("plain", 0), ("fails", 1), ("panics", 2), ("again", 3), ("leaves", 4)):
        test.must("set_alarm", 0, f"once {name}", 100_000, True, kind)
    test.must("set_alarm", 5000, "once late", 3_600_000_000, True, 0)
    test.must("set_alarm", 5000, "once replaced", 100_000, True, 0)
    test.must("set_alarm", 5001, "once cancelled", 1_000_000, True, 0)
    test.must("drop_alarm", 5001)
    test.equal("a transaction that is rolled back", test.call("alarm_in_vain")[0], 530)
    test.until("all one-shots are over", lambda: not test.sql("SELECT * FROM alarm"))
    time.sleep(1.2)
    rang = test.notes("once") + test.notes("in vain")
    test.equal("what rang", sorted(what for what, *_ in rang),
               ["once again", "once again", "once leaves", "once plain", "once replaced"])
    test.check("its caller is the database, without a connection",
               all(sender == test.identity and not connected for _, _, sender, connected in rang), rang)
    again = [micros for what, micros, *_ in rang if what == "once again"]
    test.check("a row that gives itself another time", again[1] - again[0] >= 300_000, again)


def intervals(test):
    test.must("set_alarm", 6000, "every", 100_000, False, 0)
    test.until("an interval", lambda: len(test.notes("every")) >= 8)
    test.must("drop_alarm", 6000)
    times = [micros for _, micros, *_ in test.notes("every")]
    slots = [(micros - times[0] + 50_000) // 100_000 for micros in times]
    test.check("no two for one time", all(b > a for a, b in zip(slots, slots[1:])), times)
    count = len(times)
    time.sleep(0.5)
    test.equal("an interval whose row is gone", len(test.notes("every")), count)
    test.must("start_tickers", 200, 50_000)
    time.sleep(3)
    ticks = [row[1] for row in test.sql("SELECT * FROM counter WHERE id >= 1000")]
    test.check("200 intervals at 20 Hz for three seconds", len(ticks) == 200 and max(ticks) <= 90 and min(ticks) > 3,
               (len(ticks), ticks[:5]))


def errands(test):
    """Of procedures: one row never overlaps itself, two rows do each other; the row of a one-shot goes first."""
    test.must("send", "long a", 0, True, 2000)
    test.must("send", "long b", 0, True, 2000)
    test.until("both begin", lambda: len(test.notes("long")) >= 2)
    test.equal("their rows are gone while they run", test.sql("SELECT * FROM errand"), [])
    test.until("both end", lambda: len(test.notes("long")) == 4)
    test.equal("they overlap", [what.split()[-1] for what, *_ in test.notes("long")],
               ["begins", "begins", "ends", "ends"])
    test.must("send", "short", 50_000, False, 200)
    test.until("an interval of a procedure", lambda: len(test.notes("short")) >= 8)
    test.must("drop_errands")
    time.sleep(1)
    story = [what.split()[-1] for what, *_ in test.notes("short")]
    test.equal("it never overlaps itself", story, ["begins", "ends"] * (len(story) // 2))


def restarts(test):
    test.must("set_alarm", 7000, "pulse", 200_000, False, 0)
    test.must("set_alarm", 7001, "overdue", 1_500_000, True, 0)
    test.host.stop(signal.SIGKILL)
    time.sleep(2)
    test.host.start()
    before = len(test.notes("pulse"))
    test.until("an interval after a crash", lambda: len(test.notes("pulse")) > before + 2)
    test.until("what was due meanwhile", lambda: len(test.notes("overdue")) == 1)
    test.equal("… and its row", test.sql("SELECT * FROM alarm WHERE id = 7001"), [])


# ---- lifecycle ----

def lifecycle(test):
    test.equal("init", test.notes("init"), [("init", test.notes("init")[0][1], test.owner, False)])
    clients = [test.client() for _ in range(3)]
    gone = len(test.notes("disconnected"))
    test.host.stop(signal.SIGKILL)
    for client in clients:
        client.close()
    test.host.start()
    # Each request is a client as well, which comes and goes.
    connections = test.sql("SELECT * FROM st_client")
    test.equal("clients of a host that crashed", len(connections), 1)
    test.check("… were disconnected, each with its reducer", len(test.notes("disconnected")) >= gone + 3,
               test.notes("disconnected"))
    test.check("… by its own connection", all(connected for *_, connected in test.notes("disconnected")))


class Caller(threading.Thread):
    """Calls and counts, one call after the other, until it is told to end."""

    def __init__(self, test, number):
        super().__init__()
        self.client, self.number, self.done, self.ending, self.error = test.client(), number, 0, False, None

    def run(self):
        try:
            while not self.ending:
                self.client.call("bump", struct.pack("<I", self.number))
                _, outcome, text = self.client.result()
                if outcome != OK:
                    raise RuntimeError(text)
                self.done += 1
        except Exception as error:  # whatever it is, the test shall hear of it
            self.error = error


def swaps(test):
    callers = [Caller(test, 10 + i) for i in range(4)]
    sleeper = test.client()
    ask(sleeper, "nap_between", 1, struct.pack("<IQ", 20, 3000))
    test.until("a procedure is on its way", lambda: test.counter(20) == 1)
    for caller in callers:
        caller.start()
    test.must("version")
    status, answer = test.publish("work2")
    test.equal("an update", status, 200)
    test.must("version")
    for code in (b"junk", b"\0asm\1\0\0\0", module("quickstart")):
        status, answer = test.publish(None, code)
        test.check("what cannot replace it", status >= 400, (status, answer))
    test.must("version")
    test.equal("versions", [what for what, *_ in test.notes("version")], ["version 1", "version 2", "version 2"])
    test.equal("procedures of the new version", test.must("which_version"), 2)
    tag, body = sleeper.receive()
    test.check("a procedure that was asleep", tag == PROCEDURE_RESULT and body[0] == 0, body)
    test.equal("… and what it did afterwards", test.counter(20), 2)
    for caller in callers:
        caller.ending = True
    for caller in callers:
        caller.join(WAIT)
        test.check("no call is lost", caller.error is None and caller.done > 0, caller.error)
        test.equal("… and each is done once", test.counter(caller.number), caller.done)
        caller.client.close()
    sleeper.close()
    before = len(test.notes("pulse"))
    test.until("schedules after an update", lambda: len(test.notes("pulse")) > before + 2)
    test.must("drop_alarm", 7000)


# ---- the log ----

def logs(test):
    test.must("says", "hello")
    test.call("fail")
    test.call("panics")
    records = test.log()
    said = [(r["level"], r["message"]) for r in records if r.get("function") == "says"]
    test.equal("levels", said[:5], [("Error", "e hello"), ("Warn", "w hello"), ("Info", "i hello"),
                                    ("Debug", "d hello"), ("Trace", "t hello")])
    test.check("a timer", said[5][0] == "Info" and said[5][1].startswith('Timing span "hello": '), said)
    test.check("where it was said", all("work" in r["target"] and r["filename"].endswith("lib.rs") and
                                        r["line_number"] > 0 for r in records if r["message"] == "i hello"), records)
    failed = [r for r in records if r.get("function") == "fail"]
    test.equal("a reducer that fails", [(r["level"], r["target"], r["message"]) for r in failed],
               [("Error", "__spacetimedb__", "no")])
    panic = [r for r in records if r["level"] == "Panic" and r.get("function") == "panics"]
    names = [frame["func_name"] for frame in panic[0]["trace"]] if panic else []
    test.check("a panic", panic and panic[0]["message"] == "deep down", panic)
    test.check("… and its trace, by the names of the source", "work2::deep" in names, names)


# ---- energy ----

def energy(test):
    before = test.balance(test.identity)
    status, _ = test.call("spin", 50_000_000)
    used = before - test.balance(test.identity)
    test.check("a call costs its database", status == 200 and used > 10_000_000, used)
    test.equal("… and nobody else", test.balance(test.owner), 0)
    kept = test.balance(test.identity)
    test.host.restart()
    test.check("the ledger is kept", test.balance(test.identity) <= kept, (test.balance(test.identity), kept))


def per_call(flavor):
    with Test(flavor, "[energy]\ncall = 40000000\n") as test:
        test.equal("a call within its budget", test.call("bump", 1)[0], 200)
        test.equal("one beyond it", test.call("spin", 1 << 40), (402, "Module energy budget exhausted."))
        test.equal("… a procedure", test.call("spins", 1 << 40)[0], 402)
        test.equal("the next one", test.call("bump", 1)[0], 200)
        client = test.client()
        client.call("spin", struct.pack("<Q", 1 << 40))
        test.equal("over WebSocket", client.result()[1:], (INTERNAL, "reducer ran out of energy"))
        ask(client, "spins", 2, struct.pack("<Q", 1 << 40))
        test.check("… a procedure", b"Procedure terminated due to insufficient budget" in client.receive()[1])
        client.close()
        old = Client(test.host.port, "work", test.token, timeout=WAIT, protocol="v1.json.spacetimedb")
        old.payload()
        old.send(json.dumps({"CallReducer": {"reducer": "spin", "args": f"[{1 << 40}]", "request_id": 1,
                                             "flags": 0}}).encode(), text=True)
        update = json.loads(old.payload())["TransactionUpdate"]
        test.check("v1: reducers", "OutOfEnergy" in update["status"] and
                   update["energy_quanta_used"]["quanta"] >= 40000000, update)
        old.send(json.dumps({"CallProcedure": {"procedure": "spins", "args": f"[{1 << 40}]", "request_id": 2,
                                               "flags": 0}}).encode(), text=True)
        result = json.loads(old.payload())["ProcedureResult"]
        test.check("v1: procedures", "OutOfEnergy" in result["status"], result)
        old.close()
        return test


def per_database(flavor):
    with Test(flavor, "[energy]\ndatabase = 60000000\n", "transfer") as test:
        test.equal("while some is left", test.call("nothing")[0], 200)
        deadline = time.time() + WAIT
        while (status := test.call("seed", 20000, 1)[0]) != 402 and time.time() < deadline:
            pass
        test.equal("when nothing is left", (status, test.call("nothing")),
                   (402, (402, "Module energy budget exhausted.")))
        test.check("SQL goes on", test.sql("SELECT COUNT(*) AS n FROM accounts")[0][0] >= 0)
        test.host.restart()
        test.equal("after a restart", test.call("nothing")[0], 402)
        return test


def per_identity(flavor):
    with Test(flavor, "[energy]\nidentity = 2000000000\n") as test:
        person, token = test.person()
        deadline = time.time() + WAIT
        while (answer := test.call("spin", 200_000_000, token=token))[0] == 200 and time.time() < deadline:
            pass
        # It is asked when it connects, before it calls.
        test.equal("an identity that has used its budget", answer[0] in (402, 503), True)
        test.equal("… cannot connect", test.call("bump", 1, token=token), (503, "Module energy budget exhausted."))
        test.check("… and owes", test.balance(person) <= -2000000000, test.balance(person))
        test.equal("another one", test.call("bump", 1)[0], 200)
        status, _ = test.host.request("POST", "/v1/database/work/call/bump?confirmed=false", b"[1]", test.token,
                                      "application/json")
        test.equal("a call that nobody waits for the disk for", status, 200)
        test.host.restart()
        test.equal("after a restart", (test.call("bump", 1, token=token)[0], test.call("bump", 1)[0]), (503, 200))
        return test


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--flavor", default="dev")
    options = parser.parse_args()
    with Test(options.flavor) as test:
        for part in (procedures, lifecycle, one_shots, intervals, errands, restarts, swaps, logs, energy):
            part(test)
    tests = [test] + [budget(options.flavor) for budget in (per_call, per_database, per_identity)]
    failures = [failure for test in tests for failure in test.failures]
    for failure in failures:
        print(f"  FAIL {failure}")
    print(f"{sum(test.passed for test in tests)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
