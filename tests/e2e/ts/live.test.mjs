// SPDX-License-Identifier: Apache-2.0
/*
 * Goal: what an official client shows is true at every moment: typed queries, joins, row-level rules, views, event
 * tables, overlapping subscriptions, and what a subscription's end takes away. Expectations are computed here, from
 * what was written. Method: tests/modules/live behind a host, the official TypeScript SDK before it.
 */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import {
  accessor,
  close,
  connect,
  declare,
  ownerToken,
  publish,
  slow,
  subscribe,
  until,
  within,
} from './host.mjs';
import { reducers, tables } from './live.mjs';

declare({ tables, reducers });
beforeEach(publish, { timeout: 60_000 * slow });

const call = (connection, name, args = {}) =>
  within(20_000, connection.reducers[accessor(name)](args), name);
const all = table => [...table.iter()];
const names = table => all(table).map(row => row.name).sort();
const ids = table => all(table).map(row => Number(row.id)).sort((a, b) => a - b);

/** Waits until a table shows just these ids; says what it shows if it never does. */
async function shows(table, expected, what) {
  const wanted = JSON.stringify([...expected].sort((a, b) => a - b));
  await until(() => JSON.stringify(ids(table)) === wanted, what).catch(error => {
    throw new Error(`${error.message}; it shows ${ids(table)}, not ${wanted}`);
  });
}

/** Every row event of a table from now on, as ['insert', id] and the like. */
function record(table, key = row => Number(row.id)) {
  const events = [];
  table.onInsert((_context, row) => events.push(['insert', key(row)]));
  table.onDelete((_context, row) => events.push(['delete', key(row)]));
  table.onUpdate?.((_context, before, after) => events.push(['update', key(before), key(after)]));
  return events;
}

const unsubscribe = handle => within(10_000, new Promise(end => handle.unsubscribeThen(end)), 'unsubscribe');

/** Resolves to the error that a subscription must end with. */
function refused(connection, queries) {
  return within(
    10_000,
    new Promise((resolve, reject) => {
      connection
        .subscriptionBuilder()
        .onApplied(() => reject(new Error(`${queries} was accepted`)))
        .onError(context => resolve(context.event))
        .subscribe(queries);
    }),
    'refusal'
  );
}

const people = [
  { id: 1, name: 'ann', team: 1, score: 5 },
  { id: 2, name: "o'bob", team: 1, score: -3 },
  { id: 3, name: 'cyd', team: 2, score: 120 },
  { id: 4, name: '', team: 3, score: 0 },
  { id: 5, name: 'ev\u00e9', team: 2, score: 101 },
];

async function fill(connection) {
  for (const person of people) {
    await call(connection, 'put_player', person);
  }
  for (const id of [1, 2]) {
    await call(connection, 'put_team', { id, title: `team ${id}` });
  }
}

const ways = [
  { compression: 'none', protocol: 'v3.bsatn.spacetimedb' },
  { compression: 'gzip', protocol: 'v2.bsatn.spacetimedb' },
];

