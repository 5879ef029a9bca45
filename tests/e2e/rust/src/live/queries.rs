// SPDX-License-Identifier: Apache-2.0
//! Goal: a query's rows are what its text says, at first and after every change of any table in it. The same predicate
//! in Rust says what must be there.

use crate::bindings::*;
use crate::client::{Change as Event, Client, Watch};
use crate::module::*;
use crate::world::*;
use spacetimedb_sdk::__codegen::__query_builder::BoolExpr;
use spacetimedb_sdk::{Compression, Identity};
use std::sync::mpsc::channel;

pub const CHECKS: &[Check] = &[
    ("typed queries give and keep what their predicates say", predicates),
    ("several typed queries in one subscription", several),
    ("semijoins follow both sides", semijoins),
    ("a table joined with itself, once and twice", self_joins),
    ("a row is there as long as any partner is", partners),
    ("columns without an index can be joined", without_index),
];

type Predicate = (fn(&PlayerCols, Identity) -> BoolExpr<Player>, fn(Person) -> bool);

const PREDICATES: &[Predicate] = &[
    (|p, _| p.id.eq(3), |(id, ..)| id == 3),
    (|p, _| p.name.ne("ann".to_string()), |(_, name, ..)| name != "ann"),
    (|p, _| p.name.eq("o'bob".to_string()), |(_, name, ..)| name == "o'bob"),
    (|p, _| p.score.gt(0).and(p.team.lte(2)), |(_, _, team, score)| score > 0 && team <= 2),
    (|p, _| p.score.lt(0).or(p.team.eq(3)), |(_, _, team, score)| score < 0 || team == 3),
    (|p, _| p.score.gte(101).not(), |(_, _, _, score)| score < 101),
    (|p, _| p.team.eq(1).and(p.score.lt(0).not()).not(), |(_, _, team, score)| !(team == 1 && score >= 0)),
    (|p, _| p.online.into(), |(_, _, _, score)| score >= 0),
    (|p, _| p.online.eq(false), |(_, _, _, score)| score < 0),
    (|p, _| p.id.lt(p.team), |(id, _, team, _)| id < team),
    (|p, me| p.owner.eq(me), |_| true),
    (|p, me| p.owner.ne(me), |_| false),
    (|_, _| true.into(), |_| true),
    (|_, _| false.into(), |_| false),
];

