// SPDX-License-Identifier: Apache-2.0
//! JSON text to a flat tape of nodes.
//!
//! serde_json does the parsing, so that accepted texts, limits and messages are its own. While
//! the tape is built, a node's `text` holds an offset into the pool of texts; the offsets become
//! pointers once the pool no longer moves.

use crate::border;
use core::ffi::{c_char, c_int, c_void};
use core::fmt;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NUMBER: u8 = 3;
const STRING: u8 = 4;
const ARRAY: u8 = 5;
const OBJECT: u8 = 6;

#[repr(C)]
pub struct NativeJsonNode {
    text: *const c_char,
    text_len: u32,
    count: u32,
    next: u32,
    kind: u8,
}

#[repr(C)]
pub struct NativeJson {
    nodes: *const NativeJsonNode,
    node_count: u32,
    owner: *mut c_void,
}

#[derive(Default)]
struct Tape {
    nodes: Vec<NativeJsonNode>,
    pool: Vec<u8>,
}

impl Tape {
    /// Appends a node whose text is `text` and returns its index.
    fn push<E: serde::de::Error>(&mut self, kind: u8, text: &str) -> Result<usize, E> {
        let index = self.nodes.len();
        self.nodes.try_reserve(1).map_err(|_| E::custom("out of memory"))?;
        self.pool.try_reserve(text.len()).map_err(|_| E::custom("out of memory"))?;
        self.nodes.push(NativeJsonNode {
            text: self.pool.len() as *const c_char,
            text_len: text.len() as u32,
            count: 0,
            next: index as u32 + 1,
            kind,
        });
        self.pool.extend_from_slice(text.as_bytes());
        Ok(index)
    }

    fn close(&mut self, index: usize, kind: u8, count: u32) {
        let next = self.nodes.len() as u32;
        let node = &mut self.nodes[index];
        node.kind = kind;
        node.count = count;
        node.next = next;
    }

    /// Turns the offsets of the texts into pointers; the pool must not change afterwards.
    fn seal(&mut self) {
        let base: *const u8 = self.pool.as_ptr();
        for node in &mut self.nodes {
            node.text = base.wrapping_add(node.text as usize).cast();
        }
    }
}

/// Appends one value, and all below it.
struct Value<'t>(&'t mut Tape);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.0.push(NULL, "").map(drop)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.0.push(if value { TRUE } else { FALSE }, "").map(drop)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.0.push(NUMBER, itoa::Buffer::new().format(value)).map(drop)
    }

    /// Only numbers with a minus sign come this way, so zero is `-0`.
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        let mut space = itoa::Buffer::new();
        self.0.push(NUMBER, if value == 0 { "-0" } else { space.format(value) }).map(drop)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.0.push(STRING, value).map(drop)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let index = self.0.push(ARRAY, "")?;
        let mut count = 0;
        while from.next_element_seed(Value(self.0))?.is_some() {
            count += 1;
        }
        self.0.close(index, ARRAY, count);
        Ok(())
    }

    /// A number that is no 64-bit integer arrives here too, disguised as a map
    /// (`arbitrary_precision`).
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let index = self.0.push(OBJECT, "")?;
        let mut count = 0;
        while let Some(disguised) = from.next_key_seed(Key(self.0))? {
            if disguised {
                return from.next_value_seed(Number { tape: self.0, index });
            }
            from.next_value_seed(Value(self.0))?;
            count += 1;
        }
        self.0.close(index, OBJECT, count);
        Ok(())
    }
}

/// Appends the key of a member and answers false; or answers true for a disguised number.
///
/// The key of a disguise is told from a member of the same name by how serde_json answers a
/// request for an optional value: it wraps real keys in `some`, the disguise comes bare.
struct Key<'t>(&'t mut Tape);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string key")
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(Value(self.0))?;
        Ok(false)
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, _: &'de str) -> Result<bool, E> {
        Ok(true)
    }
}

/// Turns the node at `index` from an open object into a number.
struct Number<'t> {
    tape: &'t mut Tape,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for Number<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Number<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_str<E: serde::de::Error>(self, digits: &str) -> Result<(), E> {
        self.tape.nodes.truncate(self.index);
        self.tape.push(NUMBER, digits).map(drop)
    }
}

fn parse(text: &[u8]) -> Result<Tape, serde_json::Error> {
    // Every node and every byte of text comes from at least one byte of input.
    if text.len() >= u32::MAX as usize {
        return Err(serde_json::Error::custom("text too long"));
    }
    let mut tape = Tape::default();
    let mut from = serde_json::Deserializer::from_slice(text);
    Value(&mut tape).deserialize(&mut from)?;
    from.end()?;
    tape.seal();
    Ok(tape)
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_json_parse(
    text: *const c_char,
    len: usize,
    out: *mut NativeJson,
    error: *mut c_char,
    error_cap: usize,
) -> c_int {
    match parse(border::text(text, len)) {
        Ok(tape) => {
            let tape = Box::new(tape);
            out.write(NativeJson {
                nodes: tape.nodes.as_ptr(),
                node_count: tape.nodes.len() as u32,
                owner: Box::into_raw(tape).cast(),
            });
            0
        }
        Err(message) => {
            border::write_cut(&message.to_string(), error, error_cap);
            -1
        }
    }
}

/// # Safety
/// See native.h.
#[no_mangle]
pub unsafe extern "C" fn native_json_free(doc: *mut NativeJson) {
    if doc.is_null() || (*doc).owner.is_null() {
        return;
    }
    drop(Box::from_raw((*doc).owner.cast::<Tape>()));
    doc.write(NativeJson { nodes: core::ptr::null(), node_count: 0, owner: core::ptr::null_mut() });
}