for (const way of ways) {
  describe(`${way.protocol}, ${way.compression}`, () => {
    test('typed queries give and keep what their predicates say', async () => {
      const writer = await connect();
      await fill(writer);
      const queries = [
        [p => p.id.eq(3), r => r.id === 3],
        [p => p.name.ne('ann'), r => r.name !== 'ann'],
        [p => p.name.eq("o'bob"), r => r.name === "o'bob"],
        [p => p.score.gt(0).and(p.team.lte(2)), r => r.score > 0 && r.team <= 2],
        [p => p.score.lt(0).or(p.team.eq(3)), r => r.score < 0 || r.team === 3],
        [p => p.score.gte(101).not(), r => r.score < 101],
        [p => p.online, r => r.score >= 0],
        [p => p.owner.eq(writer.identity), () => true],
      ];
      for (const [predicate, filter] of queries) {
        const reader = await connect(way);
        await subscribe(reader, t => t.player.where(predicate));
        const rows = new Map(people.map(row => [row.id, row]));
        const check = what => shows(reader.db.player, [...rows.values()].filter(filter).map(r => r.id), what);
        await check(`${predicate} at first`);
        for (const change of [
          { id: 1, name: 'ann', team: 3, score: 500 },
          { id: 6, name: 'flo', team: 1, score: -9 },
        ]) {
          await call(writer, 'put_player', change);
          rows.set(change.id, change);
          await check(`${predicate} after ${JSON.stringify(change)}`);
        }
        await call(writer, 'drop_player', { id: 6 });
        await call(writer, 'put_player', people[0]);
        rows.delete(6);
        rows.set(1, people[0]);
        await check(`${predicate} in the end`);
        await close(reader);
      }
      await close(writer);
    });

    test('semijoins follow both sides', async () => {
      const writer = await connect();
      await fill(writer);
      const reader = await connect(way);
      await subscribe(reader, t => t.player.leftSemijoin(t.team, (p, team) => p.team.eq(team.id)));
      await subscribe(reader, t =>
        t.player
          .where(p => p.score.gt(100))
          .rightSemijoin(t.team, (p, team) => p.team.eq(team.id))
          .where(team => team.title.ne('nobody'))
      );
      const players = record(reader.db.player);
      assert.deepEqual(ids(reader.db.player), [1, 2, 3, 5]);
      assert.deepEqual(ids(reader.db.team), [2]);
      await call(writer, 'put_team', { id: 3, title: 'three' });
      await shows(reader.db.player, [1, 2, 3, 4, 5], 'a team comes');
      await call(writer, 'put_player', { ...people[3], score: 102 });
      await shows(reader.db.team, [2, 3], 'a winner comes');
      await call(writer, 'put_team', { id: 3, title: 'nobody' });
      await shows(reader.db.team, [2], 'a title changes');
      await call(writer, 'merge_teams', { from: 2, into: 3 });
      await shows(reader.db.team, [], 'both sides change at once');
      await call(writer, 'drop_team', { id: 1 });
      await shows(reader.db.player, [3, 4, 5], 'a team goes');
      assert.deepEqual(
        players.filter(event => event[0] !== 'update'),
        [['insert', 4], ['delete', 1], ['delete', 2]],
        'players whose team changed hands never left'
      );
      assert.deepEqual(players.filter(event => event[0] === 'update').map(event => event[1]).sort(), [3, 4, 5]);
      await close(reader);
      await close(writer);
    });

    test('views follow their tables, for everybody and for each sender', async () => {
      const [writer, other] = [await connect(way), await connect(way)];
      for (const connection of [writer, other]) {
        await subscribe(
          connection,
          ['my_players', 'first_player', 'winners'].map(view => `SELECT * FROM ${view}`)
        );
      }
      await fill(writer);
      await call(other, 'put_player', { id: 7, name: 'gus', team: 4, score: 300 });
      await shows(writer.db.myPlayers, [1, 2, 3, 4, 5], 'mine');
      await shows(other.db.myPlayers, [7], "the other's");
      for (const connection of [writer, other]) {
        await shows(connection.db.firstPlayer, [1], 'the first');
        await shows(connection.db.winners, [3, 5, 7], 'the winners');
      }
      await call(writer, 'put_player', { ...people[2], score: 1 });
      await call(writer, 'drop_player', { id: 1 });
      for (const connection of [writer, other]) {
        await shows(connection.db.firstPlayer, [], 'no first');
        await shows(connection.db.winners, [5, 7], 'fewer winners');
      }
      await shows(writer.db.myPlayers, [2, 3, 4, 5], 'mine, one less');
      await subscribe(other, t => t.team.leftSemijoin(t.winners, (team, w) => team.id.eq(w.team)));
      await shows(other.db.team, [2], 'teams of winners');
      await call(writer, 'put_player', { ...people[4], score: 0 });
      await shows(other.db.team, [], 'teams without winners');
      await close(writer);
      await close(other);
    });
  });
}

test('everybody sees the notes that the rules show them, as long as they do', async () => {
  const [ann, bob] = [await connect(), await connect()];
  const owner = await connect({ token: ownerToken() });
  for (const connection of [ann, bob, owner]) {
    await subscribe(connection, t => [t.note]);
  }
  await call(ann, 'write_note', { id: 1n, team: 1, text: 'mine' });
  await call(bob, 'write_note', { id: 2n, team: 1, text: 'of bob, for team 1' });
  await call(bob, 'write_note', { id: 3n, team: 2, text: 'of bob, for team 2' });
  await shows(ann.db.note, [1], 'ann sees her own');
  await shows(bob.db.note, [2, 3], 'bob sees his own');
  await shows(owner.db.note, [1, 2, 3], 'the owner sees all');
  const events = record(ann.db.note);
  await call(ann, 'join_team', { team: 1 });
  await shows(ann.db.note, [1, 2], "ann sees her team's");
  await call(ann, 'join_team', { team: 2 });
  await call(bob, 'drop_note', { id: 2n });
  await shows(ann.db.note, [1, 3], 'a note goes for everybody');
  await call(ann, 'leave_team', { team: 1 });
  await call(ann, 'leave_team', { team: 2 });
  await shows(ann.db.note, [1], 'ann is alone again');
  assert.deepEqual(events, [['insert', 2], ['insert', 3], ['delete', 2], ['delete', 3]]);
  const late = await connect({ token: bob.token });
  assert.equal(late.identity.isEqual(bob.identity), true);
  await subscribe(late, t => t.note.where(n => n.team.eq(2)));
  assert.deepEqual(ids(late.db.note), [3], 'the same person on another connection');
  await shows(owner.db.note, [1, 3], 'the owner still sees all');
  for (const connection of [ann, bob, owner, late]) {
    await close(connection);
  }
});

