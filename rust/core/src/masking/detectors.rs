//! The table of detectors. Each entry: a linear-time pattern that proposes, a validator that decides, and examples.
//!
//! Not seen, by design so far: full-width digits, digits apart by invisible characters, encodings (base64, hex).

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use super::sieve::{self, Candidates, Sieve, Stretch};

/// A stretch of sensitive text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    pub start: usize,
    pub end: usize,
}

/// Decides on a proposed stretch and may shorten it.
type Validator = fn(text: &[u8], start: usize, end: usize) -> Option<Hit>;

/// Where in a stretch a hit may begin.
#[derive(Clone, Copy)]
enum Begins {
    /// Where the stretch does.
    Here,
    /// Not behind a letter or a digit, which its validator sees to.
    AtWord,
}

/// One entry of the table.
pub struct Detector {
    pub name: &'static str,
    pub pattern: &'static str,
    /// Every hit begins in a stretch of one of them, as `begins` says. At most `SIEVES`.
    pub sieves: &'static [Sieve],
    begins: Begins,
    validate: Validator,
    pub must_match: &'static [&'static str],
    pub must_not_match: &'static [&'static str],
}

pub const DETECTORS: &[Detector] = &[
    Detector {
        name: "email",
        pattern: r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}",
        sieves: &[sieve::email],
        begins: Begins::Here,
        validate: as_proposed,
        must_match: &["ana.b+x@example.co.uk", "<o'neil@mail.example>"],
        must_not_match: &["user@localhost", "a @ b.com", "@handle"],
    },
    Detector {
        name: "payment_card",
        pattern: r"[2-6][0-9](?:[ -]?[0-9]){11,17}",
        sieves: &[sieve::payment_card],
        begins: Begins::AtWord,
        validate: payment_card,
        must_match: &[
            "4242424242424242",
            "4242 4242 4242 4242",
            "3782-822463-10005",
            "1 4242424242424242 12",
        ],
        must_not_match: &[
            "4242424242424241",
            "1234567890123452",
            "a4242424242424242",
            "42424242424242429999999",
        ],
    },
    Detector {
        name: "us_ssn",
        pattern: r"[0-8][0-9]{2}[- ][0-9]{2}[- ][0-9]{4}",
        sieves: &[sieve::us_ssn],
        begins: Begins::AtWord,
        validate: us_ssn,
        must_match: &["123-45-6789", "ssn 078 05 1120."],
        must_not_match: &[
            "000-12-3456",
            "666-12-3456",
            "123-00-4567",
            "123-45-0000",
            "9123-45-6789",
            "123-45 6789",
        ],
    },
    Detector {
        name: "iban",
        pattern: r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}",
        sieves: &[sieve::iban],
        begins: Begins::AtWord,
        validate: iban,
        must_match: &["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19"],
        must_not_match: &["DE89370400440532013001", "XX89370400440532013000", "ABCD"],
    },
    Detector {
        name: "phone",
        pattern: r"\+[1-9][0-9]{0,2}(?:[ .()-]{0,2}[0-9]){6,12}|\(?[2-9][0-9]{2}(?:\) ?|[ .-])[2-9][0-9]{2}[ .-][0-9]{4}",
        sieves: &[sieve::phone_abroad, sieve::phone_in_groups],
        begins: Begins::AtWord,
        validate: stands_alone,
        must_match: &[
            "+49 30 901820",
            "+1 (415) 555-2671",
            "(415) 555-2671",
            "415-555-2671",
        ],
        must_not_match: &["4155552671", "2024-01-15 10:20:30", "1.2.3.4567", "a415-555-2671"],
    },
    Detector {
        name: "aws_key",
        pattern: r"(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z2-7]{16}|(?i:aws[a-z_ .-]{0,12}secret[a-z_ .-]{0,16}['\x22]?[ =:]{1,4}['\x22]?)[A-Za-z0-9/+]{40}",
        sieves: &[sieve::aws_key_id, sieve::aws_secret],
        begins: Begins::AtWord,
        validate: stands_alone,
        must_match: &[
            "AKIAIOSFODNN7EXAMPLE",
            "aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab",
        ],
        must_not_match: &[
            "AKIAIOSFODNN7EXAMPL",
            "XAKIAIOSFODNN7EXAMPLE",
            "AKIAIOSFODNN7EXAMPLEX",
        ],
    },
    Detector {
        name: "jwt",
        pattern: r"eyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*",
        sieves: &[sieve::jwt],
        begins: Begins::Here,
        validate: as_proposed,
        must_match: &[
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
        ],
        must_not_match: &["eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.abc.def"],
    },
    Detector {
        name: "private_key",
        pattern: r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\z)",
        sieves: &[sieve::private_key],
        begins: Begins::Here,
        validate: as_proposed,
        must_match: &[
            "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
        ],
        must_not_match: &["-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----"],
    },
];

