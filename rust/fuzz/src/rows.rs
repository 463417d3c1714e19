use countersign_core::{
    backend::BackendDecoder,
    framing::{HEADER, whole_message},
    masking::rows::{ColumnPlan, Kind, Mode, RowPlan},
    messages,
};

use super::{contains, message, next, plan, row_payload};

/// Long enough that no mutation writes it by chance, and nothing that a detector would see.
const SECRET: &[u8] = b"zQ!planted~secret#17";

/// What a path of every path rule names.
const AT_PATH: &str =
    r#"{"a":{"b":"zQ!planted~secret#17"},"x":{"\u0073ecret":["zQ!planted~secret#17"]},"more":MORE}"#;

/// Well-formed rows with a secret planted in every masked column, somewhere in the value: it is in no answer, under any plan and
/// however the rows arrive. JSON that was valid stays valid.
pub fn rows(mut data: &[u8]) {
    let cut = usize::from(next(&mut data));
    let (columns, plan) = plan(&mut data);
    let mut stream = Vec::new();
    let mut planted = 0;
    while !data.is_empty() && planted < 20 {
        let values: Vec<_> = columns.iter().map(|column| value(column, &mut data)).collect();
        stream.extend(message(b'D', &row_payload(&values)));
        planted += 1;
        next(&mut data);
    }
    as_row_by_row(&plan, &stream);
    let mut decoder = BackendDecoder::new(1 << 20);
    decoder.set_row_plan(Some(plan));
    let (mut out, mut count) = (Vec::new(), 0);
    let (head, tail) = stream.split_at(cut.min(stream.len()));
    for part in [head, tail] {
        decoder.feed(part);
        while let Some(event) = decoder.next_event().expect("these rows are well-formed") {
            count += event.rows;
            out.extend_from_slice(event.data);
        }
    }
    assert_eq!(count, planted);
    let shown = messages::data_rows(&out, usize::MAX).expect("masked rows are rows");
    assert_eq!(shown.len(), planted);
    for row in shown {
        for (value, column) in row.iter().zip(&columns) {
            check(column, *value);
        }
    }
}

/// A run that is searched at once comes out as its rows do, each by itself.
fn as_row_by_row(plan: &RowPlan, stream: &[u8]) {
    let (mut room, mut single, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(row) = whole_message(&stream[at..], b'D', 1 << 20) {
        plan.mask_row(&row[HEADER..], 1 << 20, &mut single)
            .expect("these rows are well-formed");
        at += row.len();
    }
    let hits = plan.take_hits();
    let run = plan
        .mask_run(stream, 1 << 20, &mut room)
        .expect("these rows are well-formed");
    assert_eq!((run.data, run.consumed), (&single[..], at));
    assert_eq!(plan.take_hits(), hits);
}

/// The next value, of a length that the input gives; in a masked column with the secret inside.
fn value(column: &ColumnPlan, data: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::from(next(data));
    if length == 255 {
        return None;
    }
    let (taken, rest) = data.split_at(length.min(data.len()));
    *data = rest;
    let text = if is_json(column) {
        json(taken)
    } else {
        taken.to_vec()
    };
    Some(match column.mode {
        Mode::Mask { .. } => {
            let (head, tail) = taken.split_at(taken.len() / 2);
            [head, SECRET, tail].concat()
        }
        Mode::Paths(_) if column.kind == Kind::Jsonb && column.binary => {
            [&[1], at_path(&json(taken)).as_bytes()].concat()
        }
        Mode::Paths(_) => at_path(&json(taken)).into_bytes(),
        _ => text,
    })
}

fn at_path(more: &[u8]) -> String {
    AT_PATH.replace("MORE", &String::from_utf8_lossy(more))
}

fn is_json(column: &ColumnPlan) -> bool {
    matches!(column.kind, Kind::Json | Kind::Jsonb) && !column.binary
}

/// The input where it is JSON, else a JSON string of it.
fn json(text: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(_) => text.to_vec(),
        Err(_) => serde_json::Value::String(String::from_utf8_lossy(text).into_owned())
            .to_string()
            .into_bytes(),
    }
}

fn check(column: &ColumnPlan, value: Option<&[u8]>) {
    let Some(value) = value else { return };
    if matches!(column.mode, Mode::Mask { .. } | Mode::Paths(_)) {
        assert!(!contains(value, SECRET), "the secret is in the answer");
    }
    if is_json(column) {
        assert!(
            serde_json::from_slice::<serde_json::Value>(value).is_ok(),
            "masking broke a JSON value: {}",
            String::from_utf8_lossy(value)
        );
    }
}