test('a row of several subscriptions is one row, and goes with the last of them', async () => {
  const connection = await connect();
  await fill(connection);
  const events = record(connection.db.player);
  const handles = [
    await subscribe(connection, t => t.player.where(p => p.id.lte(3))),
    await subscribe(connection, t => t.player.where(p => p.team.eq(1))),
    await subscribe(connection, ['SELECT * FROM player WHERE id = 1', 'SELECT * FROM player WHERE team = 1']),
  ];
  assert.deepEqual(ids(connection.db.player), [1, 2, 3]);
  assert.deepEqual(events.filter(e => e[0] === 'insert').map(e => e[1]).sort(), [1, 2, 3]);
  events.length = 0;
  await call(connection, 'put_player', { ...people[0], score: 6 });
  assert.deepEqual(events, [['update', 1, 1]], 'one change is one event');
  await unsubscribe(handles[2]);
  await unsubscribe(handles[0]);
  assert.deepEqual(ids(connection.db.player), [1, 2]);
  assert.deepEqual(events.slice(1), [['delete', 3]]);
  await unsubscribe(handles[1]);
  assert.deepEqual(ids(connection.db.player), []);
  await call(connection, 'put_player', { ...people[0], score: 7 });
  assert.equal(events.length, 4, 'nothing is told after the last one has ended');
  await close(connection);
});

test('rows without a key come and go by value', async () => {
  const connection = await connect();
  const events = record(connection.db.remark, row => `${row.text} ${row.weight}`);
  await subscribe(connection, t => t.remark.where(r => r.weight.gt(-1n)));
  for (const [text, weight] of [['a', 1n], ['a', 1n], ['a', 2n], ['b', -5n]]) {
    await call(connection, 'put_remark', { text, weight });
  }
  await call(connection, 'drop_remark', { text: 'a', weight: 1n });
  assert.deepEqual(events, [['insert', 'a 1'], ['insert', 'a 2'], ['delete', 'a 1']]);
  assert.deepEqual(all(connection.db.remark), [{ text: 'a', weight: 2n }]);
  await close(connection);
});

test('events are told once and kept by nobody', async () => {
  const [sender, some, every] = [await connect(), await connect(), await connect()];
  const heard = { some: [], every: [] };
  some.db.ping.onInsert((_context, row) => heard.some.push(row.text));
  every.db.ping.onInsert((_context, row) => heard.every.push(`${row.from} ${row.text}`));
  await subscribe(some, t => t.ping.where(p => p.from.eq(2)));
  await subscribe(every, t => [t.ping]);
  await call(sender, 'send_ping', { from: 1, count: 2 });
  await call(sender, 'send_ping', { from: 2, count: 1 });
  await until(() => heard.every.length >= 3 && heard.some.length >= 1, 'the pings');
  assert.deepEqual(heard.every.slice(0, 2).sort(), ['1 ping 0', '1 ping 1']);
  assert.deepEqual(heard.every.slice(2), ['2 ping 0']);
  assert.deepEqual(heard.some, ['ping 0']);
  assert.equal(some.db.ping.count() + every.db.ping.count(), 0n);
  const late = await connect();
  await subscribe(late, t => [t.ping]);
  assert.equal(late.db.ping.count(), 0n, 'who comes later hears nothing');
  for (const connection of [sender, some, every, late]) {
    await close(connection);
  }
});

