//! This workspace's server of a device that echoes, or of one that does nothing at all.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use bytes::Bytes;
use examples::{Sleeper, Stream, offer, run};
use usb_descriptors::{ClassCode, Speed, build};
use usb_transfer::{
    Completion, Control, ControlEndpoint, DeviceDescriptors, Function, FunctionEvent, IsoPacket,
    Kind, Payload, Segments, Status, Transfer, TransferId,
};
use usbip_proto::{DeviceId, DeviceRecord, Limits};

use crate::{BULK_IN, BULK_OUT, INTERRUPT_IN, ISOCHRONOUS_IN, ISOCHRONOUS_OUT, OUR_BUS_ID};

/// Gives back what it was given, in the pieces in which it came; a null device gives zeros and
/// forgets. Isochronous IN brings packets that say which they are; what came isochronous OUT is
/// told by the interrupt endpoint. The same as `python/serve_echo.py`.
#[derive(Debug)]
pub struct Echo {
    control: ControlEndpoint,
    /// `None`: a null device.
    written: Option<VecDeque<Bytes>>,
    zeros: Bytes,
    waiting: VecDeque<Transfer>,
    /// Of the last isochronous OUT: packets and bytes.
    heard: Vec<u8>,
    events: VecDeque<FunctionEvent>,
}

impl Echo {
    /// A device that echoes.
    pub fn new() -> Self {
        Self {
            control: ControlEndpoint::new(descriptors()),
            written: Some(VecDeque::new()),
            zeros: Bytes::new(),
            waiting: VecDeque::new(),
            heard: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// A device that forgets what is written, and has zeros to read, 1 MiB at most.
    pub fn null() -> Self {
        Self {
            written: None,
            zeros: Bytes::from(vec![0; 1 << 20]),
            ..Self::new()
        }
    }

    fn stop(&mut self, status: Status) {
        for transfer in self.waiting.drain(..) {
            let stopped = FunctionEvent::Complete(transfer.fail(status));
            self.events.push_back(stopped);
        }
    }

    fn data(&mut self, transfer: Transfer) {
        let completion = match (transfer.endpoint, &transfer.payload, &mut self.written) {
            (BULK_OUT, Payload::Out(_), None) => transfer.complete_out(),
            (BULK_IN, Payload::In { length }, None) => {
                let data = self.zeros.slice(..*length as usize);
                transfer.complete_in(data)
            }
            (BULK_OUT, Payload::Out(data), Some(written)) => {
                written.push_back(data.clone());
                transfer.complete_out()
            }
            (BULK_IN, Payload::In { .. }, Some(_)) => {
                self.waiting.push_back(transfer);
                return;
            }
            (INTERRUPT_IN, Payload::In { .. }, _) => {
                let said = std::mem::take(&mut self.heard);
                transfer.complete_in(Segments::from(said))
            }
            _ => transfer.stall(),
        };
        self.events.push_back(FunctionEvent::Complete(completion));
    }

    fn isochronous(&mut self, transfer: Transfer, mut packets: Vec<IsoPacket>) -> Completion {
        let mut data = Segments::new();
        match transfer.endpoint {
            ISOCHRONOUS_IN => {
                for (number, packet) in (0..).zip(&mut packets) {
                    packet.actual = packet.length.min(3 * u32::from(number));
                    data.push(vec![number; packet.actual as usize].into());
                }
            }
            ISOCHRONOUS_OUT => {
                let sum = packets.iter_mut().fold(0, |sum, packet| {
                    packet.actual = packet.length;
                    sum + packet.length
                });
                let count = packets.len() as u32;
                self.heard = [count.to_be_bytes(), sum.to_be_bytes()].concat();
            }
            _ => return transfer.stall(),
        }
        transfer.complete_packets(packets, data)
    }

    fn match_up(&mut self) {
        let Some(written) = &mut self.written else {
            return;
        };
        while !self.waiting.is_empty() && !written.is_empty() {
            if let (Some(transfer), Some(data)) = (self.waiting.pop_front(), written.pop_front()) {
                let completion = transfer.complete_in(Segments::from(data));
                self.events.push_back(FunctionEvent::Complete(completion));
            }
        }
    }
}

impl Default for Echo {
    fn default() -> Self {
        Self::new()
    }
}

impl Function for Echo {
    fn submit(&mut self, transfer: Transfer) {
        match transfer.kind {
            Kind::Control(_) => match self.control.submit(transfer) {
                Control::Done(completion) => {
                    self.events.push_back(FunctionEvent::Complete(completion));
                }
                Control::Changed(_, completion) => {
                    self.stop(Status::CANCELLED);
                    self.events.push_back(FunctionEvent::Complete(completion));
                }
                Control::Request(transfer) => {
                    self.events
                        .push_back(FunctionEvent::Complete(transfer.stall()));
                }
            },
            Kind::Data { .. } => self.data(transfer),
            Kind::Isochronous(ref packets) => {
                let packets = packets.clone();
                let completion = self.isochronous(transfer, packets);
                self.events.push_back(FunctionEvent::Complete(completion));
            }
        }
    }

    fn cancel(&mut self, id: TransferId) {
        let at = self.waiting.iter().position(|transfer| transfer.id == id);
        if let Some(transfer) = at.and_then(|at| self.waiting.remove(at)) {
            let cancelled = FunctionEvent::Complete(transfer.fail(Status::CANCELLED));
            self.events.push_back(cancelled);
        }
    }

    fn reset(&mut self) {
        self.stop(Status::CANCELLED);
        self.control.reset();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        if !self.waiting.is_empty() {
            self.match_up();
        }
        self.events.pop_front()
    }
}

/// Those of [`Echo`].
fn descriptors() -> DeviceDescriptors {
    let speed = Speed::High;
    let mut device = DeviceDescriptors::new(speed, build::Device::new(0x1209, 1).to_bytes(speed));
    let interface = build::Interface::new(0, ClassCode::new(0xff, 0, 0))
        .endpoint(build::Endpoint::bulk(BULK_IN))
        .endpoint(build::Endpoint::bulk(BULK_OUT));
    let configuration = build::Configuration::new(1).interface(interface);
    let bytes = configuration.to_bytes(speed).expect("a configuration");
    device.configurations.push(bytes.into());
    device
}

/// Serves [`Echo`] to the first client that imports it.
pub fn ours(device: Echo) -> SocketAddr {
    serve(&descriptors(), device)
}

/// Serves a device to the first client that imports it, as `1-1`.
pub fn serve(
    descriptors: &DeviceDescriptors,
    mut device: impl Function + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let bus_id = OUR_BUS_ID.parse().expect("a bus id");
    let record = DeviceRecord::new("/peers/1-1", bus_id, DeviceId::new(1, 1), descriptors);
    let record = record.expect("a record");
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut stream = Stream::new(socket.expect("a client")).expect("a socket");
            let sleeper = Sleeper::new();
            let devices = &[record.clone()][..];
            let offered = offer(&mut stream, &sleeper, devices, Limits::default(), None);
            if let Some((_, mut session)) = offered.expect("a client in order") {
                let ended = run(&mut stream, &sleeper, &mut session, &mut device);
                return ended.expect("a client in order");
            }
        }
    });
    address
}
