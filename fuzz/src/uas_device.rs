//! A disk behind USB Attached SCSI, between a host without manners and a store that finishes late,
//! wrongly, out of order or not at all; or before a host that keeps the rules, and so can tell whose
//! data is whose (`uas_orderly`).
//!
//! Invariants of the first: every transfer completes exactly once, a cancelled one at once; no more operations
//! are at the store than there are tags, each of whole blocks inside the capacity, and none while
//! one of before a reset is out; no call takes more than bounded memory; a reset in any state, once
//! the store has finished, gives a disk that reads back what is written.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use bytes::Bytes;
use msc_bot::{BlockError, BlockSize, BotOptions, LogicalUnit, Lun, UasDevice, UnitOptions};
use testkit::Decisions;
use usb_descriptors::{Direction, EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, Function, FunctionEvent, Kind, Status, StreamId, Transfer, TransferId,
    TransferIds,
};

use crate::store::{MARK, Store, bounded, is_restart};
use crate::{choices, split, uas_orderly};

pub(crate) const COMMAND: EndpointAddress = EndpointAddress::from_byte(0x04);
pub(crate) const STATUS: EndpointAddress = EndpointAddress::from_byte(0x83);
pub(crate) const DATA_IN: EndpointAddress = EndpointAddress::from_byte(0x81);
pub(crate) const DATA_OUT: EndpointAddress = EndpointAddress::from_byte(0x02);

const BLOCKS: u64 = 96;
const BLOCK: u64 = 512;
/// Tags in use at once.
const TASKS: usize = 32;

/// Runs the target: choices steer the host and the store; the bytes after them are what the host
/// says where it says anything.
pub fn run(input: &[u8]) {
    let (mut decisions, stream) = split(input);
    let speed = if decisions.chance() {
        Speed::Super
    } else {
        Speed::High
    };
    if decisions.chance() {
        return uas_orderly::run(decisions, speed);
    }
    let mut run = Run::new(decisions, stream, speed);
    run.configure();
    while !run.decisions.is_empty() {
        run.step();
        run.poll();
    }
    run.recover();
}

struct Run<'a> {
    decisions: Decisions<'a>,
    stream: &'a [u8],
    device: UasDevice,
    has_streams: bool,
    ids: TransferIds,
    pending: BTreeMap<TransferId, Transfer>,
    store: Store,
    /// What came last on the pipes that bring something.
    status: Option<Bytes>,
    data: Option<Bytes>,
}

