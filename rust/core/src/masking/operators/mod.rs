//! What takes the place of a masked value.
//!
//! An operator is applied to a text here, and to a value of another type in `typed`. What has no masked form that its type can hold
//! becomes NULL; nothing ever stays what it was but by chance within a bucket of `range`.

mod calendar;
mod decimal;
mod ff1;
mod keys;
mod tokens;
mod typed;

use serde_json::Value;

use self::calendar::{UNITS, Unit};
pub use self::{
    decimal::Decimal,
    keys::Keys,
    typed::{as_document, masked, searched, string},
};

pub const REDACTED: &[u8] = b"[redacted]";

/// An operator of a mask rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    Redact,
    Partial { keep_first: usize, keep_last: usize },
    Hash,
    Tokenize,
    Null,
    Range(Range),
}

/// Into which buckets `range` puts numbers, and dates and times; what has no bucket is redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    width: Option<Decimal>,
    to: Option<Unit>,
}

impl Operator {
    /// Reads `{"redact":{}}`, `{"partial":{"keep_first":0,"keep_last":4}}`, `{"hash":{}}`, `{"tokenize":{}}`, `{"null":{}}` or
    /// `{"range":{"width":10,"to":"month"}}`.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("operator {text}: {error}"))?;
        Self::from_value(&value)
    }

    pub fn from_value(value: &Value) -> Result<Self, String> {
        let one = value
            .as_object()
            .filter(|object| object.len() == 1)
            .and_then(|object| object.iter().next());
        let Some((name, options)) = one else {
            return Err(format!("operator {value}: one name expected"));
        };
        match name.as_str() {
            "redact" => Ok(Self::Redact),
            "hash" => Ok(Self::Hash),
            "tokenize" => Ok(Self::Tokenize),
            "null" => Ok(Self::Null),
            "partial" => Ok(Self::Partial {
                keep_first: number(options, "keep_first")?,
                keep_last: number(options, "keep_last")?,
            }),
            "range" => Range::from_value(options).map(Self::Range),
            other => Err(format!("unknown operator {other:?}")),
        }
    }

    /// What takes the place of a text; `None` is NULL.
    pub fn apply(&self, value: &[u8], keys: &Keys) -> Option<Vec<u8>> {
        match self {
            Self::Redact => Some(REDACTED.to_vec()),
            Self::Partial {
                keep_first,
                keep_last,
            } => Some(partial(value, *keep_first, *keep_last)),
            Self::Hash => Some(hash(value, keys)),
            Self::Tokenize => Some(tokens::text(value, keys).unwrap_or_else(|| hash(value, keys))),
            Self::Null => None,
            Self::Range(range) => Some(range.text(value).map_or(REDACTED.to_vec(), String::into_bytes)),
        }
    }
}

impl Range {
    fn from_value(options: &Value) -> Result<Self, String> {
        let width = match options.get("width") {
            None => None,
            Some(width) => {
                let number = width
                    .as_number()
                    .and_then(|width| Decimal::from_text(&width.to_string()));
                Some(
                    number
                        .filter(Decimal::is_positive)
                        .ok_or("width must be a number above 0")?,
                )
            }
        };
        let unit = |name: &Value| UNITS.iter().find(|(known, _)| name.as_str() == Some(known));
        let to = match options.get("to") {
            None => None,
            Some(name) => Some(unit(name).ok_or("to must be a unit of time")?.1),
        };
        if width.is_none() && to.is_none() {
            return Err("range needs width or to".to_owned());
        }
        Ok(Self { width, to })
    }

