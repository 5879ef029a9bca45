#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Migrations of a live database: what each change of a schema does to rows, clients and module, and what refuses it.

    tests/e2e/migrate.py [--flavor dev]       last line: N passed, N failed
"""

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

from suite import Suite, main
from host import ROOT
import ws

BASE = """#include <worldline/module.h>

WL_ENUM(rank, novice, knight)
WL_ENUM(color, red, green)
WL_UNION(shape, (u8, small), (u16, medium))

WL_TABLE(person, PUBLIC,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(str, name, UNIQUE),
	(u32, age, INDEX),
	(rank, level),
	(shape, form))
WL_TABLE(score, PUBLIC,
	(u32, id, PRIMARY_KEY),
	(u32, team),
	(color, tint),
	(i64, points))
WL_TABLE(spare, PUBLIC,
	(u32, id, PRIMARY_KEY))
WL_TABLE(beep, PUBLIC_EVENT,
	(u32, id))
WL_TABLE(alarm, PRIVATE,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(schedule_at, at))
WL_TABLE(fired, PUBLIC,
	(u64, id, PRIMARY_KEY))

WL_VIEW(person, adults)
{
	WL_EACH(person, row)
		if (row.age >= 18)
			person_emit(&row);
}

WL_REDUCER(add, (str, name), (u32, age))
{
	person row = { .name = name, .age = age };
	return person_insert(&row) ? wl_ok() : wl_fail("%.*s is there", WL_FMT(name));
}

WL_REDUCER(count, (u32, id), (u32, team), (i64, points))
{
	score row = { .id = id, .team = team, .points = points };
	return score_insert(&row) ? wl_ok() : wl_fail("no");
}

WL_REDUCER(step, (u32, id))
{
	score row;
	if (!score_find_by_id(id, &row))
		return wl_fail("no %u", id);
	row.points++;
	score_update_by_id(&row);
	return wl_ok();
}

WL_REDUCER(ring, (alarm, row))
{
	fired done = { row.id };
	fired_insert(&done);
	return wl_ok();
}
WL_SCHEDULE(alarm, at, ring)

