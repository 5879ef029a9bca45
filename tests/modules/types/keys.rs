// SPDX-License-Identifier: Apache-2.0
//! A unique column and a primary key of each type that can be one.

use crate::{deleted, Color};
use spacetimedb::sats::{i256, u256};
use spacetimedb::{
    reducer, table, ConnectionId, Identity, ReducerContext, Table, Timestamp, Uuid,
};

macro_rules! unique {
    ($row:ident $table:ident: $type:ty, $insert:ident $try_insert:ident $delete:ident) => {
        /// Fails by a panic when the value is there already.
        #[reducer]
        pub fn $insert(ctx: &ReducerContext, value: $type, data: i32) {
            ctx.db.$table().insert($row { value, data });
        }

        /// Fails by an error when the value is there already.
        #[reducer]
        pub fn $try_insert(ctx: &ReducerContext, value: $type, data: i32) -> Result<(), String> {
            ctx.db.$table().try_insert($row { value, data }).map_err(|e| e.to_string())?;
            Ok(())
        }

        #[reducer]
        pub fn $delete(ctx: &ReducerContext, value: $type) -> Result<(), String> {
            deleted(ctx.db.$table().value().delete(value))
        }
    };
}

#[table(accessor = unique_u8, public)]
pub struct UniqueU8 {
    #[unique]
    value: u8,
    data: i32,
}
unique! { UniqueU8 unique_u8: u8, insert_unique_u8 try_insert_unique_u8 delete_unique_u8 }

#[table(accessor = unique_u16, public)]
pub struct UniqueU16 {
    #[unique]
    value: u16,
    data: i32,
}
unique! { UniqueU16 unique_u16: u16, insert_unique_u16 try_insert_unique_u16 delete_unique_u16 }

#[table(accessor = unique_u32, public)]
pub struct UniqueU32 {
    #[unique]
    value: u32,
    data: i32,
}
unique! { UniqueU32 unique_u32: u32, insert_unique_u32 try_insert_unique_u32 delete_unique_u32 }

#[table(accessor = unique_u64, public)]
pub struct UniqueU64 {
    #[unique]
    value: u64,
    data: i32,
}
unique! { UniqueU64 unique_u64: u64, insert_unique_u64 try_insert_unique_u64 delete_unique_u64 }

#[table(accessor = unique_u128, public)]
pub struct UniqueU128 {
    #[unique]
    value: u128,
    data: i32,
}
unique! {
    UniqueU128 unique_u128: u128,
    insert_unique_u128 try_insert_unique_u128 delete_unique_u128
}

#[table(accessor = unique_u256, public)]
pub struct UniqueU256 {
    #[unique]
    value: u256,
    data: i32,
}
unique! {
    UniqueU256 unique_u256: u256,
    insert_unique_u256 try_insert_unique_u256 delete_unique_u256
}

#[table(accessor = unique_i8, public)]
pub struct UniqueI8 {
    #[unique]
    value: i8,
    data: i32,
}
unique! { UniqueI8 unique_i8: i8, insert_unique_i8 try_insert_unique_i8 delete_unique_i8 }

#[table(accessor = unique_i16, public)]
pub struct UniqueI16 {
    #[unique]
    value: i16,
    data: i32,
}
unique! { UniqueI16 unique_i16: i16, insert_unique_i16 try_insert_unique_i16 delete_unique_i16 }

#[table(accessor = unique_i32, public)]
pub struct UniqueI32 {
    #[unique]
    value: i32,
    data: i32,
}
unique! { UniqueI32 unique_i32: i32, insert_unique_i32 try_insert_unique_i32 delete_unique_i32 }

#[table(accessor = unique_i64, public)]
pub struct UniqueI64 {
    #[unique]
    value: i64,
    data: i32,
}
unique! { UniqueI64 unique_i64: i64, insert_unique_i64 try_insert_unique_i64 delete_unique_i64 }

#[table(accessor = unique_i128, public)]
pub struct UniqueI128 {
    #[unique]
    value: i128,
    data: i32,
}
unique! {
    UniqueI128 unique_i128: i128,
    insert_unique_i128 try_insert_unique_i128 delete_unique_i128
}

