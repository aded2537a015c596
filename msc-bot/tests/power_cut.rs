//! Reads, writes, flushes, hosts that leave, and power cuts: what was flushed is never lost.
//!
//! The store forgives nothing: of what was written and not flushed, a power cut keeps each block as
//! chance has it, and a flush saves only what was finished before it was handed out.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use std::collections::VecDeque;

use bench::disk;
use bytes::Bytes;
use msc_bot::{
    BlockOp, BlockSize, BotDevice, BotOptions, Initiator, LogicalUnit, MassStorage, Ticket,
    UasDevice,
};
use proptest::prelude::*;
use usb_descriptors::Speed;
use usb_transfer::{Frontend, FunctionEvent, HostEvent, Segments};

const BLOCK: usize = 512;
const BLOCKS: usize = 600;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Bot,
    Uas,
    Streams,
}

/// A disk with a volatile cache. Each block is filled with one number.
struct Store {
    safe: Vec<u16>,
    /// Finished writes, in order, that are not safe: block and number.
    cache: VecDeque<(usize, u16)>,
    /// At the store, with how much of the cache was there when it came.
    ops: Vec<(BlockOp, usize)>,
}

impl Store {
    fn now(&self, block: usize) -> u16 {
        let mut cached = self.cache.iter().rev();
        let found = cached.find(|(at, _)| *at == block);
        found.map_or(self.safe[block], |(_, number)| *number)
    }

    fn save(&mut self, count: usize) {
        for (block, number) in self.cache.drain(..count) {
            self.safe[block] = number;
        }
        for (_, before) in &mut self.ops {
            *before = before.saturating_sub(count);
        }
    }

