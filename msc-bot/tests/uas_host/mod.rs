//! The host: transfers by hand, at either speed, and stores in memory.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::LazyLock;

use bytes::Bytes;
use msc_bot::{BlockOp, BlockSize, BotOptions, LogicalUnit, Lun, UasDevice};
use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, Function, FunctionEvent, Kind, Status, StreamId, Transfer, TransferId,
    TransferIds,
};

use crate::bench::{Store, disk, pattern};

pub const COMMAND: EndpointAddress = EndpointAddress::from_byte(0x04);
pub const STATUS: EndpointAddress = EndpointAddress::from_byte(0x83);
pub const DATA_IN: EndpointAddress = EndpointAddress::from_byte(0x81);
pub const DATA_OUT: EndpointAddress = EndpointAddress::from_byte(0x02);

pub const SENSE: u8 = 3;
pub const RESPONSE: u8 = 4;
pub const READ_READY: u8 = 6;
pub const WRITE_READY: u8 = 7;

/// Task attributes.
pub const SIMPLE: u8 = 0;
pub const HEAD_OF_QUEUE: u8 = 1;
pub const ORDERED: u8 = 2;
pub const ACA: u8 = 4;

/// Task management functions.
pub const ABORT_TASK: u8 = 0x01;
pub const ABORT_TASK_SET: u8 = 0x02;
pub const CLEAR_TASK_SET: u8 = 0x04;
pub const LOGICAL_UNIT_RESET: u8 = 0x08;
pub const NEXUS_RESET: u8 = 0x10;
pub const QUERY_TASK: u8 = 0x80;
pub const QUERY_TASK_SET: u8 = 0x81;

const BLOCKS: u64 = 8192;
static DISK: LazyLock<Vec<u8>> = LazyLock::new(|| pattern(BLOCKS as usize * 512));

pub struct Host {
    pub device: UasDevice,
    pub store: Store,
    /// Of the second unit.
    pub other: Store,
    pub ids: TransferIds,
    pub done: BTreeMap<TransferId, Completion>,
    pub serving: bool,
    pub streams: bool,
}

impl Host {
    pub fn new(speed: Speed) -> Self {
        let blocks = BLOCKS;
        let unit = LogicalUnit::new(disk(BlockSize::BYTES_512, blocks).discard(true));
        let other = LogicalUnit::new(disk(BlockSize::BYTES_512, blocks));
        let mut host = Self {
            device: UasDevice::new(BotOptions::new(speed), [unit, other]).unwrap(),
            store: Store::new(DISK.clone()),
            other: Store::new(vec![0xee; blocks as usize * 512]),
            ids: TransferIds::default(),
            done: BTreeMap::new(),
            serving: true,
            streams: speed.is_super(),
        };
        host.control(SetupPacket::set_configuration(1));
        host.control(SetupPacket::set_interface(0, 1));
        host
    }

    pub fn run(&mut self) {
        loop {
            if self.serving {
                while let Some(op) = self.device.poll_block() {
                    self.serve(&op);
                }
            }
            let Some(event) = self.device.poll() else {
                break;
            };
            let FunctionEvent::Complete(completion) = event else {
                panic!("{event:?}")
            };
            assert!(self.done.insert(completion.id, completion).is_none());
        }
    }

    pub fn serve(&mut self, op: &BlockOp) {
        let store = match op.lun() {
            Lun::ZERO => &mut self.store,
            _ => &mut self.other,
        };
        let result = store.serve(op);
        self.device.finish(op.token(), result);
    }

    pub fn control(&mut self, setup: SetupPacket) {
        let id = self.submit(|id| Transfer::control_in(id, setup));
        assert_eq!(self.done.remove(&id).unwrap().status, Status::COMPLETED);
    }

    pub fn submit(&mut self, make: impl FnOnce(TransferId) -> Transfer) -> TransferId {
        let transfer = make(self.ids.mint());
        let id = transfer.id;
        self.device.submit(transfer);
        self.run();
        id
    }

    /// On the stream of a tag, where there are streams.
    pub fn on_stream(&self, mut transfer: Transfer, tag: u16) -> Transfer {
        if self.streams {
            let stream = Some(StreamId(NonZeroU16::new(tag).unwrap()));
            transfer.kind = Kind::Data { stream };
        }
        transfer
    }

