//! Decimal numbers of any length: PostgreSQL's numeric in both formats (manual, "Numeric Types"; `numeric_send`), and numbers in texts.

use crate::reader::Reader;

/// A number as its digits: `digits * 10^exponent`. `scale` is how many digits it shows behind the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    pub negative: bool,
    /// Without zeros at either end; empty for 0.
    digits: Vec<u8>,
    exponent: i32,
    pub scale: u32,
}

/// So many digits fit in 128 bits.
const FIXED: i64 = 38;

const NEGATIVE: u16 = 0x4000;

impl Decimal {
    fn new(negative: bool, digits: Vec<u8>, exponent: i32, scale: u32) -> Option<Self> {
        let first = digits.iter().position(|&digit| digit != 0);
        let last = digits.iter().rposition(|&digit| digit != 0);
        let (Some(first), Some(last)) = (first, last) else {
            return Some(Self {
                negative: false,
                digits: Vec::new(),
                exponent: 0,
                scale,
            });
        };
        let dropped = i32::try_from(digits.len() - 1 - last).ok()?;
        let exponent = exponent.checked_add(dropped)?;
        let needed = u32::try_from(exponent.checked_neg()?.max(0)).ok()?;
        Some(Self {
            negative,
            digits: digits.get(first..=last)?.to_vec(),
            exponent,
            scale: scale.max(needed),
        })
    }

