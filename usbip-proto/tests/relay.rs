//! A remote device handed on: a client's session is the function behind a server's session, so
//! that every byte and every status goes over two connections.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, Flags, Frontend, Function, FunctionEvent, IsoPacket, Kind, Payload,
    Segments, Status, Step, Transfer, TransferId, TransferIds, Wire, exchange,
};
use usbip_proto::{DeviceId, Limits, client, server};

const NEAR: DeviceId = DeviceId::from_u32(0x0001_0002);
const FAR: DeviceId = DeviceId::from_u32(0x0007_0009);

const BULK_IN: EndpointAddress = EndpointAddress::from_byte(0x81);
const BULK_OUT: EndpointAddress = EndpointAddress::from_byte(0x02);
const INTERRUPT_IN: EndpointAddress = EndpointAddress::from_byte(0x83);
const ISOCHRONOUS: EndpointAddress = EndpointAddress::from_byte(0x04);

/// Holds what it gets until the test answers.
#[derive(Default)]
struct Device {
    pending: VecDeque<Transfer>,
    events: VecDeque<FunctionEvent>,
    resets: usize,
}

impl Device {
    fn take(&mut self) -> Transfer {
        self.pending.pop_front().expect("a transfer arrived")
    }

    fn answer(&mut self, completion: Completion) {
        self.events.push_back(FunctionEvent::Complete(completion));
    }
}

impl Function for Device {
    fn submit(&mut self, transfer: Transfer) {
        self.pending.push_back(transfer);
    }

    fn cancel(&mut self, id: TransferId) {
        if let Some(at) = self.pending.iter().position(|transfer| transfer.id == id) {
            let transfer = self.pending.remove(at).unwrap();
            self.answer(transfer.fail(Status::CANCELLED));
        }
    }

    fn reset(&mut self) {
        self.resets += 1;
        while let Some(transfer) = self.pending.pop_front() {
            self.answer(transfer.fail(Status::CANCELLED));
        }
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.events.pop_front()
    }
}

/// host ─ `asks` ═ wire ═ `serves` ─ `relays` ═ wire ═ `has` ─ device
struct Relay {
    ids: TransferIds,
    asks: client::Session,
    asks_rx: BytesMut,
    serves: server::Session,
    serves_rx: BytesMut,
    relays: client::Session,
    relays_rx: BytesMut,
    has: server::Session,
    has_rx: BytesMut,
    device: Device,
    completed: VecDeque<Completion>,
    detached: bool,
}

/// Carries what one end has to say to the other.
fn carry(from: &mut impl Wire, to: &mut BytesMut) -> usize {
    let tx = from.tx();
    let count = tx.remaining();
    to.extend_from_slice(&tx.copy_to_bytes(count));
    count
}

impl Relay {
    fn new(speed: Speed) -> Self {
        let limits = Limits::default;
        Self {
            ids: TransferIds::default(),
            asks: client::Session::new(NEAR, speed, limits()),
            asks_rx: BytesMut::new(),
            serves: server::Session::new(NEAR, speed, limits()),
            serves_rx: BytesMut::new(),
            relays: client::Session::new(FAR, speed, limits()),
            relays_rx: BytesMut::new(),
            has: server::Session::new(FAR, speed, limits()),
            has_rx: BytesMut::new(),
            device: Device::default(),
            completed: VecDeque::new(),
            detached: false,
        }
    }

