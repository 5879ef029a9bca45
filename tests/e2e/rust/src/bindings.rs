// SPDX-License-Identifier: Apache-2.0
//! What `spacetime generate` writes for a module, as far as it is the same for all of them, and the
//! macros that make the rest from one line for each table and reducer (module.rs).
//!
//! Generated code has a type for each table handle and each reducer; here one generic type serves
//! all, which the SDK cannot tell: it sees the same calls with the same names.

use spacetimedb_sdk::__codegen::{self as __sdk, __lib};
use std::fmt::Debug;
use std::marker::PhantomData;

pub use crate::module::DbUpdate;
pub use spacetimedb_sdk::{DbContext, Event, EventTable, Table, TableWithPrimaryKey};

/// A row of a table; `TABLE` is the name that the host knows.
pub trait Row:
    __sdk::InModule<Module = RemoteModule>
    + __lib::ser::Serialize
    + __lib::de::DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
    const TABLE: &'static str;
    fn register(cache: &mut __sdk::ClientCache<RemoteModule>);
    fn apply<'r>(
        update: &'r __sdk::TableUpdate<Self>,
        cache: &mut __sdk::ClientCache<RemoteModule>,
    ) -> __sdk::TableAppliedDiff<'r, Self>;

    /// The row as it travels: equal bytes are equal rows, also where `==` says otherwise (NaN).
    fn bytes(&self) -> Vec<u8> {
        __lib::bsatn::to_vec(self).expect("rows can be encoded")
    }
}

/// A row that stays in the client's cache.
pub trait StoredRow: Row {}

/// A row that is seen once.
pub trait EventRow: Row {}

/// A row with a primary key.
pub trait KeyedRow: StoredRow {
    type Key: Eq + std::hash::Hash + Clone + Debug + Send + Sync + 'static;
    fn primary_key(&self) -> &Self::Key;
}

/// A row of a table that is there for its column `value`; the key is a number.
pub trait Column: KeyedRow<Key = u32> {
    type Value: __lib::ser::Serialize + Clone;
    const INSERT: &'static str;
    const UPDATE: &'static str;
    const DELETE: &'static str;
    fn new(key: u32, value: Self::Value) -> Self;
}

