// SPDX-License-Identifier: Apache-2.0
//! The smallest module worth the name: one table, a few reducers, the lifecycle.

use spacetimedb::{reducer, table, ReducerContext, Table};

#[table(accessor = person, public)]
pub struct Person {
    #[primary_key]
    #[auto_inc]
    id: u64,
    name: String,
}

/// Runs once, when the module is first published.
#[reducer(init)]
pub fn init(_ctx: &ReducerContext) {
    log::info!("the database is new");
}

#[reducer(client_connected)]
pub fn client_connected(ctx: &ReducerContext) {
    log::info!("{} connected", ctx.sender());
}

#[reducer(client_disconnected)]
pub fn client_disconnected(ctx: &ReducerContext) {
    log::info!("{} disconnected", ctx.sender());
}

#[reducer]
pub fn add(ctx: &ReducerContext, name: String) -> Result<(), String> {
    if name.is_empty() {
        return Err("a person needs a name".into());
    }
    ctx.db.person().insert(Person { id: 0, name });
    Ok(())
}

#[reducer]
pub fn rename(ctx: &ReducerContext, id: u64, name: String) -> Result<(), String> {
    if ctx.db.person().id().find(id).is_none() {
        return Err(format!("there is no person {id}"));
    }
    ctx.db.person().id().update(Person { id, name });
    Ok(())
}

#[reducer]
pub fn remove(ctx: &ReducerContext, id: u64) -> Result<(), String> {
    if ctx.db.person().id().delete(id) {
        Ok(())
    } else {
        Err(format!("there is no person {id}"))
    }
}

#[reducer]
pub fn say_hello(ctx: &ReducerContext) {
    for person in ctx.db.person().iter() {
        log::info!("Hello, {}!", person.name);
    }
    log::info!("Hello, World!");
}
