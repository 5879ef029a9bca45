// SPDX-License-Identifier: Apache-2.0
//! Queries: several at once, overlapping, with conditions and joins; their errors; their end.

use super::{new_key, same_option, select, unique};
use crate::bindings::*;
use crate::client::{Cause, Change, Client};
use crate::module::*;
use crate::values::Tried;
use crate::run::Run;
use spacetimedb_sdk::__codegen::SubscriptionHandle as _;
use spacetimedb_sdk::{i256, u256, Compression, Identity, Timestamp};
use std::sync::mpsc::channel;

pub fn all(run: &mut Run) {
    run.check("a condition, and the end of the subscription", condition);
    run.check("several queries, some of one table", several);
    run.check("queries that share rows", overlap);
    run.check("the same query twice", twice);
    run.check("all tables", all_tables);
    run.check("unsubscribing in every state", unsubscribe_states);
    run.check("typed queries with conditions", typed_conditions);
    run.check("typed queries with joins", typed_joins);
    run.check("queries that cannot be subscribed to", refused_queries);
    for compression in [Compression::Brotli, Compression::Gzip, Compression::None] {
        run.check(&format!("many rows at once, {compression:?}"), || many_rows(compression));
    }
}

fn option_where(key: u32) -> String {
    format!("SELECT * FROM option_i_32 WHERE key = {key}")
}

fn insert_option(client: &Client, key: u32, value: Option<i32>) {
    client.call(Call::new(OptionI32::INSERT, &(key, value)));
}

fn update_option(client: &Client, key: u32, value: Option<i32>) {
    client.call(Call::new(OptionI32::UPDATE, &(key, value)));
}

fn delete_option(client: &Client, key: u32) {
    client.call(Call::new(OptionI32::DELETE, &(key,)));
}

fn condition() {
    let client = Client::new(Compression::Brotli);
    let (wanted, other) = (new_key(), new_key());
    let watch = client.watch::<OptionI32>();
    let handle = client.subscribe(&[option_where(wanted)]);
    insert_option(&client, other, Some(1));
    insert_option(&client, wanted, Some(2));
    assert!(matches!(watch.next(), (Cause::Reducer(_), Change::Insert(OptionI32 { value: Some(2), .. }))));
    assert_eq!(client.rows::<OptionI32>().len(), 1);
    client.unsubscribe(handle);
    assert_eq!(client.rows::<OptionI32>().len(), 0);
    assert!(matches!(watch.next(), (Cause::Unsubscribed, Change::Delete(_))));
    update_option(&client, wanted, None);
    let handle = client.subscribe(&[option_where(wanted)]);
    assert!(matches!(watch.next(), (Cause::Subscribed, Change::Insert(OptionI32 { value: None, .. }))));
    watch.quiet();
    client.unsubscribe(handle);
    client.close();
}

fn several() {
    let client = Client::new(Compression::Gzip);
    let keys = [new_key(), new_key(), new_key()];
    let text = unique("several");
    client.call(put_in_bag(text.clone()));
    insert_option(&client, keys[0], Some(0));
    let handle = client.subscribe(&[
        option_where(keys[0]),
        option_where(keys[1]),
        format!("SELECT * FROM bag WHERE text = '{text}'"),
    ]);
    let watch = client.watch::<OptionI32>();
    for (i, key) in keys.into_iter().enumerate().skip(1) {
        insert_option(&client, key, Some(i as i32));
    }
    assert_eq!(watch.inserted().key, keys[1]);
    client.call(put_in_bag(unique("not wanted")));
    let mut found: Vec<_> = client.rows::<OptionI32>().iter().map(|row| row.key).collect();
    found.sort();
    assert_eq!(found, keys[..2]);
    assert_eq!(client.rows::<Bag>(), [Bag { text }]);
    client.unsubscribe(handle);
    assert_eq!(client.rows::<OptionI32>().len() + client.rows::<Bag>().len(), 0);
    client.close();
}

