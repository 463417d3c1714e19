//! The parameters of a Bind as a reviewer sees them. The same as `bound` in Python's `reading`, which is the reference.

use std::fmt::Write as _;

use crate::messages::Bind;

const TEXT_TYPES: [u32; 8] = [0, 18, 19, 25, 114, 705, 1042, 1043];

/// One parameter: exact bytes on the wire (`None` is NULL) and how to show it.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    pub raw: Option<&'a [u8]>,
    pub binary: bool,
    pub type_oid: u32,
    pub shown: String,
}

/// `None` where the Bind is malformed, or holds what is left to the reference to show (floating-point numbers in binary).
pub fn bound<'a>(types: &[u32], bind: &Bind<'a>) -> Option<Vec<Parameter<'a>>> {
    let formats = &bind.formats;
    if formats.len() > 1 && formats.len() != bind.values.len() {
        return None;
    }
    let format_of = |index: usize| match formats.as_slice() {
        [] => 0,
        [one] => *one,
        many => many.get(index).copied().unwrap_or(0),
    };
    bind.values
        .iter()
        .enumerate()
        .map(|(index, &raw)| {
            let (binary, type_oid) = (format_of(index) == 1, types.get(index).copied().unwrap_or(0));
            let shown = match raw {
                None => "NULL".to_owned(),
                Some(value) => show(value, binary, type_oid)?,
            };
            Some(Parameter {
                raw,
                binary,
                type_oid,
                shown,
            })
        })
        .collect()
}

fn show(value: &[u8], binary: bool, type_oid: u32) -> Option<String> {
    if binary && let Some(number) = number(value, type_oid)? {
        return Some(number);
    }
    if (!binary || TEXT_TYPES.contains(&type_oid))
        && let Ok(text) = std::str::from_utf8(value)
    {
        return Some(text.to_owned());
    }
    let mut shown = String::from("\\x");
    shown.push_str(&crate::digest::hex(value));
    let _ = write!(shown, " (binary, type {type_oid})");
    Some(shown)
}

/// A binary number or boolean in words; `None` for what is not shown here, `Some(None)` for anything else.
fn number(value: &[u8], type_oid: u32) -> Option<Option<String>> {
    Some(match (type_oid, value) {
        (16, [byte]) => Some(if *byte != 0 { "True" } else { "False" }.to_owned()),
        (21, &[a, b]) => Some(i16::from_be_bytes([a, b]).to_string()),
        (23, &[a, b, c, d]) => Some(i32::from_be_bytes([a, b, c, d]).to_string()),
        (26, &[a, b, c, d]) => Some(u32::from_be_bytes([a, b, c, d]).to_string()),
        (20, &[a, b, c, d, e, f, g, h]) => Some(i64::from_be_bytes([a, b, c, d, e, f, g, h]).to_string()),
        (700, [_, _, _, _]) | (701, [_, _, _, _, _, _, _, _]) => return None,
        _ => None,
    })
}
