//! Rewrites COPY data on its way out by a row plan, in the three formats (manual, "COPY", "File Formats").
//!
//! A server sends one CopyData message a row. That is relied on, and checked: what does not read as whole rows of the expected width
//! is an error, never passed on.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr3};

use super::{
    rows::{Rewritten, RowPlan, Run, append_value, is_sound},
    sieve::Candidates,
};
use crate::{
    ProtocolError,
    framing::{HEADER, whole_message},
    reader::Reader,
};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// How the rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFormat {
    Text {
        delimiter: u8,
        null: Vec<u8>,
    },
    Csv {
        delimiter: u8,
        quote: u8,
        escape: u8,
        null: Vec<u8>,
    },
    Binary,
}

/// Masks one COPY's data.
pub struct CopyMasker {
    plan: RowPlan,
    format: CopyFormat,
    /// A header line (text, CSV) or the file header (binary) is still to come.
    header: bool,
    ended: bool,
}

impl CopyMasker {
    /// `header`: a line of column names comes first (text and CSV; binary data always has its own header).
    pub fn new(plan: RowPlan, format: CopyFormat, header: bool) -> Self {
        let header = header || format == CopyFormat::Binary;
        Self {
            plan,
            format,
            header,
            ended: false,
        }
    }

    /// True where data goes through unchanged and need not be understood.
    pub fn passes(&self) -> bool {
        self.plan.passes()
    }