    /// Until nothing moves any more.
    fn settle(&mut self) {
        loop {
            while self.asks.receive(&mut self.asks_rx).unwrap() == Step::Ready {
                match self.asks.poll() {
                    Some(FunctionEvent::Complete(completion)) => {
                        self.completed.push_back(completion)
                    }
                    Some(FunctionEvent::Detached) => self.detached = true,
                    other => panic!("{other:?}"),
                }
            }
            loop {
                exchange(&mut self.serves, &mut self.relays);
                let near = self.serves.receive(&mut self.serves_rx).unwrap();
                let far = self.relays.receive(&mut self.relays_rx).unwrap();
                if near != Step::Ready && far != Step::Ready {
                    break;
                }
            }
            loop {
                exchange(&mut self.has, &mut self.device);
                if self.has.receive(&mut self.has_rx).unwrap() != Step::Ready {
                    break;
                }
            }
            let moved = carry(&mut self.asks, &mut self.serves_rx)
                + carry(&mut self.serves, &mut self.asks_rx)
                + carry(&mut self.relays, &mut self.has_rx)
                + carry(&mut self.has, &mut self.relays_rx);
            if moved == 0 {
                return;
            }
        }
    }

    /// Submits at the near end, and gives what arrives at the device.
    fn arrives(&mut self, transfer: Transfer) -> Transfer {
        self.asks.submit(transfer.clone());
        self.settle();
        let arrived = self.device.take();
        let mut same = transfer;
        same.id = arrived.id;
        assert_eq!(arrived, same, "but for its id");
        arrived
    }

    /// Answers at the device, and gives what comes back.
    fn returns(&mut self, completion: Completion) -> Completion {
        self.device.answer(completion);
        self.settle();
        self.completed.pop_front().expect("completed")
    }

    fn round_trip(&mut self, transfer: Transfer, answer: impl FnOnce(Transfer) -> Completion) {
        let id = transfer.id;
        let arrived = self.arrives(transfer);
        let mut completion = answer(arrived);
        let returned = self.returns(completion.clone());
        completion.id = id;
        assert_eq!(returned, completion, "but for its id");
    }
}

fn pattern(length: usize) -> Bytes {
    (0..=250u8).cycle().take(length).collect::<Vec<_>>().into()
}

#[test]
fn control_in_and_out() {
    let mut relay = Relay::new(Speed::High);
    let get = SetupPacket::from_bytes([0x80, 6, 0, 2, 0, 0, 0, 2]);
    let id = relay.ids.mint();
    relay.round_trip(Transfer::control_in(id, get), |transfer| {
        transfer.complete_in(pattern(300))
    });
    let set = SetupPacket::from_bytes([0x21, 9, 0, 2, 1, 0, 44, 1]);
    let id = relay.ids.mint();
    relay.round_trip(
        Transfer::control_out(id, set, pattern(300)),
        Transfer::complete_out,
    );
    // SET_CONFIGURATION, SET_INTERFACE and CLEAR_FEATURE(ENDPOINT_HALT) go through like any other.
    for setup in [
        [0, 9, 1, 0, 0, 0, 0, 0],
        [1, 11, 1, 0, 2, 0, 0, 0],
        [2, 1, 0, 0, 0x81, 0, 0, 0],
    ] {
        let id = relay.ids.mint();
        let transfer = Transfer::control_in(id, SetupPacket::from_bytes(setup));
        relay.round_trip(transfer, Transfer::complete_out);
    }
}

#[test]
fn bulk_in_and_out() {
    let mut relay = Relay::new(Speed::Super);
    for length in [0, 1, 13, 255, 256, 65_536, 1 << 20] {
        let id = relay.ids.mint();
        relay.round_trip(Transfer::data_in(id, BULK_IN, length as u32), |transfer| {
            transfer.complete_in(pattern(length))
        });
        let id = relay.ids.mint();
        let out = Transfer::data_out(id, BULK_OUT, pattern(length));
        let flags = Flags {
            zero_packet: true,
            ..Flags::default()
        };
        relay.round_trip(out.with_flags(flags), Transfer::complete_out);
    }
    // Less than was asked, in a whole and in pieces.
    let id = relay.ids.mint();
    relay.round_trip(Transfer::data_in(id, BULK_IN, 512), |transfer| {
        let mut data = Segments::from(pattern(300));
        data.push(pattern(7));
        transfer.complete_in(data)
    });
}

