//! Whatever a host and a store do, in any order: the invariants hold.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    clippy::type_complexity,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use std::collections::BTreeMap;

use bench::{BULK_IN, BULK_OUT, cbw, disk, pattern};
use bytes::Bytes;
use msc_bot::{
    BlockError, BlockOp, BlockSize, BlockToken, BotDevice, BotOptions, LogicalUnit, ShortIn,
    UnitOptions,
};
use proptest::prelude::*;
use usb_descriptors::{Direction, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, Function, FunctionEvent, Segments, Status, Transfer, TransferId,
    TransferIds,
};

const BLOCKS: u64 = 3000;
/// The units that take no writes: a disk, and a drive.
const READ_ONLY: u8 = 2;
const CD: u8 = 3;
/// What a `Zero` is at most about.
const MAX_ZERO: u64 = 64 << 20;

#[derive(Clone, Debug)]
enum Act {
    Wrapper {
        length: u32,
        input: bool,
        lun: u8,
        command: Vec<u8>,
    },
    Garbage(Vec<u8>),
    In(u32),
    Out(usize),
    Setup([u8; 8]),
    Reset,
    Cancel(usize),
    PollBlock,
    /// Which outstanding operation, and how it ends.
    Finish(usize, u8),
    /// Again, or never handed out.
    FinishStale(u64),
}

fn command() -> impl Strategy<Value = Vec<u8>> {
    let lba = prop_oneof![0u64..BLOCKS + 2, any::<u64>()];
    let blocks = prop_oneof![0u32..9, 2040u32..3100, any::<u32>()];
    let transfer = (lba, blocks, 0usize..14, any::<u8>()).prop_map(|(lba, blocks, form, flags)| {
        let opcode = [
            0x28, 0x2a, 0xa8, 0xaa, 0x88, 0x8a, 0x2f, 0x08, 0x0a, 0x2e, 0x41, 0x93, 0xaf, 0xbe,
        ][form];
        let mask = match opcode {
            0x2f | 0x2e | 0xaf => 0x16,
            0x41 | 0x93 => 0x09,
            _ => 0x18,
        };
        let mut command = vec![opcode, flags & mask];
        let lba = lba.to_be_bytes();
        let blocks = blocks.to_be_bytes();
        match opcode >> 5 {
            0 => command.extend([lba[6], lba[7], blocks[3], 0]),
            1 => command.extend([lba[4], lba[5], lba[6], lba[7], 0, blocks[2], blocks[3], 0]),
            4 => {
                command.extend(lba);
                command.extend(blocks);
                command.extend([0, 0]);
            }
            _ if opcode == 0xbe => {
                command.extend(&lba[4..]);
                command.extend(&blocks[1..]);
                command.extend([flags & 0x10, 0, 0]);
            }
            _ => {
                command.extend(&lba[4..]);
                command.extend(blocks);
                command.extend([0, 0]);
            }
        }
        command
    });
    let known = prop::sample::select(vec![
        0x00, 0x03, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x23, 0x25, 0x35, 0x42, 0x43, 0x46, 0x4a, 0x51,
        0x52, 0x55, 0x5a, 0x89, 0x91, 0x9e, 0xa0, 0xa3, 0xad, 0xb9, 0xbd,
    ]);
    let other = (
        known,
        prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 15),
    )
        .prop_map(|(opcode, mut rest)| {
            rest.insert(0, opcode);
            rest
        });
    prop_oneof![4 => transfer, 2 => other, 1 => prop::collection::vec(any::<u8>(), 1..=16)]
}

