# SPDX-License-Identifier: Apache-2.0
"""Runs the test suites and adds up what they say.

    python3 tests/run.py                 all of them
    python3 tests/run.py unit kit        some of them
    python3 tests/run.py soak            what takes long: more seeds, more rounds, whole sweeps
    python3 tests/run.py --list

The last line is always `N passed, N failed`; the exit status is 1 if anything failed. Each suite prints what it
does as it goes; a failing part prints its output whole.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from host import ROOT, Host  # noqa: E402

JOBS = str(os.cpu_count() or 2)
CONFORMANCE = os.environ.get("CONFORMANCE") or os.path.normpath(os.path.join(ROOT, "..", "shared", "conformance"))
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:allow_user_segv_handler=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": f"halt_on_error=0:exitcode=98:second_deadlock_stack=1:suppressions={ROOT}/tests/tsan.supp",
    "LSAN_OPTIONS": f"suppressions={ROOT}/tests/lsan.supp",
}


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.failures = []

    def add(self, what, passed, failed, output=""):
        self.passed += passed
        self.failed += failed
        mark = "ok  " if failed == 0 else "FAIL"
        print(f"  {mark} {what}: {passed} passed, {failed} failed", flush=True)
        if failed:
            self.failures.append(what)
            print(output, flush=True)


def run(command, env=None, timeout=1800, cwd=ROOT):
    """(exit status, output); a command over its time is a failure with status 124."""
    try:
        done = subprocess.run(command, cwd=cwd, env=dict(os.environ, **(env or {})), timeout=timeout,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        return 124, (late.stdout or b"").decode(errors="replace") + f"\ntimed out after {timeout} s"


def build(tally, *targets, flavor="dev"):
    print(f"  building {flavor}: {' '.join(targets)}", flush=True)
    status, output = run(["make", "-j", JOBS, f"FLAVOR={flavor}", "--no-print-directory", *targets])
    if status:
        tally.add(f"build {flavor} {' '.join(targets)}", 0, 1, output[-20000:])
    return status == 0


def check_counts(status, output):
    """What Check's summary lines say; a crash of the runner itself counts as a failure."""
    total = passed = 0
    for checks, failures, errors in re.findall(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)", output):
        total += int(checks)
        passed += int(checks) - int(failures) - int(errors)
    failed = total - passed
    if total == 0 or (status != 0 and failed == 0):
        failed += 1
    return passed, failed


# Rooms, and parts of them, that only ever have one thread at a time: nothing for TSan to see.
ONE_THREAD = ("base_text", "cli_", "module_", "protocol_", "query_", "sats_", "store_index", "store_model",
              "store_replay", "store_rows")


def unit_tests(tally, flavor, skip=()):
    if not build(tally, "unit-bin", flavor=flavor):
        return
    folder = os.path.join(ROOT, "build", flavor, "unit")
    wanted = sorted(f[:-2] for f in os.listdir(os.path.join(ROOT, "tests", "unit")) if f.endswith("_test.c"))
    wanted = [name for name in wanted if not name.startswith(skip)]
    env = dict(SANITIZERS, CK_DEFAULT_TIMEOUT="120")  # for tests that state none: sanitizers and busy machines
    if os.path.isdir(CONFORMANCE):
        env["WORLDLINE_CONFORMANCE"] = CONFORMANCE
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        results = pool.map(lambda name: run([os.path.join(folder, name)], env=env), wanted)
        for name, (status, output) in zip(wanted, results):
            tally.add(f"unit/{flavor}/{name}", *check_counts(status, output), output[-20000:])


def suite_tidy(tally):
    """rooms, arrows, banned calls, lengths"""
    status, output = run([sys.executable, "tools/tidy.py"])
    tally.add("tidy", int(status == 0), int(status != 0), output)


def suite_unit(tally):
    """unit tests, optimised"""
    unit_tests(tally, "dev")


def suite_budget(tally):
    """what one transaction may cost: allocations, instructions, system calls"""
    status, output = run([sys.executable, "tests/budget/run.py"])
    counts = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.M)
    passed, failed = map(int, counts[-1]) if counts else (0, 1)
    tally.add("budget", passed, failed or int(status != 0), output[-20000:])


def suite_asan(tally):
    """unit tests under ASan and UBSan"""
    unit_tests(tally, "asan")


def suite_tsan(tally):
    """unit tests under TSan, where threads meet"""
    unit_tests(tally, "tsan", skip=ONE_THREAD)


