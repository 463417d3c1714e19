//! The table of detectors. Each entry: forms that propose, validators that decide, words of context that a weak form needs, and
//! examples. One file a topic; `scan.rs` finds the places where an entry is worth trying.
//!
//! Not seen, by design so far: encodings (base64, hex) and what stands on several lines where a form has one.

mod checksums;
mod contact;
mod crypto;
mod documents;
mod finance;
mod identity;
mod keys;
pub(super) mod layout;
mod secrets;
mod usa;

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use self::layout::Compact;
use super::{
    context,
    scan::{CAPITAL, DIGIT, SMALL, Scanner, Sets, Spot, Visit},
    sieve::Sieve,
};

/// A stretch of sensitive text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    pub start: usize,
    pub end: usize,
}

/// Detectors by their place in the table, a bit each.
pub type Set = u128;

/// Decides on a proposed stretch and may shorten it.
pub type Validator = fn(text: &[u8], start: usize, end: usize) -> Option<Hit>;

/// One entry of the table.
#[derive(Clone, Copy)]
pub struct Detector {
    pub name: &'static str,
    /// A name that stands for all of its kind in a policy.
    pub group: &'static str,
    /// Tried in this order where they begin.
    pub forms: &'static [Form],
    /// Lists of words in small letters, written as one (`birthdate`): weak forms count only a little behind one of them, or in a
    /// column that is named so.
    pub context: &'static [&'static [&'static str]],
    /// Where there are few detectors, whole runs of rows are looked through with these, which is faster. Every hit touches a stretch
    /// of one of them. Empty: there is no such way.
    pub sieves: &'static [Sieve],
    pub must_match: &'static [&'static str],
    pub must_not_match: &'static [&'static str],
    /// Other detectors that find these examples too.
    pub also: &'static [&'static str],
}

/// How a hit may be written.
#[derive(Clone, Copy)]
pub enum Form {
    /// As one of these layouts (`layout.rs`), with no letter or digit next to it; `check` gets the letters and digits in capitals.
    Layouts {
        layouts: &'static [&'static str],
        check: fn(compact: &[u8]) -> bool,
        is_weak: bool,
    },
    /// As a regular expression says, tried where one of `starts` does; `check` sees to what may stand around it.
    Pattern {
        pattern: &'static str,
        starts: &'static [Start],
        check: Validator,
        is_weak: bool,
    },
}

/// Where a pattern is worth trying. Its function says where exactly, at or behind `from`, or that it is not.
#[derive(Clone, Copy)]
pub enum Start {
    /// At a word (a run of letters and digits) of one of these kinds and lengths, with one of these behind it (`scan.rs`).
    Word {
        kinds: u8,
        lengths: (u8, u8),
        behind: u8,
        locate: fn(text: &[u8], spot: Spot, from: usize) -> Option<usize>,
    },
    Byte(u8, fn(text: &[u8], spot: Spot, from: usize) -> Option<usize>),
}

impl Form {
    pub fn is_weak(&self) -> bool {
        match self {
            Self::Layouts { layouts, is_weak, .. } => *is_weak && !layouts.is_empty(),
            Self::Pattern { is_weak, .. } => *is_weak,
        }
    }
}

/// The table, in the order in which `countersign.masking.DETECTORS` has the names.
pub static DETECTORS: LazyLock<Vec<Detector>> = LazyLock::new(|| {
    let topics = [
        contact::DETECTORS,
        finance::DETECTORS,
        crypto::DETECTORS,
        secrets::DETECTORS,
        keys::DETECTORS,
        documents::DETECTORS,
        usa::DETECTORS,
        &identity::detectors(),
    ];
    topics.concat()
});

/// The regular expressions of each detector's forms, to be tried at the beginning of a text.
static PATTERNS: LazyLock<Vec<Vec<Option<Regex>>>> = LazyLock::new(|| {
    let compile = |form: &Form| match form {
        Form::Pattern { pattern, .. } => RegexBuilder::new(&format!(r"\A(?:{pattern})"))
            .unicode(false)
            .build()
            .ok(),
        Form::Layouts { .. } => None,
    };
    let of_detector = |detector: &Detector| detector.forms.iter().map(compile).collect();
    DETECTORS.iter().map(of_detector).collect()
});

