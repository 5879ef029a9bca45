// SPDX-License-Identifier: Apache-2.0
//! A row with a column of every type.

use crate::Color;
use spacetimedb::sats::{i256, u256};
use spacetimedb::{
    reducer, table, ConnectionId, Identity, ReducerContext, ScheduleAt, SpacetimeType, Table, TimeDuration, Timestamp,
    Uuid,
};

#[derive(SpacetimeType, Clone, Copy, PartialEq, Debug)]
pub struct Point {
    x: i32,
    y: i32,
}

#[derive(SpacetimeType, Clone, PartialEq, Debug)]
pub enum Shape {
    Empty,
    Circle(f64),
    Label(String),
    Place(Point),
}

#[table(accessor = all_types, public)]
#[derive(Clone)]
pub struct AllTypes {
    #[primary_key]
    id: u32,
    t_bool: bool,
    t_u8: u8,
    t_u16: u16,
    t_u32: u32,
    t_u64: u64,
    t_u128: u128,
    t_u256: u256,
    t_i8: i8,
    t_i16: i16,
    t_i32: i32,
    t_i64: i64,
    t_i128: i128,
    t_i256: i256,
    t_f32: f32,
    t_f64: f64,
    t_string: String,
    t_bytes: Vec<u8>,
    t_identity: Identity,
    t_connection: ConnectionId,
    t_timestamp: Timestamp,
    t_duration: TimeDuration,
    t_schedule: ScheduleAt,
    t_uuid: Uuid,
    t_color: Color,
    t_shape: Shape,
    t_point: Point,
    t_list: Vec<i32>,
    t_strings: Vec<String>,
    t_points: Vec<Point>,
    t_option: Option<String>,
    t_result: Result<u32, String>,
}

#[reducer]
pub fn put_all(ctx: &ReducerContext, row: AllTypes) {
    ctx.db.all_types().id().delete(row.id);
    ctx.db.all_types().insert(row);
}

#[reducer]
pub fn copy_all(ctx: &ReducerContext, id: u32, to: u32) {
    let row = ctx.db.all_types().id().find(id).expect("a row to copy");
    ctx.db.all_types().insert(AllTypes { id: to, ..row });
}
