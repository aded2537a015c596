//! Client and server against each other over links that cut and delay, in front of a device that
//! finishes in any order: whatever happens, each transfer completes exactly once and rightly.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use testkit::{Decisions, Link, ModelDevice};
use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, Frontend, Function, FunctionEvent, HostEvent, IsoPacket, Kind, Payload,
    Status, Step, Transfer, TransferId, TransferIds, Wire, exchange,
};
use usbip_proto::{DeviceId, Limits, client, server};

/// A host that submits and cancels at random and checks what comes back.
#[derive(Default)]
struct Host {
    ids: TransferIds,
    /// With which transfer it is, and whether it was cancelled.
    out: BTreeMap<TransferId, (usize, Transfer, bool)>,
    submitted: usize,
    /// What the nth transfer carries, if it carries something.
    sent: BTreeMap<usize, Bytes>,
    completed: usize,
    cancelled: usize,
}

impl Host {
    fn transfer(&mut self, decisions: &mut Decisions<'_>) -> Transfer {
        let id = self.ids.mint();
        let address = EndpointAddress::from_byte(decisions.byte() & 0x83 | 1);
        let length = [0, 1, 13, 255, 256, 4000][decisions.below(6)];
        let (number, ordinal) = (address.number(), self.submitted);
        let data = || Bytes::from(ModelDevice::data(number, ordinal, length));
        match decisions.below(5) {
            0 => {
                let [low, high] = (length as u16).to_le_bytes();
                let out = SetupPacket::from_bytes([0x40, 1, 0, 0, 0, 0, low, high]);
                Transfer::control_out(id, out, data())
            }
            1 => {
                let [low, high] = (length as u16).to_le_bytes();
                let setup = SetupPacket::from_bytes([0xc0, 1, 0, 0, 0, 0, low, high]);
                Transfer::control_in(id, setup)
            }
            2 => Transfer::data_in(id, address, length as u32),
            3 => Transfer::data_out(id, address, data()),
            _ => {
                let count = 1 + decisions.below(5) as u32;
                let packets = (0..count).map(|at| IsoPacket::new(at * 100, 90)).collect();
                let payload = if decisions.chance() {
                    Payload::In {
                        length: count * 100,
                    }
                } else {
                    Payload::Out(Bytes::from(vec![7; count as usize * 100]))
                };
                Transfer::new(id, address, Kind::Isochronous(packets), payload).with_interval(8)
            }
        }
    }

    fn act(&mut self, device: &mut client::Session, decisions: &mut Decisions<'_>) {
        if decisions.chance() {
            let transfer = self.transfer(decisions);
            if let Payload::Out(data) = &transfer.payload {
                self.sent.insert(self.submitted, data.clone());
            }
            let entry = (self.submitted, transfer.clone(), false);
            self.out.insert(transfer.id, entry);
            self.submitted += 1;
            device.submit(transfer);
        } else {
            let at = decisions.below(self.out.len());
            if let Some((id, (_, _, cancelled))) = self.out.iter_mut().nth(at) {
                *cancelled = true;
                device.cancel(*id);
            }
        }
    }

    fn complete(&mut self, completion: Completion) {
        let (ordinal, transfer, cancelled) = self.out.remove(&completion.id).expect("exactly once");
        self.completed += 1;
        match completion.status {
            Status::COMPLETED => {
                let expected = ModelDevice::answer(ordinal, transfer);
                match (&completion.actual, &expected.actual) {
                    (Actual::In(data), Actual::In(expected)) => assert!(data == expected),
                    (Actual::Out(taken), Actual::Out(expected)) => assert_eq!(taken, expected),
                    other => panic!("{other:?}"),
                }
                assert_eq!(completion.packets, expected.packets);
            }
            Status::CANCELLED => {
                assert!(cancelled, "nobody asked");
                self.cancelled += 1;
            }
            Status::DISCONNECTED => {}
            other => panic!("{other:?}"),
        }
    }

    fn poll(&mut self, device: &mut client::Session) -> bool {
        match device.poll() {
            Some(FunctionEvent::Complete(completion)) => self.complete(completion),
            Some(FunctionEvent::Detached) => assert!(self.out.is_empty(), "all done before"),
            _ => return false,
        }
        true
    }
}

/// Reads both directions as strictly as vhci_hcd does, which drops the device over a reply to a
/// request that is not in flight: our client would forgive it. Nor may a reply bring more than was
/// asked, other packets, or packets that do not add up.
#[derive(Default)]
struct Vhci {
    requests: Vec<u8>,
    replies: Vec<u8>,
    in_flight: BTreeMap<u32, InFlight>,
    /// Unlinks in flight: what they unlink.
    unlinks: BTreeMap<u32, u32>,
}

