//! USB/IP and usbredir joined, either way: a transfer of each type goes over two wires and comes
//! back as the device ended it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::pedantic,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use examples::{Sleeper, Stream, bridge};
use testkit::{Decisions, ModelDevice};
use usb_descriptors::build;
use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, DeviceDescriptors, Frame, Frontend, Function, FunctionEvent, IsoPacket,
    Kind, Payload, Status, Step, Transfer, TransferId, TransferIds, Wire, exchange,
};
use usbip_proto::{DeviceId, client, server};
use usbredir_proto::{Guest, Host, Options};

const BULK_IN: EndpointAddress = EndpointAddress::from_byte(0x81);
const BULK_OUT: EndpointAddress = EndpointAddress::from_byte(0x02);
const INTERRUPT_IN: EndpointAddress = EndpointAddress::from_byte(0x83);
const ISO_IN: EndpointAddress = EndpointAddress::from_byte(0x84);
const ISO_OUT: EndpointAddress = EndpointAddress::from_byte(0x05);
const INTERRUPT_OUT: EndpointAddress = EndpointAddress::from_byte(0x06);

#[rustfmt::skip]
const CONFIGURATION: [u8; 60] = [
    9, 2, 60, 0, 1, 1, 0, 0x80, 50,
    9, 4, 0, 0, 6, 0xff, 0, 0, 0,
    7, 5, 0x81, 2, 0, 2, 0,
    7, 5, 0x02, 2, 0, 2, 0,
    7, 5, 0x83, 3, 8, 0, 4,
    7, 5, 0x84, 1, 100, 0, 4,
    7, 5, 0x05, 1, 100, 0, 4,
    7, 5, 0x06, 3, 8, 0, 4,
];

/// Of the isochronous endpoints, in 125 µs.
const INTERVAL: u32 = 8;

fn descriptors() -> DeviceDescriptors {
    let device = build::Device::new(0x1209, 1).to_bytes(Speed::High);
    let mut descriptors = DeviceDescriptors::new(Speed::High, device);
    let configuration = Bytes::from_static(&CONFIGURATION);
    descriptors.configurations.push(configuration);
    descriptors
}

/// user ─ `asks` ═ wire ═ `serves` ─ `relays` ═ wire ═ `has` ─ device
struct Bridge<A, S, R, H> {
    ids: TransferIds,
    asks: A,
    asks_rx: BytesMut,
    serves: S,
    serves_rx: BytesMut,
    relays: R,
    relays_rx: BytesMut,
    has: H,
    has_rx: BytesMut,
    device: ModelDevice,
    now: u64,
    completed: VecDeque<Completion>,
    detached: bool,
}

type ToUsbip = Bridge<client::Session, server::Session, Guest, Host>;
type ToUsbredir = Bridge<Guest, Host, client::Session, server::Session>;

const DEVICE: DeviceId = DeviceId::new(1, 2);

fn usbip() -> (client::Session, server::Session) {
    let limits = usbip_proto::Limits::default;
    let client = client::Session::new(DEVICE, Speed::High, limits());
    let server = server::Session::new(DEVICE, Speed::High, limits());
    (client, server)
}

fn usbredir() -> (Guest, Host) {
    let mut host = Host::new(Options::default());
    host.attach(descriptors()).unwrap();
    (Guest::new(Options::default()), host)
}

fn to_usbip() -> ToUsbip {
    Bridge::new(usbip(), usbredir())
}

fn to_usbredir() -> ToUsbredir {
    Bridge::new(usbredir(), usbip())
}

/// Carries what one end has to say to the other.
fn carry(from: &mut impl Wire, to: &mut BytesMut) -> usize {
    let tx = from.tx();
    let count = tx.remaining();
    to.extend_from_slice(&tx.copy_to_bytes(count));
    count
}

fn step(wire: &mut impl Wire, rx: &mut BytesMut) -> Step {
    let step = wire.receive(rx).ok();
    step.expect("both ends keep to the protocol")
}

