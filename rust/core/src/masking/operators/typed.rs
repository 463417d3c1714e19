//! Operators upon values that are no texts: what comes out is a value of the same type, in the same format, or NULL.
//!
//! A value is the same to `hash` and `tokenize` in both formats, so what one client sees can be joined with what another sees.

use super::{
    Decimal, Keys, Operator, REDACTED, Range,
    calendar::{self, DAY, FIRST_DAY, LAST_DAY, SECOND, Unit},
    tokens,
};
use crate::masking::kinds::Kind;

/// The whole value masked; `None` is NULL.
pub fn masked(operator: &Operator, kind: Kind, binary: bool, value: &[u8], keys: &Keys) -> Option<Vec<u8>> {
    match kind {
        Kind::Text => operator.apply(value, keys),
        Kind::Padded => operator.apply(value.trim_ascii_end(), keys),
        Kind::Xml => operator.apply(value, keys).map(character_data),
        Kind::Json | Kind::Jsonb => json(operator, kind, binary, value, keys),
        _ => {
            let scalar = read(kind, binary, value)?;
            let masked = match operator {
                Operator::Hash => hash(kind, &scalar, keys),
                Operator::Tokenize => token(kind, &scalar, keys),
                Operator::Range(range) => bucket(kind, &scalar, range),
                Operator::Redact | Operator::Partial { .. } | Operator::Null => None,
            };
            write(kind, binary, &masked?)
        }
    }
}

/// Text that is well-formed XML content.
fn character_data(text: Vec<u8>) -> Vec<u8> {
    if text.iter().any(|byte| matches!(byte, b'<' | b'>' | b'&')) {
        return REDACTED.to_vec();
    }
    text
}

/// A JSON string. A document has neither a shape nor a bucket as a whole.
fn json(operator: &Operator, kind: Kind, binary: bool, value: &[u8], keys: &Keys) -> Option<Vec<u8>> {
    let text = if kind == Kind::Jsonb && binary {
        value.get(1..).unwrap_or_default()
    } else {
        value
    };
    let masked = match operator {
        Operator::Null => return None,
        Operator::Hash | Operator::Tokenize => Operator::Hash.apply(text, keys)?,
        Operator::Redact | Operator::Partial { .. } | Operator::Range(_) => REDACTED.to_vec(),
    };
    Some(as_document(&string(&masked), kind, binary))
}

/// A JSON string of a text.
pub fn string(text: &[u8]) -> String {
    serde_json::Value::String(String::from_utf8_lossy(text).into_owned()).to_string()
}

/// A JSON text as its kind has it in this format.
pub fn as_document(text: &str, kind: Kind, binary: bool) -> Vec<u8> {
    let version: &[u8] = if kind == Kind::Jsonb && binary { &[1] } else { &[] };
    [version, text.as_bytes()].concat()
}

