//! A host of one device, by hand.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use bytes::Bytes;
use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
use usb_functions::DeviceOptions;
use usb_transfer::{
    Actual, Completion, Function, FunctionEvent, IsoPacket, Kind, Payload, Status, Transfer,
    TransferId, TransferIds,
};

pub const SPEEDS: [Speed; 4] = [Speed::Full, Speed::High, Speed::Super, Speed::SuperPlus];

pub fn options() -> DeviceOptions {
    DeviceOptions::new(Speed::High)
}

pub fn endpoint(byte: u8) -> EndpointAddress {
    EndpointAddress::from_byte(byte)
}

#[derive(Debug)]
pub struct Host<F> {
    pub device: F,
    pub ids: TransferIds,
}

impl<F: Function> Host<F> {
    /// With the device in its configuration.
    pub fn new(device: F) -> Self {
        let ids = TransferIds::default();
        let mut host = Self { device, ids };
        host.ok(SetupPacket::set_configuration(1), &[]);
        host
    }

    pub fn submit(&mut self, transfer: Transfer) -> TransferId {
        let id = transfer.id;
        self.device.submit(transfer);
        id
    }

    pub fn ask_in(&mut self, byte: u8, length: u32) -> TransferId {
        let id = self.ids.mint();
        self.submit(Transfer::data_in(id, endpoint(byte), length))
    }

    pub fn ask_out(&mut self, byte: u8, data: impl Into<Bytes>) -> TransferId {
        let id = self.ids.mint();
        self.submit(Transfer::data_out(id, endpoint(byte), data.into()))
    }

    pub fn ask_packets(&mut self, byte: u8, lengths: &[u32], data: Option<Bytes>) -> TransferId {
        let mut offset = 0;
        let mut packets = Vec::new();
        for length in lengths {
            packets.push(IsoPacket::new(offset, *length));
            offset += length;
        }
        let payload = data.map_or(Payload::In { length: offset }, Payload::Out);
        let id = self.ids.mint();
        let kind = Kind::Isochronous(packets);
        self.submit(Transfer::new(id, endpoint(byte), kind, payload))
    }

    /// What has completed.
    pub fn completions(&mut self) -> Vec<Completion> {
        let mut all = Vec::new();
        while let Some(event) = self.device.poll() {
            match event {
                FunctionEvent::Complete(completion) => all.push(completion),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    pub fn completion(&mut self) -> Completion {
        let mut all = self.completions();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// A control transfer; what else completes by it comes first.
    pub fn control(&mut self, setup: impl Into<Setup>, data: &[u8]) -> Vec<Completion> {
        let setup = setup.into().0;
        let id = self.ids.mint();
        let transfer = if data.is_empty() {
            Transfer::control_in(id, setup)
        } else {
            Transfer::control_out(id, setup, Bytes::copy_from_slice(data))
        };
        assert!(transfer.is_consistent(), "{transfer:?}");
        self.submit(transfer);
        let all = self.completions();
        assert_eq!(all.last().unwrap().id, id);
        all
    }

    /// A control transfer that must succeed, and its data.
    pub fn ok(&mut self, setup: impl Into<Setup>, data: &[u8]) -> Bytes {
        let completion = self.control(setup, data).pop().unwrap();
        assert_eq!(completion.status, Status::COMPLETED, "{completion:?}");
        bytes(&completion)
    }

    pub fn stalls(&mut self, setup: [u8; 8], data: &[u8]) {
        let completion = self.control(setup, data).pop().unwrap();
        assert_eq!(completion.status, Status::STALL, "{setup:02x?}");
    }
}

/// Of [`Host::control`].
pub struct Setup(SetupPacket);

impl From<SetupPacket> for Setup {
    fn from(setup: SetupPacket) -> Self {
        Self(setup)
    }
}

impl From<[u8; 8]> for Setup {
    fn from(bytes: [u8; 8]) -> Self {
        Self(SetupPacket::from_bytes(bytes))
    }
}

/// What came IN.
pub fn bytes(completion: &Completion) -> Bytes {
    match &completion.actual {
        Actual::In(data) => data.to_bytes(),
        Actual::Out(_) => Bytes::new(),
    }
}
