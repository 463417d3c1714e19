//! What may stand in a block of the audit log, in few bits: a Bloom filter of all that one can look for in its records.
//!
//! Whatever a record says sets places in its block's sketch; a question has places of its own, and a block that lacks one of them holds no
//! hit. A block that has them all may still hold none, so hits are always read from the log. The two sides must agree on what counts as the
//! same: `Query.is_hit` in Python's `audit.search` is the reference, and tests ask both.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// How many places a sketch has.
pub const PLACES: usize = 1 << 14;
/// How many bytes a sketch takes.
pub const BYTES: usize = PLACES / 8;

/// Above so many set places another block begins: half of all would tell little apart.
const FULL: usize = PLACES * 9 / 20;
/// But not before it holds so much, so that the index of texts that are all different stays an eighth of the log.
const LEAST_BYTES: usize = 16 << 10;

/// Whose name a body may hold, and which ids.
const PEOPLE: [&str; 4] = ["identity", "on_behalf_of", "reviewer", "by"];
const IDS: [&str; 5] = ["command_id", "session_id", "review_id", "key_id", "digest"];

/// How many places a term takes: few of those that there are many of, as of a text; more of those that are asked for alone.
const ID_PLACES: u64 = 10;
const WORD_PLACES: u64 = 8;
const GRAM_PLACES: u64 = 2;

/// What a record says of one of the few things that most records say something of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Facet {
    Kind,
    Person,
    Target,
    Rule,
    Effect,
    Table,
}

impl Facet {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "kind" => Self::Kind,
            "identity" => Self::Person,
            "target" => Self::Target,
            "rule" => Self::Rule,
            "effect" => Self::Effect,
            "table" => Self::Table,
            _ => return None,
        })
    }
}

/// The sketch of a block, and what decides when it is full.
pub struct Sketch {
    places: Vec<u8>,
    set: usize,
    records: usize,
    bytes: usize,
    facets: Vec<(Facet, u64)>,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            places: vec![0; BYTES],
            set: 0,
            records: 0,
            bytes: 0,
            facets: Vec::new(),
        }
    }
}

impl Sketch {
    pub fn places(&self) -> &[u8] {
        &self.places
    }

    /// `records`: how many a block holds at most.
    pub fn is_full(&self, records: usize) -> bool {
        self.records >= records || (self.set > FULL && self.bytes >= LEAST_BYTES)
    }

    /// Take a record's entry in. What cannot be read as one may be anything.
    pub fn add(&mut self, line: &[u8]) {
        self.records += 1;
        self.bytes += line.len();
        if self.take(line).is_none() {
            self.places.fill(0xff);
            self.set = PLACES;
        }
    }

    fn take(&mut self, line: &[u8]) -> Option<()> {
        let entry: Object<'_> = serde_json::from_slice(line).ok()?;
        let body: Object<'_> = object(entry.get("body")?)?;
        let mut facets = std::mem::take(&mut self.facets);
        facets.clear();
        with_text(entry.get("kind"), |kind| facets.push((Facet::Kind, hash(kind))));
        for key in PEOPLE {
            with_text(body.get(key), |name| facets.push((Facet::Person, hash(name))));
        }
        with_text(body.get("target"), |name| {
            facets.push((Facet::Target, hash(name)))
        });
        with_text(body.get("rule"), |rule| facets.push((Facet::Rule, hash(rule))));
        for masked in list(&body, "masked") {
            let masked: Option<Object<'_>> = object(masked);
            with_text(masked.as_ref().and_then(|one| one.get("rule")), |rule| {
                facets.push((Facet::Rule, hash(rule)));
            });
        }
        for key in IDS {
            with_text(body.get(key), |id| self.set(hash(id), ID_PLACES));
        }
        if let Some(command) = body.get("command").and_then(|command| object(command)) {
            self.take_command(&command, &mut facets);
        }
        self.take_facets(&mut facets);
        self.facets = facets;
        Some(())
    }

    fn take_command(&mut self, command: &Object<'_>, facets: &mut Vec<(Facet, u64)>) {
        for effect in list(command, "effects") {
            with_text(Some(&effect), |effect| facets.push((Facet::Effect, hash(effect))));
        }
        for statement in list(command, "statements") {
            let Some(statement) = object(statement) else {
                continue;
            };
            for key in ["reads", "writes"] {
                for name in list(&statement, key) {
                    with_text(Some(&name), |name| {
                        table_names(name, |name| facets.push((Facet::Table, hash(name))))
                    });
                }
            }
        }
        with_text(command.get("text"), |text| {
            grams(text, |length, gram| {
                self.set(gram, GRAM_PLACES);
                if length == Gram::Five {
                    for (_, person) in facets.iter().filter(|(facet, _)| *facet == Facet::Person) {
                        self.set(by(gram, *person), GRAM_PLACES);
                    }
                }
            });
        });
    }

