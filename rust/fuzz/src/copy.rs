use countersign_core::masking::{
    copy::{CopyFormat, CopyMasker},
    rows::{ColumnPlan, Kind, Mode},
};

use super::{contains, copy_format, next, plan, row_payload};

/// As in `rows`: nothing that chance or a detector would write.
const SECRET: &[u8] = b"zQ!planted~secret#17";
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Copy data as a server writes it, with a secret planted in every masked column: it never comes out, and what comes out reads as
/// rows of the same width, with the other columns as they were and NULL where NULL was.
pub fn copy(mut data: &[u8]) {
    let format = copy_format(&mut data);
    let (columns, plan) = plan(&mut data);
    // Binary data is told from text by its format, as the planner of the gateway does.
    let columns: Vec<_> = columns
        .into_iter()
        .map(|column| ColumnPlan {
            kind: Kind::Text,
            ..column
        })
        .collect();
    let plan = countersign_core::masking::rows::RowPlan::new(
        columns.clone(),
        Some(super::masker(plan.columns().len() as u8)),
    )
    .expect("a plan with a masker is complete");
    if columns.is_empty() || plan.passes() {
        return;
    }
    let mut masker = CopyMasker::new(plan, format.clone(), false);
    let mut first = true;
    while !data.is_empty() {
        let values: Vec<_> = columns.iter().map(|column| value(column, &mut data)).collect();
        let mut payload = write(&format, &values);
        if first && format == CopyFormat::Binary {
            payload = [SIGNATURE, &payload].concat();
        }
        let masked = masker
            .mask(&payload)
            .expect("a server's own rows are read")
            .into_owned();
        let mut body = &masked[..];
        if first && format == CopyFormat::Binary {
            body = masked.strip_prefix(SIGNATURE).expect("the header stays");
        }
        first = false;
        let shown = read(&format, body);
        assert_eq!(shown.len(), columns.len());
        let values = values
            .into_iter()
            .map(|value| as_told(&format, value))
            .collect::<Vec<_>>();
        for ((column, before), after) in columns.iter().zip(&values).zip(&shown) {
            match column.mode {
                Mode::Mask { .. } => assert!(!contains(after.as_deref().unwrap_or_default(), SECRET)),
                Mode::Pass => assert_eq!(before, after),
                Mode::Detect | Mode::Paths(_) => {}
            }
            assert!(before.is_some() || after.is_none());
        }
    }
}

/// In text a value that is spelt like NULL is NULL: the server itself does not tell them apart.
fn as_told(format: &CopyFormat, value: Option<Vec<u8>>) -> Option<Vec<u8>> {
    match format {
        CopyFormat::Text { delimiter, null } => value.filter(|value| {
            value
                .iter()
                .flat_map(|&byte| text_byte(byte, *delimiter))
                .collect::<Vec<_>>()
                != *null
        }),
        _ => value,
    }
}

fn value(column: &ColumnPlan, data: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::from(next(data));
    if length == 255 {
        return None;
    }
    let (taken, rest) = data.split_at((length % 64).min(data.len()));
    *data = rest;
    // Text and CSV hold no NUL: no text of the server does. Here every value is a text.
    let taken: Vec<u8> = taken.iter().map(|&byte| byte.max(1)).collect();
    Some(match column.mode {
        Mode::Mask { .. } => {
            let (head, tail) = taken.split_at(taken.len() / 2);
            [head, SECRET, tail].concat()
        }
        _ => taken,
    })
}