impl<A, S, R, H> Bridge<A, S, R, H>
where
    A: Wire + Function,
    S: Wire + Frontend,
    R: Wire + Function,
    H: Wire + Frontend,
{
    fn new((asks, serves): (A, S), (relays, has): (R, H)) -> Self {
        let mut bridge = Self {
            ids: TransferIds::default(),
            asks,
            asks_rx: BytesMut::new(),
            serves,
            serves_rx: BytesMut::new(),
            relays,
            relays_rx: BytesMut::new(),
            has,
            has_rx: BytesMut::new(),
            device: ModelDevice::default(),
            now: 0,
            completed: VecDeque::new(),
            detached: false,
        };
        bridge.settle();
        bridge
    }

    /// Until nothing moves any more.
    fn settle(&mut self) {
        loop {
            loop {
                while let Some(event) = self.asks.poll() {
                    match event {
                        FunctionEvent::Complete(completion) => self.completed.push_back(completion),
                        FunctionEvent::Detached => self.detached = true,
                        other => panic!("{other:?}"),
                    }
                }
                if step(&mut self.asks, &mut self.asks_rx) != Step::Ready {
                    break;
                }
            }
            loop {
                exchange(&mut self.serves, &mut self.relays);
                let near = step(&mut self.serves, &mut self.serves_rx);
                let far = step(&mut self.relays, &mut self.relays_rx);
                if near != Step::Ready && far != Step::Ready {
                    break;
                }
            }
            loop {
                exchange(&mut self.has, &mut self.device);
                if step(&mut self.has, &mut self.has_rx) != Step::Ready {
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

    fn submit(&mut self, transfer: Transfer) -> TransferId {
        let id = transfer.id;
        self.asks.submit(transfer);
        self.settle();
        id
    }

    fn finish_one(&mut self) {
        self.device.finish_one(&mut Decisions::new(&[]));
        self.settle();
    }

    fn pass(&mut self, frames: u64) {
        self.now += frames;
        self.asks.start_of_frame(Frame(self.now));
        self.relays.start_of_frame(Frame(self.now));
        self.settle();
    }

    #[track_caller]
    fn returned(&mut self, id: TransferId) -> Completion {
        let completion = self.completed.pop_front().expect("a completion");
        assert_eq!(completion.id, id);
        completion
    }

    /// One that the wires carry as it is: the device gets it, and the user what became of it.
    #[track_caller]
    fn round_trip(&mut self, transfer: Transfer) {
        let ordinal = self.device.submitted;
        let mut expected = ModelDevice::answer(ordinal, transfer.clone());
        let data = match &transfer.payload {
            Payload::Out(data) => Some((ordinal, data.clone())),
            Payload::In { .. } => None,
        };
        let id = self.submit(transfer);
        assert_eq!(self.device.pending(), 1);
        if let Some(data) = data {
            assert_eq!(self.device.received.last(), Some(&data));
        }
        assert!(self.completed.is_empty());
        self.finish_one();
        expected.id = id;
        assert_eq!(self.returned(id), expected);
    }

    fn control_bulk_and_interrupt_out(&mut self) {
        let bytes = |length| Bytes::from(ModelDevice::data(9, 9, length));
        let get = SetupPacket::from_bytes([0xc0, 6, 0, 2, 0, 0, 44, 1]);
        let set = SetupPacket::from_bytes([0x21, 9, 0, 2, 1, 0, 44, 1]);
        let clear_halt = SetupPacket::from_bytes([2, 1, 0, 0, 0x81, 0, 0, 0]);
        let mut ids = std::mem::take(&mut self.ids);
        for transfer in [
            Transfer::control_in(ids.mint(), get),
            Transfer::control_out(ids.mint(), set, bytes(300)),
            Transfer::control_in(ids.mint(), clear_halt),
            Transfer::data_in(ids.mint(), BULK_IN, 0),
            Transfer::data_in(ids.mint(), BULK_IN, 100_000),
            Transfer::data_out(ids.mint(), BULK_OUT, Bytes::new()),
            Transfer::data_out(ids.mint(), BULK_OUT, bytes(31)),
            Transfer::data_out(ids.mint(), BULK_OUT, bytes(100_000)),
            Transfer::data_out(ids.mint(), INTERRUPT_OUT, bytes(8)).with_interval(INTERVAL),
        ] {
            self.round_trip(transfer);
        }
        let last = self.submit(Transfer::data_in(ids.mint(), BULK_IN, 512));
        self.asks.cancel(last);
        self.settle();
        assert_eq!(self.returned(last).status, Status::CANCELLED);
        assert_eq!((self.device.cancels, self.device.pending()), (1, 0));
    }

    fn interrupt_in(&mut self) {
        let read = |ids: &mut TransferIds| {
            Transfer::data_in(ids.mint(), INTERRUPT_IN, 8).with_interval(INTERVAL)
        };
        let transfer = read(&mut self.ids);
        let first = self.submit(transfer);
        // The host polls, the device has something to say now and then.
        for ordinal in 0..3 {
            self.finish_one();
            let transfer = if ordinal == 0 {
                first
            } else {
                let transfer = read(&mut self.ids);
                self.submit(transfer)
            };
            let data = ModelDevice::data(3, ordinal, 8);
            assert_eq!(self.returned(transfer).actual, Actual::In(data.into()));
        }
        let transfer = read(&mut self.ids);
        let last = self.submit(transfer);
        assert!(self.completed.is_empty());
        assert_ne!(self.device.pending(), 0);
        self.asks.cancel(last);
        self.settle();
        assert_eq!(self.returned(last).status, Status::CANCELLED);
        assert_eq!(self.device.pending(), 0, "nobody polls any more");
    }

    fn isochronous(&mut self, endpoint: EndpointAddress, data: Option<Bytes>) -> Transfer {
        let packets = (0..PACKETS).map(|at| IsoPacket::new(at * 100, 100));
        let payload = data.map_or(
            Payload::In {
                length: PACKETS * 100,
            },
            Payload::Out,
        );
        let kind = Kind::Isochronous(packets.collect());
        Transfer::new(self.ids.mint(), endpoint, kind, payload).with_interval(INTERVAL)
    }

    fn isochronous_in(&mut self) {
        let transfer = self.isochronous(ISO_IN, None);
        let first = self.submit(transfer);
        assert!(self.completed.is_empty());
        let pushed = ModelDevice::data(4, 0, 400);
        self.finish_one();
        self.finish_one();
        let completion = self.returned(first);
        assert_eq!(completion.status, Status::COMPLETED);
        assert_eq!(completion.packets.len(), PACKETS as usize);
        assert!(completion.packets.iter().all(|packet| packet.actual == 100));
        let Actual::In(data) = completion.actual else {
            panic!()
        };
        let data: Vec<u8> = data.into_iter().flatten().collect();
        assert_eq!(data[..400], pushed);
        assert_eq!(data[400..], ModelDevice::data(4, 1, 400)[..200]);
        let transfer = self.isochronous(ISO_IN, None);
        let last = self.submit(transfer);
        self.asks.cancel(last);
        self.settle();
        assert_eq!(self.returned(last).status, Status::CANCELLED);
        assert_eq!(self.device.pending(), 0, "nobody polls any more");
    }

    fn isochronous_out(&mut self) {
        let mut sent = Vec::new();
        for ordinal in 0..12 {
            let data = ModelDevice::data(5, ordinal, PACKETS as usize * 100);
            sent.extend_from_slice(&data);
            let transfer = self.isochronous(ISO_OUT, Some(data.into()));
            let id = self.submit(transfer);
            self.pass(1);
            assert!(self.completed.is_empty());
            // Nobody says that it is through, but it takes its time.
            self.pass(u64::from(PACKETS * INTERVAL));
            let completion = self.returned(id);
            assert_eq!(completion.status, Status::COMPLETED);
            assert_eq!(completion.actual, Actual::Out(PACKETS * 100));
            self.finish_one();
        }
        let received = self.device.received.iter();
        let received: Vec<u8> = received.flat_map(|(_, data)| data).copied().collect();
        assert!(received.len() >= 32 * 100, "half of what is kept");
        assert_eq!(sent[..received.len()], received);
    }

    fn reset_and_unplugged(&mut self) {
        let transfer = Transfer::data_in(self.ids.mint(), BULK_IN, 512);
        let read = self.submit(transfer);
        self.asks.reset();
        self.settle();
        assert_eq!(self.returned(read).status, Status::CANCELLED);
        assert_eq!((self.device.resets, self.device.pending()), (1, 0));
        let transfer = Transfer::data_in(self.ids.mint(), BULK_IN, 512);
        self.round_trip(transfer);
        let transfer = Transfer::data_in(self.ids.mint(), BULK_IN, 512);
        let read = self.submit(transfer);
        self.device.unplug();
        self.settle();
        // The end of a connection is the embedder's to tell.
        if !self.detached {
            self.asks.end();
            self.settle();
        }
        assert!(self.detached);
        assert_ne!(self.returned(read).status, Status::COMPLETED);
        assert!(self.completed.is_empty());
    }
}

/// Of an isochronous transfer.
const PACKETS: u32 = 6;

#[test]
fn control_bulk_and_interrupt_out_over_both_wires() {
    to_usbip().control_bulk_and_interrupt_out();
    to_usbredir().control_bulk_and_interrupt_out();
}

#[test]
fn interrupt_in_over_both_wires() {
    to_usbip().interrupt_in();
    to_usbredir().interrupt_in();
}

#[test]
fn isochronous_in_over_both_wires() {
    to_usbip().isochronous_in();
    to_usbredir().isochronous_in();
}

#[test]
fn isochronous_out_over_both_wires() {
    to_usbip().isochronous_out();
    to_usbredir().isochronous_out();
}

#[test]
fn resets_and_ends_over_both_wires() {
    to_usbip().reset_and_unplugged();
    to_usbredir().reset_and_unplugged();
}

/// A guest asks for something while the server of the device leaves, and then it leaves, too.
#[test]
fn a_bridge_ends_when_both_ends_have_left_with_a_request_between() {
    let (near, mut guest) = UnixStream::pair().unwrap();
    let (far, server) = UnixStream::pair().unwrap();
    let (mut asks, mut serves) = usbredir();
    let (mut to_guest, mut said) = (BytesMut::new(), BytesMut::new());
    carry(&mut asks, &mut said);
    carry(&mut serves, &mut to_guest);
    let _ = step(&mut serves, &mut said);
    carry(&mut serves, &mut to_guest);
    let _ = step(&mut asks, &mut to_guest);
    let read = Transfer::data_in(TransferIds::default().mint(), BULK_IN, 13);
    asks.submit(read);
    carry(&mut asks, &mut said);
    guest.write_all(&said).unwrap();
    drop(guest);
    drop(server);
    let (done, end) = channel();
    thread::spawn(move || {
        let mut far = Stream::new(far).unwrap();
        let mut near = Stream::new(near).unwrap();
        let (mut device, _) = usbip();
        let sleeper = Sleeper::new();
        bridge(
            &mut near,
            &mut serves,
            &mut far,
            &mut device,
            &sleeper,
            |_, _| false,
        )
        .unwrap();
        done.send(serves.pending()).unwrap();
    });
    assert_eq!(end.recv_timeout(Duration::from_secs(20)), Ok(0));
}