/// One value, read.
#[derive(Debug, Clone, PartialEq)]
enum Scalar {
    Whole(i128),
    Decimal(Decimal),
    Real(f64),
    Uuid(u128),
    Day(i64),
    Time(i64),
    /// Microseconds from 2000, and in text the offset that they are written in.
    Instant(i64, Option<i64>),
    Network(Network),
    /// Its six or eight bytes.
    Hardware(u64),
    Bytes(Vec<u8>),
    /// One 0 or 1 each.
    Bits(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Network {
    address: u128,
    prefix: u32,
    /// 32 or 128.
    width: u32,
}

impl Network {
    fn last(&self) -> u128 {
        u128::MAX >> (128 - self.width.clamp(1, 128))
    }
}

/// The values of a type of whole numbers.
fn bounds(kind: Kind) -> (i128, i128) {
    match kind {
        Kind::Int2 => (i16::MIN.into(), i16::MAX.into()),
        Kind::Int4 => (i32::MIN.into(), i32::MAX.into()),
        Kind::Int8 => (i64::MIN.into(), i64::MAX.into()),
        _ => (0, u32::MAX.into()),
    }
}

// -- reading

fn read(kind: Kind, binary: bool, value: &[u8]) -> Option<Scalar> {
    if binary {
        read_binary(kind, value)
    } else {
        read_text(kind, value)
    }
}

fn read_binary(kind: Kind, value: &[u8]) -> Option<Scalar> {
    Some(match kind {
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid | Kind::Money => Scalar::Whole(whole(kind, value)?),
        Kind::Numeric => Scalar::Decimal(Decimal::from_binary(value)?),
        Kind::Float4 => Scalar::Real(f32::from_be_bytes(value.try_into().ok()?).into()),
        Kind::Float8 => Scalar::Real(f64::from_be_bytes(value.try_into().ok()?)),
        Kind::Uuid => Scalar::Uuid(u128::from_be_bytes(value.try_into().ok()?)),
        Kind::Date => {
            let day = i32::from_be_bytes(value.try_into().ok()?);
            Scalar::Day(
                Some(day)
                    .filter(|day| !matches!(*day, i32::MIN | i32::MAX))?
                    .into(),
            )
        }
        Kind::Time => Scalar::Time(i64::from_be_bytes(value.try_into().ok()?)),
        Kind::Timestamp | Kind::Timestamptz => {
            let us = i64::from_be_bytes(value.try_into().ok()?);
            Scalar::Instant(Some(us).filter(|us| !matches!(*us, i64::MIN | i64::MAX))?, None)
        }
        Kind::Inet | Kind::Cidr => Scalar::Network(network(value)?),
        Kind::Macaddr | Kind::Macaddr8 => Scalar::Hardware(hardware(kind, value)?),
        Kind::Bytea => Scalar::Bytes(value.to_vec()),
        Kind::Bits => Scalar::Bits(bits(value)?),
        Kind::Text | Kind::Padded | Kind::Xml | Kind::Json | Kind::Jsonb | Kind::Other => return None,
    })
}

fn whole(kind: Kind, value: &[u8]) -> Option<i128> {
    Some(match kind {
        Kind::Int2 => i16::from_be_bytes(value.try_into().ok()?).into(),
        Kind::Int4 => i32::from_be_bytes(value.try_into().ok()?).into(),
        Kind::Int8 | Kind::Money => i64::from_be_bytes(value.try_into().ok()?).into(),
        _ => u32::from_be_bytes(value.try_into().ok()?).into(),
    })
}

/// Family (2 or 3), bits, whether it is a cidr, how many bytes, the bytes (`network_send`).
fn network(value: &[u8]) -> Option<Network> {
    let (&[family, prefix, _, count], address) = value.split_first_chunk::<4>()?;
    let width = match family {
        2 => 32,
        3 => 128,
        _ => return None,
    };
    let fits =
        address.len() == usize::from(count) && u32::from(count) * 8 == width && u32::from(prefix) <= width;
    let address = address
        .iter()
        .take(16)
        .fold(0u128, |address, &byte| (address << 8) | u128::from(byte));
    fits.then_some(Network {
        address,
        prefix: prefix.into(),
        width,
    })
}

fn hardware(kind: Kind, value: &[u8]) -> Option<u64> {
    let fits = value.len() == hardware_length(kind);
    fits.then(|| {
        value
            .iter()
            .fold(0u64, |number, &byte| (number << 8) | u64::from(byte))
    })
}

fn hardware_length(kind: Kind) -> usize {
    if kind == Kind::Macaddr { 6 } else { 8 }
}

/// How many bits, then the bits from the left (`varbit_send`).
fn bits(value: &[u8]) -> Option<Vec<u8>> {
    let (count, bytes) = value.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    let each = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    (bytes.len() == count.div_ceil(8)).then(|| each.take(count).collect())
}

fn read_text(kind: Kind, value: &[u8]) -> Option<Scalar> {
    let text = std::str::from_utf8(value).ok()?;
    Some(match kind {
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => {
            let (first, last) = bounds(kind);
            Scalar::Whole(
                text.parse()
                    .ok()
                    .filter(|number| (first..=last).contains(number))?,
            )
        }
        Kind::Numeric => Scalar::Decimal(Decimal::from_text(text)?),
        Kind::Float4 => Scalar::Real(text.parse::<f32>().ok()?.into()),
        Kind::Float8 => Scalar::Real(text.parse().ok()?),
        Kind::Uuid => {
            let digits: String = text.chars().filter(|digit| *digit != '-').collect();
            Scalar::Uuid(
                u128::from_str_radix(&digits, 16)
                    .ok()
                    .filter(|_| digits.len() == 32)?,
            )
        }
        Kind::Date => Scalar::Day(calendar::read_day(text)?),
        Kind::Time => Scalar::Time(calendar::read_time(text)?),
        Kind::Timestamp | Kind::Timestamptz => {
            let (us, offset_s) = calendar::read_instant(text)?;
            Scalar::Instant(us, offset_s)
        }
        Kind::Inet | Kind::Cidr => Scalar::Network(network_text(text)?),
        Kind::Macaddr | Kind::Macaddr8 => Scalar::Hardware(hardware(kind, &hex(&text.replace(':', ""))?)?),
        Kind::Bytea => Scalar::Bytes(bytes_of_text(value)?),
        Kind::Bits => Scalar::Bits(
            text.bytes()
                .map(|bit| bit.checked_sub(b'0').filter(|bit| *bit < 2))
                .collect::<Option<_>>()?,
        ),
        Kind::Money | Kind::Text | Kind::Padded | Kind::Xml | Kind::Json | Kind::Jsonb | Kind::Other => {
            return None;
        }
    })
}

fn network_text(text: &str) -> Option<Network> {
    let (address, prefix) = text
        .split_once('/')
        .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let (address, width) = match address.parse().ok()? {
        std::net::IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        std::net::IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let prefix = prefix.map_or(Some(width), |prefix| prefix.parse().ok())?;
    (prefix <= width).then_some(Network {
        address,
        prefix,
        width,
    })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    };
    text.as_bytes().chunks(2).map(byte).collect()
}

/// bytea in either form of output (manual, "Binary Data Types"): `\x` and hex, or backslashes ahead of octal digits.
pub fn bytes_of_text(text: &[u8]) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix(b"\\x") {
        return hex(std::str::from_utf8(digits).ok()?);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, behind) {
            (b'\\', [b'\\', behind @ ..]) => {
                bytes.push(b'\\');
                rest = behind;
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..]) => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = behind;
            }
            (b'\\', _) => return None,
            _ => bytes.push(byte),
        }
    }
    Some(bytes)
}