struct InFlight {
    is_in: bool,
    length: u32,
    /// Offset and length of each.
    packets: Vec<(u32, u32)>,
}

impl Vhci {
    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    fn saw_requests(&mut self, bytes: &[u8]) {
        self.requests.extend_from_slice(bytes);
        while self.requests.len() >= 48 {
            let word = |at| Self::word(&self.requests, at);
            let (seqnum, direction, packets) = (word(4), word(12), word(32) as usize);
            let is_submit = word(0) == 1;
            let out = if direction == 0 { word(24) as usize } else { 0 };
            let total = if is_submit {
                48 + out + packets * 16
            } else {
                48
            };
            if self.requests.len() < total {
                break;
            }
            if is_submit {
                let request = InFlight {
                    is_in: direction == 1,
                    length: word(24),
                    packets: self.requests[48 + out..total]
                        .chunks(16)
                        .map(|packet| (Self::word(packet, 0), Self::word(packet, 4)))
                        .collect(),
                };
                self.in_flight.insert(seqnum, request);
            } else {
                self.unlinks.insert(seqnum, word(20));
            }
            self.requests.drain(..total);
        }
    }

    fn saw_replies(&mut self, bytes: &[u8]) {
        self.replies.extend_from_slice(bytes);
        while self.replies.len() >= 48 {
            let word = |at| Self::word(&self.replies, at);
            let (seqnum, length) = (word(4), word(24) as usize);
            let total = match word(0) {
                3 => {
                    let request = self.in_flight.get(&seqnum);
                    let request = request.expect("a reply to what is in flight");
                    assert!(length <= request.length as usize);
                    assert_eq!(word(32) as usize, request.packets.len());
                    48 + if request.is_in { length } else { 0 } + request.packets.len() * 16
                }
                4 => 48,
                other => panic!("command {other}"),
            };
            if self.replies.len() < total {
                break;
            }
            if word(0) == 3 {
                let request = self.in_flight.remove(&seqnum).unwrap();
                let count = request.packets.len();
                let replied: Vec<_> = self.replies[total - count * 16..total].chunks(16).collect();
                let mut sum = 0;
                for (packet, asked) in replied.iter().zip(&request.packets) {
                    assert_eq!((Self::word(packet, 0), Self::word(packet, 4)), *asked);
                    sum += Self::word(packet, 8) as usize;
                }
                assert!(count == 0 || sum == length, "packets of {sum} in {length}");
            } else {
                let target = self
                    .unlinks
                    .remove(&seqnum)
                    .expect("an unlink is in flight");
                let cancelled = word(20) as i32 == -104;
                assert_eq!(self.in_flight.remove(&target).is_some(), cancelled);
            }
            self.replies.drain(..total);
        }
    }
}

struct Pair {
    vhci: Vhci,
    host: Host,
    client: client::Session,
    client_rx: BytesMut,
    server: server::Session,
    server_rx: BytesMut,
    device: ModelDevice,
    c2s: Link,
    s2c: Link,
}

impl Pair {
    fn new() -> Self {
        let id = DeviceId::new(1, 2);
        Self {
            vhci: Vhci::default(),
            host: Host::default(),
            client: client::Session::new(id, Speed::High, Limits::default()),
            client_rx: BytesMut::new(),
            server: server::Session::new(id, Speed::High, Limits::default()),
            server_rx: BytesMut::new(),
            device: ModelDevice::default(),
            c2s: Link::default(),
            s2c: Link::default(),
        }
    }

    fn write_requests(&mut self, decisions: &mut Decisions<'_>) {
        let taken = self.c2s.write(self.client.tx(), decisions);
        self.vhci.saw_requests(&taken);
    }

    fn write_replies(&mut self, decisions: &mut Decisions<'_>) {
        let taken = self.s2c.write(self.server.tx(), decisions);
        self.vhci.saw_replies(&taken);
    }

    fn turn_server(&mut self) {
        loop {
            exchange(&mut self.server, &mut self.device);
            if self.server.receive(&mut self.server_rx).unwrap() != Step::Ready {
                break;
            }
        }
    }

    fn turn_client(&mut self) {
        loop {
            while self.host.poll(&mut self.client) {}
            if self.client.receive(&mut self.client_rx).unwrap() != Step::Ready {
                break;
            }
        }
    }

    fn step(&mut self, decisions: &mut Decisions<'_>) {
        match decisions.below(8) {
            0 => self.host.act(&mut self.client, decisions),
            1 => self.device.finish_one(decisions),
            2 => self.write_requests(decisions),
            3 => self.c2s.read(&mut self.server_rx, decisions),
            4 => self.write_replies(decisions),
            5 => self.s2c.read(&mut self.client_rx, decisions),
            6 => self.turn_server(),
            _ => self.turn_client(),
        }
    }