/// Rows that several queries want are counted by the SDK: each must come and go once per query.
fn overlap() {
    let client = Client::new(Compression::None);
    let key = new_key();
    let watch = client.watch::<OptionI32>();
    insert_option(&client, key, Some(1));
    let first = client.subscribe(&[option_where(key), format!("SELECT * FROM option_i_32 WHERE key >= {key}")]);
    assert_eq!(watch.inserted().key, key);
    let second = client.subscribe(&[format!("SELECT * FROM option_i_32 WHERE key <= {key}")]);
    update_option(&client, key, Some(2));
    loop {
        if let (_, Change::Update(old, new)) = watch.next() {
            assert_eq!((old.key, old.value, new.key, new.value), (key, Some(1), key, Some(2)));
            break; // other rows that the second query brought came before
        }
    }
    client.unsubscribe(first);
    same_option(&client.with_key(key), Some(&OptionI32 { key, value: Some(2) }));
    update_option(&client, key, None);
    same_option(&client.with_key(key), Some(&OptionI32 { key, value: None }));
    let third = client.subscribe(&[option_where(key)]);
    delete_option(&client, key);
    same_option::<OptionI32>(&client.with_key(key), None);
    insert_option(&client, key, Some(3));
    client.unsubscribe(second);
    same_option(&client.with_key(key), Some(&OptionI32 { key, value: Some(3) }));
    client.unsubscribe(third);
    assert_eq!(client.rows::<OptionI32>().len(), 0);
    client.close();
}

fn twice() {
    let client = Client::new(Compression::Brotli);
    let key = new_key();
    let both = client.subscribe(&[option_where(key), option_where(key)]);
    let again = client.subscribe(&[option_where(key)]);
    insert_option(&client, key, Some(1));
    update_option(&client, key, Some(2));
    client.unsubscribe(again);
    same_option(&client.with_key(key), Some(&OptionI32 { key, value: Some(2) }));
    delete_option(&client, key);
    same_option::<OptionI32>(&client.with_key(key), None);
    insert_option(&client, key, Some(3));
    client.unsubscribe(both);
    same_option::<OptionI32>(&client.with_key(key), None);
    client.close();
}

fn all_tables() {
    let client = Client::new(Compression::Brotli);
    let key = new_key();
    insert_option(&client, key, Some(1));
    let (done, applied) = channel();
    let handle = client
        .connection
        .subscription_builder()
        .on_applied(move |context| done.send(context.db.option_i32().count()).unwrap_or_default())
        .on_error(|_, error| panic!("{error}"))
        .subscribe_to_all_tables();
    let count = client.wait(30, &applied, "all tables");
    assert_eq!(count, client.rows::<OptionI32>().len() as u64);
    same_option(&client.with_key(key), Some(&OptionI32 { key, value: Some(1) }));
    client.call(record_caller());
    assert!(client.rows::<Caller>().iter().any(|row| row.sender == client.identity));
    client.unsubscribe(handle);
    assert_eq!(client.rows::<OptionI32>().len() + client.rows::<Caller>().len(), 0);
    client.close();
}

fn unsubscribe_states() {
    let client = Client::new(Compression::None);
    let key = new_key();
    insert_option(&client, key, Some(1));
    // Before the answer is there: applied and ended follow one another.
    let (say, said) = channel();
    let applied = say.clone();
    let handle = client
        .connection
        .subscription_builder()
        .on_applied(move |_| applied.send("applied").unwrap_or_default())
        .subscribe(vec![option_where(key)]);
    handle.clone().unsubscribe_then(Box::new(move |_| say.send("ended").unwrap_or_default())).unwrap();
    assert!(handle.clone().unsubscribe().is_err(), "unsubscribed twice");
    let word = client.wait(10, &said, "the end");
    if word == "applied" {
        assert_eq!(client.wait(10, &said, "the end"), "ended");
    }
    assert!(handle.is_ended() && !handle.is_active());
    assert_eq!(client.rows::<OptionI32>().len(), 0);
    assert!(handle.unsubscribe().is_err(), "unsubscribed after its end");

    let handle = client.subscribe(&[option_where(key)]);
    handle.clone().unsubscribe().unwrap();
    crate::client::until("the end", || handle.is_ended());
    client.close();
}

