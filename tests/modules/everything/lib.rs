// SPDX-License-Identifier: Apache-2.0
//! One module that uses everything: tests/modules/README.md says what it must do. One source for two generations of the
//! `spacetimedb` crate; the feature `later` is what the newer one added.

mod answers;
mod columns;
#[cfg(feature = "later")]
mod later;
mod players;

use spacetimedb::{
    client_visibility_filter, reducer, table, view, AnonymousViewContext, ConnectionId, Filter, Identity, Query,
    ReducerContext, ScheduleAt, SpacetimeType, Table, TimeDuration, Timestamp, ViewContext,
};

pub use columns::*;
pub use players::*;

#[derive(SpacetimeType, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Color {
    Red,
    Green,
    Blue,
}

#[table(accessor = defaults, public)]
pub struct Defaults {
    #[primary_key]
    id: u32,
    text: String,
    #[default(7)]
    score: i32,
    #[default(Color::Green)]
    color: Color,
    #[default(true)]
    flag: bool,
}

#[table(accessor = small, public)]
pub struct Small {
    #[primary_key]
    #[auto_inc]
    id: i8,
}

#[table(accessor = alert, public, event)]
pub struct Alert {
    text: String,
    level: u8,
}

#[table(accessor = secret)]
pub struct Secret {
    #[primary_key]
    id: u32,
    #[index(btree)]
    who: Identity,
    word: String,
}

#[table(accessor = note, public)]
pub struct Note {
    #[primary_key]
    #[auto_inc]
    id: u64,
    #[index(btree)]
    author: Identity,
    text: String,
}

#[client_visibility_filter]
const OWN_NOTES: Filter = Filter::Sql("SELECT * FROM note WHERE author = :sender");

#[table(accessor = journal, public)]
pub struct Journal {
    #[primary_key]
    #[auto_inc]
    id: u64,
    text: String,
}

#[table(accessor = online, public)]
pub struct Online {
    #[primary_key]
    connection: ConnectionId,
    who: Identity,
}

#[table(accessor = caller, public)]
pub struct Caller {
    #[primary_key]
    #[auto_inc]
    id: u64,
    sender: Identity,
    connection: Option<ConnectionId>,
    time: Timestamp,
    database: Identity,
    token: String,
}

#[table(accessor = tick, public, scheduled(on_tick))]
pub struct Tick {
    #[primary_key]
    #[auto_inc]
    scheduled_id: u64,
    scheduled_at: ScheduleAt,
    text: String,
}

#[table(accessor = errand, public, scheduled(answers::on_errand))]
pub struct Errand {
    #[primary_key]
    #[auto_inc]
    scheduled_id: u64,
    scheduled_at: ScheduleAt,
    text: String,
}

fn write(ctx: &ReducerContext, text: impl Into<String>) {
    ctx.db.journal().insert(Journal { id: 0, text: text.into() });
}

#[reducer(init)]
pub fn init(ctx: &ReducerContext) {
    write(ctx, "init");
}

#[reducer(client_connected)]
pub fn connect(ctx: &ReducerContext) {
    ctx.db.online().insert(Online { connection: ctx.connection_id().expect("a connection"), who: ctx.sender() });
}

#[reducer(client_disconnected)]
pub fn disconnect(ctx: &ReducerContext) {
    ctx.db.online().connection().delete(ctx.connection_id().expect("a connection"));
}

#[reducer]
pub fn put_default(ctx: &ReducerContext, id: u32, text: String) {
    ctx.db.defaults().insert(Defaults { id, text, score: 1, color: Color::Red, flag: false });
}

#[reducer]
pub fn add_small(ctx: &ReducerContext, count: u32) {
    for _ in 0..count {
        ctx.db.small().insert(Small { id: 0 });
    }
}

#[reducer]
pub fn raise_alert(ctx: &ReducerContext, text: String, level: u8) {
    ctx.db.alert().insert(Alert { text, level });
}

#[reducer]
pub fn keep_secret(ctx: &ReducerContext, id: u32, word: String) {
    ctx.db.secret().insert(Secret { id, who: ctx.sender(), word });
}

#[reducer]
pub fn write_note(ctx: &ReducerContext, text: String) {
    ctx.db.note().insert(Note { id: 0, author: ctx.sender(), text });
}

#[reducer]
pub fn start_tick(ctx: &ReducerContext, text: String, micros: i64) {
    let scheduled_at = ScheduleAt::Time(ctx.timestamp + TimeDuration::from_micros(micros));
    ctx.db.tick().insert(Tick { scheduled_id: 0, scheduled_at, text });
}

#[reducer]
pub fn start_ticking(ctx: &ReducerContext, text: String, micros: i64) {
    let scheduled_at = ScheduleAt::Interval(TimeDuration::from_micros(micros));
    ctx.db.tick().insert(Tick { scheduled_id: 0, scheduled_at, text });
}

#[reducer]
pub fn stop_ticking(ctx: &ReducerContext) {
    for tick in ctx.db.tick().iter() {
        ctx.db.tick().scheduled_id().delete(tick.scheduled_id);
    }
}

#[reducer]
pub fn start_errand(ctx: &ReducerContext, text: String, micros: i64) {
    let scheduled_at = ScheduleAt::Time(ctx.timestamp + TimeDuration::from_micros(micros));
    ctx.db.errand().insert(Errand { scheduled_id: 0, scheduled_at, text });
}

#[reducer]
pub fn on_tick(ctx: &ReducerContext, row: Tick) {
    let by = if ctx.sender() == ctx.database_identity() { "" } else { " by a stranger" };
    write(ctx, format!("tick {}{by}", row.text));
}

#[reducer]
pub fn log_all(_ctx: &ReducerContext) {
    log::error!("an error");
    log::warn!("a warning");
    log::info!("an info");
    log::debug!("a debug line");
    log::trace!("a trace line");
}

#[reducer]
pub fn time_it(_ctx: &ReducerContext, name: String) {
    spacetimedb::log_stopwatch::LogStopwatch::new(&name).end();
}

#[reducer]
pub fn roll(ctx: &ReducerContext) {
    let (a, b): (u32, u32) = (ctx.random(), ctx.random());
    write(ctx, format!("rolled {a} {b}"));
}

#[reducer]
pub fn who_am_i(ctx: &ReducerContext) {
    ctx.db.caller().insert(Caller {
        id: 0,
        sender: ctx.sender(),
        connection: ctx.connection_id(),
        time: ctx.timestamp,
        database: ctx.database_identity(),
        token: ctx.sender_auth().jwt().map(|token| token.raw_payload().to_string()).unwrap_or_default(),
    });
}

#[reducer]
pub fn fail(ctx: &ReducerContext, text: String) -> Result<(), String> {
    write(ctx, "fail");
    Err(text)
}

#[reducer]
pub fn crash(ctx: &ReducerContext, text: String) {
    write(ctx, "crash");
    panic!("{text}");
}

#[view(accessor = my_secrets, public)]
fn my_secrets(ctx: &ViewContext) -> Vec<Secret> {
    ctx.db.secret().who().filter(ctx.sender()).collect()
}

#[view(accessor = high_ranks, public)]
fn high_ranks(ctx: &AnonymousViewContext) -> impl Query<Player> {
    ctx.from.player().r#where(|player| player.rank.gt(100))
}
