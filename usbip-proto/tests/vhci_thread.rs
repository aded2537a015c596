//! vhci_hcd's thread in front of our server: unlinks that overtake the requests they name, at random.
//! Each rule of theirs is in `early.rs`.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use common::{IN, OUT, RET_SUBMIT, RET_UNLINK, Server, Submit, packet, reply, unlink};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use testkit::{Decisions, ModelDevice};
use usb_transfer::{Frontend, Step, Wire, exchange};
use usbip_proto::Limits;

const RESET: i32 = -104;

/// vhci_hcd, with its thread: queues of what is to be sent, what it waits for, and what it makes of
/// replies.
#[derive(Default)]
struct Vhci {
    seqnum: u32,
    to_submit: VecDeque<(u32, Vec<u8>)>,
    to_unlink: VecDeque<(u32, u32)>,
    /// Requests that were sent and not given back.
    sent: Vec<u32>,
    /// Those with which data comes back.
    reads: Vec<u32>,
    /// Unlinks that were sent: their targets.
    unlinking: BTreeMap<u32, u32>,
    /// Queued or sent, and not yet asked to be unlinked.
    wanted: Vec<u32>,
    given_back: usize,
    submitted: usize,
    /// Unlinks that overtook their request.
    early: usize,
    replies: Vec<u8>,
}

impl Vhci {
    fn number(&mut self) -> u32 {
        self.seqnum = self.seqnum.wrapping_add(1);
        self.seqnum
    }

    fn enqueue(&mut self, decisions: &mut Decisions<'_>) {
        // Other devices of the hub take numbers too.
        self.seqnum = self.seqnum.wrapping_add(decisions.below(3) as u32);
        let seqnum = self.number();
        let (direction, endpoint) = (decisions.below(2) as u32, 1 + decisions.below(3) as u32);
        let mut submit = Submit::new(seqnum, direction, endpoint, decisions.below(300) as i32);
        let length = submit.length as usize;
        submit.packets = i32::from(endpoint == 3);
        let mut message = submit.header().to_vec();
        if direction == OUT {
            message.resize(48 + length, 7);
        }
        if endpoint == 3 {
            message.extend(packet(0, length as u32));
        }
        if direction == IN {
            self.reads.push(seqnum);
        }
        self.to_submit.push_back((seqnum, message));
        self.wanted.push(seqnum);
        self.submitted += 1;
    }

    fn dequeue(&mut self, decisions: &mut Decisions<'_>) {
        if !self.wanted.is_empty() {
            let target = self.wanted.remove(decisions.below(self.wanted.len()));
            let seqnum = self.number();
            self.to_unlink.push_back((seqnum, target));
        }
    }

    /// The first loop of the thread.
    fn send_submits(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (seqnum, message) in self.to_submit.drain(..) {
            self.sent.push(seqnum);
            bytes.extend(message);
        }
        bytes
    }

    /// The second.
    fn send_unlinks(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (seqnum, target) in self.to_unlink.drain(..) {
            self.early += usize::from(self.to_submit.iter().any(|each| each.0 == target));
            self.unlinking.insert(seqnum, target);
            bytes.extend(unlink(seqnum, target));
        }
        bytes
    }

    fn give_back(&mut self, seqnum: u32) -> bool {
        let Some(at) = self.sent.iter().position(|sent| *sent == seqnum) else {
            return false;
        };
        self.sent.remove(at);
        self.wanted.retain(|wanted| *wanted != seqnum);
        self.given_back += 1;
        true
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.replies.extend_from_slice(bytes);
        while self.replies.len() >= 48 {
            let header = reply(&self.replies);
            let mut total = 48;
            match header.command {
                RET_SUBMIT => {
                    assert!(
                        self.give_back(header.seqnum),
                        "cannot find a urb: the device is dropped"
                    );
                    if self.reads.contains(&header.seqnum) {
                        total += header.length as usize;
                    }
                    total += header.packets as usize * 16;
                }
                RET_UNLINK => {
                    let target = self.unlinking.remove(&header.seqnum);
                    let is_unlinked = self.give_back(target.expect("an unlink that waits"));
                    assert_eq!(header.status, if is_unlinked { RESET } else { 0 });
                }
                other => panic!("command {other}"),
            }
            self.replies.drain(..total);
        }
    }
}

/// vhci in front of a device that finishes in any order.
struct Pair {
    vhci: Vhci,
    wire: VecDeque<u8>,
    server: Server,
    device: ModelDevice,
}

impl Pair {
    fn step(&mut self, decisions: &mut Decisions<'_>) {
        match decisions.below(8) {
            0 | 1 => self.vhci.enqueue(decisions),
            2 => self.vhci.dequeue(decisions),
            3 => self.wire.extend(self.vhci.send_submits()),
            4 => self.wire.extend(self.vhci.send_unlinks()),
            5 => self.device.finish_one(decisions),
            _ => self.carry(decisions.below(400)),
        }
    }

    fn carry(&mut self, count: usize) {
        let bytes = self.wire.drain(..count.min(self.wire.len()));
        self.server.rx.extend(bytes);
        let session = &mut self.server.session;
        while {
            exchange(session, &mut self.device);
            session.receive(&mut self.server.rx).unwrap() == Step::Ready
        } {}
        self.vhci.receive(&self.server.written());
    }

    fn settle(&mut self) {
        self.wire.extend(self.vhci.send_submits());
        self.wire.extend(self.vhci.send_unlinks());
        self.carry(usize::MAX);
        while self.device.pending() > 0 {
            self.device.finish_one(&mut Decisions::new(&[]));
            self.carry(0);
        }
    }
}

/// Each request is given back once, whatever overtakes it, and the device is not dropped.
#[test]
fn each_request_is_given_back_once() {
    let early = Cell::new(0);
    let first = prop_oneof![any::<u32>(), Just(u32::MAX - 20)];
    let cases = (first, prop::collection::vec(any::<u8>(), 0..3000));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(300));
    let ran = runner.run(&cases, |(seqnum, bytes)| {
        let mut limits = Limits::default();
        limits.max_in_flight_bytes = 2000;
        let mut pair = Pair {
            vhci: Vhci {
                seqnum,
                ..Vhci::default()
            },
            wire: VecDeque::new(),
            server: Server::new(limits),
            device: ModelDevice::default(),
        };
        let mut decisions = Decisions::new(&bytes);
        while !decisions.is_empty() {
            pair.step(&mut decisions);
        }
        pair.settle();
        let vhci = &pair.vhci;
        prop_assert_eq!(vhci.given_back, vhci.submitted);
        prop_assert!(vhci.sent.is_empty() && vhci.unlinking.is_empty());
        prop_assert_eq!(pair.server.session.pending(), 0);
        early.set(early.get() + vhci.early);
        Ok(())
    });
    ran.unwrap();
    assert!(early.get() > 1000, "{} unlinks came early", early.get());
}
