#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of speed and size: a host and the floor server under the same load, in the same run, row by row.

    bench/run.py [--rows a,b,…] [--seconds T] [--repeat N] [--flavor release] [--strict]

Each figure is the median of the repetitions, the floor measured directly before the host in each of them. bench/run.sh
builds everything first. Needs Python 3.9, nothing else.
"""
import argparse
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ACCOUNTS = 100000
MANY = 4000000
SETTLE_SECONDS = 10
STOP_SECONDS = 60
MIB = 1048576


class Failure(Exception):
    """A row that could not be measured: why."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def memory(pid, field="VmRSS"):
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE).group(1)) * 1024


class Tool:
    """The load generator as a function: `name value` lines become a dictionary."""

    def __init__(self, path):
        self.path = str(path)

    def __call__(self, *arguments, timeout=300):
        done = subprocess.run([self.path, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout, check=False)
        if done.returncode != 0:
            raise Failure(f"load {arguments[0]}: {done.stderr.decode(errors='replace').strip()[-300:]}")
        self.text = done.stdout.decode().strip()
        return dict(line.split(" ", 1) for line in self.text.splitlines() if " " in line)


class Server:
    """A launched process, ended with the block."""

    def __init__(self, load, command, folder, tcp=False):
        self.load, self.command, self.folder, self.tcp = load, command, folder, tcp
        self.pid, self.port, self.first_answer_ms, self.token = None, None, None, None

    def __enter__(self):
        self.start()
        return self

    def start(self):
        self.port = free_port()
        command = [part.replace("{port}", str(self.port)) for part in self.command]
        arguments = ["launch", "--port", self.port, "--log", os.path.join(self.folder, "output.log")]
        answer = self.load(*arguments, *(["--tcp"] if self.tcp else []), *command)
        self.pid, self.first_answer_ms = int(answer["pid"]), float(answer["first_answer_ms"])

    def stop(self):
        """As an administrator would. The launcher is gone, so init reaps it: watch the pid."""
        if self.pid is None:
            return
        pid, self.pid = self.pid, None
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            try:
                state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                return
            if state == "Z":
                return
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
        raise Failure(f"{self.command[0]} did not end on SIGTERM")

    def __exit__(self, *_):
        self.stop()

    def publish(self, module):
        self.load("identity", "--port", self.port)
        self.token = self.load.text
        return self.load("publish", "--port", self.port, "--token", self.token, module)

    def call(self, reducer, arguments="[]"):
        return float(self.load("call", "--port", self.port, "--token", self.token, reducer, arguments,
                               timeout=600)["call_seconds"])


class Bench:
    def __init__(self, options):
        build = ROOT / "build" / options.flavor
        self.options = options
        self.load = Tool(build / "bench" / "load")
        self.host_path, self.floor_path, self.inproc_path = (
            build / "worldline", build / "bench" / "floor", build / "bench" / "inproc")
        self.module = ROOT / "build" / "modules" / "transfer.wasm"
        self.folders, self.lines = [], []
        for needed in (Path(self.load.path), self.host_path, self.module):
            if not needed.exists():
                sys.exit(f"run.py: {needed} is missing: bench/run.sh builds it")

    # ---- servers ----

    def folder(self):
        self.folders.append(tempfile.mkdtemp(prefix="worldline-bench-"))
        return self.folders[-1]

    def host(self, folder=None):
        folder = folder or self.folder()
        return Server(self.load, [str(self.host_path), "start", "--data-dir", folder + "/data", "--jwt-key-dir",
                                  folder + "/keys", "--listen-addr", "127.0.0.1:{port}", "--non-interactive"], folder)

    def floor(self):
        if not self.floor_path.exists():
            return None
        return Server(self.load, [str(self.floor_path), "{port}"], self.folder(), tcp=True)

    def clean(self):
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)

    # ---- measuring ----

    def calls(self, server, *arguments):
        result = self.load("calls", "--port", server.port, "--pid", server.pid, "--seconds", self.options.seconds,
                           "--accounts", ACCOUNTS, *arguments)
        return {name: float(value) for name, value in result.items()}

    def against_floor(self, *arguments):
        """Medians of the host's and the floor's figures."""
        host_runs, floor_runs = [], []
        with self.host() as host:
            host.publish(self.module)
            host.call("seed", f"[{ACCOUNTS},1000000]")
            for _ in range(self.options.repeat):
                floor = self.floor()
                if floor is not None:
                    with floor:
                        floor_runs.append(self.calls(floor, *arguments))
                host_runs.append(self.calls(host, *arguments))
        return median(host_runs), median(floor_runs)

    def row(self, work, value, unit, must, aim, note="", floor=None, digits=2):
        """One line. `must` and `aim` are upper limits in the unit of `value`."""
        verdict = "aim" if value <= aim else "must" if value <= must else "MISSED"
        self.lines.append((work, f"{value:.{digits}f} {unit}", "–" if floor is None else f"{floor:.{digits}f}",
                           f"≤ {must:g}", f"≤ {aim:g}", verdict, note))
        self.show(self.lines[-1])

    def show(self, line):
        print("| " + " | ".join(line) + " |", flush=True)

    # ---- the rows ----

    def deep(self):
        host, floor = self.against_floor("--connections", 64, "--inflight", 40)
        name = "64 × 40, confirmed: CPU per call"
        base = floor.get("cpu_us_per_call")
        self.row(name, host["cpu_us_per_call"], "µs", 1.5, 1.0, call_note(host), base, 3)
        if base:
            self.row("… over the floor", host["cpu_us_per_call"] / base, "×", 6, 6)

    def shallow(self):
        host, floor = self.against_floor("--connections", 64, "--inflight", 1)
        base = floor.get("cpu_us_per_call")
        if base:
            self.row("64 × 1, confirmed: CPU per call over the floor", host["cpu_us_per_call"] / base, "×", 2, 1.5,
                     f"{host['cpu_us_per_call']:.2f} µs, floor {base:.2f} µs; {call_note(host)}")
        else:
            self.row("64 × 1, confirmed: CPU per call", host["cpu_us_per_call"], "µs", 12, 9, call_note(host))

    def single(self):
        host, floor = self.against_floor("--connections", 1, "--inflight", 1, "--unconfirmed")
        self.row("1 × 1, unconfirmed: p50 round trip", host["p50_us"], "µs", 40, 25,
                 f"p99 {host['p99_us']:.0f} µs, {host['cpu_us_per_call']:.1f} µs CPU", floor.get("p50_us"), 1)

    def fanout(self):
        runs = []
        with self.host() as host:
            host.publish(self.module)
            host.call("seed", f"[{ACCOUNTS},1000000]")
            for _ in range(self.options.repeat):
                result = self.load("fanout", "--port", host.port, "--pid", host.pid, "--seconds", self.options.seconds,
                                   "--accounts", ACCOUNTS, "--subscribers", 200, "--inflight", 40)
                runs.append({name: float(value) for name, value in result.items()})
            peak = memory(host.pid, "VmHWM") / MIB
        middle = median(runs)
        self.row("200 subscribers, one writer × 40: CPU per update delivered", middle["cpu_us_per_update"], "µs", 0.6,
                 0.3, f"{middle['updates_per_second'] / 1e6:.2f} M updates/s, all subscribed after "
                 f"{middle['subscribed_ms']:.0f} ms", digits=3)
        self.row("… RSS", max(run["rss_mib"] for run in runs), "MiB", 80, 60, f"peak {peak:.0f} MiB", digits=1)

    def ordered(self):
        self.many("seed", f"[{MANY},1000000]", "in order", 24, 20)

    def random(self):
        self.many("seed_random", f"[{MANY},12345]", "at random", 32, 28)

    def many(self, reducer, arguments, order, must, aim):
        with self.host() as host:
            empty = memory(host.pid)
        with self.host() as host:
            host.publish(self.module)
            micros = host.call(reducer, arguments) / MANY * 1e6
            if reducer == "seed":
                self.row("4 M inserts in one reducer over HTTP: wall per row", micros, "µs", 0.35, 0.25, digits=3)
            self.rows_memory(host, empty, f"keys {order}", must, aim,
                             f"{micros:.3f} µs per insert; peak {memory(host.pid, 'VmHWM') / MIB:.0f} MiB")
            host.stop()
            host.start()
            begin = time.monotonic()
            host.call("nothing")
            opened = time.monotonic() - begin
            self.rows_memory(host, empty, f"keys {order}, after restart", must, aim, f"open after {opened:.2f} s")

    def rows_memory(self, host, empty, what, must, aim, note):
        time.sleep(SETTLE_SECONDS)
        self.row(f"VmRSS per row, {what}", (memory(host.pid) - empty) / MANY, "B", must, aim, note, digits=1)

    def empty(self):
        answers, sizes = [], []
        for _ in range(max(self.options.repeat, 3)):
            with self.host() as host:
                answers.append(host.first_answer_ms)
                time.sleep(0.5)
                sizes.append(memory(host.pid) / MIB)
        self.row("empty host: first answer", statistics.median(answers), "ms", 50, 20, "fresh folder", digits=1)
        self.row("empty host: RSS", statistics.median(sizes), "MiB", 20, 16, digits=1)

    def counts(self):
        if self.inproc_path.exists():
            done = subprocess.run([str(self.inproc_path), str(self.module)], stdout=subprocess.PIPE, check=True)
            result = dict(line.split(" ", 1) for line in done.stdout.decode().splitlines())
            self.row("allocations per transaction", float(result["allocations_per_call"]), "", 0, 0,
                     f"executor alone: {float(result['cpu_nanos_per_call']):.0f} ns per call", digits=4)
        with self.host() as host:
            host.publish(self.module)
            host.call("seed", f"[{ACCOUNTS},1000000]")
            result = self.calls(host, "--syscalls", "--connections", 64, "--inflight", 40)
        self.row("64 × 40: system calls per call", result["syscalls_per_call"], "", 0.1, 0.05, digits=3)


