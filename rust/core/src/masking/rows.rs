//! Rewrites DataRows by a plan: one entry a column, made from the RowDescription.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Masker, json, operators::Operator};
use crate::{ProtocolError, reader::Reader};

/// What a column's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The same bytes in text and binary format.
    Text,
    Json,
    /// In binary format a version byte 1 stands ahead of the text.
    Jsonb,
    Int8,
    Other,
}

/// What happens to a column.
#[derive(Debug, Clone)]
pub enum Mode {
    Pass,
    Detect,
    Mask { rule: String, operator: Operator },
}

/// One column of a plan.
#[derive(Debug, Clone)]
pub struct ColumnPlan {
    pub mode: Mode,
    pub kind: Kind,
    pub binary: bool,
}

/// How rows of one shape are masked. Clones share their counts.
#[derive(Clone)]
pub struct RowPlan {
    inner: Arc<Inner>,
}

struct Inner {
    columns: Vec<ColumnPlan>,
    masker: Option<Masker>,
    counts: Vec<(String, AtomicU64)>,
}

impl RowPlan {
    /// `rules` of the masker are counted beside those of the columns.
    pub fn new(columns: Vec<ColumnPlan>, masker: Option<Masker>) -> Result<Self, String> {
        if masker.is_none() && columns.iter().any(|column| !matches!(column.mode, Mode::Pass)) {
            return Err("a plan that masks needs a masker".to_owned());
        }
        let mut names: Vec<String> = Vec::new();
        let of_columns = columns.iter().filter_map(|column| match &column.mode {
            Mode::Mask { rule, .. } => Some(rule.clone()),
            _ => None,
        });
        let of_masker = masker
            .iter()
            .flat_map(|masker| masker.inner.watches.iter().map(|watch| watch.rule.clone()));
        for name in of_columns.chain(of_masker) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let counts = names.into_iter().map(|name| (name, AtomicU64::new(0))).collect();
        Ok(Self {
            inner: Arc::new(Inner {
                columns,
                masker,
                counts,
            }),
        })
    }

    /// True where rows go through unchanged.
    pub fn passes(&self) -> bool {
        self.inner
            .columns
            .iter()
            .all(|column| matches!(column.mode, Mode::Pass))
    }

    /// What happens to each column.
    pub fn columns(&self) -> &[ColumnPlan] {
        &self.inner.columns
    }

