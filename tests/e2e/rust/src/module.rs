// SPDX-License-Identifier: Apache-2.0
//! What tests/modules/types283 and types214 declare, for the Rust client SDK.
#![allow(dead_code)]

use crate::bindings::*;
use spacetimedb_sdk::__codegen::{self as __sdk, __lib, __ws};
use spacetimedb_sdk::{i256, u256, ConnectionId, Identity, ScheduleAt, TimeDuration, Timestamp, Uuid};

#[derive(__lib::ser::Serialize, __lib::de::Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[sats(crate = __lib)]
pub enum Color {
    Red,
    Green,
    Blue,
}

#[derive(__lib::ser::Serialize, __lib::de::Deserialize, Clone, PartialEq, Debug)]
#[sats(crate = __lib)]
pub enum Shape {
    Empty,
    Circle(f64),
    Label(String),
    Box(Point),
    Path(Vec<Point>),
    Tint(Option<Color>),
}

#[derive(__lib::ser::Serialize, __lib::de::Deserialize, Clone, PartialEq, Debug)]
#[sats(crate = __lib)]
pub struct Point {
    pub x: i32,
    pub y: i32,
}

#[derive(__lib::ser::Serialize, __lib::de::Deserialize, Clone, PartialEq, Debug)]
#[sats(crate = __lib)]
pub struct Nothing {}

#[derive(__lib::ser::Serialize, __lib::de::Deserialize, Clone, PartialEq, Debug)]
#[sats(crate = __lib)]
pub struct Nested {
    pub name: String,
    pub at: Point,
    pub fill: Color,
    pub marks: Vec<u16>,
    pub note: Option<String>,
    pub nothing: Nothing,
}

