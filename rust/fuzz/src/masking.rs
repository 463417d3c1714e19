use countersign_core::masking::{
    detectors,
    detectors::DETECTORS,
    operators::{Keys, Operator, REDACTED},
};

use super::{masker, next, operator};

/// Any text: hits lie inside it, in order and apart, and are the same when looked for again; what is replaced is gone and the rest
/// is as it was.
pub fn masking(mut data: &[u8]) {
    let choice = next(&mut data);
    for index in 0..DETECTORS.len() {
        let hits = detectors::find_all(index, data);
        in_order(hits.iter().map(|hit| (hit.start, hit.end)), data.len());
        assert_eq!(hits, detectors::find_all(index, data));
    }
    replaced(choice, data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(operator) = Operator::from_json(text)
    {
        let _ = operator.apply(data, &keys());
    }
}

fn keys() -> Keys {
    Keys::new(b"key").expect("a key of any length is one")
}

fn in_order(hits: impl Iterator<Item = (usize, usize)>, length: usize) {
    let mut from = 0;
    for (start, end) in hits {
        assert!(from <= start && start < end && end <= length);
        from = end;
    }
}

fn replaced(choice: u8, text: &[u8]) {
    let masker = masker(choice);
    let found = masker.find(text);
    let bounds: Vec<_> = found
        .iter()
        .map(|one| (one.hit.start, one.hit.end, one.is_rest))
        .collect();
    let again: Vec<_> = masker
        .find(text)
        .iter()
        .map(|one| (one.hit.start, one.hit.end, one.is_rest))
        .collect();
    assert_eq!(bounds, again);
    in_order(bounds.iter().map(|&(start, end, _)| (start, end)), text.len());
    assert_eq!(masker.replace(text, &found), expected(choice, text, &bounds));
}

/// The text outside of hits, and in their place what the operator makes of them.
fn expected(choice: u8, text: &[u8], bounds: &[(usize, usize, bool)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut from = 0;
    for &(start, end, is_rest) in bounds {
        let masked = operator(choice)
            .apply(&text[start..end], &keys())
            .filter(|_| !is_rest);
        out.extend(&text[from..start]);
        out.extend(masked.unwrap_or_else(|| REDACTED.to_vec()));
        from = end;
    }
    out.extend(&text[from..]);
    out
}
