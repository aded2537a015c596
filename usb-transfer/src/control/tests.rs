use alloc::vec::Vec;

use proptest::prelude::*;
use usb_descriptors::build::{Configuration, Device, Endpoint, Interface};
use usb_descriptors::{ClassCode, Speed, build};

use super::*;
use crate::{Actual, DeviceString, Status, TransferIds};

const BULK_IN: u8 = 0x81;

fn descriptors(speed: Speed) -> DeviceDescriptors {
    let vendor = ClassCode::new(0xff, 0, 0);
    let bulk = Endpoint::bulk(EndpointAddress::from_byte(BULK_IN));
    let configuration = Configuration::new(3)
        .self_powered()
        .remote_wakeup()
        .interface(Interface::new(0, vendor).endpoint(bulk.clone()))
        .interface(
            Interface::new(0, vendor)
                .alternate_setting(1)
                .endpoint(bulk)
                .endpoint(Endpoint::bulk(EndpointAddress::from_byte(0x02))),
        );
    let device = Device::new(0x1209, 1).serial_string(1);
    let mut descriptors = DeviceDescriptors::new(speed, device.to_bytes(speed));
    descriptors
        .configurations
        .push(configuration.to_bytes(speed).unwrap().into());
    descriptors.qualifier = Some(device.to_qualifier_bytes().to_vec().into());
    let other = configuration.to_other_speed_bytes(Speed::Full).unwrap();
    descriptors.other_speed_configurations.push(other.into());
    descriptors.bos = Some(Bytes::from_static(build::bos(Speed::Super).unwrap()));
    descriptors.add_string(1, "serial").unwrap();
    descriptors.strings.push(DeviceString {
        index: 0xee,
        language: LanguageId::NONE,
        descriptor: build::string("MSFT100").unwrap().into(),
    });
    descriptors
}

struct Bench {
    control: ControlEndpoint,
    ids: TransferIds,
}

impl Bench {
    fn new(speed: Speed) -> Self {
        Self {
            control: ControlEndpoint::new(descriptors(speed)),
            ids: TransferIds::default(),
        }
    }

    fn submit(&mut self, setup: [u8; 8]) -> Control {
        let setup = SetupPacket::from_bytes(setup);
        self.control
            .submit(Transfer::control_in(self.ids.mint(), setup))
    }

    /// The data of a request that is answered at once.
    fn data(&mut self, setup: [u8; 8]) -> Vec<u8> {
        match self.submit(setup) {
            Control::Done(Completion {
                status: Status::COMPLETED,
                actual: Actual::In(data),
                ..
            }) => data.to_bytes().to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn change(&mut self, setup: [u8; 8]) -> Change {
        match self.submit(setup) {
            Control::Changed(change, completion) if completion.status.is_completed() => change,
            other => panic!("{other:?}"),
        }
    }

    fn stalls(&mut self, setup: [u8; 8]) -> bool {
        matches!(self.submit(setup), Control::Done(done) if done.status == Status::STALL)
    }
}

#[test]
fn descriptors_are_cut_to_the_length_asked() {
    let mut bench = Bench::new(Speed::High);
    assert_eq!(bench.data([0x80, 6, 0, 1, 0, 0, 8, 0]).len(), 8);
    assert_eq!(bench.data([0x80, 6, 0, 1, 0, 0, 255, 0]).len(), 18);
    assert_eq!(bench.data([0x80, 6, 0, 2, 0, 0, 9, 0]).len(), 9);
    assert_eq!(
        bench.data([0x80, 6, 0, 2, 0, 0, 255, 0]),
        descriptors(Speed::High).configurations[0]
    );
    assert_eq!(bench.data([0x80, 6, 0, 6, 0, 0, 10, 0])[1], 6, "qualifier");
    assert_eq!(bench.data([0x80, 6, 0, 7, 0, 0, 9, 0])[1], 7, "other speed");
    assert_eq!(bench.data([0x80, 6, 0, 15, 0, 0, 255, 0]).len(), 22, "BOS");
    assert!(
        bench.stalls([0x80, 6, 1, 2, 0, 0, 9, 0]),
        "configuration index 1"
    );
    let empty = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 0, 0]);
    let empty = bench
        .control
        .submit(Transfer::control_in(bench.ids.mint(), empty));
    assert!(matches!(empty, Control::Done(done) if done.actual == Actual::Out(0)));
}

