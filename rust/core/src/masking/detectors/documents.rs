//! Documents that carry check digits, or a form that says much.

use super::{Detector, Form, Hit, Start, checksums::number, stands_alone};
use crate::masking::scan::{BEHIND_ANY, BEHIND_JOINT, CAPITAL, DIGIT, OF_DIGITS, Spot};

/// What the lines of a machine-readable zone are written in.
const KINDS: u8 = OF_DIGITS | 1 << CAPITAL | 1 << (CAPITAL | DIGIT);

pub const DETECTORS: &[Detector] = &[
    Detector {
        name: "passport_mrz",
        group: "national_ids",
        forms: &[Form::Pattern {
            pattern: r"[A-Z0-9<]{9}[0-9][A-Z<]{3}[0-9]{7}[MFX<][0-9]{7}[A-Z0-9<]{7}(?:[A-Z0-9<]{7}[0-9<])?[0-9]|P[A-Z<]{43}|[ACI][A-Z<][A-Z<]{3}[A-Z0-9<]{9}[0-9<][A-Z0-9<]{15}|[0-9]{7}[MFX<][0-9]{7}[A-Z<]{3}[A-Z0-9<]{11}[0-9]",
            starts: &[
                Start::Word {
                    kinds: KINDS,
                    lengths: (1, 43),
                    behind: BEHIND_JOINT,
                    locate: line,
                },
                Start::Word {
                    kinds: KINDS,
                    lengths: (15, 44),
                    behind: BEHIND_ANY,
                    locate: line,
                },
            ],
            check: machine_readable,
            is_weak: false,
        }],
        context: &[],
        sieves: &[],
        must_match: &[
            "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
            "<mrz>L898902C36UTO7408122F1204159ZE184226B<<<<<10</mrz>",
            "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
            "I<UTOD231458907<<<<<<<<<<<<<<<",
            "7408122F1204159UTO<<<<<<<<<<<6",
            "D231458907UTO7408122F1204159<<<<<<<6",
        ],
        must_not_match: &[
            "L898902C37UTO7408122F1204159ZE184226B<<<<<10",
            "I<UTOD231458906<<<<<<<<<<<<<<<",
        ],
        also: &[],
    },
    Detector {
        name: "uk_driving_licence",
        group: "national_ids",
        forms: &[Form::Layouts {
            layouts: &[
                "XXXXX999999XXXAA",
                "XXXXX 999999 XXXAA",
                "XXXXX999999XXXAA99",
                "XXXXX999999XXXAA 99",
            ],
            check: uk_driving_licence,
            is_weak: false,
        }],
        context: &[],
        sieves: &[],
        must_match: &["MORGA657054SM9IJ", "MORGA 657054 SM9IJ"],
        must_not_match: &["MORGA667054SM9IJ", "MORGA657054S99I", "9ORGA657054SM9IJ"],
        also: &[],
    },
];

/// Thirty characters of a machine-readable zone.
fn line(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    let is_of_zone = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'<';
    text.get(spot.start..spot.start + 30)?
        .iter()
        .all(is_of_zone)
        .then_some(spot.start)
}

/// The check digits of ICAO Doc 9303, parts 4 to 6: weights 7, 3, 1; A is 10 and `<` is 0.
fn machine_readable(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let line = text.get(start..end)?;
    let holds = |from: usize, to: usize, at: usize| {
        let sum: u32 = line
            .get(from..to)
            .unwrap_or_default()
            .iter()
            .zip([7, 3, 1].into_iter().cycle())
            .map(weighed)
            .sum();
        let check = line.get(at).map_or(0, |byte| byte.wrapping_sub(b'0'));
        line.get(at)
            .is_some_and(|byte| byte.is_ascii_digit() || *byte == b'<')
            && (sum % 10 == u32::from(check) || line.get(at) == Some(&b'<'))
    };
    let fits = match line.len() {
        44 if line.starts_with(b"P") && !line.iter().any(u8::is_ascii_digit) => {
            line.windows(2).any(|pair| pair == b"<<")
        }
        36 | 44 => holds(0, 9, 9) && holds(13, 19, 19) && holds(21, 27, 27) && line.get(9) != Some(&b'<'),
        30 if line.first().is_some_and(u8::is_ascii_digit) => holds(0, 6, 6) && holds(8, 14, 14),
        30 => holds(5, 14, 14) && line.get(14) != Some(&b'<'),
        _ => false,
    };
    let is_of_zone = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'<';
    let goes_on = text.get(end) == Some(&b'<') && text.get(end + 1).is_some_and(is_of_zone);
    let alone =
        stands_alone(text, start, end).filter(|_| !goes_on && super::byte_before(text, start) != Some(b'<'));
    alone.filter(|_| fits)
}

fn weighed((byte, weight): (&u8, u32)) -> u32 {
    let value = match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'Z' => u32::from(byte - b'A') + 10,
        _ => 0,
    };
    value * weight
}

/// Five letters of the surname filled up with 9, the year's tens, the month (women's are 50 more), the day, the year's ones, two
/// initials or 9, and three characters of DVLA's own.
fn uk_driving_licence(licence: &[u8]) -> bool {
    let name = licence.get(..5).unwrap_or_default();
    let letters = name.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let is_filled = letters > 0 && name.iter().skip(letters).all(|byte| *byte == b'9');
    let is_born =
        matches!(number(licence, 6, 8), 1..=12 | 51..=62) && matches!(number(licence, 8, 10), 1..=31);
    let initials = licence.get(11..13).unwrap_or_default();
    let are_initials = initials
        .iter()
        .all(|byte| byte.is_ascii_alphabetic() || *byte == b'9')
        && initials.first() != Some(&b'9');
    is_filled && is_born && are_initials
}
