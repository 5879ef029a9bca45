// SPDX-License-Identifier: Apache-2.0
//! What a database does beside answering its clients: procedures, schedules, lifecycle. The feature `second` makes
//! another version of it, with the same tables.

use spacetimedb::{
    procedure, reducer, table, view, AnonymousViewContext, Identity, ProcedureContext, ReducerContext, ScheduleAt,
    Table, TimeDuration, Timestamp,
};
use std::time::Duration;

const VERSION: u32 = if cfg!(feature = "second") { 2 } else { 1 };

/// What happened, in order.
#[table(accessor = note, public)]
pub struct Note {
    #[primary_key]
    #[auto_inc]
    id: u64,
    #[index(btree)]
    what: String,
    micros: i64,
    sender: Identity,
    connected: bool,
}

fn tell(ctx: &ReducerContext, what: impl Into<String>) {
    ctx.db.note().insert(Note {
        id: 0,
        what: what.into(),
        micros: ctx.timestamp.to_micros_since_unix_epoch(),
        sender: ctx.sender(),
        connected: ctx.connection_id().is_some(),
    });
}

#[table(accessor = counter, public)]
pub struct Counter {
    #[primary_key]
    id: u32,
    n: u64,
}

fn count(table: &counter__TableHandle, id: u32) -> u64 {
    match table.id().find(id) {
        Some(row) => table.id().update(Counter { id, n: row.n + 1 }).n,
        None => table.insert(Counter { id, n: 1 }).n,
    }
}

/// How many counters there are and what they add up to: made again within whatever transaction counts.
#[view(accessor = totals, public)]
fn totals(ctx: &AnonymousViewContext) -> Vec<Counter> {
    ctx.db.counter().id().find(0u32).map(|row| Counter { id: 0, n: row.n }).into_iter().collect()
}

// ---- lifecycle ----

#[reducer(init)]
pub fn init(ctx: &ReducerContext) {
    tell(ctx, "init");
}

#[reducer(client_connected)]
pub fn connected(ctx: &ReducerContext) {
    count(ctx.db.counter(), 100);
}

#[reducer(client_disconnected)]
pub fn disconnected(ctx: &ReducerContext) {
    count(ctx.db.counter(), 101);
    tell(ctx, "disconnected");
}

#[reducer]
pub fn version(ctx: &ReducerContext) {
    tell(ctx, format!("version {VERSION}"));
}

#[reducer]
pub fn bump(ctx: &ReducerContext, id: u32) {
    count(ctx.db.counter(), id);
}

/// Works for a while: as many steps as it is told.
#[reducer]
pub fn spin(ctx: &ReducerContext, steps: u64) {
    let mut x = steps;
    for _ in 0..steps {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    }
    ctx.db.counter().id().delete(x as u32 | 0x8000_0000);
}

#[reducer]
pub fn fail(_ctx: &ReducerContext) -> Result<(), String> {
    Err("no".into())
}

#[reducer]
pub fn panics(_ctx: &ReducerContext) {
    deep(3);
}

#[inline(never)]
fn deep(left: u32) -> u32 {
    if left == 0 {
        panic!("deep down");
    }
    std::hint::black_box(deep(left - 1)) + 1
}

#[reducer]
pub fn says(_ctx: &ReducerContext, text: String) {
    log::error!("e {text}");
    log::warn!("w {text}");
    log::info!("i {text}");
    log::debug!("d {text}");
    log::trace!("t {text}");
    let stopwatch = spacetimedb::log_stopwatch::LogStopwatch::new(&text);
    stopwatch.end();
}

// ---- schedules ----

/// `kind`: 0 nothing more, 1 fails, 2 panics, 3 gives itself another time once, 4 deletes itself.
#[table(accessor = alarm, public, scheduled(ring))]
pub struct Alarm {
    #[primary_key]
    #[auto_inc]
    id: u64,
    scheduled_at: ScheduleAt,
    name: String,
    kind: u32,
}

#[reducer]
pub fn ring(ctx: &ReducerContext, alarm: Alarm) -> Result<(), String> {
    match alarm.kind {
        1 => return Err("the alarm fails".into()),
        2 => panic!("the alarm panics"),
        3 => {
            let again = ctx.timestamp + TimeDuration::from_micros(300_000);
            ctx.db.alarm().id().update(Alarm { scheduled_at: again.into(), kind: 0, ..alarm_copy(&alarm) });
        }
        4 => {
            ctx.db.alarm().id().delete(alarm.id);
        }
        _ => {}
    }
    tell(ctx, alarm.name);
    Ok(())
}

fn alarm_copy(a: &Alarm) -> Alarm {
    Alarm { id: a.id, scheduled_at: a.scheduled_at.clone(), name: a.name.clone(), kind: a.kind }
}

