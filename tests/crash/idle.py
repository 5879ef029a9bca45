#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What databases that nobody uses cost: memory and disk of a host with many of them.

    tests/crash/idle.py [--count N] [--max-mib N] [--flavor dev]

Publishes N databases of one module, lets them rest, and reads VmRSS; uses every hundredth of them, lets them rest
again; restarts the host and asks each for its row count, as after a night. The last line says how many checks passed
and failed.
"""

import argparse
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from host import ROOT, Host  # noqa: E402

QUIET_SECONDS = 12  # longer than an idle database waits before it gives back what it can


def rss_mib(host):
    with open(f"/proc/{host.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS:"))


def disk_mib(folder):
    return sum(os.lstat(os.path.join(at, name)).st_blocks for at, _, names in os.walk(folder) for name in names) / 2048


def settled(host):
    """VmRSS once it has not fallen for a while."""
    lowest, since = rss_mib(host), time.time()
    while time.time() < since + QUIET_SECONDS:
        time.sleep(0.5)
        now = rss_mib(host)
        if now < lowest - 0.5:
            lowest, since = now, time.time()
    return rss_mib(host)


class Idle:
    def __init__(self, host, count, limit):
        self.host, self.count, self.limit = host, count, limit
        self.passed = self.failed = 0

    def check(self, what, value, limit):
        good = value <= limit
        self.passed += good
        self.failed += not good
        print(f"  {'ok  ' if good else 'FAIL'} {what}: {value:.1f} MiB, {limit} allowed", flush=True)

    def ask(self, method, path, body=None):
        kind = "application/json" if "/call/" in path else None
        status, answer = self.host.request(method, "/v1/database" + path, body, self.token, kind)
        if status != 200:
            raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
        return answer

    def run(self):
        empty = rss_mib(self.host)
        self.token = json.loads(self.host.request("POST", "/v1/identity")[1])["token"]
        folder = os.path.join(ROOT, "tests", "modules", "idle-c")
        subprocess.run([self.host.binary, "build", folder], check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(folder, "build", "module.wasm"), "rb") as f:
            module = f.read()
        begin = time.time()
        for i in range(self.count):
            self.ask("PUT", f"/idle-{i}", module)
        print(f"  {self.count} databases published in {time.time() - begin:.1f} s; the host began with {empty:.1f} MiB "
              f"and has {rss_mib(self.host):.1f}", flush=True)
        self.check("resting", settled(self.host), self.limit)
        self.check("on disk", disk_mib(self.host.data_dir), self.count * 0.75)
        for i in range(0, self.count, 100):
            self.ask("POST", f"/idle-{i}/call/seed", b"[10, 5]")
        self.check("after some were used", settled(self.host), self.limit)
        self.host.restart()
        begin = time.time()
        for i in range(self.count):
            rows = json.loads(self.ask("POST", f"/idle-{i}/sql", b"SELECT COUNT(*) AS n FROM accounts"))[0]["rows"]
            if rows != [[0 if i % 100 else 10]]:
                raise RuntimeError(f"database {i} has {rows}")
        print(f"  all asked after a restart in {time.time() - begin:.1f} s, {rss_mib(self.host):.1f} MiB", flush=True)
        self.check("resting after a restart", settled(self.host), self.limit)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--max-mib", type=float, default=100)
    parser.add_argument("--flavor", default="dev")
    options = parser.parse_args()
    with Host(options.flavor) as host:
        idle = Idle(host, options.count, options.max_mib)
        idle.run()
    print(f"{idle.passed} passed, {idle.failed} failed", flush=True)
    return 1 if idle.failed else 0


if __name__ == "__main__":
    sys.exit(main())
