//! Rewrites DataRows by a plan: one entry a column, made from the RowDescription.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memchr;

pub use super::kinds::Kind;
use super::{
    Found, Masker,
    context::Context,
    json,
    operators::{Operator, REDACTED, as_document, masked, searched, string},
    parts::{self, parts},
    paths::Paths,
    sieve::Candidates,
};
use crate::{
    ProtocolError,
    framing::{HEADER, whole_message},
    reader::Reader,
};

/// What happens to a column.
#[derive(Debug, Clone)]
pub enum Mode {
    Pass,
    Detect,
    Mask {
        rule: String,
        operator: Operator,
    },
    /// Parts of its JSON are masked, and the rest of it is searched.
    Paths(Paths),
}

/// One column of a plan.
#[derive(Debug, Clone)]
pub struct ColumnPlan {
    pub mode: Mode,
    pub kind: Kind,
    pub binary: bool,
    /// What its name says about its values; only for what is searched.
    pub context: Context,
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
    passes: bool,
    /// The bytes alone do not tell which rows may change.
    looks_at_each: bool,
}

/// A run of whole messages, masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<'a> {
    /// The masked messages: the run itself where nothing in it changed.
    pub data: &'a [u8],
    pub rows: usize,
    /// How many bytes of the run they were.
    pub consumed: usize,
    /// False where `data` is of the run itself.
    pub is_changed: bool,
}

impl ColumnPlan {
    fn passes(&self) -> bool {
        matches!(self.mode, Mode::Pass)
    }

    fn masks(&self) -> bool {
        matches!(self.mode, Mode::Mask { .. } | Mode::Paths(_))
    }

    /// True where some value changes, or may, though no detector's sieve sees it in the bytes as they are.
    fn may_hide(&self) -> bool {
        let is_escaped = matches!(self.kind, Kind::Json | Kind::Jsonb | Kind::Bytea);
        self.masks() || self.hides_by_name() || (!self.passes() && (is_escaped || self.hides_by_type()))
    }

    /// True where the bytes are not the text that a search is for.
    fn hides_by_type(&self) -> bool {
        match self.kind {
            Kind::Text | Kind::Padded | Kind::Xml | Kind::Json | Kind::Jsonb | Kind::Bytea => false,
            Kind::Int2 | Kind::Oid | Kind::Float4 | Kind::Uuid | Kind::Bits => false,
            Kind::Date | Kind::Time | Kind::Timestamp | Kind::Timestamptz => false,
            Kind::Int4 | Kind::Int8 | Kind::Numeric | Kind::Float8 | Kind::Money => self.binary,
            Kind::Inet | Kind::Cidr | Kind::Macaddr | Kind::Macaddr8 | Kind::Other => self.binary,
        }
    }

    /// True where sieves, which know no names, may miss what the column's name makes sensitive.
    fn hides_by_name(&self) -> bool {
        matches!(self.mode, Mode::Detect) && !self.context.is_empty()
    }

    /// The same of one searched value.
    fn hides(&self, value: &[u8]) -> bool {
        match self.kind {
            _ if self.hides_by_name() => true,
            // What its strings say may be spelt with escapes, and its bytes in hex.
            Kind::Json | Kind::Jsonb | Kind::Bytea => memchr(b'\\', value).is_some(),
            Kind::Other => self.binary && value.len() >= parts::SHORTEST,
            _ => self.hides_by_type(),
        }
    }
}

