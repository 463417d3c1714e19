use countersign_core::{
    framing::{CONTINUED, FrontendDecoder, STREAMED},
    messages,
};

use super::{Seen, arrivals, drive, message, next};

const LIMITS: [usize; 8] = [16, 64, 256, 1024, 4096, STREAMED - 1, 2 * STREAMED, 1 << 20];

/// The same messages and the same error, however the stream is cut; the messages are the stream; what a decoder accepts, it has
/// read to the last byte.
pub fn frontend(mut data: &[u8]) {
    let (limit, cut) = (LIMITS[usize::from(next(&mut data) % 8)], next(&mut data));
    let [whole, bytewise, cut] = arrivals(cut, data).map(|parts| decode(&parts, limit, data));
    for split in [&bytewise, &cut] {
        assert_eq!(whole.1, split.1);
        assert_eq!(joined(&whole.0), joined(&split.0));
        assert_eq!(others(&whole.0), others(&split.0));
    }
    for (kind, raw) in others(&bytewise.0) {
        assert_eq!(Some(kind), raw.first());
        assert!(raw.len() <= limit);
        reads_all_or_nothing(raw);
    }
    reads_all_or_nothing(&message(b'?', data));
    reads_all_or_nothing(data);
}

type Messages = Vec<(u8, Vec<u8>)>;

fn decode(parts: &[&[u8]], limit: usize, data: &[u8]) -> Seen<(u8, Vec<u8>)> {
    let mut decoder = FrontendDecoder::new(limit);
    let seen = drive(parts, |part, events| {
        decoder.feed(part);
        while let Some(event) = decoder.next_message()? {
            events.push(event);
        }
        assert!(
            decoder.buffered() < limit,
            "more is kept than one message may hold"
        );
        Ok(())
    });
    let out = joined(&seen.0);
    assert!(data.starts_with(&out));
    assert!(seen.1.is_some() || out.len() + decoder.buffered() == data.len());
    seen
}

fn joined(messages: &Messages) -> Vec<u8> {
    messages.iter().flat_map(|(_, raw)| raw).copied().collect()
}

/// All but copy data, whose messages come in runs and pieces.
fn others(messages: &Messages) -> Vec<&(u8, Vec<u8>)> {
    messages
        .iter()
        .filter(|(kind, _)| ![b'd', CONTINUED].contains(kind))
        .collect()
}

/// Each decoder either refuses a message or understood every byte: written again, it is the same.
fn reads_all_or_nothing(raw: &[u8]) {
    let payload = raw.get(5..).unwrap_or_default();
    if let Ok(sql) = messages::query(raw) {
        assert_eq!(string(sql), payload);
    }
    if let Ok(parse) = messages::parse(raw) {
        let types = parse.types.iter().flat_map(|oid| oid.to_be_bytes());
        let written = [string(parse.name), string(parse.sql), count(parse.types.len())].concat();
        assert_eq!(written.into_iter().chain(types).collect::<Vec<_>>(), payload);
    }
    if let Ok(bind) = messages::bind(raw) {
        let formats = |formats: &[i16]| {
            let values = formats.iter().flat_map(|format| format.to_be_bytes());
            count(formats.len()).into_iter().chain(values).collect::<Vec<_>>()
        };
        let written = [
            string(bind.portal),
            string(bind.statement),
            formats(&bind.formats),
            values(&bind.values),
            formats(&bind.result_formats),
        ];
        assert_eq!(written.concat(), payload);
    }
    if let Ok((kind, name)) = messages::describe(raw) {
        assert_eq!([vec![kind], string(name)].concat(), payload);
    }
    if let Ok(call) = messages::function_call(raw) {
        let formats = call
            .formats
            .iter()
            .flat_map(|format| format.to_be_bytes())
            .collect();
        let written = [
            call.function_oid.to_be_bytes().to_vec(),
            count(call.formats.len()),
            formats,
            values(&call.values),
            call.result_format.to_be_bytes().to_vec(),
        ];
        assert_eq!(written.concat(), payload);
    }
    if let Ok((portal, rows)) = messages::execute(raw) {
        assert_eq!([string(portal), rows.to_be_bytes().to_vec()].concat(), payload);
    }
}

fn string(text: &[u8]) -> Vec<u8> {
    assert!(!text.contains(&0), "a string that holds a NUL");
    [text, b"\0"].concat()
}

fn count(count: usize) -> Vec<u8> {
    u16::try_from(count)
        .expect("counts are 16 bits")
        .to_be_bytes()
        .to_vec()
}

fn values(values: &[Option<&[u8]>]) -> Vec<u8> {
    super::row_payload(
        &values
            .iter()
            .map(|value| value.map(<[u8]>::to_vec))
            .collect::<Vec<_>>(),
    )
}
