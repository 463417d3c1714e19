//! The masking engine: detectors find, operators replace, row plans say which column gets which.

pub mod copy;
pub mod detectors;
pub mod json;
pub mod operators;
pub mod rows;
pub mod sieve;

use std::sync::Arc;

use detectors::{ALL_SIEVES, DETECTORS, Hit};
use operators::Operator;
use sieve::{Candidates, Sieve};

/// A detector in use: which table entry, for which rule, and what replaces its hits.
struct Watch {
    detector: usize,
    rule: String,
    operator: Operator,
}

/// Content rules made ready.
#[derive(Clone)]
pub struct Masker {
    inner: Arc<Inner>,
}

struct Inner {
    watches: Vec<Watch>,
    /// Those of every detector in use, each once.
    sieves: Vec<Sieve>,
    hash_key: Vec<u8>,
}

/// A hit and the rule it belongs to.
#[derive(Clone, Copy)]
pub struct Found {
    pub hit: Hit,
    watch: usize,
    /// What sticks out of the hit ahead of it, which it overlaps: an operator that keeps a part would keep the wrong one.
    pub is_rest: bool,
}

impl Masker {
    /// `detect` holds (detector, rule, operator as JSON).
    pub fn new(detect: &[(String, String, String)], hash_key: &[u8]) -> Result<Self, String> {
        let watches = detect
            .iter()
            .map(|(name, rule, operator)| {
                let detector =
                    detectors::position(name).ok_or_else(|| format!("unknown detector {name:?}"))?;
                Ok(Watch {
                    detector,
                    rule: rule.clone(),
                    operator: Operator::from_json(operator)?,
                })
            })
            .collect::<Result<Vec<_>, String>>()?;
        let is_watched = |detector: usize| watches.iter().any(|watch| watch.detector == detector);
        let sieves = DETECTORS
            .iter()
            .enumerate()
            .filter(|(index, _)| is_watched(*index))
            .flat_map(|(_, detector)| detector.sieves)
            .copied()
            .collect();
        Ok(Self {
            inner: Arc::new(Inner {
                watches,
                sieves,
                hash_key: hash_key.to_vec(),
            }),
        })
    }

    pub fn hash_key(&self) -> &[u8] {
        &self.inner.hash_key
    }

    /// What is sensitive in a text, in order, without overlaps: the leftmost wins, among equals the longest. What a later one has beyond
    /// an earlier one is found for itself.
    pub fn find(&self, text: &[u8]) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for (watch, entry) in self.inner.watches.iter().enumerate() {
            let hits = detectors::find_all(entry.detector, text);
            found.extend(hits.into_iter().map(|hit| Found {
                hit,
                watch,
                is_rest: false,
            }));
        }
        found.sort_by_key(|found| (found.hit.start, usize::MAX - found.hit.end));
        let mut end = 0;
        found.retain_mut(|found| {
            if found.hit.start < end {
                found.hit.start = end;
                found.is_rest = true;
            }
            let keep = found.hit.start < found.hit.end;
            end = end.max(found.hit.end);
            keep
        });
        found
    }

    /// Where hits may be, in a text that may hold more than one value.
    pub fn candidates<'a>(&'a self, text: &'a [u8]) -> Candidates<'a, ALL_SIEVES> {
        Candidates::new(&self.inner.sieves, text)
    }

    /// The name of the detector that made a hit.
    pub fn detector_of(&self, found: &Found) -> &'static str {
        self.watch(found)
            .and_then(|watch| DETECTORS.get(watch.detector))
            .map_or("", |detector| detector.name)
    }

    /// The rule that a hit belongs to.
    pub fn rule_of(&self, found: &Found) -> &str {
        self.watch(found).map_or("", |watch| &watch.rule)
    }

    fn watch(&self, found: &Found) -> Option<&Watch> {
        self.inner.watches.get(found.watch)
    }

    /// The text with its hits replaced.
    pub fn replace(&self, text: &[u8], found: &[Found]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut from = 0;
        for one in found {
            out.extend_from_slice(text.get(from..one.hit.start).unwrap_or_default());
            let original = text.get(one.hit.start..one.hit.end).unwrap_or_default();
            out.extend_from_slice(&self.replace_all(original, one));
            from = one.hit.end;
        }
        out.extend_from_slice(text.get(from..).unwrap_or_default());
        out
    }

    /// What takes the place of a whole text, by the rule of a hit.
    fn replace_all(&self, text: &[u8], found: &Found) -> Vec<u8> {
        self.watch(found)
            .filter(|_| !found.is_rest)
            .and_then(|watch| watch.operator.apply(text, &self.inner.hash_key))
            .unwrap_or_else(|| operators::REDACTED.to_vec())
    }
}
