//! Against an operating system that does nothing by itself.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use usb_descriptors::{ClassCode, Speed, build};
use usb_transfer::{Completion, Endpoint, IsoPacket, Payload, StreamId, TransferIds};

use super::*;

/// An operating system that notes what it is asked, and completes nothing by itself.
#[derive(Clone, Debug, Default)]
struct Noted(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    log: Vec<String>,
    under_way: Vec<Transfer>,
    events: VecDeque<FunctionEvent>,
    busy: bool,
    /// Resets fail.
    broken: bool,
}

impl Noted {
    fn note(&self, text: String) {
        self.0.borrow_mut().log.push(text);
    }

    fn log(&self) -> String {
        mem::take(&mut self.0.borrow_mut().log).join(" ")
    }

    fn end(&self, id: TransferId, status: Status) {
        let mut state = self.0.borrow_mut();
        let index = state
            .under_way
            .iter()
            .position(|transfer| transfer.id == id);
        let transfer = state.under_way.remove(index.expect("is under way"));
        let completion = transfer.fail(status);
        state.events.push_back(FunctionEvent::Complete(completion));
    }
}

impl HostApi for Noted {
    fn claim(&mut self, interface: u8) -> Result<(), ClaimError> {
        if self.0.borrow().busy && interface == 1 {
            let holder = "somebody".into();
            return Err(ClaimError::Busy { interface, holder });
        }
        self.note(format!("+{interface}"));
        Ok(())
    }
    fn release(&mut self, interface: u8) {
        self.note(format!("-{interface}"));
    }
    fn connect_driver(&mut self, interface: u8) {
        self.note(format!("!{interface}"));
    }
    fn set_configuration(&mut self, value: u8) -> Result<(), Status> {
        self.note(format!("configuration {value}"));
        if value == 9 {
            Err(Status::STALL)
        } else {
            Ok(())
        }
    }
    fn set_interface(&mut self, number: u8, alternate: u8) -> Result<(), Status> {
        self.note(format!("interface {number}.{alternate}"));
        if alternate == 9 {
            Err(Status::INVALID)
        } else {
            Ok(())
        }
    }
    fn allocate_streams(
        &mut self,
        endpoints: &[EndpointAddress],
        streams: u32,
    ) -> Result<u32, Status> {
        let bytes = endpoints.iter().map(|endpoint| endpoint.to_byte());
        self.note(format!(
            "{streams} streams {:x?}",
            bytes.collect::<Vec<_>>()
        ));
        Ok(streams)
    }
    fn clear_halt(&mut self, endpoint: &Endpoint) -> Result<(), Status> {
        self.note(format!("clear {:x}", endpoint.address.to_byte()));
        Ok(())
    }
    fn reset(&mut self) -> Result<(), Status> {
        self.note("reset".into());
        if self.0.borrow().broken {
            Err(Status::DISCONNECTED)
        } else {
            Ok(())
        }
    }
    fn submit(&mut self, transfer: Transfer, endpoint: Option<&Endpoint>) {
        let address = endpoint.map_or(0, |endpoint| endpoint.address.to_byte());
        self.note(format!("submit {address:x}"));
        self.0.borrow_mut().under_way.push(transfer);
    }
    fn cancel(&mut self, id: TransferId) {
        self.note(format!("cancel {}", id.to_u64()));
    }
    fn poll(&mut self) -> Option<FunctionEvent> {
        self.0.borrow_mut().events.pop_front()
    }
}

fn address(byte: u8) -> EndpointAddress {
    EndpointAddress::from_byte(byte)
}

/// A device with an interface of two bulk endpoints and one of an interrupt endpoint.
fn device(policy: Policy) -> (Noted, Passthrough<Noted>, TransferIds) {
    device_at(Speed::High, policy)
}

