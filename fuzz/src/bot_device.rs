//! A disk behind Bulk-Only Transport, between a host without manners and a store that finishes
//! late, wrongly or not at all.
//!
//! Invariants: every transfer completes exactly once, those of one endpoint in order, a cancelled
//! one at once; a unit has at most one operation at its store, of whole blocks inside its capacity,
//! and none while one of before a reset is out; a status repeats a tag that was sent with no more
//! residue than was expected; no call takes more than bounded memory; a reset of any kind in any
//! state, once the store has finished, gives a disk that reads back what is written.

use std::collections::BTreeMap;

use bytes::Bytes;
use msc_bot::{
    BlockSize, BlockToken, BotDevice, BotOptions, LogicalUnit, Lun, ShortIn, UnitOptions,
};
use testkit::Decisions;
use usb_descriptors::{Direction, EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, Frame, Function, FunctionEvent, Kind, Segments, Status, Transfer,
    TransferId, TransferIds,
};

use crate::store::{MARK, Store, bounded, is_restart};
use crate::{choices, split};

const BULK_IN: EndpointAddress = EndpointAddress::from_byte(0x81);
const BULK_OUT: EndpointAddress = EndpointAddress::from_byte(0x02);

const BLOCKS: u64 = 96;
/// Of 4096 bytes, as many as two operations of the store and a half.
const MANY_BLOCKS: u64 = 640;
/// The unit that takes no writes.
const READ_ONLY: u8 = 1;
/// The unit that is a drive.
const CD: u8 = 2;
/// More than any transfer has use for.
const LONG: u32 = 1 << 20;

/// Runs the target: choices steer the host and the store; the bytes after them are what the host
/// sends where it sends anything.
pub fn run(input: &[u8]) {
    let (mut decisions, stream) = split(input);
    let plan = decisions.byte();
    let mut run = Run::new(decisions, stream, plan);
    run.configure();
    while !run.decisions.is_empty() {
        run.step();
        run.poll();
    }
    run.recover(plan >> 2);
}

struct Run<'a> {
    decisions: Decisions<'a>,
    stream: &'a [u8],
    device: BotDevice,
    block: u64,
    blocks: u64,
    /// The most that is moved for a command.
    most: u32,
    ids: TransferIds,
    pending: BTreeMap<TransferId, Transfer>,
    /// Bulk transfers that are pending, by `Direction`.
    order: [Vec<TransferId>; 2],
    store: Store,
    /// Bytes that each wrapper expected to move, by tag. Whatever starts like a wrapper is one.
    wrappers: BTreeMap<u32, u32>,
    next_tag: u32,
    /// What the last status that came said.
    status: Option<(u32, u8)>,
    /// What the last read brought, from the first byte on.
    received: Vec<u8>,
    /// What the last request brought.
    answer: Bytes,
}

impl<'a> Run<'a> {
    fn new(decisions: Decisions<'a>, stream: &'a [u8], plan: u8) -> Self {
        let size = match plan & 1 {
            0 => BlockSize::BYTES_512,
            _ => BlockSize::BYTES_4096,
        };
        // Some disks are larger than what a store is asked for at once.
        let (blocks, most) = match plan & 0x1d {
            0x1d => (MANY_BLOCKS, 3 * LONG),
            _ => (BLOCKS, 9 * 4096),
        };
        let short_in = match plan & 2 {
            0 => ShortIn::Pad,
            _ => ShortIn::Stall,
        };
        let options = || {
            UnitOptions::new(size, blocks)
                .vendor("Vendor")
                .product("Product")
                .serial("SERIAL")
        };
        let units = [
            options().discard(true),
            options().read_only(true).write_cache(false),
            UnitOptions::cd(BLOCKS),
        ];
        let device = BotOptions::new(Speed::High).short_in(short_in);
        let device = BotDevice::new(device, units.map(LogicalUnit::new));
        let block = u64::from(size.get());
        Self {
            decisions,
            stream,
            device: device.expect("a device of three units"),
            block,
            blocks,
            most,
            ids: TransferIds::default(),
            pending: BTreeMap::new(),
            order: [Vec::new(), Vec::new()],
            store: Store::new(2, blocks, block, Lun::new(READ_ONLY)).and_cd(BLOCKS),
            wrappers: BTreeMap::new(),
            next_tag: 0,
            status: None,
            received: Vec::new(),
            answer: Bytes::new(),
        }
    }

