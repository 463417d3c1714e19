//! The steady state of a session: one request of the common forms and its expected answer, in one call each.
//!
//! `request` recognises a client's whole request; `Answer` follows the reply as long as it is what was expected. At the first message
//! that is not, it stops ahead of it and says how far it came, so that the full state machine goes on from there.

use std::{ops::Range, sync::Arc};

use crate::{
    ProtocolError,
    framing::{self, HEADER},
    masking::rows::RowPlan,
    messages::{self, Bind, Parse},
};

/// A request in one of the forms that clients mostly use.
pub enum Request<'a> {
    /// A simple Query.
    Query {
        sql: &'a [u8],
    },
    Extended(Box<Extended<'a>>),
}

/// `[Parse] Bind [Describe] Execute Sync`, all on the unnamed portal, for all rows.
pub struct Extended<'a> {
    pub parse: Option<(Parse<'a>, &'a [u8])>,
    pub bind: Bind<'a>,
    pub bind_raw: &'a [u8],
    /// The client itself asks for the portal's description.
    pub describes: bool,
    /// What goes to the target: the same messages, with a Describe of the portal in any case.
    pub forward: Vec<u8>,
}

const DESCRIBE: &[u8] = b"D\0\0\0\x06P\0";

/// The request that `data` is, if it is exactly one and of a common form. Anything else is for the full state machine.
pub fn request(data: &[u8]) -> Option<Request<'_>> {
    let (kind, first, rest) = next(data)?;
    if kind == b'Q' {
        return rest
            .is_empty()
            .then(|| messages::query(first).ok())?
            .map(|sql| Request::Query { sql });
    }
    let (parse, (kind, bind_raw, mut rest)) = if kind == b'P' {
        (Some((messages::parse(first).ok()?, first)), next(rest)?)
    } else {
        (None, (kind, first, rest))
    };
    if kind != b'B' {
        return None;
    }
    let bind = messages::bind(bind_raw).ok()?;
    if !bind.portal.is_empty()
        || parse
            .as_ref()
            .is_some_and(|(parse, _)| parse.name != bind.statement)
    {
        return None;
    }
    let head = data.len() - rest.len();
    let describes = rest.starts_with(DESCRIBE);
    if describes {
        rest = rest.get(DESCRIBE.len()..)?;
    }
    // Execute of the unnamed portal without a limit, then Sync, then nothing.
    if rest != b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04" {
        return None;
    }
    let forward = [data.get(..head)?, DESCRIBE, rest].concat();
    Some(Request::Extended(Box::new(Extended {
        parse,
        bind,
        bind_raw,
        describes,
        forward,
    })))
}

fn next(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, a, b, c, d], _) = data.split_first_chunk::<HEADER>()?;
    let whole = (u32::from_be_bytes([a, b, c, d]) as usize).checked_add(1)?;
    let (message, rest) = data.split_at_checked(whole)?;
    (whole >= HEADER).then_some((kind, message, rest))
}

/// What a reply has brought so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// For the client.
    pub out: Vec<u8>,
    /// Where in `out` the rows are, for the recording.
    pub rows: Range<usize>,
    pub row_count: usize,
    /// The command's tag, once it is there.
    pub tag: Option<Vec<u8>>,
    /// The transaction status of ReadyForQuery: the reply is complete.
    pub ready: Option<u8>,
    /// The reply took another turn: how many messages (rows apart) were answered, and what is left to read.
    pub turned: Option<(usize, Vec<u8>)>,
}

/// The answer that is expected to one request.
pub struct Answer {
    /// The beginning of a message whose end has not come yet.
    begun: Vec<u8>,
    limit: usize,
    /// Kinds still expected, the next one first; `D` stands for any number of rows.
    expected: Vec<u8>,
    at: usize,
    description: Arc<[u8]>,
    shown: bool,
    plan: RowPlan,
    /// Where rows that change are written.
    room: Vec<u8>,
}

