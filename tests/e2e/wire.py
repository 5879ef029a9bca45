# SPDX-License-Identifier: Apache-2.0
"""Bytes as a hostile peer sends them: raw HTTP and WebSocket, BSATN, and WebAssembly modules made by hand.

Nothing here checks what it sends; that is the point. Only the standard library.
"""

import base64
import os
import socket
import struct
import time


# ---- numbers and BSATN ----
def u8(n):
    return struct.pack("<B", n)


def u16(n):
    return struct.pack("<H", n)


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


def text(s):
    raw = s if isinstance(s, bytes) else s.encode()
    return u32(len(raw)) + raw


def array(items):
    return u32(len(items)) + b"".join(items)


# ---- HTTP ----
def connect(port, seconds=20, receive_buffer=None):
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(seconds)
    sock.connect(("127.0.0.1", port))
    return sock


def receive_all(sock, limit=1 << 24):
    """All until the end of the stream; a reset or a timeout ends it too (b"" has then been all)."""
    got = b""
    try:
        while len(got) < limit:
            piece = sock.recv(65536)
            if not piece:
                break
            got += piece
    except OSError:
        pass
    return got


def exchange(port, raw, seconds=20, half_close=False):
    """What comes back for these bytes until the peer closes."""
    with connect(port, seconds) as sock:
        try:
            sock.sendall(raw)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return receive_all(sock)


def status_of(answer):
    parts = answer.split(b" ", 2)
    return int(parts[1]) if len(parts) > 1 and parts[0].startswith(b"HTTP/") else None


# ---- WebSocket ----
class Gone(Exception):
    """The peer closed; `code` is None without a Close frame."""

    def __init__(self, code=None, reason=b""):
        super().__init__(f"closed: {code} {reason!r}")
        self.code = code
        self.reason = reason