WL_REDUCER(set_alarm)
{
	alarm row = { 0, wl_at((timestamp){ ctx->now.micros + 1000 }) };
	alarm_insert(&row);
	return wl_ok();
}
// more
"""
PERSON_END, SCORE_END = "	(shape, form))", "	(i64, points))\nWL_TABLE(spare"
ADULT = "	WL_EACH(person, row)\n		if (row.age >= 18)"
REFUSED = [  # what is changed, and what is said
    ("a column removed", [("	(i64, points))\nWL_TABLE(spare", "	(u32, more, DEFAULT(1)))\nWL_TABLE(spare"),
                          ("(i64, points))\n{\n	score row = { .id = id, .team = team, .points = points };",
                           "(i64, points))\n{\n	score row = { .id = id, .team = team }; (void)points;"),
                          ("	row.points++;\n", "")],
     ["Removing a column points from table score requires a manual migration"]),
    ("a column without a default", [(PERSON_END, "	(shape, form),\n	(u32, height))")],
     ["Adding a column height to table person requires a default value annotation"]),
    ("columns in another order", [("	(u32, team),\n	(color, tint),\n	(i64, points))",
                                   "	(i64, points),\n	(u32, team),\n	(color, tint))")],
     ["Reordering table score requires a manual migration"]),
    ("another type", [("	(u32, team),", "	(u64, team),")],
     ["Changing the type of column team in table score from U32 to U64 requires a manual migration"]),
    ("a variant less", [("(rank, novice, knight)", "(rank, novice)")],
     ["with fewer variants, requires a manual migration"]),
    ("a variant of another name", [("(rank, novice, knight)", "(rank, novice, king)")],
     ["with a renamed variant, requires a manual migration"]),
    ("a variant that makes it larger", [("(shape, (u8, small), (u16, medium))",
                                         "(shape, (u8, small), (u16, medium), (u64, large))")],
     ["requires a manual migration, due to size mismatch", "due to alignment mismatch"]),
    ("an event table no more", [("WL_TABLE(beep, PUBLIC_EVENT", "WL_TABLE(beep, PUBLIC")],
     ["Changing the event flag of table beep requires a manual migration"]),
    ("two at once", [("(rank, novice, knight)", "(rank, novice)"),
                     (PERSON_END, "	(shape, form),\n	(u32, height))")],
     ["with fewer variants", "Adding a column height"]),
]


class Migrate(Suite):
    def build(self, *changes):
        """A program: the base with texts replaced."""
        text = BASE
        for old, new in changes:
            if old not in text:
                raise ValueError(f"{old!r} is not in the module")
            text = text.replace(old, new)
        if text not in self.programs:
            with tempfile.TemporaryDirectory(prefix="worldline-migrate-") as folder:
                with open(os.path.join(folder, "module.c"), "w", encoding="utf-8") as f:
                    f.write(text)
                done = subprocess.run([os.path.join(ROOT, "build", "dev", "worldline"), "build", folder],
                                      capture_output=True, text=True, check=False)
                if done.returncode:
                    raise RuntimeError(done.stdout + done.stderr)
                with open(os.path.join(folder, "build", "module.wasm"), "rb") as f:
                    self.programs[text] = f.read()
        return self.programs[text]

    def plan(self, program):
        reply = json.loads(self.request("POST", "/v1/database/live/pre_publish?style=NoColor", program)[1])
        return reply.get("AutoMigrate"), reply.get("ManualMigrate")

    def publish(self, program, breaks=False):
        query = ""
        if breaks:
            query = "?policy=BreakClients&token=" + self.plan(program)[0]["token"]
        return self.request("PUT", "/v1/database/live" + query, program)

    def rows(self, query):
        reply = self.request("POST", "/v1/database/live/sql", query.encode())[1]
        try:
            return json.loads(reply)[0]["rows"]
        except ValueError:
            return reply

    def call(self, reducer, *arguments):
        return self.request("POST", f"/v1/database/live/call/{reducer}", json.dumps(arguments).encode())

    def update(self, what, changes, breaks=False, planned=()):
        """Publishes the base with these changes for good; rows of the other tables stay."""
        program = self.build(*changes)
        auto, manual = self.plan(program)
        self.check(f"{what}: planned", auto is not None and auto["break_clients"] == breaks,
                   manual or (auto and auto["break_clients"]))
        for text in planned:
            self.check(f"{what}: the plan says {text}", auto and text in auto["migrate_plan"],
                       auto and auto["migrate_plan"])
        before = self.rows("SELECT id, points FROM score")
        if breaks:
            self.check(f"{what}: refused to whoever keeps clients",
                       self.publish(program)[1].endswith("disallowed under current policy"))
        status, text = self.publish(program, breaks)
        self.check(f"{what}: published", status == 200, f"{status} {text}")
        self.equal(f"{what}: the other rows", self.rows("SELECT id, points FROM score"), before)
        self.check(f"{what}: it works", self.call("step", 1)[0] == 200)

    def back(self, what, breaks=False):
        self.update(f"{what}, and back", [], breaks)

    # ---- the parts ----

    def prepare(self):
        status, text = self.publish(self.build())
        self.check("publish", status == 200, text)
        for i, name in enumerate(("Ada", "Bob", "Cyd")):
            self.equal(f"add {name}", self.call("add", name, 15 + i * 2)[0], 200)
        for i in range(1, 4):
            self.equal(f"count {i}", self.call("count", i, i % 2, i * 10)[0], 200)

    def refused(self):
        """Planning says no: nothing changes, nobody notices."""
        client = self.subscribed("SELECT * FROM person")
        people = self.rows("SELECT * FROM person")
        for what, changes, texts in REFUSED:
            program = self.build(*changes)
            auto, manual = self.plan(program)
            status, text = self.publish(program)
            self.check(f"{what}: refused", status == 400 and
                       text.startswith("Database update rejected: Errors occurred:"), f"{status} {text}")
            for part in texts:
                self.check(f"{what}: says why", part in text and manual and part in manual["reason"], text)
            self.check(f"{what}: no plan", auto is None)
        self.equal("refused updates change no rows", self.rows("SELECT * FROM person"), people)
        self.still_there(client, "refused updates")

    def recreated(self):
        """A table without rows may change in any way, for who says so; one with rows may not."""
        program = self.build(("WL_TABLE(spare, PUBLIC,\n	(u32, id, PRIMARY_KEY))",
                              "WL_TABLE(spare, PUBLIC,\n	(str, code, PRIMARY_KEY),\n	(f64, weight))"))
        self.check("refused otherwise", self.plan(program)[0] is None)
        reply = self.request("POST", "/v1/database/live/pre_publish?style=NoColor&recreate_empty_tables=true", program)
        plan = json.loads(reply[1]).get("AutoMigrate")
        self.check("an empty table made anew: planned", plan and plan["break_clients"] and
                   all(part in plan["migrate_plan"] for part in ("Removed table: spare", "Created user table: spare")),
                   reply[1])
        query = f"?recreate_empty_tables=true&policy=BreakClients&token={plan['token']}"
        status, text = self.request("PUT", "/v1/database/live" + query, program)
        self.check("an empty table made anew", status == 200, text)
        self.equal("it has the other columns", self.rows("SELECT code, weight FROM spare"), [])
        full = self.build(("	(u32, age, INDEX),", "	(u64, age, INDEX),"))
        reply = self.request("POST", "/v1/database/live/pre_publish?recreate_empty_tables=true", full)[1]
        self.check("one with rows stays", "ManualMigrate" in reply, reply)
        back = self.build()
        reply = self.request("POST", "/v1/database/live/pre_publish?recreate_empty_tables=true", back)[1]
        query = f"?recreate_empty_tables=true&policy=BreakClients&token={json.loads(reply)['AutoMigrate']['token']}"
        self.equal("and back", self.request("PUT", "/v1/database/live" + query, back)[0], 200)

    def data_refuses(self):
        """The plan is fine, the rows are not."""
        client = self.subscribed("SELECT * FROM score")
        status, text = self.publish(self.build(("	(u32, team),", "	(u32, team, UNIQUE),")))
        self.check("a unique column with equal values", status == 400 and
                   text.startswith("Failed to create or update the database: ") and "score_team" in text, text)
        removed = self.build(("WL_TABLE(spare, PUBLIC,\n	(u32, id, PRIMARY_KEY))\n", ""),
                             ("WL_TABLE(fired, PUBLIC,\n	(u64, id, PRIMARY_KEY))\n", ""),
                             ("	fired done = { row.id };\n	fired_insert(&done);\n", "	(void)row;\n"))
        self.equal("an alarm", self.call("set_alarm")[0], 200)
        self.wait("the alarm", lambda: len(self.rows("SELECT * FROM fired")) == 1)
        status, text = self.publish(removed, True)
        self.check("a table with rows", status == 400 and "Cannot remove table `fired`: table contains data." in text,
                   text)
        self.check("the empty one beside it is still there", self.rows("SELECT * FROM spare") == [])
        broken = self.build((ADULT, ADULT.replace("18)", "17)\n			wl_panic(\"no\");\n		else")))
        adults = self.subscribed("SELECT * FROM adults")
        status, text = self.publish(broken)
        self.check("a view that fails", status == 400, f"{status} {text}")
        self.still_there(client, "updates that the rows refuse")
        self.still_there(adults, "a view that fails")
        self.equal("the view as it was", len(self.rows("SELECT * FROM adults")), 1)

    def accepted(self):
        """Without disconnecting anybody."""
        client = self.subscribed("SELECT * FROM score")
        index = [("	(u32, team),", "	(u32, team, INDEX),")]
        self.update("an index", index, planned=["Created index score_team_idx_btree on [team] of table score"])
        self.equal("the index answers", len(self.rows("SELECT * FROM score WHERE team = 1")), 2)
        self.heard(client, 1, "an index")
        self.back("an index")
        hashed = [("	(u32, age, INDEX),", "	(u32, age, INDEX_HASH),")]
        self.update("another kind of index", hashed)
        self.back("another kind of index")
        self.update("a unique column", [(SCORE_END, SCORE_END.replace("points", "points, UNIQUE"))],
                    planned=["Created unique constraint score_points_key on [points] of table score"])
        points = self.rows("SELECT points FROM score WHERE id = 3")[0][0]
        self.equal("it is unique", self.call("count", 9, 1, points)[0], 530)
        self.back("a unique column")
        self.update("a private table", [("WL_TABLE(spare, PUBLIC", "WL_TABLE(spare, PRIVATE")],
                    planned=["Changed access for table spare (public → private)"])
        self.back("a private table")
        self.update("no primary key", [("	(u32, id, PRIMARY_KEY))\nWL_TABLE(beep", "	(u32, id))\nWL_TABLE(beep")],
                    planned=["Changed primary key on table spare (removed)"])
        self.back("no primary key")
        self.update("another table", [("// more", "WL_TABLE(more, PUBLIC,\n	(u32, id, PRIMARY_KEY))")],
                    planned=["Created user table: more (public)"])
        self.equal("it is there", self.rows("SELECT * FROM more"), [])
        self.heard(client, 1, "another table")
        self.back("another table", True)
        self.gone(client, "a table removed")
        client = self.subscribed("SELECT * FROM person")
        self.update("another variant", self.BLUE, planned=["Changed columns for table score", "~ Modified: tint ("])
        self.equal("rows as they were", len(self.rows("SELECT * FROM person")), 3)
        self.still_there(client, "another variant")
        client.close()
        # There is no way back from that one; the next step goes on from it.

    BLUE = [("(color, red, green)", "(color, red, green, blue)")]

    def breaking(self):
        """Columns more, event tables, views: everybody is disconnected, and may come again."""
        client = self.subscribed("SELECT * FROM person")
        two = self.BLUE + [(PERSON_END, "	(shape, form),\n	(u32, height, DEFAULT(170)),\n"
                            "	(str, city, DEFAULT(WL_STR(\"Ulm\"))))")]
        self.update("two columns", two, True, ["Created columns in table person", "+ height: U32 (default: U32(",
                                               "+ city: String (default: String("])
        self.gone(client, "two columns")
        self.equal("their values", self.rows("SELECT name, height, city FROM person"),
                   [["Ada", 170, "Ulm"], ["Bob", 170, "Ulm"], ["Cyd", 170, "Ulm"]])
        self.equal("another row", self.call("add", "Dan", 44)[0], 200)
        self.equal("ids go on", [row[0] for row in self.rows("SELECT id FROM person")], [1, 2, 3, 4])
        self.equal("names are unique", self.call("add", "Dan", 44)[0], 530)
        event = two + [("WL_TABLE(beep, PUBLIC_EVENT,\n	(u32, id))", "WL_TABLE(beep, PUBLIC_EVENT,\n	(str, text))")]
        client = self.subscribed("SELECT * FROM beep")
        self.update("an event table", event, True, ["Changed schema of event table beep"])
        self.gone(client, "an event table")
        view = event + [("WL_VIEW(person, adults)", "WL_VIEW(score, winners)\n{\n	WL_EACH(score, row)\n"
                         "		if (row.points > 10)\n			score_emit(&row);\n}\n\nWL_VIEW(person, adults)")]
        client = self.subscribed("SELECT * FROM adults")
        self.update("another view", view, planned=["Created anonymous view: winners"])
        self.still_there(client, "another view")
        self.equal("it has rows", len(self.rows("SELECT * FROM winners")), 3)
        other = event + [("WL_VIEW(person, adults)\n{\n" + ADULT + "\n			person_emit(&row);",
                          "WL_VIEW(score, adults)\n{\n	WL_EACH(score, row)\n		if (row.points < 0)\n"
                          "			score_emit(&row);")]
        self.update("a view of other rows", other, True, ["Removed anonymous view: adults",
                                                         "Created anonymous view: adults"])
        self.gone(client, "a view of other rows")
        self.equal("the other rows of the view", self.rows("SELECT * FROM adults"), [])
        self.latest = other

    def schedules(self):
        """A schedule that goes and one that comes."""
        without = self.latest + [("WL_SCHEDULE(alarm, at, ring)\n", "")]
        self.update("no schedule", without)
        fired = len(self.rows("SELECT * FROM fired"))
        self.equal("nothing is due", self.call("set_alarm")[0], 200)
        time.sleep(0.3)
        self.equal("nothing fires", len(self.rows("SELECT * FROM fired")), fired)
        self.update("a schedule", self.latest)
        self.wait("what waited fires", lambda: len(self.rows("SELECT * FROM fired")) > fired)

    def restart(self):
        """All that was done is done again from the log."""
        tables = ("person", "score", "spare", "fired", "st_table", "st_column", "st_index", "st_constraint", "st_view")
        before = {table: sorted(map(json.dumps, self.rows(f"SELECT * FROM {table}"))) for table in tables}
        for end in (signal.SIGKILL, signal.SIGTERM):
            self.host.restart(end)
            for table in tables:
                self.equal(f"{table} after a restart", sorted(map(json.dumps, self.rows(f"SELECT * FROM {table}"))),
                           before[table])
            self.equal("it goes on", self.call("add", f"Eve{end}", 20)[0], 200)
            before["person"] = sorted(map(json.dumps, self.rows("SELECT * FROM person")))
            self.check("ids go on", len({row[0] for row in self.rows("SELECT id FROM person")}) ==
                       len(before["person"]))

    def written(self):
        """A migration function: what no plan can do, in the update's transaction; a trial changes nothing."""
        old = """WL_OLD_TABLE(person_before, "person",
	(u64, id),
	(str, name),
	(u32, age),
	(rank, level),
	(shape, form))
WL_TABLE(beep"""
        function = """WL_MIGRATION()
{
	if (!person_before_is_there())
		return wl_ok();
	wl_info("moving %llu", person_before_count());
	WL_EACH(person_before, was) {
		person row = { was.id, was.name, was.age * 10, was.level, was.form };
		if (FAILS || !person_insert(&row))
			return wl_fail("cannot move %.*s", WL_FMT(was.name));
	}
	return wl_ok();
}

WL_REDUCER(step,"""
        wider = [("	(u32, age, INDEX),", "	(u64, age, INDEX),"), ("WL_TABLE(beep", old)]
        self.equal("begins anew", self.request("PUT", "/v1/database/live?clear=true", self.build())[0], 200)
        self.prepare()
        self.check("not without a function", self.plan(self.build(*wider))[0] is None)
        people = sorted(self.rows("SELECT id, name, age FROM person"))
        fails = self.build(*wider, ("WL_REDUCER(step,", function.replace("FAILS", "was.id > 1")))
        program = self.build(*wider, ("WL_REDUCER(step,", function.replace("FAILS", "false")))
        traps = self.build(*wider, ("WL_REDUCER(step,", function.replace("FAILS", "__builtin_trap(), false")))
        auto = self.plan(program)[0]
        self.check("planned with a function", auto and auto["break_clients"] and
                   "migration function" in auto["migrate_plan"], auto)
        client = self.subscribed("SELECT * FROM person")
        trial = self.request("PUT", "/v1/database/live?dry_run=true", program)
        self.check("a trial says what would change", trial[0] == 200 and
                   json.loads(trial[1])["DryRun"]["tables"] == [
                       {"table": "person", "inserted": len(people), "deleted": len(people)}], trial)
        for path, body in (("nobody?dry_run=true", program), ("live?dry_run=true&clear=true", program)):
            answer = self.request("PUT", "/v1/database/" + path, body)
            self.check(f"no dry run of {path}", answer[0] == 400 and "a dry run needs" in answer[1], answer)
        self.equal("no name was taken", self.request("GET", "/v1/database/nobody")[0], 404)
        for what, bad, text in (("fails", fails, "cannot move"), ("traps", traps, "migration function failed")):
            for query in ("?dry_run=true", f"?policy=BreakClients&token={self.plan(bad)[0]['token']}"):
                answer = self.request("PUT", "/v1/database/live" + query, bad)
                self.check(f"a function that {what} refuses the update {query[:8]}", answer[0] == 400 and
                           text in answer[1], answer)
        blind = self.build(*wider, ("WL_REDUCER(step,", "WL_MIGRATION() { return wl_ok(); }\n\nWL_REDUCER(step,"))
        answer = self.request("PUT", "/v1/database/live?dry_run=true", blind)
        self.check("rows that it never looked at are not dropped", answer[0] == 400 and
                   "never looked at old.person" in answer[1], answer)
        self.equal("nothing has changed", sorted(self.rows("SELECT id, name, age FROM person")), people)
        self.still_there(client, "trials")
        status, text = self.publish(program, True)
        self.check("published with a function", status == 200, f"{status} {text}")
        moved = [[id_, name, age * 10] for id_, name, age in people]
        self.equal("rows are what it made of them", sorted(self.rows("SELECT id, name, age FROM person")), moved)
        self.equal("and found by index", self.rows(f"SELECT id FROM person WHERE age = {moved[0][2]}"), [[moved[0][0]]])
        self.equal("numbers go on", self.call("add", "Zoe", 7)[0], 200)
        after = sorted(self.rows("SELECT id, name, age FROM person"))
        self.check("behind those that were moved", len(after) == len(moved) + 1 and
                   all(row[0] > max(m[0] for m in moved) for row in after if row[1] == "Zoe"), after)

        def state():
            tables = json.loads(self.request("GET", "/v1/database/live/state-hash")[1])["tables"]
            return [t for t in tables if t["name"] not in ("st_client", "st_connection_credentials")]
        before = state()
        for sig in (signal.SIGTERM, signal.SIGKILL):
            self.host.stop(sig)
            self.host.start()
            self.equal("the same after a restart", state(), before)

    def under_load(self):
        """Calls in flight while the module is replaced again and again: each is done once, none is lost."""
        callers = [threading.Thread(target=self.caller, args=(i,)) for i in range(4)]
        self.done, self.wrong, self.stop = [0] * 4, [], False
        watcher = self.subscribed("SELECT * FROM score")
        for i in range(4):
            self.equal("a row", self.call("count", 100 + i, 7, 0)[0], 200)
        for caller in callers:
            caller.start()
        more = self.latest + [("// more", "WL_TABLE(more, PUBLIC,\n	(u32, id, PRIMARY_KEY))")]
        index = more + [("	(u32, team),", "	(u32, team, INDEX),")]
        for program in (more, index, more, index, more, index):
            status, text = self.publish(self.build(*program))
            self.check("an update under load", status == 200, text)
            time.sleep(0.2)
        self.stop = True
        for caller in callers:
            caller.join()
        self.check("callers heard no errors", not self.wrong, self.wrong[:3])
        self.check("callers called", min(self.done) > 50, self.done)
        points = [row[0] for row in self.rows("SELECT points FROM score WHERE team = 7")]
        self.equal("each call counts once", sorted(points), sorted(self.done))
        self.still_there(watcher, "updates under load")
        self.update("and back", self.latest, True)

    def caller(self, number):
        client, waiting = ws.Client(self.host.port, "live", self.token), 0
        try:
            while not self.stop or waiting:
                while not self.stop and waiting < 32:
                    client.call("step", struct.pack("<I", 100 + number))
                    waiting += 1
                _, outcome, text = client.result()
                waiting -= 1
                if outcome in (ws.OK, ws.OK_EMPTY):
                    self.done[number] += 1
                else:
                    self.wrong.append(f"{outcome} {text}")
        except (OSError, ws.Closed) as error:
            self.wrong.append(str(error))
        client.close()

    # ---- clients ----

    def subscribed(self, query):
        client = ws.Client(self.host.port, "live", self.token)
        client.receive()
        client.send(struct.pack("<BIII", ws.SUBSCRIBE, 1, 1, 1) + ws.bsatn_str(query))
        tag, _ = client.receive()
        self.check(f"{query}: subscribed", tag == ws.SUBSCRIBED, tag)
        return client

    def still_there(self, client, why):
        """It can be used, and hears of changes."""
        try:
            client.call("step", struct.pack("<I", 2))
            outcome = client.result()[1]
            self.check(f"a client after {why}", outcome in (ws.OK, ws.OK_EMPTY), outcome)
        except (OSError, ws.Closed) as error:
            self.check(f"a client after {why}", False, error)

    def heard(self, client, row, why):
        """An update of the table that it subscribes to."""
        self.call("step", row)
        client.socket.settimeout(10)
        try:
            tag, _ = client.receive()
            self.equal(f"a subscriber hears after {why}", tag, ws.UPDATE)
            client.socket.settimeout(0.2)
            while True:
                client.receive()
        except (OSError, ws.Closed) as error:
            self.check(f"a subscriber after {why}", isinstance(error, TimeoutError), error)
        client.socket.settimeout(30)

    def gone(self, client, why):
        try:
            while True:
                client.receive()
        except ws.Closed as closed:
            self.equal(f"disconnected by {why}", (closed.code, closed.reason), (1001, "module exited"))
        except OSError as error:
            self.check(f"disconnected by {why}", False, error)

    def wait(self, what, condition):
        deadline = time.monotonic() + 20
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.check(what, condition())

    def run(self):
        self.programs = {}
        with self.host:
            self.log_in()
            self.prepare()
            self.refused()
            self.recreated()
            self.data_refuses()
            self.accepted()
            self.breaking()
            self.schedules()
            self.restart()
            self.under_load()
            self.written()


if __name__ == "__main__":
    sys.exit(main(Migrate, __doc__))
