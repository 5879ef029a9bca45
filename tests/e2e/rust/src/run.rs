// SPDX-License-Identifier: Apache-2.0
//! Runs checks: a line for each, what they complain of, and `N passed, N failed` at the end.

use crate::host;
use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};

thread_local! {
    static COMPLAINT: RefCell<String> = const { RefCell::new(String::new()) };
}

pub struct Run {
    pub wanted: String,
    passed: u32,
    failed: u32,
}

impl Run {
    pub fn check(&mut self, name: &str, check: impl FnOnce()) {
        if !name.contains(&self.wanted) {
            return;
        }
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok(()) => {
                self.passed += 1;
                println!("ok   {name}");
            }
            Err(_) => {
                self.failed += 1;
                println!("FAIL {name}: {}", COMPLAINT.with_borrow(Clone::clone));
            }
        }
    }
}

/// Keeps what a check complains of for its line; other threads say it where they are.
fn catch_complaints() {
    let main = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        // Rows can be long; who needs all of one runs the check alone under a debugger.
        let text: String = info.to_string().chars().take(1_000).collect();
        if std::thread::current().id() == main {
            COMPLAINT.set(text);
        } else {
            println!("in a thread of the SDK: {text}");
        }
    }));
}

/// Publishes the module, runs the checks and ends the process.
pub fn all(checks: fn(&mut Run)) -> ! {
    catch_complaints();
    let mut run = Run { wanted: std::env::args().nth(1).unwrap_or_default(), passed: 0, failed: 0 };
    // What goes wrong between checks ends the run.
    let all = catch_unwind(AssertUnwindSafe(|| {
        host::publish().unwrap_or_else(|error| panic!("publish: {error}"));
        checks(&mut run);
    }));
    if all.is_err() {
        run.failed += 1;
        println!("FAIL between checks: {}", COMPLAINT.with_borrow(Clone::clone));
    }
    println!("{} passed, {} failed", run.passed, run.failed);
    std::process::exit(i32::from(run.failed != 0 || run.passed == 0));
}
