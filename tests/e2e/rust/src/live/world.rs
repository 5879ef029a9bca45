// SPDX-License-Identifier: Apache-2.0
//! What the checks of live queries share: who is there at first, and ways to look at a client's cache.

use crate::bindings::*;
use crate::client::{Client, Options};
use crate::host;
use crate::module::*;
use spacetimedb_sdk::__codegen::__query_builder::Query;
use spacetimedb_sdk::Compression;

pub type Check = (&'static str, fn(Compression));
pub type Person = (u32, &'static str, u32, i32);

pub const PEOPLE: [Person; 5] =
    [(1, "ann", 1, 5), (2, "o'bob", 1, -3), (3, "cyd", 2, 120), (4, "", 3, 0), (5, "ev\u{e9}", 2, 101)];

pub fn put((id, name, team, score): Person) -> Change {
    Change::PutPlayer(NewPlayer { id, name: name.into(), team, score })
}

pub fn team(id: u32, title: &str) -> Change {
    Change::PutTeam(Team { id, title: title.into() })
}

pub fn node(id: u32, parent: u32, label: &str, open: bool) -> Change {
    Change::PutNode(Node { id, parent, label: label.into(), open })
}

pub fn note(id: u64, team: u32) -> Change {
    Change::WriteNote(NewNote { id, team, text: format!("note {id}") })
}

pub fn reply(id: u32, note: u64) -> Change {
    Change::PutReply(Reply { id, note, text: format!("reply {id}") })
}

/// One transaction.
#[track_caller]
pub fn commit(client: &Client, changes: impl Into<Vec<Change>>) {
    client.call(change(changes.into()));
}

pub fn fill(client: &Client) {
    commit(client, PEOPLE.map(put).into_iter().chain([1, 2].map(|id| team(id, "a team"))).collect::<Vec<_>>());
}

/// The owner of the database, to whom no rules apply.
pub fn owner(compression: Compression) -> Client {
    Client::new(Options { token: host::owner(), ..compression.into() })
}

pub fn again(client: &Client, compression: Compression) -> Client {
    let again = Client::new(Options { token: Some(client.token.clone()), ..compression.into() });
    assert_eq!(again.identity, client.identity);
    again
}

/// What was committed before is in the caches after.
#[track_caller]
pub fn settle(clients: &[&Client]) {
    clients.iter().for_each(|client| client.settle());
}

pub fn close<const N: usize>(clients: [Client; N]) {
    clients.into_iter().for_each(Client::close);
}

pub fn ids<R: KeyedRow>(client: &Client) -> Vec<R::Key>
where
    R::Key: Ord,
{
    let mut ids: Vec<_> = client.rows::<R>().iter().map(|row| row.primary_key().clone()).collect();
    ids.sort();
    ids
}

/// After everything that was committed so far, the table has just these keys.
#[track_caller]
pub fn shows<R: KeyedRow>(client: &Client, wanted: &[R::Key], what: &str)
where
    R::Key: Ord,
{
    client.settle();
    assert_eq!(ids::<R>(client), wanted, "{}: {what}", R::TABLE);
}

/// A typed query, subscribed to.
pub fn subscribe_to<R: Row>(client: &Client, query: impl Query<R>) -> SubscriptionHandle {
    client.subscribe(&[query.into_sql()])
}