tables! {
    column one_u8 OneU8 "one_u_8" (u8)
    column one_u16 OneU16 "one_u_16" (u16)
    column one_u32 OneU32 "one_u_32" (u32)
    column one_u64 OneU64 "one_u_64" (u64)
    column one_u128 OneU128 "one_u_128" (u128)
    column one_u256 OneU256 "one_u_256" (u256)
    column one_i8 OneI8 "one_i_8" (i8)
    column one_i16 OneI16 "one_i_16" (i16)
    column one_i32 OneI32 "one_i_32" (i32)
    column one_i64 OneI64 "one_i_64" (i64)
    column one_i128 OneI128 "one_i_128" (i128)
    column one_i256 OneI256 "one_i_256" (i256)
    column one_f32 OneF32 "one_f_32" (f32)
    column one_f64 OneF64 "one_f_64" (f64)
    column one_bool OneBool "one_bool" (bool)
    column one_string OneString "one_string" (String)
    column one_bytes OneBytes "one_bytes" (Vec<u8>)
    column one_identity OneIdentity "one_identity" (Identity)
    column one_connection_id OneConnectionId "one_connection_id" (ConnectionId)
    column one_timestamp OneTimestamp "one_timestamp" (Timestamp)
    column one_time_duration OneTimeDuration "one_time_duration" (TimeDuration)
    column one_uuid OneUuid "one_uuid" (Uuid)
    column one_color OneColor "one_color" (Color)
    column one_shape OneShape "one_shape" (Shape)
    column one_nested OneNested "one_nested" (Nested)
    column one_nothing OneNothing "one_nothing" (Nothing)
    column one_result OneResult "one_result" (Result<u32, String>)
    column one_schedule_at OneScheduleAt "one_schedule_at" (ScheduleAt)
    column option_i32 OptionI32 "option_i_32" (Option<i32>)
    column option_string OptionString "option_string" (Option<String>)
    column option_nested OptionNested "option_nested" (Option<Nested>)
    column option_option OptionOption "option_option" (Option<Option<Color>>)
    column vec_bool VecBool "vec_bool" (Vec<bool>)
    column vec_i32 VecI32 "vec_i_32" (Vec<i32>)
    column vec_u256 VecU256 "vec_u_256" (Vec<u256>)
    column vec_f64 VecF64 "vec_f_64" (Vec<f64>)
    column vec_string VecString "vec_string" (Vec<String>)
    column vec_bytes VecBytes "vec_bytes" (Vec<Vec<u8>>)
    column vec_color VecColor "vec_color" (Vec<Color>)
    column vec_shape VecShape "vec_shape" (Vec<Shape>)
    column vec_nested VecNested "vec_nested" (Vec<Nested>)
    column vec_identity VecIdentity "vec_identity" (Vec<Identity>)
    column vec_option VecOption "vec_option" (Vec<Option<u64>>)
    unique unique_u8 UniqueU8 "unique_u_8" (u8)
    unique unique_u16 UniqueU16 "unique_u_16" (u16)
    unique unique_u32 UniqueU32 "unique_u_32" (u32)
    unique unique_u64 UniqueU64 "unique_u_64" (u64)
    unique unique_u128 UniqueU128 "unique_u_128" (u128)
    unique unique_u256 UniqueU256 "unique_u_256" (u256)
    unique unique_i8 UniqueI8 "unique_i_8" (i8)
    unique unique_i16 UniqueI16 "unique_i_16" (i16)
    unique unique_i32 UniqueI32 "unique_i_32" (i32)
    unique unique_i64 UniqueI64 "unique_i_64" (i64)
    unique unique_i128 UniqueI128 "unique_i_128" (i128)
    unique unique_i256 UniqueI256 "unique_i_256" (i256)
    unique unique_bool UniqueBool "unique_bool" (bool)
    unique unique_string UniqueString "unique_string" (String)
    unique unique_identity UniqueIdentity "unique_identity" (Identity)
    unique unique_connection_id UniqueConnectionId "unique_connection_id" (ConnectionId)
    unique unique_timestamp UniqueTimestamp "unique_timestamp" (Timestamp)
    unique unique_uuid UniqueUuid "unique_uuid" (Uuid)
    unique unique_color UniqueColor "unique_color" (Color)
    keyed keyed_u8 KeyedU8 "keyed_u_8" (u8)
    keyed keyed_u16 KeyedU16 "keyed_u_16" (u16)
    keyed keyed_u32 KeyedU32 "keyed_u_32" (u32)
    keyed keyed_u64 KeyedU64 "keyed_u_64" (u64)
    keyed keyed_u128 KeyedU128 "keyed_u_128" (u128)
    keyed keyed_u256 KeyedU256 "keyed_u_256" (u256)
    keyed keyed_i8 KeyedI8 "keyed_i_8" (i8)
    keyed keyed_i16 KeyedI16 "keyed_i_16" (i16)
    keyed keyed_i32 KeyedI32 "keyed_i_32" (i32)
    keyed keyed_i64 KeyedI64 "keyed_i_64" (i64)
    keyed keyed_i128 KeyedI128 "keyed_i_128" (i128)
    keyed keyed_i256 KeyedI256 "keyed_i_256" (i256)
    keyed keyed_bool KeyedBool "keyed_bool" (bool)
    keyed keyed_string KeyedString "keyed_string" (String)
    keyed keyed_identity KeyedIdentity "keyed_identity" (Identity)
    keyed keyed_connection_id KeyedConnectionId "keyed_connection_id" (ConnectionId)
    keyed keyed_timestamp KeyedTimestamp "keyed_timestamp" (Timestamp)
    keyed keyed_uuid KeyedUuid "keyed_uuid" (Uuid)
    keyed keyed_color KeyedColor "keyed_color" (Color)
    table all_columns AllColumns "all_columns" {
        key: u32, u8: u8, u16: u16, u32: u32, u64: u64, u128: u128, u256: u256, i8: i8, i16: i16, i32: i32, i64: i64,
        i128: i128, i256: i256, f32: f32, f64: f64, bool: bool, string: String, bytes: Vec<u8>, identity: Identity,
        connection_id: ConnectionId, timestamp: Timestamp, time_duration: TimeDuration, uuid: Uuid, color: Color,
        shape: Shape, nested: Nested, nothing: Nothing, result: Result<u32, String>, schedule_at: ScheduleAt,
        option: Option<i32>, list: Vec<String>; key key
    }
    table place Place "place" {
        id: u32, name: String, slot: u16, zone: i64, rank: u8, color: Color, weight: i32;
        key id unique name unique slot
    }
    table found Found "found" { position: u32, id: u32; key position }
    table numbered Numbered "numbered" { id: u64, text: String; key id }
    table numbered_small NumberedSmall "numbered_small" { id: i8; key id }
    table unique_numbers UniqueNumber "unique_numbers" { n: u64; key n }
    table bag Bag "bag" { text: String; }
    table caller Caller "caller" {
        id: u64, sender: Identity, connection_id: Option<ConnectionId>, timestamp: Timestamp; key id
    }
    table timer Timer "timer" { scheduled_id: u64, scheduled_at: ScheduleAt, text: String; key scheduled_id }
    event notice Notice "notice" { text: String }
}