fn act() -> impl Strategy<Value = Act> {
    let length = prop_oneof![
        Just(0u32),
        1u32..600,
        (0u32..10).prop_map(|n| n * 512),
        1u32 << 20..3 << 20,
        any::<u32>()
    ];
    let setup = prop::sample::select(vec![
        [0x21, 0xff, 0, 0, 0, 0, 0, 0],
        [0xa1, 0xfe, 0, 0, 0, 0, 1, 0],
        [2, 1, 0, 0, 0x81, 0, 0, 0],
        [2, 1, 0, 0, 0x02, 0, 0, 0],
        [2, 3, 0, 0, 0x81, 0, 0, 0],
        [0, 9, 1, 0, 0, 0, 0, 0],
        [0, 9, 0, 0, 0, 0, 0, 0],
        [1, 11, 0, 0, 0, 0, 0, 0],
        [0x80, 6, 0, 1, 0, 0, 18, 0],
    ]);
    let in_length = prop_oneof![
        4 => Just(13u32), 3 => 0u32..2000, 3 => Just(120 * 1024), 1 => any::<u32>()
    ];
    let out_length = prop_oneof![Just(31usize), 0usize..2000, Just(4096), Just(120 * 1024)];
    prop_oneof![
        6 => (length, any::<bool>(), 0u8..5, command())
            .prop_map(|(length, input, lun, command)| Act::Wrapper { length, input, lun, command }),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Act::Garbage),
        8 => in_length.prop_map(Act::In),
        6 => out_length.prop_map(Act::Out),
        2 => setup.prop_map(Act::Setup),
        1 => Just(Act::Reset),
        2 => any::<usize>().prop_map(Act::Cancel),
        8 => Just(Act::PollBlock),
        8 => (any::<usize>(), any::<u8>()).prop_map(|(which, how)| Act::Finish(which, how)),
        1 => any::<u64>().prop_map(Act::FinishStale),
    ]
}

struct World {
    device: BotDevice,
    size: u64,
    ids: TransferIds,
    /// Transfers at the device, with the most they may move.
    pending: BTreeMap<TransferId, (Direction, usize)>,
    /// In order, of each direction.
    order: [Vec<TransferId>; 2],
    ops: BTreeMap<BlockToken, BlockOp>,
    /// Tags and expected lengths of the wrappers that were sent.
    seen: Vec<(u32, u32)>,
}

impl World {
    fn new(size: BlockSize, short_in: ShortIn) -> Self {
        let unit = |cached| {
            let options = disk(size, BLOCKS).write_cache(cached);
            LogicalUnit::new(options.discard(cached))
        };
        let read_only = LogicalUnit::new(disk(size, BLOCKS).read_only(true));
        let cd = LogicalUnit::new(UnitOptions::cd(BLOCKS));
        let options = BotOptions::new(Speed::High).short_in(short_in);
        let mut world = Self {
            device: BotDevice::new(options, [unit(true), unit(false), read_only, cd]).unwrap(),
            size: u64::from(size.get()),
            ids: TransferIds::default(),
            pending: BTreeMap::new(),
            order: [Vec::new(), Vec::new()],
            ops: BTreeMap::new(),
            seen: Vec::new(),
        };
        world.act(Act::Setup([0, 9, 1, 0, 0, 0, 0, 0]));
        world
    }

    fn submit(&mut self, transfer: Transfer) {
        let direction = transfer.payload.direction();
        self.pending
            .insert(transfer.id, (direction, transfer.payload.len()));
        if !transfer.endpoint.is_control() {
            self.order[usize::from(direction == Direction::In)].push(transfer.id);
        }
        self.device.submit(transfer);
    }

