#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Submodules, and outboxes, which are refused: a module of parts in C whose definition is written here.

    tests/e2e/parts.py [--flavor dev]       last line: N passed, N failed
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import environment  # noqa: E402
from host import ROOT  # noqa: E402
from ws import OK, OK_EMPTY, SUBSCRIBE, SUBSCRIBED, UPDATE, Client, bsatn_str  # noqa: E402

MARK = b"WORLDLINE-PARTS"
SET = environment.SET

# ---- RawModuleDefV10 ----

TYPESPACE, TYPES, TABLES, REDUCERS, PROCEDURES, VIEWS, SCHEDULES, LIFECYCLES = range(8)
EXPLICIT_NAMES, SUBMODULES, ENVIRONMENT, OUTBOXES = 10, 14, 15, 16
NONE, STRING, U8, U32, U64, I64, U256 = b"\1", b"\4", b"\7", b"\x0b", b"\x0d", b"\x0c", b"\x11"


def u32(n):
    return struct.pack("<I", n)


def u16(n):
    return struct.pack("<H", n)


def some(value):
    return b"\0" + value


def array(items):
    return u32(len(items)) + b"".join(items)


def elements(**fields):
    return array([some(bsatn_str(name)) + ty for name, ty in fields.items()])


def product(**fields):
    return b"\2" + elements(**fields)


def variants(**of):
    return b"\1" + elements(**of)


def ref(n):
    return b"\0" + u32(n)


SCHEDULE_AT = variants(Interval=product(__time_duration_micros__=I64),
                       Time=product(__timestamp_micros_since_unix_epoch__=I64))
UNIT = product()


def section(tag, *items):
    return bytes([tag]) + array(list(items))


def types(*named):
    """Typespace and names of the products."""
    return [section(TYPESPACE, *[ty for _, ty in named]),
            section(TYPES, *[array([]) + bsatn_str(name) + u32(i) + b"\1" for i, (name, _) in enumerate(named)])]


def table(name, type_ref, indexes=(), auto=False, public=True):
    """The first column is the primary key; `indexes` are (source name, columns)."""
    rows = [some(bsatn_str(source)) + NONE + b"\0" + array([u16(c) for c in columns]) for source, columns in indexes]
    unique = NONE + b"\0" + array([u16(0)])
    sequence = NONE + u16(0) + NONE * 3 + (1).to_bytes(16, "little")
    return (bsatn_str(name) + u32(type_ref) + array([u16(0)]) + array(rows) + array([unique]) +
            array([sequence] if auto else []) + b"\1" + (b"\0" if public else b"\1") + array([]) + b"\0")


def reducer(of, visible=True, **params):
    return bsatn_str(of) + elements(**params) + (b"\1" if visible else b"\0") + UNIT + STRING


def procedure(of, returns, **params):
    return bsatn_str(of) + elements(**params) + returns + b"\1"


def view(name, index, returns):
    return bsatn_str(name) + u32(index) + b"\1\1" + elements() + returns


def module(*sections):
    return array(list(sections))


def definition(accessor="myAuth", pinned=None, outbox=False):
    """Root: notes, find, readEnv. In it myAuth: sessions, ticks, allSessions, peek; in that deepOne: things."""
    deep = module(*types(("Thing", product(n=U32))), section(TABLES, table("things", 0, [("things_n", [0])])),
                  section(REDUCERS, reducer("putThing", n=U32)))
    auth = module(
        *types(("Session", product(id=U64, userName=STRING)), ("Tick", product(id=U64, at=SCHEDULE_AT))),
        section(TABLES, table("sessions", 0, [("sessionsById", [0]), ("byUser", [1])], auto=True),
                table("ticks", 1, [("ticksById", [0])], auto=True)),
        section(REDUCERS, reducer("addSession", name=STRING), reducer("tick", False, row=ref(1)),
                reducer("subReadEnv")),
        section(PROCEDURES, procedure("peekOne", ref(0))),
        section(VIEWS, view("allSessions", 0, b"\3" + ref(0))),
        section(SCHEDULES, NONE + bsatn_str("ticks") + u16(1) + bsatn_str("tick")),
        section(SUBMODULES, bsatn_str("deepOne") + deep))
    root = [*types(("Note", product(id=U64, target=U256))), section(TABLES, table("notes", 0, [("notesById", [0])])),
            section(REDUCERS, reducer("init", False), reducer("find", name=STRING), reducer("readEnv")),
            section(LIFECYCLES, b"\0" + bsatn_str("init")),
            section(ENVIRONMENT, bsatn_str("KEY") + b"\0\1"), section(SUBMODULES, bsatn_str(accessor) + auth)]
    if pinned:
        root.append(section(EXPLICIT_NAMES, b"\3" + bsatn_str(accessor) + bsatn_str(pinned)))
    if outbox:
        columns = u16(1) + array([u16(0)])
        root.append(section(OUTBOXES, bsatn_str("notes") + bsatn_str("ping") + columns + NONE + bytes(32)))
    return b"\2" + module(*root)


