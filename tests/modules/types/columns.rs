// SPDX-License-Identifier: Apache-2.0
//! A table for each column type, and one with all of them.

use crate::{deleted, Color, Nested, Nothing, Shape};
use spacetimedb::sats::{i256, u256};
use spacetimedb::{
    reducer, table, ConnectionId, Identity, ReducerContext, ScheduleAt, Table, TimeDuration,
    Timestamp, Uuid,
};

/// The reducers that change a table of one value beside its key.
macro_rules! column {
    ($row:ident $table:ident: $type:ty, $insert:ident $update:ident $delete:ident) => {
        #[reducer]
        pub fn $insert(ctx: &ReducerContext, key: u32, value: $type) {
            ctx.db.$table().insert($row { key, value });
        }

        #[reducer]
        pub fn $update(ctx: &ReducerContext, key: u32, value: $type) {
            ctx.db.$table().key().update($row { key, value });
        }

        #[reducer]
        pub fn $delete(ctx: &ReducerContext, key: u32) -> Result<(), String> {
            deleted(ctx.db.$table().key().delete(key))
        }
    };
}

#[table(accessor = one_u8, public)]
pub struct OneU8 {
    #[primary_key]
    key: u32,
    value: u8,
}
column! { OneU8 one_u8: u8, insert_one_u8 update_one_u8 delete_one_u8 }

#[table(accessor = one_u16, public)]
pub struct OneU16 {
    #[primary_key]
    key: u32,
    value: u16,
}
column! { OneU16 one_u16: u16, insert_one_u16 update_one_u16 delete_one_u16 }

#[table(accessor = one_u32, public)]
pub struct OneU32 {
    #[primary_key]
    key: u32,
    value: u32,
}
column! { OneU32 one_u32: u32, insert_one_u32 update_one_u32 delete_one_u32 }

#[table(accessor = one_u64, public)]
pub struct OneU64 {
    #[primary_key]
    key: u32,
    value: u64,
}
column! { OneU64 one_u64: u64, insert_one_u64 update_one_u64 delete_one_u64 }

#[table(accessor = one_u128, public)]
pub struct OneU128 {
    #[primary_key]
    key: u32,
    value: u128,
}
column! { OneU128 one_u128: u128, insert_one_u128 update_one_u128 delete_one_u128 }

#[table(accessor = one_u256, public)]
pub struct OneU256 {
    #[primary_key]
    key: u32,
    value: u256,
}
column! { OneU256 one_u256: u256, insert_one_u256 update_one_u256 delete_one_u256 }

#[table(accessor = one_i8, public)]
pub struct OneI8 {
    #[primary_key]
    key: u32,
    value: i8,
}
column! { OneI8 one_i8: i8, insert_one_i8 update_one_i8 delete_one_i8 }

#[table(accessor = one_i16, public)]
pub struct OneI16 {
    #[primary_key]
    key: u32,
    value: i16,
}
column! { OneI16 one_i16: i16, insert_one_i16 update_one_i16 delete_one_i16 }

#[table(accessor = one_i32, public)]
pub struct OneI32 {
    #[primary_key]
    key: u32,
    value: i32,
}
column! { OneI32 one_i32: i32, insert_one_i32 update_one_i32 delete_one_i32 }

#[table(accessor = one_i64, public)]
pub struct OneI64 {
    #[primary_key]
    key: u32,
    value: i64,
}
column! { OneI64 one_i64: i64, insert_one_i64 update_one_i64 delete_one_i64 }

#[table(accessor = one_i128, public)]
pub struct OneI128 {
    #[primary_key]
    key: u32,
    value: i128,
}
column! { OneI128 one_i128: i128, insert_one_i128 update_one_i128 delete_one_i128 }

#[table(accessor = one_i256, public)]
pub struct OneI256 {
    #[primary_key]
    key: u32,
    value: i256,
}
column! { OneI256 one_i256: i256, insert_one_i256 update_one_i256 delete_one_i256 }

#[table(accessor = one_f32, public)]
pub struct OneF32 {
    #[primary_key]
    key: u32,
    value: f32,
}
column! { OneF32 one_f32: f32, insert_one_f32 update_one_f32 delete_one_f32 }

#[table(accessor = one_f64, public)]
pub struct OneF64 {
    #[primary_key]
    key: u32,
    value: f64,
}
column! { OneF64 one_f64: f64, insert_one_f64 update_one_f64 delete_one_f64 }

#[table(accessor = one_bool, public)]
pub struct OneBool {
    #[primary_key]
    key: u32,
    value: bool,
}
column! { OneBool one_bool: bool, insert_one_bool update_one_bool delete_one_bool }

