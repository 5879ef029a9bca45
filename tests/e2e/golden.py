#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Data folders that earlier versions wrote (tests/golden/): they open, hold what they held, and go on.

    tests/e2e/golden.py [--flavor dev]       last line: N passed, N failed
"""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile

from suite import Suite, main
from host import ROOT, Host


class Golden(Suite):
    def rows(self, query):
        status, text = self.request("POST", f"/v1/database/{self.name}/sql", query.encode())
        return sorted(json.loads(text)[0]["rows"]) if status == 200 else text

    def one(self, archive):
        folder = tempfile.mkdtemp(prefix="worldline-golden-")
        with tarfile.open(archive) as f:
            f.extractall(folder)
        data = os.path.join(folder, "data")
        with open(os.path.join(data, "expected.json"), encoding="utf-8") as f:
            expected = json.load(f)
        self.name, what = expected["name"], os.path.basename(archive)
        self.host = Host(self.flavor, data_dir=data)
        with self.host:
            self.log_in()
            for end in (None, signal.SIGKILL, signal.SIGTERM):
                if end is not None:
                    self.host.restart(end)
                for query, rows in expected["rows"].items():
                    self.equal(f"{what}: {query}", self.rows(query), rows)
                audit = self.request("POST", f"/v1/database/{self.name}/call/audit", b"[]")
                self.equal(f"{what}: audit", audit[0], 200)
            self.log_tools(what, os.path.join(data, "replicas", "1"))
            before = {row[0] for row in self.rows("SELECT id FROM note")}
            self.request("POST", f"/v1/database/{self.name}/call/write", b"[77, 5, 5]")
            added = {row[0] for row in self.rows("SELECT id FROM note")} - before
            self.check(f"{what}: new rows have new numbers", len(added) == 5 and min(added) > max(before), added)
        shutil.rmtree(folder)

    def command(self, *arguments):
        done = subprocess.run([self.host.binary, "log", *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def log_tools(self, what, folder):
        """On the files of a host that runs."""
        status, text, _ = self.command("verify", folder)
        whole = re.fullmatch(r"\d+ transactions in \d+ segments are whole\n", text)
        self.check(f"{what}: log verify", status == 0 and whole, text)
        segments = [json.loads(line) for line in self.command("inspect", folder, "--json")[1].splitlines()]
        self.check(f"{what}: log inspect", segments and segments[0]["first"] == 0, segments)
        dumped = self.command("dump", folder, "--from", "1", "--to", "3")[1].splitlines()
        self.equal(f"{what}: log dump", [line.split()[0] for line in dumped], ["1", "2", "3"])
        whole = self.command("dump", folder)[1]
        self.check(f"{what}: what the log holds", "create table 4096 note" in whole and "replace table 4097" in whole,
                   whole[:2000])
        copy = tempfile.mkdtemp(prefix="worldline-golden-")
        shutil.copytree(os.path.join(folder, "log"), os.path.join(copy, "log"))
        path = os.path.join(copy, "log", "0000000001.wlog")
        with open(path, "r+b") as f:
            f.seek(30000)
            byte = f.read(1)[0]
            f.seek(30000)
            f.write(bytes([byte ^ 1]))
        status, text, error = self.command("verify", copy)
        named = re.search(r"0000000001\.wlog: byte \d+: a damaged batch", text)
        self.check(f"{what}: damage is found", status == 1 and named and "damaged" in error, text + error)
        shutil.rmtree(copy)

    def run(self):
        self.flavor = os.path.basename(os.path.dirname(self.host.binary))
        archives = sorted(glob.glob(os.path.join(ROOT, "tests", "golden", "format-*.tar.gz")))
        self.check("there are data folders", archives)
        for archive in archives:
            self.one(archive)


if __name__ == "__main__":
    sys.exit(main(Golden, __doc__))
