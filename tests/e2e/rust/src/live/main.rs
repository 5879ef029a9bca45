// SPDX-License-Identifier: Apache-2.0
//! Goal: what an official client shows is true at every moment: joins, row-level rules, views, event tables, and
//! what the end of a subscription takes away. Expectations are computed here, from what was written.
//! Method: tests/modules/live behind a host, spacetimedb-sdk before it. host.rs says which variables name the host.
//!
//!     worldline-live [TEXT]    only checks whose name contains TEXT

#[macro_use]
#[path = "../bindings.rs"]
#[allow(dead_code)]
mod bindings;
#[path = "../client.rs"]
#[allow(dead_code)]
mod client;
#[path = "../host.rs"]
#[allow(dead_code)]
mod host;
mod module;
#[path = "../run.rs"]
mod run;

use bindings::*;
use client::{until, Change, Client, Options, Watch};
use module::*;
use run::Run;
use spacetimedb_sdk::__codegen::__query_builder::Query;
use spacetimedb_sdk::Compression;
use std::sync::mpsc::channel;

fn main() {
    run::all(checks);
}

fn checks(run: &mut Run) {
    for compression in [Compression::None, Compression::Brotli] {
        let mut check = |name: &str, check: fn(Compression)| {
            run.check(&format!("{name}, {compression:?}"), || {
                host::publish().expect("publish");
                check(compression);
            });
        };
        check("semijoins follow both sides", semijoins);
        check("typed queries follow their rows", conditions);
        check("views follow their tables, for everybody and for each sender", views);
        check("everybody sees the notes that the rules show them", rules);
        check("events are told once and kept by nobody", events);
        check("rows without a key come and go by value", without_key);
        check("all tables", all_tables);
        check("a bad query is refused by itself", refusals);
        check("the last subscription takes a row with it", overlaps);
    }
}

