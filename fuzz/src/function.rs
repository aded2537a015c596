//! A simulated device between a host without manners and a user who does what he likes.
//!
//! Invariants: every transfer completes exactly once, those of one endpoint in order unless they
//! stall, a cancelled one at once; no more comes than was asked for, and the packets of an
//! isochronous transfer come back where they were, with sums that agree; a reset completes
//! everything, and the next host finds a device that answers. A device that leaves completes
//! everything, says so once, and is gone for whoever asks.

use std::collections::BTreeMap;

use bytes::Bytes;
use testkit::Decisions;
use usb_descriptors::{Direction, EndpointAddress, SetupPacket};
use usb_transfer::{
    Actual, Completion, Frame, Function, FunctionEvent, IsoPacket, Kind, Payload, Status, Transfer,
    TransferId, TransferIds,
};

use crate::{choices, split};

/// What a target says of its device.
pub(crate) struct Subject<F> {
    /// Requests of its class, of which the bytes that matter are changed now and then.
    pub(crate) requests: &'static [[u8; 8]],
    pub(crate) endpoints: &'static [u8],
    pub(crate) isochronous: bool,
    /// Alternate settings there are, by interface.
    pub(crate) settings: &'static [(u8, u8)],
    /// The user does something.
    pub(crate) act: fn(&mut F, &mut Decisions<'_>),
    /// What else holds.
    pub(crate) check: fn(&mut F),
    /// The device is taken away.
    pub(crate) detach: fn(&mut F),
}

/// Runs a target: choices steer the host and the user; the bytes after them are what the host
/// sends where it sends anything.
pub(crate) fn run<F: Function>(input: &[u8], device: F, subject: &Subject<F>) -> F {
    let mut run = Run::new(input, device, subject);
    run.configure();
    while !run.decisions.is_empty() {
        run.step();
        run.poll();
        (subject.check)(&mut run.device);
    }
    // A host has it, and leaves.
    run.configure();
    run.reset();
    run.configure();
    run.device
}

/// Takes the device away from a host that has asked something of each endpoint.
pub(crate) fn leave<F: Function>(device: F, subject: &Subject<F>) {
    let mut run = Run::new(&[], device, subject);
    run.configure();
    run.ask_each();
    (subject.detach)(&mut run.device);
    (subject.detach)(&mut run.device);
    run.poll();
    assert!(run.pending.is_empty(), "a device that leaves completes all");
    assert!(run.is_gone, "a device that leaves says so");
    run.ask_each();
    run.poll();
    assert!(
        run.pending.is_empty(),
        "a device that is gone completes all"
    );
    assert_eq!(run.device.next_frame(), None, "and does nothing more");
}

struct Run<'a, F> {
    decisions: Decisions<'a>,
    stream: &'a [u8],
    device: F,
    subject: &'a Subject<F>,
    ids: TransferIds,
    pending: BTreeMap<TransferId, Transfer>,
    order: BTreeMap<u8, Vec<TransferId>>,
    now: u64,
    is_gone: bool,
}

impl<'a, F: Function> Run<'a, F> {
    fn new(input: &'a [u8], device: F, subject: &'a Subject<F>) -> Self {
        let (decisions, stream) = split(input);
        Self {
            decisions,
            stream,
            device,
            subject,
            ids: TransferIds::default(),
            pending: BTreeMap::new(),
            order: BTreeMap::new(),
            now: 1,
            is_gone: false,
        }
    }

    fn step(&mut self) {
        match self.decisions.below(16) {
            0..=4 => self.ask(),
            5 | 6 => (self.subject.act)(&mut self.device, &mut self.decisions),
            7 | 8 => self.request(),
            9 | 10 => {
                self.now += self.decisions.below(2000) as u64;
                self.device.start_of_frame(Frame(self.now));
            }
            11 => {
                let at = self.decisions.below(self.pending.len());
                if let Some(id) = self.pending.keys().nth(at).copied() {
                    self.device.cancel(id);
                    self.poll();
                    let ended = !self.pending.contains_key(&id);
                    assert!(ended, "a cancelled transfer ends at once");
                }
                self.device.cancel(TransferId::from_u64(u64::MAX));
            }
            12 => {
                let setup = choices::setup(&mut self.decisions);
                self.control(setup);
            }
            13 => {
                let at = self.decisions.below(self.subject.settings.len());
                let (interface, settings) = self.subject.settings[at];
                let setting = self.decisions.byte() % (settings + 1);
                self.control(SetupPacket::set_interface(interface, setting));
            }
            14 => {
                let id = self.ids.mint();
                let transfer = choices::transfer(&mut self.decisions, id, 4096);
                self.submit(transfer);
            }
            _ if choices::rarely(&mut self.decisions, 4) => {
                self.reset();
                self.configure();
            }
            _ => {
                if let Some(frame) = self.device.next_frame() {
                    self.now = self.now.max(frame.0);
                    self.device.start_of_frame(Frame(self.now));
                }
            }
        }
    }

