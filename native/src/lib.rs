// SPDX-License-Identifier: Apache-2.0
//! The Rust side of `native.h`, and Wasmtime's C API in the same archive: one static library,
//! because two would each bring a Rust runtime.
//!
//! Panics abort the process, so nothing here may panic on any input.

mod backtrace;
mod border;
mod hash;
mod http;
mod json;
mod jwt;
mod text;

pub use wasmtime_c_api::*;
