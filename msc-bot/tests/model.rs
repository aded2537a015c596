//! However a host cuts its transfers, whatever fails, and whenever it resets: every byte of the
//! store is one that a command put there.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use bench::{Bench, cbw, disk, pattern, read_10, write_10};
use bytes::Bytes;
use msc_bot::{BlockError, BlockOp, BlockSize};
use proptest::prelude::*;
use usb_descriptors::Direction;
use usb_transfer::{Actual, Function, Status, TransferId};

const BLOCKS: usize = 24;

#[derive(Clone, Debug)]
struct Command {
    direction: Direction,
    lba: usize,
    blocks: usize,
    /// What the host expects to move beyond that.
    surplus: usize,
    steps: Vec<Step>,
    /// What then ends it, if not its status.
    reset: Option<Reset>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next transfer of data, of so many bytes or what is left.
    Move(usize),
    AskStatus,
    PollBlock,
    Finish(Finish),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Finish {
    Done,
    Failed,
    DoneAndFailed,
}

#[derive(Clone, Copy, Debug)]
enum Reset {
    Transport,
    Configuration,
    Bus,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![
        1usize..32,
        1usize..5000,
        (1usize..9).prop_map(|n| n * 512),
        1usize..40_000
    ];
    let finish = prop_oneof![
        20 => Just(Finish::Done),
        1 => Just(Finish::Failed),
        1 => Just(Finish::DoneAndFailed),
    ];
    prop_oneof![
        4 => length.prop_map(Step::Move),
        1 => Just(Step::AskStatus),
        3 => Just(Step::PollBlock),
        3 => finish.prop_map(Step::Finish),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let direction = prop_oneof![1 => Just(Direction::In), 3 => Just(Direction::Out)];
    let surplus = prop_oneof![4 => Just(0), 1 => 1usize..700, 1 => Just(4096)];
    let reset = prop_oneof![
        Just(Reset::Transport),
        Just(Reset::Configuration),
        Just(Reset::Bus)
    ];
    let steps = prop::collection::vec(step(), 0..40);
    let reset = prop::option::weighted(0.2, reset);
    (direction, 0..BLOCKS, 1usize..10, surplus, steps, reset).prop_map(
        |(direction, lba, blocks, surplus, steps, reset)| Command {
            direction,
            lba: lba.min(BLOCKS - blocks),
            blocks,
            surplus,
            steps,
            reset,
        },
    )
}

struct World {
    bench: Bench,
    block: usize,
    /// What each block may hold: one thing, unless writes failed or were called off since.
    may_hold: Vec<Vec<Bytes>>,
    /// At the store, and whether it is of the command that is under way.
    op: Option<(BlockOp, bool)>,
    tag: u32,
}

/// A command under way.
struct Exchange {
    direction: Direction,
    expected: usize,
    /// What the host sends.
    data: Bytes,
    posted: usize,
    transfers: Vec<TransferId>,
    status: Option<TransferId>,
    has_failed: bool,
}

impl World {
    fn new(size: BlockSize) -> Self {
        let mut bench = Bench::new(disk(size, BLOCKS as u64));
        bench.serving = false;
        let block = size.get() as usize;
        let blocks = bench.stores[0].disk.chunks(block);
        Self {
            may_hold: blocks
                .map(|now| vec![Bytes::copy_from_slice(now)])
                .collect(),
            bench,
            block,
            op: None,
            tag: 0,
        }
    }

    fn run(&mut self, command: &Command) {
        self.tag += 1;
        let length = command.blocks * self.block;
        let expected = length + command.surplus;
        // No two commands write the same.
        let data = Bytes::from(pattern(4 * self.tag as usize + expected));
        let mut exchange = Exchange {
            direction: command.direction,
            expected,
            data: data.slice(4 * self.tag as usize..),
            posted: 0,
            transfers: Vec::new(),
            status: None,
            has_failed: false,
        };
        let (lba, blocks) = (command.lba as u32, command.blocks as u16);
        let block = match command.direction {
            Direction::In => read_10(lba, blocks),
            Direction::Out => write_10(lba, blocks),
        };
        let wrapper = cbw(self.tag, expected as u32, command.direction, 0, &block);
        self.bench.send(&wrapper);
        for step in &command.steps {
            self.step(*step, &mut exchange);
        }
        let is_done = match command.reset {
            Some(reset) => {
                self.reset(reset, &exchange);
                false
            }
            None => {
                self.settle(&mut exchange);
                self.judge(&exchange, command.lba * self.block, length)
            }
        };
        if command.direction == Direction::Out {
            let blocks = self.may_hold[command.lba..][..command.blocks].iter_mut();
            for (number, may_hold) in blocks.enumerate() {
                if is_done {
                    may_hold.clear();
                }
                may_hold.push(
                    exchange
                        .data
                        .slice(number * self.block..)
                        .slice(..self.block),
                );
            }
        }
        let blocks = self.bench.stores[0].disk.chunks(self.block);
        for (number, (now, may_hold)) in blocks.zip(&self.may_hold).enumerate() {
            assert!(may_hold.iter().any(|each| each == now), "block {number}");
        }
    }

