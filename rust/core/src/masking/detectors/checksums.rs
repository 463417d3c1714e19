//! Checksums that more than one identifier has.

/// The digits of a text, each as its value.
pub fn digits(text: &[u8]) -> Vec<u8> {
    text.iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| byte - b'0')
        .collect()
}

/// The digit at a place of a text of digits.
pub fn digit(text: &[u8], at: usize) -> u32 {
    text.get(at).map_or(0, |byte| u32::from(byte.wrapping_sub(b'0')))
}

/// The number that some of its digits make.
pub fn number(text: &[u8], from: usize, to: usize) -> u64 {
    text.get(from..to)
        .unwrap_or_default()
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .fold(0u64, |value, byte| {
            value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'))
        })
}

/// The sum of each digit times its weight; digits beyond the weights do not count.
pub fn weighted(text: &[u8], weights: &[u32]) -> u32 {
    text.iter()
        .zip(weights)
        .map(|(byte, weight)| u32::from(byte.wrapping_sub(b'0')) * weight)
        .sum()
}

/// Luhn's sum over all digits (ISO/IEC 7812-1, annex B).
pub fn luhn(text: &[u8]) -> bool {
    let sum: u32 = text
        .iter()
        .rev()
        .enumerate()
        .map(
            |(index, byte)| match (index % 2, u32::from(byte.wrapping_sub(b'0'))) {
                (0, digit) => digit,
                (_, digit) if digit > 4 => digit * 2 - 9,
                (_, digit) => digit * 2,
            },
        )
        .sum();
    sum.is_multiple_of(10)
}

/// All digits are the same, as in what stands for "none".
pub fn is_repeated(text: &[u8]) -> bool {
    text.windows(2).all(|pair| matches!(pair, [a, b] if a == b))
}

/// The remainder of a long number.
pub fn modulo(text: &[u8], modulus: u32) -> u32 {
    text.iter().fold(0, |rest, byte| {
        (rest * 10 + u32::from(byte.wrapping_sub(b'0'))) % modulus
    })
}

/// The remainder by 97 of letters and digits, where A is 10 and Z 35 (ISO/IEC 7064, MOD 97-10).
pub fn modulo_97(text: impl Iterator<Item = u8>) -> u32 {
    text.fold(0u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte.saturating_sub(b'A')) + 10) % 97,
    })
}

/// ISO/IEC 7064, MOD 11,10: the hybrid system of one digit.
pub fn iso_11_10(text: &[u8]) -> bool {
    let before_last = text.split_last().map_or(&[][..], |(_, rest)| rest);
    let product = before_last.iter().fold(10, |product, byte| {
        let sum = (product + u32::from(byte.wrapping_sub(b'0'))) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    let last = text.last().map_or(0, |byte| u32::from(byte.wrapping_sub(b'0')));
    (product + last) % 10 == 1
}

/// Verhoeff's sum over all digits: the dihedral group D5 and its permutation.
pub fn verhoeff(text: &[u8]) -> bool {
    const PERMUTATION: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let permuted = |digit: u32, times: usize| {
        (0..times % 8).fold(digit, |digit, _| {
            PERMUTATION.get(digit as usize).copied().unwrap_or(0)
        })
    };
    let sum = text.iter().rev().enumerate().fold(0, |sum, (place, byte)| {
        product_in_d5(sum, permuted(u32::from(byte.wrapping_sub(b'0')), place))
    });
    sum == 0
}

fn product_in_d5(left: u32, right: u32) -> u32 {
    match (left < 5, right < 5) {
        (true, true) => (left + right) % 5,
        (true, false) => (left + right - 5) % 5 + 5,
        (false, true) => (left - 5 + 5 - right) % 5 + 5,
        (false, false) => (left + 5 - right) % 5,
    }
}

/// True where there is such a day. Years are those of the Gregorian calendar.
pub fn is_date(year: u64, month: u64, day: u64) -> bool {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// The same where the century is not told: 29 February counts if any has it.
pub fn is_short_date(year: u64, month: u64, day: u64) -> bool {
    is_date(2000 + year % 100, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_hold_for_published_examples_and_not_beside_them() {
        assert!(luhn(b"79927398713") && !luhn(b"79927398710"));
        assert!(verhoeff(b"2363") && !verhoeff(b"2364"));
        assert!(iso_11_10(b"07945") && !iso_11_10(b"07946"));
        assert_eq!(modulo_97(b"794".iter().copied()), 794 % 97);
        assert_eq!(modulo(b"123456789012345678901234567890", 97), 52);
        assert_eq!(weighted(b"123", &[3, 2, 1]), 10);
    }

    #[test]
    fn days_that_there_are() {
        assert!(is_date(2024, 2, 29) && !is_date(2023, 2, 29) && !is_date(1900, 2, 29));
        assert!(!is_date(2024, 0, 1) && !is_date(2024, 4, 31) && !is_date(2024, 13, 1));
        assert!(is_short_date(0, 2, 29));
    }
}
