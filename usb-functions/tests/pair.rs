//! Each device behind a USB/IP server and a client, over links that cut and delay: whatever happens,
//! each transfer completes exactly once.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod host;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use host::{endpoint, options};
use proptest::prelude::*;
use testkit::{Decisions, Link};
use usb_descriptors::{Direction, SetupPacket, Speed};
use usb_functions::{
    Audio, AudioLoopback, Buttons, Keyboard, KeyboardLayout, Mouse, Serial, Tablet, Usage,
};
use usb_transfer::{
    Actual, Completion, Frame, Function, FunctionEvent, IsoPacket, Kind, Payload, Status, Step,
    Transfer, TransferId, TransferIds, Wire, exchange,
};
use usbip_proto::{DeviceId, Limits, client, server};

/// What hosts ask of these devices, and of others.
const REQUESTS: [[u8; 8]; 12] = [
    [0x80, 6, 0, 1, 0, 0, 18, 0],
    [0x81, 6, 0, 0x22, 0, 0, 100, 0],
    [0x00, 9, 1, 0, 0, 0, 0, 0],
    [0x01, 11, 1, 0, 1, 0, 0, 0],
    [0x01, 11, 1, 0, 2, 0, 0, 0],
    [0x01, 11, 0, 0, 1, 0, 0, 0],
    [0x21, 10, 0, 1, 0, 0, 0, 0],
    [0x21, 9, 0, 2, 0, 0, 1, 0],
    [0x21, 0x20, 0, 0, 0, 0, 7, 0],
    [0x21, 0x22, 3, 0, 0, 0, 0, 0],
    [0xa2, 0x81, 0, 1, 0x82, 0, 3, 0],
    [0x02, 1, 0, 0, 0x81, 0, 0, 0],
];

/// Of all devices.
const ENDPOINTS: [u8; 5] = [0x81, 0x02, 0x83, 0x01, 0x82];

struct Pair<F> {
    ids: TransferIds,
    /// What is under way, and whether it was cancelled or is stopped by a request behind it.
    out: BTreeMap<TransferId, (Transfer, bool)>,
    client: client::Session,
    client_rx: BytesMut,
    server: server::Session,
    server_rx: BytesMut,
    c2s: Link,
    s2c: Link,
    device: F,
    act: fn(&mut F, &mut Decisions<'_>),
    now: u64,
}

impl<F: Function> Pair<F> {
    fn new(device: F, act: fn(&mut F, &mut Decisions<'_>)) -> Self {
        let id = DeviceId::new(1, 2);
        Self {
            ids: TransferIds::default(),
            out: BTreeMap::new(),
            client: client::Session::new(id, Speed::High, Limits::default()),
            client_rx: BytesMut::new(),
            server: server::Session::new(id, Speed::High, Limits::default()),
            server_rx: BytesMut::new(),
            c2s: Link::default(),
            s2c: Link::default(),
            device,
            act,
            now: 1,
        }
    }

    fn submit(&mut self, transfer: Transfer) {
        self.out.insert(transfer.id, (transfer.clone(), false));
        self.client.submit(transfer);
    }

    fn control(&mut self, bytes: [u8; 8]) {
        let (id, setup) = (self.ids.mint(), SetupPacket::from_bytes(bytes));
        let stopped: &[u8] = match bytes {
            [0x00, 9, ..] => &ENDPOINTS,
            [0x01, 11, _, _, 1, ..] => &[0x81, 0x02, 0x01],
            [0x01, 11, _, _, 2, ..] => &[0x82],
            _ => &[],
        };
        for (transfer, may_end) in self.out.values_mut() {
            *may_end |= stopped.contains(&transfer.endpoint.to_byte());
        }
        self.submit(match setup.data_direction() {
            Direction::In => Transfer::control_in(id, setup),
            Direction::Out => {
                let data = vec![1; usize::from(setup.length)];
                Transfer::control_out(id, setup, data.into())
            }
        });
    }

    fn ask(&mut self, decisions: &mut Decisions<'_>) {
        let address = endpoint(ENDPOINTS[decisions.below(5)]);
        let id = self.ids.mint();
        let is_isochronous = matches!(address.to_byte(), 0x01 | 0x82);
        let count = 1 + decisions.below(6) as u32;
        let length = if is_isochronous {
            count * 192
        } else {
            decisions.below(2000) as u32
        };
        let payload = match address.direction() {
            Direction::In => Payload::In { length },
            Direction::Out => Payload::Out(Bytes::from(vec![7; length as usize])),
        };
        let kind = if is_isochronous {
            let packets = (0..count).map(|at| IsoPacket::new(at * 192, 192));
            Kind::Isochronous(packets.collect())
        } else {
            Kind::Data { stream: None }
        };
        self.submit(Transfer::new(id, address, kind, payload).with_interval(8));
    }

    fn step(&mut self, decisions: &mut Decisions<'_>) {
        match decisions.below(10) {
            0 | 1 => self.ask(decisions),
            2 => self.control(REQUESTS[decisions.below(REQUESTS.len())]),
            3 => {
                let at = decisions.below(self.out.len());
                if let Some((id, (_, may_end))) = self.out.iter_mut().nth(at) {
                    *may_end = true;
                    self.client.cancel(*id);
                }
            }
            4 => (self.act)(&mut self.device, decisions),
            5 => {
                self.now += decisions.below(100) as u64;
                self.device.start_of_frame(Frame(self.now));
            }
            6 => {
                self.c2s.write(self.client.tx(), decisions);
                self.c2s.read(&mut self.server_rx, decisions);
            }
            7 => {
                self.s2c.write(self.server.tx(), decisions);
                self.s2c.read(&mut self.client_rx, decisions);
            }
            8 => self.turn_server(),
            _ => self.turn_client(),
        }
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
            while let Some(event) = self.client.poll() {
                match event {
                    FunctionEvent::Complete(completion) => self.complete(&completion),
                    other => assert_eq!(other, FunctionEvent::Detached),
                }
            }
            if self.client.receive(&mut self.client_rx).unwrap() != Step::Ready {
                break;
            }
        }
    }