#[table(accessor = unique_i256, public)]
pub struct UniqueI256 {
    #[unique]
    value: i256,
    data: i32,
}
unique! {
    UniqueI256 unique_i256: i256,
    insert_unique_i256 try_insert_unique_i256 delete_unique_i256
}

#[table(accessor = unique_bool, public)]
pub struct UniqueBool {
    #[unique]
    value: bool,
    data: i32,
}
unique! {
    UniqueBool unique_bool: bool,
    insert_unique_bool try_insert_unique_bool delete_unique_bool
}

#[table(accessor = unique_string, public)]
pub struct UniqueString {
    #[unique]
    value: String,
    data: i32,
}
unique! {
    UniqueString unique_string: String,
    insert_unique_string try_insert_unique_string delete_unique_string
}

#[table(accessor = unique_identity, public)]
pub struct UniqueIdentity {
    #[unique]
    value: Identity,
    data: i32,
}
unique! {
    UniqueIdentity unique_identity: Identity,
    insert_unique_identity try_insert_unique_identity delete_unique_identity
}

#[table(accessor = unique_connection_id, public)]
pub struct UniqueConnectionId {
    #[unique]
    value: ConnectionId,
    data: i32,
}
unique! {
    UniqueConnectionId unique_connection_id: ConnectionId,
    insert_unique_connection_id try_insert_unique_connection_id delete_unique_connection_id
}

#[table(accessor = unique_timestamp, public)]
pub struct UniqueTimestamp {
    #[unique]
    value: Timestamp,
    data: i32,
}
unique! {
    UniqueTimestamp unique_timestamp: Timestamp,
    insert_unique_timestamp try_insert_unique_timestamp delete_unique_timestamp
}

#[table(accessor = unique_uuid, public)]
pub struct UniqueUuid {
    #[unique]
    value: Uuid,
    data: i32,
}
unique! {
    UniqueUuid unique_uuid: Uuid,
    insert_unique_uuid try_insert_unique_uuid delete_unique_uuid
}

#[table(accessor = unique_color, public)]
pub struct UniqueColor {
    #[unique]
    value: Color,
    data: i32,
}
unique! {
    UniqueColor unique_color: Color,
    insert_unique_color try_insert_unique_color delete_unique_color
}

macro_rules! keyed {
    ($row:ident $table:ident: $type:ty, $insert:ident $update:ident $delete:ident) => {
        #[reducer]
        pub fn $insert(ctx: &ReducerContext, value: $type, data: i32) {
            ctx.db.$table().insert($row { value, data });
        }

        #[reducer]
        pub fn $update(ctx: &ReducerContext, value: $type, data: i32) {
            ctx.db.$table().value().update($row { value, data });
        }

        #[reducer]
        pub fn $delete(ctx: &ReducerContext, value: $type) -> Result<(), String> {
            deleted(ctx.db.$table().value().delete(value))
        }
    };
}

#[table(accessor = keyed_u8, public)]
pub struct KeyedU8 {
    #[primary_key]
    value: u8,
    data: i32,
}
keyed! { KeyedU8 keyed_u8: u8, insert_keyed_u8 update_keyed_u8 delete_keyed_u8 }

#[table(accessor = keyed_u16, public)]
pub struct KeyedU16 {
    #[primary_key]
    value: u16,
    data: i32,
}
keyed! { KeyedU16 keyed_u16: u16, insert_keyed_u16 update_keyed_u16 delete_keyed_u16 }

#[table(accessor = keyed_u32, public)]
pub struct KeyedU32 {
    #[primary_key]
    value: u32,
    data: i32,
}
keyed! { KeyedU32 keyed_u32: u32, insert_keyed_u32 update_keyed_u32 delete_keyed_u32 }

#[table(accessor = keyed_u64, public)]
pub struct KeyedU64 {
    #[primary_key]
    value: u64,
    data: i32,
}
keyed! { KeyedU64 keyed_u64: u64, insert_keyed_u64 update_keyed_u64 delete_keyed_u64 }