// -- writing

fn write(kind: Kind, binary: bool, scalar: &Scalar) -> Option<Vec<u8>> {
    if binary {
        write_binary(kind, scalar)
    } else {
        write_text(kind, scalar).map(String::into_bytes)
    }
}

fn write_binary(kind: Kind, scalar: &Scalar) -> Option<Vec<u8>> {
    Some(match scalar {
        Scalar::Whole(number) => match kind {
            Kind::Int2 => i16::try_from(*number).ok()?.to_be_bytes().to_vec(),
            Kind::Int4 => i32::try_from(*number).ok()?.to_be_bytes().to_vec(),
            Kind::Int8 => i64::try_from(*number).ok()?.to_be_bytes().to_vec(),
            _ => u32::try_from(*number).ok()?.to_be_bytes().to_vec(),
        },
        Scalar::Decimal(number) => number.binary()?,
        Scalar::Real(number) if kind == Kind::Float4 => (*number as f32).to_be_bytes().to_vec(),
        Scalar::Real(number) => number.to_be_bytes().to_vec(),
        Scalar::Uuid(number) => number.to_be_bytes().to_vec(),
        Scalar::Day(day) => i32::try_from(*day).ok()?.to_be_bytes().to_vec(),
        Scalar::Time(us) | Scalar::Instant(us, _) => us.to_be_bytes().to_vec(),
        Scalar::Network(network) => network_binary(kind, network)?,
        Scalar::Hardware(number) => number.to_be_bytes().get(8 - hardware_length(kind)..)?.to_vec(),
        Scalar::Bytes(bytes) => bytes.clone(),
        Scalar::Bits(bits) => {
            let byte = |bits: &[u8]| bits.iter().fold(0u8, |byte, bit| byte << 1 | bit) << (8 - bits.len());
            let count = i32::try_from(bits.len()).ok()?.to_be_bytes();
            count.into_iter().chain(bits.chunks(8).map(byte)).collect()
        }
    })
}

fn network_binary(kind: Kind, network: &Network) -> Option<Vec<u8>> {
    let (family, count) = if network.width == 32 { (2, 4u8) } else { (3, 16) };
    let address = network.address.to_be_bytes();
    let mut bytes = vec![
        family,
        u8::try_from(network.prefix).ok()?,
        u8::from(kind == Kind::Cidr),
        count,
    ];
    bytes.extend(address.get(16 - usize::from(count)..)?);
    Some(bytes)
}

