// SPDX-License-Identifier: Apache-2.0
//! What an official client shows is true at every moment: tests/modules/live or live214 behind a host, spacetimedb-sdk
//! before it, 2.8.3 or 2.14. Expectations are computed here, from what was written. host.rs says which variables name
//! the host.
//!
//!     worldline-live [TEXT]    only checks whose name contains TEXT

#[macro_use]
#[path = "../bindings.rs"]
#[allow(dead_code)]
mod bindings;
#[path = "../client.rs"]
#[allow(dead_code)]
mod client;
mod connections;
#[path = "../host.rs"]
#[allow(dead_code)]
mod host;
mod model;
mod module;
mod moments;
mod queries;
mod random;
mod rules;
#[path = "../run.rs"]
mod run;
mod subscriptions;
mod views;
mod world;

use run::Run;
use spacetimedb_sdk::Compression;

fn main() {
    run::all(checks);
}

fn checks(run: &mut Run) {
    let mut fresh = |name: &str, check: &dyn Fn()| {
        run.check(name, || {
            host::publish().expect("publish");
            check();
        });
    };
    for compression in [Compression::None, Compression::Gzip, Compression::Brotli] {
        for checks in
            [queries::CHECKS, subscriptions::CHECKS, moments::CHECKS, rules::CHECKS, views::CHECKS, connections::CHECKS]
        {
            for (name, check) in checks {
                fresh(&format!("{name}, {compression:?}"), &|| check(compression));
            }
        }
    }
    for seed in random::seeds() {
        fresh(&format!("a life of four clients, seed {seed}"), &|| random::life(seed, 150));
    }
    if host::can_restart() {
        for (name, check) in connections::RESTARTS {
            fresh(name, &|| check(Compression::Brotli));
        }
    }
}
