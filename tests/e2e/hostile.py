# SPDX-License-Identifier: Apache-2.0
"""Attacks on a real host: everything that comes from outside may be hostile.

    python3 tests/e2e/hostile.py [--flavor asan] [NAME ...]      all attacks, or those whose names are given

Each attack says its goal. After each of them the same must hold: the host lives and answers, another database serves
a call, a client that has nothing to do with it is still connected, and no sanitizer has said anything. The last line is
`N passed, N failed`.
"""

import base64
import hashlib
import hmac
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
from host import ROOT, Host  # noqa: E402
from liars import definitions, liars  # noqa: E402
from wire import (  # noqa: E402
    BYTES, DROP, FOREVER, STRING, U8, U64, UNREACHABLE, Client, Gone, Module, array, call, connect, describe, exchange,
    get, i32, i64, loop, one_off, process_rss, product, put, receive_all, reducer, section, status_of, subscribe, table,
    text, u32, u64, uleb, unsubscribe, vec, wait_until, when)

SANITIZERS = {  # what is freed goes back to the system, as it would without them
    "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:allow_user_segv_handler=1:quarantine_size_mb=8:"
                    "allocator_release_to_os_interval_ms=200",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "LSAN_OPTIONS": f"suppressions={ROOT}/tests/lsan.supp",
}
REDUCER_MS = 1000
MANY = 40000
CONFIG = f"[limits]\nreducer-ms = {REDUCER_MS}\nguest-memory-mb = 64\nmodule-log-mb = 4\n"
MIB = 1 << 20


def program(name):
    with open(os.path.join(ROOT, "build", "modules", name + ".wasm"), "rb") as f:
        return f.read()


