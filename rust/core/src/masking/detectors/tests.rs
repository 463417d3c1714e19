use super::*;
use crate::masking::sieve::Candidates;
use proptest::prelude::*;

#[test]
fn every_entry_finds_its_examples_and_leaves_its_near_misses() {
    for (index, detector) in DETECTORS.iter().enumerate() {
        for text in detector.must_match {
            let found = find_all(index, text.as_bytes());
            assert_eq!(found.len(), 1, "{}: {text}", detector.name);
        }
        for text in detector.must_not_match {
            assert_eq!(find_all(index, text.as_bytes()), [], "{}: {text}", detector.name);
        }
    }
}

#[test]
fn no_entry_finds_what_is_of_another_kind_but_where_the_table_says_so() {
    let mut wrong = Vec::new();
    for detector in DETECTORS.iter() {
        for text in detector.must_match {
            for (index, other) in DETECTORS.iter().enumerate() {
                let is_known = other.name == detector.name || detector.also.contains(&other.name);
                if !is_known && !find_all(index, text.as_bytes()).is_empty() {
                    wrong.push(format!("{} finds {}'s {text}", other.name, detector.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_sound() {
    assert!(DETECTORS.len() <= Set::BITS as usize);
    for (index, detector) in DETECTORS.iter().enumerate() {
        assert_eq!(position(detector.name), Some(index));
        assert!(
            !detector.must_match.is_empty() && !detector.must_not_match.is_empty(),
            "{}",
            detector.name
        );
        let has_weak = detector.forms.iter().any(Form::is_weak);
        assert_eq!(
            has_weak,
            !detector.context.is_empty(),
            "{}: context is for weak forms",
            detector.name
        );
        assert!(
            !has_weak || detector.sieves.is_empty(),
            "{}: sieves know no context",
            detector.name
        );
        for (form, pattern) in detector.forms.iter().zip(&PATTERNS[index]) {
            match form {
                Form::Pattern { .. } => assert!(pattern.is_some(), "{}", detector.name),
                Form::Layouts { layouts, .. } => {
                    assert!(layouts.iter().all(|layout| layout.len() <= layout::LONGEST));
                }
            }
        }
        for word in detector.context.iter().copied().flatten() {
            assert!(
                word.chars()
                    .all(|letter| letter.is_alphanumeric() && !letter.is_ascii_uppercase()),
                "{word}"
            );
        }
    }
}

/// A layout as a regular expression.
fn as_pattern(layout: &str) -> String {
    let cell = |cell: char| match cell {
        '9' => "[0-9]".to_owned(),
        'A' => "[A-Za-z]".to_owned(),
        'X' => "[A-Za-z0-9]".to_owned(),
        'H' => "[A-Fa-f0-9]".to_owned(),
        _ => regex::escape(&cell.to_string()),
    };
    layout.chars().map(cell).collect()
}

/// Each form's ways: the pattern at the beginning of a text.
fn ways() -> &'static [Vec<Vec<Regex>>] {
    static WAYS: LazyLock<Vec<Vec<Vec<Regex>>>> = LazyLock::new(|| {
        let compile = |pattern: &str| {
            let pattern = format!(r"\A(?:{pattern})");
            RegexBuilder::new(&pattern).unicode(false).build().unwrap()
        };
        let of_form = |form: &Form| match form {
            Form::Pattern { pattern, .. } => vec![compile(pattern)],
            Form::Layouts { layouts, .. } => layouts
                .iter()
                .map(|layout| compile(&as_pattern(layout)))
                .collect(),
        };
        let of_detector = |detector: &Detector| detector.forms.iter().map(of_form).collect();
        DETECTORS.iter().map(of_detector).collect()
    });
    &WAYS
}

/// The hit that begins at a place, by the patterns alone.
fn plain_hit(detector: usize, text: &[u8], start: usize) -> Option<Hit> {
    let forms = DETECTORS[detector].forms.iter().zip(&ways()[detector]);
    let counts = |form: &Form| !form.is_weak() || context::ahead_of(text, start) >> detector & 1 == 1;
    forms.filter(|(form, _)| counts(form)).find_map(|(form, ways)| {
        ways.iter().find_map(|way| {
            let end = start + way.find(&text[start..])?.end();
            match *form {
                Form::Pattern { check, .. } => check(text, start, end),
                Form::Layouts { check, is_weak, .. } => written(text, start, end, check, is_weak),
            }
        })
    })
}

/// The same as `find_all`, tried at every place.
fn find_plainly(detector: usize, text: &[u8]) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut from = 0;
    while from < text.len() {
        match plain_hit(detector, text, from) {
            Some(hit) => {
                hits.push(hit);
                from = hit.end;
            }
            None => from += 1,
        }
    }
    hits
}

fn agrees_with_the_plain_way(text: &[u8]) {
    for (index, detector) in DETECTORS.iter().enumerate() {
        let (found, plainly) = (find_all(index, text), find_plainly(index, text));
        assert_eq!(found, plainly, "{} in {}", detector.name, text.escape_ascii());
    }
}

#[test]
fn the_examples_are_found_as_the_plain_way_finds_them() {
    for detector in DETECTORS.iter() {
        for text in detector.must_match.iter().chain(detector.must_not_match) {
            agrees_with_the_plain_way(text.as_bytes());
        }
    }
}

/// Pieces of hits and of what is nearly one, and what stands between them.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let whole: Vec<&[u8]> = DETECTORS
        .iter()
        .flat_map(|detector| detector.must_match.iter().chain(detector.must_not_match))
        .map(|example| example.as_bytes())
        .collect();
    let words: Vec<&str> = DETECTORS
        .iter()
        .flat_map(|detector| detector.context.iter().copied().flatten())
        .copied()
        .chain(["word"])
        .collect();
    let part =
        (prop::sample::select(whole.clone()), 0usize..80, 0usize..80).prop_map(|(example, cut, end)| {
            let end = end.min(example.len());
            example[cut.min(end)..end].to_vec()
        });
    let random = prop::string::bytes_regex(
        r"(?-u)[0-9]{1,20}|[0-9 -]{1,40}|[0-9 .()+-]{1,30}|[A-Z0-9 ]{1,40}|[A-Z]{2}[0-9]{2}|AKIA|[A-Z2-7]{16}|[A-Za-z0-9/+]{38,42}|(?i:aws|secret)|[ =:'\x22]{1,5}|eyJ|[a-z_-]{1,9}|[.]|@|[a-z@.]{1,12}|-----(BEGIN|END) |PRIVATE KEY-----|[\x00-\xff]{1,4}|a{60,66}|\n|4(242){5}",
    )
    .unwrap();
    let whole = prop::sample::select(whole).prop_map(<[u8]>::to_vec);
    let word = prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec());
    prop_oneof![2 => whole, 2 => part, 4 => random, 1 => word]
}

/// Texts made of them.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(pieces(), 0..10).prop_map(|pieces| pieces.concat())
}

#[test]
fn the_shortest_and_the_longest_forms_are_found() {
    let (a, b, key) = ("a".repeat(64), "b".repeat(63), "k".repeat(40));
    let name = format!("aws{}secret{}", "_".repeat(12), "_".repeat(16));
    for (detector, text) in [
        ("email", "a@b.co".to_owned()),
        ("email", format!("{a}@{b}.{b}.com")),
        ("payment_card", "30569309025904".to_owned()),
        ("iban", "NO9386011117947".to_owned()),
        ("phone", "+1234567".to_owned()),
        ("aws_key", format!("{name}\"====\"{key}")),
        ("aws_key", format!("awssecret={key}")),
        ("jwt", "eyJaaaaa.eyJaa.".to_owned()),
        ("private_key", "-----BEGIN PRIVATE KEY-----".to_owned()),
    ] {
        agrees_with_the_plain_way(text.as_bytes());
        let found = find_all(position(detector).unwrap(), text.as_bytes());
        assert_eq!(found.len(), 1, "{text}");
    }
}

proptest! {
    #[test]
    fn a_scan_finds_every_hit(text in texts()) {
        agrees_with_the_plain_way(&text);
    }

    #[test]
    fn a_scan_finds_every_hit_in_few_kinds_of_bytes(
        text in "[0-9]{0,3}([4 -]|[2-9]|[A]|[Zz]|@|[.]|[+(]){0,60}",
    ) {
        agrees_with_the_plain_way(text.as_bytes());
    }

    /// What is around a value cannot hide that there may be a hit in it, wherever the search begins.
    #[test]
    fn a_sieve_sees_a_hit_in_whatever_holds_it(before in texts(), text in texts(), behind in texts(), from in 0usize..200) {
        let all = [&before[..], &text, &behind].concat();
        for (index, detector) in DETECTORS.iter().enumerate().filter(|(_, detector)| !detector.sieves.is_empty()) {
            for hit in find_plainly(index, &text) {
                let (start, end) = (before.len() + hit.start, before.len() + hit.end);
                let mut candidates = Candidates::new(detector.sieves, &all);
                candidates.touch(from.min(before.len()), from.min(before.len()));
                prop_assert!(candidates.touch(start, end), "{}", detector.name);
            }
        }
    }

    #[test]
    fn hits_lie_inside_the_text_in_order(data in prop::collection::vec(any::<u8>(), 0..300)) {
        for index in 0..DETECTORS.len() {
            let mut end = 0;
            for hit in find_all(index, &data) {
                prop_assert!(hit.start >= end && hit.end > hit.start && hit.end <= data.len());
                end = hit.end;
            }
        }
    }
}
