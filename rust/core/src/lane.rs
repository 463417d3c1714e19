//! The steady state of one session, without sockets: what a client asks again in a shape that was judged before goes this way.
//!
//! A lane knows shapes: texts that differ in their plain constants only (see `shape`), each of which the gate has found a plain read that
//! the policy allows whatever its constants say. For a request of such a shape it makes the audit record and the recording, and for the
//! reply that is expected to it the outcome's record. Whatever is not known or not expected is not for the lane: it says so and changes
//! nothing, and the full state machine goes on from there.
//!
//! The shapes hold while the `epoch` is the one that they were judged in. Whoever changes what a judgement depends on moves the epoch on.

use std::{collections::HashMap, sync::Arc};

use crate::{
    ProtocolError,
    digest::{Digest, Origin, StreamDigest},
    masking::rows::RowPlan,
    parameters::{Parameter, bound},
    records::{self, Record, Template},
    shape::shape,
    steady::{Answer, Request, request},
};

const STATEMENTS_KEPT: usize = 1024;
/// Types with lower OIDs were made by initdb (manual, "System Catalog Initial Data", OID assignment).
const FIRST_USER_OID: u32 = 16384;

/// A prepared statement as its Parse gave it.
#[derive(Debug, PartialEq, Eq)]
pub struct Prepared {
    pub sql: Vec<u8>,
    pub types: Vec<u32>,
    /// The Parse message.
    pub raw: Vec<u8>,
    key: Vec<u8>,
}

impl Prepared {
    pub fn new(sql: &[u8], types: Vec<u32>, raw: &[u8]) -> Self {
        let key = extended_key(sql);
        Self {
            sql: sql.to_vec(),
            types,
            raw: raw.to_vec(),
            key,
        }
    }
}

/// The key of a simple Query's shape.
pub fn simple_key(sql: &[u8]) -> Vec<u8> {
    keyed(b'q', sql)
}

/// The key of a prepared statement's shape.
pub fn extended_key(sql: &[u8]) -> Vec<u8> {
    keyed(b'x', sql)
}

fn keyed(protocol: u8, sql: &[u8]) -> Vec<u8> {
    let mut key = shape(sql);
    key.insert(0, protocol);
    key
}

/// What is known of a shape.
pub struct Shape {
    /// The audit record's body, open where each command has its own.
    pub record: Template,
    /// The recording's event for the verdict, without its time, the command's id and digest.
    pub verdict: Vec<u8>,
    /// The recording's event for the columns, without its time and the command's id; empty where no rows come.
    pub columns: Vec<u8>,
    /// The whole RowDescription; empty where no rows come.
    pub description: Arc<[u8]>,
    pub plan: RowPlan,
}

/// What a step asks of whoever drives the lane: records are handed to the writer before anything is sent (I1).
#[derive(Default)]
pub struct Out {
    pub to_target: Vec<u8>,
    pub to_client: Vec<u8>,
    pub records: Vec<Record>,
    pub recording: Vec<u8>,
}

/// How far a reply has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Goes,
    /// It is complete; these bytes came behind it and belong to no request.
    Complete(Vec<u8>),
    /// It took another turn than expected.
    Turned(Box<Turned>),
}

/// A request whose reply is not what was expected, for the full state machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Turned {
    /// The client's request, as it came.
    pub request: Vec<u8>,
    /// Its prepared statement, if it is one.
    pub prepared: Option<Arc<Prepared>>,
    pub key: Vec<u8>,
    pub command_id: String,
    pub digest: String,
    pub started_us: u64,
    pub rows: usize,
    pub bytes: usize,
    pub answer: StreamDigest,
    pub tag: Option<Vec<u8>>,
    /// How many messages of the reply (rows apart) came as expected.
    pub answered: usize,
    /// What of the reply was read and not used.
    pub left: Vec<u8>,
}

struct InFlight {
    shape: Arc<Shape>,
    answer: Answer,
    turned: Turned,
    /// The statement that the request's own Parse makes.
    parses: Option<Vec<u8>>,
    simple: bool,
}

/// A name and what it stands for since; `None` where it stands for nothing.
pub type Change = (Vec<u8>, Option<Arc<Prepared>>);

/// One session's lane.
pub struct Lane {
    origin: Origin,
    session_id: String,
    ids: records::Ids,
    limit: usize,
    rows_recorded: usize,
    epoch: u64,
    shapes: HashMap<Vec<u8>, Arc<Shape>>,
    statements: HashMap<Vec<u8>, Arc<Prepared>>,
    changes: HashMap<Vec<u8>, Option<Arc<Prepared>>>,
    now: Option<InFlight>,
    status: Option<u8>,
    has_run: bool,
}

