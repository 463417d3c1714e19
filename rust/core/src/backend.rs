//! Cuts what a server sends into messages and masks rows as they pass.

use crate::{
    ProtocolError,
    framing::{Frames, HEADER},
    masking::rows::RowPlan,
};

/// A server's message, or a run of rows.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: u8,
    /// Whole messages with their headers; for rows, all of the run after masking.
    pub data: Vec<u8>,
    pub rows: usize,
}

/// Pull-based, so that the caller can set the plan after a RowDescription and before the rows behind it.
pub struct BackendDecoder {
    frames: Frames,
    limit: usize,
    plan: Option<RowPlan>,
}

impl BackendDecoder {
    pub fn new(limit: usize) -> Self {
        Self {
            frames: Frames::default(),
            limit,
            plan: None,
        }
    }

    pub fn feed(&mut self, data: &[u8]) {
        self.frames.feed(data);
    }

    /// How the rows that follow are masked. Without a plan a row is an error: what nobody understands is not shown.
    pub fn set_row_plan(&mut self, plan: Option<RowPlan>) {
        self.plan = plan;
    }

    pub fn next_event(&mut self) -> Result<Option<Event>, ProtocolError> {
        match self.frames.complete(0, self.limit)? {
            None => Ok(None),
            Some((b'D', _)) => self.rows().map(Some),
            Some((kind, whole)) => Ok(Some(Event {
                kind,
                data: self.frames.take(whole),
                rows: 0,
            })),
        }
    }

    fn rows(&mut self) -> Result<Event, ProtocolError> {
        let Some(plan) = &self.plan else {
            return Err(ProtocolError::new("rows without a known shape"));
        };
        let (mut offset, mut rows) = (0, 0);
        let mut masked = Vec::new();
        while let Some((b'D', whole)) = self.frames.complete(offset, self.limit)? {
            let end = offset.saturating_add(whole);
            let payload = self
                .frames
                .pending()
                .get(offset.saturating_add(HEADER)..end)
                .unwrap_or_default();
            if plan.passes() {
                plan.check_width(payload)?;
            } else {
                plan.mask_row(payload, self.limit, &mut masked)?;
            }
            offset = end;
            rows += 1;
        }
        let raw = self.frames.take(offset);
        Ok(Event {
            kind: b'D',
            data: if plan.passes() { raw } else { masked },
            rows,
        })
    }
}
