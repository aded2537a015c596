//! A host that speaks to a `BotDevice` transfer by transfer, and stores in memory.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::collections::BTreeMap;

use bytes::Bytes;
use msc_bot::{
    BlockError, BlockOp, BlockSize, BotDevice, BotOptions, Initiator, LogicalUnit, ScsiError,
    ShortIn, Ticket, UnitOptions,
};
use usb_descriptors::{Direction, EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, Function, FunctionEvent, Segments, Status, Transfer, TransferId,
    TransferIds, exchange,
};

pub const BULK_IN: EndpointAddress = EndpointAddress::from_byte(0x81);
pub const BULK_OUT: EndpointAddress = EndpointAddress::from_byte(0x02);

/// Bytes that differ from block to block.
pub fn pattern(length: usize) -> Vec<u8> {
    let word = |at: usize| (at as u32).wrapping_mul(0x9e37_79b9).to_le_bytes();
    (0..length.div_ceil(4))
        .flat_map(word)
        .take(length)
        .collect()
}

/// Storage in memory, one per unit.
pub struct Store {
    pub disk: Vec<u8>,
    pub flushes: usize,
    pub durable_writes: usize,
    pub ops: usize,
    /// What the next operations fail with, other than flushes.
    pub failures: Vec<BlockError>,
}

impl Store {
    pub fn new(disk: Vec<u8>) -> Self {
        Self {
            disk,
            flushes: 0,
            durable_writes: 0,
            ops: 0,
            failures: Vec::new(),
        }
    }

    pub fn serve(&mut self, op: &BlockOp) -> Result<Segments, BlockError> {
        self.ops += 1;
        if !matches!(op, BlockOp::Flush { .. }) {
            if let Some(error) = self.failures.pop() {
                return Err(error);
            }
        }
        match op {
            BlockOp::Read { offset, length, .. } => {
                let at = usize::try_from(*offset).unwrap();
                let data = &self.disk[at..at + *length as usize];
                Ok(Bytes::copy_from_slice(data).into())
            }
            BlockOp::Write {
                offset,
                data,
                durable,
                ..
            } => {
                let at = usize::try_from(*offset).unwrap();
                self.disk[at..at + data.len()].copy_from_slice(data);
                self.durable_writes += usize::from(*durable);
                Ok(Segments::new())
            }
            BlockOp::Zero { offset, length, .. } => {
                let at = usize::try_from(*offset).unwrap();
                self.disk[at..at + usize::try_from(*length).unwrap()].fill(0);
                Ok(Segments::new())
            }
            BlockOp::Flush { .. } => {
                self.flushes += 1;
                Ok(Segments::new())
            }
        }
    }
}

pub fn disk(size: BlockSize, blocks: u64) -> UnitOptions {
    UnitOptions::new(size, blocks)
        .vendor("Vendor")
        .product("Product")
        .serial("SERIAL")
}

/// Serves all that the device asks of its store.
pub fn serve(device: &mut BotDevice, stores: &mut [Store]) {
    while let Some(op) = device.poll_block() {
        let result = stores[usize::from(op.lun().get())].serve(&op);
        device.finish(op.token(), result);
    }
}

pub struct Bench {
    pub device: BotDevice,
    pub stores: Vec<Store>,
    pub ids: TransferIds,
    pub completions: BTreeMap<TransferId, Completion>,
    /// In the order they came.
    pub order: Vec<TransferId>,
    /// Whether operations are served as they come.
    pub serving: bool,
}

#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Csw {
    pub tag: u32,
    pub residue: u32,
    pub status: u8,
}

