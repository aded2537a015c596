//! When what was written is durable, and what waits for it: units without a cache, hosts that switch
//! it off, reads past it, and ejection.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use bench::disk;
use msc_bot::{
    BlockError, BlockOp, BlockSize, LogicalUnit, MediumEvent, Sense, Task, UnitEvent, UnitOptions,
};
use usb_transfer::Segments;

const EJECT: [u8; 6] = [0x1b, 0, 0, 0, 2, 0];
const SYNCHRONIZE: [u8; 10] = [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const GOOD: Result<(), Sense> = Ok(());

fn options() -> UnitOptions {
    disk(BlockSize::BYTES_512, 1000).discard(true)
}

/// A unit whose store finishes when it is told to.
struct Bench {
    unit: LogicalUnit,
    /// Handed out, and not finished.
    ops: Vec<BlockOp>,
    /// What the tasks still want of the host.
    wants: Vec<(Task, u32)>,
    done: Vec<(Task, Result<(), Sense>)>,
}

impl Bench {
    fn new(options: UnitOptions) -> Self {
        Self {
            unit: LogicalUnit::new(options),
            ops: Vec::new(),
            wants: Vec::new(),
            done: Vec::new(),
        }
    }

    fn start(&mut self, task: u32, command: &[u8]) {
        let mut block = [0; 16];
        block[..command.len()].copy_from_slice(command);
        self.unit.start(Task(task), &block);
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(event) = self.unit.poll() {
            match event {
                UnitEvent::Block(op) => self.ops.push(op),
                UnitEvent::WantOut(task, length) => self.wants.push((task, length)),
                UnitEvent::Done(task, result) => self.done.push((task, result)),
                UnitEvent::Phase(..) | UnitEvent::In(..) => {}
            }
        }
    }

    /// The host sends what a task wants.
    fn send(&mut self, data: impl Fn(usize) -> Vec<u8>) {
        let (task, length) = self.wants.remove(0);
        self.unit.data_out(task, data(length as usize).into());
        self.poll();
    }

    /// Ends the oldest operation.
    #[track_caller]
    fn finish(&mut self, result: Result<(), BlockError>) -> BlockOp {
        let op = self.ops.remove(0);
        let length = match op {
            BlockOp::Read { length, .. } => length as usize,
            _ => 0,
        };
        let result = result.map(|()| Segments::zeros(length));
        self.unit.finish(op.token(), result);
        self.poll();
        op
    }

    /// Runs a command to its end: what it had the store do, and how it ended.
    fn run(&mut self, command: &[u8], data: &[u8]) -> (Vec<&'static str>, Result<(), Sense>) {
        self.start(99, command);
        let mut names = Vec::new();
        while self.done.is_empty() {
            if !self.wants.is_empty() {
                self.send(|_| data.to_vec());
            } else {
                names.push(name(&self.finish(Ok(()))));
            }
        }
        (names, self.done.remove(0).1)
    }
}

fn name(op: &BlockOp) -> &'static str {
    match op {
        BlockOp::Read { .. } => "read",
        BlockOp::Write { durable: false, .. } => "write",
        BlockOp::Write { .. } => "durable write",
        BlockOp::Zero { .. } => "zero",
        BlockOp::Flush { .. } => "flush",
    }
}

fn ten(opcode: u8, flags: u8, count: u8) -> [u8; 10] {
    [opcode, flags, 0, 0, 0, 0, 0, 0, count, 0]
}

/// Parameters of UNMAP: five blocks, then three.
fn descriptors() -> Vec<u8> {
    let mut list = vec![0, 38, 0, 32, 0, 0, 0, 0];
    for (lba, count) in [(7u64, 5u32), (90, 3)] {
        list.extend(lba.to_be_bytes());
        list.extend(count.to_be_bytes());
        list.extend([0; 4]);
    }
    list
}