impl Lane {
    /// `seed` is random and makes the commands' ids. `limit`: bytes of a message of the target's. `rows_recorded`: how many rows of each
    /// command a recording shows; of the others it has count and digest.
    pub fn new(origin: Origin, session_id: &str, seed: [u8; 16], limit: usize, rows_recorded: usize) -> Self {
        Self {
            origin,
            session_id: session_id.to_owned(),
            ids: records::Ids::new(seed),
            limit,
            rows_recorded,
            epoch: 0,
            shapes: HashMap::new(),
            statements: HashMap::new(),
            changes: HashMap::new(),
            now: None,
            status: None,
            has_run: false,
        }
    }

    /// A shape that holds in `epoch`; those of another epoch are dropped.
    pub fn know(&mut self, key: Vec<u8>, shape: Shape, epoch: u64) {
        if self.epoch != epoch {
            self.shapes.clear();
            self.epoch = epoch;
        }
        self.shapes.insert(key, Arc::new(shape));
    }

    /// Every known shape holds in this epoch too.
    pub fn renew(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    pub fn forget_shapes(&mut self) {
        self.shapes.clear();
    }

    pub fn shapes(&self) -> usize {
        self.shapes.len()
    }

    /// The prepared statements as the server holds them now; of very many only the first.
    pub fn set_statements(&mut self, statements: impl Iterator<Item = (Vec<u8>, Prepared)>) {
        self.statements.clear();
        let kept = statements.take(STATEMENTS_KEPT);
        self.statements
            .extend(kept.map(|(name, one)| (name, Arc::new(one))));
    }

    /// Since the last call: what names stand for, whether anything has run, and the transaction status that the last complete reply
    /// ended with.
    pub fn take_changes(&mut self) -> (Vec<Change>, bool, Option<u8>) {
        let changes = self.changes.drain().collect();
        (changes, std::mem::take(&mut self.has_run), self.status.take())
    }

    /// True while a reply is expected.
    pub fn is_busy(&self) -> bool {
        self.now.is_some()
    }

    /// Forward a client's request if it is one for the lane; false, and nothing is changed, where it is not.
    pub fn client(&mut self, data: &[u8], now_us: u64, epoch: u64, out: &mut Out) -> bool {
        if self.now.is_some() || self.epoch != epoch {
            return false;
        }
        match request(data) {
            None => false,
            Some(Request::Query { sql }) => {
                let key = simple_key(sql);
                let Some(shape) = self.shapes.get(&key).cloned() else {
                    return false;
                };
                let Ok(text) = std::str::from_utf8(sql) else {
                    return false;
                };
                let digest = self.origin.digest(&[data], &[]);
                self.change(b"", None); // a simple Query destroys the unnamed statement
                out.to_target.extend_from_slice(data);
                let steps: &[u8] = if shape.columns.is_empty() { b"CZ" } else { b"TDCZ" };
                let turned = self.asked(data, None, key, digest, now_us);
                self.start(shape, turned, text, &[], steps, true, out);
                true
            }
            Some(Request::Extended(extended)) => {
                let parsed = extended
                    .parse
                    .as_ref()
                    .map(|(parse, raw)| Arc::new(Prepared::new(parse.sql, parse.types.clone(), raw)));
                let Some(prepared) = parsed
                    .clone()
                    .or_else(|| self.statements.get(extended.bind.statement).cloned())
                else {
                    return false;
                };
                if prepared.types.iter().any(|&oid| oid >= FIRST_USER_OID) {
                    return false; // what such a type is checked by is for the full judgement
                }
                let Some(shape) = self.shapes.get(&prepared.key).cloned() else {
                    return false;
                };
                let (Ok(text), Some(parameters)) = (
                    std::str::from_utf8(&prepared.sql),
                    bound(&prepared.types, &extended.bind),
                ) else {
                    return false;
                };
                let digest = self
                    .origin
                    .digest(&[&prepared.raw, extended.bind_raw], &parameters);
                out.to_target.extend_from_slice(&extended.forward);
                let mut steps = Vec::with_capacity(6);
                steps.extend_from_slice(if parsed.is_some() { b"12" } else { b"2" });
                steps.extend_from_slice(if shape.columns.is_empty() { b"nCZ" } else { b"TDCZ" });
                let turned = self.asked(data, Some(prepared.clone()), prepared.key.clone(), digest, now_us);
                self.start(shape, turned, text, &parameters, &steps, extended.describes, out);
                if let Some(now) = &mut self.now {
                    now.parses = parsed.is_some().then(|| extended.bind.statement.to_vec());
                    now.simple = false;
                }
                true
            }
        }
    }

    fn asked(
        &mut self,
        data: &[u8],
        prepared: Option<Arc<Prepared>>,
        key: Vec<u8>,
        digest: Digest,
        now_us: u64,
    ) -> Turned {
        Turned {
            request: data.to_vec(),
            prepared,
            key,
            command_id: self.ids.next("cmd"),
            digest,
            started_us: now_us,
            rows: 0,
            bytes: 0,
            answer: StreamDigest::default(),
            tag: None,
            answered: 0,
            left: Vec::new(),
        }
    }

    #[allow(clippy::too_many_arguments)] // what a request is made of
    fn start(
        &mut self,
        shape: Arc<Shape>,
        turned: Turned,
        text: &str,
        parameters: &[Parameter<'_>],
        steps: &[u8],
        shown: bool,
        out: &mut Out,
    ) {
        out.records.push(
            shape
                .record
                .fill(parameters, text, &turned.command_id, &turned.digest),
        );
        let message = if turned.prepared.is_some() {
            "Bind"
        } else {
            "Query"
        };
        let (now_us, id) = (turned.started_us, turned.command_id.as_str());
        records::record_command(now_us, message, text, parameters, &mut out.recording);
        records::record_prepared(
            now_us,
            id,
            Some(&turned.digest),
            &shape.verdict,
            &mut out.recording,
        );
        if !shape.columns.is_empty() {
            records::record_prepared(now_us, id, None, &shape.columns, &mut out.recording);
        }
        let answer = Answer::new(
            steps,
            shape.description.clone(),
            shown,
            shape.plan.clone(),
            self.limit,
        );
        self.has_run = true;
        self.now = Some(InFlight {
            shape,
            answer,
            turned,
            parses: None,
            simple: true,
        });
    }

    /// Follow the reply. Raises nothing but what the target breaks; not to be called while none is expected.
    pub fn target(&mut self, data: &[u8], now_us: u64, out: &mut Out) -> Result<Reply, ProtocolError> {
        let Some(now) = &mut self.now else {
            return Err(ProtocolError::new("the target answers what was not asked"));
        };
        let progress = now.answer.feed(data)?;
        if progress.row_count > 0 {
            let rows = progress.out.get(progress.rows.clone()).unwrap_or_default();
            let wanted = self.rows_recorded.saturating_sub(now.turned.rows);
            if wanted > 0 {
                let id = &now.turned.command_id;
                records::record_rows(now_us, id, rows, progress.row_count, wanted, &mut out.recording)?;
            }
            now.turned.rows += progress.row_count;
            now.turned.bytes += rows.len();
            now.turned.answer.update(rows);
        }
        if progress.tag.is_some() {
            now.turned.tag = progress.tag;
        }
        if out.to_client.is_empty() {
            out.to_client = progress.out;
        } else {
            out.to_client.extend_from_slice(&progress.out);
        }
        let Some(status) = progress.ready else {
            return Ok(match progress.turned {
                None => Reply::Goes,
                Some((answered, left)) => self.turn(answered, left),
            });
        };
        self.complete(status, now_us, out);
        // What comes behind the reply's end is nobody's answer: a notice, a notification.
        Ok(Reply::Complete(
            progress.turned.map(|(_, left)| left).unwrap_or_default(),
        ))
    }

    fn complete(&mut self, status: u8, now_us: u64, out: &mut Out) {
        let Some(now) = self.now.take() else { return };
        self.status = Some(status);
        if let (Some(name), Some(prepared)) = (now.parses, &now.turned.prepared) {
            self.change(&name, Some(prepared.clone()));
        }
        let done = &now.turned;
        let tag = String::from_utf8_lossy(done.tag.as_deref().unwrap_or_default());
        let finished = records::Finished {
            command_id: &done.command_id,
            session_id: &self.session_id,
            digest: &done.digest,
            summary: &tag,
            answer_sha256: &done.answer.hex(),
            bytes: done.bytes,
            rows: done.rows,
            duration_us: now_us.saturating_sub(done.started_us),
            masked: &now.shape.plan.take_hits(),
        };
        records::record_done(now_us, &finished, &mut out.recording);
        records::record_ready(now_us, status, &mut out.recording);
        out.records.push(finished.record());
    }

    /// Give the request in flight up: the full state machine follows its reply from here.
    pub fn give_up(&mut self) -> Option<Box<Turned>> {
        let (answered, left) = self.now.as_mut()?.answer.give_up();
        match self.turn(answered, left) {
            Reply::Turned(turned) => Some(turned),
            _ => None,
        }
    }

    fn turn(&mut self, answered: usize, left: Vec<u8>) -> Reply {
        let Some(now) = self.now.take() else {
            return Reply::Complete(left);
        };
        let mut turned = now.turned;
        turned.answered = answered;
        turned.left = left;
        if now.simple {
            self.change(b"", None);
        }
        Reply::Turned(Box::new(turned))
    }

    fn change(&mut self, name: &[u8], prepared: Option<Arc<Prepared>>) {
        match &prepared {
            Some(one) => drop(self.statements.insert(name.to_vec(), one.clone())),
            None if self.statements.is_empty() => {}
            None => drop(self.statements.remove(name)),
        }
        if let Some(known) = self.changes.get_mut(name) {
            *known = prepared;
        } else {
            self.changes.insert(name.to_vec(), prepared);
        }
    }
}