/// A scanner for each detector alone.
static ALONE: LazyLock<Vec<Scanner>> = LazyLock::new(|| {
    (0..DETECTORS.len())
        .map(|index| Scanner::new(1 << index))
        .collect()
});

/// The table's index of a detector.
pub fn position(name: &str) -> Option<usize> {
    DETECTORS.iter().position(|detector| detector.name == name)
}

/// Every hit of one detector, as the text is written and with no column's name known.
pub fn find_all(detector: usize, text: &[u8]) -> Vec<Hit> {
    let Some(scanner) = ALONE.get(detector) else {
        return Vec::new();
    };
    let mut search = Search::new(text, 0, false);
    scanner.scan(text, &mut search);
    search.hits.into_iter().map(|(_, hit)| hit).collect()
}

/// What a scan finds. A proposal that is turned down is tried again a little further on, so that a digit set ahead of a number does not
/// hide it.
pub struct Search<'a> {
    text: &'a [u8],
    /// Detectors for which the column's name speaks.
    named: Set,
    /// One hit is enough.
    only_first: bool,
    pub hits: Vec<(usize, Hit)>,
    /// Where each detector's last hit ended.
    ends: Vec<usize>,
}

impl<'a> Search<'a> {
    pub fn new(text: &'a [u8], named: Set, only_first: bool) -> Self {
        Self {
            text,
            named,
            only_first,
            hits: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// True unless no weak form of a detector is worth trying at a spot.
    fn may_begin(&self, index: usize, spot: Spot) -> bool {
        let forms = DETECTORS.get(index).map_or(&[][..], |detector| detector.forms);
        forms.iter().filter(|form| form.is_weak()).any(|form| match form {
            Form::Layouts { .. } => true,
            Form::Pattern { starts, .. } => starts
                .iter()
                .any(|start| start.locate(self.text, spot, self.from(index)).is_some()),
        })
    }

    fn from(&self, detector: usize) -> usize {
        self.ends.get(detector).copied().unwrap_or(0)
    }

    fn keep(&mut self, detector: usize, hit: Hit) {
        self.hits.push((detector, hit));
        self.ends.resize(DETECTORS.len(), 0);
        if let Some(end) = self.ends.get_mut(detector) {
            *end = hit.end;
        }
    }
}

/// The members of a set that fulfil a condition.
fn only(set: Set, keeps: impl Fn(usize) -> bool) -> Set {
    let (mut left, mut kept) = (set, 0);
    while left != 0 {
        let one = left & left.wrapping_neg();
        left ^= one;
        if keeps(one.trailing_zeros() as usize) {
            kept |= one;
        }
    }
    kept
}

impl Visit for Search<'_> {
    fn spot(&mut self, spot: Spot, sets: Sets) -> bool {
        // Words without digits are many, and few of them begin anything: that is cheaper to see than what is ahead of them.
        let weak = match spot.kind & (DIGIT | CAPITAL | SMALL) {
            0 => sets.weak,
            kind if kind & DIGIT != 0 => sets.weak,
            _ => only(sets.weak, |index| self.may_begin(index, spot)),
        };
        let mut in_context = weak & self.named;
        if weak & !in_context != 0 {
            in_context |= weak & context::ahead_of(self.text, spot.start);
        }
        let mut left = sets.strong | in_context;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            let is_in_context = in_context >> index & 1 == 1;
            let hit = DETECTORS.get(index).and_then(|detector| {
                detector.hit_at(index, self.text, spot, self.from(index), is_in_context)
            });
            if let Some(hit) = hit {
                self.keep(index, hit);
                if self.only_first {
                    return false;
                }
            }
        }
        true
    }
}

impl Detector {
    /// The hit that begins at a spot, at or behind `from`.
    fn hit_at(&self, index: usize, text: &[u8], spot: Spot, from: usize, in_context: bool) -> Option<Hit> {
        let patterns = PATTERNS.get(index)?;
        self.forms
            .iter()
            .zip(patterns)
            .filter(|(form, _)| in_context || !form.is_weak())
            .find_map(|(form, pattern)| form.hit_at(pattern.as_ref(), text, spot, from))
    }
}

