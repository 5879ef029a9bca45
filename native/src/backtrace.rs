// SPDX-License-Identifier: Apache-2.0
//! The guest's stack, for the records of panics: the C API shows a stack only once a trap has unwound it.

use core::ffi::{c_char, c_void};
use wasmtime::WasmBacktrace;
use wasmtime_c_api::WasmtimeStoreContextMut;

/// # Safety
/// `store` must be the context of a store whose guest has called the host function that calls this.
#[no_mangle]
pub unsafe extern "C" fn native_wasm_backtrace(
    store: WasmtimeStoreContextMut<'_>,
    frame: extern "C" fn(*mut c_void, *const c_char, usize),
    context: *mut c_void,
) {
    for f in WasmBacktrace::force_capture(store).frames() {
        let name = f.func_name().unwrap_or("");
        frame(context, name.as_ptr().cast(), name.len());
    }
}
