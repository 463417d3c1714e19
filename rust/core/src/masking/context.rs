//! Context: words that make a weak pattern count, a little ahead of it in the text or in its column's name.

use std::sync::LazyLock;

use super::detectors::{DETECTORS, Detector, Set};

/// How many bytes ahead of a hit a word may end.
pub const WINDOW: usize = 48;

/// The detectors that a column's name speaks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Context {
    pub(super) detectors: Set,
    /// Detectors of the policy's own, by their place in the masker.
    pub(super) custom: u64,
}

impl Context {
    pub fn is_empty(&self) -> bool {
        self.detectors == 0 && self.custom == 0
    }
}

/// Words in a trie that is walked from their last letter to their first. A word may stand in several pieces in the text: `birthdate`
/// is found in "birth date", `birth_date` and `birthDate`.
pub struct Words<T> {
    nodes: Vec<Node<T>>,
    /// The nodes behind each byte of the first, which has many.
    last_letters: Vec<Option<usize>>,
}

struct Node<T> {
    next: Vec<(u8, usize)>,
    speaks_for: T,
}

impl<T: Copy + Default + std::ops::BitOrAssign> Words<T> {
    /// Words are in small letters. Those of other scripts count in capitals too, and with one ahead.
    pub fn new<'a>(words: impl Iterator<Item = (&'a str, T)>) -> Self {
        let empty = || Node {
            next: Vec::new(),
            speaks_for: T::default(),
        };
        let mut nodes = vec![empty()];
        for (word, speaks_for) in words.flat_map(|(word, set)| spellings(word).map(move |word| (word, set))) {
            let mut at = 0;
            for byte in word.bytes().rev() {
                let free = nodes.len();
                let Some(node) = nodes.get_mut(at) else { break };
                at = following(node, byte).unwrap_or(free);
                if at == free {
                    node.next.push((byte, free));
                    nodes.push(empty());
                }
            }
            if let Some(node) = nodes.get_mut(at) {
                node.speaks_for |= speaks_for;
            }
        }
        let last_letters = (0..=u8::MAX)
            .map(|byte| nodes.first().and_then(|root| following(root, byte)))
            .collect();
        Self { nodes, last_letters }
    }

    /// What the words of a text speak for that end within `window` bytes ahead of `start`.
    pub fn ahead_of(&self, text: &[u8], start: usize, window: usize) -> T {
        let mut all = T::default();
        for end in start.saturating_sub(window)..=start {
            if may_end(text, end) {
                self.ending(text, end, &mut all);
            }
        }
        all
    }

    fn step(&self, node: usize, byte: u8) -> Option<usize> {
        match node {
            0 => self.last_letters.get(usize::from(byte)).copied().flatten(),
            _ => self.nodes.get(node).and_then(|node| following(node, byte)),
        }
    }

    /// Add what the words speak for that end at `end`.
    fn ending(&self, text: &[u8], end: usize, all: &mut T) {
        let is_strict_end = ends_strictly(text, end);
        let (mut node, mut at) = (0, end);
        while let Some(&byte) = at.checked_sub(1).and_then(|before| text.get(before)) {
            if is_letter(byte) {
                let Some(next) = self.step(node, byte.to_ascii_lowercase()) else {
                    return;
                };
                (node, at) = (next, at - 1);
                let is_word = is_ideograph(byte) || (is_strict_end && begins(text, at));
                if let Some(node) = self.nodes.get(node).filter(|_| is_word) {
                    *all |= node.speaks_for;
                }
            } else if matches!(byte, b' ' | b'_' | b'-' | b'.') && begins(text, at) && at < end {
                at -= 1;
                let is_dotted = byte == b' ' && text.get(at.wrapping_sub(1)) == Some(&b'.');
                at -= usize::from(is_dotted);
                if !text.get(at.wrapping_sub(1)).copied().is_some_and(is_letter) {
                    return;
                }
            } else {
                return;
            }
        }
    }
}

