// SPDX-License-Identifier: Apache-2.0
/*
 * Goal: nobody is ever sent a row that is not theirs to see, and everybody has all that is: row-level rules, rules that
 * go through other rules, private tables, event tables. Method: several identities beside the owner, who sees all.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownerToken, sql, subscribe } from '../host.mjs';
import { call, change, client, clients, fill, ids, record, refused, rows, settle, shows, ways } from './world.mjs';

const note = (id, team) => ['WriteNote', { id: BigInt(id), team, text: `note ${id}` }];
const reply = (id, to) => ['PutReply', { id, note: BigInt(to), text: `reply ${id}` }];

for (const way of ways) {
  test(`everybody sees the notes that the rules show them, ${way.protocol}, ${way.compression}`, async () => {
    const [ann, bob] = await clients(2, way);
    const owner = await client({ ...way, token: ownerToken() });
    for (const connection of [ann, bob, owner]) {
      await subscribe(connection, t => [t.note]);
    }
    await call(ann, 'write_note', { id: 1n, team: 1, text: 'mine' });
    await call(bob, 'write_note', { id: 2n, team: 1, text: 'of bob, for team 1' });
    await call(bob, 'write_note', { id: 3n, team: 2, text: 'of bob, for team 2' });
    await shows(ann, 'note', [1], 'ann sees her own');
    await shows(bob, 'note', [2, 3], 'bob sees his own');
    await shows(owner, 'note', [1, 2, 3], 'the owner sees all');
    const events = record(ann.db.note);
    await call(ann, 'join_team', { team: 1 });
    await shows(ann, 'note', [1, 2], "ann sees her team's");
    await call(ann, 'join_team', { team: 2 });
    await call(bob, 'drop_note', { id: 2n });
    await shows(ann, 'note', [1, 3], 'a note goes for everybody');
    await call(ann, 'leave_team', { team: 1 });
    await call(ann, 'leave_team', { team: 2 });
    await shows(ann, 'note', [1], 'ann is alone again');
    assert.deepEqual(events, [['insert', 2], ['insert', 3], ['delete', 2], ['delete', 3]]);
    const late = await client({ ...way, token: bob.token });
    assert.equal(late.identity.isEqual(bob.identity), true);
    await subscribe(late, t => t.note.where(n => n.team.eq(2)));
    assert.deepEqual(ids(late.db.note), [3], 'the same person on another connection');
    await shows(owner, 'note', [1, 3], 'the owner still sees all');
  });
}

test('a note that changes hands leaves one cache and enters another', async () => {
  const [ann, bob] = await clients(2);
  const events = [];
  const happened = (expected) => assert.deepEqual(events.splice(0).sort(), expected);
  for (const [who, connection] of [['ann', ann], ['bob', bob]]) {
    await subscribe(connection, t => t.note);
    connection.db.note.onInsert(() => events.push(`${who} has it`));
    connection.db.note.onDelete(() => events.push(`${who} had it`));
    connection.db.note.onUpdate(() => events.push(`${who} keeps it`));
  }
  await change(ann, note(1, 0));
  await settle(ann, bob);
  happened(['ann has it']);
  await change(bob, note(1, 0));
  await settle(ann, bob);
  happened(['ann had it', 'bob has it']);
  await change(ann, ['JoinTeam', 1]);
  await change(bob, note(1, 1));
  await settle(ann, bob);
  happened(['ann has it', 'bob keeps it']);
  await change(ann, ['WriteNote', { id: 1n, team: 1, text: 'mine, and for my team: shown by both rules' }]);
  await change(ann, ['LeaveTeam', 1]);
  await settle(ann, bob);
  happened(['ann keeps it', 'bob had it']);
  await change(ann, ['DropNote', 1n]);
  await settle(ann, bob);
  happened(['ann had it']);
});

test('a rule through a rule: replies are seen with the notes that they answer', async () => {
  const [ann, bob] = await clients(2);
  const owner = await client({ token: ownerToken() });
  for (const connection of [ann, bob, owner]) {
    await subscribe(connection, t => t.reply);
  }
  await change(ann, note(1, 1), note(2, 2), reply(10, 1), reply(20, 2), reply(30, 3));
  await change(bob, note(3, 2), reply(11, 1));
  await shows(ann, 'reply', [10, 11, 20], 'to her notes');
  await shows(bob, 'reply', [30], 'to his note');
  await shows(owner, 'reply', [10, 11, 20, 30], 'all');
  await change(bob, ['JoinTeam', 2], ['JoinTeam', 2]);
  await shows(bob, 'reply', [20, 30], 'to notes for his team');
  await change(ann, note(2, 1), reply(11, 3));
  await shows(ann, 'reply', [10, 20], 'an answer to another note');
  await shows(bob, 'reply', [11, 30], 'a note for another team');
  await change(bob, ['LeaveTeam', 2], ['DropNote', 1n]);
  await shows(ann, 'reply', [20], 'a note goes');
  await shows(bob, 'reply', [11, 30], 'his own note is there without the team');
  await change(bob, ['DropNote', 3n]);
  await shows(bob, 'reply', [], 'nothing is left');
  await shows(owner, 'reply', [10, 11, 20, 30], 'the owner sees replies to nothing');
});

test('rules hold on both sides of a join, whoever wrote the query', async () => {
  const [ann, bob] = await clients(2);
  const owner = await client({ token: ownerToken() });
  await fill(ann);
  await change(ann, note(1, 1), note(2, 2));
  await change(bob, note(3, 2));
  for (const connection of [ann, bob, owner]) {
    await subscribe(connection, t => [
      t.note.leftSemijoin(t.team, (n, team) => n.team.eq(team.id)),
      t.note.where(n => n.id.ne(1n)).rightSemijoin(t.team, (n, team) => n.team.eq(team.id)),
    ]);
  }
  const teams = (connection, wanted, what) => shows(connection, 'team', wanted, what);
  await shows(ann, 'note', [1, 2], 'of teams, her own');
  await shows(bob, 'note', [3], 'of teams, his own');
  await shows(owner, 'note', [1, 2, 3], 'of teams, all');
  await teams(ann, [2], 'teams with notes, but the first');
  await teams(bob, [2], 'teams with notes');
  await change(ann, ['DropNote', 2n]);
  await teams(ann, [], "bob's note shows her nothing");
  await teams(bob, [2], 'as before');
  await change(bob, note(3, 1));
  await teams(bob, [1], 'his note is for another team');
  await change(ann, ['JoinTeam', 1]);
  await teams(ann, [1], 'she may see it now');
  await change(ann, ['DropTeam', 1]);
  for (const connection of [ann, bob, owner]) {
    await teams(connection, [], 'the team goes');
    await shows(connection, 'note', [], 'and notes of the team with it');
  }
});

test('private rows are shown by nothing but views', async () => {
  const [ann, bob] = await clients(2);
  const owner = await client({ token: ownerToken() });
  for (const connection of [ann, bob, owner]) {
    await subscribe(connection, t => t.mySecrets);
  }
  await call(ann, 'put_secret', { id: 1, word: 'hers' });
  await call(bob, 'put_secret', { id: 2, word: 'his' });
  await call(ann, 'put_secret', { id: 3, word: 'also hers' });
  await shows(ann, 'mySecrets', [1, 3], 'hers');
  await shows(bob, 'mySecrets', [2], 'his');
  await shows(owner, 'mySecrets', [], "owning the database is no owner's secret");
  for (const query of [
    'SELECT * FROM secret',
    'SELECT player.* FROM player JOIN secret ON player.id = secret.id',
    'SELECT secret.* FROM secret JOIN player ON player.id = secret.id',
  ]) {
    assert.match(String((await refused(ann, query)).message), /no such table: `secret`/, query);
  }
  await sql('DELETE FROM secret WHERE id = 3', ownerToken());
  await shows(ann, 'mySecrets', [1], 'what the owner deleted');
});

test('events are told once and kept by nobody', async () => {
  const [sender, some, every, twice] = await clients(4);
  const heard = connection => {
    const texts = [];
    connection.db.ping.onInsert((_context, row) => texts.push(`${row.from} ${row.text}`));
    return texts;
  };
  const [ofSome, ofEvery, ofTwice, ofSender] = [some, every, twice, sender].map(heard);
  await subscribe(some, t => t.ping.where(p => p.from.eq(2)));
  await subscribe(every, t => t.ping);
  await subscribe(twice, [`SELECT * FROM ping`]);
  await subscribe(twice, t => t.ping.where(p => p.from.eq(1)));
  await call(sender, 'send_ping', { from: 1, count: 2 });
  await call(sender, 'send_ping', { from: 2, count: 1 });
  await assert.rejects(change(sender, ['Ping', { from: 2, text: 'undone' }], ['Fail', 'no']), /no/);
  await settle(sender, some, every, twice);
  assert.deepEqual(ofEvery.slice(0, 2).sort(), ['1 ping 0', '1 ping 1']);
  assert.deepEqual(ofEvery.slice(2), ['2 ping 0']);
  assert.deepEqual(ofSome, ['2 ping 0']);
  assert.deepEqual(ofTwice.slice(0, 4).sort(), ['1 ping 0', '1 ping 0', '1 ping 1', '1 ping 1'], 'once for each');
  assert.deepEqual(ofTwice.slice(4), ['2 ping 0']);
  assert.deepEqual(ofSender, [], 'who did not ask is not told');
  const late = await client();
  const ofLate = heard(late);
  await subscribe(late, t => t.ping);
  await settle(late);
  assert.deepEqual(ofLate, [], 'who comes later hears nothing of it');
  for (const connection of [some, every, twice, late]) {
    assert.equal(connection.db.ping.count(), 0n);
  }
});

test('events can be joined with rows, and have rules', async () => {
  const [ann, bob] = await clients(2);
  const owner = await client({ token: ownerToken() });
  const heard = { ann: [], bob: [], owner: [] };
  for (const [who, connection] of [['ann', ann], ['bob', bob], ['owner', owner]]) {
    connection.db.whisper.onInsert((_context, row) => heard[who].push(row.text));
    connection.db.ping.onInsert((_context, row) => heard[who].push(`${row.from} ${row.text}`));
    await subscribe(connection, t => t.whisper);
  }
  await call(ann, 'whisper_to', { hearer: bob.identity, text: 'psst' });
  await call(bob, 'whisper_to', { hearer: bob.identity, text: 'hm' });
  await settle(ann, bob, owner);
  assert.deepEqual(heard, { ann: [], bob: ['psst', 'hm'], owner: ['psst', 'hm'] });

  await subscribe(bob, 'SELECT ping.* FROM ping JOIN team ON ping."from" = team.id');
  await change(ann, ['Ping', { from: 1, text: 'of no team' }]);
  await change(ann, ['PutTeam', { id: 1, title: 'one' }]);
  await change(ann, ['Ping', { from: 1, text: 'of a team' }], ['Ping', { from: 2, text: 'of no team' }]);
  await change(ann, ['PutTeam', { id: 3, title: 'new' }], ['Ping', { from: 3, text: 'of a team that comes with it' }]);
  await change(ann, ['DropTeam', 1], ['Ping', { from: 1, text: 'of a team that goes with it' }]);
  await settle(ann, bob, owner);
  assert.deepEqual(heard.bob.slice(2), ['1 of a team', '3 of a team that comes with it']);
  const error = await refused(bob, 'SELECT team.* FROM team JOIN ping ON ping."from" = team.id');
  assert.match(String(error.message), /Event tables cannot be used as the lookup table/);
  assert.deepEqual(rows(bob.db.ping).concat(rows(bob.db.whisper)), []);
});