    fn step(&mut self) {
        match self.decisions.below(20) {
            0..=3 => self.transfer_blocks(),
            4 => self.other_command(),
            5 => {
                let count = self.decisions.below(40);
                let (said, rest) = self.stream.split_at(count.min(self.stream.len()));
                self.stream = rest;
                self.out(Bytes::copy_from_slice(said));
            }
            6..=8 => {
                let (id, length) = (self.ids.mint(), self.length());
                self.submit(Transfer::data_in(id, BULK_IN, length));
            }
            9 | 10 => {
                let length = self.length().min(LONG);
                let fill = self.decisions.byte();
                self.out(vec![fill; length as usize].into());
            }
            11 => {
                let setup = choices::setup(&mut self.decisions);
                self.control(setup);
            }
            12 => {
                let at = self.decisions.below(self.pending.len());
                if let Some(id) = self.pending.keys().nth(at).copied() {
                    self.device.cancel(id);
                    self.poll();
                    assert!(
                        !self.pending.contains_key(&id),
                        "a cancelled transfer ends at once"
                    );
                }
                self.device.cancel(TransferId::from_u64(u64::MAX));
            }
            13..=15 => self.finish_one(),
            16 => {
                // Never handed out, or finished before.
                let token = BlockToken::from_u64(u64::from(choices::word(&mut self.decisions)));
                if !self.store.holds(token) {
                    self.device.finish(token, Ok(Segments::zeros(512)));
                }
            }
            17 => match self.decisions.below(5) {
                4 => self.change_medium(),
                0 => self.reset(),
                1 => self.bulk_only_reset(),
                2 => {
                    let id = self.ids.mint();
                    let transfer = choices::transfer(&mut self.decisions, id, LONG);
                    self.submit(transfer);
                }
                _ => self
                    .device
                    .start_of_frame(Frame(u64::from(self.decisions.byte()))),
            },
            _ => self.poll_block(),
        }
    }

    /// The embedder does something with a medium. Each is as large as the first, or smaller.
    fn change_medium(&mut self) {
        let lun = Lun::new(self.decisions.byte() % 4).expect("below 16");
        let most = if lun.get() == CD { BLOCKS } else { self.blocks };
        let blocks = self.decisions.below(most as usize + 1) as u64;
        match self.decisions.below(4) {
            0 => self.device.insert(lun, blocks, lun.get() == READ_ONLY),
            1 => self.device.remove(lun),
            2 => self.device.resize(lun, blocks),
            _ if lun.get() == READ_ONLY => {}
            _ => {
                let read_only = self.decisions.chance();
                self.device.write_protect(lun, read_only);
            }
        }
        self.poll();
        let events = std::iter::from_fn(|| self.device.poll_medium()).count();
        assert!(events <= 6, "two of each unit");
    }

    /// A length as hosts have it: a status, a few blocks, or anything.
    fn length(&mut self) -> u32 {
        let blocks = self.decisions.below(12) as u32 * self.block as u32;
        match self.decisions.below(8) {
            0..=2 => 13,
            3..=5 => blocks,
            6 => self.decisions.below(2000) as u32,
            _ => choices::word(&mut self.decisions),
        }
    }

    fn submit(&mut self, transfer: Transfer) {
        if !transfer.endpoint.is_control() {
            self.order[index(transfer.payload.direction())].push(transfer.id);
        }
        self.pending.insert(transfer.id, transfer.clone());
        bounded(|| self.device.submit(transfer));
    }

    fn out(&mut self, data: Bytes) {
        if let (Some(tag), Some(expected)) = (word(&data, 4), word(&data, 8)) {
            if data.starts_with(b"USBC") {
                let known = self.wrappers.entry(tag).or_default();
                *known = expected.max(*known);
            }
        }
        let transfer = Transfer::data_out(self.ids.mint(), BULK_OUT, data);
        self.submit(transfer);
    }

    fn control(&mut self, setup: SetupPacket) {
        let id = self.ids.mint();
        let transfer = match setup.data_direction() {
            Direction::In => Transfer::control_in(id, setup),
            Direction::Out => Transfer::control_out(id, setup, vec![0; setup.length.into()].into()),
        };
        self.submit(transfer);
    }

    fn configure(&mut self) {
        self.control(SetupPacket::set_configuration(1));
        self.poll();
        let endpoints = self.order.iter().all(Vec::is_empty);
        assert!(
            endpoints,
            "a new configuration completes what it stops first"
        );
    }

    fn wrapper(&mut self, lun: u8, expected: u32, direction: Direction, command: &[u8]) {
        let mut bytes = b"USBC".to_vec();
        self.next_tag += 1;
        bytes.extend(self.next_tag.to_le_bytes());
        bytes.extend(expected.to_le_bytes());
        bytes.extend([direction.bit_7(), lun, command.len() as u8]);
        bytes.extend(command);
        bytes.resize(31, 0);
        self.out(bytes.into());
    }