/// At SuperSpeed the bulk endpoints of the first interface can have streams, 16 and 4.
fn device_at(speed: Speed, policy: Policy) -> (Noted, Passthrough<Noted>, TransferIds) {
    let vendor = ClassCode::new(0xff, 0, 0);
    let bulk = build::Interface::new(0, vendor)
        .endpoint(build::Endpoint::bulk(address(0x81)).streams(4))
        .endpoint(build::Endpoint::bulk(address(0x02)).streams(2))
        .endpoint(build::Endpoint::bulk(address(0x85)));
    // The system does not like its setting 9.
    let [first, other, disliked] =
        [(0, 0x83), (2, 0x84), (9, 0x83)].map(|(alternate, endpoint)| {
            build::Interface::new(1, vendor)
                .alternate_setting(alternate)
                .endpoint(build::Endpoint::bulk(address(endpoint)))
        });
    with_interfaces(speed, [bulk, first, other, disliked], policy)
}

fn with_interfaces<const N: usize>(
    speed: Speed,
    interfaces: [build::Interface; N],
    policy: Policy,
) -> (Noted, Passthrough<Noted>, TransferIds) {
    let configuration = interfaces
        .into_iter()
        .fold(build::Configuration::new(1), |built, interface| {
            built.interface(interface)
        });
    let bytes = build::Device::new(0x1209, 1).to_bytes(speed);
    let mut descriptors = DeviceDescriptors::new(speed, bytes);
    let configuration = configuration.to_bytes(speed).unwrap();
    descriptors.configurations.push(configuration.into());
    let host = Noted::default();
    let mut device = Passthrough::new(host.clone(), descriptors, 1, policy);
    device.claim().unwrap();
    assert!(["+0", "+0 +1"].contains(&host.log().as_str()));
    (host, device, TransferIds::default())
}

fn completed(device: &mut Passthrough<Noted>) -> Vec<(u64, Status)> {
    let mut all = Vec::new();
    while let Some(event) = device.poll() {
        match event {
            FunctionEvent::Complete(Completion { id, status, .. }) => {
                all.push((id.to_u64(), status));
            }
            _ => all.push((u64::MAX, Status::DISCONNECTED)),
        }
    }
    all
}

#[test]
fn a_configuration_waits_for_what_it_stops_and_holds_what_follows() {
    let (host, mut device, mut ids) = device(Policy::default());
    let read = ids.mint();
    device.submit(Transfer::data_in(read, address(0x81), 512));
    let set = SetupPacket::set_configuration(1);
    device.submit(Transfer::control_in(ids.mint(), set));
    device.submit(Transfer::data_in(ids.mint(), address(0x83), 8));
    assert_eq!(completed(&mut device), []);
    assert_eq!(host.log(), "submit 81 cancel 0");
    host.end(read, Status::CANCELLED);
    assert_eq!(
        completed(&mut device),
        [(0, Status::CANCELLED), (1, Status::COMPLETED)]
    );
    assert_eq!(host.log(), "-0 -1 configuration 1 +0 +1 submit 83");
}

#[test]
fn an_alternate_setting_stops_its_own_endpoints_only() {
    let (host, mut device, mut ids) = device(Policy::default());
    let (read, other) = (ids.mint(), ids.mint());
    device.submit(Transfer::data_in(read, address(0x81), 512));
    device.submit(Transfer::data_in(other, address(0x83), 8));
    device.submit(Transfer::control_in(
        ids.mint(),
        SetupPacket::set_interface(1, 9),
    ));
    host.end(other, Status::CANCELLED);
    let answer = [(1, Status::CANCELLED), (2, Status::STALL)];
    assert_eq!(completed(&mut device), answer);
    assert_eq!(host.log(), "submit 81 submit 83 cancel 1 interface 1.9");
}

