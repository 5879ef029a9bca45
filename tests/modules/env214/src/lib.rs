// SPDX-License-Identifier: Apache-2.0
//! A module with an environment: read in reducers, views, procedures, handlers and `init`.

use spacetimedb::http::{handler, router, Body, HandlerContext, Request, Response, Router};
use spacetimedb::{procedure, reducer, table, view, ProcedureContext, ReducerContext, Table, ViewContext};

#[derive(spacetimedb::EnvironmentValue, Debug)]
pub enum Level {
    #[env(value = "debug")]
    Debug,
    #[env(value = "in progress")]
    Progress,
}

#[spacetimedb::env]
pub struct Env {
    pub API_KEY: String,
    pub LEVEL: Option<Level>,
    pub NOTE: Option<String>,
}

#[table(accessor = seen, public)]
pub struct Seen {
    #[primary_key]
    #[auto_inc]
    id: u64,
    at: String,
    key: String,
    value: Option<String>,
}

fn note(ctx: &ReducerContext, at: &str, key: &str) {
    let value = ctx.env.get(key);
    ctx.db.seen().insert(Seen { id: 0, at: at.into(), key: key.into(), value });
}

#[reducer(init)]
pub fn init(ctx: &ReducerContext) {
    note(ctx, "init", "API_KEY");
}

#[reducer]
pub fn look(ctx: &ReducerContext, key: String) {
    note(ctx, "reducer", &key);
}

/// Row of the view: what the environment says now.
#[derive(spacetimedb::SpacetimeType)]
pub struct Setting {
    key: String,
    value: Option<String>,
}

#[view(accessor = settings, public)]
pub fn settings(ctx: &ViewContext) -> Vec<Setting> {
    if ctx.env.get("NOTE").as_deref() == Some("fail") {
        panic!("the view was told to fail");
    }
    ["API_KEY", "NOTE"].iter().map(|key| Setting { key: key.to_string(), value: ctx.env.get(key) }).collect()
}

#[procedure]
pub fn ask(ctx: &mut ProcedureContext, key: String, in_tx: bool) -> Option<String> {
    if in_tx {
        ctx.with_tx(|tx| tx.env.get(&key))
    } else {
        ctx.env.get(&key)
    }
}

#[handler]
fn tell(ctx: &mut HandlerContext, _: Request) -> Response {
    Response::new(Body::from_bytes(ctx.env.API_KEY()))
}

#[router]
fn routes() -> Router {
    Router::new().get("/tell", tell)
}