    /// A read or a write with its data and its status, mostly as it should be.
    fn transfer_blocks(&mut self) {
        let decisions = &mut self.decisions;
        let lun = if choices::rarely(decisions, 8) {
            decisions.byte() % 16
        } else {
            0
        };
        let is_read = decisions.chance();
        let (mut lba, mut count) = (
            decisions.below(self.blocks as usize) as u64,
            decisions.below(9) as u32,
        );
        if self.blocks == MANY_BLOCKS && decisions.below(4) == 3 {
            (lba, count) = (lba % 64, 240 + decisions.below(300) as u32);
        }
        if choices::rarely(decisions, 16) {
            lba = u64::from(choices::word(decisions)) << decisions.below(33);
            count = choices::word(decisions);
        }
        let mut command;
        if decisions.below(4) < 3 {
            command = vec![if is_read { 0x28 } else { 0x2a }, 0];
            command.extend((lba as u32).to_be_bytes());
            command.push(0);
            command.extend((count as u16).to_be_bytes());
            command.push(0);
        } else {
            command = vec![if is_read { 0x88 } else { 0x8a }, 0];
            command.extend(lba.to_be_bytes());
            command.extend(count.to_be_bytes());
            command.extend([0, 0]);
        }
        // FUA, or what stands there in the way of nothing.
        if choices::rarely(decisions, 8) {
            command[1] = decisions.byte();
        }
        let mut expected = u64::from(count)
            .saturating_mul(self.block)
            .min(u64::from(u32::MAX)) as u32;
        let mut direction = if is_read {
            Direction::In
        } else {
            Direction::Out
        };
        if choices::rarely(&mut self.decisions, 8) {
            expected = self.length();
        }
        if choices::rarely(&mut self.decisions, 16) {
            direction = if is_read {
                Direction::Out
            } else {
                Direction::In
            };
        }
        self.wrapper(lun, expected, direction, &command);
        self.data_and_status(expected, direction);
    }

    fn data_and_status(&mut self, expected: u32, direction: Direction) {
        let pieces = 1 + self.decisions.below(3) as u32;
        for piece in 0..pieces {
            let length = expected.min(self.most) / pieces;
            if length == 0 {
                break;
            }
            match direction {
                Direction::In => {
                    let id = self.ids.mint();
                    self.submit(Transfer::data_in(id, BULK_IN, length));
                }
                Direction::Out => {
                    let fill = self.next_tag.wrapping_add(piece) as u8;
                    self.out(vec![fill; length as usize].into());
                }
            }
        }
        if self.decisions.below(8) < 7 {
            let id = self.ids.mint();
            self.submit(Transfer::data_in(id, BULK_IN, 13));
        }
    }

    fn other_command(&mut self) {
        const OPCODES: [u8; 35] = [
            0x00, 0x03, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x23, 0x25, 0x2e, 0x2f, 0x34, 0x35, 0x41,
            0x42, 0x43, 0x46, 0x4a, 0x51, 0x52, 0x55, 0x5a, 0x89, 0x8e, 0x8f, 0x91, 0x93, 0x9e,
            0xa0, 0xa3, 0xad, 0xaf, 0xb9, 0xbd, 0xbe,
        ];
        let count = 1 + self.decisions.below(16);
        let mut command = vec![0; count];
        let taken = self.decisions.take(count);
        command[..taken.len()].copy_from_slice(taken);
        if self.decisions.below(4) > 0 {
            command[0] = OPCODES[self.decisions.below(OPCODES.len())];
            // All that is asked for may be given.
            command[count / 2..].fill(0);
        }
        let lun = self.decisions.byte() % 5;
        let expected = self.length();
        let direction = if self.decisions.chance() {
            Direction::Out
        } else {
            Direction::In
        };
        self.wrapper(lun, expected, direction, &command);
        self.data_and_status(expected, direction);
    }

    fn reset(&mut self) {
        self.device.reset();
        self.store.reset();
        self.poll();
        assert!(self.pending.is_empty(), "a reset completes all");
        if self.decisions.below(4) < 3 {
            self.configure();
        }
    }

    fn bulk_only_reset(&mut self) {
        self.control(SetupPacket::from_bytes([0x21, 0xff, 0, 0, 0, 0, 0, 0]));
        self.control(SetupPacket::clear_halt(BULK_IN));
        self.control(SetupPacket::clear_halt(BULK_OUT));
    }

    fn poll_block(&mut self) {
        let Some(operation) = self.device.poll_block() else {
            return;
        };
        let others = self.store.outstanding(Some(operation.lun()));
        assert_eq!(others, 0, "one operation of a unit at a time");
        self.store.take(operation);
    }

    fn finish_one(&mut self) {
        if let Some((token, result)) = self.store.finish_one(&mut self.decisions) {
            bounded(|| self.device.finish(token, result));
        }
    }

    fn poll(&mut self) {
        while let Some(event) = self.device.poll() {
            let FunctionEvent::Complete(completion) = event else {
                panic!("a disk in memory does not leave");
            };
            self.completed(&completion);
        }
        let _ = self.device.next_frame();
    }