#[test]
fn an_interface_gets_its_streams_at_once_and_anew_with_another_setting() {
    let (host, mut device, mut ids) = device_at(Speed::Super, Policy::default());
    let stream = StreamId(3.try_into().unwrap());
    for byte in [0x81, 0x81] {
        let mut read = Transfer::data_in(ids.mint(), address(byte), 512);
        read.kind = Kind::Data {
            stream: Some(stream),
        };
        device.submit(read);
    }
    assert_eq!(host.log(), "4 streams [81, 2] submit 81 submit 81");
    for id in [0, 1] {
        host.end(TransferId::from_u64(id), Status::COMPLETED);
    }
    completed(&mut device);
    device.submit(Transfer::control_in(
        ids.mint(),
        SetupPacket::set_interface(0, 0),
    ));
    let mut read = Transfer::data_in(ids.mint(), address(0x81), 512);
    read.kind = Kind::Data {
        stream: Some(stream),
    };
    device.submit(read);
    completed(&mut device);
    assert_eq!(host.log(), "interface 0.0 4 streams [81, 2] submit 81");
    // There are no more than that, and where an interface or an endpoint has none, none.
    for (byte, stream) in [(0x81, 5), (0x85, 1), (0x83, 1)] {
        let mut read = Transfer::data_in(ids.mint(), address(byte), 512);
        read.kind = Kind::Data {
            stream: Some(StreamId(stream.try_into().unwrap())),
        };
        device.submit(read);
    }
    let answers = [4, 5, 6].map(|id| (id, Status::INVALID));
    assert_eq!(completed(&mut device), answers);
    assert_eq!(host.log(), "");
}

#[test]
fn halts_are_the_systems_business_but_for_endpoint_0_and_those_that_are_not_there() {
    let (host, mut device, mut ids) = device(Policy::default());
    for byte in [0x02, 0x00, 0x8f] {
        let clear = SetupPacket::clear_halt(address(byte));
        device.submit(Transfer::control_in(ids.mint(), clear));
    }
    let answers = [
        (0, Status::COMPLETED),
        (1, Status::COMPLETED),
        (2, Status::STALL),
    ];
    assert_eq!(completed(&mut device), answers);
    assert_eq!(host.log(), "clear 2");
}

#[test]
fn control_transfers_have_their_turn() {
    for (change, made) in [
        (SetupPacket::clear_halt(EndpointAddress::CONTROL_OUT), ""),
        (SetupPacket::clear_halt(address(0x81)), "clear 81"),
        (
            SetupPacket::set_configuration(1),
            "-0 -1 configuration 1 +0 +1",
        ),
    ] {
        let (host, mut device, mut ids) = device(Policy::default());
        let ask = SetupPacket::from_bytes([0x80, 0, 0, 0, 0, 0, 2, 0]);
        let first = ids.mint();
        device.submit(Transfer::control_in(first, ask));
        device.submit(Transfer::control_in(ids.mint(), change));
        device.submit(Transfer::control_in(ids.mint(), ask));
        assert_eq!(completed(&mut device), []);
        assert_eq!(host.log(), "submit 0");
        host.end(first, Status::STALL);
        let both = [(0, Status::STALL), (1, Status::COMPLETED)];
        assert_eq!(completed(&mut device), both);
        assert_eq!(host.log(), format!("{made} submit 0").trim_start());
    }
}

#[test]
fn a_reset_waits_and_what_was_held_is_cancelled() {
    let (host, mut device, mut ids) = device(Policy::default());
    let read = ids.mint();
    device.submit(Transfer::data_in(read, address(0x81), 512));
    device.submit(Transfer::control_in(
        ids.mint(),
        SetupPacket::set_configuration(1),
    ));
    device.submit(Transfer::data_in(ids.mint(), address(0x83), 8));
    device.reset();
    // Asked again, it is done once.
    device.reset();
    let waited = [(1, Status::CANCELLED), (2, Status::CANCELLED)];
    assert_eq!(completed(&mut device), waited);
    host.end(read, Status::CANCELLED);
    assert_eq!(completed(&mut device), [(0, Status::CANCELLED)]);
    assert!(!device.is_busy());
    let log = host.log();
    assert!(log.ends_with("cancel 0 -0 -1 reset +0 +1"), "{log}");
    assert!(!log.contains("configuration"), "{log}");
}

/// With each that ends, the one behind it has its turn: a message must not follow a part of another.
#[test]
fn what_a_change_stops_is_cancelled_from_the_last() {
    let (host, mut device, mut ids) = device(Policy::default());
    for _ in 0..3 {
        let data = Bytes::from_static(b"data");
        device.submit(Transfer::data_out(ids.mint(), address(0x02), data));
    }
    device.reset();
    assert_eq!(
        host.log(),
        "submit 2 submit 2 submit 2 cancel 2 cancel 1 cancel 0"
    );
    drop(device);
    assert!(host.log().starts_with("cancel 2 cancel 1 cancel 0 -0 -1"));
}

