// SPDX-License-Identifier: Apache-2.0
//! The world of tests/modules/live as plain maps: what a change does to it, and what each query shows of it to whom.
//! Written from the module's text, not from what any host answers.

use crate::bindings::*;
use crate::module::*;
use spacetimedb_sdk::__codegen::__query_builder::Query as _;
use spacetimedb_sdk::Identity;
use std::collections::BTreeMap;

#[derive(Clone, Default)]
pub struct World {
    players: BTreeMap<u32, Player>,
    teams: BTreeMap<u32, Team>,
    nodes: BTreeMap<u32, Node>,
    notes: BTreeMap<u64, Note>,
    replies: BTreeMap<u32, Reply>,
    remarks: Vec<Remark>,
    members: Vec<(Identity, u32)>,
}

/// Who looks.
#[derive(Clone, Copy)]
pub struct Eyes {
    pub identity: Identity,
    pub owner: bool,
}

impl World {
    /// The world after a transaction of `me`; the same one if the transaction fails.
    pub fn after(&self, me: Identity, changes: &[Change]) -> Self {
        let mut next = self.clone();
        for change in changes.iter().cloned() {
            match change {
                Change::Fail(_) => return self.clone(),
                other => next.make(me, other),
            }
        }
        next
    }

    fn make(&mut self, me: Identity, change: Change) {
        match change {
            Change::PutPlayer(NewPlayer { id, name, team, score }) => {
                self.players.insert(id, Player { id, name, team, score, online: score >= 0, owner: me });
            }
            Change::DropPlayer(id) => drop(self.players.remove(&id)),
            Change::PutTeam(team) => drop(self.teams.insert(team.id, team)),
            Change::DropTeam(id) => drop(self.teams.remove(&id)),
            Change::PutRemark(remark) => {
                self.remarks.retain(|r| *r != remark);
                self.remarks.push(remark);
            }
            Change::DropRemark(remark) => self.remarks.retain(|r| *r != remark),
            Change::PutNode(node) => drop(self.nodes.insert(node.id, node)),
            Change::DropNode(id) => drop(self.nodes.remove(&id)),
            Change::WriteNote(NewNote { id, team, text }) => {
                self.notes.insert(id, Note { id, author: me, team, text });
            }
            Change::DropNote(id) => drop(self.notes.remove(&id)),
            Change::PutReply(reply) => drop(self.replies.insert(reply.id, reply)),
            Change::DropReply(id) => drop(self.replies.remove(&id)),
            Change::JoinTeam(team) => self.members.push((me, team)),
            Change::LeaveTeam(team) => self.members.retain(|member| *member != (me, team)),
            Change::Ping(_) | Change::Fail(_) => (),
        }
    }

    fn sees(&self, me: Eyes, note: &Note) -> bool {
        me.owner || note.author == me.identity || self.members.contains(&(me.identity, note.team))
    }

    fn notes(&self, me: Eyes) -> impl Iterator<Item = &Note> {
        self.notes.values().filter(move |note| self.sees(me, note))
    }

    fn players(&self, wanted: impl Fn(&Player) -> bool) -> Vec<Vec<u8>> {
        self.players.values().filter(|p| wanted(p)).map(Row::bytes).collect()
    }

    fn teams(&self, wanted: impl Fn(u32) -> bool) -> Vec<Vec<u8>> {
        self.teams.values().filter(|t| wanted(t.id)).map(Row::bytes).collect()
    }

    fn nodes(&self, wanted: impl Fn(&Node) -> bool) -> Vec<Vec<u8>> {
        self.nodes.values().filter(|n| wanted(n)).map(Row::bytes).collect()
    }

    fn open(&self, id: u32) -> bool {
        self.nodes.get(&id).is_some_and(|n| n.open)
    }

    /// Whether a team has a player with more points than these.
    fn scores(&self, team: u32, points: i32) -> bool {
        self.players.values().any(|p| p.team == team && p.score > points)
    }

    fn standings(&self, more_than: u32) -> Vec<Vec<u8>> {
        let mut all = BTreeMap::new();
        for player in self.players.values() {
            let standing = all.entry(player.team).or_insert(Standing { team: player.team, players: 0, total: 0 });
            standing.players += 1;
            standing.total += i64::from(player.score);
        }
        all.values().filter(|s| s.players > more_than).map(Row::bytes).collect()
    }
}

/// A query: the table of its rows, its text, and what it shows of the world to whom; `k` is any small number.
pub struct Query {
    pub table: &'static str,
    pub sql: fn(k: u32, me: Identity) -> String,
    pub rows: fn(&World, Eyes, k: u32) -> Vec<Vec<u8>>,
}

