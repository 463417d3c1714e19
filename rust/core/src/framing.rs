//! Cuts a byte stream into typed messages: one type byte, an Int32 length that counts itself, the payload
//! (PostgreSQL manual, "Message Formats").

use crate::ProtocolError;

/// Bytes of a message ahead of its payload.
pub const HEADER: usize = 5;

/// From this length on, messages that are passed on unchanged are passed on in pieces.
pub const STREAMED: usize = 64 << 10;

/// The kind of an event that holds the next bytes of a message whose beginning was handed out before.
pub const CONTINUED: u8 = 0;

/// Type and whole length of the message that begins here, if its header is there.
///
/// The length is judged as soon as the header is there, so that a liar is refused before its bytes are kept.
pub fn header(data: &[u8], limit: usize) -> Result<Option<(u8, usize)>, ProtocolError> {
    let Some((&[kind, a, b, c, d], _)) = data.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length < 4 {
        return Err(ProtocolError::new("a message length below 4"));
    }
    let whole = length.saturating_add(1);
    if whole > limit {
        return Err(ProtocolError::new(format!(
            "a message of {whole} bytes, {limit} are allowed"
        )));
    }
    Ok(Some((kind, whole)))
}

/// The whole message of this kind that begins here; `None` where another does, or none is whole and sound.
pub fn whole_message(data: &[u8], kind: u8, limit: usize) -> Option<&[u8]> {
    match header(data, limit) {
        Ok(Some((found, whole))) if found == kind => data.get(..whole),
        _ => None,
    }
}

/// A buffer that hands out whole messages. Consumed bytes are dropped in bulk, so cost stays linear.
#[derive(Default)]
pub struct Frames {
    buffer: Vec<u8>,
    start: usize,
}

impl Frames {
    pub fn feed(&mut self, data: &[u8]) {
        if self.start > 0 && (self.start == self.buffer.len() || self.start > 1 << 16) {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(data);
    }

    /// Bytes that wait to be handed out.
    pub fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Type and whole length of the message at `offset` of the pending bytes, if its header is there.
    pub fn header(&self, offset: usize, limit: usize) -> Result<Option<(u8, usize)>, ProtocolError> {
        header(self.pending().get(offset..).unwrap_or_default(), limit)
    }

    /// The same, if all of the message is there.
    pub fn complete(&self, offset: usize, limit: usize) -> Result<Option<(u8, usize)>, ProtocolError> {
        let there = self.pending().len().saturating_sub(offset);
        Ok(self.header(offset, limit)?.filter(|(_, whole)| there >= *whole))
    }

    /// Drop `count` pending bytes.
    pub fn skip(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.buffer.len());
    }

    /// Take `count` pending bytes. Many are moved out with their memory instead of copied, so that a long message is held once and leaves
    /// nothing behind.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        if count < STREAMED {
            return self.pass(count).to_vec();
        }
        let end = self.start.saturating_add(count).min(self.buffer.len());
        let rest = self.buffer.split_off(end);
        let mut taken = std::mem::replace(&mut self.buffer, rest);
        taken.drain(..self.start);
        self.start = 0;
        taken
    }

    /// Forget all pending bytes; return how many there were.
    pub fn discard(&mut self) -> usize {
        let count = self.pending().len();
        self.buffer = Vec::new();
        self.start = 0;
        count
    }

    /// The same, left where they are until more is fed.
    pub fn pass(&mut self, count: usize) -> &[u8] {
        let end = self.start.saturating_add(count).min(self.buffer.len());
        let passed = self.buffer.get(self.start..end).unwrap_or_default();
        self.start = end;
        passed
    }
}

/// How many messages begin in a run of whole ones, or in the first piece of a long one.
pub fn begun_in(run: &[u8]) -> usize {
    let mut rest = run;
    let mut count = 0;
    while let Ok(Some((_, whole))) = header(rest, usize::MAX) {
        count += 1;
        rest = rest.get(whole..).unwrap_or_default();
    }
    count
}

/// Client messages after start-up (manual, "Message Formats", those marked F).
const FRONTEND: &[u8] = b"QPBDECSHFXdcfp";

/// Those that may be long; of the others the server takes `SMALL_LIMIT` bytes at most (`PQ_SMALL_MESSAGE_LIMIT`).
const LONG: &[u8] = b"QPBFd";
const SMALL_LIMIT: usize = 10_000;

