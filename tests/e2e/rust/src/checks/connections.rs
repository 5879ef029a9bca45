// SPDX-License-Identifier: Apache-2.0
//! Who a client is, and how connections begin and end.

use super::{new_key, same_option, select};
use crate::bindings::*;
use crate::client::{until, Client, Options};
use crate::module::*;
use crate::run::Run;
use spacetimedb_sdk::Compression;

pub fn all(run: &mut Run) {
    run.check("a token brings back the identity, another connection", token);
    run.check("connections of one identity", same_identity);
    run.check("a token that is none", || {
        for token in ["not.a.token", "x", "a b"] {
            let refused = Client::try_new(Options { token: Some(token.into()), ..Options::default() });
            assert!(refused.is_err(), "{token} was taken");
        }
    });
    run.check("a database that is not there", || {
        let refused = Client::try_new(Options { database: "no-such-database".into(), ..Options::default() });
        assert!(refused.is_err());
    });
    for confirmed in [true, false] {
        run.check(&format!("confirmed reads: {confirmed}"), || confirmed_reads(confirmed));
    }
    run.check("a connection that ends with calls in flight", ends_in_flight);
    run.check("connections that come and go", come_and_go);
}

fn callers(client: &Client) -> Vec<Caller> {
    client.call(record_caller());
    let mut rows = client.rows::<Caller>();
    rows.retain(|row| row.sender == client.identity);
    rows.sort_by_key(|row| row.id);
    rows
}

fn token() {
    let first = Client::with(Compression::Brotli, &[select::<Caller>()]);
    let (identity, token) = (first.identity, first.token.clone());
    let connection = first.connection.connection_id();
    let seen = callers(&first);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].connection_id, Some(connection));
    first.close();

    let second = Client::with(Options { token: Some(token.clone()), ..Options::default() }, &[select::<Caller>()]);
    assert_eq!(second.identity, identity);
    assert_eq!(second.token, token);
    assert_ne!(second.connection.connection_id(), connection);
    assert_eq!(callers(&second).len(), 2);
    second.close();

    let stranger = Client::new(Compression::Brotli);
    assert_ne!(stranger.identity, identity);
    stranger.close();
}

fn same_identity() {
    let first = Client::new(Compression::Gzip);
    let key = new_key();
    let query = format!("SELECT * FROM option_i_32 WHERE key = {key}");
    let others: Vec<_> = [Compression::Brotli, Compression::Gzip, Compression::None]
        .map(|compression| Options { token: Some(first.token.clone()), ..Options::from(compression) })
        .map(|options| Client::with(options, &[query.clone()]))
        .into();
    first.call(Call::new(OptionI32::INSERT, &(key, Some(5i32))));
    for other in &others {
        assert_eq!(other.identity, first.identity);
        until("the row", || other.with_key::<OptionI32>(key).is_some());
    }
    let mut ids: Vec<_> = others.iter().chain([&first]).map(|c| c.connection.connection_id()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    others.into_iter().for_each(Client::close);
    first.close();
}

fn confirmed_reads(confirmed: bool) {
    let options = Options { confirmed: Some(confirmed), ..Options::default() };
    let writer = Client::with(options.clone(), &[select::<OptionI32>()]);
    let reader = Client::with(options, &[select::<OptionI32>()]);
    let key = new_key();
    let watch = reader.watch::<OptionI32>();
    writer.call(Call::new(OptionI32::INSERT, &(key, Some(1i32))));
    for i in 2..100 {
        writer.call(Call::new(OptionI32::UPDATE, &(key, Some(i))));
    }
    assert_eq!(watch.inserted().value, Some(1));
    for i in 2..100 {
        assert_eq!(watch.updated().1, OptionI32 { key, value: Some(i) });
    }
    same_option(&writer.with_key(key), Some(&OptionI32 { key, value: Some(99) }));
    writer.close();
    reader.close();
}

/// What was called before a client left is done or not, but never in part, and others hear of it.
fn ends_in_flight() {
    let reader = Client::with(Compression::None, &[select::<OptionI32>()]);
    let writer = Client::new(Compression::None);
    let keys: Vec<_> = (0..100).map(|_| new_key()).collect();
    for key in &keys {
        drop(writer.start(Call::new(OptionI32::INSERT, &(*key, Some(7i32)))));
    }
    writer.close();
    let last = new_key();
    reader.call(Call::new(OptionI32::INSERT, &(last, None::<i32>)));
    let found: Vec<_> = keys.iter().map(|key| reader.with_key::<OptionI32>(*key).is_some()).collect();
    assert!(found.is_sorted_by(|earlier, later| earlier >= later), "a later call ran, an earlier one did not");
    reader.close();
}

fn come_and_go() {
    let stays = Client::with(Compression::Brotli, &[select::<OptionI32>()]);
    for _ in 0..20 {
        let guest = Client::with(Compression::Brotli, &[select::<OptionI32>()]);
        let key = new_key();
        guest.call(Call::new(OptionI32::INSERT, &(key, Some(1i32))));
        until("the guest's row", || stays.with_key::<OptionI32>(key).is_some());
        guest.close();
        stays.call(Call::new(OptionI32::DELETE, &(key,)));
    }
    stays.close();
}
