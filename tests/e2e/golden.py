#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Data folders that earlier versions wrote (tests/golden/): they open, hold what they held, and go on.

    tests/e2e/golden.py [--flavor dev]       last line: N passed, N failed
"""

import glob
import json
import os
import shutil
import signal
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
            before = {row[0] for row in self.rows("SELECT id FROM note")}
            self.request("POST", f"/v1/database/{self.name}/call/write", b"[77, 5, 5]")
            added = {row[0] for row in self.rows("SELECT id FROM note")} - before
            self.check(f"{what}: new rows have new numbers", len(added) == 5 and min(added) > max(before), added)
        shutil.rmtree(folder)

    def run(self):
        self.flavor = os.path.basename(os.path.dirname(self.host.binary))
        archives = sorted(glob.glob(os.path.join(ROOT, "tests", "golden", "format-*.tar.gz")))
        self.check("there are data folders", archives)
        for archive in archives:
            self.one(archive)


if __name__ == "__main__":
    sys.exit(main(Golden, __doc__))