def modules(tally, *names):
    status, output = run(["tests/modules/build.sh", *names])
    if status:
        tally.add("build modules", 0, 1, output[-20000:])
    return status == 0


def node_package(tally, folder):
    """npm ci, once for each lock file."""
    stamp = os.path.join(folder, "node_modules", ".package-lock.json")
    lock = os.path.join(folder, "package-lock.json")
    if os.path.exists(stamp) and os.path.getmtime(stamp) >= os.path.getmtime(lock):
        return True
    status, output = run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder)
    if status:
        tally.add(f"npm ci in {os.path.relpath(folder, ROOT)}", 0, 1, output[-5000:])
    return status == 0


# Node's own runner (node --test) reads the tests' output from a pipe and now and then stumbles over it: run directly.
TYPESCRIPT = ["node", "--test-reporter=tap"]


def e2e_typescript(tally, what, env, module):
    test = "live.test.mjs" if module.startswith("live") else "types.test.mjs"
    status, output = run([*TYPESCRIPT, test], env=env, cwd=os.path.join(ROOT, "tests", "e2e", "ts"))
    passed, failed = (re.findall(rf"^# {word} (\d+)", output, re.M) for word in ("pass", "(?:fail|cancelled)"))
    count = sum(map(int, failed))
    tally.add(what, int(passed[-1]) if passed else 0, count or int(status != 0 or not passed), output[-20000:])


def e2e_rust(tally, what, env, module):
    program = f"worldline-{module}" if module.startswith("live") else "worldline-e2e"
    status, output = run([os.path.join(ROOT, "build", "e2e", program)], env=env)
    counts = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.M)
    passed, failed = map(int, counts[-1]) if counts else (0, 1)
    complaints = "\n".join(line for line in output.splitlines() if not line.startswith("ok "))
    tally.add(what, passed, failed or int(status != 0), complaints[-20000:])


def e2e(tally, flavor, names, clients, slow=1):
    """Each client against a fresh host with each of the modules; `slow` stretches what clients wait."""
    if not (build(tally, f"build/{flavor}/worldline", flavor=flavor) and modules(tally, *names)):
        return
    if "typescript" in clients and not node_package(tally, os.path.join(ROOT, "tests", "e2e", "ts")):
        return
    if "rust" in clients:
        status, output = run(["tests/e2e/rust/build.sh"])
        if status:
            tally.add("build tests/e2e/rust", 0, 1, output[-20000:])
            return
    for module in names:
        for client in clients:
            what = f"e2e/{flavor}/{client}/{module}"
            host = Host(flavor, env=SANITIZERS, start_seconds=60 * slow)
            if flavor != "dev":
                configure(host, "[network]\nloops = 4\n")  # a small machine has one, and one races with nobody
            with host:
                env = {"WORLDLINE_URL": host.url, "WORLDLINE_MODULE": f"{ROOT}/build/modules/{module}.wasm",
                       "WORLDLINE_RESTART": host.restart_command(), "WORLDLINE_DB": f"e2e-{module}",
                       "WORLDLINE_SLOW": str(slow)}
                if client == "typescript":
                    e2e_typescript(tally, what, env, module)
                else:
                    e2e_rust(tally, what, env, module)
                status = host_end(host)
                if not sanitizer_report(tally, what, host) and status != 0:
                    tally.add(f"{what}: the host's end: {status}", 0, 1, host.log()[-20000:])


def configure(host, text):
    """What the host finds as its config.toml."""
    with open(os.path.join(host.data_dir, "config.toml"), "w") as f:
        f.write(text)


def host_end(host):
    """Its exit status, 0 if all is well; it must still be there. Sanitizers look for leaks at the end."""
    return host.stop(seconds=120) if host.alive() else f"{host.process.returncode}, before its time"


def sanitizer_report(tally, what, host):
    """A report of a sanitizer in the host's output is a failure whatever the tests say; whether there was one."""
    found = [line for line in host.log().splitlines()
             if "ERROR: AddressSanitizer" in line or "WARNING: ThreadSanitizer" in line or "runtime error:" in line
             or "ERROR: LeakSanitizer" in line]
    if found:
        tally.add(f"{what}: sanitizers", 0, 1, host.log()[-20000:])
    return bool(found)


def suite_e2e(tally):
    """official clients against a real host"""
    e2e(tally, "dev", ["types283", "types214", "live", "live214"], ["typescript", "rust"])


def suite_e2e_asan(tally):
    """official clients against a host under ASan and UBSan"""
    e2e(tally, "asan", ["types283", "live"], ["typescript", "rust"], slow=5)


