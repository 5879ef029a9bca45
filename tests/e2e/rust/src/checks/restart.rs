// SPDX-License-Identifier: Apache-2.0
//! What was confirmed is there after a restart of the host, and goes on from where it was.

use super::{new_key, same, same_option, select, unique};
use crate::bindings::*;
use crate::client::{Client, Options};
use crate::host;
use crate::module::*;
use crate::values::{all_columns_row, each_column, EachColumn, Tried};
use crate::run::Run;
use spacetimedb_sdk::Compression;
use std::collections::HashMap;

pub fn all(run: &mut Run) {
    if !host::can_restart() || !"after a restart".contains(&run.wanted) && !run.wanted.contains("restart") {
        return;
    }
    let client = Client::new(Compression::Brotli);
    let mut before = Before { client: &client, keys: HashMap::new() };
    each_column(&mut before);
    let keys = before.keys;
    let (key, text) = (new_key(), unique("kept"));
    for n in 0..8 {
        client.call(insert_all_columns(all_columns_row(key + (n << 24), n as usize)));
    }
    client.call(insert_numbered(0, text.clone()));
    host::restart();
    run.check("after a restart: the old connection ends", || drop(client.ended()));

    let options = Options { token: Some(client.token.clone()), ..Options::default() };
    let again = Client::new(options.clone());
    let reader = Client::new(Compression::Gzip);
    run.check("after a restart: the identity", || assert_eq!(again.identity, client.identity));
    let mut names = Names(vec![]);
    each_column(&mut names);
    for client in [&again, &reader] {
        client.subscribe(&names.0.iter().map(|name| format!("SELECT * FROM {name}")).collect::<Vec<_>>());
        client.subscribe(&[select::<AllColumns>(), select::<Numbered>()]);
    }
    each_column(&mut After { client: &again, reader: &reader, keys, run });
    run.check("after a restart: a table of all column types", || {
        for n in 0..8 {
            let row = all_columns_row(key + (n << 24), n as usize);
            same_option(&again.with_key(row.key), Some(&row));
        }
    });
    run.check("after a restart: numbers given by the host", || {
        let kept: Vec<_> = again.rows::<Numbered>().into_iter().filter(|row| row.text == text).collect();
        assert_eq!(kept.len(), 1);
        let most = again.rows::<Numbered>().iter().map(|row| row.id).max().unwrap();
        let watch = again.watch::<Numbered>();
        again.call(insert_numbered(0, unique("after")));
        assert!(watch.inserted().id > most);
    });
    again.close();
    reader.close();
}

struct Names(Vec<&'static str>);

impl EachColumn for Names {
    fn column<R: Tried>(&mut self) {
        self.0.push(R::TABLE);
    }
}

/// One row for each value of each column.
struct Before<'a> {
    client: &'a Client,
    keys: HashMap<&'static str, Vec<u32>>,
}

impl EachColumn for Before<'_> {
    fn column<R: Tried>(&mut self) {
        for value in R::values() {
            let key = new_key();
            self.client.call(Call::new(R::INSERT, &(key, value)));
            self.keys.entry(R::TABLE).or_default().push(key);
        }
    }
}

/// The rows are there, and can be changed and deleted by what they were.
struct After<'a> {
    client: &'a Client,
    reader: &'a Client,
    keys: HashMap<&'static str, Vec<u32>>,
    run: &'a mut Run,
}

impl EachColumn for After<'_> {
    fn column<R: Tried>(&mut self) {
        let (client, reader, keys) = (self.client, self.reader, &self.keys[R::TABLE]);
        self.run.check(&format!("after a restart: column {}", R::TABLE), || {
            let rows: Vec<_> = keys.iter().zip(R::values()).map(|(key, value)| R::new(*key, value)).collect();
            for (key, row) in keys.iter().zip(&rows) {
                same_option(&client.with_key::<R>(*key), Some(row));
                same_option(&reader.with_key::<R>(*key), Some(row));
            }
            let watch = reader.watch::<R>();
            let other = R::values().pop().unwrap();
            for (key, row) in keys.iter().zip(&rows) {
                let changed = R::new(*key, other.clone());
                client.call(Call::new(R::UPDATE, &(*key, other.clone())));
                if changed.bytes() != row.bytes() {
                    let (old, new) = watch.updated();
                    same(&old, row);
                    same(&new, &changed);
                }
                client.call(Call::new(R::DELETE, &(*key,)));
                same(&watch.deleted(), &changed);
                same_option::<R>(&client.with_key(*key), None);
            }
            watch.quiet();
        });
    }
}
