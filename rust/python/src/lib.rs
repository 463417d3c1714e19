//! The Python binding: conversions and error mapping only.

mod relay;
mod sketch;

use std::sync::Mutex;

use countersign_core::{
    ProtocolError as CoreError,
    backend::BackendDecoder as CoreBackend,
    digest::StreamDigest as CoreStream,
    framing::{self, FrontendDecoder as CoreFrontend},
    lane::{extended_key, simple_key},
    masking::{
        Found, Masker as CoreMasker,
        context::Context,
        copy::{CopyFormat, CopyMasker},
        custom,
        detectors::DETECTORS,
        kinds::Kind,
        operators::Operator,
        paths::{Paths, problem},
        rows::{ColumnPlan, Mode, RowPlan as CorePlan},
    },
    messages,
    startup::{Startup, StartupDecoder as CoreStartup},
    steady::{Extended, Request, request},
};
use pyo3::{create_exception, exceptions::PyValueError, prelude::*, types::PyBytes};

create_exception!(_core, ProtocolError, PyValueError, "The peer broke the protocol.");

fn broken(error: CoreError) -> PyErr {
    ProtocolError::new_err(error.0)
}

/// A decoder is used by one session's loop; the lock only satisfies a frozen class. Nobody waits for it, so that it may be held
/// while the interpreter's own is given up.
fn locked<T>(mutex: &Mutex<T>) -> PyResult<std::sync::MutexGuard<'_, T>> {
    mutex
        .try_lock()
        .map_err(|_| ProtocolError::new_err("a decoder is in use or was left broken"))
}

type Bytes<'py> = Bound<'py, PyBytes>;

#[pyclass(frozen)]
struct StartupDecoder(Mutex<CoreStartup>);

#[pymethods]
impl StartupDecoder {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(CoreStartup::default()))
    }

    fn feed(&self, data: &[u8]) -> PyResult<()> {
        locked(&self.0)?.feed(data);
        Ok(())
    }

    fn buffered(&self) -> PyResult<usize> {
        Ok(locked(&self.0)?.buffered())
    }

    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let packet = locked(&self.0)?.next_packet().map_err(broken)?;
        let Some(packet) = packet else { return Ok(None) };
        let value = match packet {
            Startup::SslRequest => ("ssl_request",).into_pyobject(py)?.into_any(),
            Startup::GssEncRequest => ("gssenc_request",).into_pyobject(py)?.into_any(),
            Startup::Cancel { pid, key } => ("cancel_request", pid, PyBytes::new(py, &key))
                .into_pyobject(py)?
                .into_any(),
            Startup::Session {
                major,
                minor,
                parameters,
            } => ("startup", major, minor, parameters)
                .into_pyobject(py)?
                .into_any(),
        };
        Ok(Some(value))
    }
}

#[pyclass(frozen)]
struct FrontendDecoder(Mutex<CoreFrontend>);

#[pymethods]
impl FrontendDecoder {
    #[new]
    fn new(limit_bytes: usize) -> Self {
        Self(Mutex::new(CoreFrontend::new(limit_bytes)))
    }

    fn feed(&self, data: &[u8]) -> PyResult<()> {
        locked(&self.0)?.feed(data);
        Ok(())
    }

    fn buffered(&self) -> PyResult<usize> {
        Ok(locked(&self.0)?.buffered())
    }

    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<(u8, Bytes<'py>)>> {
        let message = locked(&self.0)?.next_message().map_err(broken)?;
        Ok(message.map(|(kind, raw)| (kind, PyBytes::new(py, &raw))))
    }

    fn is_between(&self) -> PyResult<bool> {
        Ok(locked(&self.0)?.is_between())
    }

    fn drop_message(&self) -> PyResult<Option<u8>> {
        locked(&self.0)?.drop_message().map_err(broken)
    }
}

#[pyclass(frozen)]
struct BackendDecoder(Mutex<CoreBackend>);

#[pymethods]
impl BackendDecoder {
    #[new]
    fn new(limit_bytes: usize) -> Self {
        Self(Mutex::new(CoreBackend::new(limit_bytes)))
    }

    fn feed(&self, data: &[u8]) -> PyResult<()> {
        locked(&self.0)?.feed(data);
        Ok(())
    }

    #[pyo3(signature = (plan))]
    fn set_row_plan(&self, plan: Option<&RowPlan>) -> PyResult<()> {
        locked(&self.0)?.set_row_plan(plan.map(|plan| plan.0.clone()));
        Ok(())
    }