def suite_e2e_tsan(tally):
    """official clients against a host under TSan"""
    e2e(tally, "tsan", ["types283", "live"], ["typescript", "rust"], slow=10)


def cli(tally, flavor):
    if not (build(tally, f"build/{flavor}/worldline", flavor=flavor) and
            modules(tally, "quickstart", "types283", "env214")):
        return
    status, output = run([sys.executable, "tests/e2e/cli_test.py"], env={"WORLDLINE_FLAVOR": flavor, **SANITIZERS})
    counts = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.M)
    passed, failed = map(int, counts[-1]) if counts else (0, 1)
    tally.add(f"cli/{flavor}", passed, failed if failed or status == 0 else 1, output[-20000:])


def suite_cli(tally):
    """the command line against a real host"""
    cli(tally, "dev")


KIT = [
    "abi",
    "http",
    "websocket",
    "sql/auto-increment,comparison,count-limit,delete,dialects,dml-sequences,errors,insert-literals,insert,joins,"
    "lexical,literals-compound,literals-float,literals-int,literals-special,literals-text,logic,names,permissions,"
    "projection,rls,subscription-joins-other,subscription-joins,subscription-sets,system-tables,update-literals,update,"
    "updates,variables,views,views-cold",
]


def kit(tally, flavor):
    if not os.path.isdir(CONFORMANCE):
        print("  the conformance kit is not beside this checkout: skipped", flush=True)
        return
    if not build(tally, f"build/{flavor}/worldline", flavor=flavor):
        return
    with Host(flavor, env=SANITIZERS, port_digits=4) as host:  # requests are recorded with their addresses
        command = [sys.executable, os.path.join(CONFORMANCE, "run.py"), "--host", host.url, *KIT,
                   "--key", host.key_file, "--restart", host.restart_command()]
        for listed in ("not-yet.txt", "different.txt"):
            command += ["--not-yet", os.path.join(ROOT, "tests", "kit", listed)]
        status, output = run(command)
        counts = re.findall(r"^conformance: (\d+) passed, (\d+) differ in text only, (\d+) failed", output, re.M)
        passed, text, failed = map(int, counts[-1]) if counts else (0, 0, 1)
        tally.add(f"kit/{flavor}", passed + text, 0 if status == 0 else max(failed, 1), output[-30000:])
        ended = host_end(host)
        if not sanitizer_report(tally, f"kit/{flavor}", host) and ended != 0:
            tally.add(f"kit/{flavor}: the host's end: {ended}", 0, 1, host.log()[-20000:])


def suite_kit(tally):
    """the conformance kit"""
    kit(tally, "dev")


def suite_kit_asan(tally):
    """the conformance kit against a host under ASan and UBSan"""
    kit(tally, "asan")


def scripted_test(tally, script, *arguments, what, folder="crash"):
    """A script whose last line counts what passed and failed."""
    status, output = run([sys.executable, os.path.join("tests", folder, script), *arguments], env=SANITIZERS)
    counts = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.M)
    passed, failed = map(int, counts[-1]) if counts else (0, 1)
    print(output, flush=True)
    tally.add(what, passed, failed or int(status != 0))


def crash(tally, rounds):
    if build(tally, "build/dev/worldline") and modules(tally, "types283", "transfer", "quickstart"):
        scripted_test(tally, "kill9.py", "--rounds", str(rounds), what="crash/kill9")
        scripted_test(tally, "full.py", what="crash/full")


def suite_crash(tally):
    """what was confirmed survives kill -9 of the real host, and so does control data, whole; a disk that fills up"""
    crash(tally, 20)


def soak_crash(tally):
    """the same, 200 rounds"""
    crash(tally, 200)


def simulate(tally, flavor, lives, share, flips):
    program = f"build/{flavor}/sim/worldline-sim"
    if not build(tally, program, flavor=flavor):
        return
    parts = (("lives", lives), ("sweep", share), ("flips", flips))

    def simulate_part(part):
        return run([program, part[0], str(part[1])], env=SANITIZERS, timeout=7200)

    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for (what, _), (status, output) in zip(parts, pool.map(simulate_part, parts)):
            counts = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.M)
            passed, failed = map(int, counts[-1]) if counts else (0, 1)
            print(output[-5000:] if failed or status else "".join(f"    {line}\n" for line in output.splitlines()[:-1]),
                  end="", flush=True)
            tally.add(f"sim/{flavor}/{what}", passed, failed or int(status != 0))