class Bastion(Host):
    """A host with a database `good`, a client that watches it, and a user who owns everything."""

    def __init__(self, flavor, data_dir=None):
        super().__init__(flavor, data_dir=data_dir, env=SANITIZERS)
        os.makedirs(self.data_dir, exist_ok=True)
        with open(os.path.join(self.data_dir, "config.toml"), "w") as f:
            f.write(CONFIG)
        self.token = None
        self.said = 0

    def settle(self):
        if self.token is None:
            self.token = json.loads(self.request("POST", "/v1/identity")[1])["token"]
            self.publish("good", program("quickstart"))
        self.watch()

    def watch(self):
        self.watcher = Client(self.port, "good", token=self.token, seconds=60)
        self.watcher.recv()
        self.watcher.send(subscribe(["SELECT * FROM person WHERE id = 1"]))
        self.watcher.recv()

    def publish(self, name, code, want=200, **query):
        path = f"/v1/database/{name}" + ("?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else "")
        status, body = self.request("PUT", path, body=code, token=self.token)
        if want is not None:
            expect(status == want, f"publishing {name}: {status} {body[:200]}")
        return status, body

    def call(self, name, function, *arguments):
        return self.request("POST", f"/v1/database/{name}/call/{function}", body=json.dumps(arguments).encode(),
                            token=self.token, content_type="application/json")

    def sql(self, name, query, token=None):
        body = query if isinstance(query, bytes) else query.encode()
        return self.request("POST", f"/v1/database/{name}/sql", body=body, token=token or self.token)

    def count(self, name, of):
        status, body = self.sql(name, f"SELECT COUNT(*) AS n FROM {of}")
        return json.loads(body)[0]["rows"][0][0] if status == 200 else None

    def healthy(self):
        expect(self.alive(), f"the host is dead: {self.process.returncode}\n{self.log()[-8000:]}")
        expect(self.request("GET", "/v1/ping")[0] == 200, "no answer to a ping")
        begin = time.time()
        status, body = self.call("good", "add", "x")
        expect(status == 200, f"another database: {status} {body}")
        expect(time.time() - begin < 5, f"another database took {time.time() - begin:.1f} s")
        self.watcher.send(call("add", text("watched"), 77))
        self.watcher.recv()
        log = self.log()
        for words in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer", "assertion"):
            expect(words not in log, log[-8000:])

    def memory(self):
        return process_rss(self.process.pid)[0]


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


# ---- sockets ----

def frames(host):
    """Illegal frames end a connection without a Close, illegal messages with 1011; lengths cost nothing."""
    def ending(make, protocol="v2.bsatn.spacetimedb"):
        with Client(host.port, "good", protocol=protocol) as client:
            client.recv()
            client.sock.sendall(make(client))
            return client.end().code
    illegal = [dict(declared=1 << 62), dict(declared=(1 << 64) - 1), dict(masked=False), dict(reserved=1),
               dict(reserved=4), dict(opcode=3), dict(opcode=11), dict(opcode=0), dict(opcode=9, final=False)]
    before = host.memory()
    for how in illegal:
        expect(ending(lambda c: c.frame(b"x", **how)) is None, f"{how} must end without a Close")
    expect(host.memory() - before < 64 * MIB, "declared lengths were believed")
    expect(ending(lambda c: c.frame(b"\xff\xfe", opcode=1)) is None, "text that is not UTF-8")
    expect(ending(lambda c: c.frame(b"text", opcode=1)) == 1011, "text on a binary protocol")
    expect(ending(lambda c: c.frame(b"\x03\xe7", opcode=8)) == 1002, "a close code that may not be on the wire")
    expect(ending(lambda c: c.frame(b"", opcode=9) * 1000 + c.frame(b"\x09")) == 1011, "pings, then junk")
    many = 50000
    expect(ending(lambda c: c.frame(b"", final=False) + c.frame(b"", opcode=0, final=False) * many
                  + c.frame(b"\x09", opcode=0)) == 1011, "empty fragments")
    expect(ending(lambda c: c.frame(b"\x09" + bytes((32 << 20) - 1))) == 1011, "32 MiB of junk")
    expect(ending(lambda c: c.frame(b""), "v3.bsatn.spacetimedb") == 1011, "an empty v3 payload")


def messages(host):
    """Every message cut anywhere, and counts that promise what does not come, end with 1011."""
    whole = [call("add", text("abc")), subscribe(["SELECT * FROM person"]), unsubscribe(), one_off("SELECT 1")]
    bad = [message[:n] for message in whole for n in range(len(message))]
    bad += [b"\x09", b"\0" + u32(1) + u32(1) + u32(0xffffffff), b"\0" + u32(1) + u32(1) + u32(1) + u32(0xffffffff),
            b"\3" + u32(1) + b"\0" + text("add") + u32(0xffffffff), b"\3" + u32(1) + b"\7" + text("add") + text(b""),
            one_off(b"\xff"), subscribe([b"\xff"]), b"\3" + u32(1) + b"\0" + text(b"\xff") + text(b"")]
    for message in bad:
        with Client(host.port, "good") as client:
            client.recv()
            client.send(message)
            expect(client.end().code == 1011, f"{message!r} must end with 1011")
    with Client(host.port, "good", protocol="v3.bsatn.spacetimedb") as client:
        client.recv()
        before = host.count("good", "person")
        client.send(call("add", text("one")) + call("add", text("two"))[:-1])
        expect(client.end().code == 1011, "a v3 payload that is cut")
        expect(wait_until(lambda: host.count("good", "person") == before + 1), "what came before the cut takes effect")
    with Client(host.port, "good", wait=False) as client:
        for i in range(300):
            client.send(call("add", text("early"), i))
        client.handshake()
        for _ in range(301):
            client.recv()


def texts(host):
    """JSON on v1: junk, depth, numbers that are too large and messages of other protocols end with 1011."""
    deep = 100000
    bad = [b"", b"null", b"{}", b"[", b"{\"Nope\":{}}", b"[" * deep, b"{\"a\":" * deep, b"1e999999999",
           b'{"CallReducer":{"reducer":"add","args":"[]","request_id":1e300,"flags":0}}',
           b'{"CallReducer":{"reducer":"add","args":"[]","request_id":-1,"flags":0}}',
           b'{"Subscribe":{"query_strings":"x","request_id":1}}', b'{"3":{}}', b'{"9":[]}',
           b'{"OneOffQuery":{"message_id":"0","query_string":""}}', b'"' + b"x" * (8 * MIB)]
    for protocol in ("v1.json.spacetimedb", "v1.bsatn.spacetimedb"):
        for message in bad:
            with Client(host.port, "good", protocol=protocol) as client:
                client.recv()
                client.send(message, opcode=1)
                expect(client.end().code == 1011, f"{message[:80]!r} on {protocol} must end with 1011")
        for message in (b"\x09", b"\1" + u32(0xffffffff), b"\0" + u32(0xfffffff0)):
            with Client(host.port, "good", protocol=protocol) as client:
                client.recv()
                client.send(message)
                expect(client.end().code == 1011, f"{message[:80]!r} on {protocol} must end with 1011")
    with Client(host.port, "good", protocol="v1.json.spacetimedb") as client:
        client.recv()
        args = json.dumps("[" * deep)
        client.send(f'{{"CallReducer":{{"reducer":"add","args":{args},"request_id":1,"flags":0}}}}'.encode(), opcode=1)
        expect(b"invalid arguments for reducer add" in client.recv(), "arguments of great depth")
        query = json.dumps("SELECT * FROM person WHERE " + "(" * 5000)
        client.send(f'{{"OneOffQuery":{{"message_id":"00","query_string":{query}}}}}'.encode(), opcode=1)
        expect(b"recursion limit" in client.recv(), "a query of great depth")


def sessions(host):
    """Of one session one connection lives: newcomers are refused with 4000 until the old one is wholly gone."""
    session = "compression=None&session_id=" + "ab" * 16
    first = Client(host.port, "good", query=session, token=host.token)
    first.recv()
    codes = []
    for _ in range(100):
        second = Client(host.port, "good", query=session, token=host.token)
        try:
            second.recv()
            break
        except Gone as gone:
            codes.append(gone.code)
            time.sleep(0.01)
    expect(codes and set(codes) == {4000}, f"newcomers were refused with {codes}")
    expect(first.end().code is None, "the old connection is dropped")
    second.send(call("add", text("again")))
    second.recv()
    others = [Client(host.port, "good", query=session) for _ in range(20)]  # other identities, other sessions
    for other in others:
        other.recv()
        other.close()
    status, _ = host.request("GET", "/v1/database/good/subscribe?session_id=xyz")
    expect(status == 400, f"a session id that is none: {status}")
    second.close()


def heads(host):
    """HTTP that is none, or too large, or promises too much, gets its status; nothing is kept for it."""
    chunked = b"PUT /v1/database/zz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    cases = [
        (b"\0\1\2 nonsense\r\n\r\n", 400), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /v1/ping HTTP/1.1\r\n" + b"a: b\r\n" * 20000 + b"\r\n", 431),
        (b"POST /v1/ping HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"PUT /v1/database/zz HTTP/1.1\r\nContent-Length: 4611686018427387904\r\n\r\nabc", 413),
        (b"POST /v1/ping HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (chunked + b"ffffffffffffffff\r\nabc", 413), (chunked + b"-1\r\nabc", 400),
        (chunked + b"1;" + b"x" * 100000 + b"\r\na\r\n0\r\n\r\n", 400),
        (b"GET /v1/database/good HTTP/1.1\r\nAuthorization: Bearer \xff\r\n\r\n", 401),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(300), 400),
    ]
    for raw, status in cases:
        got = status_of(exchange(host.port, raw, half_close=True))
        expect(got == status, f"{raw[:60]!r}: {got}, not {status}")
    answer = exchange(host.port, b"GET /v1/ping HTTP/1.1\r\n\r\n" * 2000, half_close=True)
    expect(answer.count(b"HTTP/1.1 200") == 2000, "requests before a half-close are answered, all of them")
    for body in (b"[" * 20000, b'{"a":' * 20000, b'["\xff"]', b'["\\ud800"]', b"[1e999999999]", b"", b"["):
        status, _ = host.request("POST", "/v1/database/good/call/add", body=body, token=host.token,
                                 content_type="application/json")
        expect(status == 400, f"arguments {body[:20]!r}: {status}")
        status, _ = host.request("POST", "/v1/mcp", body=body, token=host.token, content_type="application/json")
        expect(status in (202, 400), f"MCP {body[:20]!r}: {status}")


def floods(host):
    """Thousands of connections, dropped anywhere, leave nothing behind; whoever is half said is waited for, not for
    ever."""
    files = len(os.listdir(f"/proc/{host.process.pid}/fd"))
    for _ in range(2000):
        connect(host.port).close()
    clients = [Client(host.port, "good", wait=False) for _ in range(400)]
    for i, client in enumerate(clients):
        if i % 2 == 0:
            client.handshake()
        if i % 3 == 0:
            client.sock.sendall(client.frame(call("add", text("lost"))) * 20)
        client.close()
    for _ in range(100):
        sock = connect(host.port)
        sock.sendall(b"POST /v1/database/good/call/add HTTP/1.1\r\nContent-Type: application/json\r\n"
                     b"Content-Length: 5\r\n\r\n[\"x\"]")
        sock.close()
    expect(wait_until(lambda: host.count("good", "st_client") == 2, 20), "clients that have gone are still there")
    expect(wait_until(lambda: len(os.listdir(f"/proc/{host.process.pid}/fd")) < files + 50, 20), "sockets are left")


# ---- queries ----

def statements(host):
    """Texts that are made to hurt cost what their length says, in every dialect."""
    deep = "SELECT * FROM person WHERE " + "(" * 20000 + "id = 1" + ")" * 20000
    texts = [deep, "(" * 20000, "SELECT * FROM person WHERE " + "NOT " * 10000 + "id = 1",
             "SELECT * FROM person WHERE id = " + "-" * 30000 + "1", "/*" * 20000, "SELECT '" + "''" * 20000,
             "SELECT * FROM person WHERE " + " OR ".join(["id = 1"] * 9000), "SELECT * FROM person WHERE id = 0x"
             + "f" * 40000, "SELECT * FROM person WHERE name = '" + "x" * 60000 + "'", "SELECT * FROM person\0"]
    for query in texts:
        begin = time.time()
        status, body = host.sql("good", query)
        expect(status == 400, f"{query[:60]!r}: {status} {body[:100]}")
        with Client(host.port, "good") as client:
            client.recv()
            client.send(one_off(query))
            expect(client.recv()[:1] == b"\5", "no answer to a one-off query")
            client.send(subscribe([query]))
            expect(client.recv()[:1] == b"\3", "no error of a subscription")
        expect(time.time() - begin < 3, f"{query[:60]!r} took {time.time() - begin:.1f} s")
    chain = "SELECT * FROM person WHERE id = 999999" + " = true" * 1000
    begin = time.time()
    expect(host.sql("good", chain)[0] == 200, "a long chain of comparisons")
    expect(time.time() - begin < 3, "a chain of comparisons takes twice as long with every link")
    rng = random.Random(1)
    words = ("SELECT * FROM person WHERE id name = < > <= != AND OR NOT ( ) , . ; ' \" 0x 1 -1 1e5 TRUE NULL :sender "
             "JOIN ON COUNT AS LIMIT INSERT INTO VALUES DELETE UPDATE SET SHOW 'a' X'ab' [ ] $1 ? \\ /* --").split(" ")
    for _ in range(300):
        query = " ".join(rng.choice(words) for _ in range(rng.randrange(1, 20)))
        status, _ = host.sql("good", query)
        expect(status in (200, 400, 501), f"{query!r}: {status}")


def subscriptions(host):
    """Subscriptions by the hundred thousand, and queries by the megabyte, meet limits that say so."""
    with Client(host.port, "good", seconds=60) as client:
        client.recv()

        def feed():
            try:
                for i in range(MANY):
                    client.sock.sendall(client.frame(subscribe(["SELECT * FROM person"], i, i)))
            except OSError:
                pass
        feeder = threading.Thread(target=feed)
        feeder.start()
        errors = 0
        try:
            for _ in range(MANY):
                errors += client.recv()[:1] == b"\3"
            expect(errors > MANY - 5000, "a connection may not hold so many")
        except Gone as gone:
            expect(gone.code == 1013, f"closed with {gone.code}")
        client.close()
        feeder.join()
    before = host.memory()
    with Client(host.port, "good", seconds=60) as client:
        client.recv()
        for part in range(4):
            client.send(subscribe([f"SELECT * FROM person WHERE id = {part}{i}" for i in range(60000)], part, part))
            answer = client.recv()
        expect(b"bytes of memory" in answer, f"many small queries: {answer[:200]}")
    with Client(host.port, "good", seconds=60) as client:
        client.recv()
        for part in range(20):
            client.send(subscribe([f"SELECT * FROM person WHERE name = '{part}-{i}'" + " OR name = 'a'" * 1500
                                   for i in range(20)], part, part))
            answer = client.recv()
        expect(b"bytes of memory" in answer or b"longer than" in answer, f"many large queries: {answer[:200]}")
    expect(host.memory() - before < 700 * MIB, "queries are kept without a bound")


def slow_readers(host):
    """Who stops reading is cut off, and slows nobody."""
    writer, reader = Client(host.port, "good", seconds=60), Client(host.port, "good", seconds=60)
    slow = [Client(host.port, "good", receive_buffer=4096) for _ in range(20)]
    for i, client in enumerate([reader, *slow]):
        client.recv()
        client.send(subscribe([f"SELECT * FROM person WHERE id > {1 if i < 12 else i}"]))
    reader.recv()
    writer.recv()
    got = []

    def read():
        try:
            while len(got) < 1200:
                got.append(len(reader.recv()))
        except (Gone, OSError):
            pass
    thread = threading.Thread(target=read)
    thread.start()
    for i in range(1200):
        writer.send(call("add", text("y" * 60000), i))
        writer.recv()
    thread.join(20)
    expect(len(got) == 1200, f"the one that reads got {len(got)} of 1200")
    cut = 0
    for client in slow:
        client.sock.settimeout(5)
        receive_all(client.sock, 1 << 30)
        client.sock.settimeout(0.2)
        try:
            cut += client.sock.recv(1) == b""
        except ConnectionError:
            cut += 1
        except OSError:
            pass
        client.close()
    expect(cut == len(slow), f"{cut} of {len(slow)} slow readers were cut off")
    reader.close()
    writer.close()
    expect(host.sql("good", "DELETE FROM person WHERE id > 1")[0] == 200, "tidying up")


def readers_that_leave(host):
    """What a client wanted to read is not computed once it has gone."""
    host.publish("tables", program("transfer"))
    expect(host.call("tables", "seed", 100000, 1)[0] == 200, "seeding")
    for _ in range(4):
        with Client(host.port, "tables", protocol="v3.bsatn.spacetimedb", receive_buffer=4096) as client:
            client.recv()
            client.send(b"".join(one_off("SELECT * FROM accounts WHERE balance > 0", i) for i in range(3000)))
    begin = time.time()
    expect(host.call("tables", "nothing")[0] == 200, "a call behind them")
    expect(time.time() - begin < 8, f"queries of clients that left kept it for {time.time() - begin:.1f} s")


# ---- modules ----

ROWS = product([("id", U64), ("data", STRING)])


def guest(names, bodies, lifecycle=(), **how):
    """A module with one table, `rows`, and these reducers. Locals: 10 to 13 are i32, 14 and 15 i64."""
    module = Module(describe([ROWS], [table("rows", 0, key=0)], [reducer(n) for n in names], lifecycle), **how)
    module.reducers([body(module) if callable(body) else body for body in bodies], ((4, "i"), (2, "I")))
    return module


def insert_for_ever(size):
    def body(module):
        module.place(0x600, b"rows")
        store = b"\x36\x02\x00"
        step = get(14) + i64(1) + b"\x7c" + put(14) + i32(0x800) + get(14) + b"\x37\x03\x00"
        step += i32(0x808) + i32(size) + store + i32(0x620) + i32(12 + size) + store
        step += i32(0x610) + b"\x28\x02\x00" + i32(0x800) + i32(0x620) + module.call("datastore_insert_bsatn") + DROP
        return i32(0x600) + i32(4) + i32(0x610) + module.call("table_id_from_name") + DROP + loop(step)
    return body


def log_for_ever(module):
    return loop(i32(2) + i32(1) + i32(0) + i32(1) + i32(0) + i32(1) + i32(0x1000) + i32(30000)
                + module.call("console_log"))


def grow_for_ever(module):
    return loop(when(i32(1) + b"\x40\x00" + i32(0xffffffff) + b"\x46", UNREACHABLE))


def call_itself(module):
    return b"".join(get(i) for i in range(10)) + b"\x10" + uleb(len(module.imports)) + DROP


def guests(host):
    """Reducers that never end, never stop growing, never stop writing: they fail, and their database goes on."""
    names = ["forever", "trap", "deep", "grow", "log", "insert", "insert_large", "fine"]
    host.publish("guest", guest(names, [FOREVER, UNREACHABLE, call_itself, grow_for_ever, log_for_ever,
                                        insert_for_ever(1000), insert_for_ever(50000), b""]).encode())
    before = host.memory()
    for name in names[:-1]:
        begin = time.time()
        status, body = host.call("guest", name)
        expect(status == 530, f"{name}: {status} {body[:100]}")
        expect(time.time() - begin < 15, f"{name} took {time.time() - begin:.1f} s")
        expect(host.call("guest", "fine")[0] == 200, f"the database is gone after {name}")
    expect(host.count("guest", "rows") == 0, "a reducer that was stopped left rows")
    size = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, found in os.walk(host.data_dir)
               for name in found if "module_logs" in folder)
    expect(size < 8 * MIB, f"module logs take {size >> 20} MiB")
    expect(wait_until(lambda: host.memory() - before < 1500 * MIB, 10), "memory is not given back")
    host.publish("guest-connect", guest(["a"], [FOREVER], [(1, "a")]).encode())
    expect(host.sql("guest-connect", "SELECT * FROM rows")[0] == 403, "a connect hook that never ends")
    host.publish("guest-leave", guest(["a"], [UNREACHABLE], [(2, "a")]).encode())
    expect(host.sql("guest-leave", "SELECT * FROM rows")[0] == 200, "a disconnect hook that traps")
    expect(host.count("guest-leave", "st_client") == 1, "a client is left behind")


