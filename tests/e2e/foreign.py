#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Modules with the imports and exports that official C++ and C# modules have, on every path that loads one.

    tests/e2e/foreign.py [--flavor asan]

The stand-ins (tests/modules/foreign) are C, so what is proven is the order of initialisers, the signatures, and that
exports which the host does not know are left alone. The last line says how many checks passed and failed.
"""

import json
import os
import re
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from host import ROOT  # noqa: E402
from suite import Suite, main  # noqa: E402
from wire import DROP, END, Module, describe, i32  # noqa: E402

SOURCES = os.path.join(ROOT, "tests", "modules", "foreign")
STRING, U32, U64, UNIT = b"\x04", b"\x0b", b"\x0d", b"\x02\0\0\0\0"


def u32(n):
    return struct.pack("<I", n)


def text(s):
    return u32(len(s)) + s.encode()


def array(items):
    return u32(len(items)) + b"".join(items)


def fields(*named):
    return array([b"\0" + text(name) + kind for name, kind in named])


def description():
    """RawModuleDef V10: one table, two reducers, a procedure, a view for everybody, one for each sender, a handler."""
    person = fields(("id", U32), ("name", STRING))
    many = b"\x03\0" + u32(0)  # an array of type 0
    first = array([b"\0\0"])
    index = b"\0" + text("person_id_idx_btree") + b"\0" + text("id") + b"\0" + first
    table = (text("person") + u32(0) + first + array([index]) + array([b"\1\0" + first]) + array([])
             + b"\1" + b"\0" + array([]) + b"\0")
    view = [text(name) + u32(0) + b"\1" + anonymous + fields() + many
            for name, anonymous in (("people", b"\1"), ("my_people", b"\0"))]
    sections = [
        b"\0" + array([b"\2" + person]),
        b"\1" + array([array([]) + text("Person") + u32(0) + b"\0"]),
        b"\2" + array([table]),
        b"\3" + array([text("add") + person + b"\1" + UNIT + STRING, text("trail") + fields() + b"\1" + UNIT + STRING]),
        b"\4" + array([text("count") + fields() + U64 + b"\1"]),
        b"\5" + array(view),
        b"\x0b" + array([text("echo")]),
        b"\x0c" + array([text("echo") + b"\0" + text("/echo")]),
    ]
    return b"\2" + array(sections)


def every_import():
    """The imports up to ABI 10.5: C# modules always have all of them."""
    with open(os.path.join(ROOT, "tests", "unit", "data", "runtime", "abi.h")) as f:
        return re.findall(r'^IMPORT\("10\.[0-5]", (\w+)\)', f.read(), re.M)


def compile_module(folder, source, *flags):
    """The bytes of a guest."""
    with open(os.path.join(folder, "description.h"), "w") as f:
        f.write("static const u8 description[] = {" + ",".join(map(str, description())) + "};\n")
        f.write("__attribute__((used)) static void *const every_import[] = {" +
                ", ".join(f"(void *){name}" for name in every_import()) + "};\n")
    out = os.path.join(folder, "module.wasm")
    subprocess.run(["clang", "--target=wasm32", "-O2", "-nostdlib", "-ffreestanding", "-fno-builtin", "-I", folder,
                    "-Wno-int-to-pointer-cast", "-Wno-pointer-to-int-cast", "-Wl,--no-entry", "-Wl,--export-table",
                    "-Wl,--no-gc-sections", "-Wl,--export=__heap_base", "-Wl,--stack-first", *flags, "-o", out,
                    os.path.join(SOURCES, source)], check=True)
    with open(out, "rb") as f:
        return f.read()


