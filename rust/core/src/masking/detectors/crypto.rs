//! Addresses of crypto currencies, by their checksums.

use sha2::{Digest, Sha256};

use super::{Detector, Form, Hit, Start, here, stands_alone, word};
use crate::masking::scan::{BEHIND_ANY, CAPITAL, DIGIT, LONG, OF_BOTH, SMALL, Spot};

pub const DETECTORS: &[Detector] = &[
    Detector {
        name: "bitcoin_address",
        group: "finance",
        forms: &[
            Form::Pattern {
                pattern: r"[13][1-9A-HJ-NP-Za-km-z]{24,34}",
                starts: &[Start::Word {
                    kinds: 1 << (SMALL | CAPITAL | DIGIT),
                    lengths: (25, 35),
                    behind: BEHIND_ANY,
                    locate: here,
                }],
                check: base58,
                is_weak: false,
            },
            Form::Pattern {
                pattern: r"(?:bc1[02-9ac-hj-np-z]{11,71}|BC1[02-9AC-HJ-NP-Z]{11,71})",
                starts: &[Start::Word {
                    kinds: 1 << (SMALL | DIGIT) | 1 << (CAPITAL | DIGIT),
                    lengths: (14, LONG),
                    behind: BEHIND_ANY,
                    locate: segwit,
                }],
                check: bech32,
                is_weak: false,
            },
        ],
        context: &[],
        sieves: &[],
        must_match: &[
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        ],
        must_not_match: &[
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
        ],
        also: &[],
    },
    Detector {
        name: "ethereum_address",
        group: "finance",
        forms: &[Form::Pattern {
            pattern: r"0x[0-9A-Fa-f]{40}",
            starts: &[Start::Word {
                kinds: OF_BOTH | 1 << DIGIT,
                lengths: (42, 42),
                behind: BEHIND_ANY,
                locate: here,
            }],
            check: ethereum,
            is_weak: false,
        }],
        context: &[],
        sieves: &[],
        must_match: &[
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfb6916095ca1df60bb79ce92ce3ea74c37c5d359",
        ],
        must_not_match: &[
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
        ],
        also: &[],
    },
];

/// Version and hash of a key or script, and the first four bytes of SHA-256 of SHA-256 of them.
fn base58(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let hit = stands_alone(text, start, end)?;
    let mut bytes = [0u8; 25];
    for letter in text.get(start..end)? {
        let mut carry = ALPHABET.iter().position(|known| known == letter)?;
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = u8::try_from(carry % 256).ok()?;
            carry /= 256;
        }
        if carry > 0 {
            return None;
        }
    }
    let (body, check) = bytes.split_at_checked(21)?;
    let digest = Sha256::digest(Sha256::digest(body));
    let is_known = matches!(body.first(), Some(0 | 5));
    (is_known && digest.get(..4) == Some(check)).then_some(hit)
}

fn segwit(text: &[u8], spot: Spot, _: usize) -> Option<usize> {
    word(text, spot)
        .get(..3)?
        .eq_ignore_ascii_case(b"bc1")
        .then_some(spot.start)
}

/// BIP 173, and BIP 350 from version 1 on.
fn bech32(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let hit = stands_alone(text, start, end)?;
    let small = text.get(start + 3..end)?.to_ascii_lowercase();
    let value = |letter: &u8| ALPHABET.iter().position(|known| known == letter);
    let values: Vec<usize> = small.iter().filter_map(value).collect();
    // The part for humans, "bc", by its high and its low bits.
    let sum = [3, 3, 0, 2, 3]
        .into_iter()
        .chain(values.iter().copied())
        .fold(1u32, |sum, value| {
            let top = sum >> 25;
            let next = (sum & 0x01ff_ffff) << 5 ^ u32::try_from(value).unwrap_or(0);
            let taken = GENERATORS
                .iter()
                .enumerate()
                .filter(|(bit, _)| top >> bit & 1 == 1);
            taken.fold(next, |sum, (_, generator)| sum ^ generator)
        });
    let expected = if values.first() == Some(&0) {
        1
    } else {
        0x2bc8_30a3
    };
    (sum == expected).then_some(hit)
}

/// EIP-55: capitals where the digest of the small letters says so. Letters of one size carry no checksum.
fn ethereum(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let hit = stands_alone(text, start, end)?;
    let letters = text.get(start + 2..end)?;
    let small = letters.to_ascii_lowercase();
    if letters == small || letters == letters.to_ascii_uppercase() {
        return Some(hit);
    }
    let digest = keccak_256(&small)?;
    let is_right = |(index, byte): (usize, &u8)| {
        let half = digest
            .get(index / 2)
            .map_or(0, |byte| byte >> (4 * (1 - index % 2)) & 0xf);
        byte.is_ascii_digit() || byte.is_ascii_uppercase() == (half >= 8)
    };
    letters.iter().enumerate().all(is_right).then_some(hit)
}

/// Keccak-256 as it was before FIPS 202, of less than one block.
fn keccak_256(text: &[u8]) -> Option<[u8; 32]> {
    const RATE: usize = 136;
    let mut block = [0u8; RATE];
    block.get_mut(..text.len())?.copy_from_slice(text);
    *block.get_mut(text.len())? ^= 0x01;
    *block.last_mut()? ^= 0x80;
    let mut state = [0u64; 25];
    for (lane, bytes) in state.iter_mut().zip(block.as_chunks::<8>().0) {
        *lane = u64::from_le_bytes(*bytes);
    }
    keccak_f(&mut state);
    let mut digest = [0u8; 32];
    for (bytes, lane) in digest.as_chunks_mut::<8>().0.iter_mut().zip(state) {
        *bytes = lane.to_le_bytes();
    }
    Some(digest)
}

/// The permutation of FIPS 202, section 3; lane (x, y) is at x + 5 y.
#[allow(clippy::indexing_slicing)] // of 25 lanes, by numbers modulo 5
fn keccak_f(state: &mut [u64; 25]) {
    const ROTATIONS: [u32; 24] = [
        1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44,
    ];
    let mut register = 1u8;
    for _ in 0..24 {
        let columns: [u64; 5] = std::array::from_fn(|x| (0..5).fold(0, |sum, y| sum ^ state[x + 5 * y]));
        for (at, lane) in state.iter_mut().enumerate() {
            *lane ^= columns[(at + 4) % 5] ^ columns[(at + 1) % 5].rotate_left(1);
        }
        let (mut x, mut y, mut moved) = (1, 0, state[1]);
        for rotation in ROTATIONS {
            (x, y) = (y, (2 * x + 3 * y) % 5);
            moved = std::mem::replace(&mut state[x + 5 * y], moved.rotate_left(rotation));
        }
        for row in state.as_chunks_mut::<5>().0 {
            let before = *row;
            for (x, lane) in row.iter_mut().enumerate() {
                *lane ^= !before[(x + 1) % 5] & before[(x + 2) % 5];
            }
        }
        for power in 0..7 {
            if register & 1 == 1 {
                state[0] ^= 1 << ((1 << power) - 1);
            }
            register = register << 1 ^ if register >> 7 == 1 { 0x71 } else { 0 };
        }
    }
}