/// `micros`: an interval, or from now on if `once`.
#[reducer]
pub fn set_alarm(ctx: &ReducerContext, id: u64, name: String, micros: i64, once: bool, kind: u32) {
    let scheduled_at = if once {
        ScheduleAt::Time(ctx.timestamp + TimeDuration::from_micros(micros))
    } else {
        ScheduleAt::Interval(TimeDuration::from_micros(micros))
    };
    let row = Alarm { id, scheduled_at, name, kind };
    if ctx.db.alarm().id().find(id).is_some() {
        ctx.db.alarm().id().update(row);
    } else {
        ctx.db.alarm().insert(row);
    }
}

#[reducer]
pub fn drop_alarm(ctx: &ReducerContext, id: u64) {
    ctx.db.alarm().id().delete(id);
}

/// A row of a schedule that is written, and then the transaction is rolled back.
#[reducer]
pub fn alarm_in_vain(ctx: &ReducerContext) -> Result<(), String> {
    set_alarm(ctx, 0, "in vain".into(), 1000, true, 0);
    Err("never mind".into())
}

/// Many that tick: each counts for itself.
#[table(accessor = ticker, scheduled(tick))]
pub struct Ticker {
    #[primary_key]
    id: u64,
    scheduled_at: ScheduleAt,
}

#[reducer]
pub fn tick(ctx: &ReducerContext, ticker: Ticker) {
    count(ctx.db.counter(), 1000 + ticker.id as u32);
}

#[reducer]
pub fn start_tickers(ctx: &ReducerContext, n: u64, micros: i64) {
    for id in 0..n {
        let at = ScheduleAt::Interval(TimeDuration::from_micros(micros));
        ctx.db.ticker().insert(Ticker { id, scheduled_at: at });
    }
}

/// The row goes before the procedure runs if it is a one-shot.
#[table(accessor = errand, public, scheduled(run_errand))]
pub struct Errand {
    #[primary_key]
    #[auto_inc]
    id: u64,
    scheduled_at: ScheduleAt,
    name: String,
    millis: u64,
}

fn tell_from(ctx: &mut ProcedureContext, what: String) {
    ctx.with_tx(|tx| tell(tx, what.clone()));
}

#[procedure]
pub fn run_errand(ctx: &mut ProcedureContext, errand: Errand) {
    tell_from(ctx, format!("{} begins", errand.name));
    if errand.millis > 0 {
        sleep(ctx, errand.millis);
    }
    tell_from(ctx, format!("{} ends", errand.name));
}

#[reducer]
pub fn send(ctx: &ReducerContext, name: String, micros: i64, once: bool, millis: u64) {
    let scheduled_at = if once {
        ScheduleAt::Time(ctx.timestamp + TimeDuration::from_micros(micros))
    } else {
        ScheduleAt::Interval(TimeDuration::from_micros(micros))
    };
    ctx.db.errand().insert(Errand { id: 0, scheduled_at, name, millis });
}

#[reducer]
pub fn drop_errands(ctx: &ReducerContext) {
    for errand in ctx.db.errand().iter() {
        ctx.db.errand().id().delete(errand.id);
    }
}

// ---- procedures ----

fn sleep(ctx: &mut ProcedureContext, millis: u64) {
    let until = now_of(ctx) + Duration::from_millis(millis);
    ctx.sleep_until(until);
}

fn now_of(ctx: &mut ProcedureContext) -> Timestamp {
    ctx.with_tx(|tx| tx.timestamp)
}

/// Sleeps without having touched a table.
#[procedure]
pub fn nap(ctx: &mut ProcedureContext, millis: u64) -> u64 {
    let until = ctx.timestamp + Duration::from_millis(millis);
    ctx.sleep_until(until);
    millis
}

/// A transaction, sleep, and another one.
#[procedure]
pub fn nap_between(ctx: &mut ProcedureContext, id: u32, millis: u64) -> u64 {
    ctx.with_tx(|tx| count(tx.db.counter(), id));
    sleep(ctx, millis);
    ctx.with_tx(|tx| count(tx.db.counter(), id))
}

#[procedure]
pub fn which_version(_ctx: &mut ProcedureContext) -> u32 {
    VERSION
}

/// Many transactions; every other is given up.
#[procedure]
pub fn commits(ctx: &mut ProcedureContext, id: u32, n: u32) -> u64 {
    let mut last = 0;
    for i in 0..n {
        let done: Result<u64, ()> = ctx.try_with_tx(|tx| {
            let n = count(tx.db.counter(), id);
            if i % 2 == 0 { Ok(n) } else { Err(()) }
        });
        last = done.unwrap_or(last);
    }
    last
}

/// A value of the guest's own memory, which lives as long as its instance.
#[procedure]
pub fn remembers(_ctx: &mut ProcedureContext) -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static CALLS: AtomicU32 = AtomicU32::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed)
}

#[procedure]
pub fn spins(_ctx: &mut ProcedureContext, steps: u64) -> u64 {
    let mut x = steps;
    for _ in 0..steps {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    }
    x
}