impl Answer {
    /// `steps` are the kinds of the replies in order, such as `12TDCZ`. `description` is the whole RowDescription, or empty where none is
    /// expected; `shown`: the client asked for it.
    pub fn new(steps: &[u8], description: Arc<[u8]>, shown: bool, plan: RowPlan, limit: usize) -> Self {
        Self {
            begun: Vec::new(),
            limit,
            expected: steps.to_vec(),
            at: 0,
            description,
            shown,
            plan,
            room: Vec::new(),
        }
    }

    /// Follow the reply through these bytes.
    pub fn feed(&mut self, data: &[u8]) -> Result<Progress, ProtocolError> {
        let mut progress = Progress::default();
        if self.begun.is_empty() {
            let used = self.follow(data, &mut progress)?;
            self.begun.extend_from_slice(data.get(used..).unwrap_or_default());
        } else {
            let mut waiting = std::mem::take(&mut self.begun);
            waiting.extend_from_slice(data);
            let used = self.follow(&waiting, &mut progress)?;
            waiting.drain(..used);
            self.begun = waiting;
        }
        if progress.turned.is_some() {
            progress.turned = Some(self.give_up());
        }
        Ok(progress)
    }

    /// How many of the bytes were used. `turned` is set where something else begins than what is expected.
    fn follow(&mut self, data: &[u8], progress: &mut Progress) -> Result<usize, ProtocolError> {
        let mut used = 0;
        while let Some((kind, whole)) = framing::header(data.get(used..).unwrap_or_default(), self.limit)? {
            if progress.ready.is_some() || !self.is_expected(kind) {
                progress.turned = Some(Default::default());
                break;
            }
            let rest = data.get(used..).unwrap_or_default();
            let Some(message) = rest.get(..whole) else {
                if whole > LONG {
                    // A long message is for the full state machine, which can stream it.
                    progress.turned = Some(Default::default());
                }
                break;
            };
            if kind == b'D' {
                used += self.rows(rest, progress)?;
                continue;
            }
            if kind == b'T' && message != &*self.description {
                progress.turned = Some(Default::default());
                break;
            } else {
                self.message(kind, message, progress);
            }
            used += whole;
        }
        Ok(used)
    }

    /// A run of whole rows.
    fn rows(&mut self, data: &[u8], progress: &mut Progress) -> Result<usize, ProtocolError> {
        let run = self.plan.mask_run(data, self.limit, &mut self.room)?;
        if progress.row_count == 0 {
            progress.rows.start = progress.out.len();
        }
        progress.out.extend_from_slice(run.data);
        progress.rows.end = progress.out.len();
        progress.row_count += run.rows;
        Ok(run.consumed)
    }

    fn message(&mut self, kind: u8, message: &[u8], progress: &mut Progress) {
        match kind {
            b'Z' => progress.ready = message.get(HEADER).copied(),
            b'C' => progress.tag = message.get(HEADER..message.len() - 1).map(<[u8]>::to_vec),
            _ => {}
        }
        if kind != b'T' && kind != b'n' || self.shown {
            progress.out.extend_from_slice(message);
        }
        self.advance(kind);
    }

    fn is_expected(&self, kind: u8) -> bool {
        let mut ahead = self.expected.get(self.at..).unwrap_or_default().iter();
        match ahead.next() {
            Some(b'D') => kind == b'D' || ahead.next() == Some(&kind),
            Some(&expected) => kind == expected,
            None => false,
        }
    }

    fn advance(&mut self, kind: u8) {
        self.at += 1;
        if self.expected.get(self.at - 1) == Some(&b'D') && kind != b'D' {
            self.at += 1;
        }
    }

    /// How many messages (rows apart) were answered, and what is left to read.
    pub fn give_up(&mut self) -> (usize, Vec<u8>) {
        let left = std::mem::take(&mut self.begun);
        let answered = self.expected.get(..self.at).unwrap_or_default();
        (answered.iter().filter(|&&kind| kind != b'D').count(), left)
    }
}

