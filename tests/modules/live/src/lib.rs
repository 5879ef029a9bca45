// SPDX-License-Identifier: Apache-2.0
//! What live queries can be about: joins, row-level rules, views, event tables, rows without a key, private rows,
//! schedules. One source for two generations of the `spacetimedb` crate: `live` and `live214` build it.

mod changes;

use spacetimedb::{
    client_visibility_filter, reducer, table, view, AnonymousViewContext, Filter, Identity, Query,
    ReducerContext, ScheduleAt, SpacetimeType, Table, TimeDuration, ViewContext,
};

#[table(accessor = player, public)]
#[derive(Clone)]
pub struct Player {
    #[primary_key]
    id: u32,
    #[unique]
    name: String,
    #[index(btree)]
    team: u32,
    score: i32,
    online: bool,
    owner: Identity,
}

#[table(accessor = team, public)]
pub struct Team {
    #[primary_key]
    id: u32,
    title: String,
}

/// Rows without a key: equal ones are one.
#[table(accessor = remark, public)]
pub struct Remark {
    text: String,
    weight: i64,
}

#[table(accessor = ping, public, event)]
pub struct Ping {
    from: u32,
    text: String,
}

/// Heard by one alone.
#[table(accessor = whisper, public, event)]
pub struct Whisper {
    hearer: Identity,
    text: String,
}

#[client_visibility_filter]
const WHISPERS_TO_ME: Filter = Filter::Sql("SELECT * FROM whisper WHERE hearer = :sender");

/// A tree: each names its parent.
#[table(accessor = node, public)]
pub struct Node {
    #[primary_key]
    id: u32,
    #[index(btree)]
    parent: u32,
    label: String,
    open: bool,
}

#[table(accessor = secret)]
pub struct Secret {
    #[primary_key]
    id: u32,
    #[index(btree)]
    who: Identity,
    word: String,
}

#[table(accessor = member, public)]
pub struct Member {
    #[primary_key]
    #[auto_inc]
    id: u64,
    #[index(btree)]
    who: Identity,
    #[index(btree)]
    team: u32,
}

/// Everybody sees what they wrote themselves, and what was written for a team that they belong to.
#[table(accessor = note, public)]
pub struct Note {
    #[primary_key]
    id: u64,
    #[index(btree)]
    author: Identity,
    #[index(btree)]
    team: u32,
    text: String,
}

#[client_visibility_filter]
const NOTES_OF_MINE: Filter = Filter::Sql("SELECT * FROM note WHERE author = :sender");

#[client_visibility_filter]
const NOTES_OF_MY_TEAMS: Filter = Filter::Sql(
    "SELECT note.* FROM note JOIN member ON note.team = member.team WHERE member.who = :sender",
);

/// Seen by whoever sees the note.
#[table(accessor = reply, public)]
pub struct Reply {
    #[primary_key]
    id: u32,
    #[index(btree)]
    note: u64,
    text: String,
}

#[client_visibility_filter]
const REPLIES_TO_NOTES: Filter = Filter::Sql("SELECT reply.* FROM reply JOIN note ON reply.note = note.id");

#[table(accessor = bell, public, scheduled(ring))]
pub struct Bell {
    #[primary_key]
    #[auto_inc]
    scheduled_id: u64,
    scheduled_at: ScheduleAt,
    text: String,
}

#[view(accessor = my_players, public)]
fn my_players(ctx: &ViewContext) -> Vec<Player> {
    let me = ctx.sender();
    (0u32..8).flat_map(|team| ctx.db.player().team().filter(team)).filter(|p| p.owner == me).collect()
}

#[view(accessor = first_player, public)]
fn first_player(ctx: &AnonymousViewContext) -> Option<Player> {
    ctx.db.player().id().find(1)
}

#[view(accessor = winners, public)]
fn winners(ctx: &AnonymousViewContext) -> impl Query<Player> {
    ctx.from.player().r#where(|p| p.score.gt(100))
}

#[view(accessor = winning_teams, public)]
fn winning_teams(ctx: &AnonymousViewContext) -> impl Query<Team> {
    ctx.from.player().r#where(|p| p.score.gt(100)).right_semijoin(ctx.from.team(), |p, t| p.team.eq(t.id))
}

/// A private table's rows, for whom they are.
#[view(accessor = my_secrets, public)]
fn my_secrets(ctx: &ViewContext) -> Vec<Secret> {
    ctx.db.secret().who().filter(ctx.sender()).collect()
}

