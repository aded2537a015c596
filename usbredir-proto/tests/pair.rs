//! Guest and host against each other over links that cut and delay, in front of a device that
//! finishes in any order: whatever happens, each transfer completes exactly once and rightly.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use common::{
    BULK_IN, BULK_OUT, INTERRUPT_IN, INTERRUPT_OUT, ISO_IN, ISO_OUT, address, descriptors,
};
use proptest::prelude::*;
use testkit::{Decisions, Link, ModelDevice};
use usb_descriptors::SetupPacket;
use usb_transfer::{
    Actual, Completion, Frame, Frontend, Function, FunctionEvent, IsoPacket, Kind, Payload, Status,
    Step, Transfer, TransferId, TransferIds, Wire, exchange,
};
use usbredir_proto::{Capabilities, Guest, GuestState, Host, HostState, Options};

/// A user of the guest's device that submits and cancels at random and checks what comes back.
#[derive(Default)]
struct User {
    ids: TransferIds,
    /// With which request it is, and whether it was cancelled.
    out: BTreeMap<TransferId, (usize, Transfer, bool)>,
    requests: usize,
    submitted: usize,
    completed: usize,
    cancelled: usize,
    is_detached: bool,
    is_unplugged: bool,
    /// Streams make transfers of their own, so that the device counts others.
    with_streams: bool,
}

impl User {
    fn transfer(&mut self, decisions: &mut Decisions<'_>) -> Transfer {
        let id = self.ids.mint();
        let length = [0, 1, 13, 255, 256, 4000][decisions.below(6)];
        let [low, high] = (length as u16).to_le_bytes();
        let data = vec![length as u8; length];
        match decisions.below(if self.with_streams { 8 } else { 5 }) {
            0 => {
                let setup = SetupPacket::from_bytes([0x40, 1, 0, 0, 0, 0, low, high]);
                Transfer::control_out(id, setup, data.into())
            }
            1 => {
                let setup = SetupPacket::from_bytes([0xc0, 1, 0, 0, 0, 0, low, high]);
                Transfer::control_in(id, setup)
            }
            2 => Transfer::data_in(id, address(BULK_IN), length as u32),
            3 => Transfer::data_out(id, address(BULK_OUT), data.into()),
            4 => Transfer::data_out(id, address(INTERRUPT_OUT), data.into()),
            5 => Transfer::data_in(id, address(INTERRUPT_IN), 8),
            direction => {
                let count = 1 + decisions.below(5) as u32;
                let packets = (0..count).map(|at| IsoPacket::new(at * 100, 100)).collect();
                let length = count * 100;
                let (endpoint, payload) = if direction == 6 {
                    (ISO_IN, Payload::In { length })
                } else {
                    (ISO_OUT, Payload::Out(Bytes::from(vec![7; length as usize])))
                };
                let kind = Kind::Isochronous(packets);
                Transfer::new(id, address(endpoint), kind, payload).with_interval(1)
            }
        }
    }

    fn act(&mut self, device: &mut Guest, decisions: &mut Decisions<'_>) {
        if decisions.chance() {
            let transfer = self.transfer(decisions);
            let entry = (self.requests, transfer.clone(), false);
            self.requests += 1;
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
                assert_eq!(completion.packets, expected.packets);
                match (&completion.actual, &expected.actual) {
                    (Actual::In(data), Actual::In(expected)) => {
                        assert_eq!(data.len(), expected.len());
                        assert!(self.with_streams || data == expected);
                    }
                    (Actual::Out(taken), Actual::Out(expected)) => assert_eq!(taken, expected),
                    other => panic!("{other:?}"),
                }
            }
            Status::CANCELLED => {
                assert!(cancelled, "nobody asked");
                self.cancelled += 1;
            }
            Status::DISCONNECTED => {}
            // The wire has no word for a device that is gone; its streams have stopped.
            Status::PROTOCOL | Status::STALL if self.is_unplugged => {}
            other => panic!("{other:?}"),
        }
    }

    fn poll(&mut self, device: &mut Guest) -> bool {
        match device.poll() {
            Some(FunctionEvent::Complete(completion)) => self.complete(completion),
            Some(FunctionEvent::Detached) => {
                assert!(self.out.is_empty(), "all done before");
                self.is_detached = true;
            }
            _ => return false,
        }
        true
    }
}

struct Pair {
    user: User,
    guest: Guest,
    guest_rx: BytesMut,
    host: Host,
    host_rx: BytesMut,
    device: ModelDevice,
    g2h: Link,
    h2g: Link,
    now: u64,
}

impl Pair {
    fn new(capabilities: u32, with_streams: bool) -> Self {
        let mut options = Options::default();
        options.capabilities = Capabilities::from_bits(capabilities);
        let mut host = Host::new(options);
        host.attach(descriptors()).unwrap();
        let mut pair = Self {
            user: User {
                with_streams,
                ..User::default()
            },
            guest: Guest::new(Options::default()),
            guest_rx: BytesMut::new(),
            host,
            host_rx: BytesMut::new(),
            device: ModelDevice::default(),
            g2h: Link::default(),
            h2g: Link::default(),
            now: 0,
        };
        pair.settle();
        assert_eq!(pair.guest.state(), GuestState::Attached);
        assert_eq!(pair.host.state(), HostState::Attached);
        pair
    }