    fn take_facets(&mut self, facets: &mut Vec<(Facet, u64)>) {
        facets.sort_unstable();
        facets.dedup();
        words(facets, |hash| self.set(hash, WORD_PLACES));
    }

    fn set(&mut self, hash: u64, count: u64) {
        for place in spread(hash, count) {
            let bit = 1u8 << (place % 8);
            if let Some(byte) = self.places.get_mut(place / 8)
                && *byte & bit == 0
            {
                *byte |= bit;
                self.set += 1;
            }
        }
    }
}

/// The places that every block with a hit has set: of a record of which all these facets are true, that is about this id, and whose command
/// has this text in it. What is empty is not asked.
pub fn asked(facets: &[(Facet, &str)], about: &str, text: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut hashes: Vec<(Facet, u64)> = facets
        .iter()
        .map(|(facet, value)| (*facet, hash(value)))
        .collect();
    hashes.sort_unstable();
    words(&hashes, |hash| places.extend(spread(hash, WORD_PLACES)));
    if !about.is_empty() {
        places.extend(spread(hash(about), ID_PLACES));
    }
    grams(text, |length, gram| {
        places.extend(spread(gram, GRAM_PLACES));
        if length == Gram::Five {
            for (_, person) in hashes.iter().filter(|(facet, _)| *facet == Facet::Person) {
                places.extend(spread(by(gram, *person), GRAM_PLACES));
            }
        }
    });
    places.sort_unstable();
    places.dedup();
    places
}

/// Sketches that follow each other, turned around: for each place a bit for each of them, the first one's lowest.
pub fn turn(sketches: &[u8]) -> Vec<u8> {
    let count = sketches.len() / BYTES;
    let width = count.div_ceil(8);
    let mut turned = vec![0; PLACES * width];
    for (number, sketch) in sketches.chunks_exact(BYTES).enumerate() {
        for (at, byte) in sketch.iter().enumerate() {
            let mut rest = *byte;
            while rest != 0 {
                let place = at * 8 + rest.trailing_zeros() as usize;
                if let Some(bits) = turned.get_mut(place * width + number / 8) {
                    *bits |= 1 << (number % 8);
                }
                rest &= rest - 1;
            }
        }
    }
    turned
}

type Object<'a> = BTreeMap<&'a str, &'a RawValue>;

fn object<'a>(value: &'a RawValue) -> Option<Object<'a>> {
    serde_json::from_str(value.get()).ok()
}

fn list<'a>(object: &Object<'a>, key: &str) -> Vec<&'a RawValue> {
    object
        .get(key)
        .and_then(|value| serde_json::from_str(value.get()).ok())
        .unwrap_or_default()
}

/// Where the value is a text that says something.
fn with_text(value: Option<&&RawValue>, then: impl FnOnce(&str)) {
    let Some(value) = value else { return };
    match serde_json::from_str::<&str>(value.get()) {
        Ok("") => {}
        Ok(text) => then(text),
        Err(_) => {
            if let Ok(text) = serde_json::from_str::<String>(value.get()) {
                then(&text);
            }
        }
    }
}

/// A table may be asked for without what stands before one of its dots.
fn table_names(name: &str, mut each: impl FnMut(&str)) {
    each(name);
    for (at, _) in name.match_indices('.') {
        each(name.get(at + 1..).unwrap_or_default());
    }
}

/// Facets, and every two of them that one record has: two that are common apart may be rare together.
fn words(facets: &[(Facet, u64)], mut each: impl FnMut(u64)) {
    for (at, (facet, hash)) in facets.iter().enumerate() {
        let alone = mix(*hash ^ *facet as u64);
        each(alone);
        for (other, more) in facets.get(at + 1..).unwrap_or_default() {
            if other != facet {
                each(mix(alone.rotate_left(23) ^ mix(*more ^ *other as u64)));
            }
        }
    }
}