#[test]
fn a_reset_brings_back_alternate_settings() {
    let (host, mut device, mut ids) = device(Policy::default());
    let set = SetupPacket::set_interface(1, 2);
    device.submit(Transfer::control_in(ids.mint(), set));
    assert_eq!(completed(&mut device), [(0, Status::COMPLETED)]);
    device.reset();
    device.submit(Transfer::data_in(ids.mint(), address(0x84), 8));
    device.submit(Transfer::data_in(ids.mint(), address(0x83), 8));
    assert_eq!(completed(&mut device), [(2, Status::STALL)]);
    let expected = "interface 1.2 -0 -1 reset +0 +1 interface 1.2 submit 84";
    assert_eq!(host.log(), expected);
    // Those of another configuration are not.
    host.end(TransferId::from_u64(1), Status::CANCELLED);
    assert_eq!(completed(&mut device), [(1, Status::CANCELLED)]);
    let configuration = SetupPacket::set_configuration(1);
    device.submit(Transfer::control_in(ids.mint(), configuration));
    assert_eq!(completed(&mut device), [(3, Status::COMPLETED)]);
    device.reset();
    assert_eq!(completed(&mut device), []);
    let expected = "-0 -1 configuration 1 +0 +1 -0 -1 reset +0 +1";
    assert_eq!(host.log(), expected);
}

#[test]
fn a_configuration_that_is_kept_begins_with_the_first_settings() {
    let policy = Policy::default().keeping_configuration();
    let (host, mut device, mut ids) = device(policy);
    let set = SetupPacket::set_interface(1, 2);
    device.submit(Transfer::control_in(ids.mint(), set));
    let read = ids.mint();
    device.submit(Transfer::data_in(read, address(0x84), 8));
    for value in [2, 1, 1] {
        let set = SetupPacket::set_configuration(value);
        device.submit(Transfer::control_in(ids.mint(), set));
    }
    let answers = [(0, Status::COMPLETED), (2, Status::STALL)];
    assert_eq!(completed(&mut device), answers);
    host.end(read, Status::CANCELLED);
    let answers = [
        (1, Status::CANCELLED),
        (3, Status::COMPLETED),
        (4, Status::COMPLETED),
    ];
    assert_eq!(completed(&mut device), answers);
    let set = "interface 0.0 interface 1.0";
    let expected = format!("interface 1.2 submit 84 cancel 1 {set} {set}");
    assert_eq!(host.log(), expected);
}

#[test]
fn a_device_that_is_lost_by_a_reset_is_told_as_gone_and_given_back() {
    for (broken, busy) in [(true, false), (false, true)] {
        let (host, mut device, mut ids) = device(Policy::default());
        host.0.borrow_mut().broken = broken;
        host.0.borrow_mut().busy = busy;
        device.reset();
        assert_eq!(completed(&mut device), [(u64::MAX, Status::DISCONNECTED)]);
        let log = host.log();
        assert!(log.starts_with("-0 -1 reset"), "{log}");
        assert!(log.ends_with("!0 !1"), "{log}");
        device.submit(Transfer::data_in(ids.mint(), address(0x81), 512));
        assert_eq!(completed(&mut device), [(0, Status::DISCONNECTED)]);
    }
}

#[test]
fn a_device_that_is_lost_by_a_configuration_answers_first() {
    let (host, mut device, mut ids) = device(Policy::default());
    host.0.borrow_mut().busy = true;
    for value in [1, 9] {
        let set = SetupPacket::set_configuration(value);
        device.submit(Transfer::control_in(ids.mint(), set));
    }
    let gone = Status::DISCONNECTED;
    let answers = [(0, gone), (1, gone), (u64::MAX, gone)];
    assert_eq!(completed(&mut device), answers);
    let log = host.log();
    let expected = "-0 -1 configuration 1 +0 -0 configuration 1 !0 !1";
    assert_eq!(log, expected);
}