impl RowPlan {
    /// `rules` of the masker are counted beside those of the columns.
    pub fn new(columns: Vec<ColumnPlan>, masker: Option<Masker>) -> Result<Self, String> {
        if masker.is_none() && columns.iter().any(|column| !matches!(column.mode, Mode::Pass)) {
            return Err("a plan that masks needs a masker".to_owned());
        }
        let mut names: Vec<String> = Vec::new();
        let of_columns = columns.iter().flat_map(|column| match &column.mode {
            Mode::Mask { rule, .. } => vec![rule.clone()],
            Mode::Paths(paths) => paths.rules().map(str::to_owned).collect(),
            Mode::Pass | Mode::Detect => Vec::new(),
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
        let passes = columns.iter().all(ColumnPlan::passes);
        let looks_at_each = columns.iter().any(ColumnPlan::may_hide);
        Ok(Self {
            inner: Arc::new(Inner {
                columns,
                masker,
                counts,
                passes,
                looks_at_each,
            }),
        })
    }

    /// True where rows go through unchanged.
    pub fn passes(&self) -> bool {
        self.inner.passes
    }

    /// True where a value without a backslash may change though no sieve sees anything in its bytes.
    pub fn changes_unseen(&self) -> bool {
        let unseen = |column: &ColumnPlan| {
            !column.passes() && (column.masks() || column.hides_by_name() || column.hides_by_type())
        };
        self.inner.columns.iter().any(unseen)
    }

    /// Where the bytes of a run may hold something sensitive.
    pub fn candidates<'a>(&'a self, run: &'a [u8]) -> Candidates<'a> {
        match &self.inner.masker {
            Some(masker) if !self.inner.passes => masker.candidates(run),
            _ => Candidates::new(&[], run),
        }
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

    /// The whole rows that `run` begins with, masked as `mask_row` does. `room` is where changed rows are written; it is cleared.
    ///
    /// An error behind good rows is left for the next call, so that it does not matter how the stream is cut.
    pub fn mask_run<'a>(
        &self,
        run: &'a [u8],
        limit: usize,
        room: &'a mut Vec<u8>,
    ) -> Result<Run<'a>, ProtocolError> {
        room.clear();
        let mut candidates = self.candidates(run);
        let mut rewritten = Rewritten::new(run, room);
        let (mut at, mut rows) = (0, 0);
        while let Some(row) = whole_message(run.get(at..).unwrap_or_default(), b'D', limit) {
            let (end, mark) = (at + row.len(), rewritten.mark(at));
            let done = self.check(row.get(HEADER..).unwrap_or_default()).and_then(|()| {
                if self.inner.looks_at_each || candidates.first() < end {
                    self.rewrite(row, at, limit, &mut candidates, &mut rewritten)
                } else {
                    Ok(())
                }
            });
            match done {
                Err(error) if rows == 0 => return Err(error),
                Err(_) => {
                    rewritten.undo(at, mark);
                    break;
                }
                Ok(()) => {}
            }
            (at, rows) = (end, rows + 1);
        }
        Ok(rewritten.finish(at, rows))
    }

    /// A row must be of the described width and, where it is searched, of sound values.
    fn check(&self, payload: &[u8]) -> Result<(), ProtocolError> {
        if self.inner.passes {
            return self.check_width(payload);
        }
        if is_sound(payload, self.inner.columns.len()) {
            return Ok(());
        }
        let mut reader = Reader::new(payload);
        for _ in 0..self.width(&mut reader)? {
            reader.value()?;
        }
        reader.end()
    }

    /// Rewrite what changes in a sound row that stands at `at` of the run.
    fn rewrite(
        &self,
        row: &[u8],
        at: usize,
        limit: usize,
        candidates: &mut Candidates<'_>,
        rewritten: &mut Rewritten<'_>,
    ) -> Result<(), ProtocolError> {
        let mut reader = Reader::new(row.get(HEADER + 2..).unwrap_or_default());
        let mut end = at + HEADER + 2;
        let header = rewritten.mark(at);
        let mut is_changed = false;
        for column in &self.inner.columns {
            let start = end;
            end += 4;
            let Some(value) = reader.value()? else { continue };
            end += value.len();
            let is_clean = match column.mode {
                Mode::Pass => true,
                Mode::Detect => !column.hides(value) && !candidates.touch(start + 4, end),
                Mode::Mask { .. } | Mode::Paths(_) => false,
            };
            if is_clean {
                continue;
            }
            let masked = self.mask_value(column, value);
            if !matches!(masked, Some(Cow::Borrowed(_))) {
                rewritten.replace(start, end, masked.as_deref())?;
                is_changed = true;
            }
        }
        if is_changed {
            rewritten.end_row(header, end, limit)?;
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
                let keys = self.inner.masker.as_ref()?.keys();
                masked(operator, column.kind, column.binary, value, keys).map(Cow::Owned)
            }
            Mode::Paths(paths) => self.by_paths(column, paths, value),
        }
    }

