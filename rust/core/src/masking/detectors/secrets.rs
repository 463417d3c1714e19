//! What opens doors.

use super::{Detector, Form, Hit, Start, as_proposed, behind, here, stands_alone, word, word_before};
use crate::masking::{
    scan::{
        BEHIND_ANY, BEHIND_ASSIGNMENT, BEHIND_COLON, BEHIND_SPACE, CAPITAL, DIGIT, LONG, OF_BOTH, OF_LETTERS,
        OF_MIXED, Spot,
    },
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
        also: &["secret"],
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
    Detector {
        name: "connection_string",
        group: "secrets",
        forms: &[Form::Pattern {
            pattern: r"[A-Za-z][A-Za-z0-9]{0,19}://[^\s:/@'\x22<>]{0,128}:[^\s/@'\x22<>]{1,256}@[^\s/'\x22<>]{1,255}",
            starts: &[Start::Word {
                kinds: OF_LETTERS | OF_BOTH,
                lengths: (1, LONG),
                behind: BEHIND_COLON,
                locate: scheme,
            }],
            check: as_proposed,
            is_weak: false,
        }],
        context: &[],
        sieves: &[],
        must_match: &[
            "postgresql+asyncpg://app:s3cret@db.internal:5432/shop",
            "https://user:token@example.com/x",
            "redis://:pw@cache:6379/0",
        ],
        must_not_match: &[
            "postgres://app@db/shop",
            "https://example.com:8080/a@b",
            "http://user:/x@y",
        ],
        also: &["email"],
    },
    Detector {
        name: "bearer",
        group: "secrets",
        forms: &[Form::Pattern {
            pattern: r"(?i:bearer) {1,3}[A-Za-z0-9._~+/-]{16,2048}=*",
            starts: &[Start::Word {
                kinds: OF_LETTERS,
                lengths: (6, 6),
                behind: BEHIND_SPACE,
                locate: scheme_of_header,
            }],
            check: bearer,
            is_weak: false,
        }],
        context: &[],
        sieves: &[],
        must_match: &[
            "Authorization: Bearer abcdefghijklmnop1234",
            "bearer mF_9.B5f-4.1JqM4567890",
        ],
        must_not_match: &[
            "Bearer authentication-is-required",
            "Bearer of bad news",
            "forbearer abcdefghijklmnop1234",
        ],
        also: &["secret"],
    },
    Detector {
        name: "basic",
        group: "secrets",
        forms: &[Form::Pattern {
            pattern: r"(?i:basic) {1,3}[A-Za-z0-9+/]{8,1024}={0,2}",
            starts: &[Start::Word {
                kinds: OF_LETTERS,
                lengths: (5, 5),
                behind: BEHIND_SPACE,
                locate: scheme_of_header,
            }],
            check: basic,
            is_weak: false,
        }],
        context: &[],
        sieves: &[],
        must_match: &[
            "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "basic dXNlcjpwYXNz",
        ],
        must_not_match: &[
            "Basic arithmetic",
            "basic knowledge about programming",
            "Basic QWxhZGRpbg==",
        ],
        also: &[],
    },
    Detector {
        name: "secret",
        group: "secrets",
        forms: &[Form::Pattern {
            pattern: r"[A-Za-z]{0,20}(?i:key|token|secret|password|passwd|pwd|passphrase|credentials?)['\x22]? {0,2}(?::=|=>|[:=]) {0,2}['\x22]?[A-Za-z0-9+/_.~!@#$%^&*-]{8,256}={0,2}",
            starts: &[Start::Word {
                kinds: OF_LETTERS,
                lengths: (3, 30),
                behind: BEHIND_SPACE | BEHIND_COLON | BEHIND_ASSIGNMENT,
                locate: name_of_secret,
            }],
            check: secret,
            is_weak: false,
        }],
        context: &[],
        sieves: &[],
        must_match: &[
            "api_key = 'a8f3Kq92LmZx04TrYw7B'",
            "DB_PASSWORD=hunter2!x",
            "{\"clientSecret\": \"Zx9-qLm_27TrYw8aBcDe\"}",
        ],
        must_not_match: &[
            "password: required",
            "key: value",
            "token = aaaaaaaaaaaaaaaa1",
            "primary key: customer_id_and_name",
            "monkey: a8f3",
        ],
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

/// A scheme with `://` behind it.
/// The beginning of a scheme, which may be the end of a longer word.
fn scheme(text: &[u8], spot: Spot, from: usize) -> Option<usize> {
    let first = spot.start.max(spot.end.saturating_sub(20)).max(from);
    let is_letter = |at: &usize| text.get(*at).is_some_and(u8::is_ascii_alphabetic);
    let start = (first..spot.end).find(is_letter)?;
    behind(text, spot).starts_with(b"://").then_some(start)
}

fn scheme_of_header(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    let name = word(text, spot);
    (name.eq_ignore_ascii_case(b"bearer") || name.eq_ignore_ascii_case(b"basic")).then_some(spot.start)
}

/// A token has digits among its letters.
fn bearer(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let token = text.get(start + 6..end)?;
    stands_alone(text, start, end).filter(|_| token.iter().any(u8::is_ascii_digit))
}

/// What the base64 says is a name, a colon and a password (RFC 7617, section 2).
fn basic(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let encoded = text.get(start + 5..end)?.trim_ascii();
    let mut bits = 0u32;
    let mut count = 0;
    let mut decoded = Vec::new();
    for byte in encoded.iter().filter(|byte| **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count & 0xff) as u8);
        }
    }
    let is_text = std::str::from_utf8(&decoded).is_ok_and(|text| !text.chars().any(char::is_control));
    stands_alone(text, start, end).filter(|_| is_text && decoded.contains(&b':'))
}

/// A word that ends like a secret's name.
fn name_of_secret(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    let name = word(text, spot);
    let ends = |end: &[u8]| {
        let at = name.len().checked_sub(end.len());
        at.and_then(|at| name.get(at..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    let names: [&[u8]; 9] = [
        b"key",
        b"token",
        b"secret",
        b"password",
        b"passwd",
        b"pwd",
        b"passphrase",
        b"credential",
        b"credentials",
    ];
    names.into_iter().any(ends).then_some(spot.start)
}

/// The secret itself, without its name and quotes. A password has a digit or a sign; anything else is as mixed as chance makes it.
fn secret(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let assignment = text.get(start..end)?;
    let name = assignment
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let is_around = |byte: &&u8| matches!(**byte, b' ' | b':' | b'=' | b'>' | b'\'' | b'"');
    let from = name + assignment.iter().skip(name).take_while(is_around).count();
    let (name, value) = (
        assignment.get(..name)?.to_ascii_lowercase(),
        assignment.get(from..)?,
    );
    let is_password = [&b"word"[..], b"wd", b"phrase"]
        .iter()
        .any(|end| name.ends_with(end));
    let has_digit = value.iter().any(u8::is_ascii_digit);
    let has_letter = value.iter().any(u8::is_ascii_alphabetic);
    let has_sign = value.iter().any(|byte| b"!@#$%^&*~".contains(byte));
    let is_one = if is_password {
        has_digit || has_sign
    } else {
        value.len() >= 16 && has_digit && has_letter && entropy(value) > 3.0
    };
    let hit = Hit {
        start: start + from,
        end,
    };
    (is_one && !word_before(text, start)).then_some(hit)
}

/// Bits a byte (Shannon's), by how often each byte is there.
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in text {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let share = |count: u32| f64::from(count) / text.len() as f64;
    let bits = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| -share(*count) * share(*count).log2());
    bits.sum()
}