#[test]
fn a_configuration_that_is_refused_changes_nothing() {
    let (host, mut device, mut ids) = device(Policy::default());
    let set = SetupPacket::set_configuration(9);
    device.submit(Transfer::control_in(ids.mint(), set));
    device.submit(Transfer::data_in(ids.mint(), address(0x81), 512));
    assert_eq!(completed(&mut device), [(0, Status::STALL)]);
    assert_eq!(host.log(), "-0 -1 configuration 9 +0 +1 submit 81");
}

#[test]
fn the_configuration_that_was_found_is_given_back() {
    let (host, mut device, mut ids) = device(Policy::default());
    for value in [0, 2] {
        let set = SetupPacket::set_configuration(value);
        device.submit(Transfer::control_in(ids.mint(), set));
        completed(&mut device);
    }
    host.log();
    drop(device);
    assert_eq!(host.log(), "configuration 1 !0 !1");
}

#[test]
fn a_change_that_waits_can_be_cancelled() {
    let (host, mut device, mut ids) = device(Policy::default());
    let (read, set) = (ids.mint(), ids.mint());
    device.submit(Transfer::data_in(read, address(0x81), 512));
    let configuration = SetupPacket::set_configuration(1);
    device.submit(Transfer::control_in(set, configuration));
    device.submit(Transfer::data_in(ids.mint(), address(0x83), 8));
    device.cancel(set);
    device.submit(Transfer::data_in(ids.mint(), address(0x83), 8));
    assert_eq!(completed(&mut device), [(1, Status::CANCELLED)]);
    assert_eq!(host.log(), "submit 81 cancel 0 submit 83 submit 83");
}

#[test]
fn what_is_refused_does_not_reach_the_device() {
    let policy = Policy::default().keeping_configuration();
    let (host, mut device, mut ids) = device(policy.only("21:0a".parse().unwrap()));
    let setups = [
        [0x00, 9, 1, 0, 0, 0, 0, 0], // SET_CONFIGURATION to what is set
        [0x00, 9, 2, 0, 0, 0, 0, 0], // another
        [0x21, 9, 0, 2, 0, 0, 0, 0], // SET_REPORT
        [0x60, 1, 0, 0, 0, 0, 0, 0], // a reserved type
        [0x1f, 1, 0, 0, 0, 0, 0, 0], // a reserved recipient
        // Without data, bit 7 says nothing.
        [0x80, 9, 0, 0, 0, 0, 0, 0],
        [0x80, 9, 2, 0, 0, 0, 0, 0],
        [0x80, 5, 9, 0, 0, 0, 0, 0],
        [0xa1, 0x0a, 0, 0, 0, 0, 0, 0],
        [0xa1, 0, 0xe8, 3, 0, 0, 0, 0],
        // Neither interface nor endpoint is there.
        [0x81, 6, 0, 0x22, 2, 0, 8, 0],
        [0x82, 0, 0, 0, 0x8f, 0, 2, 0],
        [0x02, 1, 0, 0, 0x01, 0, 0, 0],
        // Nor is the setting.
        [0x01, 11, 1, 0, 1, 0, 0, 0],
    ];
    for setup in setups {
        let setup = SetupPacket::from_bytes(setup);
        device.submit(Transfer::control_in(ids.mint(), setup));
    }
    let statuses: Vec<_> = completed(&mut device)
        .into_iter()
        .map(|done| done.1)
        .collect();
    assert_eq!(statuses[0], Status::COMPLETED);
    assert!(statuses[1..].iter().all(|&status| status == Status::STALL));
    assert_eq!(statuses.len(), setups.len());
    assert_eq!(host.log(), "interface 0.0 interface 1.0");
}

#[test]
fn what_changes_state_is_the_systems_whichever_way_it_says_to_go() {
    let (host, mut device, mut ids) = device(Policy::default());
    for setup in [
        [0x80, 9, 1, 0, 0, 0, 0, 0],
        [0x81, 11, 0, 0, 1, 0, 0, 0],
        [0x82, 1, 0, 0, 0x81, 0, 0, 0],
    ] {
        let setup = SetupPacket::from_bytes(setup);
        device.submit(Transfer::control_in(ids.mint(), setup));
    }
    let answers = completed(&mut device);
    assert!(answers.iter().all(|(_, status)| status.is_completed()));
    let expected = "-0 -1 configuration 1 +0 +1 interface 1.0 clear 81";
    assert_eq!(host.log(), expected);
}

