use countersign_core::{
    ProtocolError,
    backend::BackendDecoder,
    framing::FrontendDecoder,
    messages,
    shape::shape,
    steady::{Answer, Progress, Request, request},
};

use super::{arrivals, next, plan};

const LIMIT: usize = 1 << 16;
const DESCRIPTION: &[u8] = b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
const STEPS: [&[u8]; 4] = [b"TDCZ", b"12TDCZ", b"2nCZ", b"CZ"];

/// The short way and the full one agree: on what a request is, and on what a reply shows.
pub fn steady(mut data: &[u8]) {
    let (cut, choice) = (next(&mut data), next(&mut data));
    let _ = (shape(data), shape(&[b"select ", data].concat()));
    asked(data);
    let (_, plan) = plan(&mut data);
    let steps = STEPS[usize::from(choice % 4)];
    let shown = choice / 4 % 2 == 0;
    let new = || Answer::new(steps, DESCRIPTION.into(), shown, plan.clone(), LIMIT);
    // Behind ReadyForQuery nothing is expected: what comes there is the full way's.
    let ended = follow(&data.chunks(1).collect::<Vec<_>>(), new());
    if ended.ready.is_some() {
        data = &data[..data.len() - ended.left.len()];
    }
    let [whole, bytewise, cut] = arrivals(cut, data).map(|parts| follow(&parts, new()));
    for split in [&bytewise, &cut] {
        assert_eq!(whole.error, split.error);
        assert!(split.out.starts_with(&whole.out));
        assert!(whole.error.is_some() || whole == *split);
    }
    if shown && bytewise.error.is_none() {
        // What the full way makes of the same bytes, up to where the short way stopped.
        let consumed = data.len() - bytewise.left.len();
        let mut decoder = BackendDecoder::new(LIMIT);
        decoder.set_row_plan(Some(plan));
        decoder.feed(&data[..consumed]);
        let mut out = Vec::new();
        while let Ok(Some(event)) = decoder.next_event() {
            out.extend_from_slice(event.data);
        }
        assert_eq!(out, bytewise.out);
    }
}

#[derive(Debug, Default, PartialEq)]
struct Followed {
    out: Vec<u8>,
    rows: usize,
    row_bytes: Vec<u8>,
    tag: Option<Vec<u8>>,
    ready: Option<u8>,
    turned: Option<usize>,
    left: Vec<u8>,
    error: Option<ProtocolError>,
}

fn follow(parts: &[&[u8]], mut answer: Answer) -> Followed {
    let mut seen = Followed::default();
    for part in parts {
        if seen.turned.is_some() || seen.ready.is_some() {
            seen.left.extend(*part);
            continue;
        }
        match answer.feed(part) {
            Err(error) => {
                seen.error = Some(error);
                return seen;
            }
            Ok(progress) => take(&mut seen, progress),
        }
    }
    if seen.turned.is_none() {
        seen.left.splice(0..0, answer.give_up().1);
    }
    seen
}

fn take(seen: &mut Followed, progress: Progress) {
    seen.row_bytes.extend_from_slice(&progress.out[progress.rows]);
    seen.out.extend(progress.out);
    seen.rows += progress.row_count;
    seen.tag = progress.tag.or(seen.tag.take());
    seen.ready = progress.ready.or(seen.ready);
    if let Some((answered, left)) = progress.turned {
        seen.turned = Some(answered);
        seen.left.extend(left);
    }
}

/// A request that the short way takes is one that the full way would read as the same messages.
fn asked(data: &[u8]) {
    match request(data) {
        None => {}
        Some(Request::Query { sql }) => {
            let [(b'Q', raw)] = &read(data)[..] else {
                panic!("not one Query")
            };
            assert_eq!(messages::query(raw), Ok(sql));
        }
        Some(Request::Extended(extended)) => {
            let mut before = read(data);
            let at = before
                .iter()
                .position(|(kind, _)| *kind == b'B')
                .expect("a Bind is there");
            assert_eq!(before[at].1, extended.bind_raw);
            assert_eq!(
                extended.describes,
                before.get(at + 1).is_some_and(|(kind, _)| *kind == b'D')
            );
            if !extended.describes {
                before.insert(at + 1, (b'D', b"D\0\0\0\x06P\0".to_vec()));
            }
            assert_eq!(before, read(&extended.forward));
            let kinds: Vec<u8> = before.iter().map(|(kind, _)| *kind).collect();
            assert!([&b"PBDES"[..], b"BDES"].contains(&&kinds[..]));
        }
    }
}

fn read(data: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut decoder = FrontendDecoder::new(usize::MAX);
    decoder.feed(data);
    let mut found = Vec::new();
    while let Some(message) = decoder.next_message().expect("the full way reads it too") {
        found.push(message);
    }
    assert_eq!(decoder.buffered(), 0);
    found
}
