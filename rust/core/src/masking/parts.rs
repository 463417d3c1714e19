//! Values inside of values: the elements, fields and bounds of what PostgreSQL sends in binary format (`array_send`, `record_send`,
//! `range_send`, `multirange_send`).
//!
//! A type of users' own does not say which of them it is, so whatever reads as one of them, to its last byte, is taken for it.

use super::kinds::Kind;
use crate::{ProtocolError, reader::Reader};

/// Shorter ones hold nothing that would need to be taken apart.
pub const SHORTEST: usize = 13;

type Parts<'a> = Vec<(Kind, &'a [u8])>;

/// What a value may be made of.
pub fn parts(value: &[u8]) -> Parts<'_> {
    [array, record, range, multirange]
        .into_iter()
        .filter_map(|read| {
            let mut reader = Reader::new(value);
            read(&mut reader).ok().filter(|_| reader.is_empty())
        })
        .flatten()
        .collect()
}

fn array<'a>(reader: &mut Reader<'a>) -> Result<Parts<'a>, ProtocolError> {
    let dimensions = reader.i32()?;
    if !(1..=6).contains(&dimensions) || reader.u32()? > 1 {
        return Err(ProtocolError::new("no array"));
    }
    let kind = Kind::of_type(reader.u32()?);
    for _ in 0..dimensions {
        reader.bytes(8)?;
    }
    let mut parts = Vec::new();
    while !reader.is_empty() {
        parts.extend(reader.value()?.map(|value| (kind, value)));
    }
    Ok(parts)
}

fn record<'a>(reader: &mut Reader<'a>) -> Result<Parts<'a>, ProtocolError> {
    let mut parts = Vec::new();
    for _ in 0..reader.i32()? {
        let kind = Kind::of_type(reader.u32()?);
        parts.extend(reader.value()?.map(|value| (kind, value)));
    }
    Ok(parts)
}

const EMPTY: u8 = 0x01;
const WITHOUT_LOWER: u8 = 0x08 | 0x20;
const WITHOUT_UPPER: u8 = 0x10 | 0x40;

/// A range's bounds do not say of which type they are.
fn range<'a>(reader: &mut Reader<'a>) -> Result<Parts<'a>, ProtocolError> {
    let flags = reader.u8()?;
    let mut parts = Vec::new();
    for without in [WITHOUT_LOWER, WITHOUT_UPPER] {
        if flags & (EMPTY | without) == 0
            && let Some(bound) = reader.value()?
        {
            parts.extend([Kind::Text, Kind::Int8, Kind::Numeric].map(|kind| (kind, bound)));
        }
    }
    Ok(parts)
}

fn multirange<'a>(reader: &mut Reader<'a>) -> Result<Parts<'a>, ProtocolError> {
    let mut parts = Vec::new();
    for _ in 0..reader.i32()? {
        if let Some(value) = reader.value()? {
            let mut inner = Reader::new(value);
            parts.extend(range(&mut inner)?);
            inner.end()?;
        }
    }
    Ok(parts)
}