/// The most sieves that a detector has.
const SIEVES: usize = 2;

/// The most sieves that all detectors have together.
pub const ALL_SIEVES: usize = SIEVES * DETECTORS.len();

/// The patterns, to be tried at the beginning of a text.
static PATTERNS: LazyLock<Vec<Option<Regex>>> = LazyLock::new(|| {
    let anchored = |detector: &Detector| format!(r"\A(?:{})", detector.pattern);
    let compile = |pattern: String| RegexBuilder::new(&pattern).unicode(false).build().ok();
    DETECTORS.iter().map(anchored).map(compile).collect()
});

/// The table's index of a detector.
pub fn position(name: &str) -> Option<usize> {
    DETECTORS.iter().position(|detector| detector.name == name)
}

/// Every hit of one detector. A proposal that is turned down is tried again one byte further on, so that a digit set ahead of a
/// number does not hide it.
pub fn find_all(detector: usize, text: &[u8]) -> Vec<Hit> {
    let mut hits = Vec::new();
    let (Some(entry), Some(Some(pattern))) = (DETECTORS.get(detector), PATTERNS.get(detector)) else {
        return hits;
    };
    if entry.sieves.iter().all(|sieve| sieve(text, 0).is_none()) {
        return hits;
    }
    let mut candidates = Candidates::<SIEVES>::new(entry.sieves, text);
    let mut from = 0;
    while let Some(stretch) = candidates.next(from) {
        from = match entry.first_hit(pattern, text, stretch, from) {
            Some(hit) => {
                hits.push(hit);
                hit.end
            }
            None => stretch.end,
        };
    }
    hits
}

impl Detector {
    /// The first hit that begins in a stretch, at or behind `from`.
    fn first_hit(&self, pattern: &Regex, text: &[u8], stretch: Stretch, from: usize) -> Option<Hit> {
        let hit_at = |start: usize| {
            let proposal = pattern.find(text.get(start..)?)?;
            (self.validate)(text, start, start + proposal.end())
        };
        match self.begins {
            Begins::Here => hit_at(stretch.start),
            Begins::AtWord => (stretch.start.max(from)..stretch.end)
                .filter(|&start| !word_before(text, start))
                .find_map(hit_at),
        }
    }
}

// -- validators

fn as_proposed(_: &[u8], start: usize, end: usize) -> Option<Hit> {
    Some(Hit { start, end })
}

fn stands_alone(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    (!word_before(text, start) && !word_after(text, end)).then_some(Hit { start, end })
}

fn word_before(text: &[u8], start: usize) -> bool {
    start
        .checked_sub(1)
        .and_then(|before| text.get(before))
        .is_some_and(u8::is_ascii_alphanumeric)
}

fn word_after(text: &[u8], end: usize) -> bool {
    text.get(end).is_some_and(u8::is_ascii_alphanumeric)
}

fn digits(text: &[u8]) -> Vec<u8> {
    text.iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| byte - b'0')
        .collect()
}

/// Luhn's sum (ISO/IEC 7812-1, annex B), the lengths and prefixes that card networks issue. The proposal may run on into digits
/// behind the number, so every end that is not inside a run of digits is tried, the longest first.
fn payment_card(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    if word_before(text, start) {
        return None;
    }
    (start + 13..=end).rev().find_map(|end| {
        let candidate = text.get(start..end)?;
        let ends_on_digit = candidate.last().is_some_and(u8::is_ascii_digit);
        let number = digits(candidate);
        let fits = ends_on_digit && !word_after(text, end) && issued(&number) && luhn(&number);
        fits.then_some(Hit { start, end })
    })
}

