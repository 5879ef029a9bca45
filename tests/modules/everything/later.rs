// SPDX-License-Identifier: Apache-2.0
//! What the crate added up to 2.14: environment values, views with parameters.

#![allow(dead_code, non_snake_case)]

use crate::players::player__view;
use crate::{write, Player, TeamSize};
use spacetimedb::{procedure, reducer, view, AnonymousViewContext, Environment, ProcedureContext, ReducerContext};

#[spacetimedb::env]
pub struct Env {
    pub GREETING: Option<String>,
    #[env(values("quiet", "loud"))]
    pub MODE: Option<String>,
}

fn show(env: &Environment) -> String {
    let value = |key| env.get(key).unwrap_or("-".into());
    format!("env {} {}", value("GREETING"), value("MODE"))
}

#[reducer]
pub fn read_env(ctx: &ReducerContext) {
    write(ctx, show(&ctx.env));
}

#[procedure]
pub fn env_now(ctx: &mut ProcedureContext) -> String {
    show(&ctx.env)
}

#[view(accessor = greeting, public)]
fn greeting(ctx: &AnonymousViewContext) -> Vec<TeamSize> {
    ctx.env.get("GREETING").map(|text| TeamSize { team: 0, members: text.len() as u32 }).into_iter().collect()
}

#[view(accessor = team_of, public)]
fn team_of(ctx: &AnonymousViewContext, team: u32) -> Vec<Player> {
    ctx.db.player().team().filter(team).collect()
}