#[test]
fn without_a_cache_each_command_ends_when_all_is_durable() {
    let mut bench = Bench::new(options().write_cache(false));
    let write = bench.run(&ten(0x2a, 0, 1), &[7; 512]);
    assert_eq!(write, (vec!["durable write"], GOOD));
    let same = bench.run(&ten(0x41, 0, 4), &[7; 512]);
    assert_eq!(same, (vec!["durable write"], GOOD));
    for flags in [0, 8] {
        let zeros = bench.run(&ten(0x41, flags, 4), &[0; 512]);
        assert_eq!(zeros, (vec!["zero", "flush"], GOOD));
    }
    let unmap = bench.run(&ten(0x42, 0, 40), &descriptors());
    assert_eq!(unmap, (vec!["zero", "zero", "flush"], GOOD));
    // What is not durable did not succeed.
    bench.start(1, &ten(0x42, 0, 40));
    bench.send(|_| descriptors());
    bench.finish(Ok(()));
    bench.finish(Ok(()));
    bench.finish(Err(BlockError::NoSpace));
    assert_eq!(bench.done, [(Task(1), Err(Sense::SPACE_ALLOCATION_FAILED))]);
    // With one it is durable when the host flushes.
    let mut bench = Bench::new(options());
    let unmap = bench.run(&ten(0x42, 0, 40), &descriptors());
    assert_eq!(unmap, (vec!["zero", "zero"], GOOD));
    let same = bench.run(&ten(0x41, 0, 4), &[7; 512]);
    assert_eq!(same, (vec!["write"], GOOD));
}

/// By UAS: the mode changes while writes are at the store.
#[test]
fn what_is_under_way_when_the_cache_goes_is_flushed() {
    let mut pages = vec![0, 0, 0, 0, 0x08, 18];
    pages.extend([0; 18]);
    let mut bench = Bench::new(options());
    bench.start(1, &ten(0x2a, 0, 1));
    bench.send(|length| vec![1; length]);
    bench.start(2, &[0x93, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 4, 0, 0]);
    bench.start(3, &[0x15, 0x10, 0, 0, 24, 0]);
    bench.send(|_| pages.clone());
    let names: Vec<_> = bench.ops.iter().map(name).collect();
    assert_eq!(names, ["write", "zero", "flush"]);
    // The flush of MODE SELECT is over before them.
    bench.ops.rotate_right(1);
    bench.finish(Ok(()));
    assert_eq!(bench.done, [(Task(3), GOOD)]);
    bench.finish(Ok(()));
    bench.finish(Ok(()));
    let names: Vec<_> = bench.ops.iter().map(name).collect();
    assert_eq!(names, ["flush", "flush"]);
    assert_eq!(bench.done.len(), 1);
    bench.finish(Ok(()));
    bench.finish(Err(BlockError::Hardware));
    let failed = Err(Sense::INTERNAL_FAILURE);
    assert_eq!(bench.done[1..], [(Task(1), GOOD), (Task(2), failed)]);
}

/// SBC-3, 5.11 and 5.32: what the cache has newer gets onto the medium before that is read.
#[test]
fn what_is_read_past_the_cache_is_flushed_before() {
    let mut bench = Bench::new(options());
    let block = [0; 512];
    for (command, data, expected) in [
        (ten(0x28, 0, 1), &block[..0], &["read"][..]),
        (ten(0x28, 8, 1), &[], &["flush", "read"]),
        (ten(0x28, 8, 0), &[], &[]),
        (ten(0x2f, 0, 1), &[], &["flush", "read"]),
        (ten(0x2f, 2, 1), &block, &["flush", "read"]),
        (ten(0x2f, 6, 3), &block, &["flush", "read"]),
        (ten(0x2e, 2, 1), &block, &["durable write", "read"]),
        (ten(0x2a, 8, 1), &block, &["durable write"]),
    ] {
        let (names, result) = bench.run(&command, data);
        assert_eq!((&names[..], result), (expected, GOOD), "{command:02x?}");
    }
    bench.start(1, &ten(0x28, 8, 1));
    bench.finish(Err(BlockError::NoSpace));
    let failed = Err(Sense::SPACE_ALLOCATION_FAILED);
    assert_eq!(
        (&bench.done[..], bench.ops.len()),
        (&[(Task(1), failed)][..], 0)
    );
    // Nothing is ever written to a CD.
    let mut cd = Bench::new(UnitOptions::cd(100));
    assert_eq!(cd.run(&ten(0x28, 8, 1), &[]), (vec!["read"], GOOD));
}

#[test]
fn a_medium_that_cannot_be_flushed_stays() {
    let mut bench = Bench::new(options());
    assert_eq!(
        bench.run(&ten(0x2a, 0, 1), &[7; 512]),
        (vec!["write"], GOOD)
    );
    bench.start(1, &EJECT);
    bench.finish(Err(BlockError::NoSpace));
    let failed = Err(Sense::SPACE_ALLOCATION_FAILED);
    assert_eq!(bench.done, [(Task(1), failed)]);
    assert_eq!(bench.unit.poll_medium(), None);
    assert!(bench.unit.has_medium());
    bench.done.clear();
    // The host can try again, whichever way.
    assert_eq!(bench.run(&SYNCHRONIZE, &[]), (vec!["flush"], GOOD));
    bench.start(2, &EJECT);
    assert!(bench.unit.has_medium(), "not before it is flushed");
    bench.finish(Ok(()));
    assert_eq!(bench.done, [(Task(2), GOOD)]);
    assert_eq!(bench.unit.poll_medium(), Some(MediumEvent::Ejected));
    assert!(!bench.unit.has_medium());
}