fn write_text(kind: Kind, scalar: &Scalar) -> Option<String> {
    Some(match scalar {
        Scalar::Whole(number) => number.to_string(),
        Scalar::Decimal(number) => number.text(usize::MAX),
        Scalar::Real(number) if kind == Kind::Float4 => (*number as f32).to_string(),
        Scalar::Real(number) => number.to_string(),
        Scalar::Uuid(number) => {
            let digits = format!("{number:032x}");
            let (a, rest) = digits.split_at_checked(8)?;
            let (b, rest) = rest.split_at_checked(4)?;
            let (c, rest) = rest.split_at_checked(4)?;
            let (d, e) = rest.split_at_checked(4)?;
            format!("{a}-{b}-{c}-{d}-{e}")
        }
        Scalar::Day(day) => calendar::write_day(*day),
        Scalar::Time(us) => calendar::write_time(*us),
        Scalar::Instant(us, offset_s) => calendar::write_instant(*us, *offset_s),
        Scalar::Network(network) => network_written(kind, network)?,
        Scalar::Hardware(number) => {
            let bytes = number.to_be_bytes();
            let bytes = bytes.get(8 - hardware_length(kind)..)?.iter();
            bytes
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .join(":")
        }
        Scalar::Bytes(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\\x{digits}")
        }
        Scalar::Bits(bits) => bits.iter().map(|bit| char::from(b'0' + bit)).collect(),
    })
}

fn network_written(kind: Kind, network: &Network) -> Option<String> {
    let address = match network.width {
        32 => std::net::Ipv4Addr::from_bits(u32::try_from(network.address).ok()?).to_string(),
        _ => std::net::Ipv6Addr::from_bits(network.address).to_string(),
    };
    Some(match network.prefix {
        prefix if prefix == network.width && kind == Kind::Inet => address,
        prefix => format!("{address}/{prefix}"),
    })
}

// -- hash

/// Equal values of one type become equal ones. Numbers, dates and addresses are drawn from what their type holds, so that two
/// different ones may become equal, the sooner the smaller it is. Drawn again where it drew the value itself.
fn hash(kind: Kind, scalar: &Scalar, keys: &Keys) -> Option<Scalar> {
    let canonical = canonical(scalar);
    (0..4u8).find_map(|turn| {
        let drawn = drawn(kind, scalar, &|part| {
            keys.digest(&[
                b"\0hash ",
                kind.name().as_bytes(),
                &[0, turn],
                &u32::to_be_bytes(part),
                &canonical,
            ])
        })?;
        (drawn != *scalar).then_some(drawn)
    })
}

fn canonical(scalar: &Scalar) -> Vec<u8> {
    match scalar {
        Scalar::Whole(number) => number.to_be_bytes().to_vec(),
        Scalar::Decimal(number) => number.canonical(),
        // Zero is equal to minus zero, and NaN to NaN.
        Scalar::Real(number) if *number == 0.0 => 0f64.to_be_bytes().to_vec(),
        Scalar::Real(number) if number.is_nan() => f64::NAN.to_be_bytes().to_vec(),
        Scalar::Real(number) => number.to_be_bytes().to_vec(),
        Scalar::Uuid(number) => number.to_be_bytes().to_vec(),
        Scalar::Day(number) | Scalar::Time(number) | Scalar::Instant(number, _) => {
            number.to_be_bytes().to_vec()
        }
        Scalar::Network(network) => {
            let address = network.address.to_be_bytes();
            [
                &address[..],
                &network.prefix.to_be_bytes(),
                &network.width.to_be_bytes(),
            ]
            .concat()
        }
        Scalar::Hardware(number) => number.to_be_bytes().to_vec(),
        Scalar::Bytes(bytes) | Scalar::Bits(bytes) => bytes.clone(),
    }
}

fn drawn(kind: Kind, scalar: &Scalar, digest: &dyn Fn(u32) -> [u8; 32]) -> Option<Scalar> {
    let (long, _) = digest(0)
        .split_first_chunk::<16>()
        .map(|(first, rest)| (u128::from_be_bytes(*first), rest))?;
    let within = |first: i64, last: i64| {
        i64::try_from(i128::from(first) + (long % (last.abs_diff(first) as u128 + 1)) as i128).ok()
    };
    Some(match scalar {
        Scalar::Whole(_) if kind == Kind::Money => return None,
        Scalar::Whole(_) => Scalar::Whole(i128::try_from(long % (bounds(kind).1.unsigned_abs() + 1)).ok()?),
        Scalar::Decimal(_) => Scalar::Decimal(Decimal::from_fixed(within(0, i64::MAX)?.into(), 0)?),
        Scalar::Real(_) if kind == Kind::Float4 => Scalar::Real((long >> 104) as f64),
        Scalar::Real(_) => Scalar::Real((long >> 75) as f64),
        // Version 8 and variant 2 (RFC 9562): made by an application.
        Scalar::Uuid(_) => Scalar::Uuid(long & !(0xf << 76) & !(3 << 62) | 8 << 76 | 2 << 62),
        Scalar::Day(_) => Scalar::Day(within(FIRST_DAY, LAST_DAY)?),
        Scalar::Time(_) => Scalar::Time(within(0, DAY - 1)?),
        Scalar::Instant(_, offset_s) => {
            Scalar::Instant(within(FIRST_DAY * DAY, (LAST_DAY + 1) * DAY - 1)?, *offset_s)
        }
        Scalar::Network(network) => {
            let free = free_bits(kind, network)?;
            Scalar::Network(Network {
                address: long & network.last() & free,
                ..*network
            })
        }
        // Locally administered, and no group.
        Scalar::Hardware(_) if kind == Kind::Macaddr => {
            Scalar::Hardware((long as u64 >> 16) & !(1 << 40) | 2 << 40)
        }
        Scalar::Hardware(_) => Scalar::Hardware(long as u64 & !(1 << 56) | 2 << 56),
        Scalar::Bytes(_) => Scalar::Bytes(long.to_be_bytes().to_vec()),
        Scalar::Bits(bits) => {
            if bits.len() < FEWEST_BITS {
                return None;
            }
            let blocks = 0..u32::try_from(bits.len().div_ceil(32)).ok()?;
            Scalar::Bits(
                blocks
                    .flat_map(|block| digest(block).map(|byte| byte & 1))
                    .take(bits.len())
                    .collect(),
            )
        }
    })
}