    /// Lets everything run to its end.
    fn settle(&mut self) {
        let everything = [1; 4096];
        for _ in 0..10_000 {
            let mut all = Decisions::new(&everything);
            self.write_requests(&mut all);
            self.c2s.read(&mut self.server_rx, &mut all);
            self.turn_server();
            self.device.finish_one(&mut all);
            self.turn_server();
            self.write_replies(&mut all);
            self.s2c.read(&mut self.client_rx, &mut all);
            self.turn_client();
            if self.host.out.is_empty() && self.device.pending() == 0 && self.quiet() {
                return;
            }
        }
        panic!("{} transfers never completed", self.host.out.len());
    }

    fn quiet(&mut self) -> bool {
        self.client.tx().is_empty()
            && self.server.tx().is_empty()
            && self.c2s.is_empty()
            && self.s2c.is_empty()
            && self.client_rx.is_empty()
            && self.server_rx.is_empty()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_transfer_completes_exactly_once_and_rightly(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let mut decisions = Decisions::new(&bytes);
        let mut pair = Pair::new();
        while !decisions.is_empty() {
            pair.step(&mut decisions);
        }
        pair.settle();
        prop_assert_eq!(pair.server.pending(), 0);
        prop_assert_eq!(pair.device.submitted, pair.host.completed);
        prop_assert!(pair.vhci.in_flight.is_empty() && pair.vhci.unlinks.is_empty());
        for (ordinal, data) in &pair.device.received {
            // A request without data is OUT on the wire, whatever it was.
            let sent = pair.host.sent.get(ordinal).map_or(&[][..], |sent| sent);
            prop_assert_eq!(&data[..], sent);
        }
    }

    #[test]
    fn an_end_anywhere_completes_everything(
        bytes in prop::collection::vec(any::<u8>(), 0..1500),
        server_first: bool,
    ) {
        let mut decisions = Decisions::new(&bytes);
        let mut pair = Pair::new();
        while !decisions.is_empty() {
            pair.step(&mut decisions);
        }
        if server_first {
            pair.device.unplug();
        } else {
            pair.server.end();
        }
        exchange(&mut pair.server, &mut pair.device);
        prop_assert_eq!(pair.server.poll(), None::<HostEvent>);
        prop_assert_eq!(pair.server.pending(), 0, "the device is free");
        prop_assert!(pair.device.resets == 1);
        pair.client.end();
        pair.turn_client();
        prop_assert!(pair.host.out.is_empty());
    }

    #[test]
    fn however_the_bytes_are_cut_the_same_happens(cuts in prop::collection::vec(1usize..700, 1..50)) {
        let stream = &include_bytes!("data/zero.c2s.bin")[40..];
        let run = |mut pieces: Box<dyn Iterator<Item = &[u8]>>| {
            let mut session = server::Session::new(DeviceId::default(), Speed::High, Limits::default());
            let mut rx = BytesMut::new();
            let mut events = Vec::new();
            loop {
                match session.receive(&mut rx).unwrap() {
                    Step::Ready => events.extend(session.poll()),
                    Step::Io(wants) => {
                        assert!(rx.capacity() - rx.len() >= wants.read.unwrap().get());
                        let Some(piece) = pieces.next() else { return events };
                        rx.extend_from_slice(piece);
                    }
                }
            }
        };
        let whole = run(Box::new(std::iter::once(stream)));
        let mut rest = stream;
        let mut cuts = cuts.into_iter().cycle();
        let pieces = std::iter::from_fn(move || {
            let (piece, left) = rest.split_at(cuts.next()?.min(rest.len()));
            rest = left;
            Some(piece).filter(|piece| !piece.is_empty())
        });
        prop_assert_eq!(run(Box::new(pieces)), whole);
    }

    #[test]
    fn spoilt_bytes_are_refused_or_understood(
        at in 40usize..4500,
        value: u8,
        cut in 0usize..4460,
    ) {
        let mut stream = include_bytes!("data/zero.c2s.bin").to_vec();
        stream[at] = value;
        stream.truncate(4500 - cut);
        let mut session = server::Session::new(DeviceId::default(), Speed::High, Limits::default());
        let mut rx = BytesMut::from(&stream[40.min(stream.len())..]);
        let mut device = ModelDevice::default();
        loop {
            exchange(&mut session, &mut device);
            match session.receive(&mut rx) {
                Ok(Step::Ready) => {}
                Ok(Step::Io(_)) | Err(_) => break,
            }
        }
        session.end();
        exchange(&mut session, &mut device);
        prop_assert_eq!(session.pending(), 0);
        prop_assert!(rx.capacity() < 20 << 20);
    }
}
