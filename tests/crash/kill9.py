#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the real host, again and again, on one data folder.

    tests/crash/kill9.py [--rounds N] [--flavor dev] [--seed N]

Clients call `unique_number(n)` and note what was confirmed to them; two more threads publish, rename, lock, reset and
delete databases and note what was answered. At a random moment the process is killed. After the restart: every noted
number is there, none twice, none that nobody asked for; every answered change of control data holds, every other one
holds wholly or not at all; every database that exists opens; no folder is left over. The last line says how many rounds
passed and failed.
"""

import argparse
import collections
import http.client
import json
import os
import random
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from host import ROOT, Host  # noqa: E402
import ws  # noqa: E402

CALLERS, IN_FLIGHT = 4, 8


def module(name):
    with open(os.path.join(ROOT, "build", "modules", name + ".wasm"), "rb") as f:
        return f.read()


class Numbers(threading.Thread):
    """One client that calls with a few in flight, until the host is gone."""

    def __init__(self, host, token, first):
        super().__init__(daemon=True)
        self.host, self.token, self.next = host, token, first
        self.asked, self.confirmed, self.wrong = set(), set(), []

    def run(self):
        try:
            client = ws.Client(self.host.port, "numbers", self.token)
            waiting = collections.OrderedDict()
            while True:
                while len(waiting) < IN_FLIGHT:
                    self.asked.add(self.next)
                    waiting[client.call("unique_number", struct.pack("<Q", self.next))] = self.next
                    self.next += 1
                request, outcome, text = client.result()
                number = waiting.pop(request)
                if outcome in (ws.OK, ws.OK_EMPTY):
                    self.confirmed.add(number)
                else:
                    self.wrong.append(f"{number}: outcome {outcome}: {text}")
        except (OSError, ws.Closed, ConnectionError):
            pass


class Database:
    """What is known of one database: for each trait the values that it may have."""

    def __init__(self, name):
        self.names = {frozenset([name])}
        self.exists = {False}
        self.locked = {False}
        self.identity = None


class Control(threading.Thread):
    """Publishes, renames, locks, resets and deletes databases of its own; one change at a time."""

    def __init__(self, host, token, random_seed, prefix, databases):
        super().__init__(daemon=True)
        self.host, self.token, self.random = host, token, random.Random(random_seed)
        self.prefix, self.databases, self.wrong, self.answered = prefix, databases, [], 0
        self.programs = [module("transfer"), module("quickstart")]

    def ask(self, method, path, body=None):
        kind = "application/json" if path.endswith("/names") else None
        status, answer = self.host.request(method, "/v1/database" + path, body, self.token, kind)
        self.answered += 1
        if status != 200:
            self.wrong.append(f"{method} {path}: {status} {answer[:200]!r}")
        return status, answer

    def change(self, database, trait, value, method, path, body=None):
        """The value holds once it is answered; until then either does."""
        before = set(getattr(database, trait))
        setattr(database, trait, before | {value})
        status, answer = self.ask(method, path, body)
        setattr(database, trait, {value} if status == 200 else before)
        return answer

    def publish(self):
        name = f"{self.prefix}-{len(self.databases)}"
        database = Database(name)
        self.databases.append(database)
        answer = self.change(database, "exists", True, "PUT", f"/{name}", self.random.choice(self.programs))
        try:
            database.identity = json.loads(answer)["Success"]["database_identity"]
        except (ValueError, KeyError, TypeError):
            self.wrong.append(f"publish: {answer[:200]!r}")

    def act(self, database):
        action, at = self.random.randrange(5), "/" + database.identity
        if action == 0:
            names = [f"{self.prefix}-n{self.random.randrange(10**9)}" for _ in range(self.random.randrange(1, 4))]
            self.change(database, "names", frozenset(names), "PUT", at + "/names", json.dumps(names).encode())
        elif action == 1:
            self.change(database, "locked", True, "POST", at + "/lock")
        elif action == 2:
            self.change(database, "locked", False, "POST", at + "/unlock")
        elif database.locked != {False}:
            return
        elif action == 3:
            self.ask("PUT", at + "/reset", self.random.choice(self.programs))
        else:
            self.change(database, "exists", False, "DELETE", at)

    def run(self):
        try:
            while True:
                alive = [d for d in self.databases if d.exists == {True} and d.identity]
                if len(alive) < 3 or self.random.randrange(4) == 0:
                    self.publish()
                else:
                    self.act(self.random.choice(alive))
        except (OSError, http.client.HTTPException):
            pass


class Crash:
    def __init__(self, flavor, seed, env=None):
        self.random = random.Random(seed)
        self.seed = seed
        self.host = Host(flavor, env=env)
        self.asked, self.confirmed = set(), set()
        self.databases = [[], []]
        self.faults = []
        self.control_answers = 0

    def fault(self, text):
        self.faults.append(text)
        print(f"    {text}", flush=True)

    def prepare(self):
        self.host.start()
        self.token = json.loads(self.host.request("POST", "/v1/identity")[1])["token"]
        status, answer = self.host.request("PUT", "/v1/database/numbers", module("types283"), self.token)
        if status != 200:
            raise RuntimeError(f"cannot publish: {status} {answer}")

    def live_and_die(self, number):
        first = (number + 1) * 10**9
        threads = [Numbers(self.host, self.token, first + i * 10**7) for i in range(CALLERS)]
        threads += [Control(self.host, self.token, self.random.random(), f"r{number}x{i}", self.databases[i])
                    for i in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(self.random.uniform(0.05, 0.8))
        self.host.kill()
        for thread in threads:
            thread.join()
            for text in thread.wrong[:5]:
                self.fault(text)
            if isinstance(thread, Numbers):
                self.asked |= thread.asked
                self.confirmed |= thread.confirmed
            else:
                self.control_answers += thread.answered

    def check_numbers(self):
        status, answer = self.host.request("POST", "/v1/database/numbers/sql", b"SELECT * FROM unique_numbers",
                                           self.token)
        if status != 200:
            return self.fault(f"sql: {status} {answer[:300]!r}")
        rows = [row[0] for row in json.loads(answer)[0]["rows"]]
        there = set(rows)
        if len(there) != len(rows):
            self.fault(f"{len(rows) - len(there)} numbers are there twice")
        if self.confirmed - there:
            self.fault(f"{len(self.confirmed - there)} confirmed numbers are lost, of {len(self.confirmed)}")
        if there - self.asked:
            self.fault(f"{len(there - self.asked)} numbers are there that nobody asked for")
        status, answer = self.host.request("POST", "/v1/database/numbers/sql", b"SELECT COUNT(*) AS n FROM st_client",
                                           self.token)
        if status != 200 or json.loads(answer)[0]["rows"] != [[1]]:  # the one who asks
            self.fault(f"clients are left: {status} {answer[:300]!r}")

    def check_database(self, database):
        """Replaces what may be by what is."""
        if database.identity is None:  # its creation was never answered: look by its name
            (name,), = database.names
            status, answer = self.host.request("GET", f"/v1/database/{name}/identity", None, self.token)
            if status == 404:
                database.exists = {False}
                return
            database.identity = answer.decode().strip()
        at = "/v1/database/" + database.identity
        status, _ = self.host.request("GET", at, None, self.token)
        if (status == 200) not in database.exists:
            self.fault(f"{database.identity}: {status}, expected to exist: {database.exists}")
        database.exists = {status == 200}
        if status != 200:
            return
        status, answer = self.host.request("POST", at + "/sql", b"SELECT * FROM st_module", self.token)
        if status != 200 or len(json.loads(answer)[0]["rows"]) != 1:
            self.fault(f"{database.identity} does not work: {status} {answer[:300]!r}")
        status, answer = self.host.request("GET", at + "/names", None, self.token)
        names = frozenset(json.loads(answer)["names"]) if status == 200 else None
        if names not in database.names:
            self.fault(f"{database.identity}: names {names}, expected one of {database.names}")
        database.names = {names}
        if len(database.locked) == 2:  # either will do: settle it
            self.host.request("POST", at + "/unlock", None, self.token)
            database.locked = {False}
        elif database.locked == {True}:
            status, answer = self.host.request("DELETE", at, None, self.token)
            if status < 400:
                self.fault(f"{database.identity}: the lock is lost: {status} {answer[:200]!r}")
                database.exists = {False}

    def check_folders(self):
        replicas = os.listdir(os.path.join(self.host.data_dir, "replicas"))
        existing = 1 + sum(d.exists == {True} for half in self.databases for d in half)
        if len(replicas) != existing:
            self.fault(f"{len(replicas)} entries in replicas/, {existing} databases")

    def run(self, rounds):
        failed = 0
        self.prepare()
        for number in range(rounds):
            self.faults.clear()
            self.live_and_die(number)
            begin = time.time()
            self.host.start()
            seconds = time.time() - begin
            self.check_numbers()
            for half in self.databases:
                for database in half:
                    self.check_database(database)
            self.check_folders()
            failed += bool(self.faults)
            print(f"  round {number + 1}: {len(self.confirmed)} numbers confirmed so far, "
                  f"{sum(d.exists == {True} for half in self.databases for d in half)} databases, "
                  f"{self.control_answers} changes answered, up again in {seconds * 1000:.0f} ms"
                  f"{': FAILED' if self.faults else ''}", flush=True)
        if self.host.stop() != 0:
            print(f"  the last host ended badly; its output:\n{self.host.log()[-3000:]}", flush=True)
            failed += 1
        return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--flavor", default="dev")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    options = parser.parse_args()
    print(f"  seed {options.seed}", flush=True)
    crash = Crash(options.flavor, options.seed)
    try:
        failed = crash.run(options.rounds)
    finally:
        if crash.host.alive():
            crash.host.kill()
    if failed:
        print(f"  the host's folder is kept: {crash.host.data_dir}", flush=True)
    else:
        crash.host.__exit__(None, None, None)
    print(f"{options.rounds - min(failed, options.rounds)} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
