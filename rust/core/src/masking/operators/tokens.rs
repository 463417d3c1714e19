//! `tokenize`: another value of the same form, the same one every time, and different ones for different values.

use super::{Keys, ff1};

/// One character, byte or bit: which of how many it is.
#[derive(Debug, Clone, Copy)]
pub struct Symbol {
    pub rank: u32,
    pub radix: u32,
}

/// Characters of one alphabet, in order. What is of none is neither kept nor replaced: such a text gets a hash.
const ALPHABETS: &[(char, char)] = &[
    ('0', '9'),
    ('A', 'Z'),
    ('a', 'z'),
    ('À', 'Ö'),
    ('Ø', 'Þ'),
    ('ß', 'ö'),
    ('ø', 'ÿ'),
    ('Α', 'Ρ'),
    ('Σ', 'Ω'),
    ('α', 'ω'),
    ('А', 'Я'),
    ('а', 'я'),
    ('א', 'ת'),
    ('٠', '٩'),
    ('ぁ', 'ゖ'),
    ('ァ', 'ヺ'),
    ('一', '\u{9fff}'),
    ('가', '힣'),
];

/// True for what stands between letters and digits and says nothing by itself.
pub fn is_separator(character: char) -> bool {
    character.is_ascii() && !character.is_ascii_alphanumeric()
        || matches!(character, '\u{a0}' | '–' | '—' | '’' | '…')
}

/// The text with every letter and digit replaced by one of the same alphabet; `None` where it holds other characters than letters and
/// digits of these alphabets and separators, or more separators than them.
pub fn text(value: &[u8], keys: &Keys) -> Option<Vec<u8>> {
    let value = std::str::from_utf8(value).ok()?;
    let mut symbols = Vec::with_capacity(value.len());
    let mut form = b"\0text".to_vec();
    for character in value.chars() {
        if let Some(alphabet) = alphabet_of(character) {
            let (first, last) = ALPHABETS.get(alphabet).copied()?;
            let (rank, radix) = (character as u32 - first as u32, last as u32 - first as u32 + 1);
            symbols.push(Symbol { rank, radix });
            form.extend([0, u8::try_from(alphabet).ok()?]);
        } else if is_separator(character) {
            form.extend(u32::from(character).to_be_bytes());
        } else {
            return None;
        }
    }
    if symbols.is_empty() || value.chars().count() > 2 * symbols.len() {
        return None;
    }
    replace(&mut symbols, &form, keys)?;
    let mut next = symbols.into_iter();
    let replaced = value.chars().map(|character| match alphabet_of(character) {
        None => Some(character),
        Some(alphabet) => char::from_u32(ALPHABETS.get(alphabet)?.0 as u32 + next.next()?.rank),
    });
    Some(replaced.collect::<Option<String>>()?.into_bytes())
}

fn alphabet_of(character: char) -> Option<usize> {
    ALPHABETS
        .iter()
        .position(|(first, last)| (*first..=*last).contains(&character))
}

/// Bytes of the same length.
pub fn bytes(value: &[u8], keys: &Keys) -> Option<Vec<u8>> {
    let mut symbols: Vec<_> = value
        .iter()
        .map(|&byte| Symbol {
            rank: byte.into(),
            radix: 256,
        })
        .collect();
    replace(&mut symbols, b"\0bytea", keys)?;
    symbols
        .into_iter()
        .map(|symbol| u8::try_from(symbol.rank).ok())
        .collect()
}

/// Bits, as many.
pub fn bits(value: &[u8], keys: &Keys) -> Option<Vec<u8>> {
    let mut symbols: Vec<_> = value
        .iter()
        .map(|&bit| Symbol {
            rank: bit.into(),
            radix: 2,
        })
        .collect();
    replace(
        &mut symbols,
        &[b"\0bits", &value.len().to_be_bytes()[..]].concat(),
        keys,
    )?;
    symbols
        .into_iter()
        .map(|symbol| u8::try_from(symbol.rank).ok())
        .collect()
}

/// A number of `first..=last`; `form` says what else it has in common with those that it shall differ from.
pub fn number(number: u128, (first, last): (u128, u128), form: &[&[u8]], keys: &Keys) -> Option<u128> {
    let tweak = tweak(keys, form);
    let rank = number.checked_sub(first)?;
    ff1::token(keys.cipher(), &tweak, rank, last.checked_sub(first)?)?.checked_add(first)
}

fn tweak(keys: &Keys, form: &[&[u8]]) -> [u8; 16] {
    let digest = keys.digest(form);
    let mut tweak = [0; 16];
    tweak.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    tweak
}

/// Bits in thousandths that a number of symbols together may have, with room for rounding up.
const BLOCK: u64 = 125_000;