/// A word as `ending` reads it, which makes capitals of ASCII small.
fn spellings(word: &str) -> impl Iterator<Item = String> {
    let mut letters = word.chars();
    let titled: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let titled = titled + letters.as_str();
    let others = (!word.is_ascii()).then(|| [word.to_uppercase(), titled]);
    let all = std::iter::once(word.to_owned()).chain(others.into_iter().flatten());
    all.map(|spelling| spelling.to_ascii_lowercase())
}

fn following<T>(node: &Node<T>, byte: u8) -> Option<usize> {
    let edge = node.next.iter().find(|(letter, _)| *letter == byte);
    edge.map(|(_, next)| *next)
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

/// The first byte of a character of a script that puts no spaces between words.
fn is_ideograph(byte: u8) -> bool {
    (0xe3..0xf0).contains(&byte)
}

/// A word may end here: a letter stands before, and what follows is no part of the same character.
fn may_end(text: &[u8], end: usize) -> bool {
    let before = end.checked_sub(1).and_then(|before| text.get(before));
    let is_within = text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80);
    match before {
        Some(byte) if byte.is_ascii_alphabetic() => ends_strictly(text, end),
        Some(byte) => *byte >= 0x80 && !is_within,
        None => false,
    }
}

fn ends_strictly(text: &[u8], end: usize) -> bool {
    !text.get(end).copied().is_some_and(is_letter) || is_hump(text, end)
}

fn begins(text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    !before.copied().is_some_and(is_letter) || is_hump(text, at)
}

/// Between a small letter and a capital, as in `birthDate`.
fn is_hump(text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    before.is_some_and(u8::is_ascii_lowercase) && text.get(at).is_some_and(u8::is_ascii_uppercase)
}

static WORDS: LazyLock<Words<Set>> = LazyLock::new(|| {
    let of_detector = |(index, detector): (usize, &'static Detector)| {
        let words = detector.context.iter().copied().flatten();
        words.map(move |word| (*word, 1 << index))
    };
    Words::new(DETECTORS.iter().enumerate().flat_map(of_detector))
});

/// The detectors that the words ahead of `start` speak for.
pub fn ahead_of(text: &[u8], start: usize) -> Set {
    if start == 0 {
        return 0;
    }
    WORDS.ahead_of(text, start, WINDOW)
}

/// The detectors that a column's name speaks for.
pub fn of_name(name: &[u8]) -> Set {
    WORDS.ahead_of(name, name.len(), name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words<u8> {
        Words::new([("ssn", 1), ("birthdate", 2), ("инн", 4), ("身份证", 8)].into_iter())
    }

    fn ahead(text: &str) -> u8 {
        words().ahead_of(text.as_bytes(), text.len(), WINDOW)
    }

    #[test]
    fn a_word_counts_in_any_spelling_and_only_as_a_word() {
        for text in ["SSN: ", "my ssn ", "customer_ssn", "userSsn", "ssn2", "ssn"] {
            assert_eq!(ahead(text), 1, "{text}");
        }
        for text in ["classname ", "ssns ", "s", ""] {
            assert_eq!(ahead(text), 0, "{text}");
        }
        for text in [
            "birth date ",
            "birth_date",
            "birthDate",
            "Birth-Date:",
            "birthdate",
        ] {
            assert_eq!(ahead(text), 2, "{text}");
        }
        assert_eq!(ahead("birth  date"), 0);
        let cyrillic = ["ИНН ", "инн ", "Инн ", "И.Н.Н. ", "и. н. н.", "длинн "];
        assert_eq!(cyrillic.map(ahead), [4, 4, 4, 4, 4, 0]);
        assert_eq!(ahead("我的身份证号码"), 8);
    }

    #[test]
    fn a_word_counts_only_a_little_ahead() {
        let text = format!("ssn{}", " ".repeat(WINDOW));
        assert_eq!((ahead(&text), ahead(&format!("{text} "))), (1, 0));
    }
}