/// With three bits or fewer every eighth guess is right, so there is no masked form.
const FEWEST_BITS: usize = 4;

/// The bits of an address that say something: of a cidr those of its prefix, of an inet all.
fn free_bits(kind: Kind, network: &Network) -> Option<u128> {
    if kind == Kind::Inet {
        return Some(network.last());
    }
    let host = network.width.checked_sub(network.prefix)?;
    let fits = usize::try_from(network.prefix).ok()? >= FEWEST_BITS;
    fits.then(|| (network.last() >> host) << host)
}

// -- tokenize

fn token(kind: Kind, scalar: &Scalar, keys: &Keys) -> Option<Scalar> {
    let name = kind.name().as_bytes();
    let form = |of: &[u8], number: u128, range: (u128, u128)| {
        tokens::number(number, range, &[b"\0token ", name, &[0], of], keys)
    };
    let signed = |of: &[u8], number: i64, (first, last): (i64, i64)| {
        let last = u128::from(last.abs_diff(first));
        let rank = u128::try_from(i128::from(number) - i128::from(first)).ok()?;
        i64::try_from(i128::from(first) + i128::try_from(form(of, rank, (0, last))?).ok()?).ok()
    };
    Some(match scalar {
        Scalar::Whole(_) if kind == Kind::Money => return None,
        Scalar::Whole(number) => Scalar::Whole(whole_token(kind, *number, &form)?),
        Scalar::Decimal(number) => Scalar::Decimal(decimal_token(number, &form)?),
        // Its digits are not its own.
        Scalar::Real(_) => return None,
        Scalar::Uuid(number) => Scalar::Uuid(uuid_token(*number, &form)?),
        Scalar::Day(day) => Scalar::Day(signed(b"", *day, (FIRST_DAY, LAST_DAY))?),
        Scalar::Time(us) if us % SECOND == 0 => {
            Scalar::Time(SECOND * signed(b"s", us / SECOND, (0, 86_399))?)
        }
        Scalar::Time(us) => Scalar::Time(signed(b"", *us, (0, DAY - 1))?),
        Scalar::Instant(us, offset_s) if us % SECOND == 0 => {
            let seconds = (FIRST_DAY * 86_400, (LAST_DAY + 1) * 86_400 - 1);
            Scalar::Instant(SECOND * signed(b"s", us / SECOND, seconds)?, *offset_s)
        }
        Scalar::Instant(us, offset_s) => Scalar::Instant(
            signed(b"", *us, (FIRST_DAY * DAY, (LAST_DAY + 1) * DAY - 1))?,
            *offset_s,
        ),
        Scalar::Network(network) => {
            let host = if kind == Kind::Cidr {
                network.width.checked_sub(network.prefix)?
            } else {
                0
            };
            let last = network.last().checked_shr(host)?;
            let of = [network.prefix.to_be_bytes(), network.width.to_be_bytes()].concat();
            let address = form(&of, network.address.checked_shr(host)?, (0, last))?;
            Scalar::Network(Network {
                address: address << host,
                ..*network
            })
        }
        Scalar::Hardware(number) => {
            let last = u64::MAX >> (64 - 8 * hardware_length(kind));
            Scalar::Hardware(u64::try_from(form(b"", (*number).into(), (0, last.into()))?).ok()?)
        }
        Scalar::Bytes(bytes) if bytes.is_empty() => return None,
        Scalar::Bytes(bytes) => Scalar::Bytes(tokens::bytes(bytes, keys)?),
        Scalar::Bits(bits) => Scalar::Bits(tokens::bits(bits, keys)?),
    })
}

