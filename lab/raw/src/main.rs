//! A device of any descriptors, broken ones too, behind `vhci_hcd`: what Linux makes of them is in
//! its log. Endpoint 0 answers from the descriptors, and leaves a vendor's requests without an answer,
//! which it prints; the other endpoints never give one.
//!
//! `lab-raw FILE low|full|high|super [STRINGS]` attaches what FILE holds: the descriptors one after
//! the other, as sysfs has them, with a BOS behind them where there is one, and the strings of
//! STRINGS by their order, the table of languages first. It prints what the linter finds in all of
//! it, and the port, and ends with the connection.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::{env, fs};

use bytes::Bytes;
use examples::{Sleeper, Stream, Vhci, run};
use usb_descriptors::{Asked, Descriptors, DeviceBytes, LanguageId, RequestKind, Speed};
use usb_transfer::{
    Control, ControlEndpoint, DeviceDescriptors, DeviceString, Function, FunctionEvent, Kind,
    Status, Transfer, TransferId,
};
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, Limits};

/// Each request carries it; which one does not matter.
const DEVICE: DeviceId = DeviceId::new(1, 2);

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, file, speed, strings @ ..] = arguments.as_slice() else {
        panic!("usage: lab-raw FILE low|full|high|super [STRINGS]");
    };
    let speed = match speed.as_str() {
        "low" => Speed::Low,
        "full" => Speed::Full,
        "high" => Speed::High,
        "super" => Speed::Super,
        other => panic!("no such speed: {other}"),
    };
    let bytes = fs::read(file).expect("descriptors");
    let mut device = descriptors(&bytes, speed);
    for file in strings {
        add_strings(&mut device, &fs::read(file).expect("strings"));
    }
    device.lint(&mut |finding| println!("{finding}"));
    let (mut near, far) = Stream::pair().expect("socket pair");
    let vhci = Vhci::open(Path::new(Vhci::SYSFS)).expect("vhci_hcd");
    let port = vhci.attach(far, DEVICE, speed, None).expect("attach");
    println!("port: {port}");
    let mut session = Session::new(DEVICE, speed, Limits::default());
    let mut raw = Raw::new(device);
    let _ = run(&mut near, &Sleeper::new(), &mut session, &mut raw);
}

fn descriptors(bytes: &[u8], speed: Speed) -> DeviceDescriptors {
    let found = DeviceBytes::from_run(bytes);
    let device = found.device_bytes().expect("a device descriptor");
    let mut all = DeviceDescriptors::new(speed, device);
    all.configurations = found
        .each_configuration()
        .map(Bytes::copy_from_slice)
        .collect();
    if let Asked::Bytes(bos) = found.bos_bytes() {
        all.bos = Some(Bytes::copy_from_slice(bos));
    }
    all
}

fn add_strings(device: &mut DeviceDescriptors, run: &[u8]) {
    for (index, descriptor) in (0..).zip(Descriptors::new(run)) {
        device.strings.push(DeviceString {
            index,
            language: LanguageId::NONE,
            descriptor: Bytes::copy_from_slice(descriptor.bytes()),
        });
    }
}

struct Raw {
    control: ControlEndpoint,
    pending: BTreeMap<TransferId, Transfer>,
    events: VecDeque<FunctionEvent>,
}

impl Raw {
    fn new(descriptors: DeviceDescriptors) -> Self {
        Self {
            control: ControlEndpoint::new(descriptors),
            pending: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    fn end(&mut self, id: TransferId, status: Status) {
        if let Some(transfer) = self.pending.remove(&id) {
            let completion = transfer.fail(status);
            self.events.push_back(FunctionEvent::Complete(completion));
        }
    }

    fn end_all(&mut self) {
        let ids: Vec<_> = self.pending.keys().copied().collect();
        for id in ids {
            self.end(id, Status::CANCELLED);
        }
    }
}

fn is_of_vendor(transfer: &Transfer) -> bool {
    let Kind::Control(setup) = transfer.kind else {
        return false;
    };
    setup.request_type.kind() == RequestKind::Vendor
}

impl Function for Raw {
    fn submit(&mut self, transfer: Transfer) {
        if !transfer.endpoint.is_control() {
            self.pending.insert(transfer.id, transfer);
            return;
        }
        let completion = match self.control.submit(transfer) {
            Control::Done(completion) => completion,
            Control::Changed(_, completion) => {
                self.end_all();
                completion
            }
            Control::Request(transfer) if is_of_vendor(&transfer) => {
                println!("left without an answer");
                self.pending.insert(transfer.id, transfer);
                return;
            }
            Control::Request(transfer) => transfer.fail(Status::STALL),
        };
        self.events.push_back(FunctionEvent::Complete(completion));
    }

    fn cancel(&mut self, id: TransferId) {
        self.end(id, Status::CANCELLED);
    }

    fn reset(&mut self) {
        self.control.reset();
        self.end_all();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.events.pop_front()
    }
}