/// Cuts what a client sends into messages.
pub struct FrontendDecoder {
    frames: Frames,
    limit: usize,
    /// What is still to come of a CopyData whose beginning was handed out.
    remaining: usize,
    /// What is still to come of a message that was dropped.
    dropped: usize,
}

impl FrontendDecoder {
    pub fn new(limit: usize) -> Self {
        Self {
            frames: Frames::default(),
            limit,
            remaining: 0,
            dropped: 0,
        }
    }

    pub fn feed(&mut self, data: &[u8]) {
        let dropped = self.dropped.min(data.len());
        self.dropped -= dropped;
        self.frames.feed(data.get(dropped..).unwrap_or_default());
    }

    /// Drop the message that has begun to come in, and the rest of it as it comes; return its type. `None` where none has begun, or it is
    /// all there.
    pub fn drop_message(&mut self) -> Result<Option<u8>, ProtocolError> {
        let Some((kind, whole)) = self.header()? else {
            return Ok(None);
        };
        if self.remaining > 0 || self.buffered() >= whole {
            return Ok(None);
        }
        self.dropped = whole - self.frames.discard();
        Ok(Some(kind))
    }

    fn header(&self) -> Result<Option<(u8, usize)>, ProtocolError> {
        let is_small = self
            .frames
            .pending()
            .first()
            .is_some_and(|kind| !LONG.contains(kind));
        self.frames.header(
            0,
            if is_small {
                self.limit.min(SMALL_LIMIT)
            } else {
                self.limit
            },
        )
    }

    /// Bytes that were fed and not handed out.
    pub fn buffered(&self) -> usize {
        self.frames.pending().len()
    }

    /// True between messages: what is fed next begins one.
    pub fn is_between(&self) -> bool {
        self.buffered() == 0 && self.remaining == 0 && self.dropped == 0
    }

    /// The next whole message with its type, header included. Copy data comes in runs of messages, and a long CopyData in pieces:
    /// its beginning, then events of kind `CONTINUED`.
    pub fn next_message(&mut self) -> Result<Option<(u8, Vec<u8>)>, ProtocolError> {
        if self.remaining > 0 {
            let data = self.frames.take(self.remaining);
            self.remaining -= data.len();
            return Ok((!data.is_empty()).then_some((CONTINUED, data)));
        }
        if let Some(&kind) = self.frames.pending().first()
            && !FRONTEND.contains(&kind)
        {
            return Err(ProtocolError::new(format!("unknown message type 0x{kind:02x}")));
        }
        let Some((kind, whole)) = self.header()? else {
            return Ok(None);
        };
        let here = self.frames.pending().len();
        if kind == b'd' {
            return Ok(self.copy_data(whole)?.map(|data| (kind, data)));
        }
        Ok((here >= whole).then(|| (kind, self.frames.take(whole))))
    }