class Client:
    """One WebSocket connection, v2 unless told otherwise. `recv` gives the next message's bytes, tag cut off."""

    def __init__(self, port, database, protocol="v2.bsatn.spacetimedb", query="compression=None", token=None,
                 seconds=20, receive_buffer=None, wait=True):
        self.sock = connect(port, seconds, receive_buffer)
        self.pending = bytearray()
        head = (f"GET /v1/database/{database}/subscribe?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {protocol}\r\n"
                f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n")
        if token:
            head += f"Authorization: Bearer {token}\r\n"
        self.sock.sendall(head.encode() + b"\r\n")
        self.head = b""
        if wait:
            self.handshake()

    def handshake(self):
        while b"\r\n\r\n" not in self.pending:
            piece = self.sock.recv(65536)
            if not piece:
                raise Gone()
            self.pending += piece
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        self.head = bytes(head)
        if status_of(self.head) != 101:
            raise Gone(status_of(self.head), bytes(self.pending))

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # out
    def frame(self, payload, opcode=2, final=True, masked=True, reserved=0, declared=None):
        first = (0x80 if final else 0) | reserved << 4 | opcode
        size = len(payload) if declared is None else declared
        mark = 0x80 if masked else 0
        if size < 126:
            head = bytes([first, mark | size])
        elif size < 65536:
            head = bytes([first, mark | 126]) + struct.pack(">H", size)
        else:
            head = bytes([first, mark | 127]) + struct.pack(">Q", size)
        return head + (b"\0\0\0\0" if masked else b"") + payload

    def send(self, payload, **how):
        self.sock.sendall(self.frame(payload, **how))

    # in
    def exactly(self, count):
        while len(self.pending) < count:
            try:
                piece = self.sock.recv(max(count - len(self.pending), 1 << 16))
            except ConnectionError:
                piece = b""
            if not piece:
                raise Gone()
            self.pending += piece
        out = bytes(self.pending[:count])
        del self.pending[:count]
        return out

    def recv(self):
        whole = b""
        while True:
            first, second = self.exactly(2)
            size = second & 0x7f
            if size == 126:
                size = struct.unpack(">H", self.exactly(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.exactly(8))[0]
            payload = self.exactly(size)
            opcode = first & 15
            if opcode == 8:
                raise Gone(struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005, payload[2:])
            if opcode == 9:
                self.sock.sendall(self.frame(payload, opcode=10))
                continue
            if opcode == 10:
                continue
            whole += payload
            if first & 0x80:
                return whole[1:]

    def end(self):
        """Reads until the connection is over; how it was."""
        try:
            while True:
                self.recv()
        except Gone as gone:
            return gone
        except ConnectionError:
            return Gone()


def call(name, args=b"", request=1, flags=0):
    return b"\3" + u32(request) + u8(flags) + text(name) + text(args)


def procedure(name, args=b"", request=1):
    return b"\4" + u32(request) + b"\0" + text(name) + text(args)


def subscribe(queries, request=1, query_set=1):
    return b"\0" + u32(request) + u32(query_set) + array([text(q) for q in queries])


def unsubscribe(query_set=1, request=1, flags=0):
    return b"\1" + u32(request) + u32(query_set) + u8(flags)


def one_off(query, request=1):
    return b"\2" + u32(request) + text(query)


# ---- module descriptions (V10) ----
U8, U32, U64, I64, STRING = b"\7", b"\x0b", b"\x0d", b"\x0c", b"\4"
BYTES = b"\3" + U8


def optional(value):
    return b"\1" if value is None else b"\0" + value


def product(elements):
    return array([optional(text(name)) + kind for name, kind in elements])


def typespace(types):
    return array([b"\2" + t if not isinstance(t, tuple) else t[0] for t in types])


def table(name, ref, key=None, access=0, indexes=None, sequences=(), constraints=None, event=False):
    cols = array([u16(key)]) if key is not None else array([])
    if indexes is None:
        indexes = [(f"{name}_{key}_idx", b"\0" + array([u16(key)]))] if key is not None else []
    if constraints is None:
        constraints = [(f"{name}_{key}_key", b"\0" + array([u16(key)]))] if key is not None else []
    return (text(name) + u32(ref) + cols
            + array([optional(text(n)) + optional(text(n)) + algorithm for n, algorithm in indexes])
            + array([optional(text(n)) + data for n, data in constraints]) + array(list(sequences))
            + b"\1" + u8(access) + array([]) + u8(event))


def reducer(name, params=(), visibility=1):
    return text(name) + product(params) + u8(visibility) + b"\2" + array([]) + STRING


def describe(types=(), tables=(), reducers=(), lifecycle=(), procedures=(), more=()):
    names = [array([]) + text(f"T{i}") + u32(i) + b"\1" for i in range(len(types))]
    sections = [b"\0" + typespace(types), b"\1" + array(names), b"\2" + array(list(tables)),
                b"\3" + array(list(reducers))]
    if procedures:
        sections.append(b"\4" + array(list(procedures)))
    if lifecycle:
        sections.append(b"\7" + array([u8(kind) + text(name) for kind, name in lifecycle]))
    sections.append(b"\x09\0")
    return b"\2" + array(sections + list(more))


# ---- WebAssembly ----
def leb(n):
    out = b""
    while True:
        low = n & 0x7f
        n >>= 7
        if (n == 0 and not low & 0x40) or (n == -1 and low & 0x40):
            return out + bytes([low])
        out += bytes([low | 0x80])


def uleb(n):
    out = b""
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def vec(items):
    return uleb(len(items)) + b"".join(items)


def name(s):
    raw = s if isinstance(s, bytes) else s.encode()
    return uleb(len(raw)) + raw


def section(number, body):
    return bytes([number]) + uleb(len(body)) + body


I32T, I64T = b"\x7f", b"\x7e"
KINDS = {"i": I32T, "I": I64T}


def signature(params, results=""):
    return b"\x60" + vec([KINDS[c] for c in params]) + vec([KINDS[c] for c in results])


CALL_REDUCER = ("iIIIIIIIii", "i")
UNREACHABLE, END, DROP, RETURN = b"\0", b"\x0b", b"\x1a", b"\x0f"
FOREVER = b"\x03\x40\x0c\x00\x0b"  # loop br 0 end


def i32(n):
    return b"\x41" + leb(n if n < 1 << 31 else n - (1 << 32))


def i64(n):
    return b"\x42" + leb(n)


def get(index):
    return b"\x20" + uleb(index)


def put(index):
    return b"\x21" + uleb(index)


def loop(body):
    """Again and again; leave it by a trap or a return."""
    return b"\x03\x40" + body + b"\x0c\x00\x0b"


def when(condition, body):
    return condition + b"\x04\x40" + body + b"\x0b"


IMPORTS = {
    "table_id_from_name": ("spacetime_10.0", "iii", "i"),
    "datastore_table_scan_bsatn": ("spacetime_10.0", "ii", "i"),
    "datastore_index_scan_range_bsatn": ("spacetime_10.0", "iiiiiiiii", "i"),
    "row_iter_bsatn_advance": ("spacetime_10.0", "iii", "i"),
    "datastore_insert_bsatn": ("spacetime_10.0", "iii", "i"),
    "datastore_update_bsatn": ("spacetime_10.0", "iiii", "i"),
    "datastore_delete_all_by_eq_bsatn": ("spacetime_10.0", "iiii", "i"),
    "datastore_clear": ("spacetime_10.5", "ii", "i"),
    "bytes_sink_write": ("spacetime_10.0", "iii", "i"),
    "bytes_source_read": ("spacetime_10.0", "iii", "i"),
    "console_log": ("spacetime_10.0", "iiiiiiii", ""),
    "console_timer_start": ("spacetime_10.0", "ii", "i"),
    "volatile_nonatomic_schedule_immediate": ("spacetime_10.0", "iiii", ""),
    "identity": ("spacetime_10.0", "i", ""),
}


class Module:
    """A program. Functions get code without its closing `end`; `call` puts an import or function by its name."""

    def __init__(self, description=None, pages=2, pages_max=None):
        self.types, self.imports, self.functions, self.exports = [], [], [], []
        self.index = {}
        self.data = []
        self.pages, self.pages_max = pages, pages_max
        self.start = None
        self.before_code = b""
        self.describe_code = None
        for used in IMPORTS:
            module, params, results = IMPORTS[used]
            self.add_import(module, used, params, results)
        if description is not None:
            self.description(description)

    def type_of(self, params, results):
        kind = signature(params, results)
        if kind not in self.types:
            self.types.append(kind)
        return self.types.index(kind)

    def add_import(self, module, field, params, results=""):
        assert not self.functions
        self.index[field] = len(self.imports)
        self.imports.append(name(module) + name(field) + b"\0" + uleb(self.type_of(params, results)))

    def function(self, title, params, results, code, locals_=(), export=True):
        index = len(self.imports) + len(self.functions)
        self.index[title] = index
        body = vec([uleb(count) + KINDS[kind] for count, kind in locals_]) + code + END
        self.functions.append((self.type_of(params, results), body))
        if export:
            self.export(title, 0, index)
        return index

    def export(self, title, kind, index):
        self.exports.append(name(title) + bytes([kind]) + uleb(index))

    def call(self, title):
        return b"\x10" + uleb(self.index[title])

    def place(self, at, raw):
        self.data.append(b"\0" + i32(at) + END + uleb(len(raw)) + raw)

    def description(self, raw, at=0x10000):
        """Describes itself with these bytes, which lie at `at`; the count at 16."""
        self.pages = max(self.pages, (at + len(raw) + 0xffff) // 0x10000)
        self.place(16, u32(len(raw)))
        self.place(at, raw)
        self.describe_code = get(0) + i32(at) + i32(16) + self.call("bytes_sink_write") + DROP

    def reducers(self, bodies, locals_=()):
        """Bodies by id; each may return with a code, and else 0 is returned. Locals begin at 10."""
        code = b""
        for number, body in enumerate(bodies):
            code += when(get(0) + i32(number) + b"\x46", body)
        self.function("__call_reducer__", *CALL_REDUCER, code + i32(0), locals_)

    def encode(self):
        if self.describe_code is not None and "__describe_module__" not in self.index:
            self.function("__describe_module__", "i", "", self.describe_code)
        if "__call_reducer__" not in self.index:
            self.function("__call_reducer__", *CALL_REDUCER, i32(0))
        limits = b"\0" + uleb(self.pages)
        if self.pages_max is not None:
            limits = b"\1" + uleb(self.pages) + uleb(self.pages_max)
        out = b"\0asm\1\0\0\0" + section(1, vec(self.types)) + section(2, vec(self.imports))
        out += section(3, vec([uleb(kind) for kind, _ in self.functions])) + self.before_code
        out += section(5, vec([limits])) + section(7, vec([name("memory") + b"\2\0"] + self.exports))
        if self.start is not None:
            out += section(8, uleb(self.start))
        out += section(10, vec([uleb(len(body)) + body for _, body in self.functions]))
        return out + section(11, vec(self.data))


def process_rss(pid):
    """Resident bytes of a process, and its peak."""
    found = {}
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(("VmRSS", "VmHWM")):
                found[line[:5]] = int(line.split()[1]) * 1024
    return found["VmRSS"], found["VmHWM"]


def wait_until(condition, seconds=10, step=0.02):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(step)
    return condition()
