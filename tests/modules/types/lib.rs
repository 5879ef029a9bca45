// SPDX-License-Identifier: Apache-2.0
//! Every column type, every kind of index and constraint, and every way to fail.
//!
//! One source for two generations of the `spacetimedb` crate: `types283` and `types214` build it.

mod columns;
mod keys;

use spacetimedb::{
    reducer, table, ConnectionId, Identity, ReducerContext, ScheduleAt, SpacetimeType, Table,
    TimeDuration, Timestamp,
};

#[derive(SpacetimeType, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Color {
    Red,
    Green,
    Blue,
}

#[derive(SpacetimeType, Clone, PartialEq, Debug)]
pub enum Shape {
    Empty,
    Circle(f64),
    Label(String),
    Box(Point),
    Path(Vec<Point>),
    Tint(Option<Color>),
}

#[derive(SpacetimeType, Clone, PartialEq, Debug)]
pub struct Point {
    x: i32,
    y: i32,
}

#[derive(SpacetimeType, Clone, PartialEq, Debug)]
pub struct Nothing {}

#[derive(SpacetimeType, Clone, PartialEq, Debug)]
pub struct Nested {
    name: String,
    at: Point,
    fill: Color,
    marks: Vec<u16>,
    note: Option<String>,
    nothing: Nothing,
}

/// The answer of a reducer that deletes.
fn deleted(found: bool) -> Result<(), String> {
    if found {
        Ok(())
    } else {
        Err("no such row".into())
    }
}

/// Two unique columns and every kind of index.
#[table(
    accessor = place,
    public,
    index(accessor = by_zone_rank, btree(columns = [zone, rank, name])),
    index(accessor = by_color, hash(columns = [color]))
)]
pub struct Place {
    #[primary_key]
    id: u32,
    #[unique]
    name: String,
    #[index(direct)]
    #[unique]
    slot: u16,
    zone: i64,
    rank: u8,
    color: Color,
    #[index(btree)]
    weight: i32,
}

/// What the `find_` reducers found, in the order of the index.
#[table(accessor = found, public)]
pub struct Found {
    #[primary_key]
    position: u32,
    id: u32,
}

#[reducer]
pub fn insert_place(ctx: &ReducerContext, place: Place) -> Result<(), String> {
    ctx.db.place().try_insert(place).map_err(|e| e.to_string())?;
    Ok(())
}

#[reducer]
pub fn update_place(ctx: &ReducerContext, place: Place) {
    ctx.db.place().id().update(place);
}

fn show(ctx: &ReducerContext, places: impl Iterator<Item = Place>) {
    for old in ctx.db.found().iter() {
        ctx.db.found().position().delete(old.position);
    }
    for (position, place) in places.enumerate() {
        ctx.db.found().insert(Found { position: position as u32, id: place.id });
    }
}

#[reducer]
pub fn find_zone(ctx: &ReducerContext, zone: i64) {
    show(ctx, ctx.db.place().by_zone_rank().filter(zone));
}

#[reducer]
pub fn find_zone_ranks(ctx: &ReducerContext, zone: i64, low: u8, high: u8) {
    show(ctx, ctx.db.place().by_zone_rank().filter((zone, low..=high)));
}

#[reducer]
pub fn find_weights(ctx: &ReducerContext, low: i32, high: i32) {
    show(ctx, ctx.db.place().weight().filter(low..high));
}

#[reducer]
pub fn find_color(ctx: &ReducerContext, color: Color) {
    show(ctx, ctx.db.place().by_color().filter(color));
}

#[reducer]
pub fn find_slot(ctx: &ReducerContext, slot: u16) {
    show(ctx, ctx.db.place().slot().find(slot).into_iter());
}

#[reducer]
pub fn delete_zone_ranks(ctx: &ReducerContext, zone: i64, low: u8, high: u8) {
    let count = ctx.db.place().by_zone_rank().delete((zone, low..=high));
    log::info!("deleted {count} places");
}

#[table(accessor = numbered, public)]
pub struct Numbered {
    #[primary_key]
    #[auto_inc]
    id: u64,
    text: String,
}

/// A key of 0 asks for the next number, any other is taken as it is.
#[reducer]
pub fn insert_numbered(ctx: &ReducerContext, id: u64, text: String) {
    let row = ctx.db.numbered().insert(Numbered { id, text });
    log::info!("numbered {}", row.id);
}

#[table(accessor = numbered_small, public)]
pub struct NumberedSmall {
    #[primary_key]
    #[auto_inc]
    id: i8,
}

/// Runs out of numbers after 127.
#[reducer]
pub fn insert_numbered_small(ctx: &ReducerContext, count: u32) {
    for _ in 0..count {
        ctx.db.numbered_small().insert(NumberedSmall { id: 0 });
    }
}

