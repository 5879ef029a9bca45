// SPDX-License-Identifier: Apache-2.0
//! Views with parameters of every kind that SQL can pass, for everybody and for each sender.

use spacetimedb::{
    reducer, table, view, AnonymousViewContext, ConnectionId, Identity, Query, ReducerContext, SpacetimeType, Table,
    Timestamp, Uuid, ViewContext,
};

#[table(accessor = player, public)]
#[derive(Clone)]
pub struct Player {
    #[primary_key]
    id: u32,
    name: String,
    #[index(btree)]
    team: u32,
    score: i64,
    owner: Identity,
}

#[view(accessor = team_players, public)]
fn team_players(ctx: &AnonymousViewContext, team: u32) -> Vec<Player> {
    ctx.db.player().team().filter(team).collect()
}

#[view(accessor = named_above, public)]
fn named_above(ctx: &AnonymousViewContext, name: String, score: i64) -> Vec<Player> {
    (0u32..8).flat_map(|t| ctx.db.player().team().filter(t)).filter(|p| p.name == name && p.score > score).collect()
}

#[view(accessor = my_team, public)]
fn my_team(ctx: &ViewContext, team: u32) -> Vec<Player> {
    let me = ctx.sender();
    ctx.db.player().team().filter(team).filter(|p| p.owner == me).collect()
}

#[view(accessor = above, public)]
fn above(ctx: &AnonymousViewContext, score: i64) -> impl Query<Player> {
    ctx.from.player().r#where(|p| p.score.gt(score))
}

#[view(accessor = everyone, public, primary_key = id)]
fn everyone(ctx: &AnonymousViewContext) -> Vec<Player> {
    (0u32..8).flat_map(|t| ctx.db.player().team().filter(t)).collect()
}

/// What a view was called with, as text.
#[derive(SpacetimeType)]
pub struct Said {
    text: String,
}

#[view(accessor = wide, public)]
fn wide(_ctx: &AnonymousViewContext, flag: bool, byte: i8, big: u128, bytes: Vec<u8>) -> Vec<Said> {
    vec![Said { text: format!("{flag} {byte} {big} {bytes:?}") }]
}

#[view(accessor = special, public)]
fn special(_ctx: &AnonymousViewContext, who: Identity, conn: ConnectionId, at: Timestamp, uuid: Uuid) -> Vec<Said> {
    vec![Said { text: format!("{who} {conn} {} {uuid}", at.to_micros_since_unix_epoch()) }]
}

#[derive(SpacetimeType)]
pub struct Pair {
    a: u32,
}

#[view(accessor = paired, public)]
fn paired(_ctx: &AnonymousViewContext, pair: Pair) -> Vec<Said> {
    vec![Said { text: pair.a.to_string() }]
}

#[view(accessor = fragile, public)]
fn fragile(ctx: &AnonymousViewContext, id: u32) -> Option<Player> {
    let player = ctx.db.player().id().find(id)?;
    assert!(player.score >= 0, "a player in debt");
    Some(player)
}

#[reducer]
fn put(ctx: &ReducerContext, id: u32, name: String, team: u32, score: i64) {
    let row = Player { id, name, team, score, owner: ctx.sender() };
    ctx.db.player().id().delete(id);
    ctx.db.player().insert(row);
}

#[reducer]
fn drop(ctx: &ReducerContext, id: u32) {
    ctx.db.player().id().delete(id);
}