impl Form {
    fn hit_at(&self, pattern: Option<&Regex>, text: &[u8], spot: Spot, from: usize) -> Option<Hit> {
        match self {
            Self::Layouts {
                layouts,
                check,
                is_weak,
            } => layouts
                .iter()
                .filter(|_| spot.start >= from)
                .filter_map(|layout| layout::end_of(layout.as_bytes(), text, spot.start))
                .find_map(|end| written(text, spot.start, end, *check, *is_weak)),
            Self::Pattern { starts, check, .. } => {
                let start = starts.iter().find_map(|start| start.locate(text, spot, from))?;
                let proposal = pattern?.find(text.get(start..)?)?;
                check(text, start, start + proposal.end())
            }
        }
    }
}

impl Start {
    fn locate(&self, text: &[u8], spot: Spot, from: usize) -> Option<usize> {
        let locate = match *self {
            Self::Word {
                kinds,
                lengths: (shortest, longest),
                behind,
                locate,
            } => {
                let length = spot.end - spot.start;
                let is_long_enough = length >= usize::from(shortest);
                let is_short_enough = length <= usize::from(longest) || longest >= super::scan::LONG;
                let is_kind = spot.kind != 0 && kinds >> spot.kind & 1 == 1;
                (is_kind && behind & spot.behind != 0 && is_long_enough && is_short_enough)
                    .then_some(locate)?
            }
            Self::Byte(byte, locate) => {
                let is_byte = spot.kind == 0 && text.get(spot.start) == Some(&byte);
                is_byte.then_some(locate)?
            }
        };
        locate(text, spot, from).filter(|start| *start >= from)
    }
}

/// What stands as a layout says is a hit if it stands alone and its checks hold. What is weak is no part of a decimal number either.
fn written(text: &[u8], start: usize, end: usize, check: fn(&[u8]) -> bool, is_weak: bool) -> Option<Hit> {
    let hit = stands_alone(text, start, end)?;
    let is_decimal = is_weak && (is_digit_at(text, end + 1) && text.get(end) == Some(&b'.'));
    let compact = Compact::of(text.get(start..end)?);
    (!is_decimal && check(compact.text())).then_some(hit)
}

/// Luhn's sum over the digits of a text, which has some.
pub fn luhn_of(text: &[u8]) -> bool {
    let digits: Vec<u8> = text.iter().copied().filter(u8::is_ascii_digit).collect();
    !digits.is_empty() && checksums::luhn(&digits)
}

/// The remainder by 97 of the letters and digits of a text.
pub fn modulo_97_of(text: &[u8]) -> u32 {
    let letters = text.iter().filter(|byte| byte.is_ascii_alphanumeric());
    checksums::modulo_97(letters.map(u8::to_ascii_uppercase))
}

// -- what may stand around a hit

/// The place itself.
fn here(_: &[u8], spot: Spot, _: usize) -> Option<usize> {
    Some(spot.start)
}

fn as_proposed(_: &[u8], start: usize, end: usize) -> Option<Hit> {
    Some(Hit { start, end })
}

fn stands_alone(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    (!word_before(text, start) && !word_after(text, end)).then_some(Hit { start, end })
}

fn byte_before(text: &[u8], start: usize) -> Option<u8> {
    start.checked_sub(1).and_then(|before| text.get(before)).copied()
}

fn word_before(text: &[u8], start: usize) -> bool {
    byte_before(text, start).is_some_and(|byte| byte.is_ascii_alphanumeric())
}

fn word_after(text: &[u8], end: usize) -> bool {
    text.get(end).is_some_and(u8::is_ascii_alphanumeric)
}

fn is_digit_at(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(u8::is_ascii_digit)
}

/// The word of a spot.
fn word(text: &[u8], spot: Spot) -> &[u8] {
    text.get(spot.start..spot.end).unwrap_or_default()
}

/// What stands behind a spot.
fn behind(text: &[u8], spot: Spot) -> &[u8] {
    text.get(spot.end..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