#[table(accessor = keyed_u128, public)]
pub struct KeyedU128 {
    #[primary_key]
    value: u128,
    data: i32,
}
keyed! { KeyedU128 keyed_u128: u128, insert_keyed_u128 update_keyed_u128 delete_keyed_u128 }

#[table(accessor = keyed_u256, public)]
pub struct KeyedU256 {
    #[primary_key]
    value: u256,
    data: i32,
}
keyed! { KeyedU256 keyed_u256: u256, insert_keyed_u256 update_keyed_u256 delete_keyed_u256 }

#[table(accessor = keyed_i8, public)]
pub struct KeyedI8 {
    #[primary_key]
    value: i8,
    data: i32,
}
keyed! { KeyedI8 keyed_i8: i8, insert_keyed_i8 update_keyed_i8 delete_keyed_i8 }

#[table(accessor = keyed_i16, public)]
pub struct KeyedI16 {
    #[primary_key]
    value: i16,
    data: i32,
}
keyed! { KeyedI16 keyed_i16: i16, insert_keyed_i16 update_keyed_i16 delete_keyed_i16 }

#[table(accessor = keyed_i32, public)]
pub struct KeyedI32 {
    #[primary_key]
    value: i32,
    data: i32,
}
keyed! { KeyedI32 keyed_i32: i32, insert_keyed_i32 update_keyed_i32 delete_keyed_i32 }

#[table(accessor = keyed_i64, public)]
pub struct KeyedI64 {
    #[primary_key]
    value: i64,
    data: i32,
}
keyed! { KeyedI64 keyed_i64: i64, insert_keyed_i64 update_keyed_i64 delete_keyed_i64 }

#[table(accessor = keyed_i128, public)]
pub struct KeyedI128 {
    #[primary_key]
    value: i128,
    data: i32,
}
keyed! { KeyedI128 keyed_i128: i128, insert_keyed_i128 update_keyed_i128 delete_keyed_i128 }

#[table(accessor = keyed_i256, public)]
pub struct KeyedI256 {
    #[primary_key]
    value: i256,
    data: i32,
}
keyed! { KeyedI256 keyed_i256: i256, insert_keyed_i256 update_keyed_i256 delete_keyed_i256 }

#[table(accessor = keyed_bool, public)]
pub struct KeyedBool {
    #[primary_key]
    value: bool,
    data: i32,
}
keyed! { KeyedBool keyed_bool: bool, insert_keyed_bool update_keyed_bool delete_keyed_bool }

#[table(accessor = keyed_string, public)]
pub struct KeyedString {
    #[primary_key]
    value: String,
    data: i32,
}
keyed! {
    KeyedString keyed_string: String,
    insert_keyed_string update_keyed_string delete_keyed_string
}

#[table(accessor = keyed_identity, public)]
pub struct KeyedIdentity {
    #[primary_key]
    value: Identity,
    data: i32,
}
keyed! {
    KeyedIdentity keyed_identity: Identity,
    insert_keyed_identity update_keyed_identity delete_keyed_identity
}

#[table(accessor = keyed_connection_id, public)]
pub struct KeyedConnectionId {
    #[primary_key]
    value: ConnectionId,
    data: i32,
}
keyed! {
    KeyedConnectionId keyed_connection_id: ConnectionId,
    insert_keyed_connection_id update_keyed_connection_id delete_keyed_connection_id
}

#[table(accessor = keyed_timestamp, public)]
pub struct KeyedTimestamp {
    #[primary_key]
    value: Timestamp,
    data: i32,
}
keyed! {
    KeyedTimestamp keyed_timestamp: Timestamp,
    insert_keyed_timestamp update_keyed_timestamp delete_keyed_timestamp
}

#[table(accessor = keyed_uuid, public)]
pub struct KeyedUuid {
    #[primary_key]
    value: Uuid,
    data: i32,
}
keyed! { KeyedUuid keyed_uuid: Uuid, insert_keyed_uuid update_keyed_uuid delete_keyed_uuid }

#[table(accessor = keyed_color, public)]
pub struct KeyedColor {
    #[primary_key]
    value: Color,
    data: i32,
}
keyed! { KeyedColor keyed_color: Color, insert_keyed_color update_keyed_color delete_keyed_color }