#[test]
fn a_printer_is_asked_who_it_is_by_the_other_byte() {
    let printer = ClassCode::new(0x07, 1, 2);
    let settings = [0, 2].map(|alternate| {
        build::Interface::new(0, printer)
            .alternate_setting(alternate)
            .endpoint(build::Endpoint::bulk(address(0x01)))
    });
    let (host, mut device, mut ids) = with_interfaces(Speed::High, settings, Policy::default());
    for (alternate, submitted) in [(2, "submit 0"), (1, "")] {
        let setup = SetupPacket::from_bytes([0xa1, 0, 0, 0, alternate, 0, 8, 0]);
        device.submit(Transfer::control_in(ids.mint(), setup));
        let is_refused = completed(&mut device) == [(1, Status::STALL)];
        assert_eq!(is_refused, submitted.is_empty());
        assert_eq!(host.log(), submitted);
    }
}

#[test]
fn a_transfer_is_of_the_kind_of_its_endpoint() {
    let (host, mut device, mut ids) = device(Policy::default());
    let packets = vec![IsoPacket::new(0, 4)];
    let four = Bytes::from_static(b"four");
    let kinds = [
        Kind::Isochronous(packets),
        Kind::Control(SetupPacket::from_bytes([0x40, 0, 0, 0, 0, 0, 4, 0])),
    ];
    for kind in kinds {
        let data = Payload::Out(four.clone());
        device.submit(Transfer::new(ids.mint(), address(0x02), kind, data));
    }
    let answers = [(0, Status::INVALID), (1, Status::INVALID)];
    assert_eq!(completed(&mut device), answers);
    assert_eq!(host.log(), "");
}

#[test]
fn an_endpoint_that_is_not_there_stalls() {
    let (host, mut device, mut ids) = device(Policy::default());
    device.submit(Transfer::data_out(ids.mint(), address(0x05), Bytes::new()));
    assert_eq!(completed(&mut device), [(0, Status::STALL)]);
    assert_eq!(host.log(), "");
}

#[test]
fn what_waits_when_the_device_goes_is_told_so() {
    let (host, mut device, mut ids) = device(Policy::default());
    let (read, held) = (ids.mint(), ids.mint());
    device.submit(Transfer::data_in(read, address(0x81), 512));
    let set = Transfer::control_in(ids.mint(), SetupPacket::set_configuration(1));
    device.submit(set);
    device.submit(Transfer::data_in(held, address(0x83), 8));
    host.end(read, Status::DISCONNECTED);
    let told = FunctionEvent::Detached;
    host.0.borrow_mut().events.push_back(told);
    // What follows the change was given to a device that has just gone, and never comes back.
    let answers = [
        (0, Status::DISCONNECTED),
        (2, Status::COMPLETED),
        (1, Status::DISCONNECTED),
        (u64::MAX, Status::DISCONNECTED),
    ];
    assert_eq!(completed(&mut device), answers);
    assert!(!device.is_busy());
    device.submit(Transfer::data_in(ids.mint(), address(0x83), 8));
    assert_eq!(completed(&mut device), [(3, Status::DISCONNECTED)]);
}

#[test]
fn interfaces_that_cannot_be_had_together_are_left_to_their_drivers() {
    let (host, mut device, _) = device(Policy::default());
    device.give_back();
    assert_eq!(host.log(), "-0 -1 !0 !1");
    host.0.borrow_mut().busy = true;
    assert!(device.claim().is_err());
    assert_eq!(host.log(), "+0 -0 !0 !1");
    drop(device);
    assert_eq!(host.log(), "");
}

#[test]
fn what_does_not_come_back_is_not_waited_for_for_ever() {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let (host, mut device, mut ids) = device(Policy::default());
        device.submit(Transfer::data_in(ids.mint(), address(0x81), 512));
        device.cancel(TransferId::from_u64(0));
        device.come_to_rest();
        device.give_back();
        let _ = done.send(host.log());
    });
    let log = ended.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(log, "submit 81 cancel 0 cancel 0 -0 -1 !0 !1");
}
