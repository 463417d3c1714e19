//! What opens doors.

use super::{Detector, Form, Start, as_proposed, here, stands_alone, word};
use crate::masking::{
    scan::{BEHIND_ANY, BEHIND_SPACE, CAPITAL, DIGIT, LONG, OF_BOTH, OF_LETTERS, OF_MIXED, Spot},
    sieve,
};

pub const DETECTORS: &[Detector] = &[
    Detector {
        name: "aws_key",
        group: "secrets",
        forms: &[
            Form::Pattern {
                pattern: r"(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z2-7]{16}",
                starts: &[Start::Word {
                    kinds: 1 << CAPITAL | 1 << (CAPITAL | DIGIT),
                    lengths: (20, 20),
                    behind: BEHIND_ANY,
                    locate: here,
                }],
                check: stands_alone,
                is_weak: false,
            },
            Form::Pattern {
                pattern: r"(?i:aws[a-z_ .-]{0,12}secret[a-z_ .-]{0,16}['\x22]?[ =:]{1,4}['\x22]?)[A-Za-z0-9/+]{40}",
                starts: &[Start::Word {
                    kinds: OF_LETTERS | OF_BOTH,
                    lengths: (3, 37),
                    behind: BEHIND_ANY,
                    locate: aws,
                }],
                check: stands_alone,
                is_weak: false,
            },
        ],
        context: &[],
        sieves: &[sieve::aws_key_id, sieve::aws_secret],
        must_match: &[
            "AKIAIOSFODNN7EXAMPLE",
            "aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab",
        ],
        must_not_match: &[
            "AKIAIOSFODNN7EXAMPL",
            "XAKIAIOSFODNN7EXAMPLE",
            "AKIAIOSFODNN7EXAMPLEX",
        ],
        also: &[],
    },
    Detector {
        name: "jwt",
        group: "secrets",
        forms: &[Form::Pattern {
            pattern: r"eyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*",
            starts: &[Start::Word {
                kinds: OF_MIXED,
                lengths: (3, LONG),
                behind: BEHIND_ANY,
                locate: header_of_token,
            }],
            check: as_proposed,
            is_weak: false,
        }],
        context: &[],
        sieves: &[sieve::jwt],
        must_match: &[
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
        ],
        must_not_match: &["eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.abc.def"],
        also: &[],
    },
    Detector {
        name: "private_key",
        group: "secrets",
        forms: &[Form::Pattern {
            pattern: r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\z)",
            starts: &[Start::Word {
                kinds: 1 << CAPITAL,
                lengths: (5, 5),
                behind: BEHIND_SPACE,
                locate: dashes_ahead,
            }],
            check: as_proposed,
            is_weak: false,
        }],
        context: &[],
        sieves: &[sieve::private_key],
        must_match: &[
            "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
        ],
        must_not_match: &["-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----"],
        also: &[],
    },
];

fn aws(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    let name = word(text, spot).get(..3)?;
    name.eq_ignore_ascii_case(b"aws").then_some(spot.start)
}

/// Where the header begins whose payload this word does. Every part of a token is looked at once, from the dot behind it.
fn header_of_token(text: &[u8], spot: Spot, from: usize) -> Option<usize> {
    let dot = spot
        .start
        .checked_sub(1)
        .filter(|dot| *dot >= from && text.get(*dot) == Some(&b'.'))?;
    if !word(text, spot).starts_with(b"eyJ") {
        return None;
    }
    let is_of_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'-');
    let before = text.get(from..dot)?;
    let length = before.iter().rev().take_while(is_of_part).count();
    let part = before.get(before.len() - length..)?;
    let begin = memchr::memmem::find(part, b"eyJ").filter(|begin| length - begin >= 8)?;
    Some(dot - length + begin)
}

fn dashes_ahead(text: &[u8], spot: Spot, from: usize) -> Option<usize> {
    let start = spot.start.checked_sub(5).filter(|start| *start >= from)?;
    let is_line = word(text, spot) == b"BEGIN" && text.get(start..spot.start) == Some(b"-----");
    is_line.then_some(start)
}
