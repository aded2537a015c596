//! A store with a volatile cache, and what a host may find on it after a power cut.
//!
//! The store forgives nothing: of what was written and not flushed, a power cut keeps each block as
//! chance has it, and a flush saves only what was finished before it was handed out.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::collections::VecDeque;

use bytes::Bytes;
use msc_bot::{BlockOp, BlockToken};
use usb_transfer::Segments;

pub const BLOCK: usize = 512;
/// More than go in one piece.
pub const BLOCKS: usize = 3000;

/// A disk with a volatile cache. Each block is filled with one number.
pub struct Store {
    pub safe: Vec<u16>,
    /// Finished writes, in order, that are not safe: block and number.
    pub cache: VecDeque<(usize, u16)>,
    /// At the store, with how much of the cache was there when it came.
    pub ops: Vec<(BlockOp, usize)>,
}

impl Store {
    pub fn new() -> Self {
        Self {
            safe: vec![0; BLOCKS],
            cache: VecDeque::new(),
            ops: Vec::new(),
        }
    }

    pub fn now(&self, block: usize) -> u16 {
        let mut cached = self.cache.iter().rev();
        let found = cached.find(|(at, _)| *at == block);
        found.map_or(self.safe[block], |(_, number)| *number)
    }

    pub fn save(&mut self, count: usize) {
        for (block, number) in self.cache.drain(..count) {
            self.safe[block] = number;
        }
        for (_, before) in &mut self.ops {
            *before = before.saturating_sub(count);
        }
    }

    /// Does one of the operations.
    pub fn finish(&mut self, at: usize) -> (BlockToken, Segments) {
        let (op, before) = self.ops.swap_remove(at);
        let mut answer = Segments::new();
        match &op {
            BlockOp::Read { offset, length, .. } => {
                let first = *offset as usize / BLOCK;
                let blocks = first..first + *length as usize / BLOCK;
                let fill = |block| self.now(block).to_le_bytes().repeat(BLOCK / 2);
                answer = Bytes::from(blocks.flat_map(fill).collect::<Vec<u8>>()).into();
            }
            BlockOp::Write { durable, .. } => {
                let written = written(&op).collect::<Vec<_>>();
                if *durable {
                    for (block, number) in written {
                        self.safe[block] = number;
                        // What the cache holds of it is older.
                        self.cache.iter_mut().for_each(|entry| {
                            if entry.0 == block {
                                entry.1 = number;
                            }
                        });
                    }
                } else {
                    self.cache.extend(written);
                }
            }
            BlockOp::Flush { .. } => self.save(before),
            BlockOp::Zero { .. } => self.cache.extend(written(&op)),
        }
        (op.token(), answer)
    }

    /// Keeps of what is not safe what chance has it.
    pub fn cut(&mut self, chance: u64) {
        let mut chance = chance | 1;
        let mut is_kept = || {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance & 1 == 1
        };
        let under_way: Vec<_> = self
            .ops
            .drain(..)
            .flat_map(|(op, _)| written(&op).collect::<Vec<_>>())
            .collect();
        for (block, number) in self.cache.drain(..).chain(under_way) {
            if is_kept() {
                self.safe[block] = number;
            }
        }
    }
}

/// Blocks that become something else, with their numbers.
pub fn written(op: &BlockOp) -> impl Iterator<Item = (usize, u16)> {
    let (offset, data) = match op {
        BlockOp::Write { offset, data, .. } => (*offset, data.clone()),
        BlockOp::Zero { offset, length, .. } => (*offset, vec![0; *length as usize].into()),
        _ => (0, Bytes::new()),
    };
    let first = offset as usize / BLOCK;
    let count = data.len() / BLOCK;
    (0..count).map(move |at| {
        let block = &data[at * BLOCK..][..BLOCK];
        assert!(block.chunks(2).all(|each| each == &block[..2]), "whole");
        (first + at, u16::from_le_bytes([block[0], block[1]]))
    })
}

/// What a block may hold after a power cut: what it was made to hold, in order, from the last that is
/// safe on.
#[derive(Clone, Debug)]
pub struct History(pub Vec<Held>);

#[derive(Clone, Debug)]
pub struct Held {
    pub number: u16,
    /// The request that it is of.
    pub asked: u16,
    /// How many requests there had been when the host was told that it is done.
    pub told: Option<u16>,
}

impl History {
    pub fn new(number: u16) -> Self {
        Self(vec![Held {
            number,
            asked: 0,
            told: Some(0),
        }])
    }

    pub fn ask(&mut self, number: u16, asked: u16) {
        let told = None;
        self.0.push(Held {
            number,
            asked,
            told,
        });
    }

    /// The host is told that a request is done, and with `safe` that it survives a power cut.
    pub fn tell(&mut self, asked: u16, now: u16, safe: bool) {
        for held in &mut self.0 {
            if held.asked == asked {
                held.told = Some(now);
            }
        }
        if safe {
            self.0.retain(|held| held.asked >= asked);
        }
    }

    /// The last of those is safe.
    pub fn flush(&mut self, is_covered: impl Fn(&Held) -> bool) {
        let last = self.0.iter().rposition(is_covered);
        self.0.drain(..last.unwrap_or(0));
    }

    /// The power was cut, and this is there.
    #[track_caller]
    pub fn cut(&mut self, block: usize, now: u16) {
        let is_allowed = self.0.iter().any(|held| held.number == now);
        assert!(is_allowed, "block {block}: {now}, not {:?}", self.0);
        *self = Self::new(now);
    }
}
