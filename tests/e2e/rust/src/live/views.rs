// SPDX-License-Identifier: Apache-2.0
//! Goal: a view shows what its function would give now, to each client what is theirs: views with a sender and without,
//! of rows, of queries with and without a join, of rows without a key; alone and in joins.

use crate::client::{Client, Watch};
use crate::module::*;
use crate::world::*;
use spacetimedb_sdk::Compression;

pub const CHECKS: &[Check] = &[
    ("views follow their tables, for everybody and for each sender", follow),
    ("a row of a view is updated by its key, and only if it changes", updates),
    ("a call that fails leaves views as they were", undone),
    ("rows that are in no table: the standings of teams", standings),
    ("a view of a join, and joins of views", joins),
    ("a view in several subscriptions goes with the last", several),
];

fn follow(compression: Compression) {
    let queries = ["SELECT * FROM my_players", "SELECT * FROM first_player", "SELECT * FROM winners"].map(String::from);
    let (writer, other) = (Client::with(compression, &queries), Client::with(compression, &queries));
    fill(&writer);
    commit(&other, [put((7, "gus", 4, 300))]);
    shows::<MyPlayer>(&writer, &[1, 2, 3, 4, 5], "mine");
    shows::<MyPlayer>(&other, &[7], "the other's");
    for client in [&writer, &other] {
        shows::<FirstPlayer>(client, &[1], "the first");
        shows::<Winner>(client, &[3, 5, 7], "the winners");
    }
    commit(&writer, [put((3, "cyd", 2, 1)), Change::DropPlayer(1)]);
    for client in [&writer, &other] {
        shows::<FirstPlayer>(client, &[], "no first");
        shows::<Winner>(client, &[5, 7], "fewer winners");
    }
    shows::<MyPlayer>(&writer, &[2, 3, 4, 5], "mine, one less");
    other.subscribe(&["SELECT t.* FROM team t JOIN winners w ON t.id = w.team".into()]);
    shows::<Team>(&other, &[2], "teams of winners");
    commit(&writer, [put((5, "ev\u{e9}", 2, 0))]);
    shows::<Team>(&other, &[], "teams without winners");
    close([writer, other]);
}

