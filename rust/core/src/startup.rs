//! The untyped packets that open a connection (manual, "Message Flow", "Start-up").

use crate::{ProtocolError, reader::Reader};

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
/// PostgreSQL's MAX_STARTUP_PACKET_LENGTH.
const LIMIT: usize = 10_000;

/// What a client opens with.
#[derive(Debug, PartialEq, Eq)]
pub enum Startup {
    SslRequest,
    GssEncRequest,
    Cancel {
        pid: u32,
        key: Vec<u8>,
    },
    Session {
        major: u16,
        minor: u16,
        parameters: Vec<(String, String)>,
    },
}

/// Cuts the first packet out of a stream; make a new one for the next.
#[derive(Default)]
pub struct StartupDecoder {
    buffer: Vec<u8>,
}

impl StartupDecoder {
    pub fn feed(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// Bytes behind what was handed out.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    pub fn next_packet(&mut self) -> Result<Option<Startup>, ProtocolError> {
        let Some(&length) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(length) as usize;
        if !(8..=LIMIT).contains(&length) {
            return Err(ProtocolError::new("a start-up packet of impossible length"));
        }
        if self.buffer.len() < length {
            return Ok(None);
        }
        let packet: Vec<u8> = self.buffer.drain(..length).collect();
        decode(packet.get(4..).unwrap_or_default()).map(Some)
    }
}

fn decode(payload: &[u8]) -> Result<Startup, ProtocolError> {
    let mut reader = Reader::new(payload);
    let code = reader.u32()?;
    match code {
        SSL_REQUEST => reader.end().map(|()| Startup::SslRequest),
        GSSENC_REQUEST => reader.end().map(|()| Startup::GssEncRequest),
        CANCEL_REQUEST => {
            let pid = reader.u32()?;
            let key = payload.get(8..).unwrap_or_default().to_vec();
            if !(4..=256).contains(&key.len()) {
                return Err(ProtocolError::new("a cancel key of impossible length"));
            }
            Ok(Startup::Cancel { pid, key })
        }
        _ => {
            let parameters = decode_parameters(&mut reader)?;
            let [a, b, c, d] = code.to_be_bytes();
            Ok(Startup::Session {
                major: u16::from_be_bytes([a, b]),
                minor: u16::from_be_bytes([c, d]),
                parameters,
            })
        }
    }
}

/// Name and value pairs up to an empty name. A name given twice is refused: readers may differ on which one counts.
fn decode_parameters(reader: &mut Reader<'_>) -> Result<Vec<(String, String)>, ProtocolError> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    loop {
        let name = text(reader.string()?)?;
        if name.is_empty() {
            reader.end()?;
            return Ok(parameters);
        }
        let value = text(reader.string()?)?;
        if parameters
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(&name))
        {
            return Err(ProtocolError::new("a start-up parameter is given twice"));
        }
        parameters.push((name, value));
    }
}

fn text(bytes: &[u8]) -> Result<String, ProtocolError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtocolError::new("a start-up parameter is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let mut raw = (payload.len() as u32 + 4).to_be_bytes().to_vec();
        raw.extend(payload);
        raw
    }

    fn decode_one(raw: &[u8]) -> Result<Option<Startup>, ProtocolError> {
        let mut decoder = StartupDecoder::default();
        decoder.feed(raw);
        decoder.next_packet()
    }

    #[test]
    fn a_session_start_gives_its_parameters() {
        let raw = packet(b"\x00\x03\x00\x00user\0crew\0database\0shop\0\0");
        let parameters = vec![
            ("user".to_owned(), "crew".to_owned()),
            ("database".to_owned(), "shop".to_owned()),
        ];
        assert_eq!(
            decode_one(&raw),
            Ok(Some(Startup::Session {
                major: 3,
                minor: 0,
                parameters
            }))
        );
    }

    #[test]
    fn bytes_behind_an_ssl_request_stay_visible() {
        let mut decoder = StartupDecoder::default();
        decoder.feed(&packet(&SSL_REQUEST.to_be_bytes()));
        decoder.feed(b"smuggled");
        assert_eq!(decoder.next_packet(), Ok(Some(Startup::SslRequest)));
        assert_eq!(decoder.buffered(), 8);
    }

    #[test]
    fn twice_given_unterminated_and_trailing_parameters_are_refused() {
        for payload in [
            &b"\x00\x03\x00\x00user\0a\0USER\0b\0\0"[..],
            b"\x00\x03\x00\x00user\0a\0",
            b"\x00\x03\x00\x00user\0a\0\0x",
            b"\x00\x03\x00\x00us\xffer\0a\0\0",
        ] {
            assert!(decode_one(&packet(payload)).is_err());
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_one(&data);
        }
    }
}
