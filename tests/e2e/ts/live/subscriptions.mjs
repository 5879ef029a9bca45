// SPDX-License-Identifier: Apache-2.0
/*
 * Goal: subscriptions begin and end each by itself, and what several of them show is there once. Method: queries that
 * overlap, repeat each other, fail, end before they began, and begin inside callbacks; every row event is counted.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownerToken, subscribe, within } from '../host.mjs';
import {
  all, call, change, client, fill, ids, people, record, refused, settle, shows, unsubscribe, ways,
} from './world.mjs';

for (const way of ways) {
  test(`a row of several subscriptions is one row, ${way.protocol}, ${way.compression}`, async () => {
    const connection = await client(way);
    await fill(connection);
    const events = record(connection.db.player);
    const handles = [
      await subscribe(connection, t => t.player.where(p => p.id.lte(3))),
      await subscribe(connection, t => t.player.where(p => p.team.eq(1))),
      await subscribe(connection, ['SELECT * FROM player WHERE id = 1', 'SELECT * FROM player WHERE team = 1']),
    ];
    assert.deepEqual(ids(connection.db.player), [1, 2, 3]);
    assert.deepEqual(events.splice(0).sort(), [['insert', 1], ['insert', 2], ['insert', 3]]);
    await call(connection, 'put_player', { ...people[0], score: 6 });
    assert.deepEqual(events.splice(0), [['update', 1, 1]], 'one change is one event');
    await call(connection, 'put_player', { ...people[0], score: 6, team: 2 });
    assert.deepEqual(events.splice(0), [['update', 1, 1]], 'it leaves one of them');
    await call(connection, 'put_player', { ...people[2], id: 6, name: 'flo', team: 1 });
    assert.deepEqual(events.splice(0), [['insert', 6]], 'one enters two of them');
    await change(connection, ['DropPlayer', 6], ['PutPlayer', people[0]]);
    assert.deepEqual(events.splice(0).sort(), [['delete', 6], ['update', 1, 1]]);
    await unsubscribe(handles[2]);
    assert.deepEqual(events, [], 'others show all of it');
    await unsubscribe(handles[0]);
    assert.deepEqual(ids(connection.db.player), [1, 2]);
    assert.deepEqual(events.splice(0), [['delete', 3]]);
    await unsubscribe(handles[1]);
    assert.deepEqual(ids(connection.db.player), []);
    assert.deepEqual(events.splice(0).sort(), [['delete', 1], ['delete', 2]]);
    await call(connection, 'put_player', { ...people[0], score: 7 });
    assert.deepEqual(events, [], 'nothing is told after the last one has ended');
    assert.deepEqual(handles.map(handle => [handle.isActive(), handle.isEnded()]), Array(3).fill([false, true]));
  });
}

test('rows without a key come and go by value', async () => {
  const connection = await client();
  const events = record(connection.db.remark, row => `${row.text} ${row.weight}`);
  const handle = await subscribe(connection, t => t.remark.where(r => r.weight.gt(-1n)));
  await subscribe(connection, "SELECT * FROM remark WHERE text = 'a'");
  for (const [text, weight] of [['a', 1n], ['a', 1n], ['a', 2n], ['b', 3n], ['b', -5n], ['a', -5n]]) {
    await call(connection, 'put_remark', { text, weight });
  }
  await call(connection, 'drop_remark', { text: 'a', weight: 1n });
  await unsubscribe(handle);
  await change(connection, ['DropRemark', { text: 'a', weight: 2n }], ['PutRemark', { text: 'a', weight: 2n }]);
  assert.deepEqual(events, [
    ['insert', 'a 1'], ['insert', 'a 2'], ['insert', 'b 3'], ['insert', 'a -5'], ['delete', 'a 1'], ['delete', 'b 3'],
  ]);
  assert.deepEqual(all(connection.db.remark), [{ text: 'a', weight: 2n }, { text: 'a', weight: -5n }]);
});

test('subscribed to all tables, a client has all that it may see', async () => {
  const connection = await client();
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
  const everybody = [1, 2, 3, 4, 5];
  const wanted = {
    player: everybody, team: [1, 2], remark: [], ping: [], whisper: [], node: [], note: [9], reply: [], bell: [],
    myPlayers: everybody, firstPlayer: [1], winners: [3, 5], winningTeams: [2], mySecrets: [1],
  };
  for (const [table, expected] of Object.entries(wanted)) {
    assert.deepEqual(ids(connection.db[table]), expected, table);
  }
  assert.equal(connection.db.standings.count(), 3n);
  await call(connection, 'send_ping', { from: 1, count: 3 });
  await call(connection, 'drop_player', { id: 3 });
  assert.deepEqual(pings.sort(), ['ping 0', 'ping 1', 'ping 2']);
  assert.deepEqual(ids(connection.db.winners), [5]);
});

test('everything by the text of the host: all but events', async () => {
  const connection = await client();
  await fill(connection);
  const pings = record(connection.db.ping, row => row.text);
  await subscribe(connection, 'SELECT * FROM *');
  assert.deepEqual(ids(connection.db.player), [1, 2, 3, 4, 5]);
  assert.deepEqual(ids(connection.db.winners), [3, 5]);
  await call(connection, 'send_ping', { from: 1, count: 1 });
  assert.deepEqual(pings, []);
});

test('a bad query is refused by itself, and others live on', async () => {
  const connection = await client();
  await fill(connection);
  await subscribe(connection, t => t.player.where(p => p.team.eq(1)));
  for (const [query, words] of [
    ['SELECT * FROM nowhere', 'no such table: `nowhere`'],
    ['SELECT * FROM secret', 'no such table: `secret`'],
    ['SELECT name FROM player', 'Column projections are not supported in subscriptions'],
    ['SELECT * FROM player WHERE height = 3', '`height` is not in scope'],
    ["SELECT * FROM player WHERE score = 'x'", 'cannot be parsed as type `I32`'],
    ['SELECT player.* FROM player JOIN team ON player.name = team.id', 'Unexpected type'],
    ['DELETE FROM team', 'Non-SELECT queries'],
    ['SELECT', ''],
  ]) {
    const error = await refused(connection, ['SELECT * FROM team', query]);
    assert.ok(error instanceof Error && error.message.includes(words), `${query}: ${error.message ?? error}`);
  }
  assert.equal(connection.db.team.count(), 0n, 'nothing of a refused request is there');
  await call(connection, 'put_player', { id: 8, name: 'hal', team: 1, score: 1 });
  assert.deepEqual(ids(connection.db.player), [1, 2, 8]);
  await subscribe(connection, ['SELECT * FROM team']);
  assert.deepEqual(ids(connection.db.team), [1, 2]);
  const owner = await client({ token: ownerToken() });
  const error = await refused(owner, ['SELECT * FROM secret WHERE nothing = 1']);
  assert.ok(error.message.includes('`nothing` is not in scope'), 'the owner may look at secrets');
});

test('a subscription that ends before it began leaves nothing', async () => {
  const connection = await client();
  await fill(connection);
  const events = record(connection.db.player);
  const said = [];
  const ended = new Promise(end => {
    const handle = connection
      .subscriptionBuilder()
      .onApplied(() => said.push('applied'))
      .subscribe(t => t.player);
    handle.unsubscribeThen(() => end(said.push('ended')));
    assert.throws(() => handle.unsubscribe(), /already/);
  });
  const kept = subscribe(connection, t => t.player.where(p => p.id.eq(2)));
  await within(10_000, ended, 'the end');
  await kept;
  assert.deepEqual(said, ['applied', 'ended']);
  await shows(connection, 'player', [2], 'what the other shows');
  await change(connection, ['DropPlayer', 1], ['PutPlayer', { ...people[1], score: 1 }]);
  const of = id => events.filter(event => event[1] === id).map(event => event[0]);
  assert.deepEqual([1, 3, 4, 5].map(of), Array(4).fill(['insert', 'delete']));
  assert.deepEqual(of(2).filter(kind => kind === 'update'), ['update']);
});

test('a subscription may begin in the callback of another, and in that of a row', async () => {
  const connection = await client();
  await fill(connection);
  const inside = new Promise((resolve, reject) => {
    connection.db.team.onInsert((context, team) => {
      const player = context.db.player;
      context
        .subscriptionBuilder()
        .onApplied(() => player.count() === 5n && resolve(team.id))
        .onError(error => reject(error.event))
        .subscribe(`SELECT * FROM player WHERE team = ${team.id}`);
    });
  });
  await within(
    10_000,
    new Promise(resolve =>
      connection
        .subscriptionBuilder()
        .onApplied(context => {
          assert.equal(context.db.player.count(), 1n);
          context.subscriptionBuilder().onApplied(resolve).subscribe('SELECT * FROM team');
        })
        .subscribe('SELECT * FROM player WHERE team = 3')
    ),
    'the inner subscription'
  );
  assert.equal(await within(10_000, inside, 'the subscriptions of rows'), 2);
});

test('fifty subscriptions at once, ended in another order', async () => {
  const connection = await client();
  const count = 50;
  await change(
    connection,
    ...Array.from({ length: count }, (_, id) => ['PutPlayer', { id, name: `p${id}`, team: id % 5, score: id }])
  );
  const events = record(connection.db.player);
  const handles = await Promise.all(
    Array.from({ length: count }, (_, id) => subscribe(connection, t => t.player.where(p => p.id.gte(id))))
  );
  assert.equal(events.length, count, 'each row once');
  events.length = 0;
  await change(connection, ['PutPlayer', { id: 49, name: 'p49', team: 0, score: -1 }], ['DropPlayer', 48]);
  assert.deepEqual(events.splice(0), [['update', 49, 49], ['delete', 48]]);
  // The row n is shown by the subscriptions 0 to n: gone when the last of them is.
  for (let id = 0; id < count; id++) {
    await unsubscribe(handles[(id * 7) % count]);
  }
  assert.deepEqual(events.map(event => event[0]), Array(count - 1).fill('delete'));
  assert.equal(connection.db.player.count(), 0n);
  await settle(connection);
});