#[table(accessor = one_string, public)]
pub struct OneString {
    #[primary_key]
    key: u32,
    value: String,
}
column! { OneString one_string: String, insert_one_string update_one_string delete_one_string }

#[table(accessor = one_bytes, public)]
pub struct OneBytes {
    #[primary_key]
    key: u32,
    value: Vec<u8>,
}
column! { OneBytes one_bytes: Vec<u8>, insert_one_bytes update_one_bytes delete_one_bytes }

#[table(accessor = one_identity, public)]
pub struct OneIdentity {
    #[primary_key]
    key: u32,
    value: Identity,
}
column! {
    OneIdentity one_identity: Identity,
    insert_one_identity update_one_identity delete_one_identity
}

#[table(accessor = one_connection_id, public)]
pub struct OneConnectionId {
    #[primary_key]
    key: u32,
    value: ConnectionId,
}
column! {
    OneConnectionId one_connection_id: ConnectionId,
    insert_one_connection_id update_one_connection_id delete_one_connection_id
}

#[table(accessor = one_timestamp, public)]
pub struct OneTimestamp {
    #[primary_key]
    key: u32,
    value: Timestamp,
}
column! {
    OneTimestamp one_timestamp: Timestamp,
    insert_one_timestamp update_one_timestamp delete_one_timestamp
}

#[table(accessor = one_time_duration, public)]
pub struct OneTimeDuration {
    #[primary_key]
    key: u32,
    value: TimeDuration,
}
column! {
    OneTimeDuration one_time_duration: TimeDuration,
    insert_one_time_duration update_one_time_duration delete_one_time_duration
}

#[table(accessor = one_uuid, public)]
pub struct OneUuid {
    #[primary_key]
    key: u32,
    value: Uuid,
}
column! { OneUuid one_uuid: Uuid, insert_one_uuid update_one_uuid delete_one_uuid }

#[table(accessor = one_color, public)]
pub struct OneColor {
    #[primary_key]
    key: u32,
    value: Color,
}
column! { OneColor one_color: Color, insert_one_color update_one_color delete_one_color }

#[table(accessor = one_shape, public)]
pub struct OneShape {
    #[primary_key]
    key: u32,
    value: Shape,
}
column! { OneShape one_shape: Shape, insert_one_shape update_one_shape delete_one_shape }

#[table(accessor = one_nested, public)]
pub struct OneNested {
    #[primary_key]
    key: u32,
    value: Nested,
}
column! { OneNested one_nested: Nested, insert_one_nested update_one_nested delete_one_nested }

#[table(accessor = one_nothing, public)]
pub struct OneNothing {
    #[primary_key]
    key: u32,
    value: Nothing,
}
column! {
    OneNothing one_nothing: Nothing,
    insert_one_nothing update_one_nothing delete_one_nothing
}

#[table(accessor = one_result, public)]
pub struct OneResult {
    #[primary_key]
    key: u32,
    value: Result<u32, String>,
}
column! {
    OneResult one_result: Result<u32, String>,
    insert_one_result update_one_result delete_one_result
}

/// For clients whose SDK cannot send the error of a result whose two types differ.
#[reducer]
pub fn set_one_result_err(ctx: &ReducerContext, key: u32, text: String) {
    ctx.db.one_result().key().update(OneResult { key, value: Err(text) });
}

#[table(accessor = one_schedule_at, public)]
pub struct OneScheduleAt {
    #[primary_key]
    key: u32,
    value: ScheduleAt,
}
column! {
    OneScheduleAt one_schedule_at: ScheduleAt,
    insert_one_schedule_at update_one_schedule_at delete_one_schedule_at
}

#[table(accessor = option_i32, public)]
pub struct OptionI32 {
    #[primary_key]
    key: u32,
    value: Option<i32>,
}
column! { OptionI32 option_i32: Option<i32>, insert_option_i32 update_option_i32 delete_option_i32 }

#[table(accessor = option_string, public)]
pub struct OptionString {
    #[primary_key]
    key: u32,
    value: Option<String>,
}
column! {
    OptionString option_string: Option<String>,
    insert_option_string update_option_string delete_option_string
}

#[table(accessor = option_nested, public)]
pub struct OptionNested {
    #[primary_key]
    key: u32,
    value: Option<Nested>,
}
column! {
    OptionNested option_nested: Option<Nested>,
    insert_option_nested update_option_nested delete_option_nested
}