    fn buffered(&self) -> PyResult<usize> {
        Ok(locked(&self.0)?.buffered())
    }

    #[pyo3(signature = (plan, format))]
    fn set_copy(&self, plan: Option<&RowPlan>, format: Option<CopyParts>) -> PyResult<()> {
        let copy = plan.zip(format).map(|(plan, format)| {
            let (format, header) = copy_format(format)?;
            Ok::<_, PyErr>(CopyMasker::new(plan.0.clone(), format, header))
        });
        locked(&self.0)?.set_copy(copy.transpose()?);
        Ok(())
    }

    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<(u8, Bytes<'py>, usize)>> {
        let mut guard = locked(&self.0)?;
        let decoder = &mut *guard;
        // Masking a long run of rows is the one slow thing here: others may run meanwhile.
        let event = py.detach(|| decoder.next_event().map_err(broken))?;
        Ok(event.map(|event| (event.kind, PyBytes::new(py, event.data), event.rows)))
    }
}

/// How many messages begin in a run that a decoder gave.
#[pyfunction]
fn count_messages(run: &[u8]) -> usize {
    framing::begun_in(run)
}

/// SHA-256 over messages as they pass.
#[pyclass(frozen)]
struct StreamDigest(Mutex<CoreStream>);

impl StreamDigest {
    fn of(digest: CoreStream) -> Self {
        Self(Mutex::new(digest))
    }
}

#[pymethods]
impl StreamDigest {
    #[new]
    fn new() -> Self {
        Self::of(CoreStream::default())
    }

    fn update(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        let mut digest = locked(&self.0)?;
        if data.len() < HASHED_WITHIN {
            digest.update(data);
        } else {
            let digest = &mut *digest;
            py.detach(|| digest.update(data));
        }
        Ok(())
    }

    fn hex(&self) -> PyResult<String> {
        Ok(locked(&self.0)?.hex())
    }
}

/// Hashing fewer bytes costs less than to give up the interpreter's lock and to win it back.
const HASHED_WITHIN: usize = 4 << 10;

/// (format, delimiter, quote, escape, null, header)
type CopyParts = (String, u8, u8, u8, Vec<u8>, bool);

fn copy_format((name, delimiter, quote, escape, null, header): CopyParts) -> PyResult<(CopyFormat, bool)> {
    let format = match name.as_str() {
        "text" => CopyFormat::Text { delimiter, null },
        "csv" => CopyFormat::Csv {
            delimiter,
            quote,
            escape,
            null,
        },
        "binary" => CopyFormat::Binary,
        _ => return Err(PyValueError::new_err(format!("unknown copy format {name:?}"))),
    };
    Ok((format, header))
}

#[pyclass(frozen)]
struct Masker(CoreMasker);

impl Masker {
    fn find(&self, text: &[u8], column: Option<&[u8]>) -> Vec<Found> {
        let context = column.map_or_else(Context::default, |name| self.0.context_of(name));
        self.0.find_with_context(text, context)
    }
}

#[pymethods]
impl Masker {
    #[new]
    fn new(detect: Vec<(String, String, String)>, hash_key: &[u8]) -> PyResult<Self> {
        CoreMasker::new(&detect, hash_key)
            .map(Self)
            .map_err(PyValueError::new_err)
    }

    /// `column` is the name of the column that holds the value.
    #[pyo3(signature = (text, column = None))]
    fn mask_text<'py>(
        &self,
        py: Python<'py>,
        text: &[u8],
        column: Option<&[u8]>,
    ) -> (Bytes<'py>, Vec<(String, usize)>) {
        let found = self.find(text, column);
        let mut counts: Vec<(String, usize)> = Vec::new();
        for one in &found {
            let rule = self.0.rule_of(one);
            match counts.iter_mut().find(|(name, _)| name == rule) {
                Some((_, count)) => *count += 1,
                None => counts.push((rule.to_owned(), 1)),
            }
        }
        (PyBytes::new(py, &self.0.replace(text, &found)), counts)
    }

    /// `column` is the name of the column that holds the value.
    #[pyo3(signature = (text, column = None))]
    fn explain(&self, text: &[u8], column: Option<&[u8]>) -> Vec<(String, usize, usize)> {
        let found = self.find(text, column);
        found
            .iter()
            .map(|one| (self.0.detector_of(one).to_owned(), one.hit.start, one.hit.end))
            .collect()
    }
}

#[pyclass(frozen)]
struct RowPlan(CorePlan);

