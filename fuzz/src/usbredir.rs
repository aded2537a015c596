//! What both usbredir targets have in common.

use bytes::{Buf, Bytes, BytesMut};
use usb_descriptors::build::Device;
use usb_descriptors::{EndpointAddress, Speed};
use usb_transfer::{DeviceDescriptors, Segments, TxQueue, Wire};
use usbredir_proto::codec::{Codec, Decoded, Packet, Role, StatusCode};
use usbredir_proto::{Capabilities, Host, Limits, Options};

/// An endpoint of each kind: bulk 81 and 02, interrupt 83, isochronous 84 and 05.
#[rustfmt::skip]
const CONFIGURATION: [u8; 53] = [
    9, 2, 53, 0, 1, 1, 0, 0x80, 50,
    9, 4, 0, 0, 5, 0xff, 0, 0, 0,
    7, 5, 0x81, 2, 0, 2, 0,
    7, 5, 0x02, 2, 0, 2, 0,
    7, 5, 0x83, 3, 8, 0, 4,
    7, 5, 0x84, 1, 100, 0, 1,
    7, 5, 0x05, 1, 100, 0, 1,
];

pub(crate) fn descriptors() -> DeviceDescriptors {
    let device = Device::new(0x1209, 1).to_bytes(Speed::High);
    let mut descriptors = DeviceDescriptors::new(Speed::High, device);
    let configuration = Bytes::from_static(&CONFIGURATION);
    descriptors.configurations.push(configuration);
    descriptors
}

/// A host without long lengths that has met a guest with all, and what it says before it is asked.
pub(crate) fn introduction() -> (Codec, Vec<u8>) {
    let long = Capabilities::BULK_LENGTH_32_BITS;
    let mut options = Options::default();
    options.capabilities = Capabilities::ALL.without(long);
    options.version = "fuzz".into();
    let mut codec = Codec::new(Role::Host, options.capabilities, Limits::default());
    let mut host = Host::new(options);
    host.attach(descriptors()).expect("descriptors");
    let hello = Listener::new(Role::Guest).hello();
    let _ = codec.decode(&mut BytesMut::from(&hello[..]));
    let _ = host.receive(&mut BytesMut::from(&hello[..]));
    let tx = host.tx();
    (codec, tx.copy_to_bytes(tx.remaining()).to_vec())
}

/// Its reply to a bulk transfer OUT, of which the device took so many bytes.
pub(crate) fn taken(host: &Codec, id: u64, length: u32) -> Vec<u8> {
    let mut tx = TxQueue::new();
    let reply = Packet::Bulk {
        endpoint: EndpointAddress::from_byte(0x02),
        status: StatusCode::SUCCESS,
        stream: 0,
        length,
        data: Segments::new(),
    };
    host.encode(id, reply, &mut tx).expect("a reply");
    tx.copy_to_bytes(tx.remaining()).to_vec()
}

/// The peer's ear: all that a side writes must be packets that it may send.
pub(crate) struct Listener {
    codec: Codec,
    rx: BytesMut,
}

impl Listener {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            codec: Codec::new(role, Capabilities::ALL, Limits::default()),
            rx: BytesMut::new(),
        }
    }

    /// What the peer would say first.
    pub(crate) fn hello(&self) -> Bytes {
        let mut tx = TxQueue::new();
        let hello = Packet::Hello(self.codec.hello("fuzz"));
        self.codec.encode(0, hello, &mut tx).expect("a hello");
        tx.copy_to_bytes(tx.remaining())
    }

    /// Takes all that is queued, and tells how many packets it was.
    pub(crate) fn hear(&mut self, tx: &mut TxQueue) -> usize {
        while tx.has_remaining() {
            let chunk = tx.chunk();
            self.rx.extend_from_slice(chunk);
            let length = chunk.len();
            tx.advance(length);
        }
        let mut count = 0;
        while let Decoded::Packet { .. } = self.codec.decode(&mut self.rx).expect("strict sender") {
            count += 1;
        }
        assert!(self.rx.is_empty(), "whole packets");
        count
    }
}
