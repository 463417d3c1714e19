//! Format-preserving encryption: FF1 of NIST SP 800-38G, and what tokens are made of it.

use aes::{
    Aes256,
    cipher::{Array, BlockCipherEncrypt, BlockSizeUser, array::sizes::U16},
};

const ROUNDS: u8 = 10;

/// The halves of a numeral string, each as the number that it stands for (most significant numeral first).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Halves {
    radix: u32,
    /// How many numerals the halves have.
    lengths: (u32, u32),
    numbers: (u128, u128),
}

impl Halves {
    /// The modulus and the number of bytes of the longer half; `None` where a half has more than 96 bits, for which a round's 16
    /// bytes would not do.
    fn bounds(&self) -> Option<((u128, u128), usize)> {
        let modulus = |length: u32| u128::from(self.radix).checked_pow(length);
        let (first, second) = (modulus(self.lengths.0)?, modulus(self.lengths.1)?);
        let bits = u128::BITS - second.checked_sub(1)?.leading_zeros();
        (bits <= 96).then_some(((first, second), bits.div_ceil(8).try_into().ok()?))
    }
}

/// FF1.Encrypt, or with `back` FF1.Decrypt (SP 800-38G, algorithms 7 and 8), with tweaks of 16 bytes at most.
fn ff1<C>(cipher: &C, tweak: &[u8], mut text: Halves, back: bool) -> Option<Halves>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let ((first, second), width) = text.bounds()?;
    let taken = 4 * width.div_ceil(4) + 4;
    let (seed, rest) = first_blocks(cipher, tweak, &text, width)?;
    let (mut a, mut b) = text.numbers;
    for step in 0..ROUNDS {
        let round = if back { ROUNDS - 1 - step } else { step };
        let modulus = if round % 2 == 0 { first } else { second };
        let block = last_block(&rest, round, if back { a } else { b });
        let digest = encrypted(cipher, xor(seed, block));
        let y = reduced(u128::from_be_bytes(digest) >> (8 * (16 - taken)), modulus);
        (a, b) = if back {
            (reduced(b + modulus - y, modulus), a)
        } else {
            (b, reduced(a + y, modulus))
        };
    }
    text.numbers = (a, b);
    Some(text)
}

/// The cipher's chain over P and all of Q but its last block, which every round has in common, and what of Q stands ahead of the
/// round's number in that last block.
fn first_blocks<C>(cipher: &C, tweak: &[u8], text: &Halves, width: usize) -> Option<([u8; 16], Vec<u8>)>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let (u, v) = text.lengths;
    let [_, radix @ ..] = text.radix.to_be_bytes();
    let mut common = vec![1, 2, 1];
    common.extend(radix);
    common.extend([ROUNDS, u8::try_from(u % 256).ok()?]);
    common.extend((u + v).to_be_bytes());
    common.extend(u32::try_from(tweak.len()).ok()?.to_be_bytes());
    common.extend(tweak);
    while !(common.len() + 1 + width).is_multiple_of(16) {
        common.push(0);
    }
    let rest = common.split_off(common.len() - common.len() % 16);
    let mut chain = [0; 16];
    for block in common.chunks_exact(16) {
        chain = encrypted(cipher, xor(chain, block.try_into().ok()?));
    }
    Some((chain, rest))
}

/// The remainder, without a division where bits do it.
fn reduced(number: u128, modulus: u128) -> u128 {
    if modulus.is_power_of_two() {
        number & (modulus - 1)
    } else {
        number % modulus
    }
}

/// What of Q stands ahead of the round, the round, and a number in the bytes that are left.
fn last_block(ahead: &[u8], round: u8, number: u128) -> [u8; 16] {
    let mut block = number.to_be_bytes();
    let ahead = ahead.iter().chain([&round]);
    block.iter_mut().zip(ahead).for_each(|(to, from)| *to = *from);
    block
}

fn encrypted<C>(cipher: &C, block: [u8; 16]) -> [u8; 16]
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let mut block = Array::from(block);
    cipher.encrypt_block(&mut block);
    block.into()
}

fn xor(mut left: [u8; 16], right: [u8; 16]) -> [u8; 16] {
    left.iter_mut().zip(right).for_each(|(a, b)| *a ^= b);
    left
}

/// Below this many values there is no token: with two of them every other value is the answer.
const FEWEST: u128 = 9;

/// FF1 asks for a domain of a hundred values; smaller ones are walked through within 128.
const FEWEST_BITS: u32 = 7;

