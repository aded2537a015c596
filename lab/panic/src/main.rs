//! A panic with a read under way at a real device, where the programs could have one.
//!
//! `lab-panic main DEVICE` has the device as `attach-usb` and `usbredir-host` do, in the thread that
//! the program began with, which panics when a read has not been answered for a second.
//!
//! `lab-panic session DEVICE OTHER` offers both as `usbip-server` does, as 1-1 and 1-2, at TCP port
//! 3240. The session of the first panics when its client asks for a control transfer while a read is
//! under way.
//!
//! A device is written as for `usbip-server --usb`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, thread};

use examples::{
    Device, Failure, HostApi, Listener, Offered, Passthrough, Physical, PhysicalOptions, Server,
    Stop, Stream, StreamError, Taken, run, say, signal,
};
use usb_descriptors::{Configuration, Direction, EndpointAddress};
use usb_transfer::{Frame, Function, FunctionEvent, Kind, Transfer, TransferId, TransferIds};
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, ProtocolError};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [place, device] if place == "main" => read_and_panic(device),
        [place, device, other] if place == "session" => serve(device, other),
        _ => panic!("usage: lab-panic main DEVICE, or lab-panic session DEVICE OTHER"),
    }
}

fn find(device: &str) -> Physical {
    let options: PhysicalOptions = device.parse().expect("a device");
    Physical::find(options).expect("the device")
}

fn read_and_panic(device: &str) -> ExitCode {
    let mut taken = find(device).take().expect("the device from its driver");
    let mut device = Fragile::new(&mut taken.device);
    let (endpoint, length) = input(device.inner);
    let mut ids = TransferIds::default();
    let mut asked = Instant::now();
    loop {
        if device.reads.is_empty() {
            device.submit(Transfer::data_in(ids.mint(), endpoint, length));
            asked = Instant::now();
        }
        while let Some(event) = device.poll() {
            println!("{event:?}");
        }
        if asked.elapsed() > Duration::from_secs(1) {
            panic!("{} read under way", device.reads.len());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The first endpoint that the device sends by, and the length of its packets.
fn input(device: &Real) -> (EndpointAddress, u32) {
    let mut configurations = device.descriptors().configurations();
    let configuration = configurations.next().expect("a configuration");
    let mut settings = Configuration::interfaces(&configuration);
    let found = settings.find_map(|setting| {
        let mut endpoints = setting.endpoints();
        endpoints.find(|endpoint| endpoint.address().direction() == Direction::In)
    });
    let found = found.expect("an endpoint to read from");
    (found.address(), found.max_packet_size().into())
}

fn serve(device: &str, other: &str) -> ExitCode {
    let server = Server::new(|text| eprintln!("lab-panic: {text}")).expect("a server");
    let fragile = find(device);
    let record = Offered::physical(find(device));
    let record = record.record("1-1".parse().expect("a bus id"), DeviceId::new(1, 1));
    let session = FragileSession {
        physical: fragile,
        taken: None,
    };
    let offered = server.export(record.expect("a record"), Box::new(session));
    offered.expect("to offer it");
    server
        .offer(Offered::physical(find(other)), 2)
        .expect("to offer the other");
    let stopped = server.clone();
    signal::on_first_signal(move || stopped.stop()).expect("signals");
    let listener = Listener::bind(&"tcp:127.0.0.1".parse().expect("an address"));
    let listener = listener.expect("to listen");
    say("listening").expect("standard output");
    server.listen(&listener, &[]).expect("clients");
    match server.end() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::failed(error).report("lab-panic"),
    }
}

/// As the library serves a real device, but for its function.
struct FragileSession {
    physical: Physical,
    taken: Option<Taken>,
}

impl Device for FragileSession {
    fn open(&mut self, _stop: &Stop) -> Result<(), String> {
        self.taken = Some(self.physical.take().map_err(|error| error.to_string())?);
        Ok(())
    }

    fn serve(
        &mut self,
        client: &mut Stream,
        session: &mut Session,
    ) -> Result<(), StreamError<ProtocolError>> {
        let mut taken = self.taken.take().expect("a device that was opened");
        let mut device = Fragile::new(&mut taken.device);
        run(client, &taken.sleeper, session, &mut device)
    }

    fn left(&mut self) {
        self.taken = None;
    }
}

type Real = Passthrough<Box<dyn HostApi + Send>>;

/// A real device that cannot stand a control transfer while a read is under way.
struct Fragile<'a> {
    inner: &'a mut Real,
    reads: BTreeSet<TransferId>,
}

impl<'a> Fragile<'a> {
    fn new(inner: &'a mut Real) -> Self {
        Self {
            inner,
            reads: BTreeSet::new(),
        }
    }
}

impl Function for Fragile<'_> {
    fn submit(&mut self, transfer: Transfer) {
        match transfer.kind {
            Kind::Control(setup) => {
                let reads = self.reads.len();
                assert_eq!(reads, 0, "reads under way at {setup:?}");
            }
            _ if transfer.payload.direction() == Direction::In => {
                self.reads.insert(transfer.id);
            }
            _ => {}
        }
        self.inner.submit(transfer);
    }

    fn cancel(&mut self, id: TransferId) {
        self.inner.cancel(id);
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        let event = self.inner.poll();
        if let Some(FunctionEvent::Complete(completion)) = &event {
            self.reads.remove(&completion.id);
        }
        event
    }

    fn start_of_frame(&mut self, now: Frame) {
        self.inner.start_of_frame(now);
    }

    fn next_frame(&self) -> Option<Frame> {
        self.inner.next_frame()
    }
}
