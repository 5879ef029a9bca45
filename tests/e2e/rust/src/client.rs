// SPDX-License-Identifier: Apache-2.0
//! A connection of the SDK with a thread that drives it, and waits that end.

use crate::bindings::*;
use crate::host::{self, patience};
use crate::module::nothing;
use spacetimedb_sdk::__codegen::{InternalError, SubscriptionHandle as _};
use spacetimedb_sdk::{Compression, Error, Identity};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Client {
    pub connection: Arc<DbConnection>,
    pub identity: Identity,
    pub token: String,
    closed: Receiver<Option<Error>>,
}

#[derive(Clone)]
pub struct Options {
    pub compression: Compression,
    pub token: Option<String>,
    pub confirmed: Option<bool>,
    pub database: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { compression: Compression::default(), token: None, confirmed: None, database: host::database() }
    }
}

impl From<Compression> for Options {
    fn from(compression: Compression) -> Self {
        Self { compression, ..Self::default() }
    }
}

/// What a reducer's callback gets.
pub type Outcome = Result<Result<(), String>, InternalError>;

/// Waits for what a callback sends, as long as the connection is there to bring it.
pub fn wait<T>(connection: &DbConnection, seconds: u64, receiver: &Receiver<T>, what: &str) -> T {
    let end = Instant::now() + patience(seconds);
    loop {
        let open = connection.is_active();
        // The last callback may run a little after the connection is called ended.
        match receiver.recv_timeout(Duration::from_millis(if open { 50 } else { 1_000 })) {
            Ok(value) => return value,
            Err(_) if !open => panic!("{what}: nothing, the connection is gone"),
            Err(_) => assert!(Instant::now() < end, "{what}: nothing within {seconds} s"),
        }
    }
}

impl Client {
    pub fn try_new(options: Options) -> Result<Self, String> {
        let (greet, greeted) = channel();
        let refuse = greet.clone();
        let (end, closed) = channel();
        let mut builder = DbConnection::builder()
            .with_uri(host::url())
            .with_database_name(options.database)
            .with_token(options.token)
            .with_compression(options.compression)
            .on_connect(move |_, identity, token| greet.send(Ok((identity, token.to_string()))).unwrap_or_default())
            .on_connect_error(move |_, error| refuse.send(Err(error.to_string())).unwrap_or_default())
            .on_disconnect(move |_, error| end.send(error).unwrap_or_default());
        if let Some(confirmed) = options.confirmed {
            builder = builder.with_confirmed_reads(confirmed);
        }
        let connection = Arc::new(builder.build().map_err(|error| error.to_string())?);
        let driven = connection.clone();
        std::thread::spawn(move || while driven.advance_one_message_blocking().is_ok() {});
        let (identity, token) = wait(&connection, 10, &greeted, "connect")?;
        Ok(Self { connection, identity, token, closed })
    }

    pub fn new(options: impl Into<Options>) -> Self {
        Self::try_new(options.into()).expect("connect")
    }

    /// A connection that is greeted, with the rows of these queries.
    pub fn with(options: impl Into<Options>, queries: &[String]) -> Self {
        let client = Self::new(options);
        client.subscribe(queries);
        client
    }

    pub fn wait<T>(&self, seconds: u64, receiver: &Receiver<T>, what: &str) -> T {
        wait(&self.connection, seconds, receiver, what)
    }

    pub fn start(&self, call: Call) -> Receiver<Outcome> {
        let (done, outcome) = channel();
        self.connection
            .reducers
            .call_then(call, move |_, result| done.send(result).unwrap_or_default())
            .expect("the connection is open");
        outcome
    }

    /// Calls a reducer; its rows are in the cache when this returns.
    pub fn outcome(&self, call: Call) -> Outcome {
        let name = call.name;
        self.wait(30, &self.start(call), name)
    }

