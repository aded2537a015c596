//! The control endpoint of a device whose descriptors may be anything, asked anything.
//!
//! Invariants: a request is answered at once or handed on as it came; answers carry its id, its
//! direction and no more than `wLength` or the host's buffer; a descriptor's bytes are the
//! device's; state changes are told, and read back; no endpoint exists twice.

use bytes::Bytes;
use testkit::Decisions;
use usb_descriptors::{EndpointAddress, LanguageId, Speed};
use usb_transfer::{
    Actual, Change, Completion, Control, ControlEndpoint, DeviceDescriptors, DeviceString, Kind,
    Payload, Status, Transfer, TransferIds,
};

use crate::{choices, seeds, split};

/// Runs the target: choices make the device and the requests; the bytes are its descriptors.
pub fn run(input: &[u8]) {
    let (mut decisions, stream) = split(input);
    let mut asked = Asked {
        device: device(&mut decisions, stream),
        ids: TransferIds::default(),
        configuration: 0,
    };
    let _ = asked.device.to_string();
    let mut control = ControlEndpoint::new(asked.device.clone());
    while !decisions.is_empty() {
        if choices::rarely(&mut decisions, 16) {
            control.reset();
            asked.configuration = 0;
        } else {
            asked.ask(&mut control, &mut decisions);
        }
        asked.check(&control);
    }
}

/// A good device, or one made of whatever there is.
fn device(decisions: &mut Decisions<'_>, mut stream: &[u8]) -> DeviceDescriptors {
    let speeds = [
        Speed::High,
        Speed::Low,
        Speed::Full,
        Speed::Super,
        Speed::SuperPlus,
    ];
    let speed = speeds[decisions.below(speeds.len())];
    if stream.is_empty() {
        return seeds::device(speed);
    }
    let mut take = |decisions: &mut Decisions<'_>, usual: usize| {
        let count = match decisions.below(4) {
            0 | 1 => usual,
            _ => decisions.below(300),
        };
        let (taken, rest) = stream.split_at(count.min(stream.len()));
        stream = rest;
        Bytes::copy_from_slice(taken)
    };
    let mut device = DeviceDescriptors::new(speed, take(decisions, 18));
    for _ in 0..decisions.below(4) {
        let configuration = take(decisions, 32);
        device.configurations.push(configuration);
    }
    if decisions.chance() {
        device.qualifier = Some(take(decisions, 10));
        device.other_speed_configurations.push(take(decisions, 32));
    }
    if decisions.chance() {
        device.bos = Some(take(decisions, 22));
    }
    for _ in 0..decisions.below(4) {
        device.strings.push(DeviceString {
            index: decisions.byte() % 4,
            language: LanguageId([0x0409, 0, 0x0407][decisions.below(3)]),
            descriptor: take(decisions, 8),
        });
    }
    device
}

struct Asked {
    device: DeviceDescriptors,
    ids: TransferIds,
    /// The current one, as the answers had it.
    configuration: u8,
}

impl Asked {
    fn ask(&mut self, control: &mut ControlEndpoint, decisions: &mut Decisions<'_>) {
        let id = self.ids.mint();
        let transfer = match decisions.below(4) {
            // As frontends hand it on.
            0..=2 => {
                let setup = choices::setup(decisions);
                match setup.data_direction() {
                    usb_descriptors::Direction::In => Transfer::control_in(id, setup),
                    usb_descriptors::Direction::Out => {
                        let data = vec![0; usize::from(setup.length)];
                        Transfer::control_out(id, setup, data.into())
                    }
                }
            }
            _ => choices::transfer(decisions, id, 4096),
        };
        let before = control.endpoints().clone();
        match control.submit(transfer.clone()) {
            Control::Done(completion) => {
                self.check_completion(&transfer, &completion);
                assert_eq!(*control.endpoints(), before, "no change without being told");
            }
            Control::Changed(change, completion) => {
                self.check_completion(&transfer, &completion);
                assert_eq!(completion.status, Status::COMPLETED);
                assert!(completion.actual.is_empty() || !transfer.is_consistent());
                self.check_change(change, control);
            }
            Control::Request(request) => {
                assert_eq!(request, transfer, "handed on as it came");
                assert!(matches!(request.kind, Kind::Control(_)));
            }
        }
    }

    fn check_completion(&self, transfer: &Transfer, completion: &Completion) {
        assert_eq!(completion.id, transfer.id);
        let asked = transfer.payload.len();
        match (&transfer.payload, &completion.actual) {
            (Payload::Out(_), Actual::Out(taken)) => assert!(*taken as usize <= asked),
            (Payload::In { .. }, Actual::In(data)) => {
                assert!(data.len() <= asked, "more than the host's buffer");
                if let Kind::Control(setup) = transfer.kind {
                    assert!(data.len() <= usize::from(setup.length), "more than wLength");
                    self.check_data(setup.to_bytes(), &data.to_bytes(), completion.status);
                }
            }
            // Frontends keep back what is not consistent.
            _ => assert!(!transfer.is_consistent(), "a result of the other direction"),
        }
    }

    /// What some requests answer is known.
    fn check_data(&self, setup: [u8; 8], data: &[u8], status: Status) {
        let expected: &[u8] = match setup {
            [0x80, 6, 0, 1, ..] => &self.device.device,
            [0x80, 6, index, 2, ..] => match self.device.configurations.get(usize::from(index)) {
                Some(configuration) => configuration,
                None => return assert_eq!(status, Status::STALL),
            },
            [0x80, 8, ..] => &[self.configuration],
            _ => return,
        };
        assert_eq!(status, Status::COMPLETED);
        assert_eq!(data, &expected[..data.len()]);
    }

    fn check_change(&mut self, change: Change, control: &ControlEndpoint) {
        match change {
            Change::Configuration(value) => {
                assert!(value == 0 || self.device.configuration(value).is_some());
                self.configuration = value;
                for endpoint in control.endpoints().iter() {
                    assert!(!control.is_halted(endpoint.address), "endpoints start anew");
                }
            }
            Change::Interface {
                number, alternate, ..
            } => {
                assert_eq!(control.alternate_setting(number), Some(alternate));
            }
            Change::Halt(endpoint, halted) => {
                assert_eq!(control.is_halted(endpoint), halted);
                assert!(control.endpoints().get(endpoint).is_some());
            }
            Change::RemoteWakeup(_) => {
                assert_ne!(self.configuration, 0, "no configuration, no permission");
            }
            other => panic!("a change this target does not know: {other:?}"),
        }
    }

    fn check(&self, control: &ControlEndpoint) {
        assert_eq!(control.configuration(), self.configuration);
        let mut addresses: Vec<EndpointAddress> = control
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.address)
            .collect();
        assert!(addresses.iter().all(|address| !address.is_control()));
        let count = addresses.len();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), count, "an endpoint twice");
        assert!(
            self.configuration != 0 || count == 0,
            "endpoints without configuration"
        );
    }
}