    /// The payload of one CopyData message, masked.
    pub fn mask<'a>(&mut self, payload: &'a [u8]) -> Result<Cow<'a, [u8]>, ProtocolError> {
        if self.passes() {
            return Ok(Cow::Borrowed(payload));
        }
        match &self.format {
            CopyFormat::Binary => self.binary(payload).map(Cow::Owned),
            _ if self.header => {
                self.header = false;
                Ok(Cow::Borrowed(payload))
            }
            CopyFormat::Text { delimiter, null } => self.text(payload, *delimiter, null).map(Cow::Owned),
            CopyFormat::Csv {
                delimiter,
                quote,
                escape,
                null,
            } => self
                .csv(payload, (*delimiter, *quote, *escape), null)
                .map(Cow::Owned),
        }
    }

    /// The whole CopyData messages that `run` begins with, masked as `mask` does. `room` is where changed ones are written; it is
    /// cleared. An error behind good messages is left for the next call.
    pub fn mask_run<'a>(
        &mut self,
        run: &'a [u8],
        limit: usize,
        room: &'a mut Vec<u8>,
    ) -> Result<Run<'a>, ProtocolError> {
        room.clear();
        let plan = self.plan.clone();
        let mut candidates = plan.candidates(run);
        let mut rewritten = Rewritten::new(run, room);
        let (mut at, mut rows) = (0, 0);
        while let Some(message) = whole_message(run.get(at..).unwrap_or_default(), b'd', limit) {
            let (start, end) = (at + HEADER, at + message.len());
            let payload = message.get(HEADER..).unwrap_or_default();
            if self.passes() || (self.is_plain(payload) && self.is_clean(payload, start, &mut candidates)) {
                (at, rows) = (end, rows + 1);
                continue;
            }
            let masked = self.mask(payload).and_then(|masked| {
                let length = u32::try_from(masked.len().saturating_add(4)).ok();
                let length = length.filter(|_| masked.len() <= limit);
                let length = length.ok_or_else(|| ProtocolError::new("a masked row is too long"))?;
                Ok((length, masked))
            });
            match masked {
                Err(error) if rows == 0 => return Err(error),
                Err(_) => break,
                Ok((_, masked)) if *masked == *payload => {}
                Ok((length, masked)) => rewritten.put(at, end, [b"d", &length.to_be_bytes(), &masked]),
            }
            (at, rows) = (end, rows + 1);
        }
        Ok(rewritten.finish(at, rows))
    }

    /// True where a payload is a row of the right width in which every value is written as it is: then it stays as it is unless a
    /// detector's sieve sees something in its bytes.
    fn is_plain(&self, payload: &[u8]) -> bool {
        let width = self.plan.columns().len();
        if self.header || self.plan.changes_unseen() {
            return false;
        }
        let is_row =
            |delimiter| memchr_iter(delimiter, payload).count() + 1 == width && one_line(payload).is_ok();
        match self.format {
            CopyFormat::Binary => !self.ended && is_sound(payload, width) && memchr(b'\\', payload).is_none(),
            CopyFormat::Text { delimiter, .. } => memchr(b'\\', payload).is_none() && is_row(delimiter),
            CopyFormat::Csv {
                delimiter,
                quote,
                escape,
                ..
            } => memchr3(quote, escape, b'\\', payload).is_none() && is_row(delimiter),
        }
    }

    /// True where no value of a plain payload, which stands at `start` of what the candidates are of, is touched by a hit.
    fn is_clean(&self, payload: &[u8], start: usize, candidates: &mut Candidates<'_>) -> bool {
        if candidates.first() >= start + payload.len() {
            return true;
        }
        let mut is_touched = |from: usize, to: usize| candidates.touch(start + from, start + to);
        match self.format {
            CopyFormat::Text { delimiter, .. } | CopyFormat::Csv { delimiter, .. } => {
                let mut from = 0;
                let ends = memchr_iter(delimiter, payload).chain([payload.len().saturating_sub(1)]);
                !ends
                    .into_iter()
                    .any(|end| is_touched(std::mem::replace(&mut from, end + 1), end))
            }
            CopyFormat::Binary => {
                let mut reader = Reader::new(payload.get(2..).unwrap_or_default());
                let mut from = 2;
                !self.plan.columns().iter().any(|_| {
                    let length = reader.value().ok().flatten().map_or(0, <[u8]>::len);
                    from += 4 + length;
                    is_touched(from - length, from)
                })
            }
        }
    }

    fn text(&self, payload: &[u8], delimiter: u8, null: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let line = one_line(payload)?;
        let fields = split_text(line, delimiter);
        if fields.len() != self.plan.columns().len() {
            return Err(wrong_width());
        }
        let mut out = Vec::with_capacity(payload.len());
        for (index, (field, column)) in fields.into_iter().zip(self.plan.columns()).enumerate() {
            if index > 0 {
                out.push(delimiter);
            }
            if field == null {
                out.extend_from_slice(null);
                continue;
            }
            let value = unescape(field);
            match self.plan.mask_value(column, &value) {
                None => out.extend_from_slice(null),
                Some(masked) if *masked == *value => out.extend_from_slice(field),
                Some(masked) => escape_text(&masked, delimiter, &mut out),
            }
        }
        out.push(b'\n');
        Ok(out)
    }

    fn csv(
        &self,
        payload: &[u8],
        (delimiter, quote, escape): (u8, u8, u8),
        null: &[u8],
    ) -> Result<Vec<u8>, ProtocolError> {
        let line = one_line(payload)?;
        let fields = split_csv(line, delimiter, quote, escape)?;
        if fields.len() != self.plan.columns().len() {
            return Err(wrong_width());
        }
        let mut out = Vec::with_capacity(payload.len());
        for (index, (field, column)) in fields.into_iter().zip(self.plan.columns()).enumerate() {
            if index > 0 {
                out.push(delimiter);
            }
            if !field.quoted && field.raw == null {
                out.extend_from_slice(null);
                continue;
            }
            match self.plan.mask_value(column, &field.value) {
                None => out.extend_from_slice(null),
                Some(masked) if *masked == *field.value => out.extend_from_slice(field.raw),
                Some(masked) => quote_csv(&masked, field.quoted, (delimiter, quote, escape), null, &mut out),
            }
        }
        out.push(b'\n');
        Ok(out)
    }

    fn binary(&mut self, payload: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let mut reader = Reader::new(payload);
        let mut out = Vec::with_capacity(payload.len());
        if self.header {
            if reader.bytes(SIGNATURE.len())? != SIGNATURE || reader.u32()? != 0 {
                return Err(ProtocolError::new("binary copy data without its header"));
            }
            let extension = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
            reader.bytes(extension)?;
            self.header = false;
            out.extend_from_slice(SIGNATURE);
            out.extend_from_slice(&[0; 8]);
        }
        while !reader.is_empty() {
            if self.ended {
                return Err(ProtocolError::new("binary copy data behind its end"));
            }
            let width = reader.i16()?;
            out.extend_from_slice(&width.to_be_bytes());
            if width == -1 {
                self.ended = true;
                continue;
            }
            if usize::try_from(width) != Ok(self.plan.columns().len()) {
                return Err(wrong_width());
            }
            for column in self.plan.columns() {
                let masked = reader
                    .value()?
                    .and_then(|value| self.plan.mask_value(column, value));
                append_value(masked.as_deref(), &mut out)?;
            }
        }
        Ok(out)
    }
}

