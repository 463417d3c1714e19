//! The shape of a SQL text: the text with its plain constants left out, so that what was learned of one text holds for all of its shape.
//!
//! Two texts of one shape have the same tokens but for the values of integer and plain string constants. Whatever could change that
//! (prefixed, escaped and dollar-quoted strings, names with escapes, comments, long or odd numbers, positions behind BY) keeps the text as
//! it is.

use std::ops::Range;

const LONGEST: usize = 8 << 10;
/// Integers of this many digits are always ICONST to the grammar, never FCONST.
const DIGITS: usize = 9;

/// A key that is equal for texts of one shape. Assumes UTF-8 and `standard_conforming_strings = on`.
pub fn shape(sql: &[u8]) -> Vec<u8> {
    match normalized(sql, |_| ()) {
        Some(key) => key,
        None => [b"=", sql].concat(),
    }
}

/// Where the constants are that a shape leaves out, strings with their quotes; `None` where it leaves nothing out because the text could be
/// read in another way.
pub fn constants(sql: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut found = Vec::new();
    normalized(sql, |range| found.push(range))?;
    Some(found)
}

fn normalized(sql: &[u8], mut left_out: impl FnMut(Range<usize>)) -> Option<Vec<u8>> {
    if sql.len() > LONGEST || !is_query(sql) {
        return None;
    }
    let mut key = Vec::with_capacity(sql.len() + 1);
    key.push(b'~');
    let mut at = 0;
    let mut positions = false;
    while let Some(&byte) = sql.get(at) {
        let before = key.last().copied().unwrap_or(b' ');
        let rest = sql.get(at..).unwrap_or_default();
        let length = match byte {
            b'\'' => {
                if is_word(before) || before == b'&' {
                    return None;
                }
                let length = string(rest)?;
                key.extend_from_slice(b"'\x01'");
                left_out(at..at + length);
                at += length;
                continue;
            }
            b'"' if before == b'&' => return None, // UESCAPE, a constant further on, may decide what the name is
            b'"' => 1 + rest.iter().skip(1).position(|&byte| byte == b'"')? + 1,
            b'$' if !rest.get(1).is_some_and(u8::is_ascii_digit) => return None,
            b'-' if rest.get(1) == Some(&b'-') => return None,
            b'/' if rest.get(1) == Some(&b'*') => return None,
            b'\\' => return None,
            b'0'..=b'9' => {
                let length = rest
                    .iter()
                    .take_while(|&&byte| is_word(byte) || byte == b'.')
                    .count();
                let number = rest.get(..length).unwrap_or_default();
                let plain = number.len() <= DIGITS && number.iter().all(u8::is_ascii_digit);
                if plain && !positions && !is_word(before) && before != b'.' {
                    key.push(1);
                    left_out(at..at + length);
                    at += length;
                    continue;
                }
                length
            }
            _ if is_word(byte) => {
                let length = rest.iter().take_while(|&&byte| is_word(byte)).count();
                positions |= rest
                    .get(..length)
                    .is_some_and(|word| word.eq_ignore_ascii_case(b"by"));
                length
            }
            _ => 1,
        };
        key.extend_from_slice(rest.get(..length).unwrap_or_default());
        at += length;
    }
    Some(key)
}

/// The statements whose reading never hangs on a constant.
fn is_query(sql: &[u8]) -> bool {
    let word: Vec<u8> = sql
        .trim_ascii_start()
        .iter()
        .take(7)
        .take_while(|byte| byte.is_ascii_alphabetic())
        .map(u8::to_ascii_lowercase)
        .collect();
    [
        &b"select"[..],
        b"insert",
        b"update",
        b"delete",
        b"with",
        b"values",
    ]
    .contains(&word.as_slice())
}

/// The length of a plain string constant with its quotes; `None` where it does not end or holds a backslash.
fn string(rest: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match (rest.get(at)?, rest.get(at + 1)) {
            (b'\'', Some(b'\'')) => at += 2,
            (b'\'', _) => return Some(at + 1),
            (b'\\', _) => return None,
            _ => at += 1,
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn constants_do_not_matter() {
        let one = shape(b"SELECT a FROM t WHERE id = 12 AND name = 'it''s' LIMIT 3");
        let two = shape(b"SELECT a FROM t WHERE id = 7 AND name = '' LIMIT 999999999");
        assert_eq!(one, two);
    }

    #[test]
    fn what_could_be_read_in_another_way_stays_as_it_is() {
        for (one, two) in [
            ("SELECT E'a'", "SELECT E'b'"),
            ("SELECT U&'a'", "SELECT U&'b'"),
            ("SELECT U&\"!0061\" UESCAPE '!'", "SELECT U&\"!0061\" UESCAPE '?'"),
            ("SELECT 'a\\'", "SELECT 'b\\'"),
            ("SELECT $$a$$", "SELECT $$b$$"),
            ("SELECT 1 -- a", "SELECT 2 -- a"),
            ("SELECT /* */ 1", "SELECT /* */ 2"),
            ("SELECT 1234567890", "SELECT 1234567891"),
            ("SELECT 1.5", "SELECT 2.5"),
            ("SELECT 0x1f", "SELECT 0x2f"),
            ("SELECT $1", "SELECT $2"),
            ("SELECT a1", "SELECT a2"),
            ("SELECT \"a 1\"", "SELECT \"a 2\""),
            ("SELECT a, b FROM t ORDER BY 1", "SELECT a, b FROM t ORDER BY 2"),
            ("SET x = 1", "SET x = 2"),
            ("COPY t TO 'a'", "COPY t TO 'b'"),
            ("DO 'a'", "DO 'b'"),
            ("SELECT b'1'", "SELECT b'0'"),
            ("SELECT 'a' 'b", "SELECT 'a' 'c"),
        ] {
            assert_ne!(shape(one.as_bytes()), shape(two.as_bytes()), "{one}");
        }
    }

    #[test]
    fn constants_are_where_they_stand() {
        let sql = b"UPDATE t SET a = 'it''s', b2 = 7 WHERE c = '' ORDER BY 1";
        let found = constants(sql).unwrap_or_default();
        let texts: Vec<&[u8]> = found.into_iter().map(|range| &sql[range]).collect();
        assert_eq!(texts, [&b"'it''s'"[..], b"7", b"''"]);
        assert_eq!(constants(b"SELECT E'a'"), None);
        assert_eq!(constants(b"DROP TABLE t"), None);
    }

    #[test]
    fn a_string_is_not_confused_with_what_follows_it() {
        assert_ne!(shape(b"SELECT 'a' FROM t"), shape(b"SELECT 'a FROM t'"));
        assert_ne!(shape(b"SELECT '' || ''"), shape(b"SELECT ''' || '"));
    }

    proptest! {
        #[test]
        fn every_byte_outside_constants_is_kept(text in "[ a-z,.()=*;]{0,40}") {
            let sql = format!("select {text}");
            let key = shape(sql.as_bytes());
            prop_assert_eq!(&key[1..], sql.as_bytes());
        }

        #[test]
        fn no_input_panics(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = shape(&data);
            let _ = shape(&[b"select ".as_slice(), &data].concat());
        }
    }
}
