// SPDX-License-Identifier: Apache-2.0
//! Accounts and transfers between them: the workload of the benchmarks.

use spacetimedb::{reducer, table, ReducerContext, ScheduleAt, Table, TimeDuration};

#[table(accessor = accounts, public)]
pub struct Account {
    #[primary_key]
    id: u32,
    balance: i64,
}

/// Who an account belongs to: for live queries that join, and for those that no transfer touches.
#[table(accessor = holders, public)]
pub struct Holder {
    #[primary_key]
    id: u32,
    #[index(btree)]
    account: u32,
}

/// Inserts accounts 0 to n - 1.
#[reducer]
pub fn seed(ctx: &ReducerContext, n: u32, balance: i64) {
    for id in 0..n {
        ctx.db.accounts().insert(Account { id, balance });
    }
}

/// Inserts n accounts with distinct keys from all of u32, in an order that only `seed` decides.
#[reducer]
pub fn seed_random(ctx: &ReducerContext, n: u32, seed: u64) {
    for step in 0..n {
        ctx.db.accounts().insert(Account { id: scatter(step, seed), balance: 1_000_000 });
    }
}

/// A permutation of u32: every step can be undone, so distinct steps give distinct keys.
fn scatter(step: u32, seed: u64) -> u32 {
    let mut x = step ^ seed as u32;
    for _ in 0..2 {
        x ^= x >> 16;
        x = x.wrapping_mul(0x7feb_352d);
        x ^= x >> 15;
        x = x.wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        x = x.wrapping_add((seed >> 32) as u32);
    }
    x
}

/// Moves `amount` from one account to another.
#[reducer]
pub fn transfer(ctx: &ReducerContext, from: u32, to: u32, amount: i64) -> Result<(), String> {
    if from == to {
        return Err("from and to are the same account".into());
    }
    if amount < 0 {
        return Err("amount is negative".into());
    }
    let accounts = ctx.db.accounts().id();
    let payer = accounts.find(from).ok_or_else(|| format!("no account {from}"))?;
    let payee = accounts.find(to).ok_or_else(|| format!("no account {to}"))?;
    if payer.balance < amount {
        return Err(format!("account {from} holds only {}", payer.balance));
    }
    accounts.update(Account { balance: payer.balance - amount, ..payer });
    accounts.update(Account { balance: payee.balance + amount, ..payee });
    Ok(())
}

/// Inserts holders 0 to n - 1, each with the account of the same number.
#[reducer]
pub fn seed_holders(ctx: &ReducerContext, n: u32) {
    for id in 0..n {
        ctx.db.holders().insert(Holder { id, account: id });
    }
}

/// Changes one row: account 0 gains 1.
#[reducer]
pub fn gain(ctx: &ReducerContext) -> Result<(), String> {
    let accounts = ctx.db.accounts().id();
    let account = accounts.find(0).ok_or("no account 0")?;
    accounts.update(Account { balance: account.balance + 1, ..account });
    Ok(())
}

/// The cost of a call without any work.
#[reducer]
pub fn nothing(_ctx: &ReducerContext) {}

/// Rows that tick beside the transfers.
#[table(accessor = tickers, scheduled(tick))]
pub struct Ticker {
    #[primary_key]
    id: u64,
    scheduled_at: ScheduleAt,
}

/// How often each of them has.
#[table(accessor = ticks, public)]
pub struct Ticks {
    #[primary_key]
    id: u64,
    n: u64,
}

#[reducer]
pub fn tick(ctx: &ReducerContext, ticker: Ticker) -> Result<(), String> {
    let ticks = ctx.db.ticks().id();
    let before = ticks.find(ticker.id).ok_or("no such ticker")?;
    ticks.update(Ticks { n: before.n + 1, ..before });
    Ok(())
}

/// Tickers 0 to n - 1, each with this interval.
#[reducer]
pub fn start_tickers(ctx: &ReducerContext, n: u64, micros: i64) {
    for id in 0..n {
        ctx.db.ticks().insert(Ticks { id, n: 0 });
        ctx.db.tickers().insert(Ticker { id, scheduled_at: TimeDuration::from_micros(micros).into() });
    }
}

#[reducer]
pub fn stop_tickers(ctx: &ReducerContext) {
    for ticker in ctx.db.tickers().iter() {
        ctx.db.tickers().id().delete(ticker.id);
    }
}
