//! The text of the kernel's files.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

use proptest::prelude::*;
use usb_descriptors::Speed;
use usbip_proto::DeviceId;
use usbip_proto::vhci::{Attach, Detach, Hub, PortState, Ports};

/// Debian's kernel 6.1, cut: 8 controllers of 15 + 15 ports.
const STATUS: &str = "\
hub port sta spd dev      sockfd local_busid
hs  0000 006 003 00010002 000003 3-1
hs  0001 004 000 00000000 000000 0-0
ss  0015 005 000 00000000 000000 0-0
ss  0016 004 000 00000000 000000 0-0
";

const STATUS_1: &str = "\
hub port sta spd dev      sockfd local_busid
hs  0030 007 000 00000000 000000 0-0
ss  0045 004 000 00000000 000000 0-0
";

#[test]
fn ports_of_several_controllers() {
    let mut ports = Ports::parse(STATUS).unwrap();
    ports.append(Ports::parse(STATUS_1).unwrap());
    assert_eq!(ports.iter().count(), 6);
    let used = ports.get(0).unwrap();
    assert_eq!(
        (used.hub, used.state, used.bus_id.as_str()),
        (Hub::HighSpeed, PortState::USED, "3-1")
    );
    assert_eq!(
        (used.device_id, used.speed.speed()),
        (DeviceId::new(1, 2), Some(Speed::High))
    );
    assert_eq!(ports.get(15).unwrap().state, PortState::NOT_ASSIGNED);
    assert_eq!(ports.get(30).unwrap().state, PortState::ERROR);
    assert!(ports.get(2).is_none());
}

#[test]
fn a_free_port_is_on_the_hub_of_the_speed() {
    let ports = Ports::parse(STATUS).unwrap();
    for speed in [Speed::Low, Speed::Full, Speed::High] {
        assert_eq!(ports.free(speed).unwrap().number, 1);
    }
    for speed in [Speed::Super, Speed::SuperPlus] {
        assert_eq!(ports.free(speed).unwrap().number, 16);
    }
    assert!(Ports::default().free(Speed::High).is_none());
}

#[test]
fn what_is_written_to_the_kernel() {
    let device_id = DeviceId::new(1, 2);
    let attach = Attach {
        port: 16,
        socket: 7,
        device_id,
        speed: Speed::Super,
    };
    assert_eq!(
        attach.to_string(),
        "16 7 65538 5",
        "port, socket, device, speed; super is 5"
    );
    assert_eq!(Detach { port: 16 }.to_string(), "16");
}

/// CVE-2017-16911: it was an address of the kernel's memory.
#[test]
fn the_socket_column_is_not_kept() {
    let port = |socket: u32| {
        let line = format!("hs  0000 006 003 00010002 {socket:06} 3-1");
        Ports::parse(&line).unwrap()
    };
    assert_eq!(port(3), port(4_000_000_000));
}

#[test]
fn other_text_is_refused_by_line() {
    let error = Ports::parse("hub port\nhs  0000 006\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2 of the port status: expected a speed, found \"\""
    );
    let error = Ports::parse("xs 0000 006 003 00010002 000003 3-1").unwrap_err();
    assert_eq!((error.line, error.expected), (1, "hs or ss"));
    assert_eq!(Ports::parse_count("240\n"), Ok(240));
    assert_eq!(
        Ports::parse_count("many").unwrap_err().expected,
        "the number of ports"
    );
    assert!(Ports::parse("hs 70000 006 003 00010002 000003 3-1").is_err());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = Ports::parse(&text);
    }
}