    pub fn ask_status(&mut self, tag: u16) -> TransferId {
        let id = self.ids.mint();
        let transfer = self.on_stream(Transfer::data_in(id, STATUS, 112), tag);
        self.submit(|_| transfer)
    }

    pub fn ask_data(&mut self, tag: u16, length: u32) -> TransferId {
        let id = self.ids.mint();
        let transfer = self.on_stream(Transfer::data_in(id, DATA_IN, length), tag);
        self.submit(|_| transfer)
    }

    pub fn give_data(&mut self, tag: u16, data: &[u8]) -> TransferId {
        let id = self.ids.mint();
        let data = Bytes::copy_from_slice(data);
        let transfer = self.on_stream(Transfer::data_out(id, DATA_OUT, data), tag);
        self.submit(|_| transfer)
    }

    pub fn command(&mut self, tag: u16, lun: u8, command: &[u8]) {
        self.command_with(SIMPLE, tag, lun, command);
    }

    /// With a task attribute.
    pub fn command_with(&mut self, attribute: u8, tag: u16, lun: u8, command: &[u8]) {
        let mut unit = vec![1, 0];
        unit.extend(tag.to_be_bytes());
        unit.extend([attribute, 0, 0, 0, 0, lun, 0, 0, 0, 0, 0, 0]);
        unit.extend(command);
        unit.resize(32, 0);
        self.say(unit);
    }

    pub fn manage(&mut self, tag: u16, function: u8, task: u16) {
        self.manage_at(0, tag, function, task);
    }

    /// Of a unit.
    pub fn manage_at(&mut self, lun: u8, tag: u16, function: u8, task: u16) {
        let mut unit = vec![5, 0];
        unit.extend(tag.to_be_bytes());
        unit.extend([function, 0]);
        unit.extend(task.to_be_bytes());
        unit.extend([0, lun]);
        unit.resize(16, 0);
        self.say(unit);
    }

    pub fn say(&mut self, unit: Vec<u8>) {
        let id = self.submit(|id| Transfer::data_out(id, COMMAND, unit.into()));
        assert_eq!(self.done.remove(&id).unwrap().status, Status::COMPLETED);
    }

    #[track_caller]
    pub fn data(&mut self, id: TransferId) -> Bytes {
        let done = self.done.remove(&id).expect("it is complete");
        assert_eq!(done.status, Status::COMPLETED);
        match done.actual {
            Actual::In(data) => data.to_bytes(),
            Actual::Out(count) => Bytes::from(vec![0; count as usize]),
        }
    }

    /// Identifier and tag of the next unit, and what it says: status, or response.
    #[track_caller]
    pub fn report(&mut self, tag: u16) -> (u8, u16, u8) {
        let id = self.ask_status(tag);
        let unit = self.data(id);
        let says = match unit[0] {
            SENSE => unit[6],
            RESPONSE => unit[7],
            _ => 0,
        };
        (unit[0], u16::from_be_bytes([unit[2], unit[3]]), says)
    }

    #[track_caller]
    pub fn sense(&mut self, tag: u16) -> (u8, u8, u8) {
        let id = self.ask_status(tag);
        let unit = self.data(id);
        assert_eq!((unit[0], unit[6], unit[15]), (SENSE, 2, 18));
        (unit[18], unit[28], unit[29])
    }

    /// Its status, if it is complete.
    pub fn status_of(&self, id: TransferId) -> Option<Status> {
        self.done.get(&id).map(|done| done.status)
    }

    /// All operations that the device has for its store.
    pub fn ops(&mut self) -> Vec<BlockOp> {
        std::iter::from_fn(|| self.device.poll_block()).collect()
    }

    #[track_caller]
    pub fn assert_quiet(&mut self) {
        assert!(self.done.is_empty(), "{:?}", self.done);
        let id = self.ask_status(1);
        assert!(self.done.is_empty());
        self.device.cancel(id);
        self.run();
        let done = self.done.remove(&id).unwrap();
        assert_eq!(done.status, Status::CANCELLED);
    }
}