#[test]
fn what_is_not_described_stalls() {
    let mut plain = descriptors(Speed::High);
    (plain.bos, plain.qualifier) = (None, None);
    plain.strings.clear();
    let mut bench = Bench::new(Speed::High);
    bench.control = ControlEndpoint::new(plain);
    for setup in [
        [0x80, 6, 0, 15, 0, 0, 5, 0],
        [0x80, 6, 0, 6, 0, 0, 10, 0],
        [0x80, 6, 0, 3, 0, 0, 255, 0],
        [0x80, 6, 1, 3, 9, 4, 255, 0],
    ] {
        assert!(bench.stalls(setup), "{setup:02x?}");
    }
}

#[test]
fn strings_by_index_and_language() {
    let mut bench = Bench::new(Speed::High);
    assert_eq!(bench.data([0x80, 6, 0, 3, 0, 0, 255, 0]), [4, 3, 9, 4]);
    assert_eq!(bench.data([0x80, 6, 1, 3, 9, 4, 255, 0]).len(), 14);
    assert!(bench.stalls([0x80, 6, 1, 3, 7, 4, 255, 0]), "no German");
    assert!(bench.stalls([0x80, 6, 2, 3, 9, 4, 255, 0]), "no string 2");
    assert_eq!(
        bench.data([0x80, 6, 0xee, 3, 0, 0, 18, 0]).len(),
        16,
        "in any language"
    );
}

#[test]
fn configurations_and_settings_move_the_endpoints() {
    let mut bench = Bench::new(Speed::High);
    let get = [0x80, 8, 0, 0, 0, 0, 1, 0];
    assert_eq!(bench.data(get), [0]);
    assert!(bench.stalls([0x01, 11, 0, 0, 0, 0, 0, 0]), "not configured");
    assert!(
        bench.stalls([0x00, 9, 1, 0, 0, 0, 0, 0]),
        "no configuration 1"
    );
    assert_eq!(
        bench.change([0x00, 9, 3, 0, 0, 0, 0, 0]),
        Change::Configuration(3)
    );
    assert_eq!(bench.data(get), [3]);
    assert_eq!(bench.control.endpoints().iter().count(), 1);
    let set = bench.change([0x01, 11, 1, 0, 0, 0, 0, 0]);
    assert_eq!(
        set,
        Change::Interface {
            number: 0,
            alternate: 1
        }
    );
    assert_eq!(bench.control.endpoints().iter().count(), 2);
    assert_eq!(bench.data([0x81, 10, 0, 0, 0, 0, 1, 0]), [1]);
    assert!(bench.stalls([0x81, 10, 0, 0, 1, 0, 1, 0]), "no interface 1");
    assert!(bench.stalls([0x01, 11, 2, 0, 0, 0, 0, 0]), "no setting 2");
    bench.change([0x00, 9, 3, 0, 0, 0, 0, 0]);
    assert_eq!(
        bench.data([0x81, 10, 0, 0, 0, 0, 1, 0]),
        [0],
        "settings start anew"
    );
    assert_eq!(
        bench.change([0x00, 9, 0, 0, 0, 0, 0, 0]),
        Change::Configuration(0)
    );
    assert!(bench.control.endpoints().iter().next().is_none());
}

#[test]
fn halts_show_and_end() {
    let mut bench = Bench::new(Speed::High);
    let status = [0x82, 0, 0, 0, BULK_IN, 0, 2, 0];
    assert!(
        bench.stalls(status),
        "no such endpoint before configuration"
    );
    bench.change([0x00, 9, 3, 0, 0, 0, 0, 0]);
    let endpoint = EndpointAddress::from_byte(BULK_IN);
    assert_eq!(
        bench.change([0x02, 3, 0, 0, BULK_IN, 0, 0, 0]),
        Change::Halt(endpoint, true)
    );
    assert_eq!(bench.data(status), [1, 0]);
    assert_eq!(
        bench.change([0x02, 1, 0, 0, BULK_IN, 0, 0, 0]),
        Change::Halt(endpoint, false)
    );
    assert_eq!(bench.data(status), [0, 0]);
    bench.control.set_halted(endpoint, true);
    bench.change([0x01, 11, 1, 0, 0, 0, 0, 0]);
    assert_eq!(bench.data(status), [0, 0], "a setting clears its halts");
    bench.control.set_halted(endpoint, true);
    bench.change([0x00, 9, 3, 0, 0, 0, 0, 0]);
    assert_eq!(
        bench.data(status),
        [0, 0],
        "a configuration clears all halts"
    );
    assert!(
        bench.stalls([0x02, 1, 0, 0, 0x83, 0, 0, 0]),
        "no endpoint 83"
    );
    assert_eq!(
        bench.data([0x82, 0, 0, 0, 0, 0, 2, 0]),
        [0, 0],
        "endpoint 0 always exists"
    );
}

