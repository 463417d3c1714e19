//! The lane, the queue of the audit writer and the engine, as Python sees them.

use std::{
    fs::File,
    os::fd::FromRawFd,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use countersign_core::{
    digest::Origin,
    lane::{Lane as CoreLane, Out, Prepared, Reply, Shape, Turned},
    merkle::Edge,
    records::{self, Record, Sealed, Template},
};
use countersign_relay::{
    Engine as CoreEngine, Entrant, Intake as CoreIntake, Item, Returned, Spool as CoreSpool, Why,
};
use pyo3::{
    exceptions::{PyOSError, PyRuntimeError, PyValueError},
    prelude::*,
    types::PyBytes,
};

use crate::{Bytes, RowPlan, StreamDigest, broken};

/// A lane belongs to the event loop or to the relay's thread, which holds it for microseconds and never asks for the interpreter.
fn locked(lane: &Mutex<CoreLane>) -> PyResult<MutexGuard<'_, CoreLane>> {
    lane.lock()
        .map_err(|_| PyRuntimeError::new_err("a lane was left broken"))
}

/// Where audit records wait for the writer.
#[pyclass(frozen)]
pub struct Intake(Arc<CoreIntake>);

#[pymethods]
impl Intake {
    #[new]
    fn new(limit: usize) -> Self {
        Self(Arc::new(CoreIntake::new(limit)))
    }

    fn put_turn(&self) {
        self.0.put_turn();
    }

    fn ring(&self) {
        self.0.ring();
    }

    fn wait(&self, py: Python<'_>, timeout_s: f64) -> bool {
        let timeout = Duration::try_from_secs_f64(timeout_s).unwrap_or(Duration::MAX);
        py.detach(|| self.0.wait(timeout.min(Duration::from_secs(3600))))
    }

    /// What waits, in order: runs of records, and None where it is the turn of something that the writer keeps itself.
    fn take(&self, limit: usize) -> Vec<Option<Run>> {
        let mut taken: Vec<Option<Run>> = Vec::new();
        for item in self.0.take(limit) {
            match (item, taken.last_mut()) {
                (Item::Turn, _) => taken.push(None),
                (Item::Record(record), Some(Some(run))) => run.0.push(record),
                (Item::Record(record), _) => taken.push(Some(Run(vec![record]))),
            }
        }
        taken
    }

    fn set_accepts(&self, accepts: bool) {
        self.0.set_accepts(accepts);
    }

    fn __len__(&self) -> usize {
        self.0.length()
    }
}

/// Where recorded events wait for whoever stores them.
#[pyclass(frozen)]
pub struct Spool(Arc<CoreSpool>);

#[pymethods]
impl Spool {
    #[new]
    fn new(enough: usize, limit: usize) -> Self {
        Self(Arc::new(CoreSpool::new(enough, limit)))
    }

    fn put(&self, recording: u64, events: &[u8]) {
        self.0.put(recording, events);
    }

    fn ring(&self) {
        self.0.ring();
    }

    fn wait(&self, py: Python<'_>, timeout_s: f64) -> bool {
        let timeout = Duration::try_from_secs_f64(timeout_s).unwrap_or(Duration::MAX);
        py.detach(|| self.0.wait(timeout.min(Duration::from_secs(3600))))
    }

    fn take<'py>(&self, py: Python<'py>) -> Vec<(u64, Bytes<'py>)> {
        let taken = self.0.take().into_iter();
        taken
            .map(|(recording, events)| (recording, PyBytes::new(py, &events)))
            .collect()
    }

    fn accepts(&self) -> bool {
        self.0.accepts()
    }

    fn set_accepts(&self, accepts: bool) {
        self.0.set_accepts(accepts);
    }

    fn has_room(&self) -> bool {
        self.0.has_room()
    }
}

/// Records that follow each other.
#[pyclass(frozen)]
pub struct Run(Vec<Record>);