def programs(host):
    """Programs that are none, or that do at publish what they must not, are refused, each with its reason."""
    empty = describe()

    def with_function(title, params, results, code, start=False, **how):
        module = Module(empty, **how)
        index = module.function(title, params, results, code)
        module.start = index if start else None
        return module

    def describing(code):
        module = Module(empty)
        module.function("__describe_module__", "i", "", code(module))
        return module

    def importing(*imports):
        module = Module()
        for one in imports:
            module.add_import(*one)
        module.description(empty)
        return module

    def write(module, at, length_at):
        return get(0) + i32(at) + i32(length_at) + module.call("bytes_sink_write") + DROP
    late = "ran longer than the limit"
    elements = Module(empty)
    elements.before_code = section(4, vec([b"\x70\x00" + uleb(0xffffffff)]))
    nested = b"\2" + array([])
    for _ in range(5000):
        nested = b"\2" + product([("x", nested)])
    twice = [product([("a", b"\0" + u32(i + 1)), ("b", b"\0" + u32(i + 1))]) for i in range(60)]
    twice.append(product([("z", U8)]))
    cases = [
        (b"", "unexpected end-of-file"), (os.urandom(5000), "failed to parse"),
        (Module(empty).encode()[:400], "failed to parse"),
        (with_function("f", "", "", FOREVER, True), late),
        (with_function("f", "", "", UNREACHABLE, True), "unreachable"),
        (with_function("__preinit__1", "", "", FOREVER), late),
        (with_function("__setup__", "i", "i", FOREVER + i32(0)), late), (describing(lambda m: FOREVER), late),
        (describing(lambda m: loop(write(m, 0x10000, 16))), "limit"),
        (describing(lambda m: write(m, 0xffffff0, 16)), "out of bounds pointer"),
        (describing(lambda m: write(m, 0, 16)), "null pointer"),
        (with_function("x", "", "", b"", pages=60000), "memory limits"), (elements, "table limits"),
        (importing(("env", "x", "", "")), "unknown import"),
        (importing(("spacetime_10.0", "identity", "I", "")), "incompatible import type"),
        (importing(("spacetime_99.0", "a", "", "")), "major version"),
        (importing(*[("spacetime_10.0", f"x{i}", "", "") for i in range(5000)]), "unknown import"),
        (guest(["a"], [FOREVER], [(0, "a")]), late), (guest(["a"], [UNREACHABLE], [(0, "a")]), "fatal error"),
        (Module(b"\2" + u32(0xffffffff)), "data too short"), (Module(b"\x09"), "unknown tag"),
        (Module(describe([product([("a", nested)])], [table("t", 0)])), "nested too deeply"),
        (Module(describe(twice, [table("t", 0)])), "too large"),
        (Module(describe([product([(b"\xff", U8)])], [table("t", 0)])), "invalid utf8"),
        (Module(describe([], [table("t", 99)])), "invalid product_type_ref"),
    ]
    for i, (code, reason) in enumerate(cases):
        status, body = host.publish(f"program-{i}", code if isinstance(code, bytes) else code.encode(), None)
        expect(status == 500 and reason.encode() in body, f"case {i}, {reason}: {status} {body[:300]}")
    host.publish("no-columns", Module(describe([product([])], [table("t", 0)])).encode())
    with Client(host.port, "no-columns") as client:
        client.recv()
        client.send(subscribe(["SELECT * FROM t"]))
        expect(client.recv()[:1] == b"\1", "a subscription of a table without columns")


