// SPDX-License-Identifier: Apache-2.0
//! Tables beside those of one column: keys that change, numbers from the host, events, indexes.

use super::{new_key, select, unique};
use crate::bindings::*;
use crate::client::{until, Cause, Change, Client};
use crate::module::*;
use crate::run::Run;
use spacetimedb_sdk::Compression;
use std::sync::mpsc::channel;

pub fn all(run: &mut Run) {
    let client = Client::with(
        Compression::Brotli,
        &[select::<Place>(), select::<Found>(), select::<Numbered>(), select::<Bag>(), select::<Notice>()],
    );
    run.check("rows with unique columns and indexes of every kind", || places(&client));
    run.check("unique values that change places", || swapped_values(&client));
    run.check("numbers given by the host", || numbers(&client));
    run.check("equal rows are one", || equal_rows(&client));
    run.check("rows of an event table are seen and not kept", || events(&client));
    run.check("many calls in flight", || in_flight(&client));
    run.check("timers", || timers(&client));
    client.close();
}

fn place(id: u32, zone: i64, rank: u8) -> Place {
    Place {
        id,
        name: format!("place {id}"),
        slot: id as u16,
        zone,
        rank,
        color: if rank % 2 == 0 { Color::Red } else { Color::Blue },
        weight: -i32::from(rank),
    }
}

/// Eight places with ids that follow one another, in a zone of their own; their ranks fall.
fn eight_places(client: &Client) -> (u32, i64) {
    let base = new_key();
    for _ in 0..8 {
        new_key();
    }
    for i in 0..8 {
        client.call(insert_place(place(base + i, i64::from(base), 9 - i as u8)));
    }
    (base, i64::from(base))
}