/// Another number of `0..=last`: the one behind `number` in a cycle through all of them, which key and tweak choose. So different
/// numbers stay different and none stays itself, which a permutation alone would not promise. `None` where there are too few.
///
/// The cycle is that of counting, in an order that FF1 over bits makes; what lies beyond `last` is stepped over (cycle walking).
pub fn token(cipher: &Aes256, tweak: &[u8; 16], number: u128, last: u128) -> Option<u128> {
    if number > last || last < FEWEST - 1 {
        return None;
    }
    let bits = (u128::BITS - last.leading_zeros()).max(FEWEST_BITS);
    let place = walk(cipher, tweak, bits, number, last, false)?;
    let next = if place == last { 0 } else { place + 1 };
    walk(cipher, tweak, bits, next, last, true)
}

fn walk(
    cipher: &Aes256,
    tweak: &[u8; 16],
    bits: u32,
    mut number: u128,
    last: u128,
    back: bool,
) -> Option<u128> {
    let lengths = (bits / 2, bits - bits / 2);
    loop {
        let low = (1u128 << lengths.1) - 1;
        let halves = Halves {
            radix: 2,
            lengths,
            numbers: (number >> lengths.1, number & low),
        };
        let (high, low) = ff1(cipher, tweak, halves, back)?.numbers;
        number = (high << lengths.1) | low;
        if number <= last {
            return Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::{Aes128, Aes192, cipher::KeyInit};
    use proptest::prelude::*;

    const KEY: &str = "2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F7F036D6F04FC6A94";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
        digits
            .chunks(2)
            .map(|pair| (pair[0] * 16 + pair[1]) as u8)
            .collect()
    }

    fn halves(text: &str, radix: u32) -> Halves {
        let (head, tail) = text.split_at(text.len() / 2);
        Halves {
            radix,
            lengths: (head.len() as u32, tail.len() as u32),
            numbers: (
                u128::from_str_radix(head, radix).unwrap(),
                u128::from_str_radix(tail, radix).unwrap(),
            ),
        }
    }

    /// NIST, "Examples with Intermediate Values", FF1 samples 1 to 9: key bytes, tweak, radix, plaintext, ciphertext.
    const SAMPLES: [(usize, &str, u32, &str, &str); 9] = [
        (16, "", 10, "0123456789", "2433477484"),
        (16, "39383736353433323130", 10, "0123456789", "6124200773"),
        (
            16,
            "3737373770717273373737",
            36,
            "0123456789abcdefghi",
            "a9tv40mll9kdu509eum",
        ),
        (24, "", 10, "0123456789", "2830668132"),
        (24, "39383736353433323130", 10, "0123456789", "2496655549"),
        (
            24,
            "3737373770717273373737",
            36,
            "0123456789abcdefghi",
            "xbj3kv35jrawxv32ysr",
        ),
        (32, "", 10, "0123456789", "6657667009"),
        (32, "39383736353433323130", 10, "0123456789", "1001623463"),
        (
            32,
            "3737373770717273373737",
            36,
            "0123456789abcdefghi",
            "xs8a0azh2avyalyzuwd",
        ),
    ];

    #[test]
    fn nist_s_samples_come_out_and_go_back() {
        for (length, tweak, radix, plain, cipher) in SAMPLES {
            let (key, tweak) = (&bytes(KEY)[..length], bytes(tweak));
            let (plain, cipher) = (halves(plain, radix), halves(cipher, radix));
            let run = |text: Halves, back: bool| match length {
                16 => ff1(&Aes128::new_from_slice(key).unwrap(), &tweak, text, back),
                24 => ff1(&Aes192::new_from_slice(key).unwrap(), &tweak, text, back),
                _ => ff1(&Aes256::new_from_slice(key).unwrap(), &tweak, text, back),
            };
            assert_eq!(run(plain, false), Some(cipher));
            assert_eq!(run(cipher, true), Some(plain));
        }
    }

    #[test]
    fn tokens_of_a_small_domain_are_one_cycle_through_all_of_it() {
        let cipher = Aes256::new_from_slice(&[7; 32]).unwrap();
        for last in [8u128, 9, 25, 99, 255, 1000] {
            let (mut at, mut seen) = (0, Vec::new());
            while !seen.contains(&at) {
                seen.push(at);
                at = token(&cipher, &[1; 16], at, last).unwrap();
            }
            assert_eq!((at, seen.len() as u128), (0, last + 1));
        }
        assert_eq!(token(&cipher, &[1; 16], 1, 7), None);
        assert_eq!(token(&cipher, &[1; 16], 10, 9), None);
    }

    proptest! {
        #[test]
        fn a_token_is_another_number_of_the_same_domain(number: u128, last: u128, tweak: [u8; 16]) {
            let (number, last) = (number.min(last), number.max(last).max(8));
            let cipher = Aes256::new_from_slice(&[7; 32]).unwrap();
            let token = super::token(&cipher, &tweak, number, last).unwrap();
            prop_assert!(token <= last && token != number);
            prop_assert_eq!(super::token(&cipher, &tweak, number, last), Some(token));
        }
    }
}