    /// Finishes one of the operations.
    fn finish(&mut self, at: usize, device: &mut dyn MassStorage) {
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
            BlockOp::Zero { .. } => panic!("nobody asked for it"),
        }
        device.finish(op.token(), Ok(answer));
    }

    /// Keeps of what is not safe what chance has it.
    fn cut(&mut self, chance: u64) {
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

/// Blocks of a write, with their numbers.
fn written(op: &BlockOp) -> impl Iterator<Item = (usize, u16)> {
    let (offset, data) = match op {
        BlockOp::Write { offset, data, .. } => (*offset, data.clone()),
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

enum Request {
    Read(usize, usize),
    Write(usize, usize),
    Flush,
}

struct World {
    how: How,
    cached: bool,
    host: Initiator,
    device: Box<dyn MassStorage>,
    store: Store,
    /// What each block may hold: its numbers from the last that is safe on, and whether the host
    /// was told that they are written. They rise.
    may_hold: Vec<Vec<(u16, bool)>>,
    asked: VecDeque<(Ticket, Request, u16)>,
    /// The number of the next request.
    number: u16,
    flushed: usize,
}

fn pair(how: How, cached: bool) -> (Initiator, Box<dyn MassStorage>) {
    let options = disk(BlockSize::BYTES_512, BLOCKS as u64).write_cache(cached);
    let unit = LogicalUnit::new(options);
    let speed = if how == How::Streams {
        Speed::Super
    } else {
        Speed::High
    };
    let device: Box<dyn MassStorage> = match how {
        How::Bot => Box::new(BotDevice::new(BotOptions::new(speed), [unit]).unwrap()),
        _ => Box::new(UasDevice::new(BotOptions::new(speed), [unit]).unwrap()),
    };
    (
        Initiator::with_streams(device.descriptors()).unwrap(),
        device,
    )
}

impl World {
    fn new(how: How, cached: bool) -> Self {
        let (host, device) = pair(how, cached);
        Self {
            how,
            cached,
            host,
            device,
            store: Store {
                safe: vec![0; BLOCKS],
                cache: VecDeque::new(),
                ops: Vec::new(),
            },
            may_hold: vec![vec![(0, true)]; BLOCKS],
            asked: VecDeque::new(),
            number: 0,
            flushed: 0,
        }
    }

    fn ask(&mut self, request: Request) {
        self.number += 1;
        let ticket = match request {
            Request::Read(lba, count) => self.host.read(lba as u64, count as u32),
            Request::Write(lba, count) => {
                for may_hold in &mut self.may_hold[lba..lba + count] {
                    may_hold.push((self.number, false));
                }
                let data = self.number.to_le_bytes().repeat(count * BLOCK / 2);
                self.host.write(lba as u64, data.into())
            }
            Request::Flush => self.host.flush(),
        };
        self.asked.push_back((ticket, request, self.number));
    }

    fn results(&mut self) {
        while let Some((ticket, result)) = self.host.result() {
            let (due, request, asked) = self.asked.pop_front().unwrap();
            assert_eq!(ticket, due);
            let data = result.expect("the store works").to_bytes();
            match request {
                Request::Read(lba, count) => {
                    for (block, data) in (lba..lba + count).zip(data.chunks(BLOCK)) {
                        let number = u16::from_le_bytes([data[0], data[1]]);
                        let mut before = self.may_hold[block].iter().filter(|(at, _)| *at < asked);
                        assert!(
                            before.any(|(at, _)| *at == number),
                            "block {block}: {number}"
                        );
                    }
                }
                Request::Write(lba, count) => {
                    for may_hold in &mut self.may_hold[lba..lba + count] {
                        for (at, is_told) in &mut *may_hold {
                            *is_told |= *at == asked;
                        }
                        // Without a cache it is safe now.
                        may_hold.retain(|(at, _)| self.cached || *at >= asked);
                    }
                }
                Request::Flush => {
                    self.flushed += 1;
                    for may_hold in &mut self.may_hold {
                        let last = may_hold
                            .iter()
                            .rposition(|(at, is_told)| *at < asked && *is_told);
                        may_hold.drain(..last.unwrap_or(0));
                    }
                }
            }
        }
    }

    /// Hands on one event of the host, or one completion; whether there was any.
    fn turn(&mut self) -> bool {
        let event = self.host.poll();
        let mut moved = event.is_some();
        match event {
            Some(HostEvent::Submit(transfer)) => self.device.submit(transfer),
            Some(HostEvent::Cancel(id)) => self.device.cancel(id),
            Some(HostEvent::Reset) => self.device.reset(),
            _ => {}
        }
        if let Some(FunctionEvent::Complete(completion)) = self.device.poll() {
            moved = true;
            self.host.complete(completion);
        }
        moved
    }

    fn poll_block(&mut self) -> bool {
        let Some(op) = self.device.poll_block() else {
            return false;
        };
        self.store.ops.push((op, self.store.cache.len()));
        true
    }

    fn finish(&mut self, choice: usize) -> bool {
        let count = self.store.ops.len();
        if count == 0 {
            return false;
        }
        self.store.finish(choice % count, &mut *self.device);
        true
    }

    /// Until nothing moves.
    fn settle(&mut self) {
        loop {
            let moved = self.turn();
            self.results();
            if !moved && !self.poll_block() && !self.finish(0) {
                return;
            }
        }
    }

    /// The host leaves in the middle of it all, and another comes.
    fn leave(&mut self) {
        self.host.close();
        while self.turn() {}
        assert_eq!(self.host.pending(), 0);
        self.asked.clear();
        self.host = Initiator::with_streams(self.device.descriptors()).unwrap();
    }

    fn cut(&mut self, chance: u64) {
        self.store.cut(chance);
        (self.host, self.device) = pair(self.how, self.cached);
        self.asked.clear();
        for (block, (now, may_hold)) in self.store.safe.iter().zip(&mut self.may_hold).enumerate() {
            let is_allowed = may_hold.iter().any(|(at, _)| at == now);
            assert!(is_allowed, "block {block}: {now}, not {may_hold:?}");
            *may_hold = vec![(*now, true)];
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_was_flushed_is_never_lost(
        how in prop::sample::select(vec![How::Bot, How::Uas, How::Streams]),
        cached in prop::bool::weighted(0.8),
        turns in prop::collection::vec((0u8..64, any::<u16>()), 0..1500),
        chance: u64,
    ) {
        let mut world = World::new(how, cached);
        for (turn, choice) in turns {
            let choice = usize::from(choice);
            let count = if choice % 16 == 0 { 300 } else { choice % 9 };
            // Mostly the same few blocks.
            let lba = choice / 16 % if choice % 5 == 0 { BLOCKS - count } else { 20 };
            match turn {
                0..=2 => world.ask(Request::Write(lba, count)),
                3 => world.ask(Request::Read(lba, count)),
                4 => world.ask(Request::Flush),
                5 if choice % 8 == 0 => world.cut(chance ^ choice as u64),
                6 if choice % 8 == 0 => world.leave(),
                7 if choice % 4 == 0 => world.settle(),
                8..=40 => {
                    world.turn();
                }
                41..=50 => {
                    world.poll_block();
                }
                _ => {
                    world.finish(choice);
                }
            }
            world.results();
        }
        // A last flush, and a cut behind it: all that was written is there.
        world.ask(Request::Flush);
        world.settle();
        prop_assert!(world.asked.is_empty() && world.flushed > 0);
        let expected: Vec<u16> = (0..BLOCKS).map(|block| world.store.now(block)).collect();
        world.cut(chance);
        prop_assert_eq!(&world.store.safe, &expected);
    }
}
