#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random worlds against a model: whatever clients of any protocol hold is, behind every single message, what their
queries give on the database of one commit, and no commit is lost or comes twice.

    tests/model/model.py [--seeds N] [--first SEED] [--workers N] [--flavor dev]
    tests/model/model.py --seed SEED        one world, with what its clients did
    tests/model/model.py --forever

A seed decides everything: tables with indexes, row-level rules and views, scripts that the module runs, subscriptions,
who connects and leaves. The last line says how many worlds passed and failed.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
from client import Mismatch  # noqa: E402
from collections import Counter  # noqa: E402
from host import Host  # noqa: E402
from queries import Caller  # noqa: E402
from schema import build_guest  # noqa: E402
from version1 import Version1  # noqa: E402
from version2 import Version2  # noqa: E402
from world import World, arguments  # noqa: E402

PROTOCOLS = {"v1.json.spacetimedb": Version1, "v1.bsatn.spacetimedb": Version1, "v2.bsatn.spacetimedb": Version2,
             "v3.bsatn.spacetimedb": Version2}
PEOPLE, STEPS = 4, 12


class Play:
    """One world on a host. `people`: [(identity, token)], the owner first."""

    def __init__(self, host, people, seed):
        self.host, self.people, self.seed = host, people, seed
        self.pick = random.Random(seed)
        self.name = f"model-{os.getpid()}-{seed}"
        self.world = World(self.pick, [identity for identity, _ in people])
        self.clients, self.messages, self.left, self.notes = [], 0, [], []

    def run(self):
        status, answer = self.host.request("PUT", f"/v1/database/{self.name}", self.world.module(), self.people[0][1],
                                           "application/wasm")
        if status != 200:
            raise Mismatch(f"publishing: {status} {answer.decode()[:2000]}")
        for _ in range(self.pick.randint(2, 4)):
            self.connect()
        for _ in range(STEPS):
            self.step()
        for client in self.clients:
            self.leave(client)
        self.host.request("DELETE", f"/v1/database/{self.name}", None, self.people[0][1])

    def connect(self):
        person = self.pick.randrange(len(self.people))
        protocol = self.pick.choice(list(PROTOCOLS))
        client = PROTOCOLS[protocol](self.world, self.host, self.name, Caller(person, person == 0),
                                     self.people[person][1], protocol, self.pick)
        self.clients.append(client)
        if self.pick.random() < 0.7:
            client.watch()
        client.subscribe()

    def leave(self, client):
        client.connection.close()
        self.messages += client.messages
        self.left.append(client)
        self.clients = [c for c in self.clients if c is not client]

    def step(self):
        """One client calls, others ask for this and that meanwhile; then all must agree."""
        pick = self.pick
        if pick.random() < 0.15:
            self.change_by_sql()
        if pick.random() < 0.2:
            self.ask_by_sql()
        writer = pick.choice(self.clients)
        for _ in range(pick.randint(1, 5)):
            script, state = self.world.random_script()
            if state is not None:
                self.world.states.append(state)
            writer.call(arguments(script), len(self.world.states) - 1 if state is not None else None)
            if pick.random() < 0.6:
                pick.choice(self.clients).random_action()
        others = [c for c in self.clients if c is not writer]
        if others and pick.random() < 0.12:
            self.leave(pick.choice(others))
        if pick.random() < 0.5:
            writer.flush()
            while writer.asked:
                writer.receive()
        writer.settle()
        for client in self.clients:
            client.settle()
        if len(self.clients) < 2 or pick.random() < 0.15:
            self.connect()

    # ---- over HTTP; nobody else is doing anything ----

    def change_by_sql(self):
        change = self.world.random_dml()
        if change is None:
            return
        sql, state = change
        self.notes.append(f"commit {len(self.world.states)}: {sql}")
        self.world.states.append(state)
        status, answer = self.sql(0, sql)
        if status != 200:
            raise Mismatch(f"{sql}: {status} {answer}")
        for client in self.clients:
            client.settle()

    def ask_by_sql(self):
        person = self.pick.randrange(len(self.people))
        caller, query = Caller(person, person == 0), self.world.random_query()
        status, answer = self.sql(person, query.text)
        if not self.world.readable(query, caller):
            if status == 200:
                raise Mismatch(f"{query.text} reads a private table and was answered")
            return
        if status != 200:
            raise Mismatch(f"{query.text}: {status} {answer}")
        table = query.table.table if hasattr(query.table, "query") else query.table
        rows = Counter(table.from_json(row) for row in json.loads(answer)[0]["rows"])
        wanted = query.answer(self.world.states[-1], caller)
        if +wanted != rows:
            raise Mismatch(f"SQL as {person}, {query.text}: missing {dict(wanted - rows)}, too many "
                           f"{dict(rows - wanted)}")

    def sql(self, person, text):
        status, answer = self.host.request("POST", f"/v1/database/{self.name}/sql", text.encode(),
                                           self.people[person][1])
        return status, answer.decode()

    # ---- for people ----

    def story(self):
        world = self.world
        lines = []
        for table in world.tables:
            keys = f", unique {table.columns[table.unique]}" if table.unique is not None else ""
            columns = ", ".join(f"{c} {t.name}" for c, t in zip(table.columns, table.types))
            indexes = "".join(f", {kind} {''.join(table.columns[c] for c in columns_)}"
                              for kind, columns_ in table.indexes)
            lines.append(f"table {table.name} ({columns}{keys}{indexes}){'' if table.public else ' private'}"
                         f"{' event' if table.event else ''}")
            lines += [f"  rule {rule}" for rule in table.rules]
        lines += [f"view {v.name}: {v.query.text}" for v in world.views]
        for number, state in enumerate(world.states):
            lines.append(f"commit {number}: " + "; ".join(
                [f"{n} {sorted(r, key=repr)}" for n, r in state.rows.items()] + [f"{n}! {r}" for n, r in
                                                                                 state.events.items()]))
        lines += self.notes
        for client in self.left + self.clients:
            lines.append(f"client, {client.protocol}")
            lines += ["  " + line for line in client.history]
        return "\n".join(lines)


