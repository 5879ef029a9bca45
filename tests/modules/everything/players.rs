// SPDX-License-Identifier: Apache-2.0
//! Every kind of index, and views that read through them.

use crate::{write, Color};
use spacetimedb::{reducer, table, view, AnonymousViewContext, ReducerContext, SpacetimeType, Table};

#[table(
    accessor = player,
    public,
    index(accessor = by_team_rank, btree(columns = [team, rank, name])),
    index(accessor = by_color, hash(columns = [color]))
)]
pub struct Player {
    #[primary_key]
    #[auto_inc]
    id: u64,
    #[unique]
    name: String,
    #[index(direct)]
    #[unique]
    slot: u16,
    #[index(btree)]
    team: u32,
    pub rank: u8,
    color: Color,
}

#[table(accessor = found, public)]
pub struct Found {
    #[primary_key]
    position: u32,
    id: u64,
}

#[derive(SpacetimeType)]
pub struct TeamSize {
    pub team: u32,
    pub members: u32,
}

#[reducer]
pub fn add_player(
    ctx: &ReducerContext,
    name: String,
    slot: u16,
    team: u32,
    rank: u8,
    color: Color,
) -> Result<(), String> {
    let row = Player { id: 0, name, slot, team, rank, color };
    let row = ctx.db.player().try_insert(row).map_err(|_| "taken")?;
    write(ctx, format!("player {}", row.id));
    Ok(())
}

#[reducer]
pub fn set_player(ctx: &ReducerContext, id: u64, name: String, slot: u16, team: u32, rank: u8, color: Color) {
    ctx.db.player().id().update(Player { id, name, slot, team, rank, color });
}

#[reducer]
pub fn drop_player(ctx: &ReducerContext, id: u64) -> Result<(), String> {
    if ctx.db.player().id().delete(id) {
        Ok(())
    } else {
        Err("no such player".into())
    }
}

fn show(ctx: &ReducerContext, players: impl Iterator<Item = Player>) {
    ctx.db.found().clear();
    for (position, player) in players.enumerate() {
        ctx.db.found().insert(Found { position: position as u32, id: player.id });
    }
}

#[reducer]
pub fn find_name(ctx: &ReducerContext, name: String) {
    show(ctx, ctx.db.player().name().find(name).into_iter());
}

#[reducer]
pub fn find_slot(ctx: &ReducerContext, slot: u16) {
    show(ctx, ctx.db.player().slot().find(slot).into_iter());
}

#[reducer]
pub fn find_team(ctx: &ReducerContext, team: u32) {
    show(ctx, ctx.db.player().team().filter(team));
}

#[reducer]
pub fn find_color(ctx: &ReducerContext, color: Color) {
    show(ctx, ctx.db.player().by_color().filter(color));
}

#[reducer]
pub fn find_team_ranks(ctx: &ReducerContext, team: u32, low: u8, high: u8) {
    show(ctx, ctx.db.player().by_team_rank().filter((team, low..=high)));
}

#[reducer]
pub fn find_teams(ctx: &ReducerContext, low: u32, high: u32) {
    show(ctx, ctx.db.player().team().filter(low..high));
}

#[reducer]
pub fn find_all(ctx: &ReducerContext) {
    show(ctx, ctx.db.player().iter());
}

#[reducer]
pub fn drop_team_ranks(ctx: &ReducerContext, team: u32, low: u8, high: u8) {
    let count = ctx.db.player().by_team_rank().delete((team, low..=high));
    write(ctx, format!("dropped {count}"));
}

#[reducer]
pub fn clear_players(ctx: &ReducerContext) {
    let count = ctx.db.player().clear();
    write(ctx, format!("cleared {count}"));
}

#[reducer]
pub fn count_players(ctx: &ReducerContext) {
    write(ctx, format!("counted {}", ctx.db.player().count()));
}

#[view(accessor = reds, public)]
fn reds(ctx: &AnonymousViewContext) -> Vec<Player> {
    ctx.db.player().by_color().filter(Color::Red).collect()
}

#[view(accessor = first_slot, public)]
fn first_slot(ctx: &AnonymousViewContext) -> Option<Player> {
    ctx.db.player().slot().find(1)
}

#[view(accessor = team_sizes, public)]
fn team_sizes(ctx: &AnonymousViewContext) -> Vec<TeamSize> {
    let size = |team| TeamSize { team, members: ctx.db.player().team().filter(team).count() as u32 };
    (0u32..4).map(size).filter(|size| size.members > 0).collect()
}