#[test]
fn interrupt_in_with_its_interval() {
    for speed in [Speed::Low, Speed::Full, Speed::High, Speed::Super] {
        let mut relay = Relay::new(speed);
        let id = relay.ids.mint();
        let transfer = Transfer::data_in(id, INTERRUPT_IN, 8).with_interval(64);
        relay.round_trip(transfer, |transfer| transfer.complete_in(pattern(8)));
    }
}

#[test]
fn isochronous_in_and_out() {
    let mut relay = Relay::new(Speed::High);
    let packets = vec![
        IsoPacket::new(0, 100),
        IsoPacket::new(100, 100),
        IsoPacket::new(200, 50),
    ];
    let flags = Flags {
        iso_asap: true,
        ..Flags::default()
    };
    let ends = [
        (100, Status::COMPLETED),
        (0, Status::NOT_TRANSFERRED),
        (17, Status::CHECKSUM),
    ];
    let settle = |packets: &mut Vec<IsoPacket>| {
        for (packet, (actual, status)) in packets.iter_mut().zip(ends) {
            (packet.actual, packet.status) = (actual, status);
        }
    };
    for payload in [Payload::In { length: 250 }, Payload::Out(pattern(250))] {
        let id = relay.ids.mint();
        let transfer = Transfer::new(id, ISOCHRONOUS, Kind::Isochronous(packets.clone()), payload);
        relay.round_trip(transfer.with_flags(flags).with_interval(8), |transfer| {
            let Kind::Isochronous(mut packets) = transfer.kind.clone() else {
                panic!("{transfer:?}")
            };
            settle(&mut packets);
            // Packed, as `Actual::In` says.
            transfer.complete_packets(packets, Segments::from(pattern(117)))
        });
    }
}

#[test]
fn statuses_come_through() {
    let mut relay = Relay::new(Speed::High);
    for status in [
        Status::STALL,
        Status::PROTOCOL,
        Status::CHECKSUM,
        Status::TIMED_OUT,
        Status::DISCONNECTED,
        Status::SHUTDOWN,
        Status::from_errno(-9999),
    ] {
        let id = relay.ids.mint();
        relay.round_trip(Transfer::data_in(id, BULK_IN, 512), |transfer| {
            transfer.fail(status)
        });
        let id = relay.ids.mint();
        relay.round_trip(Transfer::data_out(id, BULK_OUT, pattern(512)), |transfer| {
            transfer.fail(status)
        });
    }
    // A failure keeps its data.
    let id = relay.ids.mint();
    relay.round_trip(Transfer::data_in(id, BULK_IN, 512), |transfer| {
        Completion::new(
            transfer.id,
            Status::OVERFLOW,
            Actual::In(pattern(512).into()),
        )
    });
    // A short transfer that may not be short is told by the first server that sees it.
    let id = relay.ids.mint();
    let flags = Flags {
        short_not_ok: true,
        ..Flags::default()
    };
    let arrived = relay.arrives(Transfer::data_in(id, BULK_IN, 512).with_flags(flags));
    let returned = relay.returns(arrived.complete_in(pattern(100)));
    assert_eq!(
        (returned.status, returned.actual.len()),
        (Status::SHORT, 100)
    );
}

#[test]
fn an_unlink_reaches_the_device_and_its_result_comes_back() {
    let mut relay = Relay::new(Speed::High);
    let (first, second) = (relay.ids.mint(), relay.ids.mint());
    relay.asks.submit(Transfer::data_in(first, BULK_IN, 512));
    relay.asks.submit(Transfer::data_in(second, BULK_IN, 512));
    relay.settle();
    assert_eq!(relay.device.pending.len(), 2);
    relay.asks.cancel(second);
    relay.settle();
    let done = relay.completed.pop_front().unwrap();
    assert_eq!((done.id, done.status), (second, Status::CANCELLED));
    assert_eq!(relay.device.pending.len(), 1, "the other waits on");
    // One that finishes while its unlink is on its way keeps its data.
    let transfer = relay.device.take();
    relay.asks.cancel(first);
    let done = relay.returns(transfer.complete_in(pattern(512)));
    assert_eq!(
        (done.id, done.status, done.actual.len()),
        (first, Status::COMPLETED, 512)
    );
    assert_eq!((relay.serves.pending(), relay.has.pending()), (0, 0));
}