def suite_sim(tally):
    """the simulator: lives by seed, sweeps of failing calls and allocations, turned bits"""
    simulate(tally, "dev", 1000, 3, 1000)
    simulate(tally, "asan", 200, 20, 200)


def soak_sim(tally):
    """the simulator: 10,000 seeds, every place of the sweeps, 10,000 turned bits in each region"""
    simulate(tally, "dev", 10000, 1, 10000)
    simulate(tally, "asan", 2000, 1, 1000)


def suite_idle(tally):
    """1,000 databases that nobody uses: memory and disk"""
    if build(tally, "build/dev/worldline"):
        scripted_test(tally, "idle.py", what="crash/idle")


def suite_durability(tally):
    """snapshots, restarts, bounded disk, damage, limits, against a host under ASan and UBSan"""
    if build(tally, "build/dev/worldline") and build(tally, "build/asan/worldline", flavor="asan"):
        scripted_test(tally, "durability.py", "--flavor", "asan", what="durability", folder="e2e")


def suite_backup(tally):
    """backups of a live host under ASan and UBSan, brought back; the commands of docs/operations.md"""
    if build(tally, "build/dev/worldline") and build(tally, "build/asan/worldline", flavor="asan"):
        scripted_test(tally, "backup.py", "--flavor", "asan", what="backup", folder="e2e")


def suite_golden(tally):
    """data folders of earlier versions open"""
    if build(tally, "build/dev/worldline"):
        scripted_test(tally, "golden.py", what="golden", folder="e2e")


def suite_migrate(tally):
    """migrations of a live database, against a host under ASan and UBSan"""
    if build(tally, "build/dev/worldline") and build(tally, "build/asan/worldline", flavor="asan"):
        scripted_test(tally, "migrate.py", "--flavor", "asan", what="migrate", folder="e2e")


def suite_reads(tally):
    """large reads while others write, against a host under ASan and UBSan"""
    if build(tally, "build/asan/worldline", flavor="asan") and modules(tally, "transfer"):
        scripted_test(tally, "reads.py", what="reads", folder="e2e")


def model(tally, flavor, seeds):
    if build(tally, f"build/{flavor}/worldline", flavor=flavor):
        scripted_test(tally, "model.py", "--flavor", flavor, "--seeds", str(seeds), what=f"model/{flavor}",
                      folder="model")


def suite_model(tally):
    """random worlds, clients of every protocol: their caches against a model behind every message"""
    model(tally, "dev", 1000)


def suite_model_asan(tally):
    """the same against a host under ASan and UBSan"""
    model(tally, "asan", 150)


def suite_sqlite(tally):
    """random SELECTs of POST /sql give what SQLite gives"""
    if build(tally, "build/dev/worldline"):
        scripted_test(tally, "sqlite.py", what="sqlite", folder="model")


def work(tally, flavor):
    if build(tally, f"build/{flavor}/worldline", flavor=flavor) and modules(tally, "work", "work2", "transfer",
                                                                            "quickstart"):
        scripted_test(tally, "work.py", "--flavor", flavor, what=f"work/{flavor}", folder="e2e")


def suite_work(tally):
    """procedures, schedules, lifecycle, energy, the module's log with a real host"""
    work(tally, "dev")


def suite_work_asan(tally):
    """the same against a host under ASan and UBSan"""
    work(tally, "asan")


def suite_work_tsan(tally):
    """the same against a host under TSan"""
    work(tally, "tsan")


def suite_web(tally):
    """HTTP of modules: procedures that ask, handlers that answer"""
    if build(tally, "build/dev/worldline") and modules(tally, "web"):
        scripted_test(tally, "web.py", what="web", folder="e2e")


def suite_environment(tally):
    """environments of modules: published, read, shown, changed alone, kept"""
    if build(tally, "build/dev/worldline") and modules(tally, "env214"):
        scripted_test(tally, "environment.py", what="environment", folder="e2e")


def suite_parts(tally):
    """modules with submodules; outboxes, which are refused"""
    if build(tally, "build/dev/worldline") and modules(tally, "env214"):
        scripted_test(tally, "parts.py", what="parts", folder="e2e")


def suite_c(tally):
    """modules in C: docs/c-modules.md step by step, the examples, wrong declarations"""
    if build(tally, "build/dev/worldline"):
        scripted_test(tally, "c_modules.py", what="c", folder="e2e")


