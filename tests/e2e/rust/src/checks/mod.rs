// SPDX-License-Identifier: Apache-2.0
//! The checks, by what they are about.

mod columns;
mod connections;
mod failures;
mod restart;
mod rows;
mod subscriptions;

use crate::bindings::Row;
use crate::run::Run;
use std::sync::atomic::{AtomicU32, Ordering};

pub fn all(run: &mut Run) {
    columns::all(run);
    rows::all(run);
    subscriptions::all(run);
    failures::all(run);
    connections::all(run);
    restart::all(run);
}

/// A number that no check of this run used before, nor most likely one of another run.
pub fn new_key() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() << 12;
    start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) & 0x7fff_ffff
}

pub fn unique(text: &str) -> String {
    format!("{text} {}", new_key())
}

pub fn select<R: Row>() -> String {
    format!("SELECT * FROM {}", R::TABLE)
}

/// Rows are compared as they travel: NaN is itself, -0 is not 0.
#[track_caller]
pub fn same<R: Row>(found: &R, wanted: &R) {
    assert!(found.bytes() == wanted.bytes(), "found {found:?}, wanted {wanted:?}");
}

#[track_caller]
pub fn same_option<R: Row>(found: &Option<R>, wanted: Option<&R>) {
    match (found, wanted) {
        (Some(found), Some(wanted)) => same(found, wanted),
        (None, None) => (),
        _ => panic!("found {found:?}, wanted {wanted:?}"),
    }
}