pub fn cbw(tag: u32, length: u32, direction: Direction, lun: u8, command: &[u8]) -> Vec<u8> {
    let mut bytes = b"USBC".to_vec();
    bytes.extend(tag.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend([direction.bit_7(), lun, command.len() as u8]);
    bytes.extend(command);
    bytes.resize(31, 0);
    bytes
}

pub fn read_10(lba: u32, blocks: u16) -> Vec<u8> {
    block_command(0x28, lba, blocks)
}

pub fn write_10(lba: u32, blocks: u16) -> Vec<u8> {
    block_command(0x2a, lba, blocks)
}

fn block_command(opcode: u8, lba: u32, blocks: u16) -> Vec<u8> {
    let mut command = vec![opcode, 0];
    command.extend(lba.to_be_bytes());
    command.push(0);
    command.extend(blocks.to_be_bytes());
    command.push(0);
    command
}

impl Bench {
    pub fn new(options: UnitOptions) -> Self {
        let mut bench = Self::unconfigured(vec![options]);
        assert_eq!(bench.set_configuration(1), Status::COMPLETED);
        bench
    }

    /// Of a device that stalls where data is short.
    pub fn stalling(options: UnitOptions) -> Self {
        let stall = BotOptions::new(Speed::High).short_in(ShortIn::Stall);
        let mut bench = Self::with(stall, vec![options]);
        assert_eq!(bench.set_configuration(1), Status::COMPLETED);
        bench
    }

    pub fn unconfigured(units: Vec<UnitOptions>) -> Self {
        Self::with(BotOptions::new(Speed::High), units)
    }

    /// Of a device at a speed, which no host has configured yet.
    pub fn at(speed: Speed, options: UnitOptions) -> Self {
        Self::with(BotOptions::new(speed), vec![options])
    }

    fn with(device: BotOptions, units: Vec<UnitOptions>) -> Self {
        let bytes = |unit: &UnitOptions| usize::try_from(unit.capacity()).unwrap_or(0).min(1 << 24);
        let stores = units
            .iter()
            .map(|unit| Store::new(pattern(bytes(unit))))
            .collect();
        let units = units.into_iter().map(LogicalUnit::new);
        Self {
            device: BotDevice::new(device, units).unwrap(),
            stores,
            ids: TransferIds::default(),
            completions: BTreeMap::new(),
            order: Vec::new(),
            serving: true,
        }
    }

    pub fn run(&mut self) {
        loop {
            if self.serving {
                serve(&mut self.device, &mut self.stores);
            }
            let Some(event) = self.device.poll() else {
                break;
            };
            let FunctionEvent::Complete(completion) = event else {
                panic!("{event:?}")
            };
            self.order.push(completion.id);
            assert!(self.completions.insert(completion.id, completion).is_none());
        }
    }

    pub fn submit(&mut self, transfer: Transfer) -> TransferId {
        let id = transfer.id;
        self.device.submit(transfer);
        self.run();
        id
    }

    pub fn post_in(&mut self, length: u32) -> TransferId {
        let id = self.ids.mint();
        self.submit(Transfer::data_in(id, BULK_IN, length))
    }

    pub fn post_out(&mut self, data: impl Into<Bytes>) -> TransferId {
        let id = self.ids.mint();
        self.submit(Transfer::data_out(id, BULK_OUT, data.into()))
    }

    pub fn is_pending(&self, id: TransferId) -> bool {
        !self.completions.contains_key(&id)
    }

    #[track_caller]
    pub fn done(&mut self, id: TransferId) -> Completion {
        self.completions.remove(&id).expect("it is complete")
    }

    #[track_caller]
    pub fn status(&mut self, id: TransferId) -> Status {
        self.done(id).status
    }

    #[track_caller]
    pub fn data(&mut self, id: TransferId) -> Bytes {
        let done = self.done(id);
        assert_eq!(done.status, Status::COMPLETED);
        match done.actual {
            Actual::In(data) => data.to_bytes(),
            Actual::Out(_) => panic!("an IN transfer"),
        }
    }

    #[track_caller]
    pub fn csw_of(&mut self, id: TransferId) -> Csw {
        let bytes = self.data(id);
        assert_eq!(bytes.len(), 13);
        assert_eq!(&bytes[..4], b"USBS");
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        Csw {
            tag: word(4),
            residue: word(8),
            status: bytes[12],
        }
    }

    #[track_caller]
    pub fn csw(&mut self) -> Csw {
        let id = self.post_in(13);
        self.csw_of(id)
    }

    /// Status code and residue of a whole command with data from the device.
    #[track_caller]
    pub fn command_in(&mut self, command: &[u8], length: u32) -> (Bytes, u8, u32) {
        self.send(&cbw(7, length, Direction::In, 0, command));
        let mut data = Bytes::new();
        if length > 0 {
            let id = self.post_in(length);
            data = self.data(id);
            assert_eq!(data.len(), length as usize, "padded");
        }
        let Csw {
            tag,
            residue,
            status,
        } = self.csw();
        assert_eq!(tag, 7);
        (data, status, residue)
    }

    /// The same with data to the device.
    #[track_caller]
    pub fn command_out(&mut self, command: &[u8], data: &[u8]) -> (u8, u32) {
        self.send(&cbw(9, data.len() as u32, Direction::Out, 0, command));
        if !data.is_empty() {
            let id = self.post_out(data.to_vec());
            let done = self.done(id);
            assert_eq!(done.status, Status::COMPLETED);
            assert_eq!(done.actual, Actual::Out(data.len() as u32));
        }
        let Csw {
            tag,
            residue,
            status,
        } = self.csw();
        assert_eq!(tag, 9);
        (status, residue)
    }

    #[track_caller]
    pub fn send(&mut self, wrapper: &[u8]) {
        let id = self.post_out(wrapper.to_vec());
        assert_eq!(self.status(id), Status::COMPLETED);
    }

    /// Key, code and qualifier.
    #[track_caller]
    pub fn sense(&mut self) -> (u8, u8, u8) {
        let (data, status, _) = self.command_in(&[0x03, 0, 0, 0, 18, 0], 18);
        assert_eq!(status, 0);
        (data[2] & 0x0f, data[12], data[13])
    }

    pub fn control(&mut self, setup: [u8; 8]) -> (Status, Vec<u8>) {
        let setup = SetupPacket::from_bytes(setup);
        let id = self.ids.mint();
        self.submit(Transfer::control_in(id, setup));
        let done = self.done(id);
        let data = match done.actual {
            Actual::In(data) => data.to_bytes().to_vec(),
            Actual::Out(_) => Vec::new(),
        };
        (done.status, data)
    }

    pub fn set_configuration(&mut self, value: u8) -> Status {
        self.control([0, 9, value, 0, 0, 0, 0, 0]).0
    }

    pub fn transport_reset(&mut self) -> Status {
        self.control([0x21, 0xff, 0, 0, 0, 0, 0, 0]).0
    }

    pub fn clear_halt(&mut self, endpoint: u8) -> Status {
        self.control([2, 1, 0, 0, endpoint, 0, 0, 0]).0
    }

    /// What GET_STATUS says of an endpoint.
    pub fn is_halted(&mut self, endpoint: u8) -> bool {
        self.control([0x82, 0, 0, 0, endpoint, 0, 2, 0]).1 == [1, 0]
    }

    pub fn recover(&mut self) {
        assert_eq!(self.transport_reset(), Status::COMPLETED);
        assert_eq!(self.clear_halt(0x81), Status::COMPLETED);
        assert_eq!(self.clear_halt(0x02), Status::COMPLETED);
    }

    /// A whole command that works shows that the device waits for one. What the unit has to tell,
    /// such as of a reset, is asked for first.
    #[track_caller]
    pub fn assert_fresh(&mut self) {
        self.sense();
        let (data, status, residue) = self.command_in(&read_10(1, 1), 512);
        assert_eq!((status, residue), (0, 0));
        assert_eq!(data[..], self.stores[0].disk[512..1024]);
    }
}

/// Runs an initiator and a device until the next result.
pub fn result(
    host: &mut Initiator,
    device: &mut BotDevice,
    stores: &mut [Store],
) -> Option<(Ticket, Result<Segments, ScsiError>)> {
    for _ in 0..10_000_000 {
        exchange(host, device);
        if let Some(result) = host.result() {
            return Some(result);
        }
        let op = device.poll_block()?;
        let result = stores[usize::from(op.lun().get())].serve(&op);
        device.finish(op.token(), result);
    }
    panic!("it does not end")
}
