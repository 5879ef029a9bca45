#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of speed and size: a host and the floor server under the same load, in the same run, row by row.

    bench/run.py [--rows a,b,…] [--seconds T] [--repeat N] [--flavor release] [--strict] [--updates N]

Each figure is the median of the repetitions, the floor (or what it is compared with) measured directly before the host
in each of them. bench/run.sh builds everything first. Needs Python 3.9, nothing else.
"""
import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from ws import CALL_PROCEDURE, PROCEDURE_RESULT, Client, bsatn_str  # noqa: E402

ACCOUNTS = 100000
MANY = 4000000
BACKUP_BYTES, BACKUP_ROW_BYTES = 1000000000, 500000
LARGE = 1000000          # rows of a large subscription
OWNERS = 10000           # subscribers of one row each
DISTINCT = 1000          # live queries on tables that no commit touches
SOAK_ACCOUNTS = 10000    # few: how many first replies of newcomers are under way at once is chance
SOAK_MIB = 4             # that a host may grow while clients come and go
NAPS, NAP_MS = 1000, 12000
TICKERS, TICKS_A_SECOND, TICK_SECONDS = 1000, 60, 60
DELAY, SKIPPED = "worldline_schedule_delay_seconds", "worldline_schedule_ticks_skipped_total"
SETTLE_SECONDS = 10
CRASH_SECONDS = 10       # of transfers before the host is killed
SNAPSHOT_MS = 150        # of replay after which the next one is taken: they hardly stop
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

    def kill(self):
        pid, self.pid = self.pid, None
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            while True:  # the last of its threads lets go of its locks
                fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
                if fields[0] == "Z" and int(fields[17]) <= 1:
                    break
                time.sleep(0.005)

    def __exit__(self, *_):
        self.stop()

    def publish(self, module):
        self.load("identity", "--port", self.port)
        self.token = self.load.text
        return self.load("publish", "--port", self.port, "--token", self.token, module)

    def call(self, reducer, arguments="[]"):
        return float(self.load("call", "--port", self.port, "--token", self.token, reducer, arguments,
                               timeout=600)["call_seconds"])

    def measured(self, mode, *arguments):
        """What the generator says of this server."""
        return numbers(self.load(mode, "--port", self.port, "--pid", self.pid, "--token", self.token, *arguments))

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/metrics") as answer:
            return answer.read().decode()

    def waits(self, name="worldline_executor_wait_seconds"):
        """The host's own histogram of waits for the executor: upper limit in µs -> messages up to it."""
        found = re.findall(rf'^{name}_bucket\{{db="\w+",le="(.+)"\}} (\d+)$', self.metrics(), re.MULTILINE)
        return {float(limit) * 1e6: int(count) for limit, count in found}

    def metric(self, name):
        return int(re.search(rf'^{name}\{{.*\}} (\d+)$', self.metrics(), re.MULTILINE).group(1))