/// vhci sends some before the request they name: the far connection hears of neither.
#[test]
fn an_unlink_that_comes_first_goes_no_further() {
    let mut relay = Relay::new(Speed::High);
    let header = |command: u32, seqnum: u32, direction: u32, word: u32, length: u32| {
        let words = [
            command,
            seqnum,
            NEAR.to_u32(),
            direction,
            1,
            word,
            length,
            0,
            0,
            0,
            0,
            0,
        ];
        words.map(u32::to_be_bytes).concat()
    };
    relay.serves_rx.extend(header(2, 8, 0, 7, 0));
    relay.settle();
    assert_eq!(relay.serves.tx().remaining(), 0, "it waits");
    relay.serves_rx.extend(header(1, 7, 1, 0, 512));
    assert_eq!(
        relay.serves.receive(&mut relay.serves_rx).map(|_| ()),
        Ok(())
    );
    let mut reply = BytesMut::new();
    assert_eq!(carry(&mut relay.serves, &mut reply), 48);
    assert_eq!(reply[..8], [0, 0, 0, 4, 0, 0, 0, 8]);
    assert_eq!(reply[20..24], (-104i32).to_be_bytes());
    relay.settle();
    assert_eq!(
        (relay.device.pending.len(), relay.relays.tx().remaining()),
        (0, 0)
    );
    // What comes behind is served.
    relay.serves_rx.extend(header(1, 9, 1, 0, 512));
    relay.settle();
    assert_eq!(relay.device.pending.len(), 1);
}

#[test]
fn a_port_reset_reaches_the_device() {
    let mut relay = Relay::new(Speed::High);
    let id = relay.ids.mint();
    relay.asks.submit(Transfer::data_in(id, BULK_IN, 512));
    relay.asks.reset();
    relay.settle();
    let done = relay.completed.pop_front().unwrap();
    assert_eq!((done.id, done.status), (id, Status::CANCELLED));
    assert_eq!(relay.device.resets, 1);
    assert!(!relay.detached);
}

#[test]
fn a_device_that_goes_is_gone_at_the_near_end() {
    let mut relay = Relay::new(Speed::High);
    let id = relay.ids.mint();
    relay.asks.submit(Transfer::data_in(id, BULK_IN, 512));
    relay.settle();
    // The far connection breaks.
    relay.relays.end();
    relay.settle();
    let done = relay.completed.pop_front().unwrap();
    assert_eq!((done.id, done.status), (id, Status::DISCONNECTED));
    assert_eq!(relay.serves.pending(), 0);
    let Step::Io(wants) = relay.serves.receive(&mut relay.serves_rx).unwrap() else {
        panic!("the near server has ended too")
    };
    assert!(wants.is_finished());
    relay.asks.end();
    relay.settle();
    assert!(relay.detached);
}

#[test]
fn a_client_that_goes_frees_the_device() {
    let mut relay = Relay::new(Speed::High);
    let id = relay.ids.mint();
    relay.asks.submit(Transfer::data_in(id, BULK_IN, 512));
    relay.settle();
    relay.serves.end();
    relay.settle();
    assert_eq!(relay.serves.pending(), 0, "free for the next client");
    assert_eq!((relay.device.pending.len(), relay.device.resets), (0, 1));
    // And the next may come: the far connection stands.
    relay.serves = server::Session::new(NEAR, Speed::High, Limits::default());
    relay.asks = client::Session::new(NEAR, Speed::High, Limits::default());
    (relay.serves_rx, relay.asks_rx) = (BytesMut::new(), BytesMut::new());
    relay.completed.clear();
    let id = relay.ids.mint();
    relay.round_trip(Transfer::data_in(id, BULK_IN, 512), |transfer| {
        transfer.complete_in(pattern(512))
    });
}