macro_rules! queries {
    ($($Row:ident:
        |$k:pat_param, $me:pat_param| $sql:expr,
        |$w:pat_param, $eyes:pat_param, $n:pat_param| $rows:expr;)*) => {
        pub const QUERIES: &[Query] = &[$(Query {
            table: $Row::TABLE,
            sql: |$k, $me| $sql,
            rows: |$w, $eyes, $n| $rows,
        }),*];
    };
}

queries! {
    Player: |k, _| from::<Player>().r#where(|p| p.id.lte(k)).into_sql(), |w, _, k| w.players(|p| p.id <= k);
    Player: |k, _| from::<Player>().r#where(|p| p.team.eq(k).or(p.score.lt(0)).not()).into_sql(),
        |w, _, k| w.players(|p| p.team != k && p.score >= 0);
    Player: |_, me| from::<Player>().r#where(|p| p.owner.eq(me)).into_sql(),
        |w, me, _| w.players(|p| p.owner == me.identity);
    Player: |_, _| from::<Player>().left_semijoin(from::<Team>(), |p, t| p.team.eq(t.id)).into_sql(),
        |w, _, _| w.players(|p| w.teams.contains_key(&p.team));
    Player: |_, _| "SELECT p.* FROM player p JOIN member m ON p.team = m.team WHERE m.who = :sender".into(),
        |w, me, _| w.players(|p| w.members.contains(&(me.identity, p.team)));
    Team: |k, _| from::<Player>()
            .r#where(|p| p.score.gt(10 * k as i32))
            .right_semijoin(from::<Team>(), |p, t| p.team.eq(t.id))
            .into_sql(),
        |w, _, k| w.teams(|t| w.scores(t, 10 * k as i32));
    Team: |_, _| from::<Team>().left_semijoin(from::<Winner>(), |t, winner| t.id.eq(winner.team)).into_sql(),
        |w, _, _| w.teams(|t| w.scores(t, 100));
    Team: |_, _| from::<Note>().right_semijoin(from::<Team>(), |n, t| n.team.eq(t.id)).into_sql(),
        |w, me, _| w.teams(|t| w.notes(me).any(|n| n.team == t));
    Node: |_, _| "SELECT c.* FROM node c JOIN node p ON c.parent = p.id WHERE p.open = true".into(),
        |w, _, _| w.nodes(|n| w.open(n.parent));
    Node: |_, _| "SELECT c.* FROM node c JOIN node p ON c.parent = p.id JOIN node g ON p.parent = g.id \
                  WHERE g.open = true".into(),
        |w, _, _| w.nodes(|n| w.nodes.get(&n.parent).is_some_and(|p| w.open(p.parent)));
    Node: |_, _| from::<Node>().left_semijoin(from::<Remark>(), |n, r| n.label.eq(r.text)).into_sql(),
        |w, _, _| w.nodes(|n| w.remarks.iter().any(|r| r.text == n.label));
    Remark: |k, _| from::<Remark>().r#where(|r| r.weight.ne(i64::from(k))).into_sql(),
        |w, _, k| w.remarks.iter().filter(|r| r.weight != i64::from(k)).map(Row::bytes).collect();
    Remark: |_, _| from::<Remark>().r#where(|r| r.text.gt("b".to_string())).into_sql(),
        |w, _, _| w.remarks.iter().filter(|r| r.text.as_str() > "b").map(Row::bytes).collect();
    Note: |_, _| from::<Note>().into_sql(), |w, me, _| w.notes(me).map(Row::bytes).collect();
    Note: |_, _| from::<Note>().left_semijoin(from::<Team>(), |n, t| n.team.eq(t.id)).into_sql(),
        |w, me, _| w.notes(me).filter(|n| w.teams.contains_key(&n.team)).map(Row::bytes).collect();
    Reply: |_, _| from::<Reply>().into_sql(),
        |w, me, _| w.replies
            .values()
            .filter(|r| me.owner || w.notes(me).any(|n| n.id == r.note))
            .map(Row::bytes)
            .collect();
    MyPlayer: |_, _| from::<MyPlayer>().into_sql(), |w, me, _| w.players(|p| p.owner == me.identity);
    FirstPlayer: |_, _| from::<FirstPlayer>().into_sql(), |w, _, _| w.players(|p| p.id == 1);
    Winner: |_, _| from::<Winner>().into_sql(), |w, _, _| w.players(|p| p.score > 100);
    Winner: |_, _| from::<Winner>().left_semijoin(from::<MyPlayer>(), |winner, p| winner.id.eq(p.id)).into_sql(),
        |w, me, _| w.players(|p| p.score > 100 && p.owner == me.identity);
    WinningTeam: |_, _| from::<WinningTeam>().into_sql(), |w, _, _| w.teams(|t| w.scores(t, 100));
    Standing: |k, _| from::<Standing>().r#where(|s| s.players.gt(k % 3)).into_sql(), |w, _, k| w.standings(k % 3);
}