type Person = (u32, &'static str, u32, i32);
const PEOPLE: [Person; 5] =
    [(1, "ann", 1, 5), (2, "o'bob", 1, -3), (3, "cyd", 2, 120), (4, "", 3, 0), (5, "ev\u{e9}", 2, 101)];

fn put(client: &Client, (id, name, team, score): Person) {
    client.call(put_player(id, name.into(), team, score));
}

fn fill(client: &Client) {
    PEOPLE.iter().for_each(|person| put(client, *person));
    client.call(put_team(1, "team 1".into()));
    client.call(put_team(2, "team 2".into()));
}

fn ids<R: KeyedRow>(client: &Client) -> Vec<R::Key>
where
    R::Key: Ord,
{
    let mut ids: Vec<_> = client.rows::<R>().iter().map(|row| row.primary_key().clone()).collect();
    ids.sort();
    ids
}

#[track_caller]
fn shows<R: KeyedRow>(client: &Client, wanted: &[R::Key], what: &str)
where
    R::Key: Ord,
{
    let end = std::time::Instant::now() + host::patience(10);
    while ids::<R>(client) != wanted {
        assert!(std::time::Instant::now() < end, "{what}: shows {:?}, not {wanted:?}", ids::<R>(client));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// A typed query, subscribed to.
fn subscribe_to<R: Row>(client: &Client, query: impl Query<R>) -> SubscriptionHandle {
    client.subscribe(&[query.into_sql()])
}

fn semijoins(compression: Compression) {
    let writer = Client::new(Compression::None);
    fill(&writer);
    let reader = Client::new(compression);
    subscribe_to(&reader, from::<Player>().left_semijoin(from::<Team>(), |p, t| p.team.eq(t.id)));
    subscribe_to(
        &reader,
        from::<Player>()
            .r#where(|p| p.score.gt(100))
            .right_semijoin(from::<Team>(), |p, t| p.team.eq(t.id))
            .r#where(|t| t.title.ne("nobody".to_string())),
    );
    let players: Watch<Player> = reader.watch();
    shows::<Player>(&reader, &[1, 2, 3, 5], "at first");
    shows::<Team>(&reader, &[2], "at first");
    writer.call(put_team(3, "three".into()));
    assert_eq!(players.inserted().id, 4);
    put(&writer, (4, "", 3, 102));
    shows::<Team>(&reader, &[2, 3], "a winner comes");
    assert_eq!(players.updated().1.score, 102);
    writer.call(put_team(3, "nobody".into()));
    shows::<Team>(&reader, &[2], "a title changes");
    writer.call(merge_teams(2, 3));
    shows::<Team>(&reader, &[], "both sides change at once");
    let mut moved = [players.updated(), players.updated()].map(|(old, new)| (old.id, old.team, new.team));
    moved.sort();
    assert_eq!(moved, [(3, 2, 3), (5, 2, 3)], "players whose team changed hands never left");
    writer.call(drop_team(1));
    let mut gone = [players.deleted().id, players.deleted().id];
    gone.sort();
    assert_eq!(gone, [1, 2]);
    players.quiet();
    drop(players);
    reader.close();
    writer.close();
}

fn conditions(compression: Compression) {
    let writer = Client::new(Compression::None);
    fill(&writer);
    let reader = Client::new(compression);
    subscribe_to(&reader, from::<Player>().r#where(|p| p.score.gte(5).and(p.team.lt(3)).or(p.name.eq(String::new()))));
    shows::<Player>(&reader, &[1, 3, 4, 5], "at first");
    put(&writer, (1, "ann", 3, 5));
    put(&writer, (2, "o'bob", 2, 5));
    put(&writer, (4, "dan", 3, 0));
    shows::<Player>(&reader, &[2, 3, 5], "some come, some go");
    let other = Client::new(compression);
    subscribe_to(&other, from::<Player>().r#where(|p| p.online.eq(false).or(p.owner.eq(other.identity))));
    shows::<Player>(&other, &[], "nobody is offline");
    put(&other, (9, "ina", 1, 1));
    put(&writer, (3, "cyd", 2, -1));
    shows::<Player>(&other, &[3, 9], "one went offline, one is its own");
    for client in [reader, other, writer] {
        client.close();
    }
}

fn views(compression: Compression) {
    let queries = ["SELECT * FROM my_players", "SELECT * FROM first_player", "SELECT * FROM winners"].map(String::from);
    let (writer, other) = (Client::with(compression, &queries), Client::with(compression, &queries));
    fill(&writer);
    put(&other, (7, "gus", 4, 300));
    shows::<MyPlayer>(&writer, &[1, 2, 3, 4, 5], "mine");
    shows::<MyPlayer>(&other, &[7], "the other's");
    for client in [&writer, &other] {
        shows::<FirstPlayer>(client, &[1], "the first");
        shows::<Winner>(client, &[3, 5, 7], "the winners");
    }
    put(&writer, (3, "cyd", 2, 1));
    writer.call(drop_player(1));
    for client in [&writer, &other] {
        shows::<FirstPlayer>(client, &[], "no first");
        shows::<Winner>(client, &[5, 7], "fewer winners");
    }
    other.subscribe(&["SELECT t.* FROM team t JOIN winners w ON t.id = w.team".into()]);
    shows::<Team>(&other, &[2], "teams of winners");
    put(&writer, (5, "ev\u{e9}", 2, 0));
    shows::<Team>(&other, &[], "teams without winners");
    writer.close();
    other.close();
}

fn rules(compression: Compression) {
    let all = ["SELECT * FROM note".to_string()];
    let (ann, bob) = (Client::with(compression, &all), Client::with(compression, &all));
    let owner = Client::with(Options { token: host::owner(), ..compression.into() }, &all);
    ann.call(write_note(1, 1, "mine".into()));
    bob.call(write_note(2, 1, "of bob, for team 1".into()));
    bob.call(write_note(3, 2, "of bob, for team 2".into()));
    shows::<Note>(&ann, &[1], "ann sees her own");
    shows::<Note>(&bob, &[2, 3], "bob sees his own");
    shows::<Note>(&owner, &[1, 2, 3], "the owner sees all");
    let watch: Watch<Note> = ann.watch();
    ann.call(join_team(1));
    assert_eq!(watch.inserted().id, 2);
    ann.call(join_team(2));
    assert_eq!(watch.inserted().id, 3);
    bob.call(drop_note(2));
    assert_eq!(watch.deleted().id, 2);
    ann.call(leave_team(1));
    ann.call(leave_team(2));
    assert_eq!(watch.deleted().id, 3);
    watch.quiet();
    drop(watch);
    let late = Client::new(Options { token: Some(bob.token.clone()), ..compression.into() });
    assert_eq!(late.identity, bob.identity);
    subscribe_to(&late, from::<Note>().r#where(|n| n.team.eq(2)));
    shows::<Note>(&late, &[3], "the same person on another connection");
    shows::<Note>(&owner, &[1, 3], "the owner still sees all");
    for client in [ann, bob, owner, late] {
        client.close();
    }
}

fn events(compression: Compression) {
    let (sender, some, every) = (Client::new(compression), Client::new(compression), Client::new(compression));
    let (heard, hear) = channel();
    let (told, tell) = channel();
    some.connection.db.ping().on_insert(move |_, row| heard.send(row.text.clone()).unwrap_or_default());
    every.connection.db.ping().on_insert(move |_, row| told.send((row.from, row.text.clone())).unwrap_or_default());
    some.settle();
    every.settle();
    some.subscribe(&["SELECT * FROM ping WHERE \"from\" = 2".into()]);
    every.subscribe(&["SELECT * FROM ping".into()]);
    sender.call(send_ping(1, 2));
    sender.call(send_ping(2, 1));
    let mut three = [0, 1, 2].map(|_| every.wait(10, &tell, "a ping"));
    three[..2].sort();
    let text = |from: u32, n: u32| (from, format!("ping {n}"));
    assert_eq!(three, [text(1, 0), text(1, 1), text(2, 0)]);
    assert_eq!(some.wait(10, &hear, "a ping"), "ping 0");
    assert!(hear.try_recv().is_err() && tell.try_recv().is_err(), "told once");
    assert_eq!(some.connection.db.ping().count() + every.connection.db.ping().count(), 0, "kept");
    for client in [sender, some, every] {
        client.close();
    }
}

fn without_key(compression: Compression) {
    let client = Client::new(compression);
    subscribe_to(&client, from::<Remark>().r#where(|r| r.weight.gt(-1)));
    let watch: Watch<Remark> = client.watch_stored();
    for (text, weight) in [("a", 1), ("a", 1), ("a", 2), ("b", -5)] {
        client.call(put_remark(text.into(), weight));
    }
    client.call(drop_remark("a".into(), 1));
    assert_eq!(watch.inserted().weight, 1);
    assert_eq!(watch.inserted().weight, 2);
    assert_eq!(watch.deleted().weight, 1);
    watch.quiet();
    assert_eq!(client.rows::<Remark>(), [Remark { text: "a".into(), weight: 2 }]);
    drop(watch);
    client.close();
}

fn all_tables(compression: Compression) {
    let client = Client::new(compression);
    fill(&client);
    client.call(write_note(9, 1, "note".into()));
    client.call(put_secret(1, "hush".into()));
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
    client.call(drop_player(3));
    shows::<Winner>(&client, &[5], "a view with a query, later");
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
    ] {
        let refused = client.try_subscribe(&["SELECT * FROM team".into(), query.into()]);
        let error = refused.err().unwrap_or_else(|| panic!("{query} was accepted"));
        assert!(error.contains(words), "{query}: {error}");
    }
    shows::<Team>(&client, &[], "nothing of a refused request is there");
    put(&client, (8, "hal", 1, 1));
    shows::<Player>(&client, &[1, 2, 8], "the other subscription lives on");
    client.close();
}

fn overlaps(compression: Compression) {
    let client = Client::new(compression);
    fill(&client);
    let watch: Watch<Player> = client.watch();
    let handles = ["id <= 3", "team = 1", "score >= -3 AND id < 3"]
        .map(|condition| client.subscribe(&[format!("SELECT * FROM player WHERE {condition}")]));
    let mut first = [0, 1, 2].map(|_| watch.inserted().id);
    first.sort();
    assert_eq!(first, [1, 2, 3]);
    put(&client, (1, "ann", 1, 6));
    assert!(matches!(watch.next().1, Change::Update(old, new) if (old.score, new.score) == (5, 6)));
    watch.quiet();
    let [by_id, by_team, by_score] = handles;
    client.unsubscribe(by_score);
    client.unsubscribe(by_id);
    assert_eq!(watch.deleted().id, 3);
    watch.quiet();
    client.unsubscribe(by_team);
    until("all rows are gone", || client.rows::<Player>().is_empty());
    drop(watch);
    client.close();
}
