// SPDX-License-Identifier: Apache-2.0
//! Goal: what a module stores is what the official Rust client SDK sees, for every column type, in
//! every compression, across reconnects and restarts; failures reach the callbacks they belong to.
//! Method: tests/modules/types283 or types214 behind a host, spacetimedb-sdk before it. host.rs says
//! which variables name the host.
//!
//!     worldline-e2e [TEXT]    only checks whose name contains TEXT
//!
//! One line for each check; the last line is `N passed, N failed`.

#[macro_use]
mod bindings;
mod checks;
mod client;
mod host;
mod module;
mod run;
mod values;


fn main() {
    run::all(checks::all);
}
