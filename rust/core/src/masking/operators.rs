//! What takes the place of a masked value.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

pub const REDACTED: &[u8] = b"[redacted]";

/// An operator of a mask rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    Redact,
    Partial { keep_first: usize, keep_last: usize },
    Hash,
    Null,
}

impl Operator {
    /// Reads `{"redact":{}}`, `{"partial":{"keep_first":0,"keep_last":4}}`, `{"hash":{}}` or `{"null":{}}`.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("operator {text}: {error}"))?;
        let one = value
            .as_object()
            .filter(|object| object.len() == 1)
            .and_then(|object| object.iter().next());
        let Some((name, options)) = one else {
            return Err(format!("operator {text}: one name expected"));
        };
        match name.as_str() {
            "redact" => Ok(Self::Redact),
            "hash" => Ok(Self::Hash),
            "null" => Ok(Self::Null),
            "partial" => Ok(Self::Partial {
                keep_first: number(options, "keep_first")?,
                keep_last: number(options, "keep_last")?,
            }),
            other => Err(format!("unknown operator {other:?}")),
        }
    }

    /// The masked value; `None` is NULL.
    pub fn apply(&self, value: &[u8], hash_key: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Redact => Some(REDACTED.to_vec()),
            Self::Partial {
                keep_first,
                keep_last,
            } => Some(partial(value, *keep_first, *keep_last)),
            Self::Hash => Some(hash(value, hash_key)),
            Self::Null => None,
        }
    }
}

fn number(options: &Value, name: &str) -> Result<usize, String> {
    match options.get(name) {
        None => Ok(0),
        Some(value) => value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| format!("{name} must be a whole number")),
    }
}

/// Keeps the first and last letters and digits and every separator; never more than half of the letters and digits.
fn partial(value: &[u8], keep_first: usize, keep_last: usize) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(value) else {
        return REDACTED.to_vec();
    };
    let total = text.chars().filter(|letter| letter.is_alphanumeric()).count();
    let keep_last = keep_last.min(total / 2);
    let keep_first = keep_first.min((total / 2).saturating_sub(keep_last));
    let mut seen = 0;
    let masked: String = text
        .chars()
        .map(|letter| {
            if !letter.is_alphanumeric() {
                return letter;
            }
            seen += 1;
            if seen <= keep_first || seen > total - keep_last {
                letter
            } else {
                '*'
            }
        })
        .collect();
    masked.into_bytes()
}

/// Equal values stay equal, so joins and group-bys on the masked answer still make sense.
fn hash(value: &[u8], key: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return REDACTED.to_vec();
    };
    mac.update(value);
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("h_{hex}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_keeps_separators_and_never_more_than_half() {
        assert_eq!(partial(b"123-45-6789", 0, 4), b"***-**-6789");
        assert_eq!(partial(b"ab", 0, 4), b"*b");
        assert_eq!(partial(b"abcd", 4, 4), b"**cd");
        assert_eq!(partial(b"\xff\xfe", 0, 4), REDACTED);
    }

    #[test]
    fn hash_is_steady_for_one_key_and_another_for_another() {
        assert_eq!(hash(b"a", b"k"), hash(b"a", b"k"));
        assert_ne!(hash(b"a", b"k"), hash(b"a", b"l"));
        assert_ne!(hash(b"a", b"k"), hash(b"b", b"k"));
    }

    #[test]
    fn an_operator_that_is_not_known_is_refused() {
        for text in [
            "{}",
            "[]",
            "{\"drop\":{}}",
            "{\"partial\":{\"keep_last\":-1}}",
            "no",
        ] {
            assert!(Operator::from_json(text).is_err());
        }
    }
}