    /// What paths name is masked; the whole value where it is no JSON that can be followed, NULL where it is of another type.
    fn by_paths<'a>(&self, column: &ColumnPlan, paths: &Paths, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let text = match (column.kind, column.binary) {
            (Kind::Jsonb, true) => value.strip_prefix(&[1]),
            (Kind::Json | Kind::Jsonb | Kind::Text | Kind::Padded, _) => Some(value),
            _ => {
                paths.rules().for_each(|rule| self.count(rule));
                return None;
            }
        };
        let keys = self.inner.masker.as_ref()?.keys();
        let Some((json, rules)) = text.and_then(|text| paths.mask(text, keys)) else {
            paths.rules().for_each(|rule| self.count(rule));
            return Some(Cow::Owned(as_document(
                &string(REDACTED),
                column.kind,
                column.binary,
            )));
        };
        rules.iter().for_each(|rule| self.count(rule));
        let version = value
            .get(..value.len() - text.map_or(0, <[u8]>::len))
            .unwrap_or_default();
        let searched = self.search_json(&json);
        match (rules.is_empty(), searched) {
            (true, None) => Some(Cow::Borrowed(value)),
            (_, searched) => Some(Cow::Owned([version, &searched.unwrap_or(json)].concat())),
        }
    }

    /// A JSON text without what the detectors find in it; `None` where that is nothing.
    fn search_json(&self, text: &[u8]) -> Option<Vec<u8>> {
        let masker = self
            .inner
            .masker
            .as_ref()
            .filter(|masker| !masker.inner.watches.is_empty())?;
        let (masked, found) = json::mask(masker, text)?;
        self.count_all(masker, &found);
        Some(masked)
    }

    fn detect<'a>(&self, column: &ColumnPlan, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let masker = self.inner.masker.as_ref()?;
        let (masked, found) = match column.kind {
            Kind::Json | Kind::Jsonb => match json::mask(masker, value) {
                Some((masked, found)) => (Some(masked), found),
                None => (None, Vec::new()),
            },
            Kind::Text | Kind::Padded | Kind::Xml => {
                let found = masker.find_with_context(value, column.context);
                let masked = (!found.is_empty()).then(|| masker.replace(value, &found));
                (masked, found)
            }
            // There is no other masked form that its type could hold.
            kind => (None, found_inside(masker, column, kind, value, MOST_LEVELS)),
        };
        if found.is_empty() {
            return Some(Cow::Borrowed(value));
        }
        self.count_all(masker, &found);
        masked.map(Cow::Owned)
    }

    fn count_all(&self, masker: &Masker, found: &[Found]) {
        found.iter().for_each(|one| self.count(masker.rule_of(one)));
    }

    fn count(&self, rule: &str) {
        if let Some((_, count)) = self.inner.counts.iter().find(|(name, _)| name == rule) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How deep values within values are looked into.
const MOST_LEVELS: usize = 8;

/// What is sensitive in a value that is no text: in its bytes, in what they say as text, and in the values that it is made of.
fn found_inside(masker: &Masker, column: &ColumnPlan, kind: Kind, value: &[u8], levels: usize) -> Vec<Found> {
    let binary = column.binary || levels < MOST_LEVELS;
    let mut found = match searched(kind, binary, value) {
        Some(text) => masker.find_with_context(&text, column.context),
        None => masker.find_with_context(value, column.context),
    };
    if kind == Kind::Other && binary && value.len() >= parts::SHORTEST && levels > 0 && found.is_empty() {
        for (kind, part) in parts(value) {
            found.extend(match kind {
                Kind::Json | Kind::Jsonb => json::mask(masker, part).map_or(Vec::new(), |(_, found)| found),
                kind => found_inside(masker, column, kind, part, levels - 1),
            });
        }
    }
    found
}

/// True where a row's payload is this many values and nothing else.
pub fn is_sound(payload: &[u8], width: usize) -> bool {
    let Some((count, mut rest)) = payload.split_first_chunk::<2>() else {
        return false;
    };
    for _ in 0..width {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else {
            return false;
        };
        let length = i32::from_be_bytes(*length);
        let length = usize::try_from(length).or(if length == -1 { Ok(0) } else { Err(()) });
        let Some(behind) = length.ok().and_then(|length| behind.get(length..)) else {
            return false;
        };
        rest = behind;
    }
    usize::try_from(i16::from_be_bytes(*count)) == Ok(width) && rest.is_empty()
}

/// A run of messages with some of its values replaced. What stays is copied in long pieces, and only if something changed.
pub struct Rewritten<'a> {
    run: &'a [u8],
    room: &'a mut Vec<u8>,
    /// How much of the run is in `room`.
    copied: usize,
}