/// A row of a table whose column `value` is a primary key or unique.
pub trait KeyColumn: StoredRow {
    type Value: __lib::ser::Serialize + Clone + Debug;
    const INSERT: &'static str;
    /// `update` where it is a primary key, `try_insert` where it is not.
    const CHANGE: &'static str;
    const DELETE: &'static str;
    fn data(&self) -> i32;
    fn find(handle: &Handle<'_, Self>, value: &Self::Value) -> Option<Self>;
}

/// The fields of a table's row by name, for typed queries. Event tables are not looked up in joins.
macro_rules! query_columns {
    ($Row:ident $Cols:ident $IxCols:ident $fields:tt $indexed:tt) => {
        query_columns! { event $Row $Cols $IxCols $fields $indexed }
        impl __sdk::__query_builder::CanBeLookupTable for $Row {}
    };
    (event $Row:ident $Cols:ident $IxCols:ident { $($field:ident: $type:ty),* } { $($ix:ident: $ix_type:ty),* }) => {
        pub struct $Cols {
            $(pub $field: __sdk::__query_builder::Col<$Row, $type>,)*
        }
        pub struct $IxCols {
            $(pub $ix: __sdk::__query_builder::IxCol<$Row, $ix_type>,)*
        }
        impl __sdk::__query_builder::HasCols for $Row {
            type Cols = $Cols;
            fn cols(table: &'static str) -> $Cols {
                $Cols { $($field: __sdk::__query_builder::Col::new(table, stringify!($field)),)* }
            }
        }
        impl __sdk::__query_builder::HasIxCols for $Row {
            type IxCols = $IxCols;
            fn ix_cols(table: &'static str) -> $IxCols {
                $IxCols { $($ix: __sdk::__query_builder::IxCol::new(table, stringify!($ix)),)* }
            }
        }
    };
}

/// One row type. `key` names the primary key, `unique` other columns with a constraint.
macro_rules! row {
    (column $Row:ident $name:literal ($type:ty)) => {
        row! { table $Row $name { key: u32, value: $type; key key } }
        impl Column for $Row {
            type Value = $type;
            const INSERT: &'static str = concat!("insert_", $name);
            const UPDATE: &'static str = concat!("update_", $name);
            const DELETE: &'static str = concat!("delete_", $name);
            fn new(key: u32, value: $type) -> Self {
                Self { key, value }
            }
        }
    };
    (unique $Row:ident $name:literal ($type:ty)) => {
        row! { table $Row $name { value: $type, data: i32; unique value } }
        row! { key_column $Row $name "try_insert_" $type }
    };
    (keyed $Row:ident $name:literal ($type:ty)) => {
        row! { table $Row $name { value: $type, data: i32; key value } }
        row! { key_column $Row $name "update_" $type }
    };
    (key_column $Row:ident $name:literal $change:literal $type:ty) => {
        impl KeyColumn for $Row {
            type Value = $type;
            const INSERT: &'static str = concat!("insert_", $name);
            const CHANGE: &'static str = concat!($change, $name);
            const DELETE: &'static str = concat!("delete_", $name);
            fn data(&self) -> i32 {
                self.data
            }
            fn find(handle: &Handle<'_, Self>, value: &$type) -> Option<Self> {
                handle.unique::<$type>("value").find(value)
            }
        }
    };
    // All primary keys of these modules are their table's first column.
    (table $Row:ident $name:literal {
        $first:ident: $first_type:ty $(, $field:ident: $type:ty)* ; $(key $key:ident)? $(unique $unique:ident)*
    }) => {
        row! { @fields $Row { $first: $first_type $(, $field: $type)* } }
        impl Row for $Row {
            const TABLE: &'static str = $name;
            fn register(cache: &mut __sdk::ClientCache<RemoteModule>) {
                let _table = cache.get_or_make_table::<$Row>($name);
                $(_table.add_unique_constraint(stringify!($key), |row| &row.$key);)?
                $(_table.add_unique_constraint(stringify!($unique), |row| &row.$unique);)*
            }
            fn apply<'r>(
                update: &'r __sdk::TableUpdate<Self>,
                cache: &mut __sdk::ClientCache<RemoteModule>,
            ) -> __sdk::TableAppliedDiff<'r, Self> {
                cache.apply_diff_to_table::<$Row>($name, update)$(.with_updates_by_pk(|row| &row.$key))?
            }
        }
        impl StoredRow for $Row {}
        $(impl KeyedRow for $Row {
            type Key = $first_type;
            fn primary_key(&self) -> &$first_type {
                &self.$key
            }
        })?
    };
    (event $Row:ident $name:literal { $($field:ident: $type:ty),* }) => {
        row! { @fields $Row { $($field: $type),* } }
        impl Row for $Row {
            const TABLE: &'static str = $name;
            fn register(cache: &mut __sdk::ClientCache<RemoteModule>) {
                cache.get_or_make_table::<$Row>($name);
            }
            fn apply<'r>(
                update: &'r __sdk::TableUpdate<Self>,
                _cache: &mut __sdk::ClientCache<RemoteModule>,
            ) -> __sdk::TableAppliedDiff<'r, Self> {
                update.into_event_diff()
            }
        }
        impl EventRow for $Row {}
    };
    (@fields $Row:ident { $($field:ident: $type:ty),* }) => {
        #[derive(__lib::ser::Serialize, __lib::de::Deserialize, Clone, PartialEq, Debug)]
        #[sats(crate = __lib)]
        pub struct $Row {
            $(pub $field: $type,)*
        }
        impl __sdk::InModule for $Row {
            type Module = RemoteModule;
        }
    };
}

