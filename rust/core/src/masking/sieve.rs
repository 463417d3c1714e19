//! Where hits may begin: conditions that every hit fulfils and that next to nothing is spent on, so that values are only searched there.
//!
//! They serve where few detectors are in use: each goes over the bytes for itself, and far faster than a scan (`scan.rs`) does.
//!
//! A sieve judges bytes, not what stands around them. So a text that holds a value with a hit has a stretch that touches that hit,
//! whatever else is in the text, and a whole run of rows can be looked through at once, lengths and all. Each byte is looked at a
//! bounded number of times, however often a sieve is called on where it ended.

use std::sync::LazyLock;

use memchr::{memchr, memmem::Finder};

use super::{Masker, fold};

/// The next stretch at or behind `from`.
pub type Sieve = fn(text: &[u8], from: usize) -> Option<Stretch>;

/// Bytes that hold the beginning of a hit, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub start: usize,
    pub end: usize,
}

impl Stretch {
    /// Behind every text.
    const NONE: Self = Self {
        start: usize::MAX,
        end: usize::MAX,
    };
}

/// The most sieves that a text is looked through with; where there would be more, one scan of each value is cheaper.
pub const FEW: usize = 5;

/// Where hits may be in a text that may hold more than one value.
pub struct Candidates<'a> {
    text: &'a [u8],
    how: How<'a>,
    first: usize,
}

enum How<'a> {
    /// Sieves, and the next stretch of each.
    Sieves(&'a [Sieve], [Stretch; FEW]),
    /// Asked about a value, look at that value.
    Values(&'a Masker),
}

impl<'a> Candidates<'a> {
    /// `sieves` are at most `FEW`.
    pub fn new(sieves: &'a [Sieve], text: &'a [u8]) -> Self {
        debug_assert!(sieves.len() <= FEW);
        let mut candidates = Self {
            text,
            how: How::Sieves(sieves, [Stretch { start: 0, end: 0 }; FEW]),
            first: 0,
        };
        candidates.advance(0);
        candidates
    }

    /// Each value is looked at when it is asked about.
    pub fn of_values(masker: &'a Masker, text: &'a [u8]) -> Self {
        Self {
            text,
            how: How::Values(masker),
            first: 0,
        }
    }

    /// Where the next stretch may begin that was not passed yet; `usize::MAX` where there is none.
    pub fn first(&self) -> usize {
        self.first
    }

    /// True unless no hit touches the value that these bytes are. Calls go on from left to right.
    pub fn touch(&mut self, start: usize, end: usize) -> bool {
        if self.first >= end {
            return false;
        }
        if let How::Values(masker) = self.how {
            return masker.finds_any(self.text.get(start..end).unwrap_or_default());
        }
        self.advance(start);
        self.first < end
    }

    fn advance(&mut self, from: usize) {
        let How::Sieves(sieves, ahead) = &mut self.how else {
            return;
        };
        self.first = usize::MAX;
        for (sieve, ahead) in sieves.iter().zip(ahead) {
            if ahead.end <= from {
                *ahead = sieve(self.text, from).unwrap_or(Stretch::NONE);
            }
            self.first = self.first.min(ahead.start);
        }
    }
}

/// A character that stands for another, or for nothing (`fold.rs`): what it hides is seen by none of the other sieves.
pub fn folding(text: &[u8], from: usize) -> Option<Stretch> {
    fold::next(text, from).map(|(start, end)| Stretch { start, end })
}

// -- one for each form of a hit

/// An `@` with a name before it and a domain behind it. The stretch begins where the address does.
pub fn email(text: &[u8], from: usize) -> Option<Stretch> {
    let mut at = from;
    loop {
        at += memchr(b'@', text.get(at..)?)?;
        let name = text.get(from..at)?.iter().rev().take(64);
        let length = name.take_while(|&&byte| is_of_name(byte)).count();
        if length > 0 && begins_with_domain(text.get(at + 1..)?) {
            return Some(Stretch {
                start: at - length,
                end: at + 1,
            });
        }
        at += 1;
    }
}

pub fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'\'' | b'-')
}

/// Labels with dots between them, and one behind a dot that begins with two letters.
pub fn begins_with_domain(mut text: &[u8]) -> bool {
    loop {
        let label = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'-';
        let length = text.iter().take(64).take_while(label).count();
        let Some([b'.', behind @ ..]) = text.get(length..).filter(|_| (1..64).contains(&length)) else {
            return false;
        };
        if let [a, b, ..] = behind
            && a.is_ascii_alphabetic()
            && b.is_ascii_alphabetic()
        {
            return true;
        }
        text = behind;
    }
}

/// Fourteen digits with at most one separator between two of them.
pub fn payment_card(text: &[u8], from: usize) -> Option<Stretch> {
    static CARD: Joined = Joined::new(14, 14, 1, b"0123456789", b" -");
    CARD.next(text, from)
}

