// SPDX-License-Identifier: Apache-2.0
/*
 * The world of tests/modules/live as plain objects: what a change does to it, and what each query shows of it to whom.
 * Written from the module's text, not from what any host answers.
 */
const overlay = (map, id, row) => map.set(id, { id, ...row });

/** Everything that the tables hold; keys are what makes rows the same. */
export function emptyWorld() {
  return {
    player: new Map(), team: new Map(), node: new Map(), note: new Map(), reply: new Map(), remark: new Map(),
    members: [],
  };
}

const effects = {
  PutPlayer: (w, me, { id, ...row }) => overlay(w.player, id, { ...row, online: row.score >= 0, owner: me }),
  DropPlayer: (w, me, id) => w.player.delete(id),
  PutTeam: (w, me, { id, ...row }) => overlay(w.team, id, row),
  DropTeam: (w, me, id) => w.team.delete(id),
  PutNode: (w, me, { id, ...row }) => overlay(w.node, id, row),
  DropNode: (w, me, id) => w.node.delete(id),
  WriteNote: (w, me, { id, ...row }) => overlay(w.note, Number(id), { author: me, ...row }),
  DropNote: (w, me, id) => w.note.delete(Number(id)),
  PutReply: (w, me, { id, note, text }) => overlay(w.reply, id, { note: Number(note), text }),
  DropReply: (w, me, id) => w.reply.delete(id),
  PutRemark: (w, me, row) => w.remark.set(`${row.text} ${row.weight}`, { ...row, weight: Number(row.weight) }),
  DropRemark: (w, me, row) => w.remark.delete(`${row.text} ${row.weight}`),
  JoinTeam: (w, me, team) => w.members.push({ who: me, team }),
  LeaveTeam: (w, me, team) => (w.members = w.members.filter(m => m.who !== me || m.team !== team)),
  Ping: () => {},
};

/** The world after a transaction of `me`; the same one if the transaction fails. */
export function after(world, me, changes) {
  if (changes.some(([tag]) => tag === 'Fail')) {
    return world;
  }
  const next = { ...world, members: [...world.members] };
  for (const table of ['player', 'team', 'node', 'note', 'reply', 'remark']) {
    next[table] = new Map(world[table]);
  }
  changes.forEach(([tag, value]) => effects[tag](next, me, value));
  return next;
}

const values = map => [...map.values()];
const winners = w => values(w.player).filter(p => p.score > 100);
const hasWinner = (w, team) => winners(w).some(p => p.team === team.id);
const mine = (w, me) => values(w.player).filter(p => p.owner === me);

function sees(w, me, note) {
  return me.owner || note.author === me.hex || w.members.some(m => m.who === me.hex && m.team === note.team);
}

const notes = (w, me) => values(w.note).filter(note => sees(w, me, note));

function standings(w) {
  const teams = new Map();
  for (const { team, score } of values(w.player)) {
    const { players, total } = teams.get(team) ?? { players: 0, total: 0 };
    teams.set(team, { team, players: players + 1, total: total + score });
  }
  return values(teams);
}

/** A name's table, its query for the SDK (`k` is any small number), and its rows for `me` in the world `w`. */
export const queries = [
  ['player', (t, k) => t.player.where(p => p.id.lte(k)), (w, me, k) => values(w.player).filter(p => p.id <= k)],
  [
    'player',
    (t, k) => t.player.where(p => p.team.eq(k).or(p.score.lt(0)).not()),
    (w, me, k) => values(w.player).filter(p => p.team !== k && p.score >= 0),
  ],
  ['player', (t, k, me) => t.player.where(p => p.owner.eq(me)), (w, me) => mine(w, me.hex)],
  [
    'player',
    t => t.player.leftSemijoin(t.team, (p, team) => p.team.eq(team.id)),
    w => values(w.player).filter(p => w.team.has(p.team)),
  ],
  [
    'player',
    () => 'SELECT p.* FROM player p JOIN member m ON p.team = m.team WHERE m.who = :sender',
    (w, me) => values(w.player).filter(p => w.members.some(m => m.who === me.hex && m.team === p.team)),
  ],
  [
    'team',
    (t, k) =>
      t.player.where(p => p.score.gt(10 * k)).rightSemijoin(t.team, (p, team) => p.team.eq(team.id)),
    (w, me, k) => values(w.team).filter(t => values(w.player).some(p => p.team === t.id && p.score > 10 * k)),
  ],
  [
    'team',
    t => t.team.leftSemijoin(t.winners, (team, winner) => team.id.eq(winner.team)),
    w => values(w.team).filter(team => hasWinner(w, team)),
  ],
  [
    'team',
    t => t.note.rightSemijoin(t.team, (note, team) => note.team.eq(team.id)),
    (w, me) => values(w.team).filter(team => notes(w, me).some(note => note.team === team.id)),
  ],
  [
    'node',
    () => 'SELECT c.* FROM node c JOIN node p ON c.parent = p.id WHERE p.open = true',
    w => values(w.node).filter(n => w.node.get(n.parent)?.open),
  ],
  [
    'node',
    () => 'SELECT c.* FROM node c JOIN node p ON c.parent = p.id JOIN node g ON p.parent = g.id WHERE g.open = true',
    w => values(w.node).filter(n => w.node.get(w.node.get(n.parent)?.parent)?.open),
  ],
  [
    'node',
    t => t.node.leftSemijoin(t.remark, (n, r) => n.label.eq(r.text)),
    w => values(w.node).filter(n => values(w.remark).some(r => r.text === n.label)),
  ],
  [
    'remark',
    (t, k) => t.remark.where(r => r.weight.ne(BigInt(k))),
    (w, me, k) => values(w.remark).filter(r => r.weight !== k),
  ],
  ['remark', t => t.remark.where(r => r.text.gt('b')), w => values(w.remark).filter(r => r.text > 'b')],
  ['note', t => t.note, notes],
  [
    'note',
    t => t.note.leftSemijoin(t.team, (note, team) => note.team.eq(team.id)),
    (w, me) => notes(w, me).filter(note => w.team.has(note.team)),
  ],
  [
    'reply',
    t => t.reply,
    (w, me) => values(w.reply).filter(r => me.owner || (w.note.has(r.note) && sees(w, me, w.note.get(r.note)))),
  ],
  ['myPlayers', t => t.myPlayers, (w, me) => mine(w, me.hex)],
  ['firstPlayer', t => t.firstPlayer, w => values(w.player).filter(p => p.id === 1)],
  ['winners', t => t.winners, winners],
  [
    'winners',
    t => t.winners.leftSemijoin(t.myPlayers, (winner, p) => winner.id.eq(p.id)),
    (w, me) => winners(w).filter(p => p.owner === me.hex),
  ],
  ['winningTeams', t => t.winningTeams, w => values(w.team).filter(team => hasWinner(w, team))],
  [
    'standings',
    (t, k) => t.standings.where(s => s.players.gt(k % 3)),
    (w, me, k) => standings(w).filter(s => s.players > k % 3),
  ],
];