fn wrong_width() -> ProtocolError {
    ProtocolError::new("copied rows of another width than described")
}

fn one_line(payload: &[u8]) -> Result<&[u8], ProtocolError> {
    payload
        .strip_suffix(b"\n")
        .ok_or_else(|| ProtocolError::new("copy data that is not one row a message"))
}

fn split_text(line: &[u8], delimiter: u8) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, &byte) in line.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if byte == b'\\' {
            escaped = true;
        } else if byte == delimiter {
            fields.push(line.get(start..at).unwrap_or_default());
            start = at + 1;
        }
    }
    fields.push(line.get(start..).unwrap_or_default());
    fields
}

fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', field).is_none() {
        return Cow::Borrowed(field);
    }
    let mut value = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        value.push(match bytes.next() {
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 11,
            Some(&other) => other,
            None => b'\\',
        });
    }
    Cow::Owned(value)
}

fn escape_text(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for &byte in value {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            _ if byte == delimiter => byte,
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

struct CsvField<'a> {
    raw: &'a [u8],
    value: Cow<'a, [u8]>,
    quoted: bool,
}

fn split_csv(line: &[u8], delimiter: u8, quote: u8, escape: u8) -> Result<Vec<CsvField<'_>>, ProtocolError> {
    let mut fields = Vec::new();
    let mut start = 0;
    loop {
        let rest = line.get(start..).unwrap_or_default();
        let (length, field) = if rest.first() == Some(&quote) {
            quoted_field(rest, quote, escape)?
        } else {
            let length = rest
                .iter()
                .position(|&byte| byte == delimiter)
                .unwrap_or(rest.len());
            let raw = rest.get(..length).unwrap_or_default();
            (
                length,
                CsvField {
                    raw,
                    value: Cow::Borrowed(raw),
                    quoted: false,
                },
            )
        };
        fields.push(field);
        match rest.get(length) {
            None => return Ok(fields),
            Some(&byte) if byte == delimiter => start += length + 1,
            Some(_) => {
                return Err(ProtocolError::new(
                    "a quoted field of copy data that goes on behind its quote",
                ));
            }
        }
    }
}

fn quoted_field(rest: &[u8], quote: u8, escape: u8) -> Result<(usize, CsvField<'_>), ProtocolError> {
    let mut value = Vec::new();
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        let next = rest.get(at + 1).copied();
        if byte == escape && next.is_some_and(|next| next == quote || next == escape) {
            value.extend(next);
            at += 2;
        } else if byte == quote {
            let raw = rest.get(..=at).unwrap_or_default();
            return Ok((
                at + 1,
                CsvField {
                    raw,
                    value: Cow::Owned(value),
                    quoted: true,
                },
            ));
        } else {
            value.push(byte);
            at += 1;
        }
    }
    Err(ProtocolError::new("a quoted field of copy data without an end"))
}