    fn completed(&mut self, completion: &Completion) {
        let transfer = self.pending.remove(&completion.id);
        let transfer = transfer.expect("completed once, and only what was submitted");
        if is_restart(&transfer, completion) {
            self.store.reset();
        }
        let asked = transfer.payload.len();
        let direction = transfer.payload.direction();
        assert!(completion.actual.len() <= asked || !transfer.is_consistent());
        match &completion.actual {
            Actual::In(data) if transfer.endpoint == BULK_IN => {
                assert_eq!(direction, Direction::In);
                self.received(data);
            }
            Actual::In(data) if transfer.endpoint.is_control() => self.answer = data.to_bytes(),
            Actual::Out(_) if transfer.endpoint == BULK_OUT => {
                assert_eq!(direction, Direction::Out);
            }
            _ => {}
        }
        if matches!(transfer.kind, Kind::Isochronous(_)) {
            assert_eq!(completion.status, Status::STALL);
        }
        let is_known = transfer.endpoint == BULK_IN || transfer.endpoint == BULK_OUT;
        let is_bulk = matches!(transfer.kind, Kind::Data { stream: None });
        let order = &mut self.order[index(direction)];
        if let Some(at) = order.iter().position(|id| *id == completion.id) {
            let may_overtake = completion.status == Status::CANCELLED
                || completion.status == Status::STALL && !(is_known && is_bulk);
            let is_first = order[..at].iter().all(|id| {
                let other = &self.pending[id];
                other.endpoint != transfer.endpoint
            });
            assert!(may_overtake || is_first, "in order");
            order.remove(at);
        }
    }

    fn received(&mut self, data: &Segments) {
        let bytes = data.to_bytes();
        if bytes.len() == 13 && bytes.starts_with(b"USBS") {
            let (tag, residue) = (word(&bytes, 4), word(&bytes, 8));
            let expected = tag.and_then(|tag| self.wrappers.get(&tag));
            assert!(residue.as_ref() <= Some(expected.expect("a tag that was sent")));
            assert!(bytes[12] <= 2, "a status that there is");
            self.status = tag.map(|tag| (tag, bytes[12]));
        } else {
            self.received.extend_from_slice(&bytes);
        }
    }

    /// Whatever was before: after a reset the disk works.
    fn recover(&mut self, way: u8) {
        // GET_CONFIGURATION.
        self.control(SetupPacket::from_bytes([0x80, 8, 0, 0, 0, 0, 1, 0]));
        self.poll();
        let is_configured = self.answer[..] == [1];
        match way & 3 {
            1 | 2 if is_configured => self.bulk_only_reset(),
            3 => self.configure(),
            _ => {
                self.device.reset();
                self.configure();
            }
        }
        self.poll();
        assert!(self.pending.is_empty(), "a reset completes all");
        self.store.reset();
        while self.store.outstanding(None) > 0 {
            self.finish_one();
        }
        self.device.insert(Lun::ZERO, self.blocks, false);
        // What the unit has to tell: the last sense, and each kind of unit attention once.
        for _ in 0..6 {
            self.command(Direction::In, &[0x03, 0, 0, 0, 18, 0], 18);
        }
        // Ejected media come back with START UNIT.
        self.command(Direction::Out, &[0x1b, 0, 0, 0, 3, 0], 0);
        assert_eq!(
            self.status.take(),
            Some((self.next_tag, 0)),
            "a command passes"
        );
        let block = self.block as u32;
        self.command(Direction::Out, &[0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0], block);
        assert_eq!(
            self.status.take(),
            Some((self.next_tag, 0)),
            "a write passes"
        );
        let written = vec![self.next_tag as u8 | MARK; block as usize];
        self.received.clear();
        self.command(Direction::In, &[0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0], block);
        assert_eq!(
            self.status.take(),
            Some((self.next_tag, 0)),
            "a read passes"
        );
        assert!(self.received == written, "and brings what was written");
        assert!(self.pending.is_empty() && self.store.outstanding(None) == 0);
    }

    /// A command with a store that serves at once.
    fn command(&mut self, direction: Direction, command: &[u8], expected: u32) {
        self.wrapper(0, expected, direction, command);
        match direction {
            _ if expected == 0 => {}
            Direction::In => {
                let id = self.ids.mint();
                self.submit(Transfer::data_in(id, BULK_IN, expected));
            }
            Direction::Out => self.out(vec![self.next_tag as u8; expected as usize].into()),
        }
        let id = self.ids.mint();
        self.submit(Transfer::data_in(id, BULK_IN, 13));
        self.poll_block();
        while let Some((token, result)) = self.store.serve_first() {
            bounded(|| self.device.finish(token, result));
            self.poll_block();
        }
        self.poll();
    }
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Out => 0,
        Direction::In => 1,
    }
}

/// A little-endian word of a wrapper.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}