type Form<'a> = &'a dyn Fn(&[u8], u128, (u128, u128)) -> Option<u128>;

/// The numbers of as many digits, up to `most`.
fn of_as_many_digits(number: u128, most: u128) -> Option<(u128, u128)> {
    let first = number.checked_ilog10().map_or(1, |power| 10u128.pow(power));
    let last = first.checked_mul(10)?.checked_sub(1)?.min(most);
    Some((if first == 1 { 0 } else { first }, last))
}

/// A whole number of the same sign and as many digits.
fn whole_token(kind: Kind, number: i128, form: Form<'_>) -> Option<i128> {
    let (least, most) = bounds(kind);
    let most = if number < 0 {
        least.unsigned_abs()
    } else {
        most.unsigned_abs()
    };
    let (first, last) = of_as_many_digits(number.unsigned_abs(), most)?;
    // There is no minus zero.
    let first = if number < 0 { first.max(1) } else { first };
    let digits = i128::try_from(form(
        &[u8::from(number < 0)],
        number.unsigned_abs(),
        (first, last),
    )?)
    .ok()?;
    Some(if number < 0 { -digits } else { digits })
}

/// A number of the same sign, of as many digits, as many of them behind the point.
fn decimal_token(number: &Decimal, form: Form<'_>) -> Option<Decimal> {
    let fixed = number.fixed(number.scale)?;
    let (first, last) = of_as_many_digits(fixed.unsigned_abs(), i128::MAX.unsigned_abs())?;
    let first = if number.negative { first.max(1) } else { first };
    let of = [&[u8::from(number.negative)][..], &number.scale.to_be_bytes()].concat();
    let digits = i128::try_from(form(&of, fixed.unsigned_abs(), (first, last))?).ok()?;
    let mut token = Decimal::from_fixed(if number.negative { -digits } else { digits }, number.scale)?;
    token.scale = number.scale;
    Some(token)
}

/// A uuid of the same version and variant.
fn uuid_token(number: u128, form: Form<'_>) -> Option<u128> {
    let fixed = number & (0xf << 76 | 3 << 62);
    let (high, middle, low) = (number >> 80, number >> 64 & 0xfff, number & !(u128::MAX << 62));
    let token = form(
        &fixed.to_be_bytes(),
        high << 74 | middle << 62 | low,
        (0, (1 << 122) - 1),
    )?;
    Some((token >> 74) << 80 | (token >> 62 & 0xfff) << 64 | token & !(u128::MAX << 62) | fixed)
}

// -- range

fn bucket(kind: Kind, scalar: &Scalar, range: &Range) -> Option<Scalar> {
    Some(match scalar {
        Scalar::Whole(_) if kind == Kind::Money => return None,
        Scalar::Whole(number) => {
            let lower = Decimal::from_fixed(*number, 0)?
                .bucket(range.width.as_ref()?)?
                .floor()?;
            let (least, most) = bounds(kind);
            Scalar::Whole(lower.clamp(least, most))
        }
        Scalar::Decimal(number) => Scalar::Decimal(number.bucket(range.width.as_ref()?)?),
        Scalar::Real(number) => {
            let text = write_text(kind, &Scalar::Real(*number))?;
            let lower = Decimal::from_text(&text)?.bucket(range.width.as_ref()?)?;
            Scalar::Real(lower.text(usize::MAX).parse().ok()?)
        }
        Scalar::Day(day) => Scalar::Day(range.to.filter(|to| *to > Unit::Day)?.of_day(*day)),
        Scalar::Time(us) => Scalar::Time(range.to.filter(|to| *to < Unit::Day)?.of_instant(*us)?),
        Scalar::Instant(us, offset_s) => Scalar::Instant(range.to?.of_instant(*us)?, *offset_s),
        Scalar::Uuid(_) | Scalar::Network(_) | Scalar::Hardware(_) | Scalar::Bytes(_) | Scalar::Bits(_) => {
            return None;
        }
    })
}