impl<'a> Rewritten<'a> {
    pub fn new(run: &'a [u8], room: &'a mut Vec<u8>) -> Self {
        Self { run, room, copied: 0 }
    }

    fn copy(&mut self, end: usize) {
        self.room
            .extend_from_slice(self.run.get(self.copied..end).unwrap_or_default());
        self.copied = end;
    }

    /// Put a value in the place of these bytes of the run.
    fn replace(&mut self, start: usize, end: usize, value: Option<&[u8]>) -> Result<(), ProtocolError> {
        self.copy(start);
        self.copied = end;
        append_value(value, self.room)
    }

    /// Put bytes in the place of these bytes of the run.
    pub fn put(&mut self, start: usize, end: usize, parts: [&[u8]; 3]) {
        self.copy(start);
        parts.iter().for_each(|part| self.room.extend_from_slice(part));
        self.copied = end;
    }

    /// Where in the room the row at `start` of the run will begin.
    fn mark(&self, start: usize) -> usize {
        self.room.len() + start.saturating_sub(self.copied)
    }

    /// Forget what was written of that row.
    fn undo(&mut self, start: usize, mark: usize) {
        if self.copied > start {
            self.room.truncate(mark);
            self.copied = start;
        }
    }

    /// Write the length of a row whose header is in the room.
    fn end_row(&mut self, header: usize, end: usize, limit: usize) -> Result<(), ProtocolError> {
        self.copy(end);
        let whole = self.room.len() - header;
        let length = u32::try_from(whole - 1).ok().filter(|_| whole <= limit);
        let length = length.ok_or_else(|| ProtocolError::new("a masked row is too long"))?;
        if let Some(place) = self.room.get_mut(header + 1..header + HEADER) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    /// All up to `end` of the run.
    pub fn finish(mut self, end: usize, rows: usize) -> Run<'a> {
        let is_changed = self.copied > 0;
        if is_changed {
            self.copy(end);
        }
        Run {
            data: if is_changed {
                self.room
            } else {
                self.run.get(..end).unwrap_or_default()
            },
            rows,
            consumed: end,
            is_changed,
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
    use crate::{backend::BackendDecoder, masking::detectors::DETECTORS, messages};
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
        let context = Context::default();
        let column = ColumnPlan {
            mode,
            kind,
            binary,
            context,
        };
        RowPlan::new(vec![column], Some(masker())).unwrap()
    }

    fn masked(plan: &RowPlan, value: &[u8]) -> Option<Vec<u8>> {
        let mut decoder = BackendDecoder::new(1 << 20);
        decoder.set_row_plan(Some(plan.clone()));
        decoder.feed(&row(&[Some(value)]));
        let event = decoder.next_event().unwrap().unwrap();
        messages::data_row(event.data).unwrap()[0].map(<[u8]>::to_vec)
    }

    fn redact() -> Mode {
        Mode::Mask {
            rule: "ssn".to_owned(),
            operator: Operator::Redact,
        }
    }

    fn every_detector() -> Masker {
        let redact = "{\"redact\":{}}".to_owned();
        let entry = |name: &str| (name.to_owned(), name.to_owned(), redact.clone());
        let detect: Vec<_> = DETECTORS.iter().map(|detector| entry(detector.name)).collect();
        Masker::new(&detect, b"key").unwrap()
    }

    fn columns() -> impl Strategy<Value = ColumnPlan> {
        let kinds = prop::sample::select(vec![Kind::Text, Kind::Json, Kind::Jsonb, Kind::Int8, Kind::Other]);
        let modes = prop_oneof![
            1 => Just(Mode::Pass),
            4 => Just(Mode::Detect),
            1 => Just(redact()),
        ];
        (modes, kinds, any::<bool>()).prop_map(|(mode, kind, binary)| ColumnPlan {
            mode,
            kind,
            binary,
            context: Context::default(),
        })
    }

    /// Hits, parts of hits that may meet across values, escapes and integers.
    fn values() -> impl Strategy<Value = Vec<u8>> {
        let examples: Vec<Vec<u8>> = DETECTORS
            .iter()
            .flat_map(|detector| detector.must_match.iter().chain(detector.must_not_match))
            .map(|example| example.as_bytes().to_vec())
            .collect();
        let cut = (prop::sample::select(examples.clone()), 0usize..40)
            .prop_map(|(example, cut)| example[cut.min(example.len())..].to_vec());
        let begun = (prop::sample::select(examples.clone()), 0usize..40)
            .prop_map(|(example, cut)| example[..cut.min(example.len())].to_vec());
        let quoted = prop::sample::select(examples.clone()).prop_map(|example| {
            let text = String::from_utf8(example).unwrap();
            serde_json::json!({"a\n": text, "b": [1, "\\", "ana\u{e9}"]})
                .to_string()
                .into_bytes()
        });
        let escaped = Just(br#"{"a":"ana\u0040example.com","b":4242424242424242}"#.to_vec());
        let number =
            prop_oneof![any::<i64>(), Just(4_242_424_242_424_242i64)].prop_map(|n| n.to_be_bytes().to_vec());
        let plain = prop::collection::vec(any::<u8>(), 0..70);
        prop_oneof![
            2 => prop::sample::select(examples), 2 => cut, 2 => begun, 1 => quoted, 1 => escaped, 1 => number, 3 => plain,
        ]
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
    fn digits_alone_are_found_in_a_column_that_is_named_for_them() {
        let masked_in = |name: &str, kind, binary, value: &[u8]| {
            let masker = every_detector();
            let context = masker.context_of(name.as_bytes());
            let mode = Mode::Detect;
            let column = ColumnPlan {
                mode,
                kind,
                binary,
                context,
            };
            masked(&RowPlan::new(vec![column], Some(masker)).unwrap(), value)
        };
        let (text, number) = (b"44051401359", 44_051_401_359i64.to_be_bytes());
        assert_eq!(
            masked_in("customer_pesel", Kind::Text, false, text),
            Some(REDACTED.to_vec())
        );
        assert_eq!(masked_in("pesel", Kind::Int8, true, &number), None);
        assert_eq!(
            masked_in("pesel", Kind::Text, false, b"44051401358"),
            Some(b"44051401358".to_vec())
        );
        assert_eq!(masked_in("amount", Kind::Text, false, text), Some(text.to_vec()));
        assert_eq!(
            masked_in("amount", Kind::Int8, true, &number),
            Some(number.to_vec())
        );
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
                        out.extend_from_slice(event.data);
                    }
                }
                prop_assert!(!out.windows(secret.len()).any(|window| window == secret.as_bytes()));
                prop_assert_eq!(messages::data_rows(&out, 10).unwrap().len(), 1);
            }
        }

