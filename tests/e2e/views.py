#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Views with parameters (2.13): their calls in SQL and in subscriptions, who shares an instance, what changes it.

    tests/e2e/views.py [--flavor asan]

The module is tests/modules/views214. The last line says how many checks passed and failed.
"""

import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import ws  # noqa: E402
from host import ROOT  # noqa: E402
from suite import Suite, main  # noqa: E402

TOO_MANY = "View `team_players` takes 1 argument(s), but {} were given"
WHOLE = "View `{0}` takes arguments, so it can only be queried as `SELECT * FROM {0}(...)`"
WHO, CONN = "c200" + "11" * 30, "0a" * 16
UUID = "00000000-0000-0000-0000-000000000001"
REFUSED = [  # both where a query is asked once and where it is kept
    ("SELECT * FROM team_players", TOO_MANY.format(0)),
    ("SELECT * FROM team_players()", TOO_MANY.format(0)),
    ("SELECT * FROM team_players(1, 2)", TOO_MANY.format(2)),
    ("SELECT * FROM team_players('x')", "The literal expression `x` cannot be parsed as type `U32`"),
    ("SELECT * FROM team_players(-1)", "The literal expression `-1` cannot be parsed as type `U32`"),
    ("SELECT * FROM team_players(:sender)",
     "Unsupported view argument: :sender. View arguments must be literals"),
    ("SELECT * FROM team_players(id)", "Unsupported view argument: id. View arguments must be literals"),
    ("SELECT * FROM team_players(1 + 1)", "Unsupported view argument: 1 + 1. View arguments must be literals"),
    ("SELECT * FROM team_players(f(1, 2))",
     "Unsupported view argument: f(1, 2). View arguments must be literals"),
    ("SELECT * FROM team_players(team => 1)",
     "Unsupported view argument: team => 1. View arguments must be positional literals"),
    ("SELECT * FROM team_players(*)",
     "Unsupported view argument: *. View arguments must be positional literals"),
    ("SELECT * FROM team_players(1) WHERE id = 1", WHOLE.format("team_players")),
    ("SELECT player.* FROM player JOIN team_players(1) AS t ON player.id = t.id",
     "Unsupported view call in a JOIN: `team_players`. A view that takes arguments can only be queried by itself"),
    ("SELECT player.* FROM player JOIN team_players AS t ON player.id = t.id", TOO_MANY.format(0)),
    ("SELECT * FROM player(1)", "`player` is a table, not a view; it does not take arguments"),
    ("SELECT * FROM everyone(1)", "Unsupported FROM expression: everyone(1)"),
    ("SELECT * FROM nothing(1)", "Unsupported FROM expression: nothing(1)"),
    ("SELECT * FROM paired(1)",
     "Parameter `pair` of view `paired` has type &1, which cannot be passed from SQL"),
]


UPDATED = """#include <worldline/module.h>
WL_TABLE(player, PUBLIC,
\t(u32, id, PRIMARY_KEY),
\t(u32, team, INDEX))
WL_REDUCER(put, (u32, id), (u32, team))
{
\tplayer row = { id, team };
\treturn player_insert(&row) ? wl_ok() : wl_fail("taken");
}
WL_REDUCER(move, (u32, id), (u32, team))
{
\tplayer row = { id, team };
\treturn player_update_by_id(&row) ? wl_ok() : wl_fail("nobody");
}
/* Which keys it reads depends on a row. */
WL_VIEW(player, follow, (u32, id))
{
\tplayer row, next;
\tif (player_find_by_id(id, &row) && player_find_by_id(row.team, &next))
\t\tplayer_emit(&next);
}
WL_VIEW(player, team_players, (u32, team))
{
\tWL_EACH_BY(player, team, row, team)
\t\tBODY
}
"""
BODIES = {"first": "player_emit(&row);", "odd": "if (row.id % 2 == 1) player_emit(&row);",
          "trap": "if (row.id > 0) wl_panic(\"no players today\");"}


def plain(row):
    """Rows come as objects when a query begins, as arrays later."""
    value = json.loads(row)
    fields = value.values() if isinstance(value, dict) else value
    return json.dumps([list(f.values()) if isinstance(f, dict) else f for f in fields])


class Connection:
    """A v1.json connection and the rows it holds, by table."""

    def __init__(self, host, token=None, database="views"):
        self.client = ws.Client(host.port, database, token, protocol="v1.json.spacetimedb")
        self.token = json.loads(self.client.payload())["IdentityToken"]["token"]
        self.rows, self.requests = {}, 0

    def fold(self, update):
        for table in update["tables"]:
            held = self.rows.setdefault(table["table_name"], {})
            for change in table["updates"]:
                for row, copies in [(r, 1) for r in change["inserts"]] + [(r, -1) for r in change["deletes"]]:
                    row = plain(row)
                    held[row] = held.get(row, 0) + copies
                    if held[row] == 0:
                        del held[row]

    def ask(self, message, reply):
        """Sends it; folds what comes until `reply` or an error, which is returned."""
        self.client.send(json.dumps(message).encode(), text=True)
        while True:
            kind, body = next(iter(json.loads(self.client.payload()).items()))
            if kind == "TransactionUpdate" and "Committed" in body["status"]:
                self.fold(body["status"]["Committed"])
            if kind == "TransactionUpdateLight":
                self.fold(body["update"])
            if kind in (reply, "SubscriptionError"):
                if "update" in body and kind == reply and kind != "TransactionUpdateLight":
                    self.fold(body["update"])
                return body

    def subscribe(self, number, *queries):
        message = {"query_strings": queries, "request_id": number, "query_id": {"id": number}}
        return self.ask({"SubscribeMulti": message}, "SubscribeMultiApplied")

    def unsubscribe(self, number):
        return self.ask({"UnsubscribeMulti": {"request_id": number, "query_id": {"id": number}}},
                        "UnsubscribeMultiApplied")

    def call(self, reducer, *args):
        self.requests += 1
        return self.ask({"CallReducer": {"reducer": reducer, "args": json.dumps(args), "request_id": self.requests,
                                         "flags": 0}}, "TransactionUpdate")

    def settle(self):
        """Whatever was committed before this is folded when it returns."""
        self.ask({"OneOffQuery": {"message_id": "00", "query_string": "SELECT * FROM player WHERE id = 0"}},
                 "OneOffQueryResponse")

    def ids(self, table):
        """How many copies of which players."""
        return sorted((json.loads(row)[0], n) for row, n in self.rows.get(table, {}).items())


class Views(Suite):
    def answer(self, *request):
        return self.request(*request)[1]

    def sql(self, text):
        reply = self.answer("POST", "/v1/database/views/sql", text.encode())
        try:
            return json.loads(reply)[0]["rows"]
        except ValueError:
            return reply

    def publish(self):
        with open(os.path.join(ROOT, "build", "modules", "views214.wasm"), "rb") as f:
            return self.answer("PUT", "/v1/database/views", f.read())

    def run(self):
        with self.host:
            self.log_in()
            self.publish()
            self.refusals()
            self.values()
            self.instances()
            self.senders()
            self.whole()
            self.failures()
            self.updates()
            self.restart()
            self.equal("the host ends well", self.host.stop(seconds=120), 0)

    def refusals(self):
        connection = Connection(self.host)
        for number, (query, text) in enumerate(REFUSED):
            self.equal(f"sql: {query}", self.sql(query), text)
            self.equal(f"live: {query}", connection.subscribe(number + 1, query).get("error"),
                       f"{text}, executing: `{query}`")
        for query in ("SELECT name FROM team_players(1)", "SELECT COUNT(*) AS n FROM team_players(1)",
                      "SELECT * FROM team_players(1) LIMIT 1", "SELECT * FROM team_players(1) ORDER BY id"):
            self.equal(query, self.sql(query), WHOLE.format("team_players"))
        connection.client.close()

    def values(self):
        wide = "SELECT * FROM wide({})"
        self.equal("numbers", self.sql(wide.format("true, -128, 340282366920938463463374607431768211455, 0x00ff")),
                   [["true -128 340282366920938463463374607431768211455 [0, 255]"]])
        special = f"SELECT * FROM \"special\"(0x{WHO}, '{CONN}', '1970-01-01T00:00:01Z', {{}})"
        for uuid in (f"'{UUID}'", f"0x{UUID.replace('-', '')}"):
            self.equal(f"uuid {uuid}", self.sql(special.format(uuid)), [[f"{WHO} {CONN} 1000000 {UUID}"]])

    def instances(self):
        one, two = Connection(self.host, self.token), Connection(self.host)
        for player in (1, "O'Neil", 1, 10), (2, "b", 1, 20), (3, "c", 2, 30):
            one.call("put", *player)
        self.equal("sql", sorted(row[0] for row in self.sql("SELECT * FROM team_players(1)")), [1, 2])
        self.equal("a quote in it", [row[0] for row in self.sql("SELECT * FROM \"named_above\"('O''Neil', -5)")], [1])
        self.equal("nobody", self.sql("SELECT * FROM named_above('x', 0)"), [])
        one.subscribe(1, "SELECT * FROM team_players(1)")
        one.subscribe(2, "SELECT * FROM team_players(2)", "SELECT * FROM above(25)")
        two.subscribe(1, "SELECT * FROM team_players(2)")
        self.equal("two calls are one table", one.ids("team_players"), [(1, 1), (2, 1), (3, 1)])
        self.equal("another has one of them", two.ids("team_players"), [(3, 1)])
        self.equal("a query view", one.ids("above"), [(3, 1)])
        one.call("put", 2, "b", 2, 40)
        two.settle()
        self.equal("from one call to the other", one.ids("team_players"), [(1, 1), (2, 1), (3, 1)])
        self.equal("as the other sees it", two.ids("team_players"), [(2, 1), (3, 1)])
        self.equal("above", one.ids("above"), [(2, 1), (3, 1)])
        one.subscribe(3, "SELECT * FROM team_players(2)")
        self.equal("the same call in two sets: v1 knows one", one.ids("team_players"), [(1, 1), (2, 1), (3, 1)])
        one.unsubscribe(2)
        self.equal("one set ends", one.ids("team_players"), [(1, 1), (2, 1), (3, 1)])
        one.call("drop", 3)
        two.settle()
        self.equal("a row ends", (one.ids("team_players"), two.ids("team_players")), ([(1, 1), (2, 1)], [(2, 1)]))
        one.client.close()
        two.client.close()

    def senders(self):
        ann, bob = Connection(self.host), Connection(self.host)
        ann.call("put", 10, "ann", 5, 1)
        bob.call("put", 11, "bob", 5, 1)
        for connection in ann, bob:
            connection.subscribe(1, "SELECT * FROM my_team(5)")
        self.equal("each their own", (ann.ids("my_team"), bob.ids("my_team")), ([(10, 1)], [(11, 1)]))
        bob.call("put", 12, "bob", 5, 1)
        ann.settle()
        self.equal("and changes", (ann.ids("my_team"), bob.ids("my_team")), ([(10, 1)], [(11, 1), (12, 1)]))
        ann.client.close()
        bob.client.close()

    def whole(self):
        connection = Connection(self.host, self.token)
        connection.ask({"Subscribe": {"query_strings": ["SELECT * FROM *"], "request_id": 1}}, "InitialSubscription")
        self.equal("all tables but those of calls", sorted(t for t, rows in connection.rows.items() if rows),
                   [])
        connection.client.close()
        schema = json.loads(self.answer("GET", "/v1/database/views/schema?version=10"))
        keys = next(section["ViewPrimaryKeys"] for section in schema["sections"] if "ViewPrimaryKeys" in section)
        self.equal("its key is declared", [key["view_source_name"] for key in keys], ["everyone"])

    def failures(self):
        connection = Connection(self.host, self.token)
        connection.call("put", 20, "d", 6, 5)
        connection.subscribe(1, "SELECT * FROM fragile(20)")
        self.equal("fine", connection.ids("fragile"), [(20, 1)])
        status = connection.call("put", 20, "d", 6, -1)["status"]
        self.equal("a view that fails fails the call", list(status), ["Failed"])
        self.equal("which never was", [row[3] for row in self.sql("SELECT * FROM player WHERE id = 20")], [5])
        self.equal("others may", list(connection.call("put", 21, "e", 6, -1)["status"]), ["Committed"])
        connection.client.close()

    def updates(self):
        """A new program's views are made in the update, for those who subscribe; one that fails refuses it."""
        programs = {}
        with tempfile.TemporaryDirectory() as folder:
            for name, body in BODIES.items():
                with open(os.path.join(folder, "module.c"), "w") as f:
                    f.write(UPDATED.replace("BODY", body))
                subprocess.run([self.host.binary, "build", folder], check=True, stdout=subprocess.DEVNULL)
                with open(os.path.join(folder, "build", "module.wasm"), "rb") as f:
                    programs[name] = f.read()

        def publish(name):
            return self.answer("PUT", "/v1/database/updated", programs[name])

        self.equal("first", "Success" in publish("first"), True)
        connection = Connection(self.host, self.token, "updated")
        for number in 1, 2, 3:
            connection.call("put", number, 1)
        connection.subscribe(1, "SELECT * FROM team_players(1)")
        self.equal("before", connection.ids("team_players"), [(1, 1), (2, 1), (3, 1)])
        self.equal("another program", "Success" in publish("odd"), True)
        connection.settle()
        self.equal("its rows, to who was there", connection.ids("team_players"), [(1, 1), (3, 1)])
        connection.call("put", 5, 1)
        self.equal("and its reads", connection.ids("team_players"), [(1, 1), (3, 1), (5, 1)])
        refused = publish("trap")
        self.equal("one that fails", "Success" in refused or "database is not" in refused, False)
        self.equal("leaves all as it was", list(connection.call("put", 7, 1)["status"]), ["Committed"])
        self.equal("with the views that were", connection.ids("team_players"), [(1, 1), (3, 1), (5, 1), (7, 1)])
        self.equal("and back", "Success" in publish("first"), True)
        connection.settle()
        self.equal("all of them", [n for n, _ in connection.ids("team_players")], [1, 2, 3, 5, 7])
        self.following(connection)
        connection.client.close()

    def following(self, connection):
        """A view's reads are those of its last time."""
        connection.subscribe(2, "SELECT * FROM follow(1)")
        self.equal("1 leads to itself", connection.ids("follow"), [(1, 1)])
        connection.call("move", 1, 2)
        self.equal("then to 2", connection.ids("follow"), [(2, 1)])
        connection.call("move", 1, 3)
        connection.call("move", 2, 8)
        self.equal("then to 3, whatever 2 does", connection.ids("follow"), [(3, 1)])
        connection.call("move", 3, 9)
        self.equal("and hears of 3", list(connection.rows["follow"]), ["[3, 9]"])

    def restart(self):
        self.host.kill()
        self.host.start()
        self.equal("after a crash", [row[0] for row in self.sql("SELECT * FROM fragile(20)")], [20])
        self.equal("published again", "Success" in self.publish(), True)


if __name__ == "__main__":
    sys.exit(main(Views, __doc__))