/// Messages longer than this are left to the full state machine.
const LONG: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masking::rows::{ColumnPlan, Kind, Mode};
    use proptest::prelude::*;

    const DESCRIPTION: &[u8] = b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";

    fn plan() -> RowPlan {
        let column = ColumnPlan {
            mode: Mode::Pass,
            kind: Kind::Text,
            binary: false,
            context: Default::default(),
        };
        RowPlan::new(vec![column], None).unwrap()
    }

    fn reply() -> Vec<u8> {
        let mut reply = b"1\0\0\0\x042\0\0\0\x04".to_vec();
        reply.extend(DESCRIPTION);
        for _ in 0..3 {
            reply.extend(b"D\0\0\0\x0b\0\x01\0\0\0\x01x");
        }
        reply.extend(b"C\0\0\0\x0dSELECT 3\0Z\0\0\0\x05I");
        reply
    }

    fn extended() -> Vec<u8> {
        let mut data = b"P\0\0\0\x10\0SELECT 1\0\0\0".to_vec();
        data.extend(b"B\0\0\0\x0c\0\0\0\0\0\0\0\0");
        data.extend(b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04");
        data
    }

    #[test]
    fn the_common_forms_are_recognised_and_no_other() {
        assert!(matches!(
            request(b"Q\0\0\0\x0dSELECT 1\0"),
            Some(Request::Query { sql: b"SELECT 1" })
        ));
        assert!(request(b"Q\0\0\0\x0dSELECT 1\0S\0\0\0\x04").is_none());
        let data = extended();
        let Some(Request::Extended(extended)) = request(&data) else {
            panic!("not recognised");
        };
        assert!(!extended.describes);
        assert_eq!(extended.forward.len(), data.len() + DESCRIBE.len());
        assert!(request(&data[..data.len() - 1]).is_none());
        assert!(request(&[&data[..], b"S\0\0\0\x04"].concat()).is_none());
    }

    #[test]
    fn an_expected_reply_goes_through_whole() {
        let mut answer = Answer::new(b"12TDCZ", DESCRIPTION.into(), true, plan(), 1 << 20);
        let progress = answer.feed(&reply()).unwrap();
        assert_eq!(progress.out, reply());
        assert_eq!((progress.row_count, progress.ready), (3, Some(b'I')));
        assert_eq!(progress.tag.as_deref(), Some(&b"SELECT 3"[..]));
        assert_eq!(progress.turned, None);
    }

    #[test]
    fn another_description_ends_the_steady_state_ahead_of_it() {
        let mut answer = Answer::new(b"12TDCZ", b"T\0\0\0\x06\0\0"[..].into(), true, plan(), 1 << 20);
        let progress = answer.feed(&reply()).unwrap();
        assert_eq!(progress.turned, Some((2, reply()[10..].to_vec())));
        assert_eq!(progress.out, reply()[..10]);
    }

    proptest! {
        #[test]
        fn split_anywhere_the_reply_is_the_same(cut in 0usize..100, shown: bool, error_at in 0usize..10) {
            let mut stream = reply();
            if error_at < 3 {
                stream.truncate([10, 5, 0][error_at]);
                stream.extend(b"E\0\0\0\x05\0");
            }
            let cut = cut.min(stream.len());
            let mut answer = Answer::new(b"12TDCZ", DESCRIPTION.into(), shown, plan(), 1 << 20);
            let (mut out, mut turned, mut rows) = (Vec::new(), None, 0);
            for part in [&stream[..cut], &stream[cut..]] {
                if let Some((_, left)) = &mut turned {
                    let left: &mut Vec<u8> = left;
                    left.extend(part);
                    continue;
                }
                let progress = answer.feed(part).unwrap();
                out.extend(progress.out);
                rows += progress.row_count;
                turned = progress.turned;
            }
            let mut whole = Answer::new(b"12TDCZ", DESCRIPTION.into(), shown, plan(), 1 << 20);
            let expected = whole.feed(&stream).unwrap();
            prop_assert_eq!(out, expected.out);
            prop_assert_eq!(rows, expected.row_count);
            prop_assert_eq!(turned, expected.turned);
        }

        #[test]
        fn no_input_panics(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = request(&data);
            let _ = Answer::new(b"2TDCZ", DESCRIPTION.into(), true, plan(), 64).feed(&data);
        }
    }
}