test('subscribed to all tables, a client has all that it may see', async () => {
  const connection = await connect();
  await fill(connection);
  await call(connection, 'write_note', { id: 9n, team: 1, text: 'note' });
  await call(connection, 'put_secret', { id: 1, word: 'hush' });
  const pings = [];
  connection.db.ping.onInsert((_context, row) => pings.push(row.text));
  await within(
    20_000,
    new Promise((resolve, reject) =>
      connection
        .subscriptionBuilder()
        .onApplied(resolve)
        .onError(context => reject(context.event))
        .subscribeToAllTables()
    ),
    'subscribe to all tables'
  );
  assert.deepEqual(names(connection.db.player), people.map(p => p.name).sort());
  assert.deepEqual(ids(connection.db.team), [1, 2]);
  assert.deepEqual(ids(connection.db.note), [9]);
  assert.deepEqual(ids(connection.db.myPlayers), [1, 2, 3, 4, 5]);
  assert.deepEqual(ids(connection.db.firstPlayer), [1]);
  assert.deepEqual(ids(connection.db.winners), [3, 5]);
  await call(connection, 'send_ping', { from: 1, count: 3 });
  await call(connection, 'drop_player', { id: 3 });
  assert.deepEqual(pings.sort(), ['ping 0', 'ping 1', 'ping 2']);
  assert.deepEqual(ids(connection.db.winners), [5]);
  await close(connection);
});

test('a bad query is refused by itself, and others live on', async () => {
  const connection = await connect();
  await fill(connection);
  await subscribe(connection, t => t.player.where(p => p.team.eq(1)));
  for (const [query, words] of [
    ['SELECT * FROM nowhere', 'no such table: `nowhere`'],
    ['SELECT * FROM secret', 'no such table: `secret`'],
    ['SELECT name FROM player', 'Column projections are not supported in subscriptions'],
    ['SELECT * FROM player WHERE height = 3', '`height` is not in scope'],
    ["SELECT * FROM player WHERE score = 'x'", 'cannot be parsed as type `I32`'],
  ]) {
    const error = await refused(connection, ['SELECT * FROM team', query]);
    assert.ok(String(error.message ?? error).includes(words), `${query}: ${error.message ?? error}`);
  }
  assert.equal(connection.db.team.count(), 0n, 'nothing of a refused request is there');
  await call(connection, 'put_player', { id: 8, name: 'hal', team: 1, score: 1 });
  assert.deepEqual(ids(connection.db.player), [1, 2, 8]);
  await subscribe(connection, ['SELECT * FROM team']);
  assert.deepEqual(ids(connection.db.team), [1, 2]);
  const owner = await connect({ token: ownerToken() });
  const error = await refused(owner, ['SELECT * FROM secret WHERE nothing = 1']);
  assert.ok(String(error.message ?? error).includes('`nothing` is not in scope'), 'the owner may look at secrets');
  await close(owner);
  await close(connection);
});

test('a call that fails leaves nothing, and answers come in the order of the calls', async () => {
  const connection = await connect();
  await subscribe(connection, ['SELECT * FROM player']);
  const events = record(connection.db.player);
  const order = [];
  const calls = [];
  for (let id = 1; id <= 20; id++) {
    const made = id % 3 === 0
      ? connection.reducers.putPlayerAndFail({ id }).then(() => 'done', error => String(error.message))
      : connection.reducers.putPlayer({ id, name: `p${id}`, team: 1, score: id }).then(() => 'done');
    calls.push(made.then(outcome => {
      order.push(id);
      const there = Boolean(connection.db.player.id.find(id));
      assert.equal(there, id % 3 !== 0, `the cache when call ${id} is answered`);
      return outcome;
    }));
  }
  const outcomes = await within(20_000, Promise.all(calls), 'twenty calls');
  assert.deepEqual(order, Array.from({ length: 20 }, (_, i) => i + 1));
  outcomes.forEach((outcome, i) => assert.equal(outcome, (i + 1) % 3 === 0 ? 'never mind' : 'done'));
  assert.deepEqual(events.map(e => e[1]), order.filter(id => id % 3 !== 0));
  await close(connection);
});

test('a client that comes back finds what happened meanwhile', async () => {
  const writer = await connect();
  await fill(writer);
  const first = await connect();
  await subscribe(first, t => [t.player, t.team]);
  await close(first);
  await call(writer, 'drop_player', { id: 1 });
  await call(writer, 'put_team', { id: 9, title: 'new' });
  const again = await connect({ token: first.token });
  assert.equal(again.identity.isEqual(first.identity), true);
  await subscribe(again, t => [t.player, t.team]);
  assert.deepEqual(ids(again.db.player), [2, 3, 4, 5]);
  assert.deepEqual(ids(again.db.team), [1, 2, 9]);
  await close(again);
  await close(writer);
});