query_columns! {
    Place PlaceCols PlaceIxCols
    { id: u32, name: String, slot: u16, zone: i64, rank: u8, color: Color, weight: i32 }
    { id: u32, name: String, slot: u16, weight: i32 }
}
query_columns! { Found FoundCols FoundIxCols { position: u32, id: u32 } { position: u32 } }
query_columns! { OneIdentity OneIdentityCols OneIdentityIxCols { key: u32, value: Identity } { key: u32 } }
query_columns! { OneI256 OneI256Cols OneI256IxCols { key: u32, value: i256 } { key: u32 } }
query_columns! { OneTimestamp OneTimestampCols OneTimestampIxCols { key: u32, value: Timestamp } { key: u32 } }
query_columns! { OneBytes OneBytesCols OneBytesIxCols { key: u32, value: Vec<u8> } { key: u32 } }
query_columns! { OneBool OneBoolCols OneBoolIxCols { key: u32, value: bool } { key: u32 } }
query_columns! { OneString OneStringCols OneStringIxCols { key: u32, value: String } { key: u32 } }
query_columns! { OneF64 OneF64Cols OneF64IxCols { key: u32, value: f64 } { key: u32 } }

/// The table of a typed query.
pub fn from<R: Row>() -> __sdk::__query_builder::Table<R> {
    __sdk::__query_builder::Table::new(R::TABLE)
}

reducers! {
    insert_all_columns "insert_all_columns" (row: AllColumns);
    update_all_columns "update_all_columns" (row: AllColumns);
    delete_all_columns "delete_all_columns" (key: u32);
    insert_place "insert_place" (place: Place);
    update_place "update_place" (place: Place);
    find_zone "find_zone" (zone: i64);
    find_zone_ranks "find_zone_ranks" (zone: i64, low: u8, high: u8);
    find_weights "find_weights" (low: i32, high: i32);
    find_color "find_color" (color: Color);
    find_slot "find_slot" (slot: u16);
    delete_zone_ranks "delete_zone_ranks" (zone: i64, low: u8, high: u8);
    insert_numbered "insert_numbered" (id: u64, text: String);
    unique_number "unique_number" (n: u64);
    put_in_bag "put_in_bag" (text: String);
    take_from_bag "take_from_bag" (text: String);
    notify "notify" (text: String);
    record_caller "record_caller" ();
    start_timer "start_timer" (text: String, micros: i64);
    start_interval "start_interval" (text: String, micros: i64);
    stop_timers "stop_timers" ();
    nothing "stop_timers" ();
    fail "fail" (text: String);
    panic "panic" (text: String);
    loop_forever "loop_forever" ();
    overflow_stack "overflow_stack" ();
    allocate_forever "allocate_forever" ();
    no_such_reducer "no_such_reducer" ();
    put_too_little_in_bag "put_in_bag" ();
    put_too_much_in_bag "put_in_bag" (text: String, more: u8);
}
