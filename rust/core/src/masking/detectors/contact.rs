//! How people and machines are reached.

use super::{Detector, Form, Start, as_proposed, behind, here, stands_alone};
use crate::masking::{
    scan::{BEHIND_DASH, BEHIND_DOT, BEHIND_JOINT, BEHIND_SPACE, OF_DIGITS, Spot},
    sieve,
};

pub const DETECTORS: &[Detector] = &[
    Detector {
        name: "email",
        group: "contact",
        forms: &[Form::Pattern {
            pattern: r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}",
            starts: &[Start::Byte(b'@', name_of_address)],
            check: as_proposed,
            is_weak: false,
        }],
        context: &[],
        sieves: &[sieve::email],
        must_match: &["ana.b+x@example.co.uk", "<o'neil@mail.example>"],
        must_not_match: &["user@localhost", "a @ b.com", "@handle"],
        also: &[],
    },
    Detector {
        name: "phone",
        group: "contact",
        forms: &[
            Form::Pattern {
                pattern: r"\+[1-9][0-9]{0,2}(?:[ .()-]{0,2}[0-9]){6,12}",
                starts: &[Start::Byte(b'+', plus_and_digits)],
                check: stands_alone,
                is_weak: false,
            },
            Form::Pattern {
                pattern: r"\(?[2-9][0-9]{2}(?:\) ?|[ .-])[2-9][0-9]{2}[ .-][0-9]{4}",
                starts: &[
                    Start::Byte(b'(', here),
                    Start::Word {
                        kinds: OF_DIGITS,
                        lengths: (3, 3),
                        behind: BEHIND_SPACE | BEHIND_DOT | BEHIND_DASH | BEHIND_JOINT,
                        locate: here,
                    },
                ],
                check: stands_alone,
                is_weak: false,
            },
        ],
        context: &[],
        sieves: &[sieve::phone_abroad, sieve::phone_in_groups],
        must_match: &[
            "+49 30 901820",
            "+1 (415) 555-2671",
            "(415) 555-2671",
            "415-555-2671",
        ],
        must_not_match: &["4155552671", "2024-01-15 10:20:30", "1.2.3.4567", "a415-555-2671"],
        also: &[],
    },
];

/// The beginning of the name ahead of an `@` that a domain may follow.
fn name_of_address(text: &[u8], spot: Spot, from: usize) -> Option<usize> {
    let name = text.get(from..spot.start)?.iter().rev().take(64);
    let length = name.take_while(|&&byte| sieve::is_of_name(byte)).count();
    let is_address = length > 0 && sieve::begins_with_domain(behind(text, spot));
    is_address.then_some(spot.start - length)
}

/// A plus with a digit behind it that begins a country's code.
fn plus_and_digits(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    let first = behind(text, spot).first()?;
    matches!(first, b'1'..=b'9').then_some(spot.start)
}