/// Every three letters of a text that follow each other, and every five, in any case.
fn grams(text: &str, mut each: impl FnMut(Gram, u64)) {
    let mut last: u128 = 0;
    for (at, letter) in text.chars().flat_map(folded).enumerate() {
        last = last << 21 | u128::from(u32::from(letter));
        let three = mix((last & ((1 << 63) - 1)) as u64);
        if at >= 2 {
            each(Gram::Three, three);
        }
        if at >= 4 {
            each(Gram::Five, mix(three ^ (last >> 63) as u64 & ((1 << 42) - 1)));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gram {
    Three,
    Five,
}

/// What somebody wrote: two things that are common apart.
fn by(gram: u64, person: u64) -> u64 {
    mix(gram.rotate_left(31) ^ person)
}

/// A letter in lower case. A sigma has two, by what stands beside it: here they are one.
fn folded(letter: char) -> impl Iterator<Item = char> {
    letter
        .to_lowercase()
        .map(|lower| if lower == 'ς' { 'σ' } else { lower })
}

/// FNV-1a, mixed. Whoever makes texts collide makes searches slower, and nothing else.
fn hash(text: &str) -> u64 {
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    mix(sum)
}

/// The finisher of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

fn spread(hash: u64, count: u64) -> impl Iterator<Item = usize> {
    let step = hash >> 32 | 1;
    (0..count).map(move |number| (hash.wrapping_add(number.wrapping_mul(step)) % PLACES as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(sketch: &Sketch, places: &[usize]) -> bool {
        places.iter().all(|place| {
            sketch
                .places()
                .get(place / 8)
                .is_some_and(|byte| byte >> (place % 8) & 1 == 1)
        })
    }

    fn line(identity: &str, table: &str, text: &str) -> Vec<u8> {
        let statement = serde_json::json!({"reads": [table], "writes": []});
        let command = serde_json::json!({"text": text, "effects": ["read"], "statements": [statement]});
        let body = serde_json::json!({"identity": identity, "command_id": format!("cmd-{text}"), "command": command, "masked": 7});
        serde_json::json!({"body": body, "kind": "command", "seq": 1, "time": "t"})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn a_block_has_the_places_of_what_its_records_say_and_lacks_those_of_the_rest() {
        let mut sketch = Sketch::default();
        sketch.add(&line("ana", "public.orders", "SELECT \"Ὀδυσσεύς\""));
        sketch.add(&line("ben", "public.people", "SELECT 2"));
        for (facets, about, text) in [
            (vec![(Facet::Person, "ana"), (Facet::Table, "orders")], "", ""),
            (
                vec![(Facet::Table, "public.people"), (Facet::Kind, "command")],
                "cmd-SELECT 2",
                "",
            ),
            (vec![(Facet::Effect, "read")], "", "select \"ὈΔΥΣΣΕΎΣ\""),
        ] {
            assert!(
                has(&sketch, &asked(&facets, about, text)),
                "{facets:?} {about} {text}"
            );
        }
        for (facets, about, text) in [
            (vec![(Facet::Person, "ana"), (Facet::Table, "people")], "", ""),
            (vec![], "cmd-SELECT 3", ""),
            (vec![], "", "DROP TABLE"),
        ] {
            assert!(
                !has(&sketch, &asked(&facets, about, text)),
                "{facets:?} {about} {text}"
            );
        }
    }

    #[test]
    fn what_is_no_record_may_be_anything() {
        for line in [&b"{"[..], b"[]", b"{\"body\":1}", b"\xff"] {
            let mut sketch = Sketch::default();
            sketch.add(line);
            assert!(sketch.places().iter().all(|byte| *byte == 0xff));
        }
    }

    #[test]
    fn a_block_ends_with_so_many_records_or_with_so_much_that_is_different() {
        let mut sketch = Sketch::default();
        let mut count = 0;
        while !sketch.is_full(512) {
            sketch.add(&line("ana", "orders", "SELECT 1"));
            count += 1;
        }
        assert_eq!(count, 512);
        let mut sketch = Sketch::default();
        let mut bytes = 0;
        while !sketch.is_full(512) {
            let texts: String = (0..400)
                .map(|n| char::from(48 + (mix(bytes as u64 + n) % 43) as u8))
                .collect();
            let line = line("ana", "orders", &texts);
            bytes += line.len();
            sketch.add(&line);
        }
        assert!((LEAST_BYTES..2 * LEAST_BYTES).contains(&bytes));
    }

    #[test]
    fn sketches_turned_around_have_the_same_bits() {
        let sketches: Vec<u8> = (0..BYTES * 11).map(|at| mix(at as u64) as u8).collect();
        let turned = turn(&sketches);
        for place in 0..PLACES {
            for number in 0..11 {
                let straight = sketches
                    .get(number * BYTES + place / 8)
                    .map(|byte| byte >> (place % 8) & 1);
                let around = turned
                    .get(place * 2 + number / 8)
                    .map(|byte| byte >> (number % 8) & 1);
                assert_eq!(straight, around);
            }
        }
    }
}
