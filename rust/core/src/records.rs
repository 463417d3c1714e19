//! Audit records and recording events of the steady state, as the bytes that are kept.
//!
//! Bodies are in RFC 8785's form: keys sorted, no white space, strings with the shortest escapes, whole numbers only. What the gate and
//! the recorder write in Python is the reference; tests compare the two.

use std::{borrow::Cow, io::Write as _};

use sha2::{Digest as _, Sha256};

use crate::{
    ProtocolError,
    digest::hex,
    merkle::{self, Edge},
    messages,
    parameters::Parameter,
};

/// Of the records' schema, as `VERSION` in Python's `audit.records`.
const VERSION: u8 = 1;

/// An event ready to be given its place in the log. `body` is JSON in RFC 8785's form, and so one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub kind: Cow<'static, str>,
    pub body: Vec<u8>,
}

impl Record {
    /// The entry at its place, whose hash is a leaf of the tree. The same as `entry` in Python's `audit.records`, which is the reference.
    fn entry(&self, seq: u64, time: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"body\":");
        out.extend_from_slice(&self.body);
        out.extend_from_slice(b",\"kind\":");
        string(&self.kind, out);
        let _ = write!(out, ",\"seq\":{seq},\"time\":\"{time}\",\"v\":{VERSION}}}");
    }
}

/// Records that follow each other, as the store keeps them in one row.
pub struct Sealed {
    pub first_seq: u64,
    pub count: usize,
    /// The hashes of the edge behind the last of them.
    pub edge: Vec<u8>,
    /// The hash of each record, as a leaf.
    pub hashes: Vec<u8>,
    /// Their entries, a line each; none ends the last.
    pub entries: Vec<u8>,
}

/// Give records their places behind `edge`, which moves on.
pub fn seal(records: &[Record], time: &str, edge: &mut Edge) -> Sealed {
    let first_seq = edge.size() + 1;
    let length: usize = records.iter().map(|record| record.body.len() + 96).sum();
    let mut entries = Vec::with_capacity(length);
    let mut hashes = Vec::with_capacity(records.len() * 32);
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            entries.push(b'\n');
        }
        let start = entries.len();
        record.entry(edge.size() + 1, time, &mut entries);
        let hash = merkle::leaf(entries.get(start..).unwrap_or_default());
        hashes.extend_from_slice(&hash);
        edge.push(hash);
    }
    Sealed {
        first_seq,
        count: records.len(),
        edge: edge.peaks().as_flattened().to_vec(),
        hashes,
        entries,
    }
}

/// Random ids such as `cmd-3f9c2a71d0b4`: SHA-256 of a secret seed and a counter.
pub struct Ids {
    seed: [u8; 16],
    count: u64,
}

impl Ids {
    pub fn new(seed: [u8; 16]) -> Self {
        Self { seed, count: 0 }
    }

    pub fn next(&mut self, prefix: &str) -> String {
        self.count += 1;
        let mut hashed = Sha256::new();
        hashed.update(self.seed);
        hashed.update(self.count.to_be_bytes());
        let hashed = hashed.finalize();
        format!("{prefix}-{}", hex(hashed.get(..6).unwrap_or_default()))
    }
}

/// A command record's body, cut where the values of its parameters, text, id and digest go, in this order.
pub struct Template([Vec<u8>; 5]);

impl Template {
    pub fn new(pieces: [Vec<u8>; 5]) -> Self {
        Self(pieces)
    }

    /// The record of one command.
    pub fn fill(&self, parameters: &[Parameter<'_>], text: &str, command_id: &str, digest: &str) -> Record {
        let [head, behind_parameters, behind_text, behind_id, tail] = &self.0;
        let mut body = Vec::with_capacity(self.0.iter().map(Vec::len).sum::<usize>() + text.len() + 96);
        body.extend_from_slice(head);
        list(parameters, &mut body, |parameter, body| {
            body.extend_from_slice(b"{\"is_null\":");
            body.extend_from_slice(if parameter.raw.is_none() {
                b"true"
            } else {
                b"false"
            });
            body.extend_from_slice(b",\"shown\":");
            string(&parameter.shown, body);
            body.push(b'}');
        });
        body.extend_from_slice(behind_parameters);
        string(text, &mut body);
        body.extend_from_slice(behind_text);
        string(command_id, &mut body);
        body.extend_from_slice(behind_id);
        string(digest, &mut body);
        body.extend_from_slice(tail);
        Record {
            kind: Cow::Borrowed("command"),
            body,
        }
    }
}

/// What became of a command that ran.
pub struct Finished<'a> {
    pub command_id: &'a str,
    pub session_id: &'a str,
    pub digest: &'a str,
    pub summary: &'a str,
    pub answer_sha256: &'a str,
    pub bytes: usize,
    pub rows: usize,
    pub duration_us: u64,
    pub masked: &'a [(String, u64)],
}