def arguments(host):
    """Values that are deep, endless or without any size."""
    node, unit = b"\0" + u32(0), b"\2" + array([])
    host.publish("arguments", Module(describe([product([("a", b"\3" + node)])], [], [
        reducer("tree", [("x", node)]), reducer("units", [("x", b"\3" + unit)]), reducer("bytes", [("x", BYTES)])]
    )).encode())
    with Client(host.port, "arguments") as client:
        client.recv()
        for name, raw, good in [("tree", u32(1) * 50 + u32(0), True), ("tree", u32(1) * 300000 + u32(0), False),
                                ("units", u32(1000), True), ("units", u32(0xffffffff), False),
                                ("bytes", u32(0xffffffff), False), ("bytes", u32(4) + b"abcd", True),
                                ("bytes", b"", False)]:
            client.send(call(name, raw))
            outcome = client.recv()[13]
            expect((outcome == 0) == good, f"{name} {raw[:8]!r}: {outcome}")
    for body in (b'[' + b'{"a":[' * 100000, b"[" * 100000):
        status, _ = host.request("POST", "/v1/database/arguments/call/tree", body=body, token=host.token,
                                 content_type="application/json")
        expect(status == 400, f"{body[:10]!r}: {status}")


def updates(host):
    """Junk as an update, and other people's requests, change nothing and disconnect nobody."""
    other = json.loads(host.request("POST", "/v1/identity")[1])["token"]
    with Client(host.port, "good", seconds=60) as client:
        client.recv()
        client.send(subscribe(["SELECT * FROM person WHERE id = 1"]))
        client.recv()
        for junk in (b"", b"\0asm", os.urandom(20000), program("quickstart")[:1000], Module(describe()).encode(),
                     Module(describe(), pages=60000).encode()):
            status, body = host.publish("good", junk, None)
            expect(status in (400, 500), f"{junk[:10]!r}: {status} {body[:100]}")
        for method, path, body in (("PUT", "", program("quickstart")), ("DELETE", "", None),
                                   ("PUT", "/reset", program("quickstart")), ("POST", "/lock", None)):
            status, _ = host.request(method, "/v1/database/good" + path, body=body, token=other)
            expect(status == 403, f"{method} {path} of a stranger: {status}")
        client.send(call("add", text("after")))
        expect(client.recv()[:1] == b"\6", "the client")


