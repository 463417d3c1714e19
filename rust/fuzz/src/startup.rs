use countersign_core::startup::{Startup, StartupDecoder};

use super::{arrivals, drive, next};

/// The same packet however the bytes arrive, nothing lost behind it, and no parameter with two meanings.
pub fn startup(mut data: &[u8]) {
    let cut = next(&mut data);
    let [whole, bytewise, cut] = arrivals(cut, data).map(|parts| {
        let mut decoder = StartupDecoder::default();
        let mut done = false;
        let seen = drive(&parts, |part, events| {
            decoder.feed(part);
            // One decoder hands out one packet: what is behind it is for the caller to refuse.
            if !done && let Some(packet) = decoder.next_packet()? {
                done = true;
                events.push(packet);
            }
            Ok(())
        });
        (seen, decoder.buffered())
    });
    assert_eq!(whole.0, bytewise.0);
    assert_eq!(whole.0, cut.0);
    let ((packets, error), buffered) = whole;
    assert!(error.is_some() || !packets.is_empty() || buffered == data.len());
    for packet in &packets {
        let consumed = data.len() - buffered;
        assert!((8..=10_000).contains(&consumed));
        understood(packet, data.get(4..consumed).unwrap_or_default());
    }
}

fn understood(packet: &Startup, payload: &[u8]) {
    match packet {
        Startup::SslRequest | Startup::GssEncRequest => assert_eq!(payload.len(), 4),
        Startup::Cancel { pid, key } => {
            assert_eq!(
                [&80_877_102u32.to_be_bytes(), &pid.to_be_bytes(), &key[..]].concat(),
                payload
            );
        }
        Startup::Session {
            major,
            minor,
            parameters,
        } => {
            let mut written = [major.to_be_bytes(), minor.to_be_bytes()].concat();
            for (index, (name, value)) in parameters.iter().enumerate() {
                assert!(!name.is_empty());
                assert!(
                    parameters
                        .iter()
                        .skip(index + 1)
                        .all(|(other, _)| !other.eq_ignore_ascii_case(name))
                );
                for text in [name, value] {
                    assert!(!text.contains('\0'));
                    written.extend(text.bytes());
                    written.push(0);
                }
            }
            written.push(0);
            assert_eq!(written, payload);
        }
    }
}
