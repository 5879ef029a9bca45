// SPDX-License-Identifier: Apache-2.0
/*
 * Goal: whatever clients do in whatever order, each cache is the union of its subscriptions over the world as it is,
 * and row events alone lead there: every one of them fits the rows that the events before it left.
 * Method: random transactions, subscriptions, ends and reconnects of several people, some at the same time; a model of
 * the module (model.mjs) says what each must show. WORLDLINE_SEED repeats one life.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, ownerToken, slow, subscribe } from '../host.mjs';
import { change, client, rows, settle, text, unsubscribe, ways } from './world.mjs';
import { after, emptyWorld, queries } from './model.mjs';

const kept = [...new Set(queries.map(([table]) => table))];

/** Mulberry32: the same numbers for the same seed. */
function generator(seed) {
  const next = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return (x ^ (x >>> 14)) >>> 0;
  };
  const below = n => next() % n;
  return { below, chance: percent => below(100) < percent, pick: list => list[below(list.length)] };
}

function randomChange({ below, pick, chance }) {
  const [id, team, label] = [below(8), below(5), pick(['a', 'b', 'c', 'd'])];
  const remark = { text: label, weight: BigInt(below(5)) };
  return pick([
    () => ['PutPlayer', { id, name: `p${id}`, team, score: pick([-5, 5, 25, 45, 101, 200]) }],
    () => ['PutPlayer', { id, name: `p${id}`, team, score: 150 }],
    () => ['DropPlayer', id],
    () => ['PutTeam', { id: team, title: label }],
    () => ['DropTeam', team],
    () => ['PutNode', { id, parent: below(8), label, open: chance(50) }],
    () => ['DropNode', id],
    () => ['PutRemark', remark],
    () => ['DropRemark', remark],
    () => ['WriteNote', { id: BigInt(id), team, text: label }],
    () => ['DropNote', BigInt(id)],
    () => ['PutReply', { id, note: BigInt(below(8)), text: label }],
    () => ['DropReply', id],
    () => ['JoinTeam', team],
    () => ['LeaveTeam', team],
  ])();
}

/** Keeps its own copy of a connection's tables from row events alone, and says what does not fit. */
function replay(connection, faults) {
  const copy = Object.fromEntries(kept.map(table => [table, new Map()]));
  for (const table of kept) {
    const [cache, mine] = [connection.db[table], copy[table]];
    const key = row => (table === 'standings' || table === 'remark' ? text(row) : Number(row.id));
    cache.onInsert((_context, row) => {
      if (mine.has(key(row))) {
        faults.push(`${table}: inserted twice: ${text(row)}`);
      }
      mine.set(key(row), text(row));
    });
    cache.onDelete((_context, row) => {
      if (mine.get(key(row)) !== text(row)) {
        faults.push(`${table}: deleted ${text(row)}, there was ${mine.get(key(row))}`);
      }
      mine.delete(key(row));
    });
    cache.onUpdate((_context, before, row) => {
      if (mine.get(key(before)) !== text(before) || key(before) !== key(row)) {
        faults.push(`${table}: ${text(before)} became ${text(row)}, there was ${mine.get(key(before))}`);
      }
      mine.set(key(row), text(row));
    });
  }
  return table => [...copy[table].values()].sort();
}

class Person {
  constructor(way, token) {
    Object.assign(this, { way, token, owner: token !== undefined, faults: [] });
  }

  async arrive() {
    this.connection = await client({ ...this.way, token: this.token });
    this.token = this.connection.token;
    this.hex = this.connection.identity.toHexString();
    this.seen = replay(this.connection, this.faults);
    this.sets = [];
  }

  async subscribe({ below, pick }) {
    const wanted = Array.from({ length: 1 + below(3) }, () => ({ query: pick(queries), k: below(6) }));
    const build = t => wanted.map(({ query, k }) => query[1](t, k, this.connection.identity));
    const tables = this.connection.getFromBuilder();
    const set = { wanted, handle: subscribe(this.connection, build(tables)) };
    this.sets.push(set);
    set.handle = await set.handle;
    return set;
  }

  async unsubscribe({ below }) {
    const [set] = this.sets.splice(below(this.sets.length), 1);
    await unsubscribe(set.handle);
  }

  check(world, when) {
    for (const table of kept) {
      const wanted = new Set();
      for (const { query, k } of this.sets.flatMap(set => set.wanted)) {
        if (query[0] === table) {
          query[2](world, this, k).forEach(row => wanted.add(text(row)));
        }
      }
      assert.deepEqual(rows(this.connection.db[table]), [...wanted].sort(), `${table} of ${this.hex}, ${when}`);
      assert.deepEqual(this.seen(table), rows(this.connection.db[table]), `${table} by events, ${when}`);
    }
    assert.deepEqual(this.faults, [], when);
  }
}

async function live(seed, steps) {
  const random = generator(seed);
  const people = [new Person(ways[1]), new Person(ways[2]), new Person(ways[0], ownerToken())];
  for (const person of people) {
    await person.arrive();
  }
  people.push(new Person(ways[3], people[0].token));
  people[3].owner = false;
  await people[3].arrive();
  let world = emptyWorld();

  const transact = async person => {
    const changes = Array.from({ length: 1 + random.below(5) }, () => randomChange(random));
    if (random.chance(10)) {
      changes.splice(random.below(changes.length + 1), 0, ['Fail', 'no']);
    }
    world = after(world, person.hex, changes);
    await change(person.connection, ...changes).catch(error => assert.equal(error.message, 'no'));
  };
  const others = async someone => {
    for (const person of people.filter(p => p !== someone)) {
      if (random.chance(50) && person.sets.length < 6) {
        await person.subscribe(random);
      } else if (person.sets.length > 0) {
        await person.unsubscribe(random);
      }
    }
  };
  for (let step = 0; step < steps; step++) {
    const person = random.pick(people);
    const what = random.below(100);
    let did = 'a transaction';
    if (what < 20 && person.sets.length < 6) {
      did = 'a subscription';
      await person.subscribe(random);
    } else if (what < 35 && person.sets.length > 0) {
      did = 'the end of a subscription';
      await person.unsubscribe(random);
    } else if (what < 38) {
      did = 'a reconnect';
      await close(person.connection);
      await person.arrive();
    } else if (what < 50) {
      // Transactions follow each other while others come and go: in the end all is as if one after the other.
      did = 'several at once';
      await Promise.all([others(person), ...Array.from({ length: 4 }, () => transact(person))]);
    } else {
      await transact(person);
    }
    await settle(...people.map(p => p.connection));
    people.forEach(p => p.check(world, `seed ${seed}, step ${step}, after ${did}`));
  }
}

const seeds = process.env.WORLDLINE_SEED ? [Number(process.env.WORLDLINE_SEED)] : [1, 2, 3, 4];
for (const seed of seeds) {
  test(`a life of four clients, seed ${seed}`, { timeout: 120_000 * slow }, () => live(seed, 150));
}
