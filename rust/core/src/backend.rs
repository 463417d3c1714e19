//! Cuts what a server sends into messages and masks rows and copy data as they pass.

use crate::{
    ProtocolError,
    framing::{CONTINUED, Frames, HEADER, STREAMED},
    masking::{copy::CopyMasker, rows::RowPlan},
};

/// A server's message, a run of rows or of copy data, or (kind `CONTINUED`) the next bytes of a long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    pub kind: u8,
    /// Whole messages with their headers; of runs all, after masking; of a long message what has come so far.
    pub data: &'a [u8],
    /// How many rows or copy messages begin here.
    pub rows: usize,
}

/// Pull-based, so that the caller can set the plan after a RowDescription and before the rows behind it.
pub struct BackendDecoder {
    frames: Frames,
    limit: usize,
    plan: Option<RowPlan>,
    copy: Option<CopyMasker>,
    /// Where rows that change are written, run after run.
    room: Vec<u8>,
    /// What is still to come of a long message that goes through unchanged.
    remaining: usize,
}

impl BackendDecoder {
    pub fn new(limit: usize) -> Self {
        Self {
            frames: Frames::default(),
            limit,
            plan: None,
            copy: None,
            room: Vec::new(),
            remaining: 0,
        }
    }

    pub fn feed(&mut self, data: &[u8]) {
        self.frames.feed(data);
    }

    /// Bytes that wait for the rest of their message.
    pub fn buffered(&self) -> usize {
        self.frames.pending().len()
    }

    /// How the rows that follow are masked. Without a plan a row is an error: what nobody understands is not shown.
    pub fn set_row_plan(&mut self, plan: Option<RowPlan>) {
        self.plan = plan;
    }

    /// The same for copy data.
    pub fn set_copy(&mut self, copy: Option<CopyMasker>) {
        self.copy = copy;
    }

    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, ProtocolError> {
        if self.remaining > 0 {
            return Ok(self.continued());
        }
        let Some((kind, whole)) = self.frames.header(0, self.limit)? else {
            return Ok(None);
        };
        if kind == CONTINUED {
            return Err(ProtocolError::new("unknown message type 0x00"));
        }
        if self.frames.pending().len() < whole {
            return self.begun(kind, whole);
        }
        match kind {
            b'D' => self.rows().map(Some),
            b'd' => self.copied().map(Some),
            _ => Ok(Some(Event {
                kind,
                data: self.frames.pass(whole),
                rows: 0,
            })),
        }
    }

    /// A message that is not all there: a long one that goes through unchanged need not be kept.
    fn begun(&mut self, kind: u8, whole: usize) -> Result<Option<Event<'_>>, ProtocolError> {
        let payload = self.frames.pending().get(HEADER..).unwrap_or_default();
        let passes = match kind {
            b'D' => self.plan.as_ref().is_some_and(RowPlan::passes),
            b'd' => self.copy.as_ref().is_some_and(CopyMasker::passes),
            _ => false,
        };
        if !passes || whole < STREAMED || payload.len() < 2 {
            return Ok(None);
        }
        if let (b'D', Some(plan)) = (kind, &self.plan) {
            plan.check_width(payload)?;
        }
        let here = self.frames.pending().len();
        self.remaining = whole - here;
        Ok(Some(Event {
            kind,
            data: self.frames.pass(here),
            rows: 1,
        }))
    }

    fn continued(&mut self) -> Option<Event<'_>> {
        let data = self.frames.pass(self.remaining);
        self.remaining -= data.len();
        (!data.is_empty()).then_some(Event {
            kind: CONTINUED,
            data,
            rows: 0,
        })
    }

    fn rows(&mut self) -> Result<Event<'_>, ProtocolError> {
        let Some(plan) = &self.plan else {
            return Err(ProtocolError::new("rows without a known shape"));
        };
        let run = plan.mask_run(self.frames.pending(), self.limit, &mut self.room)?;
        let (is_changed, rows, consumed) = (run.is_changed, run.rows, run.consumed);
        Ok(self.run(b'D', is_changed, rows, consumed))
    }

    fn copied(&mut self) -> Result<Event<'_>, ProtocolError> {
        let Some(copy) = &mut self.copy else {
            return Err(ProtocolError::new("copy data without a known shape"));
        };
        let run = copy.mask_run(self.frames.pending(), self.limit, &mut self.room)?;
        let (is_changed, rows, consumed) = (run.is_changed, run.rows, run.consumed);
        Ok(self.run(b'd', is_changed, rows, consumed))
    }

    fn run(&mut self, kind: u8, is_changed: bool, rows: usize, consumed: usize) -> Event<'_> {
        let passed = self.frames.pass(consumed);
        Event {
            kind,
            data: if is_changed { &self.room } else { passed },
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masking::rows::{ColumnPlan, Kind, Mode};
    use proptest::prelude::*;

    fn passing() -> RowPlan {
        let column = ColumnPlan {
            mode: Mode::Pass,
            kind: Kind::Text,
            binary: false,
            context: Default::default(),
        };
        RowPlan::new(vec![column], None).unwrap()
    }

    #[test]
    fn a_message_of_type_0_is_not_taken_for_the_rest_of_another() {
        let mut decoder = BackendDecoder::new(100);
        decoder.feed(b"\0\0\0\0\x04");
        assert!(decoder.next_event().is_err());
    }

    proptest! {
        #[test]
        fn a_long_row_passes_in_pieces_and_whole(size in 0usize..200_000, cut in 0usize..200_000) {
            let mut raw = vec![b'D'];
            raw.extend((size as u32 + 10).to_be_bytes());
            raw.extend([0, 1]);
            raw.extend((size as u32).to_be_bytes());
            raw.extend(vec![7; size]);
            raw.extend(b"Z\0\0\0\x05I");
            let mut decoder = BackendDecoder::new(1 << 20);
            decoder.set_row_plan(Some(passing()));
            let (mut out, mut rows) = (Vec::new(), 0);
            let cut = cut.min(raw.len());
            for part in [&raw[..cut], &raw[cut..]] {
                decoder.feed(part);
                while let Some(event) = decoder.next_event().unwrap() {
                    out.extend_from_slice(event.data);
                    rows += event.rows;
                }
                prop_assert!(decoder.buffered() < STREAMED.max(10));
            }
            prop_assert_eq!(out, raw);
            prop_assert_eq!(rows, 1);
        }
    }
}