    /// A transfer as a host of such a device has it.
    fn ask(&mut self) {
        let at = self.decisions.below(self.subject.endpoints.len());
        self.ask_at(EndpointAddress::from_byte(self.subject.endpoints[at]));
    }

    fn ask_each(&mut self) {
        for endpoint in self.subject.endpoints {
            self.ask_at(EndpointAddress::from_byte(*endpoint));
        }
    }

    fn ask_at(&mut self, endpoint: EndpointAddress) {
        let (id, length) = (self.ids.mint(), self.decisions.below(2000));
        let payload = match endpoint.direction() {
            Direction::In => Payload::In {
                length: length as u32,
            },
            Direction::Out => {
                let (said, rest) = self.stream.split_at(length.min(self.stream.len()));
                self.stream = rest;
                Payload::Out(Bytes::copy_from_slice(said))
            }
        };
        let kind = if self.subject.isochronous {
            let count = self.decisions.below(12);
            let packets = choices::packets(&mut self.decisions, count, payload.len() as u32);
            let packets = packets.into_iter();
            Kind::Isochronous(packets.map(|(at, size)| IsoPacket::new(at, size)).collect())
        } else {
            Kind::Data { stream: None }
        };
        self.submit(Transfer::new(id, endpoint, kind, payload));
    }

    fn request(&mut self) {
        let at = self.decisions.below(self.subject.requests.len());
        let mut bytes = self.subject.requests[at];
        if choices::rarely(&mut self.decisions, 4) {
            bytes[self.decisions.below(8)] = self.decisions.byte();
        }
        if choices::rarely(&mut self.decisions, 2) {
            bytes[3] = self.decisions.byte();
        }
        self.control(SetupPacket::from_bytes(bytes));
    }

    fn control(&mut self, setup: SetupPacket) {
        let id = self.ids.mint();
        let transfer = match setup.data_direction() {
            Direction::In => Transfer::control_in(id, setup),
            Direction::Out => {
                let fill = self.decisions.byte();
                let data = vec![fill; usize::from(setup.length)];
                Transfer::control_out(id, setup, data.into())
            }
        };
        self.submit(transfer);
    }

    fn submit(&mut self, transfer: Transfer) {
        let endpoint = transfer.endpoint.to_byte();
        self.order.entry(endpoint).or_default().push(transfer.id);
        self.pending.insert(transfer.id, transfer.clone());
        self.device.submit(transfer);
    }

    fn configure(&mut self) {
        self.control(SetupPacket::set_configuration(1));
        self.poll();
        assert!(self.pending.is_empty(), "a new configuration stops all");
        for (interface, setting) in self.subject.settings {
            self.control(SetupPacket::set_interface(*interface, *setting));
        }
        self.poll();
    }

    fn reset(&mut self) {
        self.device.reset();
        self.poll();
        assert!(self.pending.is_empty(), "a reset completes all");
    }

    fn poll(&mut self) {
        while let Some(event) = self.device.poll() {
            match event {
                FunctionEvent::Complete(completion) => {
                    assert!(!self.is_gone || completion.status == Status::DISCONNECTED);
                    self.complete(&completion);
                }
                FunctionEvent::Detached if !self.is_gone => self.is_gone = true,
                other => panic!("{other:?}"),
            }
        }
    }

    fn complete(&mut self, completion: &Completion) {
        let transfer = self.pending.remove(&completion.id).expect("exactly once");
        let order = self.order.get_mut(&transfer.endpoint.to_byte());
        let order = order.expect("it was submitted there");
        let place = order.iter().position(|id| *id == completion.id);
        let place = place.expect("it was submitted there");
        order.remove(place);
        let early = [Status::CANCELLED, Status::STALL, Status::DISCONNECTED];
        let early = early.contains(&completion.status);
        assert!(place == 0 || early, "in order: {completion:?}");
        let moved = completion.actual.len();
        assert!(moved <= transfer.payload.len() || !matches!(transfer.kind, Kind::Data { .. }));
        let agrees = match completion.actual {
            Actual::In(_) => transfer.payload.direction() == Direction::In,
            Actual::Out(_) => transfer.payload.direction() == Direction::Out,
        };
        assert!(agrees || !transfer.is_consistent());
        let Kind::Isochronous(packets) = &transfer.kind else {
            return assert!(completion.packets.is_empty());
        };
        assert_eq!(packets.len(), completion.packets.len());
        let mut sum = 0;
        for (asked, answered) in packets.iter().zip(&completion.packets) {
            assert_eq!(asked.offset, answered.offset);
            assert_eq!(asked.length, answered.length);
            assert!(answered.actual <= asked.length);
            sum += answered.actual as usize;
        }
        assert_eq!(sum, moved, "the packets' sum is what was moved");
    }
}
