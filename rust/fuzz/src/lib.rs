//! What must hold for any bytes at all, one function a fuzz target. Each panics where it does not hold.
//!
//! libFuzzer drives them from `fuzz_targets/`; `rust/core/tests/fuzz_replay.rs` includes this file and drives them on a stable
//! compiler, with the kept seeds and mutations of them.

mod backend;
mod copy;
mod frontend;
mod masking;
mod rows;
mod startup;
mod steady;

pub use self::{
    backend::backend, copy::copy, frontend::frontend, masking::masking, rows::rows, startup::startup,
    steady::steady,
};

use std::sync::LazyLock;

use countersign_core::{
    ProtocolError,
    masking::{
        Masker,
        copy::CopyFormat,
        detectors::{DETECTORS, Detector},
        operators::Operator,
        paths::Paths,
        rows::{ColumnPlan, Kind, Mode, RowPlan},
    },
};

/// Events of a decoder up to its end or its error.
type Seen<E> = (Vec<E>, Option<ProtocolError>);

/// Feed parts one after the other; after each, take what there is. An error ends it, as it ends a session.
fn drive<E>(
    parts: &[&[u8]],
    mut feed_and_take: impl FnMut(&[u8], &mut Vec<E>) -> Result<(), ProtocolError>,
) -> Seen<E> {
    let mut events = Vec::new();
    for part in parts {
        if let Err(error) = feed_and_take(part, &mut events) {
            return (events, Some(error));
        }
    }
    (events, None)
}

/// The ways in which a stream may arrive: whole, byte by byte, and cut once where the input says.
fn arrivals(cut: u8, stream: &[u8]) -> [Vec<&[u8]>; 3] {
    let (head, tail) = stream.split_at((usize::from(cut) * stream.len() / 256).min(stream.len()));
    [vec![stream], stream.chunks(1).collect(), vec![head, tail]]
}

/// Take one byte off the front, 0 at the end of the input.
fn next(data: &mut &[u8]) -> u8 {
    match data.split_first() {
        Some((&byte, rest)) => {
            *data = rest;
            byte
        }
        None => 0,
    }
}

const OPERATORS: [&str; 8] = [
    r#"{"redact":{}}"#,
    r#"{"partial":{"keep_first":1,"keep_last":4}}"#,
    r#"{"hash":{}}"#,
    r#"{"null":{}}"#,
    r#"{"tokenize":{}}"#,
    r#"{"range":{"width":10,"to":"month"}}"#,
    r#"{"range":{"width":2.5}}"#,
    r#"{"range":{"to":"hour"}}"#,
];

fn operator_json(choice: u8) -> &'static str {
    OPERATORS[usize::from(choice) % OPERATORS.len()]
}

fn operator(choice: u8) -> Operator {
    Operator::from_json(operator_json(choice)).expect("an operator that is known")
}

/// A masker with every detector, one for each operator; patterns are compiled once.
fn masker(choice: u8) -> Masker {
    static MASKERS: LazyLock<[Masker; 8]> = LazyLock::new(|| [0, 1, 2, 3, 4, 5, 6, 7].map(build_masker));
    MASKERS[usize::from(choice % 8)].clone()
}

fn build_masker(choice: u8) -> Masker {
    let entry = |detector: &Detector| {
        let name = detector.name.to_owned();
        (name.clone(), name, operator_json(choice).to_owned())
    };
    let detect: Vec<_> = DETECTORS.iter().map(entry).collect();
    Masker::new(&detect, b"key").expect("every detector of the table is known")
}

/// A column as two bytes of the input describe it.
fn column(choice: u8, kind: u8) -> ColumnPlan {
    let kinds: Vec<_> = Kind::all().map(|(kind, _)| kind).collect();
    let mode = match choice % 4 {
        0 => Mode::Pass,
        1 => Mode::Detect,
        2 => Mode::Mask {
            rule: "column".to_owned(),
            operator: operator(choice / 8),
        },
        _ => Mode::Paths(paths(operator_json(choice / 8))),
    };
    ColumnPlan {
        mode,
        kind: kinds[usize::from(kind) % kinds.len()],
        binary: choice / 4 % 2 == 1,
        context: Default::default(),
    }
}

/// What a path of these names is masked.
fn paths(operator: &str) -> Paths {
    let rule =
        format!(r#"[{{"rule":"paths","paths":["$..secret","$.a[*].b","$.c[0]"],"operator":{operator}}}]"#);
    Paths::from_json(&rule).expect("paths that are sound")
}

/// Up to four columns, and the plan for them.
fn plan(data: &mut &[u8]) -> (Vec<ColumnPlan>, RowPlan) {
    let columns: Vec<_> = (0..next(data) % 5)
        .map(|_| column(next(data), next(data)))
        .collect();
    let plan =
        RowPlan::new(columns.clone(), Some(masker(next(data)))).expect("a plan with a masker is complete");
    (columns, plan)
}

/// How copy data is written, in the forms that the server allows.
fn copy_format(data: &mut &[u8]) -> CopyFormat {
    let choice = usize::from(next(data));
    let null = [&b""[..], b"\\N", b"NULL"][choice / 3 % 3].to_vec();
    match choice % 3 {
        0 => CopyFormat::Text {
            delimiter: b"\t|,;"[choice / 9 % 4],
            null,
        },
        1 => CopyFormat::Csv {
            delimiter: b",;|\t"[choice / 9 % 4],
            quote: b"\"'"[choice / 36 % 2],
            escape: b"\"'\\"[choice / 72 % 3],
            null,
        },
        _ => CopyFormat::Binary,
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The payload of a DataRow.
fn row_payload(values: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut payload = (values.len() as u16).to_be_bytes().to_vec();
    for value in values {
        match value {
            None => payload.extend((-1i32).to_be_bytes()),
            Some(value) => {
                payload.extend((value.len() as i32).to_be_bytes());
                payload.extend(value);
            }
        }
    }
    payload
}

fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut raw = vec![kind];
    raw.extend((payload.len() as u32 + 4).to_be_bytes());
    raw.extend(payload);
    raw
}
