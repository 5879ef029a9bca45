// SPDX-License-Identifier: Apache-2.0
/*
 * Goal: a view shows what its function would give now, to each client what is theirs. Method: views with a sender and
 * without, of rows, of queries with and without a join, of rows without a key; alone and in joins.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ownerToken, sql, subscribe } from '../host.mjs';
import {
  call, change, client, clients, fill, ids, people, record, rows, settle, shows, text, unsubscribe, ways,
} from './world.mjs';

for (const way of ways) {
  describe(`${way.protocol}, ${way.compression}`, () => {
    test('views follow their tables, for everybody and for each sender', async () => {
      const [writer, other] = await clients(2, way);
      for (const connection of [writer, other]) {
        await subscribe(connection, t => [t.myPlayers, t.firstPlayer, t.winners]);
      }
      await fill(writer);
      await call(other, 'put_player', { id: 7, name: 'gus', team: 4, score: 300 });
      await shows(writer, 'myPlayers', [1, 2, 3, 4, 5], 'mine');
      await shows(other, 'myPlayers', [7], "the other's");
      for (const connection of [writer, other]) {
        await shows(connection, 'firstPlayer', [1], 'the first');
        await shows(connection, 'winners', [3, 5, 7], 'the winners');
      }
      await call(writer, 'put_player', { ...people[2], score: 1 });
      await call(writer, 'drop_player', { id: 1 });
      for (const connection of [writer, other]) {
        await shows(connection, 'firstPlayer', [], 'no first');
        await shows(connection, 'winners', [5, 7], 'fewer winners');
      }
      await shows(writer, 'myPlayers', [2, 3, 4, 5], 'mine, one less');
      await subscribe(other, t => t.team.leftSemijoin(t.winners, (team, w) => team.id.eq(w.team)));
      await shows(other, 'team', [2], 'teams of winners');
      await call(writer, 'put_player', { ...people[4], score: 0 });
      await shows(other, 'team', [], 'teams without winners');
    });
  });
}

test('a row of a view is updated by its key, and only if it changes', async () => {
  const [writer, reader] = await clients(2);
  await fill(writer);
  const events = { winners: record(reader.db.winners), first: record(reader.db.firstPlayer) };
  await subscribe(reader, t => [t.winners, t.firstPlayer.where(p => p.online)]);
  events.winners.length = events.first.length = 0;
  await change(writer, ['PutPlayer', { ...people[2], score: 121 }], ['PutPlayer', { ...people[1], score: -9 }]);
  await settle(reader);
  assert.deepEqual(events, { winners: [['update', 3, 3]], first: [] });
  await change(writer, ['DropPlayer', 3], ['PutPlayer', { ...people[2], score: 121 }]);
  await settle(reader);
  assert.deepEqual(events.winners.length, 1, 'a row that is taken and put back');
  await change(writer, ['PutPlayer', { ...people[0], score: -5 }]);
  await change(writer, ['PutPlayer', { ...people[0], score: 5 }]);
  await settle(reader);
  assert.deepEqual(events.first, [['delete', 1], ['insert', 1]], 'a condition on a view');
});

test('a call that fails leaves views as they were', async () => {
  const [writer, reader] = await clients(2);
  await fill(writer);
  await subscribe(reader, t => [t.winners, t.standings, t.winningTeams]);
  const before = rows(reader.db.standings);
  const events = [reader.db.winners, reader.db.standings, reader.db.winningTeams].map(table => record(table));
  const changes = [['DropPlayer', 3], ['PutPlayer', { ...people[0], score: 999 }], ['Fail', 'never mind']];
  await assert.rejects(change(writer, ...changes), /never mind/);
  await settle(reader);
  assert.deepEqual(events, [[], [], []]);
  assert.deepEqual(rows(reader.db.standings), before);
  await shows(reader, 'winningTeams', [2], 'as before');
});

test('rows that are in no table: the standings of teams', async () => {
  const [writer, reader] = await clients(2);
  await fill(writer);
  const standing = (team, players, total) => text({ team, players, total });
  await subscribe(reader, t => t.standings.where(s => s.total.ne(0n)));
  const events = record(reader.db.standings, text);
  assert.deepEqual(rows(reader.db.standings), [standing(1, 2, 2), standing(2, 2, 221)]);
  await change(writer, ['PutPlayer', { ...people[0], team: 2, score: 3 }]);
  await settle(reader);
  assert.deepEqual(rows(reader.db.standings), [standing(1, 1, -3), standing(2, 3, 224)]);
  await change(writer, ['DropPlayer', 2], ['PutPlayer', { ...people[3], team: 1, score: -3 }]);
  await settle(reader);
  assert.deepEqual(events.length, 4, 'equal rows of other players are equal rows');
  await sql('DELETE FROM player WHERE team = 2', ownerToken());
  await settle(reader);
  assert.deepEqual(rows(reader.db.standings), [standing(1, 1, -3)]);
  assert.deepEqual(events.slice(4), [['delete', standing(2, 3, 224)]]);
});

test('a view of a join, and joins of views', async () => {
  const [writer, reader] = await clients(2);
  await fill(writer);
  await subscribe(reader, t => t.winningTeams);
  await subscribe(reader, t => t.player.leftSemijoin(t.winningTeams, (p, team) => p.team.eq(team.id)));
  await subscribe(reader, t => t.winners.leftSemijoin(t.myPlayers, (w, mine) => w.id.eq(mine.id)));
  const events = record(reader.db.winningTeams);
  await shows(reader, 'winningTeams', [2], 'of two winners once');
  await shows(reader, 'player', [3, 5], 'who are in a winning team');
  await shows(reader, 'winners', [], 'mine');
  await call(reader, 'put_player', { ...people[0], score: 1000 });
  await shows(reader, 'winningTeams', [1, 2], 'two');
  await shows(reader, 'player', [1, 2, 3, 5], 'in winning teams');
  await shows(reader, 'winners', [1], 'mine');
  await change(writer, ['DropPlayer', 3]);
  await shows(reader, 'winningTeams', [1, 2], 'a winner is left');
  await change(writer, ['PutTeam', { id: 2, title: 'renamed' }], ['DropTeam', 1]);
  await shows(reader, 'winningTeams', [2], 'one went');
  await shows(reader, 'player', [5], 'its players with it');
  await change(writer, ['PutPlayer', people[0]]);
  await shows(reader, 'winners', [], 'no longer mine, no longer a winner');
  assert.deepEqual(events.slice(0, 1), [['insert', 1]]);
  assert.deepEqual(events.slice(1).sort(), [['delete', 1], ['update', 2, 2]]);
});

test('a view in several subscriptions goes with the last, and comes back as it is then', async () => {
  const [writer, reader] = await clients(2);
  await fill(writer);
  const events = record(reader.db.myPlayers);
  const handles = [await subscribe(reader, t => t.myPlayers), await subscribe(reader, t => [t.myPlayers, t.winners])];
  await call(reader, 'put_player', { id: 8, name: 'hal', team: 7, score: 200 });
  assert.deepEqual(events, [['insert', 8]]);
  await unsubscribe(handles[0]);
  assert.deepEqual(ids(reader.db.myPlayers), [8]);
  await unsubscribe(handles[1]);
  assert.deepEqual(ids(reader.db.myPlayers).concat(ids(reader.db.winners)), []);
  await change(writer, ['DropPlayer', 8], ['DropPlayer', 3]);
  await call(reader, 'put_player', { id: 9, name: 'ida', team: 7, score: 1 });
  await subscribe(reader, t => [t.myPlayers, t.winners]);
  assert.deepEqual(ids(reader.db.myPlayers), [9]);
  assert.deepEqual(ids(reader.db.winners), [5]);
  const fresh = await client({ token: reader.token });
  await subscribe(fresh, t => t.myPlayers);
  assert.deepEqual(ids(fresh.db.myPlayers), [9], 'the same sender on another connection');
});