    fn act(&mut self, act: Act) {
        let mut cancelled = None;
        match act {
            Act::Wrapper {
                length,
                input,
                lun,
                command,
            } => {
                let direction = if input { Direction::In } else { Direction::Out };
                let tag = self.seen.len() as u32;
                self.seen.push((tag, length));
                let id = self.ids.mint();
                let bytes = cbw(tag, length, direction, lun, &command);
                self.submit(Transfer::data_out(id, BULK_OUT, bytes.into()));
            }
            Act::Garbage(bytes) => {
                let id = self.ids.mint();
                self.submit(Transfer::data_out(id, BULK_OUT, bytes.into()));
            }
            Act::Out(length) => {
                let id = self.ids.mint();
                self.submit(Transfer::data_out(id, BULK_OUT, pattern(length).into()));
            }
            Act::In(length) => {
                let id = self.ids.mint();
                self.submit(Transfer::data_in(id, BULK_IN, length));
            }
            Act::Setup(setup) => {
                let id = self.ids.mint();
                self.submit(Transfer::control_in(id, SetupPacket::from_bytes(setup)));
            }
            Act::Reset => {
                self.device.reset();
                self.act(Act::Setup([0, 9, 1, 0, 0, 0, 0, 0]));
            }
            Act::Cancel(which) => {
                let count = self.pending.len().max(1);
                if let Some(id) = self.pending.keys().nth(which % count).copied() {
                    cancelled = Some(id);
                    self.device.cancel(id);
                }
            }
            Act::PollBlock => self.poll_block(),
            Act::Finish(which, how) => {
                let count = self.ops.len().max(1);
                if let Some(token) = self.ops.keys().nth(which % count).copied() {
                    let op = self.ops.remove(&token).unwrap();
                    self.device.finish(token, answer(&op, how));
                }
            }
            Act::FinishStale(number) => {
                let token = BlockToken::from_u64(number);
                if !self.ops.contains_key(&token) {
                    self.device.finish(token, Ok(Segments::new()));
                }
            }
        }
        self.poll();
        if let Some(id) = cancelled {
            assert!(!self.pending.contains_key(&id), "a cancel ends it at once");
        }
    }

    fn poll_block(&mut self) {
        let Some(op) = self.device.poll_block() else {
            return;
        };
        let same_unit = self.ops.values().filter(|other| other.lun() == op.lun());
        assert_eq!(same_unit.count(), 0, "one operation of a unit at a time");
        let lun = op.lun().get();
        let size = if lun == CD { 2048 } else { self.size };
        let (offset, length, limit) = match &op {
            BlockOp::Read { offset, length, .. } => (*offset, u64::from(*length), 1 << 20),
            BlockOp::Write { offset, data, .. } => (*offset, data.len() as u64, 1 << 20),
            BlockOp::Zero { offset, length, .. } => (*offset, *length, MAX_ZERO),
            BlockOp::Flush { .. } => (0, size, size),
        };
        if let BlockOp::Write { .. } | BlockOp::Zero { .. } = op {
            assert!(!matches!(lun, READ_ONLY | CD), "it is read-only");
        }
        assert!(length > 0 && length <= limit, "bounded");
        assert_eq!((offset % size, length % size), (0, 0), "whole blocks");
        assert!(offset + length <= BLOCKS * size, "inside the capacity");
        assert!(
            self.ops.insert(op.token(), op).is_none(),
            "a token of its own"
        );
    }

    fn poll(&mut self) {
        while let Some(event) = self.device.poll() {
            let FunctionEvent::Complete(completion) = event else {
                panic!("{event:?}")
            };
            self.complete(&completion);
        }
    }

    fn complete(&mut self, completion: &Completion) {
        let id = completion.id;
        let (direction, length) = self.pending.remove(&id).expect("completed once");
        match &completion.actual {
            Actual::In(data) => {
                assert_eq!(direction, Direction::In);
                assert!(data.len() <= length, "no more than asked for");
                let bytes = data.to_bytes();
                if bytes.len() == 13 && bytes.starts_with(b"USBS") {
                    let word =
                        |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
                    let residue_is_right = self
                        .seen
                        .iter()
                        .any(|(tag, expected)| *tag == word(4) && word(8) <= *expected);
                    assert!(residue_is_right, "the residue is part of what was expected");
                }
            }
            Actual::Out(taken) => {
                assert_eq!(direction, Direction::Out);
                assert!(*taken as usize <= length);
            }
        }
        let order = &mut self.order[usize::from(direction == Direction::In)];
        if let Some(at) = order.iter().position(|each| *each == id) {
            assert!(
                at == 0 || completion.status == Status::CANCELLED,
                "in order"
            );
            order.remove(at);
        }
    }

