// SPDX-License-Identifier: Apache-2.0
// What tests/modules/live declares to clients: tables, views among them, and reducers.
import { t } from 'spacetimedb';

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
  ['team', { id: t.u32().primaryKey(), title: t.string() }],
  ['remark', { text: t.string(), weight: t.i64() }],
  ['ping', { from: t.u32(), text: t.string() }, { event: true }],
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
  ['my_players', player],
  ['first_player', player],
  ['winners', player],
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
];