#[pymethods]
impl RowPlan {
    #[new]
    #[pyo3(signature = (columns, masker))]
    fn new(columns: Vec<(String, String, bool, String, String)>, masker: Option<&Masker>) -> PyResult<Self> {
        let masker = masker.map(|masker| &masker.0);
        let plans = columns.into_iter().map(|column| column_plan(column, masker));
        CorePlan::new(plans.collect::<PyResult<_>>()?, masker.cloned())
            .map(Self)
            .map_err(PyValueError::new_err)
    }

    fn hits(&self) -> Vec<(String, u64)> {
        self.0.hits()
    }

    fn take_hits(&self) -> Vec<(String, u64)> {
        self.0.take_hits()
    }

    fn passes(&self) -> bool {
        self.0.passes()
    }

    fn width(&self) -> usize {
        self.0.columns().len()
    }
}

/// Of a column that is searched, the rule is the column's name.
fn column_plan(
    column: (String, String, bool, String, String),
    masker: Option<&CoreMasker>,
) -> PyResult<ColumnPlan> {
    let (mode, kind, binary, rule, operator) = column;
    let kind = Kind::named(&kind).ok_or_else(|| PyValueError::new_err(format!("unknown kind {kind:?}")))?;
    let context = match (mode.as_str(), masker) {
        ("detect", Some(masker)) => masker.context_of(rule.as_bytes()),
        _ => Context::default(),
    };
    let mode = match mode.as_str() {
        "pass" => Mode::Pass,
        "detect" => Mode::Detect,
        "mask" => Mode::Mask {
            rule,
            operator: Operator::from_json(&operator).map_err(PyValueError::new_err)?,
        },
        "paths" => Mode::Paths(Paths::from_json(&operator).map_err(PyValueError::new_err)?),
        _ => return Err(PyValueError::new_err(format!("unknown mode {mode:?}"))),
    };
    Ok(ColumnPlan {
        mode,
        kind,
        binary,
        context,
    })
}

#[pyfunction]
fn kind_of_type(oid: u32) -> &'static str {
    Kind::of_type(oid).name()
}

/// What is wrong with a detector of a policy's own, given as JSON, or with its examples; '' where nothing is.
#[pyfunction]
fn detector_problem(detector: &str, must_match: Vec<String>, must_not_match: Vec<String>) -> String {
    custom::problem(detector, &must_match, &must_not_match)
}

#[pyfunction]
fn path_problem(path: &str) -> String {
    problem(path).unwrap_or_default()
}

#[pyfunction]
fn decode_query<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<Bytes<'py>> {
    Ok(PyBytes::new(py, messages::query(raw).map_err(broken)?))
}

#[pyfunction]
fn decode_parse<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<(Bytes<'py>, Bytes<'py>, Vec<u32>)> {
    let parse = messages::parse(raw).map_err(broken)?;
    Ok((
        PyBytes::new(py, parse.name),
        PyBytes::new(py, parse.sql),
        parse.types,
    ))
}

type BindParts<'py> = (
    Bytes<'py>,
    Bytes<'py>,
    Vec<i16>,
    Vec<Option<Bytes<'py>>>,
    Vec<i16>,
);

#[pyfunction]
fn decode_bind<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<BindParts<'py>> {
    let bind = messages::bind(raw).map_err(broken)?;
    let values = values(py, &bind.values);
    let (portal, statement) = (PyBytes::new(py, bind.portal), PyBytes::new(py, bind.statement));
    Ok((portal, statement, bind.formats, values, bind.result_formats))
}

#[pyfunction]
fn decode_describe<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<(char, Bytes<'py>)> {
    let (kind, name) = messages::describe(raw).map_err(broken)?;
    Ok((char::from(kind), PyBytes::new(py, name)))
}

#[pyfunction]
fn decode_execute<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<(Bytes<'py>, i32)> {
    let (portal, rows) = messages::execute(raw).map_err(broken)?;
    Ok((PyBytes::new(py, portal), rows))
}

type CallParts<'py> = (u32, Vec<i16>, Vec<Option<Bytes<'py>>>, i16);

#[pyfunction]
fn decode_function_call<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<CallParts<'py>> {
    let call = messages::function_call(raw).map_err(broken)?;
    Ok((
        call.function_oid,
        call.formats,
        values(py, &call.values),
        call.result_format,
    ))
}

#[pyfunction]
fn decode_function_result<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<Option<Bytes<'py>>> {
    let value = messages::function_result(raw).map_err(broken)?;
    Ok(value.map(|value| PyBytes::new(py, value)))
}

#[pyfunction]
fn decode_copy_response(raw: &[u8]) -> PyResult<(u8, Vec<i16>)> {
    messages::copy_response(raw).map_err(broken)
}