/// For crash tests: each number once, so that a row that is there was committed by its own call.
#[table(accessor = unique_numbers, public)]
pub struct UniqueNumber {
    #[primary_key]
    n: u64,
}

#[reducer]
pub fn unique_number(ctx: &ReducerContext, n: u64) -> Result<(), String> {
    ctx.db.unique_numbers().try_insert(UniqueNumber { n }).map_err(|e| e.to_string())?;
    Ok(())
}

/// Rows without any constraint: equal ones are one.
#[table(accessor = bag, public)]
pub struct Bag {
    text: String,
}

#[reducer]
pub fn put_in_bag(ctx: &ReducerContext, text: String) {
    ctx.db.bag().insert(Bag { text });
}

#[reducer]
pub fn take_from_bag(ctx: &ReducerContext, text: String) -> Result<(), String> {
    deleted(ctx.db.bag().delete(Bag { text }))
}

/// Nobody but the owner may read this.
#[table(accessor = secret)]
pub struct Secret {
    #[primary_key]
    id: u32,
    text: String,
}

#[reducer]
pub fn keep_secret(ctx: &ReducerContext, id: u32, text: String) {
    ctx.db.secret().insert(Secret { id, text });
}

/// Rows that are sent and not kept.
#[table(accessor = notice, public, event)]
pub struct Notice {
    text: String,
}

#[reducer]
pub fn notify(ctx: &ReducerContext, text: String) {
    ctx.db.notice().insert(Notice { text });
}

/// Who called, as the module saw it.
#[table(accessor = caller, public)]
pub struct Caller {
    #[primary_key]
    #[auto_inc]
    id: u64,
    sender: Identity,
    connection_id: Option<ConnectionId>,
    timestamp: Timestamp,
}

#[reducer]
pub fn record_caller(ctx: &ReducerContext) {
    ctx.db.caller().insert(Caller {
        id: 0,
        sender: ctx.sender(),
        connection_id: ctx.connection_id(),
        timestamp: ctx.timestamp,
    });
}

#[table(accessor = timer, public, scheduled(tick))]
pub struct Timer {
    #[primary_key]
    #[auto_inc]
    scheduled_id: u64,
    scheduled_at: ScheduleAt,
    text: String,
}

#[reducer]
pub fn tick(ctx: &ReducerContext, timer: Timer) {
    ctx.db.bag().insert(Bag { text: format!("tick {}", timer.text) });
}

/// Calls `tick` once, `micros` from now.
#[reducer]
pub fn start_timer(ctx: &ReducerContext, text: String, micros: i64) {
    let scheduled_at = ScheduleAt::Time(ctx.timestamp + TimeDuration::from_micros(micros));
    ctx.db.timer().insert(Timer { scheduled_id: 0, scheduled_at, text });
}

/// Calls `tick` every `micros`, until the row is deleted by `stop_timers`.
#[reducer]
pub fn start_interval(ctx: &ReducerContext, text: String, micros: i64) {
    let scheduled_at = ScheduleAt::Interval(TimeDuration::from_micros(micros));
    ctx.db.timer().insert(Timer { scheduled_id: 0, scheduled_at, text });
}

#[reducer]
pub fn stop_timers(ctx: &ReducerContext) {
    for timer in ctx.db.timer().iter() {
        ctx.db.timer().scheduled_id().delete(timer.scheduled_id);
    }
}

/// Returns an error after it wrote a row, which must not stay.
#[reducer]
pub fn fail(ctx: &ReducerContext, text: String) -> Result<(), String> {
    ctx.db.bag().insert(Bag { text: format!("fail {text}") });
    Err(text)
}

/// Panics after it wrote a row, which must not stay.
#[reducer]
pub fn panic(ctx: &ReducerContext, text: String) {
    ctx.db.bag().insert(Bag { text: format!("panic {text}") });
    panic!("{text}");
}

#[reducer]
pub fn loop_forever(_ctx: &ReducerContext) {
    let mut count = 0u64;
    loop {
        count = std::hint::black_box(count + 1);
    }
}

#[reducer]
pub fn overflow_stack(_ctx: &ReducerContext) {
    #[allow(unconditional_recursion)]
    fn deeper(depth: u64) -> u64 {
        std::hint::black_box(deeper(std::hint::black_box(depth) + 1) + 1)
    }
    log::info!("{}", deeper(0));
}

#[reducer]
pub fn allocate_forever(_ctx: &ReducerContext) {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1u8; 1 << 20]));
    }
}

#[reducer]
pub fn log_levels(_ctx: &ReducerContext) {
    log::error!("an error");
    log::warn!("a warning");
    log::info!("an info");
    log::debug!("a debug line");
    log::trace!("a trace line");
}