def suite_foreign(tally):
    """modules shaped as those in C++ and C#, against a host under ASan and UBSan"""
    if build(tally, "build/asan/worldline", flavor="asan"):
        scripted_test(tally, "foreign.py", "--flavor", "asan", what="foreign", folder="e2e")


def suite_views(tally):
    """views with parameters, against a host under ASan and UBSan"""
    if build(tally, "build/asan/worldline", flavor="asan") and modules(tally, "views214"):
        scripted_test(tally, "views.py", "--flavor", "asan", what="views", folder="e2e")


def suite_everything(tally):
    """modules that use everything, in each language, against hosts with and without sanitizers"""
    if not (build(tally, "build/dev/worldline") and modules(tally, "everything283", "everything214")):
        return
    folder = tempfile.mkdtemp(prefix="worldline-c-")
    shutil.copytree(os.path.join(ROOT, "tests", "modules", "everything-c"), folder, dirs_exist_ok=True)
    status, output = run(["build/dev/worldline", "build", folder])
    if status:
        tally.add("build tests/modules/everything-c", 0, 1, output[-20000:])
        return
    shutil.copy(os.path.join(folder, "build", "module.wasm"), os.path.join(ROOT, "build/modules/everything_c.wasm"))
    shutil.rmtree(folder)
    later = ["--later", "environment", "--later", "parameters"]
    for flavor in ("dev", "asan"):
        if build(tally, f"build/{flavor}/worldline", flavor=flavor):
            for what, *arguments in (["", "everything283", "everything_old"], ["/c", *later, "everything_c"],
                                     ["/later", *later, "--later", "senders", "everything214"]):
                scripted_test(tally, "everything.py", "--flavor", flavor, *arguments, what=f"everything/{flavor}{what}",
                              folder="e2e")


def suite_docs(tally):
    """the examples of docs/ give what stands below them"""
    if build(tally, "build/dev/worldline") and modules(tally, "quickstart"):
        scripted_test(tally, "docs.py", what="docs", folder="e2e")


def suite_hostile(tally):
    """attacks on a host under ASan and UBSan"""
    if build(tally, "build/asan/worldline", flavor="asan") and modules(tally, "quickstart", "transfer"):
        scripted_test(tally, "hostile.py", what="hostile", folder="e2e")


def suite_fuzz(tally):
    """every fuzz target for a short while"""
    seconds = os.environ.get("FUZZ_SECONDS", "5")
    if not build(tally, "fuzz-bin", flavor="fuzz"):
        return
    names = sorted(name[:-2] for name in os.listdir(os.path.join(ROOT, "tests", "fuzz")) if name.endswith("_fuzz.c"))

    def fuzz(name):
        corpus = os.path.join(ROOT, "tests", "fuzz", "corpus", name[:-5])
        found = os.path.join(ROOT, "build", "fuzz", "corpus", name)
        os.makedirs(found, exist_ok=True)
        return run([os.path.join(ROOT, "build", "fuzz", "fuzz", name), f"-max_total_time={seconds}", "-timeout=20",
                    "-rss_limit_mb=4096", f"-artifact_prefix={found}-", found,
                    *([corpus] if os.path.isdir(corpus) else [])], env=SANITIZERS)

    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for name, (status, output) in zip(names, pool.map(fuzz, names)):
            tally.add(f"fuzz/{name}", int(status == 0), int(status != 0), output[-20000:])


SUITES = {name[len("suite_"):].replace("_", "-"): fn for name, fn in list(globals().items())
          if name.startswith("suite_")}


# What takes hours, run by name or all of it as `soak`.
SOAK = {name.replace("_", "-"): fn for name, fn in list(globals().items()) if name.startswith("soak_")}


def main(arguments):
    every = SUITES | SOAK
    if "--list" in arguments:
        for name, fn in every.items():
            print(f"{name:12} {fn.__doc__}")
        return 0
    if arguments == ["soak"]:
        arguments = list(SOAK)
    unknown = [a for a in arguments if a not in every]
    if unknown:
        print(f"no such suite: {' '.join(unknown)}; there are: {' '.join(every)}", file=sys.stderr)
        return 2
    tally = Tally()
    for name in arguments or SUITES:
        begin = time.time()
        print(f"{name}: {every[name].__doc__}", flush=True)
        every[name](tally)
        print(f"  {name} took {time.time() - begin:.0f} s", flush=True)
    if tally.failures:
        print("failed: " + ", ".join(tally.failures), flush=True)
    print(f"{tally.passed} passed, {tally.failed} failed", flush=True)
    return 1 if tally.failed or tally.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
