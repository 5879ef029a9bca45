#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A file system of 64 MiB that fills up and is freed again, ten times, under a real host.

    tests/crash/full.py [--rounds N] [--flavor dev]

The rest of the file system is taken by a file of ours; a client adds rows until it is told that the database is
read-only. Then: what it asks for is read, what it changes is refused with the reason; when our file goes, calls succeed
again by themselves, and nothing that was confirmed is lost, also where the host was killed while the disk was full.
Needs to mount a tmpfs: as root, or in a namespace of its own. The last line says how much passed and failed.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from host import ROOT, Host  # noqa: E402
import ws  # noqa: E402

# Few in flight: what is appended when the space ends must fit into the segment that is there, or waits unanswered.
SIZE, ROW_BYTES, IN_FLIGHT, DATABASES = "64m", 4000, 4, 2
READ_ONLY = "the database is read-only: there is no space left on its disk"


class Filler:
    """One database, the rows that were confirmed, and a client that adds more."""

    def __init__(self, full, name):
        self.full, self.name, self.next = full, name, 1
        self.asked, self.confirmed = set(), set()
        self.client = None

    def connect(self):
        self.client = ws.Client(self.full.host.port, self.name, self.full.token)

    def ask(self):
        number = self.next
        self.next += 1
        self.asked.add(number)
        name = ws.bsatn_str(f"{number} ".ljust(ROW_BYTES, "x"))
        return self.client.call("add", struct.pack("<Q", number) + name +
                                struct.pack("<HIBq", number, number % 7, number % 3, number)), number

    def add(self):
        """One row; None or why not."""
        _, number = self.ask()
        _, outcome, text = self.client.result()
        if outcome in (ws.OK, ws.OK_EMPTY):
            self.confirmed.add(number)
            return None
        return text

    def fill(self):
        """Until it is refused; the reason."""
        waiting = {}
        while True:
            while len(waiting) < IN_FLIGHT:
                request, number = self.ask()
                waiting[request] = number
            request, outcome, text = self.client.result()
            number = waiting.pop(request)
            if outcome not in (ws.OK, ws.OK_EMPTY):
                for _ in range(len(waiting)):
                    request, outcome, _ = self.client.result()
                    if outcome in (ws.OK, ws.OK_EMPTY):
                        self.confirmed.add(waiting[request])
                return text
            self.confirmed.add(number)

    def rows(self):
        status, answer = self.full.host.request("POST", f"/v1/database/{self.name}/sql", b"SELECT slot FROM item",
                                                self.full.token)
        if status != 200:
            raise RuntimeError(f"sql: {status} {answer[:300]!r}")
        return [row[0] for row in json.loads(answer)[0]["rows"]]


class Full:
    def __init__(self, flavor, folder):
        self.folder = folder
        data_dir = os.path.join(folder, "data")
        os.mkdir(data_dir)
        self.host = Host(flavor, data_dir=data_dir)
        self.host.log_path = folder + "-log.txt"  # elsewhere: the host's own complaints need room
        self.ballast = os.path.join(folder, "ballast")
        self.passed = self.failed = 0

    def check(self, good, what):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print(f"    FAIL {what}", flush=True)

    def take_space(self):
        ballast = os.open(self.ballast, os.O_CREAT | os.O_WRONLY)
        for size in (1 << 20, 1 << 12):
            try:
                while os.write(ballast, b"\0" * size) > 0:
                    pass
            except OSError:
                pass
        os.close(ballast)

    def free_space(self):
        os.remove(self.ballast)

    def resumes(self, filler):
        """Seconds until a call succeeds; None: it does not."""
        begin = time.time()
        while time.time() - begin < 10:
            why = filler.add()
            if why is None:
                return time.time() - begin
            if why != READ_ONLY:
                return None
            time.sleep(0.05)
        return None

    def reads(self, filler):
        slot = min(filler.confirmed)
        filler.client.send(struct.pack("<BI", ws.ONE_OFF, 1 << 30) +
                           ws.bsatn_str(f"SELECT * FROM item WHERE slot = {slot}"))
        while True:
            tag, body = filler.client.receive()
            if tag == ws.ONE_OFF_RESULT:
                return body[4] == 0 and f"{slot} xxx".encode() in body

    def killed(self, filler):
        """The host dies while the disk is full, and opens what it had."""
        self.host.kill()
        self.host.start()
        self.free_space()
        filler.connect()

    def round(self, number, filler, kills):
        before = len(filler.confirmed)
        self.take_space()
        why = filler.fill()
        self.check(why == READ_ONLY, f"refused with {why!r}")
        self.check(self.reads(filler), "a full database can be read")
        self.check(filler.add() == READ_ONLY, "it stays read-only")
        if kills:
            self.killed(filler)
        else:
            self.free_space()
        seconds = self.resumes(filler)
        self.check(seconds is not None, "it resumes by itself")
        there = filler.rows()
        self.check(len(there) == len(set(there)) and filler.confirmed <= set(there) <= filler.asked,
                   f"{len(filler.confirmed - set(there))} confirmed rows are lost, {len(there)} are there, "
                   f"{len(set(there) - filler.asked)} that nobody asked for")
        print(f"  round {number}: {len(filler.confirmed) - before} rows of {filler.name} until it was full, "
              f"{'killed, ' if kills else ''}resumed after {seconds or -1:.2f} s", flush=True)

    def run(self, rounds):
        self.host.start()
        self.token = json.loads(self.host.request("POST", "/v1/identity")[1])["token"]
        with open(os.path.join(ROOT, "build", "guests", "sim1.wasm"), "rb") as f:
            code = f.read()
        fillers = [Filler(self, f"full-{i}") for i in range(DATABASES)]
        for filler in fillers:
            status, answer = self.host.request("PUT", f"/v1/database/{filler.name}", code, self.token)
            if status != 200:
                raise RuntimeError(f"cannot publish: {status} {answer}")
        per_database = (rounds + DATABASES - 1) // DATABASES
        for number in range(rounds):
            filler = fillers[number // per_database]
            if number % per_database == 0:
                filler.connect()
            self.round(number + 1, filler, number % 3 == 2)
        self.host.restart()
        for filler in fillers:
            there = set(filler.rows())
            self.check(filler.confirmed <= there <= filler.asked, f"{filler.name}, opened again at the end")
        self.check(self.host.stop() == 0, "the host ends well")


def mount(folder):
    return subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder],
                          stderr=subprocess.DEVNULL).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--flavor", default="dev")
    parser.add_argument("--inside", action="store_true", help="this is a namespace where mounting is permitted")
    options = parser.parse_args()
    subprocess.run(["sh", "tests/sim/build.sh", "build/guests"], cwd=ROOT, check=True)
    folder = tempfile.mkdtemp(prefix="worldline-full-")
    if not mount(folder):
        os.rmdir(folder)
        inside = ["unshare", "-rm", sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--inside"]
        if not options.inside and subprocess.run(["unshare", "-rm", "true"], stderr=subprocess.DEVNULL).returncode == 0:
            os.execvp(inside[0], inside)
        print("  no file system can be mounted here: nothing was tested\n0 passed, 0 failed")
        return 0
    full = Full(options.flavor, folder)
    try:
        full.run(options.rounds)
    finally:
        if full.host.alive():
            full.host.kill()
        if full.failed:
            print(full.host.log()[-3000:])
        subprocess.run(["umount", folder], check=False)
        os.rmdir(folder)
        if os.path.exists(full.host.log_path):
            os.remove(full.host.log_path)
    print(f"{full.passed} passed, {full.failed} failed")
    return 1 if full.failed else 0


if __name__ == "__main__":
    sys.exit(main())
