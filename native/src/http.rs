// SPDX-License-Identifier: Apache-2.0
//! HTTP/1 request and response heads.

use crate::border;
use core::ffi::c_char;
use core::mem::MaybeUninit;
use httparse::{Error, Header, Request, Response, Status};

const HEADERS_MAX: usize = 400;
const MALFORMED: isize = -1;
const TOO_MANY_HEADERS: isize = -2;

#[repr(C)]
pub struct NativeHttpHeader {
    name: *const c_char,
    value: *const c_char,
    name_len: u32,
    value_len: u32,
}

#[repr(C)]
pub struct NativeHttpRequest {
    method: *const c_char,
    target: *const c_char,
    method_len: u32,
    target_len: u32,
    header_count: u32,
    minor_version: u8,
    headers: [NativeHttpHeader; HEADERS_MAX],
}

#[repr(C)]
pub struct NativeHttpResponse {
    status: u32,
    header_count: u32,
    minor_version: u8,
    headers: [NativeHttpHeader; HEADERS_MAX],
}

fn fault(error: Error) -> isize {
    match error {
        Error::TooManyHeaders => TOO_MANY_HEADERS,
        _ => MALFORMED,
    }
}

unsafe fn copy_headers(from: &[Header], to: *mut NativeHttpHeader) -> u32 {
    for (index, header) in from.iter().enumerate() {
        to.add(index).write(NativeHttpHeader {
            name: header.name.as_ptr().cast(),
            value: header.value.as_ptr().cast(),
            name_len: header.name.len() as u32,
            value_len: header.value.len() as u32,
        });
    }
    from.len() as u32
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_http_parse_request(
    data: *const c_char,
    len: usize,
    out: *mut NativeHttpRequest,
) -> isize {
    if len > u32::MAX as usize {
        return MALFORMED;
    }
    let mut space = [const { MaybeUninit::<Header>::uninit() }; HEADERS_MAX];
    let mut head = Request::new(&mut []);
    let used = match head.parse_with_uninit_headers(border::text(data, len), &mut space) {
        Ok(Status::Complete(used)) => used,
        Ok(Status::Partial) => return 0,
        Err(error) => return fault(error),
    };
    let method = head.method.unwrap_or("");
    let target = head.path.unwrap_or("");
    (*out).method = method.as_ptr().cast();
    (*out).method_len = method.len() as u32;
    (*out).target = target.as_ptr().cast();
    (*out).target_len = target.len() as u32;
    (*out).minor_version = head.version.unwrap_or(0);
    (*out).header_count = copy_headers(head.headers, (&raw mut (*out).headers).cast());
    used as isize
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_http_parse_response(
    data: *const c_char,
    len: usize,
    out: *mut NativeHttpResponse,
) -> isize {
    if len > u32::MAX as usize {
        return MALFORMED;
    }
    let mut space = [const { MaybeUninit::<Header>::uninit() }; HEADERS_MAX];
    let mut head = Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parsed =
        config.parse_response_with_uninit_headers(&mut head, border::text(data, len), &mut space);
    let used = match parsed {
        Ok(Status::Complete(used)) => used,
        Ok(Status::Partial) => return 0,
        Err(error) => return fault(error),
    };
    (*out).status = u32::from(head.code.unwrap_or(0));
    (*out).minor_version = head.version.unwrap_or(0);
    (*out).header_count = copy_headers(head.headers, (&raw mut (*out).headers).cast());
    used as isize
}