def removals(host):
    """Deleting and resetting while clients subscribe and call closes each of them with 1001."""
    for method, path in (("DELETE", ""), ("PUT", "/reset")):
        host.publish("gone", program("quickstart"))
        clients = [Client(host.port, "gone") for _ in range(15)]
        for client in clients:
            client.recv()
            client.send(subscribe(["SELECT * FROM person"]))
            client.sock.sendall(b"".join(client.frame(call("add", text("z"), i)) for i in range(50)))
        body = program("quickstart") if path else None
        expect(host.request(method, "/v1/database/gone" + path, body=body, token=host.token)[0] == 200, method)
        for client in clients:
            gone = client.end()
            expect(gone.code == 1001 and gone.reason == b"module exited", f"{method}: {gone}")
            client.close()


def bombs(host):
    """A program that takes hours to compile keeps neither other publishers nor a host that stops."""
    module = Module(describe())
    module.function("f", "", "", (b"\x03\x40" + get(0) + put(1)) * 50000 + b"\x0b" * 50000, ((1000, "i"),))
    outcome = []

    def publish():
        try:
            outcome.append(host.publish("bomb", module.encode(), None)[0])
        except OSError:
            outcome.append(None)
    thread = threading.Thread(target=publish)
    thread.start()
    time.sleep(0.5)
    begin = time.time()
    host.publish("beside", Module(describe()).encode())
    expect(time.time() - begin < 10, "another program had to wait")
    expect(not outcome, "the program did not take long: this test shows nothing")
    expect(host.memory() < 2000 * MIB, "compiling takes the host's memory")
    host.watcher.close()
    begin = time.time()
    expect(host.stop(seconds=30) == 0, "the exit status")
    expect(time.time() - begin < 10, f"stopping took {time.time() - begin:.1f} s")
    thread.join(10)
    host.start()
    host.watch()


