//! Digests of commands and of answers.
//!
//! A command's is what an approval is bound to: SHA-256 over the exact bytes, the parameters, and who, where and in which session (I2).
//! The same as `Command.digest` in Python, which is the reference; a test compares the two.

use sha2::{Digest as _, Sha256};

use crate::parameters::Parameter;

/// Lower-case hexadecimal.
pub type Digest = String;

/// The part of a digest that all commands of a session share.
pub struct Origin(Sha256);

impl Origin {
    /// `parts`: protocol, session, identity, target and database, in this order.
    pub fn new(parts: &[&str; 5]) -> Self {
        let mut hashed = Sha256::new();
        hashed.update(b"countersign command v1\0");
        for part in parts {
            add(&mut hashed, part.as_bytes());
        }
        Self(hashed)
    }

    /// `raw` in pieces, which count as one.
    pub fn digest(&self, raw: &[&[u8]], parameters: &[Parameter<'_>]) -> Digest {
        let mut hashed = self.0.clone();
        let length: usize = raw.iter().map(|piece| piece.len()).sum();
        hashed.update((length as u64).to_be_bytes());
        for piece in raw {
            hashed.update(piece);
        }
        for parameter in parameters {
            let mut head = [0u8; 10];
            head[0] = u8::from(parameter.binary);
            if let Some(oid) = head.get_mut(1..5) {
                oid.copy_from_slice(&parameter.type_oid.to_be_bytes());
            }
            head[9] = u8::from(parameter.raw.is_none());
            add(&mut hashed, &head);
            add(&mut hashed, parameter.raw.unwrap_or_default());
        }
        hex(&hashed.finalize())
    }
}

/// SHA-256 over messages as they pass, such as those of an answer with their framing.
#[derive(Clone, Default)]
pub struct StreamDigest(Sha256);

impl StreamDigest {
    /// The next bytes; where they are cut does not count.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// Of all that has come so far.
    pub fn hex(&self) -> Digest {
        hex(&self.0.clone().finalize())
    }
}

impl std::fmt::Debug for StreamDigest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "StreamDigest({})", self.hex())
    }
}

impl PartialEq for StreamDigest {
    fn eq(&self, other: &Self) -> bool {
        self.hex() == other.hex()
    }
}

impl Eq for StreamDigest {}

fn add(hashed: &mut Sha256, part: &[u8]) {
    hashed.update((part.len() as u64).to_be_bytes());
    hashed.update(part);
}

/// Bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS.get(usize::from(value)).copied().unwrap_or(b'0'));
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn where_a_stream_is_cut_does_not_count(data in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let (first, second) = data.split_at(cut.min(data.len()));
            let mut pieces = StreamDigest::default();
            pieces.update(first);
            prop_assert_eq!(&pieces.hex(), &hex(&Sha256::digest(first)));
            pieces.update(second);
            prop_assert_eq!(pieces.hex(), hex(&Sha256::digest(&data)));
        }
    }
}