ROWS = ["deep", "shallow", "single", "fanout", "ordered", "random", "empty", "counts"]


def median(runs):
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]} if runs else {}


def call_note(run):
    return f"{run['calls_per_second'] / 1e3:.0f} k calls/s, p99 {run['p99_us'] / 1e3:.1f} ms"


def machine():
    load = os.getloadavg()[0]
    text = f"{os.cpu_count()} cores, Linux {os.uname().release}, load {load:.2f} before the start"
    return text + (" (the machine is busy: figures are worth little)" if load > 1 else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS), help="of " + ", ".join(ROWS))
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--flavor", default="release")
    parser.add_argument("--strict", action="store_true", help="fail when a `must` is missed")
    options = parser.parse_args()
    bench = Bench(options)
    print(machine() + "\n")
    bench.show(("work", "measured", "floor", "must", "aim", "reached", ""))
    print("|---" * 7 + "|")
    failed = False
    try:
        for name in options.rows.split(","):
            if name not in ROWS:
                parser.error(f"no row {name}")
            try:
                getattr(bench, name)()
            except (Failure, subprocess.SubprocessError) as why:
                failed = True
                bench.show((name, "not measured", "–", "", "", "FAILED", str(why).replace("\n", " ")))
    finally:
        bench.clean()
    missed = any(line[5] == "MISSED" for line in bench.lines)
    return 1 if failed or (options.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