    fn step(&mut self, step: Step, exchange: &mut Exchange) {
        let left = exchange.expected - exchange.posted;
        match step {
            Step::Move(length) if left > 0 => {
                let length = length.min(left);
                let id = match exchange.direction {
                    Direction::In => self.bench.post_in(length as u32),
                    Direction::Out => {
                        let data = exchange.data.slice(exchange.posted..);
                        self.bench.post_out(data.slice(..length))
                    }
                };
                exchange.transfers.push(id);
                exchange.posted += length;
            }
            // Data and status are in one queue where both come from the device.
            Step::AskStatus if left == 0 || exchange.direction == Direction::Out => {
                if exchange.status.is_none() {
                    exchange.status = Some(self.bench.post_in(13));
                }
            }
            Step::Move(_) | Step::AskStatus => {}
            Step::PollBlock => {
                if let Some(op) = self.bench.device.poll_block() {
                    assert!(
                        self.op.is_none(),
                        "none before the one that is out is finished"
                    );
                    self.op = Some((op, true));
                    self.bench.run();
                }
            }
            Step::Finish(how) => {
                let Some((op, is_current)) = self.op.take() else {
                    return;
                };
                let mut result = Err(BlockError::Hardware);
                if how != Finish::Failed {
                    result = self.bench.stores[0].serve(&op);
                }
                if how != Finish::Done {
                    result = Err(BlockError::Hardware);
                    exchange.has_failed |= is_current;
                }
                self.bench.device.finish(op.token(), result);
                self.bench.run();
            }
        }
    }

    /// Does what is left of a command.
    fn settle(&mut self, exchange: &mut Exchange) {
        for _ in 0..1000 {
            self.step(Step::Move(usize::MAX), exchange);
            self.step(Step::AskStatus, exchange);
            if exchange.status.is_some_and(|id| !self.bench.is_pending(id)) {
                return;
            }
            self.step(Step::PollBlock, exchange);
            self.step(Step::Finish(Finish::Done), exchange);
        }
        panic!("it does not end");
    }

    fn reset(&mut self, reset: Reset, exchange: &Exchange) {
        if let Some((_, is_current)) = &mut self.op {
            *is_current = false;
        }
        match reset {
            Reset::Transport => assert_eq!(self.bench.transport_reset(), Status::COMPLETED),
            Reset::Configuration => assert_eq!(self.bench.set_configuration(1), Status::COMPLETED),
            Reset::Bus => {
                self.bench.device.reset();
                assert_eq!(self.bench.set_configuration(1), Status::COMPLETED);
            }
        }
        for id in exchange.transfers.iter().chain(&exchange.status) {
            self.bench.done(*id);
        }
        // The unit was used, so it tells of the reset.
        assert_eq!(self.bench.sense(), (6, 0x29, 0));
    }

    /// Whether the command passed; what it moved is right in any case.
    fn judge(&mut self, exchange: &Exchange, at: usize, length: usize) -> bool {
        let status = self.bench.csw_of(exchange.status.unwrap());
        assert_eq!(status.tag, self.tag);
        assert_eq!(status.status, u8::from(exchange.has_failed));
        let relevant = exchange.expected - status.residue as usize;
        assert!(relevant <= length);
        if !exchange.has_failed {
            assert_eq!(relevant, length);
        }
        let mut received = Vec::new();
        for id in &exchange.transfers {
            let done = self.bench.done(*id);
            assert_eq!(done.status, Status::COMPLETED);
            if let Actual::In(data) = done.actual {
                received.extend_from_slice(&data.to_bytes());
            }
        }
        if exchange.direction == Direction::In {
            assert_eq!(received.len(), exchange.expected);
            let (data, padding) = received.split_at(relevant);
            assert!(data == &self.bench.stores[0].disk[at..at + relevant]);
            assert!(padding.iter().all(|byte| *byte == 0));
        }
        assert!(self.op.is_none(), "its status comes last");
        assert!(self.bench.completions.is_empty());
        !exchange.has_failed
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_byte_is_where_it_belongs(
        size in prop::sample::select(vec![512, 1024, 2048, 4096]),
        commands in prop::collection::vec(command(), 1..12),
    ) {
        let mut world = World::new(BlockSize::new(size).unwrap());
        for command in &commands {
            world.run(command);
        }
    }
}