type RowParts<'py> = (u64, usize, Bytes<'py>, Bytes<'py>, Bytes<'py>);

#[pymethods]
impl Run {
    /// From the kind and body of each.
    #[new]
    fn new(records: Vec<(String, Vec<u8>)>) -> Self {
        let records = records.into_iter().map(|(kind, body)| Record {
            kind: kind.into(),
            body,
        });
        Self(records.collect())
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// The rows of the records behind a tree of this size and edge, at most so many records a row: number of the first, count, edge, hashes
    /// and entries.
    fn seal<'py>(
        &self,
        py: Python<'py>,
        size: u64,
        edge: &[u8],
        time: &str,
        records_a_row: usize,
    ) -> PyResult<Vec<RowParts<'py>>> {
        let mut edge =
            Edge::new(size, edge).ok_or_else(|| PyValueError::new_err("no edge of a tree of this size"))?;
        let sealed: Vec<Sealed> = py.detach(|| {
            self.0
                .chunks(records_a_row.max(1))
                .map(|chunk| records::seal(chunk, time, &mut edge))
                .collect()
        });
        let rows = sealed.into_iter().map(|row| {
            (
                row.first_seq,
                row.count,
                PyBytes::new(py, &row.edge),
                PyBytes::new(py, &row.hashes),
                PyBytes::new(py, &row.entries),
            )
        });
        Ok(rows.collect())
    }
}

/// The root of the Merkle tree whose right edge this is (RFC 6962).
#[pyfunction]
pub fn tree_root<'py>(py: Python<'py>, size: u64, edge: &[u8]) -> PyResult<Bytes<'py>> {
    let edge =
        Edge::new(size, edge).ok_or_else(|| PyValueError::new_err("no edge of a tree of this size"))?;
    Ok(PyBytes::new(py, &edge.root()))
}

/// The edge of a tree behind these leaf hashes.
#[pyfunction]
pub fn tree_extend<'py>(py: Python<'py>, size: u64, edge: &[u8], hashes: &[u8]) -> PyResult<Bytes<'py>> {
    let mut edge =
        Edge::new(size, edge).ok_or_else(|| PyValueError::new_err("no edge of a tree of this size"))?;
    let (leaves, rest) = hashes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(PyValueError::new_err("hashes have 32 bytes"));
    }
    py.detach(|| leaves.iter().for_each(|leaf| edge.push(*leaf)));
    Ok(PyBytes::new(py, edge.peaks().as_flattened()))
}

/// A number that only grows; what was judged under another than the current one does not hold any more.
#[pyclass(frozen)]
pub struct Epoch(Arc<AtomicU64>);

#[pymethods]
impl Epoch {
    #[new]
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn move_on(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

type StatementParts<'py> = (Bytes<'py>, Vec<u32>, Bytes<'py>);

type TurnedParts<'py> = (
    Bytes<'py>,
    Option<StatementParts<'py>>,
    Bytes<'py>,
    String,
    String,
    u64,
    usize,
    usize,
    StreamDigest,
    Option<Bytes<'py>>,
    usize,
    Bytes<'py>,
);

fn statement<'py>(py: Python<'py>, prepared: &Prepared) -> StatementParts<'py> {
    (
        PyBytes::new(py, &prepared.sql),
        prepared.types.clone(),
        PyBytes::new(py, &prepared.raw),
    )
}

fn turned_parts(py: Python<'_>, turned: Turned) -> TurnedParts<'_> {
    (
        PyBytes::new(py, &turned.request),
        turned.prepared.map(|prepared| statement(py, &prepared)),
        PyBytes::new(py, &turned.key),
        turned.command_id,
        turned.digest,
        turned.started_us,
        turned.rows,
        turned.bytes,
        StreamDigest::of(turned.answer),
        turned.tag.map(|tag| PyBytes::new(py, &tag)),
        turned.answered,
        PyBytes::new(py, &turned.left),
    )
}

/// One session's steady state.
#[pyclass(frozen)]
pub struct Lane(Arc<Mutex<CoreLane>>);

type NamedParts = (Vec<u8>, Vec<u8>, Vec<u32>, Vec<u8>);
type ShapeParts = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);
type ChangeParts<'py> = (Bytes<'py>, Option<StatementParts<'py>>);
type ReplyParts<'py> = (Bytes<'py>, Bytes<'py>, bool, Option<TurnedParts<'py>>, Bytes<'py>);

