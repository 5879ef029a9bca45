// SPDX-License-Identifier: Apache-2.0
// What tests/modules/live declares to clients: tables, views among them, and reducers.
import { t } from 'spacetimedb';

const Remark = { text: t.string(), weight: t.i64() };
const Ping = { from: t.u32(), text: t.string() };
const team = { id: t.u32(), title: t.string() };
const node = { id: t.u32(), parent: t.u32(), label: t.string(), open: t.bool() };
const reply = { id: t.u32(), note: t.u64(), text: t.string() };

/** Several of these are one transaction: the reducer `change`. */
const Change = t.enum('Change', {
  PutPlayer: t.object('NewPlayer', { id: t.u32(), name: t.string(), team: t.u32(), score: t.i32() }),
  DropPlayer: t.u32(),
  PutTeam: t.object('Team', team),
  DropTeam: t.u32(),
  PutRemark: t.object('Remark', Remark),
  DropRemark: t.object('Remark', Remark),
  PutNode: t.object('Node', node),
  DropNode: t.u32(),
  WriteNote: t.object('NewNote', { id: t.u64(), team: t.u32(), text: t.string() }),
  DropNote: t.u64(),
  PutReply: t.object('Reply', reply),
  DropReply: t.u32(),
  JoinTeam: t.u32(),
  LeaveTeam: t.u32(),
  Ping: t.object('Ping', Ping),
  Fail: t.string(),
});

const player = {
  id: t.u32().primaryKey(),
  name: t.string().unique(),
  team: t.u32().index('btree'),
  score: t.i32(),
  online: t.bool(),
  owner: t.identity(),
};

export const tables = [
  ['player', player],
  ['team', { ...team, id: t.u32().primaryKey() }],
  ['remark', Remark],
  ['ping', Ping, { event: true }],
  ['whisper', { hearer: t.identity(), text: t.string() }, { event: true }],
  ['node', { ...node, id: t.u32().primaryKey(), parent: t.u32().index('btree') }],
  ['member', { id: t.u64().primaryKey(), who: t.identity().index('btree'), team: t.u32().index('btree') }],
  [
    'note',
    {
      id: t.u64().primaryKey(),
      author: t.identity().index('btree'),
      team: t.u32().index('btree'),
      text: t.string(),
    },
  ],
  ['reply', { ...reply, id: t.u32().primaryKey(), note: t.u64().index('btree') }],
  [
    'bell',
    { scheduledId: t.u64().primaryKey(), scheduledAt: t.scheduleAt(), text: t.string() },
  ],
  ['my_players', player],
  ['first_player', player],
  ['winners', player],
  ['winning_teams', { ...team, id: t.u32().primaryKey() }],
  ['my_secrets', { id: t.u32().primaryKey(), who: t.identity(), word: t.string() }],
  ['standings', { team: t.u32(), players: t.u32(), total: t.i64() }],
];

export const reducers = [
  ['put_player', { id: t.u32(), name: t.string(), team: t.u32(), score: t.i32() }],
  ['drop_player', { id: t.u32() }],
  ['put_team', { id: t.u32(), title: t.string() }],
  ['drop_team', { id: t.u32() }],
  ['merge_teams', { from: t.u32(), into: t.u32() }],
  ['put_remark', { text: t.string(), weight: t.i64() }],
  ['drop_remark', { text: t.string(), weight: t.i64() }],
  ['send_ping', { from: t.u32(), count: t.u32() }],
  ['put_secret', { id: t.u32(), word: t.string() }],
  ['join_team', { team: t.u32() }],
  ['leave_team', { team: t.u32() }],
  ['write_note', { id: t.u64(), team: t.u32(), text: t.string() }],
  ['drop_note', { id: t.u64() }],
  ['put_player_and_fail', { id: t.u32() }],
  ['whisper_to', { hearer: t.identity(), text: t.string() }],
  ['set_bell', { text: t.string(), micros: t.i64() }],
  ['change', { changes: t.array(Change) }],
];