fn issued(number: &[u8]) -> bool {
    let prefix = number
        .iter()
        .take(4)
        .fold(0u32, |value, digit| value * 10 + u32::from(*digit));
    match prefix {
        3400..=3499 | 3700..=3799 => number.len() == 15,
        3000..=3059 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&number.len()),
        4000..=4999 => matches!(number.len(), 13 | 16 | 19),
        2221..=2720 | 5100..=5599 => number.len() == 16,
        3528..=3589 | 6011 | 6440..=6599 | 6200..=6299 => (16..=19).contains(&number.len()),
        5000..=5099 | 5600..=5899 | 6300..=6399 | 6700..=6799 => (13..=19).contains(&number.len()),
        _ => false,
    }
}

fn luhn(number: &[u8]) -> bool {
    let sum: u32 = number
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let digit = u32::from(*digit);
            match (index % 2, digit) {
                (0, digit) => digit,
                (_, digit) if digit > 4 => digit * 2 - 9,
                (_, digit) => digit * 2,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The Social Security Administration never issued area 000, 666 or 9xx, group 00, serial 0000.
fn us_ssn(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let candidate = text.get(start..end)?;
    let same_separator = candidate.get(3) == candidate.get(6);
    let number = digits(candidate);
    let (area, group, serial) = (number.get(..3)?, number.get(3..5)?, number.get(5..)?);
    let issued = area != [0, 0, 0] && area != [6, 6, 6] && group != [0, 0] && serial != [0, 0, 0, 0];
    let alone = !word_before(text, start) && !word_after(text, end);
    (same_separator && issued && alone).then_some(Hit { start, end })
}

/// Lengths by country (ISO 13616, the registry's table).
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MT", 31),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"XK", 20),
];

/// ISO 13616: the country's length, and mod 97 of the rearranged number is 1.
fn iban(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let candidate = text.get(start..end)?;
    let country = candidate.get(..2)?;
    let (_, length) = IBAN_LENGTHS
        .iter()
        .find(|(known, _)| known.as_slice() == country)?;
    let last = candidate
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte != b' ')
        .nth(length - 1)?
        .0;
    let end = start + last + 1;
    let compact: Vec<u8> = candidate
        .get(..=last)?
        .iter()
        .copied()
        .filter(|byte| *byte != b' ')
        .collect();
    let alone = !word_before(text, start) && !word_after(text, end);
    (alone && mod_97(&compact) == 1).then_some(Hit { start, end })
}

