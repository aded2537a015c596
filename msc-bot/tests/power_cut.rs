//! Reads, writes, flushes, hosts that leave, and power cuts: what was flushed is never lost.
//!
//! By an initiator, over each transport; `power_cut_unit` has the rest of what a unit can be asked.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;
mod volatile;

use std::collections::VecDeque;

use bench::disk;
use msc_bot::{
    BlockSize, BotDevice, BotOptions, Initiator, LogicalUnit, MassStorage, Ticket, UasDevice,
};
use proptest::prelude::*;
use usb_descriptors::Speed;
use usb_transfer::{Frontend, FunctionEvent, HostEvent};
use volatile::{BLOCK, BLOCKS, History, Store};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Bot,
    Uas,
    Streams,
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
    blocks: Vec<History>,
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
            store: Store::new(),
            blocks: vec![History::new(0); BLOCKS],
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
                for block in &mut self.blocks[lba..lba + count] {
                    block.ask(self.number, self.number);
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
                        let mut held = self.blocks[block].0.iter();
                        let is_there = held.any(|held| held.number == number && held.asked < asked);
                        assert!(is_there, "block {block}: {number}");
                    }
                }
                Request::Write(lba, count) => {
                    for block in &mut self.blocks[lba..lba + count] {
                        // Without a cache it is safe now.
                        block.tell(asked, self.number, !self.cached);
                    }
                }
                Request::Flush => {
                    self.flushed += 1;
                    // It is done after all that was asked for before.
                    for block in &mut self.blocks {
                        block.flush(|held| held.asked < asked && held.told.is_some());
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
        let (token, answer) = self.store.finish(choice % count);
        self.device.finish(token, Ok(answer));
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
        for (number, block) in self.blocks.iter_mut().enumerate() {
            block.cut(number, self.store.safe[number]);
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
            let count = match choice % 64 {
                // In more than one piece.
                0 => 2500,
                16 | 32 | 48 => 300,
                _ => choice % 9,
            };
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