/// Fifteen capital letters and digits with at most one space between two of them, among which are a country and its check digits.
pub fn iban(text: &[u8], mut from: usize) -> Option<Stretch> {
    static IBAN: Joined = Joined::new(15, 15, 1, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", b" ");
    loop {
        let stretch = IBAN.next(text, from)?;
        let mut windows = text.get(stretch.start..stretch.end)?.windows(4);
        if windows.any(|window| matches!(window, [b'A'..=b'Z', b'A'..=b'Z', b'0'..=b'9', b'0'..=b'9'])) {
            return Some(stretch);
        }
        from = stretch.end;
    }
}

/// Twenty bytes of an access key's id, which has one of six beginnings.
pub fn aws_key_id(text: &[u8], mut from: usize) -> Option<Stretch> {
    static ID: Joined = Joined::new(20, 20, 0, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"");
    loop {
        let stretch = ID.next(text, from)?;
        let mut windows = text.get(stretch.start..stretch.end)?.windows(4);
        let begins =
            |window: &[u8]| matches!(window, b"AKIA" | b"ASIA" | b"AGPA" | b"AIDA" | b"AROA" | b"ANPA");
        if windows.any(begins) {
            return Some(stretch);
        }
        from = stretch.end;
    }
}

/// Forty bytes of a secret key, and the word "secret" a little ahead of them. The stretch begins where the name of the secret may.
pub fn aws_secret(text: &[u8], from: usize) -> Option<Stretch> {
    static KEY: Joined = Joined::new(
        40,
        40,
        0,
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+",
        b"",
    );
    /// From the beginning of "aws" up to the key.
    const NAME: usize = 3 + 12 + 6 + 16 + 1 + 4 + 1;
    let mut behind = from;
    loop {
        let key = KEY.next(text, behind)?;
        let start = key.start.saturating_sub(NAME).max(from);
        let name = text.get(start..key.start)?;
        let is_sign = |byte: &u8| matches!(byte, b' ' | b'=' | b':' | b'\'' | b'"');
        if name.last().is_some_and(is_sign)
            && name.windows(6).any(|word| word.eq_ignore_ascii_case(b"secret"))
        {
            return Some(Stretch { start, end: key.end });
        }
        behind = key.end;
    }
}

/// Two parts that begin like JSON in base64, with a dot behind each. The stretch begins where the token does.
pub fn jwt(text: &[u8], from: usize) -> Option<Stretch> {
    static BEGIN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"eyJ"));
    let mut start = from;
    loop {
        start += BEGIN.find(text.get(start..)?)?;
        let header = start + part(text.get(start..)?);
        let behind = text.get(header..)?;
        if header - start >= 8 && behind.starts_with(b".eyJ") {
            let end = header + 1 + part(behind.get(1..)?);
            if end - header >= 6 && text.get(end) == Some(&b'.') {
                return Some(Stretch { start, end: end + 1 });
            }
        }
        // What begins within this part would have to end like it.
        start = header;
    }
}

/// The length of a token's part.
fn part(text: &[u8]) -> usize {
    let item = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'-');
    text.iter().take_while(item).count()
}

/// The beginning of the line ahead of a key.
pub fn private_key(text: &[u8], from: usize) -> Option<Stretch> {
    static BEGIN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"-----BEGIN "));
    let start = from + BEGIN.find(text.get(from..)?)?;
    Some(Stretch {
        start,
        end: start + BEGIN.needle().len(),
    })
}

// -- items and joints

/// A form of items with a few joints between them.
struct Joined {
    /// How long it is at least.
    bytes: usize,
    /// How many items it has at least.
    items: usize,
    /// How many joints may stand between two items.
    joints: usize,
    /// What each byte is.
    roles: [Role; 256],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Other,
    Item,
    Joint,
}

impl Joined {
    #[allow(clippy::indexing_slicing)] // of a table with a place for every byte, while compiling
    const fn new(bytes: usize, items: usize, joints: usize, mut item: &[u8], mut joint: &[u8]) -> Self {
        let mut roles = [Role::Other; 256];
        while let [byte, rest @ ..] = item {
            roles[*byte as usize] = Role::Item;
            item = rest;
        }
        while let [byte, rest @ ..] = joint {
            roles[*byte as usize] = Role::Joint;
            joint = rest;
        }
        Self {
            bytes,
            items,
            joints,
            roles,
        }
    }

    fn role(&self, byte: u8) -> Role {
        self.roles.get(usize::from(byte)).copied().unwrap_or(Role::Other)
    }

    /// The next stretch of this form, as long as it goes, from its first item to its last.
    ///
    /// A stretch of n bytes holds every nth byte of the text in one place, so only each nth byte is looked at until one fits.
    fn next(&self, text: &[u8], from: usize) -> Option<Stretch> {
        let fits = |byte: &&u8| self.role(**byte) != Role::Other;
        let mut floor = from;
        loop {
            let probes = text.get(floor..)?.chunks_exact(self.bytes);
            let steps = probes
                .take_while(|probe| !probe.last().as_ref().is_some_and(fits))
                .count();
            let probe = floor + (steps + 1) * self.bytes - 1;
            let before = text.get(floor..probe)?;
            let start = probe - before.iter().rev().take_while(fits).count();
            let (found, length) = self.measure(text.get(start..)?);
            if let Some(Stretch { start: first, end }) = found {
                return Some(Stretch {
                    start: start + first,
                    end: start + end,
                });
            }
            floor = start + length + 1;
        }
    }

    /// What begins at the first item of a text, if it is enough, and how far the text was read.
    fn measure(&self, text: &[u8]) -> (Option<Stretch>, usize) {
        let (mut items, mut joints, mut start, mut end, mut read) = (0, 0, 0, 0, text.len());
        for (at, &byte) in text.iter().enumerate() {
            match self.role(byte) {
                Role::Item => {
                    if items == 0 {
                        start = at;
                    }
                    (items, joints, end) = (items + 1, 0, at + 1);
                }
                Role::Joint if items == 0 => {}
                Role::Joint if joints < self.joints => joints += 1,
                _ => {
                    read = at;
                    break;
                }
            }
        }
        let enough = items >= self.items && end - start >= self.bytes;
        (enough.then_some(Stretch { start, end }), read)
    }
}
