//! Looks into JSON: what a value says is searched, not how it is spelt, and what comes out is JSON again.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};

use super::{Found, Masker};

/// The JSON text with its hits replaced, and a hit for each that was; `None` where there are none.
///
/// Strings (keys too) and numbers are searched each for itself, with escapes resolved. A hit in the text as it stands that no string
/// or number holds alone, as a name and its value do together, masks each of those that it touches. A masked number becomes a string.
pub fn mask(masker: &Masker, text: &[u8]) -> Option<(Vec<u8>, Vec<Found>)> {
    let across = masker.find(text);
    if across.is_empty() && memchr(b'\\', text).is_none() {
        return None;
    }
    let mut candidates = masker.candidates(text);
    let mut out = Vec::new();
    let mut all = Vec::new();
    let mut across = across.into_iter().peekable();
    let mut from = 0;
    for token in (Tokens { text, at: 0 }) {
        let raw = text.get(token.clone()).unwrap_or_default();
        let may_hold = candidates.touch(token.start, token.end) || memchr(b'\\', raw).is_some();
        let value = unquoted(raw);
        let found = if may_hold { masker.find(&value) } else { Vec::new() };
        while across.next_if(|one| one.hit.end <= token.start).is_some() {}
        let touched = across.peek().filter(|one| one.hit.start < token.end);
        let masked = match touched {
            _ if !found.is_empty() => masker.replace(&value, &found),
            Some(hit) => masker.replace_all(&value, hit),
            None => continue,
        };
        out.extend_from_slice(text.get(from..token.start).unwrap_or_default());
        let masked = serde_json::Value::String(String::from_utf8_lossy(&masked).into_owned());
        out.extend_from_slice(masked.to_string().as_bytes());
        from = token.end;
        if found.is_empty() {
            all.extend(touched.copied());
        }
        all.extend(found);
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    (!all.is_empty()).then_some((out, all))
}

/// The places of strings, with their quotes, and of numbers.
struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl Iterator for Tokens<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let rest = self.text.get(self.at..)?;
        let skipped = rest.iter().position(|&byte| byte == b'"' || is_of_number(byte))?;
        let token = rest.get(skipped..)?;
        let length = if token.first() == Some(&b'"') {
            string_length(token)
        } else {
            token.iter().take_while(|&&byte| is_of_number(byte)).count()
        };
        let start = self.at + skipped;
        self.at = start + length;
        Some(start..self.at)
    }
}

/// Any byte that a number may hold, and the letters of `true`, `false` and `null`: together one word, and no JSON has another.
fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// The length of a string with its quotes; up to the end of the text where it has none.
pub fn string_length(token: &[u8]) -> usize {
    let mut at = 1;
    while let Some(next) = memchr2(b'"', b'\\', token.get(at..).unwrap_or_default()) {
        at += next + 1;
        if token.get(at - 1) == Some(&b'"') {
            return at;
        }
        at += 1;
    }
    token.len()
}

/// What a token says. An escape that stands for no character is U+FFFD.
pub fn unquoted(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(inside) = raw.strip_prefix(b"\"") else {
        return Cow::Borrowed(raw);
    };
    let inside = inside.strip_suffix(b"\"").unwrap_or(inside);
    if !inside.contains(&b'\\') {
        return Cow::Borrowed(inside);
    }
    let mut value = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((&byte, behind)) = rest.split_first() {
        if byte != b'\\' {
            value.push(byte);
            rest = behind;
            continue;
        }
        let (character, length) = escaped(behind);
        value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = behind.get(length..).unwrap_or_default();
    }
    Cow::Owned(value)
}

/// The character that stands behind a backslash, and how many bytes it takes there.
fn escaped(behind: &[u8]) -> (char, usize) {
    let simple = match behind.first() {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => return escaped_unicode(behind),
        Some(&other) if other.is_ascii() => char::from(other),
        _ => char::REPLACEMENT_CHARACTER,
    };
    (simple, 1)
}

fn escaped_unicode(behind: &[u8]) -> (char, usize) {
    let Some(high) = hexadecimal(behind) else {
        return (char::REPLACEMENT_CHARACTER, 1);
    };
    let low = behind
        .get(5..)
        .and_then(|next| next.strip_prefix(b"\\"))
        .and_then(hexadecimal);
    if let (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) = (high, low) {
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 11);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 5)
}

/// The number of `uXXXX`.
fn hexadecimal(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"u")?.get(..4)?;
    digits.iter().try_fold(0, |value, &digit| {
        Some(value * 16 + char::from(digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masking::detectors::DETECTORS;
    use proptest::prelude::*;

    fn masker() -> Masker {
        let redact = "{\"redact\":{}}".to_owned();
        let entry = |name: &str| (name.to_owned(), name.to_owned(), redact.clone());
        let detect: Vec<_> = DETECTORS.iter().map(|detector| entry(detector.name)).collect();
        Masker::new(&detect, b"key").unwrap()
    }

    fn masked(text: &str) -> String {
        let out = mask(&masker(), text.as_bytes()).map_or(text.as_bytes().to_vec(), |(out, _)| out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_masked_stays_json() {
        for (text, expected) in [
            (
                r#"{"card": 4242424242424242, "n": 1.5e3}"#,
                r#"{"card": "[redacted]", "n": 1.5e3}"#,
            ),
            (r#"["mail:\nana@example.com"]"#, r#"["mail:\n[redacted]"]"#),
            (r#"{"ana@example.com": null}"#, r#"{"[redacted]": null}"#),
            (
                r#"[1, "-----BEGIN PRIVATE KEY-----\nMIIE"]"#,
                r#"[1, "[redacted]"]"#,
            ),
            (r#"{"a":"x","b":[true,-0.1]}"#, r#"{"a":"x","b":[true,-0.1]}"#),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn an_escape_hides_nothing() {
        for text in [
            r#""ana\u0040example.com""#,
            r#""\u0061na@example.com""#,
            r#""4242\u00204242 4242 4242""#,
            r#""eyJhbGciOiJIUzI1NiJ9\u002eeyJzdWIiOiIxIn0.""#,
        ] {
            assert_eq!(masked(text), r#""[redacted]""#);
        }
    }

    #[test]
    fn a_name_and_its_value_that_are_a_hit_together_are_masked_both() {
        let text = r#"{"aws_secret_access_key":"wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab","x":"y"}"#;
        assert_eq!(masked(text), r#"{"[redacted]":"[redacted]","x":"y"}"#);
    }

    proptest! {
        #[test]
        fn json_stays_json(texts in prop::collection::vec("(\\\\|\"|\n|é|[a-z0-9@. -]|ana@example.com|4242424242424242){0,12}", 1..5)) {
            let text = serde_json::to_string(&texts).unwrap();
            let out = masked(&text);
            let parsed: Vec<String> = serde_json::from_str(&out).unwrap();
            prop_assert_eq!(parsed.len(), texts.len());
            prop_assert!(!out.contains("ana@example.com"));
        }

        #[test]
        fn garbage_never_panics_and_shows_no_hit(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = mask(&masker(), &data);
            let text = [&data[..], b" ana@example.com "].concat();
            let (out, _) = mask(&masker(), &text).unwrap();
            prop_assert!(!out.windows(15).any(|window| window == b"ana@example.com"));
        }
    }
}