/// The tables of a module: a line for each names its kind, the function that gets its handle, the
/// type of its rows, its name on the host, and its columns (a type alone where the kind says the rest).
macro_rules! tables {
    ($($kind:ident $table:ident $Row:ident $name:literal $columns:tt)*) => {
        $(row! { $kind $Row $name $columns })*

        impl RemoteTables {
            $(pub fn $table(&self) -> Handle<'_, $Row> {
                self.table::<$Row>()
            })*
        }

        /// What `add_query` gives to build queries from.
        pub trait QueryTables {
            $(fn $table(&self) -> __sdk::__query_builder::Table<$Row>;)*
        }

        impl QueryTables for __sdk::QueryTableAccessor {
            $(fn $table(&self) -> __sdk::__query_builder::Table<$Row> {
                __sdk::__query_builder::Table::new($name)
            })*
        }

        #[derive(Default, Debug)]
        pub struct DbUpdate {
            $($table: __sdk::TableUpdate<$Row>,)*
        }

        impl TryFrom<__ws::v2::TransactionUpdate> for DbUpdate {
            type Error = __sdk::Error;
            fn try_from(raw: __ws::v2::TransactionUpdate) -> Result<Self, Self::Error> {
                let mut update = DbUpdate::default();
                for table in __sdk::transaction_update_iter_table_updates(raw) {
                    match &table.table_name[..] {
                        $($name => update.$table.append(__sdk::TableUpdate::parse_table_update(table)?),)*
                        unknown => {
                            return Err(__sdk::InternalError::unknown_name("table", unknown, "DatabaseUpdate").into());
                        }
                    }
                }
                Ok(update)
            }
        }

        impl __sdk::InModule for DbUpdate {
            type Module = RemoteModule;
        }

        impl __sdk::DbUpdate for DbUpdate {
            fn apply_to_client_cache(&self, cache: &mut __sdk::ClientCache<RemoteModule>) -> AppliedDiff<'_> {
                AppliedDiff {
                    $($table: $Row::apply(&self.$table, cache),)*
                }
            }
            fn parse_initial_rows(raw: __ws::v2::QueryRows) -> __sdk::Result<Self> {
                let mut update = DbUpdate::default();
                for rows in raw.tables {
                    match &rows.table[..] {
                        $($name => update.$table.append(__sdk::parse_row_list_as_inserts(rows.rows)?),)*
                        unknown => {
                            return Err(__sdk::InternalError::unknown_name("table", unknown, "QueryRows").into());
                        }
                    }
                }
                Ok(update)
            }
            fn parse_unsubscribe_rows(raw: __ws::v2::QueryRows) -> __sdk::Result<Self> {
                let mut update = DbUpdate::default();
                for rows in raw.tables {
                    match &rows.table[..] {
                        $($name => update.$table.append(__sdk::parse_row_list_as_deletes(rows.rows)?),)*
                        unknown => {
                            return Err(__sdk::InternalError::unknown_name("table", unknown, "QueryRows").into());
                        }
                    }
                }
                Ok(update)
            }
        }

        pub struct AppliedDiff<'r> {
            $($table: __sdk::TableAppliedDiff<'r, $Row>,)*
        }

        impl __sdk::InModule for AppliedDiff<'_> {
            type Module = RemoteModule;
        }

        impl<'r> __sdk::AppliedDiff<'r> for AppliedDiff<'r> {
            fn invoke_row_callbacks(&self, event: &EventContext, callbacks: &mut __sdk::DbCallbacks<RemoteModule>) {
                $(callbacks.invoke_table_row_callbacks::<$Row>($name, &self.$table, event);)*
            }
        }

        pub fn register_tables(cache: &mut __sdk::ClientCache<RemoteModule>) {
            $($Row::register(cache);)*
        }

        pub const ALL_TABLE_NAMES: &[&str] = &[$($name),*];
    };
}

/// The reducers of a module: a function for each makes the call from its arguments.
macro_rules! reducers {
    ($($reducer:ident $name:literal ($($arg:ident: $type:ty),*);)*) => {
        $(pub fn $reducer($($arg: $type),*) -> Call {
            Call::new($name, &($($arg,)*))
        })*
    };
}

/// A call of a reducer: its name on the host and its arguments, encoded.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: &'static str,
    pub args: Vec<u8>,
}

impl Call {
    pub fn new(name: &'static str, args: &impl __lib::ser::Serialize) -> Self {
        Self { name, args: __lib::bsatn::to_vec(args).expect("arguments can be encoded") }
    }
}

impl __sdk::InModule for Call {
    type Module = RemoteModule;
}

impl __sdk::Reducer for Call {
    fn reducer_name(&self) -> &'static str {
        self.name
    }
    fn args_bsatn(&self) -> Result<Vec<u8>, __lib::bsatn::EncodeError> {
        Ok(self.args.clone())
    }
}

/// Access to one table in the client's cache.
pub struct Handle<'ctx, R: Row> {
    imp: __sdk::TableHandle<R>,
    ctx: PhantomData<&'ctx RemoteTables>,
}

impl<R: Row> Handle<'_, R> {
    pub fn unique<C>(&self, column: &'static str) -> __sdk::UniqueConstraintHandle<R, C> {
        self.imp.get_unique_constraint::<C>(column)
    }
}

