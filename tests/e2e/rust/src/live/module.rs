// SPDX-License-Identifier: Apache-2.0
//! What tests/modules/live declares, for the Rust client SDK.
#![allow(dead_code)]

use crate::bindings::*;
use spacetimedb_sdk::__codegen::{self as __sdk, __lib, __ws};
use spacetimedb_sdk::Identity;

tables! {
    table player Player "player" {
        id: u32, name: String, team: u32, score: i32, online: bool, owner: Identity; key id unique name
    }
    table team Team "team" { id: u32, title: String; key id }
    table remark Remark "remark" { text: String, weight: i64; }
    event ping Ping "ping" { from: u32, text: String }
    table member Member "member" { id: u64, who: Identity, team: u32; key id }
    table note Note "note" { id: u64, author: Identity, team: u32, text: String; key id }
    table my_players MyPlayer "my_players" {
        id: u32, name: String, team: u32, score: i32, online: bool, owner: Identity; key id
    }
    table first_player FirstPlayer "first_player" {
        id: u32, name: String, team: u32, score: i32, online: bool, owner: Identity; key id
    }
    table winners Winner "winners" {
        id: u32, name: String, team: u32, score: i32, online: bool, owner: Identity; key id
    }
}

query_columns! {
    Player PlayerCols PlayerIxCols
    { id: u32, name: String, team: u32, score: i32, online: bool, owner: Identity }
    { id: u32, name: String, team: u32 }
}
query_columns! { Team TeamCols TeamIxCols { id: u32, title: String } { id: u32 } }
query_columns! { Remark RemarkCols RemarkIxCols { text: String, weight: i64 } { text: String } }
query_columns! {
    Note NoteCols NoteIxCols
    { id: u64, author: Identity, team: u32, text: String }
    { id: u64, author: Identity, team: u32 }
}

/// The table of a typed query.
pub fn from<R: Row>() -> __sdk::__query_builder::Table<R> {
    __sdk::__query_builder::Table::new(R::TABLE)
}

reducers! {
    put_player "put_player" (id: u32, name: String, team: u32, score: i32);
    drop_player "drop_player" (id: u32);
    put_team "put_team" (id: u32, title: String);
    drop_team "drop_team" (id: u32);
    merge_teams "merge_teams" (from: u32, into: u32);
    put_remark "put_remark" (text: String, weight: i64);
    drop_remark "drop_remark" (text: String, weight: i64);
    send_ping "send_ping" (from: u32, count: u32);
    put_secret "put_secret" (id: u32, word: String);
    join_team "join_team" (team: u32);
    leave_team "leave_team" (team: u32);
    write_note "write_note" (id: u64, team: u32, text: String);
    drop_note "drop_note" (id: u64);
}

pub fn nothing() -> Call {
    drop_player(u32::MAX)
}
