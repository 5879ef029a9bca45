// SPDX-License-Identifier: Apache-2.0
/*
 * Goal: a query's rows are what its text says, at first and after every change of any table in it.
 * Method: typed queries and SQL; the same predicate in JavaScript says what must be there.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { and, not, or } from 'spacetimedb';
import { subscribe } from '../host.mjs';
import { call, change, client, fill, ids, people, record, shows, unsubscribe, ways } from './world.mjs';

const predicates = me => [
  [p => p.id.eq(3), r => r.id === 3],
  [p => p.name.ne('ann'), r => r.name !== 'ann'],
  [p => p.name.eq("o'bob"), r => r.name === "o'bob"],
  [p => p.score.gt(0).and(p.team.lte(2)), r => r.score > 0 && r.team <= 2],
  [p => p.score.lt(0).or(p.team.eq(3)), r => r.score < 0 || r.team === 3],
  [p => p.score.gte(101).not(), r => r.score < 101],
  [p => not(and(p.team.eq(1), not(p.score.lt(0)))), r => !(r.team === 1 && r.score >= 0)],
  [
    p => or(p.id.eq(1), p.id.eq(5), p.id.eq(6)).not().and(p.online.eq(true)),
    r => ![1, 5, 6].includes(r.id) && r.score >= 0,
  ],
  [p => p.online, r => r.score >= 0],
  [p => p.online.eq(false), r => r.score < 0],
  [p => p.id.lt(p.team), r => r.id < r.team],
  [p => p.owner.eq(me), () => true],
  [p => p.owner.ne(me), () => false],
  [() => true, () => true],
  [() => false, () => false],
];

for (const way of ways) {
  describe(`${way.protocol}, ${way.compression}`, () => {
    test('typed queries give and keep what their predicates say', async () => {
      const writer = await client();
      await fill(writer);
      for (const [predicate, filter] of predicates(writer.identity)) {
        const reader = await client(way);
        const kept = new Map(people.map(row => [row.id, row]));
        const events = record(reader.db.player);
        const wanted = () => [...kept.values()].filter(filter).map(row => row.id);
        const first = wanted();
        await subscribe(reader, t => t.player.where(predicate));
        await shows(reader, 'player', first, `${predicate} at first`);
        assert.deepEqual(events.splice(0).sort(), first.map(id => ['insert', id]), `${predicate} at first`);
        for (const row of [
          { id: 1, name: 'ann', team: 3, score: 500 },
          { id: 6, name: 'flo', team: 9, score: -9 },
          { id: 6, name: 'flo', team: 2, score: 9 },
        ]) {
          const before = kept.has(row.id) && filter(kept.get(row.id));
          await call(writer, 'put_player', row);
          kept.set(row.id, row);
          await shows(reader, 'player', wanted(), `${predicate} after ${JSON.stringify(row)}`);
          const event = {
            'false true': [['insert', row.id]],
            'true false': [['delete', row.id]],
            'true true': [['update', row.id, row.id]],
          }[`${before} ${filter(row)}`];
          assert.deepEqual(events.splice(0), event ?? [], `${predicate} after ${JSON.stringify(row)}`);
        }
        await change(writer, ['DropPlayer', 6], ['PutPlayer', people[0]]);
        await shows(reader, 'player', first, `${predicate} in the end`);
      }
    });

    test('semijoins follow both sides', async () => {
      const writer = await client();
      await fill(writer);
      const reader = await client(way);
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
      await shows(reader, 'player', [1, 2, 3, 4, 5], 'a team comes');
      await call(writer, 'put_player', { ...people[3], score: 102 });
      await shows(reader, 'team', [2, 3], 'a winner comes');
      await call(writer, 'put_team', { id: 3, title: 'nobody' });
      await shows(reader, 'team', [2], 'a title changes');
      await call(writer, 'merge_teams', { from: 2, into: 3 });
      await shows(reader, 'team', [], 'both sides change at once');
      await call(writer, 'drop_team', { id: 1 });
      await shows(reader, 'player', [3, 4, 5], 'a team goes');
      assert.deepEqual(
        players.filter(event => event[0] !== 'update'),
        [['insert', 4], ['delete', 1], ['delete', 2]],
        'players whose team changed hands never left'
      );
      assert.deepEqual(players.filter(event => event[0] === 'update').map(event => event[1]).sort(), [3, 4, 5]);
    });
  });
}

const node = (id, parent, label, open = true) => ['PutNode', { id, parent, label, open }];

test('a table joined with itself, once and twice', async () => {
  const [writer, reader] = [await client(), await client()];
  await change(writer, node(1, 0, 'root'), node(2, 1, 'a'), node(3, 1, 'b', false), node(4, 2, 'c'), node(5, 3, 'd'));
  const children = 'SELECT c.* FROM node c JOIN node p ON c.parent = p.id WHERE p.open = true';
  const first = await subscribe(reader, children);
  await shows(reader, 'node', [2, 3, 4], 'children of open nodes');
  await change(writer, node(3, 1, 'b', true), node(2, 1, 'a', false));
  await shows(reader, 'node', [2, 3, 5], 'one opened, one closed');
  await change(writer, node(6, 6, 'its own parent'));
  await shows(reader, 'node', [2, 3, 5, 6], 'a row that joins itself');
  await change(writer, node(6, 6, 'its own parent', false), node(5, 2, 'd'), node(4, 3, 'c'));
  await shows(reader, 'node', [2, 3, 4], 'both sides change at once');

  const grandchildren =
    'SELECT c.* FROM node c JOIN node p ON c.parent = p.id JOIN node g ON p.parent = g.id WHERE g.open = true';
  await subscribe(reader, grandchildren);
  await unsubscribe(first);
  await shows(reader, 'node', [4, 5], 'grandchildren of open nodes');
  await change(writer, node(1, 1, 'root'));
  await shows(reader, 'node', [1, 2, 3, 4, 5], 'the root is its own parent');
  await change(writer, ['DropNode', 1]);
  await shows(reader, 'node', [], 'nobody has a grandparent');
});

test('a row is there as long as any partner is', async () => {
  const [writer, reader] = [await client(), await client()];
  await fill(writer);
  const events = record(reader.db.team);
  await subscribe(reader, 'SELECT t.* FROM team t JOIN player p ON p.team = t.id');
  assert.deepEqual(ids(reader.db.team), [1, 2]);
  await change(writer, ['DropPlayer', 3]);
  await change(writer, ['PutPlayer', { ...people[4], team: 1 }], ['PutPlayer', { ...people[3], team: 2 }]);
  await shows(reader, 'team', [1, 2], 'partners change places');
  await change(writer, ['PutTeam', { id: 1, title: 'three partners' }]);
  await change(writer, ['DropPlayer', 1], ['DropPlayer', 4]);
  await shows(reader, 'team', [1], 'one has none left');
  await change(writer, ['DropPlayer', 2], ['PutTeam', { id: 1, title: 'one partner' }]);
  await change(writer, ['DropTeam', 1], ['DropPlayer', 5]);
  await shows(reader, 'team', [], 'both sides go at once');
  assert.deepEqual(events, [
    ['insert', 1], ['insert', 2], ['update', 1, 1], ['delete', 2], ['update', 1, 1], ['delete', 1],
  ]);
});

test('columns without an index can be joined', async () => {
  const [writer, reader] = [await client(), await client()];
  await subscribe(reader, t => t.node.leftSemijoin(t.remark, (n, r) => n.label.eq(r.text)).where(n => n.open));
  const events = record(reader.db.node);
  await change(writer, node(1, 0, 'x'), node(2, 0, 'x', false), node(3, 0, 'y'));
  await change(writer, ['PutRemark', { text: 'x', weight: 1n }], ['PutRemark', { text: 'x', weight: 2n }]);
  await shows(reader, 'node', [1], 'two remarks on x');
  await change(writer, ['DropRemark', { text: 'x', weight: 1n }], node(3, 0, 'x'));
  await shows(reader, 'node', [1, 3], 'one remark on x');
  await change(writer, ['DropRemark', { text: 'x', weight: 2n }]);
  await shows(reader, 'node', [], 'none');
  assert.deepEqual(events.slice(0, 2), [['insert', 1], ['insert', 3]]);
  assert.deepEqual(events.slice(2).sort(), [['delete', 1], ['delete', 3]]);
});

test('a row twice in a join and once outside is there until the last of them', async () => {
  const [writer, reader] = [await client(), await client()];
  await fill(writer);
  await call(reader, 'join_team', { team: 1 });
  await call(reader, 'join_team', { team: 1 });
  const events = record(reader.db.player);
  const mates = 'SELECT p.* FROM player p JOIN member m ON p.team = m.team WHERE m.who = :sender';
  const handles = [await subscribe(reader, [mates, mates.replace('p.*', ' p.*')])];
  handles.push(await subscribe(reader, t => t.player.where(p => p.id.eq(1))));
  assert.deepEqual(ids(reader.db.player), [1, 2]);
  await change(writer, ['PutPlayer', { ...people[0], score: 9 }]);
  await shows(reader, 'player', [1, 2], 'after an update');
  await unsubscribe(handles[0]);
  assert.deepEqual(ids(reader.db.player), [1]);
  await call(reader, 'leave_team', { team: 1 });
  await unsubscribe(handles[1]);
  assert.deepEqual(ids(reader.db.player), []);
  assert.deepEqual(events, [['insert', 1], ['insert', 2], ['update', 1, 1], ['delete', 2], ['delete', 1]]);
});