def program(compiled, description):
    at = compiled.index(MARK) + 16
    return compiled[:at] + u32(len(description)) + description + compiled[at + 4 + len(description):]


def compile_guest():
    out = os.path.join(ROOT, "build", "modules", "parts.wasm")
    os.makedirs(os.path.dirname(out), exist_ok=True)
    subprocess.run(["clang", "--target=wasm32", "-O2", "-nostdlib", "-ffreestanding", "-Wno-int-to-pointer-cast",
                    "-Wno-pointer-to-int-cast", "-Wno-unused-function", "-Wl,--no-entry",
                    "-Wl,-z,stack-size=65536", "-Wl,--stack-first", "-Wl,--strip-all", "-o", out,
                    os.path.join(ROOT, "tests", "modules", "parts", "guest.c")], check=True)
    with open(out, "rb") as f:
        return f.read()


# ---- what is expected ----

def names(test):
    """Canonical names and aliases lead to the same things; nothing else does."""
    found = {"notes": "T0 I5", "my_auth.sessions": "T0 I5", "myAuth.sessions": "T0 I5", "sessions": "T4 I5",
             "my_auth.deep_one.things": "T0 I5", "myAuth.deepOne.things": "T0 I5", "myAuth.deep_one.things": "T4 I5",
             "my_auth.sessions_id_idx_btree": "T4 I0", "myAuth.sessionsById": "T4 I0", "myAuth.byUser": "T4 I0",
             "sessionsById": "T4 I5", "myAuth.deepOne.things_n": "T4 I0", "my_auth.all_sessions": "T0 I5"}
    for name, wanted in found.items():
        test.equal(f"find {name}", test.call("parts", "find", name), (530, wanted))
    rows = test.sql("parts", "SELECT table_name FROM st_table WHERE table_type = 'user'")
    test.equal("tables", sorted(name for name, in rows),
               ["my_auth.all_sessions", "my_auth.deep_one.things", "my_auth.sessions", "my_auth.ticks", "notes"])
    rows = test.sql("parts", "SELECT * FROM st_table_accessor")
    test.check("aliases", isinstance(rows, list) and ["my_auth.sessions", "myAuth.sessions"] in rows, rows)


def calls(test):
    test.equal("by the canonical name", test.call("parts", "my_auth.add_session", "ann")[0], 200)
    for other in ("myAuth.addSession", "myAuth.add_session", "add_session", "my_auth.addSession"):
        test.equal(f"not by {other}", test.call("parts", other, "x")[0], 404)
    test.equal("the deepest", test.call("parts", "my_auth.deep_one.put_thing", 7)[0], 200)
    test.equal("a procedure", test.call("parts", "my_auth.peek_one"), (200, [7, "seven"]))
    test.equal("rows", test.sql("parts", 'SELECT user_name FROM "my_auth.sessions"'), [["tick"], ["ann"]])
    test.equal("rows of the deepest", test.sql("parts", 'SELECT n FROM "my_auth.deep_one.things"'), [[7]])
    test.equal("a view", test.sql("parts", 'SELECT * FROM "my_auth.all_sessions"'), [[1, "tick"], [2, "ann"]])
    test.equal("the module's own environment", test.call("parts", "read_env"), (530, "value"))
    test.equal("not a part's", test.call("parts", "my_auth.sub_read_env"),
               (530, "The instance encountered a fatal error."))


def schedules(test):
    """`init` has put a tick into the part's schedule, which calls the part's reducer."""
    for _ in range(200):
        if test.sql("parts", 'SELECT * FROM "my_auth.sessions"'):
            break
        time.sleep(0.05)
    test.equal("ticked", test.sql("parts", 'SELECT * FROM "my_auth.sessions"'), [[1, "tick"]])
    test.equal("a schedule's row is gone", test.sql("parts", 'SELECT * FROM "my_auth.ticks"'), [])