fn places(client: &Client) {
    let (base, zone) = eight_places(client);
    let found = |call| {
        client.call(call);
        let mut rows = client.rows::<Found>();
        rows.sort_by_key(|row| row.position);
        let ids = rows.into_iter().map(|row| row.id.wrapping_sub(base)).filter(|id| *id < 8);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(found(find_zone(zone)), [7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(found(find_zone_ranks(zone, 3, 5)), [6, 5, 4]);
    assert_eq!(found(find_slot((base + 3) as u16)), [3]);
    assert_eq!(found(find_weights(-9, -6)), [0, 1, 2]);
    let mut blue = found(find_color(Color::Blue));
    blue.sort();
    assert_eq!(blue, [0, 2, 4, 6]);

    let taken_name = Place { name: format!("place {base}"), ..place(new_key(), zone, 1) };
    client.refused(insert_place(taken_name));
    let taken_slot = Place { slot: base as u16, ..place(new_key(), zone, 1) };
    client.refused(insert_place(taken_slot));

    let watch = client.watch::<Place>();
    client.call(update_place(Place { weight: 77, ..place(base, zone, 9) }));
    let (old, new) = watch.updated();
    assert_eq!((old.id, old.weight, new.id, new.weight), (base, -9, base, 77));
    let by_name = client.connection.db.place().unique::<String>("name").find(&format!("place {base}"));
    assert_eq!(by_name.map(|row| row.weight), Some(77));

    client.call(delete_zone_ranks(zone, 0, 255));
    let mut gone: Vec<_> = (0..8).map(|_| watch.deleted().id - base).collect();
    gone.sort();
    assert_eq!(gone, [0, 1, 2, 3, 4, 5, 6, 7]);
    watch.quiet();
    assert_eq!(found(find_zone(zone)), []);
}

fn swapped_values(client: &Client) {
    let (base, zone) = eight_places(client);
    let handle = |name: String| client.connection.db.place().unique::<String>("name").find(&name).map(|row| row.id);
    let free = format!("free {base}");
    client.call(update_place(Place { name: free.clone(), ..place(base, zone, 9) }));
    client.call(update_place(Place { name: format!("place {base}"), ..place(base + 1, zone, 8) }));
    assert_eq!(handle(free), Some(base));
    assert_eq!(handle(format!("place {base}")), Some(base + 1));
    assert_eq!(handle(format!("place {}", base + 1)), None);
    client.broken(update_place(Place { name: format!("place {base}"), ..place(base + 2, zone, 7) }));
    assert_eq!(handle(format!("place {}", base + 2)), Some(base + 2));
    client.call(delete_zone_ranks(zone, 0, 255));
}

fn numbers(client: &Client) {
    let text = unique("numbered");
    let watch = client.watch::<Numbered>();
    for _ in 0..3 {
        client.call(insert_numbered(0, text.clone()));
    }
    let ids: Vec<_> = (0..3).map(|_| watch.inserted()).map(|row| (row.id, row.text)).collect();
    assert!(0 < ids[0].0 && ids[0].0 < ids[1].0 && ids[1].0 < ids[2].0, "{ids:?}");
    assert!(ids.iter().all(|(_, t)| *t == text), "{ids:?}");
}

fn equal_rows(client: &Client) {
    let text = unique("bag");
    let watch = client.watch_stored::<Bag>();
    client.call(put_in_bag(text.clone()));
    client.call(put_in_bag(text.clone()));
    assert_eq!(client.rows::<Bag>().iter().filter(|row| row.text == text).count(), 1);
    client.call(take_from_bag(text.clone()));
    assert_eq!(watch.inserted().text, text);
    assert_eq!(watch.deleted().text, text);
    watch.quiet();
    assert_eq!(client.refused(take_from_bag(text)), "no such row");
}

fn events(client: &Client) {
    let other = Client::with(Compression::Gzip, &[select::<Notice>()]);
    let seen: Vec<_> = [client, &other]
        .map(|c| {
            let (see, seen) = channel();
            let id = c.connection.db.notice().on_insert(move |context, row| {
                see.send((Cause::of(context), row.text.clone())).unwrap_or_default();
            });
            c.settle();
            (c, id, seen)
        })
        .into();
    let text = unique("notice");
    client.call(notify(text.clone()));
    let causes = [Cause::Reducer("notify"), Cause::Transaction];
    for ((c, id, seen), cause) in seen.into_iter().zip(causes) {
        assert_eq!(c.wait(10, &seen, "notice"), (cause, text.clone()));
        assert_eq!(c.connection.db.notice().count(), 0);
        c.connection.db.notice().remove_on_insert(id);
    }
    other.close();
}

/// Answers come in the order of the calls, and two clients agree at the end.
fn in_flight(client: &Client) {
    let other = Client::with(Compression::None, &[select::<Numbered>()]);
    let text = unique("in flight");
    let calls: Vec<_> = (0..1_000).map(|i| client.start(insert_numbered(0, format!("{text} {i}")))).collect();
    let more: Vec<_> = (0..1_000).map(|i| other.start(insert_numbered(0, format!("other {text} {i}")))).collect();
    for (caller, calls) in [(client, calls), (&other, more)] {
        for call in calls {
            let outcome = caller.wait(30, &call, "insert_numbered");
            assert!(matches!(outcome, Ok(Ok(()))), "{outcome:?}");
        }
    }
    // Each has its own answers; the rows of the other's calls may still be on their way.
    until("2,000 rows in both", || {
        [client, &other].into_iter().all(|c| {
            let count = |row: &Numbered| row.text.contains(&text);
            c.rows::<Numbered>().iter().filter(|row| count(row)).count() == 2_000
        })
    });
    assert_eq!(client.row_bytes::<Numbered>(), other.row_bytes::<Numbered>());
    let mut mine: Vec<_> = client.rows::<Numbered>().into_iter().filter(|row| row.text.starts_with(&text)).collect();
    mine.sort_by_key(|row| row.id);
    let order: Vec<_> = mine.iter().map(|row| row.text.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).collect();
    assert!(order.is_sorted(), "calls of one client ran out of order");
    other.close();
}

fn timers(client: &Client) {
    let text = unique("once");
    let watch = client.watch_stored::<Bag>();
    client.call(start_timer(text.clone(), 50_000));
    match watch.next() {
        (Cause::Transaction, Change::Insert(row)) => assert_eq!(row.text, format!("tick {text}")),
        other => panic!("{other:?}"),
    }
}
