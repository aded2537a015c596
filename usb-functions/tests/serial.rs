//! A serial port, as a host sees it.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod host;

use bytes::Bytes;
use host::{Host, SPEEDS, bytes, options};
use usb_descriptors::{SetupPacket, Speed, TransferType};
use usb_functions::{
    ControlLines, DeviceError, DeviceOptions, LineCoding, Parity, SendError, Serial, SerialEvent,
    SerialState, StopBits,
};
use usb_transfer::{Actual, Function, Status, Transfer};

const IN: u8 = 0x81;
const OUT: u8 = 0x02;
const NOTIFICATIONS: u8 = 0x83;

fn serial() -> Host<Serial> {
    Host::new(Serial::new(options()).unwrap())
}

fn events(host: &mut Host<Serial>) -> Vec<SerialEvent> {
    std::iter::from_fn(|| host.device.poll_event()).collect()
}

#[test]
fn bytes_arrive_uncopied_and_are_complete_when_taken() {
    let mut host = serial();
    let sent = Bytes::from(vec![7; 1000]);
    let id = host.ask_out(OUT, sent.clone());
    host.ask_out(OUT, Bytes::new());
    assert_eq!(host.completions(), [], "nobody has taken it");
    assert!(host.device.has_received());
    let events = events(&mut host);
    let [SerialEvent::Received(received)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(received.as_ptr(), sent.as_ptr());
    let all = host.completions();
    assert_eq!((all[0].id, &all[0].actual), (id, &Actual::Out(1000)));
    assert_eq!(all.len(), 2, "an empty transfer is no event");
}

#[test]
fn bytes_are_sent_as_the_host_asks() {
    let mut host = serial();
    let piece = Bytes::from(vec![1; 700]);
    host.device.send(piece.clone()).unwrap();
    host.device.send(Bytes::new()).unwrap();
    host.device.send(Bytes::from(vec![2; 100])).unwrap();
    host.ask_in(IN, 512);
    let first = bytes(&host.completion());
    assert_eq!(first, piece[..512]);
    assert_eq!(first.as_ptr(), piece.as_ptr(), "not copied");
    host.ask_in(IN, 512);
    let second = bytes(&host.completion());
    assert_eq!((second.len(), second[187], second[188]), (288, 1, 2));
    let pending = host.ask_in(IN, 512);
    assert_eq!(host.completions(), []);
    host.device.send(Bytes::from_static(b"late")).unwrap();
    let last = host.completion();
    assert_eq!(
        (last.id, bytes(&last)),
        (pending, Bytes::from_static(b"late"))
    );
    assert_eq!(host.device.unsent(), 0);
}

#[test]
fn too_much_is_refused_with_nothing_changed() {
    let mut host = serial();
    let piece = Bytes::from(vec![0; Serial::MOST_UNSENT - 1]);
    host.device.send(piece.clone()).unwrap();
    host.device.send(piece.clone()).unwrap();
    let error = host.device.send(piece.clone()).unwrap_err();
    let unsent = 2 * piece.len();
    assert_eq!(error, SendError::Full { unsent });
    assert_eq!(
        error.to_string(),
        "131070 bytes wait for the host, up to 65536 may"
    );
    assert_eq!(host.device.unsent(), 2 * piece.len());
}

#[test]
fn a_loopback_echoes_and_takes_no_more_than_it_may_keep() {
    let mut host = Host::new(Serial::loopback(options()).unwrap());
    let piece = Bytes::from(vec![9; 10_000]);
    for _ in 0..20 {
        host.ask_out(OUT, piece.clone());
    }
    let taken = host.completions().len();
    assert_eq!(taken, 7, "up to the first that exceeds the mark");
    let mut echoed = 0;
    while echoed < 200_000 {
        host.ask_in(IN, 1024);
        let data = host
            .completions()
            .into_iter()
            .map(|done| bytes(&done).len());
        echoed += data.sum::<usize>();
    }
    assert_eq!(echoed, 200_000);
    host.ask_in(IN, 1024);
    assert_eq!(host.completions(), []);
    assert_eq!(host.device.poll_event(), None);
}

#[test]
fn line_coding_and_control_lines_are_told_and_given_back() {
    let mut host = serial();
    let get = [0xa1, 0x21, 0, 0, 0, 0, 7, 0];
    let set = [0x21, 0x20, 0, 0, 0, 0, 7, 0];
    assert_eq!(host.ok(get, &[])[..], [0x80, 0x25, 0, 0, 0, 0, 8]);
    let coding = [0x00, 0xc2, 0x01, 0x00, 2, 1, 7];
    host.ok(set, &[0, 1, 0, 0, 0, 0, 8]);
    host.ok(set, &coding);
    assert_eq!(host.ok(get, &[])[..], coding);
    // SET_CONTROL_LINE_STATE, SEND_BREAK.
    host.ok([0x21, 0x22, 3, 0, 0, 0, 0, 0], &[]);
    host.ok([0x21, 0x23, 0xff, 0xff, 0, 0, 0, 0], &[]);
    let expected = LineCoding {
        bits_per_second: 115_200,
        stop_bits: StopBits::TWO,
        parity: Parity::ODD,
        data_bits: 7,
    };
    let lines = ControlLines {
        terminal_ready: true,
        request_to_send: true,
    };
    let all = [
        SerialEvent::LineCoding(expected),
        SerialEvent::ControlLines(lines),
        SerialEvent::Break(0xffff),
    ];
    assert_eq!(events(&mut host), all);
    host.ok(set, &coding);
    assert_eq!(events(&mut host), [], "the same is no news");
    assert_eq!(host.device.line_coding(), expected);
    assert_eq!(host.device.control_lines(), lines);
    // The next host finds it as it was made.
    host.device.reset();
    let all = [
        SerialEvent::LineCoding(LineCoding::default()),
        SerialEvent::ControlLines(ControlLines::default()),
    ];
    assert_eq!(events(&mut host), all);
}

/// Whoever looks late knows that one began and ended, and how the line is now.
#[test]
fn breaks_are_told_in_order() {
    let mut host = serial();
    let send = |host: &mut Host<Serial>, milliseconds: u16| {
        let [low, high] = milliseconds.to_le_bytes();
        host.ok([0x21, 0x23, low, high, 0, 0, 0, 0], &[]);
    };
    for milliseconds in [0xffff, 0, 50] {
        send(&mut host, milliseconds);
    }
    let all = [0xffff, 0, 50].map(SerialEvent::Break);
    assert_eq!(events(&mut host), all);
    for _ in 0..1000 {
        send(&mut host, 0xffff);
        send(&mut host, 0);
    }
    let all = events(&mut host);
    assert_eq!(all.len(), 8);
    assert_eq!(all[..2], [0xffff, 0].map(SerialEvent::Break));
    assert_eq!(all[7], SerialEvent::Break(0));
}

#[test]
fn requests_that_are_not_the_ports_stall() {
    let mut host = serial();
    host.stalls([0x21, 0x20, 0, 0, 0, 0, 6, 0], &[0; 6]);
    host.stalls([0x21, 0x20, 0, 0, 1, 0, 7, 0], &[0; 7]);
    host.stalls([0x21, 0x00, 0, 0, 0, 0, 2, 0], b"AT");
    host.stalls([0xa1, 0x01, 0, 0, 0, 0, 2, 0], &[]);
    host.stalls([0x81, 6, 0, 0x22, 0, 0, 9, 0], &[]);
    host.stalls([0xa1, 0x21, 0, 0, 0, 0, 0, 0], &[]);
    host.ok(SetupPacket::set_configuration(0), &[]);
    host.stalls([0xa1, 0x21, 0, 0, 0, 0, 7, 0], &[]);
}

#[test]
fn the_state_is_told_once() {
    let mut host = serial();
    let id = host.ask_in(NOTIFICATIONS, 16);
    assert_eq!(host.completions(), []);
    let connected = SerialState {
        carrier: true,
        ready: true,
        ..SerialState::default()
    };
    host.device.set_state(connected);
    host.device.set_state(connected);
    let told = host.completion();
    assert_eq!(told.id, id);
    assert_eq!(bytes(&told)[..], [0xa1, 0x20, 0, 0, 0, 0, 2, 0, 3, 0]);
    // What happens once is not lost while nobody asks, and told once.
    host.device.set_state(SerialState {
        ring: true,
        ..connected
    });
    host.device.set_state(SerialState {
        overrun: true,
        ..connected
    });
    host.ask_in(NOTIFICATIONS, 16);
    assert_eq!(bytes(&host.completion())[8], 0b100_1011);
    host.device.set_state(connected);
    host.ask_in(NOTIFICATIONS, 16);
    assert_eq!(host.completions(), []);
}

#[test]
fn a_loopback_is_ready_while_its_host_is() {
    let mut host = Host::new(Serial::loopback(options()).unwrap());
    for (ready, bits) in [(1, 3), (0, 0)] {
        let told = host.ask_in(NOTIFICATIONS, 16);
        let lines = SetupPacket::from_bytes([0x21, 0x22, ready, 0, 0, 0, 0, 0]);
        let id = host.ids.mint();
        host.submit(Transfer::control_in(id, lines));
        let all = host.completions();
        assert_eq!((all[0].id, all[0].status), (id, Status::COMPLETED));
        assert_eq!((all[1].id, bytes(&all[1])[8]), (told, bits));
    }
}

#[test]
fn a_new_configuration_drops_what_was_not_sent() {
    let mut host = serial();
    host.device
        .send(Bytes::from_static(b"for the last host"))
        .unwrap();
    let out = host.ask_out(OUT, vec![1]);
    let all = host.control(SetupPacket::set_configuration(1), &[]);
    assert_eq!((all[0].id, all[0].status), (out, Status::CANCELLED));
    assert_eq!(host.device.unsent(), 0);
    assert!(!host.device.has_received());
}

/// What a host did and was to be told once is no business of the next.
#[test]
fn a_break_and_a_ring_stay_with_their_host() {
    let carrier = SerialState {
        carrier: true,
        ..SerialState::default()
    };
    let leave: [fn(&mut Host<Serial>); 2] = [
        |host| host.device.reset(),
        |host| host.control(SetupPacket::set_configuration(1), &[]).clear(),
    ];
    for leave in leave {
        let mut host = serial();
        host.ok([0x21, 0x23, 50, 0, 0, 0, 0, 0], &[]);
        let ringing = SerialState {
            ring: true,
            ..carrier
        };
        host.device.set_state(ringing);
        leave(&mut host);
        assert_eq!(events(&mut host), []);
        host.ok(SetupPacket::set_configuration(1), &[]);
        assert_eq!(events(&mut host), []);
        host.ask_in(NOTIFICATIONS, 16);
        assert_eq!(bytes(&host.completion())[8], 1, "carrier alone");
    }
    let mut host = serial();
    host.ok([0x21, 0x23, 50, 0, 0, 0, 0, 0], &[]);
    host.device.send(Bytes::from_static(b"late")).unwrap();
    host.device.detach();
    assert_eq!(events(&mut host), []);
    let refused = host.device.send(Bytes::from_static(b"later"));
    assert_eq!(refused, Err(SendError::Detached));
    assert_eq!(host.device.unsent(), 0);
    assert!(!host.device.is_configured());
}

#[test]
fn what_is_sent_before_a_host_is_there_waits_for_it() {
    let mut port = Serial::new(options()).unwrap();
    port.send(Bytes::from_static(b"boot")).unwrap();
    // Which configures it.
    let mut host = Host::new(port);
    host.ask_in(IN, 512);
    assert_eq!(bytes(&host.completion()), "boot");
}

#[test]
fn an_alternate_setting_stops_its_interface_alone() {
    let mut host = serial();
    let notified = host.ask_in(NOTIFICATIONS, 16);
    let read = host.ask_in(IN, 16);
    let all = host.control(SetupPacket::set_interface(1, 0), &[]);
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].id, all[0].status), (read, Status::CANCELLED));
    host.device.cancel(read);
    host.device.cancel(notified);
    assert_eq!(host.completion().id, notified);
}

#[test]
fn speeds_with_bulk_endpoints_are_described() {
    assert_eq!(
        Serial::new(DeviceOptions::new(Speed::Low)).unwrap_err(),
        DeviceError::LowSpeed
    );
    let long = DeviceOptions::new(Speed::High).product(&"x".repeat(127));
    assert!(matches!(
        Serial::new(long),
        Err(DeviceError::Descriptors(_))
    ));
    for speed in SPEEDS {
        let serial = Serial::new(DeviceOptions::new(speed)).unwrap();
        let descriptors = serial.descriptors();
        let configuration = descriptors.configuration(1).unwrap();
        let data = configuration.interface(1, 0).unwrap();
        for endpoint in data.endpoints() {
            let size = speed.max_packet_size(TransferType::Bulk);
            assert_eq!(Some(endpoint.max_packet_size()), size);
            assert_eq!(endpoint.companion().is_some(), speed.is_super());
        }
        let control = configuration.interface(0, 0).unwrap();
        assert_eq!(control.class().protocol, 0, "no modem");
        assert_eq!(control.endpoints().next().unwrap().interval(speed), 256);
    }
}