impl<R: StoredRow> __sdk::Table for Handle<'_, R> {
    type Row = R;
    type EventContext = EventContext;
    type InsertCallbackId = __sdk::CallbackId;
    type DeleteCallbackId = __sdk::CallbackId;

    fn count(&self) -> u64 {
        self.imp.count()
    }
    fn iter(&self) -> impl Iterator<Item = R> + '_ {
        self.imp.iter()
    }
    fn on_insert(&self, callback: impl FnMut(&EventContext, &R) + Send + 'static) -> __sdk::CallbackId {
        self.imp.on_insert(callback)
    }
    fn remove_on_insert(&self, callback: __sdk::CallbackId) {
        self.imp.remove_on_insert(callback)
    }
    fn on_delete(&self, callback: impl FnMut(&EventContext, &R) + Send + 'static) -> __sdk::CallbackId {
        self.imp.on_delete(callback)
    }
    fn remove_on_delete(&self, callback: __sdk::CallbackId) {
        self.imp.remove_on_delete(callback)
    }
}

impl<R: KeyedRow> __sdk::TableWithPrimaryKey for Handle<'_, R> {
    type UpdateCallbackId = __sdk::CallbackId;

    fn on_update(&self, callback: impl FnMut(&EventContext, &R, &R) + Send + 'static) -> __sdk::CallbackId {
        self.imp.on_update(callback)
    }
    fn remove_on_update(&self, callback: __sdk::CallbackId) {
        self.imp.remove_on_update(callback)
    }
}

impl<R: EventRow> __sdk::EventTable for Handle<'_, R> {
    type Row = R;
    type EventContext = EventContext;
    type InsertCallbackId = __sdk::CallbackId;

    fn count(&self) -> u64 {
        self.imp.count()
    }
    fn iter(&self) -> impl Iterator<Item = R> + '_ {
        self.imp.iter()
    }
    fn on_insert(&self, callback: impl FnMut(&EventContext, &R) + Send + 'static) -> __sdk::CallbackId {
        self.imp.on_insert(callback)
    }
    fn remove_on_insert(&self, callback: __sdk::CallbackId) {
        self.imp.remove_on_insert(callback)
    }
}

#[derive(Debug)]
pub struct RemoteModule;

impl __sdk::InModule for RemoteModule {
    type Module = Self;
}

impl __sdk::SpacetimeModule for RemoteModule {
    type DbConnection = DbConnection;
    type EventContext = EventContext;
    type ReducerEventContext = ReducerEventContext;
    type ProcedureEventContext = ProcedureEventContext;
    type SubscriptionEventContext = SubscriptionEventContext;
    type ErrorContext = ErrorContext;
    type Reducer = Call;
    type DbView = RemoteTables;
    type Reducers = RemoteReducers;
    type Procedures = RemoteProcedures;
    type DbUpdate = DbUpdate;
    type AppliedDiff<'r> = crate::module::AppliedDiff<'r>;
    type SubscriptionHandle = SubscriptionHandle;
    type QueryBuilder = __sdk::QueryBuilder;

    fn register_tables(cache: &mut __sdk::ClientCache<Self>) {
        crate::module::register_tables(cache);
    }
    const ALL_TABLE_NAMES: &'static [&'static str] = crate::module::ALL_TABLE_NAMES;
}

macro_rules! views {
    ($($View:ident)*) => {
        $(pub struct $View {
            imp: __sdk::DbContextImpl<RemoteModule>,
        }
        impl __sdk::InModule for $View {
            type Module = RemoteModule;
        })*
    };
}
views! { RemoteTables RemoteReducers }

/// These modules have none.
pub struct RemoteProcedures;

impl __sdk::InModule for RemoteProcedures {
    type Module = RemoteModule;
}

impl RemoteTables {
    pub fn table<R: Row>(&self) -> Handle<'_, R> {
        Handle { imp: self.imp.get_table::<R>(R::TABLE), ctx: PhantomData }
    }
}

impl RemoteReducers {
    pub fn call_then(
        &self,
        call: Call,
        callback: impl FnOnce(&ReducerEventContext, Result<Result<(), String>, __sdk::InternalError>) + Send + 'static,
    ) -> __sdk::Result<()> {
        self.imp.invoke_reducer_with_callback(call, callback)
    }
}