    fn text(&self, value: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(value).ok()?;
        if let (Some(width), Some(number)) = (&self.width, Decimal::from_text(text)) {
            return Some(number.bucket(width)?.text(usize::MAX));
        }
        let to = self.to?;
        if let Some(day) = calendar::read_day(text) {
            return (to > Unit::Day).then(|| calendar::write_day(to.of_day(day)));
        }
        let (us, offset_s) = calendar::read_instant(text)?;
        Some(calendar::write_instant(to.of_instant(us)?, offset_s))
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

/// Keeps the first and last letters and digits and every separator; never more than half of the letters and digits, and nothing at
/// all of a text that has more separators than them.
fn partial(value: &[u8], keep_first: usize, keep_last: usize) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(value) else {
        return REDACTED.to_vec();
    };
    let total = text.chars().filter(|letter| letter.is_alphanumeric()).count();
    let separators = text
        .chars()
        .filter(|character| tokens::is_separator(*character))
        .count();
    if total == 0 || separators > total {
        return REDACTED.to_vec();
    }
    let keep_last = keep_last.min(total / 2);
    let keep_first = keep_first.min((total / 2).saturating_sub(keep_last));
    let mut seen = 0;
    let masked: String = text
        .chars()
        .map(|letter| {
            if !letter.is_alphanumeric() {
                // What is neither may be all that a text says: a symbol, a mark upon a letter.
                return if tokens::is_separator(letter) { letter } else { '*' };
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
fn hash(value: &[u8], keys: &Keys) -> Vec<u8> {
    let digest = keys.digest(&[value]);
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("h_{hex}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &str) -> Keys {
        Keys::new(secret.as_bytes()).unwrap()
    }

    fn applied(operator: &str, value: &str) -> String {
        let operator = Operator::from_json(operator).unwrap();
        String::from_utf8(operator.apply(value.as_bytes(), &keys("k")).unwrap()).unwrap()
    }

    #[test]
    fn partial_keeps_separators_and_never_more_than_half() {
        assert_eq!(partial(b"123-45-6789", 0, 4), b"***-**-6789");
        assert_eq!(partial(b"ab", 0, 4), b"*b");
        assert_eq!(partial(b"abcd", 4, 4), b"**cd");
        assert_eq!(partial("e\u{301}a🔑b".as_bytes(), 0, 1), b"****b");
    }

    #[test]
    fn partial_keeps_nothing_of_what_is_hardly_letters_and_digits() {
        for text in [&b"\xff\xfe"[..], b"", b"-", b"***", b"$%^&x", "🔑".as_bytes()] {
            assert_eq!(partial(text, 1, 4), REDACTED);
        }
    }

    #[test]
    fn hash_is_steady_for_one_key_and_another_for_another() {
        assert_eq!(hash(b"a", &keys("k")), hash(b"a", &keys("k")));
        assert_ne!(hash(b"a", &keys("k")), hash(b"a", &keys("l")));
        assert_ne!(hash(b"a", &keys("k")), hash(b"b", &keys("k")));
    }

    #[test]
    fn what_has_no_token_has_a_hash() {
        assert!(applied("{\"tokenize\":{}}", "---").starts_with("h_"));
        assert_ne!(
            applied("{\"tokenize\":{}}", "---"),
            applied("{\"tokenize\":{}}", "--")
        );
        assert_eq!(applied("{\"tokenize\":{}}", "a-1").len(), 3);
    }

    #[test]
    fn range_is_for_numbers_and_dates() {
        let both = r#"{"range":{"width":10,"to":"month"}}"#;
        for (text, expected) in [
            ("47", "40"),
            ("-47.5", "-50"),
            ("2024-05-17", "2024-05-01"),
            ("2024-05-17 10:11:12+02", "2024-05-01 02:00:00+02"),
            ("forty", "[redacted]"),
            ("", "[redacted]"),
            ("17.05.2024", "[redacted]"),
        ] {
            assert_eq!(applied(both, text), expected);
        }
        assert_eq!(applied(r#"{"range":{"to":"day"}}"#, "2024-05-17"), "[redacted]");
        assert_eq!(applied(r#"{"range":{"width":1}}"#, "5"), "[redacted]");
    }

    #[test]
    fn an_operator_that_is_not_known_is_refused() {
        for text in [
            "{}",
            "[]",
            "{\"drop\":{}}",
            "{\"partial\":{\"keep_last\":-1}}",
            "{\"range\":{}}",
            "{\"range\":{\"width\":0}}",
            "{\"range\":{\"width\":-1}}",
            "{\"range\":{\"width\":\"10\"}}",
            "{\"range\":{\"to\":\"moon\"}}",
            "no",
        ] {
            assert!(Operator::from_json(text).is_err());
        }
    }
}
