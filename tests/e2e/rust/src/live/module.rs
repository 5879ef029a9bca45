// SPDX-License-Identifier: Apache-2.0
//! What tests/modules/live and live214 declare, for the Rust client SDK.
#![allow(dead_code)]

use crate::bindings::*;
use spacetimedb_sdk::__codegen::{self as __sdk, __lib, __ws};
use spacetimedb_sdk::{Identity, ScheduleAt};

tables! {
    table player Player "player" {
        id: u32, name: String, team: u32, score: i32, online: bool, owner: Identity; key id unique name
    }
    table team Team "team" { id: u32, title: String; key id }
    table remark Remark "remark" { text: String, weight: i64; }
    event ping Ping "ping" { from: u32, text: String }
    event whisper Whisper "whisper" { hearer: Identity, text: String }
    table node Node "node" { id: u32, parent: u32, label: String, open: bool; key id }
    table member Member "member" { id: u64, who: Identity, team: u32; key id }
    table note Note "note" { id: u64, author: Identity, team: u32, text: String; key id }
    table reply Reply "reply" { id: u32, note: u64, text: String; key id }
    table bell Bell "bell" { scheduled_id: u64, scheduled_at: ScheduleAt, text: String; key scheduled_id }
    table my_players MyPlayer "my_players" {
        id: u32, name: String, team: u32, score: i32, online: bool, owner: Identity; key id
    }
    table first_player FirstPlayer "first_player" {
        id: u32, name: String, team: u32, score: i32, online: bool, owner: Identity; key id
    }
    table winners Winner "winners" {
        id: u32, name: String, team: u32, score: i32, online: bool, owner: Identity; key id
    }
    table winning_teams WinningTeam "winning_teams" { id: u32, title: String; key id }
    table my_secrets MySecret "my_secrets" { id: u32, who: Identity, word: String; key id }
    table standings Standing "standings" { team: u32, players: u32, total: i64; }
}

query_columns! {
    Player PlayerCols PlayerIxCols
    { id: u32, name: String, team: u32, score: i32, online: bool, owner: Identity }
    { id: u32, name: String, team: u32 }
}
query_columns! { Team TeamCols TeamIxCols { id: u32, title: String } { id: u32 } }
query_columns! { Remark RemarkCols RemarkIxCols { text: String, weight: i64 } { text: String } }
query_columns! { event Ping PingCols PingIxCols { from: u32, text: String } { from: u32 } }
query_columns! {
    Node NodeCols NodeIxCols
    { id: u32, parent: u32, label: String, open: bool }
    { id: u32, parent: u32, label: String }
}
query_columns! {
    Note NoteCols NoteIxCols
    { id: u64, author: Identity, team: u32, text: String }
    { id: u64, author: Identity, team: u32 }
}
query_columns! { Reply ReplyCols ReplyIxCols { id: u32, note: u64, text: String } { id: u32, note: u64 } }
query_columns! {
    MyPlayer MyPlayerCols MyPlayerIxCols { id: u32, team: u32, score: i32, online: bool } { id: u32, team: u32 }
}
query_columns! {
    FirstPlayer FirstPlayerCols FirstPlayerIxCols { id: u32, score: i32, online: bool } { id: u32 }
}
query_columns! { Winner WinnerCols WinnerIxCols { id: u32, team: u32, score: i32 } { id: u32, team: u32 } }
query_columns! { WinningTeam WinningTeamCols WinningTeamIxCols { id: u32, title: String } { id: u32 } }
query_columns! {
    Standing StandingCols StandingIxCols { team: u32, players: u32, total: i64 } { team: u32 }
}

/// The table of a typed query.
pub fn from<R: Row>() -> __sdk::__query_builder::Table<R> {
    __sdk::__query_builder::Table::new(R::TABLE)
}

/// Several of these are one transaction: the reducer `change`.
#[derive(__lib::ser::Serialize, Clone, Debug)]
#[sats(crate = __lib)]
pub enum Change {
    PutPlayer(NewPlayer),
    DropPlayer(u32),
    PutTeam(Team),
    DropTeam(u32),
    PutRemark(Remark),
    DropRemark(Remark),
    PutNode(Node),
    DropNode(u32),
    WriteNote(NewNote),
    DropNote(u64),
    PutReply(Reply),
    DropReply(u32),
    JoinTeam(u32),
    LeaveTeam(u32),
    Ping(Ping),
    Fail(String),
}

#[derive(__lib::ser::Serialize, Clone, Debug)]
#[sats(crate = __lib)]
pub struct NewPlayer {
    pub id: u32,
    pub name: String,
    pub team: u32,
    pub score: i32,
}

#[derive(__lib::ser::Serialize, Clone, Debug)]
#[sats(crate = __lib)]
pub struct NewNote {
    pub id: u64,
    pub team: u32,
    pub text: String,
}

reducers! {
    put_player "put_player" (id: u32, name: String, team: u32, score: i32);
    put_player_and_fail "put_player_and_fail" (id: u32);
    drop_player "drop_player" (id: u32);
    drop_team "drop_team" (id: u32);
    merge_teams "merge_teams" (from: u32, into: u32);
    put_remark "put_remark" (text: String, weight: i64);
    drop_remark "drop_remark" (text: String, weight: i64);
    send_ping "send_ping" (from: u32, count: u32);
    whisper_to "whisper_to" (hearer: Identity, text: String);
    put_secret "put_secret" (id: u32, word: String);
    join_team "join_team" (team: u32);
    leave_team "leave_team" (team: u32);
    write_note "write_note" (id: u64, team: u32, text: String);
    drop_note "drop_note" (id: u64);
    set_bell "set_bell" (text: String, micros: i64);
    change "change" (changes: Vec<Change>);
}

pub fn nothing() -> Call {
    drop_player(u32::MAX)
}
