use countersign_core::{
    ProtocolError,
    backend::BackendDecoder,
    framing::{CONTINUED, STREAMED},
    masking::{
        copy::CopyMasker,
        rows::{ColumnPlan, Mode, RowPlan},
    },
    messages,
};

use super::{arrivals, contains, copy_format, drive, next, plan};

/// A server's bytes under a plan: cut anywhere they come out the same; what is no row and no copy data comes out untouched; rows
/// keep their number and width, and a masked column never shows what was in it.
pub fn backend(mut data: &[u8]) {
    let (limit, cut) = (
        [1 << 10, 4 * STREAMED][usize::from(next(&mut data) % 2)],
        next(&mut data),
    );
    let (format, header) = (copy_format(&mut data), next(&mut data) % 2 == 1);
    let (columns, plan) = plan(&mut data);
    let [whole, bytewise, cut] = arrivals(cut, data).map(|parts| {
        decode(
            &parts,
            limit,
            &plan,
            CopyMasker::new(plan.clone(), format.clone(), header),
        )
    });
    for split in [&bytewise, &cut] {
        assert_eq!(whole, *split);
    }
    if plan.passes() {
        assert!(data.starts_with(&bytewise.out));
    } else {
        let mut copy = CopyMasker::new(plan.clone(), format, header);
        agrees(data, &bytewise.out, &columns, &mut copy);
    }
    read_on(data);
}

#[derive(Debug, PartialEq)]
struct Seen {
    out: Vec<u8>,
    rows: usize,
    error: Option<ProtocolError>,
}

fn decode(parts: &[&[u8]], limit: usize, plan: &RowPlan, copy: CopyMasker) -> Seen {
    let mut decoder = BackendDecoder::new(limit);
    decoder.set_row_plan(Some(plan.clone()));
    decoder.set_copy(Some(copy));
    let (events, error) = drive(parts, |part, events| {
        decoder.feed(part);
        while let Some(event) = decoder.next_event()? {
            assert!(
                event.kind != CONTINUED || plan.passes(),
                "what is masked is masked whole"
            );
            events.push((event.data.to_vec(), event.rows));
        }
        assert!(
            decoder.buffered() < limit,
            "more is kept than one message may hold"
        );
        Ok(())
    });
    Seen {
        rows: events.iter().map(|(_, rows)| rows).sum(),
        out: events.into_iter().flat_map(|(data, _)| data).collect(),
        error,
    }
}

/// One message off the front, cut without the code under test.
fn message<'a>(data: &mut &'a [u8]) -> (u8, &'a [u8]) {
    let [kind, a, b, c, d] = *data
        .first_chunk::<5>()
        .expect("whole messages come out of whole messages");
    let (raw, rest) = data.split_at(1 + u32::from_be_bytes([a, b, c, d]) as usize);
    *data = rest;
    (kind, raw)
}

/// What came out against what came in, message by message.
fn agrees(mut data: &[u8], mut out: &[u8], columns: &[ColumnPlan], copy: &mut CopyMasker) {
    while !out.is_empty() {
        let (before, after) = (message(&mut data), message(&mut out));
        assert_eq!(before.0, after.0);
        match before.0 {
            b'D' => rows_agree(
                &messages::data_row(before.1).expect("what was masked was read"),
                after.1,
                columns,
            ),
            b'd' => assert_eq!(
                *copy.mask(&before.1[5..]).expect("what was masked was read"),
                after.1[5..]
            ),
            _ => assert_eq!(before.1, after.1),
        }
    }
}

/// Columns in which content is looked for are taken as they came out: the target `masking` is about those.
fn rows_agree(before: &[Option<&[u8]>], raw: &[u8], columns: &[ColumnPlan]) {
    let after = messages::data_row(raw).expect("a masked row is a row");
    assert_eq!((before.len(), after.len()), (columns.len(), columns.len()));
    for ((before, after), column) in before.iter().zip(&after).zip(columns) {
        match (&column.mode, before) {
            (_, None) => assert_eq!(*after, None),
            (Mode::Pass, before) => assert_eq!(after, before),
            (Mode::Detect | Mode::Paths(_), Some(_)) => {}
            (Mode::Mask { .. }, Some(before)) => {
                let shown = after.unwrap_or_default();
                let has_letters = before.iter().any(u8::is_ascii_alphanumeric);
                assert!(
                    before.len() < 20 || !has_letters || !contains(shown, before),
                    "a masked value is in the answer"
                );
            }
        }
    }
}

/// The other decoders of what a server says.
fn read_on(data: &[u8]) {
    let _ = messages::row_description(data);
    let _ = messages::response_fields(data);
    let _ = messages::function_result(data);
    let _ = messages::copy_response(data);
    for limit in [0, 1, 100] {
        if let Ok(rows) = messages::data_rows(data, limit) {
            assert!(rows.len() <= limit);
        }
    }
}