#[pymethods]
impl Lane {
    #[new]
    fn new(
        origin: (String, String, String, String, String),
        seed: [u8; 16],
        limit_bytes: usize,
        rows_recorded: usize,
    ) -> Self {
        let (protocol, session, identity, target, database) = &origin;
        let digests = Origin::new(&[protocol, session, identity, target, database]);
        let lane = CoreLane::new(digests, session, seed, limit_bytes, rows_recorded);
        Self(Arc::new(Mutex::new(lane)))
    }

    #[allow(clippy::too_many_arguments)] // what a shape is made of
    fn know(
        &self,
        key: Vec<u8>,
        record: ShapeParts,
        verdict: Vec<u8>,
        columns: Vec<u8>,
        description: Vec<u8>,
        plan: &RowPlan,
        epoch: u64,
    ) -> PyResult<()> {
        let shape = Shape {
            record: Template::new([record.0, record.1, record.2, record.3, record.4]),
            verdict,
            columns,
            description: description.into(),
            plan: plan.0.clone(),
        };
        locked(&self.0)?.know(key, shape, epoch);
        Ok(())
    }

    fn renew(&self, epoch: u64) -> PyResult<()> {
        locked(&self.0)?.renew(epoch);
        Ok(())
    }

    fn forget_shapes(&self) -> PyResult<()> {
        locked(&self.0)?.forget_shapes();
        Ok(())
    }

    /// (name, text, types, Parse message) each.
    fn set_statements(&self, statements: Vec<NamedParts>) -> PyResult<()> {
        let held = statements
            .into_iter()
            .map(|(name, sql, types, raw)| (name, Prepared::new(&sql, types, &raw)));
        locked(&self.0)?.set_statements(held);
        Ok(())
    }

    fn take_changes<'py>(&self, py: Python<'py>) -> PyResult<(Vec<ChangeParts<'py>>, bool, Option<u8>)> {
        let (changed, has_run, status) = locked(&self.0)?.take_changes();
        let changes = changed
            .into_iter()
            .map(|(name, held)| (PyBytes::new(py, &name), held.map(|held| statement(py, &held))))
            .collect();
        Ok((changes, has_run, status))
    }

    fn is_busy(&self) -> PyResult<bool> {
        Ok(locked(&self.0)?.is_busy())
    }

    /// What goes to the target and into the recording; the audit record is with the writer already (I1). None where the request is not
    /// for the lane.
    fn client<'py>(
        &self,
        py: Python<'py>,
        data: &[u8],
        now_us: u64,
        epoch: &Epoch,
        intake: &Intake,
    ) -> PyResult<Option<(Bytes<'py>, Bytes<'py>)>> {
        let mut out = Out::default();
        let ready = intake.0.accepts() && intake.0.has_room();
        if !ready || !locked(&self.0)?.client(data, now_us, epoch.value(), &mut out) {
            return Ok(None);
        }
        intake.0.put(&mut out.records);
        Ok(Some((
            PyBytes::new(py, &out.to_target),
            PyBytes::new(py, &out.recording),
        )))
    }

    /// What goes to the client and into the recording, whether the reply is complete, the request if its reply took another turn, and
    /// what came behind a complete one.
    fn target<'py>(
        &self,
        py: Python<'py>,
        data: &[u8],
        now_us: u64,
        intake: &Intake,
    ) -> PyResult<ReplyParts<'py>> {
        let mut out = Out::default();
        let reply = py
            .detach(|| {
                let mut lane = locked(&self.0)?;
                Ok::<_, PyErr>(lane.target(data, now_us, &mut out))
            })?
            .map_err(broken)?;
        if !out.records.is_empty() {
            intake.0.put(&mut out.records);
        }
        let (complete, turned, left) = match reply {
            Reply::Goes => (false, None, Vec::new()),
            Reply::Complete(left) => (true, None, left),
            Reply::Turned(turned) => (false, Some(turned_parts(py, *turned)), Vec::new()),
        };
        Ok((
            PyBytes::new(py, &out.to_client),
            PyBytes::new(py, &out.recording),
            complete,
            turned,
            PyBytes::new(py, &left),
        ))
    }

    fn give_up<'py>(&self, py: Python<'py>) -> PyResult<Option<TurnedParts<'py>>> {
        Ok(locked(&self.0)?.give_up().map(|turned| turned_parts(py, *turned)))
    }
}