def subscriptions(test):
    client = Client(test.host.port, "parts", test.token)
    client.receive()
    client.send(struct.pack("<BIII", SUBSCRIBE, 1, 1, 2) + bsatn_str('SELECT * FROM "my_auth.sessions"') +
                bsatn_str('SELECT * FROM "my_auth.all_sessions"'))
    tag, body = client.receive()
    test.check("subscribed", tag == SUBSCRIBED and body.count(bsatn_str("ann")) == 2 and
               bsatn_str("my_auth.sessions") in body, (tag, body))
    client.call("my_auth.add_session", bsatn_str("bob"))
    tag, body = client.receive()
    test.check("the call's own update", body.count(bsatn_str("bob")) == 2, (tag, body))
    client.call("myAuth.addSession", bsatn_str("eve"))
    _, outcome, text = client.result()
    test.check("not by the alias", outcome not in (OK, OK_EMPTY), (outcome, text))
    test.call("parts", "my_auth.add_session", "joe")
    tag, body = client.receive()
    test.check("an update of others", tag == UPDATE and body.count(bsatn_str("joe")) == 2, (tag, body))
    client.close()


def documents(test):
    v9 = test.http("GET", "/v1/database/parts/schema?version=9")[1]
    test.equal("tables of version 9", sorted(t["name"] for t in v9["tables"]),
               ["my_auth.deep_one.things", "my_auth.sessions", "my_auth.ticks", "notes"]
               if any("." in t["name"] for t in v9["tables"]) else ["notes"])
    v10 = {k: v for s in test.http("GET", "/v1/database/parts/schema?version=10")[1]["sections"] for k, v in s.items()}
    part = v10["Submodules"][0]
    inner = {k: v for s in part["module"]["sections"] for k, v in s.items()}
    test.equal("a part's accessor", (part["namespace"], inner["Submodules"][0]["namespace"]), ("myAuth", "deepOne"))
    test.check("a name that conversion gives needs no entry", not [e for e in v10["ExplicitNames"]["entries"]
                                                                 if "Namespace" in e], v10["ExplicitNames"])
    test.equal("its tables", [t["source_name"] for t in inner["Tables"]], ["sessions", "ticks"])


def republishing(test, compiled):
    before = test.sql("parts", 'SELECT * FROM "my_auth.sessions"')
    status, answer = test.publish("parts", program=program(compiled, definition("other")))
    test.check("another canonical name is another table", status == 400 and "client-breaking" in str(answer),
               (status, answer))
    status, answer = test.publish("parts", program=program(compiled, definition("otherAuth", "my_auth")))
    test.equal("another accessor, the same canonical name", status, 200)
    v10 = {k: v for s in test.http("GET", "/v1/database/parts/schema?version=10")[1]["sections"] for k, v in s.items()}
    entry = {"Namespace": {"source_name": "otherAuth", "canonical_name": "my_auth"}}
    test.check("one that it does not give has one", entry in v10["ExplicitNames"]["entries"], v10["ExplicitNames"])
    rows = test.sql("parts", "SELECT accessor_name FROM st_table_accessor WHERE table_name = 'my_auth.sessions'")
    test.equal("its row", rows, [["otherAuth.sessions"]])
    test.equal("its rows stay", test.sql("parts", 'SELECT * FROM "my_auth.sessions"'), before)
    for name, wanted in {"otherAuth.sessions": "T0 I5", "myAuth.sessions": "T4 I5", "otherAuth.byUser": "T4 I0",
                         "myAuth.byUser": "T4 I5", "my_auth.sessions": "T0 I5"}.items():
        test.equal(f"then {name}", test.call("parts", "find", name), (530, wanted))
    test.host.restart()
    test.equal("after a restart", test.call("parts", "find", "otherAuth.sessions"), (530, "T0 I5"))
    test.equal("the old one after a restart", test.call("parts", "find", "myAuth.sessions"), (530, "T4 I5"))


def outboxes(test, compiled):
    status, answer = test.publish("boxes", program=program(compiled, definition(outbox=True)))
    test.check("an outbox is refused", status >= 400 and "outbox" in str(answer), (status, answer))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flavor", default="dev")
    args = parser.parse_args()
    compiled = compile_guest()
    with environment.Test(args.flavor) as test:
        status, answer = test.publish("parts", (SET, "KEY=value"), program=program(compiled, definition()))
        assert status == 200, answer
        for part in (names, schedules, calls, subscriptions, documents):
            part(test)
        republishing(test, compiled)
        outboxes(test, compiled)
    for failure in test.failures:
        print(failure)
    print(f"{test.passed} passed, {len(test.failures)} failed")
    return bool(test.failures)


if __name__ == "__main__":
    sys.exit(main())