/// One row as the server writes it (CopyAttributeOutText and CopyAttributeOutCSV tell when it quotes).
fn write(format: &CopyFormat, values: &[Option<Vec<u8>>]) -> Vec<u8> {
    let fields: Vec<Vec<u8>> = match format {
        CopyFormat::Binary => return row_payload(values),
        CopyFormat::Text { delimiter, null } => {
            let field = |value: &Vec<u8>| {
                value
                    .iter()
                    .flat_map(|&byte| text_byte(byte, *delimiter))
                    .collect()
            };
            values
                .iter()
                .map(|value| value.as_ref().map_or(null.clone(), field))
                .collect()
        }
        CopyFormat::Csv {
            delimiter,
            quote,
            escape,
            null,
        } => {
            let special = [*delimiter, *quote, b'\n', b'\r'];
            let field = |value: &Vec<u8>| {
                if value != null && value != b"\\." && !value.iter().any(|byte| special.contains(byte)) {
                    return value.clone();
                }
                let inner = value.iter().flat_map(|&byte| {
                    let escaped = byte == *quote || byte == *escape;
                    escaped.then_some(*escape).into_iter().chain([byte])
                });
                [*quote].into_iter().chain(inner).chain([*quote]).collect()
            };
            values
                .iter()
                .map(|value| value.as_ref().map_or(null.clone(), field))
                .collect()
        }
    };
    let delimiter = match format {
        CopyFormat::Text { delimiter, .. } | CopyFormat::Csv { delimiter, .. } => *delimiter,
        CopyFormat::Binary => 0,
    };
    [&fields.join(&[delimiter][..])[..], b"\n"].concat()
}

fn text_byte(byte: u8, delimiter: u8) -> Vec<u8> {
    match byte {
        8 => b"\\b".to_vec(),
        12 => b"\\f".to_vec(),
        b'\n' => b"\\n".to_vec(),
        b'\r' => b"\\r".to_vec(),
        b'\t' => b"\\t".to_vec(),
        11 => b"\\v".to_vec(),
        _ if byte == b'\\' || byte == delimiter => vec![b'\\', byte],
        _ => vec![byte],
    }
}

/// One row as COPY FROM reads it: in CSV a quote opens and closes anywhere in a field (manual, "COPY", "CSV Format").
fn read(format: &CopyFormat, data: &[u8]) -> Vec<Option<Vec<u8>>> {
    match format {
        CopyFormat::Binary => {
            let raw = super::message(b'D', data);
            let values = countersign_core::messages::data_row(&raw).expect("a tuple is written like a row");
            values
                .into_iter()
                .map(|value| value.map(<[u8]>::to_vec))
                .collect()
        }
        CopyFormat::Text { delimiter, null } => read_text(line(data), *delimiter, null),
        CopyFormat::Csv {
            delimiter,
            quote,
            escape,
            null,
        } => read_csv(line(data), (*delimiter, *quote, *escape), null),
    }
}

fn line(data: &[u8]) -> &[u8] {
    data.strip_suffix(b"\n").expect("a row ends its line")
}

fn read_text(line: &[u8], delimiter: u8, null: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut fields = vec![(Vec::new(), Vec::new())];
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        let (raw, value) = fields.last_mut().expect("there is always one");
        if byte == delimiter {
            fields.push((Vec::new(), Vec::new()));
        } else if byte == b'\\' {
            let letter = bytes.next().expect("a lone backslash is never written");
            raw.extend([byte, letter]);
            let names = b"bfnrtv".iter().position(|&name| name == letter);
            value.push(names.map_or(letter, |index| b"\x08\x0c\n\r\t\x0b"[index]));
        } else {
            assert!(byte != b'\n', "two rows in one");
            raw.push(byte);
            value.push(byte);
        }
    }
    fields
        .into_iter()
        .map(|(raw, value)| (raw != null).then_some(value))
        .collect()
}

fn read_csv(line: &[u8], (delimiter, quote, escape): (u8, u8, u8), null: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut fields = vec![(Vec::new(), false)];
    let (mut at, mut inside) = (0, false);
    while at < line.len() {
        let (byte, next) = (line[at], line.get(at + 1).copied());
        let (value, quoted) = fields.last_mut().expect("there is always one");
        at += 1;
        if inside && byte == escape && (next == Some(quote) || next == Some(escape)) {
            value.extend(next);
            at += 1;
        } else if byte == quote {
            inside = !inside;
            *quoted = true;
        } else if byte == delimiter && !inside {
            fields.push((Vec::new(), false));
        } else {
            assert!(inside || byte != b'\n', "two rows in one");
            value.push(byte);
        }
    }
    assert!(!inside, "a quote without its end");
    fields
        .into_iter()
        .map(|(value, quoted)| (quoted || value != null).then_some(value))
        .collect()
}
