// SPDX-License-Identifier: Apache-2.0
/*
 * Goal: live queries are the same whatever carries them, and who comes back has what is true by then. Method: every
 * protocol and compression with large messages, light mode, confirmed reads and a host that is killed, reconnects.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canRestart, close, ownerToken, restart, slow, sql, subscribe, within } from '../host.mjs';
import {
  change, client, clients, fill, ids, people, record, rows, settle, shows, text, unsubscribe, ways,
} from './world.mjs';

const many = 3_000;
const remark = (i, weight) => ['PutRemark', { text: `${i} ${'x'.repeat(i % 40)}`, weight: BigInt(weight) }];
const remarks = (from, to, weight) => Array.from({ length: to - from }, (_, i) => remark(from + i, weight));
const asRow = ([, row]) => text(row);

for (const way of [...ways, { ...ways.at(-1), light: true }, { ...ways[0], confirmed: false }]) {
  test(`large messages while others write, ${JSON.stringify(way)}`, { timeout: 60_000 * slow }, async () => {
    const [writer, reader] = [await client(), await client(way)];
    assert.equal(reader.socket.protocol, way.protocol);
    await change(writer, ...remarks(0, many, 1));
    const events = { insert: 0, delete: 0 };
    reader.db.remark.onInsert(() => events.insert++);
    reader.db.remark.onDelete(() => events.delete++);
    // Rows that come and go while the first answer is made and while it travels.
    const writes = Array.from({ length: 20 }, (_, i) =>
      change(writer, ...remarks(many + i * 10, many + i * 10 + 10, 2), ['DropRemark', remark(i, 1)[1]])
    );
    const handle = await subscribe(reader, t => t.remark);
    await Promise.all(writes);
    await settle(reader);
    const wanted = [...remarks(20, many, 1), ...remarks(many, many + 200, 2)].map(asRow).sort();
    assert.deepEqual(rows(reader.db.remark), wanted);
    assert.equal(events.insert - events.delete, wanted.length, 'each row once');

    await change(writer, ...remarks(0, 200, 3));
    await sql('DELETE FROM remark WHERE weight = 2', ownerToken());
    await settle(reader);
    assert.deepEqual(rows(reader.db.remark), [...remarks(20, many, 1), ...remarks(0, 200, 3)].map(asRow).sort());
    await unsubscribe(handle);
    assert.equal(reader.db.remark.count(), 0n);
    const seen = [...reader.socket.compressions].sort();
    assert.deepEqual(seen, way.compression === 'gzip' ? [0, 2] : [0], 'how messages were packed');
  });
}

test('a client that comes back finds what happened meanwhile', async () => {
  const [writer, first] = await clients(2);
  await fill(writer);
  await subscribe(first, t => [t.player, t.team]);
  await close(first);
  await change(writer, ['DropPlayer', 1], ['PutTeam', { id: 9, title: 'new' }]);
  const again = await client({ token: first.token });
  assert.equal(again.identity.isEqual(first.identity), true);
  await subscribe(again, t => [t.player, t.team]);
  assert.deepEqual(ids(again.db.player), [2, 3, 4, 5]);
  assert.deepEqual(ids(again.db.team), [1, 2, 9]);
});

test('a client that is gone is told nothing, its caches stay with it', async () => {
  const [writer, first, other] = await clients(3);
  await fill(writer);
  for (const connection of [first, other]) {
    await subscribe(connection, t => [t.player, t.myPlayers]);
  }
  const events = record(first.db.player);
  await close(first);
  await change(writer, ['DropPlayer', 1]);
  await shows(other, 'player', [2, 3, 4, 5], 'who shared its queries');
  assert.deepEqual(events, []);
  assert.deepEqual(ids(first.db.player), [1, 2, 3, 4, 5]);
});

const restarts = { skip: !canRestart, timeout: 120_000 * slow };

test('what a confirmed client was told is there after the host was killed', restarts, async () => {
  const [writer, reader] = [await client({ confirmed: false }), await client({ confirmed: true })];
  await subscribe(reader, t => t.player);
  const told = new Set();
  const enough = new Promise(resolve =>
    reader.db.player.onInsert((_context, row) => told.add(row.id).size === 100 && resolve())
  );
  for (let id = 0; id < 400; id++) {
    writer.reducers.putPlayer({ id, name: `p${id}`, team: 1, score: 200 }).catch(() => {});
  }
  await within(20_000, enough, '100 players');
  const end = Promise.all([writer.closed, reader.closed]);
  await restart('KILL');
  await within(20_000, end, 'the ends of the old connections');
  const again = await client({ token: reader.token });
  await subscribe(again, t => [t.player, t.winners]);
  const kept = ids(again.db.player);
  assert.deepEqual([...told].filter(id => !kept.includes(id)), [], `told ${told.size}, kept ${kept.length}`);
  assert.deepEqual(kept, Array.from(kept.keys()), 'of calls in a row, the first ones');
  assert.deepEqual(ids(again.db.winners), kept, 'the view is made of them');
});

test('after a restart rules, joins and views go on', restarts, async () => {
  const [ann, bob] = await clients(2);
  const queries = t => [
    t.note, t.reply, t.myPlayers, t.winners, t.standings,
    t.player.leftSemijoin(t.team, (p, team) => p.team.eq(team.id)),
  ];
  await fill(ann);
  await change(ann, ['WriteNote', { id: 1n, team: 1, text: 'a' }], ['PutReply', { id: 1, note: 1n, text: 'r' }]);
  await subscribe(bob, queries);
  await restart();
  await within(20_000, Promise.all([ann.closed, bob.closed]), 'the ends of the old connections');
  const [ann2, bob2] = [await client({ token: ann.token }), await client({ token: bob.token })];
  for (const connection of [ann2, bob2]) {
    await subscribe(connection, queries);
  }
  const both = async (table, ofAnn, ofBob, what) => {
    await shows(ann2, table, ofAnn, what);
    await shows(bob2, table, ofBob, what);
  };
  await both('note', [1], [], 'notes');
  await both('reply', [1], [], 'replies');
  await both('myPlayers', [1, 2, 3, 4, 5], [], 'of each');
  await both('player', [1, 2, 3, 5], [1, 2, 3, 5], 'in teams');
  await both('winners', [3, 5], [3, 5], 'winners');
  await change(bob2, ['JoinTeam', 1], ['DropTeam', 2], ['PutPlayer', { ...people[0], score: 500 }]);
  await both('note', [1], [1], 'bob belongs to the team now');
  await both('reply', [1], [1], 'and sees replies');
  await both('myPlayers', [2, 3, 4, 5], [1], 'one is his now');
  await both('player', [1, 2], [1, 2], 'a team is gone');
  await both('winners', [1, 3, 5], [1, 3, 5], 'one more winner');
});