/// The text that a search for sensitive content looks into; `None` where the bytes themselves are it.
pub fn searched(kind: Kind, binary: bool, value: &[u8]) -> Option<Vec<u8>> {
    match (kind, binary) {
        (Kind::Bytea, false) => bytes_of_text(value),
        (Kind::Numeric, true) => Some(Decimal::from_binary(value)?.text(MOST_ZEROS).into_bytes()),
        (
            Kind::Int4
            | Kind::Int8
            | Kind::Money
            | Kind::Float8
            | Kind::Inet
            | Kind::Cidr
            | Kind::Macaddr
            | Kind::Macaddr8,
            true,
        ) => Some(write_text(kind, &read_binary(kind, value)?)?.into_bytes()),
        _ => None,
    }
}

/// No detector looks for longer runs of zeros.
const MOST_ZEROS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const OPERATORS: [&str; 8] = [
        r#"{"redact":{}}"#,
        r#"{"partial":{"keep_first":2,"keep_last":2}}"#,
        r#"{"hash":{}}"#,
        r#"{"tokenize":{}}"#,
        r#"{"null":{}}"#,
        r#"{"range":{"width":10,"to":"month"}}"#,
        r#"{"range":{"width":0.5}}"#,
        r#"{"range":{"to":"hour"}}"#,
    ];

    /// A value of each type in text format, and what `hash` and `tokenize` make of it, if anything.
    const VALUES: &[(Kind, &str, bool, bool)] = &[
        (Kind::Int2, "-1234", true, true),
        (Kind::Int4, "7", true, true),
        (Kind::Int8, "9223372036854775807", true, true),
        (Kind::Oid, "4294967295", true, true),
        (Kind::Numeric, "-12.50", true, true),
        (Kind::Numeric, "100000000000000000000", true, true),
        (Kind::Float4, "1.5", true, false),
        (Kind::Float8, "-1e+22", true, false),
        (Kind::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", true, true),
        (Kind::Date, "1984-02-29", true, true),
        (Kind::Time, "13:05:59.25", true, true),
        (Kind::Timestamp, "2024-05-17 10:11:12", true, true),
        (Kind::Timestamptz, "2024-05-17 10:11:12.123456+05:30", true, true),
        (Kind::Inet, "192.168.1.7", true, true),
        (Kind::Inet, "2001:db8::1/64", true, true),
        (Kind::Cidr, "10.1.0.0/16", true, true),
        (Kind::Cidr, "0.0.0.0/0", false, false),
        (Kind::Macaddr, "08:00:2b:01:02:03", true, true),
        (Kind::Macaddr8, "08:00:2b:01:02:03:04:05", true, true),
        (Kind::Bytea, "\\xdeadbeef", true, true),
        (Kind::Bytea, "\\x", true, false),
        (Kind::Bits, "10110011100", true, true),
        (Kind::Bits, "1", false, false),
        (Kind::Money, "$1,000.00", false, false),
        (Kind::Date, "infinity", false, false),
        (Kind::Numeric, "NaN", false, false),
        (Kind::Other, "{1,2}", false, false),
    ];

    fn keys() -> Keys {
        Keys::new(b"key").unwrap()
    }

    fn text_of(operator: &str, kind: Kind, value: &str) -> Option<String> {
        let operator = Operator::from_json(operator).unwrap();
        masked(&operator, kind, false, value.as_bytes(), &keys()).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn hash_and_tokenize_give_another_value_of_the_type_in_both_formats_the_same() {
        for &(kind, text, has_hash, has_token) in VALUES {
            for (operator, expected) in [(OPERATORS[2], has_hash), (OPERATORS[3], has_token)] {
                let shown = text_of(operator, kind, text);
                assert_eq!(shown.is_some(), expected, "{kind:?} {text} {operator}");
                let (Some(shown), Some(original)) = (shown, read_text(kind, text.as_bytes())) else {
                    continue;
                };
                assert_ne!(shown, text);
                let again = read_text(kind, shown.as_bytes()).unwrap();
                assert_ne!(again, original);
                let binary = write_binary(kind, &original).unwrap();
                let operator = Operator::from_json(operator).unwrap();
                let binary = masked(&operator, kind, true, &binary, &keys()).unwrap();
                assert_eq!(write_binary(kind, &again), Some(binary), "{kind:?} {text}");
            }
        }
    }

    #[test]
    fn what_has_no_masked_form_is_null() {
        for &(kind, text, ..) in VALUES {
            for operator in [OPERATORS[0], OPERATORS[1], OPERATORS[4]] {
                assert_eq!(text_of(operator, kind, text), None);
            }
        }
    }

    #[test]
    fn range_is_for_numbers_and_dates() {
        let all = r#"{"range":{"width":10,"to":"month"}}"#;
        for (kind, text, expected) in [
            (Kind::Int2, "-32768", Some("-32768")),
            (Kind::Int4, "47", Some("40")),
            (Kind::Numeric, "-0.01", Some("-10")),
            (Kind::Float8, "47.5", Some("40")),
            (Kind::Float8, "NaN", None),
            (Kind::Date, "1984-02-29", Some("1984-02-01")),
            (Kind::Date, "infinity", None),
            (Kind::Time, "13:05:59", None),
            (
                Kind::Timestamptz,
                "2024-05-17 10:11:12+02",
                Some("2024-05-01 02:00:00+02"),
            ),
            (Kind::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None),
        ] {
            assert_eq!(text_of(all, kind, text).as_deref(), expected, "{kind:?} {text}");
        }
        let hour = r#"{"range":{"to":"hour"}}"#;
        assert_eq!(text_of(hour, Kind::Time, "13:05:59").as_deref(), Some("13:00:00"));
        assert_eq!(text_of(hour, Kind::Date, "1984-02-29"), None);
        assert_eq!(text_of(r#"{"range":{"width":1}}"#, Kind::Int4, "47"), None);
    }

    #[test]
    fn texts_and_documents() {
        let json = |operator, kind, binary, value: &[u8]| {
            masked(
                &Operator::from_json(operator).unwrap(),
                kind,
                binary,
                value,
                &keys(),
            )
        };
        assert_eq!(
            json(OPERATORS[2], Kind::Jsonb, true, b"\x01{}").unwrap()[1..],
            json(OPERATORS[2], Kind::Jsonb, false, b"{}").unwrap()
        );
        for operator in OPERATORS {
            let shown = json(operator, Kind::Json, false, br#"{"a":"b"}"#);
            assert!(shown.is_none_or(|text| serde_json::from_slice::<String>(&text).is_ok()));
            let xml = text_of(operator, Kind::Xml, "<a>b</a>");
            assert!(xml.is_none_or(|text| text != "<a>b</a>" && !text.contains('<')));
        }
        assert_eq!(
            text_of(OPERATORS[2], Kind::Padded, "abc   "),
            text_of(OPERATORS[2], Kind::Text, "abc")
        );
        assert_eq!(
            text_of(OPERATORS[1], Kind::Padded, "abcdef   ").as_deref(),
            Some("a***ef")
        );
    }

    #[test]
    fn tokens_of_numbers_stay_apart_and_keep_their_digits() {
        let tokens: HashSet<_> = (-999..=999)
            .filter_map(|number: i32| text_of(OPERATORS[3], Kind::Int4, &number.to_string()))
            .collect();
        assert_eq!(tokens.len(), 1999);
        assert!(
            tokens
                .iter()
                .all(|token| token.trim_start_matches('-').len() <= 3)
        );
        let tokens: HashSet<_> = (0..300)
            .map(|day| text_of(OPERATORS[3], Kind::Date, &calendar::write_day(day)).unwrap())
            .collect();
        assert_eq!(tokens.len(), 300);
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        prop::sample::select(Kind::all().map(|(kind, _)| kind).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_what_comes_out_is_of_the_type(
            kind in kinds(), binary: bool, operator in prop::sample::select(OPERATORS.to_vec()),
            value in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                any::<[u8; 8]>().prop_map(Vec::from), any::<[u8; 4]>().prop_map(Vec::from), any::<[u8; 16]>().prop_map(Vec::from),
                "[-0-9:. +a-f/]{0,30}".prop_map(String::into_bytes),
                "-?[0-9]{1,19}(\\.[0-9]{1,4})?".prop_map(String::into_bytes),
                "[0-9]{4}-[01][0-9]-[0-3][0-9]( [0-2][0-9]:[0-5][0-9]:[0-5][0-9])?".prop_map(String::into_bytes),
            ],
        ) {
            let parsed = Operator::from_json(operator).unwrap();
            let _ = searched(kind, binary, &value);
            let Some(shown) = masked(&parsed, kind, binary, &value, &keys()) else { return Ok(()) };
            match kind {
                Kind::Text | Kind::Padded | Kind::Xml => {}
                Kind::Json | Kind::Jsonb => {
                    let text = if binary && kind == Kind::Jsonb { &shown[1..] } else { &shown[..] };
                    prop_assert!(serde_json::from_slice::<String>(text).is_ok());
                }
                _ => {
                    let (before, after) = (read(kind, binary, &value).unwrap(), read(kind, binary, &shown));
                    prop_assert!(after.is_some(), "{:?}", shown);
                    prop_assert!(operator.contains("range") || after != Some(before));
                }
            }
            prop_assert!(operator.contains("range") || shown != value);
        }
    }
}
