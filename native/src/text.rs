// SPDX-License-Identifier: Apache-2.0
//! Numbers as text, identifiers, case conversion, symbol names.

use crate::border;
use convert_case::{Case, Casing};
use core::ffi::{c_char, c_int};
use core::fmt::Write;

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_format_f64(value: f64, out: *mut c_char) -> usize {
    border::write_prefix(ryu::Buffer::new().format(value).as_bytes(), out, 32)
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_format_f32(value: f32, out: *mut c_char) -> usize {
    border::write_prefix(ryu::Buffer::new().format(value).as_bytes(), out, 32)
}

const IDENTIFIER_OK: c_int = 0;
const IDENTIFIER_EMPTY: c_int = 1;
const IDENTIFIER_NOT_NFC: c_int = 2;
const IDENTIFIER_BAD_START: c_int = 3;
const IDENTIFIER_BAD_CONTINUE: c_int = 4;
const IDENTIFIER_NOT_UTF8: c_int = 5;

fn identifier_fault(name: &str) -> (c_int, Option<char>) {
    let mut chars = name.chars();
    let Some(first) = chars.next() else {
        return (IDENTIFIER_EMPTY, None);
    };
    if !unicode_normalization::is_nfc(name) {
        return (IDENTIFIER_NOT_NFC, None);
    }
    if first != '_' && !unicode_ident::is_xid_start(first) {
        return (IDENTIFIER_BAD_START, Some(first));
    }
    match chars.find(|&c| !unicode_ident::is_xid_continue(c)) {
        Some(bad) => (IDENTIFIER_BAD_CONTINUE, Some(bad)),
        None => (IDENTIFIER_OK, None),
    }
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_identifier_check(
    name: *const c_char,
    len: usize,
    bad_char: *mut c_char,
) -> c_int {
    let Ok(name) = core::str::from_utf8(border::text(name, len)) else {
        border::write_cut("", bad_char, 8);
        return IDENTIFIER_NOT_UTF8;
    };
    let (fault, bad) = identifier_fault(name);
    let mut space = [0; 4];
    border::write_cut(bad.map_or("", |c| c.encode_utf8(&mut space)), bad_char, 8);
    fault
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_case_convert(
    to: c_int,
    name: *const c_char,
    len: usize,
    out: *mut c_char,
    cap: usize,
) -> usize {
    let bytes = border::text(name, len);
    let case = match to {
        0 => Case::Snake,
        1 => Case::Camel,
        2 => Case::Pascal,
        _ => return border::write_prefix(bytes, out, cap),
    };
    match core::str::from_utf8(bytes) {
        Ok(name) => border::write_prefix(name.to_case(case).as_bytes(), out, cap),
        Err(_) => border::write_prefix(bytes, out, cap),
    }
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_demangle(
    name: *const c_char,
    len: usize,
    out: *mut c_char,
    cap: usize,
) -> usize {
    let bytes = border::text(name, len);
    let Ok(name) = core::str::from_utf8(bytes) else {
        return border::write_prefix(bytes, out, cap);
    };
    let mut text = String::new();
    match write!(text, "{:#}", rustc_demangle::demangle(name)) {
        Ok(()) => border::write_prefix(text.as_bytes(), out, cap),
        Err(_) => border::write_prefix(bytes, out, cap),
    }
}
