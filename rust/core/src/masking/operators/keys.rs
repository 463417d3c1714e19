//! What `hash` and `tokenize` are keyed by: one secret of the deployment.

use aes::{Aes256, cipher::KeyInit as _};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Keys made ready.
#[derive(Clone)]
pub struct Keys {
    mac: Hmac<Sha256>,
    cipher: Aes256,
}

impl Keys {
    pub fn new(secret: &[u8]) -> Result<Self, String> {
        let mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|error| error.to_string())?;
        let mut derived = mac.clone();
        // No value begins with a zero byte: PostgreSQL's texts hold none, and other digests say what they are of.
        derived.update(b"\0cipher of tokens");
        let cipher = Aes256::new(&derived.finalize().into_bytes());
        Ok(Self { mac, cipher })
    }

    /// HMAC-SHA-256 of the parts, one behind the other.
    pub fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    pub fn cipher(&self) -> &Aes256 {
        &self.cipher
    }
}
