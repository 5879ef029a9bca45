// SPDX-License-Identifier: Apache-2.0
//! Hashes and checksums.

use crate::border;
use core::ffi::c_void;
use sha3::{Digest, Keccak256};

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_blake3(data: *const c_void, len: usize, out: *mut u8) {
    let hash = blake3::hash(border::bytes(data, len));
    core::ptr::copy_nonoverlapping(hash.as_bytes().as_ptr(), out, 32);
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_keccak256(data: *const c_void, len: usize, out: *mut u8) {
    let hash = Keccak256::digest(border::bytes(data, len));
    core::ptr::copy_nonoverlapping(hash.as_ptr(), out, 32);
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_crc32c(crc: u32, data: *const c_void, len: usize) -> u32 {
    crc32c::crc32c_append(crc, border::bytes(data, len))
}