fn predicates(compression: Compression) {
    let writer = Client::new(Compression::None);
    fill(&writer);
    let reader = Client::new(compression);
    for (n, (predicate, filter)) in PREDICATES.iter().enumerate() {
        let mut kept: Vec<Person> = PEOPLE.into();
        let wanted = |kept: &[Person]| kept.iter().filter(|p| filter(**p)).map(|p| p.0).collect::<Vec<_>>();
        let watch: Watch<Player> = reader.watch();
        let handle = subscribe_to(&reader, from::<Player>().r#where(|p| predicate(p, writer.identity)));
        shows::<Player>(&reader, &wanted(&kept), &format!("predicate {n} at first"));
        wanted(&kept).iter().for_each(|_| drop(watch.inserted()));
        for row in [(1, "ann", 3, 500), (6, "flo", 9, -9), (6, "flo", 2, 9)] {
            let before = kept.iter().position(|p| p.0 == row.0).map(|at| kept.remove(at));
            kept.push(row);
            kept.sort();
            commit(&writer, [put(row)]);
            shows::<Player>(&reader, &wanted(&kept), &format!("predicate {n} after {row:?}"));
            match (before.is_some_and(*filter), filter(row)) {
                (false, true) => assert_eq!(watch.inserted().id, row.0),
                (true, true) => assert_eq!(watch.updated().1.score, row.3),
                (true, false) => assert_eq!(watch.deleted().id, row.0),
                (false, false) => (),
            }
            watch.quiet();
        }
        commit(&writer, [Change::DropPlayer(6), put(PEOPLE[0])]);
        shows::<Player>(&reader, &wanted(&PEOPLE), &format!("predicate {n} in the end"));
        drop(watch);
        reader.unsubscribe(handle);
    }
    close([reader, writer]);
}

/// As applications write it: the builder of the subscription takes typed queries, one after the other.
fn several(compression: Compression) {
    let client = Client::new(compression);
    fill(&client);
    let (applied, ready) = channel();
    let handle = client
        .connection
        .subscription_builder()
        .on_applied(move |context| applied.send(context.db.player().count()).unwrap_or_default())
        .on_error(|_, error| panic!("{error}"))
        .add_query(|q| q.from.player().r#where(|p| p.score.gt(100)).r#where(|p| p.id.ne(5)))
        .add_query(|q| q.from.player().r#where(|p| p.team.eq(1)).build())
        .add_query(|q| q.from.team().left_semijoin(q.from.winners(), |team, winner| team.id.eq(winner.team)))
        .add_query(|q| q.from.standings())
        .subscribe();
    assert_eq!(client.wait(10, &ready, "the subscription"), 3, "the cache in the callback");
    shows::<Player>(&client, &[1, 2, 3], "of two queries");
    shows::<Team>(&client, &[2], "of a join with a view");
    assert_eq!(client.rows::<Standing>().len(), 3);
    client.unsubscribe(handle);
    assert_eq!(client.rows::<Player>().len() + client.rows::<Team>().len() + client.rows::<Standing>().len(), 0);
    client.close();
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
    commit(&writer, [team(3, "three")]);
    assert_eq!(players.inserted().id, 4);
    commit(&writer, [put((4, "", 3, 102))]);
    shows::<Team>(&reader, &[2, 3], "a winner comes");
    assert_eq!(players.updated().1.score, 102);
    commit(&writer, [team(3, "nobody")]);
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
    shows::<Player>(&reader, &[3, 4, 5], "in the end");
    players.quiet();
    drop(players);
    close([reader, writer]);
}

fn self_joins(compression: Compression) {
    let (writer, reader) = (Client::new(Compression::None), Client::new(compression));
    let row = |id, parent, open| node(id, parent, "node", open);
    commit(&writer, [row(1, 0, true), row(2, 1, true), row(3, 1, false), row(4, 2, true), row(5, 3, true)]);
    let children = "SELECT c.* FROM node c JOIN node p ON c.parent = p.id WHERE p.open = true";
    let first = reader.subscribe(&[children.into()]);
    shows::<Node>(&reader, &[2, 3, 4], "children of open nodes");
    commit(&writer, [row(3, 1, true), row(2, 1, false)]);
    shows::<Node>(&reader, &[2, 3, 5], "one opened, one closed");
    commit(&writer, [row(6, 6, true)]);
    shows::<Node>(&reader, &[2, 3, 5, 6], "a row that joins itself");
    commit(&writer, [row(6, 6, false), row(5, 2, true), row(4, 3, true)]);
    shows::<Node>(&reader, &[2, 3, 4], "both sides change at once");
    reader.subscribe(&["SELECT c.* FROM node c JOIN node p ON c.parent = p.id JOIN node g ON p.parent = g.id \
                        WHERE g.open = true"
        .into()]);
    reader.unsubscribe(first);
    shows::<Node>(&reader, &[4, 5], "grandchildren of open nodes");
    commit(&writer, [row(1, 1, true)]);
    shows::<Node>(&reader, &[1, 2, 3, 4, 5], "the root is its own parent");
    commit(&writer, [Change::DropNode(1)]);
    shows::<Node>(&reader, &[], "nobody has a grandparent");
    close([reader, writer]);
}

fn partners(compression: Compression) {
    let (writer, reader) = (Client::new(Compression::None), Client::new(compression));
    fill(&writer);
    let watch: Watch<Team> = reader.watch();
    subscribe_to(&reader, from::<Team>().left_semijoin(from::<Player>(), |t, p| t.id.eq(p.team)));
    assert_eq!(watch.inserted().id + watch.inserted().id, 3);
    commit(&writer, [Change::DropPlayer(3)]);
    commit(&writer, [put((5, "eve", 1, 101)), put((4, "", 2, 0))]);
    shows::<Team>(&reader, &[1, 2], "partners change places");
    watch.quiet();
    commit(&writer, [team(1, "three partners")]);
    assert_eq!(watch.updated().1.title, "three partners");
    commit(&writer, [Change::DropPlayer(1), Change::DropPlayer(4)]);
    assert_eq!(watch.deleted().id, 2, "it has none left");
    commit(&writer, [Change::DropPlayer(2), team(1, "one partner")]);
    assert_eq!(watch.updated().0.title, "three partners");
    commit(&writer, [Change::DropTeam(1), Change::DropPlayer(5)]);
    assert_eq!(watch.deleted().title, "one partner", "both sides go at once");
    shows::<Team>(&reader, &[], "in the end");
    watch.quiet();
    drop(watch);
    close([reader, writer]);
}

fn without_index(compression: Compression) {
    let (writer, reader) = (Client::new(Compression::None), Client::new(compression));
    let remarks = |weights: &[i64]| weights.iter().map(|w| Remark { text: "x".into(), weight: *w }).collect::<Vec<_>>();
    subscribe_to(
        &reader,
        from::<Node>().left_semijoin(from::<Remark>(), |n, r| n.label.eq(r.text)).r#where(|n| n.open),
    );
    let watch: Watch<Node> = reader.watch();
    commit(&writer, [node(1, 0, "x", true), node(2, 0, "x", false), node(3, 0, "y", true)]);
    commit(&writer, remarks(&[1, 2]).into_iter().map(Change::PutRemark).collect::<Vec<_>>());
    assert_eq!(watch.inserted().id, 1);
    commit(&writer, [Change::DropRemark(remarks(&[1]).remove(0)), node(3, 0, "x", true)]);
    assert!(matches!(watch.next().1, Event::Insert(row) if row.id == 3));
    shows::<Node>(&reader, &[1, 3], "one remark on x");
    commit(&writer, [Change::DropRemark(remarks(&[2]).remove(0))]);
    assert_eq!(watch.deleted().id + watch.deleted().id, 4);
    shows::<Node>(&reader, &[], "none");
    watch.quiet();
    drop(watch);
    close([reader, writer]);
}
