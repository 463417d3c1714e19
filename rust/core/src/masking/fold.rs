//! Characters that stand for ASCII: digits of other scripts, full-width letters, dashes and spaces of all kinds; and characters that
//! show as nothing and only stand between others. Folded away, they hide nothing from a pattern.

/// How much of a long text is folded at once, and how much of what stands around it with it: no hit that needs folding is longer.
const PIECE: usize = 1 << 16;
const AROUND: usize = 1 << 10;

/// The zero of each script's decimal digits (Unicode, general category Nd), but for ASCII and full width.
const ZEROS: [u32; 22] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1b50,
];

/// What a character is to a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    As(u8),
    Nothing,
}

/// How a character that begins with a byte of no ASCII folds, and its length.
fn folded(text: &[u8]) -> Option<(Fold, usize)> {
    let (code, length) = character(text)?;
    Some((fold(code)?, length))
}

fn fold(code: u32) -> Option<Fold> {
    let ascii = match code {
        0xad
        | 0x34f
        | 0x61c
        | 0x180e
        | 0x200b..=0x200f
        | 0x202a..=0x202e
        | 0x2060..=0x2064
        | 0x2066..=0x206f
        | 0xfe00..=0xfe0f
        | 0xfeff => return Some(Fold::Nothing),
        0xa0 | 0x2000..=0x200a | 0x202f | 0x205f | 0x3000 => u32::from(b' '),
        0x2010..=0x2015 | 0x2212 | 0xfe58 | 0xfe63 => u32::from(b'-'),
        0x2024 => u32::from(b'.'),
        0xff01..=0xff5e => code - 0xff01 + u32::from(b'!'),
        0x1d7ce..=0x1d7ff => (code - 0x1d7ce) % 10 + u32::from(b'0'),
        _ => {
            let zero = ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code))?;
            code - zero + u32::from(b'0')
        }
    };
    u8::try_from(ascii).ok().map(Fold::As)
}

/// The character of two to four bytes that a text begins with (RFC 3629, section 3), and its length.
fn character(text: &[u8]) -> Option<(u32, usize)> {
    let (&lead, behind) = text.split_first()?;
    let (first, length) = match lead {
        0xc2..=0xdf => (lead & 0x1f, 2),
        0xe0..=0xef => (lead & 0x0f, 3),
        0xf0..=0xf4 => (lead & 0x07, 4),
        _ => return None,
    };
    let rest = behind.get(..length - 1)?;
    let code = rest.iter().try_fold(u32::from(first), |code, &byte| {
        (byte & 0xc0 == 0x80).then_some(code << 6 | u32::from(byte & 0x3f))
    })?;
    Some((code, length))
}

/// How many bytes of ASCII a text begins with.
fn ascii_ahead(text: &[u8]) -> usize {
    /// What is looked at in one go.
    const BLOCK: usize = 256;
    let blocks = text.chunks(BLOCK).take_while(|block| block.is_ascii()).count();
    let at = (blocks * BLOCK).min(text.len());
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii()).count()
}

/// True where a character that folds begins at `at`.
pub fn begins(text: &[u8], at: usize) -> bool {
    text.get(at..).and_then(folded).is_some()
}

/// Where the next character that folds begins, and its end.
pub fn next(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        at += ascii_ahead(text.get(at..)?);
        text.get(at)?;
        if let Some((_, length)) = text.get(at..).and_then(folded) {
            return Some((at, at + length));
        }
        at += 1;
    }
}

/// A piece of a text, folded.
pub struct Folded {
    pub bytes: Vec<u8>,
    /// (place in `bytes`, place in the text) of every byte at which the distance between both changes.
    places: Vec<(usize, usize)>,
    /// Hits that touch an end at which the text goes on are those of a neighbour.
    begins_inside: bool,
    ends_inside: bool,
}

impl Folded {
    /// Where a stretch of the folded bytes stands in the text; `None` where a neighbour has it whole.
    pub fn origin(&self, text: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
        let at_an_end = (self.begins_inside && start == 0) || (self.ends_inside && end == self.bytes.len());
        let last = self.place(end.checked_sub(1)?);
        let is_folded = self.bytes.get(end - 1).is_some_and(u8::is_ascii);
        let length = text.get(last..).and_then(character).filter(|_| is_folded);
        let end = last + length.map_or(1, |(_, length)| length);
        (!at_an_end).then(|| (self.place(start), end))
    }

    fn place(&self, at: usize) -> usize {
        let behind = self.places.partition_point(|(folded, _)| *folded <= at);
        let near = behind.checked_sub(1).and_then(|index| self.places.get(index));
        near.map_or(at, |(folded, origin)| origin + (at - folded))
    }
}

/// The pieces of a text that hold characters that fold, one after the other.
pub fn pieces(text: &[u8]) -> impl Iterator<Item = Folded> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let (first, _) = next(text, from)?;
        let piece = first - first % PIECE;
        from = piece + PIECE;
        let (start, end) = (piece.saturating_sub(AROUND), (from + AROUND).min(text.len()));
        Some(fold_piece(text, start, end))
    })
}

fn fold_piece(text: &[u8], start: usize, end: usize) -> Folded {
    let mut bytes = Vec::with_capacity(end - start);
    let mut places = vec![(0, start)];
    let mut at = start;
    while let Some((fold_start, fold_end)) = next(text, at).filter(|(fold_start, _)| *fold_start < end) {
        bytes.extend_from_slice(text.get(at..fold_start).unwrap_or_default());
        if let Some((Fold::As(byte), _)) = text.get(fold_start..).and_then(folded) {
            places.push((bytes.len(), fold_start));
            bytes.push(byte);
        }
        places.push((bytes.len(), fold_end));
        at = fold_end;
    }
    bytes.extend_from_slice(text.get(at..end).unwrap_or_default());
    Folded {
        bytes,
        places,
        begins_inside: start > 0,
        ends_inside: end < text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Folded {
        fold_piece(text.as_bytes(), 0, text.len())
    }

    #[test]
    fn digits_of_other_scripts_and_what_shows_as_nothing_fold_away() {
        for (text, plain) in [
            ("４２42", "4242"),
            ("٤٢۴۲४२", "424242"),
            ("4\u{200b}2\u{ad}4\u{feff}2", "4242"),
            ("1–2\u{a0}3", "1-2 3"),
            ("ａ＠ｂ．ｃｏ", "a@b.co"),
            ("𝟜𝟚", "42"),
            ("été 5 €", "été 5 €"),
        ] {
            assert_eq!(whole(text).bytes, plain.as_bytes());
        }
    }

    #[test]
    fn what_is_found_lies_where_it_was_written() {
        let text = "é 4\u{200b}２ x";
        let folded = whole(text);
        assert_eq!(folded.bytes, "é 42 x".as_bytes());
        let (start, end) = folded.origin(text.as_bytes(), 3, 5).unwrap();
        assert_eq!(&text[start..end], "4\u{200b}２");
    }

    proptest! {
        #[test]
        fn every_byte_that_did_not_fold_has_its_place(text in "(４|\u{ad}|é|[a-z]|\u{a0}|٣){0,40}") {
            let folded = whole(&text);
            for (at, byte) in folded.bytes.iter().enumerate() {
                let origin = text.as_bytes()[folded.place(at)];
                prop_assert!(origin == *byte || (origin >= 0x80 && byte.is_ascii()));
            }
        }

        #[test]
        fn any_bytes_fold(data in prop::collection::vec(any::<u8>(), 0..200)) {
            for piece in pieces(&data) {
                prop_assert!(piece.bytes.len() <= data.len());
            }
        }
    }
}