macro_rules! contexts {
    ($($Context:ident { $($event:ident: $Event:ty)? })*) => {
        $(pub struct $Context {
            pub db: RemoteTables,
            pub reducers: RemoteReducers,
            pub procedures: RemoteProcedures,
            $(pub $event: $Event,)?
            imp: __sdk::DbContextImpl<RemoteModule>,
        }
        impl __sdk::InModule for $Context {
            type Module = RemoteModule;
        }
        impl __sdk::DbContext for $Context {
            type DbView = RemoteTables;
            type Reducers = RemoteReducers;
            type Procedures = RemoteProcedures;
            type SubscriptionBuilder = __sdk::SubscriptionBuilder<RemoteModule>;

            fn db(&self) -> &RemoteTables {
                &self.db
            }
            fn reducers(&self) -> &RemoteReducers {
                &self.reducers
            }
            fn procedures(&self) -> &RemoteProcedures {
                &self.procedures
            }
            fn is_active(&self) -> bool {
                self.imp.is_active()
            }
            fn disconnect(&self) -> __sdk::Result<()> {
                self.imp.disconnect()
            }
            fn subscription_builder(&self) -> Self::SubscriptionBuilder {
                __sdk::SubscriptionBuilder::new(&self.imp)
            }
            fn try_identity(&self) -> Option<__sdk::Identity> {
                self.imp.try_identity()
            }
            fn connection_id(&self) -> __sdk::ConnectionId {
                self.imp.connection_id()
            }
            fn try_connection_id(&self) -> Option<__sdk::ConnectionId> {
                self.imp.try_connection_id()
            }
        })*
    };
}

contexts! {
    DbConnection {}
    EventContext { event: __sdk::Event<Call> }
    ReducerEventContext { event: __sdk::ReducerEvent<Call> }
    ProcedureEventContext { event: () }
    SubscriptionEventContext { event: () }
    ErrorContext { event: Option<__sdk::Error> }
}

macro_rules! event_contexts {
    ($($Context:ident $Event:ty;)*) => {
        $(impl __sdk::AbstractEventContext for $Context {
            type Event = $Event;
            fn event(&self) -> &$Event {
                &self.event
            }
            fn new(imp: __sdk::DbContextImpl<RemoteModule>, event: $Event) -> Self {
                Self {
                    db: RemoteTables { imp: imp.clone() },
                    reducers: RemoteReducers { imp: imp.clone() },
                    procedures: RemoteProcedures,
                    event,
                    imp,
                }
            }
        }
        impl __sdk::$Context for $Context {})*
    };
}

event_contexts! {
    EventContext __sdk::Event<Call>;
    ReducerEventContext __sdk::ReducerEvent<Call>;
    ProcedureEventContext ();
    SubscriptionEventContext ();
    ErrorContext Option<__sdk::Error>;
}

impl __sdk::DbConnection for DbConnection {
    fn new(imp: __sdk::DbContextImpl<RemoteModule>) -> Self {
        Self {
            db: RemoteTables { imp: imp.clone() },
            reducers: RemoteReducers { imp: imp.clone() },
            procedures: RemoteProcedures,
            imp,
        }
    }
}

impl DbConnection {
    pub fn builder() -> __sdk::DbConnectionBuilder<RemoteModule> {
        __sdk::DbConnectionBuilder::new()
    }
    pub fn advance_one_message_blocking(&self) -> __sdk::Result<()> {
        self.imp.advance_one_message_blocking()
    }
}

#[derive(Clone)]
pub struct SubscriptionHandle {
    imp: __sdk::SubscriptionHandleImpl<RemoteModule>,
}

impl __sdk::InModule for SubscriptionHandle {
    type Module = RemoteModule;
}

impl __sdk::SubscriptionHandle for SubscriptionHandle {
    fn new(imp: __sdk::SubscriptionHandleImpl<RemoteModule>) -> Self {
        Self { imp }
    }
    fn is_ended(&self) -> bool {
        self.imp.is_ended()
    }
    fn is_active(&self) -> bool {
        self.imp.is_active()
    }
    fn unsubscribe_then(self, on_end: __sdk::OnEndedCallback<RemoteModule>) -> __sdk::Result<()> {
        self.imp.unsubscribe_then(Some(on_end))
    }
    fn unsubscribe(self) -> __sdk::Result<()> {
        self.imp.unsubscribe_then(None)
    }
}