class Foreign(Suite):
    def call(self, name, function, *args):
        return self.request("POST", f"/v1/database/{name}/call/{function}", json.dumps(args).encode())

    def rows(self, name, table):
        status, body = self.request("POST", f"/v1/database/{name}/sql", f"SELECT * FROM {table}".encode())
        return sorted(map(tuple, json.loads(body)[0]["rows"])) if status == 200 else body

    def works(self, name, trail, people):
        """All of its exports."""
        self.equal(f"{name}: initialisers", self.call(name, "trail"), (530, trail))
        self.equal(f"{name}: add", self.call(name, "add", len(people) + 1, "x")[0], 200)
        people.append((len(people) + 1, "x"))
        self.equal(f"{name}: a key twice", self.call(name, "add", 1, "y")[0], 530)
        for table in ("person", "people", "my_people"):
            self.equal(f"{name}: {table}", self.rows(name, table), people)
        self.equal(f"{name}: count", self.call(name, "count"), (200, str(len(people))))
        self.equal(f"{name}: handler", self.request("POST", f"/v1/database/{name}/route/echo", b"hello"),
                   (200, "hello"))

    def run(self):
        programs = {"cpp": ("cpp.c", "<abcdefghijklm!", ()), "mono": ("csharp.c", "asbcde!", ()),
                    "aot": ("csharp.c", "<!", ("-DNATIVE_AOT",))}
        with self.host, tempfile.TemporaryDirectory() as folder:
            self.log_in()
            built, people = {}, {name: [] for name in programs}
            for name, (source, trail, flags) in programs.items():
                built[name] = compile_module(folder, source, *flags)
                missing = [one for one in every_import() if one.encode() not in built[name]]
                self.equal(f"{name}: imports", (len(every_import()) >= 29, missing), (True, []))
                status, body = self.request("PUT", f"/v1/database/{name}", built[name])
                self.equal(f"{name}: publish", (status, body[:300] if status != 200 else ""), (200, ""))
                self.works(name, trail, people[name])
            self.host.kill()
            self.host.start()
            for name, (source, trail, _) in programs.items():
                self.works(name, trail, people[name])
            # From one language to another: the same tables, so an update in place.
            self.equal("an update", self.request("PUT", "/v1/database/cpp", built["mono"])[0], 200)
            self.works("cpp", programs["mono"][1], people["cpp"])
            self.wasi(folder)
            self.features()
            self.equal("the host ends well", self.host.stop(seconds=120), 0)

    def features(self):
        """What compilers and wasm-opt emit beside the first WebAssembly is accepted and runs at publish."""
        bodies = {
            "bulk memory": i32(0x100) + i32(0) + i32(16) + b"\xfc\x0b\0", "sign extension": i32(200) + b"\xc0" + DROP,
            "saturating conversion": b"\x43\0\0\x80\x7f\xfc\0" + DROP, "reference types": b"\xd0\x70" + DROP,
            "SIMD": b"\xfd\x0c" + bytes(16) + b"\xfd\x53" + DROP,
            "blocks with results": b"\x02\x7f" + i32(1) + END + DROP,
        }
        modules = {}
        for what, body in bodies.items():
            modules[what] = Module(describe())
            modules[what].function("__preinit__0", "", "", body)
        modules["several results"] = two = Module(describe())
        two.function("two", "", "ii", i32(1) + i32(2))
        two.function("__preinit__0", "", "", two.call("two") + DROP + DROP)
        modules["tail calls"] = Module(describe())
        last = modules["tail calls"].function("last", "", "", b"")
        modules["tail calls"].function("__preinit__0", "", "", b"\x12" + bytes([last]))
        modules["extended constants"] = Module(describe())
        modules["extended constants"].data.append(b"\0" + i32(0x80) + i32(0x80) + b"\x6a" + END + b"\1x")
        for i, (what, module) in enumerate(modules.items()):
            status, body = self.request("PUT", f"/v1/database/feature-{i}", module.encode())
            self.equal(what, (status, body[:300] if status != 200 else ""), (200, ""))

    def wasi(self, folder):
        """What is not answered inside is no import that the host knows."""
        shim = ["-DWASI"]
        status, body = self.request("PUT", "/v1/database/wasi", compile_module(folder, "csharp.c", *shim))
        self.equal("an import of WASI", (status, "wasi_snapshot_preview1" in body), (500, True))


if __name__ == "__main__":
    sys.exit(main(Foreign, __doc__))
