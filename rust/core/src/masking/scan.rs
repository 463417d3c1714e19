//! One pass over a text that says where a hit of which detectors may begin.
//!
//! Words (runs of ASCII letters and digits) are looked up by what they are made of, by their length and by what stands behind them;
//! a few bytes of no word (`@`, `+`) by themselves. The cost hardly grows with the number of detectors: most words lead nowhere.

use super::detectors::{DETECTORS, Form, Set, Start, layout};
use super::fold;

/// What a word is made of.
pub const SMALL: u8 = 1;
pub const CAPITAL: u8 = 2;
pub const DIGIT: u8 = 4;

/// Classes of bytes that are in no word.
const SPECIAL: u8 = 8;
const FOREIGN: u8 = 16;
const OF_WORD: u8 = SMALL | CAPITAL | DIGIT;

/// What stands behind a word, as a set of one.
pub const BEHIND_OTHER: u8 = 1;
pub const BEHIND_SPACE: u8 = 2;
pub const BEHIND_DASH: u8 = 4;
pub const BEHIND_DOT: u8 = 8;
pub const BEHIND_SLASH: u8 = 16;
pub const BEHIND_COLON: u8 = 32;
pub const BEHIND_ASSIGNMENT: u8 = 64;
pub const BEHIND_JOINT: u8 = 128;
pub const BEHIND_ANY: u8 = u8::MAX;

/// Words of this length and longer are of one kind.
pub const LONG: u8 = 63;

/// The sets of kinds of words (bit n: made of what n says).
pub const OF_DIGITS: u8 = 1 << DIGIT;
pub const OF_LETTERS: u8 = 1 << SMALL | 1 << CAPITAL | 1 << (SMALL | CAPITAL);
pub const OF_BOTH: u8 = 1 << (SMALL | DIGIT) | 1 << (CAPITAL | DIGIT) | 1 << (SMALL | CAPITAL | DIGIT);
pub const OF_ANY: u8 = OF_DIGITS | OF_LETTERS | OF_BOTH;
/// Letters of both sizes, with digits or without.
pub const OF_MIXED: u8 = 1 << (SMALL | CAPITAL) | 1 << (SMALL | CAPITAL | DIGIT);

const KINDS: usize = 8;
const LENGTHS: usize = LONG as usize + 1;

/// A place where hits may begin: a word, or a single byte of none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    pub start: usize,
    pub end: usize,
    /// Of `SMALL`, `CAPITAL` and `DIGIT`; 0 for a single byte.
    pub kind: u8,
    /// One of `BEHIND_…`.
    pub behind: u8,
}

/// The detectors that may have a hit at a spot: whatever is around it, or only with a word of context.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    pub strong: Set,
    pub weak: Set,
}

/// What to do at the spots of a scan.
pub trait Visit {
    /// False ends the scan.
    fn spot(&mut self, spot: Spot, sets: Sets) -> bool;
}

/// The places of some detectors.
pub struct Scanner {
    classes: [u8; 256],
    /// Which of `sets` goes with a word, by length, kind and what is behind it.
    words: Vec<u16>,
    specials: [u16; 256],
    sets: Vec<Sets>,
}

impl Scanner {
    pub fn new(detectors: Set) -> Self {
        let mut words = vec![Sets::default(); LENGTHS * KINDS * 8];
        let mut specials = [Sets::default(); 256];
        for (index, detector) in DETECTORS.iter().enumerate() {
            let one: Set = 1 << index;
            if detectors & one == 0 {
                continue;
            }
            for form in detector.forms {
                let add = |sets: &mut Sets| match form.is_weak() {
                    true => sets.weak |= one,
                    false => sets.strong |= one,
                };
                for start in starts(form) {
                    match start {
                        Place::Byte(byte) => specials.get_mut(usize::from(byte)).into_iter().for_each(add),
                        Place::Word {
                            kinds,
                            lengths,
                            behind,
                        } => {
                            words_of(kinds, lengths, behind).for_each(|place| {
                                words.get_mut(place).into_iter().for_each(add);
                            });
                        }
                    }
                }
            }
        }
        Self::compressed(&words, &specials)
    }

    fn compressed(words: &[Sets], specials: &[Sets; 256]) -> Self {
        let mut sets = vec![Sets::default()];
        let mut numbered = |wanted: &Sets| {
            let known = sets.iter().position(|known| known == wanted);
            let index = known.unwrap_or_else(|| {
                sets.push(*wanted);
                sets.len() - 1
            });
            u16::try_from(index).unwrap_or_default()
        };
        let words = words.iter().map(&mut numbered).collect();
        let mut special = [0; 256];
        for (place, wanted) in special.iter_mut().zip(specials) {
            *place = numbered(wanted);
        }
        let mut classes = [0; 256];
        for ((byte, class), special) in (0..=u8::MAX).zip(&mut classes).zip(&special) {
            *class = match byte {
                b'a'..=b'z' => SMALL,
                b'A'..=b'Z' => CAPITAL,
                b'0'..=b'9' => DIGIT,
                0x80.. => FOREIGN,
                _ if *special > 0 => SPECIAL,
                _ => 0,
            };
        }
        Self {
            classes,
            words,
            specials: special,
            sets,
        }
    }