    /// How many values each rule masked.
    pub fn hits(&self) -> Vec<(String, u64)> {
        self.inner
            .counts
            .iter()
            .map(|(name, count)| (name.clone(), count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// The same, counting from nothing again.
    pub fn take_hits(&self) -> Vec<(String, u64)> {
        let hits = self.hits();
        if !hits.is_empty() {
            self.inner
                .counts
                .iter()
                .for_each(|(_, count)| count.store(0, Ordering::Relaxed));
        }
        hits
    }

    /// A row of another width than described is refused.
    pub fn check_width(&self, payload: &[u8]) -> Result<(), ProtocolError> {
        self.width(&mut Reader::new(payload)).map(|_| ())
    }

    fn width(&self, reader: &mut Reader<'_>) -> Result<usize, ProtocolError> {
        let width = reader.count()?;
        if width == self.inner.columns.len() {
            Ok(width)
        } else {
            Err(ProtocolError::new("a row of another width than described"))
        }
    }

    /// Append the masked row, as a whole message, to `out`.
    pub fn mask_row(&self, payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let mut reader = Reader::new(payload);
        let width = self.width(&mut reader)?;
        let start = out.len();
        out.extend_from_slice(&[b'D', 0, 0, 0, 0]);
        out.extend_from_slice(&i16::try_from(width).unwrap_or(i16::MAX).to_be_bytes());
        for column in &self.inner.columns {
            let masked = reader.value()?.and_then(|value| self.mask_value(column, value));
            append_value(masked.as_deref(), out)?;
        }
        reader.end()?;
        let whole = out.len() - start;
        let length = u32::try_from(whole - 1).ok().filter(|_| whole <= limit);
        let length = length.ok_or_else(|| ProtocolError::new("a masked row is too long"))?;
        if let Some(header) = out.get_mut(start + 1..start + 5) {
            header.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    /// One value as its column's plan has it; `None` is NULL.
    pub fn mask_value<'a>(&self, column: &ColumnPlan, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match &column.mode {
            Mode::Pass => Some(Cow::Borrowed(value)),
            Mode::Detect => self.detect(column, value),
            Mode::Mask { rule, operator } => {
                self.count(rule);
                self.whole(column, value, operator).map(Cow::Owned)
            }
        }
    }

    /// The whole value masked, in a form that its type can hold; NULL where nothing else can.
    fn whole(&self, column: &ColumnPlan, value: &[u8], operator: &Operator) -> Option<Vec<u8>> {
        let key = self.inner.masker.as_ref().map_or(&[][..], Masker::hash_key);
        match column.kind {
            Kind::Text => operator.apply(value, key),
            Kind::Json | Kind::Jsonb => {
                let masked = operator.apply(value, key)?;
                let text =
                    serde_json::Value::String(String::from_utf8_lossy(&masked).into_owned()).to_string();
                let version: &[u8] = if column.kind == Kind::Jsonb && column.binary {
                    &[1]
                } else {
                    &[]
                };
                Some([version, text.as_bytes()].concat())
            }
            Kind::Int8 | Kind::Other => None,
        }
    }

    fn detect<'a>(&self, column: &ColumnPlan, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let Some(masker) = &self.inner.masker else {
            return None;
        };
        let (masked, found) = match (column.kind, column.binary, value.first_chunk::<8>()) {
            (Kind::Json | Kind::Jsonb, ..) => match json::mask(masker, value) {
                Some((masked, found)) => (Some(masked), found),
                None => (None, Vec::new()),
            },
            (Kind::Int8, true, Some(bytes)) => (
                None,
                masker.find(i64::from_be_bytes(*bytes).to_string().as_bytes()),
            ),
            (Kind::Int8 | Kind::Other, ..) => (None, masker.find(value)),
            (Kind::Text, ..) => {
                let found = masker.find(value);
                let masked = (!found.is_empty()).then(|| masker.replace(value, &found));
                (masked, found)
            }
        };
        if found.is_empty() {
            return Some(Cow::Borrowed(value));
        }
        found.iter().for_each(|one| self.count(masker.rule_of(one)));
        masked.map(Cow::Owned)
    }

    fn count(&self, rule: &str) {
        if let Some((_, count)) = self.inner.counts.iter().find(|(name, _)| name == rule) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A value with its length ahead; NULL has the length -1.
pub fn append_value(value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    match value {
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
        Some(value) => {
            let length =
                i32::try_from(value.len()).map_err(|_| ProtocolError::new("a masked value is too long"))?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::BackendDecoder, messages};
    use proptest::prelude::*;

    fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut payload = (values.len() as i16).to_be_bytes().to_vec();
        for value in values {
            append_value(*value, &mut payload).unwrap();
        }
        let mut raw = vec![b'D'];
        raw.extend((payload.len() as u32 + 4).to_be_bytes());
        raw.extend(payload);
        raw
    }

    fn masker() -> Masker {
        let detect = ["email", "payment_card", "us_ssn"].map(|name| {
            (
                name.to_owned(),
                format!("rule-{name}"),
                "{\"redact\":{}}".to_owned(),
            )
        });
        Masker::new(&detect, b"key").unwrap()
    }

    fn plan(mode: Mode, kind: Kind, binary: bool) -> RowPlan {
        RowPlan::new(vec![ColumnPlan { mode, kind, binary }], Some(masker())).unwrap()
    }

    fn masked(plan: &RowPlan, value: &[u8]) -> Option<Vec<u8>> {
        let mut decoder = BackendDecoder::new(1 << 20);
        decoder.set_row_plan(Some(plan.clone()));
        decoder.feed(&row(&[Some(value)]));
        let event = decoder.next_event().unwrap().unwrap();
        messages::data_row(&event.data).unwrap()[0].map(<[u8]>::to_vec)
    }

    fn redact() -> Mode {
        Mode::Mask {
            rule: "ssn".to_owned(),
            operator: Operator::Redact,
        }
    }

    #[test]
    fn a_masked_column_keeps_its_type_valid_in_both_formats() {
        assert_eq!(
            masked(&plan(redact(), Kind::Text, false), b"secret"),
            Some(b"[redacted]".to_vec())
        );
        assert_eq!(
            masked(&plan(redact(), Kind::Json, false), b"{}"),
            Some(b"\"[redacted]\"".to_vec())
        );
        assert_eq!(
            masked(&plan(redact(), Kind::Jsonb, true), b"\x01{}"),
            Some(b"\x01\"[redacted]\"".to_vec())
        );
        assert_eq!(masked(&plan(redact(), Kind::Other, true), b"\0\0\0\x01"), None);
    }

    #[test]
    fn a_card_in_a_binary_bigint_is_found() {
        let plan = plan(Mode::Detect, Kind::Int8, true);
        assert_eq!(masked(&plan, &4_242_424_242_424_242i64.to_be_bytes()), None);
        assert_eq!(
            masked(&plan, &42i64.to_be_bytes()),
            Some(42i64.to_be_bytes().to_vec())
        );
        assert_eq!(plan.hits(), vec![("rule-payment_card".to_owned(), 1)]);
    }

    #[test]
    fn rows_without_a_plan_or_of_another_width_are_refused() {
        let mut decoder = BackendDecoder::new(1 << 20);
        decoder.feed(&row(&[Some(b"1")]));
        assert!(decoder.next_event().is_err());
        let mut decoder = BackendDecoder::new(1 << 20);
        decoder.set_row_plan(Some(plan(Mode::Pass, Kind::Text, false)));
        decoder.feed(&row(&[Some(b"1"), None]));
        assert!(decoder.next_event().is_err());
    }

    proptest! {
        #[test]
        fn i5_a_value_of_a_masked_column_is_never_in_the_output(secret in "[a-z]{12,30}", split in 0usize..200, binary: bool) {
            for kind in [Kind::Text, Kind::Json, Kind::Jsonb, Kind::Int8, Kind::Other] {
                let raw = row(&[Some(secret.as_bytes())]);
                let split = split.min(raw.len());
                let mut decoder = BackendDecoder::new(1 << 20);
                decoder.set_row_plan(Some(plan(redact(), kind, binary)));
                let mut out = Vec::new();
                for part in [&raw[..split], &raw[split..]] {
                    decoder.feed(part);
                    while let Some(event) = decoder.next_event().unwrap() {
                        out.extend(event.data);
                    }
                }
                prop_assert!(!out.windows(secret.len()).any(|window| window == secret.as_bytes()));
                prop_assert_eq!(messages::data_rows(&out, 10).unwrap().len(), 1);
            }
        }

        #[test]
        fn garbage_from_a_server_never_panics(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = BackendDecoder::new(128);
            decoder.set_row_plan(Some(plan(Mode::Detect, Kind::Text, false)));
            decoder.feed(&data);
            while let Ok(Some(_)) = decoder.next_event() {}
        }
    }
}
