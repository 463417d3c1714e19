//! What the fuzz targets check, on a stable compiler and in seconds: every kept seed, and mutations of it that are the same in each
//! run. `cargo fuzz` looks far deeper (CONTRIBUTING.md); what it finds is kept as a seed and stays fixed because of this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{fs, panic, path::PathBuf};

#[path = "../../fuzz/src/lib.rs"]
mod targets;

const MUTATIONS_OF_A_SEED: u64 = 200;

/// A seed with a few bytes changed, added, dropped or repeated.
fn mutated(seed: &[u8], random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=random(4) {
        let at = random(data.len() + 1);
        match random(6) {
            0 => data.insert(at, random(256) as u8),
            1 => data.truncate(at),
            2 => data.extend_from_within(at.min(data.len())..),
            3 if at < data.len() => data[at] = [0, 1, 4, 0x7f, 0x80, 0xff][random(6)],
            4 if at < data.len() => data[at] ^= 1 << random(8),
            _ if at < data.len() => drop(data.remove(at)),
            _ => {}
        }
    }
    data
}

/// A linear congruential generator (Knuth's MMIX constants): the same numbers in every run.
fn numbers(mut state: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    }
}

fn replay(name: &str, target: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(name);
    let mut seeds: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    seeds.sort();
    assert!(seeds.len() >= 5, "the seeds are missing");
    for (index, path) in seeds.iter().enumerate() {
        let seed = fs::read(path).unwrap();
        let mut random = numbers(index as u64);
        let inputs = (0..MUTATIONS_OF_A_SEED).map(|_| mutated(&seed, &mut random));
        for input in std::iter::once(seed.clone()).chain(inputs) {
            if let Err(failure) = panic::catch_unwind(|| target(&input)) {
                eprintln!(
                    "target {name}, from the seed {}: {}",
                    path.display(),
                    input.escape_ascii()
                );
                panic::resume_unwind(failure);
            }
        }
    }
}

#[test]
fn frontend() {
    replay("frontend", targets::frontend);
}

#[test]
fn backend() {
    replay("backend", targets::backend);
}

#[test]
fn rows() {
    replay("rows", targets::rows);
}

#[test]
fn startup() {
    replay("startup", targets::startup);
}

#[test]
fn masking() {
    replay("masking", targets::masking);
}

#[test]
fn copy() {
    replay("copy", targets::copy);
}

#[test]
fn steady() {
    replay("steady", targets::steady);
}
