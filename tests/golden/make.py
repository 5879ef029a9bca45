#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/format-N.tar.gz: a data folder as this version writes it, which every later one must open.

    tests/golden/make.py N        not over one that is there: what was written once stays what it is
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from host import ROOT, Host  # noqa: E402

NAME = "golden"


def build(*changes):
    """The module notes-c, with texts replaced."""
    with tempfile.TemporaryDirectory(prefix="worldline-golden-") as folder:
        shutil.copytree(os.path.join(ROOT, "tests", "modules", "notes-c"), folder, dirs_exist_ok=True)
        path = os.path.join(folder, "module.c")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        subprocess.run([os.path.join(ROOT, "build", "dev", "worldline"), "build", folder], check=True,
                       stdout=subprocess.DEVNULL)
        with open(os.path.join(folder, "build", "module.wasm"), "rb") as f:
            return f.read()


def main():
    target = os.path.join(HERE, f"format-{int(sys.argv[1])}.tar.gz")
    if os.path.exists(target):
        sys.exit(f"{target} is there already")
    host = Host("dev")
    with open(os.path.join(host.data_dir, "config.toml"), "w", encoding="utf-8") as f:
        f.write("[durability]\nreplay-ms = 1\nlog-mb = 0\n")
    with host:
        token = json.loads(host.request("POST", "/v1/identity")[1])["token"]

        def call(reducer, *arguments):
            status, text = host.request("POST", f"/v1/database/{NAME}/call/{reducer}", json.dumps(arguments).encode(),
                                        token, "application/json")
            assert status == 200, text

        def publish(program):
            status, text = host.request("PUT", f"/v1/database/{NAME}", program, token, "application/wasm")
            assert status == 200, text

        publish(build())
        for author in range(12):
            call("write", author, 200, 10 * author)
        deadline = time.monotonic() + 20
        while not os.path.isdir(os.path.join(host.data_dir, "replicas", "1", "snapshots")):
            assert time.monotonic() < deadline, "no snapshot was taken"
            call("write", 1, 20, 30)
        time.sleep(1)
        call("edit", 17, 500)
        call("forget", 3)
        publish(build(("	(u64, notes),", "	(u64, notes, INDEX),")))
        for author in range(12, 16):
            call("write", author, 3, 7)
        rows = {query: json.loads(host.request("POST", f"/v1/database/{NAME}/sql", query.encode(), token)[1])[0]["rows"]
                for query in ("SELECT * FROM total", "SELECT id, author FROM note")}
        host.kill()
        with open(os.path.join(host.data_dir, "expected.json"), "w", encoding="utf-8") as f:
            json.dump({"name": NAME, "rows": {query: sorted(found) for query, found in rows.items()}}, f)
        for made_anew in ("cache", "keys", "logs"):
            shutil.rmtree(os.path.join(host.data_dir, made_anew))
        with tarfile.open(target, "w:gz") as archive:
            archive.add(host.data_dir, arcname="data")
        shutil.rmtree(host.data_dir)
    print(target, os.path.getsize(target), "bytes")


if __name__ == "__main__":
    main()