fn updates(compression: Compression) {
    let (writer, reader) = (Client::new(Compression::None), Client::new(compression));
    fill(&writer);
    subscribe_to(&reader, from::<Winner>());
    subscribe_to(&reader, from::<FirstPlayer>().r#where(|p| p.online));
    let winners: Watch<Winner> = reader.watch();
    let first: Watch<FirstPlayer> = reader.watch();
    commit(&writer, [put((3, "cyd", 2, 121)), put((2, "o'bob", 1, -9))]);
    let (old, new) = winners.updated();
    assert_eq!((old.id, old.score, new.id, new.score), (3, 120, 3, 121));
    commit(&writer, [Change::DropPlayer(3), put((3, "cyd", 2, 121))]);
    reader.settle();
    winners.quiet(); // a row that is taken and put back
    first.quiet();
    commit(&writer, [put((1, "ann", 1, -5))]);
    assert_eq!(first.deleted().score, 5);
    commit(&writer, [put((1, "ann", 1, 6))]);
    assert_eq!(first.inserted().score, 6);
    drop((winners, first));
    close([reader, writer]);
}

fn undone(compression: Compression) {
    let (writer, reader) = (Client::new(Compression::None), Client::new(compression));
    fill(&writer);
    let queries = ["SELECT * FROM winners", "SELECT * FROM standings", "SELECT * FROM winning_teams"].map(String::from);
    reader.subscribe(&queries);
    let winners: Watch<Winner> = reader.watch();
    let standings: Watch<Standing> = reader.watch_stored();
    let before = reader.row_bytes::<Standing>();
    let changes = vec![Change::DropPlayer(3), put((1, "ann", 1, 999)), Change::Fail("never mind".into())];
    assert_eq!(writer.refused(change(changes)), "never mind");
    shows::<WinningTeam>(&reader, &[2], "as before");
    winners.quiet();
    standings.quiet();
    assert_eq!(reader.row_bytes::<Standing>(), before);
    drop((winners, standings));
    close([reader, writer]);
}

fn standings(compression: Compression) {
    let (writer, reader) = (Client::new(Compression::None), Client::new(compression));
    fill(&writer);
    subscribe_to(&reader, from::<Standing>().r#where(|s| s.total.ne(0)));
    let all = || {
        reader.settle();
        let mut all: Vec<_> = reader.rows::<Standing>().iter().map(|s| (s.team, s.players, s.total)).collect();
        all.sort();
        all
    };
    assert_eq!(all(), [(1, 2, 2), (2, 2, 221)]);
    let watch: Watch<Standing> = reader.watch_stored();
    commit(&writer, [put((1, "ann", 2, 3))]);
    assert_eq!(all(), [(1, 1, -3), (2, 3, 224)]);
    (0..4).for_each(|_| drop(watch.next()));
    commit(&writer, [Change::DropPlayer(2), put((4, "", 1, -3))]);
    assert_eq!(all(), [(1, 1, -3), (2, 3, 224)]);
    watch.quiet(); // equal rows of other players are equal rows
    commit(&writer, [1, 3, 5].map(Change::DropPlayer));
    assert_eq!(watch.deleted().total, 224);
    assert_eq!(all(), [(1, 1, -3)]);
    watch.quiet();
    drop(watch);
    close([reader, writer]);
}

fn joins(compression: Compression) {
    let (writer, reader) = (Client::new(Compression::None), Client::new(compression));
    fill(&writer);
    subscribe_to(&reader, from::<WinningTeam>());
    subscribe_to(&reader, from::<Player>().left_semijoin(from::<WinningTeam>(), |p, t| p.team.eq(t.id)));
    subscribe_to(&reader, from::<Winner>().left_semijoin(from::<MyPlayer>(), |w, mine| w.id.eq(mine.id)));
    shows::<WinningTeam>(&reader, &[2], "of two winners once");
    shows::<Player>(&reader, &[3, 5], "who are in a winning team");
    shows::<Winner>(&reader, &[], "mine");
    let watch: Watch<WinningTeam> = reader.watch();
    commit(&reader, [put((1, "ann", 1, 1000))]);
    assert_eq!(watch.inserted().id, 1);
    shows::<Player>(&reader, &[1, 2, 3, 5], "in winning teams");
    shows::<Winner>(&reader, &[1], "mine");
    commit(&writer, [Change::DropPlayer(3)]);
    shows::<WinningTeam>(&reader, &[1, 2], "a winner is left");
    commit(&writer, [team(2, "renamed")]);
    assert_eq!(watch.updated().1.title, "renamed");
    commit(&writer, [Change::DropTeam(1)]);
    assert_eq!(watch.deleted().id, 1);
    shows::<Player>(&reader, &[5], "its players with it");
    commit(&writer, [put(PEOPLE[0])]);
    shows::<Winner>(&reader, &[], "no longer mine, no longer a winner");
    watch.quiet();
    drop(watch);
    close([reader, writer]);
}

fn several(compression: Compression) {
    let (writer, reader) = (Client::new(Compression::None), Client::new(compression));
    fill(&writer);
    let mine = "SELECT * FROM my_players".to_string();
    let winners = "SELECT * FROM winners".to_string();
    let watch: Watch<MyPlayer> = reader.watch();
    let [first, second] = [vec![mine.clone()], vec![mine.clone(), winners.clone()]].map(|set| reader.subscribe(&set));
    commit(&reader, [put((8, "hal", 7, 200))]);
    assert_eq!(watch.inserted().id, 8);
    reader.unsubscribe(first);
    shows::<MyPlayer>(&reader, &[8], "the other shows it");
    watch.quiet();
    reader.unsubscribe(second);
    assert_eq!(watch.deleted().id, 8);
    assert_eq!(reader.rows::<Winner>().len(), 0);
    commit(&writer, [Change::DropPlayer(8), Change::DropPlayer(3)]);
    commit(&reader, [put((9, "ida", 7, 1))]);
    reader.subscribe(&[mine, winners]);
    shows::<MyPlayer>(&reader, &[9], "as it is now");
    shows::<Winner>(&reader, &[5], "as it is now");
    drop(watch);
    close([reader, writer]);
}