#[table(accessor = option_option, public)]
pub struct OptionOption {
    #[primary_key]
    key: u32,
    value: Option<Option<Color>>,
}
column! {
    OptionOption option_option: Option<Option<Color>>,
    insert_option_option update_option_option delete_option_option
}

#[table(accessor = vec_bool, public)]
pub struct VecBool {
    #[primary_key]
    key: u32,
    value: Vec<bool>,
}
column! { VecBool vec_bool: Vec<bool>, insert_vec_bool update_vec_bool delete_vec_bool }

#[table(accessor = vec_i32, public)]
pub struct VecI32 {
    #[primary_key]
    key: u32,
    value: Vec<i32>,
}
column! { VecI32 vec_i32: Vec<i32>, insert_vec_i32 update_vec_i32 delete_vec_i32 }

#[table(accessor = vec_u256, public)]
pub struct VecU256 {
    #[primary_key]
    key: u32,
    value: Vec<u256>,
}
column! { VecU256 vec_u256: Vec<u256>, insert_vec_u256 update_vec_u256 delete_vec_u256 }

#[table(accessor = vec_f64, public)]
pub struct VecF64 {
    #[primary_key]
    key: u32,
    value: Vec<f64>,
}
column! { VecF64 vec_f64: Vec<f64>, insert_vec_f64 update_vec_f64 delete_vec_f64 }

#[table(accessor = vec_string, public)]
pub struct VecString {
    #[primary_key]
    key: u32,
    value: Vec<String>,
}
column! { VecString vec_string: Vec<String>, insert_vec_string update_vec_string delete_vec_string }

#[table(accessor = vec_bytes, public)]
pub struct VecBytes {
    #[primary_key]
    key: u32,
    value: Vec<Vec<u8>>,
}
column! { VecBytes vec_bytes: Vec<Vec<u8>>, insert_vec_bytes update_vec_bytes delete_vec_bytes }

#[table(accessor = vec_color, public)]
pub struct VecColor {
    #[primary_key]
    key: u32,
    value: Vec<Color>,
}
column! { VecColor vec_color: Vec<Color>, insert_vec_color update_vec_color delete_vec_color }

#[table(accessor = vec_shape, public)]
pub struct VecShape {
    #[primary_key]
    key: u32,
    value: Vec<Shape>,
}
column! { VecShape vec_shape: Vec<Shape>, insert_vec_shape update_vec_shape delete_vec_shape }

#[table(accessor = vec_nested, public)]
pub struct VecNested {
    #[primary_key]
    key: u32,
    value: Vec<Nested>,
}
column! { VecNested vec_nested: Vec<Nested>, insert_vec_nested update_vec_nested delete_vec_nested }

#[table(accessor = vec_identity, public)]
pub struct VecIdentity {
    #[primary_key]
    key: u32,
    value: Vec<Identity>,
}
column! {
    VecIdentity vec_identity: Vec<Identity>,
    insert_vec_identity update_vec_identity delete_vec_identity
}

#[table(accessor = vec_option, public)]
pub struct VecOption {
    #[primary_key]
    key: u32,
    value: Vec<Option<u64>>,
}
column! {
    VecOption vec_option: Vec<Option<u64>>,
    insert_vec_option update_vec_option delete_vec_option
}

#[table(accessor = all_columns, public)]
#[derive(Clone)]
pub struct AllColumns {
    #[primary_key]
    key: u32,
    u8: u8,
    u16: u16,
    u32: u32,
    u64: u64,
    u128: u128,
    u256: u256,
    i8: i8,
    i16: i16,
    i32: i32,
    i64: i64,
    i128: i128,
    i256: i256,
    f32: f32,
    f64: f64,
    bool: bool,
    string: String,
    bytes: Vec<u8>,
    identity: Identity,
    connection_id: ConnectionId,
    timestamp: Timestamp,
    time_duration: TimeDuration,
    uuid: Uuid,
    color: Color,
    shape: Shape,
    nested: Nested,
    nothing: Nothing,
    result: Result<u32, String>,
    schedule_at: ScheduleAt,
    option: Option<i32>,
    list: Vec<String>,
}

#[reducer]
pub fn insert_all_columns(ctx: &ReducerContext, row: AllColumns) {
    ctx.db.all_columns().insert(row);
}

#[reducer]
pub fn update_all_columns(ctx: &ReducerContext, row: AllColumns) {
    ctx.db.all_columns().key().update(row);
}

#[reducer]
pub fn delete_all_columns(ctx: &ReducerContext, key: u32) -> Result<(), String> {
    deleted(ctx.db.all_columns().key().delete(key))
}
