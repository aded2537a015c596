//! A usbredir guest that is sent anything: it stays within what it may send, and each of its
//! transfers is completed once.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use usb_descriptors::{EndpointAddress, SetupPacket};
use usb_transfer::{
    Flags, Frame, Function, FunctionEvent, IsoPacket, Kind, Payload, Step, Transfer, TransferId,
    TransferIds, Wire,
};
use usbredir_proto::codec::Role;
use usbredir_proto::{Capabilities, Guest, Options};

use crate::usbredir::Listener;

#[derive(Default)]
struct User {
    ids: TransferIds,
    out: BTreeSet<TransferId>,
}

impl User {
    fn transfer(&mut self, kind: usize, byte: u8) -> Transfer {
        let id = self.ids.mint();
        self.out.insert(id);
        let endpoint = EndpointAddress::from_byte(byte);
        let length = u32::from(byte) * 3;
        // In pieces, to a host whose lengths have 16 bits.
        let long = 0x1_0000 + (u32::from(byte & 0x70) << 5);
        match kind {
            0 => Transfer::control_in(id, SetupPacket::from_bytes([byte, 6, 0, 1, 0, 0, byte, 0])),
            1 => Transfer::control_in(id, SetupPacket::set_configuration(byte & 1)),
            2 => Transfer::control_in(id, SetupPacket::set_interface(0, byte & 1)),
            3 => Transfer::data_in(id, endpoint, length),
            4 => Transfer::data_out(id, endpoint, Bytes::from(vec![byte; length as usize])),
            5 => Transfer::data_in(id, endpoint, long),
            6 => {
                let flags = Flags {
                    zero_packet: byte & 1 == 0,
                    ..Flags::default()
                };
                let data = Bytes::from(vec![byte; long as usize]);
                Transfer::data_out(id, endpoint, data).with_flags(flags)
            }
            _ => {
                let packets = (0..3).map(|at| IsoPacket::new(at * 50, 50)).collect();
                let payload = if byte & 0x80 == 0 {
                    Payload::Out(Bytes::from(vec![byte; 150]))
                } else {
                    Payload::In { length: 150 }
                };
                Transfer::new(id, endpoint, Kind::Isochronous(packets), payload)
            }
        }
    }

    fn poll(&mut self, guest: &mut Guest) {
        while let Some(event) = guest.poll() {
            match event {
                FunctionEvent::Complete(completion) => {
                    assert!(self.out.remove(&completion.id), "once");
                }
                FunctionEvent::Detached => assert!(self.out.is_empty(), "all done before"),
                _ => {}
            }
        }
    }
}

/// Runs a conversation: choices submit, cancel, reset, and cut the host's bytes.
pub fn run(input: &[u8]) {
    let (mut decisions, mut stream) = crate::split(input);
    let mut options = Options::default();
    options.limits.max_transfer = 1 << 17;
    if decisions.chance() {
        let long = Capabilities::BULK_LENGTH_32_BITS;
        options.capabilities = options.capabilities.without(long);
    }
    let told = options.capabilities;
    let mut guest = Guest::new(options);
    let mut host = Listener::new(Role::Host);
    let mut rx = BytesMut::new();
    let mut user = User::default();
    let mut now = 0;
    loop {
        let is_over = loop {
            user.poll(&mut guest);
            match guest.receive(&mut rx) {
                Ok(Step::Ready) => {}
                Ok(Step::Io(_)) => break false,
                Err(_) => break true,
            }
        };
        // What is submitted from now on is not among what was done before the device left.
        user.poll(&mut guest);
        match decisions.below(6) {
            0 | 1 => {
                let kind = decisions.below(8);
                let transfer = user.transfer(kind, decisions.byte());
                guest.submit(transfer);
            }
            2 => {
                let at = decisions.below(user.out.len());
                if let Some(id) = user.out.iter().nth(at) {
                    guest.cancel(*id);
                }
            }
            3 if decisions.byte() == 0xff => guest.reset(),
            3 if decisions.byte() == 0xff => guest.reject(),
            4 => {
                now += u64::from(decisions.byte());
                guest.start_of_frame(Frame(now));
            }
            _ => {}
        }
        let (piece, rest) = stream.split_at(stream.len().min(decisions.below(100) + 1));
        rx.extend_from_slice(piece);
        stream = rest;
        if is_over || piece.is_empty() && decisions.is_empty() {
            break;
        }
    }
    guest.end();
    user.poll(&mut guest);
    assert!(user.out.is_empty(), "each is completed");
    // The host that listens can do everything: what a lesser one is told reads otherwise.
    if guest.capabilities() == Some(told) {
        host.hear(guest.tx());
    }
}