/// Subscribes to one typed query and gives the keys of what it brought.
fn keys_of<R: StoredRow, Q: spacetimedb_sdk::__codegen::__query_builder::Query<R>>(
    client: &Client,
    build: impl Fn() -> Q,
    key: impl Fn(&R) -> u32,
) -> Vec<u32> {
    let (say, said) = channel();
    let fail = say.clone();
    let handle = client
        .connection
        .subscription_builder()
        .on_applied(move |_| say.send(Ok(())).unwrap_or_default())
        .on_error(move |_, error| fail.send(Err(error.to_string())).unwrap_or_default())
        .add_query(|_| build())
        .subscribe();
    let sql = build().into_sql();
    client.wait(10, &said, &sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut keys: Vec<_> = client.rows::<R>().iter().map(key).collect();
    keys.sort();
    client.unsubscribe(handle);
    keys
}

fn typed_conditions() {
    let client = Client::new(Compression::Brotli);
    let base = new_key();
    let insert = |id: u32, zone: i64| {
        client.call(insert_place(Place {
            id,
            name: format!("it's {id}"),
            slot: id as u16,
            zone,
            rank: 3,
            color: Color::Red,
            weight: id as i32,
        }))
    };
    let ids = [base, new_key(), new_key()];
    let zone = -i64::from(base);
    ids.iter().for_each(|id| insert(*id, zone));
    let found = |build: fn(&PlaceCols, i64, u32) -> spacetimedb_sdk::__codegen::__query_builder::BoolExpr<Place>| {
        keys_of(&client, || from::<Place>().filter(|c| build(c, zone, base)), |row| row.id)
    };
    assert_eq!(found(|c, zone, _| c.zone.eq(zone)), ids);
    assert_eq!(found(|c, zone, base| c.zone.eq(zone).and(c.id.gt(base))), ids[1..]);
    assert_eq!(found(|c, zone, base| c.zone.eq(zone).and(c.id.ne(base).not())), ids[..1]);
    assert_eq!(found(|c, _, base| c.id.eq(base).or(c.id.eq(base + 1))), ids[..2]);
    assert_eq!(found(|c, zone, _| c.zone.eq(zone).and(c.weight.gte(c.weight))), ids);
    assert_eq!(found(|c, _, base| c.name.eq(format!("it's {base}"))), ids[..1]);
    assert_eq!(
        keys_of(&client, || from::<Place>().filter(|c| c.id.eq(base)).filter(|c| c.rank.lte(3)), |r| r.id),
        [base]
    );
    client.call(delete_zone_ranks(zone, 0, 255));

    // A literal of each kind that the builder writes, against the row that has that very value.
    fn one<R: Tried>(client: &Client, n: usize) -> u32 {
        let key = new_key();
        client.call(Call::new(R::INSERT, &(key, R::values()[n].clone())));
        key
    }
    macro_rules! literal {
        ($Row:ident $n:expr, $value:expr) => {
            let key = one::<$Row>(&client, $n);
            let build = || from::<$Row>().filter(|c| c.value.eq($value)).filter(|c| c.key.eq(key));
            assert_eq!(keys_of(&client, build, |row| row.key), [key], "{}", stringify!($Row));
            client.call(Call::new($Row::DELETE, &(key,)));
        };
    }
    literal!(OneIdentity 1, Identity::from_u256(u256::MAX));
    literal!(OneI256 2, i256::MIN);
    literal!(OneTimestamp 2, Timestamp::from_micros_since_unix_epoch(1));
    literal!(OneBytes 1, (0..=255).collect::<Vec<u8>>());
    literal!(OneBool 1, true);
    literal!(OneString 3, "zero \0 inside, \"quoted\" \\ and\nlines".to_string());
    literal!(OneF64 2, 0.1);
    client.close();
}

fn typed_joins() {
    let client = Client::new(Compression::Gzip);
    let ids = [new_key(), new_key(), new_key()];
    let zone = i64::from(ids[0]);
    let insert = |i: usize, rank: u8| {
        client.call(insert_place(Place {
            id: ids[i],
            name: unique("join"),
            slot: ids[i] as u16,
            zone,
            rank,
            color: Color::Green,
            weight: 0,
        }))
    };
    (0..3).for_each(|i| insert(i, i as u8));
    // `found` has the places' ids in a column without an index; keys of options are joined instead.
    client.call(Call::new(OneBool::INSERT, &(ids[0], true)));
    client.call(Call::new(OneBool::INSERT, &(ids[2], false)));
    let left = || from::<Place>().filter(|c| c.zone.eq(zone)).left_semijoin(from::<OneBool>(), |p, b| p.id.eq(b.key));
    assert_eq!(keys_of(&client, left, |row| row.id), [ids[0], ids[2]]);
    let right = || {
        let places = from::<Place>().filter(|c| c.zone.eq(zone));
        places.right_semijoin(from::<OneBool>(), |p, b| p.id.eq(b.key)).filter(|b| b.value.eq(true))
    };
    assert_eq!(keys_of(&client, right, |row| row.key), [ids[0]]);

    // Changes on either side of a join are seen.
    let query = format!("SELECT place.* FROM place JOIN one_bool ON place.id = one_bool.key WHERE place.zone = {zone}");
    let handle = client.subscribe(&[query]);
    let watch = client.watch::<Place>();
    client.call(Call::new(OneBool::INSERT, &(ids[1], true)));
    assert_eq!(watch.inserted().id, ids[1]);
    client.call(Call::new(OneBool::UPDATE, &(ids[1], false)));
    client.call(Call::new(OneBool::DELETE, &(ids[0],)));
    assert_eq!(watch.deleted().id, ids[0]);
    client.call(delete_zone_ranks(zone, 1, 1));
    assert_eq!(watch.deleted().id, ids[1]);
    client.call(delete_zone_ranks(zone, 0, 255));
    assert_eq!(watch.deleted().id, ids[2]);
    watch.quiet();
    assert_eq!(client.rows::<Place>().len(), 0);
    client.unsubscribe(handle);
    client.close();
}

fn refused_queries() {
    let client = Client::with(Compression::Brotli, &[select::<Bag>()]);
    let text = unique("refused");
    client.call(put_in_bag(text.clone()));
    for query in [
        "SELECT * FROM no_such_table",
        "SELECT * FROM secret",
        "SELECT * FROM bag WHERE no_such_column = 1",
        "SELECT * FROM bag WHERE text = TRUE",
        "SELECT text FROM bag",
        "SELEC",
        "",
        "DELETE FROM bag",
    ] {
        // One bad query spoils all that come with it.
        let error = client.try_subscribe(&[select::<Numbered>(), query.to_string()]);
        let error = error.map(|_| ()).expect_err(query);
        assert!(error.contains("subscription query: "), "{error}");
        assert_eq!(client.rows::<Numbered>().len(), 0, "{query}");
    }
    assert!(client.rows::<Bag>().contains(&Bag { text: text.clone() }));
    client.call(take_from_bag(text));
    client.close();
}

fn many_rows(compression: Compression) {
    let client = Client::new(compression);
    let text = unique("many");
    let calls: Vec<_> =
        (0..2_000).map(|i| client.start(put_in_bag(format!("{text} {i} {}", "x".repeat(i % 300))))).collect();
    for call in calls {
        assert!(matches!(client.wait(30, &call, "put_in_bag"), Ok(Ok(()))));
    }
    let handle = client.subscribe(&[select::<Bag>()]);
    let mut rows: Vec<_> = client.rows::<Bag>().into_iter().filter(|row| row.text.starts_with(&text)).collect();
    rows.sort_by_key(|row| row.text.split(' ').nth(2).unwrap().parse::<usize>().unwrap());
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row.text, format!("{text} {i} {}", "x".repeat(i % 300)));
    }
    assert_eq!(rows.len(), 2_000);
    for row in rows {
        client.start(take_from_bag(row.text));
    }
    client.call(record_caller());
    assert!(client.rows::<Bag>().iter().all(|row| !row.text.starts_with(&text)));
    client.unsubscribe(handle);
    client.close();
}
