// SPDX-License-Identifier: Apache-2.0
//! Goal: nobody is ever sent a row that is not theirs to see, and everybody has all that is: row-level rules, rules
//! that go through other rules, private tables, event tables.

use crate::bindings::*;
use crate::client::{Client, Watch};
use crate::module::*;
use crate::world::*;
use spacetimedb_sdk::Compression;
use std::sync::mpsc::{channel, Receiver};

pub const CHECKS: &[Check] = &[
    ("everybody sees the notes that the rules show them", notes),
    ("a note that changes hands leaves one cache and enters another", hands),
    ("a rule through a rule: replies are seen with the notes that they answer", replies),
    ("rules hold on both sides of a join", joins),
    ("private rows are shown by nothing but views", private),
    ("events are told once and kept by nobody", events),
    ("events can be joined with rows, and have rules", whispers),
];

fn notes(compression: Compression) {
    let all = ["SELECT * FROM note".to_string()];
    let (ann, bob, owner) = (Client::with(compression, &all), Client::with(compression, &all), owner(compression));
    owner.subscribe(&all);
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
    let late = again(&bob, compression);
    subscribe_to(&late, from::<Note>().r#where(|n| n.team.eq(2)));
    shows::<Note>(&late, &[3], "the same person on another connection");
    shows::<Note>(&owner, &[1, 3], "the owner still sees all");
    close([ann, bob, owner, late]);
}

fn hands(compression: Compression) {
    let (ann, bob) = (Client::new(compression), Client::new(compression));
    let watches: [Watch<Note>; 2] = [&ann, &bob].map(|client| {
        subscribe_to(client, from::<Note>());
        client.watch()
    });
    let [hers, his] = &watches;
    commit(&ann, [note(1, 0)]);
    assert_eq!(hers.inserted().author, ann.identity);
    commit(&bob, [note(1, 0)]);
    assert_eq!(hers.deleted().author, ann.identity);
    assert_eq!(his.inserted().author, bob.identity);
    commit(&ann, [Change::JoinTeam(1)]);
    commit(&bob, [note(1, 1)]);
    assert_eq!(hers.inserted().team, 1);
    assert_eq!(his.updated().1.team, 1);
    commit(&ann, [note(1, 1)]); // shown by both rules now
    commit(&ann, [Change::LeaveTeam(1)]);
    assert_eq!(hers.updated().1.author, ann.identity);
    assert_eq!(his.deleted().author, bob.identity);
    commit(&ann, [Change::DropNote(1)]);
    assert_eq!(hers.deleted().id, 1);
    settle(&[&ann, &bob]);
    watches.iter().for_each(Watch::quiet);
    drop(watches);
    close([ann, bob]);
}

fn replies(compression: Compression) {
    let (ann, bob, owner) = (Client::new(compression), Client::new(compression), owner(compression));
    for client in [&ann, &bob, &owner] {
        subscribe_to(client, from::<Reply>());
    }
    commit(&ann, [note(1, 1), note(2, 2), reply(10, 1), reply(20, 2), reply(30, 3)]);
    commit(&bob, [note(3, 2), reply(11, 1)]);
    shows::<Reply>(&ann, &[10, 11, 20], "to her notes");
    shows::<Reply>(&bob, &[30], "to his note");
    shows::<Reply>(&owner, &[10, 11, 20, 30], "all");
    commit(&bob, [Change::JoinTeam(2), Change::JoinTeam(2)]);
    shows::<Reply>(&bob, &[20, 30], "to notes for his team");
    commit(&ann, [note(2, 1), reply(11, 3)]);
    shows::<Reply>(&ann, &[10, 20], "an answer to another note");
    shows::<Reply>(&bob, &[11, 30], "a note for another team");
    commit(&bob, [Change::LeaveTeam(2), Change::DropNote(1)]);
    shows::<Reply>(&ann, &[20], "a note goes");
    shows::<Reply>(&bob, &[11, 30], "his own note is there without the team");
    commit(&bob, [Change::DropNote(3)]);
    shows::<Reply>(&bob, &[], "nothing is left");
    shows::<Reply>(&owner, &[10, 11, 20, 30], "the owner sees replies to nothing");
    close([ann, bob, owner]);
}

fn joins(compression: Compression) {
    let (ann, bob, owner) = (Client::new(compression), Client::new(compression), owner(compression));
    fill(&ann);
    commit(&ann, [note(1, 1), note(2, 2)]);
    commit(&bob, [note(3, 2)]);
    for client in [&ann, &bob, &owner] {
        subscribe_to(client, from::<Note>().left_semijoin(from::<Team>(), |n, t| n.team.eq(t.id)));
        let notes = from::<Note>().r#where(|n| n.id.ne(1));
        subscribe_to(client, notes.right_semijoin(from::<Team>(), |n, t| n.team.eq(t.id)));
    }
    shows::<Note>(&ann, &[1, 2], "of teams, her own");
    shows::<Note>(&bob, &[3], "of teams, his own");
    shows::<Note>(&owner, &[1, 2, 3], "of teams, all");
    shows::<Team>(&ann, &[2], "teams with notes, but the first");
    shows::<Team>(&bob, &[2], "teams with notes");
    commit(&ann, [Change::DropNote(2)]);
    shows::<Team>(&ann, &[], "bob's note shows her nothing");
    shows::<Team>(&bob, &[2], "as before");
    commit(&bob, [note(3, 1)]);
    shows::<Team>(&bob, &[1], "his note is for another team");
    commit(&ann, [Change::JoinTeam(1)]);
    shows::<Team>(&ann, &[1], "she may see it now");
    commit(&ann, [Change::DropTeam(1)]);
    for client in [&ann, &bob, &owner] {
        shows::<Team>(client, &[], "the team goes");
        shows::<Note>(client, &[], "and notes of the team with it");
    }
    close([ann, bob, owner]);
}

fn private(compression: Compression) {
    let view = ["SELECT * FROM my_secrets".to_string()];
    let (ann, bob, owner) = (Client::with(compression, &view), Client::with(compression, &view), owner(compression));
    owner.subscribe(&view);
    ann.call(put_secret(1, "hers".into()));
    bob.call(put_secret(2, "his".into()));
    ann.call(put_secret(3, "also hers".into()));
    shows::<MySecret>(&ann, &[1, 3], "hers");
    shows::<MySecret>(&bob, &[2], "his");
    shows::<MySecret>(&owner, &[], "owning the database is no owner's secret");
    for query in [
        "SELECT * FROM secret",
        "SELECT player.* FROM player JOIN secret ON player.id = secret.id",
        "SELECT secret.* FROM secret JOIN player ON player.id = secret.id",
    ] {
        let error = ann.try_subscribe(&[query.into()]).err().unwrap_or_else(|| panic!("{query} was accepted"));
        assert!(error.contains("no such table: `secret`"), "{query}: {error}");
    }
    close([ann, bob, owner]);
}

fn pings(client: &Client) -> Receiver<(u32, String)> {
    let (told, tell) = channel();
    client.connection.db.ping().on_insert(move |_, row| told.send((row.from, row.text.clone())).unwrap_or_default());
    client.settle();
    tell
}

fn heard<T: Ord>(receiver: &Receiver<T>) -> Vec<T> {
    let mut all: Vec<_> = receiver.try_iter().collect();
    all.sort();
    all
}

fn events(compression: Compression) {
    let clients = [0, 1, 2].map(|_| Client::new(compression));
    let [sender, some, every] = &clients;
    let ears = [sender, some, every].map(pings);
    some.subscribe(&["SELECT * FROM ping WHERE \"from\" = 2".into()]);
    subscribe_to(every, from::<Ping>());
    let text = |from: u32, n: u32| (from, format!("ping {n}"));
    sender.call(send_ping(1, 2));
    settle(&[some, every]);
    assert_eq!(heard(&ears[2]), [text(1, 0), text(1, 1)]);
    sender.call(send_ping(2, 1));
    let undone = Ping { from: 2, text: "undone".into() };
    assert_eq!(sender.refused(change(vec![Change::Ping(undone), Change::Fail("no".into())])), "no");
    let late = Client::new(compression);
    let ear = pings(&late);
    subscribe_to(&late, from::<Ping>());
    settle(&[some, every, &late]);
    assert_eq!(heard(&ears[2]), [text(2, 0)]);
    assert_eq!(heard(&ears[1]), [text(2, 0)]);
    assert!(heard(&ears[0]).is_empty(), "who did not ask is told");
    assert!(heard(&ear).is_empty(), "who came later is told");
    assert_eq!([some, every].map(|client| client.connection.db.ping().count()), [0, 0], "kept");
    late.close();
    close(clients);
}

fn whispers(compression: Compression) {
    let (ann, bob, owner) = (Client::new(compression), Client::new(compression), owner(compression));
    let ears = [&ann, &bob, &owner].map(|client| {
        let (told, tell) = channel();
        client.connection.db.whisper().on_insert(move |_, row| told.send(row.text.clone()).unwrap_or_default());
        client.settle();
        client.subscribe(&["SELECT * FROM whisper".into()]);
        tell
    });
    ann.call(whisper_to(bob.identity, "psst".into()));
    bob.call(whisper_to(bob.identity, "hm".into()));
    settle(&[&ann, &bob, &owner]);
    let both = ["hm".to_string(), "psst".into()];
    assert_eq!(ears.each_ref().map(heard), [vec![], both.to_vec(), both.to_vec()]);

    let ear = pings(&bob);
    subscribe_to(&bob, from::<Ping>().left_semijoin(from::<Team>(), |p, t| p.from.eq(t.id)));
    let ping = |from, text: &str| Change::Ping(Ping { from, text: text.into() });
    commit(&ann, [ping(1, "of no team")]);
    commit(&ann, [team(1, "one")]);
    commit(&ann, [ping(1, "of a team"), ping(2, "of no team")]);
    commit(&ann, [team(3, "new"), ping(3, "of a team that comes with it")]);
    commit(&ann, [Change::DropTeam(1), ping(1, "of a team that goes with it")]);
    bob.settle();
    assert_eq!(heard(&ear), [(1, "of a team".into()), (3, "of a team that comes with it".into())]);
    let query = "SELECT team.* FROM team JOIN ping ON ping.\"from\" = team.id";
    let error = bob.try_subscribe(&[query.into()]).err().unwrap_or_else(|| panic!("{query} was accepted"));
    assert!(error.contains("Event tables cannot be used as the lookup table"), "{error}");
    close([ann, bob, owner]);
}