fn mod_97(compact: &[u8]) -> u32 {
    let (head, tail) = compact.split_at(4.min(compact.len()));
    tail.iter().chain(head).fold(0u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte.saturating_sub(b'A')) + 10) % 97,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_entry_finds_its_examples_and_leaves_its_near_misses() {
        for (index, detector) in DETECTORS.iter().enumerate() {
            for text in detector.must_match {
                assert_eq!(
                    find_all(index, text.as_bytes()).len(),
                    1,
                    "{}: {text}",
                    detector.name
                );
            }
            for text in detector.must_not_match {
                assert_eq!(find_all(index, text.as_bytes()), [], "{}: {text}", detector.name);
            }
        }
    }

    /// The same by the patterns alone, tried at every place: what `find_all` must agree with.
    fn find_plainly(detector: usize, text: &[u8]) -> Vec<Hit> {
        static PLAIN: LazyLock<Vec<Regex>> = LazyLock::new(|| {
            let compile = |detector: &Detector| {
                RegexBuilder::new(detector.pattern)
                    .unicode(false)
                    .build()
                    .unwrap()
            };
            DETECTORS.iter().map(compile).collect()
        });
        let mut hits = Vec::new();
        let mut from = 0;
        while let Some(proposal) = PLAIN[detector].find_at(text, from) {
            match (DETECTORS[detector].validate)(text, proposal.start(), proposal.end()) {
                Some(hit) => {
                    hits.push(hit);
                    from = hit.end;
                }
                None => from = proposal.start() + 1,
            }
            if from > text.len() {
                break;
            }
        }
        hits
    }

    fn agrees_with_the_plain_way(text: &[u8]) {
        for (index, detector) in DETECTORS.iter().enumerate() {
            let (found, plainly) = (find_all(index, text), find_plainly(index, text));
            assert_eq!(found, plainly, "{} in {}", detector.name, text.escape_ascii());
        }
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(PATTERNS.iter().all(Option::is_some));
    }

    /// Pieces of hits and of what is nearly one, and what stands between them.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let whole: Vec<&[u8]> = DETECTORS
            .iter()
            .flat_map(|detector| detector.must_match.iter().chain(detector.must_not_match))
            .map(|example| example.as_bytes())
            .collect();
        let part =
            (prop::sample::select(whole.clone()), 0usize..80, 0usize..80).prop_map(|(example, cut, end)| {
                let end = end.min(example.len());
                example[cut.min(end)..end].to_vec()
            });
        let random = prop::string::bytes_regex(
            r"(?-u)[0-9]{1,20}|[0-9 -]{1,40}|[0-9 .()+-]{1,30}|[A-Z0-9 ]{1,40}|[A-Z]{2}[0-9]{2}|AKIA|[A-Z2-7]{16}|[A-Za-z0-9/+]{38,42}|(?i:aws|secret)|[ =:'\x22]{1,5}|eyJ|[a-z_-]{1,9}|[.]|@|[a-z@.]{1,12}|-----(BEGIN|END) |PRIVATE KEY-----|[\x00-\xff]{1,4}|a{60,66}|\n|4(242){5}",
        )
        .unwrap();
        let whole = prop::sample::select(whole).prop_map(<[u8]>::to_vec);
        prop_oneof![1 => whole, 1 => part, 3 => random]
    }

    /// Texts made of them.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(pieces(), 0..12).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn the_shortest_and_the_longest_forms_are_found() {
        let (a, b, key) = ("a".repeat(64), "b".repeat(63), "k".repeat(40));
        let name = format!("aws{}secret{}", "_".repeat(12), "_".repeat(16));
        for (detector, text) in [
            ("email", "a@b.co".to_owned()),
            ("email", format!("{a}@{b}.{b}.com")),
            ("payment_card", "4222222222222".to_owned()),
            ("iban", "NO9386011117947".to_owned()),
            ("phone", "+1234567".to_owned()),
            ("aws_key", format!("{name}\"====\"{key}")),
            ("aws_key", format!("awssecret={key}")),
            ("jwt", "eyJaaaaa.eyJaa.".to_owned()),
            ("private_key", "-----BEGIN PRIVATE KEY-----".to_owned()),
        ] {
            agrees_with_the_plain_way(text.as_bytes());
            assert_eq!(
                find_all(position(detector).unwrap(), text.as_bytes()).len(),
                1,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_sieves_let_every_hit_through(text in texts()) {
            agrees_with_the_plain_way(&text);
        }

        #[test]
        fn the_sieves_let_every_hit_through_in_few_kinds_of_bytes(
            text in "[0-9]{0,3}([4 -]|[2-9]|[A]|[Zz]|@|[.]|[+(]){0,60}",
        ) {
            agrees_with_the_plain_way(text.as_bytes());
        }

        /// What is around a value cannot hide that there may be a hit in it, wherever the search begins.
        #[test]
        fn a_sieve_sees_a_hit_in_whatever_holds_it(before in texts(), text in texts(), behind in texts(), from in 0usize..200) {
            let all = [&before[..], &text, &behind].concat();
            for (index, detector) in DETECTORS.iter().enumerate() {
                for hit in find_plainly(index, &text) {
                    let (start, end) = (before.len() + hit.start, before.len() + hit.end);
                    let mut candidates = Candidates::<SIEVES>::new(detector.sieves, &all);
                    candidates.touch(from.min(before.len()), from.min(before.len()));
                    prop_assert!(candidates.touch(start, end), "{}", detector.name);
                }
            }
        }

        #[test]
        fn hits_lie_inside_the_text_in_order(data in prop::collection::vec(any::<u8>(), 0..300)) {
            for index in 0..DETECTORS.len() {
                let mut end = 0;
                for hit in find_all(index, &data) {
                    prop_assert!(hit.start >= end && hit.end > hit.start && hit.end <= data.len());
                    end = hit.end;
                }
            }
        }
    }
}
