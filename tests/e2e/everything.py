#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One module that uses everything, in several languages: the same expectations for all (tests/modules/README.md).

    tests/e2e/everything.py [--flavor dev] [--later PART …] MODULE …        last line: N passed, N failed

`--later`: of what 2.11 to 2.14 added the module has, and the host serves, this part (environment, parameters).
"""

import argparse
import http.client
import json
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from everything_client import (  # noqa: E402
    BLUE, GREEN, RED, Live, Refused, Schema, all_types, pack, player, text, variant)
from everything_old import compile_old  # noqa: E402
from host import ROOT, Host  # noqa: E402

DB, OLD = "everything", "everything_old"
CONFIG = "[module-http]\nallow-loopback = true\n"
FATAL = "The module instance encountered a fatal error"


class Server(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        body = f"you asked for {self.path}".encode()
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Suite:
    def __init__(self, flavor, module, parts):
        self.host = Host(flavor, start_seconds=120)
        with open(os.path.join(self.host.data_dir, "config.toml"), "w") as f:
            f.write(CONFIG)
        self.module, self.later = module, tuple(getattr(self, part) for part in parts)
        self.old = module == OLD  # which has no more than players, their views, and secrets
        self.passed, self.failures = 0, []

    def check(self, what, ok, got=""):
        self.passed += bool(ok)
        if not ok:
            self.failures.append(f"{self.module}: {what}: {str(got)[:1500]}")

    def equal(self, what, got, wanted):
        self.check(what, got == wanted, f"{got!r}, not {wanted!r}")

    # ---- requests ----

    def token(self):
        return json.loads(self.host.request("POST", "/v1/identity")[1])["token"]

    def publish(self, headers=()):
        with open(os.path.join(ROOT, "build", "modules", f"{self.module}.wasm"), "rb") as f:
            return self.http("PUT", "", f.read(), dict(headers, **{"Content-Type": "application/wasm"}))

    def http(self, method, path, body=None, headers=None, token=None):
        """(status, headers, text) of a request below the database."""
        connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=120)
        connection.request(method, f"/v1/database/{DB}{path}", body,
                           dict(headers or {}, Authorization=f"Bearer {token or self.owner}"))
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        connection.close()
        return found

    def sql(self, query, token=None):
        status, _, body = self.http("POST", "/sql", query.encode(), token=token)
        return sorted(json.loads(body)[0]["rows"]) if status == 200 else status

    def journal(self):
        return [line for _, line in self.sql("SELECT * FROM journal")]

    def found(self):
        return [key for _, key in self.sql("SELECT * FROM found")]

    def logs(self):
        return [json.loads(line) for line in self.http("GET", "/logs?num_lines=10000")[2].splitlines()]

    def wait(self, what, condition, seconds=30):
        end = time.time() + seconds
        while not condition() and time.time() < end:
            time.sleep(0.02)
        self.check(what, condition(), self.journal()[-10:])

    # ---- one part of the contract each ----

    def schema(self):
        status, _, body = self.http("GET", "/schema?version=9")
        wanted = []
        for name in ["schema.txt"] + ["schema-later.txt"] * bool(self.later):
            with open(os.path.join(ROOT, "tests", "modules", "everything", name)) as f:
                wanted += f.read().splitlines()
        got = Schema(json.loads(body)).lines
        if self.old:
            wanted = [line.replace("high_ranks() for everybody -> {__query__: Player}",
                                   "high_ranks() for everybody -> [Player]") for line in wanted]
            self.check("the schema", status == 200 and set(got) <= set(wanted), set(got) - set(wanted))
            return
        self.check("the schema", (status, got) == (200, sorted(wanted)),
                   [f"+{line}" for line in got if line not in wanted] +
                   [f"-{line}" for line in wanted if line not in got])
        self.equal("the rule is kept", len(self.sql("SELECT * FROM st_row_level_security")), 1)

    def columns(self):
        self.me.subscribe(1, "SELECT * FROM all_types")
        rows = [all_types(1, False), all_types(2, True)]
        for row in rows:
            self.equal("a row of all types", self.me.call("put_all", row), ("ok", ""))
        self.equal("every bit of it", self.me.of("all_types"), rows)
        for key in (1, 2):
            self.equal("copied by the guest", self.me.call("copy_all", pack("II", key, key + 10)), ("ok", ""))
        self.equal("every bit of the copies", self.me.of("all_types")[2:],
                   [all_types(11, False), all_types(12, True)])
        for row in rows:
            self.equal("through a procedure", self.me.procedure("echo_all", row), ("ok", row))
        self.equal("replaced", self.me.call("put_all", all_types(1, True)), ("ok", ""))
        self.equal("the new row", self.me.of("all_types")[0], all_types(1, True))
        for broken in (rows[0][:-1], rows[0][:4] + b"\2" + rows[0][5:], b""):
            self.check("malformed arguments", self.me.call("put_all", broken)[0] == "fatal")
        self.equal("what follows arguments is ignored", self.me.call("put_all", all_types(1, True) + b"\0")[0], "ok")
        self.me.call("put_default", pack("I", 1), text("x"))
        self.equal("what a default does not touch", self.sql("SELECT * FROM defaults"), [[1, "x", 1, [0, []], False]])

    def indexes(self):
        def add(*row):
            name, slot, team, rank, color = row
            return self.me.call("add_player", text(name), pack("HIB", slot, team, rank), color)
        people = [("ann", 1, 1, 10, RED), ("bob", 2, 1, 20, GREEN), ("cid", 3, 1, 20, RED), ("dan", 4, 1, 200, BLUE),
                  ("eve", 5, 2, 20, RED), ("fay", 65535, 4294967295, 255, RED)]
        for i, person in enumerate(people):
            self.equal("a player", add(*person), ("ok", ""))
            self.equal("its generated key", self.journal()[-1], f"player {i + 1}")
        for taken in (("ann", 9, 1, 1, RED), ("gus", 5, 1, 1, RED)):
            self.equal("a unique column twice", add(*taken), ("error", "taken"))
        searches = [("find_name", text("cid"), [3]), ("find_name", text("nobody"), []),
                    ("find_slot", pack("H", 65535), [6]), ("find_slot", pack("H", 6), []),
                    ("find_team", pack("I", 1), [1, 2, 3, 4]), ("find_team", pack("I", 7), []),
                    ("find_team", pack("I", 4294967295), [6]),
                    ("find_team_ranks", pack("IBB", 1, 11, 200), [2, 3, 4]),
                    ("find_team_ranks", pack("IBB", 1, 21, 199), []), ("find_team_ranks", pack("IBB", 2, 0, 255), [5]),
                    ("find_teams", pack("II", 1, 2), [1, 2, 3, 4]), ("find_teams", pack("II", 2, 4294967295), [5])]
        for name, args, wanted in searches:
            self.equal(f"{name} {args}", self.me.call(name, args), ("ok", ""))
            self.equal(f"{name} {args}: what it found", self.found(), wanted)
        for name, args, wanted in (("find_color", RED, [1, 3, 5, 6]), ("find_color", BLUE, [4]),
                                   ("find_all", b"", [1, 2, 3, 4, 5, 6])):
            self.me.call(name, args)
            self.equal(f"{name}: in any order", sorted(self.found()), wanted)
        self.equal("an update", self.me.call("set_player", player(2, "bobby", 6, 2, 21, BLUE)), ("ok", ""))
        self.equal("the updated row", self.sql("SELECT * FROM player WHERE id = 2"), [[2, "bobby", 6, 2, 21, [2, []]]])
        for name, args, wanted in (("find_name", text("bob"), []), ("find_slot", pack("H", 6), [2]),
                                   ("find_team", pack("I", 1), [1, 3, 4]), ("find_team", pack("I", 2), [2, 5])):
            self.me.call(name, args)
            self.equal(f"{name} after the update", sorted(self.found()), wanted)
        self.check("an update that takes a name", self.me.call("set_player", player(2, "ann", 6, 2, 21, BLUE))[0] ==
                   "fatal")
        self.check("an update of nothing", self.me.call("set_player", player(99, "zoe", 99, 2, 21, BLUE))[0] == "fatal")
        self.equal("a deletion", self.me.call("drop_player", pack("Q", 5)), ("ok", ""))
        self.equal("a deletion of nothing", self.me.call("drop_player", pack("Q", 5)), ("error", "no such player"))
        self.me.call("count_players")
        self.equal("the count", self.journal()[-1], "counted 5")
        self.me.call("drop_team_ranks", pack("IBB", 1, 0, 20))
        self.equal("a range is deleted", self.journal()[-1], "dropped 2")
        self.me.call("find_all")
        self.equal("what it left", sorted(self.found()), [2, 4, 6])

    def views(self):
        """Live, each change seen once; behind `indexes`, so that rows are there."""
        self.me.call("clear_players")
        self.equal("cleared", self.journal()[-1], "cleared 3")
        self.me.subscribe(2, "SELECT * FROM reds", "SELECT * FROM first_slot", "SELECT * FROM high_ranks",
                          "SELECT * FROM team_sizes", "SELECT * FROM my_secrets")

        def views_are(what, reds, first, high, sizes):
            got = [self.me.of(view) for view in ("reds", "first_slot", "high_ranks", "team_sizes")]
            self.equal(what, got, [reds, first, high, [pack("II", *size) for size in sizes]])
        views_are("views of nothing", [], [], [], [])
        self.me.call("add_player", text("ann"), pack("HIB", 1, 1, 150), RED)
        key = self.sql("SELECT id FROM player")[0][0]
        ann = player(key, "ann", 1, 1, 150, RED)
        views_are("a row that all see", [ann], [ann], [ann], [(1, 1)])
        self.me.call("add_player", text("bob"), pack("HIB", 2, 1, 100), GREEN)
        views_are("a row that one sees", [ann], [ann], [ann], [(1, 2)])
        ann = player(key, "ann", 1, 3, 150, BLUE)
        self.me.call("set_player", ann)
        views_are("a change", [], [ann], [ann], [(1, 1), (3, 1)])
        self.equal("by SQL too", [len(self.sql(f"SELECT * FROM {view}")) for view in
                                  ("reds", "first_slot", "high_ranks", "team_sizes")], [0, 1, 1, 2])
        self.me.call("clear_players")
        views_are("all gone", [], [], [], [])

    def secrets(self):
        for client, key, word in ((self.me, 1, "mine"), (self.other, 2, "theirs")):
            self.equal("a secret", client.call("keep_secret", pack("I", key), text(word)), ("ok", ""))
        self.equal("my secrets", self.me.of("my_secrets"), [pack("I", 1) + self.me.identity + text("mine")])
        self.other.subscribe(3, "SELECT * FROM my_secrets")
        self.equal("their secrets", self.other.of("my_secrets"), [pack("I", 2) + self.other.identity + text("theirs")])
        try:
            self.other.subscribe(4, "SELECT * FROM secret")
            self.check("a private table is no stranger's", False)
        except Refused:
            self.check("a private table is no stranger's", True)
        self.check("nor by SQL", self.sql("SELECT * FROM secret", self.stranger) == 400)
        self.equal("but the owner's", len(self.sql("SELECT * FROM secret")), 2)

    def rules(self):
        self.other.subscribe(9, "SELECT * FROM note")
        self.me.call("write_note", text("mine"))
        self.other.call("write_note", text("theirs"))
        self.equal("notes that the rule shows", [row[-6:] for row in self.other.of("note")], [b"theirs"])
        self.equal("by SQL", [row[2] for row in self.sql("SELECT * FROM note", self.stranger)], ["theirs"])
        self.equal("the owner sees all", [row[2] for row in self.sql("SELECT * FROM note")], ["mine", "theirs"])

    def events(self):
        self.other.subscribe(5, "SELECT * FROM alert")
        self.me.call("raise_alert", text("fire"), pack("B", 9))
        self.check("an event arrives", self.other.until(lambda: self.other.events))
        self.equal("the event", self.other.events, [("alert", text("fire") + pack("B", 9))])
        self.equal("and is not kept", self.sql("SELECT * FROM alert"), [])

    def schedules(self):
        begun = time.time()
        self.equal("a tick", self.me.call("start_tick", text("once"), pack("q", 300_000)), ("ok", ""))
        self.equal("its row", [row[2] for row in self.sql("SELECT * FROM tick")], ["once"])
        self.wait("it ran", lambda: "tick once" in self.journal())
        self.check("not before its time", time.time() - begun >= 0.3, time.time() - begun)
        self.wait("and its row is gone", lambda: self.sql("SELECT * FROM tick") == [])
        self.me.call("start_tick", text("late"), pack("q", -1_000_000))
        self.wait("one whose time is over", lambda: "tick late" in self.journal())
        self.me.call("start_ticking", text("often"), pack("q", 50_000))
        self.wait("an interval", lambda: self.journal().count("tick often") >= 4)
        self.equal("its row stays", len(self.sql("SELECT * FROM tick")), 1)
        self.me.call("stop_ticking")
        count = self.journal().count("tick often")
        self.me.call("start_tick", text("cancelled"), pack("q", 200_000))
        self.me.call("stop_ticking")
        self.me.call("start_errand", text("run"), pack("q", 50_000))
        self.wait("a procedure", lambda: "errand run" in self.journal())
        self.wait("and its row is gone", lambda: self.sql("SELECT * FROM errand") == [])
        time.sleep(0.4)
        self.equal("an interval that ended", self.journal().count("tick often"), count)
        self.check("one that was cancelled", "tick cancelled" not in self.journal())
        self.check("by the database", not any("stranger" in line for line in self.journal()))
        row = pack("Q", 0) + variant(0, pack("q", 1)) + text("x")
        self.check("scheduled functions are private", self.other.call("on_tick", row)[0] == "fatal")

    def logging(self):
        self.me.call("log_all")
        self.me.call("time_it", text("span"))
        records = [r for r in self.logs() if r.get("function") in ("log_all", "time_it")]
        self.equal("the levels", [(r["level"], r["message"]) for r in records[:5]],
                   [("Error", "an error"), ("Warn", "a warning"), ("Info", "an info"), ("Debug", "a debug line"),
                    ("Trace", "a trace line")])
        self.check("where they were written", all(r.get("line_number", 0) > 0 and r.get("filename")
                                                  for r in records[:5]), records)
        self.check("a timer", re.fullmatch(r'Timing span "span": [0-9.]+(ns|µs|ms|s)', records[-1]["message"]) and
                   records[-1]["level"] == "Info", records[-1:])

    def failures_roll_back(self):
        lines = len(self.journal())
        self.equal("an error", self.me.call("fail", text("no, ü")), ("error", "no, ü"))
        record = self.logs()[-1]
        self.equal("in the log", (record["level"], record["function"], record["message"]), ("Error", "fail", "no, ü"))
        status, said = self.me.call("crash", text("went wrong"))
        self.equal("a panic", (status, said), ("fatal", "The instance encountered a fatal error."))
        panics = [r for r in self.logs() if r["level"] == "Panic"]
        self.check("in the log", panics and "went wrong" in panics[-1]["message"] and
                   panics[-1]["function"] == "crash" and len(panics[-1]["trace"]) > 0, panics[-1:])
        self.equal("neither left anything", len(self.journal()), lines)
        self.equal("all numbers of a small type", self.me.call("add_small", pack("I", 256)), ("ok", ""))
        self.equal("and the first again, which is there", self.me.call("add_small", pack("I", 1)), ("ok", ""))
        self.equal("what is there", [row[0] for row in self.sql("SELECT * FROM small")], list(range(-128, 128)))
        self.check("an unknown reducer", self.me.call("nothing")[0] == "fatal")
        self.check("a lifecycle reducer", self.me.call("init")[0] == "fatal")

    def chance_and_time(self):
        for _ in range(3):
            self.equal("rolling", self.me.call("roll"), ("ok", ""))
        rolls = [line.split()[1:] for line in self.journal() if line.startswith("rolled ")]
        values = {value for roll in rolls for value in roll}
        self.check("six different numbers", len(rolls) == 3 and len(values) == 6 and
                   all(int(value) < 1 << 32 for value in values), rolls)

    def callers(self):
        before = time.time_ns() // 1000
        self.me.subscribe(6, "SELECT * FROM caller")
        self.me.call("who_am_i")
        row = self.me.of("caller")[0]
        self.equal("the sender", row[8:40], self.me.identity)
        self.equal("the connection", row[40:57], b"\0" + self.me.connection)
        micros = int.from_bytes(row[57:65], "little")
        self.check("the time", before - 1000 <= micros <= time.time_ns() // 1000 + 1000, micros - before)
        status, _, body = self.http("GET", "/identity")
        self.equal("the database", (status, row[65:97][::-1].hex()), (200, body))
        claims = json.loads(row[101:])
        self.check("the token", claims.get("hex_identity") == self.me.identity[::-1].hex() and "iss" in claims, claims)

    def procedures(self):
        me = self.me
        self.equal("a sum", me.procedure("sum", pack("II", 2, 40)), ("ok", pack("I", 42)))
        me.subscribe(7, "SELECT * FROM journal")
        status, said = me.procedure("keep", text("kept by a procedure"))
        self.check("a transaction", status == "ok" and said + text("kept by a procedure") in me.of("journal"), said)
        self.equal("one that is given up", me.procedure("give_up", text("never")), ("ok", text("given up")))
        self.check("leaves nothing", "never" not in self.journal())
        begun = time.time()
        status, said = me.procedure("nap", pack("q", 300_000))
        slept = int.from_bytes(said, "little")
        self.check("a nap", status == "ok" and 300_000 <= slept < 20_000_000 and time.time() - begun >= 0.3, slept)
        self.equal("a nap until now", me.procedure("nap", pack("q", -5))[0], "ok")
        self.equal("a request", me.procedure("fetch", text(self.url + "/a?b")), ("ok", text("200 you asked for /a?b")))
        self.equal("a status", me.procedure("fetch", text(self.url + "/missing")),
                   ("ok", text("404 you asked for /missing")))
        status, said = me.procedure("fetch", text("http://127.0.0.1:1/"))
        self.check("nobody there", status == "ok" and said[4:].startswith(b"error: "), said)
        status, said = me.procedure("fetch", text("http://10.0.0.1/"))
        self.check("a private address", status == "ok" and b"refusing to connect to private" in said, said)
        status, said = me.procedure("break_down", text("to pieces"))
        self.check("a panic", status == "fatal" and said.startswith(FATAL), said)
        self.check("in the log", any(r["level"] == "Panic" and "to pieces" in r["message"] for r in self.logs()))
        self.equal("and again", me.procedure("sum", pack("II", 1, 1)), ("ok", pack("I", 2)))
        status, _, body = self.http("POST", "/call/sum", b"[1, 2]", {"Content-Type": "application/json"})
        self.equal("over HTTP", (status, body), (200, "3"))

    def handlers(self):
        status, headers, body = self.http("GET", "/route/hello")
        self.equal("hello", (status, headers.get("content-type"), body), (200, "text/plain", "hello"))
        status, _, body = self.http("POST", "/route/journal", "from outside".encode())
        self.equal("a transaction", (status, self.sql(f"SELECT text FROM journal WHERE id = {body}")),
                   (200, [["from outside"]]))
        for method in ("GET", "PUT", "DELETE"):
            status, headers, body = self.http(method, "/route/echo", b"sent")
            self.equal(f"{method}", (status, headers.get("x-everything"), body), (201, "yes", f"{method} sent"))
        self.equal("a panic", self.http("GET", "/route/crash")[0], 500)
        self.equal("afterwards", self.http("GET", "/route/hello")[2], "hello")
        for method, path in (("POST", "/hello"), ("GET", "/nothing"), ("GET", "")):
            self.equal(f"no route {method} {path}", self.http(method, "/route" + path)[::2],
                       (404, "Database has not registered a handler for this route"))

    def lifecycle(self):
        """Connections come and go; `init` ran once."""
        self.equal("init", self.journal()[0], "init")
        guest = Live(self.host, DB, self.token())
        online = [[row[0], row[1]] for row in self.sql("SELECT * FROM online")]
        self.check("online", [guest.connection[::-1].hex(), guest.identity[::-1].hex()] in
                   [[c[0][2:].zfill(32) if isinstance(c[0], str) else f"{c[0]:032x}", who[0][2:].zfill(64)]
                    for c, who in online], online)
        before = len(online)
        guest.close()
        self.wait("offline", lambda: len(self.sql("SELECT * FROM online")) == before - 1)

    def restarts(self):
        """Killed and started: rows are there, schedules go on, numbers too, `init` does not run again."""
        self.me.call("start_ticking", text("again"), pack("q", 100_000))
        self.wait("it ticks", lambda: "tick again" in self.journal())
        journal = [line for line in self.journal() if line != "tick again"]
        for signal_ in (signal.SIGKILL, signal.SIGTERM):
            self.host.restart(signal_)
            self.equal("nobody is online", [row for row in self.sql("SELECT * FROM online")
                                            if self.me.connection[::-1].hex() in str(row)], [])
            self.equal("the journal", [line for line in self.journal() if line != "tick again"], journal)
            count = self.journal().count("tick again")
            self.wait("ticks go on", lambda: self.journal().count("tick again") > count + 2)
        self.me = Live(self.host, DB, self.owner)
        self.other = Live(self.host, DB, self.stranger)
        self.me.call("stop_ticking")
        self.me.subscribe(1, "SELECT * FROM all_types")
        self.equal("every bit", self.me.of("all_types"),
                   [all_types(1, True), all_types(2, True), all_types(11, False), all_types(12, True)])
        self.equal("the same program again", self.publish()[0], 200)
        self.check("it answers", self.me.procedure("sum", pack("II", 3, 4)) == ("ok", pack("I", 7)))

    def environment(self):
        def read():
            self.me.call("read_env")
            return self.journal()[-1]
        self.equal("no environment", read(), "env - -")
        self.equal("a value that is not allowed",
                   self.publish({"spacetime-environment": "MODE=shouting"})[0], 400)
        status, _, body = self.publish({"spacetime-environment": "GREETING=hello,MODE='loud'"})
        self.equal("published with values", (status, body if status != 200 else ""), (200, ""))
        self.equal("a reducer reads them", read(), "env hello loud")
        self.equal("so does a procedure", self.me.procedure("env_now"), ("ok", text("env hello loud")))
        self.equal("and a view", self.sql("SELECT * FROM greeting"), [[0, 5]])

    def parameters(self):
        """Views with arguments; and the sender that handlers have since 2.14."""
        for slot, team in ((1, 1), (2, 1), (3, 2)):
            self.me.call("add_player", text(f"p{slot}"), pack("HIB", slot, team, 0), RED)
        self.equal("a view with a parameter", [[row[1] for row in self.sql(f"SELECT * FROM team_of({team})")]
                                               for team in (1, 2, 3)], [["p1", "p2"], ["p3"], []])
        self.me.subscribe(8, "SELECT * FROM team_of(2)")
        self.me.call("add_player", text("p4"), pack("HIB", 4, 2, 0), RED)
        self.equal("and live", [row[12:14] for row in self.me.of("team_of")], [b"p3", b"p4"])
        senders = {self.http("GET", "/route/whoami")[2] for _ in range(3)}
        self.check("each request has a sender", len(senders) == 3 and
                   all(re.fullmatch("c200[0-9a-f]{60}", sender) for sender in senders), senders)

    def run(self, url):
        self.url = url
        with self.host:
            self.owner, self.stranger = self.token(), self.token()
            status, _, body = self.publish()
            self.equal("published", (status, body if status != 200 else ""), (200, ""))
            if status != 200:
                return
            self.me, self.other = (Live(self.host, DB, token) for token in (self.owner, self.stranger))
            parts = (self.schema, self.columns, self.indexes, self.views, self.secrets, self.rules, self.events,
                         self.schedules, self.logging, self.failures_roll_back, self.chance_and_time, self.callers,
                         self.procedures, self.handlers, self.lifecycle, self.restarts) + self.later
            for part in (self.schema, self.indexes, self.views, self.secrets) if self.old else parts:
                try:
                    part()
                except Exception as error:  # the other parts are worth hearing, too
                    self.failures.append(f"{self.module}: {part.__name__}: {type(error).__name__}: {error}")
                    self.me, self.other = (Live(self.host, DB, token) for token in (self.owner, self.stranger))
            self.equal("the host ends well", self.host.stop(seconds=120), 0)
            log = self.host.log()
            self.check("no sanitizer spoke", not re.search("(ERROR|WARNING): [A-Z][a-z]+Sanitizer|runtime error:", log),
                       log[-3000:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--flavor", default="dev")
    parser.add_argument("--later", action="append", default=[], choices=["environment", "parameters"])
    parser.add_argument("modules", nargs="+")
    options = parser.parse_args()
    if OLD in options.modules:
        compile_old()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    suites = [Suite(options.flavor, module, options.later) for module in options.modules]
    for suite in suites:
        suite.run(f"http://127.0.0.1:{server.server_port}")
        print(f"  {suite.module}: {suite.passed} passed, {len(suite.failures)} failed", flush=True)
    failures = [failure for suite in suites for failure in suite.failures]
    for failure in failures:
        print(f"  FAIL {failure}")
    print(f"{sum(suite.passed for suite in suites)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
