//! The text of the kernel's `status` files, or any other text.
//!
//! Invariants: an error names a line that is there; a port that is found is one that was read; a
//! free port is of the right hub and free; what was read can be written and read again.

use usb_descriptors::Speed;
use usbip_proto::vhci::{Hub, Port, PortState, Ports};

/// Runs the target: the input is the text, cut where it is no UTF-8.
pub fn run(input: &[u8]) {
    let text = match std::str::from_utf8(input) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&input[..error.valid_up_to()]).expect("cut there"),
    };
    let mut ports = match Ports::parse(text) {
        Ok(ports) => ports,
        Err(error) => {
            let _ = error.to_string();
            let line = text
                .lines()
                .nth(error.line.checked_sub(1).expect("counted from 1"));
            let line = line.expect("a line of the text");
            return assert!(line.contains(&error.found), "{error} in {line:?}");
        }
    };
    for port in ports.iter() {
        let found = ports.get(port.number).expect("it is there");
        assert_eq!(found.number, port.number);
    }
    for speed in [
        Speed::Low,
        Speed::Full,
        Speed::High,
        Speed::Super,
        Speed::SuperPlus,
    ] {
        let is_fit =
            |port: &&Port| port.hub == Hub::for_speed(speed) && port.state == PortState::FREE;
        assert_eq!(ports.free(speed), ports.iter().find(is_fit));
    }
    let written: String = ports.iter().map(line).collect();
    let again = Ports::parse(&written).expect("written as the kernel does");
    assert_eq!(again, ports);
    let count = ports.iter().count();
    ports.append(again);
    assert_eq!(ports.iter().count(), 2 * count);
}

/// `drivers/usb/usbip/vhci_sysfs.c`, `port_show_vhci`.
fn line(port: &Port) -> String {
    let hub = match port.hub {
        Hub::HighSpeed => "hs",
        Hub::SuperSpeed => "ss",
    };
    format!(
        "{hub}  {:04} {:03} {:03} {:08x} {:06} {}\n",
        port.number,
        port.state.0,
        port.speed.0,
        port.device_id.to_u32(),
        0,
        port.bus_id
    )
}
