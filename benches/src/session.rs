//! The server on the crates of this workspace.

use std::collections::VecDeque;
use std::fmt::Display;
use std::hint::black_box;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use usb_descriptors::Speed;
use usb_functions::{AudioLoopback, DeviceOptions};
use usb_transfer::{
    Completion, Frame, Frontend, Function, FunctionEvent, HostEvent, Payload, Step, Transfer,
    TransferId, TxQueue, Wire, exchange,
};
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, Limits};

use crate::{Disk, Server, Urb};

/// Completes each transfer at once: IN from memory that is there, OUT into nothing.
#[derive(Debug)]
pub struct Echo {
    store: Bytes,
    events: VecDeque<FunctionEvent>,
}

impl Echo {
    /// A device that brings these bytes.
    pub fn new(store: Bytes) -> Self {
        Self {
            store,
            events: VecDeque::new(),
        }
    }
}

impl Function for Echo {
    fn submit(&mut self, transfer: Transfer) {
        let completion = match &transfer.payload {
            Payload::In { length } => {
                let data = self.store.slice(..*length as usize);
                transfer.complete_in(data)
            }
            Payload::Out(data) => {
                black_box(data.as_ptr());
                transfer.complete_out()
            }
        };
        self.events.push_back(FunctionEvent::Complete(completion));
    }

    fn cancel(&mut self, _id: TransferId) {}

    fn reset(&mut self) {}

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.events.pop_front()
    }
}

/// A session and the device behind it.
#[derive(Debug)]
pub struct Serving<F> {
    session: Session,
    rx: BytesMut,
    device: F,
}

impl<F: Function> Serving<F> {
    /// A new session.
    pub fn new(device: F) -> Self {
        Self {
            session: Session::new(DeviceId::default(), Speed::Super, Limits::default()),
            rx: BytesMut::new(),
            device,
        }
    }
}

impl<F: Function> Serving<F> {
    /// Tells the device the time, and lets a socket take what it completes then.
    pub fn start_of_frame(&mut self, now: Frame) {
        self.device.start_of_frame(now);
        exchange(&mut self.session, &mut self.device);
        write(self.session.tx());
    }
}

impl Serving<AudioLoopback> {
    /// A session of a sound card on which the host plays and records.
    pub fn playing() -> Self {
        let card = AudioLoopback::new(DeviceOptions::new(Speed::Super)).expect("a sound card");
        let mut session = Self::new(card);
        for setup in [
            [0, 9, 1, 0, 0, 0, 0, 0],
            [1, 11, 1, 0, 1, 0, 0, 0],
            [1, 11, 1, 0, 2, 0, 0, 0],
        ] {
            session.bring(&Urb::control(setup), 1);
            session.serve();
        }
        // It learns the time with the first.
        session.bring(&Urb::millisecond(), 1);
        session.serve();
        session.start_of_frame(Frame(0));
        session.start_of_frame(Frame(8));
        session
    }
}

impl Serving<Disk> {
    /// A session of a disk that the host has configured.
    pub fn configured(disk: Disk) -> Self {
        let mut session = Self::new(disk);
        session.bring(&Urb::configure(), 1);
        session.serve();
        session
    }
}

impl<F: Function> Server for Serving<F> {
    fn bring(&mut self, urb: &Urb, count: usize) {
        bring(&mut self.rx, urb, count);
    }

    fn serve(&mut self) {
        serve(&mut self.session, &mut self.rx, &mut self.device);
        assert!(self.rx.is_empty(), "whole messages");
    }
}

/// A session alone: what it costs between the socket and a device, without either.
#[derive(Debug)]
pub struct Turning {
    session: Session,
    rx: BytesMut,
    data: Bytes,
    /// What the device has, the oldest in front.
    in_flight: VecDeque<Transfer>,
    brought: u32,
}

impl Turning {
    /// A session with so many requests in flight, whose device answers the oldest when it has them
    /// all, and brings just these bytes.
    pub fn new(data: Bytes, urb: &Urb, depth: usize) -> Self {
        let mut turning = Self {
            session: Session::new(DeviceId::default(), Speed::Super, Limits::default()),
            rx: BytesMut::new(),
            data,
            in_flight: VecDeque::with_capacity(depth),
            brought: 0,
        };
        for _ in 1..depth {
            turning.bring(urb, 1);
            let transfer = turning.next();
            turning.in_flight.push_back(transfer);
        }
        turning
    }

    #[inline]
    fn next(&mut self) -> Transfer {
        let Ok(Step::Ready) = self.session.receive(&mut self.rx) else {
            panic!("a message was brought");
        };
        let Some(HostEvent::Submit(transfer)) = self.session.poll() else {
            panic!("a submit was brought");
        };
        transfer
    }

    /// The device.
    // Its name is what `benches/instructions` leaves out.
    #[inline(never)]
    fn answer(&mut self, transfer: Transfer) -> Completion {
        self.in_flight.push_back(transfer);
        let transfer = self.in_flight.pop_front().expect("at least the newest");
        match &transfer.payload {
            Payload::In { .. } => transfer.complete_in(self.data.clone()),
            Payload::Out(data) => {
                black_box(data.as_ptr());
                transfer.complete_out()
            }
        }
    }
}

impl Server for Turning {
    fn bring(&mut self, urb: &Urb, count: usize) {
        write(self.session.tx());
        let mut messages = urb.message.repeat(count);
        for message in messages.chunks_mut(urb.message.len()) {
            // Clients count up.
            self.brought += 1;
            message[4..8].copy_from_slice(&self.brought.to_be_bytes());
        }
        loop {
            let wants = match self.session.receive(&mut self.rx) {
                Ok(Step::Io(wants)) => wants,
                other => panic!("more than was brought: {other:?}"),
            };
            // Into the room that the session makes, as a socket does.
            let missing = wants.read.expect("it reads always").get();
            let room = missing.max(self.rx.capacity() - self.rx.len());
            let rest = messages.split_off(room.min(messages.len()));
            self.rx.extend_from_slice(&messages);
            messages = rest;
            if messages.is_empty() {
                break;
            }
        }
    }

    /// The whole way of a message: header, event, completion, reply.
    // Its name is what `benches/instructions` counts.
    #[inline(never)]
    fn serve(&mut self) {
        let transfer = self.next();
        let completion = self.answer(transfer);
        self.session.complete(completion);
    }
}

/// Puts so many of a message into the receive buffer.
pub(crate) fn bring(rx: &mut BytesMut, urb: &Urb, count: usize) {
    rx.reserve(count * urb.message.len());
    for _ in 0..count {
        rx.extend_from_slice(&urb.message);
    }
}

/// Serves what is in the receive buffer with a device that takes no time.
pub(crate) fn serve<W: Wire + Frontend>(wire: &mut W, rx: &mut BytesMut, device: &mut impl Function)
where
    W::Error: Display,
{
    loop {
        match wire.receive(rx) {
            Ok(Step::Ready) => exchange(wire, device),
            Ok(Step::Io(wants)) => {
                if wants.write {
                    write(wire.tx());
                }
                if wants.read.is_some() {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Takes all that is queued, as `writev` does.
pub(crate) fn write(tx: &mut TxQueue) {
    while tx.has_remaining() {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = tx.chunks_vectored(&mut slices);
        let written = slices[..count].iter().map(|slice| slice.len()).sum();
        black_box(&slices);
        tx.advance(written);
    }
}
