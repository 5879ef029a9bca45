#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Snapshots, restarts, bounded disk, damage and limits with a real host.

    tests/e2e/durability.py [--flavor dev]       last line: N passed, N failed
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from suite import Suite, main
from host import ROOT, Host

NAME = "notes"
SETTINGS = """[durability]
replay-ms = {replay_ms}
snapshots = 2
log-mb = {log_mb}
{more}[limits]
database-memory-mb = {memory_mb}
database-disk-mb = {disk_mb}
"""


def build_module():
    """The module's bytes, built in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="worldline-notes-") as folder:
        shutil.copytree(os.path.join(ROOT, "tests", "modules", "notes-c"), folder, dirs_exist_ok=True)
        subprocess.run([os.path.join(ROOT, "build", "dev", "worldline"), "build", folder], check=True,
                       stdout=subprocess.DEVNULL)
        with open(os.path.join(folder, "build", "module.wasm"), "rb") as f:
            return f.read()


class Durability(Suite):
    def configure(self, replay_ms=1, log_mb=0, memory_mb=0, disk_mb=0, more=""):
        with open(os.path.join(self.host.data_dir, "config.toml"), "w", encoding="utf-8") as f:
            f.write(SETTINGS.format(replay_ms=replay_ms, log_mb=log_mb, memory_mb=memory_mb, disk_mb=disk_mb,
                                    more=more))

    def call(self, reducer, *arguments):
        return self.request("POST", f"/v1/database/{NAME}/call/{reducer}", json.dumps(arguments).encode())

    def must(self, reducer, *arguments):
        status, text = self.call(reducer, *arguments)
        self.check(f"{reducer}{arguments}", status == 200, f"{status} {text}")

    def totals(self):
        return sorted(self.rows("SELECT * FROM total"))

    def rows(self, query):
        return json.loads(self.request("POST", f"/v1/database/{NAME}/sql", query.encode())[1])[0]["rows"]

    def usage(self):
        return json.loads(self.request("GET", f"/v1/database/{NAME}/usage")[1])

    def folder(self, part):
        return os.path.join(self.host.data_dir, "replicas", "1", part)

    def snapshots(self):
        try:
            return sorted(name for name in os.listdir(self.folder("snapshots")) if name.endswith(".wsnap"))
        except FileNotFoundError:
            return []

    def wait_for(self, what, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.check(what, condition())

    # ---- the parts ----

    def live(self, rounds):
        """Writes, edits, forgets; ids are never given twice."""
        for _ in range(rounds):
            author = self.random.randrange(20)
            choice = self.random.randrange(10)
            if choice < 6:
                self.must("write", author, 1 + self.random.randrange(200), self.random.choice((3, 40, 900)))
            elif choice < 9:
                self.call("edit", self.random.randrange(1, 3000), self.random.randrange(2000))
            else:
                self.must("forget", author)

    def restarts(self):
        """However it ends: the same rows, from snapshot and log."""
        for end in (signal.SIGKILL, signal.SIGTERM) * 3:
            self.live(60)
            before, highest, state = self.totals(), self.highest(), self.state()
            self.host.restart(end)
            self.equal("the same state hash after a restart", self.state(), state)
            self.equal("the same totals after a restart", self.totals(), before)
            self.must("audit")
            self.must("write", 99, 1, 5)
            self.check("no number is given again", self.highest() > highest, f"{self.highest()} after {highest}")
        self.check("there are snapshots", len(self.snapshots()) >= 2, self.snapshots())

    def state(self):
        """The state hash, and those of the tables."""
        answer = json.loads(self.request("GET", f"/v1/database/{NAME}/state-hash")[1])
        return answer["hash"], {table["name"]: (table["rows"], table["hash"]) for table in answer["tables"]}

    def highest(self):
        return max((row[0] for row in self.rows("SELECT id FROM note")), default=0)

    def bounded(self):
        """So many bytes go through the log, so few stay on disk."""
        self.must("forget", 7)
        for _ in range(300):
            self.must("write", 7, 100, 3000)
            self.must("forget", 7)
        taken = len(self.snapshots())
        self.wait_for("the disk is bounded", lambda: self.usage()["disk_bytes"] < 80 << 20)
        self.check("few snapshots stay", taken <= 10, self.snapshots())
        usage = self.usage()
        on_disk = sum(os.path.getsize(os.path.join(self.folder(part), name)) for part in ("log", "snapshots")
                      for name in os.listdir(self.folder(part)))
        self.check("usage says what is there", abs(usage["disk_bytes"] - on_disk) <= 40 << 20, f"{usage} {on_disk}")
        metrics = self.host.request("GET", "/v1/metrics")[1].decode()
        self.check("metrics count snapshots", re.search(r"^worldline_snapshots_total\{.*\} [1-9]", metrics, re.M))

    def archive(self):
        """Nothing of the log is lost: what goes is in the archive."""
        with tempfile.TemporaryDirectory(prefix="worldline-archive-") as folder:
            self.configure(more=f'archive = "{folder}"\n')
            self.host.restart()
            first = min(name for name in os.listdir(self.folder("log")) if name.endswith(".wlog"))
            for _ in range(60):
                self.must("write", 7, 100, 3000)
                self.must("forget", 7)
            self.wait_for("segments are trimmed", lambda: first not in os.listdir(self.folder("log")))
            self.host.stop()
            kept = sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
            held = sorted(name for name in os.listdir(self.folder("log")) if name.endswith(".wlog"))
            numbers = [int(os.path.basename(name)[:10]) for name in kept] + [int(name[:10]) for name in held]
            self.check("archive and log have every segment once", os.path.basename(kept[0]) == first and
                       numbers == list(range(numbers[0], numbers[-1] + 1)), numbers)
            done = subprocess.run([self.host.binary, "log", "verify", os.path.dirname(kept[0])], capture_output=True,
                                  text=True, check=False)
            self.check("the archive is whole", done.returncode == 0, done.stdout + done.stderr)
            self.configure()
            self.host.start()

    def damaged(self):
        """The newest snapshot is damaged: named, and an older one with more of the log gives the same rows."""
        self.configure(log_mb=512)
        self.host.restart()
        count = len(self.snapshots())
        self.live(150)
        self.wait_for("another snapshot", lambda: len(self.snapshots()) > count or self.snapshots()[-1:] > [""])
        before, state = self.totals(), self.state()
        self.host.kill()
        newest = self.snapshots()[-1]
        path = os.path.join(self.folder("snapshots"), newest)
        with open(path, "r+b") as f:
            f.seek(os.path.getsize(path) // 3)
            byte = f.read(1)[0]
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte ^ 4]))
        self.host.start()
        self.equal("the same totals without the newest snapshot", self.totals(), before)
        self.equal("the same state hash, from an older snapshot", self.state(), state)
        self.must("audit")
        self.check("the damage is named", re.search(re.escape(newest) + r": (byte \d+|table \d+)", self.host.log()),
                   self.host.log()[-1500:])
        self.check("the damaged file stays", os.path.exists(path))

    def damaged_log(self):
        """A bit turns in the middle of the log, behind the snapshots: what precedes it opens, the rest is kept."""
        self.configure(replay_ms=100000, log_mb=512)
        self.host.restart()
        for i in range(40):
            self.must("write", 50 + i, 20, 300)
        before = {row[0]: row for row in self.totals()}
        self.host.kill()
        path = self.last_segment()
        with open(path, "rb") as f:
            data = f.read()
        used = len(data.rstrip(b"\0"))
        at = used - 120000
        with open(path, "r+b") as f:
            f.seek(at)
            f.write(bytes([data[at] ^ 1]))
        damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        self.configure(replay_ms=100000, log_mb=512, more="open-damaged = false\n")
        self.host.start()
        status, text = self.call("audit")
        self.check("it stays closed for who wants that", status == 500 or "damaged batch" in text, f"{status} {text}")
        self.check("and nothing is changed", open(path, "rb").read() == damaged)
        self.host.stop()
        self.configure(replay_ms=100000, log_mb=512)
        self.host.start()
        self.must("audit")
        after = {row[0]: row for row in self.totals()}
        lost = sorted(set(before) - set(after))
        self.check("some is lost, from the end", 0 < len(lost) < 40 and lost == list(range(90 - len(lost), 90)) and
                   all(after[key] == before[key] for key in after if key < 50), lost)
        named = r"wlog: byte \d+: damaged batch \(offset \d+\).*transactions from \d+ on"
        self.check("the damage is named", re.search(named, self.host.log()), self.host.log()[-1500:])
        kept = os.path.join(self.folder("log"), "damaged", os.path.basename(path))
        self.check("what is behind is kept", os.path.exists(kept) and open(kept, "rb").read() == damaged)
        self.must("write", 99, 5, 5)
        after = self.totals()
        self.host.restart(signal.SIGKILL)
        self.equal("it goes on from there", self.totals(), after)
        self.must("audit")

    def last_segment(self):
        """The one that is written to."""
        names = sorted(name for name in os.listdir(self.folder("log")) if name.endswith(".wlog"))
        for name in reversed(names):
            with open(os.path.join(self.folder("log"), name), "rb") as f:
                if len(f.read().rstrip(b"\0")) > 200000:
                    return os.path.join(self.folder("log"), name)
        raise RuntimeError("the log is too short")

    def limits(self):
        """What would grow beyond is refused with what to do; everything else goes on."""
        self.configure(memory_mb=4)
        self.host.restart()
        refused = None
        for _ in range(40):
            status, text = self.call("write", 3, 500, 1000)
            if status != 200:
                refused = text
                break
        self.check("memory is limited", refused is not None and "limit of 4 MB of memory" in refused and
                   "limits.database-memory-mb" in refused, refused)
        self.must("edit", self.highest(), 17)
        self.must("audit")
        self.must("forget", 3)
        self.must("audit")
        shown = subprocess.run([self.host.binary, "list", "--server", self.host.url, "--yes"], capture_output=True,
                               text=True, env=dict(os.environ, HOME=self.home), check=False)
        hashed = subprocess.run([self.host.binary, "state-hash", NAME, "--server", self.host.url, "--yes"],
                                capture_output=True, text=True, env=dict(os.environ, HOME=self.home), check=False)
        self.check("state-hash shows it", hashed.stdout.splitlines()[-1:] and self.state()[0] in hashed.stdout,
                   hashed.stdout + hashed.stderr)
        self.check("list shows what it takes", re.search(r"Memory.*Disk.*State", shown.stdout) and
                   re.search(r"[\d.]+ MB of 4.0 MB .* ok", shown.stdout), shown.stdout + shown.stderr)

    def run(self):
        self.random = random.Random(7)
        with tempfile.TemporaryDirectory(prefix="worldline-home-") as self.home, self.host:
            self.configure()
            self.host.restart()
            subprocess.run([self.host.binary, "login", "--server-issued-login", self.host.url],
                           env=dict(os.environ, HOME=self.home), check=True, capture_output=True)
            shown = subprocess.run([self.host.binary, "login", "show", "--token"], capture_output=True, text=True,
                                   env=dict(os.environ, HOME=self.home), check=True)
            self.token = re.search(r"(eyJ[\w.-]+)", shown.stdout).group(1)
            status, text = self.host.request("PUT", f"/v1/database/{NAME}", build_module(), self.token,
                                             "application/wasm")
            self.check("publish", status == 200, text)
            self.restarts()
            self.bounded()
            self.archive()
            self.damaged()
            self.damaged_log()
            self.limits()


if __name__ == "__main__":
    sys.exit(main(Durability, __doc__))