def hogs(host):
    """Hundreds of requests that wait for one database hold up neither the others nor a host that stops."""
    host.publish("hog", guest(["forever"], [FOREVER]).encode())
    head = (f"POST /v1/database/hog/call/forever HTTP/1.1\r\nAuthorization: Bearer {host.token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]").encode()
    client = Client(host.port, "hog")
    client.recv()
    host.publish("hog-too", guest(["forever"], [FOREVER]).encode())
    waiting = [connect(host.port) for _ in range(1200)]
    for i, sock in enumerate(waiting):
        sock.sendall(head if i % 4 else head.replace(b"/hog/", b"/hog-too/"))
    client.sock.sendall(client.frame(call("forever")) * 200)
    client.close()
    time.sleep(0.5)
    for _ in range(3):
        begin = time.time()
        expect(host.call("good", "add", "beside")[0] == 200, "a call of another database")
        with Client(host.port, "good") as other:
            other.recv()
        expect(time.time() - begin < 3, f"another database took {time.time() - begin:.1f} s")
    expect(host.request("DELETE", "/v1/database/hog-too", token=host.token)[0] == 200, "removing one of them")
    expect(time.time() - begin < 15, f"removing one of them took {time.time() - begin:.1f} s")
    host.watcher.close()
    begin = time.time()
    expect(host.stop(seconds=60) == 0, "the exit status")
    expect(time.time() - begin < 15, f"stopping took {time.time() - begin:.1f} s")
    for sock in waiting:
        sock.close()
    host.start()
    host.watch()


