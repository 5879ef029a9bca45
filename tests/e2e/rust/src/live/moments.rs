// SPDX-License-Identifier: Apache-2.0
//! Goal: what callbacks see is one moment, and they learn why it came: whole transactions, in the order of commits, the
//! caller's own inside its answer.

use crate::bindings::*;
use crate::client::{until, Cause, Change as Event, Client, Watch};
use crate::module::*;
use crate::world::*;
use spacetimedb_sdk::Compression;
use std::sync::mpsc::channel;

pub const CHECKS: &[Check] = &[
    ("callbacks see whole transactions", whole),
    ("answers come in the order of the calls", order),
    ("events say why", causes),
    ("what a schedule does is seen by all", schedule),
];

fn whole(compression: Compression) {
    let (writer, reader) = (Client::new(Compression::None), Client::new(compression));
    reader.subscribe(&["player", "team", "winners", "standings"].map(|table| format!("SELECT * FROM {table}")));
    let (say, said) = channel();
    let look = move |db: &RemoteTables| {
        let players: Vec<_> = db.player().iter().collect();
        let winners = players.iter().filter(|p| p.score > 100).count() as u64;
        let counted: u32 = db.standings().iter().map(|s| s.players).sum();
        let found = (db.team().count(), u64::from(counted), db.winners().count());
        let wanted = (players.len() as u64, players.len() as u64, winners);
        say.send((found, wanted)).unwrap_or_default();
    };
    macro_rules! look_at {
        ($($table:ident $on:ident ($($row:ident),*))*) => {
            $(let look_now = look.clone();
            reader.connection.db.$table().$on(move |context, $($row),*| look_now(&context.db));)*
        };
    }
    look_at! {
        player on_insert (_row) player on_delete (_row) player on_update (_old, _new)
        team on_insert (_row) team on_delete (_row) winners on_insert (_row) winners on_delete (_row)
        winners on_update (_old, _new) standings on_insert (_row) standings on_delete (_row)
    }
    reader.settle();
    let player = |id: u32, team, score| Change::PutPlayer(NewPlayer { id, name: format!("p{id}"), team, score });
    (0..8).for_each(|id| commit(&writer, [player(id, id, 98 + id as i32), team(id, "a team")]));
    for id in [0, 2, 4, 6] {
        commit(&writer, [Change::DropTeam(id), Change::DropPlayer(id), player(7, 1, id as i32)]);
    }
    reader.settle();
    let moments: Vec<_> = said.try_iter().collect();
    assert!(moments.len() > 30, "{} events", moments.len());
    for (found, wanted) in moments {
        assert_eq!(found, wanted, "teams, players by the standings and winners, as the players say");
    }
    close([reader, writer]);
}

fn order(compression: Compression) {
    let client = Client::new(compression);
    subscribe_to(&client, from::<Player>());
    let watch: Watch<Player> = client.watch();
    let (say, said) = channel();
    for id in 1..=20u32 {
        let say = say.clone();
        let call = if id % 3 == 0 { put_player_and_fail(id) } else { put_player(id, format!("p{id}"), 1, 0) };
        let answered = move |context: &ReducerEventContext, outcome| {
            let there = context.db.player().unique::<u32>("id").find(&id).is_some();
            say.send((id, there, outcome)).unwrap_or_default();
        };
        client.connection.reducers.call_then(call, answered).expect("the connection is open");
    }
    for wanted in 1..=20 {
        let (id, there, outcome) = client.wait(20, &said, "an answer");
        assert_eq!((id, there), (wanted, wanted % 3 != 0), "the cache when a call is answered");
        match outcome {
            Ok(Err(text)) if id % 3 == 0 => assert_eq!(text, "never mind"),
            Ok(Ok(())) if id % 3 != 0 => assert_eq!(watch.inserted().id, id),
            other => panic!("call {id}: {other:?}"),
        }
    }
    watch.quiet();
    drop(watch);
    client.close();
}

fn causes(compression: Compression) {
    let (mine, other) = (Client::new(compression), Client::new(compression));
    fill(&mine);
    let watch: Watch<Player> = mine.watch();
    let handle = subscribe_to(&mine, from::<Player>().r#where(|p| p.team.eq(3)));
    mine.call(put_player(4, "".into(), 3, 2));
    other.call(put_player(4, "".into(), 3, 3));
    mine.call(put_player(6, "flo".into(), 3, 0));
    mine.call(drop_player(4));
    mine.unsubscribe(handle);
    assert!(matches!(watch.next(), (Cause::Subscribed, Event::Insert(row)) if row.id == 4));
    assert!(matches!(watch.next(), (Cause::Reducer("put_player"), Event::Update(_, row)) if row.score == 2));
    assert!(matches!(watch.next(), (Cause::Transaction, Event::Update(_, row)) if row.score == 3));
    assert!(matches!(watch.next(), (Cause::Reducer("put_player"), Event::Insert(row)) if row.id == 6));
    assert!(matches!(watch.next(), (Cause::Reducer("drop_player"), Event::Delete(row)) if row.id == 4));
    assert!(matches!(watch.next(), (Cause::Unsubscribed, Event::Delete(row)) if row.id == 6));
    watch.quiet();
    drop(watch);
    close([mine, other]);
}

fn schedule(compression: Compression) {
    let clients = [Client::new(compression), Client::new(compression)];
    for client in &clients {
        subscribe_to_bells(client);
    }
    let bells: [Watch<Bell>; 2] = clients.each_ref().map(Client::watch);
    let remarks: [Watch<Remark>; 2] = clients.each_ref().map(Client::watch_stored);
    clients[0].call(set_bell("noon".into(), 50_000));
    for (bells, remarks) in bells.iter().zip(&remarks) {
        assert_eq!(bells.inserted().text, "noon");
        assert!(matches!(remarks.next(), (Cause::Transaction, Event::Insert(row)) if row.text == "noon"));
        assert_eq!(bells.deleted().text, "noon");
    }
    for client in &clients {
        until("the bell is gone", || client.rows::<Bell>().is_empty());
        assert_eq!(client.rows::<Remark>(), [Remark { text: "noon".into(), weight: 0 }]);
    }
    bells.iter().for_each(Watch::quiet);
    remarks.iter().for_each(Watch::quiet);
    drop((bells, remarks));
    close(clients);
}

fn subscribe_to_bells(client: &Client) {
    client.subscribe(&["bell", "remark"].map(|table| format!("SELECT * FROM {table}")));
}