        #[test]
        fn a_run_is_masked_as_its_rows_are(
            columns in prop::collection::vec(columns(), 1..4),
            texts in prop::collection::vec(prop::collection::vec(prop::option::of(values()), 4), 0..12),
            damage in prop::option::weighted(0.2, (0usize..400, any::<u8>())),
            limit in prop::sample::select(vec![60usize, 200, 1 << 20]),
        ) {
            let width = columns.len();
            let mut stream: Vec<u8> = texts
                .iter()
                .flat_map(|row_of| row(&row_of[..width].iter().map(Option::as_deref).collect::<Vec<_>>()))
                .collect();
            if let Some((at, byte)) = damage
                && let Some(place) = stream.get_mut(at)
            {
                *place = byte;
            }
            let (whole, single) = ([(); 2]).map(|()| RowPlan::new(columns.clone(), Some(every_detector())).unwrap()).into();
            let mut room = b"what was here before".to_vec();
            let run = whole.mask_run(&stream, limit, &mut room);
            let (mut out, mut at, mut rows, mut failure) = (Vec::new(), 0, 0, None);
            while let Some(message) = whole_message(&stream[at..], b'D', limit) {
                let good = out.len();
                let masked = if single.passes() {
                    out.extend_from_slice(message);
                    single.check_width(&message[HEADER..])
                } else {
                    single.mask_row(&message[HEADER..], limit, &mut out)
                };
                if let Err(error) = masked {
                    out.truncate(good);
                    failure = Some(error);
                    break;
                }
                (at, rows) = (at + message.len(), rows + 1);
            }
            match (run, failure) {
                (Err(error), failure) => prop_assert_eq!((rows, Some(error)), (0, failure)),
                (Ok(run), failure) => {
                    prop_assert!(failure.is_none() || rows > 0);
                    prop_assert_eq!((run.data, run.rows, run.consumed), (&out[..], rows, at));
                    if failure.is_none() {
                        prop_assert_eq!(whole.hits(), single.hits());
                    }
                }
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