def tokens(host):
    """Nobody makes a token but the host: not with its public key as a secret, not without a signature."""
    with open(os.path.join(host.data_dir, "keys", "id_ecdsa.pub"), "rb") as f:
        public = f.read()
    claims = json.loads(base64.urlsafe_b64decode(host.token.split(".")[1] + "=="))

    def encoded(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    def token(header, sign, payload=None):
        signed = encoded(json.dumps(header).encode()) + b"." + encoded(json.dumps(payload or claims).encode())
        return (signed + b"." + encoded(sign(signed))).decode()

    def symmetric(key):
        return lambda signed: hmac.new(key, signed, hashlib.sha256).digest()
    head, payload, signature = host.token.split(".")
    forged = [token({"alg": "HS256", "typ": "JWT"}, symmetric(key)) for key in (public, public.strip(), b"")]
    forged += [token({"alg": "none"}, lambda s: b""), token({"alg": "ES256"}, lambda s: bytes(64)),
               token({"alg": "ES256"}, lambda s: b"x" * 9000), token({"alg": "RS256"}, lambda s: b"x" * 256),
               f"{head}.{encoded(json.dumps(dict(claims, sub='somebody')).encode()).decode()}.{signature}",
               host.token + "x", host.token + ".x", head + "." + payload + ".", "." * 5000, "[" * 9000]
    forged += [token({"alg": "ES256"}, lambda s: bytes(64), dict(claims, iss=issuer))
               for issuer in ("http://127.0.0.1", "http://[::1]", "http://169.254.169.254", "file:///etc/passwd")]
    for one in forged:
        status, _ = host.request("GET", "/v1/database/good", token=one)
        expect(status == 401, f"{one[:60]}: {status}")


# ---- files ----

def damage(host):
    """What was written and then changed is named; other databases open, and nothing is silently forgotten."""
    host.publish("hurt", program("transfer"))
    expect(host.call("hurt", "seed", 500, 1)[0] == 200 and host.call("hurt", "nothing")[0] == 200, "seeding")
    people = host.count("good", "person")
    host.watcher.close()
    host.stop()
    kept = host.data_dir + "-kept"
    shutil.copytree(host.data_dir, kept)
    names = [os.path.relpath(os.path.join(folder, name), kept) for folder, _, found in os.walk(kept) for name in found]

    def again(path, change):
        shutil.rmtree(host.data_dir)
        shutil.copytree(kept, host.data_dir)
        with open(os.path.join(host.data_dir, path), "r+b") as f:
            data = bytearray(f.read())
            changed = change(data)
            f.seek(0)
            f.write(data if changed is None else changed)
            f.truncate()

    def flip(at):
        def change(data):
            data[at] ^= 1
        return change

    def starts():
        try:
            host.start()
            time.sleep(0.3)
            return host.alive()
        except RuntimeError:
            return False
    largest = max((n for n in names if n.endswith(".wlog")),
                  key=lambda n: len(open(os.path.join(kept, n), "rb").read().rstrip(b"\0")))
    for path in names:
        if path.startswith(("cache", "programs")) and os.path.getsize(os.path.join(kept, path)) > 100000:
            again(path, flip(5000))
        elif path == largest:
            again(path, flip(2000))
        else:
            continue
        expect(starts(), f"the host must start with a flipped bit in {path}: {host.log()[-800:]}")
        good, hurt = host.count("good", "person"), host.count("hurt", "accounts")
        told = path in host.log() and "the database opens without the transactions from" in host.log()
        if path != largest or not told: # a damaged log may cost what lies behind the damage, and says so
            expect(good in (people, None) and hurt in (500, None), f"{path}: {good} people, {hurt} accounts")
        expect((good, hurt) == (people, 500) or not path.endswith(".code"), f"a cache is only a cache: {path}")
        expect(good == people or hurt == 500, f"{path} hurts more than one program's databases")
        host.stop()
    for change in (lambda data: b"", lambda data: os.urandom(300)):
        again("control.log", change)
        expect(not starts(), "a host that has forgotten all its databases must not start as if it were new")
    for path, change in (("config.toml", lambda data: b"[limits\n\xff"), ("metadata.toml", lambda data: b"\0" * 40),
                         ("keys/id_ecdsa.pub", flip(60))):
        again(path, change)
        expect(not starts(), f"{path} is damaged and the host starts")
    shutil.rmtree(host.data_dir)
    shutil.move(kept, host.data_dir)
    expect(starts(), "the host as it was")
    host.watch()


def full_disk(host):
    """A disk without space makes a database read-only for as long as it lasts; what was confirmed is there."""
    mount = tempfile.mkdtemp(prefix="worldline-small-")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", mount], stderr=subprocess.DEVNULL).returncode:
        print("    (skipped: no right to mount)")
        os.rmdir(mount)
        return
    small = Bastion(os.path.basename(os.path.dirname(host.binary)), data_dir=os.path.join(mount, "data"))
    small.log_path = mount + "-log.txt"
    try:
        small.start()
        small.settle()
        small.publish("filled", program("quickstart"))
        confirmed, refused = [], 0
        for i in range(2000):
            status, body = small.call("filled", "add", f"{i:06}" + "x" * 100000)
            if status == 200:
                confirmed.append(i)
            else:
                expect(b"read-only" in body, f"{status} {body[:200]}")
                refused += 1
                if refused == 5:
                    break
        expect(refused == 5 and len(confirmed) > 50, f"{len(confirmed)} confirmed, {refused} refused")
        small.healthy()
        small.stop(signal.SIGKILL)
        small.start()
        subprocess.run(["mount", "-o", "remount,size=400m", mount], check=True)
        expect(wait_until(lambda: small.call("filled", "add", "again")[0] == 200, 20, 0.3), "it does not resume")
        rows = json.loads(small.sql("filled", "SELECT * FROM person")[1])[0]["rows"]
        missing = set(confirmed) - {int(row[1][:6]) for row in rows if row[1][:6].isdigit()}
        expect(not missing, f"{len(missing)} confirmed rows are lost")
        small.watcher.close()
        expect(small.stop() == 0, "the exit status")
        os.remove(small.log_path)
    finally:
        if small.alive():
            small.kill()
        subprocess.run(["umount", mount])
        os.rmdir(mount)


ATTACKS = [frames, messages, texts, sessions, heads, floods, statements, subscriptions, slow_readers,
           readers_that_leave, guests, programs, liars, definitions, arguments, updates, removals, tokens, full_disk,
           hogs, bombs, damage]


def attack(host, one):
    begin = time.time()
    try:
        one(host)
        host.healthy()
        print(f"  ok   {one.__name__} ({time.time() - begin:.1f} s)", flush=True)
        return True
    except Exception:
        print(f"  FAIL {one.__name__}: {one.__doc__}\n{traceback.format_exc()}", flush=True)
        return False


def main(arguments_given):
    flavor = "asan"
    if arguments_given[:1] == ["--flavor"]:
        flavor, arguments_given = arguments_given[1], arguments_given[2:]
    chosen = [one for one in ATTACKS if not arguments_given or one.__name__ in arguments_given]
    passed = failed = 0
    host = Bastion(flavor)
    host.start()
    host.settle()
    for one in chosen:
        good = attack(host, one)
        passed, failed = passed + good, failed + (not good)
        if not good and not host.alive():
            host.start()
        if not good:
            try:
                host.watcher.close()
                host.watch()
            except (Gone, OSError):
                break
    if host.alive():
        host.watcher.close()
        status = host.stop()
        if status != 0:
            print(f"  FAIL exit status {status}\n{host.log()[-8000:]}")
            failed += 1
    if failed == 0:
        shutil.rmtree(host.data_dir, ignore_errors=True)
        os.remove(host.log_path)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed < len(chosen) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