    fn complete(&mut self, completion: &Completion) {
        let (transfer, may_end) = self.out.remove(&completion.id).expect("exactly once");
        match completion.status {
            Status::COMPLETED | Status::STALL => {}
            // A report that the host did not leave room for.
            Status::OVERFLOW => assert!(transfer.payload.len() < 16),
            // Unlinked, or stopped by a request.
            Status::CANCELLED => assert!(may_end, "{transfer:?}"),
            other => panic!("{other:?} of {transfer:?}"),
        }
        if let Actual::In(data) = &completion.actual {
            assert!(data.len() <= transfer.payload.len());
        }
        if let Kind::Isochronous(packets) = &transfer.kind {
            assert_eq!(packets.len(), completion.packets.len());
        }
    }

    /// Lets what is on its way arrive.
    fn settle(&mut self) {
        let everything = [1; 4096];
        for _ in 0..100 {
            let mut all = Decisions::new(&everything);
            self.c2s.write(self.client.tx(), &mut all);
            self.c2s.read(&mut self.server_rx, &mut all);
            self.turn_server();
            self.s2c.write(self.server.tx(), &mut all);
            self.s2c.read(&mut self.client_rx, &mut all);
            self.turn_client();
        }
    }
}

fn run<F: Function>(device: F, bytes: &[u8], act: fn(&mut F, &mut Decisions<'_>)) {
    let mut decisions = Decisions::new(bytes);
    let mut pair = Pair::new(device, act);
    for request in &REQUESTS[2..5] {
        pair.control(*request);
    }
    while !decisions.is_empty() {
        pair.step(&mut decisions);
    }
    pair.settle();
    // What waits for reports or samples is unlinked; nothing else is left.
    let waiting: Vec<TransferId> = pair.out.keys().copied().collect();
    for id in waiting {
        pair.out.get_mut(&id).unwrap().1 = true;
        pair.client.cancel(id);
    }
    pair.settle();
    assert!(pair.out.is_empty(), "{:?}", pair.out);
    pair.server.end();
    exchange(&mut pair.server, &mut pair.device);
    assert_eq!(usb_transfer::Frontend::pending(&pair.server), 0);
    assert_eq!(pair.device.poll(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn each_transfer_completes_exactly_once(
        which in 0usize..7,
        bytes in prop::collection::vec(any::<u8>(), 0..2500),
    ) {
        match which {
            0 => run(Keyboard::new(options()).unwrap(), &bytes, |keyboard, decisions| {
                let usage = Usage(decisions.byte());
                match decisions.below(4) {
                    0 => keyboard.press(usage),
                    1 => keyboard.release(usage),
                    2 => keyboard.release_all(),
                    _ => keyboard.type_text("Text", KeyboardLayout::US).unwrap(),
                }
                keyboard.poll_event();
            }),
            1 => run(Mouse::new(options()).unwrap(), &bytes, |mouse, decisions| {
                mouse.move_by(i32::from(decisions.byte()), -200, 0);
                mouse.set_buttons(Buttons(decisions.byte()));
            }),
            2 => run(Tablet::new(options()).unwrap(), &bytes, |tablet, decisions| {
                tablet.move_to(u16::from(decisions.byte()), 7);
                tablet.set_buttons(Buttons(decisions.byte()));
            }),
            3 => run(Serial::new(options()).unwrap(), &bytes, |serial, decisions| {
                let _ = serial.send(Bytes::from(vec![1; decisions.below(5000)]));
                serial.poll_event();
            }),
            4 => run(Serial::loopback(options()).unwrap(), &bytes, |serial, _| {
                serial.poll_event();
            }),
            5 => run(Audio::new(options()).unwrap(), &bytes, |audio, decisions| {
                audio.supply(&vec![1; decisions.below(5000)]);
                audio.poll_event();
            }),
            _ => run(AudioLoopback::new(options()).unwrap(), &bytes, |_, _| {}),
        }
    }
}
