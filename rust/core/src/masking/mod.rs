//! The masking engine: detectors find, operators replace, row plans say which column gets which.

pub mod context;
pub mod copy;
pub mod custom;
pub mod detectors;
mod fold;
pub mod json;
pub mod kinds;
pub mod operators;
mod parts;
pub mod paths;
pub mod rows;
pub mod scan;
pub mod sieve;

use std::sync::Arc;

use context::Context;
use custom::Custom;
use detectors::{DETECTORS, Hit, Search, Set};
use operators::{Keys, Operator};
use scan::Scanner;
use sieve::{Candidates, FEW, Sieve};

/// A detector in use: which table entry, for which rule, and what replaces its hits.
struct Watch {
    /// Its place in the table, or behind the table's end among the policy's own.
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
    /// The watch of each detector: the first that names it.
    watch_of: Vec<Option<usize>>,
    in_use: Set,
    custom: Vec<Custom>,
    scanner: Scanner,
    /// Those of every detector in use, each once, where there are few.
    sieves: Option<Vec<Sieve>>,
    keys: Keys,
}

/// The sieves of some detectors, if each has its own and they are few together.
fn few_sieves(in_use: Set) -> Option<Vec<Sieve>> {
    let mut sieves: Vec<Sieve> = vec![sieve::folding];
    for (index, detector) in DETECTORS.iter().enumerate() {
        if in_use >> index & 1 == 0 {
            continue;
        }
        if detector.sieves.is_empty() {
            return None;
        }
        sieves.extend(detector.sieves);
    }
    (sieves.len() <= FEW).then_some(sieves)
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
    /// `detect` holds (detector, rule, operator as JSON); a detector is a name of the table or one of the policy's own as JSON
    /// (`Custom::from_json`).
    pub fn new(detect: &[(String, String, String)], hash_key: &[u8]) -> Result<Self, String> {
        let mut custom: Vec<Custom> = Vec::new();
        let mut place = |name: &str| {
            if !name.starts_with('{') {
                return detectors::position(name).ok_or_else(|| format!("unknown detector {name:?}"));
            }
            let one = Custom::from_json(name)?;
            let known = custom.iter().position(|known| known.name == one.name);
            if known.is_none() {
                custom.push(one);
            }
            Ok(DETECTORS.len() + known.unwrap_or(custom.len() - 1))
        };
        let watches = detect
            .iter()
            .map(|(name, rule, operator)| {
                Ok(Watch {
                    detector: place(name)?,
                    rule: rule.clone(),
                    operator: Operator::from_json(operator)?,
                })
            })
            .collect::<Result<Vec<_>, String>>()?;
        if custom.len() > custom::MOST {
            return Err(format!("more than {} detectors of its own", custom::MOST));
        }
        let watch_of: Vec<_> = (0..DETECTORS.len() + custom.len())
            .map(|detector| watches.iter().position(|watch| watch.detector == detector))
            .collect();
        let of_table = watches.iter().filter(|watch| watch.detector < DETECTORS.len());
        let in_use = of_table.fold(0, |set, watch| set | 1 << watch.detector);
        let sieves = few_sieves(in_use).filter(|_| custom.is_empty());
        Ok(Self {
            inner: Arc::new(Inner {
                watches,
                watch_of,
                in_use,
                custom,
                scanner: Scanner::new(in_use),
                sieves,
                keys: Keys::new(hash_key)?,
            }),
        })
    }

    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// What is sensitive in a text, in order, without overlaps: the leftmost wins, among equals the longest. What a later one has beyond
    /// an earlier one is found for itself.
    pub fn find(&self, text: &[u8]) -> Vec<Found> {
        self.find_with_context(text, Context::default())
    }

    /// The same for a value of a column whose name says something (`context_of`).
    pub fn find_with_context(&self, text: &[u8], context: Context) -> Vec<Found> {
        let mut search = Search::new(text, context.detectors, false);
        let folds = self.inner.scanner.scan(text, &mut search);
        let mut hits = search.hits;
        hits.extend(self.find_custom(text, context));
        if folds {
            for piece in fold::pieces(text) {
                let mut search = Search::new(&piece.bytes, context.detectors, false);
                self.inner.scanner.scan(&piece.bytes, &mut search);
                let custom = self.find_custom(&piece.bytes, context);
                hits.extend(
                    search
                        .hits
                        .into_iter()
                        .chain(custom)
                        .filter_map(|(detector, hit)| {
                            let (start, end) = piece.origin(text, hit.start, hit.end)?;
                            Some((detector, Hit { start, end }))
                        }),
                );
            }
        }
        self.ordered(hits)
    }

    fn find_custom(&self, text: &[u8], context: Context) -> Vec<(usize, Hit)> {
        let mut hits = Vec::new();
        for (index, custom) in self.inner.custom.iter().enumerate() {
            let found = custom.find(text, context.custom >> index & 1 == 1);
            hits.extend(found.into_iter().map(|hit| (DETECTORS.len() + index, hit)));
        }
        hits
    }

    fn ordered(&self, hits: Vec<(usize, Hit)>) -> Vec<Found> {
        let with_watch = |(detector, hit): (usize, Hit)| {
            let watch = self.inner.watch_of.get(detector).copied().flatten()?;
            Some(Found {
                hit,
                watch,
                is_rest: false,
            })
        };
        let mut found: Vec<Found> = hits.into_iter().filter_map(with_watch).collect();
        found.sort_by_key(|found| (found.hit.start, usize::MAX - found.hit.end, found.watch));
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

    /// True unless `find` finds nothing, whatever the column's name.
    pub fn finds_any(&self, text: &[u8]) -> bool {
        let mut search = Search::new(text, 0, true);
        self.inner.scanner.scan(text, &mut search)
            || !search.hits.is_empty()
            || !self.find_custom(text, Context::default()).is_empty()
    }

    /// What a column's name says about its values.
    pub fn context_of(&self, name: &[u8]) -> Context {
        Context {
            detectors: context::of_name(name) & self.inner.in_use,
            custom: self
                .inner
                .custom
                .iter()
                .enumerate()
                .filter(|(_, custom)| custom.is_named_by(name))
                .fold(0, |set, (index, _)| set | 1 << index),
        }
    }

    /// Where hits may be, in a text that may hold more than one value.
    pub fn candidates<'a>(&'a self, text: &'a [u8]) -> Candidates<'a> {
        match &self.inner.sieves {
            Some(sieves) => Candidates::new(sieves, text),
            None => Candidates::of_values(self, text),
        }
    }

    /// The name of the detector that made a hit.
    pub fn detector_of(&self, found: &Found) -> &str {
        let Some(watch) = self.watch(found) else { return "" };
        match DETECTORS.get(watch.detector) {
            Some(detector) => detector.name,
            None => self
                .inner
                .custom
                .get(watch.detector - DETECTORS.len())
                .map_or("", |custom| &custom.name),
        }
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
            .and_then(|watch| watch.operator.apply(text, &self.inner.keys))
            .unwrap_or_else(|| operators::REDACTED.to_vec())
    }
}