    fn step(&mut self, decisions: &mut Decisions<'_>) {
        match decisions.below(9) {
            0 | 1 => self.user.act(&mut self.guest, decisions),
            2 => self.device.finish_one(decisions),
            3 => drop(self.g2h.write(self.guest.tx(), decisions)),
            4 => drop(self.h2g.write(self.host.tx(), decisions)),
            5 => self.g2h.read(&mut self.host_rx, decisions),
            6 => self.h2g.read(&mut self.guest_rx, decisions),
            7 => {
                self.now += 3;
                self.guest.start_of_frame(Frame(self.now));
            }
            _ => {}
        }
        self.turn();
    }

    fn turn(&mut self) {
        loop {
            exchange(&mut self.host, &mut self.device);
            if self.host.receive(&mut self.host_rx).unwrap() != Step::Ready {
                break;
            }
        }
        loop {
            while self.user.poll(&mut self.guest) {}
            if self.guest.receive(&mut self.guest_rx).unwrap() != Step::Ready {
                break;
            }
            // A device that has come is no event.
            if !self.user.poll(&mut self.guest) && self.user.submitted == 0 {
                break;
            }
        }
    }

    /// Everything that is on its way arrives.
    fn settle(&mut self) {
        let all = [1; 64];
        for _ in 0..4 {
            for _ in 0..20 {
                let mut decisions = Decisions::new(&all);
                drop(self.g2h.write(self.guest.tx(), &mut decisions));
                self.g2h.read(&mut self.host_rx, &mut decisions);
                drop(self.h2g.write(self.host.tx(), &mut decisions));
                self.h2g.read(&mut self.guest_rx, &mut decisions);
                self.turn();
            }
        }
    }

    /// The device finishes all, until the user has everything back.
    fn finish(&mut self) {
        for _ in 0..2000 {
            if self.user.out.is_empty() {
                return;
            }
            self.device.finish_one(&mut Decisions::new(&[]));
            self.now += 100;
            self.guest.start_of_frame(Frame(self.now));
            let mut decisions = Decisions::new(&[1; 64]);
            drop(self.g2h.write(self.guest.tx(), &mut decisions));
            self.g2h.read(&mut self.host_rx, &mut decisions);
            drop(self.h2g.write(self.host.tx(), &mut decisions));
            self.h2g.read(&mut self.guest_rx, &mut decisions);
            self.turn();
        }
        panic!("{:?}", self.user.out);
    }
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn each_transfer_completes_exactly_once_and_rightly(
        choices in choices(),
        capabilities in prop_oneof![Just(0xff), Just(0), 0u32..=0xff],
    ) {
        let mut pair = Pair::new(capabilities, false);
        let mut decisions = Decisions::new(&choices);
        while !decisions.is_empty() {
            pair.step(&mut decisions);
        }
        pair.finish();
        pair.settle();
        prop_assert_eq!(pair.user.completed, pair.user.submitted);
        prop_assert_eq!(pair.device.submitted, pair.user.submitted);
        prop_assert_eq!(pair.host.pending(), 0);
    }

    #[test]
    fn streams_complete_too(choices in choices()) {
        let mut pair = Pair::new(0xff, true);
        let mut decisions = Decisions::new(&choices);
        while !decisions.is_empty() {
            pair.step(&mut decisions);
        }
        pair.finish();
        prop_assert_eq!(pair.user.completed, pair.user.submitted);
    }

    #[test]
    fn an_end_anywhere_completes_everything(choices in choices(), how in 0..4) {
        let mut pair = Pair::new(0xff, true);
        let mut decisions = Decisions::new(&choices);
        while !decisions.is_empty() {
            pair.step(&mut decisions);
        }
        match how {
            0 => {
                pair.user.is_unplugged = true;
                pair.device.unplug();
            }
            1 => {
                pair.host.end();
                pair.guest.end();
            }
            2 => {
                for (_, _, cancelled) in pair.user.out.values_mut() {
                    *cancelled = true;
                }
                pair.guest.reset();
            }
            _ => pair.guest.reject(),
        }
        pair.turn();
        pair.settle();
        prop_assert!(pair.user.out.is_empty());
        prop_assert_eq!(pair.user.is_detached, how != 2);
        prop_assert_eq!(pair.host.pending(), 0);
        let state = pair.host.state();
        prop_assert_eq!(state, [HostState::Empty, HostState::Over, HostState::Attached, HostState::Rejected][how as usize]);
        // What is asked of a device that is gone is answered.
        if how != 2 {
            let transfer = Transfer::data_in(pair.user.ids.mint(), address(BULK_IN), 1);
            let id = transfer.id;
            pair.guest.submit(transfer);
            let Some(FunctionEvent::Complete(completion)) = pair.guest.poll() else { panic!() };
            prop_assert_eq!((completion.id, completion.status), (id, Status::DISCONNECTED));
        }
    }
}