    /// After all that, the device works.
    fn recover(&mut self) {
        self.act(Act::Reset);
        self.act(Act::Setup([0x21, 0xff, 0, 0, 0, 0, 0, 0]));
        assert!(self.pending.is_empty(), "a reset completes all");
        while let Some(token) = self.ops.keys().next().copied() {
            self.ops.remove(&token);
            self.device.finish(token, Err(BlockError::Hardware));
        }
        let id = self.ids.mint();
        let wrapper = cbw(77, 0, Direction::In, 0, &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.seen.push((77, 0));
        self.submit(Transfer::data_out(id, BULK_OUT, wrapper.into()));
        let id = self.ids.mint();
        self.submit(Transfer::data_in(id, BULK_IN, 13));
        self.poll();
        assert!(self.pending.contains_key(&id) || self.ops.is_empty());
        self.poll_block();
        while let Some((token, _)) = self.ops.pop_first() {
            self.device.finish(token, Ok(Segments::new()));
        }
        self.poll();
        assert!(self.pending.is_empty());
    }
}

fn answer(op: &BlockOp, how: u8) -> Result<Segments, BlockError> {
    let length = match op {
        BlockOp::Read { length, .. } => *length as usize,
        _ => 0,
    };
    match how {
        0 => Err(BlockError::Hardware),
        1 => Err(BlockError::Medium { offset: u64::MAX }),
        2 => Err(BlockError::NoSpace),
        3 => Ok(Segments::new()),
        4 => Ok(Segments::zeros(length + 1)),
        5 => Ok([
            Bytes::from(vec![1; length / 2]),
            Bytes::from(vec![2; length - length / 2]),
        ]
        .into_iter()
        .collect()),
        _ => Ok(vec![how; length].into()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn invariants_hold_whatever_comes(
        large: bool, stalls: bool, acts in prop::collection::vec(act(), 1..120),
    ) {
        let size = if large { BlockSize::BYTES_4096 } else { BlockSize::BYTES_512 };
        let short_in = if stalls { ShortIn::Stall } else { ShortIn::Pad };
        let mut world = World::new(size, short_in);
        for act in acts {
            world.act(act);
        }
        world.recover();
    }

    /// The unit alone: one phase, one end, and never more data than the phase said.
    #[test]
    fn every_command_has_one_phase_and_one_end(
        is_cd: bool, commands in prop::collection::vec((command(), any::<u8>()), 1..20)
    ) {
        use msc_bot::{Task, UnitEvent};
        let options = if is_cd {
            UnitOptions::cd(BLOCKS)
        } else {
            disk(BlockSize::BYTES_512, BLOCKS).discard(true)
        };
        let mut unit = LogicalUnit::new(options);
        for (number, (command, how)) in commands.into_iter().enumerate() {
            let task = Task(number as u32);
            let mut block = [0; 16];
            block[..command.len()].copy_from_slice(&command);
            unit.start(task, &block);
            let mut phase = None;
            let mut moved = 0;
            let mut end = None;
            while let Some(event) = unit.poll() {
                prop_assert!(end.is_none());
                match event {
                    UnitEvent::Phase(of, direction, length) => {
                        prop_assert_eq!((of, phase), (task, None));
                        prop_assert_eq!(direction.is_some(), length > 0);
                        phase = Some((direction, length));
                        if length > 4 << 20 {
                            unit.abort(task);
                            end = Some(Ok(()));
                        }
                    }
                    UnitEvent::In(_, data) => {
                        prop_assert_eq!(phase.unwrap().0, Some(Direction::In));
                        moved += data.len() as u64;
                    }
                    UnitEvent::WantOut(_, wanted) => {
                        prop_assert_eq!(phase.unwrap().0, Some(Direction::Out));
                        let given = (wanted as usize).min(usize::from(how) * 64 + 1);
                        moved += given as u64;
                        unit.data_out(task, vec![how; given].into());
                    }
                    UnitEvent::Block(op) => {
                        prop_assert!(phase.is_some());
                        unit.finish(op.token(), answer(&op, how));
                    }
                    UnitEvent::Done(_, result) => end = Some(result),
                }
                if let Some((_, length)) = phase {
                    prop_assert!(moved <= length);
                }
            }
            prop_assert!(end.is_some());
            if let (Some(Ok(())), Some((_, length))) = (end, phase) {
                prop_assert!(moved == length || length > 4 << 20);
            }
        }
    }
}
