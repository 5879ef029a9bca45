// SPDX-License-Identifier: Apache-2.0
//! Goal: live queries are the same whatever carries them, and who comes back has what is true by then: large messages,
//! confirmed reads of a host that is killed, reconnects.

use crate::bindings::*;
use crate::client::{Client, Options, Watch};
use crate::host;
use crate::module::*;
use crate::world::*;
use spacetimedb_sdk::Compression;
use std::sync::mpsc::channel;

pub const CHECKS: &[Check] =
    &[("large messages while others write", large), ("a client that comes back finds what happened meanwhile", back)];

/// Once each: they take the host with them.
pub const RESTARTS: &[Check] = &[
    ("what a confirmed client was told is there after the host was killed", killed),
    ("after a restart rules, joins and views go on", restarted),
];

fn remarks(numbers: impl Iterator<Item = u32>, weight: i64) -> Vec<Remark> {
    numbers.map(|i| Remark { text: format!("{i} {}", "x".repeat(i as usize % 40)), weight }).collect()
}

fn put_all(rows: Vec<Remark>) -> Vec<Change> {
    rows.into_iter().map(Change::PutRemark).collect()
}

fn bytes(rows: Vec<Remark>) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = rows.iter().map(Row::bytes).collect();
    all.sort();
    all
}

fn large(compression: Compression) {
    const MANY: u32 = 3_000;
    let writer = Client::new(Options { confirmed: Some(false), ..Compression::None.into() });
    let reader = Client::new(compression);
    commit(&writer, put_all(remarks(0..MANY, 1)));
    let watch: Watch<Remark> = reader.watch_stored();
    // Rows that come and go while the first answer is made and while it travels.
    let writes: Vec<_> = (0..20)
        .map(|i| {
            let mut changes = put_all(remarks(MANY + i * 10..MANY + i * 10 + 10, 2));
            changes.extend(remarks(i..i + 1, 1).into_iter().map(Change::DropRemark));
            writer.start(change(changes))
        })
        .collect();
    let handle = subscribe_to(&reader, from::<Remark>());
    writes.iter().for_each(|call| assert!(matches!(writer.wait(30, call, "change"), Ok(Ok(())))));
    reader.settle();
    let mut wanted = remarks(20..MANY, 1);
    wanted.extend(remarks(MANY..MANY + 200, 2));
    assert!(reader.row_bytes::<Remark>() == bytes(wanted.clone()), "rows after the first answer");
    assert_eq!(watch.balance(), wanted.len() as i64, "each row once");
    commit(&writer, put_all(remarks(0..200, 3)));
    wanted.extend(remarks(0..200, 3));
    reader.settle();
    assert!(reader.row_bytes::<Remark>() == bytes(wanted), "rows after a large update");
    reader.unsubscribe(handle);
    assert!(reader.rows::<Remark>().is_empty(), "rows after the end");
    drop(watch);
    close([reader, writer]);
}

fn back(compression: Compression) {
    let (writer, first) = (Client::new(Compression::None), Client::new(compression));
    fill(&writer);
    let both = ["SELECT * FROM player".to_string(), "SELECT * FROM team".into()];
    first.subscribe(&both);
    let (token, identity) = (Some(first.token.clone()), first.identity);
    first.close();
    commit(&writer, [Change::DropPlayer(1), team(9, "new")]);
    let again = Client::with(Options { token, ..compression.into() }, &both);
    assert_eq!(again.identity, identity);
    assert_eq!(ids::<Player>(&again), [2, 3, 4, 5]);
    assert_eq!(ids::<Team>(&again), [1, 2, 9]);
    close([again, writer]);
}

fn killed(compression: Compression) {
    let writer = Client::new(Options { confirmed: Some(false), ..compression.into() });
    let reader = Client::new(Options { confirmed: Some(true), ..compression.into() });
    subscribe_to(&reader, from::<Player>());
    let (tell, told) = channel();
    reader.connection.db.player().on_insert(move |_, row| tell.send(row.id).unwrap_or_default());
    reader.settle();
    for id in 0..400 {
        writer.start(put_player(id, format!("p{id}"), 1, 200));
    }
    let mut seen: Vec<_> = (0..100).map(|_| reader.wait(20, &told, "players")).collect();
    host::restart_by("KILL");
    reader.ended();
    writer.ended();
    seen.extend(told.try_iter());
    let again = again(&reader, compression);
    again.subscribe(&["SELECT * FROM player".into(), "SELECT * FROM winners".into()]);
    let kept = ids::<Player>(&again);
    assert!(seen.iter().all(|id| kept.contains(id)), "told of {seen:?}, kept {kept:?}");
    assert_eq!(kept, (0..kept.len() as u32).collect::<Vec<_>>(), "of calls in a row, the first ones");
    assert_eq!(ids::<Winner>(&again), kept, "the view is made of them");
    again.close();
}

fn restarted(compression: Compression) {
    let old = [Client::new(compression), Client::new(compression)];
    fill(&old[0]);
    commit(&old[0], [note(1, 1), reply(1, 1)]);
    let mut queries = ["note", "reply", "my_players", "winners"].map(|table| format!("SELECT * FROM {table}")).to_vec();
    queries.push("SELECT player.* FROM player JOIN team ON player.team = team.id".into());
    old[1].subscribe(&queries);
    host::restart();
    let [ann, bob] = old.each_ref().map(|client| {
        client.ended();
        let again = again(client, compression);
        again.subscribe(&queries);
        again
    });
    let check = |wanted: [[&[u32]; 2]; 4], what: &str| {
        for (i, client) in [&ann, &bob].into_iter().enumerate() {
            shows::<Reply>(client, wanted[0][i], what);
            shows::<MyPlayer>(client, wanted[1][i], what);
            shows::<Player>(client, wanted[2][i], what);
            shows::<Winner>(client, wanted[3][i], what);
            assert_eq!(ids::<Note>(client).len(), wanted[0][i].len(), "{what}: notes");
        }
    };
    check([[&[1], &[]], [&[1, 2, 3, 4, 5], &[]], [&[1, 2, 3, 5]; 2], [&[3, 5]; 2]], "after the restart");
    commit(&bob, [Change::JoinTeam(1), Change::DropTeam(2), put((1, "ann", 1, 500))]);
    check([[&[1], &[1]], [&[2, 3, 4, 5], &[1]], [&[1, 2]; 2], [&[1, 3, 5]; 2]], "one commit later");
    close([ann, bob]);
}
