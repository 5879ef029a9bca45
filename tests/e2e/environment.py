#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Environments of modules: published, read by guests, shown without values, changed alone, kept over kill -9.

    tests/e2e/environment.py [--flavor dev]       last line: N passed, N failed
"""

import argparse
import http.client
import json
import os
import signal
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from host import ROOT, Host  # noqa: E402
from ws import INITIAL, SUBSCRIBED, SUBSCRIBE, UPDATE, Client, bsatn_str  # noqa: E402

SECRET = "s3cr3t-value-that-nobody-logs"
DECLARED = [{"name": "API_KEY", "ty": "String", "optional": False},
            {"name": "LEVEL", "ty": {"Union": ["debug", "in progress"]}, "optional": True},
            {"name": "NOTE", "ty": "String", "optional": True}]
SET, REMOVE = "spacetime-environment", "spacetime-environment-remove"
MISSING = {"MissingRequiredEnvironment": {"keys": ["API_KEY"]}}


def custom_section(program, text):
    """The same program under another hash."""
    name = b"\x04note" + text.encode()
    assert len(name) < 128
    return program + b"\0" + bytes([len(name)]) + name


class Test:
    def __init__(self, flavor):
        self.host = Host(flavor, start_seconds=120)
        self.passed, self.failures = 0, []
        with open(os.path.join(ROOT, "build", "modules", "env214.wasm"), "rb") as f:
            self.program = f.read()

    def __enter__(self):
        self.host.start()
        self.token, self.other = (json.loads(self.host.request("POST", "/v1/identity")[1])["token"] for _ in range(2))
        return self

    def __exit__(self, *exc):
        ended = self.host.stop(seconds=120) if self.host.alive() else "before its time"
        log = self.host.log()
        self.check("the host's end", ended == 0 and "ERROR: " not in log, f"{ended}\n{log[-4000:]}")
        self.check("no value in the host's log", SECRET not in log)
        found = [os.path.join(folder, name) for folder, _, names in os.walk(self.host.data_dir) for name in names
                 if "log/" not in folder + "/" or "module_logs" in folder]
        for path in found:
            if "replicas" not in path or "module_logs" in path:
                with open(path, "rb") as f:
                    self.check(f"no value in {path}", SECRET.encode() not in f.read())
        self.host.__exit__(*exc)

    def check(self, what, ok, got=""):
        self.passed += bool(ok)
        if not ok:
            self.failures.append(f"{what}: {str(got)[:1500]}")

    def equal(self, what, got, wanted):
        self.check(what, got == wanted, f"{got!r}, not {wanted!r}")

    def http(self, method, path, body=None, headers=(), token=None):
        """(status, body); the body parsed if it is JSON. `headers` is a list of pairs: names may repeat."""
        connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=120)
        connection.putrequest(method, path)
        if body is not None or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body or b"")))
        connection.putheader("Authorization", f"Bearer {token or self.token}")
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        text = answer.read().decode()
        self.headers = dict((k.lower(), v) for k, v in answer.getheaders())
        connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def publish(self, name, *headers, program=None, query=""):
        return self.http("PUT", f"/v1/database/{name}{query}", program or self.program, headers)

    def published(self, name, *headers, program=None):
        status, answer = self.publish(name, *headers, program=program)
        self.check(f"published {name}", status == 200 and "Success" in answer, (status, answer))

    def call(self, name, function, *args):
        return self.http("POST", f"/v1/database/{name}/call/{function}", json.dumps(args).encode(),
                         [("Content-Type", "application/json")])

    def value(self, name, key):
        """As a procedure reads it outside a transaction, then inside one."""
        answers = [self.call(name, "ask", key, in_tx) for in_tx in (False, True)]
        self.equal(f"{key} outside and inside a transaction", answers[0], answers[1])
        status, answer = answers[0]
        return (answer[1] if answer[0] == 0 else None) if status == 200 else answer

    def sql(self, name, text, token=None):
        status, answer = self.http("POST", f"/v1/database/{name}/sql", text.encode(), token=token)
        return [row for row in answer[0]["rows"]] if status == 200 else answer

    def stored(self, name):
        return dict(self.sql(name, "SELECT key, value FROM st_env"))

    def shown(self, name):
        return self.http("GET", f"/v1/database/{name}/environment")

    def change(self, name, method, values, hash=None, headers=()):
        query = f"?expected_module_hash={hash}" if hash else ""
        body = values if isinstance(values, bytes) else json.dumps(values).encode()
        return self.http(method, f"/v1/database/{name}/environment{query}", body, headers)


def publishing(test):
    status, answer = test.publish("first")
    test.equal("a required value is missing", (status, answer), (400, {"EnvironmentError": MISSING}))
    status, answer = test.publish("first", (SET, f"API_KEY='{SECRET}',LEVEL=info"))
    test.equal("a value that its declaration does not allow", (status, answer),
               (400, 'environment key "LEVEL": value does not satisfy its declared string constraint'))
    test.published("first", (SET, f"API_KEY='{SECRET}', , LEVEL=\"in progress\"\t,"),
                   (SET, r'NOTE="\u20ac \ud83d\ude00\n"'))
    test.equal("what is stored", test.stored("first"), {"API_KEY": SECRET, "LEVEL": "in progress", "NOTE": "€ 😀\n"})
    test.equal("init sees it", test.sql("first", "SELECT * FROM seen"), [[1, "init", "API_KEY", [0, SECRET]]])
    test.published("first")
    test.equal("what nobody mentions stays", sorted(test.stored("first")), ["API_KEY", "LEVEL", "NOTE"])
    test.published("first", (SET, "NOTE="), (REMOVE, "LEVEL"))
    test.equal("set and removed", test.stored("first"), {"API_KEY": SECRET, "NOTE": ""})
    test.equal("an empty value is one", (test.value("first", "NOTE"), test.value("first", "LEVEL")), ("", None))
    status, answer = test.publish("first", (SET, "NOTE=1"), (REMOVE, "NOTE"))
    test.equal("set and removed at once", (status, answer),
               (400, 'environment key "NOTE": conflicting environment update operations'))
    status, answer = test.publish("first", (REMOVE, "*"))
    test.equal("all removed", (status, answer), (400, {"EnvironmentError": MISSING}))
    test.published("first", (REMOVE, "*"), (SET, f"API_KEY={SECRET}"))
    test.equal("all removed but one", test.stored("first"), {"API_KEY": SECRET})
    test.equal("init ran once", len(test.sql("first", "SELECT * FROM seen")), 1)
    test.published("first", (SET, "UNDECLARED=1,NOTE=next"), program=custom_section(test.program, "second"))
    test.equal("with another program", test.value("first", "NOTE"), "next")
    test.equal("stored, though not declared", test.stored("first")["UNDECLARED"], "1")
    bad = [(SET, "1A=b"), (SET, "A =b"), (SET, "A= b"), (SET, "A=b c"), (SET, "A='b'c"), (SET, "A='b"), (SET, 'A="b'),
           (SET, r'A="\q"'), (SET, "A"), (SET, "A=1,A=2"), (SET, "A=" + "x" * 8193), (SET, "=b"), (SET, "A=\\"),
           (REMOVE, "A-B"), (REMOVE, "*,*"), (REMOVE, "A,*"), (REMOVE, "*,A"), (SET, "A=\x80".encode("latin-1"))]
    for name, value in bad:
        status, answer = test.publish("first", (name, value))
        test.equal(f"a bad header {value[:20]!r}", (status, answer), (400, f"invalid HTTP header ({name})"))
    test.equal("nothing of them", sorted(test.stored("first")), ["API_KEY", "NOTE", "UNDECLARED"])


def limits(test):
    big = "v" * 8192
    many = [(SET, f"K{i}={'w' * 1000}") for i in range(255)]
    test.published("large", (SET, f"API_KEY={big}"), *many)
    test.equal("256 values", len(test.stored("large")), 256)
    test.equal("a value of 8,192 bytes", test.value("large", "API_KEY"), big)
    status, answer = test.publish("large", (SET, "ONE_MORE=1"))
    test.equal("257 values", (status, answer), (400, "too many stored values"))
    test.published("larger", *[(SET, f"{'API_KEY' if i == 0 else f'K{i}'}={big}") for i in range(45)])
    test.equal("370 KiB of headers", len(test.stored("larger")), 45)
    status, _ = test.publish("large", *[(SET, f"K{i}={big}") for i in range(60)])
    test.equal("480 KiB of headers", status, 431)
    status, _ = test.http("GET", "/v1/ping", headers=[("x", "y" * 70000)])
    test.equal("70 KB of headers elsewhere", status, 431)


def guests(test):
    test.published("guest", (SET, f"API_KEY={SECRET}"))
    test.equal("not declared", test.call("guest", "look", "OTHER")[0], 530)
    test.equal("a procedure, too", test.call("guest", "ask", "OTHER", False)[0], 500)
    for key in ("", "1A", "A-B", "A" * 257):
        test.equal(f"no name: {key[:5]!r}", test.call("guest", "look", key)[0], 530)
    test.equal("a reducer", test.call("guest", "look", "NOTE")[0], 200)
    test.equal("what it saw", test.sql("guest", "SELECT at, value FROM seen")[-1], ["reducer", [1, []]])
    status, answer = test.http("GET", "/v1/database/guest/route/tell")
    test.equal("a handler", (status, answer), (200, SECRET))


def views(test):
    """A subscriber of the view and one of st_env hear of environments that change alone."""
    test.published("view", (SET, "API_KEY=1"))
    client = Client(test.host.port, "view", test.token)
    client.receive()
    client.send(struct.pack("<BIII", SUBSCRIBE, 1, 1, 2) + bsatn_str("SELECT * FROM settings") +
                bsatn_str("SELECT * FROM st_env"))
    tag, body = client.receive()
    test.check("subscribed", tag == SUBSCRIBED and bsatn_str("API_KEY") in body, (tag, body))
    test.equal("changed", test.change("view", "PATCH", {"NOTE": "now"}), (200, {"Ok": None}))
    tag, body = client.receive()
    test.check("heard of, in both", tag == UPDATE and body.count(bsatn_str("NOTE")) >= 2 and
               bsatn_str("now") in body, (tag, body))
    status, answer = test.change("view", "PATCH", {"NOTE": "fail"})
    test.equal("a view that fails", (status, answer), (400, "Failed to create or update the database: "
                                                       "view evaluation failed during environment publication"))
    test.equal("then nothing changed", test.stored("view"), {"API_KEY": "1", "NOTE": "now"})
    status, answer = test.publish("view", (SET, "NOTE=fail"))
    test.equal("by publishing too", status, 400)
    test.published("view", (SET, "NOTE=later"), program=custom_section(test.program, "other"))
    test.equal("and after an update", test.sql("view", "SELECT * FROM settings"),
               [["API_KEY", [0, "1"]], ["NOTE", [0, "later"]]])
    client.close()


def routes(test):
    test.published("routes", (SET, f"API_KEY={SECRET},NOTE=1"))
    status, shown = test.shown("routes")
    hash = shown["module_hash"]
    test.equal("shown", (status, shown), (200, {"module_hash": hash, "declarations": DECLARED,
                                               "stored_keys": ["API_KEY", "NOTE"]}))
    test.check("a hash", hash.startswith("0x") and len(hash) <= 66, hash)
    test.equal("merged", test.change("routes", "PATCH", {"NOTE": "2", "LEVEL": "debug"}, hash), (200, {"Ok": None}))
    test.equal("merged values", test.stored("routes"), {"API_KEY": SECRET, "NOTE": "2", "LEVEL": "debug"})
    test.equal("removed", test.change("routes", "PATCH", {}, hash, [(REMOVE, "NOTE")]), (200, {"Ok": None}))
    test.equal("replaced", test.change("routes", "PUT", {"API_KEY": "k\0"}, hash), (200, {"Ok": None}))
    test.equal("replaced values", test.stored("routes"), {"API_KEY": "k\0"})
    test.equal("a required one missing", test.change("routes", "PUT", {}, hash), (200, {"Err": MISSING}))
    test.equal("another program", test.change("routes", "PATCH", {}, "0x1"), (200, {"Err": "VersionConflict"}))
    test.equal("not allowed", test.change("routes", "PATCH", {"LEVEL": "x"}),
               (400, 'environment key "LEVEL": value does not satisfy its declared string constraint'))
    for bad in (b"", b"[]", b"{\"A\":1}", b"{\"A\":", b"\xff"):
        test.equal(f"a bad body {bad}", test.change("routes", "PATCH", bad)[0], 400)
    test.equal("a bad hash", test.change("routes", "PATCH", {}, "12")[0], 400)
    for method in ("GET", "PATCH", "PUT"):
        status, answer = test.http(method, "/v1/database/routes/environment", b"{}", token=test.other)
        test.equal(f"{method} by others", status, 403)
    test.equal("nobody's", test.http("GET", "/v1/database/nobody/environment")[0], 404)
    test.http("OPTIONS", "/v1/database/routes/environment")
    test.check("CORS", SET in test.headers["access-control-allow-headers"] and
               REMOVE in test.headers["access-control-allow-headers"], test.headers)


def sql(test):
    test.published("sql", (SET, f"API_KEY={SECRET}"))
    described = "SELECT table_type, table_access FROM st_table WHERE table_name = 'st_env'"
    test.equal("described", test.sql("sql", described), [["system", "private"]])
    for text in ("INSERT INTO st_env (key, value) VALUES ('A', 'b')", "DELETE FROM st_env",
                 "UPDATE st_env SET value = 'x' WHERE key = 'API_KEY'"):
        answer = test.sql("sql", text)
        test.check(text, "Database environment variables can only be changed by publishing" in answer, answer)
    answer = test.sql("sql", "SELECT * FROM st_env", test.other)
    test.check("nobody else", isinstance(answer, str) and "st_env" in answer and SECRET not in answer, answer)
    schema = test.http("GET", "/v1/database/sql/schema?version=10")[1]
    names = [next(iter(s)) for s in schema["sections"]]
    section = next(s["Environment"] for s in schema["sections"] if "Environment" in s)
    test.check("the document's section", names.index("Environment") < names.index("Typespace"), names)
    test.equal("declared in the document", [d["name"] for d in section], ["API_KEY", "LEVEL", "NOTE"])


def life(test):
    """Values outlive kill -9; a database that starts over begins with what it is given."""
    test.published("life", (SET, f"API_KEY={SECRET},NOTE=kept"))
    test.change("life", "PATCH", {"NOTE": "changed"})
    test.host.restart(signal.SIGKILL)
    test.equal("after kill -9", test.stored("life"), {"API_KEY": SECRET, "NOTE": "changed"})
    test.equal("read after kill -9", test.value("life", "NOTE"), "changed")
    test.equal("described after kill -9", test.sql("life", "SELECT table_id FROM st_table WHERE table_name = 'st_env'"),
               [[21]])
    test.published("life", (SET, "NOTE=again"))
    test.equal("changed after kill -9", test.stored("life"), {"API_KEY": SECRET, "NOTE": "again"})
    status, answer = test.publish("life", query="?clear=true")
    test.equal("starting over without", (status, answer), (400, {"EnvironmentError": MISSING}))
    status, answer = test.publish("life", (SET, "API_KEY=new"), query="?clear=true")
    test.equal("starting over", (status, test.stored("life")), (200, {"API_KEY": "new"}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flavor", default="dev")
    args = parser.parse_args()
    with Test(args.flavor) as test:
        for part in (publishing, limits, guests, views, routes, sql, life):
            part(test)
    for failure in test.failures:
        print(failure)
    print(f"{test.passed} passed, {len(test.failures)} failed")
    return bool(test.failures)


if __name__ == "__main__":
    sys.exit(main())