impl<'a> Run<'a> {
    fn new(decisions: Decisions<'a>, stream: &'a [u8], speed: Speed) -> Self {
        let unit =
            || LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, BLOCKS).discard(true));
        let device = UasDevice::new(BotOptions::new(speed), [unit(), unit()]);
        Self {
            decisions,
            stream,
            device: device.expect("a device of two units"),
            has_streams: speed.is_super(),
            ids: TransferIds::default(),
            pending: BTreeMap::new(),
            store: Store::new(2, BLOCKS, BLOCK, None),
            status: None,
            data: None,
        }
    }

    fn step(&mut self) {
        let tag = self.decisions.byte() % 40;
        let tag = u16::from(tag);
        match self.decisions.below(20) {
            0..=3 => self.transfer_blocks(tag),
            4 => self.other_command(tag),
            5 => {
                let count = self.decisions.below(40).min(self.stream.len());
                let (said, rest) = self.stream.split_at(count);
                self.stream = rest;
                self.out(COMMAND, 0, Bytes::copy_from_slice(said));
            }
            6..=8 => {
                let length = [112, 16, 3][self.decisions.below(3)];
                self.ask(STATUS, tag, length);
            }
            9 | 10 => {
                let length = self.length();
                self.ask(DATA_IN, tag, length);
            }
            11 | 12 => {
                let length = self.length().min(1 << 20);
                let data = vec![tag as u8; length as usize];
                self.out(DATA_OUT, tag, data.into());
            }
            13 => match self.decisions.below(6) {
                0 => {
                    let setup = choices::setup(&mut self.decisions);
                    self.control(setup);
                }
                1 => self.control(SetupPacket::set_interface(0, 1)),
                2 => self.change_medium(),
                3 => {
                    let id = self.ids.mint();
                    let transfer = choices::transfer(&mut self.decisions, id, 1 << 20);
                    self.submit(transfer);
                }
                4 => {
                    self.device.reset();
                    self.poll();
                    assert!(self.pending.is_empty(), "a reset completes all");
                    self.configure();
                }
                _ => self.manage(tag),
            },
            14 => {
                let at = self.decisions.below(self.pending.len());
                if let Some(id) = self.pending.keys().nth(at).copied() {
                    self.device.cancel(id);
                    self.poll();
                    let is_over = !self.pending.contains_key(&id);
                    assert!(is_over, "a cancelled transfer ends at once");
                }
            }
            15..=17 => self.finish_one(),
            _ => self.poll_block(),
        }
    }

    fn length(&mut self) -> u32 {
        match self.decisions.below(8) {
            0..=5 => self.decisions.below(12) as u32 * BLOCK as u32,
            6 => self.decisions.below(2000) as u32,
            _ => choices::word(&mut self.decisions),
        }
    }

    fn submit(&mut self, transfer: Transfer) {
        self.pending.insert(transfer.id, transfer.clone());
        bounded(|| self.device.submit(transfer));
    }

    /// On the stream of a tag, where the pipe has streams.
    fn on_stream(&self, mut transfer: Transfer, tag: u16) -> Transfer {
        let stream = NonZeroU16::new(tag).map(StreamId);
        if self.has_streams && transfer.endpoint != COMMAND {
            transfer.kind = Kind::Data { stream };
        }
        transfer
    }

    fn ask(&mut self, endpoint: EndpointAddress, tag: u16, length: u32) {
        let transfer = Transfer::data_in(self.ids.mint(), endpoint, length);
        let transfer = self.on_stream(transfer, tag);
        self.submit(transfer);
    }

    fn out(&mut self, endpoint: EndpointAddress, tag: u16, data: Bytes) {
        let transfer = Transfer::data_out(self.ids.mint(), endpoint, data);
        let transfer = self.on_stream(transfer, tag);
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
        self.control(SetupPacket::set_interface(0, 1));
        self.poll();
        assert!(self.pending.is_empty(), "a setting completes what it stops");
    }

    fn command(&mut self, tag: u16, lun: u8, command: &[u8]) {
        let mut unit = vec![1, 0];
        unit.extend(tag.to_be_bytes());
        unit.extend([0; 5]);
        unit.push(lun);
        unit.resize(16, 0);
        unit.extend(command);
        unit.resize(32, 0);
        self.out(COMMAND, 0, unit.into());
    }

    fn transfer_blocks(&mut self, tag: u16) {
        let is_read = self.decisions.chance();
        let lba = self.decisions.below(BLOCKS as usize + 2) as u8;
        let count = self.decisions.below(9) as u8;
        let opcode = if is_read { 0x28 } else { 0x2a };
        let lun = u8::from(choices::rarely(&mut self.decisions, 4));
        self.command(tag, lun, &[opcode, 0, 0, 0, 0, lba, 0, 0, count, 0]);
        if self.decisions.below(4) > 0 {
            let length = u32::from(count) * BLOCK as u32;
            if is_read {
                self.ask(DATA_IN, tag, length);
            } else {
                self.out(DATA_OUT, tag, vec![tag as u8; length as usize].into());
            }
            self.ask(STATUS, tag, 112);
        }
    }

    fn other_command(&mut self, tag: u16) {
        let count = 16;
        let mut command = vec![0; count];
        let taken = self.decisions.take(count);
        command[..taken.len()].copy_from_slice(taken);
        let opcodes = [
            0x12, 0x1a, 0x1b, 0x2f, 0x35, 0x41, 0x42, 0x55, 0x89, 0x8e, 0x93, 0xa0,
        ];
        if self.decisions.below(4) > 0 {
            command[0] = opcodes[self.decisions.below(opcodes.len())];
            command[count / 2..].fill(0);
        }
        let lun = self.decisions.byte() % 3;
        self.command(tag, lun, &command);
    }

    fn manage(&mut self, tag: u16) {
        let functions = [0x01, 0x02, 0x04, 0x08, 0x10, 0x80, 0x81, 0x33];
        let function = functions[self.decisions.below(functions.len())];
        let task = self.decisions.byte() % 40;
        let mut unit = vec![5, 0];
        unit.extend(tag.to_be_bytes());
        unit.extend([function, 0, 0, task]);
        unit.resize(16, 0);
        self.out(COMMAND, 0, unit.into());
    }

    fn change_medium(&mut self) {
        let blocks = self.decisions.below(BLOCKS as usize + 1) as u64;
        let lun = Lun::new(self.decisions.byte() % 3).expect("below 16");
        match self.decisions.below(4) {
            0 => self.device.insert(lun, blocks, false),
            1 => self.device.remove(lun),
            2 => self.device.resize(lun, blocks),
            _ => self.device.write_protect(lun, blocks % 2 == 0),
        }
        while self.device.poll_medium().is_some() {}
    }

    fn poll_block(&mut self) {
        if let Some(operation) = self.device.poll_block() {
            self.store.take(operation);
            let count = self.store.outstanding(None);
            assert!(count <= TASKS, "one for each command");
        }
    }

    fn finish_one(&mut self) {
        if let Some((token, result)) = self.store.finish_one(&mut self.decisions) {
            bounded(|| self.device.finish(token, result));
            // Once more: it is not out any longer.
            self.device.finish(token, Err(BlockError::Hardware));
        }
    }

    fn poll(&mut self) {
        while let Some(event) = self.device.poll() {
            let FunctionEvent::Complete(completion) = event else {
                panic!("a disk in memory does not leave");
            };
            self.completed(&completion);
        }
    }

    fn completed(&mut self, completion: &Completion) {
        let transfer = self.pending.remove(&completion.id);
        let transfer = transfer.expect("completed once, and only what was submitted");
        if is_restart(&transfer, completion) {
            self.store.reset();
        }
        assert!(completion.actual.len() <= transfer.payload.len() || !transfer.is_consistent());
        if let (Status::COMPLETED, Actual::In(data)) = (completion.status, &completion.actual) {
            match transfer.endpoint {
                STATUS => self.status = Some(data.to_bytes()),
                DATA_IN => self.data = Some(data.to_bytes()),
                _ => {}
            }
        }
    }

    /// Whatever was before: after a reset the disk works.
    fn recover(&mut self) {
        self.device.reset();
        self.poll();
        assert!(self.pending.is_empty(), "a reset completes all");
        self.configure();
        while self.store.outstanding(None) > 0 {
            self.finish_one();
        }
        self.device.insert(Lun::ZERO, BLOCKS, false);
        self.device.write_protect(Lun::ZERO, false);
        // Each kind of unit attention once.
        for _ in 0..5 {
            self.whole(&[0; 6], None, 0);
        }
        let content = vec![0x5a | MARK; 1024];
        let write = self.whole(&[0x2a, 0, 0, 0, 0, 5, 0, 0, 2, 0], Some(content.clone()), 0);
        assert_eq!(write, Some(0), "a write passes");
        let read = self.whole(&[0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0], None, 1024);
        assert_eq!(read, Some(0), "a read passes");
        assert!(
            self.data.as_deref() == Some(&content[..]),
            "and brings what was written"
        );
        assert!(self.pending.is_empty() && self.store.outstanding(None) == 0);
    }

    /// A command with all that belongs to it: its status.
    fn whole(&mut self, command: &[u8], data: Option<Vec<u8>>, length: u32) -> Option<u8> {
        self.command(7, 0, command);
        self.settle();
        if !self.has_streams && (data.is_some() || length > 0) {
            self.ask(STATUS, 7, 112);
            self.settle();
            let ready = self.status.take()?;
            assert!(matches!(ready[0], 6 | 7), "the host is told to move data");
        }
        match data {
            Some(data) => self.out(DATA_OUT, 7, data.into()),
            None if length > 0 => self.ask(DATA_IN, 7, length),
            None => {}
        }
        self.settle();
        self.ask(STATUS, 7, 112);
        self.settle();
        let unit = self.status.take()?;
        assert_eq!((unit[0], unit[3]), (3, 7), "a sense of this command");
        Some(unit[6])
    }

    fn settle(&mut self) {
        loop {
            self.poll_block();
            let Some((token, result)) = self.store.serve_first() else {
                break;
            };
            bounded(|| self.device.finish(token, result));
        }
        self.poll();
    }
}