def people_of(host):
    people = []
    for _ in range(PEOPLE):
        answer = json.loads(host.request("POST", "/v1/identity")[1])
        people.append((answer["identity"].removeprefix("0x"), answer["token"]))
    return people


def work(flavor, seeds, results, verbose):
    """Plays seeds until there are no more; (seed, messages, None or what went wrong) for each."""
    try:
        with Host(flavor, start_seconds=120) as host:
            people = people_of(host)
            while (seed := seeds()) is not None:
                play, wrong = Play(host, people, seed), None
                try:
                    play.run()
                except Exception as error:  # whatever it is, it is the test's result
                    why = str(error) if isinstance(error, Mismatch) else traceback.format_exc()
                    wrong = f"{why}\n{play.story()}"
                if verbose and wrong is None:
                    print(play.story())
                results.put((seed, play.messages, wrong))
                if not host.alive():
                    results.put((seed, 0, f"the host is gone: {host.process.returncode}\n{host.log()[-8000:]}"))
                    return
            ended = host.stop(seconds=120)
            if ended != 0 or "ERROR: " in host.log() or "WARNING: ThreadSanitizer" in host.log():
                results.put((None, 0, f"the host ended with {ended}\n{host.log()[-8000:]}"))
    finally:
        results.put(None)


def counted(first, count, workers, number):
    """The seeds of one worker, one after the other; None at the end."""
    numbers = iter(range(first + number, first + count, workers))
    return lambda: next(numbers, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds")
    parser.add_argument("--first", type=int, default=1, help="the first one's seed")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--forever", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--flavor", default="dev")
    options = parser.parse_args()
    build_guest()
    if options.seed is not None:
        options.first, options.seeds, options.workers = options.seed, 1, 1
    if options.forever:
        options.first, options.seeds = int(time.time()), 1 << 40
    results = multiprocessing.Queue()
    for number in range(options.workers):
        seeds = counted(options.first, options.seeds, options.workers, number)
        multiprocessing.Process(target=work, args=(options.flavor, seeds, results, options.seed is not None),
                                daemon=True).start()
    passed = failed = messages = ended = 0
    begun = time.time()
    while ended < options.workers:
        result = results.get()
        if result is None:
            ended += 1
            continue
        seed, count, wrong = result
        messages += count
        passed, failed = passed + (wrong is None), failed + (wrong is not None)
        if wrong is not None:
            print(f"FAIL seed {seed}: {wrong}\nagain: tests/model/model.py --flavor {options.flavor} --seed {seed}\n",
                  flush=True)
            if failed >= 10:
                break
        if (passed + failed) % 200 == 0:
            print(f"  {passed} worlds passed, {failed} failed, {messages} messages, {time.time() - begun:.0f} s",
                  flush=True)
    print(f"{messages} messages checked, seeds from {options.first}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
