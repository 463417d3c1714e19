//! Layouts: how identifiers of a fixed form are written, one character of the layout a character of the text.
//!
//! `9` is a digit, `A` a letter, `X` either, `H` a hexadecimal digit; everything else stands for itself. So `999.999.999-99` is how a
//! Brazilian CPF is printed.

/// The longest that a layout may be.
pub const LONGEST: usize = 48;

/// What a layout says, without its separators and in capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compact {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Compact {
    pub fn of(text: &[u8]) -> Self {
        let mut compact = Self {
            bytes: [0; LONGEST],
            length: 0,
        };
        let kept = text.iter().filter(|byte| byte.is_ascii_alphanumeric());
        for (place, byte) in compact.bytes.iter_mut().zip(kept) {
            *place = byte.to_ascii_uppercase();
            compact.length += 1;
        }
        compact
    }

    pub fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// True where a character of a text fits a character of a layout.
pub fn fits(cell: u8, byte: u8) -> bool {
    match cell {
        b'9' => byte.is_ascii_digit(),
        b'A' => byte.is_ascii_alphabetic(),
        b'X' => byte.is_ascii_alphanumeric(),
        b'H' => byte.is_ascii_hexdigit(),
        _ => byte == cell,
    }
}

/// Where a layout that begins at `start` ends.
pub fn end_of(layout: &[u8], text: &[u8], start: usize) -> Option<usize> {
    let end = start + layout.len();
    let written = text.get(start..end)?;
    let all = layout.iter().zip(written).all(|(&cell, &byte)| fits(cell, byte));
    all.then_some(end)
}

/// The characters ahead of a layout's first separator, and that separator.
pub fn first_run(layout: &[u8]) -> (&[u8], Option<u8>) {
    let is_separator = |byte: &u8| !byte.is_ascii_alphanumeric();
    let length = layout.iter().position(is_separator).unwrap_or(layout.len());
    (
        layout.get(..length).unwrap_or_default(),
        layout.get(length).copied(),
    )
}

/// True where a run of a layout may be made of small letters (1), capitals (2) and digits (4), as `kind` says.
pub fn may_be_of(run: &[u8], kind: u8) -> bool {
    let (letters, digits) = (kind & 3 != 0, kind & 4 != 0);
    let needs = |of: fn(u8) -> bool| run.iter().copied().any(of);
    let only_digits = |cell: u8| cell.is_ascii_digit();
    let only_letters = |cell: u8| cell.is_ascii_alphabetic() && cell != b'X' && cell != b'H';
    let either = |cell: u8| cell == b'X' || cell == b'H';
    let letters_fit = letters || !needs(only_letters);
    let digits_fit = digits || !needs(only_digits);
    let all_fit = needs(either) || (letters == needs(only_letters) && digits == needs(only_digits));
    letters_fit && digits_fit && all_fit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_fits_what_is_written_like_it() {
        assert_eq!(end_of(b"99-A", b"x12-bc", 1), Some(5));
        assert_eq!(end_of(b"99-A", b"12-", 0), None);
        assert_eq!(end_of(b"HH:X", b"aF:9", 0), Some(4));
        assert_eq!(end_of(b"HH:X", b"aG:9", 0), None);
    }

    #[test]
    fn what_it_says_is_without_separators_in_capitals() {
        assert_eq!(Compact::of(b"x1234567-l").text(), b"X1234567L");
    }
}