    fn class(&self, byte: u8) -> u8 {
        self.classes.get(usize::from(byte)).copied().unwrap_or(0)
    }

    /// Show every spot to `visit`, from left to right, and say whether there is a character that folds.
    pub fn scan(&self, text: &[u8], visit: &mut impl Visit) -> bool {
        let mut folds = false;
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let outside = rest.iter().take_while(|byte| self.class(**byte) == 0).count();
            let start = at + outside;
            let Some(&byte) = text.get(start) else { break };
            let class = self.class(byte);
            if class & OF_WORD == 0 {
                at = start + 1;
                if class == FOREIGN {
                    folds = folds || fold::begins(text, start);
                } else if !self.special(start, byte, visit) {
                    break;
                }
                continue;
            }
            let mut kind = 0;
            let mut length = 0;
            for &byte in text.get(start..).unwrap_or_default() {
                let class = self.class(byte);
                if class & OF_WORD == 0 {
                    break;
                }
                kind |= class;
                length += 1;
            }
            at = start + length;
            if !self.word(
                text,
                Spot {
                    start,
                    end: at,
                    kind,
                    behind: 0,
                },
                visit,
            ) {
                break;
            }
        }
        folds
    }

    fn word(&self, text: &[u8], mut spot: Spot, visit: &mut impl Visit) -> bool {
        let next = text.get(spot.end).copied();
        let (behind, index) = behind(next);
        let place = place_of(spot.kind, spot.end - spot.start, index);
        let Some(&set) = self.words.get(place) else {
            return true;
        };
        if set == 0 {
            return true;
        }
        spot.behind = behind;
        self.show(set, spot, visit)
    }

    fn special(&self, at: usize, byte: u8, visit: &mut impl Visit) -> bool {
        let set = self.specials.get(usize::from(byte)).copied().unwrap_or_default();
        let spot = Spot {
            start: at,
            end: at + 1,
            kind: 0,
            behind: 0,
        };
        self.show(set, spot, visit)
    }

    fn show(&self, set: u16, spot: Spot, visit: &mut impl Visit) -> bool {
        let sets = self.sets.get(usize::from(set)).copied().unwrap_or_default();
        visit.spot(spot, sets)
    }
}

/// The set of one, and its number.
fn behind(byte: Option<u8>) -> (u8, usize) {
    let index = match byte {
        Some(b' ') => 1,
        Some(b'-') => 2,
        Some(b'.') => 3,
        Some(b'/') => 4,
        Some(b':') => 5,
        Some(b'=' | b'"' | b'\'') => 6,
        Some(b'_' | b'(' | b')' | b'+' | b'<') => 7,
        _ => 0,
    };
    (1 << index, index)
}

fn place_of(kind: u8, length: usize, behind: usize) -> usize {
    (length.min(usize::from(LONG)) * KINDS + usize::from(kind)) * 8 + behind
}

/// Where a form may begin.
enum Place {
    Byte(u8),
    Word {
        kinds: u8,
        lengths: (u8, u8),
        behind: u8,
    },
}

fn starts(form: &Form) -> Vec<Place> {
    match form {
        Form::Layouts { layouts, .. } => layouts
            .iter()
            .map(|layout| of_layout(layout.as_bytes()))
            .collect(),
        Form::Pattern { starts, .. } => starts
            .iter()
            .map(|start| match *start {
                Start::Byte(byte, _) => Place::Byte(byte),
                Start::Word {
                    kinds,
                    lengths,
                    behind,
                    ..
                } => Place::Word {
                    kinds,
                    lengths,
                    behind,
                },
            })
            .collect(),
    }
}

fn of_layout(layout: &[u8]) -> Place {
    let (run, separator) = layout::first_run(layout);
    if run.is_empty() {
        return Place::Byte(separator.unwrap_or_default());
    }
    let length = u8::try_from(run.len()).unwrap_or(LONG);
    Place::Word {
        kinds: (1..8)
            .filter(|kind| layout::may_be_of(run, *kind))
            .fold(0, |kinds, kind| kinds | 1 << kind),
        lengths: (length, length),
        behind: separator.map_or(BEHIND_ANY, |separator| behind(Some(separator)).0),
    }
}

/// The places of the table that words have.
fn words_of(kinds: u8, lengths: (u8, u8), behind: u8) -> impl Iterator<Item = usize> {
    let (shortest, longest) = lengths;
    let kinds = (0..KINDS as u8).filter(move |kind| kinds >> kind & 1 == 1);
    (shortest..=longest).flat_map(move |length| {
        kinds.clone().flat_map(move |kind| {
            let behind = (0..8).filter(move |index| behind >> index & 1 == 1);
            behind.map(move |index| place_of(kind, usize::from(length), index))
        })
    })
}