class Bench:
    def __init__(self, options):
        build = ROOT / "build" / options.flavor
        self.options = options
        self.load = Tool(build / "bench" / "load")
        self.host_path, self.floor_path, self.inproc_path = (
            build / "worldline", build / "bench" / "floor", build / "bench" / "inproc")
        self.query_path = build / "bench" / "query_bench"
        self.guest_path, self.guest = build / "bench" / "guest_bench", build / "bench" / "guest.wasm"
        self.alone_path = build / "bench" / "guest_alone"
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
        return numbers(self.load("calls", "--port", server.port, "--pid", server.pid, "--seconds",
                                 self.options.seconds, "--accounts", ACCOUNTS, *arguments))

    def inproc(self, *arguments):
        """The executor's path alone, on one thread."""
        return numbers(output(self.inproc_path, self.module, *arguments))

    def instructions(self, toggle, *arguments, calls=2000):
        """Of one call, by callgrind, while the function `toggle` runs."""
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                ["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--toggle-collect={toggle}*",
                 f"--callgrind-out-file={folder}/out", str(self.inproc_path), str(self.module), "--warmup", "0",
                 "--calls", str(calls), "--batch", "40", *map(str, arguments)],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False)
        text = done.stdout.decode(errors="replace")
        found = re.search(r"Collected : (\d+)", text)
        if not found or f"calls {calls}" not in text:
            raise Failure(f"callgrind: {text[-500:]}")
        return int(found.group(1)) / calls

    def against_floor(self, *arguments):
        """Medians of the host's and the floor's figures."""
        host_runs, floor_runs = [], []
        with self.seeded() as host:
            for _ in range(self.options.repeat):
                floor = self.floor()
                if floor is not None:
                    with floor:
                        floor_runs.append(self.calls(floor, *arguments))
                host_runs.append(self.calls(host, *arguments))
        return median(host_runs), median(floor_runs)

    def row(self, work, value, unit, must, aim, note="", floor=None, digits=2, at_least=False):
        """One line. `must` and `aim` are limits in the unit of `value`: upper ones, or lower ones (at_least). None: a
        figure without any."""
        limits, verdict = ("", ""), ""
        if must is not None:
            sign = -1 if at_least else 1
            verdict = "aim" if value * sign <= aim * sign else "must" if value * sign <= must * sign else "MISSED"
            limits = tuple(f"{'≥' if at_least else '≤'} {limit:.3g}" for limit in (must, aim))
        self.lines.append((work, f"{value:.{digits}f} {unit}".strip(), "–" if floor is None else f"{floor:.{digits}f}",
                           *limits, verdict, note))
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
        with self.seeded() as host:
            for _ in range(self.options.repeat):
                runs.append(host.measured("fanout", "--seconds", self.options.seconds, "--accounts", ACCOUNTS,
                                          "--subscribers", 200, "--inflight", 40))
            peak = memory(host.pid, "VmHWM") / MIB
        middle = median(runs)
        self.row("200 subscribers, one writer × 40: CPU per update delivered", middle["cpu_us_per_update"], "µs", 0.5,
                 0.3, f"all subscribed after {middle['subscribed_ms']:.0f} ms", digits=3)
        self.row("… updates delivered a second", middle["updates_per_second"] / 1e6, "M", 1.5, 2.4,
                 f"generator {middle['generator_cores']:.2f} cores, server {middle['server_cores']:.2f}", at_least=True)
        self.row("… RSS", max(run["rss_mib"] for run in runs), "MiB", 80, 60, f"peak {peak:.0f} MiB", digits=1)

    def own_rows(self):
        """The limits are those of the work in the database and of a message, times the messages of a transfer."""
        runs = []
        load = ("--seconds", self.options.seconds, "--accounts", ACCOUNTS, "--connections", 64, "--inflight", 40)
        with self.seeded() as host:
            for _ in range(self.options.repeat):
                send = numbers(self.load("sends", "--connections", OWNERS, "--seconds", 1))["cpu_us_per_send"]
                alone = host.measured("calls", *load)["cpu_us_per_call"]
                run = host.measured("fanout", *load, "--subscribers", OWNERS, "--query",
                                    "SELECT * FROM accounts WHERE id = #")
                messages = run["updates"] / run["calls"]
                runs.append({"messages": messages, "alone": alone, "floor": send * messages, "send": send,
                             "added": run["cpu_us_per_update"] * messages - alone, "rss": run["rss_mib"]})
        middle = median(runs)
        messages = middle["messages"]
        self.row(f"{OWNERS:,} × WHERE id = own, under 64 × 40: CPU added to a transfer", middle["added"], "µs",
                 0.2 + 3 * messages, 0.1 + 2 * messages, f"{messages:.3f} messages a transfer; "
                 f"{middle['alone']:.2f} µs without; floor: a bare send to one of so many sockets, "
                 f"{middle['send']:.2f} µs; RSS {middle['rss']:.0f} MiB", middle["floor"])
        self.executor_adds("… on the executor alone", OWNERS, "SELECT * FROM accounts WHERE id = #",
                           0.2 + 3 * messages, 0.1 + 2 * messages)

    def executor_adds(self, work, subscribers, query, must, aim, reducer="transfer", base=None):
        """CPU that live queries add to a call, beside what `base` subscribers of the whole table add: delivery."""
        runs = []
        common = ("--reducer", reducer, "--holders", ACCOUNTS, "--calls", 300000)
        for _ in range(self.options.repeat):
            without = self.inproc(*common, *(["--subscribers", base] if base else []))
            with_them = self.inproc(*common, "--subscribers", subscribers, "--query", query)
            runs.append({"without": without["cpu_nanos_per_call"] / 1e3,
                         "added": (with_them["cpu_nanos_per_call"] - without["cpu_nanos_per_call"]) / 1e3})
        middle = median(runs)
        self.row(work, middle["added"], "µs", must, aim, f"{middle['without']:.2f} µs without"
                 + (", delivery included" if base else ""), digits=3)

    def join_delta(self):
        self.executor_adds("two-table join, one row updated: CPU added, beside delivery", 1,
                           "SELECT accounts.* FROM accounts JOIN holders ON accounts.id = holders.account", 2, 1,
                           reducer="gain", base=1)

    @contextlib.contextmanager
    def in_c(self):
        """The same workload in C, which has views with parameters."""
        folder = ROOT / "tests" / "modules" / "transfer-c"
        subprocess.run([str(ROOT / "build" / self.options.flavor / "worldline"), "build", str(folder)], check=True,
                       stdout=subprocess.DEVNULL)
        module, self.module = self.module, folder / "build" / "module.wasm"
        try:
            yield
        finally:
            self.module = module

    def views(self):
        with self.in_c():
            self.executor_adds("view of one row, which a call changes: CPU of its refresh, beside delivery", 1,
                               "SELECT * FROM account(0)", 1.5, 0.8, reducer="gain", base=1)
            runs = [self.inproc("--calls", 300000)["cpu_nanos_per_call"] / 1e3 for _ in range(self.options.repeat)]
        rust = [self.inproc("--calls", 300000)["cpu_nanos_per_call"] / 1e3 for _ in range(self.options.repeat)]
        self.row("transfer, by a module in C, on the executor", sorted(runs)[len(runs) // 2], "µs", 1.5, 1,
                 f"{sorted(rust)[len(rust) // 2]:.2f} µs by one in Rust", digits=2)

    def untouched(self):
        if shutil.which("valgrind") is None:
            raise Failure("no valgrind")
        alone = self.instructions("driver_transfers")
        queried = self.instructions("driver_transfers", "--subscribers", DISTINCT, "--query",
                                    "SELECT * FROM holders WHERE id = #")
        self.row(f"{DISTINCT:,} distinct queries on an untouched table: instructions added to a commit",
                 queried - alone, "", 50, 0, f"{alone:.0f} without", digits=1)

    def compile(self):
        runs = [numbers(output(self.query_path)) for _ in range(self.options.repeat)]
        middle = median(runs)
        self.row("parse, bind, plan `… WHERE id = 1`", middle["point_nanos"] / 1e3, "µs", 10, 4,
                 f"join {middle['join_nanos'] / 1e3:.1f} µs, a condition of three terms "
                 f"{middle['range_nanos'] / 1e3:.1f} µs")
        runs = [self.inproc("--calls", 1000, "--subscribers", OWNERS, "--query", "SELECT * FROM accounts WHERE id = #")
                for _ in range(self.options.repeat)]
        middle = median(runs)
        self.row(f"{OWNERS:,} queries that differ in a constant: CPU of a whole subscribe",
                 middle["cpu_nanos_per_subscription"] / 1e3, "µs", None, None)
        self.row("… memory of each", middle["bytes_per_subscription"], "B", None, None,
                 f"of which {numbers(output(self.query_path))['point_bytes']:.0f} B the compiled query; its client "
                 f"{middle['bytes_per_client']:.0f} B more on the executor", digits=0)

    def scan_http(self):
        with self.seeded(MANY) as host:
            runs = [host.measured("sql", "SELECT * FROM accounts WHERE balance = 7")
                    for _ in range(4 * self.options.repeat)]
        middle = median(runs)
        self.row("POST /sql, filter over 4 M rows without an index", middle["sql_ms"], "ms", 40, 20,
                 f"{middle['cpu_ms']:.1f} ms CPU", digits=1)

    def subscribe_large(self):
        self.large(LARGE, "SELECT * FROM accounts", "subscribe to a table of 1 M rows", (20, 10), (40, 20))
        self.large(MANY, f"SELECT * FROM accounts WHERE id < {LARGE}", "subscribe to 1 M of 4 M rows by a condition",
                   (None, None), (40, 20))

    def large(self, rows, query, name, first_byte, per_row):
        with self.seeded(rows) as host:
            runs = [host.measured("subscribe", "--query", query) for _ in range(4 * self.options.repeat)]
            peak = memory(host.pid, "VmHWM") / MIB
        middle = median(runs)
        self.row(f"{name}: first byte", middle["first_byte_ms"], "ms", *first_byte,
                 f"last one after {middle['last_byte_ms']:.1f} ms, {middle['bytes'] / 1e6:.1f} MB; host's peak "
                 f"{peak:.0f} MiB", digits=1)
        self.row("… CPU per row", middle["cpu_ms"] * 1e6 / LARGE, "ns", *per_row, digits=1)

    def wait(self):
        """A light load beside readers of much, against the same load alone: the host's histogram of both."""
        runs = []
        with self.seeded(MANY) as host:
            for _ in range(self.options.repeat):
                idle = self.waited(host)
                with Readers(host) as readers:
                    busy = self.waited(host)
                runs.append({"idle": idle[0.99], "busy": busy[0.99], "ratio": busy[0.99] / idle[0.99],
                             "reads": readers.done, "idle50": idle[0.5], "busy50": busy[0.5]})
        middle = median(runs)
        self.row("4 × 1 beside reads of 1 M and 4 M rows: p99 of the executor's wait, over idle", middle["ratio"], "×",
                 1.5, 1.2, f"{middle['idle']:.1f} µs idle, {middle['busy']:.1f} µs beside {middle['reads']:.0f} reads; "
                 f"p50 {middle['idle50']:.1f} and {middle['busy50']:.1f} µs")

    def waited(self, host):
        before = host.waits()
        self.calls(host, "--connections", 4, "--inflight", 1, "--unconfirmed")
        return percentiles(before, host.waits(), (0.5, 0.99))

    def guest_boundary(self):
        runs = [numbers(output(self.guest_path, self.guest, "--rust", self.module)) for _ in range(self.options.repeat)]
        middle = median(runs)
        for name, what, must, aim in (("empty", "reducer that does nothing: entry to exit on the executor", 150, 80),
                                      ("identity", "import `identity`", 40, 20),
                                      ("scan", "imports: point scan and advance, 100,000 rows", 150, 100),
                                      ("update", "import: update, 100,000 rows", 150, 100)):
            self.row(what, middle[f"{name}_nanos"], "ns", must, aim, digits=1)
        with self.in_c():
            runs = [numbers(output(self.alone_path, self.module)) for _ in range(self.options.repeat)]
        alone = median(runs)
        self.row("transfer, by a module in C: the guest's share, entry and crossings included",
                 alone["transfer_guest_nanos"] / 1e3, "µs", 0.25, 0.25,
                 f"{alone['transfer_crossings']:.0f} imports, which answer at once", digits=3)
        for name, must in (("rust", 300), ("c", 80)):
            self.row(f"instance ready, describe included: {name.capitalize()} module",
                     middle[f"{name}_instance_micros"], "µs", must, must, digits=1)

    def publish_cached(self):
        """A host that has compiled the module in another life, and has no database of it open."""
        size = self.module.stat().st_size
        runs = []
        for _ in range(max(self.options.repeat, 3)):
            with self.host() as host:
                host.publish(self.module)
                host.stop()
                host.start()
                host.load("publish", "--port", host.port, "--token", host.token, "--database", "first",
                          self.guest_module())  # the disk, the engine and the log's threads are awake
                runs.append({"ms": float(host.load("publish", "--port", host.port, "--token", host.token,
                                                   "--database", "another", self.module)["publish_seconds"]) * 1e3})
        self.row(f"publish of a module of {size // 1000} KB from the code cache", median(runs)["ms"], "ms", 5, 5,
                 "over HTTP, until it is durable", digits=1)

    def guest_module(self):
        path = os.path.join(self.folder(), "guest.wasm")
        output(self.guest_path, self.guest, "--write", path)
        return path

    def procedures(self):
        """Memory of procedures that sleep, and what reducers beside them cost."""
        for name, module, must in (("Rust", ROOT / "build" / "modules" / "work.wasm", 192),
                                   ("C", self.guest_module(), 64)):
            with self.host() as host:
                host.publish(module)
                with Sleepers(host, 1):
                    before = memory(host.pid)
                with Sleepers(host, NAPS):
                    grown = memory(host.pid) - before
            self.row(f"{NAPS:,} procedures asleep, {name} module: memory of each", grown / NAPS / 1024, "KiB", must,
                     must, digits=1)
        load = ("--connections", 64, "--inflight", 40)
        runs = []
        with self.seeded() as host:
            host.load("publish", "--port", host.port, "--token", host.token, "--database", "asleep",
                      self.guest_module())
            for _ in range(self.options.repeat):
                alone = self.calls(host, *load)["cpu_us_per_call"]
                with Sleepers(host, NAPS, "asleep"):
                    runs.append({"alone": alone, "beside": self.calls(host, *load)["cpu_us_per_call"]})
        middle = median(runs)
        self.row("… 64 × 40 beside them: CPU per call", middle["beside"], "µs", None, None,
                 f"{middle['alone']:.3f} µs without them", digits=3)

    def schedules(self):
        """Lateness by the host's own histogram; ticks counted by the module, and skipped ones by the host."""
        seconds = max(self.options.seconds, TICK_SECONDS)
        micros = 1000000 // TICKS_A_SECOND
        with self.seeded() as host:
            host.call("start_tickers", f"[{TICKERS},{micros}]")
            time.sleep(1)
            before, skipped = host.waits(DELAY), host.metric(SKIPPED)
            run = numbers(self.load("calls", "--port", host.port, "--pid", host.pid, "--seconds", seconds,
                                    "--accounts", ACCOUNTS, "--connections", 64, "--inflight", 40))
            after, skipped = host.waits(DELAY), host.metric(SKIPPED) - skipped
            late = percentiles(before, after, (0.5, 0.99))
            ticks = max(after.values()) - max(before.values(), default=0)
            host.call("stop_tickers")
        self.row(f"{TICKERS:,} rows at {TICKS_A_SECOND} Hz beside 64 × 40: p99 lateness", late[0.99] / 1000, "ms", 5, 5,
                 f"{ticks} ticks in {seconds:.0f} s, p50 {late[0.5] / 1000:.2f} ms; beside them {call_note(run)}")
        self.row("… ticks skipped", skipped, "", 0, 0, digits=0)

    def soak(self):
        """Updates to clients that come and go; the host must not grow once it is warm."""
        with self.seeded(SOAK_ACCOUNTS) as host:
            arguments = ("--seconds", 36000, "--accounts", SOAK_ACCOUNTS, "--subscribers", 50, "--inflight", 40,
                         "--churn", max(self.options.updates // 1000, 1))
            host.measured("fanout", *arguments, "--updates", self.options.updates // 5)
            samples = Samples(host.pid)
            with samples:
                result = host.measured("fanout", *arguments, "--updates", self.options.updates)
        sizes = samples.sizes
        steps = " ".join(f"{sizes[i * (len(sizes) - 1) // 9]:.1f}" for i in range(10))
        self.row(f"{result['updates'] / 1e6:.0f} M updates, {result['replaced']:.0f} clients replaced: growth of RSS",
                 max(max(sizes) - max(sizes[:len(sizes) // 10 + 1]), 0), "MiB", SOAK_MIB, SOAK_MIB / 2,
                 f"after a fifth as warm-up; MiB over time: {steps}")

    def seeded(self, rows=ACCOUNTS):
        """A host with so many accounts, to be used with `with`."""
        return Seeded(self, rows)

    def ordered(self):
        self.many("seed", f"[{MANY},1000000]", "in order", 24, 20)

    def random(self):
        self.many("seed_random", f"[{MANY},12345]", "at random", 32, 28)

    def restart(self):
        """kill -9 after transfers among 4 M accounts; and with keys in random order, without transfers."""
        for reducer, arguments, order in (("seed", f"[{MANY},1000000]", "in order"),
                                          ("seed_random", f"[{MANY},12345]", "at random")):
            with self.host() as host:
                empty = memory(host.pid)
            with self.host() as host:
                host.publish(self.module)
                host.call(reducer, arguments)
                note = "no transfers"
                if reducer == "seed":
                    run = self.load("calls", "--port", host.port, "--pid", host.pid, "--seconds", CRASH_SECONDS,
                                    "--accounts", MANY, "--connections", 64, "--inflight", 40)
                    note = f"{float(run['calls']) / 1e6:.1f} M transfers before"
                host.kill()
                begin = time.monotonic()
                host.start()
                self.load("sql", "--port", host.port, "--token", host.token, "SELECT * FROM accounts WHERE id = 5")
                self.row(f"kill -9, 4 M rows, keys {order}: to the first answer", time.monotonic() - begin, "s",
                         1.2, 0.7, note)
                limits = (24, 20) if reducer == "seed" else (32, 28)
                self.rows_memory(host, empty, f"keys {order}, after kill -9", *limits, "")

    def snapshot_wait(self):
        """The executor's wait under 64 × 40 among 4 M accounts, with snapshots as often as they come, over without."""
        runs = []
        for _ in range(self.options.repeat):
            run = {}
            for what, replay_ms in (("without", 3600000), ("with", SNAPSHOT_MS)):
                folder = self.folder()
                os.makedirs(folder + "/data")
                Path(folder, "data", "config.toml").write_text(f"[durability]\nreplay-ms = {replay_ms}\n")
                with self.host(folder) as host:
                    host.publish(self.module)
                    host.call("seed", f"[{MANY},1000000]")
                    before = host.waits()
                    self.calls(host, "--connections", 64, "--inflight", 40, "--accounts", MANY)
                    run[what] = percentiles(before, host.waits(), [0.99])[0.99]
                    run["taken"] = host.metric("worldline_snapshots_total")
                    run["millis"] = host.metric("worldline_snapshot_last_nanoseconds") / 1e6
            runs.append({**run, "ratio": run["with"] / run["without"]})
        middle = median(runs)
        self.row("64 × 40 while snapshots of 4 M rows are taken: p99 of the executor's wait, over without",
                 middle["ratio"], "×", 1.5, 1.2, f"{middle['with'] / 1e3:.1f} ms, {middle['without'] / 1e3:.1f} ms; "
                 f"{middle['taken']:.0f} snapshots of {middle['millis']:.0f} ms")

    def backup(self):
        """1 GB copied from a live host: the rate, and what 64 × 40 transfers cost while it is copied over and over."""
        folder = self.folder()
        os.makedirs(folder + "/data")
        Path(folder, "data", "config.toml").write_text("[durability]\nreplay-ms = 3600000\n")
        with self.host(folder) as host:
            host.publish(self.module)
            host.call("seed", f"[{ACCOUNTS},1000000]")
            program = (ROOT / "build" / "modules" / "quickstart.wasm").read_bytes()
            self.ask(host, "PUT", "big", program, "application/wasm")
            text = json.dumps(["x" * BACKUP_ROW_BYTES]).encode()
            for _ in range(BACKUP_BYTES // BACKUP_ROW_BYTES):
                self.ask(host, "POST", "big/call/add", text, "application/json")
            copied = [0]

            def copy():
                to = self.folder()
                begin = time.monotonic()
                done = subprocess.run([str(self.host_path), "backup", "create", "big", to, "--data-dir",
                                       folder + "/data"], check=True, capture_output=True, text=True)
                copied[0] += 1
                shutil.rmtree(to)
                return int(re.search(r"(\d+) bytes", done.stdout).group(1)) / (time.monotonic() - begin) / 1e6
            rate = statistics.median(copy() for _ in range(max(self.options.repeat, 3)))
            alone = self.calls(host, "--connections", 64, "--inflight", 40)
            over, copied[0] = threading.Event(), 0

            def copies():
                while not over.is_set():
                    copy()
            thread = threading.Thread(target=copies)
            thread.start()
            beside = self.calls(host, "--connections", 64, "--inflight", 40)
            over.set()
            thread.join()
        self.row("backup of 1 GB", rate, "MB/s", 300, 300, digits=0, at_least=True)
        self.row("64 × 40 while it is backed up: CPU per call, over without",
                 beside["cpu_us_per_call"] / alone["cpu_us_per_call"], "×", 1.2, 1.2,
                 f"{copied[0]} backups meanwhile")

    @staticmethod
    def ask(host, method, path, body, kind):
        head = {"Authorization": f"Bearer {host.token}", "Content-Type": kind}
        url = f"http://127.0.0.1:{host.port}/v1/database/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, body, head, method=method)) as answer:
            return answer.read()

    def add_column(self):
        """An update that gives 1 M rows a column more: from the program's arrival to the answer, compiling included."""
        base = (ROOT / "tests" / "modules" / "transfer-c" / "module.c").read_text(encoding="utf-8")
        wider = base.replace("	(i64, balance))", "	(i64, balance),\n	(u32, flags, DEFAULT(7)))", 1)
        times = []
        for _ in range(self.options.repeat):
            with self.host() as host:
                host.publish(self.built(base))
                host.call("seed", f"[{LARGE},1000]")
                program = Path(self.built(wider)).read_bytes()
                path = f"http://127.0.0.1:{host.port}/v1/database/bench"
                head = {"Authorization": f"Bearer {host.token}", "Content-Type": "application/wasm"}
                ask = urllib.request.Request(path + "/pre_publish", program, head, method="POST")
                with urllib.request.urlopen(ask) as answer:
                    token = json.load(answer)["AutoMigrate"]["token"]
                put = urllib.request.Request(f"{path}?policy=BreakClients&token={token}", program, head, method="PUT")
                begin = time.monotonic()
                with urllib.request.urlopen(put) as answer:
                    answer.read()
                times.append((time.monotonic() - begin) * 1000)
        self.row("a column with a default for 1 M rows", statistics.median(times), "ms", 300, 100, digits=0)

    def built(self, text):
        """The path of a module in C."""
        folder = self.folder()
        Path(folder, "module.c").write_text(text, encoding="utf-8")
        subprocess.run([str(self.host_path), "build", folder], check=True, capture_output=True)
        return Path(folder, "build", "module.wasm")

    def log_bytes(self):
        """What a transfer takes of the log."""
        with self.seeded() as host:
            before = self.written(host)
            run = self.calls(host, "--connections", 64, "--inflight", 40)
            host.kill()
            self.row("log bytes of a transfer", (self.written(host) - before) / (run["calls"] / run["seconds"] * (
                run["seconds"] + 1)), "B", 80, 60, "with a second of warm-up", digits=1)

    @staticmethod
    def written(host):
        """Bytes of batches in all segments of the log: each ends in zeros."""
        total = 0
        for path in Path(host.folder, "data", "replicas", "1", "log").glob("*.wlog"):
            total += len(path.read_bytes().rstrip(b"\0"))
        return total

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
            result = self.inproc()
            self.row("allocations per transaction", result["allocations_per_call"], "", 0, 0,
                     f"executor alone: {result['cpu_nanos_per_call']:.0f} ns per call", digits=4)
        with self.seeded() as host:
            result = self.calls(host, "--syscalls", "--connections", 64, "--inflight", 40)
        self.row("64 × 40: system calls per call", result["syscalls_per_call"], "", 0.1, 0.05, digits=3)


class Seeded:
    """A launched host, the module published, its accounts there."""

    def __init__(self, bench, rows):
        self.bench, self.rows, self.server = bench, rows, bench.host()

    def __enter__(self):
        self.server.start()
        try:
            self.server.publish(self.bench.module)
            self.server.call("seed", f"[{self.rows},1000000]")
        except BaseException:
            self.server.stop()
            raise
        return self.server

    def __exit__(self, *_):
        self.server.stop()


class Readers:
    """Somebody who subscribes to 1 M rows, and somebody who scans 4 M, over and over while the block runs."""

    def __init__(self, host):
        self.host, self.ending, self.done, self.failures = host, False, 0, []
        query = f"SELECT * FROM accounts WHERE id < {LARGE}"
        self.threads = [threading.Thread(target=self.read, args=arguments) for arguments in (
            ("subscribe", "--query", query), ("sql", "SELECT * FROM accounts WHERE balance = 7"))]

    def read(self, mode, *arguments):
        load = Tool(self.host.load.path)
        while not self.ending and not self.failures:
            try:
                load(mode, "--port", self.host.port, "--token", self.host.token, *arguments)
                self.done += 1
            except (Failure, subprocess.SubprocessError) as why:
                self.failures.append(why)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending = True
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise Failure(str(self.failures[0]))


class Sleepers:
    """Procedures that sleep while the block runs."""

    def __init__(self, host, count, database="bench"):
        self.host, self.count, self.database = host, count, database

    def __enter__(self):
        self.client = Client(self.host.port, self.database, self.host.token)
        self.client.receive()
        for request in range(self.count):
            args = struct.pack("<Q", NAP_MS)
            self.client.send(struct.pack("<BIB", CALL_PROCEDURE, request, 0) + bsatn_str("nap") +
                             struct.pack("<I", len(args)) + args)
        time.sleep(2)

    def __exit__(self, *_):
        for _ in range(self.count):
            tag, body = self.client.receive()
            if tag != PROCEDURE_RESULT or body[0] != 0:
                raise Failure(f"a procedure failed: {body!r}")
        self.client.close()


class Samples:
    """The resident size of a process in MiB, ten times a second while the block runs."""

    def __init__(self, pid):
        self.pid, self.sizes, self.over = pid, [memory(pid) / MIB], threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.over.wait(0.1):
            self.sizes.append(memory(self.pid) / MIB)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


ROWS = ["deep", "shallow", "single", "fanout", "own-rows", "untouched", "views", "join-delta", "compile", "scan-http",
        "subscribe-large", "wait", "guest-boundary", "publish-cached", "procedures", "schedules",
        "ordered", "random", "restart", "snapshot-wait", "log-bytes", "backup", "add-column", "empty", "counts"]
BY_NAME = ["soak"]  # only when asked for


def output(*command):
    """`name value` lines of a program, as a dictionary."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600,
                          check=False)
    if done.returncode != 0:
        raise Failure(f"{command[0]}: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return dict(line.split(" ", 1) for line in done.stdout.decode().splitlines() if " " in line)


def numbers(result):
    return {name: float(value) for name, value in result.items()}


def percentiles(before, after, shares):
    """Of what came between two readings of a cumulative histogram, interpolated in its buckets."""
    limits = sorted(after)
    total = after[limits[-1]] - before.get(limits[-1], 0)
    found, seen, low, old = {}, 0, 0.0, 0
    for limit in limits:
        old = before.get(limit, old)  # a bucket that was not there holds what the one before it does
        count = after[limit] - old
        if limit == float("inf"):
            limit = low
        elif low > 0:
            low = max(low, limit * 16 / 17)  # where the bucket begins, if those before it are left out
        for share in shares:
            if share not in found and count >= share * total:
                found[share] = low + (limit - low) * (share * total - seen) / max(count - seen, 1)
        seen, low = count, limit
    return found


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
    parser.add_argument("--rows", default=",".join(ROWS), help="of " + ", ".join(ROWS + BY_NAME))
    parser.add_argument("--updates", type=int, default=10000000, help="that the row soak delivers")
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
            if name not in ROWS + BY_NAME:
                parser.error(f"no row {name}")
            try:
                getattr(bench, name.replace("-", "_"))()
            except (Failure, subprocess.SubprocessError) as why:
                failed = True
                bench.show((name, "not measured", "–", "", "", "FAILED", str(why).replace("\n", " ")))
    finally:
        bench.clean()
    missed = any(line[5] == "MISSED" for line in bench.lines)
    return 1 if failed or (options.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
