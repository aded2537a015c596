//! The targets without a fuzzer: on their corpora, on changed seeds, and on pseudo-random inputs.

use std::fs;
use std::path::{Path, PathBuf};

use fuzz::{TARGETS, seeds};

/// Some targets ask how much a call takes.
#[global_allocator]
static ALLOCATOR: testkit::CountingAllocator = testkit::CountingAllocator;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

/// Says what was run when a target panicked.
struct Running(String);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("while running {}", self.0);
        }
    }
}

#[test]
fn every_input_of_the_corpora_passes() {
    for (name, run) in TARGETS {
        let entries = fs::read_dir(corpus(name)).expect("each target has a corpus");
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let _running = Running(path.display().to_string());
            run(&fs::read(path).unwrap());
        }
    }
}

#[test]
fn the_corpora_hold_the_seeds() {
    for seed in seeds::all() {
        let committed = fs::read(corpus(seed.target).join(seed.name)).unwrap_or_default();
        assert!(
            committed == seed.bytes,
            "{} of {} differs: cargo run -p fuzz --example seeds",
            seed.name,
            seed.target
        );
    }
}

#[test]
fn each_target_has_a_program() {
    for (name, _) in TARGETS {
        let shim = format!("fuzz_targets/{name}.rs");
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(shim).exists(),
            "{name}"
        );
    }
}

/// xorshift64 (Marsaglia, "Xorshift RNGs"): the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn pseudo_random_inputs_pass() {
    for (name, run) in TARGETS {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for round in 0..3000 {
            let _running = Running(format!("{name}, round {round}"));
            // Choices first, then a peer's bytes, both short as a rule.
            let choices = numbers.below(1 << (round % 11));
            let stream = numbers.below(1 << (round % 9));
            let mut input = (choices as u16).to_be_bytes().to_vec();
            input.extend(numbers.bytes(choices + stream));
            run(&input);
        }
    }
}

#[test]
fn changed_seeds_pass() {
    let seeds = seeds::all();
    for (name, run) in TARGETS {
        let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
        let seeds: Vec<_> = seeds.iter().filter(|seed| seed.target == *name).collect();
        for round in 0..2000 {
            let seed = seeds[round % seeds.len()];
            let _running = Running(format!("{name}, {}, round {round}", seed.name));
            let mut input = seed.bytes.clone();
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(input.len());
                match numbers.below(4) {
                    0 => input.truncate(at.max(1)),
                    1 => input.insert(at, numbers.next() as u8),
                    _ => input[at] = numbers.next() as u8,
                }
            }
            run(&input);
        }
    }
}
