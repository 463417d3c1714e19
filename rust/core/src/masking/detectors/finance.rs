//! Cards and accounts.

use super::{
    Detector, Form, Hit, Start,
    checksums::{digits, luhn, modulo_97, number, weighted},
    word_after, word_before,
};
use crate::masking::{
    scan::{BEHIND_ANY, BEHIND_SPACE, CAPITAL, DIGIT, OF_DIGITS, Spot},
    sieve,
};

pub const DETECTORS: &[Detector] = &[
    Detector {
        name: "payment_card",
        group: "finance",
        forms: &[Form::Pattern {
            pattern: r"[2-6][0-9](?:[ -]?[0-9]){12,17}",
            starts: &[Start::Word {
                kinds: OF_DIGITS,
                lengths: (2, 19),
                behind: BEHIND_ANY,
                locate: enough_digits,
            }],
            check: payment_card,
            is_weak: false,
        }],
        context: &[],
        sieves: &[sieve::payment_card],
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
            "4006336814416",
            "363442178830365",
        ],
        also: &[],
    },
    Detector {
        name: "short_card",
        group: "finance",
        forms: &[Form::Layouts {
            layouts: &[
                "999999999999",
                "9999 9999 9999",
                "9999-9999-9999",
                "9999999999999",
                "9999 9999 9999 9",
                "9999-9999-9999-9",
                "99999999999999",
                "999999999999999",
            ],
            check: short_card,
            is_weak: true,
        }],
        context: &[&[
            "card",
            "cardno",
            "cardnumber",
            "cc",
            "ccnumber",
            "creditcard",
            "creditcardnumber",
            "debitcard",
            "pan",
            "maestro",
            "visa",
            "kartennummer",
            "kreditkarte",
            "kreditkartennummer",
            "carte",
            "cartebancaire",
            "tarjeta",
            "carta",
            "cartão",
            "karta",
        ]],
        sieves: &[],
        must_match: &["Maestro 5020 0200 0003", "card 4222222222222"],
        must_not_match: &[
            "502002000003",
            "Maestro 502002000004",
            "card 4222222222223",
            "card 2222 2222 2222",
        ],
        also: &[],
    },
    Detector {
        name: "iban",
        group: "finance",
        forms: &[Form::Pattern {
            pattern: r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}",
            starts: &[
                Start::Word {
                    kinds: 1 << (CAPITAL | DIGIT),
                    lengths: (15, 34),
                    behind: BEHIND_ANY,
                    locate: country_and_check,
                },
                Start::Word {
                    kinds: 1 << (CAPITAL | DIGIT),
                    lengths: (4, 14),
                    behind: BEHIND_SPACE,
                    locate: country_and_check,
                },
            ],
            check: iban,
            is_weak: false,
        }],
        context: &[],
        sieves: &[sieve::iban],
        must_match: &["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19"],
        must_not_match: &["DE89370400440532013001", "XX89370400440532013000", "ABCD"],
        also: &[],
    },
    Detector {
        name: "us_routing",
        group: "finance",
        forms: &[Form::Layouts {
            layouts: &["999999999"],
            check: us_routing,
            is_weak: true,
        }],
        context: &[&[
            "routing",
            "routingnumber",
            "routingno",
            "aba",
            "abanumber",
            "rtn",
            "transit",
            "transitnumber",
            "fedwire",
        ]],
        sieves: &[],
        must_match: &["routing number 111000025", "ABA: 021000021"],
        must_not_match: &["111000025", "routing 111000026", "ABA 991000021"],
        also: &[],
    },
];

/// The American Bankers Association's: a district of the Federal Reserve, weights 3, 7, 1.
fn us_routing(number_of_bank: &[u8]) -> bool {
    let is_district = matches!(number(number_of_bank, 0, 2), 0..=12 | 21..=32 | 61..=72 | 80);
    let sum = weighted(number_of_bank, &[3, 7, 1, 3, 7, 1, 3, 7, 1]);
    is_district && sum > 0 && sum.is_multiple_of(10)
}

/// Fourteen digits with at most one separator between two of them, the first of which an issuer has.
fn enough_digits(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    let candidate = text.get(spot.start..)?;
    if !matches!(candidate.first(), Some(b'2'..=b'6')) {
        return None;
    }
    let (mut count, mut is_joint) = (0, false);
    for byte in candidate {
        match byte {
            b'0'..=b'9' => (count, is_joint) = (count + 1, false),
            b' ' | b'-' if !is_joint => is_joint = true,
            _ => return None,
        }
        if count == 14 {
            return Some(spot.start);
        }
    }
    None
}

/// Luhn's sum, the lengths and prefixes that card networks issue. The proposal may run on into digits behind the number, so every end
/// that is not inside a run of digits is tried, the longest first.
fn payment_card(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    if word_before(text, start) {
        return None;
    }
    (start + 14..=end).rev().find_map(|end| {
        let candidate = text.get(start..end)?;
        if !candidate.last().is_some_and(u8::is_ascii_digit) || word_after(text, end) {
            return None;
        }
        let number: Vec<u8> = digits(candidate);
        let written: Vec<u8> = number.iter().map(|digit| digit + b'0').collect();
        (issued(&number) && luhn(&written)).then_some(Hit { start, end })
    })
}

/// Prefixes and lengths in use. Maestro's shorter numbers and Visa's of 13 digits are hardly given out any more, and one number of ten
/// is like them, an EAN or a parcel's for instance: see `short_card`.
fn issued(number: &[u8]) -> bool {
    match prefix(number) {
        3400..=3499 | 3700..=3799 => number.len() == 15,
        3000..=3059 | 3600..=3699 | 3800..=3999 => matches!(number.len(), 14 | 16..=19),
        4000..=4999 => matches!(number.len(), 16 | 19),
        2221..=2720 | 5100..=5599 => number.len() == 16,
        3528..=3589 | 6011 | 6440..=6599 | 6200..=6299 => (16..=19).contains(&number.len()),
        prefix => is_maestro(prefix) && (16..=19).contains(&number.len()),
    }
}

/// Beside a word only: Maestro's of 12 to 15 digits, and Visa's of 13.
fn short_card(written: &[u8]) -> bool {
    let number = digits(written);
    let is_issued = match prefix(&number) {
        4000..=4999 => number.len() == 13,
        prefix => is_maestro(prefix),
    };
    is_issued && luhn(written)
}

fn is_maestro(prefix: u32) -> bool {
    matches!(prefix, 5000..=5099 | 5600..=5899 | 6300..=6399 | 6700..=6799)
}

/// The number that the first four digits are.
fn prefix(number: &[u8]) -> u32 {
    let first = number.iter().take(4);
    first.fold(0, |value, digit| value * 10 + u32::from(*digit))
}

/// A country that has IBANs, and check digits.
fn country_and_check(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    let [a, b, c, d] = text.get(spot.start..)?.first_chunk::<4>()?;
    let is_country = IBAN_LENGTHS.iter().any(|(country, _)| *country == &[*a, *b]);
    (is_country && c.is_ascii_digit() && d.is_ascii_digit()).then_some(spot.start)
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
    let is_kept = |(_, byte): &(usize, &u8)| **byte != b' ';
    let last = candidate.iter().enumerate().filter(is_kept).nth(length - 1)?.0;
    let end = start + last + 1;
    let (country, account) = candidate.get(..=last)?.split_at_checked(4)?;
    let rearranged = account
        .iter()
        .chain(country)
        .copied()
        .filter(|byte| *byte != b' ');
    let alone = !word_before(text, start) && !word_after(text, end);
    (alone && modulo_97(rearranged) == 1).then_some(Hit { start, end })
}