#[pyfunction]
fn shape_constants(sql: &[u8]) -> Option<Vec<(usize, usize)>> {
    let found = countersign_core::shape::constants(sql)?;
    Some(found.into_iter().map(|range| (range.start, range.end)).collect())
}

#[pyfunction]
fn shape_key<'py>(py: Python<'py>, sql: &[u8], simple: bool) -> Bytes<'py> {
    PyBytes::new(
        py,
        &if simple {
            simple_key(sql)
        } else {
            extended_key(sql)
        },
    )
}

#[pyfunction]
fn steady_request<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(match request(data) {
        None => None,
        Some(Request::Query { sql }) => {
            let parts = (PyBytes::new(py, sql),);
            Some(parts.into_pyobject(py)?.into_any())
        }
        Some(Request::Extended(extended)) => Some(extended_parts(py, &extended)?),
    })
}

fn extended_parts<'py>(py: Python<'py>, extended: &Extended<'_>) -> PyResult<Bound<'py, PyAny>> {
    let parse = extended.parse.as_ref().map(|(parse, raw)| {
        let (sql, raw) = (PyBytes::new(py, parse.sql), PyBytes::new(py, raw));
        (sql, parse.types.clone(), raw)
    });
    let bind = &extended.bind;
    let parts = (
        parse,
        PyBytes::new(py, bind.statement),
        bind.formats.clone(),
        values(py, &bind.values),
        PyBytes::new(py, extended.bind_raw),
        extended.describes,
        PyBytes::new(py, &extended.forward),
    );
    Ok(parts.into_pyobject(py)?.into_any())
}

fn values<'py>(py: Python<'py>, values: &[Option<&[u8]>]) -> Vec<Option<Bytes<'py>>> {
    values
        .iter()
        .map(|value| value.map(|value| PyBytes::new(py, value)))
        .collect()
}

type ColumnParts<'py> = (Bytes<'py>, u32, i16, u32, i16, i32, i16);

#[pyfunction]
fn decode_row_description<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<Vec<ColumnParts<'py>>> {
    let columns = messages::row_description(raw).map_err(broken)?;
    let parts = |c: messages::Column<'_>| {
        let name = PyBytes::new(py, c.name);
        (
            name,
            c.table_oid,
            c.attribute,
            c.type_oid,
            c.type_length,
            c.type_modifier,
            c.format,
        )
    };
    Ok(columns.into_iter().map(parts).collect())
}

#[pyfunction]
fn decode_fields<'py>(py: Python<'py>, raw: &[u8]) -> PyResult<Vec<(char, Bytes<'py>)>> {
    let fields = messages::response_fields(raw).map_err(broken)?;
    Ok(fields
        .into_iter()
        .map(|(code, value)| (code, PyBytes::new(py, value)))
        .collect())
}

type Rows<'py> = Vec<Vec<Option<Bytes<'py>>>>;

#[pyfunction]
fn decode_rows<'py>(py: Python<'py>, raw: &[u8], limit: usize) -> PyResult<Rows<'py>> {
    let rows = messages::data_rows(raw, limit).map_err(broken)?;
    let values = |row: Vec<Option<&[u8]>>| row.into_iter().map(|v| v.map(|v| PyBytes::new(py, v))).collect();
    Ok(rows.into_iter().map(values).collect())
}

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::sketch::{Sketcher, sketch_places, turn_sketches};

    #[pymodule_export]
    use super::relay::{Engine, Epoch, Intake, Lane, Run, Spool, tree_extend, tree_root};
    #[pymodule_export]
    use super::{
        BackendDecoder, FrontendDecoder, Masker, ProtocolError, RowPlan, StartupDecoder, StreamDigest,
        count_messages, decode_bind, decode_copy_response, decode_describe, decode_execute, decode_fields,
        decode_function_call, decode_function_result, decode_parse, decode_query, decode_row_description,
        decode_rows, detector_problem, kind_of_type, path_problem, shape_constants, shape_key,
        steady_request,
    };
    use super::{DETECTORS, PyResult};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let names: Vec<&str> = DETECTORS.iter().map(|detector| detector.name).collect();
        module.add("DETECTOR_NAMES", pyo3::types::PyTuple::new(module.py(), names)?)?;
        let groups = DETECTORS.iter().map(|detector| (detector.name, detector.group));
        let groups: Vec<(&str, &str)> = groups.collect();
        module.add("DETECTOR_GROUPS", pyo3::types::PyTuple::new(module.py(), groups)?)
    }
}