/// By UAS: what came before is written and flushed, what comes behind finds no medium.
#[test]
fn an_ejection_waits_for_the_commands_before_it() {
    let mut bench = Bench::new(options());
    bench.start(1, &ten(0x2a, 0, 2));
    bench.start(2, &ten(0x28, 0, 2));
    bench.start(3, &EJECT);
    bench.start(4, &ten(0x2a, 0, 1));
    bench.start(5, &ten(0x28, 0, 1));
    assert_eq!(bench.ops.iter().map(name).collect::<Vec<_>>(), ["read"]);
    bench.finish(Ok(()));
    assert!(bench.ops.is_empty(), "data has not come");
    bench.send(|length| vec![1; length]);
    assert!(bench.wants.is_empty(), "nor is data taken behind");
    let BlockOp::Write { data, .. } = bench.finish(Ok(())) else {
        panic!()
    };
    assert_eq!((data.len(), data[0]), (1024, 1));
    assert_eq!(bench.ops.iter().map(name).collect::<Vec<_>>(), ["flush"]);
    assert_eq!(bench.unit.poll_medium(), None);
    assert_eq!(bench.done, [(Task(2), GOOD), (Task(1), GOOD)]);
    bench.finish(Ok(()));
    assert_eq!(bench.unit.poll_medium(), Some(MediumEvent::Ejected));
    let gone = Err(Sense::NO_MEDIUM);
    let expected = [(Task(3), GOOD), (Task(4), gone), (Task(5), gone)];
    assert_eq!(bench.done[2..], expected);
    assert!(bench.ops.is_empty() && bench.wants.is_empty());
    // One that waits and is aborted holds nobody back.
    let mut bench = Bench::new(options());
    bench.start(1, &ten(0x2a, 0, 2));
    bench.start(2, &EJECT);
    bench.start(3, &ten(0x28, 0, 1));
    assert!(bench.ops.is_empty());
    bench.unit.abort(Task(2));
    bench.poll();
    assert_eq!(bench.ops.iter().map(name).collect::<Vec<_>>(), ["read"]);
    assert!(bench.unit.has_medium());
}

#[test]
fn zeros_go_in_pieces_and_can_be_called_off() {
    const PIECE: u64 = 64 << 20;
    let mut bench = Bench::new(disk(BlockSize::BYTES_512, 1 << 33).discard(true));
    // All of 2 TiB but for the first three blocks.
    let mut command = [0; 16];
    (command[0], command[1], command[9]) = (0x93, 0x09, 3);
    command[10..14].copy_from_slice(&u32::MAX.to_be_bytes());
    bench.start(1, &command);
    let mut next = 3 * 512;
    for _ in 0..3 {
        let BlockOp::Zero {
            offset,
            length,
            discard: true,
            ..
        } = bench.finish(Ok(()))
        else {
            panic!()
        };
        assert_eq!(offset, next);
        next = (next / PIECE + 1) * PIECE;
        assert_eq!(offset + length, next, "whole pieces");
    }
    bench.unit.abort(Task(1));
    bench.finish(Ok(()));
    assert!(bench.ops.is_empty() && bench.done.is_empty());
    // To the end of an extent, and on to the next.
    let mut bench = Bench::new(disk(BlockSize::BYTES_512, 1 << 33).discard(true));
    let mut list = vec![0, 38, 0, 32, 0, 0, 0, 0];
    for (lba, count) in [((PIECE / 512) - 1, (PIECE / 512) as u32 + 2), (9, 1)] {
        list.extend(lba.to_be_bytes());
        list.extend(count.to_be_bytes());
        list.extend([0; 4]);
    }
    bench.start(1, &ten(0x42, 0, 40));
    bench.send(|_| list.clone());
    let mut zeroed = Vec::new();
    while let [BlockOp::Zero { offset, length, .. }] = bench.ops[..] {
        zeroed.push((offset, length));
        bench.finish(Ok(()));
    }
    let expected = [
        (PIECE - 512, 512),
        (PIECE, PIECE),
        (2 * PIECE, 512),
        (9 * 512, 512),
    ];
    assert_eq!(
        (&zeroed[..], &bench.done[..]),
        (&expected[..], &[(Task(1), GOOD)][..])
    );
}