/// Replace symbols block by block. What stands ahead of a block chooses how it is replaced, so that equal blocks do not show, and
/// still no two values become one. `None` where there are too few values of this form.
fn replace(symbols: &mut [Symbol], form: &[u8], keys: &Keys) -> Option<()> {
    let mut tweak = tweak(keys, &[form]);
    let mut left: u64 = symbols.iter().map(|symbol| weight(symbol.radix)).sum();
    let mut rest = symbols;
    while !rest.is_empty() {
        // The last two share what is left, so that none is short.
        let most = if left <= BLOCK {
            BLOCK
        } else {
            (left / 2).min(BLOCK)
        };
        let (count, taken) = fitting(rest, most);
        let (block, behind) = rest.split_at_mut_checked(count.max(1))?;
        let plain: Vec<u8> = block
            .iter()
            .flat_map(|symbol| symbol.rank.to_be_bytes())
            .collect();
        replace_block(block, &tweak, keys)?;
        tweak = self::tweak(keys, &[b"\0block", &tweak, &plain]);
        (rest, left) = (behind, left.saturating_sub(taken));
    }
    Some(())
}

fn weight(radix: u32) -> u64 {
    match radix {
        10 => 3322,
        26 => 4701,
        _ => (f64::from(radix).log2() * 1000.0).ceil() as u64,
    }
}

fn fitting(symbols: &[Symbol], most: u64) -> (usize, u64) {
    let (mut count, mut taken) = (0, 0);
    for symbol in symbols {
        let with = taken + weight(symbol.radix);
        if with > most {
            break;
        }
        (count, taken) = (count + 1, with);
    }
    (count, taken)
}

fn replace_block(block: &mut [Symbol], tweak: &[u8; 16], keys: &Keys) -> Option<()> {
    let (mut number, mut size) = (0u128, 1u128);
    for symbol in block.iter() {
        number = number
            .checked_mul(symbol.radix.into())?
            .checked_add(symbol.rank.into())?;
        size = size.checked_mul(symbol.radix.into())?;
    }
    let mut token = ff1::token(keys.cipher(), tweak, number, size - 1)?;
    for symbol in block.iter_mut().rev() {
        symbol.rank = u32::try_from(token % u128::from(symbol.radix)).ok()?;
        token /= u128::from(symbol.radix);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn keys() -> Keys {
        Keys::new(b"key").unwrap()
    }

    fn token(value: &str) -> Option<String> {
        text(value.as_bytes(), &keys()).map(|token| String::from_utf8(token).unwrap())
    }

    fn form(text: &str) -> Vec<(usize, Option<char>)> {
        let of = |character| match alphabet_of(character) {
            Some(alphabet) => (alphabet, None),
            None => (99, Some(character)),
        };
        text.chars().map(of).collect()
    }

    #[test]
    fn letters_digits_and_separators_stay_what_they_are() {
        for value in [
            "4242 4242 4242 4242",
            "AB-1234",
            "José Ñandú",
            "x@example.com",
            "Łódź-ok",
            "A",
            "7",
            "東京都",
        ] {
            let Some(token) = token(value) else {
                assert_eq!(value, "Łódź-ok");
                continue;
            };
            assert_ne!(token, value);
            assert_eq!(form(&token), form(value));
        }
    }

    #[test]
    fn what_has_no_token_has_none() {
        for value in ["", "---", "e\u{301}", "🔑key", "((((((x", "ab\u{200b}c"] {
            assert_eq!(token(value), None, "{value:?}");
        }
        assert_eq!(text(b"\xff", &keys()), None);
        assert_eq!(bytes(b"", &keys()), Some(Vec::new()));
    }

    #[test]
    fn all_of_a_small_form_stay_apart() {
        let tokens: HashSet<_> = (0..1000)
            .map(|number| token(&format!("{number:03}-A")).unwrap())
            .collect();
        assert_eq!(tokens.len(), 1000);
        let tokens: HashSet<_> = (0..1000u32)
            .map(|number| bytes(&number.to_be_bytes(), &keys()).unwrap())
            .collect();
        assert_eq!(tokens.len(), 1000);
    }

    #[test]
    fn equal_parts_of_a_long_value_do_not_show() {
        let token = token(&"0123456789".repeat(50)).unwrap();
        let parts: HashSet<_> = token.as_bytes().chunks(10).collect();
        assert!(parts.len() > 40);
    }

    proptest! {
        #[test]
        fn a_token_has_the_form_of_its_value_and_is_another(value in "[0-9A-Za-zé –.-]{1,90}", other in "[0-9]{1,90}") {
            if let Some(token) = token(&value) {
                prop_assert_ne!(&token, &value);
                prop_assert_eq!(form(&token), form(&value));
                prop_assert_eq!(super::tests::token(&value), Some(token));
            }
            let mut next = other.clone().into_bytes();
            let last = next.pop().unwrap();
            next.push(if last == b'9' { b'0' } else { last + 1 });
            prop_assert_ne!(token(&other), token(std::str::from_utf8(&next).unwrap()));
        }

        #[test]
        fn garbage_never_panics(value in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = text(&value, &keys());
            let token = bytes(&value, &keys()).unwrap();
            prop_assert_eq!(token.len(), value.len());
            prop_assert!(value.is_empty() || token != value);
        }
    }
}