fn quote_csv(
    value: &[u8],
    was_quoted: bool,
    (delimiter, quote, escape): (u8, u8, u8),
    null: &[u8],
    out: &mut Vec<u8>,
) {
    let special = |byte: &u8| [delimiter, quote, b'\n', b'\r'].contains(byte);
    if !(was_quoted || value == null || value == b"\\." || value.iter().any(special)) {
        out.extend_from_slice(value);
        return;
    }
    out.push(quote);
    for &byte in value {
        if byte == quote || byte == escape {
            out.push(escape);
        }
        out.push(byte);
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masking::{
        Masker,
        operators::Operator,
        rows::{ColumnPlan, Kind, Mode},
    };
    use proptest::prelude::*;

    const SECRET: &[u8] = b"s3cr3t\tva\"lue\n\\x";

    fn plan(width: usize, masked: usize) -> RowPlan {
        let columns = (0..width).map(|index| ColumnPlan {
            mode: if index == masked {
                Mode::Mask {
                    rule: "rule".to_owned(),
                    operator: Operator::Redact,
                }
            } else {
                Mode::Pass
            },
            kind: Kind::Text,
            binary: false,
            context: Default::default(),
        });
        RowPlan::new(columns.collect(), Some(Masker::new(&[], b"key").unwrap())).unwrap()
    }

    fn text() -> CopyFormat {
        CopyFormat::Text {
            delimiter: b'\t',
            null: b"\\N".to_vec(),
        }
    }

    fn csv() -> CopyFormat {
        CopyFormat::Csv {
            delimiter: b',',
            quote: b'"',
            escape: b'"',
            null: Vec::new(),
        }
    }

    #[test]
    fn text_rows_lose_the_secret_and_keep_the_rest() {
        let mut masker = CopyMasker::new(plan(3, 1), text(), false);
        let masked = masker.mask(b"a\\tb\tse\\tcret\t\\N\n").unwrap();
        assert_eq!(*masked, *b"a\\tb\t[redacted]\t\\N\n");
        assert_eq!(*masker.mask(b"\\N\t\\N\tc\n").unwrap(), *b"\\N\t\\N\tc\n");
        assert!(masker.mask(b"a\tb\n").is_err());
        assert!(masker.mask(b"a\tb\tc").is_err());
    }

    #[test]
    fn csv_rows_with_quotes_newlines_and_a_header() {
        let mut masker = CopyMasker::new(plan(2, 1), csv(), true);
        assert_eq!(*masker.mask(b"name,ssn\n").unwrap(), *b"name,ssn\n");
        assert_eq!(
            *masker.mask(b"\"a,\"\"b\"\"\n\",\"se,cret\"\n").unwrap(),
            *b"\"a,\"\"b\"\"\n\",\"[redacted]\"\n"
        );
        assert_eq!(*masker.mask(b",\n").unwrap(), *b",\n");
        assert_eq!(*masker.mask(b"x,\"\"\n").unwrap(), *b"x,\"[redacted]\"\n");
        assert!(masker.mask(b"x,\"a\"b\n").is_err());
    }

    #[test]
    fn binary_rows_behind_their_header() {
        let mut masker = CopyMasker::new(plan(2, 0), CopyFormat::Binary, false);
        let mut data = SIGNATURE.to_vec();
        data.extend([0; 8]);
        data.extend(b"\0\x02\0\0\0\x03abc\0\0\0\x01x");
        let masked = masker.mask(&data).unwrap().into_owned();
        assert_eq!(&masked[19..], b"\0\x02\0\0\0\x0a[redacted]\0\0\0\x01x");
        assert_eq!(*masker.mask(b"\xff\xff").unwrap(), *b"\xff\xff");
        assert!(masker.mask(b"\0\x02").is_err());
    }

    fn written(format: &CopyFormat, values: &[Vec<u8>]) -> Vec<u8> {
        let mut line = Vec::new();
        for (index, value) in values.iter().enumerate() {
            match format {
                CopyFormat::Text { delimiter, .. } => {
                    if index > 0 {
                        line.push(*delimiter);
                    }
                    escape_text(value, *delimiter, &mut line);
                }
                CopyFormat::Csv {
                    delimiter,
                    quote,
                    escape,
                    null,
                } => {
                    if index > 0 {
                        line.push(*delimiter);
                    }
                    quote_csv(value, false, (*delimiter, *quote, *escape), null, &mut line);
                }
                CopyFormat::Binary => {}
            }
        }
        line.push(b'\n');
        line
    }

    proptest! {
        #[test]
        fn i5_a_masked_value_never_comes_out_and_others_stay_as_they_were(
            other in prop::collection::vec(any::<u8>(), 0..30), in_csv: bool,
        ) {
            let format = if in_csv { csv() } else { text() };
            let line = written(&format, &[other.clone(), SECRET.to_vec(), other.clone()]);
            let secret = written(&format, &[SECRET.to_vec()]);
            let mut masker = CopyMasker::new(plan(3, 1), format.clone(), false);
            let masked = masker.mask(&line).unwrap().into_owned();
            let secret = &secret[..secret.len() - 1];
            if !other.windows(6).any(|window| window == b"s3cr3t") {
                prop_assert!(!masked.windows(secret.len()).any(|window| window == secret));
            }
            let expected = written(&format, &[other.clone(), b"[redacted]".to_vec(), other]);
            let unquoted = String::from_utf8_lossy(&masked).replace("\"[redacted]\"", "[redacted]");
            prop_assert_eq!(unquoted, String::from_utf8_lossy(&expected));
        }

        #[test]
        fn a_run_is_masked_as_its_messages_are(
            fields in prop::collection::vec((
                prop::sample::select(vec![
                    &b"ana@example.com"[..], b"4242 4242 4242 4242", b"4242424242424", b"@example.com", b"a\\b", b"x,y", b"\"q\"",
                    b"{\"a\":\"ana\\u0040example.com\"}", b"", b"NULL", b"plain",
                ]),
                any::<bool>(),
            ), 0..16),
            json: bool,
            header: bool,
            odd in prop::option::weighted(0.1, 0usize..8),
        ) {
            let detect = |name: &str| (name.to_owned(), name.to_owned(), "{\"redact\":{}}".to_owned());
            let masker = Masker::new(&[detect("email"), detect("payment_card")], b"key").unwrap();
            let column = |kind| ColumnPlan { mode: Mode::Detect, kind, binary: false, context: Default::default() };
            let columns = vec![column(if json { Kind::Json } else { Kind::Text }), column(Kind::Text)];
            let odd_quote = CopyFormat::Csv { delimiter: b';', quote: b'\'', escape: b'\'', null: b"NULL".to_vec() };
            for format in [text(), csv(), odd_quote, CopyFormat::Binary] {
                let mut stream = Vec::new();
                for (index, pair) in fields.chunks_exact(2).enumerate() {
                    let values: Vec<_> = pair.iter().map(|(value, _)| value.to_vec()).collect();
                    let mut payload = if format == CopyFormat::Binary {
                        let mut payload = if index == 0 { [SIGNATURE, &[0; 8]].concat() } else { Vec::new() };
                        payload.extend([0, 2]);
                        for (value, (_, null)) in values.iter().zip(pair) {
                            append_value((!null).then_some(value), &mut payload).unwrap();
                        }
                        payload
                    } else {
                        written(&format, &values)
                    };
                    if odd == Some(index) {
                        payload.pop();
                    }
                    stream.push(b'd');
                    stream.extend((payload.len() as u32 + 4).to_be_bytes());
                    stream.extend(payload);
                }
                let fresh = || {
                    let plan = RowPlan::new(columns.clone(), Some(masker.clone())).unwrap();
                    CopyMasker::new(plan, format.clone(), header)
                };
                let (mut whole, mut single, mut room) = (fresh(), fresh(), Vec::new());
                let run = whole.mask_run(&stream, 1 << 20, &mut room);
                let (mut out, mut at, mut rows, mut failed) = (Vec::new(), 0, 0, false);
                while let Some(message) = whole_message(&stream[at..], b'd', 1 << 20) {
                    let Ok(masked) = single.mask(&message[HEADER..]) else {
                        failed = true;
                        break;
                    };
                    out.push(b'd');
                    out.extend((masked.len() as u32 + 4).to_be_bytes());
                    out.extend_from_slice(&masked);
                    (at, rows) = (at + message.len(), rows + 1);
                }
                match run {
                    Err(_) => prop_assert!(failed && rows == 0),
                    Ok(run) => {
                        prop_assert!(!failed || rows > 0);
                        prop_assert_eq!((run.data, run.rows, run.consumed), (&out[..], rows, at));
                        if !failed {
                            prop_assert_eq!(whole.plan.hits(), single.plan.hits());
                        }
                    }
                }
            }
        }

        #[test]
        fn garbage_is_an_error_or_rows(data in prop::collection::vec(any::<u8>(), 0..200)) {
            for format in [text(), csv(), CopyFormat::Binary] {
                let _ = CopyMasker::new(plan(2, 1), format, false).mask(&data);
            }
        }
    }
}
