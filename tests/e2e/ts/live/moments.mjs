// SPDX-License-Identifier: Apache-2.0
/*
 * Goal: what callbacks see is one moment, and they learn why it came: whole transactions, in the order of commits, the
 * caller's own inside its answer. Method: calls in flight, two clients, schedules, SQL of the owner.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownerToken, sql, subscribe, until, within } from '../host.mjs';
import { all, call, change, client, clients, fill, people, record, settle, unsubscribe, ways } from './world.mjs';

for (const way of ways) {
  test(`callbacks see whole transactions, ${way.protocol}, ${way.compression}`, async () => {
    const [writer, reader] = await clients(2, way);
    await subscribe(reader, t => [t.player, t.team, t.winners, t.standings]);
    const moments = [];
    const look = () => {
      const winners = all(reader.db.player).filter(p => p.score > 100).length;
      const counted = all(reader.db.standings).reduce((sum, row) => sum + row.players, 0);
      moments.push(
        reader.db.team.count() === reader.db.player.count() &&
          reader.db.winners.count() === BigInt(winners) &&
          BigInt(counted) === reader.db.player.count()
      );
    };
    for (const table of ['player', 'team', 'winners', 'standings']) {
      reader.db[table].onInsert(look);
      reader.db[table].onDelete(look);
      reader.db[table].onUpdate?.(look);
    }
    for (let id = 0; id < 8; id++) {
      const name = `p${id}`;
      await change(writer, ['PutPlayer', { id, name, team: id, score: 98 + id }], ['PutTeam', { id, title: name }]);
    }
    for (let id = 0; id < 8; id += 2) {
      const last = { id: 7, name: 'p7', team: 1, score: id };
      await change(writer, ['DropTeam', id], ['DropPlayer', id], ['PutPlayer', last]);
    }
    await settle(reader);
    assert.ok(moments.length > 30, `${moments.length} events`);
    assert.ok(moments.every(Boolean), 'players, teams and views say the same at every moment');
  });

  test(`answers come in the order of the calls, ${way.protocol}, ${way.compression}`, async () => {
    const connection = await client(way);
    await subscribe(connection, t => t.player);
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
    assert.deepEqual(events.map(event => event[1]), order.filter(id => id % 3 !== 0));
  });
}

test('events say why: the call, another transaction, the subscription, its end', async () => {
  const [mine, other] = await clients(2);
  await fill(mine);
  const causes = [];
  for (const kind of ['onInsert', 'onUpdate', 'onDelete']) {
    mine.db.player[kind](({ event }, row) => {
      const call = event.tag === 'Reducer' ? ` ${event.value.reducer.name} ${event.value.reducer.args.id}` : '';
      causes.push(`${kind} ${row.id}: ${event.tag}${call}`);
    });
  }
  const handle = await subscribe(mine, t => t.player.where(p => p.team.eq(3)));
  await call(mine, 'put_player', { ...people[3], score: 2 });
  await call(other, 'put_player', { ...people[3], score: 3 });
  await settle(mine);
  await sql('UPDATE player SET score = 4 WHERE id = 4', ownerToken());
  await settle(mine);
  await call(mine, 'put_player', { id: 6, name: 'flo', team: 3, score: 0 });
  await call(mine, 'drop_player', { id: 4 });
  await unsubscribe(handle);
  assert.deepEqual(causes, [
    'onInsert 4: SubscribeApplied',
    'onUpdate 4: Reducer put_player 4',
    'onUpdate 4: Transaction',
    'onUpdate 4: Transaction',
    'onInsert 6: Reducer put_player 6',
    'onDelete 4: Reducer drop_player 4',
    'onDelete 6: UnsubscribeApplied',
  ]);
});

test('what a schedule does is seen by all, and its row comes and goes', async () => {
  const [ann, bob] = await clients(2);
  const seen = [];
  for (const connection of [ann, bob]) {
    await subscribe(connection, t => [t.bell, t.remark]);
    seen.push([]);
  }
  const events = [ann, bob].map((connection, i) => {
    connection.db.bell.onInsert((_context, row) => seen[i].push(`bell ${row.text}`));
    connection.db.bell.onDelete((_context, row) => seen[i].push(`no bell ${row.text}`));
    return record(connection.db.remark, row => row.text);
  });
  await call(ann, 'set_bell', { text: 'noon', micros: 50_000n });
  assert.deepEqual(seen[0], ['bell noon']);
  await until(() => events.every(e => e.length > 0) && seen.every(s => s.length > 1), 'the bell');
  await settle(ann, bob);
  assert.deepEqual(events, [[['insert', 'noon']], [['insert', 'noon']]]);
  assert.deepEqual(seen, Array(2).fill(['bell noon', 'no bell noon']));
});