#[derive(SpacetimeType)]
pub struct Standing {
    team: u32,
    players: u32,
    total: i64,
}

/// Rows that are in no table, without a key.
#[view(accessor = standings, public)]
fn standings(ctx: &AnonymousViewContext) -> Vec<Standing> {
    let standing = |team| {
        let scores: Vec<i64> = ctx.db.player().team().filter(team).map(|p| p.score.into()).collect();
        Standing { team, players: scores.len() as u32, total: scores.iter().sum() }
    };
    (0u32..8).map(standing).filter(|standing| standing.players > 0).collect()
}

#[reducer]
pub fn put_player(ctx: &ReducerContext, id: u32, name: String, team: u32, score: i32) -> Result<(), String> {
    let row = Player { id, name, team, score, online: score >= 0, owner: ctx.sender() };
    if ctx.db.player().id().find(id).is_some() {
        ctx.db.player().id().update(row);
        return Ok(());
    }
    ctx.db.player().try_insert(row).map(|_| ()).map_err(|error| error.to_string())
}

#[reducer]
pub fn drop_player(ctx: &ReducerContext, id: u32) {
    ctx.db.player().id().delete(id);
}

#[reducer]
pub fn put_team(ctx: &ReducerContext, id: u32, title: String) {
    if ctx.db.team().id().find(id).is_some() {
        ctx.db.team().id().update(Team { id, title });
    } else {
        ctx.db.team().insert(Team { id, title });
    }
}

#[reducer]
pub fn drop_team(ctx: &ReducerContext, id: u32) {
    ctx.db.team().id().delete(id);
}

/// Both sides of a join change in one transaction: a team goes, its players move.
#[reducer]
pub fn merge_teams(ctx: &ReducerContext, from: u32, into: u32) {
    ctx.db.team().id().delete(from);
    let players: Vec<Player> = ctx.db.player().team().filter(from).collect();
    for player in players {
        ctx.db.player().id().update(Player { team: into, ..player });
    }
}

#[reducer]
pub fn put_remark(ctx: &ReducerContext, text: String, weight: i64) {
    ctx.db.remark().insert(Remark { text, weight });
}

#[reducer]
pub fn drop_remark(ctx: &ReducerContext, text: String, weight: i64) {
    ctx.db.remark().delete(Remark { text, weight });
}

#[reducer]
pub fn send_ping(ctx: &ReducerContext, from: u32, count: u32) {
    for i in 0..count {
        ctx.db.ping().insert(Ping { from, text: format!("ping {i}") });
    }
}

#[reducer]
pub fn put_secret(ctx: &ReducerContext, id: u32, word: String) {
    ctx.db.secret().insert(Secret { id, who: ctx.sender(), word });
}

#[reducer]
pub fn whisper_to(ctx: &ReducerContext, hearer: Identity, text: String) {
    ctx.db.whisper().insert(Whisper { hearer, text });
}

/// Leaves a remark, `micros` from now.
#[reducer]
pub fn set_bell(ctx: &ReducerContext, text: String, micros: i64) {
    let scheduled_at = ScheduleAt::Time(ctx.timestamp + TimeDuration::from_micros(micros));
    ctx.db.bell().insert(Bell { scheduled_id: 0, scheduled_at, text });
}

#[reducer]
pub fn ring(ctx: &ReducerContext, bell: Bell) {
    ctx.db.remark().insert(Remark { text: bell.text, weight: 0 });
}

#[reducer]
pub fn join_team(ctx: &ReducerContext, team: u32) {
    ctx.db.member().insert(Member { id: 0, who: ctx.sender(), team });
}

#[reducer]
pub fn leave_team(ctx: &ReducerContext, team: u32) {
    let mine: Vec<Member> = ctx.db.member().who().filter(ctx.sender()).collect();
    for member in mine.iter().filter(|m| m.team == team) {
        ctx.db.member().id().delete(member.id);
    }
}

#[reducer]
pub fn write_note(ctx: &ReducerContext, id: u64, team: u32, text: String) {
    ctx.db.note().insert(Note { id, author: ctx.sender(), team, text });
}

#[reducer]
pub fn drop_note(ctx: &ReducerContext, id: u64) {
    ctx.db.note().id().delete(id);
}

/// Whatever it did is undone.
#[reducer]
pub fn put_player_and_fail(ctx: &ReducerContext, id: u32) -> Result<(), String> {
    let row = Player { id, name: format!("gone {id}"), team: 0, score: 0, online: true, owner: ctx.sender() };
    ctx.db.player().insert(row);
    Err("never mind".into())
}
