//! Requests and replies as bytes, written by hand from the kernel's document.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use bytes::{Buf, BytesMut};
use usb_descriptors::Speed;
use usb_transfer::{Frontend, HostEvent, Step, Transfer, Wire};
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, Limits, ProtocolError};

pub const DEVICE: u32 = 0x0001_0002;

pub const RET_SUBMIT: u32 = 3;
pub const RET_UNLINK: u32 = 4;
pub const OUT: u32 = 0;
pub const IN: u32 = 1;

/// A CMD_SUBMIT header whose fields can be spoilt.
#[derive(Clone, Copy, Debug)]
pub struct Submit {
    pub seqnum: u32,
    pub device: u32,
    pub direction: u32,
    pub endpoint: u32,
    pub flags: u32,
    pub length: i32,
    pub packets: i32,
    pub interval: i32,
    pub setup: [u8; 8],
}

impl Submit {
    pub fn new(seqnum: u32, direction: u32, endpoint: u32, length: i32) -> Self {
        let (device, flags) = (DEVICE, direction << 9);
        let setup = [0; 8];
        Self {
            seqnum,
            device,
            direction,
            endpoint,
            flags,
            length,
            packets: 0,
            interval: 0,
            setup,
        }
    }

    pub fn header(&self) -> [u8; 48] {
        let words = [
            1,
            self.seqnum,
            self.device,
            self.direction,
            self.endpoint,
            self.flags,
            self.length as u32,
            0,
            self.packets as u32,
            self.interval as u32,
        ];
        let mut header = [0; 48];
        for (into, word) in header.chunks_exact_mut(4).zip(words) {
            into.copy_from_slice(&word.to_be_bytes());
        }
        header[40..].copy_from_slice(&self.setup);
        header
    }
}

pub fn unlink(seqnum: u32, target: u32) -> [u8; 48] {
    let mut header = [0; 48];
    for (into, word) in header
        .chunks_exact_mut(4)
        .zip([2, seqnum, DEVICE, 0, 0, target])
    {
        into.copy_from_slice(&word.to_be_bytes());
    }
    header
}

/// A RET_SUBMIT (3) or RET_UNLINK (4).
pub fn ret(command: u32, seqnum: u32, status: i32, length: i32, packets: i32) -> [u8; 48] {
    let mut header = [0; 48];
    let words = [
        command,
        seqnum,
        0,
        0,
        0,
        status as u32,
        length as u32,
        0,
        packets as u32,
    ];
    for (into, word) in header.chunks_exact_mut(4).zip(words) {
        into.copy_from_slice(&word.to_be_bytes());
    }
    header
}

pub fn packet(offset: u32, length: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&offset.to_be_bytes());
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// A reply's command, number, status and length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub command: u32,
    pub seqnum: u32,
    pub status: i32,
    pub length: i32,
    pub packets: i32,
    pub errors: i32,
}

impl Reply {
    /// Without packets.
    pub fn new(command: u32, seqnum: u32, status: i32, length: i32) -> Self {
        Self {
            command,
            seqnum,
            status,
            length,
            packets: 0,
            errors: 0,
        }
    }
}

pub fn word(header: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(header[at..at + 4].try_into().unwrap())
}

pub fn reply(header: &[u8]) -> Reply {
    Reply {
        command: word(header, 0),
        seqnum: word(header, 4),
        status: word(header, 20) as i32,
        length: word(header, 24) as i32,
        packets: word(header, 32) as i32,
        errors: word(header, 36) as i32,
    }
}

/// A server session fed by hand.
pub struct Server {
    pub session: Session,
    pub rx: BytesMut,
}

impl Server {
    pub fn new(limits: Limits) -> Self {
        Self::at(Speed::High, limits)
    }

    pub fn at(speed: Speed, limits: Limits) -> Self {
        let session = Session::new(DeviceId::from_u32(DEVICE), speed, limits);
        Self {
            session,
            rx: BytesMut::new(),
        }
    }

    /// Delivers bytes, and gives what comes of them.
    pub fn event(&mut self, bytes: &[u8]) -> Result<Option<HostEvent>, ProtocolError> {
        self.rx.extend_from_slice(bytes);
        Ok(match self.session.receive(&mut self.rx)? {
            Step::Ready => self.session.poll(),
            Step::Io(_) => None,
        })
    }

    pub fn submit(&mut self, bytes: &[u8]) -> Transfer {
        match self.event(bytes) {
            Ok(Some(HostEvent::Submit(transfer))) => transfer,
            other => panic!("{other:?}"),
        }
    }

    pub fn written(&mut self) -> Vec<u8> {
        let tx = self.session.tx();
        tx.copy_to_bytes(tx.remaining()).to_vec()
    }

    /// The next reply, which has no payload.
    pub fn replies(&mut self) -> Vec<Reply> {
        self.written().chunks(48).map(reply).collect()
    }
}
