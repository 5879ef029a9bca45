// SPDX-License-Identifier: Apache-2.0
//! Goal: subscriptions begin and end each by itself, and what several of them show is there once: queries that overlap,
//! fail, and begin inside callbacks; every row event is counted. (What ends before it began: checks/subscriptions.rs.)

use crate::bindings::*;
use crate::client::{Cause, Change as Event, Client, Watch};
use crate::module::*;
use crate::world::*;
use spacetimedb_sdk::Compression;
use std::sync::mpsc::channel;

pub const CHECKS: &[Check] = &[
    ("a row of several subscriptions is one row", overlaps),
    ("rows without a key come and go by value", without_key),
    ("all tables", all_tables),
    ("a bad query is refused by itself", refusals),
    ("a subscription may begin in the callback of another", inside),
    ("fifty subscriptions at once, ended in another order", fifty),
];

fn overlaps(compression: Compression) {
    let client = Client::new(compression);
    fill(&client);
    let watch: Watch<Player> = client.watch();
    let [by_id, by_team, by_score] = ["id <= 3", "team = 1", "score >= -3 AND id < 3"]
        .map(|condition| client.subscribe(&[format!("SELECT * FROM player WHERE {condition}")]));
    let mut first = [0, 1, 2].map(|_| watch.inserted().id);
    first.sort();
    assert_eq!(first, [1, 2, 3]);
    commit(&client, [put((1, "ann", 1, 6))]);
    assert!(matches!(watch.next().1, Event::Update(old, new) if (old.score, new.score) == (5, 6)));
    commit(&client, [put((1, "ann", 2, 6))]);
    assert_eq!(watch.updated().1.team, 2, "it leaves one of them");
    commit(&client, [put((0, "zed", 1, 6))]);
    assert_eq!(watch.inserted().id, 0, "one enters all of them");
    commit(&client, [Change::DropPlayer(0)]);
    assert_eq!(watch.deleted().id, 0);
    commit(&client, [put(PEOPLE[0])]);
    assert_eq!(watch.updated().1.team, 1);
    watch.quiet();
    client.unsubscribe(by_score);
    watch.quiet(); // others show all of it
    client.unsubscribe(by_id);
    assert_eq!(watch.deleted().id, 3);
    watch.quiet();
    client.unsubscribe(by_team);
    assert!(matches!(watch.next(), (Cause::Unsubscribed, Event::Delete(_))));
    watch.deleted();
    assert!(client.rows::<Player>().is_empty(), "all rows are gone");
    commit(&client, [put((1, "ann", 1, 7))]);
    watch.quiet();
    drop(watch);
    client.close();
}

