// SPDX-License-Identifier: Apache-2.0
//! Helpers for crossing between C pointers and Rust slices.

use core::ffi::{c_char, c_void};

/// The bytes at `data`; an empty slice when `len` is 0 (then `data` may be null).
///
/// # Safety
/// `data` must be readable for `len` bytes for as long as the slice is used.
pub unsafe fn bytes<'a>(data: *const c_void, len: usize) -> &'a [u8] {
    if len == 0 || data.is_null() {
        return &[];
    }
    core::slice::from_raw_parts(data.cast(), len)
}

/// Like `bytes`, for text pointers.
///
/// # Safety
/// As `bytes`.
pub unsafe fn text<'a>(data: *const c_char, len: usize) -> &'a [u8] {
    bytes(data.cast(), len)
}

/// Writes `text` terminated, cut at a character boundary so that it fits into `cap` bytes.
///
/// # Safety
/// `out` must be writable for `cap` bytes.
pub unsafe fn write_cut(text: &str, out: *mut c_char, cap: usize) {
    if out.is_null() || cap == 0 {
        return;
    }
    let mut len = text.len().min(cap - 1);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    core::ptr::copy_nonoverlapping(text.as_ptr(), out.cast(), len);
    *out.add(len) = 0;
}

/// Writes as much of `text` as fits, without a terminator, and returns its whole length.
///
/// # Safety
/// `out` must be writable for `cap` bytes.
pub unsafe fn write_prefix(text: &[u8], out: *mut c_char, cap: usize) -> usize {
    if !out.is_null() {
        core::ptr::copy_nonoverlapping(text.as_ptr(), out.cast(), text.len().min(cap));
    }
    text.len()
}