type ReturnedParts<'py> = (
    &'static str,
    String,
    Option<TurnedParts<'py>>,
    Bytes<'py>,
    Bytes<'py>,
    Bytes<'py>,
    Bytes<'py>,
);

fn returned_parts(py: Python<'_>, returned: Returned) -> ReturnedParts<'_> {
    let (why, detail) = match returned.why {
        Why::Request => ("request", String::new()),
        Why::Turned => ("turned", String::new()),
        Why::Unasked => ("unasked", String::new()),
        Why::Left => ("left", String::new()),
        Why::Asked => ("asked", String::new()),
        Why::Broken(detail) => ("broken", detail),
    };
    (
        why,
        detail,
        returned.turned.map(|turned| turned_parts(py, *turned)),
        PyBytes::new(py, &returned.from_client),
        PyBytes::new(py, &returned.from_target),
        PyBytes::new(py, &returned.to_client),
        PyBytes::new(py, &returned.to_target),
    )
}

/// The relay's thread.
#[pyclass(frozen)]
pub struct Engine(CoreEngine);

#[pymethods]
impl Engine {
    /// Takes `bell_fd` over, and writes a byte to it when sessions have been given back.
    #[new]
    fn new(intake: &Intake, spool: &Spool, bell_fd: i32) -> PyResult<Self> {
        CoreEngine::start(intake.0.clone(), spool.0.clone(), owned(bell_fd))
            .map(Self)
            .map_err(PyOSError::new_err)
    }

    /// Takes both descriptors over. `recording` is its number in the spool, `age_us` how long ago it began.
    #[allow(clippy::too_many_arguments)] // what a session is made of
    fn enter(
        &self,
        number: u64,
        lane: &Lane,
        client_fd: i32,
        target_fd: i32,
        recording: u64,
        epoch: &Epoch,
        age_us: u64,
    ) -> PyResult<()> {
        let now = Instant::now();
        let entrant = Entrant {
            lane: lane.0.clone(),
            client: owned(client_fd),
            target: owned(target_fd),
            recording,
            epoch: epoch.0.clone(),
            since: now.checked_sub(Duration::from_micros(age_us)).unwrap_or(now),
        };
        self.0.enter(number, entrant).map_err(PyOSError::new_err)
    }

    fn reclaim<'py>(&self, py: Python<'py>, number: u64) -> Option<ReturnedParts<'py>> {
        let returned = py.detach(|| self.0.reclaim(number))?;
        Some(returned_parts(py, returned))
    }

    fn returned<'py>(&self, py: Python<'py>) -> Vec<(u64, ReturnedParts<'py>)> {
        let returned = py.detach(|| self.0.returned());
        returned
            .into_iter()
            .map(|(number, one)| (number, returned_parts(py, one)))
            .collect()
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }
}

/// A file for a descriptor that the caller gives away.
#[allow(unsafe_code)]
fn owned(fd: i32) -> File {
    // SAFETY: the caller has duplicated the descriptor for this call and does not use it again; `lanes.py` is the only caller.
    unsafe { File::from_raw_fd(fd) }
}