#[test]
fn device_status_and_features() {
    let mut bench = Bench::new(Speed::High);
    let status = [0x80, 0, 0, 0, 0, 0, 2, 0];
    assert_eq!(bench.data(status), [1, 0], "self powered");
    assert!(
        bench.stalls([0x00, 3, 1, 0, 0, 0, 0, 0]),
        "no remote wakeup yet"
    );
    bench.change([0x00, 9, 3, 0, 0, 0, 0, 0]);
    assert_eq!(
        bench.change([0x00, 3, 1, 0, 0, 0, 0, 0]),
        Change::RemoteWakeup(true)
    );
    assert_eq!(bench.data(status), [3, 0]);
    assert!(
        bench.stalls([0x00, 3, 48, 0, 0, 0, 0, 0]),
        "U1 is SuperSpeed's"
    );
    assert!(
        bench.stalls([0x00, 0x31, 40, 0, 0, 0, 0, 0]),
        "so is SET_ISOCH_DELAY"
    );
    bench.control.reset();
    assert_eq!(bench.data(status), [1, 0]);
    let mut fast = Bench::new(Speed::Super);
    for setup in [
        [0x00, 3, 48, 0, 0, 0, 0, 0],
        [0x00, 0x31, 40, 0, 0, 0, 0, 0],
    ] {
        assert!(matches!(fast.submit(setup), Control::Done(done) if done.status.is_completed()));
    }
    assert_eq!(fast.data(status), [5, 0]);
}

#[test]
fn what_descriptors_cannot_answer_is_handed_on() {
    let mut bench = Bench::new(Speed::High);
    for setup in [
        [0xa1, 0xfe, 0, 0, 0, 0, 1, 0],  // class: GET_MAX_LUN
        [0xc0, 1, 0, 0, 0, 0, 4, 0],     // vendor
        [0x81, 6, 0, 0x22, 0, 0, 63, 0], // HID report descriptor
        [0x80, 6, 0, 0x29, 0, 0, 9, 0],  // a class's descriptor of the device
        [0x82, 12, 0, 0, 0x81, 0, 2, 0], // SYNCH_FRAME
    ] {
        assert!(
            matches!(bench.submit(setup), Control::Request(_)),
            "{setup:02x?}"
        );
    }
    for setup in [
        [0x00, 7, 0, 1, 0, 0, 0, 0], // SET_DESCRIPTOR
        [0x80, 2, 0, 0, 0, 0, 0, 0], // reserved
        [0x00, 6, 0, 1, 0, 0, 0, 0], // GET_DESCRIPTOR the wrong way
    ] {
        assert!(bench.stalls(setup), "{setup:02x?}");
    }
}

proptest! {
    #[test]
    fn any_request_is_answered_once_within_its_length(
        setups in prop::collection::vec(any::<[u8; 8]>(), 1..50),
        standard: bool,
    ) {
        let mut bench = Bench::new(Speed::Super);
        for mut setup in setups {
            if standard {
                setup[0] &= 0x9f;
                setup[1] &= 0x0f;
            }
            let parsed = SetupPacket::from_bytes(setup);
            let transfer = Transfer::control_in(bench.ids.mint(), parsed);
            let id = transfer.id;
            match bench.control.submit(transfer) {
                Control::Done(done) | Control::Changed(_, done) => {
                    prop_assert_eq!(done.id, id);
                    prop_assert!(done.actual.len() <= usize::from(parsed.length));
                }
                Control::Request(transfer) => prop_assert_eq!(transfer.id, id),
            }
        }
    }
}
