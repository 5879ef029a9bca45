#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backups of a live host, brought back; and every command of docs/operations.md.

    tests/e2e/backup.py [--flavor dev]       last line: N passed, N failed
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from suite import Suite, main
from durability import NAME, SETTINGS, build_module
from host import ROOT


def shell_blocks(path):
    """The commands of each ```sh block."""
    blocks, inside = [], False
    with open(path, encoding="utf-8") as f:
        for line in f:
            line = line.rstrip("\n")
            if line.startswith("```"):
                inside = line == "```sh"
                if inside:
                    blocks.append([])
            elif inside:
                blocks[-1].append(line)
    return blocks


class Backups(Suite):
    def call(self, reducer, *arguments):
        return self.request("POST", f"/v1/database/{NAME}/call/{reducer}", json.dumps(arguments).encode())[0] == 200

    def state(self, name=NAME):
        answer = json.loads(self.request("GET", f"/v1/database/{name}/state-hash")[1])
        return answer["offset"], answer["hash"]

    def worldline(self, *arguments):
        done = subprocess.run([self.host.binary, *arguments], capture_output=True, text=True, cwd=self.folder,
                              check=False, timeout=300)
        return done.returncode, done.stdout + done.stderr

    def must(self, what, *arguments):
        status, text = self.worldline(*arguments)
        self.check(what, status == 0, text)
        return text

    def refused(self, what, pattern, *arguments):
        status, text = self.worldline(*arguments)
        self.check(what, status == 1 and re.search(pattern, text), f"{status} {text}")

    def create(self, to="b"):
        return self.must("create", "backup", "create", NAME, to, "--data-dir", self.host.data_dir)

    def verified(self, folder="b"):
        text = self.must("verify", "backup", "verify", folder)
        found = re.search(r"at transaction (\d+) of [\s\S]* state hash ([0-9a-f]{16})", text)
        return (int(found.group(1)), found.group(2)) if found else None

    def work(self, calls):
        for _ in range(calls):
            kind = self.random.choice(["write", "write", "write", "edit", "edit", "forget"])
            arguments = {"write": (self.random.randrange(20), self.random.randrange(1, 60),
                                   self.random.choice((3, 40, 300))),
                         "edit": (self.random.randrange(1, 3000), self.random.randrange(400)),
                         "forget": (self.random.randrange(20),)}[kind]
            self.calls[self.call(kind, *arguments)] += 1  # a note that is not there cannot be edited

    # ---- the parts ----

    def whole(self):
        """At rest: what is verified is what is live; a second backup writes less; the moments between can be had."""
        moments = []
        for _ in range(6):
            self.work(40)
            time.sleep(0.02)
            moments.append((*self.state(), time.time()))
            time.sleep(0.02)
        first = self.create()
        self.equal("a backup is the live state", self.verified(), self.state())
        again = self.create()
        size = [int(re.search(r"written now: (\d+) bytes", text).group(1)) for text in (first, again)]
        self.check("a second one writes what is new", size[1] < size[0] and "in 0 snapshots and 1 segments" in again,
                   (first, again))
        self.work(30)
        self.create()
        self.equal("and goes on", self.verified(), self.state())
        self.moments = moments
        with tempfile.TemporaryDirectory(prefix="worldline-restored-") as other:
            for i, (offset, hash_, when) in enumerate(moments):
                text = self.must("restore to an offset", "backup", "restore", "b", "--data-dir", other, "--to",
                                 str(offset), *(["--replace"] if i else []))
                self.check("that offset's state", f"transaction {offset}," in text and hash_ in text, (hash_, text))
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + f".{int(when % 1 * 1e6):06}Z"
                text = self.must("restore to a time", "backup", "restore", "b", "--data-dir", other, "--to", stamp,
                                 "--replace")
                self.check("that time's state", f"transaction {offset}," in text and hash_ in text,
                           (stamp, hash_, text))
        self.refused("a transaction that is not there", "ends at transaction", "backup", "restore", "b", "--data-dir",
                     os.path.join(self.folder, "none"), "--to", "99999999")
        self.refused("a time before all", "that early", "backup", "restore", "b", "--data-dir",
                     os.path.join(self.folder, "none"), "--to", "2001-01-01T00:00:00Z")
        for nonsense in ("yesterday", "-5", "99999999999999999999", "2026-02-30T00:00:00Z"):
            self.refused("nonsense", "neither", "backup", "restore", "b", "--data-dir",
                         os.path.join(self.folder, "none"), f"--to={nonsense}")

    def under_load(self):
        """Backups while calls and snapshots go on: each is a state that was."""
        seen, stop = {}, threading.Event()

        def calls():
            while not stop.is_set():
                self.work(20)
        threads = [threading.Thread(target=calls) for _ in range(2)]
        for thread in threads:
            thread.start()
        for i in range(8):
            self.create("loaded" if i % 2 else f"loaded-{i}")
            time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join()
        self.create("loaded")
        self.equal("after the load", self.verified("loaded"), self.state())
        for i in range(0, 8, 2):
            at = self.verified(f"loaded-{i}")
            seen[at[0]] = at[1]
        with tempfile.TemporaryDirectory(prefix="worldline-restored-") as other:
            for offset, hash_ in seen.items():
                text = self.must("the same moment from the newest", "backup", "restore", "loaded", "--data-dir", other,
                                 "--to", str(offset), *(["--replace"] if os.listdir(other) else []))
                self.check("is the same state", hash_ in text, (offset, hash_, text))

    def killed(self):
        """A restore that dies anywhere leaves the database that was there, or the new one."""
        folders = os.path.join(self.host.data_dir, "replicas")
        count = len(os.listdir(folders))
        self.host.stop()
        states, seen = {kind: None for kind in ("old", "new")}, {"old": 0, "new": 0}
        self.host.start()
        states["old"] = self.state()[1]
        target = self.moments[2]
        states["new"] = target[1]
        for i in range(12):
            self.host.stop()
            process = subprocess.Popen([self.host.binary, "backup", "restore", "b", "--data-dir", self.host.data_dir,
                                        "--to", str(target[0]), "--replace"], cwd=self.folder,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.004 * i)
            process.kill()
            process.wait()
            self.host.start()
            now = self.state()[1]
            kind = [name for name, state in states.items() if state == now]
            self.check(f"killed after {4 * i} ms", len(kind) > 0, now)
            seen[(kind or ["old"])[0]] += 1
            if kind == ["new"]:
                break
        self.check("some of them were too early", seen["old"] > 0, seen)
        self.host.stop()
        self.must("at last", "backup", "restore", "b", "--data-dir", self.host.data_dir, "--to", str(target[0]),
                  "--replace")
        self.host.start()
        self.equal("it is there", self.state()[1], states["new"])
        self.equal("nothing else is left", len(os.listdir(folders)), count)

    def back(self):
        """In place of the live one, which has gone on; it serves, and goes on as another line of history."""
        before, totals = self.state()[0], self.rows(NAME)
        other = build_module() + b"\x00\x05\x04note"  # a section that means nothing makes another program of it
        status, text = self.host.request("PUT", f"/v1/database/{NAME}", other, self.token, "application/wasm")[:2]
        self.check("another program", status == 200, text)
        self.work(10)
        self.create()
        kept = self.state()
        self.work(50)
        self.refused("a running host", "stop the host", "backup", "restore", "b", "--data-dir", self.host.data_dir,
                     "--replace")
        self.host.stop()
        self.refused("it is there", "--replace", "backup", "restore", "b", "--data-dir", self.host.data_dir)
        self.must("replace", "backup", "restore", "b", "--data-dir", self.host.data_dir, "--replace")
        self.must("a copy", "backup", "restore", "b", "--data-dir", self.host.data_dir, "--name", "copy")
        self.must("before the other program", "backup", "restore", "b", "--data-dir", self.host.data_dir, "--to",
                  str(before), "--name", "earlier")
        self.refused("its name is taken", "another database's", "backup", "restore", "b", "--data-dir",
                     self.host.data_dir, "--name", NAME)
        self.host.start()
        self.equal("the state is back", self.state(), kept)
        self.equal("rows of the copy", self.rows("copy"), self.rows(NAME))
        self.equal("rows of the earlier one", self.rows("earlier"), totals)
        status, text = self.request("POST", "/v1/database/earlier/call/write", b"[3, 2, 40]")
        self.check("it serves", status == 200, text)
        self.work(60)
        state = self.state()
        self.check("it goes on", state[0] > kept[0], state)
        self.host.restart()
        self.equal("and is there after a restart", self.state(), state)
        self.refused("another line of history", "another line of history", "backup", "create", NAME, "b", "--data-dir",
                     self.host.data_dir)
        self.equal("what is refused leaves it whole", self.verified("b"), kept)
        self.refused("another database", "another database", "backup", "create", "copy", "b", "--data-dir",
                     self.host.data_dir)
        self.create("since")
        self.equal("its own backup", self.verified("since"), state)

    def rows(self, name):
        return json.loads(self.request("POST", f"/v1/database/{name}/sql", b"SELECT * FROM total")[1])[0]["rows"]

    def damaged(self):
        """Whatever is changed in a backup is named, or does not matter; it never restores as something else."""
        good = self.verified("since")
        source = os.path.join(self.folder, "since")
        files = [os.path.join(folder, name) for folder, _, names in os.walk(source) for name in names]
        named = 0
        for _ in range(60):
            path = self.random.choice(files)
            with open(path, "rb") as f:
                data = bytearray(f.read())
            at = self.random.randrange(len(data))
            changed = bytearray(data)
            changed[at] ^= 1 << self.random.randrange(8)
            with open(path, "wb") as f:
                f.write(changed)
            status, text = self.worldline("backup", "verify", "since")
            found = re.search(r"at transaction (\d+) of [\s\S]* state hash ([0-9a-f]{16})", text)
            same = status == 0 and found and (int(found.group(1)), found.group(2)) == good
            self.check(f"a flipped bit at {path[len(source):]}:{at}", same or (status == 1 and "Error:" in text), text)
            named += status == 1
            with open(path, "wb") as f:
                f.write(data)
        self.check("damage is found", named > 30, named)
        self.equal("as before", self.verified("since"), good)
        self.refused("no backup", "no backup", "backup", "verify", self.folder)
        self.refused("no database", "no database", "backup", "create", "nobody", "x", "--data-dir", self.host.data_dir)
        self.refused("no data folder", "not the data folder", "backup", "create", NAME, "x", "--data-dir", self.folder)

    def documented(self):
        """The commands of docs/operations.md, as they stand."""
        self.request("DELETE", f"/v1/database/{NAME}")
        self.request("PUT", f"/v1/database/{NAME}", build_module())
        self.work(20)
        home = os.path.join(self.folder, "docs")
        os.makedirs(os.path.join(home, "bin"))
        os.symlink(self.host.binary, os.path.join(home, "bin", "worldline"))
        os.symlink(self.host.data_dir, os.path.join(home, "data"))
        blocks = shell_blocks(os.path.join(ROOT, "docs", "operations.md"))
        self.check("there are commands", len(blocks) > 5, len(blocks))
        for block in blocks:
            stops = any("restore" in line and "--data-dir data" in line for line in block)
            if stops:
                self.host.stop()
            for line in block:
                done = subprocess.run(["bash", "-c", line], cwd=home, capture_output=True, text=True, check=False,
                                      env=dict(os.environ, PATH=os.path.join(home, "bin") + ":" + os.environ["PATH"]))
                self.check(f"docs/operations.md: {line}", done.returncode == 0, done.stdout + done.stderr)
            if stops:
                self.host.start()
                self.state()  # databases open at their first use

    def run(self):
        self.random, self.calls = random.Random(11), [0, 0]
        self.folder = tempfile.mkdtemp(prefix="worldline-backups-")
        try:
            with self.host:
                with open(os.path.join(self.host.data_dir, "config.toml"), "w", encoding="utf-8") as f:
                    f.write(SETTINGS.format(replay_ms=1, log_mb=64, memory_mb=0, disk_mb=0, more=""))
                self.host.restart()
                self.log_in()
                status, text = self.host.request("PUT", f"/v1/database/{NAME}", build_module(), self.token,
                                                 "application/wasm")[:2]
                self.check("publish", status == 200, text)
                self.whole()
                self.under_load()
                self.back()
                self.damaged()
                self.killed()
                self.documented()
                self.check("there was work", self.calls[True] > 300, self.calls)
        finally:
            shutil.rmtree(self.folder)


if __name__ == "__main__":
    sys.exit(main(Backups, __doc__))