impl Finished<'_> {
    pub fn record(&self) -> Record {
        let mut body = Vec::with_capacity(448);
        body.extend_from_slice(b"{\"answer_sha256\":");
        string(self.answer_sha256, &mut body);
        let _ = write!(body, ",\"bytes\":{},\"command_id\":", self.bytes);
        string(self.command_id, &mut body);
        body.extend_from_slice(b",\"digest\":");
        string(self.digest, &mut body);
        let _ = write!(
            body,
            ",\"duration_us\":{},\"error_code\":\"\",\"masked\":",
            self.duration_us
        );
        list(self.masked, &mut body, |(rule, count), body| {
            let _ = write!(body, "{{\"count\":{count},\"rule\":");
            string(rule, body);
            body.push(b'}');
        });
        let _ = write!(
            body,
            ",\"ok\":true,\"review_id\":\"\",\"rows\":{},\"session_id\":",
            self.rows
        );
        string(self.session_id, &mut body);
        body.extend_from_slice(b",\"summary\":");
        string(self.summary, &mut body);
        body.push(b'}');
        Record {
            kind: Cow::Borrowed("command.finished"),
            body,
        }
    }
}

/// The recording's event for a command. `message`: the one that brought it.
pub fn record_command(
    now_us: u64,
    message: &str,
    text: &str,
    parameters: &[Parameter<'_>],
    out: &mut Vec<u8>,
) {
    begin(now_us, out);
    let _ = write!(out, "\"type\":\"command\",\"message\":\"{message}\",\"text\":");
    string(text, out);
    out.extend_from_slice(b",\"parameters\":");
    list(parameters, out, |parameter, out| string(&parameter.shown, out));
    if !parameters.is_empty() {
        out.extend_from_slice(b",\"bound\":");
        list(parameters, out, |parameter, out| {
            let format = if parameter.binary { "binary" } else { "text" };
            let null = if parameter.raw.is_none() {
                ",\"null\":true"
            } else {
                ""
            };
            let _ = write!(
                out,
                "{{\"format\":\"{format}\",\"type\":{}{null}}}",
                parameter.type_oid
            );
        });
    }
    out.extend_from_slice(b"}\n");
}

/// An event of a command that differs from one of its shape to the next by time and ids only. `rest` is everything behind them, the closing
/// brace included; `digest` is the command's where the event has one.
pub fn record_prepared(now_us: u64, command_id: &str, digest: Option<&str>, rest: &[u8], out: &mut Vec<u8>) {
    begin(now_us, out);
    of_command(command_id, out);
    if let Some(digest) = digest {
        let _ = write!(out, "\"digest\":\"{digest}\",");
    }
    out.extend_from_slice(rest);
    out.push(b'\n');
}

/// The recording's event for rows as the client sees them, at most `limit` of them.
pub fn record_rows(
    now_us: u64,
    command_id: &str,
    rows: &[u8],
    count: usize,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), ProtocolError> {
    let shown = messages::data_rows(rows, limit)?;
    begin(now_us, out);
    of_command(command_id, out);
    out.extend_from_slice(b"\"type\":\"rows\",\"values\":");
    list(&shown, out, |row, out| {
        list(row, out, |value, out| cell(*value, out))
    });
    let _ = writeln!(out, ",\"more\":{}}}", shown.len() < count);
    Ok(())
}

/// The recording's event for the end of a command.
pub fn record_done(now_us: u64, finished: &Finished<'_>, out: &mut Vec<u8>) {
    begin(now_us, out);
    of_command(finished.command_id, out);
    out.extend_from_slice(b"\"type\":\"done\",\"ok\":true,\"tag\":");
    string(finished.summary, out);
    let _ = write!(
        out,
        ",\"error_code\":\"\",\"rows\":{},\"bytes\":{},\"answer_sha256\":\"{}\",\"duration_s\":",
        finished.rows, finished.bytes, finished.answer_sha256
    );
    seconds(finished.duration_us, out);
    out.extend_from_slice(b"}\n");
}

/// The recording's event for the target's waiting for the next request, in a transaction status of ReadyForQuery.
pub fn record_ready(now_us: u64, status: u8, out: &mut Vec<u8>) {
    let transaction = match status {
        b'I' => "idle",
        b'T' => "in transaction",
        _ => "failed",
    };
    begin(now_us, out);
    let _ = writeln!(out, "\"type\":\"ready\",\"transaction\":\"{transaction}\"}}");
}

/// Ids have no character that JSON escapes.
fn of_command(command_id: &str, out: &mut Vec<u8>) {
    let _ = write!(out, "\"command_id\":\"{command_id}\",");
}

fn begin(now_us: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"t\":");
    seconds(now_us, out);
    out.push(b',');
}

fn seconds(micros: u64, out: &mut Vec<u8>) {
    let _ = write!(out, "{}.{:06}", micros / 1_000_000, micros % 1_000_000);
}

fn cell(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value.map(|value| (value, std::str::from_utf8(value))) {
        None => out.extend_from_slice(b"null"),
        Some((_, Ok(text))) => string(text, out),
        Some((value, Err(_))) => {
            let _ = write!(out, "\"\\\\x{}\"", hex(value));
        }
    }
}

fn list<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// A JSON string. Writing to a buffer does not fail.
fn string(text: &str, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, text);
}
