// SPDX-License-Identifier: Apache-2.0
//! Any number of changes in one transaction: what it must lead to is known to whoever made it up.

use crate::*;

#[derive(SpacetimeType)]
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
    /// Ends the transaction with this error.
    Fail(String),
}

#[derive(SpacetimeType)]
pub struct NewPlayer {
    id: u32,
    name: String,
    team: u32,
    score: i32,
}

#[derive(SpacetimeType)]
pub struct NewNote {
    id: u64,
    team: u32,
    text: String,
}

/// Takes what was there under the key away, and puts the new row.
macro_rules! put {
    ($ctx:ident $table:ident $key:ident $row:expr) => {{
        let row = $row;
        $ctx.db.$table().$key().delete(row.$key);
        $ctx.db.$table().insert(row);
    }};
}

#[reducer]
pub fn change(ctx: &ReducerContext, changes: Vec<Change>) -> Result<(), String> {
    for change in changes {
        match change {
            Change::PutPlayer(NewPlayer { id, name, team, score }) => put_player(ctx, id, name, team, score)?,
            Change::DropPlayer(id) => drop_player(ctx, id),
            Change::PutTeam(team) => put!(ctx team id team),
            Change::DropTeam(id) => drop_team(ctx, id),
            Change::PutRemark(remark) => _ = ctx.db.remark().insert(remark),
            Change::DropRemark(remark) => _ = ctx.db.remark().delete(remark),
            Change::PutNode(node) => put!(ctx node id node),
            Change::DropNode(id) => _ = ctx.db.node().id().delete(id),
            Change::WriteNote(NewNote { id, team, text }) => {
                put!(ctx note id Note { id, author: ctx.sender(), team, text })
            }
            Change::DropNote(id) => drop_note(ctx, id),
            Change::PutReply(reply) => put!(ctx reply id reply),
            Change::DropReply(id) => _ = ctx.db.reply().id().delete(id),
            Change::JoinTeam(team) => join_team(ctx, team),
            Change::LeaveTeam(team) => leave_team(ctx, team),
            Change::Ping(ping) => _ = ctx.db.ping().insert(ping),
            Change::Fail(text) => return Err(text),
        }
    }
    Ok(())
}