    pub fn call(&self, call: Call) {
        let name = call.name;
        match self.outcome(call) {
            Ok(Ok(())) => (),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The error that the reducer returned.
    pub fn refused(&self, call: Call) -> String {
        let name = call.name;
        match self.outcome(call) {
            Ok(Err(error)) => error,
            other => panic!("{name}: {other:?}, expected its error"),
        }
    }

    /// The text of a call that the host ended or did not begin.
    pub fn broken(&self, call: Call) -> String {
        let name = call.name;
        match self.outcome(call) {
            Err(error) => error.to_string(),
            other => panic!("{name}: {other:?}, expected an internal error"),
        }
    }

    pub fn try_subscribe(&self, queries: &[String]) -> Result<SubscriptionHandle, String> {
        let (applied, outcome) = channel();
        let failed = applied.clone();
        let handle = self
            .connection
            .subscription_builder()
            .on_applied(move |_| applied.send(Ok(())).unwrap_or_default())
            .on_error(move |_, error| failed.send(Err(error.to_string())).unwrap_or_default())
            .subscribe(queries);
        let result = self.wait(30, &outcome, &queries.join("; "));
        assert_eq!(handle.is_active(), result.is_ok());
        assert_eq!(handle.is_ended(), result.is_err());
        result.map(|_| handle)
    }

    pub fn subscribe(&self, queries: &[String]) -> SubscriptionHandle {
        self.try_subscribe(queries).unwrap_or_else(|error| panic!("{queries:?}: {error}"))
    }

    pub fn unsubscribe(&self, handle: SubscriptionHandle) {
        let (done, ended) = channel();
        let ask = handle.clone();
        ask.unsubscribe_then(Box::new(move |_| done.send(()).unwrap_or_default())).expect("it is active");
        assert!(!handle.is_active(), "active after unsubscribe");
        self.wait(10, &ended, "unsubscribe");
        assert!(handle.is_ended(), "not ended after unsubscribe");
    }

    pub fn rows<R: StoredRow>(&self) -> Vec<R> {
        self.connection.db.table::<R>().iter().collect()
    }

    /// The encoded rows, sorted: comparable between clients.
    pub fn row_bytes<R: StoredRow>(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<_> = self.rows::<R>().iter().map(Row::bytes).collect();
        all.sort();
        all
    }

    /// The row with this key, by the SDK's index; its rows must say the same.
    pub fn with_key<R: KeyedRow<Key = u32>>(&self, key: u32) -> Option<R> {
        let find = || self.connection.db.table::<R>().unique::<u32>("key").find(&key);
        loop {
            let before = find();
            let scanned = self.rows::<R>().into_iter().filter(|row| *row.primary_key() == key).count();
            let found = find();
            // Another client's change may arrive between the two.
            if before.is_some() == found.is_some() {
                assert_eq!(scanned, usize::from(found.is_some()), "index and rows of {}", R::TABLE);
                return found;
            }
        }
    }

    pub fn watch<R: KeyedRow>(&self) -> Watch<R> {
        let mut watch = self.watch_unsettled();
        let sender = watch.sender.clone();
        let id = self.connection.db.table::<R>().on_update(move |context, old, new| {
            sender.send((Cause::of(context), Change::Update(old.clone(), new.clone()))).unwrap_or_default()
        });
        watch.stop.push(Box::new(move |db| db.table::<R>().remove_on_update(id)));
        self.settle();
        watch
    }

    /// The SDK may take up a message before a callback that was registered earlier; not after an answer.
    pub fn settle(&self) {
        self.call(nothing());
    }

    pub fn watch_stored<R: StoredRow>(&self) -> Watch<R> {
        let watch = self.watch_unsettled();
        self.settle();
        watch
    }

    fn watch_unsettled<R: StoredRow>(&self) -> Watch<R> {
        let (sender, receiver) = channel();
        let table = self.connection.db.table::<R>();
        let inserts = sender.clone();
        let deletes = sender.clone();
        let insert = table.on_insert(move |context, row| {
            inserts.send((Cause::of(context), Change::Insert(row.clone()))).unwrap_or_default()
        });
        let delete = table.on_delete(move |context, row| {
            deletes.send((Cause::of(context), Change::Delete(row.clone()))).unwrap_or_default()
        });
        let stop: Vec<Stop> = vec![
            Box::new(move |db| db.table::<R>().remove_on_insert(insert)),
            Box::new(move |db| db.table::<R>().remove_on_delete(delete)),
        ];
        Watch { connection: self.connection.clone(), sender, receiver, stop }
    }

    /// Waits for the end of the connection: the error with which it ended.
    pub fn ended(&self) -> Option<Error> {
        self.closed.recv_timeout(patience(20)).expect("the connection ends")
    }

    pub fn close(self) {
        self.connection.disconnect().expect("it is open");
        let error = self.ended();
        assert!(error.is_none(), "disconnect: {error:?}");
        assert!(!self.connection.is_active());
    }
}

/// Why a row changed, as the SDK tells callbacks.
#[derive(Debug, PartialEq)]
pub enum Cause {
    Reducer(&'static str),
    Transaction,
    Subscribed,
    Unsubscribed,
    Other(String),
}

impl Cause {
    pub fn of(context: &EventContext) -> Self {
        match &context.event {
            Event::Reducer(event) => Cause::Reducer(event.reducer.name),
            Event::Transaction => Cause::Transaction,
            Event::SubscribeApplied => Cause::Subscribed,
            Event::UnsubscribeApplied => Cause::Unsubscribed,
            other => Cause::Other(format!("{other:?}")),
        }
    }
}

#[derive(Debug)]
pub enum Change<R> {
    Insert(R),
    Update(R, R),
    Delete(R),
}

type Stop = Box<dyn FnOnce(&RemoteTables)>;

/// The changes of a table since it was made, in order.
pub struct Watch<R: StoredRow> {
    connection: Arc<DbConnection>,
    sender: Sender<(Cause, Change<R>)>,
    receiver: Receiver<(Cause, Change<R>)>,
    stop: Vec<Stop>,
}

impl<R: StoredRow> Watch<R> {
    pub fn next(&self) -> (Cause, Change<R>) {
        wait(&self.connection, 10, &self.receiver, R::TABLE)
    }

    pub fn inserted(&self) -> R {
        match self.next() {
            (_, Change::Insert(row)) => row,
            other => panic!("{other:?}, expected an insert"),
        }
    }

    pub fn updated(&self) -> (R, R) {
        match self.next() {
            (_, Change::Update(old, new)) => (old, new),
            other => panic!("{other:?}, expected an update"),
        }
    }

    pub fn deleted(&self) -> R {
        match self.next() {
            (_, Change::Delete(row)) => row,
            other => panic!("{other:?}, expected a delete"),
        }
    }

    /// How many more rows came than went.
    #[allow(dead_code)]
    pub fn balance(&self) -> i64 {
        let worth = |(_, change)| match change {
            Change::Insert(_) => 1,
            Change::Update(..) => 0,
            Change::Delete(_) => -1,
        };
        self.receiver.try_iter().map(worth).sum()
    }

    /// Nothing came that was not asked for.
    pub fn quiet(&self) {
        if let Ok(change) = self.receiver.try_recv() {
            panic!("{change:?}, expected nothing");
        }
    }
}

impl<R: StoredRow> Drop for Watch<R> {
    fn drop(&mut self) {
        for stop in self.stop.drain(..) {
            stop(&self.connection.db);
        }
    }
}

/// Polls until `condition` is true: for what has no callback.
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + patience(10);
    while !condition() {
        assert!(Instant::now() < end, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}