fn without_key(compression: Compression) {
    let client = Client::new(compression);
    let heavy = subscribe_to(&client, from::<Remark>().r#where(|r| r.weight.gt(-1)));
    subscribe_to(&client, from::<Remark>().r#where(|r| r.text.eq("a".to_string())));
    let watch: Watch<Remark> = client.watch_stored();
    for (text, weight) in [("a", 1), ("a", 1), ("a", 2), ("b", 3), ("b", -5)] {
        client.call(put_remark(text.into(), weight));
    }
    client.call(drop_remark("a".into(), 1));
    assert_eq!([0, 1, 2].map(|_| watch.inserted().weight), [1, 2, 3]);
    assert_eq!(watch.deleted().weight, 1);
    client.unsubscribe(heavy);
    assert_eq!(watch.deleted().weight, 3);
    let two = Remark { text: "a".into(), weight: 2 };
    commit(&client, [Change::DropRemark(two.clone()), Change::PutRemark(two.clone())]);
    watch.quiet(); // taken and put back
    assert_eq!(client.rows::<Remark>(), [two]);
    drop(watch);
    client.close();
}

fn all_tables(compression: Compression) {
    let client = Client::new(compression);
    fill(&client);
    client.call(write_note(9, 1, "note".into()));
    client.call(put_secret(1, "hush".into()));
    let (ping, pings) = channel();
    client.connection.db.ping().on_insert(move |_, row| ping.send(row.text.clone()).unwrap_or_default());
    let (applied, ready) = channel();
    client
        .connection
        .subscription_builder()
        .on_applied(move |_| applied.send(()).unwrap_or_default())
        .on_error(|_, error| panic!("{error}"))
        .subscribe_to_all_tables();
    client.wait(30, &ready, "all tables");
    shows::<Player>(&client, &[1, 2, 3, 4, 5], "players");
    shows::<Team>(&client, &[1, 2], "teams");
    shows::<Note>(&client, &[9], "notes");
    shows::<MyPlayer>(&client, &[1, 2, 3, 4, 5], "a view");
    shows::<FirstPlayer>(&client, &[1], "another view");
    shows::<Winner>(&client, &[3, 5], "a view with a query");
    shows::<WinningTeam>(&client, &[2], "a view with a join");
    shows::<MySecret>(&client, &[1], "a view of private rows");
    assert_eq!(client.rows::<Standing>().len(), 3);
    client.call(send_ping(1, 1));
    client.call(drop_player(3));
    shows::<Winner>(&client, &[5], "a view with a query, later");
    assert_eq!(pings.try_iter().collect::<Vec<_>>(), ["ping 0"]);
    client.close();
}

fn refusals(compression: Compression) {
    let client = Client::new(compression);
    fill(&client);
    client.subscribe(&["SELECT * FROM player WHERE team = 1".into()]);
    for (query, words) in [
        ("SELECT * FROM nowhere", "no such table: `nowhere`"),
        ("SELECT * FROM secret", "no such table: `secret`"),
        ("SELECT name FROM player", "Column projections are not supported in subscriptions"),
        ("SELECT * FROM player WHERE height = 3", "`height` is not in scope"),
        ("SELECT * FROM player WHERE score = 'x'", "cannot be parsed as type `I32`"),
        ("SELECT player.* FROM player JOIN team ON player.name = team.id", "Unexpected type"),
        ("DELETE FROM team", "Non-SELECT queries"),
    ] {
        let refused = client.try_subscribe(&["SELECT * FROM team".into(), query.into()]);
        let error = refused.err().unwrap_or_else(|| panic!("{query} was accepted"));
        assert!(error.contains(words), "{query}: {error}");
    }
    shows::<Team>(&client, &[], "nothing of a refused request is there");
    commit(&client, [put((8, "hal", 1, 1))]);
    shows::<Player>(&client, &[1, 2, 8], "the other subscription lives on");
    client.close();
}

fn inside(compression: Compression) {
    let client = Client::new(compression);
    fill(&client);
    let (say, said) = channel();
    client
        .connection
        .subscription_builder()
        .on_applied(move |context| {
            assert_eq!(context.db.player().count(), 1);
            context
                .subscription_builder()
                .on_applied(move |context| say.send(context.db.team().count()).unwrap_or_default())
                .subscribe("SELECT * FROM team");
        })
        .subscribe("SELECT * FROM player WHERE team = 3");
    assert_eq!(client.wait(10, &said, "the inner subscription"), 2);
    client.close();
}

fn fifty(compression: Compression) {
    let client = Client::new(compression);
    let count = 50;
    commit(
        &client,
        (0..count)
            .map(|id| Change::PutPlayer(NewPlayer { id, name: format!("p{id}"), team: id % 5, score: id as i32 }))
            .collect::<Vec<_>>(),
    );
    let watch: Watch<Player> = client.watch();
    let mut handles: Vec<_> =
        (0..count).map(|id| Some(subscribe_to(&client, from::<Player>().r#where(|p| p.id.gte(id))))).collect();
    let mut first: Vec<_> = (0..count).map(|_| watch.inserted().id).collect();
    first.sort();
    assert_eq!(first, (0..count).collect::<Vec<_>>(), "each row once");
    commit(&client, [put((49, "p49", 0, -1)), Change::DropPlayer(48)]);
    let mut changed = [watch.next().1, watch.next().1].map(|event| match event {
        Event::Update(_, new) => ("update", new.id),
        Event::Delete(row) => ("delete", row.id),
        Event::Insert(row) => ("insert", row.id),
    });
    changed.sort();
    assert_eq!(changed, [("delete", 48), ("update", 49)]);
    watch.quiet();
    // The row n is shown by the subscriptions 0 to n: gone when the last of them is.
    for step in 0..count {
        client.unsubscribe(handles[(step * 7 % count) as usize].take().expect("each once"));
        let left = handles.iter().position(Option::is_some).map_or(count, |n| n as u32);
        let wanted: Vec<_> = (left..count).filter(|id| *id != 48).collect();
        assert_eq!(ids::<Player>(&client), wanted, "after {} ends", step + 1);
    }
    (0..count - 1).for_each(|_| drop(watch.deleted()));
    watch.quiet();
    drop(watch);
    client.close();
}
