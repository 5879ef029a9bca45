// SPDX-License-Identifier: Apache-2.0
//! Every column type: insert, update, delete, as the caller, another client and a late one see it.

use super::{new_key, same, same_option, select, unique};
use crate::bindings::*;
use crate::client::{Cause, Change, Client};
use crate::module::*;
use crate::values::{all_columns_row, each_column, each_keyed, each_unique, EachColumn, EachKey, Tried, TriedKey};
use crate::run::Run;
use spacetimedb_sdk::Compression;

pub fn all(run: &mut Run) {
    run.check("each table of one column is tried", || {
        let mut names = Names(vec![]);
        each_column(&mut names);
        each_unique(&mut names);
        each_keyed(&mut names);
        let columns = ["one_", "option_", "vec_", "unique_", "keyed_"];
        let others = ["unique_numbers"];
        let is_column = |name: &&&str| columns.iter().any(|c| name.starts_with(c)) && !others.contains(*name);
        let there: Vec<_> = ALL_TABLE_NAMES.iter().filter(is_column).copied().collect();
        assert_eq!(names.0, there);
    });
    for compression in [Compression::Brotli, Compression::Gzip, Compression::None] {
        let mut names = Names(vec![]);
        each_column(&mut names);
        let queries: Vec<_> = names.0.iter().map(|name| format!("SELECT * FROM {name}")).collect();
        let mut columns = Columns {
            writer: Client::with(compression, &queries),
            reader: Client::with(compression, &queries),
            compression,
            run,
        };
        each_column(&mut columns);
        columns.all_at_once();
        columns.writer.close();
        columns.reader.close();
    }
    let client = Client::new(Compression::default());
    each_unique(&mut Uniques { client: &client, run });
    each_keyed(&mut Keys { client: &client, run });
    client.close();
}

struct Names(Vec<&'static str>);

impl EachColumn for Names {
    fn column<R: Tried>(&mut self) {
        self.0.push(R::TABLE);
    }
}

impl EachKey for Names {
    fn key<R: TriedKey>(&mut self) {
        self.0.push(R::TABLE);
    }
}

struct Columns<'run> {
    writer: Client,
    reader: Client,
    compression: Compression,
    run: &'run mut Run,
}

impl EachColumn for Columns<'_> {
    fn column<R: Tried>(&mut self) {
        let (writer, reader) = (&self.writer, &self.reader);
        self.run.check(&format!("column {}, {:?}", R::TABLE, self.compression), || {
            let key = new_key();
            let rows: Vec<R> = R::values().into_iter().map(|value| R::new(key, value)).collect();
            let (mine, theirs) = (writer.watch::<R>(), reader.watch::<R>());

            writer.call(Call::new(R::INSERT, &(key, R::values()[0].clone())));
            same_option(&writer.with_key::<R>(key), rows.first());
            assert!(matches!(mine.next(), (Cause::Reducer(name), Change::Insert(_)) if name == R::INSERT));
            match theirs.next() {
                (Cause::Transaction, Change::Insert(row)) => same(&row, &rows[0]),
                other => panic!("{other:?}"),
            }
            for (i, value) in R::values().into_iter().enumerate().skip(1) {
                writer.call(Call::new(R::UPDATE, &(key, value)));
                same_option(&writer.with_key::<R>(key), rows.get(i));
                for watch in [&mine, &theirs] {
                    let (old, new) = watch.updated();
                    same(&old, &rows[i - 1]);
                    same(&new, &rows[i]);
                }
            }
            let late = Client::with(self.compression, &[select::<R>()]);
            same_option(&late.with_key::<R>(key), rows.last());
            late.close();

            writer.call(Call::new(R::DELETE, &(key,)));
            same_option(&writer.with_key::<R>(key), None);
            for watch in [&mine, &theirs] {
                same(&watch.deleted(), rows.last().unwrap());
                watch.quiet();
            }
        });
    }
}

impl Columns<'_> {
    fn all_at_once(&mut self) {
        let (writer, reader) = (&self.writer, &self.reader);
        self.run.check(&format!("a table of all column types, {:?}", self.compression), || {
            let key = new_key();
            let query = format!("SELECT * FROM all_columns WHERE key = {key}");
            let handles = [writer, reader].map(|client| client.subscribe(&[query.clone()]));
            let theirs = reader.watch::<AllColumns>();
            writer.call(insert_all_columns(all_columns_row(key, 0)));
            same(&theirs.inserted(), &all_columns_row(key, 0));
            for n in 1..8 {
                writer.call(update_all_columns(all_columns_row(key, n)));
                same_option(&writer.with_key(key), Some(&all_columns_row(key, n)));
                same(&theirs.updated().1, &all_columns_row(key, n));
            }
            writer.call(delete_all_columns(key));
            same_option::<AllColumns>(&writer.with_key(key), None);
            same(&theirs.deleted(), &all_columns_row(key, 7));
            for (client, handle) in [writer, reader].into_iter().zip(handles) {
                client.unsubscribe(handle);
            }
        });
    }
}

/// Unique columns that are no primary key: equal rows are one, others are refused.
struct Uniques<'a> {
    client: &'a Client,
    run: &'a mut Run,
}

impl EachKey for Uniques<'_> {
    fn key<R: TriedKey>(&mut self) {
        let client = self.client;
        self.run.check(&format!("column {}", R::TABLE), || {
            let handle = client.subscribe(&[select::<R>()]);
            let table = client.connection.db.table::<R>();
            let values = R::values();
            for value in &values {
                let _ = client.outcome(Call::new(R::DELETE, &(value.clone(),)));
                client.call(Call::new(R::INSERT, &(value.clone(), 1i32)));
            }
            assert_eq!(table.count(), values.len() as u64);
            for value in &values {
                client.call(Call::new(R::INSERT, &(value.clone(), 1i32)));
                let error = client.refused(Call::new(R::CHANGE, &(value.clone(), 2i32)));
                assert!(error.to_lowercase().contains("unique"), "{error}");
                client.broken(Call::new(R::INSERT, &(value.clone(), 2i32)));
                assert_eq!(R::find(&table, value).map(|row| row.data()), Some(1), "{value:?}");
            }
            for value in &values {
                client.call(Call::new(R::DELETE, &(value.clone(),)));
                assert_eq!(client.refused(Call::new(R::DELETE, &(value.clone(),))), "no such row");
            }
            assert_eq!(table.count(), 0);
            client.unsubscribe(handle);
        });
    }
}

/// Primary keys of each type: a changed row with the same key is an update.
struct Keys<'a> {
    client: &'a Client,
    run: &'a mut Run,
}

impl EachKey for Keys<'_> {
    fn key<R: TriedKey>(&mut self) {
        let client = self.client;
        self.run.check(&format!("column {}", R::TABLE), || {
            let handle = client.subscribe(&[select::<R>()]);
            let table = client.connection.db.table::<R>();
            let values = R::values();
            let marker = unique("keyed");
            for (i, value) in values.iter().enumerate() {
                let _ = client.outcome(Call::new(R::DELETE, &(value.clone(),)));
                client.call(Call::new(R::INSERT, &(value.clone(), 1i32)));
                client.call(Call::new(R::CHANGE, &(value.clone(), 2i32)));
                assert_eq!(R::find(&table, value).map(|row| row.data()), Some(2), "{value:?} {marker}");
                assert_eq!(table.count(), i as u64 + 1);
            }
            for value in &values {
                client.call(Call::new(R::DELETE, &(value.clone(),)));
                assert!(R::find(&table, value).is_none());
            }
            assert_eq!(table.count(), 0);
            client.unsubscribe(handle);
        });
    }
}