    /// `-12.50` or `1.25e3`; `None` for anything else, NaN and infinity too.
    pub fn from_text(text: &str) -> Option<Self> {
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let power: i32 = power
            .parse()
            .ok()
            .filter(|power| (-1000..=1000).contains(power))?;
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(mantissa) => (true, mantissa),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = Vec::with_capacity(mantissa.len());
        for byte in whole.bytes().chain(fraction.bytes()) {
            digits.push(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
        }
        let behind = i32::try_from(fraction.len()).ok()?;
        let scale = behind.checked_sub(power)?.max(0);
        (!digits.is_empty()).then(|| {
            Self::new(
                negative,
                digits,
                power.checked_sub(behind)?,
                u32::try_from(scale).ok()?,
            )
        })?
    }

    /// numeric in binary format: how many digits of base 10000, the weight of the first, the sign, the scale, the digits.
    pub fn from_binary(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let mut word = || reader.i16().ok().map(|word| word as u16);
        let (count, weight, sign, scale) = (word()?, word()? as i16, word()?, word()?);
        if !matches!(sign, 0 | NEGATIVE) || value.len() != 8 + 2 * usize::from(count) {
            return None;
        }
        let mut digits = Vec::with_capacity(4 * usize::from(count));
        for _ in 0..count {
            let group = word().filter(|group| *group < 10_000)?;
            digits.extend(
                [group / 1000, group / 100 % 10, group / 10 % 10, group % 10].map(|digit| digit as u8),
            );
        }
        let exponent = 4 * (i32::from(weight) - i32::from(count) + 1);
        Self::new(sign == NEGATIVE, digits, exponent, u32::from(scale))
    }

    pub fn from_fixed(value: i128, scale: u32) -> Option<Self> {
        let digits = value
            .unsigned_abs()
            .to_string()
            .bytes()
            .map(|byte| byte - b'0')
            .collect();
        Self::new(value < 0, digits, i32::try_from(scale).ok()?.checked_neg()?, 0)
    }

    /// The number times `10^scale`; `None` where that is no whole number of at most 38 digits.
    pub fn fixed(&self, scale: u32) -> Option<i128> {
        let shift = i64::from(self.exponent) + i64::from(scale);
        let fits = shift >= 0 && i64::try_from(self.digits.len()).ok()? + shift <= FIXED;
        let digits = self.digits.iter().filter(|_| fits);
        let value = digits.fold(0i128, |value, digit| value * 10 + i128::from(*digit));
        let value = value * 10i128.checked_pow(u32::try_from(shift).ok().filter(|_| fits)?)?;
        Some(if self.negative { -value } else { value })
    }

    /// The whole number at or below.
    pub fn floor(&self) -> Option<i128> {
        let below = self.exponent.min(0).unsigned_abs();
        Some(self.fixed(below)?.div_euclid(10i128.checked_pow(below)?))
    }

    /// The same for every way to write one number.
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.negative)];
        bytes.extend(self.exponent.to_be_bytes());
        bytes.extend(&self.digits);
        bytes
    }

    /// As PostgreSQL writes it, but for runs of more than `most` zeros that a large exponent makes.
    pub fn text(&self, most: usize) -> String {
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0).min(most));
        let digits: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        let (length, exponent) = (digits.len() as i64, i64::from(self.exponent));
        let point = (length + exponent).clamp(0, length) as usize;
        let (whole, fraction) = digits.split_at(point);
        let mut text = String::from(if self.negative { "-" } else { "" });
        text.push_str(if whole.is_empty() { "0" } else { whole });
        text.push_str(&zeros(if whole.is_empty() { 0 } else { exponent }));
        if self.scale > 0 {
            text.push('.');
            text.push_str(&zeros(if digits.is_empty() { 0 } else { -exponent - length }));
            text.push_str(fraction);
            text.push_str(&zeros(i64::from(self.scale) + exponent.min(0)));
        }
        text
    }

    /// numeric in binary format; `None` where that has more digits than any that is made here.
    pub fn binary(&self) -> Option<Vec<u8>> {
        let shift = self.exponent.rem_euclid(4);
        let mut digits = self.digits.clone();
        digits.extend(std::iter::repeat_n(0, usize::try_from(shift).ok()?));
        while !digits.len().is_multiple_of(4) {
            digits.insert(0, 0);
        }
        let groups = digits.chunks_exact(4);
        let groups: Vec<u16> = groups
            .map(|group| {
                group
                    .iter()
                    .fold(0, |value, digit| value * 10 + u16::from(*digit))
            })
            .collect();
        let count = i16::try_from(groups.len()).ok()?;
        let weight = (self.exponent - shift) / 4 + i32::from(count) - 1;
        let weight = i16::try_from(if count == 0 { 0 } else { weight }).ok()?;
        let sign = if self.negative { NEGATIVE } else { 0 };
        let mut bytes = Vec::with_capacity(8 + 2 * groups.len());
        bytes.extend(count.to_be_bytes());
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(u16::try_from(self.scale).ok()?.to_be_bytes());
        groups.iter().for_each(|group| bytes.extend(group.to_be_bytes()));
        Some(bytes)
    }

    /// The lower end of the bucket that the number lies in; `None` where a bucket has room for one number only of so many digits
    /// behind the point, so that it would stay what it is.
    pub fn bucket(&self, width: &Self) -> Option<Self> {
        let scale = self.scale.max(width.scale);
        let (value, width) = (self.fixed(scale)?, width.fixed(scale)?);
        if width <= 10i128.checked_pow(scale - self.scale)? {
            return None;
        }
        Self::from_fixed(value.div_euclid(width).checked_mul(width)?, scale)
    }

    pub fn is_positive(&self) -> bool {
        !self.negative && !self.digits.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::from_text(text).unwrap()
    }

    #[test]
    fn binary_numbers_are_those_that_a_server_sends() {
        // numeric_send of PostgreSQL 15
        for (text, hex) in [
            ("0", "0000000000000000"),
            ("0.00", "0000000000000002"),
            ("12345.678", "0003000100000003000109291a7c"),
            ("-0.0001", "0001ffff400000040001"),
            ("100000000", "00010002000000000001"),
        ] {
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            assert_eq!(decimal(text).binary(), Some(bytes.clone()), "{text}");
            assert_eq!(Decimal::from_binary(&bytes).unwrap().text(100), text);
        }
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        for text in [
            "", "-", ".", "1.2.3", "1e", "NaN", "Infinity", "0x10", "1_000", "1e99999", " 1", "١",
        ] {
            assert_eq!(Decimal::from_text(text), None, "{text}");
        }
        for value in [
            &b""[..],
            &[0; 7],
            &[0, 1, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0xc0, 0, 0, 0],
            &[0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10],
        ] {
            assert_eq!(Decimal::from_binary(value), None);
        }
    }

    #[test]
    fn a_bucket_has_room_for_more_than_one_number_or_is_none() {
        let bucket =
            |text: &str, width: &str| decimal(text).bucket(&decimal(width)).map(|found| found.text(100));
        assert_eq!(bucket("47", "10").as_deref(), Some("40"));
        assert_eq!(bucket("-1", "10").as_deref(), Some("-10"));
        assert_eq!(bucket("47.25", "0.5").as_deref(), Some("47"));
        assert_eq!(bucket("47.25", "2.5").as_deref(), Some("45"));
        assert_eq!(bucket("5.25", "1").as_deref(), Some("5"));
        assert_eq!(bucket("5", "1"), None);
        assert_eq!(bucket("5.2", "0.1"), None);
        assert_eq!(bucket("1e200", "10"), None);
    }

    #[test]
    fn long_runs_of_zeros_are_not_written_out_where_nobody_needs_them() {
        assert_eq!(decimal("1e1000").text(5), "100000");
        assert_eq!(decimal("1e-1000").text(5), "0.000001");
        assert_eq!(decimal("1e20").text(100), "100000000000000000000");
    }

    proptest! {
        #[test]
        fn both_formats_say_the_same(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?") {
            let number = decimal(&text);
            let written = number.text(1000);
            prop_assert!(written == text || text.trim_start_matches('-') == written);
            let again = Decimal::from_binary(&number.binary().unwrap()).unwrap();
            prop_assert_eq!(&again, &number);
            if let Some(fixed) = number.fixed(number.scale) {
                let back = Decimal::from_fixed(fixed, number.scale).unwrap();
                prop_assert_eq!(back.canonical(), number.canonical());
            }
        }

        #[test]
        fn garbage_is_no_number_or_a_short_text(value in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(number) = Decimal::from_binary(&value) {
                prop_assert!(number.text(64).len() < 300);
            }
            let _ = std::str::from_utf8(&value).map(Decimal::from_text);
        }
    }
}