    fn copy_data(&mut self, first: usize) -> Result<Option<Vec<u8>>, ProtocolError> {
        let mut end = 0;
        // What is malformed behind good messages is reported behind them, so that it does not matter how the stream is cut.
        while let Ok(Some((b'd', whole))) = self.frames.complete(end, self.limit) {
            end += whole;
        }
        let here = self.frames.pending().len();
        if end == 0 && here < first && first >= STREAMED {
            self.remaining = first - here;
            end = here;
        }
        Ok((end > 0).then(|| self.frames.take(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut raw = vec![kind];
        raw.extend((payload.len() as u32 + 4).to_be_bytes());
        raw.extend(payload);
        raw
    }

    #[test]
    fn a_length_that_lies_is_refused_before_the_bytes_come() {
        for (length, limit) in [(0u32, 100), (3, 100), (0xffff_ffff, 100), (200, 100)] {
            let mut decoder = FrontendDecoder::new(limit);
            decoder.feed(b"Q");
            decoder.feed(&length.to_be_bytes());
            assert!(decoder.next_message().is_err());
        }
    }

    #[test]
    fn an_unknown_type_is_refused_at_its_first_byte() {
        let mut decoder = FrontendDecoder::new(100);
        decoder.feed(b"G");
        assert!(decoder.next_message().is_err());
    }

    #[test]
    fn only_messages_that_carry_data_may_be_long() {
        let mut decoder = FrontendDecoder::new(1 << 30);
        decoder.feed(b"Q\x3f\xff\xff\xff");
        assert_eq!(decoder.next_message(), Ok(None));
        let mut decoder = FrontendDecoder::new(1 << 30);
        decoder.feed(b"E\0\0\x27\x10");
        assert!(decoder.next_message().is_err());
    }

    proptest! {
        #[test]
        fn a_dropped_message_leaves_what_follows_it(size in 1usize..200_000, cut in 5usize..200_000, pieces in 1usize..5) {
            let long = message(b'B', &vec![7; size]);
            let (first, rest) = long.split_at(cut.min(long.len() - 1));
            let mut decoder = FrontendDecoder::new(1 << 20);
            decoder.feed(first);
            prop_assert_eq!(decoder.next_message().unwrap(), None);
            prop_assert_eq!(decoder.drop_message().unwrap(), Some(b'B'));
            prop_assert!(!decoder.is_between());
            let rest = [rest, &message(b'S', b"")].concat();
            for piece in rest.chunks(rest.len().div_ceil(pieces)) {
                prop_assert_eq!(decoder.next_message().unwrap(), None);
                decoder.feed(piece);
            }
            prop_assert_eq!(decoder.next_message().unwrap(), Some((b'S', message(b'S', b""))));
            prop_assert!(decoder.is_between());
        }

        #[test]
        fn copy_data_is_counted_by_its_messages_wherever_it_is_cut(
            sizes in prop::collection::vec(0usize..100_000, 0..6),
            cut in 0usize..300_000,
        ) {
            let stream: Vec<u8> = sizes.iter().flat_map(|&size| message(b'd', &vec![7; size])).collect();
            let (first, second) = stream.split_at(cut.min(stream.len()));
            let mut decoder = FrontendDecoder::new(1 << 20);
            let mut count = 0;
            for piece in [first, second] {
                decoder.feed(piece);
                while let Some((kind, run)) = decoder.next_message().unwrap() {
                    count += if kind == b'd' { begun_in(&run) } else { 0 };
                }
            }
            prop_assert_eq!(count, sizes.len());
        }

        #[test]
        fn long_messages_are_whole_wherever_they_are_cut(sizes in prop::collection::vec(0usize..200_000, 1..4), cut in 0usize..400_000) {
            let stream: Vec<u8> = sizes.iter().flat_map(|&size| message(b'Q', &vec![7; size])).collect();
            let cut = cut.min(stream.len());
            let mut decoder = FrontendDecoder::new(1 << 20);
            let mut seen = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                decoder.feed(part);
                while let Some((_, raw)) = decoder.next_message().unwrap() {
                    seen.push(raw.len() - HEADER);
                }
            }
            prop_assert_eq!(seen, sizes);
            prop_assert_eq!(decoder.buffered(), 0);
        }

        #[test]
        fn split_anywhere_the_messages_are_the_same(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8),
            cut in 0usize..400,
        ) {
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| message(b'Q', payload)).collect();
            let cut = cut.min(stream.len());
            let mut decoder = FrontendDecoder::new(1000);
            let mut seen = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                decoder.feed(part);
                while let Some((_, raw)) = decoder.next_message().unwrap() {
                    seen.push(raw[HEADER..].to_vec());
                }
            }
            prop_assert_eq!(seen, payloads);
        }

        #[test]
        fn copy_data_comes_in_runs_and_pieces(sizes in prop::collection::vec(0usize..100_000, 1..6), cut in 0usize..300_000) {
            let stream: Vec<u8> = sizes.iter().flat_map(|&size| message(b'd', &vec![7; size])).collect();
            let cut = cut.min(stream.len());
            let mut decoder = FrontendDecoder::new(1 << 20);
            let mut seen = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                decoder.feed(part);
                while let Some((kind, raw)) = decoder.next_message().unwrap() {
                    prop_assert!(kind == b'd' || kind == CONTINUED);
                    seen.extend(raw);
                }
                prop_assert!(decoder.buffered() < STREAMED);
            }
            prop_assert_eq!(seen, stream);
        }

        #[test]
        fn garbage_is_an_error_or_waits(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = FrontendDecoder::new(64);
            decoder.feed(&data);
            while let Ok(Some(_)) = decoder.next_message() {}
        }
    }
}
